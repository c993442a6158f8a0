/* full_disk.c: real disks that are full, and real syncs that fail.
 *
 * Space. A file system of 60 MB is filled by the database until commits say NS_FULL, with ever
 * smaller transactions. Then: everything committed can be read, a checkpoint finds its space, a
 * process that ends without closing is recovered although nothing is free, deleting works, what was
 * deleted is space for new data; and when somebody else's file goes away, it goes on.
 *
 * Syncs. A loop image lies on a tmpfs that is smaller than the image. The file system in the image
 * has room, so writes succeed, and fail when they are synced: the commit that meets this must fail,
 * the handle must be poisoned, readers go on. Then, without a new mount (the cache still shows what
 * was lost), the database is opened again, once in half of the cases while the device is still
 * full; what an open shows must be an allowed state, and a new mount, which sees what is on the
 * medium, must show the same transaction.
 *
 * The oracle. Transaction t leaves the entries first[t] .. end[t] - 1; key and value follow from an
 * entry's number.
 *
 * XFS and Btrfs run in the long form, where their mkfs is installed. What they do after a failed
 * sync goes beyond spec/commit_v0.md (XFS was seen to lose what it had acknowledged before):
 * NS_CORRUPT is an answer there, and counted; a wrong state is not.
 *
 * A case reads "space KIND" or "sync KIND MIB". It takes root, loop devices and a mount namespace;
 * without them the rack is skipped. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <northstar/vfs.h>
#include "common/rack.h"
#include "io_faults/full_disk/disk.h"

enum figure {
    FIGURE_DISKS,    /* file systems made */
    FIGURE_ENTRIES,  /* read back and compared */
    FIGURE_REFUSED,  /* commits with NS_FULL */
    FIGURE_RESCUED,  /* commits that worked once there was space again */
    FIGURE_FAILED,   /* syncs that failed */
    FIGURE_UNKNOWN,  /* commits with NS_UNKNOWN */
    FIGURE_REOPENED, /* openings after a failed sync, before a new mount */
    FIGURE_SAME,     /* new mounts that showed what the opening had shown */
    FIGURE_LYING,    /* NS_CORRUPT on devices that lie */
    FIGURE_COUNT
};

static const char *const figure_names[FIGURE_COUNT] = {
    "disks",   "entries", "refused",          "rescued",       "failed_syncs",
    "unknown", "reopens", "same_after_mount", "lying_devices",
};

#define TXNS_MAX 20000u
#define VALUE_MAX 16384u

static const struct rack_settings *settings;
static char directory[256]; /* the worker's */
static char home[224];      /* of all workers */

/* ---- the oracle ---- */

struct ledger {
    uint64_t acked, started; /* transactions */
    uint64_t first[TXNS_MAX], end[TXNS_MAX];
};

/* Shared with children that end without closing. */
static struct ledger *ledger;

static size_t value_bytes(uint64_t entry)
{
    return 60 + (size_t)(entry * 7919 % 6) * 2900;
}

static ns_slice value_of(uint64_t entry, uint8_t buffer[VALUE_MAX])
{
    size_t size = value_bytes(entry);
    for (size_t i = 0; i < size; i++)
        buffer[i] = (uint8_t)(entry * 131 + i * 7 + (i >> 8));
    return ns_bytes(buffer, size);
}

static ns_slice key_of(uint64_t entry, char buffer[24])
{
    snprintf(buffer, 24, "entry %012llu", (unsigned long long)entry);
    return ns_str(buffer);
}

static void note_txn(uint64_t first, uint64_t end, bool is_acked)
{
    uint64_t next = ledger->acked + 1;
    if (next == TXNS_MAX) rack_fail("too many transactions for the ledger");
    ledger->first[next] = first;
    ledger->end[next] = end;
    ledger->started = next;
    if (is_acked) ledger->acked = next;
}

