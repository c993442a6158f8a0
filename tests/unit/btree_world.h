/* btree_world.h: a tree beside a plain sorted array that says what it must hold, and a generator of
 * batches for both. A test describes its keys, values and mix of operations in a row of a table. */
#ifndef NS_TESTS_UNIT_BTREE_WORLD_H
#define NS_TESTS_UNIT_BTREE_WORLD_H

#include "btree_stub_pager.h"

struct world_entry {
    uint8_t *key;
    size_t key_bytes;
    uint64_t value_seed;
    size_t value_bytes;
    uint64_t version;
    uint64_t ref;
};

enum world_keys {
    KEYS_RANDOM16,  /* 16 random bytes */
    KEYS_SHORT,     /* 1 to 6 bytes out of three, zero among them */
    KEYS_LONG,      /* up to the limit, in families with long prefixes */
    KEYS_DEEP,      /* at the limit, all but the last bytes equal */
    KEYS_ASCENDING, /* a counter */
    KEYS_DESCENDING,
    KEYS_MIXED, /* any of these */
};

enum world_values {
    VALUES_EMPTY,
    VALUES_100,
    VALUES_LIMIT, /* a few bytes around the inline limit */
    VALUES_RUNS,  /* up to three pages */
    VALUES_MIXED,
};

struct world_case {
    const char *name;
    uint32_t page_size;
    enum world_keys keys;
    enum world_values values;
    uint32_t batches, ops; /* ops: most in a batch */
    uint32_t delete_percent, range_percent;
    uint32_t entries_max; /* above it deletes prevail */
    bool is_catalogue;
};

struct world {
    struct world_case what;
    struct ns__prng prng;
    struct ns__tree tree;
    struct world_entry *entries;
    size_t count, room;
    uint64_t counter, version;
};

static inline uint64_t below(struct world *world, uint64_t bound)
{
    return ns__prng_below(&world->prng, bound);
}

static inline ns_slice entry_key(const struct world_entry *entry)
{
    return ns_bytes(entry->key, entry->key_bytes);
}

static inline void fill_value(uint64_t seed, uint8_t *to, size_t size)
{
    struct ns__prng prng = {seed};
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(ns__prng_next(&prng) >> 11);
}

static inline void want_value(const struct world_entry *entry, ns_slice value)
{
    assert_int_equal(value.size, entry->value_bytes);
    uint8_t *wanted = malloc(value.size + 1);
    fill_value(entry->value_seed, wanted, value.size);
    assert_true(value.size == 0 || memcmp(wanted, value.data, value.size) == 0);
    free(wanted);
}

