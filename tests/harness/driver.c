/* driver.c: the life of a database under test: opened, written, crashed, recovered, closed.
 *
 * What a crash may leave. `durable` is the newest transaction that no power cut may take back;
 * `newest` the newest that was answered NS_OK; `unknown` one more, if its commit answered
 * NS_UNKNOWN. A power cut leaves a transaction in [durable, unknown or newest]; a kill, or a handle
 * closed after failures, one in [newest, unknown]. A commit with any other answer is certainly not
 * there. Whatever an open shows, no later crash takes back. */
#include "harness/driver_internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *const driver_names[DRIVER_NAMES] = {
    "",
    "a",
    "b",
    "users",
    "users2",
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
    "\x01",
    "z/last one",
};

/* ---- judging ---- */

void driver_fail(struct driver *driver, const char *format, ...)
{
    char what[DRIVER_TEXT_BYTES - 200];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(driver->text, sizeof driver->text, "step %zu (%s): %s", driver->step_index + 1,
             driver->step != NULL ? history_kind_name(driver->step->kind) : "end", what);
    longjmp(driver->failed, 1);
}

void driver_interrupt_if_stopped(struct driver *driver)
{
    if (driver->mem != NULL && ns__mem_stopped(driver->mem)) longjmp(driver->interrupted, 1);
}

void driver_expect(struct driver *driver, ns_status status, ns_status wanted, const char *what)
{
    if (status == wanted) return;
    driver_interrupt_if_stopped(driver);
    driver_fail(driver, "%s: %s, not %s: %s", what, ns_status_name(status), ns_status_name(wanted),
                ns_error_detail());
}

void driver_agree(struct driver *driver, bool agrees, const char *what, const char *text)
{
    if (agrees) return;
    driver_interrupt_if_stopped(driver);
    driver_fail(driver, "%s: %s", what, text);
}

/* ---- what is known ---- */

struct ref_state *driver_newest(struct driver *driver)
{
    return driver->states[driver->state_count - 1];
}

struct ref_state *driver_state(struct driver *driver, uint64_t txn_id)
{
    for (size_t i = 0; i < driver->state_count; i++) {
        if (driver->states[i]->txn_id == txn_id) return driver->states[i];
    }
    return NULL;
}

struct driver_info *driver_info_of(struct driver *driver, uint64_t txn_id)
{
    if (txn_id >= driver->info_capacity) {
        size_t capacity = (size_t)txn_id * 2 + 64;
        driver->infos = realloc(driver->infos, capacity * sizeof *driver->infos);
        if (driver->infos == NULL) abort();
        memset(&driver->infos[driver->info_capacity], 0,
               (capacity - driver->info_capacity) * sizeof *driver->infos);
        driver->info_capacity = capacity;
    }
    return &driver->infos[txn_id];
}

/* Takes over the reference to state. */
static void push_state(struct driver *driver, struct ref_state *state)
{
    if (driver->state_count == driver->state_capacity) {
        driver->state_capacity = driver->state_capacity * 2 + 16;
        driver->states = realloc(driver->states, driver->state_capacity * sizeof *driver->states);
        if (driver->states == NULL) abort();
    }
    driver->states[driver->state_count++] = state;
}

static void set_durable(struct driver *driver, uint64_t txn_id)
{
    size_t drop = 0;
    driver->durable = txn_id;
    while (driver->states[drop]->txn_id < txn_id)
        ref_state_release(driver->states[drop++]);
    driver->state_count -= drop;
    memmove(driver->states, driver->states + drop, driver->state_count * sizeof *driver->states);
}

/* Takes over the reference to state, which was committed under its id. */
static void add_committed(struct driver *driver, struct ref_state *state)
{
    struct driver_info *info = driver_info_of(driver, state->txn_id);
    *info = driver->next_info;
    ref_state_hash(state, info->hash);
    push_state(driver, state);
}

bool driver_view(struct driver *driver, uint64_t who, ns_txn **txn_out,
                 struct ref_state **state_out)
{
    if (who == 0) {
        *txn_out = driver->write;
        *state_out = driver->working;
    } else {
        struct driver_reader *reader = &driver->readers[(who - 1) % DRIVER_READERS];
        *txn_out = reader->txn;
        *state_out = reader->state;
    }
    return *txn_out != NULL;
}

