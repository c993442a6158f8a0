/* api_threads_test.c: readers beside a writer beside the checkpoint helper. A writer moves money
 * between accounts; the sum never changes, so every snapshot can be judged by itself, whatever the
 * timing. Meant for the thread sanitizer too. NS_THREADS_SECONDS sets the duration (default 2). */
#include "harness/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <northstar/log.h>
#include "base/atomic.h"
#include "base/prng.h"
#include "vfs/mem.h"

#define ACCOUNTS 400u
#define BALANCE 1000u
#define READERS 3u

struct bank {
    ns_db *db;
    uint64_t stop;      /* atomic */
    uint64_t snapshots; /* atomic: judged so far */
    uint64_t committed; /* atomic: newest id that a commit returned */
    uint64_t wrong;     /* atomic */
};

static void account_key(uint64_t account, uint8_t key[16])
{
    memset(key, 'a', 16);
    for (int i = 0; i < 8; i++)
        key[i] = (uint8_t)((account * 2654435761u) >> (8 * i));
    memcpy(key + 8, &account, 8);
}

/* Balances come with padding, so that pages split and values spill over. */
static ns_slice balance_value(uint64_t balance, uint64_t salt, uint8_t *buffer)
{
    size_t size = 8 + (size_t)(salt % 120);
    memset(buffer, (int)(balance & 0xff), size);
    memcpy(buffer, &balance, 8);
    return ns_bytes(buffer, size);
}

static ns_status transfer(struct bank *bank, struct ns__prng *prng)
{
    ns_txn *txn;
    uint8_t keys[2][16];
    uint64_t balances[2];
    uint8_t buffer[256];
    uint64_t id = 0;
    ns_status status = ns_txn_begin(bank->db, NS_WRITE, &txn);
    if (status != NS_OK) return status;
    for (int moves = 0; moves < 5 && status == NS_OK; moves++) {
        uint64_t from = ns__prng_below(prng, ACCOUNTS);
        uint64_t to = (from + 1 + ns__prng_below(prng, ACCOUNTS - 1)) % ACCOUNTS;
        account_key(from, keys[0]);
        account_key(to, keys[1]);
        for (int i = 0; i < 2 && status == NS_OK; i++) {
            ns_slice value;
            status = ns_txn_get(txn, NS_MAIN, ns_bytes(keys[i], 16), &value);
            if (status == NS_OK) memcpy(&balances[i], value.data, 8);
        }
        uint64_t amount = status == NS_OK ? ns__prng_below(prng, balances[0] + 1) : 0;
        balances[0] -= amount;
        balances[1] += amount;
        for (int i = 0; i < 2 && status == NS_OK; i++) {
            status = ns_txn_put(txn, NS_MAIN, ns_bytes(keys[i], 16),
                                balance_value(balances[i], ns__prng_next(prng), buffer));
        }
    }
    if (status != NS_OK) {
        ns_txn_abort(txn);
        return status;
    }
    status = ns_txn_commit(txn, &id);
    if (status == NS_OK) ns__atomic_store(&bank->committed, id);
    return status;
}

static void *write_transfers(void *argument)
{
    struct bank *bank = argument;
    struct ns__prng prng = {77};
    while (ns__atomic_load(&bank->stop) == 0) {
        ns_status status = transfer(bank, &prng);
        if (status == NS_OK) continue;
        print_error("writer: %s: %s\n", ns_status_name(status), ns_error_detail());
        ns__atomic_add(&bank->wrong, 1);
        break;
    }
    return NULL;
}

/* The sum and number of accounts in this snapshot, or a failure. */
static bool is_consistent(ns_txn *txn, bool backward)
{
    ns_cursor *cursor;
    uint64_t sum = 0;
    uint64_t count = 0;
    ns_status status = ns_cursor_open(txn, NS_MAIN, &cursor);
    if (status != NS_OK) return false;
    while ((status = backward ? ns_cursor_prev(cursor) : ns_cursor_next(cursor)) == NS_OK) {
        uint64_t balance;
        memcpy(&balance, ns_cursor_value(cursor).data, 8);
        sum += balance;
        count++;
    }
    if (backward && count == 0) {
        for (status = ns_cursor_last(cursor); status == NS_OK; status = ns_cursor_prev(cursor)) {
            uint64_t balance;
            memcpy(&balance, ns_cursor_value(cursor).data, 8);
            sum += balance;
            count++;
        }
    }
    ns_cursor_close(cursor);
    return status == NS_NOTFOUND && count == ACCOUNTS && sum == (uint64_t)ACCOUNTS * BALANCE;
}

static bool judge_snapshot(struct bank *bank, ns_txn *txn, struct ns__prng *prng, uint64_t floor)
{
    uint8_t first[16];
    uint8_t second[16];
    if (ns_txn_id(txn) < floor) {
        print_error("a snapshot at %llu, begun after %llu was committed\n",
                    (unsigned long long)ns_txn_id(txn), (unsigned long long)floor);
        return false;
    }
    bool is_good = is_consistent(txn, ns__prng_below(prng, 2) != 0);
    if (ns__prng_below(prng, 8) == 0) { /* the same again, some commits later */
        is_good = is_good && ns_txn_state_hash(txn, first) == NS_OK;
        is_good = is_good && is_consistent(txn, false);
        is_good = is_good && ns_txn_state_hash(txn, second) == NS_OK;
        is_good = is_good && memcmp(first, second, 16) == 0;
    }
    if (!is_good) print_error("an inconsistent snapshot: %s\n", ns_error_detail());
    ns__atomic_add(&bank->snapshots, 1);
    return is_good;
}

