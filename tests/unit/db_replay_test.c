/* db_replay_test.c: the log decides everything (SEM-34, SEM-61, SEM-62, SEM-64, REC-6).
 *
 * What is promised: the same records give the same content, chain and state hash anywhere. What is
 * more, and holds because nothing but the records, the options, the clock and the entropy enters a
 * file: with these equal, and no helper thread, the files are equal byte by byte, whatever the
 * addresses of the process. And recovering what a recovery left changes no content, however often
 * it is interrupted. */
#include "format/small_world.h"

#include <sys/wait.h>
#include <unistd.h>

#include <northstar/log.h>

static const char *program; /* argv[0], to be run again */

/* ---- a source ---- */

struct record {
    uint8_t *bytes;
    size_t size;
    uint8_t chain[32];
};

struct source {
    struct small small;
    struct record *records;
    size_t count;
    uint8_t hash[16];
};

static void keep_records(struct source *source, ns_db *db)
{
    ns_log *log;
    struct ns_commit commit;
    CHECK_OK(ns_log_open(db, 0, &log));
    source->records = calloc(source->small.newest, sizeof *source->records);
    assert_non_null(source->records);
    while (ns_log_next(log, &commit) == NS_OK) {
        struct record *record = &source->records[source->count++];
        record->size = commit.bytes.size;
        record->bytes = malloc(record->size);
        assert_non_null(record->bytes);
        memcpy(record->bytes, commit.bytes.data, record->size);
        memcpy(record->chain, commit.chain, sizeof record->chain);
    }
    ns_log_close(log);
    assert_int_equal(source->count, source->small.newest);
}

static void hash_of(ns_db *db, uint8_t hash[16])
{
    ns_txn *txn;
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    CHECK_OK(ns_txn_state_hash(txn, hash));
    ns_txn_abort(txn);
}

static void make_source(struct source *source)
{
    ns_db *db;
    memset(source, 0, sizeof *source);
    small_init(&source->small, 0, 71);
    CHECK_OK(ns_db_open(SMALL_PATH, &source->small.with, &db));
    for (unsigned i = 0; i < 120; i++)
        small_commit(&source->small, db, 1 + i % 40);
    keep_records(source, db);
    hash_of(db, source->hash);
    CHECK_OK(ns_db_close(db));
}

static void free_source(struct source *source)
{
    for (size_t i = 0; i < source->count; i++)
        free(source->records[i].bytes);
    free(source->records);
    small_deinit(&source->small);
}

/* ---- replicas ---- */

/* Applies all records to a new database in a world of this seed; it is closed. */
static struct ns__mem *replay(const struct source *source, const ns_options *options, uint64_t seed)
{
    struct ns__mem *mem;
    ns_db *db;
    ns_options with = *options;
    CHECK_OK(ns__mem_new(NS__MEM_FAKE_TIME, seed, NULL, &mem));
    with.vfs = ns__mem_vfs(mem);
    CHECK_OK(ns_db_open(SMALL_PATH, &with, &db));
    for (size_t i = 0; i < source->count; i++) {
        const struct record *record = &source->records[i];
        CHECK_OK(ns_log_apply(db, ns_bytes(record->bytes, record->size)));
    }
    CHECK_OK(ns_db_close(db));
    return mem;
}

/* Same content, same hash, and the same records, byte by byte. */
static void check_replica(const struct source *source, struct ns__mem *mem,
                          const ns_options *options)
{
    ns_db *db;
    ns_txn *txn;
    ns_log *log;
    struct ns_commit commit;
    uint8_t hash[16];
    ns_options with = *options;
    with.vfs = ns__mem_vfs(mem);
    CHECK_OK(ns_db_open(SMALL_PATH, &with, &db));
    hash_of(db, hash);
    assert_memory_equal(hash, source->hash, sizeof hash);
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    assert_int_equal(small_read(txn, source->small.states[source->small.newest]), SMALL_WHOLE);
    ns_txn_abort(txn);
    CHECK_OK(ns_log_open(db, 0, &log));
    for (size_t i = 0; i < source->count; i++) {
        const struct record *record = &source->records[i];
        CHECK_OK(ns_log_next(log, &commit));
        assert_int_equal(commit.bytes.size, record->size);
        assert_memory_equal(commit.bytes.data, record->bytes, record->size);
        assert_memory_equal(commit.chain, record->chain, sizeof record->chain);
    }
    ns_log_close(log);
    CHECK_OK(ns_db_close(db));
    CHECK_OK(ns_db_verify(SMALL_PATH, &with, NULL, NULL));
}

static const ns_options settings[] = {
    {.flags = NS_NO_THREADS, .history = NS_HISTORY_ALL},
    {.flags = NS_NO_THREADS | NS_LOG_PADDED, .history = NS_HISTORY_ALL, .checkpoint_bytes = 20000},
    {.flags = NS_NO_THREADS, .page_size = 65536, .history = NS_HISTORY_ALL},
    {.flags = NS_NO_THREADS, .page_size = 8192, .frame_bytes = 1, .history = NS_HISTORY_ALL},
    {.sync = NS_SYNC_OFF, .checkpoint_bytes = 50000, .history = NS_HISTORY_ALL}, /* helper thread */
};
#define SETTINGS (sizeof settings / sizeof settings[0])

