/* crash_test.c: every crash of every short history.
 *
 * A *script* is a start (an empty or an aged database), a durability (FULL or OFF) and up to six
 * operations of eleven kinds. It runs on a simulated file system that stops in the middle of a
 * chosen call; what then may be on the medium is enumerated, and every distinct image must recover
 * to a prefix of the transactions that holds all that was acknowledged as durable.
 *
 * Which crashes. All scripts of zero, one and two operations, stopped at every call of their last
 * operation (or of the opening, if there is none): earlier calls belong to a shorter script, which
 * is enumerated too. Then scripts of three to six operations, drawn by chance, stopped at a call
 * drawn by chance, for as long as the time lasts.
 *
 * Which images. Atoms of 4096, of 512 and torn ones ("1"). Atoms that change nothing (zeros over
 * zeros) are found by bisection and left out. All subsets of up to 8 atoms; above that prefixes,
 * all but one, one alone (each thinned out to PICKED_MAX, ends included) and SUBSETS_MAX by chance.
 * Images are counted once (ns__mem_image_hash), and checked once for each pair of bounds that is
 * due.
 *
 *   crash_test [--seconds N] [--seed N] [--script START/SYNC/op,op,...] [--canary ack|sync|barrier]
 *
 * --script enumerates that one alone, at every call of all its operations. A canary breaks the
 * judge (ack: what was started counts as acknowledged) or the medium (sync: no sync does anything;
 * barrier: syncs do nothing, synchronous writes do); the test itself runs all three in child
 * processes and fails unless each of them fails. */
#include "harness/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/prng.h"
#include "harness/reference.h"
#include "vfs/mem.h"

#define PATH "crash.ns"
#define OPS_MAX 6u
#define STATES_MAX 16u
#define ATOMS_MAX 64u
#define PICKED_MAX 5u
#define SUBSETS_MAX 6u
#define EXHAUSTIVE_ATOMS 8u

#define OP_KINDS(X)                                                                                \
    X(put)                                                                                         \
    X(overwrite)                                                                                   \
    X(big)                                                                                         \
    X(delete)                                                                                      \
    X(range)                                                                                       \
    X(mixed)                                                                                       \
    X(create)                                                                                      \
    X(drop)                                                                                        \
    X(checkpoint)                                                                                  \
    X(reopen)                                                                                      \
    X(abort)

enum op_kind {
#define OP_ENUM(name) OP_##name,
    OP_KINDS(OP_ENUM)
#undef OP_ENUM
        OP_COUNT
};

static const char *const op_names[OP_COUNT] = {
#define OP_NAME(name) #name,
    OP_KINDS(OP_NAME)
#undef OP_NAME
};

enum canary { CANARY_NONE, CANARY_ACK, CANARY_SYNC, CANARY_BARRIER };
static const char *const canary_names[] = {"none", "ack", "sync", "barrier"};

struct script {
    bool is_aged;
    bool is_off; /* NS_SYNC_OFF */
    size_t count;
    enum op_kind ops[OPS_MAX];
};

static struct settings {
    uint64_t seconds, seed;
    const char *script;
    enum canary canary;
} settings = {40, 1, NULL, CANARY_NONE};

static struct figures {
    uint64_t scripts, stops, raw, checked, depth_two, sampled;
    uint64_t distinct[3]; /* by atom size: the first that gave the image */
    uint64_t exhaustive_left;
} figures;

static const uint32_t atom_sizes[3] = {4096, 512, 1};

/* What runs now, for whoever reads the failure. */
static char context[512];

static void die_with_context(int number)
{
    static const char text[] = "crash_test died at ";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    (void)!write(STDERR_FILENO, context, strlen(context));
    (void)!write(STDERR_FILENO, "\n", 1);
    signal(number, SIG_DFL);
    raise(number);
}

_Noreturn static void complain(const char *what, const char *detail)
{
    if (settings.canary == CANARY_NONE) {
        fprintf(stderr, "crash_test: %s\n  %s: %s (%s)\n", context, what, detail,
                ns_error_detail());
        fprintf(stderr, "  rerun: crash_test --script %.*s\n", (int)strcspn(context, " "), context);
    }
    fflush(NULL);
    _exit(1);
}

/* ---- a set of hashes ---- */

struct set {
    uint64_t *slots;
    size_t capacity, count;
};

