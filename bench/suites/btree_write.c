/* btree_write.c: changing the tree, in memory: what a put, an update, a delete and a split cost
 * with all that a commit does, but without a disk. Items are entries. Every benchmark commits whole
 * transactions; checkpoints run inside the commits that cause them and are part of the price.
 * batch_apply is the tree alone: a change is made from a sorted batch and dropped again. */
#include "suites/all.h"

#include <stdlib.h>
#include <string.h>

#include "common/world.h"
#include "db/db.h"

#define SORTED_BATCHES 16u

/* What put and erase share: they use the world up, and get a fresh copy when a fourth of its
 * entries, or one batch, is new or gone. */
struct wear {
    struct world world;
    uint64_t next, end, batch;
};

static void wear_open(struct bench *b, uint64_t first, struct wear *wear)
{
    struct world_plan plan = {.entries = (uint64_t)bench_arg(b, 0),
                              .value_bytes = (uint32_t)bench_arg(b, 2)};
    world_open(b, &plan, &wear->world);
    bench_watch(b, wear->world.db);
    wear->batch = (uint64_t)bench_arg(b, 1);
    wear->next = first;
    wear->end = first + (plan.entries / 4 > wear->batch ? plan.entries / 4 : wear->batch);
}

/* The number of the batch's first key. */
static uint64_t wear_take(struct wear *wear, uint64_t first)
{
    if (wear->next + wear->batch > wear->end) {
        world_refresh(&wear->world);
        wear->next = first;
    }
    wear->next += wear->batch;
    return wear->next - wear->batch;
}

static void wear_close(struct bench *b, struct wear *wear)
{
    bench_items(b, bench_iterations(b) * wear->batch);
    world_close(&wear->world);
}

static void put_with(struct bench *b, void (*name)(uint64_t, uint8_t[DATA_KEY_BYTES]))
{
    struct wear wear;
    uint8_t key[DATA_KEY_BYTES], value[WORLD_VALUE_MAX];
    uint64_t first = (uint64_t)bench_arg(b, 0);
    size_t bytes = bench_arg(b, 2) != 0 ? (size_t)bench_arg(b, 2) : WORLD_VALUE_BYTES;
    data_value(1, bytes, value);
    wear_open(b, first, &wear);
    while (bench_next(b)) {
        uint64_t from = wear_take(&wear, first);
        ns_txn *txn;
        BENCH_CHECK(ns_txn_begin(wear.world.db, NS_WRITE, &txn));
        for (uint64_t i = from; i < from + wear.batch; i++) {
            name(i, key);
            memcpy(value, key, sizeof key);
            BENCH_CHECK(
                ns_txn_put(txn, NS_MAIN, ns_bytes(key, sizeof key), ns_bytes(value, bytes)));
        }
        BENCH_CHECK(ns_txn_commit(txn, NULL));
    }
    wear_close(b, &wear);
}

static void put(struct bench *b)
{
    put_with(b, data_key);
}

static void append(struct bench *b)
{
    put_with(b, data_key_ascending);
}

static void erase(struct bench *b)
{
    struct wear wear;
    uint8_t key[DATA_KEY_BYTES];
    wear_open(b, 0, &wear);
    while (bench_next(b)) {
        uint64_t from = wear_take(&wear, 0);
        ns_txn *txn;
        BENCH_CHECK(ns_txn_begin(wear.world.db, NS_WRITE, &txn));
        for (uint64_t i = from; i < from + wear.batch; i++) {
            data_key(i, key);
            BENCH_CHECK(ns_txn_del(txn, NS_MAIN, ns_bytes(key, sizeof key)));
        }
        BENCH_CHECK(ns_txn_commit(txn, NULL));
    }
    wear_close(b, &wear);
}

static void update(struct bench *b)
{
    struct world_plan plan = {.entries = (uint64_t)bench_arg(b, 0)};
    struct world *world = world_lasting(b, &plan);
    uint64_t batch = (uint64_t)bench_arg(b, 1);
    struct ns__prng prng = {data_seed()};
    bench_watch(b, world->db);
    while (bench_next(b))
        world_overwrite(world, &prng, batch);
    bench_items(b, bench_iterations(b) * batch);
}

/* ---- the tree alone ---- */

struct sorted {
    size_t count;
    struct ns__tree_op *ops;
    uint8_t (*keys)[DATA_KEY_BYTES];
};

