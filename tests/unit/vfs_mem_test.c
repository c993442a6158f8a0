/* vfs_mem_test.c: worlds in memory: countdowns, counters, looking in from outside, want of
 * memory. */
#include "harness/test.h"

#include <stdbool.h>
#include <stdlib.h>
#include "vfs/mem.h"

static struct ns__mem *new_world(uint32_t flags)
{
    struct ns__mem *mem = NULL;
    CHECK_OK(ns__mem_new(flags, 7, NULL, &mem));
    return mem;
}

static ns_status exists(struct ns__mem *mem, const char *path)
{
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    return vfs->exists(vfs->ctx, path);
}

static ns_status set(struct ns__mem *mem, const char *path, const char *content)
{
    return ns__mem_file_set(mem, path, ns_str(content));
}

static void check_content(struct ns__mem *mem, const char *path, const char *wanted)
{
    ns_slice content;
    CHECK_OK(ns__mem_file_get(mem, path, &content));
    assert_int_equal(content.size, strlen(wanted));
    assert_memory_equal(content.data, wanted, content.size);
}

/* ---- the countdowns ---- */

#define KIND(name) ((uint64_t)1 << NS__MEM_##name)

static void the_nth_call_fails_once_or_for_ever(void **state)
{
    (void)state;
    static const struct {
        uint64_t nth, kinds;
        bool for_ever;
        const char *outcome; /* of six calls; f = fails */
    } rows[] = {
        {1, 0, false, "f....."},
        {3, 0, false, "..f..."},
        {3, 0, true, "..ffff"},
        {0, 0, true, "......"},
        {9, 0, true, "......"},
        {2, KIND(EXISTS), false, ".f...."},
        {2, KIND(EXISTS) | KIND(READ), true, ".fffff"},
        {1, KIND(READ), true, "......"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ns__mem *mem = new_world(0);
        CHECK_OK(set(mem, "a", ""));
        ns__mem_fail(mem, rows[i].nth, rows[i].kinds, NS_NOMEM, rows[i].for_ever);
        for (int call = 0; call < 6; call++) {
            CHECK_STATUS(exists(mem, "a"), rows[i].outcome[call] == 'f' ? NS_NOMEM : NS_OK);
        }
        ns__mem_fail(mem, 0, 0, NS_OK, false);
        CHECK_OK(exists(mem, "a"));
        ns__mem_free(mem);
    }
}

/* Every call of the table that can fail, once each, in the order of enum ns__mem_call. */
static void make_call(const struct ns_vfs *vfs, enum ns__mem_call kind, struct ns_vfs_file *file,
                      ns_status *status_out)
{
    struct ns_vfs_file *other = NULL;
    struct ns_vfs_map map;
    void *memory = NULL;
    uint64_t size;
    char byte = 0;
    switch (kind) {
    case NS__MEM_OPEN: *status_out = vfs->open(vfs->ctx, "a", 0, &other); break;
    case NS__MEM_SIZE: *status_out = vfs->size(vfs->ctx, file, &size); break;
    case NS__MEM_READ: *status_out = vfs->read(vfs->ctx, file, 0, &byte, 1); break;
    case NS__MEM_WRITE: *status_out = vfs->write(vfs->ctx, file, 0, &byte, 1); break;
    case NS__MEM_WRITE_SYNC: *status_out = vfs->write_sync(vfs->ctx, file, 0, &byte, 1); break;
    case NS__MEM_SYNC: *status_out = vfs->sync(vfs->ctx, file); break;
    case NS__MEM_ALLOCATE: *status_out = vfs->allocate(vfs->ctx, file, 0, 1); break;
    case NS__MEM_TRUNCATE: *status_out = vfs->truncate(vfs->ctx, file, 1); break;
    case NS__MEM_LOCK: *status_out = vfs->lock(vfs->ctx, file, NS_VFS_SHARED); break;
    case NS__MEM_REMOVE: *status_out = vfs->remove(vfs->ctx, "b"); break;
    case NS__MEM_EXISTS: *status_out = vfs->exists(vfs->ctx, "a"); break;
    case NS__MEM_SYNC_PARENT: *status_out = vfs->sync_parent(vfs->ctx, "a"); break;
    case NS__MEM_MAP: *status_out = vfs->map(vfs->ctx, file, 4096, &map); break;
    case NS__MEM_MAP_EXTEND:
        memset(&map, 0, sizeof map);
        *status_out = vfs->map_extend(vfs->ctx, file, &map, 0);
        break;
    case NS__MEM_RESERVE: *status_out = vfs->reserve(vfs->ctx, 4096, &memory); break;
    case NS__MEM_ENTROPY: *status_out = vfs->entropy(vfs->ctx, &byte, 1); break;
    case NS__MEM_CALL_KINDS: break;
    }
    if (other != NULL) vfs->close(vfs->ctx, other);
    vfs->unreserve(vfs->ctx, memory, 4096);
}

static void every_kind_of_call_is_counted_and_can_fail(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags < 4; flags++) {
        struct ns__mem *mem = new_world(flags);
        const struct ns_vfs *vfs = ns__mem_vfs(mem);
        CHECK_OK(set(mem, "a", "x"));
        CHECK_OK(set(mem, "b", "x"));
        struct ns_vfs_file *file = NULL;
        CHECK_OK(vfs->open(vfs->ctx, "a", 0, &file));
        uint64_t calls = ns__mem_calls(mem);
        assert_int_equal(calls, 1);
        for (int kind = 0; kind < NS__MEM_CALL_KINDS; kind++) {
            uint64_t before = ns__mem_calls_of(mem, (enum ns__mem_call)kind);
            ns_status status = NS_OK;
            ns__mem_fail(mem, 1, (uint64_t)1 << kind, NS_UNSUPPORTED, false);
            make_call(vfs, (enum ns__mem_call)kind, file, &status);
            CHECK_STATUS(status, NS_UNSUPPORTED);
            make_call(vfs, (enum ns__mem_call)kind, file, &status);
            CHECK_OK(status);
            assert_int_equal(ns__mem_calls_of(mem, (enum ns__mem_call)kind), before + 2);
            assert_int_equal(ns__mem_calls(mem), calls += 2);
        }
        vfs->close(vfs->ctx, file);
        ns__mem_free(mem);
    }
}

