/* model_test.c: long random histories against the reference, and the histories that once failed.
 *
 *   model_test [--seed N] [--histories N] [--steps N] [--seconds N] [--threads 0|1] [--replay FILE]
 *              [--trace] [--canary]
 *
 * History number i is made from seed N + i, so `--seed S --histories 1` repeats one. The same
 * settings come from NS_MODEL_SEED, NS_MODEL_HISTORIES, NS_MODEL_STEPS and NS_MODEL_SECONDS. On a
 * failure the history is made small (not with NS_MODEL_NOSHRINK), printed, and written to
 * model_failure.txt, which --replay runs again. In checked builds the run fails when a coverage
 * mark (base/marks.h) stays unhit: a place that the histories do not reach is a place that they do
 * not test. */
#include "harness/test.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/marks.h"
#include "harness/driver.h"
#include "harness/shrink.h"

#define HISTORY_TIMEOUT_S 120u
#define MARKS_PATIENCE 2 /* times the usual duration, for marks that are still unhit */

static struct settings {
    uint64_t seed, histories, steps, seconds;
    uint64_t threads; /* 0, 1: for all histories; 2: as each history says */
    const char *replay;
    struct driver_options driver;
} settings = {1, 1000000, 260, 55, 2, NULL, {false, false}};

/* Seen by the process that runs histories and by the one that watches it. */
static struct shared {
    struct driver_figures figures;
    uint64_t marks[NS__MARK_COUNT];
    uint64_t seed_at; /* of the history that runs */
    bool has_failed;
    char text[DRIVER_TEXT_BYTES];
} * shared;

/* Processor time of this process, so that a busy machine tests as much as an idle one; but at least
 * a third of the time that passes. */
static uint64_t elapsed_s(void)
{
    static time_t begin;
    struct timespec used;
    if (begin == 0) begin = time(NULL);
    uint64_t passed = (uint64_t)(time(NULL) - begin);
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0) return passed;
    return (uint64_t)used.tv_sec > passed / 3 ? (uint64_t)used.tv_sec : passed / 3;
}

/* ---- running ---- */

static void add_marks(const uint64_t before[NS__MARK_COUNT])
{
    for (size_t i = 0; i < NS__MARK_COUNT; i++)
        shared->marks[i] = before[i] + ns__marks[i];
}

static size_t marks_hit(void)
{
    size_t hit = 0;
    for (size_t i = 0; i < NS__MARK_COUNT; i++)
        hit += shared->marks[i] > 0;
    return hit;
}

static bool is_enough(uint64_t done)
{
#if defined(NS_CHECKED)
    bool misses_marks = settings.histories > 1 && marks_hit() < NS__MARK_COUNT;
#else
    bool misses_marks = false;
#endif
    if (misses_marks) return elapsed_s() >= settings.seconds * MARKS_PATIENCE;
    return done >= settings.histories || elapsed_s() >= settings.seconds;
}

static void generate(struct history *history, uint64_t seed)
{
    history_init(history);
    history_generate(history, seed, (size_t)settings.steps);
    if (settings.threads < 2) history->config.threads = settings.threads;
}

/* In a child: histories one after the other until one fails. */
static void run_histories(void)
{
    uint64_t before[NS__MARK_COUNT];
    struct history history;
    (void)elapsed_s();
    memcpy(before, shared->marks, sizeof before);
    for (uint64_t i = 0; !is_enough(i); i++) {
        shared->seed_at = settings.seed + i;
        generate(&history, shared->seed_at);
        alarm(HISTORY_TIMEOUT_S);
        if (!driver_run(&history, &settings.driver, &shared->figures, shared->text)) {
            shared->has_failed = true;
            _exit(1);
        }
        history_deinit(&history);
        add_marks(before);
    }
    alarm(0);
    exit(0); /* not _exit: the leak checker has its say */
}

/* True if all went well. */
static bool run_child(void (*body)(void))
{
    int state = 0;
    shared->has_failed = false;
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) body();
    if (waitpid(child, &state, 0) != child) abort();
    if (WIFSIGNALED(state)) {
        shared->has_failed = true;
        snprintf(shared->text, sizeof shared->text, "died of signal %d%s", WTERMSIG(state),
                 WTERMSIG(state) == SIGALRM ? " (took too long)" : "");
    }
    return WIFEXITED(state) && WEXITSTATUS(state) == 0;
}

