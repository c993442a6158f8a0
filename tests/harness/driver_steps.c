/* driver_steps.c: reading and changing entries and keyspaces, snapshots, and what the database says
 * of itself. */
#include "harness/driver_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- what must come out ---- */

/* The answer to an operation with this key in this keyspace, before its own meaning is looked at.
 */
static ns_status judge_key(struct driver *driver, const struct ref_state *state, ns_keyspace id,
                           ns_slice key)
{
    if (state == NULL || key.size == 0) return NS_INVALID;
    if (key.size > driver_key_max(driver)) return NS_TOOBIG;
    return ref_state_tree(state, id) != NULL ? NS_OK : NS_NOTFOUND;
}

/* Are two answers due at once, so that either will do? */
static bool is_ambiguous(struct driver *driver, const struct ref_state *state, ns_keyspace id,
                         ns_slice key)
{
    bool key_is_bad = key.size == 0 || key.size > driver_key_max(driver);
    return key_is_bad && (state == NULL || ref_state_tree(state, id) == NULL);
}

static void check_value(struct driver *driver, const char *what, ns_status status, ns_slice found,
                        const struct ref_entry *wanted)
{
    driver_expect(driver, status, wanted != NULL ? NS_OK : NS_NOTFOUND, what);
    if (wanted == NULL) {
        if (found.data != NULL || found.size != 0)
            driver_fail(driver, "%s: a value of nothing", what);
        return;
    }
    if (ref_compare(found, ref_slice(wanted->value)) != 0) {
        driver_fail(driver, "%s: value of %zu bytes differs from the %zu expected", what,
                    found.size, wanted->value->size);
    }
}

/* ---- changes ---- */

static bool is_put_forgotten(struct driver *driver)
{
    return driver->options->is_canary && ++driver->puts % 50 == 0;
}

static void put_one(struct driver *driver, ns_keyspace id, ns_slice key, ns_slice value,
                    bool is_insert)
{
    ns_status wanted = judge_key(driver, driver->working, id, key);
    if (wanted == NS_OK && is_insert &&
        ref_find(ref_state_tree(driver->working, id), key) != NULL) {
        wanted = NS_EXISTS;
    }
    ns_status status = is_insert ? ns_txn_insert(driver->write, id, key, value)
                                 : ns_txn_put(driver->write, id, key, value);
    if (is_ambiguous(driver, driver->working, id, key) && status != NS_OK) return;
    driver_expect(driver, status, wanted, is_insert ? "insert" : "put");
    if (wanted != NS_OK) return;
    driver->has_changed = true;
    if (!is_put_forgotten(driver)) ref_put(driver->working, id, key, value);
}

static void del_one(struct driver *driver, ns_keyspace id, ns_slice key)
{
    ns_status wanted = judge_key(driver, driver->working, id, key);
    if (wanted == NS_OK && ref_find(ref_state_tree(driver->working, id), key) == NULL) {
        wanted = NS_NOTFOUND;
    }
    ns_status status = ns_txn_del(driver->write, id, key);
    if (is_ambiguous(driver, driver->working, id, key) && status != NS_OK) return;
    driver_expect(driver, status, wanted, "del");
    if (wanted != NS_OK) return;
    driver->has_changed = true;
    ref_del(driver->working, id, key);
}

static void step_put(struct driver *driver, const struct history_step *step)
{
    ns_keyspace id = driver_keyspace(driver->working, step->p[0]);
    ns_slice key = driver_key(driver, &step->p[1]);
    ns_slice value = driver_value_of(driver, step->p[4], step->p[5]);
    put_one(driver, id, key, value, step->kind == STEP_insert);
}

static void step_fill(struct driver *driver, const struct history_step *step)
{
    ns_keyspace id = driver_keyspace(driver->working, step->p[0]);
    for (uint64_t i = 0; i < step->p[3]; i++) {
        const uint64_t shape_index_size[3] = {step->p[1], step->p[2] + i * step->p[4], step->p[5]};
        ns_slice key = driver_key(driver, shape_index_size);
        put_one(driver, id, key, driver_value_of(driver, step->p[6] + i, step->p[7]), false);
    }
}

