/* txn_catalogue_test.c: catalogue entries as bytes (FMT-12), and entries that cannot be. */
#include "harness/test.h"

#include "txn_world.h"

static void entries_have_the_bytes_that_the_format_says(void **state)
{
    (void)state;
    uint8_t key[NS__CATALOGUE_NAME_KEY_BYTES_MAX], bytes[NS__CATALOGUE_VALUE_BYTES_MAX];
    ns_slice slice = ns__catalogue_id_key(0x01020304u, key);
    assert_true(ns__slice_equal(slice, ns_bytes("i\1\2\3\4", 5)));
    slice = ns__catalogue_name_key(ns_str("name"), key);
    assert_true(ns__slice_equal(slice, ns_str("nname")));
    struct ns__tree tree = {.ref = 77, .entries = 1, .pages = 0x102, .overflow_pages = 3}, read;
    slice = ns__catalogue_value(&tree, ns_str("name"), bytes);
    static const char wanted[] = "\1\0\0\0\0\0\0\0\2\1\0\0\0\0\0\0\3\0\0\0\0\0\0\0name";
    assert_true(ns__slice_equal(slice, ns_bytes(wanted, sizeof wanted - 1)));
    ns_slice name;
    CHECK_OK(ns__catalogue_value_decode(slice, 77, &read, &name));
    assert_memory_equal(&read, &tree, sizeof tree);
    assert_true(ns__slice_equal(name, ns_str("name")));
}

static void the_longest_name_fits(void **state)
{
    (void)state;
    struct db db;
    char name[NS__NAME_BYTES_MAX + 1];
    bool in_base;
    ns_keyspace id;
    memset(name, 'x', NS__NAME_BYTES_MAX);
    name[NS__NAME_BYTES_MAX] = 0;
    db_init(&db, 1);
    ns_keyspace created = db_create(&db, name);
    db_put(&db, created, "k", "v");
    db_commit(&db);
    CHECK_OK(ns__view_find_keyspace(&db.view, ns_str(name), &id, &in_base));
    assert_int_equal(id, created);
    assert_true(in_base);
    db_deinit(&db);
}

static void values_that_cannot_be_are_corrupt(void **state)
{
    (void)state;
    static uint8_t bytes[NS__CATALOGUE_VALUE_BYTES_MAX + 1];
    struct ns__tree tree;
    ns_slice name;
    ns_keyspace id;
    static const struct {
        size_t size;
        uint64_t ref;
        uint8_t entries;
    } rows[] = {{0, 0, 0}, {23, 0, 0}, {24, 0, 0}, {280, 0, 0}, {30, 5, 0}, {30, 0, 1}};
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        bytes[0] = rows[row].entries;
        ns_slice value = ns_bytes(bytes, rows[row].size);
        CHECK_STATUS(ns__catalogue_value_decode(value, rows[row].ref, &tree, &name), NS_CORRUPT);
        assert_int_equal(tree.ref, 0);
        assert_null(name.data);
    }
    CHECK_STATUS(ns__catalogue_id_decode(ns_bytes("\1\0\0", 3), &id), NS_CORRUPT);
    CHECK_STATUS(ns__catalogue_id_decode(ns_bytes("\0\0\0\0", 4), &id), NS_CORRUPT);
    assert_int_equal(id, 0);
}

/* A catalogue with one bad entry. */
static void plant(struct db *db, ns_slice key, ns_slice value)
{
    struct ns__tree_op op = {.key = key, .value = value, .kind = NS__TREE_PUT};
    struct ns__tree_batch batch = {.ops = &op, .op_count = 1, .is_catalogue = true};
    stub_begin();
    CHECK_OK(ns__btree_apply(stub_change(), &db->root.catalogue, &batch, &stub.arena));
    stub_settle(false);
    db_refresh(db);
}

static int never(void *ctx, const char *name, ns_keyspace keyspace)
{
    (void)ctx;
    (void)name;
    (void)keyspace;
    fail();
    return 0;
}

static void bad_entries_are_corruption_to_every_reader(void **state)
{
    (void)state;
    struct db db;
    ns_slice value;
    ns_keyspace id;
    uint8_t buffer[NS__CATALOGUE_ID_KEY_BYTES], hash[16];
    struct ns__view_cursor *cursor;
    db_init(&db, 1);
    plant(&db, ns__catalogue_id_key(9, buffer), ns_str("short"));
    CHECK_STATUS(ns__view_get(&db.view, 9, ns_str("k"), &value, NULL), NS_CORRUPT);
    CHECK_STATUS(ns__view_has_keyspace(&db.view, 9), NS_CORRUPT);
    CHECK_STATUS(ns__view_cursor_new(&db.view, 9, &stub.alloc, &cursor), NS_CORRUPT);
    assert_null(cursor);
    db_deinit(&db);
    db_init(&db, 1);
    plant(&db, ns_str("nbad"), ns_str("short"));
    CHECK_STATUS(ns__view_find_keyspace(&db.view, ns_str("bad"), &id, NULL), NS_CORRUPT);
    CHECK_STATUS(ns__view_list_keyspaces(&db.view, &stub.alloc, never, NULL), NS_CORRUPT);
    CHECK_STATUS(ns__view_state_hash(&db.view, &stub.alloc, hash), NS_CORRUPT);
    db_deinit(&db);
    db_init(&db, 1);
    plant(&db, ns_str("nlost"), ns_bytes("\7\0\0\0", 4));
    CHECK_STATUS(ns__view_state_hash(&db.view, &stub.alloc, hash), NS_CORRUPT);
    assert_non_null(strstr(ns_error_detail(), "keyspace 7"));
    db_deinit(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_have_the_bytes_that_the_format_says),
        cmocka_unit_test(the_longest_name_fits),
        cmocka_unit_test(values_that_cannot_be_are_corrupt),
        cmocka_unit_test(bad_entries_are_corruption_to_every_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
