/* ledger.c: see ledger.h.
 *
 * Rules of the ledger:
 *   1. The seed of transaction T is stored before T is intended, and T is intended before its
 *      commit is called.
 *   2. T is acknowledged after its commit returned NS_OK; it is durable if it was a FULL commit, or
 *      when a checkpoint or a close that began later returned.
 *   3. When an open shows R, R is acknowledged and durable (what was shown stays), and intents
 *      after R are void: they must never come back, so the same ids get other seeds, and what came
 *      back would have the wrong content.
 * All cells are atomic, because a writer that is killed or stopped leaves off between any two
 * stores. */
#include "common/ledger.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <northstar/log.h>

#include "base/prng.h"
#include "common/rack.h"

#define TXNS_MAX (UINT64_C(1) << 20)
#define COMPLAINT_BYTES 1024u
#define THREADS_MAX 4u

enum { EXIT_DONE = 0, EXIT_COMPLAINED = 3 };

struct ledger {
    _Atomic uint64_t intended, acked, durable;
    _Atomic bool is_created, is_clean, is_checkpointing;
    _Atomic bool power_failed; /* and nobody has opened the database since */
    _Atomic uint32_t phase;
    size_t lost_figure;
    char complaint[COMPLAINT_BYTES];
    _Atomic uint64_t seeds[TXNS_MAX]; /* by transaction id */
};

struct ledger *ledger_new(size_t lost_figure)
{
    struct ledger *ledger = mmap(NULL, sizeof(struct ledger), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ledger == MAP_FAILED) {
        perror("ledger: no shared memory");
        exit(2);
    }
    ledger->lost_figure = lost_figure;
    return ledger;
}

void ledger_reset(struct ledger *ledger)
{
    ledger->intended = ledger->acked = ledger->durable = 0;
    ledger->is_created = ledger->is_clean = ledger->is_checkpointing = false;
    ledger->power_failed = false;
    ledger->phase = PHASE_START;
    ledger->complaint[0] = '\0';
}

struct ledger_view ledger_view(const struct ledger *ledger)
{
    return (struct ledger_view){.intended = ledger->intended,
                                .acked = ledger->acked,
                                .durable = ledger->durable,
                                .is_created = ledger->is_created,
                                .is_clean = ledger->is_clean,
                                .is_checkpointing = ledger->is_checkpointing,
                                .phase = (enum phase)ledger->phase};
}

static void intend(struct ledger *ledger, uint64_t txn_id, uint64_t seed)
{
    ledger->seeds[txn_id] = seed;
    ledger->intended = txn_id;
}

static void acknowledge(struct ledger *ledger, uint64_t txn_id, bool is_durable)
{
    ledger->acked = txn_id;
    if (is_durable) ledger->durable = txn_id;
}

/* Rule 3. */
static void show(struct ledger *ledger, uint64_t txn_id)
{
    ledger->is_created = true;
    ledger->power_failed = false;
    acknowledge(ledger, txn_id, true);
    ledger->intended = txn_id;
}

/* Counts what is lost; true if R lies between the floor and the intents. */
static bool is_within(const struct ledger *ledger, uint64_t found, uint64_t floor,
                      uint64_t intended)
{
    if (found < floor) rack_add(ledger->lost_figure, floor - found);
    return found >= floor && found <= intended;
}

/* ---- the writer ---- */

struct writer {
    const struct writer_settings *settings;
    struct ledger *ledger;
    const struct shape *shape;
    struct ns__prng prng;
    ns_options options;
    ns_db *db;
    uint64_t txn_id; /* the newest that committed */
    pthread_t threads[THREADS_MAX];
    uint32_t thread_count;
    atomic_bool is_stopping;
};

/* Leaves a complaint for the judge, and ends. */
__attribute__((format(printf, 2, 3))) _Noreturn static void complain(struct writer *writer,
                                                                     const char *format, ...)
{
    char *text = writer->ledger->complaint;
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, COMPLAINT_BYTES, format, arguments);
    va_end(arguments);
    if (size >= 0 && (size_t)size < COMPLAINT_BYTES) {
        snprintf(text + size, COMPLAINT_BYTES - (size_t)size, " (%s)", ns_error_detail());
    }
    _exit(EXIT_COMPLAINED);
}