static int compare_ops(const void *left, const void *right)
{
    const struct ns__tree_op *x = left, *y = right;
    return memcmp(x->key.data, y->key.data, DATA_KEY_BYTES);
}

/* Updates of different keys. */
static void sorted_init(struct sorted *sorted, const struct world *world, size_t count,
                        struct ns__prng *prng)
{
    sorted->count = count;
    sorted->ops = calloc(count, sizeof *sorted->ops);
    sorted->keys = calloc(count, sizeof *sorted->keys);
    if (sorted->ops == NULL || sorted->keys == NULL) bench_die("a batch", NS_NOMEM);
    uint64_t stride = world->plan.entries / count, start = ns__prng_below(prng, stride);
    for (size_t i = 0; i < count; i++) {
        static uint8_t value[WORLD_VALUE_BYTES];
        data_key(start + i * stride, sorted->keys[i]);
        sorted->ops[i].key = ns_bytes(sorted->keys[i], DATA_KEY_BYTES);
        sorted->ops[i].value = ns_bytes(value, sizeof value);
        sorted->ops[i].kind = NS__TREE_PUT;
    }
    qsort(sorted->ops, count, sizeof *sorted->ops, compare_ops);
}

static void sorted_deinit(struct sorted *sorted)
{
    free(sorted->ops);
    free(sorted->keys);
}

static void apply_and_drop(struct ns_db *db, const struct sorted *sorted)
{
    struct ns__root root;
    ns__snapshots_newest(&db->snapshots, &root);
    for (size_t i = 0; i < sorted->count; i++)
        sorted->ops[i].version = root.txn_id + 1;
    struct ns__tree_batch batch = {.ops = sorted->ops, .op_count = sorted->count};
    struct ns__change *change = ns__change_begin(db->pager, root.generation + 1, false);
    ns__arena_reset(&db->scratch);
    BENCH_CHECK(ns__btree_apply(change, &root.main, &batch, &db->scratch));
    ns__change_abort(change);
}

static void batch_apply(struct bench *b)
{
    struct world_plan plan = {.entries = (uint64_t)bench_arg(b, 0)};
    struct world *world = world_lasting(b, &plan);
    size_t count = (size_t)bench_arg(b, 1);
    struct sorted batches[SORTED_BATCHES];
    struct ns__prng prng = {data_seed()};
    for (size_t i = 0; i < SORTED_BATCHES; i++)
        sorted_init(&batches[i], world, count, &prng);
    bench_watch(b, world->db);
    while (bench_next(b)) {
        pthread_mutex_lock(&world->db->head);
        apply_and_drop(world->db, &batches[bench_iterations(b) % SORTED_BATCHES]);
        pthread_mutex_unlock(&world->db->head);
    }
    bench_items(b, bench_iterations(b) * count);
    for (size_t i = 0; i < SORTED_BATCHES; i++)
        sorted_deinit(&batches[i]);
}

void suite_btree_write(void)
{
    static const struct bench_entry rows[] = {
        {"btree/put/1e4", put, {.args = {10000, 1000}}},
        {"btree/put/1e6", put, {.args = {1000000, 1000}}},
        {"btree/put/1e7", put, {.args = {10000000, 1000}, .is_slow = true}},
        {"btree/append/1e6", append, {.args = {1000000, 1000}}},
        {"btree/split_heavy/1e4",
         put,
         {.args = {10000, 100, 1000}, .iterations = 20, .is_gated = true}},
        {"btree/update/1e4", update, {.args = {10000, 100}, .iterations = 50, .is_gated = true}},
        {"btree/update/1e6", update, {.args = {1000000, 100}}},
        {"btree/update/1e7", update, {.args = {10000000, 100}, .is_slow = true}},
        {"btree/delete/1e4", erase, {.args = {10000, 100}, .iterations = 20, .is_gated = true}},
        {"btree/delete/1e6", erase, {.args = {1000000, 1000}}},
        {"btree/delete/1e7", erase, {.args = {10000000, 1000}, .is_slow = true}},
        {"btree/batch_apply/1e4", batch_apply, {.args = {10000, 1000}}},
        {"btree/batch_apply/1e6", batch_apply, {.args = {1000000, 1000}}},
        {"btree/batch_apply/1e7", batch_apply, {.args = {10000000, 1000}, .is_slow = true}},
    };
    BENCH_ADD_ROWS(rows);
}
