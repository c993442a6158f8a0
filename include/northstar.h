/* northstar.h: the NorthstarDB kernel, an embedded, transactional, ordered key-value store in one
 * file.
 *
 * In ten lines:
 *
 *     ns_db *db;  ns_txn *txn;  ns_slice value;
 *     if (ns_db_open("app.ns", NULL, &db) != NS_OK) { puts(ns_error_detail()); return 1; }
 *     ns_txn_begin(db, NS_WRITE, &txn);
 *     ns_txn_put(txn, NS_MAIN, ns_str("colour"), ns_str("blue"));
 *     if (ns_txn_commit(txn, NULL) != NS_OK) puts(ns_error_detail());   // durable when it returns
 *     NS_OK ns_txn_begin(db, NS_READ, &txn);
 *     if (ns_txn_get(txn, NS_MAIN, ns_str("colour"), &value) == NS_OK) printf("%.*s\n",
 *         (int)value.size, (const char *)value.data);
 *     ns_txn_abort(txn);
 *     ns_db_close(db);
 *
 * Results. Fallible functions return an ns_status and give results through their last parameters,
 * which hold a harmless value (NULL, 0, an empty slice) after any failure. ns_error_detail()
 * explains the last failure on this thread, outside-in. NS_NOTFOUND is an answer and leaves the
 * detail alone.
 *
 * Threads. A handle (ns_db) may be used from any thread at any time. A transaction, its cursors and
 * a log reader belong to one thread at a time; they may move between threads.
 *
 * Lifetimes. A slice returned by a read points into the database and stays valid until its
 * transaction ends (in an NS_WRITE transaction: until the next change through it). A slice from a
 * cursor dies when the cursor moves. Arguments are borrowed for the call only, and may be views
 * from the same transaction.
 *
 * Caveats.
 *  - An open read transaction keeps the pages that it can see, and only those, from being reused.
 *  - Another program that truncates or overwrites the file while it is mapped breaks it; a read may
 *  then
 *    raise SIGBUS. The library installs no signal handler.
 *  - Checksums detect accidents, not an adversary who can recompute them.
 *  - A device that ignores flush requests can lose acknowledged transactions; so can NS_SYNC_OFF.
 *  - A handle does not survive fork(): the child gets NS_FORKED.
 *  - NFS and overlay file systems are not supported.
 *
 * Semantics in full: spec/semantics_v0.md. Crash safety: spec/commit_v0.md.
 */
#ifndef NORTHSTAR_H
#define NORTHSTAR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NS_VERSION_MAJOR 0
#define NS_VERSION_MINOR 1
#define NS_VERSION_PATCH 0

#if defined(__GNUC__) || defined(__clang__)
#define NS_API __attribute__((visibility("default")))
#define NS_MUST_USE __attribute__((warn_unused_result))
#else
#define NS_API
#define NS_MUST_USE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- bytes ---- */

/* Borrowed bytes. data may be NULL only when size is 0. */
typedef struct ns_slice {
    const void *data;
    size_t size;
} ns_slice;

/* A slice over a NUL-terminated string, without the NUL. NULL gives an empty slice. */
static inline ns_slice ns_str(const char *s)
{
    ns_slice slice;
    slice.data = s;
    slice.size = s != NULL ? strlen(s) : 0;
    return slice;
}

static inline ns_slice ns_bytes(const void *data, size_t size)
{
    ns_slice slice;
    slice.data = data;
    slice.size = size;
    return slice;
}

/* ---- status ---- */

/* name, value, text. Values are frozen. */
#define NS_STATUS_TABLE(X)                                                                         \
    X(NS_OK, 0, "ok")                                                                              \
    X(NS_NOTFOUND, 1, "not found")                                                                 \
    X(NS_EXISTS, 2, "already exists")                                                              \
    X(NS_CONFLICT, 3, "another transaction changed what this one read")                            \
    X(NS_BUSY, 4, "in use by another writer, handle or process")                                   \
    X(NS_GONE, 5, "no longer retained")                                                            \
    X(NS_READONLY, 6, "the database is open read-only")                                            \
    X(NS_INVALID, 7, "invalid argument or wrong use")                                              \
    X(NS_TOOBIG, 8, "key or value over its limit")                                                 \
    X(NS_FULL, 9, "no space left; the database is intact")                                         \
    X(NS_NOMEM, 10, "out of memory")                                                               \
    X(NS_IO, 11, "an operation on a file failed")                                                  \
    X(NS_CORRUPT, 12, "stored bytes fail their own checks")                                        \
    X(NS_VERSION, 13, "written by a newer format version")                                         \
    X(NS_NOTADB, 14, "not a NorthstarDB file")                                                     \
    X(NS_POISONED, 15, "refused after an earlier failed write or sync; close and open again")      \
    X(NS_UNSUPPORTED, 16, "not supported by this version or system")                               \
    X(NS_TIMEOUT, 17, "the wait ended before the event")                                           \
    X(NS_FORKED, 18, "the handle was opened before fork(); open a new one")                        \
    X(NS_INTERNAL, 19, "an internal invariant does not hold; please report it")                    \
    X(NS_UNKNOWN, 20, "the sync failed: the outcome is settled by the next open")

