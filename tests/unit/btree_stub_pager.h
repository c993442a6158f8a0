/* btree_stub_pager.h: a pager small enough to be obviously right, for tests of the btree floor.
 *
 * Frames live in one reserved range, file pages in another. Every node is followed by a gap of its
 * own size, poisoned under AddressSanitizer, so that a read beyond a node is found. What a change
 * drops stays readable until the change ends; then it is poisoned and overwritten. stub_end checks
 * the conservation law: exactly the nodes and runs of the tree are alive. stub_checkpoint copies a
 * tree to file pages, so that reading and changing work on those too.
 *
 * It defines every function of pager/pages.h, so that none of the real pager is linked. */
#ifndef NS_TESTS_UNIT_BTREE_STUB_PAGER_H
#define NS_TESTS_UNIT_BTREE_STUB_PAGER_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "harness/test.h"

#include "base/arena.h"
#include "base/prng.h"
#include "btree/btree.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STUB_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define STUB_ASAN 1
#endif
#if defined(STUB_ASAN)
#include <sanitizer/asan_interface.h>
#define STUB_POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define STUB_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define STUB_POISON(p, n) ((void)(p), (void)(n))
#define STUB_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

enum stub_state { STUB_FREE, STUB_LIVE, STUB_DROPPED, STUB_NEW };

struct stub_run {
    uint8_t *bytes;
    uint64_t pages;
    struct ns__run run;
    enum stub_state state;
    bool is_seen;
};

/* There is one stub in a test; it is the pager and the change. */
struct stub {
    struct ns__pages pages;
    struct ns__alloc alloc;
    struct ns__arena arena;
    uint8_t *memory[2]; /* file pages and frames */
    uint8_t *state[2];  /* enum stub_state by number */
    uint8_t *seen[2];
    uint32_t *free[2]; /* stacks of free numbers */
    uint32_t free_count[2];
    uint32_t room;
    uint32_t shift; /* of a node and its gap */
    struct stub_run *runs;
    size_t run_count, run_room;
    uint64_t generation;
    uint64_t nodes_made;
    uint64_t fail_after; /* node_new number at which NS_NOMEM is answered; 0: never */
    bool is_open;        /* a node has been taken and not finished */
    bool in_change;
};

static struct stub stub;

static inline uint8_t *stub_node(uint64_t ref)
{
    return stub.memory[ref >> 63] + (ns__ref_number(ref) << stub.shift);
}

