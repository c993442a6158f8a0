/* vfs_mem_watch_test.c: what a watcher of a world in memory is shown, against what a power cut at
 * the same moment leaves. */
#include "harness/test.h"

#include <stdbool.h>
#include "base/prng.h"
#include "vfs/mem.h"

#define PAGE ((size_t)4096)
#define PAGES 6u

struct world {
    struct ns__mem *mem;
    const struct ns_vfs *vfs;
    struct ns_vfs_file *file;
    uint64_t seen;
    uint64_t bits; /* which atoms survive */
    uint32_t atom_bytes;
};

static void open_world(struct world *world, uint64_t seed)
{
    static const uint8_t ones[2 * PAGE] = {1, 1, 1};
    memset(world, 0, sizeof *world);
    CHECK_OK(ns__mem_new(NS__MEM_DURABILITY | NS__MEM_FAKE_TIME, seed, NULL, &world->mem));
    CHECK_OK(ns__mem_file_set(world->mem, "a", ns_bytes(ones, sizeof ones)));
    world->vfs = ns__mem_vfs(world->mem);
    CHECK_OK(world->vfs->open(world->vfs->ctx, "a", 0, &world->file));
}

static void close_world(struct world *world)
{
    ns__mem_watch(world->mem, NULL, NULL);
    world->vfs->close(world->vfs->ctx, world->file);
    ns__mem_free(world->mem);
}

static bool keep_bits(void *ctx, uint64_t atom)
{
    const uint64_t *bits = ctx;
    return (*bits >> atom % 64 & 1) != 0;
}

static ns_slice content_of(const struct ns__mem *mem)
{
    ns_slice content = {NULL, 0};
    CHECK_OK(ns__mem_file_get(mem, "a", &content));
    return content;
}

/* ---- the moment ---- */

static void note_pending(void *ctx)
{
    struct world *world = ctx;
    struct ns__mem_pending pending;
    ns__mem_pending(world->mem, 4096, &pending);
    world->seen++;
    world->bits = pending.atoms;
}

static void every_changing_call_is_shown_while_it_is_pending(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, 1);
    ns__mem_watch(world.mem, note_pending, &world);
    CHECK_OK(world.vfs->write_sync(world.vfs->ctx, world.file, 0, "new", 3));
    assert_int_equal(world.seen, 1);
    assert_int_equal(world.bits, 1);
    CHECK_OK(world.vfs->write(world.vfs->ctx, world.file, PAGE, "new", 3));
    CHECK_OK(world.vfs->allocate(world.vfs->ctx, world.file, 0, 3 * PAGE));
    assert_int_equal(world.seen, 3);
    assert_int_equal(world.bits, 2);
    CHECK_OK(world.vfs->sync(world.vfs->ctx, world.file));
    assert_int_equal(world.seen, 4);
    assert_int_equal(world.bits, 2);
    CHECK_OK(world.vfs->truncate(world.vfs->ctx, world.file, PAGE));
    CHECK_OK(world.vfs->sync_parent(world.vfs->ctx, "a"));
    CHECK_OK(world.vfs->remove(world.vfs->ctx, "a"));
    assert_int_equal(world.seen, 7);
    assert_int_equal(world.bits, 2);
    struct ns_vfs_file *other;
    CHECK_OK(world.vfs->open(world.vfs->ctx, "b", NS_VFS_CREATE, &other));
    assert_int_equal(world.seen, 8);
    world.vfs->close(world.vfs->ctx, other);
    close_world(&world);
}

static void a_call_that_fails_or_only_reads_is_not_shown(void **state)
{
    (void)state;
    struct world world;
    uint8_t byte;
    open_world(&world, 1);
    ns__mem_watch(world.mem, note_pending, &world);
    CHECK_OK(world.vfs->read(world.vfs->ctx, world.file, 0, &byte, 1));
    CHECK_STATUS(world.vfs->remove(world.vfs->ctx, "b"), NS_NOTFOUND);
    ns__mem_stop_at(world.mem, 1);
    CHECK_STATUS(world.vfs->write(world.vfs->ctx, world.file, 0, "x", 1), NS_IO);
    assert_int_equal(world.seen, 0);
    close_world(&world);
}

static void a_synchronous_write_that_was_shown_is_durable(void **state)
{
    (void)state;
    struct world world;
    struct ns__mem *after;
    struct ns__mem_pending pending;
    open_world(&world, 1);
    ns__mem_watch(world.mem, note_pending, &world);
    CHECK_OK(world.vfs->write_sync(world.vfs->ctx, world.file, 3 * PAGE - 2, "new", 3));
    ns__mem_pending(world.mem, 512, &pending);
    assert_int_equal(pending.atoms, 0);
    CHECK_OK(ns__mem_crash(world.mem, 512, NULL, NULL, 1, &after));
    assert_int_equal(content_of(after).size, 3 * PAGE + 1);
    assert_int_equal(ns__mem_image_hash(after), ns__mem_image_hash(world.mem));
    ns__mem_free(after);
    close_world(&world);
}

/* ---- the pieces ---- */

struct build {
    const uint64_t *bits;
    uint64_t atom, size;
    uint8_t bytes[PAGES * PAGE];
};

