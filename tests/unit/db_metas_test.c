/* db_metas_test.c: what the two metas promise each other (spec/commit_v0.md, INV-1, INV-2, CKP-9):
 * after any commit and any checkpoint either of them gives everything, no write touches what a
 * meta in the file holds, and a length of the file that was lost takes nothing with it. */
#include "format/small_world.h"

#include "format/fields.h"
#include "format/logmap.h"
#include "format/meta.h"
#include "format/spacemap.h"

#define PAGE 4096u

/* ---- either meta ---- */

static void destroy(struct small *small, bool is_newest)
{
    size_t size;
    uint8_t *bytes = small_bytes(small, &size);
    uint64_t sequences[2] = {ns__load64(bytes + 32), ns__load64(bytes + PAGE + 32)};
    size_t newest = sequences[1] > sequences[0] ? 1 : 0;
    memset(bytes + (is_newest ? newest : 1 - newest) * PAGE, 0xa5, PAGE);
}

/* What a kill leaves now, without one of its metas: everything, to a reader and to a writer. */
static uint64_t check_either_meta(const struct small *small)
{
    uint64_t id;
    for (int is_newest = 0; is_newest < 2; is_newest++) {
        struct small killed = *small;
        ns_options reading;
        CHECK_OK(ns__mem_clone(small->mem, &killed.mem));
        killed.with.vfs = ns__mem_vfs(killed.mem);
        destroy(&killed, is_newest != 0);
        reading = killed.with;
        reading.flags |= NS_RDONLY;
        assert_int_equal(small_look(&killed, &reading, &id), SMALL_WHOLE);
        assert_int_equal(id, small->newest);
        assert_int_equal(small_look(&killed, &killed.with, &id), SMALL_WHOLE);
        assert_int_equal(id, small->newest);
        CHECK_OK(ns_db_verify(SMALL_PATH, &killed.with, NULL, NULL)); /* the other one is back */
        ns__mem_free(killed.mem);
    }
    return 2;
}

/* Checkpoints by the program and by themselves; without history their log is trimmed at once. */
static void either_meta_gives_everything_after_every_commit(void **state)
{
    static const ns_history histories[] = {NS_HISTORY_ALL, NS_HISTORY_NONE};
    uint64_t looks = 0;
    (void)state;
    for (size_t h = 0; h < 2; h++) {
        struct small small;
        ns_db *db;
        small_init(&small, 0, 21 + h);
        small.with.history = histories[h];
        small.with.checkpoint_bytes = 30000;
        CHECK_OK(ns_db_open(SMALL_PATH, &small.with, &db));
        looks += check_either_meta(&small);
        for (unsigned i = 0; i < 90; i++) {
            small_commit(&small, db, 1 + i % 40);
            looks += check_either_meta(&small);
            if (i % 4 != 3) continue;
            CHECK_OK(ns_db_checkpoint(db));
            looks += check_either_meta(&small);
        }
        CHECK_OK(ns_db_close(db));
        looks += check_either_meta(&small);
        small_deinit(&small);
    }
    print_message("%llu files with one meta: all whole\n", (unsigned long long)looks);
}

/* ---- what no write may touch ---- */

#define WATCHED_PAGES 16384u

/* What one meta of the file holds: its nodes, runs and maps. */
struct holding {
    uint64_t sequence; /* 0: none */
    uint64_t held_count;
    uint8_t held[WATCHED_PAGES / 8];
};

/* Stands between the library and the simulated files. One world at a time. */
static struct {
    struct ns__mem *mem;
    const struct ns_vfs *below;
    struct holding holdings[2];
    uint64_t writes, pages, log_pages, violations;
} watch;

static void hold(struct holding *holding, uint64_t page)
{
    assert_true(page < WATCHED_PAGES);
    holding->held[page / 8] |= (uint8_t)(1u << page % 8);
    holding->held_count++;
}

