/* kill.c: the process dies, at any moment, again and again; nothing that it acknowledged is lost.
 *
 * A *life* is one database from creation on, written in one of the shapes of common/workload.c. In
 * each *round* a child opens it (creates it, recovers it) and writes; after a random time the child
 * gets SIGKILL, and the file, as the system's cache has it, is judged against the ledger
 * (common/ledger.h): acknowledged <= recovered <= intended in every durability (promise 1), the
 * whole content, the log's replay, ns_db_verify, one more commit. Two rounds in five are not
 * judged: the next child finds what the killed one left, is itself the recovering process, and is
 * killed early; it does compare what it finds with the bounds of the ledger. A life begins with
 * early kills, until one child gets past the creation.
 *
 * Moments are drawn so that each power of two of microseconds is equally likely, from 16 us to
 * 131 ms after the child entered the library. The figures say in which phase the kills fell;
 * "in_checkpoint" counts checkpoints that the writer or a thread of its own called for, not those
 * of the helper thread or inside a commit, which cannot be told from outside. "extra" are
 * transactions that were found though their commit had not returned. Seeds repeat a life's shape,
 * transactions and moments; the scheduling of the two processes is the system's, so --only repeats
 * a life over and over.
 *
 * What this cannot see: A MISSING SYNC. SIGKILL leaves the system's cache alone, so a database
 * that never synced anything would pass. (Measured on toys: a writer with no barrier before its
 * meta, and one with no sync at all, survive over a thousand kills each without one failure.)
 * Losing power is what crash/simulated and crash/power are for. This rack sees what they do not:
 * the real vfs, locks left behind by dead processes, threads that stop in the middle of anything,
 * the map.
 *
 * --canary acknowledges before the commit. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/prng.h"
#include "common/ledger.h"
#include "common/rack.h"

#define SHORT_KILLS 2000u /* so that well over 1,000 are judged */
#define SHORT_SECONDS 75u /* a limit; the kills are the measure */
#define FILE_BYTES_MAX (UINT64_C(48) << 20)
#define EARLY_POWERS 9u
#define ALL_POWERS 13u
#define CREATIONS_MAX 6u
#define SAMPLES_MAX (1u << 20)
#define PATH_BYTES 512u

#define FIGURES(X)                                                                                 \
    X(KILLS, "kills")                                                                              \
    X(DATABASES, "databases")                                                                      \
    X(ACKED, "acknowledged")                                                                       \
    X(LOST, "lost")                                                                                \
    X(EXTRA, "extra")                                                                              \
    X(JUDGED, "judged")                                                                            \
    X(REPLAYED, "replayed")                                                                        \
    X(IN_CREATION, "in_creation")                                                                  \
    X(IN_OPENING, "in_opening")                                                                    \
    X(IN_RECOVERY, "in_recovery")                                                                  \
    X(IN_FILL, "in_fill")                                                                          \
    X(IN_COMMIT, "in_commit")                                                                      \
    X(IN_CHECKPOINT, "in_checkpoint")                                                              \
    X(IN_CLOSE, "in_close")                                                                        \
    X(REOPEN_P50, "reopen_p50_us")                                                                 \
    X(REOPEN_P99, "reopen_p99_us")                                                                 \
    X(REOPEN_MAX, "reopen_max_us")

enum figure {
#define FIGURE_ENUM(name, text) name,
    FIGURES(FIGURE_ENUM)
#undef FIGURE_ENUM
        FIGURE_COUNT
};

static const char *const figure_names[] = {
#define FIGURE_NAME(name, text) text,
    FIGURES(FIGURE_NAME)
#undef FIGURE_NAME
};

/* clang-format off */
static const enum figure figure_of_phase[PHASE_COUNT] = {
    [PHASE_CREATION] = IN_CREATION, [PHASE_OPENING] = IN_OPENING, [PHASE_RECOVERY] = IN_RECOVERY,
    [PHASE_FILL] = IN_FILL, [PHASE_COMMIT] = IN_COMMIT, [PHASE_CHECKPOINT] = IN_CHECKPOINT,
    [PHASE_CLOSE] = IN_CLOSE,
};
/* clang-format on */

/* Shared by the workers. */
struct samples {
    _Atomic uint32_t count, workers_done;
    uint32_t reopen_us[SAMPLES_MAX];
};

static const struct rack_settings *settings;
static struct samples *samples;
static char directory[PATH_BYTES / 2];

/* ---- one life ---- */

struct life {
    uint64_t number;
    const struct shape *shape;
    struct ns__prng prng;
    char path[PATH_BYTES];
    struct ledger *ledger;
    struct judge *judge;
};

static bool is_enough(void)
{
    return rack_is_late() || (!settings->is_long && rack_figure(KILLS) >= SHORT_KILLS);
}

static void remove_file(const char *path)
{
    if (unlink(path) != 0 && errno != ENOENT) rack_fail("unlink %s: %s", path, strerror(errno));
}

/* Each of `powers` powers of two from 16 us on is equally likely. */
static void sleep_at_random(struct ns__prng *prng, uint32_t powers)
{
    uint64_t us = UINT64_C(16) << ns__prng_below(prng, powers);
    us += ns__prng_below(prng, us);
    struct timespec time = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
}