ns_keyspace driver_keyspace(const struct ref_state *state, uint64_t ks)
{
    const char *name = driver_names[ks % DRIVER_NAMES];
    if (name[0] == '\0') return NS_MAIN;
    const struct ref_tree *tree = ref_state_named(state, name);
    return tree != NULL ? tree->id : ref_state_new_id(state, name);
}

uint32_t driver_page_size(const struct driver *driver)
{
    return (uint32_t)driver->history->config.page_size;
}

size_t driver_key_max(const struct driver *driver)
{
    return driver_page_size(driver) / 4;
}

ns_slice driver_key_in(const uint64_t shape_index_size[3], uint8_t *buffer)
{
    size_t size =
        history_key(shape_index_size[0], shape_index_size[1], shape_index_size[2], buffer);
    return ns_bytes(buffer, size);
}

ns_slice driver_key(struct driver *driver, const uint64_t shape_index_size[3])
{
    return driver_key_in(shape_index_size, driver->key_a);
}

ns_slice driver_value_of(struct driver *driver, uint64_t value, uint64_t bytes)
{
    size_t size = bytes > DRIVER_VALUE_MAX ? DRIVER_VALUE_MAX : (size_t)bytes;
    history_value(value, size, driver->value);
    return ns_bytes(driver->value, size);
}

/* ---- ending what is open ---- */

static void close_passing(struct driver *driver)
{
    if (driver->passing_log != NULL) ns_log_close(driver->passing_log);
    if (driver->passing_txn != NULL) ns_txn_abort(driver->passing_txn);
    if (driver->replica != NULL) (void)ns_db_close(driver->replica);
    ref_state_release(driver->passing_state);
    driver->passing_log = NULL;
    driver->passing_txn = NULL;
    driver->replica = NULL;
    driver->passing_state = NULL;
}

static void close_everything(struct driver *driver)
{
    close_passing(driver);
    driver_cursors_close(driver);
    for (size_t i = 0; i < DRIVER_READERS; i++) {
        ns_txn_abort(driver->readers[i].txn);
        ref_state_release(driver->readers[i].state);
        driver->readers[i].txn = NULL;
        driver->readers[i].state = NULL;
    }
    ns_txn_abort(driver->write);
    ref_state_release(driver->working);
    driver->write = NULL;
    driver->working = NULL;
    ns_log_close(driver->log);
    driver->log = NULL;
}

/* ---- opening ---- */

static ns_status open_database(struct driver *driver)
{
    const char *path = driver->history->config.in_memory ? NULL : DRIVER_PATH;
    driver->open_with.vfs = ns__mem_vfs(driver->mem);
    return ns_db_open(path, &driver->open_with, &driver->db);
}

static void check_newest(struct driver *driver)
{
    char text[REF_TEXT_BYTES];
    struct ref_state *newest = driver_newest(driver);
    driver_expect(driver, ns_txn_begin(driver->db, NS_READ, &driver->passing_txn), NS_OK, "begin");
    if (ns_txn_id(driver->passing_txn) != newest->txn_id) {
        driver_fail(driver, "the newest transaction is %llu, not %llu",
                    (unsigned long long)ns_txn_id(driver->passing_txn),
                    (unsigned long long)newest->txn_id);
    }
    driver_agree(driver, ref_check(driver->passing_txn, newest, newest->txn_id % 2, text),
                 "content", text);
    driver_agree(driver, ref_check_hash(driver->passing_txn, newest, text), "content", text);
    driver->figures->checks++;
    close_passing(driver);
}

/* The states after found never were. */
static void forget_after(struct driver *driver, uint64_t found)
{
    if (driver->unknown != NULL && driver->unknown->txn_id == found) {
        add_committed(driver, driver->unknown);
        driver->unknown = NULL;
    }
    ref_state_release(driver->unknown);
    driver->unknown = NULL;
    while (driver_newest(driver)->txn_id > found) {
        memset(driver_info_of(driver, driver_newest(driver)->txn_id), 0, sizeof *driver->infos);
        ref_state_release(driver_newest(driver));
        driver->state_count--;
    }
}

