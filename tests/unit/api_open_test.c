/* api_open_test.c: opening and closing: options, flags, who else may have the file, fork, and what
 * is told of it. Real files, except where only the answer counts. */
#include "harness/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/scratch.h"
#include "vfs/mem.h"

#define PATH_BYTES SCRATCH_PATH_BYTES

static const char *program; /* argv[0], to run this test as another process */

static ns_options quick(uint32_t flags)
{
    ns_options with;
    memset(&with, 0, sizeof with);
    with.flags = NS_NO_THREADS | flags;
    with.sync = NS_SYNC_OFF;
    return with;
}

static void put_one(ns_db *db, const char *key, const char *value)
{
    ns_txn *txn;
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str(key), ns_str(value)));
    CHECK_OK(ns_txn_commit(txn, NULL));
}

static void check_one(ns_db *db, const char *key, const char *value)
{
    ns_txn *txn;
    ns_slice found;
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    CHECK_STATUS(ns_txn_get(txn, NS_MAIN, ns_str(key), &found),
                 value != NULL ? NS_OK : NS_NOTFOUND);
    if (value != NULL) {
        assert_int_equal(found.size, strlen(value));
        assert_memory_equal(found.data, value, found.size);
    }
    ns_txn_abort(txn);
}

static void create(const char *path, const char *key, const char *value)
{
    ns_db *db;
    ns_options with = quick(0);
    CHECK_OK(ns_db_open(path, &with, &db));
    put_one(db, key, value);
    CHECK_OK(ns_db_close(db));
}

/* ---- the ten lines of northstar.h ---- */

static void the_ten_line_program_works(void **state)
{
    struct scratch scratch;
    char path[PATH_BYTES];
    ns_db *db;
    ns_txn *txn;
    ns_slice value;
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "app.ns", path);
    CHECK_OK(ns_db_open(path, NULL, &db));
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("colour"), ns_str("blue")));
    CHECK_OK(ns_txn_commit(txn, NULL));
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    CHECK_OK(ns_txn_get(txn, NS_MAIN, ns_str("colour"), &value));
    assert_int_equal(value.size, 4);
    assert_memory_equal(value.data, "blue", 4);
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
    CHECK_OK(ns_db_verify(path, NULL, NULL, NULL));
    CHECK_OK(ns_db_open(path, NULL, &db));
    check_one(db, "colour", "blue");
    CHECK_OK(ns_db_close(db));
    scratch_deinit(&scratch);
}

/* ---- options ---- */

static void check_options(ns_options with, ns_status wanted)
{
    ns_db *db = NULL;
    with.flags |= NS_IN_MEMORY | NS_NO_THREADS;
    CHECK_STATUS(ns_db_open(NULL, &with, &db), wanted);
    assert_true((db != NULL) == (wanted == NS_OK));
    if (db != NULL) CHECK_OK(ns_db_close(db));
}

static void options_are_validated(void **state)
{
    (void)state;
    const struct {
        ns_options with;
        ns_status wanted;
    } rows[] = {
        {{.flags = 0}, NS_OK},
        {{.flags = 0x80}, NS_INVALID},
        {{.flags = 0x80000000u}, NS_INVALID},
        {{.flags = NS_MUST_EXIST | NS_MUST_CREATE}, NS_INVALID},
        {{.flags = NS_RDONLY | NS_MUST_CREATE}, NS_INVALID},
        {{.flags = NS_LOG_PADDED}, NS_OK},
        {{.page_size = 4096}, NS_OK},
        {{.page_size = 65536}, NS_OK},
        {{.page_size = 2048}, NS_INVALID},
        {{.page_size = 131072}, NS_INVALID},
        {{.page_size = 5000}, NS_INVALID},
        {{.page_size = 1}, NS_INVALID},
        {{.sync = NS_SYNC_OFF}, NS_OK},
        {{.sync = NS_SYNC_LAZY}, NS_UNSUPPORTED},
        {{.sync = 3}, NS_INVALID},
        {{.history = NS_HISTORY_BOUNDED}, NS_OK},
        {{.history = NS_HISTORY_ALL}, NS_OK},
        {{.history = NS_HISTORY_NONE}, NS_OK},
        {{.history = 4}, NS_INVALID},
        {{.busy_timeout_ms = UINT32_MAX}, NS_OK},
        {{.max_readers = 1}, NS_OK},
        {{.reserved = {1}}, NS_INVALID},
        {{.reserved = {0, 0, 0, 0, 0, 0, 0, 1}}, NS_INVALID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_options(rows[i].with, rows[i].wanted);
    }
}

static void the_page_size_lives_in_the_file(void **state)
{
    struct scratch scratch;
    char path[PATH_BYTES];
    ns_db *db;
    ns_db_stats_t stats;
    ns_options with = quick(0);
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "pages.ns", path);
    with.page_size = 16384;
    with.history = NS_HISTORY_ALL;
    CHECK_OK(ns_db_open(path, &with, &db));
    CHECK_OK(ns_db_close(db));
    with = quick(0);
    CHECK_OK(ns_db_open(path, &with, &db));
    CHECK_OK(ns_db_stats(db, &stats, sizeof stats));
    assert_int_equal(stats.page_size, 16384);
    assert_int_equal(stats.history, NS_HISTORY_ALL);
    CHECK_OK(ns_db_close(db));
    scratch_deinit(&scratch);
}