typedef enum ns_status {
#define NS_STATUS_ENUM(name, value, text) name = value,
    NS_STATUS_TABLE(NS_STATUS_ENUM)
#undef NS_STATUS_ENUM
} ns_status;

/* "NS_NOTFOUND" and "not found". Never NULL; an unknown value gives "NS_?" and "unknown status".
 * Any thread. */
NS_API const char *ns_status_name(ns_status status);
NS_API const char *ns_status_text(ns_status status);

/* This thread's last failure, outside-in: "open app.ns: meta page 1: checksum mismatch". Never
 * NULL; "" if there was none. Valid until the next failing call on this thread. */
NS_API const char *ns_error_detail(void);

/* After NS_CONFLICT on this thread: which key, and the id of the transaction that won. NS_NOTFOUND
 * if the last failure was no conflict. The key is a copy, valid until the next failing call on this
 * thread. */
NS_API ns_status ns_error_conflict(ns_slice *key_out, uint64_t *txn_id_out);

/* ---- handles and options ---- */

typedef struct ns_db ns_db;
typedef struct ns_txn ns_txn;
typedef struct ns_cursor ns_cursor;
struct ns_vfs;       /* <northstar/vfs.h> */
struct ns_allocator; /* <northstar/alloc.h> */

typedef uint32_t ns_keyspace;    /* a named tree; ids are stable for a database and its replicas */
#define NS_MAIN ((ns_keyspace)0) /* always exists */

/* ns_options.flags */
#define NS_MUST_EXIST 0x01u  /* NS_NOTFOUND instead of creating */
#define NS_MUST_CREATE 0x02u /* NS_EXISTS instead of opening */
#define NS_RDONLY                                                                                  \
    0x04u /* nothing is written to the file; a tail left by a crash is replayed into memory */
#define NS_EXCLUSIVE 0x08u /* never share with another process */
#define NS_NO_THREADS                                                                              \
    0x10u /* no helper thread: checkpoints run inside commit, or by ns_db_checkpoint */
#define NS_IN_MEMORY 0x20u /* no file at all; path may be NULL; everything is gone at close */
#define NS_LOG_PADDED                                                                              \
    0x40u /* at creation: every commit starts on a block of its own (for devices that may
                                damage neighbouring bytes of a torn block); kept in the file */

/* Enum-like fields are uint32_t, so that their size never moves. */
typedef uint32_t ns_sync;
#define NS_SYNC_FULL 0u /* commit returns when the transaction is on stable storage */
#define NS_SYNC_LAZY                                                                               \
    1u /* power loss may take back the last lazy_ms (NS_UNSUPPORTED in this version) */
#define NS_SYNC_OFF                                                                                \
    2u /* synced at checkpoints and close only; a crash of the process alone loses nothing */

typedef uint32_t ns_history;
#define NS_HISTORY_DEFAULT 0u /* what the file says; a new file: NS_HISTORY_BOUNDED */
#define NS_HISTORY_BOUNDED 1u
#define NS_HISTORY_ALL 2u
#define NS_HISTORY_NONE 3u /* log space is recycled as soon as it is checkpointed */

typedef uint32_t ns_txn_mode;
#define NS_READ 1u       /* a snapshot */
#define NS_WRITE 2u      /* holds the writer's seat from begin to commit or abort */
#define NS_OPTIMISTIC 3u /* NS_UNSUPPORTED in this version */

/* Structured diagnostics. Called from any thread that uses the handle, and from its helper thread;
 * must not call the library. The detail is valid during the call. */
