/* images.h: what a power cut may leave of the one file of a simulated world, as images that cost a
 * few pages each.
 *
 * An image is an array of views of pages with a hash for each; its identity is their sum with the
 * size. A *base* follows the durable image of a world from call to call; subsets of what is pending
 * are laid over it. */
#ifndef NS_HARD_CRASH_SIMULATED_IMAGES_H
#define NS_HARD_CRASH_SIMULATED_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vfs/mem.h"

#define IMAGE_PATH "crash.ns"
#define IMAGE_PAGE ((size_t)4096)
#define IMAGE_PAGES_MAX 2048u

struct image {
    bool exists;
    uint64_t page_count;
    const uint8_t *pages[IMAGE_PAGES_MAX]; /* NULL: zeros */
    uint64_t hashes[IMAGE_PAGES_MAX];      /* 0 for zeros */
};

uint64_t image_identity(const struct image *image);

/* What the device does to bytes that were not synced. */
enum device {
    DEVICE_4096, /* blocks of 4096 bytes survive or not */
    DEVICE_512,
    DEVICE_TORN,  /* sectors of 512 bytes, of each a prefix of any length */
    DEVICE_STALE, /* blocks of 4096; what was allocated and not written holds old content */
    DEVICES
};
extern const char *const device_names[DEVICES];

/* How many subsets of what is pending are tried. */
struct effort {
    unsigned exhaustive; /* up to so many atoms: every subset */
    unsigned picks;      /* above: prefixes, all but one, one alone, so many of each */
    unsigned chances;    /* and so many by chance */
    unsigned tears;      /* DEVICE_TORN: so many atoms are torn alone; sets by chance as above */
};

struct base; /* follows one world */

struct base *base_new(void);
void base_free(struct base *base);
/* Follows world from now on. start: its durable image, which it was filled from; NULL: unknown. */
void base_follow(struct base *base, const struct ns__mem *world, const struct image *start);

struct atom_tally {
    uint64_t atoms; /* that change anything */
    bool is_capped; /* not all subsets were tried */
};

/* Calls each for images that may be found now, in the middle of a call or between two. The image
 * lives until the call returns. Call it, or base_pass, in the middle of every changing call of the
 * world. DEVICE_STALE needs a file that has been a database: spec/commit_v0.md, CRE-1. */
struct atom_tally
base_images(struct base *base, enum device device, const struct effort *effort, uint64_t seed,
            void (*each)(void *ctx, const struct image *image, const char *how, uint64_t number),
            void *ctx);

/* Instead of base_images, where nothing is tried. */
void base_pass(struct base *base);

#endif
