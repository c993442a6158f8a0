/* api_answers_test.c: the answers that programs rely on, as agreed: what a transaction sees, ids,
 * empty commits, ranges, keyspaces, views as arguments, the writer's seat. */
#include "harness/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/reference.h"

static ns_db *open_db(void)
{
    ns_db *db;
    ns_options with;
    memset(&with, 0, sizeof with);
    with.flags = NS_IN_MEMORY | NS_NO_THREADS;
    with.busy_timeout_ms = 150;
    CHECK_OK(ns_db_open(NULL, &with, &db));
    return db;
}

static ns_txn *begin(ns_db *db, ns_txn_mode mode)
{
    ns_txn *txn;
    CHECK_OK(ns_txn_begin(db, mode, &txn));
    assert_non_null(txn);
    return txn;
}

static void put(ns_txn *txn, ns_keyspace keyspace, const char *key, const char *value)
{
    CHECK_OK(ns_txn_put(txn, keyspace, ns_str(key), ns_str(value)));
}

static uint64_t commit(ns_txn *txn)
{
    uint64_t id = 0;
    CHECK_OK(ns_txn_commit(txn, &id));
    return id;
}

/* value NULL: must be absent. */
static void check_value(ns_txn *txn, ns_keyspace keyspace, const char *key, const char *value)
{
    ns_slice found = ns_str("left over");
    CHECK_STATUS(ns_txn_get(txn, keyspace, ns_str(key), &found),
                 value != NULL ? NS_OK : NS_NOTFOUND);
    if (value == NULL) {
        assert_null(found.data);
        assert_int_equal(found.size, 0);
    } else {
        assert_int_equal(found.size, strlen(value));
        assert_memory_equal(found.data, value, found.size);
    }
}

/* ---- what is seen ---- */

static void a_snapshot_never_moves(void **state)
{
    ns_db *db = open_db();
    ns_txn *write = begin(db, NS_WRITE);
    (void)state;
    put(write, NS_MAIN, "a", "1");
    ns_txn *before = begin(db, NS_READ);
    check_value(before, NS_MAIN, "a", NULL);
    check_value(write, NS_MAIN, "a", "1"); /* its own changes at once */
    commit(write);
    check_value(before, NS_MAIN, "a", NULL);
    ns_txn *after = begin(db, NS_READ);
    check_value(after, NS_MAIN, "a", "1");
    write = begin(db, NS_WRITE);
    CHECK_OK(ns_txn_del(write, NS_MAIN, ns_str("a")));
    check_value(write, NS_MAIN, "a", NULL);
    commit(write);
    check_value(after, NS_MAIN, "a", "1");
    CHECK_OK(ns_txn_reset(before));
    CHECK_OK(ns_txn_renew(before));
    check_value(before, NS_MAIN, "a", NULL);
    assert_int_equal(ns_txn_id(before), 2);
    ns_txn_abort(before);
    ns_txn_abort(after);
    CHECK_OK(ns_db_close(db));
}

static void an_aborted_transaction_leaves_nothing(void **state)
{
    ns_db *db = open_db();
    ns_txn *txn = begin(db, NS_WRITE);
    ns_keyspace id;
    (void)state;
    put(txn, NS_MAIN, "a", "1");
    CHECK_OK(ns_txn_keyspace(txn, "side", &id));
    ns_txn_abort(txn);
    txn = begin(db, NS_READ);
    check_value(txn, NS_MAIN, "a", NULL);
    CHECK_STATUS(ns_txn_keyspace(txn, "side", &id), NS_NOTFOUND);
    assert_int_equal(ns_txn_id(txn), 0);
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
}

/* ---- ids and times ---- */