/* ---- present and absent ---- */

static void must_exist_and_must_create(void **state)
{
    struct scratch scratch;
    char path[PATH_BYTES];
    struct stat info;
    ns_db *db;
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "there.ns", path);
    ns_options must_exist = quick(NS_MUST_EXIST);
    ns_options must_create = quick(NS_MUST_CREATE);
    CHECK_STATUS(ns_db_open(path, &must_exist, &db), NS_NOTFOUND);
    assert_null(db);
    assert_int_equal(stat(path, &info), -1); /* nothing was created */
    CHECK_OK(ns_db_open(path, &must_create, &db));
    put_one(db, "a", "1");
    CHECK_OK(ns_db_close(db));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    CHECK_STATUS(ns_db_open(path, &must_create, &db), NS_EXISTS);
    assert_null(db);
    CHECK_OK(ns_db_open(path, &must_exist, &db));
    check_one(db, "a", "1");
    CHECK_OK(ns_db_close(db));
    scratch_deinit(&scratch);
}

static void places_where_no_database_can_be(void **state)
{
    struct scratch scratch;
    char path[PATH_BYTES];
    ns_db *db;
    ns_options with = quick(0);
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "no/such/directory.ns", path);
    ns_status status = ns_db_open(path, &with, &db);
    assert_true(status == NS_NOTFOUND || status == NS_IO);
    assert_null(db);
    status = ns_db_open(scratch.directory, &with, &db);
    assert_true(status == NS_UNSUPPORTED || status == NS_IO || status == NS_READONLY);
    status = ns_db_open("", &with, &db);
    assert_true(status != NS_OK);
    scratch_path(&scratch, "pipe", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(ns_db_open(path, &with, &db), NS_UNSUPPORTED);
    assert_null(db);
    scratch_deinit(&scratch);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void a_foreign_file_is_left_untouched(void **state)
{
    static const char foreign[] = "SQLite format 3\0and more of it, which nobody may change";
    struct scratch scratch;
    char path[PATH_BYTES];
    char after[sizeof foreign + 8];
    ns_db *db;
    ns_options with = quick(0);
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "foreign.db", path);
    write_file(path, foreign, sizeof foreign);
    CHECK_STATUS(ns_db_open(path, &with, &db), NS_NOTADB);
    assert_null(db);
    assert_true(strlen(ns_error_detail()) > 0);
    CHECK_STATUS(ns_db_verify(path, &with, NULL, NULL), NS_NOTADB);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(after, 1, sizeof after, file), sizeof foreign);
    fclose(file);
    assert_memory_equal(after, foreign, sizeof foreign);
    scratch_deinit(&scratch);
}

/* ---- read-only ---- */

static void read_only_reads_and_refuses_the_rest(void **state)
{
    struct scratch scratch;
    char path[PATH_BYTES];
    ns_db *db;
    ns_db *second;
    ns_txn *txn;
    ns_options with = quick(NS_RDONLY);
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "readonly.ns", path);
    CHECK_STATUS(ns_db_open(path, &with, &db), NS_NOTFOUND);
    create(path, "a", "1");
    CHECK_OK(ns_db_open(path, &with, &db));
    CHECK_OK(ns_db_open(path, &with, &second)); /* readers share */
    check_one(db, "a", "1");
    check_one(second, "a", "1");
    txn = (ns_txn *)&with;
    CHECK_STATUS(ns_txn_begin(db, NS_WRITE, &txn), NS_READONLY);
    assert_null(txn);
    CHECK_STATUS(ns_db_checkpoint(db), NS_READONLY);
    ns_options writer = quick(0);
    ns_db *third;
    CHECK_STATUS(ns_db_open(path, &writer, &third), NS_BUSY);
    CHECK_OK(ns_db_close(second));
    CHECK_OK(ns_db_close(db));
    scratch_deinit(&scratch);
}

