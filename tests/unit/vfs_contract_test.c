/* vfs_contract_test.c: what <northstar/vfs.h> promises, asked of the system's files and of those
 * in memory. */
#include "harness/test.h"

#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "vfs/mem.h"
#include "vfs/posix.h"

/* A place for files: a new empty directory, or a new world. */
struct place {
    const struct ns_vfs *vfs;
    struct ns__mem *mem; /* NULL: the system's */
    char directory[64];
    char path[128];
};

static int setup_posix(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    if (place == NULL) return -1;
    place->vfs = &ns__vfs_posix;
    (void)snprintf(place->directory, sizeof place->directory, "vfs_contract_XXXXXX");
    if (mkdtemp(place->directory) == NULL) return -1;
    *state = place;
    return 0;
}

static int setup_mem_with(void **state, uint32_t flags)
{
    struct place *place = calloc(1, sizeof *place);
    if (place == NULL || ns__mem_new(flags, 1, NULL, &place->mem) != NS_OK) return -1;
    place->vfs = ns__mem_vfs(place->mem);
    (void)snprintf(place->directory, sizeof place->directory, "world");
    *state = place;
    return 0;
}

static int setup_mem(void **state)
{
    return setup_mem_with(state, 0);
}

static int setup_mem_tracked(void **state)
{
    return setup_mem_with(state, NS__MEM_DURABILITY | NS__MEM_FAKE_TIME);
}

static int teardown(void **state)
{
    struct place *place = *state;
    ns__mem_free(place->mem);
    DIR *directory = place->mem == NULL ? opendir(place->directory) : NULL;
    if (directory != NULL) {
        const struct dirent *entry;
        while ((entry = readdir(directory)) != NULL) {
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
        }
        (void)closedir(directory);
        (void)rmdir(place->directory);
    }
    free(place);
    return 0;
}

/* Valid until the next call. */
static const char *path_of(struct place *place, const char *name)
{
    (void)snprintf(place->path, sizeof place->path, "%s/%s", place->directory, name);
    return place->path;
}

static struct ns_vfs_file *open_file(struct place *place, const char *name, uint32_t flags)
{
    struct ns_vfs_file *file = NULL;
    CHECK_OK(place->vfs->open(place->vfs->ctx, path_of(place, name), flags, &file));
    assert_non_null(file);
    return file;
}

static void check_size(struct place *place, struct ns_vfs_file *file, uint64_t wanted)
{
    uint64_t size = 99;
    CHECK_OK(place->vfs->size(place->vfs->ctx, file, &size));
    assert_int_equal(size, wanted);
}

static void check_read(struct place *place, struct ns_vfs_file *file, uint64_t offset,
                       const char *wanted, size_t size)
{
    char *got = malloc(size + 1);
    assert_non_null(got);
    CHECK_OK(place->vfs->read(place->vfs->ctx, file, offset, got, size));
    assert_memory_equal(got, wanted, size);
    free(got);
}

/* ---- the promises ---- */

static void open_creates_only_when_told(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    struct ns_vfs_file *file = (struct ns_vfs_file *)(void *)place;
    const char *path = path_of(place, "a");
    CHECK_STATUS(vfs->open(vfs->ctx, path, 0, &file), NS_NOTFOUND);
    assert_null(file);
    CHECK_STATUS(vfs->open(vfs->ctx, path, NS_VFS_READ_ONLY, &file), NS_NOTFOUND);
    CHECK_STATUS(vfs->exists(vfs->ctx, path), NS_NOTFOUND);
    CHECK_OK(vfs->open(vfs->ctx, path, NS_VFS_CREATE | NS_VFS_EXCLUSIVE, &file));
    check_size(place, file, 0);
    vfs->close(vfs->ctx, file);
    CHECK_OK(vfs->exists(vfs->ctx, path));
    file = (struct ns_vfs_file *)(void *)place;
    CHECK_STATUS(vfs->open(vfs->ctx, path, NS_VFS_CREATE | NS_VFS_EXCLUSIVE, &file), NS_EXISTS);
    assert_null(file);
    vfs->close(vfs->ctx, open_file(place, "a", NS_VFS_CREATE));
    vfs->close(vfs->ctx, open_file(place, "a", 0));
    vfs->close(vfs->ctx, open_file(place, "a", NS_VFS_READ_ONLY));
}

