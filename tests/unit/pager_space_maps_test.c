/* pager_space_maps_test.c: writing the space maps touches nothing that a meta names, and a
 * failure keeps the maps in force (FMT-18, INV-1, K3). */
#include "pager_world.h"

#define PAGE 4096u
#define RANGE ns__range_pages(PAGE)
#define FRAME_BYTES (UINT64_C(8) << 20)

/* ---- what the metas in the file name ---- */

struct named {
    uint64_t pages;
    uint8_t *is_named; /* by either meta: maps and everything its root reaches */
    uint64_t writes;
};
static struct named named;

static ns_status name_page(void *ctx, uint64_t ref_or_page, uint64_t pages, bool is_run)
{
    (void)ctx;
    uint64_t first = is_run ? ref_or_page : ns__ref_number(ref_or_page);
    for (uint64_t page = first; page < first + pages; page++) {
        assert_true(page < named.pages);
        named.is_named[page] = 1;
    }
    return NS_OK;
}

/* The maps of one region as a meta names them, read from the file; names their pages. */
static void name_region(struct world *world, const struct ns__meta *meta, uint32_t region,
                        struct ns__region_entry *entries)
{
    uint8_t bytes[PAGE], bits[PAGE];
    const struct ns__region_entry *place = &meta->regions[region];
    memset(entries, 0, ns__region_ranges(PAGE, region) * sizeof *entries);
    if (region >= meta->region_count || place->place == 0) return;
    uint64_t page = ns__directory_page(PAGE, region, place->place);
    CHECK_OK(ns__file_read(&world->pager->file, page * PAGE, bytes, PAGE));
    CHECK_OK(ns__directory_decode(bytes, world->file.uuid, PAGE, page, region, place->checksum,
                                  entries));
    named.is_named[page] = 1;
    for (uint32_t i = 0; i < ns__region_ranges(PAGE, region); i++) {
        if (entries[i].place == 0) continue;
        uint64_t range = ns__region_first_range(PAGE, region) + i;
        page = ns__bitmap_page(PAGE, range, entries[i].place);
        CHECK_OK(ns__file_read(&world->pager->file, page * PAGE, bytes, PAGE));
        CHECK_OK(ns__bitmap_decode(bytes, world->file.uuid, PAGE, page, range, entries[i].checksum,
                                   bits));
        named.is_named[page] = 1;
    }
}

static void name_all(struct world *world)
{
    struct ns__region_entry entries[400];
    struct ns__meta *metas = calloc(2, sizeof *metas);
    ns_status status[2];
    assert_non_null(metas);
    named.pages = ns__space_file_pages(&world->pager->space);
    named.is_named = calloc(named.pages, 1);
    assert_non_null(named.is_named);
    named.writes = 0;
    assert_true(world_metas(world, metas, status) >= 0);
    for (int m = 0; m < 2; m++) {
        CHECK_OK(status[m]);
        for (uint32_t region = 0; region < 2; region++)
            name_region(world, &metas[m], region, entries);
        CHECK_OK(ns__btree_check(&world->pager->pages, &metas[m].main, false, metas[m].generation,
                                 &world->alloc, name_page, NULL));
    }
    free(metas);
}

static void not_what_is_named(struct world *world, uint64_t page, uint64_t pages)
{
    (void)world;
    named.writes++;
    for (uint64_t i = page; i < page + pages && i < named.pages; i++) {
        if (named.is_named[i]) fail_msg("page %llu is named by a meta", (unsigned long long)i);
    }
}

/* K3: a checkpoint during which every write is looked at. */
static ns_status watched_checkpoint(struct world *world)
{
    name_all(world);
    watch.at_write = not_what_is_named;
    ns_status status = world_checkpoint(world);
    watch.at_write = NULL;
    free(named.is_named);
    named.is_named = NULL;
    return status;
}

/* ---- rotation ---- */

static void check_places(struct world *world, uint32_t region, uint64_t at)
{
    const struct ns__region *r = &world->pager->space.regions[region];
    uint32_t a = r->entries[0][at].place, b = r->entries[1][at].place;
    assert_true(a >= 1 && a <= 3 && b <= 3);
    assert_true(r->place[0].place >= 1 && r->place[0].place <= 3);
}

static void maps_go_to_places_that_no_meta_names(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, FRAME_BYTES);
    struct ns__prng prng = {.state = 1};
    uint32_t seen = 0;
    for (int round = 0; round < 30; round++) {
        uint32_t older = world->pager->meta->regions[0].place;
        uint32_t oldest = world->pager->older->regions[0].place;
        world_churn(world, &prng, 1 + ns__prng_below(&prng, 200));
        CHECK_OK(watched_checkpoint(world));
        assert_true(named.writes >= 3); /* images, bitmap, directory */
        uint32_t place = world->pager->meta->regions[0].place;
        assert_true(place != older && place != oldest);
        seen |= 1u << place;
        check_places(world, 0, 0);
        if (round % 5 == 0) world_check(world);
        if (round % 7 == 0) world_reopen(world);
    }
    assert_int_equal(seen, 0xe); /* all three places take their turn */
    world_check(world);
    world_check_reopened(world);
    world_free(world);
}

