/* common/bench.h: what a benchmark is written against, in C.
 *
 * A benchmark is a function that prepares, loops `while (bench_next(b))`, and cleans up. Two
 * drivers run the same functions: bench_suites under Google Benchmark (gbench/gbench.cc), which
 * chooses the number of iterations and measures time, and bench_fixed (gate/fixed.c), which runs a
 * fixed number under callgrind and reports what is repeatable.
 *
 *     static void get_hot(struct bench *b)
 *     {
 *         const struct world *world = world_shared(b, (uint64_t)bench_arg(b, 0));
 *         bench_watch(b, world->db);
 *         while (bench_next(b)) one_get(world);
 *     }
 *
 *     void suite_btree(void)
 *     {
 *         bench_add("btree/get_hot/1e4", get_hot, &(struct bench_plan){.args = {10000}});
 *     }
 *
 * Counters. Between the first and the last bench_next the allocator and the vfs given out by
 * bench_options are watched, and the statistics of the handle named by bench_watch: every benchmark
 * reports, per item, allocs, moved_B (bytes written and read through the vfs, plus copied pages),
 * written_B, pages_copied and syncs; one that calls bench_sample reports p50, p99 and p99.9 too.
 *
 * One benchmark runs at a time. Threads that it starts (crew.h) call nothing of this header but
 * bench_now_ns, bench_keep and bench_die. A benchmark that cannot go on calls bench_die. */
#ifndef NS_BENCH_COMMON_BENCH_H
#define NS_BENCH_COMMON_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <northstar.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_ARGS 4u

struct bench; /* one benchmark that runs now */
typedef void (*bench_function)(struct bench *b);

struct bench_plan {
    int64_t args[BENCH_ARGS];
    /* Iterations of the fixed driver, and of Google Benchmark if is_fixed; 0: as many as it takes.
     * A macro benchmark that plays one story has is_fixed and iterations 1. */
    uint64_t iterations;
    bool is_fixed;
    bool is_gated; /* is part of the gate (bench/run --gate) */
    bool is_slow;  /* left out by --quick */
};

/* ---- the registry ---- */

/* name: a static string, suite/what/size. */
void bench_add(const char *name, bench_function run, const struct bench_plan *plan);

struct bench_entry {
    const char *name;
    bench_function run;
    struct bench_plan plan;
};
void bench_add_rows(const struct bench_entry *rows, size_t count);
#define BENCH_ADD_ROWS(rows) bench_add_rows(rows, sizeof(rows) / sizeof *(rows))
size_t bench_count(void);
const struct bench_entry *bench_at(size_t index);
void bench_add_all(void); /* every suite and macro: suites/all.c */

/* ---- inside a benchmark ---- */

bool bench_next(struct bench *b); /* the loop; counting starts at the first call */
int64_t bench_arg(const struct bench *b, size_t index);
uint64_t bench_iterations(const struct bench *b); /* so far */

/* The clock stands still in between: for preparing the next round inside the loop. Counters too. */
void bench_pause(struct bench *b);
void bench_resume(struct bench *b);

/* How many operations the iterations stand for (default: one each). Counters are per item. */
void bench_items(struct bench *b, uint64_t items);
/* Another figure to report, as it is. */
void bench_figure(struct bench *b, const char *name, double value);
/* A duration in nanoseconds, for the percentiles. */
void bench_sample(struct bench *b, uint64_t ns);
uint64_t bench_now_ns(void);

/* The compiler must compute this. */
static inline void bench_keep(uint64_t value)
{
    __asm__ volatile("" : : "r"(value));
}

__attribute__((noreturn)) void bench_die(const char *what, ns_status status);

#define BENCH_CHECK(call)                                                                          \
    do {                                                                                           \
        ns_status bench_status = (call);                                                           \
        if (bench_status != NS_OK) bench_die(#call, bench_status);                                 \
    } while (0)

/* ---- the watched world ---- */

enum bench_disk { BENCH_MEMORY, BENCH_FILES };

/* Zeroed options with the watched allocator and vfs: files in memory, or in bench_path. */
void bench_options(struct bench *b, enum bench_disk disk, ns_options *options_out);
/* A path for the watched vfs, unlike any before; removed when the process ends. */
const char *bench_path(struct bench *b);
/* The handle whose statistics count (pages copied); NULL: none. It must outlive the loop. */
void bench_watch(struct bench *b, ns_db *db);

struct bench_counters {
    uint64_t allocs, alloc_bytes, writes, written_bytes, read_bytes, syncs, pages_copied_bytes,
        pages_copied;
};
/* Since the process began. */
void bench_counters(const struct bench *b, struct bench_counters *out);

#ifdef __cplusplus
}
#endif

#endif /* NS_BENCH_COMMON_BENCH_H */
