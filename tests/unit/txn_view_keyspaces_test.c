/* txn_view_keyspaces_test.c: names and ids of keyspaces through a write set (FMT-12). */
#include "harness/test.h"

#include "txn_world.h"

struct names {
    char text[400];
    size_t used;
    uint32_t stop_after; /* 0: never */
};

static int add_name(void *ctx, const char *name, ns_keyspace keyspace)
{
    struct names *names = ctx;
    assert_int_not_equal(keyspace, NS_MAIN);
    names->used +=
        (size_t)snprintf(names->text + names->used, sizeof names->text - names->used, "%s ", name);
    return names->stop_after > 0 && --names->stop_after == 0;
}

static void check_names(struct db *db, const char *wanted)
{
    struct names names = {.used = 0};
    CHECK_OK(ns__view_list_keyspaces(&db->view, &stub.alloc, add_name, &names));
    assert_string_equal(names.text, wanted);
}

static void the_list_is_the_catalogue_with_the_set_over_it(void **state)
{
    (void)state;
    struct db db;
    db_init(&db, 1);
    check_names(&db, "");
    (void)db_create(&db, "delta");
    (void)db_create(&db, "bravo");
    check_names(&db, "bravo delta ");
    db_commit(&db);
    check_names(&db, "bravo delta ");
    (void)db_create(&db, "alpha");
    (void)db_create(&db, "charlie");
    (void)db_create(&db, "echo");
    check_names(&db, "alpha bravo charlie delta echo ");
    db_drop(&db, "delta");
    check_names(&db, "alpha bravo charlie echo ");
    (void)db_create(&db, "delta");
    check_names(&db, "alpha bravo charlie delta echo ");
    db_drop(&db, "bravo");
    db_drop(&db, "alpha");
    check_names(&db, "charlie delta echo ");
    struct names names = {.stop_after = 2};
    CHECK_OK(ns__view_list_keyspaces(&db.view, &stub.alloc, add_name, &names));
    assert_string_equal(names.text, "charlie delta ");
    db_commit(&db);
    check_names(&db, "charlie delta echo ");
    db.view.set = NULL;
    check_names(&db, "charlie delta echo ");
    db_deinit(&db);
}

static void check_found(struct db *db, const char *name, ns_status wanted, ns_keyspace wanted_id,
                        bool wanted_in_base)
{
    ns_keyspace id = 5;
    bool in_base;
    CHECK_STATUS(ns__view_find_keyspace(&db->view, ns_str(name), &id, &in_base), wanted);
    assert_int_equal(id, wanted_id);
    assert_int_equal(in_base, wanted_in_base);
    CHECK_STATUS(ns__view_find_keyspace(&db->view, ns_str(name), &id, NULL), wanted);
    assert_int_equal(id, wanted_id);
    if (wanted == NS_OK) CHECK_OK(ns__view_has_keyspace(&db->view, id));
}

static void a_name_is_found_where_it_is(void **state)
{
    (void)state;
    struct db db;
    db_init(&db, 1);
    check_found(&db, "a", NS_NOTFOUND, 0, false);
    ns_keyspace a = db_create(&db, "a");
    assert_int_equal(a, (uint32_t)ns__checksum64("a", 1, 0));
    check_found(&db, "a", NS_OK, a, false);
    db_commit(&db);
    check_found(&db, "a", NS_OK, a, true);
    db_drop(&db, "a");
    check_found(&db, "a", NS_NOTFOUND, 0, true);
    CHECK_STATUS(ns__view_has_keyspace(&db.view, a), NS_NOTFOUND);
    assert_int_equal(db_create(&db, "a"), a);
    check_found(&db, "a", NS_OK, a, true);
    db_drop(&db, "a");
    db_commit(&db);
    check_found(&db, "a", NS_NOTFOUND, 0, false);
    CHECK_STATUS(ns__view_has_keyspace(&db.view, a), NS_NOTFOUND);
    CHECK_OK(ns__view_has_keyspace(&db.view, NS_MAIN));
    db_deinit(&db);
}

/* Makes the id that `name` would get belong to something else. */
static void occupy(struct db *db, const char *name, uint32_t offset, const char *other)
{
    ns_keyspace id = (ns_keyspace)ns__checksum64(name, strlen(name), 0) + offset;
    CHECK_OK(ns__writeset_create(&db->set, ns_str(other), id));
}

static void an_id_in_use_is_passed_over_here_and_in_the_base(void **state)
{
    (void)state;
    struct db db;
    ns_keyspace hash = (ns_keyspace)ns__checksum64("wanted", 6, 0);
    db_init(&db, 1);
    occupy(&db, "wanted", 0, "x");
    db_commit(&db);
    occupy(&db, "wanted", 1, "y");
    ns_keyspace wanted = db_create(&db, "wanted");
    assert_int_equal(wanted, hash + 2);
    db_commit(&db);
    check_found(&db, "wanted", NS_OK, hash + 2, true);
    /* The dropped name gets its own id again, though a lower one is free by now; others keep off
     * it. */
    db_drop(&db, "x");
    db_drop(&db, "wanted");
    ns_keyspace id;
    CHECK_OK(ns__view_new_keyspace_id(&db.view, ns_str("wanted"), &id));
    assert_int_equal(id, hash + 2);
    CHECK_OK(ns__writeset_create(&db.set, ns_str("wanted"), id));
    db_commit(&db);
    check_found(&db, "x", NS_NOTFOUND, 0, false);
    check_found(&db, "wanted", NS_OK, hash + 2, true);
    db_drop(&db, "wanted");
    db_commit(&db);
    assert_int_equal(db_create(&db, "wanted"), hash);
    db_deinit(&db);
}

static void looking_for_an_id_ends_when_the_root_counts_wrongly(void **state)
{
    (void)state;
    struct db db;
    ns_keyspace id;
    db_init(&db, 1);
    occupy(&db, "wanted", 0, "a");
    occupy(&db, "wanted", 1, "b");
    occupy(&db, "wanted", 2, "c");
    db_commit(&db);
    db.view.root.keyspaces = 0;
    CHECK_STATUS(ns__view_new_keyspace_id(&db.view, ns_str("wanted"), &id), NS_CORRUPT);
    assert_int_equal(id, 0);
    db_deinit(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_is_the_catalogue_with_the_set_over_it),
        cmocka_unit_test(a_name_is_found_where_it_is),
        cmocka_unit_test(an_id_in_use_is_passed_over_here_and_in_the_base),
        cmocka_unit_test(looking_for_an_id_ends_when_the_root_counts_wrongly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
