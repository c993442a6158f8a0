/* mem_world.h: what mem.c (the world), mem_table.c (its vfs table), mem_crash.c (what is durable
 * and what is pending) and mem_watch.c (views of that) share. Private to them. */
#ifndef NS_VFS_MEM_WORLD_H
#define NS_VFS_MEM_WORLD_H

#include <pthread.h>
#include "base/alloc.h"
#include "base/prng.h"
#include "vfs/mem.h"

#define NS__MEM_PAGE ((size_t)4096)
#define NS__MEM_SECTOR 512u

/* Worlds that come from one another by crash and clone: they share an allocator and spare address
 * ranges. */
struct ns__mem_family {
    pthread_mutex_t lock;
    struct ns__alloc alloc;
    uint64_t worlds;
    struct ns__mem_range *spare;
    uint64_t spare_count;
    size_t range_bytes; /* what the system was last seen to grant; 0: not asked yet */
};

/* A reserved address range, followed by room for one bit per page of it, which are zero when it
 * is spare. */
struct ns__mem_range {
    struct ns__mem_range *next;
    uint8_t *base;
    size_t bytes;
    size_t dirty; /* bytes from here on are zero; only right while the range is spare */
};

/* One file, named or not. The current content is [base, base + size); behind it everything is
 * zero. */
struct ns__mem_inode {
    struct ns__mem_inode *next;
    struct ns__mem_range *range;
    uint8_t *base;
    uint64_t size;  /* atomic; changed under the world's lock */
    uint64_t dirty; /* no byte at or behind it was ever written; a multiple of NS__MEM_PAGE */
    uint64_t handles;
    uint64_t names; /* references from names, and from pending operations on names */
    uint64_t shared_locks;
    bool sole_lock;
    bool is_private; /* a private handle's copy: on no disk, never durable, in no name */

    /* NS__MEM_DURABILITY. The durable image: pages with their bit set are in durable_base, all
     * others are the same as the current ones. saved is NULL as long as no page differs. */
    uint64_t durable_size;
    struct ns__mem_range *saved;
    uint8_t *durable_base;
    uint64_t *saved_bits;

    const struct ns__mem_inode *source; /* what this is a copy of, while its world is made */
};

struct ns__mem_name {
    struct ns__mem_name *next;
    struct ns__mem_inode *current; /* NULL: no such file */
    struct ns__mem_inode *durable;
    size_t path_bytes; /* with the NUL */
    char path[];
};

struct ns__mem_file { /* an open handle */
    struct ns__mem_inode *inode;
    struct ns__mem_inode *copy; /* NS_VFS_PRIVATE: the content, once it was changed or mapped */
    uint32_t flags;
    uint32_t lock;
};

enum ns__mem_op_kind {
    NS__MEM_OP_WRITE,
    NS__MEM_OP_GROW, /* a new size, or an allocation up to there */
    NS__MEM_OP_CUT,
    NS__MEM_OP_CREATE,
    NS__MEM_OP_REMOVE
};

/* Something that no sync has made durable yet. */
struct ns__mem_op {
    struct ns__mem_op *previous, *next;
    struct ns__mem_inode *inode;
    struct ns__mem_name *name; /* CREATE, REMOVE */
    enum ns__mem_op_kind kind;
    uint64_t offset; /* WRITE: of the bytes; GROW, CUT: the new size */
    size_t size;     /* WRITE: of the bytes */
    size_t capacity; /* bytes allocated for data */
    uint8_t data[];
};

struct ns__mem_fault {
    uint64_t countdown; /* 0 = disarmed */
    uint64_t kinds;
    ns_status status;
    bool for_ever;
    bool burning; /* for_ever has begun */
};

struct ns__mem {
    struct ns_vfs vfs;
    struct ns__mem_family *family;
    struct ns__alloc *alloc;
    pthread_mutex_t lock; /* everything below, but for words marked atomic */
    uint32_t flags;
    uint64_t armed;          /* atomic: a countdown runs or the world is stopped */
    uint64_t ticks;          /* atomic: NS__MEM_FAKE_TIME */
    struct ns__prng chance;  /* of faults */
    struct ns__prng entropy; /* NS__MEM_FAKE_TIME */
    struct ns__mem_inode *inodes;
    struct ns__mem_name *names;
    struct ns__mem_op *oldest, *newest;
    uint64_t capacity, used;
    struct ns__mem_fault fault;
    enum ns__mem_sync_failure sync_failure;
    ns_status late; /* what the next sync says after NS__MEM_SYNC_LATE */
    bool read_only; /* after NS__MEM_SYNC_READ_ONLY */
    uint64_t stop_countdown;
    bool stopped;
    void (*seen)(void *ctx); /* ns__mem_watch; NULL: nobody looks */
    void *seen_ctx;
    uint64_t calls[NS__MEM_CALL_KINDS]; /* atomic */
    struct ns__mem_counters counters;   /* atomic */
};

/* ---- mem.c; under the world's lock where nothing else is said ---- */