static bool set_add(struct set *set, uint64_t hash)
{
    if (hash == 0) hash = 1;
    if (set->count * 2 >= set->capacity) {
        struct set larger = {NULL, set->capacity == 0 ? 1024 : set->capacity * 2, 0};
        larger.slots = calloc(larger.capacity, sizeof *larger.slots);
        if (larger.slots == NULL) abort();
        for (size_t i = 0; i < set->capacity; i++) {
            if (set->slots[i] != 0) (void)set_add(&larger, set->slots[i]);
        }
        free(set->slots);
        *set = larger;
    }
    size_t at = hash & (set->capacity - 1);
    while (set->slots[at] != 0 && set->slots[at] != hash)
        at = (at + 1) & (set->capacity - 1);
    if (set->slots[at] == hash) return false;
    set->slots[at] = hash;
    set->count++;
    return true;
}

static struct set images; /* by content */
static struct set judged; /* by content and bounds */

/* ---- running a script ---- */

struct run {
    struct ns__mem *mem;
    struct ns_vfs shim; /* mem's table, with a canary's lies in it */
    ns_options with;
    ns_db *db;
    struct ref_state *states[STATES_MAX]; /* [i] is transaction first + i */
    size_t state_count;
    uint64_t first;
    uint64_t acked;   /* no crash takes it back */
    uint64_t started; /* nothing after it may be found */
    unsigned serial;  /* makes the operations differ */
};

static struct ref_state *newest(struct run *run)
{
    return run->states[run->state_count - 1];
}

static ns_status (*true_write)(void *, struct ns_vfs_file *, uint64_t, const void *, size_t);

static ns_status lying_sync(void *ctx, struct ns_vfs_file *file)
{
    (void)ctx;
    (void)file;
    return NS_OK;
}

static ns_status lying_write_sync(void *ctx, struct ns_vfs_file *file, uint64_t offset,
                                  const void *data, size_t size)
{
    return true_write(ctx, file, offset, data, size);
}

static void use_world(struct run *run, struct ns__mem *mem)
{
    run->mem = mem;
    run->shim = *ns__mem_vfs(mem);
    true_write = run->shim.write;
    if (settings.canary == CANARY_SYNC || settings.canary == CANARY_BARRIER) {
        run->shim.sync = lying_sync;
    }
    if (settings.canary == CANARY_SYNC) run->shim.write_sync = lying_write_sync;
    run->with.vfs = &run->shim;
}

static void set_options(ns_options *with, bool is_off)
{
    memset(with, 0, sizeof *with);
    with->flags = NS_NO_THREADS;
    with->page_size = 4096;
    with->sync = is_off ? NS_SYNC_OFF : NS_SYNC_FULL;
    with->history = NS_HISTORY_NONE;
    with->checkpoint_bytes = 64 << 10;
    with->frame_bytes = 512 << 10;
}

/* A transaction's answer: is it there, may it be there? */
static void judge_commit(struct run *run, ns_txn *txn, struct ref_state *state, bool changes)
{
    uint64_t txn_id = 0;
    ns_status status = ns_txn_commit(txn, &txn_id);
    uint64_t next = newest(run)->txn_id + 1;
    bool is_new = (status == NS_OK && txn_id == next) || status == NS_UNKNOWN;
    if (status == NS_OK && changes && !is_new) complain("commit", "gave the wrong id");
    if (status != NS_OK && !ns__mem_stopped(run->mem)) complain("commit", ns_status_name(status));
    if (!is_new) {
        ref_state_release(state);
        return;
    }
    ref_state_commit(state, next);
    run->states[run->state_count++] = state;
    run->started = next;
    if (status == NS_OK && run->with.sync == NS_SYNC_FULL) run->acked = next;
}

static ns_txn *begin(struct run *run)
{
    ns_txn *txn = NULL;
    ns_status status = ns_txn_begin(run->db, NS_WRITE, &txn);
    if (status != NS_OK && !ns__mem_stopped(run->mem)) complain("begin", ns_status_name(status));
    return txn;
}

static void put(ns_txn *txn, struct ref_state *state, ns_keyspace id, const char *key, size_t size,
                unsigned seed)
{
    uint8_t value[16384];
    for (size_t i = 0; i < size; i++)
        value[i] = (uint8_t)(seed * 31u + i * 7u);
    ns_status status = ns_txn_put(txn, id, ns_str(key), ns_bytes(value, size));
    if (status != NS_OK) complain("put", ns_status_name(status));
    ref_put(state, id, ns_str(key), ns_bytes(value, size));
}

