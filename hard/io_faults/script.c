/* script.c: see script.h.
 *
 * The bounds of what may be found. A transaction whose commit said NS_OK is visible: a restart of
 * the process shows it. Under NS_SYNC_FULL, and after a checkpoint or close that said NS_OK, it is
 * durable: a power cut does not take it back either. One whose commit said NS_UNKNOWN is started:
 * it may be found or not, until an open has decided. One whose commit said anything else is never
 * found: the next transaction takes its id, and the contents are compared.
 *
 *   B1  durable <= visible <= started, and published = visible while a handle is open.
 *   B2  An open that said NS_OK has settled everything: what it shows is durable, and no other
 *       state exists any more.
 *   B3  A failing call changes no bound.
 *
 * A script goes on after a failure as a program would: a failed open is tried again at the next
 * operation, a poisoned handle is kept until the script closes it. */
#include "io_faults/script.h"

#include <stdio.h>
#include <string.h>
#include <northstar/log.h>
#include "common/rack.h"

static const char *const op_names[OP_COUNT] = {
#define OP_NAME(name) #name,
    SCRIPT_OPS(OP_NAME)
#undef OP_NAME
};

/* ---- text ---- */

static bool parse_op(const char *text, size_t length, enum script_op *op_out)
{
    for (unsigned op = 0; op < OP_COUNT; op++) {
        if (strlen(op_names[op]) != length || strncmp(op_names[op], text, length) != 0) continue;
        *op_out = (enum script_op)op;
        return true;
    }
    return false;
}

bool script_parse(const char *text, struct script *script)
{
    memset(script, 0, sizeof *script);
    const char *sync = strchr(text, '/');
    const char *ops = sync != NULL ? strchr(sync + 1, '/') : NULL;
    if (ops == NULL) return false;
    script->is_aged = strncmp(text, "aged/", 5) == 0;
    script->is_off = strncmp(sync, "/off/", 5) == 0;
    while (ops != NULL) {
        size_t length = strcspn(ops + 1, ",");
        if (script->count == SCRIPT_OPS_MAX) return false;
        if (!parse_op(ops + 1, length, &script->ops[script->count])) return false;
        script->count++;
        ops = ops[1 + length] == ',' ? ops + 1 + length : NULL;
    }
    return true;
}

void script_print(const struct script *script, char text[SCRIPT_TEXT_BYTES])
{
    size_t used =
        (size_t)snprintf(text, SCRIPT_TEXT_BYTES, "%s/%s/", script->is_aged ? "aged" : "new",
                         script->is_off ? "off" : "full");
    for (size_t i = 0; i < script->count && used < SCRIPT_TEXT_BYTES; i++) {
        used += (size_t)snprintf(text + used, SCRIPT_TEXT_BYTES - used, "%s%s", i > 0 ? "," : "",
                                 op_names[script->ops[i]]);
    }
}

/* ---- a run ---- */

static void note_event(void *ctx, const struct ns_event *event)
{
    struct run *run = ctx;
    if (event->kind == NS_EVENT_POISONED) run->is_poisoned = true;
}

void run_init(struct run *run, struct shim *shim, const char *path, const struct script *script,
              struct ref_state *state)
{
    memset(run, 0, sizeof *run);
    run->shim = shim;
    run->path = path;
    run->with = (ns_options){.flags = NS_NO_THREADS,
                             .page_size = 4096,
                             .sync = script->is_off ? NS_SYNC_OFF : NS_SYNC_FULL,
                             .history = NS_HISTORY_NONE,
                             .checkpoint_bytes = 64 << 10,
                             .frame_bytes = 256 << 10,
                             .max_readers = 8,
                             .vfs = &shim->vfs,
                             .allocator = &shim->allocator,
                             .on_event = note_event,
                             .event_ctx = run};
    run->serial = script->is_aged ? 100 : 0;
    run->states[0] = state;
    run->state_count = 1;
    run->first = run->published = run->visible = state->txn_id;
    run->durable = run->safe = run->started = state->txn_id;
}

