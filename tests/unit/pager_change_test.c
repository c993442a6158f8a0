/* pager_change_test.c: a change is all or nothing: what it made and dropped counts only once it
 * is published; an aborted one leaves nothing behind, wherever it failed; one that was prepared
 * can no longer fail. */
#include "pager_world.h"

#define PAGE 4096u

/* ---- what an abort must bring back ---- */

struct figures {
    uint64_t frames_left, frames_used, dirty, promised, events, waiting;
};

static struct figures figures_of(struct world *world)
{
    const struct ns__pager *pager = world->pager;
    return (struct figures){
        .frames_left = ns__pager_frames_left(pager),
        .frames_used = ns__pager_frames_used(pager),
        .dirty = pager->dirty,
        .promised = pager->space.promised,
        .events = pager->event_count,
        .waiting = pager->waiting_pages.pages + pager->waiting_frames.pages,
    };
}

static void check_same_figures(struct world *world, const struct figures *before)
{
    struct figures now = figures_of(world);
    assert_memory_equal(&now, before, sizeof now);
    world_check_space(world, false);
    world_check_content(world);
}

static struct world *aged(uint64_t frame_bytes)
{
    struct world *world = world_new(0, PAGE, frame_bytes);
    struct ns__prng prng = {.state = 1};
    for (int i = 0; i < 3; i++) {
        world_churn(world, &prng, 600);
        if (i < 2) CHECK_OK(world_checkpoint(world));
    }
    return world;
}

static void an_aborted_change_has_never_been(void **state)
{
    (void)state;
    const uint64_t frame_bytes[] = {64 * PAGE, 1000 * PAGE}; /* with and without spills */
    for (size_t f = 0; f < 2; f++) {
        struct world *world = aged(frame_bytes[f]);
        struct picture *held = world_hold(world);
        struct ns__prng prng = {.state = 2};
        struct figures before = figures_of(world);
        for (int i = 0; i < 8; i++) {
            struct edit edits[WORLD_EDITS];
            struct ns__root root = world->newest.root;
            uint32_t deletes = i % 2 == 0 ? 10 : 90;
            size_t count = random_edits(world, &prng, 700, deletes, edits);
            struct ns__change *change =
                ns__change_begin(world->pager, root.generation + 1, i % 3 == 0);
            CHECK_OK(world_apply(world, change, &root.main, edits, count));
            ns__change_abort(change);
            check_same_figures(world, &before);
        }
        world_let_go(world, held);
        CHECK_OK(world_checkpoint(world));
        world_check(world);
        world_check_reopened(world);
        world_free(world);
    }
}

/* S4 */
static void an_abort_after_prepare_keeps_the_promise(void **state)
{
    (void)state;
    struct world *world = aged(1000 * PAGE);
    struct ns__pager *pager = world->pager;
    struct ns__prng prng = {.state = 3};
    const uint32_t deletes[] = {0, 100};
    for (size_t i = 0; i < 2; i++) {
        struct edit edits[WORLD_EDITS];
        struct ns__root root;
        size_t count = random_edits(world, &prng, WORLD_EDITS, deletes[i], edits);
        CHECK_OK(world_prepare(world, edits, count, false, &root));
        ns__change_abort(&pager->change);
        assert_true(pager->space.promised >= pager->dirty);
        world_check_space(world, false);
    }
    CHECK_OK(world_checkpoint(world));
    world_check(world);
    world_free(world);
}

static void dropping_ones_own_nodes_and_runs_gives_them_back(void **state)
{
    (void)state;
    struct world *world = aged(1000 * PAGE);
    struct ns__prng prng = {.state = 4};
    struct figures before = figures_of(world);
    struct ns__root root = world->newest.root;
    struct ns__tree main = root.main, other = {0};
    struct ns__change *change = ns__change_begin(world->pager, root.generation + 1, false);
    for (int i = 0; i < 4; i++) { /* a tree that comes and goes within the change */
        struct edit edits[WORLD_EDITS];
        size_t count = random_edits(world, &prng, 500, 0, edits);
        CHECK_OK(world_apply(world, change, &other, edits, count));
    }
    assert_true(other.pages > 10 && other.overflow_pages > 10);
    CHECK_OK(ns__btree_drop(change, &other));
    assert_int_equal(other.ref, NS__REF_NONE);
    CHECK_OK(ns__change_prepare(change));
    root.main = main;
    root.generation++;
    world_publish(world, NULL, 0, &root);
    struct figures now = figures_of(world);
    assert_int_equal(now.frames_used, before.frames_used);
    assert_int_equal(now.dirty, before.dirty);
    assert_int_equal(now.waiting, before.waiting);
    assert_int_equal(now.events, before.events);
    world_check_space(world, false);
    CHECK_OK(world_checkpoint(world));
    world_check(world);
    world_check_reopened(world);
    world_free(world);
}

