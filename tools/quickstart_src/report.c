/* report.c: what was measured and proved, in aligned lines. */
#include "quickstart.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/vfs.h>

void qs_times_add(struct qs_times *times, uint64_t ns)
{
    if (times->count == times->capacity) {
        times->capacity = times->capacity * 2 + 4096;
        times->ns = qs_grow(times->ns, times->capacity * sizeof *times->ns);
    }
    times->ns[times->count++] = ns;
}

static int compare(const void *left, const void *right)
{
    uint64_t a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return a < b ? -1 : a > b;
}

/* Of sorted times: the value that `share` percent do not exceed. */
static uint64_t percentile(const struct qs_times *times, uint64_t percent)
{
    if (times->count == 0) return 0;
    size_t rank = (times->count * percent + 99) / 100;
    return times->ns[rank > 0 ? rank - 1 : 0];
}

static char *count_text(uint64_t count, char out[QS_TEXT_BYTES])
{
    char digits[QS_TEXT_BYTES];
    int size = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    char *to = out;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

static char *time_text(uint64_t ns, char out[QS_TEXT_BYTES])
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    double value = (double)ns;
    size_t unit = 0;
    while (value >= 1000.0 && unit < 3) {
        value /= 1000.0;
        unit++;
    }
    snprintf(out, QS_TEXT_BYTES, "%.*f %s", unit == 0 || value >= 100.0 ? 0 : 1, value,
             units[unit]);
    return out;
}

static uint64_t per_second(uint64_t count, uint64_t ns)
{
    return (uint64_t)((double)count * 1e9 / (double)(ns + 1));
}

static double megabytes(uint64_t bytes)
{
    return (double)bytes / 1e6;
}

static double megabytes_per_second(uint64_t bytes, uint64_t ns)
{
    return (double)bytes * 1e3 / (double)(ns + 1);
}

static void row(const char *name, const char *value, const char *rest)
{
    printf("  %-22s %14s  %s\n", name, value, rest);
}

static void row_count(const char *name, uint64_t count, const char *rest)
{
    char value[QS_TEXT_BYTES];
    row(name, count_text(count, value), rest);
}

/* p50 as the value, p99 in the rest. */
static void row_times(const char *name, struct qs_times *times, const char *rest)
{
    char p50[QS_TEXT_BYTES], p99[QS_TEXT_BYTES], text[3 * QS_TEXT_BYTES];
    qsort(times->ns, times->count, sizeof *times->ns, compare);
    snprintf(text, sizeof text, "p50, %s p99%s%s", time_text(percentile(times, 99), p99),
             rest[0] != '\0' ? "; " : "", rest);
    row(name, time_text(percentile(times, 50), p50), text);
}

/* What the work directory is on; on a file system in memory "durable" means little. */
static const char *file_system(const char *path)
{
    struct statfs about;
    if (statfs(path, &about) != 0) return "?";
    switch ((uint64_t)about.f_type) {
    case 0xef53: return "ext2/3/4";
    case 0x58465342: return "xfs";
    case 0x9123683e: return "btrfs";
    case 0x2fc12fc1: return "zfs";
    case 0x794c7630: return "overlay";
    case 0x01021994: return "tmpfs: memory, so nothing is durable here";
    default: return "of another kind";
    }
}

void qs_report_begin(const struct qs *qs)
{
    char count[QS_TEXT_BYTES], listed[QS_TEXT_BYTES];
    printf("NorthstarDB %d.%d.%d: %s files, %.1f MB from %s\n", NS_VERSION_MAJOR, NS_VERSION_MINOR,
           NS_VERSION_PATCH, count_text(qs->file_count, count), megabytes(qs->bytes), qs->tree);
    if (qs->limited_by != NULL) {
        printf("(of %s files; bounded by %s)\n", count_text(qs->listed_files, listed),
               qs->limited_by);
    }
    printf("working in %s (file system: %s)\n\n", qs->work, file_system(qs->work));
}

