/* vfs_mem_table_test.c: how calls of a world in memory fail; its capacity; its own time and
 * chance. What any vfs must do is in vfs_contract_test.c. */
#include "harness/test.h"

#include <stdbool.h>
#include "vfs/mem.h"

struct world {
    struct ns__mem *mem;
    const struct ns_vfs *vfs;
    struct ns_vfs_file *file; /* "a" */
};

static struct world open_world(uint32_t flags, uint64_t seed)
{
    struct world world = {0};
    CHECK_OK(ns__mem_new(flags, seed, NULL, &world.mem));
    world.vfs = ns__mem_vfs(world.mem);
    CHECK_OK(world.vfs->open(world.vfs->ctx, "a", NS_VFS_CREATE, &world.file));
    return world;
}

static void close_world(struct world *world)
{
    world->vfs->close(world->vfs->ctx, world->file);
    ns__mem_free(world->mem);
}

static ns_slice content_of(struct world *world)
{
    ns_slice content;
    CHECK_OK(ns__mem_file_get(world->mem, "a", &content));
    return content;
}

/* How many leading bytes of content are 'n'; the others must be 'o'. */
static size_t new_prefix(ns_slice content)
{
    const char *bytes = content.data;
    size_t count = 0;
    while (count < content.size && bytes[count] == 'n')
        count++;
    for (size_t i = count; i < content.size; i++)
        assert_int_equal(bytes[i], 'o');
    return count;
}

static void a_failing_write_leaves_a_prefix(void **state)
{
    (void)state;
    bool short_one = false;
    bool long_one = false;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct world world = open_world(seed % 2 == 0 ? 0 : NS__MEM_DURABILITY, seed);
        const struct ns_vfs *vfs = world.vfs;
        CHECK_OK(vfs->write(vfs->ctx, world.file, 0, "oooooooooo", 10));
        ns__mem_fail(world.mem, 1, 0, NS_IO, false);
        CHECK_STATUS(vfs->write(vfs->ctx, world.file, 0, "nnnnnnnnnn", 10), NS_IO);
        size_t prefix = new_prefix(content_of(&world));
        assert_true(prefix < 10);
        short_one = short_one || prefix < 5;
        long_one = long_one || prefix >= 5;
        close_world(&world);
    }
    assert_true(short_one && long_one);
}

static void a_failing_synchronous_write_leaves_a_prefix_or_shows_all(void **state)
{
    (void)state;
    size_t whole = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct world world = open_world(NS__MEM_DURABILITY, seed);
        const struct ns_vfs *vfs = world.vfs;
        CHECK_OK(vfs->write(vfs->ctx, world.file, 0, "oooooooooo", 10));
        ns__mem_fail(world.mem, 1, 0, NS_IO, false);
        CHECK_STATUS(vfs->write_sync(vfs->ctx, world.file, 0, "nnnnnnnnnn", 10), NS_IO);
        if (new_prefix(content_of(&world)) == 10) whole++;
        close_world(&world);
    }
    assert_true(whole > 5 && whole < 35);
}

static void other_failing_calls_change_nothing(void **state)
{
    (void)state;
    struct world world = open_world(NS__MEM_DURABILITY, 1);
    const struct ns_vfs *vfs = world.vfs;
    CHECK_OK(vfs->write(vfs->ctx, world.file, 0, "content", 7));
    uint64_t hash = ns__mem_image_hash(world.mem);
    ns__mem_fail(world.mem, 1, 0, NS_FULL, true);
    struct ns_vfs_file *other = world.file;
    CHECK_STATUS(vfs->open(vfs->ctx, "b", NS_VFS_CREATE, &other), NS_FULL);
    assert_null(other);
    CHECK_STATUS(vfs->allocate(vfs->ctx, world.file, 0, 100), NS_FULL);
    CHECK_STATUS(vfs->truncate(vfs->ctx, world.file, 1), NS_FULL);
    CHECK_STATUS(vfs->remove(vfs->ctx, "a"), NS_FULL);
    CHECK_STATUS(vfs->lock(vfs->ctx, world.file, NS_VFS_SOLE), NS_FULL);
    CHECK_STATUS(vfs->write(vfs->ctx, world.file, 0, "", 0), NS_FULL);
    assert_int_equal(ns__mem_image_hash(world.mem), hash);
    ns__mem_fail(world.mem, 0, 0, NS_OK, false);
    close_world(&world);
}