static void step_drain(struct driver *driver, const struct history_step *step)
{
    ns_keyspace id = driver_keyspace(driver->working, step->p[0]);
    for (uint64_t i = 0; i < step->p[3]; i++) {
        const uint64_t shape_index_size[3] = {step->p[1], step->p[2] + i * step->p[4], step->p[5]};
        del_one(driver, id, driver_key(driver, shape_index_size));
    }
}

static void step_del_range(struct driver *driver, const struct history_step *step)
{
    ns_keyspace id = driver_keyspace(driver->working, step->p[0]);
    const uint64_t from_key[3] = {step->p[1], step->p[2], step->p[4]};
    const uint64_t to_key[3] = {step->p[1], step->p[3], step->p[4]};
    ns_slice from = driver_key_in(from_key, driver->key_a);
    ns_slice to = driver_key_in(to_key, driver->key_b);
    if ((step->p[5] & 1) != 0) from = ns_bytes(NULL, 0);
    if ((step->p[5] & 2) != 0) to = ns_bytes(NULL, 0);
    if (from.size > driver_key_max(driver) || to.size > driver_key_max(driver)) return;
    ns_status wanted = ref_state_tree(driver->working, id) != NULL ? NS_OK : NS_NOTFOUND;
    driver_expect(driver, ns_txn_del_range(driver->write, id, from, to), wanted, "del_range");
    if (wanted != NS_OK) return;
    driver->has_changed = true;
    ref_del_range(driver->working, id, from, to);
}

/* The value argument is a view from the same transaction. */
static void step_copy_value(struct driver *driver, const struct history_step *step)
{
    ns_keyspace id = driver_keyspace(driver->working, step->p[0]);
    const uint64_t to_key[3] = {step->p[1], step->p[4], step->p[3]};
    ns_slice from = driver_key_in(&step->p[1], driver->key_a);
    ns_slice to = driver_key_in(to_key, driver->key_b);
    ns_slice value;
    if (judge_key(driver, driver->working, id, from) != NS_OK) return;
    const struct ref_entry *entry = ref_find(ref_state_tree(driver->working, id), from);
    check_value(driver, "get", ns_txn_get(driver->write, id, from, &value), value, entry);
    if (entry == NULL) return;
    struct ref_bytes *copy = entry->value;
    ns_status wanted = judge_key(driver, driver->working, id, to);
    driver_expect(driver, ns_txn_put(driver->write, id, to, value), wanted, "put of a view");
    if (wanted != NS_OK) return;
    driver->has_changed = true;
    ref_put(driver->working, id, to, ref_slice(copy));
}

static void step_note(struct driver *driver, const struct history_step *step)
{
    ns_slice note = driver_value_of(driver, step->p[0], step->p[1]);
    ns_status wanted = note.size > 65535 ? NS_TOOBIG : NS_OK;
    driver_expect(driver, ns_txn_note(driver->write, note), wanted, "note");
    if (wanted != NS_OK) return;
    driver->next_info.note_seed = step->p[0];
    driver->next_info.note_bytes = note.size;
}

static void step_keyspace_drop(struct driver *driver, const struct history_step *step)
{
    const char *name = driver_names[step->p[0] % DRIVER_NAMES];
    if (name[0] == '\0') return;
    struct ref_tree *tree = ref_state_named(driver->working, name);
    ns_status wanted = tree != NULL ? NS_OK : NS_NOTFOUND;
    driver_expect(driver, ns_txn_keyspace_drop(driver->write, name), wanted, "keyspace_drop");
    if (tree == NULL) return;
    driver->has_changed = true;
    driver_cursors_lose(driver, 0, tree->id);
    ref_state_drop(driver->working, name);
}

/* ---- reads ---- */

