/* pager_world.h: what the tests of the pager floor share: a file in a simulated world with a
 * pager and one tree in it, a model of what every held root must show, and the checker: each
 * page below the end is busy for exactly one reason, and everything that has a reason is busy. */
#ifndef NS_TESTS_UNIT_PAGER_WORLD_H
#define NS_TESTS_UNIT_PAGER_WORLD_H

#include "harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/prng.h"
#include "btree/btree.h"
#include "format/spacemap.h"
#include "pager/pager.h"
#include "vfs/mem.h"

#define WORLD_PATH "pager.ns"
#define WORLD_KEYS 4000u
#define WORLD_EDITS 1500u
#define WORLD_HOLDERS 16u
#define WORLD_VALUE_MAX 30000u

/* ---- an allocator that can run dry ---- */

struct dry {
    bool is_counting;
    uint64_t left;  /* calls that still succeed while is_counting */
    uint64_t calls; /* all so far */
};

static inline bool dry_fails(struct dry *dry)
{
    dry->calls++;
    if (!dry->is_counting) return false;
    if (dry->left == 0) return true;
    dry->left--;
    return false;
}

static inline void *dry_alloc(void *ctx, size_t size)
{
    return dry_fails(ctx) ? NULL : malloc(size);
}

static inline void *dry_resize(void *ctx, void *old, size_t old_size, size_t size)
{
    (void)old_size;
    return dry_fails(ctx) ? NULL : realloc(old, size);
}

static inline void dry_release(void *ctx, void *old, size_t size)
{
    (void)ctx;
    (void)size;
    free(old);
}

static inline struct ns_allocator dry_allocator(struct dry *dry)
{
    return (struct ns_allocator){dry, dry_alloc, dry_resize, dry_release};
}

/* ---- the world ---- */

/* One root and what it must show: stamps[key] says which value the key has, 0 that it is absent. */
struct picture {
    bool is_held;
    struct ns__root root;
    uint32_t stamps[WORLD_KEYS];
};

struct world {
    struct ns__mem *mem;
    struct ns_vfs vfs; /* the memory's, with write and sync watched */
    struct dry dry;
    struct ns__alloc alloc;
    struct ns__file file;
    struct ns__pager_options options;
    struct ns__pager *pager;
    pthread_mutex_t head;
    struct ns__meta fields;
    struct ns__arena scratch;
    struct picture newest;
    struct picture metas[2]; /* by sequence % 2 */
    struct picture held[WORLD_HOLDERS];
    struct ns__thing taken[8]; /* runs that the test itself took; pages 0: none */
    uint32_t stamp;            /* the last one used */
    bool is_wide;              /* values fill their leaves, so that the tree has three levels */
    uint64_t seed;
};

/* What happens at the next write or sync of the file. */
struct watch {
    struct world *world;
    void (*at_write)(struct world *world, uint64_t page, uint64_t pages); /* before it */
    void (*at_sync)(struct world *world);
    void (*after_begin)(struct world *world); /* of a checkpoint */
    bool is_inside;
};
static struct watch watch;

static inline ns_status watched_write(void *ctx, struct ns_vfs_file *file, uint64_t offset,
                                      const void *data, size_t size)
{
    if (watch.at_write != NULL && !watch.is_inside) {
        uint32_t page_size = watch.world->file.page_size;
        watch.is_inside = true;
        watch.at_write(watch.world, offset / page_size, ns__pages_of(size, page_size));
        watch.is_inside = false;
    }
    struct ns__mem *mem = ctx;
    return ns__mem_vfs(mem)->write(ctx, file, offset, data, size);
}

static inline ns_status watched_sync(void *ctx, struct ns_vfs_file *file)
{
    if (watch.at_sync != NULL && !watch.is_inside) {
        watch.is_inside = true;
        watch.at_sync(watch.world);
        watch.is_inside = false;
    }
    struct ns__mem *mem = ctx;
    return ns__mem_vfs(mem)->sync(ctx, file);
}

static inline void watch_nothing(void)
{
    memset(&watch, 0, sizeof watch);
}