/* Compares all that a new reader sees. Returns its transaction; UINT64_MAX: NS_CORRUPT. */
static uint64_t look(ns_db *db, uint64_t low, uint64_t high)
{
    static uint8_t buffer[VALUE_MAX];
    char key_buffer[24];
    ns_txn *txn;
    ns_cursor *cursor;
    if (ns_txn_begin(db, NS_READ, &txn) != NS_OK) rack_fail("begin of a reader");
    uint64_t found = ns_txn_id(txn);
    if (found < low || found > high) {
        rack_fail("transaction %llu is shown, not one of %llu..%llu", (unsigned long long)found,
                  (unsigned long long)low, (unsigned long long)high);
    }
    if (ns_cursor_open(txn, NS_MAIN, &cursor) != NS_OK) rack_fail("no cursor");
    uint64_t entry = ledger->first[found];
    ns_status status;
    while ((status = ns_cursor_next(cursor)) == NS_OK) {
        ns_slice key = key_of(entry, key_buffer), value = value_of(entry, buffer);
        ns_slice got_key = ns_cursor_key(cursor), got = ns_cursor_value(cursor);
        bool is_same = got_key.size == key.size && memcmp(got_key.data, key.data, key.size) == 0 &&
                       got.size == value.size && memcmp(got.data, value.data, value.size) == 0;
        if (!is_same) rack_fail("entry %llu is not as committed", (unsigned long long)entry);
        entry++;
    }
    rack_add(FIGURE_ENTRIES, entry - ledger->first[found]);
    if (status == NS_NOTFOUND && entry != ledger->end[found])
        rack_fail("transaction %llu: %llu entries are missing", (unsigned long long)found,
                  (unsigned long long)(ledger->end[found] - entry));
    if (status != NS_NOTFOUND && status != NS_CORRUPT)
        rack_fail("cursor gave %s", ns_status_name(status));
    ns_cursor_close(cursor);
    ns_txn_abort(txn);
    return status == NS_CORRUPT ? UINT64_MAX : found;
}

/* ---- transactions ---- */

static ns_status add_entries(ns_db *db, unsigned count)
{
    static uint8_t buffer[VALUE_MAX];
    char key_buffer[24];
    ns_txn *txn;
    uint64_t first = ledger->first[ledger->acked], end = ledger->end[ledger->acked], txn_id;
    ns_status status = ns_txn_begin(db, NS_WRITE, &txn);
    if (status != NS_OK) return status;
    for (unsigned i = 0; i < count; i++) {
        ns_slice key = key_of(end + i, key_buffer);
        status = ns_txn_put(txn, NS_MAIN, key, value_of(end + i, buffer));
        if (status != NS_OK) rack_fail("put gave %s", ns_status_name(status));
    }
    status = ns_txn_commit(txn, &txn_id);
    if (status == NS_OK || status == NS_UNKNOWN) note_txn(first, end + count, status == NS_OK);
    if (status == NS_OK && txn_id != ledger->acked) rack_fail("commit gave another id");
    return status;
}

static ns_status delete_entries(ns_db *db, uint64_t count)
{
    char from[24], to[24];
    ns_txn *txn;
    uint64_t first = ledger->first[ledger->acked], end = ledger->end[ledger->acked];
    ns_status status = ns_txn_begin(db, NS_WRITE, &txn);
    if (status != NS_OK) return status;
    status = ns_txn_del_range(txn, NS_MAIN, key_of(first, from), key_of(first + count, to));
    if (status != NS_OK) rack_fail("del_range gave %s", ns_status_name(status));
    status = ns_txn_commit(txn, NULL);
    if (status == NS_OK) note_txn(first + count, end, true);
    return status;
}

/* The canary: a vfs that never tells of a failed sync. */

static ns_status lying_sync(void *ctx, struct ns_vfs_file *file)
{
    (void)ns_vfs_default()->sync(ctx, file);
    return NS_OK;
}

static ns_status lying_write_sync(void *ctx, struct ns_vfs_file *file, uint64_t offset,
                                  const void *data, size_t size)
{
    (void)ns_vfs_default()->write_sync(ctx, file, offset, data, size);
    return NS_OK;
}

static ns_options options(bool has_helper)
{
    static struct ns_vfs vfs;
    vfs = *ns_vfs_default();
    if (settings->is_canary) {
        vfs.sync = lying_sync;
        vfs.write_sync = lying_write_sync;
    }
    return (ns_options){.vfs = &vfs,
                        .flags = has_helper ? 0 : NS_NO_THREADS,
                        .history = NS_HISTORY_NONE,
                        .checkpoint_bytes = 2 << 20,
                        .frame_bytes = 8 << 20};
}

static ns_db *open_well(const char *path, const ns_options *with)
{
    ns_db *db;
    ns_status status = ns_db_open(path, with, &db);
    if (status != NS_OK) rack_fail("open gave %s", ns_status_name(status));
    return db;
}

