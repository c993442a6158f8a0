/* db_counters_test.c: numbers that grow larger than a test can count (spec/file_format_v0.md).
 *
 * Ids, generations, sequences and log offsets are moved forward in a closed file, by changing its
 * metas and log maps and sealing them again; then the database goes on from there over 2^16, 2^32
 * and up to the last values that the format allows. A file is made longer than 4 GiB, with holes,
 * and used behind them. Nodes are filled with the smallest entries that there are. */
#include "format/small_world.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <northstar/log.h>
#include "format/logmap.h"
#include "format/meta.h"
#include "format/spacemap.h"
#include "harness/scratch.h"

#define PAGE 4096u

/* ---- moving the counters of a closed file ---- */

struct shift {
    uint64_t txn, generation, sequence, map_sequence, log;
};

static void shift_meta(uint8_t *bytes, uint32_t page, size_t size, const struct shift *shift)
{
    struct ns__meta meta;
    CHECK_OK(ns__meta_decode(bytes, page, size, &meta));
    meta.txn_id += shift->txn;
    meta.generation += shift->generation;
    meta.sequence += shift->sequence;
    meta.log_replay += shift->log;
    meta.log_watermark += shift->log;
    meta.floor_txn = meta.txn_id; /* the records before are sealed for other offsets */
    memcpy(meta.floor_chain, meta.chain, sizeof meta.chain);
    meta.floor_log = meta.log_replay;
    ns__meta_encode(&meta, bytes);
}

static void shift_log_map(uint8_t *bytes, uint32_t page, const uint8_t *uuid, size_t size,
                          const struct shift *shift)
{
    struct ns__logmap map;
    CHECK_OK(ns__logmap_decode(bytes, page, uuid, PAGE, size / PAGE, &map));
    map.sequence += shift->map_sequence;
    map.watermark += shift->log;
    for (uint32_t i = 0; i < map.extent_count; i++) {
        map.extents[i].log_start += shift->log;
        map.extents[i].log_end += shift->log;
    }
    ns__logmap_encode(&map, bytes);
}

static void shift_file(struct small *small, const struct shift *shift)
{
    size_t size;
    uint8_t *bytes = small_bytes(small, &size);
    uint8_t uuid[16];
    memcpy(uuid, bytes + 16, sizeof uuid);
    for (uint32_t i = 0; i < 2; i++) {
        shift_meta(bytes + i * PAGE, i, size, shift);
        shift_log_map(bytes + (2 + i) * PAGE, 2 + i, uuid, size, shift);
    }
}

static void make_closed(struct small *small, uint64_t seed)
{
    ns_db *db;
    small_init(small, 0, seed);
    CHECK_OK(ns_db_open(SMALL_PATH, &small->with, &db));
    for (unsigned i = 0; i < 12; i++) {
        small_commit(small, db, 20);
        if (i % 4 == 3) CHECK_OK(ns_db_checkpoint(db));
    }
    CHECK_OK(ns_db_close(db));
}

/* ---- going on from there ---- */

static void check_shifted(const struct small *small, ns_db *db, uint64_t shifted_by)
{
    ns_txn *txn;
    ns_slice value;
    uint64_t version;
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    assert_int_equal(ns_txn_id(txn), shifted_by + small->newest);
    assert_int_equal(small_read(txn, small->states[small->newest]), SMALL_WHOLE);
    CHECK_OK(ns_txn_get_version(txn, NS_MAIN, ns_str("newest"), &value, &version));
    assert_true(small->newest <= 12 || version == shifted_by + small->newest);
    ns_txn_abort(txn);
}

/* The records since the shift, from the first to the newest. */
static void check_records(const struct small *small, ns_db *db, uint64_t shifted_by)
{
    ns_log *log;
    struct ns_commit commit;
    CHECK_OK(ns_log_open(db, shifted_by + 12, &log));
    for (uint64_t id = 13; id <= small->newest; id++) {
        CHECK_OK(ns_log_next(log, &commit));
        assert_int_equal(commit.txn_id, shifted_by + id);
    }
    CHECK_STATUS(ns_log_next(log, &commit), NS_NOTFOUND);
    ns_log_close(log);
}

static void kill_and_check(const struct small *small, uint64_t shifted_by)
{
    struct ns__mem *killed;
    ns_db *db;
    ns_options with = small->with;
    CHECK_OK(ns__mem_clone(small->mem, &killed));
    with.vfs = ns__mem_vfs(killed);
    CHECK_OK(ns_db_verify(SMALL_PATH, &with, NULL, NULL));
    CHECK_OK(ns_db_open(SMALL_PATH, &with, &db));
    check_shifted(small, db, shifted_by);
    CHECK_OK(ns_db_close(db));
    ns__mem_free(killed);
}