static void what_is_written_is_read(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_CREATE);
    CHECK_OK(vfs->write(vfs->ctx, file, 0, "hello", 5));
    CHECK_OK(vfs->write_sync(vfs->ctx, file, 5, " world", 6));
    CHECK_OK(vfs->write(vfs->ctx, file, 4, "O", 1));
    CHECK_OK(vfs->write(vfs->ctx, file, 10000, "far", 3)); /* over a hole */
    CHECK_OK(vfs->write(vfs->ctx, file, 0, NULL, 0));
    CHECK_OK(vfs->write_sync(vfs->ctx, file, 0, NULL, 0));
    check_size(place, file, 10003);
    check_read(place, file, 0, "hellO world\0\0", 13);
    check_read(place, file, 9999, "\0far", 4);
    CHECK_OK(vfs->sync(vfs->ctx, file));
    CHECK_OK(vfs->sync_parent(vfs->ctx, path_of(place, "a")));
    vfs->close(vfs->ctx, file);
    file = open_file(place, "a", NS_VFS_READ_ONLY);
    vfs->drop_cache(vfs->ctx, file);
    check_read(place, file, 0, "hellO world", 11);
    vfs->close(vfs->ctx, file);
}

static void reading_past_the_end_is_an_io_error(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_CREATE);
    char got[16];
    CHECK_OK(vfs->write(vfs->ctx, file, 0, "0123456789", 10));
    static const struct {
        uint64_t offset;
        size_t size;
        ns_status wanted;
    } rows[] = {
        {0, 10, NS_OK},         {9, 1, NS_OK},  {10, 0, NS_OK},        {0, 11, NS_IO},
        {9, 2, NS_IO},          {10, 1, NS_IO}, {1000000, 1, NS_IO},   {UINT64_MAX, 1, NS_IO},
        {UINT64_MAX, 9, NS_IO}, {0, 0, NS_OK},  {INT64_MAX, 8, NS_IO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_STATUS(vfs->read(vfs->ctx, file, rows[i].offset, got, rows[i].size), rows[i].wanted);
    }
    vfs->close(vfs->ctx, file);
}

static void offsets_beyond_all_files_are_full(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_CREATE);
    CHECK_STATUS(vfs->write(vfs->ctx, file, UINT64_MAX, "x", 1), NS_FULL);
    CHECK_STATUS(vfs->write_sync(vfs->ctx, file, UINT64_MAX - 5, "x", 1), NS_FULL);
    CHECK_STATUS(vfs->allocate(vfs->ctx, file, 0, UINT64_MAX), NS_FULL);
    CHECK_STATUS(vfs->truncate(vfs->ctx, file, UINT64_MAX), NS_FULL);
    check_size(place, file, 0);
    vfs->close(vfs->ctx, file);
}

static void a_read_only_handle_changes_nothing(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_CREATE);
    CHECK_OK(vfs->write(vfs->ctx, file, 0, "keep", 4));
    vfs->close(vfs->ctx, file);
    file = open_file(place, "a", NS_VFS_READ_ONLY);
    CHECK_STATUS(vfs->write(vfs->ctx, file, 0, "x", 1), NS_READONLY);
    CHECK_STATUS(vfs->write_sync(vfs->ctx, file, 0, "x", 1), NS_READONLY);
    CHECK_STATUS(vfs->allocate(vfs->ctx, file, 0, 100), NS_READONLY);
    CHECK_STATUS(vfs->truncate(vfs->ctx, file, 0), NS_READONLY);
    CHECK_STATUS(vfs->lock(vfs->ctx, file, NS_VFS_SOLE), NS_READONLY);
    CHECK_OK(vfs->lock(vfs->ctx, file, NS_VFS_SHARED));
    check_size(place, file, 4);
    check_read(place, file, 0, "keep", 4);
    vfs->close(vfs->ctx, file);
}

static void allocate_extends_with_zeros_and_never_shrinks(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_CREATE);
    CHECK_OK(vfs->write(vfs->ctx, file, 0, "head", 4));
    CHECK_OK(vfs->allocate(vfs->ctx, file, 0, 10000));
    check_size(place, file, 10000);
    check_read(place, file, 0, "head\0\0", 6);
    check_read(place, file, 9990, "\0\0\0\0\0\0\0\0\0\0", 10);
    CHECK_OK(vfs->write(vfs->ctx, file, 9000, "tail", 4));
    CHECK_OK(vfs->allocate(vfs->ctx, file, 4096, 8192)); /* inside */
    CHECK_OK(vfs->allocate(vfs->ctx, file, 0, 0));
    check_size(place, file, 10000);
    CHECK_OK(
        vfs->allocate(vfs->ctx, file, 20000, 20000)); /* nothing to back, but as long as this */
    check_size(place, file, 20000);
    CHECK_OK(vfs->allocate(vfs->ctx, file, 30000, 40000)); /* beyond the end */
    check_size(place, file, 40000);
    check_read(place, file, 9000, "tail\0", 5);
    check_read(place, file, 0, "head", 4);
    vfs->close(vfs->ctx, file);
}

