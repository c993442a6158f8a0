/* space.c: the page allocator: bitmaps in memory, growth of the file.
 *
 * Terms. A page is *busy* if it may not be handed out: a fixed page, a page of either meta's root,
 * of the log, of a newer root, or waiting for a holder. It is *live* if the root of the next
 * checkpoint holds it. Bitmaps are loaded range by range when they are first needed (so opening
 * costs nothing), from the maps of both metas.
 *
 * Invariants.
 *   S1  A page handed out was not busy, lies below file_pages, and has real space behind it.
 *   S2  A page of a root that a meta names stays busy until a later checkpoint's meta is durable
 *       and no holder reaches it (the pager returns it then; see waiting.h).
 *   S3  free_pages counts the clear busy bits of loaded ranges below file_pages.
 *   S4  What a checkpoint will need for the frames of the newest root is free at any time (promised
 *       <= free_pages), so that a full disk is met by the commit that would need more, never by a
 *       checkpoint.
 *
 * Writing the maps is in space_maps.c. */
#include "base/assert.h"
#include "base/marks.h"
#include "format/spacemap.h"
#include "pager/space_internal.h"

#define GROW_PAGES_MIN 32u
#define GROW_BYTES_MAX (UINT64_C(64) << 20)
#define RESERVE_PAGES 96u
#define SOME_PAGES                                                                                 \
    8u /* a run worth a write of its own: low holes are filled before the file grows */
#define SOME_RUNS 32u /* so many are compared */
#define LOADS_PER_TAKE 4u

static bool bit_get(const uint64_t *bits, uint64_t index)
{
    return (bits[index >> 6] >> (index & 63) & 1) != 0;
}

static void bit_put(uint64_t *bits, uint64_t index, bool value)
{
    uint64_t mask = UINT64_C(1) << (index & 63);
    if (value)
        bits[index >> 6] |= mask;
    else
        bits[index >> 6] &= ~mask;
}

ns_status ns__space_init(struct ns__space *space, struct ns__pages *pages, struct ns__file *file,
                         struct ns__alloc *alloc, struct ns_vfs_map *map)
{
    space->file = file;
    space->pages = pages;
    space->alloc = alloc;
    space->map = map;
    space->reserve = RESERVE_PAGES;
    uint64_t limit = ns__page_count_max(file->page_size);
    uint64_t mapped = map->reserved / file->page_size;
    space->page_limit = mapped < limit ? mapped : limit;
    pthread_mutex_init(&space->lock, NULL);
    void *bits;
    NS_TRY(file->vfs->reserve(file->vfs->ctx, (space->page_limit + 1) * 4, &bits));
    space->epochs = bits;
    space->epoch = 1;
    return NS_OK;
}

static uint64_t range_bytes(const struct ns__space *space)
{
    return ns__range_pages(space->file->page_size) / 8 + 8;
}

static void range_release(struct ns__space *space, struct ns__range *range)
{
    ns__alloc_release(space->alloc, range->busy, range_bytes(space));
    ns__alloc_release(space->alloc, range->live, range_bytes(space));
    ns__alloc_release(space->alloc, range->stale, range_bytes(space));
    *range = (struct ns__range){0};
}

void ns__space_deinit(struct ns__space *space)
{
    if (space->alloc == NULL) return;
    for (uint64_t i = 0; i < space->range_count; i++)
        range_release(space, &space->ranges[i]);
    ns__alloc_release(space->alloc, space->ranges, space->range_capacity * sizeof *space->ranges);
    for (uint32_t i = 0; i < NS__REGIONS_MAX; i++) {
        uint64_t bytes =
            ns__region_ranges(space->file->page_size, i) * sizeof(struct ns__region_entry);
        ns__alloc_release(space->alloc, space->regions[i].entries[0], bytes);
        ns__alloc_release(space->alloc, space->regions[i].entries[1], bytes);
        ns__alloc_release(space->alloc, space->regions[i].entries[2], bytes);
    }
    if (space->epochs != NULL) {
        space->file->vfs->unreserve(space->file->vfs->ctx, space->epochs,
                                    (space->page_limit + 1) * 4);
    }
    pthread_mutex_destroy(&space->lock);
    *space = (struct ns__space){0};
}

/* ---- loading ---- */

