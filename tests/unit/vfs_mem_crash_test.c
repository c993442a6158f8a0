/* vfs_mem_crash_test.c: what is durable, what is pending, and what a power cut leaves: by
 * example, and against a slow model that keeps whole images and marks bytes. */
#include "harness/test.h"

#include <stdbool.h>
#include "base/prng.h"
#include "vfs/mem.h"

struct world {
    struct ns__mem *mem;
    const struct ns_vfs *vfs;
    struct ns_vfs_file *file; /* "a" */
};

/* "a" exists durably and is empty. */
static struct world open_world(uint64_t seed)
{
    struct world world = {0};
    CHECK_OK(ns__mem_new(NS__MEM_DURABILITY | NS__MEM_FAKE_TIME, seed, NULL, &world.mem));
    CHECK_OK(ns__mem_file_set(world.mem, "a", ns_str("")));
    world.vfs = ns__mem_vfs(world.mem);
    CHECK_OK(world.vfs->open(world.vfs->ctx, "a", 0, &world.file));
    return world;
}

static void close_world(struct world *world)
{
    world->vfs->close(world->vfs->ctx, world->file);
    ns__mem_free(world->mem);
}

static void check_pending(const struct world *world, uint32_t atom_bytes, uint64_t atoms,
                          uint64_t files)
{
    struct ns__mem_pending pending;
    ns__mem_pending(world->mem, atom_bytes, &pending);
    assert_int_equal(pending.atoms, atoms);
    assert_int_equal(pending.files, files);
}

static bool keep_all(void *ctx, uint64_t atom)
{
    (void)ctx;
    (void)atom;
    return true;
}

/* ctx: a bit mask. */
static bool keep_bits(void *ctx, uint64_t atom)
{
    const uint64_t *bits = ctx;
    return atom < 64 && (*bits >> atom & 1) != 0;
}

static struct ns__mem *crash(const struct world *world, uint64_t bits)
{
    struct ns__mem *after = NULL;
    CHECK_OK(ns__mem_crash(world->mem, 512, keep_bits, &bits, 1, &after));
    return after;
}

/* Compares "a" after a crash that keeps these atoms. wanted NULL: no such file. */
static void check_crash(const struct world *world, uint64_t bits, const char *wanted, size_t size)
{
    struct ns__mem *after = crash(world, bits);
    ns_slice content;
    ns_status status = ns__mem_file_get(after, "a", &content);
    CHECK_STATUS(status, wanted != NULL ? NS_OK : NS_NOTFOUND);
    if (wanted != NULL) {
        assert_int_equal(content.size, size);
        assert_memory_equal(content.data, wanted, size);
    }
    ns__mem_free(after);
}

/* ---- by example ---- */

static void without_a_sync_nothing_need_survive(void **state)
{
    (void)state;
    struct world world = open_world(1);
    const struct ns_vfs *vfs = world.vfs;
    CHECK_OK(vfs->write(vfs->ctx, world.file, 0, "old old", 7));
    CHECK_OK(vfs->sync(vfs->ctx, world.file));
    check_pending(&world, 512, 0, 0);
    CHECK_OK(vfs->write(vfs->ctx, world.file, 0, "new", 3));
    CHECK_OK(vfs->write(vfs->ctx, world.file, 4, "NEW", 3));
    check_pending(&world, 512, 2, 1);
    check_crash(&world, 0, "old old", 7);
    check_crash(&world, 1, "new old", 7);
    check_crash(&world, 2, "old NEW", 7);
    check_crash(&world, 3, "new NEW", 7);
    struct ns__mem *after = NULL;
    CHECK_OK(ns__mem_crash(world.mem, 512, NULL, NULL, 1, &after));
    ns_slice content;
    CHECK_OK(ns__mem_file_get(after, "a", &content));
    assert_memory_equal(content.data, "old old", 7);
    ns__mem_free(after);
    CHECK_OK(ns__mem_file_get(world.mem, "a", &content)); /* the old world is as it was */
    assert_memory_equal(content.data, "new NEW", 7);
    close_world(&world);
}

