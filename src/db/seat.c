/* seat.c: the writer's seat: one at a time, first come, first served, with a bounded wait that says
 * who is in it. */
#include <errno.h>
#include "db/db.h"

struct ns__seat_waiter {
    struct ns__seat_waiter *next;
    pthread_cond_t granted_now;
    pthread_t thread;
    bool is_granted;
};

void ns__seat_init(struct ns__seat *seat)
{
    *seat = (struct ns__seat){0};
    pthread_mutex_init(&seat->lock, NULL);
}

void ns__seat_deinit(struct ns__seat *seat)
{
    pthread_mutex_destroy(&seat->lock);
}

static void occupy(struct ns_db *db, pthread_t thread)
{
    db->seat.is_taken = true;
    db->seat.owner = thread;
    db->seat.since_ns = db->vfs->monotonic_ns(db->vfs->ctx);
}

static ns_status busy(struct ns_db *db, bool is_mine, uint32_t timeout_ms)
{
    uint64_t held_ms = (db->vfs->monotonic_ns(db->vfs->ctx) - db->seat.since_ns) / 1000000;
    if (is_mine) {
        return ns__error(NS_BUSY,
                         "this thread has an NS_WRITE transaction open (for %llu ms); end "
                         "it first",
                         (unsigned long long)held_ms);
    }
    return ns__error(
        NS_BUSY,
        "waited %u ms for the writer's seat; another thread's NS_WRITE transaction has "
        "held it for %llu ms",
        timeout_ms, (unsigned long long)held_ms);
}

static void leave_queue(struct ns__seat *seat, struct ns__seat_waiter *waiter)
{
    struct ns__seat_waiter **at = &seat->first;
    struct ns__seat_waiter *before = NULL;
    while (*at != waiter) {
        before = *at;
        at = &(*at)->next;
    }
    *at = waiter->next;
    if (seat->last == waiter) seat->last = before;
}

struct timespec ns__deadline(uint32_t timeout_ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_nsec -= 1000000000L;
        at.tv_sec++;
    }
    return at;
}

static bool wait_granted(struct ns__seat *seat, struct ns__seat_waiter *waiter, uint32_t timeout_ms)
{
    struct timespec deadline = ns__deadline(timeout_ms);
    int result = 0;
    while (!waiter->is_granted && result != ETIMEDOUT) {
        result = timeout_ms == UINT32_MAX
                     ? pthread_cond_wait(&waiter->granted_now, &seat->lock)
                     : pthread_cond_timedwait(&waiter->granted_now, &seat->lock, &deadline);
    }
    return waiter->is_granted;
}

static void waiter_init(struct ns__seat_waiter *waiter)
{
    *waiter = (struct ns__seat_waiter){.thread = pthread_self()};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&waiter->granted_now, &attributes);
    pthread_condattr_destroy(&attributes);
}

ns_status ns__seat_take(struct ns_db *db, uint32_t timeout_ms)
{
    struct ns__seat *seat = &db->seat;
    pthread_mutex_lock(&seat->lock);
    if (!seat->is_taken) {
        occupy(db, pthread_self());
        pthread_mutex_unlock(&seat->lock);
        return NS_OK;
    }
    ns_status status = NS_OK;
    if (pthread_equal(seat->owner, pthread_self())) {
        status = busy(db, true, 0);
    } else {
        struct ns__seat_waiter waiter;
        waiter_init(&waiter);
        if (seat->last != NULL)
            seat->last->next = &waiter;
        else
            seat->first = &waiter;
        seat->last = &waiter;
        if (!wait_granted(seat, &waiter, timeout_ms)) {
            leave_queue(seat, &waiter);
            status = busy(db, false, timeout_ms);
        }
        pthread_cond_destroy(&waiter.granted_now);
    }
    pthread_mutex_unlock(&seat->lock);
    return status;
}

void ns__seat_give(struct ns_db *db)
{
    struct ns__seat *seat = &db->seat;
    pthread_mutex_lock(&seat->lock);
    NS_ASSERT(seat->is_taken);
    struct ns__seat_waiter *next = seat->first;
    if (next == NULL) {
        seat->is_taken = false;
    } else {
        seat->first = next->next;
        if (seat->first == NULL) seat->last = NULL;
        next->is_granted = true;
        occupy(db, next->thread);
        pthread_cond_signal(&next->granted_now);
    }
    pthread_mutex_unlock(&seat->lock);
}

bool ns__seat_is_mine(struct ns_db *db)
{
    pthread_mutex_lock(&db->seat.lock);
    bool is_mine = db->seat.is_taken && pthread_equal(db->seat.owner, pthread_self());
    pthread_mutex_unlock(&db->seat.lock);
    return is_mine;
}