static ns_status ranges_fit(struct ns__space *space, uint64_t count)
{
    if (count > space->range_capacity) {
        uint64_t capacity = count < 8 ? 8 : count * 2;
        struct ns__range *ranges =
            ns__alloc_resize(space->alloc, space->ranges, space->range_capacity * sizeof *ranges,
                             capacity * sizeof *ranges);
        if (ranges == NULL) return NS_NOMEM;
        memset(ranges + space->range_capacity, 0,
               (capacity - space->range_capacity) * sizeof *ranges);
        space->ranges = ranges;
        space->range_capacity = capacity;
    }
    if (count > space->range_count) space->range_count = count;
    return NS_OK;
}

/* The directory entries of a region as meta `which` (0 newest, 1 older) has them. */
static ns_status directory_load(struct ns__space *space, uint32_t region_index, int which)
{
    struct ns__region *region = &space->regions[region_index];
    if (region->entries[which] != NULL) return NS_OK;
    uint32_t page_size = space->file->page_size;
    uint64_t bytes = ns__region_ranges(page_size, region_index) * sizeof(struct ns__region_entry);
    struct ns__region_entry *entries = ns__alloc_zeroed(space->alloc, bytes);
    uint8_t *buffer = ns__alloc(space->alloc, page_size);
    ns_status status = entries == NULL || buffer == NULL ? NS_NOMEM : NS_OK;
    const struct ns__region_entry *place = &region->place[which];
    if (status == NS_OK && place->place != 0) {
        uint64_t page = ns__directory_page(page_size, region_index, place->place);
        status = ns__file_read(space->file, page * page_size, buffer, page_size);
        if (status == NS_OK) {
            status = ns__directory_decode(buffer, space->file->uuid, page_size, page, region_index,
                                          place->checksum, entries);
        }
    }
    ns__alloc_release(space->alloc, buffer, page_size);
    if (status == NS_OK)
        region->entries[which] = entries;
    else
        ns__alloc_release(space->alloc, entries, bytes);
    return status;
}

static ns_status bitmap_load(struct ns__space *space, uint64_t range_index,
                             const struct ns__region_entry *entry, uint64_t *bits)
{
    uint32_t page_size = space->file->page_size;
    memset(bits, 0, range_bytes(space));
    if (entry->place == 0) return NS_OK;
    uint8_t *buffer = ns__alloc(space->alloc, page_size);
    if (buffer == NULL) return NS_NOMEM;
    uint64_t page = ns__bitmap_page(page_size, range_index, entry->place);
    ns_status status = ns__file_read(space->file, page * page_size, buffer, page_size);
    if (status == NS_OK) {
        status = ns__bitmap_decode(buffer, space->file->uuid, page_size, page, range_index,
                                   entry->checksum, (uint8_t *)bits);
    }
    ns__alloc_release(space->alloc, buffer, page_size);
    return status;
}

static void count_free(struct ns__space *space, uint64_t range_index, struct ns__range *range)
{
    uint64_t pages = ns__range_pages(space->file->page_size);
    uint64_t first = range_index * pages;
    uint64_t end = space->file_pages <= first          ? 0
                   : space->file_pages - first < pages ? space->file_pages - first
                                                       : pages;
    range->free_pages = 0;
    for (uint64_t i = 0; i < end; i++)
        range->free_pages += !bit_get(range->busy, i);
    range->longest_max = range->free_pages;
}

static void fill_range(struct ns__space *space, uint64_t range_index, struct ns__range *range)
{
    uint32_t page_size = space->file->page_size;
    uint64_t pages = ns__range_pages(page_size);
    bool is_stale = false;
    for (uint64_t word = 0; word < range_bytes(space) / 8; word++) {
        uint64_t older = range->stale[word];
        range->busy[word] = range->live[word] | older;
        range->stale[word] = older & ~range->live[word];
        is_stale |= range->stale[word] != 0;
    }
    if (!is_stale) {
        ns__alloc_release(space->alloc, range->stale, range_bytes(space));
        range->stale = NULL;
    }
    uint64_t map_page = range_index * pages;
    uint32_t region = ns__region_of_range(page_size, range_index);
    if (range_index == ns__region_first_range(page_size, region)) {
        uint64_t end =
            ns__region_map_page(page_size, region) + ns__region_map_pages(page_size, region);
        for (uint64_t i = map_page; i < end; i++)
            bit_put(range->busy, i - map_page, true);
    }
    count_free(space, range_index, range);
    space->free_pages += range->free_pages;
}

