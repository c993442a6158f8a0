/* change.c: making one root out of another.
 *
 * Nodes of a change are born in its generation, in frames; when few frames are left they go to the
 * file at once (the *spill*), their frame children first, so that file images hold file references
 * only. What the change drops keeps its content until the change ends: a node of an older root then
 * waits for its holders; a node made and dropped within the change was never visible and is free at
 * once.
 *
 * Invariants.
 *   G1  A frame or page made by a change is reachable from no published root before
 *       ns__change_publish.
 *   G2  ns__change_publish needs no memory and cannot fail: lists and pool were filled by then
 *       (ns__change_prepare).
 *   G3  pager->dirty counts the frames that the newest published root reaches. */
#include "base/assert.h"
#include "base/marks.h"
#include "pager/pager.h"

/* ---- lists ---- */

ns_status ns__numbers_reserve(struct ns__alloc *alloc, struct ns__number_list *list, uint64_t more)
{
    if (list->capacity - list->count >= more) return NS_OK;
    uint64_t capacity = list->capacity < 64 ? 64 : list->capacity;
    while (capacity - list->count < more)
        capacity *= 2;
    uint64_t *numbers = ns__alloc_resize(alloc, list->numbers, list->capacity * sizeof *numbers,
                                         capacity * sizeof *numbers);
    if (numbers == NULL) return NS_NOMEM;
    list->numbers = numbers;
    list->capacity = capacity;
    return NS_OK;
}

void ns__numbers_free(struct ns__alloc *alloc, struct ns__number_list *list)
{
    ns__alloc_release(alloc, list->numbers, list->capacity * sizeof *list->numbers);
    *list = (struct ns__number_list){0};
}

static ns_status push(struct ns__change *change, struct ns__number_list *list, uint64_t number)
{
    NS_TRY(ns__numbers_reserve(change->pager->alloc, list, 1));
    list->numbers[list->count++] = number;
    return NS_OK;
}

static ns_status push_run(struct ns__change *change, struct ns__number_list *list, uint64_t page,
                          uint64_t pages)
{
    NS_TRY(ns__numbers_reserve(change->pager->alloc, list, 2));
    list->numbers[list->count++] = page;
    list->numbers[list->count++] = pages;
    return NS_OK;
}

/* ---- frames ---- */

uint64_t ns__pager_frames_left(const struct ns__pager *pager)
{
    return pager->free_frame_count + (pager->frame_limit - pager->frame_top);
}

uint64_t ns__pager_frames_used(const struct ns__pager *pager)
{
    return pager->frame_top - 1 - pager->free_frame_count;
}

static uint64_t frame_take(struct ns__pager *pager)
{
    uint64_t frame;
    if (pager->free_frame_count > 0) {
        frame = pager->free_frames[--pager->free_frame_count];
        NS__MARK(frame_reuse);
    } else {
        frame = pager->frame_top++;
    }
    pager->infos[frame] = (struct ns__frame_info){0};
    return frame;
}

static void frame_give(struct ns__pager *pager, uint64_t frame)
{
    NS_ASSERT(frame > 0 && frame < pager->frame_top);
    pager->free_frames[pager->free_frame_count++] = (uint32_t)frame;
}

/* ---- the change ---- */

struct ns__pages *ns__change_pages(struct ns__change *change)
{
    return &change->pager->pages;
}

uint64_t ns__change_generation(const struct ns__change *change)
{
    return change->generation;
}

struct ns__change *ns__change_begin(struct ns__pager *pager, uint64_t generation, bool use_reserve)
{
    struct ns__change *change = &pager->change;
    NS_ASSERT(!change->is_open);
    NS_ASSERT(change->dead_frames == NULL && change->dead_pages == NULL);
    change->pager = pager;
    change->is_open = true;
    change->use_reserve = use_reserve;
    change->generation = generation;
    change->dead_frame_count = change->dead_page_count = change->dead_placed_count = 0;
    change->born_frames.count = change->unborn_frames.count = 0;
    change->born_pages.count = change->unborn_pages.count = 0;
    change->filling = 0;
    change->is_spilling = false;
    return change;
}

