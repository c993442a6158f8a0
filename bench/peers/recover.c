/* recover.c: how long until a store can be read: after a clean end, and after the process was
 * killed in the middle of a load. The clock runs from the call that opens to the end of the first
 * get, so that a store which does its work late gains nothing. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peers/workloads.h"

#define OPENS 5u

static double open_ms(const struct plan *plan, void **db_out, void **session_out)
{
    struct peer_value value;
    double began = harness_seconds();
    void *db = plan->peer->open(&plan->config);
    void *session = plan->peer->session_open(db);
    if (!plan->peer->get_fresh(session, plan->data.keys[0], &value)) peer_die("no first entry");
    double ms = (harness_seconds() - began) * 1e3;
    *db_out = db;
    *session_out = session;
    return ms;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure_opens(const struct plan *plan, bool is_cold, const char *row)
{
    double ms[OPENS];
    for (size_t i = 0; i < OPENS; i++) {
        void *db, *session;
        if (is_cold) harness_forget_pages(plan->config.dir);
        ms[i] = open_ms(plan, &db, &session);
        plan->peer->session_close(session);
        plan->peer->close(db);
    }
    qsort(ms, OPENS, sizeof ms[0], compare);
    harness_row(row, ms[OPENS / 2]);
}

void group_open(const struct plan *plan)
{
    measure_opens(plan, false, "open_warm");
    measure_opens(plan, true, "open_cold");
}

/* ---- crash ---- */

/* In the child: loads, and says after each commit how many entries are acknowledged. */
static void load_until_killed(const struct plan *plan, _Atomic uint64_t *acknowledged)
{
    const struct peer *peer = plan->peer;
    const struct dataset *data = &plan->data;
    void *session = peer->session_open(peer->open(&plan->config));
    for (uint64_t i = 0; i < data->count;) {
        peer->write_begin(session);
        for (unsigned n = 0; n < LOAD_BATCH && i < data->count; n++, i++)
            peer->put(session, data->keys[i], dataset_value(data, i, 0), data->value_bytes);
        peer->write_commit(session);
        atomic_store(acknowledged, i);
    }
    for (;;)
        pause();
}

/* Kills the child when three quarters are acknowledged. */
static void kill_in_mid_load(const struct plan *plan, _Atomic uint64_t *acknowledged)
{
    pid_t child = fork();
    if (child < 0) peer_die("cannot fork");
    if (child == 0) load_until_killed(plan, acknowledged);
    int status = 0;
    while (atomic_load(acknowledged) < plan->data.count / 4 * 3) {
        if (waitpid(child, &status, WNOHANG) == child) peer_die("the loading process ended");
        usleep(200);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
}

static uint64_t count_lost(const struct plan *plan, void *session, uint64_t acknowledged)
{
    struct peer_value value;
    uint64_t lost = 0;
    for (uint64_t i = 0; i < acknowledged; i++)
        lost += !plan->peer->get_fresh(session, plan->data.keys[i], &value);
    return lost;
}

void group_crash(const struct plan *plan)
{
    _Atomic uint64_t *acknowledged =
        mmap(NULL, sizeof *acknowledged, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (acknowledged == MAP_FAILED) peer_die("no shared memory");
    kill_in_mid_load(plan, acknowledged);
    void *db, *session;
    harness_row("crash_open", open_ms(plan, &db, &session));
    harness_row("crash_lost", (double)count_lost(plan, session, *acknowledged));
    plan->peer->session_close(session);
    plan->peer->close(db);
    munmap(acknowledged, sizeof *acknowledged);
}
