/* log.h: the append log inside the file: extents, envelopes, the log map, the durable watermark
 * (spec/file_format_v0.md "Log map", "Envelopes"; the crash argument is in spec/commit_v0.md).
 *
 * One appender at a time (the caller's lock); readers, ns__log_reserve, ns__log_prepare and
 * ns__log_trim run beside it. Every failure sets a detail. */
#ifndef NS_LOG_LOG_H
#define NS_LOG_LOG_H

#include "base/alloc.h"
#include "format/envelope.h"
#include "format/logmap.h"
#include "format/record.h"
#include "pager/file.h"
#include "pager/space.h"

struct ns__log;

struct ns__log_options {
    uint64_t extent_bytes; /* size of new extents, rounded up to whole pages; larger ones are made
                            * for larger records, smaller ones when space is short */
    bool is_padded;        /* FMT-24 */
    bool read_only;        /* nothing may be written */
};

/* A new file: one extent from log offset 0, zero-filled and durable; both log maps written and
 * durable, in use. NS_FULL, NS_IO, NS_NOMEM. */
ns_status ns__log_create(struct ns__file *file, struct ns__space *space, struct ns__alloc *alloc,
                         const struct ns__log_options *options, struct ns__log **log_out);

/* An existing file: reads both log maps, takes the newest valid one with its continuation, claims
 * its pages in space (space NULL when read-only: nothing is claimed). page_limit bounds page
 * numbers. NS_CORRUPT if neither map is valid. */
ns_status ns__log_load(struct ns__file *file, struct ns__space *space, struct ns__alloc *alloc,
                       const struct ns__log_options *options, uint64_t page_limit,
                       struct ns__log **log_out);
/* Was the file not closed? Yes unless both log maps say so; checksums are not asked. NS_IO. */
ns_status ns__log_was_left_in_use(struct ns__file *file, bool *in_use_out);

void ns__log_free(struct ns__log *log); /* writes nothing; NULL is fine */

/* ---- after a crash ---- */

struct ns__log_tail {
    bool is_clean;      /* the log map says nothing was appended after `end` */
    uint64_t watermark; /* w: highest log offset known durable (>= known_durable given) */
    uint64_t end;       /* x: where the valid envelopes end */
};

/* Walks the envelopes from `from` to the first bad offset x (REC in commit_v0). known_durable:
 * highest watermark that metas name. If a valid envelope behind x, or any meta or map, carries a
 * watermark above x: NS_CORRUPT names log offset x. Checks framing and checksums only (records are
 * the caller's), and that epochs match the extents. Writes nothing. NS_NOMEM, NS_IO. */
ns_status ns__log_find_end(struct ns__log *log, uint64_t from, uint64_t known_durable,
                           struct ns__log_tail *tail_out);

/* Settles what find_end found, before anything of it is shown and before any page is taken from
 * space: clean: continues at the end. Unclean: the records of [w, x) move unchanged (same log
 * offsets, re-framed with the new epoch) to a fresh zeroed extent under the next epoch, synced;
 * then both maps in turn name it (old extent ends at w, watermark x, in use); the old extents'
 * whole pages past w are given back. Dips into the reserve. After it, appending starts at x. No
 * reader runs beside it; readers from before it stay good. NS_FULL, NS_CORRUPT, NS_NOMEM, NS_IO,
 * NS_READONLY. */
ns_status ns__log_settle(struct ns__log *log, const struct ns__log_tail *tail);

/* ---- appending ---- */

/* Makes sure that an envelope with payload_bytes fits behind the end, preparing extents now if need
 * be (zero-fill, sync, both maps). NS_FULL, NS_NOMEM (nothing changed), NS_IO, NS_POISONED. */
ns_status ns__log_reserve(struct ns__log *log, uint64_t payload_bytes, bool use_reserve);