static ns_status spill_buffer(struct ns__pager *pager, uint32_t depth, uint8_t **buffer_out)
{
    *buffer_out = NULL;
    if (depth > NS__LEVEL_MAX) return ns__error(NS_INTERNAL, "tree deeper than its limit");
    if (pager->spill_buffers[depth] == NULL) {
        pager->spill_buffers[depth] = ns__alloc(pager->alloc, pager->pages.page_size);
        if (pager->spill_buffers[depth] == NULL) return NS_NOMEM;
    }
    *buffer_out = pager->spill_buffers[depth];
    return NS_OK;
}

ns_status ns__change_node_new(struct ns__change *change, uint8_t **node_out)
{
    struct ns__pager *pager = change->pager;
    *node_out = NULL;
    if (change->filling == 0 && ns__pager_frames_left(pager) > pager->spill_floor) {
        NS_TRY(ns__numbers_reserve(pager->alloc, &change->born_frames, 1));
        change->filling = frame_take(pager);
    }
    change->is_spilling = change->filling == 0;
    if (change->is_spilling) return spill_buffer(pager, 0, node_out);
    *node_out = ns__pager_frame(pager, change->filling);
    return NS_OK;
}

/* ---- spilling ---- */

/* Writes a node whose references all name file pages to a fresh page. */
static ns_status write_node(struct ns__change *change, uint8_t *node, uint64_t *ref_out)
{
    struct ns__pager *pager = change->pager;
    uint32_t page_size = pager->pages.page_size;
    uint64_t page;
    NS_TRY(ns__numbers_reserve(pager->alloc, &change->born_pages, 2));
    NS_TRY(ns__space_take(&pager->space, 1, change->use_reserve, &page));
    NS_TRY(push_run(change, &change->born_pages, page, 1));
    ns__node_zero_gap(node);
    ns__store64(node + NS__NODE_BIRTH, change->generation);
    uint64_t checksum = ns__page_checksum(node, page_size, ns__page_seed(pager->file.uuid, page));
    ns__store64(node + NS__NODE_CHECKSUM, checksum);
    ns__space_note_write(&pager->space, page);
    NS_TRY(ns__file_write(&pager->file, page * page_size, node, page_size));
    ns__atomic_add(&pager->spills, 1);
    ns__atomic_add(&pager->written, 1);
    NS__MARK(spill);
    *ref_out = ns__ref_file(page, checksum);
    return NS_OK;
}

static ns_status spill_children(struct ns__change *change, uint8_t *node, uint32_t depth);

/* Moves the subtree of a frame into the file: copies, so that older roots keep the frames. */
static ns_status spill_frame(struct ns__change *change, uint64_t ref, uint32_t depth,
                             uint64_t *ref_out)
{
    uint8_t *buffer;
    NS_TRY(spill_buffer(change->pager, depth, &buffer));
    memcpy(buffer, ns__pager_frame(change->pager, ns__ref_number(ref)),
           change->pager->pages.page_size);
    NS_TRY(spill_children(change, buffer, depth));
    NS_TRY(write_node(change, buffer, ref_out));
    return ns__change_node_drop(change, ref);
}

static ns_status spill_children(struct ns__change *change, uint8_t *node, uint32_t depth)
{
    if (!ns__node_has_refs(node)) return NS_OK;
    uint32_t count = ns__node_count(node);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t ref = ns__node_ref(node, i);
        if (!ns__ref_is_frame(ref)) continue;
        NS_TRY(spill_frame(change, ref, depth + 1, &ref));
        ns__node_ref_swing(node, i, ref);
    }
    return NS_OK;
}