/* What a crash left is replayed into memory, and the file stays as it was. */
static void read_only_after_a_crash_writes_nothing(void **state)
{
    struct ns__mem *mem;
    struct ns__mem *after;
    ns_db *db;
    ns_options with = quick(0);
    (void)state;
    CHECK_OK(ns__mem_new(NS__MEM_DURABILITY | NS__MEM_FAKE_TIME, 1, NULL, &mem));
    with.vfs = ns__mem_vfs(mem);
    CHECK_OK(ns_db_open("m.ns", &with, &db));
    put_one(db, "a", "1");
    CHECK_OK(ns_db_checkpoint(db));
    put_one(db, "b", "2");
    CHECK_OK(ns__mem_clone(mem, &after)); /* as after a kill */
    CHECK_OK(ns_db_close(db));
    ns__mem_free(mem);
    uint64_t hash = ns__mem_image_hash(after);
    with.flags |= NS_RDONLY;
    with.vfs = ns__mem_vfs(after);
    CHECK_OK(ns_db_open("m.ns", &with, &db));
    check_one(db, "a", "1");
    check_one(db, "b", "2");
    CHECK_OK(ns_db_close(db));
    assert_true(ns__mem_image_hash(after) == hash);
    ns__mem_free(after);
}

/* ---- in memory ---- */

static void in_memory_databases_are_separate_and_gone_at_close(void **state)
{
    ns_db *first;
    ns_db *second;
    ns_options with = quick(NS_IN_MEMORY);
    (void)state;
    CHECK_OK(ns_db_open(NULL, &with, &first));
    CHECK_OK(ns_db_open("a name that means nothing", &with, &second));
    put_one(first, "a", "1");
    check_one(first, "a", "1");
    check_one(second, "a", NULL);
    CHECK_OK(ns_db_checkpoint(first));
    check_one(first, "a", "1");
    CHECK_OK(ns_db_close(first));
    CHECK_OK(ns_db_close(second));
    assert_int_equal(access("a name that means nothing", F_OK), -1);
    CHECK_OK(ns_db_open(NULL, &with, &first));
    check_one(first, "a", NULL);
    CHECK_OK(ns_db_close(first));
}

/* ---- who else has it ---- */

static int open_status_in_another_process(const char *path, const char *how)
{
    int state = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl(program, program, "--open", path, how, (char *)NULL);
        _exit(99);
    }
    assert_int_equal(waitpid(child, &state, 0), child);
    assert_true(WIFEXITED(state));
    return WEXITSTATUS(state);
}

static void an_open_file_is_busy_for_everybody_else(void **state)
{
    struct scratch scratch;
    char path[PATH_BYTES];
    char alias[PATH_BYTES];
    ns_db *db;
    ns_db *second;
    ns_options with = quick(0);
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "busy.ns", path);
    scratch_path(&scratch, "alias.ns", alias);
    CHECK_OK(ns_db_open(path, &with, &db));
    put_one(db, "a", "1");
    second = db;
    CHECK_STATUS(ns_db_open(path, &with, &second), NS_BUSY);
    assert_null(second);
    assert_true(strlen(ns_error_detail()) > 0);
    assert_int_equal(link(path, alias), 0);
    CHECK_STATUS(ns_db_open(alias, &with, &second), NS_BUSY);
    CHECK_STATUS(ns_db_verify(path, &with, NULL, NULL), NS_BUSY);
    assert_int_equal(open_status_in_another_process(path, "rw"), NS_BUSY);
    assert_int_equal(open_status_in_another_process(path, "ro"), NS_BUSY);
    /* Neither failure took anything from the first handle. */
    put_one(db, "b", "2");
    assert_int_equal(open_status_in_another_process(path, "rw"), NS_BUSY);
    CHECK_OK(ns_db_close(db));
    assert_int_equal(open_status_in_another_process(path, "rw"), NS_OK);
    CHECK_OK(ns_db_open(alias, &with, &db));
    check_one(db, "b", "2");
    CHECK_OK(ns_db_close(db));
    scratch_deinit(&scratch);
}

