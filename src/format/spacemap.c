/* spacemap.c: bitmap pages (which pages of a range the root uses) and directory pages (which of its
 * three places each range's bitmap is in). FMT-16, FMT-17.
 *
 * A page is accepted when its checksum is right for this file and page number, when it is the
 * version that its parent names, and when everything in it is possible: no bit of a fixed page, the
 * number of bits as stated, zero wherever nothing is stored. A page that decodes encodes to the
 * same bytes. */
#include "format/spacemap.h"

#include "base/status.h"
#include "format/fields.h"

#define PLACE_AT(name, offset, size, text) PLACE_##name = (offset),
#define DIRECTORY_AT(name, offset, size, text) DIRECTORY_##name = (offset),
#define BITMAP_AT(name, offset, size, text) BITMAP_##name = (offset),
enum { NS__PLACE_FIELDS(PLACE_AT) };
enum { NS__DIRECTORY_FIELDS(DIRECTORY_AT) };
enum { NS__BITMAP_FIELDS(BITMAP_AT) };

#define BITMAP_BITS NS__MAP_HEADER_BYTES

static size_t bits_bytes(uint32_t page_size)
{
    return page_size - NS__MAP_HEADER_BYTES;
}

static uint32_t count_bits(const uint8_t *bits, size_t size)
{
    uint32_t count = 0;
    for (size_t i = 0; i < size; i += 8) { /* sizes are multiples of 8 */
        count += (uint32_t)__builtin_popcountll(ns__load64(bits + i));
    }
    return count;
}

/* Fixed pages are the first pages of a region's first range; how many of this range are fixed? */
static uint64_t fixed_prefix(uint32_t page_size, uint64_t range)
{
    uint32_t region = ns__region_of_range(page_size, range);
    if (range != ns__region_first_range(page_size, region)) return 0;
    uint64_t end = ns__region_map_page(page_size, region) + ns__region_map_pages(page_size, region);
    return end - range * ns__range_pages(page_size);
}

static bool prefix_is_clear(const uint8_t *bits, uint64_t bit_count)
{
    size_t bytes = (size_t)(bit_count / 8);
    return ns__is_zero(bits, bytes) && (bits[bytes] & ((1u << (bit_count % 8)) - 1)) == 0;
}

/* What both kinds of page have in common. */
static ns_status check_checksum(const uint8_t *bytes, const uint8_t uuid[NS__UUID_BYTES],
                                uint32_t page_size, uint64_t page, uint64_t expected_checksum,
                                const char *kind)
{
    uint64_t stored = ns__load64(bytes);
    if (ns__page_checksum(bytes, page_size, ns__page_seed(uuid, page)) != stored) {
        return ns__corrupt(page, "%s: checksum mismatch", kind);
    }
    if (stored != expected_checksum) {
        return ns__corrupt(page, "%s: another version of the page", kind);
    }
    return NS_OK;
}

/* ---- bitmaps ---- */

uint64_t ns__bitmap_encode(const uint8_t uuid[NS__UUID_BYTES], uint32_t page_size, uint64_t page,
                           uint64_t range, const uint8_t *bits, uint8_t *out)
{
    memset(out, 0, NS__MAP_HEADER_BYTES);
    ns__store64(out + BITMAP_RANGE, range);
    out[BITMAP_TYPE] = NS__TYPE_BITMAP;
    ns__store32(out + BITMAP_BIT_COUNT, count_bits(bits, bits_bytes(page_size)));
    memcpy(out + BITMAP_BITS, bits, bits_bytes(page_size));
    uint64_t checksum = ns__page_checksum(out, page_size, ns__page_seed(uuid, page));
    ns__store64(out + BITMAP_CHECKSUM, checksum);
    return checksum;
}

static ns_status check_bitmap(const uint8_t *bytes, uint32_t page_size, uint64_t page,
                              uint64_t range)
{
    if (bytes[BITMAP_TYPE] != NS__TYPE_BITMAP) {
        return ns__corrupt(page, "bitmap: type %u", bytes[BITMAP_TYPE]);
    }
    if (ns__load64(bytes + BITMAP_RANGE) != range) {
        return ns__corrupt(page, "bitmap: range number %llu instead of %llu",
                           (unsigned long long)ns__load64(bytes + BITMAP_RANGE),
                           (unsigned long long)range);
    }
    if (!ns__is_zero(bytes + BITMAP_RESERVED_1, BITMAP_BIT_COUNT - BITMAP_RESERVED_1) ||
        !ns__is_zero(bytes + BITMAP_RESERVED_2, BITMAP_BITS - BITMAP_RESERVED_2)) {
        return ns__corrupt(page, "bitmap: reserved bytes are not zero");
    }
    uint32_t found = count_bits(bytes + BITMAP_BITS, bits_bytes(page_size));
    if (ns__load32(bytes + BITMAP_BIT_COUNT) != found) {
        return ns__corrupt(page, "bitmap: number of bits set: %u stated, %u found",
                           (unsigned)ns__load32(bytes + BITMAP_BIT_COUNT), (unsigned)found);
    }
    if (!prefix_is_clear(bytes + BITMAP_BITS, fixed_prefix(page_size, range))) {
        return ns__corrupt(page, "bitmap: the bit of a meta, log map or map area is set");
    }
    return NS_OK;
}

