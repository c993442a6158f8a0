/* db_process_test.c: what other processes, and other code in this one, can do to a database: other
 * names of the file, closing it elsewhere, fork, closed standard streams, truncating and editing
 * the file while it is mapped (spec/semantics_v0.md, SEM-81, SEM-91, SEM-92). */
#include "harness/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <northstar/log.h>
#include "harness/scratch.h"

#define PAGE 4096u
#define ENTRIES 3000u
#define VALUE_BYTES 200u

/* ---- a database that can be told from a wrong one ---- */

static void entry_of(uint32_t n, char key[16], uint8_t value[VALUE_BYTES])
{
    (void)snprintf(key, 16, "key %06u", n);
    for (uint32_t i = 0; i < VALUE_BYTES; i++)
        value[i] = (uint8_t)(n * 7 + i * (n % 5 + 1));
}

static ns_status put_entries(ns_db *db, uint32_t from, uint32_t to)
{
    ns_txn *txn;
    ns_status status = ns_txn_begin(db, NS_WRITE, &txn);
    if (status != NS_OK) return status;
    for (uint32_t n = from; n < to && status == NS_OK; n++) {
        char key[16];
        uint8_t value[VALUE_BYTES];
        entry_of(n, key, value);
        status = ns_txn_put(txn, NS_MAIN, ns_str(key), ns_bytes(value, sizeof value));
    }
    if (status == NS_OK) return ns_txn_commit(txn, NULL);
    ns_txn_abort(txn);
    return status;
}

static ns_status make_database(const char *path)
{
    ns_db *db;
    ns_status status = ns_db_open(path, NULL, &db);
    if (status != NS_OK) return status;
    for (uint32_t n = 0; n < ENTRIES && status == NS_OK; n += 500)
        status = put_entries(db, n, n + 500);
    ns_status closed = ns_db_close(db);
    return status != NS_OK ? status : closed;
}

/* NS_OK: all entries are there and right; NS_INTERNAL: a wrong one was shown. */
static ns_status read_entries(ns_db *db)
{
    ns_txn *txn;
    ns_status status = ns_txn_begin(db, NS_READ, &txn);
    if (status != NS_OK) return status;
    for (uint32_t n = 0; n < ENTRIES && status == NS_OK; n++) {
        char key[16];
        uint8_t wanted[VALUE_BYTES];
        ns_slice value;
        entry_of(n, key, wanted);
        status = ns_txn_get(txn, NS_MAIN, ns_str(key), &value);
        bool is_right = status == NS_OK && value.size == sizeof wanted &&
                        memcmp(value.data, wanted, sizeof wanted) == 0;
        if (status == NS_NOTFOUND || (status == NS_OK && !is_right)) status = NS_INTERNAL;
    }
    ns_txn_abort(txn);
    return status;
}

/* ---- processes ---- */

/* What a child ended with: its exit code, or 1000 and the signal. */
static int outcome_of(pid_t child)
{
    int result = 0;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &result, 0), child);
    return WIFEXITED(result) ? WEXITSTATUS(result) : 1000 + WTERMSIG(result);
}

static pid_t fork_quietly(void)
{
    struct rlimit none = {0, 0};
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)setrlimit(RLIMIT_CORE, &none);
        signal(SIGBUS, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        alarm(60);
    }
    return child;
}

static ns_status open_in_a_child(const char *path)
{
    pid_t child = fork_quietly();
    if (child == 0) {
        ns_db *db;
        ns_status status = ns_db_open(path, NULL, &db);
        if (status == NS_OK) status = ns_db_close(db);
        _exit((int)status);
    }
    return (ns_status)outcome_of(child);
}

/* ---- names and locks ---- */