static void later_bytes_win_where_both_survive(void **state)
{
    (void)state;
    struct world world = open_world(1);
    const struct ns_vfs *vfs = world.vfs;
    CHECK_OK(ns__mem_file_set(world.mem, "a", ns_str("......")));
    CHECK_OK(vfs->write(vfs->ctx, world.file, 0, "1111", 4));
    CHECK_OK(vfs->write(vfs->ctx, world.file, 2, "2222", 4));
    check_crash(&world, 1, "1111..", 6);
    check_crash(&world, 2, "..2222", 6);
    check_crash(&world, 3, "112222", 6);
    close_world(&world);
}

static void writes_split_at_sectors_of_the_file(void **state)
{
    (void)state;
    static char data[10000];
    static const struct {
        uint64_t offset;
        size_t size;
        uint64_t atoms_512, atoms_4096;
    } rows[] = {
        {0, 512, 1, 1},     {0, 513, 2, 1},     {511, 2, 2, 1},  {4095, 2, 2, 2},
        {4096, 4096, 8, 1}, {100, 8192, 17, 3}, {8191, 1, 1, 1}, {0, 10000, 20, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world world = open_world(1);
        CHECK_OK(ns__mem_file_set(world.mem, "a", ns_bytes(data, sizeof data)));
        CHECK_OK(world.vfs->write(world.vfs->ctx, world.file, rows[i].offset, data, rows[i].size));
        check_pending(&world, 512, rows[i].atoms_512, 1);
        check_pending(&world, 4096, rows[i].atoms_4096, 1);
        check_pending(&world, 1, rows[i].atoms_512, 1);
        close_world(&world);
    }
}

static void what_lies_behind_a_lost_size_is_cut(void **state)
{
    (void)state;
    struct world world = open_world(1);
    const struct ns_vfs *vfs = world.vfs;
    CHECK_OK(vfs->write_sync(vfs->ctx, world.file, 0, "1234", 4));
    CHECK_OK(vfs->write(vfs->ctx, world.file, 2, "abcd", 4)); /* atom 0: the size, 1: the bytes */
    check_pending(&world, 512, 2, 1);
    check_crash(&world, 0, "1234", 4);
    check_crash(&world, 1, "1234\0\0", 6);
    check_crash(&world, 2, "12ab", 4);
    check_crash(&world, 3, "12abcd", 6);
    /* What was cut does not come back when the file grows again. */
    struct ns__mem *after = crash(&world, 2);
    const struct ns_vfs *vfs_after = ns__mem_vfs(after);
    struct ns_vfs_file *file = NULL;
    CHECK_OK(vfs_after->open(vfs_after->ctx, "a", 0, &file));
    CHECK_OK(vfs_after->allocate(vfs_after->ctx, file, 0, 6));
    char got[6];
    CHECK_OK(vfs_after->read(vfs_after->ctx, file, 0, got, 6));
    assert_memory_equal(got, "12ab\0\0", 6);
    vfs_after->close(vfs_after->ctx, file);
    ns__mem_free(after);
    close_world(&world);
}

static void an_allocation_is_one_atom(void **state)
{
    (void)state;
    struct world world = open_world(1);
    const struct ns_vfs *vfs = world.vfs;
    CHECK_OK(vfs->allocate(vfs->ctx, world.file, 0, 3));
    CHECK_OK(vfs->allocate(vfs->ctx, world.file, 0, 2));
    check_pending(&world, 512, 1, 1);
    check_crash(&world, 0, "", 0);
    check_crash(&world, 1, "\0\0\0", 3);
    close_world(&world);
}

static void a_synchronous_write_is_durable_and_nothing_else_is(void **state)
{
    (void)state;
    struct world world = open_world(1);
    const struct ns_vfs *vfs = world.vfs;
    CHECK_OK(ns__mem_file_set(world.mem, "a", ns_str("........")));
    CHECK_OK(vfs->write(vfs->ctx, world.file, 0, "aaaaaaaa", 8));
    CHECK_OK(vfs->write_sync(vfs->ctx, world.file, 2, "SSS", 3));
    /* The older write lost these bytes and is in two pieces now. */
    check_pending(&world, 512, 2, 1);
    check_crash(&world, 0, "..SSS...", 8);
    check_crash(&world, 1, "aaSSS...", 8);
    check_crash(&world, 2, "..SSSaaa", 8);
    CHECK_OK(vfs->write(vfs->ctx, world.file, 3, "b", 1)); /* a younger one may still win */
    check_crash(&world, 4, "..SbS...", 8);
    CHECK_OK(vfs->write_sync(vfs->ctx, world.file, 0, "TTTTTTTT", 8));
    check_pending(&world, 512, 0, 0);
    check_crash(&world, 0, "TTTTTTTT", 8);
    close_world(&world);
}

static void a_synchronous_write_brings_the_size_it_needs(void **state)
{
    (void)state;
    struct world world = open_world(1);
    const struct ns_vfs *vfs = world.vfs;
    CHECK_OK(vfs->allocate(vfs->ctx, world.file, 0, 10));
    CHECK_OK(vfs->write_sync(vfs->ctx, world.file, 2, "S", 1));
    check_pending(&world, 512, 1, 1);
    check_crash(&world, 0, "\0\0S", 3);
    check_crash(&world, 1, "\0\0S\0\0\0\0\0\0\0", 10);
    CHECK_OK(vfs->write_sync(vfs->ctx, world.file, 11, "E", 1));
    check_pending(&world, 512, 0, 0);
    check_crash(&world, 0, "\0\0S\0\0\0\0\0\0\0\0E", 12);
    close_world(&world);
}

static void a_cut_is_pending_until_a_sync_or_a_synchronous_write(void **state)
{
    (void)state;
    struct world world = open_world(1);
    const struct ns_vfs *vfs = world.vfs;
    CHECK_OK(ns__mem_file_set(world.mem, "a", ns_str("12345678")));
    CHECK_OK(vfs->write(vfs->ctx, world.file, 2, "xxxx", 4));
    CHECK_OK(vfs->truncate(vfs->ctx, world.file, 4));
    check_pending(&world, 512, 2, 1);
    check_crash(&world, 0, "12345678", 8);
    check_crash(&world, 1, "12xxxx78", 8);
    check_crash(&world, 2, "1234", 4);
    check_crash(&world, 3, "12xx", 4);
    CHECK_OK(vfs->allocate(vfs->ctx, world.file, 0, 8));
    check_crash(&world, 7, "12xx\0\0\0\0", 8);
    CHECK_OK(vfs->write_sync(vfs->ctx, world.file, 0, "S", 1));
    check_pending(&world, 512, 2, 1); /* what is left of the write, and the allocation */
    check_crash(&world, 0, "S234", 4);
    check_crash(&world, 1, "S2xx", 4);
    check_crash(&world, 2, "S234\0\0\0\0", 8);
    CHECK_OK(vfs->truncate(vfs->ctx, world.file, 1));
    CHECK_OK(vfs->sync(vfs->ctx, world.file));
    check_crash(&world, 0, "S", 1);
    close_world(&world);
}

static void a_new_file_is_lost_without_its_directory_entry(void **state)
{
    (void)state;
    struct world world = open_world(1);
    const struct ns_vfs *vfs = world.vfs;
    struct ns_vfs_file *file = NULL;
    CHECK_OK(vfs->open(vfs->ctx, "new", NS_VFS_CREATE, &file));
    CHECK_OK(vfs->write(vfs->ctx, file, 0, "x", 1));
    CHECK_OK(vfs->sync(vfs->ctx, file));
    check_pending(&world, 512, 1, 1);
    for (uint64_t bits = 0; bits < 2; bits++) {
        struct ns__mem *after = crash(&world, bits);
        ns_slice content;
        CHECK_STATUS(ns__mem_file_get(after, "new", &content), bits == 0 ? NS_NOTFOUND : NS_OK);
        assert_int_equal(content.size, bits);
        ns__mem_free(after);
    }
    CHECK_OK(vfs->sync_parent(vfs->ctx, "a")); /* another name's */
    check_pending(&world, 512, 1, 1);
    CHECK_OK(vfs->sync_parent(vfs->ctx, "new"));
    check_pending(&world, 512, 0, 0);
    vfs->close(vfs->ctx, file);
    close_world(&world);
}

static void a_removed_file_may_come_back_until_its_directory_is_synced(void **state)
{
    (void)state;
    struct world world = open_world(1);
    const struct ns_vfs *vfs = world.vfs;
    CHECK_OK(ns__mem_file_set(world.mem, "a", ns_str("old")));
    CHECK_OK(vfs->remove(vfs->ctx, "a"));
    check_pending(&world, 512, 1, 1);
    check_crash(&world, 0, "old", 3);
    check_crash(&world, 1, NULL, 0);
    struct ns_vfs_file *file = NULL;
    CHECK_OK(vfs->open(vfs->ctx, "a", NS_VFS_CREATE, &file)); /* atom 1 */
    CHECK_OK(vfs->write_sync(vfs->ctx, file, 0, "new", 3));
    check_pending(&world, 512, 2, 2);
    check_crash(&world, 0, "old", 3);
    check_crash(&world, 1, NULL, 0);
    check_crash(&world, 2, "new", 3);
    check_crash(&world, 3, "new", 3);
    CHECK_OK(vfs->sync_parent(vfs->ctx, "a"));
    check_crash(&world, 0, "new", 3);
    vfs->close(vfs->ctx, file);
    /* Made and removed again before any sync: writes to what has no name are no atoms. */
    CHECK_OK(vfs->remove(vfs->ctx, "a"));
    CHECK_OK(vfs->sync_parent(vfs->ctx, "a"));
    CHECK_OK(vfs->write(vfs->ctx, world.file, 0, "unseen", 6));
    check_pending(&world, 512, 0, 0);
    check_crash(&world, 0, NULL, 0);
    close_world(&world);
}

static void a_world_stopped_inside_a_call_has_its_effect_pending(void **state)
{
    (void)state;
    static const struct {
        const char
            *call; /* w: write, W: write_sync, s: sync, l: allocate, c: truncate, r: remove */
        uint64_t atoms;
        const char *none, *all;
    } rows[] = {
        {"w", 1, "1234", "x234"},  {"W", 1, "1234", "x234"}, {"ws", 1, "1234", "x234"},
        {"l", 1, "1234", "1234z"}, {"c", 1, "1234", "12"},   {"r", 1, "1234", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world world = open_world(1);
        const struct ns_vfs *vfs = world.vfs;
        CHECK_OK(ns__mem_file_set(world.mem, "a", ns_str("1234")));
        ns__mem_stop_at(world.mem, strlen(rows[i].call));
        ns_status status = NS_OK;
        for (const char *call = rows[i].call; *call != 0; call++) {
            CHECK_OK(status);
            if (*call == 'w') status = vfs->write(vfs->ctx, world.file, 0, "x", 1);
            if (*call == 'W') status = vfs->write_sync(vfs->ctx, world.file, 0, "x", 1);
            if (*call == 's') status = vfs->sync(vfs->ctx, world.file);
            if (*call == 'l') status = vfs->allocate(vfs->ctx, world.file, 0, 5);
            if (*call == 'c') status = vfs->truncate(vfs->ctx, world.file, 2);
            if (*call == 'r') status = vfs->remove(vfs->ctx, "a");
        }
        CHECK_STATUS(status, NS_IO);
        check_pending(&world, 512, rows[i].atoms, 1);
        check_crash(&world, 0, rows[i].none, strlen(rows[i].none));
        char all[8] = {0};
        size_t size = rows[i].all != NULL ? strlen(rows[i].all) : 0;
        if (size > 0) memcpy(all, rows[i].all, size);
        if (size == 5) all[4] = 0;
        check_crash(&world, 1, rows[i].all != NULL ? all : NULL, size);
        close_world(&world);
    }
}

static void a_file_made_by_the_last_call_may_exist(void **state)
{
    (void)state;
    struct world world = open_world(1);
    const struct ns_vfs *vfs = world.vfs;
    struct ns_vfs_file *file = NULL;
    ns__mem_stop_at(world.mem, 1);
    CHECK_STATUS(vfs->open(vfs->ctx, "new", NS_VFS_CREATE, &file), NS_IO);
    check_pending(&world, 512, 1, 1);
    for (uint64_t bits = 0; bits < 2; bits++) {
        struct ns__mem *after = crash(&world, bits);
        ns_slice content;
        CHECK_STATUS(ns__mem_file_get(after, "new", &content), bits == 0 ? NS_NOTFOUND : NS_OK);
        ns__mem_free(after);
    }
    close_world(&world);
}

static void a_failed_sync_keeps_some_and_never_the_rest(void **state)
{
    (void)state;
    enum { PAGES = 32 };
    static char page[4096];
    struct world world = open_world(11);
    const struct ns_vfs *vfs = world.vfs;
    CHECK_OK(vfs->allocate(vfs->ctx, world.file, 0, PAGES * sizeof page));
    CHECK_OK(vfs->sync(vfs->ctx, world.file));
    memset(page, 'n', sizeof page);
    for (uint64_t i = 0; i < PAGES; i++) {
        CHECK_OK(vfs->write(vfs->ctx, world.file, i * sizeof page, page, sizeof page));
    }
    ns__mem_fail(world.mem, 1, 0, NS_IO, false);
    CHECK_STATUS(vfs->sync(vfs->ctx, world.file), NS_IO);
    check_pending(&world, 4096, 0, 0);
    CHECK_OK(vfs->sync(vfs->ctx, world.file)); /* says so, and lies */
    ns_slice seen;
    CHECK_OK(ns__mem_file_get(world.mem, "a", &seen));
    struct ns__mem *after = crash(&world, 0);
    ns_slice found;
    CHECK_OK(ns__mem_file_get(after, "a", &found));
    assert_int_equal(found.size, seen.size);
    size_t survived = 0;
    for (size_t i = 0; i < PAGES; i++) {
        char now = ((const char *)seen.data)[i * sizeof page + 17];
        char then = ((const char *)found.data)[i * sizeof page + 17];
        assert_int_equal(now, 'n');
        if (then == 'n')
            survived++;
        else
            assert_int_equal(then, 0);
    }
    assert_true(survived > 4 && survived < PAGES - 4);
    ns__mem_free(after);
    CHECK_OK(
        vfs->write_sync(vfs->ctx, world.file, 0, page, sizeof page)); /* written anew it holds */
    after = crash(&world, 0);
    CHECK_OK(ns__mem_file_get(after, "a", &found));
    assert_memory_equal(found.data, page, sizeof page);
    ns__mem_free(after);
    close_world(&world);
}

static void a_size_lost_by_a_failed_sync_comes_with_the_next(void **state)
{
    (void)state;
    size_t lost = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world world = open_world(seed);
        const struct ns_vfs *vfs = world.vfs;
        CHECK_OK(vfs->allocate(vfs->ctx, world.file, 0, 3));
        ns__mem_fail(world.mem, 1, 0, NS_IO, false);
        CHECK_STATUS(vfs->sync(vfs->ctx, world.file), NS_IO);
        struct ns__mem *after = crash(&world, 0);
        ns_slice found;
        CHECK_OK(ns__mem_file_get(after, "a", &found));
        if (found.size == 0) lost++;
        ns__mem_free(after);
        CHECK_OK(vfs->sync(vfs->ctx, world.file));
        check_crash(&world, 0, "\0\0\0", 3);
        close_world(&world);
    }
    assert_true(lost > 3 && lost < 17);
}

static void a_failed_synchronous_write_may_be_there_in_part(void **state)
{
    (void)state;
    static char data[8 * 512];
    memset(data, 'n', sizeof data);
    size_t partial = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct world world = open_world(seed);
        const struct ns_vfs *vfs = world.vfs;
        CHECK_OK(vfs->allocate(vfs->ctx, world.file, 0, sizeof data));
        CHECK_OK(vfs->sync(vfs->ctx, world.file));
        ns__mem_fail(world.mem, 1, 0, NS_IO, false);
        CHECK_STATUS(vfs->write_sync(vfs->ctx, world.file, 0, data, sizeof data), NS_IO);
        CHECK_OK(vfs->sync(vfs->ctx, world.file));
        struct ns__mem *after = crash(&world, 0);
        ns_slice found;
        CHECK_OK(ns__mem_file_get(after, "a", &found));
        size_t kept = 0;
        for (size_t i = 0; i < 8; i++) {
            if (((const char *)found.data)[i * 512] == 'n') kept++;
        }
        if (kept > 0 && kept < 8) partial++;
        ns__mem_free(after);
        close_world(&world);
    }
    assert_true(partial > 5);
}

