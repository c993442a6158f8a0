/* options.c: the options of all commands in one table, from which both the parser and the help
 * work. */
#include "cli.h"
#include "text.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_FLAG, KIND_TEXT, KIND_NUMBER, KIND_SYNC, KIND_SECONDS };

struct row {
    enum cli_option option;
    enum kind kind;
    size_t field; /* offset in struct cli_args of the value */
    const char *name;
    const char *value; /* NULL: a flag */
    const char *text;
};

#define FIELD(name) offsetof(struct cli_args, name)

static const struct row rows[] = {
    {CLI_KEYSPACE, KIND_TEXT, FIELD(keyspace), "keyspace", "NAME",
     "the named keyspace instead of the main one"},
    {CLI_FROM, KIND_TEXT, FIELD(from), "from", "KEY", "from this key on"},
    {CLI_TO_KEY, KIND_TEXT, FIELD(to), "to", "KEY", "up to this key, which is left out"},
    {CLI_PREFIX, KIND_TEXT, FIELD(prefix), "prefix", "KEY", "keys that begin with these bytes"},
    {CLI_REVERSE, KIND_FLAG, 0, "reverse", NULL, "in descending order"},
    {CLI_AFTER, KIND_NUMBER, FIELD(after), "after", "ID", "transactions after this one"},
    {CLI_LAST, KIND_NUMBER, FIELD(last), "last", "N", "the newest N transactions"},
    {CLI_LIMIT, KIND_NUMBER, FIELD(limit), "limit", "N", "stop after N"},
    {CLI_TO_ID, KIND_NUMBER, FIELD(to_id), "to", "ID", "stop after this transaction"},
    {CLI_KEYS_ONLY, KIND_FLAG, 0, "keys-only", NULL, "leave the values out"},
    {CLI_OPS, KIND_FLAG, 0, "ops", NULL, "show each operation"},
    {CLI_INSERT, KIND_FLAG, 0, "insert", NULL, "refuse keys that are there already (exit code 1)"},
    {CLI_NOTE, KIND_TEXT, FIELD(note), "note", "TEXT", "kept with the transaction in the log"},
    {CLI_SYNC, KIND_SYNC, FIELD(sync), "sync", "full|off",
     "full: each commit is durable (default); off: synced at the end only"},
    {CLI_HEX, KIND_FLAG, 0, "hex", NULL, "keys and values are hexadecimal, here and in the output"},
    {CLI_RAW, KIND_FLAG, 0, "raw", NULL, "print bytes as they are"},
    {CLI_JSON, KIND_FLAG, 0, "json", NULL, "print JSON, one object a line"},
    {CLI_WAIT, KIND_SECONDS, FIELD(wait_ms), "wait", "SECONDS",
     "how long to wait for a file in use (default 5)"},
};

#define ROW_COUNT (sizeof rows / sizeof rows[0])

/* ---- help ---- */

void cli_print_usage(const struct cli_command *command, FILE *out)
{
    fprintf(out, "usage: ns %s %s%s\n", command->name, command->words,
            command->options != 0 ? " [OPTIONS]" : "");
}

void cli_print_help(const struct cli_command *command)
{
    cli_print_usage(command, stdout);
    printf("\n%s\n\noptions:\n", command->text);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if ((command->options & (unsigned)rows[i].option) == 0) continue;
        char name[40];
        snprintf(name, sizeof name, "--%s%s%s", rows[i].name, rows[i].value != NULL ? " " : "",
                 rows[i].value != NULL ? rows[i].value : "");
        printf("  %-18s %s\n", name, rows[i].text);
    }
    printf("  %-18s %s\n", "--help", "this text");
    printf("\nexit codes: 0 done, 1 not found, 2 wrong usage, 3 in use elsewhere, 4 corrupt,\n"
           "            5 any other failure, 6 sync failed (see spec/cli_v0.md)\n");
}

/* ---- parsing ---- */

