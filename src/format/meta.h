/* meta.h: encode, decode and choose metas (spec/file_format_v0.md, "Meta"). Pure. */
#ifndef NS_FORMAT_META_H
#define NS_FORMAT_META_H

#include "format/layout.h"

#define NS__FORMAT_VERSION 1u
#define NS__META_FLAG_LOG_PADDED 1u

struct ns__region_entry {
    uint32_t place;
    uint64_t checksum;
};

struct ns__meta {
    uint32_t page_size;
    uint8_t uuid[NS__UUID_BYTES];
    uint64_t sequence;
    uint64_t generation;
    uint64_t txn_id;
    int64_t unix_us;
    uint8_t chain[NS__CHAIN_BYTES];
    uint64_t log_replay;
    uint64_t log_watermark;
    uint64_t page_count;
    struct ns__tree main;
    struct ns__tree catalogue;
    uint64_t keyspaces;
    uint32_t flags;
    uint32_t history;
    uint64_t history_txns, history_bytes, history_seconds;
    int64_t created_us;
    uint64_t floor_txn;
    uint8_t floor_chain[NS__CHAIN_BYTES];
    uint64_t floor_log;
    uint32_t region_count;
    struct ns__region_entry regions[NS__REGIONS_MAX];
};

/* Writes 4096 bytes for page meta->sequence % 2. */
void ns__meta_encode(const struct ns__meta *meta, uint8_t out[NS__BLOCK_BYTES]);

/* Reads 4096 bytes found at page `page` (0 or 1) of a file of file_bytes. Checks everything that
 * can be checked without other pages. NS_OK; NS_NOTADB (no magic); NS_VERSION (magic and checksum
 * good, version newer: the detail names both); NS_CORRUPT (names the field). A version newer than
 * ours with a checksum that we cannot check is NS_VERSION too, unless the checksum is right with
 * our version in its place: then the version is damaged. meta_out is zeroed on failure. */
ns_status ns__meta_decode(const uint8_t bytes[NS__BLOCK_BYTES], uint32_t page, uint64_t file_bytes,
                          struct ns__meta *meta_out);

/* Which of two decoded metas is in force: 0, 1, or -1 (none). A slot's status is what decode said
 * of it. Both valid: the higher sequence, and they must be neighbours of one file (same uuid, page
 * size; sequences differ by 1), else -1. Either is NS_VERSION: -1, as a newer library wrote the
 * file last. */
int ns__meta_choose(const ns_status status[2], const struct ns__meta meta[2]);

#endif