/* After an open: which transaction is it at? It must be in [low, unknown or newest]. */
static void settle(struct driver *driver, uint64_t low)
{
    uint64_t high = driver_newest(driver)->txn_id;
    if (driver->unknown != NULL) high = driver->unknown->txn_id;
    driver_expect(driver, ns_txn_begin(driver->db, NS_READ, &driver->passing_txn), NS_OK, "begin");
    uint64_t found = ns_txn_id(driver->passing_txn);
    close_passing(driver);
    if (found < low || found > high) {
        driver_fail(driver, "recovered transaction %llu, not in %llu..%llu",
                    (unsigned long long)found, (unsigned long long)low, (unsigned long long)high);
    }
    forget_after(driver, found);
    set_durable(driver, found);
    driver->has_fault = false;
    driver->is_poisoned = false;
    check_newest(driver);
}

static bool keep_atom(void *ctx, uint64_t atom)
{
    const struct driver_cut *cut = ctx;
    struct ns__prng prng = {cut->seed * 1000003u + atom};
    uint64_t chance = ns__prng_next(&prng);
    switch (cut->keep) {
    case 0: return false;
    case 1: return true;
    case 2: return chance % 2 == 0;
    case 3: return chance % 8 == 0;
    case 4: return chance % 8 != 0;
    default: return atom < cut->seed % 64; /* a prefix */
    }
}

/* The world after the crash, with the old one gone. */
static void change_worlds(struct driver *driver)
{
    struct ns__mem *after = NULL;
    struct driver_cut *cut = &driver->cut;
    ns_status status =
        cut->is_kill ? ns__mem_clone(driver->mem, &after)
                     : ns__mem_crash(driver->mem, cut->atom, keep_atom, cut, cut->seed, &after);
    if (status != NS_OK) driver_fail(driver, "the simulator failed: %s", ns_status_name(status));
    close_everything(driver);
    if (driver->db != NULL && ns_db_close(driver->db) == NS_BUSY) {
        driver_fail(driver, "close with nothing open gave NS_BUSY: %s", ns_error_detail());
    }
    driver->db = NULL;
    ns__mem_free(driver->mem);
    driver->mem = after;
    ns__mem_set_capacity(after, 0);
    driver->is_limited = false;
}

static void crash(struct driver *driver)
{
    uint64_t low = driver->cut.is_kill ? driver_newest(driver)->txn_id : driver->durable;
    for (uint64_t round = 0;; round++) {
        if (driver->cut.is_kill) driver->figures->kills++;
        if (!driver->cut.is_kill) driver->figures->power_cuts++;
        change_worlds(driver);
        driver->cut.seed += 7;
        if (round < 2) ns__mem_stop_at(driver->mem, driver->cut.again);
        ns_status status = open_database(driver);
        if (status == NS_OK) break;
        if (!ns__mem_stopped(driver->mem)) {
            driver_fail(driver, "open after the crash: %s: %s", ns_status_name(status),
                        ns_error_detail());
        }
    }
    settle(driver, low);
}

/* Closes and opens again, in the same world. Failures are fine while a fault is armed. */
static void reopen(struct driver *driver)
{
    uint64_t low = driver_newest(driver)->txn_id;
    bool may_fail = driver->has_fault || driver->is_limited;
    driver->figures->reopens++;
    close_everything(driver);
    ns_db *db = driver->db;
    driver->db = NULL; /* freed, whatever close says */
    ns_status status = ns_db_close(db);
    if (status == NS_BUSY || (status != NS_OK && !may_fail)) {
        driver_expect(driver, status, NS_OK, "close");
    }
    if (status == NS_OK && driver->unknown == NULL) set_durable(driver, low);
    status = open_database(driver);
    driver_interrupt_if_stopped(driver);
    ns__mem_fail(driver->mem, 0, 0, NS_IO, false);
    ns__mem_set_capacity(driver->mem, 0);
    driver->is_limited = false;
    if (status != NS_OK && may_fail) status = open_database(driver);
    driver_expect(driver, status, NS_OK, "open");
    settle(driver, low);
}

