/* db_full_test.c: a full disk (promise 8): NS_FULL before anything changed, an intact database that
 * can still be read and deleted from, and space that comes back. The disk is simulated; every
 * figure of free space is tried. */
#include "harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/reference.h"
#include "vfs/mem.h"

#define PATH "full.ns"

struct disk {
    struct ns__mem *mem;
    ns_options with;
    ns_db *db;
    struct ref_state *state;
    int full_events;
};

static void count_full(void *ctx, const struct ns_event *event)
{
    struct disk *disk = ctx;
    disk->full_events += event->kind == NS_EVENT_FULL;
}

static void open_disk(struct disk *disk, ns_history history)
{
    memset(disk, 0, sizeof *disk);
    CHECK_OK(ns__mem_new(NS__MEM_DURABILITY | NS__MEM_FAKE_TIME, 3, NULL, &disk->mem));
    disk->with.flags = NS_NO_THREADS;
    disk->with.history = history;
    disk->with.checkpoint_bytes = 256 << 10;
    disk->with.frame_bytes = 1 << 20;
    disk->with.vfs = ns__mem_vfs(disk->mem);
    disk->with.on_event = count_full;
    disk->with.event_ctx = disk;
    disk->state = ref_state_new();
    CHECK_OK(ns_db_open(PATH, &disk->with, &disk->db));
}

static uint64_t file_bytes(struct disk *disk)
{
    ns_slice content;
    CHECK_OK(ns__mem_file_get(disk->mem, PATH, &content));
    return content.size;
}

/* Puts count entries; on NS_FULL the reference stays as it was. */
static ns_status put_entries(struct disk *disk, unsigned first, unsigned count, size_t size)
{
    static uint8_t value[40000];
    ns_txn *txn;
    uint64_t id = 0;
    struct ref_state *next = ref_state_copy(disk->state);
    CHECK_OK(ns_txn_begin(disk->db, NS_WRITE, &txn));
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "key %u", (first + i) * 7919u % 100000u);
        memset(value, (int)(first + i), size);
        CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str(key), ns_bytes(value, size)));
        ref_put(next, NS_MAIN, ns_str(key), ns_bytes(value, size));
    }
    ns_status status = ns_txn_commit(txn, &id);
    if (status != NS_OK) {
        assert_int_equal(status, NS_FULL);
        assert_int_equal(id, 0);
        ref_state_release(next);
        return status;
    }
    ref_state_commit(next, id);
    ref_state_release(disk->state);
    disk->state = next;
    return NS_OK;
}

static void check_content(struct disk *disk)
{
    char text[REF_TEXT_BYTES];
    ns_txn *txn;
    CHECK_OK(ns_txn_begin(disk->db, NS_READ, &txn));
    if (!ref_check(txn, disk->state, false, text)) fail_msg("%s", text);
    ns_txn_abort(txn);
}

static void delete_everything(struct disk *disk)
{
    ns_txn *txn;
    uint64_t id;
    CHECK_OK(ns_txn_begin(disk->db, NS_WRITE, &txn));
    CHECK_OK(ns_txn_del_range(txn, NS_MAIN, ns_bytes(NULL, 0), ns_bytes(NULL, 0)));
    CHECK_OK(ns_txn_commit(txn, &id));
    ref_del_range(disk->state, NS_MAIN, ns_bytes(NULL, 0), ns_bytes(NULL, 0));
    disk->state->txn_id = id;
}

static void close_disk(struct disk *disk)
{
    CHECK_OK(ns_db_close(disk->db));
    CHECK_OK(ns_db_verify(PATH, &disk->with, NULL, NULL));
    CHECK_OK(ns_db_open(PATH, &disk->with, &disk->db));
    check_content(disk);
    CHECK_OK(ns_db_close(disk->db));
    ref_state_release(disk->state);
    ns__mem_free(disk->mem);
}

/* Fills the disk with entries of this size until a commit is refused. */
static void fill_disk(struct disk *disk, uint64_t more, size_t size)
{
    unsigned count = size > 1000 ? 5 : 100;
    unsigned first = 0;
    ns__mem_set_capacity(disk->mem, file_bytes(disk) + more);
    while (put_entries(disk, first, count, size) == NS_OK) {
        first += count;
        assert_true(first < 1000000);
    }
}

static void a_full_disk_can_be_read_and_deleted_from(void **state)
{
    static const size_t sizes[] = {50, 1500, 20000};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct disk disk;
        open_disk(&disk, NS_HISTORY_NONE);
        fill_disk(&disk, 3 << 20, sizes[i]);
        assert_true(disk.full_events > 0);
        check_content(&disk);
        assert_int_equal(put_entries(&disk, 500000, 100, 30000), NS_FULL); /* again, no worse */
        delete_everything(&disk);
        check_content(&disk);
        CHECK_OK(ns_db_checkpoint(disk.db));
        CHECK_OK(ns_db_checkpoint(disk.db));
        CHECK_OK(put_entries(&disk, 0, 50, 100)); /* the space is there again */
        check_content(&disk);
        close_disk(&disk);
    }
}

