/* api_cursor_test.c: where a cursor stands, move by move, over a tree, over uncommitted changes,
 * and over both. The same tables run on all three. */
#include "harness/test.h"

#include <stdio.h>
#include <string.h>

enum place { COMMITTED, UNCOMMITTED, BOTH, PLACES };

struct stage {
    ns_db *db;
    ns_txn *txn;
    ns_cursor *cursor;
};

static void put_letters(ns_txn *txn, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_bytes(letters, 1), ns_bytes(letters, 1)));
    }
}

/* The entries b, d, f, h are there, whether from the tree, the write set, or one of each. */
static void set_stage(struct stage *stage, enum place place)
{
    ns_options with;
    memset(&with, 0, sizeof with);
    with.flags = NS_IN_MEMORY | NS_NO_THREADS;
    CHECK_OK(ns_db_open(NULL, &with, &stage->db));
    CHECK_OK(ns_txn_begin(stage->db, NS_WRITE, &stage->txn));
    if (place == COMMITTED) put_letters(stage->txn, "bdfh");
    if (place == BOTH) put_letters(stage->txn, "bcfg");
    CHECK_OK(ns_txn_commit(stage->txn, NULL));
    CHECK_OK(ns_txn_begin(stage->db, NS_WRITE, &stage->txn));
    if (place == UNCOMMITTED) put_letters(stage->txn, "bdfh");
    if (place == BOTH) {
        CHECK_OK(ns_txn_del(stage->txn, NS_MAIN, ns_str("c")));
        CHECK_OK(ns_txn_del_range(stage->txn, NS_MAIN, ns_str("g"), ns_str("h")));
        put_letters(stage->txn, "dh");
    }
    CHECK_OK(ns_cursor_open(stage->txn, NS_MAIN, &stage->cursor));
}

static void strike_stage(struct stage *stage)
{
    ns_cursor_close(stage->cursor);
    ns_txn_abort(stage->txn);
    CHECK_OK(ns_db_close(stage->db));
}

/* One move: < first, > last, + next, - prev, s seek, e seek_exact, l seek_before ("less"); the
 * letter that s, e and l take follows. */
static ns_status move(struct stage *stage, const char **moves)
{
    char which = *(*moves)++;
    ns_cursor *cursor = stage->cursor;
    switch (which) {
    case '<': return ns_cursor_first(cursor);
    case '>': return ns_cursor_last(cursor);
    case '+': return ns_cursor_next(cursor);
    case '-': return ns_cursor_prev(cursor);
    case 's': return ns_cursor_seek(cursor, ns_bytes((*moves)++, 1));
    case 'e': return ns_cursor_seek_exact(cursor, ns_bytes((*moves)++, 1));
    default: return ns_cursor_seek_before(cursor, ns_bytes((*moves)++, 1));
    }
}

/* Runs the moves and compares what each shows: a letter, or '.' for NS_NOTFOUND. */
static void check_moves(struct stage *stage, const char *moves, const char *wanted)
{
    char shown[64];
    size_t count = 0;
    const char *at = moves;
    while (*at != '\0') {
        ns_slice key;
        ns_slice value;
        ns_status status = move(stage, &at);
        assert_true(status == NS_OK || status == NS_NOTFOUND);
        assert_int_equal(ns_cursor_get(stage->cursor, &key, &value), status);
        assert_int_equal(key.size, status == NS_OK ? 1 : 0);
        if (status == NS_OK) assert_memory_equal(key.data, value.data, 1);
        shown[count++] = status == NS_OK ? *(const char *)key.data : '.';
    }
    shown[count] = '\0';
    if (strcmp(shown, wanted) != 0) fail_msg("moves %s show %s, not %s", moves, shown, wanted);
}

static const struct {
    const char *moves, *wanted;
} plain_rows[] = {
    {"+++++", "bdfh."}, {"-", "."},           {"<", "b"},     {">", "h"},      {"><>", "hbh"},
    {">----", "hfdb."}, {"+++++-", "bdfh.h"}, {"<-+", "b.b"}, {">+-", "h.h"},  {">++--", "h..hf"},
    {"sa", "b"},        {"sb", "b"},          {"sc", "d"},    {"sh", "h"},     {"si", "."},
    {"si-", ".h"},      {"si+", ".."},        {"eb", "b"},    {"ec", "."},     {"ea", "."},
    {"la", "."},        {"lb", "."},          {"lb+", ".b"},  {"lc", "b"},     {"lh", "f"},
    {"lz", "h"},        {"lz+", "h."},        {"sd+", "df"},  {"sd-", "db"},   {"ed+-", "dfd"},
    {"<-", "b."},       {"<--+", "b..b"},     {"sa-", "b."},  {"eb-+", "b.b"},
};