/* Index of the first entry not below key. */
static inline size_t world_find(const struct world *world, ns_slice key, bool *found_out)
{
    size_t low = 0, high = world->count;
    *found_out = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = ns__slice_compare(key, entry_key(&world->entries[middle]));
        if (order == 0) {
            *found_out = true;
            return middle;
        }
        if (order > 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* ---- generating ---- */

static inline size_t make_key(struct world *world, uint8_t *to)
{
    size_t most = ns__key_bytes_max(world->what.page_size), size = 0;
    enum world_keys keys = world->what.keys;
    if (keys == KEYS_MIXED) keys = (enum world_keys)below(world, KEYS_MIXED);
    switch (keys) {
    case KEYS_RANDOM16:
        for (size = 0; size < 16; size++)
            to[size] = (uint8_t)ns__prng_next(&world->prng);
        return size;
    case KEYS_SHORT:
        for (size_t n = 1 + below(world, 6); size < n; size++) {
            to[size] = (uint8_t) "\0ab"[below(world, 3)];
        }
        return size;
    case KEYS_LONG: {
        uint8_t family = (uint8_t)('p' + below(world, 4));
        size_t prefix = below(world, 3) * most / 3;
        size_t n = prefix + 1 + below(world, most - prefix);
        memset(to, family, n);
        for (size = prefix; size < n; size++) {
            if (below(world, 4) == 0) to[size] = (uint8_t)below(world, 256);
        }
        return n;
    }
    case KEYS_DEEP:
        memset(to, 'd', most);
        for (size = most - 3; size < most; size++)
            to[size] = (uint8_t)below(world, 12);
        return most - below(world, 3);
    case KEYS_ASCENDING:
    case KEYS_DESCENDING:
        world->counter++;
        memset(to, 'k', 9);
        for (size = 0; size < 8; size++) {
            uint64_t n = keys == KEYS_ASCENDING ? world->counter : ~world->counter;
            to[1 + size] = (uint8_t)(n >> (56 - 8 * size));
        }
        return 9;
    case KEYS_MIXED: break;
    }
    fail();
    return 0;
}

static inline size_t make_value_bytes(struct world *world, size_t key_bytes)
{
    size_t page_size = world->what.page_size;
    size_t limit = (page_size - NS__NODE_HEADER_BYTES) / 2 - 32 - key_bytes;
    enum world_values values = world->what.values;
    if (values == VALUES_MIXED) values = (enum world_values)below(world, VALUES_MIXED);
    switch (values) {
    case VALUES_EMPTY: return 0;
    case VALUES_100: return 100;
    case VALUES_LIMIT: return limit - 4 + below(world, 8);
    case VALUES_RUNS: return below(world, 3 * page_size);
    case VALUES_MIXED: break;
    }
    fail();
    return 0;
}

/* A batch with memory of its own. */
struct world_batch {
    struct ns__tree_batch batch;
    struct ns__tree_op *ops;
    uint64_t *seeds;
    struct ns__tree_range ranges[3];
};

static inline int compare_ops(const void *a, const void *b)
{
    return ns__slice_compare(((const struct ns__tree_op *)a)->key,
                             ((const struct ns__tree_op *)b)->key);
}

static inline ns_slice copy_slice(const void *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    if (size > 0) memcpy(copy, data, size);
    return ns_bytes(copy, size);
}

static inline ns_slice any_key(struct world *world, bool prefer_old)
{
    if (prefer_old && world->count > 0) {
        const struct world_entry *entry = &world->entries[below(world, world->count)];
        return copy_slice(entry->key, entry->key_bytes);
    }
    uint8_t *key = malloc(ns__key_bytes_max(world->what.page_size));
    return ns_bytes(key, make_key(world, key));
}

static inline int compare_slices(const void *a, const void *b)
{
    return ns__slice_compare(*(const ns_slice *)a, *(const ns_slice *)b);
}

/* Up to two disjoint ranges, sometimes open. */
static inline void make_ranges(struct world *world, struct world_batch *made)
{
    ns_slice bounds[4];
    size_t n = 2 + 2 * below(world, 2), count = 0;
    for (size_t i = 0; i < n; i++)
        bounds[i] = any_key(world, true);
    qsort(bounds, n, sizeof bounds[0], compare_slices);
    if (below(world, 10) == 0) bounds[0].size = 0;
    bool is_open = below(world, 10) == 0;
    for (size_t i = 0; i < n; i += 2) {
        bool ends_open = is_open && i + 2 == n;
        bool is_empty = ns__slice_compare(bounds[i], bounds[i + 1]) >= 0 && !ends_open;
        bool touches = count > 0 && ns__slice_equal(made->ranges[count - 1].to, bounds[i]);
        if (is_empty || touches) {
            free((void *)(uintptr_t)bounds[i].data);
            free((void *)(uintptr_t)bounds[i + 1].data);
            continue;
        }
        if (ends_open) bounds[i + 1].size = 0;
        made->ranges[count].from = bounds[i];
        made->ranges[count++].to = bounds[i + 1];
    }
    made->batch.ranges = made->ranges;
    made->batch.range_count = count;
}

static inline void make_batch(struct world *world, size_t n, struct world_batch *made)
{
    memset(made, 0, sizeof *made);
    made->ops = calloc(n + 1, sizeof *made->ops);
    uint64_t delete_percent = world->what.delete_percent;
    if (world->count > world->what.entries_max) delete_percent = 80;
    for (size_t i = 0; i < n; i++) {
        struct ns__tree_op *op = &made->ops[i];
        bool is_delete = below(world, 100) < delete_percent;
        op->key = any_key(world, is_delete ? below(world, 8) > 0 : below(world, 4) == 0);
        op->kind = is_delete ? NS__TREE_DEL : NS__TREE_PUT;
        op->version = world->version;
    }
    qsort(made->ops, n, sizeof *made->ops, compare_ops);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && ns__slice_equal(made->ops[kept - 1].key, made->ops[i].key)) {
            free((void *)(uintptr_t)made->ops[i].key.data);
        } else {
            made->ops[kept++] = made->ops[i];
        }
    }
    made->seeds = calloc(kept + 1, sizeof *made->seeds);
    for (size_t i = 0; i < kept; i++) {
        struct ns__tree_op *op = &made->ops[i];
        if (op->kind == NS__TREE_DEL) continue;
        size_t size = make_value_bytes(world, op->key.size);
        uint8_t *value = malloc(size + 1);
        made->seeds[i] = ns__prng_next(&world->prng);
        fill_value(made->seeds[i], value, size);
        op->value = ns_bytes(value, size);
        if (world->what.is_catalogue) op->ref = ns__ref_file(1 + below(world, 1000), 5);
    }
    made->batch.ops = made->ops;
    made->batch.op_count = kept;
    made->batch.is_catalogue = world->what.is_catalogue;
    if (below(world, 100) < world->what.range_percent) make_ranges(world, made);
}

