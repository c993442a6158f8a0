/* pack.c: a list of items becomes nodes.
 *
 * The list (rung->items) holds whole keys, so that a node's prefix can be chosen anew. Sizes are
 * exact: the prefix of a group of neighbouring items is the least number of bytes that any two
 * neighbours in it share, so a group is measured while it grows, in one pass over numbers.
 *
 *   P1  items ascend strictly (checked when they are linked: old nodes may be hostile);
 *   P2  any two entries of a leaf, and any three children of a branch, fit in one node: see
 *       ns__value_is_inline and FMT-13. So a plan always exists;
 *   P3  every node of a branch level gets at least two children;
 *   P4  the separator before a leaf is the shortest key that separates; before a branch it is the
 *       first separator of that branch, which moves up.
 *
 * An even cut is found by trying: the smallest limit, in steps of half an entry, for which the
 * greedy cut needs no more nodes than wanted. */
#include "btree/build.h"

/* Even cuts leave at least an eighth of a node free, or a cut would come again too soon. */
#define SOFT_BYTES(page_size) ((page_size) - (page_size) / 8)

/* The item of one entry; key: where to write its key. Returns what follows the key. */
static inline uint8_t *leaf_item(const uint8_t *node, uint32_t index,
                                 const struct ns__node_entry *entry, uint8_t *key,
                                 struct ns__item *item)
{
    item->key = key;
    item->key_bytes = ns__node_key_copy(node, index, entry, key);
    item->value = entry->value;
    item->value_bytes = ns__node_stored_bytes(entry);
    item->value_word = entry->value_bytes << 1 | entry->is_run;
    item->version = entry->version;
    item->ref = ns__node_has_refs(node) ? ns__node_ref(node, index) : 0;
    item->is_thin = false;
    item->stunted = 0;
    return key + item->key_bytes;
}

static inline uint8_t *branch_item(const uint8_t *node, uint32_t index,
                                   const struct ns__node_entry *entry, ns_slice first_key,
                                   uint8_t *key, struct ns__item *item)
{
    memset(item, 0, sizeof *item);
    item->ref = ns__node_ref(node, index);
    item->key = index == 0 ? first_key.data : key;
    if (index == 0) {
        item->key_bytes = (uint32_t)first_key.size;
        return key;
    }
    item->key_bytes = ns__node_key_copy(node, index, entry, key);
    return key + item->key_bytes;
}

/* Entries [index, end) of node to items[*at ..]. */
static ns_status items_of_entries(struct ns__sweep *sweep, uint32_t level, const uint8_t *node,
                                  uint32_t index, uint32_t end, ns_slice first_key, size_t *at)
{
    struct ns__rung *rung = &sweep->rungs[level];
    struct ns__item *items = rung->items;
    for (; index < end; index++) {
        struct ns__node_entry entry;
        uint8_t *key;
        ns__node_entry(node, index, &entry);
        NS_TRY(ns__rung_take(sweep, rung, ns__node_key_bytes(node, &entry) + 4u, &key));
        uint8_t *key_end = level > 0 ? branch_item(node, index, &entry, first_key, key, &items[*at])
                                     : leaf_item(node, index, &entry, key, &items[*at]);
        rung->pool_used = (size_t)(key_end - rung->pool);
        *at += 1;
    }
    return NS_OK;
}

ns_status ns__items_append(struct ns__sweep *sweep, uint32_t level, const uint8_t *node,
                           const struct ns__edit *edits, size_t edit_count, ns_slice first_key)
{
    struct ns__rung *rung = &sweep->rungs[level];
    uint32_t count = node != NULL ? ns__node_count(node) : 0;
    NS_ASSERT(NS_IMPLIES(node != NULL, ns__node_level(node) == level));
    NS_TRY(ns__rung_items_room(sweep, rung, count + edit_count));

    size_t at = rung->item_count;
    uint32_t index = 0;
    for (size_t i = 0; i < edit_count; i++) {
        const struct ns__edit *edit = &edits[i];
        NS_ASSERT(edit->index >= index && edit->index <= count);
        NS_TRY(items_of_entries(sweep, level, node, index, edit->index, first_key, &at));
        index = edit->index + (edit->kind == NS__EDIT_INSERT ? 0 : 1);
        if (edit->kind == NS__EDIT_REMOVE) continue;
        if (edit->kind != NS__EDIT_REF) {
            rung->items[at++] = edit->item;
            continue;
        }
        NS_TRY(items_of_entries(sweep, level, node, edit->index, index, first_key, &at));
        rung->items[at - 1].ref = edit->item.ref;
        rung->items[at - 1].is_thin = edit->item.is_thin;
        rung->items[at - 1].stunted = edit->item.stunted;
    }
    NS_TRY(items_of_entries(sweep, level, node, index, count, first_key, &at));
    NS_ASSERT(at <= rung->item_room);
    rung->item_count = at;
    return NS_OK;
}

