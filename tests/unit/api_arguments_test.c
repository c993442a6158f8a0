/* api_arguments_test.c: what a caller may get wrong, function by function, and the answer to it.
 * Wrong use is NS_INVALID, never a crash, and leaves the outputs harmless and the database as it
 * was. */
#include "harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <northstar/log.h>

struct fixture {
    ns_db *db;
    ns_txn *write, *read;
    ns_keyspace side;
};

static void open_fixture(struct fixture *f)
{
    ns_options with;
    memset(&with, 0, sizeof with);
    with.flags = NS_IN_MEMORY | NS_NO_THREADS;
    CHECK_OK(ns_db_open(NULL, &with, &f->db));
    CHECK_OK(ns_txn_begin(f->db, NS_WRITE, &f->write));
    CHECK_OK(ns_txn_put(f->write, NS_MAIN, ns_str("k"), ns_str("v")));
    CHECK_OK(ns_txn_keyspace(f->write, "side", &f->side));
    CHECK_OK(ns_txn_put(f->write, f->side, ns_str("s"), ns_str("t")));
    CHECK_OK(ns_txn_commit(f->write, NULL));
    CHECK_OK(ns_txn_begin(f->db, NS_WRITE, &f->write));
    CHECK_OK(ns_txn_begin(f->db, NS_READ, &f->read));
}

static void close_fixture(struct fixture *f)
{
    ns_txn_abort(f->write);
    ns_txn_abort(f->read);
    CHECK_OK(ns_db_close(f->db));
}

static int ignore_reader(void *ctx, const ns_reader *reader)
{
    (void)ctx;
    (void)reader;
    return 0;
}

static int ignore_keyspace(void *ctx, const char *name, ns_keyspace keyspace)
{
    (void)ctx;
    (void)name;
    (void)keyspace;
    return 0;
}

/* ---- NULL ---- */

static void null_handles_are_invalid(void **state)
{
    ns_db *db = NULL;
    ns_txn *txn = NULL;
    ns_db_stats_t stats;
    ns_log *log = NULL;
    (void)state;
    CHECK_STATUS(ns_db_open("x", NULL, NULL), NS_INVALID);
    CHECK_STATUS(ns_db_open(NULL, NULL, &db), NS_INVALID);
    assert_null(db);
    CHECK_STATUS(ns_db_close(NULL), NS_INVALID);
    CHECK_STATUS(ns_db_checkpoint(NULL), NS_INVALID);
    CHECK_STATUS(ns_db_readers(NULL, ignore_reader, NULL), NS_INVALID);
    CHECK_STATUS(ns_db_stats(NULL, &stats, sizeof stats), NS_INVALID);
    CHECK_STATUS(ns_db_verify(NULL, NULL, NULL, NULL), NS_INVALID);
    CHECK_STATUS(ns_txn_begin(NULL, NS_READ, &txn), NS_INVALID);
    assert_null(txn);
    CHECK_STATUS(ns_log_open(NULL, 0, &log), NS_INVALID);
    assert_null(log);
    CHECK_STATUS(ns_log_apply(NULL, ns_str("record")), NS_INVALID);
    CHECK_STATUS(ns_log_next(NULL, NULL), NS_INVALID);
    CHECK_STATUS(ns_log_wait(NULL, 0), NS_INVALID);
    ns_log_close(NULL);
    ns_txn_abort(NULL);
    ns_cursor_close(NULL);
    assert_int_equal(ns_txn_id(NULL), 0);
    assert_int_equal(ns_txn_time(NULL), 0);
}

