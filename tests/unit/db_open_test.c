/* db_open_test.c: opening, creating and recovering fail cleanly wherever they fail, and the next
 * open finds everything that was acknowledged (spec/commit_v0.md, REC). */
#include "harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/prng.h"
#include "db/db.h"

#define PATH "app.ns"

/* ---- an allocator that can run dry, and counts what is out ---- */

static struct {
    bool is_counting;
    uint64_t left;
    int64_t out;
} memory;

static bool is_dry(void)
{
    if (!memory.is_counting) return false;
    if (memory.left == 0) return true;
    memory.left--;
    return false;
}

static void *take(void *ctx, size_t size)
{
    (void)ctx;
    if (is_dry()) return NULL;
    memory.out += (int64_t)size;
    return malloc(size);
}

static void *change(void *ctx, void *old, size_t old_size, size_t size)
{
    (void)ctx;
    if (is_dry()) return NULL;
    memory.out += (int64_t)size - (int64_t)old_size;
    return realloc(old, size);
}

static void give(void *ctx, void *old, size_t size)
{
    (void)ctx;
    if (old != NULL) memory.out -= (int64_t)size;
    free(old);
}

static const struct ns_allocator allocator = {NULL, take, change, give};

/* ---- a database ---- */

static ns_options options_for(struct ns__mem *mem)
{
    return (ns_options){.flags = NS_NO_THREADS,
                        .vfs = ns__mem_vfs(mem),
                        .allocator = &allocator,
                        .frame_bytes = 100 * 4096,
                        .checkpoint_bytes = 40000,
                        .max_readers = 4};
}

/* The value of key n, in transaction t: sizes from nothing to a run of a few pages. */
static ns_slice value_of(uint32_t n, uint32_t t, uint8_t *out)
{
    struct ns__prng prng = {.state = (uint64_t)n << 32 | t};
    uint64_t kind = ns__prng_below(&prng, 20);
    size_t size = kind == 0 ? 3000 + ns__prng_below(&prng, 9000) : ns__prng_below(&prng, 200);
    memset(out, (int)(n * 31 + t), size);
    return ns_bytes(out, size);
}

/* Transaction t writes keys t, t + 7, t + 14, ... below 200. */
static ns_status commit(ns_db *db, uint32_t t)
{
    ns_txn *txn;
    uint8_t value[16000];
    NS_TRY(ns_txn_begin(db, NS_WRITE, &txn));
    for (uint32_t n = t % 7; n < 200; n += 7) {
        char key[16];
        (void)snprintf(key, sizeof key, "key %u", n);
        ns_status status = ns_txn_put(txn, NS_MAIN, ns_str(key), value_of(n, t, value));
        if (status != NS_OK) {
            ns_txn_abort(txn);
            return status;
        }
    }
    return ns_txn_commit(txn, NULL);
}

/* The newest transaction in it, after a look at all keys. */
static uint64_t check_content(ns_db *db)
{
    ns_txn *txn;
    uint8_t wanted[16000];
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    uint32_t last = (uint32_t)ns_txn_id(txn);
    for (uint32_t n = 0; n < 200; n++) {
        char key[16];
        ns_slice value;
        (void)snprintf(key, sizeof key, "key %u", n);
        uint32_t t = last; /* the last transaction that wrote the key */
        while (t > 0 && t % 7 != n % 7)
            t--;
        ns_status status = ns_txn_get(txn, NS_MAIN, ns_str(key), &value);
        if (t == 0) {
            CHECK_STATUS(status, NS_NOTFOUND);
            continue;
        }
        CHECK_OK(status);
        ns_slice right = value_of(n, t, wanted);
        assert_int_equal(value.size, right.size);
        if (value.size > 0) assert_memory_equal(value.data, right.data, right.size);
    }
    ns_txn_abort(txn);
    return last;
}

static void check_file(struct ns__mem *mem, uint64_t least, uint64_t most)
{
    ns_db *db;
    ns_options options = options_for(mem);
    CHECK_OK(ns_db_open(PATH, &options, &db));
    uint64_t last = check_content(db);
    if (last < least || last > most) {
        fail_msg("transaction %llu, not %llu to %llu", (unsigned long long)last,
                 (unsigned long long)least, (unsigned long long)most);
    }
    CHECK_OK(commit(db, (uint32_t)last + 1));
    CHECK_OK(ns_db_close(db));
    CHECK_OK(ns_db_verify(PATH, &options, NULL, NULL));
    assert_int_equal(memory.out, 0);
}

