/* log_crash_test.c: every power cut in small histories of the log, enumerated.
 *
 * A history is a string of steps. It runs over a simulated disk that stops at its nth call, for
 * every n. Of what no sync had made durable then, every subset survives if it has few atoms, else
 * all prefixes, all but one, one alone, and random ones. On each disk that is left the log is
 * loaded, its end found and settled, and
 *   - this succeeds: a power cut is never corruption;
 *   - the records are 1, 2, 3, ... with their right content, at least up to the last acknowledged
 *     one and at most up to the last one attempted;
 *   - pages are conserved;
 *   - what was shown once is shown again after another power cut that loses all it can, and after
 *     one more append.
 * For some disks the power is cut again at each call of that first recovery.
 *
 * Steps: s, m, l append a small, middle, large record synchronously; S, M, L without; Y syncs; P
 * prepares; T trims to the durable end (whose meta is taken for durable); C closes cleanly and
 * opens; K opens after a kill. */
#include "unit/log_world.h"

#include <stdio.h>

#define ATOMS_ALL 9 /* all subsets up to here */
#define SAMPLES 24

struct ledger {
    uint64_t acknowledged; /* ids */
    uint64_t attempted;
    uint64_t replay; /* what a meta would name: log offset, and the id of the record there */
    uint64_t replay_id;
};

struct figures {
    uint64_t stops, disks, depth_two, torn, faults;
};

static struct figures figures;

struct setup {
    const char *history;
    uint32_t page_size;
    uint64_t extent_pages;
    bool is_padded;
    bool scribble;
};

/* ---- histories ---- */

static ns_status step_append(struct world *world, char step, struct ledger *ledger)
{
    bool is_sync = step >= 'a';
    size_t size = 24;
    if (step == 'm' || step == 'M') size = 1500;
    if (step == 'l' || step == 'L') size = 6000;
    uint64_t id = ++ledger->attempted, end;
    NS_TRY(world_append(world, id, size, is_sync, &end));
    if (is_sync) ledger->acknowledged = id;
    return NS_OK;
}

static ns_status step_sync(struct world *world, struct ledger *ledger)
{
    uint64_t end = ns__log_end(world->log);
    NS_TRY(ns__file_sync(&world->file));
    ns__log_set_durable(world->log, end);
    ledger->acknowledged = ledger->attempted;
    return NS_OK;
}

static ns_status step_open(struct world *world, struct ledger *ledger)
{
    struct ns__log_tail tail;
    uint64_t end = ns__log_end(world->log);
    NS_TRY(world_reopen(world, ledger->replay, ledger->replay, &tail));
    assert_int_equal(tail.end, end); /* a kill loses nothing */
    ledger->acknowledged = ledger->attempted;
    return NS_OK;
}

static ns_status step_do(struct world *world, char step, struct ledger *ledger)
{
    switch (step) {
    case 'Y': return step_sync(world, ledger);
    case 'P': return ns__log_prepare(world->log, ns__log_room(world->log) + 1);
    case 'T':
        NS_TRY(step_sync(world, ledger));
        ledger->replay = ns__log_durable(world->log);
        ledger->replay_id = ledger->attempted + 1;
        return ns__log_trim(world->log, ledger->replay);
    case 'C':
        ledger->acknowledged = ledger->attempted; /* the log syncs, if it is not stopped */
        NS_TRY(ns__log_mark_clean(world->log));
        return step_open(world, ledger);
    case 'K': return step_open(world, ledger);
    default: return step_append(world, step, ledger);
    }
}

/* Until the history ends (NS_OK) or the disk stops. */
static ns_status run_history(struct world *world, const char *history, struct ledger *ledger)
{
    for (const char *step = history; *step != 0; step++) {
        struct ledger before = *ledger;
        ns_status status = step_do(world, *step, ledger);
        if (status != NS_OK) {
            if (!ns__mem_stopped(world->mem)) CHECK_OK(status);
            ledger->acknowledged = before.acknowledged;
            return status;
        }
    }
    return NS_OK;
}

/* ---- which atoms survive ---- */

enum pick_kind { PICK_MASK, PICK_PREFIX, PICK_ALL_BUT, PICK_ONLY, PICK_RANDOM };