static inline void stub_init(uint32_t page_size, uint32_t room)
{
    memset(&stub, 0, sizeof stub);
    while ((1u << stub.shift) < page_size)
        stub.shift++;
    stub.shift++; /* the gap */
    stub.room = room;
    for (int side = 0; side < 2; side++) {
        size_t size = (size_t)room << stub.shift;
        stub.memory[side] = mmap(NULL, size, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        assert_true(stub.memory[side] != MAP_FAILED);
        STUB_POISON(stub.memory[side], size);
        stub.state[side] = calloc(room, 1);
        stub.seen[side] = calloc(room, 1);
        stub.free[side] = calloc(room, sizeof(uint32_t));
        for (uint32_t i = room - 1; i > 0; i--)
            stub.free[side][stub.free_count[side]++] = i;
        stub.pages.bases[side] = stub.memory[side];
    }
    ns__alloc_init(&stub.alloc, NULL);
    ns__arena_init(&stub.arena, &stub.alloc);
    stub.pages.page_size = page_size;
    stub.pages.page_shift = stub.shift;
    stub.pages.readable = room;
    stub.pages.verified = calloc(room / 64 + 1, 8);
    stub.generation = 1;
}

static inline void stub_deinit(void)
{
    for (int side = 0; side < 2; side++) {
        STUB_UNPOISON(stub.memory[side], (size_t)stub.room << stub.shift);
        munmap(stub.memory[side], (size_t)stub.room << stub.shift);
        free(stub.state[side]);
        free(stub.seen[side]);
        free(stub.free[side]);
    }
    for (size_t i = 0; i < stub.run_count; i++)
        free(stub.runs[i].bytes);
    free(stub.runs);
    free(stub.pages.verified);
    ns__arena_deinit(&stub.arena);
    assert_int_equal(stub.alloc.bytes, 0);
}

static inline uint64_t stub_take(int side)
{
    assert_true(stub.free_count[side] > 0);
    uint64_t number = stub.free[side][--stub.free_count[side]];
    uint8_t *node = stub.memory[side] + (number << stub.shift);
    STUB_UNPOISON(node, stub.pages.page_size);
    memset(node, 0xa5, stub.pages.page_size);
    stub.state[side][number] = STUB_NEW;
    return number;
}

static inline void stub_give(int side, uint64_t number)
{
    uint8_t *node = stub.memory[side] + (number << stub.shift);
    memset(node, 0xdd, stub.pages.page_size);
    STUB_POISON(node, stub.pages.page_size);
    stub.state[side][number] = STUB_FREE;
    stub.free[side][stub.free_count[side]++] = (uint32_t)number;
    if (side == 0) stub.pages.verified[number / 64] &= ~(UINT64_C(1) << (number % 64));
}

/* ---- what pager/pages.h declares ---- */

ns_status ns__pages_verify(struct ns__pages *pages, uint64_t ref, uint32_t level,
                           const uint8_t **node_out)
{
    uint64_t number = ns__ref_number(ref);
    *node_out = NULL;
    if (ns__ref_is_frame(ref) || number == 0 || number >= stub.room ||
        stub.state[0][number] == STUB_FREE) {
        return ns__corrupt(number, "no such page");
    }
    const uint8_t *node = stub_node(ref);
    uint64_t sum = ns__page_checksum(node, pages->page_size, number);
    if (sum != ns__node_checksum(node)) return ns__corrupt(number, "checksum mismatch");
    if (!ns__ref_matches(ref, sum)) return ns__corrupt(number, "stale page");
    const char *wrong = ns__node_invalid(node, pages->page_size, true);
    if (wrong != NULL) return ns__corrupt(number, "%s", wrong);
    if (level != NS__LEVEL_ANY && level != ns__node_level(node)) {
        return ns__corrupt(number, "wrong level");
    }
    pages->verified[number / 64] |= UINT64_C(1) << (number % 64);
    *node_out = node;
    return NS_OK;
}

ns_status ns__pages_run(struct ns__pages *pages, const struct ns__run *run, uint64_t size,
                        ns_slice *value_out)
{
    *value_out = ns_bytes(NULL, 0);
    size_t index = (size_t)run->page - 1000000;
    if (index >= stub.run_count || stub.runs[index].state == STUB_FREE ||
        stub.runs[index].pages != ns__pages_of(size, pages->page_size)) {
        return ns__corrupt(run->page, "no such run");
    }
    if (ns__checksum64(stub.runs[index].bytes, size, 0) != run->checksum) {
        return ns__corrupt(run->page, "run checksum mismatch");
    }
    *value_out = ns_bytes(stub.runs[index].bytes, size);
    return NS_OK;
}

struct ns__pages *ns__change_pages(struct ns__change *change)
{
    return &((struct stub *)(void *)change)->pages;
}

uint64_t ns__change_generation(const struct ns__change *change)
{
    return ((const struct stub *)(const void *)change)->generation;
}

ns_status ns__change_node_new(struct ns__change *change, uint8_t **node_out)
{
    (void)change;
    assert_true(stub.in_change);
    assert_false(stub.is_open);
    *node_out = NULL;
    if (stub.fail_after > 0 && --stub.fail_after == 0) return ns__error(NS_NOMEM, "injected");
    *node_out = stub.memory[1] + (stub_take(1) << stub.shift);
    stub.is_open = true;
    return NS_OK;
}

ns_status ns__change_node_finish(struct ns__change *change, uint8_t *node, uint64_t *ref_out)
{
    (void)change;
    assert_true(stub.is_open);
    stub.is_open = false;
    stub.nodes_made++;
    ns__store64(node + NS__NODE_BIRTH, stub.generation);
    *ref_out = ns__ref_frame((uint64_t)(node - stub.memory[1]) >> stub.shift);
    const char *wrong = ns__node_invalid(node, stub.pages.page_size, false);
    if (wrong != NULL) print_error("finished node: %s\n", wrong);
    assert_null(wrong);
    return NS_OK;
}

ns_status ns__change_node_drop(struct ns__change *change, uint64_t ref)
{
    (void)change;
    uint8_t *state = &stub.state[ref >> 63][ns__ref_number(ref)];
    assert_true(*state == STUB_LIVE || *state == STUB_NEW);
    *state = STUB_DROPPED;
    return NS_OK;
}

ns_status ns__change_run_write(struct ns__change *change, ns_slice value, struct ns__run *run_out)
{
    (void)change;
    if (stub.run_count == stub.run_room) {
        stub.run_room = stub.run_room * 2 + 16;
        stub.runs = realloc(stub.runs, stub.run_room * sizeof *stub.runs);
    }
    struct stub_run *run = &stub.runs[stub.run_count];
    memset(run, 0, sizeof *run);
    run->bytes = malloc(value.size);
    memcpy(run->bytes, value.data, value.size);
    run->pages = ns__pages_of(value.size, stub.pages.page_size);
    run->run.page = 1000000 + stub.run_count++;
    run->run.birth = stub.generation;
    run->run.checksum = ns__checksum64(value.data, value.size, 0);
    run->state = STUB_NEW;
    *run_out = run->run;
    return NS_OK;
}

ns_status ns__change_run_drop(struct ns__change *change, const struct ns__run *run, uint64_t size)
{
    (void)change;
    size_t index = (size_t)run->page - 1000000;
    assert_true(index < stub.run_count);
    assert_true(stub.runs[index].state == STUB_LIVE || stub.runs[index].state == STUB_NEW);
    assert_true(stub.runs[index].pages == ns__pages_of(size, stub.pages.page_size));
    stub.runs[index].state = STUB_DROPPED;
    return NS_OK;
}

/* ---- changes and checks ---- */

static inline struct ns__change *stub_change(void)
{
    return (struct ns__change *)(void *)&stub;
}

static inline void stub_begin(void)
{
    stub.in_change = true;
    stub.generation++;
}

/* Ends the change: what it dropped dies, or, aborted, what it made. */
static inline void stub_settle(bool is_aborted)
{
    stub.in_change = false;
    stub.is_open = false;
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 1; i < stub.room; i++) {
            uint8_t *state = &stub.state[side][i];
            uint64_t birth = 0;
            if (*state == STUB_DROPPED && is_aborted) {
                birth = ns__node_birth(stub.memory[side] + ((uint64_t)i << stub.shift));
            }
            if (*state == STUB_DROPPED && is_aborted && birth < stub.generation) {
                *state = STUB_LIVE;
            } else if (*state == STUB_DROPPED || (*state == STUB_NEW && is_aborted)) {
                stub_give(side, i);
            } else if (*state == STUB_NEW) {
                *state = STUB_LIVE;
            }
        }
    }
    for (size_t i = 0; i < stub.run_count; i++) {
        struct stub_run *run = &stub.runs[i];
        bool is_old = run->run.birth < stub.generation;
        if (run->state == STUB_DROPPED && is_aborted && is_old) {
            run->state = STUB_LIVE;
        } else if (run->state == STUB_DROPPED || (run->state == STUB_NEW && is_aborted)) {
            free(run->bytes);
            run->bytes = NULL;
            run->state = STUB_FREE;
        } else if (run->state == STUB_NEW) {
            run->state = STUB_LIVE;
        }
    }
    ns__arena_reset(&stub.arena);
}