static void a_stopped_world_answers_nothing_any_more(void **state)
{
    (void)state;
    struct ns__mem *mem = new_world(0);
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    CHECK_OK(set(mem, "a", "x"));
    CHECK_OK(set(mem, "b", "x"));
    struct ns_vfs_file *file = NULL;
    CHECK_OK(vfs->open(vfs->ctx, "a", 0, &file));
    ns__mem_stop_at(mem, 2);
    CHECK_OK(exists(mem, "a"));
    assert_false(ns__mem_stopped(mem));
    CHECK_STATUS(exists(mem, "a"), NS_IO);
    assert_true(ns__mem_stopped(mem));
    uint64_t hash = ns__mem_image_hash(mem);
    for (int kind = 0; kind < NS__MEM_CALL_KINDS; kind++) {
        ns_status status = NS_OK;
        make_call(vfs, (enum ns__mem_call)kind, file, &status);
        CHECK_STATUS(status, NS_IO);
    }
    ns__mem_stop_at(mem, 0); /* it stays stopped */
    CHECK_STATUS(exists(mem, "a"), NS_IO);
    assert_int_equal(ns__mem_image_hash(mem), hash);
    vfs->close(vfs->ctx, file);
    ns__mem_free(mem);
}

/* ---- looking in ---- */

static void a_file_can_be_set_and_seen_from_outside(void **state)
{
    (void)state;
    struct ns__mem *mem = new_world(NS__MEM_DURABILITY);
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    ns_slice content = ns_str("left over");
    CHECK_STATUS(ns__mem_file_get(mem, "a", &content), NS_NOTFOUND);
    assert_int_equal(content.size, 0);
    CHECK_OK(set(mem, "a", "longer content"));
    struct ns_vfs_file *file = NULL;
    CHECK_OK(vfs->open(vfs->ctx, "a", 0, &file));
    CHECK_OK(vfs->write(vfs->ctx, file, 0, "L", 1));
    check_content(mem, "a", "Longer content");
    CHECK_OK(set(mem, "a", "short"));
    check_content(mem, "a", "short");
    CHECK_OK(vfs->truncate(vfs->ctx, file, 7)); /* nothing of the old content is left */
    CHECK_OK(ns__mem_file_get(mem, "a", &content));
    assert_memory_equal(content.data, "short\0\0", 7);
    vfs->close(vfs->ctx, file);
    CHECK_OK(vfs->remove(vfs->ctx, "a"));
    CHECK_STATUS(ns__mem_file_get(mem, "a", &content), NS_NOTFOUND);
    ns__mem_free(mem);
}

