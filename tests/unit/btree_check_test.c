/* btree_check_test.c: the checker notices what it should, and nothing crashes on hostile nodes.
 * Covers: wrong counters, birth, type, order, bounds, misplaced values; random nodes that pass
 * validation but hold nonsense, under every operation of the floor. */
#include "btree_world.h"

static const struct world_case plain = {
    .page_size = 4096, .keys = KEYS_RANDOM16, .values = VALUES_100, .entries_max = 5000};

static void load_plain(struct world *world, size_t entries)
{
    world_init(world, &plain, 5);
    world_step(world, entries);
    assert_true(world->tree.entries >= 3);
}

static void want_corrupt(const struct world *world, bool is_catalogue, const char *detail)
{
    CHECK_STATUS(ns__btree_check(&stub.pages, &world->tree, is_catalogue, stub.generation,
                                 &stub.alloc, NULL, NULL),
                 NS_CORRUPT);
    if (strstr(ns_error_detail(), detail) == NULL) {
        fail_msg("wanted '%s', got '%s'", detail, ns_error_detail());
    }
}

static uint8_t *leftmost_leaf(const struct world *world)
{
    uint8_t *node = stub_node(world->tree.ref);
    while (ns__node_level(node) > 0)
        node = stub_node(ns__node_ref(node, 0));
    return node;
}

static void counters_are_compared(void **state)
{
    (void)state;
    struct world world;
    load_plain(&world, 500);
    struct ns__tree good = world.tree;
    world.tree.entries++;
    want_corrupt(&world, false, "entries, but has");
    world.tree = good;
    world.tree.pages++;
    want_corrupt(&world, false, "nodes, but has");
    world.tree.pages -= 2;
    want_corrupt(&world, false, "the tree has more than the");
    world.tree = good;
    world.tree.overflow_pages = 1;
    want_corrupt(&world, false, "overflow pages, but has 0");
    world.tree = good;
    want_corrupt(&world, true, "leaf of the wrong type");
    world_deinit(&world);
}

static void births_are_compared(void **state)
{
    (void)state;
    struct world world;
    load_plain(&world, 500);
    stub.generation--;
    want_corrupt(&world, false, "after the root");
    stub.generation++;
    world_deinit(&world);
}

static void order_and_bounds_are_checked(void **state)
{
    (void)state;
    struct world world;
    load_plain(&world, 500);
    uint8_t *leaf = leftmost_leaf(&world), *root = stub_node(world.tree.ref);
    uint8_t *heads = leaf + ns__node_heads_offset(leaf), kept[8];
    memcpy(kept, heads, 8);
    ns__store32(heads, ns__load32(heads + 4)); /* equal heads: the tails decide, mostly wrongly */
    ns__store32(heads + 4, ns__load32(heads));
    bool is_ordered = ns__btree_check(&stub.pages, &world.tree, false, stub.generation, &stub.alloc,
                                      NULL, NULL) == NS_OK;
    if (!is_ordered) want_corrupt(&world, false, "keys out of order");
    memcpy(heads, kept, 8);

    uint64_t first = ns__node_ref(root, 0), second = ns__node_ref(root, 1);
    ns__node_ref_swing(root, 0, second);
    want_corrupt(&world, false, "key not below the next separator");
    ns__node_ref_swing(root, 0, first);
    ns__node_ref_swing(root, 1, first);
    want_corrupt(&world, false, "key below the separator of its node");
    ns__node_ref_swing(root, 1, second);
    ns__node_ref_swing(root, 1, world.tree.ref);
    want_corrupt(&world, false, "level");
    ns__node_ref_swing(root, 1, second);
    stub_check(&world.tree, false);
    world_deinit(&world);
}

/* ---- hostile nodes ---- */

/* Damages some frames of the tree so that they still pass validation. */
static void poison_tree(struct world *world, uint32_t wanted)
{
    uint32_t done = 0;
    for (uint32_t tries = 0; tries < 20000 && done < wanted; tries++) {
        uint32_t number = 1 + (uint32_t)below(world, 1500);
        if (stub.state[1][number] != STUB_LIVE) continue;
        uint8_t *node = stub_node(ns__ref_frame(number)), kept[4096];
        memcpy(kept, node, 4096);
        uint32_t span = below(world, 2) == 0 ? ns__node_arrays_end(node) : 4096;
        for (uint64_t n = 1 + below(world, 3); n > 0; n--) {
            uint32_t at = 18 + (uint32_t)below(world, span - 18);
            node[at] = below(world, 2) == 0 ? (uint8_t)(node[at] ^ 1)
                                            : (uint8_t)ns__prng_next(&world->prng);
        }
        bool has_same_refs = true; /* a reference to nowhere is the pager's to find */
        if (ns__node_has_refs(kept)) {
            uint32_t refs = ns__node_refs_offset(kept);
            has_same_refs = ns__node_count(node) == ns__node_count(kept) &&
                            ns__node_refs_offset(node) == refs &&
                            memcmp(node + refs, kept + refs, 8u * ns__node_count(kept)) == 0;
        }
        bool has_runs = false;
        for (uint32_t i = 0; ns__node_level(kept) == 0 && i < ns__node_count(kept); i++) {
            struct ns__node_entry entry;
            ns__node_entry(kept, i, &entry);
            has_runs = has_runs || entry.is_run;
        }
        if (has_same_refs && !has_runs && ns__node_invalid(node, 4096, false) == NULL) {
            done++;
        } else {
            memcpy(node, kept, 4096);
        }
    }
}