ns_status ns__bitmap_decode(const uint8_t *bytes, const uint8_t uuid[NS__UUID_BYTES],
                            uint32_t page_size, uint64_t page, uint64_t range,
                            uint64_t expected_checksum, uint8_t *bits_out)
{
    memset(bits_out, 0, bits_bytes(page_size));
    NS_TRY(check_checksum(bytes, uuid, page_size, page, expected_checksum, "bitmap"));
    NS_TRY(check_bitmap(bytes, page_size, page, range));
    memcpy(bits_out, bytes + BITMAP_BITS, bits_bytes(page_size));
    return NS_OK;
}

/* ---- directories ---- */

uint64_t ns__directory_encode(const uint8_t uuid[NS__UUID_BYTES], uint32_t page_size, uint64_t page,
                              uint32_t region, const struct ns__region_entry *entries, uint8_t *out)
{
    memset(out, 0, page_size);
    ns__store64(out + DIRECTORY_REGION, region);
    out[DIRECTORY_TYPE] = NS__TYPE_DIRECTORY;
    uint32_t count = ns__region_ranges(page_size, region);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *entry = out + DIRECTORY_RANGES + (size_t)i * NS__PLACE_BYTES;
        ns__store32(entry + PLACE_PLACE, entries[i].place);
        ns__store64(entry + PLACE_CHECKSUM, entries[i].checksum);
    }
    uint64_t checksum = ns__page_checksum(out, page_size, ns__page_seed(uuid, page));
    ns__store64(out + DIRECTORY_CHECKSUM, checksum);
    return checksum;
}

static ns_status check_directory(const uint8_t *bytes, uint32_t page_size, uint64_t page,
                                 uint32_t region)
{
    if (bytes[DIRECTORY_TYPE] != NS__TYPE_DIRECTORY) {
        return ns__corrupt(page, "directory: type %u", bytes[DIRECTORY_TYPE]);
    }
    if (ns__load64(bytes + DIRECTORY_REGION) != region) {
        return ns__corrupt(page, "directory: region number %llu instead of %u",
                           (unsigned long long)ns__load64(bytes + DIRECTORY_REGION),
                           (unsigned)region);
    }
    if (!ns__is_zero(bytes + DIRECTORY_RESERVED, DIRECTORY_RANGES - DIRECTORY_RESERVED)) {
        return ns__corrupt(page, "directory: reserved bytes are not zero");
    }
    uint32_t count = ns__region_ranges(page_size, region);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *entry = bytes + DIRECTORY_RANGES + (size_t)i * NS__PLACE_BYTES;
        uint32_t place = ns__load32(entry + PLACE_PLACE);
        if (place > 3 || (place == 0 && ns__load64(entry + PLACE_CHECKSUM) != 0)) {
            return ns__corrupt(page, "directory: range %u of the region: place %u", (unsigned)i,
                               (unsigned)place);
        }
    }
    size_t used = DIRECTORY_RANGES + (size_t)count * NS__PLACE_BYTES;
    if (!ns__is_zero(bytes + used, page_size - used)) {
        return ns__corrupt(page, "directory: bytes behind the last range are not zero");
    }
    return NS_OK;
}

ns_status ns__directory_decode(const uint8_t *bytes, const uint8_t uuid[NS__UUID_BYTES],
                               uint32_t page_size, uint64_t page, uint32_t region,
                               uint64_t expected_checksum, struct ns__region_entry *entries_out)
{
    uint32_t count = ns__region_ranges(page_size, region);
    memset(entries_out, 0, count * sizeof *entries_out);
    NS_TRY(check_checksum(bytes, uuid, page_size, page, expected_checksum, "directory"));
    NS_TRY(check_directory(bytes, page_size, page, region));
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *entry = bytes + DIRECTORY_RANGES + (size_t)i * NS__PLACE_BYTES;
        entries_out[i].place = ns__load32(entry + PLACE_PLACE);
        entries_out[i].checksum = ns__load64(entry + PLACE_CHECKSUM);
    }
    return NS_OK;
}
