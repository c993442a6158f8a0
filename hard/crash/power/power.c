/* power.c: the power fails under a real file system; nothing that was acknowledged as durable is
 * lost.
 *
 * A *life* is a fresh file system in an image behind a loop device, and one database in it, written
 * in one of the shapes of common/workload.c by a process of its own; the ledger (common/ledger.h)
 * is outside. A *cut*:
 *   1. the writer gets SIGSTOP, and the ledger is read;
 *   2. when the loop device has nothing in flight, the image is copied; its counters of I/O must be
 *      the same before and after, or the copy is made again. The copy is what the medium would hold
 *      had the power failed now: what the system only had in its cache is not in it;
 *   3. the copy is mounted (the file system recovers its journal), and the database in it judged:
 *      durable <= recovered <= intended, all content, the log's replay, ns_db_verify, a further
 *      commit; it is unmounted and forgotten;
 *   4. the writer goes on.
 * One cut in four is a *reboot* instead of steps 3 and 4: the writer is killed, its image given up,
 * and the copy mounted in its place; the next writer recovers what it finds there, and is cut again
 * while it does.
 * Moments are drawn so that each power of two of microseconds is equally likely.
 *
 * What this cannot see. A process is stopped between two system calls, so a cut never falls into
 * the middle of a sync, and nothing reorders what the system wrote: measured on a toy, no cut out
 * of 450 noticed a missing barrier before a meta, while "acknowledged before it was synced" was
 * noticed in 30 of 300. Order and tearing belong to crash/simulated; this rack shows that what
 * crash/simulated assumes of syncs, allocation and directory entries (DSK-1, DSK-4) is what real
 * file systems do with the calls of vfs/posix.c.
 *
 * The long form takes XFS and Btrfs in turn with ext4. It needs root, loop devices and mkfs; what
 * is missing is named in the line of the skip.
 *
 * Nothing is left behind, however the rack ends (but an empty directory after SIGKILL): images are
 * memory files without a name, mounts live in a mount namespace of this rack's own, and a loop
 * device clears itself when its last user is gone. With --dir, images lie in files there, and the
 * image of a failed cut stays as northstar_power_workerN.img.
 *
 * --canary commits without sync and calls it durable. */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/prng.h"
#include "common/ledger.h"
#include "common/rack.h"

#define SHORT_CUTS 600u
#define SHORT_SECONDS 60u /* a limit; the cuts are the measure */
#define MIB (UINT64_C(1) << 20)
#define FILE_BYTES_MAX (20 * MIB)
#define COPY_BYTES (1u << 18)
#define PATH_BYTES 512u
#define LABEL_BYTES LO_NAME_SIZE
#define STAT_BYTES 512u
#define QUIET_TRIES 2000u
#define EARLY_POWERS 9u
#define ALL_POWERS 12u

#define FIGURES(X)                                                                                 \
    X(CUTS, "cuts")                                                                                \
    X(EXT4_CUTS, "ext4_cuts")                                                                      \
    X(XFS_CUTS, "xfs_cuts")                                                                        \
    X(BTRFS_CUTS, "btrfs_cuts")                                                                    \
    X(REBOOTS, "reboots")                                                                          \
    X(DATABASES, "databases")                                                                      \
    X(ACKED, "acknowledged")                                                                       \
    X(LOST, "lost")                                                                                \
    X(EXTRA, "extra")                                                                              \
    X(REPLAYED, "replayed")                                                                        \
    X(COPIED_AGAIN, "copied_again")                                                                \
    X(IN_CREATION, "in_creation")                                                                  \
    X(IN_OPENING, "in_opening")                                                                    \
    X(IN_RECOVERY, "in_recovery")                                                                  \
    X(IN_FILL, "in_fill")                                                                          \
    X(IN_COMMIT, "in_commit")                                                                      \
    X(IN_CHECKPOINT, "in_checkpoint")                                                              \
    X(IN_CLOSE, "in_close")                                                                        \
    X(REOPEN_MAX, "reopen_max_us")