/* ---- transactions ---- */

static void begin_write(struct driver *driver)
{
    if (driver->write != NULL) {
        ns_txn *second;
        ns_status answer = ns_txn_begin(driver->db, NS_WRITE, &second);
        if (answer == NS_POISONED && driver->has_fault) return;
        driver_expect(driver, answer, NS_BUSY, "second begin");
        return;
    }
    ns_status status = ns_txn_begin(driver->db, NS_WRITE, &driver->write);
    if (status == NS_POISONED && driver->has_fault) {
        driver->is_poisoned = true;
        return;
    }
    driver_expect(driver, status, driver->is_poisoned ? NS_POISONED : NS_OK, "begin");
    if (ns_txn_id(driver->write) != driver_newest(driver)->txn_id) {
        driver_fail(driver, "a new write transaction is based on %llu, not %llu",
                    (unsigned long long)ns_txn_id(driver->write),
                    (unsigned long long)driver_newest(driver)->txn_id);
    }
    driver->working = ref_state_copy(driver_newest(driver));
    driver->has_changed = false;
    memset(&driver->next_info, 0, sizeof driver->next_info);
}

/* May a commit or checkpoint answer with this status now? */
static bool is_excused(const struct driver *driver, ns_status status)
{
    if (status == NS_FULL) return driver->is_limited || driver->has_fault;
    if (status == NS_POISONED || status == NS_UNKNOWN || status == NS_IO) return driver->has_fault;
    return false;
}

static void commit_ok(struct driver *driver, uint64_t txn_id)
{
    uint64_t newest = driver_newest(driver)->txn_id;
    bool differs = ref_state_has_new(driver->working) ||
                   !ref_state_equal(driver->working, driver_newest(driver));
    if (txn_id == newest && !differs) {
        ref_state_release(driver->working);
        driver->working = NULL;
        return;
    }
    if (txn_id != newest + 1 || !driver->has_changed) {
        driver_fail(driver, "commit gave id %llu after %llu (%s)", (unsigned long long)txn_id,
                    (unsigned long long)newest, driver->has_changed ? "changed" : "no changes");
    }
    ref_state_commit(driver->working, txn_id);
    add_committed(driver, driver->working);
    driver->working = NULL;
    driver->figures->commits++;
    if (driver->open_with.sync == NS_SYNC_FULL) set_durable(driver, txn_id);
}

static void commit(struct driver *driver)
{
    uint64_t txn_id = UINT64_MAX;
    uint64_t newest = driver_newest(driver)->txn_id;
    if (driver->write == NULL) return;
    driver->next_info.unix_us = ns_txn_time(driver->write);
    if (driver->next_info.unix_us < driver_info_of(driver, newest)->unix_us) {
        driver_fail(driver, "the commit time goes backwards");
    }
    ns_status status = ns_txn_commit(driver->write, &txn_id);
    driver->write = NULL;
    driver_cursors_detach(driver, 0);
    if (status == NS_OK) {
        commit_ok(driver, txn_id);
        return;
    }
    driver->figures->faults++;
    if (status == NS_UNKNOWN) {
        if (txn_id != newest + 1) {
            driver_fail(driver, "NS_UNKNOWN with id %llu", (unsigned long long)txn_id);
        }
        ref_state_commit(driver->working, txn_id);
        driver->unknown = driver->working;
        driver->working = NULL;
        driver->is_poisoned = true;
    }
    ref_state_release(driver->working);
    driver->working = NULL;
    if (status == NS_POISONED) driver->is_poisoned = true;
    if (!is_excused(driver, status)) driver_expect(driver, status, NS_OK, "commit");
    if (status != NS_UNKNOWN && txn_id != 0) {
        driver_fail(driver, "a failed commit gave the id %llu", (unsigned long long)txn_id);
    }
}

static void abort_write(struct driver *driver)
{
    ns_txn_abort(driver->write);
    ref_state_release(driver->working);
    driver->write = NULL;
    driver->working = NULL;
    driver_cursors_detach(driver, 0);
}

