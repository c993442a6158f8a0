/* world.c: see world.h. Images and lasting worlds are kept in small tables and live until the
 * process ends; the files of worlds on disk are removed then by bench_remove_files. */
#include "common/world.h"

#include <stdio.h>
#include <string.h>

#include "common/watch.h"
#include "vfs/mem.h"

#define IMAGES_MAX 16u
#define UNCLEAN_MAX 16u
#define LASTING_MAX 32u
#define WORK_NAMES 64u /* for files in memory that come and go: used again */
#define FILL_BATCH_MIN 10000u
#define UNCLEAN_BATCH 100u

struct image {
    uint64_t entries;
    uint32_t value_bytes;
    struct world shared; /* db NULL: not opened */
};

struct unclean {
    uint64_t entries, tail_bytes, txns;
    char path[64];
};

static struct image images[IMAGES_MAX];
static size_t image_count;
static struct world lasting[LASTING_MAX];
static size_t lasting_count;
static struct unclean uncleans[UNCLEAN_MAX];
static size_t unclean_count;
static size_t work_count;

/* ---- files ---- */

static const struct ns_vfs *vfs_of(enum bench_disk disk)
{
    return disk == BENCH_FILES ? ns_vfs_default() : watch_memory();
}

static void put_on_disk(const char *path, ns_slice content)
{
    const struct ns_vfs *vfs = ns_vfs_default();
    struct ns_vfs_file *file;
    BENCH_CHECK(vfs->open(vfs->ctx, path, NS_VFS_CREATE, &file));
    BENCH_CHECK(vfs->truncate(vfs->ctx, file, content.size));
    BENCH_CHECK(vfs->write(vfs->ctx, file, 0, content.data, content.size));
    BENCH_CHECK(vfs->sync(vfs->ctx, file));
    vfs->close(vfs->ctx, file);
}

void world_put_file(enum bench_disk disk, const char *path, ns_slice content)
{
    if (disk == BENCH_FILES) {
        put_on_disk(path, content);
    } else {
        BENCH_CHECK(ns__mem_file_set(watch_memory_world(), path, content));
    }
}

void world_drop_cache(const char *path)
{
    const struct ns_vfs *vfs = ns_vfs_default();
    struct ns_vfs_file *file;
    BENCH_CHECK(vfs->open(vfs->ctx, path, 0, &file));
    BENCH_CHECK(vfs->sync(vfs->ctx, file));
    vfs->drop_cache(vfs->ctx, file);
    vfs->close(vfs->ctx, file);
}

void world_remove_file(enum bench_disk disk, const char *path)
{
    const struct ns_vfs *vfs = vfs_of(disk);
    BENCH_CHECK(vfs->remove(vfs->ctx, path));
}

static ns_slice memory_file(const char *path)
{
    ns_slice content;
    BENCH_CHECK(ns__mem_file_get(watch_memory_world(), path, &content));
    return content;
}

/* ---- images ---- */

static void choose_options(struct bench *b, const struct world_plan *plan, ns_options *out)
{
    bench_options(b, plan->disk, out);
    out->flags = plan->has_helper ? 0 : NS_NO_THREADS;
    out->sync = plan->sync;
    out->history = plan->history != NS_HISTORY_DEFAULT ? plan->history : NS_HISTORY_NONE;
    out->checkpoint_bytes = plan->checkpoint_bytes;
}

static void fill(ns_db *db, uint64_t entries, uint32_t value_bytes)
{
    uint8_t key[DATA_KEY_BYTES], value[WORLD_VALUE_MAX];
    uint64_t batch = entries / 100 > FILL_BATCH_MIN ? entries / 100 : FILL_BATCH_MIN;
    for (uint64_t i = 0; i < entries;) {
        ns_txn *txn;
        BENCH_CHECK(ns_txn_begin(db, NS_WRITE, &txn));
        for (uint64_t n = 0; n < batch && i < entries; n++, i++) {
            data_key(i, key);
            data_value(i, value_bytes, value);
            BENCH_CHECK(
                ns_txn_put(txn, NS_MAIN, ns_bytes(key, sizeof key), ns_bytes(value, value_bytes)));
        }
        BENCH_CHECK(ns_txn_commit(txn, NULL));
    }
}

