/* db_checkpointing_test.c: checkpoints run when they are due, in the helper or in commits;
 * recovery stays bounded (promise 9); the log is trimmed where no history is kept; a failed
 * attempt disturbs nobody. */
#include "harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/prng.h"
#include "db/db.h"

#define PATH "app.ns"
#define KEYS 300u

struct events {
    uint64_t checkpoints, failed, poisoned;
    ns_status why;
};

static void count_event(void *ctx, const struct ns_event *event)
{
    struct events *events = ctx;
    if (event->kind == NS_EVENT_CHECKPOINT) ns__atomic_add(&events->checkpoints, 1);
    if (event->kind == NS_EVENT_POISONED) ns__atomic_add(&events->poisoned, 1);
    if (event->kind != NS_EVENT_CHECKPOINT_FAILED) return;
    ns__atomic_add(&events->failed, 1);
    events->why = event->status;
}

struct world {
    struct ns__mem *mem;
    ns_options options;
    ns_db *db;
    struct events events;
    struct ns__prng prng;
    uint32_t stamps[KEYS]; /* 0: absent */
    uint32_t stamp;
};

static void world_init(struct world *world, uint32_t flags, uint64_t checkpoint_bytes)
{
    memset(world, 0, sizeof *world);
    CHECK_OK(ns__mem_new(NS__MEM_DURABILITY, 1, NULL, &world->mem));
    world->options = (ns_options){.flags = flags,
                                  .vfs = ns__mem_vfs(world->mem),
                                  .frame_bytes = 400 * 4096,
                                  .checkpoint_bytes = checkpoint_bytes,
                                  .max_readers = 8,
                                  .on_event = count_event,
                                  .event_ctx = &world->events};
    CHECK_OK(ns_db_open(PATH, &world->options, &world->db));
}

static ns_status put_some(struct world *world, uint32_t count, size_t size)
{
    ns_txn *txn;
    uint32_t keys[64], stamps[64];
    uint8_t value[4000];
    assert_true(count <= 64 && size <= sizeof value);
    NS_TRY(ns_txn_begin(world->db, NS_WRITE, &txn));
    for (uint32_t i = 0; i < count; i++) {
        char key[16];
        keys[i] = (uint32_t)ns__prng_below(&world->prng, KEYS);
        stamps[i] = ++world->stamp;
        (void)snprintf(key, sizeof key, "key %u", keys[i]);
        memset(value, 0, size);
        memcpy(value, &stamps[i], 4);
        ns_status status = ns_txn_put(txn, NS_MAIN, ns_str(key), ns_bytes(value, size));
        if (status == NS_OK) continue;
        ns_txn_abort(txn);
        return status;
    }
    NS_TRY(ns_txn_commit(txn, NULL));
    for (uint32_t i = 0; i < count; i++)
        world->stamps[keys[i]] = stamps[i];
    return NS_OK;
}

static void check_content(struct world *world)
{
    ns_txn *txn;
    CHECK_OK(ns_txn_begin(world->db, NS_READ, &txn));
    for (uint32_t n = 0; n < KEYS; n++) {
        char key[16];
        ns_slice value;
        (void)snprintf(key, sizeof key, "key %u", n);
        ns_status status = ns_txn_get(txn, NS_MAIN, ns_str(key), &value);
        CHECK_STATUS(status, world->stamps[n] == 0 ? NS_NOTFOUND : NS_OK);
        if (status == NS_OK) assert_memory_equal(value.data, &world->stamps[n], 4);
    }
    ns_txn_abort(txn);
}

/* The checker: what is there now, what a kill now would leave, and what a clean close leaves. */
static void world_deinit(struct world *world)
{
    struct ns__mem *killed, *live = world->mem;
    ns_db *db = world->db;
    check_content(world);
    CHECK_OK(ns__mem_clone(world->mem, &killed));
    for (int i = 0; i < 2; i++) {
        world->options.vfs = ns__mem_vfs(i == 0 ? killed : live);
        CHECK_OK(ns_db_verify(PATH, &world->options, NULL, NULL));
        CHECK_OK(ns_db_open(PATH, &world->options, &world->db));
        check_content(world);
        CHECK_OK(ns_db_close(world->db));
        CHECK_OK(ns_db_verify(PATH, &world->options, NULL, NULL));
        if (i == 0) CHECK_OK(ns_db_close(db));
    }
    ns__mem_free(killed);
    ns__mem_free(live);
}

