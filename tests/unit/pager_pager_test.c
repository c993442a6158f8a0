/* pager_pager_test.c: putting a pager together and taking it apart: whatever fails on the way,
 * nothing is left behind. */
#include "pager_world.h"

#define PAGE 4096u

/* Takes a half-built world apart; the checker here is that no memory is left. */
static void world_drop(struct world *world)
{
    world->dry.is_counting = false;
    ns__mem_fail(world->mem, 0, 0, NS_OK, false);
    assert_null(world->pager);
    world_free(world);
}

static ns_status create(struct world *world)
{
    return ns__pager_create(&world->file, &world->alloc, &world->options, &world->pager);
}

static void creating_survives_want_of_memory_at_any_point(void **state)
{
    (void)state;
    ns_status status = NS_NOMEM;
    uint64_t left = 0;
    for (; status != NS_OK; left++) {
        struct world *world = world_blank(0, PAGE, 64 * PAGE);
        world->dry.is_counting = true;
        world->dry.left = left;
        status = create(world);
        world->dry.is_counting = false;
        if (status == NS_OK) {
            world_free(world);
            break;
        }
        CHECK_STATUS(status, NS_NOMEM);
        world_drop(world);
    }
    assert_true(left >= 6);
}

static void creating_survives_a_failure_of_any_call(void **state)
{
    (void)state;
    const ns_status statuses[] = {NS_IO, NS_NOMEM, NS_FULL};
    for (size_t i = 0; i < 3; i++) {
        ns_status status = NS_IO;
        uint64_t nth = 1;
        for (; status != NS_OK; nth++) {
            struct world *world = world_blank(0, PAGE, 64 * PAGE);
            ns__mem_fail(world->mem, nth, 0, statuses[i], false);
            status = create(world);
            if (status == NS_OK) {
                world_free(world);
                break;
            }
            CHECK_STATUS(status, statuses[i]);
            assert_true(strlen(ns_error_detail()) > 5);
            world_drop(world);
        }
        assert_true(nth > 5);
    }
}

static struct world *aged(void)
{
    struct world *world = world_new(0, PAGE, 500 * PAGE);
    struct ns__prng prng = {.state = 1};
    for (int i = 0; i < 3; i++) {
        world_churn(world, &prng, 500);
        CHECK_OK(world_checkpoint(world));
    }
    return world;
}

static void opening_survives_want_of_memory_and_failed_calls(void **state)
{
    (void)state;
    struct world *world = aged();
    for (uint64_t n = 1; n < 40; n++) {
        world_close(world);
        bool by_call = n % 2 == 0;
        struct ns__meta *metas = calloc(2, sizeof *metas);
        assert_non_null(metas);
        ns_status each[2];
        world_attach(world);
        int newest = world_metas(world, metas, each);
        assert_true(newest >= 0);
        uint64_t size;
        CHECK_OK(ns__file_size(&world->file, &size));
        if (by_call) ns__mem_fail(world->mem, n / 2, 0, NS_IO, false);
        world->dry.is_counting = !by_call;
        world->dry.left = n / 2;
        ns_status status = ns__pager_open(&world->file, &world->alloc, &world->options, size / PAGE,
                                          &metas[newest], &metas[1 - newest], &world->pager);
        world->dry.is_counting = false;
        ns__mem_fail(world->mem, 0, 0, NS_OK, false);
        free(metas);
        if (status == NS_OK) continue;
        CHECK_STATUS(status, by_call ? NS_IO : NS_NOMEM);
        assert_null(world->pager);
    }
    world_reopen(world);
    assert_int_equal(world->pager->older_generation, world->pager->older->generation);
    assert_true(ns__checkpoint_is_idle(world->pager, &world->newest.root, &world->fields));
    world_check(world);
    world_check_reopened(world);
    world_free(world);
}

static void nothing_and_half_of_it_can_be_freed(void **state)
{
    (void)state;
    ns__pager_free(NULL);
    struct world *world = world_new(0, PAGE, 64 * PAGE); /* with a change open */
    struct ns__prng prng = {.state = 2};
    struct edit edits[WORLD_EDITS];
    struct ns__root root;
    size_t count = random_edits(world, &prng, 700, 0, edits);
    CHECK_OK(world_prepare(world, edits, count, false, &root));
    assert_true(world->pager->change.is_open);
    world_free(world);
}