static void torn_sectors_keep_a_prefix(void **state)
{
    (void)state;
    enum { SECTORS = 64 };
    static char old[SECTORS * 512 + 100];
    static char new[SECTORS * 512];
    memset(old, 'o', sizeof old);
    memset(new, 'n', sizeof new);
    struct world world = open_world(1);
    CHECK_OK(ns__mem_file_set(world.mem, "a", ns_bytes(old, sizeof old)));
    CHECK_OK(world.vfs->write(world.vfs->ctx, world.file, 50, new, sizeof new));
    check_pending(&world, 1, SECTORS + 1, 1);
    struct ns__mem *after[3];
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(ns__mem_crash(world.mem, 1, keep_all, NULL, i < 2 ? 5 : 6, &after[i]));
    }
    assert_int_equal(ns__mem_image_hash(after[0]), ns__mem_image_hash(after[1]));
    assert_int_not_equal(ns__mem_image_hash(after[0]), ns__mem_image_hash(after[2]));
    ns_slice content;
    CHECK_OK(ns__mem_file_get(after[0], "a", &content));
    const char *bytes = content.data;
    size_t whole = 0;
    size_t torn = 0;
    for (size_t sector = 0; sector <= SECTORS; sector++) {
        size_t from = sector == 0 ? 50 : sector * 512;
        size_t end = sector == SECTORS ? SECTORS * 512 + 50 : sector * 512 + 512;
        size_t at = from;
        while (at < end && bytes[at] == 'n')
            at++;
        if (at == end)
            whole++;
        else
            torn++;
        for (; at < end; at++)
            assert_int_equal(bytes[at], 'o');
    }
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(bytes[i], 'o');
        assert_int_equal(bytes[sizeof old - 1 - i], 'o');
    }
    assert_true(whole > 10 && torn > 10);
    for (size_t i = 0; i < 3; i++)
        ns__mem_free(after[i]);
    close_world(&world);
}