static void go_on(struct small *small, uint64_t shifted_by)
{
    ns_db *db;
    CHECK_OK(ns_db_verify(SMALL_PATH, &small->with, NULL, NULL));
    CHECK_OK(ns_db_open(SMALL_PATH, &small->with, &db));
    check_shifted(small, db, shifted_by);
    for (unsigned i = 0; i < 30; i++) {
        small_commit(small, db, 20);
        if (i % 7 == 6) CHECK_OK(ns_db_checkpoint(db));
        if (i % 10 == 4) kill_and_check(small, shifted_by);
    }
    check_shifted(small, db, shifted_by);
    check_records(small, db, shifted_by);
    CHECK_OK(ns_db_close(db));
    CHECK_OK(ns_db_verify(SMALL_PATH, &small->with, NULL, NULL));
    CHECK_OK(ns_db_open(SMALL_PATH, &small->with, &db));
    check_shifted(small, db, shifted_by);
    CHECK_OK(ns_db_close(db));
}

#define BIT(n) (UINT64_C(1) << (n))

static void counters_go_over_every_width(void **state)
{
    static const struct shift shifts[] = {
        {BIT(16) - 20, BIT(16) - 20, BIT(16) - 6, BIT(16) - 6, BIT(16) - 4096},
        {BIT(31) - 20, BIT(31) - 20, BIT(31) - 6, BIT(31) - 6, BIT(31) - 16384},
        {BIT(32) - 20, BIT(32) - 20, BIT(32) - 6, BIT(32) - 6, BIT(32) - 40000},
        {BIT(32) - 20, 0, 0, 0, 0},
        {0, BIT(32) - 20, 0, 0, 0},
        {0, 0, 0, 0, BIT(40) - 32768},
        {BIT(48) - 20, BIT(53) - 20, BIT(56) - 6, BIT(56) - 6, BIT(60)},
        {BIT(62) - 1000, BIT(62) - 1000, BIT(62) - 1000, BIT(62) - 1000, BIT(60)},
    };
    (void)state;
    for (size_t i = 0; i < sizeof shifts / sizeof shifts[0]; i++) {
        struct small small;
        make_closed(&small, 90 + i);
        shift_file(&small, &shifts[i]);
        go_on(&small, shifts[i].txn);
        small_deinit(&small);
    }
}

/* No database gets there; a file that says so is refused, and offsets that run out are a full log.
 */
static void beyond_the_last_values_there_is_an_answer(void **state)
{
    static const struct shift beyond[] = {
        {BIT(62), 0, 0, 0, 0}, {0, BIT(62), 0, 0, 0}, {0, 0, BIT(62), 0, 0}, {0, 0, 0, BIT(62), 0}};
    struct small small;
    ns_db *db;
    (void)state;
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
        make_closed(&small, 95);
        shift_file(&small, &beyond[i]);
        CHECK_STATUS(ns_db_open(SMALL_PATH, &small.with, &db), NS_CORRUPT);
        small_deinit(&small);
    }
    struct shift last = {0, 0, 0, 0, BIT(61) - BIT(17)};
    make_closed(&small, 96);
    shift_file(&small, &last);
    CHECK_OK(ns_db_open(SMALL_PATH, &small.with, &db));
    ns_status status = NS_OK;
    for (unsigned i = 0; i < 200 && status == NS_OK; i++) {
        status = small_try_commit(&small, db, 60);
    }
    assert_int_equal(status, NS_FULL);
    small.newest--; /* that one is not there */
    check_shifted(&small, db, 0);
    CHECK_OK(ns_db_close(db));
    CHECK_OK(ns_db_verify(SMALL_PATH, &small.with, NULL, NULL));
    small.newest++;
    small_deinit(&small);
}

/* ---- a file of more than 4 GiB ---- */

#define FULL_RANGES 41u /* of 32512 pages: 5.46 GB */

static void write_at(int fd, uint64_t page, const uint8_t *bytes)
{
    assert_int_equal(pwrite(fd, bytes, PAGE, (off_t)(page * PAGE)), PAGE);
}