static void ids_count_the_transactions_that_changed_something(void **state)
{
    ns_db *db = open_db();
    ns_txn *txn = begin(db, NS_READ);
    (void)state;
    assert_int_equal(commit(txn), 0); /* nothing was ever committed */
    assert_int_equal(commit(begin(db, NS_WRITE)), 0);
    txn = begin(db, NS_WRITE);
    assert_int_equal(ns_txn_id(txn), 0);
    put(txn, NS_MAIN, "a", "1");
    int64_t time = ns_txn_time(txn);
    assert_int_equal(commit(txn), 1);
    txn = begin(db, NS_READ);
    assert_int_equal(ns_txn_id(txn), 1);
    assert_true(ns_txn_time(txn) == time);
    assert_int_equal(commit(txn), 1);
    txn = begin(db, NS_WRITE);
    CHECK_STATUS(ns_txn_del(txn, NS_MAIN, ns_str("absent")), NS_NOTFOUND);
    assert_int_equal(commit(txn), 1); /* nothing was changed */
    txn = begin(db, NS_WRITE);
    CHECK_OK(ns_txn_note(txn, ns_str("a note alone does not make a transaction")));
    assert_int_equal(commit(txn), 1);
    txn = begin(db, NS_WRITE);
    put(txn, NS_MAIN, "a", "1"); /* the same value is a change */
    assert_true(ns_txn_time(txn) >= time);
    assert_int_equal(commit(txn), 2);
    txn = begin(db, NS_WRITE);
    CHECK_OK(ns_txn_del(txn, NS_MAIN, ns_str("a")));
    CHECK_OK(ns_txn_commit(txn, NULL)); /* the id is optional */
    txn = begin(db, NS_READ);
    assert_int_equal(ns_txn_id(txn), 3);
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
}

static void versions_name_the_last_writer(void **state)
{
    ns_db *db = open_db();
    ns_txn *txn = begin(db, NS_WRITE);
    ns_slice value;
    uint64_t version = 9;
    (void)state;
    put(txn, NS_MAIN, "a", "1");
    put(txn, NS_MAIN, "b", "1");
    CHECK_OK(ns_txn_get_version(txn, NS_MAIN, ns_str("a"), &value, &version));
    assert_int_equal(version, 0);
    commit(txn);
    txn = begin(db, NS_WRITE);
    put(txn, NS_MAIN, "b", "2");
    CHECK_OK(ns_txn_get_version(txn, NS_MAIN, ns_str("a"), &value, &version));
    assert_int_equal(version, 1);
    CHECK_OK(ns_txn_get_version(txn, NS_MAIN, ns_str("b"), &value, &version));
    assert_int_equal(version, 0);
    commit(txn);
    txn = begin(db, NS_READ);
    CHECK_OK(ns_txn_get_version(txn, NS_MAIN, ns_str("a"), &value, &version));
    assert_int_equal(version, 1);
    CHECK_OK(ns_txn_get_version(txn, NS_MAIN, ns_str("b"), &value, &version));
    assert_int_equal(version, 2);
    CHECK_STATUS(ns_txn_get_version(txn, NS_MAIN, ns_str("c"), &value, &version), NS_NOTFOUND);
    assert_int_equal(version, 0);
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
}

/* ---- changing ---- */

static void insert_put_and_del_answer_as_agreed(void **state)
{
    ns_db *db = open_db();
    ns_txn *txn = begin(db, NS_WRITE);
    (void)state;
    CHECK_OK(ns_txn_insert(txn, NS_MAIN, ns_str("a"), ns_str("1")));
    CHECK_STATUS(ns_txn_insert(txn, NS_MAIN, ns_str("a"), ns_str("2")), NS_EXISTS);
    check_value(txn, NS_MAIN, "a", "1");
    CHECK_OK(ns_txn_del(txn, NS_MAIN, ns_str("a")));
    CHECK_STATUS(ns_txn_del(txn, NS_MAIN, ns_str("a")), NS_NOTFOUND);
    CHECK_OK(ns_txn_insert(txn, NS_MAIN, ns_str("a"), ns_bytes(NULL, 0)));
    check_value(txn, NS_MAIN, "a", "");
    commit(txn);
    txn = begin(db, NS_WRITE);
    CHECK_STATUS(ns_txn_insert(txn, NS_MAIN, ns_str("a"), ns_str("2")), NS_EXISTS);
    CHECK_OK(ns_txn_del_range(txn, NS_MAIN, ns_str("a"), ns_str("b")));
    CHECK_OK(ns_txn_insert(txn, NS_MAIN, ns_str("a"), ns_str("3")));
    CHECK_STATUS(ns_txn_put(txn, 12345, ns_str("a"), ns_str("1")), NS_NOTFOUND);
    CHECK_STATUS(ns_txn_del(txn, 12345, ns_str("a")), NS_NOTFOUND);
    CHECK_STATUS(ns_txn_del_range(txn, 12345, ns_str("a"), ns_str("b")), NS_NOTFOUND);
    commit(txn);
    txn = begin(db, NS_READ);
    check_value(txn, NS_MAIN, "a", "3");
    ns_slice value;
    CHECK_STATUS(ns_txn_get(txn, 12345, ns_str("a"), &value), NS_NOTFOUND);
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
}

