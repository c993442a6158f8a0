/* northstar/alloc.h: the replaceable allocator. */
#ifndef NORTHSTAR_ALLOC_H
#define NORTHSTAR_ALLOC_H

#include <northstar.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a handle gets its memory (ns_options.allocator). The structure is borrowed until the handle
 * is closed. Functions may be called from any thread that uses the handle, and from its helper
 * thread.
 *   alloc     size > 0 bytes aligned for any type, or NULL
 *   resize    as realloc: old may not be NULL, size > 0; NULL leaves old alone
 *   release   old may be NULL; size is what was asked for */
struct ns_allocator {
    void *ctx;
    void *(*alloc)(void *ctx, size_t size);
    void *(*resize)(void *ctx, void *old, size_t old_size, size_t size);
    void (*release)(void *ctx, void *old, size_t size);
};

#ifdef __cplusplus
}
#endif

#endif /* NORTHSTAR_ALLOC_H */
