/* main.c: the ns command: which command was meant, and the texts of its help.
 *
 * A command gets its arguments sorted (options.c), works, and returns an exit code (cli.h). What it
 * prints on standard output is its answer; everything else goes to standard error. */
#include "cli.h"

#include <errno.h>

static const char get_text[] =
    "Prints the value of KEY. Exit code 1 if it is not there.\n"
    "Bytes that are no printable text are shown as \\xNN; --raw prints them as they are, without\n"
    "a newline.\n"
    "\n"
    "KEY is text; with --hex, hexadecimal digits; @FILE, the content of a file (@@ for a key that\n"
    "begins with @); or -, standard input.\n"
    "\n"
    "  ns get app.ns colour\n"
    "  ns get app.ns --keyspace photos cat --raw > cat.jpg";

static const char put_text[] =
    "Stores values under keys, all in one durable transaction. Creates the file, and the keyspace\n"
    "named by --keyspace, if they are absent.\n"
    "\n"
    "KEY and VALUE are text; with --hex, hexadecimal digits; @FILE, the content of a file (@@ for\n"
    "text that begins with @); or -, standard input, for one of them.\n"
    "\n"
    "  ns put app.ns colour blue size XL --note \"from the catalogue\"\n"
    "  ns put app.ns --keyspace photos cat @cat.jpg\n"
    "  ns put app.ns --hex 00ff 0a";

static const char del_text[] =
    "Deletes keys, all in one durable transaction. If one of them is not there, nothing is "
    "changed\n"
    "and the exit code is 1. Ranges delete what is there, even if that is nothing.\n"
    "\n"
    "  ns del app.ns colour size\n"
    "  ns del app.ns --prefix session/\n"
    "  ns del app.ns --from 2024 --to 2025";

static const char scan_text[] =
    "Prints entries in the order of their keys' bytes, a line each: key, tab, value. Bytes that "
    "are\n"
    "no printable text are shown as \\xNN, so that a line is always an entry; --raw prints them\n"
    "as they are.\n"
    "\n"
    "With --json, byte strings that are no UTF-8 text come as \"key_hex\" and \"value_hex\".\n"
    "\n"
    "  ns scan app.ns --prefix user/ --limit 10\n"
    "  ns scan app.ns --reverse --keys-only";

static const char stat_text[] =
    "Prints what the file holds and where its bytes are. Reads, changes nothing.";

static const char log_text[] =
    "Prints the log, oldest transaction first: id, time (UTC), size, note. --ops shows each\n"
    "operation, with long values cut (not with --json). How far back the log reaches is a matter\n"
    "of the file's history mode; `ns stat` shows it.\n"
    "\n"
    "  ns log app.ns --last 5 --ops\n"
    "  ns log app.ns --after 1000 --json";

static const char verify_text[] =
    "Checks every law of a file that nobody has open: checksums, order, reachability, the\n"
    "conservation of pages, the log's chain, both metas. Prints each finding, and figures at the\n"
    "end. Changes nothing. Exit code 4 if the file is corrupt.";

static const char import_text[] =
    "Stores the regular files under DIR, one durable transaction each, in the order of their "
    "paths.\n"
    "Keyspaces: path (relative path -> document id, 8 bytes big-endian), content (id -> bytes), "
    "size\n"
    "(id -> size in decimal). Each transaction carries the note \"import PATH\".\n"
    "\n"
    "Symbolic links, sockets, pipes and devices are skipped. Importing again skips files whose "
    "bytes\n"
    "are stored already and replaces those that changed; documents of files that are gone stay.\n"
    "May be interrupted and repeated. Exit code 5 if a file could not be read.\n"
    "\n"
    "  ns import headers.ns /usr/include\n"
    "  ns scan headers.ns --keyspace path --prefix linux/ --keys-only";

static const char replay_text[] =
    "Rebuilds TARGET from the log of SOURCE, with the same ids, times and notes, up to the newest\n"
    "transaction or to --to ID, and proves that the two are equal: by chain value and state hash "
    "at\n"
    "the newest transaction, by chain value at an earlier one.\n"
    "\n"
    "TARGET may be absent, or hold the first transactions of the same history; any other file is\n"
    "refused and left alone. Exit code 4 if the proof fails.\n"
    "\n"
    "  ns replay app.ns copy.ns\n"
    "  ns replay app.ns yesterday.ns --to 1234";

