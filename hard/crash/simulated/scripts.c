/* scripts.c: see scripts.h. Files are kept small: 4096-byte pages, the smallest extents and the
 * smallest frame budget that the library has. */
#include "scripts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rack.h"
#include "db/db.h"
#include "images.h"
#include "known.h"
#include "log/log_internal.h"

static const char *const op_names[OP_COUNT] = {
#define OP_NAME(name) #name,
    OP_KINDS(OP_NAME)
#undef OP_NAME
};
#define WIDE_ENTRIES 240u /* three or four in a leaf */

static const char *const start_names[START_COUNT] = {"empty", "aged", "edge", "wide"};

/* ---- events ---- */

const char *const event_names[EVENT_COUNT] = {
#define EVENT_NAME(name) #name,
    EVENTS(EVENT_NAME)
#undef EVENT_NAME
};
static uint64_t *events; /* atomic; shared by the workers */

void event_count(enum event event)
{
    (void)ns__atomic_add(&events[event], 1);
}

uint64_t event_get(enum event event)
{
    return ns__atomic_load(&events[event]);
}

void events_leave(void)
{
    static uint64_t own[EVENT_COUNT];
    events = own;
}

/* What can be seen of a handle, to tell what an operation did. */
struct sight {
    uint64_t checkpoints, spills, file_pages, log_start, prepared, log_end, overflow_pages;
    uint8_t places[2]; /* of the first bitmap directory, in the metas */
};

static struct sight see(const struct run *run)
{
    struct ns_db *db = run->db;
    struct sight sight = {0};
    if (db == NULL) return sight;
    ns_db_stats_t stats;
    if (ns_db_stats(db, &stats, sizeof stats) != NS_OK) rack_fail("stats");
    sight.checkpoints = stats.checkpoints;
    sight.spills = stats.spills;
    sight.overflow_pages = stats.overflow_bytes;
    sight.file_pages = stats.file_bytes;
    sight.log_start = ns__log_start(db->log);
    sight.prepared = ns__log_prepared_end(db->log);
    sight.log_end = ns__log_end(db->log);
    sight.places[0] = (uint8_t)db->pager->meta->regions[0].place;
    return sight;
}

static void note_events(struct run *run, enum op_kind kind, const struct sight *old)
{
    if (!run->is_watched || run->db == NULL) return;
    struct sight now = see(run);
    if (kind == OP_reopen) {
        event_count(EVENT_reopened);
        return;
    }
    if (now.checkpoints > old->checkpoints) {
        event_count(kind == OP_checkpoint ? EVENT_checkpoint : EVENT_automatic_checkpoint);
    }
    if (now.places[0] != old->places[0]) event_count(EVENT_bitmap_rotation);
    if (now.spills > old->spills) event_count(EVENT_spill);
    if (now.file_pages > old->file_pages) event_count(EVENT_file_growth);
    if (now.log_start > old->log_start) event_count(EVENT_extent_recycled);
    if (now.prepared > old->prepared) event_count(EVENT_extent_prepared);
    if (now.log_end > old->prepared) event_count(EVENT_extent_switch);
    if (now.overflow_pages > old->overflow_pages) event_count(EVENT_run_written);
    if (now.overflow_pages < old->overflow_pages) event_count(EVENT_run_dropped);
}

/* ---- worlds that lie ---- */

static ns_status lying_sync(void *ctx, struct ns_vfs_file *file)
{
    (void)ctx;
    (void)file;
    return NS_OK;
}

static ns_status lying_write_sync(void *ctx, struct ns_vfs_file *file, uint64_t offset,
                                  const void *data, size_t size)
{
    struct ns__mem *mem = ctx;
    return ns__mem_vfs(mem)->write(mem, file, offset, data, size);
}

static void use_world(struct run *run, struct ns__mem *mem)
{
    run->mem = mem;
    run->shim = *ns__mem_vfs(mem);
    if (run->lie == LIE_SYNC || run->lie == LIE_BARRIER) run->shim.sync = lying_sync;
    if (run->lie == LIE_SYNC) run->shim.write_sync = lying_write_sync;
}

