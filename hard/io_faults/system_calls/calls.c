/* calls.c: see calls.h.
 *
 * These definitions stand in front of the C library's: the library under test is linked statically
 * and finds them first. Each does what the kernel does unless it is the one to be struck. Syncs and
 * RWF_DSYNC are left out when they succeed: power is not cut here, and the disk's speed is not what
 * is tested. */
#include "io_faults/system_calls/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct calls calls;

const char *const call_names[CALL_COUNT] = {
#define CALL_NAME(name) #name,
    CALL_KINDS(CALL_NAME)
#undef CALL_NAME
};

/* ---- who is struck ---- */

/* How this call fails; 0: it does not. */
static int fate(enum call_kind kind)
{
    static uint64_t again; /* EINTR is repeated so often */
    static bool next_is_full;
    if (!calls.is_armed) {
        again = 0;
        next_is_full = false;
        return 0;
    }
    bool is_write = kind == CALL_pwrite || kind == CALL_pwritev2;
    if (next_is_full && is_write) {
        next_is_full = false;
        return ENOSPC;
    }
    if (again > 0 && --again > 0) return EINTR;
    if (calls.count < CALLS_MAX) calls.kinds[calls.count] = (uint8_t)kind;
    calls.count++;
    bool is_later = calls.for_ever && calls.count > calls.nth && calls.nth > 0 &&
                    calls.kinds[calls.nth - 1] == (uint8_t)kind;
    if (calls.count != calls.nth && !is_later) return 0;
    if (calls.how == CALL_EINTR_3) again = 3;
    if (calls.how == CALL_HALF_FULL) next_is_full = true;
    return calls.how == CALL_EINTR_3 ? EINTR : calls.how;
}

/* True when the call fails with errno set. */
static bool is_struck(enum call_kind kind)
{
    int how = fate(kind);
    if (how <= 0) return false;
    errno = how;
    return true;
}

/* How many bytes a transfer moves; 0: it fails with errno set. */
static size_t transfer(enum call_kind kind, size_t size)
{
    int how = fate(kind);
    if (how > 0) {
        errno = how;
        return 0;
    }
    if (how == CALL_SHORT_ONE) return 1;
    if (how == CALL_SHORT_HALF || how == CALL_HALF_FULL) return size > 1 ? size / 2 : size;
    return size;
}

/* ---- descriptors ---- */

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (is_struck(CALL_open)) return -1;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd >= 0) calls.files++;
    return fd;
}

/* As Linux does it: the descriptor is gone, whatever close says. */
int close(int fd)
{
    bool struck = is_struck(CALL_close);
    int error = errno;
    int result = (int)syscall(SYS_close, fd);
    if (result == 0) calls.files--;
    if (!struck) return result;
    errno = error;
    return -1;
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    if (is_struck(CALL_fcntl)) return -1;
    int result = (int)syscall(SYS_fcntl, fd, command, argument);
    if (command == F_DUPFD_CLOEXEC && result >= 0) calls.files++;
    return result;
}

int stat(const char *path, struct stat *info)
{
    if (is_struck(CALL_stat)) return -1;
    return (int)syscall(SYS_newfstatat, AT_FDCWD, path, info, 0);
}

int fstat(int fd, struct stat *info)
{
    if (is_struck(CALL_fstat)) return -1;
    return (int)syscall(SYS_fstat, fd, info);
}

int unlink(const char *path)
{
    if (is_struck(CALL_unlink)) return -1;
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* ---- transfers ---- */

ssize_t pread(int fd, void *out, size_t size, off_t offset)
{
    size_t moved = transfer(CALL_pread, size);
    if (moved == 0 && size > 0) return -1;
    return (ssize_t)syscall(SYS_pread64, fd, out, moved, offset);
}

static ssize_t put(int fd, const void *data, size_t size, size_t moved, off_t offset)
{
    if (moved == 0 && size > 0) return -1;
    ssize_t done = (ssize_t)syscall(SYS_pwrite64, fd, data, moved, offset);
    return calls.is_canary && calls.is_armed && done > 0 ? (ssize_t)size : done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    calls.unsynced++;
    return put(fd, data, size, transfer(CALL_pwrite, size), offset);
}

ssize_t pwritev2(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
{
    if ((flags & RWF_DSYNC) == 0) calls.unsynced++;
    if (calls.without_dsync || count != 1) {
        errno = EOPNOTSUPP;
        return -1;
    }
    size_t size = pieces[0].iov_len;
    return put(fd, pieces[0].iov_base, size, transfer(CALL_pwritev2, size), offset);
}

ssize_t getrandom(void *out, size_t size, unsigned flags)
{
    if (is_struck(CALL_getrandom)) return -1;
    return (ssize_t)syscall(SYS_getrandom, out, size, flags);
}

/* ---- syncs and sizes ---- */

int fdatasync(int fd)
{
    (void)fd;
    if (is_struck(CALL_fdatasync)) {
        calls.failed_syncs++;
        return -1;
    }
    calls.unsynced = 0;
    calls.data_syncs++;
    return 0;
}

int fsync(int fd)
{
    struct stat info;
    if (is_struck(CALL_fsync)) {
        calls.failed_syncs++;
        return -1;
    }
    bool is_directory = syscall(SYS_fstat, fd, &info) == 0 && S_ISDIR(info.st_mode);
    if (is_directory) calls.directory_syncs++;
    return 0;
}

int ftruncate(int fd, off_t size)
{
    if (is_struck(CALL_ftruncate)) return -1;
    return (int)syscall(SYS_ftruncate, fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    if (is_struck(CALL_fallocate)) return -1;
    return (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

/* ---- memory ---- */

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (is_struck(CALL_mmap)) return MAP_FAILED;
    long address = syscall(SYS_mmap, at, size, protection, flags, fd, offset);
    if (address == -1) return MAP_FAILED;
    if ((flags & MAP_FIXED) == 0) calls.mapped_bytes += (int64_t)size;
    return (void *)(uintptr_t)address;
}

int munmap(void *at, size_t size)
{
    int result = (int)syscall(SYS_munmap, at, size);
    if (result == 0) calls.mapped_bytes -= (int64_t)size;
    return result;
}

int mprotect(void *at, size_t size, int protection)
{
    if (is_struck(CALL_mprotect)) return -1;
    return (int)syscall(SYS_mprotect, at, size, protection);
}

int madvise(void *at, size_t size, int advice)
{
    if (is_struck(CALL_madvise)) return -1;
    if (advice == MADV_HUGEPAGE) return 0; /* zeroing huge pages is what would take the time */
    return (int)syscall(SYS_madvise, at, size, advice);
}
