/* pager_checkpoint_test.c: a checkpoint puts a root into the file beside readers and commits,
 * and a failed one has never been (spec/commit_v0.md, CKP). */
#include "pager_world.h"

#define FRAME_BYTES (UINT64_C(4) << 20)

/* ---- images ---- */

static void gap_is_zero(const struct world *world, const uint8_t *node)
{
    assert_true(ns__node_heap(node) <= world->file.page_size);
    for (uint32_t i = ns__node_arrays_end(node); i < ns__node_heap(node); i++) {
        assert_int_equal(node[i], 0);
    }
}

static void count_frame_refs(struct world *world, uint64_t ref, uint64_t *files, uint64_t *frames)
{
    const uint8_t *node;
    if (ref == NS__REF_NONE) return;
    if (ns__ref_is_frame(ref)) {
        (*frames)++;
        return;
    }
    CHECK_OK(ns__pages_node(&world->pager->pages, ref, NS__LEVEL_ANY, &node));
    (*files)++;
    gap_is_zero(world, node);
    if (!ns__node_has_refs(node)) return;
    for (uint32_t i = 0; i < ns__node_count(node); i++) {
        count_frame_refs(world, ns__node_ref(node, i), files, frames);
    }
}

/* K1 */
static void images_verify_and_hold_no_references_to_frames_and_nothing_of_others(void **state)
{
    (void)state;
    const uint32_t page_sizes[] = {4096, 8192, 65536};
    for (size_t i = 0; i < sizeof page_sizes / sizeof page_sizes[0]; i++) {
        struct world *world = world_new(0, page_sizes[i], FRAME_BYTES * (page_sizes[i] / 4096));
        struct ns__prng prng = {.state = i};
        world->is_wide = i == 1;
        for (int round = 0; round < 4; round++) {
            world_churn(world, &prng, WORLD_EDITS);
            CHECK_OK(world_checkpoint(world));
            uint64_t files = 0, frames = 0;
            count_frame_refs(world, world->pager->meta->main.ref, &files, &frames);
            assert_int_equal(frames, 0);
            assert_int_equal(files, world->newest.root.main.pages);
            world_check(world);
        }
        world_check_reopened(world);
        world_free(world);
    }
}

static void the_metas_take_turns_and_each_names_its_root(void **state)
{
    (void)state;
    struct world *world = world_new(0, 4096, FRAME_BYTES);
    struct ns__prng prng = {.state = 2};
    struct ns__meta *metas = calloc(2, sizeof *metas);
    assert_non_null(metas);
    for (uint64_t round = 0; round < 6; round++) {
        ns_status status[2];
        world_churn(world, &prng, 20);
        uint64_t generation = world->newest.root.generation;
        CHECK_OK(world_checkpoint(world));
        int newest = world_metas(world, metas, status);
        assert_int_equal(newest, (round + 3) % 2);
        assert_int_equal(metas[newest].sequence, round + 3);
        assert_int_equal(metas[newest].generation, generation);
        assert_int_equal(metas[newest].log_replay, world->newest.root.log_end);
        assert_int_equal(metas[1 - newest].sequence, round + 2);
        assert_int_equal(world->pager->older_generation, metas[1 - newest].generation);
        assert_true(ns__checkpoint_is_idle(world->pager, &world->newest.root, &world->fields));
    }
    free(metas);
    world_check(world);
    world_free(world);
}

static void a_checkpoint_of_nothing_new_writes_only_a_meta(void **state)
{
    (void)state;
    struct world *world = world_new(0, 4096, FRAME_BYTES);
    struct ns__prng prng = {.state = 3};
    world_churn(world, &prng, 100);
    CHECK_OK(world_checkpoint(world));
    uint64_t generation = world->newest.root.generation, written = world->pager->written;
    CHECK_OK(world_checkpoint(world));
    assert_int_equal(world->newest.root.generation, generation);
    assert_int_equal(world->pager->written, written);
    world_check(world);
    world_check_reopened(world);
    world_free(world);
}