static void expect(struct writer *writer, ns_status status, const char *what)
{
    if (status != NS_OK) complain(writer, "writer: %s gave %s", what, ns_status_name(status));
}

/* A snapshot, of which every value must be whole, held for a random time. */
static void read_all(struct writer *writer, struct ns__prng *prng)
{
    ns_txn *txn;
    ns_cursor *cursor;
    ns_slice key, value;
    expect(writer, ns_txn_begin(writer->db, NS_READ, &txn), "begin of a reader");
    expect(writer, ns_cursor_open(txn, NS_MAIN, &cursor), "cursor of a reader");
    uint64_t pause_at = ns__prng_below(prng, 2000);
    ns_status status;
    while ((status = ns_cursor_next(cursor)) == NS_OK) {
        expect(writer, ns_cursor_get(cursor, &key, &value), "cursor of a reader");
        if (!workload_value_is_whole(value)) complain(writer, "reader: a value is not whole");
        if (pause_at-- == 0) usleep((useconds_t)ns__prng_below(prng, 3000));
        if (atomic_load(&writer->is_stopping)) break;
    }
    if (status != NS_OK && status != NS_NOTFOUND) expect(writer, status, "step of a reader");
    ns_cursor_close(cursor);
    ns_txn_abort(txn);
}

static void *reader_main(void *ctx)
{
    struct writer *writer = ctx;
    struct ns__prng prng = {writer->settings->seed ^ (uint64_t)pthread_self()};
    while (!atomic_load(&writer->is_stopping))
        read_all(writer, &prng);
    return NULL;
}

static void *checkpointer_main(void *ctx)
{
    struct writer *writer = ctx;
    struct ns__prng prng = {writer->settings->seed + 1};
    while (!atomic_load(&writer->is_stopping)) {
        writer->ledger->is_checkpointing = true;
        expect(writer, ns_db_checkpoint(writer->db), "checkpoint");
        writer->ledger->is_checkpointing = false;
        usleep((useconds_t)ns__prng_below(&prng, 1000));
    }
    return NULL;
}

static void start_thread(struct writer *writer, void *(*body)(void *))
{
    pthread_t *thread = &writer->threads[writer->thread_count++];
    if (pthread_create(thread, NULL, body, writer) != 0) complain(writer, "writer: no thread");
}

static void start_threads(struct writer *writer)
{
    atomic_store(&writer->is_stopping, false);
    writer->thread_count = 0;
    for (uint32_t i = 0; i < writer->shape->readers; i++)
        start_thread(writer, reader_main);
    if (writer->shape->has_checkpointer) start_thread(writer, checkpointer_main);
}

static void stop_threads(struct writer *writer)
{
    atomic_store(&writer->is_stopping, true);
    for (uint32_t i = 0; i < writer->thread_count; i++)
        pthread_join(writer->threads[i], NULL);
}

static void open_database(struct writer *writer)
{
    struct ledger *ledger = writer->ledger;
    ns_txn *txn;
    ledger->phase = !ledger->is_created ? PHASE_CREATION
                    : ledger->is_clean  ? PHASE_OPENING
                                        : PHASE_RECOVERY;
    writer->options.flags = writer->shape->flags | (ledger->is_created ? NS_MUST_EXIST : 0);
    expect(writer, ns_db_open(writer->settings->path, &writer->options, &writer->db), "open");
    ledger->is_clean = false;
    expect(writer, ns_txn_begin(writer->db, NS_READ, &txn), "begin after open");
    writer->txn_id = ns_txn_id(txn);
    ns_txn_abort(txn);
    uint64_t floor = ledger->power_failed ? ledger->durable : ledger->acked;
    if (!is_within(ledger, writer->txn_id, floor, ledger->intended)) {
        complain(writer, "writer: open shows transaction %llu; expected %llu to %llu",
                 (unsigned long long)writer->txn_id, (unsigned long long)floor,
                 (unsigned long long)ledger->intended);
    }
    show(ledger, writer->txn_id);
    start_threads(writer);
}

static void close_database(struct writer *writer)
{
    stop_threads(writer);
    writer->ledger->phase = PHASE_CLOSE;
    expect(writer, ns_db_close(writer->db), "close");
    if (writer->settings->lie == LIE_NONE) acknowledge(writer->ledger, writer->txn_id, true);
    writer->ledger->is_clean = true;
}