static inline void world_attach(struct world *world)
{
    const struct ns_vfs *real = ns__mem_vfs(world->mem);
    ns__arena_init(&world->scratch, &world->alloc);
    world->vfs = *real;
    world->vfs.write = watched_write;
    world->vfs.sync = watched_sync;
    uint32_t page_size = world->file.page_size;
    memset(&world->file, 0, sizeof world->file);
    world->file.vfs = &world->vfs;
    world->file.page_size = page_size;
    memcpy(world->file.uuid, "0123456789abcdef", NS__UUID_BYTES);
    CHECK_OK(real->open(real->ctx, WORLD_PATH, NS_VFS_CREATE, &world->file.handle));
}

static inline struct world *world_blank(uint32_t flags, uint32_t page_size, uint64_t frame_bytes)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    watch_nothing();
    watch.world = world;
    CHECK_OK(ns__mem_new(flags, 1, NULL, &world->mem));
    struct ns_allocator seam = dry_allocator(&world->dry);
    ns__alloc_init(&world->alloc, &seam);
    world->options.frame_bytes = frame_bytes;
    world->options.holder_max = WORLD_HOLDERS;
    world->file.page_size = page_size;
    world->fields.history = NS_HISTORY_BOUNDED;
    pthread_mutex_init(&world->head, NULL);
    world_attach(world);
    return world;
}

/* A new file with both metas and no content. */
static inline struct world *world_new(uint32_t flags, uint32_t page_size, uint64_t frame_bytes)
{
    struct world *world = world_blank(flags, page_size, frame_bytes);
    CHECK_OK(ns__pager_create(&world->file, &world->alloc, &world->options, &world->pager));
    struct ns__meta *first = &world->fields;
    first->page_size = page_size;
    memcpy(first->uuid, world->file.uuid, NS__UUID_BYTES);
    first->generation = 1;
    CHECK_OK(ns__file_sync(&world->pager->file));
    CHECK_OK(ns__pager_write_first_metas(world->pager, first));
    CHECK_OK(world->vfs.sync_parent(world->vfs.ctx, WORLD_PATH));
    world->newest.root.generation = 1;
    world->metas[0] = world->metas[1] = world->newest;
    return world;
}

/* Closes pager and file, as a killed process would. */
static inline void world_close(struct world *world)
{
    ns__arena_deinit(&world->scratch);
    ns__pager_free(world->pager);
    world->pager = NULL;
    if (world->file.handle != NULL) world->vfs.close(world->vfs.ctx, world->file.handle);
    world->file.handle = NULL;
    assert_int_equal(world->alloc.bytes, 0);
}

static inline void world_free(struct world *world)
{
    world_close(world);
    pthread_mutex_destroy(&world->head);
    ns__mem_free(world->mem);
    free(world);
    watch_nothing();
}

/* ---- keys and values ---- */

static inline ns_slice key_text(uint32_t key, char out[24])
{
    int size = snprintf(out, 24, "key %08x", (unsigned)(key * 2654435761u));
    return ns_bytes(out, (size_t)size);
}

#define STAMP_WIDE 0x40000000u /* a value of some 800 bytes */

/* Of other stamps one value in 24 is a run; out has WORLD_VALUE_MAX bytes. */
static inline ns_slice value_bytes(uint32_t stamp, uint8_t *out)
{
    struct ns__prng prng = {.state = stamp};
    uint64_t choice = ns__prng_next(&prng);
    size_t size = choice % 24 == 0 ? 5000 + (choice >> 8) % 20000 : (choice >> 8) % 150;
    if ((stamp & STAMP_WIDE) != 0) size = 700 + (choice >> 8) % 200;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = ns__prng_next(&prng);
        memcpy(out + i, &word, 8);
    }
    return ns_bytes(out, size);
}

/* A stamp whose value is a run, not below `from`. */
static inline uint32_t run_stamp(uint32_t from)
{
    for (;; from++) {
        struct ns__prng prng = {.state = from};
        if (ns__prng_next(&prng) % 24 == 0) return from;
    }
}

/* ---- changing ---- */

struct edit {
    uint32_t key, stamp; /* stamp 0 deletes */
};

