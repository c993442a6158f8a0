/* kv_vs_lmdb.c: the first numbers: NorthstarDB beside LMDB, same data, same run.
 *
 *     bench_kv_vs_lmdb [ENTRIES] [DIRECTORY]
 *
 * Keys are 16 random bytes, values 100 bytes, transactions of 1000 in random order. Loads do not
 * wait for the disk on either side (NS_SYNC_OFF; MDB_NOSYNC with MDB_WRITEMAP, LMDB's fastest),
 * durable commits do. NorthstarDB keeps no history here, as LMDB keeps none. Figures of one run on
 * a shared machine: compare the ratios. */
#include <lmdb.h>
#include <northstar.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEY_BYTES 16
#define VALUE_BYTES 100
#define BATCH 1000
#define DURABLE_COMMITS 2000
#define SNAPSHOTS 2000000

struct figures {
    double load, get, snapshot_ns, durable;
    double file_mb, tree_mb;
};

static uint64_t entries = 1000000;
static uint8_t (*keys)[KEY_BYTES];
static uint32_t *order;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t chance(void)
{
    static uint64_t state = 42;
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void ns_check(ns_status status, const char *what)
{
    if (status == NS_OK) return;
    fprintf(stderr, "%s: %s: %s\n", what, ns_status_name(status), ns_error_detail());
    exit(1);
}

static void mdb_check(int code, const char *what)
{
    if (code == 0) return;
    fprintf(stderr, "lmdb %s: %s\n", what, mdb_strerror(code));
    exit(1);
}

static void make_data(void)
{
    keys = malloc(entries * sizeof *keys);
    order = malloc(entries * sizeof *order);
    if (keys == NULL || order == NULL) exit(1);
    for (uint64_t i = 0; i < entries; i++) {
        uint64_t a = chance(), b = chance();
        memcpy(keys[i], &a, 8);
        memcpy(keys[i] + 8, &b, 8);
        order[i] = (uint32_t)i;
    }
    for (uint64_t i = entries - 1; i > 0; i--) {
        uint64_t j = chance() % (i + 1);
        uint32_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

/* ---- NorthstarDB ---- */

static void ns_load(ns_db *db, struct figures *out)
{
    uint8_t value[VALUE_BYTES];
    double began = now();
    for (uint64_t i = 0; i < entries;) {
        ns_txn *txn;
        ns_check(ns_txn_begin(db, NS_WRITE, &txn), "begin");
        for (uint64_t n = 0; n < BATCH && i < entries; n++, i++) {
            memset(value, (int)i, sizeof value);
            ns_check(ns_txn_put(txn, NS_MAIN, ns_bytes(keys[i], KEY_BYTES),
                                ns_bytes(value, sizeof value)),
                     "put");
        }
        ns_check(ns_txn_commit(txn, NULL), "commit");
    }
    out->load = (double)entries / (now() - began);
}

static void ns_read(ns_db *db, struct figures *out)
{
    ns_txn *txn;
    ns_slice value;
    ns_check(ns_txn_begin(db, NS_READ, &txn), "begin");
    for (int round = 0; round < 2; round++) {
        double began = now();
        for (uint64_t i = 0; i < entries; i++) {
            ns_check(ns_txn_get(txn, NS_MAIN, ns_bytes(keys[order[i]], KEY_BYTES), &value), "get");
        }
        out->get = (double)entries / (now() - began);
    }
    ns_txn_abort(txn);
    double began = now();
    for (int i = 0; i < SNAPSHOTS; i++) {
        ns_check(ns_txn_begin(db, NS_READ, &txn), "begin");
        ns_txn_abort(txn);
    }
    out->snapshot_ns = (now() - began) / SNAPSHOTS * 1e9;
}

static void ns_durable(const char *path, struct figures *out)
{
    ns_options options = {.history = NS_HISTORY_NONE};
    ns_db *db;
    ns_check(ns_db_open(path, &options, &db), "open");
    double began = now();
    for (int i = 0; i < DURABLE_COMMITS; i++) {
        ns_txn *txn;
        ns_check(ns_txn_begin(db, NS_WRITE, &txn), "begin");
        ns_check(ns_txn_put(txn, NS_MAIN, ns_bytes(keys[order[i]], KEY_BYTES), ns_str("durable")),
                 "put");
        ns_check(ns_txn_commit(txn, NULL), "commit");
    }
    out->durable = DURABLE_COMMITS / (now() - began);
    ns_check(ns_db_close(db), "close");
}

static void run_northstar(const char *directory, struct figures *out)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/bench.ns", directory);
    unlink(path);
    ns_options options = {.sync = NS_SYNC_OFF, .history = NS_HISTORY_NONE};
    ns_db *db;
    ns_check(ns_db_open(path, &options, &db), "open");
    ns_load(db, out);
    ns_check(ns_db_checkpoint(db), "checkpoint");
    ns_read(db, out);
    ns_db_stats_t stats;
    ns_check(ns_db_stats(db, &stats, sizeof stats), "stats");
    out->file_mb = (double)stats.file_bytes / 1e6;
    out->tree_mb = (double)stats.tree_bytes / 1e6;
    ns_check(ns_db_close(db), "close");
    ns_durable(path, out);
    unlink(path);
}

/* ---- LMDB ---- */

static MDB_env *lmdb_open(const char *path, unsigned flags)
{
    MDB_env *env;
    mdb_check(mdb_env_create(&env), "create");
    mdb_check(mdb_env_set_mapsize(env, (size_t)4 << 30), "mapsize");
    mdb_check(mdb_env_open(env, path, MDB_NOSUBDIR | flags, 0600), "open");
    return env;
}

static void lmdb_put(MDB_txn *txn, MDB_dbi dbi, const uint8_t *key, const void *value, size_t size)
{
    MDB_val k = {KEY_BYTES, (void *)(uintptr_t)key}, v = {size, (void *)(uintptr_t)value};
    mdb_check(mdb_put(txn, dbi, &k, &v, 0), "put");
}

static void lmdb_load(MDB_env *env, MDB_dbi *dbi, struct figures *out)
{
    uint8_t value[VALUE_BYTES];
    double began = now();
    for (uint64_t i = 0; i < entries;) {
        MDB_txn *txn;
        mdb_check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
        if (i == 0) mdb_check(mdb_dbi_open(txn, NULL, 0, dbi), "dbi");
        for (uint64_t n = 0; n < BATCH && i < entries; n++, i++) {
            memset(value, (int)i, sizeof value);
            lmdb_put(txn, *dbi, keys[i], value, sizeof value);
        }
        mdb_check(mdb_txn_commit(txn), "commit");
    }
    out->load = (double)entries / (now() - began);
}

static void lmdb_read(MDB_env *env, MDB_dbi dbi, struct figures *out)
{
    MDB_txn *txn;
    mdb_check(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "begin");
    for (int round = 0; round < 2; round++) {
        double began = now();
        for (uint64_t i = 0; i < entries; i++) {
            MDB_val k = {KEY_BYTES, keys[order[i]]}, v;
            mdb_check(mdb_get(txn, dbi, &k, &v), "get");
        }
        out->get = (double)entries / (now() - began);
    }
    double began = now();
    for (int i = 0; i < SNAPSHOTS; i++) {
        mdb_txn_reset(txn);
        mdb_check(mdb_txn_renew(txn), "renew");
    }
    out->snapshot_ns = (now() - began) / SNAPSHOTS * 1e9;
    mdb_txn_abort(txn);
}

static void lmdb_durable(const char *path, struct figures *out)
{
    MDB_env *env = lmdb_open(path, 0);
    MDB_dbi dbi;
    double began = 0;
    for (int i = -1; i < DURABLE_COMMITS; i++) {
        if (i == 0) began = now();
        MDB_txn *txn;
        mdb_check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
        if (i < 0) mdb_check(mdb_dbi_open(txn, NULL, 0, &dbi), "dbi");
        lmdb_put(txn, dbi, keys[order[i < 0 ? 0 : i]], "durable", 7);
        mdb_check(mdb_txn_commit(txn), "commit");
    }
    out->durable = DURABLE_COMMITS / (now() - began);
    mdb_env_close(env);
}

static void run_lmdb(const char *directory, struct figures *out)
{
    char path[4096], lock[4200];
    snprintf(path, sizeof path, "%s/bench.mdb", directory);
    snprintf(lock, sizeof lock, "%s-lock", path);
    unlink(path);
    MDB_env *env = lmdb_open(path, MDB_NOSYNC | MDB_WRITEMAP);
    MDB_dbi dbi;
    lmdb_load(env, &dbi, out);
    lmdb_read(env, dbi, out);
    MDB_envinfo info;
    MDB_stat stat_;
    mdb_check(mdb_env_info(env, &info), "info");
    mdb_check(mdb_env_stat(env, &stat_), "stat");
    out->file_mb = (double)(info.me_last_pgno + 1) * stat_.ms_psize / 1e6;
    out->tree_mb = (double)(stat_.ms_branch_pages + stat_.ms_leaf_pages) * stat_.ms_psize / 1e6;
    mdb_env_sync(env, 1);
    mdb_env_close(env);
    lmdb_durable(path, out);
    unlink(path);
    unlink(lock);
}

/* ---- report ---- */

static void row(const char *what, double northstar, double lmdb, bool is_more_better)
{
    double ratio = is_more_better ? northstar / lmdb : lmdb / northstar;
    printf("%-44s %14.1f %14.1f %9.2fx\n", what, northstar, lmdb, ratio);
}

int main(int argc, char **argv)
{
    if (argc > 1) entries = strtoull(argv[1], NULL, 10);
    const char *directory = argc > 2 ? argv[2] : ".";
    if (entries < DURABLE_COMMITS || entries > UINT32_MAX) {
        fprintf(stderr, "usage: %s [ENTRIES >= %d] [DIRECTORY]\n", argv[0], DURABLE_COMMITS);
        return 2;
    }
    make_data();
    double data_mb = (double)entries * (KEY_BYTES + VALUE_BYTES) / 1e6;
    struct figures northstar = {0}, lmdb = {0};
    run_lmdb(directory, &lmdb);
    run_northstar(directory, &northstar);
    printf("%llu entries of %d + %d bytes (%.1f MB)\n", (unsigned long long)entries, KEY_BYTES,
           VALUE_BYTES, data_mb);
    printf("%-44s %14s %14s %10s\n", "", "NorthstarDB", "LMDB", "better by");
    row("random load, transactions of 1000, puts/s", northstar.load, lmdb.load, true);
    row("point get, one snapshot, gets/s", northstar.get, lmdb.get, true);
    row("snapshot begin + end, ns", northstar.snapshot_ns, lmdb.snapshot_ns, false);
    row("durable one-put commits/s", northstar.durable, lmdb.durable, true);
    row("tree / data", northstar.tree_mb / data_mb, lmdb.tree_mb / data_mb, false);
    row("file / data", northstar.file_mb / data_mb, lmdb.file_mb / data_mb, false);
    free(keys);
    free(order);
    return 0;
}
