/* fail.c: what went wrong, in words, with a hint how to go on, and as an exit code. */
#include "cli.h"

#include <stdarg.h>
#include <string.h>

static enum cli_exit exit_of(ns_status status)
{
    switch (status) {
    case NS_OK: return CLI_OK;
    case NS_NOTFOUND:
    case NS_EXISTS: return CLI_NO;
    case NS_BUSY: return CLI_BUSY;
    case NS_CORRUPT:
    case NS_NOTADB: return CLI_CORRUPT;
    case NS_UNKNOWN: return CLI_UNKNOWN;
    case NS_CONFLICT:
    case NS_GONE:
    case NS_READONLY:
    case NS_INVALID:
    case NS_TOOBIG:
    case NS_FULL:
    case NS_NOMEM:
    case NS_IO:
    case NS_VERSION:
    case NS_POISONED:
    case NS_UNSUPPORTED:
    case NS_TIMEOUT:
    case NS_FORKED:
    case NS_INTERNAL: return CLI_FAILED;
    }
    return CLI_FAILED;
}

struct hint {
    ns_status status;
    const char *text;
};

static const struct hint hints[] = {
    {NS_BUSY, "a file has one writer, or readers only, at a time; --wait SECONDS waits longer"},
    {NS_CORRUPT, "`ns verify FILE` lists what is damaged; nothing has been changed"},
    {NS_NOTADB, "the file was left untouched"},
    {NS_VERSION, "a newer ns wrote this file; use that one"},
    {NS_FULL, "nothing was lost; make room on the disk and try again"},
    {NS_GONE, "history is bounded by default; what is older than its bounds is recycled"},
    {NS_UNKNOWN, "run `ns log FILE --last 1` to see whether it is there"},
    {NS_CONFLICT, "the two files do not share one history"},
    {NS_INTERNAL, "this is a mistake in ns; please report it with the text above"},
};

static void print(const char *before, const char *format, va_list list)
    __attribute__((format(printf, 2, 0)));

static void print(const char *before, const char *format, va_list list)
{
    fputs(before, stderr);
    vfprintf(stderr, format, list);
}

void cli_error(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    print("ns: ", format, list);
    va_end(list);
    fputc('\n', stderr);
}

void cli_hint(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    print("hint: ", format, list);
    va_end(list);
    fputc('\n', stderr);
}

static int finish(ns_status status)
{
    const char *detail = ns_error_detail();
    bool has_detail = status != NS_NOTFOUND && detail[0] != '\0';
    fprintf(stderr, "%s\n", has_detail ? detail : ns_status_text(status));
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        if (hints[i].status == status) cli_hint("%s", hints[i].text);
    }
    return (int)exit_of(status);
}

int cli_fail(ns_status status, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    print("ns: ", format, list);
    va_end(list);
    fputs(": ", stderr);
    return finish(status);
}

int cli_fail_plain(ns_status status)
{
    fputs("ns: ", stderr);
    return finish(status);
}

int cli_fail_errno(int error, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    print("ns: ", format, list);
    va_end(list);
    fprintf(stderr, ": %s\n", strerror(error));
    return CLI_FAILED;
}
