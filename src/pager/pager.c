/* pager.c: putting the parts of the pager together, and taking them apart. */
#include "pager/pager.h"
#include "base/assert.h"

#define FRAMES_MIN 64u
#define SPILL_FLOOR 8u
#define MAP_RESERVE (UINT64_C(16) << 40)

static ns_status reserve_bits(struct ns__pager *pager, uint64_t **bits_out)
{
    void *memory;
    const struct ns_vfs *vfs = pager->file.vfs;
    ns_status status = vfs->reserve(vfs->ctx, pager->bitmap_bytes, &memory);
    if (status != NS_OK) return ns__error(status, "reserve address space for page bits");
    *bits_out = memory;
    return NS_OK;
}

static ns_status map_file(struct ns__pager *pager)
{
    const struct ns_vfs *vfs = pager->file.vfs;
    uint64_t limit = ns__page_count_max(pager->file.page_size) * pager->file.page_size;
    uint64_t reserve = limit < MAP_RESERVE ? limit : MAP_RESERVE;
    ns_status status = vfs->map(vfs->ctx, pager->file.handle, (size_t)reserve, &pager->map);
    if (status != NS_OK) return ns__error(status, "reserve address space for the map");
    pager->pages.bases[0] = pager->map.base;
    pager->bitmap_bytes = pager->map.reserved / pager->file.page_size / 8 + 8;
    NS_TRY(reserve_bits(pager, &pager->pages.verified));
    return reserve_bits(pager, &pager->runs_verified);
}

static ns_status make_frames(struct ns__pager *pager, uint64_t frame_bytes)
{
    const struct ns_vfs *vfs = pager->file.vfs;
    uint64_t limit = frame_bytes / pager->file.page_size;
    if (limit < FRAMES_MIN) limit = FRAMES_MIN;
    if (limit > UINT32_MAX) limit = UINT32_MAX;
    pager->frame_limit = limit + 1;
    pager->pages.frames = limit;
    pager->frame_top = 1;
    pager->spill_floor = SPILL_FLOOR;
    void *arena, *infos, *stack;
    ns_status status = vfs->reserve(vfs->ctx, pager->frame_limit * pager->file.page_size, &arena);
    if (status == NS_OK) pager->arena = arena;
    if (status == NS_OK) {
        status = vfs->reserve(vfs->ctx, pager->frame_limit * sizeof *pager->infos, &infos);
    }
    if (status == NS_OK) pager->infos = infos;
    if (status == NS_OK) {
        status = vfs->reserve(vfs->ctx, pager->frame_limit * sizeof *pager->free_frames, &stack);
    }
    if (status != NS_OK) {
        return ns__error(status, "reserve memory for %llu frames", (unsigned long long)limit);
    }
    pager->free_frames = stack;
    pager->pages.bases[1] = pager->arena;
    return NS_OK;
}

static ns_status build(const struct ns__file *file, struct ns__alloc *alloc,
                       const struct ns__pager_options *options, struct ns__pager *pager)
{
    pager->alloc = alloc;
    pager->file = *file;
    pager->pages.pager = pager;
    pager->pages.page_size = file->page_size;
    pager->pages.page_shift = (uint32_t)__builtin_ctz(file->page_size);
    pager->change.pager = pager;
    ns__pool_init(&pager->pool, alloc);
    NS_TRY(map_file(pager));
    NS_TRY(make_frames(pager, options->frame_bytes));
    NS_TRY(ns__waiting_init(&pager->waiting_frames, alloc, options->holder_max + 2));
    NS_TRY(ns__waiting_init(&pager->waiting_pages, alloc, options->holder_max + 2));
    pager->holders = ns__alloc(alloc, (options->holder_max + 2) * sizeof *pager->holders);
    pager->meta = ns__alloc_zeroed(alloc, sizeof *pager->meta);
    pager->older = ns__alloc_zeroed(alloc, sizeof *pager->older);
    if (pager->holders == NULL || pager->meta == NULL || pager->older == NULL) return NS_NOMEM;
    pager->space.runs_verified = pager->runs_verified;
    return ns__space_init(&pager->space, &pager->pages, &pager->file, alloc, &pager->map);
}

