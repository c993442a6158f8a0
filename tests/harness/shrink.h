/* harness/shrink.h: makes a failing history small: removes steps as long as it still fails (ddmin),
 * then lowers its numbers. Every attempt runs in a process of its own, so that a crash is a failure
 * like any other. */
#ifndef NS_TESTS_HARNESS_SHRINK_H
#define NS_TESTS_HARNESS_SHRINK_H

#include "harness/driver.h"

struct shrink_result {
    uint64_t attempts;
    char text[DRIVER_TEXT_BYTES]; /* of the smallest failing history */
};

/* Runs the history in a child. True if it failed; text says how. */
bool shrink_fails(const struct history *history, const struct driver_options *options,
                  unsigned timeout_s, char text[DRIVER_TEXT_BYTES]);

/* history fails, and becomes a smaller one that fails. Takes about seconds at most. */
void shrink_history(struct history *history, const struct driver_options *options, unsigned seconds,
                    struct shrink_result *result_out);

#endif /* NS_TESTS_HARNESS_SHRINK_H */
