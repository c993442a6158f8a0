/* scenarios_open.c: opening, in every state of the file; closing; verifying. */
#include "oom/oom.h"

#include <stdlib.h>

#define OTHER "other.ns"

static void leave_closed(struct oom_session *session)
{
    (void)session;
}

static void act_open(struct oom_session *session)
{
    oom_open(session);
}

static void act_open_close(struct oom_session *session)
{
    oom_open(session);
    oom_close(session);
}

static void act_open_write(struct oom_session *session)
{
    oom_open(session);
    oom_begin(session);
    (void)oom_put(session, NS_MAIN, 3, 100);
    oom_commit(session);
}

/* ---- options ---- */

static void options_padded(ns_options *options)
{
    options->flags |= NS_LOG_PADDED;
}

static void options_64k(ns_options *options)
{
    options->page_size = 65536;
    options->frame_bytes = 8u << 20;
}

static void options_rdonly(ns_options *options)
{
    options->flags |= NS_RDONLY;
}

static void options_memory(ns_options *options)
{
    options->flags |= NS_IN_MEMORY;
    options->vfs = NULL;
}

static void options_create(ns_options *options)
{
    options->flags |= NS_MUST_CREATE;
}

static void options_readers(ns_options *options)
{
    options->max_readers = 0;
}

static void options_short_interval(ns_options *options)
{
    options->checkpoint_bytes = 100000;
}

static void options_threads(ns_options *options)
{
    options->flags &= ~NS_NO_THREADS;
}

static void options_history(ns_options *options)
{
    options->history = NS_HISTORY_NONE;
}

/* ---- answers other than NS_OK ---- */

static void expect_open(struct oom_session *session, const char *path, uint32_t flags,
                        ns_status wanted)
{
    ns_db *db = (ns_db *)session;
    ns_options options = session->options;
    options.flags |= flags;
    if (OOM_CALL(session, ns_db_open(path, &options, &db), wanted) == NS_OK) abort();
    if (db != NULL) rack_fail("a failed open gave a handle");
}

static void prepare_strange_file(struct oom_session *session)
{
    static const uint8_t text[20000] = "this is no database";
    if (ns__mem_file_set(session->mem, OTHER, ns_bytes(text, sizeof text)) != NS_OK) abort();
}

static void act_open_strange(struct oom_session *session)
{
    expect_open(session, OTHER, 0, NS_NOTADB);
    oom_expect_nothing_held("after NS_NOTADB");
}

static void act_open_absent(struct oom_session *session)
{
    expect_open(session, OTHER, NS_MUST_EXIST, NS_NOTFOUND);
    oom_expect_nothing_held("after NS_NOTFOUND");
}

static void act_open_present(struct oom_session *session)
{
    expect_open(session, OOM_PATH, NS_MUST_CREATE, NS_EXISTS);
    oom_expect_nothing_held("after NS_EXISTS");
}

static void act_open_busy(struct oom_session *session)
{
    expect_open(session, OOM_PATH, 0, NS_BUSY);
}

/* ---- closing ---- */

static void prepare_changed(struct oom_session *session)
{
    oom_open(session);
    oom_begin(session);
    (void)oom_put(session, NS_MAIN, 3, 300);
    (void)oom_put(session, NS_MAIN, 4, 30000);
    (void)oom_put(session, oom_keyspace(session, "new"), 4, 30);
    oom_commit(session);
}

static void act_close(struct oom_session *session)
{
    oom_close(session);
}

static void act_close_busy(struct oom_session *session)
{
    oom_read_begin(session);
    if (session->reader == NULL) return;
    (void)OOM_CALL(session, ns_db_close(session->db), NS_BUSY);
}

/* ---- verifying ---- */

static void expect_verify(struct oom_session *session, const char *path, ns_status wanted)
{
    (void)OOM_CALL(session, ns_db_verify(path, &session->options, NULL, NULL), wanted);
    oom_expect_nothing_held("after verify");
}

static void act_verify(struct oom_session *session)
{
    expect_verify(session, OOM_PATH, NS_OK);
}

/* A copy of the file with one byte changed in every page that holds a node. */
static void prepare_rotten(struct oom_session *session)
{
    ns_slice content;
    if (ns__mem_file_get(session->mem, OOM_PATH, &content) != NS_OK) abort();
    uint8_t *copy = malloc(content.size);
    if (copy == NULL) abort();
    memcpy(copy, content.data, content.size);
    for (size_t page = 8; page < content.size / 4096; page++)
        copy[page * 4096 + 2000] ^= 1;
    if (ns__mem_file_set(session->mem, OTHER, ns_bytes(copy, content.size)) != NS_OK) abort();
    free(copy);
}

