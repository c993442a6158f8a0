/* pages.h: what trees see of the pager: nodes and runs by reference, and one change at a time.
 *
 * A node is reached by a reference, which names a frame (memory) or a page of the file (the map).
 * Finding it is an add and a shift. A file page is verified the first time this process touches it.
 * A finished node never changes, except that a checkpoint swings references from frames to the file
 * pages that hold the same content. */
#ifndef NS_PAGER_PAGES_H
#define NS_PAGER_PAGES_H

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/status.h"
#include "format/layout.h"
#include "format/node.h"

struct ns__pager;

/* The reading side; any thread. Embedded in struct ns__pager. */
struct ns__pages {
    const uint8_t *bases[2]; /* of file pages and of frames: index = top bit of the reference */
    uint32_t page_size;
    uint32_t page_shift;
    uint64_t readable;  /* atomic: file pages that the map shows */
    uint64_t frames;    /* how many there may be */
    uint64_t *verified; /* atomic bits by page number; reserved memory, as long as the map */
    struct ns__pager *pager;
};

#define NS__LEVEL_ANY UINT32_MAX

/* Maps, verifies and validates the node behind a file reference. */
ns_status ns__pages_verify(struct ns__pages *pages, uint64_t ref, uint32_t level,
                           const uint8_t **node_out);

/* The node behind ref, whose level must be `level` (NS__LEVEL_ANY for a root). NS_CORRUPT names the
 * page; NS_IO. The node stays valid and unchanged as long as a holder (snapshot, change) keeps its
 * root. */
static inline ns_status ns__pages_node(struct ns__pages *pages, uint64_t ref, uint32_t level,
                                       const uint8_t **node_out)
{
    uint64_t number = ns__ref_number(ref);
    const uint8_t *node = pages->bases[ref >> 63] + (number << pages->page_shift);
    if (!ns__ref_is_frame(ref)) {
        if (number >= ns__atomic_load(&pages->readable) ||
            (ns__atomic_load(&pages->verified[number >> 6]) >> (number & 63) & 1) == 0 ||
            !ns__ref_matches(ref, ns__node_checksum(node)) ||
            (level != NS__LEVEL_ANY && ns__node_level(node) != level)) {
            return ns__pages_verify(pages, ref, level, node_out);
        }
    }
    *node_out = node;
    return NS_OK;
}

/* Asks the processor to fetch the first lines of the node. Never faults. */
static inline void ns__pages_prefetch(const struct ns__pages *pages, uint64_t ref)
{
    const uint8_t *node = pages->bases[ref >> 63] + (ns__ref_number(ref) << pages->page_shift);
    __builtin_prefetch(node);
    __builtin_prefetch(node + 64);
    __builtin_prefetch(node + 128);
}

/* The value behind a run (size bytes). Verified on first touch. NS_CORRUPT, NS_IO. */
ns_status ns__pages_run(struct ns__pages *pages, const struct ns__run *run, uint64_t size,
                        ns_slice *value_out);

/* ---- changes ---- */

/* One change makes the next root out of the newest one: new nodes are born in its generation,
 * replaced ones die in it. One at a time; the caller holds the apply lock. After any failure the
 * caller aborts the change, and every node it made is gone. */
struct ns__change;

struct ns__pages *ns__change_pages(struct ns__change *change);
uint64_t ns__change_generation(const struct ns__change *change);

/* Memory for one new node: page_size bytes, uninitialised, to be filled at once and finished with
 * ns__change_node_finish before the next one is taken. NS_NOMEM. */
ns_status ns__change_node_new(struct ns__change *change, uint8_t **node_out);

/* Takes the filled node (header complete but for checksum and birth, which are set here) into the
 * new root. The gap between slots and heap need not be zero. NS_FULL, NS_IO (when it has to go to
 * the file for want of frames). */
ns_status ns__change_node_finish(struct ns__change *change, uint8_t *node, uint64_t *ref_out);

/* The node behind ref is not part of the new root. It stays readable until the change ends. */
ns_status ns__change_node_drop(struct ns__change *change, uint64_t ref);

/* Writes a value into a fresh run. NS_FULL, NS_IO. */
ns_status ns__change_run_write(struct ns__change *change, ns_slice value, struct ns__run *run_out);
ns_status ns__change_run_drop(struct ns__change *change, const struct ns__run *run, uint64_t size);

#endif