static void checkpoint(struct driver *driver)
{
    uint64_t newest = driver_newest(driver)->txn_id;
    ns_status status = ns_db_checkpoint(driver->db);
    if (driver->write != NULL) {
        driver_expect(driver, status, NS_BUSY, "checkpoint inside a write transaction");
        return;
    }
    if (status == NS_OK) {
        if (!driver->history->config.in_memory) set_durable(driver, newest);
        return;
    }
    driver->figures->faults++;
    if (status == NS_POISONED) driver->is_poisoned = true;
    if (!is_excused(driver, status)) driver_expect(driver, status, NS_OK, "checkpoint");
}

/* ---- steps about the whole database ---- */

static void step_reopen(struct driver *driver, const struct history_step *step)
{
    ns_options *with = &driver->open_with;
    if (step->p[0] == NS_SYNC_FULL || step->p[0] == NS_SYNC_OFF) with->sync = (ns_sync)step->p[0];
    if (step->p[1] > 0 && step->p[1] <= 3) with->history = (ns_history)step->p[1];
    if (with->history == NS_HISTORY_NONE) driver->keeps_all = false;
    if (step->p[2] > 0) with->checkpoint_bytes = step->p[2] * 1024;
    if (step->p[3] > 0) with->frame_bytes = step->p[3] * 1024;
    reopen(driver);
}

static void step_power_cut(struct driver *driver, const struct history_step *step)
{
    driver->cut.is_kill = step->kind == STEP_kill;
    driver->cut.atom = (uint32_t)step->p[1];
    driver->cut.keep = step->p[2];
    driver->cut.seed = step->p[3];
    driver->cut.again = step->p[4];
    if (step->p[0] > 0) {
        ns__mem_stop_at(driver->mem, step->p[0]);
    } else {
        ns__mem_stop_at(driver->mem, 0);
        crash(driver);
    }
}

static void step_fault(struct driver *driver, const struct history_step *step)
{
    static const uint64_t masks[] = {
        1u << NS__MEM_WRITE | 1u << NS__MEM_WRITE_SYNC,
        1u << NS__MEM_SYNC,
        1u << NS__MEM_SYNC | 1u << NS__MEM_WRITE_SYNC,
        1u << NS__MEM_ALLOCATE,
        1u << NS__MEM_WRITE | 1u << NS__MEM_WRITE_SYNC | 1u << NS__MEM_SYNC |
            1u << NS__MEM_ALLOCATE,
    };
    uint64_t mask = masks[step->p[1] % (sizeof masks / sizeof masks[0])];
    ns_status status = step->p[2] == NS_FULL ? NS_FULL : NS_IO;
    ns__mem_fail(driver->mem, step->p[0], mask, status, step->p[3] != 0);
    driver->has_fault = true;
}

static void step_capacity(struct driver *driver, const struct history_step *step)
{
    ns_slice content;
    uint64_t capacity = 0;
    if (step->p[0] > 0 && ns__mem_file_get(driver->mem, DRIVER_PATH, &content) == NS_OK) {
        capacity = content.size + (step->p[0] - 1) * 1024;
    }
    ns__mem_set_capacity(driver->mem, capacity);
    driver->is_limited = capacity > 0;
}

/* Destroys the newest meta of the closed file; everything must come back from the older one and the
 * log. */
static void step_damage_meta(struct driver *driver, const struct history_step *step)
{
    ns_slice content;
    uint64_t low = driver_newest(driver)->txn_id;
    if (driver->has_fault || driver->is_limited) return;
    close_everything(driver);
    ns_db *db = driver->db;
    driver->db = NULL;
    driver_expect(driver, ns_db_close(db), NS_OK, "close");
    set_durable(driver, low);
    ns__mem_stop_at(driver->mem, 0);
    if (ns__mem_file_get(driver->mem, DRIVER_PATH, &content) != NS_OK) abort();
    uint8_t *copy = malloc(content.size);
    if (copy == NULL) abort();
    memcpy(copy, content.data, content.size);
    uint32_t page_size = driver_page_size(driver);
    uint64_t first = 0;
    uint64_t second = 0;
    memcpy(&first, copy + 32, 8);
    memcpy(&second, copy + page_size + 32, 8);
    if (first > 0 && second > 0) {
        copy[(second > first ? page_size : 0) + step->p[0] % 4096] ^= 0x40;
        ns_status status = ns__mem_file_set(driver->mem, DRIVER_PATH, ns_bytes(copy, content.size));
        if (status != NS_OK) abort();
    }
    free(copy);
    driver_expect(driver, open_database(driver), NS_OK, "open with one damaged meta");
    settle(driver, low);
}

