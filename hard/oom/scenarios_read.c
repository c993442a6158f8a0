/* scenarios_read.c: reads, cursors, figures, the log. */
#include "oom/oom.h"

/* ---- transactions and look-ups ---- */

static void act_begin_read(struct oom_session *session)
{
    oom_read_begin(session);
    oom_get(session, NS_MAIN, 7);
    oom_get(session, oom_id(session, "red"), 7);
    oom_get(session, 12345, 7);
}

static void act_begin_many(struct oom_session *session)
{
    ns_txn *txns[6];
    size_t count = 0;
    for (; count < 6; count++) {
        ns_status status =
            OOM_CALL(session, ns_txn_begin(session->db, NS_READ, &txns[count]), NS_OK);
        if (status != NS_OK) break;
    }
    oom_read_begin(session);
    while (count > 0)
        ns_txn_abort(txns[--count]);
}

static void act_renew(struct oom_session *session)
{
    oom_read_begin(session);
    if (session->reader == NULL) return;
    (void)OOM_CALL(session, ns_txn_reset(session->reader), NS_OK);
    oom_begin(session);
    (void)oom_put(session, NS_MAIN, 2, 200);
    oom_commit(session);
    (void)OOM_CALL(session, ns_txn_renew(session->reader), NS_OK);
    ref_state_release(session->seen);
    session->seen = ref_state_keep(session->committed);
    oom_get(session, NS_MAIN, 2);
}

static void act_get_many(struct oom_session *session)
{
    ns_slice keys[5], values[5];
    ns_status statuses[5];
    oom_read_begin(session);
    oom_begin(session);
    (void)oom_put(session, NS_MAIN, 1, 10);
    for (uint64_t i = 0; i < 5; i++)
        keys[i] = oom_key(i * 60);
    ns_txn *txn = session->write != NULL ? session->write : session->reader;
    if (txn == NULL) return;
    (void)OOM_CALL(session, ns_txn_get_many(txn, NS_MAIN, 5, keys, values, statuses), NS_OK);
    for (size_t i = 0; i < 5; i++) {
        ns_status wanted = i == 3 ? NS_NOTFOUND : NS_OK;
        if (i * 60 > 219) wanted = NS_NOTFOUND;
        if (i == 3) wanted = statuses[i]; /* 180: between the two groups of keys */
        if (statuses[i] != wanted) rack_fail("get_many answers %s", ns_status_name(statuses[i]));
    }
}

static void act_state_hash(struct oom_session *session)
{
    uint8_t hash[16], wanted[16];
    oom_read_begin(session);
    if (session->reader == NULL) return;
    if (OOM_CALL(session, ns_txn_state_hash(session->reader, hash), NS_OK) != NS_OK) return;
    ref_state_hash(session->seen, wanted);
    if (memcmp(hash, wanted, sizeof hash) != 0) rack_fail("another state hash");
}

static void act_state_hash_write(struct oom_session *session)
{
    uint8_t hash[16], wanted[16];
    oom_begin(session);
    (void)oom_put(session, oom_keyspace(session, "new"), 1, 10);
    (void)oom_drop(session, "red");
    if (session->write == NULL) return;
    if (OOM_CALL(session, ns_txn_state_hash(session->write, hash), NS_OK) != NS_OK) return;
    ref_state_hash(session->working, wanted);
    if (memcmp(hash, wanted, sizeof hash) != 0) rack_fail("another state hash");
}

struct listing {
    const struct ref_state *state;
    size_t count;
};

static int on_keyspace(void *ctx, const char *name, ns_keyspace keyspace)
{
    struct listing *listing = ctx;
    const struct ref_tree *tree = ref_state_named(listing->state, name);
    if (tree == NULL || tree->id != keyspace) rack_fail("a listing names '%s'", name);
    listing->count++;
    return 0;
}

static void list(struct oom_session *session, ns_txn *txn, const struct ref_state *state)
{
    if (txn == NULL) return;
    struct listing listing = {.state = state};
    ns_status status = OOM_CALL(session, ns_txn_keyspace_list(txn, on_keyspace, &listing), NS_OK);
    if (status == NS_OK && listing.count != state->tree_count - 1) {
        rack_fail("a listing names %zu keyspaces", listing.count);
    }
}

