/* logmap.h: encode and decode log maps and their continuation pages (spec/file_format_v0.md, "Log
 * map"). Pure. */
#ifndef NS_FORMAT_LOGMAP_H
#define NS_FORMAT_LOGMAP_H

#include "format/layout.h"

struct ns__extent {
    uint64_t log_start;
    uint64_t log_end;
    uint64_t page;
    uint32_t pages;
    uint32_t epoch;
};

#define NS__LOGMAP_EXTENTS 124u
#define NS__LOGMAP_FLAG_IN_USE 1u

struct ns__logmap {
    uint8_t uuid[NS__UUID_BYTES];
    uint64_t sequence;
    uint64_t watermark;
    uint32_t flags;
    uint32_t extent_count; /* listed here */
    uint64_t continuation_page;
    uint64_t continuation_checksum;
    uint64_t extents_total;
    uint32_t epoch;
    struct ns__extent extents[NS__LOGMAP_EXTENTS];
};

/* The first bytes of a log map alone, unchecked: is it one, and not in use? */
#define NS__LOGMAP_HEAD_BYTES 64u
bool ns__logmap_head_says_closed(const uint8_t head[NS__LOGMAP_HEAD_BYTES]);

/* Writes 4096 bytes for page 2 + sequence % 2. */
void ns__logmap_encode(const struct ns__logmap *map, uint8_t out[NS__BLOCK_BYTES]);

/* Reads 4096 bytes found at page `page` (2 or 3). NS_OK or NS_CORRUPT (also for another uuid).
 * Checks order, adjacency and sizes of the extents listed, and that none covers a fixed page or
 * reaches page_limit. */
ns_status ns__logmap_decode(const uint8_t bytes[NS__BLOCK_BYTES], uint32_t page,
                            const uint8_t uuid[NS__UUID_BYTES], uint32_t page_size,
                            uint64_t page_limit, struct ns__logmap *map_out);

static inline uint32_t ns__continuation_extents_max(uint32_t page_size)
{
    return (page_size - 32) / 32;
}

/* Encodes a whole continuation page (page_size bytes) and returns the checksum stored in it. */
uint64_t ns__continuation_encode(const uint8_t uuid[NS__UUID_BYTES], uint32_t page_size,
                                 uint64_t page, uint64_t next_page, uint64_t next_checksum,
                                 const struct ns__extent *extents, uint32_t count, uint8_t *out);

/* NS_OK or NS_CORRUPT. extents_out has room for ns__continuation_extents_max(). */
ns_status ns__continuation_decode(const uint8_t *bytes, const uint8_t uuid[NS__UUID_BYTES],
                                  uint32_t page_size, uint64_t page, uint64_t expected_checksum,
                                  uint64_t *next_page_out, uint64_t *next_checksum_out,
                                  struct ns__extent *extents_out, uint32_t *count_out);

#endif
