/* spacemap.h: encode and decode bitmap and directory pages (spec/file_format_v0.md, "Space maps").
 * Pure. */
#ifndef NS_FORMAT_SPACEMAP_H
#define NS_FORMAT_SPACEMAP_H

#include "format/layout.h"
#include "format/meta.h"

/* bits: ns__range_pages() / 8 bytes. Both return the checksum stored in the page. out has page_size
 * bytes. */
uint64_t ns__bitmap_encode(const uint8_t uuid[NS__UUID_BYTES], uint32_t page_size, uint64_t page,
                           uint64_t range, const uint8_t *bits, uint8_t *out);
uint64_t ns__directory_encode(const uint8_t uuid[NS__UUID_BYTES], uint32_t page_size, uint64_t page,
                              uint32_t region, const struct ns__region_entry *entries,
                              uint8_t *out);

/* NS_OK or NS_CORRUPT. expected_checksum is the one that the directory (or meta) names. */
ns_status ns__bitmap_decode(const uint8_t *bytes, const uint8_t uuid[NS__UUID_BYTES],
                            uint32_t page_size, uint64_t page, uint64_t range,
                            uint64_t expected_checksum, uint8_t *bits_out);
ns_status ns__directory_decode(const uint8_t *bytes, const uint8_t uuid[NS__UUID_BYTES],
                               uint32_t page_size, uint64_t page, uint32_t region,
                               uint64_t expected_checksum, struct ns__region_entry *entries_out);

#endif
