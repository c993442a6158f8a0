/* all.c: every suite and every macro benchmark, in the order in which they are listed. */
#include "suites/all.h"

#include "common/bench.h"
#include "macro/all.h"

void bench_add_all(void)
{
    suite_pager();
    suite_btree_get();
    suite_btree_scan();
    suite_btree_write();
    suite_mvcc();
    suite_log();
    suite_txn();
    suite_open();
    macro_agents_day();
    macro_code_graph();
    macro_replay();
    macro_churn();
}
