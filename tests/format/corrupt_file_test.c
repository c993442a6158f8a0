/* corrupt_file_test.c: bad bytes are an answer (promise 6). Whatever happened to a file, opening
 * and reading it gives a status or the right content: never a crash, never something else.
 *
 * The census flips one bit of every byte of a small database (all eight in the metas and log maps;
 * one byte in 64 where the file is zero), opens it read-only and reads everything. Undetected and
 * wrong must be 0. */
#include "harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "harness/reference.h"
#include "vfs/mem.h"

#define PATH "golden.ns"
#define PAGE 4096u

/* ---- golden databases ---- */

struct golden {
    struct ns__mem *mem;
    ns_options with;
    uint8_t *bytes; /* the file, changed in place */
    size_t size;
    struct ref_state *states[2]; /* the newest, and the one before */
};

static void set_options(ns_options *with, struct ns__mem *mem)
{
    memset(with, 0, sizeof *with);
    with->flags = NS_NO_THREADS;
    with->history = NS_HISTORY_ALL;
    with->checkpoint_bytes = 64 << 10;
    with->frame_bytes = 1 << 20;
    with->vfs = ns__mem_vfs(mem);
}

static void write_round(ns_db *db, struct ref_state *state, unsigned round, unsigned count)
{
    static uint8_t value[12000];
    ns_txn *txn;
    ns_keyspace side;
    uint64_t id;
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    CHECK_OK(ns_txn_keyspace(txn, "side", &side));
    if (ref_state_named(state, "side") == NULL) ref_state_create(state, "side", side);
    for (unsigned i = 0; i < count; i++) {
        char key[64];
        size_t size = i % 37 == 5 ? 9000 + i : 40 + i % 90;
        ns_keyspace keyspace = i % 5 == 0 ? side : NS_MAIN;
        snprintf(key, sizeof key, "%s key %u", i % 2 == 0 ? "even" : "odd",
                 (i * 31 + round * 7) % 900);
        memset(value, (int)(round * 16 + i), size);
        CHECK_OK(ns_txn_put(txn, keyspace, ns_str(key), ns_bytes(value, size)));
        ref_put(state, keyspace, ns_str(key), ns_bytes(value, size));
    }
    CHECK_OK(ns_txn_commit(txn, &id));
    ref_state_commit(state, id);
}

static void view_file(struct golden *golden)
{
    ns_slice content;
    CHECK_OK(ns__mem_file_get(golden->mem, PATH, &content));
    golden->bytes = (uint8_t *)(uintptr_t)content.data;
    golden->size = content.size;
}

/* Rounds of writing so many entries, with checkpoints between them; closed, or left as a kill
 * leaves it. */
static void make_golden(struct golden *golden, unsigned rounds, unsigned entries, bool is_closed)
{
    ns_db *db;
    struct ns__mem *after = NULL;
    memset(golden, 0, sizeof *golden);
    CHECK_OK(ns__mem_new(NS__MEM_FAKE_TIME, 11, NULL, &golden->mem));
    set_options(&golden->with, golden->mem);
    golden->states[0] = ref_state_new();
    CHECK_OK(ns_db_open(PATH, &golden->with, &db));
    for (unsigned round = 0; round < rounds; round++) {
        ref_state_release(golden->states[1]);
        golden->states[1] = ref_state_copy(golden->states[0]);
        write_round(db, golden->states[0], round, round + 1 == rounds ? 3 : entries);
        if (round % 2 == 1 && round + 1 < rounds) CHECK_OK(ns_db_checkpoint(db));
    }
    if (!is_closed) CHECK_OK(ns__mem_clone(golden->mem, &after));
    CHECK_OK(ns_db_close(db));
    if (after != NULL) {
        ns__mem_free(golden->mem);
        golden->mem = after;
        golden->with.vfs = ns__mem_vfs(after);
    }
    view_file(golden);
}

static void free_golden(struct golden *golden)
{
    ref_state_release(golden->states[0]);
    ref_state_release(golden->states[1]);
    ns__mem_free(golden->mem);
}

/* ---- what comes of it ---- */

enum outcome { IDENTICAL, DETECTED, SHORTER, WRONG, OUTCOMES };

