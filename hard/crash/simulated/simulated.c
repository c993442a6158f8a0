/* simulated.c: the rack crash/simulated: every crash of every short history, in a simulated file
 * system.
 *
 * A *script* is a start (no file, an aged database, one whose log is about to leave its extent), a
 * durability (FULL or OFF) and up to six operations of fourteen kinds (scripts.h). While the last
 * operation runs (or the opening, if there is none), the world is watched: in the middle of every
 * call that changes what is pending or durable, and once behind the last, what a power cut may
 * leave then is enumerated (images.h), and every image that was not met before is judged (judge.h).
 * Calls of earlier operations belong to a shorter script, which is enumerated too.
 *
 * Which scripts. All of zero, one and two operations (with --long: three), in an order drawn from
 * the seed; then ones of up to six operations by chance, with more subsets, until the time is
 * over.
 *
 * Which images. Blocks of 4096, sectors of 512, torn sectors, and blocks of 4096 on a disk where
 * what was allocated and not written holds old content. Which subsets: struct effort, below. While
 * an image recovers, its world is watched in the same way, and the images of its changing calls,
 * and the one after the last, are judged too and must recover to the same transaction; those are
 * the images of depth two. (Scripts of two operations in the short form: one call of three, and
 * the end.)
 *
 * What is a different image. Images are compared by their bytes (a 64-bit sum of page hashes), over
 * all scripts, devices and depths; each is counted once, for the first device that gave it. One met
 * again is held against what is acknowledged by then, and against what the model says about the
 * transaction that it recovered to.
 *
 * Canaries. At the start, in child processes: a judge that takes what was begun for acknowledged, a
 * medium without working syncs, and one with working synchronous writes only; the rack fails if one
 * of them is not noticed. --canary: the medium has no working syncs.
 *
 * A case is a script, and whether it is tried deeply. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "base/checksum.h"
#include "base/marks.h"
#include "base/prng.h"
#include "common/rack.h"
#include "images.h"
#include "judge.h"
#include "known.h"
#include "scripts.h"

#define SHORT_SECONDS 135
#define BROAD_LENGTH 2u /* of the exhaustive part of the short form */

/* images: distinct ones, judged; images_DEVICE: of these, by the first device that gave it;
 * depth_two: of these, found in a recovery; met: enumerated, with repetitions; histories_left: of
 * the exhaustive part, not reached; stops: calls in whose middle the world was cut; all_subsets,
 * capped: stops and devices of which every subset was tried, and of which not; canaries: noticed */
#define FIGURES(X)                                                                                 \
    X(images)                                                                                      \
    X(images_4096)                                                                                 \
    X(images_512)                                                                                  \
    X(images_torn)                                                                                 \
    X(images_stale)                                                                                \
    X(depth_two)                                                                                   \
    X(per_second_and_core)                                                                         \
    X(met)                                                                                         \
    X(histories)                                                                                   \
    X(histories_left)                                                                              \
    X(stops)                                                                                       \
    X(all_subsets)                                                                                 \
    X(capped)                                                                                      \
    X(atoms_max)                                                                                   \
    X(canaries)

enum figure {
#define FIGURE_ENUM(name) FIGURE_##name,
    FIGURES(FIGURE_ENUM)
#undef FIGURE_ENUM
        FIGURE_COUNT
};
static const char *const figure_names[FIGURE_COUNT] = {
#define FIGURE_NAME(name) #name,
    FIGURES(FIGURE_NAME)
#undef FIGURE_NAME
};

/* Of the exhaustive part, of the histories by chance behind it, and of recoveries. */
static const struct effort broad = {.exhaustive = 3, .picks = 2, .chances = 1, .tears = 1};
static const struct effort deep = {.exhaustive = 8, .picks = 16, .chances = 32, .tears = 8};
static const struct effort recovery = {.chances = 1};
static const struct effort deep_recovery = {.exhaustive = 4, .picks = 4, .chances = 4, .tears = 2};

/* What all workers share. */
static struct {
    const struct rack_settings *settings;
    struct known *known;
    uint64_t next;         /* atomic: the next script of the exhaustive part */
    uint64_t finished;     /* atomic: workers */
    uint64_t is_cut_short; /* atomic: not even all scripts of one operation were reached */
    uint64_t marks[NS__MARK_COUNT];
} * all;

struct worker {
    struct run run;
    struct known *known;
    struct judge *judges[2]; /* by depth */
    struct base *bases[2];
    const struct effort *efforts[2];
    unsigned number;
    struct ns__prng prng; /* of one script: it comes from its name */
    bool is_quiet;        /* a canary: nothing is counted */
    char name[256];
    uint64_t stop;
    enum device device;

