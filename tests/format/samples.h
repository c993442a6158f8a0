/* format/samples.h: one good value of each stored structure, and ways to damage its bytes. */
#ifndef NS_TESTS_FORMAT_SAMPLES_H
#define NS_TESTS_FORMAT_SAMPLES_H

#include <stdlib.h>

#include "base/prng.h"
#include "format/envelope.h"
#include "format/fields.h"
#include "format/logmap.h"
#include "format/meta.h"
#include "format/record.h"
#include "format/spacemap.h"

static const uint8_t sample_uuid[NS__UUID_BYTES] = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
                                                    0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f};

#define SAMPLE_PAGE_COUNT 100000u

static inline void sample_fill(uint8_t *bytes, size_t size, uint8_t first)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(first + i);
    }
}

/* Two regions, two trees, a floor; valid in a file of SAMPLE_PAGE_COUNT pages or more. */
static inline struct ns__meta sample_meta(uint32_t page_size)
{
    struct ns__meta meta = {0};
    uint64_t count = ns__region_map_page(page_size, 1) + 100;
    meta.page_size = page_size;
    memcpy(meta.uuid, sample_uuid, NS__UUID_BYTES);
    meta.sequence = 7;
    meta.generation = 1234;
    meta.txn_id = 1000;
    meta.unix_us = -5;
    sample_fill(meta.chain, NS__CHAIN_BYTES, 0x40);
    meta.log_replay = 0x8000;
    meta.log_watermark = 0x8123;
    meta.page_count = count;
    meta.main = (struct ns__tree){ns__ref_file(5000, 0xabcdef), 77, 6, 3};
    meta.catalogue = (struct ns__tree){ns__ref_file(31, 0x123456), 4, 1, 0};
    meta.keyspaces = 2;
    meta.flags = NS__META_FLAG_LOG_PADDED;
    meta.history = 1;
    meta.history_txns = 11;
    meta.history_bytes = 12;
    meta.history_seconds = 13;
    meta.created_us = 1600000000000000;
    meta.floor_txn = 900;
    sample_fill(meta.floor_chain, NS__CHAIN_BYTES, 0x80);
    meta.floor_log = 0x1008;
    meta.region_count = 2;
    meta.regions[0] = (struct ns__region_entry){2, UINT64_C(0x1111222233334444)};
    meta.regions[1] = (struct ns__region_entry){3, UINT64_C(0x5555666677778888)};
    return meta;
}

static inline uint64_t sample_meta_file_bytes(const struct ns__meta *meta)
{
    return meta->page_count * meta->page_size;
}

static inline struct ns__logmap sample_logmap(uint32_t page_size)
{
    struct ns__logmap map = {0};
    memcpy(map.uuid, sample_uuid, NS__UUID_BYTES);
    map.sequence = 8;
    map.watermark = 0x9000;
    map.flags = NS__LOGMAP_FLAG_IN_USE;
    map.extent_count = 2;
    map.continuation_page = 4000;
    map.continuation_checksum = UINT64_C(0x0123456789abcdef);
    map.extents_total = 5;
    map.epoch = 4;
    map.extents[0] = (struct ns__extent){0x8000, 0x8000 + page_size + 8, 100, 2, 3};
    map.extents[1] = (struct ns__extent){0x8000 + page_size + 8, 0x8000 + 9 * page_size, 200, 9, 4};
    return map;
}

/* A good chain of extents that starts at log offset 64. */
static inline void sample_extents(struct ns__extent *extents, uint32_t count, uint32_t page_size)
{
    uint64_t log_offset = 64;
    for (uint32_t i = 0; i < count; i++) {
        extents[i].log_start = log_offset;
        log_offset += 2 * (uint64_t)page_size - 8 * (i % 3);
        extents[i].log_end = log_offset;
        extents[i].page = 31 + 2 * (uint64_t)i;
        extents[i].pages = 2;
        extents[i].epoch = 1 + i / 4;
    }
}

/* The values that a field census writes into every word. */
#define CENSUS_VALUES 16
static inline uint64_t census_value(unsigned index, uint64_t old, uint64_t limit)
{
    const uint64_t values[CENSUS_VALUES] = {
        0,
        1,
        2,
        3,
        UINT64_MAX,
        UINT64_MAX - 1,
        old + 1,
        old - 1,
        limit,
        limit + 1,
        limit - 1,
        UINT32_MAX,
        UINT32_MAX - 1,
        UINT64_C(1) << 63,
        INT64_MAX,
        old ^ 0x80000000u,
    };
    return values[index];
}

/* A copy of exactly these bytes on the heap, so that a sanitizer sees every byte read outside. */
static inline uint8_t *exact_copy(const void *bytes, size_t size)
{
    uint8_t *copy = calloc(size > 0 ? size : 1, 1);
    if (copy == NULL) abort();
    if (size > 0) memcpy(copy, bytes, size);
    return copy;
}

static const uint32_t page_sizes[] = {4096, 8192, 16384, 32768, 65536};
#define PAGE_SIZES (sizeof page_sizes / sizeof page_sizes[0])

#endif
