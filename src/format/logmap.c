/* logmap.c: the list of the log's extents, in a log map and its continuation pages.
 *
 * Both kinds of page hold a run of extents in order of log offset. Decoding checks the page in
 * itself and the run in itself (FMT-20): sizes, adjacency, epochs that never fall, no fixed page.
 * How the runs of several pages join, and that extents do not overlap in the file, is checked by
 * the log floor, which has them all.
 *
 * Invariant: a page that decodes encodes to the same bytes. */
#include "format/logmap.h"

#include "base/assert.h"
#include "base/status.h"
#include "format/fields.h"

#define LOGMAP_AT(name, offset, size, text) LOGMAP_##name = (offset),
#define EXTENT_AT(name, offset, size, text) EXTENT_##name = (offset),
#define CONTINUATION_AT(name, offset, size, text) CONTINUATION_##name = (offset),
enum { NS__LOGMAP_FIELDS(LOGMAP_AT) };
enum { NS__EXTENT_FIELDS(EXTENT_AT) };
enum { NS__CONTINUATION_FIELDS(CONTINUATION_AT) };

#define MAGIC "NSTARLOG"
#define FIRST_MAP_PAGE 2u

/* ---- extents ---- */

static void store_extents(uint8_t *out, const struct ns__extent *extents, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, out += NS__EXTENT_BYTES) {
        ns__store64(out + EXTENT_LOG_START, extents[i].log_start);
        ns__store64(out + EXTENT_LOG_END, extents[i].log_end);
        ns__store64(out + EXTENT_PAGE, extents[i].page);
        ns__store32(out + EXTENT_PAGES, extents[i].pages);
        ns__store32(out + EXTENT_EPOCH, extents[i].epoch);
    }
}

static void load_extents(const uint8_t *bytes, struct ns__extent *extents_out, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, bytes += NS__EXTENT_BYTES) {
        extents_out[i].log_start = ns__load64(bytes + EXTENT_LOG_START);
        extents_out[i].log_end = ns__load64(bytes + EXTENT_LOG_END);
        extents_out[i].page = ns__load64(bytes + EXTENT_PAGE);
        extents_out[i].pages = ns__load32(bytes + EXTENT_PAGES);
        extents_out[i].epoch = ns__load32(bytes + EXTENT_EPOCH);
    }
}

/* Is any of the pages [first, end) a meta, a log map or part of a map area? end <=
 * ns__page_count_max(). */
static bool covers_fixed(uint32_t page_size, uint64_t first, uint64_t end)
{
    if (first < NS__REGION_MAP_PAGE_0) return true;
    uint64_t range_pages = ns__range_pages(page_size);
    uint32_t region = ns__region_of_range(page_size, first / range_pages);
    uint32_t last = ns__region_of_range(page_size, (end - 1) / range_pages);
    for (; region <= last; region++) { /* at most NS__REGIONS_MAX + 1 rounds, as end is bounded */
        uint64_t map = ns__region_map_page(page_size, region);
        if (map < end && first < map + ns__region_map_pages(page_size, region)) return true;
    }
    return false;
}

static bool pages_are_good(const struct ns__extent *extent, uint32_t page_size, uint64_t page_limit)
{
    uint64_t end;
    if (extent->pages == 0) return false;
    if (__builtin_add_overflow(extent->page, extent->pages, &end)) return false;
    if (end > page_limit || end > ns__page_count_max(page_size)) return false;
    return !covers_fixed(page_size, extent->page, end);
}

