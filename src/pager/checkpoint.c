/* checkpoint.c: putting a root into the file.
 *
 * A checkpoint takes a durable, published root R (the caller holds it, so nothing that it reaches
 * is reused), gives each frame that R reaches a place in the file, children before parents, writes
 * the images as few large writes, brings the space maps to what R holds, syncs, and writes the meta
 * that names R. Commits go on meanwhile. Then, under the head lock, references to the written
 * frames in newer nodes are *swung* to the file pages: both mean the same content.
 *
 * Order (COM in spec/commit_v0.md): images and maps, sync, meta (synchronous write), and only then
 * anything in memory that depends on it: rotation of the maps, swing, reuse.
 *
 * Invariants.
 *   K1  An image holds file references only.
 *   K2  An image's page is born with R: roots before R, and those published while the checkpoint
 *       runs, keep their references to the frame. If the frame was dropped while the checkpoint
 *       ran, the page has that death.
 *   K3  Nothing that the two metas in force name is written to before the new meta is durable. */
#include "base/assert.h"
#include "base/marks.h"
#include "pager/pager.h"

#define STAGING_BYTES (UINT64_C(1) << 20)

/* ---- 1. which frames ---- */

static ns_status collect(struct ns__pager *pager, struct ns__checkpoint *checkpoint, uint64_t ref,
                         uint32_t depth)
{
    if (!ns__ref_is_frame(ref)) return NS_OK;
    if (depth > 2 * NS__LEVEL_MAX) return ns__error(NS_INTERNAL, "tree deeper than its limit");
    const uint8_t *node = ns__pager_frame(pager, ns__ref_number(ref));
    if (ns__node_has_refs(node)) {
        uint32_t count = ns__node_count(node);
        for (uint32_t i = 0; i < count; i++) {
            NS_TRY(collect(pager, checkpoint, ns__node_ref(node, i), depth + 1));
        }
    }
    NS_ASSERT(pager->infos[ns__ref_number(ref)].image_ref == 0);
    NS_TRY(ns__numbers_reserve(pager->alloc, &checkpoint->frames, 1));
    checkpoint->frames.numbers[checkpoint->frames.count++] = ns__ref_number(ref);
    return NS_OK;
}

/* ---- 2. where ---- */

static void return_things(struct ns__pager *pager, struct ns__checkpoint *checkpoint)
{
    while (checkpoint->things != NULL) {
        struct ns__thing *thing = checkpoint->things;
        checkpoint->things = thing->next;
        ns__pool_give(&pager->pool, thing);
    }
    pager->events_kept = 0;
}

/* Makes what was prepared undone; the file's contents do not matter, since no meta names them. Head
 * lock. */
static void undo(struct ns__pager *pager, struct ns__checkpoint *checkpoint)
{
    if (ns__atomic_load(&pager->file.sync_failed) != 0) return; /* nothing is reused any more */
    for (uint64_t r = 0; r < checkpoint->live; r += 2) {
        ns_status status = ns__space_set_live(&pager->space, checkpoint->runs.numbers[r],
                                              checkpoint->runs.numbers[r + 1], false);
        (void)status; /* the ranges are loaded: it cannot fail */
    }
    for (uint64_t r = 0; r < checkpoint->runs.count; r += 2) {
        ns__space_give(&pager->space, checkpoint->runs.numbers[r], checkpoint->runs.numbers[r + 1]);
    }
    for (uint64_t i = 0; i < checkpoint->frames.count; i++) {
        pager->infos[checkpoint->frames.numbers[i]].image_ref = 0;
        pager->infos[checkpoint->frames.numbers[i]].is_placed = 0;
    }
    return_things(pager, checkpoint);
    pager->placed = 0;
    ns__pager_keep_promise(pager);
    checkpoint->frames.count = checkpoint->runs.count = checkpoint->live = 0;
}

