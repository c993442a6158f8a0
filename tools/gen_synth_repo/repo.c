/* repo.c: the structure itself. See repo.h. */
#include "gen_synth_repo/repo.h"

#include <stdlib.h>
#include <string.h>

static void *grown(void *old, size_t count, size_t size)
{
    void *memory = realloc(old, count * size);
    if (memory == NULL) {
        fprintf(stderr, "gen_synth_repo: out of memory\n");
        exit(1);
    }
    return memory;
}

static char *copied(const char *text, size_t size)
{
    char *copy = grown(NULL, size + 1, 1);
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

struct repo_file *repo_add_file(struct repo *repo, const char *path)
{
    if (repo->file_count == repo->file_capacity) {
        repo->file_capacity = repo->file_capacity == 0 ? 64 : 2 * repo->file_capacity;
        repo->files = grown(repo->files, repo->file_capacity, sizeof *repo->files);
    }
    struct repo_file *file = &repo->files[repo->file_count++];
    *file = (struct repo_file){.path = copied(path, strlen(path))};
    return file;
}

struct repo_function *repo_add_function(struct repo_file *file, const char *name, size_t size)
{
    if (file->function_count == file->function_capacity) {
        file->function_capacity = file->function_capacity == 0 ? 8 : 2 * file->function_capacity;
        file->functions = grown(file->functions, file->function_capacity, sizeof *file->functions);
    }
    struct repo_function *function = &file->functions[file->function_count++];
    *function = (struct repo_function){.name = copied(name, size)};
    return function;
}

void repo_clear_calls(struct repo_function *function)
{
    for (uint32_t i = 0; i < function->call_count; i++)
        free(function->calls[i]);
    free(function->calls);
    function->calls = NULL;
    function->call_count = 0;
}

void repo_drop_function(struct repo_file *file, uint32_t index)
{
    repo_clear_calls(&file->functions[index]);
    free(file->functions[index].name);
    file->function_count--;
    memmove(&file->functions[index], &file->functions[index + 1],
            (file->function_count - index) * sizeof *file->functions);
}

void repo_add_call(struct repo_function *function, const char *name, size_t size)
{
    for (uint32_t i = 0; i < function->call_count; i++) {
        if (strncmp(function->calls[i], name, size) == 0 && function->calls[i][size] == '\0')
            return;
    }
    function->calls = grown(function->calls, function->call_count + 1, sizeof *function->calls);
    function->calls[function->call_count++] = copied(name, size);
}

uint64_t repo_function_count(const struct repo *repo)
{
    uint64_t count = 0;
    for (size_t i = 0; i < repo->file_count; i++)
        count += repo->files[i].function_count;
    return count;
}

uint64_t repo_call_count(const struct repo *repo)
{
    uint64_t count = 0;
    for (size_t i = 0; i < repo->file_count; i++) {
        for (uint32_t j = 0; j < repo->files[i].function_count; j++)
            count += repo->files[i].functions[j].call_count;
    }
    return count;
}

void repo_deinit(struct repo *repo)
{
    for (size_t i = 0; i < repo->file_count; i++) {
        struct repo_file *file = &repo->files[i];
        while (file->function_count > 0)
            repo_drop_function(file, file->function_count - 1);
        free(file->functions);
        free(file->path);
    }
    free(repo->files);
    *repo = (struct repo){0};
}