static ns_db_stats_t stats_of(struct world *world)
{
    ns_db_stats_t stats;
    CHECK_OK(ns_db_stats(world->db, &stats, sizeof stats));
    return stats;
}

static uint64_t log_behind_meta(struct world *world)
{
    return ns__log_end(world->db->log) - world->db->pager->meta->log_replay;
}

/* ---- when ---- */

static void without_threads_a_checkpoint_runs_in_the_commit_that_makes_it_due(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NS_NO_THREADS, 20000);
    assert_false(world.db->helper.is_running);
    uint64_t seen = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t before = log_behind_meta(&world), start = ns__log_end(world.db->log);
        CHECK_OK(put_some(&world, 4, 300));
        uint64_t grown = before + ns__log_end(world.db->log) - start;
        bool was_due = grown >= 20000;
        seen += was_due;
        assert_int_equal(stats_of(&world).checkpoints, seen);
        assert_int_equal(log_behind_meta(&world), was_due ? 0 : grown);
    }
    assert_true(seen >= 5);
    assert_int_equal(world.events.checkpoints, seen);
    world_deinit(&world);
}

static void a_checkpoint_runs_when_half_of_the_frames_are_dirty(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NS_NO_THREADS, UINT64_C(1) << 30);
    CHECK_OK(ns_db_close(world.db));
    world.options.frame_bytes = 1; /* 64 frames */
    CHECK_OK(ns_db_open(PATH, &world.options, &world.db));
    for (int i = 0; i < 60; i++) {
        CHECK_OK(put_some(&world, 10, 1500));
        assert_true(world.db->pager->dirty * 2 <= world.db->pager->frame_limit);
    }
    assert_true(stats_of(&world).checkpoints >= 3);
    world_deinit(&world);
}

static void the_helper_checkpoints_beside_the_program(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 0, 20000);
    assert_true(world.db->helper.is_running);
    for (int i = 0; i < 300; i++) {
        uint64_t start = ns__log_end(world.db->log);
        CHECK_OK(put_some(&world, 4, 300));
        uint64_t commit_bytes = ns__log_end(world.db->log) - start;
        pthread_mutex_lock(&world.db->head);
        uint64_t behind = log_behind_meta(&world);
        pthread_mutex_unlock(&world.db->head);
        assert_true(behind < 2 * 20000 + commit_bytes); /* committers wait for it then */
    }
    for (int i = 0; i < 2000 && stats_of(&world).checkpoints == 0; i++) {
        struct timespec pause = {0, 1000000};
        (void)nanosleep(&pause, NULL);
    }
    assert_true(stats_of(&world).checkpoints > 0);
    world_deinit(&world);
}

static void an_explicit_checkpoint_writes_once(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NS_NO_THREADS, UINT64_C(1) << 30);
    CHECK_OK(put_some(&world, 30, 300));
    CHECK_OK(ns_db_checkpoint(world.db));
    assert_int_equal(log_behind_meta(&world), 0);
    assert_int_equal(world.db->pager->dirty, 0);
    struct ns__mem_counters before, after;
    ns__mem_counters(world.mem, &before);
    CHECK_OK(ns_db_checkpoint(world.db)); /* nothing to do */
    ns__mem_counters(world.mem, &after);
    assert_memory_equal(&before, &after, sizeof before);
    ns_txn *txn;
    CHECK_OK(ns_txn_begin(world.db, NS_WRITE, &txn));
    CHECK_STATUS(ns_db_checkpoint(world.db), NS_BUSY);
    ns_txn_abort(txn);
    world_deinit(&world);
}

/* ---- promise 9 ---- */

