/* posix_private.c: handles whose changes nobody else sees (NS_VFS_PRIVATE), on POSIX systems.
 *
 * The content is a copy-on-write mapping of the file at the start of a reservation of addresses,
 * followed by anonymous memory as the content grows. Memory is paid for changed pages only. Reads,
 * writes and maps are all of these bytes.
 *
 *   R1  The content *begins* at the first change or map. Before that, size and read are those of
 *       the file: what others wrote before this handle had its lock is not missed.
 *   R2  Once it has begun, the reservation stays where it is until the handle is closed. The whole
 *       pages that hold [base, base + size) can be read and written, no page behind them can.
 *   R3  Behind the size, up to the end of its page, anything may stand (the cut-off end, or what a
 *       map of the file left there). Growth zeroes it. Whole pages are new, so they are zero.
 *   R4  The lock covers everything but the copying of bytes; a copy goes to or from bytes within
 *       the size, which no growth touches.
 *
 * The file itself must not shrink under a private handle (a page behind its end raises SIGBUS), nor
 * change: pages that were not written privately show it. The caller's NS_VFS_SHARED lock sees to
 * that. A medium that cannot be read raises SIGBUS too, as with every map. */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include "base/assert.h"
#include "base/status.h"
#include "vfs/posix_private.h"

/* What is reserved for growth, if map does not ask for more. */
#define ROOM_WANTED ((size_t)1 << (sizeof(size_t) > 4 ? 40 : 28))
#define ROOM_MIN ((size_t)64 << 20)

/* In a page of its own: the vfs owns no heap memory. */
struct ns__private {
    int fd;
    pthread_mutex_t lock; /* everything below */
    uint8_t *base;        /* NULL: not begun (R1) */
    size_t reserved;
    size_t size;
};

ns_status ns__private_new(int fd, struct ns__private **private_out)
{
    *private_out = NULL;
    void *memory = mmap(NULL, ns__posix_page_bytes(), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        ns_status status = ns__posix_failed();
        ns__posix_close(fd);
        return status;
    }
    struct ns__private *private = memory;
    NS_ASSERT(sizeof *private <= ns__posix_page_bytes());
    private->fd = fd;
    (void)pthread_mutex_init(&private->lock, NULL);
    *private_out = private;
    return NS_OK;
}

void ns__private_free(struct ns__private *private)
{
    if (private->base != NULL) (void)munmap(private->base, private->reserved);
    (void)pthread_mutex_destroy(&private->lock);
    ns__posix_close(private->fd);
    (void)munmap(private, ns__posix_page_bytes());
}

int ns__private_fd(const struct ns__private *private)
{
    return private->fd;
}

/* ---- the content; under the lock ---- */

static ns_status begin(struct ns__private *private, size_t reserve)
{
    if (private->base != NULL) return NS_OK;
    uint64_t file_size = 0;
    NS_TRY(ns__posix_size(private->fd, &file_size));
    if (file_size > SIZE_MAX / 4) return NS_NOMEM;
    size_t bytes = ns__posix_round_up((size_t)file_size);
    size_t wanted = ns__posix_round_up(reserve);
    if (wanted < bytes + ROOM_WANTED) wanted = bytes + ROOM_WANTED;
    uint8_t *base = NULL;
    size_t reserved = 0;
    NS_TRY(ns__posix_reserve_addresses(wanted, bytes + ROOM_MIN, &base, &reserved));
    if (bytes > 0) {
        void *got = mmap(base, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_FIXED | NS__POSIX_NORESERVE, private->fd, 0);
        if (got == MAP_FAILED) {
            ns_status status = ns__posix_failed();
            (void)munmap(base, reserved);
            return status;
        }
    }
    private->base = base;
    private->reserved = reserved;
    private->size = (size_t)file_size;
    return NS_OK;
}

