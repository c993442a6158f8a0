/* view.h: a root overlaid by a (usually absent) write set: every read, in every mode, runs
 * against one. The view does not own the root's pages or the set; whoever made it keeps both.
 * One thread. */
#ifndef NS_TXN_VIEW_H
#define NS_TXN_VIEW_H

#include "btree/btree.h"
#include "pager/root.h"
#include "txn/writeset.h"

#define NS__VIEW_CACHED 4u

struct ns__view {
    struct ns__pages *pages;
    struct ns__root root;
    struct ns__writeset *set; /* NULL: none */
    struct {                  /* trees of named keyspaces looked up lately */
        ns_keyspace id;
        bool is_there;
        struct ns__tree tree;
    } cached[NS__VIEW_CACHED];
    uint32_t cached_count, cached_next;
};

void ns__view_init(struct ns__view *view, struct ns__pages *pages, const struct ns__root *root,
                   struct ns__writeset *set);

/* The base tree of a keyspace. NS_NOTFOUND if the root does not have it; NS_CORRUPT, NS_IO. */
ns_status ns__view_tree(struct ns__view *view, ns_keyspace keyspace, struct ns__tree *tree_out);

/* ---- keyspaces; names have 1 to 255 bytes ---- */

/* Is the keyspace there, write set included? NS_OK, NS_NOTFOUND (detail not set), NS_CORRUPT,
 * NS_IO. */
ns_status ns__view_has_keyspace(struct ns__view *view, ns_keyspace keyspace);
/* id by name, write set included; NS_NOTFOUND, NS_CORRUPT, NS_IO. in_base_out (may be NULL): the
 * root has the name, whatever the write set says. */
ns_status ns__view_find_keyspace(struct ns__view *view, ns_slice name, ns_keyspace *keyspace_out,
                                 bool *in_base_out);
/* The id that a new keyspace of this name gets (FMT-12). An id dropped by the write set counts
 * as in use, except for the name it belonged to, which gets it again. NS_CORRUPT, NS_IO. */
ns_status ns__view_new_keyspace_id(struct ns__view *view, ns_slice name, ns_keyspace *keyspace_out);
/* Names in byte order, write set included. each returns nonzero to stop, and must not change the
 * set. Slices and strings are good during the call. NS_OK, NS_NOMEM, NS_CORRUPT, NS_IO. */
ns_status ns__view_each_keyspace(struct ns__view *view, struct ns__alloc *alloc,
                                 int (*each)(void *ctx, ns_slice name, ns_keyspace keyspace),
                                 void *ctx);
ns_status ns__view_list_keyspaces(struct ns__view *view, struct ns__alloc *alloc,
                                  int (*each)(void *ctx, const char *name, ns_keyspace keyspace),
                                  void *ctx);

/* ---- reading ---- */

/* value_out and version_out (may be NULL; 0: from the write set) as ns_txn_get_version gives.
 * The keyspace must be there (NS_NOTFOUND otherwise). When the write set is absent or empty this
 * is ns__btree_get and nothing else. Outputs are zeroed unless NS_OK. */
ns_status ns__view_get(struct ns__view *view, ns_keyspace keyspace, ns_slice key,
                       ns_slice *value_out, uint64_t *version_out);
/* values[i] and statuses[i] as ns__view_get would give. NS_OK, or NS_NOTFOUND, NS_CORRUPT or
 * NS_IO when the keyspace cannot be found (every status says the same). */
ns_status ns__view_get_many(struct ns__view *view, ns_keyspace keyspace, size_t n,
                            const ns_slice keys[], ns_slice values[], ns_status statuses[]);

/* FMT-28. alloc for cursors. NS_NOMEM, NS_CORRUPT, NS_IO; then hash_out is zero. */
ns_status ns__view_state_hash(struct ns__view *view, struct ns__alloc *alloc, uint8_t hash_out[16]);

/* ---- merged cursor: the semantics of ns_cursor in northstar.h ---- */

/* A move gives NS_OK, NS_NOTFOUND (no detail), NS_CORRUPT or NS_IO. After NS_NOTFOUND the cursor
 * stands past the last entry (first, next, seek, seek_exact) or before the first one (last,
 * prev, seek_before); after a failure before the first. The view and its pages outlive the
 * cursor's use. */
struct ns__view_cursor;
/* NS_NOTFOUND: no such keyspace; NS_NOMEM, NS_CORRUPT, NS_IO. cursor_out is NULL unless NS_OK. */
ns_status ns__view_cursor_new(struct ns__view *view, ns_keyspace keyspace, struct ns__alloc *alloc,
                              struct ns__view_cursor **cursor_out);
void ns__view_cursor_free(struct ns__view_cursor *cursor); /* NULL is fine */
/* Both are copied. NS_NOMEM: the old bounds and place stay. */
ns_status ns__view_cursor_bounds(struct ns__view_cursor *cursor, ns_slice from, ns_slice to);
ns_status ns__view_cursor_first(struct ns__view_cursor *cursor);
ns_status ns__view_cursor_last(struct ns__view_cursor *cursor);
ns_status ns__view_cursor_next(struct ns__view_cursor *cursor);
ns_status ns__view_cursor_prev(struct ns__view_cursor *cursor);
/* key may be a view given by this cursor. */
ns_status ns__view_cursor_seek(struct ns__view_cursor *cursor, ns_slice key);
ns_status ns__view_cursor_seek_exact(struct ns__view_cursor *cursor, ns_slice key);
ns_status ns__view_cursor_seek_before(struct ns__view_cursor *cursor, ns_slice key);
/* key_out and value_out may be NULL; empty unless NS_OK. The value of an entry deleted since the
 * cursor came to it is {NULL, 0}; that of a changed one is the new one. NS_NOTFOUND off an
 * entry; NS_CORRUPT, NS_IO. */
ns_status ns__view_cursor_get(const struct ns__view_cursor *cursor, ns_slice *key_out,
                              ns_slice *value_out);

#endif
