/* lmdb.c: LMDB.
 *
 * A session has one read transaction and one write transaction. A read outside of a snapshot renews
 * the session's read transaction after parking it (mdb_txn_reset, mdb_txn_renew), LMDB's own way to
 * read often. A cursor belongs to a snapshot, is made by its first scan and moved by the next.
 * MDB_NOTLS lets a thread hold the sessions that another one made. */
#include <lmdb.h>

#include <stdio.h>
#include <stdlib.h>

#include "peers/peer.h"

#define MAP_BYTES ((size_t)16 << 30)
#define READERS 256u

struct store {
    MDB_env *env;
    MDB_dbi dbi;
};

struct session {
    struct store *store;
    MDB_txn *read, *write;
    MDB_cursor *cursor; /* of the snapshot; NULL before its first scan */
};

static void check(int code, const char *what)
{
    if (code != 0) peer_die("lmdb: %s: %s", what, mdb_strerror(code));
}

static const char *store_version(void)
{
    static char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", MDB_VERSION_MAJOR, MDB_VERSION_MINOR,
             MDB_VERSION_PATCH);
    return text;
}

static void *store_open(const struct peer_config *config)
{
    struct store *store = peer_alloc(sizeof *store);
    unsigned flags = MDB_NOTLS | (config->is_durable ? 0u : MDB_NOSYNC | MDB_WRITEMAP);
    check(mdb_env_create(&store->env), "create");
    check(mdb_env_set_mapsize(store->env, MAP_BYTES), "mapsize");
    check(mdb_env_set_maxreaders(store->env, READERS), "maxreaders");
    check(mdb_env_open(store->env, config->dir, flags, 0600), "open");
    MDB_txn *txn;
    check(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn), "begin");
    check(mdb_dbi_open(txn, NULL, 0, &store->dbi), "dbi");
    check(mdb_txn_commit(txn), "commit");
    return store;
}

static void store_close(void *db)
{
    struct store *store = db;
    mdb_env_close(store->env);
    free(store);
}

static void store_settle(void *db)
{
    struct store *store = db;
    check(mdb_env_sync(store->env, 1), "sync");
}

static uint64_t store_tree_bytes(void *db)
{
    struct store *store = db;
    MDB_stat stat;
    check(mdb_env_stat(store->env, &stat), "stat");
    return (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) * stat.ms_psize;
}

static void *session_open(void *db)
{
    struct session *s = peer_alloc(sizeof *s);
    s->store = db;
    return s;
}

static void snapshot_open(void *session)
{
    struct session *s = session;
    check(mdb_txn_begin(s->store->env, NULL, MDB_RDONLY, &s->read), "begin");
}

static void snapshot_close(void *session)
{
    struct session *s = session;
    if (s->cursor != NULL) mdb_cursor_close(s->cursor);
    s->cursor = NULL;
    mdb_txn_abort(s->read);
    s->read = NULL;
}

static void session_close(void *session)
{
    struct session *s = session;
    if (s->read != NULL) snapshot_close(s);
    free(s);
}

static void snapshot_park(void *session)
{
    struct session *s = session;
    mdb_txn_reset(s->read);
}

static void snapshot_renew(void *session)
{
    struct session *s = session;
    check(mdb_txn_renew(s->read), "renew");
}

static MDB_val key_of(const uint8_t *key)
{
    return (MDB_val){PEER_KEY_BYTES, (void *)(uintptr_t)key};
}

static bool store_get(void *session, const uint8_t *key, struct peer_value *value_out)
{
    struct session *s = session;
    MDB_val k = key_of(key), v;
    int code = mdb_get(s->read, s->store->dbi, &k, &v);
    if (code == MDB_NOTFOUND) return false;
    check(code, "get");
    *value_out = (struct peer_value){v.mv_data, v.mv_size};
    return true;
}

static bool get_fresh(void *session, const uint8_t *key, struct peer_value *value_out)
{
    struct session *s = session;
    if (s->read == NULL) snapshot_open(s);
    snapshot_park(s);
    snapshot_renew(s);
    return store_get(s, key, value_out);
}

static uint64_t store_scan(void *session, const struct peer_range *range, uint64_t *sum)
{
    struct session *s = session;
    if (s->cursor == NULL) check(mdb_cursor_open(s->read, s->store->dbi, &s->cursor), "cursor");
    MDB_val k = {0, NULL}, v;
    MDB_cursor_op first = range->is_backward ? MDB_LAST : MDB_FIRST;
    MDB_cursor_op next = range->is_backward ? MDB_PREV : MDB_NEXT;
    if (range->from != NULL) {
        k = key_of(range->from);
        first = MDB_SET_RANGE;
    }
    uint64_t seen = 0;
    int code = mdb_cursor_get(s->cursor, &k, &v, first);
    while (code == 0) {
        *sum += peer_word(k.mv_data) + peer_word(v.mv_data);
        if (++seen == range->limit) return seen;
        code = mdb_cursor_get(s->cursor, &k, &v, next);
    }
    if (code != MDB_NOTFOUND) check(code, "cursor");
    return seen;
}

static void write_begin(void *session)
{
    struct session *s = session;
    check(mdb_txn_begin(s->store->env, NULL, 0, &s->write), "begin");
}

static void store_put(void *session, const uint8_t *key, const void *value, size_t size)
{
    struct session *s = session;
    MDB_val k = key_of(key), v = {size, (void *)(uintptr_t)value};
    check(mdb_put(s->write, s->store->dbi, &k, &v, 0), "put");
}

static void store_del(void *session, const uint8_t *key)
{
    struct session *s = session;
    MDB_val k = key_of(key);
    check(mdb_del(s->write, s->store->dbi, &k, NULL), "del");
}

static void write_commit(void *session)
{
    struct session *s = session;
    check(mdb_txn_commit(s->write), "commit");
    s->write = NULL;
}

const struct peer peer_store = {
    .name = "lmdb",
    .title = "LMDB",
    .settings = "map of 16 GiB, MDB_NOTLS; not durable: MDB_NOSYNC | MDB_WRITEMAP; durable: no "
                "further flags",
    .reason =
        "NOSYNC with WRITEMAP is its fastest way to write. For durable commits its default is "
        "three times as fast as WRITEMAP. It has no checksums and no log, so it does less "
        "work for a page.",
    .version = store_version,
    .open = store_open,
    .close = store_close,
    .settle = store_settle,
    .tree_bytes = store_tree_bytes,
    .session_open = session_open,
    .session_close = session_close,
    .snapshot_open = snapshot_open,
    .snapshot_close = snapshot_close,
    .snapshot_park = snapshot_park,
    .snapshot_renew = snapshot_renew,
    .get = store_get,
    .get_fresh = get_fresh,
    .scan = store_scan,
    .write_begin = write_begin,
    .put = store_put,
    .del = store_del,
    .write_commit = write_commit,
};
