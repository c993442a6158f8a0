/* space_internal.h: the page allocator as the rest of the pager sees it. */
#ifndef NS_PAGER_SPACE_INTERNAL_H
#define NS_PAGER_SPACE_INTERNAL_H

#include <pthread.h>
#include "format/meta.h"
#include "pager/pages.h"
#include "pager/space.h"

/* One range of pages. Loaded when first needed, from the maps of both metas. */
struct ns__range {
    uint64_t *busy;       /* bit set: not to be handed out (NULL: not loaded) */
    uint64_t *live;       /* bit set: held by the root of the next checkpoint, as far as known */
    uint64_t *stale;      /* bit set: held by the older meta of the last user only; NULL: none */
    uint64_t free_pages;  /* clear busy bits */
    uint64_t longest_max; /* no free run in this range is longer */
    uint64_t some_from;   /* where this checkpoint goes on */
    bool is_dirty;        /* live differs from the newest meta's map */
};

/* The directory of one region, as the newest and the older meta have it. */
struct ns__region {
    struct ns__region_entry
        *entries[3]; /* [0] newest, [1] older; [2] being written; NULL: not loaded */
    struct ns__region_entry place[2]; /* where the metas say it lies */
};

struct ns__space {
    struct ns__file *file;
    struct ns__pages *pages;
    struct ns__alloc *alloc;
    struct ns_vfs_map *map;
    uint64_t *runs_verified; /* the pager's: a page that is handed out is no longer verified */
    pthread_mutex_t lock;
    struct ns__range *ranges;
    uint64_t range_count, range_capacity;
    struct ns__region regions[NS__REGIONS_MAX];
    uint64_t file_pages;   /* real pages of the file; all handed out lie below */
    uint64_t page_limit;   /* file_pages never exceeds it */
    uint64_t free_pages;   /* in loaded ranges, below file_pages */
    uint64_t reserve;      /* free pages kept for deleting and recovery */
    uint64_t promised;     /* free pages that frames will need at the next checkpoint */
    uint64_t hint;         /* range in which the last page was found */
    uint32_t *epochs;      /* atomic, by page: when a change wrote a node or run there */
    uint32_t epoch;        /* atomic: of writes now; moves with every checkpoint (head lock) */
    uint32_t synced_epoch; /* atomic: what was written in it and before is on the medium */
};

ns_status ns__space_init(struct ns__space *space, struct ns__pages *pages, struct ns__file *file,
                         struct ns__alloc *alloc, struct ns_vfs_map *map);
void ns__space_deinit(struct ns__space *space); /* a zeroed space is fine */

/* A new file of fixed pages only. */
ns_status ns__space_create(struct ns__space *space);
/* An existing file of file_pages pages; older may be NULL. */
ns_status ns__space_open(struct ns__space *space, uint64_t file_pages,
                         const struct ns__meta *newest, const struct ns__meta *older);

/* A checkpoint is about to take its pages: the lowest free ones first. */
void ns__space_begin_taking(struct ns__space *space);

/* For a checkpoint: takes between 1 and `pages` of the pages that were promised, as long a run as
 * is at hand. */
ns_status ns__space_take_promised(struct ns__space *space, uint64_t pages, uint64_t *page_out,
                                  uint64_t *pages_out);

/* From now on at least `pages` free pages are kept for the next checkpoint (and the reserve
 * besides, unless use_reserve): they are there, or the file grows. Never lowers the promise.
 * NS_FULL: it stays as it was. */
ns_status ns__space_promise(struct ns__space *space, uint64_t pages, bool use_reserve);
/* What is promised from now on: no more than was, or than is free for certain. */
void ns__space_set_promise(struct ns__space *space, uint64_t pages);

/* The bits of `live`, for the next checkpoint. Loads the range. */
ns_status ns__space_set_live(struct ns__space *space, uint64_t page, uint64_t pages, bool is_live);

/* Loads the directory of a region and the bits of a range (for space_maps.c; the lock is held). */
ns_status ns__space_load_range(struct ns__space *space, uint64_t range_index);

/* Writes the changed bitmaps and directories to places that neither meta names, and names them in
 * next. The caller syncs. */
ns_status ns__space_write_maps(struct ns__space *space, struct ns__meta *next);
/* The meta that write_maps filled is durable: what the older one alone held is free. */
void ns__space_rotate(struct ns__space *space, const struct ns__meta *next);

uint64_t ns__space_file_pages(struct ns__space *space);
uint64_t ns__space_free_pages(struct ns__space *space);

/* For checkers: is the page busy? live? (loads the range) */
ns_status ns__space_look(struct ns__space *space, uint64_t page, bool *busy_out, bool *live_out);

/* In place of an epoch: dropped; written by the change under way; written and dropped again by it.
 * */
#define NS__EPOCH_DEAD (UINT32_MAX - 2) /* dropped: it waits for its holders */
#define NS__EPOCH_BORN (UINT32_MAX - 1)
#define NS__EPOCH_UNBORN UINT32_MAX

/* A node or run that begins at page is about to be written by a change; its change was published.
 * */
void ns__space_note_write(struct ns__space *space, uint64_t page);
void ns__space_note_published(struct ns__space *space, uint64_t page);

#endif