static void another_name_of_an_open_file_is_busy(void **state)
{
    struct scratch scratch;
    char path[SCRATCH_PATH_BYTES], names[3][SCRATCH_PATH_BYTES], dotted[2 * SCRATCH_PATH_BYTES];
    ns_db *db, *second;
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "one.ns", path);
    scratch_path(&scratch, "hard", names[0]);
    scratch_path(&scratch, "soft", names[1]);
    scratch_path(&scratch, "softer", names[2]);
    CHECK_OK(ns_db_open(path, NULL, &db));
    assert_int_equal(link(path, names[0]), 0);
    assert_int_equal(symlink("one.ns", names[1]), 0);
    assert_int_equal(symlink("soft", names[2]), 0);
    (void)snprintf(dotted, sizeof dotted, "./%s/../%s", scratch.directory, path);
    const char *all[] = {path, names[0], names[1], names[2], dotted};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        ns_options reading = {.flags = NS_RDONLY};
        CHECK_STATUS(ns_db_open(all[i], NULL, &second), NS_BUSY);
        CHECK_STATUS(ns_db_open(all[i], &reading, &second), NS_BUSY);
        CHECK_STATUS(ns_db_verify(all[i], NULL, NULL, NULL), NS_BUSY);
        assert_int_equal(open_in_a_child(all[i]), NS_BUSY);
    }
    CHECK_OK(put_entries(db, 0, 10));
    CHECK_OK(ns_db_close(db));
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        assert_int_equal(open_in_a_child(all[i]), NS_OK);
    scratch_deinit(&scratch);
}

/* A lock that belonged to the process would be gone after any of these. */
static void closing_the_file_elsewhere_keeps_the_lock(void **state)
{
    struct scratch scratch;
    char path[SCRATCH_PATH_BYTES];
    char byte;
    ns_db *db;
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "locked.ns", path);
    CHECK_OK(ns_db_open(path, NULL, &db));
    for (int how = 0; how < 3; how++) {
        int fd = open(path, how == 0 ? O_RDONLY : O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(read(fd, &byte, 1), 1);
        if (how == 2) { /* a lock of the old kind, on all of it */
            struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
            (void)fcntl(fd, F_SETLK, &all);
        }
        close(fd);
        assert_int_equal(open_in_a_child(path), NS_BUSY);
    }
    pid_t child = fork_quietly(); /* it closes its copies of all descriptors */
    if (child == 0) _exit(0);
    assert_int_equal(outcome_of(child), 0);
    child = fork_quietly();
    if (child == 0) _exit(ns_db_close(db) == NS_FORKED ? 0 : 1);
    assert_int_equal(outcome_of(child), 0);
    assert_int_equal(open_in_a_child(path), NS_BUSY);
    CHECK_OK(put_entries(db, 0, 10));
    CHECK_OK(ns_db_close(db));
    assert_int_equal(open_in_a_child(path), NS_OK);
    scratch_deinit(&scratch);
}

/* ---- fork ---- */

/* Handles of every kind, as a child inherits them. */
struct inherited {
    ns_db *db;
    ns_txn *reader, *writer;
    ns_cursor *cursor;
    ns_log *log;
};

static int ignore_reader(void *ctx, const ns_reader *reader)
{
    (void)ctx;
    return reader == NULL;
}

static int ignore_name(void *ctx, const char *name, ns_keyspace keyspace)
{
    (void)ctx;
    return name == NULL || keyspace == NS_MAIN;
}

