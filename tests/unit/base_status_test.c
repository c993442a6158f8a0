/* base_status_test.c: names of statuses, the error detail of a thread, conflicts. */
#include "harness/test.h"

#include <pthread.h>
#include <stdio.h>
#include "base/status.h"

static void every_status_has_its_name_and_text(void **state)
{
    (void)state;
#define CHECK_STATUS_ROW(name, value, text)                                                        \
    assert_int_equal(name, value);                                                                 \
    assert_string_equal(ns_status_name(name), #name);                                              \
    assert_string_equal(ns_status_text(name), text);
    NS_STATUS_TABLE(CHECK_STATUS_ROW)
#undef CHECK_STATUS_ROW
}

static void an_unknown_status_is_named_too(void **state)
{
    (void)state;
    assert_string_equal(ns_status_name((ns_status)21), "NS_?");
    assert_string_equal(ns_status_text((ns_status)99), "unknown status");
}

static void the_detail_is_built_outside_in(void **state)
{
    (void)state;
    ns__error_clear();
    assert_string_equal(ns_error_detail(), "");
    assert_int_equal(ns__error(NS_IO, "read at %d", 7), NS_IO);
    ns__error_prefix("open %s", "app.ns");
    assert_string_equal(ns_error_detail(), "open app.ns: read at 7");
    assert_int_equal(ns__error(NS_FULL, "again: %s", ns_error_detail()), NS_FULL);
    assert_string_equal(ns_error_detail(), "again: open app.ns: read at 7");
}

static void corruption_names_its_page(void **state)
{
    (void)state;
    assert_int_equal(ns__corrupt(12, "bad %s", "checksum"), NS_CORRUPT);
    assert_string_equal(ns_error_detail(), "page 12: bad checksum");
    assert_int_equal(ns__corrupt(UINT64_MAX, "log broken"), NS_CORRUPT);
    assert_string_equal(ns_error_detail(), "log broken");
}

static void text_that_does_not_fit_is_cut(void **state)
{
    (void)state;
    char text[2 * NS__ERROR_DETAIL_BYTES];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    (void)ns__error(NS_IO, "%s", text);
    assert_int_equal(strlen(ns_error_detail()), NS__ERROR_DETAIL_BYTES - 1);
    ns__error_prefix("outside");
    assert_int_equal(strlen(ns_error_detail()), NS__ERROR_DETAIL_BYTES - 1);
    assert_memory_equal(ns_error_detail(), "outside: xx", 11);
    ns__error_prefix("%s", text);
    assert_int_equal(strlen(ns_error_detail()), NS__ERROR_DETAIL_BYTES - 1);
}

static void a_conflict_tells_key_and_winner(void **state)
{
    (void)state;
    uint64_t txn_id = 1;
    ns_slice key = ns_str("left over");
    ns__error_clear();
    CHECK_STATUS(ns_error_conflict(&key, &txn_id), NS_NOTFOUND);
    assert_int_equal(key.size, 0);
    assert_int_equal(txn_id, 0);

    char bytes[] = "a\"b\x01";
    assert_int_equal(ns__error_conflict_set(ns_bytes(bytes, 4), 42), NS_CONFLICT);
    memset(bytes, 0, sizeof bytes); /* the key is a copy */
    CHECK_OK(ns_error_conflict(&key, &txn_id));
    assert_int_equal(key.size, 4);
    assert_memory_equal(key.data, "a\"b\x01", 4);
    assert_int_equal(txn_id, 42);
    assert_string_equal(ns_error_detail(), "key \"a\\x22b\\x01\" was changed by transaction 42");
    ns__error_prefix("commit");
    CHECK_OK(ns_error_conflict(&key, &txn_id));

    (void)ns__error(NS_IO, "something else");
    CHECK_STATUS(ns_error_conflict(&key, &txn_id), NS_NOTFOUND);
}

static void a_long_conflict_key_is_cut_at_1024_bytes(void **state)
{
    (void)state;
    char bytes[1500];
    memset(bytes, 'k', sizeof bytes);
    (void)ns__error_conflict_set(ns_bytes(bytes, sizeof bytes), 1);
    ns_slice key;
    uint64_t txn_id;
    CHECK_OK(ns_error_conflict(&key, &txn_id));
    assert_int_equal(key.size, 1024);
    (void)ns__error_conflict_set(ns_bytes(NULL, 0), 1);
    CHECK_OK(ns_error_conflict(&key, &txn_id));
    assert_int_equal(key.size, 0);
}

static void a_saved_detail_outlives_a_failing_cleanup(void **state)
{
    (void)state;
    struct ns__error_saved saved;
    (void)ns__error(NS_IO, "first");
    ns__error_save(&saved);
    (void)ns__error(NS_FULL, "cleanup");
    ns__error_restore(&saved);
    assert_string_equal(ns_error_detail(), "first");
}

static void a_saved_conflict_outlives_another_conflict(void **state)
{
    (void)state;
    struct ns__error_saved saved;
    char bytes[NS__ERROR_CONFLICT_KEY_BYTES];
    memset(bytes, 'k', sizeof bytes);
    (void)ns__error_conflict_set(ns_bytes(bytes, sizeof bytes), 42);
    ns__error_save(&saved);
    char detail[NS__ERROR_DETAIL_BYTES];
    (void)snprintf(detail, sizeof detail, "%s", ns_error_detail());
    (void)ns__error_conflict_set(ns_str("other"), 7);
    (void)ns__error(NS_IO, "cleanup");
    ns__error_restore(&saved);
    ns_slice key;
    uint64_t txn_id;
    CHECK_OK(ns_error_conflict(&key, &txn_id));
    assert_int_equal(key.size, sizeof bytes);
    assert_memory_equal(key.data, bytes, sizeof bytes);
    assert_int_equal(txn_id, 42);
    assert_string_equal(ns_error_detail(), detail);
    memset(&saved, 0, sizeof saved); /* the key is this thread's own again */
    CHECK_OK(ns_error_conflict(&key, NULL));
    assert_memory_equal(key.data, bytes, sizeof bytes);
}

static void a_saved_want_of_conflict_is_restored_too(void **state)
{
    (void)state;
    struct ns__error_saved saved;
    (void)ns__error(NS_IO, "first");
    ns__error_save(&saved);
    (void)ns__error_conflict_set(ns_str("cleanup"), 7);
    ns__error_restore(&saved);
    ns_slice key;
    uint64_t txn_id;
    CHECK_STATUS(ns_error_conflict(&key, &txn_id), NS_NOTFOUND);
    assert_int_equal(key.size, 0);
    assert_int_equal(txn_id, 0);
    assert_string_equal(ns_error_detail(), "first");
}

static void *detail_of_new_thread(void *ctx)
{
    char *found = ctx;
    (void)snprintf(found, 32, "%s", ns_error_detail());
    (void)ns__error(NS_IO, "of the other thread");
    return NULL;
}

static void each_thread_has_its_own_detail(void **state)
{
    (void)state;
    char found[32] = "unset";
    (void)ns__error(NS_IO, "mine");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, detail_of_new_thread, found), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(found, "");
    assert_string_equal(ns_error_detail(), "mine");
}

static ns_status tried(ns_status status, int *after)
{
    NS_TRY(status);
    *after = 1;
    return NS_OK;
}

static void ns_try_returns_failures_only(void **state)
{
    (void)state;
    int after = 0;
    assert_int_equal(tried(NS_BUSY, &after), NS_BUSY);
    assert_int_equal(after, 0);
    assert_int_equal(tried(NS_OK, &after), NS_OK);
    assert_int_equal(after, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_name_and_text),
        cmocka_unit_test(an_unknown_status_is_named_too),
        cmocka_unit_test(the_detail_is_built_outside_in),
        cmocka_unit_test(corruption_names_its_page),
        cmocka_unit_test(text_that_does_not_fit_is_cut),
        cmocka_unit_test(a_conflict_tells_key_and_winner),
        cmocka_unit_test(a_long_conflict_key_is_cut_at_1024_bytes),
        cmocka_unit_test(a_saved_detail_outlives_a_failing_cleanup),
        cmocka_unit_test(a_saved_conflict_outlives_another_conflict),
        cmocka_unit_test(a_saved_want_of_conflict_is_restored_too),
        cmocka_unit_test(each_thread_has_its_own_detail),
        cmocka_unit_test(ns_try_returns_failures_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
