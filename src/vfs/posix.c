/* posix.c: the vfs contract on POSIX systems. Linux is the measured system; macOS is written for.
 *
 * A file handle is its descriptor, carried in the pointer as an odd number: the vfs owns no heap
 * memory. Descriptors are always 3 or more: a host that closed its standard streams does not find
 * its messages in a database. An even handle is a private one (NS_VFS_PRIVATE) and points to its
 * state; each function of the table hands it to posix_private.c, but for what only concerns the
 * descriptor.
 *
 *   P1  errno is looked at and translated in status_of and nowhere else, except where a failure
 *       means "this system cannot do that; take the other way".
 *   P2  EINTR and partial transfers never reach the caller. A sync is never repeated, whatever it
 *       said.
 *   P3  A range that is mapped stays mapped where it is: map_extend maps only pages behind it.
 *       The partial last page is mapped whole; what a later write puts behind the old end of the
 *       file shows up in it.
 *   P4  A lock belongs to the open file description (OFD locks, flock elsewhere): two handles of
 *       one process exclude each other, and closing one never drops the lock of another.
 *
 * write_sync asks for durability of one range in one call (RWF_DSYNC). A kernel without it
 * answers with one of three errors; the first such call that then succeeds the plain way turns
 * the flag off for the process. */
#include "vfs/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/random.h>
#include <sys/sysctl.h>
#else
#include <sys/random.h>
#endif
#include "base/assert.h"
#include "base/atomic.h"
#include "base/status.h"
#include "vfs/posix_private.h"

/* The byte that handles lock: far behind any data. */
#define LOCK_OFFSET ((off_t)1 << 62)
#define TRANSFER_BYTES_MAX ((size_t)1 << 30)
#define FILE_BYTES_MAX ((uint64_t)LOCK_OFFSET)
#define MAP_RESERVE_MIN ((size_t)64 << 20)
#define HUGE_PAGES_FROM ((size_t)4 << 20)

/* ---- errno ---- */

static ns_status status_of(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return NS_FULL;
    case ENOENT:
    case ENOTDIR: return NS_NOTFOUND;
    case EEXIST: return NS_EXISTS;
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
    case ETXTBSY:
    case EBUSY: return NS_BUSY;
    case ENOMEM:
    case EMFILE:
    case ENFILE: return NS_NOMEM;
    case EACCES:
    case EPERM:
    case EROFS:
    case EBADF:
        return NS_READONLY; /* a descriptor of ours is only bad for what it was not opened for */
    case EISDIR:
    case ENXIO: /* a socket */
    case ENODEV:
    case ENOSYS:
#if ENOTSUP != EOPNOTSUPP
    case ENOTSUP:
#endif
    case EOPNOTSUPP: return NS_UNSUPPORTED;
    default: return NS_IO;
    }
}

static ns_status failed(void)
{
    return status_of(errno);
}

/* For calls on things that are known to exist. */
ns_status ns__posix_failed(void)
{
    ns_status status = failed();
    return status == NS_NOTFOUND || status == NS_EXISTS ? NS_IO : status;
}

/* ---- open and close ---- */

static struct ns_vfs_file *to_file(int fd)
{
    NS_ASSERT(fd >= 3);
    return (struct ns_vfs_file *)(2 * (intptr_t)fd + 1);
}

static bool is_private(const struct ns_vfs_file *file)
{
    return ((uintptr_t)file & 1) == 0;
}

static struct ns__private *to_private(struct ns_vfs_file *file)
{
    return (struct ns__private *)(void *)file;
}

static int to_fd(struct ns_vfs_file *file)
{
    return is_private(file) ? ns__private_fd(to_private(file)) : (int)((intptr_t)file / 2);
}

void ns__posix_close(int fd)
{
    (void)close(fd); /* never repeated: the descriptor is gone even after EINTR */
}

/* Moves *fd to 3 or above. Closes it on failure. */
static ns_status lift_fd(int *fd)
{
    if (*fd >= 3) return NS_OK;
    int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
    ns_status status = lifted < 0 ? ns__posix_failed() : NS_OK;
    ns__posix_close(*fd);
    *fd = lifted;
    return status;
}