#define CHILD(expr)                                                                                \
    do {                                                                                           \
        ns_status status_ = (expr);                                                                \
        if (status_ != NS_FORKED) {                                                                \
            (void)fprintf(stderr, "%s gave %s\n", #expr, ns_status_name(status_));                 \
            wrong++;                                                                               \
        }                                                                                          \
    } while (0)

static int use_database(const struct inherited *in)
{
    int wrong = 0;
    ns_txn *txn;
    ns_log *log;
    ns_db_stats_t stats;
    CHILD(ns_db_checkpoint(in->db));
    CHILD(ns_db_readers(in->db, ignore_reader, NULL));
    CHILD(ns_db_stats(in->db, &stats, sizeof stats));
    CHILD(ns_txn_begin(in->db, NS_READ, &txn));
    CHILD(ns_txn_begin(in->db, NS_WRITE, &txn));
    CHILD(ns_log_open(in->db, 0, &log));
    CHILD(ns_log_apply(in->db, ns_bytes("x", 1)));
    CHILD(ns_db_close(in->db));
    return wrong;
}

/* What this version does not support is refused for the same reason. */
static int use_later_parts(const struct inherited *in)
{
    int wrong = 0;
    ns_txn *txn;
    uint64_t freed;
    uint32_t savepoint;
    CHILD(ns_db_wait_durable(in->db, 1, 0));
    CHILD(ns_db_backup(in->db, "backup.ns", NULL));
    CHILD(ns_db_compact(in->db, 1, &freed));
    CHILD(ns_txn_begin_as_of(in->db, 1, &txn));
    CHILD(ns_txn_begin_as_of_time(in->db, 1, &txn));
    CHILD(ns_txn_set_sync(in->writer, NS_SYNC_OFF));
    CHILD(ns_txn_savepoint(in->writer, &savepoint));
    CHILD(ns_txn_rollback_to(in->writer, 0));
    return wrong;
}

static int use_log(const struct inherited *in)
{
    int wrong = 0;
    struct ns_commit commit;
    CHILD(ns_log_next(in->log, &commit));
    CHILD(ns_log_wait(in->log, 1));
    return wrong;
}

static int read_in_transaction(ns_txn *txn)
{
    int wrong = 0;
    ns_slice key = ns_str("key 000001"), value;
    ns_status status;
    ns_cursor *cursor;
    uint64_t version;
    uint8_t hash[16];
    CHILD(ns_txn_get(txn, NS_MAIN, key, &value));
    CHILD(ns_txn_get_many(txn, NS_MAIN, 1, &key, &value, &status));
    CHILD(ns_txn_get_version(txn, NS_MAIN, key, &value, &version));
    CHILD(ns_txn_keyspace_list(txn, ignore_name, NULL));
    CHILD(ns_txn_state_hash(txn, hash));
    CHILD(ns_cursor_open(txn, NS_MAIN, &cursor));
    return wrong;
}

static int change_in_transaction(ns_txn *txn)
{
    int wrong = 0;
    ns_slice key = ns_str("key 000001");
    ns_keyspace keyspace;
    CHILD(ns_txn_put(txn, NS_MAIN, key, key));
    CHILD(ns_txn_insert(txn, NS_MAIN, key, key));
    CHILD(ns_txn_del(txn, NS_MAIN, key));
    CHILD(ns_txn_del_range(txn, NS_MAIN, key, key));
    CHILD(ns_txn_keyspace(txn, "new", &keyspace));
    CHILD(ns_txn_keyspace_drop(txn, "new"));
    CHILD(ns_txn_note(txn, key));
    CHILD(ns_txn_commit(txn, NULL));
    return wrong;
}

static int use_cursor(ns_cursor *cursor)
{
    int wrong = 0;
    ns_slice key = ns_str("key 000001"), value;
    CHILD(ns_cursor_first(cursor));
    CHILD(ns_cursor_last(cursor));
    CHILD(ns_cursor_next(cursor));
    CHILD(ns_cursor_prev(cursor));
    CHILD(ns_cursor_seek(cursor, key));
    CHILD(ns_cursor_seek_exact(cursor, key));
    CHILD(ns_cursor_seek_before(cursor, key));
    CHILD(ns_cursor_bounds(cursor, key, key));
    CHILD(ns_cursor_prefix(cursor, key));
    CHILD(ns_cursor_get(cursor, &key, &value));
    return wrong;
}

static int use_everything(const struct inherited *in)
{
    int wrong = use_database(in) + use_log(in) + use_later_parts(in);
    wrong += read_in_transaction(in->reader) + read_in_transaction(in->writer);
    wrong += use_cursor(in->cursor);
    CHILD(ns_txn_reset(in->reader));
    CHILD(ns_txn_renew(in->reader));
    wrong += change_in_transaction(in->writer);
    ns_cursor_close(in->cursor);
    ns_log_close(in->log);
    ns_txn_abort(in->reader);
    return wrong;
}

static void inherit(struct inherited *in, const char *path)
{
    CHECK_OK(ns_db_open(path, NULL, &in->db));
    CHECK_OK(ns_txn_begin(in->db, NS_READ, &in->reader));
    CHECK_OK(ns_txn_begin(in->db, NS_WRITE, &in->writer));
    CHECK_OK(ns_txn_put(in->writer, NS_MAIN, ns_str("parent"), ns_str("here")));
    CHECK_OK(ns_cursor_open(in->reader, NS_MAIN, &in->cursor));
    CHECK_OK(ns_cursor_first(in->cursor));
    CHECK_OK(ns_log_open(in->db, 0, &in->log));
}

/* SEM-92: every call of the child is NS_FORKED, and the parent goes on as if nothing had been. */
static void no_call_works_in_a_forked_child_and_the_parent_goes_on(void **state)
{
    struct scratch scratch;
    char path[SCRATCH_PATH_BYTES];
    struct inherited in;
    struct ns_commit commit;
    ns_options quick = {.sync = NS_SYNC_OFF};
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "fork.ns", path);
    CHECK_OK(make_database(path));
    inherit(&in, path);
    pid_t child = fork_quietly();
    if (child == 0) _exit(use_everything(&in));
    assert_int_equal(outcome_of(child), 0);

    CHECK_OK(ns_cursor_next(in.cursor));
    CHECK_OK(ns_log_next(in.log, &commit));
    CHECK_OK(ns_txn_commit(in.writer, NULL));
    ns_cursor_close(in.cursor);
    ns_log_close(in.log);
    ns_txn_abort(in.reader);
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t n = i % ENTRIES;
        CHECK_OK(put_entries(in.db, n, n + 1));
        if (i % 250 == 0) CHECK_OK(ns_db_checkpoint(in.db));
    }
    assert_int_equal(read_entries(in.db), NS_OK);
    CHECK_OK(ns_db_close(in.db));
    CHECK_OK(ns_db_verify(path, NULL, NULL, NULL));
    CHECK_OK(ns_db_open(path, &quick, &in.db));
    assert_int_equal(read_entries(in.db), NS_OK);
    CHECK_OK(ns_db_close(in.db));
    scratch_deinit(&scratch);
}

