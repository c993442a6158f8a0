/* basic_kv.c: a small configuration store, to show what a program around NorthstarDB looks like.
 *
 *     basic_kv FILE set SECTION KEY VALUE    one durable transaction with a note
 *     basic_kv FILE get SECTION KEY          exits with 1 if it is not there
 *     basic_kv FILE unset SECTION KEY        the same
 *     basic_kv FILE list [SECTION]           everything, in order
 *     basic_kv FILE history                  who changed what: the notes in the log
 *
 * Data: one keyspace named "config"; a key is "SECTION/KEY" (so a section has no '/'), which puts
 * the entries of a section side by side. Programs with composite keys of any bytes would use an
 * order-preserving encoding instead.
 *
 * Every function returns an ns_status. The caller ends what it began: a transaction is finished by
 * commit (whatever commit answers) or by abort, a database by close. */
#include <northstar.h>
#include <northstar/log.h>

#include <stdio.h>
#include <string.h>

#define FULL_KEY_BYTES 1024 /* the limit at the default page size */

/* Writes "section/key" to full_out. NS_TOOBIG if it does not fit, NS_INVALID for a bad section. */
static ns_status make_key(const char *section, const char *key, char full_out[FULL_KEY_BYTES],
                          ns_slice *key_out)
{
    *key_out = ns_bytes(NULL, 0);
    if (section[0] == '\0' || strchr(section, '/') != NULL) return NS_INVALID;
    int size = snprintf(full_out, FULL_KEY_BYTES, "%s/%s", section, key);
    if (size < 0 || size >= FULL_KEY_BYTES) return NS_TOOBIG;
    *key_out = ns_bytes(full_out, (size_t)size);
    return NS_OK;
}

/* Puts (value not NULL) or deletes one entry. Nothing of it is seen or kept unless commit says
 * NS_OK; so failures need no undoing, only ns_txn_abort. */
static ns_status change(ns_db *db, const char *section, const char *key, const char *value)
{
    char full[FULL_KEY_BYTES];
    char note[FULL_KEY_BYTES + 16];
    ns_slice full_key;
    ns_txn *txn = NULL;
    ns_keyspace config = 0;

    ns_status status = make_key(section, key, full, &full_key);
    if (status == NS_OK) status = ns_txn_begin(db, NS_WRITE, &txn);
    if (status == NS_OK) status = ns_txn_keyspace(txn, "config", &config); /* creates it once */
    if (status == NS_OK) {
        status = value != NULL ? ns_txn_put(txn, config, full_key, ns_str(value))
                               : ns_txn_del(txn, config, full_key);
    }
    if (status == NS_OK) {
        snprintf(note, sizeof note, "%s %s", value != NULL ? "set" : "unset", full);
        status = ns_txn_note(txn, ns_str(note));
    }
    if (status == NS_OK) return ns_txn_commit(txn, NULL);
    ns_txn_abort(txn); /* NULL is fine */
    return status;
}

static void print_slice(ns_slice slice)
{
    fwrite(slice.data, 1, slice.size, stdout);
}

static ns_status get(ns_db *db, const char *section, const char *key)
{
    char full[FULL_KEY_BYTES];
    ns_slice full_key, value;
    ns_txn *txn = NULL;
    ns_keyspace config = 0;

    ns_status status = make_key(section, key, full, &full_key);
    if (status == NS_OK) status = ns_txn_begin(db, NS_READ, &txn);
    if (status == NS_OK) status = ns_txn_keyspace(txn, "config", &config);
    if (status == NS_OK) status = ns_txn_get(txn, config, full_key, &value);
    if (status == NS_OK) { /* value points into the database: use it before the transaction ends */
        print_slice(value);
        putchar('\n');
    }
    ns_txn_abort(txn); /* ends a read transaction; there is nothing to commit */
    return status;
}

/* Prints the entries under the cursor's bounds. NS_NOTFOUND from next is the end, not a failure. */
static ns_status print_entries(ns_cursor *cursor)
{
    ns_status status;
    while ((status = ns_cursor_next(cursor)) == NS_OK) {
        print_slice(ns_cursor_key(cursor));
        fputs(" = ", stdout);
        print_slice(ns_cursor_value(cursor));
        putchar('\n');
    }
    return status == NS_NOTFOUND ? NS_OK : status;
}

static ns_status list(ns_db *db, const char *section)
{
    char prefix[FULL_KEY_BYTES];
    ns_slice prefix_slice = ns_bytes(NULL, 0); /* an empty prefix is everything */
    ns_txn *txn = NULL;
    ns_cursor *cursor = NULL;
    ns_keyspace config = 0;

    ns_status status = NS_OK;
    if (section != NULL) status = make_key(section, "", prefix, &prefix_slice);
    if (status == NS_OK) status = ns_txn_begin(db, NS_READ, &txn);
    if (status == NS_OK) status = ns_txn_keyspace(txn, "config", &config);
    if (status == NS_OK) status = ns_cursor_open(txn, config, &cursor);
    if (status == NS_OK) status = ns_cursor_prefix(cursor, prefix_slice);
    if (status == NS_OK) status = print_entries(cursor);
    ns_cursor_close(cursor);
    ns_txn_abort(txn);
    return status == NS_NOTFOUND ? NS_OK : status; /* no keyspace yet: an empty list */
}

/* Every transaction left one record in the log: its id, its time, and the note given to it. */
static ns_status history(ns_db *db)
{
    ns_log *log = NULL;
    struct ns_commit commit;

    ns_status status = ns_log_open(db, 0, &log);
    while (status == NS_OK && (status = ns_log_next(log, &commit)) == NS_OK) {
        printf("%llu ", (unsigned long long)commit.txn_id);
        print_slice(commit.note);
        putchar('\n');
    }
    ns_log_close(log);
    return status == NS_NOTFOUND ? NS_OK : status;
}

static int usage(void)
{
    fputs("usage: basic_kv FILE set SECTION KEY VALUE\n"
          "       basic_kv FILE get|unset SECTION KEY\n"
          "       basic_kv FILE list [SECTION]\n"
          "       basic_kv FILE history\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc < 3) return usage();
    const char *verb = argv[2];
    const char *first = argc > 3 ? argv[3] : NULL;
    int is_set = strcmp(verb, "set") == 0 && argc == 6;
    int is_get = strcmp(verb, "get") == 0 && argc == 5;
    int is_unset = strcmp(verb, "unset") == 0 && argc == 5;
    int is_list = strcmp(verb, "list") == 0 && argc <= 4;
    int is_history = strcmp(verb, "history") == 0 && argc == 3;
    if (!is_set && !is_get && !is_unset && !is_list && !is_history) return usage();

    ns_db *db = NULL;
    ns_options options = {0};                    /* all zero is a good default */
    if (!is_set) options.flags |= NS_MUST_EXIST; /* only `set` creates the file */
    ns_status status = ns_db_open(argv[1], &options, &db);
    if (status == NS_OK) {
        if (is_set) status = change(db, first, argv[4], argv[5]);
        if (is_get) status = get(db, first, argv[4]);
        if (is_unset) status = change(db, first, argv[4], NULL);
        if (is_list) status = list(db, first);
        if (is_history) status = history(db);
        ns_status closed = ns_db_close(db);
        if (status == NS_OK) status = closed;
    }
    if (status == NS_OK) return 0;
    if (status == NS_NOTFOUND) return 1; /* an answer: it sets no detail */
    fprintf(stderr, "basic_kv: %s: %s\n", ns_status_text(status), ns_error_detail());
    return 3;
}