/* A world in which a process with `count` commits was killed; checkpoint_bytes says how long the
 * tail is. */
static struct ns__mem *killed(uint32_t count, uint64_t checkpoint_bytes)
{
    struct ns__mem *mem, *left;
    ns_db *db;
    CHECK_OK(ns__mem_new(NS__MEM_DURABILITY, 1, NULL, &mem));
    ns_options options = options_for(mem);
    options.checkpoint_bytes = checkpoint_bytes;
    CHECK_OK(ns_db_open(PATH, &options, &db));
    for (uint32_t t = 1; t <= count; t++)
        CHECK_OK(commit(db, t));
    CHECK_OK(ns__mem_clone(mem, &left));
    CHECK_OK(ns_db_close(db));
    ns__mem_free(mem);
    return left;
}

static struct ns__mem *copy_of(const struct ns__mem *mem)
{
    struct ns__mem *copy;
    CHECK_OK(ns__mem_clone(mem, &copy));
    return copy;
}

/* ---- creating ---- */

static void a_creation_that_fails_at_any_call_can_be_begun_again(void **state)
{
    (void)state;
    const ns_status statuses[] = {NS_IO, NS_FULL, NS_NOMEM};
    for (size_t i = 0; i < 3; i++) {
        uint64_t nth = 1;
        for (;; nth++) {
            struct ns__mem *mem;
            ns_db *db;
            CHECK_OK(ns__mem_new(NS__MEM_DURABILITY, nth, NULL, &mem));
            ns_options options = options_for(mem);
            ns__mem_fail(mem, nth, 0, statuses[i], false);
            ns_status status = ns_db_open(PATH, &options, &db);
            bool is_reached = ns__mem_calls(mem) >= nth;
            ns__mem_fail(mem, 0, 0, NS_OK, false);
            if (status == NS_OK) { /* also when a smaller step than the failed one was enough */
                CHECK_OK(ns_db_close(db));
            } else {
                assert_null(db);
                assert_true(status == statuses[i] || status == NS_IO);
                assert_non_null(strstr(ns_error_detail(), "open " PATH));
            }
            assert_int_equal(memory.out, 0);
            check_file(mem, 0, 0);
            ns__mem_free(mem);
            if (!is_reached) break;
        }
        assert_true(nth > 15);
    }
}

static void a_creation_without_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    ns_status status = NS_NOMEM;
    uint64_t left = 0;
    for (; status != NS_OK; left++) {
        struct ns__mem *mem;
        ns_db *db;
        CHECK_OK(ns__mem_new(0, 1, NULL, &mem));
        ns_options options = options_for(mem);
        memory.is_counting = true;
        memory.left = left;
        status = ns_db_open(PATH, &options, &db);
        memory.is_counting = false;
        if (status == NS_OK) {
            CHECK_OK(ns_db_close(db));
        } else {
            CHECK_STATUS(status, NS_NOMEM);
            assert_null(db);
        }
        assert_int_equal(memory.out, 0);
        check_file(mem, 0, 0);
        ns__mem_free(mem);
    }
    assert_true(left > 15);
}

/* ---- recovering ---- */

static void a_recovery_that_fails_at_any_call_is_repeated_by_the_next_open(void **state)
{
    (void)state;
    struct ns__mem *left = killed(12, 30000);
    const ns_status statuses[] = {NS_IO, NS_FULL};
    for (size_t i = 0; i < 2; i++) {
        uint64_t nth = 1;
        for (;; nth++) {
            struct ns__mem *mem = copy_of(left);
            ns_db *db;
            ns_options options = options_for(mem);
            ns__mem_fail(mem, nth, 0, statuses[i], false);
            uint64_t before = ns__mem_calls(mem);
            ns_status status = ns_db_open(PATH, &options, &db);
            bool is_reached = ns__mem_calls(mem) >= before + nth;
            ns__mem_fail(mem, 0, 0, NS_OK, false);
            if (status == NS_OK)
                CHECK_OK(ns_db_close(db));
            else if (status != statuses[i] && status != NS_IO)
                fail_msg("call %llu: %s: %s", (unsigned long long)nth, ns_status_name(status),
                         ns_error_detail());
            assert_int_equal(memory.out, 0);
            check_file(mem, 12, 12);
            ns__mem_free(mem);
            if (!is_reached) break;
        }
        assert_true(nth > 15);
    }
    ns__mem_free(left);
}

