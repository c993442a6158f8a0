/* btree_cursor_test.c: moving. Covers: the empty tree; turning at every entry and at both ends;
 * seeks to, between and beyond entries; a page that cannot be read; failing allocation; a cursor
 * that keeps its tree while newer ones are made. (Random trees: btree_apply_test.c.) */
#include "btree_world.h"

static const struct world_case plain = {
    .page_size = 4096, .keys = KEYS_RANDOM16, .values = VALUES_100, .entries_max = 5000};

static void an_empty_tree_has_no_entries(void **state)
{
    (void)state;
    struct world world;
    struct ns__btree_cursor cursor;
    world_init(&world, &plain, 1);
    CHECK_OK(ns__btree_cursor_init(&cursor, &stub.pages, &world.tree, &stub.alloc));
    CHECK_STATUS(ns__btree_cursor_first(&cursor), NS_NOTFOUND);
    CHECK_STATUS(ns__btree_cursor_last(&cursor), NS_NOTFOUND);
    CHECK_STATUS(ns__btree_cursor_seek(&cursor, ns_str("a")), NS_NOTFOUND);
    CHECK_STATUS(ns__btree_cursor_seek_before(&cursor, ns_str("a")), NS_NOTFOUND);
    assert_false(ns__btree_cursor_is_on(&cursor));
    ns__btree_cursor_deinit(&cursor);
    ns__btree_cursor_deinit(&cursor); /* zeroed: fine */
    world_deinit(&world);
}

static void it_turns_at_every_entry(void **state)
{
    (void)state;
    struct world world;
    struct ns__btree_cursor cursor;
    world_init(&world, &plain, 2);
    for (int i = 0; i < 10; i++)
        world_step(&world, 200);
    assert_true(world.tree.pages > 20);
    CHECK_OK(ns__btree_cursor_init(&cursor, &stub.pages, &world.tree, &stub.alloc));
    for (size_t i = 0; i < world.count; i++) {
        CHECK_OK(ns__btree_cursor_seek(&cursor, entry_key(&world.entries[i])));
        want_entry(&world, &cursor, i);
        ns_status status = ns__btree_cursor_next(&cursor);
        CHECK_STATUS(status, i + 1 < world.count ? NS_OK : NS_NOTFOUND);
        if (status != NS_OK) continue;
        CHECK_OK(ns__btree_cursor_prev(&cursor));
        want_entry(&world, &cursor, i);
        CHECK_STATUS(ns__btree_cursor_prev(&cursor), i > 0 ? NS_OK : NS_NOTFOUND);
    }
    ns__btree_cursor_deinit(&cursor);
    world_deinit(&world);
}

static void an_unreadable_page_stops_it_and_only_there(void **state)
{
    (void)state;
    struct world world;
    struct ns__btree_cursor cursor;
    ns_slice keys[64], values[64];
    ns_status statuses[64];
    size_t good = 0, bad = 0;
    world_init(&world, &plain, 3);
    for (int i = 0; i < 5; i++)
        world_step(&world, 200);
    stub_checkpoint(&world.tree);
    uint8_t *root = stub_node(world.tree.ref);
    uint8_t *leaf = stub_node(ns__node_ref(root, 2));
    leaf[3000] ^= 1; /* not verified yet */

    CHECK_OK(ns__btree_cursor_init(&cursor, &stub.pages, &world.tree, &stub.alloc));
    ns_status status = ns__btree_cursor_first(&cursor);
    while (status == NS_OK)
        status = ns__btree_cursor_next(&cursor);
    CHECK_STATUS(status, NS_CORRUPT);
    assert_non_null(strstr(ns_error_detail(), "checksum mismatch"));
    assert_false(ns__btree_cursor_is_on(&cursor));
    CHECK_OK(ns__btree_cursor_last(&cursor));

    for (size_t i = 0; i < 64; i++)
        keys[i] = entry_key(&world.entries[i * world.count / 64]);
    CHECK_OK(ns__btree_get_many(&stub.pages, &world.tree, 64, keys, values, statuses));
    for (size_t i = 0; i < 64; i++) {
        ns_slice value;
        CHECK_STATUS(ns__btree_get(&stub.pages, &world.tree, keys[i], &value, NULL, NULL),
                     statuses[i]);
        assert_true(value.data == values[i].data && value.size == values[i].size);
        good += statuses[i] == NS_OK;
        bad += statuses[i] == NS_CORRUPT;
    }
    assert_true(good > 0 && bad > 0 && good + bad == 64);
    leaf[3000] ^= 1;
    ns__btree_cursor_deinit(&cursor);
    world_deinit(&world);
}

static void *no_memory(void *ctx, size_t size)
{
    (void)ctx;
    (void)size;
    return NULL;
}

static void without_memory_there_is_no_cursor(void **state)
{
    (void)state;
    struct world world;
    struct ns__btree_cursor cursor;
    world_init(&world, &plain, 4);
    struct ns__alloc alloc = stub.alloc;
    alloc.seam.alloc = no_memory;
    CHECK_STATUS(ns__btree_cursor_init(&cursor, &stub.pages, &world.tree, &alloc), NS_NOMEM);
    ns__btree_cursor_deinit(&cursor);
    world_deinit(&world);
}

static void an_old_tree_stays_as_it_was(void **state)
{
    (void)state;
    struct world world;
    struct ns__btree_cursor cursor;
    world_init(&world, &plain, 5);
    for (int i = 0; i < 5; i++)
        world_step(&world, 200);
    struct ns__tree old = world.tree;
    world.what.delete_percent = 60;
    struct world_batch made;
    make_batch(&world, 500, &made);
    stub_begin();
    CHECK_OK(ns__btree_apply(stub_change(), &world.tree, &made.batch, &stub.arena));
    CHECK_OK(ns__btree_check(&stub.pages, &old, false, stub.generation, &stub.alloc, NULL, NULL));
    CHECK_OK(ns__btree_cursor_init(&cursor, &stub.pages, &old, &stub.alloc));
    ns_status status = ns__btree_cursor_first(&cursor);
    for (size_t i = 0; i < world.count; i++) {
        CHECK_STATUS(status, NS_OK);
        want_entry(&world, &cursor, i);
        status = ns__btree_cursor_next(&cursor);
    }
    CHECK_STATUS(status, NS_NOTFOUND);
    ns__btree_cursor_deinit(&cursor);
    stub_settle(false);
    model_apply(&world, &made);
    free_batch(&made);
    want_scans(&world);
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_tree_has_no_entries),
        cmocka_unit_test(it_turns_at_every_entry),
        cmocka_unit_test(an_unreadable_page_stops_it_and_only_there),
        cmocka_unit_test(without_memory_there_is_no_cursor),
        cmocka_unit_test(an_old_tree_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