/* ---- states ---- */

const struct state *script_state(const struct run *run, uint64_t txn_id)
{
    return &run->states[txn_id - run->first];
}

static struct ref_state *newest(struct run *run)
{
    return run->states[run->state_count - 1].content;
}

static void add_state(struct run *run, struct ref_state *content)
{
    struct state *state = &run->states[run->state_count++];
    state->content = content;
    ref_state_hash(content, state->hash);
}

static void forget_old_states(struct run *run)
{
    for (size_t i = 0; i + 1 < run->state_count; i++)
        ref_state_release(run->states[i].content);
    run->states[0] = run->states[run->state_count - 1];
    run->state_count = 1;
    run->first = newest(run)->txn_id;
}

void script_options(const struct run *run, const struct ns_vfs *vfs, ns_options *out)
{
    *out = run->with;
    out->vfs = vfs;
    out->sync = NS_SYNC_FULL;
}

static void set_options(ns_options *with, const struct script *script)
{
    memset(with, 0, sizeof *with);
    with->flags = NS_NO_THREADS;
    with->page_size = 4096;
    with->sync = script->is_off ? NS_SYNC_OFF : NS_SYNC_FULL;
    with->history = script->start == START_EMPTY ? NS_HISTORY_DEFAULT : NS_HISTORY_NONE;
    with->checkpoint_bytes = 10 << 10; /* a big value brings a checkpoint with it */
    with->frame_bytes = 1;             /* the least there is */
    with->max_readers = 4;
}

/* ---- operations ---- */

static void expect_ok(ns_status status, const char *what)
{
    if (status != NS_OK) rack_fail("%s: %s", what, ns_status_name(status));
}

void script_put(ns_txn *txn, struct ref_state *state, ns_keyspace id, const char *key, size_t size,
                unsigned seed)
{
    uint8_t value[16384];
    for (size_t i = 0; i < size; i++)
        value[i] = (uint8_t)(seed * 31u + i * 7u);
    expect_ok(ns_txn_put(txn, id, ns_str(key), ns_bytes(value, size)), "put");
    ref_put(state, id, ns_str(key), ns_bytes(value, size));
}

static void put_many(ns_txn *txn, struct ref_state *state, unsigned first, unsigned count,
                     size_t size, unsigned seed)
{
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "%c%05u", "amz"[i % 3], first + i);
        script_put(txn, state, NS_MAIN, key, size, seed + i);
    }
}

static void delete_first(ns_txn *txn, struct ref_state *state)
{
    if (state->trees[0]->count == 0) return;
    uint8_t copy[64];
    ns_slice key = ref_slice(state->trees[0]->entries[0].key);
    memcpy(copy, key.data, key.size);
    key.data = copy;
    expect_ok(ns_txn_del(txn, NS_MAIN, key), "del");
    ref_del(state, NS_MAIN, key);
}

static void create_keyspace(ns_txn *txn, struct ref_state *state, unsigned serial)
{
    ns_keyspace id;
    char key[32];
    expect_ok(ns_txn_keyspace(txn, "side", &id), "keyspace");
    if (ref_state_named(state, "side") == NULL) {
        ref_state_create(state, "side", id);
        event_count(EVENT_keyspace_created);
    }
    snprintf(key, sizeof key, "s%u", serial);
    script_put(txn, state, id, key, 30, serial);
}

static void put_wide(ns_txn *txn, struct ref_state *state, unsigned number, size_t size,
                     unsigned seed)
{
    char key[32];
    snprintf(key, sizeof key, "w%05u", number);
    script_put(txn, state, NS_MAIN, key, size, seed);
}