static void a_map_that_did_not_change_is_not_written(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, FRAME_BYTES);
    struct ns__prng prng = {.state = 2};
    world_churn(world, &prng, 100);
    CHECK_OK(watched_checkpoint(world));
    for (int i = 0; i < 3; i++) {
        struct ns__region_entry before = world->pager->meta->regions[0];
        uint64_t writes = world->pager->file.writes;
        CHECK_OK(watched_checkpoint(world));
        assert_int_equal(world->pager->file.writes, writes);
        assert_int_equal(world->pager->meta->regions[0].place, before.place);
        assert_int_equal(world->pager->meta->regions[0].checksum, before.checksum);
    }
    world_churn(world, &prng, 100);
    CHECK_OK(watched_checkpoint(world));
    world_check(world);
    world_check_reopened(world);
    world_free(world);
}

/* ---- several ranges and regions ---- */

/* Values over the whole of that many pages, whose runs are real space and nothing else. */
static void occupy(struct world *world, uint32_t key, uint64_t pages)
{
    uint8_t *bytes = calloc(pages, PAGE);
    assert_non_null(bytes);
    char text[24];
    struct ns__tree_op op = {.key = key_text(key, text), .value = ns_bytes(bytes, pages * PAGE)};
    struct ns__tree_batch batch = {.ops = &op, .op_count = 1};
    struct ns__root root = world->newest.root;
    op.version = ++root.generation;
    struct ns__change *change = ns__change_begin(world->pager, root.generation, false);
    if (pages == 0) op.kind = NS__TREE_DEL;
    CHECK_OK(ns__btree_apply(change, &root.main, &batch, &world->scratch));
    CHECK_OK(ns__change_prepare(change));
    world_publish(world, NULL, 0, &root);
    ns__arena_reset(&world->scratch);
    free(bytes);
}

static void each_range_has_its_own_map(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, FRAME_BYTES);
    occupy(world, 1, RANGE);
    occupy(world, 2, RANGE);
    CHECK_OK(watched_checkpoint(world));
    const struct ns__region *region = &world->pager->space.regions[0];
    struct ns__region_entry before[3];
    memcpy(before, region->entries[0], sizeof before);
    for (size_t i = 0; i < 3; i++)
        assert_true(before[i].place != 0);
    assert_int_equal(region->entries[0][3].place, 0);
    occupy(world, 3, 1); /* a small value, in one range */
    CHECK_OK(watched_checkpoint(world));
    uint32_t changed = 0;
    for (size_t i = 0; i < 3; i++)
        changed += region->entries[0][i].place != before[i].place;
    assert_int_equal(changed, 1);
    world_check_space(world, true);
    world_reopen(world);
    occupy(world, 1, 0);
    occupy(world, 2, 0);
    for (uint32_t i = 0; i < 3; i++) {
        occupy(world, 4, 1 + i);
        CHECK_OK(watched_checkpoint(world));
        world_check_space(world, true);
    }
    world_free(world);
}

static void each_region_has_its_own_directory(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, FRAME_BYTES);
    uint64_t border = ns__region_first_range(PAGE, 1) * RANGE, first;
    CHECK_OK(ns__space_take(&world->pager->space, border - 2000, false, &first));
    world->taken[0] = (struct ns__thing){.number = first, .pages = border - 2000};
    occupy(world, 1, 3000); /* behind the map area of region 1 */
    CHECK_OK(watched_checkpoint(world));
    assert_int_equal(world->pager->meta->region_count, 2);
    assert_true(world->pager->meta->regions[1].place != 0);
    for (uint32_t i = 0; i < 5; i++) {
        occupy(world, 2, 2500 + i);
        CHECK_OK(watched_checkpoint(world));
        assert_int_equal(world->pager->meta->region_count, 2);
    }
    ns__space_give(&world->pager->space, first, border - 2000);
    memset(world->taken, 0, sizeof world->taken);
    world_check_space(world, true);
    world_reopen(world);
    occupy(world, 1, 0);
    occupy(world, 2, 0);
    for (uint32_t i = 0; i < 3; i++) {
        occupy(world, 3, 1 + i);
        CHECK_OK(watched_checkpoint(world));
    }
    world_check_space(world, true);
    world_free(world);
}

/* ---- failures ---- */

static void a_failed_write_keeps_the_maps_in_force(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, FRAME_BYTES);
    struct ns__prng prng = {.state = 3};
    world_churn(world, &prng, 300);
    CHECK_OK(watched_checkpoint(world));
    for (uint64_t round = 0; round < 30; round++) {
        struct ns__region_entry before = world->pager->meta->regions[0];
        world_churn(world, &prng, 1 + ns__prng_below(&prng, 100));
        ns__mem_fail(world->mem, 1 + round % 6, UINT64_C(1) << NS__MEM_WRITE,
                     round % 2 == 0 ? NS_IO : NS_FULL, false);
        ns_status status = watched_checkpoint(world);
        ns__mem_fail(world->mem, 0, 0, NS_OK, false);
        if (status != NS_OK) {
            assert_memory_equal(&world->pager->meta->regions[0].checksum, &before.checksum, 8);
            world_check_space(world, false);
            name_all(world); /* both metas and all that they name are whole */
            free(named.is_named);
        }
        if (round % 4 == 3) {
            CHECK_OK(watched_checkpoint(world));
            world_check(world);
        }
    }
    world_check_reopened(world);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_go_to_places_that_no_meta_names),
        cmocka_unit_test(a_map_that_did_not_change_is_not_written),
        cmocka_unit_test(each_range_has_its_own_map),
        cmocka_unit_test(each_region_has_its_own_directory),
        cmocka_unit_test(a_failed_write_keeps_the_maps_in_force),
    };
    return cmocka_run_group_tests_name("pager_space_maps", tests, NULL, NULL);
}
