/* driver_log.c: the commit stream: every record against FMT-25 to FMT-27, against what is known of
 * its transaction, and applied to a state and to a fresh database. */
#include "harness/driver_internal.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_HEADER 80u

static uint64_t load(const uint8_t *from, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | from[i];
    return value;
}

/* ---- one record ---- */

static void store_hash(struct ns__hash128 hash, uint8_t out[16])
{
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(hash.low >> (8 * i));
        out[8 + i] = (uint8_t)(hash.high >> (8 * i));
    }
}

/* FMT-25, from the bytes alone. */
static void chain_of(ns_slice record, const uint8_t previous[32], uint8_t chain_out[32])
{
    const uint8_t *bytes = record.data;
    uint8_t linked[48];
    uint8_t *covered = malloc(record.size - 32);
    if (covered == NULL) abort();
    memcpy(covered, bytes, 48);
    memcpy(covered + 48, bytes + RECORD_HEADER, record.size - RECORD_HEADER);
    memcpy(linked, previous, 32);
    store_hash(ns__hash128(covered, record.size - 32, 0), linked + 32);
    store_hash(ns__hash128(linked, sizeof linked, 1), chain_out);
    store_hash(ns__hash128(linked, sizeof linked, 2), chain_out + 16);
    free(covered);
}

static void check_chain(struct driver *driver, const struct ns_commit *commit)
{
    static const uint8_t zeros[32];
    uint8_t wanted[32];
    struct driver_info *info = driver_info_of(driver, commit->txn_id);
    struct driver_info *before = driver_info_of(driver, commit->txn_id - 1);
    bool knows_previous = commit->txn_id == 1 || before->has_chain;
    if (info->has_chain && memcmp(info->chain, commit->chain, 32) != 0) {
        driver_fail(driver, "the chain value of record %llu changed",
                    (unsigned long long)commit->txn_id);
    }
    if (knows_previous) {
        chain_of(commit->bytes, commit->txn_id == 1 ? zeros : before->chain, wanted);
        if (memcmp(wanted, commit->chain, 32) != 0) {
            driver_fail(driver, "record %llu does not continue the chain",
                        (unsigned long long)commit->txn_id);
        }
    }
    memcpy(info->chain, commit->chain, 32);
    info->has_chain = true;
}

static void check_header(struct driver *driver, const struct ns_commit *commit, uint64_t txn_id)
{
    const uint8_t *bytes = commit->bytes.data;
    const struct driver_info *info = driver_info_of(driver, txn_id);
    if (commit->txn_id != txn_id) {
        driver_fail(driver, "record %llu where %llu was due", (unsigned long long)commit->txn_id,
                    (unsigned long long)txn_id);
    }
    if (commit->bytes.size < RECORD_HEADER || memcmp(bytes, "NSR1", 4) != 0 ||
        load(bytes + 8, 8) != commit->bytes.size || load(bytes + 16, 8) != txn_id ||
        (int64_t)load(bytes + 24, 8) != commit->unix_us ||
        load(bytes + 32, 8) != commit->op_count || load(bytes + 40, 4) != commit->note.size ||
        memcmp(bytes + 48, commit->chain, 32) != 0 || load(bytes + 4, 4) != 0 ||
        load(bytes + 44, 4) != 0) {
        driver_fail(driver, "the header of record %llu is not as FMT says",
                    (unsigned long long)txn_id);
    }
    if (commit->unix_us != info->unix_us) {
        driver_fail(driver, "record %llu has another time than its transaction",
                    (unsigned long long)txn_id);
    }
    ns_slice note = driver_value_of(driver, info->note_seed, info->note_bytes);
    if (ref_compare(note, commit->note) != 0) {
        driver_fail(driver, "record %llu has another note", (unsigned long long)txn_id);
    }
}

/* ---- its operations ---- */

/* FMT-27: drops, creates, then per keyspace ranges, then points. */
static int op_rank(ns_op_kind kind)
{
    if (kind == NS_OP_KEYSPACE_DROP) return 0;
    return kind == NS_OP_KEYSPACE_CREATE ? 1 : 2;
}

static void check_order(struct driver *driver, const struct ns_op *last, const struct ns_op *op)
{
    bool is_good = op_rank(last->kind) <= op_rank(op->kind);
    if (op_rank(last->kind) == op_rank(op->kind)) {
        is_good = last->keyspace <= op->keyspace;
        if (op_rank(op->kind) < 2 && last->keyspace == op->keyspace) is_good = false;
    }
    if (op_rank(op->kind) == 2 && op_rank(last->kind) == 2 && last->keyspace == op->keyspace) {
        bool last_is_range = last->kind == NS_OP_DEL_RANGE;
        bool is_range = op->kind == NS_OP_DEL_RANGE;
        if (!last_is_range && is_range) is_good = false;
        if (last_is_range && is_range) {
            is_good = last->value.size > 0 && ref_compare(last->value, op->key) < 0;
        }
        if (!last_is_range && !is_range) is_good = ref_compare(last->key, op->key) < 0;
    }
    if (!is_good) driver_fail(driver, "operations of a record are not in canonical order");
}

