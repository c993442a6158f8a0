/* io_faults.c: every vfs call of short histories fails, in every way that such a call can fail;
 * and every sync fails in four modes.
 *
 * Calls. A script is run once clean, and its calls are counted. Then each of them fails with each
 * status that its kind can give: once; for ever from then on, with all calls after it; and for
 * ever with the calls of its own kind only. During the run every answer must be explained by the
 * fault; judge.c says what must hold after it.
 *
 * Syncs. Each sync and synchronous write of a script fails in each mode of enum
 * ns__mem_sync_failure, with several seeds of what becomes durable; the retry, if there were one,
 * would succeed. What a failing sync may cost, by mode (spec/commit_v0.md, DSK-6):
 *
 *   new        nothing that was acknowledged as durable; a restart shows all that was committed
 *   old        the same, but a restart may show less: what was not durable is gone from the cache
 *   read-only  the same as new; nothing opens for writing before the next mount
 *   late       the sync says NS_OK although a part of it is lost. The library cannot know: what it
 *              acknowledges between that and the report can be lost. What must hold: after the
 *              report the handle is poisoned; what was durable before the lie stays unless the
 *              answer is NS_CORRUPT; and what is found is one transaction's state, never a mixture.
 *
 * A case reads "fault SCRIPT NTH STATUS once|ever|kind" or "sync SCRIPT NTH MODE SEED". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "common/rack.h"
#include "io_faults/judge.h"

#define PATH "faults.ns"
#define SYNC_KINDS (UINT64_C(1) << NS__MEM_SYNC | UINT64_C(1) << NS__MEM_WRITE_SYNC)

static const char *const figure_names[FIGURE_COUNT] = {
    "scripts",       "calls",   "faults", "statuses",     "sync_faults",
    "second_faults", "reopens", "cuts",   "told_corrupt", "left_out",
};

static const char *const scripts[] = {
    "new/full/put,big,checkpoint,reopen,put",
    "aged/full/put,big,delete,checkpoint,put",
    "aged/off/put,mixed,checkpoint,put,reopen,put",
    "aged/full/mixed,range,checkpoint,mixed,reopen",
    "aged/full/wide,checkpoint,wide",
    "aged/off/wide,wide,put",
    "aged/full/create,put,drop,checkpoint,create,reopen",
    "aged/full/reader,put,checkpoint,delete,checkpoint,range,unread",
    "aged/full/put,verify,put,look,put",
    "new/off/mixed,create,abort,checkpoint,drop",
    "aged/full/put,log,big,stats,checkpoint,log",
    "aged/off/put,put,full,put,off,put",
    "aged/full/put,put,put,checkpoint,put,put,checkpoint,put",
    "new/full/wide,range,checkpoint,range,checkpoint",
};
#define SCRIPT_COUNT (sizeof scripts / sizeof scripts[0])

enum spread { SPREAD_ONCE, SPREAD_EVER, SPREAD_KIND, SPREAD_COUNT };
static const char *const spread_names[SPREAD_COUNT] = {"once", "ever", "kind"};

#define MODES 5u
static const char *const mode_names[MODES] = {"new", "old", "read-only", "nothing", "late"};

static const struct rack_settings *settings;
static struct ns__mem *aged_world;
static struct ref_state *aged_state;
static uint64_t statuses_seen;

/* ---- starting ---- */

static struct ns__mem *new_world(uint64_t seed)
{
    struct ns__mem *mem;
    ns_status status = ns__mem_new(NS__MEM_DURABILITY | NS__MEM_FAKE_TIME, seed, NULL, &mem);
    if (status != NS_OK) rack_fail("the simulator: %s", ns_status_name(status));
    return mem;
}

static struct shim *the_shim(const struct ns__mem *mem)
{
    static struct shim shim;
    const struct ns_vfs *vfs = ns__mem_vfs((struct ns__mem *)(uintptr_t)mem);
    if (shim.inner == NULL) shim_init(&shim, vfs);
    shim_restart(&shim, vfs);
    return &shim;
}

/* Some hundred entries that have been overwritten, deleted, checkpointed and reopened. */
static void make_aged_world(void)
{
    static const char life[] = "new/full/mixed,big,create,checkpoint,delete,mixed,reopen,"
                               "overwrite,checkpoint,delete,mixed,reopen";
    struct script script;
    struct run run;
    rack_case("the aged database");
    if (!script_parse(life, &script)) rack_fail("the aged database's script");
    aged_world = new_world(settings->seed);
    run_init(&run, the_shim(aged_world), PATH, &script, ref_state_new());
    for (unsigned round = 0; round < 4; round++) {
        run_script(&run, &script);
        run_close(&run);
    }
    aged_state = ref_state_keep(run_state(&run, run.published));
    run_deinit(&run);
}

