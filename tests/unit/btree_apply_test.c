/* btree_apply_test.c: applying batches (FMT-10, FMT-11, FMT-13). Covers: random batches of every
 * kind of key and value against a sorted array, each step ending in the checker and the
 * conservation law; the same over file pages; failure at every allocation of a node; fill after
 * append and after random load. */
#include "btree_world.h"

static const struct world_case cases[] = {
    /* name          page   keys             values        batches ops del range most  catalogue */
    {"one by one", 4096, KEYS_RANDOM16, VALUES_100, 1500, 1, 20, 1, 2000, false},
    {"random", 4096, KEYS_RANDOM16, VALUES_100, 200, 100, 20, 5, 3000, false},
    {"ranges", 4096, KEYS_RANDOM16, VALUES_100, 300, 200, 5, 60, 8000, false},
    {"short", 4096, KEYS_SHORT, VALUES_EMPTY, 300, 60, 40, 10, 700, false},
    {"long", 4096, KEYS_LONG, VALUES_MIXED, 200, 20, 30, 10, 400, false},
    {"deep", 4096, KEYS_DEEP, VALUES_MIXED, 200, 40, 30, 10, 800, false},
    {"deep, few", 4096, KEYS_DEEP, VALUES_EMPTY, 600, 4, 30, 20, 800, false},
    {"limits", 4096, KEYS_MIXED, VALUES_LIMIT, 300, 20, 30, 10, 500, false},
    {"runs", 4096, KEYS_RANDOM16, VALUES_RUNS, 200, 20, 30, 10, 300, false},
    {"ascending", 4096, KEYS_ASCENDING, VALUES_100, 150, 100, 0, 3, 6000, false},
    {"descending", 4096, KEYS_DESCENDING, VALUES_100, 150, 100, 0, 3, 6000, false},
    {"mixed", 4096, KEYS_MIXED, VALUES_MIXED, 300, 50, 30, 10, 900, false},
    {"mixed, 8K", 8192, KEYS_MIXED, VALUES_MIXED, 150, 80, 30, 10, 900, false},
    {"mixed, 64K", 65536, KEYS_MIXED, VALUES_MIXED, 80, 100, 30, 10, 900, false},
    {"long, 64K", 65536, KEYS_LONG, VALUES_EMPTY, 60, 60, 30, 10, 600, false},
    {"short, 32K", 32768, KEYS_RANDOM16, VALUES_EMPTY, 80, 2000, 20, 10, 30000, false},
    {"catalogue", 4096, KEYS_RANDOM16, VALUES_100, 200, 50, 30, 10, 800, true},
};

static uint64_t seed_of_run(void)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 20240607;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void random_batches_give_what_a_sorted_array_gives(void **state)
{
    (void)state;
    uint64_t seed = seed_of_run();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world world;
        world_init(&world, &cases[i], seed + i);
        print_message("%s\n", cases[i].name);
        for (uint32_t step = 0; step < cases[i].batches; step++) {
            world_step(&world, 1 + below(&world, cases[i].ops));
            want_lookups(&world, 8);
            if (step % 16 == 0) want_scans(&world);
            if (below(&world, 10) == 0) {
                stub_checkpoint(&world.tree);
                stub_check(&world.tree, cases[i].is_catalogue);
            }
        }
        want_scans(&world);
        world_deinit(&world);
    }
}

static void a_tree_shrinks_to_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world world;
        world_init(&world, &cases[i], 7 + i);
        for (int step = 0; step < 15; step++)
            world_step(&world, 200);
        world.what.delete_percent = 100;
        world.what.range_percent = i % 3 == 0 ? 30 : 0;
        while (world.count > 0)
            world_step(&world, 1 + below(&world, world.count / 8 + 4));
        assert_int_equal(world.tree.ref, 0);
        assert_int_equal(world.tree.pages, 0);
        world_deinit(&world);
    }
}

static void a_failed_apply_leaves_the_tree_as_it_was(void **state)
{
    (void)state;
    struct world world;
    world_init(&world,
               &(struct world_case){.page_size = 4096,
                                    .keys = KEYS_MIXED,
                                    .values = VALUES_MIXED,
                                    .delete_percent = 30,
                                    .range_percent = 50,
                                    .entries_max = 1000},
               3);
    for (int step = 0; step < 10; step++)
        world_step(&world, 100);
    for (int round = 0; round < 10; round++) {
        struct world_batch made;
        make_batch(&world, 60, &made);
        uint64_t fail_at = 0;
        ns_status status;
        do {
            struct ns__tree before = world.tree;
            stub_begin();
            stub.fail_after = ++fail_at;
            status = ns__btree_apply(stub_change(), &world.tree, &made.batch, &stub.arena);
            stub.fail_after = 0;
            stub_settle(status != NS_OK);
            if (status != NS_OK) assert_memory_equal(&before, &world.tree, sizeof before);
            stub_check(&world.tree, false);
        } while (status == NS_NOMEM);
        CHECK_STATUS(status, NS_OK);
        assert_true(fail_at > 1);
        model_apply(&world, &made);
        free_batch(&made);
        want_scans(&world);
    }
    world_deinit(&world);
}

/* ---- fill ---- */

static double fill_percent(const struct ns__tree *tree)
{
    struct ns__btree_shape shape;
    CHECK_OK(ns__btree_shape(&stub.pages, tree, &shape));
    double bytes = (double)(shape.leaves * stub.pages.page_size);
    print_message("  %llu entries, height %u, leaves %llu, leaf fill %.1f%%, branch fill %.1f%%\n",
                  (unsigned long long)shape.entries, shape.height, (unsigned long long)shape.leaves,
                  100.0 * (double)shape.leaf_bytes_used / bytes,
                  100.0 * (double)shape.branch_bytes_used /
                      (double)(shape.branches * stub.pages.page_size));
    return 100.0 * (double)shape.leaf_bytes_used / bytes;
}

static double load(enum world_keys keys, size_t batches, size_t ops)
{
    struct world world;
    world_init(
        &world,
        &(struct world_case){
            .page_size = 4096, .keys = keys, .values = VALUES_100, .entries_max = UINT32_MAX},
        11);
    for (size_t i = 0; i < batches; i++) {
        struct world_batch made;
        make_batch(&world, ops, &made);
        stub_begin();
        CHECK_OK(ns__btree_apply(stub_change(), &world.tree, &made.batch, &stub.arena));
        stub_settle(false);
        free_batch(&made);
        world.version += 1;
    }
    stub_check(&world.tree, false);
    double percent = fill_percent(&world.tree);
    world_deinit(&world);
    return percent;
}

static void append_leaves_full_leaves_behind(void **state)
{
    (void)state;
    assert_true(load(KEYS_ASCENDING, 200, 100) >= 95.0);
    assert_true(load(KEYS_ASCENDING, 4000, 1) >= 95.0);
}

static void random_load_fills_three_quarters(void **state)
{
    (void)state;
    assert_true(load(KEYS_RANDOM16, 400, 100) >= 75.0);
    assert_true(load(KEYS_RANDOM16, 4, 10000) >= 75.0);
    assert_true(load(KEYS_DESCENDING, 200, 100) >= 66.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_batches_give_what_a_sorted_array_gives),
        cmocka_unit_test(a_tree_shrinks_to_nothing),
        cmocka_unit_test(a_failed_apply_leaves_the_tree_as_it_was),
        cmocka_unit_test(append_leaves_full_leaves_behind),
        cmocka_unit_test(random_load_fills_three_quarters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
