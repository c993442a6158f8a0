/* crash.c: the import in a child process, its death, and the ledger.
 *
 * The ledger is a count: files are imported in order, and transaction n stores file n - 1, so "n
 * acknowledged" names each one. The child writes whole messages (shorter than PIPE_BUF, so never
 * half of one), and a message that was written is read even when the child is dead. Its order per
 * file:
 *
 *   1 INTENT n     before the transaction begins
 *   2 commit
 *   3 ACK n        after commit returned NS_OK
 *
 * So after the kill: transactions 1 .. acked must be there, acked + 1 may be, acked + 2 cannot. */
#include "quickstart.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum kind { INTENT = 1, ACK = 2 };

struct message {
    uint64_t kind;
    uint64_t index;
    uint64_t txn_id;    /* ACK */
    uint64_t commit_ns; /* ACK */
};

/* Everything is kept in the log, so that the replay at the end can begin with transaction 1. */
static ns_status open_database(const struct qs *qs, uint32_t flags, ns_db **db_out)
{
    ns_options options = {.history = NS_HISTORY_ALL, .flags = flags};
    return ns_db_open(qs->db_path, &options, db_out);
}

/* ---- the child ---- */

static bool tell(int fd, const struct message *message)
{
    return write(fd, message, sizeof *message) == (ssize_t)sizeof *message;
}

static bool import_one(const struct qs *qs, ns_db *db, size_t index, ns_slice content, int fd)
{
    struct message message = {.kind = INTENT, .index = index};
    if (!tell(fd, &message)) return false;
    if (!qs_store(qs, db, index, content, &message.txn_id, &message.commit_ns)) return false;
    message.kind = ACK;
    return tell(fd, &message);
}

static void child(const struct qs *qs, int fd)
{
    ns_db *db = NULL;
    uint8_t *data = NULL;
    size_t capacity = 0, size = 0;
    ns_status status = open_database(qs, NS_MUST_CREATE, &db);
    bool is_good = status == NS_OK || qs_fail(status, "create");
    for (size_t i = 0; is_good && i < qs->file_count; i++) {
        is_good = qs_read(qs, i, &data, &capacity, &size) &&
                  import_one(qs, db, i, ns_bytes(data, size), fd);
    }
    _exit(is_good ? 0 : 1);
}

/* ---- the parent ---- */

/* One message. False at the end. */
static bool listen_one(int fd, struct message *message)
{
    size_t have = 0;
    while (have < sizeof *message) {
        ssize_t got = read(fd, (char *)message + have, sizeof *message - have);
        if (got == 0 || (got < 0 && errno != EINTR)) return false;
        if (got > 0) have += (size_t)got;
    }
    return true;
}

static bool enter(struct qs *qs, const struct message *message)
{
    if (message->kind == INTENT) {
        if (message->index != qs->acked) return qs_fail(NS_OK, "the child skipped a file");
        qs->intended = message->index + 1;
        return true;
    }
    if (message->index != qs->acked || message->txn_id != qs->acked + 1) {
        return qs_fail(NS_OK, "commit %llu got id %llu", (unsigned long long)qs->acked + 1,
                       (unsigned long long)message->txn_id);
    }
    qs->acked++;
    qs_times_add(&qs->commits, message->commit_ns);
    return true;
}

/* After the acknowledgement that was chosen, a part of up to three commits longer, so that any
 * place within a commit can be hit. */
static void strike(struct qs *qs, pid_t pid, uint64_t begin_ns)
{
    uint64_t mean_ns = (qs_now_ns() - begin_ns) / (qs->acked + 1);
    uint64_t pause_ns = qs_random(qs, 3 * mean_ns);
    uint64_t end_ns = qs_now_ns() + pause_ns;
    while (qs_now_ns() < end_ns)
        continue; /* sleeping is not exact enough */
    kill(pid, SIGKILL);
}