void run_deinit(struct run *run)
{
    for (size_t i = 0; i < run->state_count; i++)
        ref_state_release(run->states[i]);
}

struct ref_state *run_state(const struct run *run, uint64_t txn_id)
{
    return run->states[txn_id - run->first];
}

static void set_durable(struct run *run, uint64_t txn_id)
{
    bool is_struck = run->shim->lost != 0 && run->shim->syncs >= run->shim->lost;
    run->durable = txn_id;
    if (!is_struck) run->safe = txn_id;
}

/* An open has decided. */
static void settle(struct run *run, uint64_t txn_id)
{
    while (run->first + run->state_count > txn_id + 1)
        ref_state_release(run->states[--run->state_count]);
    run->published = run->visible = run->started = txn_id;
    set_durable(run, txn_id);
}

/* Was it done? A failure must be one that the fault explains. */
static bool answered(struct run *run, const char *what, ns_status status)
{
    run->seen |= UINT64_C(1) << status;
    if (status == NS_OK) return true;
    bool is_explained =
        status == NS_POISONED ? run->is_poisoned : (run->allowed >> status & 1) != 0;
    if (status == NS_CORRUPT) is_explained = run->may_rot;
    if (!is_explained) rack_fail("%s gave %s", what, ns_status_name(status));
    run->failures++;
    return false;
}

/* ---- looking ---- */

/* May a reader be told NS_CORRUPT? After a lie; and on the poisoned handle itself, once bytes that
 * it had written but not synced (runs, spilled nodes) went out of the cache. */
static bool may_miss(const struct run *run, const ns_db *db)
{
    return run->may_rot || (run->is_old_seen && run->is_poisoned && db == run->db);
}

uint64_t run_look(const struct run *run, ns_db *db, uint64_t low, uint64_t high)
{
    char text[REF_TEXT_BYTES];
    uint8_t hash[16];
    ns_txn *txn;
    ns_status status = ns_txn_begin(db, NS_READ, &txn);
    if (status != NS_OK) rack_fail("begin of a reader gave %s", ns_status_name(status));
    uint64_t found = ns_txn_id(txn);
    if (found < low || found > high) {
        rack_fail("transaction %llu is shown, not one of %llu..%llu", (unsigned long long)found,
                  (unsigned long long)low, (unsigned long long)high);
    }
    status = ns_txn_state_hash(txn, hash);
    bool is_rotten = status == NS_CORRUPT && may_miss(run, db);
    if (!is_rotten) {
        const struct ref_state *state = run_state(run, found);
        if (status != NS_OK) rack_fail("state hash gave %s", ns_status_name(status));
        bool is_same = ref_check_hash(txn, state, text);
        if ((!is_same || found % 4 == 0) && !ref_check(txn, state, found % 8 == 0, text)) {
            rack_fail("transaction %llu: %s", (unsigned long long)found, text);
        }
        if (!is_same)
            rack_fail("transaction %llu: only the hash differs", (unsigned long long)found);
    }
    ns_txn_abort(txn);
    return is_rotten ? UINT64_MAX : found;
}

void run_check(struct run *run)
{
    ns_txn *txn;
    if (run->db == NULL) return;
    (void)run_look(run, run->db, run->published, run->published);
    if (!run->is_poisoned) return;
    ns_status status = ns_txn_begin(run->db, NS_WRITE, &txn);
    if (status != NS_POISONED)
        rack_fail("a write on a poisoned handle began with %s", ns_status_name(status));
}

/* ---- open and close ---- */

static void check_leak(const struct run *run, const char *when)
{
    const char *leak = shim_leak(run->shim);
    if (leak != NULL) rack_fail("%s left behind: %s", when, leak);
}

static uint64_t restart_low(const struct run *run)
{
    return run->is_old_seen ? run->durable : run->visible;
}