static void small_deletions_make_room_too(void **state)
{
    struct disk disk;
    (void)state;
    open_disk(&disk, NS_HISTORY_NONE);
    fill_disk(&disk, 2 << 20, 300);
    while (disk.state->trees[0]->count > 0) {
        ns_txn *txn;
        uint64_t id;
        CHECK_OK(ns_txn_begin(disk.db, NS_WRITE, &txn));
        for (int i = 0; i < 50 && disk.state->trees[0]->count > 0; i++) {
            uint8_t key[64];
            size_t at = disk.state->trees[0]->count / 2;
            ns_slice view = ref_slice(disk.state->trees[0]->entries[at].key);
            memcpy(key, view.data, view.size);
            CHECK_OK(ns_txn_del(txn, NS_MAIN, ns_bytes(key, view.size)));
            ref_del(disk.state, NS_MAIN, ns_bytes(key, view.size));
        }
        CHECK_OK(ns_txn_commit(txn, &id));
        disk.state->txn_id = id;
    }
    CHECK_OK(put_entries(&disk, 0, 100, 100));
    close_disk(&disk);
}

/* Every amount of free space, in steps: whatever is refused changed nothing, and more space is all
 * that is needed. */
static void every_refusal_leaves_the_database_whole(void **state)
{
    uint64_t refusals = 0;
    (void)state;
    for (uint64_t more = 0; more < 1200 << 10; more += (13 << 10) + 512) {
        struct disk disk;
        open_disk(&disk, more % 3 == 0 ? NS_HISTORY_ALL : NS_HISTORY_NONE);
        CHECK_OK(put_entries(&disk, 0, 200, 100));
        CHECK_OK(ns_db_checkpoint(disk.db));
        ns__mem_set_capacity(disk.mem, file_bytes(&disk) + more);
        for (unsigned i = 0; i < 12; i++) {
            refusals += put_entries(&disk, i * 100, 60, i % 4 == 3 ? 9000 : 300) == NS_FULL;
            ns_status status = i % 5 == 4 ? ns_db_checkpoint(disk.db) : NS_OK;
            assert_true(status == NS_OK || status == NS_FULL);
        }
        check_content(&disk);
        ns__mem_set_capacity(disk.mem, 0);
        CHECK_OK(put_entries(&disk, 7, 100, 300));
        check_content(&disk);
        close_disk(&disk);
    }
    print_message("full: %llu refusals\n", (unsigned long long)refusals);
    assert_true(refusals > 100);
}

/* A crash while the disk is full: recovery needs space of its own, and has it. */
static void a_crash_on_a_full_disk_recovers(void **state)
{
    (void)state;
    for (unsigned cut = 0; cut < 2; cut++) {
        struct disk disk;
        struct ns__mem *after;
        open_disk(&disk, NS_HISTORY_NONE);
        fill_disk(&disk, 1 << 20, 500);
        if (cut == 0) CHECK_OK(ns__mem_clone(disk.mem, &after));
        if (cut == 1) CHECK_OK(ns__mem_crash(disk.mem, 512, NULL, NULL, 1, &after));
        CHECK_OK(ns_db_close(disk.db));
        ns__mem_free(disk.mem);
        disk.mem = after;
        disk.with.vfs = ns__mem_vfs(after);
        ns__mem_set_capacity(after, file_bytes(&disk)); /* not a byte more */
        CHECK_OK(ns_db_open(PATH, &disk.with, &disk.db));
        check_content(&disk);
        delete_everything(&disk);
        check_content(&disk);
        close_disk(&disk);
    }
}

static void creating_without_room_is_refused(void **state)
{
    struct ns__mem *mem;
    ns_db *db;
    ns_options with;
    (void)state;
    for (uint64_t capacity = 1; capacity < 2 << 20; capacity += 37777) {
        memset(&with, 0, sizeof with);
        CHECK_OK(ns__mem_new(NS__MEM_DURABILITY, 1, NULL, &mem));
        with.flags = NS_NO_THREADS;
        with.vfs = ns__mem_vfs(mem);
        ns__mem_set_capacity(mem, capacity);
        ns_status status = ns_db_open(PATH, &with, &db);
        assert_true(status == NS_FULL || status == NS_OK);
        if (status == NS_OK) CHECK_OK(ns_db_close(db));
        ns__mem_set_capacity(mem, 0);
        CHECK_OK(ns_db_open(PATH, &with, &db)); /* what was begun is no obstacle */
        CHECK_OK(ns_db_close(db));
        ns__mem_free(mem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_can_be_read_and_deleted_from),
        cmocka_unit_test(small_deletions_make_room_too),
        cmocka_unit_test(every_refusal_leaves_the_database_whole),
        cmocka_unit_test(a_crash_on_a_full_disk_recovers),
        cmocka_unit_test(creating_without_room_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