static void recovery_replays_no_more_than_the_checkpoint_interval(void **state)
{
    (void)state;
    const uint64_t intervals[] = {8000, 40000};
    for (size_t i = 0; i < 2; i++) {
        struct world world;
        world_init(&world, NS_NO_THREADS, intervals[i]);
        uint64_t commit_bytes = 0, most = 0;
        for (int t = 1; t <= 150; t++) {
            uint64_t start = ns__log_end(world.db->log);
            CHECK_OK(put_some(&world, 4, 300));
            uint64_t grown = ns__log_end(world.db->log) - start;
            if (grown > commit_bytes) commit_bytes = grown;
            if (t % 10 != 7) continue;
            struct ns__mem *killed;
            ns_db *db;
            ns_db_stats_t stats;
            CHECK_OK(ns__mem_clone(world.mem, &killed));
            ns_options options = world.options;
            options.vfs = ns__mem_vfs(killed);
            CHECK_OK(ns_db_open(PATH, &options, &db));
            CHECK_OK(ns_db_stats(db, &stats, sizeof stats));
            assert_int_equal(stats.txn_id, t);
            assert_true(stats.recovered_txns * commit_bytes <= intervals[i] + 2 * commit_bytes);
            if (stats.recovered_txns > most) most = stats.recovered_txns;
            CHECK_OK(ns_db_close(db));
            ns__mem_free(killed);
        }
        assert_true(most > 0);
        world_deinit(&world);
    }
}

/* ---- history ---- */

static void without_history_the_log_is_trimmed(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NS_NO_THREADS, UINT64_C(1) << 30);
    CHECK_OK(ns_db_close(world.db));
    CHECK_OK(world.options.vfs->remove(world.options.vfs->ctx, PATH));
    world.options.history = NS_HISTORY_NONE;
    world.options.checkpoint_bytes = 200000;
    CHECK_OK(ns_db_open(PATH, &world.options, &world.db));
    uint64_t file_bytes = 0;
    for (int i = 0; i < 500; i++) {
        CHECK_OK(put_some(&world, 20, 300));
        if (i == 250) file_bytes = stats_of(&world).file_bytes;
    }
    ns_db_stats_t stats = stats_of(&world);
    assert_true(stats.checkpoints >= 10);
    assert_true(stats.oldest_log_txn > 300);
    assert_true(ns__log_end(world.db->log) > 3000000);
    assert_true(stats.log_bytes < 1500000);
    assert_true(stats.file_bytes <
                file_bytes + file_bytes / 4); /* what was trimmed is used again */
    /* Either meta recovers: the log goes back to the older one's replay. */
    assert_true(ns__log_start(world.db->log) <= world.db->pager->older->log_replay);
    world_deinit(&world);
}

static void with_all_history_the_log_is_kept(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NS_NO_THREADS, UINT64_C(1) << 30);
    CHECK_OK(ns_db_close(world.db));
    world.options.history = NS_HISTORY_ALL;
    world.options.checkpoint_bytes = 100000;
    CHECK_OK(ns_db_open(PATH, &world.options, &world.db));
    for (int i = 0; i < 200; i++)
        CHECK_OK(put_some(&world, 20, 300));
    assert_int_equal(stats_of(&world).oldest_log_txn, 1);
    assert_int_equal(ns__log_start(world.db->log), 0);
    assert_true(stats_of(&world).checkpoints >= 5);
    world_deinit(&world);
}

/* ---- beside readers ---- */

static void readers_see_the_same_through_any_number_of_checkpoints(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NS_NO_THREADS, UINT64_C(1) << 30);
    ns_txn *readers[5];
    uint8_t hashes[5][16], now[16];
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_OK(put_some(&world, 60, 500));
        CHECK_OK(ns_txn_begin(world.db, NS_READ, &readers[i]));
        CHECK_OK(ns_txn_state_hash(readers[i], hashes[i]));
        if (i % 2 == 1) CHECK_OK(ns_db_checkpoint(world.db));
    }
    for (uint32_t round = 0; round < 10; round++) {
        CHECK_OK(put_some(&world, 60, 900));
        CHECK_OK(ns_db_checkpoint(world.db));
        for (uint32_t i = 0; i < 5; i++) {
            CHECK_OK(ns_txn_state_hash(readers[i], now));
            assert_memory_equal(now, hashes[i], 16);
        }
    }
    assert_true(stats_of(&world).waiting_bytes > 0);
    for (uint32_t i = 0; i < 5; i++)
        ns_txn_abort(readers[i]);
    world_deinit(&world);
}