static void put_many(ns_txn *txn, struct ref_state *state, unsigned first, unsigned count,
                     size_t size)
{
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "%c%04u", "amz"[i % 3], first + i);
        put(txn, state, NS_MAIN, key, size, first + i);
    }
}

static void delete_first(ns_txn *txn, struct ref_state *state)
{
    if (state->trees[0]->count == 0) return;
    uint8_t copy[64];
    ns_slice key = ref_slice(state->trees[0]->entries[0].key);
    memcpy(copy, key.data, key.size);
    key.data = copy;
    if (ns_txn_del(txn, NS_MAIN, key) != NS_OK) complain("del", "failed");
    ref_del(state, NS_MAIN, key);
}

static void create_keyspace(ns_txn *txn, struct ref_state *state, unsigned serial)
{
    ns_keyspace id;
    ns_status status = ns_txn_keyspace(txn, "side", &id);
    if (status != NS_OK) complain("keyspace", ns_status_name(status));
    if (ref_state_named(state, "side") == NULL) ref_state_create(state, "side", id);
    char key[32];
    snprintf(key, sizeof key, "s%u", serial);
    put(txn, state, id, key, 30, serial);
}

static void run_transaction(struct run *run, enum op_kind kind)
{
    ns_txn *txn = begin(run);
    if (txn == NULL) return;
    struct ref_state *state = ref_state_copy(newest(run));
    char key[32];
    unsigned serial = ++run->serial;
    switch ((unsigned)kind) {
    case OP_put:
    case OP_abort:
        snprintf(key, sizeof key, "k%05u", 5000 + serial);
        put(txn, state, NS_MAIN, key, 20, serial);
        break;
    case OP_overwrite: put(txn, state, NS_MAIN, "a0000", 20 + serial, serial); break;
    case OP_big: put(txn, state, NS_MAIN, "big", 3 * 4096 + 100 + serial, serial); break;
    case OP_delete: delete_first(txn, state); break;
    case OP_range:
        if (ns_txn_del_range(txn, NS_MAIN, ns_str("a0"), ns_str("c")) != NS_OK) {
            complain("del_range", "failed");
        }
        ref_del_range(state, NS_MAIN, ns_str("a0"), ns_str("c"));
        break;
    case OP_mixed:
        put_many(txn, state, 1000 * serial, 40, 150);
        delete_first(txn, state);
        break;
    case OP_create: create_keyspace(txn, state, serial); break;
    default:
        if (ref_state_drop(state, "side") && ns_txn_keyspace_drop(txn, "side") != NS_OK) {
            complain("keyspace_drop", "failed");
        }
        break;
    }
    if (kind == OP_abort) {
        ns_txn_abort(txn);
        ref_state_release(state);
        return;
    }
    bool changes = ref_state_has_new(state) || !ref_state_equal(state, newest(run));
    judge_commit(run, txn, state, changes);
}

static void open_run(struct run *run)
{
    ns_status status = ns_db_open(PATH, &run->with, &run->db);
    if (status != NS_OK && !ns__mem_stopped(run->mem)) complain("open", ns_status_name(status));
}

static void close_run(struct run *run)
{
    ns_status status = run->db != NULL ? ns_db_close(run->db) : NS_OK;
    run->db = NULL;
    if (status == NS_BUSY) complain("close", "NS_BUSY");
    if (status != NS_OK && !ns__mem_stopped(run->mem)) complain("close", ns_status_name(status));
    if (status == NS_OK) run->acked = newest(run)->txn_id;
}

static void run_op(struct run *run, enum op_kind kind)
{
    if (run->db == NULL) return;
    if (kind == OP_reopen) {
        close_run(run);
        open_run(run);
    } else if (kind == OP_checkpoint) {
        ns_status status = ns_db_checkpoint(run->db);
        if (status == NS_OK) run->acked = newest(run)->txn_id;
        if (status != NS_OK && !ns__mem_stopped(run->mem)) {
            complain("checkpoint", ns_status_name(status));
        }
    } else {
        run_transaction(run, kind);
    }
}

/* The handle goes; the world, with what is pending in it, stays. */
static void leave_run(struct run *run)
{
    if (run->db != NULL) (void)ns_db_close(run->db);
    run->db = NULL;
}

static void free_run(struct run *run)
{
    leave_run(run);
    for (size_t i = 0; i < run->state_count; i++)
        ref_state_release(run->states[i]);
    ns__mem_free(run->mem);
}

/* ---- the aged database ---- */

static struct ns__mem *aged_world;
static struct ref_state *aged_state;

