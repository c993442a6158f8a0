/* log.c: the commit records, oldest first.
 *
 * A record is a line, or an object with --json; --ops adds its operations. Operations name their
 * keyspace by id. The name is looked up among the keyspaces of the newest version and those that
 * the records shown so far create; one that was dropped before and created earlier shows as #ID.
 * Text cuts long values, since a terminal is no place for them; JSON has them whole. */
#include "cli.h"
#include "text.h"

#include <northstar/log.h>

#define VALUE_SHOWN_BYTES 64u

/* Names of keyspaces by id: those of the newest version, and those that records create. */
struct keyspace_name {
    ns_keyspace keyspace;
    char *name;
};

struct show {
    const struct cli_args *args;
    struct keyspace_name *names;
    size_t name_count;
};

static int add_name(void *ctx, const char *name, ns_keyspace keyspace)
{
    struct show *show = ctx;
    size_t bytes = (show->name_count + 1) * sizeof *show->names;
    show->names = cli_resize(show->names, bytes);
    show->names[show->name_count].keyspace = keyspace;
    show->names[show->name_count++].name = cli_copy_string(name);
    return 0;
}

static const char *find_name(const struct show *show, ns_keyspace keyspace)
{
    if (keyspace == NS_MAIN) return "main";
    for (size_t i = 0; i < show->name_count; i++) {
        if (show->names[i].keyspace == keyspace) return show->names[i].name;
    }
    return NULL;
}

static void learn_name(struct show *show, const struct ns_op *op)
{
    char name[256];
    if (op->kind != NS_OP_KEYSPACE_CREATE || op->key.size >= sizeof name) return;
    memcpy(name, op->key.data, op->key.size);
    name[op->key.size] = '\0';
    if (find_name(show, op->keyspace) == NULL) add_name(show, name, op->keyspace);
}

static const char *kind_name(ns_op_kind kind)
{
    switch (kind) {
    case NS_OP_PUT: return "put";
    case NS_OP_DEL: return "del";
    case NS_OP_DEL_RANGE: return "del-range";
    case NS_OP_KEYSPACE_CREATE: return "create-keyspace";
    case NS_OP_KEYSPACE_DROP: return "drop-keyspace";
    default: return "?";
    }
}

/* ---- as text ---- */

static void print_value(const struct show *show, ns_slice value)
{
    enum text_form form = cli_has(show->args, CLI_HEX) ? TEXT_HEX : TEXT_ESCAPED;
    char size[TEXT_NUMBER_BYTES];
    bool is_long = value.size > VALUE_SHOWN_BYTES;
    text_write(stdout, form, is_long ? ns_bytes(value.data, VALUE_SHOWN_BYTES) : value);
    if (is_long) printf("... (%s bytes)", text_count(value.size, size));
}

static void print_op(const struct show *show, const struct ns_op *op)
{
    enum text_form form = cli_has(show->args, CLI_HEX) ? TEXT_HEX : TEXT_ESCAPED;
    printf("    %s ", kind_name(op->kind));
    if (op->kind == NS_OP_KEYSPACE_CREATE || op->kind == NS_OP_KEYSPACE_DROP) {
        text_write(stdout, TEXT_ESCAPED, op->key);
        putchar('\n');
        return;
    }
    const char *name = find_name(show, op->keyspace);
    if (name != NULL) {
        text_write(stdout, TEXT_ESCAPED, ns_str(name));
    } else {
        printf("#%u", op->keyspace);
    }
    putchar(' ');
    if (op->kind == NS_OP_DEL_RANGE && op->key.size == 0) fputs("(start)", stdout);
    text_write(stdout, form, op->key);
    if (op->kind == NS_OP_PUT) {
        fputs(" = ", stdout);
        print_value(show, op->value);
    } else if (op->kind == NS_OP_DEL_RANGE) {
        fputs(" .. ", stdout);
        if (op->value.size == 0) fputs("(end)", stdout);
        text_write(stdout, form, op->value);
    }
    putchar('\n');
}

static void print_commit(const struct ns_commit *commit)
{
    char time[TEXT_NUMBER_BYTES];
    printf("%llu  %s  %llu op%s, %zu bytes", (unsigned long long)commit->txn_id,
           text_time(commit->unix_us, time), (unsigned long long)commit->op_count,
           commit->op_count == 1 ? "" : "s", commit->bytes.size);
    if (commit->note.size > 0) {
        fputs("  ", stdout);
        text_write(stdout, TEXT_ESCAPED, commit->note);
    }
    putchar('\n');
}

/* ---- as JSON ---- */

