/* limits.c: bench_peer_limits GROUP DIR N [quick]: what the machine allows, measured without any
 * database, in the same run.
 *
 *     durable  a loop of single RWF_DSYNC writes of 4 KiB, and of 64 KiB, each to the next place of
 *              a file whose space was written before: the least that a durable commit can be
 *     read     gets from a hash table of the same entries, when the processor may overlap them and
 *              when each depends on the last; a pointer chase; memory bandwidth of one thread */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/prng.h"
#include "common/data.h"
#include "common/histogram.h"
#include "peers/harness.h"

#define VALUE_BYTES 100u
#define FILE_BYTES ((size_t)64 << 20)
#define CHASE_BYTES ((size_t)256 << 20)
#define LINE_BYTES 64u
#define STREAM_BYTES ((size_t)512 << 20)

static volatile uint64_t zero, sink; /* what the compiler may not know, and may not drop */

/* ---- the disk ---- */

static int written_file(const char *dir)
{
    static uint8_t block[1 << 20];
    int fd = open(peer_path(dir, "limits"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) peer_die("cannot create a file");
    data_value(1, sizeof block, block);
    for (size_t at = 0; at < FILE_BYTES; at += sizeof block) {
        if (pwrite(fd, block, sizeof block, (off_t)at) != (ssize_t)sizeof block) {
            peer_die("cannot write");
        }
    }
    if (fsync(fd) != 0) peer_die("cannot sync");
    return fd;
}

static void measure_sync_writes(int fd, size_t bytes, uint64_t count, const char *name)
{
    static uint8_t block[1 << 16];
    struct histogram times = {0};
    char row[64];
    uint64_t began = harness_ns(), before = began;
    for (uint64_t i = 0; i < count; i++) {
        memcpy(block, &i, sizeof i);
        struct iovec part = {block, bytes};
        if (pwritev2(fd, &part, 1, (off_t)(i * bytes % FILE_BYTES), RWF_DSYNC) != (ssize_t)bytes) {
            peer_die("RWF_DSYNC is refused here");
        }
        uint64_t now = harness_ns();
        histogram_add(&times, now - before);
        before = now;
    }
    harness_row(name, (double)count * 1e9 / (double)(before - began));
    snprintf(row, sizeof row, "%s_p50", name);
    harness_row(row, (double)histogram_at(&times, 0.50) * 1e-3);
    snprintf(row, sizeof row, "%s_p99", name);
    harness_row(row, (double)histogram_at(&times, 0.99) * 1e-3);
    histogram_deinit(&times);
}

static void limit_durable(const char *dir, bool is_quick)
{
    int fd = written_file(dir);
    measure_sync_writes(fd, 4096, is_quick ? 1500 : 3000, "limit_dsync_4k");
    measure_sync_writes(fd, 65536, is_quick ? 500 : 1000, "limit_dsync_64k");
    close(fd);
}

/* ---- a hash table ---- */

struct record {
    peer_key key;
    uint8_t value[VALUE_BYTES];
};

struct table {
    uint64_t mask;
    uint32_t *slots; /* record number + 1; linear probing, at most half full */
    struct record *records;
};

static void table_init(struct table *table, const struct dataset *data)
{
    uint64_t capacity = 16;
    while (capacity < data->count * 2)
        capacity *= 2;
    table->mask = capacity - 1;
    table->slots = peer_alloc(capacity * sizeof *table->slots);
    table->records = peer_alloc(data->count * sizeof *table->records);
    for (uint64_t i = 0; i < data->count; i++) {
        memcpy(table->records[i].key, data->keys[i], PEER_KEY_BYTES);
        memcpy(table->records[i].value, dataset_value(data, i, 0), VALUE_BYTES);
        uint64_t at = peer_word(data->keys[i]) & table->mask;
        while (table->slots[at] != 0)
            at = (at + 1) & table->mask;
        table->slots[at] = (uint32_t)i + 1;
    }
}

static uint64_t table_get(const struct table *table, const uint8_t *key)
{
    for (uint64_t at = peer_word(key) & table->mask;; at = (at + 1) & table->mask) {
        const struct record *record = &table->records[table->slots[at] - 1];
        if (memcmp(record->key, key, PEER_KEY_BYTES) == 0) return peer_word(record->value);
    }
}

static void measure_table(const struct dataset *data)
{
    struct table table;
    table_init(&table, data);
    peer_key *keys = dataset_shuffled(data, 1);
    uint64_t nothing = zero, sum = 0;
    double began = harness_seconds();
    for (uint64_t i = 0; i < data->count; i++)
        sum += table_get(&table, keys[i]);
    double middle = harness_seconds();
    for (uint64_t i = 0; i < data->count; i++)
        sum += table_get(&table, keys[i + (sum & nothing)]);
    double end = harness_seconds();
    sink = sum;
    harness_row("limit_hash", (double)data->count / (middle - began));
    harness_row("limit_hash_dependent", (double)data->count / (end - middle));
    free(keys);
    free(table.slots);
    free(table.records);
}

/* ---- memory ---- */

static void measure_chase(void)
{
    uint32_t count = CHASE_BYTES / LINE_BYTES;
    uint32_t *order = data_order(count, 9);
    uint8_t *lines = peer_alloc(CHASE_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t next = (uint64_t)order[(i + 1) % count] * LINE_BYTES;
        memcpy(lines + (size_t)order[i] * LINE_BYTES, &next, sizeof next);
    }
    uint64_t at = (uint64_t)order[0] * LINE_BYTES, steps = 2000000;
    double began = harness_seconds();
    for (uint64_t i = 0; i < steps; i++)
        at = peer_word(lines + at);
    harness_row("limit_chase", (harness_seconds() - began) * 1e9 / (double)steps);
    sink = at;
    free(order);
    free(lines);
}

/* Eight sums at once, so that the adds do not wait for one another. */
static uint64_t stream(const uint8_t *bytes)
{
    uint64_t sums[8] = {0};
    for (size_t at = 0; at < STREAM_BYTES; at += 64) {
        for (size_t i = 0; i < 8; i++)
            sums[i] += peer_word(bytes + at + 8 * i);
    }
    return sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
}

static void measure_bandwidth(void)
{
    uint8_t *bytes = peer_alloc(STREAM_BYTES);
    memset(bytes, 1, STREAM_BYTES);
    double began = harness_seconds();
    sink = stream(bytes);
    harness_row("limit_bandwidth", (double)STREAM_BYTES * 1e-9 / (harness_seconds() - began));
    free(bytes);
}

static void limit_read(uint64_t count)
{
    struct dataset data = {0};
    dataset_init(&data, count, VALUE_BYTES, false);
    measure_table(&data);
    dataset_deinit(&data);
    measure_chase();
    measure_bandwidth();
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "durable") == 0) {
        limit_durable(argv[2], argc > 4 && strcmp(argv[4], "quick") == 0);
        return 0;
    }
    if (argc >= 4 && strcmp(argv[1], "read") == 0) {
        uint64_t count = strtoull(argv[3], NULL, 10);
        if (count == 0 || count > UINT32_MAX) peer_die("N must be from 1 to 2^32 - 1");
        limit_read(count);
        return 0;
    }
    fprintf(stderr, "usage: %s durable|read DIR N [quick]\n", argv[0]);
    return 2;
}
