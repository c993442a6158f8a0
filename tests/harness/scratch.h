/* harness/scratch.h: a directory of its own for tests that need real files, below the working
 * directory, removed with its files at the end. */
#ifndef NS_TESTS_HARNESS_SCRATCH_H
#define NS_TESTS_HARNESS_SCRATCH_H

#include <stddef.h>

#define SCRATCH_PATH_BYTES 512u

struct scratch {
    char directory[128];
};

void scratch_init(struct scratch *scratch);
void scratch_deinit(struct scratch *scratch);
/* The path of a file in it. */
void scratch_path(const struct scratch *scratch, const char *name,
                  char path_out[SCRATCH_PATH_BYTES]);

#endif /* NS_TESTS_HARNESS_SCRATCH_H */