ns_status ns__space_load_range(struct ns__space *space, uint64_t range_index)
{
    if (range_index > space->page_limit / ns__range_pages(space->file->page_size)) {
        return ns__error(NS_CORRUPT, "range %llu lies beyond the largest file",
                         (unsigned long long)range_index);
    }
    NS_TRY(ranges_fit(space, range_index + 1));
    struct ns__range *range = &space->ranges[range_index];
    if (range->busy != NULL) return NS_OK;
    uint32_t region = ns__region_of_range(space->file->page_size, range_index);
    uint64_t at = range_index - ns__region_first_range(space->file->page_size, region);
    NS_TRY(directory_load(space, region, 0));
    NS_TRY(directory_load(space, region, 1));
    struct ns__range fresh = {
        .busy = ns__alloc_zeroed(space->alloc, range_bytes(space)),
        .live = ns__alloc_zeroed(space->alloc, range_bytes(space)),
        .stale = ns__alloc_zeroed(space->alloc, range_bytes(space)),
    };
    ns_status status =
        fresh.busy == NULL || fresh.live == NULL || fresh.stale == NULL ? NS_NOMEM : NS_OK;
    const struct ns__region *r = &space->regions[region];
    if (status == NS_OK) status = bitmap_load(space, range_index, &r->entries[0][at], fresh.live);
    if (status == NS_OK) status = bitmap_load(space, range_index, &r->entries[1][at], fresh.stale);
    if (status != NS_OK) {
        ns__error_prefix("space map of range %llu", (unsigned long long)range_index);
        range_release(space, &fresh);
        return status;
    }
    fill_range(space, range_index, &fresh);
    space->ranges[range_index] = fresh;
    return NS_OK;
}

/* ---- growing ---- */

/* Makes the file (at least) `pages` long, with real space behind the new pages, and shows them in
 * the map. */
static ns_status grow_to(struct ns__space *space, uint64_t pages)
{
    uint32_t page_size = space->file->page_size;
    if (pages > space->page_limit) {
        return ns__error(NS_FULL, "the file would pass its limit of %llu pages of %u bytes",
                         (unsigned long long)space->page_limit, page_size);
    }
    const struct ns_vfs *vfs = space->file->vfs;
    uint64_t old = space->file_pages;
    uint64_t range_pages = ns__range_pages(page_size);
    for (uint64_t r = old / range_pages; r <= (pages - 1) / range_pages; r++) {
        NS_TRY(ns__space_load_range(space, r));
    }
    ns_status status =
        vfs->allocate(vfs->ctx, space->file->handle, old * page_size, pages * page_size);
    if (status == NS_OK) {
        status = vfs->map_extend(vfs->ctx, space->file->handle, space->map, pages * page_size);
    }
    if (status != NS_OK) {
        return ns__error(status, "grow the file from %llu to %llu pages: %s",
                         (unsigned long long)old, (unsigned long long)pages,
                         ns_status_text(status));
    }
    NS__MARK(file_grow);
    for (uint64_t page = old; page < pages; page++) {
        struct ns__range *range = &space->ranges[page / range_pages];
        if (bit_get(range->busy, page % range_pages)) continue;
        range->free_pages++;
        range->longest_max = range->free_pages;
        space->free_pages++;
    }
    space->file_pages = pages;
    ns__atomic_store(&space->pages->readable, pages);
    return NS_OK;
}

/* Grows by at least `pages` usable pages, a good step more if the disk has them. */
static ns_status grow_by(struct ns__space *space, uint64_t pages)
{
    uint32_t page_size = space->file->page_size;
    uint64_t step = space->file_pages / 32;
    if (step < GROW_PAGES_MIN) step = GROW_PAGES_MIN;
    if (step > GROW_BYTES_MAX / page_size) step = GROW_BYTES_MAX / page_size;
    uint64_t least = space->file_pages + pages;
    /* A new region begins with its map area, which must not split what is asked for. */
    uint64_t range_pages = ns__range_pages(page_size);
    uint32_t region = ns__region_of_range(page_size, space->file_pages / range_pages);
    uint64_t next = ns__region_first_range(page_size, region + 1) * range_pages;
    if (least > next) least = next + ns__region_map_pages(page_size, region + 1) + pages;
    uint64_t wanted = space->file_pages + (step > pages ? step : pages);
    if (wanted < least) wanted = least;
    ns_status status = wanted <= space->page_limit ? grow_to(space, wanted) : NS_FULL;
    if (status == NS_FULL && least <= wanted) status = grow_to(space, least);
    if (status == NS_FULL) NS__MARK(full);
    return status;
}