/* ---- the standard streams ---- */

/* Writes to descriptors that this process believes to be its standard streams. */
static void spam(void)
{
    static const char text[] = "a message of the host program, which is not for the database\n";
    for (int fd = 0; fd < 3; fd++) {
        ssize_t ignored = write(fd, text, sizeof text);
        (void)ignored;
    }
}

static int live_without_streams(const char *path)
{
    ns_db *db;
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    if (ns_db_open(path, NULL, &db) != NS_OK) return 1;
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) != -1) return 2; /* the library took it */
    }
    for (uint32_t i = 0; i < 200; i++) {
        spam();
        if (put_entries(db, i, i + 1) != NS_OK) return 3;
        if (i % 50 == 9 && ns_db_checkpoint(db) != NS_OK) return 4;
    }
    if (read_entries(db) != NS_OK) return 5;
    if (ns_db_close(db) != NS_OK) return 6;
    spam();
    return ns_db_verify(path, NULL, NULL, NULL) == NS_OK ? 0 : 7;
}

static void a_host_without_standard_streams_does_not_write_into_the_file(void **state)
{
    struct scratch scratch;
    char path[SCRATCH_PATH_BYTES], fresh[SCRATCH_PATH_BYTES];
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "streams.ns", path);
    scratch_path(&scratch, "fresh.ns", fresh);
    CHECK_OK(make_database(path));
    pid_t child = fork_quietly();
    if (child == 0) _exit(live_without_streams(path));
    assert_int_equal(outcome_of(child), 0);
    child = fork_quietly();
    if (child == 0) { /* created without them */
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        if (make_database(fresh) != NS_OK) _exit(100);
        _exit(live_without_streams(fresh));
    }
    assert_int_equal(outcome_of(child), 0);
    CHECK_OK(ns_db_verify(fresh, NULL, NULL, NULL));
    scratch_deinit(&scratch);
}

/* ---- a file that others change while it is mapped ---- */

enum { WAY_WRITER, WAY_READER, WAY_READ_ONLY, WAYS };

/* A child that has the database open and waits for a byte before it uses it. */
struct user {
    pid_t child;
    int go;
};

static ns_status use_when_told(ns_db *db, int way, int wait_for)
{
    char byte;
    if (read(wait_for, &byte, 1) != 1) return NS_INTERNAL;
    ns_status status = read_entries(db);
    for (uint32_t n = 0; n < 200 && way == WAY_WRITER && status == NS_OK; n++)
        status = put_entries(db, n, n + 1);
    if (way == WAY_WRITER && status == NS_OK) status = ns_db_checkpoint(db);
    if (status == NS_OK) status = read_entries(db);
    ns_status closed = ns_db_close(db);
    return status != NS_OK ? status : closed;
}