static void the_hash_is_of_names_and_contents_only(void **state)
{
    (void)state;
    struct ns__mem *one = new_world(0);
    struct ns__mem *two = new_world(NS__MEM_DURABILITY);
    CHECK_OK(set(one, "a", "1"));
    CHECK_OK(set(one, "b", "2"));
    CHECK_OK(set(two, "c", "3"));
    CHECK_OK(set(two, "b", "other"));
    CHECK_OK(set(two, "b", "2"));
    CHECK_OK(set(two, "a", "1"));
    assert_int_not_equal(ns__mem_image_hash(one), ns__mem_image_hash(two));
    const struct ns_vfs *vfs = ns__mem_vfs(two);
    CHECK_OK(vfs->remove(vfs->ctx, "c"));
    assert_int_equal(ns__mem_image_hash(one), ns__mem_image_hash(two));
    CHECK_OK(set(two, "a", "2"));
    CHECK_OK(set(two, "b", "1"));
    assert_int_not_equal(ns__mem_image_hash(one), ns__mem_image_hash(two));
    ns__mem_free(one);
    ns__mem_free(two);
    ns__mem_free(NULL);
}

static void a_clone_goes_its_own_way(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags < 4; flags++) {
        struct ns__mem *mem = new_world(flags);
        const struct ns_vfs *vfs = ns__mem_vfs(mem);
        struct ns_vfs_file *file = NULL;
        CHECK_OK(vfs->open(vfs->ctx, "a", NS_VFS_CREATE, &file));
        CHECK_OK(vfs->write(vfs->ctx, file, 0, "first", 5));
        CHECK_OK(set(mem, "gone", "x"));
        CHECK_OK(vfs->remove(vfs->ctx, "gone"));
        struct ns__mem *clone = NULL;
        CHECK_OK(ns__mem_clone(mem, &clone));
        assert_int_equal(ns__mem_image_hash(mem), ns__mem_image_hash(clone));
        CHECK_OK(vfs->write(vfs->ctx, file, 0, "OTHER", 5));
        vfs->close(vfs->ctx, file);
        ns__mem_free(mem);
        check_content(clone, "a", "first");
        CHECK_STATUS(exists(clone, "gone"), NS_NOTFOUND);
        vfs = ns__mem_vfs(clone);
        CHECK_OK(vfs->remove(vfs->ctx, "a"));
        CHECK_STATUS(exists(clone, "a"), NS_NOTFOUND);
        ns__mem_free(clone);
    }
}

static void the_counters_say_what_reached_the_disk(void **state)
{
    (void)state;
    struct ns__mem *mem = new_world(0);
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    struct ns_vfs_file *file = NULL;
    CHECK_OK(vfs->open(vfs->ctx, "a", NS_VFS_CREATE, &file));
    CHECK_OK(vfs->write(vfs->ctx, file, 0, "12345", 5));
    CHECK_OK(vfs->write(vfs->ctx, file, 0, "12", 2));
    CHECK_OK(vfs->write_sync(vfs->ctx, file, 0, "123", 3));
    CHECK_OK(vfs->sync(vfs->ctx, file));
    CHECK_OK(vfs->allocate(vfs->ctx, file, 0, 105));
    CHECK_OK(vfs->allocate(vfs->ctx, file, 0, 50));
    ns__mem_fail(mem, 1, 0, NS_IO, false);
    CHECK_STATUS(vfs->write(vfs->ctx, file, 0, "12", 2), NS_IO);
    struct ns__mem_counters counters;
    ns__mem_counters(mem, &counters);
    assert_int_equal(counters.writes, 2);
    assert_int_equal(counters.write_bytes, 7);
    assert_int_equal(counters.sync_writes, 1);
    assert_int_equal(counters.sync_write_bytes, 3);
    assert_int_equal(counters.syncs, 1);
    assert_int_equal(counters.allocated_bytes, 100);
    vfs->close(vfs->ctx, file);
    ns__mem_free(mem);
}

/* ---- memory ---- */

/* Refuses the nth request from now. */
struct heap {
    uint64_t until_refusal;
    size_t held;
};

