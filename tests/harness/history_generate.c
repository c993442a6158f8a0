/* history_generate.c: histories from seeds. Every history draws its own habits first (which steps,
 * how often, which keys, how large), so that rare combinations are common somewhere: a history that
 * does a little of everything reaches nothing. */
#include "harness/history.h"

#include <string.h>

struct habits {
    struct ns__prng prng;
    struct history *history;
    uint32_t weights[HISTORY_KINDS];
    uint32_t weight_sum;
    uint64_t shapes[3];
    uint64_t shape_count;
    uint64_t index_range;
    uint64_t key_mode; /* 0 one size, 1 at the limit, 2 everything */
    uint64_t key_size;
    uint64_t value_mode; /* 0 tiny, 1 small, 2 at the inline limit, 3 pages, 4 all of these */
    uint64_t keyspaces;
    uint64_t txn_steps; /* mean */
    uint64_t fill_max;
    uint64_t cursor; /* of the present burst of cursor steps */
    bool has_huge_values;
    bool in_write;
};

static uint64_t below(struct habits *habits, uint64_t bound)
{
    return ns__prng_below(&habits->prng, bound);
}

static bool one_in(struct habits *habits, uint64_t n)
{
    return below(habits, n) == 0;
}

static uint64_t between(struct habits *habits, uint64_t low, uint64_t high)
{
    return low + below(habits, high - low + 1);
}

