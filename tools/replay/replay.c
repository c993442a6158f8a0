/* replay.c: rebuilds a database from the log of another, and proves that the result is equal.
 *
 * The target is new, or holds the first transactions of the same history: then replay goes on
 * where it ends. The steps:
 *
 *   1 Open the source read-only and the target for changes. A target that is not empty must end
 *     in the same chain value as the source had at that id (SEM-61); otherwise it is left as it
 *     is.
 *   2 Apply the source's records in order, up to the id asked for.
 *   3 Close the target, which makes it durable, and open it again read-only: what is compared is
 *     what is in the file.
 *   4 Compare. At the newest id: chain values and state hashes of both. At an earlier id there is
 *     no version of the source to hash, so the chain values at that id are compared, and the
 *     target's state hash is printed.
 *
 * Not here: how a record is applied (ns_log_apply). */
#include "ns/cli.h"
#include "ns/progress.h"
#include "ns/text.h"

#include <northstar/log.h>

#include <sys/stat.h>

#define CHAIN_BYTES 32u
#define HASH_BYTES 16u

struct replay {
    const struct cli_args *args;
    const char *source_path, *target_path;
    ns_db *source, *target;
    ns_db_stats_t source_stats;
    uint64_t begin_id; /* where the target stood */
    uint64_t end_id;   /* where it shall stand */
    uint64_t applied, bytes;
    double seconds;
    uint8_t source_chain[CHAIN_BYTES], target_chain[CHAIN_BYTES];
    uint8_t source_hash[HASH_BYTES], target_hash[HASH_BYTES];
};

static bool is_newest(const struct replay *replay)
{
    return replay->end_id == replay->source_stats.txn_id;
}

/* ---- 1: opening ---- */

/* The chain value after transaction id. Zeros for id 0. NS_GONE if the log no longer holds it. */
static ns_status read_chain(ns_db *db, uint64_t id, uint8_t chain_out[CHAIN_BYTES])
{
    ns_log *log = NULL;
    struct ns_commit commit;
    memset(chain_out, 0, CHAIN_BYTES);
    if (id == 0) return NS_OK;
    ns_status status = ns_log_open(db, id - 1, &log);
    if (status == NS_OK) status = ns_log_next(log, &commit);
    if (status == NS_OK) memcpy(chain_out, commit.chain, CHAIN_BYTES);
    ns_log_close(log);
    return status;
}

static int open_source(struct replay *replay)
{
    const struct cli_args *args = replay->args;
    int code = cli_open(args, replay->source_path, CLI_OPEN_READ, NULL, &replay->source);
    if (code != CLI_OK) return code;
    ns_status status =
        ns_db_stats(replay->source, &replay->source_stats, sizeof replay->source_stats);
    if (status != NS_OK) return cli_fail(status, "%s", replay->source_path);

    uint64_t newest = replay->source_stats.txn_id;
    replay->end_id = cli_has(args, CLI_TO_ID) ? args->to_id : newest;
    if (replay->end_id > newest) {
        cli_error("%s ends at transaction %llu", replay->source_path, (unsigned long long)newest);
        return CLI_NO;
    }
    return CLI_OK;
}

/* A target that is there must be a prefix of the source. */
static int check_prefix(struct replay *replay)
{
    uint8_t source_chain[CHAIN_BYTES], target_chain[CHAIN_BYTES];
    uint64_t id = replay->begin_id;
    if (id > replay->end_id) {
        cli_error("%s already holds transactions up to %llu, beyond %llu", replay->target_path,
                  (unsigned long long)id, (unsigned long long)replay->end_id);
        return CLI_FAILED;
    }
    ns_status status = read_chain(replay->source, id, source_chain);
    if (status == NS_GONE && id < replay->end_id) return CLI_OK; /* ns_log_apply will tell */
    if (status != NS_OK) {
        return cli_fail(status, "%s, transaction %llu", replay->source_path,
                        (unsigned long long)id);
    }
    status = read_chain(replay->target, id, target_chain);
    if (status != NS_OK) {
        return cli_fail(status, "%s, transaction %llu", replay->target_path,
                        (unsigned long long)id);
    }
    if (memcmp(source_chain, target_chain, CHAIN_BYTES) != 0) {
        cli_error("%s holds %llu transactions that are not the first ones of %s",
                  replay->target_path, (unsigned long long)id, replay->source_path);
        cli_hint("nothing was changed; name a target that does not exist yet");
        return CLI_FAILED;
    }
    return CLI_OK;
}

