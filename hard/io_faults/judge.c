/* judge.c: see judge.h.
 *
 * Order of the questions to one run:
 *   1. The fault ends, in half of the runs: a handle that is not poisoned must commit again.
 *   2. The power fails with the handle open: nothing, all or half of what is pending survives.
 *   3. The handle is closed (in the other half of the runs the fault still burns); nothing may be
 *      left behind, no lock either.
 *   4. The power fails after the close. On a copy of that medium a second fault meets recovery.
 *   5. The process starts again with the cache as it is: a read-only look, a second fault (both
 *      in some runs), then the opening that settles. What it shows, a power cut right after it
 *      does not take back.
 *   6. One more transaction, verify. */
#include "io_faults/judge.h"

#include <stdio.h>
#include <string.h>

#include "base/prng.h"
#include "common/rack.h"

#define ROTTEN UINT64_MAX

const ns_status *judge_statuses(enum ns__mem_call kind)
{
    static const ns_status opening[] = {NS_IO, NS_NOMEM, NS_FULL, NS_READONLY, NS_OK};
    static const ns_status writing[] = {NS_IO, NS_FULL, NS_OK};
    static const ns_status locking[] = {NS_IO, NS_BUSY, NS_OK};
    static const ns_status mapping[] = {NS_NOMEM, NS_FULL, NS_IO, NS_OK};
    static const ns_status memory[] = {NS_NOMEM, NS_OK};
    static const ns_status other[] = {NS_IO, NS_OK};
    switch ((unsigned)kind) {
    case NS__MEM_OPEN: return opening;
    case NS__MEM_WRITE:
    case NS__MEM_WRITE_SYNC:
    case NS__MEM_SYNC:
    case NS__MEM_SYNC_PARENT:
    case NS__MEM_ALLOCATE: return writing;
    case NS__MEM_LOCK: return locking;
    case NS__MEM_MAP:
    case NS__MEM_MAP_EXTEND: return mapping;
    case NS__MEM_RESERVE: return memory;
    default: return other;
    }
}

/* ---- one opening of a medium ---- */

static struct shim checker; /* of openings that are not the run's own */

struct range {
    uint64_t low, high;
};

static ns_options options_for(const struct run *run, struct ns__mem *mem)
{
    ns_options with = run->with;
    if (checker.inner == NULL) shim_init(&checker, ns__mem_vfs(mem));
    shim_restart(&checker, ns__mem_vfs(mem));
    with.vfs = &checker.vfs;
    with.allocator = &checker.allocator;
    with.on_event = NULL;
    return with;
}

static void check_leak(const char *when)
{
    const char *leak = shim_leak(&checker);
    if (leak != NULL) rack_fail("%s left behind: %s", when, leak);
}

static void close_clean(const struct run *run, ns_db *db)
{
    ns_status status = ns_db_close(db);
    if (status != NS_OK && !(status == NS_CORRUPT && run->may_rot))
        rack_fail("close after recovery gave %s", ns_status_name(status));
    check_leak("a close after recovery");
}

/* Opens with nothing failing. *db_out stays open, NULL when ROTTEN is returned. */
static uint64_t open_clean(const struct run *run, const ns_options *with, struct range range,
                           ns_db **db_out)
{
    ns_status status = ns_db_open(run->path, with, db_out);
    rack_add(FIGURE_REOPENED, 1);
    if (status == NS_IO && run->may_rot) { /* the report of the lie was still to come */
        check_leak("a failed open");
        status = ns_db_open(run->path, with, db_out);
    }
    if (status == NS_CORRUPT && run->may_rot) {
        check_leak("a failed open");
        rack_add(FIGURE_ROTTEN, 1);
        return ROTTEN;
    }
    if (status != NS_OK) rack_fail("recovery gave %s", ns_status_name(status));
    uint64_t found = run_look(run, *db_out, range.low, range.high);
    if (found == ROTTEN) {
        rack_add(FIGURE_ROTTEN, 1);
        close_clean(run, *db_out);
        *db_out = NULL;
    }
    return found;
}

