/* pager_space_test.c: pages are handed out once, in contiguous runs of real space, and the file
 * grows only when it must; a full disk changes nothing. Page size 4096: a range has 32512 pages,
 * region 0 has 8 ranges. */
#include "pager_world.h"

#define PAGE 4096u
#define RANGE ns__range_pages(PAGE)
#define FIRST (NS__REGION_MAP_PAGE_0 + ns__region_map_pages(PAGE, 0))
#define MODEL_PAGES 1200000u

/* ---- a model: who took which page ---- */

struct model {
    struct world *world;
    struct ns__space *space;
    uint8_t *taken;
    struct {
        uint64_t page, pages;
    } runs[4000];
    uint32_t count;
};

static void model_init(struct model *model)
{
    memset(model, 0, sizeof *model);
    model->world = world_new(0, PAGE, 64 * PAGE);
    model->space = &model->world->pager->space;
    model->taken = calloc(MODEL_PAGES, 1);
    assert_non_null(model->taken);
}

static void note_take(struct model *model, uint64_t page, uint64_t pages)
{
    assert_true(pages > 0 && page + pages <= ns__space_file_pages(model->space));
    assert_true(page + pages <= MODEL_PAGES);
    for (uint64_t i = page; i < page + pages; i++) {
        assert_false(ns__page_is_fixed(PAGE, i));
        assert_int_equal(model->taken[i], 0); /* S1 */
        model->taken[i] = 1;
    }
    model->runs[model->count].page = page;
    model->runs[model->count++].pages = pages;
}

static void take(struct model *model, uint64_t pages)
{
    uint64_t page;
    CHECK_OK(ns__space_take(model->space, pages, false, &page));
    note_take(model, page, pages);
}

static void give(struct model *model, uint32_t index)
{
    uint64_t page = model->runs[index].page, pages = model->runs[index].pages;
    memset(model->taken + page, 0, pages);
    model->runs[index] = model->runs[--model->count];
    ns__space_give(model->space, page, pages);
}

/* The checker: S1, S3, S4, and the file is as long as it says. */
static void check_model(struct model *model)
{
    uint64_t file_pages = ns__space_file_pages(model->space), free_pages = 0, size;
    for (uint64_t page = 0; page < file_pages; page++) {
        bool is_busy, is_live;
        CHECK_OK(ns__space_look(model->space, page, &is_busy, &is_live));
        assert_int_equal(is_busy, model->taken[page] || ns__page_is_fixed(PAGE, page));
        free_pages += !is_busy;
    }
    assert_int_equal(free_pages, ns__space_free_pages(model->space));
    assert_true(model->space->promised <= free_pages);
    CHECK_OK(ns__file_size(&model->world->pager->file, &size));
    assert_true(size >= file_pages * PAGE);
    assert_int_equal(model->world->pager->pages.readable, file_pages);
}

static void model_free(struct model *model)
{
    check_model(model);
    while (model->count > 0)
        give(model, model->count - 1);
    check_model(model);
    world_free(model->world);
    free(model->taken);
}

/* ---- taking and giving ---- */

static void pages_are_handed_out_once_whatever_the_order(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct model model;
        model_init(&model);
        struct ns__prng prng = {.state = seed};
        uint64_t asked = 0;
        for (int step = 0; step < 4000; step++) {
            uint64_t most = ns__prng_below(&prng, 10) == 0 ? 300 : 8;
            if (model.count > 0 && ns__prng_below(&prng, 100) < 47) {
                give(&model, (uint32_t)ns__prng_below(&prng, model.count));
            } else {
                uint64_t pages = 1 + ns__prng_below(&prng, most);
                take(&model, pages);
                asked += pages;
            }
            if (step % 1000 == 999) check_model(&model);
        }
        assert_true(ns__space_file_pages(model.space) < asked); /* space is used again */
        model_free(&model);
    }
}

