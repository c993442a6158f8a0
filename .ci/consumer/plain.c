/* plain.c: the smallest honest user of the library: one value in, the same value out. */
#include <northstar.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    ns_db *db = NULL;
    ns_txn *txn = NULL;
    ns_slice value = {NULL, 0};
    if (argc != 2) return 2;
    if (ns_db_open(argv[1], NULL, &db) != NS_OK) return puts(ns_error_detail()), 1;
    if (ns_txn_begin(db, NS_WRITE, &txn) != NS_OK) return puts(ns_error_detail()), 1;
    if (ns_txn_put(txn, NS_MAIN, ns_str("colour"), ns_str("blue")) != NS_OK) return 1;
    if (ns_txn_commit(txn, NULL) != NS_OK) return puts(ns_error_detail()), 1;
    if (ns_txn_begin(db, NS_READ, &txn) != NS_OK) return puts(ns_error_detail()), 1;
    if (ns_txn_get(txn, NS_MAIN, ns_str("colour"), &value) != NS_OK) return 1;
    if (value.size != 4 || memcmp(value.data, "blue", 4) != 0) return 1;
    ns_txn_abort(txn);
    return ns_db_close(db) == NS_OK ? 0 : 1;
}