static struct ns__mem *new_world(void)
{
    struct ns__mem *mem;
    ns_status status =
        ns__mem_new(NS__MEM_DURABILITY | NS__MEM_FAKE_TIME, settings.seed, NULL, &mem);
    if (status != NS_OK) complain("the simulator", ns_status_name(status));
    return mem;
}

static void start_run(struct run *run, bool is_aged, bool is_off)
{
    struct ns__mem *mem;
    memset(run, 0, sizeof *run);
    set_options(&run->with, is_off);
    if (is_aged) {
        if (ns__mem_clone(aged_world, &mem) != NS_OK) complain("the simulator", "clone");
        run->states[0] = ref_state_keep(aged_state);
    } else {
        mem = new_world();
        run->states[0] = ref_state_new();
    }
    run->state_count = 1;
    run->first = run->acked = run->started = run->states[0]->txn_id;
    run->serial = is_aged ? 100 : 0;
    use_world(run, mem);
}

static void forget_old_states(struct run *run)
{
    for (size_t i = 0; i + 1 < run->state_count; i++)
        ref_state_release(run->states[i]);
    run->states[0] = newest(run);
    run->state_count = 1;
}

/* Some hundred entries that have been overwritten, deleted, checkpointed and reopened. */
static void make_aged_world(void)
{
    static const enum op_kind life[] = {OP_mixed,      OP_big,    OP_create, OP_checkpoint,
                                        OP_delete,     OP_mixed,  OP_reopen, OP_overwrite,
                                        OP_checkpoint, OP_delete, OP_mixed};
    struct run run;
    enum canary canary = settings.canary;
    settings.canary = CANARY_NONE;
    snprintf(context, sizeof context, "the aged database");
    start_run(&run, false, false);
    open_run(&run);
    for (unsigned round = 0; round < 6; round++) {
        for (size_t i = 0; i < sizeof life / sizeof life[0]; i++) {
            run_op(&run, life[i]);
            forget_old_states(&run);
        }
    }
    close_run(&run);
    aged_world = run.mem;
    aged_state = run.states[0];
    settings.canary = canary;
}

/* ---- judging an image ---- */

static struct ref_state *state_of(const struct run *run, uint64_t txn_id)
{
    return run->states[txn_id - run->first];
}

/* Opens, looks, and returns the transaction that the image recovered to; the handle stays open. */
static uint64_t recover(const struct run *run, struct ns__mem *image, ns_db **db_out)
{
    ns_options with = run->with;
    ns_txn *txn;
    char text[REF_TEXT_BYTES];
    with.vfs = ns__mem_vfs(image);
    with.sync = NS_SYNC_FULL;
    ns_status status = ns_db_open(PATH, &with, db_out);
    if (status != NS_OK) complain("open of the image", ns_status_name(status));
    if (ns_txn_begin(*db_out, NS_READ, &txn) != NS_OK) complain("begin on the image", "failed");
    uint64_t found = ns_txn_id(txn);
    uint64_t low = settings.canary == CANARY_ACK ? run->started : run->acked;
    if (found < low || found > run->started) {
        snprintf(text, sizeof text, "transaction %llu, not in %llu..%llu",
                 (unsigned long long)found, (unsigned long long)low,
                 (unsigned long long)run->started);
        complain("the image recovered to", text);
    }
    struct ref_state *state = state_of(run, found);
    if (!ref_check(txn, state, found % 2, text)) complain("the image's content", text);
    if (!ref_check_hash(txn, state, text)) complain("the image's content", text);
    ns_txn_abort(txn);
    return found;
}

static void close_image(ns_db *db)
{
    ns_status status = ns_db_close(db);
    if (status != NS_OK) complain("close of the image", ns_status_name(status));
}

static void note_finding(void *ctx, const ns_finding *finding)
{
    char *text = ctx;
    if (finding->status == NS_OK || text[0] != '\0') return;
    snprintf(text, REF_TEXT_BYTES, "page %lld: %s", (long long)finding->page, finding->text);
}

static void verify_image(const struct run *run, struct ns__mem *image)
{
    char text[REF_TEXT_BYTES] = "";
    ns_options with = run->with;
    with.vfs = ns__mem_vfs(image);
    ns_status status = ns_db_verify(PATH, &with, note_finding, text);
    if (status != NS_OK) complain("verify of the image", text[0] != '\0' ? text : "no finding");
}