static void *heap_alloc(void *ctx, size_t size)
{
    struct heap *heap = ctx;
    if (heap->until_refusal > 0 && --heap->until_refusal == 0) return NULL;
    heap->held += size;
    return malloc(size);
}

static void *heap_resize(void *ctx, void *old, size_t old_size, size_t size)
{
    struct heap *heap = ctx;
    heap->held += size - old_size;
    return realloc(old, size);
}

static void heap_release(void *ctx, void *old, size_t size)
{
    struct heap *heap = ctx;
    heap->held -= size;
    free(old);
}

/* NS_OK or the first failure; frees all it made. */
static ns_status live_a_life(const struct ns_allocator *allocator)
{
    struct ns__mem *mem = NULL;
    ns_status status = ns__mem_new(NS__MEM_DURABILITY, 1, allocator, &mem);
    if (status != NS_OK) return status;
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    struct ns__mem *clone = NULL;
    struct ns__mem *after = NULL;
    struct ns_vfs_file *file = NULL;
    status = vfs->open(vfs->ctx, "a", NS_VFS_CREATE, &file);
    if (status == NS_OK) status = vfs->write(vfs->ctx, file, 0, "0123456789", 10);
    if (status == NS_OK) status = vfs->write_sync(vfs->ctx, file, 4, "xx", 2);
    if (status == NS_OK) status = vfs->truncate(vfs->ctx, file, 8);
    if (status == NS_OK) status = ns__mem_clone(mem, &clone);
    if (status == NS_OK) status = ns__mem_crash(mem, 512, NULL, NULL, 1, &after);
    struct ns_vfs_file *private = NULL;
    if (status == NS_OK) status = vfs->open(vfs->ctx, "a", NS_VFS_PRIVATE, &private);
    if (status == NS_OK) status = vfs->write(vfs->ctx, private, 4, "yy", 2);
    if (status == NS_OK) status = vfs->remove(vfs->ctx, "a");
    if (private != NULL) vfs->close(vfs->ctx, private);
    if (file != NULL) vfs->close(vfs->ctx, file);
    ns__mem_free(mem);
    ns__mem_free(clone);
    ns__mem_free(after);
    return status;
}

static void want_of_memory_anywhere_is_a_status_and_leaks_nothing(void **state)
{
    (void)state;
    struct heap heap = {0};
    struct ns_allocator seam = {
        .ctx = &heap, .alloc = heap_alloc, .resize = heap_resize, .release = heap_release};
    ns_status status = NS_NOMEM;
    uint64_t nth = 0;
    while (status == NS_NOMEM) {
        assert_true(nth < 100);
        heap.until_refusal = ++nth;
        status = live_a_life(&seam);
        assert_int_equal(heap.held, 0);
    }
    assert_int_equal(status, NS_OK);
    assert_true(nth > 10);
}

static void a_new_file_is_zero_where_an_old_one_was(void **state)
{
    (void)state;
    struct ns__mem *mem = new_world(0);
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    static char data[100000];
    static const char zeros[sizeof data];
    for (int round = 0; round < 20; round++) {
        struct ns_vfs_file *file = NULL;
        CHECK_OK(vfs->open(vfs->ctx, "a", NS_VFS_CREATE | NS_VFS_EXCLUSIVE, &file));
        CHECK_OK(vfs->allocate(vfs->ctx, file, 0, sizeof data));
        CHECK_OK(vfs->read(vfs->ctx, file, 0, data, sizeof data));
        assert_memory_equal(data, zeros, sizeof data);
        memset(data, 0xff, sizeof data);
        CHECK_OK(vfs->write(vfs->ctx, file, 0, data, sizeof data));
        CHECK_OK(vfs->remove(vfs->ctx, "a"));
        vfs->close(vfs->ctx, file);
    }
    ns__mem_free(mem);
}

/* ---- private handles ---- */

static struct ns_vfs_file *open_private(struct ns__mem *mem, const char *path)
{
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    struct ns_vfs_file *file = NULL;
    CHECK_OK(vfs->open(vfs->ctx, path, NS_VFS_READ_ONLY | NS_VFS_PRIVATE, &file));
    return file;
}

static void change_privately(struct ns__mem *mem, struct ns_vfs_file *file)
{
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    static const char data[10000];
    CHECK_OK(vfs->write(vfs->ctx, file, 1, "x", 1));
    CHECK_OK(vfs->write_sync(vfs->ctx, file, 2, data, sizeof data));
    CHECK_OK(vfs->allocate(vfs->ctx, file, 0, 100000));
    CHECK_OK(vfs->truncate(vfs->ctx, file, 20000));
}