static ns_status check_extents(const struct ns__extent *extents, uint32_t count, uint64_t page,
                               uint32_t page_size, uint64_t page_limit)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct ns__extent *extent = &extents[i];
        if (!pages_are_good(extent, page_size, page_limit)) {
            return ns__corrupt(page, "log map: extent %u: %u pages at %llu", (unsigned)i,
                               (unsigned)extent->pages, (unsigned long long)extent->page);
        }
        if (extent->log_start >= extent->log_end ||
            extent->log_end - extent->log_start > (uint64_t)extent->pages * page_size) {
            return ns__corrupt(page, "log map: extent %u: log offsets %llu to %llu in %u pages",
                               (unsigned)i, (unsigned long long)extent->log_start,
                               (unsigned long long)extent->log_end, (unsigned)extent->pages);
        }
        if (i == 0) continue;
        if (extent->log_start != extents[i - 1].log_end) {
            return ns__corrupt(page, "log map: extent %u: starts at log offset %llu, not at %llu",
                               (unsigned)i, (unsigned long long)extent->log_start,
                               (unsigned long long)extents[i - 1].log_end);
        }
        if (extent->epoch < extents[i - 1].epoch) {
            return ns__corrupt(page, "log map: extent %u: epoch falls to %u", (unsigned)i,
                               (unsigned)extent->epoch);
        }
    }
    return NS_OK;
}

static bool next_page_is_good(uint64_t next_page, uint64_t next_checksum, uint32_t page_size,
                              uint64_t page_limit)
{
    if (next_page == 0) return next_checksum == 0;
    return next_page < page_limit && next_page < ns__page_count_max(page_size) &&
           !ns__page_is_fixed(page_size, next_page);
}

/* ---- log maps ---- */

void ns__logmap_encode(const struct ns__logmap *map, uint8_t out[NS__BLOCK_BYTES])
{
    NS_ASSERT(map->extent_count <= NS__LOGMAP_EXTENTS);
    uint32_t count =
        map->extent_count <= NS__LOGMAP_EXTENTS ? map->extent_count : NS__LOGMAP_EXTENTS;
    memset(out, 0, NS__BLOCK_BYTES);
    memcpy(out + LOGMAP_MAGIC, MAGIC, sizeof MAGIC - 1);
    memcpy(out + LOGMAP_UUID, map->uuid, NS__UUID_BYTES);
    ns__store64(out + LOGMAP_SEQUENCE, map->sequence);
    ns__store64(out + LOGMAP_WATERMARK, map->watermark);
    ns__store32(out + LOGMAP_FLAGS, map->flags);
    ns__store32(out + LOGMAP_EXTENT_COUNT, map->extent_count);
    ns__store64(out + LOGMAP_NEXT_PAGE, map->continuation_page);
    ns__store64(out + LOGMAP_NEXT_CHECKSUM, map->continuation_checksum);
    ns__store64(out + LOGMAP_EXTENTS_TOTAL, map->extents_total);
    ns__store32(out + LOGMAP_EPOCH, map->epoch);
    store_extents(out + LOGMAP_EXTENTS, map->extents, count);
    uint64_t page = FIRST_MAP_PAGE + map->sequence % 2;
    ns__store64(out + LOGMAP_CHECKSUM, ns__checksum64(out, LOGMAP_CHECKSUM, page));
}

static ns_status check_frame(const uint8_t bytes[NS__BLOCK_BYTES], uint32_t page,
                             const uint8_t uuid[NS__UUID_BYTES])
{
    if (memcmp(bytes + LOGMAP_MAGIC, MAGIC, sizeof MAGIC - 1) != 0) {
        return ns__corrupt(page, "log map: no magic");
    }
    if (ns__checksum64(bytes, LOGMAP_CHECKSUM, page) != ns__load64(bytes + LOGMAP_CHECKSUM)) {
        return ns__corrupt(page, "log map: checksum mismatch");
    }
    if (memcmp(bytes + LOGMAP_UUID, uuid, NS__UUID_BYTES) != 0) {
        return ns__corrupt(page, "log map: uuid of another file");
    }
    if (!ns__is_zero(bytes + LOGMAP_RESERVED, LOGMAP_EXTENTS - LOGMAP_RESERVED)) {
        return ns__corrupt(page, "log map: reserved bytes are not zero");
    }
    return NS_OK;
}