static void truncate_cuts_and_what_comes_back_is_zero(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_CREATE);
    static char big[3 << 20];
    memset(big, 'b', sizeof big);
    CHECK_OK(vfs->write(vfs->ctx, file, 0, big, sizeof big));
    CHECK_OK(vfs->truncate(vfs->ctx, file, 5000));
    check_size(place, file, 5000);
    CHECK_STATUS(vfs->read(vfs->ctx, file, 4999, big, 2), NS_IO);
    CHECK_OK(vfs->truncate(vfs->ctx, file, sizeof big));
    check_size(place, file, sizeof big);
    check_read(place, file, 4998, "bb\0\0", 4);
    memset(big, 0, sizeof big);
    check_read(place, file, 5000, big, sizeof big - 5000);
    CHECK_OK(vfs->truncate(vfs->ctx, file, 0));
    check_size(place, file, 0);
    vfs->close(vfs->ctx, file);
}

static void two_handles_exclude_one_another(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    struct ns_vfs_file *handles[2] = {open_file(place, "a", NS_VFS_CREATE),
                                      open_file(place, "a", 0)};
    static const struct {
        int handle;
        uint32_t kind;
        ns_status wanted;
    } steps[] = {
        {0, NS_VFS_SOLE, NS_OK},     {1, NS_VFS_SOLE, NS_BUSY}, {1, NS_VFS_SHARED, NS_BUSY},
        {0, NS_VFS_SOLE, NS_OK},     {0, NS_VFS_SHARED, NS_OK}, {1, NS_VFS_SOLE, NS_BUSY},
        {1, NS_VFS_SHARED, NS_OK},   {0, NS_VFS_SOLE, NS_BUSY}, {1, NS_VFS_SOLE, NS_BUSY},
        {1, NS_VFS_SHARED, NS_OK},   {0, NS_VFS_UNLOCK, NS_OK}, {1, NS_VFS_SOLE, NS_OK},
        {0, NS_VFS_SHARED, NS_BUSY}, {0, NS_VFS_UNLOCK, NS_OK}, {0, NS_VFS_SOLE, NS_BUSY},
        {1, NS_VFS_UNLOCK, NS_OK},   {1, NS_VFS_UNLOCK, NS_OK}, {0, NS_VFS_SOLE, NS_OK},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        CHECK_STATUS(vfs->lock(vfs->ctx, handles[steps[i].handle], steps[i].kind), steps[i].wanted);
    }
    /* Closing another handle drops nothing; closing its own does. */
    vfs->close(vfs->ctx, open_file(place, "a", 0));
    CHECK_STATUS(vfs->lock(vfs->ctx, handles[1], NS_VFS_SHARED), NS_BUSY);
    vfs->close(vfs->ctx, handles[0]);
    CHECK_OK(vfs->lock(vfs->ctx, handles[1], NS_VFS_SOLE));
    vfs->close(vfs->ctx, handles[1]);
}

static void a_removed_file_lives_until_its_handle_is_closed(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    CHECK_STATUS(vfs->remove(vfs->ctx, path_of(place, "a")), NS_NOTFOUND);
    struct ns_vfs_file *old = open_file(place, "a", NS_VFS_CREATE);
    CHECK_OK(vfs->write(vfs->ctx, old, 0, "old", 3));
    CHECK_OK(vfs->remove(vfs->ctx, path_of(place, "a")));
    CHECK_STATUS(vfs->exists(vfs->ctx, path_of(place, "a")), NS_NOTFOUND);
    CHECK_STATUS(vfs->remove(vfs->ctx, path_of(place, "a")), NS_NOTFOUND);
    CHECK_OK(vfs->sync_parent(vfs->ctx, path_of(place, "a")));
    struct ns_vfs_file *new = open_file(place, "a", NS_VFS_CREATE);
    CHECK_OK(vfs->lock(vfs->ctx, old, NS_VFS_SOLE));
    CHECK_OK(vfs->lock(vfs->ctx, new, NS_VFS_SOLE));
    check_size(place, new, 0);
    check_read(place, old, 0, "old", 3);
    vfs->close(vfs->ctx, old);
    vfs->close(vfs->ctx, new);
    vfs->close(vfs->ctx, NULL);
}

