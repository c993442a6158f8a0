/* alloc.h: the library's only way to the heap: the handle's allocator, with counters. */
#ifndef NS_BASE_ALLOC_H
#define NS_BASE_ALLOC_H

#include <northstar/alloc.h>

/* One per database handle; safe from any thread. */
struct ns__alloc {
    struct ns_allocator seam;
    uint64_t calls; /* counted with ns__atomic_* (base/atomic.h), relaxed */
    uint64_t bytes; /* held now */
};

/* seam NULL: malloc, realloc, free. The seam is copied. */
void ns__alloc_init(struct ns__alloc *alloc, const struct ns_allocator *seam);

/* NULL when there is no memory (sets the detail "out of memory: N bytes"). size 0 is treated as 1.
 * */
void *ns__alloc(struct ns__alloc *alloc, size_t size);
void *ns__alloc_zeroed(struct ns__alloc *alloc, size_t size);
void *ns__alloc_resize(struct ns__alloc *alloc, void *old, size_t old_size, size_t size);
void ns__alloc_release(struct ns__alloc *alloc, void *old, size_t size); /* old may be NULL */

#endif