struct pick {
    enum pick_kind kind;
    uint64_t number;
};

static bool pick_keeps(void *ctx, uint64_t atom)
{
    const struct pick *pick = ctx;
    switch (pick->kind) {
    case PICK_MASK: return (pick->number >> atom & 1) != 0;
    case PICK_PREFIX: return atom < pick->number;
    case PICK_ALL_BUT: return atom != pick->number;
    case PICK_ONLY: return atom == pick->number;
    case PICK_RANDOM: {
        struct ns__prng prng = {.state = pick->number * 1000003 + atom};
        return (ns__prng_next(&prng) & 1) != 0;
    }
    }
    return false;
}

/* The nth way to lose some of so many atoms; false behind the last. */
static bool pick_nth(uint64_t atoms, uint64_t nth, struct pick *pick_out)
{
    pick_out->number = nth;
    if (atoms <= ATOMS_ALL) {
        pick_out->kind = PICK_MASK;
        return nth < UINT64_C(1) << atoms;
    }
    /* of very many, about 40 evenly spaced ones are cut, left out or kept */
    uint64_t stride = atoms / 40 + 1;
    uint64_t spots = atoms / stride + 1;
    static const enum pick_kind kinds[] = {PICK_PREFIX, PICK_ALL_BUT, PICK_ONLY};
    if (nth < 3 * spots) {
        pick_out->kind = kinds[nth / spots];
        pick_out->number = nth % spots * stride;
        return true;
    }
    pick_out->kind = PICK_RANDOM;
    return nth < 3 * spots + SAMPLES;
}

/* ---- checking one disk ---- */

static void attach_after(struct world *world, const struct setup *setup, struct ns__mem *mem)
{
    memset(world, 0, sizeof *world);
    CHECK_OK(world_attach(world, mem, setup->page_size));
    world->options.extent_bytes = setup->extent_pages * setup->page_size;
    world->options.is_padded = setup->is_padded;
    world->space.scribble = setup->scribble;
}

static uint64_t check_records(struct world *world, const struct ledger *ledger, uint64_t end)
{
    uint64_t first, last;
    CHECK_OK(world_read(world, ledger->replay, end, &first, &last));
    if (first == 0) last = ledger->replay_id - 1;
    if (first != 0) assert_int_equal(first, ledger->replay_id);
    assert_true(last >= ledger->acknowledged);
    assert_true(last <= ledger->attempted);
    return last;
}

/* The log was recovered to `last`: it goes on, and another power cut does not take that back. */
static void check_goes_on(struct world *world, const struct setup *setup,
                          const struct ledger *ledger, uint64_t last)
{
    struct ns__mem *mem;
    struct world again;
    struct ns__log_tail tail;
    uint64_t end;
    CHECK_OK(ns__mem_crash(world->mem, 512, NULL, NULL, 3, &mem));
    attach_after(&again, setup, mem);
    CHECK_OK(world_recover(&again, ledger->replay, ledger->replay, &tail));
    assert_int_equal(check_records(&again, ledger, tail.end), last);
    CHECK_OK(world_append(&again, last + 1, 2000, true, &end));
    CHECK_OK(ns__mem_crash(again.mem, 512, NULL, NULL, 3, &mem));
    world_free(&again);

    struct ledger more = *ledger;
    more.acknowledged = more.attempted = last + 1;
    attach_after(&again, setup, mem);
    CHECK_OK(world_recover(&again, ledger->replay, ledger->replay, &tail));
    assert_int_equal(tail.end, end);
    assert_int_equal(check_records(&again, &more, tail.end), last + 1);
    world_check(&again);
    world_free(&again);
}

/* A recovery that the power cut interrupts at its nth call, with a few of the ways to lose atoms.
 * False if it had fewer calls. */