static void a_recovery_without_memory_is_repeated_by_the_next_open(void **state)
{
    (void)state;
    struct ns__mem *left = killed(12, 30000);
    ns_status status = NS_NOMEM;
    uint64_t steps = 0;
    for (uint64_t calls = 0; status != NS_OK; calls++) {
        struct ns__mem *mem = copy_of(left);
        ns_db *db;
        ns_options options = options_for(mem);
        memory.is_counting = true;
        memory.left = calls;
        status = ns_db_open(PATH, &options, &db);
        memory.is_counting = false;
        if (status == NS_OK) {
            CHECK_OK(ns_db_close(db));
        } else {
            CHECK_STATUS(status, NS_NOMEM);
            steps++;
        }
        assert_int_equal(memory.out, 0);
        if (calls % 8 == 0 || status == NS_OK) check_file(mem, 12, 12);
        ns__mem_free(mem);
    }
    assert_true(steps > 20);
    ns__mem_free(left);
}

static bool keep_by_seed(void *ctx, uint64_t atom)
{
    struct ns__prng prng = {.state = *(uint64_t *)ctx * 1000003 + atom};
    return ns__prng_below(&prng, 2) == 0;
}

/* REC-6 */
static void a_power_cut_during_recovery_is_an_ordinary_one(void **state)
{
    (void)state;
    struct ns__mem *left = killed(12, 30000);
    for (uint64_t nth = 1;; nth++) {
        struct ns__mem *mem = copy_of(left), *after;
        ns_db *db;
        ns_options options = options_for(mem);
        ns__mem_stop_at(mem, nth);
        ns_status status = ns_db_open(PATH, &options, &db);
        bool was_cut = ns__mem_stopped(mem);
        if (status == NS_OK) (void)ns_db_close(db);
        for (uint64_t seed = 0; was_cut && seed < 2; seed++) {
            CHECK_OK(ns__mem_crash(mem, 512, seed == 0 ? NULL : keep_by_seed, &nth, nth, &after));
            check_file(after, 12, 12);
            ns__mem_free(after);
        }
        ns__mem_free(mem);
        if (!was_cut) break;
        assert_true(nth < 2000);
    }
    ns__mem_free(left);
}

/* REC-5 */
static void a_long_tail_is_applied_with_checkpoints_on_the_way(void **state)
{
    (void)state;
    struct ns__mem *mem = killed(120, UINT64_C(1) << 30);
    ns_db *db;
    ns_options options = options_for(mem);
    options.frame_bytes = 1; /* the least */
    options.checkpoint_bytes = 50000;
    CHECK_OK(ns_db_open(PATH, &options, &db));
    assert_int_equal(check_content(db), 120);
    ns_db_stats_t stats;
    CHECK_OK(ns_db_stats(db, &stats, sizeof stats));
    assert_int_equal(stats.recovered_txns, 120);
    assert_true(stats.checkpoints >= 4);
    assert_int_equal(stats.frames_limit, 64);
    CHECK_OK(ns_db_close(db));
    check_file(mem, 120, 120);
    ns__mem_free(mem);
}

static void after_a_clean_close_nothing_is_replayed(void **state)
{
    (void)state;
    struct ns__mem *mem;
    ns_db *db;
    ns_db_stats_t stats;
    CHECK_OK(ns__mem_new(0, 1, NULL, &mem));
    ns_options options = options_for(mem);
    for (uint32_t t = 1; t < 9; t++) {
        CHECK_OK(ns_db_open(PATH, &options, &db));
        CHECK_OK(ns_db_stats(db, &stats, sizeof stats));
        assert_int_equal(stats.recovered_txns, 0);
        assert_true(db->is_opened_clean);
        CHECK_OK(commit(db, t));
        CHECK_OK(ns_db_close(db));
    }
    check_file(mem, 8, 8);
    ns__mem_free(mem);
}

/* ---- the system's cache (REC-8) ---- */

static unsigned maps, drops;

static void dropping(void *ctx, struct ns_vfs_file *file)
{
    (void)ctx;
    (void)file;
    assert_int_equal(maps, 0); /* what is mapped stays in the cache */
    drops++;
}

static ns_status (*true_map)(void *, struct ns_vfs_file *, size_t, struct ns_vfs_map *);

