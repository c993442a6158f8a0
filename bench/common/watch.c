/* watch.c: see watch.h. Both vfs are the originals' tables with the calls that move bytes replaced.
 * The replacements get the original's ctx, so they need no state but the counters. */
#include "common/watch.h"

#include <stdlib.h>

#include "base/atomic.h"
#include "vfs/mem.h"

static struct watch_counters counters;

static void count(uint64_t *counter, uint64_t n)
{
    (void)ns__atomic_add(counter, n);
}

void watch_counters(struct watch_counters *out)
{
    out->allocs = ns__atomic_load_relaxed(&counters.allocs);
    out->alloc_bytes = ns__atomic_load_relaxed(&counters.alloc_bytes);
    out->writes = ns__atomic_load_relaxed(&counters.writes);
    out->written_bytes = ns__atomic_load_relaxed(&counters.written_bytes);
    out->reads = ns__atomic_load_relaxed(&counters.reads);
    out->read_bytes = ns__atomic_load_relaxed(&counters.read_bytes);
    out->syncs = ns__atomic_load_relaxed(&counters.syncs);
}

/* ---- the allocator ---- */

static void *watched_alloc(void *ctx, size_t size)
{
    (void)ctx;
    count(&counters.allocs, 1);
    count(&counters.alloc_bytes, size);
    return malloc(size);
}

static void *watched_resize(void *ctx, void *old, size_t old_size, size_t size)
{
    (void)ctx;
    (void)old_size;
    count(&counters.allocs, 1);
    count(&counters.alloc_bytes, size);
    return realloc(old, size);
}

static void watched_release(void *ctx, void *old, size_t size)
{
    (void)ctx;
    (void)size;
    free(old);
}

const struct ns_allocator *watch_allocator(void)
{
    static const struct ns_allocator allocator = {NULL, watched_alloc, watched_resize,
                                                  watched_release};
    return &allocator;
}

/* ---- the files ---- */

#define WATCHED(world)                                                                             \
    static struct ns_vfs world##_inner, world##_watched;                                           \
    static ns_status world##_read(void *ctx, struct ns_vfs_file *file, uint64_t offset, void *out, \
                                  size_t size)                                                     \
    {                                                                                              \
        count(&counters.reads, 1);                                                                 \
        count(&counters.read_bytes, size);                                                         \
        return world##_inner.read(ctx, file, offset, out, size);                                   \
    }                                                                                              \
    static ns_status world##_write(void *ctx, struct ns_vfs_file *file, uint64_t offset,           \
                                   const void *data, size_t size)                                  \
    {                                                                                              \
        count(&counters.writes, 1);                                                                \
        count(&counters.written_bytes, size);                                                      \
        return world##_inner.write(ctx, file, offset, data, size);                                 \
    }                                                                                              \
    static ns_status world##_write_sync(void *ctx, struct ns_vfs_file *file, uint64_t offset,      \
                                        const void *data, size_t size)                             \
    {                                                                                              \
        count(&counters.writes, 1);                                                                \
        count(&counters.written_bytes, size);                                                      \
        count(&counters.syncs, 1);                                                                 \
        return world##_inner.write_sync(ctx, file, offset, data, size);                            \
    }                                                                                              \
    static ns_status world##_sync(void *ctx, struct ns_vfs_file *file)                             \
    {                                                                                              \
        count(&counters.syncs, 1);                                                                 \
        return world##_inner.sync(ctx, file);                                                      \
    }                                                                                              \
    static const struct ns_vfs *world##_watch(const struct ns_vfs *inner)                          \
    {                                                                                              \
        world##_inner = world##_watched = *inner;                                                  \
        world##_watched.read = world##_read;                                                       \
        world##_watched.write = world##_write;                                                     \
        world##_watched.write_sync = world##_write_sync;                                           \
        world##_watched.sync = world##_sync;                                                       \
        return &world##_watched;                                                                   \
    }

WATCHED(files)
WATCHED(memory)

const struct ns_vfs *watch_files(void)
{
    return files_inner.open != NULL ? &files_watched : files_watch(ns_vfs_default());
}

static uint32_t memory_flags;

void watch_simulate_time(void)
{
    memory_flags = NS__MEM_FAKE_TIME;
}

struct ns__mem *watch_memory_world(void)
{
    static struct ns__mem *mem;
    if (mem == NULL) {
        if (ns__mem_new(memory_flags, 1, NULL, &mem) != NS_OK) abort();
        (void)memory_watch(ns__mem_vfs(mem));
    }
    return mem;
}

const struct ns_vfs *watch_memory(void)
{
    (void)watch_memory_world();
    return &memory_watched;
}
