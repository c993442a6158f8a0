/* read.c: reads of a settled store, all of it in memory.
 *
 * Every pass reads each key once, in an order unlike that of the load. The first pass is not timed:
 * it brings pages into memory or into the store's cache, and has the checksums verified that are
 * verified once. What was read is summed up and reported, and must be the same for all stores; a
 * missing entry ends the process. Memory is looked at after one session has done all of its reads,
 * before more threads come. */
#include <stdlib.h>

#include "peers/workloads.h"

#define SCANNED_AFTER_SEEK 101u /* the entry found and a hundred more */

static uint64_t get_all(const struct plan *plan, void *session, peer_key *keys)
{
    uint64_t sum = 0;
    struct peer_value value;
    for (uint64_t i = 0; i < plan->data.count; i++) {
        if (!plan->peer->get(session, keys[i], &value)) peer_die("an entry is missing");
        sum += peer_word(value.data);
    }
    return sum;
}

double gets_per_second(const struct plan *plan, void *session, peer_key *keys, const char *check)
{
    get_all(plan, session, keys);
    double began = harness_seconds();
    uint64_t sum = get_all(plan, session, keys);
    double seconds = harness_seconds() - began;
    harness_check(check, sum);
    return (double)plan->data.count / seconds;
}

/* ---- batches ---- */

/* For stores without a function for many keys: LMDB's way is to get one after another. */
static size_t get_one_by_one(const struct peer *peer, void *session, size_t count,
                             const uint8_t *const keys[], uint64_t *sum)
{
    struct peer_value value;
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (!peer->get(session, keys[i], &value)) continue;
        *sum += peer_word(value.data);
        found++;
    }
    return found;
}

static void measure_many(const struct plan *plan, void *session, peer_key *keys)
{
    const struct peer *peer = plan->peer;
    uint64_t sum = 0, found = 0, wanted = plan->data.count / PEER_MANY * PEER_MANY;
    const uint8_t *batch[PEER_MANY];
    double began = harness_seconds();
    for (uint64_t i = 0; i < wanted; i += PEER_MANY) {
        for (size_t j = 0; j < PEER_MANY; j++)
            batch[j] = keys[i + j];
        found += peer->get_many != NULL ? peer->get_many(session, PEER_MANY, batch, &sum)
                                        : get_one_by_one(peer, session, PEER_MANY, batch, &sum);
    }
    double seconds = harness_seconds() - began;
    if (found != wanted) peer_die("an entry is missing");
    harness_row("get_many", (double)wanted / seconds);
    harness_check("get_many", sum);
}

/* ---- snapshots ---- */

static void measure_fresh(const struct plan *plan, void *session, peer_key *keys)
{
    uint64_t sum = 0;
    struct peer_value value;
    double began = harness_seconds();
    for (uint64_t i = 0; i < plan->data.count; i++) {
        if (!plan->peer->get_fresh(session, keys[i], &value)) peer_die("an entry is missing");
        sum += peer_word(value.data);
    }
    harness_row("get_fresh", (double)plan->data.count / (harness_seconds() - began));
    harness_check("get_fresh", sum);
}

static void measure_snapshots(const struct plan *plan, void *session)
{
    const struct peer *peer = plan->peer;
    uint64_t count = plan->is_quick ? 300000 : 1000000;
    double began = harness_seconds();
    for (uint64_t i = 0; i < count; i++) {
        peer->snapshot_open(session);
        peer->snapshot_close(session);
    }
    harness_row("snapshot", (harness_seconds() - began) * 1e9 / (double)count);
    if (peer->snapshot_renew == NULL) return;
    peer->snapshot_open(session);
    began = harness_seconds();
    for (uint64_t i = 0; i < count; i++) {
        peer->snapshot_park(session);
        peer->snapshot_renew(session);
    }
    harness_row("renew", (harness_seconds() - began) * 1e9 / (double)count);
    peer->snapshot_close(session);
}

/* ---- two readers ---- */

struct readers {
    const struct plan *plan;
    void *sessions[2];
    peer_key *keys[2];
};

static void read_all(void *context, size_t index)
{
    const struct readers *readers = context;
    get_all(readers->plan, readers->sessions[index], readers->keys[index]);
}

static void measure_readers(const struct plan *plan, void *db)
{
    struct readers readers = {.plan = plan};
    for (size_t i = 0; i < 2; i++) {
        readers.sessions[i] = plan->peer->session_open(db);
        readers.keys[i] = dataset_shuffled(&plan->data, 10 + i);
        plan->peer->snapshot_open(readers.sessions[i]);
        read_all(&readers, i);
    }
    double alone = harness_threads(1, read_all, &readers);
    double together = harness_threads(2, read_all, &readers);
    harness_row("readers2", 2 * alone / together);
    for (size_t i = 0; i < 2; i++) {
        plan->peer->snapshot_close(readers.sessions[i]);
        plan->peer->session_close(readers.sessions[i]);
        free(readers.keys[i]);
    }
}

/* ---- scans ---- */

static void measure_scan(const struct plan *plan, void *session, bool is_backward, const char *row)
{
    struct peer_range all = {.is_backward = is_backward, .limit = plan->data.count};
    uint64_t sum = 0, seen = 0, rounds = 3;
    double began = harness_seconds();
    for (uint64_t i = 0; i < rounds; i++)
        seen += plan->peer->scan(session, &all, &sum);
    double seconds = harness_seconds() - began;
    if (seen != rounds * plan->data.count) peer_die("a scan misses entries");
    harness_row(row, (double)seen / seconds);
    harness_check(row, sum);
}

static void measure_seeks(const struct plan *plan, void *session, peer_key *keys)
{
    uint64_t sum = 0, count = plan->data.count / 10;
    double began = harness_seconds();
    for (uint64_t i = 0; i < count; i++) {
        struct peer_range range = {.from = keys[i], .limit = SCANNED_AFTER_SEEK};
        plan->peer->scan(session, &range, &sum);
    }
    harness_row("seek100", (double)count / (harness_seconds() - began));
    harness_check("seek100", sum);
}

/* ---- the group ---- */

static void read_in_snapshot(const struct plan *plan, void *session, peer_key *keys)
{
    plan->peer->snapshot_open(session);
    harness_row("get_long", gets_per_second(plan, session, keys, "get_long"));
    measure_many(plan, session, keys);
    measure_scan(plan, session, false, "scan_forward");
    measure_scan(plan, session, true, "scan_backward");
    measure_seeks(plan, session, keys);
    plan->peer->snapshot_close(session);
}

void group_read(const struct plan *plan)
{
    peer_key *keys = dataset_shuffled(&plan->data, 1);
    uint64_t before = harness_anonymous_bytes();
    void *db = plan->peer->open(&plan->config);
    void *session = plan->peer->session_open(db);
    read_in_snapshot(plan, session, keys);
    measure_snapshots(plan, session);
    measure_fresh(plan, session, keys);
    harness_row("memory", (double)(harness_anonymous_bytes() - before) / (1 << 20));
    plan->peer->session_close(session);
    measure_readers(plan, db);
    free(keys);
    plan->peer->close(db);
}