static void report_failure(struct history *history, const char *where)
{
    struct shrink_result result;
    char text[DRIVER_TEXT_BYTES];
    print_error("%s: %s\n", where, shared->text);
    if (getenv("NS_MODEL_NOSHRINK") != NULL) return;
    if (!shrink_fails(history, &settings.driver, HISTORY_TIMEOUT_S, text)) {
        print_error("it does not fail when repeated alone\n");
        return;
    }
    memcpy(result.text, text, sizeof text);
    print_error("repeated: %s\nshrinking %zu steps ...\n", text, history->count);
    shrink_history(history, &settings.driver, 60, &result);
    print_error("after %llu attempts: %s\n", (unsigned long long)result.attempts, result.text);
    fflush(stdout);
    history_print(history, stderr);
    FILE *file = fopen("model_failure.txt", "w");
    if (file == NULL) return;
    fprintf(file, "# %s\n", result.text);
    history_print(history, file);
    fclose(file);
    print_error("rerun: model_test --replay model_failure.txt --trace\n");
}

static void random_histories_agree_with_the_reference(void **state)
{
    (void)state;
    print_message("model: seed %llu\n", (unsigned long long)settings.seed);
    if (run_child(run_histories)) return;
    if (shared->has_failed) {
        struct history history;
        char where[64];
        generate(&history, shared->seed_at);
        snprintf(where, sizeof where, "model_test --seed %llu --histories 1 --steps %llu",
                 (unsigned long long)shared->seed_at, (unsigned long long)settings.steps);
        report_failure(&history, where);
        history_deinit(&history);
    }
    fail_msg("a history failed");
}

/* ---- the histories that once failed ---- */

static struct history saved;

static void run_saved(void)
{
    uint64_t before[NS__MARK_COUNT];
    memcpy(before, shared->marks, sizeof before);
    alarm(HISTORY_TIMEOUT_S);
    bool is_good = driver_run(&saved, &settings.driver, &shared->figures, shared->text);
    if (!is_good) {
        shared->has_failed = true;
        _exit(1);
    }
    alarm(0);
    add_marks(before);
    history_deinit(&saved);
    exit(0);
}

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) fail_msg("cannot open %s", path);
    history_init(&saved);
    size_t bad_line = history_parse(&saved, file);
    fclose(file);
    if (bad_line > 0) fail_msg("%s: line %zu cannot be read", path, bad_line);
    if (!run_child(run_saved)) {
        print_error("%s: %s\n", path, shared->text);
        fail_msg("a saved history failed");
    }
    history_deinit(&saved);
}

/* The directory beside this source file, or NS_MODEL_SAVED. */
static void saved_directory(char *out, size_t size)
{
    const char *source = __FILE__;
    const char *slash = strrchr(source, '/');
    const char *wanted = getenv("NS_MODEL_SAVED");
    if (wanted != NULL) {
        snprintf(out, size, "%s", wanted);
    } else {
        snprintf(out, size, "%.*s/histories", slash != NULL ? (int)(slash - source) : 1,
                 slash != NULL ? source : ".");
    }
}

