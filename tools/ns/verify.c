/* verify.c: checks every law of a file. */
#include "cli.h"
#include "text.h"

struct report {
    const struct cli_args *args;
    uint64_t findings;
};

static void print_json(const ns_finding *finding)
{
    printf("{\"status\":\"%s\"", ns_status_name(finding->status));
    if (finding->page != UINT64_MAX) printf(",\"page\":%llu", (unsigned long long)finding->page);
    fputs(",\"text\":", stdout);
    text_write_json_string(stdout, finding->text);
    fputs("}\n", stdout);
}

static void print_finding(void *ctx, const ns_finding *finding)
{
    struct report *report = ctx;
    if (finding->status != NS_OK) report->findings++;
    if (cli_has(report->args, CLI_JSON)) {
        print_json(finding);
        return;
    }
    if (finding->status != NS_OK) fputs("finding: ", stdout);
    if (finding->page != UINT64_MAX) printf("page %llu: ", (unsigned long long)finding->page);
    text_write(stdout, TEXT_ESCAPED, ns_str(finding->text));
    putchar('\n');
}

int cli_verify(const struct cli_args *args)
{
    const char *path = args->words[0];
    struct report report = {.args = args};
    ns_options options = {.flags = NS_MUST_EXIST | NS_RDONLY};
    struct cli_patience patience = cli_patience(args);
    ns_status status;
    do {
        status = ns_db_verify(path, &options, print_finding, &report);
    } while (cli_again(&patience, status));
    if (status == NS_OK) {
        if (!cli_has(args, CLI_JSON)) printf("%s: ok\n", path);
        return CLI_OK;
    }
    fflush(stdout);
    if (status == NS_NOTFOUND) {
        cli_error("%s: no such file", path);
        return CLI_FAILED;
    }
    if (status == NS_CORRUPT && report.findings > 0) {
        char number[TEXT_NUMBER_BYTES];
        cli_error("%s: corrupt: %s finding%s", path, text_count(report.findings, number),
                  report.findings == 1 ? "" : "s");
        cli_hint("nothing was changed; keep the file, and restore a copy from before");
        return CLI_CORRUPT;
    }
    return cli_fail_plain(status);
}
