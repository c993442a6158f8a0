/* sqlite.c: SQLite, one table WITHOUT ROWID, in WAL mode. A session is a connection with its
 * statements prepared once.
 *
 * Writers take a mutex of this file before BEGIN IMMEDIATE: SQLite's own
 * waiting is a sleep and a retry, which starves threads; a mutex is what a program would use.
 *
 * A statement left on a row keeps its connection's snapshot, and the row's bytes alive with it: a
 * get stays on its row until the next call of the session, which resets it. */
#include <sqlite3.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "peers/peer.h"

#define BUSY_MS 60000

enum statement {
    SQL_BEGIN,
    SQL_BEGIN_WRITE,
    SQL_COMMIT,
    SQL_ANY,
    SQL_GET,
    SQL_PUT,
    SQL_DEL,
    SQL_FORWARD,
    SQL_BACKWARD,
    SQL_SEEK,
    SQL_COUNT
};

static const char *const SQL[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN",
    [SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ANY] = "SELECT 1 FROM kv LIMIT 1",
    [SQL_GET] = "SELECT v FROM kv WHERE k = ?1",
    [SQL_PUT] = "REPLACE INTO kv VALUES (?1, ?2)",
    [SQL_DEL] = "DELETE FROM kv WHERE k = ?1",
    [SQL_FORWARD] = "SELECT k, v FROM kv ORDER BY k LIMIT ?2",
    [SQL_BACKWARD] = "SELECT k, v FROM kv ORDER BY k DESC LIMIT ?2",
    [SQL_SEEK] = "SELECT k, v FROM kv WHERE k >= ?1 ORDER BY k LIMIT ?2",
};

struct store {
    char path[4096];
    bool is_durable;
    pthread_mutex_t writer;
    struct session *first; /* keeps the WAL open, and makes the table */
};

struct session {
    struct store *store;
    sqlite3 *connection;
    sqlite3_stmt *sql[SQL_COUNT];
};

static void check(const struct session *s, int code, const char *what)
{
    if (code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW) return;
    peer_die("sqlite: %s: %s (%d)", what, sqlite3_errmsg(s->connection), code);
}

static void run(struct session *s, const char *text)
{
    check(s, sqlite3_exec(s->connection, text, NULL, NULL, NULL), text);
}

/* Runs a statement that gives no rows, or whose row is of no interest. */
static void step(struct session *s, enum statement which)
{
    check(s, sqlite3_step(s->sql[which]), SQL[which]);
    check(s, sqlite3_reset(s->sql[which]), SQL[which]);
}

