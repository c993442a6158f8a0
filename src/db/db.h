/* db.h: the handle, its transactions and cursors as the db floor sees them. The only floor that
 * knows tree and log.
 *
 * Locks, in the order in which they may be taken: seat, checkpoint, head, (space, log: inside their
 * floors).
 *   seat        one writer at a time, from begin to the end of its commit
 *   checkpoint  one checkpoint at a time
 *   head        making, publishing and dropping changes; the last part of a checkpoint */
#ifndef NS_DB_DB_H
#define NS_DB_DB_H

#include <pthread.h>
#include <time.h>
#include "base/assert.h"
#include "base/marks.h"
#include "base/arena.h"
#include "log/log.h"
#include "pager/pager.h"
#include "txn/apply.h"
#include "txn/snapshot.h"
#include "txn/view.h"
#include "vfs/mem.h"

#define NS__DEFAULT_CHECKPOINT_BYTES (UINT64_C(16) << 20)
#define NS__DEFAULT_FRAME_BYTES (UINT64_C(256) << 20)
#define NS__DEFAULT_BUSY_MS 5000u
#define NS__DEFAULT_READERS 1024u
#define NS__READERS_MAX 65536u
#define NS__POISON_TEXT_BYTES 256

struct ns__seat_waiter;

struct ns__seat {
    pthread_mutex_t lock;
    struct ns__seat_waiter *first, *last;
    bool is_taken;
    pthread_t owner;
    uint64_t since_ns;
};

struct ns__helper {
    pthread_t thread;
    bool is_running;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_asked, is_stopping;
};

struct ns_db {
    struct ns__alloc alloc; /* first: the handle itself comes from it */
    ns_options options;     /* with defaults filled in */
    char *path;
    struct ns__mem *world; /* NS_IN_MEMORY without a vfs */
    const struct ns_vfs *vfs;
    struct ns_vfs_file *handle;
    struct ns__pager *pager;
    struct ns__log *log;
    struct ns__snapshots snapshots;
    struct ns__seat seat;
    pthread_mutex_t head, checkpoint;
    pthread_mutex_t durable_lock; /* wakes ns_log_wait */
    pthread_cond_t durable_moved;
    bool locks_ready;
    struct ns__helper helper;
    struct ns__meta
        *fields;    /* what checkpoints put into metas besides the root (checkpoint lock) */
    uint64_t *held; /* scratch of reclaim (head lock) */
    struct ns__writeset writeset; /* of the one NS_WRITE */
    struct ns__arena scratch;     /* of apply (head lock) */
    uint8_t *record;              /* buffer of the record being committed (seat) */
    uint64_t record_capacity;
    uint64_t poison; /* atomic: ns_status, 0 = none */
    char poison_text[NS__POISON_TEXT_BYTES];
    uint64_t fork_count;
    uint64_t checkpoint_failed_at; /* atomic: log end when the last automatic one failed */
    uint64_t log_readers;          /* atomic: open ns_log */
    uint64_t cursors;              /* atomic: not closed, attached or not */
    bool is_opened_clean;          /* nothing to replay or settle */
    bool was_closed;               /* the log map says that the last user closed it */
    /* counters, atomic */
    uint64_t commits, gets, puts, checkpoints;
    uint64_t recovered_txns, recovery_us;
};

enum ns__txn_state { NS__TXN_FREE, NS__TXN_ACTIVE, NS__TXN_PARKED };

struct ns_txn {
    ns_db *db;
    struct ns__slot *slot;
    enum ns__txn_state state;
    ns_txn_mode mode;
    ns_status failed; /* of a change that failed midway: commit refuses with it */
    int64_t commit_us;
    ns_slice note;       /* in the write set's arena */
    uint64_t gets, puts; /* since it began */
    struct ns_cursor *cursors;
    struct ns__view view;
};

struct ns_cursor {
    ns_db *db;
    ns_txn *txn; /* NULL: detached */
    struct ns__view_cursor *at;
    struct ns_cursor *next, *previous; /* of the transaction */
};

/* ---- seat.c ---- */
void ns__seat_init(struct ns__seat *seat);
void ns__seat_deinit(struct ns__seat *seat);
/* NS_BUSY after timeout_ms (UINT32_MAX: never), or at once when this thread holds it. First come,
 * first served. */
ns_status ns__seat_take(struct ns_db *db, uint32_t timeout_ms);
void ns__seat_give(struct ns_db *db);
bool ns__seat_is_mine(struct ns_db *db);
/* The monotonic time that many milliseconds from now, for pthread_cond_timedwait. */
struct timespec ns__deadline(uint32_t timeout_ms);

/* ---- health.c ---- */
/* NS_OK, or why this handle must not write: NS_POISONED, NS_INTERNAL, NS_READONLY. */
ns_status ns__db_may_write(struct ns_db *db);
/* Refuses all writes from now on; `cause` and this thread's detail say why. */
void ns__db_poison(struct ns_db *db, ns_status cause);
void ns__db_event(struct ns_db *db, ns_event_kind kind, ns_status status, uint64_t txn_id,
                  uint64_t a, uint64_t b, const char *detail);
uint64_t ns__fork_count(void);
/* NS_INVALID for NULL, NS_FORKED in a child process. */
ns_status ns__db_usable(const struct ns_db *db);

/* ---- locate.c ---- */
struct ns__located {
    bool is_new; /* empty, or a creation that a crash cut short */
    uint64_t file_bytes;
    struct ns__meta newest, older;
    bool has_older;
};
/* Finds the metas of an opened file. out is large: heap. */
ns_status ns__locate(const struct ns_vfs *vfs, struct ns_vfs_file *handle, struct ns__alloc *alloc,
                     struct ns__located *out);

/* ---- commit.c ---- */
/* Applies, logs, publishes. record: id, time, note, body, op_count filled in. Seat held.
 * NS_UNKNOWN: see northstar.h. */
ns_status ns__db_commit(struct ns_db *db, struct ns__record *record);
/* Applies a record that is in the log already (recovery). */
ns_status ns__db_replay(struct ns_db *db, const struct ns__record *record, uint64_t log_end);
/* Reuses what no snapshot reaches any more. Head lock. */
void ns__db_reclaim(struct ns_db *db);
/* Something became durable and visible: whoever waits in ns_log_wait looks again. */
void ns__db_wake_log_readers(struct ns_db *db);
bool ns__db_grow_record(struct ns_db *db, uint64_t bytes);

/* ---- checkpointing.c ---- */
/* Forced: even if nothing changed (it frees what only the older meta holds). */
ns_status ns__db_run_checkpoint(struct ns_db *db, bool is_forced);
/* After a commit, without any lock: lets the helper do what is due, or does it here. */
void ns__db_after_commit(struct ns_db *db);
ns_status ns__helper_start(struct ns_db *db);
void ns__helper_stop(struct ns_db *db);

/* ---- open.c ---- */
ns_status ns__db_open(const char *path, const ns_options *options, struct ns__located *located_out,
                      ns_db **db_out);

/* ---- txn.c ---- */
/* NS_OK if txn can be read through. */
ns_status ns__txn_readable(ns_txn *txn);

#endif