static void an_untracked_world_cannot_crash(void **state)
{
    (void)state;
    struct ns__mem *mem = NULL;
    CHECK_OK(ns__mem_new(0, 1, NULL, &mem));
    struct ns__mem *after = mem;
    CHECK_STATUS(ns__mem_crash(mem, 512, NULL, NULL, 1, &after), NS_UNSUPPORTED);
    assert_null(after);
    ns__mem_free(mem);
}

/* ---- against the model ---- */

enum { FILE_MAX = 6000, OPS_MAX = 200 };

struct image {
    uint8_t bytes[FILE_MAX];
    size_t size;
};

/* One operation since the file was made; bytes that no longer count are not live. */
struct model_op {
    enum { WRITE, GROW, CUT } kind;
    bool live[FILE_MAX]; /* WRITE */
    uint8_t bytes[FILE_MAX];
    bool pending; /* GROW, CUT */
    size_t size;
};

static struct model_op model_ops[OPS_MAX];
static size_t model_op_count;
static struct image model_durable;
static struct image model_now;

static struct model_op *model_add(int kind, size_t size)
{
    struct model_op *op = &model_ops[model_op_count++];
    memset(op, 0, sizeof *op);
    op->kind = kind == 0 ? WRITE : kind == 1 ? GROW : CUT;
    op->pending = kind != 0;
    op->size = size;
    return op;
}

