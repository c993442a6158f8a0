/* alloc.c: the allocator seam with its counters; malloc where the user gave none. */
#include "base/alloc.h"

#include <stdlib.h>
#include "base/atomic.h"
#include "base/status.h"

static void *default_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void *default_resize(void *ctx, void *old, size_t old_size, size_t size)
{
    (void)ctx;
    (void)old_size;
    return realloc(old, size);
}

static void default_release(void *ctx, void *old, size_t size)
{
    (void)ctx;
    (void)size;
    free(old);
}

void ns__alloc_init(struct ns__alloc *alloc, const struct ns_allocator *seam)
{
    static const struct ns_allocator defaults = {
        .alloc = default_alloc, .resize = default_resize, .release = default_release};
    alloc->seam = seam != NULL ? *seam : defaults;
    alloc->calls = 0;
    alloc->bytes = 0;
}

static size_t at_least_one(size_t size)
{
    return size > 0 ? size : 1;
}

static void *out_of_memory(size_t size)
{
    (void)ns__error(NS_NOMEM, "out of memory: %zu bytes", size);
    return NULL;
}

void *ns__alloc(struct ns__alloc *alloc, size_t size)
{
    size = at_least_one(size);
    ns__atomic_add(&alloc->calls, 1);
    void *memory = alloc->seam.alloc(alloc->seam.ctx, size);
    if (memory == NULL) return out_of_memory(size);
    ns__atomic_add(&alloc->bytes, size);
    return memory;
}

void *ns__alloc_zeroed(struct ns__alloc *alloc, size_t size)
{
    void *memory = ns__alloc(alloc, size);
    if (memory != NULL) memset(memory, 0, at_least_one(size));
    return memory;
}

void *ns__alloc_resize(struct ns__alloc *alloc, void *old, size_t old_size, size_t size)
{
    if (old == NULL) return ns__alloc(alloc, size);
    old_size = at_least_one(old_size);
    size = at_least_one(size);
    ns__atomic_add(&alloc->calls, 1);
    void *memory = alloc->seam.resize(alloc->seam.ctx, old, old_size, size);
    if (memory == NULL) return out_of_memory(size);
    ns__atomic_add(&alloc->bytes, size);
    ns__atomic_sub(&alloc->bytes, old_size);
    return memory;
}

void ns__alloc_release(struct ns__alloc *alloc, void *old, size_t size)
{
    if (old == NULL) return;
    size = at_least_one(size);
    alloc->seam.release(alloc->seam.ctx, old, size);
    ns__atomic_sub(&alloc->bytes, size);
}