static void saved_histories_agree_with_the_reference(void **state)
{
    char directory[2048];
    char path[4096];
    size_t count = 0;
    (void)state;
    saved_directory(directory, sizeof directory);
    DIR *entries = opendir(directory);
    if (entries == NULL) fail_msg("no saved histories in %s", directory);
    struct dirent *entry;
    while ((entry = readdir(entries)) != NULL) {
        size_t length = strlen(entry->d_name);
        if (length < 4 || strcmp(entry->d_name + length - 4, ".txt") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        replay_file(path);
        count++;
    }
    closedir(entries);
    print_message("model: %zu saved histories\n", count);
}

/* ---- does the comparison bite? ---- */

static void run_canary(void)
{
    struct driver_figures figures;
    memset(&figures, 0, sizeof figures);
    settings.driver.is_canary = true;
    for (uint64_t i = 0; i < 50; i++) {
        struct history history;
        generate(&history, settings.seed + i);
        alarm(HISTORY_TIMEOUT_S);
        if (!driver_run(&history, &settings.driver, &figures, shared->text)) _exit(1);
        history_deinit(&history);
    }
    _exit(0);
}

static void a_reference_that_forgets_a_put_is_noticed(void **state)
{
    (void)state;
    if (run_child(run_canary)) fail_msg("50 histories with a wrong reference found nothing");
    if (shared->has_failed) fail_msg("the canary %s", shared->text);
}

/* ---- did the histories go everywhere? ---- */

static void every_coverage_mark_is_hit(void **state)
{
    (void)state;
    const struct driver_figures *f = &shared->figures;
    print_message("model: %llu histories, %llu steps, %llu commits, %llu power cuts, %llu kills, "
                  "%llu reopens, %llu refused, %llu records, %llu replays, %llu full checks, "
                  "%zu of %u marks\n",
                  (unsigned long long)f->histories, (unsigned long long)f->steps,
                  (unsigned long long)f->commits, (unsigned long long)f->power_cuts,
                  (unsigned long long)f->kills, (unsigned long long)f->reopens,
                  (unsigned long long)f->faults, (unsigned long long)f->records,
                  (unsigned long long)f->replays, (unsigned long long)f->checks, marks_hit(),
                  (unsigned)NS__MARK_COUNT);
#if defined(NS_CHECKED)
    for (size_t i = 0; i < NS__MARK_COUNT; i++) {
        if (shared->marks[i] == 0) print_error("mark never hit: %s\n", ns__mark_names[i]);
        if (getenv("NS_MODEL_MARKS") != NULL) {
            print_message("  %-20s %llu\n", ns__mark_names[i],
                          (unsigned long long)shared->marks[i]);
        }
    }
    assert_int_equal(marks_hit(), NS__MARK_COUNT);
#endif
}

/* ---- the command line ---- */

static void from_environment(const char *name, uint64_t *setting)
{
    const char *text = getenv(name);
    if (text != NULL) *setting = strtoull(text, NULL, 10);
}

static int read_arguments(int argc, char **argv)
{
    const struct {
        const char *name;
        uint64_t *setting;
    } numbers[] = {{"--seed", &settings.seed},
                   {"--histories", &settings.histories},
                   {"--steps", &settings.steps},
                   {"--seconds", &settings.seconds},
                   {"--threads", &settings.threads}};
    for (int i = 1; i < argc; i++) {
        bool is_known = true;
        if (strcmp(argv[i], "--trace") == 0) {
            settings.driver.is_traced = true;
        } else if (strcmp(argv[i], "--canary") == 0) {
            settings.driver.is_canary = true;
        } else if (strcmp(argv[i], "--replay") == 0 && i + 1 < argc) {
            settings.replay = argv[++i];
        } else {
            is_known = false;
            for (size_t n = 0; n < sizeof numbers / sizeof numbers[0] && i + 1 < argc; n++) {
                if (strcmp(argv[i], numbers[n].name) != 0) continue;
                *numbers[n].setting = strtoull(argv[++i], NULL, 10);
                is_known = true;
                break;
            }
        }
        if (!is_known) {
            fprintf(stderr, "model_test: unknown argument %s\n", argv[i]);
            return 2;
        }
    }
    return 0;
}

static void the_named_history_agrees_with_the_reference(void **state)
{
    (void)state;
    replay_file(settings.replay);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(saved_histories_agree_with_the_reference),
        cmocka_unit_test(a_reference_that_forgets_a_put_is_noticed),
        cmocka_unit_test(random_histories_agree_with_the_reference),
        cmocka_unit_test(every_coverage_mark_is_hit),
    };
    const struct CMUnitTest one[] = {cmocka_unit_test(the_named_history_agrees_with_the_reference)};
    const struct CMUnitTest random_only[] = {
        cmocka_unit_test(random_histories_agree_with_the_reference)};
    from_environment("NS_MODEL_SEED", &settings.seed);
    from_environment("NS_MODEL_HISTORIES", &settings.histories);
    from_environment("NS_MODEL_STEPS", &settings.steps);
    from_environment("NS_MODEL_SECONDS", &settings.seconds);
    if (read_arguments(argc, argv) != 0) return 2;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 2;
    if (settings.replay != NULL) return cmocka_run_group_tests(one, NULL, NULL);
    if (settings.histories == 1) return cmocka_run_group_tests(random_only, NULL, NULL);
    return cmocka_run_group_tests(all, NULL, NULL);
}