ns_status ns__change_node_finish(struct ns__change *change, uint8_t *node, uint64_t *ref_out)
{
    struct ns__pager *pager = change->pager;
    *ref_out = NS__REF_NONE;
    ns__atomic_add(&pager->copied, 1);
    if (change->is_spilling) {
        NS_ASSERT(node == pager->spill_buffers[0]);
        NS_TRY(spill_children(change, node, 0));
        return write_node(change, node, ref_out);
    }
    NS_ASSERT(change->filling != 0 && node == ns__pager_frame(pager, change->filling));
    ns__store64(node + NS__NODE_CHECKSUM, 0);
    ns__store64(node + NS__NODE_BIRTH, change->generation);
    NS_ASSERT_SLOW(ns__node_invalid(node, pager->pages.page_size, false) == NULL);
    uint64_t frame = change->filling;
    change->born_frames.numbers[change->born_frames.count++] = frame;
    change->filling = 0;
    *ref_out = ns__ref_frame(frame);
    return NS_OK;
}

/* ---- dropping ---- */

/* Made and dropped by this change: no root will ever reach it. */
static ns_status drop_unborn(struct ns__change *change, uint64_t page, uint64_t pages)
{
    NS_TRY(push_run(change, &change->unborn_pages, page, pages));
    ns__atomic_store32(&change->pager->space.epochs[page], NS__EPOCH_UNBORN);
    return NS_OK;
}

/* What a reference in the file says of itself is not believed: its pages must exist and not be
 * fixed ones, and only what this change wrote can have been born in it. */
static ns_status check_drop(struct ns__change *change, uint64_t page, uint64_t pages,
                            uint64_t birth)
{
    struct ns__pager *pager = change->pager;
    uint64_t readable = ns__atomic_load(&pager->pages.readable);
    uint32_t page_size = pager->pages.page_size;
    if (pages == 0 || page >= readable || pages > readable - page) {
        return ns__corrupt(page, "dropped, but %llu pages from here lie beyond the end of the file",
                           (unsigned long long)pages);
    }
    if (ns__page_is_fixed(page_size, page) || ns__page_is_fixed(page_size, page + pages - 1)) {
        return ns__corrupt(page, "dropped, but it is a meta or map page");
    }
    if (ns__atomic_load32(&pager->space.epochs[page]) == NS__EPOCH_DEAD) {
        return ns__corrupt(page, "dropped twice: more than one reference leads to it");
    }
    bool is_ours = ns__atomic_load32(&pager->space.epochs[page]) == NS__EPOCH_BORN;
    if (is_ours != (birth == change->generation) || birth > change->generation) {
        return ns__corrupt(page, "says that it was born in generation %llu",
                           (unsigned long long)birth);
    }
    return NS_OK;
}

static ns_status drop_thing(struct ns__change *change, uint64_t number, uint64_t pages,
                            uint64_t birth)
{
    struct ns__thing *thing =
        ns__pool_take(&change->pager->pool, number, pages, birth, change->generation);
    if (thing == NULL) return NS_NOMEM;
    struct ns__thing **list = pages == 0 ? &change->dead_frames : &change->dead_pages;
    thing->next = *list;
    *list = thing;
    if (pages == 0) {
        change->dead_frame_count++;
        change->dead_placed_count += change->pager->infos[number].is_placed;
    } else {
        uint32_t *epoch = &change->pager->space.epochs[number];
        thing->epoch = ns__atomic_load32(epoch);
        ns__atomic_store32(epoch, NS__EPOCH_DEAD);
        change->dead_page_count++;
    }
    return NS_OK;
}

ns_status ns__change_node_drop(struct ns__change *change, uint64_t ref)
{
    const uint8_t *node;
    NS_TRY(ns__pages_node(&change->pager->pages, ref, NS__LEVEL_ANY, &node));
    uint64_t birth = ns__node_birth(node), number = ns__ref_number(ref);
    bool is_frame = ns__ref_is_frame(ref);
    if (!is_frame) NS_TRY(check_drop(change, number, 1, birth));
    if (birth == change->generation) {
        return is_frame ? push(change, &change->unborn_frames, number)
                        : drop_unborn(change, number, 1);
    }
    return drop_thing(change, number, is_frame ? 0 : 1, birth);
}

ns_status ns__change_run_drop(struct ns__change *change, const struct ns__run *run, uint64_t size)
{
    uint64_t pages = ns__pages_of(size, change->pager->pages.page_size);
    NS__MARK(overflow_drop);
    NS_TRY(check_drop(change, run->page, pages, run->birth));
    if (run->birth == change->generation) return drop_unborn(change, run->page, pages);
    return drop_thing(change, run->page, pages, run->birth);
}

