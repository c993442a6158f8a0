/* api_log_test.c: the commit stream as programs use it: reading, waiting, iterating, and feeding a
 * replica. (The model test checks every record's bytes; here are the answers.) */
#include "harness/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <northstar/log.h>

static ns_db *open_db(ns_history history, uint32_t page_size)
{
    ns_db *db;
    ns_options with;
    memset(&with, 0, sizeof with);
    with.flags = NS_IN_MEMORY | NS_NO_THREADS;
    with.history = history;
    with.page_size = page_size;
    with.checkpoint_bytes = 1 << 20;
    CHECK_OK(ns_db_open(NULL, &with, &db));
    return db;
}

static void put_one(ns_db *db, const char *key, const char *value, const char *note)
{
    ns_txn *txn;
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str(key), ns_str(value)));
    if (note != NULL) CHECK_OK(ns_txn_note(txn, ns_str(note)));
    CHECK_OK(ns_txn_commit(txn, NULL));
}

static void check_equal(ns_db *a, ns_db *b)
{
    ns_db *dbs[2] = {a, b};
    uint8_t hash[2][16];
    uint64_t id[2];
    int64_t time[2];
    for (size_t i = 0; i < 2; i++) {
        ns_txn *txn;
        CHECK_OK(ns_txn_begin(dbs[i], NS_READ, &txn));
        id[i] = ns_txn_id(txn);
        time[i] = ns_txn_time(txn);
        CHECK_OK(ns_txn_state_hash(txn, hash[i]));
        ns_txn_abort(txn);
    }
    assert_int_equal(id[0], id[1]);
    assert_true(time[0] == time[1]);
    assert_memory_equal(hash[0], hash[1], 16);
}

/* A copy of the record of that transaction, in malloc'd memory. */
static ns_slice copy_record(ns_db *db, uint64_t txn_id)
{
    ns_log *log;
    struct ns_commit commit;
    CHECK_OK(ns_log_open(db, txn_id - 1, &log));
    CHECK_OK(ns_log_next(log, &commit));
    assert_int_equal(commit.txn_id, txn_id);
    uint8_t *copy = malloc(commit.bytes.size);
    assert_non_null(copy);
    memcpy(copy, commit.bytes.data, commit.bytes.size);
    ns_slice record = ns_bytes(copy, commit.bytes.size);
    ns_log_close(log);
    return record;
}

/* ---- reading ---- */

static void records_come_in_order_with_their_notes(void **state)
{
    ns_db *db = open_db(NS_HISTORY_ALL, 4096);
    ns_log *log;
    struct ns_commit commit;
    (void)state;
    CHECK_OK(ns_log_open(db, 0, &log));
    CHECK_STATUS(ns_log_next(log, &commit), NS_NOTFOUND);
    put_one(db, "a", "1", "first");
    put_one(db, "b", "2", NULL);
    CHECK_OK(ns_log_next(log, &commit));
    assert_int_equal(commit.txn_id, 1);
    assert_int_equal(commit.op_count, 1);
    assert_int_equal(commit.note.size, 5);
    assert_memory_equal(commit.note.data, "first", 5);
    CHECK_OK(ns_log_next(log, &commit));
    assert_int_equal(commit.txn_id, 2);
    assert_int_equal(commit.note.size, 0);
    CHECK_STATUS(ns_log_next(log, &commit), NS_NOTFOUND);
    CHECK_STATUS(ns_db_close(db), NS_BUSY); /* an open reader holds the database */
    put_one(db, "c", "3", NULL);
    CHECK_OK(ns_db_checkpoint(db));
    CHECK_OK(ns_log_next(log, &commit));
    assert_int_equal(commit.txn_id, 3);
    ns_log_close(log);
    ns_log *past = log;
    CHECK_STATUS(ns_log_open(db, 4, &past), NS_NOTFOUND);
    assert_null(past);
    CHECK_OK(ns_log_open(db, 3, &log)); /* at the end: nothing yet */
    CHECK_STATUS(ns_log_next(log, &commit), NS_NOTFOUND);
    ns_log_close(log);
    CHECK_OK(ns_db_close(db));
}

