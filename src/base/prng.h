/* prng.h: a small seeded generator (splitmix64). For skip-list heights and tests; never for
 * secrets. */
#ifndef NS_BASE_PRNG_H
#define NS_BASE_PRNG_H

#include <stdint.h>

struct ns__prng {
    uint64_t state;
};

static inline uint64_t ns__prng_next(struct ns__prng *prng)
{
    uint64_t z = (prng->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform enough in [0, bound), bound > 0. */
static inline uint64_t ns__prng_below(struct ns__prng *prng, uint64_t bound)
{
    return ns__prng_next(prng) % bound;
}

#endif