ns_status ns__change_run_write(struct ns__change *change, ns_slice value, struct ns__run *run_out)
{
    struct ns__pager *pager = change->pager;
    uint32_t page_size = pager->pages.page_size;
    uint64_t pages = ns__pages_of(value.size, page_size), page;
    *run_out = (struct ns__run){0};
    NS_TRY(ns__numbers_reserve(pager->alloc, &change->born_pages, 2));
    NS_TRY(ns__space_take(&pager->space, pages, change->use_reserve, &page));
    NS_TRY(push_run(change, &change->born_pages, page, pages));
    ns__space_note_write(&pager->space, page);
    uint64_t whole = value.size / page_size * page_size;
    if (whole > 0) NS_TRY(ns__file_write(&pager->file, page * page_size, value.data, whole));
    if (whole < value.size) {
        uint8_t *buffer;
        NS_TRY(spill_buffer(pager, 1, &buffer));
        memcpy(buffer, (const uint8_t *)value.data + whole, value.size - whole);
        memset(buffer + (value.size - whole), 0, page_size - (value.size - whole));
        NS_TRY(ns__file_write(&pager->file, page * page_size + whole, buffer, page_size));
    }
    NS__MARK(overflow_write);
    ns__atomic_add(&pager->written, pages);
    *run_out = (struct ns__run){
        .page = page,
        .birth = change->generation,
        .checksum = ns__checksum64(value.data, value.size, ns__page_seed(pager->file.uuid, page)),
    };
    return NS_OK;
}

/* ---- ending ---- */

static uint64_t dirty_after(const struct ns__change *change)
{
    return change->pager->dirty + change->born_frames.count - change->unborn_frames.count -
           change->dead_frame_count;
}

ns_status ns__pager_reserve_events(struct ns__pager *pager, uint64_t more)
{
    more += pager->events_kept;
    if (pager->event_capacity - pager->event_count >= more) return NS_OK;
    uint64_t capacity = pager->event_capacity < 256 ? 256 : pager->event_capacity;
    while (capacity - pager->event_count < more)
        capacity *= 2;
    struct ns__page_event *events =
        ns__alloc_resize(pager->alloc, pager->events, pager->event_capacity * sizeof *events,
                         capacity * sizeof *events);
    if (events == NULL) return NS_NOMEM;
    pager->events = events;
    pager->event_capacity = capacity;
    return NS_OK;
}

ns_status ns__change_prepare(struct ns__change *change)
{
    struct ns__pager *pager = change->pager;
    NS_TRY(ns__pager_reserve_events(pager, change->dead_page_count + change->born_pages.count / 2));
    uint64_t placed = pager->placed - change->dead_placed_count;
    NS_ASSERT(placed <= dirty_after(change));
    return ns__space_promise(&pager->space, dirty_after(change) - placed, change->use_reserve);
}

static void add_event(struct ns__pager *pager, uint64_t page, uint64_t pages, uint64_t generation,
                      bool is_death)
{
    NS_ASSERT(pager->event_count < pager->event_capacity);
    pager->events[pager->event_count++] =
        (struct ns__page_event){page, pages, generation, is_death};
}

static void give_runs(struct ns__pager *pager, const struct ns__number_list *runs)
{
    for (uint64_t i = 0; i < runs->count; i += 2) {
        ns__atomic_store32(&pager->space.epochs[runs->numbers[i]], 0);
        ns__space_give(&pager->space, runs->numbers[i], runs->numbers[i + 1]);
    }
}

static void change_end(struct ns__change *change)
{
    if (change->filling != 0) frame_give(change->pager, change->filling);
    change->filling = 0;
    change->is_open = false;
    ns__pager_keep_promise(change->pager);
}

void ns__pager_keep_promise(struct ns__pager *pager)
{
    NS_ASSERT(pager->placed <= pager->dirty);
    ns__space_set_promise(&pager->space, pager->dirty - pager->placed);
}

