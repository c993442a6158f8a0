/* system_calls/calls.h: the system calls of src/vfs/posix*.c, counted, and failing on demand. */
#ifndef NS_HARD_IO_FAULTS_CALLS_H
#define NS_HARD_IO_FAULTS_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CALLS_MAX 8192u

#define CALL_KINDS(X)                                                                              \
    X(open)                                                                                        \
    X(close)                                                                                       \
    X(stat)                                                                                        \
    X(fstat)                                                                                       \
    X(pread)                                                                                       \
    X(pwrite)                                                                                      \
    X(pwritev2)                                                                                    \
    X(fdatasync)                                                                                   \
    X(fsync)                                                                                       \
    X(ftruncate)                                                                                   \
    X(fallocate)                                                                                   \
    X(fcntl)                                                                                       \
    X(mmap)                                                                                        \
    X(mprotect)                                                                                    \
    X(madvise)                                                                                     \
    X(unlink)                                                                                      \
    X(getrandom)

enum call_kind {
#define CALL_ENUM(name) CALL_##name,
    CALL_KINDS(CALL_ENUM)
#undef CALL_ENUM
        CALL_COUNT
};

/* How a call fails. An errno value, or one of these. */
#define CALL_SHORT_ONE (-1)  /* one byte is transferred */
#define CALL_SHORT_HALF (-2) /* half of the bytes */
#define CALL_HALF_FULL (-3)  /* half of the bytes, and the next write finds no space */
#define CALL_EINTR_3 (-4)    /* EINTR three times */

struct calls {
    bool is_armed; /* counts and strikes */
    uint64_t count;
    uint8_t kinds[CALLS_MAX]; /* enum call_kind */
    uint64_t nth;             /* is struck; 0: none */
    int how;
    bool for_ever;      /* all later calls of the same kind too */
    bool without_dsync; /* pwritev2 is not there at all */
    bool is_canary;     /* a short write is reported as full */
    /* What syncs were asked for, since observing began (see system_calls.c). */
    uint64_t unsynced;           /* plain writes that no fdatasync followed */
    uint64_t failed_syncs;       /* fdatasync and fsync */
    uint64_t data_syncs;         /* fdatasync that succeeded */
    uint64_t directory_syncs;    /* fsync of a directory that succeeded */
    int64_t files, mapped_bytes; /* held now */
};

extern struct calls calls;
extern const char *const call_names[CALL_COUNT];

#endif /* NS_HARD_IO_FAULTS_CALLS_H */