void ns__mem_lock_world(const struct ns__mem *mem); /* to look at a world takes its lock too */
void ns__mem_unlock_world(const struct ns__mem *mem);
bool ns__mem_tracks(const struct ns__mem *mem); /* NS__MEM_DURABILITY; without the lock */

/* A world like mem (allocator, flags, capacity, time), with no files. NULL: no memory. */
struct ns__mem *ns__mem_world_like(const struct ns__mem *mem, uint64_t seed);

enum ns__mem_fate {
    NS__MEM_FATE_GO,
    NS__MEM_FATE_FAIL, /* this call fails, as such calls do */
    NS__MEM_FATE_STOP, /* the world stops in the middle of this call */
    NS__MEM_FATE_DEAD  /* it had stopped before */
};
/* Runs the countdowns. *status_out is what the call returns; NS_OK for NS__MEM_FATE_GO. */
enum ns__mem_fate ns__mem_fate_of(struct ns__mem *mem, enum ns__mem_call kind,
                                  ns_status *status_out);
void ns__mem_count_call(struct ns__mem *mem, enum ns__mem_call kind); /* without the lock */
/* Counts and decides, for a call that leaves nothing behind when it fails. Without the lock. */
ns_status ns__mem_allowed(struct ns__mem *mem, enum ns__mem_call kind);

struct ns__mem_range *ns__mem_range_take(struct ns__mem *mem); /* NULL: no memory */
/* Bytes of the range from dirty on, and its bits, are zero. */
void ns__mem_range_give(struct ns__mem *mem, struct ns__mem_range *range, size_t dirty);
void ns__mem_small_pages(const struct ns__mem *mem, void *memory,
                         size_t size); /* without the lock */

/* The first dirty bytes of the new file's range are the caller's to fill. NULL: no memory. */
struct ns__mem_inode *ns__mem_inode_new(struct ns__mem *mem, uint64_t dirty);
/* A private copy of the current content. NULL: no memory. */
struct ns__mem_inode *ns__mem_inode_copy(struct ns__mem *mem, const struct ns__mem_inode *source);
/* Frees the inode if no handle and no name is left. */
void ns__mem_inode_settle(struct ns__mem *mem, struct ns__mem_inode *inode);
void ns__mem_size_set(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t size);
/* Zeroes the content from there to the size, before a smaller size is set. */
void ns__mem_zero_tail(struct ns__mem_inode *inode, uint64_t from);

struct ns__mem_name *ns__mem_name_find(const struct ns__mem *mem, const char *path);
struct ns__mem_name *ns__mem_name_add(struct ns__mem *mem, const char *path); /* NULL: no memory */
/* Gives name another file, or none, as an operation that is pending where that is tracked. */
ns_status ns__mem_name_change(struct ns__mem *mem, struct ns__mem_name *name,
                              struct ns__mem_inode *inode);
/* A new empty file under path, which has none. */
ns_status ns__mem_file_create(struct ns__mem *mem, const char *path,
                              struct ns__mem_inode **inode_out);

/* ---- mem_watch.c ---- */

/* Shows the world to who watches it, without its lock, if anybody does. */
void ns__mem_show(struct ns__mem *mem);

/* ---- mem_table.c ---- */

extern const struct ns_vfs ns__mem_table; /* ctx is the world */

/* ---- mem_crash.c; all under the world's lock, all only with NS__MEM_DURABILITY ---- */

/* How many atoms an operation is; 0 for a file that has no name, now or after any crash. */
uint64_t ns__mem_atoms_of(const struct ns__mem_op *op, uint32_t atom_bytes);
bool ns__mem_is_saved(const struct ns__mem_inode *inode, size_t page); /* C1 */

/* Notes, before it is done, that [offset, offset + size) gets these bytes. NS_NOMEM: nothing is
 * noted. */
ns_status ns__mem_note_write(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t offset,
                             const void *data, size_t size);
/* Notes a new size, before the content behind a smaller one is zeroed. */
ns_status ns__mem_note_size(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t size);
/* Notes a name's new file (NULL: removed), before it is set. */
ns_status ns__mem_note_name(struct ns__mem *mem, struct ns__mem_name *name,
                            struct ns__mem_inode *inode);
/* Makes exactly these bytes durable, before they are written, with the size needed to read them
 * back. */
ns_status ns__mem_settle_range(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t offset,
                               const void *data, size_t size);
/* Such a write fails while it syncs: after note_write, a random part of the bytes becomes durable
 * and nothing of the range is pending any more. */
void ns__mem_settle_range_half(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t offset,
                               const uint8_t *data, size_t size);
/* A sync. half: it fails; a random part becomes durable, the rest is forgotten. */
void ns__mem_settle_file(struct ns__mem *mem, struct ns__mem_inode *inode, bool half);
/* What was lost is no longer seen: the current content becomes the durable one, the size stays. */
void ns__mem_show_durable(struct ns__mem_inode *inode);
void ns__mem_settle_name(struct ns__mem *mem, struct ns__mem_name *name);
/* Drops what is pending about an inode's content: what is current is durable. */
void ns__mem_settle_as_is(struct ns__mem *mem, struct ns__mem_inode *inode);
void ns__mem_ops_free(struct ns__mem *mem);

#endif
