/* mem_table.c: the vfs table of a world in memory. Calls whose failure leaves something behind
 * (writes, syncs, what changes sizes and names) ask for their fate under the world's lock and act
 * on it there; all others just pass or fail.
 *
 * Terms. A handle's *content* is the inode it reads and writes: its file's, or a private handle's
 * copy of that (M6 in mem.c). Its locks are always the file's. */
#include "base/atomic.h"
#include "base/bytes.h"
#include "base/status.h"
#include "vfs/mem_world.h"
#include "vfs/posix.h"

#define FAKE_EPOCH_US INT64_C(1000000000000000)
#define FAKE_MEMORY_BYTES ((uint64_t)8 << 30)

/* ---- open and close ---- */

static struct ns__mem_file *to_file(struct ns_vfs_file *file)
{
    return (struct ns__mem_file *)(void *)file;
}

static bool is_private(const struct ns__mem_file *file)
{
    return (file->flags & NS_VFS_PRIVATE) != 0;
}

static bool may_change(const struct ns__mem_file *file)
{
    return is_private(file) || (file->flags & NS_VFS_READ_ONLY) == 0;
}

/* The content as it is, without the world's lock. */
static struct ns__mem_inode *content(struct ns__mem *mem, struct ns__mem_file *file)
{
    if (!is_private(file)) return file->inode;
    ns__mem_lock_world(mem);
    struct ns__mem_inode *inode = file->copy != NULL ? file->copy : file->inode;
    ns__mem_unlock_world(mem);
    return inode;
}

/* The content to change or map, under the world's lock. NS_NOMEM. */
static ns_status own_content(struct ns__mem *mem, struct ns__mem_file *file,
                             struct ns__mem_inode **inode_out)
{
    *inode_out = file->inode;
    if (!is_private(file)) return NS_OK;
    if (file->copy == NULL) {
        file->copy = ns__mem_inode_copy(mem, file->inode);
        if (file->copy == NULL) return NS_NOMEM;
        file->copy->handles = 1;
    }
    *inode_out = file->copy;
    return NS_OK;
}

/* Does the disk, read-only since a failed sync, refuse changes through this handle? */
static bool is_refused(const struct ns__mem *mem, const struct ns__mem_file *file)
{
    return mem->read_only && !is_private(file);
}

static bool tracks(const struct ns__mem *mem, const struct ns__mem_inode *inode)
{
    return ns__mem_tracks(mem) && !inode->is_private;
}

/* Finds or makes the file. NS_NOTFOUND, NS_EXISTS, NS_NOMEM. */
static ns_status resolve(struct ns__mem *mem, const char *path, uint32_t flags,
                         struct ns__mem_inode **inode_out)
{
    struct ns__mem_name *name = ns__mem_name_find(mem, path);
    *inode_out = name != NULL ? name->current : NULL;
    bool create = (flags & NS_VFS_CREATE) != 0;
    if (*inode_out == NULL) return create ? ns__mem_file_create(mem, path, inode_out) : NS_NOTFOUND;
    return create && (flags & NS_VFS_EXCLUSIVE) != 0 ? NS_EXISTS : NS_OK;
}

static ns_status open_locked(struct ns__mem *mem, const char *path, uint32_t flags,
                             struct ns__mem_file **file_out)
{
    ns_status status;
    enum ns__mem_fate fate = ns__mem_fate_of(mem, NS__MEM_OPEN, &status);
    struct ns__mem_inode *inode = NULL;
    if (fate == NS__MEM_FATE_STOP) (void)resolve(mem, path, flags, &inode);
    if (fate != NS__MEM_FATE_GO) return status;
    if (mem->read_only && (flags & (NS_VFS_READ_ONLY | NS_VFS_PRIVATE)) == 0) return NS_READONLY;
    struct ns__mem_file *file = ns__alloc_zeroed(mem->alloc, sizeof *file);
    if (file == NULL) return NS_NOMEM;
    status = resolve(mem, path, flags, &inode);
    if (status != NS_OK) {
        ns__alloc_release(mem->alloc, file, sizeof *file);
        return status;
    }
    inode->handles++;
    file->inode = inode;
    file->flags = flags;
    file->lock = NS_VFS_UNLOCK;
    *file_out = file;
    if ((flags & NS_VFS_CREATE) != 0) ns__mem_show(mem);
    return NS_OK;
}