static struct user start_user(const char *path, int way)
{
    int ready[2], go[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    struct user user = {.child = fork_quietly(), .go = go[1]};
    if (user.child == 0) {
        ns_db *db;
        ns_options with = {.flags = way == WAY_READ_ONLY ? NS_RDONLY : 0};
        if (ns_db_open(path, &with, &db) != NS_OK) _exit(NS_INTERNAL);
        if (write(ready[1], &byte, 1) != 1) _exit(NS_INTERNAL);
        _exit((int)use_when_told(db, way, go[0]));
    }
    close(ready[1]);
    close(go[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return user;
}

static int let_user_go(const struct user *user)
{
    char byte = 0;
    assert_int_equal(write(user->go, &byte, 1), 1);
    close(user->go);
    return outcome_of(user->child);
}

static off_t size_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_size;
}

/* The caveat of northstar.h: a status, or SIGBUS from the system; never a wrong value, never
 * anything else. What is left of the file is judged by the next open. */
static void a_file_truncated_while_mapped_gives_a_status_or_sigbus(void **state)
{
    struct scratch scratch;
    char path[SCRATCH_PATH_BYTES];
    unsigned signals = 0, statuses = 0, fine = 0;
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "cut.ns", path);
    for (int way = 0; way < WAYS; way++) {
        for (int part = 0; part < 8; part++) {
            (void)unlink(path);
            CHECK_OK(make_database(path));
            struct user user = start_user(path, way);
            off_t left = size_of(path) / 8 * part + (part % 2 == 0 ? 0 : 100);
            assert_int_equal(truncate(path, left), 0);
            int outcome = let_user_go(&user);
            bool is_status = outcome == NS_CORRUPT || outcome == NS_IO || outcome == NS_UNKNOWN ||
                             outcome == NS_POISONED;
            if (outcome != NS_OK && !is_status && outcome != 1000 + SIGBUS)
                fail_msg("way %d, %d eighths left: outcome %d", way, part, outcome);
            signals += outcome == 1000 + SIGBUS ? 1 : 0;
            statuses += is_status ? 1 : 0;
            fine += outcome == NS_OK ? 1 : 0;
            int after = (int)open_in_a_child(path);
            assert_true(after == NS_OK || after == NS_CORRUPT || after == NS_NOTADB);
        }
    }
    print_message("truncated while mapped: %u SIGBUS, %u statuses, %u had no need of it\n", signals,
                  statuses, fine);
    assert_true(signals > 0);
    scratch_deinit(&scratch);
}

/* Flips a bit in the middle of every page from `first` on. */
static void edit_pages(const char *path, off_t first)
{
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    off_t size = size_of(path);
    for (off_t at = first * (off_t)PAGE; at < size; at += PAGE) {
        uint8_t byte = 0;
        if (pread(fd, &byte, 1, at + PAGE - 50) != 1) continue;
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at + PAGE - 50), 1);
    }
    close(fd);
}

/* What has not been read yet is checked when it is. (What has been checked already is believed:
 * that is the caveat.) */
static void an_edit_is_noticed_when_the_page_is_first_read(void **state)
{
    struct scratch scratch;
    char path[SCRATCH_PATH_BYTES];
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "edited.ns", path);
    for (int way = 0; way < WAYS; way++) {
        (void)unlink(path);
        CHECK_OK(make_database(path));
        struct user user = start_user(path, way);
        edit_pages(path, 31);
        assert_int_equal(let_user_go(&user), NS_CORRUPT);
        assert_int_equal(ns_db_verify(path, NULL, NULL, NULL), NS_CORRUPT);
    }
    scratch_deinit(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_name_of_an_open_file_is_busy),
        cmocka_unit_test(closing_the_file_elsewhere_keeps_the_lock),
        cmocka_unit_test(no_call_works_in_a_forked_child_and_the_parent_goes_on),
        cmocka_unit_test(a_host_without_standard_streams_does_not_write_into_the_file),
        cmocka_unit_test(a_file_truncated_while_mapped_gives_a_status_or_sigbus),
        cmocka_unit_test(an_edit_is_noticed_when_the_page_is_first_read),
    };
    return cmocka_run_group_tests_name("db_process", tests, NULL, NULL);
}
