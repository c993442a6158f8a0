/* checksum.c: XXH3 behind our own names. Everything of xxhash is inlined into this file. */
#include "base/checksum.h"

#include <stdbool.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Pieces of together at most this many bytes are hashed as one copy: the streaming state costs
 * more. */
#define GATHER_BYTES 512

static struct ns__hash128 from_xxh(XXH128_hash_t hash)
{
    struct ns__hash128 result = {.low = hash.low64, .high = hash.high64};
    return result;
}

uint64_t ns__checksum64(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

struct ns__hash128 ns__hash128(const void *data, size_t size, uint64_t seed)
{
    return from_xxh(XXH3_128bits_withSeed(data, size, seed));
}

/* False if the pieces do not fit into gathered. */
static bool gather(const struct ns__hash_piece *pieces, size_t count,
                   uint8_t gathered[GATHER_BYTES], size_t *size_out)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size > GATHER_BYTES - used) return false;
        if (pieces[i].size > 0) memcpy(gathered + used, pieces[i].data, pieces[i].size);
        used += pieces[i].size;
    }
    *size_out = used;
    return true;
}

/* A reset looks at the old seed to see whether its derived secret can stay: it must not find
 * garbage. */
static void state_init(XXH3_state_t *state)
{
    XXH3_INITSTATE(state);
    state->extSecret = NULL;
}

uint64_t ns__checksum64_pieces(const struct ns__hash_piece *pieces, size_t count, uint64_t seed)
{
    if (count == 1) return ns__checksum64(pieces[0].data, pieces[0].size, seed);
    uint8_t gathered[GATHER_BYTES];
    size_t size = 0;
    if (gather(pieces, count, gathered, &size)) return ns__checksum64(gathered, size, seed);
    XXH3_state_t state;
    state_init(&state);
    (void)XXH3_64bits_reset_withSeed(&state, seed);
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size > 0) (void)XXH3_64bits_update(&state, pieces[i].data, pieces[i].size);
    }
    return XXH3_64bits_digest(&state);
}

struct ns__hash128 ns__hash128_pieces(const struct ns__hash_piece *pieces, size_t count,
                                      uint64_t seed)
{
    if (count == 1) return ns__hash128(pieces[0].data, pieces[0].size, seed);
    uint8_t gathered[GATHER_BYTES];
    size_t size = 0;
    if (gather(pieces, count, gathered, &size)) return ns__hash128(gathered, size, seed);
    XXH3_state_t state;
    state_init(&state);
    (void)XXH3_128bits_reset_withSeed(&state, seed);
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size > 0) (void)XXH3_128bits_update(&state, pieces[i].data, pieces[i].size);
    }
    return from_xxh(XXH3_128bits_digest(&state));
}