/* One more transaction must work, and be there after another open. */
static void go_on(const struct run *run, struct ns__mem *image, ns_db *db, uint64_t found)
{
    char text[REF_TEXT_BYTES];
    ns_txn *txn;
    uint64_t txn_id;
    struct ref_state *state = ref_state_copy(state_of(run, found));
    ns_status status = ns_txn_begin(db, NS_WRITE, &txn);
    if (status != NS_OK) complain("a write on the image", ns_status_name(status));
    put(txn, state, NS_MAIN, "after", 100, 5);
    status = ns_txn_commit(txn, &txn_id);
    if (status != NS_OK || txn_id != found + 1)
        complain("a commit on the image", ns_status_name(status));
    ref_state_commit(state, txn_id);
    close_image(db);
    verify_image(run, image);
    ns_options with = run->with;
    with.vfs = ns__mem_vfs(image);
    status = ns_db_open(PATH, &with, &db);
    if (status != NS_OK) complain("open after the image's commit", ns_status_name(status));
    if (ns_txn_begin(db, NS_READ, &txn) != NS_OK) complain("begin", "failed");
    if (!ref_check(txn, state, false, text)) complain("after the image's commit", text);
    ns_txn_abort(txn);
    close_image(db);
    ref_state_release(state);
}

/* ---- crashes during recovery ---- */

static bool keep_by_seed(void *ctx, uint64_t atom)
{
    struct ns__prng prng = {*(const uint64_t *)ctx + atom * 977};
    uint64_t chance = ns__prng_next(&prng);
    switch (*(const uint64_t *)ctx % 4) {
    case 0: return false;
    case 1: return true;
    default: return chance % 2 == 0;
    }
}

/* Recovery of the image stops at some call; what is left must recover to the same transaction. */
static void crash_in_recovery(const struct run *run, const struct ns__mem *image, uint64_t found,
                              uint64_t stop, uint64_t seed)
{
    struct ns__mem *first;
    struct ns__mem *second;
    ns_db *db;
    ns_options with = run->with;
    if (ns__mem_clone(image, &first) != NS_OK) complain("the simulator", "clone");
    ns__mem_stop_at(first, stop);
    with.vfs = ns__mem_vfs(first);
    with.sync = NS_SYNC_FULL;
    ns_status status = ns_db_open(PATH, &with, &db);
    if (status != NS_OK && !ns__mem_stopped(first)) complain("open again", ns_status_name(status));
    status = ns__mem_crash(first, atom_sizes[seed % 3], keep_by_seed, &seed, seed, &second);
    if (status != NS_OK) complain("the simulator", "crash");
    if (db != NULL) (void)ns_db_close(db);
    ns__mem_free(first);
    if (recover(run, second, &db) != found) complain("a second recovery", "found something else");
    close_image(db);
    verify_image(run, second);
    ns__mem_free(second);
    figures.depth_two++;
}

static void judge_image(const struct run *run, struct ns__mem *image, uint64_t hash)
{
    ns_db *db;
    struct ns__mem *copy = NULL;
    bool is_deep = hash % 8 == 0;
    if (is_deep && ns__mem_clone(image, &copy) != NS_OK) complain("the simulator", "clone");
    uint64_t calls = ns__mem_calls(image);
    uint64_t found = recover(run, image, &db);
    calls = ns__mem_calls(image) - calls;
    go_on(run, image, db, found);
    figures.checked++;
    if (copy == NULL) return;
    crash_in_recovery(run, copy, found, 1 + hash / 8 % calls, hash / 16);
    crash_in_recovery(run, copy, found, 1 + hash / 64 % calls, hash / 32);
    ns__mem_free(copy);
}

/* ---- enumerating images ---- */

/* The pending atoms that matter: leaving one of the others out changes nothing (zeros over zeros,
 * mostly). */
struct atoms {
    size_t index; /* of atom_sizes */
    size_t count;
    uint64_t list[ATOMS_MAX];
};

struct subset {
    enum subset_kind {
        SUBSET_BITS,
        SUBSET_PREFIX,
        SUBSET_WITHOUT,
        SUBSET_ONLY,
        SUBSET_CHANCE
    } kind;
    uint64_t number;
    const struct atoms *atoms;
};

static bool is_kept(void *ctx, uint64_t atom)
{
    const struct subset *subset = ctx;
    uint64_t place = 0;
    while (place < subset->atoms->count && subset->atoms->list[place] != atom)
        place++;
    if (place == subset->atoms->count) return true;
    struct ns__prng prng = {subset->number * 1009 + place};
    switch (subset->kind) {
    case SUBSET_BITS: return (subset->number >> place & 1) != 0;
    case SUBSET_PREFIX: return place < subset->number;
    case SUBSET_WITHOUT: return place != subset->number;
    case SUBSET_ONLY: return place == subset->number;
    case SUBSET_CHANCE: break;
    }
    return (ns__prng_next(&prng) >> 20) % 4 < 1 + subset->number % 3;
}