static void the_same_records_give_the_same_content_under_any_settings(void **state)
{
    struct source source;
    (void)state;
    make_source(&source);
    for (size_t i = 0; i < SETTINGS; i++) {
        struct ns__mem *mem = replay(&source, &settings[i], 100 + i);
        check_replica(&source, mem, &settings[i]);
        ns__mem_free(mem);
    }
    free_source(&source);
}

static uint64_t image_hash(const struct source *source, const ns_options *options, uint64_t seed)
{
    struct ns__mem *mem = replay(source, options, seed);
    uint64_t hash = ns__mem_image_hash(mem);
    ns__mem_free(mem);
    return hash;
}

/* What the other process found, under addresses of its own. */
static uint64_t image_hash_elsewhere(size_t setting, uint64_t seed)
{
    int ends[2];
    char number[2][32], text[32] = "";
    assert_int_equal(pipe(ends), 0);
    (void)snprintf(number[0], sizeof number[0], "%zu", setting);
    (void)snprintf(number[1], sizeof number[1], "%llu", (unsigned long long)seed);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (dup2(ends[1], 3) == 3)
            execl(program, program, "--image", number[0], number[1], (char *)NULL);
        _exit(99);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], text, sizeof text - 1);
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    assert_int_equal(got, 16);
    close(ends[0]);
    return strtoull(text, NULL, 16);
}

static int print_image_hash(size_t setting, uint64_t seed)
{
    struct source source;
    make_source(&source);
    char text[32];
    (void)snprintf(text, sizeof text, "%016llx",
                   (unsigned long long)image_hash(&source, &settings[setting], seed));
    free_source(&source);
    return write(3, text, 16) == 16 ? 0 : 1;
}

static void equal_replays_give_equal_files(void **state)
{
    struct source source;
    (void)state;
    make_source(&source);
    for (size_t i = 0; i + 1 < SETTINGS; i++) { /* the last one has a helper thread */
        uint64_t hash = image_hash(&source, &settings[i], 200 + i);
        assert_true(image_hash(&source, &settings[i], 200 + i) == hash);
        assert_true(image_hash_elsewhere(i, 200 + i) == hash);
        assert_true(image_hash(&source, &settings[i], 201 + i) != hash); /* another identity */
    }
    free_source(&source);
}

/* ---- recovery of a recovery ---- */

/* Opens, looks, and is killed: the world as the kill left it. */
static struct ns__mem *recover_and_kill(const struct small *small, struct ns__mem *mem)
{
    ns_db *db;
    ns_txn *txn;
    struct ns__mem *killed;
    ns_options with = small->with;
    with.vfs = ns__mem_vfs(mem);
    CHECK_OK(ns_db_open(SMALL_PATH, &with, &db));
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    assert_int_equal(ns_txn_id(txn), small->newest);
    assert_int_equal(small_read(txn, small->states[small->newest]), SMALL_WHOLE);
    ns_txn_abort(txn);
    CHECK_OK(ns__mem_clone(mem, &killed));
    CHECK_OK(ns_db_close(db));
    ns__mem_free(mem);
    return killed;
}

static void recovering_a_recovery_changes_nothing(void **state)
{
    struct small small;
    struct ns__mem *mem;
    ns_db *db;
    ns_slice content;
    size_t first_size = 0;
    (void)state;
    small_init(&small, 0, 72);
    CHECK_OK(ns_db_open(SMALL_PATH, &small.with, &db));
    for (unsigned i = 0; i < 50; i++)
        small_commit(&small, db, 20);
    CHECK_OK(ns__mem_clone(small.mem, &mem));
    CHECK_OK(ns_db_close(db));
    for (unsigned i = 0; i < 40; i++) {
        mem = recover_and_kill(&small, mem);
        CHECK_OK(ns__mem_file_get(mem, SMALL_PATH, &content));
        if (i == 2) first_size = content.size;
        if (i > 2) assert_in_range(content.size, 1, 2 * first_size);
        small.with.vfs = ns__mem_vfs(mem);
        CHECK_OK(ns_db_verify(SMALL_PATH, &small.with, NULL, NULL));
    }
    ns__mem_free(mem);
    small_deinit(&small);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_records_give_the_same_content_under_any_settings),
        cmocka_unit_test(equal_replays_give_equal_files),
        cmocka_unit_test(recovering_a_recovery_changes_nothing),
    };
    if (argc == 4 && strcmp(argv[1], "--image") == 0)
        return print_image_hash((size_t)strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    program = argv[0];
    return cmocka_run_group_tests_name("db_replay", tests, NULL, NULL);
}