/* The meta that was read may have come from a cache that a failed sync left behind. */
static void a_meta_that_was_read_is_written_again_before_the_other_one(void **state)
{
    (void)state;
    struct world *world = world_new(0, 4096, FRAME_BYTES);
    struct ns__prng prng = {.state = 12};
    world_churn(world, &prng, 100);
    CHECK_OK(world_checkpoint(world));
    uint64_t syncs = world->pager->file.sync_writes;
    CHECK_OK(ns__pager_confirm_meta(world->pager)); /* this handle wrote it */
    assert_int_equal(world->pager->file.sync_writes, syncs);
    for (int confirm = 0; confirm < 2; confirm++) {
        ns_slice content;
        uint8_t before[NS__BLOCK_BYTES];
        world_reopen(world);
        uint64_t newest = world->pager->meta->sequence % 2;
        CHECK_OK(ns__mem_file_get(world->mem, WORLD_PATH, &content));
        memcpy(before, (const uint8_t *)content.data + newest * 4096, NS__BLOCK_BYTES);
        if (confirm != 0) CHECK_OK(ns__pager_confirm_meta(world->pager));
        assert_int_equal(world->pager->file.sync_writes, confirm);
        world_churn(world, &prng, 10);
        CHECK_OK(world_checkpoint(world));
        assert_int_equal(world->pager->file.sync_writes, 2);
        CHECK_OK(ns__mem_file_get(world->mem, WORLD_PATH, &content));
        assert_memory_equal(before, (const uint8_t *)content.data + newest * 4096, NS__BLOCK_BYTES);
    }
    world_check(world);
    world_free(world);
}

/* ---- beside readers ---- */

static void old_snapshots_read_the_same_whatever_is_swung(void **state)
{
    (void)state;
    struct world *world = world_new(0, 4096, FRAME_BYTES);
    struct ns__prng prng = {.state = 4};
    struct picture *held[6] = {0};
    world_churn(world, &prng, WORLD_EDITS);
    for (int round = 0; round < 18; round++) {
        struct picture **slot = &held[round % 6];
        if (*slot != NULL) world_let_go(world, *slot);
        *slot = world_hold(world);
        world_churn(world, &prng, 1 + ns__prng_below(&prng, 200));
        if (round % 3 == 1) CHECK_OK(world_checkpoint(world));
        world_check(world);
    }
    world_check_reopened(world);
    world_free(world);
}

static void frames_that_a_checkpoint_wrote_are_reused_once_their_holders_are_gone(void **state)
{
    (void)state;
    struct world *world = world_new(0, 4096, FRAME_BYTES);
    struct ns__prng prng = {.state = 5};
    world_churn(world, &prng, WORLD_EDITS);
    struct picture *held = world_hold(world);
    uint64_t frames = ns__pager_frames_used(world->pager);
    assert_true(frames > 20);
    CHECK_OK(world_checkpoint(world));
    assert_int_equal(world->pager->dirty, 0);
    assert_int_equal(ns__pager_frames_used(world->pager), frames); /* held sees them */
    check_picture(world, held);
    world_let_go(world, held);
    assert_int_equal(ns__pager_frames_used(world->pager), 0);
    world_check(world);
    world_free(world);
}

/* ---- beside commits ---- */

static struct ns__prng beside; /* of the commits that run inside a checkpoint */
static uint32_t beside_left;   /* how many still may */
static bool beside_may_fail;

static void commit_at_write(struct world *world, uint64_t page, uint64_t pages)
{
    (void)page;
    (void)pages;
    if (beside_left == 0) return;
    beside_left--;
    ns_status status = world_churn_try(world, &beside, 1 + ns__prng_below(&beside, 120), 30);
    if (!beside_may_fail) CHECK_OK(status);
}

static void commit_at_sync(struct world *world)
{
    commit_at_write(world, 0, 0);
}

