/* leveldb.c: LevelDB, through its C interface.
 *
 * A transaction of the workloads is a WriteBatch. A get gives a copy of the value, which is freed
 * at the session's next call: the C interface allocates it, as the C++ one fills a string. A read
 * outside of a snapshot names none, and LevelDB takes the newest state. There is no call for many
 * gets. */
#include <leveldb/c.h>

#include <stdio.h>
#include <stdlib.h>

#include "peers/peer.h"

#define CACHE_BYTES ((size_t)1 << 30)
#define WRITE_BUFFER_BYTES ((size_t)64 << 20)
#define BLOOM_BITS 10

struct store {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *bloom;
    leveldb_writeoptions_t *write;
};

struct session {
    struct store *store;
    leveldb_readoptions_t *read, *fresh;
    const leveldb_snapshot_t *snapshot;
    leveldb_iterator_t *cursor; /* of the snapshot; NULL before its first scan */
    leveldb_writebatch_t *batch;
    char *value; /* of the last get */
};

static void check(char *error, const char *what)
{
    if (error != NULL) peer_die("leveldb: %s: %s", what, error);
}

static const char *store_version(void)
{
    static char text[32];
    snprintf(text, sizeof text, "%d.%d", leveldb_major_version(), leveldb_minor_version());
    return text;
}

static void make_options(struct store *store)
{
    store->cache = leveldb_cache_create_lru(CACHE_BYTES);
    store->bloom = leveldb_filterpolicy_create_bloom(BLOOM_BITS);
    store->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(store->options, 1);
    leveldb_options_set_compression(store->options, leveldb_no_compression);
    leveldb_options_set_write_buffer_size(store->options, WRITE_BUFFER_BYTES);
    leveldb_options_set_cache(store->options, store->cache);
    leveldb_options_set_filter_policy(store->options, store->bloom);
}

static void *store_open(const struct peer_config *config)
{
    struct store *store = peer_alloc(sizeof *store);
    make_options(store);
    store->write = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(store->write, config->is_durable);
    char *error = NULL;
    store->db = leveldb_open(store->options, config->dir, &error);
    check(error, "open");
    return store;
}

static void store_close(void *db)
{
    struct store *store = db;
    leveldb_close(store->db);
    leveldb_options_destroy(store->options);
    leveldb_filterpolicy_destroy(store->bloom);
    leveldb_cache_destroy(store->cache);
    leveldb_writeoptions_destroy(store->write);
    free(store);
}

static void store_settle(void *db)
{
    struct store *store = db;
    leveldb_compact_range(store->db, NULL, 0, NULL, 0);
}

static void *session_open(void *db)
{
    struct session *s = peer_alloc(sizeof *s);
    s->store = db;
    s->read = leveldb_readoptions_create();
    s->fresh = leveldb_readoptions_create();
    s->batch = leveldb_writebatch_create();
    return s;
}

static void session_close(void *session)
{
    struct session *s = session;
    leveldb_free(s->value);
    leveldb_readoptions_destroy(s->read);
    leveldb_readoptions_destroy(s->fresh);
    leveldb_writebatch_destroy(s->batch);
    free(s);
}

static void snapshot_open(void *session)
{
    struct session *s = session;
    s->snapshot = leveldb_create_snapshot(s->store->db);
    leveldb_readoptions_set_snapshot(s->read, s->snapshot);
}

static void snapshot_close(void *session)
{
    struct session *s = session;
    if (s->cursor != NULL) leveldb_iter_destroy(s->cursor);
    s->cursor = NULL;
    leveldb_readoptions_set_snapshot(s->read, NULL);
    leveldb_release_snapshot(s->store->db, s->snapshot);
}

static bool get_with(struct session *s, const leveldb_readoptions_t *options, const uint8_t *key,
                     struct peer_value *value_out)
{
    char *error = NULL;
    leveldb_free(s->value);
    s->value = leveldb_get(s->store->db, options, (const char *)key, PEER_KEY_BYTES,
                           &value_out->size, &error);
    check(error, "get");
    value_out->data = s->value;
    return s->value != NULL;
}

static bool store_get(void *session, const uint8_t *key, struct peer_value *value_out)
{
    struct session *s = session;
    return get_with(s, s->read, key, value_out);
}

static bool get_fresh(void *session, const uint8_t *key, struct peer_value *value_out)
{
    struct session *s = session;
    return get_with(s, s->fresh, key, value_out);
}

static void move_to_first(leveldb_iterator_t *cursor, const struct peer_range *range)
{
    if (range->from != NULL) {
        leveldb_iter_seek(cursor, (const char *)range->from, PEER_KEY_BYTES);
    } else if (range->is_backward) {
        leveldb_iter_seek_to_last(cursor);
    } else {
        leveldb_iter_seek_to_first(cursor);
    }
}

static uint64_t store_scan(void *session, const struct peer_range *range, uint64_t *sum)
{
    struct session *s = session;
    if (s->cursor == NULL) s->cursor = leveldb_create_iterator(s->store->db, s->read);
    uint64_t seen = 0;
    size_t size;
    char *error = NULL;
    move_to_first(s->cursor, range);
    while (leveldb_iter_valid(s->cursor)) {
        *sum += peer_word(leveldb_iter_key(s->cursor, &size));
        *sum += peer_word(leveldb_iter_value(s->cursor, &size));
        if (++seen == range->limit) break;
        if (range->is_backward) {
            leveldb_iter_prev(s->cursor);
        } else {
            leveldb_iter_next(s->cursor);
        }
    }
    leveldb_iter_get_error(s->cursor, &error);
    check(error, "iterator");
    return seen;
}

static void write_begin(void *session)
{
    struct session *s = session;
    leveldb_writebatch_clear(s->batch);
}

static void store_put(void *session, const uint8_t *key, const void *value, size_t size)
{
    struct session *s = session;
    leveldb_writebatch_put(s->batch, (const char *)key, PEER_KEY_BYTES, value, size);
}

static void store_del(void *session, const uint8_t *key)
{
    struct session *s = session;
    leveldb_writebatch_delete(s->batch, (const char *)key, PEER_KEY_BYTES);
}

static void write_commit(void *session)
{
    struct session *s = session;
    char *error = NULL;
    leveldb_write(s->store->db, s->store->write, s->batch, &error);
    check(error, "write");
}

const struct peer peer_store = {
    .name = "leveldb",
    .title = "LevelDB",
    .settings = "no compression, LRU block cache 1 GiB, bloom filter of 10 bits, write buffer "
                "64 MiB (default 4 MiB); durable: sync=true",
    .reason =
        "Random values do not compress. The cache holds all data. The write buffer is the "
        "one that RocksDB has by default, and makes loads faster. verify_checksums stays off, "
        "its default: on, it would check a block at every get, not once.",
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
