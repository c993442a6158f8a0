/* io_faults/shim.h: a vfs in front of another, and an allocator, that count what is handed out and
 * not given back. */
#ifndef NS_HARD_IO_FAULTS_SHIM_H
#define NS_HARD_IO_FAULTS_SHIM_H

#include <stdbool.h>
#include <northstar/alloc.h>
#include <northstar/vfs.h>

#define SHIM_KINDS_MAX 8192u

struct shim {
    struct ns_vfs vfs; /* what the library gets */
    const struct ns_vfs *inner;
    int64_t files, maps, reservations, reserved_bytes; /* handed out now */
    uint64_t calls;                                    /* that can fail */
    uint8_t kinds[SHIM_KINDS_MAX];                     /* enum ns__mem_call of the first of them */
    uint64_t syncs;                                    /* of these, sync and write_sync */
    uint64_t lost;       /* the one of the syncs that will be struck; 0: none */
    bool hides_failures; /* the canary: a failed synchronous write is reported as done */

    struct ns_allocator allocator;
    int64_t bytes; /* allocated now */
};

void shim_init(struct shim *shim, const struct ns_vfs *inner);
/* Counts from 0 again; nothing may be handed out. */
void shim_restart(struct shim *shim, const struct ns_vfs *inner);
/* NULL when all was given back, or what was not. */
const char *shim_leak(const struct shim *shim);

#endif /* NS_HARD_IO_FAULTS_SHIM_H */
