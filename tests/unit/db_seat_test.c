/* db_seat_test.c: the writer's seat: first come, first served; a bounded wait that says who is
 * in it; never a deadlock with oneself. */
#include "harness/test.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include "db/db.h"

#define THREADS 8u

static ns_db *open_in_memory(void)
{
    ns_db *db;
    ns_options options = {.flags = NS_IN_MEMORY | NS_NO_THREADS, .busy_timeout_ms = 30};
    CHECK_OK(ns_db_open(NULL, &options, &db));
    return db;
}

/* The checker: nobody is in the seat or waits for it, and it can be had. */
static void close_checked(ns_db *db)
{
    assert_false(db->seat.is_taken);
    assert_null(db->seat.first);
    assert_null(db->seat.last);
    CHECK_OK(ns__seat_take(db, 0));
    assert_true(ns__seat_is_mine(db));
    ns__seat_give(db);
    assert_false(ns__seat_is_mine(db));
    CHECK_OK(ns_db_close(db));
}

static uint64_t now_ms(void)
{
    struct timespec at;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &at), 0);
    return (uint64_t)at.tv_sec * 1000 + (uint64_t)at.tv_nsec / 1000000;
}

static void sleep_ms(long ms)
{
    struct timespec pause = {0, ms * 1000000};
    assert_int_equal(nanosleep(&pause, NULL), 0);
}

/* ---- waiters in threads ---- */

static uint32_t order[THREADS], order_count; /* under the seat */

struct waiter {
    pthread_t thread;
    ns_db *db;
    uint32_t index, timeout_ms;
    ns_status status;
    uint64_t waited_ms;
    bool was_mine;
    char detail[256];
};

static void *wait_for_seat(void *argument)
{
    struct waiter *waiter = argument;
    uint64_t began = now_ms();
    waiter->status = ns__seat_take(waiter->db, waiter->timeout_ms);
    waiter->waited_ms = now_ms() - began;
    waiter->was_mine = ns__seat_is_mine(waiter->db);
    if (waiter->status == NS_OK) {
        order[order_count++] = waiter->index;
        ns__seat_give(waiter->db);
    } else {
        (void)snprintf(waiter->detail, sizeof waiter->detail, "%s", ns_error_detail());
    }
    return NULL;
}

static struct ns__seat_waiter *last_of(ns_db *db)
{
    pthread_mutex_lock(&db->seat.lock);
    struct ns__seat_waiter *last = db->seat.last;
    pthread_mutex_unlock(&db->seat.lock);
    return last;
}

/* Starts a waiter and returns once it is in the queue. */
static void queue(ns_db *db, struct waiter *waiter, uint32_t index, uint32_t timeout_ms)
{
    struct ns__seat_waiter *before = last_of(db);
    *waiter = (struct waiter){.db = db, .index = index, .timeout_ms = timeout_ms};
    assert_int_equal(pthread_create(&waiter->thread, NULL, wait_for_seat, waiter), 0);
    while (last_of(db) == before)
        sleep_ms(1);
}

static void join(struct waiter *waiter)
{
    assert_int_equal(pthread_join(waiter->thread, NULL), 0);
}

/* ---- tests ---- */

static void first_come_first_served(void **state)
{
    (void)state;
    ns_db *db = open_in_memory();
    struct waiter waiters[THREADS];
    order_count = 0;
    CHECK_OK(ns__seat_take(db, 0));
    for (uint32_t i = 0; i < THREADS; i++)
        queue(db, &waiters[i], i, UINT32_MAX);
    ns__seat_give(db);
    for (uint32_t i = 0; i < THREADS; i++) {
        join(&waiters[i]);
        CHECK_OK(waiters[i].status);
        assert_true(waiters[i].was_mine);
    }
    assert_int_equal(order_count, THREADS);
    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(order[i], i);
    close_checked(db);
}

static void a_wait_ends_in_time_and_says_why(void **state)
{
    (void)state;
    const uint32_t timeouts[] = {0, 1, 40};
    ns_db *db = open_in_memory();
    CHECK_OK(ns__seat_take(db, 0));
    sleep_ms(20);
    for (size_t i = 0; i < 3; i++) {
        struct waiter waiter = {.db = db, .timeout_ms = timeouts[i]};
        char text[64];
        assert_int_equal(pthread_create(&waiter.thread, NULL, wait_for_seat, &waiter), 0);
        join(&waiter);
        CHECK_STATUS(waiter.status, NS_BUSY);
        assert_false(waiter.was_mine);
        assert_true(waiter.waited_ms + 1 >= timeouts[i] && waiter.waited_ms < 5000);
        (void)snprintf(text, sizeof text, "waited %u ms for the writer's seat", timeouts[i]);
        assert_non_null(strstr(waiter.detail, text));
        unsigned long long held = 0;
        const char *figure = strstr(waiter.detail, "has held it for ");
        assert_non_null(figure);
        assert_int_equal(sscanf(figure, "has held it for %llu ms", &held), 1);
        assert_true(held >= 20 && held < 60000);
    }
    ns__seat_give(db);
    close_checked(db);
}