static void apply_op(struct driver *driver, struct ref_state *state, const struct ns_op *op)
{
    char name[REF_NAME_MAX] = "";
    if (op_rank(op->kind) < 2) memcpy(name, op->key.data, op->key.size);
    if (op->kind == NS_OP_KEYSPACE_CREATE) {
        if (ref_state_new_id(state, name) != op->keyspace) {
            driver_fail(driver, "keyspace '%.40s' was created under id %u", name,
                        (unsigned)op->keyspace);
        }
        ref_state_create(state, name, op->keyspace);
        return;
    }
    if (ref_state_tree(state, op->keyspace) == NULL) {
        driver_fail(driver, "an operation names keyspace %u, which is not there",
                    (unsigned)op->keyspace);
    }
    if (op->kind == NS_OP_KEYSPACE_DROP && !ref_state_drop(state, name)) {
        driver_fail(driver, "keyspace '%.40s' is dropped, but is not there", name);
    }
    if (op->kind == NS_OP_PUT) ref_put(state, op->keyspace, op->key, op->value);
    if (op->kind == NS_OP_DEL && !ref_del(state, op->keyspace, op->key)) {
        driver_fail(driver, "a record deletes a key that is not there");
    }
    if (op->kind == NS_OP_DEL_RANGE) ref_del_range(state, op->keyspace, op->key, op->value);
}

/* Applies the record to state (NULL: only looks at it). */
static void check_ops(struct driver *driver, const struct ns_commit *commit,
                      struct ref_state *state)
{
    size_t pos = 0;
    uint64_t count = 0;
    struct ns_op op;
    struct ns_op last = {0};
    ns_status status;
    uint8_t hash[16];
    while ((status = ns_commit_next_op(commit, &pos, &op)) == NS_OK) {
        if (count++ > 0) check_order(driver, &last, &op);
        last = op;
        if (state != NULL) apply_op(driver, state, &op);
    }
    driver_expect(driver, status, NS_NOTFOUND, "commit_next_op");
    if (count != commit->op_count) driver_fail(driver, "a record's count of operations is wrong");
    if (count == 0) driver_fail(driver, "a record of nothing");
    if (state == NULL) return;
    ref_state_commit(state, commit->txn_id);
    ref_state_hash(state, hash);
    if (memcmp(hash, driver_info_of(driver, commit->txn_id)->hash, sizeof hash) != 0) {
        driver_fail(driver, "the log's record %llu leads to another content",
                    (unsigned long long)commit->txn_id);
    }
}

static void check_record(struct driver *driver, const struct ns_commit *commit, uint64_t txn_id,
                         struct ref_state *state)
{
    struct ns_commit again;
    check_header(driver, commit, txn_id);
    check_chain(driver, commit);
    check_ops(driver, commit, state);
    driver_expect(driver, ns_commit_parse(commit->bytes, &again), NS_OK, "commit_parse");
    if (again.txn_id != commit->txn_id || again.op_count != commit->op_count ||
        memcmp(again.chain, commit->chain, 32) != 0 || ref_compare(again.note, commit->note) != 0) {
        driver_fail(driver, "commit_parse reads something else");
    }
    driver->figures->records++;
}

/* ---- reading ---- */

/* True if reading may begin after this transaction; NS_GONE is an answer unless all must be kept.
 */
static bool open_log(struct driver *driver, uint64_t after, ns_log **log_out)
{
    uint64_t newest = driver_newest(driver)->txn_id;
    ns_status status = ns_log_open(driver->db, after, log_out);
    if (after > newest) {
        driver_expect(driver, status, NS_NOTFOUND, "log_open after the newest");
        return false;
    }
    if (status == NS_GONE && !driver->keeps_all && after < newest) return false;
    driver_expect(driver, status, NS_OK, "log_open");
    return true;
}

/* 0: from the first; 199: a position in the future; else so many transactions back. */
static uint64_t after_of(struct driver *driver, uint64_t param)
{
    uint64_t newest = driver_newest(driver)->txn_id;
    if (param == 0) return 0;
    if (param == 199) return newest + 3;
    return newest - (param < newest ? param : newest);
}

/* After the last record: everything that is durable must have been there. */
static void check_end(struct driver *driver, ns_status status, uint64_t last)
{
    if (status == NS_GONE && !driver->keeps_all) return;
    driver_expect(driver, status, NS_NOTFOUND, "log_next at the end");
    if (last < driver->durable || last > driver_newest(driver)->txn_id) {
        driver_fail(driver, "the log ends at %llu; %llu is durable and %llu the newest",
                    (unsigned long long)last, (unsigned long long)driver->durable,
                    (unsigned long long)driver_newest(driver)->txn_id);
    }
}