static void what_is_dropped_waits_for_its_holder_and_for_both_metas(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, 1000 * PAGE);
    struct ns__prng prng = {.state = 5};
    world_churn(world, &prng, 800);
    CHECK_OK(world_checkpoint(world));
    struct picture *held = world_hold(world);
    struct ns__root root = world->newest.root;
    uint64_t pages = root.main.pages + root.main.overflow_pages;
    struct ns__change *change = ns__change_begin(world->pager, ++root.generation, false);
    CHECK_OK(ns__btree_drop(change, &root.main));
    CHECK_OK(ns__change_prepare(change));
    memset(world->newest.stamps, 0, sizeof world->newest.stamps);
    world_publish(world, NULL, 0, &root);
    const struct ns__waiting *waiting = &world->pager->waiting_pages;
    assert_int_equal(waiting->pages, pages);
    world_check(world);
    CHECK_OK(world_checkpoint(world));
    world_let_go(world, held);
    assert_int_equal(waiting->pages, pages); /* the older meta has it */
    world_check(world);
    world_churn(world, &prng, 1);
    CHECK_OK(world_checkpoint(world));
    assert_int_equal(waiting->pages, 0);
    world_check(world);
    world_free(world);
}

/* ---- spills ---- */

static void a_spilled_change_shows_the_same_content(void **state)
{
    (void)state;
    struct world *small = world_new(0, PAGE, 1), *large = world_new(0, PAGE, 4000 * PAGE);
    assert_int_equal(small->pager->frame_limit - 1, 64); /* the least */
    for (int i = 0; i < 6; i++) {
        struct edit edits[WORLD_EDITS];
        struct ns__prng prng = {.state = (uint64_t)i};
        size_t count = random_edits(large, &prng, WORLD_EDITS, 20, edits);
        CHECK_OK(world_try(large, edits, count));
        watch.world = small;
        CHECK_OK(world_try(small, edits, count));
        world_check_content(small);
        world_check_space(small, false);
        assert_int_equal(small->newest.root.main.entries, large->newest.root.main.entries);
    }
    assert_true(small->pager->spills > 100);
    assert_int_equal(large->pager->spills, 0);
    world_check_content(large);
    CHECK_OK(world_checkpoint(small));
    CHECK_OK(world_checkpoint(large));
    world_check(small);
    world_check_reopened(small);
    world_free(small);
    world_free(large);
}

static void check_no_frames_below(struct world *world, uint64_t ref)
{
    const uint8_t *node;
    if (ref == NS__REF_NONE) return;
    CHECK_OK(ns__pages_node(&world->pager->pages, ref, NS__LEVEL_ANY, &node));
    if (!ns__node_has_refs(node)) return;
    bool in_file = !ns__ref_is_frame(ref);
    for (uint32_t i = ns__node_arrays_end(node); in_file && i < ns__node_heap(node); i++) {
        assert_int_equal(node[i], 0);
    }
    for (uint32_t i = 0; i < ns__node_count(node); i++) {
        uint64_t child = ns__node_ref(node, i);
        if (in_file) assert_false(ns__ref_is_frame(child));
        check_no_frames_below(world, child);
    }
}

/* K1 for spills: also of branches whose children lie in frames. */
static void what_is_spilled_holds_no_references_to_frames(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++) { /* wide: branches below branches */
        struct world *world = world_new(0, PAGE, 128 * PAGE);
        struct ns__prng prng = {.state = 6};
        world->is_wide = wide == 1;
        for (int i = 0; i < 40; i++) {
            world_churn(world, &prng, i % 4 == 0 ? 900 : 30);
            check_no_frames_below(world, world->newest.root.main.ref);
            if (i % 8 == 7) CHECK_OK(world_checkpoint(world));
        }
        for (int i = 0; i < 150; i++) { /* until a root is spilled whose branches lie in frames */
            world_churn(world, &prng, 1);
            if (i % 3 == 0) check_no_frames_below(world, world->newest.root.main.ref);
        }
        assert_true(world->pager->spills > 0);
        world_check_space(world, false);
        CHECK_OK(world_checkpoint(world));
        world_check(world);
        world_check_reopened(world);
        world_free(world);
    }
}

