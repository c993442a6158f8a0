/* common/watch.h: an allocator and a vfs that count. */
#ifndef NS_BENCH_COMMON_WATCH_H
#define NS_BENCH_COMMON_WATCH_H

#include <northstar/alloc.h>
#include <northstar/vfs.h>

struct ns__mem;

struct watch_counters {
    uint64_t allocs, alloc_bytes, writes, written_bytes, reads, read_bytes, syncs;
};

const struct ns_allocator *watch_allocator(void);

/* The system's files, or files in memory (one world for the process). */
const struct ns_vfs *watch_files(void);
const struct ns_vfs *watch_memory(void);
struct ns__mem *watch_memory_world(void);
/* Before the first use of the memory: its clock and entropy are simulated and always the same. */
void watch_simulate_time(void);

/* Since the process began, over all threads. */
void watch_counters(struct watch_counters *out);

#endif