static ns_status check_map(const uint8_t bytes[NS__BLOCK_BYTES], const struct ns__logmap *map,
                           uint32_t page, uint32_t page_size, uint64_t page_limit)
{
    if (map->sequence == 0 || map->sequence % 2 != page - FIRST_MAP_PAGE) {
        return ns__corrupt(page, "log map: sequence %llu does not belong here",
                           (unsigned long long)map->sequence);
    }
    if ((map->flags & ~NS__LOGMAP_FLAG_IN_USE) != 0) {
        return ns__corrupt(page, "log map: flags 0x%x", (unsigned)map->flags);
    }
    if (!next_page_is_good(map->continuation_page, map->continuation_checksum, page_size,
                           page_limit)) {
        return ns__corrupt(page, "log map: continuation page %llu",
                           (unsigned long long)map->continuation_page);
    }
    if (map->extents_total < map->extent_count ||
        (map->extents_total > map->extent_count) != (map->continuation_page != 0)) {
        return ns__corrupt(page, "log map: %llu extents in all, %u listed here",
                           (unsigned long long)map->extents_total, (unsigned)map->extent_count);
    }
    NS_TRY(check_extents(map->extents, map->extent_count, page, page_size, page_limit));
    if (map->extent_count > 0 && map->extents[map->extent_count - 1].epoch > map->epoch) {
        return ns__corrupt(page, "log map: newest epoch %u", (unsigned)map->epoch);
    }
    size_t used = LOGMAP_EXTENTS + (size_t)map->extent_count * NS__EXTENT_BYTES;
    if (!ns__is_zero(bytes + used, LOGMAP_CHECKSUM - used)) {
        return ns__corrupt(page, "log map: unused extent entries are not zero");
    }
    return NS_OK;
}

bool ns__logmap_head_says_closed(const uint8_t head[NS__LOGMAP_HEAD_BYTES])
{
    return memcmp(head + LOGMAP_MAGIC, MAGIC, sizeof MAGIC - 1) == 0 &&
           ns__load32(head + LOGMAP_FLAGS) == 0;
}

ns_status ns__logmap_decode(const uint8_t bytes[NS__BLOCK_BYTES], uint32_t page,
                            const uint8_t uuid[NS__UUID_BYTES], uint32_t page_size,
                            uint64_t page_limit, struct ns__logmap *map_out)
{
    memset(map_out, 0, sizeof *map_out);
    NS_TRY(check_frame(bytes, page, uuid));
    uint32_t count = ns__load32(bytes + LOGMAP_EXTENT_COUNT);
    if (count > NS__LOGMAP_EXTENTS) {
        return ns__corrupt(page, "log map: %u extents listed here", (unsigned)count);
    }
    memcpy(map_out->uuid, bytes + LOGMAP_UUID, NS__UUID_BYTES);
    map_out->sequence = ns__load64(bytes + LOGMAP_SEQUENCE);
    map_out->watermark = ns__load64(bytes + LOGMAP_WATERMARK);
    map_out->flags = ns__load32(bytes + LOGMAP_FLAGS);
    map_out->extent_count = count;
    map_out->continuation_page = ns__load64(bytes + LOGMAP_NEXT_PAGE);
    map_out->continuation_checksum = ns__load64(bytes + LOGMAP_NEXT_CHECKSUM);
    map_out->extents_total = ns__load64(bytes + LOGMAP_EXTENTS_TOTAL);
    map_out->epoch = ns__load32(bytes + LOGMAP_EPOCH);
    load_extents(bytes + LOGMAP_EXTENTS, map_out->extents, count);
    ns_status status = check_map(bytes, map_out, page, page_size, page_limit);
    if (status != NS_OK) memset(map_out, 0, sizeof *map_out);
    return status;
}

/* ---- continuation pages (FMT-19) ---- */