static void what_is_given_back_is_used_before_the_file_grows(void **state)
{
    (void)state;
    struct model model;
    model_init(&model);
    for (int i = 0; i < 50; i++)
        take(&model, 7);
    uint64_t file_pages = ns__space_file_pages(model.space);
    for (int round = 0; round < 20; round++) {
        while (model.count > 10)
            give(&model, 3);
        for (int i = 0; i < 40; i++)
            take(&model, 7);
        assert_int_equal(ns__space_file_pages(model.space), file_pages);
    }
    model_free(&model);
}

static void giving_a_page_twice_does_not_count_it_twice(void **state)
{
    (void)state;
    struct model model;
    model_init(&model);
    take(&model, 5);
    uint64_t page = model.runs[0].page;
    give(&model, 0);
    uint64_t free_pages = ns__space_free_pages(model.space);
    ns__space_give(model.space, page, 5);
    assert_int_equal(ns__space_free_pages(model.space), free_pages);
    model_free(&model);
}

/* ---- borders ---- */

static void a_run_may_cross_ranges(void **state)
{
    (void)state;
    struct model model;
    model_init(&model);
    take(&model, RANGE - 2000);
    take(&model, 5000); /* over the border to range 1 */
    assert_true(model.runs[1].page / RANGE == 0 &&
                (model.runs[1].page + model.runs[1].pages - 1) / RANGE == 1);
    take(&model, 3 * RANGE); /* over several */
    take(&model, 10);
    give(&model, 1);
    check_model(&model);
    take(&model, 1000);
    give(&model, 0);
    take(&model, RANGE - 4000);
    model_free(&model);
}

/* A region begins with its map area, which is never handed out (note_take looks at every page). */
static void a_run_does_not_cross_into_the_map_area_of_the_next_region(void **state)
{
    (void)state;
    const uint64_t sizes[] = {777, 9000, 120000};
    uint64_t border = ns__region_first_range(PAGE, 1) * RANGE;
    uint64_t area_end = border + ns__region_map_pages(PAGE, 1);
    assert_int_equal(border, ns__region_map_page(PAGE, 1));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct model model;
        model_init(&model);
        uint64_t before = 0, behind = 0;
        while (behind < 3) {
            take(&model, sizes[i]);
            bool is_before = model.runs[model.count - 1].page < border;
            before += is_before;
            behind += !is_before;
        }
        assert_true(before > 0);
        for (int n = 0; n < 40; n++)
            take(&model, 3); /* into gaps */
        assert_true(ns__space_file_pages(model.space) > area_end);
        model_free(&model);
    }
}

static void the_file_does_not_pass_its_limit(void **state)
{
    (void)state;
    struct model model;
    model_init(&model);
    take(&model, 10);
    model.space->page_limit = ns__space_file_pages(model.space) + 100;
    uint64_t page;
    CHECK_STATUS(ns__space_take(model.space, 1000, false, &page), NS_FULL);
    assert_non_null(strstr(ns_error_detail(), "limit"));
    assert_int_equal(page, 0);
    while (ns__space_take(model.space, 1, false, &page) == NS_OK)
        note_take(&model, page, 1); /* the last steps are small ones */
    assert_int_equal(ns__space_free_pages(model.space), model.space->reserve);
    assert_int_equal(ns__space_file_pages(model.space), model.space->page_limit);
    model_free(&model);
}

/* ---- full disks ---- */

struct figures {
    uint64_t file_pages, free_pages, promised;
};

static struct figures figures_of(const struct model *model)
{
    return (struct figures){ns__space_file_pages(model->space), ns__space_free_pages(model->space),
                            model->space->promised};
}

static void check_same(struct model *model, struct figures before)
{
    struct figures now = figures_of(model);
    assert_memory_equal(&now, &before, sizeof now);
    check_model(model);
}

