/* format/small_world.h: a small database of every kind of page on a simulated file system, with the
 * content after each of its transactions, and a look at a file that says whether what it shows is
 * one of these contents. For tests that damage files. */
#ifndef NS_TESTS_FORMAT_SMALL_WORLD_H
#define NS_TESTS_FORMAT_SMALL_WORLD_H

#include "harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "base/status.h"
#include "harness/reference.h"
#include "vfs/mem.h"

#define SMALL_PATH "small.ns"
#define SMALL_STATES 600u
#define SMALL_VALUE_MAX 16000u

struct small {
    struct ns__mem *mem;
    ns_options with;
    uint64_t seed;
    struct ref_state *states[SMALL_STATES]; /* by transaction id */
    uint64_t newest;
};

/* What a look at a file says. WRONG is what must never be. */
enum small_outcome { SMALL_WHOLE, SMALL_REFUSED, SMALL_WRONG, SMALL_OUTCOMES };

static inline void small_init(struct small *small, uint32_t mem_flags, uint64_t seed)
{
    memset(small, 0, sizeof *small);
    small->seed = seed;
    CHECK_OK(ns__mem_new(NS__MEM_FAKE_TIME | mem_flags, seed, NULL, &small->mem));
    small->with.flags = NS_NO_THREADS;
    small->with.history = NS_HISTORY_ALL;
    small->with.checkpoint_bytes = 64 << 10;
    small->with.frame_bytes = 1 << 20;
    small->with.max_readers = 16;
    small->with.vfs = ns__mem_vfs(small->mem);
    small->states[0] = ref_state_new();
}

static inline void small_deinit(struct small *small)
{
    for (uint64_t id = 0; id <= small->newest; id++)
        ref_state_release(small->states[id]);
    ns__mem_free(small->mem);
}

/* ---- writing ---- */

static inline void small_key(struct ns__prng *prng, char key[64])
{
    uint64_t n = ns__prng_below(prng, 300);
    (void)snprintf(key, 64, "%s/%03llu", n % 3 == 0 ? "item" : "a longer beginning of a key",
                   (unsigned long long)n);
}

static inline void small_fill(struct ns__prng *prng, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(i % 8 == 0 ? ns__prng_next(prng) : out[i - 1] * 5u + i);
}

/* One change, in the transaction and in the state. */
static inline ns_status small_step(struct ns__prng *prng, ns_txn *txn, struct ref_state *state,
                                   ns_keyspace keyspace)
{
    static uint8_t value[SMALL_VALUE_MAX];
    char key[64];
    uint64_t kind = ns__prng_below(prng, 24);
    small_key(prng, key);
    if (kind < 4) {
        ns_status status = ns_txn_del(txn, keyspace, ns_str(key));
        bool was_there = ref_del(state, keyspace, ns_str(key));
        return status == NS_NOTFOUND && !was_there ? NS_OK : status;
    }
    size_t size = kind == 4 ? 3000 + ns__prng_below(prng, 9000) : 20 + ns__prng_below(prng, 90);
    small_fill(prng, value, size);
    ref_put(state, keyspace, ns_str(key), ns_bytes(value, size));
    return ns_txn_put(txn, keyspace, ns_str(key), ns_bytes(value, size));
}

static inline ns_status small_side(ns_txn *txn, struct ref_state *state, ns_keyspace *side_out)
{
    ns_status status = ns_txn_keyspace(txn, "side", side_out);
    if (status == NS_OK && ref_state_named(state, "side") == NULL)
        ref_state_create(state, "side", *side_out);
    return status;
}

static inline ns_status small_change(struct small *small, ns_txn *txn, struct ref_state *state,
                                     unsigned steps)
{
    uint64_t id = small->newest + 1;
    struct ns__prng prng = {.state = small->seed * 1000003 + id};
    ns_keyspace side;
    NS_TRY(small_side(txn, state, &side));
    if (id % 29 == 0) {
        NS_TRY(ns_txn_keyspace_drop(txn, "side"));
        (void)ref_state_drop(state, "side");
        NS_TRY(small_side(txn, state, &side));
    }
    if (id % 13 == 0) {
        NS_TRY(ns_txn_del_range(txn, NS_MAIN, ns_str("a"), ns_str("b")));
        (void)ref_del_range(state, NS_MAIN, ns_str("a"), ns_str("b"));
    }
    NS_TRY(ns_txn_put(txn, NS_MAIN, ns_str("newest"), ns_bytes(&id, sizeof id)));
    ref_put(state, NS_MAIN, ns_str("newest"), ns_bytes(&id, sizeof id));
    for (unsigned i = 0; i < steps; i++) {
        bool is_aside = ns__prng_below(&prng, 4) == 0;
        NS_TRY(small_step(&prng, txn, state, is_aside ? side : NS_MAIN));
    }
    return NS_OK;
}

