/* workload.c: see workload.h.
 *
 * There are two keyspaces, NS_MAIN and one named "side", with the same number of possible keys each
 * (slots). The key of a slot is its number, big-endian, and a tail of a length that depends on the
 * number, so that slot order is key order and no two lengths need be equal. The value that an
 * operation writes is a stream drawn from that operation's seed; if it has 8 bytes or more, the
 * first 8 are that seed, so that a reader can check a value that it knows nothing about.
 *
 * Operations do not depend on what is in the database: the generator `for_each_op` hands out the
 * same operations to the library and to the model. Any operation on "side" creates it first. The
 * last operation of a transaction is a put with a value that no other put has, so a transaction
 * always changes something and always takes an id. */
#include "common/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"

#define KEY_BYTES_MAX 1024u
#define SIDE "side"
#define KIB UINT64_C(1024)

/* clang-format off */
const struct shape workload_shapes[] = {
    {.name = "single", .checkpoint_bytes = 128 * KIB, .ops_min = 1, .ops_max = 1, .slots = 2000,
     .key_bytes_max = 24, .value_bytes_max = 200, .delete_percent = 10, .close_permille = 20},
    {.name = "batch", .checkpoint_bytes = 256 * KIB, .ops_min = 1000, .ops_max = 1000,
     .slots = 3000, .key_bytes_max = 40, .value_bytes_max = 100, .delete_percent = 10,
     .checkpoint_permille = 50, .close_permille = 20},
    {.name = "off", .sync = NS_SYNC_OFF, .checkpoint_bytes = 512 * KIB, .ops_min = 1, .ops_max = 8,
     .slots = 2000, .key_bytes_max = 24, .value_bytes_max = 150, .delete_percent = 20,
     .range_percent = 2, .checkpoint_permille = 3, .close_permille = 1},
    {.name = "off_tiny", .flags = NS_NO_THREADS, .sync = NS_SYNC_OFF, .history = NS_HISTORY_NONE,
     .checkpoint_bytes = 16 * KIB, .ops_min = 1, .ops_max = 20, .slots = 1000, .key_bytes_max = 24,
     .value_bytes_max = 300, .delete_percent = 20, .range_percent = 2, .drop_permille = 2,
     .close_permille = 1},
    {.name = "no_threads", .flags = NS_NO_THREADS, .checkpoint_bytes = 32 * KIB, .ops_min = 1,
     .ops_max = 10, .slots = 2000, .key_bytes_max = 100, .value_bytes_max = 300,
     .delete_percent = 20, .range_percent = 2, .checkpoint_permille = 30, .close_permille = 20},
    {.name = "readers", .checkpoint_bytes = 64 * KIB, .ops_min = 1, .ops_max = 30, .slots = 1500,
     .key_bytes_max = 30, .value_bytes_max = 300, .delete_percent = 20, .range_percent = 1,
     .readers = 2, .close_permille = 20},
    {.name = "large", .checkpoint_bytes = 1024 * KIB, .ops_min = 1, .ops_max = 3, .slots = 30,
     .key_bytes_max = 24, .value_bytes_max = 200000, .delete_percent = 20, .range_percent = 5,
     .checkpoint_permille = 20, .close_permille = 10},
    {.name = "ranges", .checkpoint_bytes = 64 * KIB, .ops_min = 5, .ops_max = 200, .slots = 3000,
     .key_bytes_max = 60, .value_bytes_max = 120, .delete_percent = 10, .range_percent = 10,
     .drop_permille = 3, .checkpoint_permille = 30, .close_permille = 20},
    {.name = "spill", .history = NS_HISTORY_NONE, .checkpoint_bytes = 512 * KIB,
     .frame_bytes = 256 * KIB, .ops_min = 100, .ops_max = 900, .slots = 4000, .key_bytes_max = 300,
     .value_bytes_max = 200, .delete_percent = 10, .range_percent = 1, .close_permille = 10},
    {.name = "recycle", .history = NS_HISTORY_NONE, .checkpoint_bytes = 8 * KIB, .ops_min = 1,
     .ops_max = 30, .slots = 800, .key_bytes_max = 30, .value_bytes_max = 400,
     .delete_percent = 20, .has_checkpointer = true, .close_permille = 10},
    {.name = "padded", .flags = NS_LOG_PADDED, .checkpoint_bytes = 256 * KIB, .ops_min = 1,
     .ops_max = 6, .slots = 1000, .key_bytes_max = 24, .value_bytes_max = 200,
     .delete_percent = 10, .range_percent = 1, .checkpoint_permille = 30, .close_permille = 20},
    {.name = "wide_pages", .page_size = 65536, .checkpoint_bytes = 1024 * KIB, .ops_min = 1,
     .ops_max = 40, .slots = 3000, .key_bytes_max = 60, .value_bytes_max = 500,
     .delete_percent = 10, .range_percent = 1, .has_checkpointer = true, .close_permille = 20},
    {.name = "deep", .flags = NS_NO_THREADS, .checkpoint_bytes = 256 * KIB,
     .frame_bytes = 512 * KIB, .ops_min = 1, .ops_max = 60, .slots = 1500, .key_bytes_max = 1000,
     .value_bytes_max = 40, .delete_percent = 20, .range_percent = 1, .drop_permille = 1,
     .close_permille = 20},
};
/* clang-format on */
const size_t workload_shape_count = sizeof workload_shapes / sizeof workload_shapes[0];