static void close_well(ns_db *db)
{
    ns_status status = ns_db_close(db);
    if (status != NS_OK) rack_fail("close gave %s", ns_status_name(status));
}

static void verify_well(const char *path, const ns_options *with)
{
    ns_status status = ns_db_verify(path, with, NULL, NULL);
    if (status != NS_OK) rack_fail("verify gave %s", ns_status_name(status));
}

/* ---- space ---- */

static void make_ballast(const char *path, size_t bytes)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, (off_t)bytes) != 0) rack_fail("no ballast in %s", path);
    close(fd);
}

/* Commits until there is no space for the smallest transaction. */
static void fill(ns_db *db)
{
    static const unsigned sizes[] = {64, 16, 4, 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ns_status status;
        while ((status = add_entries(db, sizes[i])) == NS_OK) {
        }
        if (status != NS_FULL) rack_fail("a full disk gave %s", ns_status_name(status));
        rack_add(FIGURE_REFUSED, 1);
    }
}

/* A process that fills the disk and ends without closing. */
static void fill_and_die(const char *path, const ns_options *with)
{
    int result = 0;
    pid_t child = fork();
    if (child < 0) rack_fail("fork: %s", strerror(errno));
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        fill(open_well(path, with));
        _exit(0);
    }
    while (waitpid(child, &result, 0) != child) {
    }
    if (WIFSIGNALED(result)) rack_fail("filling died of signal %d", WTERMSIG(result));
    if (result != 0) _exit(1);
}

static void check_now(ns_db *db)
{
    if (look(db, ledger->acked, ledger->acked) == UINT64_MAX) rack_fail("a reader got NS_CORRUPT");
}

static void test_space(const char *kind, bool has_helper)
{
    static struct disk disk;
    char path[DISK_PATH_BYTES + 16], ballast[DISK_PATH_BYTES + 16];
    ns_options with = options(has_helper);
    rack_case("space %s", kind);
    memset(ledger, 0, sizeof *ledger);
    if (!disk_make(&disk, directory, kind, strcmp(kind, "tmpfs") == 0 ? 60 : 80, 60))
        rack_fail("no %s could be made: %s", kind, strerror(errno));
    rack_add(FIGURE_DISKS, 1);
    snprintf(path, sizeof path, "%s/full.ns", disk.top);
    snprintf(ballast, sizeof ballast, "%s/ballast", disk.top);
    make_ballast(ballast, 12 << 20);
    fill_and_die(path, &with);

    ns_db *db = open_well(path, &with); /* recovery, and nothing is free */
    check_now(db);
    fill(db);
    if (ns_db_checkpoint(db) != NS_OK) rack_fail("no checkpoint on a full disk");
    check_now(db);
    uint64_t entries = ledger->end[ledger->acked] - ledger->first[ledger->acked];
    for (unsigned i = 0; i < 4; i++) {
        ns_status status = delete_entries(db, entries / 8);
        if (status != NS_OK) rack_fail("deleting on a full disk gave %s", ns_status_name(status));
    }
    check_now(db);
    close_well(db);
    verify_well(path, &with);
    db = open_well(path, &with); /* two checkpoints later what was deleted is free */
    for (unsigned i = 0; i < 2; i++) {
        if (delete_entries(db, 1) != NS_OK) rack_fail("deleting failed");
        if (ns_db_checkpoint(db) != NS_OK) rack_fail("no checkpoint after deleting");
    }
    for (unsigned i = 0; i < 20; i++) {
        ns_status status = add_entries(db, 16);
        if (status != NS_OK) rack_fail("space of deleted data: %s", ns_status_name(status));
        rack_add(FIGURE_RESCUED, 1);
    }
    fill(db);
    if (unlink(ballast) != 0) rack_fail("the ballast stays");
    for (unsigned i = 0; i < 20; i++) {
        ns_status status = add_entries(db, 16);
        if (status != NS_OK) rack_fail("space that came back: %s", ns_status_name(status));
        rack_add(FIGURE_RESCUED, 1);
    }
    check_now(db);
    close_well(db);
    verify_well(path, &with);
    disk_drop(&disk);
}

/* ---- failing syncs ---- */

