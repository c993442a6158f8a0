/* rack.c: see rack.h.
 *
 * Figures, cases and sets live in shared memory that is mapped before the workers are forked. The
 * parent does nothing but wait: the first worker that fails, or dies of a signal, decides, and the
 * others are killed. */
#include "common/rack.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <northstar.h>

#define CASE_BYTES 1024u
#define WORKERS_MAX 64u

struct rack_set {
    size_t capacity;
    _Atomic uint64_t count;
    _Atomic uint64_t slots[];
};

static struct rack_settings settings;
static const char *const *names;
static size_t name_count;
static _Atomic uint64_t *figures;
static char (*cases)[CASE_BYTES]; /* one for each worker */
static unsigned self;
static bool is_worker;
static struct timespec begin;
static const char *program;

static void *shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("rack: no shared memory");
        exit(2);
    }
    return memory;
}

/* ---- the command line ---- */

_Noreturn static void usage(const char *problem, const char *argument)
{
    fprintf(stderr,
            "rack %s: %s '%s'\n"
            "usage: [--short | --long MINUTES] [--seconds N] [--seed N] [--jobs N] [--only CASE]\n"
            "       [--dir PATH] [--canary]\n",
            settings.name, problem, argument);
    exit(2);
}

static uint64_t number(const char *option, const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-') usage(option, text);
    return value;
}

static void read_option(const char *option, const char *value)
{
    if (strcmp(option, "--long") == 0) {
        settings.is_long = true;
        settings.seconds = 60 * number("not minutes:", value);
    } else if (strcmp(option, "--seconds") == 0) {
        settings.seconds = number("not seconds:", value);
    } else if (strcmp(option, "--seed") == 0) {
        settings.seed = number("not a seed:", value);
    } else if (strcmp(option, "--jobs") == 0) {
        settings.jobs = (unsigned)number("not a number of jobs:", value);
    } else if (strcmp(option, "--only") == 0) {
        settings.only = value;
    } else if (strcmp(option, "--dir") == 0) {
        settings.dir = value;
    } else {
        usage("unknown option", option);
    }
}

static void read_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--short") == 0) continue;
        if (strcmp(argv[i], "--canary") == 0) {
            settings.is_canary = true;
            continue;
        }
        if (i + 1 == argc) usage("needs a value, or is unknown:", argv[i]);
        read_option(argv[i], argv[i + 1]);
        i++;
    }
    if (settings.jobs == 0 || settings.jobs > WORKERS_MAX) {
        usage("--jobs must be 1 to 64, not", settings.jobs == 0 ? "0" : "more");
    }
}

const struct rack_settings *rack_init(const char *name, uint64_t short_seconds,
                                      const char *const *figure_names, size_t figure_count,
                                      int argc, char **argv)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    program = argv[0];
    names = figure_names;
    name_count = figure_count;
    settings = (struct rack_settings){.name = name, .seed = 1, .seconds = short_seconds};
    settings.jobs = cores < 1 ? 1 : cores > (long)WORKERS_MAX ? WORKERS_MAX : (unsigned)cores;
    read_arguments(argc, argv);
    if (settings.only != NULL) settings.jobs = 1;
    figures = shared((figure_count + 1) * sizeof *figures);
    cases = shared(WORKERS_MAX * sizeof *cases);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    return &settings;
}

/* ---- figures and time ---- */

void rack_add(size_t figure, uint64_t count)
{
    atomic_fetch_add_explicit(&figures[figure], count, memory_order_relaxed);
}

void rack_max(size_t figure, uint64_t value)
{
    uint64_t old = atomic_load_explicit(&figures[figure], memory_order_relaxed);
    while (old < value && !atomic_compare_exchange_weak(&figures[figure], &old, value)) {
    }
}

uint64_t rack_figure(size_t figure)
{
    return atomic_load_explicit(&figures[figure], memory_order_relaxed);
}

double rack_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9;
}

bool rack_is_late(void)
{
    return rack_seconds() >= (double)settings.seconds;
}

static void print_line(const char *verdict)
{
    fflush(stderr);
    printf("rack %s: %s seed=%llu seconds=%.1f", settings.name, verdict,
           (unsigned long long)settings.seed, rack_seconds());
    for (size_t i = 0; i < name_count; i++)
        printf(" %s=%llu", names[i], (unsigned long long)rack_figure(i));
    printf("\n");
    fflush(stdout);
}

