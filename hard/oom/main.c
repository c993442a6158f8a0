/* main.c: the sweep: every allocation of every scenario is refused once.
 *
 * A *scenario* is a file to start from, options, and a row of calls (scenarios_*.c). A *run* lets
 * the nth allocation among those calls fail, and looks at what is left (settle.c). Each scenario is
 * run with n = 1, 2, ... until nothing was refused any more, in five manners:
 *
 *   once     that allocation alone fails
 *   ever     it and all later ones, until the calls are over
 *   dying    it and all later ones, until the handle is closed
 *   maps     not the allocator but the file system refuses: once, at opens, maps and reservations
 *   mapless  and from then on
 *
 * In "ever" and "mapless" a reader is open all the time, and reads while memory fails. In "once"
 * the calls of scenarios_change.c are made again afterwards, and then must succeed. Where the
 * helper thread is what is tested, it alone is refused. Scenarios that shift the ends of an arena's
 * blocks do so in the first manner only. When all are done, every call of the allocator that the
 * library contains must have been refused at least once (sites.c).
 *
 * The short form is this list, whole, whatever its time. The long form goes on with scenarios drawn
 * by chance (mixtures with other seeds) until the time is up. A case is SCENARIO:VARIANT/MANNER/N;
 * SCENARIO alone runs all its cases, "sites" runs the list.
 *
 *   hard_oom --sites    runs the short form and lists every site
 *
 * --canary breaks the rack in six ways, one child each; every child must fail. */
#include "oom/oom.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const figure_names[OOM_FIGURES] = {
    "scenarios", "runs",         "alloc_points",  "vfs_points", "refused_commits", "absorbed",
    "sites",     "sites_failed", "sites_excused", "calls",      "calls_failed",
};

static const struct manner {
    const char *name;
    enum oom_what what;
    bool for_ever, is_dying, has_bystander;
} manners[] = {
    {.name = "once", .what = OOM_ALLOCATOR},
    {.name = "ever", .what = OOM_ALLOCATOR, .for_ever = true, .has_bystander = true},
    {.name = "dying", .what = OOM_ALLOCATOR, .for_ever = true, .is_dying = true},
    {.name = "maps", .what = OOM_FILE_SYSTEM},
    {.name = "mapless", .what = OOM_FILE_SYSTEM, .for_ever = true, .has_bystander = true},
};
#define MANNERS (sizeof manners / sizeof manners[0])

static const struct oom_scenario *const lists[] = {oom_scenarios_open, oom_scenarios_change,
                                                   oom_scenarios_read, oom_scenarios_store};
#define LISTS (sizeof lists / sizeof lists[0])

static const struct rack_settings *settings;
static bool is_listing;
static struct {
    uint64_t next_job, finished;
} * shared;

/* ---- one run ---- */

static void prepare(struct oom_session *session)
{
    oom_start(session);
    oom_options(session);
    if (session->scenario->prepare != NULL)
        session->scenario->prepare(session);
    else
        oom_open(session);
}

static void finish(struct oom_session *session)
{
    ref_state_release(session->committed);
    ns__mem_free(session->mem);
}

static bool is_change(const struct oom_scenario *scenario)
{
    const struct oom_scenario *s = oom_scenarios_change;
    while (s->name != NULL && s != scenario)
        s++;
    return s->name != NULL && !s->is_shift;
}

/* True if something was refused. */
static bool run(const struct oom_scenario *scenario, uint64_t variant, const struct manner *manner,
                uint64_t n)
{
    struct oom_session session = {
        .scenario = scenario,
        .variant = variant,
        .n = n,
        .is_repeated = is_change(scenario) && manner == &manners[0],
        .is_dying = manner->is_dying,
        .prng = {.state = settings->seed * 1000003 + variant},
        .fault = {.what = manner->what, .nth = n, .for_ever = manner->for_ever},
    };
    if (scenario->is_helper) session.fault.what = OOM_HELPER_ALLOCATOR;
    prepare(&session);
    if (manner->has_bystander && !scenario->is_alone) oom_bystander_begin(&session);
    oom_arm(&session.fault);
    scenario->act(&session);
    bool is_hit = oom_fired() > 0;
    oom_settle(&session);
    is_hit = is_hit || oom_fired() > 0;
    finish(&session);
    rack_add(OOM_RUNS, 1);
    if (!is_hit) return false;
    rack_add(manner->what == OOM_FILE_SYSTEM ? OOM_VFS_POINTS : OOM_ALLOC_POINTS, 1);
    rack_add(OOM_ABSORBED, session.said == 0);
    return true;
}

static bool run_case(const struct oom_scenario *scenario, uint64_t variant,
                     const struct manner *manner, uint64_t n)
{
    rack_case("%s:%llu/%s/%llu", scenario->name, (unsigned long long)variant, manner->name,
              (unsigned long long)n);
    return run(scenario, variant, manner, n);
}

static void sweep(const struct oom_scenario *scenario, uint64_t variant,
                  const struct manner *manner)
{
    if (scenario->is_helper && manner->what == OOM_FILE_SYSTEM) return;
    uint64_t n = 1;
    while (run_case(scenario, variant, manner, n))
        n++;
}

/* ---- the list ---- */

static uint64_t variants_of(const struct oom_scenario *scenario)
{
    return scenario->variants > 0 ? scenario->variants : 1;
}