static void a_full_disk_leaves_everything_as_it_was(void **state)
{
    (void)state;
    struct model model;
    model_init(&model);
    take(&model, 50);
    struct figures before = figures_of(&model);
    uint64_t page, free_pages = before.free_pages - model.space->reserve;
    ns__mem_set_capacity(model.world->mem, before.file_pages * PAGE);
    CHECK_STATUS(ns__space_take(model.space, free_pages + 1, false, &page), NS_FULL);
    assert_int_equal(page, 0);
    check_same(&model, before);
    CHECK_STATUS(ns__space_promise(model.space, free_pages + 1, false), NS_FULL);
    check_same(&model, before);
    CHECK_STATUS(ns__space_take(model.space, 1u << 20, true, &page), NS_FULL);
    check_same(&model, before);
    if (free_pages > 0) take(&model, free_pages); /* what is there can be had */
    CHECK_STATUS(ns__space_take(model.space, 1, false, &page), NS_FULL);
    ns__mem_set_capacity(model.world->mem, (before.file_pages + 5) * PAGE);
    take(&model, 5); /* a little more: less than a good step */
    CHECK_STATUS(ns__space_take(model.space, 1, false, &page), NS_FULL);
    ns__mem_set_capacity(model.world->mem, 0);
    take(&model, 500);
    model_free(&model);
}

static void a_failure_while_growing_leaves_everything_as_it_was(void **state)
{
    (void)state;
    const struct {
        enum ns__mem_call kind;
        ns_status status;
    } cases[] = {{NS__MEM_ALLOCATE, NS_IO},
                 {NS__MEM_ALLOCATE, NS_FULL},
                 {NS__MEM_MAP_EXTEND, NS_IO},
                 {NS__MEM_MAP_EXTEND, NS_NOMEM},
                 {NS__MEM_MAP_EXTEND, NS_FULL}};
    struct model model;
    model_init(&model);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct figures before = figures_of(&model);
        uint64_t page;
        ns__mem_fail(model.world->mem, 1, UINT64_C(1) << cases[i].kind, cases[i].status, true);
        CHECK_STATUS(ns__space_take(model.space, 400, false, &page), cases[i].status);
        assert_non_null(strstr(ns_error_detail(), "grow the file"));
        ns__mem_fail(model.world->mem, 0, 0, NS_OK, false);
        check_same(&model, before);
        take(&model, 400);
    }
    model_free(&model);
}

/* ---- what is kept back ---- */

/* FUL-2 */
static void the_reserve_is_for_those_who_may_use_it(void **state)
{
    (void)state;
    struct model model;
    model_init(&model);
    uint64_t reserve = model.space->reserve, page;
    assert_true(reserve >= 64);
    ns__mem_set_capacity(model.world->mem, ns__space_file_pages(model.space) * PAGE);
    uint64_t usable = ns__space_free_pages(model.space) - reserve;
    if (usable > 0) take(&model, usable);
    CHECK_STATUS(ns__space_take(model.space, 1, false, &page), NS_FULL);
    CHECK_STATUS(ns__space_promise(model.space, 1, false), NS_FULL);
    assert_int_equal(model.space->promised, 0);
    CHECK_OK(ns__space_promise(model.space, reserve - 10, true));
    CHECK_STATUS(ns__space_take(model.space, 11, true, &page), NS_FULL);
    CHECK_OK(ns__space_take(model.space, 10, true, &page));
    note_take(&model, page, 10);
    assert_int_equal(ns__space_free_pages(model.space), model.space->promised);
    ns__space_set_promise(model.space, 0);
    CHECK_STATUS(ns__space_take(model.space, 1, false, &page), NS_FULL);
    CHECK_OK(ns__space_take(model.space, reserve - 10, true, &page));
    note_take(&model, page, reserve - 10);
    assert_int_equal(ns__space_free_pages(model.space), 0);
    model_free(&model);
}