/* Marks every page below the limit as held, but for fixed pages and the log's. */
static struct ns__region_entry fill_range(int fd, const struct ns__meta *meta,
                                          const struct ns__logmap *map, uint64_t range)
{
    static uint8_t bits[PAGE], out[PAGE];
    uint64_t count = ns__range_pages(PAGE), first = range * count;
    memset(bits, 0, sizeof bits);
    for (uint64_t i = 0; i < count; i++) {
        bool is_log = false;
        for (uint32_t e = 0; e < map->extent_count; e++) {
            const struct ns__extent *extent = &map->extents[e];
            is_log =
                is_log || (first + i >= extent->page && first + i < extent->page + extent->pages);
        }
        if (!is_log && !ns__page_is_fixed(PAGE, first + i)) bits[i / 8] |= (uint8_t)(1u << i % 8);
    }
    uint64_t page = ns__bitmap_page(PAGE, range, 1);
    struct ns__region_entry entry = {.place = 1};
    entry.checksum = ns__bitmap_encode(meta->uuid, PAGE, page, range, bits, out);
    write_at(fd, page, out);
    return entry;
}

static void fill_region(int fd, struct ns__meta *meta, const struct ns__logmap *map,
                        uint32_t region)
{
    static struct ns__region_entry entries[PAGE / 12];
    static uint8_t out[PAGE];
    memset(entries, 0, sizeof entries);
    for (uint32_t i = 0; i < ns__region_ranges(PAGE, region); i++) {
        uint64_t range = ns__region_first_range(PAGE, region) + i;
        if (range < FULL_RANGES) entries[i] = fill_range(fd, meta, map, range);
    }
    uint64_t page = ns__directory_page(PAGE, region, 1);
    meta->regions[region].place = 1;
    meta->regions[region].checksum =
        ns__directory_encode(meta->uuid, PAGE, page, region, entries, out);
    write_at(fd, page, out);
}

static struct ns__meta newest_meta(int fd, struct ns__logmap *map_out)
{
    struct ns__meta metas[2];
    ns_status statuses[2];
    uint8_t bytes[PAGE];
    struct stat info;
    assert_int_equal(fstat(fd, &info), 0);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pread(fd, bytes, PAGE, (off_t)i * PAGE), PAGE);
        statuses[i] = ns__meta_decode(bytes, i, (uint64_t)info.st_size, &metas[i]);
    }
    int newest = ns__meta_choose(statuses, metas);
    assert_true(newest >= 0);
    struct ns__logmap maps[2];
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pread(fd, bytes, PAGE, (off_t)(2 + i) * PAGE), PAGE);
        CHECK_OK(ns__logmap_decode(bytes, 2 + i, metas[newest].uuid, PAGE,
                                   (uint64_t)info.st_size / PAGE, &maps[i]));
    }
    *map_out = maps[maps[1].sequence > maps[0].sequence ? 1 : 0];
    return metas[newest];
}

/* Everything below 5.46 GB is in use, as far as the file says; it has no blocks there. */
static void make_huge(const char *path)
{
    static uint8_t out[PAGE];
    struct ns__logmap map;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    struct ns__meta meta = newest_meta(fd, &map);
    meta.page_count = FULL_RANGES * ns__range_pages(PAGE);
    meta.region_count = 2;
    assert_int_equal(ftruncate(fd, (off_t)(meta.page_count * PAGE)), 0);
    for (uint32_t region = 0; region < meta.region_count; region++)
        fill_region(fd, &meta, &map, region);
    ns__meta_encode(&meta, out);
    write_at(fd, meta.sequence % 2, out);
    memset(out, 0, sizeof out);
    write_at(fd, 1 - meta.sequence % 2, out);
    assert_int_equal(close(fd), 0);
}

static void huge_value(uint32_t n, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(n * 13 + i * 7 + (i >> 8));
}

static void put_huge(ns_db *db, uint32_t n)
{
    static uint8_t value[20000];
    ns_txn *txn;
    char key[16];
    size_t size = n % 5 == 0 ? sizeof value : 300;
    (void)snprintf(key, sizeof key, "key %u", n);
    huge_value(n, value, size);
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str(key), ns_bytes(value, size)));
    CHECK_OK(ns_txn_commit(txn, NULL));
}

static void check_huge(ns_db *db, uint32_t count)
{
    static uint8_t wanted[20000];
    ns_txn *txn;
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    for (uint32_t n = 0; n < count; n++) {
        char key[16];
        ns_slice value;
        size_t size = n % 5 == 0 ? sizeof wanted : 300;
        (void)snprintf(key, sizeof key, "key %u", n);
        huge_value(n, wanted, size);
        CHECK_OK(ns_txn_get(txn, NS_MAIN, ns_str(key), &value));
        assert_int_equal(value.size, size);
        assert_memory_equal(value.data, wanted, size);
    }
    ns_txn_abort(txn);
}

