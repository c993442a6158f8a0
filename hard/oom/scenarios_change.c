/* scenarios_change.c: changes in write transactions, and commits of every size. */
#include "oom/oom.h"

#include <stdio.h>

static void put_many(struct oom_session *session, ns_keyspace keyspace, uint64_t from,
                     uint64_t count, uint64_t step, size_t bytes)
{
    for (uint64_t i = 0; i < count; i++)
        (void)oom_put(session, keyspace, from + i * step, bytes);
}

/* ---- single changes ---- */

static void act_begin_write(struct oom_session *session)
{
    oom_begin(session);
}

static void act_empty_commit(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_note(session, 10);
    oom_commit(session);
}

static void act_put(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_put(session, NS_MAIN, 7, 50);
    oom_commit(session);
}

static void act_put_open(struct oom_session *session)
{
    oom_begin(session);
    put_many(session, NS_MAIN, 100, 100, 1, 120);
    oom_get(session, NS_MAIN, 120);
    oom_get(session, NS_MAIN, 3);
}

static void act_put_grows(struct oom_session *session)
{
    oom_begin(session);
    for (size_t bytes = 10; bytes < 40000; bytes *= 2)
        (void)oom_put(session, NS_MAIN, 7, bytes);
    (void)oom_put(session, NS_MAIN, 7, 5);
    oom_commit(session);
}

static void act_insert(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_insert(session, NS_MAIN, 7, 50);
    (void)oom_insert(session, NS_MAIN, 70007, 50);
    (void)oom_insert(session, oom_id(session, "red"), 70007, 5000);
    oom_commit(session);
}

static void act_del(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_del(session, NS_MAIN, 7);
    (void)oom_del(session, NS_MAIN, 70007);
    (void)oom_put(session, NS_MAIN, 8, 10);
    (void)oom_del(session, NS_MAIN, 8);
    oom_commit(session);
}

static void act_del_many(struct oom_session *session)
{
    oom_begin(session);
    for (uint64_t i = 0; i < 140; i++)
        (void)oom_del(session, NS_MAIN, i);
    oom_commit(session);
}

static void act_del_range(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_del_range(session, NS_MAIN, 10, 30);
    (void)oom_del_range(session, NS_MAIN, 20, 50);
    (void)oom_put(session, NS_MAIN, 25, 33);
    (void)oom_del_range(session, oom_id(session, "red"), 0, UINT64_MAX);
    oom_commit(session);
}

static void act_del_ranges(struct oom_session *session)
{
    oom_begin(session);
    for (uint64_t i = 0; i < 70; i++)
        (void)oom_del_range(session, NS_MAIN, 2 * i, 2 * i + 1);
    oom_commit(session);
}

static void act_del_all(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_del_range(session, NS_MAIN, 0, UINT64_MAX);
    oom_commit(session);
    oom_checkpoint(session);
}

static void act_note(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_note(session, 100);
    (void)oom_note(session, 60000);
    (void)oom_put(session, NS_MAIN, 1, 1);
    oom_commit(session);
}

static void act_abort(struct oom_session *session)
{
    oom_begin(session);
    put_many(session, NS_MAIN, 0, 50, 3, 500);
    oom_abort(session);
    oom_begin(session);
    (void)oom_put(session, NS_MAIN, 2, 20);
    oom_commit(session);
}

/* ---- keyspaces ---- */

static void act_keyspace(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_put(session, oom_keyspace(session, "new"), 1, 100);
    (void)oom_keyspace(session, "red");
    oom_commit(session);
}

static void act_keyspaces(struct oom_session *session)
{
    char name[200];
    oom_begin(session);
    for (int i = 0; i < 18; i++) {
        snprintf(name, sizeof name, "%d%0*d", i, 150 + i, i);
        (void)oom_put(session, oom_keyspace(session, name), 1, 100);
    }
    oom_commit(session);
}

static void act_drop(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_drop(session, "red");
    (void)oom_drop(session, "blue");
    (void)oom_drop(session, "absent");
    oom_commit(session);
    oom_checkpoint(session);
}

static void act_drop_create(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_drop(session, "red");
    (void)oom_put(session, oom_keyspace(session, "red"), 1, 100);
    (void)oom_keyspace(session, "passing");
    (void)oom_drop(session, "passing");
    oom_commit(session);
}

/* ---- commits ---- */