static void null_transactions_are_invalid(void **state)
{
    ns_slice value = ns_str("left over");
    uint64_t id = 7;
    uint32_t savepoint = 7;
    ns_keyspace keyspace = 7;
    ns_cursor *cursor = NULL;
    uint8_t hash[16];
    ns_status status = NS_OK;
    ns_slice key = ns_str("k");
    (void)state;
    CHECK_STATUS(ns_txn_commit(NULL, &id), NS_INVALID);
    CHECK_STATUS(ns_txn_reset(NULL), NS_INVALID);
    CHECK_STATUS(ns_txn_renew(NULL), NS_INVALID);
    CHECK_STATUS(ns_txn_note(NULL, ns_str("n")), NS_INVALID);
    CHECK_STATUS(ns_txn_get(NULL, NS_MAIN, key, &value), NS_INVALID);
    assert_null(value.data);
    CHECK_STATUS(ns_txn_get_many(NULL, NS_MAIN, 1, &key, &value, &status), NS_INVALID);
    CHECK_STATUS(ns_txn_get_version(NULL, NS_MAIN, key, &value, &id), NS_INVALID);
    CHECK_STATUS(ns_txn_put(NULL, NS_MAIN, key, key), NS_INVALID);
    CHECK_STATUS(ns_txn_insert(NULL, NS_MAIN, key, key), NS_INVALID);
    CHECK_STATUS(ns_txn_del(NULL, NS_MAIN, key), NS_INVALID);
    CHECK_STATUS(ns_txn_del_range(NULL, NS_MAIN, key, key), NS_INVALID);
    CHECK_STATUS(ns_txn_keyspace(NULL, "a", &keyspace), NS_INVALID);
    CHECK_STATUS(ns_txn_keyspace_drop(NULL, "a"), NS_INVALID);
    CHECK_STATUS(ns_txn_keyspace_list(NULL, ignore_keyspace, NULL), NS_INVALID);
    CHECK_STATUS(ns_txn_state_hash(NULL, hash), NS_INVALID);
    CHECK_STATUS(ns_cursor_open(NULL, NS_MAIN, &cursor), NS_INVALID);
    assert_null(cursor);
    ns_status savepoint_status = ns_txn_savepoint(NULL, &savepoint);
    assert_true(savepoint_status == NS_INVALID || savepoint_status == NS_UNSUPPORTED);
}

static void null_cursors_are_invalid(void **state)
{
    ns_slice key = ns_str("left over");
    ns_slice value = ns_str("left over");
    (void)state;
    CHECK_STATUS(ns_cursor_first(NULL), NS_INVALID);
    CHECK_STATUS(ns_cursor_last(NULL), NS_INVALID);
    CHECK_STATUS(ns_cursor_next(NULL), NS_INVALID);
    CHECK_STATUS(ns_cursor_prev(NULL), NS_INVALID);
    CHECK_STATUS(ns_cursor_seek(NULL, ns_str("k")), NS_INVALID);
    CHECK_STATUS(ns_cursor_seek_exact(NULL, ns_str("k")), NS_INVALID);
    CHECK_STATUS(ns_cursor_seek_before(NULL, ns_str("k")), NS_INVALID);
    CHECK_STATUS(ns_cursor_bounds(NULL, ns_str("k"), ns_str("l")), NS_INVALID);
    CHECK_STATUS(ns_cursor_prefix(NULL, ns_str("k")), NS_INVALID);
    CHECK_STATUS(ns_cursor_get(NULL, &key, &value), NS_INVALID);
    assert_null(key.data);
    assert_null(value.data);
    assert_null(ns_cursor_key(NULL).data);
    assert_null(ns_cursor_value(NULL).data);
}

static void null_outputs_are_invalid(void **state)
{
    struct fixture f;
    ns_slice key = ns_str("k");
    (void)state;
    open_fixture(&f);
    CHECK_STATUS(ns_txn_begin(f.db, NS_READ, NULL), NS_INVALID);
    CHECK_STATUS(ns_txn_get(f.read, NS_MAIN, key, NULL), NS_INVALID);
    CHECK_STATUS(ns_txn_get_many(f.read, NS_MAIN, 1, &key, NULL, NULL), NS_INVALID);
    CHECK_STATUS(ns_txn_get_many(f.read, NS_MAIN, 1, NULL, NULL, NULL), NS_INVALID);
    CHECK_STATUS(ns_txn_keyspace(f.write, "a", NULL), NS_INVALID);
    CHECK_STATUS(ns_txn_keyspace_list(f.read, NULL, NULL), NS_INVALID);
    CHECK_STATUS(ns_txn_state_hash(f.read, NULL), NS_INVALID);
    CHECK_STATUS(ns_cursor_open(f.read, NS_MAIN, NULL), NS_INVALID);
    CHECK_STATUS(ns_db_stats(f.db, NULL, 8), NS_INVALID);
    CHECK_STATUS(ns_db_readers(f.db, NULL, NULL), NS_INVALID);
    CHECK_STATUS(ns_log_open(f.db, 0, NULL), NS_INVALID);
    close_fixture(&f);
}