static ns_status mem_open(void *ctx, const char *path, uint32_t flags,
                          struct ns_vfs_file **file_out)
{
    struct ns__mem *mem = ctx;
    struct ns__mem_file *file = NULL;
    *file_out = NULL;
    ns__mem_count_call(mem, NS__MEM_OPEN);
    if ((flags & NS_VFS_PRIVATE) != 0 && (flags & NS_VFS_CREATE) != 0) return NS_UNSUPPORTED;
    ns__mem_lock_world(mem);
    ns_status status = open_locked(mem, path, flags, &file);
    ns__mem_unlock_world(mem);
    *file_out = (struct ns_vfs_file *)(void *)file;
    return status;
}

static void drop_lock(struct ns__mem_file *file)
{
    if (file->lock == NS_VFS_SHARED) file->inode->shared_locks--;
    if (file->lock == NS_VFS_SOLE) file->inode->sole_lock = false;
    file->lock = NS_VFS_UNLOCK;
}

static void mem_close(void *ctx, struct ns_vfs_file *handle)
{
    struct ns__mem *mem = ctx;
    struct ns__mem_file *file = to_file(handle);
    if (file == NULL) return;
    ns__mem_lock_world(mem);
    drop_lock(file);
    if (file->copy != NULL) {
        file->copy->handles--;
        ns__mem_inode_settle(mem, file->copy);
    }
    file->inode->handles--;
    ns__mem_inode_settle(mem, file->inode);
    ns__alloc_release(mem->alloc, file, sizeof *file);
    ns__mem_unlock_world(mem);
}

/* ---- reading and writing ---- */

static ns_status mem_size(void *ctx, struct ns_vfs_file *handle, uint64_t *size_out)
{
    *size_out = 0;
    NS_TRY(ns__mem_allowed(ctx, NS__MEM_SIZE));
    *size_out = ns__atomic_load_relaxed(&content(ctx, to_file(handle))->size);
    return NS_OK;
}

static ns_status mem_read(void *ctx, struct ns_vfs_file *handle, uint64_t offset, void *out,
                          size_t size)
{
    NS_TRY(ns__mem_allowed(ctx, NS__MEM_READ));
    const struct ns__mem_inode *inode = content(ctx, to_file(handle));
    uint64_t end = ns__atomic_load_relaxed(&inode->size);
    if (offset > end || size > end - offset) return NS_IO;
    if (size > 0) memcpy(out, inode->base + offset, size);
    return NS_OK;
}

/* How large the file may become at most. */
static uint64_t size_limit(const struct ns__mem *mem, const struct ns__mem_inode *inode)
{
    uint64_t limit = inode->range->bytes;
    if (mem->capacity == 0 || inode->is_private) return limit;
    uint64_t room = mem->capacity > mem->used ? mem->capacity - mem->used : 0;
    return room < limit - inode->size ? inode->size + room : limit;
}

static ns_status grow(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t size)
{
    if (tracks(mem, inode)) NS_TRY(ns__mem_note_size(mem, inode, size));
    ns__mem_size_set(mem, inode, size);
    return NS_OK;
}

/* Writes size > 0 bytes for which there is room. */
static ns_status put_fitting(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t offset,
                             const void *data, size_t size, bool durable)
{
    uint64_t end = offset + size;
    if (durable && tracks(mem, inode)) {
        NS_TRY(ns__mem_settle_range(mem, inode, offset, data, size));
        if (end > inode->size) ns__mem_size_set(mem, inode, end);
    } else {
        if (end > inode->size) NS_TRY(grow(mem, inode, end));
        if (tracks(mem, inode)) NS_TRY(ns__mem_note_write(mem, inode, offset, data, size));
    }
    memcpy(inode->base + offset, data, size);
    return NS_OK;
}

/* A disk that fills up takes what still fits. */
static ns_status put(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t offset,
                     const void *data, size_t size, bool durable)
{
    if (size == 0) return NS_OK;
    uint64_t limit = size_limit(mem, inode);
    if (offset <= limit && size <= limit - offset) {
        return put_fitting(mem, inode, offset, data, size, durable);
    }
    if (offset < limit) {
        NS_TRY(put_fitting(mem, inode, offset, data, (size_t)(limit - offset), false));
    }
    return NS_FULL;
}

/* The same, shown to who watches the world while all of it is pending. */
static ns_status put_shown(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t offset,
                           const void *data, size_t size, bool durable)
{
    if (mem->seen == NULL || !tracks(mem, inode)) {
        return put(mem, inode, offset, data, size, durable);
    }
    ns_status status = put(mem, inode, offset, data, size, false);
    ns__mem_show(mem);
    if (status != NS_OK || !durable || size == 0) return status;
    return ns__mem_settle_range(mem, inode, offset, data, size);
}