static void image_cut(struct image *image, size_t size)
{
    memset(image->bytes + size, 0, FILE_MAX - size);
    image->size = size;
}

static void model_write(size_t offset, const uint8_t *data, size_t size)
{
    if (offset + size > model_now.size) {
        (void)model_add(1, offset + size);
        model_now.size = offset + size;
    }
    struct model_op *op = model_add(0, 0);
    memcpy(op->bytes + offset, data, size);
    memcpy(model_now.bytes + offset, data, size);
    for (size_t i = offset; i < offset + size; i++)
        op->live[i] = true;
}

static void model_resize(size_t size)
{
    if (size == model_now.size) return;
    (void)model_add(size > model_now.size ? 1 : 2, size);
    if (size < model_now.size) image_cut(&model_now, size);
    model_now.size = size;
}

static void model_settle_cuts(void)
{
    for (size_t i = 0; i < model_op_count; i++) {
        if (model_ops[i].kind != CUT || !model_ops[i].pending) continue;
        size_t size = model_ops[i].size;
        model_ops[i].pending = false;
        image_cut(&model_durable, size);
        for (size_t k = 0; k < i; k++) {
            if (model_ops[k].kind == GROW) model_ops[k].pending = false;
            memset(model_ops[k].live + size, 0, FILE_MAX - size);
        }
    }
}

