/* driver_cursor.c: cursors, and where the reference says that they stand.
 *
 * A cursor stands before the first entry of its bounds, on a key (whose entry may be gone by now),
 * or past the last. After a failed seek_exact, first or last its place is not promised: LOST, until
 * the next absolute move. */
#include "harness/driver_internal.h"

#include <string.h>

/* ---- ending ---- */

void driver_cursors_detach(struct driver *driver, uint64_t who)
{
    for (size_t i = 0; i < DRIVER_CURSORS; i++) {
        if (driver->cursors[i].cursor != NULL && driver->cursors[i].who == who) {
            driver->cursors[i].is_detached = true;
        }
    }
}

void driver_cursors_lose(struct driver *driver, uint64_t who, ns_keyspace keyspace)
{
    for (size_t i = 0; i < DRIVER_CURSORS; i++) {
        struct driver_cursor *cursor = &driver->cursors[i];
        if (cursor->cursor != NULL && cursor->who == who && cursor->keyspace == keyspace) {
            ns_cursor_close(cursor->cursor);
            cursor->cursor = NULL;
        }
    }
}

void driver_cursors_close(struct driver *driver)
{
    for (size_t i = 0; i < DRIVER_CURSORS; i++) {
        ns_cursor_close(driver->cursors[i].cursor);
        driver->cursors[i].cursor = NULL;
    }
}

/* ---- the reference's cursor ---- */

/* Entries [low, high) lie in the bounds. */
static void bounds_of(const struct driver_cursor *cursor, const struct ref_tree *tree,
                      size_t *low_out, size_t *high_out)
{
    *low_out = ref_lower_bound(tree, ns_bytes(cursor->from, cursor->from_size));
    *high_out = tree->count;
    if (cursor->to_size > 0)
        *high_out = ref_lower_bound(tree, ns_bytes(cursor->to, cursor->to_size));
    if (*high_out < *low_out) *high_out = *low_out;
}

static size_t clamp(size_t at, size_t low, size_t high)
{
    if (at < low) return low;
    return at > high ? high : at;
}

/* The wanted place of the cursor after a move: an index, or one of these. */
#define PLACE_BEFORE SIZE_MAX
#define PLACE_AFTER (SIZE_MAX - 1)
#define PLACE_LOST (SIZE_MAX - 2)

static size_t place_next(const struct driver_cursor *cursor, const struct ref_tree *tree,
                         size_t low, size_t high)
{
    size_t at = low;
    if (cursor->where == CURSOR_AFTER) return PLACE_AFTER;
    if (cursor->where == CURSOR_ON) {
        ns_slice key = ns_bytes(cursor->key, cursor->key_size);
        at = clamp(ref_lower_bound(tree, key) + (ref_find(tree, key) != NULL ? 1 : 0), low, high);
    }
    return at < high ? at : PLACE_AFTER;
}

static size_t place_prev(const struct driver_cursor *cursor, const struct ref_tree *tree,
                         size_t low, size_t high)
{
    size_t at = high;
    if (cursor->where == CURSOR_BEFORE) return PLACE_BEFORE;
    if (cursor->where == CURSOR_ON) {
        at = clamp(ref_lower_bound(tree, ns_bytes(cursor->key, cursor->key_size)), low, high);
    }
    return at > low ? at - 1 : PLACE_BEFORE;
}

static size_t place_seek(enum history_kind kind, const struct ref_tree *tree, size_t low,
                         size_t high, ns_slice key)
{
    size_t at = clamp(ref_lower_bound(tree, key), low, high);
    if (kind == STEP_cursor_seek) return at < high ? at : PLACE_AFTER;
    if (kind == STEP_cursor_seek_before) return at > low ? at - 1 : PLACE_BEFORE;
    bool is_there = at < high && ref_compare(ref_slice(tree->entries[at].key), key) == 0;
    return is_there ? at : PLACE_LOST;
}

static void stand(struct driver_cursor *cursor, const struct ref_tree *tree, size_t place)
{
    cursor->where = CURSOR_LOST;
    if (place == PLACE_BEFORE) cursor->where = CURSOR_BEFORE;
    if (place == PLACE_AFTER) cursor->where = CURSOR_AFTER;
    if (place >= tree->count) return;
    const struct ref_bytes *key = tree->entries[place].key;
    cursor->where = CURSOR_ON;
    cursor->key_size = key->size;
    memcpy(cursor->key, key->data, key->size);
}

/* ---- comparing ---- */

