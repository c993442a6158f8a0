/* db_verify_test.c: ns_db_verify finds every kind of damage, says where it is, and changes
 * nothing; what a crash leaves is no damage. */
#include "harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/prng.h"
#include "db/db.h"
#include "format/spacemap.h"

#define PATH "app.ns"
#define PAGE 4096u

/* ---- a closed database, whose parts can be found ---- */

struct world {
    struct ns__mem *mem;
    ns_options options;
    uint8_t *bytes; /* of the file, to be damaged and put back */
    size_t size;
    struct ns__meta newest, older;
    uint64_t log_page; /* first of the log */
    uint8_t is_log[4096];
    uint32_t newest_slot;
};

static void fill(ns_db *db, const char *name, uint32_t from, uint32_t count, size_t size)
{
    ns_txn *txn;
    ns_keyspace keyspace = NS_MAIN;
    uint8_t *value = malloc(size + 1);
    assert_non_null(value);
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    if (name != NULL) CHECK_OK(ns_txn_keyspace(txn, name, &keyspace));
    for (uint32_t i = from; i < from + count; i++) {
        char key[16];
        memset(value, (int)(i + size), size);
        (void)snprintf(key, sizeof key, "key %u", i);
        CHECK_OK(ns_txn_put(txn, keyspace, ns_str(key), ns_bytes(value, size)));
    }
    CHECK_OK(ns_txn_commit(txn, NULL));
    free(value);
}

static ns_status note_log(void *ctx, uint64_t page, uint64_t pages)
{
    struct world *world = ctx;
    if (world->log_page == 0) world->log_page = page;
    assert_true(page + pages <= sizeof world->is_log);
    memset(world->is_log + page, 1, pages);
    return NS_OK;
}

static struct world *world_new(bool is_closed)
{
    struct world *world = calloc(1, sizeof *world);
    ns_db *db;
    ns_slice content;
    assert_non_null(world);
    CHECK_OK(ns__mem_new(NS__MEM_FAKE_TIME, 1, NULL, &world->mem));
    world->options = (ns_options){.flags = NS_NO_THREADS,
                                  .vfs = ns__mem_vfs(world->mem),
                                  .frame_bytes = 500 * PAGE,
                                  .max_readers = 4};
    CHECK_OK(ns_db_open(PATH, &world->options, &db));
    fill(db, NULL, 0, 1000, 100);
    fill(db, "side", 0, 100, 100);
    CHECK_OK(ns_db_checkpoint(db));
    fill(db, NULL, 2000, 1, 20000);
    fill(db, NULL, 500, 100, 50);
    CHECK_OK(ns_db_checkpoint(db));
    CHECK_OK(ns__log_visit_pages(db->log, note_log, world));
    if (!is_closed) fill(db, NULL, 300, 10, 10);
    struct ns__mem *killed;
    CHECK_OK(ns__mem_clone(world->mem, &killed));
    CHECK_OK(ns_db_close(db));
    if (is_closed) {
        ns__mem_free(killed);
    } else {
        ns__mem_free(world->mem);
        world->mem = killed;
        world->options.vfs = ns__mem_vfs(killed);
    }
    CHECK_OK(ns__mem_file_get(world->mem, PATH, &content));
    world->size = content.size;
    world->bytes = malloc(content.size);
    assert_non_null(world->bytes);
    memcpy(world->bytes, content.data, content.size);
    CHECK_OK(ns__meta_decode(world->bytes, 0, world->size, &world->newest));
    CHECK_OK(ns__meta_decode(world->bytes + PAGE, 1, world->size, &world->older));
    if (world->newest.sequence < world->older.sequence) {
        struct ns__meta swap = world->newest;
        world->newest = world->older;
        world->older = swap;
    }
    world->newest_slot = (uint32_t)(world->newest.sequence % 2);
    return world;
}

static void world_free(struct world *world)
{
    ns__mem_free(world->mem);
    free(world->bytes);
    free(world);
}

/* ---- verifying ---- */

struct findings {
    uint32_t bad, lines;
    char all[4000];
    bool ended; /* the figures came, and nothing after them */
};

