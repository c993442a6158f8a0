/* body.c: a write set as the canonical body of a record (FMT-26, FMT-27).
 *
 * The lists of a write set are in canonical order already and hold nothing that says nothing
 * (see writeset.c), so the body is a walk: drops by id, creates by id, then keyspace by keyspace
 * ranges and points. One walk serves for counting and writing. */
#include "txn/writeset.h"

struct sink {
    uint8_t *out; /* NULL: only count */
    size_t bytes;
    uint64_t ops;
};

static void emit(struct sink *sink, ns_op_kind kind, ns_keyspace keyspace, ns_slice key,
                 ns_slice value)
{
    struct ns_op op = {.kind = kind, .keyspace = keyspace, .key = key, .value = value};
    sink->bytes +=
        sink->out != NULL ? ns__op_encode(&op, sink->out + sink->bytes) : ns__op_size(&op);
    sink->ops++;
}

static const struct ns__skipnode *first_of(const struct ns__skiplist *list)
{
    return list->first[0];
}

static void emit_content(struct sink *sink, const struct ns__writeset_keyspace *entry)
{
    const struct ns__skipnode *node;
    for (node = first_of(&entry->ranges); node != NULL; node = node->next[0]) {
        emit(sink, NS_OP_DEL_RANGE, entry->id, node->point.key, node->point.value);
    }
    for (node = first_of(&entry->points); node != NULL; node = node->next[0]) {
        emit(sink, node->point.is_put ? NS_OP_PUT : NS_OP_DEL, entry->id, node->point.key,
             node->point.value);
    }
}

static void walk(const struct ns__writeset *set, struct sink *sink)
{
    const struct ns__writeset_list *keyspaces = &set->keyspaces;
    ns_slice none = ns_bytes(NULL, 0);
    for (size_t i = 0; i < keyspaces->count; i++) {
        const struct ns__writeset_keyspace *entry = keyspaces->items[i];
        if (entry->is_dropped) emit(sink, NS_OP_KEYSPACE_DROP, entry->id, entry->name, none);
    }
    for (size_t i = 0; i < keyspaces->count; i++) {
        const struct ns__writeset_keyspace *entry = keyspaces->items[i];
        if (entry->is_created) emit(sink, NS_OP_KEYSPACE_CREATE, entry->id, entry->name, none);
    }
    for (size_t i = 0; i < keyspaces->count; i++)
        emit_content(sink, keyspaces->items[i]);
}

void ns__writeset_body_size(const struct ns__writeset *set, size_t *bytes_out,
                            uint64_t *op_count_out)
{
    struct sink sink = {0};
    walk(set, &sink);
    *bytes_out = sink.bytes;
    *op_count_out = sink.ops;
}

void ns__writeset_body_encode(const struct ns__writeset *set, uint8_t *out)
{
    struct sink sink = {.out = out};
    walk(set, &sink);
}