/* What the cursor shows where it stands. */
static void check_shown(struct driver *driver, const struct driver_cursor *cursor,
                        const struct ref_tree *tree)
{
    ns_slice key;
    ns_slice value;
    if (cursor->where == CURSOR_LOST) return;
    ns_status status = ns_cursor_get(cursor->cursor, &key, &value);
    if (cursor->where != CURSOR_ON) {
        driver_expect(driver, status, NS_NOTFOUND, "cursor_get off an entry");
        if (ns_cursor_key(cursor->cursor).data != NULL ||
            ns_cursor_value(cursor->cursor).data != NULL) {
            driver_fail(driver, "a cursor off an entry shows something");
        }
        return;
    }
    driver_expect(driver, status, NS_OK, "cursor_get");
    ns_slice wanted_key = ns_bytes(cursor->key, cursor->key_size);
    const struct ref_entry *entry = ref_find(tree, wanted_key);
    ns_slice wanted_value = entry != NULL ? ref_slice(entry->value) : ns_bytes(NULL, 0);
    if (ref_compare(key, wanted_key) != 0 ||
        ref_compare(ns_cursor_key(cursor->cursor), wanted_key) != 0) {
        char found_text[96];
        char wanted_text[96];
        ref_print_key(key, found_text, sizeof found_text);
        ref_print_key(wanted_key, wanted_text, sizeof wanted_text);
        driver_fail(driver, "cursor on key %s, not %s", found_text, wanted_text);
    }
    if (ref_compare(value, wanted_value) != 0 ||
        ref_compare(ns_cursor_value(cursor->cursor), wanted_value) != 0) {
        driver_fail(driver, "cursor shows a value of %zu bytes, not the %zu expected", value.size,
                    wanted_value.size);
    }
    if (entry == NULL && value.data != NULL) driver_fail(driver, "a deleted entry has a value");
}

static void check_move(struct driver *driver, struct driver_cursor *cursor,
                       const struct ref_tree *tree, ns_status status, size_t place)
{
    driver_expect(driver, status, place < tree->count ? NS_OK : NS_NOTFOUND, "cursor move");
    stand(cursor, tree, place);
    check_shown(driver, cursor, tree);
}

/* ---- moves ---- */

static ns_status move(struct driver_cursor *cursor, enum history_kind kind, ns_slice key)
{
    switch ((unsigned)kind) {
    case STEP_cursor_first: return ns_cursor_first(cursor->cursor);
    case STEP_cursor_last: return ns_cursor_last(cursor->cursor);
    case STEP_cursor_next: return ns_cursor_next(cursor->cursor);
    case STEP_cursor_prev: return ns_cursor_prev(cursor->cursor);
    case STEP_cursor_seek: return ns_cursor_seek(cursor->cursor, key);
    case STEP_cursor_seek_exact: return ns_cursor_seek_exact(cursor->cursor, key);
    default: return ns_cursor_seek_before(cursor->cursor, key);
    }
}

static void step_relative(struct driver *driver, struct driver_cursor *cursor,
                          const struct ref_tree *tree, const struct history_step *step)
{
    size_t low;
    size_t high;
    bounds_of(cursor, tree, &low, &high);
    uint64_t count = step->p[1] > 0 ? step->p[1] : 1;
    for (uint64_t i = 0; i < count; i++) {
        ns_status status = move(cursor, step->kind, ns_bytes(NULL, 0));
        if (cursor->where == CURSOR_LOST) continue;
        size_t place = step->kind == STEP_cursor_next ? place_next(cursor, tree, low, high)
                                                      : place_prev(cursor, tree, low, high);
        check_move(driver, cursor, tree, status, place);
    }
}

static void step_absolute(struct driver *driver, struct driver_cursor *cursor,
                          const struct ref_tree *tree, const struct history_step *step)
{
    size_t low;
    size_t high;
    size_t place;
    ns_slice key = driver_key(driver, &step->p[1]);
    bounds_of(cursor, tree, &low, &high);
    if (step->kind == STEP_cursor_first) {
        place = low < high ? low : PLACE_LOST;
    } else if (step->kind == STEP_cursor_last) {
        place = low < high ? high - 1 : PLACE_LOST;
    } else {
        if (key.size == 0 || key.size > driver_key_max(driver)) return;
        place = place_seek(step->kind, tree, low, high, key);
    }
    check_move(driver, cursor, tree, move(cursor, step->kind, key), place);
}

/* ---- bounds ---- */

static void set_bounds(struct driver_cursor *cursor, ns_slice from, ns_slice to)
{
    memcpy(cursor->from, from.data != NULL ? from.data : cursor->from, from.size);
    memcpy(cursor->to, to.data != NULL ? to.data : cursor->to, to.size);
    cursor->from_size = from.size;
    cursor->to_size = to.size;
    cursor->where = CURSOR_BEFORE;
}

static void step_bounds(struct driver *driver, struct driver_cursor *cursor,
                        const struct history_step *step)
{
    const uint64_t to_key[3] = {step->p[1], step->p[3], step->p[4]};
    const uint64_t from_key[3] = {step->p[1], step->p[2], step->p[4]};
    ns_slice from = driver_key_in(from_key, driver->key_a);
    ns_slice to = driver_key_in(to_key, driver->key_b);
    if ((step->p[5] & 1) != 0) from = ns_bytes(NULL, 0);
    if ((step->p[5] & 2) != 0) to = ns_bytes(NULL, 0);
    if (from.size > driver_key_max(driver) || to.size > driver_key_max(driver)) return;
    driver_expect(driver, ns_cursor_bounds(cursor->cursor, from, to), NS_OK, "bounds");
    set_bounds(cursor, from, to);
}