static bool keep_all(void *ctx, uint64_t atom)
{
    (void)ctx;
    (void)atom;
    return true;
}

static void private_changes_are_not_of_the_world(void **state)
{
    (void)state;
    static const uint32_t worlds[] = {0, NS__MEM_DURABILITY};
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
        struct ns__mem *mem = new_world(worlds[i]);
        const struct ns_vfs *vfs = ns__mem_vfs(mem);
        CHECK_OK(set(mem, "a", "base"));
        ns__mem_set_capacity(mem, 5); /* the copy takes no room */
        uint64_t hash = ns__mem_image_hash(mem);
        struct ns_vfs_file *file = open_private(mem, "a");
        change_privately(mem, file);
        check_content(mem, "a", "base");
        assert_true(ns__mem_image_hash(mem) == hash);
        struct ns__mem_pending pending;
        ns__mem_pending(mem, 512, &pending);
        assert_int_equal(pending.atoms + pending.files, 0);
        CHECK_OK(vfs->sync(vfs->ctx, file));
        struct ns__mem_counters counters;
        ns__mem_counters(mem, &counters);
        assert_int_equal(counters.writes + counters.sync_writes + counters.syncs, 0);
        assert_int_equal(counters.write_bytes + counters.allocated_bytes, 0);
        struct ns__mem *after = NULL;
        if (worlds[i] != 0) {
            CHECK_OK(ns__mem_crash(mem, 512, keep_all, NULL, 1, &after));
        } else {
            CHECK_OK(ns__mem_clone(mem, &after));
        }
        check_content(after, "a", "base");
        assert_true(ns__mem_image_hash(after) == hash);
        ns__mem_free(after);
        vfs->close(vfs->ctx, file);
        CHECK_OK(vfs->open(vfs->ctx, "a", 0, &file)); /* and the room is as it was */
        CHECK_OK(vfs->write(vfs->ctx, file, 4, "5", 1));
        CHECK_STATUS(vfs->write(vfs->ctx, file, 5, "6", 1), NS_FULL);
        vfs->close(vfs->ctx, file);
        ns__mem_free(mem);
    }
}

static void private_calls_are_counted_and_fail_like_all(void **state)
{
    (void)state;
    struct ns__mem *mem = new_world(NS__MEM_DURABILITY);
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    CHECK_OK(set(mem, "a", "base"));
    struct ns_vfs_file *file = open_private(mem, "a");
    uint64_t calls = ns__mem_calls(mem);
    change_privately(mem, file);
    CHECK_OK(vfs->sync(vfs->ctx, file));
    assert_int_equal(ns__mem_calls(mem), calls + 5);
    ns__mem_fail(mem, 1, KIND(SYNC), NS_IO, false);
    CHECK_STATUS(vfs->sync(vfs->ctx, file), NS_IO);
    CHECK_OK(vfs->sync(vfs->ctx, file));
    ns__mem_fail(mem, 1, KIND(WRITE_SYNC), NS_FULL, true);
    for (int i = 0; i < 8; i++) /* whichever way it fails */
        CHECK_STATUS(vfs->write_sync(vfs->ctx, file, 0, "y", 1), NS_FULL);
    ns__mem_fail(mem, 0, 0, NS_OK, false);

    ns__mem_stop_at(mem, 2);
    CHECK_OK(vfs->write(vfs->ctx, file, 0, "z", 1));
    CHECK_STATUS(vfs->write(vfs->ctx, file, 0, "z", 1), NS_IO);
    uint64_t size;
    CHECK_STATUS(vfs->size(vfs->ctx, file, &size), NS_IO);
    CHECK_STATUS(vfs->sync(vfs->ctx, file), NS_IO);
    CHECK_STATUS(vfs->truncate(vfs->ctx, file, 0), NS_IO);
    struct ns__mem_pending pending;
    ns__mem_pending(mem, 1, &pending);
    assert_int_equal(pending.atoms, 0);
    vfs->close(vfs->ctx, file);
    ns__mem_free(mem);
}

