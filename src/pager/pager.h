/* pager.h: the file as pages: metas, the map, space, frames, changes, checkpoints.
 *
 * Locks. The *head lock* (the caller's, one per database) is held by whoever makes, publishes or
 * drops a change and by the short last part of a checkpoint. The checkpoint lock (the caller's) is
 * held by whoever runs a checkpoint. Space has its own. Readers take none. */
#ifndef NS_PAGER_PAGER_H
#define NS_PAGER_PAGER_H

#include <pthread.h>
#include "format/meta.h"
#include "pager/pages.h"
#include "pager/root.h"
#include "pager/space_internal.h"
#include "pager/waiting.h"

struct ns__frame_info {
    uint64_t death;     /* generation that dropped it; 0: in the newest root (head lock) */
    uint64_t image_ref; /* the page that the running checkpoint gave it (checkpoint lock) */
    uint64_t is_placed; /* counted in pager->placed (head lock) */
};

/* A run of pages that began or ceased to be held, for the space map of the next checkpoint. */
struct ns__page_event {
    uint64_t page, pages, generation;
    bool is_death;
};

struct ns__number_list {
    uint64_t *numbers;
    uint64_t count, capacity;
};

/* Makes room for `more` numbers: NS_NOMEM. */
ns_status ns__numbers_reserve(struct ns__alloc *alloc, struct ns__number_list *list, uint64_t more);
void ns__numbers_free(struct ns__alloc *alloc, struct ns__number_list *list);

struct ns__change {
    struct ns__pager *pager;
    bool is_open;
    bool use_reserve;
    uint64_t generation;
    struct ns__thing *dead_frames, *dead_pages; /* died in this generation */
    uint64_t dead_frame_count, dead_page_count;
    uint64_t dead_placed_count;           /* of the dead frames */
    struct ns__number_list born_frames;   /* all frames made */
    struct ns__number_list unborn_frames; /* made and dropped again */
    struct ns__number_list born_pages;    /* page, count, page, count, ... */
    struct ns__number_list unborn_pages;
    uint64_t filling; /* frame handed out by node_new and not finished; 0: none */
    bool is_spilling; /* node_new handed out the spill buffer */
};

struct ns__pager {
    struct ns__pages pages; /* first: ns__change_pages and readers use it */
    struct ns__file file;
    struct ns__alloc *alloc;
    struct ns_vfs_map map;
    struct ns__space space;
    uint64_t *runs_verified; /* bits by first page, as pages.verified */
    uint64_t bitmap_bytes;   /* of verified and runs_verified */

    uint8_t *arena; /* frame n at n * page_size; frame 0 is not used */
    struct ns__frame_info *infos;
    uint32_t *free_frames; /* stack: the frame freed last is warm in the cache */
    uint64_t free_frame_count, frame_top, frame_limit, spill_floor;
    uint64_t dirty;  /* frames that the newest root reaches */
    uint64_t placed; /* of these, with a page from the running checkpoint */

    struct ns__thing_pool pool;
    struct ns__waiting waiting_frames, waiting_pages;
    uint64_t *holders; /* scratch of reclaim */
    struct ns__page_event *events;
    uint64_t event_count, event_capacity;
    uint64_t events_kept; /* room that the running checkpoint will need */
    struct ns__change change;
    uint8_t *spill_buffers[NS__LEVEL_MAX + 1];

    bool meta_is_confirmed;    /* written by this handle */
    struct ns__meta *meta;     /* newest durable */
    uint64_t older_generation; /* of the older meta's root; 0: there is none */
    struct ns__meta *older;

    uint64_t copied, spills, written; /* counters, atomic */
};

struct ns__pager_options {
    uint64_t frame_bytes;
    uint32_t holder_max; /* distinct generations that can be held at a time */
};

/* file: opened handle, page size and uuid filled in; taken over by value. A new file: fixed pages
 * only, no meta yet. */
ns_status ns__pager_create(const struct ns__file *file, struct ns__alloc *alloc,
                           const struct ns__pager_options *options, struct ns__pager **pager_out);
/* An existing one, from its metas (older NULL: not valid). The file has file_pages whole pages. */
ns_status ns__pager_open(const struct ns__file *file, struct ns__alloc *alloc,
                         const struct ns__pager_options *options, uint64_t file_pages,
                         const struct ns__meta *newest, const struct ns__meta *older,
                         struct ns__pager **pager_out);
