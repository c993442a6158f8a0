/* health.c: may this handle write? Poison, read-only, broken invariants, fork. */
#include <stdio.h>
#include "db/db.h"

static uint64_t forks; /* atomic: how many times this process was forked off */
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void count_fork(void)
{
    ns__atomic_add(&forks, 1);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

uint64_t ns__fork_count(void)
{
    pthread_once(&fork_once, watch_forks);
    return ns__atomic_load_relaxed(&forks);
}

ns_status ns__db_usable(const struct ns_db *db)
{
    if (db == NULL) return ns__error(NS_INVALID, "the database handle is NULL");
    if (db->fork_count != ns__atomic_load_relaxed(&forks)) {
        return ns__error(NS_FORKED,
                         "the handle of %s was opened before fork(); open a new one here",
                         db->path != NULL ? db->path : "this database");
    }
    return NS_OK;
}

void ns__db_event(struct ns_db *db, ns_event_kind kind, ns_status status, uint64_t txn_id,
                  uint64_t a, uint64_t b, const char *detail)
{
    if (db->options.on_event == NULL) return;
    struct ns_event event = {
        .kind = kind, .status = status, .txn_id = txn_id, .a = a, .b = b, .detail = detail};
    db->options.on_event(db->options.event_ctx, &event);
}

void ns__db_poison(struct ns_db *db, ns_status cause)
{
    static pthread_mutex_t first_only = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&first_only);
    bool is_first = ns__atomic_load(&db->poison) == 0;
    if (is_first) {
        snprintf(db->poison_text, sizeof db->poison_text, "%s", ns_error_detail());
        ns__atomic_store(&db->poison, cause);
    }
    pthread_mutex_unlock(&first_only);
    NS__MARK(poisoned);
    if (is_first) ns__db_event(db, NS_EVENT_POISONED, cause, 0, 0, 0, db->poison_text);
}

ns_status ns__db_may_write(struct ns_db *db)
{
    if ((db->options.flags & NS_RDONLY) != 0) {
        return ns__error(NS_READONLY, "%s is open with NS_RDONLY",
                         db->path != NULL ? db->path : "the database");
    }
    const char *broken = ns__assert_broken();
    if (broken != NULL) {
        ns__error(NS_INTERNAL, "an invariant of the library is broken: %s", broken);
        if (ns__atomic_load(&db->poison) == 0) ns__db_poison(db, NS_INTERNAL);
        return ns__error(NS_INTERNAL, "an invariant of the library is broken: %s", broken);
    }
    if (ns__atomic_load(&db->poison) != 0) {
        return ns__error(NS_POISONED, "no more writes through this handle, because: %s",
                         db->poison_text);
    }
    return NS_OK;
}