/* One transaction of `steps` changes, a function of the seed and the id. Its content is kept, also
 * when it fails: then it may or may not be found, and nothing may follow. */
static inline ns_status small_try_commit(struct small *small, ns_db *db, unsigned steps)
{
    ns_txn *txn;
    uint64_t id = small->newest + 1;
    assert_true(id < SMALL_STATES);
    NS_TRY(ns_txn_begin(db, NS_WRITE, &txn));
    struct ref_state *state = ref_state_copy(small->states[small->newest]);
    ns_status status = small_change(small, txn, state, steps);
    if (status == NS_OK)
        status = ns_txn_commit(txn, NULL);
    else
        ns_txn_abort(txn);
    ref_state_commit(state, id);
    small->states[id] = state;
    small->newest = id;
    return status;
}

static inline void small_commit(struct small *small, ns_db *db, unsigned steps)
{
    CHECK_OK(small_try_commit(small, db, steps));
}

/* ---- looking ---- */

static inline bool small_is_refusal(ns_status status)
{
    return status == NS_CORRUPT || status == NS_NOTADB || status == NS_VERSION;
}

static inline enum small_outcome small_read_tree(ns_txn *txn, const struct ref_tree *tree)
{
    ns_cursor *cursor;
    ns_slice key, value;
    size_t i = 0;
    ns_status status = ns_cursor_open(txn, tree->id, &cursor);
    if (small_is_refusal(status)) return SMALL_REFUSED;
    if (status != NS_OK) return SMALL_WRONG;
    while ((status = ns_cursor_next(cursor)) == NS_OK && i < tree->count) {
        status = ns_cursor_get(cursor, &key, &value);
        if (status != NS_OK) break;
        if (ref_compare(key, ref_slice(tree->entries[i].key)) != 0) break;
        if (ref_compare(value, ref_slice(tree->entries[i].value)) != 0) break;
        i++;
    }
    ns_cursor_close(cursor);
    if (small_is_refusal(status)) return SMALL_REFUSED;
    return status == NS_NOTFOUND && i == tree->count ? SMALL_WHOLE : SMALL_WRONG;
}

static inline int small_count_names(void *ctx, const char *name, ns_keyspace keyspace)
{
    (void)name;
    (void)keyspace;
    *(size_t *)ctx += 1;
    return 0;
}

/* Does the transaction show exactly this state? */
static inline enum small_outcome small_read(ns_txn *txn, const struct ref_state *state)
{
    size_t names = 0;
    ns_status status = ns_txn_keyspace_list(txn, small_count_names, &names);
    if (small_is_refusal(status)) return SMALL_REFUSED;
    if (status != NS_OK || names + 1 != state->tree_count) return SMALL_WRONG;
    enum small_outcome outcome = SMALL_WHOLE;
    for (size_t i = 0; i < state->tree_count && outcome == SMALL_WHOLE; i++)
        outcome = small_read_tree(txn, state->trees[i]);
    return outcome;
}

/* Opens the file, reads everything, closes. *id_out: the transaction that it shows, when it opens.
 */
static inline enum small_outcome small_look(const struct small *small, const ns_options *with,
                                            uint64_t *id_out)
{
    ns_db *db;
    ns_txn *txn;
    ns_status status = ns_db_open(SMALL_PATH, with, &db);
    *id_out = UINT64_MAX;
    if (small_is_refusal(status)) return SMALL_REFUSED;
    if (status != NS_OK) return SMALL_WRONG;
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    *id_out = ns_txn_id(txn);
    enum small_outcome outcome = SMALL_WRONG;
    if (*id_out <= small->newest) outcome = small_read(txn, small->states[*id_out]);
    ns_txn_abort(txn);
    status = ns_db_close(db);
    if (status != NS_OK && !small_is_refusal(status)) outcome = SMALL_WRONG;
    return outcome;
}

/* The same on a world of its own, opened for writing. */
static inline enum small_outcome small_look_writing(const struct small *small, uint64_t *id_out)
{
    struct ns__mem *copy;
    ns_options with = small->with;
    CHECK_OK(ns__mem_clone(small->mem, &copy));
    with.vfs = ns__mem_vfs(copy);
    enum small_outcome outcome = small_look(small, &with, id_out);
    ns__mem_free(copy);
    return outcome;
}

/* The bytes of the file, to be changed in place; valid until the world is used. */
static inline uint8_t *small_bytes(const struct small *small, size_t *size_out)
{
    ns_slice content;
    CHECK_OK(ns__mem_file_get(small->mem, SMALL_PATH, &content));
    *size_out = content.size;
    return (uint8_t *)(uintptr_t)content.data;
}

#endif
