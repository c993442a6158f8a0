/* durable.c: commits that return when they are on stable storage. */
#include <stdio.h>
#include <stdlib.h>

#include "common/histogram.h"
#include "peers/workloads.h"

#define WARM_UP 100u

/* On a disk that is slow to sync a loop ends before its count. */
static double seconds_allowed(const struct plan *plan)
{
    return plan->is_quick ? 1.0 : 20.0;
}

struct writer {
    const struct plan *plan;
    void *session;
    peer_key *keys;
    uint64_t first, span; /* its part of keys, taken round and round */
    uint64_t next;
};

static void commit_some(struct writer *w, uint64_t puts)
{
    const struct plan *plan = w->plan;
    plan->peer->write_begin(w->session);
    for (uint64_t n = 0; n < puts; n++) {
        uint64_t at = w->first + w->next++ % w->span;
        plan->peer->put(w->session, w->keys[at], dataset_value(&plan->data, at, 4),
                        plan->data.value_bytes);
    }
    plan->peer->write_commit(w->session);
}

static void measure_one_puts(struct writer *w)
{
    uint64_t wanted = w->plan->is_quick ? 1500 : 3000, done = 0;
    struct histogram times = {0};
    struct harness_written written;
    harness_written(w->plan->config.dir, &written);
    uint64_t began = harness_ns(), before = began;
    uint64_t until = began + (uint64_t)(seconds_allowed(w->plan) * 1e9);
    while (done < wanted && before < until) {
        commit_some(w, 1);
        uint64_t now = harness_ns();
        histogram_add(&times, now - before);
        before = now;
        done++;
    }
    double bytes = (double)harness_written_since(w->plan->config.dir, &written);
    harness_row("commit_durable", (double)done * 1e9 / (double)(before - began));
    harness_row("commit_durable_p50", (double)histogram_at(&times, 0.50) * 1e-3);
    harness_row("commit_durable_p99", (double)histogram_at(&times, 0.99) * 1e-3);
    harness_row("bytes_commit", bytes / (double)done);
    histogram_deinit(&times);
}

static void measure_hundred_puts(struct writer *w)
{
    uint64_t wanted = w->plan->is_quick ? 150 : 500, done = 0;
    double began = harness_seconds(), until = began + seconds_allowed(w->plan);
    for (; done < wanted && harness_seconds() < until; done++)
        commit_some(w, 100);
    harness_row("hundred_durable", (double)done / (harness_seconds() - began));
}

static void measure_long(struct writer *w)
{
    uint64_t done = 0;
    struct harness_written written;
    harness_written(w->plan->config.dir, &written);
    double until = harness_seconds() + 60.0;
    for (; done < 100000 && harness_seconds() < until; done++)
        commit_some(w, 1);
    harness_row("bytes_commit_long",
                (double)harness_written_since(w->plan->config.dir, &written) / (double)done);
}

/* ---- several writers ---- */

#define WRITERS_MAX 64u

struct writers {
    struct writer writers[WRITERS_MAX];
    uint64_t commits[WRITERS_MAX];
    double until;
};

static void write_until(void *context, size_t index)
{
    struct writers *all = context;
    while (harness_seconds() < all->until) {
        commit_some(&all->writers[index], 1);
        all->commits[index]++;
    }
}

/* Each thread changes keys of its own, so that no store has conflicts to settle. */
static void measure_writers(struct writer *w, void *db, size_t count)
{
    struct writers *all = peer_alloc(sizeof *all);
    const struct peer *peer = w->plan->peer;
    for (size_t i = 0; i < count; i++) {
        all->writers[i] = *w;
        all->writers[i].session = peer->session_open(db);
        all->writers[i].span = w->plan->data.count / count;
        all->writers[i].first = all->writers[i].span * i;
        all->writers[i].next = 0;
    }
    all->until = harness_seconds() + (w->plan->is_quick ? 0.5 : 2.0);
    double seconds = harness_threads(count, write_until, all);
    uint64_t commits = 0;
    for (size_t i = 0; i < count; i++) {
        commits += all->commits[i];
        peer->session_close(all->writers[i].session);
    }
    char row[32];
    snprintf(row, sizeof row, "writers%zu", count);
    harness_row(row, (double)commits / seconds);
    free(all);
}

/* ---- the group ---- */

void group_durable(const struct plan *plan)
{
    static const size_t THREADS[] = {1, 4, 16, 64};
    void *db = plan->peer->open(&plan->config);
    struct writer w = {.plan = plan, .span = plan->data.count};
    w.session = plan->peer->session_open(db);
    w.keys = dataset_shuffled(&plan->data, 4);
    for (unsigned i = 0; i < WARM_UP; i++)
        commit_some(&w, 1);
    measure_one_puts(&w);
    measure_hundred_puts(&w);
    if (!plan->is_quick) measure_long(&w);
    for (size_t i = 0; i < sizeof THREADS / sizeof THREADS[0]; i++)
        measure_writers(&w, db, THREADS[i]);
    plan->peer->session_close(w.session);
    free(w.keys);
    plan->peer->close(db);
}