/* What a sync says that was struck, and what the world is from then on. */
static ns_status sync_struck(struct ns__mem *mem, ns_status status)
{
    if (mem->sync_failure == NS__MEM_SYNC_READ_ONLY) mem->read_only = true;
    if (mem->sync_failure != NS__MEM_SYNC_LATE) return status;
    mem->late = status;
    return NS_OK;
}

/* What a sync says that was not struck itself. */
static ns_status sync_late(struct ns__mem *mem)
{
    ns_status status = mem->late;
    mem->late = NS_OK;
    return status;
}

/* A write that fails leaves a prefix; one that was to be durable may also fail while it syncs, and
 * does so in all modes but the first. */
static ns_status put_failing(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t offset,
                             const void *data, size_t size, bool durable, ns_status failure)
{
    if (size == 0) return failure;
    uint64_t chance = ns__prng_next(&mem->chance);
    if (durable && ((chance & 1) != 0 || mem->sync_failure != NS__MEM_SYNC_NEW)) {
        ns_status status = put(mem, inode, offset, data, size, false);
        if (status != NS_OK) return failure;
        if (!tracks(mem, inode)) return failure;
        ns__mem_settle_range_half(mem, inode, offset, data, size);
        return sync_struck(mem, failure);
    }
    (void)put(mem, inode, offset, data, (size_t)((chance >> 1) % size), false);
    return failure;
}

static ns_status put_as_fated(struct ns__mem *mem, struct ns__mem_file *file, uint64_t offset,
                              const void *data, size_t size, bool durable)
{
    struct ns__mem_inode *inode;
    if (is_refused(mem, file)) return NS_READONLY;
    NS_TRY(own_content(mem, file, &inode));
    ns_status status;
    switch (ns__mem_fate_of(mem, durable ? NS__MEM_WRITE_SYNC : NS__MEM_WRITE, &status)) {
    case NS__MEM_FATE_GO:
        status = put_shown(mem, inode, offset, data, size, durable);
        if (status == NS_OK && durable) status = sync_late(mem);
        break;
    case NS__MEM_FATE_STOP: (void)put(mem, inode, offset, data, size, false); break;
    case NS__MEM_FATE_FAIL:
        status = put_failing(mem, inode, offset, data, size, durable, status);
        break;
    case NS__MEM_FATE_DEAD: break;
    }
    return status;
}

/* How many bytes are there already, in whole words. A commit rewrites the beginning of a block as
 * it is, while others read it: what does not change is not touched. */
static size_t equal_bytes(const uint8_t *base, const void *data, size_t size)
{
    const uint8_t *from = data;
    size_t same = 0;
    while (size - same >= 8 && memcmp(base + same, from + same, 8) == 0) {
        same += 8;
    }
    return same;
}

static ns_status write_file(struct ns__mem *mem, struct ns__mem_file *file, uint64_t offset,
                            const void *data, size_t size, bool durable)
{
    ns__mem_count_call(mem, durable ? NS__MEM_WRITE_SYNC : NS__MEM_WRITE);
    if (!may_change(file)) return NS_READONLY;
    struct ns__mem_inode *inode = file->inode;
    uint64_t end = ns__atomic_load_relaxed(&inode->size);
    bool inside = !is_private(file) && offset <= end && size <= end - offset;
    if (inside && !ns__mem_tracks(mem) && ns__atomic_load_relaxed(&mem->armed) == 0) {
        size_t same = equal_bytes(inode->base + offset, data, size);
        if (size > same) {
            memcpy(inode->base + offset + same, (const uint8_t *)data + same, size - same);
        }
        return NS_OK;
    }
    ns__mem_lock_world(mem);
    ns_status status = put_as_fated(mem, file, offset, data, size, durable);
    ns__mem_unlock_world(mem);
    return status;
}

static ns_status mem_write(void *ctx, struct ns_vfs_file *handle, uint64_t offset, const void *data,
                           size_t size)
{
    struct ns__mem *mem = ctx;
    NS_TRY(write_file(mem, to_file(handle), offset, data, size, false));
    if (is_private(to_file(handle))) return NS_OK;
    ns__atomic_add(&mem->counters.writes, 1);
    ns__atomic_add(&mem->counters.write_bytes, size);
    return NS_OK;
}

