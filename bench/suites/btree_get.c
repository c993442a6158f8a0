/* btree_get.c: point reads. Hot: the world is in memory and verified; at 1e4 entries it fits the
 * processor's caches, at 1e6 and 1e7 each get meets memory. Cold: the file is in no cache of the
 * system when a round of gets begins. Throughput and latency are separate benchmarks, because two
 * looks at the clock are as dear as a part of a hot get. */
#include "suites/all.h"

#include "common/world.h"

#define BATCH 64u
#define COLD_ROUND 200u

static void keep(ns_slice value)
{
    bench_keep(value.size + *(const uint8_t *)value.data);
}

static void get_hot(struct bench *b)
{
    const struct world *world = world_shared(b, (uint64_t)bench_arg(b, 0));
    struct ns__prng prng = {data_seed()};
    uint8_t key[DATA_KEY_BYTES];
    bench_watch(b, world->db);
    while (bench_next(b)) {
        ns_slice value;
        BENCH_CHECK(ns_txn_get(world->read, NS_MAIN, world_key(world, &prng, key), &value));
        keep(value);
    }
}

/* The clock's own 20 to 30 ns are in each sample. */
static void get_latency(struct bench *b)
{
    const struct world *world = world_shared(b, (uint64_t)bench_arg(b, 0));
    struct ns__prng prng = {data_seed()};
    uint8_t key[DATA_KEY_BYTES];
    bench_watch(b, world->db);
    while (bench_next(b)) {
        ns_slice value, name = world_key(world, &prng, key);
        uint64_t began = bench_now_ns();
        BENCH_CHECK(ns_txn_get(world->read, NS_MAIN, name, &value));
        keep(value);
        bench_sample(b, bench_now_ns() - began);
    }
}

static void get_absent(struct bench *b)
{
    const struct world *world = world_shared(b, (uint64_t)bench_arg(b, 0));
    struct ns__prng prng = {data_seed()};
    uint8_t key[DATA_KEY_BYTES];
    bench_watch(b, world->db);
    while (bench_next(b)) {
        ns_slice value;
        data_key(world->plan.entries + ns__prng_below(&prng, world->plan.entries), key);
        ns_status status = ns_txn_get(world->read, NS_MAIN, ns_bytes(key, sizeof key), &value);
        if (status != NS_NOTFOUND) bench_die("get an absent key", status);
    }
}

static void get_many(struct bench *b)
{
    const struct world *world = world_shared(b, (uint64_t)bench_arg(b, 0));
    struct ns__prng prng = {data_seed()};
    uint8_t bytes[BATCH][DATA_KEY_BYTES];
    ns_slice keys[BATCH], values[BATCH];
    ns_status statuses[BATCH];
    bench_watch(b, world->db);
    while (bench_next(b)) {
        for (size_t i = 0; i < BATCH; i++)
            keys[i] = world_key(world, &prng, bytes[i]);
        BENCH_CHECK(ns_txn_get_many(world->read, NS_MAIN, BATCH, keys, values, statuses));
        for (size_t i = 0; i < BATCH; i++) {
            BENCH_CHECK(statuses[i]);
            keep(values[i]);
        }
    }
    bench_items(b, bench_iterations(b) * BATCH);
}

/* The round's first gets read the upper nodes too. */
static void get_cold(struct bench *b)
{
    struct world_plan plan = {.entries = (uint64_t)bench_arg(b, 0), .disk = BENCH_FILES};
    struct world *world = world_lasting(b, &plan);
    struct ns__prng prng = {data_seed()};
    uint8_t key[DATA_KEY_BYTES];
    ns_txn *txn = NULL;
    while (bench_next(b)) {
        if (bench_iterations(b) % COLD_ROUND == 0) {
            bench_pause(b);
            ns_txn_abort(txn);
            world_make_cold(world);
            BENCH_CHECK(ns_txn_begin(world->db, NS_READ, &txn));
            bench_resume(b);
        }
        ns_slice value, name = world_key(world, &prng, key);
        uint64_t began = bench_now_ns();
        BENCH_CHECK(ns_txn_get(txn, NS_MAIN, name, &value));
        keep(value);
        bench_sample(b, bench_now_ns() - began);
    }
    ns_txn_abort(txn);
}

void suite_btree_get(void)
{
    static const struct bench_entry rows[] = {
        {"btree/get_hot/1e4", get_hot, {.args = {10000}, .iterations = 20000, .is_gated = true}},
        {"btree/get_hot/1e5", get_hot, {.args = {100000}, .iterations = 20000, .is_gated = true}},
        {"btree/get_hot/1e6", get_hot, {.args = {1000000}}},
        {"btree/get_hot/1e7", get_hot, {.args = {10000000}, .is_slow = true}},
        {"btree/get_latency/1e4", get_latency, {.args = {10000}}},
        {"btree/get_latency/1e6", get_latency, {.args = {1000000}}},
        {"btree/get_latency/1e7", get_latency, {.args = {10000000}, .is_slow = true}},
        {"btree/get_absent/1e6", get_absent, {.args = {1000000}}},
        {"btree/get_many/1e4", get_many, {.args = {10000}, .iterations = 300, .is_gated = true}},
        {"btree/get_many/1e6", get_many, {.args = {1000000}}},
        {"btree/get_many/1e7", get_many, {.args = {10000000}, .is_slow = true}},
        {"btree/get_cold/1e4_file", get_cold, {.args = {10000}}},
        {"btree/get_cold/1e6_file", get_cold, {.args = {1000000}}},
        {"btree/get_cold/1e7_file", get_cold, {.args = {10000000}, .is_slow = true}},
    };
    BENCH_ADD_ROWS(rows);
}
