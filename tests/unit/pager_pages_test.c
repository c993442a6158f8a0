/* pager_pages_test.c: what a file page must be before anybody reads it: rotten, misdirected and
 * lost writes are NS_CORRUPT with the page named (promise 6), and each test puts right what it
 * broke and checks the whole file. */
#include "pager_world.h"

#define FRAME_BYTES (UINT64_C(4) << 20)
#define PAGE 4096u

/* ---- breaking ---- */

/* Content of a page as it was. */
struct saved_page {
    uint64_t page;
    uint8_t bytes[PAGE];
};

static void save_page(struct world *world, uint64_t page, struct saved_page *saved)
{
    saved->page = page;
    CHECK_OK(ns__file_read(&world->pager->file, page * PAGE, saved->bytes, PAGE));
}

/* Past the pager: as a medium would do it. */
static void put_page(struct world *world, uint64_t page, const uint8_t *bytes)
{
    const struct ns_vfs *real = ns__mem_vfs(world->mem);
    CHECK_OK(real->write(real->ctx, world->file.handle, page * PAGE, bytes, PAGE));
}

static void flip(struct world *world, uint64_t page, uint32_t offset)
{
    struct saved_page saved;
    save_page(world, page, &saved);
    saved.bytes[offset] ^= 0x10;
    put_page(world, page, saved.bytes);
}

static void forget_verified(struct world *world)
{
    memset(world->pager->pages.verified, 0, world->pager->bitmap_bytes);
    memset(world->pager->runs_verified, 0, world->pager->bitmap_bytes);
}

static bool is_verified(const struct world *world, uint64_t page)
{
    return (world->pager->pages.verified[page >> 6] >> (page & 63) & 1) != 0;
}

static void names_page(uint64_t page)
{
    char text[32];
    (void)snprintf(text, sizeof text, "page %llu: ", (unsigned long long)page);
    if (strstr(ns_error_detail(), text) == NULL) {
        fail_msg("\"%s\" does not name %s", ns_error_detail(), text);
    }
}

/* A file with a tree of two levels or more and some runs, all in file pages; opened anew. */
static struct world *world_in_file(uint64_t seed)
{
    struct world *world = world_new(0, PAGE, FRAME_BYTES);
    struct ns__prng prng = {.state = seed};
    world_churn(world, &prng, WORLD_EDITS);
    CHECK_OK(world_checkpoint(world));
    CHECK_OK(world_checkpoint(world));
    world_reopen(world);
    assert_false(ns__ref_is_frame(world->newest.root.main.ref));
    return world;
}

static const uint8_t *root_node(struct world *world)
{
    const uint8_t *node;
    CHECK_OK(
        ns__pages_node(&world->pager->pages, world->newest.root.main.ref, NS__LEVEL_ANY, &node));
    assert_true(ns__node_has_refs(node) && ns__node_level(node) == 1);
    return node;
}

static ns_status touch(struct world *world, uint64_t ref, uint32_t level)
{
    const uint8_t *node = NULL;
    ns_status status = ns__pages_node(&world->pager->pages, ref, level, &node);
    assert_true((status == NS_OK) == (node != NULL));
    return status;
}

/* ---- nodes ---- */

static void rot_anywhere_in_a_node_is_noticed_and_named(void **state)
{
    (void)state;
    struct world *world = world_in_file(1);
    uint64_t ref = ns__node_ref(root_node(world), 2), page = ns__ref_number(ref);
    const uint32_t offsets[] = {0, 7, 8, 16, 17, 18, 24, 32, 40, 100, 2048, 4000, 4095};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        flip(world, page, offsets[i]);
        CHECK_STATUS(touch(world, ref, 0), NS_CORRUPT);
        names_page(page);
        assert_false(is_verified(world, page));
        flip(world, page, offsets[i]);
    }
    CHECK_OK(touch(world, ref, 0));
    assert_true(is_verified(world, page));
    world_check(world);
    world_check_reopened(world);
    world_free(world);
}

static void a_misdirected_write_is_noticed_at_both_places(void **state)
{
    (void)state;
    struct world *world = world_in_file(2);
    const uint8_t *root = root_node(world);
    struct saved_page a, b;
    uint64_t refs[2] = {ns__node_ref(root, 1), ns__node_ref(root, 3)};
    save_page(world, ns__ref_number(refs[0]), &a);
    save_page(world, ns__ref_number(refs[1]), &b);
    put_page(world, a.page, b.bytes);
    put_page(world, b.page, a.bytes);
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(touch(world, refs[i], 0), NS_CORRUPT);
        names_page(ns__ref_number(refs[i]));
        assert_non_null(strstr(ns_error_detail(), "checksum mismatch"));
    }
    put_page(world, a.page, a.bytes);
    put_page(world, b.page, b.bytes);
    world_check(world);
    world_free(world);
}

