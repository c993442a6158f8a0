/* db_poison_test.c: failed writes and syncs (promise 7): the commit says NS_UNKNOWN or that it is
 * certainly not there, the handle refuses writes from then on, readers go on, and the next open
 * decides once and for all. Every call that can fail is made to fail, once and for ever, in a fixed
 * scenario. */
#include "harness/test.h"

#include <stdio.h>
#include <string.h>

#include "base/prng.h"
#include "harness/reference.h"
#include "vfs/mem.h"

#define PATH "poison.ns"
#define STATES 40u

struct world {
    struct ns__mem *mem;
    ns_options with;
    ns_db *db;
    struct ref_state *states[STATES]; /* by id */
    uint64_t newest;                  /* answered NS_OK */
    uint64_t unknown;                 /* 0: none */
    bool is_poisoned;
    int poisoned_events;
};

static void count_poisoned(void *ctx, const struct ns_event *event)
{
    struct world *world = ctx;
    world->poisoned_events += event->kind == NS_EVENT_POISONED;
}

static void open_world(struct world *world, bool is_off, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    CHECK_OK(ns__mem_new(NS__MEM_DURABILITY | NS__MEM_FAKE_TIME, seed, NULL, &world->mem));
    world->with.flags = NS_NO_THREADS;
    world->with.sync = is_off ? NS_SYNC_OFF : NS_SYNC_FULL;
    world->with.history = NS_HISTORY_NONE;
    world->with.checkpoint_bytes = 64 << 10;
    world->with.frame_bytes = 1 << 20;
    world->with.vfs = ns__mem_vfs(world->mem);
    world->with.on_event = count_poisoned;
    world->with.event_ctx = world;
    world->states[0] = ref_state_new();
    CHECK_OK(ns_db_open(PATH, &world->with, &world->db));
}

static void close_world(struct world *world)
{
    for (size_t i = 0; i < STATES; i++)
        ref_state_release(world->states[i]);
    ns__mem_free(world->mem);
}

/* One transaction; its state is filed under the id that it has or would have. */
static ns_status write_some(struct world *world, unsigned round)
{
    static uint8_t value[9000];
    ns_txn *txn;
    uint64_t id = 77;
    ns_status status = ns_txn_begin(world->db, NS_WRITE, &txn);
    if (status != NS_OK) return status;
    struct ref_state *next = ref_state_copy(world->states[world->newest]);
    for (unsigned i = 0; i < 30; i++) {
        char key[32];
        size_t size = i == 29 ? sizeof value : 60 + i;
        snprintf(key, sizeof key, "key %u", (round * 11 + i * 17) % 200);
        memset(value, (int)(round + i), size);
        CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str(key), ns_bytes(value, size)));
        ref_put(next, NS_MAIN, ns_str(key), ns_bytes(value, size));
    }
    status = ns_txn_commit(txn, &id);
    if (status == NS_OK || status == NS_UNKNOWN) {
        assert_int_equal(id, world->newest + 1);
        ref_state_commit(next, id);
        ref_state_release(world->states[id]);
        world->states[id] = next;
        if (status == NS_OK) world->newest = id;
        if (status == NS_UNKNOWN) world->unknown = id;
    } else {
        assert_int_equal(id, 0);
        ref_state_release(next);
    }
    return status;
}

/* A failure must be one of these, and after one that poisons there is no way back. */
static void note_failure(struct world *world, ns_status status)
{
    if (status == NS_OK) {
        assert_false(world->is_poisoned);
        return;
    }
    if (status != NS_IO && status != NS_UNKNOWN && status != NS_POISONED && status != NS_FULL) {
        fail_msg("%s: %s", ns_status_name(status), ns_error_detail());
    }
    if (world->is_poisoned) assert_int_equal(status, NS_POISONED);
    if (status == NS_UNKNOWN || status == NS_POISONED) world->is_poisoned = true;
}

static void check_snapshot(struct world *world, ns_txn *txn, uint64_t id)
{
    char text[REF_TEXT_BYTES];
    assert_int_equal(ns_txn_id(txn), id);
    if (!ref_check(txn, world->states[id], false, text))
        fail_msg("transaction %d: %s", (int)id, text);
}