/* A new target gets the source's page size, since the limit of keys depends on it, and its mode of
 * history. */
static int open_target(struct replay *replay)
{
    ns_options options = {.sync = NS_SYNC_OFF};
    struct stat source, target;
    bool is_new = stat(replay->target_path, &target) != 0;
    if (!is_new && stat(replay->source_path, &source) == 0 && source.st_dev == target.st_dev &&
        source.st_ino == target.st_ino) {
        return cli_usage(replay->args, "SOURCE and TARGET are the same file");
    }
    if (is_new) {
        options.page_size = replay->source_stats.page_size;
        options.history = replay->source_stats.history;
    }
    ns_db_stats_t stats;
    int code =
        cli_open(replay->args, replay->target_path, CLI_OPEN_CREATE, &options, &replay->target);
    if (code != CLI_OK) return code;
    ns_status status = ns_db_stats(replay->target, &stats, sizeof stats);
    if (status != NS_OK) return cli_fail(status, "%s", replay->target_path);
    replay->begin_id = stats.txn_id;
    return check_prefix(replay);
}

/* ---- 2: applying ---- */

static int apply_records(struct replay *replay, ns_log *log)
{
    struct ns_commit commit;
    struct progress progress;
    uint64_t total = replay->end_id - replay->begin_id;
    progress_begin(&progress, "replay", "transactions", total);
    ns_status status = NS_OK;
    int code = CLI_OK;
    while (replay->applied < total && code == CLI_OK) {
        if (cli_interrupted()) {
            code = CLI_INTERRUPTED;
            break;
        }
        status = ns_log_next(log, &commit);
        if (status == NS_OK) status = ns_log_apply(replay->target, commit.bytes);
        if (status != NS_OK) {
            progress_clear(&progress);
            code = cli_fail(status, "transaction %llu",
                            (unsigned long long)(replay->begin_id + replay->applied + 1));
        } else {
            replay->applied++;
            replay->bytes += commit.bytes.size;
            progress_update(&progress, replay->applied);
        }
    }
    progress_clear(&progress);
    return code;
}

static int apply(struct replay *replay)
{
    ns_log *log = NULL;
    uint64_t begin_ns = text_now_ns();
    ns_status status = ns_log_open(replay->source, replay->begin_id, &log);
    if (status != NS_OK) return cli_fail(status, "%s", replay->source_path);
    cli_catch_interrupts();
    int code = apply_records(replay, log);
    ns_log_close(log);
    code = cli_close(replay->target, code);
    replay->target = NULL;
    replay->seconds = (double)(text_now_ns() - begin_ns + 1) / 1e9;
    if (code == CLI_INTERRUPTED) cli_error("interrupted; replaying again goes on from here");
    return code;
}

/* ---- 3 and 4: proving ---- */

static ns_status hash_state(ns_db *db, uint64_t expected_id, uint8_t hash_out[HASH_BYTES])
{
    ns_txn *txn = NULL;
    ns_status status = ns_txn_begin(db, NS_READ, &txn);
    if (status == NS_OK && ns_txn_id(txn) != expected_id) status = NS_INTERNAL;
    if (status == NS_OK) status = ns_txn_state_hash(txn, hash_out);
    ns_txn_abort(txn);
    return status;
}