const struct shape *workload_shape(const char *name)
{
    for (size_t i = 0; i < workload_shape_count; i++) {
        if (strcmp(workload_shapes[i].name, name) == 0) return &workload_shapes[i];
    }
    return NULL;
}

void workload_options(const struct shape *shape, ns_options *options_out)
{
    *options_out = (ns_options){.flags = shape->flags,
                                .page_size = shape->page_size,
                                .sync = shape->sync,
                                .history = shape->history,
                                .checkpoint_bytes = shape->checkpoint_bytes,
                                .frame_bytes = shape->frame_bytes};
}

/* ---- keys and values ---- */

static ns_slice make_key(const struct shape *shape, uint32_t slot, uint8_t bytes[KEY_BYTES_MAX])
{
    uint32_t size = 4 + slot * 7 % (shape->key_bytes_max - 3);
    for (uint32_t i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(slot >> (24 - 8 * i));
    memset(bytes + 4, 'k', size - 4);
    return ns_bytes(bytes, size);
}

static void make_value(uint64_t seed, uint8_t *bytes, uint32_t size)
{
    struct ns__prng stream = {seed};
    uint64_t word = seed;
    for (uint32_t at = 0; at < size; at += 8) {
        memcpy(bytes + at, &word, size - at < 8 ? size - at : 8);
        word = ns__prng_next(&stream);
    }
}

/* Compares without making the whole value. */
static bool is_value(ns_slice value, uint64_t seed)
{
    struct ns__prng stream = {seed};
    uint64_t word = seed;
    for (size_t at = 0; at < value.size; at += 8) {
        size_t part = value.size - at < 8 ? value.size - at : 8;
        if (memcmp((const uint8_t *)value.data + at, &word, part) != 0) return false;
        word = ns__prng_next(&stream);
    }
    return true;
}

bool workload_value_is_whole(ns_slice value)
{
    uint64_t seed;
    if (value.size < sizeof seed) return true;
    memcpy(&seed, value.data, sizeof seed);
    return is_value(value, seed);
}

/* ---- operations ---- */

enum op_kind { OP_PUT, OP_DELETE, OP_RANGE, OP_DROP };

struct op {
    enum op_kind kind;
    bool is_side;
    uint32_t slot, slot_end; /* a range: [slot, slot_end); all: the open ends 0 and slots */
    uint64_t seed;           /* of the value */
    uint32_t size;
};

typedef ns_status (*op_fn)(void *ctx, const struct op *op);

static enum op_kind choose_kind(const struct shape *shape, struct ns__prng *prng)
{
    if (ns__prng_below(prng, 1000) < shape->drop_permille) return OP_DROP;
    uint64_t percent = ns__prng_below(prng, 100);
    if (percent < shape->delete_percent) return OP_DELETE;
    return percent < shape->delete_percent + shape->range_percent ? OP_RANGE : OP_PUT;
}

/* Mostly short, now and then up to the shape's longest. */
static uint32_t choose_size(const struct shape *shape, struct ns__prng *prng)
{
    uint32_t longest = shape->value_bytes_max;
    uint64_t which = ns__prng_below(prng, 4);
    if (which == 0) return (uint32_t)ns__prng_below(prng, 20);
    if (which == 1) return (uint32_t)ns__prng_below(prng, longest + 1);
    return (uint32_t)ns__prng_below(prng, longest / 8 + 2);
}

static void make_op(const struct shape *shape, struct ns__prng *prng, bool is_last, struct op *op)
{
    uint32_t slots = shape->slots;
    op->kind = is_last ? OP_PUT : choose_kind(shape, prng);
    op->is_side = op->kind == OP_DROP || ns__prng_below(prng, 4) == 0;
    op->slot = (uint32_t)ns__prng_below(prng, slots);
    op->slot_end = op->slot + 1 + (uint32_t)ns__prng_below(prng, slots / 10 + 1);
    op->seed = ns__prng_next(prng);
    op->size = choose_size(shape, prng);
    if (is_last && op->size < 8) op->size = 8;
    if (op->slot_end > slots || ns__prng_below(prng, 100) == 0) op->slot_end = slots;
    if (op->kind == OP_RANGE && ns__prng_below(prng, 50) == 0) op->slot = 0;
}

static ns_status for_each_op(const struct shape *shape, uint64_t seed, op_fn each, void *ctx)
{
    struct ns__prng prng = {seed};
    uint64_t count = shape->ops_min + ns__prng_below(&prng, shape->ops_max - shape->ops_min + 1);
    for (uint64_t i = 0; i < count; i++) {
        struct op op;
        make_op(shape, &prng, i + 1 == count, &op);
        ns_status status = each(ctx, &op);
        if (status != NS_OK) return status;
    }
    return NS_OK;
}

/* ---- for the library ---- */

struct target {
    ns_txn *txn;
    const struct shape *shape;
    uint8_t *value; /* shape->value_bytes_max bytes, and a word */
};

static ns_status apply_range(const struct target *target, ns_keyspace keyspace, const struct op *op)
{
    uint8_t from_bytes[KEY_BYTES_MAX], to_bytes[KEY_BYTES_MAX];
    ns_slice from = {NULL, 0}, to = {NULL, 0};
    if (op->slot != 0) from = make_key(target->shape, op->slot, from_bytes);
    if (op->slot_end != target->shape->slots) {
        to = make_key(target->shape, op->slot_end, to_bytes);
    }
    return ns_txn_del_range(target->txn, keyspace, from, to);
}

static ns_status apply_to_library(void *ctx, const struct op *op)
{
    struct target *target = ctx;
    uint8_t key_bytes[KEY_BYTES_MAX];
    ns_slice key = make_key(target->shape, op->slot, key_bytes);
    ns_keyspace keyspace = NS_MAIN;
    ns_status status = NS_OK;
    if (op->kind == OP_DROP) {
        status = ns_txn_keyspace_drop(target->txn, SIDE);
        return status == NS_NOTFOUND ? NS_OK : status;
    }
    if (op->is_side) status = ns_txn_keyspace(target->txn, SIDE, &keyspace);
    if (status != NS_OK) return status;
    if (op->kind == OP_RANGE) return apply_range(target, keyspace, op);
    if (op->kind == OP_DELETE) {
        status = ns_txn_del(target->txn, keyspace, key);
        return status == NS_NOTFOUND ? NS_OK : status;
    }
    make_value(op->seed, target->value, op->size);
    return ns_txn_put(target->txn, keyspace, key, ns_bytes(target->value, op->size));
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL) {
        fprintf(stderr, "workload: out of memory\n");
        abort();
    }
    return memory;
}

