/* common/world.h: filled databases to measure on.
 *
 * Filling costs seconds, and Google Benchmark calls a benchmark several times to find the number of
 * iterations. So each size is filled once a process, in memory, into an *image*: the file of a
 * cleanly closed database. All worlds come from images:
 *
 *   world_shared   the image itself, open, with a read transaction; nobody writes to it
 *   world_lasting  a copy that lives as long as the process; who uses it may overwrite values, and
 *                  leaves keys and sizes as they were
 *   world_open     a copy of one's own, to be closed
 *
 * Keys are data_key(0 .. entries - 1), inserted in that order, which is random, in transactions of
 * 10000, or of a hundredth of them if that is more; values are data_value of the index. Copies have
 * the same pages at the same places. After opening a world every page was touched, so that nothing
 * measured later is a first touch; world_make_cold is for those who want just that. */
#ifndef NS_BENCH_COMMON_WORLD_H
#define NS_BENCH_COMMON_WORLD_H

#include "base/prng.h"
#include "common/bench.h"
#include "common/data.h"

#define WORLD_VALUE_BYTES 100u
#define WORLD_VALUE_MAX 4096u

/* All zero but entries: in memory, durable (as far as memory is), no history, no helper thread, so
 * that checkpoints are paid for by the commits that cause them. */
struct world_plan {
    uint64_t entries;
    uint32_t value_bytes; /* 0: WORLD_VALUE_BYTES */
    enum bench_disk disk;
    ns_sync sync;
    ns_history history;        /* NS_HISTORY_DEFAULT: NS_HISTORY_NONE */
    uint64_t checkpoint_bytes; /* 0: the library's default */
    bool has_helper;
};

struct world {
    struct world_plan plan;
    struct bench *bench; /* whose copy it is */
    char path[320];
    ns_options options;
    ns_db *db;
    ns_txn *read; /* world_shared's; else NULL */
};

/* 100-byte values. */
const struct world *world_shared(struct bench *b, uint64_t entries);
struct world *world_lasting(struct bench *b, const struct world_plan *plan);
void world_open(struct bench *b, const struct world_plan *plan, struct world *world_out);
void world_close(struct world *world); /* and removes the file */

/* As world_open left it; the clock stands still meanwhile, and the new handle is the watched one.
 * Within the loop. */
void world_refresh(struct world *world);

/* The handle again, with nothing verified; files on disk leave the system's page cache too
 * (posix_fadvise DONTNEED after a sync; what a virtual disk's host keeps is out of reach). Reading
 * costs what it does after a reboot of this machine. */
void world_make_cold(struct world *world);

/* A random key of the world. */
static inline ns_slice world_key(const struct world *world, struct ns__prng *prng,
                                 uint8_t key[DATA_KEY_BYTES])
{
    data_key(ns__prng_below(prng, world->plan.entries), key);
    return ns_bytes(key, DATA_KEY_BYTES);
}

/* One committed transaction that overwrites `count` random values. */
void world_overwrite(struct world *world, struct ns__prng *prng, uint64_t count);

/* ---- files as a crash leaves them ---- */

/* What a killed process leaves of a database of that many entries: tail_bytes of log, updates in
 * transactions of 100, are in no checkpoint. Made once for each pair; valid for ever. txns_out:
 * transactions in the tail. */
ns_slice world_unclean(struct bench *b, uint64_t entries, uint64_t tail_bytes, uint64_t *txns_out);
/* The clean image of a size, for world_put_file. */
ns_slice world_image(struct bench *b, uint64_t entries, uint32_t value_bytes);
/* Writes a file (and syncs it, on disk). */
void world_put_file(enum bench_disk disk, const char *path, ns_slice content);
/* The file leaves the page cache; nobody has it open. */
void world_drop_cache(const char *path);
void world_remove_file(enum bench_disk disk, const char *path);

#endif