static void act_verify_rotten(struct oom_session *session)
{
    expect_verify(session, OTHER, NS_CORRUPT);
}

const struct oom_scenario oom_scenarios_open[] = {
    {.name = "open_new", .prepare = leave_closed, .act = act_open},
    {.name = "open_new_write", .prepare = leave_closed, .act = act_open_write},
    {.name = "open_new_close", .prepare = leave_closed, .act = act_open_close},
    {.name = "open_new_padded",
     .prepare = leave_closed,
     .act = act_open_write,
     .configure = options_padded},
    {.name = "open_new_64k",
     .prepare = leave_closed,
     .act = act_open_write,
     .configure = options_64k},
    {.name = "open_must_create",
     .prepare = leave_closed,
     .act = act_open,
     .configure = options_create},
    {.name = "open_unfinished", .base = &oom_unfinished, .prepare = leave_closed, .act = act_open},
    {.name = "open_memory",
     .prepare = leave_closed,
     .act = act_open_write,
     .configure = options_memory},
    {.name = "open_clean", .base = &oom_small, .prepare = leave_closed, .act = act_open},
    {.name = "open_clean_close",
     .base = &oom_small,
     .prepare = leave_closed,
     .act = act_open_close},
    {.name = "open_many_readers",
     .base = &oom_small,
     .prepare = leave_closed,
     .act = act_open,
     .configure = options_readers},
    {.name = "open_threads",
     .base = &oom_small,
     .prepare = leave_closed,
     .act = act_open,
     .configure = options_threads},
    {.name = "open_history",
     .base = &oom_small,
     .prepare = leave_closed,
     .act = act_open_write,
     .configure = options_history},
    {.name = "open_dirty", .base = &oom_dirty, .prepare = leave_closed, .act = act_open},
    {.name = "open_dirty_close",
     .base = &oom_dirty,
     .prepare = leave_closed,
     .act = act_open_close},
    {.name = "open_torn", .base = &oom_torn, .prepare = leave_closed, .act = act_open},
    {.name = "open_one_meta",
     .base = &oom_one_meta,
     .prepare = leave_closed,
     .act = act_open,
     .variants = 2},
    {.name = "open_one_map",
     .base = &oom_one_map,
     .prepare = leave_closed,
     .act = act_open,
     .variants = 2},
    {.name = "open_long_log",
     .base = &oom_long_log,
     .prepare = leave_closed,
     .act = act_open,
     .configure = options_short_interval},
    {.name = "open_tail_full", .base = &oom_tail_full, .prepare = leave_closed, .act = act_open},
    {.name = "open_many_extents",
     .base = &oom_many_extents,
     .prepare = leave_closed,
     .act = act_open},
    {.name = "open_rdonly_clean",
     .base = &oom_small,
     .prepare = leave_closed,
     .act = act_open,
     .configure = options_rdonly},
    {.name = "open_rdonly_dirty",
     .base = &oom_dirty,
     .prepare = leave_closed,
     .act = act_open,
     .configure = options_rdonly},
    {.name = "open_rdonly_torn",
     .base = &oom_torn,
     .prepare = leave_closed,
     .act = act_open,
     .configure = options_rdonly},
    {.name = "open_strange",
     .base = &oom_small,
     .prepare = prepare_strange_file,
     .act = act_open_strange},
    {.name = "open_absent", .base = &oom_small, .prepare = leave_closed, .act = act_open_absent},
    {.name = "open_present", .base = &oom_small, .prepare = leave_closed, .act = act_open_present},
    {.name = "open_busy", .base = &oom_small, .act = act_open_busy},
    {.name = "close_clean", .is_alone = true, .base = &oom_small, .act = act_close},
    {.name = "close_changed",
     .is_alone = true,
     .base = &oom_small,
     .prepare = prepare_changed,
     .act = act_close},
    {.name = "close_new", .is_alone = true, .prepare = prepare_changed, .act = act_close},
    {.name = "close_busy", .is_alone = true, .base = &oom_small, .act = act_close_busy},
    {.name = "verify_clean", .base = &oom_small, .prepare = leave_closed, .act = act_verify},
    {.name = "verify_dirty", .base = &oom_dirty, .prepare = leave_closed, .act = act_verify},
    {.name = "verify_torn", .base = &oom_torn, .prepare = leave_closed, .act = act_verify},
    {.name = "verify_many_extents",
     .base = &oom_many_extents,
     .prepare = leave_closed,
     .act = act_verify},
    {.name = "verify_rotten",
     .base = &oom_small,
     .prepare = prepare_rotten,
     .act = act_verify_rotten},
    {0},
};
