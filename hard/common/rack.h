/* common/rack.h: what every rack has in common: its command line, its worker processes, the case
 * that runs now, its line of figures.
 *
 * A rack declares its figures, calls rack_init, then rack_run with a function that does the work of
 * one worker. Workers are forked, so a crash of one is seen by the parent, which names the case it
 * was in and ends the others. The last line on standard output is always
 *
 *   rack NAME: PASS|FAIL|SKIP seed=N seconds=S figure=value ...
 *
 * which `hard/run` turns into its table. Exit code: 0 PASS and SKIP, 1 FAIL, 2 wrong usage.
 *
 *   --short            the form of .ci/run (the default)
 *   --long MINUTES     the form for a night
 *   --seconds N        another budget of time for the chosen form
 *   --seed N           all chance comes from it; printed
 *   --jobs N           worker processes (default: as many as cores)
 *   --only CASE        one case alone, as a failure printed it; in one process, no fork
 *   --dir PATH         where real files may be made (default: a fresh directory under TMPDIR)
 *   --canary           breaks the world on purpose: the rack must FAIL (hard/run turns that round)
 */
#ifndef NS_HARD_COMMON_RACK_H
#define NS_HARD_COMMON_RACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rack_settings {
    const char *name; /* "crash/simulated" */
    uint64_t seed;
    uint64_t seconds; /* of wall-clock */
    unsigned jobs;
    bool is_long;
    bool is_canary;
    const char *only; /* NULL: everything */
    const char *dir;  /* NULL: none given */
};

/* short_seconds: the budget of the short form. figure_names: static strings without spaces. Ends
 * the process with 2 when the command line is wrong. */
const struct rack_settings *rack_init(const char *name, uint64_t short_seconds,
                                      const char *const *figure_names, size_t figure_count,
                                      int argc, char **argv);

/* Figures are sums over the workers. */
void rack_add(size_t figure, uint64_t count);
void rack_max(size_t figure, uint64_t value); /* keeps the largest */
uint64_t rack_figure(size_t figure);

/* Is the budget used up? */
bool rack_is_late(void);
double rack_seconds(void); /* since rack_init */

/* What runs now: printed, with a command that runs it again, when the worker fails or dies. */
void rack_case(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints why, the case and ns_error_detail(), and ends the worker. */
_Noreturn void rack_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The rack cannot run here: prints the reason, ends the process with a SKIP line. Call it before
 * rack_run. */
_Noreturn void rack_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Runs work(worker, workers, ctx) in each worker and waits. Returns the exit code of the process,
 * after the line of figures. */
int rack_run(void (*work)(unsigned worker, unsigned workers, void *ctx), void *ctx);

/* ---- a set of 64-bit hashes that the workers share ---- */

struct rack_set;

/* Made before rack_run. Memory is touched as it fills; capacity is a power of two. */
struct rack_set *rack_set_new(size_t capacity);
/* True when the hash was not there before. A full set ends the rack. */
bool rack_set_add(struct rack_set *set, uint64_t hash);
uint64_t rack_set_count(const struct rack_set *set);

#endif /* NS_HARD_COMMON_RACK_H */