static bool is_detection(ns_status status)
{
    return status == NS_CORRUPT || status == NS_NOTADB || status == NS_VERSION;
}

/* Reads all that the transaction shows: the same as state, a status that says why not, or something
 * else. */
static enum outcome read_all(ns_txn *txn, const struct ref_state *state)
{
    for (size_t t = 0; t < state->tree_count; t++) {
        const struct ref_tree *tree = state->trees[t];
        ns_cursor *cursor;
        ns_slice key;
        ns_slice value;
        ns_status status = ns_cursor_open(txn, tree->id, &cursor);
        if (is_detection(status)) return DETECTED;
        if (status != NS_OK) return WRONG;
        size_t i = 0;
        while ((status = ns_cursor_next(cursor)) == NS_OK) {
            status = ns_cursor_get(cursor, &key, &value);
            if (status != NS_OK || i == tree->count ||
                ref_compare(key, ref_slice(tree->entries[i].key)) != 0 ||
                ref_compare(value, ref_slice(tree->entries[i].value)) != 0) {
                break;
            }
            i++;
        }
        ns_cursor_close(cursor);
        if (is_detection(status)) return DETECTED;
        if (status != NS_NOTFOUND || i != tree->count) return WRONG;
    }
    return IDENTICAL;
}

static enum outcome try_open(const struct golden *golden, const ns_options *with)
{
    ns_db *db;
    ns_txn *txn;
    ns_status status = ns_db_open(PATH, with, &db);
    if (is_detection(status)) return DETECTED;
    if (status != NS_OK) return WRONG;
    status = ns_txn_begin(db, NS_READ, &txn);
    assert_int_equal(status, NS_OK);
    const struct ref_state *state = golden->states[0];
    bool is_shorter = ns_txn_id(txn) + 1 == state->txn_id;
    if (is_shorter) state = golden->states[1];
    enum outcome outcome = ns_txn_id(txn) == state->txn_id ? read_all(txn, state) : WRONG;
    if (outcome == IDENTICAL && is_shorter) outcome = SHORTER;
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
    return outcome;
}

static enum outcome try_reading(const struct golden *golden)
{
    ns_options with = golden->with;
    with.flags |= NS_RDONLY;
    return try_open(golden, &with);
}

/* Opens a copy for writing; if it opens, it must close, and then be whole or say that it is not. */
static enum outcome try_writing(const struct golden *golden)
{
    struct ns__mem *copy;
    ns_options with = golden->with;
    CHECK_OK(ns__mem_clone(golden->mem, &copy));
    with.vfs = ns__mem_vfs(copy);
    enum outcome outcome = try_open(golden, &with);
    ns_status status = ns_db_verify(PATH, &with, NULL, NULL);
    if (status != NS_OK && !is_detection(status)) outcome = WRONG;
    ns__mem_free(copy);
    return outcome;
}

/* ---- the census ---- */

struct census {
    uint64_t counts[OUTCOMES];
    uint64_t verified_fine; /* identical, and verify has nothing to say */
    uint64_t tries;
};

static void flip_and_try(struct golden *golden, size_t at, unsigned bit, struct census *census)
{
    golden->bytes[at] ^= (uint8_t)(1u << bit);
    enum outcome outcome = try_reading(golden);
    census->counts[outcome]++;
    census->tries++;
    if (outcome == WRONG) print_error("bit %u of byte %zu: undetected\n", bit, at);
    if (outcome == IDENTICAL && census->tries % 32 == 0) {
        ns_status status = ns_db_verify(PATH, &golden->with, NULL, NULL);
        assert_true(status == NS_OK || is_detection(status));
        census->verified_fine += status == NS_OK;
    }
    if (census->tries % 512 == 0) {
        enum outcome written = try_writing(golden);
        if (written == WRONG) print_error("bit %u of byte %zu: undetected when written\n", bit, at);
        census->counts[WRONG] += written == WRONG;
    }
    golden->bytes[at] ^= (uint8_t)(1u << bit);
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) return false;
    }
    return true;
}

static size_t sparse_step(void)
{
    const char *text = getenv("NS_CENSUS_STEP");
    return text != NULL ? (size_t)strtoul(text, NULL, 10) : 3;
}