static void hold_range(struct holding *holding, const struct ns__meta *meta, const uint8_t *bytes,
                       uint64_t range, const struct ns__region_entry *entry)
{
    static uint8_t bits[PAGE];
    uint64_t page = ns__bitmap_page(PAGE, range, entry->place);
    CHECK_OK(ns__bitmap_decode(bytes + page * PAGE, meta->uuid, PAGE, page, range, entry->checksum,
                               bits));
    hold(holding, page);
    for (uint64_t i = 0; i < ns__range_pages(PAGE); i++) {
        if ((bits[i / 8] >> i % 8 & 1) != 0) hold(holding, range * ns__range_pages(PAGE) + i);
    }
}

static void hold_all(struct holding *holding, const struct ns__meta *meta, const uint8_t *bytes)
{
    static struct ns__region_entry entries[PAGE / 12];
    memset(holding, 0, sizeof *holding);
    holding->sequence = meta->sequence;
    for (uint32_t region = 0; region < meta->region_count; region++) {
        uint64_t page = ns__directory_page(PAGE, region, meta->regions[region].place);
        CHECK_OK(ns__directory_decode(bytes + page * PAGE, meta->uuid, PAGE, page, region,
                                      meta->regions[region].checksum, entries));
        hold(holding, page);
        for (uint32_t i = 0; i < ns__region_ranges(PAGE, region); i++) {
            uint64_t range = ns__region_first_range(PAGE, region) + i;
            if (entries[i].place != 0) hold_range(holding, meta, bytes, range, &entries[i]);
        }
    }
}

/* Brings the holdings to what the metas in the file say. */
static void look_at_metas(const uint8_t *bytes, size_t size)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct ns__meta meta;
        if (size < 2 * PAGE || ns__meta_decode(bytes + i * PAGE, i, size, &meta) != NS_OK) {
            watch.holdings[i].sequence = 0;
            watch.holdings[i].held_count = 0;
        } else if (meta.sequence != watch.holdings[i].sequence) {
            hold_all(&watch.holdings[i], &meta, bytes);
        }
    }
}

static bool is_held(uint64_t page)
{
    for (uint32_t i = 0; i < 2; i++) {
        const struct holding *holding = &watch.holdings[i];
        if (holding->sequence != 0 && (holding->held[page / 8] >> page % 8 & 1) != 0) return true;
    }
    return false;
}

/* Is the page in an extent of a log map in the file? */
static bool is_log(const uint8_t *bytes, size_t size, uint64_t page)
{
    for (uint32_t i = 2; i < 4; i++) {
        struct ns__logmap map;
        const uint8_t *at = bytes + i * PAGE;
        if (size < 4 * PAGE || ns__logmap_decode(at, i, at + 8, PAGE, size / PAGE, &map) != NS_OK)
            continue;
        for (uint32_t e = 0; e < map.extent_count; e++) {
            const struct ns__extent *extent = &map.extents[e];
            if (page >= extent->page && page < extent->page + extent->pages) return true;
        }
    }
    return false;
}

/* Would a byte of the log that is there already change? (COM-4, FMT-23) */
static bool changes_log(const uint8_t *old, const uint8_t *fresh, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (old[i] != 0 && old[i] != fresh[i]) return true;
    }
    return false;
}

static void watch_page(const uint8_t *bytes, size_t file_bytes, uint64_t at, const uint8_t *data,
                       size_t size)
{
    uint64_t page = at / PAGE;
    if (at + size > file_bytes || page < 4) return;
    watch.pages++;
    bool is_violation = is_held(page) && memcmp(bytes + at, data, size) != 0;
    if (is_log(bytes, file_bytes, page)) {
        watch.log_pages++;
        is_violation = is_violation || changes_log(bytes + at, data, size);
    }
    watch.violations += is_violation;
}

static void watch_write(uint64_t offset, const void *data, size_t size)
{
    ns_slice content;
    if (ns__mem_file_get(watch.mem, SMALL_PATH, &content) != NS_OK) return;
    look_at_metas(content.data, content.size);
    watch.writes++;
    for (size_t done = 0; done < size;) {
        size_t piece = PAGE - (size_t)(offset + done) % PAGE;
        if (piece > size - done) piece = size - done;
        watch_page(content.data, content.size, offset + done, (const uint8_t *)data + done, piece);
        done += piece;
    }
}