static void step_read(struct driver *driver, const struct history_step *step)
{
    struct ns_commit commit;
    uint64_t last = after_of(driver, step->p[0]);
    ns_status status;
    if (!open_log(driver, last, &driver->passing_log)) return;
    if (last == 0) {
        driver->passing_state = ref_state_new();
    } else if (driver_state(driver, last) != NULL) {
        driver->passing_state = ref_state_copy(driver_state(driver, last));
    }
    while ((status = ns_log_next(driver->passing_log, &commit)) == NS_OK) {
        if (last == driver_newest(driver)->txn_id) driver_fail(driver, "a record of the future");
        check_record(driver, &commit, ++last, driver->passing_state);
    }
    check_end(driver, status, last);
    ns_log_close(driver->passing_log);
    ref_state_release(driver->passing_state);
    driver->passing_log = NULL;
    driver->passing_state = NULL;
}

static void step_next(struct driver *driver, const struct history_step *step)
{
    struct ns_commit commit;
    for (uint64_t i = 0; driver->log != NULL && i < step->p[0]; i++) {
        ns_status status = ns_log_next(driver->log, &commit);
        if (status == NS_OK) {
            if (driver->log_next > driver_newest(driver)->txn_id) {
                driver_fail(driver, "a record of the future");
            }
            check_record(driver, &commit, driver->log_next++, NULL);
            continue;
        }
        check_end(driver, status, driver->log_next - 1);
        if (status == NS_NOTFOUND) return;
        ns_log_close(driver->log);
        driver->log = NULL;
    }
}

/* ---- replay ---- */

/* A damaged copy must be refused, and so must the record that was just applied. */
static void check_refusals(struct driver *driver, const struct ns_commit *commit)
{
    uint8_t *copy = malloc(commit->bytes.size);
    if (copy == NULL) abort();
    memcpy(copy, commit->bytes.data, commit->bytes.size);
    copy[commit->bytes.size - 1] ^= 1;
    ns_status damaged = ns_log_apply(driver->replica, ns_bytes(copy, commit->bytes.size));
    free(copy);
    if (damaged == NS_OK) driver_fail(driver, "a damaged record was applied");
    driver_expect(driver, ns_log_apply(driver->replica, commit->bytes), NS_OK, "log_apply");
    driver_expect(driver, ns_log_apply(driver->replica, commit->bytes), NS_INVALID,
                  "applied twice");
}

static void open_replica(struct driver *driver, const struct history_step *step)
{
    ns_options with;
    memset(&with, 0, sizeof with);
    with.flags = NS_IN_MEMORY | NS_NO_THREADS;
    with.page_size = driver_page_size(driver);
    if (step->p[0] > with.page_size) with.page_size = (uint32_t)step->p[0];
    with.checkpoint_bytes = 1u << 20;
    with.frame_bytes = 8u << 20;
    driver_expect(driver, ns_db_open(NULL, &with, &driver->replica), NS_OK, "open of a replica");
}

static void check_replica(struct driver *driver, uint64_t last)
{
    uint8_t hash[16];
    char text[REF_TEXT_BYTES];
    ns_txn *txn;
    driver_expect(driver, ns_txn_begin(driver->replica, NS_READ, &txn), NS_OK, "begin");
    if (ns_txn_id(txn) != last) driver_fail(driver, "the replica ends at another transaction");
    driver_expect(driver, ns_txn_state_hash(txn, hash), NS_OK, "state_hash of the replica");
    struct ref_state *state = driver_state(driver, last);
    bool agrees = memcmp(hash, driver_info_of(driver, last)->hash, sizeof hash) == 0 || last == 0;
    if (agrees && state != NULL) {
        driver_agree(driver, ref_check(txn, state, false, text), "the replica", text);
    }
    ns_txn_abort(txn);
    if (!agrees) driver_fail(driver, "the replica's state hash differs");
}

static void step_replay(struct driver *driver, const struct history_step *step)
{
    struct ns_commit commit;
    uint64_t last = 0;
    ns_status status;
    if (!open_log(driver, 0, &driver->passing_log)) return;
    open_replica(driver, step);
    while ((status = ns_log_next(driver->passing_log, &commit)) == NS_OK) {
        last = commit.txn_id;
        if (last % 8 == 1) {
            check_refusals(driver, &commit);
        } else {
            driver_expect(driver, ns_log_apply(driver->replica, commit.bytes), NS_OK, "log_apply");
        }
    }
    check_end(driver, status, last);
    check_replica(driver, last);
    ns_log_close(driver->passing_log);
    driver->passing_log = NULL;
    ns_db *replica = driver->replica;
    driver->replica = NULL;
    driver_expect(driver, ns_db_close(replica), NS_OK, "close of the replica");
    driver->figures->replays++;
}

void driver_step_log(struct driver *driver, const struct history_step *step)
{
    switch ((unsigned)step->kind) {
    case STEP_log_read: step_read(driver, step); break;
    case STEP_log_open:
        if (driver->log != NULL) return;
        if (open_log(driver, after_of(driver, step->p[0]), &driver->log)) {
            driver->log_next = after_of(driver, step->p[0]) + 1;
        }
        break;
    case STEP_log_next: step_next(driver, step); break;
    case STEP_log_close:
        ns_log_close(driver->log);
        driver->log = NULL;
        break;
    default: step_replay(driver, step); break;
    }
}