/* Neither a parked reader nor a huge change stops a writer. */
static void a_parked_reader_that_holds_all_frames_does_not_stop_changes(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, 100 * PAGE);
    struct ns__prng prng = {.state = 7};
    for (int i = 0; i < 12; i++) {
        world_churn(world, &prng, 300);
        if (i < 4) (void)world_hold(world);
        if (i % 3 == 2) CHECK_OK(world_checkpoint(world));
        world_check_space(world, false);
    }
    assert_true(ns__pager_frames_left(world->pager) <= world->pager->spill_floor + 40);
    world_check_content(world);
    for (uint32_t i = 0; i < WORLD_HOLDERS; i++) {
        if (world->held[i].is_held) world_let_go(world, &world->held[i]);
    }
    CHECK_OK(world_checkpoint(world));
    assert_int_equal(ns__pager_frames_used(world->pager), 0);
    world_check(world);
    world_free(world);
}

/* ---- runs ---- */

static void a_run_holds_its_value_and_zeros_behind_it(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, 200 * PAGE);
    const size_t sizes[] = {1, 4095, 4096, 4097, 8192, 100000, 3000001};
    uint8_t *value = malloc(3000001), *file = malloc(3000001 + PAGE);
    assert_true(value != NULL && file != NULL);
    struct ns__root root = world->newest.root;
    struct ns__change *change = ns__change_begin(world->pager, ++root.generation, false);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct ns__run run;
        ns_slice found;
        uint64_t pages = ns__pages_of(sizes[i], PAGE);
        memset(value, (int)(i + 1), sizes[i]);
        CHECK_OK(ns__change_run_write(change, ns_bytes(value, sizes[i]), &run));
        assert_int_equal(run.birth, root.generation);
        CHECK_OK(ns__pages_run(&world->pager->pages, &run, sizes[i], &found));
        assert_memory_equal(found.data, value, sizes[i]);
        CHECK_OK(ns__file_read(&world->pager->file, run.page * PAGE, file, pages * PAGE));
        for (uint64_t b = sizes[i]; b < pages * PAGE; b++) {
            assert_int_equal(file[b], 0); /* FMT-11 */
        }
        if (i % 2 == 0) CHECK_OK(ns__change_run_drop(change, &run, sizes[i]));
    }
    ns__change_abort(change);
    free(value);
    free(file);
    world_check(world);
    world_free(world);
}

static void a_birth_after_its_root_is_corruption(void **state)
{
    (void)state;
    struct world *world = aged(1000 * PAGE);
    struct ns__root root = world->newest.root;
    struct ns__change *change = ns__change_begin(world->pager, root.generation + 1, false);
    struct ns__run run = {.page = 40, .birth = root.generation + 2};
    CHECK_STATUS(ns__change_run_drop(change, &run, 5000), NS_CORRUPT);
    assert_non_null(strstr(ns_error_detail(), "page 40: "));
    ns__change_abort(change);
    change = ns__change_begin(world->pager, world->pager->meta->generation - 1, false);
    CHECK_STATUS(ns__change_node_drop(change, world->pager->meta->main.ref), NS_CORRUPT);
    ns__change_abort(change);
    world_check_space(world, false);
    CHECK_OK(world_checkpoint(world));
    world_check(world);
    world_free(world);
}

/* ---- want of memory, space and luck ---- */

/* G2 */
static void a_prepared_change_needs_no_memory_any_more(void **state)
{
    (void)state;
    const uint64_t frame_bytes[] = {64 * PAGE, 2000 * PAGE};
    for (size_t f = 0; f < 2; f++) {
        struct world *world = aged(frame_bytes[f]);
        struct ns__prng prng = {.state = 8};
        for (int i = 0; i < 10; i++) {
            struct edit edits[WORLD_EDITS];
            struct ns__root root;
            size_t count = random_edits(world, &prng, 100 + 130 * (size_t)i, 40, edits);
            if (i == 3) (void)world_hold(world);
            CHECK_OK(world_prepare(world, edits, count, false, &root));
            world->dry.is_counting = true;
            world->dry.left = 0;
            uint64_t calls = world->dry.calls;
            world_publish(world, edits, count, &root);
            assert_int_equal(world->dry.calls, calls);
            world->dry.is_counting = false;
            world_check_space(world, false);
            if (i % 4 == 3) CHECK_OK(world_checkpoint(world));
        }
        world_check_content(world);
        CHECK_OK(world_checkpoint(world));
        world_check(world);
        world_free(world);
    }
}

