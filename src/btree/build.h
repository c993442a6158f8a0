/* build.h: what the files that change trees share. Private to btree.
 *
 * Applying a batch is one recursive sweep. At every level the same three steps:
 *
 *   edits   what happens to the entries of one old node, ascending by index: for a leaf they come
 *           from the batch (apply.c), for a branch from what became of its children (span.c);
 *   splice  the fast path: the edits turn the old node into one new node (splice.c);
 *   span    else: the node's entries and edits become a list of items, neighbours under the same
 *           parent may join, and the list is packed into new nodes (pack.c, span.c).
 *
 * Every level has one rung of working memory. A rung serves one node or span at a time; that of
 * the level above keeps the parent, and collects its edits. */
#ifndef NS_BTREE_BUILD_H
#define NS_BTREE_BUILD_H

#include "btree/btree.h"

/* One entry on its way into a new node, with its whole key. */
struct ns__item {
    const uint8_t *key;
    const uint8_t *value; /* what the cell ends with: the value, or its encoded run */
    uint64_t version;
    uint64_t ref;
    uint64_t value_word; /* value size * 2 + is run, as the cell has it */
    uint32_t key_bytes;
    uint32_t value_bytes; /* at value */
    uint32_t shared;      /* bytes that begin both this key and that of the item before */
    uint32_t fixed_bytes; /* needed in a node whatever its prefix (ns__items_link) */
    bool is_thin;         /* a child below half that found no neighbour to join (span.c) */
    uint8_t stunted;      /* levels that are missing between the list and ref (span.c) */
};

enum ns__edit_kind {
    NS__EDIT_INSERT,  /* item stands before the old entry `index` (or behind the last) */
    NS__EDIT_REPLACE, /* item, of equal key, takes its place */
    NS__EDIT_REMOVE,
    NS__EDIT_REF, /* branches: item.ref (is_thin, stunted) takes the place of its reference */
};

/* Ascending by index; at one index inserts come first, and at most one other follows. */
struct ns__edit {
    struct ns__item item;
    uint32_t index;
    uint32_t old_bytes; /* of the old cell, for REPLACE and REMOVE in leaves */
    enum ns__edit_kind kind;
};

/* What of the batch concerns one child of a branch: ops and ranges by position. */
struct ns__part {
    uint32_t child;
    bool is_rightmost;      /* nothing in the tree lies beyond */
    bool has_low, has_high; /* kept only where ranges are to be judged; no low: unknown */
    ns_slice low, high;     /* the child holds keys in [low, high) */
    size_t op_first, op_end;
    size_t range_first, range_end;
};

struct ns__rung {
    /* the branch being swept */
    const uint8_t *node;
    struct ns__part *parts;
    size_t part_count, part_next, part_room; /* parts below part_next are dealt with */
    /* the edits of the node being swept */
    struct ns__edit *edits;
    size_t edit_count, edit_room;
    /* the span being packed */
    struct ns__item *items;
    size_t item_count, item_room;
    size_t *cuts; /* node i of the plan holds items [cuts[i], cuts[i + 1]) */
    size_t cut_count, cut_room;
    struct ns__item *pieces; /* finished nodes: key (separator), ref, is_thin */
    size_t piece_count, piece_room;
    uint64_t version_base;
    /* bytes that edits and items point to */
    uint8_t *pool;
    size_t pool_used, pool_size;
};

struct ns__sweep {
    struct ns__change *change;
    struct ns__pages *pages;
    struct ns__arena *arena;
    const struct ns__tree_batch *batch;
    uint32_t page_size;
    struct ns__tree tree; /* becomes the new one */
    uint32_t rung_count;  /* rungs below are zeroed and usable */
    struct ns__rung rungs[NS__LEVEL_MAX + 1];
};

static inline bool ns__sweep_has_refs(const struct ns__sweep *sweep, uint32_t level)
{
    return level > 0 || sweep->batch->is_catalogue;
}

static inline uint64_t ns__ref_page(uint64_t ref) /* for messages; frames have no page */
{
    return ns__ref_is_frame(ref) ? UINT64_MAX : ns__ref_number(ref);
}

/* ---- working memory (rung.c): NS_NOMEM ---- */

/* Makes the rungs up to `level` usable. NS_FULL if the tree would be too high. */
ns_status ns__rung_open(struct ns__sweep *sweep, uint32_t level);
/* Forgets edits, items and pool, but keeps their memory. */
void ns__rung_reset(struct ns__rung *rung);
/* Opens a new, larger pool with room for size bytes. */
ns_status ns__rung_pool(struct ns__sweep *sweep, struct ns__rung *rung, size_t size);
/* Appends an edit: kind and index set, the rest zeroed. */
ns_status ns__rung_edit(struct ns__sweep *sweep, struct ns__rung *rung, enum ns__edit_kind kind,
                        uint32_t index, struct ns__edit **edit_out);
ns_status ns__rung_items_room(struct ns__sweep *sweep, struct ns__rung *rung, size_t more);
ns_status ns__rung_piece(struct ns__sweep *sweep, struct ns__rung *rung,
                         struct ns__item **piece_out);
ns_status ns__rung_part(struct ns__sweep *sweep, struct ns__rung *rung, struct ns__part **part_out);
ns_status ns__rung_cut(struct ns__sweep *sweep, struct ns__rung *rung, size_t cut);

/* size bytes that stay until ns__rung_reset, and in place. */
static inline ns_status ns__rung_take(struct ns__sweep *sweep, struct ns__rung *rung, size_t size,
                                      uint8_t **bytes_out)
{
    *bytes_out = NULL;
    if (size > rung->pool_size - rung->pool_used) NS_TRY(ns__rung_pool(sweep, rung, size));
    *bytes_out = rung->pool + rung->pool_used;
    rung->pool_used += size;
    return NS_OK;
}