/* A job is one scenario, variant and manner. False behind the last. */
static bool job_at(uint64_t index, const struct oom_scenario **scenario_out, uint64_t *variant_out,
                   const struct manner **manner_out)
{
    for (size_t m = 0; m < MANNERS; m++) {
        for (size_t l = 0; l < LISTS; l++) {
            for (const struct oom_scenario *s = lists[l]; s->name != NULL; s++) {
                uint64_t count = variants_of(s);
                if (m > 0 && s->is_shift) count = 1;
                if (index < count) {
                    *scenario_out = s;
                    *variant_out = index;
                    *manner_out = &manners[m];
                    return true;
                }
                index -= count;
            }
        }
    }
    return false;
}

static uint64_t take_job(void)
{
    return __atomic_fetch_add(&shared->next_job, 1, __ATOMIC_RELAXED);
}

static const struct oom_scenario *scenario_named(const char *name, size_t length)
{
    for (size_t l = 0; l < LISTS; l++) {
        for (const struct oom_scenario *s = lists[l]; s->name != NULL; s++) {
            if (strlen(s->name) == length && memcmp(s->name, name, length) == 0) return s;
        }
    }
    fprintf(stderr, "no scenario '%.*s'; there are:\n", (int)length, name);
    for (size_t l = 0; l < LISTS; l++) {
        for (const struct oom_scenario *s = lists[l]; s->name != NULL; s++)
            fprintf(stderr, "  %s\n", s->name);
    }
    exit(2);
}

/* Scenarios that the long form adds: variants of the mixtures beyond those of the list. */
static void run_by_chance(void)
{
    static const char *const mixtures[] = {"mixture", "mixture_tight", "mixture_open"};
    while (!rack_is_late()) {
        uint64_t job = take_job();
        const char *name = mixtures[job % 3];
        sweep(scenario_named(name, strlen(name)), 1000 + job, &manners[job / 3 % MANNERS]);
    }
}

/* ---- one case ---- */

static void run_scenario(const struct oom_scenario *scenario)
{
    for (size_t m = 0; m < MANNERS; m++) {
        uint64_t count = m > 0 && scenario->is_shift ? 1 : variants_of(scenario);
        for (uint64_t v = 0; v < count; v++)
            sweep(scenario, v, &manners[m]);
    }
}

static void run_only(const char *text)
{
    size_t length = strcspn(text, ":/");
    const struct oom_scenario *scenario = scenario_named(text, length);
    unsigned long long variant, n;
    char name[16];
    if (sscanf(text + length, ":%llu/%15[a-z]/%llu", &variant, name, &n) != 3) {
        run_scenario(scenario);
        return;
    }
    for (size_t m = 0; m < MANNERS; m++) {
        if (strcmp(manners[m].name, name) == 0) {
            (void)run_case(scenario, variant, &manners[m], n);
            return;
        }
    }
    fprintf(stderr, "no manner '%s'\n", name);
    exit(2);
}

/* ---- canaries ---- */

static void work_list(void)
{
    const struct oom_scenario *scenario;
    const struct manner *manner;
    uint64_t variant;
    while (job_at(take_job(), &scenario, &variant, &manner)) {
        if (variant == 0 && manner == &manners[0]) rack_add(OOM_SCENARIOS, 1);
        sweep(scenario, variant, manner);
    }
}

/* The exit code of a child that runs two scenarios with the rack broken in this way. */
static int result_of(enum oom_canary canary)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) rack_fail("fork");
    if (child == 0) {
        oom_canary = canary;
        oom_sites_reset();
        run_scenario(scenario_named("open_clean", 10));
        run_scenario(scenario_named("commits", 7));
        _exit(oom_sites_agree() ? 0 : 1);
    }
    int result;
    if (waitpid(child, &result, 0) != child) rack_fail("waitpid");
    return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

/* Fails, as a canary must, if each is caught, and the child that is not broken passes. */
static void try_canaries(void)
{
    bool is_good = result_of(OOM_HEALTHY) == 0;
    if (!is_good) fprintf(stderr, "rack oom: the healthy child failed\n");
    for (unsigned canary = OOM_HEALTHY + 1; canary < OOM_CANARIES; canary++) {
        if (result_of((enum oom_canary)canary) == 1) continue;
        fprintf(stderr, "rack oom: canary %u was not caught\n", canary);
        is_good = false;
    }
    rack_case("canary");
    if (is_good) rack_fail("all %u canaries are caught", OOM_CANARIES - 1u);
}

/* ---- the rack ---- */

static void work(unsigned worker, unsigned workers, void *ctx)
{
    (void)ctx;
    if (settings->is_canary) {
        if (worker == 0) try_canaries();
        return;
    }
    rack_case("records");
    (void)oom_record_count(&oom_records);
    if (settings->only != NULL && strcmp(settings->only, "sites") != 0) {
        run_only(settings->only);
        oom_bases_free();
        return;
    }
    work_list();
    if (__atomic_add_fetch(&shared->finished, 1, __ATOMIC_ACQ_REL) == workers) {
        rack_case("sites");
        if (!oom_sites_judge(is_listing)) rack_fail("a call of the allocator was never refused");
    }
    if (settings->is_long) run_by_chance();
    oom_bases_free();
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--sites") == 0) {
        is_listing = true;
        argv[1] = argv[0];
        argv++;
        argc--;
    }
    settings = rack_init("oom", 30, figure_names, OOM_FIGURES, argc, argv);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) rack_skip("no shared memory");
    oom_sites_init();
    return rack_run(work, NULL);
}