static void act_commit_many(struct oom_session *session)
{
    oom_begin(session);
    put_many(session, NS_MAIN, 0, 400, 3, 100);
    oom_commit(session);
}

static void act_commit_mixed(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_del_range(session, NS_MAIN, 40, 90);
    put_many(session, NS_MAIN, 30, 30, 2, 900);
    put_many(session, oom_id(session, "red"), 5, 60, 3, 200);
    (void)oom_drop(session, "blue");
    (void)oom_put(session, oom_keyspace(session, "new"), 1, 50000);
    (void)oom_del(session, NS_MAIN, 3);
    (void)oom_note(session, 500);
    oom_commit(session);
}

static void act_commits(struct oom_session *session)
{
    for (uint64_t i = 0; i < 8; i++) {
        oom_begin(session);
        put_many(session, NS_MAIN, i * 13, 10, 2, 300);
        oom_commit(session);
    }
}

static void act_overflow(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_put(session, NS_MAIN, 5, 100000);
    (void)oom_put(session, NS_MAIN, 150, 100);
    (void)oom_put(session, NS_MAIN, 6, 5000);
    oom_commit(session);
}

static void act_huge(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_put(session, NS_MAIN, 5, 3u << 20);
    oom_commit(session);
}

/* So few frames that nodes are written before their checkpoint. */
static void options_few_frames(ns_options *options)
{
    options->frame_bytes = 64u << 10;
}

static void act_spill(struct oom_session *session)
{
    oom_begin(session);
    put_many(session, NS_MAIN, 0, 600, 5, 400);
    oom_commit(session);
    oom_begin(session);
    put_many(session, NS_MAIN, 2, 40, 50, 300);
    oom_commit(session);
}

static void act_spill_deletes(struct oom_session *session)
{
    oom_begin(session);
    for (uint64_t i = 0; i < 4000; i += 7)
        (void)oom_del(session, NS_MAIN, i);
    (void)oom_del_range(session, NS_MAIN, 1100, 1300);
    oom_commit(session);
}

/* Checkpoints run inside commits. */
static void options_automatic(ns_options *options)
{
    options->checkpoint_bytes = 20000;
}

static void act_automatic(struct oom_session *session)
{
    for (uint64_t i = 0; i < 6; i++) {
        oom_begin(session);
        put_many(session, NS_MAIN, i * 30, 20, 1, 700);
        oom_commit(session);
    }
}

/* The log gets one extent after the other. */
static void act_log_grows(struct oom_session *session)
{
    for (uint64_t i = 0; i < 5; i++) {
        oom_begin(session);
        (void)oom_put(session, NS_MAIN, 1, 130000);
        oom_commit(session);
    }
}

static void act_recycle(struct oom_session *session)
{
    for (uint64_t i = 0; i < 5; i++) {
        oom_begin(session);
        put_many(session, NS_MAIN, i * 20, 10, 1, 9000);
        oom_commit(session);
    }
    oom_checkpoint(session);
    oom_checkpoint(session);
}

static void act_beside_reader(struct oom_session *session)
{
    oom_read_begin(session);
    for (uint64_t i = 0; i < 3; i++) {
        oom_begin(session);
        put_many(session, NS_MAIN, i, 60, 3, 500);
        oom_commit(session);
    }
    oom_checkpoint(session);
    oom_get(session, NS_MAIN, 3);
}

/* Holders in turn, so that what waits for them is spread over many buckets. */
static void act_waiting(struct oom_session *session)
{
    for (uint64_t i = 0; i < 5; i++) {
        oom_read_end(session);
        oom_read_begin(session);
        oom_begin(session);
        put_many(session, NS_MAIN, i * 9, 300, 1, 200);
        oom_commit(session);
        oom_begin(session);
        (void)oom_del_range(session, NS_MAIN, i * 9, i * 9 + 100);
        oom_commit(session);
    }
}

/* ---- memory of arenas ends at every place ---- */

#define LONG_NAME                                                                                  \
    "a name of more than two hundred bytes, so that its copy does not fit what the block has left" \
    "........................................................................................."    \
    "............."

static void act_shift_set(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_put(session, NS_MAIN, 9001, 200 + 24 * session->variant);
    (void)oom_note(session, 64);
    (void)oom_put(session, oom_keyspace(session, LONG_NAME), 1, 40);
    (void)oom_drop(session, "red");
    (void)oom_del(session, NS_MAIN, 9);
    (void)oom_del_range(session, NS_MAIN, 30, 40);
    (void)oom_put(session, NS_MAIN, 9, 100);
    (void)oom_put(session, NS_MAIN, 9, 300);
    (void)oom_put(session, oom_id(session, "blue"), 9, 20);
    (void)oom_keyspace(session, "one more");
}