static bool may_lie(const char *kind)
{
    return strcmp(kind, "ext4") != 0;
}

/* Commits until the device is full below the file system. NS_OK: it never was. */
static ns_status commit_until_failure(ns_db *db)
{
    for (unsigned i = 0; i < 2000; i++) {
        ns_status status = add_entries(db, 1 + i % 24);
        if (status != NS_OK) return status;
    }
    return NS_OK;
}

static void check_poisoned(ns_db *db, ns_status status, bool lies)
{
    ns_txn *txn;
    rack_add(FIGURE_FAILED, 1);
    if (status == NS_UNKNOWN) rack_add(FIGURE_UNKNOWN, 1);
    if (status != NS_UNKNOWN && status != NS_IO && status != NS_FULL && status != NS_READONLY &&
        status != NS_POISONED && !(status == NS_CORRUPT && lies)) {
        rack_fail("a failed sync gave %s", ns_status_name(status));
    }
    ns_status second = ns_txn_begin(db, NS_WRITE, &txn);
    if (second == NS_OK) ns_txn_abort(txn);
    if (second != NS_POISONED)
        rack_fail("after %s a write began with %s", ns_status_name(status), ns_status_name(second));
    if (look(db, ledger->acked, ledger->acked) == UINT64_MAX && !lies)
        rack_fail("a reader of the poisoned handle got NS_CORRUPT");
}

/* Opens; NULL when that fails in a way that a broken device explains. */
static ns_db *open_maybe(const char *path, const ns_options *with, bool lies)
{
    ns_db *db;
    ns_status status = ns_db_open(path, with, &db);
    if (status == NS_OK) return db;
    bool is_explained = status == NS_IO || status == NS_FULL || status == NS_READONLY ||
                        (status == NS_CORRUPT && lies);
    if (!is_explained) rack_fail("an open after a failed sync gave %s", ns_status_name(status));
    if (status == NS_CORRUPT) rack_add(FIGURE_LYING, 1);
    return NULL;
}

/* What the opening shows, in the allowed range; narrows the range to it. */
static void reopen(const char *path, const ns_options *with, uint64_t range[2], bool lies)
{
    ns_db *db = open_maybe(path, with, lies);
    if (db == NULL) return;
    rack_add(FIGURE_REOPENED, 1);
    uint64_t found = look(db, range[0], range[1]);
    if (found == UINT64_MAX && !lies) rack_fail("what was opened is NS_CORRUPT");
    if (found != UINT64_MAX) range[0] = range[1] = found;
    (void)ns_db_close(db);
}

/* The medium itself. */
static void mount_again(struct disk *disk, const char *path, const ns_options *with,
                        const uint64_t range[2], bool lies)
{
    if (!disk_unmount(disk) || !disk_mount(disk)) rack_fail("no new mount: %s", strerror(errno));
    ns_db *db = open_maybe(path, with, lies);
    if (db == NULL && lies) return;
    if (db == NULL) rack_fail("no open after a new mount");
    uint64_t found = look(db, range[0], range[1]);
    if (found == UINT64_MAX && !lies) rack_fail("the medium is NS_CORRUPT");
    if (found == UINT64_MAX) rack_add(FIGURE_LYING, 1);
    if (found != UINT64_MAX && range[0] == range[1]) rack_add(FIGURE_SAME, 1);
    if (found != UINT64_MAX) {
        ledger->acked = ledger->started = found;
        if (add_entries(db, 3) != NS_OK) rack_fail("no commit after a new mount");
        check_now(db);
    }
    ns_status status = ns_db_close(db);
    if (status != NS_OK && !lies) rack_fail("close gave %s", ns_status_name(status));
    if (found != UINT64_MAX && !lies) verify_well(path, with);
}

static void test_sync(const char *kind, unsigned below_mib)
{
    static struct disk disk;
    char path[DISK_PATH_BYTES + 16];
    ns_options with = options(false);
    bool lies = may_lie(kind);
    rack_case("sync %s %u", kind, below_mib);
    memset(ledger, 0, sizeof *ledger);
    if (!disk_make(&disk, directory, kind, below_mib, below_mib * 4))
        rack_fail("no %s could be made: %s", kind, strerror(errno));
    rack_add(FIGURE_DISKS, 1);
    snprintf(path, sizeof path, "%s/sync.ns", disk.top);
    ns_db *db = open_well(path, &with);
    ns_status status = commit_until_failure(db);
    if (status == NS_OK) rack_fail("no sync failed");
    check_poisoned(db, status, lies);
    (void)ns_db_close(db);
    uint64_t range[2] = {ledger->acked, ledger->started};
    if (below_mib % 2 == 0) reopen(path, &with, range, lies); /* nothing has become better */
    if (!disk_resize_below(&disk, below_mib * 8)) rack_fail("the tmpfs does not grow");
    reopen(path, &with, range, lies);
    mount_again(&disk, path, &with, range, lies);
    disk_drop(&disk);
}

