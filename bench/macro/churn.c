/* churn.c: 24 hours of 10% churn, compressed, with one reader that never ends.
 *
 * A database of 200,000 entries; every hour a tenth of them is overwritten, in transactions of 100.
 * At the end of the first hour a reader opens a snapshot and forgets it. What is shown is that it
 * costs only what it can see: the rate of the last hours is that of the first, and the file stops
 * growing. Percentiles are of one transaction.
 *
 *   last_hour      rate of the last four hours / rate of the first four
 *   file_growth    file at the end / file after the first four hours
 *   file_to_data   file at the end / keys and values
 *   after_release  pages that wait for a holder / live tree, after the reader ended and a
 *                  checkpoint */
#include "macro/all.h"

#include <stdlib.h>

#include "base/prng.h"
#include "common/bench.h"
#include "common/data.h"

#define ENTRIES 200000u
#define VALUE_BYTES 100u
#define BATCH 100u
#define HOURS 24u
#define COMMITS_AN_HOUR (ENTRIES / 10 / BATCH)

static void put(ns_txn *txn, uint64_t index, uint64_t seed)
{
    uint8_t key[DATA_KEY_BYTES], value[VALUE_BYTES];
    data_key(index, key);
    data_value(seed, sizeof value, value);
    BENCH_CHECK(ns_txn_put(txn, NS_MAIN, ns_bytes(key, sizeof key), ns_bytes(value, sizeof value)));
}

static ns_db *open_filled(struct bench *b)
{
    ns_options options;
    ns_db *db;
    bench_options(b, BENCH_FILES, &options);
    options.history = NS_HISTORY_NONE;
    options.sync = NS_SYNC_OFF;
    BENCH_CHECK(ns_db_open(bench_path(b), &options, &db));
    for (uint64_t i = 0; i < ENTRIES; i += 1000) {
        ns_txn *txn;
        BENCH_CHECK(ns_txn_begin(db, NS_WRITE, &txn));
        for (uint64_t j = i; j < i + 1000; j++)
            put(txn, j, j);
        BENCH_CHECK(ns_txn_commit(txn, NULL));
    }
    BENCH_CHECK(ns_db_checkpoint(db));
    return db;
}

static ns_db_stats_t stats_of(ns_db *db)
{
    ns_db_stats_t stats;
    BENCH_CHECK(ns_db_stats(db, &stats, sizeof stats));
    return stats;
}

/* Returns how long it took. */
static uint64_t play_hour(struct bench *b, ns_db *db, struct ns__prng *prng)
{
    uint64_t begin = bench_now_ns();
    for (unsigned i = 0; i < COMMITS_AN_HOUR; i++) {
        ns_txn *txn;
        uint64_t start = bench_now_ns();
        BENCH_CHECK(ns_txn_begin(db, NS_WRITE, &txn));
        for (unsigned j = 0; j < BATCH; j++)
            put(txn, ns__prng_below(prng, ENTRIES), ns__prng_next(prng));
        BENCH_CHECK(ns_txn_commit(txn, NULL));
        bench_sample(b, bench_now_ns() - start);
    }
    return bench_now_ns() - begin;
}

static void churn(struct bench *b)
{
    struct ns__prng prng = {5};
    ns_db *db = open_filled(b);
    ns_txn *stuck = NULL;
    uint64_t first = 0, last = 0, early_bytes = 0;
    bench_watch(b, db);
    while (bench_next(b)) {
        for (unsigned hour = 0; hour < HOURS; hour++) {
            uint64_t took = play_hour(b, db, &prng);
            if (hour == 0) BENCH_CHECK(ns_txn_begin(db, NS_READ, &stuck));
            if (hour < 4) first += took;
            if (hour == 3) early_bytes = stats_of(db).file_bytes;
            if (hour >= HOURS - 4) last += took;
        }
    }
    bench_watch(b, NULL);
    bench_items(b, (uint64_t)HOURS * COMMITS_AN_HOUR * BATCH);
    uint64_t late_bytes = stats_of(db).file_bytes;
    ns_txn_abort(stuck);
    BENCH_CHECK(ns_db_checkpoint(db));
    BENCH_CHECK(ns_db_checkpoint(db));
    ns_db_stats_t after = stats_of(db);
    bench_figure(b, "last_hour", (double)first / (double)last);
    bench_figure(b, "file_growth", (double)late_bytes / (double)early_bytes);
    bench_figure(b, "file_to_data",
                 (double)late_bytes / (ENTRIES * (DATA_KEY_BYTES + VALUE_BYTES)));
    bench_figure(b, "after_release", (double)after.waiting_bytes / (double)after.tree_bytes);
    BENCH_CHECK(ns_db_close(db));
}

void macro_churn(void)
{
    bench_add("macro/churn/24_hours", churn,
              &(struct bench_plan){.iterations = 1, .is_fixed = true});
}