static void model_write_sync(size_t offset, const uint8_t *data, size_t size)
{
    model_settle_cuts();
    size_t end = offset + size;
    memcpy(model_durable.bytes + offset, data, size);
    memcpy(model_now.bytes + offset, data, size);
    if (end > model_durable.size) model_durable.size = end;
    if (end > model_now.size) model_now.size = end;
    for (size_t i = 0; i < model_op_count; i++) {
        memset(model_ops[i].live + offset, 0, size);
        if (model_ops[i].kind == GROW && model_ops[i].size <= model_durable.size) {
            model_ops[i].pending = false;
        }
    }
}

static void model_sync(void)
{
    model_durable = model_now;
    model_op_count = 0;
}

/* The survivors by the numbers of their atoms: a run of live bytes splits at sectors. */
static void model_crash(struct image *out, uint64_t bits, uint64_t *atoms_out)
{
    uint64_t atom = 0;
    *out = model_durable;
    for (size_t i = 0; i < model_op_count; i++) {
        const struct model_op *op = &model_ops[i];
        bool kept = false;
        for (size_t at = 0; op->kind == WRITE && at < FILE_MAX; at++) {
            if (!op->live[at]) continue;
            bool first = at == 0 || !op->live[at - 1] || at % 512 == 0;
            if (first) kept = (bits >> atom++ % 64 & 1) != 0;
            if (kept) out->bytes[at] = op->bytes[at];
        }
        if (op->kind == WRITE || !op->pending) continue;
        kept = (bits >> atom++ % 64 & 1) != 0;
        if (kept && op->kind == GROW && op->size > out->size) out->size = op->size;
        if (kept && op->kind == CUT) image_cut(out, op->size);
    }
    image_cut(out, out->size);
    *atoms_out = atom;
}

