/* bench.c: the registry, and what both drivers do alike (driver.h). */
#include "common/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/driver.h"
#include "common/watch.h"

#define ENTRIES_MAX 512u
#define PATHS_MAX 4096u

static struct bench_entry entries[ENTRIES_MAX];
static size_t entry_count;
static char *paths[PATHS_MAX]; /* of files that were made */
static size_t path_count;
static char directory[256];

/* ---- the registry ---- */

void bench_add(const char *name, bench_function run, const struct bench_plan *plan)
{
    if (entry_count == ENTRIES_MAX) bench_die("too many benchmarks", NS_TOOBIG);
    entries[entry_count++] = (struct bench_entry){name, run, *plan};
}

void bench_add_rows(const struct bench_entry *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bench_add(rows[i].name, rows[i].run, &rows[i].plan);
}

size_t bench_count(void)
{
    return entry_count;
}

const struct bench_entry *bench_at(size_t index)
{
    return &entries[index];
}

/* ---- inside a benchmark ---- */

int64_t bench_arg(const struct bench *b, size_t index)
{
    return b->entry->plan.args[index];
}

uint64_t bench_iterations(const struct bench *b)
{
    return b->done;
}

void bench_items(struct bench *b, uint64_t items)
{
    b->items = items;
}

void bench_figure(struct bench *b, const char *name, double value)
{
    if (b->figure_count == BENCH_FIGURES) bench_die("too many figures", NS_TOOBIG);
    b->figures[b->figure_count++] = (struct bench_figure_value){name, value};
}

void bench_sample(struct bench *b, uint64_t ns)
{
    histogram_add(&b->samples, ns);
}

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bench_die(const char *what, ns_status status)
{
    fprintf(stderr, "bench: %s: %s: %s\n", what, ns_status_name(status), ns_error_detail());
    bench_remove_files();
    exit(1);
}

/* ---- the watched world ---- */

void bench_options(struct bench *b, enum bench_disk disk, ns_options *options_out)
{
    (void)b;
    *options_out = (ns_options){.allocator = watch_allocator()};
    options_out->vfs = disk == BENCH_FILES ? watch_files() : watch_memory();
}

static void make_directory(void)
{
    const char *base = getenv("NS_BENCH_DIR");
    if (base == NULL) base = getenv("TMPDIR");
    if (base == NULL) base = "/var/tmp";
    int size = snprintf(directory, sizeof directory, "%s/nsbench.XXXXXX", base);
    if (size < 0 || (size_t)size >= sizeof directory || mkdtemp(directory) == NULL) {
        fprintf(stderr, "bench: no scratch directory in %s; set NS_BENCH_DIR\n", base);
        exit(1);
    }
    (void)atexit(bench_remove_files);
}

const char *bench_path(struct bench *b)
{
    (void)b;
    if (directory[0] == '\0') make_directory();
    if (path_count == PATHS_MAX) bench_die("too many files", NS_TOOBIG);
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%zu.ns", directory, path_count);
    paths[path_count] = strdup(path);
    if (paths[path_count] == NULL) abort();
    return paths[path_count++];
}

void bench_remove_files(void)
{
    for (size_t i = 0; i < path_count; i++) {
        (void)unlink(paths[i]);
        free(paths[i]);
    }
    path_count = 0;
    if (directory[0] != '\0') (void)rmdir(directory);
    directory[0] = '\0';
}

void bench_watch(struct bench *b, ns_db *db)
{
    b->db = db;
}

static void add_stats(const struct bench *b, struct bench_counters *out)
{
    ns_db_stats_t stats = {0};
    if (b->db != NULL) BENCH_CHECK(ns_db_stats(b->db, &stats, sizeof stats));
    out->pages_copied = stats.pages_copied;
    out->pages_copied_bytes = stats.pages_copied * stats.page_size;
}

static void add_watched(struct bench_counters *out)
{
    struct watch_counters seen;
    watch_counters(&seen);
    out->allocs = seen.allocs;
    out->alloc_bytes = seen.alloc_bytes;
    out->writes = seen.writes;
    out->written_bytes = seen.written_bytes;
    out->read_bytes = seen.read_bytes;
    out->syncs = seen.syncs;
}

void bench_counters(const struct bench *b, struct bench_counters *out)
{
    add_stats(b, out);
    add_watched(out);
}

/* ---- counting ---- */

void bench_begin(struct bench *b, const struct bench_entry *entry, void *driver)
{
    *b = (struct bench){.entry = entry, .driver = driver};
}

void bench_count_on(struct bench *b)
{
    if (b->is_counting) return;
    b->is_counting = true;
    bench_counters(b, &b->before);
}

void bench_count_off(struct bench *b)
{
    if (!b->is_counting) return;
    struct bench_counters now; /* asking for the statistics allocates: not what is measured */
    add_watched(&now);
    add_stats(b, &now);
    const struct bench_counters *before = &b->before;
    b->total.allocs += now.allocs - before->allocs;
    b->total.alloc_bytes += now.alloc_bytes - before->alloc_bytes;
    b->total.writes += now.writes - before->writes;
    b->total.written_bytes += now.written_bytes - before->written_bytes;
    b->total.read_bytes += now.read_bytes - before->read_bytes;
    b->total.syncs += now.syncs - before->syncs;
    b->total.pages_copied += now.pages_copied - before->pages_copied;
    b->total.pages_copied_bytes += now.pages_copied_bytes - before->pages_copied_bytes;
    b->is_counting = false;
}

void bench_end(struct bench *b)
{
    const struct bench_counters *total = &b->total;
    double items = (double)(b->items != 0 ? b->items : b->done);
    if (items < 1) items = 1;
    bench_figure(b, "allocs", (double)total->allocs / items);
    bench_figure(b, "moved_B",
                 (double)(total->written_bytes + total->read_bytes + total->pages_copied_bytes) /
                     items);
    bench_figure(b, "written_B", (double)total->written_bytes / items);
    bench_figure(b, "pages_copied", (double)total->pages_copied / items);
    bench_figure(b, "syncs", (double)total->syncs / items);
    if (b->samples.count > 0) {
        bench_figure(b, "p50_ns", (double)histogram_at(&b->samples, 0.5));
        bench_figure(b, "p99_ns", (double)histogram_at(&b->samples, 0.99));
        bench_figure(b, "p999_ns", (double)histogram_at(&b->samples, 0.999));
    }
}

void bench_deinit(struct bench *b)
{
    histogram_deinit(&b->samples);
}