static int use_forked_handle(ns_db *db, ns_txn *txn, ns_cursor *cursor)
{
    ns_txn *other;
    ns_slice value;
    ns_db_stats_t stats;
    if (ns_txn_begin(db, NS_READ, &other) != NS_FORKED) return 1;
    if (ns_txn_begin(db, NS_WRITE, &other) != NS_FORKED) return 2;
    if (ns_txn_get(txn, NS_MAIN, ns_str("a"), &value) != NS_FORKED) return 3;
    if (ns_txn_put(txn, NS_MAIN, ns_str("a"), ns_str("x")) != NS_FORKED) return 4;
    if (ns_cursor_first(cursor) != NS_FORKED) return 5;
    if (ns_db_checkpoint(db) != NS_FORKED) return 6;
    if (ns_db_stats(db, &stats, sizeof stats) != NS_FORKED) return 7;
    if (ns_txn_commit(txn, NULL) != NS_FORKED) return 8;
    ns_txn_abort(txn);
    ns_cursor_close(cursor);
    (void)ns_db_close(db);
    return 0;
}

static void a_handle_does_not_survive_fork(void **state)
{
    struct scratch scratch;
    char path[PATH_BYTES];
    ns_db *db;
    ns_txn *txn;
    ns_cursor *cursor;
    int result = 0;
    ns_options with = quick(0);
    (void)state;
    scratch_init(&scratch);
    scratch_path(&scratch, "fork.ns", path);
    CHECK_OK(ns_db_open(path, &with, &db));
    put_one(db, "a", "1");
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("b"), ns_str("2")));
    CHECK_OK(ns_cursor_open(txn, NS_MAIN, &cursor));
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(use_forked_handle(db, txn, cursor));
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    /* The child's end took nothing from the parent: still locked, still writable. */
    assert_int_equal(open_status_in_another_process(path, "rw"), NS_BUSY);
    ns_cursor_close(cursor);
    CHECK_OK(ns_txn_commit(txn, NULL));
    for (int i = 0; i < 100; i++)
        put_one(db, "c", "3");
    CHECK_OK(ns_db_close(db));
    CHECK_OK(ns_db_verify(path, &with, NULL, NULL));
    CHECK_OK(ns_db_open(path, &with, &db));
    check_one(db, "b", "2");
    CHECK_OK(ns_db_close(db));
    scratch_deinit(&scratch);
}

/* ---- closing ---- */

static void close_waits_for_nobody_and_loses_nothing(void **state)
{
    ns_db *db;
    ns_txn *read;
    ns_txn *write;
    ns_cursor *cursor;
    ns_options with = quick(NS_IN_MEMORY);
    (void)state;
    CHECK_OK(ns_db_open(NULL, &with, &db));
    put_one(db, "a", "1");
    CHECK_OK(ns_txn_begin(db, NS_READ, &read));
    CHECK_OK(ns_cursor_open(read, NS_MAIN, &cursor));
    CHECK_STATUS(ns_db_close(db), NS_BUSY);
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &write));
    CHECK_STATUS(ns_db_close(db), NS_BUSY);
    CHECK_OK(ns_txn_put(write, NS_MAIN, ns_str("b"), ns_str("2")));
    ns_txn_abort(read);
    CHECK_STATUS(ns_db_close(db), NS_BUSY);
    CHECK_STATUS(ns_cursor_first(cursor), NS_INVALID);
    ns_cursor_close(cursor);
    CHECK_OK(ns_txn_commit(write, NULL));
    check_one(db, "b", "2");
    CHECK_OK(ns_db_close(db));
}

/* ---- limits on handles ---- */

static void readers_are_limited_by_max_readers(void **state)
{
    ns_db *db;
    ns_txn *readers[3];
    ns_txn *one_more;
    ns_options with = quick(NS_IN_MEMORY);
    (void)state;
    with.max_readers = 3;
    CHECK_OK(ns_db_open(NULL, &with, &db));
    for (size_t i = 0; i < 3; i++)
        CHECK_OK(ns_txn_begin(db, NS_READ, &readers[i]));
    one_more = readers[0];
    CHECK_STATUS(ns_txn_begin(db, NS_READ, &one_more), NS_BUSY);
    assert_null(one_more);
    ns_txn_abort(readers[1]);
    CHECK_OK(ns_txn_begin(db, NS_READ, &readers[1]));
    for (size_t i = 0; i < 3; i++)
        ns_txn_abort(readers[i]);
    CHECK_OK(ns_db_close(db));
}