static void fill_letters(ns_txn *txn)
{
    for (char letter = 'a'; letter <= 'j'; letter++) {
        char key[2] = {letter, '\0'};
        put(txn, NS_MAIN, key, key);
    }
}

static void check_letters(ns_txn *txn, const char *letters)
{
    ns_cursor *cursor;
    CHECK_OK(ns_cursor_open(txn, NS_MAIN, &cursor));
    for (const char *letter = letters; *letter != '\0'; letter++) {
        CHECK_OK(ns_cursor_next(cursor));
        assert_int_equal(ns_cursor_key(cursor).size, 1);
        assert_memory_equal(ns_cursor_key(cursor).data, letter, 1);
    }
    CHECK_STATUS(ns_cursor_next(cursor), NS_NOTFOUND);
    ns_cursor_close(cursor);
}

static void ranges_are_half_open_and_open_ended(void **state)
{
    const struct {
        const char *from, *to, *left;
    } rows[] = {
        {"c", "f", "abfghij"},     {"", "c", "cdefghij"},
        {"h", "", "abcdefg"},      {"", "", ""},
        {"bb", "cc", "abdefghij"}, {"j", "z", "abcdefghi"},
        {"k", "z", "abcdefghij"},  {"c", "c", "abcdefghij"},
        {"f", "c", "abcdefghij"},  {"0", "a", "abcdefghij"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ns_db *db = open_db();
        ns_txn *txn = begin(db, NS_WRITE);
        fill_letters(txn);
        commit(txn);
        txn = begin(db, NS_WRITE);
        CHECK_OK(ns_txn_del_range(txn, NS_MAIN, ns_str(rows[i].from), ns_str(rows[i].to)));
        check_letters(txn, rows[i].left);
        commit(txn);
        txn = begin(db, NS_READ);
        check_letters(txn, rows[i].left);
        ns_txn_abort(txn);
        CHECK_OK(ns_db_close(db));
    }
}

static void arguments_may_be_views_of_the_same_transaction(void **state)
{
    ns_db *db = open_db();
    ns_txn *txn = begin(db, NS_WRITE);
    ns_slice value;
    char big[9000];
    (void)state;
    memset(big, 'b', sizeof big);
    put(txn, NS_MAIN, "small", "value");
    CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("big"), ns_bytes(big, sizeof big)));
    for (int round = 0; round < 2; round++) { /* from the write set, then from the tree */
        CHECK_OK(ns_txn_get(txn, NS_MAIN, ns_str("small"), &value));
        CHECK_OK(ns_txn_put(txn, NS_MAIN, value, value));
        check_value(txn, NS_MAIN, "value", "value");
        CHECK_OK(ns_txn_get(txn, NS_MAIN, ns_str("big"), &value));
        CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("big"), ns_bytes(value.data, 8999)));
        CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("big"), ns_bytes(big, sizeof big)));
        CHECK_OK(ns_txn_get(txn, NS_MAIN, ns_str("value"), &value));
        CHECK_OK(ns_txn_del(txn, NS_MAIN, value));
        check_value(txn, NS_MAIN, "value", NULL);
        commit(txn);
        txn = begin(db, NS_WRITE);
    }
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
}