static ns_status check_regular(int fd)
{
    struct stat info;
    if (fstat(fd, &info) != 0) return ns__posix_failed();
    return S_ISREG(info.st_mode) ? NS_OK : NS_UNSUPPORTED;
}

static ns_status open_fd(const char *path, uint32_t flags, int *fd_out)
{
    /* Opening a device or a FIFO can have effects of its own, so what is there is looked at
     * first. The file may still be replaced in between: the second look is at what was opened. */
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) return NS_UNSUPPORTED;

    int how = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    how |= (flags & (NS_VFS_READ_ONLY | NS_VFS_PRIVATE)) != 0 ? O_RDONLY : O_RDWR;
    if ((flags & NS_VFS_CREATE) != 0) how |= O_CREAT;
    if ((flags & NS_VFS_CREATE) != 0 && (flags & NS_VFS_EXCLUSIVE) != 0) how |= O_EXCL;
    int fd;
    do {
        fd = open(path, how, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        ns_status status = failed();
        bool no_directory = status == NS_NOTFOUND && (flags & NS_VFS_CREATE) != 0;
        return no_directory ? NS_IO : status;
    }
    NS_TRY(lift_fd(&fd));
    ns_status status = check_regular(fd);
    if (status != NS_OK) {
        ns__posix_close(fd);
        return status;
    }
    *fd_out = fd;
    return NS_OK;
}

static ns_status posix_open(void *ctx, const char *path, uint32_t flags,
                            struct ns_vfs_file **file_out)
{
    (void)ctx;
    *file_out = NULL;
    bool private = (flags & NS_VFS_PRIVATE) != 0;
    if (private && (flags & NS_VFS_CREATE) != 0) return NS_UNSUPPORTED;
    int fd = -1;
    NS_TRY(open_fd(path, flags, &fd));
    if (!private) {
        *file_out = to_file(fd);
        return NS_OK;
    }
    struct ns__private *state = NULL;
    NS_TRY(ns__private_new(fd, &state));
    *file_out = (struct ns_vfs_file *)(void *)state;
    return NS_OK;
}

static void posix_close(void *ctx, struct ns_vfs_file *file)
{
    (void)ctx;
    if (file == NULL) return;
    if (is_private(file)) {
        ns__private_free(to_private(file));
    } else {
        ns__posix_close(to_fd(file));
    }
}

/* ---- reading and writing ---- */

ns_status ns__posix_size(int fd, uint64_t *size_out)
{
    *size_out = 0;
    struct stat info;
    if (fstat(fd, &info) != 0) return ns__posix_failed();
    if (info.st_size < 0) return NS_IO;
    *size_out = (uint64_t)info.st_size;
    return NS_OK;
}

static ns_status posix_size(void *ctx, struct ns_vfs_file *file, uint64_t *size_out)
{
    (void)ctx;
    if (is_private(file)) return ns__private_size(to_private(file), size_out);
    return ns__posix_size(to_fd(file), size_out);
}

bool ns__posix_in_file_range(uint64_t offset, uint64_t size)
{
    return offset <= FILE_BYTES_MAX && size <= FILE_BYTES_MAX - offset;
}

static size_t one_transfer(size_t size)
{
    return size < TRANSFER_BYTES_MAX ? size : TRANSFER_BYTES_MAX;
}