static void step_get(struct driver *driver, const struct history_step *step)
{
    ns_txn *txn;
    struct ref_state *state;
    ns_slice value = ns_bytes("x", 1);
    uint64_t version = UINT64_MAX;
    if (!driver_view(driver, step->p[0], &txn, &state)) return;
    ns_keyspace id = state != NULL ? driver_keyspace(state, step->p[1]) : NS_MAIN;
    ns_slice key = driver_key(driver, &step->p[2]);
    ns_status status = step->kind == STEP_get ? ns_txn_get(txn, id, key, &value)
                                              : ns_txn_get_version(txn, id, key, &value, &version);
    ns_status wanted = judge_key(driver, state, id, key);
    if (is_ambiguous(driver, state, id, key) && status != NS_OK) return;
    const struct ref_entry *entry = NULL;
    if (wanted == NS_OK) {
        entry = ref_find(ref_state_tree(state, id), key);
        check_value(driver, "get", status, value, entry);
    } else {
        driver_expect(driver, status, wanted, "get");
        if (value.data != NULL) driver_fail(driver, "a failed get gave a value");
    }
    if (step->kind == STEP_get) return;
    if (version != (entry != NULL ? entry->version : 0)) {
        driver_fail(driver, "get_version gave version %llu", (unsigned long long)version);
    }
}

#define MANY_MAX 72u

static void check_many(struct driver *driver, const struct ref_tree *tree, size_t n,
                       const ns_slice keys[], const ns_slice values[], const ns_status statuses[])
{
    for (size_t i = 0; i < n; i++) {
        if (keys[i].size == 0 || keys[i].size > driver_key_max(driver)) {
            driver_expect(driver, statuses[i], keys[i].size == 0 ? NS_INVALID : NS_TOOBIG,
                          "get_many");
        } else {
            check_value(driver, "get_many", statuses[i], values[i], ref_find(tree, keys[i]));
        }
    }
}

static void step_get_many(struct driver *driver, const struct history_step *step)
{
    static uint8_t key_bytes[MANY_MAX][1024];
    ns_slice keys[MANY_MAX];
    ns_slice values[MANY_MAX];
    ns_status statuses[MANY_MAX];
    ns_txn *txn;
    struct ref_state *state;
    if (!driver_view(driver, step->p[0], &txn, &state) || state == NULL) return;
    size_t n = step->p[4] < MANY_MAX ? (size_t)step->p[4] : MANY_MAX;
    uint64_t size = step->p[6] <= 1024 ? step->p[6] : 1024;
    for (size_t i = 0; i < n; i++) {
        const uint64_t shape_index_size[3] = {step->p[2], step->p[3] + i * step->p[5], size};
        keys[n - 1 - i] = driver_key_in(shape_index_size, key_bytes[i]);
    }
    ns_keyspace id = driver_keyspace(state, step->p[1]);
    const struct ref_tree *tree = ref_state_tree(state, id);
    ns_status status = ns_txn_get_many(txn, id, n, keys, values, statuses);
    if (tree == NULL) { /* either the call or each key says so */
        if (status == NS_OK && n > 0 && statuses[0] == NS_OK) {
            driver_fail(driver, "get_many found a key in a keyspace that is not there");
        }
        return;
    }
    driver_expect(driver, status, NS_OK, "get_many");
    check_many(driver, tree, n, keys, values, statuses);
}

static void step_keyspace(struct driver *driver, const struct history_step *step)
{
    ns_txn *txn;
    struct ref_state *state;
    ns_keyspace id = 77;
    const char *name = driver_names[step->p[1] % DRIVER_NAMES];
    if (name[0] == '\0' || !driver_view(driver, step->p[0], &txn, &state) || state == NULL) return;
    struct ref_tree *tree = ref_state_named(state, name);
    ns_keyspace wanted_id = tree != NULL ? tree->id : ref_state_new_id(state, name);
    ns_status status = ns_txn_keyspace(txn, name, &id);
    if (tree == NULL && step->p[0] > 0) {
        driver_expect(driver, status, NS_NOTFOUND, "keyspace in a read transaction");
        return;
    }
    driver_expect(driver, status, NS_OK, "keyspace");
    if (id != wanted_id) {
        driver_fail(driver, "keyspace '%.40s' has id %u, not %u", name, (unsigned)id,
                    (unsigned)wanted_id);
    }
    if (tree != NULL) return;
    driver->has_changed = true;
    ref_state_create(driver->working, name, id);
}