static int measure(struct replay *replay)
{
    int code = cli_open(replay->args, replay->target_path, CLI_OPEN_READ, NULL, &replay->target);
    if (code != CLI_OK) return code;
    ns_status status = hash_state(replay->target, replay->end_id, replay->target_hash);
    if (status == NS_OK) status = read_chain(replay->target, replay->end_id, replay->target_chain);
    if (status != NS_OK) return cli_fail(status, "%s", replay->target_path);

    status = read_chain(replay->source, replay->end_id, replay->source_chain);
    if (status == NS_OK && is_newest(replay)) {
        status = hash_state(replay->source, replay->end_id, replay->source_hash);
    }
    return status == NS_OK ? CLI_OK : cli_fail(status, "%s", replay->source_path);
}

static void print_json(const struct replay *replay, bool is_equal)
{
    printf("{\"applied\":%llu,\"txn_id\":%llu,\"bytes\":%llu,\"seconds\":%.6f,\"state_hash\":\"",
           (unsigned long long)replay->applied, (unsigned long long)replay->end_id,
           (unsigned long long)replay->bytes, replay->seconds);
    text_write_hex(stdout, replay->target_hash, HASH_BYTES);
    fputs("\",\"chain\":\"", stdout);
    text_write_hex(stdout, replay->target_chain, CHAIN_BYTES);
    printf("\",\"compared\":\"%s\",\"equal\":%s}\n",
           is_newest(replay) ? "chain and state hash" : "chain", is_equal ? "true" : "false");
}

static void print_text(const struct replay *replay, bool is_equal)
{
    char count[TEXT_NUMBER_BYTES], size[TEXT_NUMBER_BYTES], rate[TEXT_NUMBER_BYTES];
    if (replay->applied == 0) {
        printf("%-12s nothing; the target was there already\n", "applied");
    } else {
        printf("%-12s %s transactions, %s of records, in %.2f s (%s/s)\n", "applied",
               text_count(replay->applied, count), text_size(replay->bytes, size), replay->seconds,
               text_count((uint64_t)((double)replay->applied / replay->seconds), rate));
    }
    printf("%-12s %s\n", "now at", text_count(replay->end_id, count));
    printf("%-12s ", "chain");
    text_write_hex(stdout, replay->target_chain, CHAIN_BYTES);
    printf("\n%-12s ", "state hash");
    text_write_hex(stdout, replay->target_hash, HASH_BYTES);
    printf("\n%-12s %s: ", "proof", is_equal ? "equal" : "NOT EQUAL");
    if (is_newest(replay)) {
        fputs("chain value and state hash of both files\n", stdout);
    } else {
        printf("chain value of both logs at transaction %s (the source is at %s)\n",
               text_count(replay->end_id, count), text_count(replay->source_stats.txn_id, size));
    }
}

static int prove(struct replay *replay)
{
    int code = measure(replay);
    if (code != CLI_OK) return code;
    bool is_equal = memcmp(replay->source_chain, replay->target_chain, CHAIN_BYTES) == 0;
    if (is_newest(replay)) {
        is_equal = is_equal && memcmp(replay->source_hash, replay->target_hash, HASH_BYTES) == 0;
    }
    if (cli_has(replay->args, CLI_JSON)) {
        print_json(replay, is_equal);
    } else {
        print_text(replay, is_equal);
    }
    if (is_equal) return CLI_OK;
    fflush(stdout);
    cli_error("%s differs from %s", replay->target_path, replay->source_path);
    cli_hint("run `ns verify` on both files; if both are sound, please report this");
    return CLI_CORRUPT;
}

int cli_replay(const struct cli_args *args)
{
    struct replay replay = {
        .args = args, .source_path = args->words[0], .target_path = args->words[1]};
    int code = open_source(&replay);
    if (code == CLI_OK) code = open_target(&replay);
    if (code == CLI_OK) code = apply(&replay);
    if (code == CLI_OK) code = prove(&replay);
    code = cli_close(replay.target, code);
    return cli_close(replay.source, code);
}