static void stats_give_older_callers_a_prefix(void **state)
{
    union {
        ns_db_stats_t stats;
        unsigned char bytes[sizeof(ns_db_stats_t) + 64];
    } out;
    ns_db *db;
    ns_options with = quick(NS_IN_MEMORY);
    (void)state;
    CHECK_OK(ns_db_open(NULL, &with, &db));
    put_one(db, "a", "1");
    memset(&out, 0xee, sizeof out);
    CHECK_OK(ns_db_stats(db, &out.stats, 16));
    assert_int_equal(out.stats.page_size, 4096);
    assert_int_equal(out.stats.txn_id, 1);
    for (size_t i = 16; i < sizeof out; i++)
        assert_int_equal(out.bytes[i], 0xee);
    memset(&out, 0xee, sizeof out);
    CHECK_OK(ns_db_stats(db, &out.stats, sizeof out)); /* a newer caller */
    assert_int_equal(out.stats.entries, 1);
    assert_int_equal(out.stats.commits, 1);
    CHECK_OK(ns_db_close(db));
}

/* ---- events ---- */

struct heard {
    int recovered, checkpoints, failed, poisoned, full;
    uint64_t replayed;
};

static void hear(void *ctx, const struct ns_event *event)
{
    struct heard *heard = ctx;
    heard->recovered += event->kind == NS_EVENT_RECOVERED;
    heard->checkpoints += event->kind == NS_EVENT_CHECKPOINT;
    heard->failed += event->kind == NS_EVENT_CHECKPOINT_FAILED;
    heard->poisoned += event->kind == NS_EVENT_POISONED;
    heard->full += event->kind == NS_EVENT_FULL;
    if (event->kind == NS_EVENT_RECOVERED) heard->replayed = event->a;
}

static void recovery_and_checkpoints_are_told(void **state)
{
    struct ns__mem *mem;
    struct ns__mem *after;
    struct heard heard = {0, 0, 0, 0, 0, 0};
    ns_db *db;
    ns_options with = quick(0);
    (void)state;
    CHECK_OK(ns__mem_new(NS__MEM_DURABILITY, 1, NULL, &mem));
    with.vfs = ns__mem_vfs(mem);
    with.on_event = hear;
    with.event_ctx = &heard;
    CHECK_OK(ns_db_open("m.ns", &with, &db));
    put_one(db, "a", "1");
    put_one(db, "b", "2");
    CHECK_OK(ns__mem_clone(mem, &after));
    assert_int_equal(heard.recovered, 0);
    CHECK_OK(ns_db_checkpoint(db));
    assert_int_equal(heard.checkpoints, 1);
    CHECK_OK(ns_db_close(db));
    ns__mem_free(mem);
    with.vfs = ns__mem_vfs(after);
    CHECK_OK(ns_db_open("m.ns", &with, &db));
    assert_int_equal(heard.recovered, 1);
    assert_int_equal(heard.replayed, 2);
    check_one(db, "b", "2");
    CHECK_OK(ns_db_close(db));
    assert_int_equal(heard.failed + heard.poisoned + heard.full, 0);
    ns__mem_free(after);
}

static int open_for_parent(const char *path, const char *how)
{
    ns_db *db;
    ns_options with = quick(strcmp(how, "ro") == 0 ? NS_RDONLY : 0);
    ns_status status = ns_db_open(path, &with, &db);
    if (status == NS_OK) status = ns_db_close(db);
    return (int)status;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ten_line_program_works),
        cmocka_unit_test(options_are_validated),
        cmocka_unit_test(the_page_size_lives_in_the_file),
        cmocka_unit_test(must_exist_and_must_create),
        cmocka_unit_test(places_where_no_database_can_be),
        cmocka_unit_test(a_foreign_file_is_left_untouched),
        cmocka_unit_test(read_only_reads_and_refuses_the_rest),
        cmocka_unit_test(read_only_after_a_crash_writes_nothing),
        cmocka_unit_test(in_memory_databases_are_separate_and_gone_at_close),
        cmocka_unit_test(an_open_file_is_busy_for_everybody_else),
        cmocka_unit_test(a_handle_does_not_survive_fork),
        cmocka_unit_test(close_waits_for_nobody_and_loses_nothing),
        cmocka_unit_test(readers_are_limited_by_max_readers),
        cmocka_unit_test(stats_give_older_callers_a_prefix),
        cmocka_unit_test(recovery_and_checkpoints_are_told),
    };
    if (argc == 4 && strcmp(argv[1], "--open") == 0) return open_for_parent(argv[2], argv[3]);
    program = argv[0];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