static void null_bytes_with_a_size_are_invalid(void **state)
{
    struct fixture f;
    ns_slice bad = ns_bytes(NULL, 3);
    ns_slice good = ns_str("k");
    ns_slice value = ns_str("left over");
    ns_cursor *cursor;
    (void)state;
    open_fixture(&f);
    CHECK_STATUS(ns_txn_get(f.read, NS_MAIN, bad, &value), NS_INVALID);
    assert_null(value.data);
    CHECK_STATUS(ns_txn_put(f.write, NS_MAIN, bad, good), NS_INVALID);
    CHECK_STATUS(ns_txn_put(f.write, NS_MAIN, good, bad), NS_INVALID);
    CHECK_STATUS(ns_txn_insert(f.write, NS_MAIN, ns_str("new"), bad), NS_INVALID);
    CHECK_STATUS(ns_txn_del(f.write, NS_MAIN, bad), NS_INVALID);
    CHECK_STATUS(ns_txn_del_range(f.write, NS_MAIN, bad, good), NS_INVALID);
    CHECK_STATUS(ns_txn_del_range(f.write, NS_MAIN, good, bad), NS_INVALID);
    CHECK_STATUS(ns_txn_note(f.write, bad), NS_INVALID);
    CHECK_STATUS(ns_txn_keyspace_drop(f.write, NULL), NS_INVALID);
    CHECK_OK(ns_cursor_open(f.read, NS_MAIN, &cursor));
    CHECK_STATUS(ns_cursor_seek(cursor, bad), NS_INVALID);
    CHECK_STATUS(ns_cursor_seek_exact(cursor, bad), NS_INVALID);
    CHECK_STATUS(ns_cursor_seek_before(cursor, bad), NS_INVALID);
    CHECK_STATUS(ns_cursor_bounds(cursor, bad, good), NS_INVALID);
    CHECK_STATUS(ns_cursor_prefix(cursor, bad), NS_INVALID);
    ns_cursor_close(cursor);
    close_fixture(&f);
}

/* ---- the wrong mode, the wrong time ---- */

static void changes_through_a_read_transaction_are_invalid(void **state)
{
    struct fixture f;
    ns_keyspace id = 9;
    (void)state;
    open_fixture(&f);
    CHECK_STATUS(ns_txn_put(f.read, NS_MAIN, ns_str("a"), ns_str("b")), NS_INVALID);
    CHECK_STATUS(ns_txn_insert(f.read, NS_MAIN, ns_str("a"), ns_str("b")), NS_INVALID);
    CHECK_STATUS(ns_txn_del(f.read, NS_MAIN, ns_str("k")), NS_INVALID);
    CHECK_STATUS(ns_txn_del_range(f.read, NS_MAIN, ns_str("a"), ns_str("z")), NS_INVALID);
    CHECK_STATUS(ns_txn_keyspace_drop(f.read, "side"), NS_INVALID);
    CHECK_STATUS(ns_txn_keyspace(f.read, "absent", &id), NS_NOTFOUND);
    CHECK_OK(ns_txn_keyspace(f.read, "side", &id));
    assert_int_equal(id, f.side);
    CHECK_STATUS(ns_txn_note(f.read, ns_str("n")), NS_INVALID);
    CHECK_STATUS(ns_txn_reset(f.write), NS_INVALID);
    CHECK_STATUS(ns_txn_renew(f.write), NS_INVALID);
    CHECK_OK(ns_txn_renew(f.read)); /* parked or not */
    ns_txn *txn = f.read;
    CHECK_STATUS(ns_txn_begin(f.db, 0, &txn), NS_INVALID);
    assert_null(txn);
    txn = f.read;
    CHECK_STATUS(ns_txn_begin(f.db, 99, &txn), NS_INVALID);
    assert_null(txn);
    close_fixture(&f);
}