enum figure {
#define FIGURE_ENUM(name, text) name,
    FIGURES(FIGURE_ENUM)
#undef FIGURE_ENUM
        FIGURE_COUNT
};

static const char *const figure_names[] = {
#define FIGURE_NAME(name, text) text,
    FIGURES(FIGURE_NAME)
#undef FIGURE_NAME
};

/* clang-format off */
static const enum figure figure_of_phase[PHASE_COUNT] = {
    [PHASE_START] = IN_CREATION, [PHASE_CREATION] = IN_CREATION, [PHASE_OPENING] = IN_OPENING,
    [PHASE_RECOVERY] = IN_RECOVERY, [PHASE_FILL] = IN_FILL, [PHASE_COMMIT] = IN_COMMIT,
    [PHASE_CHECKPOINT] = IN_CHECKPOINT, [PHASE_CLOSE] = IN_CLOSE,
};
/* clang-format on */

struct file_system {
    const char *name, *mkfs, *mkfs_options[3];
    uint64_t image_bytes;
    const char *copy_options; /* for a second mount of the same identity */
    enum figure figure;
    bool is_usable;
};

static struct file_system file_systems[] = {
    {"ext4", "mkfs.ext4", {"-q", "-F"}, 64 * MIB, NULL, EXT4_CUTS, false},
    {"xfs", "mkfs.xfs", {"-q", "-f"}, 300 * MIB, "nouuid", XFS_CUTS, false},
    {"btrfs", "mkfs.btrfs", {"-q", "-f"}, 128 * MIB, NULL, BTRFS_CUTS, false},
};
#define FILE_SYSTEM_COUNT (sizeof file_systems / sizeof file_systems[0])

static const struct rack_settings *settings;
static char base[PATH_BYTES / 4]; /* a directory with a tmpfs of this namespace on it */

/* ---- loop devices ---- */

/* An image and the loop device on it. All zero but the descriptors (-1) when there is none. */
struct disk {
    int image, loop;
    long number;
    char device[32];
};

static const struct disk no_disk = {.image = -1, .loop = -1};

static void disk_close(struct disk *disk)
{
    if (disk->loop >= 0) close(disk->loop); /* clears it */
    if (disk->image >= 0) close(disk->image);
    *disk = no_disk;
}

/* No two images of the machine may be called the same: mkfs.btrfs compares the names behind loop
 * devices to see whether one is mounted. */
static void make_label(char label[LABEL_BYTES])
{
    static unsigned count;
    snprintf(label, LABEL_BYTES, "northstar_power.%ld.%u", (long)getpid(), count++);
}

/* `name`: NULL for an image without one. */
static int open_image(const char *name)
{
    char label[LABEL_BYTES];
    make_label(label);
    if (settings->dir == NULL) return memfd_create(label, MFD_CLOEXEC);
    if (name == NULL) return open(settings->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", settings->dir, name);
    (void)unlink(path); /* after a reboot, a disk in use has that name */
    return open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
}

/* Puts a free loop device on disk->image. Another process may take the same one first. */
static bool attach(struct disk *disk)
{
    struct loop_config config = {.fd = (uint32_t)disk->image};
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    make_label((char *)config.info.lo_file_name);
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    for (int tries = 0; control >= 0 && disk->loop < 0 && tries < 50; tries++) {
        disk->number = ioctl(control, LOOP_CTL_GET_FREE);
        if (disk->number < 0) break;
        snprintf(disk->device, sizeof disk->device, "/dev/loop%ld", disk->number);
        int loop = open(disk->device, O_RDWR | O_CLOEXEC);
        if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config) == 0) {
            disk->loop = loop;
        } else {
            int reason = errno;
            if (loop >= 0) close(loop);
            errno = reason;
            if (reason != EBUSY && reason != ENOENT) break;
            usleep(1000);
        }
    }
    int reason = errno;
    if (control >= 0) close(control);
    errno = reason;
    return disk->loop >= 0;
}