static void the_number_of_frames_follows_the_budget(void **state)
{
    (void)state;
    const struct {
        uint64_t bytes;
        uint32_t page_size;
        uint64_t frames;
    } cases[] = {
        {0, 4096, 64},
        {1, 65536, 64},
        {100 * 4096, 4096, 100},
        {100 * 4096, 8192, 64},
        {129 * 8192, 8192, 129},
        {(65 * 4096) + 4095, 4096, 65},
        {200 * 65536, 65536, 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world *world = world_new(0, cases[i].page_size, cases[i].bytes);
        assert_int_equal(world->pager->frame_limit - 1, cases[i].frames);
        assert_int_equal(ns__pager_frames_left(world->pager), cases[i].frames);
        assert_int_equal(ns__pager_frames_used(world->pager), 0);
        world_check(world);
        world_free(world);
    }
}

static void a_new_file_has_two_metas_of_the_empty_root(void **state)
{
    (void)state;
    const uint32_t page_sizes[] = {4096, 8192, 16384, 32768, 65536};
    for (size_t i = 0; i < sizeof page_sizes / sizeof page_sizes[0]; i++) {
        struct world *world = world_new(0, page_sizes[i], 1 << 20);
        struct ns__meta *metas = calloc(2, sizeof *metas);
        assert_non_null(metas);
        ns_status status[2];
        assert_int_equal(world_metas(world, metas, status), 0);
        CHECK_OK(status[0]);
        CHECK_OK(status[1]);
        assert_true(metas[0].sequence == 2 && metas[1].sequence == 1);
        assert_int_equal(metas[0].page_size, page_sizes[i]);
        assert_int_equal(metas[0].main.ref, NS__REF_NONE);
        assert_int_equal(metas[0].region_count, 0);
        free(metas);
        world_check(world);
        world_check_reopened(world);
        world_free(world);
    }
}

/* A file whose other meta is lost. */
static void one_meta_is_enough_and_the_next_checkpoint_brings_the_other_back(void **state)
{
    (void)state;
    for (uint64_t lost = 0; lost < 2; lost++) {
        struct world *world = aged();
        uint8_t zeros[NS__BLOCK_BYTES] = {0};
        const struct ns_vfs *real = ns__mem_vfs(world->mem);
        CHECK_OK(real->write(real->ctx, world->file.handle, lost * PAGE, zeros, sizeof zeros));
        world_reopen(world);
        assert_int_equal(world->pager->older_generation, 0);
        assert_false(ns__checkpoint_is_idle(world->pager, &world->newest.root, &world->fields));
        world_check_content(world);
        struct ns__prng prng = {.state = 3};
        world_churn(world, &prng, 5);
        CHECK_OK(world_checkpoint(world));
        assert_true(world->pager->older_generation != 0);
        assert_true(ns__checkpoint_is_idle(world->pager, &world->newest.root, &world->fields));
        world_check(world);
        world_check_reopened(world);
        world_free(world);
    }
}

static void a_file_longer_than_the_address_space_is_full(void **state)
{
    (void)state;
    struct world *world = aged();
    struct ns__pager *other;
    uint64_t limit = world->pager->space.page_limit;
    struct ns__meta meta = *world->pager->meta;
    CHECK_STATUS(ns__pager_open(&world->file, &world->alloc, &world->options, limit + 1, &meta,
                                NULL, &other),
                 NS_FULL);
    assert_null(other);
    world_check(world);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creating_survives_want_of_memory_at_any_point),
        cmocka_unit_test(creating_survives_a_failure_of_any_call),
        cmocka_unit_test(opening_survives_want_of_memory_and_failed_calls),
        cmocka_unit_test(nothing_and_half_of_it_can_be_freed),
        cmocka_unit_test(the_number_of_frames_follows_the_budget),
        cmocka_unit_test(a_new_file_has_two_metas_of_the_empty_root),
        cmocka_unit_test(one_meta_is_enough_and_the_next_checkpoint_brings_the_other_back),
        cmocka_unit_test(a_file_longer_than_the_address_space_is_full),
    };
    return cmocka_run_group_tests_name("pager_pager", tests, NULL, NULL);
}