static void want_of_memory_at_any_point_leaves_nothing_behind(void **state)
{
    (void)state;
    struct world *world = aged(64 * PAGE);
    struct ns__prng prng = {.state = 9};
    struct edit edits[WORLD_EDITS];
    size_t count = random_edits(world, &prng, 500, 30, edits);
    struct figures before;
    ns_status status = NS_NOMEM;
    uint64_t step = 0;
    for (uint64_t left = 0; status != NS_OK; left++) {
        struct ns__root root;
        world_reopen(world); /* lists, pool and maps are empty again */
        before = figures_of(world);
        world->dry.is_counting = true;
        world->dry.left = left;
        status = world_prepare(world, edits, count, false, &root);
        world->dry.is_counting = false;
        if (status == NS_OK) {
            world_publish(world, edits, count, &root);
        } else {
            CHECK_STATUS(status, NS_NOMEM);
            struct figures now = figures_of(world);
            assert_memory_equal(&now, &before, sizeof now);
            if (step++ % 4 == 0) world_check_space(world, false);
        }
    }
    assert_true(step > 10);
    CHECK_OK(world_checkpoint(world));
    world_check(world);
    world_check_reopened(world);
    world_free(world);
}

/* COM-7 */
static void a_failed_write_at_any_point_leaves_nothing_behind(void **state)
{
    (void)state;
    const ns_status statuses[] = {NS_IO, NS_FULL};
    for (size_t s = 0; s < 2; s++) {
        struct world *world = aged(64 * PAGE);
        struct ns__prng prng = {.state = 10};
        struct edit edits[WORLD_EDITS];
        (void)world_hold(world); /* it keeps the frames, so that nodes are spilled */
        world_churn(world, &prng, WORLD_EDITS);
        size_t count = random_edits(world, &prng, WORLD_EDITS, 30, edits);
        struct figures before = figures_of(world);
        ns_status status = NS_IO;
        uint64_t nth = 1;
        for (; status != NS_OK; nth += 1 + nth / 8) {
            struct ns__root root;
            ns__mem_fail(world->mem, nth, 0, statuses[s], false);
            status = world_prepare(world, edits, count, false, &root);
            ns__mem_fail(world->mem, 0, 0, NS_OK, false);
            if (status == NS_OK) {
                world_publish(world, edits, count, &root);
            } else {
                CHECK_STATUS(status, statuses[s]);
                check_same_figures(world, &before);
            }
        }
        assert_true(nth > 20);
        CHECK_OK(world_checkpoint(world));
        world_check(world);
        world_check_reopened(world);
        world_free(world);
    }
}

/* FUL-1, FUL-2 */
static void a_full_disk_stops_the_change_and_lets_deletes_through(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, 2000 * PAGE);
    struct ns__prng prng = {.state = 11};
    world_churn(world, &prng, WORLD_EDITS);
    CHECK_OK(world_checkpoint(world));
    ns__mem_set_capacity(world->mem, ns__space_file_pages(&world->pager->space) * PAGE);
    ns_status status = NS_OK;
    for (int i = 0; i < 40 && status == NS_OK; i++) {
        status = world_churn_try(world, &prng, 200, 5);
    }
    CHECK_STATUS(status, NS_FULL);
    world_check_space(world, false);
    world_check_content(world);
    uint64_t entries = world->newest.root.main.entries;
    for (uint32_t key = 0; key < WORLD_KEYS; key += 400) { /* deletes dip into the reserve */
        struct edit edits[400];
        struct ns__root root;
        for (uint32_t i = 0; i < 400; i++)
            edits[i] = (struct edit){key + i, 0};
        CHECK_OK(world_prepare(world, edits, 400, true, &root));
        world_publish(world, edits, 400, &root);
        CHECK_OK(world_checkpoint(world));
    }
    assert_true(entries > 0 && world->newest.root.main.entries == 0);
    CHECK_OK(world_checkpoint(world));
    CHECK_OK(world_churn_try(world, &prng, 200, 0)); /* and there is room again */
    CHECK_OK(world_checkpoint(world));
    world_check(world);
    world_check_reopened(world);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_aborted_change_has_never_been),
        cmocka_unit_test(an_abort_after_prepare_keeps_the_promise),
        cmocka_unit_test(dropping_ones_own_nodes_and_runs_gives_them_back),
        cmocka_unit_test(what_is_dropped_waits_for_its_holder_and_for_both_metas),
        cmocka_unit_test(a_spilled_change_shows_the_same_content),
        cmocka_unit_test(what_is_spilled_holds_no_references_to_frames),
        cmocka_unit_test(a_parked_reader_that_holds_all_frames_does_not_stop_changes),
        cmocka_unit_test(a_run_holds_its_value_and_zeros_behind_it),
        cmocka_unit_test(a_birth_after_its_root_is_corruption),
        cmocka_unit_test(a_prepared_change_needs_no_memory_any_more),
        cmocka_unit_test(want_of_memory_at_any_point_leaves_nothing_behind),
        cmocka_unit_test(a_failed_write_at_any_point_leaves_nothing_behind),
        cmocka_unit_test(a_full_disk_stops_the_change_and_lets_deletes_through),
    };
    return cmocka_run_group_tests_name("pager_change", tests, NULL, NULL);
}