static void a_parked_transaction_reads_nothing(void **state)
{
    struct fixture f;
    ns_slice value;
    ns_cursor *cursor;
    uint8_t hash[16];
    (void)state;
    open_fixture(&f);
    CHECK_OK(ns_cursor_open(f.read, NS_MAIN, &cursor));
    CHECK_OK(ns_cursor_first(cursor));
    CHECK_OK(ns_txn_reset(f.read));
    CHECK_STATUS(ns_txn_get(f.read, NS_MAIN, ns_str("k"), &value), NS_INVALID);
    CHECK_STATUS(ns_txn_state_hash(f.read, hash), NS_INVALID);
    CHECK_STATUS(ns_txn_keyspace_list(f.read, ignore_keyspace, NULL), NS_INVALID);
    CHECK_STATUS(ns_cursor_next(cursor), NS_INVALID);
    assert_null(ns_cursor_key(cursor).data);
    ns_cursor *second = cursor;
    CHECK_STATUS(ns_cursor_open(f.read, NS_MAIN, &second), NS_INVALID);
    assert_null(second);
    CHECK_OK(ns_txn_renew(f.read));
    CHECK_OK(ns_txn_get(f.read, NS_MAIN, ns_str("k"), &value));
    CHECK_STATUS(ns_cursor_next(cursor), NS_INVALID); /* detached for good */
    ns_cursor_close(cursor);
    close_fixture(&f);
}

/* A finished transaction must not be used; while nobody began another, it is still recognised. */
static void an_ended_transaction_is_invalid(void **state)
{
    struct fixture f;
    ns_slice value;
    uint64_t id = 5;
    ns_cursor *cursor;
    (void)state;
    open_fixture(&f);
    CHECK_OK(ns_cursor_open(f.read, NS_MAIN, &cursor));
    CHECK_OK(ns_cursor_first(cursor));
    ns_txn_abort(f.read);
    CHECK_STATUS(ns_txn_get(f.read, NS_MAIN, ns_str("k"), &value), NS_INVALID);
    CHECK_STATUS(ns_txn_commit(f.read, &id), NS_INVALID);
    assert_int_equal(id, 0);
    CHECK_STATUS(ns_cursor_first(cursor), NS_INVALID);
    CHECK_STATUS(ns_cursor_seek(cursor, ns_str("k")), NS_INVALID);
    CHECK_STATUS(ns_cursor_bounds(cursor, ns_str("a"), ns_str("b")), NS_INVALID);
    CHECK_STATUS(ns_cursor_get(cursor, &value, &value), NS_INVALID);
    assert_null(ns_cursor_key(cursor).data);
    assert_null(ns_cursor_value(cursor).data);
    ns_cursor_close(cursor);
    CHECK_OK(ns_txn_commit(f.write, NULL));
    CHECK_STATUS(ns_txn_put(f.write, NS_MAIN, ns_str("a"), ns_str("b")), NS_INVALID);
    CHECK_STATUS(ns_txn_commit(f.write, NULL), NS_INVALID);
    CHECK_OK(ns_db_close(f.db));
}

/* ---- limits ---- */