static void operations_are_given_as_they_were_meant(void **state)
{
    ns_db *db = open_db(NS_HISTORY_ALL, 4096);
    ns_txn *txn;
    ns_log *log;
    ns_keyspace side;
    struct ns_commit commit;
    struct ns_op op;
    size_t pos = 0;
    (void)state;
    put_one(db, "old", "1", NULL);
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    CHECK_OK(ns_txn_keyspace(txn, "side", &side));
    CHECK_OK(ns_txn_put(txn, side, ns_str("s"), ns_str("t")));
    CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("new"), ns_str("2")));
    CHECK_OK(ns_txn_del(txn, NS_MAIN, ns_str("old")));
    CHECK_OK(ns_txn_del_range(txn, NS_MAIN, ns_str("x"), ns_bytes(NULL, 0)));
    CHECK_OK(ns_txn_commit(txn, NULL));
    CHECK_OK(ns_log_open(db, 1, &log));
    CHECK_OK(ns_log_next(log, &commit));
    const struct {
        ns_op_kind kind;
        ns_keyspace keyspace;
        const char *key, *value;
    } wanted[] = {{NS_OP_KEYSPACE_CREATE, side, "side", ""},
                  {NS_OP_DEL_RANGE, NS_MAIN, "x", ""},
                  {NS_OP_PUT, NS_MAIN, "new", "2"},
                  {NS_OP_DEL, NS_MAIN, "old", ""},
                  {NS_OP_PUT, side, "s", "t"}};
    assert_int_equal(commit.op_count, 5);
    for (size_t i = 0; i < 5; i++) {
        CHECK_OK(ns_commit_next_op(&commit, &pos, &op));
        assert_int_equal(op.kind, wanted[i].kind);
        assert_int_equal(op.keyspace, wanted[i].keyspace);
        assert_int_equal(op.key.size, strlen(wanted[i].key));
        assert_memory_equal(op.key.data, wanted[i].key, op.key.size);
        assert_int_equal(op.value.size, strlen(wanted[i].value));
    }
    CHECK_STATUS(ns_commit_next_op(&commit, &pos, &op), NS_NOTFOUND);
    CHECK_STATUS(ns_commit_next_op(&commit, &pos, &op), NS_NOTFOUND);
    ns_log_close(log);
    CHECK_OK(ns_db_close(db));
}

/* Equal changes give equal bodies, whatever the order of the calls (promise 5). */
static void equal_changes_give_equal_bodies(void **state)
{
    (void)state;
    ns_slice bodies[2];
    ns_slice records[2];
    for (size_t i = 0; i < 2; i++) {
        ns_db *db = open_db(NS_HISTORY_ALL, i == 0 ? 4096 : 16384);
        ns_txn *txn;
        put_one(db, "gone", "1", NULL);
        CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
        if (i == 0) {
            CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("a"), ns_str("1")));
            CHECK_OK(ns_txn_del(txn, NS_MAIN, ns_str("gone")));
            CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("b"), ns_str("2")));
        } else {
            CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("b"), ns_str("other")));
            CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("brief"), ns_str("x")));
            CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("b"), ns_str("2")));
            CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("gone"), ns_str("x")));
            CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("a"), ns_str("1")));
            CHECK_OK(ns_txn_del(txn, NS_MAIN, ns_str("gone")));
            CHECK_OK(ns_txn_del(txn, NS_MAIN, ns_str("brief")));
        }
        CHECK_OK(ns_txn_commit(txn, NULL));
        records[i] = copy_record(db, 2);
        bodies[i] = ns_bytes((const uint8_t *)records[i].data + 80, records[i].size - 80);
        CHECK_OK(ns_db_close(db));
    }
    assert_int_equal(bodies[0].size, bodies[1].size);
    assert_memory_equal(bodies[0].data, bodies[1].data, bodies[0].size);
    free((void *)(uintptr_t)records[0].data);
    free((void *)(uintptr_t)records[1].data);
}

/* ---- waiting ---- */

static void *commit_soon(void *argument)
{
    usleep(50000);
    put_one(argument, "late", "1", NULL);
    return NULL;
}