static void step_look(struct driver *driver, const struct history_step *step)
{
    ns_txn *txn;
    struct ref_state *state;
    char text[REF_TEXT_BYTES];
    if (!driver_view(driver, step->p[0], &txn, &state) || state == NULL) return;
    bool agrees = true;
    if (step->kind == STEP_keyspace_list) agrees = ref_check_names(txn, state, text);
    if (step->kind == STEP_state_hash) agrees = ref_check_hash(txn, state, text);
    if (step->kind == STEP_scan) agrees = ref_check(txn, state, step->p[1] != 0, text);
    driver_agree(driver, agrees, step->p[0] == 0 ? "in the write transaction" : "in a snapshot",
                 text);
    driver->figures->checks++;
}

/* ---- snapshots ---- */

static void check_reader(struct driver *driver, struct driver_reader *reader)
{
    uint64_t newest = driver_newest(driver)->txn_id;
    if (ns_txn_id(reader->txn) != newest) {
        driver_fail(driver, "a new snapshot shows transaction %llu, not %llu",
                    (unsigned long long)ns_txn_id(reader->txn), (unsigned long long)newest);
    }
    if (newest > 0 && driver_info_of(driver, newest)->unix_us != ns_txn_time(reader->txn)) {
        driver_fail(driver, "the snapshot's time is not its commit's");
    }
    reader->state = ref_state_keep(driver_newest(driver));
}

static void reader_open(struct driver *driver, struct driver_reader *reader)
{
    if (reader->txn != NULL) return;
    driver_expect(driver, ns_txn_begin(driver->db, NS_READ, &reader->txn), NS_OK, "begin");
    check_reader(driver, reader);
}

static void reader_park(struct driver *driver, struct driver_reader *reader, uint64_t who)
{
    driver_cursors_detach(driver, who);
    ref_state_release(reader->state);
    reader->state = NULL;
}

static void reader_close(struct driver *driver, struct driver_reader *reader, uint64_t who,
                         bool commits)
{
    uint64_t txn_id = UINT64_MAX;
    if (reader->txn == NULL) return;
    bool was_parked = reader->state == NULL;
    uint64_t wanted = was_parked ? 0 : reader->state->txn_id;
    if (commits) {
        ns_status status = ns_txn_commit(reader->txn, &txn_id);
        reader->txn = NULL;
        if (!was_parked) {
            driver_expect(driver, status, NS_OK, "commit of a read transaction");
            if (txn_id != wanted) driver_fail(driver, "a read-only commit gave another id");
        }
    } else {
        ns_txn_abort(reader->txn);
    }
    reader->txn = NULL;
    reader_park(driver, reader, who);
}

static void step_reader(struct driver *driver, const struct history_step *step)
{
    uint64_t index = step->p[0] % DRIVER_READERS;
    struct driver_reader *reader = &driver->readers[index];
    if (step->kind == STEP_reader_open) reader_open(driver, reader);
    if (step->kind == STEP_reader_close) reader_close(driver, reader, index + 1, step->p[1] != 0);
    if (step->kind == STEP_reader_reset && reader->state != NULL) {
        driver_expect(driver, ns_txn_reset(reader->txn), NS_OK, "reset");
        reader_park(driver, reader, index + 1);
    }
    if (step->kind == STEP_reader_renew && reader->txn != NULL && reader->state == NULL) {
        driver_expect(driver, ns_txn_renew(reader->txn), NS_OK, "renew");
        check_reader(driver, reader);
    }
}