typedef uint32_t ns_event_kind;
#define NS_EVENT_RECOVERED 1u         /* a = transactions replayed, b = microseconds */
#define NS_EVENT_CHECKPOINT 2u        /* a = pages written, b = microseconds */
#define NS_EVENT_CHECKPOINT_FAILED 3u /* status and detail say why */
#define NS_EVENT_POISONED 4u          /* status and detail say why */
#define NS_EVENT_FULL 5u              /* a commit was refused for want of space */

struct ns_event {
    ns_event_kind kind;
    ns_status status;
    uint64_t txn_id;
    uint64_t a, b;
    const char *detail;
};

/* All zero means defaults; NULL options too. */
typedef struct ns_options {
    uint32_t flags;
    uint32_t page_size; /* bytes, at creation: a power of two, 4096 (default) .. 65536 */
    ns_sync sync;
    uint32_t lazy_ms; /* milliseconds */
    ns_history history;
    uint64_t history_txns;  /* bounds of NS_HISTORY_BOUNDED; all 0 = what the file says */
    uint64_t history_bytes; /* (a new file: the larger of 256 MiB and the size of the live data) */
    uint64_t history_seconds;
    uint64_t checkpoint_bytes; /* log bytes between checkpoints; 0 = 16 MiB */
    uint64_t frame_bytes;      /* memory for pages changed since the last checkpoint;
                                    0 = the smaller of 256 MiB and a sixteenth of memory */
    uint32_t busy_timeout_ms; /* a writer's wait for the seat; 0 = 5000; UINT32_MAX = forever */
    uint32_t max_readers; /* open transactions at a time; 0 = 1024 */
    const struct ns_vfs *vfs;             /* NULL = the system's files */
    const struct ns_allocator *allocator; /* NULL = malloc */
    void (*on_event)(void *ctx, const struct ns_event *event);
    void *event_ctx;
    uint64_t reserved[8]; /* zero; anything else is NS_INVALID */
} ns_options;

/* ---- database ---- */

/* Opens the database at path, creating it if absent, and recovers it if the last user did not close
 * it. The handle holds the file against other handles and processes until it is closed.
 * path       UTF-8 or bytes as the system has them; NULL only with NS_IN_MEMORY.
 * db_out     NULL after failure.
 * NS_INVALID bad options; NS_NOTFOUND with NS_MUST_EXIST (nothing is created); NS_EXISTS with
 * NS_MUST_CREATE; NS_NOTADB not ours, left untouched; NS_VERSION newer format; NS_CORRUPT; NS_BUSY
 * open elsewhere; NS_IO; NS_NOMEM; NS_FULL no room to create or recover; NS_UNSUPPORTED. */
NS_API NS_MUST_USE ns_status ns_db_open(const char *path, const ns_options *options,
                                        ns_db **db_out);

/* Makes everything durable and frees the handle. NS_BUSY while transactions, cursors or log readers
 * are open: nothing happens, nothing is lost, call again. Any other status: the handle is freed,
 * what was acknowledged is safe (the next open recovers it). NULL is NS_INVALID. */
NS_API ns_status ns_db_close(ns_db *db);

/* Writes what changed since the last checkpoint into the tree, so that recovery has less to do and
 * log space can be recycled. Runs beside readers and writers. NS_BUSY from a thread whose own
 * NS_WRITE is open; NS_FULL, NS_IO, NS_POISONED, NS_READONLY, NS_CORRUPT, NS_NOMEM. */
NS_API NS_MUST_USE ns_status ns_db_checkpoint(ns_db *db);

/* NS_SYNC_LAZY: waits until the transaction is durable. NS_UNSUPPORTED in this version. */
NS_API NS_MUST_USE ns_status ns_db_wait_durable(ns_db *db, uint64_t txn_id, uint32_t timeout_ms);

/* One open transaction, as seen by ns_db_readers. */
typedef struct ns_reader {
    uint64_t txn_id; /* its snapshot */
    ns_txn_mode mode;
    int64_t since_unix_us;
    uint64_t held_bytes; /* space that waits for this transaction and no newer one */
} ns_reader;
typedef int (*ns_reader_fn)(void *ctx, const ns_reader *reader); /* nonzero stops the listing */

/* Lists open transactions, oldest snapshot first. NS_INVALID. */
NS_API ns_status ns_db_readers(ns_db *db, ns_reader_fn each, void *ctx);

