/* northstar/log.h: the commit stream. Every committed transaction leaves one record; records in the
 * order of their ids are the truth from which all state is rebuilt. */
#ifndef NORTHSTAR_LOG_H
#define NORTHSTAR_LOG_H

#include <northstar.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ns_log ns_log; /* a position in the log; one thread at a time */

typedef uint32_t ns_op_kind; /* stored */
#define NS_OP_PUT 1u
#define NS_OP_DEL 2u
#define NS_OP_DEL_RANGE 3u       /* key = from, value = to; empty = open end */
#define NS_OP_KEYSPACE_CREATE 4u /* key = name */
#define NS_OP_KEYSPACE_DROP 5u   /* key = name */

struct ns_op {
    ns_op_kind kind;
    ns_keyspace keyspace;
    ns_slice key, value;
};

/* One committed transaction. Slices are copies, valid until the next call on the ns_log they came
 * from. */
struct ns_commit {
    uint64_t txn_id;
    int64_t unix_us; /* never decreases from one record to the next */
    uint64_t op_count;
    uint8_t chain[32]; /* binds this record and all before it */
    ns_slice note;
    ns_slice bytes; /* the whole record, as ns_log_apply takes it */
};

/* Starts a reader; the first record returned is after_txn_id + 1. NS_GONE: already recycled, the
 * detail says which is the oldest; NS_NOTFOUND: after_txn_id lies in the future; NS_INVALID,
 * NS_NOMEM, NS_FORKED. */
NS_API NS_MUST_USE ns_status ns_log_open(ns_db *db, uint64_t after_txn_id, ns_log **log_out);

/* The next durable record. NS_NOTFOUND at the durable end (try again later); NS_GONE if it was
 * recycled meanwhile; NS_CORRUPT names the log offset; NS_NOMEM, NS_IO, NS_INVALID. */
NS_API NS_MUST_USE ns_status ns_log_next(ns_log *log, struct ns_commit *commit_out);

/* Waits until a record is there: NS_OK, or NS_TIMEOUT after timeout_ms (UINT32_MAX = forever). */
NS_API NS_MUST_USE ns_status ns_log_wait(ns_log *log, uint32_t timeout_ms);

/* Iterates over the operations: *pos starts at 0. NS_NOTFOUND after the last. Slices point into
 * commit->bytes. NS_CORRUPT if the bytes are no record. */
NS_API NS_MUST_USE ns_status ns_commit_next_op(const struct ns_commit *commit, size_t *pos,
                                               struct ns_op *op_out);

/* Reads a record that came from elsewhere (a replica's feed, an archive) and checks it against
 * itself. Slices of commit_out point into record_bytes. NS_CORRUPT, NS_VERSION, NS_INVALID. */
NS_API NS_MUST_USE ns_status ns_commit_parse(ns_slice record_bytes, struct ns_commit *commit_out);

/* Closes; NULL is fine. */
NS_API void ns_log_close(ns_log *log);

/* Applies a record from another database to this one, with the same id, time and note, as one
 * durable transaction. The record must be the next one (NS_INVALID names the id expected) and
 * continue this database's chain (NS_CONFLICT: the histories differ, or the record is damaged).
 * NS_CORRUPT, NS_BUSY, NS_FULL, NS_READONLY and all that commit can say. */
NS_API NS_MUST_USE ns_status ns_log_apply(ns_db *db, ns_slice record_bytes);

#ifdef __cplusplus
}
#endif

#endif /* NORTHSTAR_LOG_H */