static ns_status mapping(void *ctx, struct ns_vfs_file *file, size_t reserve,
                         struct ns_vfs_map *map_out)
{
    maps++;
    return true_map(ctx, file, reserve, map_out);
}

static void a_file_left_in_use_is_read_anew_from_the_medium(void **state)
{
    (void)state;
    struct ns__mem *mem = killed(9, 30000);
    ns_options options = options_for(mem);
    struct ns_vfs vfs = *ns__mem_vfs(mem);
    true_map = vfs.map;
    vfs.drop_cache = dropping;
    vfs.map = mapping;
    options.vfs = &vfs;
    ns_db *db;
    maps = drops = 0;
    CHECK_OK(ns_db_open(PATH, &options, &db));
    assert_int_equal(drops, 1);
    assert_int_equal(check_content(db), 9);
    CHECK_OK(ns_db_close(db));
    maps = drops = 0;
    CHECK_OK(ns_db_open(PATH, &options, &db)); /* closed: nothing to distrust */
    assert_int_equal(drops, 0);
    CHECK_OK(ns_db_close(db));
    ns__mem_free(mem);
}

static struct ns__mem *lossy;

/* The metas were in the cache alone. */
static void losing(void *ctx, struct ns_vfs_file *file)
{
    ns_slice content;
    (void)ctx;
    (void)file;
    CHECK_OK(ns__mem_file_get(lossy, PATH, &content));
    uint8_t *copy = malloc(content.size);
    assert_non_null(copy);
    memcpy(copy, content.data, content.size);
    memset(copy, 0, 2 * 4096);
    CHECK_OK(ns__mem_file_set(lossy, PATH, ns_bytes(copy, content.size)));
    free(copy);
    drops++;
}

static void a_database_that_was_in_the_cache_alone_is_created_again(void **state)
{
    static const uint32_t flags[] = {NS_RDONLY, NS_MUST_EXIST, 0};
    (void)state;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        lossy = killed(0, 30000);
        ns_options options = options_for(lossy);
        struct ns_vfs vfs = *ns__mem_vfs(lossy);
        ns_db *db;
        vfs.drop_cache = losing;
        options.vfs = &vfs;
        options.flags |= flags[i];
        drops = 0;
        ns_status status = ns_db_open(PATH, &options, &db);
        assert_int_equal(drops, 1);
        if (flags[i] != 0) {
            CHECK_STATUS(status, NS_NOTADB);
        } else {
            CHECK_OK(status);
            CHECK_OK(commit(db, 1));
            CHECK_OK(ns_db_close(db));
        }
        if (flags[i] == 0) check_file(lossy, 1, 1);
        ns__mem_free(lossy);
    }
}

/* ---- closing ---- */

static void a_close_that_fails_loses_nothing(void **state)
{
    (void)state;
    uint64_t nth = 1;
    for (;; nth++) {
        struct ns__mem *mem = killed(9, UINT64_C(1) << 30);
        ns_db *db;
        ns_options options = options_for(mem);
        options.checkpoint_bytes = UINT64_C(1) << 30;
        CHECK_OK(ns_db_open(PATH, &options, &db));
        CHECK_OK(commit(db, 10));
        ns__mem_fail(mem, nth, 0, NS_IO, false);
        ns_status status = ns_db_close(db);
        ns__mem_fail(mem, 0, 0, NS_OK, false);
        if (status != NS_OK) {
            CHECK_STATUS(status, NS_IO);
            assert_non_null(strstr(ns_error_detail(), "close " PATH));
        }
        assert_int_equal(memory.out, 0);
        check_file(mem, 10, 10);
        ns__mem_free(mem);
        if (status == NS_OK) break;
    }
    assert_true(nth > 4);
}

/* ---- damage ---- */

static void flip(struct ns__mem *mem, size_t offset)
{
    ns_slice content;
    CHECK_OK(ns__mem_file_get(mem, PATH, &content));
    uint8_t *bytes = malloc(content.size);
    assert_non_null(bytes);
    memcpy(bytes, content.data, content.size);
    bytes[offset] ^= 4;
    CHECK_OK(ns__mem_file_set(mem, PATH, ns_bytes(bytes, content.size)));
    free(bytes);
}