static void checkpoint(struct writer *writer)
{
    writer->ledger->phase = PHASE_CHECKPOINT;
    expect(writer, ns_db_checkpoint(writer->db), "checkpoint");
    acknowledge(writer->ledger, writer->txn_id, true);
}

/* Changes that must never be seen. */
static void write_and_abort(struct writer *writer)
{
    ns_txn *txn;
    expect(writer, ns_txn_begin(writer->db, NS_WRITE, &txn), "begin");
    expect(writer, workload_apply(txn, writer->shape, ns__prng_next(&writer->prng)), "a change");
    ns_txn_abort(txn);
}

static void write_transaction(struct writer *writer)
{
    struct ledger *ledger = writer->ledger;
    enum lie lie = writer->settings->lie;
    uint64_t seed = ns__prng_next(&writer->prng), wanted = writer->txn_id + 1, txn_id = 0;
    ns_txn *txn;
    ledger->phase = PHASE_FILL;
    expect(writer, ns_txn_begin(writer->db, NS_WRITE, &txn), "begin");
    expect(writer, workload_apply(txn, writer->shape, seed), "a change");
    intend(ledger, wanted, seed);
    if (lie == LIE_EARLY) acknowledge(ledger, wanted, false);
    ledger->phase = PHASE_COMMIT;
    expect(writer, ns_txn_commit(txn, &txn_id), "commit");
    if (txn_id != wanted) {
        complain(writer, "writer: commit gave id %llu, not %llu", (unsigned long long)txn_id,
                 (unsigned long long)wanted);
    }
    acknowledge(ledger, txn_id, lie == LIE_UNSYNCED || writer->options.sync == NS_SYNC_FULL);
    writer->txn_id = txn_id;
}

static bool is_done(const struct writer *writer)
{
    struct stat about;
    if (writer->txn_id + 2 >= TXNS_MAX) return true;
    if (writer->txn_id % 16 != 0) return false;
    return stat(writer->settings->path, &about) == 0 &&
           (uint64_t)about.st_size > writer->settings->file_bytes_max;
}

static bool is_chance(struct writer *writer, uint32_t permille)
{
    return ns__prng_below(&writer->prng, 1000) < permille;
}

_Noreturn static void write_until_killed(const struct writer_settings *settings)
{
    struct writer writer = {.settings = settings,
                            .ledger = settings->ledger,
                            .shape = settings->shape,
                            .prng = {settings->seed}};
    workload_options(settings->shape, &writer.options);
    if (settings->lie == LIE_UNSYNCED) writer.options.sync = NS_SYNC_OFF;
    open_database(&writer);
    while (!is_done(&writer)) {
        write_transaction(&writer);
        if (is_chance(&writer, 20)) write_and_abort(&writer);
        if (is_chance(&writer, writer.shape->checkpoint_permille)) checkpoint(&writer);
        if (!is_chance(&writer, writer.shape->close_permille)) continue;
        close_database(&writer);
        open_database(&writer);
    }
    close_database(&writer);
    _exit(EXIT_DONE);
}

pid_t writer_start(const struct writer_settings *settings)
{
    pid_t parent = getpid();
    settings->ledger->phase = PHASE_START;
    settings->ledger->is_checkpointing = false;
    pid_t child = fork();
    if (child < 0) rack_fail("fork: %s", strerror(errno));
    if (child > 0) return child;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(EXIT_DONE);
    write_until_killed(settings);
}

void writer_wait(const struct ledger *ledger, pid_t child)
{
    siginfo_t ended = {0};
    while (ledger->phase == PHASE_START && ended.si_pid == 0) {
        sched_yield();
        (void)waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT);
    }
}

bool writer_was_killed(const struct ledger *ledger, int wait_status)
{
    if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL) return true;
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == EXIT_DONE) return false;
    if (ledger->complaint[0] != '\0') rack_fail("%s", ledger->complaint);
    if (WIFSIGNALED(wait_status)) {
        rack_fail("the writer died of signal %d", WTERMSIG(wait_status));
    }
    rack_fail("the writer ended with %d", WEXITSTATUS(wait_status));
}

/* ---- the judge ---- */

struct judge {
    const struct shape *shape;
    struct ledger *ledger;
    struct model *base; /* the content at base_id, which is below every floor to come */
    uint64_t base_id;
    struct model *model; /* the content at the R of this check */
    ns_db *replica;      /* what the log led to so far; NULL: the log was recycled */
    uint64_t replica_id;
};