static void check_key_limits(uint32_t page_size)
{
    ns_options with;
    ns_db *db;
    ns_txn *txn;
    ns_slice value;
    size_t max = page_size / 4;
    char *bytes = malloc(max + 1);
    const struct {
        size_t size;
        ns_status wanted;
    } rows[] = {{0, NS_INVALID}, {1, NS_OK}, {max - 1, NS_OK}, {max, NS_OK}, {max + 1, NS_TOOBIG}};
    assert_non_null(bytes);
    memset(bytes, 'k', max + 1);
    memset(&with, 0, sizeof with);
    with.flags = NS_IN_MEMORY | NS_NO_THREADS;
    with.page_size = page_size;
    CHECK_OK(ns_db_open(NULL, &with, &db));
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ns_slice key = ns_bytes(bytes, rows[i].size);
        CHECK_STATUS(ns_txn_put(txn, NS_MAIN, key, ns_str("v")), rows[i].wanted);
        CHECK_STATUS(ns_txn_get(txn, NS_MAIN, key, &value), rows[i].wanted);
        CHECK_STATUS(ns_txn_insert(txn, NS_MAIN, key, value),
                     rows[i].wanted == NS_OK ? NS_EXISTS : rows[i].wanted);
        CHECK_STATUS(ns_txn_del(txn, NS_MAIN, key), rows[i].wanted);
        CHECK_STATUS(ns_txn_put(txn, NS_MAIN, key, ns_str("v")), rows[i].wanted);
    }
    CHECK_OK(ns_txn_commit(txn, NULL));
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    for (size_t i = 1; i < 4; i++) {
        CHECK_OK(ns_txn_get(txn, NS_MAIN, ns_bytes(bytes, rows[i].size), &value));
    }
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
    free(bytes);
}

static void keys_have_one_byte_to_a_quarter_of_the_page(void **state)
{
    (void)state;
    for (uint32_t page_size = 4096; page_size <= 65536; page_size *= 2)
        check_key_limits(page_size);
}

static void values_reach_64_mebibytes_and_stop_at_4_gibibytes(void **state)
{
    const size_t sizes[] = {0,    1,     2000,    2028,    4096,           4097,
                            8192, 65536, 1000003, 1 << 24, (64 << 20) - 1, 64 << 20};
    ns_options with;
    ns_db *db;
    ns_txn *txn;
    ns_slice value;
    uint8_t *bytes = malloc(64 << 20);
    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < 64 << 20; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    memset(&with, 0, sizeof with);
    with.flags = NS_IN_MEMORY | NS_NO_THREADS;
    with.history = NS_HISTORY_NONE;
    CHECK_OK(ns_db_open(NULL, &with, &db));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
        CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("k"), ns_bytes(bytes, sizes[i])));
        CHECK_OK(ns_txn_commit(txn, NULL));
        CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
        CHECK_OK(ns_txn_get(txn, NS_MAIN, ns_str("k"), &value));
        assert_int_equal(value.size, sizes[i]);
        assert_true(sizes[i] == 0 || memcmp(value.data, bytes, sizes[i]) == 0);
        ns_txn_abort(txn);
    }
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    if (sizeof(size_t) > 4) { /* refused before a byte of it is read */
        ns_slice huge = ns_bytes(bytes, (size_t)UINT32_MAX + 1);
        CHECK_STATUS(ns_txn_put(txn, NS_MAIN, ns_str("k"), huge), NS_TOOBIG);
        CHECK_STATUS(ns_txn_insert(txn, NS_MAIN, ns_str("new"), huge), NS_TOOBIG);
    }
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
    free(bytes);
}

static void names_and_notes_have_limits(void **state)
{
    struct fixture f;
    char name[300];
    ns_keyspace id = 9;
    static uint8_t note[65536];
    (void)state;
    open_fixture(&f);
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    CHECK_STATUS(ns_txn_keyspace(f.write, name, &id), NS_TOOBIG);
    assert_int_equal(id, 0);
    name[255] = '\0';
    CHECK_OK(ns_txn_keyspace(f.write, name, &id));
    CHECK_OK(ns_txn_keyspace_drop(f.write, name));
    CHECK_STATUS(ns_txn_keyspace_drop(f.write, name), NS_NOTFOUND);
    CHECK_STATUS(ns_txn_keyspace(f.write, "", &id), NS_INVALID);
    CHECK_STATUS(ns_txn_keyspace(f.write, NULL, &id), NS_INVALID);
    CHECK_STATUS(ns_txn_keyspace_drop(f.write, ""), NS_INVALID);
    CHECK_STATUS(ns_txn_note(f.write, ns_bytes(note, 65536)), NS_TOOBIG);
    CHECK_OK(ns_txn_note(f.write, ns_bytes(note, 65535)));
    close_fixture(&f);
}

/* ---- what this version does not have ---- */