ns_status ns__items_prepend(struct ns__sweep *sweep, uint32_t level, const uint8_t *node,
                            ns_slice first_key)
{
    struct ns__rung *rung = &sweep->rungs[level];
    uint32_t count = ns__node_count(node);
    NS_ASSERT(ns__node_level(node) == level);
    NS_TRY(ns__rung_items_room(sweep, rung, count));
    memmove(rung->items + count, rung->items, rung->item_count * sizeof *rung->items);
    rung->item_count += count;
    size_t at = 0;
    return items_of_entries(sweep, level, node, 0, count, first_key, &at);
}

/* Bytes at which two keys begin alike. */
static uint32_t shared_bytes(const struct ns__item *a, const struct ns__item *b)
{
    uint32_t size = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
    uint32_t i = 0;
    while (i + 8 <= size) {
        uint64_t difference = ns__load64(a->key + i) ^ ns__load64(b->key + i);
        if (difference != 0) return i + (uint32_t)__builtin_ctzll(difference) / 8;
        i += 8;
    }
    while (i < size && a->key[i] == b->key[i])
        i++;
    return i;
}

static ns_status link(struct ns__sweep *sweep, uint32_t level)
{
    struct ns__rung *rung = &sweep->rungs[level];
    NS_ASSERT(rung->item_count > 0);
    uint64_t base = level > 0 ? 0 : UINT64_MAX;
    for (size_t i = 0; i < rung->item_count && level == 0; i++) {
        if (rung->items[i].version < base) base = rung->items[i].version;
    }
    rung->version_base = base;

    uint32_t index_bytes = ns__node_index_bytes(ns__sweep_has_refs(sweep, level));
    for (size_t i = 0; i < rung->item_count; i++) {
        struct ns__item *item = &rung->items[i];
        item->fixed_bytes = index_bytes + ns__cell_bytes(item, level, 0, base) - 1;
        item->shared = 0;
        if (i == 0 || (level > 0 && i == 1)) continue; /* no key before this one, or not needed */
        const struct ns__item *before = item - 1;
        uint32_t shared = shared_bytes(before, item);
        if (shared == item->key_bytes ||
            (shared < before->key_bytes && before->key[shared] > item->key[shared])) {
            return ns__corrupt(UINT64_MAX, "tree keys out of order at level %u", level);
        }
        item->shared = shared;
    }
    return NS_OK;
}

/* ---- measuring ---- */

static inline uint32_t arrays_offset(uint32_t prefix_bytes)
{
    return (NS__NODE_HEADER_BYTES + prefix_bytes + 7u) & ~7u;
}

static inline uint32_t item_bytes(const struct ns__item *item, uint32_t prefix_bytes)
{
    NS_ASSERT_SLOW(prefix_bytes <= item->key_bytes);
    uint32_t rest_bytes = item->key_bytes - prefix_bytes;
    uint32_t size_bytes = rest_bytes < 0x80 ? 1 : rest_bytes < 0x4000 ? 2 : 3;
    return item->fixed_bytes + size_bytes + ns__node_tail_bytes(rest_bytes);
}

/* Of items [first, end) as entries of one node. */
static uint32_t items_bytes(const struct ns__item *items, uint32_t level, size_t first, size_t end,
                            uint32_t prefix_bytes)
{
    uint32_t bytes = 0;
    for (size_t i = first; i < end; i++) {
        bool is_keyless = level > 0 && i == first;
        bytes += is_keyless ? items[i].fixed_bytes + 1 : item_bytes(&items[i], prefix_bytes);
    }
    return bytes;
}

/* The prefix of a group when item i joins it. */
static inline uint32_t prefix_with(const struct ns__item *items, uint32_t level, size_t first,
                                   size_t i, uint32_t prefix_bytes)
{
    bool is_first_key = i == first + (level > 0);
    if (is_first_key) return items[i].key_bytes;
    return items[i].shared < prefix_bytes ? items[i].shared : prefix_bytes;
}