static void note_finding(void *ctx, const ns_finding *finding)
{
    char *text = ctx;
    if (finding->status == NS_OK || text[0] != '\0') return;
    snprintf(text, REF_TEXT_BYTES, "page %lld: %s", (long long)finding->page, finding->text);
}

static void verify(const struct run *run, const ns_options *with)
{
    char text[REF_TEXT_BYTES] = "";
    ns_status status = ns_db_verify(run->path, with, note_finding, text);
    if (status != NS_OK && !(status == NS_CORRUPT && run->may_rot))
        rack_fail("verify gave %s: %s", ns_status_name(status), text);
    check_leak("verify");
}

/* One more transaction through db works, and is there after another open. */
static void go_on(const struct run *run, const ns_options *with, ns_db *db, uint64_t found)
{
    char text[REF_TEXT_BYTES];
    ns_txn *txn;
    uint64_t txn_id;
    struct ref_state *state = ref_state_copy(run_state(run, found));
    ns_status status = ns_txn_begin(db, NS_WRITE, &txn);
    if (status != NS_OK) rack_fail("a write after recovery gave %s", ns_status_name(status));
    status = ns_txn_put(txn, NS_MAIN, ns_str("after"), ns_str("that"));
    if (status == NS_OK) status = ns_txn_commit(txn, &txn_id);
    bool is_rotten = status == NS_CORRUPT && run->may_rot;
    if (!is_rotten && (status != NS_OK || txn_id != found + 1))
        rack_fail("a commit after recovery gave %s", ns_status_name(status));
    close_clean(run, db);
    verify(run, with);
    ref_put(state, NS_MAIN, ns_str("after"), ns_str("that"));
    status = is_rotten ? NS_CORRUPT : ns_db_open(run->path, with, &db);
    if (status == NS_OK) {
        if (ns_txn_begin(db, NS_READ, &txn) != NS_OK) rack_fail("begin of a reader failed");
        if (!ref_check_hash(txn, state, text) && !run->may_rot) rack_fail("afterwards: %s", text);
        ns_txn_abort(txn);
        close_clean(run, db);
    } else if (!run->may_rot) {
        rack_fail("an open after the commit gave %s", ns_status_name(status));
    }
    ref_state_release(state);
}

/* ---- power cuts ---- */

static bool keep_all(void *ctx, uint64_t atom)
{
    (void)ctx;
    (void)atom;
    return true;
}

static bool keep_half(void *ctx, uint64_t atom)
{
    struct ns__prng prng = {*(const uint64_t *)ctx * 31 + atom};
    return ns__prng_next(&prng) % 2 == 0;
}

enum survivors { SURVIVE_NONE, SURVIVE_ALL, SURVIVE_HALF };

static struct ns__mem *cut_power(const struct ns__mem *mem, enum survivors survivors,
                                 uint64_t chance)
{
    static const uint32_t atom_sizes[3] = {4096, 512, 1};
    bool (*const keep[])(void *, uint64_t) = {NULL, keep_all, keep_half};
    struct ns__mem *after;
    ns_status status =
        ns__mem_crash(mem, atom_sizes[chance % 3], keep[survivors], &chance, chance, &after);
    if (status != NS_OK) rack_fail("the simulator: %s", ns_status_name(status));
    rack_add(FIGURE_CUTS, 1);
    return after;
}

static struct range after_a_cut(const struct run *run)
{
    return (struct range){run->may_rot ? run->safe : run->durable, run->started};
}

static void check_cut(const struct run *run, const struct ns__mem *mem, enum survivors survivors,
                      uint64_t chance, struct range range)
{
    struct ns__mem *image = cut_power(mem, survivors, chance);
    ns_options with = options_for(run, image);
    ns_db *db;
    uint64_t found = open_clean(run, &with, range, &db);
    if (found != ROTTEN && chance % 8 == 0) {
        go_on(run, &with, db, found);
    } else if (found != ROTTEN) {
        close_clean(run, db);
    }
    ns__mem_free(image);
}

