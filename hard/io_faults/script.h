/* io_faults/script.h: short histories that are executed with a reference beside them, on any vfs,
 * while calls of that vfs fail.
 *
 * A script is written START/SYNC/op,op,...: START is new or aged (a database with a past), SYNC is
 * full or off. */
#ifndef NS_HARD_IO_FAULTS_SCRIPT_H
#define NS_HARD_IO_FAULTS_SCRIPT_H

#include "harness/reference.h"
#include "io_faults/shim.h"

#define SCRIPT_OPS_MAX 24u
#define SCRIPT_STATES_MAX 64u
#define SCRIPT_TEXT_BYTES 256u

#define SCRIPT_OPS(X)                                                                              \
    X(put) /* one small entry */                                                                   \
    X(overwrite)                                                                                   \
    X(big) /* a value of four pages */                                                             \
    X(delete)                                                                                      \
    X(range) /* delete many */                                                                     \
    X(mixed) /* forty puts and a delete */                                                         \
    X(wide)  /* more pages than there are frames: spills, and a new log extent */                  \
    X(create)                                                                                      \
    X(drop)                                                                                        \
    X(abort)                                                                                       \
    X(checkpoint)                                                                                  \
    X(reopen)                                                                                      \
    X(off) /* reopen with NS_SYNC_OFF */                                                           \
    X(full)                                                                                        \
    X(reader) /* open a read transaction and keep it */                                            \
    X(unread)                                                                                      \
    X(log) /* read the log from its start */                                                       \
    X(stats)                                                                                       \
    X(verify) /* close, verify, open */                                                            \
    X(look)   /* close, open read-only, close, open */

enum script_op {
#define SCRIPT_ENUM(name) OP_##name,
    SCRIPT_OPS(SCRIPT_ENUM)
#undef SCRIPT_ENUM
        OP_COUNT
};

struct script {
    bool is_aged;
    bool is_off;
    size_t count;
    enum script_op ops[SCRIPT_OPS_MAX];
};

bool script_parse(const char *text, struct script *script);
void script_print(const struct script *script, char text[SCRIPT_TEXT_BYTES]);

/* One execution. Every answer of the library is held against what it may be; what may not be ends
 * the rack. */
struct run {
    struct shim *shim;
    const char *path;
    ns_options with;
    ns_db *db; /* NULL: closed, or the last open failed */
    ns_txn *reader;
    uint64_t allowed;  /* mask of the statuses that the fault explains; 0: nothing may fail */
    bool is_poisoned;  /* the open handle said so */
    bool is_closed;    /* the last close said NS_OK */
    bool may_rot;      /* the disk lied: NS_CORRUPT is an answer */
    bool is_old_seen;  /* a restart may find what was durable only */
    bool is_cut_again; /* the power fails at every call of what follows the restart */
    uint64_t failures;
    uint64_t seen; /* mask of the statuses that were answered */
    unsigned serial;

    struct ref_state *states[SCRIPT_STATES_MAX]; /* [i] is transaction first + i */
    size_t state_count;
    uint64_t first;
    uint64_t published; /* what readers of the open handle see */
    uint64_t visible;   /* no restart of the process takes it back */
    uint64_t durable;   /* no power cut does */
    uint64_t safe;      /* what was durable before shim->lost was struck */
    uint64_t started;   /* nothing after it may ever be found */
};

/* state: what the database holds; taken over. The database is not opened yet. */
void run_init(struct run *run, struct shim *shim, const char *path, const struct script *script,
              struct ref_state *state);
void run_deinit(struct run *run); /* the handle must be closed */
struct ref_state *run_state(const struct run *run, uint64_t txn_id);

void run_open(struct run *run);
void run_close(struct run *run);
void run_op(struct run *run, enum script_op op);
void run_script(struct run *run, const struct script *script);
/* Readers see exactly what was published; a poisoned handle refuses to write. */
void run_check(struct run *run);

/* What a reader of db sees: one of the states low..high, and nothing else. Returns its id;
 * UINT64_MAX: NS_CORRUPT, where the run may rot. */
uint64_t run_look(const struct run *run, ns_db *db, uint64_t low, uint64_t high);

#endif /* NS_HARD_IO_FAULTS_SCRIPT_H */
