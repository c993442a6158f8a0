/* scenarios_store.c: checkpoints, the helper thread, databases without a file, and long mixtures
 * drawn by chance. */
#include "oom/oom.h"

/* ---- checkpoints ---- */

static void change(struct oom_session *session, uint64_t from, uint64_t count, size_t bytes)
{
    oom_begin(session);
    for (uint64_t i = 0; i < count; i++)
        (void)oom_put(session, NS_MAIN, from + i, bytes);
    oom_commit(session);
}

static void prepare_few(struct oom_session *session)
{
    oom_open(session);
    change(session, 3, 2, 50);
}

static void prepare_many(struct oom_session *session)
{
    oom_open(session);
    change(session, 0, 300, 300);
    oom_begin(session);
    (void)oom_del_range(session, oom_id(session, "red"), 20, 80);
    (void)oom_put(session, oom_keyspace(session, "new"), 1, 70000);
    (void)oom_drop(session, "blue");
    oom_commit(session);
}

static void prepare_reader(struct oom_session *session)
{
    oom_open(session);
    oom_read_begin(session);
    change(session, 0, 200, 300);
}

static void act_checkpoint(struct oom_session *session)
{
    oom_checkpoint(session);
}

static void act_checkpoints(struct oom_session *session)
{
    for (uint64_t i = 0; i < 4; i++) {
        oom_checkpoint(session);
        change(session, 40 * i, 50, 200);
    }
    oom_checkpoint(session);
    oom_checkpoint(session);
}

/* A checkpoint that failed is made good by the next one; nothing that it took is lost. */
static void act_checkpoint_again(struct oom_session *session)
{
    oom_checkpoint(session);
    change(session, 90, 20, 3000);
    oom_checkpoint(session);
    change(session, 10, 20, 10);
}

/* ---- the helper thread ---- */

#define HELPER_BYTES 65536u

static void options_helper(ns_options *options)
{
    options->checkpoint_bytes = HELPER_BYTES;
}

/* The first commit makes a checkpoint due, and not yet late; the helper runs it. If it failed, the
 * second commit lets it try again. */
static void act_helper(struct oom_session *session)
{
    oom_begin(session);
    (void)oom_put(session, NS_MAIN, 2, HELPER_BYTES + 2000);
    (void)oom_put(session, NS_MAIN, 3, 100);
    oom_commit(session);
    oom_wait_for_helper(session, 1);
    bool has_failed = __atomic_load_n(&session->failures, __ATOMIC_ACQUIRE) > 0;
    change(session, 10, 1, 6000);
    if (has_failed) oom_wait_for_helper(session, 2);
}

static void act_helper_reader(struct oom_session *session)
{
    oom_read_begin(session);
    act_helper(session);
    oom_get(session, NS_MAIN, 2);
}

/* ---- no file ---- */

static void options_memory(ns_options *options)
{
    options->flags |= NS_IN_MEMORY;
    options->vfs = NULL;
}

static void act_memory(struct oom_session *session)
{
    change(session, 0, 200, 300);
    oom_read_begin(session);
    oom_begin(session);
    (void)oom_put(session, oom_keyspace(session, "new"), 1, 300000);
    oom_commit(session);
    oom_checkpoint(session);
    change(session, 100, 200, 300);
    oom_checkpoint(session);
}

/* ---- mixtures ---- */

static const char *const names[] = {"red", "blue", "green", "new"};

static ns_keyspace some_keyspace(struct oom_session *session)
{
    uint64_t drawn = ns__prng_below(&session->prng, 8);
    if (drawn >= 4 || session->write == NULL) return NS_MAIN;
    const struct ref_tree *tree = ref_state_named(session->working, names[drawn]);
    return tree != NULL ? tree->id : NS_MAIN;
}

static size_t some_size(struct oom_session *session)
{
    static const size_t sizes[] = {0, 10, 60, 60, 200, 200, 1500, 4000, 9000, 60000};
    return sizes[ns__prng_below(&session->prng, sizeof sizes / sizeof sizes[0])];
}

static void some_change(struct oom_session *session)
{
    ns_keyspace keyspace = some_keyspace(session);
    uint64_t key = ns__prng_below(&session->prng, 400);
    switch (ns__prng_below(&session->prng, 10)) {
    case 0: (void)oom_del(session, keyspace, key); break;
    case 1: (void)oom_del_range(session, keyspace, key, key + 1 + key % 40); break;
    case 2: (void)oom_keyspace(session, names[key % 4]); break;
    case 3: (void)oom_drop(session, names[key % 4]); break;
    case 4: (void)oom_insert(session, keyspace, key, some_size(session)); break;
    case 5: (void)oom_note(session, some_size(session)); break;
    default:
        for (uint64_t i = 0; i <= key % 20; i++)
            (void)oom_put(session, keyspace, key + i, some_size(session) / 4);
        break;
    }
}

static void some_step(struct oom_session *session)
{
    switch (ns__prng_below(&session->prng, 8)) {
    case 0: oom_checkpoint(session); break;
    case 1: oom_read_begin(session); break;
    case 2: oom_read_end(session); break;
    case 3:
        oom_begin(session);
        some_change(session);
        oom_abort(session);
        break;
    default:
        oom_begin(session);
        for (uint64_t i = ns__prng_below(&session->prng, 6); i > 0; i--)
            some_change(session);
        oom_commit(session);
        break;
    }
}

static void act_mixture(struct oom_session *session)
{
    for (unsigned i = 0; i < 10; i++)
        some_step(session);
}

static void act_mixture_open(struct oom_session *session)
{
    oom_open(session);
    act_mixture(session);
    oom_read_end(session);
    oom_close(session);
    oom_open(session);
}

static void leave_closed(struct oom_session *session)
{
    (void)session;
}

static void options_tight(ns_options *options)
{
    options->frame_bytes = 100000;
    options->checkpoint_bytes = 30000;
    options->history = NS_HISTORY_NONE;
}

#define SMALL .base = &oom_small

const struct oom_scenario oom_scenarios_store[] = {
    {.name = "checkpoint_idle", SMALL, .act = act_checkpoint},
    {.name = "checkpoint_few", SMALL, .prepare = prepare_few, .act = act_checkpoint},
    {.name = "checkpoint_many", SMALL, .prepare = prepare_many, .act = act_checkpoint},
    {.name = "checkpoint_new", .prepare = prepare_few, .act = act_checkpoint},
    {.name = "checkpoint_reader", SMALL, .prepare = prepare_reader, .act = act_checkpoint},
    {.name = "checkpoint_again", SMALL, .prepare = prepare_many, .act = act_checkpoint_again},
    {.name = "checkpoints", SMALL, .act = act_checkpoints},
    {.name = "helper", SMALL, .act = act_helper, .configure = options_helper, .is_helper = true},
    {.name = "helper_reader",
     SMALL,
     .act = act_helper_reader,
     .configure = options_helper,
     .is_helper = true},
    {.name = "memory", .act = act_memory, .configure = options_memory},
    {.name = "mixture", SMALL, .act = act_mixture, .variants = 4},
    {.name = "mixture_tight", SMALL, .act = act_mixture, .configure = options_tight, .variants = 3},
    {.name = "mixture_open",
     .base = &oom_dirty,
     .prepare = leave_closed,
     .act = act_mixture_open,
     .variants = 3},
    {0},
};