static struct ns__mem *make_image(const struct run *run, uint32_t atom_bytes,
                                  bool (*keep)(void *ctx, uint64_t atom), void *ctx, uint64_t seed)
{
    struct ns__mem *image;
    ns_status status = ns__mem_crash(run->mem, atom_bytes, keep, ctx, seed, &image);
    if (status != NS_OK) complain("the simulator", ns_status_name(status));
    figures.raw++;
    return image;
}

static bool is_below(void *ctx, uint64_t atom)
{
    return atom < *(const uint64_t *)ctx;
}

static uint64_t prefix_hash(const struct run *run, uint32_t atom_bytes, uint64_t length)
{
    struct ns__mem *image = make_image(run, atom_bytes, is_below, &length, 1);
    uint64_t hash = ns__mem_image_hash(image);
    ns__mem_free(image);
    return hash;
}

/* Bisects [low, high): if the images without and with these atoms are equal, none of them matters.
 */
static void find_atoms(const struct run *run, struct atoms *atoms, uint64_t low, uint64_t high,
                       const uint64_t hashes[2])
{
    if (hashes[0] == hashes[1] || atoms->count == ATOMS_MAX) return;
    if (high - low == 1) {
        atoms->list[atoms->count++] = low;
        return;
    }
    uint64_t middle = low + (high - low) / 2;
    uint64_t hash = prefix_hash(run, atom_sizes[atoms->index], middle);
    find_atoms(run, atoms, low, middle, (const uint64_t[2]){hashes[0], hash});
    find_atoms(run, atoms, middle, high, (const uint64_t[2]){hash, hashes[1]});
}

static void try_image(const struct run *run, struct subset *subset)
{
    static const char *const names[] = {"bits", "prefix", "without", "only", "chance"};
    uint32_t atom_bytes = atom_sizes[subset->atoms->index];
    size_t length = strlen(context);
    struct ns__mem *image = make_image(run, atom_bytes, is_kept, subset, subset->number + 1);
    uint64_t hash = ns__mem_image_hash(image);
    if (set_add(&images, hash)) figures.distinct[subset->atoms->index]++;
    if (set_add(&judged, hash * 0x9e3779b97f4a7c15u + run->acked * 64 + run->started)) {
        snprintf(context + length, sizeof context - length, " atoms of %u, %s %llu", atom_bytes,
                 names[subset->kind], (unsigned long long)subset->number);
        judge_image(run, image, hash);
        context[length] = '\0';
    }
    ns__mem_free(image);
}

static void try_kind(const struct run *run, const struct atoms *atoms, enum subset_kind kind,
                     uint64_t count, uint64_t most)
{
    for (uint64_t i = 0; i < count && i < most; i++) {
        struct subset subset = {kind, i, atoms};
        if (count > most && most > 1) subset.number = i * (count - 1) / (most - 1);
        try_image(run, &subset);
    }
}

static void try_subsets(const struct run *run, const struct atoms *atoms)
{
    if (atoms->count <= EXHAUSTIVE_ATOMS) {
        try_kind(run, atoms, SUBSET_BITS, UINT64_C(1) << atoms->count, 256);
        return;
    }
    figures.sampled++;
    try_kind(run, atoms, SUBSET_PREFIX, atoms->count + 1, PICKED_MAX);
    try_kind(run, atoms, SUBSET_WITHOUT, atoms->count, PICKED_MAX);
    try_kind(run, atoms, SUBSET_ONLY, atoms->count, PICKED_MAX);
    try_kind(run, atoms, SUBSET_CHANCE, SUBSETS_MAX, SUBSETS_MAX);
}

/* Everything that may be on the medium now. */
static void try_images(const struct run *run)
{
    struct atoms atoms = {0, 0, {0}};
    figures.stops++;
    for (size_t index = 0; index < 3; index++) {
        atoms.index = index;
        if (atom_sizes[index] > 1) { /* torn sectors are the same atoms as whole ones */
            struct ns__mem_pending pending;
            ns__mem_pending(run->mem, atom_sizes[index], &pending);
            atoms.count = 0;
            const uint64_t hashes[2] = {prefix_hash(run, atom_sizes[index], 0),
                                        prefix_hash(run, atom_sizes[index], pending.atoms)};
            find_atoms(run, &atoms, 0, pending.atoms, hashes);
        }
        try_subsets(run, &atoms);
    }
}