static void change(struct run *run, ns_txn *txn, struct ref_state *state, enum op_kind kind)
{
    char key[32];
    unsigned serial = ++run->serial;
    switch ((unsigned)kind) {
    case OP_overwrite: script_put(txn, state, NS_MAIN, "a00000", 20 + serial, serial); break;
    case OP_big: script_put(txn, state, NS_MAIN, "big", 3 * 4096 + 100 + serial, serial); break;
    case OP_delete: delete_first(txn, state); break;
    case OP_range:
        expect_ok(ns_txn_del_range(txn, NS_MAIN, ns_str("a0"), ns_str("c")), "del_range");
        if (ref_del_range(state, NS_MAIN, ns_str("a0"), ns_str("c")) > 0) {
            event_count(EVENT_range_deleted);
        }
        break;
    case OP_mixed:
        put_many(txn, state, 40 * (serial % 3), 40, 150, serial);
        delete_first(txn, state);
        break;
    case OP_create: create_keyspace(txn, state, serial); break;
    case OP_drop:
        if (!ref_state_drop(state, "side")) break;
        expect_ok(ns_txn_keyspace_drop(txn, "side"), "keyspace_drop");
        event_count(EVENT_keyspace_dropped);
        break;
    case OP_spill:
        for (unsigned i = 0; i < WIDE_ENTRIES; i += 3)
            put_wide(txn, state, i, 40, serial);
        break;
    default:
        snprintf(key, sizeof key, "k%05u", 5000 + serial);
        script_put(txn, state, NS_MAIN, key, 20, serial);
        break;
    }
}

/* The transaction may be found from now on, and must be when it is acknowledged. */
static void commit(struct run *run, ns_txn *txn, struct ref_state *state, enum op_kind kind)
{
    uint64_t next = newest(run)->txn_id + 1, txn_id = 0;
    bool changes = kind == OP_range || ref_state_has_new(state) ||
                   !ref_state_equal(state, newest(run)); /* a range is a change even if empty */
    bool is_full = run->db->options.sync == NS_SYNC_FULL;
    if (changes) {
        ref_state_commit(state, next);
        add_state(run, state);
        run->started = next;
        if (run->lie == LIE_ACK) run->acked = next;
    }
    expect_ok(ns_txn_commit(txn, &txn_id), "commit");
    if ((txn_id == next) != changes) {
        rack_fail("commit gave the id %llu", (unsigned long long)txn_id);
    }
    if (!changes) {
        ref_state_release(state);
        return;
    }
    if (is_full) run->acked = next;
    run->has_unsynced = !is_full;
}

static void run_transaction(struct run *run, enum op_kind kind)
{
    ns_txn *txn;
    expect_ok(ns_txn_begin(run->db, NS_WRITE, &txn), "begin");
    struct ref_state *state = ref_state_copy(newest(run));
    change(run, txn, state, kind);
    if (kind == OP_abort) {
        ns_txn_abort(txn);
        ref_state_release(state);
        event_count(EVENT_aborted);
        return;
    }
    /* ns_txn_set_sync is not in this version; the handle's own option says the same. */
    ns_sync sync = run->db->options.sync;
    if (kind == OP_full) {
        run->db->options.sync = NS_SYNC_FULL;
        if (run->has_unsynced && run->is_watched) event_count(EVENT_off_then_full);
    }
    commit(run, txn, state, kind);
    run->db->options.sync = sync;
}

static void check_reader(struct run *run)
{
    char text[REF_TEXT_BYTES];
    if (run->reader == NULL) return;
    if (!ref_check(run->reader, script_state(run, run->reader_txn)->content, false, text)) {
        rack_fail("a snapshot that was kept: %s", text);
    }
}

static void close_reader(struct run *run)
{
    check_reader(run);
    ns_txn_abort(run->reader);
    run->reader = NULL;
}

static void toggle_reader(struct run *run)
{
    if (run->reader != NULL) {
        close_reader(run);
        return;
    }
    expect_ok(ns_txn_begin(run->db, NS_READ, &run->reader), "begin a read");
    run->reader_txn = ns_txn_id(run->reader);
    event_count(EVENT_reader_kept);
}

