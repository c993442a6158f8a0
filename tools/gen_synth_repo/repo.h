/* repo.h: a repository of source code as a code graph sees it: files, the functions that they
 * define, and the names that each function calls.
 *
 * Two sources give the same structure: repo_synthesise makes one up, of any size and always the
 * same for a seed (synth.c), and repo_scan reads a real tree (scan.c). repo_edit changes a made-up
 * one as programmers do. One thread; out of memory ends the program. */
#ifndef NS_TOOLS_GEN_SYNTH_REPO_REPO_H
#define NS_TOOLS_GEN_SYNTH_REPO_REPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/prng.h"

struct repo_function {
    char *name;
    uint32_t line;       /* where it begins, from 1 */
    uint32_t lines;      /* how long it is */
    uint32_t call_count; /* each callee once */
    char **calls;
};

struct repo_file {
    char *path; /* from the top of the tree, '/' between parts */
    uint32_t line_count;
    uint32_t function_count, function_capacity;
    struct repo_function *functions;
};

struct repo {
    size_t file_count, file_capacity;
    struct repo_file *files;
    struct ns__prng prng;   /* the state of the made-up world */
    uint64_t function_next; /* numbers the made-up names */
};

/* file_count files with 4 to 40 functions each in a tree of directories; a function calls 0 to 24
 * others: mostly of its own file and directory, sometimes popular ones anywhere. */
void repo_synthesise(struct repo *repo, size_t file_count, uint64_t seed);

/* The next edit of a made-up repository: one file changes (functions grow, come, go, call others);
 * now and then a file is added. Files are picked as commits pick them: a few are changed often.
 * Returns the index of the file. */
size_t repo_edit(struct repo *repo);

/* Reads the C sources (.c, .h) below directory, in the order of their paths, skipping names that
 * begin with a dot and directories named build. A scanner, not a compiler: a definition is a name
 * at the start of a statement at the outermost level, with an argument list and a body; a call is
 * a name before a parenthesis inside one. False when the directory cannot be read. */
bool repo_scan(struct repo *repo, const char *directory);

/* Scans one file's text into file, whose path is set. */
void repo_scan_text(struct repo_file *file, const char *text, size_t size);

/* Writes a made-up file as C source, which repo_scan_text reads back as it is. */
void repo_print_file(const struct repo_file *file, FILE *out);

uint64_t repo_function_count(const struct repo *repo);
uint64_t repo_call_count(const struct repo *repo);
void repo_deinit(struct repo *repo);

/* ---- for the two sources ---- */
struct repo_file *repo_add_file(struct repo *repo, const char *path);
struct repo_function *repo_add_function(struct repo_file *file, const char *name, size_t size);
void repo_drop_function(struct repo_file *file, uint32_t index);
/* Once for each name. */
void repo_add_call(struct repo_function *function, const char *name, size_t size);
void repo_clear_calls(struct repo_function *function);

#endif /* NS_TOOLS_GEN_SYNTH_REPO_REPO_H */