static void act_list(struct oom_session *session)
{
    oom_read_begin(session);
    oom_begin(session);
    (void)oom_keyspace(session, "new");
    (void)oom_drop(session, "blue");
    list(session, session->reader, session->seen);
    list(session, session->write, session->working);
}

/* ---- cursors ---- */

static void open_cursor(struct oom_session *session, ns_txn *txn, ns_keyspace keyspace)
{
    if (txn == NULL) return;
    ns_cursor *cursor = (ns_cursor *)session;
    ns_status status = OOM_CALL(session, ns_cursor_open(txn, keyspace, &cursor), NS_OK);
    if (status != NS_OK && cursor != NULL) rack_fail("a failed ns_cursor_open gave a cursor");
    if (status == NS_OK) session->cursor = cursor;
}

static void expect_on(struct oom_session *session, ns_slice key)
{
    ns_slice found = ns_cursor_key(session->cursor), value;
    if (ref_compare(found, key) != 0) rack_fail("the cursor stands on another key");
    (void)OOM_CALL(session, ns_cursor_get(session->cursor, &found, &value), NS_OK);
}

/* The cursor's entries, all of them, are those of the tree from `low` to below `high`. */
static void walk(struct oom_session *session, const struct ref_tree *tree, size_t low, size_t high)
{
    if (session->cursor == NULL) return;
    for (size_t i = low; i < high; i++) {
        ns_status status = i == low ? OOM_CALL(session, ns_cursor_first(session->cursor), NS_OK)
                                    : OOM_CALL(session, ns_cursor_next(session->cursor), NS_OK);
        if (status != NS_OK) return;
        expect_on(session, ref_slice(tree->entries[i].key));
    }
    (void)OOM_CALL(session, ns_cursor_next(session->cursor), NS_NOTFOUND);
    for (size_t i = high; i > low; i--) {
        if (OOM_CALL(session, ns_cursor_prev(session->cursor), NS_OK) != NS_OK) return;
        expect_on(session, ref_slice(tree->entries[i - 1].key));
    }
}

static void act_cursor(struct oom_session *session)
{
    oom_read_begin(session);
    open_cursor(session, session->reader, NS_MAIN);
    if (session->cursor == NULL) return;
    const struct ref_tree *tree = ref_state_tree(session->seen, NS_MAIN);
    walk(session, tree, 0, tree->count);
    (void)OOM_CALL(session, ns_cursor_seek(session->cursor, oom_key(160)), NS_OK);
    expect_on(session, oom_key(200));
    (void)OOM_CALL(session, ns_cursor_seek_before(session->cursor, oom_key(200)), NS_OK);
    expect_on(session, oom_key(150));
    (void)OOM_CALL(session, ns_cursor_seek_exact(session->cursor, oom_key(7)), NS_OK);
    expect_on(session, oom_key(7));
}

/* After bounds that failed the cursor sees what it saw. */
static void act_cursor_bounds(struct oom_session *session)
{
    oom_read_begin(session);
    open_cursor(session, session->reader, NS_MAIN);
    if (session->cursor == NULL) return;
    const struct ref_tree *tree = ref_state_tree(session->seen, NS_MAIN);
    size_t low = 0, high = tree->count;
    ns_status status =
        OOM_CALL(session, ns_cursor_bounds(session->cursor, oom_key(10), oom_key(20)), NS_OK);
    if (status == NS_OK) {
        low = 10;
        high = 20;
    }
    walk(session, tree, low, high);
    status = OOM_CALL(session, ns_cursor_bounds(session->cursor, oom_key(30), oom_key(35)), NS_OK);
    if (status == NS_OK) {
        low = 30;
        high = 35;
    }
    walk(session, tree, low, high);
}

static void act_cursor_prefix(struct oom_session *session)
{
    oom_read_begin(session);
    open_cursor(session, session->reader, NS_MAIN);
    if (session->cursor == NULL) return;
    const struct ref_tree *tree = ref_state_tree(session->seen, NS_MAIN);
    ns_status status =
        OOM_CALL(session, ns_cursor_prefix(session->cursor, ns_str("key000001")), NS_OK);
    size_t low = status == NS_OK ? 10 : 0, high = status == NS_OK ? 20 : tree->count;
    walk(session, tree, low, high);
    status = OOM_CALL(session, ns_cursor_prefix(session->cursor, ns_str("")), NS_OK);
    if (status == NS_OK) walk(session, tree, 0, tree->count);
}