/* ---- failing ---- */

void rack_case(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(cases[self], CASE_BYTES, format, arguments);
    va_end(arguments);
}

static void print_case(unsigned worker)
{
    if (cases[worker][0] == '\0') return;
    fprintf(stderr, "  case: %s\n  again: %s --seed %llu%s --only '%s'\n", cases[worker], program,
            (unsigned long long)settings.seed, settings.is_canary ? " --canary" : "",
            cases[worker]);
}

void rack_fail(const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "rack %s: ", settings.name);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n  the library says: %s\n", ns_error_detail());
    print_case(self);
    fflush(NULL);
    if (!is_worker) print_line("FAIL");
    _exit(1);
}

void rack_skip(const char *format, ...)
{
    va_list arguments;
    printf("rack %s: skipped: ", settings.name);
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    print_line("SKIP");
    exit(0);
}

/* ---- workers ---- */

static pid_t start_worker(unsigned worker, void (*work)(unsigned, unsigned, void *), void *ctx)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        perror("rack: fork");
        exit(2);
    }
    if (child > 0) return child;
    self = worker;
    is_worker = true;
    work(worker, settings.jobs, ctx);
    fflush(NULL);
    _exit(0);
}

static void end_workers(const pid_t *children)
{
    for (unsigned i = 0; i < settings.jobs; i++) {
        if (children[i] > 0) kill(children[i], SIGKILL);
    }
}

static unsigned worker_of(const pid_t *children, pid_t child)
{
    unsigned worker = 0;
    while (worker < settings.jobs && children[worker] != child)
        worker++;
    return worker;
}

/* Waits for all; true if each ended well. */
static bool wait_for_workers(pid_t *children)
{
    bool is_good = true;
    unsigned left = settings.jobs;
    while (left > 0) {
        int result;
        pid_t child = wait(&result);
        if (child < 0 && errno == EINTR) continue;
        if (child < 0) return false;
        unsigned worker = worker_of(children, child);
        if (worker == settings.jobs) continue;
        children[worker] = 0;
        left--;
        if (WIFEXITED(result) && WEXITSTATUS(result) == 0) continue;
        if (is_good && WIFSIGNALED(result)) {
            fprintf(stderr, "rack %s: a worker died of signal %d (%s)\n", settings.name,
                    WTERMSIG(result), strsignal(WTERMSIG(result)));
            print_case(worker);
        }
        if (is_good) end_workers(children);
        is_good = false;
    }
    return is_good;
}

int rack_run(void (*work)(unsigned worker, unsigned workers, void *ctx), void *ctx)
{
    pid_t children[WORKERS_MAX] = {0};
    if (settings.only != NULL) {
        work(0, 1, ctx);
        print_line("PASS");
        return 0;
    }
    for (unsigned i = 0; i < settings.jobs; i++)
        children[i] = start_worker(i, work, ctx);
    bool is_good = wait_for_workers(children);
    print_line(is_good ? "PASS" : "FAIL");
    return is_good ? 0 : 1;
}

/* ---- the shared set ---- */

struct rack_set *rack_set_new(size_t capacity)
{
    struct rack_set *set = shared(sizeof *set + capacity * sizeof set->slots[0]);
    set->capacity = capacity;
    return set;
}

bool rack_set_add(struct rack_set *set, uint64_t hash)
{
    if (hash == 0) hash = 1;
    size_t at = (size_t)(hash * UINT64_C(0x9e3779b97f4a7c15)) & (set->capacity - 1);
    for (size_t tried = 0; tried < set->capacity; tried++) {
        uint64_t found = atomic_load_explicit(&set->slots[at], memory_order_relaxed);
        if (found == 0 && atomic_compare_exchange_strong(&set->slots[at], &found, hash)) {
            atomic_fetch_add_explicit(&set->count, 1, memory_order_relaxed);
            return true;
        }
        if (found == hash) return false;
        at = (at + 1) & (set->capacity - 1);
    }
    rack_fail("the set of hashes is full (%zu)", set->capacity);
}

uint64_t rack_set_count(const struct rack_set *set)
{
    return atomic_load_explicit(&set->count, memory_order_relaxed);
}
