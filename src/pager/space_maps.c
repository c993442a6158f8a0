/* space_maps.c: writing the space maps of a checkpoint.
 *
 * Writing must not allocate: every bitmap and directory page has three places, of which the two
 * metas name at most two; the new version goes to the third (FMT-18). Until the meta that names it
 * is durable, the old versions rule. */
#include "base/assert.h"
#include "base/marks.h"
#include "format/spacemap.h"
#include "pager/space_internal.h"

static uint32_t third_place(uint32_t a, uint32_t b)
{
    uint32_t place = 1;
    while (place == a || place == b)
        place++;
    NS_ASSERT(place <= 3);
    return place;
}

/* Writes the bitmap of one dirty range and notes it in the region's new directory. */
static ns_status write_bitmap(struct ns__space *space, uint64_t range_index, uint8_t *buffer)
{
    uint32_t page_size = space->file->page_size;
    uint32_t region_index = ns__region_of_range(page_size, range_index);
    uint64_t at = range_index - ns__region_first_range(page_size, region_index);
    pthread_mutex_lock(&space->lock);
    struct ns__region *region = &space->regions[region_index];
    uint32_t place = third_place(region->entries[0][at].place, region->entries[1][at].place);
    uint64_t page = ns__bitmap_page(page_size, range_index, place);
    uint64_t checksum = ns__bitmap_encode(space->file->uuid, page_size, page, range_index,
                                          (const uint8_t *)space->ranges[range_index].live, buffer);
    region->entries[2][at] = (struct ns__region_entry){place, checksum};
    pthread_mutex_unlock(&space->lock);
    NS__MARK(bitmap_rotate);
    return ns__file_write(space->file, page * page_size, buffer, page_size);
}

static ns_status write_directory(struct ns__space *space, uint32_t region_index,
                                 struct ns__meta *next, uint8_t *buffer)
{
    uint32_t page_size = space->file->page_size;
    struct ns__region *region = &space->regions[region_index];
    uint32_t place = third_place(region->place[0].place, region->place[1].place);
    uint64_t page = ns__directory_page(page_size, region_index, place);
    uint64_t checksum = ns__directory_encode(space->file->uuid, page_size, page, region_index,
                                             region->entries[2], buffer);
    next->regions[region_index] = (struct ns__region_entry){place, checksum};
    return ns__file_write(space->file, page * page_size, buffer, page_size);
}

/* Begins the new directory of a region as a copy of the newest. */
static ns_status directory_begin(struct ns__space *space, uint32_t region_index)
{
    struct ns__region *region = &space->regions[region_index];
    uint64_t bytes =
        ns__region_ranges(space->file->page_size, region_index) * sizeof(struct ns__region_entry);
    if (region->entries[2] == NULL) region->entries[2] = ns__alloc(space->alloc, bytes);
    if (region->entries[2] == NULL) return NS_NOMEM;
    memcpy(region->entries[2], region->entries[0], bytes);
    return NS_OK;
}

static bool range_is_dirty(struct ns__space *space, uint64_t range_index)
{
    pthread_mutex_lock(&space->lock);
    bool is_dirty = space->ranges[range_index].is_dirty;
    pthread_mutex_unlock(&space->lock);
    return is_dirty;
}

ns_status ns__space_write_maps(struct ns__space *space, struct ns__meta *next)
{
    uint32_t page_size = space->file->page_size;
    pthread_mutex_lock(&space->lock);
    uint64_t count = space->range_count;
    next->page_count = space->file_pages;
    next->region_count = 0;
    memset(next->regions, 0, sizeof next->regions);
    for (uint32_t i = 0; i < NS__REGIONS_MAX; i++)
        next->regions[i] = space->regions[i].place[0];
    pthread_mutex_unlock(&space->lock);
    uint8_t *buffer = ns__alloc(space->alloc, page_size);
    if (buffer == NULL) return NS_NOMEM;
    ns_status status = NS_OK;
    uint32_t begun = UINT32_MAX;
    for (uint64_t i = 0; i < count && status == NS_OK; i++) {
        if (!range_is_dirty(space, i)) continue;
        uint32_t region = ns__region_of_range(page_size, i);
        if (region != begun) {
            if (begun != UINT32_MAX) status = write_directory(space, begun, next, buffer);
            if (status == NS_OK) status = directory_begin(space, region);
            begun = region;
        }
        if (status == NS_OK) status = write_bitmap(space, i, buffer);
    }
    if (status == NS_OK && begun != UINT32_MAX) {
        status = write_directory(space, begun, next, buffer);
    }
    ns__alloc_release(space->alloc, buffer, page_size);
    for (uint32_t i = 0; i < NS__REGIONS_MAX; i++) {
        if (next->regions[i].place != 0) next->region_count = i + 1;
    }
    return status;
}

/* What only the older meta of the last user held is free now. */
static void free_stale(struct ns__space *space, uint64_t range_index)
{
    struct ns__range *range = &space->ranges[range_index];
    if (range->stale == NULL) return;
    uint64_t words = ns__range_pages(space->file->page_size) / 64 + 1;
    uint64_t bytes = ns__range_pages(space->file->page_size) / 8 + 8;
    for (uint64_t i = 0; i < words && i < bytes / 8; i++) {
        uint64_t freed = range->stale[i] & range->busy[i];
        range->busy[i] &= ~freed;
        range->free_pages += (uint64_t)__builtin_popcountll(freed);
        space->free_pages += (uint64_t)__builtin_popcountll(freed);
    }
    range->longest_max = range->free_pages;
    ns__alloc_release(space->alloc, range->stale, bytes);
    range->stale = NULL;
}

void ns__space_rotate(struct ns__space *space, const struct ns__meta *next)
{
    pthread_mutex_lock(&space->lock);
    for (uint64_t i = 0; i < space->range_count; i++) {
        free_stale(space, i);
        space->ranges[i].is_dirty = false;
    }
    for (uint32_t i = 0; i < NS__REGIONS_MAX; i++) {
        struct ns__region *region = &space->regions[i];
        uint64_t bytes =
            ns__region_ranges(space->file->page_size, i) * sizeof(struct ns__region_entry);
        bool is_new = memcmp(&next->regions[i].checksum, &region->place[0].checksum, 8) != 0 ||
                      next->regions[i].place != region->place[0].place;
        if (region->entries[0] != NULL && region->entries[1] != NULL) {
            memcpy(region->entries[1], region->entries[0], bytes);
        }
        if (is_new) memcpy(region->entries[0], region->entries[2], bytes);
        region->place[1] = region->place[0];
        region->place[0] = next->regions[i];
    }
    pthread_mutex_unlock(&space->lock);
}