/* As many promised pages as the newest root has frames, in few runs. */
static ns_status take_pages(struct ns__pager *pager, struct ns__checkpoint *checkpoint)
{
    uint64_t left = pager->dirty;
    ns__space_begin_taking(&pager->space);
    while (left > 0) {
        uint64_t page, pages;
        NS_TRY(ns__numbers_reserve(pager->alloc, &checkpoint->runs, 2));
        NS_TRY(ns__space_take_promised(&pager->space, left, &page, &pages));
        checkpoint->runs.numbers[checkpoint->runs.count++] = page;
        checkpoint->runs.numbers[checkpoint->runs.count++] = pages;
        left -= pages;
    }
    return NS_OK;
}

static ns_status set_things_aside(struct ns__pager *pager, struct ns__checkpoint *checkpoint)
{
    NS_TRY(ns__pager_reserve_events(pager, pager->dirty));
    for (uint64_t i = 0; i < pager->dirty; i++) {
        struct ns__thing *thing = ns__pool_take(&pager->pool, 0, 0, 0, 0);
        if (thing == NULL) return NS_NOMEM;
        thing->next = checkpoint->things;
        checkpoint->things = thing;
    }
    return NS_OK;
}

static ns_status begin(struct ns__pager *pager, const struct ns__root *root,
                       struct ns__checkpoint *checkpoint)
{
    NS_TRY(collect(pager, checkpoint, root->main.ref, 0));
    NS_TRY(collect(pager, checkpoint, root->catalogue.ref, 0));
    NS_ASSERT(checkpoint->frames.count == pager->dirty);
    if (checkpoint->frames.count != pager->dirty) {
        return ns__error(NS_INTERNAL, "the newest root has %llu frames, %llu are counted",
                         (unsigned long long)checkpoint->frames.count,
                         (unsigned long long)pager->dirty);
    }
    NS_TRY(set_things_aside(pager, checkpoint));
    NS_TRY(take_pages(pager, checkpoint));
    pager->events_kept = checkpoint->frames.count;
    for (uint64_t i = 0; i < checkpoint->frames.count; i++) {
        pager->infos[checkpoint->frames.numbers[i]].is_placed = 1;
    }
    pager->placed = checkpoint->frames.count;
    ns__pager_keep_promise(pager);
    return NS_OK;
}

ns_status ns__checkpoint_begin(struct ns__pager *pager, const struct ns__root *root,
                               struct ns__checkpoint *checkpoint)
{
    *checkpoint = (struct ns__checkpoint){0};
    if (ns__atomic_load(&pager->file.sync_failed) != 0) {
        return ns__error(NS_POISONED, "checkpoint refused: an earlier sync of the file failed");
    }
    NS_ASSERT(pager->placed == 0 && pager->events_kept == 0 && !pager->change.is_open);
    *checkpoint = (struct ns__checkpoint){.root = *root};
    checkpoint->next = ns__alloc_zeroed(pager->alloc, sizeof *checkpoint->next);
    ns_status status = checkpoint->next == NULL ? NS_NOMEM : begin(pager, root, checkpoint);
    if (status != NS_OK) {
        undo(pager, checkpoint);
        ns__error_prefix("checkpoint");
    }
    return status;
}

/* ---- 3. images ---- */

/* K1: children were given their pages before. */
static void swing_image(struct ns__pager *pager, uint8_t *image)
{
    if (!ns__node_has_refs(image)) return;
    uint32_t count = ns__node_count(image);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t ref = ns__node_ref(image, i);
        if (!ns__ref_is_frame(ref)) continue;
        uint64_t page_ref = pager->infos[ns__ref_number(ref)].image_ref;
        NS_ASSERT(page_ref != 0);
        ns__node_ref_swing(image, i, page_ref);
    }
}

static void make_image(struct ns__pager *pager, uint64_t generation, uint64_t frame, uint64_t page,
                       uint8_t *image)
{
    uint32_t page_size = pager->pages.page_size;
    const uint8_t *node = ns__pager_frame(pager, frame);
    memcpy(image, node, page_size);
    swing_image(pager, image);
    ns__node_zero_gap(image);
    ns__store64(image + NS__NODE_BIRTH, generation);
    uint64_t checksum = ns__page_checksum(image, page_size, ns__page_seed(pager->file.uuid, page));
    ns__store64(image + NS__NODE_CHECKSUM, checksum);
    pager->infos[frame].image_ref = ns__ref_file(page, checksum);
}

