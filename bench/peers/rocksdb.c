/* rocksdb.c: RocksDB, through its C interface.
 *
 * A transaction of the workloads is a WriteBatch. Gets are pinned: they borrow the block in the
 * cache instead of copying the value, until the session's next call. A read outside of a snapshot
 * names none, and RocksDB takes the newest state. Many gets are one batched MultiGet. The arrays
 * for it are in the session, so that a call clears nothing. */
#include <rocksdb/c.h>

#include <stdlib.h>

#include "peers/peer.h"

#define CACHE_BYTES ((size_t)1 << 30)
#define WRITE_BUFFER_BYTES ((size_t)64 << 20)
#define BLOOM_BITS 10.0

struct store {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write;
    rocksdb_column_family_handle_t *family;
};

struct session {
    struct store *store;
    rocksdb_readoptions_t *read, *fresh;
    const rocksdb_snapshot_t *snapshot;
    rocksdb_iterator_t *cursor; /* of the snapshot; NULL before its first scan */
    rocksdb_writebatch_t *batch;
    rocksdb_pinnableslice_t *value; /* of the last get */
    const char *wanted[PEER_MANY];
    size_t sizes[PEER_MANY];
    rocksdb_pinnableslice_t *values[PEER_MANY];
    char *errors[PEER_MANY];
};

static void check(char *error, const char *what)
{
    if (error != NULL) peer_die("rocksdb: %s: %s", what, error);
}

static const char *store_version(void)
{
    return PEER_VERSION;
}

