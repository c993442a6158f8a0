/* prove.c: the whole file is checked, and its log makes an equal database. */
#include "quickstart.h"

#include <stdio.h>

static void note_finding(void *ctx, const ns_finding *finding)
{
    struct qs *qs = ctx;
    if (finding->status == NS_OK) {
        snprintf(qs->figures, sizeof qs->figures, "%s", finding->text);
    } else {
        qs->verify_findings++;
        qs_fail(NS_OK, "verify: page %lld: %s", (long long)finding->page, finding->text);
    }
}

static bool verify_file(struct qs *qs, const char *path)
{
    ns_options options = {.flags = NS_MUST_EXIST};
    ns_status status = ns_db_verify(path, &options, note_finding, qs);
    if (status != NS_OK) return qs_fail(status, "verify %s", path);
    return qs->verify_findings == 0;
}

bool qs_verify(struct qs *qs)
{
    uint64_t begin_ns = qs_now_ns();
    if (!verify_file(qs, qs->db_path)) return false;
    qs->verify_ns = qs_now_ns() - begin_ns;
    return true;
}

static ns_status apply_all(struct qs *qs, ns_db *source, ns_db *copy)
{
    ns_log *log = NULL;
    struct ns_commit commit;
    ns_status status = ns_log_open(source, 0, &log);
    while (status == NS_OK && (status = ns_log_next(log, &commit)) == NS_OK) {
        qs->replayed_txns++;
        qs->replayed_bytes += commit.bytes.size;
        status = ns_log_apply(copy, commit.bytes);
    }
    ns_log_close(log);
    return status == NS_NOTFOUND ? NS_OK : status;
}

static ns_status hash(ns_db *db, uint8_t out[16])
{
    ns_txn *txn = NULL;
    ns_status status = ns_txn_begin(db, NS_READ, &txn);
    if (status == NS_OK) status = ns_txn_state_hash(txn, out);
    ns_txn_abort(txn);
    return status;
}

static bool replay_into(struct qs *qs, ns_db *source, ns_db *copy)
{
    uint64_t begin_ns = qs_now_ns();
    ns_status status = apply_all(qs, source, copy);
    qs->replay_ns = qs_now_ns() - begin_ns;
    if (status != NS_OK) return qs_fail(status, "replay");
    if (qs->replayed_txns != qs->file_count) {
        return qs_fail(NS_OK, "the log has %llu transactions instead of %zu",
                       (unsigned long long)qs->replayed_txns, qs->file_count);
    }
    status = hash(source, qs->hash);
    if (status == NS_OK) status = hash(copy, qs->copy_hash);
    if (status != NS_OK) return qs_fail(status, "state hash");
    return memcmp(qs->hash, qs->copy_hash, sizeof qs->hash) == 0 ||
           qs_fail(NS_OK, "the replayed database has another state hash");
}

bool qs_replay(struct qs *qs)
{
    ns_db *source = NULL, *copy = NULL;
    ns_options read_only = {.flags = NS_MUST_EXIST | NS_RDONLY};
    ns_options created = {.flags = NS_MUST_CREATE, .sync = NS_SYNC_OFF};
    ns_status status = ns_db_open(qs->db_path, &read_only, &source);
    if (status == NS_OK) status = ns_db_open(qs->copy_path, &created, &copy);
    bool is_good = status == NS_OK ? replay_into(qs, source, copy) : qs_fail(status, "open");
    if (copy != NULL) {
        status = ns_db_close(copy);
        if (status != NS_OK) is_good = qs_fail(status, "close");
    }
    if (source != NULL) {
        status = ns_db_close(source);
        if (status != NS_OK) is_good = qs_fail(status, "close");
    }
    char figures[sizeof qs->figures];
    memcpy(figures, qs->figures, sizeof figures);
    if (is_good) is_good = verify_file(qs, qs->copy_path);
    memcpy(qs->figures, figures, sizeof figures);
    return is_good;
}
