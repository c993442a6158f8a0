/* document.c: one file, stored and compared. The keyspaces are those of `ns import`. */
#include "quickstart.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define PROBE_COMMITS 40u
#define PROBE_BYTES 16384u

ns_status qs_keyspaces(ns_txn *txn, ns_keyspace out[3])
{
    ns_status status = ns_txn_keyspace(txn, "path", &out[0]);
    if (status == NS_OK) status = ns_txn_keyspace(txn, "content", &out[1]);
    if (status == NS_OK) status = ns_txn_keyspace(txn, "size", &out[2]);
    return status;
}

static ns_slice make_id(size_t index, uint8_t out[QS_ID_BYTES])
{
    uint64_t id = (uint64_t)index + 1;
    for (uint32_t i = 0; i < QS_ID_BYTES; i++)
        out[i] = (uint8_t)(id >> (56u - 8u * i));
    return ns_bytes(out, QS_ID_BYTES);
}

static ns_status put_document(ns_txn *txn, const char *path, ns_slice id, ns_slice content)
{
    ns_keyspace keyspaces[3];
    char size[QS_TEXT_BYTES], note[1200];
    snprintf(size, sizeof size, "%zu", content.size);
    snprintf(note, sizeof note, "import %s", path);
    ns_status status = qs_keyspaces(txn, keyspaces);
    if (status == NS_OK) status = ns_txn_put(txn, keyspaces[0], ns_str(path), id);
    if (status == NS_OK) status = ns_txn_put(txn, keyspaces[1], id, content);
    if (status == NS_OK) status = ns_txn_put(txn, keyspaces[2], id, ns_str(size));
    if (status == NS_OK) status = ns_txn_note(txn, ns_str(note));
    return status;
}

bool qs_store(const struct qs *qs, ns_db *db, size_t index, ns_slice content, uint64_t *txn_id_out,
              uint64_t *commit_ns_out)
{
    ns_txn *txn = NULL;
    uint8_t id[QS_ID_BYTES];
    const char *path = qs->files[index].path;
    ns_status status = ns_txn_begin(db, NS_WRITE, &txn);
    if (status == NS_OK) status = put_document(txn, path, make_id(index, id), content);
    if (status != NS_OK) {
        ns_txn_abort(txn);
        return qs_fail(status, "store %s", path);
    }
    uint64_t begin_ns = qs_now_ns();
    status = ns_txn_commit(txn, txn_id_out);
    *commit_ns_out = qs_now_ns() - begin_ns;
    return status == NS_OK || qs_fail(status, "commit %s", path);
}

bool qs_check(const struct qs *qs, ns_txn *txn, size_t index, ns_slice content)
{
    ns_keyspace keyspaces[3];
    ns_slice id, stored;
    uint64_t txn_id = 0;
    uint8_t expected[QS_ID_BYTES];
    const char *path = qs->files[index].path;
    ns_status status = qs_keyspaces(txn, keyspaces);
    if (status == NS_OK) status = ns_txn_get(txn, keyspaces[0], ns_str(path), &id);
    if (status == NS_OK) status = ns_txn_get_version(txn, keyspaces[1], id, &stored, &txn_id);
    if (status != NS_OK) return qs_fail(status, "%s", path);
    make_id(index, expected);
    if (id.size != QS_ID_BYTES || memcmp(id.data, expected, QS_ID_BYTES) != 0) {
        return qs_fail(NS_OK, "%s has another document's id", path);
    }
    if (txn_id != (uint64_t)index + 1) {
        return qs_fail(NS_OK, "%s was written by transaction %llu", path,
                       (unsigned long long)txn_id);
    }
    if (stored.size != content.size ||
        (stored.size > 0 && memcmp(stored.data, content.data, stored.size) != 0)) {
        return qs_fail(NS_OK, "%s does not have the bytes of the source file", path);
    }
    return true;
}

static bool probe_commits(ns_db *db, uint64_t *commit_ns_out)
{
    static const uint8_t value[PROBE_BYTES];
    uint64_t begin_ns = qs_now_ns();
    for (uint32_t i = 0; i < PROBE_COMMITS; i++) {
        ns_txn *txn = NULL;
        ns_status status = ns_txn_begin(db, NS_WRITE, &txn);
        if (status == NS_OK) {
            status =
                ns_txn_put(txn, NS_MAIN, ns_bytes(&i, sizeof i), ns_bytes(value, sizeof value));
        }
        if (status == NS_OK) {
            status = ns_txn_commit(txn, NULL);
        } else {
            ns_txn_abort(txn);
        }
        if (status != NS_OK) return qs_fail(status, "probe");
    }
    *commit_ns_out = (qs_now_ns() - begin_ns) / PROBE_COMMITS;
    return true;
}

/* The least that a durable commit costs: one block written in place, synchronously. */
static bool probe_disk(struct qs *qs)
{
    static uint8_t block[4096];
    char path[QS_PATH_BYTES];
    snprintf(path, sizeof path, "%s/probe.bin", qs->work);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_good = fd >= 0;
    for (uint32_t i = 0; is_good && i < PROBE_COMMITS; i++) {
        is_good = write(fd, block, sizeof block) == (ssize_t)sizeof block;
    }
    if (is_good) is_good = fsync(fd) == 0;
    if (fd >= 0) close(fd);
    fd = open(path, O_RDWR | O_DSYNC | O_CLOEXEC);
    for (uint32_t i = 0; is_good && i < PROBE_COMMITS; i++) {
        uint64_t begin_ns = qs_now_ns();
        off_t offset = (off_t)(i * sizeof block);
        is_good = pwrite(fd, block, sizeof block, offset) == (ssize_t)sizeof block;
        qs_times_add(&qs->bare_writes, qs_now_ns() - begin_ns);
    }
    if (fd >= 0) close(fd);
    unlink(path);
    return is_good || qs_fail(NS_OK, "%s: %s", path, strerror(errno));
}

bool qs_probe(struct qs *qs, uint64_t *commit_ns_out)
{
    char path[QS_PATH_BYTES];
    ns_db *db = NULL;
    if (!probe_disk(qs)) return false;
    snprintf(path, sizeof path, "%s/probe.ns", qs->work);
    ns_status status = ns_db_open(path, NULL, &db);
    if (status != NS_OK) return qs_fail(status, "probe");
    bool is_done = probe_commits(db, commit_ns_out);
    status = ns_db_close(db);
    unlink(path);
    return is_done && (status == NS_OK || qs_fail(status, "close"));
}
