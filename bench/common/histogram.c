/* histogram.c: see histogram.h. Bucket i < 64 holds the value i; above, a value with highest bit
 * e >= 6 falls into one of the 64 equal parts of [2^e, 2^(e+1)). */
#include "common/histogram.h"

#include <stdlib.h>

#define PARTS 64u

static unsigned bucket_of(uint64_t value)
{
    if (value < PARTS) return (unsigned)value;
    unsigned high = 63u - (unsigned)__builtin_clzll(value);
    return (high - 5) * PARTS + (unsigned)(value >> (high - 6) & (PARTS - 1));
}

/* The largest value of the bucket. */
static uint64_t top_of(unsigned bucket)
{
    if (bucket < PARTS) return bucket;
    unsigned high = bucket / PARTS + 5;
    uint64_t width = UINT64_C(1) << (high - 6);
    return (UINT64_C(1) << high) + (bucket % PARTS) * width + width - 1;
}

void histogram_deinit(struct histogram *h)
{
    free(h->buckets);
    *h = (struct histogram){0};
}

void histogram_add(struct histogram *h, uint64_t value)
{
    if (h->buckets == NULL) {
        h->buckets = calloc(HISTOGRAM_BUCKETS, sizeof *h->buckets);
        if (h->buckets == NULL) abort();
    }
    h->buckets[bucket_of(value)]++;
    h->count++;
    if (value > h->max) h->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->count == 0) return;
    if (into->buckets == NULL) {
        into->buckets = calloc(HISTOGRAM_BUCKETS, sizeof *into->buckets);
        if (into->buckets == NULL) abort();
    }
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->count += from->count;
    if (from->max > into->max) into->max = from->max;
}

uint64_t histogram_at(const struct histogram *h, double share)
{
    if (h->count == 0) return 0;
    uint64_t wanted = (uint64_t)(share * (double)h->count);
    if (wanted >= h->count) wanted = h->count - 1;
    uint64_t seen = 0;
    unsigned bucket = 0;
    while ((seen += h->buckets[bucket]) <= wanted)
        bucket++;
    uint64_t top = top_of(bucket);
    return top < h->max ? top : h->max;
}