    /* while an image recovers */
    const struct image *image;
    uint64_t identity;
    uint64_t inner_stop;
    uint64_t inner_every; /* one call of so many */
    enum device inner_device;
    uint64_t inner_found; /* what the images of this recovery found; UINT64_MAX: none yet */
    char how[64];
};

static void count(const struct worker *worker, enum figure figure, uint64_t by)
{
    if (!worker->is_quiet) rack_add(figure, by);
}

/* ---- judging ---- */

/* An image of this or another worker's past. */
static void judge_again(const struct worker *worker, const struct known_verdict *verdict)
{
    judge_bounds(&worker->run, verdict->txn_id);
    if (judge_content(&worker->run, verdict->txn_id) != verdict->content) {
        rack_fail("the image holds transaction %llu of another history",
                  (unsigned long long)verdict->txn_id);
    }
}

static uint64_t judge_one(struct worker *worker, int depth, const struct image *image,
                          uint64_t identity, const struct judge_watch *watch, enum device device)
{
    struct known_verdict verdict;
    enum known_state state = known_look(worker->known, identity, &verdict);
    count(worker, FIGURE_met, 1);
    if (state == KNOWN_JUDGED) {
        judge_again(worker, &verdict);
        return verdict.txn_id;
    }
    verdict.txn_id = judge_image(worker->judges[depth], &worker->run, image, identity, watch);
    verdict.content = judge_content(&worker->run, verdict.txn_id);
    if (state == KNOWN_TAKEN) return verdict.txn_id;
    known_tell(worker->known, identity, &verdict);
    count(worker, FIGURE_images, 1);
    count(worker, FIGURE_images_4096 + (enum figure)device, 1);
    if (depth == 1) count(worker, FIGURE_depth_two, 1);
    return verdict.txn_id;
}

/* ---- crashes while an image recovers ---- */

static void try_inner(void *ctx, const struct image *image, const char *how, uint64_t number)
{
    struct worker *worker = ctx;
    rack_case("%s call %llu, %s, %s; in recovery: call %llu, %s, %s %llu", worker->name,
              (unsigned long long)worker->stop, device_names[worker->device], worker->how,
              (unsigned long long)worker->inner_stop, device_names[worker->inner_device], how,
              (unsigned long long)number);
    uint64_t found = judge_one(worker, 1, image, image_identity(image), NULL, worker->inner_device);
    if (worker->inner_found == UINT64_MAX) worker->inner_found = found;
    if (found != worker->inner_found) {
        rack_fail("one crash in recovery leads to transaction %llu, another to %llu",
                  (unsigned long long)worker->inner_found, (unsigned long long)found);
    }
}

static void seen_in_recovery(void *ctx, const struct ns__mem *world, bool is_behind)
{
    struct worker *worker = ctx;
    if (worker->inner_stop == 0) base_follow(worker->bases[1], world, worker->image);
    worker->inner_stop++;
    uint64_t seed = worker->identity + worker->inner_stop;
    if (!is_behind && seed % worker->inner_every != 0) {
        base_pass(worker->bases[1]);
        return;
    }
    worker->inner_device = (enum device)((seed >> 3) % DEVICE_STALE);
    (void)base_images(worker->bases[1], worker->inner_device, worker->efforts[1], seed, try_inner,
                      worker);
}

/* ---- crashes of a script ---- */

static void try_outer(void *ctx, const struct image *image, const char *how, uint64_t number)
{
    struct worker *worker = ctx;
    struct judge_watch watch = {seen_in_recovery, worker};
    if (rack_is_late() || known_is_full(worker->known)) return;
    worker->image = image;
    worker->identity = image_identity(image);
    worker->inner_stop = 0;
    worker->inner_found = UINT64_MAX;
    snprintf(worker->how, sizeof worker->how, "%s %llu", how, (unsigned long long)number);
    rack_case("%s call %llu, %s, %s", worker->name, (unsigned long long)worker->stop,
              device_names[worker->device], worker->how);
    uint64_t found = judge_one(worker, 0, image, worker->identity, &watch, worker->device);
    if (worker->inner_found != UINT64_MAX && worker->inner_found != found) {
        rack_fail("the image recovers to transaction %llu, after a crash in recovery to %llu",
                  (unsigned long long)found, (unsigned long long)worker->inner_found);
    }
}