/* ---- what the database says of itself ---- */

struct reader_list {
    uint64_t count, last_id, writers;
    bool is_disordered;
};

static int note_reader(void *ctx, const ns_reader *reader)
{
    struct reader_list *list = ctx;
    if (reader->txn_id < list->last_id) list->is_disordered = true;
    list->last_id = reader->txn_id;
    list->count++;
    list->writers += reader->mode == NS_WRITE;
    return 0;
}

static void step_readers(struct driver *driver)
{
    struct reader_list list = {0, 0, 0, false};
    uint64_t open = driver->write != NULL;
    uint64_t parked = 0;
    for (size_t i = 0; i < DRIVER_READERS; i++) {
        if (driver->readers[i].txn == NULL) continue;
        open++;
        parked += driver->readers[i].state == NULL;
    }
    driver_expect(driver, ns_db_readers(driver->db, note_reader, &list), NS_OK, "readers");
    if (list.count > open || list.count < open - parked) {
        driver_fail(driver, "%llu readers listed, %llu open, %llu of them parked",
                    (unsigned long long)list.count, (unsigned long long)open,
                    (unsigned long long)parked);
    }
    if (list.writers != (driver->write != NULL)) driver_fail(driver, "the writer is not listed");
    if (parked == 0 && list.is_disordered) driver_fail(driver, "readers not oldest first");
}

static void step_stats(struct driver *driver)
{
    ns_db_stats_t stats;
    struct ref_state *newest = driver_newest(driver);
    memset(&stats, 0xff, sizeof stats);
    driver_expect(driver, ns_db_stats(driver->db, &stats, sizeof stats), NS_OK, "stats");
    if (stats.txn_id != newest->txn_id || stats.entries != ref_state_entries(newest) ||
        stats.keyspaces != newest->tree_count - 1 || stats.page_size != driver_page_size(driver)) {
        driver_fail(driver, "stats: txn %llu, %llu entries, %llu keyspaces, not %llu, %llu, %zu",
                    (unsigned long long)stats.txn_id, (unsigned long long)stats.entries,
                    (unsigned long long)stats.keyspaces, (unsigned long long)newest->txn_id,
                    (unsigned long long)ref_state_entries(newest), newest->tree_count - 1);
    }
    if (stats.oldest_log_txn > newest->txn_id + 1) {
        driver_fail(driver, "the oldest transaction of the log lies in the future");
    }
}

static void step_change(struct driver *driver, const struct history_step *step)
{
    if (driver->write == NULL) return;
    switch ((unsigned)step->kind) {
    case STEP_put:
    case STEP_insert: step_put(driver, step); break;
    case STEP_fill: step_fill(driver, step); break;
    case STEP_drain: step_drain(driver, step); break;
    case STEP_del:
        del_one(driver, driver_keyspace(driver->working, step->p[0]),
                driver_key(driver, &step->p[1]));
        break;
    case STEP_del_range: step_del_range(driver, step); break;
    case STEP_copy_value: step_copy_value(driver, step); break;
    case STEP_note: step_note(driver, step); break;
    case STEP_keyspace_drop: step_keyspace_drop(driver, step); break;
    default: break;
    }
}

void driver_step_data(struct driver *driver, const struct history_step *step)
{
    switch ((unsigned)step->kind) {
    case STEP_get:
    case STEP_get_version: step_get(driver, step); break;
    case STEP_get_many: step_get_many(driver, step); break;
    case STEP_keyspace: step_keyspace(driver, step); break;
    case STEP_keyspace_list:
    case STEP_state_hash:
    case STEP_scan: step_look(driver, step); break;
    case STEP_reader_open:
    case STEP_reader_close:
    case STEP_reader_reset:
    case STEP_reader_renew: step_reader(driver, step); break;
    case STEP_readers: step_readers(driver); break;
    case STEP_stats: step_stats(driver); break;
    default: step_change(driver, step); break;
    }
}
