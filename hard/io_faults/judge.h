/* io_faults/judge.h: after a run with a fault: power cuts, restarts and second faults, and what
 * each may show. */
#ifndef NS_HARD_IO_FAULTS_JUDGE_H
#define NS_HARD_IO_FAULTS_JUDGE_H

#include "io_faults/script.h"
#include "vfs/mem.h"

enum io_figure {
    FIGURE_SCRIPTS,
    FIGURE_CALLS,    /* vfs calls of the clean runs: each was made to fail */
    FIGURE_FAULTS,   /* runs with a fault: calls x statuses x once, for ever, its kind for ever */
    FIGURE_STATUSES, /* different statuses that the API answered */
    FIGURE_SYNCS,    /* runs with a failing sync in one of the four modes */
    FIGURE_SECOND,   /* openings that met a second fault */
    FIGURE_REOPENED, /* openings that were judged */
    FIGURE_CUTS,     /* power cuts */
    FIGURE_ROTTEN,   /* NS_CORRUPT from openings after a sync that had lied: allowed there only */
    FIGURE_LEFT,     /* cases for which there was no time */
    FIGURE_COUNT
};

/* Which statuses a call of that kind can give; ends with NS_OK. */
const ns_status *judge_statuses(enum ns__mem_call kind);

/* The script has run in mem, the fault may still burn. Closes the run's handle. all_second: every
 * call of the recovery fails once, not one of them. */
void judge(struct run *run, struct ns__mem *mem, uint64_t chance, bool all_second);

#endif /* NS_HARD_IO_FAULTS_JUDGE_H */