/* What the device has done so far; false while something is in flight. */
static bool read_counters(const struct disk *disk, char text[STAT_BYTES])
{
    char path[64];
    snprintf(path, sizeof path, "/sys/block/loop%ld/stat", disk->number);
    memset(text, 0, STAT_BYTES);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file >= 0 ? read(file, text, STAT_BYTES - 1) : -1;
    if (file >= 0) close(file);
    if (size <= 0) rack_fail("read %s: %s", path, strerror(errno));
    unsigned long long in_flight = 1;
    if (sscanf(text, "%*u %*u %*u %*u %*u %*u %*u %*u %llu", &in_flight) != 1) {
        rack_fail("%s: not understood: %s", path, text);
    }
    return in_flight == 0;
}

/* ---- file systems ---- */

/* Runs mkfs on the device and gives its exit code; 127: there is no such program. */
static int run_mkfs(const struct file_system *fs, const char *device)
{
    int result = 0;
    pid_t child = fork();
    if (child < 0) rack_fail("fork: %s", strerror(errno));
    if (child == 0) {
        int null = open("/dev/null", O_RDWR);
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        execlp(fs->mkfs, fs->mkfs, fs->mkfs_options[0], fs->mkfs_options[1], device, (char *)NULL);
        _exit(127);
    }
    while (waitpid(child, &result, 0) < 0) {
        if (errno != EINTR) rack_fail("waitpid: %s", strerror(errno));
    }
    return WIFEXITED(result) ? WEXITSTATUS(result) : 128;
}

/* mkfs.btrfs looks at every loop device that is mounted, and fails if one of them, another worker's
 * copy perhaps, is cleared just then: so it gets more than one chance. Gives what did not work, or
 * NULL. */
static const char *make_file_system(const struct file_system *fs, const char *device)
{
    for (int tries = 0; tries < 20; tries++) {
        int code = run_mkfs(fs, device);
        if (code == 0) return NULL;
        errno = ENOENT;
        if (code == 127) return fs->mkfs;
        usleep(5000);
    }
    errno = EIO;
    return "mkfs fails";
}

/* An empty file system, mounted at path. Says in *problem_out what did not work. */
static bool make_disk(const struct file_system *fs, const char *path, struct disk *disk,
                      const char **problem_out)
{
    *disk = no_disk;
    *problem_out = "no image file";
    disk->image = open_image(NULL);
    if (disk->image < 0 || ftruncate(disk->image, (off_t)fs->image_bytes) != 0) return false;
    *problem_out = "no loop device";
    if (!attach(disk)) return false;
    *problem_out = make_file_system(fs, disk->device);
    if (*problem_out != NULL) return false;
    *problem_out = "it cannot be mounted";
    return mount(disk->device, path, fs->name, 0, NULL) == 0;
}

/* The copy's own program may not be done with it at once. */
static void unmount(const char *path)
{
    for (int tries = 0; umount2(path, 0) != 0; tries++) {
        if (errno != EBUSY || tries == 500) rack_fail("umount %s: %s", path, strerror(errno));
        usleep(2000);
    }
}

/* ---- one life ---- */

struct life {
    const struct file_system *fs;
    const struct shape *shape;
    struct ns__prng prng;
    char live[PATH_BYTES / 2], copy[PATH_BYTES / 2]; /* where they are mounted */
    char path[PATH_BYTES], copy_path[PATH_BYTES];    /* the database */
    char copy_name[64];
    uint8_t *buffer;
    struct disk disk, copy_disk;
    struct ledger *ledger;
    struct judge *judge;
    pid_t writer; /* 0: it ended by itself */
};

static bool is_enough(void)
{
    return rack_is_late() || (!settings->is_long && rack_figure(CUTS) >= SHORT_CUTS);
}

static void sleep_at_random(struct ns__prng *prng, uint32_t powers)
{
    uint64_t us = UINT64_C(16) << ns__prng_below(prng, powers);
    us += ns__prng_below(prng, us);
    struct timespec time = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
}