static void a_map_grows_in_place_and_shows_later_writes(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_CREATE);
    struct ns_vfs_map map;
    CHECK_OK(vfs->map(vfs->ctx, file, (size_t)1 << 30, &map));
    assert_non_null(map.base);
    assert_int_equal(map.size, 0);
    assert_true(map.reserved >= (size_t)64 << 20);
    const uint8_t *base = map.base;

    CHECK_STATUS(vfs->map_extend(vfs->ctx, file, &map, 1), NS_IO);
    CHECK_OK(vfs->allocate(vfs->ctx, file, 0, 6000));
    CHECK_OK(vfs->map_extend(vfs->ctx, file, &map, 5000));
    assert_int_equal(map.size, 5000);
    CHECK_OK(vfs->write(vfs->ctx, file, 4990, "0123456789", 10));
    assert_memory_equal(base + 4990, "0123456789", 10);
    CHECK_STATUS(vfs->map_extend(vfs->ctx, file, &map, 6001), NS_IO);

    /* The partial last page, then whole new ones; base stays. */
    CHECK_OK(vfs->allocate(vfs->ctx, file, 6000, 100000));
    CHECK_OK(vfs->write_sync(vfs->ctx, file, 5998, "abcd", 4));
    CHECK_OK(vfs->map_extend(vfs->ctx, file, &map, 100000));
    CHECK_OK(vfs->map_extend(vfs->ctx, file, &map, 10)); /* less is nothing */
    assert_ptr_equal(map.base, base);
    assert_int_equal(map.size, 100000);
    assert_memory_equal(base + 5998, "abcd\0", 5);
    CHECK_OK(vfs->write(vfs->ctx, file, 99999, "z", 1));
    assert_int_equal(base[99999], 'z');
    assert_memory_equal(base + 4990, "0123456789", 10);

    vfs->unmap(vfs->ctx, file, &map);
    assert_null(map.base);
    assert_int_equal(map.size + map.reserved, 0);
    vfs->unmap(vfs->ctx, file, &map);
    vfs->close(vfs->ctx, file);
}

static void a_map_is_bounded_by_its_reservation(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_CREATE);
    CHECK_OK(vfs->allocate(vfs->ctx, file, 0, 1 << 20));
    struct ns_vfs_map map;
    CHECK_OK(vfs->map(vfs->ctx, file, 65536, &map));
    assert_int_equal(map.reserved, 65536);
    CHECK_STATUS(vfs->map_extend(vfs->ctx, file, &map, 65537), NS_FULL);
    assert_int_equal(map.size, 0);
    CHECK_OK(vfs->map_extend(vfs->ctx, file, &map, 65536));
    vfs->unmap(vfs->ctx, file, &map);

    CHECK_OK(vfs->map(vfs->ctx, file, (size_t)1 << 60, &map)); /* more than any system has */
    assert_true(map.reserved >= (size_t)64 << 20);
    assert_true(map.reserved < (size_t)1 << 60);
    vfs->unmap(vfs->ctx, file, &map);
    vfs->close(vfs->ctx, file);
}

static void reserved_memory_is_zero_and_again_after_discard(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    size_t size = (size_t)16 << 20;
    void *memory = NULL;
    CHECK_OK(vfs->reserve(vfs->ctx, size, &memory));
    uint8_t *bytes = memory;
    assert_int_equal((uintptr_t)bytes % 4096, 0);
    assert_int_equal(bytes[0] | bytes[size - 1], 0);
    memset(bytes, 1, 100000);
    vfs->discard(vfs->ctx, bytes + 4096, 40960);
    vfs->discard(vfs->ctx, bytes + 60001, 10000); /* not whole pages */
    for (size_t i = 0; i < 100000; i++) {
        bool zero = (i >= 4096 && i < 45056) || (i >= 60001 && i < 70001);
        assert_int_equal(bytes[i], zero ? 0 : 1);
    }
    vfs->unreserve(vfs->ctx, memory, size);
    memory = place;
    CHECK_STATUS(vfs->reserve(vfs->ctx, SIZE_MAX, &memory), NS_NOMEM);
    assert_null(memory);
    assert_true(vfs->memory_bytes(vfs->ctx) >= 1u << 20);
}

static void time_moves_forward_and_entropy_differs(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    uint64_t first = vfs->monotonic_ns(vfs->ctx);
    assert_true(vfs->unix_us(vfs->ctx) >= INT64_C(1000000000000000)); /* after 2001 */
    uint64_t later = vfs->monotonic_ns(vfs->ctx);
    assert_true(later >= first);
    uint8_t a[600] = {0};
    uint8_t b[600] = {0};
    CHECK_OK(vfs->entropy(vfs->ctx, a, sizeof a));
    CHECK_OK(vfs->entropy(vfs->ctx, b, sizeof b));
    CHECK_OK(vfs->entropy(vfs->ctx, b, 0));
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a + 500, a + 550, 50);
}

