/* images.c: see images.h.
 *
 * A base keeps the durable image between calls. Only pages with pending bytes at the last look, or
 * now, can have changed since (C1 of src/vfs/mem_crash.c), so only those are looked at again; a new
 * durable size, or a cut, means all. Now and then all are compared.
 *
 * Which atoms count. Bytes that the medium holds already, and that no earlier atom changes, matter
 * to no image; neither does a size below the durable one. The others are the *effective* atoms, and
 * subsets are subsets of them, applied in program order.
 *
 * Which subsets. Up to effort->exhaustive effective atoms: all. Above that: prefixes, all but one
 * and one alone (each thinned out evenly, both ends included), and some by chance with one to four
 * quarters kept. DEVICE_TORN adds to the whole sectors, which DEVICE_512 has, one torn sector
 * alone, after all before it, or among all others, and by chance several at once; a tear lies
 * where it shows, between the first and the last byte that changes. */
#include "images.h"

#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/prng.h"
#include "common/rack.h"

#define SECTOR 512u
#define LOOKS_PER_CHECK 31u

const char *const device_names[DEVICES] = {"4096", "512", "torn", "stale"};

struct atom {
    enum ns__mem_atom_kind kind;
    uint64_t offset;
    size_t size;
    const uint8_t *data;
    size_t first, last; /* BYTES: which of them change the durable image; last < first: none */
    bool is_effective;
};

struct base {
    const struct ns__mem *world;
    bool is_fresh; /* nothing was read yet, or all of it may have changed */
    bool has_cut;  /* pending at the last look, or at this one */
    uint64_t looks;
    uint64_t size; /* durable */
    struct image durable;
    uint64_t *touched; /* pages with pending bytes at the last look, then at this one */
    size_t touched_before, touched_count, touched_capacity;
    struct atom *atoms;
    size_t atom_count, atom_capacity;
    size_t *effective; /* indices of atoms */
    size_t effective_count, effective_capacity;

    /* the image in the making */
    bool *keep;   /* by place in effective */
    size_t *torn; /* how many bytes of a kept atom survive; SIZE_MAX: all */
    struct image image;
    uint32_t slot_of[IMAGE_PAGES_MAX]; /* 1 + slot; 0: the page is the durable one */
    uint64_t *slots;                   /* their pages */
    uint8_t *bytes;                    /* of the slots */
    size_t slot_count, slot_capacity;
    uint64_t valid; /* bytes of the durable image from here on were cut */
};

static void *must(void *memory)
{
    if (memory == NULL) rack_fail("out of memory");
    return memory;
}

struct base *base_new(void)
{
    return must(calloc(1, sizeof(struct base)));
}

void base_free(struct base *base)
{
    if (base == NULL) return;
    free(base->touched);
    free(base->atoms);
    free(base->effective);
    free(base->keep);
    free(base->torn);
    free(base->slots);
    free(base->bytes);
    free(base);
}

/* ---- hashes ---- */

static bool is_zero(const uint8_t *page)
{
    return page == NULL || (page[0] == 0 && memcmp(page, page + 1, IMAGE_PAGE - 1) == 0);
}

static uint64_t page_hash(const uint8_t *page, uint64_t number)
{
    return is_zero(page) ? 0 : ns__checksum64(page, IMAGE_PAGE, number + 1);
}

uint64_t image_identity(const struct image *image)
{
    if (!image->exists) return 1;
    uint64_t sum = 0x9e3779b97f4a7c15u * (image->page_count + 1);
    for (uint64_t i = 0; i < image->page_count; i++)
        sum += image->hashes[i];
    return sum > 1 ? sum : 2;
}

/* ---- the durable image ---- */

static uint64_t whole_pages(uint64_t bytes)
{
    if (bytes % IMAGE_PAGE != 0) rack_fail("a file of %llu bytes", (unsigned long long)bytes);
    if (bytes / IMAGE_PAGE > IMAGE_PAGES_MAX) rack_fail("a file of too many pages");
    return bytes / IMAGE_PAGE;
}

