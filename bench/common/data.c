/* data.c: see data.h. splitmix64's finisher is a bijection, so different indexes give different
 * keys. */
#include "common/data.h"

#include <stdlib.h>
#include <string.h>

#include "base/prng.h"

void data_key(uint64_t index, uint8_t key_out[DATA_KEY_BYTES])
{
    struct ns__prng prng = {index * UINT64_C(0x632be59bd9b4e019)};
    uint64_t parts[2] = {ns__prng_next(&prng), ns__prng_next(&prng)};
    memcpy(key_out, parts, sizeof parts);
}

void data_key_ascending(uint64_t index, uint8_t key_out[DATA_KEY_BYTES])
{
    memset(key_out, 'k', 8);
    for (unsigned i = 0; i < 8; i++)
        key_out[8 + i] = (uint8_t)(index >> (56 - 8 * i));
}

void data_value(uint64_t seed, size_t bytes, uint8_t *value_out)
{
    struct ns__prng prng = {seed};
    for (size_t at = 0; at < bytes; at += 8) {
        uint64_t word = ns__prng_next(&prng);
        memcpy(value_out + at, &word, bytes - at < 8 ? bytes - at : 8);
    }
}

uint64_t data_seed(void)
{
    static uint64_t calls;
    return ++calls * UINT64_C(0xd1342543de82ef95);
}

uint32_t *data_order(uint32_t count, uint64_t seed)
{
    struct ns__prng prng = {seed};
    uint32_t *order = malloc((count > 0 ? count : 1) * sizeof *order);
    if (order == NULL) abort();
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = (uint32_t)ns__prng_below(&prng, i);
        uint32_t swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
    return order;
}