/* Sizes in bytes and counters since open. New fields are added at the end. */
typedef struct ns_db_stats_t {
    uint32_t page_size;
    ns_history history;
    uint64_t txn_id;    /* newest committed transaction */
    int64_t unix_us;    /* its commit time */
    uint64_t entries;   /* in all keyspaces */
    uint64_t keyspaces; /* named ones */
    uint64_t file_bytes;
    uint64_t tree_bytes;                /* pages reachable from the newest root, file and memory */
    uint64_t overflow_bytes;            /* of these, runs that hold big values */
    uint64_t log_bytes;                 /* pages that belong to the log */
    uint64_t free_bytes;                /* pages in the file that can be reused now */
    uint64_t waiting_bytes;             /* pages that wait for a reader or a checkpoint */
    uint64_t map_bytes;                 /* metas, log map, space maps */
    uint64_t frames_used, frames_limit; /* pages in memory */
    uint64_t oldest_log_txn;            /* first transaction that the log can replay; 0 = none */
    uint64_t readers;                   /* open transactions */
    uint64_t commits, gets, puts, checkpoints;
    uint64_t syncs; /* synchronous writes and syncs of any kind */
    uint64_t log_writes, log_bytes_written;
    uint64_t pages_written;   /* by checkpoints and spills */
    uint64_t pages_copied;    /* nodes rebuilt in memory */
    uint64_t spills;          /* nodes written before their checkpoint for want of frames */
    uint64_t allocations;     /* calls of the allocator */
    uint64_t allocated_bytes; /* held now */
    uint64_t recovered_txns, recovery_us; /* by the open that made this handle */
} ns_db_stats_t;

/* out_size = sizeof(ns_db_stats_t) of the caller; older callers get a prefix. NS_INVALID,
 * NS_NOMEM, NS_CORRUPT, NS_IO. Reads the catalogue: O(keyspaces). */
NS_API ns_status ns_db_stats(ns_db *db, ns_db_stats_t *out, size_t out_size);

/* What ns_db_verify says: each finding, and at the end one line of figures with status NS_OK. */
typedef struct ns_finding {
    ns_status status;
    uint64_t page; /* UINT64_MAX if it is about no page */
    const char *text;
} ns_finding;
typedef void (*ns_verify_fn)(void *ctx, const ns_finding *finding);

/* Checks every law of the file that nobody has open: checksums, order, reachability, the
 * conservation of pages, the log's chain, both metas. Changes nothing. report may be NULL. NS_OK,
 * NS_CORRUPT, or what ns_db_open could say. After a crash in the middle of a clean close, or of the
 * first change after one, a single log map may be called corrupt although nothing is lost; the next
 * change mends it (spec/semantics_v0.md, SEM-84). */
NS_API NS_MUST_USE ns_status ns_db_verify(const char *path, const ns_options *options,
                                          ns_verify_fn report, void *ctx);

/* Hot, consistent, compacted copy. NS_UNSUPPORTED in this version. */
typedef struct ns_backup_options {
    uint64_t reserved[8];
} ns_backup_options;
NS_API NS_MUST_USE ns_status ns_db_backup(ns_db *db, const char *path,
                                          const ns_backup_options *options);

/* Online compaction in small steps. NS_UNSUPPORTED in this version. */
NS_API NS_MUST_USE ns_status ns_db_compact(ns_db *db, uint64_t budget_pages, uint64_t *freed_out);

/* ---- transactions ---- */

/* Begins a transaction. NS_READ never waits. NS_WRITE waits for the writer's seat: NS_BUSY after
 * busy_timeout_ms; the detail says who holds it and for how long; at once if this thread holds it
 * itself. NS_BUSY too when max_readers transactions are open. NS_READONLY, NS_POISONED (NS_WRITE
 * only), NS_FORKED, NS_NOMEM, NS_INVALID, NS_UNSUPPORTED (NS_OPTIMISTIC). */
NS_API NS_MUST_USE ns_status ns_txn_begin(ns_db *db, ns_txn_mode mode, ns_txn **txn_out);

/* The past. NS_UNSUPPORTED in this version. */
NS_API NS_MUST_USE ns_status ns_txn_begin_as_of(ns_db *db, uint64_t txn_id, ns_txn **txn_out);
NS_API NS_MUST_USE ns_status ns_txn_begin_as_of_time(ns_db *db, int64_t unix_us, ns_txn **txn_out);

