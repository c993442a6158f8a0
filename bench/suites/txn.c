/* txn.c: transactions of 1, 10, 100 and 1000 puts: what batching gains. Items are puts; the keys
 * are random ones of 1e5 entries, so that the database stays as large as it is.
 *
 *   txn/commit/n1          in memory: the code's own price; a sync counts, but costs nothing
 *   txn/commit/n1_off      a file, NS_SYNC_OFF: the system has the bytes, the disk need not
 *   txn/commit/n1_durable  a file, on stable storage when commit returns; with latencies
 *
 * Those on files run as users' programs do, with the helper thread. */
#include "suites/all.h"

#include "common/crew.h"
#include "common/world.h"

#define ENTRIES 100000u
#define WRITERS 4u
#define WRITER_COMMITS 32u

enum place { IN_MEMORY, FILE_OFF, FILE_DURABLE };

static struct world *world_at(struct bench *b, enum place place, ns_history history)
{
    struct world_plan plan = {
        .entries = ENTRIES,
        .disk = place == IN_MEMORY ? BENCH_MEMORY : BENCH_FILES,
        .sync = place == FILE_OFF ? NS_SYNC_OFF : NS_SYNC_FULL,
        .history = history,
        .has_helper = place != IN_MEMORY,
    };
    return world_lasting(b, &plan);
}

/* arguments: puts, place, history. The first commit after an open marks the log as in use: it is
 * not the loop's. */
static void commit(struct bench *b)
{
    enum place place = (enum place)bench_arg(b, 1);
    struct world *world = world_at(b, place, (ns_history)bench_arg(b, 2));
    uint64_t puts = (uint64_t)bench_arg(b, 0);
    struct ns__prng prng = {data_seed()};
    world_overwrite(world, &prng, 1);
    bench_watch(b, world->db);
    while (bench_next(b)) {
        uint64_t began = place == FILE_DURABLE ? bench_now_ns() : 0;
        world_overwrite(world, &prng, puts);
        if (place == FILE_DURABLE) bench_sample(b, bench_now_ns() - began);
    }
    bench_items(b, bench_iterations(b) * puts);
}

static void write_begin_abort(struct bench *b)
{
    struct world *world = world_at(b, IN_MEMORY, NS_HISTORY_NONE);
    bench_watch(b, world->db);
    while (bench_next(b)) {
        ns_txn *txn;
        BENCH_CHECK(ns_txn_begin(world->db, NS_WRITE, &txn));
        ns_txn_abort(txn);
    }
}

/* A get through a transaction that has a thousand puts of its own. */
static void get_through_write_set(struct bench *b)
{
    struct world *world = world_at(b, IN_MEMORY, NS_HISTORY_NONE);
    struct ns__prng prng = {data_seed()};
    uint8_t key[DATA_KEY_BYTES], bytes[WORLD_VALUE_BYTES] = {0};
    ns_txn *txn;
    BENCH_CHECK(ns_txn_begin(world->db, NS_WRITE, &txn));
    for (int64_t i = 0; i < bench_arg(b, 0); i++) {
        BENCH_CHECK(
            ns_txn_put(txn, NS_MAIN, world_key(world, &prng, key), ns_bytes(bytes, sizeof bytes)));
    }
    bench_watch(b, world->db);
    while (bench_next(b)) {
        ns_slice value;
        BENCH_CHECK(ns_txn_get(txn, NS_MAIN, world_key(world, &prng, key), &value));
        bench_keep(*(const uint8_t *)value.data);
    }
    ns_txn_abort(txn);
}

/* ---- writers that wait for one another ---- */

struct writers {
    struct world *world;
    uint64_t seed;
    uint64_t waits[WRITERS][WRITER_COMMITS]; /* ns */
};

static void write_round(void *ctx, size_t member)
{
    struct writers *writers = ctx;
    struct ns__prng prng = {writers->seed + member * 104729};
    for (uint32_t i = 0; i < WRITER_COMMITS; i++) {
        uint64_t began = bench_now_ns();
        world_overwrite(writers->world, &prng, 1);
        writers->waits[member][i] = bench_now_ns() - began;
    }
}

/* Latency includes the wait for the writer's seat. */
static void four_writers(struct bench *b)
{
    struct writers writers = {.world = world_at(b, FILE_DURABLE, NS_HISTORY_NONE)};
    struct crew crew;
    crew_start(&crew, WRITERS, write_round, &writers);
    bench_watch(b, writers.world->db);
    while (bench_next(b)) {
        writers.seed = data_seed();
        crew_go(&crew);
        crew_wait(&crew);
        for (size_t i = 0; i < WRITERS * WRITER_COMMITS; i++)
            bench_sample(b, writers.waits[i / WRITER_COMMITS][i % WRITER_COMMITS]);
    }
    bench_items(b, bench_iterations(b) * WRITERS * WRITER_COMMITS);
    crew_stop(&crew);
}

void suite_txn(void)
{
    static const struct bench_entry rows[] = {
        {"txn/commit/n1", commit, {.args = {1, IN_MEMORY}, .iterations = 1000, .is_gated = true}},
        {"txn/commit/n10", commit, {.args = {10, IN_MEMORY}}},
        {"txn/commit/n100", commit, {.args = {100, IN_MEMORY}, .iterations = 50, .is_gated = true}},
        {"txn/commit/n1000",
         commit,
         {.args = {1000, IN_MEMORY}, .iterations = 5, .is_gated = true}},
        {"txn/commit/n100_history", commit, {.args = {100, IN_MEMORY, NS_HISTORY_BOUNDED}}},
        {"txn/commit/n1_off", commit, {.args = {1, FILE_OFF}}},
        {"txn/commit/n10_off", commit, {.args = {10, FILE_OFF}}},
        {"txn/commit/n100_off", commit, {.args = {100, FILE_OFF}}},
        {"txn/commit/n1000_off", commit, {.args = {1000, FILE_OFF}}},
        {"txn/commit/n1_durable", commit, {.args = {1, FILE_DURABLE}}},
        {"txn/commit/n10_durable", commit, {.args = {10, FILE_DURABLE}}},
        {"txn/commit/n100_durable", commit, {.args = {100, FILE_DURABLE}}},
        {"txn/commit/n1000_durable", commit, {.args = {1000, FILE_DURABLE}}},
        {"txn/writers/t4_durable", four_writers, {.args = {0}}},
        {"txn/write_begin_abort", write_begin_abort, {.args = {0}}},
        {"txn/get_own/n1000", get_through_write_set, {.args = {1000}}},
    };
    BENCH_ADD_ROWS(rows);
}