static ns_status mem_write_sync(void *ctx, struct ns_vfs_file *handle, uint64_t offset,
                                const void *data, size_t size)
{
    struct ns__mem *mem = ctx;
    NS_TRY(write_file(mem, to_file(handle), offset, data, size, true));
    if (is_private(to_file(handle))) return NS_OK;
    ns__atomic_add(&mem->counters.sync_writes, 1);
    ns__atomic_add(&mem->counters.sync_write_bytes, size);
    return NS_OK;
}

/* Under the world's lock, in a world that tracks what is durable. */
static ns_status sync_as_fated(struct ns__mem *mem, struct ns__mem_inode *inode)
{
    if (mem->read_only) return NS_READONLY;
    ns_status status;
    enum ns__mem_fate fate = ns__mem_fate_of(mem, NS__MEM_SYNC, &status);
    if (fate != NS__MEM_FATE_GO && fate != NS__MEM_FATE_FAIL) return status;
    bool half = fate == NS__MEM_FATE_FAIL;
    ns__mem_show(mem);
    ns__mem_settle_file(mem, inode, half);
    if (half && mem->sync_failure == NS__MEM_SYNC_OLD) ns__mem_show_durable(inode);
    return half ? sync_struck(mem, status) : sync_late(mem);
}

static ns_status mem_sync(void *ctx, struct ns_vfs_file *handle)
{
    struct ns__mem *mem = ctx;
    struct ns__mem_inode *inode = to_file(handle)->inode;
    if (is_private(to_file(handle))) return ns__mem_allowed(mem, NS__MEM_SYNC);
    if (!ns__mem_tracks(mem)) {
        NS_TRY(ns__mem_allowed(mem, NS__MEM_SYNC));
    } else {
        ns__mem_count_call(mem, NS__MEM_SYNC);
        ns__mem_lock_world(mem);
        ns_status status = sync_as_fated(mem, inode);
        ns__mem_unlock_world(mem);
        if (status != NS_OK) return status;
    }
    ns__atomic_add(&mem->counters.syncs, 1);
    return NS_OK;
}

/* ---- size ---- */

static ns_status allocate_as_fated(struct ns__mem *mem, struct ns__mem_file *file, uint64_t size)
{
    struct ns__mem_inode *inode;
    if (is_refused(mem, file)) return NS_READONLY;
    NS_TRY(own_content(mem, file, &inode));
    ns_status status;
    enum ns__mem_fate fate = ns__mem_fate_of(mem, NS__MEM_ALLOCATE, &status);
    if (fate != NS__MEM_FATE_GO && fate != NS__MEM_FATE_STOP) return status;
    if (size <= inode->size) return status;
    if (size > size_limit(mem, inode)) return fate == NS__MEM_FATE_STOP ? status : NS_FULL;
    uint64_t growth = size - inode->size;
    ns_status grown = grow(mem, inode, size);
    if (grown == NS_OK && !inode->is_private) {
        ns__atomic_add(&mem->counters.allocated_bytes, growth);
        ns__mem_show(mem);
    }
    return status != NS_OK ? status : grown;
}

/* Every byte of a file counts against the capacity, so real space is behind all of it. */
static ns_status mem_allocate(void *ctx, struct ns_vfs_file *handle, uint64_t from, uint64_t size)
{
    struct ns__mem *mem = ctx;
    struct ns__mem_file *file = to_file(handle);
    (void)from;
    ns__mem_count_call(mem, NS__MEM_ALLOCATE);
    if (!may_change(file)) return NS_READONLY;
    ns__mem_lock_world(mem);
    ns_status status = allocate_as_fated(mem, file, size);
    ns__mem_unlock_world(mem);
    return status;
}

static ns_status truncate_as_fated(struct ns__mem *mem, struct ns__mem_file *file, uint64_t size)
{
    struct ns__mem_inode *inode;
    if (is_refused(mem, file)) return NS_READONLY;
    NS_TRY(own_content(mem, file, &inode));
    ns_status status;
    enum ns__mem_fate fate = ns__mem_fate_of(mem, NS__MEM_TRUNCATE, &status);
    if (fate != NS__MEM_FATE_GO && fate != NS__MEM_FATE_STOP) return status;
    if (size == inode->size) return status;
    if (size > inode->range->bytes) return fate == NS__MEM_FATE_STOP ? status : NS_FULL;
    ns_status noted = tracks(mem, inode) ? ns__mem_note_size(mem, inode, size) : NS_OK;
    if (noted == NS_OK) {
        if (size < inode->size) ns__mem_zero_tail(inode, size);
        ns__mem_size_set(mem, inode, size);
        if (!inode->is_private) ns__mem_show(mem);
    }
    return status != NS_OK ? status : noted;
}