static ns_status write_watched(void *ctx, struct ns_vfs_file *file, uint64_t offset,
                               const void *data, size_t size)
{
    watch_write(offset, data, size);
    return watch.below->write(ctx, file, offset, data, size);
}

static ns_status write_sync_watched(void *ctx, struct ns_vfs_file *file, uint64_t offset,
                                    const void *data, size_t size)
{
    watch_write(offset, data, size);
    return watch.below->write_sync(ctx, file, offset, data, size);
}

/* A write to a page that a meta holds, and one to the log, as a mistaken library would do them. */
static void check_that_the_watch_sees(const struct small *small)
{
    static const uint8_t bytes[PAGE] = {1};
    size_t size;
    const uint8_t *file = small_bytes(small, &size);
    uint64_t held = 0, log = 0;
    look_at_metas(file, size);
    for (uint64_t page = 4; page < size / PAGE; page++) {
        if (is_held(page)) held = page;
        if (is_log(file, size, page) && file[page * PAGE] > 1) log = page;
    }
    assert_true(held != 0 && log != 0);
    watch.violations = 0;
    watch_write(held * PAGE, bytes, sizeof bytes);
    assert_int_equal(watch.violations, 1);
    watch_write(log * PAGE, bytes, sizeof bytes);
    assert_int_equal(watch.violations, 2);
}

/* Few frames, so that nodes are spilled; now and then a reader that keeps an old snapshot. */
static void run_watched(struct small *small, bool is_padded)
{
    struct ns_vfs watching = *small->with.vfs;
    ns_db *db;
    ns_txn *reader = NULL;
    memset(&watch, 0, sizeof watch);
    watch.mem = small->mem;
    watch.below = small->with.vfs;
    watching.write = write_watched;
    watching.write_sync = write_sync_watched;
    small->with.vfs = &watching;
    small->with.frame_bytes = 60 * PAGE;
    if (is_padded) small->with.flags |= NS_LOG_PADDED;
    CHECK_OK(ns_db_open(SMALL_PATH, &small->with, &db));
    for (unsigned i = 0; i < 400; i++) {
        if (i % 50 == 10) CHECK_OK(ns_txn_begin(db, NS_READ, &reader));
        if (i % 50 == 40) ns_txn_abort(reader);
        small_commit(small, db, 1 + i * 7 % 60);
        if (i % 17 == 16) CHECK_OK(ns_db_checkpoint(db));
    }
    CHECK_OK(ns_db_close(db));
    assert_int_equal(watch.violations, 0);
    small->with.vfs = watch.below;
}

static void no_write_touches_what_a_meta_or_the_log_holds(void **state)
{
    static const ns_history histories[] = {NS_HISTORY_ALL, NS_HISTORY_NONE};
    (void)state;
    for (unsigned way = 0; way < 4; way++) {
        struct small small;
        uint64_t id;
        small_init(&small, 0, 31 + way);
        small.with.history = histories[way % 2];
        run_watched(&small, way >= 2);
        print_message("%llu writes, %llu pages, of them %llu of the log: none was held\n",
                      (unsigned long long)watch.writes, (unsigned long long)watch.pages,
                      (unsigned long long)watch.log_pages);
        assert_true(watch.pages > 1000 && watch.log_pages > 100);
        assert_int_equal(small_look(&small, &small.with, &id), SMALL_WHOLE);
        check_that_the_watch_sees(&small);
        small_deinit(&small);
    }
}

/* ---- a length that was lost ---- */

#define GROWTHS_MAX 200u
#define CALLS_BEHIND 8u

static struct {
    const struct ns_vfs *below;
    struct ns__mem *mem;
    uint64_t calls[GROWTHS_MAX]; /* which call each growth of the file was */
    size_t count;
} growths;

static ns_status allocate_noted(void *ctx, struct ns_vfs_file *file, uint64_t from, uint64_t size)
{
    ns_slice content; /* asked from outside: no call of the world */
    bool is_known = ns__mem_file_get(growths.mem, SMALL_PATH, &content) == NS_OK;
    if (is_known && size > content.size && growths.count < GROWTHS_MAX)
        growths.calls[growths.count++] = ns__mem_calls(growths.mem) + 1;
    return growths.below->allocate(ctx, file, from, size);
}

