/* txn_world.h: a database without files: a root in the stub pager, one write transaction at a
 * time, and a check after every commit. */
#ifndef NS_TESTS_UNIT_TXN_WORLD_H
#define NS_TESTS_UNIT_TXN_WORLD_H

#include "btree_stub_pager.h"

#include "format/record.h"
#include "txn/apply.h"
#include "txn/catalogue.h"
#include "txn/view.h"

#define DB_PAGE_SIZE 4096u
#define DB_ROOM 20000u

struct db {
    struct ns__root root;
    struct ns__writeset set;
    struct ns__view view; /* of root and set */
    uint8_t *body;        /* of the last commit; malloc */
    size_t body_bytes;
    uint32_t keyspaces_seen;
};

static inline void db_refresh(struct db *db)
{
    ns__view_init(&db->view, &stub.pages, &db->root, &db->set);
}

static inline void db_init(struct db *db, uint64_t seed)
{
    memset(db, 0, sizeof *db);
    stub_init(DB_PAGE_SIZE, DB_ROOM);
    ns__writeset_init(&db->set, &stub.alloc, seed);
    db_refresh(db);
}

static inline void db_deinit(struct db *db)
{
    ns__writeset_deinit(&db->set);
    free(db->body);
    stub_deinit();
}

/* ---- the laws of a root ---- */

static inline void db_check_tree(const struct ns__tree *tree, bool is_catalogue)
{
    CHECK_OK(ns__btree_check(&stub.pages, tree, is_catalogue, stub.generation, &stub.alloc,
                             stub_visit, NULL));
}

/* The two entries of every keyspace belong together. */
static inline int db_check_keyspace(void *ctx, ns_slice name, ns_keyspace keyspace)
{
    struct db *db = ctx;
    struct ns__tree tree;
    ns_slice found;
    CHECK_OK(ns__catalogue_get(&stub.pages, &db->root.catalogue, keyspace, &tree, &found));
    assert_true(ns__slice_equal(found, name));
    db_check_tree(&tree, false);
    db->keyspaces_seen++;
    return 0;
}

/* Every tree obeys its laws, and nothing else is alive. */
static inline void db_check(struct db *db)
{
    struct ns__view view;
    ns__view_init(&view, &stub.pages, &db->root, NULL);
    db_check_tree(&db->root.main, false);
    db_check_tree(&db->root.catalogue, true);
    db->keyspaces_seen = 0;
    CHECK_OK(ns__view_each_keyspace(&view, &stub.alloc, db_check_keyspace, db));
    assert_int_equal(db->keyspaces_seen, db->root.keyspaces);
    assert_int_equal(db->root.catalogue.entries, 2 * db->root.keyspaces);
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 1; i < stub.room; i++) {
            assert_int_equal(stub.state[side][i] == STUB_LIVE, stub.seen[side][i]);
        }
        memset(stub.seen[side], 0, stub.room);
    }
    for (size_t i = 0; i < stub.run_count; i++) {
        assert_int_equal(stub.runs[i].state == STUB_LIVE, stub.runs[i].is_seen);
        stub.runs[i].is_seen = false;
    }
}

/* ---- transactions ---- */

/* The body of the set, checked. */
static inline ns_slice db_body(struct db *db)
{
    uint64_t ops, checked;
    ns__writeset_body_size(&db->set, &db->body_bytes, &ops);
    free(db->body);
    db->body = malloc(db->body_bytes + 1);
    assert_non_null(db->body);
    ns__writeset_body_encode(&db->set, db->body);
    ns_slice body = ns_bytes(db->body, db->body_bytes);
    CHECK_OK(ns__body_check(body, ns__key_bytes_max(DB_PAGE_SIZE), &checked));
    assert_int_equal(ops, checked);
    return body;
}

/* Applies a body as the next transaction; on failure the root stays. */
static inline ns_status db_apply(struct db *db, ns_slice body)
{
    struct ns__root before = db->root;
    stub_begin();
    ns_status status =
        ns__body_apply(stub_change(), &db->root, body, db->root.txn_id + 1, &stub.arena);
    stub_settle(status != NS_OK);
    if (status == NS_OK) {
        db->root.txn_id++;
        db->root.generation = stub.generation;
    } else {
        assert_memory_equal(&before, &db->root, sizeof before);
    }
    db_check(db);
    return status;
}

static inline void db_commit(struct db *db)
{
    CHECK_OK(db_apply(db, db_body(db)));
    ns__writeset_reset(&db->set);
    db_refresh(db);
}

static inline void db_put(struct db *db, ns_keyspace keyspace, const char *key, const char *value)
{
    CHECK_OK(ns__writeset_put(&db->set, keyspace, ns_str(key), ns_str(value)));
}

/* As ns_txn_del: false if the key is not there. */
static inline bool db_del(struct db *db, ns_keyspace keyspace, ns_slice key)
{
    ns_slice value;
    ns_status status = ns__view_get(&db->view, keyspace, key, &value, NULL);
    if (status == NS_NOTFOUND) return false;
    CHECK_OK(status);
    struct ns__view base;
    ns__view_init(&base, &stub.pages, &db->root, NULL);
    status = ns__view_get(&base, keyspace, key, &value, NULL);
    CHECK_OK(ns__writeset_del(&db->set, keyspace, key, status == NS_OK));
    return true;
}

static inline ns_keyspace db_create(struct db *db, const char *name)
{
    ns_keyspace keyspace;
    CHECK_OK(ns__view_new_keyspace_id(&db->view, ns_str(name), &keyspace));
    CHECK_OK(ns__writeset_create(&db->set, ns_str(name), keyspace));
    return keyspace;
}

static inline void db_drop(struct db *db, const char *name)
{
    ns_keyspace keyspace;
    bool in_base;
    CHECK_OK(ns__view_find_keyspace(&db->view, ns_str(name), &keyspace, &in_base));
    CHECK_OK(ns__writeset_drop(&db->set, ns_str(name), keyspace, in_base));
}

#endif