/* ---- private handles ---- */

enum { BASE_BYTES = 20001 }; /* a few pages, and a part of one */

static uint8_t base_byte(size_t i)
{
    return (uint8_t)(i * 31 + i / 256 + 1);
}

/* A file of BASE_BYTES. */
static void make_base(struct place *place, const char *name)
{
    const struct ns_vfs *vfs = place->vfs;
    uint8_t bytes[BASE_BYTES];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = base_byte(i);
    struct ns_vfs_file *file = open_file(place, name, NS_VFS_CREATE);
    CHECK_OK(vfs->write(vfs->ctx, file, 0, bytes, sizeof bytes));
    CHECK_OK(vfs->sync(vfs->ctx, file));
    vfs->close(vfs->ctx, file);
}

/* Through a new handle of its own. */
static void check_base(struct place *place, const char *name, uint32_t flags)
{
    const struct ns_vfs *vfs = place->vfs;
    uint8_t bytes[BASE_BYTES];
    struct ns_vfs_file *file = open_file(place, name, flags);
    check_size(place, file, BASE_BYTES);
    CHECK_OK(vfs->read(vfs->ctx, file, 0, bytes, sizeof bytes));
    for (size_t i = 0; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], base_byte(i));
    vfs->close(vfs->ctx, file);
}

static void a_private_handle_changes_nothing_but_itself(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    make_base(place, "a");
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_READ_ONLY | NS_VFS_PRIVATE);
    check_size(place, file, BASE_BYTES);
    CHECK_OK(vfs->write(vfs->ctx, file, 4090, "across pages", 12));
    check_read(place, file, 4090, "across pages", 12);
    CHECK_OK(vfs->write_sync(vfs->ctx, file, 0, "head", 4));
    CHECK_OK(vfs->write(vfs->ctx, file, BASE_BYTES - 2, "over the end", 12));
    check_size(place, file, BASE_BYTES + 10);
    CHECK_OK(vfs->allocate(vfs->ctx, file, 0, 10)); /* never shrinks */
    CHECK_OK(vfs->allocate(vfs->ctx, file, BASE_BYTES, 300000));
    CHECK_OK(vfs->write(vfs->ctx, file, 1 << 20, "far", 3)); /* over a hole */
    check_size(place, file, (1 << 20) + 3);
    CHECK_OK(vfs->sync(vfs->ctx, file));
    vfs->drop_cache(vfs->ctx, file);

    check_read(place, file, 0, "head", 4);
    check_read(place, file, 4090, "across pages", 12);
    check_read(place, file, BASE_BYTES - 2, "over the end\0\0\0", 15);
    check_read(place, file, 299990, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    check_read(place, file, (1 << 20) - 1, "\0far", 4);
    uint8_t byte = 0;
    CHECK_OK(vfs->read(vfs->ctx, file, 10000, &byte, 1)); /* not written */
    assert_int_equal(byte, base_byte(10000));
    CHECK_STATUS(vfs->read(vfs->ctx, file, (1 << 20) + 2, &byte, 2), NS_IO);

    /* Neither the file nor another private handle shows any of it. */
    check_base(place, "a", 0);
    check_base(place, "a", NS_VFS_PRIVATE);
    vfs->close(vfs->ctx, file);
    check_base(place, "a", NS_VFS_READ_ONLY);
}

static void a_private_handle_is_cut_and_grows_again_with_zeros(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    make_base(place, "a");
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_PRIVATE);
    static const uint64_t cuts[] = {BASE_BYTES - 1, 16384, 9000, 4096, 5, 0};
    static char zeros[2 * BASE_BYTES];
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        uint8_t byte = 0;
        CHECK_OK(vfs->truncate(vfs->ctx, file, cuts[i]));
        check_size(place, file, cuts[i]);
        CHECK_STATUS(vfs->read(vfs->ctx, file, cuts[i], &byte, 1), NS_IO);
        CHECK_OK(vfs->truncate(vfs->ctx, file, sizeof zeros));
        check_read(place, file, cuts[i], zeros, (size_t)(sizeof zeros - cuts[i]));
        if (cuts[i] > 0) {
            CHECK_OK(vfs->read(vfs->ctx, file, cuts[i] - 1, &byte, 1));
            assert_int_equal(byte, base_byte((size_t)cuts[i] - 1));
        }
        CHECK_OK(vfs->write(vfs->ctx, file, cuts[i], "dirty", 5));
        CHECK_OK(vfs->write(vfs->ctx, file, sizeof zeros - 5, "dirty", 5));
    }
    vfs->close(vfs->ctx, file);
    check_base(place, "a", 0);
}