ns_status ns__posix_read(int fd, uint64_t offset, void *out, size_t size)
{
    if (!ns__posix_in_file_range(offset, size)) return NS_IO;
    uint8_t *to = out;
    while (size > 0) {
        ssize_t got = pread(fd, to, one_transfer(size), (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return ns__posix_failed();
        if (got == 0) return NS_IO;
        to += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return NS_OK;
}

static ns_status posix_read(void *ctx, struct ns_vfs_file *file, uint64_t offset, void *out,
                            size_t size)
{
    (void)ctx;
    if (is_private(file)) return ns__private_read(to_private(file), offset, out, size);
    return ns__posix_read(to_fd(file), offset, out, size);
}

static ns_status write_plain(int fd, uint64_t offset, const void *data, size_t size)
{
    const uint8_t *from = data;
    while (size > 0) {
        ssize_t put = pwrite(fd, from, one_transfer(size), (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return ns__posix_failed();
        if (put == 0) return NS_IO;
        from += put;
        offset += (uint64_t)put;
        size -= (size_t)put;
    }
    return NS_OK;
}

static ns_status posix_write(void *ctx, struct ns_vfs_file *file, uint64_t offset, const void *data,
                             size_t size)
{
    (void)ctx;
    if (is_private(file)) return ns__private_write(to_private(file), offset, data, size);
    if (!ns__posix_in_file_range(offset, size)) return NS_FULL;
    return write_plain(to_fd(file), offset, data, size);
}

static ns_status sync_data(int fd)
{
#if defined(__APPLE__)
    /* fsync alone leaves the bytes in the drive's cache. */
    if (fcntl(fd, F_FULLFSYNC) == 0) return NS_OK;
    if (errno != ENOTSUP && errno != ENOTTY && errno != EINVAL) return ns__posix_failed();
    return fsync(fd) == 0 ? NS_OK : ns__posix_failed();
#else
    return fdatasync(fd) == 0 ? NS_OK : ns__posix_failed();
#endif
}

#if defined(RWF_DSYNC)

static uint64_t without_dsync; /* 1 once the kernel was seen not to know RWF_DSYNC */

/* NS_UNSUPPORTED: the kernel does not know the flag, nothing was written. */
static ns_status write_dsync(int fd, uint64_t offset, const void *data, size_t size)
{
    const uint8_t *from = data;
    bool first = true;
    while (size > 0) {
        struct iovec piece = {.iov_base = (void *)(uintptr_t)from, .iov_len = one_transfer(size)};
        ssize_t put = pwritev2(fd, &piece, 1, (off_t)offset, RWF_DSYNC);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && first && (errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS)) {
            return NS_UNSUPPORTED;
        }
        if (put < 0) return ns__posix_failed();
        if (put == 0) return NS_IO;
        first = false;
        from += put;
        offset += (uint64_t)put;
        size -= (size_t)put;
    }
    return NS_OK;
}

#endif

static ns_status posix_write_sync(void *ctx, struct ns_vfs_file *file, uint64_t offset,
                                  const void *data, size_t size)
{
    (void)ctx;
    if (is_private(file)) return ns__private_write(to_private(file), offset, data, size);
    int fd = to_fd(file);
    if (!ns__posix_in_file_range(offset, size)) return NS_FULL;
    if (size == 0) return NS_OK;
#if defined(RWF_DSYNC)
    bool tried = ns__atomic_load_relaxed(&without_dsync) == 0;
    if (tried) {
        ns_status status = write_dsync(fd, offset, data, size);
        if (status != NS_UNSUPPORTED) return status;
    }
#endif
    NS_TRY(write_plain(fd, offset, data, size));
    NS_TRY(sync_data(fd));
#if defined(RWF_DSYNC)
    if (tried) ns__atomic_store_relaxed(&without_dsync, 1);
#endif
    return NS_OK;
}

static ns_status posix_sync(void *ctx, struct ns_vfs_file *file)
{
    (void)ctx;
    return is_private(file) ? NS_OK : sync_data(to_fd(file));
}

/* ---- size ---- */

static ns_status grow_by_zeros(int fd, uint64_t from, uint64_t size)
{
    static const uint8_t zeros[65536];
    while (from < size) {
        uint64_t rest = size - from;
        size_t piece = rest < sizeof zeros ? (size_t)rest : sizeof zeros;
        NS_TRY(write_plain(fd, from, zeros, piece));
        from += piece;
    }
    return NS_OK;
}

static ns_status set_size(int fd, uint64_t size)
{
    int result;
    do {
        result = ftruncate(fd, (off_t)size);
    } while (result != 0 && errno == EINTR);
    if (result == 0) return NS_OK;
    return errno == EINVAL ? NS_READONLY : ns__posix_failed(); /* EINVAL: not open for writing */
}

/* Asks for real space behind [from, size). NS_UNSUPPORTED: this file system has no such request. */
static ns_status ask_for_space(int fd, uint64_t from, uint64_t size)
{
#if defined(__APPLE__)
    fstore_t wish = {.fst_flags = F_ALLOCATEALL,
                     .fst_posmode = F_PEOFPOSMODE,
                     .fst_offset = 0,
                     .fst_length = (off_t)(size - from)};
    if (fcntl(fd, F_PREALLOCATE, &wish) != 0) {
        return errno == ENOTSUP || errno == EINVAL ? NS_UNSUPPORTED : ns__posix_failed();
    }
    return set_size(fd, size);
#elif defined(__linux__)
    int result;
    do {
        result = fallocate(fd, 0, (off_t)from, (off_t)(size - from));
    } while (result != 0 && errno == EINTR);
    return result == 0 ? NS_OK : ns__posix_failed();
#else
    (void)fd;
    (void)from;
    (void)size;
    return NS_UNSUPPORTED;
#endif
}

static ns_status posix_allocate(void *ctx, struct ns_vfs_file *file, uint64_t from, uint64_t size)
{
    (void)ctx;
    if (is_private(file)) return ns__private_allocate(to_private(file), size);
    int fd = to_fd(file);
    if (!ns__posix_in_file_range(size, 0)) return NS_FULL;
    uint64_t old_size = 0;
    NS_TRY(ns__posix_size(fd, &old_size));
#if defined(__APPLE__)
    from = old_size; /* space is asked for behind the end only */
#endif
    if (from < size) {
        ns_status status = ask_for_space(fd, from, size);
        if (status != NS_UNSUPPORTED) return status;
    }
    /* Never over bytes that exist: others may be writing them. */
    return old_size < size ? grow_by_zeros(fd, old_size, size) : NS_OK;
}

static ns_status posix_truncate(void *ctx, struct ns_vfs_file *file, uint64_t size)
{
    (void)ctx;
    if (is_private(file)) return ns__private_truncate(to_private(file), size);
    if (!ns__posix_in_file_range(size, 0)) return NS_FULL;
    return set_size(to_fd(file), size);
}

static void posix_drop_cache(void *ctx, struct ns_vfs_file *file)
{
    (void)ctx;
#if defined(POSIX_FADV_DONTNEED)
    (void)posix_fadvise(to_fd(file), 0, 0, POSIX_FADV_DONTNEED);
#else
    (void)file;
#endif
}

/* ---- locks ---- */

static ns_status posix_lock(void *ctx, struct ns_vfs_file *file, uint32_t kind)
{
    (void)ctx;
    if (is_private(file) && kind == NS_VFS_SOLE) return NS_READONLY;
    int result;
    do {
#if defined(F_OFD_SETLK)
        struct flock lock = {.l_whence = SEEK_SET, .l_start = LOCK_OFFSET, .l_len = 1};
        lock.l_type = F_UNLCK;
        if (kind == NS_VFS_SHARED) lock.l_type = F_RDLCK;
        if (kind == NS_VFS_SOLE) lock.l_type = F_WRLCK;
        result = fcntl(to_fd(file), F_OFD_SETLK, &lock);
#else
        int operation = LOCK_UN;
        if (kind == NS_VFS_SHARED) operation = LOCK_SH | LOCK_NB;
        if (kind == NS_VFS_SOLE) operation = LOCK_EX | LOCK_NB;
        result = flock(to_fd(file), operation);
#endif
    } while (result != 0 && errno == EINTR);
    return result == 0 ? NS_OK : ns__posix_failed();
}

/* ---- names ---- */

static ns_status posix_remove(void *ctx, const char *path)
{
    (void)ctx;
    return unlink(path) == 0 ? NS_OK : failed();
}

static ns_status posix_exists(void *ctx, const char *path)
{
    (void)ctx;
    struct stat info;
    return stat(path, &info) == 0 ? NS_OK : failed();
}

/* The directory that holds the file behind path (behind a symbolic link: the file's, not the
 * link's). */
static ns_status parent_of(const char *path, char directory[PATH_MAX])
{
    if (realpath(path, directory) == NULL) {
        size_t size = strlen(path);
        if (size >= PATH_MAX) return NS_IO;
        memcpy(directory, path, size + 1);
    }
    char *slash = strrchr(directory, '/');
    if (slash == NULL) {
        memcpy(directory, ".", 2);
    } else if (slash == directory) {
        directory[1] = 0;
    } else {
        *slash = 0;
    }
    return NS_OK;
}

static ns_status posix_sync_parent(void *ctx, const char *path)
{
    (void)ctx;
    char directory[PATH_MAX];
    NS_TRY(parent_of(path, directory));
    int fd;
    do {
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) return ns__posix_failed();
    ns_status status = NS_OK;
    /* EINVAL: a file system that has no sync of directories, and none to do. */
    if (fsync(fd) != 0 && errno != EINVAL) status = ns__posix_failed();
    ns__posix_close(fd);
    return status;
}

/* ---- maps ---- */

size_t ns__posix_page_bytes(void)
{
    long bytes = sysconf(_SC_PAGESIZE);
    return bytes > 0 ? (size_t)bytes : 4096;
}

size_t ns__posix_round_up(size_t size)
{
    size_t page = ns__posix_page_bytes();
    return (size + page - 1) / page * page;
}

ns_status ns__posix_reserve_addresses(size_t wanted, size_t least, uint8_t **base_out,
                                      size_t *reserved_out)
{
    size_t bytes = wanted > least ? wanted : least;
    for (;;) {
        void *base =
            mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | NS__POSIX_NORESERVE, -1, 0);
        if (base != MAP_FAILED) {
            *base_out = base;
            *reserved_out = bytes;
            return NS_OK;
        }
        /* EINVAL is valgrind's way to say that it is too much. */
        if (errno != ENOMEM && errno != EINVAL) return ns__posix_failed();
        if (bytes == least) return NS_NOMEM;
        bytes = ns__posix_round_up(bytes / 2);
        if (bytes < least) bytes = least;
    }
}

static ns_status posix_map(void *ctx, struct ns_vfs_file *file, size_t reserve,
                           struct ns_vfs_map *map_out)
{
    (void)ctx;
    memset(map_out, 0, sizeof *map_out);
    if (is_private(file)) return ns__private_map(to_private(file), reserve, map_out);
    if (reserve > SIZE_MAX / 2) reserve = SIZE_MAX / 2;
    size_t bytes = ns__posix_round_up(reserve > 0 ? reserve : 1);
    size_t least = bytes < MAP_RESERVE_MIN ? bytes : MAP_RESERVE_MIN;
    uint8_t *base = NULL;
    NS_TRY(ns__posix_reserve_addresses(bytes, least, &base, &map_out->reserved));
    map_out->base = base;
    return NS_OK;
}

static ns_status posix_map_extend(void *ctx, struct ns_vfs_file *file, struct ns_vfs_map *map,
                                  size_t size)
{
    (void)ctx;
    if (is_private(file)) return ns__private_map_extend(to_private(file), map, size);
    if (size <= map->size) return NS_OK;
    if (size > map->reserved) return NS_FULL;
    uint64_t file_size = 0;
    NS_TRY(ns__posix_size(to_fd(file), &file_size));
    if (size > file_size) return NS_IO; /* touching it would raise SIGBUS */
    size_t from = ns__posix_round_up(map->size);
    size_t to = ns__posix_round_up(size);
    if (from < to) {
        void *at = (void *)(uintptr_t)(map->base + from);
        void *got =
            mmap(at, to - from, PROT_READ, MAP_SHARED | MAP_FIXED, to_fd(file), (off_t)from);
        if (got == MAP_FAILED) return ns__posix_failed();
    }
    map->size = size;
    return NS_OK;
}

static void posix_unmap(void *ctx, struct ns_vfs_file *file, struct ns_vfs_map *map)
{
    (void)ctx;
    if (map->base != NULL && !is_private(file))
        (void)munmap((void *)(uintptr_t)map->base, map->reserved);
    memset(map, 0, sizeof *map);
}

/* ---- memory ---- */

static ns_status posix_reserve(void *ctx, size_t size, void **memory_out)
{
    (void)ctx;
    *memory_out = NULL;
    if (size > SIZE_MAX / 2) return NS_NOMEM;
    size = ns__posix_round_up(size > 0 ? size : 1);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | NS__POSIX_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return ns__posix_failed();
#if defined(MADV_HUGEPAGE)
    if (size >= HUGE_PAGES_FROM) (void)madvise(memory, size, MADV_HUGEPAGE);
#endif
    *memory_out = memory;
    return NS_OK;
}

static void posix_unreserve(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (memory != NULL) (void)munmap(memory, ns__posix_round_up(size > 0 ? size : 1));
}

static void posix_discard(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    size_t page = ns__posix_page_bytes();
    uint8_t *start = memory;
    size_t skipped = (page - (size_t)((uintptr_t)start % page)) % page;
    if (skipped > 0) {
        size_t head = skipped < size ? skipped : size;
        memset(start, 0, head);
        start += head;
        size -= head;
    }
    size_t whole = size / page * page;
    if (whole < size) memset(start + whole, 0, size - whole);
    if (whole == 0) return;
#if defined(__linux__)
    if (madvise(start, whole, MADV_DONTNEED) == 0) return;
    memset(start, 0, whole);
#else
    /* Elsewhere the advice need not zero the range. */
    void *fresh = mmap(start, whole, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | NS__POSIX_NORESERVE, -1, 0);
    if (fresh == MAP_FAILED) memset(start, 0, whole);
#endif
}

static uint64_t posix_memory_bytes(void *ctx)
{
    (void)ctx;
#if defined(__APPLE__)
    uint64_t bytes = 0;
    size_t size = sizeof bytes;
    if (sysctlbyname("hw.memsize", &bytes, &size, NULL, 0) == 0 && bytes > 0) return bytes;
#else
    long pages = sysconf(_SC_PHYS_PAGES);
    if (pages > 0) return (uint64_t)pages * ns__posix_page_bytes();
#endif
    return (uint64_t)1 << 30;
}

/* ---- time and chance ---- */

static int64_t posix_unix_us(void *ctx)
{
    (void)ctx;
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + (int64_t)now.tv_nsec / 1000;
}

static int64_t posix_coarse_unix_us(void *ctx)
{
#if defined(CLOCK_REALTIME_COARSE)
    (void)ctx;
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000 + (int64_t)now.tv_nsec / 1000;
#else
    return posix_unix_us(ctx);
#endif
}

static uint64_t posix_monotonic_ns(void *ctx)
{
    (void)ctx;
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static ns_status posix_entropy(void *ctx, void *out, size_t size)
{
    (void)ctx;
    uint8_t *to = out;
    while (size > 0) {
        size_t piece = size < 256 ? size : 256; /* up to here the answer is never partial */
#if defined(__linux__)
        ssize_t got = getrandom(to, piece, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got < 0 ? ns__posix_failed() : NS_IO;
        piece = (size_t)got;
#else
        if (getentropy(to, piece) != 0) return ns__posix_failed();
#endif
        to += piece;
        size -= piece;
    }
    return NS_OK;
}

const struct ns_vfs ns__vfs_posix = {
    .ctx = NULL,
    .open = posix_open,
    .close = posix_close,
    .size = posix_size,
    .read = posix_read,
    .write = posix_write,
    .write_sync = posix_write_sync,
    .sync = posix_sync,
    .allocate = posix_allocate,
    .truncate = posix_truncate,
    .drop_cache = posix_drop_cache,
    .lock = posix_lock,
    .remove = posix_remove,
    .exists = posix_exists,
    .sync_parent = posix_sync_parent,
    .map = posix_map,
    .map_extend = posix_map_extend,
    .unmap = posix_unmap,
    .reserve = posix_reserve,
    .unreserve = posix_unreserve,
    .discard = posix_discard,
    .memory_bytes = posix_memory_bytes,
    .unix_us = posix_unix_us,
    .coarse_unix_us = posix_coarse_unix_us,
    .monotonic_ns = posix_monotonic_ns,
    .entropy = posix_entropy,
};

const struct ns_vfs *ns_vfs_default(void)
{
    return &ns__vfs_posix;
}