/* ---- failures ---- */

static void a_failed_attempt_is_told_and_the_next_one_waits_a_little(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NS_NO_THREADS, 32000);
    uint64_t writes = UINT64_C(1) << NS__MEM_WRITE; /* images are plain writes; commits are not */
    while (log_behind_meta(&world) < 31000)
        CHECK_OK(put_some(&world, 1, 300));
    ns__mem_fail(world.mem, 1, writes, NS_FULL, true);
    while (world.events.failed == 0)
        CHECK_OK(put_some(&world, 4, 300)); /* the commit itself is fine */
    assert_int_equal(world.events.why, NS_FULL);
    assert_int_equal(world.events.checkpoints, 0);
    uint64_t at = ns__log_end(world.db->log), failed = world.events.failed;
    while (ns__log_end(world.db->log) < at + 32000 / 16) {
        assert_int_equal(world.events.failed, failed);
        CHECK_OK(put_some(&world, 1, 100));
    }
    CHECK_OK(put_some(&world, 1, 100));
    assert_true(world.events.failed == failed + 1);
    CHECK_STATUS(ns_db_checkpoint(world.db), NS_FULL);
    assert_non_null(strstr(ns_error_detail(), "checkpoint: "));
    ns__mem_fail(world.mem, 0, 0, NS_OK, false);
    CHECK_OK(ns_db_checkpoint(world.db));
    assert_int_equal(log_behind_meta(&world), 0);
    assert_int_equal(world.events.poisoned, 0);
    world_deinit(&world);
}

/* Promise 7: the commit before it was durable; nothing is after it. */
static void a_failed_sync_in_a_checkpoint_poisons_the_handle_once(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NS_NO_THREADS, 20000);
    ns__mem_fail(world.mem, 1, UINT64_C(1) << NS__MEM_SYNC, NS_IO, false);
    while (world.events.failed == 0)
        CHECK_OK(put_some(&world, 4, 300));
    assert_int_equal(world.events.poisoned, 1);
    check_content(&world); /* readers go on */
    ns_txn *txn;
    CHECK_STATUS(ns_txn_begin(world.db, NS_WRITE, &txn), NS_POISONED);
    CHECK_STATUS(ns_db_checkpoint(world.db), NS_POISONED);
    assert_int_equal(world.events.poisoned, 1);
    assert_true(ns_db_close(world.db) != NS_OK);
    struct ns__mem *after; /* the power goes: what no sync confirmed is gone */
    CHECK_OK(ns__mem_crash(world.mem, 512, NULL, NULL, 1, &after));
    ns__mem_free(world.mem);
    world.mem = after;
    world.options.vfs = ns__mem_vfs(after);
    CHECK_OK(ns_db_open(PATH, &world.options, &world.db));
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_threads_a_checkpoint_runs_in_the_commit_that_makes_it_due),
        cmocka_unit_test(a_checkpoint_runs_when_half_of_the_frames_are_dirty),
        cmocka_unit_test(the_helper_checkpoints_beside_the_program),
        cmocka_unit_test(an_explicit_checkpoint_writes_once),
        cmocka_unit_test(recovery_replays_no_more_than_the_checkpoint_interval),
        cmocka_unit_test(without_history_the_log_is_trimmed),
        cmocka_unit_test(with_all_history_the_log_is_kept),
        cmocka_unit_test(readers_see_the_same_through_any_number_of_checkpoints),
        cmocka_unit_test(a_failed_attempt_is_told_and_the_next_one_waits_a_little),
        cmocka_unit_test(a_failed_sync_in_a_checkpoint_poisons_the_handle_once),
    };
    return cmocka_run_group_tests_name("db_checkpointing", tests, NULL, NULL);
}
