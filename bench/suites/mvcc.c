/* mvcc.c: snapshots, and readers beside one another, beside a writer and behind one. */
#include "suites/all.h"

#include "base/atomic.h"
#include "common/crew.h"
#include "common/world.h"

#define RENEWALS 64u
#define ROUND_GETS 5000u
#define OLD_SHARE 10u /* of the entries, one in this many was overwritten since */
#define COMMIT_PUTS 100u

static void get_one(const struct world *world, ns_txn *txn, struct ns__prng *prng)
{
    uint8_t key[DATA_KEY_BYTES];
    ns_slice value;
    BENCH_CHECK(ns_txn_get(txn, NS_MAIN, world_key(world, prng, key), &value));
    bench_keep(value.size + *(const uint8_t *)value.data);
}

/* ---- snapshots ---- */

static void open_close(struct bench *b)
{
    const struct world *world = world_shared(b, (uint64_t)bench_arg(b, 0));
    bench_watch(b, world->db);
    while (bench_next(b)) {
        ns_txn *txn;
        BENCH_CHECK(ns_txn_begin(world->db, NS_READ, &txn));
        ns_txn_abort(txn);
    }
}

static void open_latency(struct bench *b)
{
    const struct world *world = world_shared(b, (uint64_t)bench_arg(b, 0));
    bench_watch(b, world->db);
    while (bench_next(b)) {
        ns_txn *txn;
        uint64_t began = bench_now_ns();
        BENCH_CHECK(ns_txn_begin(world->db, NS_READ, &txn));
        bench_sample(b, bench_now_ns() - began);
        ns_txn_abort(txn);
    }
}

/* Several an iteration: one is hardly more than the loop around it. */
static void renew(struct bench *b)
{
    const struct world *world = world_shared(b, (uint64_t)bench_arg(b, 0));
    ns_txn *txn;
    BENCH_CHECK(ns_txn_begin(world->db, NS_READ, &txn));
    bench_watch(b, world->db);
    while (bench_next(b)) {
        for (uint32_t i = 0; i < RENEWALS; i++) {
            BENCH_CHECK(ns_txn_reset(txn));
            BENCH_CHECK(ns_txn_renew(txn));
        }
    }
    bench_items(b, bench_iterations(b) * RENEWALS);
    ns_txn_abort(txn);
}

static void get_each(struct bench *b)
{
    const struct world *world = world_shared(b, (uint64_t)bench_arg(b, 0));
    struct ns__prng prng = {data_seed()};
    bench_watch(b, world->db);
    while (bench_next(b)) {
        ns_txn *txn;
        BENCH_CHECK(ns_txn_begin(world->db, NS_READ, &txn));
        get_one(world, txn, &prng);
        ns_txn_abort(txn);
    }
}

/* ---- readers beside one another ---- */

struct readers {
    const struct world *world;
    uint64_t seed;
};

/* A round of one member: a snapshot of its own, and gets. */
static void read_round(void *ctx, size_t member)
{
    const struct readers *readers = ctx;
    struct ns__prng prng = {readers->seed + member * 7919};
    ns_txn *txn;
    BENCH_CHECK(ns_txn_begin(readers->world->db, NS_READ, &txn));
    for (uint32_t i = 0; i < ROUND_GETS; i++)
        get_one(readers->world, txn, &prng);
    ns_txn_abort(txn);
}

/* Rounds of one thread, in pauses, alternate with the measured ones of all: "scaling" compares what
 * the same minute of the machine gave to both. */
static void readers_scale(struct bench *b)
{
    struct readers readers = {world_shared(b, (uint64_t)bench_arg(b, 0)), 0};
    size_t count = (size_t)bench_arg(b, 1);
    uint64_t alone_ns = 0, together_ns = 0;
    struct crew crew;
    crew_start(&crew, count, read_round, &readers);
    bench_watch(b, readers.world->db);
    while (bench_next(b)) {
        bench_pause(b);
        readers.seed = data_seed();
        uint64_t began = bench_now_ns();
        read_round(&readers, 0);
        alone_ns += bench_now_ns() - began;
        readers.seed = data_seed();
        bench_resume(b);
        began = bench_now_ns();
        crew_go(&crew);
        crew_wait(&crew);
        together_ns += bench_now_ns() - began;
    }
    bench_items(b, bench_iterations(b) * ROUND_GETS * count);
    bench_figure(b, "scaling", (double)count * (double)alone_ns / (double)together_ns);
    crew_stop(&crew);
}

