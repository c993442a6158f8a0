/* misplaced_pages_test.c: good bytes in the wrong place, or from the wrong time, or of the wrong
 * file. Checksums know their place and their file (FMT-2, FMT-3, FMT-4) and references know the
 * version of what they name (FMT-7), so every such page is told from the right one.
 *
 * The census is complete for one small database with every type of page but continuation pages
 * (tests/unit/log_extents_test.c has those). A page counts as *live* when ns_db_verify notices its
 * destruction. Each pair of live pages of one type changes places (of the log: all near pairs, one
 * in 64 of the others); each live page becomes what it
 * was at each earlier moment, and what it is in another file. Then ns_db_verify must say so, and
 * reading must never show a wrong value. A stale meta or log map is survived where the other one of
 * the pair knows everything: then the content must be whole and the newest. */
#include "format/small_world.h"

#include "format/layout.h"
#include "format/logmap.h"

#define PAGE 4096u
#define PAGES_MAX 1024u
#define MOMENTS 24u

enum type {
    TYPE_META,
    TYPE_LOG_MAP,
    TYPE_LEAF,
    TYPE_BRANCH,
    TYPE_CATALOGUE,
    TYPE_BITMAP,
    TYPE_DIRECTORY,
    TYPE_LOG,
    TYPE_VALUE,
    TYPES
};
static const char *const type_names[TYPES] = {
    "meta", "log map", "leaf", "branch", "catalogue leaf", "bitmap", "directory", "log", "value"};

/* A closed database, and the file as it was at earlier moments. */
struct place {
    struct small small;
    uint8_t *bytes; /* the file, changed in place */
    size_t pages;
    bool is_live[PAGES_MAX];
    enum type types[PAGES_MAX];
    uint8_t *moments[MOMENTS];
    size_t moment_pages[MOMENTS];
};

static void keep_moment(struct place *place, size_t index)
{
    size_t size;
    const uint8_t *bytes = small_bytes(&place->small, &size);
    place->moments[index] = malloc(size);
    assert_non_null(place->moments[index]);
    memcpy(place->moments[index], bytes, size);
    place->moment_pages[index] = size / PAGE;
}

/* Log or value? Nodes and maps say themselves what they are. */
static bool is_log(const struct place *place, uint64_t page)
{
    for (uint32_t i = 2; i < 4; i++) {
        struct ns__logmap map;
        const uint8_t *at = place->bytes + (size_t)i * PAGE;
        CHECK_OK(ns__logmap_decode(at, i, at + 8, PAGE, place->pages, &map));
        for (uint32_t e = 0; e < map.extent_count; e++) {
            const struct ns__extent *extent = &map.extents[e];
            if (page >= extent->page && page < extent->page + extent->pages) return true;
        }
    }
    return false;
}

static enum type type_of(const struct place *place, uint64_t page)
{
    static const enum type types[] = {TYPE_LEAF, TYPE_BRANCH, TYPE_CATALOGUE, TYPE_BITMAP,
                                      TYPE_DIRECTORY};
    const uint8_t *bytes = place->bytes + page * PAGE, *uuid = place->bytes + 16;
    if (page < 2) return TYPE_META;
    if (page < 4) return TYPE_LOG_MAP;
    if (is_log(place, page)) return TYPE_LOG;
    bool is_sealed = ns__page_checksum(bytes, PAGE, ns__page_seed(uuid, page)) == ns__load64(bytes);
    bool is_known = bytes[16] >= NS__TYPE_LEAF && bytes[16] <= NS__TYPE_DIRECTORY;
    return is_sealed && is_known ? types[bytes[16] - NS__TYPE_LEAF] : TYPE_VALUE;
}

static ns_status verify(const struct place *place)
{
    return ns_db_verify(SMALL_PATH, &place->small.with, NULL, NULL);
}

static void invert(uint8_t *page)
{
    for (size_t i = 0; i < PAGE; i++)
        page[i] ^= 0xff;
}

static void find_live_pages(struct place *place)
{
    assert_in_range(place->pages, 40, PAGES_MAX);
    CHECK_OK(verify(place));
    for (size_t page = 0; page < place->pages; page++) {
        place->types[page] = type_of(place, page);
        invert(place->bytes + page * PAGE);
        ns_status status = verify(place);
        place->is_live[page] = small_is_refusal(status);
        assert_true(status == NS_OK || place->is_live[page]);
        invert(place->bytes + page * PAGE);
    }
}

