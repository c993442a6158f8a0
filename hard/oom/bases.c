/* bases.c: the files that scenarios start from. A base is built once per process, through the same
 * judged calls as everything else, and copied for each run. */
#include "oom/oom.h"

#include <stdlib.h>

#include "db/db.h"
#include "format/logmap.h"
#include "log/log_internal.h"

#define RECORDS_MAX 64u
#define TAIL_RANGES 700u

/* ---- worlds ---- */

static struct ns__mem *copy_of(const struct ns__mem *mem)
{
    struct ns__mem *copy;
    if (ns__mem_clone(mem, &copy) != NS_OK) rack_fail("a world cannot be copied");
    return copy;
}

static struct ns__mem *empty_world(void)
{
    struct ns__mem *mem;
    if (ns__mem_new(NS__MEM_FAKE_TIME, 1, NULL, &mem) != NS_OK) rack_fail("no world");
    return mem;
}

/* ---- what they hold ---- */

static void fill(struct oom_session *session, ns_keyspace keyspace, uint64_t from, uint64_t count,
                 size_t bytes)
{
    for (uint64_t i = 0; i < count; i++)
        (void)oom_put(session, keyspace, from + i, bytes + i % 7);
}

static void build_small(struct oom_session *session)
{
    oom_begin(session);
    fill(session, NS_MAIN, 0, 150, 40);
    (void)oom_put(session, NS_MAIN, 150, 20000);
    oom_commit(session);
    oom_begin(session);
    ns_keyspace red = oom_keyspace(session, "red"), blue = oom_keyspace(session, "blue");
    fill(session, red, 0, 120, 60);
    fill(session, blue, 0, 3, 9000);
    (void)oom_note(session, 100);
    oom_commit(session);
    oom_begin(session);
    fill(session, NS_MAIN, 200, 20, 700);
    oom_commit(session);
}

static void build_dirty(struct oom_session *session)
{
    build_small(session);
    oom_checkpoint(session);
    for (uint64_t i = 0; i < 6; i++) {
        oom_begin(session);
        fill(session, NS_MAIN, 300 + 10 * i, 12, 90);
        (void)oom_put(session, NS_MAIN, 400 + i, 6000);
        if (i == 2) (void)oom_del_range(session, NS_MAIN, 20, 60);
        if (i == 3) fill(session, oom_keyspace(session, "green"), 0, 50, 50);
        if (i == 4) (void)oom_drop(session, "blue");
        oom_commit(session);
    }
}

static void build_wide(struct oom_session *session)
{
    for (uint64_t i = 0; i < 4; i++) {
        oom_begin(session);
        fill(session, NS_MAIN, i * 1000, 500, 200);
        oom_commit(session);
    }
}

/* More transactions than one checkpoint interval of the open that recovers it. */
static void build_long_log(struct oom_session *session)
{
    for (uint64_t i = 0; i < 6; i++) {
        oom_begin(session);
        fill(session, NS_MAIN, i * 20, 30, 3000);
        oom_commit(session);
    }
}

/* Records of every kind of operation, small and large. */
static void build_records(struct oom_session *session)
{
    build_small(session);
    oom_begin(session);
    (void)oom_del_range(session, NS_MAIN, 20, 60);
    (void)oom_del(session, NS_MAIN, 3);
    (void)oom_put(session, oom_keyspace(session, "green"), 1, 100000);
    oom_commit(session);
    oom_begin(session);
    (void)oom_drop(session, "red");
    (void)oom_note(session, 3000);
    oom_commit(session);
}

/* Crashes and recovers until the log has so many extents: each recovery adds a short one. */
static void crash_often(struct oom_session *session, size_t extents)
{
    while (session->db->log->list.count < extents) {
        for (uint64_t i = 0; i < 2; i++) {
            oom_begin(session);
            (void)oom_put(session, NS_MAIN, i, 100);
            oom_commit(session);
        }
        struct ns__mem *after = copy_of(session->mem);
        oom_close(session);
        ns__mem_free(session->mem);
        session->mem = after;
        oom_options(session);
        oom_open(session);
    }
}

/* The log's map is nearly full. */
static void build_edge(struct oom_session *session)
{
    crash_often(session, NS__LOGMAP_EXTENTS - 1);
}

/* It needs pages of its own. */
static void build_many_extents(struct oom_session *session)
{
    crash_often(session, NS__LOGMAP_EXTENTS + 10);
}