static ns_status mem_truncate(void *ctx, struct ns_vfs_file *handle, uint64_t size)
{
    struct ns__mem *mem = ctx;
    struct ns__mem_file *file = to_file(handle);
    ns__mem_count_call(mem, NS__MEM_TRUNCATE);
    if (!may_change(file)) return NS_READONLY;
    ns__mem_lock_world(mem);
    ns_status status = truncate_as_fated(mem, file, size);
    ns__mem_unlock_world(mem);
    return status;
}

static void mem_drop_cache(void *ctx, struct ns_vfs_file *file)
{
    (void)ctx;
    (void)file;
}

/* ---- locks and names ---- */

static ns_status lock_locked(struct ns__mem_file *file, uint32_t kind)
{
    struct ns__mem_inode *inode = file->inode;
    bool sole_elsewhere = inode->sole_lock && file->lock != NS_VFS_SOLE;
    uint64_t shared_here = file->lock == NS_VFS_SHARED ? 1 : 0;
    bool read_only = (file->flags & (NS_VFS_READ_ONLY | NS_VFS_PRIVATE)) != 0;
    if (kind == NS_VFS_SOLE && read_only) return NS_READONLY;
    if (kind != NS_VFS_UNLOCK && sole_elsewhere) return NS_BUSY;
    if (kind == NS_VFS_SOLE && inode->shared_locks > shared_here) return NS_BUSY;
    drop_lock(file);
    if (kind == NS_VFS_SHARED) inode->shared_locks++;
    if (kind == NS_VFS_SOLE) inode->sole_lock = true;
    file->lock = kind;
    return NS_OK;
}

static ns_status mem_lock(void *ctx, struct ns_vfs_file *handle, uint32_t kind)
{
    struct ns__mem *mem = ctx;
    NS_TRY(ns__mem_allowed(mem, NS__MEM_LOCK));
    ns__mem_lock_world(mem);
    ns_status status = lock_locked(to_file(handle), kind);
    ns__mem_unlock_world(mem);
    return status;
}

static ns_status remove_as_fated(struct ns__mem *mem, const char *path)
{
    ns_status status;
    if (mem->read_only) return NS_READONLY;
    enum ns__mem_fate fate = ns__mem_fate_of(mem, NS__MEM_REMOVE, &status);
    if (fate != NS__MEM_FATE_GO && fate != NS__MEM_FATE_STOP) return status;
    struct ns__mem_name *name = ns__mem_name_find(mem, path);
    bool present = name != NULL && name->current != NULL;
    ns_status removed = present ? ns__mem_name_change(mem, name, NULL) : NS_NOTFOUND;
    if (removed == NS_OK) ns__mem_show(mem);
    return status != NS_OK ? status : removed;
}

static ns_status mem_remove(void *ctx, const char *path)
{
    struct ns__mem *mem = ctx;
    ns__mem_count_call(mem, NS__MEM_REMOVE);
    ns__mem_lock_world(mem);
    ns_status status = remove_as_fated(mem, path);
    ns__mem_unlock_world(mem);
    return status;
}

static ns_status mem_exists(void *ctx, const char *path)
{
    struct ns__mem *mem = ctx;
    NS_TRY(ns__mem_allowed(mem, NS__MEM_EXISTS));
    ns__mem_lock_world(mem);
    struct ns__mem_name *name = ns__mem_name_find(mem, path);
    bool present = name != NULL && name->current != NULL;
    ns__mem_unlock_world(mem);
    return present ? NS_OK : NS_NOTFOUND;
}

static ns_status mem_sync_parent(void *ctx, const char *path)
{
    struct ns__mem *mem = ctx;
    NS_TRY(ns__mem_allowed(mem, NS__MEM_SYNC_PARENT));
    if (!ns__mem_tracks(mem)) return NS_OK;
    ns__mem_lock_world(mem);
    struct ns__mem_name *name = ns__mem_name_find(mem, path);
    ns__mem_show(mem);
    if (name != NULL) ns__mem_settle_name(mem, name);
    ns__mem_unlock_world(mem);
    return NS_OK;
}

/* ---- maps and memory ---- */

