/* point.c: get, put and del: single keys, and ranges to delete.
 *
 * A run of put or del is one transaction: all of it or nothing. Its steps: read every argument (so
 * that nobody waits for the file while we wait for standard input), open, begin, change, commit,
 * close. If a step fails, the transaction is aborted and the file is closed as it was. */
#include "cli.h"
#include "text.h"

static enum text_form form_of(const struct cli_args *args)
{
    if (cli_has(args, CLI_RAW)) return TEXT_RAW;
    return cli_has(args, CLI_HEX) ? TEXT_HEX : TEXT_ESCAPED;
}

/* "ns: not found: KEY" */
static int say_absent(const char *what, ns_slice key)
{
    fprintf(stderr, "ns: %s: ", what);
    text_write(stderr, TEXT_ESCAPED, key);
    fputc('\n', stderr);
    return CLI_NO;
}

/* ---- get ---- */

static void print_entry(const struct cli_args *args, ns_slice key, ns_slice value, uint64_t txn_id)
{
    if (!cli_has(args, CLI_JSON)) {
        text_write(stdout, form_of(args), value);
        if (!cli_has(args, CLI_RAW)) putchar('\n');
        return;
    }
    putchar('{');
    text_write_json(stdout, "key", key, cli_has(args, CLI_HEX));
    putchar(',');
    text_write_json(stdout, "value", value, cli_has(args, CLI_HEX));
    printf(",\"txn_id\":%llu}\n", (unsigned long long)txn_id);
}

static int get_in(const struct cli_args *args, ns_db *db, ns_slice key)
{
    ns_txn *txn = NULL;
    ns_keyspace keyspace = NS_MAIN;
    ns_slice value;
    uint64_t txn_id = 0;

    ns_status status = ns_txn_begin(db, NS_READ, &txn);
    if (status != NS_OK) return cli_fail(status, "begin");
    int code = cli_keyspace(args, txn, &keyspace);
    if (code == CLI_OK) {
        status = ns_txn_get_version(txn, keyspace, key, &value, &txn_id);
        if (status == NS_OK) {
            print_entry(args, key, value, txn_id);
        } else if (status == NS_NOTFOUND) {
            code = say_absent("not found", key);
        } else {
            code = cli_fail(status, "get");
        }
    }
    ns_txn_abort(txn);
    return code;
}

int cli_get(const struct cli_args *args)
{
    struct cli_bytes key;
    ns_db *db = NULL;
    int code = cli_argument(args, args->words[1], &key);
    if (code == CLI_OK) code = cli_open(args, args->words[0], CLI_OPEN_READ, NULL, &db);
    if (code == CLI_OK) code = cli_close(db, get_in(args, db, cli_slice(&key)));
    cli_bytes_free(&key);
    return code;
}

/* ---- what put and del share ---- */

static int commit(const struct cli_args *args, ns_txn *txn)
{
    uint64_t txn_id = 0;
    ns_status status = NS_OK;
    if (cli_has(args, CLI_NOTE)) status = ns_txn_note(txn, ns_str(args->note));
    if (status != NS_OK) {
        ns_txn_abort(txn);
        return cli_fail(status, "note");
    }
    status = ns_txn_commit(txn, &txn_id);
    if (status != NS_OK) return cli_fail_plain(status);
    if (cli_has(args, CLI_JSON)) printf("{\"txn_id\":%llu}\n", (unsigned long long)txn_id);
    return CLI_OK;
}

typedef int (*change_fn)(const struct cli_args *args, ns_txn *txn, ns_keyspace keyspace,
                         const struct cli_bytes *words);

/* Reads all words before the file is opened, so that nothing waits for a slow standard input. */
static int change(const struct cli_args *args, enum cli_open how, change_fn make)
{
    int count = args->word_count - 1;
    struct cli_bytes *words = cli_alloc((size_t)count * sizeof *words);
    ns_db *db = NULL;
    ns_txn *txn = NULL;
    ns_keyspace keyspace = NS_MAIN;
    int code = CLI_OK;

    for (int i = 0; i < count && code == CLI_OK; i++) {
        code = cli_argument(args, args->words[i + 1], &words[i]);
    }
    if (code == CLI_OK) code = cli_open(args, args->words[0], how, NULL, &db);
    if (code == CLI_OK) {
        ns_status status = ns_txn_begin(db, NS_WRITE, &txn);
        if (status != NS_OK) code = cli_fail(status, "begin");
    }
    if (code == CLI_OK) code = cli_keyspace(args, txn, &keyspace);
    if (code == CLI_OK) code = make(args, txn, keyspace, words);
    if (code == CLI_OK) {
        code = commit(args, txn);
    } else {
        ns_txn_abort(txn);
    }
    code = cli_close(db, code);
    for (int i = 0; i < count; i++)
        cli_bytes_free(&words[i]);
    cli_free(words);
    return code;
}

