/* quickstart.h: what the parts of the quickstart share. Public interface of the library only; names
 * shared between these files begin with qs_. */
#ifndef NS_QUICKSTART_H
#define NS_QUICKSTART_H

#include <northstar.h>
#include <northstar/log.h>

#include <stdbool.h>

#define QS_PATH_BYTES 4096
#define QS_TEXT_BYTES 64
#define QS_ID_BYTES 8u

struct qs_file {
    char *path; /* relative to the tree */
    uint64_t bytes;
};

/* Durations in nanoseconds, kept one by one, so that percentiles are exact. */
struct qs_times {
    uint64_t *ns;
    size_t count, capacity;
};

struct qs {
    /* what was asked for */
    const char *tree, *work;
    uint64_t seed;
    bool is_quick;
    uint64_t file_limit, byte_limit;
    char db_path[QS_PATH_BYTES], copy_path[QS_PATH_BYTES];
    uint64_t begin_ns;

    /* the tree */
    struct qs_file *files;
    size_t file_count, file_capacity;
    uint64_t bytes, listed_files; /* listed: before any limit */
    const char *limited_by;       /* NULL: everything is imported */
    uint64_t random;              /* state of the generator */

    /* the crash */
    uint64_t kill_after;                  /* acknowledgements */
    uint64_t acked, intended;             /* in the ledger when the child was dead */
    struct qs_times bare_writes;          /* 4 KiB, durable, in place */
    struct qs_times commits;              /* durable ones, of child and parent */
    uint64_t commit_span_ns;              /* wall time of importing, child and parent */
    uint64_t recovery_ns, recovered_txns; /* the open after the crash */
    uint64_t found, newest_id;

    /* queries */
    struct qs_times gets, snapshots;
    uint64_t get_span_ns, scanned_entries, scan_ns, prefixes, read_bytes, read_ns;

    /* the end */
    ns_db_stats_t stats;
    uint64_t verify_ns, verify_findings, replay_ns, replayed_txns, replayed_bytes;
    char figures[256];
    uint8_t hash[16], copy_hash[16];
};

/* ---- quickstart.c ---- */

/* Says what went wrong, with the library's detail if status is a failure of it. Returns false. */
bool qs_fail(ns_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *qs_grow(void *old, size_t size); /* ends the program when there is no memory */
uint64_t qs_now_ns(void);
uint64_t qs_random(struct qs *qs, uint64_t below);

/* ---- tree.c ---- */

/* Lists readable regular files under the tree in the order of their paths, up to the limits. */
bool qs_list(struct qs *qs);
/* Reads file `index` into *data_out (grown as needed). */
bool qs_read(const struct qs *qs, size_t index, uint8_t **data_out, size_t *capacity,
             size_t *size_out);

/* ---- document.c: file `index` is document index + 1, stored by transaction index + 1 ---- */

bool qs_store(const struct qs *qs, ns_db *db, size_t index, ns_slice content, uint64_t *txn_id_out,
              uint64_t *commit_ns_out);
/* Is the document there, written by transaction index + 1, with these bytes? */
bool qs_check(const struct qs *qs, ns_txn *txn, size_t index, ns_slice content);
/* Times what a durable write costs on this disk without a database, and a durable commit of the
 * size of a usual file, so that the whole stays within a minute. */
bool qs_probe(struct qs *qs, uint64_t *commit_ns_out);
ns_status qs_keyspaces(ns_txn *txn, ns_keyspace out[3]); /* path, content, size */

/* ---- the steps ---- */

bool qs_crash(struct qs *qs);   /* crash.c: import in a child, and kill it */
bool qs_recover(struct qs *qs); /* crash.c: open, compare with the ledger, import the rest */
bool qs_query(struct qs *qs);   /* query.c */
bool qs_verify(struct qs *qs);  /* prove.c */
bool qs_replay(struct qs *qs);  /* prove.c */

/* ---- report.c ---- */

void qs_times_add(struct qs_times *times, uint64_t ns);
void qs_report_begin(const struct qs *qs);
void qs_report(struct qs *qs);

#endif