static void count_pages_seen(struct world *world, uint8_t *nodes)
{
    const uint8_t *root = root_node(world);
    for (uint32_t i = 0; i < ns__node_count(root); i++) {
        nodes[ns__ref_number(ns__node_ref(root, i))] = 1;
    }
}

/* Puts the old versions back, one at a time. How many leaves lie where a node lay before. */
static uint32_t lose_writes(struct world *world, const uint8_t *before, const uint8_t *was_node,
                            uint64_t pages)
{
    uint32_t tried = 0;
    const uint8_t *root = root_node(world);
    for (uint32_t i = 0; i < ns__node_count(root); i++) {
        uint64_t ref = ns__node_ref(root, i), page = ns__ref_number(ref);
        if (page >= pages || !was_node[page]) continue;
        struct saved_page now;
        save_page(world, page, &now);
        if (memcmp(now.bytes, before + page * PAGE, PAGE) == 0) continue; /* never rewritten */
        put_page(world, page, before + page * PAGE);
        CHECK_STATUS(touch(world, ref, 0), NS_CORRUPT);
        names_page(page);
        assert_non_null(strstr(ns_error_detail(), "lost write"));
        /* The page itself is whole, so now it counts as verified: the parent's word still
         * stands. */
        CHECK_STATUS(touch(world, ref, 0), NS_CORRUPT);
        put_page(world, page, now.bytes);
        tried++;
    }
    return tried;
}

/* An older version of a page, whole and at its own place: only its parent knows better. */
static void a_lost_write_is_noticed_by_what_the_parent_names(void **state)
{
    (void)state;
    struct world *world = world_in_file(3);
    struct ns__prng prng = {.state = 30};
    for (int round = 0; round < 8; round++) {
        world_churn(world, &prng, 300);
        CHECK_OK(world_checkpoint(world));
    }
    uint64_t pages = ns__space_file_pages(&world->pager->space);
    uint8_t *was_node = calloc(pages, 1), *before = malloc(pages * PAGE);
    assert_true(was_node != NULL && before != NULL);
    count_pages_seen(world, was_node);
    CHECK_OK(ns__file_read(&world->pager->file, 0, before, pages * PAGE));
    uint32_t tried = 0;
    for (int round = 0; round < 60 && tried < 8; round++) {
        world_churn(world, &prng, 300);
        CHECK_OK(world_checkpoint(world));
        forget_verified(world);
        tried += lose_writes(world, before, was_node, pages);
    }
    assert_true(tried > 3);
    free(was_node);
    free(before);
    forget_verified(world);
    world_check(world);
    world_free(world);
}

static void a_reference_to_the_wrong_level_or_beyond_the_file_is_refused(void **state)
{
    (void)state;
    struct world *world = world_in_file(4);
    uint64_t root = world->newest.root.main.ref, child = ns__node_ref(root_node(world), 0);
    uint64_t pages = ns__space_file_pages(&world->pager->space);
    const struct {
        uint64_t ref;
        uint32_t level;
        const char *text;
    } cases[] = {
        {root, 0, "level 1 where its parent needs 0"},
        {child, 1, "level 0 where its parent needs 1"},
        {child, 31, "level 0 where its parent needs 31"},
        {ns__ref_file(pages, 0), 0, "beyond the end of the file"},
        {ns__ref_file(NS__REF_NUMBER_MASK, 0), 0, "beyond the end of the file"},
        {ns__ref_file(5, 0), NS__LEVEL_ANY, "checksum mismatch"}, /* a map page */
        {child ^ (UINT64_C(1) << NS__REF_NUMBER_BITS), 0, "lost write"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int again = 0; again < 2; again++) {
            CHECK_STATUS(touch(world, cases[i].ref, cases[i].level), NS_CORRUPT);
            names_page(ns__ref_number(cases[i].ref));
            assert_non_null(strstr(ns_error_detail(), cases[i].text));
        }
    }
    CHECK_OK(touch(world, child, 0));
    CHECK_OK(touch(world, root, 1));
    world_check(world);
    world_free(world);
}