ns_status workload_apply(ns_txn *txn, const struct shape *shape, uint64_t seed)
{
    struct target target = {txn, shape, allocate(1, (size_t)shape->value_bytes_max + 8)};
    ns_status status = for_each_op(shape, seed, apply_to_library, &target);
    free(target.value);
    return status;
}

/* ---- for the model ---- */

struct slot {
    uint64_t seed;
    uint32_t size;
    bool is_there;
};

struct model {
    const struct shape *shape;
    bool has_side;
    struct slot slots[]; /* NS_MAIN's, then those of "side" */
};

static size_t model_bytes(const struct shape *shape)
{
    return sizeof(struct model) + 2 * (size_t)shape->slots * sizeof(struct slot);
}

struct model *model_new(const struct shape *shape)
{
    struct model *model = allocate(1, model_bytes(shape));
    model->shape = shape;
    return model;
}

void model_free(struct model *model)
{
    free(model);
}

void model_copy(struct model *to, const struct model *from)
{
    memcpy(to, from, model_bytes(from->shape));
}

static ns_status apply_to_model(void *ctx, const struct op *op)
{
    struct model *model = ctx;
    struct slot *slots = model->slots + (op->is_side ? model->shape->slots : 0);
    uint32_t end = op->slot + 1;
    if (op->is_side) model->has_side = op->kind != OP_DROP;
    if (op->kind == OP_PUT) {
        slots[op->slot] = (struct slot){op->seed, op->size, true};
        return NS_OK;
    }
    if (op->kind == OP_RANGE) end = op->slot_end;
    if (op->kind == OP_DROP) end = model->shape->slots;
    for (uint32_t i = op->kind == OP_DROP ? 0 : op->slot; i < end; i++)
        slots[i].is_there = false;
    return NS_OK;
}

