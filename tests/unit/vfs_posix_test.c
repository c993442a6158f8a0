/* vfs_posix_test.c: what only the system's files have: descriptors, kinds of file, other
 * processes, a full disk. */
#include "harness/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/status.h"
#include "vfs/posix.h"

static const struct ns_vfs *const vfs = &ns__vfs_posix;

enum { CHILD_SKIPS = 77 };

/* Each test runs inside a new empty directory. */
static char directory[] = "vfs_posix_XXXXXX";

static int setup(void **state)
{
    (void)state;
    memcpy(directory, "vfs_posix_XXXXXX", sizeof directory);
    return mkdtemp(directory) != NULL && chdir(directory) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    DIR *here = opendir(".");
    const struct dirent *entry;
    while (here != NULL && (entry = readdir(here)) != NULL) {
        if (unlink(entry->d_name) != 0) (void)rmdir(entry->d_name);
    }
    if (here != NULL) (void)closedir(here);
    return chdir("..") == 0 && rmdir(directory) == 0 ? 0 : -1;
}

/* The exit code of body in a child process. */
static int in_child(int (*body)(void))
{
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(body());
    int outcome = 0;
    assert_int_equal(waitpid(child, &outcome, 0), child);
    assert_true(WIFEXITED(outcome));
    return WEXITSTATUS(outcome);
}

static ns_status try_open(const char *path, uint32_t flags)
{
    struct ns_vfs_file *file = NULL;
    ns_status status = vfs->open(vfs->ctx, path, flags, &file);
    assert_int_equal(file != NULL, status == NS_OK);
    vfs->close(vfs->ctx, file);
    return status;
}

static void touch(const char *path)
{
    CHECK_OK(try_open(path, NS_VFS_CREATE));
}

static void the_default_is_this_table(void **state)
{
    (void)state;
    assert_ptr_equal(ns_vfs_default(), &ns__vfs_posix);
}

static void new_files_are_private_whatever_the_mask(void **state)
{
    (void)state;
    mode_t old = umask(0);
    touch("a");
    (void)umask(old);
    struct stat info;
    assert_int_equal(stat("a", &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
}

static void make_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&address, sizeof address), 0);
    (void)close(fd);
}