/* ---- finding ---- */

/* First free run of at most `pages` pages in the range from index `from`: its length, 0 if none. */
static uint64_t next_run(const struct ns__range *range, uint64_t from, uint64_t end, uint64_t pages,
                         uint64_t *start_out)
{
    uint64_t i = from;
    while (i < end) {
        if ((i & 63) == 0 && range->busy[i >> 6] == UINT64_MAX) {
            i += 64;
            continue;
        }
        if (!bit_get(range->busy, i)) break;
        i++;
    }
    *start_out = i;
    uint64_t length = 0;
    while (i < end && length < pages && !bit_get(range->busy, i)) {
        i++;
        length++;
    }
    return length;
}

/* How many pages of the range are part of the file, and which is its first. */
static uint64_t pages_of_range(const struct ns__space *space, uint64_t range_index,
                               uint64_t *first_out)
{
    uint64_t range_pages = ns__range_pages(space->file->page_size);
    *first_out = range_index * range_pages;
    uint64_t left = space->file_pages - *first_out;
    return left < range_pages ? left : range_pages;
}

/* The first run of `pages` in one range; if there is none, the longest. */
static uint64_t best_in_range(struct ns__space *space, uint64_t range_index, uint64_t pages,
                              uint64_t *start_out)
{
    struct ns__range *range = &space->ranges[range_index];
    uint64_t first, end = pages_of_range(space, range_index, &first);
    uint64_t best = 0, from = 0;
    while (from < end && best < pages) {
        uint64_t start, length = next_run(range, from, end, pages, &start);
        if (length == 0) break;
        if (length > best) {
            best = length;
            *start_out = first + start;
        }
        from = start + length;
    }
    if (best < pages) range->longest_max = best; /* all of it was looked at */
    return best;
}

/* A run that is worth a write of its own, or the longest of the next few, from where this
 * checkpoint found the last one: when it takes ten thousand short runs it must not look at all of
 * them each time. Every checkpoint begins with the lowest ones, so that long runs stay further up.
 */
static uint64_t some_in_range(struct ns__space *space, uint64_t range_index, uint64_t pages,
                              uint64_t *start_out)
{
    struct ns__range *range = &space->ranges[range_index];
    uint64_t first, end = pages_of_range(space, range_index, &first);
    uint64_t enough = pages > SOME_PAGES ? SOME_PAGES : pages;
    for (unsigned round = 0; round < 2; round++) {
        uint64_t best = 0, best_at = 0, from = range->some_from;
        for (unsigned runs = 0; runs < SOME_RUNS && best < enough; runs++) {
            uint64_t start, length = next_run(range, from, end, pages, &start);
            if (length == 0) break;
            if (length > best) {
                best = length;
                best_at = start;
            }
            from = start + length;
        }
        range->some_from = best > 0 ? best_at + best : 0; /* 0: again from the beginning */
        *start_out = first + best_at;
        if (best > 0) return best;
    }
    return 0;
}

/* A run that crosses ranges: only at the free end of the file. */
static uint64_t tail_run(struct ns__space *space, uint64_t *start_out)
{
    uint64_t range_pages = ns__range_pages(space->file->page_size);
    uint64_t page = space->file_pages;
    while (page > 0) {
        struct ns__range *range = &space->ranges[(page - 1) / range_pages];
        if (range->busy == NULL || bit_get(range->busy, (page - 1) % range_pages)) break;
        page--;
    }
    *start_out = page;
    return space->file_pages - page;
}

static void mark_taken(struct ns__space *space, uint64_t page, uint64_t pages)
{
    uint64_t range_pages = ns__range_pages(space->file->page_size);
    for (uint64_t i = page; i < page + pages; i++) {
        struct ns__range *range = &space->ranges[i / range_pages];
        NS_ASSERT(!bit_get(range->busy, i % range_pages)); /* S1 */
        bit_put(range->busy, i % range_pages, true);
        range->free_pages--;
        ns__atomic_and(&space->pages->verified[i >> 6], ~(UINT64_C(1) << (i & 63)));
        ns__atomic_and(&space->runs_verified[i >> 6], ~(UINT64_C(1) << (i & 63)));
    }
    space->free_pages -= pages;
}

