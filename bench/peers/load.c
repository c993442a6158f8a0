/* load.c: loads in transactions of a thousand. The clock stops after the last commit: what a store
 * does in the background then is not waited for, and what it leaves on disk is the next figure. */
#include <stdlib.h>

#include "peers/workloads.h"

void load_all(const struct plan *plan, void *session, peer_key *keys, uint64_t version)
{
    const struct peer *peer = plan->peer;
    const struct dataset *data = &plan->data;
    if (keys == NULL) keys = data->keys;
    for (uint64_t i = 0; i < data->count;) {
        peer->write_begin(session);
        for (unsigned n = 0; n < LOAD_BATCH && i < data->count; n++, i++)
            peer->put(session, keys[i], dataset_value(data, i, version), data->value_bytes);
        peer->write_commit(session);
    }
}

/* Loads into a fresh store, which stays open. */
static void *load_fresh(const struct plan *plan, const char *row, void **session_out)
{
    void *db = plan->peer->open(&plan->config);
    void *session = plan->peer->session_open(db);
    double began = harness_seconds();
    load_all(plan, session, NULL, 0);
    harness_row(row, (double)plan->data.count / (harness_seconds() - began));
    *session_out = session;
    return db;
}

static double data_bytes(const struct plan *plan)
{
    return (double)plan->data.count * (double)(PEER_KEY_BYTES + plan->data.value_bytes);
}

void group_seq(const struct plan *plan)
{
    void *session;
    void *db = load_fresh(plan, "load_seq", &session);
    plan->peer->session_close(session);
    plan->peer->close(db);
}

void group_load(const struct plan *plan)
{
    void *session;
    void *db = load_fresh(plan, "load_random", &session);
    plan->peer->session_close(session);
    if (plan->peer->tree_bytes != NULL) {
        harness_row("tree_load", (double)plan->peer->tree_bytes(db) / data_bytes(plan));
    }
    plan->peer->close(db);
    harness_row("file_load", (double)harness_disk_bytes(plan->config.dir) / data_bytes(plan));
    db = plan->peer->open(&plan->config);
    plan->peer->settle(db);
    plan->peer->close(db);
}

void group_big(const struct plan *plan)
{
    void *session;
    void *db = load_fresh(plan, "load_k", &session);
    plan->peer->settle(db);
    peer_key *keys = dataset_shuffled(&plan->data, 1);
    plan->peer->snapshot_open(session);
    harness_row("get_k", gets_per_second(plan, session, keys, "get_k"));
    plan->peer->snapshot_close(session);
    free(keys);
    plan->peer->session_close(session);
    plan->peer->close(db);
}