static void make_place(struct place *place, uint64_t seed)
{
    ns_db *db;
    size_t size;
    memset(place, 0, sizeof *place);
    small_init(&place->small, 0, seed);
    place->small.with.checkpoint_bytes = 1 << 20;
    CHECK_OK(ns_db_open(SMALL_PATH, &place->small.with, &db));
    for (unsigned i = 0; i < MOMENTS; i++) {
        small_commit(&place->small, db, 90);
        CHECK_OK(ns_db_checkpoint(db));
        keep_moment(place, i);
    }
    small_commit(&place->small, db, 90);
    CHECK_OK(ns_db_close(db));
    place->bytes = small_bytes(&place->small, &size);
    place->pages = size / PAGE;
    find_live_pages(place);
}

static void free_place(struct place *place)
{
    for (size_t i = 0; i < MOMENTS; i++)
        free(place->moments[i]);
    small_deinit(&place->small);
}

/* ---- the census ---- */

struct census {
    uint64_t tries[TYPES], noticed[TYPES], survived[TYPES];
};

static bool has_a_second_copy(enum type type)
{
    return type == TYPE_META || type == TYPE_LOG_MAP;
}

/* The file holds something misplaced; `page` is one of the pages. */
static void judge(struct place *place, size_t page, struct census *census)
{
    uint64_t id;
    enum type type = place->types[page];
    ns_options reading = place->small.with;
    reading.flags |= NS_RDONLY;
    enum small_outcome outcome = small_look(&place->small, &reading, &id);
    ns_status status = verify(place);
    census->tries[type]++;
    census->noticed[type] += small_is_refusal(status);
    bool is_newest = id == place->small.newest;
    if (outcome == SMALL_WRONG || (outcome == SMALL_WHOLE && !is_newest))
        fail_msg("%s page %zu: wrong content", type_names[type], page);
    if (status == NS_OK && has_a_second_copy(type) && outcome == SMALL_WHOLE)
        census->survived[type]++;
    else if (!small_is_refusal(status))
        fail_msg("%s page %zu: not noticed", type_names[type], page);
}

static void say(const struct census *census, const char *what)
{
    for (size_t type = 0; type < TYPES; type++) {
        if (census->tries[type] == 0) continue;
        print_message("%s: %s: %llu tries, %llu noticed, %llu survived whole\n", what,
                      type_names[type], (unsigned long long)census->tries[type],
                      (unsigned long long)census->noticed[type],
                      (unsigned long long)census->survived[type]);
    }
}

static void swap_pages(uint8_t *a, uint8_t *b)
{
    static uint8_t kept[PAGE];
    memcpy(kept, a, PAGE);
    memcpy(a, b, PAGE);
    memcpy(b, kept, PAGE);
}

static void every_swap_of_two_pages_is_noticed(void **state)
{
    struct place place;
    struct census census = {{0}, {0}, {0}};
    (void)state;
    make_place(&place, 51);
    for (size_t a = 0; a < place.pages; a++) {
        for (size_t b = a + 1; b < place.pages; b++) {
            uint8_t *at[2] = {place.bytes + a * PAGE, place.bytes + b * PAGE};
            if (!place.is_live[a] || !place.is_live[b] || place.types[a] != place.types[b])
                continue;
            if (place.types[a] == TYPE_LOG && b - a > 8 && (a + b) % 64 != 0) continue;
            if (memcmp(at[0], at[1], PAGE) == 0) continue;
            swap_pages(at[0], at[1]);
            judge(&place, a, &census);
            swap_pages(at[0], at[1]);
        }
    }
    say(&census, "swapped");
    assert_true(census.tries[TYPE_LEAF] > 100 && census.tries[TYPE_LOG] > 300);
    assert_true(census.tries[TYPE_VALUE] > 100 && census.tries[TYPE_META] == 1);
    CHECK_OK(verify(&place));
    free_place(&place);
}

