/* quickstart.c: shows on real files that acknowledged transactions survive a killed process.
 *
 *     ns_quickstart [--quick] [--seed N] [--limit N] WORK-DIRECTORY [TREE]
 *
 * A child process imports the files of TREE (default /usr/include), one durable transaction each.
 * Before each commit it tells its parent over a pipe what it is about to do, and after the commit
 * returned, that it was acknowledged. So the parent keeps a ledger that no crash of the child can
 * touch. At a random moment it kills the child with SIGKILL. Then, in the parent:
 *
 *   1 open the file again, and time it
 *   2 every acknowledged transaction is there, by id, with the bytes of the source file; at most
 *     one more is, the one whose acknowledgement had no time to arrive
 *   3 import the rest, and ask questions
 *   4 verify every law of the file
 *   5 replay its log into a second file; both state hashes are equal
 *
 * Exits with 1 if any of this fails. The seed is printed; with the same seed and files the kill
 * comes after the same number of acknowledgements. (SIGKILL shows what a crash of the process does.
 * Power loss is another matter, and is tested under hard/.) */
#include "quickstart.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define COMMIT_BUDGET_NS 12000000000u /* importing may take so long */

bool qs_fail(ns_status status, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("quickstart: ", stderr);
    vfprintf(stderr, format, list);
    va_end(list);
    if (status != NS_OK) {
        fprintf(stderr, ": %s: %s", ns_status_name(status),
                status == NS_NOTFOUND ? ns_status_text(status) : ns_error_detail());
    }
    fputc('\n', stderr);
    return false;
}

void *qs_grow(void *old, size_t size)
{
    void *memory = realloc(old, size > 0 ? size : 1);
    if (memory == NULL) {
        qs_fail(NS_OK, "out of memory");
        exit(1);
    }
    return memory;
}

uint64_t qs_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* splitmix64 */
uint64_t qs_random(struct qs *qs, uint64_t below)
{
    uint64_t z = (qs->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return below > 0 ? (z ^ (z >> 31)) % below : 0;
}

static bool parse_number(const char *text, uint64_t *number_out)
{
    char *end = NULL;
    *number_out = strtoull(text, &end, 0);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

static int usage(void)
{
    fputs("usage: ns_quickstart [--quick] [--seed N] [--limit FILES] WORK-DIRECTORY [TREE]\n",
          stderr);
    return 2;
}

static bool parse(struct qs *qs, int argc, char **argv)
{
    qs->tree = "/usr/include";
    qs->file_limit = 20000;
    qs->byte_limit = 200000000;
    qs->seed = (uint64_t)time(NULL) % 1000000u;
    int word_count = 0;
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--quick") == 0) {
            qs->is_quick = true;
            qs->file_limit = 2000;
            qs->byte_limit = 20000000;
        } else if (strcmp(argv[i], "--seed") == 0 && has_value) {
            if (!parse_number(argv[++i], &qs->seed)) return false;
        } else if (strcmp(argv[i], "--limit") == 0 && has_value) {
            if (!parse_number(argv[++i], &qs->file_limit)) return false;
        } else if (argv[i][0] == '-' || word_count == 2) {
            return false;
        } else if (word_count++ == 0) {
            qs->work = argv[i];
        } else {
            qs->tree = argv[i];
        }
    }
    return word_count > 0;
}

/* A slow disk gets fewer files, and the report says so. */
static bool limit_by_time(struct qs *qs)
{
    uint64_t commit_ns = 0;
    if (!qs_probe(qs, &commit_ns)) return false;
    uint64_t affordable = COMMIT_BUDGET_NS / (commit_ns + 1);
    if (affordable < qs->file_limit) {
        qs->file_limit = affordable;
        qs->limited_by = "the time that durable commits take on this disk";
    }
    return true;
}

static bool run(struct qs *qs)
{
    if (!limit_by_time(qs) || !qs_list(qs)) return false;
    qs_report_begin(qs);
    return qs_crash(qs) && qs_recover(qs) && qs_query(qs) && qs_verify(qs) && qs_replay(qs);
}

int main(int argc, char **argv)
{
    struct qs *qs = qs_grow(NULL, sizeof *qs);
    *qs = (struct qs){0};
    if (!parse(qs, argc, argv)) return usage();
    qs->begin_ns = qs_now_ns();
    qs->random = qs->seed;
    snprintf(qs->db_path, sizeof qs->db_path, "%s/quickstart.ns", qs->work);
    snprintf(qs->copy_path, sizeof qs->copy_path, "%s/replayed.ns", qs->work);

    bool is_proved = run(qs);
    if (is_proved) {
        qs_report(qs);
    } else {
        fprintf(stderr, "quickstart: FAILED with seed %llu; --keep keeps the files\n",
                (unsigned long long)qs->seed);
    }
    for (size_t i = 0; i < qs->file_count; i++)
        free(qs->files[i].path);
    free(qs->files);
    free(qs->bare_writes.ns);
    free(qs->commits.ns);
    free(qs->gets.ns);
    free(qs->snapshots.ns);
    free(qs);
    return is_proved ? 0 : 1;
}
