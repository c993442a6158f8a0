/* open.c: opening, creating, and coming back after an end that was no close.
 *
 *   clean_warm  the file was closed and is in the page cache
 *   clean_cold  it was closed, synced and dropped from the page cache (posix_fadvise DONTNEED): the
 *               open reads from the disk; what the host of a virtual disk caches stays cached
 *   unclean     a copy of the file of an open database: what a killed process leaves, with that
 *               many bytes of log behind the last checkpoint; the open replays them
 *
 * Only the open is timed, except that first_get_cold also begins a read and gets one entry. Putting
 * the file there and closing happen while the clock stands still. */
#include "suites/all.h"

#include "common/world.h"

#define MIB(n) ((n) << 20)

static ns_options options_for(struct bench *b, enum bench_disk disk)
{
    ns_options options;
    bench_options(b, disk, &options);
    if (disk == BENCH_MEMORY) options.flags |= NS_NO_THREADS;
    return options;
}

static const char *path_for(struct bench *b, enum bench_disk disk)
{
    return disk == BENCH_MEMORY ? "open.ns" : bench_path(b);
}

static void close_paused(struct bench *b, ns_db *db)
{
    bench_pause(b);
    BENCH_CHECK(ns_db_close(db));
    bench_resume(b);
}

/* argument: disk. Names come and go; a durable one is synced with its directory. */
static void create(struct bench *b)
{
    enum bench_disk disk = (enum bench_disk)bench_arg(b, 0);
    ns_options options = options_for(b, disk);
    options.flags |= NS_MUST_CREATE;
    const char *path = path_for(b, disk);
    while (bench_next(b)) {
        ns_db *db;
        uint64_t began = bench_now_ns();
        BENCH_CHECK(ns_db_open(path, &options, &db));
        bench_sample(b, bench_now_ns() - began);
        bench_pause(b);
        BENCH_CHECK(ns_db_close(db));
        world_remove_file(disk, path);
        bench_resume(b);
    }
}

/* arguments: entries, disk. */
static void clean_warm(struct bench *b)
{
    enum bench_disk disk = (enum bench_disk)bench_arg(b, 1);
    ns_options options = options_for(b, disk);
    const char *path = path_for(b, disk);
    world_put_file(disk, path, world_image(b, (uint64_t)bench_arg(b, 0), 0));
    while (bench_next(b)) {
        ns_db *db;
        uint64_t began = bench_now_ns();
        BENCH_CHECK(ns_db_open(path, &options, &db));
        bench_sample(b, bench_now_ns() - began);
        close_paused(b, db);
    }
    world_remove_file(disk, path);
}

static void get_first(ns_db *db)
{
    uint8_t key[DATA_KEY_BYTES];
    ns_txn *txn;
    ns_slice value;
    data_key(0, key);
    BENCH_CHECK(ns_txn_begin(db, NS_READ, &txn));
    BENCH_CHECK(ns_txn_get(txn, NS_MAIN, ns_bytes(key, sizeof key), &value));
    ns_txn_abort(txn);
}

/* arguments: entries, whether the first get counts too. */
static void clean_cold(struct bench *b)
{
    ns_options options = options_for(b, BENCH_FILES);
    const char *path = bench_path(b);
    world_put_file(BENCH_FILES, path, world_image(b, (uint64_t)bench_arg(b, 0), 0));
    while (bench_next(b)) {
        ns_db *db;
        bench_pause(b);
        world_drop_cache(path);
        bench_resume(b);
        uint64_t began = bench_now_ns();
        BENCH_CHECK(ns_db_open(path, &options, &db));
        if (bench_arg(b, 1) != 0) get_first(db);
        bench_sample(b, bench_now_ns() - began);
        close_paused(b, db);
    }
    world_remove_file(BENCH_FILES, path);
}

/* arguments: bytes of log, disk, entries. */
static void unclean(struct bench *b)
{
    enum bench_disk disk = (enum bench_disk)bench_arg(b, 1);
    ns_options options = options_for(b, disk);
    options.history = NS_HISTORY_NONE;
    const char *path = path_for(b, disk);
    uint64_t txns, bytes = (uint64_t)bench_arg(b, 0), spent = 0;
    ns_slice content = world_unclean(b, (uint64_t)bench_arg(b, 2), bytes, &txns);
    while (bench_next(b)) {
        ns_db *db;
        bench_pause(b);
        world_put_file(disk, path, content);
        bench_resume(b);
        uint64_t began = bench_now_ns();
        BENCH_CHECK(ns_db_open(path, &options, &db));
        spent += bench_now_ns() - began;
        bench_pause(b);
        ns_db_stats_t stats;
        BENCH_CHECK(ns_db_stats(db, &stats, sizeof stats));
        if (stats.recovered_txns != txns) bench_die("fewer transactions came back", NS_INTERNAL);
        BENCH_CHECK(ns_db_close(db));
        world_remove_file(disk, path);
        bench_resume(b);
    }
    double passed = (double)spent * 1e-9 / (double)bench_iterations(b);
    bench_figure(b, "log_MiB_per_s", (double)bytes / (double)MIB(1) / passed);
    bench_figure(b, "txns_per_s", (double)txns / passed);
}

void suite_open(void)
{
    static const struct bench_entry rows[] = {
        {"open/create/memory", create, {.args = {BENCH_MEMORY}}},
        {"open/create/durable", create, {.args = {BENCH_FILES}}},
        {"open/clean_warm/1e4",
         clean_warm,
         {.args = {10000, BENCH_MEMORY}, .iterations = 20, .is_gated = true}},
        {"open/clean_warm/1e4_file", clean_warm, {.args = {10000, BENCH_FILES}}},
        {"open/clean_warm/1e6_file", clean_warm, {.args = {1000000, BENCH_FILES}}},
        {"open/clean_warm/1e7_file",
         clean_warm,
         {.args = {10000000, BENCH_FILES}, .is_slow = true}},
        {"open/clean_cold/1e6_file", clean_cold, {.args = {1000000}}},
        {"open/clean_cold/1e7_file", clean_cold, {.args = {10000000}, .is_slow = true}},
        {"open/first_get_cold/1e6_file", clean_cold, {.args = {1000000, 1}}},
        {"open/unclean/256KiB",
         unclean,
         {.args = {MIB(1) / 4, BENCH_MEMORY, 10000}, .iterations = 1, .is_gated = true}},
        {"open/unclean/1MiB", unclean, {.args = {MIB(1), BENCH_MEMORY, 100000}}},
        {"open/unclean/16MiB", unclean, {.args = {MIB(16), BENCH_MEMORY, 100000}}},
        {"open/unclean/1MiB_file", unclean, {.args = {MIB(1), BENCH_FILES, 100000}}},
        {"open/unclean/16MiB_file", unclean, {.args = {MIB(16), BENCH_FILES, 100000}}},
    };
    BENCH_ADD_ROWS(rows);
}
