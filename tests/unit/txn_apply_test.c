/* txn_apply_test.c: bodies become roots: all or nothing, and never for keyspaces that are not
 * there. */
#include "harness/test.h"

#include "txn_world.h"

/* ---- bodies by hand ---- */

struct bytes {
    uint8_t data[2000];
    size_t size;
};

static void add_op(struct bytes *body, ns_op_kind kind, ns_keyspace keyspace, const char *key,
                   const char *value)
{
    struct ns_op op = {kind, keyspace, ns_str(key), ns_str(value)};
    assert_true(body->size + ns__op_size(&op) <= sizeof body->data);
    body->size += ns__op_encode(&op, body->data + body->size);
}

static ns_slice slice_of(const struct bytes *body)
{
    return ns_bytes(body->data, body->size);
}

/* Keyspaces "five" and "six" with the ids 5 and 6, one entry each. */
static void make_two(struct db *db)
{
    struct bytes body = {.size = 0};
    db_init(db, 1);
    add_op(&body, NS_OP_KEYSPACE_CREATE, 5, "five", "");
    add_op(&body, NS_OP_KEYSPACE_CREATE, 6, "six", "");
    add_op(&body, NS_OP_PUT, 0, "k", "main");
    add_op(&body, NS_OP_PUT, 5, "k", "in five");
    add_op(&body, NS_OP_PUT, 6, "k", "in six");
    CHECK_OK(db_apply(db, slice_of(&body)));
    db_refresh(db);
    assert_int_equal(db->root.keyspaces, 2);
}

static void check_value(struct db *db, ns_keyspace keyspace, const char *wanted)
{
    ns_slice value;
    db_refresh(db);
    ns_status status = ns__view_get(&db->view, keyspace, ns_str("k"), &value, NULL);
    CHECK_STATUS(status, wanted != NULL ? NS_OK : NS_NOTFOUND);
    if (wanted != NULL) assert_true(ns__slice_equal(value, ns_str(wanted)));
}

static void a_body_that_does_not_fit_the_catalogue_is_refused(void **state)
{
    (void)state;
    static const struct {
        ns_op_kind kind;
        ns_keyspace keyspace;
        const char *key;
        const char *says;
    } rows[] = {
        {NS_OP_KEYSPACE_DROP, 7, "seven", "keyspace 7: dropped, but it does not exist"},
        {NS_OP_KEYSPACE_DROP, 5, "six", "keyspace 5: dropped by another name"},
        {NS_OP_KEYSPACE_CREATE, 5, "new", "keyspace 5: created, but it exists"},
        {NS_OP_KEYSPACE_CREATE, 7, "five", "keyspace 7: created, but its name exists"},
        {NS_OP_PUT, 7, "k", "keyspace 7: changed, but it does not exist"},
        {NS_OP_DEL, 7, "k", "keyspace 7: changed, but it does not exist"},
        {NS_OP_DEL_RANGE, 7, "k", "keyspace 7: changed, but it does not exist"},
    };
    struct db db;
    make_two(&db);
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct bytes body = {.size = 0};
        if (rows[row].kind <= NS_OP_DEL_RANGE) {
            add_op(&body, NS_OP_KEYSPACE_CREATE, 8, "eight", "");
            add_op(&body, NS_OP_PUT, 0, "k", "changed");
        }
        add_op(&body, rows[row].kind, rows[row].keyspace, rows[row].key, "");
        CHECK_STATUS(db_apply(&db, slice_of(&body)), NS_CORRUPT);
        assert_non_null(strstr(ns_error_detail(), "transaction 2"));
        assert_non_null(strstr(ns_error_detail(), rows[row].says));
        check_value(&db, 0, "main");
    }
    struct bytes body = {.size = 0};
    add_op(&body, NS_OP_KEYSPACE_DROP, 5, "five", "");
    add_op(&body, NS_OP_PUT, 5, "k", "v");
    CHECK_STATUS(db_apply(&db, slice_of(&body)), NS_CORRUPT);
    body.size = 0;
    add_op(&body, NS_OP_KEYSPACE_CREATE, 8, "same", "");
    add_op(&body, NS_OP_KEYSPACE_CREATE, 9, "same", "");
    CHECK_STATUS(db_apply(&db, slice_of(&body)), NS_CORRUPT);
    CHECK_STATUS(db_apply(&db, ns_bytes("\7", 1)), NS_CORRUPT);
    db_deinit(&db);
}