static void make_image(struct bench *b, struct image *image)
{
    struct world *shared = &image->shared;
    shared->plan =
        (struct world_plan){.entries = image->entries, .value_bytes = image->value_bytes};
    shared->bench = b;
    (void)snprintf(shared->path, sizeof shared->path, "image-%llu-%u.ns",
                   (unsigned long long)image->entries, (unsigned)image->value_bytes);
    choose_options(b, &shared->plan, &shared->options);
    ns_db *db;
    BENCH_CHECK(ns_db_open(shared->path, &shared->options, &db));
    fill(db, image->entries, image->value_bytes);
    BENCH_CHECK(ns_db_close(db));
}

static struct image *image_of(struct bench *b, uint64_t entries, uint32_t value_bytes)
{
    if (value_bytes == 0) value_bytes = WORLD_VALUE_BYTES;
    for (size_t i = 0; i < image_count; i++) {
        struct image *image = &images[i];
        if (image->entries == entries && image->value_bytes == value_bytes) return image;
    }
    if (image_count == IMAGES_MAX) bench_die("too many images", NS_TOOBIG);
    struct image *image = &images[image_count++];
    *image = (struct image){.entries = entries, .value_bytes = value_bytes};
    make_image(b, image);
    return image;
}

ns_slice world_image(struct bench *b, uint64_t entries, uint32_t value_bytes)
{
    return memory_file(image_of(b, entries, value_bytes)->shared.path);
}

/* ---- worlds ---- */

/* Reads everything once: every page is verified. */
static void warm(ns_db *db)
{
    ns_txn *txn;
    ns_cursor *cursor;
    BENCH_CHECK(ns_txn_begin(db, NS_READ, &txn));
    BENCH_CHECK(ns_cursor_open(txn, NS_MAIN, &cursor));
    while (ns_cursor_next(cursor) == NS_OK) {
    }
    ns_cursor_close(cursor);
    ns_txn_abort(txn);
}

const struct world *world_shared(struct bench *b, uint64_t entries)
{
    struct world *shared = &image_of(b, entries, 0)->shared;
    if (shared->db != NULL) return shared;
    BENCH_CHECK(ns_db_open(shared->path, &shared->options, &shared->db));
    warm(shared->db);
    BENCH_CHECK(ns_txn_begin(shared->db, NS_READ, &shared->read));
    return shared;
}

static void copy_and_open(struct world *world)
{
    const struct world_plan *plan = &world->plan;
    ns_slice content = world_image(world->bench, plan->entries, plan->value_bytes);
    world_put_file(plan->disk, world->path, content);
    BENCH_CHECK(ns_db_open(world->path, &world->options, &world->db));
    warm(world->db);
}

/* With world->path chosen already. */
static void open_at_path(struct bench *b, const struct world_plan *plan, struct world *world)
{
    world->plan = *plan;
    world->bench = b;
    world->read = NULL;
    choose_options(b, plan, &world->options);
    copy_and_open(world);
}

static void name_world(struct bench *b, const struct world_plan *plan, struct world *world,
                       const char *kind, size_t number)
{
    if (plan->disk == BENCH_FILES) {
        (void)snprintf(world->path, sizeof world->path, "%s", bench_path(b));
    } else {
        (void)snprintf(world->path, sizeof world->path, "%s-%zu.ns", kind, number);
    }
}

void world_open(struct bench *b, const struct world_plan *plan, struct world *world_out)
{
    name_world(b, plan, world_out, "work", work_count++ % WORK_NAMES);
    open_at_path(b, plan, world_out);
}

void world_close(struct world *world)
{
    BENCH_CHECK(ns_db_close(world->db));
    world->db = NULL;
    world_remove_file(world->plan.disk, world->path);
}