static ns_status write_images(struct ns__pager *pager, struct ns__checkpoint *checkpoint)
{
    uint32_t page_size = pager->pages.page_size;
    if (checkpoint->frames.count == 0) return NS_OK;
    uint8_t *staging = ns__alloc(pager->alloc, STAGING_BYTES);
    if (staging == NULL) return NS_NOMEM;
    uint64_t per_write = STAGING_BYTES / page_size, done = 0;
    ns_status status = NS_OK;
    for (uint64_t r = 0; r < checkpoint->runs.count && status == NS_OK; r += 2) {
        uint64_t page = checkpoint->runs.numbers[r], left = checkpoint->runs.numbers[r + 1];
        while (left > 0 && status == NS_OK) {
            uint64_t now = left < per_write ? left : per_write;
            for (uint64_t i = 0; i < now; i++) {
                make_image(pager, checkpoint->root.generation, checkpoint->frames.numbers[done + i],
                           page + i, staging + i * page_size);
            }
            status = ns__file_write(&pager->file, page * page_size, staging, now * page_size);
            page += now;
            left -= now;
            done += now;
        }
    }
    ns__alloc_release(pager->alloc, staging, STAGING_BYTES);
    ns__atomic_add(&pager->written, done);
    return status;
}

/* ---- 4. space maps ---- */

/* Brings `live` to what the root of that generation holds. Events are removed once they are
 * applied. */
static ns_status apply_events(struct ns__pager *pager, pthread_mutex_t *head, uint64_t generation)
{
    ns_status status = NS_OK;
    pthread_mutex_lock(head);
    uint64_t count = pager->event_count, kept = 0;
    struct ns__page_event *copy = ns__alloc(pager->alloc, (count + 1) * sizeof *copy);
    if (copy == NULL)
        status = NS_NOMEM;
    else if (count > 0)
        memcpy(copy, pager->events, count * sizeof *copy);
    pthread_mutex_unlock(head);
    uint64_t done = 0;
    for (; done < count && status == NS_OK; done++) {
        const struct ns__page_event *event = &copy[done];
        if (event->generation > generation) continue;
        status = ns__space_set_live(&pager->space, event->page, event->pages, !event->is_death);
        if (status != NS_OK) break;
    }
    pthread_mutex_lock(head);
    for (uint64_t i = 0; copy != NULL && i < pager->event_count; i++) {
        bool is_done = i < done && pager->events[i].generation <= generation;
        if (!is_done) pager->events[kept++] = pager->events[i];
    }
    if (copy != NULL) pager->event_count = kept;
    pthread_mutex_unlock(head);
    ns__alloc_release(pager->alloc, copy, (count + 1) * sizeof *copy);
    return status;
}

static ns_status mark_images_live(struct ns__pager *pager, struct ns__checkpoint *checkpoint)
{
    for (; checkpoint->live < checkpoint->runs.count; checkpoint->live += 2) {
        NS_TRY(ns__space_set_live(&pager->space, checkpoint->runs.numbers[checkpoint->live],
                                  checkpoint->runs.numbers[checkpoint->live + 1], true));
    }
    return NS_OK;
}

/* ---- 5. the meta ---- */

static uint64_t image_of(const struct ns__pager *pager, uint64_t ref)
{
    if (!ns__ref_is_frame(ref)) return ref;
    uint64_t image = pager->infos[ns__ref_number(ref)].image_ref;
    NS_ASSERT(image != 0);
    return image;
}