static inline int compare_ops(const void *a, const void *b)
{
    const struct ns__tree_op *left = a, *right = b;
    size_t least = left->key.size < right->key.size ? left->key.size : right->key.size;
    int order = memcmp(left->key.data, right->key.data, least);
    return order != 0 ? order
                      : (left->key.size > right->key.size) - (left->key.size < right->key.size);
}

/* Applies edits (each key once) to *tree within the change. */
static inline ns_status world_apply(struct world *world, struct ns__change *change,
                                    struct ns__tree *tree, const struct edit *edits, size_t count)
{
    struct ns__tree_op *ops = calloc(count + 1, sizeof *ops);
    char(*keys)[24] = calloc(count + 1, sizeof *keys);
    uint8_t **values = calloc(count + 1, sizeof *values);
    assert_true(ops != NULL && keys != NULL && values != NULL);
    for (size_t i = 0; i < count; i++) {
        ops[i].key = key_text(edits[i].key, keys[i]);
        ops[i].version = change->generation;
        ops[i].kind = edits[i].stamp == 0 ? NS__TREE_DEL : NS__TREE_PUT;
        if (edits[i].stamp == 0) continue;
        values[i] = malloc(WORLD_VALUE_MAX);
        assert_non_null(values[i]);
        ops[i].value = value_bytes(edits[i].stamp, values[i]);
    }
    qsort(ops, count, sizeof *ops, compare_ops);
    struct ns__tree_batch batch = {.ops = ops, .op_count = count};
    ns__arena_reset(&world->scratch);
    ns_status status = ns__btree_apply(change, tree, &batch, &world->scratch);
    for (size_t i = 0; i < count; i++) {
        free(values[i]);
    }
    free(values);
    free(keys);
    free(ops);
    return status;
}

static inline uint32_t world_held(const struct world *world, uint64_t *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < WORLD_HOLDERS; i++) {
        if (!world->held[i].is_held) continue;
        uint64_t generation = world->held[i].root.generation;
        uint32_t at = count;
        while (at > 0 && out[at - 1] > generation)
            at--;
        if (at > 0 && out[at - 1] == generation) continue;
        memmove(out + at + 1, out + at, (count - at) * sizeof *out);
        out[at] = generation;
        count++;
    }
    return count;
}

static inline void world_reclaim(struct world *world)
{
    uint64_t held[WORLD_HOLDERS];
    uint32_t count = world_held(world, held);
    ns__pager_reclaim(world->pager, held, count);
}

/* Steps 2 and 3 of a commit: the change stays open on success, and is gone on failure. */
static inline ns_status world_prepare(struct world *world, const struct edit *edits, size_t count,
                                      bool use_reserve, struct ns__root *root_out)
{
    *root_out = world->newest.root;
    root_out->generation++;
    struct ns__change *change = ns__change_begin(world->pager, root_out->generation, use_reserve);
    ns_status status = world_apply(world, change, &root_out->main, edits, count);
    if (status == NS_OK) status = ns__change_prepare(change);
    if (status != NS_OK) ns__change_abort(change);
    return status;
}

static inline void world_publish(struct world *world, const struct edit *edits, size_t count,
                                 const struct ns__root *root)
{
    world->newest.root = *root;
    world->newest.root.txn_id++;
    world->newest.root.log_end += 8;
    ns__change_publish(&world->pager->change);
    for (size_t i = 0; i < count; i++) {
        world->newest.stamps[edits[i].key] = edits[i].stamp;
    }
    world_reclaim(world);
}

static inline ns_status world_try(struct world *world, const struct edit *edits, size_t count)
{
    struct ns__root root;
    NS_TRY(world_prepare(world, edits, count, false, &root));
    world_publish(world, edits, count, &root);
    return NS_OK;
}

/* Random edits, each key once; a percentage of them deletes. */
static inline size_t random_edits(struct world *world, struct ns__prng *prng, size_t count,
                                  uint32_t delete_percent, struct edit *edits)
{
    uint8_t seen[WORLD_KEYS] = {0};
    size_t made = 0;
    assert_true(count <= WORLD_EDITS);
    for (size_t i = 0; i < count; i++) {
        uint32_t key = (uint32_t)ns__prng_below(prng, WORLD_KEYS);
        if (seen[key]) continue;
        seen[key] = 1;
        bool is_delete = ns__prng_below(prng, 100) < delete_percent;
        uint32_t stamp = ++world->stamp | (world->is_wide ? STAMP_WIDE : 0);
        edits[made++] = (struct edit){key, is_delete ? 0 : stamp};
    }
    return made;
}

