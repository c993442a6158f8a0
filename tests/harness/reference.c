/* reference.c: see reference.h. */
#include "harness/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "reference: out of memory\n");
        abort();
    }
    return memory;
}

int ref_compare(ns_slice a, ns_slice b)
{
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
    if (order != 0) return order;
    if (a.size == b.size) return 0;
    return a.size < b.size ? -1 : 1;
}

ns_slice ref_slice(const struct ref_bytes *bytes)
{
    return ns_bytes(bytes->data, bytes->size);
}

/* ---- bytes ---- */

static struct ref_bytes *bytes_new(ns_slice from)
{
    struct ref_bytes *bytes = must(malloc(sizeof *bytes + from.size));
    bytes->references = 1;
    bytes->size = from.size;
    if (from.size > 0) memcpy(bytes->data, from.data, from.size);
    return bytes;
}

static void bytes_release(struct ref_bytes *bytes)
{
    if (--bytes->references == 0) free(bytes);
}

/* ---- trees ---- */

static struct ref_tree *tree_new(const char *name, ns_keyspace id)
{
    struct ref_tree *tree = must(calloc(1, sizeof *tree));
    tree->references = 1;
    tree->id = id;
    snprintf(tree->name, sizeof tree->name, "%s", name);
    return tree;
}

static void tree_release(struct ref_tree *tree)
{
    if (--tree->references > 0) return;
    for (size_t i = 0; i < tree->count; i++) {
        bytes_release(tree->entries[i].key);
        bytes_release(tree->entries[i].value);
    }
    free(tree->entries);
    free(tree);
}

static struct ref_tree *tree_copy(const struct ref_tree *from)
{
    struct ref_tree *tree = tree_new(from->name, from->id);
    tree->count = tree->capacity = from->count;
    if (tree->count == 0) return tree;
    tree->entries = must(malloc(tree->count * sizeof *tree->entries));
    memcpy(tree->entries, from->entries, tree->count * sizeof *tree->entries);
    for (size_t i = 0; i < tree->count; i++) {
        tree->entries[i].key->references++;
        tree->entries[i].value->references++;
    }
    return tree;
}

/* The tree at index, to be changed: a copy of its own if other states see it too. */
static struct ref_tree *tree_own(struct ref_state *state, size_t index)
{
    struct ref_tree *tree = state->trees[index];
    if (tree->references == 1) return tree;
    state->trees[index] = tree_copy(tree);
    tree_release(tree);
    return state->trees[index];
}

/* ---- states ---- */

struct ref_state *ref_state_new(void)
{
    struct ref_state *state = must(calloc(1, sizeof *state));
    state->references = 1;
    state->tree_count = 1;
    state->trees[0] = tree_new("", NS_MAIN);
    return state;
}

struct ref_state *ref_state_copy(const struct ref_state *from)
{
    struct ref_state *state = must(malloc(sizeof *state));
    *state = *from;
    state->references = 1;
    for (size_t i = 0; i < state->tree_count; i++)
        state->trees[i]->references++;
    return state;
}

struct ref_state *ref_state_keep(struct ref_state *state)
{
    state->references++;
    return state;
}

void ref_state_release(struct ref_state *state)
{
    if (state == NULL || --state->references > 0) return;
    for (size_t i = 0; i < state->tree_count; i++)
        tree_release(state->trees[i]);
    free(state);
}

static bool tree_has_new(const struct ref_tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        if (tree->entries[i].version == 0) return true;
    }
    return false;
}

bool ref_state_has_new(const struct ref_state *state)
{
    for (size_t i = 0; i < state->tree_count; i++) {
        if (tree_has_new(state->trees[i])) return true;
    }
    return false;
}

void ref_state_commit(struct ref_state *state, uint64_t txn_id)
{
    state->txn_id = txn_id;
    for (size_t t = 0; t < state->tree_count; t++) {
        if (!tree_has_new(state->trees[t])) continue;
        struct ref_tree *tree = tree_own(state, t);
        for (size_t i = 0; i < tree->count; i++) {
            if (tree->entries[i].version == 0) tree->entries[i].version = txn_id;
        }
    }
}

uint64_t ref_state_entries(const struct ref_state *state)
{
    uint64_t entries = 0;
    for (size_t i = 0; i < state->tree_count; i++)
        entries += state->trees[i]->count;
    return entries;
}

static bool tree_equal(const struct ref_tree *a, const struct ref_tree *b)
{
    if (a == b) return true;
    if (strcmp(a->name, b->name) != 0 || a->id != b->id || a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct ref_entry *x = &a->entries[i];
        const struct ref_entry *y = &b->entries[i];
        if (ref_compare(ref_slice(x->key), ref_slice(y->key)) != 0) return false;
        if (ref_compare(ref_slice(x->value), ref_slice(y->value)) != 0) return false;
    }
    return true;
}

