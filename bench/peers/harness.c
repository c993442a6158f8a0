/* harness.c: see harness.h.
 *
 * Values are pieces of one pool of random bytes: no store can compress them, and making one costs
 * nothing inside a timed loop. Keys are made before the clock starts, and each order of keys is a
 * copy that is read from front to back, so that finding the next key misses no cache. Both are the
 * same bytes in every run and for every store.
 *
 * What the system is asked: blocks of files, not their lengths, because files are sparse or
 * preallocated; resident memory without file pages, because a mapped database is not memory that
 * the store takes from others. Dropping the page cache works for closed files only, so it is done
 * between close and open. */
#include "peers/harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/prng.h"
#include "common/data.h"

#define POOL_BYTES ((size_t)1 << 20) /* a power of two */
#define THREADS_MAX 64u

/* ---- ends and beginnings ---- */

void peer_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    fflush(NULL);
    _exit(1);
}

void *peer_alloc(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (memory == NULL) peer_die("out of memory");
    return memory;
}

const char *peer_path(const char *dir, const char *name)
{
    static _Thread_local char buffers[4][4096];
    static _Thread_local unsigned turn;
    char *buffer = buffers[turn++ % 4];
    if (snprintf(buffer, sizeof buffers[0], "%s/%s", dir, name) >= (int)sizeof buffers[0]) {
        peer_die("path too long: %s/%s", dir, name);
    }
    return buffer;
}

/* ---- data ---- */

void dataset_init(struct dataset *data, uint64_t count, size_t value_bytes, bool is_ascending)
{
    data->count = count;
    data->value_bytes = value_bytes;
    data->keys = peer_alloc(count * sizeof *data->keys);
    for (uint64_t i = 0; i < count; i++) {
        if (is_ascending) {
            data_key_ascending(i, data->keys[i]);
        } else {
            data_key(i, data->keys[i]);
        }
    }
    data->pool = peer_alloc(POOL_BYTES + value_bytes);
    data_value(7, POOL_BYTES + value_bytes, data->pool);
}

void dataset_deinit(struct dataset *data)
{
    free(data->keys);
    free(data->pool);
    *data = (struct dataset){0};
}

const void *dataset_value(const struct dataset *data, uint64_t index, uint64_t version)
{
    uint64_t mixed =
        (index * UINT64_C(0x9e3779b97f4a7c15) + version) * UINT64_C(0xff51afd7ed558ccd);
    return data->pool + (mixed >> 40 & (POOL_BYTES - 1));
}

peer_key *dataset_shuffled(const struct dataset *data, uint64_t seed)
{
    uint32_t *order = data_order((uint32_t)data->count, seed);
    peer_key *keys = peer_alloc(data->count * sizeof *keys);
    for (uint64_t i = 0; i < data->count; i++)
        memcpy(keys[i], data->keys[order[i]], sizeof keys[i]);
    free(order);
    return keys;
}

/* ---- clock and output ---- */

uint64_t harness_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

double harness_seconds(void)
{
    return (double)harness_ns() * 1e-9;
}

void harness_row(const char *row, double value)
{
    printf("{\"row\": \"%s\", \"value\": %.6g}\n", row, value);
    fflush(stdout);
}

void harness_check(const char *row, uint64_t sum)
{
    printf("{\"check\": \"%s\", \"value\": \"%016" PRIx64 "\"}\n", row, sum);
    fflush(stdout);
}

/* ---- the system ---- */

static void each_file(const char *dir, void (*visit)(int fd, void *context), void *context)
{
    DIR *listing = opendir(dir);
    if (listing == NULL) peer_die("%s: cannot list", dir);
    struct dirent *entry;
    while ((entry = readdir(listing)) != NULL) {
        if (entry->d_name[0] == '.') continue;
        int fd = open(peer_path(dir, entry->d_name), O_RDONLY | O_CLOEXEC);
        if (fd < 0) continue;
        visit(fd, context);
        close(fd);
    }
    closedir(listing);
}

static void add_blocks(int fd, void *context)
{
    uint64_t *sum = context;
    struct stat status;
    if (fstat(fd, &status) == 0) *sum += (uint64_t)status.st_blocks * 512;
}

uint64_t harness_disk_bytes(const char *dir)
{
    uint64_t sum = 0;
    each_file(dir, add_blocks, &sum);
    return sum;
}

static void forget(int fd, void *context)
{
    (void)context;
    if (fsync(fd) != 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0) {
        peer_die("cannot drop the page cache of a file");
    }
}

void harness_forget_pages(const char *dir)
{
    each_file(dir, forget, NULL);
}

/* The number that follows name in a file of /proc. */
static uint64_t proc_number(const char *path, const char *name)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) peer_die("%s: cannot open", path);
    char line[256];
    uint64_t number = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            number = strtoull(line + strlen(name), NULL, 10);
    }
    fclose(file);
    return number;
}

uint64_t harness_anonymous_bytes(void)
{
    const char *path = "/proc/self/status";
    return (proc_number(path, "RssAnon:") + proc_number(path, "RssShmem:")) * 1024;
}

/* The seventh number of a block device's stat: sectors of 512 bytes written. */
static uint64_t device_bytes(const char *dir)
{
    struct stat status;
    char path[64];
    unsigned long long sectors = 0;
    if (stat(dir, &status) != 0) peer_die("%s: no such directory", dir);
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/stat", major(status.st_dev),
             minor(status.st_dev));
    FILE *file = fopen(path, "re");
    if (file == NULL) return 0;
    if (fscanf(file, "%*u %*u %*u %*u %*u %*u %llu", &sectors) != 1) sectors = 0;
    fclose(file);
    return sectors * 512;
}

void harness_written(const char *dir, struct harness_written *out)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) != 0) peer_die("%s: cannot sync", dir);
    close(fd);
    out->process = proc_number("/proc/self/io", "write_bytes:");
    out->device = device_bytes(dir);
}

uint64_t harness_written_since(const char *dir, const struct harness_written *before)
{
    struct harness_written now;
    harness_written(dir, &now);
    uint64_t process = now.process - before->process, device = now.device - before->device;
    return device != 0 && device < process ? device : process;
}

/* ---- threads ---- */

struct crew {
    pthread_barrier_t start;
    void (*body)(void *context, size_t index);
    void *context;
};

struct hand {
    struct crew *crew;
    size_t index;
    pthread_t thread;
};

static void *work(void *context)
{
    struct hand *hand = context;
    pthread_barrier_wait(&hand->crew->start);
    hand->crew->body(hand->crew->context, hand->index);
    return NULL;
}

double harness_threads(size_t count, void (*body)(void *context, size_t index), void *context)
{
    struct crew crew = {.body = body, .context = context};
    struct hand hands[THREADS_MAX];
    if (count > THREADS_MAX) peer_die("too many threads");
    pthread_barrier_init(&crew.start, NULL, (unsigned)count + 1);
    for (size_t i = 0; i < count; i++) {
        hands[i] = (struct hand){.crew = &crew, .index = i};
        if (pthread_create(&hands[i].thread, NULL, work, &hands[i]) != 0) peer_die("no thread");
    }
    pthread_barrier_wait(&crew.start);
    double began = harness_seconds();
    for (size_t i = 0; i < count; i++)
        pthread_join(hands[i].thread, NULL);
    pthread_barrier_destroy(&crew.start);
    return harness_seconds() - began;
}
