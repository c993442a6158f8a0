/* disk.c: see disk.h.
 *
 * Requests to the loop device are made as small as a page. The driver reports a write as done that
 * the file below took only a part of; a page is written as a whole or not at all, so that a full
 * tmpfs gives an error and not a lie. */
#include "io_faults/full_disk/disk.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SMALL_KIB 4u
#define LARGE_KIB 1280u /* the kernel's default */

/* Runs a program, quietly, and waits. The arguments end with NULL. */
static bool run_program(const char *const *arguments)
{
    pid_t child = fork();
    if (child < 0) return false;
    if (child == 0) {
        int null = open("/dev/null", O_RDWR);
        if (null >= 0) {
            (void)dup2(null, 1);
            (void)dup2(null, 2);
        }
        (void)setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
        execvp(arguments[0], (char *const *)(const void *)arguments);
        _exit(127);
    }
    int result = 0;
    while (waitpid(child, &result, 0) != child) {
    }
    return WIFEXITED(result) && WEXITSTATUS(result) == 0;
}

bool disk_namespace(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

bool disk_is_known(const char *kind)
{
    static const char *const places[] = {"/usr/sbin", "/sbin", "/usr/bin"};
    char program[64];
    if (strcmp(kind, "tmpfs") == 0) return true;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(program, sizeof program, "%s/mkfs.%s", places[i], kind);
        if (access(program, X_OK) == 0) return true;
    }
    return false;
}

static bool make_image(const struct disk *disk, unsigned image_mib)
{
    int fd = open(disk->image, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) return false;
    bool is_sized = ftruncate(fd, (off_t)image_mib << 20) == 0;
    close(fd);
    if (!is_sized) return false;
    const char *ext4[] = {"mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", disk->image, NULL};
    const char *xfs[] = {"mkfs.xfs", "-q", "-f", disk->image, NULL};
    const char *btrfs[] = {"mkfs.btrfs", "-q", "-f", disk->image, NULL};
    if (strcmp(disk->kind, "ext4") == 0) return run_program(ext4);
    return run_program(strcmp(disk->kind, "xfs") == 0 ? xfs : btrfs);
}

/* ---- the loop device ---- */

static bool read_line(const char *name, char *line, size_t bytes)
{
    FILE *file = fopen(name, "r");
    if (file == NULL) return false;
    bool is_read = fgets(line, (int)bytes, file) != NULL;
    fclose(file);
    line[is_read ? strcspn(line, "\n") : 0] = '\0';
    return is_read;
}

static int loop_of(const char *image)
{
    char name[64], line[DISK_PATH_BYTES + 64];
    size_t size = strlen(image);
    for (int loop = 0; loop < 256; loop++) {
        snprintf(name, sizeof name, "/sys/block/loop%d/loop/backing_file", loop);
        if (!read_line(name, line, sizeof line)) continue;
        size_t length = strlen(line);
        if (length >= size && strcmp(line + length - size, image) == 0) return loop;
    }
    return -1;
}

static bool set_request_kib(const struct disk *disk, unsigned kib)
{
    char name[64];
    snprintf(name, sizeof name, "/sys/block/loop%d/queue/max_sectors_kb", disk->loop);
    FILE *file = fopen(name, "w");
    if (file == NULL) return false;
    bool is_written = fprintf(file, "%u\n", kib) > 0;
    return fclose(file) == 0 && is_written;
}

static bool make_requests_small(struct disk *disk)
{
    char name[64], line[32];
    disk->loop = loop_of(disk->image);
    if (disk->loop < 0) return false;
    snprintf(name, sizeof name, "/sys/block/loop%d/queue/max_sectors_kb", disk->loop);
    if (!read_line(name, line, sizeof line)) return false;
    disk->request_kib = (unsigned)strtoul(line, NULL, 10);
    return set_request_kib(disk, SMALL_KIB);
}

bool disk_mount(struct disk *disk)
{
    const char *plain[] = {"mount", "-o", "loop", disk->image, disk->top, NULL};
    const char *ext4[] = {"mount", "-o", "loop,errors=continue", disk->image, disk->top, NULL};
    disk->is_mounted = run_program(strcmp(disk->kind, "ext4") == 0 ? ext4 : plain);
    return disk->is_mounted && make_requests_small(disk);
}

bool disk_unmount(struct disk *disk)
{
    if (!disk->is_mounted) return true;
    if (disk->loop >= 0) (void)set_request_kib(disk, disk->request_kib); /* the device is reused */
    disk->loop = -1;
    const char *arguments[] = {"umount", disk->top, NULL};
    bool is_done = run_program(arguments);
    for (int tries = 0; !is_done && tries < 20; tries++) {
        (void)usleep(50000);
        is_done = run_program(arguments);
    }
    disk->is_mounted = !is_done;
    return is_done;
}

bool disk_resize_below(struct disk *disk, unsigned below_mib)
{
    char options[32];
    snprintf(options, sizeof options, "size=%um", below_mib);
    return mount("tmpfs", disk->below, "tmpfs", MS_REMOUNT, options) == 0;
}

bool disk_make(struct disk *disk, const char *directory, const char *kind, unsigned below_mib,
               unsigned image_mib)
{
    char options[32];
    memset(disk, 0, sizeof *disk);
    disk->kind = kind;
    disk->loop = -1;
    snprintf(disk->below, sizeof disk->below, "%.400s", directory);
    snprintf(options, sizeof options, "size=%um", below_mib);
    if (mount("tmpfs", disk->below, "tmpfs", 0, options) != 0) {
        disk->below[0] = '\0';
        return false;
    }
    snprintf(disk->top, sizeof disk->top, "%.400s", directory);
    if (strcmp(kind, "tmpfs") == 0) return true;
    snprintf(disk->top, sizeof disk->top, "%.400s/top", directory);
    snprintf(disk->image, sizeof disk->image, "%.400s/image", directory);
    return mkdir(disk->top, 0700) == 0 && make_image(disk, image_mib) && disk_mount(disk);
}

void disk_drop(struct disk *disk)
{
    if (disk->is_mounted && !disk_unmount(disk)) (void)umount2(disk->top, MNT_DETACH);
    if (disk->below[0] != '\0' && umount(disk->below) != 0) {
        (void)umount2(disk->below, MNT_DETACH);
    }
    memset(disk, 0, sizeof *disk);
}

void disk_give_back_loops(void)
{
    char name[64], line[32];
    struct disk disk = {.loop = 0};
    for (; disk.loop < 256; disk.loop++) {
        snprintf(name, sizeof name, "/sys/block/loop%d/queue/max_sectors_kb", disk.loop);
        if (!read_line(name, line, sizeof line) || strtoul(line, NULL, 10) != SMALL_KIB) continue;
        snprintf(name, sizeof name, "/sys/block/loop%d/queue/max_hw_sectors_kb", disk.loop);
        if (!read_line(name, line, sizeof line)) continue;
        unsigned most = (unsigned)strtoul(line, NULL, 10);
        (void)set_request_kib(&disk, most < LARGE_KIB ? most : LARGE_KIB);
    }
}