/* Never shrinks. */
static ns_status grow(struct ns__private *private, uint64_t size)
{
    if (size <= private->size) return NS_OK;
    if (size > private->reserved) return NS_FULL;
    size_t from = ns__posix_round_up(private->size);
    size_t to = ns__posix_round_up((size_t)size);
    if (from < to && mprotect(private->base + from, to - from, PROT_READ | PROT_WRITE) != 0) {
        return ns__posix_failed();
    }
    memset(private->base + private->size, 0, from - private->size);
    private->size = (size_t)size;
    return NS_OK;
}

static ns_status cut(struct ns__private *private, size_t size)
{
    size_t from = ns__posix_round_up(size);
    size_t to = ns__posix_round_up(private->size);
    if (from < to) {
        void *got = mmap(private->base + from, to - from, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | NS__POSIX_NORESERVE, -1, 0);
        if (got == MAP_FAILED) return ns__posix_failed();
    }
    private->size = size;
    return NS_OK;
}

/* Begins, and makes the content size bytes long if it is shorter. */
static ns_status begin_and_grow(struct ns__private *private, uint64_t size)
{
    (void)pthread_mutex_lock(&private->lock);
    ns_status status = begin(private, 0);
    if (status == NS_OK) status = grow(private, size);
    (void)pthread_mutex_unlock(&private->lock);
    return status;
}

/* NULL: not begun. */
static uint8_t *look(struct ns__private *private, uint64_t *size_out)
{
    (void)pthread_mutex_lock(&private->lock);
    uint8_t *base = private->base;
    *size_out = private->size;
    (void)pthread_mutex_unlock(&private->lock);
    return base;
}

/* ---- what the table promises ---- */

ns_status ns__private_size(struct ns__private *private, uint64_t *size_out)
{
    return look(private, size_out) != NULL ? NS_OK : ns__posix_size(private->fd, size_out);
}

ns_status ns__private_read(struct ns__private *private, uint64_t offset, void *out, size_t size)
{
    uint64_t end = 0;
    const uint8_t *base = look(private, &end);
    if (base == NULL) return ns__posix_read(private->fd, offset, out, size);
    if (size == 0) return ns__posix_in_file_range(offset, 0) ? NS_OK : NS_IO;
    if (offset > end || size > end - offset) return NS_IO;
    memcpy(out, base + offset, size);
    return NS_OK;
}

ns_status ns__private_write(struct ns__private *private, uint64_t offset, const void *data,
                            size_t size)
{
    if (!ns__posix_in_file_range(offset, size)) return NS_FULL;
    if (size == 0) return NS_OK;
    NS_TRY(begin_and_grow(private, offset + size));
    memcpy(private->base + offset, data, size);
    return NS_OK;
}

ns_status ns__private_allocate(struct ns__private *private, uint64_t size)
{
    if (!ns__posix_in_file_range(size, 0)) return NS_FULL;
    return begin_and_grow(private, size);
}

ns_status ns__private_truncate(struct ns__private *private, uint64_t size)
{
    if (!ns__posix_in_file_range(size, 0)) return NS_FULL;
    (void)pthread_mutex_lock(&private->lock);
    ns_status status = begin(private, 0);
    if (status == NS_OK) {
        status = size < private->size ? cut(private, (size_t)size) : grow(private, size);
    }
    (void)pthread_mutex_unlock(&private->lock);
    return status;
}

ns_status ns__private_map(struct ns__private *private, size_t reserve, struct ns_vfs_map *map_out)
{
    if (reserve > SIZE_MAX / 2) reserve = SIZE_MAX / 2;
    (void)pthread_mutex_lock(&private->lock);
    ns_status status = begin(private, reserve);
    if (status == NS_OK) {
        size_t bytes = ns__posix_round_up(reserve > 0 ? reserve : 1);
        map_out->base = private->base;
        map_out->reserved = bytes < private->reserved ? bytes : private->reserved;
    }
    (void)pthread_mutex_unlock(&private->lock);
    return status;
}

ns_status ns__private_map_extend(struct ns__private *private, struct ns_vfs_map *map, size_t size)
{
    if (size <= map->size) return NS_OK;
    if (size > map->reserved) return NS_FULL;
    uint64_t end = 0;
    (void)look(private, &end);
    if (size > end) return NS_IO;
    map->size = size;
    return NS_OK;
}