static void a_private_map_shows_private_content(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    make_base(place, "a");
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_PRIVATE);
    struct ns_vfs_map map;
    CHECK_OK(vfs->write(vfs->ctx, file, 10, "before", 6));
    CHECK_OK(vfs->map(vfs->ctx, file, (size_t)1 << 30, &map));
    assert_non_null(map.base);
    assert_int_equal(map.size, 0);
    assert_true(map.reserved >= (size_t)64 << 20);
    const uint8_t *base = map.base;
    CHECK_OK(vfs->map_extend(vfs->ctx, file, &map, BASE_BYTES));
    CHECK_STATUS(vfs->map_extend(vfs->ctx, file, &map, BASE_BYTES + 1), NS_IO);
    assert_memory_equal(base + 10, "before", 6);
    assert_int_equal(base[9999], base_byte(9999));
    CHECK_OK(vfs->write_sync(vfs->ctx, file, 9998, "later", 5));
    assert_memory_equal(base + 9998, "later", 5);

    /* Behind the end of the file, in steps that do not end with a page. */
    for (uint64_t size = BASE_BYTES + 7; size < (4 << 20); size += size / 3) {
        CHECK_OK(vfs->allocate(vfs->ctx, file, 0, size));
        CHECK_OK(vfs->map_extend(vfs->ctx, file, &map, (size_t)size));
        assert_int_equal(base[size - 1], 0);
        CHECK_OK(vfs->write(vfs->ctx, file, size - 1, "z", 1));
        assert_int_equal(base[size - 1], 'z');
    }
    CHECK_OK(vfs->map_extend(vfs->ctx, file, &map, 10)); /* less is nothing */
    assert_ptr_equal(map.base, base);
    assert_int_equal(base[BASE_BYTES - 1], base_byte(BASE_BYTES - 1));
    assert_memory_equal(base + 9998, "later", 5);
    CHECK_STATUS(vfs->map_extend(vfs->ctx, file, &map, map.reserved + 1), NS_FULL);
    vfs->unmap(vfs->ctx, file, &map);
    assert_null(map.base);
    check_read(place, file, 9998, "later", 5); /* the content outlives the map */
    vfs->close(vfs->ctx, file);
    check_base(place, "a", 0);
}

static void a_private_map_is_bounded_by_its_reservation(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    make_base(place, "a");
    static const size_t reserves[] = {0, 16384, (size_t)1 << 60};
    for (size_t i = 0; i < sizeof reserves / sizeof *reserves; i++) {
        struct ns_vfs_file *file = open_file(place, "a", NS_VFS_PRIVATE);
        struct ns_vfs_map map;
        CHECK_OK(vfs->map(vfs->ctx, file, reserves[i], &map));
        assert_true(map.reserved < (size_t)1 << 60);
        size_t wanted = BASE_BYTES < map.reserved ? BASE_BYTES : map.reserved;
        CHECK_STATUS(vfs->map_extend(vfs->ctx, file, &map, map.reserved + 1), NS_FULL);
        CHECK_OK(vfs->map_extend(vfs->ctx, file, &map, wanted));
        for (size_t at = 0; at < wanted; at++)
            assert_int_equal(map.base[at], base_byte(at));
        vfs->close(vfs->ctx, file); /* and the map with it */
    }
}

static void a_private_handle_shares_and_never_owns_the_lock(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    make_base(place, "a");
    struct ns_vfs_file *sole = open_file(place, "a", 0);
    struct ns_vfs_file *one = open_file(place, "a", NS_VFS_PRIVATE);
    struct ns_vfs_file *two = open_file(place, "a", NS_VFS_READ_ONLY | NS_VFS_PRIVATE);
    CHECK_STATUS(vfs->lock(vfs->ctx, one, NS_VFS_SOLE), NS_READONLY);
    CHECK_OK(vfs->lock(vfs->ctx, sole, NS_VFS_SOLE));
    CHECK_STATUS(vfs->lock(vfs->ctx, one, NS_VFS_SHARED), NS_BUSY);
    CHECK_OK(vfs->lock(vfs->ctx, sole, NS_VFS_UNLOCK));
    CHECK_OK(vfs->lock(vfs->ctx, one, NS_VFS_SHARED));
    CHECK_OK(vfs->write(vfs->ctx, one, 0, "copied", 6)); /* the lock stays the file's */
    CHECK_OK(vfs->lock(vfs->ctx, two, NS_VFS_SHARED));
    CHECK_STATUS(vfs->lock(vfs->ctx, sole, NS_VFS_SOLE), NS_BUSY);
    CHECK_OK(vfs->lock(vfs->ctx, one, NS_VFS_UNLOCK));
    CHECK_STATUS(vfs->lock(vfs->ctx, sole, NS_VFS_SOLE), NS_BUSY);
    vfs->close(vfs->ctx, two);
    CHECK_OK(vfs->lock(vfs->ctx, sole, NS_VFS_SOLE));
    vfs->close(vfs->ctx, one);
    vfs->close(vfs->ctx, sole);
}

