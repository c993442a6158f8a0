/* hist.h: a histogram of durations: 16 classes to each doubling, so every figure is right to within
 * 6.25% (the lowest 32 values exactly), in fixed memory. */
#ifndef NS_TOOLS_HIST_H
#define NS_TOOLS_HIST_H

#include <stdint.h>

#define HIST_CLASSES (32u + 59u * 16u)

struct hist {
    uint64_t count;
    uint64_t max;
    uint64_t counts[HIST_CLASSES];
};

void hist_add(struct hist *hist, uint64_t value);
/* The smallest class bound that at least `share` (0 to 1) of all values do not exceed; 0 if
 * empty. */
uint64_t hist_percentile(const struct hist *hist, double share);

#endif