/* The snapshot's id (0: nothing was ever committed); a new id comes from commit. 0 for NULL. */
NS_API uint64_t ns_txn_id(const ns_txn *txn);

/* The snapshot's commit time, in microseconds since 1970; in a write transaction the time that its
 * commit will carry. 0 for NULL. */
NS_API int64_t ns_txn_time(const ns_txn *txn);

/* Durability of this transaction alone. NS_UNSUPPORTED in this version. */
NS_API NS_MUST_USE ns_status ns_txn_set_sync(ns_txn *txn, ns_sync sync);

/* Commits, and frees txn whatever it returns. txn_id_out may be NULL. A read-only or empty
 * transaction is NS_OK, takes no id, and gives the snapshot's.
 * NS_UNKNOWN   the sync failed; the next open settles whether it is there, as *txn_id_out.
 * Any other failure: certainly not committed. NS_FULL, NS_IO, NS_CORRUPT, NS_NOMEM, NS_POISONED,
 * NS_TOOBIG, NS_INTERNAL, NS_FORKED; and the first failure of a change that failed midway.
 * NS_INVALID for NULL. */
NS_API NS_MUST_USE ns_status ns_txn_commit(ns_txn *txn, uint64_t *txn_id_out);

/* Drops the transaction and its changes. NULL is fine. */
NS_API void ns_txn_abort(ns_txn *txn);

/* Parks a read transaction (it sees and holds nothing), and refreshes it to the newest snapshot.
 * Reads through a parked one are NS_INVALID; its cursors are detached. */
NS_API NS_MUST_USE ns_status ns_txn_reset(ns_txn *txn);
NS_API NS_MUST_USE ns_status ns_txn_renew(ns_txn *txn);

/* An application note kept in the commit record (who, why); replaces an earlier one; at most 65535
 * bytes. A note alone does not make a transaction. NS_INVALID, NS_TOOBIG, NS_NOMEM. */
NS_API NS_MUST_USE ns_status ns_txn_note(ns_txn *txn, ns_slice note);

/* NS_UNSUPPORTED in this version. */
NS_API NS_MUST_USE ns_status ns_txn_savepoint(ns_txn *txn, uint32_t *savepoint_out);
NS_API NS_MUST_USE ns_status ns_txn_rollback_to(ns_txn *txn, uint32_t savepoint);

/* ---- reading and changing ---- */

/* Limits: keys 1 to 1024 bytes (more at larger pages: a quarter of the page), values 0 to 4 GiB -
 * 1. */

/* NS_NOTFOUND; NS_INVALID (NULL, empty key, parked or failed transaction, unknown keyspace is
 * NS_NOTFOUND); NS_TOOBIG; NS_CORRUPT; NS_IO. value_out: see Lifetimes. */
NS_API NS_MUST_USE ns_status ns_txn_get(ns_txn *txn, ns_keyspace keyspace, ns_slice key,
                                        ns_slice *value_out);

/* n keys at once, in any order. values[i] and statuses[i] (NS_OK or NS_NOTFOUND or that key's
 * failure) for each. Returns NS_OK unless the call itself is wrong. */
NS_API NS_MUST_USE ns_status ns_txn_get_many(ns_txn *txn, ns_keyspace keyspace, size_t n,
                                             const ns_slice keys[], ns_slice values[],
                                             ns_status statuses[]);

/* Also gives the id of the transaction that last wrote the entry; 0 for one written by this
 * transaction. */
NS_API NS_MUST_USE ns_status ns_txn_get_version(ns_txn *txn, ns_keyspace keyspace, ns_slice key,
                                                ns_slice *value_out, uint64_t *txn_id_out);

/* Changes need an NS_WRITE transaction (else NS_INVALID). They are seen at once by the transaction
 * itself and by nobody else before commit. NS_TOOBIG, NS_NOMEM, NS_NOTFOUND for an unknown
 * keyspace, NS_CORRUPT, NS_IO. After NS_NOMEM, NS_CORRUPT or NS_IO the transaction has failed: it
 * can be read and aborted, commit refuses. */
NS_API NS_MUST_USE ns_status ns_txn_put(ns_txn *txn, ns_keyspace keyspace, ns_slice key,
                                        ns_slice value); /* insert or replace */
