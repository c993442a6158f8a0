/* mem.h: the vfs contract in memory, for in-memory databases and for simulated worlds.
 *
 * A world holds files by path. With NS__MEM_DURABILITY it also keeps, per file, what a power cut
 * may leave: the durable image, plus the writes, sizes and directory entries that no sync has made
 * durable yet. A countdown fails a chosen call (the io_faults rack), and another stops the world
 * there (the crash racks). */
#ifndef NS_VFS_MEM_H
#define NS_VFS_MEM_H

#include <stdbool.h>
#include <northstar/alloc.h>
#include <northstar/vfs.h>

struct ns__mem; /* one world */

#define NS__MEM_DURABILITY                                                                         \
    0x1u /* track what is durable; without it sync is free and crash is impossible */
#define NS__MEM_FAKE_TIME                                                                          \
    0x2u /* clock starts at 1,000,000,000,000,000 us and moves 1 us per call; entropy is seeded */

/* allocator NULL = malloc. */
ns_status ns__mem_new(uint32_t flags, uint64_t seed, const struct ns_allocator *allocator,
                      struct ns__mem **mem_out);
void ns__mem_free(struct ns__mem *mem); /* closes nothing: files must be closed; NULL is fine */
const struct ns_vfs *ns__mem_vfs(struct ns__mem *mem);

/* ---- the countdowns ---- */

/* A call = any vfs call that can fail for a reason outside the program: open, size, read, write,
 * write_sync, sync, allocate, truncate, lock, remove, exists, sync_parent, map, map_extend,
 * reserve, entropy. */
enum ns__mem_call {
    NS__MEM_OPEN,
    NS__MEM_SIZE,
    NS__MEM_READ,
    NS__MEM_WRITE,
    NS__MEM_WRITE_SYNC,
    NS__MEM_SYNC,
    NS__MEM_ALLOCATE,
    NS__MEM_TRUNCATE,
    NS__MEM_LOCK,
    NS__MEM_REMOVE,
    NS__MEM_EXISTS,
    NS__MEM_SYNC_PARENT,
    NS__MEM_MAP,
    NS__MEM_MAP_EXTEND,
    NS__MEM_RESERVE,
    NS__MEM_ENTROPY,
    NS__MEM_CALL_KINDS
};
uint64_t ns__mem_calls(const struct ns__mem *mem); /* all so far */
uint64_t ns__mem_calls_of(const struct ns__mem *mem, enum ns__mem_call kind);

/* The nth call from now (1 = the next) fails with status, and the following ones too if for_ever.
 * kinds is a bit mask over enum ns__mem_call (0 = all). A failing write leaves a prefix of its
 * bytes written; a failing sync makes a seeded subset of the pending writes durable and forgets the
 * rest (they stay visible: as measured on real file systems), and later syncs succeed without them.
 * nth 0 disarms. */
void ns__mem_fail(struct ns__mem *mem, uint64_t nth, uint64_t kinds, ns_status status,
                  bool for_ever);

/* How a sync or write_sync that ns__mem_fail strikes goes wrong (NS__MEM_DURABILITY). Each time a
 * seeded subset of what was pending becomes durable (of NOTHING nothing does) and the rest is
 * forgotten; a retry succeeds. */
enum ns__mem_sync_failure {
    NS__MEM_SYNC_NEW, /* what was lost stays visible; the mode of a new world */
    NS__MEM_SYNC_OLD, /* what was lost reads as it did when it was last durable, in maps too */
    NS__MEM_SYNC_READ_ONLY, /* as NEW; after it the world answers NS_READONLY to every change and
                               sync, until it is crashed into a new one */
    NS__MEM_SYNC_NOTHING,   /* as NEW, and all of it was lost */
    NS__MEM_SYNC_LATE       /* as NEW, but this call says NS_OK; the next sync or write_sync, of any
                               file, does its work and says the status */
};
void ns__mem_set_sync_failure(struct ns__mem *mem, enum ns__mem_sync_failure mode);

/* Bytes the "disk" holds, over all files; beyond it write, allocate and write_sync give NS_FULL. 0
 * = no limit. */
void ns__mem_set_capacity(struct ns__mem *mem, uint64_t bytes);