static bool check_cut_recovery(const struct ns__mem *disk, const struct setup *setup,
                               const struct ledger *ledger, uint64_t nth, uint32_t atom_bytes)
{
    struct ns__mem *mem;
    struct world world;
    struct ns__log_tail tail;
    CHECK_OK(ns__mem_clone(disk, &mem));
    attach_after(&world, setup, mem);
    ns__mem_stop_at(mem, nth);
    (void)world_recover(&world, ledger->replay, ledger->replay, &tail);
    bool is_stopped = ns__mem_stopped(mem);
    struct ns__mem_pending pending;
    ns__mem_pending(mem, atom_bytes, &pending);
    struct pick pick;
    for (uint64_t i = 0; is_stopped && pick_nth(pending.atoms, i, &pick); i += 1 + i / 4 * 3) {
        struct ns__mem *after;
        struct world second;
        CHECK_OK(ns__mem_crash(mem, atom_bytes, pick_keeps, &pick, i, &after));
        attach_after(&second, setup, after);
        CHECK_OK(world_recover(&second, ledger->replay, ledger->replay, &tail));
        (void)check_records(&second, ledger, tail.end);
        world_check(&second);
        world_free(&second);
        figures.depth_two++;
        if (pending.atoms == 0) break;
    }
    world_free(&world);
    return is_stopped;
}

static void check_disk(struct ns__mem *mem, const struct setup *setup, const struct ledger *ledger,
                       uint32_t atom_bytes, bool is_deep)
{
    if (is_deep) {
        for (uint64_t nth = 1; check_cut_recovery(mem, setup, ledger, nth, atom_bytes); nth++) {
        }
    }
    struct world world;
    struct ns__log_tail tail;
    attach_after(&world, setup, mem);
    CHECK_OK(world_recover(&world, ledger->replay, ledger->replay, &tail));
    uint64_t last = check_records(&world, ledger, tail.end);
    figures.torn += last < ledger->attempted;
    world_check(&world);
    if (figures.disks % 4 == 0) check_goes_on(&world, setup, ledger, last);
    figures.disks++;
    world_free(&world);
}

/* ---- enumeration ---- */

/* Stops the history at its nth call; false if it has fewer. */
static bool enumerate_stop(const struct ns__mem *base, const struct setup *setup, uint64_t nth,
                           uint32_t atom_bytes)
{
    struct ns__mem *mem;
    struct world world;
    struct ns__log_tail tail;
    struct ledger ledger = {.replay_id = 1};
    CHECK_OK(ns__mem_clone(base, &mem));
    attach_after(&world, setup, mem);
    CHECK_OK(world_recover(&world, 0, 0, &tail));
    CHECK_OK(ns__file_sync(&world.file));
    ns__mem_stop_at(mem, nth);
    (void)run_history(&world, setup->history, &ledger);
    bool is_stopped = ns__mem_stopped(world.mem);

    struct ns__mem_pending pending;
    ns__mem_pending(world.mem, atom_bytes, &pending);
    struct pick pick;
    for (uint64_t i = 0; is_stopped && pick_nth(pending.atoms, i, &pick); i++) {
        struct ns__mem *after;
        CHECK_OK(ns__mem_crash(world.mem, atom_bytes, pick_keeps, &pick, nth * 64 + i, &after));
        check_disk(after, setup, &ledger, atom_bytes, (figures.disks + nth) % 47 == 0);
    }
    figures.stops += is_stopped;
    world_free(&world);
    return is_stopped;
}

static void enumerate(const struct setup *setup)
{
    static const uint32_t atom_sizes[] = {512, 4096, 1};
    struct figures before = figures;
    struct world world;
    world_new(&world, NS__MEM_DURABILITY, setup->page_size, setup->extent_pages, setup->is_padded);
    CHECK_OK(ns__log_mark_clean(world.log));
    world_detach(&world);
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t nth = 1; enumerate_stop(world.mem, setup, nth, atom_sizes[i]); nth++) {
        }
    }
    ns__mem_free(world.mem);
    print_message("%s: %llu stops, %llu disks, %llu cut again, %llu lost a tail\n", setup->history,
                  (unsigned long long)(figures.stops - before.stops),
                  (unsigned long long)(figures.disks - before.disks),
                  (unsigned long long)(figures.depth_two - before.depth_two),
                  (unsigned long long)(figures.torn - before.torn));
}