/* Looks through the ranges, starting with the one that was good last time. Loads a few unknown
 * ones. */
static ns_status search(struct ns__space *space, uint64_t pages, bool is_some_fine,
                        uint64_t *page_out, uint64_t *length_out)
{
    uint64_t range_pages = ns__range_pages(space->file->page_size);
    uint64_t count = (space->file_pages + range_pages - 1) / range_pages;
    uint32_t loads = 0;
    *length_out = 0;
    for (uint64_t n = 0; n < count; n++) {
        uint64_t index = (space->hint + n) % count;
        struct ns__range *range = &space->ranges[index];
        if (range->busy == NULL) {
            if (loads++ >= LOADS_PER_TAKE) continue;
            NS_TRY(ns__space_load_range(space, index));
            range = &space->ranges[index];
        }
        if (range->free_pages == 0 || (!is_some_fine && range->longest_max < pages)) continue;
        uint64_t start = 0;
        uint64_t length = is_some_fine ? some_in_range(space, index, pages, &start)
                                       : best_in_range(space, index, pages, &start);
        if (length == pages || (is_some_fine && length > 0)) {
            space->hint = index;
            *page_out = start;
            *length_out = length;
            return NS_OK;
        }
    }
    return NS_OK;
}

/* Loads unknown ranges until `pages` free ones are known, a few at a time, so that the file does
 * not grow over space that it has. */
static ns_status know_free(struct ns__space *space, uint64_t pages)
{
    uint64_t range_pages = ns__range_pages(space->file->page_size);
    uint64_t count = (space->file_pages + range_pages - 1) / range_pages;
    uint32_t loads = 0;
    for (uint64_t i = count; i > 0 && space->free_pages < pages && loads < LOADS_PER_TAKE; i--) {
        if (space->ranges[i - 1].busy != NULL) continue;
        NS_TRY(ns__space_load_range(space, i - 1));
        loads++;
    }
    return NS_OK;
}

/* Free pages that must be left after a take. */
static uint64_t kept(const struct ns__space *space, bool use_reserve)
{
    return space->promised + (use_reserve ? 0 : space->reserve);
}

static ns_status take_locked(struct ns__space *space, uint64_t pages, uint64_t keep,
                             uint64_t *page_out)
{
    uint64_t length = 0, start = 0;
    NS_TRY(know_free(space, pages + keep));
    if (space->free_pages >= pages + keep) {
        NS_TRY(search(space, pages, false, page_out, &length));
    }
    for (int tries = 0; length < pages; tries++) {
        uint64_t tail = tail_run(space, &start);
        if (tail >= pages && space->free_pages >= pages + keep) {
            *page_out = start;
            break;
        }
        /* Twice: the first growth may have met a new region, whose map area splits the run. */
        if (tries == 3) {
            return ns__error(NS_INTERNAL, "no run of %llu pages after growing",
                             (unsigned long long)pages);
        }
        uint64_t more = tail < pages ? pages - tail : 0;
        if (space->free_pages + more < pages + keep) more = pages + keep - space->free_pages;
        NS_TRY(grow_by(space, more));
    }
    mark_taken(space, *page_out, pages);
    return NS_OK;
}

ns_status ns__space_take(struct ns__space *space, uint64_t pages, bool use_reserve,
                         uint64_t *page_out)
{
    *page_out = 0;
    NS_ASSERT(pages > 0);
    pthread_mutex_lock(&space->lock);
    ns_status status = take_locked(space, pages, kept(space, use_reserve), page_out);
    pthread_mutex_unlock(&space->lock);
    return status;
}

void ns__space_begin_taking(struct ns__space *space)
{
    pthread_mutex_lock(&space->lock);
    for (uint64_t i = 0; i < space->range_count; i++)
        space->ranges[i].some_from = 0;
    pthread_mutex_unlock(&space->lock);
}