uint64_t ns__continuation_encode(const uint8_t uuid[NS__UUID_BYTES], uint32_t page_size,
                                 uint64_t page, uint64_t next_page, uint64_t next_checksum,
                                 const struct ns__extent *extents, uint32_t count, uint8_t *out)
{
    NS_ASSERT(count <= ns__continuation_extents_max(page_size));
    if (count > ns__continuation_extents_max(page_size)) {
        count = ns__continuation_extents_max(page_size);
    }
    memset(out, 0, page_size);
    ns__store64(out + CONTINUATION_NEXT_PAGE, next_page);
    out[CONTINUATION_TYPE] = NS__TYPE_CONTINUATION;
    ns__store32(out + CONTINUATION_EXTENT_COUNT, count);
    ns__store64(out + CONTINUATION_NEXT_CHECKSUM, next_checksum);
    store_extents(out + CONTINUATION_EXTENTS, extents, count);
    uint64_t checksum = ns__page_checksum(out, page_size, ns__page_seed(uuid, page));
    ns__store64(out + CONTINUATION_CHECKSUM, checksum);
    return checksum;
}

static ns_status check_continuation(const uint8_t *bytes, const uint8_t uuid[NS__UUID_BYTES],
                                    uint32_t page_size, uint64_t page, uint64_t expected_checksum)
{
    uint64_t stored = ns__load64(bytes + CONTINUATION_CHECKSUM);
    if (ns__page_checksum(bytes, page_size, ns__page_seed(uuid, page)) != stored) {
        return ns__corrupt(page, "log map continuation: checksum mismatch");
    }
    if (stored != expected_checksum) {
        return ns__corrupt(page, "log map continuation: another version of the page");
    }
    if (bytes[CONTINUATION_TYPE] != NS__TYPE_CONTINUATION) {
        return ns__corrupt(page, "log map continuation: type %u", bytes[CONTINUATION_TYPE]);
    }
    if (!ns__is_zero(bytes + CONTINUATION_RESERVED,
                     CONTINUATION_EXTENT_COUNT - CONTINUATION_RESERVED)) {
        return ns__corrupt(page, "log map continuation: reserved bytes are not zero");
    }
    uint32_t count = ns__load32(bytes + CONTINUATION_EXTENT_COUNT);
    if (count == 0 || count > ns__continuation_extents_max(page_size)) {
        return ns__corrupt(page, "log map continuation: %u extents here", (unsigned)count);
    }
    uint64_t next_page = ns__load64(bytes + CONTINUATION_NEXT_PAGE);
    if (next_page == page ||
        !next_page_is_good(next_page, ns__load64(bytes + CONTINUATION_NEXT_CHECKSUM), page_size,
                           UINT64_MAX)) {
        return ns__corrupt(page, "log map continuation: next continuation page %llu",
                           (unsigned long long)next_page);
    }
    size_t used = CONTINUATION_EXTENTS + (size_t)count * NS__EXTENT_BYTES;
    if (!ns__is_zero(bytes + used, page_size - used)) {
        return ns__corrupt(page, "log map continuation: unused entries are not zero");
    }
    return NS_OK;
}

ns_status ns__continuation_decode(const uint8_t *bytes, const uint8_t uuid[NS__UUID_BYTES],
                                  uint32_t page_size, uint64_t page, uint64_t expected_checksum,
                                  uint64_t *next_page_out, uint64_t *next_checksum_out,
                                  struct ns__extent *extents_out, uint32_t *count_out)
{
    *next_page_out = 0;
    *next_checksum_out = 0;
    *count_out = 0;
    NS_TRY(check_continuation(bytes, uuid, page_size, page, expected_checksum));
    uint32_t count = ns__load32(bytes + CONTINUATION_EXTENT_COUNT);
    load_extents(bytes + CONTINUATION_EXTENTS, extents_out, count);
    NS_TRY(check_extents(extents_out, count, page, page_size, UINT64_MAX));
    *next_page_out = ns__load64(bytes + CONTINUATION_NEXT_PAGE);
    *next_checksum_out = ns__load64(bytes + CONTINUATION_NEXT_CHECKSUM);
    *count_out = count;
    return NS_OK;
}