/* K2 */
static void the_page_of_a_frame_dropped_meanwhile_has_its_birth_and_death(void **state)
{
    (void)state;
    struct world *world = world_new(0, 4096, FRAME_BYTES);
    struct ns__prng prng = {.state = 6};
    world_churn(world, &prng, WORLD_EDITS);
    uint64_t born = world->newest.root.generation;
    struct picture *held = world_hold(world);
    beside.state = 60;
    beside_left = 1;
    watch.at_sync = commit_at_sync;
    CHECK_OK(world_checkpoint_of(world, held));
    watch.at_sync = NULL;
    assert_int_equal(beside_left, 0);
    world_let_go(world, held);
    const struct ns__waiting *waiting = &world->pager->waiting_pages;
    assert_true(waiting->pages > 10);
    uint64_t images = 0;
    for (const struct ns__thing *t = waiting->buckets[0].things; t != NULL; t = t->next) {
        assert_true(t->birth == born && t->death == born + 1);
        images += t->pages == 1;
    }
    assert_true(images > 10);
    world_check(world);
    CHECK_OK(world_checkpoint(world));
    world_check(world); /* still held by the older meta */
    assert_true(world->pager->waiting_pages.pages > 10);
    world_churn(world, &prng, 1);
    CHECK_OK(world_checkpoint(world));
    uint64_t left = world->pager->waiting_pages.pages;
    assert_true(left < images);
    world_check(world);
    world_check_reopened(world);
    world_free(world);
}

/* In a tree of three levels: references lie below nodes that are newer than the checkpoint. */
static void references_are_swung_at_every_level(void **state)
{
    (void)state;
    struct world *world = world_new(0, 4096, 2 * FRAME_BYTES);
    struct ns__prng prng = {.state = 13};
    world->is_wide = true;
    for (int i = 0; i < 4; i++) {
        CHECK_OK(world_churn_try(world, &prng, WORLD_EDITS, 0));
    }
    const uint8_t *root;
    CHECK_OK(
        ns__pages_node(&world->pager->pages, world->newest.root.main.ref, NS__LEVEL_ANY, &root));
    assert_int_equal(ns__node_level(root), 2);
    for (int round = 0; round < 6; round++) {
        beside.state = (uint64_t)round;
        beside_left = 1;
        watch.at_sync = commit_at_sync;
        CHECK_OK(world_checkpoint(world));
        watch.at_sync = NULL;
        assert_true(world->pager->dirty < 400);
        world_check(world);
        world_churn(world, &prng, 300);
    }
    CHECK_OK(world_checkpoint(world));
    assert_int_equal(world->pager->dirty, 0);
    world_check_reopened(world);
    world_free(world);
}

static void commits_at_any_write_or_sync_of_a_checkpoint_do_not_disturb_it(void **state)
{
    (void)state;
    struct world *world = world_new(0, 4096, FRAME_BYTES);
    struct ns__prng prng = {.state = 7};
    beside.state = 70;
    struct picture *held = NULL;
    for (int round = 0; round < 40; round++) {
        world_churn(world, &prng, 1 + ns__prng_below(&prng, 300));
        if (round % 5 == 0) {
            if (held != NULL) world_let_go(world, held);
            held = world_hold(world);
        }
        beside_left = 1 + (uint32_t)ns__prng_below(&beside, 5);
        watch.at_write = round % 2 == 0 ? commit_at_write : NULL;
        watch.at_sync = commit_at_sync;
        CHECK_OK(world_checkpoint(world));
        watch.at_write = NULL;
        watch.at_sync = NULL;
        if (round % 4 == 3) world_check(world);
    }
    world_check(world);
    world_check_reopened(world);
    world_free(world);
}

static void come_and_go(struct world *world)
{
    struct edit edit = {0, run_stamp(1000000)};
    CHECK_OK(world_try(world, &edit, 1));
    edit.stamp = 0;
    CHECK_OK(world_try(world, &edit, 1));
}

/* The pages of a value that came and went beside a checkpoint are free again: neither this one
 * nor the next is confused by what happened to them. */