/* ---- put ---- */

static int put_words(const struct cli_args *args, ns_txn *txn, ns_keyspace keyspace,
                     const struct cli_bytes *words)
{
    for (int i = 0; i + 1 < args->word_count - 1; i += 2) {
        ns_slice key = cli_slice(&words[i]);
        ns_slice value = cli_slice(&words[i + 1]);
        ns_status status = cli_has(args, CLI_INSERT) ? ns_txn_insert(txn, keyspace, key, value)
                                                     : ns_txn_put(txn, keyspace, key, value);
        if (status == NS_EXISTS) return say_absent("already there, nothing was changed", key);
        if (status != NS_OK) return cli_fail(status, "put");
    }
    return CLI_OK;
}

int cli_put(const struct cli_args *args)
{
    if (args->word_count % 2 == 0) {
        return cli_usage(args, "each key needs a value");
    }
    return change(args, CLI_OPEN_CREATE, put_words);
}

/* ---- del ---- */

/* The first key after all keys with this prefix: its last byte that is not 0xff, raised. Empty when
 * there is none. */
static void end_of_prefix(struct cli_bytes *prefix)
{
    while (prefix->size > 0 && prefix->data[prefix->size - 1] == 0xff)
        prefix->size--;
    if (prefix->size > 0) prefix->data[prefix->size - 1]++;
}

static int delete_range(const struct cli_args *args, ns_txn *txn, ns_keyspace keyspace)
{
    bool by_prefix = cli_has(args, CLI_PREFIX);
    struct cli_bytes from = {0}, to = {0};
    int code = CLI_OK;
    if (by_prefix || cli_has(args, CLI_FROM)) {
        code = cli_argument(args, by_prefix ? args->prefix : args->from, &from);
    }
    if (code == CLI_OK && (by_prefix || cli_has(args, CLI_TO_KEY))) {
        code = cli_argument(args, by_prefix ? args->prefix : args->to, &to);
    }
    if (code == CLI_OK && from.size == 0 && to.size == 0) {
        cli_error("an empty range means everything, and that is refused here");
        code = CLI_USAGE;
    }
    if (code == CLI_OK) {
        if (by_prefix) end_of_prefix(&to);
        ns_status status = ns_txn_del_range(txn, keyspace, cli_slice(&from), cli_slice(&to));
        if (status != NS_OK) code = cli_fail(status, "delete range");
    }
    cli_bytes_free(&from);
    cli_bytes_free(&to);
    return code;
}

static int del_words(const struct cli_args *args, ns_txn *txn, ns_keyspace keyspace,
                     const struct cli_bytes *words)
{
    if ((args->given & (CLI_PREFIX | CLI_FROM | CLI_TO_KEY)) != 0) {
        return delete_range(args, txn, keyspace);
    }
    for (int i = 0; i < args->word_count - 1; i++) {
        ns_status status = ns_txn_del(txn, keyspace, cli_slice(&words[i]));
        if (status == NS_NOTFOUND) {
            return say_absent("not found, nothing was changed", cli_slice(&words[i]));
        }
        if (status != NS_OK) return cli_fail(status, "delete");
    }
    return CLI_OK;
}

int cli_del(const struct cli_args *args)
{
    bool has_range = (args->given & (CLI_PREFIX | CLI_FROM | CLI_TO_KEY)) != 0;
    if (has_range == (args->word_count > 1)) {
        return cli_usage(args, "give either keys, or --prefix, or --from and --to");
    }
    if (cli_has(args, CLI_PREFIX) && (args->given & (CLI_FROM | CLI_TO_KEY)) != 0) {
        return cli_usage(args, "--prefix does not go with --from and --to");
    }
    return change(args, CLI_OPEN_CHANGE, del_words);
}