/* Ten transactions and two checkpoints while a reader looks on. */
static void run_scenario(struct world *world)
{
    ns_txn *reader;
    CHECK_OK(ns_txn_begin(world->db, NS_READ, &reader));
    uint64_t seen = ns_txn_id(reader);
    for (unsigned round = 1; round <= 10; round++) {
        note_failure(world, write_some(world, round));
        if (round % 4 == 0) note_failure(world, ns_db_checkpoint(world->db));
        check_snapshot(world, reader, seen);
        ns_txn *fresh;
        CHECK_OK(ns_txn_begin(world->db, NS_READ, &fresh));
        check_snapshot(world, fresh, world->newest);
        ns_txn_abort(fresh);
    }
    ns_txn_abort(reader);
}

/* The transaction that the next open finds: at least low, at most what may have been written. */
static uint64_t found_after_open(struct world *world, uint64_t low)
{
    ns_txn *txn;
    CHECK_OK(ns_db_open(PATH, &world->with, &world->db));
    CHECK_OK(ns_txn_begin(world->db, NS_READ, &txn));
    uint64_t found = ns_txn_id(txn);
    assert_true(found >= low);
    assert_true(found <= (world->unknown != 0 ? world->unknown : world->newest));
    check_snapshot(world, txn, found);
    ns_txn_abort(txn);
    return found;
}

static bool keep_half(void *ctx, uint64_t atom)
{
    struct ns__prng prng = {*(const uint64_t *)ctx * 31 + atom};
    return ns__prng_next(&prng) % 2 == 0;
}

/* Another machine: of what was not durable nothing is left (seed 0), or a part. */
static void cut_power(struct world *world, uint64_t seed)
{
    struct ns__mem *after;
    CHECK_OK(ns__mem_crash(world->mem, 512, seed == 0 ? NULL : keep_half, &seed, seed, &after));
    (void)ns_db_close(world->db);
    ns__mem_free(world->mem);
    world->mem = after;
    world->with.vfs = ns__mem_vfs(after);
}

static void check_fault(bool is_off, uint64_t kinds, ns_status with, uint64_t nth, bool for_ever)
{
    struct world world;
    open_world(&world, is_off, nth);
    CHECK_OK(write_some(&world, 100));
    ns__mem_fail(world.mem, nth, kinds, with, for_ever);
    run_scenario(&world);
    ns_status status = ns_db_close(world.db);
    if (world.is_poisoned && status != NS_OK && status != NS_POISONED) note_failure(&world, status);
    ns__mem_fail(world.mem, 0, 0, NS_IO, false);
    uint64_t found = found_after_open(&world, world.newest);
    /* What the open has shown, no crash takes back. */
    cut_power(&world, 0);
    world.newest = found;
    world.unknown = 0;
    assert_int_equal(found_after_open(&world, world.newest), found);
    world.is_poisoned = false;
    CHECK_OK(write_some(&world, 200));
    CHECK_OK(ns_db_close(world.db));
    CHECK_OK(ns_db_verify(PATH, &world.with, NULL, NULL));
    close_world(&world);
}

static const uint64_t kind_masks[] = {1u << NS__MEM_WRITE, 1u << NS__MEM_WRITE_SYNC,
                                      1u << NS__MEM_SYNC, 1u << NS__MEM_ALLOCATE};

static uint64_t calls_of_scenario(bool is_off, uint64_t kinds)
{
    struct world world;
    uint64_t calls = 0;
    open_world(&world, is_off, 1);
    CHECK_OK(write_some(&world, 100));
    for (int pass = 0; pass < 2; pass++) {
        uint64_t now = 0;
        for (unsigned kind = 0; kind < NS__MEM_CALL_KINDS; kind++) {
            if ((kinds >> kind & 1) != 0)
                now += ns__mem_calls_of(world.mem, (enum ns__mem_call)kind);
        }
        calls = now - calls;
        if (pass == 0) run_scenario(&world);
    }
    CHECK_OK(ns_db_close(world.db));
    close_world(&world);
    return calls;
}

static void every_failing_call_is_answered_and_settled(void **state)
{
    uint64_t points = 0;
    (void)state;
    for (int is_off = 0; is_off < 2; is_off++) {
        for (size_t k = 0; k < sizeof kind_masks / sizeof kind_masks[0]; k++) {
            uint64_t calls = calls_of_scenario(is_off != 0, kind_masks[k]);
            for (uint64_t nth = 1; nth <= calls + 2; nth++) { /* closing too */
                ns_status with = kind_masks[k] == 1u << NS__MEM_ALLOCATE ? NS_FULL : NS_IO;
                check_fault(is_off != 0, kind_masks[k], with, nth, false);
                check_fault(is_off != 0, kind_masks[k], with, nth, true);
                points += 2;
            }
        }
    }
    print_message("poison: %llu failing calls\n", (unsigned long long)points);
    assert_true(points > 100);
}