/* ---- power cuts (NS__MEM_DURABILITY) ---- */

/* The nth call from now stops the world in the middle of it: that call's effect is pending, it and
 * every later call returns NS_IO and changes nothing. Then ns__mem_crash tells what survived. nth 0
 * disarms. */
void ns__mem_stop_at(struct ns__mem *mem, uint64_t nth);
bool ns__mem_stopped(const struct ns__mem *mem);

/* Pending atoms: each unsynced write is split at multiples of atom_bytes of the file (512 or 4096;
 * 1 = byte-torn: a surviving write keeps a prefix of each sector); sizes, allocations and directory
 * entries are atoms of their own. */
struct ns__mem_pending {
    uint64_t atoms; /* how many could survive or not */
    uint64_t files;
};
void ns__mem_pending(const struct ns__mem *mem, uint32_t atom_bytes, struct ns__mem_pending *out);

/* A new world: what a machine would find after the power came back. keep(ctx, i) says for each
 * pending atom i (in program order) whether it survived; atoms of the same bytes are applied in
 * program order. keep NULL: none. The old world is left as it is. Open handles of the old world
 * stay with the old world. */
ns_status ns__mem_crash(const struct ns__mem *mem, uint32_t atom_bytes,
                        bool (*keep)(void *ctx, uint64_t atom), void *ctx, uint64_t seed,
                        struct ns__mem **after_out);

/* Added to atom_bytes of ns__mem_crash: where a size survived and the bytes in it did not, they
 * read as old content of other pages of the file, not as zeros. */
#define NS__MEM_STALE 0x80000000u

/* ---- watching a world (NS__MEM_DURABILITY; a world that one thread uses) ---- */

/* From now on seen is called in the middle of every call that changes what is pending or durable,
 * where ns__mem_stop_at would stop the world: all of the call is pending, nothing is durable by it.
 * It may look at the world through this header, and change nothing of it. NULL: no more. */
void ns__mem_watch(struct ns__mem *mem, void (*seen)(void *ctx), void *ctx);

enum ns__mem_atom_kind {
    NS__MEM_ATOM_BYTES,
    NS__MEM_ATOM_GROW, /* the size becomes at least offset */
    NS__MEM_ATOM_CUT,  /* the size becomes offset */
    NS__MEM_ATOM_NAME, /* the file gets its name */
    NS__MEM_ATOM_UNNAME
};
struct ns__mem_atom {
    enum ns__mem_atom_kind kind;
    bool is_of_path; /* of the file that path names; false: of another one */
    uint64_t offset;
    size_t size;         /* BYTES only, as data */
    const uint8_t *data; /* a view, until the world changes */
};
/* The pending atoms as ns__mem_crash counts them. */
void ns__mem_atoms(const struct ns__mem *mem, uint32_t atom_bytes, const char *path,
                   void (*each)(void *ctx, const struct ns__mem_atom *atom), void *ctx);

/* What is durable of the file that path names now. False: no such file. */
struct ns__mem_durable {
    bool is_named; /* a power cut leaves the name, and it leads to this file */
    uint64_t size;
};
bool ns__mem_durable(const struct ns__mem *mem, const char *path, struct ns__mem_durable *out);
/* The 4096 bytes at page * 4096 as they are on the medium; behind the durable size they are not
 * there. A view, until the world changes. NULL: never written to. */
const uint8_t *ns__mem_durable_page(const struct ns__mem *mem, const char *path, uint64_t page);

/* ---- looking in from outside (tests) ---- */
ns_status ns__mem_clone(const struct ns__mem *mem,
                        struct ns__mem **clone_out); /* as if all were synced */
ns_status ns__mem_file_get(const struct ns__mem *mem, const char *path,
                           ns_slice *content_out); /* a view */
ns_status ns__mem_file_set(struct ns__mem *mem, const char *path,
                           ns_slice content); /* durable at once */
struct ns__mem_counters {
    uint64_t writes, write_bytes, sync_writes, sync_write_bytes, syncs, allocated_bytes;
};
void ns__mem_counters(const struct ns__mem *mem, struct ns__mem_counters *out);
uint64_t ns__mem_image_hash(const struct ns__mem *mem); /* of all paths and contents */

#endif
