/* shrink.c: see shrink.h. */
#include "harness/shrink.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void run_in_child(const struct history *history, const struct driver_options *options,
                         unsigned timeout_s, char *text)
{
    struct driver_figures figures;
    memset(&figures, 0, sizeof figures);
    if (!options->is_traced) {
        int nowhere = open("/dev/null", O_WRONLY);
        if (nowhere >= 0) (void)dup2(nowhere, STDERR_FILENO);
    }
    alarm(timeout_s);
    _exit(driver_run(history, options, &figures, text) ? 0 : 1);
}

bool shrink_fails(const struct history *history, const struct driver_options *options,
                  unsigned timeout_s, char text[DRIVER_TEXT_BYTES])
{
    int state = 0;
    char *shared =
        mmap(NULL, DRIVER_TEXT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) abort();
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) run_in_child(history, options, timeout_s, shared);
    if (waitpid(child, &state, 0) != child) abort();
    snprintf(text, DRIVER_TEXT_BYTES, "%s", shared);
    if (WIFSIGNALED(state)) {
        snprintf(text, DRIVER_TEXT_BYTES, "died of signal %d%s", WTERMSIG(state),
                 WTERMSIG(state) == SIGALRM ? " (took too long)" : "");
    }
    munmap(shared, DRIVER_TEXT_BYTES);
    return !WIFEXITED(state) || WEXITSTATUS(state) != 0;
}

/* ---- smaller and smaller ---- */

struct shrinking {
    struct history *best;
    const struct driver_options *options;
    struct shrink_result *result;
    time_t deadline;
};

static bool is_late(const struct shrinking *shrinking)
{
    return time(NULL) >= shrinking->deadline;
}

/* Takes candidate over if it fails; frees it otherwise. */
static bool try_candidate(struct shrinking *shrinking, struct history *candidate)
{
    char text[DRIVER_TEXT_BYTES];
    shrinking->result->attempts++;
    if (!shrink_fails(candidate, shrinking->options, 30, text)) {
        history_deinit(candidate);
        return false;
    }
    memcpy(shrinking->result->text, text, sizeof text);
    history_deinit(shrinking->best);
    *shrinking->best = *candidate;
    return true;
}

static bool try_without(struct shrinking *shrinking, size_t begin, size_t count)
{
    struct history candidate;
    history_init(&candidate);
    candidate.config = shrinking->best->config;
    for (size_t i = 0; i < shrinking->best->count; i++) {
        if (i < begin || i >= begin + count) history_append(&candidate, &shrinking->best->steps[i]);
    }
    return try_candidate(shrinking, &candidate);
}

static void remove_steps(struct shrinking *shrinking)
{
    size_t chunk = (shrinking->best->count + 1) / 2;
    while (chunk > 0 && !is_late(shrinking)) {
        bool removed = false;
        /* From the end: what follows the failure goes first. */
        size_t end = shrinking->best->count;
        while (end > 0 && !is_late(shrinking)) {
            size_t begin = end > chunk ? end - chunk : 0;
            if (try_without(shrinking, begin, end - begin)) removed = true;
            end = begin;
        }
        if (!removed || chunk > 1) chunk = chunk == 1 ? 0 : (chunk + 1) / 2;
    }
}

static bool try_number(struct shrinking *shrinking, size_t step, size_t param, uint64_t number)
{
    struct history candidate;
    history_copy(&candidate, shrinking->best);
    candidate.steps[step].p[param] = number;
    return try_candidate(shrinking, &candidate);
}

static void lower_numbers(struct shrinking *shrinking)
{
    for (size_t step = 0; step < shrinking->best->count; step++) {
        for (size_t param = 0; param < HISTORY_PARAMS; param++) {
            uint64_t number = shrinking->best->steps[step].p[param];
            if (number == 0 || is_late(shrinking)) continue;
            if (try_number(shrinking, step, param, 0)) continue;
            while (number > 1 && !is_late(shrinking) &&
                   try_number(shrinking, step, param, number / 2)) {
                number /= 2;
            }
        }
    }
}

static void calm_config(struct shrinking *shrinking)
{
    struct history candidate;
    history_copy(&candidate, shrinking->best);
    candidate.config.threads = 0;
    candidate.config.padded = 0;
    if (try_candidate(shrinking, &candidate)) return;
    history_copy(&candidate, shrinking->best);
    candidate.config.threads = 0;
    (void)try_candidate(shrinking, &candidate);
}

void shrink_history(struct history *history, const struct driver_options *options, unsigned seconds,
                    struct shrink_result *result_out)
{
    struct shrinking shrinking = {history, options, result_out, time(NULL) + (time_t)seconds};
    result_out->attempts = 0;
    remove_steps(&shrinking);
    calm_config(&shrinking);
    lower_numbers(&shrinking);
    remove_steps(&shrinking);
}