/* Tree, values and log lie behind 4 GiB, and hardly any of the file has blocks. */
static void check_where_it_lies(const char *path)
{
    struct ns__logmap map;
    struct stat info;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    struct ns__meta meta = newest_meta(fd, &map);
    assert_true(ns__ref_number(meta.main.ref) * PAGE > BIT(32));
    assert_true(map.extents[map.extent_count - 1].page * PAGE > BIT(32));
    assert_true(meta.main.overflow_pages > 100);
    assert_int_equal(fstat(fd, &info), 0);
    assert_true((uint64_t)info.st_size > BIT(32) + BIT(30));
    assert_true((uint64_t)info.st_blocks * 512 < BIT(28));
    close(fd);
}

static void offsets_beyond_4_gib_are_offsets_like_others(void **state)
{
    struct scratch scratch;
    char path[SCRATCH_PATH_BYTES];
    ns_db *db;
    ns_options with = {.checkpoint_bytes = 200000, .sync = NS_SYNC_OFF, .flags = NS_NO_THREADS};
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "huge.ns", path);
    CHECK_OK(ns_db_open(path, &with, &db));
    for (uint32_t n = 0; n < 100; n++)
        put_huge(db, n);
    CHECK_OK(ns_db_close(db));
    make_huge(path);
    for (unsigned round = 0; round < 4; round++) {
        CHECK_OK(ns_db_open(path, &with, &db));
        check_huge(db, 100 + round * 100);
        for (uint32_t n = 0; n < 100; n++)
            put_huge(db, 100 + round * 100 + n);
        check_huge(db, 200 + round * 100);
        CHECK_OK(ns_db_close(db));
        check_where_it_lies(path);
    }
    scratch_deinit(&scratch);
}

/* ---- many entries in a node ---- */

/* A leaf entry takes at least nine bytes (FMT-9: head, slot, three varints), so the largest page
 * holds at most 7,277 of them: the count of 16 bits cannot overflow. Here they are that small. */
static void nodes_hold_as_many_of_the_smallest_entries_as_fit(void **state)
{
    enum { ENTRIES = 150000 };
    struct small small;
    ns_db *db;
    ns_txn *txn;
    ns_cursor *cursor;
    ns_db_stats_t stats;
    (void)state;
    small_init(&small, 0, 97);
    small.with.page_size = 65536;
    small.with.frame_bytes = 64 << 20;
    CHECK_OK(ns_db_open(SMALL_PATH, &small.with, &db));
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    for (uint32_t n = 0; n < ENTRIES; n++) {
        uint8_t key[3] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
        CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_bytes(key, sizeof key), ns_bytes(NULL, 0)));
    }
    CHECK_OK(ns_txn_commit(txn, NULL));
    CHECK_OK(ns_db_checkpoint(db));
    CHECK_OK(ns_db_stats(db, &stats, sizeof stats));
    assert_int_equal(stats.entries, ENTRIES);
    uint64_t leaves = stats.tree_bytes / 65536 - 1; /* and a root */
    print_message("%llu leaves, %llu entries in each\n", (unsigned long long)leaves,
                  (unsigned long long)(ENTRIES / leaves));
    assert_true(ENTRIES / leaves > 6000);
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    CHECK_OK(ns_cursor_open(txn, NS_MAIN, &cursor));
    for (uint32_t n = 0; n < ENTRIES; n++) {
        uint8_t key[3] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
        CHECK_OK(ns_cursor_next(cursor));
        assert_memory_equal(ns_cursor_key(cursor).data, key, sizeof key);
    }
    CHECK_STATUS(ns_cursor_next(cursor), NS_NOTFOUND);
    ns_cursor_close(cursor);
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
    CHECK_OK(ns_db_verify(SMALL_PATH, &small.with, NULL, NULL));
    small_deinit(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_go_over_every_width),
        cmocka_unit_test(beyond_the_last_values_there_is_an_answer),
        cmocka_unit_test(offsets_beyond_4_gib_are_offsets_like_others),
        cmocka_unit_test(nodes_hold_as_many_of_the_smallest_entries_as_fit),
    };
    return cmocka_run_group_tests_name("db_counters", tests, NULL, NULL);
}
