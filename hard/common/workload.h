/* common/workload.h: what the writers of the crash racks write. A shape says how a database is
 * opened and what its transactions look like; the content of one transaction is a function of its
 * shape and its seed alone, so whoever knows the seeds knows the database. */
#ifndef NS_HARD_COMMON_WORKLOAD_H
#define NS_HARD_COMMON_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <northstar.h>

#define WORKLOAD_TEXT_BYTES 256u

struct shape {
    const char *name;
    /* how it is opened */
    uint32_t flags, page_size;
    ns_sync sync;
    ns_history history;
    uint64_t checkpoint_bytes, frame_bytes;
    /* its transactions: from ops_min to ops_max operations; the last is always a put */
    uint32_t ops_min, ops_max;
    uint32_t slots; /* keys in each of the two keyspaces */
    uint32_t key_bytes_max, value_bytes_max;
    uint32_t delete_percent, range_percent; /* of the operations */
    uint32_t drop_permille;                 /* of the operations: the named keyspace */
    /* beside the writer */
    uint32_t readers; /* threads */
    bool has_checkpointer;
    /* between transactions */
    uint32_t checkpoint_permille, close_permille;
};

/* The shapes, and the one of that name (NULL: none). */
extern const struct shape workload_shapes[];
extern const size_t workload_shape_count;
const struct shape *workload_shape(const char *name);

void workload_options(const struct shape *shape, ns_options *options_out);

/* Makes the changes of the transaction with this seed. Gives what the library gave. */
ns_status workload_apply(ns_txn *txn, const struct shape *shape, uint64_t seed);

/* Does this value carry its own beginning (true of every value of 8 bytes or more)? */
bool workload_value_is_whole(ns_slice value);

/* ---- what must be in the database ---- */

struct model;

/* Empty. Ends the program when memory is out. */
struct model *model_new(const struct shape *shape);
void model_free(struct model *model); /* NULL is fine */
/* The same content; both of one shape. */
void model_copy(struct model *to, const struct model *from);
void model_apply(struct model *model, uint64_t seed);

/* Compares all that txn shows with the model: keyspaces, keys, values. On a difference, or when the
 * library fails, returns false and says in text what it is. */
bool model_check(const struct model *model, ns_txn *txn, char text[WORKLOAD_TEXT_BYTES]);

#endif /* NS_HARD_COMMON_WORKLOAD_H */