/* Frees everything but the vfs handle. NULL and half-built are fine. */
void ns__pager_free(struct ns__pager *pager);

/* ---- changes: see pages.h; head lock ---- */

/* Begins the change that makes generation `generation` (newest plus one). */
struct ns__change *ns__change_begin(struct ns__pager *pager, uint64_t generation, bool use_reserve);
/* The nodes are all made: checks that memory and file space for publishing and for the next
 * checkpoint are there. NS_FULL, NS_NOMEM. */
ns_status ns__change_prepare(struct ns__change *change);
/* The change's root was published: what died in it waits for its holders. Cannot fail. */
void ns__change_publish(struct ns__change *change);
/* As if it had never been. Also for a change that failed midway. */
void ns__change_abort(struct ns__change *change);
/* The promise is what the newest root's frames will need: dirty - placed. Head lock. */
void ns__pager_keep_promise(struct ns__pager *pager);
/* Room for `more` events besides those already promised. NS_NOMEM. */
ns_status ns__pager_reserve_events(struct ns__pager *pager, uint64_t more);

/* Reuses what nobody reaches any more. held: generations of open snapshots, ascending, distinct;
 * the metas' are added here. Head lock. */
void ns__pager_reclaim(struct ns__pager *pager, const uint64_t *held, uint32_t held_count);

/* The node in a frame. */
static inline uint8_t *ns__pager_frame(struct ns__pager *pager, uint64_t frame)
{
    return pager->arena + (frame << pager->pages.page_shift);
}

/* Frames that can be taken before nodes are spilled. Head lock. */
uint64_t ns__pager_frames_left(const struct ns__pager *pager);
uint64_t ns__pager_frames_used(const struct ns__pager *pager);

/* ---- checkpoints: checkpoint.c ---- */

struct ns__checkpoint {
    struct ns__root root;          /* what is written */
    struct ns__number_list frames; /* children before parents */
    struct ns__number_list runs;   /* page, count, ... given to the images, in order */
    uint64_t live;                 /* images marked live */
    struct ns__thing *things;      /* one for each frame, so that finish cannot fail */
    struct ns__meta *next;
};

/* Fixes what is to be written: the newest published root (held by the caller until after finish),
 * its frames, and pages for all of them, in one head-locked step: so nothing that was born after
 * the root can have had these pages, and the promise covers them exactly. Head and checkpoint lock
 * held. On failure nothing has changed. NS_NOMEM, NS_FULL (not if the promise was kept), NS_IO,
 * NS_CORRUPT. */
ns_status ns__checkpoint_begin(struct ns__pager *pager, const struct ns__root *root,
                               struct ns__checkpoint *checkpoint);

/* Writes the images, the space maps and the meta, and syncs. The meta's other fields (floor,
 * history) come from fields; root, sequence and maps are filled in here. Takes head briefly.
 * Checkpoint lock held. On failure nothing has changed, unless file.sync_failed is set. */
ns_status ns__checkpoint_write(struct ns__pager *pager, pthread_mutex_t *head,
                               const struct ns__meta *fields, struct ns__checkpoint *checkpoint);

/* After a successful write. Head lock. *newest is the newest published root; it and everything it
 * reaches is swung to the file pages. The caller publishes *newest as generation + 1 if true is
 * returned, then reclaims. */
bool ns__checkpoint_finish(struct ns__pager *pager, struct ns__checkpoint *checkpoint,
                           struct ns__root *newest);
void ns__checkpoint_deinit(struct ns__pager *pager, struct ns__checkpoint *checkpoint);

/* Is there nothing that a checkpoint of root would write? */
bool ns__checkpoint_is_idle(const struct ns__pager *pager, const struct ns__root *root,
                            const struct ns__meta *fields);

/* Writes the newest meta again, as it is, and durably, unless this handle wrote it. */
ns_status ns__pager_confirm_meta(struct ns__pager *pager);

/* Writes both metas of a new file and syncs: root is empty. */
ns_status ns__pager_write_first_metas(struct ns__pager *pager, const struct ns__meta *first);

#endif
