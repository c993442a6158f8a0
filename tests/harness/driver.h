/* harness/driver.h: runs a history against the library and against the reference at once, on a
 * simulated file system, and compares after every step what a caller could see. */
#ifndef NS_TESTS_HARNESS_DRIVER_H
#define NS_TESTS_HARNESS_DRIVER_H

#include "harness/history.h"

#define DRIVER_TEXT_BYTES 1024u

struct driver_figures {
    uint64_t histories;
    uint64_t steps;
    uint64_t commits;
    uint64_t power_cuts;
    uint64_t kills;
    uint64_t reopens;
    uint64_t faults;  /* commits and checkpoints that failed as they should */
    uint64_t records; /* log records read and checked */
    uint64_t replays;
    uint64_t checks; /* full comparisons of a snapshot */
};

/* is_canary: the reference forgets every 50th put, so that the comparison must fail. */
struct driver_options {
    bool is_canary;
    bool is_traced; /* prints each step */
};

/* True if the library agreed with the reference to the end. Else text says where not. What the
 * failed run held is lost (leaked): end the process. */
bool driver_run(const struct history *history, const struct driver_options *options,
                struct driver_figures *figures, char text[DRIVER_TEXT_BYTES]);

#endif /* NS_TESTS_HARNESS_DRIVER_H */
