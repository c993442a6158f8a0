/* pager.c: the file as pages, below the trees, through the internal headers.
 *
 *   checksum        what verifying or writing a page costs at least
 *   read/hot        a reference becomes an address: 64 verified pages, in the processor's caches
 *   read/memory     the same among all pages of 1e6 entries: each is a miss
 *   read/verify     first touch: checksum and structure, the page in memory
 *   read/disk_file  first touch after the file left the page cache
 *   write/frame     a new node is taken, filled, finished, and dropped with its change
 *   write/checkpoint  the frames of one commit of 1000 updates go to the file; items are pages
 *   alloc           pages are taken from the space and given back
 *   meta            the newest meta is written and synced */
#include "suites/all.h"

#include <stdlib.h>
#include <string.h>

#include "common/world.h"
#include "db/db.h"

#define READS 64u
#define COLD_ROUND 200u
#define CHECKSUM_AREA ((size_t)256 << 20)
#define UPDATES 1000u
#define TAKES 64u

/* ---- checksum ---- */

/* arguments: page size, bytes of memory that the pages lie in. */
static void checksum(struct bench *b)
{
    size_t page = (size_t)bench_arg(b, 0), area = (size_t)bench_arg(b, 1), at = 0;
    uint8_t *memory = malloc(area);
    if (memory == NULL) bench_die("memory", NS_NOMEM);
    data_value(1, area, memory);
    while (bench_next(b)) {
        bench_keep(ns__page_checksum(memory + at, (uint32_t)page, at));
        at = at + page < area ? at + page : 0;
    }
    bench_figure(b, "page_B", (double)page);
    free(memory);
}

/* ---- reading ---- */

struct references {
    uint64_t *refs;
    size_t count, capacity;
};

static ns_status collect(void *ctx, uint64_t ref, uint64_t pages, bool is_run)
{
    struct references *all = ctx;
    (void)pages;
    if (is_run || all->count == all->capacity) return NS_OK;
    all->refs[all->count++] = ref;
    return NS_OK;
}

/* Every node of the newest root. */
static void references_init(struct references *all, ns_db *db)
{
    struct ns__root root;
    ns__snapshots_newest(&db->snapshots, &root);
    *all = (struct references){.capacity = root.main.pages};
    all->refs = calloc(all->capacity, sizeof *all->refs);
    if (all->refs == NULL) bench_die("references", NS_NOMEM);
    BENCH_CHECK(ns__btree_check(&db->pager->pages, &root.main, false, root.generation, &db->alloc,
                                collect, all));
}

static void read_one(struct ns__pages *pages, uint64_t ref)
{
    const uint8_t *node;
    BENCH_CHECK(ns__pages_node(pages, ref, NS__LEVEL_ANY, &node));
    bench_keep(ns__node_count(node));
}

/* 64 reads an iteration; argument: among how many pages, 0: all. */
static void read_verified(struct bench *b)
{
    const struct world *world = world_shared(b, 1000000);
    struct references all;
    struct ns__prng prng = {data_seed()};
    references_init(&all, world->db);
    size_t among = bench_arg(b, 0) != 0 ? (size_t)bench_arg(b, 0) : all.count;
    bench_watch(b, world->db);
    while (bench_next(b)) {
        for (uint32_t i = 0; i < READS; i++)
            read_one(&world->db->pager->pages, all.refs[ns__prng_below(&prng, among)]);
    }
    bench_items(b, bench_iterations(b) * READS);
    free(all.refs);
}

/* The page's mark is taken away before each read. */
static void read_verify(struct bench *b)
{
    const struct world *world = world_shared(b, 1000000);
    struct ns__pages *pages = &world->db->pager->pages;
    struct references all;
    struct ns__prng prng = {data_seed()};
    references_init(&all, world->db);
    bench_watch(b, world->db);
    while (bench_next(b)) {
        uint64_t ref = all.refs[ns__prng_below(&prng, all.count)], page = ns__ref_number(ref);
        ns__atomic_and(&pages->verified[page >> 6], ~(UINT64_C(1) << (page & 63)));
        read_one(pages, ref);
    }
    free(all.refs);
}

static void read_disk(struct bench *b)
{
    struct world_plan plan = {.entries = 1000000, .disk = BENCH_FILES};
    struct world *world = world_lasting(b, &plan);
    struct references all;
    struct ns__prng prng = {data_seed()};
    references_init(&all, world->db);
    while (bench_next(b)) {
        if (bench_iterations(b) % COLD_ROUND == 0) {
            bench_pause(b);
            world_make_cold(world);
            bench_resume(b);
        }
        uint64_t began = bench_now_ns();
        read_one(&world->db->pager->pages, all.refs[ns__prng_below(&prng, all.count)]);
        bench_sample(b, bench_now_ns() - began);
    }
    free(all.refs);
}

/* ---- writing ---- */

static void fill_frame(struct ns__change *change, const uint8_t *from, uint32_t page_size)
{
    uint8_t *node;
    uint64_t ref;
    BENCH_CHECK(ns__change_node_new(change, &node));
    memcpy(node, from, page_size);
    BENCH_CHECK(ns__change_node_finish(change, node, &ref));
}