static void who_gives_up_leaves_the_others_in_order(void **state)
{
    (void)state;
    for (uint32_t quitter = 0; quitter < 4; quitter++) { /* first, in the middle, last; 3: two */
        ns_db *db = open_in_memory();
        struct waiter waiters[4];
        order_count = 0;
        CHECK_OK(ns__seat_take(db, 0));
        for (uint32_t i = 0; i < 3; i++) {
            bool quits = quitter == 3 ? i > 0 : i == quitter;
            queue(db, &waiters[i], i, quits ? 15 : UINT32_MAX);
        }
        for (uint32_t i = 0; i < 3; i++) {
            if (waiters[i].timeout_ms == UINT32_MAX) continue;
            join(&waiters[i]);
            CHECK_STATUS(waiters[i].status, NS_BUSY);
        }
        queue(db, &waiters[3], 3, UINT32_MAX);
        ns__seat_give(db);
        for (uint32_t i = 0; i < 4; i++) {
            if (waiters[i].timeout_ms != UINT32_MAX) continue;
            join(&waiters[i]);
            CHECK_OK(waiters[i].status);
        }
        assert_int_equal(order_count, quitter == 3 ? 2 : 3);
        for (uint32_t i = 1; i < order_count; i++)
            assert_true(order[i - 1] < order[i]);
        close_checked(db);
    }
}

static void waiting_for_oneself_is_busy_at_once(void **state)
{
    (void)state;
    ns_db *db = open_in_memory();
    uint64_t began = now_ms();
    CHECK_OK(ns__seat_take(db, 0));
    CHECK_STATUS(ns__seat_take(db, UINT32_MAX), NS_BUSY);
    assert_non_null(strstr(ns_error_detail(), "this thread has an NS_WRITE transaction open"));
    ns__seat_give(db);
    ns_txn *first, *second;
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &first));
    db->options.busy_timeout_ms = UINT32_MAX;
    CHECK_STATUS(ns_txn_begin(db, NS_WRITE, &second), NS_BUSY);
    assert_null(second);
    assert_non_null(strstr(ns_error_detail(), "end it first"));
    CHECK_STATUS(ns_db_checkpoint(db), NS_BUSY);
    ns_txn_abort(first);
    assert_true(now_ms() - began < 3000);
    close_checked(db);
}

static void every_way_to_end_a_writer_gives_the_seat_back(void **state)
{
    (void)state;
    ns_db *db = open_in_memory();
    for (int way = 0; way < 4; way++) {
        ns_txn *txn;
        CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
        assert_true(ns__seat_is_mine(db));
        if (way > 1) CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str("k"), ns_str("v")));
        if (way % 2 == 0)
            ns_txn_abort(txn);
        else
            CHECK_OK(ns_txn_commit(txn, NULL));
        assert_false(ns__seat_is_mine(db));
    }
    close_checked(db);
}

/* ---- many at once ---- */

static uint64_t inside, entered; /* under the seat */

static void *come_and_go(void *argument)
{
    struct waiter *waiter = argument;
    for (uint32_t i = 0; i < 400; i++) {
        ns_status status = ns__seat_take(waiter->db, i % 3 == 0 ? 0 : i % 3 == 1 ? 1 : UINT32_MAX);
        if (status != NS_OK) {
            if (status != NS_BUSY) waiter->status = status;
            continue;
        }
        if (inside != 0) waiter->status = NS_INTERNAL;
        inside++;
        entered++;
        inside--;
        ns__seat_give(waiter->db);
    }
    return NULL;
}

static void only_one_is_ever_in_it_and_no_grant_is_lost(void **state)
{
    (void)state;
    ns_db *db = open_in_memory();
    struct waiter waiters[4] = {0};
    inside = entered = 0;
    for (uint32_t i = 0; i < 4; i++) {
        waiters[i].db = db;
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, come_and_go, &waiters[i]), 0);
    }
    for (uint32_t i = 0; i < 4; i++) {
        join(&waiters[i]);
        CHECK_OK(waiters[i].status);
    }
    assert_true(entered >= 4 * 133);
    close_checked(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_come_first_served),
        cmocka_unit_test(a_wait_ends_in_time_and_says_why),
        cmocka_unit_test(who_gives_up_leaves_the_others_in_order),
        cmocka_unit_test(waiting_for_oneself_is_busy_at_once),
        cmocka_unit_test(every_way_to_end_a_writer_gives_the_seat_back),
        cmocka_unit_test(only_one_is_ever_in_it_and_no_grant_is_lost),
    };
    return cmocka_run_group_tests_name("db_seat", tests, NULL, NULL);
}
