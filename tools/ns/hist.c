/* hist.c: see hist.h. */
#include "hist.h"

/* Values below 32 have a class each. A larger one with its top bit at b (5 to 63) lies in one of 16
 * classes, told apart by the four bits below the top one. */
static uint32_t class_of(uint64_t value)
{
    if (value < 32) return (uint32_t)value;
    uint32_t top = 63u - (uint32_t)__builtin_clzll(value);
    return 32u + (top - 5u) * 16u + (uint32_t)(value >> (top - 4u) & 15u);
}

/* The largest value of a class. */
static uint64_t class_end(uint32_t index)
{
    if (index < 32) return index;
    uint32_t top = (index - 32u) / 16u + 5u;
    uint64_t low_bits = ((uint64_t)1 << (top - 4u)) - 1u;
    return (uint64_t)(16u + (index - 32u) % 16u) << (top - 4u) | low_bits;
}

void hist_add(struct hist *hist, uint64_t value)
{
    hist->count++;
    if (value > hist->max) hist->max = value;
    hist->counts[class_of(value)]++;
}

uint64_t hist_percentile(const struct hist *hist, double share)
{
    double wanted = share * (double)hist->count;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HIST_CLASSES && hist->count > 0; i++) {
        seen += hist->counts[i];
        if ((double)seen >= wanted && seen > 0) {
            return class_end(i) < hist->max ? class_end(i) : hist->max;
        }
    }
    return hist->max;
}