/* REC-1, INV-2: either meta recovers everything, after a kill and after a clean close. */
static void either_meta_recovers_everything(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        struct ns__mem *mem = killed(40, 30000);
        if (way >= 2) { /* closed cleanly after that */
            ns_db *db;
            ns_options options = options_for(mem);
            CHECK_OK(ns_db_open(PATH, &options, &db));
            CHECK_OK(ns_db_close(db));
        }
        flip(mem, way % 2 == 0 ? 50 : 4096 + 50);
        check_file(mem, 40, 40);
        check_file(mem, 41, 41); /* and the other meta is back */
        ns__mem_free(mem);
    }
}

/* INV-3 */
static void either_log_map_is_enough(void **state)
{
    (void)state;
    for (size_t page = 2; page < 4; page++) {
        struct ns__mem *mem = killed(40, 30000);
        flip(mem, page * 4096 + 100);
        check_file(mem, 40, 40);
        ns__mem_free(mem);
    }
    struct ns__mem *mem = killed(3, 30000);
    ns_db *db;
    ns_options options = options_for(mem);
    flip(mem, 2 * 4096 + 100);
    flip(mem, 3 * 4096 + 100);
    uint64_t hash = ns__mem_image_hash(mem);
    CHECK_STATUS(ns_db_open(PATH, &options, &db), NS_CORRUPT);
    assert_null(db);
    assert_int_equal(ns__mem_image_hash(mem), hash);
    assert_int_equal(memory.out, 0);
    ns__mem_free(mem);
}

/* The first record of the log, with something in it changed and the envelope's checksum made
 * right. */
static void forge_record(struct ns__mem *mem, size_t offset_in_record)
{
    ns_slice content;
    CHECK_OK(ns__mem_file_get(mem, PATH, &content));
    uint8_t *bytes = malloc(content.size);
    assert_non_null(bytes);
    memcpy(bytes, content.data, content.size);
    uint8_t *envelope = bytes + ns__load64(bytes + 2 * 4096 + 96 + 16) * 4096;
    assert_memory_equal(envelope + 8, "NSE1", 4);
    assert_memory_equal(envelope + 32, "NSR1", 4);
    envelope[32 + offset_in_record] ^= 2;
    uint64_t seed = ns__log_seed(bytes + 16, 0); /* the uuid of meta 0 */
    size_t size = (size_t)ns__load64(envelope + 16) + 24;
    ns__store64(envelope, ns__checksum64(envelope + 8, size, seed));
    CHECK_OK(ns__mem_file_set(mem, PATH, ns_bytes(bytes, content.size)));
    free(bytes);
}

/* REC-5: whole envelopes are not enough. */
static void a_record_that_does_not_follow_the_one_before_is_corruption(void **state)
{
    (void)state;
    const struct {
        const char *what;
        size_t offset;
    } rows[] = {
        {"transaction id", 16}, {"time", 24}, {"operations", 32}, {"chain", 50}, {"body", 85}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ns__mem *mem = killed(2, UINT64_C(1) << 30);
        ns_db *db;
        ns_options options = options_for(mem);
        forge_record(mem, rows[i].offset);
        ns_status status = ns_db_open(PATH, &options, &db);
        if (status != NS_CORRUPT) fail_msg("%s: %s", rows[i].what, ns_status_name(status));
        assert_null(db);
        assert_int_equal(memory.out, 0);
        forge_record(mem, rows[i].offset); /* as it was */
        check_file(mem, 2, 2);
        ns__mem_free(mem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_creation_that_fails_at_any_call_can_be_begun_again),
        cmocka_unit_test(a_creation_without_memory_leaves_nothing_behind),
        cmocka_unit_test(a_recovery_that_fails_at_any_call_is_repeated_by_the_next_open),
        cmocka_unit_test(a_recovery_without_memory_is_repeated_by_the_next_open),
        cmocka_unit_test(a_power_cut_during_recovery_is_an_ordinary_one),
        cmocka_unit_test(a_long_tail_is_applied_with_checkpoints_on_the_way),
        cmocka_unit_test(after_a_clean_close_nothing_is_replayed),
        cmocka_unit_test(a_file_left_in_use_is_read_anew_from_the_medium),
        cmocka_unit_test(a_database_that_was_in_the_cache_alone_is_created_again),
        cmocka_unit_test(a_close_that_fails_loses_nothing),
        cmocka_unit_test(either_meta_recovers_everything),
        cmocka_unit_test(either_log_map_is_enough),
        cmocka_unit_test(a_record_that_does_not_follow_the_one_before_is_corruption),
    };
    return cmocka_run_group_tests_name("db_open", tests, NULL, NULL);
}
