/* common/driver.h: what the two drivers share below bench.h: the counting, the samples, and what is
 * reported at the end. A driver supplies bench_next, bench_pause and bench_resume. */
#ifndef NS_BENCH_COMMON_DRIVER_H
#define NS_BENCH_COMMON_DRIVER_H

#include "common/bench.h"
#include "common/histogram.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_FIGURES 24u

struct bench_figure_value {
    const char *name;
    double value;
};

struct bench {
    const struct bench_entry *entry;
    void *driver; /* the driver's own */
    uint64_t done;
    uint64_t items; /* 0: one for each iteration */
    ns_db *db;
    bool is_counting;
    struct bench_counters before, total;
    struct histogram samples;
    size_t figure_count;
    struct bench_figure_value figures[BENCH_FIGURES];
};

void bench_begin(struct bench *b, const struct bench_entry *entry, void *driver);
/* At the first bench_next and after each pause; at the last one and before each pause. */
void bench_count_on(struct bench *b);
void bench_count_off(struct bench *b);
/* Adds what was counted to the figures, and frees. */
void bench_end(struct bench *b);
void bench_deinit(struct bench *b);
/* Removes the files of bench_path. */
void bench_remove_files(void);

#ifdef __cplusplus
}
#endif

#endif