void script_open(struct run *run)
{
    bool is_new = run->state_count == 1 && run->states[0].content->txn_id == 0;
    expect_ok(ns_db_open(IMAGE_PATH, &run->with, &run->db), "open");
    if (is_new && !run->is_created && run->is_watched) event_count(EVENT_creation);
    run->is_created = true;
}

static void close_run(struct run *run)
{
    close_reader(run);
    expect_ok(ns_db_close(run->db), "close");
    run->db = NULL;
    run->acked = newest(run)->txn_id;
    run->has_unsynced = false;
}

void script_step(struct run *run, enum op_kind kind)
{
    struct sight sight = see(run);
    if (kind == OP_reopen) {
        close_run(run);
        script_open(run);
    } else if (kind == OP_checkpoint) {
        expect_ok(ns_db_checkpoint(run->db), "checkpoint");
        run->acked = newest(run)->txn_id;
        run->has_unsynced = false;
    } else if (kind == OP_reader) {
        toggle_reader(run);
    } else {
        run_transaction(run, kind);
    }
    note_events(run, kind, &sight);
}

void script_end(struct run *run)
{
    ns__mem_watch(run->mem, NULL, NULL);
    check_reader(run);
    ns__mem_stop_at(run->mem, 1); /* the handle goes as it is */
    if (run->reader != NULL) ns_txn_abort(run->reader);
    if (run->db != NULL) (void)ns_db_close(run->db);
    for (size_t i = 0; i < run->state_count; i++)
        ref_state_release(run->states[i].content);
    ns__mem_free(run->mem);
}

/* ---- where scripts start ---- */

static struct {
    struct ns__mem *world;
    struct ref_state *state;
} starts[START_COUNT];

void script_start(struct run *run, const struct script *script, enum lie lie)
{
    struct ns__mem *mem;
    memset(run, 0, sizeof *run);
    set_options(&run->with, script);
    run->lie = lie;
    expect_ok(ns__mem_clone(starts[script->start].world, &mem), "clone");
    add_state(run, ref_state_keep(starts[script->start].state));
    run->first = run->acked = run->started = run->states[0].content->txn_id;
    run->is_created = script->start != START_EMPTY;
    run->serial = script->start == START_EMPTY ? 0 : 100;
    use_world(run, mem);
    run->with.vfs = &run->shim;
}

static void live(struct run *run, const enum op_kind *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        script_step(run, ops[i]);
        forget_old_states(run);
    }
}

void script_begin(struct run *run, const struct script *script)
{
    static const enum op_kind busy[] = {OP_overwrite, OP_checkpoint, OP_overwrite, OP_checkpoint,
                                        OP_overwrite};
    if (script->start == START_AGED) script_step(run, OP_put);
    if (script->start == START_WIDE) script_step(run, OP_reader);
    bool is_busy = script->start == START_EDGE || script->start == START_WIDE;
    for (size_t i = 0; is_busy && i < sizeof busy / sizeof busy[0]; i++)
        script_step(run, busy[i]);
}

/* Some hundred entries that have been overwritten, deleted, checkpointed and reopened, until the
 * log has less than `room` bytes to its prepared end. */
static void age(struct run *run, uint64_t room)
{
    static const enum op_kind life[] = {OP_mixed, OP_big,    OP_create,    OP_checkpoint, OP_delete,
                                        OP_big,   OP_reopen, OP_overwrite, OP_checkpoint, OP_range};
    static const enum op_kind one = OP_put;
    while (ns__log_room(run->db->log) > 40000 + room)
        live(run, life, sizeof life / sizeof life[0]);
    while (ns__log_room(run->db->log) > room)
        live(run, &one, 1);
}

static void widen(struct run *run)
{
    ns_txn *txn;
    expect_ok(ns_txn_begin(run->db, NS_WRITE, &txn), "begin");
    struct ref_state *state = ref_state_copy(newest(run));
    for (unsigned i = 0; i < WIDE_ENTRIES; i++)
        put_wide(txn, state, i, 960, i);
    commit(run, txn, state, OP_put);
    forget_old_states(run);
    expect_ok(ns_db_checkpoint(run->db), "checkpoint");
    live(run, (const enum op_kind[]){OP_put, OP_checkpoint, OP_big, OP_checkpoint}, 4);
}

