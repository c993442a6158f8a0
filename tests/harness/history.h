/* harness/history.h: a history is a configuration and a list of steps with explicit parameters. It
 * can be made from a seed, written as text, read back, cut into pieces and run again
 * (harness/driver.h). A step that makes no sense where it stands does nothing, so every part of a
 * history is a history. */
#ifndef NS_TESTS_HARNESS_HISTORY_H
#define NS_TESTS_HARNESS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/prng.h"

#define HISTORY_PARAMS 8u

/* name, then the names of its parameters.
 * who      0: the write transaction; 1..: reader who - 1
 * ks       0: keyspace 0; 1..: a name from the driver's table
 * shape, index, size: a key (history_key)
 * value, bytes: a value (history_value)
 * open     1: no lower bound, 2: no upper bound */
#define HISTORY_STEPS(X)                                                                           \
    X(begin_write, "")                                                                             \
    X(commit, "")                                                                                  \
    X(abort_write, "")                                                                             \
    X(note, "value bytes")                                                                         \
    X(put, "ks shape index size value bytes")                                                      \
    X(insert, "ks shape index size value bytes")                                                   \
    X(del, "ks shape index size")                                                                  \
    X(del_range, "ks shape from to size open")                                                     \
    X(fill, "ks shape index count stride size value bytes")                                        \
    X(drain, "ks shape index count stride size")                                                   \
    X(copy_value, "ks shape index size to")                                                        \
    X(get, "who ks shape index size")                                                              \
    X(get_version, "who ks shape index size")                                                      \
    X(get_many, "who ks shape index count stride size")                                            \
    X(keyspace, "who ks")                                                                          \
    X(keyspace_drop, "ks")                                                                         \
    X(keyspace_list, "who")                                                                        \
    X(state_hash, "who")                                                                           \
    X(scan, "who backward")                                                                        \
    X(reader_open, "reader")                                                                       \
    X(reader_close, "reader commit")                                                               \
    X(reader_reset, "reader")                                                                      \
    X(reader_renew, "reader")                                                                      \
    X(cursor_open, "cursor who ks")                                                                \
    X(cursor_close, "cursor")                                                                      \
    X(cursor_first, "cursor")                                                                      \
    X(cursor_last, "cursor")                                                                       \
    X(cursor_next, "cursor count")                                                                 \
    X(cursor_prev, "cursor count")                                                                 \
    X(cursor_seek, "cursor shape index size")                                                      \
    X(cursor_seek_exact, "cursor shape index size")                                                \
    X(cursor_seek_before, "cursor shape index size")                                               \
    X(cursor_bounds, "cursor shape from to size open")                                             \
    X(cursor_prefix, "cursor shape index size prefix")                                             \
    X(cursor_put, "cursor value bytes")                                                            \
    X(cursor_del, "cursor")                                                                        \
    X(checkpoint, "")                                                                              \
    X(reopen, "sync history checkpoint_kib frame_kib")                                             \
    X(busy_close, "")                                                                              \
    X(second_open, "")                                                                             \
    X(kill, "after")                                                                               \
    X(power_cut, "after atom keep seed again")                                                     \
    X(fault, "nth kinds status for_ever")                                                          \
    X(capacity, "extra_kib")                                                                       \
    X(damage_meta, "offset")                                                                       \
    X(log_read, "after")                                                                           \
    X(log_open, "after")                                                                           \
    X(log_next, "count")                                                                           \
    X(log_close, "")                                                                               \
    X(replay, "page_size")                                                                         \
    X(readers, "")                                                                                 \
    X(stats, "")                                                                                   \
    X(verify, "")

enum history_kind {
#define HISTORY_ENUM(name, params) STEP_##name,
    HISTORY_STEPS(HISTORY_ENUM)
#undef HISTORY_ENUM
        HISTORY_KINDS
};

struct history_step {
    enum history_kind kind;
    uint64_t p[HISTORY_PARAMS];
};

#define HISTORY_CONFIG(X)                                                                          \
    X(page_size)                                                                                   \
    X(sync)                                                                                        \
    X(history)                                                                                     \
    X(history_txns)                                                                                \
    X(history_kib)                                                                                 \
    X(checkpoint_kib)                                                                              \
    X(frame_kib)                                                                                   \
    X(threads)                                                                                     \
    X(padded)                                                                                      \
    X(in_memory)                                                                                   \
    X(world_seed)

struct history_config {
#define HISTORY_FIELD(name) uint64_t name;
    HISTORY_CONFIG(HISTORY_FIELD)
#undef HISTORY_FIELD
};

struct history {
    struct history_config config;
    struct history_step *steps;
    size_t count, capacity;
};

const char *history_kind_name(enum history_kind kind);

void history_init(struct history *history);
void history_deinit(struct history *history);
void history_append(struct history *history, const struct history_step *step);
void history_copy(struct history *to, const struct history *from);

/* About step_count steps, everything drawn from the seed: which kinds of steps and how often, sizes
 * and shapes. */
void history_generate(struct history *history, uint64_t seed, size_t step_count);

/* Text: lines "config name=value ...", then one line a step: "put ks=0 shape=1 ...". '#' starts
 * a comment. */
void history_print(const struct history *history, FILE *out);
/* Returns 0, or the number of the line that cannot be read. */
size_t history_parse(struct history *history, FILE *in);

/* ---- keys and values ---- */

#define HISTORY_KEY_MAX 20000u
#define HISTORY_SHAPES 8u
extern const char *const history_shape_names[HISTORY_SHAPES];

/* Writes the key that these numbers mean, and returns its size (mostly `size`; some shapes choose
 * their own, up to size). size at most HISTORY_KEY_MAX. */
size_t history_key(uint64_t shape, uint64_t index, uint64_t size, uint8_t *out);

/* Fills bytes of a value. */
void history_value(uint64_t value, size_t bytes, uint8_t *out);

#endif /* NS_TESTS_HARNESS_HISTORY_H */
