/* common/data.h: keys and values, always the same for a seed. */
#ifndef NS_BENCH_COMMON_DATA_H
#define NS_BENCH_COMMON_DATA_H

#include <stddef.h>
#include <stdint.h>

#define DATA_KEY_BYTES 16u

/* Key i: 16 random-looking bytes, all different; the order of i is no order of the keys. */
void data_key(uint64_t index, uint8_t key_out[DATA_KEY_BYTES]);
/* Key i in ascending order. */
void data_key_ascending(uint64_t index, uint8_t key_out[DATA_KEY_BYTES]);
/* bytes of a value that no compressor would like. */
void data_value(uint64_t seed, size_t bytes, uint8_t *value_out);
/* Another one at each call, the same sequence in each process: a benchmark that is called again to
 * find its number of iterations must not meet the keys that it has just warmed. */
uint64_t data_seed(void);
/* A permutation of 0..count-1; free it. */
uint32_t *data_order(uint32_t count, uint64_t seed);

#endif