/* ---- enumerating scripts ---- */

static bool is_late(void)
{
    static struct timespec begin;
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    if (begin.tv_sec == 0 && begin.tv_nsec == 0) begin = now;
    return (uint64_t)(now.tv_sec - begin.tv_sec) >= settings.seconds;
}

static void name_script(const struct script *script, uint64_t stop)
{
    size_t used =
        (size_t)snprintf(context, sizeof context, "%s/%s/", script->is_aged ? "aged" : "empty",
                         script->is_off ? "off" : "full");
    for (size_t i = 0; i < script->count; i++) {
        used += (size_t)snprintf(context + used, sizeof context - used, "%s%s", i > 0 ? "," : "",
                                 op_names[script->ops[i]]);
    }
    snprintf(context + used, sizeof context - used, " stopped at call %llu",
             (unsigned long long)stop);
}

/* The calls that change what is pending or durable. */
static uint64_t changing_calls(const struct ns__mem *mem)
{
    return ns__mem_calls_of(mem, NS__MEM_OPEN) + ns__mem_calls_of(mem, NS__MEM_WRITE) +
           ns__mem_calls_of(mem, NS__MEM_WRITE_SYNC) + ns__mem_calls_of(mem, NS__MEM_SYNC) +
           ns__mem_calls_of(mem, NS__MEM_ALLOCATE) + ns__mem_calls_of(mem, NS__MEM_TRUNCATE) +
           ns__mem_calls_of(mem, NS__MEM_REMOVE) + ns__mem_calls_of(mem, NS__MEM_SYNC_PARENT);
}

/* Runs the script with a stop at that call of the part after the first `calm` operations (calm
 * SIZE_MAX: nothing is calm, the opening is part of it too), and judges what may be left. False
 * when the script ended before. */
static bool run_stopped(const struct script *script, size_t calm, uint64_t stop, uint64_t *changes)
{
    struct run run;
    name_script(script, stop);
    start_run(&run, script->is_aged, script->is_off);
    if (calm == SIZE_MAX) ns__mem_stop_at(run.mem, stop);
    open_run(&run);
    for (size_t i = 0; i < script->count; i++) {
        if (i == calm) ns__mem_stop_at(run.mem, stop);
        run_op(&run, script->ops[i]);
    }
    bool stopped = ns__mem_stopped(run.mem);
    /* Stopped at a call that changes nothing, the medium is as at the next one that does, or as at
     * the end. */
    uint64_t now = changing_calls(run.mem);
    if (!stopped || now != *changes) try_images(&run);
    *changes = now;
    if (stopped) leave_run(&run);
    free_run(&run);
    return stopped;
}

static void run_script(const struct script *script, bool all_calls)
{
    size_t calm = script->count == 0 || all_calls ? SIZE_MAX : script->count - 1;
    uint64_t changes = UINT64_MAX;
    uint64_t stop = 1;
    figures.scripts++;
    while (run_stopped(script, calm, stop, &changes))
        stop++;
}

static struct script nth_script(size_t length, uint64_t number)
{
    struct script script = {number % 2 != 0, number / 2 % 2 != 0, length, {OP_put}};
    number /= 4;
    for (size_t i = 0; i < length; i++, number /= OP_COUNT) {
        script.ops[i] = (enum op_kind)(number % OP_COUNT);
    }
    return script;
}

static void run_short_scripts(size_t length_max)
{
    uint64_t count = 4;
    for (size_t length = 0; length <= length_max; length++, count *= OP_COUNT) {
        for (uint64_t number = 0; number < count; number++) {
            struct script script = nth_script(length, number);
            if (is_late()) {
                figures.exhaustive_left++;
            } else {
                run_script(&script, false);
            }
        }
    }
}

static void run_long_scripts(void)
{
    struct ns__prng prng = {settings.seed};
    while (!is_late()) {
        uint64_t changes = UINT64_MAX;
        struct script script =
            nth_script(3 + (size_t)ns__prng_below(&prng, OPS_MAX - 2), ns__prng_next(&prng) >> 8);
        figures.scripts++;
        for (int i = 0; i < 4; i++) {
            (void)run_stopped(&script, SIZE_MAX, 1 + ns__prng_below(&prng, 120), &changes);
        }
    }
}