static void act_cursor_overlay(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_del_range(session, NS_MAIN, 20, 120);
    for (uint64_t i = 0; i < 30; i++)
        (void)oom_put(session, NS_MAIN, 15 + 4 * i, 20);
    (void)oom_del(session, NS_MAIN, 140);
    open_cursor(session, session->write, NS_MAIN);
    if (session->cursor == NULL) return;
    const struct ref_tree *tree = ref_state_tree(session->working, NS_MAIN);
    walk(session, tree, 0, tree->count);
}

/* The entries under a cursor are replaced and deleted as it goes. */
static void act_cursor_changes(struct oom_session *session)
{
    oom_begin(session);
    open_cursor(session, session->write, NS_MAIN);
    if (session->cursor == NULL) return;
    ns_status status = OOM_CALL(session, ns_cursor_first(session->cursor), NS_OK);
    for (uint64_t i = 0; i < 60 && status == NS_OK; i++) {
        expect_on(session, oom_key(i));
        if (i % 3 == 0)
            (void)oom_del(session, NS_MAIN, i);
        else
            (void)oom_put(session, NS_MAIN, i, 100);
        status = OOM_CALL(session, ns_cursor_next(session->cursor), NS_OK);
    }
}

static void act_cursors(struct oom_session *session)
{
    ns_cursor *cursors[6];
    size_t count = 0;
    oom_read_begin(session);
    if (session->reader == NULL) return;
    for (; count < 6; count++) {
        ns_status status =
            OOM_CALL(session, ns_cursor_open(session->reader, NS_MAIN, &cursors[count]), NS_OK);
        if (status != NS_OK) break;
    }
    for (size_t i = 0; i < count; i += 2)
        ns_cursor_close(cursors[i]);
    oom_read_end(session);
    for (size_t i = 1; i < count; i += 2) {
        (void)OOM_CALL(session, ns_cursor_first(cursors[i]), NS_INVALID);
        ns_cursor_close(cursors[i]);
    }
}

/* ---- figures ---- */

static void act_stats(struct oom_session *session)
{
    ns_db_stats_t stats;
    ns_status status = OOM_CALL(session, ns_db_stats(session->db, &stats, sizeof stats), NS_OK);
    uint64_t entries = status == NS_OK ? ref_state_entries(session->committed) : 0;
    if (stats.entries != entries) rack_fail("ns_db_stats: wrong number of entries");
}

static int on_reader(void *ctx, const ns_reader *reader)
{
    size_t *count = ctx;
    (*count)++;
    return reader->mode == 0;
}

static void act_readers(struct oom_session *session)
{
    size_t count = 0;
    oom_read_begin(session);
    oom_begin(session);
    size_t wanted = session->reader != NULL ? 1 : 0;
    if (session->write != NULL) wanted++;
    if (session->bystander != NULL) wanted++;
    ns_status status = OOM_CALL(session, ns_db_readers(session->db, on_reader, &count), NS_OK);
    if (status == NS_OK && count != wanted) rack_fail("ns_db_readers lists %zu", count);
}

/* ---- the log ---- */

static void open_log(struct oom_session *session, uint64_t after)
{
    ns_log *log = (ns_log *)session;
    ns_status status = OOM_CALL(session, ns_log_open(session->db, after, &log), NS_OK);
    if (status != NS_OK && log != NULL) rack_fail("a failed ns_log_open gave a reader");
    if (status == NS_OK) session->log = log;
}

