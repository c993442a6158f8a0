/* workloads.h: the workloads, in groups. A group is one process: it opens the store, measures, and
 * closes it. The groups of one directory run in the order of the table in main.c. */
#ifndef NS_BENCH_PEERS_WORKLOADS_H
#define NS_BENCH_PEERS_WORKLOADS_H

#include "peers/harness.h"

#define LOAD_BATCH 1000u

/* Puts version of all entries, in the order of keys (NULL: the data's own), LOAD_BATCH to a
 * transaction. */
void load_all(const struct plan *plan, void *session, peer_key *keys, uint64_t version);

/* load.c */
void group_seq(const struct plan *plan);  /* load_seq, in a fresh directory */
void group_load(const struct plan *plan); /* load_random and its file, in a fresh directory */
void group_big(const struct plan *plan);  /* load_k and get_k: 1 KiB values, a fresh directory */

/* read.c */
void group_read(const struct plan *plan);
/* Gets of every key of keys in a snapshot of session, once for warmth and once for the clock. */
double gets_per_second(const struct plan *plan, void *session, peer_key *keys, const char *check);

/* write.c */
void group_rewrite(const struct plan *plan); /* every key three times, and the file after it */
void group_update(const struct plan *plan);  /* update, commit_lazy, mixed_get, mixed_put */
void group_delete(const struct plan *plan);

/* durable.c */
void group_durable(const struct plan *plan);

/* recover.c */
void group_open(const struct plan *plan);  /* open_warm, open_cold */
void group_crash(const struct plan *plan); /* crash_open, crash_lost, in a fresh directory */

#endif