/* What one check is about. */
struct check {
    struct judge *judge;
    const char *path;
    const struct ledger_view *view;
    bool is_power;
    ns_options options;
    ns_db *db;
    struct judged *judged;
};

static ns_db *open_replica(void)
{
    ns_options options = {.flags = NS_IN_MEMORY | NS_NO_THREADS, .history = NS_HISTORY_NONE};
    ns_db *replica;
    if (ns_db_open(NULL, &options, &replica) != NS_OK) rack_fail("open of a replica in memory");
    return replica;
}

struct judge *judge_new(const struct shape *shape, struct ledger *ledger)
{
    struct judge *judge = calloc(1, sizeof *judge);
    if (judge == NULL) rack_fail("out of memory");
    judge->shape = shape;
    judge->ledger = ledger;
    judge->base = model_new(shape);
    judge->model = model_new(shape);
    judge->replica = open_replica();
    return judge;
}

void judge_free(struct judge *judge)
{
    if (judge == NULL) return;
    if (judge->replica != NULL) (void)ns_db_close(judge->replica);
    model_free(judge->base);
    model_free(judge->model);
    free(judge);
}

static uint64_t floor_of(const struct check *check)
{
    return check->is_power ? check->view->durable : check->view->acked;
}

static void report_finding(void *ctx, const ns_finding *finding)
{
    const struct check *check = ctx;
    if (finding->status != NS_OK) {
        fprintf(stderr, "  %s: verify: page %lld: %s: %s\n", check->path, (long long)finding->page,
                ns_status_name(finding->status), finding->text);
    }
}

/* A database of which the creation was not acknowledged may be absent or unfinished. */
static void verify(struct check *check, bool must_exist)
{
    if (!must_exist && access(check->path, F_OK) != 0) return;
    ns_status status = ns_db_verify(check->path, &check->options, report_finding, check);
    if (status == NS_NOTADB && !must_exist) return;
    if (status != NS_OK) rack_fail("%s: verify: %s", check->path, ns_status_name(status));
}

static uint64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static ns_txn *begin(struct check *check, ns_db *db, ns_txn_mode mode)
{
    ns_txn *txn;
    ns_status status = ns_txn_begin(db, mode, &txn);
    if (status != NS_OK) rack_fail("%s: begin: %s", check->path, ns_status_name(status));
    return txn;
}

static void recover(struct check *check)
{
    uint64_t start = monotonic_us();
    ns_status status = ns_db_open(check->path, &check->options, &check->db);
    check->judged->reopen_us = monotonic_us() - start;
    if (status != NS_OK) rack_fail("%s: reopen: %s", check->path, ns_status_name(status));
    ns_txn *txn = begin(check, check->db, NS_READ);
    uint64_t found = ns_txn_id(txn), floor = floor_of(check);
    ns_txn_abort(txn);
    check->judged->txn_id = found;
    check->judged->extra = found > check->view->acked ? found - check->view->acked : 0;
    if (is_within(check->judge->ledger, found, floor, check->view->intended)) return;
    rack_fail("%s: recovered transaction %llu; acknowledged %llu (durable %llu), intended %llu",
              check->path, (unsigned long long)found, (unsigned long long)check->view->acked,
              (unsigned long long)check->view->durable, (unsigned long long)check->view->intended);
}

/* Moves the base to the floor, and the model from there to what was found. */
static void set_model(struct check *check)
{
    struct judge *judge = check->judge;
    for (; judge->base_id < floor_of(check); judge->base_id++)
        model_apply(judge->base, judge->ledger->seeds[judge->base_id + 1]);
    model_copy(judge->model, judge->base);
    for (uint64_t id = judge->base_id; id < check->judged->txn_id; id++)
        model_apply(judge->model, judge->ledger->seeds[id + 1]);
}

static void compare(struct check *check, const char *when)
{
    char text[WORKLOAD_TEXT_BYTES];
    ns_txn *txn = begin(check, check->db, NS_READ);
    if (!model_check(check->judge->model, txn, text)) {
        rack_fail("%s: %s, transaction %llu: %s", check->path, when,
                  (unsigned long long)ns_txn_id(txn), text);
    }
    ns_txn_abort(txn);
}