static void take_census(struct golden *golden, const char *name, struct census *census)
{
    size_t step = sparse_step();
    memset(census, 0, sizeof *census);
    assert_int_equal(try_reading(golden), IDENTICAL);
    for (size_t at = 0; at < golden->size; at += 64) {
        size_t size = golden->size - at < 64 ? golden->size - at : 64;
        bool is_map = at < (size_t)4 * PAGE;
        if (is_zero(golden->bytes + at, size)) {
            flip_and_try(golden, at + (at / 64) % size, (unsigned)(at / 64 % 8), census);
            continue;
        }
        for (size_t i = is_map ? 0 : at / 64 % step; i < size; i += is_map ? 1 : step) {
            for (unsigned bit = 0; bit < (is_map ? 8 : 1); bit++) {
                flip_and_try(golden, at + i, is_map ? bit : (unsigned)((at + i) * 5 % 8), census);
            }
        }
    }
    print_message(
        "census of %s: %zu bytes, %llu flips: %llu detected, %llu identical, %llu without "
        "the last transaction, %llu undetected and wrong\n",
        name, golden->size, (unsigned long long)census->tries,
        (unsigned long long)census->counts[DETECTED], (unsigned long long)census->counts[IDENTICAL],
        (unsigned long long)census->counts[SHORTER], (unsigned long long)census->counts[WRONG]);
}

static void no_flipped_bit_of_a_closed_file_is_believed(void **state)
{
    struct golden golden;
    struct census census;
    (void)state;
    make_golden(&golden, 4, 30, true);
    take_census(&golden, "a closed file", &census);
    assert_int_equal(census.counts[WRONG], 0);
    assert_int_equal(census.counts[SHORTER], 0);
    assert_true(census.counts[DETECTED] > 0);
    free_golden(&golden);
}

/* The stated limit: rot in the very last group looks like a torn tail. Nowhere else. */
static void no_flipped_bit_of_a_killed_file_is_believed(void **state)
{
    struct golden golden;
    struct census census;
    (void)state;
    make_golden(&golden, 4, 30, false);
    take_census(&golden, "a file left by a kill", &census);
    assert_int_equal(census.counts[WRONG], 0);
    assert_true(census.counts[SHORTER] < 1000);
    free_golden(&golden);
}

/* ---- files that are no database ---- */

static ns_status open_bytes(const void *bytes, size_t size, uint64_t *txn_id_out)
{
    struct ns__mem *mem;
    ns_db *db;
    ns_options with;
    ns_slice after;
    CHECK_OK(ns__mem_new(NS__MEM_FAKE_TIME, 1, NULL, &mem));
    set_options(&with, mem);
    CHECK_OK(ns__mem_file_set(mem, PATH, ns_bytes(bytes, size)));
    ns_status status = ns_db_open(PATH, &with, &db);
    if (status == NS_OK) {
        ns_txn *txn;
        CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
        *txn_id_out = ns_txn_id(txn);
        ns_txn_abort(txn);
        CHECK_OK(ns_db_close(db));
    } else if (status == NS_NOTADB) { /* left untouched */
        CHECK_OK(ns__mem_file_get(mem, PATH, &after));
        assert_int_equal(after.size, size);
        if (size > 0) assert_memory_equal(after.data, bytes, size);
        assert_int_equal(ns_db_verify(PATH, &with, NULL, NULL), NS_NOTADB);
    }
    ns__mem_free(mem);
    return status;
}

static void files_of_others_are_refused(void **state)
{
    static uint8_t noise[200000];
    static const size_t sizes[] = {1,    7,    8,    100,   511,    4095,
                                   4096, 4097, 8192, 16384, 131072, 200000};
    uint64_t txn_id;
    struct ns__hash128 hash = {1, 2};
    (void)state;
    for (size_t i = 0; i + 16 <= sizeof noise; i += 16) {
        hash = ns__hash128(&hash, sizeof hash, i);
        memcpy(noise + i, &hash, sizeof hash);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(open_bytes(noise, sizes[i], &txn_id), NS_NOTADB);
    }
    memcpy(noise, "SQLite format 3", 16);
    assert_int_equal(open_bytes(noise, sizeof noise, &txn_id), NS_NOTADB);
    assert_int_equal(open_bytes("a line of text\n", 15, &txn_id), NS_NOTADB);
    assert_int_equal(open_bytes(noise, 0, &txn_id), NS_OK); /* empty: becomes a new database */
    assert_int_equal(txn_id, 0);
}