/* S4 */
static void what_was_promised_is_there_for_the_checkpoint_and_for_nobody_else(void **state)
{
    (void)state;
    struct model model;
    model_init(&model);
    for (int i = 0; i < 40; i++)
        take(&model, 3);
    for (uint32_t i = 0; i < 20; i++)
        give(&model, i); /* holes */
    CHECK_OK(ns__space_promise(model.space, 300, false));
    assert_true(ns__space_free_pages(model.space) >= 300 + model.space->reserve);
    CHECK_OK(ns__space_promise(model.space, 200, false)); /* never lowers it */
    assert_int_equal(model.space->promised, 300);
    ns__mem_set_capacity(model.world->mem, ns__space_file_pages(model.space) * PAGE);
    uint64_t page, pages, left = 300;
    for (uint64_t n = 64; n > 0;) { /* others take what they can */
        ns_status status = ns__space_take(model.space, n, n % 2 == 0, &page);
        if (status == NS_OK)
            note_take(&model, page, n);
        else
            n--;
    }
    assert_true(ns__space_free_pages(model.space) >= 300);
    while (left > 0) {
        CHECK_OK(ns__space_take_promised(model.space, left, &page, &pages));
        assert_true(pages >= 1 && pages <= left);
        note_take(&model, page, pages);
        left -= pages;
        ns__space_set_promise(model.space, left);
    }
    assert_int_equal(model.space->promised, 0);
    model_free(&model);
}

/* ---- opening ---- */

static void big_value(struct world *world, uint32_t key, uint64_t pages, uint32_t seed)
{
    uint8_t *bytes = malloc(pages * PAGE);
    assert_non_null(bytes);
    memset(bytes, (int)seed, pages * PAGE);
    char text[24];
    struct ns__tree_op op = {.key = key_text(key, text), .value = ns_bytes(bytes, pages * PAGE)};
    struct ns__tree_batch batch = {.ops = &op, .op_count = 1};
    struct ns__root root = world->newest.root;
    struct ns__change *change = ns__change_begin(world->pager, ++root.generation, false);
    op.version = root.generation;
    CHECK_OK(ns__btree_apply(change, &root.main, &batch, &world->scratch));
    CHECK_OK(ns__change_prepare(change));
    world_publish(world, NULL, 0, &root);
    ns__arena_reset(&world->scratch);
    free(bytes);
}

static void ranges_are_loaded_when_they_are_needed(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, 200 * PAGE);
    for (uint32_t key = 0; key < 5; key++)
        big_value(world, key, RANGE / 2 - 100, key); /* over three ranges */
    CHECK_OK(world_checkpoint(world));
    CHECK_OK(world_checkpoint(world));
    uint64_t end = ns__space_file_pages(&world->pager->space);
    world_reopen(world);
    struct ns__space *space = &world->pager->space;
    assert_int_equal(space->range_count, 3);
    for (uint64_t i = 0; i < 3; i++)
        assert_null(space->ranges[i].busy); /* opening costs nothing */
    assert_int_equal(ns__space_free_pages(space), 0);
    uint64_t page;
    CHECK_OK(ns__space_take(space, 1, true, &page));
    assert_int_equal(ns__space_file_pages(space), end); /* it knows its space before it grows */
    ns__space_give(space, page, 1);
    struct ns__root root = world->newest.root;
    struct ns__change *change = ns__change_begin(world->pager, ++root.generation, false);
    CHECK_OK(ns__btree_drop(change, &root.main));
    CHECK_OK(ns__change_prepare(change));
    world_publish(world, NULL, 0, &root);
    CHECK_OK(world_checkpoint(world));
    CHECK_OK(world_checkpoint(world));
    big_value(world, 9, 2 * RANGE, 9);
    assert_int_equal(ns__space_file_pages(space), end); /* all of it was free again */
    CHECK_OK(world_checkpoint(world));
    world_check_space(world, true);
    world_free(world);
}

/* S2: pages of the older meta's root alone. */
static void pages_of_the_older_meta_are_free_after_the_next_checkpoint_and_not_before(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, 1000 * PAGE);
    struct ns__prng prng = {.state = 1};
    world_churn(world, &prng, WORLD_EDITS);
    CHECK_OK(world_checkpoint(world));
    for (uint32_t key = 0; key < WORLD_KEYS; key += 1000) {
        struct edit edits[1000];
        for (uint32_t i = 0; i < 1000; i++)
            edits[i] = (struct edit){key + i, 0};
        CHECK_OK(world_try(world, edits, 1000));
    }
    CHECK_OK(world_checkpoint(world)); /* nothing in the newest, everything in the older */
    uint64_t older = world->pager->older->main.pages + world->pager->older->main.overflow_pages;
    assert_int_equal(world->newest.root.main.ref, NS__REF_NONE);
    world_reopen(world);
    struct ns__space *space = &world->pager->space;
    world_check_space(world, true);
    uint64_t before = ns__space_free_pages(space);
    world_churn(world, &prng, 3);
    CHECK_OK(world_checkpoint(world));
    assert_true(ns__space_free_pages(space) + 8 >= before + older);
    assert_true(ns__space_free_pages(space) < before + older);
    world_check(world);
    world_free(world);
}