static void compare_hashes(struct check *check)
{
    uint8_t hash[2][16];
    ns_db *dbs[2] = {check->db, check->judge->replica};
    for (int i = 0; i < 2; i++) {
        ns_txn *txn = begin(check, dbs[i], NS_READ);
        if (ns_txn_state_hash(txn, hash[i]) != NS_OK) rack_fail("%s: state hash", check->path);
        ns_txn_abort(txn);
    }
    if (memcmp(hash[0], hash[1], sizeof hash[0]) != 0) {
        rack_fail("%s: the log of %llu transactions leads to another state than the tree's",
                  check->path, (unsigned long long)check->judged->txn_id);
    }
}

static void apply_records(struct check *check, ns_log *log)
{
    struct judge *judge = check->judge;
    struct ns_commit commit;
    ns_status status;
    while ((status = ns_log_next(log, &commit)) == NS_OK) {
        status = ns_log_apply(judge->replica, commit.bytes);
        if (status != NS_OK) break;
        judge->replica_id = commit.txn_id;
        check->judged->replayed++;
    }
    if (status != NS_NOTFOUND || judge->replica_id != check->judged->txn_id) {
        rack_fail("%s: replay stops after transaction %llu of %llu: %s", check->path,
                  (unsigned long long)judge->replica_id, (unsigned long long)check->judged->txn_id,
                  ns_status_name(status));
    }
}

/* An earlier cut may have caught more of what was not durable than this one. */
static void restart_replica(struct judge *judge)
{
    (void)ns_db_close(judge->replica);
    judge->replica = open_replica();
    judge->replica_id = 0;
}

void judge_power_failed(struct judge *judge)
{
    judge->ledger->power_failed = true;
    if (judge->replica != NULL) restart_replica(judge);
}

/* Step 4. Without history the log may be gone: then there is no replica any more. */
static void replay(struct check *check)
{
    struct judge *judge = check->judge;
    ns_log *log;
    if (judge->replica == NULL) return;
    if (judge->replica_id > check->judged->txn_id) restart_replica(judge);
    ns_status status = ns_log_open(check->db, judge->replica_id, &log);
    if (status == NS_GONE && judge->shape->history == NS_HISTORY_NONE) {
        (void)ns_db_close(judge->replica);
        judge->replica = NULL;
        return;
    }
    if (status != NS_OK) rack_fail("%s: open of the log: %s", check->path, ns_status_name(status));
    apply_records(check, log);
    ns_log_close(log);
    compare_hashes(check);
}

static void go_on(struct check *check, uint64_t seed)
{
    struct judge *judge = check->judge;
    uint64_t wanted = check->judged->txn_id + 1, txn_id = 0;
    ns_txn *txn = begin(check, check->db, NS_WRITE);
    ns_status status = workload_apply(txn, judge->shape, seed);
    if (status != NS_OK) rack_fail("%s: a change: %s", check->path, ns_status_name(status));
    if (!check->is_power) {
        show(judge->ledger, check->judged->txn_id);
        intend(judge->ledger, wanted, seed);
    }
    status = ns_txn_commit(txn, &txn_id);
    if (status != NS_OK || txn_id != wanted) {
        rack_fail("%s: a further commit gave %s and id %llu, not %llu", check->path,
                  ns_status_name(status), (unsigned long long)txn_id, (unsigned long long)wanted);
    }
    if (!check->is_power) acknowledge(judge->ledger, wanted, true);
    model_apply(judge->model, seed);
    compare(check, "after a further commit");
}

void judge_file(struct judge *judge, const char *path, const struct ledger_view *view,
                bool is_power, bool again, uint64_t seed, struct judged *judged_out)
{
    *judged_out = (struct judged){0};
    struct check check = {
        .judge = judge, .path = path, .view = view, .is_power = is_power, .judged = judged_out};
    workload_options(judge->shape, &check.options);
    if (view->is_created) check.options.flags |= NS_MUST_EXIST;
    verify(&check, view->is_created);
    recover(&check);
    set_model(&check);
    compare(&check, "after recovery");
    replay(&check);
    go_on(&check, seed);
    ns_status status = ns_db_close(check.db);
    if (status != NS_OK) rack_fail("%s: close: %s", path, ns_status_name(status));
    if (!is_power) judge->ledger->is_clean = true;
    if (again) verify(&check, true);
}