static bool keep_round(void *ctx, uint64_t atom)
{
    const uint64_t *bits = ctx;
    return (*bits >> atom % 64 & 1) != 0;
}

static void check_against_model(const struct world *world, uint64_t bits)
{
    static struct image wanted;
    uint64_t atoms = 0;
    model_crash(&wanted, bits, &atoms);
    struct ns__mem_pending pending;
    ns__mem_pending(world->mem, 512, &pending);
    assert_int_equal(pending.atoms, atoms);
    struct ns__mem *after = NULL;
    CHECK_OK(ns__mem_crash(world->mem, 512, keep_round, &bits, 1, &after));
    ns_slice content;
    CHECK_OK(ns__mem_file_get(after, "a", &content));
    assert_int_equal(content.size, wanted.size);
    if (wanted.size > 0) assert_memory_equal(content.data, wanted.bytes, wanted.size);
    ns__mem_free(after);
}

/* Where everything survives, what is current does. */
static void check_keep_all(const struct world *world)
{
    struct ns__mem *after = NULL;
    CHECK_OK(ns__mem_crash(world->mem, 4096, keep_all, NULL, 1, &after));
    assert_int_equal(ns__mem_image_hash(after), ns__mem_image_hash(world->mem));
    ns__mem_free(after);
}

static void make_random_change(struct world *world, struct ns__prng *prng)
{
    const struct ns_vfs *vfs = world->vfs;
    uint8_t data[FILE_MAX];
    size_t offset = (size_t)ns__prng_below(prng, FILE_MAX - 1);
    size_t size = 1 + (size_t)ns__prng_below(prng, ns__prng_below(prng, 2) == 0 ? 40 : 3000);
    if (size > FILE_MAX - offset) size = FILE_MAX - offset;
    memset(data, (int)(1 + ns__prng_below(prng, 255)), size);
    uint64_t choice = ns__prng_below(prng, 20);
    if (choice < 9) {
        CHECK_OK(vfs->write(vfs->ctx, world->file, offset, data, size));
        model_write(offset, data, size);
    } else if (choice < 14) {
        CHECK_OK(vfs->write_sync(vfs->ctx, world->file, offset, data, size));
        model_write_sync(offset, data, size);
    } else if (choice < 16) {
        CHECK_OK(vfs->truncate(vfs->ctx, world->file, offset));
        model_resize(offset);
    } else if (choice < 18) {
        CHECK_OK(vfs->allocate(vfs->ctx, world->file, 0, offset));
        if (offset > model_now.size) model_resize(offset);
    } else if (choice == 18) {
        CHECK_OK(vfs->sync(vfs->ctx, world->file));
        model_sync();
    }
}

