/* settle.c: the end of a run: what must hold, whatever failed.
 *
 *   1  Memory is back (unless the run is a dying one: then only after the handle is closed).
 *   2  The write transaction shows what it showed before the call that failed; if a change failed,
 *      it refuses all others and its commit, else it commits.
 *   3  Read transactions that were open all the time show what they showed; look-ups through one
 *      go on while memory fails.
 *   4  The handle shows the committed state, counts its memory rightly, takes another transaction
 *      and a checkpoint, and can be closed.
 *   5  Nothing is held any more: no block, no file, no map, no reservation.
 *   6  The file passes ns_db_verify and opens to the committed state, forward, backward and by its
 *      hash. */
#include "oom/oom.h"

#include <stdio.h>

void oom_expect_content(ns_txn *txn, const struct ref_state *state, bool backward, const char *what)
{
    char text[REF_TEXT_BYTES];
    if (!ref_check(txn, state, backward, text)) rack_fail("%s: %s", what, text);
}

/* ---- transactions ---- */

static void expect_refusals(struct oom_session *session)
{
    ns_keyspace keyspace;
    ns_txn *txn = session->write;
    ns_slice key = oom_key(1), to = oom_key(2);
    (void)OOM_CALL(session, ns_txn_put(txn, NS_MAIN, key, to), NS_INVALID);
    (void)OOM_CALL(session, ns_txn_insert(txn, NS_MAIN, key, to), NS_INVALID);
    (void)OOM_CALL(session, ns_txn_del(txn, NS_MAIN, key), NS_INVALID);
    (void)OOM_CALL(session, ns_txn_del_range(txn, NS_MAIN, key, to), NS_INVALID);
    (void)OOM_CALL(session, ns_txn_note(txn, key), NS_INVALID);
    (void)OOM_CALL(session, ns_txn_keyspace(txn, "refused", &keyspace), NS_INVALID);
    (void)OOM_CALL(session, ns_txn_keyspace_drop(txn, "red"), NS_INVALID);
}

static void end_write(struct oom_session *session)
{
    if (session->write == NULL) return;
    if (session->is_dying) {
        if (session->n % 2 == 0) oom_commit(session);
        oom_abort(session);
        return;
    }
    oom_expect_content(session->write, session->working, session->n % 2 == 0,
                       session->failed != NS_OK ? "the failed transaction" : "the transaction");
    bool has_failed = session->failed != NS_OK;
    if (has_failed) expect_refusals(session);
    if (!has_failed && session->n % 3 == 0) {
        oom_abort(session);
    } else {
        oom_commit(session);
    }
}

static void end_reader(struct oom_session *session)
{
    if (session->reader == NULL) return;
    if (!session->is_dying) {
        oom_expect_content(session->reader, session->seen, session->n % 2 != 0, "the reader");
    }
    oom_read_end(session);
}

/* Look-ups need no memory. */
static void bystander_reads(struct oom_session *session)
{
    if (session->bystander == NULL) return;
    const struct ref_state *state = session->bystander_state;
    for (size_t t = 0; t < state->tree_count; t++) {
        const struct ref_tree *tree = state->trees[t];
        for (size_t i = 0; i < tree->count; i += 1 + tree->count / 8) {
            ns_slice value, wanted = ref_slice(tree->entries[i].value);
            ns_slice key = ref_slice(tree->entries[i].key);
            ns_status status = ns_txn_get(session->bystander, tree->id, key, &value);
            if (status != NS_OK) rack_fail("a bystander gets %s", ns_status_name(status));
            if (ref_compare(value, wanted) != 0) rack_fail("a bystander gets another value");
        }
    }
}

static void bystander_end(struct oom_session *session)
{
    if (session->bystander == NULL) return;
    oom_expect_content(session->bystander, session->bystander_state, session->n % 2 == 0,
                       "the bystander");
    ns_txn_abort(session->bystander);
    session->bystander = NULL;
    ref_state_release(session->bystander_state);
    session->bystander_state = NULL;
}

/* ---- the handle ---- */

static void expect_committed(struct oom_session *session, const char *what)
{
    char text[REF_TEXT_BYTES];
    ns_txn *txn;
    (void)OOM_CALL(session, ns_txn_begin(session->db, NS_READ, &txn), NS_OK);
    oom_expect_content(txn, session->committed, session->n % 2 == 0, what);
    if (!ref_check_hash(txn, session->committed, text)) rack_fail("%s: %s", what, text);
    if (ns_txn_id(txn) != session->committed->txn_id) rack_fail("%s: another id", what);
    ns_txn_abort(txn);
}

/* The handle works as if nothing had happened. */
static void go_on(struct oom_session *session)
{
    ns_db_stats_t stats;
    expect_committed(session, "afterwards");
    (void)OOM_CALL(session, ns_db_stats(session->db, &stats, sizeof stats), NS_OK);
    bool is_counted = (session->options.flags & NS_NO_THREADS) != 0 && !session->is_volatile;
    if (is_counted && stats.allocated_bytes != oom_held_bytes()) {
        rack_fail("ns_db_stats says %llu bytes, %zu are held",
                  (unsigned long long)stats.allocated_bytes, oom_held_bytes());
    }
    if ((session->options.flags & NS_RDONLY) != 0) return;
    if (session->is_repeated) {
        session->scenario->act(session);
        end_write(session);
        end_reader(session);
    }
    oom_begin(session);
    (void)oom_put(session, NS_MAIN, 5000, 30);
    (void)oom_put(session, NS_MAIN, 9000000, 9000);
    (void)oom_del(session, NS_MAIN, 5000);
    oom_commit(session);
    oom_checkpoint(session);
    expect_committed(session, "one transaction and a checkpoint later");
}

/* ---- the file ---- */

static void on_finding(void *ctx, const ns_finding *finding)
{
    (void)ctx;
    if (finding->status != NS_OK) {
        rack_fail("verify: %s: %s", ns_status_name(finding->status), finding->text);
    }
}

static void check_file(struct oom_session *session)
{
    session->options.flags &= ~(NS_RDONLY | NS_MUST_CREATE | NS_MUST_EXIST);
    ns_status status = ns_db_verify(OOM_PATH, &session->options, on_finding, NULL);
    const struct oom_base *base = session->scenario->base;
    bool may_be_absent =
        (base == NULL || base == &oom_unfinished) && session->committed->txn_id == 0;
    bool is_absent = status == NS_NOTFOUND || status == NS_NOTADB;
    if (status != NS_OK && !(may_be_absent && is_absent)) {
        rack_fail("verify: %s", ns_status_name(status));
    }
    oom_expect_nothing_held("after verify");
    oom_open(session);
    expect_committed(session, "after another open");
    oom_close(session);
}

void oom_settle(struct oom_session *session)
{
    bystander_reads(session);
    if (!session->is_dying) oom_disarm();
    ns_log_close(session->log);
    session->log = NULL;
    if (session->n % 2 == 0) ns_cursor_close(session->cursor);
    end_write(session);
    end_reader(session);
    bystander_end(session);
    if (session->n % 2 != 0) ns_cursor_close(session->cursor);
    session->cursor = NULL;
    if (session->db != NULL && !session->is_dying) go_on(session);
    oom_close(session);
    oom_disarm();
    oom_expect_nothing_held("at the end");
    if (!session->is_volatile) check_file(session);
}
