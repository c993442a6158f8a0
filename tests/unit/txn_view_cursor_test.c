/* txn_view_cursor_test.c: the merged cursor against a model (which keys are there, where the
 * cursor stands), with random changes while it moves. */
#include "harness/test.h"

#include "txn_world.h"

#define KEYS 240u /* in order; odd ones are never stored: places between entries */
#define NOWHERE KEYS

struct model {
    struct db db;
    ns_keyspace keyspace;
    struct ns__view view; /* what the cursor reads */
    struct ns__view_cursor *cursor;
    struct ns__prng prng;
    uint32_t values[KEYS]; /* 0: absent */
    bool is_dropped;
    /* the cursor */
    enum { BEFORE, ON, PAST } place;
    uint32_t at;
    uint32_t from, to; /* visible: from <= key < to */
};

static uint64_t below(struct model *model, uint64_t bound)
{
    return ns__prng_below(&model->prng, bound);
}

/* Long enough for several leaves; i >= KEYS gives the empty key. */
static ns_slice key_at(uint32_t i)
{
    static char text[200];
    if (i >= KEYS) return ns_bytes(NULL, 0);
    int size = snprintf(text, sizeof text, "%s%03u%s", i % 3 == 0 ? "key/with/a/prefix/" : "key/",
                        i, i % 6 == 0 ? "" : "/and/what/follows/it");
    /* Order by number whatever the prefix. */
    memmove(text + 3, text, (size_t)size + 1);
    text[0] = (char)('0' + i / 100);
    text[1] = (char)('0' + i / 10 % 10);
    text[2] = (char)('0' + i % 10);
    return ns_bytes(text, (size_t)size + 3);
}

static ns_slice value_of(uint32_t value)
{
    static uint8_t bytes[6000];
    size_t size = value % 50 == 0 ? 5000 : value % 400; /* now and then a run */
    memset(bytes, (int)(value % 251), sizeof bytes);
    return ns_bytes(bytes, size);
}

/* ---- changes ---- */

static void put(struct model *model, uint32_t i)
{
    uint32_t value = 1 + (uint32_t)below(model, 1000);
    CHECK_OK(ns__writeset_put(&model->db.set, model->keyspace, key_at(i), value_of(value)));
    model->values[i] = value;
}

static void del(struct model *model, uint32_t i)
{
    bool was_there = db_del(&model->db, model->keyspace, key_at(i));
    assert_int_equal(was_there, model->values[i] != 0);
    model->values[i] = 0;
}

static void del_range(struct model *model, uint32_t from, uint32_t to)
{
    ns_slice start;
    uint8_t copy[200];
    start = key_at(from);
    if (start.size > 0) memcpy(copy, start.data, start.size);
    start.data = copy;
    CHECK_OK(ns__writeset_del_range(&model->db.set, model->keyspace, start, key_at(to)));
    for (uint32_t i = from < KEYS ? from : 0; i < to && i < KEYS; i++)
        model->values[i] = 0;
}

static void drop_or_create(struct model *model)
{
    if (model->is_dropped) {
        assert_int_equal(db_create(&model->db, "named"), model->keyspace);
    } else {
        db_drop(&model->db, "named");
    }
    model->is_dropped = !model->is_dropped;
    memset(model->values, 0, sizeof model->values);
}

static void change(struct model *model)
{
    /* Mostly near the cursor. */
    uint32_t near = model->place == ON ? model->at : (uint32_t)below(model, KEYS);
    uint32_t i = (near + KEYS - 6 + (uint32_t)below(model, 13)) % KEYS;
    if (below(model, 3) == 0) i = near;
    i &= ~1u;
    uint64_t kind = below(model, 100);
    if (model->keyspace != NS_MAIN && (kind == 99 || model->is_dropped)) {
        if (kind < 40 || kind == 99) drop_or_create(model);
    } else if (kind < 45) {
        put(model, i);
    } else if (kind < 85) {
        del(model, i);
    } else if (kind < 98) {
        uint32_t from = (uint32_t)below(model, 12) == 0 ? NOWHERE : i + (uint32_t)below(model, 2);
        uint32_t to = i + (uint32_t)below(model, 20);
        del_range(model, from, below(model, 12) == 0 ? NOWHERE : to < KEYS ? to : NOWHERE);
    }
}

/* ---- moves ---- */

static bool is_visible(const struct model *model, uint32_t i)
{
    return model->values[i] != 0 && i >= model->from && i < model->to;
}

/* The first visible key >= i. */
static ns_status go_forward(struct model *model, uint32_t i)
{
    while (i < KEYS && !is_visible(model, i))
        i++;
    model->place = i < KEYS ? ON : PAST;
    model->at = i;
    return i < KEYS ? NS_OK : NS_NOTFOUND;
}

