/* apply.h: the one way in which a canonical body changes a root: commit, recovery and replay all
 * come through here. */
#ifndef NS_TXN_APPLY_H
#define NS_TXN_APPLY_H

#include "base/arena.h"
#include "btree/btree.h"
#include "pager/root.h"

/* Applies the body of transaction txn_id to *root (trees, catalogue, keyspace count; not
 * generation, id, time, chain, log_end, which are the caller's). The body has been checked by
 * ns__body_check or was built by ns__writeset; it stays where it is during the call. Changes to
 * keyspaces that do not exist, and creations of ones that do, are NS_CORRUPT. Memory of the call
 * comes from scratch, which the caller resets. On failure (NS_CORRUPT, NS_IO, NS_FULL, NS_NOMEM)
 * *root is unchanged and the change must be aborted. */
ns_status ns__body_apply(struct ns__change *change, struct ns__root *root, ns_slice body,
                         uint64_t txn_id, struct ns__arena *scratch);

#endif