static void a_right_checksum_does_not_excuse_a_wrong_structure(void **state)
{
    (void)state;
    struct world *world = world_in_file(5);
    struct saved_page saved;
    save_page(world, ns__ref_number(ns__node_ref(root_node(world), 1)), &saved);
    const struct {
        uint32_t offset, value;
    } cases[] = {{NS__NODE_TYPE, 9},       {NS__NODE_TYPE, NS__TYPE_BITMAP},
                 {NS__NODE_LEVEL, 33},     {NS__NODE_COUNT + 1, 0xff},
                 {NS__NODE_HEAP + 2, 0x7}, {NS__NODE_PREFIX_BYTES + 1, 0xf0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bad[PAGE];
        memcpy(bad, saved.bytes, PAGE);
        bad[cases[i].offset] = (uint8_t)cases[i].value;
        uint64_t checksum =
            ns__page_checksum(bad, PAGE, ns__page_seed(world->file.uuid, saved.page));
        ns__store64(bad, checksum);
        put_page(world, saved.page, bad);
        forget_verified(world);
        CHECK_STATUS(touch(world, ns__ref_file(saved.page, checksum), NS__LEVEL_ANY), NS_CORRUPT);
        names_page(saved.page);
    }
    put_page(world, saved.page, saved.bytes);
    world_check(world);
    world_free(world);
}

/* ---- runs ---- */

static void set_key(struct world *world, uint32_t key, uint32_t stamp)
{
    struct edit edit = {key, stamp};
    CHECK_OK(world_try(world, &edit, 1));
}

static ns_status get_key(struct world *world, uint32_t key, ns_slice *value_out)
{
    char text[24];
    return ns__btree_get(&world->pager->pages, &world->newest.root.main, key_text(key, text),
                         value_out, NULL, NULL);
}

/* The page where the value of that key begins. */
static uint64_t run_page(struct world *world, uint32_t key)
{
    ns_slice value;
    CHECK_OK(get_key(world, key, &value));
    size_t offset = (size_t)((const uint8_t *)value.data - world->pager->pages.bases[0]);
    assert_int_equal(offset % PAGE, 0);
    return offset / PAGE;
}

static void rot_anywhere_in_a_value_is_noticed_and_named(void **state)
{
    (void)state;
    struct world *world = world_in_file(6);
    set_key(world, 9, run_stamp(1));
    CHECK_OK(world_checkpoint(world));
    ns_slice value;
    uint64_t page = run_page(world, 9);
    CHECK_OK(get_key(world, 9, &value));
    const size_t offsets[] = {0, 1, PAGE - 1, PAGE, value.size / 2, value.size - 1};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        forget_verified(world);
        flip(world, page + offsets[i] / PAGE, (uint32_t)(offsets[i] % PAGE));
        CHECK_STATUS(get_key(world, 9, &value), NS_CORRUPT);
        names_page(page);
        assert_null(value.data);
        flip(world, page + offsets[i] / PAGE, (uint32_t)(offsets[i] % PAGE));
        CHECK_OK(get_key(world, 9, &value));
    }
    world_check(world);
    world_free(world);
}

static void a_run_that_cannot_be_is_refused(void **state)
{
    (void)state;
    struct world *world = world_in_file(7);
    set_key(world, 9, run_stamp(1));
    ns_slice value;
    CHECK_OK(get_key(world, 9, &value));
    uint64_t page = run_page(world, 9), pages = ns__space_file_pages(&world->pager->space);
    uint64_t seed = ns__page_seed(world->file.uuid, page);
    struct ns__run run = {page, 1, ns__checksum64(value.data, value.size, seed)};
    ns_slice found;
    CHECK_OK(ns__pages_run(&world->pager->pages, &run, value.size, &found));
    assert_ptr_equal(found.data, value.data);
    const struct {
        uint64_t page, size;
    } cases[] = {{0, 5000},           {page, 0},
                 {pages, 1},          {pages - 1, PAGE + 1},
                 {UINT64_MAX, 1},     {page, UINT64_MAX},
                 {page + 1, 100},     {page, value.size - 1},
                 {UINT64_MAX / 2, 4}, {page, value.size + 1}};
    forget_verified(world);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ns__run bad = {cases[i].page, 1, run.checksum};
        CHECK_STATUS(ns__pages_run(&world->pager->pages, &bad, cases[i].size, &found), NS_CORRUPT);
        if (cases[i].page != UINT64_MAX) names_page(cases[i].page);
        assert_null(found.data);
        assert_int_equal(found.size, 0);
    }
    CHECK_OK(world_checkpoint(world));
    world_check(world);
    world_free(world);
}

#define SEEN_PAGES 4096u
static uint8_t run_began[SEEN_PAGES]; /* a value began here once, and was read */
static uint64_t used_again;           /* where another one begins now */

static void note_run(struct world *world, uint64_t page, uint64_t pages)
{
    (void)world;
    (void)pages;
    if (page < SEEN_PAGES && run_began[page] && used_again == 0) used_again = page;
}

