/* suites/all.h: one function a suite; it registers that suite's benchmarks. */
#ifndef NS_BENCH_SUITES_ALL_H
#define NS_BENCH_SUITES_ALL_H

void suite_pager(void);
void suite_btree_get(void);
void suite_btree_scan(void);
void suite_btree_write(void);
void suite_mvcc(void);
void suite_log(void);
void suite_txn(void);
void suite_open(void);

#endif