/* Step 1. False: the writer had ended by itself, which is as good a moment for a cut. */
static bool stop_writer(struct life *life)
{
    int result;
    if (kill(life->writer, SIGSTOP) != 0) rack_fail("stop: %s", strerror(errno));
    while (waitpid(life->writer, &result, WUNTRACED) < 0) {
        if (errno != EINTR) rack_fail("waitpid: %s", strerror(errno));
    }
    if (WIFSTOPPED(result)) return true;
    life->writer = 0;
    if (writer_was_killed(life->ledger, result)) rack_fail("somebody killed the writer");
    return false;
}

static void end_writer(struct life *life)
{
    int result;
    if (life->writer == 0) return;
    (void)kill(life->writer, SIGKILL);
    while (waitpid(life->writer, &result, 0) < 0 && errno == EINTR) {
    }
    (void)writer_was_killed(life->ledger, result);
    life->writer = 0;
}

static void copy_range(struct life *life, off_t from, off_t to)
{
    while (from < to) {
        size_t part = to - from < (off_t)COPY_BYTES ? (size_t)(to - from) : COPY_BYTES;
        if (pread(life->disk.image, life->buffer, part, from) != (ssize_t)part ||
            pwrite(life->copy_disk.image, life->buffer, part, from) != (ssize_t)part) {
            rack_fail("copy of the image: %s", strerror(errno));
        }
        from += (off_t)part;
    }
}

/* Holes stay holes. */
static void copy_image(struct life *life)
{
    off_t end = (off_t)life->fs->image_bytes, from, to = 0;
    if (ftruncate(life->copy_disk.image, 0) != 0 || ftruncate(life->copy_disk.image, end) != 0) {
        rack_fail("copy of the image: %s", strerror(errno));
    }
    while ((from = lseek(life->disk.image, to, SEEK_DATA)) >= 0) {
        to = lseek(life->disk.image, from, SEEK_HOLE);
        if (to < 0) break;
        copy_range(life, from, to);
    }
    if (errno != ENXIO) rack_fail("seek in the image: %s", strerror(errno));
}

/* Step 2. */
static void copy_when_quiet(struct life *life)
{
    char before[STAT_BYTES], after[STAT_BYTES];
    for (uint32_t tries = 0; tries < QUIET_TRIES; tries++) {
        if (read_counters(&life->disk, before)) {
            copy_image(life);
            if (read_counters(&life->disk, after) && strcmp(before, after) == 0) return;
            rack_add(COPIED_AGAIN, 1);
        }
        usleep(500);
    }
    rack_fail("the loop device is never quiet: %s", after);
}

static void mount_copy(struct life *life, const char *path)
{
    struct disk *disk = &life->copy_disk;
    if (!attach(disk)) rack_fail("loop device: %s", strerror(errno));
    if (mount(disk->device, path, life->fs->name, 0, life->fs->copy_options) != 0) {
        rack_fail("mount of the copy: %s", strerror(errno));
    }
}

/* Step 3. */
static void judge_copy(struct life *life, const struct ledger_view *view)
{
    struct judged judged;
    mount_copy(life, life->copy);
    judge_file(life->judge, life->copy_path, view, true, ns__prng_below(&life->prng, 4) == 0,
               ns__prng_next(&life->prng), &judged);
    unmount(life->copy);
    rack_add(EXTRA, judged.extra);
    rack_add(REPLAYED, judged.replayed);
    rack_max(REOPEN_MAX, judged.reopen_us);
}

/* Steps 1 and 2, and the figures. Gives what the ledger said; false: the writer was done. */
static bool take_copy(struct life *life, struct ledger_view *view_out)
{
    bool was_running = stop_writer(life);
    *view_out = ledger_view(life->ledger);
    life->copy_disk = no_disk;
    life->copy_disk.image = open_image(life->copy_name);
    if (life->copy_disk.image < 0) rack_fail("image of the copy: %s", strerror(errno));
    copy_when_quiet(life);
    rack_add(CUTS, 1);
    rack_add(life->fs->figure, 1);
    rack_add(was_running ? figure_of_phase[view_out->phase] : IN_CLOSE, 1);
    if (view_out->is_checkpointing && view_out->phase != PHASE_CHECKPOINT) {
        rack_add(IN_CHECKPOINT, 1);
    }
    return was_running;
}