static void *read_snapshots(void *argument)
{
    struct bank *bank = argument;
    static uint64_t seeds;
    struct ns__prng prng = {ns__atomic_add(&seeds, 1) + 5};
    ns_txn *txn = NULL;
    while (ns__atomic_load(&bank->stop) == 0) {
        uint64_t floor = ns__atomic_load(&bank->committed);
        ns_status status = NS_OK;
        if (txn == NULL) {
            status = ns_txn_begin(bank->db, NS_READ, &txn);
        } else {
            status = ns_txn_renew(txn);
        }
        if (status != NS_OK || !judge_snapshot(bank, txn, &prng, floor)) {
            ns__atomic_add(&bank->wrong, 1);
            break;
        }
        if (ns__prng_below(&prng, 3) == 0) {
            ns_txn_abort(txn);
            txn = NULL;
        } else if (ns_txn_reset(txn) != NS_OK) {
            ns__atomic_add(&bank->wrong, 1);
            break;
        }
    }
    ns_txn_abort(txn);
    return NULL;
}

/* Follows the log while it is written. */
static void *follow_log(void *argument)
{
    struct bank *bank = argument;
    ns_log *log;
    struct ns_commit commit;
    uint64_t last = ns__atomic_load(&bank->committed);
    if (ns_log_open(bank->db, last, &log) != NS_OK) {
        ns__atomic_add(&bank->wrong, 1);
        return NULL;
    }
    while (ns__atomic_load(&bank->stop) == 0) {
        ns_status status = ns_log_wait(log, 20);
        if (status == NS_TIMEOUT) continue;
        status = ns_log_next(log, &commit);
        if (status == NS_GONE) break;
        if (status != NS_OK || commit.txn_id != ++last) {
            print_error("log: %s, record %llu: %s\n", ns_status_name(status),
                        (unsigned long long)commit.txn_id, ns_error_detail());
            ns__atomic_add(&bank->wrong, 1);
            break;
        }
    }
    ns_log_close(log);
    return NULL;
}

static void *checkpoint_often(void *argument)
{
    struct bank *bank = argument;
    while (ns__atomic_load(&bank->stop) == 0) {
        const struct timespec pause = {0, 20 * 1000 * 1000};
        ns_status status = ns_db_checkpoint(bank->db);
        if (status != NS_OK) {
            print_error("checkpoint: %s: %s\n", ns_status_name(status), ns_error_detail());
            ns__atomic_add(&bank->wrong, 1);
            break;
        }
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void open_accounts(struct bank *bank)
{
    ns_txn *txn;
    uint64_t id;
    uint8_t key[16];
    uint8_t buffer[256];
    CHECK_OK(ns_txn_begin(bank->db, NS_WRITE, &txn));
    for (uint64_t i = 0; i < ACCOUNTS; i++) {
        account_key(i, key);
        CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_bytes(key, 16), balance_value(BALANCE, i, buffer)));
    }
    CHECK_OK(ns_txn_commit(txn, &id));
    ns__atomic_store(&bank->committed, id);
}

static void run_bank(struct bank *bank, bool extra_checkpoints)
{
    pthread_t threads[READERS + 3];
    size_t count = 0;
    const char *text = getenv("NS_THREADS_SECONDS");
    const struct timespec pause = {text != NULL ? atoi(text) : 2, 0};
    assert_int_equal(pthread_create(&threads[count++], NULL, write_transfers, bank), 0);
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[count++], NULL, read_snapshots, bank), 0);
    }
    assert_int_equal(pthread_create(&threads[count++], NULL, follow_log, bank), 0);
    if (extra_checkpoints) {
        assert_int_equal(pthread_create(&threads[count++], NULL, checkpoint_often, bank), 0);
    }
    nanosleep(&pause, NULL);
    ns__atomic_store(&bank->stop, 1);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(ns__atomic_load(&bank->wrong), 0);
    print_message("threads: %llu commits, %llu snapshots judged\n",
                  (unsigned long long)ns__atomic_load(&bank->committed),
                  (unsigned long long)ns__atomic_load(&bank->snapshots));
    assert_true(ns__atomic_load(&bank->snapshots) > 0);
}

static void check_bank(bool is_off, uint64_t frame_kib, bool extra_checkpoints, ns_history history)
{
    struct ns__mem *mem;
    struct bank bank = {NULL, 0, 0, 0, 0};
    ns_options with;
    ns_txn *txn;
    memset(&with, 0, sizeof with);
    CHECK_OK(ns__mem_new(0, 1, NULL, &mem));
    with.vfs = ns__mem_vfs(mem);
    with.sync = is_off ? NS_SYNC_OFF : NS_SYNC_FULL;
    with.history = history;
    with.checkpoint_bytes = 128 << 10;
    with.frame_bytes = frame_kib << 10;
    CHECK_OK(ns_db_open("bank.ns", &with, &bank.db));
    open_accounts(&bank);
    run_bank(&bank, extra_checkpoints);
    CHECK_OK(ns_db_close(bank.db));
    CHECK_OK(ns_db_verify("bank.ns", &with, NULL, NULL));
    CHECK_OK(ns_db_open("bank.ns", &with, &bank.db));
    CHECK_OK(ns_txn_begin(bank.db, NS_READ, &txn));
    assert_int_equal(ns_txn_id(txn), ns__atomic_load(&bank.committed));
    assert_true(is_consistent(txn, false));
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(bank.db));
    ns__mem_free(mem);
}

static void snapshots_are_consistent_beside_a_writer(void **state)
{
    (void)state;
    check_bank(true, 8192, false, NS_HISTORY_ALL);
}

static void snapshots_are_consistent_with_few_frames_and_many_checkpoints(void **state)
{
    (void)state;
    check_bank(false, 256, true, NS_HISTORY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots_are_consistent_beside_a_writer),
        cmocka_unit_test(snapshots_are_consistent_with_few_frames_and_many_checkpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