NS_API NS_MUST_USE ns_status ns_txn_insert(ns_txn *txn, ns_keyspace keyspace, ns_slice key,
                                           ns_slice value); /* NS_EXISTS if present */
NS_API NS_MUST_USE ns_status ns_txn_del(ns_txn *txn, ns_keyspace keyspace,
                                        ns_slice key); /* NS_NOTFOUND if absent */

/* Deletes [from, to); an empty from is the start, an empty to the end. NS_OK if nothing was there.
 * */
NS_API NS_MUST_USE ns_status ns_txn_del_range(ns_txn *txn, ns_keyspace keyspace, ns_slice from,
                                              ns_slice to);

/* The id of the keyspace of that name (1 to 255 bytes); in a write transaction creates it if absent
 * (NS_NOTFOUND in a read transaction). NS_INVALID, NS_TOOBIG, NS_NOMEM, NS_CORRUPT, NS_IO. */
NS_API NS_MUST_USE ns_status ns_txn_keyspace(ns_txn *txn, const char *name,
                                             ns_keyspace *keyspace_out);

/* Drops the keyspace and all in it. NS_NOTFOUND. */
NS_API NS_MUST_USE ns_status ns_txn_keyspace_drop(ns_txn *txn, const char *name);

/* Named keyspaces in name order (NS_MAIN is not named). nonzero from each stops the listing. */
typedef int (*ns_keyspace_fn)(void *ctx, const char *name, ns_keyspace keyspace);
NS_API NS_MUST_USE ns_status ns_txn_keyspace_list(ns_txn *txn, ns_keyspace_fn each, void *ctx);

/* A hash of the logical content that this transaction sees (names, keys, values): equal content,
 * equal hash, on any machine, however it came about. Reads everything: O(data). */
NS_API NS_MUST_USE ns_status ns_txn_state_hash(ns_txn *txn, uint8_t hash_out[16]);

/* ---- cursors ---- */

/* A cursor stands on an entry, before the first, or past the last; new ones stand before the first.
 * Ending the transaction detaches its cursors (every call on them is NS_INVALID); close is still
 * required. Moves return NS_NOTFOUND past either end. _prev past the end gives the last entry,
 * _next before the start the first. An entry that the cursor stands on may be changed or deleted
 * through its own transaction; after a deletion the value is {NULL, 0} and _next gives the
 * following entry. */
NS_API NS_MUST_USE ns_status ns_cursor_open(ns_txn *txn, ns_keyspace keyspace,
                                            ns_cursor **cursor_out);
NS_API void ns_cursor_close(ns_cursor *cursor); /* NULL is fine */
NS_API NS_MUST_USE ns_status ns_cursor_first(ns_cursor *cursor);
NS_API NS_MUST_USE ns_status ns_cursor_last(ns_cursor *cursor);
NS_API NS_MUST_USE ns_status ns_cursor_next(ns_cursor *cursor);
NS_API NS_MUST_USE ns_status ns_cursor_prev(ns_cursor *cursor);
NS_API NS_MUST_USE ns_status ns_cursor_seek(ns_cursor *cursor,
                                            ns_slice key); /* first entry >= key */
NS_API NS_MUST_USE ns_status ns_cursor_seek_exact(ns_cursor *cursor, ns_slice key); /* that entry */
NS_API NS_MUST_USE ns_status ns_cursor_seek_before(ns_cursor *cursor,
                                                   ns_slice key); /* last entry < key */

/* From now on the cursor sees only [from, to) (empty: open end) and stands before its start. */
NS_API NS_MUST_USE ns_status ns_cursor_bounds(ns_cursor *cursor, ns_slice from, ns_slice to);
/* The same for all keys that begin with prefix; an empty prefix is everything. */
NS_API NS_MUST_USE ns_status ns_cursor_prefix(ns_cursor *cursor, ns_slice prefix);

NS_API ns_slice ns_cursor_key(const ns_cursor *cursor);   /* {NULL, 0} off an entry */
NS_API ns_slice ns_cursor_value(const ns_cursor *cursor); /* {NULL, 0} off an entry */
/* Both at once. NS_NOTFOUND off an entry. */
NS_API NS_MUST_USE ns_status ns_cursor_get(const ns_cursor *cursor, ns_slice *key_out,
                                           ns_slice *value_out);

#ifdef __cplusplus
}
#endif

#endif /* NORTHSTAR_H */