/* [prefix, the first key that does not begin with it). */
static void step_prefix(struct driver *driver, struct driver_cursor *cursor,
                        const struct history_step *step)
{
    ns_slice key = driver_key(driver, &step->p[1]);
    size_t size = step->p[4] < key.size ? (size_t)step->p[4] : key.size;
    if (size > driver_key_max(driver)) return;
    driver_expect(driver, ns_cursor_prefix(cursor->cursor, ns_bytes(key.data, size)), NS_OK,
                  "prefix");
    memcpy(driver->key_b, key.data, size);
    size_t to_size = size;
    while (to_size > 0 && driver->key_b[to_size - 1] == 0xff)
        to_size--;
    if (to_size > 0) driver->key_b[to_size - 1]++;
    set_bounds(cursor, ns_bytes(key.data, size), ns_bytes(driver->key_b, to_size));
}

/* ---- changing the entry that the cursor stands on ---- */

static void step_change(struct driver *driver, struct driver_cursor *cursor,
                        const struct ref_tree *tree, const struct history_step *step)
{
    if (cursor->who != 0 || cursor->where != CURSOR_ON) return;
    ns_slice key = ns_bytes(cursor->key, cursor->key_size);
    ns_keyspace id = cursor->keyspace;
    if (step->kind == STEP_cursor_put) {
        ns_slice value = driver_value_of(driver, step->p[1], step->p[2]);
        driver_expect(driver, ns_txn_put(driver->write, id, ns_cursor_key(cursor->cursor), value),
                      NS_OK, "put under the cursor");
        ref_put(driver->working, id, key, value);
    } else {
        bool is_there = ref_find(tree, key) != NULL;
        driver_expect(driver, ns_txn_del(driver->write, id, ns_cursor_key(cursor->cursor)),
                      is_there ? NS_OK : NS_NOTFOUND, "del under the cursor");
        if (!is_there) return;
        ref_del(driver->working, id, key);
    }
    driver->has_changed = true;
    check_shown(driver, cursor, ref_state_tree(driver->working, id));
}

/* ---- open, close, detached ---- */

static void step_open(struct driver *driver, struct driver_cursor *cursor,
                      const struct history_step *step)
{
    ns_txn *txn;
    struct ref_state *state;
    if (cursor->cursor != NULL) return;
    if (!driver_view(driver, step->p[1], &txn, &state) || state == NULL) return;
    ns_keyspace id = driver_keyspace(state, step->p[2]);
    ns_status wanted = ref_state_tree(state, id) != NULL ? NS_OK : NS_NOTFOUND;
    driver_expect(driver, ns_cursor_open(txn, id, &cursor->cursor), wanted, "cursor_open");
    if (wanted != NS_OK) {
        if (cursor->cursor != NULL) driver_fail(driver, "a failed cursor_open left a cursor");
        return;
    }
    cursor->who = step->p[1] == 0 ? 0 : (step->p[1] - 1) % DRIVER_READERS + 1;
    cursor->keyspace = id;
    cursor->is_detached = false;
    cursor->where = CURSOR_BEFORE;
    cursor->from_size = 0;
    cursor->to_size = 0;
    check_shown(driver, cursor, ref_state_tree(state, id));
}

static void check_detached(struct driver *driver, struct driver_cursor *cursor)
{
    ns_slice key;
    ns_slice value;
    driver_expect(driver, ns_cursor_next(cursor->cursor), NS_INVALID, "next, detached");
    driver_expect(driver, ns_cursor_seek(cursor->cursor, ns_str("k")), NS_INVALID,
                  "seek, detached");
    driver_expect(driver, ns_cursor_get(cursor->cursor, &key, &value), NS_INVALID, "get, detached");
    if (ns_cursor_key(cursor->cursor).data != NULL || key.data != NULL || value.data != NULL) {
        driver_fail(driver, "a detached cursor shows something");
    }
}

void driver_step_cursor(struct driver *driver, const struct history_step *step)
{
    ns_txn *txn;
    struct ref_state *state = NULL;
    struct driver_cursor *cursor = &driver->cursors[step->p[0] % DRIVER_CURSORS];
    if (step->kind == STEP_cursor_open) {
        step_open(driver, cursor, step);
        return;
    }
    if (cursor->cursor == NULL) return;
    if (step->kind == STEP_cursor_close) {
        ns_cursor_close(cursor->cursor);
        cursor->cursor = NULL;
        return;
    }
    if (cursor->is_detached) {
        check_detached(driver, cursor);
        return;
    }
    if (!driver_view(driver, cursor->who, &txn, &state) || state == NULL) return;
    const struct ref_tree *tree = ref_state_tree(state, cursor->keyspace);
    if (tree == NULL) return;
    switch ((unsigned)step->kind) {
    case STEP_cursor_next:
    case STEP_cursor_prev: step_relative(driver, cursor, tree, step); break;
    case STEP_cursor_bounds: step_bounds(driver, cursor, step); break;
    case STEP_cursor_prefix: step_prefix(driver, cursor, step); break;
    case STEP_cursor_put:
    case STEP_cursor_del: step_change(driver, cursor, tree, step); break;
    default: step_absolute(driver, cursor, tree, step); break;
    }
}
