/* progress.h: a line on standard error that shows how far long work has come. Drawn only when
 * standard error is a terminal, at most ten times a second, and not before half a second has
 * passed. */
#ifndef NS_TOOLS_PROGRESS_H
#define NS_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *label;
    const char *unit; /* of done and total: "files" */
    uint64_t total;
    uint64_t begin_ns, drawn_ns;
    bool is_on, is_drawn;
};

void progress_begin(struct progress *progress, const char *label, const char *unit, uint64_t total);
void progress_update(struct progress *progress, uint64_t done);
/* Clears the line. Also before other output to the terminal; the next update draws it again. */
void progress_clear(struct progress *progress);

#endif