static void collect(void *ctx, const ns_finding *finding)
{
    struct findings *findings = ctx;
    size_t used = strlen(findings->all);
    assert_false(findings->ended);
    findings->lines++;
    findings->bad += finding->status != NS_OK;
    (void)snprintf(findings->all + used, sizeof findings->all - used, "%s: %s\n",
                   ns_status_name(finding->status), finding->text);
    findings->ended = strstr(finding->text, "log records checked") != NULL;
}

static ns_status verify(struct world *world, struct findings *findings)
{
    memset(findings, 0, sizeof *findings);
    CHECK_OK(ns__mem_file_set(world->mem, PATH, ns_bytes(world->bytes, world->size)));
    uint64_t hash = ns__mem_image_hash(world->mem);
    ns_status status = ns_db_verify(PATH, &world->options, collect, findings);
    assert_int_equal(ns__mem_image_hash(world->mem), hash); /* changes nothing */
    assert_int_equal(status == NS_OK, findings->bad == 0);
    return status;
}

static uint8_t *page_of(struct world *world, uint64_t page)
{
    assert_true((page + 1) * PAGE <= world->size);
    return world->bytes + page * PAGE;
}

static void an_intact_file_gives_figures_only(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    struct findings findings;
    CHECK_OK(verify(world, &findings));
    assert_int_equal(findings.lines, 1);
    assert_true(findings.ended);
    assert_non_null(strstr(findings.all, "transaction 4: 1101 entries, 1 keyspaces, 4 log records "
                                         "checked, 0 replayed"));
    CHECK_OK(ns_db_verify(PATH, &world->options, NULL, NULL));
    ns_options odd = world->options; /* what it is opened with does not matter */
    odd.flags = NS_MUST_CREATE;
    CHECK_OK(ns_db_verify(PATH, &odd, NULL, NULL));
    CHECK_STATUS(ns_db_verify("absent.ns", &world->options, NULL, NULL), NS_NOTFOUND);
    world_free(world);
}

static void a_file_that_a_kill_left_is_whole(void **state)
{
    (void)state;
    struct world *world = world_new(false);
    struct findings findings;
    CHECK_OK(verify(world, &findings));
    assert_int_equal(findings.bad, 0);
    assert_non_null(strstr(findings.all, "1 replayed"));
    world_free(world);
}

static void a_file_in_use_is_busy(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    ns_db *db;
    CHECK_OK(ns_db_open(PATH, &world->options, &db));
    CHECK_STATUS(ns_db_verify(PATH, &world->options, NULL, NULL), NS_BUSY);
    CHECK_OK(ns_db_close(db));
    CHECK_OK(ns_db_verify(PATH, &world->options, NULL, NULL));
    world_free(world);
}

/* ---- rot ---- */

/* The first leaf below the root of the main tree. */
static uint64_t a_leaf(struct world *world)
{
    const uint8_t *root = page_of(world, ns__ref_number(world->newest.main.ref));
    assert_true(ns__node_level(root) == 1);
    return ns__ref_number(ns__node_ref(root, 1));
}

static uint64_t bitmap_page(struct world *world, const struct ns__meta *meta)
{
    struct ns__region_entry entries[8];
    uint64_t page = ns__directory_page(PAGE, 0, meta->regions[0].place);
    CHECK_OK(ns__directory_decode(page_of(world, page), meta->uuid, PAGE, page, 0,
                                  meta->regions[0].checksum, entries));
    return ns__bitmap_page(PAGE, 0, entries[0].place);
}

/* The page in which the value of 20000 bytes begins: its bytes say which. */
static uint64_t run_page(struct world *world)
{
    uint8_t wanted[PAGE];
    memset(wanted, (int)((2000 + 20000) & 0xff), PAGE);
    for (uint64_t page = 31; page < world->size / PAGE; page++) {
        if (!world->is_log[page] && memcmp(page_of(world, page), wanted, PAGE) == 0) return page;
    }
    fail_msg("no run");
    return 0;
}