#define PICK(habits, ...)                                                                          \
    pick((habits), (const uint64_t[]){__VA_ARGS__},                                                \
         sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static uint64_t pick(struct habits *habits, const uint64_t *from, size_t count)
{
    return from[below(habits, count)];
}

/* ---- habits ---- */

static const struct {
    enum history_kind kind;
    uint32_t weight;
    bool is_vital; /* never switched off */
} base_weights[] = {{STEP_put, 60, true},
                    {STEP_insert, 12, false},
                    {STEP_del, 20, false},
                    {STEP_del_range, 8, false},
                    {STEP_fill, 14, true},
                    {STEP_drain, 6, false},
                    {STEP_copy_value, 5, false},
                    {STEP_note, 3, false},
                    {STEP_abort_write, 3, false},
                    {STEP_get, 20, false},
                    {STEP_get_version, 8, false},
                    {STEP_get_many, 6, false},
                    {STEP_keyspace, 8, false},
                    {STEP_keyspace_drop, 2, false},
                    {STEP_keyspace_list, 2, false},
                    {STEP_state_hash, 3, false},
                    {STEP_scan, 6, true},
                    {STEP_reader_open, 8, false},
                    {STEP_reader_close, 7, false},
                    {STEP_reader_reset, 2, false},
                    {STEP_reader_renew, 2, false},
                    {STEP_cursor_open, 10, false},
                    {STEP_cursor_close, 3, false},
                    {STEP_cursor_first, 3, false},
                    {STEP_cursor_last, 3, false},
                    {STEP_cursor_next, 16, false},
                    {STEP_cursor_prev, 16, false},
                    {STEP_cursor_seek, 8, false},
                    {STEP_cursor_seek_exact, 5, false},
                    {STEP_cursor_seek_before, 6, false},
                    {STEP_cursor_bounds, 5, false},
                    {STEP_cursor_prefix, 3, false},
                    {STEP_cursor_put, 5, false},
                    {STEP_cursor_del, 5, false},
                    {STEP_checkpoint, 5, false},
                    {STEP_reopen, 3, false},
                    {STEP_busy_close, 1, false},
                    {STEP_second_open, 1, false},
                    {STEP_kill, 2, false},
                    {STEP_power_cut, 4, false},
                    {STEP_fault, 1, false},
                    {STEP_capacity, 1, false},
                    {STEP_damage_meta, 1, false},
                    {STEP_log_read, 3, false},
                    {STEP_log_open, 1, false},
                    {STEP_log_next, 3, false},
                    {STEP_log_close, 1, false},
                    {STEP_replay, 1, false},
                    {STEP_readers, 1, false},
                    {STEP_stats, 2, false},
                    {STEP_verify, 1, false},
                    {STEP_commit, 10, true}};

static void draw_weights(struct habits *habits)
{
    static const uint32_t factors[] = {0, 1, 1, 1, 2, 5};
    for (size_t i = 0; i < sizeof base_weights / sizeof base_weights[0]; i++) {
        uint32_t factor = factors[below(habits, sizeof factors / sizeof factors[0])];
        if (factor == 0 && base_weights[i].is_vital) factor = 1;
        habits->weights[base_weights[i].kind] = base_weights[i].weight * factor;
        habits->weight_sum += base_weights[i].weight * factor;
    }
}

static void draw_config(struct habits *habits)
{
    struct history_config *config = &habits->history->config;
    config->page_size = PICK(habits, 4096, 4096, 4096, 4096, 4096, 8192, 16384, 32768, 65536);
    config->sync = PICK(habits, 0, 0, 0, 2);
    config->history = PICK(habits, 3, 3, 3, 2, 2, 1, 1);
    if (config->history == 1) {
        config->history_txns = PICK(habits, 0, 3, 20, 200);
        config->history_kib = PICK(habits, 0, 64, 512);
    }
    config->checkpoint_kib = PICK(habits, 16, 32, 64, 128, 256, 1024);
    config->frame_kib = PICK(habits, 64, 128, 256, 1024, 8192);
    if (config->frame_kib < config->page_size / 1024 * 16) {
        config->frame_kib = config->page_size / 1024 * 16;
    }
    config->threads = one_in(habits, 12);
    config->padded = one_in(habits, 4);
    config->in_memory = one_in(habits, 16);
    config->world_seed = below(habits, 1000000);
}

static void draw_habits(struct habits *habits)
{
    habits->shape_count = between(habits, 1, 3);
    for (size_t i = 0; i < 3; i++)
        habits->shapes[i] = below(habits, HISTORY_SHAPES);
    habits->index_range = PICK(habits, 12, 60, 300, 2000, 2000);
    habits->key_mode = PICK(habits, 0, 0, 0, 1, 2);
    habits->key_size = PICK(habits, 4, 8, 16, 16, 40, 200);
    habits->value_mode = PICK(habits, 0, 1, 1, 2, 3, 4);
    habits->keyspaces = PICK(habits, 1, 1, 2, 4, 8);
    habits->txn_steps = PICK(habits, 1, 3, 8, 25);
    habits->fill_max = PICK(habits, 10, 60, 300, 700);
    habits->has_huge_values = one_in(habits, 8);
    if (habits->key_mode == 1 && habits->fill_max > 100) habits->fill_max = 100;
    if (habits->value_mode >= 2 && habits->fill_max > 40) habits->fill_max = 40;
}

/* ---- parameters ---- */

static uint64_t a_size(struct habits *habits)
{
    uint64_t max = habits->history->config.page_size / 4;
    if (one_in(habits, 300)) return PICK(habits, 0, max + 1);
    if (habits->key_mode == 0) return habits->key_size;
    if (habits->key_mode == 1) return PICK(habits, max - 1, max, max, max / 2);
    return PICK(habits, 1, 2, 4, 5, 8, 16, 64, max / 3, max - 1, max);
}

static void a_key(struct habits *habits, uint64_t p[3])
{
    p[0] = habits->shapes[below(habits, habits->shape_count)];
    p[1] = below(habits, habits->index_range);
    p[2] = a_size(habits);
}

static uint64_t a_value_size(struct habits *habits, uint64_t key_size)
{
    uint64_t page = habits->history->config.page_size;
    uint64_t limit = (page - 40) / 2;
    uint64_t mode = habits->value_mode == 4 ? below(habits, 4) : habits->value_mode;
    if (habits->has_huge_values && one_in(habits, 200)) return between(habits, 1, 1u << 20);
    switch (mode) {
    case 0: return below(habits, 20);
    case 1: return below(habits, 300);
    case 2: {
        uint64_t wanted = limit + 24 - below(habits, 48);
        return wanted > key_size ? wanted - key_size : 0;
    }
    default: return one_in(habits, 3) ? page * between(habits, 1, 4) : below(habits, page * 5);
    }
}

static uint64_t a_keyspace(struct habits *habits)
{
    return below(habits, habits->keyspaces);
}

static uint64_t a_viewer(struct habits *habits)
{
    return habits->in_write && one_in(habits, 2) ? 0 : between(habits, 1, 4);
}

static void set_put(struct habits *habits, uint64_t p[HISTORY_PARAMS])
{
    p[0] = a_keyspace(habits);
    a_key(habits, &p[1]);
    p[4] = below(habits, 1000000);
    p[5] = a_value_size(habits, p[3]);
}

static void set_range(struct habits *habits, uint64_t p[5])
{
    a_key(habits, p); /* shape, from, ... */
    uint64_t size = p[2];
    uint64_t span = one_in(habits, 3) ? habits->index_range : 1 + habits->index_range / 8;
    p[2] = p[1] + below(habits, span);
    p[3] = size;
    p[4] = one_in(habits, 6) ? between(habits, 1, 3) : 0;
}

/* index, count, stride, size */
static void set_series(struct habits *habits, uint64_t p[4], uint64_t count_max)
{
    p[0] = below(habits, habits->index_range);
    p[1] = between(habits, 1, count_max);
    p[2] = PICK(habits, 1, 1, 1, 2, 7);
    p[3] = a_size(habits);
}

static void set_power_cut(struct habits *habits, uint64_t p[HISTORY_PARAMS])
{
    uint64_t reach = PICK(habits, 6, 40, 400);
    p[0] = one_in(habits, 4) ? 0 : between(habits, 1, reach);
    p[1] = PICK(habits, 512, 4096, 1);
    p[2] = below(habits, 6);
    p[3] = below(habits, 1000000);
    p[4] = one_in(habits, 3) ? between(habits, 1, 60) : 0;
}

static void set_fault(struct habits *habits, uint64_t p[HISTORY_PARAMS])
{
    uint64_t reach = PICK(habits, 3, 12, 60);
    p[0] = between(habits, 1, reach);
    p[1] = below(habits, 5); /* an index into the driver's masks */
    p[2] = PICK(habits, 11, 11, 9);
    p[3] = one_in(habits, 3);
}

static void set_changes(struct habits *habits, struct history_step *step)
{
    uint64_t *p = step->p;
    switch ((unsigned)step->kind) {
    case STEP_put:
    case STEP_insert: set_put(habits, p); break;
    case STEP_fill:
        set_put(habits, p);
        p[7] = p[5];
        p[6] = p[4];
        set_series(habits, &p[2], habits->fill_max);
        if (p[7] > 16384) p[3] = 1 + p[3] % 3;
        break;
    case STEP_drain:
        p[0] = a_keyspace(habits);
        p[1] = habits->shapes[below(habits, habits->shape_count)];
        set_series(habits, &p[2], habits->fill_max * 2);
        break;
    case STEP_del:
    case STEP_copy_value:
        p[0] = a_keyspace(habits);
        a_key(habits, &p[1]);
        if (step->kind == STEP_copy_value) p[4] = below(habits, habits->index_range);
        break;
    case STEP_del_range:
        p[0] = a_keyspace(habits);
        set_range(habits, &p[1]);
        break;
    case STEP_note:
        p[0] = below(habits, 1000);
        p[1] = one_in(habits, 10) ? PICK(habits, 65535, 65536) : below(habits, 200);
        break;
    case STEP_keyspace_drop: p[0] = between(habits, 1, 8) % habits->keyspaces; break;
    default: break;
    }
}

static void set_cursor(struct habits *habits, struct history_step *step)
{
    uint64_t *p = step->p;
    p[0] = habits->cursor;
    switch ((unsigned)step->kind) {
    case STEP_cursor_open:
        p[1] = a_viewer(habits);
        p[2] = a_keyspace(habits);
        break;
    case STEP_cursor_next:
    case STEP_cursor_prev: p[1] = PICK(habits, 1, 1, 1, 3, 40); break;
    case STEP_cursor_seek:
    case STEP_cursor_seek_exact:
    case STEP_cursor_seek_before: a_key(habits, &p[1]); break;
    case STEP_cursor_bounds: set_range(habits, &p[1]); break;
    case STEP_cursor_prefix:
        a_key(habits, &p[1]);
        p[4] = below(habits, p[3] + 1);
        break;
    case STEP_cursor_put:
        p[1] = below(habits, 1000000);
        p[2] = a_value_size(habits, 16);
        break;
    default: break;
    }
}

static void set_reads(struct habits *habits, struct history_step *step)
{
    uint64_t *p = step->p;
    p[0] = a_viewer(habits);
    switch ((unsigned)step->kind) {
    case STEP_get:
    case STEP_get_version:
        p[1] = a_keyspace(habits);
        a_key(habits, &p[2]);
        break;
    case STEP_get_many:
        p[1] = a_keyspace(habits);
        p[2] = habits->shapes[below(habits, habits->shape_count)];
        set_series(habits, &p[3], 70);
        break;
    case STEP_keyspace:
        p[1] = between(habits, 1, 8) % habits->keyspaces;
        if (habits->in_write) p[0] = 0;
        break;
    case STEP_scan: p[1] = below(habits, 2); break;
    case STEP_reader_open:
    case STEP_reader_close:
    case STEP_reader_reset:
    case STEP_reader_renew:
        p[0] = below(habits, 4);
        p[1] = below(habits, 2);
        break;
    default: break;
    }
}

static void set_others(struct habits *habits, struct history_step *step)
{
    uint64_t *p = step->p;
    switch ((unsigned)step->kind) {
    case STEP_reopen:
        p[0] = PICK(habits, 0, 2, 9, 9);
        p[1] = PICK(habits, 0, 0, 0, 0, 1, 2, 3);
        p[2] = PICK(habits, 0, 16, 64, 256);
        p[3] = PICK(habits, 0, 0, 2048, 4096);
        break;
    case STEP_kill: p[0] = one_in(habits, 2) ? 0 : between(habits, 1, 60); break;
    case STEP_power_cut: set_power_cut(habits, p); break;
    case STEP_fault: set_fault(habits, p); break;
    case STEP_capacity: p[0] = one_in(habits, 4) ? 0 : 1 + below(habits, 400); break;
    case STEP_damage_meta: p[0] = below(habits, 4096); break;
    case STEP_log_read:
    case STEP_log_open: p[0] = one_in(habits, 2) ? 0 : below(habits, 200); break;
    case STEP_log_next: p[0] = between(habits, 1, 20); break;
    case STEP_replay: p[0] = PICK(habits, 0, 0, 16384, 65536); break;
    default: break;
    }
}

/* ---- the history ---- */

static bool is_change(enum history_kind kind)
{
    return kind == STEP_put || kind == STEP_insert || kind == STEP_del || kind == STEP_del_range ||
           kind == STEP_fill || kind == STEP_drain || kind == STEP_copy_value ||
           kind == STEP_note || kind == STEP_keyspace_drop;
}

static bool is_cursor_step(enum history_kind kind)
{
    return kind >= STEP_cursor_open && kind <= STEP_cursor_del;
}

static void emit(struct habits *habits, enum history_kind kind)
{
    struct history_step step = {kind, {0}};
    if (is_cursor_step(kind)) {
        set_cursor(habits, &step);
    } else if (is_change(kind)) {
        set_changes(habits, &step);
    } else if (kind >= STEP_get && kind <= STEP_reader_renew) {
        set_reads(habits, &step);
    } else {
        set_others(habits, &step);
    }
    history_append(habits->history, &step);
    if (kind == STEP_begin_write) habits->in_write = true;
    if (kind == STEP_commit || kind == STEP_abort_write || kind == STEP_reopen ||
        kind == STEP_kill || kind == STEP_power_cut || kind == STEP_verify ||
        kind == STEP_damage_meta) {
        habits->in_write = false;
    }
}

static enum history_kind draw_kind(struct habits *habits)
{
    uint64_t at = below(habits, habits->weight_sum);
    unsigned kind = 0;
    while (at >= habits->weights[kind])
        at -= habits->weights[kind++];
    return (enum history_kind)kind;
}

/* Cursor steps come in bursts on one cursor: moves follow upon moves, bounds and changes. */
static void emit_cursor_burst(struct habits *habits, enum history_kind kind)
{
    static const enum history_kind moves[] = {
        STEP_cursor_next,        STEP_cursor_next,   STEP_cursor_next,  STEP_cursor_prev,
        STEP_cursor_prev,        STEP_cursor_prev,   STEP_cursor_seek,  STEP_cursor_seek_exact,
        STEP_cursor_seek_before, STEP_cursor_last,   STEP_cursor_first, STEP_cursor_del,
        STEP_cursor_put,         STEP_cursor_bounds, STEP_put};
    habits->cursor = below(habits, 6);
    if (one_in(habits, 3)) emit(habits, STEP_cursor_open);
    emit(habits, kind);
    for (uint64_t more = below(habits, 6); more > 0; more--) {
        emit(habits, moves[below(habits, sizeof moves / sizeof moves[0])]);
    }
}

void history_generate(struct history *history, uint64_t seed, size_t step_count)
{
    struct habits habits;
    memset(&habits, 0, sizeof habits);
    habits.prng.state = seed;
    habits.history = history;
    draw_config(&habits);
    draw_habits(&habits);
    draw_weights(&habits);
    while (history->count < step_count) {
        enum history_kind kind = draw_kind(&habits);
        if (is_change(kind) && !habits.in_write) emit(&habits, STEP_begin_write);
        if (kind == STEP_keyspace && !habits.in_write && one_in(&habits, 2)) {
            emit(&habits, STEP_begin_write);
        }
        if (kind == STEP_checkpoint && habits.in_write && !one_in(&habits, 8)) {
            emit(&habits, STEP_commit);
        }
        if (is_cursor_step(kind)) {
            emit_cursor_burst(&habits, kind);
        } else {
            emit(&habits, kind);
        }
        if (habits.in_write && one_in(&habits, 1 + habits.txn_steps)) emit(&habits, STEP_commit);
    }
}