/* The last visible key < i. */
static ns_status go_backward(struct model *model, uint32_t i)
{
    while (i > 0 && !is_visible(model, i - 1))
        i--;
    model->place = i > 0 ? ON : BEFORE;
    model->at = i - 1;
    return i > 0 ? NS_OK : NS_NOTFOUND;
}

static ns_status go_next(struct model *model)
{
    if (model->place == PAST) return NS_NOTFOUND;
    return go_forward(model, model->place == ON ? model->at + 1 : 0);
}

static ns_status go_prev(struct model *model)
{
    if (model->place == BEFORE) return NS_NOTFOUND;
    return go_backward(model, model->place == ON ? model->at : KEYS);
}

static ns_status go_exact(struct model *model, uint32_t i)
{
    if (is_visible(model, i)) return go_forward(model, i);
    model->place = PAST;
    return NS_NOTFOUND;
}

static void check_entry(const struct model *model)
{
    ns_slice key, value;
    ns_status status = ns__view_cursor_get(model->cursor, &key, &value);
    if (model->place != ON) {
        CHECK_STATUS(status, NS_NOTFOUND);
        assert_null(key.data);
        assert_null(value.data);
        return;
    }
    CHECK_OK(status);
    assert_true(ns__slice_equal(key, key_at(model->at)));
    uint32_t wanted = model->values[model->at];
    if (wanted == 0) {
        assert_null(value.data);
        assert_int_equal(value.size, 0);
    } else {
        assert_non_null(value.data);
        assert_true(ns__slice_equal(value, value_of(wanted)));
    }
}

static void set_bounds(struct model *model)
{
    uint32_t from = below(model, 3) == 0 ? NOWHERE : (uint32_t)below(model, KEYS);
    uint32_t to = below(model, 3) == 0 ? NOWHERE : (uint32_t)below(model, KEYS);
    if (below(model, 10) > 0 && from != NOWHERE && to < from) to = NOWHERE;
    uint8_t copy[200];
    ns_slice start = key_at(from);
    if (start.size > 0) memcpy(copy, start.data, start.size);
    start.data = copy;
    CHECK_OK(ns__view_cursor_bounds(model->cursor, start, key_at(to)));
    memset(copy, 0, sizeof copy);
    model->from = from == NOWHERE ? 0 : from;
    model->to = to;
    model->place = BEFORE;
}

static void move(struct model *model)
{
    struct ns__view_cursor *cursor = model->cursor;
    uint32_t i = (uint32_t)below(model, KEYS);
    if (model->place == ON && below(model, 2) == 0) i = model->at;
    ns_slice key = key_at(i);
    uint64_t kind = below(model, 100);
    if (kind < 42) {
        CHECK_STATUS(ns__view_cursor_next(cursor), go_next(model));
    } else if (kind < 84) {
        CHECK_STATUS(ns__view_cursor_prev(cursor), go_prev(model));
    } else if (kind < 88) {
        CHECK_STATUS(ns__view_cursor_seek(cursor, key), go_forward(model, i));
    } else if (kind < 92) {
        CHECK_STATUS(ns__view_cursor_seek_before(cursor, key), go_backward(model, i));
    } else if (kind < 95) {
        CHECK_STATUS(ns__view_cursor_seek_exact(cursor, key), go_exact(model, i));
    } else if (kind < 96) {
        CHECK_STATUS(ns__view_cursor_first(cursor), go_forward(model, 0));
    } else if (kind < 97) {
        CHECK_STATUS(ns__view_cursor_last(cursor), go_backward(model, KEYS));
    } else if (kind < 98) {
        set_bounds(model);
    } else if (model->place == ON) {
        CHECK_OK(ns__view_cursor_get(cursor, &key, NULL)); /* its own key */
        i = model->at;
        if (kind == 98) {
            CHECK_STATUS(ns__view_cursor_seek(cursor, key), go_forward(model, i));
        } else {
            CHECK_STATUS(ns__view_cursor_seek_exact(cursor, key), go_exact(model, i));
        }
    }
    check_entry(model);
}

/* ---- the test ---- */

/* A base of three transactions, of which nothing is left in the set. */
static void make_base(struct model *model, uint32_t seed, bool is_named)
{
    memset(model, 0, sizeof *model);
    model->prng.state = seed;
    db_init(&model->db, seed);
    if (is_named) model->keyspace = db_create(&model->db, "named");
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < KEYS; i += 2) {
            if (below(model, 3) > 0) continue;
            put(model, i);
        }
        db_commit(&model->db);
    }
    if (seed % 2 == 0) {
        stub_checkpoint(&model->db.root.main);
        db_refresh(&model->db);
    }
}

