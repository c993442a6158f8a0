/* scan.c: entries in order. */
#include "cli.h"
#include "text.h"

struct scan {
    const struct cli_args *args;
    enum text_form form;
    uint64_t limit;
    struct cli_bytes from, to, prefix;
};

static void print_json(const struct scan *scan, ns_slice key, ns_slice value)
{
    bool as_hex = cli_has(scan->args, CLI_HEX);
    putchar('{');
    text_write_json(stdout, "key", key, as_hex);
    if (!cli_has(scan->args, CLI_KEYS_ONLY)) {
        putchar(',');
        text_write_json(stdout, "value", value, as_hex);
    }
    fputs("}\n", stdout);
}

static void print_line(const struct scan *scan, ns_slice key, ns_slice value)
{
    text_write(stdout, scan->form, key);
    if (!cli_has(scan->args, CLI_KEYS_ONLY)) {
        putchar('\t');
        text_write(stdout, scan->form, value);
    }
    putchar('\n');
}

static int print_entries(const struct scan *scan, ns_cursor *cursor)
{
    bool is_reverse = cli_has(scan->args, CLI_REVERSE);
    ns_status status = NS_OK;
    for (uint64_t count = 0; count < scan->limit && !ferror(stdout); count++) {
        if (is_reverse) {
            status = count == 0 ? ns_cursor_last(cursor) : ns_cursor_prev(cursor);
        } else {
            status = ns_cursor_next(cursor);
        }
        if (status != NS_OK) break;
        ns_slice key, value;
        status = ns_cursor_get(cursor, &key, &value);
        if (status != NS_OK) break;
        if (cli_has(scan->args, CLI_JSON)) {
            print_json(scan, key, value);
        } else {
            print_line(scan, key, value);
        }
    }
    return status == NS_OK || status == NS_NOTFOUND ? CLI_OK : cli_fail(status, "scan");
}

static int scan_keyspace(const struct scan *scan, ns_txn *txn, ns_keyspace keyspace)
{
    ns_cursor *cursor = NULL;
    ns_status status = ns_cursor_open(txn, keyspace, &cursor);
    if (status == NS_OK && scan->prefix.size > 0) {
        status = ns_cursor_prefix(cursor, cli_slice(&scan->prefix));
    } else if (status == NS_OK) {
        status = ns_cursor_bounds(cursor, cli_slice(&scan->from), cli_slice(&scan->to));
    }
    int code = status == NS_OK ? print_entries(scan, cursor) : cli_fail(status, "scan");
    ns_cursor_close(cursor);
    return code;
}

static int scan_file(const struct scan *scan)
{
    ns_db *db = NULL;
    ns_txn *txn = NULL;
    ns_keyspace keyspace = NS_MAIN;
    int code = cli_open(scan->args, scan->args->words[0], CLI_OPEN_READ, NULL, &db);
    if (code != CLI_OK) return code;
    ns_status status = ns_txn_begin(db, NS_READ, &txn);
    if (status != NS_OK) code = cli_fail(status, "begin");
    if (code == CLI_OK) code = cli_keyspace(scan->args, txn, &keyspace);
    if (code == CLI_OK) code = scan_keyspace(scan, txn, keyspace);
    ns_txn_abort(txn);
    return cli_close(db, code);
}

int cli_scan(const struct cli_args *args)
{
    struct scan scan = {.args = args, .limit = UINT64_MAX};
    if (cli_has(args, CLI_LIMIT)) scan.limit = args->limit;
    if (cli_has(args, CLI_HEX)) scan.form = TEXT_HEX;
    if (cli_has(args, CLI_RAW)) scan.form = TEXT_RAW;
    if (cli_has(args, CLI_PREFIX) && (args->given & (CLI_FROM | CLI_TO_KEY)) != 0) {
        return cli_usage(args, "--prefix does not go with --from and --to");
    }
    int code = CLI_OK;
    if (cli_has(args, CLI_FROM)) code = cli_argument(args, args->from, &scan.from);
    if (code == CLI_OK && cli_has(args, CLI_TO_KEY)) code = cli_argument(args, args->to, &scan.to);
    if (code == CLI_OK && cli_has(args, CLI_PREFIX)) {
        code = cli_argument(args, args->prefix, &scan.prefix);
    }
    if (code == CLI_OK) code = scan_file(&scan);
    cli_bytes_free(&scan.from);
    cli_bytes_free(&scan.to);
    cli_bytes_free(&scan.prefix);
    return code;
}