static void seen_in_script(void *ctx)
{
    struct worker *worker = ctx;
    worker->stop++;
    if (rack_is_late() || known_is_full(worker->known)) return;
    count(worker, FIGURE_stops, 1);
    for (enum device device = 0; device < DEVICES; device++) {
        if (device == DEVICE_STALE && !worker->run.is_created) continue;
        worker->device = device;
        struct atom_tally tally = base_images(worker->bases[0], device, worker->efforts[0],
                                              ns__prng_next(&worker->prng), try_outer, worker);
        if (device != DEVICE_TORN) {
            count(worker, tally.is_capped ? FIGURE_capped : FIGURE_all_subsets, 1);
        }
        if (!worker->is_quiet) rack_max(FIGURE_atoms_max, tally.atoms);
    }
}

static void watch_from_now(struct worker *worker)
{
    worker->stop = 0;
    worker->run.is_watched = true;
    base_follow(worker->bases[0], worker->run.mem, NULL);
    ns__mem_watch(worker->run.mem, seen_in_script, worker);
}

static void run_script(struct worker *worker, const struct script *script, enum lie lie)
{
    script_name(script, worker->name, sizeof worker->name - 8);
    if (worker->efforts[0] == &deep) strcat(worker->name, " deep");
    worker->prng.state = ns__checksum64(worker->name, strlen(worker->name), all->settings->seed);
    rack_case("%s", worker->name);
    bool is_many = worker->efforts[0] == &broad && script->count == BROAD_LENGTH;
    worker->inner_every = is_many ? 3 : 1;
    script_start(&worker->run, script, lie);
    if (script->count == 0) watch_from_now(worker);
    script_open(&worker->run);
    if (script->count > 0) script_begin(&worker->run, script);
    for (size_t i = 0; i < script->count; i++) {
        if (i + 1 == script->count) watch_from_now(worker);
        script_step(&worker->run, script->ops[i]);
    }
    ns__mem_watch(worker->run.mem, NULL, NULL);
    seen_in_script(worker); /* with the last call done */
    rack_case("%s", worker->name);
    script_end(&worker->run);
    count(worker, FIGURE_histories, 1);
}

/* ---- which scripts ---- */

static size_t exhaustive_length(void)
{
    return all->settings->is_long ? 3 : BROAD_LENGTH;
}

static uint64_t exhaustive_count(void)
{
    uint64_t scripts = 0;
    for (size_t length = 0; length <= exhaustive_length(); length++)
        scripts += scripts_of_length(length);
    return scripts;
}

/* The index-th of the exhaustive part: short ones first, else in an order drawn from the seed. */
static struct script exhaustive_script(uint64_t index)
{
    size_t length = 0;
    while (index >= scripts_of_length(length))
        index -= scripts_of_length(length++);
    uint64_t scripts = scripts_of_length(length);
    return script_nth(length, (index * 7919 + all->settings->seed) % scripts);
}

static void run_exhaustive(struct worker *worker, enum lie lie)
{
    uint64_t scripts = exhaustive_count();
    for (;;) {
        uint64_t index = ns__atomic_add(&all->next, 1);
        if (index >= scripts) return;
        struct script script = exhaustive_script(index);
        if (!script_makes_sense(&script)) continue;
        if (rack_is_late()) {
            count(worker, FIGURE_histories_left, 1);
            if (script.count < 2) ns__atomic_store(&all->is_cut_short, 1);
        } else {
            run_script(worker, &script, lie);
        }
    }
}

static void run_sampled(struct worker *worker, enum lie lie)
{
    struct ns__prng prng = {all->settings->seed * 1000003 + worker->number};
    worker->efforts[0] = &deep;
    while (!rack_is_late() && !known_is_full(worker->known)) {
        size_t length = 1 + (size_t)ns__prng_below(&prng, SCRIPT_OPS_MAX);
        struct script script = script_nth(length, ns__prng_next(&prng) >> 8);
        if (script_makes_sense(&script)) run_script(worker, &script, lie);
    }
}

/* ---- did all of it happen? ---- */

/* A run of the whole short form, or longer, in which something never happened is not the run that
 * it says it is. Some events need two operations, so a run with less time proves nothing by lacking
 * them. */
static void check_events(void)
{
    static const unsigned wanted[] = {
        NS__MARK_overflow_write,   NS__MARK_overflow_drop,      NS__MARK_spill,
        NS__MARK_page_reuse,       NS__MARK_reader_pins_page,   NS__MARK_extent_switch,
        NS__MARK_extent_recycle,   NS__MARK_log_span,           NS__MARK_meta_fallback,
        NS__MARK_recovery_unclean, NS__MARK_recovery_torn_tail, NS__MARK_recovery_settle,
        NS__MARK_checkpoint,       NS__MARK_file_grow,          NS__MARK_bitmap_rotate,
        NS__MARK_keyspace_create,  NS__MARK_keyspace_drop,      NS__MARK_clean_open};
    bool is_so = true;
    if (all->settings->only != NULL || ns__atomic_load(&all->is_cut_short) != 0) return;
    if (all->settings->seconds < SHORT_SECONDS) return;
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        printf("  %s %llu\n", event_names[i], (unsigned long long)event_get((enum event)i));
        if (event_get((enum event)i) > 0) continue;
        fprintf(stderr, "rack crash/simulated: never happened: %s\n", event_names[i]);
        is_so = false;
    }