static void rot_is_found_wherever_it_matters(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    struct {
        const char *what;
        uint64_t page;
        uint32_t offset;
    } rows[] = {
        {"newest meta", world->newest_slot, 100},
        {"older meta", 1 - world->newest_slot, 100},
        {"log map", 2, 200},
        {"other log map", 3, 4090},
        {"directory", ns__directory_page(PAGE, 0, world->newest.regions[0].place), 40},
        {"older directory", ns__directory_page(PAGE, 0, world->older.regions[0].place), 40},
        {"bitmap", bitmap_page(world, &world->newest), 60},
        {"older bitmap", bitmap_page(world, &world->older), 60},
        {"root", ns__ref_number(world->newest.main.ref), 3000},
        {"older root", ns__ref_number(world->older.main.ref), 3000},
        {"catalogue", ns__ref_number(world->newest.catalogue.ref), 4000},
        {"leaf", a_leaf(world), 20},
        {"value", run_page(world) + 2, 77},
        {"log", world->log_page, 1000},
    };
    uint32_t missed = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct findings findings;
        page_of(world, rows[i].page)[rows[i].offset] ^= 0x20;
        ns_status status = verify(world, &findings);
        page_of(world, rows[i].page)[rows[i].offset] ^= 0x20;
        if (status != NS_CORRUPT) {
            print_error("%s: %s: %s", rows[i].what, ns_status_name(status), findings.all);
            missed++;
            continue;
        }
        assert_true(findings.bad >= 1);
        assert_non_null(strstr(ns_error_detail(), PATH));
    }
    assert_int_equal(missed, 0);
    struct findings findings;
    CHECK_OK(verify(world, &findings));
    world_free(world);
}

/* Any flipped bit of a closed file is found or lies where nothing is; verify never fails in
 * another way. */
static void a_flipped_bit_anywhere_is_found_or_does_not_matter(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    struct ns__prng prng = {.state = 1};
    uint32_t found = 0;
    for (int i = 0; i < 150; i++) {
        struct findings findings;
        size_t at = ns__prng_below(&prng, world->size);
        uint8_t bit = (uint8_t)(1u << ns__prng_below(&prng, 8));
        world->bytes[at] ^= bit;
        ns_status status = verify(world, &findings);
        if (status != NS_OK) CHECK_STATUS(status, NS_CORRUPT);
        found += status != NS_OK;
        world->bytes[at] ^= bit;
    }
    assert_true(found > 5);
    struct findings findings;
    CHECK_OK(verify(world, &findings));
    world_free(world);
}

/* ---- space maps that lie, with right checksums ---- */

static void seal_newest(struct world *world, const struct ns__meta *meta)
{
    ns__meta_encode(meta, page_of(world, world->newest_slot));
}

/* Sets or clears the bit of a page in the newest meta's map. */
static void lie_about(struct world *world, uint64_t page, bool is_set)
{
    struct ns__region_entry entries[8];
    struct ns__meta meta = world->newest;
    uint8_t bits[PAGE];
    uint64_t directory = ns__directory_page(PAGE, 0, meta.regions[0].place);
    CHECK_OK(ns__directory_decode(page_of(world, directory), meta.uuid, PAGE, directory, 0,
                                  meta.regions[0].checksum, entries));
    uint64_t bitmap = ns__bitmap_page(PAGE, 0, entries[0].place);
    CHECK_OK(ns__bitmap_decode(page_of(world, bitmap), meta.uuid, PAGE, bitmap, 0,
                               entries[0].checksum, bits));
    uint8_t mask = (uint8_t)(1u << (page % 8));
    assert_int_equal((bits[page / 8] & mask) == 0, is_set);
    bits[page / 8] ^= mask;
    entries[0].checksum =
        ns__bitmap_encode(meta.uuid, PAGE, bitmap, 0, bits, page_of(world, bitmap));
    meta.regions[0].checksum =
        ns__directory_encode(meta.uuid, PAGE, directory, 0, entries, page_of(world, directory));
    seal_newest(world, &meta);
}