void run_open(struct run *run)
{
    run->is_poisoned = run->is_closed = false;
    if (!answered(run, "open", ns_db_open(run->path, &run->with, &run->db))) {
        if (run->db != NULL) rack_fail("a failed open gave a handle");
        check_leak(run, "a failed open");
        return;
    }
    uint64_t found = run_look(run, run->db, restart_low(run), run->started);
    if (found != UINT64_MAX) settle(run, found);
}

static void end_reader(struct run *run)
{
    if (run->reader == NULL) return;
    char text[REF_TEXT_BYTES];
    const struct ref_state *state = run_state(run, ns_txn_id(run->reader));
    uint8_t hash[16];
    ns_status status = ns_txn_state_hash(run->reader, hash);
    bool is_rotten = status == NS_CORRUPT && may_miss(run, run->db);
    if (!is_rotten && !ref_check(run->reader, state, false, text)) {
        rack_fail("the old reader: %s", text);
    }
    ns_txn_abort(run->reader);
    run->reader = NULL;
}

void run_close(struct run *run)
{
    end_reader(run);
    if (run->db == NULL) return;
    ns_status status = ns_db_close(run->db);
    run->db = NULL;
    run->is_closed = status == NS_OK;
    if (answered(run, "close", status)) {
        if (run->is_poisoned) rack_fail("the close of a poisoned handle gave NS_OK");
        set_durable(run, run->published);
    }
    check_leak(run, "close");
}

static void reopen(struct run *run)
{
    run_close(run);
    run_open(run);
}

static void note_finding(void *ctx, const ns_finding *finding)
{
    char *text = ctx;
    if (finding->status == NS_OK || text[0] != '\0') return;
    snprintf(text, REF_TEXT_BYTES, "page %lld: %s", (long long)finding->page, finding->text);
}

static void verify(struct run *run)
{
    char text[REF_TEXT_BYTES] = "";
    run_close(run);
    bool was_closed = run->is_closed;
    ns_status status = ns_db_verify(run->path, &run->with, note_finding, text);
    /* A torn log map looks the same as a rotten one until the next open has written both again. */
    bool is_torn = !was_closed && strstr(text, "this log map is not valid; the other") != NULL;
    if (status == NS_CORRUPT && is_torn) status = NS_OK;
    if (status == NS_CORRUPT && !run->may_rot) rack_fail("verify: %s", text);
    (void)answered(run, "verify", status);
    check_leak(run, "verify");
    run_open(run);
}

static void look(struct run *run)
{
    run_close(run);
    ns_options with = run->with;
    ns_db *db;
    with.flags |= NS_RDONLY;
    ns_status status = ns_db_open(run->path, &with, &db);
    bool is_absent = status == NS_NOTADB || status == NS_NOTFOUND; /* creation failed before */
    if (!(is_absent && run->first == 0 && run->durable == 0) &&
        answered(run, "open read-only", status)) {
        (void)run_look(run, db, restart_low(run), run->started);
        (void)answered(run, "close read-only", ns_db_close(db));
    }
    check_leak(run, "a read-only handle");
    run_open(run);
}

/* ---- transactions ---- */

struct change {
    struct run *run;
    ns_txn *txn;
    struct ref_state *state;
    bool has_failed;
};

static bool done(struct change *change, const char *what, ns_status status)
{
    if (answered(change->run, what, status)) return true;
    change->has_failed = true;
    return false;
}

static void put(struct change *change, ns_keyspace id, const char *key, size_t size, unsigned seed)
{
    static uint8_t value[16384];
    for (size_t i = 0; i < size; i++)
        value[i] = (uint8_t)(seed * 31u + i * 7u);
    ns_slice bytes = ns_bytes(value, size);
    if (!done(change, "put", ns_txn_put(change->txn, id, ns_str(key), bytes))) return;
    ref_put(change->state, id, ns_str(key), bytes);
}

