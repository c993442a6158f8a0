/* synth.c: repositories that nobody wrote. See repo.h.
 *
 * What is imitated: names share long prefixes (module, verb, object); most calls stay near (60% in
 * the file, 25% in a file nearby), the rest go to popular functions (a Zipf-like draw over all);
 * edits hit few files often. Everything is drawn from one seeded generator in one fixed order. */
#include "gen_synth_repo/repo.h"

#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 96u
#define PATH_BYTES 128u
#define FILES_A_DIRECTORY 12u

static const char *const modules[] = {"agent", "cache", "codec", "graph", "index", "lease",
                                      "parse", "plan",  "queue", "route", "store", "trace"};
static const char *const verbs[] = {"add",  "begin", "check", "close", "decode", "encode",
                                    "find", "flush", "merge", "next",  "open",   "split"};
static const char *const objects[] = {"batch", "block", "entry",  "frame", "header", "item",
                                      "node",  "page",  "record", "slot",  "state",  "view"};

#define PICK(table, prng) (table)[ns__prng_below((prng), sizeof(table) / sizeof((table)[0]))]

static uint64_t below(struct repo *repo, uint64_t bound)
{
    return ns__prng_below(&repo->prng, bound);
}

/* Small numbers are likely: index i with a weight of about 1 / (i + 1). */
static uint64_t popular(struct repo *repo, uint64_t bound)
{
    uint64_t limit = 1 + below(repo, bound);
    return below(repo, limit);
}

static struct repo_function *random_function_of(struct repo *repo, struct repo_file *file)
{
    return &file->functions[below(repo, file->function_count)];
}

static const char *callee_near(struct repo *repo, size_t file_index)
{
    uint64_t draw = below(repo, 100);
    size_t chosen = file_index;
    if (draw >= 60 && draw < 85) {
        size_t base = file_index - file_index % FILES_A_DIRECTORY;
        size_t width = repo->file_count - base;
        if (width > FILES_A_DIRECTORY) width = FILES_A_DIRECTORY;
        chosen = base + below(repo, width);
    } else if (draw >= 85) {
        chosen = popular(repo, repo->file_count);
    }
    struct repo_file *file = &repo->files[chosen];
    return file->function_count == 0 ? NULL : random_function_of(repo, file)->name;
}

static void draw_calls(struct repo *repo, size_t file_index, struct repo_function *function)
{
    repo_clear_calls(function);
    uint64_t wanted = below(repo, 9);
    if (below(repo, 20) == 0) wanted += below(repo, 17);
    for (uint64_t i = 0; i < wanted; i++) {
        const char *name = callee_near(repo, file_index);
        if (name != NULL && strcmp(name, function->name) != 0) {
            repo_add_call(function, name, strlen(name));
        }
    }
}

static struct repo_function *draw_function(struct repo *repo, struct repo_file *file)
{
    char name[NAME_BYTES];
    int size = snprintf(name, sizeof name, "%s_%s_%s_%llu", PICK(modules, &repo->prng),
                        PICK(verbs, &repo->prng), PICK(objects, &repo->prng),
                        (unsigned long long)repo->function_next++);
    struct repo_function *function = repo_add_function(file, name, (size_t)size);
    function->lines = 3 + (uint32_t)below(repo, 40);
    return function;
}

/* Functions stand one behind another with a blank line between, below two lines of heading. A body
 * needs a line for each call. */
static void lay_out(struct repo_file *file)
{
    uint32_t line = 3;
    for (uint32_t i = 0; i < file->function_count; i++) {
        struct repo_function *function = &file->functions[i];
        if (function->lines < function->call_count + 3) function->lines = function->call_count + 3;
        function->line = line;
        line += function->lines + 1;
    }
    file->line_count = line - 1;
}

static void draw_file(struct repo *repo)
{
    char path[PATH_BYTES];
    size_t index = repo->file_count;
    size_t directory = index / FILES_A_DIRECTORY;
    const char *module = modules[directory % (sizeof modules / sizeof modules[0])];
    const char *object = PICK(objects, &repo->prng);
    (void)snprintf(path, sizeof path, "src/%s_%zu/%s_%zu.c", module, directory, object, index);
    struct repo_file *file = repo_add_file(repo, path);
    for (uint64_t left = 4 + popular(repo, 37); left > 0; left--)
        (void)draw_function(repo, file);
}

static void draw_calls_of_file(struct repo *repo, size_t index)
{
    struct repo_file *file = &repo->files[index];
    for (uint32_t i = 0; i < file->function_count; i++)
        draw_calls(repo, index, &file->functions[i]);
    lay_out(file);
}

void repo_synthesise(struct repo *repo, size_t file_count, uint64_t seed)
{
    *repo = (struct repo){.prng = {seed}};
    while (repo->file_count < file_count)
        draw_file(repo);
    for (size_t i = 0; i < file_count; i++)
        draw_calls_of_file(repo, i);
}

size_t repo_edit(struct repo *repo)
{
    if (repo->file_count == 0 || below(repo, 50) == 0) {
        draw_file(repo);
        draw_calls_of_file(repo, repo->file_count - 1);
        return repo->file_count - 1;
    }
    size_t index = popular(repo, repo->file_count);
    struct repo_file *file = &repo->files[index];
    for (uint64_t left = 1 + below(repo, 3); left > 0; left--) {
        uint64_t draw = below(repo, 10);
        if (draw == 0 && file->function_count > 1) {
            repo_drop_function(file, (uint32_t)below(repo, file->function_count));
        } else if (draw <= 2) {
            draw_calls(repo, index, draw_function(repo, file));
        } else {
            struct repo_function *function = random_function_of(repo, file);
            function->lines = 3 + (uint32_t)below(repo, 40);
            draw_calls(repo, index, function);
        }
    }
    lay_out(file);
    return index;
}

void repo_print_file(const struct repo_file *file, FILE *out)
{
    fprintf(out, "/* %s: made up */\n\n", file->path);
    for (uint32_t i = 0; i < file->function_count; i++) {
        const struct repo_function *function = &file->functions[i];
        fprintf(out, "int %s(int value)\n{\n", function->name);
        for (uint32_t j = 0; j < function->call_count; j++)
            fprintf(out, "    value += %s(value);\n", function->calls[j]);
        for (uint32_t line = function->call_count + 3; line < function->lines; line++)
            fprintf(out, "    value ^= %u;\n", line);
        fprintf(out, "}\n\n");
    }
}