/* Starts a writer and kills it. False: it ended by itself before. */
static bool kill_a_writer(struct life *life, uint32_t powers)
{
    struct writer_settings writer = {.path = life->path,
                                     .shape = life->shape,
                                     .ledger = life->ledger,
                                     .seed = ns__prng_next(&life->prng),
                                     .file_bytes_max = FILE_BYTES_MAX,
                                     .lie = settings->is_canary ? LIE_EARLY : LIE_NONE};
    uint64_t acked = ledger_view(life->ledger).acked;
    int result;
    pid_t child = writer_start(&writer);
    writer_wait(life->ledger, child);
    sleep_at_random(&life->prng, powers);
    if (kill(child, SIGKILL) != 0) rack_fail("kill: %s", strerror(errno));
    while (waitpid(child, &result, 0) < 0) {
        if (errno != EINTR) rack_fail("waitpid: %s", strerror(errno));
    }
    bool was_killed = writer_was_killed(life->ledger, result);
    struct ledger_view view = ledger_view(life->ledger);
    rack_add(ACKED, view.acked - acked);
    if (!was_killed) return false;
    rack_add(KILLS, 1);
    rack_add(figure_of_phase[view.phase], 1);
    if (view.is_checkpointing && view.phase != PHASE_CHECKPOINT) rack_add(IN_CHECKPOINT, 1);
    return true;
}

static void judge_life(struct life *life)
{
    struct ledger_view view = ledger_view(life->ledger);
    struct judged judged;
    bool again = ns__prng_below(&life->prng, 4) == 0;
    judge_file(life->judge, life->path, &view, false, again, ns__prng_next(&life->prng), &judged);
    rack_add(JUDGED, 1);
    rack_add(EXTRA, judged.extra);
    rack_add(REPLAYED, judged.replayed);
    uint32_t sample = atomic_fetch_add(&samples->count, 1);
    if (sample < SAMPLES_MAX) samples->reopen_us[sample] = (uint32_t)judged.reopen_us;
    rack_max(REOPEN_MAX, judged.reopen_us);
}

/* Early kills until a child got past the creation; every second leftover is judged. */
static void create_life(struct life *life)
{
    for (uint32_t i = 0; i < CREATIONS_MAX && !ledger_view(life->ledger).is_created; i++) {
        (void)kill_a_writer(life, EARLY_POWERS);
        if (ns__prng_below(&life->prng, 2) == 0) judge_life(life);
    }
}

static void run_life(struct life *life, uint64_t number)
{
    life->number = number;
    life->shape = &workload_shapes[number % workload_shape_count];
    life->prng.state = settings->seed * UINT64_C(0x9e3779b97f4a7c15) + number;
    life->prng.state = ns__prng_next(&life->prng);
    rack_case("%s/%llu", life->shape->name, (unsigned long long)number);
    remove_file(life->path);
    ledger_reset(life->ledger);
    life->judge = judge_new(life->shape, life->ledger);
    rack_add(DATABASES, 1);
    create_life(life);
    uint64_t rounds = 5 + ns__prng_below(&life->prng, 25);
    bool goes_on = true, is_chained = false;
    for (uint64_t i = 0; i < rounds && goes_on && !is_enough(); i++) {
        goes_on = kill_a_writer(life, is_chained ? EARLY_POWERS : ALL_POWERS);
        is_chained = goes_on && ns__prng_below(&life->prng, 5) < 2;
        if (!is_chained) judge_life(life);
    }
    if (is_chained) judge_life(life);
    judge_free(life->judge);
    remove_file(life->path);
}

/* ---- the workers ---- */

static int compare_samples(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The last worker to end gives the percentiles. */
static void finish_samples(unsigned workers)
{
    if (atomic_fetch_add(&samples->workers_done, 1) + 1 != workers) return;
    uint32_t count = samples->count < SAMPLES_MAX ? samples->count : SAMPLES_MAX;
    if (count == 0) return;
    qsort(samples->reopen_us, count, sizeof samples->reopen_us[0], compare_samples);
    rack_add(REOPEN_P50, samples->reopen_us[count / 2]);
    rack_add(REOPEN_P99, samples->reopen_us[(uint64_t)count * 99 / 100]);
}

/* "SHAPE/NUMBER" */
static uint64_t number_of_case(const char *only)
{
    const char *slash = strchr(only, '/');
    char *end = NULL;
    uint64_t number = slash != NULL ? strtoull(slash + 1, &end, 10) : 0;
    if (slash == NULL || end == slash + 1 || *end != '\0') rack_fail("no such case: %s", only);
    return number;
}

static void work(unsigned worker, unsigned workers, void *ctx)
{
    struct life life = {.ledger = ledger_new(LOST)};
    (void)ctx;
    if (settings->only == NULL) (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    snprintf(life.path, sizeof life.path, "%s/worker%u.ns", directory, worker);
    uint64_t number = settings->only != NULL ? number_of_case(settings->only) : worker;
    uint64_t step = settings->only != NULL ? 0 : workers;
    for (; !is_enough(); number += step)
        run_life(&life, number);
    finish_samples(workers);
}

static void make_directory(void)
{
    const char *parent = settings->dir != NULL ? settings->dir : getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/northstar_kill.XXXXXX",
             parent != NULL ? parent : "/tmp");
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        exit(2);
    }
}

static void remove_directory(void)
{
    for (unsigned i = 0; i < settings->jobs; i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%s/worker%u.ns", directory, i);
        (void)unlink(path);
    }
    (void)rmdir(directory);
}

int main(int argc, char **argv)
{
    settings = rack_init("crash/kill", SHORT_SECONDS, figure_names, FIGURE_COUNT, argc, argv);
    samples = mmap(NULL, sizeof *samples, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (samples == MAP_FAILED) {
        perror("samples");
        return 2;
    }
    make_directory();
    int code = rack_run(work, NULL);
    if (code == 0 || settings->is_canary)
        remove_directory();
    else
        fprintf(stderr, "the files are in %s\n", directory);
    return code;
}