static void put_many(struct change *change, unsigned first, unsigned count, size_t size)
{
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "%c%04u", "amz"[i % 3], first + i);
        put(change, NS_MAIN, key, size, first + i);
    }
}

static void delete_first(struct change *change)
{
    struct ref_state *state = change->state;
    if (state->trees[0]->count == 0) return;
    uint8_t copy[64];
    ns_slice key = ref_slice(state->trees[0]->entries[0].key);
    memcpy(copy, key.data, key.size);
    key.data = copy;
    if (done(change, "del", ns_txn_del(change->txn, NS_MAIN, key))) ref_del(state, NS_MAIN, key);
}

static void delete_range(struct change *change)
{
    ns_slice from = ns_str("a"), to = ns_str("c");
    if (!done(change, "del_range", ns_txn_del_range(change->txn, NS_MAIN, from, to))) return;
    ref_del_range(change->state, NS_MAIN, from, to);
}

static void create_keyspace(struct change *change, unsigned serial)
{
    ns_keyspace id;
    char key[32];
    if (!done(change, "keyspace", ns_txn_keyspace(change->txn, "side", &id))) return;
    if (ref_state_named(change->state, "side") == NULL) ref_state_create(change->state, "side", id);
    snprintf(key, sizeof key, "s%u", serial);
    put(change, id, key, 30, serial);
}

static void drop_keyspace(struct change *change)
{
    if (ref_state_named(change->state, "side") == NULL) return;
    if (!done(change, "keyspace_drop", ns_txn_keyspace_drop(change->txn, "side"))) return;
    ref_state_drop(change->state, "side");
}

static void make_change(struct change *change, enum script_op op, unsigned serial)
{
    char key[32];
    switch ((unsigned)op) {
    case OP_overwrite: put(change, NS_MAIN, "a0000", 20 + serial, serial); break;
    case OP_big: put(change, NS_MAIN, "big", 3 * 4096 + 100 + serial, serial); break;
    case OP_delete: delete_first(change); break;
    case OP_range: delete_range(change); break;
    case OP_mixed:
        put_many(change, 1000 * (serial % 8), 40, 150);
        delete_first(change);
        break;
    case OP_wide: put_many(change, 1000 * (serial % 3), 150, 1200); break;
    case OP_create: create_keyspace(change, serial); break;
    case OP_drop: drop_keyspace(change); break;
    default:
        snprintf(key, sizeof key, "k%05u", 5000 + serial);
        put(change, NS_MAIN, key, 20, serial);
        break;
    }
}

/* The state becomes the next transaction's. */
static void add_state(struct run *run, struct ref_state *state, ns_status status)
{
    uint64_t next = run->published + 1;
    if (run->state_count == SCRIPT_STATES_MAX) rack_fail("too many transactions in one script");
    ref_state_commit(state, next);
    run->states[run->state_count++] = state;
    run->started = next;
    if (status != NS_OK) return;
    run->published = run->visible = next;
    if (run->with.sync == NS_SYNC_FULL) set_durable(run, next);
}

static void commit(struct change *change)
{
    struct run *run = change->run;
    struct ref_state *state = change->state;
    uint64_t txn_id = UINT64_MAX, next = run->published + 1;
    bool changes =
        ref_state_has_new(state) || !ref_state_equal(state, run_state(run, run->published));
    ns_status status = ns_txn_commit(change->txn, &txn_id);
    run->seen |= UINT64_C(1) << status;
    if (change->has_failed && (status == NS_OK || status == NS_UNKNOWN))
        rack_fail("a transaction whose change failed was committed: %s", ns_status_name(status));
    uint64_t wanted = status == NS_UNKNOWN || (status == NS_OK && changes) ? next : 0;
    if (status == NS_OK && !changes) wanted = txn_id == next ? next : run->published;
    if (txn_id != wanted)
        rack_fail("commit: %s with id %llu", ns_status_name(status), (unsigned long long)txn_id);
    if (status == NS_UNKNOWN && (run->allowed == 0 || !run->is_poisoned))
        rack_fail("commit gave NS_UNKNOWN without a fault, or left the handle writable");
    if (status == NS_UNKNOWN) run->failures++;
    if (status != NS_UNKNOWN) (void)answered(run, "commit", status);
    if (txn_id == next) {
        add_state(run, state, status);
    } else {
        ref_state_release(state);
    }
}