ns_status ns__pager_create(const struct ns__file *file, struct ns__alloc *alloc,
                           const struct ns__pager_options *options, struct ns__pager **pager_out)
{
    *pager_out = NULL;
    struct ns__pager *pager = ns__alloc_zeroed(alloc, sizeof *pager);
    if (pager == NULL) return NS_NOMEM;
    ns_status status = build(file, alloc, options, pager);
    if (status == NS_OK) status = ns__space_create(&pager->space);
    if (status == NS_OK)
        *pager_out = pager;
    else
        ns__pager_free(pager);
    return status;
}

ns_status ns__pager_open(const struct ns__file *file, struct ns__alloc *alloc,
                         const struct ns__pager_options *options, uint64_t file_pages,
                         const struct ns__meta *newest, const struct ns__meta *older,
                         struct ns__pager **pager_out)
{
    *pager_out = NULL;
    struct ns__pager *pager = ns__alloc_zeroed(alloc, sizeof *pager);
    if (pager == NULL) return NS_NOMEM;
    ns_status status = build(file, alloc, options, pager);
    if (status == NS_OK) {
        *pager->meta = *newest;
        if (older != NULL) *pager->older = *older;
        pager->older_generation = older != NULL ? older->generation : 0;
        status = ns__space_open(&pager->space, file_pages, newest, older);
    }
    if (status == NS_OK)
        *pager_out = pager;
    else
        ns__pager_free(pager);
    return status;
}

static void free_memory(struct ns__pager *pager)
{
    const struct ns_vfs *vfs = pager->file.vfs;
    uint64_t frames = pager->frame_limit;
    if (pager->arena != NULL) {
        vfs->unreserve(vfs->ctx, pager->arena, frames * pager->file.page_size);
    }
    if (pager->infos != NULL) {
        vfs->unreserve(vfs->ctx, pager->infos, frames * sizeof *pager->infos);
    }
    if (pager->free_frames != NULL) {
        vfs->unreserve(vfs->ctx, pager->free_frames, frames * sizeof *pager->free_frames);
    }
    if (pager->pages.verified != NULL) {
        vfs->unreserve(vfs->ctx, pager->pages.verified, pager->bitmap_bytes);
    }
    if (pager->runs_verified != NULL) {
        vfs->unreserve(vfs->ctx, pager->runs_verified, pager->bitmap_bytes);
    }
    if (pager->map.base != NULL) vfs->unmap(vfs->ctx, pager->file.handle, &pager->map);
}

void ns__pager_free(struct ns__pager *pager)
{
    if (pager == NULL) return;
    struct ns__alloc *alloc = pager->alloc;
    if (pager->change.is_open) ns__change_abort(&pager->change);
    ns__alloc_release(alloc, pager->holders,
                      pager->waiting_pages.capacity * sizeof *pager->holders);
    ns__waiting_deinit(&pager->waiting_frames);
    ns__waiting_deinit(&pager->waiting_pages);
    ns__pool_deinit(&pager->pool);
    ns__numbers_free(alloc, &pager->change.born_frames);
    ns__numbers_free(alloc, &pager->change.unborn_frames);
    ns__numbers_free(alloc, &pager->change.born_pages);
    ns__numbers_free(alloc, &pager->change.unborn_pages);
    ns__alloc_release(alloc, pager->events, pager->event_capacity * sizeof *pager->events);
    for (uint32_t i = 0; i <= NS__LEVEL_MAX; i++) {
        ns__alloc_release(alloc, pager->spill_buffers[i], pager->file.page_size);
    }
    ns__alloc_release(alloc, pager->meta, sizeof *pager->meta);
    ns__alloc_release(alloc, pager->older, sizeof *pager->older);
    ns__space_deinit(&pager->space);
    free_memory(pager);
    ns__alloc_release(alloc, pager, sizeof *pager);
}