static struct ns__mem *start(struct run *run, const struct script *script, uint64_t seed)
{
    struct ns__mem *mem;
    struct ref_state *state = script->is_aged ? ref_state_keep(aged_state) : ref_state_new();
    if (!script->is_aged) {
        mem = new_world(seed);
    } else if (ns__mem_crash(aged_world, 4096, NULL, NULL, seed, &mem) != NS_OK) {
        rack_fail("the simulator: no copy");
    }
    run_init(run, the_shim(mem), PATH, script, state);
    return mem;
}

static void end(struct run *run, struct ns__mem *mem)
{
    statuses_seen |= run->seen;
    run_deinit(run);
    ns__mem_free(mem);
}

/* ---- the clean run ---- */

struct clean {
    uint64_t calls, syncs;
    uint8_t kinds[SHIM_KINDS_MAX];
};

static void run_clean(const struct script *script, struct clean *clean)
{
    struct run run;
    struct ns__mem *mem = start(&run, script, 1);
    run_script(&run, script);
    run_close(&run);
    clean->calls = run.shim->calls;
    clean->syncs = run.shim->syncs;
    if (clean->calls > SHIM_KINDS_MAX) rack_fail("a script makes more calls than are recorded");
    memcpy(clean->kinds, run.shim->kinds, sizeof clean->kinds);
    end(&run, mem);
}

/* ---- failing calls ---- */

static uint64_t mixed(uint64_t a, uint64_t b, uint64_t c)
{
    struct ns__prng prng = {settings->seed * 0x9e3779b97f4a7c15u + a * 1000003 + b * 8191 + c};
    return ns__prng_next(&prng) >> 3;
}

/* Which calls fail from the nth on: all that can give this status, or those of one kind. */
static uint64_t mask_of(ns_status status, enum ns__mem_call kind, enum spread spread)
{
    uint64_t mask = 0;
    if (spread == SPREAD_ONCE) return 0;
    if (spread == SPREAD_KIND) return UINT64_C(1) << kind;
    for (unsigned other = 0; other < NS__MEM_CALL_KINDS; other++) {
        const ns_status *statuses = judge_statuses((enum ns__mem_call)other);
        while (*statuses != NS_OK && *statuses != status)
            statuses++;
        if (*statuses == status) mask |= UINT64_C(1) << other;
    }
    return mask;
}

/* The nth call of all is which one among those of the mask? */
static uint64_t place_in(const struct clean *clean, uint64_t nth, uint64_t mask)
{
    uint64_t place = 0;
    if (mask == 0) return nth;
    for (uint64_t i = 0; i < nth; i++)
        place += mask >> clean->kinds[i] & 1;
    return place;
}

static void run_fault(const struct script *script, const struct clean *clean, uint64_t nth,
                      ns_status status, enum spread spread)
{
    char text[SCRIPT_TEXT_BYTES];
    struct run run;
    script_print(script, text);
    rack_case("fault %s %llu %s %s", text, (unsigned long long)nth, ns_status_name(status),
              spread_names[spread]);
    uint64_t chance = mixed(nth, (uint64_t)status, spread);
    uint64_t mask = mask_of(status, (enum ns__mem_call)clean->kinds[nth - 1], spread);
    struct ns__mem *mem = start(&run, script, chance);
    run.allowed = UINT64_C(1) << status;
    run.shim->hides_failures = settings->is_canary;
    ns__mem_fail(mem, place_in(clean, nth, mask), mask, status, spread != SPREAD_ONCE);
    run_script(&run, script);
    run.shim->hides_failures = false;
    judge(&run, mem, chance, settings->is_long && chance % 16 == 0);
    rack_add(FIGURE_FAULTS, 1);
    end(&run, mem);
}

static void fault_call(const struct script *script, const struct clean *clean, uint64_t nth)
{
    const ns_status *status = judge_statuses((enum ns__mem_call)clean->kinds[nth - 1]);
    for (; *status != NS_OK; status++) {
        for (unsigned spread = 0; spread < SPREAD_COUNT; spread++)
            run_fault(script, clean, nth, *status, (enum spread)spread);
    }
    rack_add(FIGURE_CALLS, 1);
}

/* ---- failing syncs ---- */

static void run_sync(const struct script *script, uint64_t nth, unsigned mode, uint64_t seed)
{
    char text[SCRIPT_TEXT_BYTES];
    struct run run;
    script_print(script, text);
    rack_case("sync %s %llu %s %llu", text, (unsigned long long)nth, mode_names[mode],
              (unsigned long long)seed);
    uint64_t chance = mixed(nth, mode, seed);
    struct ns__mem *mem = start(&run, script, chance);
    run.allowed = UINT64_C(1) << NS_IO;
    if (mode == NS__MEM_SYNC_READ_ONLY) run.allowed |= UINT64_C(1) << NS_READONLY;
    run.is_old_seen = mode == NS__MEM_SYNC_OLD;
    run.may_rot = mode == NS__MEM_SYNC_LATE;
    run.is_cut_again = mode == NS__MEM_SYNC_NOTHING;
    run.shim->lost = nth;
    run.shim->hides_failures = settings->is_canary;
    ns__mem_set_sync_failure(mem, (enum ns__mem_sync_failure)mode);
    ns__mem_fail(mem, nth, SYNC_KINDS, NS_IO, false);
    run_script(&run, script);
    run.shim->hides_failures = false;
    judge(&run, mem, chance, false);
    rack_add(FIGURE_SYNCS, 1);
    end(&run, mem);
}

