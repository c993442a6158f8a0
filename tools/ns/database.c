/* database.c: opening and closing the file that a command works on, keyspaces by name, and
 * signals. */
#include "cli.h"
#include "text.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define POLL_FIRST_MS 5u
#define POLL_LAST_MS 100u

struct cli_patience cli_patience(const struct cli_args *args)
{
    uint64_t wait_ns = (uint64_t)args->wait_ms * 1000000u;
    return (struct cli_patience){.end_ns = text_now_ns() + wait_ns, .pause_ms = POLL_FIRST_MS};
}

bool cli_again(struct cli_patience *patience, ns_status status)
{
    if (status != NS_BUSY || text_now_ns() >= patience->end_ns) return false;
    struct timespec pause = {.tv_sec = 0, .tv_nsec = (long)patience->pause_ms * 1000000L};
    nanosleep(&pause, NULL);
    patience->pause_ms *= 2;
    if (patience->pause_ms > POLL_LAST_MS) patience->pause_ms = POLL_LAST_MS;
    return true;
}

static ns_status open_patiently(const struct cli_args *args, const char *path,
                                const ns_options *options, ns_db **db_out)
{
    struct cli_patience patience = cli_patience(args);
    ns_status status;
    do {
        status = ns_db_open(path, options, db_out);
    } while (cli_again(&patience, status));
    return status;
}

int cli_open(const struct cli_args *args, const char *path, enum cli_open how,
             const ns_options *options, ns_db **db_out)
{
    ns_options all = options != NULL ? *options : (ns_options){0};
    if (how != CLI_OPEN_CREATE) all.flags |= NS_MUST_EXIST;
    if (how == CLI_OPEN_READ) all.flags |= NS_RDONLY;
    all.busy_timeout_ms = args->wait_ms > 0 ? args->wait_ms : 1;

    ns_status status = open_patiently(args, path, &all, db_out);
    if (status == NS_UNSUPPORTED && how == CLI_OPEN_READ) {
        all.flags &= ~NS_RDONLY;
        status = open_patiently(args, path, &all, db_out);
    }
    if (status == NS_OK) return CLI_OK;
    if (status == NS_NOTFOUND) {
        cli_error("%s: no such file", path);
        if ((args->command->options & CLI_KEYSPACE) != 0)
            cli_hint("`ns put %s KEY VALUE` would create it", path);
        return CLI_FAILED;
    }
    struct stat about;
    if (status == NS_UNSUPPORTED && stat(path, &about) == 0 && !S_ISREG(about.st_mode)) {
        cli_error("%s: not a regular file", path);
        return CLI_FAILED;
    }
    int code = cli_fail_plain(status);
    int mode = how == CLI_OPEN_READ ? R_OK : R_OK | W_OK;
    if ((status == NS_IO || status == NS_READONLY) && access(path, mode) != 0) {
        cli_hint("%s: %s", path, strerror(errno));
    }
    return code;
}

int cli_close(ns_db *db, int code)
{
    if (db == NULL) return code;
    ns_status status = ns_db_close(db);
    if (status == NS_OK || code > CLI_NO) return code;
    return cli_fail(status, "close");
}

int cli_keyspace(const struct cli_args *args, ns_txn *txn, ns_keyspace *keyspace_out)
{
    *keyspace_out = NS_MAIN;
    if (!cli_has(args, CLI_KEYSPACE)) return CLI_OK;
    ns_status status = ns_txn_keyspace(txn, args->keyspace, keyspace_out);
    if (status == NS_OK) return CLI_OK;
    if (status == NS_NOTFOUND) {
        cli_error("no keyspace named \"%s\"", args->keyspace);
        cli_hint("`ns stat %s` lists the keyspaces", args->words[0]);
        return CLI_NO;
    }
    return cli_fail(status, "keyspace \"%s\"", args->keyspace);
}

/* ---- interruption ---- */

static volatile sig_atomic_t interrupts;

static void on_signal(int number)
{
    (void)number;
    interrupts = 1;
}

void cli_catch_interrupts(void)
{
    struct sigaction action = {0};
    action.sa_handler = on_signal;
    action.sa_flags =
        (int)(SA_RESTART | SA_RESETHAND); /* a second signal ends the program at once */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool cli_interrupted(void)
{
    return interrupts != 0;
}