/* ---- a second fault ---- */

struct second {
    uint64_t nth;
    ns_status status;
    bool for_ever;
};

/* Recovery of the medium meets a fault: it fails cleanly or shows an allowed state, and what it
 * showed is what the next one finds. Returns the range for that one. */
static struct range meet_second(const struct run *run, struct ns__mem *image, struct second second,
                                struct range range)
{
    ns_options with = options_for(run, image);
    ns_db *db;
    ns__mem_fail(image, second.nth, 0, second.status, second.for_ever);
    ns_status status = ns_db_open(run->path, &with, &db);
    rack_add(FIGURE_SECOND, 1);
    if (status == NS_OK) {
        uint64_t found = run_look(run, db, range.low, range.high);
        if (found != ROTTEN) range = (struct range){found, found};
        (void)ns_db_close(db);
    } else if (status != second.status && !(status == NS_CORRUPT && run->may_rot)) {
        rack_fail("an open that met %s gave %s", ns_status_name(second.status),
                  ns_status_name(status));
    }
    check_leak("an open with a second fault");
    ns__mem_fail(image, 0, 0, NS_OK, false);
    return range;
}

/* On media that the power cut left: in half of them the power fails again. */
static void second_after_cut(const struct run *run, const struct ns__mem *mem, struct second second,
                             uint64_t chance)
{
    enum survivors survivors = chance % 2 == 0 ? SURVIVE_HALF : SURVIVE_NONE;
    struct ns__mem *image = cut_power(mem, survivors, chance);
    struct range range = meet_second(run, image, second, after_a_cut(run));
    if (chance / 2 % 2 == 0) {
        struct ns__mem *again = cut_power(image, SURVIVE_HALF, chance / 2);
        ns__mem_free(image);
        image = again;
    }
    ns_options with = options_for(run, image);
    ns_db *db;
    uint64_t found = open_clean(run, &with, range, &db);
    if (found != ROTTEN) close_clean(run, db);
    ns__mem_free(image);
}

/* The calls of one recovery, by a clean run of it. */
struct recovery {
    uint64_t calls;
    uint8_t kinds[SHIM_KINDS_MAX];
};

static void record_recovery(const struct run *run, const struct ns__mem *mem,
                            struct recovery *recovery)
{
    struct ns__mem *image = cut_power(mem, SURVIVE_NONE, 0);
    ns_options with = options_for(run, image);
    ns_db *db;
    uint64_t found = open_clean(run, &with, after_a_cut(run), &db);
    recovery->calls = checker.calls;
    memcpy(recovery->kinds, checker.kinds, sizeof recovery->kinds);
    if (found != ROTTEN) close_clean(run, db);
    ns__mem_free(image);
}

static struct second choose_second(const struct recovery *recovery, uint64_t nth, uint64_t chance)
{
    const ns_status *statuses = judge_statuses((enum ns__mem_call)recovery->kinds[nth - 1]);
    size_t count = 0;
    while (statuses[count] != NS_OK)
        count++;
    return (struct second){nth, statuses[chance % count], chance / 8 % 2 == 0};
}

static void try_second(const struct run *run, const struct ns__mem *mem,
                       const struct recovery *recovery, uint64_t chance, bool all_second)
{
    if (recovery->calls == 0) return;
    uint64_t first = all_second ? 1 : 1 + chance / 64 % recovery->calls;
    uint64_t last = all_second ? recovery->calls : first;
    for (uint64_t nth = first; nth <= last; nth++) {
        uint64_t draw = chance / 4 + nth * 7;
        second_after_cut(run, mem, choose_second(recovery, nth, draw), draw);
    }
}

/* ---- the run's own medium ---- */

static void end_fault(struct run *run, struct ns__mem *mem)
{
    ns__mem_fail(mem, 0, 0, NS_OK, false);
    ns__mem_set_sync_failure(mem, NS__MEM_SYNC_NEW);
    if (!run->may_rot) run->allowed = 0;
}

