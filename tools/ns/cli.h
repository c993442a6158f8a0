/* cli.h: what the files of the ns command share: the options a command was given, how it fails,
 * and how it opens a database.
 *
 * Only the public interface of the library is used here. Names shared between these files begin
 * with the name of their file (cli_, text_, hist_, ...), so that they cannot meet the library's
 * own. Running out of memory ends the program: a command has nothing to clean up that the system
 * does not. */
#ifndef NS_TOOLS_CLI_H
#define NS_TOOLS_CLI_H

#include <northstar.h>

#include <stdbool.h>
#include <stdio.h>

/* ---- exit codes (spec/cli_v0.md) ---- */

enum cli_exit {
    CLI_OK = 0,
    CLI_NO = 1,           /* the answer is no: not found, or already there */
    CLI_USAGE = 2,        /* wrong arguments */
    CLI_BUSY = 3,         /* the file or the seat is held elsewhere */
    CLI_CORRUPT = 4,      /* damaged, no database, or a proof failed */
    CLI_FAILED = 5,       /* I/O, no space, no such file, anything else */
    CLI_UNKNOWN = 6,      /* the sync failed: the next open settles whether the change is there */
    CLI_INTERRUPTED = 130 /* stopped by a signal at a transaction's end */
};

/* ---- options ---- */

/* Which options a command takes. Two options of one name (--to) never meet in one command. */
enum cli_option {
    CLI_KEYSPACE = 1 << 0,
    CLI_HEX = 1 << 1,
    CLI_RAW = 1 << 2,
    CLI_JSON = 1 << 3,
    CLI_WAIT = 1 << 4,
    CLI_NOTE = 1 << 5,
    CLI_INSERT = 1 << 6,
    CLI_FROM = 1 << 7,
    CLI_TO_KEY = 1 << 8,
    CLI_PREFIX = 1 << 9,
    CLI_REVERSE = 1 << 10,
    CLI_LIMIT = 1 << 11,
    CLI_KEYS_ONLY = 1 << 12,
    CLI_AFTER = 1 << 13,
    CLI_LAST = 1 << 14,
    CLI_OPS = 1 << 15,
    CLI_SYNC = 1 << 16,
    CLI_TO_ID = 1 << 17
};

struct cli_args {
    const struct cli_command *command;
    char **words; /* what is no option: FILE first */
    int word_count;
    unsigned given; /* cli_option bits */
    bool help;
    const char *keyspace, *note, *from, *to, *prefix;
    ns_sync sync;
    uint32_t wait_ms;
    uint64_t limit, after, last, to_id;
};

struct cli_command {
    const char *name;
    const char *words;   /* "FILE KEY" */
    const char *summary; /* one line */
    const char *text;    /* the rest of the help; examples */
    unsigned options;
    int word_min, word_max;
    int (*run)(const struct cli_args *args);
};

static inline bool cli_has(const struct cli_args *args, enum cli_option option)
{
    return (args->given & (unsigned)option) != 0;
}

/* Sorts argv[0 .. argc) into options and words; options may stand anywhere, "--" ends them.
 * Returns CLI_OK, or says what is wrong and returns CLI_USAGE. Words keep their order; argv is
 * rearranged. */
int cli_parse(const struct cli_command *command, int argc, char **argv, struct cli_args *args_out);

void cli_print_usage(const struct cli_command *command, FILE *out);
void cli_print_help(const struct cli_command *command);

/* ---- failing ---- */

int cli_usage(const struct cli_args *args, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "ns: text: detail" (plain: "ns: detail") with a hint; returns the exit code of the status. The
 * detail is the library's. */
int cli_fail(ns_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_fail_plain(ns_status status);

/* "ns: text", for failures that are not the library's. Returns CLI_FAILED. */
int cli_fail_errno(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "ns: text" and "hint: text" alone. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- memory and bytes ---- */

void *cli_alloc(size_t size); /* zeroed */
void *cli_resize(void *old, size_t size);
char *cli_copy_string(const char *text);
void cli_free(void *memory);

/* Growing bytes; all zero is empty. */
struct cli_bytes {
    uint8_t *data;
    size_t size, capacity;
};
void cli_bytes_free(struct cli_bytes *bytes);
void cli_bytes_room(struct cli_bytes *bytes, size_t more); /* at least that much behind size */
static inline ns_slice cli_slice(const struct cli_bytes *bytes)
{
    return ns_bytes(bytes->data, bytes->size);
}

/* Appends everything that can be read from fd. 0 or an errno; EFBIG beyond the size of a value. */
int cli_bytes_read(struct cli_bytes *bytes, int fd);

/* Bytes from one argument: text as it is; digits with --hex; @FILE a file's content ("@@..." is
 * text beginning with @); "-" standard input, once. CLI_OK, or a complaint and its exit code. */
int cli_argument(const struct cli_args *args, const char *argument, struct cli_bytes *bytes_out);

/* ---- databases ---- */

enum cli_open {
    CLI_OPEN_READ,   /* must exist; read-only */
    CLI_OPEN_CHANGE, /* must exist */
    CLI_OPEN_CREATE  /* created if absent */
};

/* Opens path, waiting as long as --wait says while it is held elsewhere. options is NULL or what
 * else to ask for. CLI_OK, or a complaint and its exit code. */
int cli_open(const struct cli_args *args, const char *path, enum cli_open how,
             const ns_options *options, ns_db **db_out);

/* For calls that do not wait by themselves: do { ... } while (cli_again(&patience, status)); tries
 * again, after a pause, while the status is NS_BUSY and --wait has not run out. */
struct cli_patience {
    uint64_t end_ns;
    uint32_t pause_ms;
};
struct cli_patience cli_patience(const struct cli_args *args);
bool cli_again(struct cli_patience *patience, ns_status status);

/* Closes; code is what the command would return. A failure to close is worse than CLI_OK and
 * CLI_NO. */
int cli_close(ns_db *db, int code);

/* The keyspace that --keyspace names, NS_MAIN without. CLI_OK, or a complaint and its exit code. */
int cli_keyspace(const struct cli_args *args, ns_txn *txn, ns_keyspace *keyspace_out);

/* ---- interruption ---- */

/* From now on SIGINT and SIGTERM only set a flag, so that long work ends between transactions. */
void cli_catch_interrupts(void);
bool cli_interrupted(void);

/* ---- commands ---- */

int cli_get(const struct cli_args *args);
int cli_put(const struct cli_args *args);
int cli_del(const struct cli_args *args);
int cli_scan(const struct cli_args *args);
int cli_stat(const struct cli_args *args);
int cli_log(const struct cli_args *args);
int cli_verify(const struct cli_args *args);
int cli_import(const struct cli_args *args);
int cli_replay(const struct cli_args *args); /* tools/replay */

#endif
