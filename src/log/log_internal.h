/* log_internal.h: what the files of the log floor share. Private to src/log.
 *
 * Terms. The *prepared end* is where the last extent ends; every byte between the log's end and it
 * is zero, durable, and named by both maps. A *position* is a byte offset in the file. The *chain*
 * is the list of continuation pages.
 *
 * Locks. map_lock makes changes of the log map one after another and is held across disk waits;
 * list_lock guards the list and the chain and never is. Who changes them holds both, who reads them
 * holds one. map_lock is taken first. */
#ifndef NS_LOG_LOG_INTERNAL_H
#define NS_LOG_LOG_INTERNAL_H

#include <pthread.h>
#include "log/log.h"

#define NS__LOG_FIRST_MAP_PAGE 2u
/* Log offsets stay below it, so that sums of an offset and a size do not wrap. */
#define NS__LOG_OFFSET_MAX (UINT64_C(1) << 62)

/* Extents in order of log offset, adjoining (FMT-20). */
struct ns__log_list {
    struct ns__extent *extents;
    size_t count, capacity;
};

/* The oldest extents of the list, and the pages that hold them (FMT-19). */
struct ns__log_chain {
    uint64_t *pages; /* newest extents first */
    size_t page_count, page_capacity;
    size_t extent_count;
    uint64_t checksum; /* stored in pages[0] */
};

struct ns__log {
    struct ns__file *file;
    struct ns__space *space;
    struct ns__alloc *alloc;
    uint64_t extent_pages;
    bool is_padded;
    bool read_only;

    pthread_mutex_t map_lock;
    pthread_mutex_t list_lock;
    struct ns__log_list list;
    struct ns__log_chain chain;
    uint64_t sequence;       /* of the newest log map; map_lock */
    uint64_t map_watermark;  /* in it; map_lock */
    ns_status map_status[2]; /* of the map pages as they were loaded */
    bool maps_differ;        /* the two maps do not say the same yet; map_lock */
    uint64_t is_in_use;      /* atomic: flag in both maps */
    uint64_t epoch;          /* atomic: newest */

    uint64_t is_settled; /* atomic: created or settled, so that it may be written */
    uint64_t failed;     /* atomic, sticky: an append failed half-way */
    uint64_t end;        /* atomic: log offset of the next envelope */
    uint64_t durable;    /* atomic: log offset, everything below is durable */

    /* the appender's */
    uint8_t *buffer; /* an aligned range of blocks while it is written */
    size_t buffer_capacity;
    uint8_t block[NS__BLOCK_BYTES]; /* the bytes before the end in the end's block of the file */
    size_t block_used;
};

/* ---- log.c ---- */

/* May the log be written at all? NS_READONLY, NS_POISONED, NS_INTERNAL (not settled). */
ns_status ns__log_check_writable(struct ns__log *log);
/* Reads the bytes before the end in its block, and opens the log for appending at `end`. */
ns_status ns__log_start_at(struct ns__log *log, uint64_t end);

/* ---- extents.c ---- */

ns_status ns__log_list_copy(struct ns__log *log, size_t extra, struct ns__log_list *list_out);
void ns__log_list_free(struct ns__log *log, struct ns__log_list *list);
/* The extent that holds the byte at this log offset. False if there is none. */
bool ns__log_extent_at(struct ns__log *log, uint64_t offset, struct ns__extent *extent_out);
uint64_t ns__log_prepared_end(struct ns__log *log);
/* Reads bytes of the log. NS_GONE if it does not hold all of them. */
ns_status ns__log_read(struct ns__log *log, uint64_t offset, void *out, size_t size);
/* Takes a run of want pages, or of fewer (at least `least`) if space is short; use_reserve: of
 * least pages from the reserve if there is no other space. Zero-filled and durable. NS_FULL. */
ns_status ns__log_take_zeroed(struct ns__log *log, uint64_t want, uint64_t least, bool use_reserve,
                              uint64_t *page_out, uint64_t *pages_out);
/* Prepares until at least bytes lie ahead of the end. */
ns_status ns__log_extend(struct ns__log *log, uint64_t bytes, bool use_reserve);

static inline uint64_t ns__log_position(const struct ns__log *log, const struct ns__extent *extent,
                                        uint64_t offset)
{
    return extent->page * log->file->page_size + (offset - extent->log_start);
}

/* Where the envelope that ends at `end`, whose last byte lies in extent, is followed by the next
 * one (FMT-24). */
static inline uint64_t ns__log_next(const struct ns__log *log, const struct ns__extent *extent,
                                    uint64_t end)
{
    uint64_t rest = ns__log_position(log, extent, end) % NS__BLOCK_BYTES;
    if (!log->is_padded || rest == 0) return end;
    uint64_t next = end + (NS__BLOCK_BYTES - rest);
    return next < extent->log_end ? next : extent->log_end;
}

/* ---- map.c ---- */

struct ns__log_change {
    struct ns__log_list *list; /* the new list; gets the old one. NULL: the list stays */
    uint32_t epoch;
    bool is_in_use;
    uint64_t watermark;
    bool use_reserve; /* for continuation pages */
    bool was_named;   /* out: a map on disk may name the new list, whatever the status */
};

/* Writes both maps in turn, then makes the change visible. Holds map_lock: the caller. */
ns_status ns__log_map_publish(struct ns__log *log, struct ns__log_change *change);
/* After a load: makes the newest map durable where it is, then makes the older one say the same, if
 * it does not. map_lock: the caller. */
ns_status ns__log_map_confirm(struct ns__log *log);
/* Reads maps and chain into a new log. */
ns_status ns__log_map_load(struct ns__log *log, uint64_t page_limit);

/* ---- window.c ---- */

enum ns__log_found_kind {
    NS__LOG_FOUND_BAD,    /* no valid envelope here */
    NS__LOG_FOUND_BEYOND, /* a header that may be right, of an envelope that ends above the limit */
    NS__LOG_FOUND_VALID
};

struct ns__log_found {
    enum ns__log_found_kind kind;
    struct ns__envelope envelope;
    const uint8_t *payload; /* in the window, behind the header; valid until its next use */
    uint64_t next;          /* log offset of the next envelope */
};

void ns__log_window_init(struct ns__log_window *window, struct ns__log *log);
void ns__log_window_deinit(struct ns__log_window *window);
/* Gives [offset, offset + need), need <= limit - offset, and notes how much more of [.., limit) is
 * there. Bytes below limit do not change any more. NS_GONE, NS_NOMEM, NS_IO. */
ns_status ns__log_window_view(struct ns__log_window *window, uint64_t offset, uint64_t need,
                              uint64_t limit, const uint8_t **bytes_out, uint64_t *size_out);
/* Looks for the envelope at offset. Never reads at or behind limit. NS_GONE, NS_NOMEM, NS_IO. */
ns_status ns__log_window_find(struct ns__log_window *window, uint64_t offset, uint64_t limit,
                              struct ns__log_found *found_out);

#endif