bool ref_state_equal(const struct ref_state *a, const struct ref_state *b)
{
    if (a->tree_count != b->tree_count) return false;
    for (size_t i = 0; i < a->tree_count; i++) {
        if (!tree_equal(a->trees[i], b->trees[i])) return false;
    }
    return true;
}

/* ---- the state hash, FMT-28 ---- */

static uint8_t *store32(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
    return out + 4;
}

static uint8_t *append(uint8_t *out, ns_slice bytes)
{
    if (bytes.size > 0) memcpy(out, bytes.data, bytes.size);
    return out + bytes.size;
}

static struct ns__hash128 entry_hash(const char *name, ns_slice key, ns_slice value)
{
    ns_slice name_bytes = ns_str(name);
    size_t size = 8 + name_bytes.size + key.size + value.size;
    uint8_t small[1024];
    uint8_t *bytes = size <= sizeof small ? small : must(malloc(size));
    uint8_t *end = append(store32(bytes, name_bytes.size), name_bytes);
    end = append(append(store32(end, key.size), key), value);
    struct ns__hash128 hash = ns__hash128(bytes, (size_t)(end - bytes), 3);
    if (bytes != small) free(bytes);
    return hash;
}

static void hash_add(struct ns__hash128 *sum, struct ns__hash128 term)
{
    uint64_t low = sum->low + term.low;
    sum->high += term.high + (low < sum->low ? 1 : 0);
    sum->low = low;
}

void ref_state_hash(const struct ref_state *state, uint8_t hash_out[16])
{
    struct ns__hash128 sum = {0, 0};
    for (size_t t = 0; t < state->tree_count; t++) {
        const struct ref_tree *tree = state->trees[t];
        if (t > 0) hash_add(&sum, ns__hash128(tree->name, strlen(tree->name), 4));
        for (size_t i = 0; i < tree->count; i++)
            hash_add(&sum, tree->entries[i].hash);
    }
    for (int i = 0; i < 8; i++) {
        hash_out[i] = (uint8_t)(sum.low >> (8 * i));
        hash_out[8 + i] = (uint8_t)(sum.high >> (8 * i));
    }
}

/* ---- keyspaces ---- */

static size_t tree_index(const struct ref_state *state, ns_keyspace id)
{
    size_t index = 0;
    while (index < state->tree_count && state->trees[index]->id != id)
        index++;
    return index;
}

struct ref_tree *ref_state_tree(const struct ref_state *state, ns_keyspace id)
{
    size_t index = tree_index(state, id);
    return index < state->tree_count ? state->trees[index] : NULL;
}

struct ref_tree *ref_state_named(const struct ref_state *state, const char *name)
{
    for (size_t i = 1; i < state->tree_count; i++) {
        if (strcmp(state->trees[i]->name, name) == 0) return state->trees[i];
    }
    return NULL;
}

ns_keyspace ref_state_new_id(const struct ref_state *state, const char *name)
{
    ns_keyspace id = (ns_keyspace)ns__checksum64(name, strlen(name), 0);
    while (id == NS_MAIN || ref_state_tree(state, id) != NULL)
        id++;
    return id;
}

void ref_state_create(struct ref_state *state, const char *name, ns_keyspace id)
{
    size_t at = 1;
    if (state->tree_count == REF_TREES_MAX) abort();
    while (at < state->tree_count && strcmp(state->trees[at]->name, name) < 0)
        at++;
    memmove(&state->trees[at + 1], &state->trees[at],
            (state->tree_count - at) * sizeof state->trees[0]);
    state->trees[at] = tree_new(name, id);
    state->tree_count++;
}

bool ref_state_drop(struct ref_state *state, const char *name)
{
    struct ref_tree *tree = ref_state_named(state, name);
    if (tree == NULL) return false;
    size_t at = tree_index(state, tree->id);
    state->tree_count--;
    memmove(&state->trees[at], &state->trees[at + 1],
            (state->tree_count - at) * sizeof state->trees[0]);
    tree_release(tree);
    return true;
}

/* ---- entries ---- */