static inline ns_status world_churn_try(struct world *world, struct ns__prng *prng, size_t count,
                                        uint32_t delete_percent)
{
    struct edit edits[WORLD_EDITS];
    size_t made = random_edits(world, prng, count, delete_percent, edits);
    return world_try(world, edits, made);
}

static inline void world_churn(struct world *world, struct ns__prng *prng, size_t count)
{
    CHECK_OK(world_churn_try(world, prng, count, 25));
}

/* ---- holding ---- */

static inline struct picture *world_hold(struct world *world)
{
    for (uint32_t i = 0; i < WORLD_HOLDERS; i++) {
        if (world->held[i].is_held) continue;
        world->held[i] = world->newest;
        world->held[i].is_held = true;
        return &world->held[i];
    }
    fail_msg("no holder is left");
    return NULL;
}

static inline void world_let_go(struct world *world, struct picture *picture)
{
    picture->is_held = false;
    world_reclaim(world);
}

/* ---- checkpoints ---- */

static inline void world_finish(struct world *world, struct ns__checkpoint *checkpoint,
                                const struct picture *picture)
{
    pthread_mutex_lock(&world->head);
    if (ns__checkpoint_finish(world->pager, checkpoint, &world->newest.root)) {
        world->newest.root.generation++;
    }
    world->metas[world->pager->meta->sequence % 2] = *picture;
    pthread_mutex_unlock(&world->head);
}

/* Puts a held picture, which is the newest one, into the file. */
static inline ns_status world_checkpoint_of(struct world *world, const struct picture *picture)
{
    struct ns__checkpoint checkpoint;
    pthread_mutex_lock(&world->head);
    ns_status status = ns__checkpoint_begin(world->pager, &picture->root, &checkpoint);
    pthread_mutex_unlock(&world->head);
    if (status == NS_OK) {
        if (watch.after_begin != NULL) watch.after_begin(world);
        status = ns__checkpoint_write(world->pager, &world->head, &world->fields, &checkpoint);
    }
    if (status == NS_OK) world_finish(world, &checkpoint, picture);
    ns__checkpoint_deinit(world->pager, &checkpoint);
    return status;
}

static inline ns_status world_checkpoint(struct world *world)
{
    struct picture *picture = world_hold(world);
    ns_status status = world_checkpoint_of(world, picture);
    world_let_go(world, picture);
    return status;
}

/* ---- opening again ---- */

/* What the metas in the file say; -1 as ns__meta_choose. */
static inline int world_metas(struct world *world, struct ns__meta metas[2], ns_status status[2])
{
    ns_slice content;
    CHECK_OK(ns__mem_file_get(world->mem, WORLD_PATH, &content));
    for (uint32_t i = 0; i < 2; i++) {
        const uint8_t *at = (const uint8_t *)content.data + i * world->file.page_size;
        status[i] = ns__meta_decode(at, i, content.size, &metas[i]);
    }
    return ns__meta_choose(status, metas);
}

/* Opens what the file holds, as another process would. The model becomes what the chosen meta's
 * root shows. */
static inline ns_status world_open(struct world *world)
{
    struct ns__meta *metas = calloc(2, sizeof *metas);
    ns_status status[2];
    world_attach(world);
    int newest = world_metas(world, metas, status);
    assert_true(newest >= 0);
    const struct ns__meta *meta = &metas[newest];
    const struct ns__meta *older = status[1 - newest] == NS_OK ? &metas[1 - newest] : NULL;
    uint64_t size;
    CHECK_OK(ns__file_size(&world->file, &size));
    ns_status opened = ns__pager_open(&world->file, &world->alloc, &world->options,
                                      size / world->file.page_size, meta, older, &world->pager);
    memset(world->held, 0, sizeof world->held);
    memset(world->taken, 0, sizeof world->taken);
    world->newest = world->metas[newest];
    world->newest.is_held = false;
    struct ns__root *root = &world->newest.root;
    assert_int_equal(root->txn_id, meta->txn_id);
    root->generation = meta->generation;
    root->main = meta->main;
    free(metas);
    return opened;
}