void world_refresh(struct world *world)
{
    bench_pause(world->bench);
    bench_watch(world->bench, NULL);
    world_close(world);
    copy_and_open(world);
    bench_watch(world->bench, world->db);
    bench_resume(world->bench);
}

void world_make_cold(struct world *world)
{
    BENCH_CHECK(ns_db_close(world->db));
    if (world->plan.disk == BENCH_FILES) world_drop_cache(world->path);
    BENCH_CHECK(ns_db_open(world->path, &world->options, &world->db));
}

static bool is_same_plan(const struct world_plan *x, const struct world_plan *y)
{
    return x->entries == y->entries && x->value_bytes == y->value_bytes && x->disk == y->disk &&
           x->sync == y->sync && x->history == y->history &&
           x->checkpoint_bytes == y->checkpoint_bytes && x->has_helper == y->has_helper;
}

struct world *world_lasting(struct bench *b, const struct world_plan *plan)
{
    for (size_t i = 0; i < lasting_count; i++) {
        if (!is_same_plan(&lasting[i].plan, plan)) continue;
        lasting[i].bench = b;
        return &lasting[i];
    }
    if (lasting_count == LASTING_MAX) bench_die("too many lasting worlds", NS_TOOBIG);
    struct world *world = &lasting[lasting_count];
    name_world(b, plan, world, "lasting", lasting_count);
    open_at_path(b, plan, world);
    lasting_count++;
    return world;
}

void world_overwrite(struct world *world, struct ns__prng *prng, uint64_t count)
{
    uint32_t bytes = world->plan.value_bytes != 0 ? world->plan.value_bytes : WORLD_VALUE_BYTES;
    uint8_t key[DATA_KEY_BYTES], value[WORLD_VALUE_MAX];
    ns_txn *txn;
    data_value(ns__prng_next(prng), bytes, value);
    BENCH_CHECK(ns_txn_begin(world->db, NS_WRITE, &txn));
    for (uint64_t i = 0; i < count; i++) {
        ns_slice name = world_key(world, prng, key);
        memcpy(value, key, bytes < sizeof key ? bytes : sizeof key);
        BENCH_CHECK(ns_txn_put(txn, NS_MAIN, name, ns_bytes(value, bytes)));
    }
    BENCH_CHECK(ns_txn_commit(txn, NULL));
}

/* ---- files as a crash leaves them ---- */

static uint64_t log_bytes(ns_db *db)
{
    ns_db_stats_t stats;
    BENCH_CHECK(ns_db_stats(db, &stats, sizeof stats));
    return stats.log_bytes_written;
}

/* The file is copied while the database is open: so a process that is killed leaves it. */
static void make_unclean(struct bench *b, struct unclean *unclean)
{
    struct world_plan plan = {.entries = unclean->entries, .checkpoint_bytes = UINT64_C(1) << 40};
    struct world world;
    world_open(b, &plan, &world);
    struct ns__prng prng = {unclean->tail_bytes};
    uint64_t before = log_bytes(world.db);
    while (log_bytes(world.db) - before < unclean->tail_bytes) {
        world_overwrite(&world, &prng, UNCLEAN_BATCH);
        unclean->txns++;
    }
    world_put_file(BENCH_MEMORY, unclean->path, memory_file(world.path));
    world_close(&world);
}

ns_slice world_unclean(struct bench *b, uint64_t entries, uint64_t tail_bytes, uint64_t *txns_out)
{
    size_t i = 0;
    while (i < unclean_count &&
           (uncleans[i].tail_bytes != tail_bytes || uncleans[i].entries != entries))
        i++;
    struct unclean *unclean = &uncleans[i];
    if (i == unclean_count) {
        if (unclean_count == UNCLEAN_MAX) bench_die("too many unclean files", NS_TOOBIG);
        unclean_count++;
        *unclean = (struct unclean){.entries = entries, .tail_bytes = tail_bytes};
        (void)snprintf(unclean->path, sizeof unclean->path, "unclean-%zu.ns", i);
        make_unclean(b, unclean);
    }
    *txns_out = unclean->txns;
    return memory_file(unclean->path);
}