#if defined(NS_CHECKED)
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (all->marks[wanted[i]] > 0) continue;
        fprintf(stderr, "rack crash/simulated: never hit: %s\n", ns__mark_names[wanted[i]]);
        is_so = false;
    }
#else
    (void)wanted;
#endif
    fflush(NULL);
    if (!is_so) rack_fail("the histories do not reach what they are for");
}

/* ---- workers ---- */

static void worker_init(struct worker *worker, unsigned number)
{
    bool is_long = all->settings->is_long;
    uint64_t seed = all->settings->seed;
    memset(worker, 0, sizeof *worker);
    worker->known = all->known;
    worker->efforts[0] = is_long ? &deep : &broad;
    worker->efforts[1] = is_long ? &deep_recovery : &recovery;
    worker->number = number;
    for (int depth = 0; depth < 2; depth++) {
        worker->judges[depth] = judge_new(seed);
        worker->bases[depth] = base_new();
    }
}

static void worker_deinit(struct worker *worker)
{
    for (int depth = 0; depth < 2; depth++) {
        judge_free(worker->judges[depth]);
        base_free(worker->bases[depth]);
    }
}

static void work(unsigned number, unsigned workers, void *ctx)
{
    static struct worker worker;
    const char *only = all->settings->only;
    enum lie lie = all->settings->is_canary ? LIE_SYNC : LIE_NONE;
    (void)ctx;
    worker_init(&worker, number);
    if (only != NULL) {
        struct script script;
        worker.efforts[0] = strstr(only, " deep") != NULL ? &deep : &broad;
        if (!script_parse(only, &script)) rack_fail("--only: not a script: %s", only);
        run_script(&worker, &script, lie);
    } else {
        run_exhaustive(&worker, lie);
        run_sampled(&worker, lie);
    }
    worker_deinit(&worker);
    for (size_t i = 0; i < NS__MARK_COUNT; i++)
        (void)ns__atomic_add(&all->marks[i], ns__atomic_load(&ns__marks[i]));
    double seconds = rack_seconds() * (double)workers;
    rack_max(FIGURE_per_second_and_core, (uint64_t)((double)rack_figure(FIGURE_images) / seconds));
    if (ns__atomic_add(&all->finished, 1) + 1 == workers) check_events();
}

/* ---- the rack's own checks ---- */

/* In a child process: every script of at most one operation, in a world that lies. */
_Noreturn static void run_canary(enum lie lie)
{
    static struct worker worker;
    alarm(120);
    events_leave();
    if (freopen("/dev/null", "w", stderr) == NULL || freopen("/dev/null", "w", stdout) == NULL) {
        _exit(3);
    }
    all->known = known_new((size_t)1 << 20);
    worker_init(&worker, 0);
    worker.is_quiet = true;
    for (size_t length = 0; length <= 1; length++) {
        for (uint64_t i = 0; i < scripts_of_length(length); i++) {
            struct script script = script_nth(length, i);
            if (script_makes_sense(&script)) run_script(&worker, &script, lie);
        }
    }
    _exit(0);
}

static void check_canaries(void)
{
    static const char *const names[] = {"none", "ack", "sync", "barrier"};
    struct known *known = all->known;
    for (enum lie lie = LIE_ACK; lie <= LIE_BARRIER; lie++) {
        int result = 0;
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) run_canary(lie);
        if (child < 0 || waitpid(child, &result, 0) != child) rack_fail("no child process");
        all->known = known; /* the child set its own: the page is shared */
        if (!WIFEXITED(result) || WEXITSTATUS(result) != 1) {
            rack_fail("the canary %s was not noticed (%#x)", names[lie], (unsigned)result);
        }
        rack_add(FIGURE_canaries, 1);
    }
}

int main(int argc, char **argv)
{
    const struct rack_settings *settings =
        rack_init("crash/simulated", SHORT_SECONDS, figure_names, FIGURE_COUNT, argc, argv);
#if defined(__GLIBC__)
    mallopt(M_MMAP_THRESHOLD, 64 << 20); /* buffers that come and go by the million */
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
    all = known_shared(sizeof *all);
    all->settings = settings;
    all->known = known_new((size_t)1 << (settings->is_long ? 26 : 22));
    scripts_prepare(settings->seed);
    if (settings->only == NULL && !settings->is_canary) check_canaries();
    return rack_run(work, NULL);
}
