/* harness/reference.h: what the database must contain, in the plainest form: per keyspace one
 * sorted array of entries, and one such state per transaction. Nothing here is clever; it is read
 * to be believed.
 *
 * States share trees and bytes by counting references, so that keeping one state per transaction is
 * cheap. One thread. Out of memory ends the program. */
#ifndef NS_TESTS_HARNESS_REFERENCE_H
#define NS_TESTS_HARNESS_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <northstar.h>
#include "base/checksum.h"

#define REF_TREES_MAX 24u
#define REF_NAME_MAX 256u

struct ref_bytes { /* immutable */
    size_t references;
    size_t size;
    uint8_t data[];
};

struct ref_entry {
    struct ref_bytes *key;
    struct ref_bytes *value;
    uint64_t version; /* 0: written by the transaction that is still open */
    struct ns__hash128 hash;
};

struct ref_tree {
    size_t references;
    char name[REF_NAME_MAX]; /* "": keyspace 0 */
    ns_keyspace id;
    size_t count, capacity;
    struct ref_entry *entries; /* ascending by key */
};

struct ref_state {
    size_t references;
    uint64_t txn_id;
    size_t tree_count;
    struct ref_tree *trees[REF_TREES_MAX]; /* [0] is keyspace 0, the others ascending by name */
};

/* memcmp order, a shorter key before its extensions. */
int ref_compare(ns_slice a, ns_slice b);
ns_slice ref_slice(const struct ref_bytes *bytes);

/* ---- states ---- */

struct ref_state *ref_state_new(void);
struct ref_state *ref_state_copy(const struct ref_state *state);
struct ref_state *ref_state_keep(struct ref_state *state); /* one more reference */
void ref_state_release(struct ref_state *state);           /* NULL is fine */

/* Entries and keyspaces of the open transaction become those of transaction txn_id. */
void ref_state_commit(struct ref_state *state, uint64_t txn_id);

/* FMT-28, computed from nothing but the content. */
void ref_state_hash(const struct ref_state *state, uint8_t hash_out[16]);

/* Same keyspaces, keys and values. */
bool ref_state_equal(const struct ref_state *a, const struct ref_state *b);

/* Does the state hold an entry with version 0? */
bool ref_state_has_new(const struct ref_state *state);
uint64_t ref_state_entries(const struct ref_state *state);

/* ---- keyspaces ---- */

struct ref_tree *ref_state_tree(const struct ref_state *state, ns_keyspace id); /* NULL: none */
struct ref_tree *ref_state_named(const struct ref_state *state, const char *name);
/* FMT-12: the id that a keyspace of this name gets. */
ns_keyspace ref_state_new_id(const struct ref_state *state, const char *name);
void ref_state_create(struct ref_state *state, const char *name, ns_keyspace id);
bool ref_state_drop(struct ref_state *state, const char *name);

/* ---- entries ---- */

/* Index of the first entry with a key >= key. */
size_t ref_lower_bound(const struct ref_tree *tree, ns_slice key);
/* NULL if absent. */
const struct ref_entry *ref_find(const struct ref_tree *tree, ns_slice key);

/* Changes; the keyspace must be there. */
void ref_put(struct ref_state *state, ns_keyspace id, ns_slice key, ns_slice value);
bool ref_del(struct ref_state *state, ns_keyspace id, ns_slice key);
/* Empty from: the start; empty to: the end. Returns how many entries went. */
size_t ref_del_range(struct ref_state *state, ns_keyspace id, ns_slice from, ns_slice to);

/* ---- comparing with the library ---- */

#define REF_TEXT_BYTES 512u

/* Compares all that txn shows with the state: names, keys, values, versions; forward or backward.
 * On a difference returns false and says in text what it is. */
bool ref_check(ns_txn *txn, const struct ref_state *state, bool backward,
               char text[REF_TEXT_BYTES]);
/* One keyspace only. */
bool ref_check_tree(ns_txn *txn, const struct ref_tree *tree, bool backward,
                    char text[REF_TEXT_BYTES]);
/* The names and ids only. */
bool ref_check_names(ns_txn *txn, const struct ref_state *state, char text[REF_TEXT_BYTES]);
/* ns_txn_state_hash against ref_state_hash. */
bool ref_check_hash(ns_txn *txn, const struct ref_state *state, char text[REF_TEXT_BYTES]);

/* Writes a short readable form of a key. */
void ref_print_key(ns_slice key, char *out, size_t out_size);

#endif /* NS_TESTS_HARNESS_REFERENCE_H */