static void get_many_answers_each_key(void **state)
{
    static char too_long[2000];
    ns_db *db = open_db();
    ns_txn *txn = begin(db, NS_WRITE);
    ns_slice values[6];
    ns_status statuses[6];
    const ns_slice keys[6] = {ns_str("z"), ns_str("b"),       ns_str("absent"),
                              ns_str("a"), ns_bytes(NULL, 0), ns_bytes(too_long, sizeof too_long)};
    const ns_status wanted[6] = {NS_NOTFOUND, NS_OK, NS_NOTFOUND, NS_OK, NS_INVALID, NS_TOOBIG};
    (void)state;
    fill_letters(txn);
    for (int round = 0; round < 2; round++) {
        memset(values, 0xff, sizeof values);
        CHECK_OK(ns_txn_get_many(txn, NS_MAIN, 6, keys, values, statuses));
        for (size_t i = 0; i < 6; i++) {
            assert_int_equal(statuses[i], wanted[i]);
            assert_int_equal(values[i].size, wanted[i] == NS_OK ? 1 : 0);
            if (wanted[i] != NS_OK) assert_null(values[i].data);
        }
        CHECK_OK(ns_txn_get_many(txn, NS_MAIN, 0, NULL, NULL, NULL));
        commit(txn);
        txn = begin(db, NS_READ);
    }
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
}

/* ---- keyspaces ---- */

static int join_name(void *ctx, const char *name, ns_keyspace keyspace)
{
    char *list = ctx;
    (void)keyspace;
    strcat(list, name);
    strcat(list, ",");
    return strcmp(name, "stop") == 0;
}

static void keyspaces_are_created_listed_and_dropped(void **state)
{
    ns_db *db = open_db();
    ns_txn *txn = begin(db, NS_WRITE);
    ns_keyspace b;
    ns_keyspace again;
    char list[100] = "";
    (void)state;
    CHECK_OK(ns_txn_keyspace(txn, "b", &b));
    CHECK_OK(ns_txn_keyspace(txn, "b", &again));
    assert_int_equal(b, again);
    assert_int_not_equal(b, NS_MAIN);
    put(txn, b, "k", "in b");
    put(txn, NS_MAIN, "k", "in main");
    CHECK_OK(ns_txn_keyspace(txn, "a", &again));
    CHECK_OK(ns_txn_keyspace_list(txn, join_name, list));
    assert_string_equal(list, "a,b,");
    commit(txn);
    txn = begin(db, NS_WRITE);
    check_value(txn, b, "k", "in b");
    CHECK_OK(ns_txn_keyspace_drop(txn, "b"));
    check_value(txn, b, "k", NULL);
    CHECK_STATUS(ns_txn_put(txn, b, ns_str("k"), ns_str("v")), NS_NOTFOUND);
    CHECK_STATUS(ns_txn_keyspace_drop(txn, "b"), NS_NOTFOUND);
    CHECK_OK(ns_txn_keyspace(txn, "b", &again)); /* empty, under the same id */
    assert_int_equal(again, b);
    check_value(txn, b, "k", NULL);
    put(txn, b, "new", "1");
    commit(txn);
    txn = begin(db, NS_READ);
    check_value(txn, b, "k", NULL);
    check_value(txn, b, "new", "1");
    check_value(txn, NS_MAIN, "k", "in main");
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
}

static void created_and_dropped_in_one_transaction_is_nothing(void **state)
{
    ns_db *db = open_db();
    ns_txn *txn = begin(db, NS_WRITE);
    ns_keyspace id;
    (void)state;
    CHECK_OK(ns_txn_keyspace(txn, "brief", &id));
    put(txn, id, "k", "v");
    CHECK_OK(ns_txn_keyspace_drop(txn, "brief"));
    assert_int_equal(commit(txn), 0);
    txn = begin(db, NS_WRITE);
    put(txn, NS_MAIN, "k", "v");
    CHECK_OK(ns_txn_del(txn, NS_MAIN, ns_str("k")));
    assert_int_equal(commit(txn), 0);
    CHECK_OK(ns_db_close(db));
}

static void a_listing_stops_when_asked(void **state)
{
    ns_db *db = open_db();
    ns_txn *txn = begin(db, NS_WRITE);
    ns_keyspace id;
    char list[100] = "";
    (void)state;
    CHECK_OK(ns_txn_keyspace(txn, "a", &id));
    CHECK_OK(ns_txn_keyspace(txn, "stop", &id));
    CHECK_OK(ns_txn_keyspace(txn, "z", &id));
    CHECK_OK(ns_txn_keyspace_list(txn, join_name, list));
    assert_string_equal(list, "a,stop,");
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
}