static void pages_that_came_and_went_beside_a_checkpoint_do_not_confuse_it(void **state)
{
    (void)state;
    struct world *world = world_new(0, 4096, FRAME_BYTES);
    struct ns__prng prng = {.state = 8};
    world_churn(world, &prng, 400);
    CHECK_OK(world_checkpoint(world));
    for (int round = 0; round < 6; round++) {
        world_churn(world, &prng, 400);
        watch.after_begin = round % 3 != 2 ? come_and_go : NULL;
        watch.at_sync = round % 3 != 1 ? come_and_go : NULL;
        CHECK_OK(world_checkpoint(world));
        watch.after_begin = NULL;
        watch.at_sync = NULL;
        world_check(world);
        CHECK_OK(world_checkpoint(world));
        world_check(world);
    }
    world_check_reopened(world);
    world_free(world);
}

/* ---- FUL-1 ---- */

/* S4: what the frames of the newest root need is promised, whatever ran beside. */
static void check_promise(const struct world *world)
{
    const struct ns__pager *pager = world->pager;
    assert_true(pager->space.promised >= pager->dirty - pager->placed);
    assert_true(pager->space.promised <= pager->space.free_pages);
}

static void commit_or_be_full(struct world *world)
{
    if (beside_left == 0) return;
    beside_left--;
    ns_status status = world_churn_try(world, &beside, 60, 20);
    if (status != NS_OK) CHECK_STATUS(status, NS_FULL);
    check_promise(world);
}

static void a_checkpoint_never_fails_for_want_of_space(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct world *world = world_new(0, 4096, FRAME_BYTES);
        struct ns__prng prng = {.state = seed};
        beside.state = seed;
        uint32_t full = 0;
        for (int round = 0; round < 60 && full < 12; round++) {
            uint32_t deletes = full > 0 ? 60 : 20;
            ns_status status = world_churn_try(world, &prng, 100, deletes);
            if (round == 20) {
                ns__mem_set_capacity(world->mem, ns__space_file_pages(&world->pager->space) * 4096);
            }
            if (status != NS_OK) CHECK_STATUS(status, NS_FULL);
            full += status == NS_FULL;
            check_promise(world);
            if (status == NS_OK && round % 5 != 4) continue;
            watch.at_sync = seed % 2 == 0 ? commit_or_be_full : NULL;
            watch.after_begin = seed % 3 == 0 ? commit_or_be_full : NULL;
            beside_left = 2;
            CHECK_OK(world_checkpoint(world));
            watch.at_sync = NULL;
            watch.after_begin = NULL;
            world_check(world);
        }
        assert_true(full > 0);
        world_check(world);
        ns__mem_set_capacity(world->mem, 0);
        world_check_reopened(world);
        world_free(world);
    }
}

static ns_status beside_status;

static void replace_with_reserve(struct world *world)
{
    struct edit edits[WORLD_EDITS];
    struct ns__root root;
    size_t count = random_edits(world, &beside, WORLD_EDITS, 0, edits);
    beside_status = world_prepare(world, edits, count, true, &root);
    if (beside_status == NS_OK) world_publish(world, edits, count, &root);
    check_promise(world);
}

/* A change beside a checkpoint drops frames whose pages the checkpoint has taken: its own still
 * need theirs. */
static void frames_that_replace_placed_ones_need_pages_of_their_own(void **state)
{
    (void)state;
    for (uint64_t room = 0; room < 1200; room += 300) {
        struct world *world = world_new(0, 4096, 3 * FRAME_BYTES);
        struct ns__prng prng = {.state = 14};
        world->is_wide = true;
        for (int i = 0; i < 4; i++) {
            world_churn(world, &prng, WORLD_EDITS);
        }
        assert_true(world->pager->dirty > 400);
        uint64_t pages = ns__space_file_pages(&world->pager->space) + room;
        ns__mem_set_capacity(world->mem, pages * 4096);
        beside.state = room;
        watch.at_sync = replace_with_reserve;
        CHECK_OK(world_checkpoint(world));
        watch.at_sync = NULL;
        if (beside_status != NS_OK) CHECK_STATUS(beside_status, NS_FULL);
        check_promise(world);
        CHECK_OK(world_checkpoint(world));
        world_check(world);
        ns__mem_set_capacity(world->mem, 0);
        world_check_reopened(world);
        world_free(world);
    }
}

