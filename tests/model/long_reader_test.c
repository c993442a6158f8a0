/* long_reader_test.c: promise 4: a reader that stays open costs only what it can see.
 *
 * 10,000 entries of 16 and 100 bytes; one reader held open while 1,000,000 overwrites go by, in
 * transactions of 1000. The file must stop growing, what is not log must stay under eight times the
 * live data, and the reader must still read its snapshot. NS_LONG_READER_PUTS changes the million
 * (at least 200000). */
#include "harness/test.h"

#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "vfs/mem.h"

#define ENTRIES 10000u
#define KEY_BYTES 16u
#define VALUE_BYTES 100u
#define TXN_PUTS 1000u
#define LIVE_BYTES ((uint64_t)ENTRIES * (KEY_BYTES + VALUE_BYTES))

static void make_key(uint64_t entry, uint8_t key[KEY_BYTES])
{
    struct ns__prng prng = {entry};
    uint64_t words[2] = {ns__prng_next(&prng), ns__prng_next(&prng)};
    memcpy(key, words, KEY_BYTES);
}

static void make_value(uint64_t entry, uint64_t round, uint8_t value[VALUE_BYTES])
{
    memset(value, (int)(entry & 0xff), VALUE_BYTES);
    memcpy(value, &round, sizeof round);
    memcpy(value + 8, &entry, sizeof entry);
}

/* Writes TXN_PUTS entries, drawn by chance; round 0 writes them in order. */
static void put_some(ns_db *db, struct ns__prng *prng, uint64_t round, uint64_t first)
{
    ns_txn *txn;
    uint8_t key[KEY_BYTES];
    uint8_t value[VALUE_BYTES];
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    for (uint64_t i = 0; i < TXN_PUTS; i++) {
        uint64_t entry = round == 0 ? first + i : ns__prng_below(prng, ENTRIES);
        make_key(entry, key);
        make_value(entry, round, value);
        CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_bytes(key, KEY_BYTES), ns_bytes(value, VALUE_BYTES)));
    }
    CHECK_OK(ns_txn_commit(txn, NULL));
}

/* The reader sees what it saw at first. */
static void check_reader(ns_txn *reader)
{
    uint8_t key[KEY_BYTES];
    uint8_t value[VALUE_BYTES];
    ns_slice found;
    for (uint64_t entry = 0; entry < ENTRIES; entry++) {
        make_key(entry, key);
        make_value(entry, 0, value);
        CHECK_OK(ns_txn_get(reader, NS_MAIN, ns_bytes(key, KEY_BYTES), &found));
        assert_int_equal(found.size, VALUE_BYTES);
        assert_memory_equal(found.data, value, VALUE_BYTES);
    }
}

static ns_db_stats_t stats_of(ns_db *db)
{
    ns_db_stats_t stats;
    CHECK_OK(ns_db_stats(db, &stats, sizeof stats));
    return stats;
}

static void run(uint64_t puts, bool has_reader, uint64_t frame_bytes)
{
    struct ns__mem *mem;
    ns_db *db;
    ns_txn *reader = NULL;
    ns_options with;
    struct ns__prng prng = {42};
    uint64_t early_bytes = 0;
    memset(&with, 0, sizeof with);
    CHECK_OK(ns__mem_new(0, 1, NULL, &mem));
    with.flags = NS_NO_THREADS;
    with.sync = NS_SYNC_OFF;
    with.history = NS_HISTORY_NONE;
    with.checkpoint_bytes = 1 << 20;
    with.frame_bytes = frame_bytes;
    with.vfs = ns__mem_vfs(mem);
    CHECK_OK(ns_db_open("long.ns", &with, &db));
    for (uint64_t i = 0; i < ENTRIES; i += TXN_PUTS)
        put_some(db, &prng, 0, i);
    if (has_reader) CHECK_OK(ns_txn_begin(db, NS_READ, &reader));
    for (uint64_t done = 0; done < puts; done += TXN_PUTS) {
        put_some(db, &prng, 1 + done / TXN_PUTS, 0);
        if (done + TXN_PUTS == 100000) early_bytes = stats_of(db).file_bytes;
    }
    ns_db_stats_t stats = stats_of(db);
    uint64_t other_bytes = stats.file_bytes - stats.log_bytes;
    print_message(
        "long reader%s: file %llu KiB after 100,000 overwrites, %llu KiB after %llu; not log "
        "%llu KiB = %.2f x the live data\n",
        has_reader ? "" : " (without it)", (unsigned long long)early_bytes / 1024,
        (unsigned long long)stats.file_bytes / 1024, (unsigned long long)puts,
        (unsigned long long)other_bytes / 1024, (double)other_bytes / LIVE_BYTES);
    assert_true(stats.file_bytes * 10 <= early_bytes * 11);
    assert_true(other_bytes < 8 * LIVE_BYTES);
    if (has_reader) check_reader(reader);
    ns_txn_abort(reader);
    CHECK_OK(ns_db_checkpoint(db));
    CHECK_OK(ns_db_close(db));
    CHECK_OK(ns_db_verify("long.ns", &with, NULL, NULL));
    ns__mem_free(mem);
}

static uint64_t wanted_puts(void)
{
    const char *text = getenv("NS_LONG_READER_PUTS");
    return text != NULL ? strtoull(text, NULL, 10) : 1000000;
}

static void a_long_reader_costs_only_what_it_sees(void **state)
{
    (void)state;
    run(wanted_puts(), true, 0);
}

static void so_does_one_while_frames_are_few(void **state)
{
    (void)state;
    run(wanted_puts() / 5, true, 2 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_reader_costs_only_what_it_sees),
        cmocka_unit_test(so_does_one_while_frames_are_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