static void cut(struct life *life)
{
    struct ledger_view view;
    bool was_running = take_copy(life, &view);
    judge_copy(life, &view);
    disk_close(&life->copy_disk);
    if (was_running && kill(life->writer, SIGCONT) != 0) rack_fail("go on: %s", strerror(errno));
}

static void start_writer(struct life *life)
{
    struct writer_settings writer = {.path = life->path,
                                     .shape = life->shape,
                                     .ledger = life->ledger,
                                     .seed = ns__prng_next(&life->prng),
                                     .file_bytes_max = FILE_BYTES_MAX,
                                     .lie = settings->is_canary ? LIE_UNSYNCED : LIE_NONE};
    life->writer = writer_start(&writer);
    writer_wait(life->ledger, life->writer);
}

static void reboot(struct life *life)
{
    struct ledger_view view;
    (void)take_copy(life, &view);
    end_writer(life);
    unmount(life->live);
    disk_close(&life->disk);
    mount_copy(life, life->live);
    life->disk = life->copy_disk;
    life->copy_disk = no_disk;
    judge_power_failed(life->judge);
    rack_add(REBOOTS, 1);
    start_writer(life);
}

static void run_life(struct life *life, const struct file_system *fs, uint64_t number)
{
    const char *problem;
    life->fs = fs;
    life->shape = &workload_shapes[number % workload_shape_count];
    life->prng.state = settings->seed * UINT64_C(0x9e3779b97f4a7c15) + number;
    life->prng.state = ns__prng_next(&life->prng);
    rack_case("%s/%s/%llu", fs->name, life->shape->name, (unsigned long long)number);
    if (!make_disk(fs, life->live, &life->disk, &problem)) {
        rack_fail("%s: %s: %s", fs->name, problem, strerror(errno));
    }
    ledger_reset(life->ledger);
    life->judge = judge_new(life->shape, life->ledger);
    rack_add(DATABASES, 1);
    start_writer(life);
    uint64_t cuts = 4 + ns__prng_below(&life->prng, 16);
    bool is_early = true;
    for (uint64_t i = 0; i < cuts && life->writer != 0 && !is_enough(); i++) {
        sleep_at_random(&life->prng, is_early ? EARLY_POWERS : ALL_POWERS);
        is_early = ns__prng_below(&life->prng, 4) == 0;
        if (is_early)
            reboot(life);
        else
            cut(life);
    }
    end_writer(life);
    rack_add(ACKED, ledger_view(life->ledger).acked);
    judge_free(life->judge);
    unmount(life->live);
    disk_close(&life->disk);
}

/* ---- the workers ---- */

/* The file system of the case "FS/SHAPE/NUMBER", and its number. */
static const struct file_system *read_case(const char *only, uint64_t *number_out)
{
    const char *slash = strrchr(only, '/');
    *number_out = slash != NULL ? strtoull(slash + 1, NULL, 10) : 0;
    for (size_t i = 0; i < FILE_SYSTEM_COUNT && slash != NULL; i++) {
        const struct file_system *fs = &file_systems[i];
        size_t size = strlen(fs->name);
        if (strncmp(only, fs->name, size) == 0 && only[size] == '/' && fs->is_usable) return fs;
    }
    rack_fail("no such case, or no such file system here: %s", only);
}

/* ext4 alone in the short form; in turn with the others in the long one. */
static const struct file_system *choose_file_system(uint64_t number)
{
    const struct file_system *fs = &file_systems[number / workload_shape_count % FILE_SYSTEM_COUNT];
    return settings->is_long && fs->is_usable ? fs : &file_systems[0];
}

