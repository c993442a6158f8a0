/* session.c: one run, and the calls of the library with their judgement.
 *
 * Every call of a scenario goes through here. A call may answer what it should, or NS_NOMEM if
 * something was refused while it ran; nothing else. What it should answer follows from the state:
 * after a change that failed, further changes are NS_INVALID and commit refuses (SEM-23). The
 * reference changes only when the library said NS_OK. A call whose handle or transaction is
 * missing, because an earlier one failed, does nothing. */
#include "oom/oom.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "harness/history.h"

#define VALUE_MAX ((size_t)4 << 20)

static uint64_t fired_before;

void oom_before(void)
{
    fired_before = oom_fired();
}

ns_status oom_judge(struct oom_session *session, ns_status status, ns_status wanted,
                    const char *call)
{
    if (status == wanted) return status;
    if (status != NS_NOMEM) {
        rack_fail("%s: %s, not %s", call, ns_status_name(status), ns_status_name(wanted));
    }
    if (oom_fired() == fired_before) rack_fail("%s: NS_NOMEM, but nothing was refused", call);
    if (session->scenario->is_helper) rack_fail("%s: only the helper was refused", call);
    if (ns_error_detail()[0] == '\0') rack_fail("%s: NS_NOMEM without a detail", call);
    session->said++;
    return oom_canary == OOM_CANARY_STATUS && session->said == 1 ? NS_OK : status;
}

/* ---- the handle ---- */

static void on_event(void *ctx, const struct ns_event *event)
{
    struct oom_session *session = ctx;
    if (event->kind == NS_EVENT_POISONED) {
        rack_fail("want of memory poisoned the handle: %s", event->detail);
    }
    if (event->kind == NS_EVENT_CHECKPOINT_FAILED && event->status != NS_NOMEM) {
        rack_fail("a checkpoint failed with %s: %s", ns_status_name(event->status), event->detail);
    }
    if (event->kind == NS_EVENT_CHECKPOINT_FAILED) {
        __atomic_fetch_add(&session->failures, 1, __ATOMIC_RELEASE);
    }
    if (event->kind == NS_EVENT_CHECKPOINT || event->kind == NS_EVENT_CHECKPOINT_FAILED) {
        __atomic_fetch_add(&session->attempts, 1, __ATOMIC_RELEASE);
    }
}