/* 64 frames a change. */
static void write_frames(struct bench *b)
{
    struct world_plan plan = {.entries = 10000};
    struct world *world = world_lasting(b, &plan);
    struct ns__pager *pager = world->db->pager;
    struct references all;
    struct ns__root root;
    const uint8_t *leaf;
    references_init(&all, world->db);
    BENCH_CHECK(ns__pages_node(&pager->pages, all.refs[0], NS__LEVEL_ANY, &leaf));
    for (size_t i = 0; ns__node_level(leaf) != 0; i++)
        BENCH_CHECK(ns__pages_node(&pager->pages, all.refs[i], NS__LEVEL_ANY, &leaf));
    ns__snapshots_newest(&world->db->snapshots, &root);
    bench_watch(b, world->db);
    while (bench_next(b)) {
        struct ns__change *change = ns__change_begin(pager, root.generation + 1, false);
        for (uint32_t i = 0; i < READS; i++)
            fill_frame(change, leaf, pager->file.page_size);
        ns__change_abort(change);
    }
    bench_items(b, bench_iterations(b) * READS);
    free(all.refs);
}

static uint64_t pages_written(ns_db *db)
{
    ns_db_stats_t stats;
    BENCH_CHECK(ns_db_stats(db, &stats, sizeof stats));
    return stats.pages_written;
}

/* arguments: entries, disk. */
static void checkpoint(struct bench *b)
{
    struct world_plan plan = {.entries = (uint64_t)bench_arg(b, 0),
                              .disk = (enum bench_disk)bench_arg(b, 1)};
    struct world *world = world_lasting(b, &plan);
    struct ns__prng prng = {data_seed()};
    BENCH_CHECK(ns_db_checkpoint(world->db));
    uint64_t before = pages_written(world->db);
    bench_watch(b, world->db);
    while (bench_next(b)) {
        bench_pause(b);
        world_overwrite(world, &prng, UPDATES);
        bench_resume(b);
        uint64_t began = bench_now_ns();
        BENCH_CHECK(ns_db_checkpoint(world->db));
        bench_sample(b, bench_now_ns() - began);
    }
    uint64_t pages = pages_written(world->db) - before;
    bench_items(b, pages);
    bench_figure(b, "pages_per_checkpoint", (double)pages / (double)bench_iterations(b));
}

/* ---- space and metas ---- */

/* 64 runs of that many pages are taken and given back in an iteration. */
static void alloc(struct bench *b)
{
    struct world_plan plan = {.entries = 1000000};
    struct world *world = world_lasting(b, &plan);
    struct ns__space *space = &world->db->pager->space;
    uint64_t pages = (uint64_t)bench_arg(b, 0), taken[TAKES];
    bench_watch(b, world->db);
    while (bench_next(b)) {
        for (uint32_t i = 0; i < TAKES; i++)
            BENCH_CHECK(ns__space_take(space, pages, false, &taken[i]));
        for (uint32_t i = 0; i < TAKES; i++)
            ns__space_give(space, taken[i], pages);
    }
    bench_items(b, bench_iterations(b) * TAKES);
}

static void meta_sync(struct bench *b)
{
    struct world_plan plan = {.entries = 10000, .disk = (enum bench_disk)bench_arg(b, 0)};
    struct world *world = world_lasting(b, &plan);
    struct ns__pager *pager = world->db->pager;
    bench_watch(b, world->db);
    while (bench_next(b)) {
        uint64_t began = bench_now_ns();
        pager->meta_is_confirmed = false;
        BENCH_CHECK(ns__pager_confirm_meta(pager));
        bench_sample(b, bench_now_ns() - began);
    }
}

void suite_pager(void)
{
    static const struct bench_entry rows[] = {
        {"pager/checksum/4KiB", checksum, {.args = {4096, 4096}}},
        {"pager/checksum/4KiB_cold", checksum, {.args = {4096, CHECKSUM_AREA}}},
        {"pager/checksum/64KiB", checksum, {.args = {65536, 65536}}},
        {"pager/read/hot", read_verified, {.args = {READS}}},
        {"pager/read/memory", read_verified, {.args = {0}}},
        {"pager/read/verify", read_verify, {.args = {0}}},
        {"pager/read/disk_file", read_disk, {.args = {0}}},
        {"pager/write/frame", write_frames, {.args = {0}}},
        {"pager/write/checkpoint",
         checkpoint,
         {.args = {10000, BENCH_MEMORY}, .iterations = 5, .is_gated = true}},
        {"pager/write/checkpoint_durable", checkpoint, {.args = {100000, BENCH_FILES}}},
        {"pager/alloc/1page", alloc, {.args = {1}}},
        {"pager/alloc/16pages", alloc, {.args = {16}}},
        {"pager/meta/sync", meta_sync, {.args = {BENCH_MEMORY}}},
        {"pager/meta/sync_durable", meta_sync, {.args = {BENCH_FILES}}},
    };
    BENCH_ADD_ROWS(rows);
}