static inline void free_batch(struct world_batch *made)
{
    for (size_t i = 0; i < made->batch.op_count; i++) {
        free((void *)(uintptr_t)made->ops[i].key.data);
        free((void *)(uintptr_t)made->ops[i].value.data);
    }
    for (size_t i = 0; i < made->batch.range_count; i++) {
        free((void *)(uintptr_t)made->ranges[i].from.data);
        free((void *)(uintptr_t)made->ranges[i].to.data);
    }
    free(made->ops);
    free(made->seeds);
}

/* ---- the model ---- */

static inline void model_remove(struct world *world, size_t first, size_t end)
{
    if (first >= end) return;
    for (size_t i = first; i < end; i++)
        free(world->entries[i].key);
    memmove(&world->entries[first], &world->entries[end],
            (world->count - end) * sizeof *world->entries);
    world->count -= end - first;
}

static inline void model_put(struct world *world, const struct ns__tree_op *op, uint64_t seed)
{
    bool found;
    size_t at = world_find(world, op->key, &found);
    if (!found) {
        if (world->count == world->room) {
            world->room = world->room * 2 + 64;
            world->entries = realloc(world->entries, world->room * sizeof *world->entries);
        }
        memmove(&world->entries[at + 1], &world->entries[at],
                (world->count - at) * sizeof *world->entries);
        world->count++;
        world->entries[at].key = malloc(op->key.size);
        memcpy(world->entries[at].key, op->key.data, op->key.size);
        world->entries[at].key_bytes = op->key.size;
    }
    world->entries[at].value_seed = seed;
    world->entries[at].value_bytes = op->value.size;
    world->entries[at].version = op->version;
    world->entries[at].ref = op->ref;
}

static inline void model_apply(struct world *world, const struct world_batch *made)
{
    bool found;
    for (size_t i = 0; i < made->batch.range_count; i++) {
        const struct ns__tree_range *range = &made->ranges[i];
        size_t first = world_find(world, range->from, &found);
        size_t end = range->to.size > 0 ? world_find(world, range->to, &found) : world->count;
        model_remove(world, first, end);
    }
    for (size_t i = 0; i < made->batch.op_count; i++) {
        if (made->ops[i].kind == NS__TREE_PUT) {
            model_put(world, &made->ops[i], made->seeds[i]);
        } else {
            size_t at = world_find(world, made->ops[i].key, &found);
            if (found) model_remove(world, at, at + 1);
        }
    }
}

/* ---- comparing ---- */

static inline void want_entry(const struct world *world, const struct ns__btree_cursor *cursor,
                              size_t index)
{
    const struct world_entry *entry = &world->entries[index];
    ns_slice value;
    uint64_t version, ref;
    assert_true(ns__slice_equal(ns__btree_cursor_key(cursor), entry_key(entry)));
    CHECK_OK(ns__btree_cursor_entry(cursor, &value, &version, &ref));
    want_value(entry, value);
    assert_int_equal(version, entry->version);
    assert_int_equal(ref, entry->ref);
}