void oom_wait_for_helper(struct oom_session *session, uint64_t attempts)
{
    for (unsigned waited = 0; waited < 200000; waited++) {
        if (__atomic_load_n(&session->attempts, __ATOMIC_ACQUIRE) >= attempts) return;
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    rack_fail("the helper thread has made no attempt for 20 seconds");
}

void oom_options(struct oom_session *session)
{
    const struct oom_scenario *scenario = session->scenario;
    session->options = (ns_options){
        .flags = scenario->is_helper ? 0 : NS_NO_THREADS,
        .max_readers = 8,
        .frame_bytes = 1u << 20,
        .checkpoint_bytes = 8u << 20,
        .vfs = oom_vfs(session->mem),
        .allocator = &oom_allocator,
        .on_event = on_event,
        .event_ctx = session,
    };
    if (scenario->base != NULL && scenario->base->configure != NULL) {
        scenario->base->configure(&session->options);
    }
    if (scenario->configure != NULL) scenario->configure(&session->options);
    session->is_volatile = (session->options.flags & NS_IN_MEMORY) != 0;
}

void oom_open(struct oom_session *session)
{
    ns_db *db = (ns_db *)session;
    if (OOM_CALL(session, ns_db_open(OOM_PATH, &session->options, &db), NS_OK) == NS_OK) {
        session->db = db;
        return;
    }
    if (db != NULL) rack_fail("a failed open gave a handle");
    oom_expect_nothing_held("after an open that failed");
}

/* Ends what is open, and the handle. */
void oom_close(struct oom_session *session)
{
    if (session->db == NULL) return;
    (void)OOM_CALL(session, ns_db_close(session->db), NS_OK);
    session->db = NULL;
    oom_expect_nothing_held("after close");
}

/* ---- transactions ---- */

void oom_begin(struct oom_session *session)
{
    if (session->db == NULL || session->write != NULL) return;
    ns_txn *txn = (ns_txn *)session;
    if (OOM_CALL(session, ns_txn_begin(session->db, NS_WRITE, &txn), NS_OK) != NS_OK) {
        if (txn != NULL) rack_fail("a failed begin gave a transaction");
        return;
    }
    session->write = txn;
    session->working = ref_state_copy(session->committed);
    session->failed = NS_OK;
}

static void drop_working(struct oom_session *session)
{
    ref_state_release(session->working);
    session->working = NULL;
    session->write = NULL;
    session->failed = NS_OK;
}

void oom_abort(struct oom_session *session)
{
    if (session->write == NULL) return;
    ns_txn_abort(session->write);
    drop_working(session);
}

static void take_over(struct oom_session *session, uint64_t id)
{
    uint64_t base = session->committed->txn_id;
    bool is_new = id == base + 1;
    if (id != base && !is_new) rack_fail("commit gave id %llu", (unsigned long long)id);
    if (!is_new && !ref_state_equal(session->committed, session->working)) {
        rack_fail("a commit with changes took no id");
    }
    if (is_new) {
        ref_state_commit(session->working, id);
        ref_state_release(session->committed);
        session->committed = ref_state_keep(session->working);
    }
}

void oom_commit(struct oom_session *session)
{
    if (session->write == NULL) return;
    ns_status wanted = session->failed;
    uint64_t id = UINT64_MAX;
    if (oom_canary == OOM_CANARY_LOST && session->committed->txn_id == 3) {
        (void)ref_del(session->working, NS_MAIN, oom_key(1));
    }
    ns_status status = OOM_CALL(session, ns_txn_commit(session->write, &id), wanted);
    if (status == NS_OK) {
        take_over(session, id);
    } else {
        if (id != 0) rack_fail("a refused commit gave id %llu", (unsigned long long)id);
        rack_add(OOM_REFUSED_COMMITS, 1);
        if (oom_canary == OOM_CANARY_COMMIT) {
            take_over(session, session->committed->txn_id + 1);
        }
    }
    drop_working(session);
}

void oom_read_begin(struct oom_session *session)
{
    if (session->db == NULL || session->reader != NULL) return;
    ns_txn *txn = (ns_txn *)session;
    if (OOM_CALL(session, ns_txn_begin(session->db, NS_READ, &txn), NS_OK) != NS_OK) {
        if (txn != NULL) rack_fail("a failed begin gave a transaction");
        return;
    }
    session->reader = txn;
    session->seen = ref_state_keep(session->committed);
}

void oom_read_end(struct oom_session *session)
{
    if (session->reader == NULL) return;
    ns_txn_abort(session->reader);
    session->reader = NULL;
    ref_state_release(session->seen);
    session->seen = NULL;
}

void oom_bystander_begin(struct oom_session *session)
{
    if (session->db == NULL) return;
    ns_txn **txn = &session->bystander;
    (void)OOM_CALL(session, ns_txn_begin(session->db, NS_READ, txn), NS_OK);
    session->bystander_state = ref_state_keep(session->committed);
}

/* ---- keys and values ---- */

ns_slice oom_key(uint64_t index)
{
    static char keys[6][32];
    static unsigned next;
    char *key = keys[next++ % 6];
    int size = snprintf(key, sizeof keys[0], "key%07llu", (unsigned long long)index);
    return ns_bytes(key, (size_t)size);
}

ns_slice oom_value(uint64_t seed, size_t bytes)
{
    static uint8_t *value;
    if (value == NULL) value = malloc(VALUE_MAX);
    if (value == NULL || bytes > VALUE_MAX) abort();
    history_value(seed, bytes, value);
    return ns_bytes(value, bytes);
}

/* ---- changes ---- */

/* Judges a change: NS_INVALID once one has failed. True if it was made. */
static bool is_made(struct oom_session *session, ns_status status)
{
    if (status == NS_NOMEM) session->failed = NS_NOMEM;
    return status == NS_OK;
}

static ns_status unless_failed(const struct oom_session *session, ns_status status)
{
    return session->failed != NS_OK ? NS_INVALID : status;
}

ns_status oom_put_slices(struct oom_session *session, ns_keyspace keyspace, ns_slice key,
                         ns_slice value)
{
    if (session->write == NULL) return NS_INVALID;
    ns_status status = OOM_CALL(session, ns_txn_put(session->write, keyspace, key, value),
                                unless_failed(session, NS_OK));
    if (is_made(session, status)) ref_put(session->working, keyspace, key, value);
    return status;
}

ns_status oom_put(struct oom_session *session, ns_keyspace keyspace, uint64_t key, size_t bytes)
{
    return oom_put_slices(session, keyspace, oom_key(key), oom_value(++session->puts, bytes));
}

ns_status oom_insert(struct oom_session *session, ns_keyspace keyspace, uint64_t key, size_t bytes)
{
    if (session->write == NULL) return NS_INVALID;
    ns_slice k = oom_key(key), value = oom_value(++session->puts, bytes);
    bool is_there = ref_find(ref_state_tree(session->working, keyspace), k) != NULL;
    ns_status wanted = unless_failed(session, is_there ? NS_EXISTS : NS_OK);
    ns_status status = OOM_CALL(session, ns_txn_insert(session->write, keyspace, k, value), wanted);
    if (is_made(session, status)) ref_put(session->working, keyspace, k, value);
    return status;
}

ns_status oom_del(struct oom_session *session, ns_keyspace keyspace, uint64_t key)
{
    if (session->write == NULL) return NS_INVALID;
    ns_slice k = oom_key(key);
    bool is_there = ref_find(ref_state_tree(session->working, keyspace), k) != NULL;
    ns_status wanted = unless_failed(session, is_there ? NS_OK : NS_NOTFOUND);
    ns_status status = OOM_CALL(session, ns_txn_del(session->write, keyspace, k), wanted);
    if (is_made(session, status)) (void)ref_del(session->working, keyspace, k);
    return status;
}

ns_status oom_del_range(struct oom_session *session, ns_keyspace keyspace, uint64_t from,
                        uint64_t to)
{
    if (session->write == NULL) return NS_INVALID;
    ns_slice first = oom_key(from), last = oom_key(to);
    if (to == UINT64_MAX) last = ns_bytes(NULL, 0);
    ns_status status = OOM_CALL(session, ns_txn_del_range(session->write, keyspace, first, last),
                                unless_failed(session, NS_OK));
    if (is_made(session, status)) (void)ref_del_range(session->working, keyspace, first, last);
    return status;
}

ns_status oom_note(struct oom_session *session, size_t bytes)
{
    if (session->write == NULL) return NS_INVALID;
    ns_slice note = oom_value(++session->puts, bytes);
    ns_status status =
        OOM_CALL(session, ns_txn_note(session->write, note), unless_failed(session, NS_OK));
    (void)is_made(session, status);
    return status;
}

/* ---- keyspaces ---- */

ns_keyspace oom_keyspace(struct oom_session *session, const char *name)
{
    if (session->write == NULL) return 0;
    bool is_there = ref_state_named(session->working, name) != NULL;
    ns_status wanted = is_there ? NS_OK : unless_failed(session, NS_OK);
    ns_keyspace keyspace = 77;
    ns_status status = OOM_CALL(session, ns_txn_keyspace(session->write, name, &keyspace), wanted);
    if (!is_made(session, status)) {
        if (keyspace != 0) rack_fail("a failed ns_txn_keyspace gave an id");
        return 0;
    }
    if (!is_there) ref_state_create(session->working, name, keyspace);
    return keyspace;
}

ns_status oom_drop(struct oom_session *session, const char *name)
{
    if (session->write == NULL) return NS_INVALID;
    bool is_there = ref_state_named(session->working, name) != NULL;
    ns_status wanted = unless_failed(session, is_there ? NS_OK : NS_NOTFOUND);
    ns_status status = OOM_CALL(session, ns_txn_keyspace_drop(session->write, name), wanted);
    if (is_made(session, status)) (void)ref_state_drop(session->working, name);
    return status;
}

ns_keyspace oom_id(const struct oom_session *session, const char *name)
{
    const struct ref_tree *tree = ref_state_named(session->committed, name);
    return tree != NULL ? tree->id : 0;
}

/* ---- the rest ---- */

void oom_checkpoint(struct oom_session *session)
{
    if (session->db == NULL) return;
    (void)OOM_CALL(session, ns_db_checkpoint(session->db), NS_OK);
}

/* Through the write transaction if there is one, else through the reader. */
void oom_get(struct oom_session *session, ns_keyspace keyspace, uint64_t key)
{
    ns_txn *txn = session->write != NULL ? session->write : session->reader;
    const struct ref_state *state = session->write != NULL ? session->working : session->seen;
    if (txn == NULL) return;
    const struct ref_tree *tree = ref_state_tree(state, keyspace);
    ns_slice k = oom_key(key), value;
    const struct ref_entry *entry = tree != NULL ? ref_find(tree, k) : NULL;
    ns_status wanted = entry != NULL ? NS_OK : NS_NOTFOUND;
    ns_status status = OOM_CALL(session, ns_txn_get(txn, keyspace, k, &value), wanted);
    if (status != NS_OK) return;
    if (ref_compare(value, ref_slice(entry->value)) != 0) rack_fail("a get gave another value");
}