static void a_map_that_does_not_tell_the_truth_is_found(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    uint64_t end = world->size / PAGE;
    const struct {
        uint64_t page;
        bool is_set;
        const char *text;
    } rows[] = {
        {end - 1, true, "nothing reaches it"},
        {world->log_page, true, "belongs to the log and to something else"},
        {a_leaf(world), false, "the space map says that it is free"},
        {run_page(world) + 4, false, "the space map says that it is free"},
    };
    uint8_t *intact = malloc(world->size);
    assert_non_null(intact);
    memcpy(intact, world->bytes, world->size);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct findings findings;
        char text[32];
        lie_about(world, rows[i].page, rows[i].is_set);
        CHECK_STATUS(verify(world, &findings), NS_CORRUPT);
        (void)snprintf(text, sizeof text, "page %llu: ", (unsigned long long)rows[i].page);
        assert_non_null(strstr(findings.all, text));
        if (strstr(findings.all, rows[i].text) == NULL) {
            fail_msg("page %llu: %s", (unsigned long long)rows[i].page, findings.all);
        }
        memcpy(world->bytes, intact, world->size);
    }
    free(intact);
    struct findings findings;
    CHECK_OK(verify(world, &findings));
    world_free(world);
}

/* ---- metas that lie, with right checksums ---- */

static void one_entry_more(struct ns__meta *meta)
{
    meta->main.entries++;
}

static void one_page_less(struct ns__meta *meta)
{
    meta->main.pages--;
}

static void one_keyspace_more(struct ns__meta *meta)
{
    meta->keyspaces++;
}

static void another_chain(struct ns__meta *meta)
{
    meta->chain[3] ^= 1;
}

static void main_is_the_catalogue(struct ns__meta *meta)
{
    meta->main = meta->catalogue;
}

static void trees_share_pages(struct ns__meta *meta)
{
    meta->catalogue = meta->main;
}

static void a_generation_before_its_nodes(struct ns__meta *meta)
{
    meta->generation -= 2;
}

static void another_transaction(struct ns__meta *meta)
{
    meta->txn_id++;
}

static void a_meta_that_does_not_tell_the_truth_is_found(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    const struct {
        const char *what;
        void (*lie)(struct ns__meta *meta);
    } rows[] = {
        {"entries", one_entry_more},
        {"pages", one_page_less},
        {"keyspaces", one_keyspace_more},
        {"chain", another_chain},
        {"main is the catalogue", main_is_the_catalogue},
        {"shared pages", trees_share_pages},
        {"generation", a_generation_before_its_nodes},
        {"transaction", another_transaction},
    };
    uint32_t missed = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct findings findings;
        struct ns__meta meta = world->newest;
        rows[i].lie(&meta);
        seal_newest(world, &meta);
        ns_status status = verify(world, &findings);
        if (status == NS_CORRUPT) continue;
        print_error("%s: %s: %s", rows[i].what, ns_status_name(status), findings.all);
        missed++;
    }
    assert_int_equal(missed, 0);
    seal_newest(world, &world->newest);
    struct findings findings;
    CHECK_OK(verify(world, &findings));
    world_free(world);
}

/* ---- failures ---- */

static void want_of_luck_is_no_corruption(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    uint64_t nth = 1;
    uint32_t missed = 0;
    for (;; nth += 1 + nth / 20) {
        uint64_t before = ns__mem_calls(world->mem);
        ns__mem_fail(world->mem, nth, 0, NS_IO, false);
        ns_status status = ns_db_verify(PATH, &world->options, NULL, NULL);
        bool is_reached = ns__mem_calls(world->mem) >= before + nth;
        ns__mem_fail(world->mem, 0, 0, NS_OK, false);
        if (!is_reached) {
            CHECK_OK(status);
            break;
        }
        if (status == NS_IO) continue;
        print_error("call %llu: %s\n", (unsigned long long)nth, ns_status_name(status));
        missed++;
    }
    assert_int_equal(missed, 0);
    assert_true(nth > 15);
    struct findings findings;
    CHECK_OK(verify(world, &findings));
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_intact_file_gives_figures_only),
        cmocka_unit_test(a_file_that_a_kill_left_is_whole),
        cmocka_unit_test(a_file_in_use_is_busy),
        cmocka_unit_test(rot_is_found_wherever_it_matters),
        cmocka_unit_test(a_flipped_bit_anywhere_is_found_or_does_not_matter),
        cmocka_unit_test(a_map_that_does_not_tell_the_truth_is_found),
        cmocka_unit_test(a_meta_that_does_not_tell_the_truth_is_found),
        cmocka_unit_test(want_of_luck_is_no_corruption),
    };
    return cmocka_run_group_tests_name("db_verify", tests, NULL, NULL);
}