static void waiting_ends_with_a_record_or_in_time(void **state)
{
    ns_db *db = open_db(NS_HISTORY_ALL, 4096);
    ns_log *log;
    struct ns_commit commit;
    pthread_t thread;
    (void)state;
    CHECK_OK(ns_log_open(db, 0, &log));
    CHECK_STATUS(ns_log_wait(log, 0), NS_TIMEOUT);
    CHECK_STATUS(ns_log_wait(log, 30), NS_TIMEOUT);
    assert_int_equal(pthread_create(&thread, NULL, commit_soon, db), 0);
    CHECK_OK(ns_log_wait(log, 20000));
    assert_int_equal(pthread_join(thread, NULL), 0);
    CHECK_OK(ns_log_next(log, &commit));
    put_one(db, "more", "1", NULL);
    CHECK_OK(ns_log_wait(log, UINT32_MAX)); /* it is there already */
    ns_log_close(log);
    CHECK_OK(ns_db_close(db));
}

/* ---- what was recycled ---- */

static void recycled_records_are_gone(void **state)
{
    ns_db *db = open_db(NS_HISTORY_NONE, 4096);
    ns_log *log;
    ns_db_stats_t stats;
    static char value[60000];
    (void)state;
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < 200; i++)
        put_one(db, "k", value, NULL);
    CHECK_OK(ns_db_checkpoint(db));
    put_one(db, "k", "w", NULL);
    CHECK_OK(ns_db_checkpoint(db));
    put_one(db, "k", "x", NULL);
    CHECK_OK(ns_db_checkpoint(db));
    CHECK_STATUS(ns_log_open(db, 0, &log), NS_GONE);
    assert_null(log);
    assert_true(strlen(ns_error_detail()) > 0);
    CHECK_OK(ns_db_stats(db, &stats, sizeof stats));
    assert_true(stats.oldest_log_txn > 1);
    CHECK_OK(ns_log_open(db, stats.oldest_log_txn - 1, &log));
    struct ns_commit commit;
    if (stats.oldest_log_txn <= 202) {
        CHECK_OK(ns_log_next(log, &commit));
        assert_int_equal(commit.txn_id, stats.oldest_log_txn);
    }
    ns_log_close(log);
    CHECK_OK(ns_db_close(db));
}

/* ---- replicas ---- */

static void replicate(ns_db *from, ns_db *to, uint64_t after)
{
    ns_log *log;
    struct ns_commit commit;
    ns_status status;
    CHECK_OK(ns_log_open(from, after, &log));
    while ((status = ns_log_next(log, &commit)) == NS_OK)
        CHECK_OK(ns_log_apply(to, commit.bytes));
    CHECK_STATUS(status, NS_NOTFOUND);
    ns_log_close(log);
}

static void make_history(ns_db *db)
{
    ns_txn *txn;
    ns_keyspace side;
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i % 17);
        put_one(db, key, "value", i % 5 == 0 ? "note" : NULL);
    }
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    CHECK_OK(ns_txn_keyspace(txn, "side", &side));
    CHECK_OK(ns_txn_put(txn, side, ns_str("s"), ns_str("t")));
    CHECK_OK(ns_txn_del_range(txn, NS_MAIN, ns_str("1"), ns_str("2")));
    CHECK_OK(ns_txn_commit(txn, NULL));
}

static void a_replica_follows_and_can_be_followed(void **state)
{
    ns_db *source = open_db(NS_HISTORY_ALL, 4096);
    ns_db *replica = open_db(NS_HISTORY_ALL, 8192);
    ns_db *third = open_db(NS_HISTORY_ALL, 65536);
    (void)state;
    make_history(source);
    replicate(source, replica, 0);
    check_equal(source, replica);
    put_one(source, "more", "x", "y");
    replicate(source, replica, 51);
    check_equal(source, replica);
    replicate(replica, third, 0); /* the replica's log is the source's */
    check_equal(source, third);
    ns_slice a = copy_record(source, 52);
    ns_slice b = copy_record(replica, 52);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    free((void *)(uintptr_t)a.data);
    free((void *)(uintptr_t)b.data);
    put_one(replica, "own", "1", NULL); /* it can go on by itself */
    CHECK_OK(ns_db_close(source));
    CHECK_OK(ns_db_close(replica));
    CHECK_OK(ns_db_close(third));
}