static void print_finding(void *ctx, const ns_finding *finding)
{
    char *text = ctx;
    if (finding->status == NS_OK || text[0] != '\0') return;
    snprintf(text, REF_TEXT_BYTES, "page %lld: %s", (long long)finding->page, finding->text);
}

static void verify_closed(struct driver *driver)
{
    char text[REF_TEXT_BYTES] = "";
    uint64_t before = ns__mem_image_hash(driver->mem);
    ns_status status = ns_db_verify(DRIVER_PATH, &driver->open_with, print_finding, text);
    driver_interrupt_if_stopped(driver);
    if (status != NS_OK) {
        driver_fail(driver, "verify: %s: %s (%s)", ns_status_name(status), text, ns_error_detail());
    }
    if (ns__mem_image_hash(driver->mem) != before) driver_fail(driver, "verify changed the file");
}

static void step_verify(struct driver *driver)
{
    uint64_t low = driver_newest(driver)->txn_id;
    if (driver->has_fault || driver->is_limited) reopen(driver);
    close_everything(driver);
    ns_db *db = driver->db;
    driver->db = NULL;
    driver_expect(driver, ns_db_close(db), NS_OK, "close");
    low = driver_newest(driver)->txn_id;
    set_durable(driver, low);
    verify_closed(driver);
    driver_expect(driver, open_database(driver), NS_OK, "open");
    settle(driver, low);
}

static bool has_open_handles(const struct driver *driver)
{
    bool has = driver->write != NULL || driver->log != NULL;
    for (size_t i = 0; i < DRIVER_READERS; i++)
        has = has || driver->readers[i].txn != NULL;
    return has;
}

static void step_second_open(struct driver *driver)
{
    ns_db *second = driver->db;
    driver_expect(driver, ns_db_open(DRIVER_PATH, &driver->open_with, &second), NS_BUSY,
                  "second open");
    if (second != NULL) driver_fail(driver, "a failed open left a handle");
}

/* Steps that make no sense without a file. */
static bool needs_file(enum history_kind kind)
{
    return kind == STEP_reopen || kind == STEP_kill || kind == STEP_power_cut ||
           kind == STEP_fault || kind == STEP_capacity || kind == STEP_damage_meta ||
           kind == STEP_second_open || kind == STEP_verify;
}

static void run_step(struct driver *driver, const struct history_step *step)
{
    if (driver->history->config.in_memory && needs_file(step->kind)) return;
    switch ((unsigned)step->kind) {
    case STEP_begin_write: begin_write(driver); break;
    case STEP_commit: commit(driver); break;
    case STEP_abort_write: abort_write(driver); break;
    case STEP_checkpoint: checkpoint(driver); break;
    case STEP_reopen: step_reopen(driver, step); break;
    case STEP_kill:
    case STEP_power_cut: step_power_cut(driver, step); break;
    case STEP_fault: step_fault(driver, step); break;
    case STEP_capacity: step_capacity(driver, step); break;
    case STEP_damage_meta: step_damage_meta(driver, step); break;
    case STEP_verify: step_verify(driver); break;
    case STEP_second_open: step_second_open(driver); break;
    case STEP_busy_close:
        if (has_open_handles(driver)) {
            driver_expect(driver, ns_db_close(driver->db), NS_BUSY, "close with open handles");
        }
        break;
    case STEP_log_read:
    case STEP_log_open:
    case STEP_log_next:
    case STEP_log_close:
    case STEP_replay: driver_step_log(driver, step); break;
    default:
        if (step->kind >= STEP_cursor_open && step->kind <= STEP_cursor_del) {
            driver_step_cursor(driver, step);
        } else {
            driver_step_data(driver, step);
        }
    }
}