static uint64_t last_seed;

static int print_last_seed(void **state)
{
    (void)state;
    print_message("last seed: %llu\n", (unsigned long long)last_seed);
    return 0;
}

static void random_worlds_crash_as_the_model_does(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct ns__prng prng = {seed};
        last_seed = seed;
        struct world world = open_world(seed);
        model_op_count = 0;
        memset(&model_durable, 0, sizeof model_durable);
        memset(&model_now, 0, sizeof model_now);
        for (int step = 0; step < 40; step++) {
            make_random_change(&world, &prng);
            ns_slice now;
            CHECK_OK(ns__mem_file_get(world.mem, "a", &now));
            assert_int_equal(now.size, model_now.size);
            if (now.size > 0) assert_memory_equal(now.data, model_now.bytes, now.size);
            if (step % 4 != 3) continue;
            check_against_model(&world, 0);
            check_against_model(&world, UINT64_MAX);
            check_keep_all(&world);
            check_against_model(&world, ns__prng_next(&prng));
            check_against_model(&world, ns__prng_next(&prng) & ns__prng_next(&prng));
        }
        close_world(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_sync_nothing_need_survive),
        cmocka_unit_test(later_bytes_win_where_both_survive),
        cmocka_unit_test(writes_split_at_sectors_of_the_file),
        cmocka_unit_test(what_lies_behind_a_lost_size_is_cut),
        cmocka_unit_test(an_allocation_is_one_atom),
        cmocka_unit_test(a_synchronous_write_is_durable_and_nothing_else_is),
        cmocka_unit_test(a_synchronous_write_brings_the_size_it_needs),
        cmocka_unit_test(a_cut_is_pending_until_a_sync_or_a_synchronous_write),
        cmocka_unit_test(a_new_file_is_lost_without_its_directory_entry),
        cmocka_unit_test(a_removed_file_may_come_back_until_its_directory_is_synced),
        cmocka_unit_test(a_world_stopped_inside_a_call_has_its_effect_pending),
        cmocka_unit_test(a_file_made_by_the_last_call_may_exist),
        cmocka_unit_test(a_failed_sync_keeps_some_and_never_the_rest),
        cmocka_unit_test(a_size_lost_by_a_failed_sync_comes_with_the_next),
        cmocka_unit_test(a_failed_synchronous_write_may_be_there_in_part),
        cmocka_unit_test(torn_sectors_keep_a_prefix),
        cmocka_unit_test(an_untracked_world_cannot_crash),
        cmocka_unit_test_teardown(random_worlds_crash_as_the_model_does, print_last_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