/* The largest group of items from first on that fits in limit bytes; at least one, in branches two
 * (if there are two). */
static size_t group_end(const struct ns__rung *rung, uint32_t level, size_t first, uint32_t limit,
                        uint32_t *bytes_out)
{
    const struct ns__item *items = rung->items;
    size_t least = first + (level > 0 ? 2 : 1), end = first;
    uint32_t prefix_bytes = 0, bytes = 0;
    for (; end < rung->item_count; end++) {
        uint32_t prefix = prefix_bytes, sum = bytes;
        if (level > 0 && end == first) {
            sum = items[end].fixed_bytes + 1;
        } else {
            prefix = prefix_with(items, level, first, end, prefix_bytes);
            if (prefix != prefix_bytes) sum = items_bytes(items, level, first, end, prefix);
            sum += item_bytes(&items[end], prefix);
        }
        if (end >= least && arrays_offset(prefix) + sum > limit) break;
        prefix_bytes = prefix;
        bytes = sum;
    }
    *bytes_out = arrays_offset(prefix_bytes) + bytes;
    return end;
}

/* Cuts greedily. *bytes_out as ns__items_plan. */
static ns_status cut(struct ns__sweep *sweep, uint32_t level, uint32_t limit, uint64_t *bytes_out)
{
    struct ns__rung *rung = &sweep->rungs[level];
    NS_ASSERT(limit <= sweep->page_size);
    rung->cut_count = 0;
    *bytes_out = 0;
    NS_TRY(ns__rung_cut(sweep, rung, 0));
    for (size_t first = 0; first < rung->item_count;) {
        uint32_t bytes;
        first = group_end(rung, level, first, limit, &bytes);
        *bytes_out += bytes;
        NS_TRY(ns__rung_cut(sweep, rung, first));
    }
    /* P3: no branch with a single child at the end; P2 says that the merge fits. */
    size_t *last = &rung->cuts[rung->cut_count - 1];
    if (level > 0 && rung->cut_count > 2 && last[0] - last[-1] == 1) {
        if (last[-1] - last[-2] > 2) {
            last[-1]--;
        } else {
            last[-1] = last[0];
            rung->cut_count--;
        }
    }
    return NS_OK;
}

ns_status ns__items_plan(struct ns__sweep *sweep, uint32_t level, uint64_t *bytes_out)
{
    *bytes_out = 0;
    NS_TRY(link(sweep, level));
    return cut(sweep, level, sweep->page_size, bytes_out);
}

/* Cuts evenly; the plan for full nodes is in rung->cuts. */
static ns_status cut_evenly(struct ns__sweep *sweep, uint32_t level, uint64_t planned_bytes)
{
    struct ns__rung *rung = &sweep->rungs[level];
    uint64_t soft = SOFT_BYTES(sweep->page_size);
    uint64_t wanted = (planned_bytes + soft - 1) / soft, ignored;
    if (wanted < rung->cut_count - 1) wanted = rung->cut_count - 1;
    uint64_t step = planned_bytes / rung->item_count / 2 + 1;
    uint64_t limit = planned_bytes / wanted + NS__NODE_HEADER_BYTES / 2;
    for (;;) {
        limit += step;
        if (limit >= sweep->page_size) break;
        NS_TRY(cut(sweep, level, (uint32_t)limit, &ignored));
        if (rung->cut_count - 1 <= wanted) return NS_OK;
    }
    return cut(sweep, level, sweep->page_size, &ignored);
}

/* ---- building ---- */

static uint32_t group_prefix(const struct ns__item *items, uint32_t level, size_t first, size_t end)
{
    uint32_t prefix_bytes = 0;
    for (size_t i = first + (level > 0); i < end; i++) {
        prefix_bytes = prefix_with(items, level, first, i, prefix_bytes);
    }
    return prefix_bytes;
}

static void header_store(uint8_t *node, uint32_t type, uint32_t level, uint32_t count,
                         uint64_t version_base, const uint8_t *prefix, uint32_t prefix_bytes)
{
    memset(node, 0, NS__NODE_HEADER_BYTES);
    node[NS__NODE_TYPE] = (uint8_t)type;
    node[NS__NODE_LEVEL] = (uint8_t)level;
    ns__store16(node + NS__NODE_COUNT, (uint16_t)count);
    ns__store16(node + NS__NODE_PREFIX_BYTES, (uint16_t)prefix_bytes);
    ns__store64(node + NS__NODE_VERSION_BASE, version_base);
    if (prefix_bytes > 0) memcpy(node + NS__NODE_HEADER_BYTES, prefix, prefix_bytes);
    uint32_t end = NS__NODE_HEADER_BYTES + prefix_bytes;
    memset(node + end, 0, arrays_offset(prefix_bytes) - end);
}

