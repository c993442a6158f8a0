/* btree_scan.c: cursors. An entry counts as read when its key and its value were looked at. */
#include "suites/all.h"

#include "common/world.h"

#define STEPS 1000u
#define SHORT_STEPS 100u

static void look(const ns_cursor *cursor)
{
    ns_slice key, value;
    BENCH_CHECK(ns_cursor_get(cursor, &key, &value));
    bench_keep(key.size + *(const uint8_t *)value.data);
}

static ns_cursor *cursor_on(struct bench *b, const struct world *world)
{
    ns_cursor *cursor;
    BENCH_CHECK(ns_cursor_open(world->read, NS_MAIN, &cursor));
    bench_watch(b, world->db);
    return cursor;
}

/* 1000 entries an iteration, over and over again from end to end. */
static void scan(struct bench *b, ns_status (*first)(ns_cursor *), ns_status (*step)(ns_cursor *))
{
    const struct world *world = world_shared(b, (uint64_t)bench_arg(b, 0));
    ns_cursor *cursor = cursor_on(b, world);
    BENCH_CHECK(first(cursor));
    while (bench_next(b)) {
        for (uint32_t i = 0; i < STEPS; i++) {
            ns_status status = step(cursor);
            if (status == NS_NOTFOUND) status = first(cursor);
            BENCH_CHECK(status);
            look(cursor);
        }
    }
    bench_items(b, bench_iterations(b) * STEPS);
    ns_cursor_close(cursor);
}

static void scan_forward(struct bench *b)
{
    scan(b, ns_cursor_first, ns_cursor_next);
}

static void scan_backward(struct bench *b)
{
    scan(b, ns_cursor_last, ns_cursor_prev);
}

/* The last keys have fewer entries behind them: then the scan ends early. */
static void seek_and_step(struct bench *b)
{
    const struct world *world = world_shared(b, (uint64_t)bench_arg(b, 0));
    uint32_t steps = (uint32_t)bench_arg(b, 1);
    ns_cursor *cursor = cursor_on(b, world);
    struct ns__prng prng = {data_seed()};
    uint8_t key[DATA_KEY_BYTES];
    while (bench_next(b)) {
        BENCH_CHECK(ns_cursor_seek(cursor, world_key(world, &prng, key)));
        look(cursor);
        for (uint32_t i = 0; i < steps && ns_cursor_next(cursor) == NS_OK; i++)
            look(cursor);
    }
    ns_cursor_close(cursor);
}

void suite_btree_scan(void)
{
    static const struct bench_entry rows[] = {
        {"btree/scan_forward/1e4",
         scan_forward,
         {.args = {10000}, .iterations = 20, .is_gated = true}},
        {"btree/scan_forward/1e6", scan_forward, {.args = {1000000}}},
        {"btree/scan_forward/1e7", scan_forward, {.args = {10000000}, .is_slow = true}},
        {"btree/scan_backward/1e4",
         scan_backward,
         {.args = {10000}, .iterations = 20, .is_gated = true}},
        {"btree/scan_backward/1e6", scan_backward, {.args = {1000000}}},
        {"btree/scan_backward/1e7", scan_backward, {.args = {10000000}, .is_slow = true}},
        {"btree/seek/1e4", seek_and_step, {.args = {10000}, .iterations = 5000, .is_gated = true}},
        {"btree/seek/1e6", seek_and_step, {.args = {1000000}}},
        {"btree/seek_scan100/1e6", seek_and_step, {.args = {1000000, SHORT_STEPS}}},
        {"btree/seek_scan100/1e7",
         seek_and_step,
         {.args = {10000000, SHORT_STEPS}, .is_slow = true}},
    };
    BENCH_ADD_ROWS(rows);
}