size_t ref_lower_bound(const struct ref_tree *tree, ns_slice key)
{
    size_t low = 0;
    size_t high = tree->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ref_compare(ref_slice(tree->entries[middle].key), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct ref_entry *ref_find(const struct ref_tree *tree, ns_slice key)
{
    size_t at = ref_lower_bound(tree, key);
    if (at == tree->count) return NULL;
    return ref_compare(ref_slice(tree->entries[at].key), key) == 0 ? &tree->entries[at] : NULL;
}

void ref_put(struct ref_state *state, ns_keyspace id, ns_slice key, ns_slice value)
{
    struct ref_tree *tree = tree_own(state, tree_index(state, id));
    size_t at = ref_lower_bound(tree, key);
    if (ref_find(tree, key) == NULL) {
        if (tree->count == tree->capacity) {
            tree->capacity = tree->capacity * 2 + 16;
            tree->entries = must(realloc(tree->entries, tree->capacity * sizeof *tree->entries));
        }
        memmove(&tree->entries[at + 1], &tree->entries[at],
                (tree->count - at) * sizeof *tree->entries);
        tree->entries[at].key = bytes_new(key);
        tree->entries[at].value = bytes_new(value);
        tree->count++;
    } else {
        struct ref_bytes *old = tree->entries[at].value;
        tree->entries[at].value = bytes_new(value); /* which may be a view of the old one */
        bytes_release(old);
    }
    struct ref_entry *entry = &tree->entries[at];
    entry->version = 0;
    entry->hash = entry_hash(tree->name, ref_slice(entry->key), ref_slice(entry->value));
}

static void remove_entries(struct ref_tree *tree, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        bytes_release(tree->entries[i].key);
        bytes_release(tree->entries[i].value);
    }
    if (end < tree->count) {
        memmove(&tree->entries[begin], &tree->entries[end],
                (tree->count - end) * sizeof *tree->entries);
    }
    tree->count -= end - begin;
}

bool ref_del(struct ref_state *state, ns_keyspace id, ns_slice key)
{
    size_t index = tree_index(state, id);
    if (ref_find(state->trees[index], key) == NULL) return false;
    struct ref_tree *tree = tree_own(state, index);
    size_t at = ref_lower_bound(tree, key);
    remove_entries(tree, at, at + 1);
    return true;
}

size_t ref_del_range(struct ref_state *state, ns_keyspace id, ns_slice from, ns_slice to)
{
    size_t index = tree_index(state, id);
    size_t begin = ref_lower_bound(state->trees[index], from);
    size_t end = state->trees[index]->count;
    if (to.size > 0) end = ref_lower_bound(state->trees[index], to);
    if (begin >= end) return 0;
    remove_entries(tree_own(state, index), begin, end);
    return end - begin;
}

/* ---- comparing with the library ---- */

void ref_print_key(ns_slice key, char *out, size_t out_size)
{
    const uint8_t *bytes = key.data;
    size_t used = (size_t)snprintf(out, out_size, "(%zu)", key.size);
    for (size_t i = 0; i < key.size && used + 8 < out_size; i++) {
        if (i == 12 && key.size > 24) {
            used += (size_t)snprintf(out + used, out_size - used, "..");
            i = key.size - 12;
        }
        used += (size_t)snprintf(out + used, out_size - used, "%02x", bytes[i]);
    }
}

/* Says in text what is wrong with an entry. */
static bool complain(char text[REF_TEXT_BYTES], const struct ref_tree *tree, ns_slice key,
                     const char *what)
{
    char key_text[96];
    ref_print_key(key, key_text, sizeof key_text);
    snprintf(text, REF_TEXT_BYTES, "keyspace '%.40s', key %s: %s", tree->name, key_text, what);
    return false;
}

/* Compares the entry that the cursor stands on with the one wanted. */
static bool check_entry(ns_txn *txn, const struct ref_tree *tree, const struct ref_entry *wanted,
                        ns_cursor *cursor, char text[REF_TEXT_BYTES])
{
    ns_slice key;
    ns_slice value;
    ns_slice value_again;
    uint64_t version = 0;
    char what[160];
    ns_status status = ns_cursor_get(cursor, &key, &value);
    if (status != NS_OK) {
        snprintf(what, sizeof what, "cursor_get gave %s", ns_status_name(status));
        return complain(text, tree, ref_slice(wanted->key), what);
    }
    if (ref_compare(key, ref_slice(wanted->key)) != 0) {
        ref_print_key(key, what, sizeof what);
        return complain(text, tree, ref_slice(wanted->key), what);
    }
    if (ref_compare(value, ref_slice(wanted->value)) != 0) {
        snprintf(what, sizeof what, "value of %zu bytes differs from the %zu expected", value.size,
                 wanted->value->size);
        return complain(text, tree, key, what);
    }
    status = ns_txn_get_version(txn, tree->id, key, &value_again, &version);
    if (status != NS_OK || version != wanted->version ||
        ref_compare(value_again, ref_slice(wanted->value)) != 0) {
        snprintf(what, sizeof what, "get_version gave %s, %llu, not %llu, and %zu bytes",
                 ns_status_name(status), (unsigned long long)version,
                 (unsigned long long)wanted->version, value_again.size);
        return complain(text, tree, key, what);
    }
    return true;
}

static bool check_scan(ns_txn *txn, const struct ref_tree *tree, ns_cursor *cursor, bool backward,
                       char text[REF_TEXT_BYTES])
{
    for (size_t i = 0; i <= tree->count; i++) {
        ns_status status = backward ? (i == 0 ? ns_cursor_last(cursor) : ns_cursor_prev(cursor))
                                    : (i == 0 ? ns_cursor_first(cursor) : ns_cursor_next(cursor));
        if (status != (i < tree->count ? NS_OK : NS_NOTFOUND)) {
            snprintf(text, REF_TEXT_BYTES, "keyspace '%s': %s at entry %zu of %zu (%s): %s",
                     tree->name, ns_status_name(status), i, tree->count,
                     backward ? "backward" : "forward", ns_error_detail());
            return false;
        }
        if (i == tree->count) break;
        size_t index = backward ? tree->count - 1 - i : i;
        if (!check_entry(txn, tree, &tree->entries[index], cursor, text)) return false;
    }
    return true;
}

bool ref_check_tree(ns_txn *txn, const struct ref_tree *tree, bool backward,
                    char text[REF_TEXT_BYTES])
{
    ns_cursor *cursor;
    ns_status status = ns_cursor_open(txn, tree->id, &cursor);
    if (status != NS_OK) {
        snprintf(text, REF_TEXT_BYTES, "keyspace '%s': cursor_open gave %s: %s", tree->name,
                 ns_status_name(status), ns_error_detail());
        return false;
    }
    bool is_equal = check_scan(txn, tree, cursor, backward, text);
    ns_cursor_close(cursor);
    return is_equal;
}

struct listing {
    const struct ref_state *state;
    size_t next;
    char *text;
    bool differs;
};

static int check_name(void *ctx, const char *name, ns_keyspace id)
{
    struct listing *listing = ctx;
    size_t at = listing->next++;
    if (at >= listing->state->tree_count || strcmp(listing->state->trees[at]->name, name) != 0 ||
        listing->state->trees[at]->id != id) {
        snprintf(listing->text, REF_TEXT_BYTES,
                 "keyspace list: '%.60s' (id %u) at place %zu, not '%.60s'", name, (unsigned)id, at,
                 at < listing->state->tree_count ? listing->state->trees[at]->name : "the end");
        listing->differs = true;
        return 1;
    }
    return 0;
}

bool ref_check_names(ns_txn *txn, const struct ref_state *state, char text[REF_TEXT_BYTES])
{
    struct listing listing = {state, 1, text, false};
    ns_status status = ns_txn_keyspace_list(txn, check_name, &listing);
    if (listing.differs) return false;
    if (status != NS_OK || listing.next != state->tree_count) {
        snprintf(text, REF_TEXT_BYTES, "keyspace list: %s, %zu names, not %zu: %s",
                 ns_status_name(status), listing.next - 1, state->tree_count - 1,
                 ns_error_detail());
        return false;
    }
    for (size_t i = 1; i < state->tree_count; i++) {
        ns_keyspace id = 0;
        /* In a write transaction this must find the name, not create it. */
        status = ns_txn_keyspace(txn, state->trees[i]->name, &id);
        if (status != NS_OK || id != state->trees[i]->id) {
            snprintf(text, REF_TEXT_BYTES, "keyspace '%.60s': %s, id %u, not %u",
                     state->trees[i]->name, ns_status_name(status), (unsigned)id,
                     (unsigned)state->trees[i]->id);
            return false;
        }
    }
    return true;
}

bool ref_check(ns_txn *txn, const struct ref_state *state, bool backward, char text[REF_TEXT_BYTES])
{
    if (!ref_check_names(txn, state, text)) return false;
    for (size_t i = 0; i < state->tree_count; i++) {
        if (!ref_check_tree(txn, state->trees[i], backward, text)) return false;
    }
    return true;
}

bool ref_check_hash(ns_txn *txn, const struct ref_state *state, char text[REF_TEXT_BYTES])
{
    uint8_t wanted[16];
    uint8_t found[16];
    ref_state_hash(state, wanted);
    ns_status status = ns_txn_state_hash(txn, found);
    if (status == NS_OK && memcmp(wanted, found, sizeof wanted) == 0) return true;
    snprintf(text, REF_TEXT_BYTES, "state hash: %s, differs from the reference's (%s)",
             ns_status_name(status), ns_error_detail());
    return false;
}