static void fill_meta(const struct ns__pager *pager, const struct ns__root *root,
                      const struct ns__meta *fields, struct ns__meta *next)
{
    uint32_t region_count = next->region_count;
    uint64_t page_count = next->page_count;
    struct ns__region_entry *regions = next->regions;
    struct ns__meta meta = *fields;
    meta.region_count = region_count;
    meta.page_count = page_count;
    memcpy(meta.regions, regions, sizeof meta.regions);
    meta.page_size = pager->pages.page_size;
    memcpy(meta.uuid, pager->file.uuid, sizeof meta.uuid);
    meta.sequence = pager->meta->sequence + 1;
    meta.generation = root->generation;
    meta.txn_id = root->txn_id;
    meta.unix_us = root->unix_us;
    memcpy(meta.chain, root->chain, sizeof meta.chain);
    meta.log_replay = root->log_end;
    if (meta.log_watermark < root->log_end) meta.log_watermark = root->log_end;
    meta.main = root->main;
    meta.catalogue = root->catalogue;
    meta.main.ref = image_of(pager, root->main.ref);
    meta.catalogue.ref = image_of(pager, root->catalogue.ref);
    meta.keyspaces = root->keyspaces;
    *next = meta;
}

static ns_status write_meta(struct ns__pager *pager, const struct ns__meta *meta)
{
    uint8_t block[NS__BLOCK_BYTES];
    ns__meta_encode(meta, block);
    uint64_t offset = (meta->sequence % 2) * pager->pages.page_size;
    return ns__file_write_sync(&pager->file, offset, block, sizeof block);
}

/* The meta that was read at open may have come from a cache that a failed sync left behind. Before
 * the other one, perhaps the only durable one, is overwritten, this one is written again as it is.
 * */
ns_status ns__pager_confirm_meta(struct ns__pager *pager)
{
    if (pager->meta_is_confirmed) return NS_OK;
    NS_TRY(write_meta(pager, pager->meta));
    pager->meta_is_confirmed = true;
    return NS_OK;
}

ns_status ns__pager_write_first_metas(struct ns__pager *pager, const struct ns__meta *first)
{
    *pager->meta = *first;
    pager->meta->sequence = 1;
    NS_TRY(ns__space_write_maps(&pager->space, pager->meta));
    NS_TRY(write_meta(pager, pager->meta));
    *pager->older = *pager->meta;
    pager->meta->sequence = 2;
    NS_TRY(write_meta(pager, pager->meta));
    pager->older_generation = pager->meta->generation;
    pager->meta_is_confirmed = true;
    return NS_OK;
}

/* ---- the whole ---- */

/* Syncs; what changes wrote before it began is then on the medium. */
static ns_status sync_epoch(struct ns__pager *pager, pthread_mutex_t *head)
{
    pthread_mutex_lock(head); /* no change is half made */
    uint32_t epoch = ns__atomic_load32(&pager->space.epoch);
    ns__atomic_store32(&pager->space.epoch, epoch + 1);
    pthread_mutex_unlock(head);
    NS_TRY(ns__file_sync(&pager->file));
    ns__atomic_store32(&pager->space.synced_epoch, epoch);
    return NS_OK;
}

static ns_status write_all(struct ns__pager *pager, pthread_mutex_t *head,
                           const struct ns__root *root, const struct ns__meta *fields,
                           struct ns__checkpoint *checkpoint)
{
    NS_TRY(write_images(pager, checkpoint));
    NS_TRY(apply_events(pager, head, root->generation));
    NS_TRY(mark_images_live(pager, checkpoint));
    NS_TRY(ns__space_write_maps(&pager->space, checkpoint->next));
    NS_TRY(sync_epoch(pager, head));
    NS_TRY(ns__pager_confirm_meta(pager));
    fill_meta(pager, root, fields, checkpoint->next);
    return write_meta(pager, checkpoint->next);
}

ns_status ns__checkpoint_write(struct ns__pager *pager, pthread_mutex_t *head,
                               const struct ns__meta *fields, struct ns__checkpoint *checkpoint)
{
    ns_status status = write_all(pager, head, &checkpoint->root, fields, checkpoint);
    if (status != NS_OK) {
        pthread_mutex_lock(head);
        undo(pager, checkpoint);
        pthread_mutex_unlock(head);
        ns__error_prefix("checkpoint");
        return status;
    }
    if (checkpoint->frames.count == 0) NS__MARK(checkpoint_empty);
    NS__MARK(checkpoint);
    return NS_OK;
}

/* Swings every reference to a written frame below this frame, which is newer than the checkpoint's
 * root. */