static void make_options(struct store *store)
{
    store->cache = rocksdb_cache_create_lru(CACHE_BYTES);
    store->table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(store->table, store->cache);
    rocksdb_block_based_options_set_filter_policy(store->table,
                                                  rocksdb_filterpolicy_create_bloom(BLOOM_BITS));
    rocksdb_block_based_options_set_data_block_index_type(
        store->table, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
    store->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(store->options, 1);
    rocksdb_options_set_compression(store->options, rocksdb_no_compression);
    rocksdb_options_set_write_buffer_size(store->options, WRITE_BUFFER_BYTES);
    rocksdb_options_set_block_based_table_factory(store->options, store->table);
}

static void *store_open(const struct peer_config *config)
{
    struct store *store = peer_alloc(sizeof *store);
    make_options(store);
    store->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(store->write, config->is_durable);
    const char *name = "default";
    const rocksdb_options_t *options = store->options;
    char *error = NULL;
    store->db = rocksdb_open_column_families(store->options, config->dir, 1, &name, &options,
                                             &store->family, &error);
    check(error, "open");
    return store;
}

static void store_close(void *db)
{
    struct store *store = db;
    rocksdb_column_family_handle_destroy(store->family);
    rocksdb_close(store->db);
    rocksdb_options_destroy(store->options);
    rocksdb_block_based_options_destroy(store->table);
    rocksdb_cache_destroy(store->cache);
    rocksdb_writeoptions_destroy(store->write);
    free(store);
}

static void store_settle(void *db)
{
    struct store *store = db;
    rocksdb_compact_range(store->db, NULL, 0, NULL, 0);
}

static void *session_open(void *db)
{
    struct session *s = peer_alloc(sizeof *s);
    s->store = db;
    s->read = rocksdb_readoptions_create();
    s->fresh = rocksdb_readoptions_create();
    s->batch = rocksdb_writebatch_create();
    return s;
}

static void session_close(void *session)
{
    struct session *s = session;
    rocksdb_pinnableslice_destroy(s->value);
    rocksdb_readoptions_destroy(s->read);
    rocksdb_readoptions_destroy(s->fresh);
    rocksdb_writebatch_destroy(s->batch);
    free(s);
}

static void snapshot_open(void *session)
{
    struct session *s = session;
    s->snapshot = rocksdb_create_snapshot(s->store->db);
    rocksdb_readoptions_set_snapshot(s->read, s->snapshot);
}

static void snapshot_close(void *session)
{
    struct session *s = session;
    if (s->cursor != NULL) rocksdb_iter_destroy(s->cursor);
    s->cursor = NULL;
    rocksdb_readoptions_set_snapshot(s->read, NULL);
    rocksdb_release_snapshot(s->store->db, s->snapshot);
}

static bool get_with(struct session *s, const rocksdb_readoptions_t *options, const uint8_t *key,
                     struct peer_value *value_out)
{
    char *error = NULL;
    rocksdb_pinnableslice_destroy(s->value);
    s->value = rocksdb_get_pinned(s->store->db, options, (const char *)key, PEER_KEY_BYTES, &error);
    check(error, "get");
    if (s->value == NULL) return false;
    value_out->data = rocksdb_pinnableslice_value(s->value, &value_out->size);
    return true;
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

static size_t get_many(void *session, size_t count, const uint8_t *const keys[], uint64_t *sum)
{
    struct session *s = session;
    for (size_t i = 0; i < count; i++) {
        s->wanted[i] = (const char *)keys[i];
        s->sizes[i] = PEER_KEY_BYTES;
    }
    rocksdb_batched_multi_get_cf(s->store->db, s->read, s->store->family, count, s->wanted,
                                 s->sizes, s->values, s->errors, false);
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        check(s->errors[i], "multi_get");
        if (s->values[i] == NULL) continue;
        size_t size;
        *sum += peer_word(rocksdb_pinnableslice_value(s->values[i], &size));
        rocksdb_pinnableslice_destroy(s->values[i]);
        found++;
    }
    return found;
}

static void move_to_first(rocksdb_iterator_t *cursor, const struct peer_range *range)
{
    if (range->from != NULL) {
        rocksdb_iter_seek(cursor, (const char *)range->from, PEER_KEY_BYTES);
    } else if (range->is_backward) {
        rocksdb_iter_seek_to_last(cursor);
    } else {
        rocksdb_iter_seek_to_first(cursor);
    }
}

static uint64_t store_scan(void *session, const struct peer_range *range, uint64_t *sum)
{
    struct session *s = session;
    if (s->cursor == NULL) s->cursor = rocksdb_create_iterator(s->store->db, s->read);
    uint64_t seen = 0;
    size_t size;
    char *error = NULL;
    move_to_first(s->cursor, range);
    while (rocksdb_iter_valid(s->cursor)) {
        *sum += peer_word(rocksdb_iter_key(s->cursor, &size));
        *sum += peer_word(rocksdb_iter_value(s->cursor, &size));
        if (++seen == range->limit) break;
        if (range->is_backward) {
            rocksdb_iter_prev(s->cursor);
        } else {
            rocksdb_iter_next(s->cursor);
        }
    }
    rocksdb_iter_get_error(s->cursor, &error);
    check(error, "iterator");
    return seen;
}

static void write_begin(void *session)
{
    struct session *s = session;
    rocksdb_writebatch_clear(s->batch);
}

static void store_put(void *session, const uint8_t *key, const void *value, size_t size)
{
    struct session *s = session;
    rocksdb_writebatch_put(s->batch, (const char *)key, PEER_KEY_BYTES, value, size);
}

static void store_del(void *session, const uint8_t *key)
{
    struct session *s = session;
    rocksdb_writebatch_delete(s->batch, (const char *)key, PEER_KEY_BYTES);
}

static void write_commit(void *session)
{
    struct session *s = session;
    char *error = NULL;
    rocksdb_write(s->store->db, s->store->write, s->batch, &error);
    check(error, "write");
}

const struct peer peer_store = {
    .name = "rocksdb",
    .title = "RocksDB",
    .settings = "no compression, LRU block cache 1 GiB, bloom filter of 10 bits, hash index in "
                "data blocks, write buffer 64 MiB (its default), pinned gets, batched MultiGet; "
                "durable: sync=true",
    .reason = "Random values do not compress. The cache holds all data; filter and hash index make "
              "its point reads fastest. Checksums are verified when a block enters the cache.",
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
    .get_many = get_many,
    .scan = store_scan,
    .write_begin = write_begin,
    .put = store_put,
    .del = store_del,
    .write_commit = write_commit,
};
