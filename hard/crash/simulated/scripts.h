/* scripts.h: short histories of a database in a simulated world, with the model's state for every
 * transaction, and what a crash may take back at any moment. */
#ifndef NS_HARD_CRASH_SIMULATED_SCRIPTS_H
#define NS_HARD_CRASH_SIMULATED_SCRIPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness/reference.h"
#include "vfs/mem.h"

#define SCRIPT_OPS_MAX 6u
#define SCRIPT_STATES_MAX 16u

#define OP_KINDS(X)                                                                                \
    X(put)                                                                                         \
    X(overwrite)                                                                                   \
    X(big) /* a value in a run of its own */                                                       \
    X(delete)                                                                                      \
    X(range)  /* a range delete */                                                                 \
    X(mixed)  /* some pages of entries, and a delete */                                            \
    X(create) /* a keyspace */                                                                     \
    X(drop)   /* of that keyspace */                                                               \
    X(checkpoint)                                                                                  \
    X(reopen)                                                                                      \
    X(abort)                                                                                       \
    X(spill)  /* more nodes than there are frames */                                               \
    X(reader) /* opens a snapshot and keeps it, or closes it */                                    \
    X(full)   /* in an NS_SYNC_OFF script: one commit that is durable with all before it */

enum op_kind {
#define OP_ENUM(name) OP_##name,
    OP_KINDS(OP_ENUM)
#undef OP_ENUM
        OP_COUNT
};

enum start_kind {
    START_EMPTY, /* no file; creation is the first thing to happen; default history */
    START_AGED,  /* NS_HISTORY_NONE; one put before the script; then the next checkpoint recycles a
                  * log extent */
    START_EDGE,  /* NS_HISTORY_NONE; two checkpoints of one leaf before the script, so that the next
                  * one finds the lowest free pages where those before the last put theirs; the log
                  * is a few bytes short of its prepared end */
    START_WIDE,  /* NS_HISTORY_NONE; a tree of more nodes than there are frames; a snapshot is open,
                  * older than two checkpoints of one leaf */
    START_COUNT
};

struct script {
    enum start_kind start;
    bool is_off; /* NS_SYNC_OFF */
    size_t count;
    enum op_kind ops[SCRIPT_OPS_MAX];
};

/* What the library did while a script was watched; each must happen in a whole run. */
#define EVENTS(X)                                                                                  \
    X(creation)                                                                                    \
    X(checkpoint)                                                                                  \
    X(automatic_checkpoint)                                                                        \
    X(extent_prepared)                                                                             \
    X(extent_switch)                                                                               \
    X(extent_recycled)                                                                             \
    X(bitmap_rotation)                                                                             \
    X(spill)                                                                                       \
    X(run_written)                                                                                 \
    X(run_dropped)                                                                                 \
    X(keyspace_created)                                                                            \
    X(keyspace_dropped)                                                                            \
    X(range_deleted)                                                                               \
    X(aborted)                                                                                     \
    X(reopened)                                                                                    \
    X(reader_kept)                                                                                 \
    X(off_then_full)                                                                               \
    X(file_growth)                                                                                 \
    X(recovered_unclean)                                                                           \
    X(recovered_unsynced_tail)                                                                     \
    X(recovered_one_meta)                                                                          \
    X(recovered_from_older_meta)                                                                   \
    X(rot_refused)                                                                                 \
    X(recovered_creation)

enum event {
#define EVENT_ENUM(name) EVENT_##name,
    EVENTS(EVENT_ENUM)
#undef EVENT_ENUM
        EVENT_COUNT
};
extern const char *const event_names[EVENT_COUNT];
void event_count(enum event event);
uint64_t event_get(enum event event); /* over all workers */
void events_leave(void);              /* from now on this process counts for itself */

/* Breaks the medium, or the judge, on purpose. */
enum lie {
    LIE_NONE,
    LIE_ACK,    /* what was begun counts as acknowledged */
    LIE_SYNC,   /* no sync does anything */
    LIE_BARRIER /* syncs do nothing, synchronous writes do */
};

struct state {
    struct ref_state *content;
    uint8_t hash[16]; /* FMT-28, of the model */
};

struct run {
    struct ns__mem *mem;
    struct ns_vfs shim; /* mem's table, with a lie in it */
    ns_options with;
    enum lie lie;
    ns_db *db;
    ns_txn *reader;
    uint64_t reader_txn;
    struct state states[SCRIPT_STATES_MAX]; /* [i] is transaction first + i */
    size_t state_count;
    uint64_t first;
    uint64_t acked;   /* no crash takes it back */
    uint64_t started; /* nothing after it may be found */
    bool is_created;  /* the opening of a new file is done */
    bool is_watched;
    bool has_unsynced; /* a commit under NS_SYNC_OFF, and nothing durable since */
    unsigned serial;   /* makes the operations differ */
};

/* Makes the worlds that scripts start from. Once, before the workers are forked. */
void scripts_prepare(uint64_t seed);

void script_name(const struct script *script, char *out, size_t size);
bool script_parse(const char *text, struct script *script_out);
/* The nth of all scripts of that length; how many there are. */
uint64_t scripts_of_length(size_t length);
struct script script_nth(size_t length, uint64_t number);
bool script_makes_sense(const struct script *script); /* false: another one does the same */

void script_start(struct run *run, const struct script *script, enum lie lie);
void script_open(struct run *run);
void script_begin(struct run *run, const struct script *script); /* what its start does first */
void script_step(struct run *run, enum op_kind kind);
void script_end(struct run *run);

/* The model's state for a transaction in [first, first + state_count). */
const struct state *script_state(const struct run *run, uint64_t txn_id);
/* How a database of this run is opened. */
void script_options(const struct run *run, const struct ns_vfs *vfs, ns_options *out);
/* Puts one entry in both. */
void script_put(ns_txn *txn, struct ref_state *state, ns_keyspace id, const char *key, size_t size,
                unsigned seed);

#endif
