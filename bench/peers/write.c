/* write.c: changes of a loaded store that do not wait for the disk.
 *
 * Updates replace values by others of the same length. A reader beside a writer takes a new
 * snapshot for each hundred gets, so that the writer's old versions can go; both work for the same
 * fixed time, and both figures count. Deletes take half of the keys, and what is left is counted
 * and must be the same for all stores. */
#include <stdatomic.h>
#include <stdlib.h>

#include "peers/workloads.h"

#define UPDATE_BATCH 100u
#define DELETE_BATCH 1000u
#define GETS_PER_SNAPSHOT 100u

void group_rewrite(const struct plan *plan)
{
    void *db = plan->peer->open(&plan->config);
    void *session = plan->peer->session_open(db);
    for (uint64_t round = 1; round <= 3; round++) {
        peer_key *keys = dataset_shuffled(&plan->data, 20 + round);
        load_all(plan, session, keys, round);
        free(keys);
    }
    plan->peer->session_close(session);
    plan->peer->close(db);
    double data = (double)plan->data.count * (double)(PEER_KEY_BYTES + plan->data.value_bytes);
    harness_row("file_rewrite", (double)harness_disk_bytes(plan->config.dir) / data);
}

/* ---- updates ---- */

static void put_at(const struct plan *plan, void *session, peer_key *keys, uint64_t i,
                   uint64_t version)
{
    uint64_t at = i % plan->data.count;
    plan->peer->put(session, keys[at], dataset_value(&plan->data, at, version),
                    plan->data.value_bytes);
}

static void measure_updates(const struct plan *plan, void *session, peer_key *keys)
{
    uint64_t count = plan->data.count / UPDATE_BATCH * UPDATE_BATCH;
    double began = harness_seconds();
    for (uint64_t i = 0; i < count;) {
        plan->peer->write_begin(session);
        for (unsigned n = 0; n < UPDATE_BATCH; n++, i++)
            put_at(plan, session, keys, i, 5);
        plan->peer->write_commit(session);
    }
    harness_row("update", (double)count / (harness_seconds() - began));
}

static void measure_lazy_commits(const struct plan *plan, void *session, peer_key *keys)
{
    uint64_t count = plan->is_quick ? 40000 : 100000;
    double began = harness_seconds();
    for (uint64_t i = 0; i < count; i++) {
        plan->peer->write_begin(session);
        put_at(plan, session, keys, i, 6);
        plan->peer->write_commit(session);
    }
    harness_row("commit_lazy", (double)count / (harness_seconds() - began));
}

/* ---- a reader beside a writer ---- */

struct mixed {
    const struct plan *plan;
    void *sessions[2]; /* reader, writer */
    peer_key *keys;
    double until;
    double gets, puts;
};

static void mixed_reader(struct mixed *m)
{
    const struct peer *peer = m->plan->peer;
    uint64_t i = 0, sum = 0;
    struct peer_value value;
    while (harness_seconds() < m->until) {
        peer->snapshot_open(m->sessions[0]);
        for (unsigned n = 0; n < GETS_PER_SNAPSHOT; n++, i++) {
            if (!peer->get(m->sessions[0], m->keys[i % m->plan->data.count], &value)) {
                peer_die("an entry is missing");
            }
            sum += peer_word(value.data);
        }
        peer->snapshot_close(m->sessions[0]);
    }
    atomic_signal_fence(memory_order_seq_cst);
    m->gets = sum != 0 ? (double)i : 0; /* the sum is used, so the reads happened */
}

static void mixed_writer(struct mixed *m)
{
    uint64_t i = 0;
    while (harness_seconds() < m->until) {
        m->plan->peer->write_begin(m->sessions[1]);
        for (unsigned n = 0; n < UPDATE_BATCH; n++, i++)
            put_at(m->plan, m->sessions[1], m->keys, i * 7919, 7);
        m->plan->peer->write_commit(m->sessions[1]);
    }
    m->puts = (double)i;
}

static void mixed_body(void *context, size_t index)
{
    if (index == 0) {
        mixed_reader(context);
    } else {
        mixed_writer(context);
    }
}

static void measure_mixed(const struct plan *plan, void *db, peer_key *keys)
{
    struct mixed m = {.plan = plan, .keys = keys};
    for (size_t i = 0; i < 2; i++)
        m.sessions[i] = plan->peer->session_open(db);
    m.until = harness_seconds() + (plan->is_quick ? 0.8 : 2.0);
    double seconds = harness_threads(2, mixed_body, &m);
    harness_row("mixed_get", m.gets / seconds);
    harness_row("mixed_put", m.puts / seconds);
    for (size_t i = 0; i < 2; i++)
        plan->peer->session_close(m.sessions[i]);
}

/* ---- the groups ---- */

void group_update(const struct plan *plan)
{
    void *db = plan->peer->open(&plan->config);
    void *session = plan->peer->session_open(db);
    peer_key *keys = dataset_shuffled(&plan->data, 2);
    measure_updates(plan, session, keys);
    measure_lazy_commits(plan, session, keys);
    plan->peer->session_close(session);
    measure_mixed(plan, db, keys);
    free(keys);
    plan->peer->close(db);
}

void group_delete(const struct plan *plan)
{
    void *db = plan->peer->open(&plan->config);
    void *session = plan->peer->session_open(db);
    peer_key *keys = dataset_shuffled(&plan->data, 3);
    uint64_t count = plan->data.count / 2 / DELETE_BATCH * DELETE_BATCH;
    double began = harness_seconds();
    for (uint64_t i = 0; i < count;) {
        plan->peer->write_begin(session);
        for (unsigned n = 0; n < DELETE_BATCH; n++, i++)
            plan->peer->del(session, keys[i]);
        plan->peer->write_commit(session);
    }
    harness_row("delete", (double)count / (harness_seconds() - began));
    struct peer_value value;
    uint64_t left = 0;
    for (uint64_t i = 0; i < plan->data.count; i++)
        left += plan->peer->get_fresh(session, keys[i], &value);
    harness_check("delete", left);
    free(keys);
    plan->peer->session_close(session);
    plan->peer->close(db);
}