static inline ns_status stub_visit(void *ctx, uint64_t ref, uint64_t pages, bool is_run)
{
    (void)ctx;
    if (is_run) {
        struct stub_run *run = &stub.runs[ref - 1000000];
        assert_false(run->is_seen);
        assert_int_equal(run->pages, pages);
        run->is_seen = true;
    } else {
        assert_false(stub.seen[ref >> 63][ns__ref_number(ref)]);
        stub.seen[ref >> 63][ns__ref_number(ref)] = 1;
    }
    return NS_OK;
}

/* The tree obeys its laws, and nothing else is alive. */
static inline void stub_check(const struct ns__tree *tree, bool is_catalogue)
{
    CHECK_OK(ns__btree_check(&stub.pages, tree, is_catalogue, stub.generation, &stub.alloc,
                             stub_visit, NULL));
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 1; i < stub.room; i++) {
            if ((stub.state[side][i] == STUB_LIVE) != stub.seen[side][i]) {
                fail_msg("%s %u: alive %d, seen %d", side ? "frame" : "page", i,
                         stub.state[side][i], stub.seen[side][i]);
            }
        }
        memset(stub.seen[side], 0, stub.room);
    }
    for (size_t i = 0; i < stub.run_count; i++) {
        assert_int_equal(stub.runs[i].state == STUB_LIVE, stub.runs[i].is_seen);
        stub.runs[i].is_seen = false;
    }
}

/* Applies, ends the change and checks. */
static inline void stub_apply(struct ns__tree *tree, const struct ns__tree_batch *batch)
{
    stub_begin();
    CHECK_OK(ns__btree_apply(stub_change(), tree, batch, &stub.arena));
    stub_settle(false);
    stub_check(tree, batch->is_catalogue);
}

static inline uint64_t stub_checkpoint_node(uint64_t ref)
{
    if (!ns__ref_is_frame(ref)) return ref;
    const uint8_t *frame = stub_node(ref);
    uint64_t number = stub_take(0);
    uint8_t *page = stub.memory[0] + (number << stub.shift);
    memcpy(page, frame, stub.pages.page_size);
    for (uint32_t i = 0; ns__node_level(page) > 0 && i < ns__node_count(page); i++) {
        ns__node_ref_swing(page, i, stub_checkpoint_node(ns__node_ref(frame, i)));
    }
    uint64_t sum = ns__page_checksum(page, stub.pages.page_size, number);
    ns__store64(page, sum);
    stub.state[0][number] = STUB_LIVE;
    stub_give(1, ns__ref_number(ref));
    return ns__ref_file(number, sum);
}

/* Moves the whole tree from frames to file pages. */
static inline void stub_checkpoint(struct ns__tree *tree)
{
    if (tree->ref != NS__REF_NONE) tree->ref = stub_checkpoint_node(tree->ref);
}

#endif