/* ---- everything ---- */

static const char *const loop_kinds[] = {"ext4", "xfs", "btrfs"};

static unsigned smallest(const char *kind)
{
    if (strcmp(kind, "ext4") == 0) return 12;
    return strcmp(kind, "xfs") == 0 ? 80 : 60;
}

static void run_loops(unsigned worker, unsigned workers)
{
    size_t kinds = settings->is_long ? 3 : 1;
    unsigned least = settings->is_long ? 1 : 12; /* rounds of the short form */
    for (unsigned round = worker; round / workers < least || settings->is_long; round += workers) {
        if (rack_is_late()) break;
        for (size_t i = 0; i < kinds; i++) {
            const char *kind = loop_kinds[i];
            unsigned more = (unsigned)((settings->seed + round) % 25);
            if (disk_is_known(kind)) test_sync(kind, smallest(kind) + more);
        }
    }
}

static void run_only(const char *only)
{
    char what[16], kind[16];
    unsigned below_mib = 0;
    int count = sscanf(only, "%15s %15s %u", what, kind, &below_mib);
    if (count >= 2 && strcmp(what, "space") == 0) {
        test_space(kind, strcmp(kind, "tmpfs") == 0);
    } else if (count == 3) {
        test_sync(kind, below_mib);
    } else {
        rack_fail("--only: '%s' cannot be read", only);
    }
}

static void work(unsigned worker, unsigned workers, void *ctx)
{
    (void)ctx;
    if (!disk_namespace()) rack_fail("no mount namespace: %s", strerror(errno));
    snprintf(directory, sizeof directory, "%s/%u", home, worker);
    ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ledger == MAP_FAILED) rack_fail("no shared memory");
    if (settings->only != NULL) {
        run_only(settings->only);
        return;
    }
    if (worker == 0) test_space("tmpfs", true);
    if (worker == workers - 1) test_space("ext4", false);
    run_loops(worker, workers);
}

/* Can this be done here at all? Tried in a child, since a namespace is for ever. */
static bool is_possible(void)
{
    int result = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) return false;
    if (child == 0) {
        static struct disk disk;
        bool is_made = disk_namespace() && disk_make(&disk, home, "ext4", 16, 12);
        disk_drop(&disk);
        _exit(is_made ? 0 : 1);
    }
    while (waitpid(child, &result, 0) != child) {
    }
    return result == 0;
}

static void make_directories(void)
{
    char name[sizeof home + 16];
    const char *parent = settings->dir != NULL ? settings->dir : getenv("TMPDIR");
    snprintf(home, sizeof home, "%.190s/full_disk.XXXXXX", parent != NULL ? parent : "/tmp");
    if (mkdtemp(home) == NULL) rack_skip("no directory %s: %s", home, strerror(errno));
    for (unsigned i = 0; i < settings->jobs; i++) {
        snprintf(name, sizeof name, "%s/%u", home, i);
        (void)mkdir(name, 0700);
    }
}

/* Mounts were in the workers' namespaces: here the directories are empty. */
static void remove_directories(void)
{
    disk_give_back_loops();
    char name[sizeof home + 16];
    for (unsigned i = 0; i < settings->jobs; i++) {
        snprintf(name, sizeof name, "%s/%u", home, i);
        (void)rmdir(name);
    }
    (void)rmdir(home);
}

int main(int argc, char **argv)
{
    settings = rack_init("io_faults/full_disk", 10, figure_names, FIGURE_COUNT, argc, argv);
    make_directories();
    if (geteuid() != 0 || !is_possible()) {
        remove_directories();
        rack_skip("it takes root, mkfs.ext4, loop devices and a mount namespace");
    }
    int result = rack_run(work, NULL);
    remove_directories();
    return result;
}
