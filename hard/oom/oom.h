/* oom.h: what the files of the rack share.
 *
 * main.c      the sweep: scenario x fault x n, and what must hold after each run
 * fault.c     the allocator and the file system that refuse
 * sites.c     which calls of the allocator the library contains, and which of them were refused
 * session.c   one run: the database, what it must contain, and the calls with their judgement
 * settle.c    the end of a run: everything that must hold once memory is back
 * bases.c     the files that scenarios start from
 * scenarios_*.c  what is done while memory fails */
#ifndef NS_HARD_OOM_OOM_H
#define NS_HARD_OOM_OOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <northstar.h>
#include <northstar/log.h>
#include <northstar/vfs.h>
#include "base/prng.h"
#include "common/rack.h"
#include "harness/reference.h"
#include "vfs/mem.h"

enum oom_figure {
    OOM_SCENARIOS,
    OOM_RUNS,
    OOM_ALLOC_POINTS, /* runs in which the allocator refused */
    OOM_VFS_POINTS,   /* runs in which the file system refused */
    OOM_REFUSED_COMMITS,
    OOM_ABSORBED, /* runs in which something failed and no call said so, as it may */
    OOM_SITES,    /* lines of the source that call the allocator */
    OOM_SITES_FAILED,
    OOM_SITES_EXCUSED,
    OOM_CALLS, /* calls in the machine code */
    OOM_CALLS_FAILED,
    OOM_FIGURES
};

/* ---- fault.c: one process, one run at a time ---- */

enum oom_what { OOM_ALLOCATOR, OOM_HELPER_ALLOCATOR, OOM_FILE_SYSTEM };

struct oom_fault {
    enum oom_what what;
    uint64_t nth; /* 1 is the next; 0: none, only count */
    bool for_ever;
};

extern const struct ns_allocator oom_allocator;
/* The world's table, with open, map, map_extend and reserve refusing on demand, and everything that
 * is taken counted until it is given back. Static; of the last call. */
const struct ns_vfs *oom_vfs(struct ns__mem *mem);

void oom_arm(const struct oom_fault *fault);
void oom_disarm(void);
uint64_t oom_fired(void); /* refusals since armed */
size_t oom_held_bytes(void);
/* Fails the rack if anything is held. */
void oom_expect_nothing_held(const char *when);

/* ---- sites.c ---- */

/* Finds the calls; before rack_run. */
void oom_sites_init(void);
/* Which call is this one? SIZE_MAX if it is none that is known. Skips the frames of this rack. */
size_t oom_sites_here(void);
void oom_sites_note(size_t site, bool is_failed);
/* Adds the figures. False if a site was never refused and has no excuse; prints them all if
 * is_listing. */
bool oom_sites_judge(bool is_listing);
/* True if every site that was seen was refused. */
bool oom_sites_agree(void);
void oom_sites_reset(void);

/* ---- canaries: ways to break the rack ---- */

enum oom_canary {
    OOM_HEALTHY,
    OOM_CANARY_LEAK,   /* the allocator loses count of one release */
    OOM_CANARY_SIZE,   /* one release is seen with another size */
    OOM_CANARY_COMMIT, /* the reference applies a transaction that failed */
    OOM_CANARY_LOST,   /* the reference forgets a put that was committed */
    OOM_CANARY_STATUS, /* one NS_NOMEM is taken for NS_OK */
    OOM_CANARY_SITE,   /* one refused site is not noted */
    OOM_CANARIES
};
extern enum oom_canary oom_canary;

/* ---- session.c ---- */

struct oom_session {
    const struct oom_scenario *scenario;
    uint64_t variant;
    uint64_t n;
    struct oom_fault fault;
    bool is_repeated; /* what was done is done again once memory is back */
    bool is_dying;    /* memory is not back before the handle is closed */
    struct ns__prng prng;
    struct ns__mem *mem;
    ns_options options;
    ns_db *db;
    struct ref_state *committed; /* what the database must hold */
    ns_txn *write;
    struct ref_state *working; /* what `write` must see */
    ns_status failed;          /* why `write` must refuse to commit */
    ns_txn *reader;
    struct ref_state *seen; /* what `reader` must see */
    ns_txn *bystander;      /* a reader from before memory fails, of another thread as it were */
    struct ref_state *bystander_state;
    ns_cursor *cursor;
    ns_log *log;
    uint64_t puts;
    uint64_t said;     /* calls that answered NS_NOMEM */
    uint64_t attempts; /* checkpoints that ended, well or not; atomic */
    uint64_t failures; /* of these, badly; atomic */
    bool is_volatile;  /* NS_IN_MEMORY: gone at close */
};

