/* harness.h: the data that all stores get, the clock, and what the system says about this process.
 *
 * A program prints JSON lines: {"row": ROW, "value": NUMBER} for a figure, {"check": ROW, "value":
 * "HEX"} for what all stores must agree on. */
#ifndef NS_BENCH_PEERS_HARNESS_H
#define NS_BENCH_PEERS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peers/peer.h"

typedef uint8_t peer_key[PEER_KEY_BYTES];

struct dataset {
    uint64_t count;
    size_t value_bytes;
    peer_key *keys; /* in load order; random-looking, so loading them is a random load */
    uint8_t *pool;  /* random bytes; every value is a part of it */
};

struct plan {
    const struct peer *peer;
    struct peer_config config;
    struct dataset data;
    bool is_quick; /* fewer operations in the workloads whose length does not follow from count */
};

void dataset_init(struct dataset *data, uint64_t count, size_t value_bytes, bool is_ascending);
void dataset_deinit(struct dataset *data);
/* The value that entry index has after its version-th change. */
const void *dataset_value(const struct dataset *data, uint64_t index, uint64_t version);
/* The same keys in another order; free it. */
peer_key *dataset_shuffled(const struct dataset *data, uint64_t seed);

double harness_seconds(void); /* monotonic */
uint64_t harness_ns(void);

void harness_row(const char *row, double value);
void harness_check(const char *row, uint64_t sum);

/* Bytes that the files of dir occupy on the disk. */
uint64_t harness_disk_bytes(const char *dir);
/* Writes the files of dir back and asks the kernel to forget their pages. */
void harness_forget_pages(const char *dir);
/* Memory of this process that no file backs. */
uint64_t harness_anonymous_bytes(void);
/* What was written so far, by two counters that both say too much: the pages that this process made
 * dirty (/proc/self/io; whole folios, which can be far larger than what was written into them), and
 * what the disk under dir wrote (for other processes too; 0 where the kernel does not say). */
struct harness_written {
    uint64_t process, device;
};
void harness_written(const char *dir, struct harness_written *out);
/* Bytes written since then, once all is on the disk: the smaller of the two counts. */
uint64_t harness_written_since(const char *dir, const struct harness_written *before);

/* Runs body(context, index) in count threads at once; seconds from the common start to the end of
 * the last. */
double harness_threads(size_t count, void (*body)(void *context, size_t index), void *context);

#endif