static void appends_survive_every_power_cut(void **state)
{
    (void)state;
    enumerate(&(struct setup){.history = "smsS", .page_size = 4096, .extent_pages = 4});
    enumerate(&(struct setup){.history = "SMSss", .page_size = 4096, .extent_pages = 4});
    enumerate(&(struct setup){.history = "sSSYSs", .page_size = 4096, .extent_pages = 4});
}

static void padded_appends_survive_every_power_cut(void **state)
{
    (void)state;
    enumerate(&(struct setup){
        .history = "smSsM", .page_size = 4096, .extent_pages = 4, .is_padded = true});
    enumerate(
        &(struct setup){.history = "lKl", .page_size = 4096, .extent_pages = 3, .is_padded = true});
}

static void extent_switches_survive_every_power_cut(void **state)
{
    (void)state;
    enumerate(&(struct setup){.history = "sls", .page_size = 4096, .extent_pages = 1});
    enumerate(&(struct setup){.history = "LLs", .page_size = 4096, .extent_pages = 2});
    enumerate(&(struct setup){.history = "sPlK", .page_size = 8192, .extent_pages = 1});
}

static void trims_survive_every_power_cut(void **state)
{
    (void)state;
    enumerate(&(struct setup){
        .history = "llTsTl", .page_size = 4096, .extent_pages = 1, .scribble = true});
    enumerate(&(struct setup){
        .history = "lLTKsT", .page_size = 4096, .extent_pages = 1, .scribble = true});
}

static void clean_closes_survive_every_power_cut(void **state)
{
    (void)state;
    enumerate(&(struct setup){.history = "sCsSC", .page_size = 4096, .extent_pages = 2});
    enumerate(&(struct setup){.history = "CsCCl", .page_size = 4096, .extent_pages = 2});
}

static void recoveries_survive_every_power_cut(void **state)
{
    (void)state;
    enumerate(&(struct setup){.history = "sSKSs", .page_size = 4096, .extent_pages = 2});
    enumerate(&(struct setup){
        .history = "mKKMK", .page_size = 4096, .extent_pages = 1, .scribble = true});
    enumerate(&(struct setup){
        .history = "LKCsK", .page_size = 4096, .extent_pages = 1, .scribble = true});
}

/* ---- failing calls ---- */

/* A call of the history fails; what it wrote stays visible, but the medium has an arbitrary part of
 * it. The next open is stopped at its mth call (0: not). False if the history or the open had fewer
 * calls. */
static bool fail_then_stop(const struct ns__mem *base, const struct setup *setup, uint64_t nth,
                           uint64_t mth, ns_status *status_out)
{
    struct ns__mem *mem;
    struct world world;
    struct ns__log_tail tail;
    struct ledger ledger = {.replay_id = 1};
    CHECK_OK(ns__mem_clone(base, &mem));
    attach_after(&world, setup, mem);
    CHECK_OK(world_recover(&world, 0, 0, &tail));
    CHECK_OK(ns__file_sync(&world.file));
    ns__mem_fail(mem, nth, 0, NS_IO, false);
    *status_out = NS_OK;
    for (const char *step = setup->history; *step != 0 && *status_out == NS_OK; step++) {
        uint64_t acknowledged = ledger.acknowledged;
        *status_out = step_do(&world, *step, &ledger);
        if (*status_out != NS_OK) ledger.acknowledged = acknowledged;
    }
    ns__mem_fail(mem, 0, 0, NS_OK, false);
    if (mth > 0) ns__mem_stop_at(mem, mth);
    ns_status status = world_reopen(&world, ledger.replay, ledger.replay, &tail);
    bool is_stopped = ns__mem_stopped(mem);
    uint64_t last = 0;
    if (!is_stopped) {
        ns__mem_stop_at(mem, 0);
        CHECK_OK(status);
        last = check_records(&world, &ledger, tail.end);
    }
    struct ns__mem_pending pending;
    ns__mem_pending(mem, 512, &pending);
    struct pick pick;
    for (uint64_t i = 0; pick_nth(pending.atoms, i, &pick); i += 1 + i / 4 * 3) {
        struct ns__mem *after;
        struct world second;
        CHECK_OK(ns__mem_crash(mem, 512, pick_keeps, &pick, i, &after));
        attach_after(&second, setup, after);
        CHECK_OK(world_recover(&second, ledger.replay, ledger.replay, &tail));
        uint64_t found = check_records(&second, &ledger, tail.end);
        if (!is_stopped) assert_int_equal(found, last); /* settled once */
        world_check(&second);
        world_free(&second);
        figures.faults++;
        if (pending.atoms == 0) break;
    }
    world_free(&world);
    return is_stopped;
}