static void build_atom(void *ctx, const struct ns__mem_atom *atom)
{
    struct build *build = ctx;
    assert_true(atom->is_of_path);
    if (!keep_bits((void *)(uintptr_t)build->bits, build->atom++)) return;
    if (atom->kind == NS__MEM_ATOM_BYTES) {
        memcpy(build->bytes + atom->offset, atom->data, atom->size);
    } else if (atom->kind == NS__MEM_ATOM_CUT) {
        memset(build->bytes + atom->offset, 0, sizeof build->bytes - (size_t)atom->offset);
        build->size = atom->offset;
    } else {
        assert_int_equal(atom->kind, NS__MEM_ATOM_GROW);
        if (atom->offset > build->size) build->size = atom->offset;
    }
}

static void compare_with_crash(void *ctx)
{
    static struct build build;
    struct world *world = ctx;
    struct ns__mem_durable durable;
    struct ns__mem *after;
    world->seen++;
    memset(&build, 0, sizeof build);
    assert_true(ns__mem_durable(world->mem, "a", &durable));
    assert_true(durable.is_named);
    build.bits = &world->bits;
    build.size = durable.size;
    for (uint64_t page = 0; page * PAGE < durable.size; page++) {
        const uint8_t *bytes = ns__mem_durable_page(world->mem, "a", page);
        size_t left = (size_t)(durable.size - page * PAGE);
        if (bytes != NULL) memcpy(build.bytes + page * PAGE, bytes, left < PAGE ? left : PAGE);
    }
    ns__mem_atoms(world->mem, world->atom_bytes, "a", build_atom, &build);
    CHECK_OK(ns__mem_crash(world->mem, world->atom_bytes, keep_bits, &world->bits, 1, &after));
    ns_slice content = content_of(after);
    assert_int_equal(content.size, build.size);
    if (content.size > 0) assert_memory_equal(content.data, build.bytes, content.size);
    ns__mem_free(after);
}

static void change_by_chance(struct world *world, struct ns__prng *prng)
{
    uint8_t bytes[2 * PAGE];
    size_t size = 1 + (size_t)ns__prng_below(prng, sizeof bytes);
    uint64_t offset = ns__prng_below(prng, PAGES * PAGE - size);
    memset(bytes, (int)ns__prng_below(prng, 256), size);
    switch (ns__prng_below(prng, 8)) {
    case 0: CHECK_OK(world->vfs->sync(world->vfs->ctx, world->file)); break;
    case 1: CHECK_OK(world->vfs->truncate(world->vfs->ctx, world->file, offset)); break;
    case 2: CHECK_OK(world->vfs->allocate(world->vfs->ctx, world->file, 0, offset)); break;
    case 3:
    case 4:
        CHECK_OK(world->vfs->write_sync(world->vfs->ctx, world->file, offset, bytes, size));
        break;
    default: CHECK_OK(world->vfs->write(world->vfs->ctx, world->file, offset, bytes, size)); break;
    }
}

static void the_pieces_make_what_a_crash_makes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world world;
        struct ns__prng prng = {seed};
        open_world(&world, seed);
        world.atom_bytes = seed % 2 == 0 ? 512 : 4096;
        ns__mem_watch(world.mem, compare_with_crash, &world);
        for (int step = 0; step < 60; step++) {
            world.bits = ns__prng_next(&prng);
            change_by_chance(&world, &prng);
        }
        assert_true(world.seen > 20);
        close_world(&world);
    }
}

static void no_file_has_no_pieces(void **state)
{
    (void)state;
    struct world world;
    struct ns__mem_durable durable;
    open_world(&world, 1);
    assert_false(ns__mem_durable(world.mem, "b", &durable));
    assert_null(ns__mem_durable_page(world.mem, "b", 0));
    assert_null(ns__mem_durable_page(world.mem, "a", 100));
    close_world(&world);
}

/* ---- stale bytes ---- */

static void a_size_may_survive_with_old_content_behind_it(void **state)
{
    (void)state;
    struct world world;
    struct ns__mem *after;
    uint64_t all = UINT64_MAX;
    open_world(&world, 1);
    const uint8_t *old = content_of(world.mem).data;
    CHECK_OK(world.vfs->allocate(world.vfs->ctx, world.file, 0, 5 * PAGE));
    CHECK_OK(ns__mem_crash(world.mem, 4096 | NS__MEM_STALE, keep_bits, &all, 1, &after));
    ns_slice content = content_of(after);
    assert_int_equal(content.size, 5 * PAGE);
    assert_memory_equal(content.data, old, 2 * PAGE);
    size_t stale = 0;
    for (size_t page = 2; page < 5; page++) {
        const uint8_t *bytes = (const uint8_t *)content.data + page * PAGE;
        bool is_first = memcmp(bytes, old, PAGE) == 0;
        assert_true(is_first || memcmp(bytes, old + PAGE, PAGE) == 0);
        stale += is_first;
    }
    assert_true(stale > 0);
    ns__mem_free(after);
    CHECK_OK(ns__mem_crash(world.mem, 4096 | NS__MEM_STALE, NULL, NULL, 1, &after));
    assert_int_equal(content_of(after).size, 2 * PAGE);
    ns__mem_free(after);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_changing_call_is_shown_while_it_is_pending),
        cmocka_unit_test(a_call_that_fails_or_only_reads_is_not_shown),
        cmocka_unit_test(a_synchronous_write_that_was_shown_is_durable),
        cmocka_unit_test(the_pieces_make_what_a_crash_makes),
        cmocka_unit_test(no_file_has_no_pieces),
        cmocka_unit_test(a_size_may_survive_with_old_content_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