static void load_page(struct base *base, uint64_t page)
{
    if (page >= base->durable.page_count) return;
    const uint8_t *bytes = ns__mem_durable_page(base->world, IMAGE_PATH, page);
    base->durable.pages[page] = bytes;
    base->durable.hashes[page] = page_hash(bytes, page);
}

void base_follow(struct base *base, const struct ns__mem *world, const struct image *start)
{
    base->world = world;
    base->touched_count = 0;
    base->is_fresh = start == NULL;
    base->has_cut = false;
    if (start == NULL) return;
    base->durable.exists = start->exists;
    base->durable.page_count = start->exists ? start->page_count : 0;
    base->size = base->durable.page_count * IMAGE_PAGE;
    memcpy(base->durable.hashes, start->hashes, base->durable.page_count * sizeof(uint64_t));
    for (uint64_t i = 0; i < base->durable.page_count; i++)
        base->durable.pages[i] = ns__mem_durable_page(world, IMAGE_PATH, i);
}

/* True when all pages were read. */
static bool load_size(struct base *base)
{
    struct ns__mem_durable durable;
    bool is_there = ns__mem_durable(base->world, IMAGE_PATH, &durable);
    uint64_t size = is_there ? durable.size : 0;
    base->durable.exists = is_there && durable.is_named;
    if (!base->is_fresh && size == base->size) return false;
    base->is_fresh = false;
    base->size = size;
    base->durable.page_count = whole_pages(size);
    for (uint64_t i = 0; i < base->durable.page_count; i++)
        load_page(base, i);
    return true;
}

static void note_touched(struct base *base, uint64_t page)
{
    bool is_first = base->touched_count == base->touched_before;
    if (!is_first && base->touched[base->touched_count - 1] == page) return;
    if (base->touched_count == base->touched_capacity) {
        base->touched_capacity = 2 * base->touched_capacity + 64;
        base->touched =
            must(realloc(base->touched, base->touched_capacity * sizeof *base->touched));
    }
    base->touched[base->touched_count++] = page;
}

/* ---- atoms ---- */

static void collect(void *ctx, const struct ns__mem_atom *from)
{
    struct base *base = ctx;
    if (!from->is_of_path) rack_fail("something is pending on a file that is not the database");
    if (base->atom_count == base->atom_capacity) {
        base->atom_capacity = 2 * base->atom_capacity + 64;
        base->atoms = must(realloc(base->atoms, base->atom_capacity * sizeof *base->atoms));
    }
    base->atoms[base->atom_count++] = (struct atom){
        .kind = from->kind, .offset = from->offset, .size = from->size, .data = from->data};
    if (from->kind == NS__MEM_ATOM_BYTES) note_touched(base, from->offset / IMAGE_PAGE);
    if (from->kind == NS__MEM_ATOM_CUT) base->has_cut = true;
}

static const uint8_t *durable_bytes(const struct base *base, uint64_t offset)
{
    static const uint8_t zeros[IMAGE_PAGE];
    uint64_t page = offset / IMAGE_PAGE;
    const uint8_t *bytes = page < base->durable.page_count ? base->durable.pages[page] : NULL;
    return (bytes != NULL ? bytes : zeros) + offset % IMAGE_PAGE;
}

static void find_change(const struct base *base, struct atom *atom)
{
    const uint8_t *old = durable_bytes(base, atom->offset);
    atom->first = 1;
    atom->last = 0;
    if (memcmp(old, atom->data, atom->size) == 0) return;
    atom->first = 0;
    while (old[atom->first] == atom->data[atom->first])
        atom->first++;
    atom->last = atom->size - 1;
    while (old[atom->last] == atom->data[atom->last])
        atom->last--;
}

static bool overlaps_earlier(const struct base *base, size_t index)
{
    const struct atom *atom = &base->atoms[index];
    for (size_t i = 0; i < index; i++) {
        const struct atom *other = &base->atoms[i];
        if (!other->is_effective || other->kind != NS__MEM_ATOM_BYTES) continue;
        if (other->offset < atom->offset + atom->size && atom->offset < other->offset + other->size)
            return true;
    }
    return false;
}