static void options_extents(ns_options *options)
{
    options->checkpoint_bytes = 1u << 20; /* extents of 128 KiB */
}

/* The last record alone is larger than any room that is left: its ranges take away nothing. */
static void build_tail_full(struct oom_session *session)
{
    static char keys[2][1000];
    build_small(session);
    oom_begin(session);
    for (uint64_t i = 0; i < TAIL_RANGES; i++) {
        for (size_t k = 0; k < 2; k++) {
            memset(keys[k], 'x', sizeof keys[0]);
            memcpy(keys[k], oom_key(600000 + 2 * i + k).data, 10);
        }
        ns_slice from = ns_bytes(keys[0], sizeof keys[0]), to = ns_bytes(keys[1], sizeof keys[1]);
        (void)OOM_CALL(session, ns_txn_del_range(session->write, NS_MAIN, from, to), NS_OK);
    }
    (void)oom_put(session, NS_MAIN, 9, 10);
    oom_commit(session);
}

static void build_recycled(struct oom_session *session)
{
    for (uint64_t i = 0; i < 8; i++) {
        oom_begin(session);
        fill(session, NS_MAIN, i * 20, 10, 8000);
        oom_commit(session);
        if (i % 3 == 0) oom_checkpoint(session);
    }
}

static void options_recycled(ns_options *options)
{
    options->history = NS_HISTORY_NONE;
    options->checkpoint_bytes = 200000;
}

/* ---- damage that a crash may leave ---- */

static uint8_t *content_copy(struct ns__mem *mem, size_t *size_out)
{
    ns_slice content;
    if (ns__mem_file_get(mem, OOM_PATH, &content) != NS_OK) rack_fail("the base has no file");
    uint8_t *copy = malloc(content.size);
    if (copy == NULL) abort();
    memcpy(copy, content.data, content.size);
    *size_out = content.size;
    return copy;
}

static void content_set(struct ns__mem *mem, const uint8_t *bytes, size_t size)
{
    if (ns__mem_file_set(mem, OOM_PATH, ns_bytes(bytes, size)) != NS_OK) {
        rack_fail("the base's file cannot be set");
    }
}

static void damage_page(struct oom_session *session, size_t page)
{
    size_t size;
    uint8_t *bytes = content_copy(session->mem, &size);
    bytes[page * 4096 + 100] ^= 0x40;
    content_set(session->mem, bytes, size);
    free(bytes);
}

/* Metas and log maps take turns: either may be the newest. */
static void damage_one_meta(struct oom_session *session)
{
    damage_page(session, session->variant % 2);
}

static void damage_one_map(struct oom_session *session)
{
    damage_page(session, 2 + session->variant % 2);
}

/* The last record was being written: its last bytes are missing. */
static void tear(struct oom_session *session)
{
    static const char mark[] = "the last bytes of the log";
    size_t size, at;
    uint8_t *bytes = content_copy(session->mem, &size);
    for (at = size - sizeof mark; at > 0; at--) {
        if (memcmp(bytes + at, mark, sizeof mark - 1) == 0) break;
    }
    if (at == 0) rack_fail("the torn record is not found");
    memset(bytes + at, 0, 4);
    content_set(session->mem, bytes, size);
    free(bytes);
}

static struct ref_state *before_tear;

static void build_torn(struct oom_session *session)
{
    build_dirty(session);
    before_tear = ref_state_keep(session->committed);
    oom_begin(session);
    (void)oom_put_slices(session, NS_MAIN, oom_key(8888), ns_str("the last bytes of the log"));
    oom_commit(session);
}

static void damage_torn(struct oom_session *session)
{
    tear(session);
    ref_state_release(session->committed);
    session->committed = ref_state_keep(before_tear);
}

/* The file of a creation that a crash cut short. */
static void damage_unfinished(struct oom_session *session)
{
    size_t size;
    uint8_t *bytes = content_copy(session->mem, &size);
    memset(bytes, 0, 8192);
    content_set(session->mem, bytes, size);
    free(bytes);
}

static void build_nothing(struct oom_session *session)
{
    (void)session;
}

/* No room for a copy of the log's tail. */
static void damage_full(struct oom_session *session)
{
    ns_slice content;
    if (ns__mem_file_get(session->mem, OOM_PATH, &content) != NS_OK) rack_fail("no file");
    ns__mem_set_capacity(session->mem, content.size);
}