/* ---- readers and a writer ---- */

struct writer {
    struct world *world;
    uint64_t seed, puts;
    uint32_t is_stopping; /* atomic */
};

static void write_until_stopped(void *ctx, size_t member)
{
    struct writer *writer = ctx;
    struct ns__prng prng = {writer->seed};
    (void)member;
    while (ns__atomic_load32(&writer->is_stopping) == 0) {
        world_overwrite(writer->world, &prng, COMMIT_PUTS);
        writer->puts += COMMIT_PUTS;
    }
}

/* The reader takes a new snapshot every 64 gets: it follows the writer. */
static void get_beside_writer(struct bench *b)
{
    struct world_plan plan = {.entries = (uint64_t)bench_arg(b, 0)};
    struct writer writer = {.world = world_lasting(b, &plan), .seed = data_seed()};
    struct ns__prng prng = {data_seed()};
    struct crew crew;
    ns_txn *txn;
    crew_start(&crew, 1, write_until_stopped, &writer);
    BENCH_CHECK(ns_txn_begin(writer.world->db, NS_READ, &txn));
    crew_go(&crew);
    uint64_t began = bench_now_ns();
    while (bench_next(b)) {
        if (bench_iterations(b) % 64 == 0) {
            BENCH_CHECK(ns_txn_reset(txn));
            BENCH_CHECK(ns_txn_renew(txn));
        }
        get_one(writer.world, txn, &prng);
    }
    uint64_t passed = bench_now_ns() - began;
    ns__atomic_store32(&writer.is_stopping, 1);
    crew_wait(&crew);
    crew_stop(&crew);
    ns_txn_abort(txn);
    bench_figure(b, "writer_puts_per_s", (double)writer.puts * 1e9 / (double)passed);
}

/* ---- a long reader ---- */

/* Gets through a snapshot after which a tenth of the entries were overwritten. */
static void long_reader_get(struct bench *b)
{
    struct world_plan plan = {.entries = (uint64_t)bench_arg(b, 0)};
    struct world *world = world_lasting(b, &plan);
    struct ns__prng prng = {data_seed()};
    ns_txn *old;
    BENCH_CHECK(ns_txn_begin(world->db, NS_READ, &old));
    for (uint64_t i = 0; i < plan.entries / OLD_SHARE; i += COMMIT_PUTS)
        world_overwrite(world, &prng, COMMIT_PUTS);
    bench_watch(b, world->db);
    while (bench_next(b))
        get_one(world, old, &prng);
    ns_txn_abort(old);
}

/* Commits while a snapshot from before all of them is held. */
static void long_reader_commit(struct bench *b)
{
    struct world_plan plan = {.entries = (uint64_t)bench_arg(b, 0)};
    struct world *world = world_lasting(b, &plan);
    struct ns__prng prng = {data_seed()};
    ns_txn *old;
    BENCH_CHECK(ns_txn_begin(world->db, NS_READ, &old));
    bench_watch(b, world->db);
    while (bench_next(b))
        world_overwrite(world, &prng, COMMIT_PUTS);
    bench_items(b, bench_iterations(b) * COMMIT_PUTS);
    ns_db_stats_t stats;
    BENCH_CHECK(ns_db_stats(world->db, &stats, sizeof stats));
    bench_figure(b, "waiting_MB", (double)stats.waiting_bytes / 1e6);
    ns_txn_abort(old);
}

void suite_mvcc(void)
{
    static const struct bench_entry rows[] = {
        {"mvcc/snapshot/open_close",
         open_close,
         {.args = {10000}, .iterations = 5000, .is_gated = true}},
        {"mvcc/snapshot/open_latency", open_latency, {.args = {10000}}},
        {"mvcc/snapshot/renew", renew, {.args = {10000}}},
        {"mvcc/get_per_snapshot/1e6", get_each, {.args = {1000000}}},
        {"mvcc/readers/t1", readers_scale, {.args = {1000000, 1}}},
        {"mvcc/readers/t2", readers_scale, {.args = {1000000, 2}}},
        {"mvcc/get_beside_writer/1e6", get_beside_writer, {.args = {1000000}}},
        {"mvcc/long_reader/get", long_reader_get, {.args = {100000}}},
        {"mvcc/long_reader/commit", long_reader_commit, {.args = {100000}}},
    };
    BENCH_ADD_ROWS(rows);
}
