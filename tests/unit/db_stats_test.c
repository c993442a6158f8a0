/* db_stats_test.c: the figures of ns_db_stats add up to the file and follow what happened;
 * ns_db_readers charges each reader with what waits for it. */
#include "harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "db/db.h"

#define PATH "app.ns"
#define PAGE 4096u

struct world {
    struct ns__mem *mem;
    ns_options options;
    ns_db *db;
};

static void world_init(struct world *world)
{
    memset(world, 0, sizeof *world);
    CHECK_OK(ns__mem_new(NS__MEM_FAKE_TIME, 1, NULL, &world->mem));
    world->options = (ns_options){.flags = NS_NO_THREADS,
                                  .vfs = ns__mem_vfs(world->mem),
                                  .frame_bytes = 500 * PAGE,
                                  .checkpoint_bytes = UINT64_C(1) << 30,
                                  .max_readers = 8};
    CHECK_OK(ns_db_open(PATH, &world->options, &world->db));
}

static void world_deinit(struct world *world)
{
    CHECK_OK(ns_db_close(world->db));
    CHECK_OK(ns_db_verify(PATH, &world->options, NULL, NULL));
    ns__mem_free(world->mem);
}

static ns_db_stats_t stats_of(struct world *world)
{
    ns_db_stats_t stats;
    CHECK_OK(ns_db_stats(world->db, &stats, sizeof stats));
    return stats;
}

/* Puts keys [from, from + count) with values of that size; in a keyspace unless name is NULL. */
static void fill(struct world *world, const char *name, uint32_t from, uint32_t count, size_t size)
{
    ns_txn *txn;
    ns_keyspace keyspace = NS_MAIN;
    uint8_t *value = calloc(1, size + 1);
    assert_non_null(value);
    CHECK_OK(ns_txn_begin(world->db, NS_WRITE, &txn));
    if (name != NULL) CHECK_OK(ns_txn_keyspace(txn, name, &keyspace));
    for (uint32_t i = from; i < from + count; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key %u", i);
        CHECK_OK(ns_txn_put(txn, keyspace, ns_str(key), ns_bytes(value, size)));
    }
    CHECK_OK(ns_txn_commit(txn, NULL));
    free(value);
}

/* ---- sizes ---- */

/* With both metas at one root and nobody looking, each page is map, log, tree or free. */
static void the_sizes_add_up_to_the_file(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    for (uint32_t round = 0; round < 6; round++) {
        fill(&world, NULL, round * 100, 300, 100);
        fill(&world, round % 2 == 0 ? "first" : "second", 0, 200, 50);
        fill(&world, NULL, 5000 + round, 1, 10000 + 3000 * round);
        for (uint32_t i = 0; i < 2; i++) { /* the older meta too */
            fill(&world, NULL, 9999, 1, i);
            CHECK_OK(ns_db_checkpoint(world.db));
        }
        ns_db_stats_t stats = stats_of(&world);
        uint64_t older = stats.waiting_bytes;
        assert_int_equal(stats.file_bytes, stats.map_bytes + stats.log_bytes + stats.tree_bytes +
                                               older + stats.free_bytes);
        assert_int_equal(stats.frames_used, 0);
        assert_int_equal(stats.keyspaces, round == 0 ? 1 : 2);
        assert_int_equal(stats.map_bytes, 31 * PAGE);
    }
    world_deinit(&world);
}

static void entries_and_overflow_are_those_of_the_newest_root(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    ns_db_stats_t stats = stats_of(&world);
    assert_true(stats.entries == 0 && stats.tree_bytes == 0 && stats.txn_id == 0);
    assert_int_equal(stats.oldest_log_txn, 0);
    fill(&world, NULL, 0, 100, 10);
    fill(&world, "side", 0, 50, 10);
    fill(&world, NULL, 1000, 1, 2 * PAGE + 1);
    fill(&world, "side", 1000, 1, PAGE);
    stats = stats_of(&world);
    assert_int_equal(stats.entries, 152);
    assert_int_equal(stats.overflow_bytes, 4 * PAGE);
    assert_int_equal(stats.keyspaces, 1);
    assert_int_equal(stats.txn_id, 4);
    assert_int_equal(stats.oldest_log_txn, 1);
    ns_txn *txn;
    CHECK_OK(ns_txn_begin(world.db, NS_WRITE, &txn));
    CHECK_OK(ns_txn_keyspace_drop(txn, "side"));
    CHECK_OK(ns_txn_del(txn, NS_MAIN, ns_str("key 1000")));
    CHECK_OK(ns_txn_commit(txn, NULL));
    stats = stats_of(&world);
    assert_int_equal(stats.entries, 100);
    assert_int_equal(stats.overflow_bytes, 0);
    assert_int_equal(stats.keyspaces, 0);
    world_deinit(&world);
}

/* ---- counters ---- */