static ns_status mem_map(void *ctx, struct ns_vfs_file *handle, size_t reserve,
                         struct ns_vfs_map *map_out)
{
    memset(map_out, 0, sizeof *map_out);
    NS_TRY(ns__mem_allowed(ctx, NS__MEM_MAP));
    struct ns__mem *mem = ctx;
    struct ns__mem_inode *inode;
    ns__mem_lock_world(mem);
    ns_status status = own_content(mem, to_file(handle), &inode);
    ns__mem_unlock_world(mem);
    if (status != NS_OK) return status;
    map_out->base = inode->base;
    map_out->reserved = reserve < inode->range->bytes ? reserve : inode->range->bytes;
    return NS_OK;
}

static ns_status mem_map_extend(void *ctx, struct ns_vfs_file *handle, struct ns_vfs_map *map,
                                size_t size)
{
    NS_TRY(ns__mem_allowed(ctx, NS__MEM_MAP_EXTEND));
    if (size <= map->size) return NS_OK;
    if (size > map->reserved) return NS_FULL;
    if (size > ns__atomic_load_relaxed(&content(ctx, to_file(handle))->size)) return NS_IO;
    map->size = size;
    return NS_OK;
}

static void mem_unmap(void *ctx, struct ns_vfs_file *file, struct ns_vfs_map *map)
{
    (void)ctx;
    (void)file;
    memset(map, 0, sizeof *map);
}

static ns_status mem_reserve(void *ctx, size_t size, void **memory_out)
{
    *memory_out = NULL;
    NS_TRY(ns__mem_allowed(ctx, NS__MEM_RESERVE));
    NS_TRY(ns__vfs_posix.reserve(NULL, size, memory_out));
    ns__mem_small_pages(ctx, *memory_out, size);
    return NS_OK;
}

static void mem_unreserve(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    ns__vfs_posix.unreserve(NULL, memory, size);
}

static void mem_discard(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    ns__vfs_posix.discard(NULL, memory, size);
}

static uint64_t mem_memory_bytes(void *ctx)
{
    const struct ns__mem *mem = ctx;
    return mem->flags != 0 ? FAKE_MEMORY_BYTES : ns__vfs_posix.memory_bytes(NULL);
}

/* ---- time and chance ---- */

static bool fakes_time(const struct ns__mem *mem)
{
    return (mem->flags & NS__MEM_FAKE_TIME) != 0;
}

static int64_t mem_unix_us(void *ctx)
{
    struct ns__mem *mem = ctx;
    if (!fakes_time(mem)) return ns__vfs_posix.unix_us(NULL);
    return FAKE_EPOCH_US + (int64_t)ns__atomic_add(&mem->ticks, 1);
}

/* In fake time it is the same clock, but looking at it does not move it. */
static int64_t mem_coarse_unix_us(void *ctx)
{
    struct ns__mem *mem = ctx;
    if (!fakes_time(mem)) return ns__vfs_posix.coarse_unix_us(NULL);
    return FAKE_EPOCH_US + (int64_t)ns__atomic_load_relaxed(&mem->ticks);
}

static uint64_t mem_monotonic_ns(void *ctx)
{
    struct ns__mem *mem = ctx;
    if (!fakes_time(mem)) return ns__vfs_posix.monotonic_ns(NULL);
    return 1000 * ns__atomic_add(&mem->ticks, 1);
}

static ns_status mem_entropy(void *ctx, void *out, size_t size)
{
    struct ns__mem *mem = ctx;
    NS_TRY(ns__mem_allowed(mem, NS__MEM_ENTROPY));
    if (!fakes_time(mem)) return ns__vfs_posix.entropy(NULL, out, size);
    ns__mem_lock_world(mem);
    uint8_t *to = out;
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(ns__prng_next(&mem->entropy) >> 32);
    ns__mem_unlock_world(mem);
    return NS_OK;
}

const struct ns_vfs ns__mem_table = {
    .open = mem_open,
    .close = mem_close,
    .size = mem_size,
    .read = mem_read,
    .write = mem_write,
    .write_sync = mem_write_sync,
    .sync = mem_sync,
    .allocate = mem_allocate,
    .truncate = mem_truncate,
    .drop_cache = mem_drop_cache,
    .lock = mem_lock,
    .remove = mem_remove,
    .exists = mem_exists,
    .sync_parent = mem_sync_parent,
    .map = mem_map,
    .map_extend = mem_map_extend,
    .unmap = mem_unmap,
    .reserve = mem_reserve,
    .unreserve = mem_unreserve,
    .discard = mem_discard,
    .memory_bytes = mem_memory_bytes,
    .unix_us = mem_unix_us,
    .coarse_unix_us = mem_coarse_unix_us,
    .monotonic_ns = mem_monotonic_ns,
    .entropy = mem_entropy,
};