/* Hands the world and the state over. */
static void keep_as(struct run *run, enum start_kind kind)
{
    close_run(run);
    expect_ok(ns__mem_clone(run->mem, &starts[kind].world), "clone");
    starts[kind].state = ref_state_keep(newest(run));
    script_end(run);
}

void scripts_prepare(uint64_t seed)
{
    struct run run;
    struct ns__mem *mem;
    static const enum op_kind beyond[] = {OP_checkpoint, OP_mixed};
    events = known_shared(EVENT_COUNT * sizeof *events);
    expect_ok(ns__mem_new(NS__MEM_DURABILITY | NS__MEM_FAKE_TIME, seed, NULL, &mem),
              "the simulator");
    starts[START_EMPTY].world = mem;
    starts[START_EMPTY].state = ref_state_new();
    for (enum start_kind kind = START_AGED; kind < START_COUNT; kind++) {
        struct script script = {.start = START_EMPTY};
        script_start(&run, &script, LIE_NONE);
        run.with.history = NS_HISTORY_NONE;
        script_open(&run);
        if (kind == START_WIDE)
            widen(&run);
        else
            age(&run, kind == START_EDGE ? 1200 : 400);
        if (kind == START_AGED) live(&run, beyond, sizeof beyond / sizeof beyond[0]);
        keep_as(&run, kind);
    }
}

/* ---- naming and numbering ---- */

void script_name(const struct script *script, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "%s/%s/", start_names[script->start],
                                   script->is_off ? "off" : "full");
    for (size_t i = 0; i < script->count; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? "," : "",
                                 op_names[script->ops[i]]);
    }
}

/* Which of the names stands at the beginning of text, before a delimiter. */
static bool parse_name(const char **text, const char *const *names, unsigned count,
                       unsigned *index_out)
{
    size_t length = strcspn(*text, "/, ");
    for (unsigned i = 0; i < count; i++) {
        if (strlen(names[i]) != length || strncmp(names[i], *text, length) != 0) continue;
        *index_out = i;
        *text += length;
        if (**text == '/' || **text == ',') (*text)++;
        return true;
    }
    return false;
}

bool script_parse(const char *text, struct script *script)
{
    static const char *const syncs[] = {"full", "off"};
    unsigned index;
    memset(script, 0, sizeof *script);
    if (!parse_name(&text, start_names, START_COUNT, &index)) return false;
    script->start = (enum start_kind)index;
    if (!parse_name(&text, syncs, 2, &index)) return false;
    script->is_off = index == 1;
    while (*text != '\0' && *text != ' ') {
        if (script->count == SCRIPT_OPS_MAX) return false;
        if (!parse_name(&text, op_names, OP_COUNT, &index)) return false;
        script->ops[script->count++] = (enum op_kind)index;
    }
    return true;
}

uint64_t scripts_of_length(size_t length)
{
    uint64_t count = 2 * START_COUNT;
    for (size_t i = 0; i < length; i++)
        count *= OP_COUNT;
    return count;
}

struct script script_nth(size_t length, uint64_t number)
{
    struct script script = {.is_off = number % 2 != 0, .count = length};
    script.start = (enum start_kind)(number / 2 % START_COUNT);
    number /= 2 * START_COUNT;
    for (size_t i = 0; i < length; i++, number /= OP_COUNT)
        script.ops[i] = (enum op_kind)(number % OP_COUNT);
    return script;
}

bool script_makes_sense(const struct script *script)
{
    unsigned spills = 0;
    for (size_t i = 0; i < script->count; i++) {
        if (script->ops[i] == OP_full && !script->is_off) return false;
        spills += script->ops[i] == OP_spill;
    }
    return (spills > 0) == (script->start == START_WIDE);
}