static void counters_count_what_happened(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    ns_db_stats_t before = stats_of(&world);
    struct ns__mem_counters mem_before, mem_after;
    ns__mem_counters(world.mem, &mem_before);
    for (uint32_t i = 0; i < 7; i++)
        fill(&world, NULL, i * 10, 10, 100);
    ns_txn *txn;
    ns_slice value;
    CHECK_OK(ns_txn_begin(world.db, NS_READ, &txn));
    for (int i = 0; i < 5; i++)
        CHECK_OK(ns_txn_get(txn, NS_MAIN, ns_str("key 3"), &value));
    assert_int_equal(stats_of(&world).readers, 1);
    ns_txn_abort(txn);
    ns_db_stats_t after = stats_of(&world);
    ns__mem_counters(world.mem, &mem_after);
    assert_int_equal(after.readers, 0);
    assert_int_equal(after.commits - before.commits, 7);
    assert_int_equal(after.puts - before.puts, 70);
    assert_int_equal(after.gets - before.gets, 5);
    assert_int_equal(after.checkpoints - before.checkpoints, 0);
    assert_int_equal(after.syncs - before.syncs, mem_after.sync_writes - mem_before.sync_writes +
                                                     mem_after.syncs - mem_before.syncs);
    assert_true(after.log_bytes_written > 70 * 100);
    assert_true(after.pages_copied > before.pages_copied);
    assert_true(after.allocated_bytes > 0 && after.allocations >= before.allocations);
    CHECK_OK(ns_db_checkpoint(world.db));
    assert_int_equal(stats_of(&world).checkpoints - before.checkpoints, 1);
    assert_true(stats_of(&world).pages_written > after.pages_written);
    world_deinit(&world);
}

static void an_older_caller_gets_a_prefix_and_nobody_gets_more(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    fill(&world, NULL, 0, 20, 10);
    ns_db_stats_t whole = stats_of(&world);
    uint8_t room[sizeof whole + 64];
    memset(room, 0xee, sizeof room);
    CHECK_OK(ns_db_stats(world.db, (ns_db_stats_t *)(void *)room, 40));
    assert_memory_equal(room, &whole, 40);
    assert_int_equal(room[40], 0xee);
    CHECK_OK(ns_db_stats(world.db, (ns_db_stats_t *)(void *)room, sizeof room));
    for (size_t i = sizeof whole; i < sizeof room; i++)
        assert_int_equal(room[i], 0); /* what this version does not know */
    CHECK_STATUS(ns_db_stats(world.db, NULL, 8), NS_INVALID);
    world_deinit(&world);
}

/* ---- readers ---- */

struct listing {
    uint32_t count, stop_after;
    ns_reader readers[16];
};

static int list(void *ctx, const ns_reader *reader)
{
    struct listing *listing = ctx;
    listing->readers[listing->count++] = *reader;
    return listing->count == listing->stop_after;
}

static void readers_are_listed_oldest_first_with_what_waits_for_them(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    ns_txn *readers[4], *writer;
    for (uint32_t i = 0; i < 4; i++) {
        fill(&world, NULL, i * 50, 200, 100);
        CHECK_OK(ns_db_checkpoint(world.db));
        CHECK_OK(ns_txn_begin(world.db, NS_READ, &readers[i]));
    }
    for (uint32_t i = 0; i < 3; i++) { /* out of the metas */
        fill(&world, NULL, 0, 400, 100 + i);
        CHECK_OK(ns_db_checkpoint(world.db));
    }
    CHECK_OK(ns_txn_begin(world.db, NS_WRITE, &writer));
    struct listing listing = {0};
    CHECK_OK(ns_db_readers(world.db, list, &listing));
    assert_int_equal(listing.count, 5);
    uint64_t held = 0;
    for (uint32_t i = 0; i < 5; i++) {
        const ns_reader *reader = &listing.readers[i];
        assert_int_equal(reader->mode, i == 4 ? NS_WRITE : NS_READ);
        assert_int_equal(reader->txn_id, i == 4 ? 7 : i + 1);
        if (i > 0) assert_true(reader->since_unix_us >= listing.readers[i - 1].since_unix_us);
        if (i < 4) assert_true(reader->held_bytes > 0 && reader->held_bytes % PAGE == 0);
        held += reader->held_bytes;
    }
    assert_true(held > 0);
    struct listing two = {.stop_after = 2};
    CHECK_OK(ns_db_readers(world.db, list, &two));
    assert_int_equal(two.count, 2);
    uint64_t waiting = stats_of(&world).waiting_bytes;
    ns_txn_abort(writer);
    for (uint32_t i = 0; i < 4; i++)
        ns_txn_abort(readers[i]);
    fill(&world, NULL, 0, 1, 1);
    CHECK_OK(ns_db_checkpoint(world.db));
    assert_true(stats_of(&world).waiting_bytes < waiting);
    CHECK_STATUS(ns_db_readers(world.db, NULL, NULL), NS_INVALID);
    world_deinit(&world);
}

/* Two readers of one root share what it holds: it is counted once. */
static void what_two_readers_share_is_charged_once(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    ns_txn *a, *b;
    fill(&world, NULL, 0, 300, 100);
    CHECK_OK(ns_txn_begin(world.db, NS_READ, &a));
    CHECK_OK(ns_txn_begin(world.db, NS_READ, &b));
    fill(&world, NULL, 0, 300, 110);
    struct listing listing = {0};
    CHECK_OK(ns_db_readers(world.db, list, &listing));
    assert_int_equal(listing.count, 2);
    assert_true(listing.readers[0].held_bytes > 0);
    assert_int_equal(listing.readers[1].held_bytes, 0);
    ns_txn_abort(a);
    ns_txn_abort(b);
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sizes_add_up_to_the_file),
        cmocka_unit_test(entries_and_overflow_are_those_of_the_newest_root),
        cmocka_unit_test(counters_count_what_happened),
        cmocka_unit_test(an_older_caller_gets_a_prefix_and_nobody_gets_more),
        cmocka_unit_test(readers_are_listed_oldest_first_with_what_waits_for_them),
        cmocka_unit_test(what_two_readers_share_is_charged_once),
    };
    return cmocka_run_group_tests_name("db_stats", tests, NULL, NULL);
}
