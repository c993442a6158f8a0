/* agents_day.c: a day of many agents and one database.
 *
 * 100 to 1000 agents take turns; in each turn an agent does one transaction of the kind that task
 * queues are made of:
 *
 *   create     a task with a body of 400 bytes, ready at a priority      (agents file follow-ups)
 *   claim      the first ready task: it leaves the ready index and gets a lease
 *   heartbeat  the lease is moved ten minutes on
 *   complete   the lease goes, the task gets its result, a line is added to the audit trail
 *   look       a read transaction: the first 20 ready tasks with their bodies
 *
 * An agent without a task claims (or creates, if none is ready), one with a task sends a heartbeat
 * three times, looks once, then completes. Plain keys, tuple-encoded, in four keyspaces:
 *
 *   task   (id)                  -> state and body
 *   ready  (priority, id)        -> nothing
 *   lease  (agent)               -> task, deadline
 *   audit  (time, agent)         -> what was done
 *
 * The story ends in an audit: each task is in exactly one state, and the indexes agree. Latency
 * percentiles are of the claim. */
#include "macro/all.h"

#include <stdlib.h>
#include <string.h>

#include <northstar/tuple.h>
#include "base/prng.h"
#include "common/bench.h"
#include "common/data.h"

#define BODY_BYTES 400u
#define KEY_BYTES 64u
#define LOOK_AT 20u

struct agent {
    uint64_t task; /* 0: none */
    uint32_t step;
};

struct day {
    struct bench *b;
    ns_db *db;
    ns_keyspace task, ready, lease, audit;
    struct agent *agents;
    uint64_t agent_count, task_count, done_count, clock;
    struct ns__prng prng;
};

struct key {
    uint8_t bytes[KEY_BYTES];
    ns_tuple_writer writer;
};

static ns_slice key_of(struct key *key, uint64_t first, const uint64_t *second)
{
    ns_tuple_writer_init(&key->writer, key->bytes, sizeof key->bytes);
    BENCH_CHECK(ns_tuple_put_u64(&key->writer, first, NS_TUPLE_ASC));
    if (second != NULL) BENCH_CHECK(ns_tuple_put_u64(&key->writer, *second, NS_TUPLE_ASC));
    return ns_tuple_writer_view(&key->writer);
}

static ns_txn *begin(struct day *day, ns_txn_mode mode)
{
    ns_txn *txn;
    BENCH_CHECK(ns_txn_begin(day->db, mode, &txn));
    return txn;
}

/* ---- the turns ---- */

static void create(struct day *day, ns_txn *txn)
{
    struct key key;
    uint8_t body[BODY_BYTES];
    uint64_t id = ++day->task_count;
    uint64_t priority = ns__prng_below(&day->prng, 8);
    data_value(id, sizeof body, body);
    body[0] = 'r';
    body[1] = (uint8_t)priority;
    BENCH_CHECK(ns_txn_put(txn, day->task, key_of(&key, id, NULL), ns_bytes(body, sizeof body)));
    BENCH_CHECK(ns_txn_put(txn, day->ready, key_of(&key, priority, &id), ns_bytes(NULL, 0)));
}

static void set_state(struct day *day, ns_txn *txn, uint64_t id, char state)
{
    struct key key;
    uint8_t body[BODY_BYTES];
    ns_slice value;
    BENCH_CHECK(ns_txn_get(txn, day->task, key_of(&key, id, NULL), &value));
    memcpy(body, value.data, sizeof body);
    body[0] = (uint8_t)state;
    BENCH_CHECK(ns_txn_put(txn, day->task, key_of(&key, id, NULL), ns_bytes(body, sizeof body)));
}

static void put_lease(struct day *day, ns_txn *txn, uint64_t agent, uint64_t task)
{
    struct key key;
    const uint64_t lease[2] = {task, day->clock + 600};
    BENCH_CHECK(
        ns_txn_put(txn, day->lease, key_of(&key, agent, NULL), ns_bytes(lease, sizeof lease)));
}

/* False when nothing is ready. */
static bool claim(struct day *day, ns_txn *txn, uint64_t agent)
{
    ns_cursor *cursor;
    BENCH_CHECK(ns_cursor_open(txn, day->ready, &cursor));
    ns_status status = ns_cursor_first(cursor);
    if (status == NS_OK) {
        ns_tuple_reader reader;
        uint64_t priority, id;
        ns_slice key = ns_cursor_key(cursor);
        ns_tuple_reader_init(&reader, key);
        BENCH_CHECK(ns_tuple_get_u64(&reader, &priority));
        BENCH_CHECK(ns_tuple_get_u64(&reader, &id));
        BENCH_CHECK(ns_txn_del(txn, day->ready, key));
        set_state(day, txn, id, 'c');
        put_lease(day, txn, agent, id);
        day->agents[agent] = (struct agent){.task = id};
    }
    ns_cursor_close(cursor);
    return status == NS_OK;
}

static void complete(struct day *day, ns_txn *txn, uint64_t agent)
{
    static const char what[] = "completed; tests pass; 3 files changed, 41 lines added";
    struct key key;
    BENCH_CHECK(ns_txn_del(txn, day->lease, key_of(&key, agent, NULL)));
    set_state(day, txn, day->agents[agent].task, 'd');
    BENCH_CHECK(ns_txn_put(txn, day->audit, key_of(&key, day->clock, &agent), ns_str(what)));
    day->agents[agent] = (struct agent){0};
    day->done_count++;
}

