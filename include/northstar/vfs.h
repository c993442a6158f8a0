/* northstar/vfs.h: the contract with everything that is not deterministic: files, maps, locks,
 * memory reservations, clock and entropy. The library reaches the outside world through this table
 * and no other way, so that a simulated world is exactly repeatable.
 *
 * Offsets and sizes are bytes. Functions may be called from several threads at once, on the same
 * file too; reads and writes of different ranges never disturb one another. A failing function sets
 * no error detail: the caller knows the path and the purpose. Statuses: NS_OK; NS_FULL (no space:
 * disk or quota); NS_NOTFOUND (open without CREATE); NS_EXISTS (open with EXCLUSIVE_CREATE);
 * NS_BUSY (a lock is held elsewhere); NS_NOMEM (memory, address space or descriptors);
 * NS_UNSUPPORTED; NS_READONLY (permission); NS_IO (all else).
 */
#ifndef NORTHSTAR_VFS_H
#define NORTHSTAR_VFS_H

#include <northstar.h>

#ifdef __cplusplus
extern "C" {
#endif

/* flags of open */
#define NS_VFS_READ_ONLY 0x1u
#define NS_VFS_CREATE 0x2u    /* if absent */
#define NS_VFS_EXCLUSIVE 0x4u /* with CREATE: NS_EXISTS if present */

/* The file is opened for reading, and what is written, allocated or truncated through this handle
 * stays in its memory (copy on write) and is gone at close. Syncs succeed at once. */
#define NS_VFS_PRIVATE 0x8u

/* kinds of lock */
#define NS_VFS_UNLOCK 0u
#define NS_VFS_SHARED 1u
#define NS_VFS_SOLE 2u

struct ns_vfs_file; /* the implementation's */

/* A read-only window on a file from offset 0. base never moves; size grows by map_extend. */
struct ns_vfs_map {
    const uint8_t *base;
    size_t reserved; /* address space */
    size_t size;     /* readable bytes */
};

struct ns_vfs {
    void *ctx;

    /* ---- files ---- */
    /* Refuses what is not a regular file (NS_UNSUPPORTED). New files have mode 0600. */
    ns_status (*open)(void *ctx, const char *path, uint32_t flags, struct ns_vfs_file **file_out);
    void (*close)(void *ctx, struct ns_vfs_file *file); /* drops its locks */
    ns_status (*size)(void *ctx, struct ns_vfs_file *file, uint64_t *size_out);
    /* Reads exactly size bytes; beyond the end of the file is NS_IO. Retries EINTR and short reads.
     * */
    ns_status (*read)(void *ctx, struct ns_vfs_file *file, uint64_t offset, void *out, size_t size);
    /* Writes exactly size bytes; seen by later reads and by the map at once, durable after sync. */
    ns_status (*write)(void *ctx, struct ns_vfs_file *file, uint64_t offset, const void *data,
                       size_t size);
    /* The same, and durable (these bytes, with what is needed to read them back) when it returns
     * NS_OK; other unsynced writes need not be. One device write when the range was allocated and
     * written before. */
    ns_status (*write_sync)(void *ctx, struct ns_vfs_file *file, uint64_t offset, const void *data,
                            size_t size);
    /* All earlier writes, allocations and the size of this file become durable. Never retried by
     * callers. */
    ns_status (*sync)(void *ctx, struct ns_vfs_file *file);
    /* Makes [0, size) part of the file with real space behind [from, size); new bytes read as zero.
     * Never shrinks. NS_FULL leaves the file as it was or longer. */
    ns_status (*allocate)(void *ctx, struct ns_vfs_file *file, uint64_t from, uint64_t size);
    ns_status (*truncate)(void *ctx, struct ns_vfs_file *file, uint64_t size);
    /* Asks the system to forget its cached copy of the file, so that reads come from the medium. A
     * hint. */
    void (*drop_cache)(void *ctx, struct ns_vfs_file *file);
    /* Whole-file lock between handles and processes, kept until close or UNLOCK. Never waits:
     * NS_BUSY. */
    ns_status (*lock)(void *ctx, struct ns_vfs_file *file, uint32_t kind);

    /* ---- names ---- */
    ns_status (*remove)(void *ctx, const char *path); /* NS_NOTFOUND if absent */
    ns_status (*exists)(void *ctx, const char *path); /* NS_OK or NS_NOTFOUND */
    /* The entry of path in its directory becomes durable. */
    ns_status (*sync_parent)(void *ctx, const char *path);

    /* ---- maps ---- */
    /* Reserves address space for at most reserve bytes (less if the system grants less) and maps
     * nothing yet. */
    ns_status (*map)(void *ctx, struct ns_vfs_file *file, size_t reserve,
                     struct ns_vfs_map *map_out);
    /* Makes [0, size) readable. size must not exceed the file's size, nor map->reserved (NS_FULL).
     * */
    ns_status (*map_extend)(void *ctx, struct ns_vfs_file *file, struct ns_vfs_map *map,
                            size_t size);
    void (*unmap)(void *ctx, struct ns_vfs_file *file, struct ns_vfs_map *map); /* zeroes *map */

    /* ---- memory ---- */
    /* Zeroed, page-aligned address space that costs memory only where it is touched. */
    ns_status (*reserve)(void *ctx, size_t size, void **memory_out);
    void (*unreserve)(void *ctx, void *memory, size_t size);
    /* Gives the memory behind whole pages back; the range reads as zero again. A hint. */
    void (*discard)(void *ctx, void *memory, size_t size);
    uint64_t (*memory_bytes)(void *ctx); /* physical memory of the machine */

    /* ---- time and chance ---- */
    int64_t (*unix_us)(void *ctx);
    int64_t (*coarse_unix_us)(
        void *ctx); /* may lag by some milliseconds, and costs next to nothing */
    uint64_t (*monotonic_ns)(void *ctx);
    ns_status (*entropy)(void *ctx, void *out, size_t size);
};

/* The system's own. Never NULL, static. */
NS_API const struct ns_vfs *ns_vfs_default(void);

#ifdef __cplusplus
}
#endif

#endif /* NORTHSTAR_VFS_H */