static void dropping_and_creating_replaces_a_keyspace(void **state)
{
    (void)state;
    struct db db;
    struct bytes body = {.size = 0};
    make_two(&db);
    add_op(&body, NS_OP_KEYSPACE_DROP, 5, "five", "");
    add_op(&body, NS_OP_KEYSPACE_DROP, 6, "six", "");
    add_op(&body, NS_OP_KEYSPACE_CREATE, 5, "five", "");
    add_op(&body, NS_OP_KEYSPACE_CREATE, 7, "six", "");
    add_op(&body, NS_OP_PUT, 7, "k", "in seven");
    CHECK_OK(db_apply(&db, slice_of(&body)));
    assert_int_equal(db.root.keyspaces, 2);
    check_value(&db, 5, NULL);
    CHECK_OK(ns__view_has_keyspace(&db.view, 5));
    check_value(&db, 6, NULL);
    CHECK_STATUS(ns__view_has_keyspace(&db.view, 6), NS_NOTFOUND);
    check_value(&db, 7, "in seven");
    body.size = 0;
    add_op(&body, NS_OP_KEYSPACE_DROP, 5, "five", "");
    add_op(&body, NS_OP_KEYSPACE_DROP, 7, "six", "");
    add_op(&body, NS_OP_DEL_RANGE, 0, "", "");
    CHECK_OK(db_apply(&db, slice_of(&body)));
    assert_int_equal(db.root.keyspaces, 0);
    assert_int_equal(db.root.main.ref, NS__REF_NONE);
    assert_int_equal(db.root.catalogue.ref, NS__REF_NONE);
    db_deinit(&db);
}

static void changes_that_change_nothing_leave_the_catalogue_alone(void **state)
{
    (void)state;
    struct db db;
    struct bytes body = {.size = 0};
    make_two(&db);
    struct ns__tree catalogue = db.root.catalogue;
    add_op(&body, NS_OP_DEL, 5, "absent", "");
    CHECK_OK(db_apply(&db, slice_of(&body)));
    assert_memory_equal(&catalogue, &db.root.catalogue, sizeof catalogue);
    CHECK_OK(db_apply(&db, ns_bytes(NULL, 0)));
    assert_memory_equal(&catalogue, &db.root.catalogue, sizeof catalogue);
    db_deinit(&db);
}

static void entries_carry_the_transaction_that_wrote_them(void **state)
{
    (void)state;
    struct db db;
    struct bytes body = {.size = 0};
    uint64_t version;
    ns_slice value;
    make_two(&db);
    add_op(&body, NS_OP_PUT, 6, "k", "again");
    CHECK_OK(db_apply(&db, slice_of(&body)));
    db_refresh(&db);
    CHECK_OK(ns__view_get(&db.view, 5, ns_str("k"), &value, &version));
    assert_int_equal(version, 1);
    CHECK_OK(ns__view_get(&db.view, 6, ns_str("k"), &value, &version));
    assert_int_equal(version, 2);
    uint8_t buffer[NS__CATALOGUE_ID_KEY_BYTES];
    ns_slice key = ns__catalogue_id_key(6, buffer);
    CHECK_OK(ns__btree_get(&stub.pages, &db.root.catalogue, key, &value, &version, NULL));
    assert_int_equal(version, 2);
    key = ns__catalogue_id_key(5, buffer);
    CHECK_OK(ns__btree_get(&stub.pages, &db.root.catalogue, key, &value, &version, NULL));
    assert_int_equal(version, 1);
    db_deinit(&db);
}

/* ---- large bodies, and failures on the way ---- */