static void a_removed_file_lives_on_in_its_private_handle(void **state)
{
    (void)state;
    struct ns__mem *mem = new_world(NS__MEM_DURABILITY);
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    CHECK_OK(set(mem, "a", "base"));
    struct ns_vfs_file *file = open_private(mem, "a");
    CHECK_OK(vfs->remove(vfs->ctx, "a"));
    CHECK_OK(vfs->sync_parent(vfs->ctx, "a"));
    CHECK_OK(vfs->write(vfs->ctx, file, 2, "r", 1));
    char got[4];
    CHECK_OK(vfs->read(vfs->ctx, file, 0, got, sizeof got));
    assert_memory_equal(got, "bare", sizeof got);
    vfs->close(vfs->ctx, file);
    ns__mem_free(mem);
}

/* ---- how a sync fails ---- */

#define PIECES 64u
#define PIECE ((size_t)4096)

/* A durable file of zeros, written over with ones, and a sync of it that is struck. */
static struct ns_vfs_file *sync_struck(struct ns__mem *mem, enum ns__mem_sync_failure mode,
                                       ns_status wanted)
{
    static uint8_t bytes[PIECES * PIECE];
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    struct ns_vfs_file *file;
    memset(bytes, 0, sizeof bytes);
    CHECK_OK(ns__mem_file_set(mem, "a", ns_bytes(bytes, sizeof bytes)));
    CHECK_OK(vfs->open(vfs->ctx, "a", 0, &file));
    memset(bytes, 1, sizeof bytes);
    CHECK_OK(vfs->write(vfs->ctx, file, 0, bytes, sizeof bytes));
    ns__mem_set_sync_failure(mem, mode);
    ns__mem_fail(mem, 1, KIND(SYNC), NS_IO, false);
    CHECK_STATUS(vfs->sync(vfs->ctx, file), wanted);
    return file;
}

/* How many pieces of the file are ones; the others must be zeros. */
static unsigned ones_of(const struct ns__mem *mem)
{
    static uint8_t one[PIECE];
    static const uint8_t zero[PIECE];
    ns_slice content;
    unsigned ones = 0;
    memset(one, 1, sizeof one);
    CHECK_OK(ns__mem_file_get(mem, "a", &content));
    assert_int_equal(content.size, PIECES * PIECE);
    for (size_t i = 0; i < PIECES; i++) {
        const uint8_t *piece = (const uint8_t *)content.data + i * PIECE;
        bool is_one = memcmp(piece, one, PIECE) == 0;
        assert_true(is_one || memcmp(piece, zero, PIECE) == 0);
        ones += is_one;
    }
    return ones;
}

static unsigned durable_ones_of(const struct ns__mem *mem)
{
    struct ns__mem *after;
    CHECK_OK(ns__mem_crash(mem, 4096, NULL, NULL, 1, &after));
    unsigned ones = ones_of(after);
    ns__mem_free(after);
    return ones;
}

static void a_failed_sync_can_leave_the_lost_bytes_visible(void **state)
{
    (void)state;
    struct ns__mem *mem = new_world(NS__MEM_DURABILITY);
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    struct ns_vfs_file *file = sync_struck(mem, NS__MEM_SYNC_NEW, NS_IO);
    CHECK_OK(vfs->sync(vfs->ctx, file));
    assert_int_equal(ones_of(mem), PIECES);
    assert_in_range(durable_ones_of(mem), 1, PIECES - 1);
    vfs->close(vfs->ctx, file);
    ns__mem_free(mem);
}

static void a_failed_sync_can_bring_the_old_bytes_back(void **state)
{
    (void)state;
    struct ns__mem *mem = new_world(NS__MEM_DURABILITY);
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    struct ns_vfs_file *file = sync_struck(mem, NS__MEM_SYNC_OLD, NS_IO);
    CHECK_OK(vfs->sync(vfs->ctx, file));
    unsigned ones = ones_of(mem);
    assert_in_range(ones, 1, PIECES - 1);
    assert_int_equal(durable_ones_of(mem), ones);

    /* A synchronous write alike, by sectors; what is there stays what is durable. */
    static const uint8_t twos[PIECES * PIECE] = {2};
    ns__mem_fail(mem, 1, KIND(WRITE_SYNC), NS_IO, false);
    CHECK_STATUS(vfs->write_sync(vfs->ctx, file, 0, twos, sizeof twos), NS_IO);
    struct ns__mem *after;
    CHECK_OK(ns__mem_crash(mem, 512, NULL, NULL, 1, &after));
    assert_int_equal(ns__mem_image_hash(mem), ns__mem_image_hash(after));
    ns__mem_free(after);
    vfs->close(vfs->ctx, file);
    ns__mem_free(mem);
}