void model_apply(struct model *model, uint64_t seed)
{
    (void)for_each_op(model->shape, seed, apply_to_model, model);
}

/* ---- comparing ---- */

static bool check_entry(const struct model *model, const struct slot *slot, uint32_t index,
                        ns_cursor *cursor, char *text)
{
    uint8_t bytes[KEY_BYTES_MAX];
    ns_slice wanted = make_key(model->shape, index, bytes), key, value;
    ns_status status = ns_cursor_next(cursor);
    if (status == NS_OK) status = ns_cursor_get(cursor, &key, &value);
    if (status != NS_OK) {
        snprintf(text, WORKLOAD_TEXT_BYTES, "slot %u: the cursor says %s", index,
                 ns_status_name(status));
        return false;
    }
    if (key.size != wanted.size || memcmp(key.data, wanted.data, key.size) != 0) {
        snprintf(text, WORKLOAD_TEXT_BYTES, "slot %u: another key of %zu bytes stands there", index,
                 key.size);
        return false;
    }
    if (value.size == slot->size && is_value(value, slot->seed)) return true;
    snprintf(text, WORKLOAD_TEXT_BYTES, "slot %u: %zu bytes, %s; expected %u bytes", index,
             value.size,
             workload_value_is_whole(value) ? "of another transaction" : "of no one's writing",
             slot->size);
    return false;
}

static bool check_keyspace(const struct model *model, ns_txn *txn, bool is_side,
                           ns_keyspace keyspace, char *text)
{
    const struct slot *slots = model->slots + (is_side ? model->shape->slots : 0);
    ns_cursor *cursor;
    if (ns_cursor_open(txn, keyspace, &cursor) != NS_OK) {
        snprintf(text, WORKLOAD_TEXT_BYTES, "no cursor");
        return false;
    }
    bool is_same = true;
    for (uint32_t i = 0; i < model->shape->slots && is_same; i++) {
        if (slots[i].is_there) is_same = check_entry(model, &slots[i], i, cursor, text);
    }
    if (is_same && ns_cursor_next(cursor) != NS_NOTFOUND) {
        snprintf(text, WORKLOAD_TEXT_BYTES, "keyspace %u: entries behind the last one", keyspace);
        is_same = false;
    }
    ns_cursor_close(cursor);
    return is_same;
}

struct names {
    uint32_t count;
    ns_keyspace side;
    bool has_side;
};

static int note_name(void *ctx, const char *name, ns_keyspace keyspace)
{
    struct names *names = ctx;
    names->count++;
    if (strcmp(name, SIDE) == 0) {
        names->has_side = true;
        names->side = keyspace;
    }
    return 0;
}

bool model_check(const struct model *model, ns_txn *txn, char text[WORKLOAD_TEXT_BYTES])
{
    struct names names = {0};
    ns_status status = ns_txn_keyspace_list(txn, note_name, &names);
    if (status != NS_OK || names.has_side != model->has_side ||
        names.count != (model->has_side ? 1u : 0u)) {
        snprintf(text, WORKLOAD_TEXT_BYTES, "%u named keyspaces (%s), expected %d", names.count,
                 ns_status_name(status), model->has_side);
        return false;
    }
    if (!check_keyspace(model, txn, false, NS_MAIN, text)) return false;
    return !model->has_side || check_keyspace(model, txn, true, names.side, text);
}