static void what_is_missing_says_so(void **state)
{
    struct fixture f;
    ns_txn *txn;
    uint32_t savepoint = 1;
    uint64_t freed = 1;
    ns_options with;
    ns_db *db = NULL;
    (void)state;
    open_fixture(&f);
    txn = f.read;
    CHECK_STATUS(ns_txn_begin(f.db, NS_OPTIMISTIC, &txn), NS_UNSUPPORTED);
    assert_null(txn);
    CHECK_STATUS(ns_txn_begin_as_of(f.db, 1, &txn), NS_UNSUPPORTED);
    assert_null(txn);
    CHECK_STATUS(ns_txn_begin_as_of_time(f.db, 1, &txn), NS_UNSUPPORTED);
    CHECK_STATUS(ns_txn_set_sync(f.write, NS_SYNC_OFF), NS_UNSUPPORTED);
    CHECK_STATUS(ns_txn_savepoint(f.write, &savepoint), NS_UNSUPPORTED);
    CHECK_STATUS(ns_txn_rollback_to(f.write, 0), NS_UNSUPPORTED);
    CHECK_STATUS(ns_db_wait_durable(f.db, 1, 0), NS_UNSUPPORTED);
    CHECK_STATUS(ns_db_backup(f.db, "copy.ns", NULL), NS_UNSUPPORTED);
    CHECK_STATUS(ns_db_compact(f.db, 1, &freed), NS_UNSUPPORTED);
    memset(&with, 0, sizeof with);
    with.flags = NS_IN_MEMORY;
    with.sync = NS_SYNC_LAZY;
    CHECK_STATUS(ns_db_open(NULL, &with, &db), NS_UNSUPPORTED);
    assert_null(db);
    assert_true(strlen(ns_error_detail()) > 0);
    close_fixture(&f);
}

/* ---- statuses and details ---- */

static void every_status_has_a_name_and_a_text(void **state)
{
    (void)state;
#define CHECK_NAME(name, value, text)                                                              \
    assert_int_equal(name, value);                                                                 \
    assert_string_equal(ns_status_name(name), #name);                                              \
    assert_string_equal(ns_status_text(name), text);
    NS_STATUS_TABLE(CHECK_NAME)
#undef CHECK_NAME
    assert_string_equal(ns_status_name((ns_status)999), "NS_?");
    assert_string_equal(ns_status_text((ns_status)999), "unknown status");
}

static void not_found_leaves_the_detail_alone(void **state)
{
    struct fixture f;
    ns_slice value;
    char before[600];
    (void)state;
    open_fixture(&f);
    CHECK_STATUS(ns_txn_put(f.read, NS_MAIN, ns_str("a"), ns_str("b")), NS_INVALID);
    snprintf(before, sizeof before, "%s", ns_error_detail());
    assert_true(strlen(before) > 0);
    CHECK_STATUS(ns_txn_get(f.read, NS_MAIN, ns_str("absent"), &value), NS_NOTFOUND);
    CHECK_STATUS(ns_txn_del(f.write, NS_MAIN, ns_str("absent")), NS_NOTFOUND);
    assert_string_equal(ns_error_detail(), before);
    ns_slice key;
    uint64_t id;
    CHECK_STATUS(ns_error_conflict(&key, &id), NS_NOTFOUND);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_handles_are_invalid),
        cmocka_unit_test(null_transactions_are_invalid),
        cmocka_unit_test(null_cursors_are_invalid),
        cmocka_unit_test(null_outputs_are_invalid),
        cmocka_unit_test(null_bytes_with_a_size_are_invalid),
        cmocka_unit_test(changes_through_a_read_transaction_are_invalid),
        cmocka_unit_test(a_parked_transaction_reads_nothing),
        cmocka_unit_test(an_ended_transaction_is_invalid),
        cmocka_unit_test(keys_have_one_byte_to_a_quarter_of_the_page),
        cmocka_unit_test(values_reach_64_mebibytes_and_stop_at_4_gibibytes),
        cmocka_unit_test(names_and_notes_have_limits),
        cmocka_unit_test(what_is_missing_says_so),
        cmocka_unit_test(every_status_has_a_name_and_a_text),
        cmocka_unit_test(not_found_leaves_the_detail_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