static void only_regular_files_are_opened(void **state)
{
    (void)state;
    assert_int_equal(mkdir("directory", 0700), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    make_socket("socket");
    touch("regular");
    assert_int_equal(symlink("regular", "to_regular"), 0);
    assert_int_equal(symlink("directory", "to_directory"), 0);
    assert_int_equal(symlink("fifo", "to_fifo"), 0);
    assert_int_equal(symlink("nothing", "to_nothing"), 0);
    assert_int_equal(symlink("to_itself", "to_itself"), 0);
    static const struct {
        const char *path;
        ns_status wanted, wanted_with_create;
    } rows[] = {
        {"directory", NS_UNSUPPORTED, NS_UNSUPPORTED},
        {"fifo", NS_UNSUPPORTED, NS_UNSUPPORTED},
        {"socket", NS_UNSUPPORTED, NS_UNSUPPORTED},
        {"/dev/null", NS_UNSUPPORTED, NS_UNSUPPORTED},
        {"to_directory", NS_UNSUPPORTED, NS_UNSUPPORTED},
        {"to_fifo", NS_UNSUPPORTED, NS_UNSUPPORTED},
        {"to_itself", NS_IO, NS_IO},
        {"regular/a", NS_NOTFOUND, NS_IO},
        {"nowhere/a", NS_NOTFOUND, NS_IO},
        {"regular", NS_OK, NS_OK},
        {"to_regular", NS_OK, NS_OK},
        {"to_nothing", NS_NOTFOUND, NS_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_STATUS(try_open(rows[i].path, 0), rows[i].wanted);
        CHECK_STATUS(try_open(rows[i].path, NS_VFS_READ_ONLY), rows[i].wanted);
        CHECK_STATUS(try_open(rows[i].path, NS_VFS_CREATE), rows[i].wanted_with_create);
    }
    CHECK_OK(vfs->exists(vfs->ctx, "nothing"));
    CHECK_STATUS(try_open("to_regular", NS_VFS_CREATE | NS_VFS_EXCLUSIVE), NS_EXISTS);
    CHECK_OK(vfs->sync_parent(vfs->ctx, "to_nothing"));
    CHECK_STATUS(vfs->remove(vfs->ctx, "directory"), NS_UNSUPPORTED);
}

static int open_without_standard_streams(void)
{
    (void)close(0);
    (void)close(1);
    (void)close(2);
    struct ns_vfs_file *file = NULL;
    if (vfs->open(vfs->ctx, "a", NS_VFS_CREATE, &file) != NS_OK) return 1;
    int fd = (int)((intptr_t)file / 2);
    if (fd < 3) return 2;
    if ((fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0) return 3;
    if (fcntl(0, F_GETFD) != -1 || fcntl(1, F_GETFD) != -1 || fcntl(2, F_GETFD) != -1) return 4;
    return vfs->write(vfs->ctx, file, 0, "x", 1) == NS_OK ? 0 : 5;
}

static void a_descriptor_is_never_a_standard_stream(void **state)
{
    (void)state;
    assert_int_equal(in_child(open_without_standard_streams), 0);
}

static int open_without_descriptors(void)
{
    struct rlimit limit = {3, 3};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return CHILD_SKIPS;
    struct ns_vfs_file *file = NULL;
    if (vfs->open(vfs->ctx, "a", NS_VFS_CREATE, &file) != NS_NOMEM) return 1;
    (void)close(0); /* one is free, but none above */
    ns_status status = vfs->open(vfs->ctx, "a", NS_VFS_CREATE, &file);
    if (status != NS_NOMEM && status != NS_IO) return 2;
    return file == NULL && fcntl(0, F_GETFD) == -1 ? 0 : 3;
}

static void want_of_descriptors_is_no_memory(void **state)
{
    (void)state;
    int code = in_child(open_without_descriptors);
    if (code == CHILD_SKIPS) skip();
    assert_int_equal(code, 0);
}

static int open_as_nobody(void)
{
    if (geteuid() == 0 && (setegid(65534) != 0 || seteuid(65534) != 0)) return CHILD_SKIPS;
    if (try_open("locked", 0) != NS_READONLY) return 1;
    return try_open("new", NS_VFS_CREATE) == NS_READONLY || geteuid() != 65534 ? 0 : 2;
}

static void want_of_permission_is_readonly(void **state)
{
    (void)state;
    touch("locked");
    assert_int_equal(chmod("locked", 0400), 0);
    int code = in_child(open_as_nobody);
    if (code == CHILD_SKIPS) skip();
    assert_int_equal(code, 0);
}

/* Reads, changes and maps a file that holds "base". The exit code of a child. */
static int use_privately(const char *path)
{
    struct ns_vfs_file *file = NULL;
    struct ns_vfs_map map;
    char got[4];
    if (vfs->open(vfs->ctx, path, NS_VFS_PRIVATE, &file) != NS_OK) return 11;
    if (vfs->lock(vfs->ctx, file, NS_VFS_SHARED) != NS_OK) return 12;
    if (vfs->read(vfs->ctx, file, 0, got, 4) != NS_OK || memcmp(got, "base", 4) != 0) return 13;
    if (vfs->write_sync(vfs->ctx, file, 2, "r", 1) != NS_OK) return 14;
    if (vfs->allocate(vfs->ctx, file, 0, 100000) != NS_OK) return 15;
    if (vfs->sync(vfs->ctx, file) != NS_OK) return 16;
    if (vfs->map(vfs->ctx, file, 1 << 20, &map) != NS_OK) return 17;
    if (vfs->map_extend(vfs->ctx, file, &map, 100000) != NS_OK) return 18;
    if (memcmp(map.base, "bare\0", 5) != 0 || map.base[99999] != 0) return 19;
    vfs->unmap(vfs->ctx, file, &map);
    vfs->close(vfs->ctx, file);
    return 0;
}

static ns_status make_base(const char *path)
{
    struct ns_vfs_file *file = NULL;
    NS_TRY(vfs->open(vfs->ctx, path, NS_VFS_CREATE, &file));
    ns_status status = vfs->write(vfs->ctx, file, 0, "base", 4);
    vfs->close(vfs->ctx, file);
    return status;
}

static int use_privately_as_nobody(void)
{
    if (geteuid() == 0 && (setegid(65534) != 0 || seteuid(65534) != 0)) return CHILD_SKIPS;
    if (access("base", R_OK) != 0 && geteuid() == 65534) return CHILD_SKIPS;
    if (try_open("base", 0) != NS_READONLY) return 1;
    return use_privately("base");
}

static void a_private_handle_needs_no_permission_to_write(void **state)
{
    (void)state;
    CHECK_OK(make_base("base"));
    assert_int_equal(chmod("base", 0444), 0);
    assert_int_equal(chmod(".", 0755), 0);
    int code = in_child(use_privately_as_nobody);
    if (code == CHILD_SKIPS) skip();
    assert_int_equal(code, 0);
}

static int use_on_a_read_only_disk(void)
{
    if (unshare(CLONE_NEWNS) != 0) return CHILD_SKIPS;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return CHILD_SKIPS;
    if (mkdir("disk", 0700) != 0) return 1;
    if (mount("tmpfs", "disk", "tmpfs", 0, "size=256k") != 0) return CHILD_SKIPS;
    if (make_base("disk/base") != NS_OK) return 2;
    if (mount(NULL, "disk", NULL, MS_REMOUNT | MS_RDONLY, NULL) != 0) return CHILD_SKIPS;
    if (try_open("disk/base", 0) != NS_READONLY) return 3;
    return use_privately("disk/base");
}

static void a_private_handle_works_on_a_read_only_disk(void **state)
{
    (void)state;
    int code = in_child(use_on_a_read_only_disk);
    if (code == CHILD_SKIPS) skip();
    assert_int_equal(code, 0);
}

static void a_private_handle_leaves_nothing_behind(void **state)
{
    (void)state;
    CHECK_OK(make_base("base"));
    int free_fd = dup(0);
    (void)close(free_fd);
    for (int i = 0; i < 2000; i++) { /* of a TiB of addresses each */
        assert_int_equal(use_privately("base"), 0);
    }
    int fd = dup(0);
    assert_int_equal(fd, free_fd);
    (void)close(fd);
    assert_int_equal(mkdir("directory", 0700), 0);
    CHECK_STATUS(try_open("directory", NS_VFS_PRIVATE), NS_UNSUPPORTED);
    CHECK_STATUS(try_open("absent", NS_VFS_PRIVATE), NS_NOTFOUND);
}

static uint64_t resident_bytes(void)
{
    unsigned long long total = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm == NULL) return 0;
    if (fscanf(statm, "%llu %llu", &total, &resident) != 2) resident = 0;
    (void)fclose(statm);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void private_memory_is_paid_for_changed_pages_only(void **state)
{
    (void)state;
    struct ns_vfs_file *file = NULL;
    CHECK_OK(vfs->open(vfs->ctx, "sparse", NS_VFS_CREATE, &file));
    CHECK_OK(vfs->truncate(vfs->ctx, file, UINT64_C(64) << 30));
    vfs->close(vfs->ctx, file);
    uint64_t before = resident_bytes();
    CHECK_OK(vfs->open(vfs->ctx, "sparse", NS_VFS_PRIVATE, &file));
    CHECK_OK(vfs->write(vfs->ctx, file, UINT64_C(60) << 30, "x", 1));
    CHECK_OK(vfs->allocate(vfs->ctx, file, 0, UINT64_C(100) << 30));
    CHECK_OK(vfs->write(vfs->ctx, file, UINT64_C(99) << 30, "y", 1));
    assert_true(resident_bytes() < before + (16 << 20)); /* huge pages are allowed */
    CHECK_OK(vfs->truncate(vfs->ctx, file, 100));
    vfs->close(vfs->ctx, file);
}

static int lock_in_child(void)
{
    struct ns_vfs_file *file = NULL;
    if (vfs->open(vfs->ctx, "a", 0, &file) != NS_OK) return 1;
    if (vfs->lock(vfs->ctx, file, NS_VFS_SHARED) != NS_BUSY) return 2;
    return vfs->lock(vfs->ctx, file, NS_VFS_SOLE) == NS_BUSY ? 0 : 3;
}

static void another_process_finds_the_lock(void **state)
{
    (void)state;
    struct ns_vfs_file *file = NULL;
    CHECK_OK(vfs->open(vfs->ctx, "a", NS_VFS_CREATE, &file));
    CHECK_OK(vfs->lock(vfs->ctx, file, NS_VFS_SOLE));
    assert_int_equal(in_child(lock_in_child), 0);
    vfs->close(vfs->ctx, file);
    CHECK_OK(vfs->open(vfs->ctx, "a", 0, &file));
    CHECK_OK(vfs->lock(vfs->ctx, file, NS_VFS_SOLE));
    vfs->close(vfs->ctx, file);
}

static void allocated_space_is_real(void **state)
{
    (void)state;
    struct ns_vfs_file *file = NULL;
    CHECK_OK(vfs->open(vfs->ctx, "a", NS_VFS_CREATE, &file));
    CHECK_OK(vfs->allocate(vfs->ctx, file, 0, 1 << 20));
    struct stat info;
    assert_int_equal(stat("a", &info), 0);
    assert_true(info.st_blocks * 512 >= 1 << 20);
    vfs->close(vfs->ctx, file);
}

static void the_parent_of_any_path_is_found(void **state)
{
    (void)state;
    touch("a");
    assert_int_equal(mkdir("d", 0700), 0);
    CHECK_OK(vfs->sync_parent(vfs->ctx, "a"));
    CHECK_OK(vfs->sync_parent(vfs->ctx, "absent"));
    CHECK_OK(vfs->sync_parent(vfs->ctx, "./a"));
    CHECK_OK(vfs->sync_parent(vfs->ctx, "d/absent"));
    CHECK_OK(vfs->sync_parent(vfs->ctx, "/absent"));
    CHECK_STATUS(vfs->sync_parent(vfs->ctx, "absent/absent"), NS_IO);
}

/* On a disk of its own of 256 KiB, where that is permitted. */
static int fill_a_disk(void)
{
    if (unshare(CLONE_NEWNS) != 0) return CHILD_SKIPS;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return CHILD_SKIPS;
    if (mkdir("disk", 0700) != 0) return 1;
    if (mount("tmpfs", "disk", "tmpfs", 0, "size=256k") != 0) return CHILD_SKIPS;
    struct ns_vfs_file *file = NULL;
    static char data[1 << 20];
    uint64_t size = 0;
    if (vfs->open(vfs->ctx, "disk/a", NS_VFS_CREATE, &file) != NS_OK) return 2;
    if (vfs->write(vfs->ctx, file, 0, "kept", 4) != NS_OK) return 3;
    if (vfs->allocate(vfs->ctx, file, 0, 1 << 20) != NS_FULL) return 4;
    if (vfs->size(vfs->ctx, file, &size) != NS_OK || size < 4) return 5;
    if (vfs->allocate(vfs->ctx, file, 0, 128 << 10) != NS_OK) return 6;
    if (vfs->write(vfs->ctx, file, 128 << 10, data, sizeof data) != NS_FULL) return 7;
    if (vfs->write_sync(vfs->ctx, file, 1 << 20, data, sizeof data) != NS_FULL) return 8;
    if (vfs->read(vfs->ctx, file, 0, data, 4) != NS_OK) return 9;
    return memcmp(data, "kept", 4) == 0 ? 0 : 10;
}

static void a_full_disk_is_full(void **state)
{
    (void)state;
    int code = in_child(fill_a_disk);
    if (code == CHILD_SKIPS) skip();
    assert_int_equal(code, 0);
}

int main(void)
{
#define CASE(body) cmocka_unit_test_setup_teardown(body, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_default_is_this_table),
        CASE(new_files_are_private_whatever_the_mask),
        CASE(only_regular_files_are_opened),
        CASE(a_descriptor_is_never_a_standard_stream),
        CASE(want_of_descriptors_is_no_memory),
        CASE(want_of_permission_is_readonly),
        CASE(another_process_finds_the_lock),
        CASE(allocated_space_is_real),
        CASE(the_parent_of_any_path_is_found),
        CASE(a_full_disk_is_full),
        CASE(a_private_handle_needs_no_permission_to_write),
        CASE(a_private_handle_works_on_a_read_only_disk),
        CASE(a_private_handle_leaves_nothing_behind),
        CASE(private_memory_is_paid_for_changed_pages_only),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