/* ---- a whole run ---- */

static void trace(struct driver *driver)
{
    struct history one;
    if (!driver->options->is_traced) return;
    history_init(&one);
    one.config = driver->history->config;
    history_append(&one, driver->step);
    fprintf(stderr, "%zu (at %llu, durable %llu): ", driver->step_index + 1,
            (unsigned long long)driver_newest(driver)->txn_id, (unsigned long long)driver->durable);
    history_print(&one, stderr);
    history_deinit(&one);
}

static void run_steps(struct driver *driver)
{
    volatile size_t next = 0;
    while (next < driver->history->count) {
        driver->step_index = next;
        driver->step = &driver->history->steps[next++];
        trace(driver);
        if (setjmp(driver->interrupted) == 0) run_step(driver, driver->step);
        for (volatile int rounds = 0; ns__mem_stopped(driver->mem) && rounds < 4; rounds++) {
            if (rounds == 3) driver->cut.again = 0;
            if (setjmp(driver->interrupted) == 0) crash(driver);
        }
    }
}

/* Every history ends in a clean close and a check of the whole file. */
static void finish(struct driver *driver)
{
    driver->step = NULL;
    ns__mem_stop_at(driver->mem, 0);
    if (driver->has_fault || driver->is_limited) reopen(driver);
    if (!driver->history->config.in_memory) check_newest(driver);
    close_everything(driver);
    ns_db *db = driver->db;
    driver->db = NULL;
    driver_expect(driver, ns_db_close(db), NS_OK, "the last close");
    if (!driver->history->config.in_memory) verify_closed(driver);
}

static void start(struct driver *driver)
{
    const struct history_config *config = &driver->history->config;
    ns_options *with = &driver->open_with;
    with->flags = (config->threads ? 0 : NS_NO_THREADS) | (config->padded ? NS_LOG_PADDED : 0) |
                  (config->in_memory ? NS_IN_MEMORY : 0);
    with->page_size = (uint32_t)config->page_size;
    with->sync = (ns_sync)config->sync;
    with->history = (ns_history)config->history;
    with->history_txns = config->history_txns;
    with->history_bytes = config->history_kib * 1024;
    with->checkpoint_bytes = config->checkpoint_kib * 1024;
    with->frame_bytes = config->frame_kib * 1024;
    driver->keeps_all = config->history == NS_HISTORY_ALL;
    ns_status status =
        ns__mem_new(NS__MEM_DURABILITY | NS__MEM_FAKE_TIME, config->world_seed, NULL, &driver->mem);
    if (status != NS_OK) driver_fail(driver, "no world: %s", ns_status_name(status));
    push_state(driver, ref_state_new());
    driver_expect(driver, open_database(driver), NS_OK, "the first open");
}

static void free_driver(struct driver *driver)
{
    for (size_t i = 0; i < driver->state_count; i++)
        ref_state_release(driver->states[i]);
    ref_state_release(driver->unknown);
    free(driver->states);
    free(driver->infos);
    free(driver->key_a);
    free(driver->key_b);
    free(driver->value);
    ns__mem_free(driver->mem);
    free(driver);
}

bool driver_run(const struct history *history, const struct driver_options *options,
                struct driver_figures *figures, char text[DRIVER_TEXT_BYTES])
{
    struct driver *driver = calloc(1, sizeof *driver);
    if (driver == NULL) abort();
    driver->history = history;
    driver->options = options;
    driver->figures = figures;
    driver->key_a = malloc(HISTORY_KEY_MAX);
    driver->key_b = malloc(HISTORY_KEY_MAX);
    driver->value = malloc(DRIVER_VALUE_MAX);
    if (driver->key_a == NULL || driver->key_b == NULL || driver->value == NULL) abort();
    if (setjmp(driver->failed) != 0) {
        snprintf(text, DRIVER_TEXT_BYTES, "%s", driver->text);
        return false;
    }
    if (setjmp(driver->interrupted) == 0) {
        start(driver);
        run_steps(driver);
        if (setjmp(driver->interrupted) == 0) finish(driver);
    }
    figures->histories++;
    figures->steps += history->count;
    free_driver(driver);
    return true;
}