static bool keep_ledger(struct qs *qs, pid_t pid, int fd)
{
    struct message message;
    bool is_good = true, is_struck = false;
    uint64_t begin_ns = qs_now_ns();
    while (is_good && listen_one(fd, &message)) {
        is_good = enter(qs, &message);
        if (!is_struck && qs->acked >= qs->kill_after) {
            qs->commit_span_ns = qs_now_ns() - begin_ns;
            strike(qs, pid, begin_ns);
            is_struck = true;
        }
    }
    if (!is_struck) kill(pid, SIGKILL);
    int how = 0;
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
        continue;
    if (!is_good) return false;
    if (!is_struck || !WIFSIGNALED(how) || WTERMSIG(how) != SIGKILL) {
        return qs_fail(NS_OK, "the child ended before it was killed");
    }
    return true;
}

bool qs_crash(struct qs *qs)
{
    uint64_t percent = 20 + qs_random(qs, 61);
    qs->kill_after = qs->file_count * percent / 100;
    int ends[2];
    if (pipe(ends) != 0) return qs_fail(NS_OK, "pipe: %s", strerror(errno));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        child(qs, ends[1]);
    }
    close(ends[1]);
    bool is_good =
        pid > 0 ? keep_ledger(qs, pid, ends[0]) : qs_fail(NS_OK, "fork: %s", strerror(errno));
    close(ends[0]);
    return is_good;
}

/* ---- afterwards ---- */

static bool check_ledger(struct qs *qs, ns_txn *txn)
{
    uint8_t *data = NULL;
    size_t capacity = 0, size = 0;
    bool is_good = true;
    qs->newest_id = ns_txn_id(txn);
    if (qs->newest_id < qs->acked || qs->newest_id > qs->intended) {
        return qs_fail(NS_OK, "%llu were acknowledged and %llu begun, but the newest id is %llu",
                       (unsigned long long)qs->acked, (unsigned long long)qs->intended,
                       (unsigned long long)qs->newest_id);
    }
    for (size_t i = 0; is_good && i < qs->newest_id; i++) {
        is_good =
            qs_read(qs, i, &data, &capacity, &size) && qs_check(qs, txn, i, ns_bytes(data, size));
        if (is_good && i < qs->acked) qs->found++;
    }
    free(data);
    return is_good;
}

static bool import_rest(struct qs *qs, ns_db *db)
{
    uint8_t *data = NULL;
    size_t capacity = 0, size = 0;
    bool is_good = true;
    uint64_t begin_ns = qs_now_ns();
    for (size_t i = qs->newest_id; is_good && i < qs->file_count; i++) {
        uint64_t txn_id = 0, commit_ns = 0;
        is_good = qs_read(qs, i, &data, &capacity, &size) &&
                  qs_store(qs, db, i, ns_bytes(data, size), &txn_id, &commit_ns);
        if (is_good) qs_times_add(&qs->commits, commit_ns);
    }
    qs->commit_span_ns += qs_now_ns() - begin_ns;
    free(data);
    return is_good;
}

bool qs_recover(struct qs *qs)
{
    ns_db *db = NULL;
    ns_txn *txn = NULL;
    ns_db_stats_t stats;
    uint64_t begin_ns = qs_now_ns();
    ns_status status = open_database(qs, NS_MUST_EXIST, &db);
    qs->recovery_ns = qs_now_ns() - begin_ns;
    if (status != NS_OK) return qs_fail(status, "open after the crash");
    status = ns_db_stats(db, &stats, sizeof stats);
    if (status == NS_OK) status = ns_txn_begin(db, NS_READ, &txn);
    qs->recovered_txns = stats.recovered_txns;
    bool is_good = status == NS_OK ? check_ledger(qs, txn) : qs_fail(status, "begin");
    ns_txn_abort(txn);
    if (is_good) is_good = import_rest(qs, db);
    status = ns_db_close(db);
    return is_good && (status == NS_OK || qs_fail(status, "close"));
}
