/* replay.c: a heavy volume of commits is played again into an empty database.
 *
 * The story is written first, outside the clock: 100,000 commits of one put and 2,000 of a hundred,
 * random keys. `apply` then reads every record of the log and applies it to a new database, as a
 * replica does, and ends in a comparison of state hashes; `read` only reads and decodes. Items are
 * operations. */
#include "macro/all.h"

#include <stdlib.h>
#include <string.h>

#include <northstar/log.h>
#include "base/prng.h"
#include "common/bench.h"
#include "common/data.h"

#define SMALL_COMMITS 100000u
#define LARGE_COMMITS 2000u
#define LARGE_PUTS 100u
#define VALUE_BYTES 100u

static void put_random(ns_txn *txn, struct ns__prng *prng)
{
    uint8_t key[DATA_KEY_BYTES], value[VALUE_BYTES];
    data_key(ns__prng_below(prng, 200000), key);
    data_value(ns__prng_next(prng), sizeof value, value);
    BENCH_CHECK(ns_txn_put(txn, NS_MAIN, ns_bytes(key, sizeof key), ns_bytes(value, sizeof value)));
}

static void commit_many(ns_db *db, unsigned commits, unsigned puts, struct ns__prng *prng)
{
    for (unsigned i = 0; i < commits; i++) {
        ns_txn *txn;
        BENCH_CHECK(ns_txn_begin(db, NS_WRITE, &txn));
        for (unsigned j = 0; j < puts; j++)
            put_random(txn, prng);
        BENCH_CHECK(ns_txn_commit(txn, NULL));
    }
}

static ns_db *open_db(struct bench *b)
{
    ns_options options;
    ns_db *db;
    bench_options(b, BENCH_MEMORY, &options);
    options.history = NS_HISTORY_ALL;
    options.sync = NS_SYNC_OFF;
    BENCH_CHECK(ns_db_open(bench_path(b), &options, &db));
    return db;
}

static ns_db *write_story(struct bench *b)
{
    struct ns__prng prng = {11};
    ns_db *db = open_db(b);
    commit_many(db, SMALL_COMMITS, 1, &prng);
    commit_many(db, LARGE_COMMITS, LARGE_PUTS, &prng);
    BENCH_CHECK(ns_db_checkpoint(db)); /* the log can be read up to what is durable */
    return db;
}

static void state_hash(ns_db *db, uint8_t hash_out[16])
{
    ns_txn *txn;
    BENCH_CHECK(ns_txn_begin(db, NS_READ, &txn));
    BENCH_CHECK(ns_txn_state_hash(txn, hash_out));
    ns_txn_abort(txn);
}

static void replay(struct bench *b)
{
    ns_db *source = write_story(b);
    ns_db *replica = open_db(b);
    uint8_t hashes[2][16];
    uint64_t operations = 0;
    bench_watch(b, replica);
    while (bench_next(b)) {
        ns_log *log;
        struct ns_commit commit;
        BENCH_CHECK(ns_log_open(source, 0, &log));
        while (ns_log_next(log, &commit) == NS_OK) {
            operations += commit.op_count;
            BENCH_CHECK(ns_log_apply(replica, commit.bytes));
        }
        ns_log_close(log);
    }
    bench_items(b, operations);
    bench_watch(b, NULL);
    state_hash(source, hashes[0]);
    state_hash(replica, hashes[1]);
    if (memcmp(hashes[0], hashes[1], sizeof hashes[0]) != 0) {
        bench_die("the replica differs", NS_INTERNAL);
    }
    BENCH_CHECK(ns_db_close(replica));
    BENCH_CHECK(ns_db_close(source));
}

/* Reads every record and decodes every operation, and applies nothing. */
static void read_log(struct bench *b)
{
    ns_db *source = write_story(b);
    uint64_t operations = 0;
    uint64_t commits = 0;
    while (bench_next(b)) {
        ns_log *log;
        struct ns_commit commit;
        BENCH_CHECK(ns_log_open(source, 0, &log));
        for (; ns_log_next(log, &commit) == NS_OK; commits++) {
            struct ns_op op;
            size_t at = 0;
            while (ns_commit_next_op(&commit, &at, &op) == NS_OK)
                operations++;
        }
        ns_log_close(log);
    }
    if (commits != (SMALL_COMMITS + LARGE_COMMITS) * bench_iterations(b)) {
        bench_die("commits are missing from the log", NS_INTERNAL);
    }
    bench_items(b, operations);
    BENCH_CHECK(ns_db_close(source));
}

void macro_replay(void)
{
    struct bench_plan plan = {.iterations = 1, .is_fixed = true};
    bench_add("macro/replay/apply", replay, &plan);
    bench_add("macro/replay/read", read_log, &plan);
}
