/* judge.h: what must hold of an image that a power cut left. */
#ifndef NS_HARD_CRASH_SIMULATED_JUDGE_H
#define NS_HARD_CRASH_SIMULATED_JUDGE_H

#include "images.h"
#include "known.h"
#include "scripts.h"

struct judge; /* the worlds and buffers of one worker */

struct judge *judge_new(uint64_t seed);
void judge_free(struct judge *judge);

/* Called in the middle of every changing call of the recovery of an image, and behind the last. */
struct judge_watch {
    void (*seen)(void *ctx, const struct ns__mem *world, bool is_behind);
    void *ctx;
};

/* Checks everything about the image; rack_fail if something does not hold. watch may be NULL.
 * Returns the transaction that it recovered to. */
uint64_t judge_image(struct judge *judge, const struct run *run, const struct image *image,
                     uint64_t identity, const struct judge_watch *watch);

/* Is that transaction allowed now? rack_fail if not. */
void judge_bounds(const struct run *run, uint64_t txn_id);

/* What the model says about that transaction, never 0. */
uint32_t judge_content(const struct run *run, uint64_t txn_id);

#endif