/* The history that grows; stops when the world does. *acknowledged_out: the newest commit that
 * returned NS_OK. */
static void run_growing(struct small *small, const struct ns_vfs *vfs, uint64_t *acknowledged_out)
{
    ns_db *db;
    ns_options with = small->with;
    *acknowledged_out = 0;
    with.vfs = vfs;
    if (ns_db_open(SMALL_PATH, &with, &db) != NS_OK) return;
    for (unsigned i = 0; i < 60; i++) {
        if (small_try_commit(small, db, 40) != NS_OK) break;
        *acknowledged_out = small->newest;
        if (i % 12 == 11 && ns_db_checkpoint(db) != NS_OK) break;
    }
    (void)ns_db_close(db);
}

static bool all_but(void *ctx, uint64_t atom)
{
    return atom != *(const uint64_t *)ctx;
}

/* After a cut that lost this one atom. Returns whether the file came out shorter for it. */
static bool check_without(const struct small *small, uint64_t acknowledged, uint64_t atom,
                          size_t whole_bytes)
{
    struct small after = *small;
    ns_slice content = {NULL, 0};
    uint64_t id;
    CHECK_OK(ns__mem_crash(small->mem, 4096, all_but, &atom, 5, &after.mem));
    after.with.vfs = ns__mem_vfs(after.mem);
    bool is_there = ns__mem_file_get(after.mem, SMALL_PATH, &content) == NS_OK;
    bool is_shorter = is_there && content.size < whole_bytes;
    assert_int_equal(small_look(&after, &after.with, &id), SMALL_WHOLE);
    assert_in_range(id, acknowledged, small->newest);
    ns__mem_free(after.mem);
    return is_shorter;
}

/* Stops at this call and loses each atom alone that is pending there. */
static void check_stop(uint64_t call, uint64_t *tries, uint64_t *shorter)
{
    struct small small;
    struct ns__mem *whole;
    struct ns__mem_pending pending;
    ns_slice content = {NULL, 0};
    uint64_t acknowledged, none = UINT64_MAX;
    small_init(&small, NS__MEM_DURABILITY, 41);
    ns__mem_stop_at(small.mem, call);
    run_growing(&small, small.with.vfs, &acknowledged);
    ns__mem_pending(small.mem, 4096, &pending);
    CHECK_OK(ns__mem_crash(small.mem, 4096, all_but, &none, 5, &whole));
    (void)ns__mem_file_get(whole, SMALL_PATH, &content);
    for (uint64_t atom = 0; atom < pending.atoms; atom++) {
        *shorter += check_without(&small, acknowledged, atom, content.size);
        *tries += 1;
    }
    ns__mem_free(whole);
    small_deinit(&small);
}

static void a_length_that_was_lost_takes_nothing_with_it(void **state)
{
    struct small small;
    struct ns_vfs noting;
    uint64_t acknowledged, tries = 0, shorter = 0;
    (void)state;
    memset(&growths, 0, sizeof growths);
    small_init(&small, NS__MEM_DURABILITY, 41);
    growths.mem = small.mem;
    growths.below = small.with.vfs;
    noting = *small.with.vfs;
    noting.allocate = allocate_noted;
    run_growing(&small, &noting, &acknowledged);
    assert_int_equal(acknowledged, 60);
    small_deinit(&small);
    for (size_t i = 0; i < growths.count; i++) {
        for (uint64_t behind = 0; behind <= CALLS_BEHIND; behind++)
            check_stop(growths.calls[i] + behind, &tries, &shorter);
    }
    print_message("%zu growths, %llu cuts that lost one atom, %llu of them the length\n",
                  growths.count, (unsigned long long)tries, (unsigned long long)shorter);
    assert_true(growths.count >= 5);
    assert_true(shorter >= growths.count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(either_meta_gives_everything_after_every_commit),
        cmocka_unit_test(no_write_touches_what_a_meta_or_the_log_holds),
        cmocka_unit_test(a_length_that_was_lost_takes_nothing_with_it),
    };
    return cmocka_run_group_tests_name("db_metas", tests, NULL, NULL);
}