static void moves_show_what_they_should(void **state)
{
    (void)state;
    for (int place = 0; place < PLACES; place++) {
        for (size_t i = 0; i < sizeof plain_rows / sizeof plain_rows[0]; i++) {
            struct stage stage;
            set_stage(&stage, (enum place)place);
            check_moves(&stage, plain_rows[i].moves, plain_rows[i].wanted);
            strike_stage(&stage);
        }
    }
}

static const struct {
    const char *from, *to, *moves, *wanted;
} bounded_rows[] = {
    {"c", "g", "+++", "df."}, {"d", "f", "++", "d."},   {"d", "f", ">-", "d."},
    {"", "e", "+++", "bd."},  {"e", "", "+++", "fh."},  {"", "", "+++++", "bdfh."},
    {"c", "g", "sa", "d"},    {"c", "g", "sz", "."},    {"c", "g", "sz-", ".f"},
    {"c", "g", "lz", "f"},    {"c", "g", "la", "."},    {"c", "g", "la+", ".d"},
    {"c", "g", "eb", "."},    {"c", "g", "eh", "."},    {"c", "g", "ed", "d"},
    {"c", "g", "<>", "df"},   {"c", "g", ">+-", "f.f"}, {"i", "z", "<", "."},
    {"d", "d", "<", "."},     {"g", "c", "<", "."},     {"g", "c", ">", "."},
    {"g", "c", "sd", "."},    {"g", "c", "ld", "."},    {"d", "", "l~", "h"},
};

static void bounds_hide_what_lies_outside(void **state)
{
    (void)state;
    for (int place = 0; place < PLACES; place++) {
        for (size_t i = 0; i < sizeof bounded_rows / sizeof bounded_rows[0]; i++) {
            struct stage stage;
            set_stage(&stage, (enum place)place);
            CHECK_OK(ns_cursor_last(stage.cursor)); /* bounds start over */
            CHECK_OK(ns_cursor_bounds(stage.cursor, ns_str(bounded_rows[i].from),
                                      ns_str(bounded_rows[i].to)));
            assert_null(ns_cursor_key(stage.cursor).data);
            check_moves(&stage, bounded_rows[i].moves, bounded_rows[i].wanted);
            strike_stage(&stage);
        }
    }
}

/* ---- prefixes ---- */

static void check_prefix(ns_txn *txn, ns_slice prefix, size_t wanted)
{
    ns_cursor *cursor;
    size_t count = 0;
    CHECK_OK(ns_cursor_open(txn, NS_MAIN, &cursor));
    CHECK_OK(ns_cursor_prefix(cursor, prefix));
    while (ns_cursor_next(cursor) == NS_OK) {
        ns_slice key = ns_cursor_key(cursor);
        assert_true(key.size >= prefix.size);
        if (prefix.size > 0) assert_memory_equal(key.data, prefix.data, prefix.size);
        count++;
    }
    assert_int_equal(count, wanted);
    while (ns_cursor_prev(cursor) == NS_OK)
        count--;
    assert_int_equal(count, 0);
    ns_cursor_close(cursor);
}

static void prefixes_end_where_no_key_begins_with_them(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } keys[] = {{"a", 1},         {"a\x00", 2},         {"a\xff", 2},
                {"a\xff\xff", 3}, {"a\xff\xff\x01", 4}, {"b", 1},
                {"\xff", 1},      {"\xff\xff", 2},      {"\xff\xff\xff", 3},
                {"\x00", 1},      {"\x00\x00", 2},      {"\xff\xfe", 2}};
    ns_db *db;
    ns_txn *txn;
    ns_options with;
    (void)state;
    memset(&with, 0, sizeof with);
    with.flags = NS_IN_MEMORY | NS_NO_THREADS;
    CHECK_OK(ns_db_open(NULL, &with, &db));
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_bytes(keys[i].bytes, keys[i].size), ns_str("v")));
    }
    for (int round = 0; round < 2; round++) {
        check_prefix(txn, ns_str("a"), 5);
        check_prefix(txn, ns_str("a\xff"), 3);
        check_prefix(txn, ns_str("a\xff\xff"), 2);
        check_prefix(txn, ns_bytes("\x00", 1), 2);
        check_prefix(txn, ns_str("\xff"), 4);
        check_prefix(txn, ns_str("\xff\xff"), 2);
        check_prefix(txn, ns_str("\xff\xff\xff"), 1);
        check_prefix(txn, ns_str("c"), 0);
        check_prefix(txn, ns_bytes(NULL, 0), 12);
        CHECK_OK(ns_txn_commit(txn, NULL));
        CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    }
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
}