static void report_crash(struct qs *qs)
{
    char text[4 * QS_TEXT_BYTES], value[QS_TEXT_BYTES];
    printf("crash (seed %llu)\n", (unsigned long long)qs->seed);
    snprintf(text, sizeof text, "acknowledged, %.0f%% of the files",
             100.0 * (double)qs->acked / (double)qs->file_count);
    row_count("killed with SIGKILL at", qs->acked, text);
    snprintf(text, sizeof text, "%s transactions replayed", count_text(qs->recovered_txns, value));
    char took[QS_TEXT_BYTES];
    row("reopened in", time_text(qs->recovery_ns, took), text);
    row_count("found of these", qs->found, "right ids, bytes equal to the source files");
    row_count("found beyond", qs->newest_id - qs->acked, "unacknowledged; at most one could be");
    putchar('\n');
}

static void report_import(struct qs *qs)
{
    char text[4 * QS_TEXT_BYTES];
    puts("import, one durable transaction per file");
    row_count("files", qs->commits.count + (qs->newest_id - qs->acked),
              "before and after the crash");
    snprintf(text, sizeof text, "files/s, %.1f MB/s",
             megabytes_per_second(qs->bytes, qs->commit_span_ns));
    row_count("rate", per_second(qs->commits.count, qs->commit_span_ns), text);
    row_times("commit", &qs->commits, "");
    row_times("bare durable write", &qs->bare_writes, "4 KiB on this disk, for comparison");
    putchar('\n');
}

static void report_queries(struct qs *qs)
{
    char text[4 * QS_TEXT_BYTES], value[QS_TEXT_BYTES];
    puts("queries, one thread");
    snprintf(text, sizeof text, "%s/s, clock reads included",
             count_text(per_second(qs->gets.count, qs->get_span_ns), value));
    row_times("point get", &qs->gets, text);
    row_times("snapshot, open+close", &qs->snapshots, "");
    snprintf(text, sizeof text, "entries/s, %s scans", count_text(qs->prefixes, value));
    row_count("prefix scan", per_second(qs->scanned_entries, qs->scan_ns), text);
    snprintf(text, sizeof text, "MB/s, every byte of %.1f MB", megabytes(qs->read_bytes));
    row_count("read content", (uint64_t)megabytes_per_second(qs->read_bytes, qs->read_ns), text);
    putchar('\n');
}

static void report_proofs(struct qs *qs)
{
    char text[4 * QS_TEXT_BYTES], value[QS_TEXT_BYTES];
    puts("the file");
    row_count("entries", qs->stats.entries, "in 3 keyspaces");
    snprintf(text, sizeof text, "MB: tree %.1f, log %.1f, free %.1f",
             megabytes(qs->stats.tree_bytes), megabytes(qs->stats.log_bytes),
             megabytes(qs->stats.free_bytes + qs->stats.waiting_bytes));
    snprintf(value, sizeof value, "%.1f", megabytes(qs->stats.file_bytes));
    row("size", value, text);
    row("verified in", time_text(qs->verify_ns, value), "no findings");
    printf("  %s\n\n", qs->figures);

    puts("replay of the log into a second file");
    snprintf(text, sizeof text, "transactions/s, %.1f MB/s",
             megabytes_per_second(qs->replayed_bytes, qs->replay_ns));
    row_count("transactions", qs->replayed_txns, "all of them");
    row_count("rate", per_second(qs->replayed_txns, qs->replay_ns), text);
    fputs("  state hash, both      ", stdout);
    for (size_t i = 0; i < sizeof qs->hash; i++)
        printf("%02x", qs->hash[i]);
    puts("\n");
}

void qs_report(struct qs *qs)
{
    report_crash(qs);
    report_import(qs);
    report_queries(qs);
    report_proofs(qs);
    printf("everything holds; %.1f s in all\n", (double)(qs_now_ns() - qs->begin_ns) / 1e9);
}