static void fine_or(ns_status status, ns_status other)
{
    assert_true(status == NS_OK || status == other || status == NS_CORRUPT);
}

static void no_write(void *ctx, const char *text)
{
    *(size_t *)ctx += strlen(text);
}

static void read_everything(struct world *world)
{
    struct ns__btree_cursor cursor;
    struct ns__btree_shape shape;
    size_t bytes = 0, steps = 0;
    ns_slice value;
    CHECK_OK(ns__btree_cursor_init(&cursor, &stub.pages, &world->tree, &stub.alloc));
    ns_status status = ns__btree_cursor_first(&cursor);
    for (; status == NS_OK; steps++) {
        fine_or(ns__btree_cursor_entry(&cursor, &value, NULL, NULL), NS_OK);
        status = ns__btree_cursor_next(&cursor);
    }
    fine_or(status, NS_NOTFOUND);
    assert_true(steps <= 2 * world->count + 1000);
    for (status = ns__btree_cursor_last(&cursor); status == NS_OK;) {
        status = ns__btree_cursor_prev(&cursor);
    }
    for (int i = 0; i < 50; i++) {
        ns_slice key = any_key(world, true);
        fine_or(ns__btree_get(&stub.pages, &world->tree, key, &value, NULL, NULL), NS_NOTFOUND);
        fine_or(ns__btree_cursor_seek(&cursor, key), NS_NOTFOUND);
        fine_or(ns__btree_cursor_seek_before(&cursor, key), NS_NOTFOUND);
        free((void *)(uintptr_t)key.data);
    }
    fine_or(
        ns__btree_check(&stub.pages, &world->tree, false, stub.generation, &stub.alloc, NULL, NULL),
        NS_OK);
    fine_or(ns__btree_shape(&stub.pages, &world->tree, &shape), NS_OK);
    fine_or(ns__btree_dump(&stub.pages, &world->tree, no_write, &bytes), NS_OK);
    ns__btree_cursor_deinit(&cursor);
}

static void hostile_nodes_give_wrong_answers_at_worst(void **state)
{
    (void)state;
    uint64_t applied = 0, refused = 0;
    for (uint64_t seed = 0; seed < 120; seed++) {
        struct world world;
        struct world_case what = {"", 4096, KEYS_MIXED, VALUES_LIMIT, 0, 0, 30, 30, 3000, false};
        if (seed % 3 == 0) what.keys = KEYS_DEEP;
        if (seed % 2 == 0) what.values = VALUES_EMPTY;
        world_init(&world, &what, seed);
        for (int step = 0; step < 4; step++)
            world_step(&world, 120);
        poison_tree(&world, 1 + (uint32_t)below(&world, 6));
        read_everything(&world);
        for (int step = 0; step < 6; step++) {
            struct world_batch made;
            make_batch(&world, 40, &made);
            stub_begin();
            ns_status status =
                ns__btree_apply(stub_change(), &world.tree, &made.batch, &stub.arena);
            fine_or(status, NS_OK);
            status == NS_OK ? applied++ : refused++;
            stub_settle(status != NS_OK);
            free_batch(&made);
            if (status != NS_OK) break;
        }
        read_everything(&world);
        stub_begin();
        fine_or(ns__btree_drop(stub_change(), &world.tree), NS_OK);
        stub_settle(false);
        model_remove(&world, 0, world.count);
        free(world.entries);
        stub_deinit();
    }
    print_message("  %llu batches applied, %llu refused\n", (unsigned long long)applied,
                  (unsigned long long)refused);
    assert_true(applied > 0 && refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_are_compared),
        cmocka_unit_test(births_are_compared),
        cmocka_unit_test(order_and_bounds_are_checked),
        cmocka_unit_test(hostile_nodes_give_wrong_answers_at_worst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