ns_status ns__space_take_promised(struct ns__space *space, uint64_t pages, uint64_t *page_out,
                                  uint64_t *pages_out)
{
    *page_out = 0;
    *pages_out = 0;
    pthread_mutex_lock(&space->lock);
    ns_status status = know_free(space, pages);
    if (status == NS_OK) status = search(space, pages, true, page_out, pages_out);
    if (status == NS_OK && *pages_out > 0) {
        mark_taken(space, *page_out, *pages_out);
    } else if (status == NS_OK) {
        status = take_locked(space, 1, 0, page_out);
        if (status == NS_OK) *pages_out = 1;
    }
    pthread_mutex_unlock(&space->lock);
    return status;
}

static void give_locked(struct ns__space *space, uint64_t page, uint64_t pages)
{
    uint64_t range_pages = ns__range_pages(space->file->page_size);
    for (uint64_t i = page; i < page + pages; i++) {
        struct ns__range *range = &space->ranges[i / range_pages];
        if (!bit_get(range->busy, i % range_pages)) continue; /* a space map that forgot it */
        bit_put(range->busy, i % range_pages, false);
        range->free_pages++;
        range->longest_max = range->free_pages;
        space->free_pages++;
    }
    NS__MARK(page_reuse);
}

void ns__space_give(struct ns__space *space, uint64_t page, uint64_t pages)
{
    pthread_mutex_lock(&space->lock);
    uint64_t range_pages = ns__range_pages(space->file->page_size);
    uint64_t at = page, end = page + pages;
    while (at < end) {
        uint64_t range = at / range_pages;
        uint64_t stop = (range + 1) * range_pages < end ? (range + 1) * range_pages : end;
        /* A range that cannot be loaded (bad map, no memory) keeps its pages busy: lost until the
         * next open, never wrong. */
        if (ns__space_load_range(space, range) == NS_OK) give_locked(space, at, stop - at);
        at = stop;
    }
    pthread_mutex_unlock(&space->lock);
}

ns_status ns__space_claim_log(struct ns__space *space, uint64_t page, uint64_t pages)
{
    pthread_mutex_lock(&space->lock);
    ns_status status = NS_OK;
    uint64_t range_pages = ns__range_pages(space->file->page_size);
    if (pages > space->file_pages || page > space->file_pages - pages) {
        status = ns__corrupt(page, "log extent of %llu pages lies beyond the file's end",
                             (unsigned long long)pages);
    }
    for (uint64_t i = page; status == NS_OK && i < page + pages; i++) {
        if (i == page || i % range_pages == 0)
            status = ns__space_load_range(space, i / range_pages);
        if (status != NS_OK) break;
        struct ns__range *range = &space->ranges[i / range_pages];
        if (bit_get(range->busy, i % range_pages)) {
            bool is_stale = range->stale != NULL && bit_get(range->stale, i % range_pages);
            if (!is_stale) {
                status = ns__corrupt(i, "belongs to the log and to something else");
                break;
            }
            /* A page that only the older meta still names cannot be log: it was not reusable yet.
             * */
            status = ns__corrupt(i, "belongs to the log and to the older meta's root");
            break;
        }
        bit_put(range->busy, i % range_pages, true);
        range->free_pages--;
        space->free_pages--;
    }
    pthread_mutex_unlock(&space->lock);
    return status;
}

ns_status ns__space_promise(struct ns__space *space, uint64_t pages, bool use_reserve)
{
    pthread_mutex_lock(&space->lock);
    uint64_t needed = pages + (use_reserve ? 0 : space->reserve);
    ns_status status = know_free(space, needed);
    for (int tries = 0; tries < 3 && status == NS_OK && space->free_pages < needed; tries++) {
        status = grow_by(space, needed - space->free_pages);
    }
    if (status == NS_OK && space->promised < pages) space->promised = pages;
    pthread_mutex_unlock(&space->lock);
    return status;
}

void ns__space_set_promise(struct ns__space *space, uint64_t pages)
{
    pthread_mutex_lock(&space->lock);
    space->promised = pages;
    pthread_mutex_unlock(&space->lock);
}

/* ---- opening ---- */

ns_status ns__space_create(struct ns__space *space)
{
    uint64_t fixed = NS__REGION_MAP_PAGE_0 + ns__region_map_pages(space->file->page_size, 0);
    pthread_mutex_lock(&space->lock);
    ns_status status = grow_to(space, fixed + space->reserve);
    pthread_mutex_unlock(&space->lock);
    return status;
}

