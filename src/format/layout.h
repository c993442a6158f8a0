/* layout.h: geometry that every floor needs: page sizes, references, page types, regions. Pure
 * arithmetic. The tables are in spec/file_format_v0.md. */
#ifndef NS_FORMAT_LAYOUT_H
#define NS_FORMAT_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>
#include "base/bytes.h"
#include "base/checksum.h"

#define NS__PAGE_SIZE_MIN 4096u
#define NS__PAGE_SIZE_MAX 65536u
#define NS__BLOCK_BYTES 4096u /* what a commit rewrites, and the size of metas and log maps */
#define NS__UUID_BYTES 16u
#define NS__CHAIN_BYTES 32u

/* Stored page types (FMT: Nodes, Space maps, Log map). */
#define NS__TYPE_LEAF 1u
#define NS__TYPE_BRANCH 2u
#define NS__TYPE_CATALOGUE 3u
#define NS__TYPE_BITMAP 4u
#define NS__TYPE_DIRECTORY 5u
#define NS__TYPE_CONTINUATION 6u

#define NS__LEVEL_MAX 32u
#define NS__NAME_BYTES_MAX 255u
#define NS__NOTE_BYTES_MAX 65535u
#define NS__VALUE_BYTES_MAX UINT64_C(0xffffffff)

/* ---- references (FMT-7) ---- */

#define NS__REF_NONE UINT64_C(0)
#define NS__REF_FRAME (UINT64_C(1) << 63)
#define NS__REF_NUMBER_BITS 39
#define NS__REF_NUMBER_MASK ((UINT64_C(1) << NS__REF_NUMBER_BITS) - 1)
#define NS__REF_CHECK_MASK (UINT64_C(0xffffff) << NS__REF_NUMBER_BITS)

static inline bool ns__ref_is_frame(uint64_t ref)
{
    return (ref & NS__REF_FRAME) != 0;
}

static inline uint64_t ns__ref_number(uint64_t ref)
{
    return ref & NS__REF_NUMBER_MASK;
}

static inline uint64_t ns__ref_file(uint64_t page, uint64_t checksum)
{
    return page | ((checksum << NS__REF_NUMBER_BITS) & NS__REF_CHECK_MASK);
}

static inline uint64_t ns__ref_frame(uint64_t frame)
{
    return frame | NS__REF_FRAME;
}

/* Does a file reference agree with the checksum stored in its page? */
static inline bool ns__ref_matches(uint64_t ref, uint64_t checksum)
{
    return ((ref ^ (checksum << NS__REF_NUMBER_BITS)) & NS__REF_CHECK_MASK) == 0;
}

/* A tree as metas and the catalogue hold it (FMT-6). */
struct ns__tree {
    uint64_t ref;
    uint64_t entries;
    uint64_t pages;
    uint64_t overflow_pages;
};

/* A value outside its leaf (FMT-11). */
struct ns__run {
    uint64_t page;
    uint64_t birth;
    uint64_t checksum;
};
#define NS__RUN_BYTES 24u

/* ---- seeds (FMT-2, FMT-3) ---- */

uint64_t ns__page_seed(const uint8_t uuid[NS__UUID_BYTES], uint64_t page);
uint64_t ns__log_seed(const uint8_t uuid[NS__UUID_BYTES], uint64_t log_offset);

static inline uint64_t ns__page_checksum(const uint8_t *page, uint32_t page_size, uint64_t seed)
{
    return ns__checksum64(page + 8, page_size - 8, seed);
}

/* ---- limits ---- */

static inline bool ns__page_size_ok(uint32_t page_size)
{
    return page_size >= NS__PAGE_SIZE_MIN && page_size <= NS__PAGE_SIZE_MAX &&
           (page_size & (page_size - 1)) == 0;
}

static inline uint32_t ns__key_bytes_max(uint32_t page_size)
{
    return page_size / 4;
}

static inline uint64_t ns__pages_of(uint64_t bytes, uint32_t page_size)
{
    return bytes / page_size + (bytes % page_size != 0);
}

/* ---- regions (FMT-15) ---- */

#define NS__REGION_MAP_PAGE_0 UINT64_C(4)
#define NS__REGION_0_RANGES 8u
#define NS__REGIONS_MAX 298u
#define NS__MAP_HEADER_BYTES 32u

static inline uint64_t ns__range_pages(uint32_t page_size)
{
    return (uint64_t)(page_size - NS__MAP_HEADER_BYTES) * 8;
}

static inline uint32_t ns__region_ranges(uint32_t page_size, uint32_t region)
{
    return region == 0 ? NS__REGION_0_RANGES : (page_size - NS__MAP_HEADER_BYTES) / 12;
}

/* First range of a region, and the region of a range. */
uint64_t ns__region_first_range(uint32_t page_size, uint32_t region);
uint32_t ns__region_of_range(uint32_t page_size, uint64_t range);
/* First page of the region's map area, and its size in pages. */
uint64_t ns__region_map_page(uint32_t page_size, uint32_t region);
uint64_t ns__region_map_pages(uint32_t page_size, uint32_t region);
/* Page of a directory or bitmap in place 1..3. */
uint64_t ns__directory_page(uint32_t page_size, uint32_t region, uint32_t place);
uint64_t ns__bitmap_page(uint32_t page_size, uint64_t range, uint32_t place);
/* Is this page a meta, a log map or part of a map area? */
bool ns__page_is_fixed(uint32_t page_size, uint64_t page);
/* Pages that NS__REGIONS_MAX regions describe. */
uint64_t ns__page_count_max(uint32_t page_size);

#endif
