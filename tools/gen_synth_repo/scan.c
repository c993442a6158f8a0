/* scan.c: a real tree of C sources as a code graph. See repo.h.
 *
 * The scanner knows comments, strings, character constants, preprocessor lines and brackets, and
 * nothing else. At the outermost level it remembers the last name before a closed argument list;
 * if a brace opens next, that name is defined there. Inside a body, a name before an opening
 * parenthesis is a call, unless it is a keyword. Macros that look like calls count as calls, which
 * is what a reader of the code sees too. */
#include "gen_synth_repo/repo.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct scan {
    const char *text;
    size_t size, at;
    uint32_t line;
    unsigned braces, parentheses;
    size_t name_at, name_size; /* the last name, 0 if something else came since */
    size_t defined_at, defined_size;
    uint32_t defined_line;
    struct repo_function *function; /* whose body this is */
};

static char at(const struct scan *scan, size_t ahead)
{
    return scan->at + ahead < scan->size ? scan->text[scan->at + ahead] : '\0';
}

static void step(struct scan *scan)
{
    if (scan->text[scan->at] == '\n') scan->line++;
    scan->at++;
}

static void skip_to(struct scan *scan, const char *end, bool has_escapes)
{
    size_t length = strlen(end);
    while (scan->at < scan->size && strncmp(scan->text + scan->at, end, length) != 0) {
        if (has_escapes && at(scan, 0) == '\\' && scan->at + 1 < scan->size) step(scan);
        step(scan);
    }
    for (; length > 0 && scan->at < scan->size; length--)
        step(scan);
}

static bool skip_what_is_no_code(struct scan *scan, bool is_line_start)
{
    char c = at(scan, 0);
    if (c == '/' && at(scan, 1) == '*') {
        scan->at += 2;
        skip_to(scan, "*/", false);
    } else if (c == '/' && at(scan, 1) == '/') {
        skip_to(scan, "\n", true);
    } else if (c == '#' && is_line_start) {
        skip_to(scan, "\n", true);
    } else if (c == '"' || c == '\'') {
        const char end[2] = {c, '\0'};
        step(scan);
        skip_to(scan, end, true);
    } else {
        return false;
    }
    return true;
}

static bool is_keyword(const char *name, size_t size)
{
    static const char *const words[] = {"if",     "for",     "while",  "switch",        "return",
                                        "sizeof", "defined", "assert", "_Alignof",      "else",
                                        "do",     "case",    "typeof", "_Static_assert"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i]) == size && memcmp(words[i], name, size) == 0) return true;
    }
    return false;
}

static void on_open_parenthesis(struct scan *scan)
{
    const char *name = scan->text + scan->name_at;
    bool is_name = scan->name_size > 0 && !is_keyword(name, scan->name_size);
    if (is_name && scan->function != NULL) {
        repo_add_call(scan->function, name, scan->name_size);
    } else if (is_name && scan->braces == 0 && scan->parentheses == 0) {
        scan->defined_at = scan->name_at;
        scan->defined_size = scan->name_size;
        scan->defined_line = scan->line;
    }
    scan->parentheses++;
}

static void on_open_brace(struct scan *scan, struct repo_file *file)
{
    if (scan->braces == 0 && scan->parentheses == 0 && scan->defined_size > 0) {
        scan->function = repo_add_function(file, scan->text + scan->defined_at, scan->defined_size);
        scan->function->line = scan->defined_line;
    }
    scan->braces++;
}

static void on_close_brace(struct scan *scan)
{
    if (scan->braces > 0) scan->braces--;
    if (scan->braces > 0 || scan->function == NULL) return;
    scan->function->lines = scan->line - scan->function->line + 1;
    scan->function = NULL;
    scan->defined_size = 0;
}

static void take_name(struct scan *scan)
{
    scan->name_at = scan->at;
    while (isalnum((unsigned char)at(scan, 0)) || at(scan, 0) == '_')
        scan->at++;
    scan->name_size = scan->at - scan->name_at;
}

static void take_mark(struct scan *scan, struct repo_file *file)
{
    char c = at(scan, 0);
    if (c == '(') on_open_parenthesis(scan);
    if (c == ')' && scan->parentheses > 0) scan->parentheses--;
    if (c == '{') on_open_brace(scan, file);
    if (c == '}') on_close_brace(scan);
    if ((c == ';' || c == '=') && scan->braces == 0 && scan->parentheses == 0) {
        scan->defined_size = 0;
    }
    scan->name_size = 0;
    step(scan);
}

void repo_scan_text(struct repo_file *file, const char *text, size_t size)
{
    struct scan scan = {.text = text, .size = size, .line = 1};
    bool is_line_start = true;
    while (scan.at < size) {
        char c = text[scan.at];
        if (isspace((unsigned char)c)) {
            is_line_start = is_line_start || c == '\n';
            step(&scan);
            continue;
        }
        if (!skip_what_is_no_code(&scan, is_line_start)) {
            if (isalpha((unsigned char)c) || c == '_') {
                take_name(&scan);
            } else {
                take_mark(&scan, file);
            }
            is_line_start = false;
        } else {
            is_line_start = scan.at > 0 && text[scan.at - 1] == '\n';
        }
    }
    file->line_count = scan.line - 1;
}

/* ---- walking the tree ---- */

static bool is_source(const char *name)
{
    size_t size = strlen(name);
    return size > 2 && name[size - 2] == '.' && (name[size - 1] == 'c' || name[size - 1] == 'h');
}

static void scan_file(struct repo *repo, const char *path, const char *shown)
{
    FILE *in = fopen(path, "rb");
    if (in == NULL) return;
    struct repo_file *file = repo_add_file(repo, shown);
    struct stat status;
    char *text = NULL;
    if (fstat(fileno(in), &status) == 0 && status.st_size > 0) {
        text = malloc((size_t)status.st_size);
    }
    if (text != NULL) {
        size_t size = fread(text, 1, (size_t)status.st_size, in);
        repo_scan_text(file, text, size);
    }
    free(text);
    (void)fclose(in);
}

static int wanted_entry(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && strcmp(entry->d_name, "build") != 0;
}

/* top: how many bytes of path belong to the directory that was asked for. */
static bool scan_directory(struct repo *repo, const char *path, size_t top)
{
    struct dirent **entries;
    int count = scandir(path, &entries, wanted_entry, alphasort);
    if (count < 0) return false;
    for (int i = 0; i < count; i++) {
        char below[4096];
        struct stat status;
        int size = snprintf(below, sizeof below, "%s/%s", path, entries[i]->d_name);
        bool fits = size > 0 && (size_t)size < sizeof below;
        if (fits && lstat(below, &status) == 0) {
            if (S_ISDIR(status.st_mode)) (void)scan_directory(repo, below, top);
            if (S_ISREG(status.st_mode) && is_source(below)) {
                scan_file(repo, below, below + top + 1);
            }
        }
        free(entries[i]);
    }
    free(entries);
    return true;
}

bool repo_scan(struct repo *repo, const char *directory)
{
    *repo = (struct repo){0};
    return scan_directory(repo, directory, strlen(directory));
}
