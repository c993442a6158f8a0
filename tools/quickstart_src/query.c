/* query.c: questions to the finished database. */
#include "quickstart.h"

#include <stdio.h>

#define SNAPSHOT_SAMPLES 2000u
#define SNAPSHOTS_PER_SAMPLE 50u
#define SCAN_ROUNDS 20u

/* Random paths, each looked up and timed alone. */
static ns_status time_gets(struct qs *qs, ns_txn *txn, ns_keyspace path_keyspace)
{
    uint64_t count = qs->is_quick ? 50000 : 200000;
    ns_status status = NS_OK;
    uint64_t last_ns = qs_now_ns(), begin_ns = last_ns;
    for (uint64_t i = 0; status == NS_OK && i < count; i++) {
        ns_slice id;
        const char *path = qs->files[qs_random(qs, qs->file_count)].path;
        last_ns = qs_now_ns();
        status = ns_txn_get(txn, path_keyspace, ns_str(path), &id);
        qs_times_add(&qs->gets, qs_now_ns() - last_ns);
    }
    qs->get_span_ns = qs_now_ns() - begin_ns;
    return status;
}

/* Begin and end, in samples of many, since one is shorter than reading the clock. */
static ns_status time_snapshots(struct qs *qs, ns_db *db)
{
    ns_status status = NS_OK;
    for (uint32_t i = 0; status == NS_OK && i < SNAPSHOT_SAMPLES; i++) {
        uint64_t begin_ns = qs_now_ns();
        for (uint32_t k = 0; status == NS_OK && k < SNAPSHOTS_PER_SAMPLE; k++) {
            ns_txn *txn = NULL;
            status = ns_txn_begin(db, NS_READ, &txn);
            ns_txn_abort(txn);
        }
        qs_times_add(&qs->snapshots, (qs_now_ns() - begin_ns) / SNAPSHOTS_PER_SAMPLE);
    }
    return status;
}

static ns_status scan_prefix(struct qs *qs, ns_cursor *cursor, ns_slice prefix, uint64_t *count_out)
{
    *count_out = 0;
    ns_status status = ns_cursor_prefix(cursor, prefix);
    while (status == NS_OK && (status = ns_cursor_next(cursor)) == NS_OK) {
        ns_slice key, value;
        status = ns_cursor_get(cursor, &key, &value);
        if (value.size != QS_ID_BYTES) return NS_INTERNAL;
        ++*count_out;
    }
    qs->scanned_entries += *count_out;
    return status == NS_NOTFOUND ? NS_OK : status;
}

/* How many files from `first` on share its first directory. *prefix_bytes_out: "directory/". */
static size_t files_with_prefix(const struct qs *qs, size_t first, size_t *prefix_bytes_out)
{
    const char *path = qs->files[first].path;
    const char *slash = strchr(path, '/');
    *prefix_bytes_out = slash != NULL ? (size_t)(slash - path) + 1 : strlen(path) + 1;
    size_t count = 1;
    while (slash != NULL && first + count < qs->file_count &&
           strncmp(qs->files[first + count].path, path, *prefix_bytes_out) == 0) {
        count++;
    }
    return slash != NULL ? count : 0;
}

/* Every top directory as a prefix; the number of entries must be right. */
static bool scan_directories(struct qs *qs, ns_cursor *cursor)
{
    uint64_t begin_ns = qs_now_ns();
    for (uint32_t round = 0; round < SCAN_ROUNDS; round++) {
        for (size_t first = 0; first < qs->file_count;) {
            size_t prefix_bytes = 0;
            uint64_t count = 0;
            size_t expected = files_with_prefix(qs, first, &prefix_bytes);
            if (expected == 0) {
                first++;
                continue;
            }
            ns_slice prefix = ns_bytes(qs->files[first].path, prefix_bytes);
            ns_status status = scan_prefix(qs, cursor, prefix, &count);
            if (status != NS_OK) return qs_fail(status, "scan");
            if (count != expected)
                return qs_fail(NS_OK, "a scan gave %llu entries instead of %zu",
                               (unsigned long long)count, expected);
            qs->prefixes++;
            first += expected;
        }
    }
    qs->scan_ns = qs_now_ns() - begin_ns;
    return true;
}

/* Reads every byte of every document. */
static bool read_content(struct qs *qs, ns_cursor *cursor)
{
    uint64_t begin_ns = qs_now_ns(), sum = 0;
    ns_status status;
    while ((status = ns_cursor_next(cursor)) == NS_OK) {
        ns_slice value = ns_cursor_value(cursor);
        const uint8_t *bytes = value.data;
        for (size_t i = 0; i < value.size; i++)
            sum += bytes[i];
        qs->read_bytes += value.size;
    }
    qs->read_ns = qs_now_ns() - begin_ns;
    if (status != NS_NOTFOUND) return qs_fail(status, "scan content");
    return sum > 0 || qs_fail(NS_OK, "the content is empty");
}

static bool query_in(struct qs *qs, ns_db *db, ns_txn *txn)
{
    ns_keyspace keyspaces[3];
    ns_cursor *paths = NULL, *content = NULL;
    ns_status status = qs_keyspaces(txn, keyspaces);
    if (status == NS_OK) status = time_gets(qs, txn, keyspaces[0]);
    if (status == NS_OK) status = time_snapshots(qs, db);
    if (status == NS_OK) status = ns_cursor_open(txn, keyspaces[0], &paths);
    if (status == NS_OK) status = ns_cursor_open(txn, keyspaces[1], &content);
    bool is_good = status == NS_OK ? scan_directories(qs, paths) && read_content(qs, content)
                                   : qs_fail(status, "query");
    ns_cursor_close(paths);
    ns_cursor_close(content);
    return is_good;
}

bool qs_query(struct qs *qs)
{
    ns_db *db = NULL;
    ns_txn *txn = NULL;
    ns_options options = {.flags = NS_MUST_EXIST};
    ns_status status = ns_db_open(qs->db_path, &options, &db);
    if (status != NS_OK) return qs_fail(status, "open");
    status = ns_txn_begin(db, NS_READ, &txn);
    bool is_good = status == NS_OK ? query_in(qs, db, txn) : qs_fail(status, "begin");
    ns_txn_abort(txn);
    if (is_good) {
        status = ns_db_stats(db, &qs->stats, sizeof qs->stats);
        if (status != NS_OK) is_good = qs_fail(status, "stats");
    }
    status = ns_db_close(db);
    return is_good && (status == NS_OK || qs_fail(status, "close"));
}
