/* wiredtiger.c: WiredTiger, one B-tree with the log on. A session is a WT_SESSION with two cursors:
 * one for gets and scans, one for writes.
 *
 * Cursors are kept and not reset between gets of a snapshot, the fastest way its manual knows: the
 * next search starts from the page that is pinned already. Outside of a transaction a cursor is
 * reset before each get, or it would go on reading its old snapshot. */
#include <wiredtiger.h>

#include <stdio.h>
#include <stdlib.h>

#include "peers/peer.h"

#define TABLE "table:kv"
#define CONFIG                                                                                     \
    "create,cache_size=4GB,session_max=200,checkpoint=(log_size=16MB),"                            \
    "log=(enabled,file_max=32MB)"
#define DURABLE CONFIG ",transaction_sync=(enabled,method=fsync)"
#define SNAPSHOT "isolation=snapshot"

struct session {
    WT_CONNECTION *connection;
    WT_SESSION *session;
    WT_CURSOR *read, *write;
};

static void check(int code, const char *what)
{
    if (code != 0) peer_die("wiredtiger: %s: %s", what, wiredtiger_strerror(code));
}

static const char *store_version(void)
{
    static char text[32];
    int major, minor, patch;
    wiredtiger_version(&major, &minor, &patch);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    return text;
}

static void *store_open(const struct peer_config *config)
{
    WT_CONNECTION *connection;
    check(wiredtiger_open(config->dir, NULL, config->is_durable ? DURABLE : CONFIG, &connection),
          "open");
    WT_SESSION *session;
    check(connection->open_session(connection, NULL, NULL, &session), "session");
    check(session->create(session, TABLE, "key_format=u,value_format=u"), "create");
    check(session->close(session, NULL), "session");
    return connection;
}

static void store_close(void *db)
{
    WT_CONNECTION *connection = db;
    check(connection->close(connection, NULL), "close");
}

static void store_settle(void *db)
{
    WT_CONNECTION *connection = db;
    WT_SESSION *session;
    check(connection->open_session(connection, NULL, NULL, &session), "session");
    check(session->checkpoint(session, NULL), "checkpoint");
    check(session->close(session, NULL), "session");
}

static void *session_open(void *db)
{
    struct session *s = peer_alloc(sizeof *s);
    s->connection = db;
    check(s->connection->open_session(s->connection, NULL, SNAPSHOT, &s->session), "session");
    check(s->session->open_cursor(s->session, TABLE, NULL, NULL, &s->read), "cursor");
    check(s->session->open_cursor(s->session, TABLE, NULL, "overwrite", &s->write), "cursor");
    return s;
}

static void session_close(void *session)
{
    struct session *s = session;
    check(s->session->close(s->session, NULL), "session");
    free(s);
}

static void snapshot_open(void *session)
{
    struct session *s = session;
    check(s->session->begin_transaction(s->session, NULL), "begin");
}

static void snapshot_close(void *session)
{
    struct session *s = session;
    check(s->session->rollback_transaction(s->session, NULL), "rollback");
}

static void set_key(WT_CURSOR *cursor, const uint8_t *key)
{
    WT_ITEM item = {.data = key, .size = PEER_KEY_BYTES};
    cursor->set_key(cursor, &item);
}

static bool store_get(void *session, const uint8_t *key, struct peer_value *value_out)
{
    struct session *s = session;
    set_key(s->read, key);
    int code = s->read->search(s->read);
    if (code == WT_NOTFOUND) return false;
    check(code, "search");
    WT_ITEM value;
    check(s->read->get_value(s->read, &value), "get_value");
    *value_out = (struct peer_value){value.data, value.size};
    return true;
}

static bool get_fresh(void *session, const uint8_t *key, struct peer_value *value_out)
{
    struct session *s = session;
    check(s->read->reset(s->read), "reset");
    return store_get(s, key, value_out);
}

static int move_to_first(WT_CURSOR *cursor, const struct peer_range *range)
{
    if (range->from == NULL) {
        check(cursor->reset(cursor), "reset");
        return range->is_backward ? cursor->prev(cursor) : cursor->next(cursor);
    }
    int side = 0;
    set_key(cursor, range->from);
    int code = cursor->search_near(cursor, &side);
    return code == 0 && side < 0 ? cursor->next(cursor) : code;
}

static uint64_t store_scan(void *session, const struct peer_range *range, uint64_t *sum)
{
    struct session *s = session;
    WT_ITEM key, value;
    uint64_t seen = 0;
    int code = move_to_first(s->read, range);
    while (code == 0) {
        check(s->read->get_key(s->read, &key), "get_key");
        check(s->read->get_value(s->read, &value), "get_value");
        *sum += peer_word(key.data) + peer_word(value.data);
        if (++seen == range->limit) return seen;
        code = range->is_backward ? s->read->prev(s->read) : s->read->next(s->read);
    }
    if (code != WT_NOTFOUND) check(code, "scan");
    return seen;
}

static void write_begin(void *session)
{
    struct session *s = session;
    check(s->session->begin_transaction(s->session, NULL), "begin");
}

static void store_put(void *session, const uint8_t *key, const void *value, size_t size)
{
    struct session *s = session;
    WT_ITEM item = {.data = value, .size = size};
    set_key(s->write, key);
    s->write->set_value(s->write, &item);
    check(s->write->insert(s->write), "insert");
}

static void store_del(void *session, const uint8_t *key)
{
    struct session *s = session;
    set_key(s->write, key);
    check(s->write->remove(s->write), "remove");
}

static void write_commit(void *session)
{
    struct session *s = session;
    check(s->session->commit_transaction(s->session, NULL), "commit");
}

const struct peer peer_store = {
    .name = "wiredtiger",
    .title = "WiredTiger",
    .settings = "cache 4 GB, log on, log files of 32 MB, checkpoint each 16 MB of log, snapshot "
                "isolation, cursors "
                "kept; not durable: no transaction_sync; durable: transaction_sync=(enabled,"
                "method=fsync)",
    .reason = "The cache holds all data. 16 MB is the checkpoint interval of NorthstarDB; "
              "checkpoints by the clock were no faster. Log files of 100 MB, its default, were no "
              "faster either and take more space. Without "
              "transaction_sync it buffers its log in the process: faster, but a crash of the "
              "process alone loses commits, which the others do not.",
    .version = store_version,
    .open = store_open,
    .close = store_close,
    .settle = store_settle,
    .session_open = session_open,
    .session_close = session_close,
    .snapshot_open = snapshot_open,
    .snapshot_close = snapshot_close,
    .get = store_get,
    .get_fresh = get_fresh,
    .scan = store_scan,
    .write_begin = write_begin,
    .put = store_put,
    .del = store_del,
    .write_commit = write_commit,
};