/* stale: what was never written holds something, so zeros over it matter. */
static bool is_effective(const struct base *base, size_t index, bool stale)
{
    const struct atom *atom = &base->atoms[index];
    switch (atom->kind) {
    case NS__MEM_ATOM_BYTES: break;
    case NS__MEM_ATOM_GROW: return atom->offset > base->size;
    case NS__MEM_ATOM_NAME: return !base->durable.exists;
    case NS__MEM_ATOM_CUT: return true;
    case NS__MEM_ATOM_UNNAME: return true;
    }
    if (stale && atom->offset >= base->size) return true;
    return atom->first <= atom->last || overlaps_earlier(base, index);
}

static void *grown(void *memory, size_t count, size_t size)
{
    return must(realloc(memory, count * size));
}

static void find_effective(struct base *base, bool stale)
{
    base->effective_count = 0;
    if (base->effective_capacity < base->atom_count) {
        base->effective_capacity = 2 * base->atom_count + 64;
        base->effective = grown(base->effective, base->effective_capacity, sizeof *base->effective);
        base->keep = grown(base->keep, base->effective_capacity, sizeof *base->keep);
        base->torn = grown(base->torn, base->effective_capacity, sizeof *base->torn);
    }
    for (size_t i = 0; i < base->atom_count; i++) {
        struct atom *atom = &base->atoms[i];
        if (atom->kind == NS__MEM_ATOM_BYTES) find_change(base, atom);
        atom->is_effective = is_effective(base, i, stale);
        if (atom->is_effective) base->effective[base->effective_count++] = i;
    }
}

/* Now and then: is what was kept what is there? */
static void check_kept(const struct base *base)
{
    for (uint64_t i = 0; i < base->durable.page_count; i++) {
        const uint8_t *bytes = ns__mem_durable_page(base->world, IMAGE_PATH, i);
        if (page_hash(bytes, i) == base->durable.hashes[i] &&
            page_hash(base->durable.pages[i], i) == base->durable.hashes[i]) {
            continue;
        }
        rack_fail("the rack itself: page %llu of the durable image changed unseen",
                  (unsigned long long)i);
    }
}

static void look(struct base *base, enum device device)
{
    uint32_t atom_bytes = device == DEVICE_4096 || device == DEVICE_STALE ? 4096 : SECTOR;
    bool had_cut = base->has_cut;
    base->touched_before = base->touched_count;
    base->has_cut = false;
    base->atom_count = 0;
    ns__mem_atoms(base->world, atom_bytes, IMAGE_PATH, collect, base);
    /* A page that is pending was moved aside as it was; one that was pending may be durable. A cut
     * is about all pages. */
    if (had_cut || base->has_cut) base->is_fresh = true;
    if (!load_size(base)) {
        for (size_t i = 0; i < base->touched_count; i++)
            load_page(base, base->touched[i]);
    }
    base->touched_count -= base->touched_before;
    if (base->touched_before > 0) {
        memmove(base->touched, base->touched + base->touched_before,
                base->touched_count * sizeof *base->touched);
    }
    if (base->looks++ % LOOKS_PER_CHECK == 0) check_kept(base);
    find_effective(base, device == DEVICE_STALE);
}

/* ---- one image ---- */

/* Where the page is made. stale: a seed; 0: what was never written is zero. */
static uint8_t *slot_page(struct base *base, uint64_t page, uint64_t stale)
{
    if (page >= IMAGE_PAGES_MAX) rack_fail("a write behind the largest file");
    if (base->slot_of[page] == 0) {
        if (base->slot_count == base->slot_capacity) {
            base->slot_capacity = 2 * base->slot_capacity + 16;
            base->slots = grown(base->slots, base->slot_capacity, sizeof *base->slots);
            base->bytes = grown(base->bytes, base->slot_capacity, IMAGE_PAGE);
        }
        base->slots[base->slot_count++] = page;
        base->slot_of[page] = (uint32_t)base->slot_count;
        uint8_t *bytes = base->bytes + (base->slot_count - 1) * IMAGE_PAGE;
        bool is_old = page < base->durable.page_count && page * IMAGE_PAGE < base->valid;
        const uint8_t *from = is_old ? base->durable.pages[page] : NULL;
        if (!is_old && stale != 0 && base->durable.page_count > 0) {
            from = base->durable.pages[(stale + page * 7) % base->durable.page_count];
        }
        if (from != NULL)
            memcpy(bytes, from, IMAGE_PAGE);
        else
            memset(bytes, 0, IMAGE_PAGE);
        return bytes;
    }
    return base->bytes + (base->slot_of[page] - 1) * IMAGE_PAGE;
}

