/* rung.c: working memory of a sweep, one rung a level, all from the caller's arena; and the two
 * places where nodes are counted.
 *
 * An array that is too small is replaced by one of twice the size. The arena takes nothing back, so
 * the old one stays readable: slices into a pool survive its growth. Rungs are reused node after
 * node, so a sweep takes memory for its largest span, not for the batch. */
#include "btree/build.h"

ns_status ns__rung_open(struct ns__sweep *sweep, uint32_t level)
{
    if (level > NS__LEVEL_MAX) return ns__error(NS_FULL, "the tree has %u levels", NS__LEVEL_MAX);
    while (sweep->rung_count <= level) {
        memset(&sweep->rungs[sweep->rung_count], 0, sizeof sweep->rungs[0]);
        sweep->rung_count++;
    }
    return NS_OK;
}

void ns__rung_reset(struct ns__rung *rung)
{
    rung->edit_count = 0;
    rung->item_count = 0;
    rung->piece_count = 0;
    rung->pool_used = 0;
}

/* Room for at least `wanted` elements; the first `count` are kept. */
static ns_status grow(struct ns__sweep *sweep, void **array, size_t *room, size_t count,
                      size_t wanted, size_t element_bytes)
{
    NS_ASSERT(count <= *room);
    if (wanted <= *room) return NS_OK;
    size_t size = *room == 0 ? 16 : *room * 2;
    while (size < wanted)
        size *= 2;
    void *bigger = ns__arena_take(sweep->arena, size * element_bytes);
    if (bigger == NULL) return NS_NOMEM;
    if (count > 0) memcpy(bigger, *array, count * element_bytes);
    *array = bigger;
    *room = size;
    return NS_OK;
}

ns_status ns__rung_pool(struct ns__sweep *sweep, struct ns__rung *rung, size_t size)
{
    size_t bigger = rung->pool_size == 0 ? 1024 : rung->pool_size * 2;
    while (bigger < size)
        bigger *= 2;
    uint8_t *pool = ns__arena_take(sweep->arena, bigger);
    if (pool == NULL) return NS_NOMEM;
    rung->pool = pool;
    rung->pool_size = bigger;
    rung->pool_used = 0;
    return NS_OK;
}

ns_status ns__rung_edit(struct ns__sweep *sweep, struct ns__rung *rung, enum ns__edit_kind kind,
                        uint32_t index, struct ns__edit **edit_out)
{
    void *edits = rung->edits;
    NS_TRY(grow(sweep, &edits, &rung->edit_room, rung->edit_count, rung->edit_count + 1,
                sizeof *rung->edits));
    rung->edits = edits;
    struct ns__edit *edit = &rung->edits[rung->edit_count];
    NS_ASSERT_SLOW(rung->edit_count == 0 || edit[-1].index <= index);
    memset(edit, 0, sizeof *edit);
    edit->kind = kind;
    edit->index = index;
    rung->edit_count++;
    *edit_out = edit;
    return NS_OK;
}

ns_status ns__rung_items_room(struct ns__sweep *sweep, struct ns__rung *rung, size_t more)
{
    void *items = rung->items;
    NS_TRY(grow(sweep, &items, &rung->item_room, rung->item_count, rung->item_count + more,
                sizeof *rung->items));
    rung->items = items;
    return NS_OK;
}

ns_status ns__rung_piece(struct ns__sweep *sweep, struct ns__rung *rung,
                         struct ns__item **piece_out)
{
    void *pieces = rung->pieces;
    NS_TRY(grow(sweep, &pieces, &rung->piece_room, rung->piece_count, rung->piece_count + 1,
                sizeof *rung->pieces));
    rung->pieces = pieces;
    *piece_out = &rung->pieces[rung->piece_count++];
    memset(*piece_out, 0, sizeof **piece_out);
    return NS_OK;
}

ns_status ns__rung_part(struct ns__sweep *sweep, struct ns__rung *rung, struct ns__part **part_out)
{
    void *parts = rung->parts;
    NS_TRY(grow(sweep, &parts, &rung->part_room, rung->part_count, rung->part_count + 1,
                sizeof *rung->parts));
    rung->parts = parts;
    *part_out = &rung->parts[rung->part_count++];
    memset(*part_out, 0, sizeof **part_out);
    return NS_OK;
}

ns_status ns__rung_cut(struct ns__sweep *sweep, struct ns__rung *rung, size_t cut)
{
    void *cuts = rung->cuts;
    NS_TRY(grow(sweep, &cuts, &rung->cut_room, rung->cut_count, rung->cut_count + 1,
                sizeof *rung->cuts));
    rung->cuts = cuts;
    rung->cuts[rung->cut_count++] = cut;
    return NS_OK;
}

ns_status ns__rung_separator(struct ns__sweep *sweep, struct ns__rung *rung, const uint8_t *node,
                             uint32_t index, ns_slice *key_out)
{
    NS_ASSERT(ns__node_level(node) > 0);
    NS_ASSERT(index > 0 && index < ns__node_count(node));
    *key_out = ns_bytes(NULL, 0);
    struct ns__node_entry entry;
    uint8_t *key;
    ns__node_entry(node, index, &entry);
    NS_TRY(ns__rung_take(sweep, rung, ns__node_key_bytes(node, &entry) + 4u, &key));
    *key_out = ns_bytes(key, ns__node_key_copy(node, index, &entry, key));
    return NS_OK;
}

ns_status ns__sweep_finish(struct ns__sweep *sweep, uint8_t *node, uint64_t *ref_out)
{
    NS_TRY(ns__change_node_finish(sweep->change, node, ref_out));
    NS_ASSERT(*ref_out != NS__REF_NONE);
    sweep->tree.pages++;
    return NS_OK;
}

ns_status ns__sweep_drop(struct ns__sweep *sweep, uint64_t ref)
{
    NS_ASSERT(ref != NS__REF_NONE);
    if (sweep->tree.pages == 0) {
        return ns__corrupt(ns__ref_page(ref), "the tree has more nodes than it counts");
    }
    sweep->tree.pages--;
    return ns__change_node_drop(sweep->change, ref);
}
