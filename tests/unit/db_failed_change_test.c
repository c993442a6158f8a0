/* db_failed_change_test.c: a transaction of which a change failed midway cannot be committed
 * (SEM-23): it can be read and aborted, further changes are refused, commit says what the change
 * said, and nothing of it is ever there. */
#include "format/small_world.h"

#define STEPS 12u

/* ---- memory that ends once ---- */

static struct {
    bool is_counting;
    uint64_t left;
    uint64_t refusals;
} memory;

static bool is_refused(void)
{
    if (!memory.is_counting || memory.left-- > 0) return false;
    memory.is_counting = false; /* once */
    memory.refusals++;
    return true;
}

static void *take(void *ctx, size_t size)
{
    (void)ctx;
    return is_refused() ? NULL : malloc(size);
}

static void *change(void *ctx, void *old, size_t old_size, size_t size)
{
    (void)ctx;
    (void)old_size;
    return is_refused() ? NULL : realloc(old, size);
}

static void give(void *ctx, void *old, size_t size)
{
    (void)ctx;
    (void)size;
    free(old);
}

static const struct ns_allocator once = {NULL, take, change, give};

/* ---- changes of every kind ---- */

static ns_status change_number(ns_txn *txn, unsigned step)
{
    static uint8_t value[100000];
    ns_keyspace keyspace;
    char key[32];
    (void)snprintf(key, sizeof key, "fresh %u", step);
    switch (step % 6) {
    case 0: return ns_txn_put(txn, NS_MAIN, ns_str(key), ns_bytes(value, sizeof value));
    case 1:
        return ns_txn_del(txn, NS_MAIN, ns_str("newest")) == NS_OK
                   ? ns_txn_put(txn, NS_MAIN, ns_str("newest"), ns_str(key))
                   : ns_txn_put(txn, NS_MAIN, ns_str(key), ns_str(key));
    case 2: return ns_txn_del_range(txn, NS_MAIN, ns_str(key), ns_str("g"));
    case 3: return ns_txn_keyspace(txn, key, &keyspace);
    case 4: return ns_txn_keyspace_drop(txn, "fresh 3") == NS_NOMEM ? NS_NOMEM : NS_OK;
    default: return ns_txn_insert(txn, NS_MAIN, ns_str(key), ns_str("new"));
    }
}

/* After the failure: read yes, change no, commit no. Nothing of it is there. */
static void check_failed(const struct small *small, ns_db *db, ns_txn *txn, ns_status failure)
{
    ns_slice value;
    ns_keyspace keyspace;
    uint64_t id = 7;
    CHECK_STATUS(ns_txn_get(txn, NS_MAIN, ns_str("no such key"), &value), NS_NOTFOUND);
    CHECK_STATUS(ns_txn_put(txn, NS_MAIN, ns_str("k"), ns_str("v")), NS_INVALID);
    CHECK_STATUS(ns_txn_insert(txn, NS_MAIN, ns_str("k"), ns_str("v")), NS_INVALID);
    CHECK_STATUS(ns_txn_del(txn, NS_MAIN, ns_str("k")), NS_INVALID);
    CHECK_STATUS(ns_txn_del_range(txn, NS_MAIN, ns_str("a"), ns_str("b")), NS_INVALID);
    CHECK_STATUS(ns_txn_keyspace(txn, "one more", &keyspace), NS_INVALID);
    CHECK_STATUS(ns_txn_keyspace_drop(txn, "side"), NS_INVALID);
    CHECK_STATUS(ns_txn_commit(txn, &id), failure);
    assert_int_equal(id, 0);
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    assert_int_equal(ns_txn_id(txn), small->newest);
    assert_int_equal(small_read(txn, small->states[small->newest]), SMALL_WHOLE);
    ns_txn_abort(txn);
}

/* Refuses the nth request for memory of a transaction. True: a change failed of it. */
static bool fail_nth(const struct small *small, ns_db *db, uint64_t nth)
{
    ns_txn *txn;
    ns_status status = NS_OK;
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    memory.left = nth;
    memory.is_counting = true;
    for (unsigned step = 0; step < STEPS && status == NS_OK; step++)
        status = change_number(txn, step);
    memory.is_counting = false;
    if (status == NS_OK) {
        ns_txn_abort(txn);
        return false;
    }
    assert_int_equal(status, NS_NOMEM);
    check_failed(small, db, txn, NS_NOMEM);
    return true;
}

/* A handle of its own each time: what an arena keeps from earlier would need no memory. */
static void after_want_of_memory_commit_refuses(void **state)
{
    struct small small;
    ns_db *db;
    uint64_t failures = 0;
    (void)state;
    small_init(&small, 0, 111);
    small.with.allocator = &once;
    CHECK_OK(ns_db_open(SMALL_PATH, &small.with, &db));
    for (unsigned i = 0; i < 5; i++)
        small_commit(&small, db, 30);
    CHECK_OK(ns_db_close(db));
    memory.refusals = 0;
    for (uint64_t nth = 0;; nth++) {
        CHECK_OK(ns_db_open(SMALL_PATH, &small.with, &db));
        uint64_t before = memory.refusals;
        failures += fail_nth(&small, db, nth);
        bool is_over = memory.refusals == before; /* it was never asked so often */
        small_commit(&small, db, 10);             /* the handle goes on */
        CHECK_OK(ns_db_close(db));
        if (is_over) break;
    }
    print_message("%llu requests for memory refused, %llu changes failed of it\n",
                  (unsigned long long)memory.refusals, (unsigned long long)failures);
    assert_true(failures >= 3);
    CHECK_OK(ns_db_verify(SMALL_PATH, &small.with, NULL, NULL));
    small_deinit(&small);
}

/* A delete has to read what it deletes. */
static void after_corruption_commit_refuses(void **state)
{
    struct small small;
    ns_db *db;
    ns_txn *txn;
    size_t size;
    (void)state;
    small_init(&small, 0, 112);
    CHECK_OK(ns_db_open(SMALL_PATH, &small.with, &db));
    for (unsigned i = 0; i < 5; i++)
        small_commit(&small, db, 60);
    CHECK_OK(ns_db_close(db));
    uint8_t *bytes = small_bytes(&small, &size);
    for (size_t at = (size_t)31 * 4096; at + 4096 <= size; at += 4096) {
        if (bytes[at + 16] == 1 && bytes[at + 17] == 0) bytes[at + 20] ^= 0xff; /* leaves */
    }
    CHECK_OK(ns_db_open(SMALL_PATH, &small.with, &db));
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("k"), ns_str("v")));
    CHECK_STATUS(ns_txn_del(txn, NS_MAIN, ns_str("newest")), NS_CORRUPT);
    CHECK_STATUS(ns_txn_put(txn, NS_MAIN, ns_str("k"), ns_str("w")), NS_INVALID);
    CHECK_STATUS(ns_txn_commit(txn, NULL), NS_CORRUPT);
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    assert_int_equal(ns_txn_id(txn), small.newest);
    ns_txn_abort(txn);
    ns_status status = ns_db_close(db);
    assert_true(status == NS_OK || small_is_refusal(status));
    small_deinit(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_want_of_memory_commit_refuses),
        cmocka_unit_test(after_corruption_commit_refuses),
    };
    return cmocka_run_group_tests_name("db_failed_change", tests, NULL, NULL);
}
