/* stat.c: what the file holds, and where its bytes are. */
#include "cli.h"
#include "text.h"

struct names {
    char **names;
    size_t count;
};

static int add_name(void *ctx, const char *name, ns_keyspace keyspace)
{
    struct names *names = ctx;
    (void)keyspace;
    names->names = cli_resize(names->names, (names->count + 1) * sizeof *names->names);
    names->names[names->count++] = cli_copy_string(name);
    return 0;
}

static const char *history_name(ns_history history)
{
    switch (history) {
    case NS_HISTORY_BOUNDED: return "bounded";
    case NS_HISTORY_ALL: return "all";
    case NS_HISTORY_NONE: return "none";
    default: return "?";
    }
}

/* name, field, what it counts, as a row of the text and a member of the JSON object. */
struct row {
    const char *name;
    size_t offset;
    const char *text;
};

#define ROW(field, text)                                                                           \
    {                                                                                              \
#field, offsetof(ns_db_stats_t, field), text                                               \
    }

static const struct row size_rows[] = {
    ROW(file_bytes, "file"),
    ROW(tree_bytes, "  tree"),
    ROW(overflow_bytes, "    of these, big values"),
    ROW(log_bytes, "  log"),
    ROW(map_bytes, "  metas and maps"),
    ROW(free_bytes, "  free"),
    ROW(waiting_bytes, "  waiting to be free"),
};

static uint64_t field_of(const ns_db_stats_t *stats, const struct row *row)
{
    uint64_t value;
    memcpy(&value, (const char *)stats + row->offset, sizeof value);
    return value;
}

static void print_json(const char *path, const ns_db_stats_t *stats, const struct names *names)
{
    char time[TEXT_NUMBER_BYTES];
    fputs("{\"file\":", stdout);
    text_write_json_string(stdout, path);
    printf(",\"page_size\":%u,\"history\":\"%s\",\"txn_id\":%llu", stats->page_size,
           history_name(stats->history), (unsigned long long)stats->txn_id);
    printf(",\"unix_us\":%lld,\"time\":\"%s\"", (long long)stats->unix_us,
           stats->txn_id > 0 ? text_time(stats->unix_us, time) : "");
    printf(",\"oldest_log_txn\":%llu,\"entries\":%llu", (unsigned long long)stats->oldest_log_txn,
           (unsigned long long)stats->entries);
    for (size_t i = 0; i < sizeof size_rows / sizeof size_rows[0]; i++) {
        printf(",\"%s\":%llu", size_rows[i].name,
               (unsigned long long)field_of(stats, &size_rows[i]));
    }
    printf(",\"recovered_txns\":%llu,\"recovery_us\":%llu,\"keyspaces\":[",
           (unsigned long long)stats->recovered_txns, (unsigned long long)stats->recovery_us);
    for (size_t i = 0; i < names->count; i++) {
        if (i > 0) putchar(',');
        text_write_json_string(stdout, names->names[i]);
    }
    fputs("]}\n", stdout);
}

static void print_keyspaces(const struct names *names)
{
    printf("%-24s main", "keyspaces");
    for (size_t i = 0; i < names->count; i++) {
        fputs(", ", stdout);
        text_write(stdout, TEXT_ESCAPED, ns_str(names->names[i]));
    }
    putchar('\n');
}

static void print_text(const ns_db_stats_t *stats, const struct names *names)
{
    char number[TEXT_NUMBER_BYTES], size[TEXT_NUMBER_BYTES];
    printf("%-24s %s\n", "entries", text_count(stats->entries, number));
    print_keyspaces(names);
    printf("%-24s %s%s%s\n", "newest transaction", text_count(stats->txn_id, number),
           stats->txn_id > 0 ? " of " : "",
           stats->txn_id > 0 ? text_time(stats->unix_us, size) : "");
    printf("%-24s %s, log from %s\n", "history", history_name(stats->history),
           stats->oldest_log_txn > 0 ? text_count(stats->oldest_log_txn, number) : "none");
    printf("%-24s %u bytes\n", "page size", stats->page_size);
    if (stats->recovered_txns > 0) {
        printf("%-24s %s transactions, %s\n", "recovered now",
               text_count(stats->recovered_txns, number),
               text_duration(stats->recovery_us * 1000u, size));
    }
    putchar('\n');
    for (size_t i = 0; i < sizeof size_rows / sizeof size_rows[0]; i++) {
        uint64_t bytes = field_of(stats, &size_rows[i]);
        printf("%-24s %18s  %9s", size_rows[i].text, text_count(bytes, number),
               text_size(bytes, size));
        if (i > 0 && stats->file_bytes > 0) {
            printf("  %5.1f%%", 100.0 * (double)bytes / (double)stats->file_bytes);
        }
        putchar('\n');
    }
}

int cli_stat(const struct cli_args *args)
{
    ns_db *db = NULL;
    ns_txn *txn = NULL;
    ns_db_stats_t stats;
    struct names names = {0};
    int code = cli_open(args, args->words[0], CLI_OPEN_READ, NULL, &db);
    if (code != CLI_OK) return code;

    ns_status status = ns_db_stats(db, &stats, sizeof stats);
    if (status == NS_OK) status = ns_txn_begin(db, NS_READ, &txn);
    if (status == NS_OK) status = ns_txn_keyspace_list(txn, add_name, &names);
    ns_txn_abort(txn);
    if (status != NS_OK) {
        code = cli_fail(status, "stat");
    } else if (cli_has(args, CLI_JSON)) {
        print_json(args->words[0], &stats, &names);
    } else {
        print_text(&stats, &names);
    }
    for (size_t i = 0; i < names.count; i++)
        cli_free(names.names[i]);
    cli_free(names.names);
    return cli_close(db, code);
}
