/* common/ledger.h: the outside ledger of the crash racks, the writer that keeps it, and the judge
 * that compares a database with it.
 *
 * The ledger is memory shared by the processes of one worker: it outlives the writer and no crash
 * touches it. The writer enters an intent (transaction id, seed) before each commit and an
 * acknowledgement after it. Whatever the crash, what the next open recovers must be exactly the
 * first R intents, with acknowledged <= R <= intended. */
#ifndef NS_HARD_COMMON_LEDGER_H
#define NS_HARD_COMMON_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/workload.h"

/* ---- the ledger ---- */

/* What the writer is at. */
enum phase {
    PHASE_START,    /* forked, not in the library yet */
    PHASE_CREATION, /* in the ns_db_open that has not created the database yet */
    PHASE_OPENING,  /* in ns_db_open, after a clean close */
    PHASE_RECOVERY, /* in ns_db_open, after a crash */
    PHASE_FILL,     /* between begin and commit */
    PHASE_COMMIT,   /* in ns_txn_commit */
    PHASE_CHECKPOINT,
    PHASE_CLOSE,
    PHASE_COUNT
};

struct ledger;

/* What it says at one moment. Transactions are named by their ids. */
struct ledger_view {
    uint64_t intended; /* none after it can be found */
    uint64_t acked;    /* commit returned, or an open showed it: no crash of a process loses it */
    uint64_t durable;  /* the same, and no loss of power takes it either */
    bool is_created;   /* an ns_db_open succeeded */
    bool is_clean;     /* closed, and not opened since */
    bool is_checkpointing; /* a thread of its own is in ns_db_checkpoint */
    enum phase phase;
};

/* Made before the writer is forked. lost_figure: the rack's figure of acknowledged transactions
 * that were not found, counted before the rack fails. Ends the process when memory is out. */
struct ledger *ledger_new(size_t lost_figure);
void ledger_reset(struct ledger *ledger); /* for the next database */
struct ledger_view ledger_view(const struct ledger *ledger);

/* ---- the writer ---- */

enum lie {
    LIE_NONE,
    LIE_EARLY,   /* acknowledges before it commits */
    LIE_UNSYNCED /* commits without sync, and says that it was durable */
};

struct writer_settings {
    const char *path;
    const struct shape *shape;
    struct ledger *ledger;
    uint64_t seed;
    uint64_t file_bytes_max; /* the writer closes the database and ends when it is larger */
    enum lie lie;
};

/* Forks a process that opens the database and writes until it is killed, or until the file or the
 * ledger is full. It dies with its parent. */
pid_t writer_start(const struct writer_settings *settings);

/* Waits until it has entered the library, or ended. */
void writer_wait(const struct ledger *ledger, pid_t child);

/* Judges how the writer ended. False: it was done. True: it was killed. A rack fails here if it
 * complained or died of anything else than SIGKILL. */
bool writer_was_killed(const struct ledger *ledger, int wait_status);

/* ---- the judge ---- */

struct judge; /* of one database; keeps what the ledger proves, as a model and as a replica */

struct judged {
    uint64_t txn_id;    /* R */
    uint64_t extra;     /* found, but not acknowledged */
    uint64_t replayed;  /* records of the log that went into the replica */
    uint64_t reopen_us; /* ns_db_open, with recovery */
};

struct judge *judge_new(const struct shape *shape, struct ledger *ledger);
void judge_free(struct judge *judge); /* NULL is fine */

/* Checks the file that nobody has open, as a crash left it:
 *   1. ns_db_verify says NS_OK (a database that was never created may be absent);
 *   2. it opens, at R with floor <= R <= view->intended;
 *   3. names, keys and values are those of the first R intents;
 *   4. the log, replayed from where the last check left off, leads to the same state hash;
 *   5. a further transaction commits, is seen, and the database closes;
 *   6. if `again`: ns_db_verify once more.
 * The floor is view->acked, or view->durable if is_power. `seed` is that of the further
 * transaction; it is entered into the ledger unless is_power, where the file is a copy. Any failure
 * fails the rack. */
void judge_file(struct judge *judge, const char *path, const struct ledger_view *view,
                bool is_power, bool again, uint64_t seed, struct judged *judged_out);

/* The power failed, and the next writer goes on with what the medium holds: what was acknowledged,
 * but not durable, may be gone from now on, and other transactions may take its place. */
void judge_power_failed(struct judge *judge);

#endif /* NS_HARD_COMMON_LEDGER_H */