/* Both scans show exactly the model. */
static inline void want_scans(struct world *world)
{
    struct ns__btree_cursor cursor;
    CHECK_OK(ns__btree_cursor_init(&cursor, &stub.pages, &world->tree, &stub.alloc));
    ns_status status = ns__btree_cursor_first(&cursor);
    for (size_t i = 0; i < world->count; i++) {
        CHECK_STATUS(status, NS_OK);
        want_entry(world, &cursor, i);
        status = ns__btree_cursor_next(&cursor);
    }
    CHECK_STATUS(status, NS_NOTFOUND);
    status = ns__btree_cursor_last(&cursor);
    for (size_t i = world->count; i-- > 0;) {
        CHECK_STATUS(status, NS_OK);
        want_entry(world, &cursor, i);
        status = ns__btree_cursor_prev(&cursor);
    }
    CHECK_STATUS(status, NS_NOTFOUND);
    assert_false(ns__btree_cursor_is_on(&cursor));
    ns__btree_cursor_deinit(&cursor);
}

static inline void want_get(struct world *world, ns_slice key)
{
    ns_slice value;
    uint64_t version, ref;
    bool found;
    size_t at = world_find(world, key, &found);
    ns_status status = ns__btree_get(&stub.pages, &world->tree, key, &value, &version, &ref);
    CHECK_STATUS(status, found ? NS_OK : NS_NOTFOUND);
    if (!found) {
        assert_null(value.data);
        return;
    }
    want_value(&world->entries[at], value);
    assert_int_equal(version, world->entries[at].version);
    assert_int_equal(ref, world->entries[at].ref);
}

static inline void want_seeks(struct world *world, struct ns__btree_cursor *cursor, ns_slice key)
{
    bool found;
    size_t at = world_find(world, key, &found);
    ns_status status = ns__btree_cursor_seek(cursor, key);
    CHECK_STATUS(status, at < world->count ? NS_OK : NS_NOTFOUND);
    if (status == NS_OK) want_entry(world, cursor, at);
    status = ns__btree_cursor_seek_before(cursor, key);
    CHECK_STATUS(status, at > 0 ? NS_OK : NS_NOTFOUND);
    if (status == NS_OK) want_entry(world, cursor, at - 1);
}

/* Gets, seeks and get_many of some keys, present and absent. */
static inline void want_lookups(struct world *world, size_t n)
{
    struct ns__btree_cursor cursor;
    ns_slice keys[64], values[64];
    ns_status statuses[64];
    assert_true(n <= 64);
    CHECK_OK(ns__btree_cursor_init(&cursor, &stub.pages, &world->tree, &stub.alloc));
    for (size_t i = 0; i < n; i++) {
        keys[i] = any_key(world, below(world, 2) == 0);
        want_get(world, keys[i]);
        want_seeks(world, &cursor, keys[i]);
    }
    CHECK_OK(ns__btree_get_many(&stub.pages, &world->tree, n, keys, values, statuses));
    for (size_t i = 0; i < n; i++) {
        bool found;
        size_t at = world_find(world, keys[i], &found);
        CHECK_STATUS(statuses[i], found ? NS_OK : NS_NOTFOUND);
        if (found) want_value(&world->entries[at], values[i]);
        free((void *)(uintptr_t)keys[i].data);
    }
    ns__btree_cursor_deinit(&cursor);
}

/* ---- life ---- */

static inline void world_init(struct world *world, const struct world_case *what, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    world->what = *what;
    world->prng.state = seed;
    world->version = 1;
    stub_init(what->page_size, 16384);
}

static inline void world_step(struct world *world, size_t ops)
{
    struct world_batch made;
    make_batch(world, ops, &made);
    stub_apply(&world->tree, &made.batch);
    model_apply(world, &made);
    assert_int_equal(world->tree.entries, world->count);
    free_batch(&made);
    world->version += below(world, 300);
}

static inline void world_deinit(struct world *world)
{
    stub_begin();
    CHECK_OK(ns__btree_drop(stub_change(), &world->tree));
    stub_settle(false);
    stub_check(&world->tree, world->what.is_catalogue);
    model_remove(world, 0, world->count);
    free(world->entries);
    stub_deinit();
}

#endif