static void open_cursor(struct model *model, bool is_read_only)
{
    if (is_read_only) {
        ns__view_init(&model->view, &stub.pages, &model->db.root, NULL);
        CHECK_OK(ns__view_cursor_new(&model->view, model->keyspace, &stub.alloc, &model->cursor));
    } else {
        CHECK_OK(
            ns__view_cursor_new(&model->db.view, model->keyspace, &stub.alloc, &model->cursor));
    }
    model->from = 0;
    model->to = NOWHERE;
    model->place = BEFORE;
}

static void run(uint32_t seed, bool is_named, uint32_t change_percent)
{
    static struct model model;
    make_base(&model, seed, is_named);
    for (uint32_t transaction = 0; transaction < 3; transaction++) {
        open_cursor(&model, change_percent == 0);
        check_entry(&model);
        for (uint32_t step = 0; step < 1500; step++) {
            move(&model);
            if (below(&model, 100) >= change_percent) continue;
            change(&model);
            check_entry(&model);
        }
        ns__view_cursor_free(model.cursor);
        if (model.is_dropped) drop_or_create(&model);
        db_commit(&model.db);
    }
    db_deinit(&model.db);
}

static void without_a_write_set_the_cursor_walks_the_tree(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 6; seed++)
        run(seed, seed % 3 == 0, 0);
}

static void changes_are_seen_while_the_cursor_moves(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        print_message("seed %u\n", seed);
        run(seed, false, seed % 2 == 0 ? 10 : 60);
    }
}

static void a_keyspace_may_be_dropped_and_created_under_the_cursor(void **state)
{
    (void)state;
    for (uint32_t seed = 101; seed <= 115; seed++) {
        print_message("seed %u\n", seed);
        run(seed, true, seed % 2 == 0 ? 10 : 60);
    }
}

static void a_keyspace_created_here_has_a_cursor_and_an_unknown_one_has_none(void **state)
{
    (void)state;
    struct db db;
    struct ns__view_cursor *cursor;
    ns_slice key, value;
    db_init(&db, 1);
    CHECK_STATUS(ns__view_cursor_new(&db.view, 77, &stub.alloc, &cursor), NS_NOTFOUND);
    assert_null(cursor);
    ns_keyspace keyspace = db_create(&db, "fresh");
    CHECK_OK(ns__view_cursor_new(&db.view, keyspace, &stub.alloc, &cursor));
    CHECK_STATUS(ns__view_cursor_next(cursor), NS_NOTFOUND);
    CHECK_STATUS(ns__view_cursor_prev(cursor), NS_NOTFOUND);
    db_put(&db, keyspace, "a", "");
    CHECK_OK(ns__view_cursor_next(cursor));
    CHECK_OK(ns__view_cursor_get(cursor, &key, &value));
    assert_true(ns__slice_equal(key, ns_str("a")));
    assert_non_null(value.data);
    assert_int_equal(value.size, 0);
    db_drop(&db, "fresh");
    CHECK_OK(ns__view_cursor_get(cursor, &key, &value));
    assert_true(ns__slice_equal(key, ns_str("a")));
    assert_null(value.data);
    CHECK_STATUS(ns__view_cursor_next(cursor), NS_NOTFOUND);
    ns__view_cursor_free(cursor);
    ns__view_cursor_free(NULL);
    db_deinit(&db);
}

static void every_entry_can_be_deleted_during_one_walk(void **state)
{
    (void)state;
    static struct model model;
    make_base(&model, 5, false);
    open_cursor(&model, false);
    uint32_t count = 0;
    ns_slice key, value;
    while (ns__view_cursor_next(model.cursor) == NS_OK) {
        CHECK_OK(ns__view_cursor_get(model.cursor, &key, &value));
        assert_true(db_del(&model.db, NS_MAIN, key));
        CHECK_OK(ns__view_cursor_get(model.cursor, &key, &value));
        assert_null(value.data);
        count++;
    }
    assert_int_equal(count, model.db.root.main.entries);
    CHECK_STATUS(ns__view_cursor_first(model.cursor), NS_NOTFOUND);
    ns__view_cursor_free(model.cursor);
    db_commit(&model.db);
    assert_int_equal(model.db.root.main.entries, 0);
    db_deinit(&model.db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_write_set_the_cursor_walks_the_tree),
        cmocka_unit_test(changes_are_seen_while_the_cursor_moves),
        cmocka_unit_test(a_keyspace_may_be_dropped_and_created_under_the_cursor),
        cmocka_unit_test(a_keyspace_created_here_has_a_cursor_and_an_unknown_one_has_none),
        cmocka_unit_test(every_entry_can_be_deleted_during_one_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