static inline void world_reopen(struct world *world)
{
    world_close(world);
    CHECK_OK(world_open(world));
}

/* ---- the checker ---- */

#define WHY_FIXED 1u
#define WHY_TREE 2u    /* reached by the newest root, a meta or a holder */
#define WHY_WAITING 4u /* waits for a holder */
#define WHY_TAKEN 8u   /* the test took it, or a checkpoint gave it away */
#define WHY_NEWEST 16u /* reached by the newest root: never waiting */
#define WHY_META 32u   /* reached by the newest meta */

struct reasons {
    struct world *world;
    uint64_t pages, frames;
    uint8_t *of_page, *of_frame;
    uint8_t why;
};

static inline ns_status reach(void *ctx, uint64_t ref_or_page, uint64_t pages, bool is_run)
{
    struct reasons *reasons = ctx;
    uint64_t number = is_run ? ref_or_page : ns__ref_number(ref_or_page);
    bool is_frame = !is_run && ns__ref_is_frame(ref_or_page);
    for (uint64_t i = number; i < number + pages; i++) {
        assert_true(i < (is_frame ? reasons->frames : reasons->pages));
        (is_frame ? reasons->of_frame : reasons->of_page)[i] |= reasons->why;
    }
    return NS_OK;
}

static inline void reach_root(struct reasons *reasons, const struct ns__root *root, uint8_t why)
{
    struct world *world = reasons->world;
    reasons->why = why;
    CHECK_OK(ns__btree_check(&world->pager->pages, &root->main, false, root->generation,
                             &world->alloc, reach, reasons));
}

static inline void reach_waiting(struct reasons *reasons, const struct ns__waiting *waiting)
{
    uint64_t counted = 0;
    for (uint32_t b = 0; b < waiting->count; b++) {
        uint64_t holder = waiting->buckets[b].holder;
        for (const struct ns__thing *t = waiting->buckets[b].things; t != NULL; t = t->next) {
            uint64_t pages = t->pages == 0 ? 1 : t->pages;
            assert_true(t->birth <= holder && holder < t->death);
            counted += pages;
            for (uint64_t i = t->number; i < t->number + pages; i++) {
                uint8_t *why = t->pages == 0 ? &reasons->of_frame[i] : &reasons->of_page[i];
                assert_int_equal(*why & (WHY_WAITING | WHY_NEWEST), 0);
                *why |= WHY_WAITING;
            }
        }
    }
    assert_int_equal(counted, waiting->pages);
}

static inline void reach_metas(struct reasons *reasons)
{
    struct world *world = reasons->world;
    const struct ns__meta *metas[2] = {world->pager->meta, world->pager->older};
    for (int i = 0; i < 2; i++) {
        if (metas[i]->sequence == 0) continue;
        struct ns__root root = {.generation = metas[i]->generation, .main = metas[i]->main};
        reach_root(reasons, &root, i == 0 ? WHY_TREE | WHY_META : WHY_TREE);
    }
}

static inline void reach_all(struct reasons *reasons)
{
    struct world *world = reasons->world;
    reach_root(reasons, &world->newest.root, WHY_TREE | WHY_NEWEST);
    reach_metas(reasons);
    for (uint32_t i = 0; i < WORLD_HOLDERS; i++) {
        if (world->held[i].is_held) reach_root(reasons, &world->held[i].root, WHY_TREE);
    }
    reach_waiting(reasons, &world->pager->waiting_pages);
    reach_waiting(reasons, &world->pager->waiting_frames);
    for (size_t i = 0; i < sizeof world->taken / sizeof world->taken[0]; i++) {
        const struct ns__thing *run = &world->taken[i];
        for (uint64_t page = run->number; page < run->number + run->pages; page++) {
            assert_int_equal(reasons->of_page[page], 0);
            reasons->of_page[page] = WHY_TAKEN;
        }
    }
}

