/* unsupported.c: what northstar.h promises for a later version. */
#include "db/db.h"

static ns_status later(const char *what)
{
    return ns__error(NS_UNSUPPORTED, "%s is not in this version", what);
}

ns_status ns_db_wait_durable(ns_db *db, uint64_t txn_id, uint32_t timeout_ms)
{
    (void)txn_id;
    (void)timeout_ms;
    NS_TRY(ns__db_usable(db));
    return later("ns_db_wait_durable");
}

ns_status ns_db_backup(ns_db *db, const char *path, const ns_backup_options *options)
{
    (void)options;
    NS_TRY(ns__db_usable(db));
    if (path == NULL) return ns__error(NS_INVALID, "ns_db_backup: path is NULL");
    return later("ns_db_backup");
}

ns_status ns_db_compact(ns_db *db, uint64_t budget_pages, uint64_t *freed_out)
{
    (void)budget_pages;
    if (freed_out != NULL) *freed_out = 0;
    NS_TRY(ns__db_usable(db));
    return later("ns_db_compact");
}

ns_status ns_txn_begin_as_of(ns_db *db, uint64_t txn_id, ns_txn **txn_out)
{
    (void)txn_id;
    if (txn_out == NULL) return ns__error(NS_INVALID, "ns_txn_begin_as_of: txn_out is NULL");
    *txn_out = NULL;
    NS_TRY(ns__db_usable(db));
    return later("ns_txn_begin_as_of");
}

ns_status ns_txn_begin_as_of_time(ns_db *db, int64_t unix_us, ns_txn **txn_out)
{
    (void)unix_us;
    if (txn_out == NULL) return ns__error(NS_INVALID, "ns_txn_begin_as_of_time: txn_out is NULL");
    *txn_out = NULL;
    NS_TRY(ns__db_usable(db));
    return later("ns_txn_begin_as_of_time");
}

ns_status ns_txn_set_sync(ns_txn *txn, ns_sync sync)
{
    NS_TRY(ns__txn_readable(txn));
    if (sync > NS_SYNC_OFF) return ns__error(NS_INVALID, "unknown sync level %u", sync);
    return later("ns_txn_set_sync");
}

ns_status ns_txn_savepoint(ns_txn *txn, uint32_t *savepoint_out)
{
    if (savepoint_out == NULL) return ns__error(NS_INVALID, "savepoint_out is NULL");
    *savepoint_out = 0;
    NS_TRY(ns__txn_readable(txn));
    return later("ns_txn_savepoint");
}

ns_status ns_txn_rollback_to(ns_txn *txn, uint32_t savepoint)
{
    (void)savepoint;
    NS_TRY(ns__txn_readable(txn));
    return later("ns_txn_rollback_to");
}