static void the_wrong_record_is_refused(void **state)
{
    ns_db *source = open_db(NS_HISTORY_ALL, 4096);
    ns_db *replica = open_db(NS_HISTORY_ALL, 4096);
    (void)state;
    put_one(source, "a", "1", NULL);
    put_one(source, "b", "2", NULL);
    ns_slice first = copy_record(source, 1);
    ns_slice second = copy_record(source, 2);
    CHECK_STATUS(ns_log_apply(replica, second), NS_INVALID); /* 1 is due */
    assert_non_null(strstr(ns_error_detail(), "1"));
    put_one(replica, "mine", "0", NULL);
    CHECK_STATUS(ns_log_apply(replica, first), NS_INVALID);   /* 2 is due */
    CHECK_STATUS(ns_log_apply(replica, second), NS_CONFLICT); /* of another history */
    CHECK_STATUS(ns_log_apply(replica, ns_bytes(NULL, 0)), NS_INVALID);
    ns_txn *txn;
    CHECK_OK(ns_txn_begin(replica, NS_WRITE, &txn));
    CHECK_STATUS(ns_log_apply(replica, second), NS_BUSY); /* this thread holds the seat */
    ns_txn_abort(txn);
    free((void *)(uintptr_t)first.data);
    free((void *)(uintptr_t)second.data);
    CHECK_OK(ns_db_close(source));
    CHECK_OK(ns_db_close(replica));
}

/* Every byte of the record, changed: never accepted, never a crash, and the replica stays as it
 * was. */
static void a_damaged_record_is_refused(void **state)
{
    ns_db *source = open_db(NS_HISTORY_ALL, 4096);
    ns_db *replica = open_db(NS_HISTORY_ALL, 4096);
    ns_txn *txn;
    struct ns_commit commit;
    (void)state;
    CHECK_OK(ns_txn_begin(source, NS_WRITE, &txn));
    CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("key"), ns_str("a value")));
    CHECK_OK(ns_txn_del_range(txn, NS_MAIN, ns_str("x"), ns_str("y")));
    CHECK_OK(ns_txn_note(txn, ns_str("note")));
    CHECK_OK(ns_txn_commit(txn, NULL));
    ns_slice record = copy_record(source, 1);
    uint8_t *bytes = (uint8_t *)(uintptr_t)record.data;
    for (size_t i = 0; i < record.size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1 << bit);
            ns_status status = ns_log_apply(replica, record);
            if (status == NS_OK) fail_msg("bit %d of byte %zu: accepted", bit, i);
            bytes[i] ^= (uint8_t)(1 << bit);
        }
    }
    for (size_t size = 0; size < record.size; size++) {
        ns_status status = ns_log_apply(replica, ns_bytes(record.data, size));
        assert_int_not_equal(status, NS_OK);
        assert_int_not_equal(ns_commit_parse(ns_bytes(record.data, size), &commit), NS_OK);
    }
    CHECK_OK(ns_commit_parse(record, &commit));
    assert_int_equal(commit.txn_id, 1);
    CHECK_OK(ns_log_apply(replica, record));
    check_equal(source, replica);
    free(bytes);
    CHECK_OK(ns_db_close(source));
    CHECK_OK(ns_db_close(replica));
}

/* A key that the source's pages allow and the replica's do not. */
static void a_record_over_the_replicas_limits_is_refused(void **state)
{
    ns_db *source = open_db(NS_HISTORY_ALL, 65536);
    ns_db *replica = open_db(NS_HISTORY_ALL, 4096);
    static char key[5000];
    (void)state;
    memset(key, 'k', sizeof key - 1);
    put_one(source, key, "v", NULL);
    ns_slice record = copy_record(source, 1);
    CHECK_STATUS(ns_log_apply(replica, record), NS_TOOBIG);
    put_one(replica, "fine", "1", NULL);
    free((void *)(uintptr_t)record.data);
    CHECK_OK(ns_db_close(source));
    CHECK_OK(ns_db_close(replica));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_in_order_with_their_notes),
        cmocka_unit_test(operations_are_given_as_they_were_meant),
        cmocka_unit_test(equal_changes_give_equal_bodies),
        cmocka_unit_test(waiting_ends_with_a_record_or_in_time),
        cmocka_unit_test(recycled_records_are_gone),
        cmocka_unit_test(a_replica_follows_and_can_be_followed),
        cmocka_unit_test(the_wrong_record_is_refused),
        cmocka_unit_test(a_damaged_record_is_refused),
        cmocka_unit_test(a_record_over_the_replicas_limits_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