static void make_directories(struct life *life, unsigned worker)
{
    snprintf(life->live, sizeof life->live, "%s/live%u", base, worker);
    snprintf(life->copy, sizeof life->copy, "%s/copy%u", base, worker);
    snprintf(life->path, sizeof life->path, "%s/power.ns", life->live);
    snprintf(life->copy_path, sizeof life->copy_path, "%s/power.ns", life->copy);
    snprintf(life->copy_name, sizeof life->copy_name, "northstar_power_worker%u.img", worker);
    if (mkdir(life->live, 0700) != 0 || mkdir(life->copy, 0700) != 0) {
        rack_fail("mkdir in %s: %s", base, strerror(errno));
    }
}

static void work(unsigned worker, unsigned workers, void *ctx)
{
    struct life life = {.ledger = ledger_new(LOST), .buffer = malloc(COPY_BYTES)};
    uint64_t number = worker;
    (void)ctx;
    if (life.buffer == NULL) rack_fail("out of memory");
    if (settings->only == NULL) (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    make_directories(&life, worker);
    if (settings->only != NULL) {
        const struct file_system *fs = read_case(settings->only, &number);
        while (!is_enough())
            run_life(&life, fs, number);
    }
    for (; !is_enough(); number += workers)
        run_life(&life, choose_file_system(number), number);
    free(life.buffer);
}

/* ---- what the rack needs ---- */

/* Only calls that a signal handler may make. */
static void remove_base(void)
{
    (void)umount2(base, MNT_DETACH);
    (void)rmdir(base);
}

static void on_signal(int number)
{
    remove_base();
    _exit(128 + number);
}

/* A mount namespace of our own, and a directory in it that nobody else sees. */
static void make_base(void)
{
    const char *parent = getenv("TMPDIR");
    if (geteuid() != 0) rack_skip("mounting file systems needs root");
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        rack_skip("no mount namespace: %s", strerror(errno));
    }
    snprintf(base, sizeof base, "%s/northstar_power.XXXXXX", parent != NULL ? parent : "/tmp");
    if (mkdtemp(base) == NULL) rack_skip("mkdtemp %s: %s", base, strerror(errno));
    if (mount("northstar_power", base, "tmpfs", 0, "size=1m") != 0) {
        int reason = errno;
        (void)rmdir(base);
        rack_skip("mounting is not allowed: %s", strerror(reason));
    }
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
}

/* Makes each file system once. */
static void probe(void)
{
    size_t count = settings->is_long || settings->only != NULL ? FILE_SYSTEM_COUNT : 1;
    for (size_t i = 0; i < count; i++) {
        struct file_system *fs = &file_systems[i];
        struct disk disk;
        const char *problem;
        fs->is_usable = make_disk(fs, base, &disk, &problem);
        int reason = errno;
        if (fs->is_usable) unmount(base);
        disk_close(&disk);
        if (fs->is_usable) continue;
        if (i == 0) {
            remove_base();
            rack_skip("%s: %s (%s)", fs->name, problem, strerror(reason));
        }
        printf("rack crash/power: %s is left out: %s (%s)\n", fs->name, problem, strerror(reason));
    }
}

/* mkfs may lie where a user's PATH does not lead. */
static void extend_path(void)
{
    char path[4096];
    const char *old = getenv("PATH");
    snprintf(path, sizeof path, "%s:/usr/local/sbin:/usr/sbin:/sbin", old != NULL ? old : "/bin");
    (void)setenv("PATH", path, 1);
}

static void remove_copies(void)
{
    for (unsigned i = 0; i < settings->jobs && settings->dir != NULL; i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%s/northstar_power_worker%u.img", settings->dir, i);
        (void)unlink(path);
    }
}

int main(int argc, char **argv)
{
    settings = rack_init("crash/power", SHORT_SECONDS, figure_names, FIGURE_COUNT, argc, argv);
    extend_path();
    make_base();
    probe();
    int code = rack_run(work, NULL);
    remove_base();
    if (code == 0 || settings->is_canary) remove_copies();
    return code;
}