static void *session_open(void *db)
{
    struct store *store = db;
    struct session *s = peer_alloc(sizeof *s);
    s->store = store;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    check(s, sqlite3_open_v2(store->path, &s->connection, flags, NULL), "open");
    check(s, sqlite3_busy_timeout(s->connection, BUSY_MS), "busy_timeout");
    run(s, "PRAGMA journal_mode=WAL");
    run(s, "PRAGMA mmap_size=17179869184");
    run(s, "PRAGMA cache_size=-262144");
    run(s, "PRAGMA wal_autocheckpoint=4000");
    run(s, store->is_durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF");
    run(s, "CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID");
    for (int i = 0; i < SQL_COUNT; i++) {
        check(s,
              sqlite3_prepare_v3(s->connection, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &s->sql[i],
                                 NULL),
              SQL[i]);
    }
    return s;
}

static void session_close(void *session)
{
    struct session *s = session;
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(s->sql[i]);
    check(s, sqlite3_close(s->connection), "close");
    free(s);
}

static void *store_open(const struct peer_config *config)
{
    struct store *store = peer_alloc(sizeof *store);
    snprintf(store->path, sizeof store->path, "%s", peer_path(config->dir, "data.sqlite"));
    store->is_durable = config->is_durable;
    pthread_mutex_init(&store->writer, NULL);
    store->first = session_open(store);
    return store;
}

static void store_close(void *db)
{
    struct store *store = db;
    session_close(store->first);
    pthread_mutex_destroy(&store->writer);
    free(store);
}

static void store_settle(void *db)
{
    struct store *store = db;
    run(store->first, "PRAGMA wal_checkpoint(TRUNCATE)");
}

/* BEGIN alone takes no snapshot; the first read does. */
static void snapshot_open(void *session)
{
    step(session, SQL_BEGIN);
    step(session, SQL_ANY);
}

static void snapshot_close(void *session)
{
    struct session *s = session;
    sqlite3_reset(s->sql[SQL_GET]);
    step(s, SQL_COMMIT);
}

static void bind_key(struct session *s, enum statement which, const uint8_t *key)
{
    sqlite3_reset(s->sql[which]);
    check(s, sqlite3_bind_blob(s->sql[which], 1, key, (int)PEER_KEY_BYTES, SQLITE_STATIC), "bind");
}

static bool store_get(void *session, const uint8_t *key, struct peer_value *value_out)
{
    struct session *s = session;
    sqlite3_stmt *get = s->sql[SQL_GET];
    bind_key(s, SQL_GET, key);
    int code = sqlite3_step(get);
    if (code == SQLITE_DONE) return false;
    check(s, code, "get");
    const void *data = sqlite3_column_blob(get, 0);
    *value_out = (struct peer_value){data, (size_t)sqlite3_column_bytes(get, 0)};
    return true;
}

static uint64_t store_scan(void *session, const struct peer_range *range, uint64_t *sum)
{
    struct session *s = session;
    enum statement which = range->is_backward ? SQL_BACKWARD : SQL_FORWARD;
    if (range->from != NULL) {
        which = SQL_SEEK;
        bind_key(s, which, range->from);
    }
    sqlite3_stmt *rows = s->sql[which];
    check(s, sqlite3_bind_int64(rows, 2, (sqlite3_int64)range->limit), "bind");
    uint64_t seen = 0;
    int code;
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        *sum += peer_word(sqlite3_column_blob(rows, 0)) + peer_word(sqlite3_column_blob(rows, 1));
        seen++;
    }
    check(s, code, "scan");
    check(s, sqlite3_reset(rows), "scan");
    return seen;
}

static void write_begin(void *session)
{
    struct session *s = session;
    sqlite3_reset(s->sql[SQL_GET]); /* or its row would hold an older snapshot */
    pthread_mutex_lock(&s->store->writer);
    step(s, SQL_BEGIN_WRITE);
}

static void store_put(void *session, const uint8_t *key, const void *value, size_t size)
{
    struct session *s = session;
    bind_key(s, SQL_PUT, key);
    check(s, sqlite3_bind_blob(s->sql[SQL_PUT], 2, value, (int)size, SQLITE_STATIC), "bind");
    step(s, SQL_PUT);
}

static void store_del(void *session, const uint8_t *key)
{
    struct session *s = session;
    bind_key(s, SQL_DEL, key);
    step(s, SQL_DEL);
}

static void write_commit(void *session)
{
    struct session *s = session;
    step(s, SQL_COMMIT);
    pthread_mutex_unlock(&s->store->writer);
}

const struct peer peer_store = {
    .name = "sqlite",
    .title = "SQLite",
    .settings = "table WITHOUT ROWID, WAL, mmap_size 16 GiB, cache 256 MiB, wal_autocheckpoint "
                "4000 pages, a connection per thread, statements prepared once; not durable: "
                "synchronous=OFF; durable: synchronous=FULL",
    .reason = "WITHOUT ROWID makes the table one tree. The mapping and the cache hold all data. "
              "4000 pages are 16 MiB, the checkpoint interval of NorthstarDB. OFF is its fastest; "
              "a crash of the process loses nothing with it. It has no page checksums.",
    .version = sqlite3_libversion,
    .open = store_open,
    .close = store_close,
    .settle = store_settle,
    .session_open = session_open,
    .session_close = session_close,
    .snapshot_open = snapshot_open,
    .snapshot_close = snapshot_close,
    .get = store_get,
    .get_fresh = store_get, /* a SELECT outside of BEGIN is a transaction of its own */
    .scan = store_scan,
    .write_begin = write_begin,
    .put = store_put,
    .del = store_del,
    .write_commit = write_commit,
};