static bool parse_script(const char *text, struct script *script)
{
    memset(script, 0, sizeof *script);
    script->is_aged = strncmp(text, "aged/", 5) == 0;
    const char *sync = strchr(text, '/');
    if (sync == NULL) return false;
    script->is_off = strncmp(sync + 1, "off", 3) == 0;
    const char *at = strchr(sync + 1, '/');
    while (at != NULL && at[1] != '\0' && script->count < OPS_MAX) {
        size_t length = strcspn(at + 1, ",");
        unsigned kind = 0;
        while (kind < OP_COUNT &&
               (strlen(op_names[kind]) != length || strncmp(op_names[kind], at + 1, length) != 0)) {
            kind++;
        }
        if (kind == OP_COUNT) return false;
        script->ops[script->count++] = (enum op_kind)kind;
        at = at[1 + length] == ',' ? at + 1 + length : NULL;
    }
    return true;
}

/* ---- the tests ---- */

static void print_figures(void)
{
    print_message("crash: seed %llu, %llu scripts, %llu stops, %llu images made, %llu distinct "
                  "(atoms of 4096: %llu, 512: %llu, torn: %llu), %llu checked, %llu crashes in "
                  "recovery; %llu stops had more than %u atoms and were sampled; %llu scripts of "
                  "length <= 2 left out\n",
                  (unsigned long long)settings.seed, (unsigned long long)figures.scripts,
                  (unsigned long long)figures.stops, (unsigned long long)figures.raw,
                  (unsigned long long)images.count, (unsigned long long)figures.distinct[0],
                  (unsigned long long)figures.distinct[1], (unsigned long long)figures.distinct[2],
                  (unsigned long long)figures.checked, (unsigned long long)figures.depth_two,
                  (unsigned long long)figures.sampled, EXHAUSTIVE_ATOMS,
                  (unsigned long long)figures.exhaustive_left);
}

static void every_image_recovers_to_what_was_acknowledged(void **state)
{
    struct script script;
    (void)state;
    make_aged_world();
    (void)is_late();
    if (settings.script != NULL) {
        if (!parse_script(settings.script, &script)) fail_msg("--script: cannot be read");
        run_script(&script, true);
    } else if (settings.canary != CANARY_NONE) {
        run_short_scripts(1);
    } else {
        run_short_scripts(2);
        run_long_scripts();
    }
    print_figures();
    ns__mem_free(aged_world);
    ref_state_release(aged_state);
    free(images.slots);
    free(judged.slots);
}

static void each_canary_is_noticed(void **state)
{
    (void)state;
    for (int canary = CANARY_ACK; canary <= CANARY_BARRIER; canary++) {
        int result = 0;
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            settings.canary = (enum canary)canary;
            settings.seconds = 20;
            alarm(100);
            make_aged_world();
            run_short_scripts(1);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &result, 0), child);
        if (!WIFEXITED(result) || WEXITSTATUS(result) != 1) {
            fail_msg("canary %s: not noticed (%#x)", canary_names[canary], (unsigned)result);
        }
    }
}

static int read_arguments(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0) {
            settings.seconds = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0) {
            settings.seed = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--script") == 0) {
            settings.script = argv[i + 1];
        } else if (strcmp(argv[i], "--canary") == 0) {
            for (int c = CANARY_ACK; c <= CANARY_BARRIER; c++) {
                if (strcmp(argv[i + 1], canary_names[c]) == 0) settings.canary = (enum canary)c;
            }
            if (settings.canary == CANARY_NONE) return 2;
        } else {
            return 2;
        }
    }
    return argc % 2 == 1 ? 0 : 2;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(each_canary_is_noticed),
        cmocka_unit_test(every_image_recovers_to_what_was_acknowledged),
    };
    const struct CMUnitTest one[] = {
        cmocka_unit_test(every_image_recovers_to_what_was_acknowledged)};
    const char *seconds = getenv("NS_CRASH_SECONDS");
    if (seconds != NULL) settings.seconds = strtoull(seconds, NULL, 10);
    if (read_arguments(argc, argv) != 0) {
        fprintf(stderr, "crash_test: see the comment at the top of crash_test.c\n");
        return 2;
    }
    signal(SIGABRT, die_with_context);
    signal(SIGSEGV, die_with_context);
    signal(SIGBUS, die_with_context);
    if (settings.script != NULL || settings.canary != CANARY_NONE) {
        return cmocka_run_group_tests(one, NULL, NULL);
    }
    return cmocka_run_group_tests(all, NULL, NULL);
}