static void reseal(uint8_t *meta, uint64_t page)
{
    uint64_t checksum = ns__checksum64(meta, 4088, page);
    for (int i = 0; i < 8; i++)
        meta[4088 + i] = (uint8_t)(checksum >> (8 * i));
}

/* A newer version is not read, and not repaired by falling back to an older meta. */
static void newer_versions_are_told(void **state)
{
    struct golden golden;
    ns_db *db;
    (void)state;
    make_golden(&golden, 3, 120, true);
    for (unsigned which = 1; which <= 3; which++) { /* meta 0, meta 1, both */
        uint8_t saved[2][PAGE];
        for (unsigned page = 0; page < 2; page++) {
            uint8_t *meta = golden.bytes + page * PAGE;
            memcpy(saved[page], meta, PAGE);
            if ((which >> page & 1) == 0) continue;
            meta[8] = 2;
            reseal(meta, page);
        }
        ns_status status = ns_db_open(PATH, &golden.with, &db);
        assert_int_equal(status, NS_VERSION);
        assert_null(db);
        for (unsigned page = 0; page < 2; page++) {
            memcpy(golden.bytes + page * PAGE, saved[page], PAGE);
        }
    }
    assert_int_equal(try_reading(&golden), IDENTICAL);
    free_golden(&golden);
}

/* ---- shorter files ---- */

static void truncated_files_are_detected(void **state)
{
    struct golden golden;
    uint64_t counts[OUTCOMES] = {0};
    (void)state;
    make_golden(&golden, 5, 120, true);
    uint8_t *whole = malloc(golden.size);
    size_t size = golden.size;
    assert_non_null(whole);
    memcpy(whole, golden.bytes, size);
    for (size_t length = 1; length < size;) {
        for (int delta = -1; delta <= 1; delta++) {
            size_t cut = length + (size_t)delta;
            if (cut == 0 || cut >= size) continue;
            CHECK_OK(ns__mem_file_set(golden.mem, PATH, ns_bytes(whole, cut)));
            enum outcome reading = try_reading(&golden);
            enum outcome writing = try_writing(&golden);
            if (reading == WRONG || writing == WRONG) print_error("cut to %zu: wrong\n", cut);
            counts[reading]++;
            counts[writing]++;
        }
        length += length < (size_t)4 * PAGE ? 512 : PAGE;
    }
    print_message("truncation: %llu detected, %llu identical, %llu wrong\n",
                  (unsigned long long)counts[DETECTED], (unsigned long long)counts[IDENTICAL],
                  (unsigned long long)counts[WRONG]);
    assert_int_equal(counts[WRONG] + counts[SHORTER], 0);
    free(whole);
    free_golden(&golden);
}

/* ---- writes that went astray ---- */

static void misdirected_writes_are_detected(void **state)
{
    struct golden golden;
    uint64_t tries = 0;
    uint64_t detected = 0;
    uint8_t saved[2][PAGE];
    (void)state;
    make_golden(&golden, 5, 120, true);
    size_t pages = golden.size / PAGE;
    for (size_t a = 4; a < pages; a++) {
        for (size_t b = a + 1; b < pages; b += 1 + (b - a) / 2) {
            uint8_t *at[2] = {golden.bytes + a * PAGE, golden.bytes + b * PAGE};
            if (memcmp(at[0], at[1], PAGE) == 0) continue;
            memcpy(saved[0], at[0], PAGE);
            memcpy(saved[1], at[1], PAGE);
            memcpy(at[0], saved[1], PAGE); /* both went to the other's place */
            memcpy(at[1], saved[0], PAGE);
            enum outcome outcome = try_reading(&golden);
            memcpy(at[1], saved[1], PAGE); /* one of them did */
            enum outcome half = try_reading(&golden);
            memcpy(at[0], saved[0], PAGE);
            if (outcome == WRONG || half == WRONG) fail_msg("pages %zu and %zu: undetected", a, b);
            detected += (uint64_t)(outcome == DETECTED) + (half == DETECTED);
            tries += 2;
        }
    }
    print_message("misdirected: %llu tries, %llu detected\n", (unsigned long long)tries,
                  (unsigned long long)detected);
    assert_true(detected > 100);
    free_golden(&golden);
}