static void the_open_after_a_failed_call_settles_the_outcome_once(void **state)
{
    (void)state;
    static const struct setup setups[] = {
        {.history = "smSYl", .page_size = 4096, .extent_pages = 2},
        {.history = "SsC", .page_size = 4096, .extent_pages = 2},
        {.history = "sCs", .page_size = 4096, .extent_pages = 2},
        {.history = "llTPs", .page_size = 4096, .extent_pages = 1, .scribble = true},
        {.history = "SKsS", .page_size = 4096, .extent_pages = 1},
    };
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        struct world world;
        world_new(&world, NS__MEM_DURABILITY, setups[i].page_size, setups[i].extent_pages, false);
        CHECK_OK(ns__log_mark_clean(world.log));
        world_detach(&world);
        ns_status status = NS_IO;
        for (uint64_t nth = 1; status != NS_OK; nth++) {
            (void)fail_then_stop(world.mem, &setups[i], nth, 0, &status);
            for (uint64_t mth = 1; fail_then_stop(world.mem, &setups[i], nth, mth, &status);
                 mth++) {
            }
        }
        ns__mem_free(world.mem);
    }
}

/* Nothing names the file yet: a stopped creation may be unusable, but reading it harms nobody. */
static void creation_may_stop_at_every_call(void **state)
{
    (void)state;
    const struct setup setup = {.history = "", .page_size = 4096, .extent_pages = 2};
    bool is_stopped = true;
    for (uint64_t nth = 1; is_stopped; nth++) {
        struct ns__mem *mem, *after;
        struct world world;
        struct ns__log_tail tail;
        CHECK_OK(ns__mem_new(NS__MEM_DURABILITY, 1, NULL, &mem));
        attach_after(&world, &setup, mem);
        const struct ns_vfs *vfs = world.file.vfs;
        CHECK_OK(vfs->allocate(vfs->ctx, world.file.handle, 0, 64 * 4096));
        CHECK_OK(vfs->sync(vfs->ctx, world.file.handle));
        CHECK_OK(vfs->sync_parent(vfs->ctx, WORLD_PATH));
        ns__mem_stop_at(mem, nth);
        (void)ns__log_create(&world.file, &world.space, &world.alloc, &world.options, &world.log);
        is_stopped = ns__mem_stopped(mem);
        struct ns__mem_pending pending;
        ns__mem_pending(mem, 512, &pending);
        struct pick pick;
        for (uint64_t i = 0; pick_nth(pending.atoms, i, &pick); i++) {
            struct world second;
            CHECK_OK(ns__mem_crash(mem, 512, pick_keeps, &pick, i, &after));
            attach_after(&second, &setup, after);
            ns_status status = world_recover(&second, 0, 0, &tail);
            if (status != NS_OK) CHECK_STATUS(status, NS_CORRUPT);
            if (status == NS_OK || !is_stopped) assert_int_equal(tail.end, 0);
            world_free(&second);
        }
        world_free(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_survive_every_power_cut),
        cmocka_unit_test(padded_appends_survive_every_power_cut),
        cmocka_unit_test(extent_switches_survive_every_power_cut),
        cmocka_unit_test(trims_survive_every_power_cut),
        cmocka_unit_test(clean_closes_survive_every_power_cut),
        cmocka_unit_test(recoveries_survive_every_power_cut),
        cmocka_unit_test(the_open_after_a_failed_call_settles_the_outcome_once),
        cmocka_unit_test(creation_may_stop_at_every_call),
    };
    int failed = cmocka_run_group_tests_name("log_crash", tests, NULL, NULL);
    print_message("%llu stops, %llu disks, %llu recoveries cut, %llu disks after faults\n",
                  (unsigned long long)figures.stops, (unsigned long long)figures.disks,
                  (unsigned long long)figures.depth_two, (unsigned long long)figures.faults);
    return failed;
}