struct oom_scenario {
    const char *name;
    struct oom_base *base;                        /* NULL: no file */
    void (*configure)(ns_options *options);       /* NULL: as oom_options says */
    void (*prepare)(struct oom_session *session); /* with memory; NULL: opens */
    void (*act)(struct oom_session *session);     /* while memory fails */
    uint64_t variants;                            /* 0: one */
    bool is_alone;                                /* no bystander: the handle is closed */
    bool is_shift;  /* its variants only move the ends of an arena's blocks */
    bool is_helper; /* the helper thread runs, and it alone is refused */
};

#define OOM_PATH "oom.ns"

/* Judges a call: wanted, or NS_NOMEM if something was refused during it. Returns the status. */
#define OOM_CALL(session, call, wanted)                                                            \
    (oom_before(), oom_judge((session), (call), (wanted), #call))
void oom_before(void);
ns_status oom_judge(struct oom_session *session, ns_status status, ns_status wanted,
                    const char *call);

void oom_options(struct oom_session *session);
void oom_open(struct oom_session *session);
void oom_close(struct oom_session *session);

void oom_begin(struct oom_session *session);
void oom_commit(struct oom_session *session);
void oom_abort(struct oom_session *session);
void oom_read_begin(struct oom_session *session);
void oom_read_end(struct oom_session *session);
void oom_bystander_begin(struct oom_session *session);

ns_slice oom_key(uint64_t index);                /* six are valid at a time */
ns_slice oom_value(uint64_t seed, size_t bytes); /* one at a time */
ns_status oom_put_slices(struct oom_session *session, ns_keyspace keyspace, ns_slice key,
                         ns_slice value);
ns_status oom_put(struct oom_session *session, ns_keyspace keyspace, uint64_t key, size_t bytes);
ns_status oom_insert(struct oom_session *session, ns_keyspace keyspace, uint64_t key, size_t bytes);
ns_status oom_del(struct oom_session *session, ns_keyspace keyspace, uint64_t key);
ns_status oom_del_range(struct oom_session *session, ns_keyspace keyspace, uint64_t from,
                        uint64_t to);
ns_status oom_note(struct oom_session *session, size_t bytes);
/* Returns 0 when it failed. */
ns_keyspace oom_keyspace(struct oom_session *session, const char *name);
ns_status oom_drop(struct oom_session *session, const char *name);
ns_keyspace oom_id(const struct oom_session *session, const char *name); /* of the reference */
void oom_checkpoint(struct oom_session *session);
/* Waits until that many checkpoints have ended, well or not. */
void oom_wait_for_helper(struct oom_session *session, uint64_t attempts);
void oom_get(struct oom_session *session, ns_keyspace keyspace, uint64_t key);

/* ---- settle.c ---- */

void oom_settle(struct oom_session *session);
/* txn must show exactly this, forward and backward. */
void oom_expect_content(ns_txn *txn, const struct ref_state *state, bool backward,
                        const char *what);

/* ---- bases.c ---- */

struct oom_base {
    const char *name;
    void (*build)(struct oom_session *session); /* with the handle open */
    void (*configure)(ns_options *options);
    bool is_open;                                /* copied while the handle was open: not closed */
    void (*damage)(struct oom_session *session); /* the copy; may change session->committed */
    struct ns__mem *mem;                         /* made when first needed */
    struct ref_state *content;
};
extern struct oom_base oom_small, oom_dirty, oom_torn, oom_wide, oom_one_meta, oom_one_map,
    oom_records, oom_unfinished, oom_long_log, oom_many_extents, oom_edge, oom_recycled,
    oom_tail_full;

void oom_start(struct oom_session *session); /* mem and committed, from the scenario's base */
void oom_bases_free(void);

/* The records of a base's log, in order; made when first needed. */
size_t oom_record_count(struct oom_base *base);
ns_slice oom_record(struct oom_base *base, size_t index);

/* ---- scenarios ---- */

extern const struct oom_scenario oom_scenarios_open[], oom_scenarios_change[], oom_scenarios_read[],
    oom_scenarios_store[]; /* each ends with one without a name */

#endif /* NS_HARD_OOM_OOM_H */
