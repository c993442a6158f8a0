/* main.c: gen_synth_repo writes repositories that nobody wrote, and tells what is in one.
 *
 *     gen_synth_repo --out DIR [--files N] [--seed N] [--edits N]
 *         writes N files of C source below DIR, then makes the edits (each rewrites one file)
 *     gen_synth_repo --scan DIR
 *         reads a tree of C sources and prints what a code graph of it holds
 *
 * The same options give the same bytes on every machine. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gen_synth_repo/repo.h"

struct settings {
    const char *out, *scan;
    uint64_t files, seed, edits;
};

_Noreturn static void usage(const char *problem)
{
    fprintf(stderr,
            "gen_synth_repo: %s\n"
            "usage: gen_synth_repo --out DIR [--files N] [--seed N] [--edits N] | --scan DIR\n",
            problem);
    exit(2);
}

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-') usage("not a number");
    return value;
}

static void read_arguments(struct settings *settings, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) usage("an option wants a value");
        if (strcmp(argv[i], "--out") == 0) {
            settings->out = argv[i + 1];
        } else if (strcmp(argv[i], "--scan") == 0) {
            settings->scan = argv[i + 1];
        } else if (strcmp(argv[i], "--files") == 0) {
            settings->files = number(argv[i + 1]);
        } else if (strcmp(argv[i], "--seed") == 0) {
            settings->seed = number(argv[i + 1]);
        } else if (strcmp(argv[i], "--edits") == 0) {
            settings->edits = number(argv[i + 1]);
        } else {
            usage(argv[i]);
        }
    }
    if ((settings->out == NULL) == (settings->scan == NULL)) usage("give --out or --scan");
}

static void make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST) {
            fprintf(stderr, "gen_synth_repo: %s: %s\n", path, strerror(errno));
            exit(1);
        }
        *slash = '/';
    }
}

static void write_file(const struct repo_file *file, const char *directory)
{
    char path[4096];
    int size = snprintf(path, sizeof path, "%s/%s", directory, file->path);
    if (size < 0 || (size_t)size >= sizeof path) usage("the path is too long");
    make_directories(path);
    FILE *out = fopen(path, "wb");
    if (out != NULL) repo_print_file(file, out);
    if (out == NULL || fclose(out) != 0) {
        fprintf(stderr, "gen_synth_repo: %s: %s\n", path, strerror(errno));
        exit(1);
    }
}

static void print_summary(const struct repo *repo)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < repo->file_count; i++)
        lines += repo->files[i].line_count;
    printf("%zu files, %llu lines, %llu functions, %llu calls\n", repo->file_count,
           (unsigned long long)lines, (unsigned long long)repo_function_count(repo),
           (unsigned long long)repo_call_count(repo));
}

int main(int argc, char **argv)
{
    struct settings settings = {.files = 1000, .seed = 1};
    struct repo repo;
    read_arguments(&settings, argc, argv);
    if (settings.scan != NULL) {
        if (!repo_scan(&repo, settings.scan)) {
            fprintf(stderr, "gen_synth_repo: %s: %s\n", settings.scan, strerror(errno));
            return 1;
        }
    } else {
        repo_synthesise(&repo, settings.files, settings.seed);
        for (size_t i = 0; i < repo.file_count; i++)
            write_file(&repo.files[i], settings.out);
        for (uint64_t i = 0; i < settings.edits; i++)
            write_file(&repo.files[repo_edit(&repo)], settings.out);
    }
    print_summary(&repo);
    repo_deinit(&repo);
    return 0;
}