#define BYTES_IN (CLI_HEX | CLI_KEYSPACE)

static const struct cli_command commands[] = {
    {"get", "FILE KEY", "print a value", get_text, BYTES_IN | CLI_RAW | CLI_JSON | CLI_WAIT, 2, 2,
     cli_get},
    {"put", "FILE KEY VALUE [KEY VALUE]...", "store values", put_text,
     BYTES_IN | CLI_INSERT | CLI_NOTE | CLI_JSON | CLI_WAIT, 3, INT32_MAX, cli_put},
    {"del", "FILE [KEY]...", "delete keys, or a range of them", del_text,
     BYTES_IN | CLI_FROM | CLI_TO_KEY | CLI_PREFIX | CLI_NOTE | CLI_JSON | CLI_WAIT, 1, INT32_MAX,
     cli_del},
    {"scan", "FILE", "print entries in order", scan_text,
     BYTES_IN | CLI_FROM | CLI_TO_KEY | CLI_PREFIX | CLI_REVERSE | CLI_LIMIT | CLI_KEYS_ONLY |
         CLI_RAW | CLI_JSON | CLI_WAIT,
     1, 1, cli_scan},
    {"stat", "FILE", "print sizes and figures", stat_text, CLI_JSON | CLI_WAIT, 1, 1, cli_stat},
    {"log", "FILE", "print the transactions", log_text,
     CLI_AFTER | CLI_LAST | CLI_LIMIT | CLI_OPS | CLI_HEX | CLI_JSON | CLI_WAIT, 1, 1, cli_log},
    {"verify", "FILE", "check every law of a file", verify_text, CLI_JSON | CLI_WAIT, 1, 1,
     cli_verify},
    {"import", "FILE DIR", "store the files of a directory", import_text,
     CLI_LIMIT | CLI_SYNC | CLI_JSON | CLI_WAIT, 2, 2, cli_import},
    {"replay", "SOURCE TARGET", "rebuild a database from a log", replay_text,
     CLI_TO_ID | CLI_JSON | CLI_WAIT, 2, 2, cli_replay},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static const struct cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    }
    return NULL;
}

static void print_commands(FILE *out)
{
    fputs("usage: ns COMMAND FILE [ARGUMENTS] [OPTIONS]\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "  %-8s%-34s%s\n", commands[i].name, commands[i].words, commands[i].summary);
    }
    fputs("\n"
          "  ns COMMAND --help    more about a command\n"
          "  ns --version         the version\n"
          "\n"
          "Only put, import and replay create a file. Reading commands open it read-only.\n",
          out);
}

static int fail_command(const char *name)
{
    cli_error("unknown command: %s", name);
    if (name[0] != '-' && strchr(name, '.') != NULL) {
        cli_hint("the command comes first: ns COMMAND %s", name);
    } else {
        cli_hint("ns --help lists the commands");
    }
    return CLI_USAGE;
}

/* "ns help", "ns help COMMAND" */
static int help(int argc, char **argv)
{
    const struct cli_command *command = argc > 2 ? find_command(argv[2]) : NULL;
    if (argc > 2 && command == NULL) return fail_command(argv[2]);
    if (command != NULL) {
        cli_print_help(command);
    } else {
        print_commands(stdout);
    }
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_commands(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("ns %d.%d.%d\n", NS_VERSION_MAJOR, NS_VERSION_MINOR, NS_VERSION_PATCH);
        return CLI_OK;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        return help(argc, argv);
    }
    const struct cli_command *command = find_command(name);
    if (command == NULL) return fail_command(name);

    struct cli_args args;
    int code = cli_parse(command, argc - 2, argv + 2, &args);
    if (code == CLI_OK && args.help) {
        cli_print_help(command);
        return CLI_OK;
    }
    return code == CLI_OK ? command->run(&args) : code;
}

int main(int argc, char **argv)
{
    int code = run(argc, argv);
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout) != 0) && code <= CLI_NO) {
        return cli_fail_errno(errno != 0 ? errno : EIO, "standard output");
    }
    return code;
}