static void note_runs_of_all_keys(struct world *world)
{
    ns_slice value;
    for (uint32_t key = 0; key < WORLD_KEYS; key++) {
        if (get_key(world, key, &value) != NS_OK || value.size < 5000) continue;
        uint64_t page = run_page(world, key);
        if (page < SEEN_PAGES) run_began[page] = 1;
    }
}

/* How many values cannot be read. */
static uint32_t count_rotten(struct world *world, uint64_t page)
{
    uint32_t rotten = 0;
    ns_slice value;
    for (uint32_t key = 0; key < WORLD_KEYS; key++) {
        ns_status status = get_key(world, key, &value);
        if (status != NS_CORRUPT) continue;
        names_page(page);
        rotten++;
    }
    return rotten;
}

/* Promise 6: what is known about a page ends with its use. */
static void a_page_that_is_used_again_is_verified_again(void **state)
{
    (void)state;
    struct world *world = world_in_file(8);
    struct ns__prng prng = {.state = 80};
    used_again = 0;
    memset(run_began, 0, sizeof run_began);
    for (int round = 0; round < 40 && used_again == 0; round++) {
        note_runs_of_all_keys(world);
        watch.at_write = note_run;
        world_churn(world, &prng, 300);
        watch.at_write = NULL;
        CHECK_OK(world_checkpoint(world));
    }
    assert_true(used_again != 0);
    flip(world, used_again, 77);
    assert_int_equal(count_rotten(world, used_again), 1);
    flip(world, used_again, 77);
    world_check(world);
    world_free(world);
}

/* ---- written, not yet synced ---- */

static void what_is_not_synced_is_verified_at_every_touch(void **state)
{
    (void)state;
    struct world *world = world_in_file(9);
    ns_slice value;
    set_key(world, 9, run_stamp(1));
    uint64_t page = run_page(world, 9);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(get_key(world, 9, &value));
        flip(world, page, 5); /* the system loses the page */
        CHECK_STATUS(get_key(world, 9, &value), NS_CORRUPT);
        names_page(page);
        flip(world, page, 5);
    }
    CHECK_OK(world_checkpoint(world));
    CHECK_OK(get_key(world, 9, &value)); /* synced: from here on it counts as verified */
    assert_int_equal(world->pager->runs_verified[page >> 6] >> (page & 63) & 1, 1);
    world_check(world);
    world_free(world);
}

static void spilled_nodes_are_verified_at_every_touch_until_they_are_synced(void **state)
{
    (void)state;
    struct world *world = world_new(0, PAGE, 64 * PAGE);
    struct ns__prng prng = {.state = 10};
    for (int i = 0; i < 4; i++) {
        world_churn(world, &prng, WORLD_EDITS);
    }
    assert_true(world->pager->spills > 0);
    const uint8_t *root;
    CHECK_OK(
        ns__pages_node(&world->pager->pages, world->newest.root.main.ref, NS__LEVEL_ANY, &root));
    uint64_t spilled = 0;
    for (uint32_t i = 0; i < ns__node_count(root) && spilled == 0; i++) {
        uint64_t ref = ns__node_ref(root, i);
        if (!ns__ref_is_frame(ref)) spilled = ref;
    }
    assert_true(spilled != 0);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(touch(world, spilled, 0));
        flip(world, ns__ref_number(spilled), 3000);
        CHECK_STATUS(touch(world, spilled, 0), NS_CORRUPT);
        names_page(ns__ref_number(spilled));
        flip(world, ns__ref_number(spilled), 3000);
    }
    CHECK_OK(world_checkpoint(world));
    CHECK_OK(touch(world, spilled, 0));
    assert_true(is_verified(world, ns__ref_number(spilled)));
    world_check(world);
    world_check_reopened(world);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rot_anywhere_in_a_node_is_noticed_and_named),
        cmocka_unit_test(a_misdirected_write_is_noticed_at_both_places),
        cmocka_unit_test(a_lost_write_is_noticed_by_what_the_parent_names),
        cmocka_unit_test(a_reference_to_the_wrong_level_or_beyond_the_file_is_refused),
        cmocka_unit_test(a_right_checksum_does_not_excuse_a_wrong_structure),
        cmocka_unit_test(rot_anywhere_in_a_value_is_noticed_and_named),
        cmocka_unit_test(a_run_that_cannot_be_is_refused),
        cmocka_unit_test(a_page_that_is_used_again_is_verified_again),
        cmocka_unit_test(what_is_not_synced_is_verified_at_every_touch),
        cmocka_unit_test(spilled_nodes_are_verified_at_every_touch_until_they_are_synced),
    };
    return cmocka_run_group_tests_name("pager_pages", tests, NULL, NULL);
}