void ns__change_publish(struct ns__change *change)
{
    struct ns__pager *pager = change->pager;
    NS_ASSERT(change->is_open);
    pager->dirty = dirty_after(change);
    for (struct ns__thing *t = change->dead_frames; t != NULL; t = t->next) {
        struct ns__frame_info *info = &pager->infos[t->number];
        info->death = change->generation;
        if (info->is_placed != 0) {
            info->is_placed = 0;
            pager->placed--;
        }
    }
    for (uint64_t i = 0; i < change->born_pages.count; i += 2) {
        uint64_t page = change->born_pages.numbers[i];
        if (ns__atomic_load32(&pager->space.epochs[page]) == NS__EPOCH_UNBORN) continue;
        ns__space_note_published(&pager->space, page);
        add_event(pager, page, change->born_pages.numbers[i + 1], change->generation, false);
    }
    for (struct ns__thing *t = change->dead_pages; t != NULL; t = t->next) {
        add_event(pager, t->number, t->pages, change->generation, true);
    }
    for (uint64_t i = 0; i < change->unborn_frames.count; i++) {
        frame_give(pager, change->unborn_frames.numbers[i]);
    }
    give_runs(pager, &change->unborn_pages);
    change_end(change);
}

static void return_things(struct ns__pager *pager, struct ns__thing **list)
{
    while (*list != NULL) {
        struct ns__thing *thing = *list;
        *list = thing->next;
        ns__pool_give(&pager->pool, thing);
    }
}

void ns__change_abort(struct ns__change *change)
{
    struct ns__pager *pager = change->pager;
    NS_ASSERT(change->is_open);
    return_things(pager, &change->dead_frames);
    for (struct ns__thing *t = change->dead_pages; t != NULL; t = t->next) {
        ns__atomic_store32(&pager->space.epochs[t->number], t->epoch);
    }
    return_things(pager, &change->dead_pages);
    for (uint64_t i = 0; i < change->born_frames.count; i++) {
        frame_give(pager, change->born_frames.numbers[i]);
    }
    give_runs(pager, &change->born_pages);
    change_end(change);
}

/* ---- reuse ---- */

static uint32_t with_metas(const struct ns__pager *pager, const uint64_t *held, uint32_t count,
                           uint64_t *out)
{
    uint64_t metas[2] = {pager->older_generation,
                         pager->meta != NULL ? pager->meta->generation : 0};
    uint32_t n = 0, m = 0, i = 0;
    while (m < 2 && metas[m] == 0)
        m++;
    while (i < count || m < 2) {
        uint64_t next = i < count && (m == 2 || held[i] <= metas[m]) ? held[i++] : metas[m++];
        if (n == 0 || out[n - 1] != next) out[n++] = next;
    }
    return n;
}

static void reclaim_frames(struct ns__pager *pager, const uint64_t *held, uint32_t count)
{
    struct ns__thing *loose =
        ns__waiting_sift(&pager->waiting_frames, pager->change.dead_frames, held, count);
    pager->change.dead_frames = NULL;
    while (loose != NULL) {
        struct ns__thing *thing = loose;
        loose = thing->next;
        frame_give(pager, thing->number);
        ns__pool_give(&pager->pool, thing);
    }
}

void ns__pager_reclaim(struct ns__pager *pager, const uint64_t *held, uint32_t held_count)
{
    NS_ASSERT(!pager->change.is_open);
    NS_ASSERT(held_count + 2 <= pager->waiting_pages.capacity);
    reclaim_frames(pager, held, held_count);
    uint64_t *holders = pager->holders;
    uint32_t count = with_metas(pager, held, held_count, holders);
    struct ns__thing *loose =
        ns__waiting_sift(&pager->waiting_pages, pager->change.dead_pages, holders, count);
    pager->change.dead_pages = NULL;
    while (loose != NULL) {
        struct ns__thing *thing = loose;
        loose = thing->next;
        ns__atomic_store32(&pager->space.epochs[thing->number], 0);
        ns__space_give(&pager->space, thing->number, thing->pages);
        ns__pool_give(&pager->pool, thing);
    }
}