static inline void check_pages(const struct reasons *reasons, bool is_settled)
{
    struct world *world = reasons->world;
    uint64_t free_pages = 0;
    for (uint64_t page = 0; page < reasons->pages; page++) {
        bool is_busy, is_live;
        uint8_t why = reasons->of_page[page];
        CHECK_OK(ns__space_look(&world->pager->space, page, &is_busy, &is_live));
        if (ns__page_is_fixed(world->file.page_size, page)) {
            assert_int_equal(why, 0);
            why = WHY_FIXED;
        }
        if (is_busy != (why != 0)) {
            fail_msg("page %llu is %s, reasons %u", (unsigned long long)page,
                     is_busy ? "busy" : "free", why);
        }
        if (is_settled && is_live != ((why & WHY_META) != 0)) {
            fail_msg("page %llu is %s in the map, reasons %u", (unsigned long long)page,
                     is_live ? "live" : "not live", why);
        }
        free_pages += !is_busy;
    }
    assert_int_equal(free_pages, ns__space_free_pages(&world->pager->space));
}

static inline void check_frames(const struct reasons *reasons)
{
    const struct ns__pager *pager = reasons->world->pager;
    uint64_t used = 0, dirty = 0;
    for (uint64_t frame = 1; frame < reasons->frames; frame++) {
        uint8_t why = reasons->of_frame[frame];
        used += why != 0;
        dirty += (why & WHY_NEWEST) != 0;
    }
    assert_int_equal(ns__pager_frames_used(pager), used);
    assert_int_equal(pager->dirty, dirty);
    assert_int_equal(pager->placed, 0);
}

/* Every law of the pager while no change and no checkpoint runs. is_settled: the last checkpoint
 * succeeded, so that the bits for the next one are what the newest meta's root holds, but for
 * changes since. */
static inline void world_check_space(struct world *world, bool is_settled)
{
    struct reasons reasons = {.world = world,
                              .pages = ns__space_file_pages(&world->pager->space),
                              .frames = world->pager->frame_limit};
    reasons.of_page = calloc(reasons.pages, 1);
    reasons.of_frame = calloc(reasons.frames, 1);
    assert_true(reasons.of_page != NULL && reasons.of_frame != NULL);
    reach_all(&reasons);
    check_pages(&reasons, is_settled);
    check_frames(&reasons);
    free(reasons.of_page);
    free(reasons.of_frame);
    const struct ns__space *space = &world->pager->space;
    assert_true(space->promised <= space->free_pages); /* S4 */
}

/* Does the root show exactly what the model says? */
static inline void check_picture(struct world *world, const struct picture *picture)
{
    uint8_t *wanted = malloc(WORLD_VALUE_MAX);
    assert_non_null(wanted);
    uint64_t entries = 0;
    for (uint32_t key = 0; key < WORLD_KEYS; key++) {
        char text[24];
        ns_slice value;
        ns_status status = ns__btree_get(&world->pager->pages, &picture->root.main,
                                         key_text(key, text), &value, NULL, NULL);
        if (picture->stamps[key] == 0) {
            CHECK_STATUS(status, NS_NOTFOUND);
            continue;
        }
        CHECK_OK(status);
        ns_slice right = value_bytes(picture->stamps[key], wanted);
        assert_int_equal(value.size, right.size);
        if (right.size > 0) assert_memory_equal(value.data, right.data, right.size);
        entries++;
    }
    assert_int_equal(entries, picture->root.main.entries);
    free(wanted);
}

static inline void world_check_content(struct world *world)
{
    check_picture(world, &world->newest);
    for (uint32_t i = 0; i < WORLD_HOLDERS; i++) {
        if (world->held[i].is_held) check_picture(world, &world->held[i]);
    }
}

static inline void world_check(struct world *world)
{
    world_check_space(world, true);
    world_check_content(world);
}

/* Opens the file again, looks at everything, checkpoints once more and looks again. */
static inline void world_check_reopened(struct world *world)
{
    world_reopen(world);
    world_check_content(world);
    struct ns__prng prng = {.state = 77};
    world_churn(world, &prng, 40);
    CHECK_OK(world_checkpoint(world));
    CHECK_OK(world_checkpoint(world));
    world_check(world);
}

#endif