/* ---- changing under a cursor ---- */

static void the_entry_under_a_cursor_may_change(void **state)
{
    (void)state;
    for (int place = 0; place < PLACES; place++) {
        struct stage stage;
        set_stage(&stage, (enum place)place);
        check_moves(&stage, "sd", "d");
        CHECK_OK(ns_txn_put(stage.txn, NS_MAIN, ns_cursor_key(stage.cursor), ns_str("changed")));
        assert_int_equal(ns_cursor_value(stage.cursor).size, 7);
        CHECK_OK(ns_txn_del(stage.txn, NS_MAIN, ns_cursor_key(stage.cursor)));
        assert_int_equal(ns_cursor_key(stage.cursor).size, 1); /* it keeps a copy of its key */
        assert_null(ns_cursor_value(stage.cursor).data);
        CHECK_OK(ns_cursor_next(stage.cursor));
        assert_memory_equal(ns_cursor_key(stage.cursor).data, "f", 1);
        CHECK_OK(ns_cursor_prev(stage.cursor));
        assert_memory_equal(ns_cursor_key(stage.cursor).data, "b", 1);
        strike_stage(&stage);
    }
}

static void deleting_while_iterating_visits_every_entry(void **state)
{
    (void)state;
    for (int place = 0; place < PLACES; place++) {
        struct stage stage;
        char seen[8] = "";
        set_stage(&stage, (enum place)place);
        while (ns_cursor_next(stage.cursor) == NS_OK) {
            strncat(seen, ns_cursor_key(stage.cursor).data, 1);
            CHECK_OK(ns_txn_del(stage.txn, NS_MAIN, ns_cursor_key(stage.cursor)));
        }
        assert_string_equal(seen, "bdfh");
        CHECK_STATUS(ns_cursor_first(stage.cursor), NS_NOTFOUND);
        strike_stage(&stage);
    }
}

static void entries_put_ahead_of_a_cursor_are_met(void **state)
{
    (void)state;
    for (int place = 0; place < PLACES; place++) {
        struct stage stage;
        set_stage(&stage, (enum place)place);
        check_moves(&stage, "+", "b");
        put_letters(stage.txn, "ce");
        check_moves(&stage, "+++", "cde");
        CHECK_OK(ns_txn_del_range(stage.txn, NS_MAIN, ns_str("c"), ns_str("g")));
        check_moves(&stage, "+-", "hb");
        put_letters(stage.txn, "a");
        check_moves(&stage, "-+", "ab");
        strike_stage(&stage);
    }
}

static void cursors_are_independent_of_one_another(void **state)
{
    struct stage stage;
    ns_cursor *other;
    (void)state;
    set_stage(&stage, BOTH);
    CHECK_OK(ns_cursor_open(stage.txn, NS_MAIN, &other));
    check_moves(&stage, "sd", "d");
    CHECK_OK(ns_cursor_last(other));
    CHECK_OK(ns_txn_del(stage.txn, NS_MAIN, ns_str("h")));
    assert_null(ns_cursor_value(other).data);
    check_moves(&stage, "++", "f.");
    CHECK_OK(ns_cursor_prev(other));
    assert_memory_equal(ns_cursor_key(other).data, "f", 1);
    ns_cursor_close(other);
    CHECK_STATUS(ns_cursor_open(stage.txn, 4711, &other), NS_NOTFOUND);
    assert_null(other);
    strike_stage(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_show_what_they_should),
        cmocka_unit_test(bounds_hide_what_lies_outside),
        cmocka_unit_test(prefixes_end_where_no_key_begins_with_them),
        cmocka_unit_test(the_entry_under_a_cursor_may_change),
        cmocka_unit_test(deleting_while_iterating_visits_every_entry),
        cmocka_unit_test(entries_put_ahead_of_a_cursor_are_met),
        cmocka_unit_test(cursors_are_independent_of_one_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