static void run_transaction(struct run *run, enum script_op op)
{
    struct change change = {.run = run};
    unsigned serial = ++run->serial;
    if (!answered(run, "begin", ns_txn_begin(run->db, NS_WRITE, &change.txn))) return;
    change.state = ref_state_copy(run_state(run, run->published));
    make_change(&change, op, serial);
    if (op == OP_abort) {
        ns_txn_abort(change.txn);
        ref_state_release(change.state);
    } else {
        commit(&change);
    }
}

/* ---- the other operations ---- */

static void checkpoint(struct run *run)
{
    if (!answered(run, "checkpoint", ns_db_checkpoint(run->db))) return;
    set_durable(run, run->published);
}

static void read_log(struct run *run)
{
    ns_db_stats_t stats;
    ns_log *log;
    struct ns_commit record;
    if (!answered(run, "stats", ns_db_stats(run->db, &stats, sizeof stats))) return;
    if (stats.txn_id != run->published)
        rack_fail("stats: transaction %llu is the newest", (unsigned long long)stats.txn_id);
    if (stats.oldest_log_txn == 0) return;
    uint64_t next = stats.oldest_log_txn;
    if (!answered(run, "log_open", ns_log_open(run->db, next - 1, &log))) return;
    ns_status status;
    while ((status = ns_log_next(log, &record)) == NS_OK) {
        if (record.txn_id != next++)
            rack_fail("the log skips to transaction %llu", (unsigned long long)record.txn_id);
    }
    if (status != NS_NOTFOUND) (void)answered(run, "log_next", status);
    if (status == NS_NOTFOUND && next <= run->durable)
        rack_fail("the log ends before transaction %llu", (unsigned long long)next);
    if (next > run->published + 1) rack_fail("the log shows what was never published");
    ns_log_close(log);
}

static void begin_reader(struct run *run)
{
    if (run->reader != NULL) return;
    ns_status status = ns_txn_begin(run->db, NS_READ, &run->reader);
    if (status != NS_OK) rack_fail("begin of a reader gave %s", ns_status_name(status));
}

static void read_stats(struct run *run)
{
    ns_db_stats_t stats;
    if (!answered(run, "stats", ns_db_stats(run->db, &stats, sizeof stats))) return;
    uint64_t entries = ref_state_entries(run_state(run, run->published));
    if (stats.entries != entries)
        rack_fail("stats: %llu entries", (unsigned long long)stats.entries);
}

static void run_one(struct run *run, enum script_op op)
{
    switch ((unsigned)op) {
    case OP_checkpoint: checkpoint(run); break;
    case OP_reopen: reopen(run); break;
    case OP_off:
    case OP_full:
        run->with.sync = op == OP_off ? NS_SYNC_OFF : NS_SYNC_FULL;
        reopen(run);
        break;
    case OP_reader: begin_reader(run); break;
    case OP_unread: end_reader(run); break;
    case OP_log: read_log(run); break;
    case OP_stats: read_stats(run); break;
    case OP_verify: verify(run); break;
    case OP_look: look(run); break;
    default: run_transaction(run, op); break;
    }
}

void run_op(struct run *run, enum script_op op)
{
    uint64_t failures = run->failures;
    if (run->db == NULL) run_open(run);
    if (run->db == NULL) return;
    run_one(run, op);
    if (run->failures != failures) run_check(run);
}

void run_script(struct run *run, const struct script *script)
{
    run_open(run);
    for (size_t i = 0; i < script->count; i++)
        run_op(run, script->ops[i]);
}