/* ---- the state hash ---- */

static void the_state_hash_is_that_of_the_specification(void **state)
{
    ns_db *db = open_db();
    struct ref_state *wanted = ref_state_new();
    char text[REF_TEXT_BYTES] = "";
    ns_keyspace id;
    ns_txn *txn = begin(db, NS_READ);
    (void)state;
    assert_true(ref_check_hash(txn, wanted, text)); /* empty */
    ns_txn_abort(txn);
    txn = begin(db, NS_WRITE);
    CHECK_OK(ns_txn_keyspace(txn, "side", &id));
    ref_state_create(wanted, "side", id);
    for (int i = 0; i < 500; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i * 7919);
        ns_keyspace keyspace = i % 3 == 0 ? id : NS_MAIN;
        put(txn, keyspace, key, key);
        ref_put(wanted, keyspace, ns_str(key), ns_str(key));
    }
    if (!ref_check_hash(txn, wanted, text)) fail_msg("uncommitted: %s", text);
    commit(txn);
    txn = begin(db, NS_READ);
    if (!ref_check_hash(txn, wanted, text)) fail_msg("committed: %s", text);
    ns_txn_abort(txn);
    ref_state_release(wanted);
    CHECK_OK(ns_db_close(db));
}

/* ---- the writer's seat ---- */

struct waiter {
    ns_db *db;
    ns_status status;
    double seconds;
};

static void *wait_for_seat(void *argument)
{
    struct waiter *waiter = argument;
    struct timespec begin_time;
    struct timespec end_time;
    ns_txn *txn;
    clock_gettime(CLOCK_MONOTONIC, &begin_time);
    waiter->status = ns_txn_begin(waiter->db, NS_WRITE, &txn);
    clock_gettime(CLOCK_MONOTONIC, &end_time);
    waiter->seconds = (double)(end_time.tv_sec - begin_time.tv_sec) +
                      (double)(end_time.tv_nsec - begin_time.tv_nsec) * 1e-9;
    if (waiter->status == NS_OK) ns_txn_abort(txn);
    return NULL;
}

static void a_second_writer_waits_and_then_is_told(void **state)
{
    ns_db *db = open_db();
    struct waiter waiter = {db, NS_OK, 0};
    pthread_t thread;
    ns_txn *holder = begin(db, NS_WRITE);
    ns_txn *mine = holder;
    (void)state;
    CHECK_STATUS(ns_txn_begin(db, NS_WRITE, &mine),
                 NS_BUSY); /* at once: it would wait for itself */
    assert_null(mine);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_seat, &waiter), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waiter.status, NS_BUSY);
    assert_true(waiter.seconds > 0.1 && waiter.seconds < 30);
    CHECK_STATUS(ns_db_checkpoint(db), NS_BUSY);
    ns_txn_abort(holder);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_seat, &waiter), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waiter.status, NS_OK);
    CHECK_OK(ns_db_checkpoint(db));
    CHECK_OK(ns_db_close(db));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_never_moves),
        cmocka_unit_test(an_aborted_transaction_leaves_nothing),
        cmocka_unit_test(ids_count_the_transactions_that_changed_something),
        cmocka_unit_test(versions_name_the_last_writer),
        cmocka_unit_test(insert_put_and_del_answer_as_agreed),
        cmocka_unit_test(ranges_are_half_open_and_open_ended),
        cmocka_unit_test(arguments_may_be_views_of_the_same_transaction),
        cmocka_unit_test(get_many_answers_each_key),
        cmocka_unit_test(keyspaces_are_created_listed_and_dropped),
        cmocka_unit_test(created_and_dropped_in_one_transaction_is_nothing),
        cmocka_unit_test(a_listing_stops_when_asked),
        cmocka_unit_test(the_state_hash_is_that_of_the_specification),
        cmocka_unit_test(a_second_writer_waits_and_then_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