static void commit_and_check_promise(struct world *world)
{
    commit_at_sync(world);
    check_promise(world);
}

static void the_promise_covers_what_is_dirty_beside_a_checkpoint(void **state)
{
    (void)state;
    struct world *world = world_new(0, 4096, FRAME_BYTES);
    struct ns__prng prng = {.state = 9};
    beside.state = 9;
    for (int round = 0; round < 5; round++) {
        world_churn(world, &prng, 500);
        check_promise(world);
        watch.at_sync = commit_and_check_promise;
        beside_left = 2;
        CHECK_OK(world_checkpoint(world));
        watch.at_sync = NULL;
        check_promise(world);
    }
    world_check(world);
    world_free(world);
}

static void the_promise_is_kept_when_a_checkpoint_fails(void **state)
{
    (void)state;
    struct world *world = world_new(0, 4096, FRAME_BYTES);
    struct ns__prng prng = {.state = 10};
    world_churn(world, &prng, 500);
    ns__mem_fail(world->mem, 1, UINT64_C(1) << NS__MEM_WRITE, NS_IO, false);
    CHECK_STATUS(world_checkpoint(world), NS_IO);
    check_promise(world);
    CHECK_OK(world_checkpoint(world));
    check_promise(world);
    world_check(world);
    world_free(world);
}

/* ---- failures ---- */

/* A file with a checkpoint behind it and changes since. */
static struct world *aged(uint64_t seed)
{
    struct world *world = world_new(NS__MEM_DURABILITY, 4096, FRAME_BYTES);
    struct ns__prng prng = {.state = seed};
    world_churn(world, &prng, 300);
    CHECK_OK(world_checkpoint(world));
    world_churn(world, &prng, 300);
    CHECK_OK(world_checkpoint(world));
    struct picture *held = world_hold(world);
    world_churn(world, &prng, 100);
    (void)held;
    return world;
}

/* What a power cut leaves is the root before or the root of the checkpoint that failed. */
static void check_after_power_cut(struct world *world, const struct picture *attempted)
{
    struct ns__mem *after;
    CHECK_OK(ns__mem_crash(world->mem, 512, NULL, NULL, 1, &after));
    world_close(world);
    ns__mem_free(world->mem);
    world->mem = after;
    struct ns__meta *metas = calloc(2, sizeof *metas);
    assert_non_null(metas);
    ns_status status[2];
    int newest = world_metas(world, metas, status);
    assert_true(newest >= 0);
    if (metas[newest].txn_id == attempted->root.txn_id) world->metas[newest] = *attempted;
    free(metas);
    CHECK_OK(world_open(world));
    world_check_content(world);
    world_check_reopened(world);
}

/* Lets the nth call of a checkpoint fail; false: it has fewer calls. */
static bool fail_at(uint64_t nth, ns_status status)
{
    struct world *world = aged(nth);
    struct picture *attempted = world_hold(world);
    uint64_t free_pages = ns__space_free_pages(&world->pager->space);
    uint64_t file_pages = ns__space_file_pages(&world->pager->space);
    ns__mem_fail(world->mem, nth, 0, status, false);
    ns_status result = world_checkpoint_of(world, attempted);
    ns__mem_fail(world->mem, 0, 0, NS_OK, false);
    if (result != NS_OK && world->pager->file.sync_failed == 0) {
        CHECK_STATUS(result, status);
        assert_non_null(strstr(ns_error_detail(), "checkpoint: "));
        assert_int_equal(ns__space_file_pages(&world->pager->space), file_pages);
        assert_int_equal(ns__space_free_pages(&world->pager->space), free_pages);
        world_check_space(world, false);
        world_check_content(world);
        check_promise(world);
        CHECK_OK(world_checkpoint_of(world, attempted));
        world_check(world);
        world_check_reopened(world);
    } else if (result != NS_OK) {
        CHECK_STATUS(result, status);
        world_check_content(world); /* readers go on */
        CHECK_STATUS(ns__file_sync(&world->pager->file), NS_POISONED);
        check_after_power_cut(world, attempted);
    } else {
        world_check(world);
    }
    world_free(world);
    return result != NS_OK;
}