static void the_capacity_counts_all_files_and_what_fits_is_written(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags < 2; flags++) {
        struct world world = open_world(flags, 1);
        const struct ns_vfs *vfs = world.vfs;
        static char data[1000];
        uint64_t size = 0;
        memset(data, 'd', sizeof data);
        ns__mem_set_capacity(world.mem, 1500);
        struct ns_vfs_file *other = NULL;
        CHECK_OK(vfs->open(vfs->ctx, "b", NS_VFS_CREATE, &other));
        CHECK_OK(vfs->write(vfs->ctx, world.file, 0, data, 1000));
        CHECK_STATUS(vfs->allocate(vfs->ctx, other, 0, 501), NS_FULL);
        CHECK_OK(vfs->size(vfs->ctx, other, &size));
        assert_int_equal(size, 0);
        CHECK_STATUS(vfs->write_sync(vfs->ctx, other, 100, data, 1000), NS_FULL);
        CHECK_OK(vfs->size(vfs->ctx, other, &size));
        assert_int_equal(size, 500);
        CHECK_OK(vfs->write(vfs->ctx, other, 0, data, 500)); /* inside there is room */
        CHECK_STATUS(vfs->write(vfs->ctx, world.file, 1000, "x", 1), NS_FULL);
        CHECK_STATUS(vfs->write(vfs->ctx, world.file, 5000, "x", 1), NS_FULL);

        CHECK_OK(vfs->truncate(vfs->ctx, other, 200));
        CHECK_OK(vfs->allocate(vfs->ctx, world.file, 0, 1300));
        vfs->close(vfs->ctx, other);
        CHECK_OK(vfs->remove(vfs->ctx, "b"));
        CHECK_OK(vfs->sync_parent(vfs->ctx, "b"));
        CHECK_OK(vfs->write_sync(vfs->ctx, world.file, 500, data, 1000));
        ns__mem_set_capacity(world.mem, 100); /* already beyond it */
        CHECK_STATUS(vfs->allocate(vfs->ctx, world.file, 0, 1501), NS_FULL);
        ns__mem_set_capacity(world.mem, 0);
        CHECK_OK(vfs->allocate(vfs->ctx, world.file, 0, 1 << 20));
        close_world(&world);
    }
}

static void time_and_chance_repeat_from_the_seed(void **state)
{
    (void)state;
    uint8_t bytes[2][32];
    for (int i = 0; i < 2; i++) {
        struct world world = open_world(NS__MEM_FAKE_TIME, 42);
        const struct ns_vfs *vfs = world.vfs;
        assert_true(vfs->unix_us(vfs->ctx) == INT64_C(1000000000000000));
        assert_true(vfs->unix_us(vfs->ctx) == INT64_C(1000000000000001));
        uint64_t now = vfs->monotonic_ns(vfs->ctx);
        assert_int_equal(vfs->monotonic_ns(vfs->ctx), now + 1000);
        CHECK_OK(vfs->entropy(vfs->ctx, bytes[i], sizeof bytes[i]));
        close_world(&world);
    }
    assert_memory_equal(bytes[0], bytes[1], sizeof bytes[0]);
    struct world world = open_world(NS__MEM_FAKE_TIME, 43);
    CHECK_OK(world.vfs->entropy(world.vfs->ctx, bytes[1], sizeof bytes[1]));
    assert_memory_not_equal(bytes[0], bytes[1], sizeof bytes[0]);
    close_world(&world);
}

static void memory_is_as_large_in_every_simulated_world(void **state)
{
    (void)state;
    struct world world = open_world(NS__MEM_DURABILITY | NS__MEM_FAKE_TIME, 1);
    assert_int_equal(world.vfs->memory_bytes(world.vfs->ctx), (uint64_t)8 << 30);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failing_write_leaves_a_prefix),
        cmocka_unit_test(a_failing_synchronous_write_leaves_a_prefix_or_shows_all),
        cmocka_unit_test(other_failing_calls_change_nothing),
        cmocka_unit_test(the_capacity_counts_all_files_and_what_fits_is_written),
        cmocka_unit_test(time_and_chance_repeat_from_the_seed),
        cmocka_unit_test(memory_is_as_large_in_every_simulated_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