struct oom_base oom_small = {.name = "small", .build = build_small};
struct oom_base oom_dirty = {.name = "dirty", .build = build_dirty, .is_open = true};
struct oom_base oom_torn = {
    .name = "torn", .build = build_torn, .is_open = true, .damage = damage_torn};
struct oom_base oom_wide = {.name = "wide", .build = build_wide};
struct oom_base oom_one_meta = {
    .name = "one_meta", .build = build_dirty, .is_open = true, .damage = damage_one_meta};
struct oom_base oom_one_map = {
    .name = "one_map", .build = build_dirty, .is_open = true, .damage = damage_one_map};
struct oom_base oom_records = {.name = "records", .build = build_records};
struct oom_base oom_unfinished = {
    .name = "unfinished", .build = build_nothing, .damage = damage_unfinished};
struct oom_base oom_long_log = {.name = "long_log", .build = build_long_log, .is_open = true};
struct oom_base oom_many_extents = {
    .name = "many_extents", .build = build_many_extents, .configure = options_extents};
struct oom_base oom_edge = {.name = "edge", .build = build_edge, .configure = options_extents};
struct oom_base oom_recycled = {
    .name = "recycled", .build = build_recycled, .configure = options_recycled};
struct oom_base oom_tail_full = {
    .name = "tail_full", .build = build_tail_full, .is_open = true, .damage = damage_full};

static struct oom_base *const bases[] = {
    &oom_small,   &oom_dirty,    &oom_torn,       &oom_wide,     &oom_one_meta,
    &oom_one_map, &oom_records,  &oom_unfinished, &oom_long_log, &oom_many_extents,
    &oom_edge,    &oom_recycled, &oom_tail_full,
};

/* ---- building and copying ---- */

static void build(struct oom_base *base)
{
    struct oom_scenario scenario = {.name = base->name, .base = base};
    struct oom_session session = {.scenario = &scenario};
    session.mem = empty_world();
    session.committed = ref_state_new();
    oom_options(&session);
    oom_open(&session);
    base->build(&session);
    if (base->is_open) base->mem = copy_of(session.mem);
    oom_close(&session);
    if (!base->is_open) base->mem = copy_of(session.mem);
    base->content = session.committed;
    ns__mem_free(session.mem);
}

void oom_start(struct oom_session *session)
{
    struct oom_base *base = session->scenario->base;
    if (base == NULL) {
        session->mem = empty_world();
        session->committed = ref_state_new();
        return;
    }
    if (base->mem == NULL) build(base);
    session->mem = copy_of(base->mem);
    session->committed = ref_state_keep(base->content);
    if (base->damage != NULL) base->damage(session);
}

void oom_bases_free(void)
{
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        ns__mem_free(bases[i]->mem);
        ref_state_release(bases[i]->content);
        bases[i]->mem = NULL;
        bases[i]->content = NULL;
    }
    ref_state_release(before_tear);
    before_tear = NULL;
}

/* ---- records ---- */

static struct {
    struct oom_base *base;
    size_t count;
    ns_slice records[RECORDS_MAX];
} stream;

static void read_records(struct oom_base *base)
{
    struct oom_scenario scenario = {.name = "records", .base = base};
    struct oom_session session = {.scenario = &scenario};
    oom_start(&session);
    oom_options(&session);
    oom_open(&session);
    (void)OOM_CALL(&session, ns_log_open(session.db, 0, &session.log), NS_OK);
    struct ns_commit commit;
    ns_status status;
    while ((status = ns_log_next(session.log, &commit)) == NS_OK) {
        uint8_t *copy = malloc(commit.bytes.size);
        if (copy == NULL || stream.count == RECORDS_MAX) abort();
        memcpy(copy, commit.bytes.data, commit.bytes.size);
        stream.records[stream.count++] = ns_bytes(copy, commit.bytes.size);
    }
    if (status != NS_NOTFOUND) rack_fail("the log ends with %s", ns_status_name(status));
    ns_log_close(session.log);
    oom_close(&session);
    ref_state_release(session.committed);
    ns__mem_free(session.mem);
    stream.base = base;
}

size_t oom_record_count(struct oom_base *base)
{
    if (stream.base == NULL) read_records(base);
    if (stream.base != base) rack_fail("records of one base only");
    return stream.count;
}

ns_slice oom_record(struct oom_base *base, size_t index)
{
    return index < oom_record_count(base) ? stream.records[index] : ns_bytes(NULL, 0);
}