static void look(struct day *day)
{
    ns_txn *txn = begin(day, NS_READ);
    ns_cursor *cursor;
    BENCH_CHECK(ns_cursor_open(txn, day->ready, &cursor));
    ns_status status = ns_cursor_first(cursor);
    for (unsigned i = 0; i < LOOK_AT && status == NS_OK; i++, status = ns_cursor_next(cursor)) {
        ns_tuple_reader reader;
        struct key key;
        uint64_t priority, id;
        ns_slice value;
        ns_tuple_reader_init(&reader, ns_cursor_key(cursor));
        BENCH_CHECK(ns_tuple_get_u64(&reader, &priority));
        BENCH_CHECK(ns_tuple_get_u64(&reader, &id));
        BENCH_CHECK(ns_txn_get(txn, day->task, key_of(&key, id, NULL), &value));
    }
    ns_cursor_close(cursor);
    ns_txn_abort(txn);
}

static void claim_or_create(struct day *day, uint64_t agent)
{
    uint64_t start = bench_now_ns();
    ns_txn *txn = begin(day, NS_WRITE);
    bool claimed = claim(day, txn, agent);
    if (!claimed) {
        create(day, txn);
        create(day, txn);
    }
    BENCH_CHECK(ns_txn_commit(txn, NULL));
    if (claimed) bench_sample(day->b, bench_now_ns() - start);
}

static void take_turn(struct day *day, uint64_t agent)
{
    struct agent *self = &day->agents[agent];
    day->clock++;
    if (self->task == 0) {
        claim_or_create(day, agent);
        return;
    }
    if (++self->step == 4) {
        look(day);
        return;
    }
    ns_txn *txn = begin(day, NS_WRITE);
    if (self->step < 4) {
        put_lease(day, txn, agent, self->task);
    } else {
        complete(day, txn, agent);
        create(day, txn);
    }
    BENCH_CHECK(ns_txn_commit(txn, NULL));
}

/* ---- the audit ---- */

static uint64_t count(ns_txn *txn, ns_keyspace keyspace, char state)
{
    ns_cursor *cursor;
    uint64_t found = 0;
    BENCH_CHECK(ns_cursor_open(txn, keyspace, &cursor));
    for (ns_status s = ns_cursor_first(cursor); s == NS_OK; s = ns_cursor_next(cursor)) {
        ns_slice value = ns_cursor_value(cursor);
        found += state == 0 || *(const char *)value.data == state;
    }
    ns_cursor_close(cursor);
    return found;
}

static void audit(struct day *day)
{
    ns_txn *txn = begin(day, NS_READ);
    uint64_t ready = count(txn, day->ready, 0);
    uint64_t leased = count(txn, day->lease, 0);
    bool agrees = ready == count(txn, day->task, 'r') && leased == count(txn, day->task, 'c') &&
                  day->done_count == count(txn, day->task, 'd') &&
                  day->done_count == count(txn, day->audit, 0) &&
                  ready + leased + day->done_count == day->task_count;
    ns_txn_abort(txn);
    if (!agrees) bench_die("the indexes and the tasks disagree", NS_INTERNAL);
}

static void open_day(struct day *day, struct bench *b, enum bench_disk disk)
{
    ns_options options;
    *day = (struct day){.b = b, .agent_count = (uint64_t)bench_arg(b, 0), .prng = {7}};
    day->agents = calloc(day->agent_count, sizeof *day->agents);
    if (day->agents == NULL) abort();
    bench_options(b, disk, &options);
    BENCH_CHECK(ns_db_open(bench_path(b), &options, &day->db));
    ns_txn *txn = begin(day, NS_WRITE);
    BENCH_CHECK(ns_txn_keyspace(txn, "task", &day->task));
    BENCH_CHECK(ns_txn_keyspace(txn, "ready", &day->ready));
    BENCH_CHECK(ns_txn_keyspace(txn, "lease", &day->lease));
    BENCH_CHECK(ns_txn_keyspace(txn, "audit", &day->audit));
    for (uint64_t i = 0; i < day->agent_count * 2; i++)
        create(day, txn);
    BENCH_CHECK(ns_txn_commit(txn, NULL));
}

static void play_day(struct bench *b)
{
    struct day day;
    open_day(&day, b, bench_arg(b, 2) != 0 ? BENCH_FILES : BENCH_MEMORY);
    bench_watch(b, day.db);
    uint64_t turns = day.agent_count * (uint64_t)bench_arg(b, 1);
    while (bench_next(b)) {
        for (uint64_t i = 0; i < turns; i++)
            take_turn(&day, i % day.agent_count);
    }
    bench_items(b, turns * bench_iterations(b));
    audit(&day);
    bench_watch(b, NULL);
    bench_figure(b, "tasks_done", (double)day.done_count);
    BENCH_CHECK(ns_db_close(day.db));
    free(day.agents);
}

void macro_agents_day(void)
{
    struct bench_plan plan = {.iterations = 1, .is_fixed = true};
    plan.args[0] = 100; /* agents */
    plan.args[1] = 400; /* turns of each */
    bench_add("macro/agents_day/100", play_day, &plan);
    plan.args[0] = 1000;
    plan.args[1] = 40;
    bench_add("macro/agents_day/1000", play_day, &plan);
    plan.args[1] = 10;
    plan.args[2] = 1; /* on disk */
    bench_add("macro/agents_day/1000_durable", play_day, &plan);
}
