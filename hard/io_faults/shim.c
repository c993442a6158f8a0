/* shim.c: see shim.h. */
#include "io_faults/shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vfs/mem.h"

static void note(struct shim *shim, enum ns__mem_call kind)
{
    if (shim->calls < SHIM_KINDS_MAX) shim->kinds[shim->calls] = (uint8_t)kind;
    shim->calls++;
    if (kind == NS__MEM_SYNC || kind == NS__MEM_WRITE_SYNC) shim->syncs++;
}

/* ---- files ---- */

static ns_status shim_open(void *ctx, const char *path, uint32_t flags,
                           struct ns_vfs_file **file_out)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_OPEN);
    ns_status status = shim->inner->open(shim->inner->ctx, path, flags, file_out);
    if (status == NS_OK) shim->files++;
    return status;
}

static void shim_close(void *ctx, struct ns_vfs_file *file)
{
    struct shim *shim = ctx;
    if (file != NULL) shim->files--;
    shim->inner->close(shim->inner->ctx, file);
}

static ns_status shim_size(void *ctx, struct ns_vfs_file *file, uint64_t *size_out)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_SIZE);
    return shim->inner->size(shim->inner->ctx, file, size_out);
}

static ns_status shim_read(void *ctx, struct ns_vfs_file *file, uint64_t offset, void *out,
                           size_t size)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_READ);
    return shim->inner->read(shim->inner->ctx, file, offset, out, size);
}

static ns_status shim_write(void *ctx, struct ns_vfs_file *file, uint64_t offset, const void *data,
                            size_t size)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_WRITE);
    return shim->inner->write(shim->inner->ctx, file, offset, data, size);
}

static ns_status shim_write_sync(void *ctx, struct ns_vfs_file *file, uint64_t offset,
                                 const void *data, size_t size)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_WRITE_SYNC);
    ns_status status = shim->inner->write_sync(shim->inner->ctx, file, offset, data, size);
    return shim->hides_failures ? NS_OK : status;
}

static ns_status shim_sync(void *ctx, struct ns_vfs_file *file)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_SYNC);
    return shim->inner->sync(shim->inner->ctx, file);
}

static ns_status shim_allocate(void *ctx, struct ns_vfs_file *file, uint64_t from, uint64_t size)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_ALLOCATE);
    return shim->inner->allocate(shim->inner->ctx, file, from, size);
}

static ns_status shim_truncate(void *ctx, struct ns_vfs_file *file, uint64_t size)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_TRUNCATE);
    return shim->inner->truncate(shim->inner->ctx, file, size);
}

static void shim_drop_cache(void *ctx, struct ns_vfs_file *file)
{
    struct shim *shim = ctx;
    shim->inner->drop_cache(shim->inner->ctx, file);
}

static ns_status shim_lock(void *ctx, struct ns_vfs_file *file, uint32_t kind)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_LOCK);
    return shim->inner->lock(shim->inner->ctx, file, kind);
}

/* ---- names ---- */

static ns_status shim_remove(void *ctx, const char *path)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_REMOVE);
    return shim->inner->remove(shim->inner->ctx, path);
}

static ns_status shim_exists(void *ctx, const char *path)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_EXISTS);
    return shim->inner->exists(shim->inner->ctx, path);
}

static ns_status shim_sync_parent(void *ctx, const char *path)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_SYNC_PARENT);
    return shim->inner->sync_parent(shim->inner->ctx, path);
}

/* ---- maps and memory ---- */

static ns_status shim_map(void *ctx, struct ns_vfs_file *file, size_t reserve,
                          struct ns_vfs_map *map_out)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_MAP);
    ns_status status = shim->inner->map(shim->inner->ctx, file, reserve, map_out);
    if (status == NS_OK) shim->maps++;
    return status;
}

static ns_status shim_map_extend(void *ctx, struct ns_vfs_file *file, struct ns_vfs_map *map,
                                 size_t size)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_MAP_EXTEND);
    return shim->inner->map_extend(shim->inner->ctx, file, map, size);
}

static void shim_unmap(void *ctx, struct ns_vfs_file *file, struct ns_vfs_map *map)
{
    struct shim *shim = ctx;
    if (map->base != NULL) shim->maps--;
    shim->inner->unmap(shim->inner->ctx, file, map);
}

