/* btree.h: an ordered map in copy-on-write nodes. A tree is a value (struct ns__tree): a root
 * reference and counters. Reading never changes anything and runs in any thread; changing makes a
 * new tree out of an old one, in one sweep over a sorted batch, inside a pager change. */
#ifndef NS_BTREE_BTREE_H
#define NS_BTREE_BTREE_H

#include "base/arena.h"
#include "pager/pages.h"

/* ---- reading ---- */

/* NS_OK, NS_NOTFOUND (no detail), NS_CORRUPT, NS_IO. value_out is a view of the node or run;
 * version_out and ref_out (the reference of a catalogue entry; 0 in other trees) may be NULL.
 * Outputs are zeroed unless NS_OK. */
ns_status ns__btree_get(struct ns__pages *pages, const struct ns__tree *tree, ns_slice key,
                        ns_slice *value_out, uint64_t *version_out, uint64_t *ref_out);

/* n lookups with interleaved descents. statuses[i] as ns__btree_get would return. Returns NS_OK. */
ns_status ns__btree_get_many(struct ns__pages *pages, const struct ns__tree *tree, size_t n,
                             const ns_slice keys[], ns_slice values[], ns_status statuses[]);

/* ---- cursors ---- */

/* Stands on an entry or nowhere. Caller's storage. The tree must stay held while it is used. */
struct ns__btree_cursor {
    struct ns__pages *pages;
    struct ns__tree tree;
    struct ns__alloc *alloc;
    uint32_t depth; /* 0: nowhere */
    struct {
        const uint8_t *node;
        uint32_t index;
    } path[NS__LEVEL_MAX]; /* [0] the root; [depth - 1] the leaf */
    uint8_t *key;          /* assembled key, room for ns__key_bytes_max() bytes and a little more */
    uint32_t key_bytes;
    bool is_backward; /* direction of the last move to another leaf */
    uint64_t leaves;  /* moves to another leaf since the last seek or turn */
};

/* Allocates the key buffer: NS_NOMEM. */
ns_status ns__btree_cursor_init(struct ns__btree_cursor *cursor, struct ns__pages *pages,
                                const struct ns__tree *tree, struct ns__alloc *alloc);
void ns__btree_cursor_deinit(struct ns__btree_cursor *cursor); /* a zeroed cursor is fine */

/* Moves. NS_OK, NS_NOTFOUND (then it stands nowhere), NS_CORRUPT, NS_IO. next and prev need an
 * entry to stand on. */
ns_status ns__btree_cursor_first(struct ns__btree_cursor *cursor);
ns_status ns__btree_cursor_last(struct ns__btree_cursor *cursor);
ns_status ns__btree_cursor_next(struct ns__btree_cursor *cursor);
ns_status ns__btree_cursor_prev(struct ns__btree_cursor *cursor);
ns_status ns__btree_cursor_seek(struct ns__btree_cursor *cursor, ns_slice key); /* first >= key */
ns_status ns__btree_cursor_seek_before(struct ns__btree_cursor *cursor,
                                       ns_slice key); /* last < key */

static inline bool ns__btree_cursor_is_on(const struct ns__btree_cursor *cursor)
{
    return cursor->depth > 0;
}
/* Valid until the next move. */
ns_slice ns__btree_cursor_key(const struct ns__btree_cursor *cursor);
/* value_out, version_out, ref_out may be NULL. NS_CORRUPT, NS_IO (a run). Views live as long as the
 * holder. */
ns_status ns__btree_cursor_entry(const struct ns__btree_cursor *cursor, ns_slice *value_out,
                                 uint64_t *version_out, uint64_t *ref_out);

/* ---- changing ---- */

enum ns__tree_op_kind { NS__TREE_PUT, NS__TREE_DEL };

struct ns__tree_op {
    ns_slice key;
    ns_slice value;
    uint64_t version;
    uint64_t ref; /* catalogue trees only */
    enum ns__tree_op_kind kind;
};

struct ns__tree_range { /* deletes [from, to); empty = open */
    ns_slice from, to;
};

struct ns__tree_batch {
    const struct ns__tree_range *ranges; /* ascending, disjoint */
    size_t range_count;
    const struct ns__tree_op *ops; /* ascending by key, each key once; happen after the ranges */
    size_t op_count;
    bool is_catalogue; /* leaves are of type 3 */
};

/* Applies the batch: *tree becomes the new tree. Deletes of absent keys do nothing. Keys and values
 * are within the limits of FMT-13. scratch is for this call's working memory. On failure *tree is
 * unchanged and the change must be aborted: NS_CORRUPT, NS_IO, NS_FULL, NS_NOMEM. A node that the
 * same change made may be dropped again by it. */
ns_status ns__btree_apply(struct ns__change *change, struct ns__tree *tree,
                          const struct ns__tree_batch *batch, struct ns__arena *scratch);

/* Drops every node and run of the tree; *tree becomes empty. */
ns_status ns__btree_drop(struct ns__change *change, struct ns__tree *tree);

/* ---- checking and showing ---- */

/* Called for every node (its reference, pages = 1, is_run false) and run (its first page). Return
 * not NS_OK to stop. */
typedef ns_status (*ns__btree_visit)(void *ctx, uint64_t ref_or_page, uint64_t pages, bool is_run);

/* Every law of one tree: levels, order within and between nodes, bounds by separators, minimal
 * counts, place of values, counters equal to tree's, runs verified, births not above generation.
 * (Fill is reported by ns__btree_shape, not judged.) visit may be NULL; for catalogue trees the
 * references in leaves are not followed. NS_OK, NS_CORRUPT, NS_IO, NS_NOMEM, or visit's. */
ns_status ns__btree_check(struct ns__pages *pages, const struct ns__tree *tree, bool is_catalogue,
                          uint64_t generation, struct ns__alloc *alloc, ns__btree_visit visit,
                          void *ctx);

struct ns__btree_shape {
    uint32_t height;
    uint64_t leaves, branches, entries;
    uint64_t leaf_bytes_used, branch_bytes_used; /* headers included */
};
/* NS_OK, NS_CORRUPT, NS_IO. */
ns_status ns__btree_shape(struct ns__pages *pages, const struct ns__tree *tree,
                          struct ns__btree_shape *shape_out);

/* The tree as text, one node a line, for people and tests (dump.c shows how). Writes pieces to
 * write(ctx, text). Page numbers and checksums are left out, so that equal trees give equal text.
 * NS_OK, NS_CORRUPT, NS_IO. */
ns_status ns__btree_dump(struct ns__pages *pages, const struct ns__tree *tree,
                         void (*write)(void *ctx, const char *text), void *ctx);

#endif