static const struct row *find_row(const struct cli_command *command, const char *name, size_t size)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if ((command->options & (unsigned)rows[i].option) != 0 && strlen(rows[i].name) == size &&
            memcmp(rows[i].name, name, size) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static bool parse_seconds(const char *value, uint32_t *ms_out)
{
    char *end = NULL;
    double seconds = strtod(value, &end);
    if (end == value || *end != '\0' || !(seconds >= 0.0) || seconds > 1e6) return false;
    *ms_out = (uint32_t)(seconds * 1000.0);
    return true;
}

static bool parse_sync(const char *value, ns_sync *sync_out)
{
    if (strcmp(value, "full") != 0 && strcmp(value, "off") != 0) return false;
    *sync_out = value[0] == 'f' ? NS_SYNC_FULL : NS_SYNC_OFF;
    return true;
}

static bool store(const struct row *row, struct cli_args *args, const char *value)
{
    void *field = (char *)args + row->field;
    args->given |= (unsigned)row->option;
    switch (row->kind) {
    case KIND_FLAG: return true;
    case KIND_TEXT: memcpy(field, &value, sizeof value); return true;
    case KIND_NUMBER: return text_parse_number(value, field);
    case KIND_SYNC: return parse_sync(value, field);
    case KIND_SECONDS: return parse_seconds(value, field);
    }
    return false;
}

/* One "--name", "--name=value" or "--name value". *at moves over a value taken from the next
 * word. */
static int parse_option(struct cli_args *args, int argc, char **argv, int *at)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t size = equals != NULL ? (size_t)(equals - name) : strlen(name);
    if (size == 4 && memcmp(name, "help", 4) == 0) {
        args->help = true;
        return CLI_OK;
    }
    const struct row *row = find_row(args->command, name, size);
    if (row == NULL) {
        return cli_usage(args, "unknown option --%.*s", (int)size, name);
    }
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (row->kind == KIND_FLAG && value != NULL) {
        return cli_usage(args, "--%s takes no value", row->name);
    }
    if (row->kind != KIND_FLAG && value == NULL) {
        if (*at + 1 >= argc) return cli_usage(args, "--%s needs %s", row->name, row->value);
        value = argv[++*at];
    }
    if (!store(row, args, value)) {
        return cli_usage(args, "--%s %s: expected %s", row->name, value, row->value);
    }
    return CLI_OK;
}

int cli_parse(const struct cli_command *command, int argc, char **argv, struct cli_args *args_out)
{
    *args_out = (struct cli_args){.command = command, .words = argv, .wait_ms = 5000};
    bool is_open = true; /* no "--" yet */
    for (int i = 0; i < argc; i++) {
        if (is_open && strcmp(argv[i], "--") == 0) {
            is_open = false;
        } else if (is_open && strcmp(argv[i], "-h") == 0) {
            args_out->help = true;
        } else if (is_open && argv[i][0] == '-' && argv[i][1] == '-') {
            int code = parse_option(args_out, argc, argv, &i);
            if (code != CLI_OK) return code;
        } else if (is_open && argv[i][0] == '-' && argv[i][1] != '\0') {
            int code = cli_usage(args_out, "unknown option %s", argv[i]);
            cli_hint("a key or value that begins with '-' comes after \"--\"");
            return code;
        } else {
            argv[args_out->word_count++] = argv[i];
        }
    }
    if (args_out->help) return CLI_OK;
    if (args_out->word_count < command->word_min) return cli_usage(args_out, "too few arguments");
    if (args_out->word_count > command->word_max) {
        return cli_usage(args_out, "unexpected argument: %s", argv[command->word_max]);
    }
    return CLI_OK;
}

int cli_usage(const struct cli_args *args, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "ns: %s: ", args->command->name);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    cli_print_usage(args->command, stderr);
    cli_hint("ns %s --help", args->command->name);
    return CLI_USAGE;
}