static void act_shift_apply(struct oom_session *session)
{
    static const char *const names[] = {LONG_NAME, "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    oom_begin(session);
    (void)oom_del_range(session, NS_MAIN, 140, 145);
    put_many(session, NS_MAIN, 0, session->variant, 1, 60);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)oom_put(session, oom_keyspace(session, names[i]), 1, 40);
    (void)oom_drop(session, "blue");
    oom_commit(session);
}

static void act_shift_notes(struct oom_session *session)
{
    char name[8];
    oom_begin(session);
    for (uint64_t i = 0; i < 6 + session->variant; i++) {
        snprintf(name, sizeof name, "n%02u", (unsigned)i);
        (void)oom_keyspace(session, name);
    }
    oom_commit(session);
}

/* Large batches that are spread thin, so that the working memory of each level grows. */
static void act_shift_levels(struct oom_session *session)
{
    oom_begin(session);
    uint64_t step = 1 + session->variant % 8, count = 40 * (1 + session->variant / 8);
    for (uint64_t i = 0; i < count; i++) {
        if (i % 4 == 3)
            (void)oom_del(session, NS_MAIN, i * step);
        else
            (void)oom_put(session, NS_MAIN, i * step, 20 + 40 * (i % 5));
    }
    oom_commit(session);
}

#define SMALL .base = &oom_small
#define WIDE .base = &oom_wide

const struct oom_scenario oom_scenarios_change[] = {
    {.name = "begin_write", SMALL, .act = act_begin_write},
    {.name = "empty_commit", SMALL, .act = act_empty_commit},
    {.name = "put", SMALL, .act = act_put},
    {.name = "put_first", .act = act_put},
    {.name = "put_open", SMALL, .act = act_put_open},
    {.name = "put_grows", SMALL, .act = act_put_grows},
    {.name = "insert", SMALL, .act = act_insert},
    {.name = "del", SMALL, .act = act_del},
    {.name = "del_many", SMALL, .act = act_del_many},
    {.name = "del_range", SMALL, .act = act_del_range},
    {.name = "del_ranges", SMALL, .act = act_del_ranges},
    {.name = "del_all", SMALL, .act = act_del_all},
    {.name = "note", SMALL, .act = act_note},
    {.name = "abort", SMALL, .act = act_abort},
    {.name = "keyspace", SMALL, .act = act_keyspace},
    {.name = "keyspaces", SMALL, .act = act_keyspaces},
    {.name = "drop", SMALL, .act = act_drop},
    {.name = "drop_create", SMALL, .act = act_drop_create},
    {.name = "commit_many", SMALL, .act = act_commit_many},
    {.name = "commit_mixed", SMALL, .act = act_commit_mixed},
    {.name = "commits", SMALL, .act = act_commits},
    {.name = "commits_new", .act = act_commits},
    {.name = "overflow", SMALL, .act = act_overflow},
    {.name = "huge", SMALL, .act = act_huge},
    {.name = "spill", SMALL, .act = act_spill, .configure = options_few_frames},
    {.name = "spill_deletes", WIDE, .act = act_spill_deletes, .configure = options_few_frames},
    {.name = "automatic", SMALL, .act = act_automatic, .configure = options_automatic},
    {.name = "log_grows", SMALL, .act = act_log_grows},
    {.name = "log_grows_far", .base = &oom_many_extents, .act = act_log_grows},
    {.name = "log_edge", .base = &oom_edge, .act = act_log_grows},
    {.name = "recycle", .base = &oom_recycled, .act = act_recycle},
    {.name = "beside_reader", SMALL, .act = act_beside_reader},
    {.name = "waiting", SMALL, .act = act_waiting},
    {.name = "shift_set", SMALL, .act = act_shift_set, .variants = 150, .is_shift = true},
    {.name = "shift_apply", SMALL, .act = act_shift_apply, .variants = 40, .is_shift = true},
    {.name = "shift_notes", SMALL, .act = act_shift_notes, .variants = 14, .is_shift = true},
    {.name = "shift_levels", WIDE, .act = act_shift_levels, .variants = 16, .is_shift = true},
    {0},
};