ns_status ns__space_open(struct ns__space *space, uint64_t file_pages,
                         const struct ns__meta *newest, const struct ns__meta *older)
{
    const struct ns_vfs *vfs = space->file->vfs;
    uint32_t page_size = space->file->page_size;
    if (file_pages > space->page_limit) {
        return ns__error(NS_FULL, "the file has %llu pages, more than the %llu that can be mapped",
                         (unsigned long long)file_pages, (unsigned long long)space->page_limit);
    }
    for (uint32_t i = 0; i < NS__REGIONS_MAX; i++) {
        const struct ns__meta *second = older != NULL ? older : newest;
        if (i < newest->region_count) space->regions[i].place[0] = newest->regions[i];
        if (i < second->region_count) space->regions[i].place[1] = second->regions[i];
    }
    ns_status status =
        vfs->map_extend(vfs->ctx, space->file->handle, space->map, file_pages * page_size);
    if (status != NS_OK) {
        return ns__error(status, "map %llu pages: %s", (unsigned long long)file_pages,
                         ns_status_text(status));
    }
    space->file_pages = file_pages;
    ns__atomic_store(&space->pages->readable, file_pages);
    uint64_t range_pages = ns__range_pages(page_size);
    return ranges_fit(space, (file_pages + range_pages - 1) / range_pages);
}

/* ---- small things ---- */

uint64_t ns__space_file_pages(struct ns__space *space)
{
    pthread_mutex_lock(&space->lock);
    uint64_t pages = space->file_pages;
    pthread_mutex_unlock(&space->lock);
    return pages;
}

uint64_t ns__space_free_pages(struct ns__space *space)
{
    pthread_mutex_lock(&space->lock);
    uint64_t pages = space->free_pages;
    pthread_mutex_unlock(&space->lock);
    return pages;
}

/* Loads every range of [page, page + pages), so that what follows cannot stop halfway. */
static ns_status load_all(struct ns__space *space, uint64_t page, uint64_t pages)
{
    uint64_t range_pages = ns__range_pages(space->file->page_size);
    if (pages == 0 || page >= space->file_pages || pages > space->file_pages - page) {
        return ns__corrupt(page, "%llu pages from here lie beyond the end of the file",
                           (unsigned long long)pages);
    }
    for (uint64_t r = page / range_pages; r <= (page + pages - 1) / range_pages; r++) {
        NS_TRY(ns__space_load_range(space, r));
    }
    return NS_OK;
}

static ns_status set_live_locked(struct ns__space *space, uint64_t page, uint64_t pages,
                                 bool is_live)
{
    uint64_t range_pages = ns__range_pages(space->file->page_size);
    NS_TRY(load_all(space, page, pages));
    for (uint64_t i = page; i < page + pages; i++) {
        if (bit_get(space->ranges[i / range_pages].live, i % range_pages) != is_live) continue;
        return ns__corrupt(i, "the space map says that it is %s use",
                           is_live ? "already in" : "not in");
    }
    for (uint64_t i = page; i < page + pages; i++) {
        bit_put(space->ranges[i / range_pages].live, i % range_pages, is_live);
        space->ranges[i / range_pages].is_dirty = true;
    }
    return NS_OK;
}

ns_status ns__space_set_live(struct ns__space *space, uint64_t page, uint64_t pages, bool is_live)
{
    pthread_mutex_lock(&space->lock);
    ns_status status = set_live_locked(space, page, pages, is_live);
    pthread_mutex_unlock(&space->lock);
    return status;
}

ns_status ns__space_look(struct ns__space *space, uint64_t page, bool *busy_out, bool *live_out)
{
    uint64_t range_pages = ns__range_pages(space->file->page_size);
    *busy_out = *live_out = false;
    pthread_mutex_lock(&space->lock);
    ns_status status = ns__space_load_range(space, page / range_pages);
    if (status == NS_OK) {
        struct ns__range *range = &space->ranges[page / range_pages];
        *busy_out = bit_get(range->busy, page % range_pages);
        *live_out = bit_get(range->live, page % range_pages);
    }
    pthread_mutex_unlock(&space->lock);
    return status;
}

void ns__space_note_write(struct ns__space *space, uint64_t page)
{
    ns__atomic_store32(&space->epochs[page], NS__EPOCH_BORN);
}

void ns__space_note_published(struct ns__space *space, uint64_t page)
{
    ns__atomic_store32(&space->epochs[page], ns__atomic_load32(&space->epoch));
}