static void a_failed_sync_can_make_the_world_read_only(void **state)
{
    (void)state;
    struct ns__mem *mem = new_world(NS__MEM_DURABILITY);
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    struct ns_vfs_file *file = sync_struck(mem, NS__MEM_SYNC_READ_ONLY, NS_IO);
    struct ns_vfs_file *other;
    char byte;
    CHECK_STATUS(vfs->sync(vfs->ctx, file), NS_READONLY);
    CHECK_STATUS(vfs->write(vfs->ctx, file, 0, "x", 1), NS_READONLY);
    CHECK_STATUS(vfs->write_sync(vfs->ctx, file, 0, "x", 1), NS_READONLY);
    CHECK_STATUS(vfs->allocate(vfs->ctx, file, 0, 2 * PIECES * PIECE), NS_READONLY);
    CHECK_STATUS(vfs->truncate(vfs->ctx, file, 0), NS_READONLY);
    CHECK_STATUS(vfs->remove(vfs->ctx, "a"), NS_READONLY);
    CHECK_STATUS(vfs->open(vfs->ctx, "a", 0, &other), NS_READONLY);
    CHECK_OK(vfs->read(vfs->ctx, file, 0, &byte, 1));
    other = open_private(mem, "a");
    CHECK_OK(vfs->write(vfs->ctx, other, 0, "x", 1));
    vfs->close(vfs->ctx, other);
    assert_int_equal(ones_of(mem), PIECES);
    struct ns__mem *after;
    CHECK_OK(ns__mem_crash(mem, 4096, NULL, NULL, 1, &after));
    CHECK_OK(ns__mem_vfs(after)->open(ns__mem_vfs(after)->ctx, "a", 0, &other));
    ns__mem_vfs(after)->close(ns__mem_vfs(after)->ctx, other);
    ns__mem_free(after);
    vfs->close(vfs->ctx, file);
    ns__mem_free(mem);
}

static void a_failed_sync_can_be_told_late(void **state)
{
    (void)state;
    for (int by_write = 0; by_write < 2; by_write++) {
        struct ns__mem *mem = new_world(NS__MEM_DURABILITY);
        const struct ns_vfs *vfs = ns__mem_vfs(mem);
        struct ns_vfs_file *file = sync_struck(mem, NS__MEM_SYNC_LATE, NS_OK);
        unsigned ones = durable_ones_of(mem);
        assert_in_range(ones, 1, PIECES - 1);
        assert_int_equal(ones_of(mem), PIECES);
        if (by_write != 0) {
            CHECK_STATUS(vfs->write_sync(vfs->ctx, file, 0, "\1", 1), NS_IO);
        } else {
            CHECK_STATUS(vfs->sync(vfs->ctx, file), NS_IO);
            assert_int_equal(durable_ones_of(mem), ones);
        }
        CHECK_OK(vfs->sync(vfs->ctx, file));
        vfs->close(vfs->ctx, file);
        ns__mem_free(mem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nth_call_fails_once_or_for_ever),
        cmocka_unit_test(every_kind_of_call_is_counted_and_can_fail),
        cmocka_unit_test(a_stopped_world_answers_nothing_any_more),
        cmocka_unit_test(a_file_can_be_set_and_seen_from_outside),
        cmocka_unit_test(the_hash_is_of_names_and_contents_only),
        cmocka_unit_test(a_clone_goes_its_own_way),
        cmocka_unit_test(the_counters_say_what_reached_the_disk),
        cmocka_unit_test(want_of_memory_anywhere_is_a_status_and_leaks_nothing),
        cmocka_unit_test(a_new_file_is_zero_where_an_old_one_was),
        cmocka_unit_test(private_changes_are_not_of_the_world),
        cmocka_unit_test(private_calls_are_counted_and_fail_like_all),
        cmocka_unit_test(a_removed_file_lives_on_in_its_private_handle),
        cmocka_unit_test(a_failed_sync_can_leave_the_lost_bytes_visible),
        cmocka_unit_test(a_failed_sync_can_bring_the_old_bytes_back),
        cmocka_unit_test(a_failed_sync_can_make_the_world_read_only),
        cmocka_unit_test(a_failed_sync_can_be_told_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