/* The fault is over: what was not poisoned works. */
static void write_again(struct run *run)
{
    if (run->db == NULL || run->is_poisoned) return;
    uint64_t before = run->published;
    run_op(run, OP_put);
    if (run->published != before + 1 && !run->may_rot) rack_fail("no commit after the fault");
}

/* Did a failed sync leave the file system read-only? */
static bool is_read_only(const struct run *run, struct ns__mem *mem)
{
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    struct ns_vfs_file *file;
    ns_status status = vfs->open(vfs->ctx, run->path, 0, &file);
    if (status == NS_OK) vfs->close(vfs->ctx, file);
    return status == NS_READONLY;
}

static void check_unlocked(const struct run *run, struct ns__mem *mem)
{
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    struct ns_vfs_file *file;
    if (vfs->open(vfs->ctx, run->path, 0, &file) != NS_OK) return;
    ns_status status = vfs->lock(vfs->ctx, file, NS_VFS_SOLE);
    vfs->close(vfs->ctx, file);
    if (status != NS_OK) rack_fail("the file is still locked: %s", ns_status_name(status));
}

/* A report that nobody has asked for yet would come in the middle of what is judged next. */
static void ask_for_report(const struct run *run, struct ns__mem *mem)
{
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    struct ns_vfs_file *file;
    if (vfs->open(vfs->ctx, run->path, 0, &file) != NS_OK) return;
    (void)vfs->sync(vfs->ctx, file);
    vfs->close(vfs->ctx, file);
}

static void look_read_only(const struct run *run, struct ns__mem *mem, struct range range)
{
    ns_options with = options_for(run, mem);
    ns_db *db;
    with.flags |= NS_RDONLY;
    ns_status status = ns_db_open(run->path, &with, &db);
    bool is_absent = (status == NS_NOTADB || status == NS_NOTFOUND) && run->durable == 0;
    rack_add(FIGURE_REOPENED, 1);
    if (status == NS_OK) {
        (void)run_look(run, db, range.low, range.high);
        close_clean(run, db);
    } else if (!is_absent && !(status == NS_CORRUPT && run->may_rot)) {
        rack_fail("a read-only open gave %s", ns_status_name(status));
    }
    check_leak("a read-only open");
}

/* The power fails in the middle of each change after the restart, torn: while the medium holds
 * nothing of what the failed sync was to make durable, and the cache shows all of it, a rewrite
 * that is torn can leave neither the old nor the new. */
#define CUTS_MAX 64u

struct cuts {
    struct ns__mem *mem;
    uint64_t chance;
    size_t count, while_opening;
    struct ns__mem *images[CUTS_MAX];
};

static void collect_cut(void *ctx)
{
    struct cuts *cuts = ctx;
    if (cuts->count == CUTS_MAX) return;
    uint64_t chance = cuts->chance + cuts->count;
    ns_status status =
        ns__mem_crash(cuts->mem, 1, keep_all, NULL, chance, &cuts->images[cuts->count]);
    if (status != NS_OK) rack_fail("the simulator: %s", ns_status_name(status));
    cuts->count++;
    rack_add(FIGURE_CUTS, 1);
}

/* A cut while one more transaction was made after the restart (go_on): it is there or not. */
static void look_after(const struct run *run, const ns_options *with, uint64_t found)
{
    ns_db *db;
    ns_txn *txn;
    ns_slice value;
    ns_status status = ns_db_open(run->path, with, &db);
    rack_add(FIGURE_REOPENED, 1);
    if (status != NS_OK) rack_fail("after a second cut recovery gave %s", ns_status_name(status));
    if (ns_txn_begin(db, NS_READ, &txn) != NS_OK) rack_fail("begin of a reader failed");
    bool is_there = ns_txn_id(txn) == found + 1;
    status = ns_txn_get(txn, NS_MAIN, ns_str("after"), &value);
    ns_txn_abort(txn);
    if (is_there && status != NS_OK) rack_fail("after a second cut: %s", ns_status_name(status));
    if (!is_there) (void)run_look(run, db, found, found);
    close_clean(run, db);
}