/* ---- a failure, and soon after it a crash ---- */

/* After the nth call failed and the database was opened again, the power goes at call `stop` of a
 * commit and a checkpoint. False when they ended before. What a failed write left in the cache must
 * not be counted on. */
static bool check_crash_after_fault(bool is_off, uint64_t kinds, uint64_t nth, uint64_t stop)
{
    struct world world;
    open_world(&world, is_off, nth);
    CHECK_OK(write_some(&world, 100));
    ns__mem_fail(world.mem, nth, kinds, NS_IO, false);
    run_scenario(&world);
    (void)ns_db_close(world.db);
    ns__mem_fail(world.mem, 0, 0, NS_IO, false);
    uint64_t durable = found_after_open(&world, world.newest);
    world.newest = durable;
    world.unknown = 0;
    world.is_poisoned = false;
    ns__mem_stop_at(world.mem, stop);
    if (write_some(&world, 200) == NS_OK && !is_off) durable = world.newest;
    if (ns_db_checkpoint(world.db) == NS_OK) durable = world.newest;
    bool is_stopped = ns__mem_stopped(world.mem);
    cut_power(&world, stop % 5);
    world.newest = found_after_open(&world, durable);
    world.unknown = 0;
    world.is_poisoned = false;
    CHECK_OK(write_some(&world, 300));
    CHECK_OK(ns_db_close(world.db));
    CHECK_OK(ns_db_verify(PATH, &world.with, NULL, NULL));
    close_world(&world);
    return is_stopped;
}

static void a_crash_soon_after_a_failure_is_survived(void **state)
{
    uint64_t crashes = 0;
    (void)state;
    for (int is_off = 0; is_off < 2; is_off++) {
        for (size_t k = 1; k < 3; k++) { /* synchronous writes, syncs */
            uint64_t calls = calls_of_scenario(is_off != 0, kind_masks[k]);
            for (uint64_t nth = 1; nth <= calls; nth++) {
                uint64_t stop = 1;
                while (check_crash_after_fault(is_off != 0, kind_masks[k], nth, stop))
                    stop++;
                crashes += stop;
            }
        }
    }
    print_message("poison: %llu crashes after failures\n", (unsigned long long)crashes);
    assert_true(crashes > 100);
}

/* The plain story, with its statuses. */
static void a_failed_sync_poisons_and_the_next_open_decides(void **state)
{
    struct world world;
    ns_txn *txn;
    ns_txn *reader;
    (void)state;
    open_world(&world, false, 5);
    CHECK_OK(write_some(&world, 1));
    CHECK_OK(ns_txn_begin(world.db, NS_READ, &reader));
    ns__mem_fail(world.mem, 1, 1u << NS__MEM_WRITE_SYNC, NS_IO, false);
    CHECK_STATUS(write_some(&world, 2), NS_UNKNOWN);
    assert_int_equal(world.unknown, 2);
    assert_int_equal(world.poisoned_events, 1);
    CHECK_STATUS(ns_txn_begin(world.db, NS_WRITE, &txn), NS_POISONED);
    assert_null(txn);
    assert_true(strlen(ns_error_detail()) > 0);
    CHECK_STATUS(ns_db_checkpoint(world.db), NS_POISONED);
    check_snapshot(&world, reader, 1); /* readers go on */
    ns_txn_abort(reader);
    CHECK_OK(ns_txn_begin(world.db, NS_READ, &reader));
    check_snapshot(&world, reader, 1); /* and see nothing that is not durable */
    ns_txn_abort(reader);
    (void)ns_db_close(world.db);
    uint64_t found = found_after_open(&world, world.newest);
    cut_power(&world, 0);
    world.newest = found;
    world.unknown = 0;
    assert_int_equal(found_after_open(&world, world.newest), found);
    CHECK_OK(write_some(&world, 3));
    CHECK_OK(ns_db_close(world.db));
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_sync_poisons_and_the_next_open_decides),
        cmocka_unit_test(every_failing_call_is_answered_and_settled),
        cmocka_unit_test(a_crash_soon_after_a_failure_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