static void cut(struct base *base, uint64_t size)
{
    if (size < base->valid) base->valid = size;
    for (size_t i = 0; i < base->slot_count; i++) {
        if (base->slots[i] * IMAGE_PAGE >= size)
            memset(base->bytes + i * IMAGE_PAGE, 0, IMAGE_PAGE);
    }
}

/* Applies the survivors in program order; gives the size. */
static uint64_t apply(struct base *base, uint64_t stale)
{
    uint64_t size = base->size;
    base->image.exists = base->durable.exists;
    for (size_t i = 0; i < base->effective_count; i++) {
        const struct atom *atom = &base->atoms[base->effective[i]];
        if (!base->keep[i]) continue;
        switch (atom->kind) {
        case NS__MEM_ATOM_BYTES: {
            uint8_t *page = slot_page(base, atom->offset / IMAGE_PAGE, stale);
            size_t bytes = base->torn[i] < atom->size ? base->torn[i] : atom->size;
            memcpy(page + atom->offset % IMAGE_PAGE, atom->data, bytes);
            break;
        }
        case NS__MEM_ATOM_GROW:
            if (atom->offset > size) size = atom->offset;
            break;
        case NS__MEM_ATOM_CUT:
            cut(base, atom->offset);
            size = atom->offset;
            break;
        case NS__MEM_ATOM_NAME: base->image.exists = true; break;
        case NS__MEM_ATOM_UNNAME: base->image.exists = false; break;
        }
    }
    return size;
}

static void build(struct base *base, uint64_t stale)
{
    struct image *image = &base->image;
    base->slot_count = 0;
    base->valid = UINT64_MAX;
    image->page_count = whole_pages(apply(base, stale));
    if (stale != 0) {
        for (uint64_t i = base->durable.page_count; i < image->page_count; i++)
            (void)slot_page(base, i, stale);
    }
    for (uint64_t i = 0; i < image->page_count; i++) {
        bool is_old = i < base->durable.page_count && i * IMAGE_PAGE < base->valid;
        image->pages[i] = is_old ? base->durable.pages[i] : NULL;
        image->hashes[i] = is_old ? base->durable.hashes[i] : 0;
    }
    for (size_t i = 0; i < base->slot_count; i++) {
        uint64_t page = base->slots[i];
        base->slot_of[page] = 0;
        if (page >= image->page_count) continue;
        image->pages[page] = base->bytes + i * IMAGE_PAGE;
        image->hashes[page] = page_hash(image->pages[page], page);
    }
}

/* ---- subsets ---- */

struct subsets {
    struct base *base;
    uint64_t stale;
    const struct effort *effort;
    struct ns__prng prng;
    void (*each)(void *ctx, const struct image *image, const char *how, uint64_t number);
    void *ctx;
};

static void try_image(struct subsets *subsets, const char *how, uint64_t number)
{
    build(subsets->base, subsets->stale);
    subsets->each(subsets->ctx, &subsets->base->image, how, number);
}

static void keep_none(struct base *base, bool keep)
{
    for (size_t i = 0; i < base->effective_count; i++) {
        base->keep[i] = keep;
        base->torn[i] = SIZE_MAX;
    }
}

