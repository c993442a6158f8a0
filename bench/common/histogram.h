/* common/histogram.h: durations in buckets whose width is a 64th of their value, so that a
 * percentile is right to 1.6%, from one nanosecond to hours (as HdrHistogram does). One thread. */
#ifndef NS_BENCH_COMMON_HISTOGRAM_H
#define NS_BENCH_COMMON_HISTOGRAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HISTOGRAM_BUCKETS 3776u /* 64 exact ones, then 64 for each further power of two */

struct histogram {
    uint64_t count, max;
    uint64_t *buckets; /* NULL until the first value */
};

void histogram_deinit(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The value that this share of all (0 to 1) does not exceed; 0 if there are none. */
uint64_t histogram_at(const struct histogram *h, double share);

#ifdef __cplusplus
}
#endif

#endif