/* CKP-8 */
static void a_failure_at_any_call_undoes_the_checkpoint_or_poisons(void **state)
{
    (void)state;
    const ns_status statuses[] = {NS_IO, NS_FULL};
    for (size_t i = 0; i < 2; i++) {
        uint64_t nth = 1;
        while (fail_at(nth, statuses[i]))
            nth++;
        assert_true(nth > 4);
    }
}

static void want_of_memory_at_any_point_undoes_the_checkpoint(void **state)
{
    (void)state;
    for (uint64_t left = 0;; left++) {
        struct world *world = aged(1);
        struct picture *attempted = world_hold(world);
        world->dry.is_counting = true;
        world->dry.left = left;
        ns_status status = world_checkpoint_of(world, attempted);
        world->dry.is_counting = false;
        if (status != NS_OK) {
            CHECK_STATUS(status, NS_NOMEM);
            assert_int_equal(world->pager->file.sync_failed, 0);
            world_check_space(world, false);
            check_promise(world);
            CHECK_OK(world_checkpoint_of(world, attempted));
        }
        world_check(world);
        world_free(world);
        if (status == NS_OK) {
            assert_true(left > 3);
            return;
        }
    }
}

static void a_checkpoint_that_failed_while_commits_ran_is_made_up_for(void **state)
{
    (void)state;
    struct world *world = world_new(0, 4096, FRAME_BYTES);
    struct ns__prng prng = {.state = 11};
    beside.state = 110;
    for (uint64_t round = 0; round < 30; round++) {
        world_churn(world, &prng, 100);
        watch.at_write = commit_at_write;
        beside_left = 2;
        beside_may_fail = true;
        ns__mem_fail(world->mem, 1 + round % 5, UINT64_C(1) << NS__MEM_WRITE, NS_IO, false);
        ns_status status = world_checkpoint(world);
        if (status != NS_OK) CHECK_STATUS(status, NS_IO);
        ns__mem_fail(world->mem, 0, 0, NS_OK, false);
        watch.at_write = NULL;
        world_check_space(world, false);
        if (round % 3 == 2) {
            CHECK_OK(world_checkpoint(world));
            world_check(world);
        }
    }
    beside_may_fail = false;
    CHECK_OK(world_checkpoint(world));
    world_check_reopened(world);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_verify_and_hold_no_references_to_frames_and_nothing_of_others),
        cmocka_unit_test(the_metas_take_turns_and_each_names_its_root),
        cmocka_unit_test(a_checkpoint_of_nothing_new_writes_only_a_meta),
        cmocka_unit_test(a_meta_that_was_read_is_written_again_before_the_other_one),
        cmocka_unit_test(old_snapshots_read_the_same_whatever_is_swung),
        cmocka_unit_test(frames_that_a_checkpoint_wrote_are_reused_once_their_holders_are_gone),
        cmocka_unit_test(the_page_of_a_frame_dropped_meanwhile_has_its_birth_and_death),
        cmocka_unit_test(references_are_swung_at_every_level),
        cmocka_unit_test(commits_at_any_write_or_sync_of_a_checkpoint_do_not_disturb_it),
        cmocka_unit_test(pages_that_came_and_went_beside_a_checkpoint_do_not_confuse_it),
        cmocka_unit_test(a_checkpoint_never_fails_for_want_of_space),
        cmocka_unit_test(frames_that_replace_placed_ones_need_pages_of_their_own),
        cmocka_unit_test(the_promise_covers_what_is_dirty_beside_a_checkpoint),
        cmocka_unit_test(the_promise_is_kept_when_a_checkpoint_fails),
        cmocka_unit_test(a_failure_at_any_call_undoes_the_checkpoint_or_poisons),
        cmocka_unit_test(want_of_memory_at_any_point_undoes_the_checkpoint),
        cmocka_unit_test(a_checkpoint_that_failed_while_commits_ran_is_made_up_for),
    };
    return cmocka_run_group_tests_name("pager_checkpoint", tests, NULL, NULL);
}