/* The key of entry index (not 0) of a branch, in the rung's pool. */
ns_status ns__rung_separator(struct ns__sweep *sweep, struct ns__rung *rung, const uint8_t *node,
                             uint32_t index, ns_slice *key_out);

/* ---- cells ---- */

static inline uint32_t ns__cell_bytes(const struct ns__item *item, uint32_t level,
                                      uint32_t rest_bytes, uint64_t version_base)
{
    size_t bytes = ns__varint_size(rest_bytes) + ns__node_tail_bytes(rest_bytes);
    if (level == 0) {
        bytes += ns__varint_size(item->version - version_base) + ns__varint_size(item->value_word) +
                 item->value_bytes;
    }
    return (uint32_t)bytes;
}

/* Writes it, and returns its size. rest: the remainder. */
static inline uint32_t ns__cell_store(uint8_t *to, const struct ns__item *item, uint32_t level,
                                      const uint8_t *rest, uint32_t rest_bytes,
                                      uint64_t version_base)
{
    uint8_t *p = to;
    p += ns__varint_store(p, rest_bytes);
    if (level == 0) {
        p += ns__varint_store(p, item->version - version_base);
        p += ns__varint_store(p, item->value_word);
    }
    if (rest_bytes > 4) {
        memcpy(p, rest + 4, rest_bytes - 4);
        p += rest_bytes - 4;
    }
    if (level == 0 && item->value_bytes > 0) {
        memcpy(p, item->value, item->value_bytes);
        p += item->value_bytes;
    }
    return (uint32_t)(p - to);
}

/* ---- pack.c: items to nodes ---- */

/* How to cut a span that needs more than one node. */
enum ns__cut_policy {
    NS__CUT_FULL, /* full nodes, the last one takes what is left: append patterns */
    NS__CUT_EVEN, /* as few nodes as leave a little room in each, evenly filled */
};

/* Appends to rung->items the entries of node (NULL: none) as changed by the edits. first_key is the
 * separator of the node in its parent, for branches. NS_NOMEM. */
ns_status ns__items_append(struct ns__sweep *sweep, uint32_t level, const uint8_t *node,
                           const struct ns__edit *edits, size_t edit_count, ns_slice first_key);
/* The same without edits, before the items that are there. */
ns_status ns__items_prepend(struct ns__sweep *sweep, uint32_t level, const uint8_t *node,
                            ns_slice first_key);

/* Finds the fewest nodes for the items, of which there are some: rung->cuts. *bytes_out: used in
 * all of them, headers included. NS_NOMEM; NS_CORRUPT if the items do not ascend. */
ns_status ns__items_plan(struct ns__sweep *sweep, uint32_t level, uint64_t *bytes_out);

/* Cuts the planned items as the policy says, and makes the nodes: rung->pieces. The pieces' keys
 * lie in the pool of level + 1. Consumes the items. Statuses of a change. */
ns_status ns__items_pack(struct ns__sweep *sweep, uint32_t level, enum ns__cut_policy policy,
                         uint64_t planned_bytes);

/* ---- splice.c: the fast path ---- */

/* What the edits of a rung would do to their node. */
struct ns__splice {
    const uint8_t *node;
    uint32_t level;
    bool is_possible;    /* one node of the same prefix and version base can hold the result */
    bool is_small;       /* the node shrinks, and to less than half */
    bool is_append;      /* nothing but entries behind the last one */
    bool is_same_shape;  /* no entry comes or goes */
    uint32_t count;      /* entries afterwards */
    uint32_t used_bytes; /* afterwards, without dead bytes */
    uint32_t new_bytes;  /* cells to be written below the heap */
    uint32_t inserted_bytes;
};

void ns__splice_judge(const struct ns__sweep *sweep, uint32_t level, const uint8_t *node,
                      struct ns__splice *splice_out);
/* Makes the node of a possible splice. The old node is not dropped. Statuses of a change. */
ns_status ns__splice_make(struct ns__sweep *sweep, const struct ns__splice *splice,
                          uint64_t *ref_out);

/* ---- span.c: balance ---- */

/* Sweeps child `part->child` of the branch in rung level + 1 and puts what became of it into that
 * rung's edits. */
ns_status ns__span_change(struct ns__sweep *sweep, uint32_t level, const struct ns__part *part);

/* ---- apply.c ---- */

/* Fills the edits of rung `level` for this node; recursion through ns__span_change. */
ns_status ns__sweep_node(struct ns__sweep *sweep, uint32_t level, const uint8_t *node, uint64_t ref,
                         const struct ns__part *part);

/* ---- nodes, counted (rung.c) ---- */

ns_status ns__sweep_finish(struct ns__sweep *sweep, uint8_t *node, uint64_t *ref_out);
ns_status ns__sweep_drop(struct ns__sweep *sweep, uint64_t ref);

/* ---- drop.c ---- */

/* Drops the nodes and runs of the subtree whose root has this level (NS__LEVEL_ANY: any), and
 * takes them off the counters: NS_CORRUPT when these run out. */
ns_status ns__subtree_drop(struct ns__change *change, struct ns__tree *tree, uint64_t ref,
                           uint32_t level);
/* The run of an entry, likewise. Entries without a run are fine. */
ns_status ns__entry_run_drop(struct ns__change *change, struct ns__tree *tree,
                             const struct ns__node_entry *entry);

#endif