static void swing_below(struct ns__pager *pager, uint64_t frame, uint32_t depth)
{
    uint8_t *node = ns__pager_frame(pager, frame);
    NS_ASSERT(depth <= 2 * NS__LEVEL_MAX);
    if (!ns__node_has_refs(node)) return;
    uint32_t count = ns__node_count(node);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t ref = ns__node_ref(node, i);
        if (!ns__ref_is_frame(ref)) continue;
        uint64_t image = pager->infos[ns__ref_number(ref)].image_ref;
        if (image != 0) {
            ns__node_ref_swing(node, i, image);
            NS__MARK(swing);
        } else {
            swing_below(pager, ns__ref_number(ref), depth + 1);
        }
    }
}

static uint64_t swing_root(struct ns__pager *pager, uint64_t ref)
{
    if (!ns__ref_is_frame(ref)) return ref;
    uint64_t image = pager->infos[ns__ref_number(ref)].image_ref;
    if (image != 0) return image;
    swing_below(pager, ns__ref_number(ref), 0);
    return ref;
}

/* K2. Uses a thing and an event that place() set aside. */
static void bury(struct ns__pager *pager, struct ns__checkpoint *checkpoint, uint64_t frame,
                 uint64_t death)
{
    struct ns__frame_info *info = &pager->infos[frame];
    struct ns__thing *thing = checkpoint->things;
    NS_ASSERT(thing != NULL);
    checkpoint->things = thing->next;
    if (info->death != 0) {
        uint64_t page = ns__ref_number(info->image_ref);
        *thing = (struct ns__thing){pager->change.dead_pages,    page,        1,
                                    checkpoint->root.generation, info->death, 0};
        pager->change.dead_pages = thing;
        NS_ASSERT(pager->event_count < pager->event_capacity);
        pager->events[pager->event_count++] = (struct ns__page_event){page, 1, info->death, true};
    } else {
        *thing = (struct ns__thing){pager->change.dead_frames,
                                    frame,
                                    0,
                                    ns__node_birth(ns__pager_frame(pager, frame)),
                                    death,
                                    0};
        pager->change.dead_frames = thing;
        info->death = death;
        pager->dirty--;
        if (info->is_placed != 0) pager->placed--;
    }
    info->is_placed = 0;
}

bool ns__checkpoint_finish(struct ns__pager *pager, struct ns__checkpoint *checkpoint,
                           struct ns__root *newest)
{
    ns__space_rotate(&pager->space, checkpoint->next);
    struct ns__meta *spare = pager->older;
    pager->older = pager->meta;
    pager->older_generation = pager->older->generation;
    pager->meta = checkpoint->next;
    checkpoint->next = spare;
    newest->main.ref = swing_root(pager, newest->main.ref);
    newest->catalogue.ref = swing_root(pager, newest->catalogue.ref);
    for (uint64_t i = 0; i < checkpoint->frames.count; i++) {
        bury(pager, checkpoint, checkpoint->frames.numbers[i], newest->generation + 1);
    }
    return_things(pager, checkpoint);
    ns__pager_keep_promise(pager);
    return checkpoint->frames.count > 0;
}

void ns__checkpoint_deinit(struct ns__pager *pager, struct ns__checkpoint *checkpoint)
{
    ns__numbers_free(pager->alloc, &checkpoint->frames);
    ns__numbers_free(pager->alloc, &checkpoint->runs);
    ns__alloc_release(pager->alloc, checkpoint->next, sizeof *checkpoint->next);
    *checkpoint = (struct ns__checkpoint){0};
}

bool ns__checkpoint_is_idle(const struct ns__pager *pager, const struct ns__root *root,
                            const struct ns__meta *fields)
{
    const struct ns__meta *meta = pager->meta;
    bool has_both = pager->older_generation != 0; /* else this one brings the second meta back */
    bool is_same_history = meta->history == fields->history &&
                           meta->history_txns == fields->history_txns &&
                           meta->history_bytes == fields->history_bytes &&
                           meta->history_seconds == fields->history_seconds;
    return has_both && is_same_history && meta->txn_id == root->txn_id &&
           meta->log_replay == root->log_end;
}