/* A write that never arrived: each page in turn as it was some checkpoints ago. */
static void lost_writes_are_detected(void **state)
{
    uint64_t detected = 0;
    uint64_t tries = 0;
    (void)state;
    for (unsigned older = 1; older < 6; older++) {
        struct golden golden;
        struct golden before;
        uint8_t saved[PAGE];
        make_golden(&golden, 6, 120, true);
        make_golden(&before, older, 120, true); /* the same history, up to there */
        for (size_t page = 0; (page + 1) * PAGE <= before.size && page < golden.size / PAGE;
             page++) {
            uint8_t *at = golden.bytes + page * PAGE;
            if (memcmp(at, before.bytes + page * PAGE, PAGE) == 0) continue;
            memcpy(saved, at, PAGE);
            memcpy(at, before.bytes + page * PAGE, PAGE);
            enum outcome outcome = try_reading(&golden);
            memcpy(at, saved, PAGE);
            if (outcome == WRONG || outcome == SHORTER) fail_msg("page %zu: undetected", page);
            detected += outcome == DETECTED;
            tries++;
        }
        free_golden(&before);
        free_golden(&golden);
    }
    print_message("lost writes: %llu tries, %llu detected\n", (unsigned long long)tries,
                  (unsigned long long)detected);
    assert_true(detected > 0);
}

/* ---- metas ---- */

static size_t newest_meta(const struct golden *golden)
{
    uint64_t sequences[2];
    memcpy(&sequences[0], golden->bytes + 32, 8);
    memcpy(&sequences[1], golden->bytes + PAGE + 32, 8);
    return sequences[1] > sequences[0] ? 1 : 0;
}

static void a_destroyed_meta_loses_nothing(void **state)
{
    static const uint8_t fills[] = {0x00, 0xff, 0x5a};
    (void)state;
    for (int is_closed = 0; is_closed < 2; is_closed++) {
        for (unsigned rounds = 1; rounds < 7; rounds++) {
            for (size_t i = 0; i < 2 * sizeof fills; i++) {
                struct golden golden;
                make_golden(&golden, rounds, 120, is_closed != 0);
                size_t page = i % 2 == 0 ? newest_meta(&golden) : 1 - newest_meta(&golden);
                memset(golden.bytes + page * PAGE, fills[i / 2], PAGE);
                assert_int_equal(try_reading(&golden), IDENTICAL);
                assert_int_equal(try_writing(&golden), IDENTICAL);
                free_golden(&golden);
            }
        }
    }
}

static void with_both_metas_destroyed_nothing_is_touched(void **state)
{
    struct golden golden;
    (void)state;
    make_golden(&golden, 4, 120, true);
    memset(golden.bytes, 0, 2 * PAGE);
    uint64_t hash = ns__mem_image_hash(golden.mem);
    assert_int_equal(try_reading(&golden), DETECTED);
    ns_db *db;
    ns_status status = ns_db_open(PATH, &golden.with, &db);
    assert_true(is_detection(status));
    assert_true(ns__mem_image_hash(golden.mem) == hash);
    free_golden(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_others_are_refused),
        cmocka_unit_test(newer_versions_are_told),
        cmocka_unit_test(truncated_files_are_detected),
        cmocka_unit_test(misdirected_writes_are_detected),
        cmocka_unit_test(lost_writes_are_detected),
        cmocka_unit_test(a_destroyed_meta_loses_nothing),
        cmocka_unit_test(with_both_metas_destroyed_nothing_is_touched),
        cmocka_unit_test(no_flipped_bit_of_a_closed_file_is_believed),
        cmocka_unit_test(no_flipped_bit_of_a_killed_file_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