static void print_op_json(const struct show *show, const struct ns_op *op)
{
    bool as_hex = cli_has(show->args, CLI_HEX);
    const char *name = find_name(show, op->keyspace);
    printf("{\"op\":\"%s\",\"keyspace_id\":%u,", kind_name(op->kind), op->keyspace);
    if (op->kind == NS_OP_KEYSPACE_CREATE || op->kind == NS_OP_KEYSPACE_DROP) {
        text_write_json(stdout, "keyspace", op->key, false);
    } else {
        if (name != NULL) {
            text_write_json(stdout, "keyspace", ns_str(name), false);
            putchar(',');
        }
        text_write_json(stdout, op->kind == NS_OP_DEL_RANGE ? "from" : "key", op->key, as_hex);
        if (op->kind == NS_OP_PUT || op->kind == NS_OP_DEL_RANGE) {
            putchar(',');
            text_write_json(stdout, op->kind == NS_OP_PUT ? "value" : "to", op->value, as_hex);
        }
    }
    putchar('}');
}

static void print_commit_json(const struct ns_commit *commit)
{
    char time[TEXT_NUMBER_BYTES];
    printf("{\"txn_id\":%llu,\"unix_us\":%lld,\"time\":\"%s\",\"op_count\":%llu,\"bytes\":%zu,",
           (unsigned long long)commit->txn_id, (long long)commit->unix_us,
           text_time(commit->unix_us, time), (unsigned long long)commit->op_count,
           commit->bytes.size);
    text_write_json(stdout, "note", commit->note, false);
    fputs(",\"chain\":\"", stdout);
    text_write_hex(stdout, commit->chain, sizeof commit->chain);
    putchar('"');
}

/* ---- walking ---- */

static ns_status print_ops(struct show *show, const struct ns_commit *commit)
{
    bool as_json = cli_has(show->args, CLI_JSON);
    bool is_first = true;
    size_t pos = 0;
    struct ns_op op;
    ns_status status;
    while ((status = ns_commit_next_op(commit, &pos, &op)) == NS_OK) {
        learn_name(show, &op);
        if (as_json && !is_first) putchar(',');
        if (as_json) {
            print_op_json(show, &op);
        } else {
            print_op(show, &op);
        }
        is_first = false;
    }
    return status == NS_NOTFOUND ? NS_OK : status;
}

static ns_status print_record(struct show *show, const struct ns_commit *commit)
{
    bool has_ops = cli_has(show->args, CLI_OPS);
    if (!cli_has(show->args, CLI_JSON)) {
        print_commit(commit);
        return has_ops ? print_ops(show, commit) : NS_OK;
    }
    print_commit_json(commit);
    if (has_ops) fputs(",\"ops\":[", stdout);
    ns_status status = has_ops ? print_ops(show, commit) : NS_OK;
    fputs(has_ops ? "]}\n" : "}\n", stdout);
    return status;
}

static int print_log(struct show *show, ns_db *db, uint64_t after)
{
    uint64_t limit = cli_has(show->args, CLI_LIMIT) ? show->args->limit : UINT64_MAX;
    ns_log *log = NULL;
    struct ns_commit commit;
    ns_status status = ns_log_open(db, after, &log);
    if (status == NS_NOTFOUND) {
        cli_error("there is no transaction %llu yet", (unsigned long long)after);
        return CLI_NO;
    }
    for (uint64_t count = 0; status == NS_OK && count < limit && !ferror(stdout); count++) {
        status = ns_log_next(log, &commit);
        if (status == NS_OK) status = print_record(show, &commit);
    }
    int code = status == NS_OK || status == NS_NOTFOUND ? CLI_OK : cli_fail(status, "log");
    ns_log_close(log);
    return code;
}

/* Where to start: --after; or --last; or the oldest record that is kept. */
static uint64_t start_of(const struct cli_args *args, const ns_db_stats_t *stats)
{
    uint64_t floor = stats->oldest_log_txn > 0 ? stats->oldest_log_txn - 1 : stats->txn_id;
    if (cli_has(args, CLI_AFTER)) return args->after;
    if (!cli_has(args, CLI_LAST)) return floor;
    uint64_t after = stats->txn_id > args->last ? stats->txn_id - args->last : 0;
    return after > floor ? after : floor;
}

int cli_log(const struct cli_args *args)
{
    struct show show = {.args = args};
    ns_db *db = NULL;
    ns_txn *txn = NULL;
    ns_db_stats_t stats;
    if (cli_has(args, CLI_AFTER) && cli_has(args, CLI_LAST)) {
        return cli_usage(args, "--after does not go with --last");
    }
    int code = cli_open(args, args->words[0], CLI_OPEN_READ, NULL, &db);
    if (code != CLI_OK) return code;

    ns_status status = ns_db_stats(db, &stats, sizeof stats);
    if (status == NS_OK) status = ns_txn_begin(db, NS_READ, &txn);
    if (status == NS_OK) status = ns_txn_keyspace_list(txn, add_name, &show);
    ns_txn_abort(txn);
    code = status == NS_OK ? print_log(&show, db, start_of(args, &stats)) : cli_fail(status, "log");
    for (size_t i = 0; i < show.name_count; i++)
        cli_free(show.names[i].name);
    cli_free(show.names);
    return cli_close(db, code);
}