static void fail_sync(const struct script *script, uint64_t nth)
{
    uint64_t seeds = settings->is_long ? 12 : 3;
    for (unsigned mode = 0; mode < MODES; mode++) {
        for (uint64_t seed = 1; seed <= (mode == NS__MEM_SYNC_NOTHING ? 1 : seeds); seed++)
            run_sync(script, nth, mode, seed);
    }
}

/* ---- everything ---- */

struct share {
    unsigned worker, workers;
    uint64_t next; /* the next case's number */
};

static bool is_mine(struct share *share)
{
    if (share->next++ % share->workers != share->worker) return false;
    if (!rack_is_late()) return true;
    rack_add(FIGURE_LEFT, 1);
    return false;
}

static void sweep_script(const struct script *script, struct share *share)
{
    static struct clean clean;
    char text[SCRIPT_TEXT_BYTES];
    script_print(script, text);
    rack_case("fault %s 0 NS_OK once", text);
    run_clean(script, &clean);
    for (uint64_t nth = 1; nth <= clean.syncs; nth++) {
        if (is_mine(share)) fail_sync(script, nth);
    }
    for (uint64_t nth = 1; nth <= clean.calls; nth++) {
        if (is_mine(share)) fault_call(script, &clean, nth);
    }
    if (share->worker == 0) rack_add(FIGURE_SCRIPTS, 1);
}

static void draw_script(struct ns__prng *prng, struct script *script)
{
    memset(script, 0, sizeof *script);
    script->is_aged = ns__prng_below(prng, 4) != 0;
    script->is_off = ns__prng_below(prng, 2) != 0;
    script->count = 3 + (size_t)ns__prng_below(prng, 8);
    for (size_t i = 0; i < script->count; i++)
        script->ops[i] = (enum script_op)ns__prng_below(prng, OP_COUNT);
}

static void sweep_all(struct share *share)
{
    struct script script;
    for (size_t i = 0; i < SCRIPT_COUNT; i++) {
        if (!script_parse(scripts[i], &script)) rack_fail("script %zu cannot be read", i);
        sweep_script(&script, share);
    }
    struct ns__prng prng = {settings->seed};
    while (settings->is_long && !rack_is_late()) {
        draw_script(&prng, &script);
        sweep_script(&script, share);
    }
}

/* ---- one case ---- */

static unsigned place_of(const char *name, const char *const *names, unsigned count)
{
    unsigned i = 0;
    while (i < count && strcmp(names[i], name) != 0)
        i++;
    if (i == count) rack_fail("--only: '%s' is unknown", name);
    return i;
}

static ns_status status_named(const char *name)
{
    int status = NS_OK;
    while (status < NS_UNKNOWN && strcmp(ns_status_name((ns_status)status), name) != 0)
        status++;
    return (ns_status)status;
}

static void run_only(const char *only)
{
    static struct clean clean;
    struct script script;
    char what[16], text[SCRIPT_TEXT_BYTES], how[32], last[32];
    unsigned long long nth;
    bool is_read = sscanf(only, "%15s %255s %llu %31s %31s", what, text, &nth, how, last) == 5;
    if (!is_read || !script_parse(text, &script)) rack_fail("--only: '%s' cannot be read", only);
    run_clean(&script, &clean);
    if (strcmp(what, "sync") == 0) {
        unsigned mode = place_of(how, mode_names, MODES);
        run_sync(&script, nth, mode, strtoull(last, NULL, 10));
    } else if (nth > 0 && nth <= clean.calls) {
        enum spread spread = (enum spread)place_of(last, spread_names, SPREAD_COUNT);
        run_fault(&script, &clean, nth, status_named(how), spread);
    }
}

static void work(unsigned worker, unsigned workers, void *ctx)
{
    (void)ctx;
    struct share share = {worker, workers, 0};
    make_aged_world();
    if (settings->only != NULL) {
        run_only(settings->only);
    } else {
        sweep_all(&share);
    }
    uint64_t count = (uint64_t)__builtin_popcountll(statuses_seen);
    rack_max(FIGURE_STATUSES, count);
    ref_state_release(aged_state);
    ns__mem_free(aged_world);
}

int main(int argc, char **argv)
{
    settings = rack_init("io_faults", 90, figure_names, FIGURE_COUNT, argc, argv);
    return rack_run(work, NULL);
}