static void judge_cuts(const struct run *run, struct cuts *cuts, struct range opening,
                       uint64_t found)
{
    for (size_t i = 0; i < cuts->count; i++) {
        ns_options with = options_for(run, cuts->images[i]);
        ns_db *db;
        if (i >= cuts->while_opening) {
            look_after(run, &with, found);
        } else if (open_clean(run, &with, opening, &db) != ROTTEN) {
            close_clean(run, db);
        }
        ns__mem_free(cuts->images[i]);
    }
}

static void restart(struct run *run, struct ns__mem *mem, const struct recovery *recovery,
                    uint64_t chance)
{
    struct range range = {run->is_old_seen ? run->durable : run->visible, run->started};
    struct range opening = after_a_cut(run);
    ns_db *db;
    if (chance % 4 == 0) look_read_only(run, mem, range);
    if (chance / 4 % 3 == 0 && recovery->calls > 0) {
        uint64_t nth = 1 + chance / 16 % recovery->calls;
        struct range met = meet_second(run, mem, choose_second(recovery, nth, chance / 8), range);
        if (met.low != range.low || met.high != range.high) opening = met;
        range = met;
    }
    static struct cuts cuts;
    cuts = (struct cuts){.mem = mem, .chance = chance};
    ns_options with = options_for(run, mem);
    if (run->is_cut_again) ns__mem_watch(mem, collect_cut, &cuts);
    uint64_t found = open_clean(run, &with, range, &db);
    cuts.while_opening = cuts.count;
    if (found == ROTTEN) return;
    struct range settled = {found, found};
    /* The checker is in use: the medium after the cut is opened when it is free again. */
    struct ns__mem *image = cut_power(mem, SURVIVE_NONE, chance);
    go_on(run, &with, db, found);
    ns__mem_watch(mem, NULL, NULL);
    judge_cuts(run, &cuts, opening, found);
    with = options_for(run, image);
    if (open_clean(run, &with, settled, &db) != ROTTEN) close_clean(run, db);
    ns__mem_free(image);
}

/* A file system that went read-only: nothing opens for writing, a look is possible, and the next
 * mount finds what is durable. */
static void remount(struct run *run, struct ns__mem *mem, uint64_t chance)
{
    ns_options with = options_for(run, mem);
    ns_db *db;
    ns_status status = ns_db_open(run->path, &with, &db);
    if (status != NS_READONLY) rack_fail("an open on a read-only disk: %s", ns_status_name(status));
    check_leak("an open on a read-only disk");
    look_read_only(run, mem, (struct range){run->visible, run->started});
    check_cut(run, mem, SURVIVE_NONE, chance, after_a_cut(run));
}

void judge(struct run *run, struct ns__mem *mem, uint64_t chance, bool all_second)
{
    static struct recovery recovery;
    bool ends_first = chance % 2 == 0;
    chance /= 2;
    run_check(run);
    if (ends_first) {
        end_fault(run, mem);
        if (!is_read_only(run, mem)) write_again(run);
    }
    check_cut(run, mem, SURVIVE_HALF, chance, after_a_cut(run));
    check_cut(run, mem, chance % 3 == 0 ? SURVIVE_ALL : SURVIVE_NONE, chance, after_a_cut(run));
    run_close(run);
    end_fault(run, mem);
    check_unlocked(run, mem);
    if (run->may_rot && (run->is_closed || chance % 2 == 0)) ask_for_report(run, mem);
    record_recovery(run, mem, &recovery);
    try_second(run, mem, &recovery, chance, all_second);
    if (is_read_only(run, mem)) {
        remount(run, mem, chance);
    } else {
        restart(run, mem, &recovery, chance);
    }
}