static void fill_set(struct db *db, struct ns__prng *prng)
{
    char key[40], name[8];
    for (uint32_t k = 0; k < 12; k++) {
        ns_keyspace keyspace = NS_MAIN;
        ns_status status = NS_OK;
        (void)snprintf(name, sizeof name, "ks%u", k);
        if (k > 0) status = ns__view_find_keyspace(&db->view, ns_str(name), &keyspace, NULL);
        if (status == NS_NOTFOUND) keyspace = db_create(db, name);
        if (status == NS_OK && k > 0 && ns__prng_below(prng, 8) == 0) {
            db_drop(db, name);
            if (ns__prng_below(prng, 2) == 0) continue;
            keyspace = db_create(db, name);
        }
        for (uint32_t n = 0; n < 60; n++) {
            uint32_t i = (uint32_t)ns__prng_below(prng, 2000);
            (void)snprintf(key, sizeof key, "a/longer/common/prefix/%04u", i);
            if (ns__prng_below(prng, 4) == 0) {
                (void)db_del(db, keyspace, ns_str(key));
            } else {
                db_put(db, keyspace, key, "a value of some thirty bytes..");
            }
        }
        CHECK_OK(ns__writeset_del_range(&db->set, keyspace, ns_str(key), ns_str("a/longer/z")));
    }
}

static void a_failure_anywhere_leaves_the_root_as_it_was(void **state)
{
    (void)state;
    struct db db;
    struct ns__prng prng = {.state = 3};
    uint8_t before[16], seen[16], after[16];
    db_init(&db, 3);
    for (uint32_t round = 0; round < 6; round++) {
        fill_set(&db, &prng);
        ns_slice body = db_body(&db);
        CHECK_OK(ns__view_state_hash(&db.view, &stub.alloc, seen));
        db.view.set = NULL;
        CHECK_OK(ns__view_state_hash(&db.view, &stub.alloc, before));
        uint64_t failures = 0;
        for (uint64_t n = 1;; n += 1 + n / 8) {
            stub.fail_after = n;
            ns_status status = db_apply(&db, body);
            stub.fail_after = 0;
            ns__view_init(&db.view, &stub.pages, &db.root, NULL);
            CHECK_OK(ns__view_state_hash(&db.view, &stub.alloc, after));
            if (status == NS_OK) break;
            CHECK_STATUS(status, NS_NOMEM);
            assert_memory_equal(before, after, 16);
            failures++;
        }
        assert_true(failures > 5);
        assert_memory_equal(seen, after, 16);
        ns__writeset_reset(&db.set);
        db_refresh(&db);
    }
    db_deinit(&db);
}

static void replaying_the_bodies_gives_the_same_state(void **state)
{
    (void)state;
    enum { ROUNDS = 8 };
    struct db db;
    struct ns__prng prng = {.state = 9};
    uint8_t *bodies[ROUNDS], hashes[ROUNDS][16], hash[16];
    size_t sizes[ROUNDS];
    db_init(&db, 9);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        fill_set(&db, &prng);
        db_commit(&db);
        CHECK_OK(ns__view_state_hash(&db.view, &stub.alloc, hashes[round]));
        sizes[round] = db.body_bytes;
        bodies[round] = db.body;
        db.body = NULL;
    }
    db_deinit(&db);
    db_init(&db, 10);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        CHECK_OK(db_apply(&db, ns_bytes(bodies[round], sizes[round])));
        db_refresh(&db);
        CHECK_OK(ns__view_state_hash(&db.view, &stub.alloc, hash));
        assert_memory_equal(hash, hashes[round], 16);
        free(bodies[round]);
    }
    db_deinit(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_that_does_not_fit_the_catalogue_is_refused),
        cmocka_unit_test(dropping_and_creating_replaces_a_keyspace),
        cmocka_unit_test(changes_that_change_nothing_leave_the_catalogue_alone),
        cmocka_unit_test(entries_carry_the_transaction_that_wrote_them),
        cmocka_unit_test(a_failure_anywhere_leaves_the_root_as_it_was),
        cmocka_unit_test(replaying_the_bodies_gives_the_same_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