static void try_all(struct subsets *subsets)
{
    struct base *base = subsets->base;
    keep_none(base, false);
    for (uint64_t bits = 0; bits < UINT64_C(1) << base->effective_count; bits++) {
        for (size_t i = 0; i < base->effective_count; i++)
            base->keep[i] = (bits >> i & 1) != 0;
        try_image(subsets, "bits", bits);
    }
}

/* The ith of `picks` numbers spread over [0, count). */
static size_t spread(size_t i, size_t picks, size_t count)
{
    if (picks == 1) return count - 1;
    return picks >= count ? i : i * (count - 1) / (picks - 1);
}

/* One to four quarters of them. */
static void keep_by_chance(struct subsets *subsets)
{
    struct base *base = subsets->base;
    uint64_t quarters = 1 + ns__prng_below(&subsets->prng, 4);
    for (size_t i = 0; i < base->effective_count; i++) {
        base->keep[i] = ns__prng_below(&subsets->prng, 4) < quarters;
        base->torn[i] = SIZE_MAX;
    }
}

static void try_some(struct subsets *subsets)
{
    struct base *base = subsets->base;
    size_t count = base->effective_count, picks = subsets->effort->picks;
    for (size_t i = 0; i < picks && i < count + 1; i++) {
        size_t length = spread(i, picks, count + 1);
        keep_none(base, false);
        for (size_t j = 0; j < length; j++)
            base->keep[j] = true;
        try_image(subsets, "prefix", length);
    }
    for (size_t i = 0; i < picks && i < count; i++) {
        size_t one = spread(i, picks, count);
        keep_none(base, true);
        base->keep[one] = false;
        try_image(subsets, "without", one);
        keep_none(base, false);
        base->keep[one] = true;
        try_image(subsets, "only", one);
    }
    for (size_t i = 0; i < subsets->effort->chances; i++) {
        keep_by_chance(subsets);
        try_image(subsets, "chance", i);
    }
}

/* ---- torn sectors ---- */

/* Tears a kept atom where it shows. False: it has no such place. */
static bool tear(struct subsets *subsets, size_t place)
{
    struct base *base = subsets->base;
    const struct atom *atom = &base->atoms[base->effective[place]];
    if (atom->kind != NS__MEM_ATOM_BYTES || atom->first >= atom->last) return false;
    base->keep[place] = true;
    base->torn[place] = atom->first + 1 + ns__prng_below(&subsets->prng, atom->last - atom->first);
    return true;
}

static void try_tears(struct subsets *subsets)
{
    struct base *base = subsets->base;
    size_t count = base->effective_count, picks = subsets->effort->tears;
    for (size_t i = 0; i < picks && i < count; i++) {
        size_t one = spread(i, picks, count);
        for (int how = 0; how < 3; how++) {
            keep_none(base, how == 2);
            for (size_t j = 0; j < one; j++)
                base->keep[j] = how > 0;
            if (tear(subsets, one)) try_image(subsets, "torn", 3 * one + (size_t)how);
        }
    }
    for (size_t i = 0; i < subsets->effort->chances && count > 0; i++) {
        keep_by_chance(subsets);
        for (size_t j = 0; j < count; j++) {
            if (base->keep[j] && ns__prng_below(&subsets->prng, 2) == 0) (void)tear(subsets, j);
        }
        try_image(subsets, "tears", i);
    }
}

struct atom_tally
base_images(struct base *base, enum device device, const struct effort *effort, uint64_t seed,
            void (*each)(void *ctx, const struct image *image, const char *how, uint64_t number),
            void *ctx)
{
    struct subsets subsets = {
        .base = base, .effort = effort, .prng = {seed}, .each = each, .ctx = ctx};
    if (device == DEVICE_STALE) subsets.stale = seed | 1;
    look(base, device);
    struct atom_tally tally = {base->effective_count, false};
    if (device == DEVICE_TORN) {
        try_tears(&subsets);
    } else if (base->effective_count <= effort->exhaustive) {
        try_all(&subsets);
    } else {
        tally.is_capped = true;
        try_some(&subsets);
    }
    return tally;
}

void base_pass(struct base *base)
{
    look(base, DEVICE_4096);
}