/* Appends one envelope with the pieces as payload (each record already padded to 8). is_sync:
 * durable when it returns NS_OK, with all before it; exactly one synchronous write when it lies in
 * one extent and all before it is durable; else plain writes and one sync of the file. Not is_sync:
 * handed to the system. *end_out: log offset behind it. The first append after a clean open first
 * marks both maps in use. NS_NOMEM and NS_FULL: nothing was written, the log is as it was. On any
 * other failure the log refuses further appends (NS_POISONED): the outcome is for the next open to
 * settle. */
ns_status ns__log_append(struct ns__log *log, const struct ns__hash_piece *pieces, size_t count,
                         bool is_sync, uint64_t *end_out);

/* The caller synced the whole file after the append that ended at `end`: everything below it is
 * durable. Any thread. */
void ns__log_set_durable(struct ns__log *log, uint64_t end);
uint64_t ns__log_durable(const struct ns__log *log); /* any thread */
uint64_t ns__log_end(const struct ns__log *log);     /* any thread; what was appended */
uint64_t ns__log_start(struct ns__log *log);         /* log offset of the first extent */
uint64_t ns__log_pages(struct ns__log *log);         /* extents and continuation pages */
uint64_t ns__log_room(struct ns__log *log);          /* bytes prepared beyond the end */

/* Prepares extents until at least `bytes` lie ahead of the end. For a helper thread. Statuses as
 * ns__log_reserve. */
ns_status ns__log_prepare(struct ns__log *log, uint64_t bytes);

/* Drops whole extents below log offset `offset` (both maps in turn), then gives their pages back.
 * Of an extent that grew by following ones, whole multiples of the extent size are dropped. Never
 * drops what lies at or behind the end. Statuses as ns__log_reserve. */
ns_status ns__log_trim(struct ns__log *log, uint64_t offset);

/* Clean close: nothing is appended any more; what is not durable yet is synced; both maps say so. A
 * log that failed stays as it is (NS_POISONED). */
ns_status ns__log_mark_clean(struct ns__log *log);

/* What the log map in that page (2 or 3) was when the log was loaded: NS_OK or NS_CORRUPT. */
ns_status ns__log_map_found(const struct ns__log *log, uint32_t page);

/* Calls visit for every run of pages that the log owns (extents, then continuation pages); for the
 * checker. visit does not call the log. Returns the first status that is not NS_OK. */
ns_status ns__log_visit_pages(struct ns__log *log,
                              ns_status (*visit)(void *ctx, uint64_t page, uint64_t pages),
                              void *ctx);

/* ---- reading ---- */

/* A piece of the log in memory; the log floor's own. */
struct ns__log_window {
    struct ns__log *log;
    uint8_t *bytes;
    size_t capacity;
    uint64_t start; /* log offset of bytes[0] */
    uint64_t size;  /* valid bytes */
    uint64_t epoch; /* newest epoch of the log when they were read */
};

/* Reads records in order. One thread at a time; beside the appender and trim. */
struct ns__log_reader {
    struct ns__log *log;
    uint64_t next;          /* log offset of the next envelope */
    uint64_t envelope;      /* log offset of the current one */
    const uint8_t *payload; /* of the current envelope, in the window; NULL before the first */
    uint64_t payload_bytes, consumed;
    struct ns__log_window window;
};

void ns__log_reader_init(struct ns__log_reader *reader, struct ns__log *log, uint64_t offset);
void ns__log_reader_deinit(struct ns__log_reader *reader);

/* The next record, if its envelope ends at or below `limit` (the durable end, or x in recovery: an
 * offset where an envelope ends). record_out views the reader's buffer until the next call.
 * NS_NOTFOUND: none below the limit yet. NS_GONE: trimmed. NS_CORRUPT names the log offset.
 * NS_NOMEM, NS_IO. After a failure the reader stands where it stood. Checks framing and the
 * record's own sizes, not the chain. */
ns_status ns__log_reader_next(struct ns__log_reader *reader, uint64_t limit,
                              struct ns__record *record_out, ns_slice *bytes_out);

#endif