static ns_status shim_reserve(void *ctx, size_t size, void **memory_out)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_RESERVE);
    ns_status status = shim->inner->reserve(shim->inner->ctx, size, memory_out);
    if (status != NS_OK) return status;
    shim->reservations++;
    shim->reserved_bytes += (int64_t)size;
    return NS_OK;
}

static void shim_unreserve(void *ctx, void *memory, size_t size)
{
    struct shim *shim = ctx;
    if (memory != NULL) {
        shim->reservations--;
        shim->reserved_bytes -= (int64_t)size;
    }
    shim->inner->unreserve(shim->inner->ctx, memory, size);
}

static void shim_discard(void *ctx, void *memory, size_t size)
{
    struct shim *shim = ctx;
    shim->inner->discard(shim->inner->ctx, memory, size);
}

static uint64_t shim_memory_bytes(void *ctx)
{
    struct shim *shim = ctx;
    return shim->inner->memory_bytes(shim->inner->ctx);
}

/* ---- time and chance ---- */

static int64_t shim_unix_us(void *ctx)
{
    struct shim *shim = ctx;
    return shim->inner->unix_us(shim->inner->ctx);
}

static int64_t shim_coarse_unix_us(void *ctx)
{
    struct shim *shim = ctx;
    return shim->inner->coarse_unix_us(shim->inner->ctx);
}

static uint64_t shim_monotonic_ns(void *ctx)
{
    struct shim *shim = ctx;
    return shim->inner->monotonic_ns(shim->inner->ctx);
}

static ns_status shim_entropy(void *ctx, void *out, size_t size)
{
    struct shim *shim = ctx;
    note(shim, NS__MEM_ENTROPY);
    return shim->inner->entropy(shim->inner->ctx, out, size);
}

/* ---- the allocator ---- */

static void *heap_alloc(void *ctx, size_t size)
{
    struct shim *shim = ctx;
    void *memory = malloc(size);
    if (memory != NULL) shim->bytes += (int64_t)size;
    return memory;
}

static void *heap_resize(void *ctx, void *old, size_t old_size, size_t size)
{
    struct shim *shim = ctx;
    void *memory = realloc(old, size);
    if (memory != NULL) shim->bytes += (int64_t)size - (int64_t)old_size;
    return memory;
}

static void heap_release(void *ctx, void *old, size_t size)
{
    struct shim *shim = ctx;
    if (old != NULL) shim->bytes -= (int64_t)size;
    free(old);
}

/* ---- the table ---- */

static const struct ns_vfs table = {
    .open = shim_open,
    .close = shim_close,
    .size = shim_size,
    .read = shim_read,
    .write = shim_write,
    .write_sync = shim_write_sync,
    .sync = shim_sync,
    .allocate = shim_allocate,
    .truncate = shim_truncate,
    .drop_cache = shim_drop_cache,
    .lock = shim_lock,
    .remove = shim_remove,
    .exists = shim_exists,
    .sync_parent = shim_sync_parent,
    .map = shim_map,
    .map_extend = shim_map_extend,
    .unmap = shim_unmap,
    .reserve = shim_reserve,
    .unreserve = shim_unreserve,
    .discard = shim_discard,
    .memory_bytes = shim_memory_bytes,
    .unix_us = shim_unix_us,
    .coarse_unix_us = shim_coarse_unix_us,
    .monotonic_ns = shim_monotonic_ns,
    .entropy = shim_entropy,
};

void shim_init(struct shim *shim, const struct ns_vfs *inner)
{
    memset(shim, 0, sizeof *shim);
    shim->vfs = table;
    shim->vfs.ctx = shim;
    shim->inner = inner;
    shim->allocator = (struct ns_allocator){
        .ctx = shim, .alloc = heap_alloc, .resize = heap_resize, .release = heap_release};
}

void shim_restart(struct shim *shim, const struct ns_vfs *inner)
{
    shim->inner = inner;
    shim->calls = 0;
    shim->syncs = 0;
    shim->lost = 0;
}

const char *shim_leak(const struct shim *shim)
{
    static char text[160];
    if (shim->files == 0 && shim->maps == 0 && shim->reservations == 0 &&
        shim->reserved_bytes == 0 && shim->bytes == 0) {
        return NULL;
    }
    snprintf(text, sizeof text, "%lld files, %lld maps, %lld reservations (%lld bytes), %lld bytes",
             (long long)shim->files, (long long)shim->maps, (long long)shim->reservations,
             (long long)shim->reserved_bytes, (long long)shim->bytes);
    return text;
}