static void pages_of_the_log_are_claimed_unless_something_else_has_them(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, 1000 * PAGE);
    struct ns__prng prng = {.state = 2};
    world_churn(world, &prng, 800);
    CHECK_OK(world_checkpoint(world));
    world_churn(world, &prng, 800);
    CHECK_OK(world_checkpoint(world));
    uint64_t used = ns__ref_number(world->pager->meta->main.ref);
    uint64_t older = ns__ref_number(world->pager->older->main.ref);
    world->taken[0].pages = 40;
    CHECK_OK(ns__space_take(&world->pager->space, 40, false, &world->taken[0].number));
    struct ns__thing log = world->taken[0];
    world_reopen(world);
    struct ns__space *space = &world->pager->space;
    uint64_t end = ns__space_file_pages(space);
    const struct {
        uint64_t page, pages;
        const char *text;
    } cases[] = {
        {used, 1, "something else"},      {older, 1, "older meta"},
        {0, 1, "something else"},         {4, 1, "something else"},
        {FIRST - 1, 1, "something else"}, {end, 1, "beyond the file's end"},
        {end - 1, 2, "beyond"},           {UINT64_MAX, 1, "beyond"},
        {1, UINT64_MAX, "beyond"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_STATUS(ns__space_claim_log(space, cases[i].page, cases[i].pages), NS_CORRUPT);
        assert_non_null(strstr(ns_error_detail(), cases[i].text));
    }
    CHECK_OK(ns__space_claim_log(space, log.number, 40));
    CHECK_STATUS(ns__space_claim_log(space, log.number + 39, 1), NS_CORRUPT);
    world->taken[0] = log;
    world_check(world);
    ns__space_give(space, log.number, 40);
    memset(world->taken, 0, sizeof world->taken);
    world_check(world);
    world_free(world);
}

/* ---- damaged maps ---- */

static void flip(struct world *world, uint64_t page)
{
    uint8_t bytes[PAGE];
    CHECK_OK(ns__file_read(&world->pager->file, page * PAGE, bytes, PAGE));
    bytes[100] ^= 1;
    const struct ns_vfs *real = ns__mem_vfs(world->mem);
    CHECK_OK(real->write(real->ctx, world->file.handle, page * PAGE, bytes, PAGE));
}

static void a_rotten_map_is_an_answer_and_goes_no_further(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, 1000 * PAGE);
    struct ns__prng prng = {.state = 3};
    world_churn(world, &prng, 300);
    CHECK_OK(world_checkpoint(world));
    world_churn(world, &prng, 300);
    CHECK_OK(world_checkpoint(world));
    uint64_t used = ns__ref_number(world->pager->meta->main.ref);
    const struct ns__region *region = &world->pager->space.regions[0];
    uint64_t pages[] = {ns__directory_page(PAGE, 0, region->place[0].place),
                        ns__directory_page(PAGE, 0, region->place[1].place),
                        ns__bitmap_page(PAGE, 0, region->entries[0][0].place),
                        ns__bitmap_page(PAGE, 0, region->entries[1][0].place)};
    for (size_t i = 0; i < 4; i++) {
        world_reopen(world);
        struct ns__space *space = &world->pager->space;
        uint64_t page;
        bool is_busy, is_live;
        char text[32];
        flip(world, pages[i]);
        (void)snprintf(text, sizeof text, "page %llu: ", (unsigned long long)pages[i]);
        CHECK_STATUS(ns__space_take(space, 1, true, &page), NS_CORRUPT);
        assert_non_null(strstr(ns_error_detail(), text));
        CHECK_STATUS(ns__space_promise(space, 1, true), NS_CORRUPT);
        CHECK_STATUS(ns__space_claim_log(space, used, 1), NS_CORRUPT);
        CHECK_STATUS(ns__space_look(space, used, &is_busy, &is_live), NS_CORRUPT);
        CHECK_STATUS(ns__space_set_live(space, used, 1, false), NS_CORRUPT);
        ns__space_give(space, used, 1); /* lost until the next open, never wrong */
        world_check_content(world);     /* readers need no map */
        flip(world, pages[i]);
        world_check(world);
    }
    world_free(world);
}