/* The page of an earlier moment, or of another file, takes the place of the right one. */
static void replace(struct place *place, size_t page, const uint8_t *by, struct census *census)
{
    static uint8_t kept[PAGE];
    uint8_t *at = place->bytes + page * PAGE;
    if (!place->is_live[page] || memcmp(at, by, PAGE) == 0) return;
    memcpy(kept, at, PAGE);
    memcpy(at, by, PAGE);
    judge(place, page, census);
    memcpy(at, kept, PAGE);
}

static void every_older_version_of_a_page_is_noticed(void **state)
{
    struct place place;
    struct census census = {{0}, {0}, {0}};
    (void)state;
    make_place(&place, 52);
    for (size_t moment = 0; moment < MOMENTS; moment++) {
        for (size_t page = 0; page < place.pages && page < place.moment_pages[moment]; page++) {
            const uint8_t *older = place.moments[moment] + page * PAGE;
            bool is_seen = moment > 0 && page < place.moment_pages[moment - 1] &&
                           memcmp(older, place.moments[moment - 1] + page * PAGE, PAGE) == 0;
            if (!is_seen) replace(&place, page, older, &census);
        }
    }
    say(&census, "older");
    assert_true(census.tries[TYPE_LEAF] > 30 && census.tries[TYPE_BITMAP] > 2);
    CHECK_OK(verify(&place));
    free_place(&place);
}

/* Made by the same steps in the same order: only its identity differs, and what follows from it. */
static void every_page_of_another_file_is_noticed(void **state)
{
    struct place place, other;
    struct census census = {{0}, {0}, {0}};
    (void)state;
    make_place(&place, 53);
    make_place(&other, 54);
    for (size_t page = 0; page < place.pages && page < other.pages; page++)
        replace(&place, page, other.bytes + page * PAGE, &census);
    say(&census, "foreign");
    assert_true(census.tries[TYPE_LEAF] > 10 && census.tries[TYPE_LOG] > 10);
    CHECK_OK(verify(&place));
    free_place(&place);
    free_place(&other);
}

/* ---- options ---- */

/* No option skips a check: whatever makes the library fast or small, a damaged page is refused. */
static void no_option_skips_a_check(void **state)
{
    static const ns_options fast[] = {
        {.flags = NS_RDONLY},
        {.sync = NS_SYNC_OFF, .flags = NS_NO_THREADS},
        {.sync = NS_SYNC_OFF, .history = NS_HISTORY_NONE, .checkpoint_bytes = UINT64_C(1) << 40},
        {.sync = NS_SYNC_OFF, .flags = NS_NO_THREADS | NS_EXCLUSIVE, .frame_bytes = 1 << 28},
        {.flags = NS_NO_THREADS, .frame_bytes = 1, .checkpoint_bytes = 1, .max_readers = 1},
    };
    struct place place;
    uint64_t tries = 0, refused = 0;
    (void)state;
    make_place(&place, 55);
    for (size_t i = 0; i < sizeof fast / sizeof fast[0]; i++) {
        for (size_t page = 4; page < place.pages; page++) {
            struct small copy = place.small;
            uint64_t id;
            if (place.types[page] > TYPE_CATALOGUE && place.types[page] != TYPE_VALUE) continue;
            place.bytes[page * PAGE + 8 + (page * 997 + i) % 4000] ^= 1;
            CHECK_OK(ns__mem_clone(place.small.mem, &copy.mem));
            place.bytes[page * PAGE + 8 + (page * 997 + i) % 4000] ^= 1;
            copy.with = fast[i];
            copy.with.vfs = ns__mem_vfs(copy.mem);
            enum small_outcome outcome = small_look(&copy, &copy.with, &id);
            if (outcome == SMALL_WRONG) fail_msg("options %zu, page %zu: wrong", i, page);
            tries++;
            refused += outcome == SMALL_REFUSED;
            ns__mem_free(copy.mem);
        }
    }
    print_message("%llu looks at damaged files with fast options: %llu refused, none wrong\n",
                  (unsigned long long)tries, (unsigned long long)refused);
    assert_true(refused > 100);
    free_place(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_swap_of_two_pages_is_noticed),
        cmocka_unit_test(every_older_version_of_a_page_is_noticed),
        cmocka_unit_test(every_page_of_another_file_is_noticed),
        cmocka_unit_test(no_option_skips_a_check),
    };
    return cmocka_run_group_tests_name("misplaced_pages", tests, NULL, NULL);
}