static void a_private_handle_misses_nothing_written_before_its_lock(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    struct ns_vfs_file *sole = open_file(place, "a", NS_VFS_CREATE);
    CHECK_OK(vfs->lock(vfs->ctx, sole, NS_VFS_SOLE));
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_PRIVATE);
    check_size(place, file, 0);
    CHECK_OK(vfs->write(vfs->ctx, sole, 5000, "last", 4));
    vfs->close(vfs->ctx, sole);
    CHECK_OK(vfs->lock(vfs->ctx, file, NS_VFS_SHARED));
    check_size(place, file, 5004);
    CHECK_OK(vfs->write(vfs->ctx, file, 5004, "!", 1));
    check_read(place, file, 5000, "last!", 5);
    vfs->close(vfs->ctx, file);
}

static void an_empty_file_grows_privately(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    vfs->close(vfs->ctx, open_file(place, "a", NS_VFS_CREATE));
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_PRIVATE);
    struct ns_vfs_map map;
    char byte;
    CHECK_OK(vfs->map(vfs->ctx, file, 1 << 20, &map));
    CHECK_STATUS(vfs->map_extend(vfs->ctx, file, &map, 1), NS_IO);
    CHECK_STATUS(vfs->read(vfs->ctx, file, 0, &byte, 1), NS_IO);
    CHECK_OK(vfs->truncate(vfs->ctx, file, 0));
    CHECK_OK(vfs->write(vfs->ctx, file, UINT64_C(100000), "x", 1));
    CHECK_OK(vfs->map_extend(vfs->ctx, file, &map, 100001));
    assert_int_equal(map.base[0], 0);
    assert_int_equal(map.base[100000], 'x');
    vfs->unmap(vfs->ctx, file, &map);
    struct ns_vfs_file *other = open_file(place, "a", NS_VFS_READ_ONLY);
    check_size(place, other, 0);
    vfs->close(vfs->ctx, other);
    vfs->close(vfs->ctx, file);
}

static void a_private_open_creates_nothing(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    struct ns_vfs_file *file = (struct ns_vfs_file *)(void *)place;
    const char *path = path_of(place, "a");
    CHECK_STATUS(vfs->open(vfs->ctx, path, NS_VFS_PRIVATE, &file), NS_NOTFOUND);
    assert_null(file);
    uint32_t flags = NS_VFS_PRIVATE | NS_VFS_CREATE;
    CHECK_STATUS(vfs->open(vfs->ctx, path, flags, &file), NS_UNSUPPORTED);
    assert_null(file);
    CHECK_STATUS(vfs->exists(vfs->ctx, path), NS_NOTFOUND);

    make_base(place, "a");
    file = open_file(place, "a", NS_VFS_PRIVATE);
    CHECK_STATUS(vfs->write(vfs->ctx, file, UINT64_MAX, "x", 1), NS_FULL);
    CHECK_STATUS(vfs->write(vfs->ctx, file, UINT64_C(1) << 61, "x", 1), NS_FULL);
    CHECK_STATUS(vfs->allocate(vfs->ctx, file, 0, UINT64_C(1) << 61), NS_FULL);
    CHECK_STATUS(vfs->truncate(vfs->ctx, file, UINT64_MAX), NS_FULL);
    CHECK_OK(vfs->write(vfs->ctx, file, BASE_BYTES + 1, NULL, 0));
    check_size(place, file, BASE_BYTES);
    vfs->close(vfs->ctx, file);
}

/* ---- threads ---- */

enum { THREADS = 4, SLOTS = 64, SLOT_BYTES = 700, ROUNDS = 40 };

struct worker {
    struct place *place;
    struct ns_vfs_file *file;
    int number;
    int failures;
};