/* A record that could not be given for want of memory is given when asked again. */
static void read_log(struct oom_session *session, uint64_t after)
{
    struct ns_commit commit;
    if (session->log == NULL) return;
    for (unsigned refused = 0; after < session->committed->txn_id && refused < 3;) {
        ns_status status = OOM_CALL(session, ns_log_next(session->log, &commit), NS_OK);
        if (status != NS_OK) {
            refused++;
            continue;
        }
        if (commit.txn_id != ++after) rack_fail("the log skips a record");
        ns_slice wanted = oom_record(&oom_records, (size_t)after - 1);
        if (ref_compare(commit.bytes, wanted) != 0) rack_fail("another record");
    }
    if (after < session->committed->txn_id) return;
    (void)OOM_CALL(session, ns_log_next(session->log, &commit), NS_NOTFOUND);
    (void)OOM_CALL(session, ns_log_wait(session->log, 1), NS_TIMEOUT);
}

static void act_log(struct oom_session *session)
{
    open_log(session, 0);
    read_log(session, 0);
}

static void act_log_late(struct oom_session *session)
{
    open_log(session, 3);
    read_log(session, 3);
}

/* ---- applying ---- */

static void apply_to_reference(struct ref_state *state, const struct ns_commit *commit)
{
    size_t pos = 0;
    struct ns_op op;
    char name[256];
    while (ns_commit_next_op(commit, &pos, &op) == NS_OK) {
        memset(name, 0, sizeof name);
        switch (op.kind) {
        case NS_OP_PUT: ref_put(state, op.keyspace, op.key, op.value); break;
        case NS_OP_DEL: (void)ref_del(state, op.keyspace, op.key); break;
        case NS_OP_DEL_RANGE: (void)ref_del_range(state, op.keyspace, op.key, op.value); break;
        default:
            memcpy(name, op.key.data, op.key.size);
            if (op.kind == NS_OP_KEYSPACE_CREATE) ref_state_create(state, name, op.keyspace);
            if (op.kind == NS_OP_KEYSPACE_DROP) (void)ref_state_drop(state, name);
            break;
        }
    }
}

/* Each record is offered until it is taken, at most three times. */
static void act_apply(struct oom_session *session)
{
    struct ns_commit commit;
    for (size_t i = 0; i < oom_record_count(&oom_records); i++) {
        ns_slice bytes = oom_record(&oom_records, i);
        ns_status status = NS_NOMEM;
        for (unsigned tries = 0; tries < 3 && status != NS_OK; tries++)
            status = OOM_CALL(session, ns_log_apply(session->db, bytes), NS_OK);
        if (status != NS_OK) return;
        (void)OOM_CALL(session, ns_commit_parse(bytes, &commit), NS_OK);
        struct ref_state *next = ref_state_copy(session->committed);
        apply_to_reference(next, &commit);
        ref_state_commit(next, commit.txn_id);
        ref_state_release(session->committed);
        session->committed = next;
    }
}

static void act_apply_strange(struct oom_session *session)
{
    (void)OOM_CALL(session, ns_log_apply(session->db, oom_record(&oom_records, 1)), NS_INVALID);
    (void)OOM_CALL(session, ns_log_apply(session->db, ns_str("no record at all")), NS_CORRUPT);
}

#define SMALL .base = &oom_small

const struct oom_scenario oom_scenarios_read[] = {
    {.name = "begin_read", SMALL, .act = act_begin_read},
    {.name = "begin_many", SMALL, .act = act_begin_many},
    {.name = "renew", SMALL, .act = act_renew},
    {.name = "get_many", SMALL, .act = act_get_many},
    {.name = "state_hash", SMALL, .act = act_state_hash},
    {.name = "state_hash_write", SMALL, .act = act_state_hash_write},
    {.name = "list", SMALL, .act = act_list},
    {.name = "cursor", SMALL, .act = act_cursor},
    {.name = "cursor_bounds", SMALL, .act = act_cursor_bounds},
    {.name = "cursor_prefix", SMALL, .act = act_cursor_prefix},
    {.name = "cursor_overlay", SMALL, .act = act_cursor_overlay},
    {.name = "cursor_changes", SMALL, .act = act_cursor_changes},
    {.name = "cursors", SMALL, .act = act_cursors},
    {.name = "stats", SMALL, .act = act_stats},
    {.name = "readers", SMALL, .act = act_readers},
    {.name = "log", .base = &oom_records, .act = act_log},
    {.name = "log_late", .base = &oom_records, .act = act_log_late},
    {.name = "apply", .act = act_apply},
    {.name = "apply_strange", .act = act_apply_strange},
    {0},
};