static void a_bit_that_is_set_twice_or_cleared_twice_is_corruption(void **state)
{
    (void)state;
    struct model model;
    model_init(&model);
    take(&model, 4);
    uint64_t page = model.runs[0].page;
    CHECK_STATUS(ns__space_set_live(model.space, page, 1, false), NS_CORRUPT);
    assert_non_null(strstr(ns_error_detail(), "not in use"));
    CHECK_OK(ns__space_set_live(model.space, page, 4, true));
    CHECK_STATUS(ns__space_set_live(model.space, page, 1, true), NS_CORRUPT);
    assert_non_null(strstr(ns_error_detail(), "already in use"));
    CHECK_OK(ns__space_set_live(model.space, page, 4, false));
    model_free(&model);
}

/* A change of the bits is whole or not at all, whatever cannot be loaded. */
static void live_bits_of_a_run_over_ranges_change_together(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, 200 * PAGE);
    big_value(world, 1, RANGE + 1000, 1);
    CHECK_OK(world_checkpoint(world));
    CHECK_OK(world_checkpoint(world));
    world_reopen(world);
    struct ns__space *space = &world->pager->space;
    uint64_t page = RANGE - 100;
    bool is_busy, is_live;
    CHECK_OK(ns__space_look(space, page, &is_busy, &is_live)); /* range 0 is loaded */
    assert_true(is_live);
    ns__mem_fail(world->mem, 1, UINT64_C(1) << NS__MEM_READ, NS_IO, false);
    CHECK_STATUS(ns__space_set_live(space, page, 200, false), NS_IO);
    CHECK_OK(ns__space_look(space, page, &is_busy, &is_live));
    assert_true(is_live);
    CHECK_OK(ns__space_set_live(space, page, 200, false));
    CHECK_OK(ns__space_set_live(space, page, 200, true));
    world_check_space(world, true);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_handed_out_once_whatever_the_order),
        cmocka_unit_test(what_is_given_back_is_used_before_the_file_grows),
        cmocka_unit_test(giving_a_page_twice_does_not_count_it_twice),
        cmocka_unit_test(a_run_may_cross_ranges),
        cmocka_unit_test(a_run_does_not_cross_into_the_map_area_of_the_next_region),
        cmocka_unit_test(the_file_does_not_pass_its_limit),
        cmocka_unit_test(a_full_disk_leaves_everything_as_it_was),
        cmocka_unit_test(a_failure_while_growing_leaves_everything_as_it_was),
        cmocka_unit_test(the_reserve_is_for_those_who_may_use_it),
        cmocka_unit_test(what_was_promised_is_there_for_the_checkpoint_and_for_nobody_else),
        cmocka_unit_test(ranges_are_loaded_when_they_are_needed),
        cmocka_unit_test(pages_of_the_older_meta_are_free_after_the_next_checkpoint_and_not_before),
        cmocka_unit_test(pages_of_the_log_are_claimed_unless_something_else_has_them),
        cmocka_unit_test(a_rotten_map_is_an_answer_and_goes_no_further),
        cmocka_unit_test(a_bit_that_is_set_twice_or_cleared_twice_is_corruption),
        cmocka_unit_test(live_bits_of_a_run_over_ranges_change_together),
    };
    return cmocka_run_group_tests_name("pager_space", tests, NULL, NULL);
}