/* Each worker owns every fourth slot; the file grows under all of them. */
static void *write_own_slots(void *ctx)
{
    struct worker *worker = ctx;
    const struct ns_vfs *vfs = worker->place->vfs;
    uint8_t data[SLOT_BYTES];
    uint8_t got[SLOT_BYTES];
    for (int round = 0; round < ROUNDS; round++) {
        memset(data, worker->number * ROUNDS + round + 1, sizeof data);
        for (int slot = worker->number; slot < SLOTS; slot += THREADS) {
            uint64_t offset = (uint64_t)slot * SLOT_BYTES;
            bool durable = (slot + round) % 7 == 0;
            ns_status status =
                durable ? vfs->write_sync(vfs->ctx, worker->file, offset, data, sizeof data)
                        : vfs->write(vfs->ctx, worker->file, offset, data, sizeof data);
            if (status != NS_OK) worker->failures++;
            status = vfs->read(vfs->ctx, worker->file, offset, got, sizeof got);
            if (status != NS_OK || memcmp(got, data, sizeof got) != 0) worker->failures++;
        }
        if (round % 16 == 0 && vfs->sync(vfs->ctx, worker->file) != NS_OK) worker->failures++;
    }
    return NULL;
}

static void work_on(struct place *place, struct ns_vfs_file *file)
{
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.place = place, .file = file, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_own_slots, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].failures, 0);
    }
    check_size(place, file, SLOTS * SLOT_BYTES);
    for (int slot = 0; slot < SLOTS; slot++) {
        char wanted[SLOT_BYTES];
        memset(wanted, slot % THREADS * ROUNDS + ROUNDS, sizeof wanted);
        check_read(place, file, (uint64_t)slot * SLOT_BYTES, wanted, sizeof wanted);
    }
}

static void threads_on_different_ranges_do_not_disturb_one_another(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_CREATE);
    work_on(place, file);
    vfs->close(vfs->ctx, file);
}

static void threads_on_one_private_handle_do_not_either(void **state)
{
    struct place *place = *state;
    const struct ns_vfs *vfs = place->vfs;
    make_base(place, "a");
    struct ns_vfs_file *file = open_file(place, "a", NS_VFS_PRIVATE);
    work_on(place, file);
    vfs->close(vfs->ctx, file);
    check_base(place, "a", 0);
}

/* ---- all of it, for each implementation ---- */

static const struct {
    const char *name;
    CMUnitTestFunction body;
} promises[] = {
#define PROMISE(body)                                                                              \
    {                                                                                              \
#body, body                                                                                \
    }
    PROMISE(open_creates_only_when_told),
    PROMISE(what_is_written_is_read),
    PROMISE(reading_past_the_end_is_an_io_error),
    PROMISE(offsets_beyond_all_files_are_full),
    PROMISE(a_read_only_handle_changes_nothing),
    PROMISE(allocate_extends_with_zeros_and_never_shrinks),
    PROMISE(truncate_cuts_and_what_comes_back_is_zero),
    PROMISE(two_handles_exclude_one_another),
    PROMISE(a_removed_file_lives_until_its_handle_is_closed),
    PROMISE(a_map_grows_in_place_and_shows_later_writes),
    PROMISE(a_map_is_bounded_by_its_reservation),
    PROMISE(reserved_memory_is_zero_and_again_after_discard),
    PROMISE(time_moves_forward_and_entropy_differs),
    PROMISE(a_private_handle_changes_nothing_but_itself),
    PROMISE(a_private_handle_is_cut_and_grows_again_with_zeros),
    PROMISE(a_private_map_shows_private_content),
    PROMISE(a_private_map_is_bounded_by_its_reservation),
    PROMISE(a_private_handle_shares_and_never_owns_the_lock),
    PROMISE(a_private_handle_misses_nothing_written_before_its_lock),
    PROMISE(an_empty_file_grows_privately),
    PROMISE(a_private_open_creates_nothing),
    PROMISE(threads_on_different_ranges_do_not_disturb_one_another),
    PROMISE(threads_on_one_private_handle_do_not_either),
#undef PROMISE
};

enum { PROMISE_COUNT = sizeof promises / sizeof *promises };

static int run(const char *name, CMFixtureFunction setup)
{
    struct CMUnitTest tests[PROMISE_COUNT];
    memset(tests, 0, sizeof tests);
    for (size_t i = 0; i < PROMISE_COUNT; i++) {
        tests[i].name = promises[i].name;
        tests[i].test_func = promises[i].body;
        tests[i].setup_func = setup;
        tests[i].teardown_func = teardown;
    }
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    int failed = run("posix", setup_posix);
    failed += run("mem", setup_mem);
    failed += run("mem, tracked", setup_mem_tracked);
    return failed;
}
