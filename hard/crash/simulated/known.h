/* known.h: the images that were judged, shared by the workers: an image's identity leads to what it
 * recovered to, so that meeting it again costs a look, whatever was acknowledged meanwhile. */
#ifndef NS_HARD_CRASH_SIMULATED_KNOWN_H
#define NS_HARD_CRASH_SIMULATED_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct known;

/* What an image recovered to: the transaction, and a hash of the content that the model has for it
 * (never 0). */
struct known_verdict {
    uint64_t txn_id;
    uint32_t content;
};

/* capacity: a power of two. Memory is shared with processes forked later. Ends the process when
 * there is none. */
struct known *known_new(size_t capacity);
void known_free(struct known *known);

enum known_state {
    KNOWN_NEW,    /* it is the caller's to judge, and to tell */
    KNOWN_JUDGED, /* the verdict is there */
    KNOWN_TAKEN   /* another worker is at it */
};
enum known_state known_look(struct known *known, uint64_t identity,
                            struct known_verdict *verdict_out);
void known_tell(struct known *known, uint64_t identity, const struct known_verdict *verdict);

/* Is the table nearly full? */
bool known_is_full(const struct known *known);

/* Zeroed memory that processes forked later share. */
void *known_shared(size_t bytes);

#endif