/* Fills node with items [first, end). Cells ascend with their entries, for scans. */
static void fill(const struct ns__sweep *sweep, uint32_t level, size_t first, size_t end,
                 uint8_t *node)
{
    const struct ns__rung *rung = &sweep->rungs[level];
    const struct ns__item *items = rung->items;
    uint32_t count = (uint32_t)(end - first), page_size = sweep->page_size;
    uint32_t prefix_bytes = group_prefix(items, level, first, end);
    uint32_t type = level > 0                    ? NS__TYPE_BRANCH
                    : sweep->batch->is_catalogue ? NS__TYPE_CATALOGUE
                                                 : NS__TYPE_LEAF;
    bool has_refs = type != NS__TYPE_LEAF;
    uint32_t bytes = items_bytes(items, level, first, end, prefix_bytes);
    uint32_t heap = page_size - (bytes - count * ns__node_index_bytes(has_refs));
    NS_ASSERT(arrays_offset(prefix_bytes) + bytes <= page_size);

    header_store(node, type, level, count, rung->version_base, items[end - 1].key, prefix_bytes);
    ns__store32(node + NS__NODE_HEAP, heap);
    uint8_t *refs = node + ns__node_refs_offset(node);
    uint8_t *heads = node + ns__node_heads_offset(node);
    uint8_t *slots = node + ns__node_slots_offset(node);
    for (uint32_t i = 0; i < count; i++) {
        const struct ns__item *item = &items[first + i];
        bool is_keyless = level > 0 && i == 0;
        const uint8_t *rest = is_keyless ? NULL : item->key + prefix_bytes;
        uint32_t rest_bytes = is_keyless ? 0 : item->key_bytes - prefix_bytes;
        if (has_refs) ns__store64(refs + 8u * i, item->ref);
        ns__store32(heads + 4u * i, ns__node_head_of(rest, rest_bytes));
        ns__store16(slots + 2u * i, (uint16_t)heap);
        heap += ns__cell_store(node + heap, item, level, rest, rest_bytes, rung->version_base);
    }
    NS_ASSERT(heap == page_size);
}

/* The separator before a group: P4. */
static ns_status piece_key(struct ns__sweep *sweep, uint32_t level, const struct ns__item *first,
                           struct ns__item *piece)
{
    uint32_t size = level > 0 ? first->key_bytes : first->shared + 1;
    uint8_t *key;
    NS_ASSERT(size <= first->key_bytes);
    NS_TRY(ns__rung_take(sweep, &sweep->rungs[level + 1], size, &key));
    memcpy(key, first->key, size);
    piece->key = key;
    piece->key_bytes = size;
    return NS_OK;
}

ns_status ns__items_pack(struct ns__sweep *sweep, uint32_t level, enum ns__cut_policy policy,
                         uint64_t planned_bytes)
{
    struct ns__rung *rung = &sweep->rungs[level];
    NS_ASSERT(rung->item_count > (level > 0 ? 1 : 0));
    NS_ASSERT(rung->cut_count >= 2 && rung->cuts[rung->cut_count - 1] == rung->item_count);
    NS_TRY(ns__rung_open(sweep, level + 1));
    if (policy == NS__CUT_EVEN) NS_TRY(cut_evenly(sweep, level, planned_bytes));

    rung->piece_count = 0;
    for (size_t i = 0; i + 1 < rung->cut_count; i++) {
        size_t first = rung->cuts[i], end = rung->cuts[i + 1];
        struct ns__item *piece;
        uint8_t *node;
        NS_TRY(ns__rung_piece(sweep, rung, &piece));
        NS_TRY(ns__change_node_new(sweep->change, &node));
        fill(sweep, level, first, end, node);
        NS_TRY(ns__sweep_finish(sweep, node, &piece->ref));
        if (i > 0) NS_TRY(piece_key(sweep, level, &rung->items[first], piece));
    }
    rung->item_count = 0;
    return NS_OK;
}
