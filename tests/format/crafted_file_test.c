/* crafted_file_test.c: files made by somebody who can compute checksums. The library does not
 * promise to notice them (northstar.h, Caveats); it does promise that it answers, in bounded time
 * and memory, and reads nothing outside the file (SEM-81).
 *
 *   - trees built by hand: a node as its own child, nodes that name each other, levels that do not
 *     descend, more levels than there can be, a node that is its parent's child 400 times at every
 *     level, values of sizes that no file has;
 *   - every field of the metas and log maps with the values that break arithmetic;
 *   - a real database with random bytes of random nodes changed.
 *
 * All are sealed: every checksum is right, and every reference has its check bits. */
#include "format/small_world.h"

#include <time.h>
#include <unistd.h>

#include "format/logmap.h"
#include "format/meta.h"
#include "format/node.h"
#include "format/samples.h"

#define PAGE 4096u
#define SECONDS_MAX 5.0
#define MEMORY_MAX ((uint64_t)64 << 20)

/* ---- memory that is counted ---- */

static struct {
    uint64_t out, most;
} memory;

static void count_memory(uint64_t more, uint64_t less)
{
    memory.out = memory.out + more - less;
    if (memory.out > memory.most) memory.most = memory.out;
}

static void *take(void *ctx, size_t size)
{
    (void)ctx;
    count_memory(size, 0);
    return malloc(size);
}

static void *change(void *ctx, void *old, size_t old_size, size_t size)
{
    (void)ctx;
    count_memory(size, old_size);
    return realloc(old, size);
}

static void give(void *ctx, void *old, size_t size)
{
    (void)ctx;
    if (old != NULL) count_memory(0, size);
    free(old);
}

static const struct ns_allocator counted = {NULL, take, change, give};

/* ---- a file to build in ---- */

#define FREE_PAGES 64u

struct crafted {
    struct small small;
    uint8_t *bytes;
    size_t size;
    uint64_t next; /* page for the next node: from here to the end nothing is in use */
};

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A closed database with pages to spare behind it. */
static void make_crafted(struct crafted *crafted, uint64_t seed)
{
    ns_db *db;
    memset(crafted, 0, sizeof *crafted);
    small_init(&crafted->small, 0, seed);
    crafted->small.with.allocator = &counted;
    CHECK_OK(ns_db_open(SMALL_PATH, &crafted->small.with, &db));
    for (unsigned i = 0; i < 6; i++)
        small_commit(&crafted->small, db, 150);
    CHECK_OK(ns_db_close(db));
    const uint8_t *bytes = small_bytes(&crafted->small, &crafted->size);
    uint8_t *longer = calloc(1, crafted->size + FREE_PAGES * PAGE);
    assert_non_null(longer);
    memcpy(longer, bytes, crafted->size);
    crafted->next = crafted->size / PAGE;
    crafted->size += FREE_PAGES * PAGE;
    CHECK_OK(ns__mem_file_set(crafted->small.mem, SMALL_PATH, ns_bytes(longer, crafted->size)));
    free(longer);
    crafted->bytes = small_bytes(&crafted->small, &crafted->size);
}

static uint32_t newest_meta(const struct crafted *crafted, struct ns__meta *meta_out)
{
    struct ns__meta metas[2];
    ns_status status[2];
    for (uint32_t i = 0; i < 2; i++)
        status[i] = ns__meta_decode(crafted->bytes + i * PAGE, i, crafted->size, &metas[i]);
    int newest = ns__meta_choose(status, metas);
    assert_true(newest >= 0);
    *meta_out = metas[newest];
    return (uint32_t)newest;
}

/* The tree of keyspace 0 is this one now; the other meta is gone. */
static void set_tree(struct crafted *crafted, uint64_t ref, uint64_t entries, uint64_t pages)
{
    struct ns__meta meta;
    uint32_t newest = newest_meta(crafted, &meta);
    meta.page_count = crafted->size / PAGE;
    meta.main = (struct ns__tree){ref, entries, pages, 0};
    ns__meta_encode(&meta, crafted->bytes + newest * PAGE);
    memset(crafted->bytes + (1 - newest) * PAGE, 0, PAGE);
}

/* ---- nodes ---- */

static uint64_t seal(struct crafted *crafted, uint64_t page)
{
    uint8_t *node = crafted->bytes + page * PAGE, uuid[16];
    memcpy(uuid, crafted->bytes + 16, sizeof uuid);
    if (memcmp(crafted->bytes, "NSTARDB\n", 8) != 0)
        memcpy(uuid, crafted->bytes + PAGE + 16, sizeof uuid);
    uint64_t checksum = ns__page_checksum(node, PAGE, ns__page_seed(uuid, page));
    ns__store64(node, checksum);
    return ns__ref_file(page, checksum);
}

static uint8_t *start_node(struct crafted *crafted, uint64_t page, uint8_t type, uint8_t level,
                           uint16_t count, uint32_t heap)
{
    uint8_t *node = crafted->bytes + page * PAGE;
    memset(node, 0, PAGE);
    ns__store64(node + 8, 1); /* birth */
    node[16] = type;
    node[17] = level;
    ns__store16(node + 18, count);
    ns__store32(node + 24, heap);
    return node;
}

/* A leaf with one entry: this key of one byte, and a value of these many bytes in a run, or "v". */
static uint64_t make_leaf(struct crafted *crafted, uint64_t page, uint8_t key, uint64_t run_bytes)
{
    uint8_t cell[64] = {1, 0};
    size_t size = 2 + ns__varint_store(cell + 2, run_bytes > 0 ? run_bytes * 2 + 1 : 2);
    if (run_bytes > 0) {
        ns__store64(cell + size, 31);
        ns__store64(cell + size + 8, 1);
        size += 24;
    } else {
        cell[size++] = 'v';
    }
    uint32_t heap = PAGE - (uint32_t)size;
    uint8_t *node = start_node(crafted, page, NS__TYPE_LEAF, 0, 1, heap);
    ns__store32(node + 40, (uint32_t)key << 24);
    ns__store16(node + 44, (uint16_t)heap);
    memcpy(node + heap, cell, size);
    return seal(crafted, page);
}

/* A branch of count children, all of them ref, between separators of two bytes. */
static uint64_t make_branch(struct crafted *crafted, uint64_t page, uint8_t level, uint16_t count,
                            uint64_t ref)
{
    uint32_t heap = PAGE - count;
    uint8_t *node = start_node(crafted, page, NS__TYPE_BRANCH, level, count, heap);
    for (uint32_t i = 0; i < count; i++) {
        ns__store64(node + 40 + 8 * i, ref);
        ns__store32(node + 40 + 8 * (uint32_t)count + 4 * i, i << 16);
        ns__store16(node + 40 + 12 * (uint32_t)count + 2 * i, (uint16_t)(heap + i));
        node[heap + i] = i == 0 ? 0 : 2;
    }
    return seal(crafted, page);
}

/* ---- using it ---- */

static bool is_answer(ns_status status)
{
    return status == NS_OK || status == NS_NOTFOUND || small_is_refusal(status) ||
           status == NS_FULL || status == NS_INVALID || status == NS_NOMEM;
}

#define ANSWER(expr)                                                                               \
    do {                                                                                           \
        ns_status status_ = (expr);                                                                \
        if (!is_answer(status_)) fail_msg("%s gave %s", #expr, ns_status_name(status_));           \
        if (small_is_refusal(status_)) refusals++;                                                 \
    } while (0)

/* From one end to the other, as long as it is told to go on. */
static unsigned walk(ns_txn *txn, ns_keyspace keyspace, bool is_backward)
{
    ns_cursor *cursor;
    ns_slice key, value;
    ns_status status = ns_cursor_open(txn, keyspace, &cursor);
    if (status != NS_OK) return small_is_refusal(status);
    status = is_backward ? ns_cursor_last(cursor) : ns_cursor_first(cursor);
    while (status == NS_OK) {
        status = ns_cursor_get(cursor, &key, &value);
        if (status == NS_OK) status = is_backward ? ns_cursor_prev(cursor) : ns_cursor_next(cursor);
    }
    assert_true(is_answer(status));
    ns_cursor_close(cursor);
    return small_is_refusal(status);
}

static unsigned read_everything(ns_db *db)
{
    unsigned refusals = 0;
    ns_txn *txn;
    ns_slice value;
    ns_keyspace side = NS_MAIN;
    uint8_t hash[16];
    CHECK_OK(ns_txn_begin(db, NS_READ, &txn));
    ANSWER(ns_txn_get(txn, NS_MAIN, ns_str("k"), &value));
    ANSWER(ns_txn_get(txn, NS_MAIN, ns_str("item/003"), &value));
    ANSWER(ns_txn_keyspace(txn, "side", &side));
    refusals += walk(txn, NS_MAIN, false) + walk(txn, NS_MAIN, true);
    refusals += walk(txn, side, false) + walk(txn, side, true);
    ANSWER(ns_txn_state_hash(txn, hash));
    ns_txn_abort(txn);
    return refusals;
}

static unsigned change_everything(ns_db *db)
{
    unsigned refusals = 0;
    for (int how = 0; how < 4; how++) {
        ns_txn *txn;
        ns_status status = ns_txn_begin(db, NS_WRITE, &txn);
        if (status == NS_POISONED) return refusals + 1;
        CHECK_OK(status);
        if (how == 0) ANSWER(ns_txn_put(txn, NS_MAIN, ns_str("k"), ns_str("new")));
        if (how == 1) ANSWER(ns_txn_del_range(txn, NS_MAIN, ns_str("b"), ns_str("j")));
        if (how == 2) ANSWER(ns_txn_keyspace_drop(txn, "side"));
        if (how == 3) ANSWER(ns_txn_del_range(txn, NS_MAIN, ns_str(""), ns_str("")));
        ANSWER(ns_txn_commit(txn, NULL));
    }
    ns_status status = ns_db_checkpoint(db);
    assert_true(is_answer(status) || status == NS_POISONED);
    return refusals;
}

/* Everything that a program can do with a copy of the file, within the limits. Returns how often it
 * was refused. */
static unsigned use(const struct crafted *crafted)
{
    unsigned refusals = 0;
    struct ns__mem *copy;
    ns_options with = crafted->small.with;
    ns_db *db;
    double start = now();
    CHECK_OK(ns__mem_clone(crafted->small.mem, &copy));
    with.vfs = ns__mem_vfs(copy);
    memory.most = memory.out;
    (void)alarm(120);
    ANSWER(ns_db_verify(SMALL_PATH, &with, NULL, NULL));
    ns_status status = ns_db_open(SMALL_PATH, &with, &db);
    assert_true(is_answer(status));
    if (status == NS_OK) {
        refusals += read_everything(db);
        refusals += change_everything(db);
        status = ns_db_close(db);
        assert_true(is_answer(status) || status == NS_POISONED);
    }
    (void)alarm(0);
    assert_true(now() - start < SECONDS_MAX);
    assert_true(memory.most - memory.out < MEMORY_MAX);
    ns__mem_free(copy);
    return refusals;
}

/* ---- trees ---- */

static void check_refused(struct crafted *crafted, uint64_t ref, uint64_t entries, uint64_t pages)
{
    set_tree(crafted, ref, entries, pages);
    assert_true(use(crafted) > 0);
    CHECK_STATUS(ns_db_verify(SMALL_PATH, &crafted->small.with, NULL, NULL), NS_CORRUPT);
}

static void trees_that_lead_in_circles_are_refused(void **state)
{
    struct crafted crafted;
    (void)state;
    make_crafted(&crafted, 101);
    uint64_t page = crafted.next;
    uint64_t leaf = make_leaf(&crafted, page, 'k', 0);
    set_tree(&crafted, leaf, 1, 1);
    assert_true(use(&crafted) > 0); /* the maps know nothing of it; the tree itself is good */
    /* its own child; with check bits that can only be those of an earlier version */
    uint64_t self = make_branch(&crafted, page + 1, 1, 2, page + 1);
    check_refused(&crafted, make_branch(&crafted, page + 1, 1, 2, self), 2, 2);
    /* two that name each other */
    uint64_t a = make_branch(&crafted, page + 2, 1, 2, leaf);
    uint64_t b = make_branch(&crafted, page + 3, 1, 2, a);
    check_refused(&crafted, make_branch(&crafted, page + 2, 1, 2, b), 4, 4);
    /* levels that do not descend, and one that skips */
    check_refused(&crafted, b, 2, 3);
    check_refused(&crafted, make_branch(&crafted, page + 4, 3, 2, leaf), 2, 2);
    check_refused(&crafted, make_branch(&crafted, page + 4, 0, 2, leaf), 2, 2);
    small_deinit(&crafted.small);
}

static void trees_of_too_many_levels_are_refused(void **state)
{
    struct crafted crafted;
    (void)state;
    make_crafted(&crafted, 102);
    uint64_t ref = make_leaf(&crafted, crafted.next, 'k', 0);
    for (uint32_t level = 1; level <= 40; level++) {
        ref = make_branch(&crafted, crafted.next + level, (uint8_t)level, 2, ref);
        check_refused(&crafted, ref, 2, level + 1);
    }
    check_refused(&crafted, make_branch(&crafted, crafted.next + 1, 255, 2, ref), 2, 2);
    small_deinit(&crafted.small);
}

/* All paths lead to one leaf: 200^31 of them. Every walk is bounded by what the tree counts. */
static void references_that_meet_again_do_not_multiply_the_work(void **state)
{
    struct crafted crafted;
    (void)state;
    make_crafted(&crafted, 103);
    uint64_t ref = make_leaf(&crafted, crafted.next, 'k', 0);
    for (uint32_t level = 1; level < NS__LEVEL_MAX; level++)
        ref = make_branch(&crafted, crafted.next + level, (uint8_t)level, 200, ref);
    check_refused(&crafted, ref, 1, NS__LEVEL_MAX);
    check_refused(&crafted, ref, 1000000, crafted.next);
    small_deinit(&crafted.small);
}

static void sizes_that_no_file_has_are_refused(void **state)
{
    static const uint64_t sizes[] = {UINT64_C(1) << 20,       UINT32_MAX,
                                     UINT64_C(1) << 32,       UINT64_C(1) << 40,
                                     (UINT64_C(1) << 62) + 5, INT64_MAX};
    struct crafted crafted;
    (void)state;
    make_crafted(&crafted, 104);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t ref = make_leaf(&crafted, crafted.next, 'k', sizes[i]);
        check_refused(&crafted, ref, 1, 1);
    }
    small_deinit(&crafted.small);
}

/* ---- every field of metas and log maps ---- */

static void reseal_block(uint8_t *block, uint64_t page)
{
    ns__store64(block + 4088, ns__checksum64(block, 4088, page));
}

/* Every word of four bytes, and every other one with its neighbour as one of eight. */
static void every_field_of_metas_and_log_maps_may_say_anything(void **state)
{
    struct crafted crafted;
    uint64_t tries = 0, refusals = 0;
    (void)state;
    make_crafted(&crafted, 105);
    for (uint32_t page = 0; page < 4; page++) {
        uint8_t *block = crafted.bytes + page * PAGE, kept[PAGE];
        memcpy(kept, block, PAGE);
        for (uint32_t at = 8; at < 600; at += 4) {
            for (unsigned v = (at / 4) % 2; v < CENSUS_VALUES; v += 2) {
                bool is_wide = at % 8 == 0;
                uint64_t old = is_wide ? ns__load64(kept + at) : ns__load32(kept + at);
                uint64_t value = census_value(v, old, crafted.size / PAGE);
                if (is_wide)
                    ns__store64(block + at, value);
                else
                    ns__store32(block + at, (uint32_t)value);
                reseal_block(block, page);
                refusals += use(&crafted) > 0;
                tries++;
                memcpy(block, kept, PAGE);
            }
        }
    }
    print_message("%llu changed fields: %llu refused, all answered\n", (unsigned long long)tries,
                  (unsigned long long)refusals);
    assert_true(refusals > tries / 4);
    small_deinit(&crafted.small);
}

/* ---- a real tree with random changes ---- */

#define NODES_MAX 256u

/* The nodes of both trees and of the keyspaces below the catalogue; a parent before its children.
 */
struct nodes {
    uint64_t pages[NODES_MAX];
    size_t parents[NODES_MAX];
    uint32_t indexes[NODES_MAX]; /* of the reference in the parent */
    size_t count;
};
#define NO_PARENT SIZE_MAX

static void add_node(struct nodes *nodes, uint64_t ref, size_t parent, uint32_t index)
{
    assert_true(nodes->count < NODES_MAX);
    nodes->pages[nodes->count] = ns__ref_number(ref);
    nodes->parents[nodes->count] = parent;
    nodes->indexes[nodes->count++] = index;
}

static void find_nodes(const struct crafted *crafted, struct nodes *nodes)
{
    struct ns__meta meta;
    (void)newest_meta(crafted, &meta);
    nodes->count = 0;
    add_node(nodes, meta.main.ref, NO_PARENT, 0);
    add_node(nodes, meta.catalogue.ref, NO_PARENT, 1);
    for (size_t i = 0; i < nodes->count; i++) {
        const uint8_t *node = crafted->bytes + nodes->pages[i] * PAGE;
        if (!ns__node_has_refs(node)) continue;
        for (uint32_t c = 0; c < ns__node_count(node); c++) {
            if (ns__node_ref(node, c) != NS__REF_NONE) add_node(nodes, ns__node_ref(node, c), i, c);
        }
    }
}

/* Seals the node and all above it, up to the meta. */
static void seal_upward(struct crafted *crafted, const struct nodes *nodes, size_t i)
{
    for (;;) {
        uint64_t ref = seal(crafted, nodes->pages[i]);
        if (nodes->parents[i] == NO_PARENT) {
            struct ns__meta meta;
            uint32_t newest = newest_meta(crafted, &meta);
            if (nodes->indexes[i] == 0)
                meta.main.ref = ref;
            else
                meta.catalogue.ref = ref;
            ns__meta_encode(&meta, crafted->bytes + newest * PAGE);
            return;
        }
        uint8_t *parent = crafted->bytes + nodes->pages[nodes->parents[i]] * PAGE;
        ns__node_ref_swing(parent, nodes->indexes[i], ref);
        i = nodes->parents[i];
    }
}

/* Headers and arrays matter most; any byte may. */
static void damage(struct ns__prng *prng, uint8_t *node)
{
    uint64_t changes = 1 + ns__prng_below(prng, 3);
    for (uint64_t i = 0; i < changes; i++) {
        static const uint32_t spans[] = {40, 200, PAGE};
        uint64_t at = 8 + ns__prng_below(prng, spans[ns__prng_below(prng, 3)] - 8);
        uint64_t kind = ns__prng_below(prng, 4);
        if (kind == 0)
            node[at] ^= (uint8_t)(1u << ns__prng_below(prng, 8));
        else if (kind == 1)
            node[at] = (uint8_t)ns__prng_next(prng);
        else
            node[at] = kind == 2 ? 0xff : 0;
    }
}

static uint64_t mutants_wanted(void)
{
    const char *text = getenv("NS_CRAFTED_NODES");
    return text != NULL ? strtoull(text, NULL, 10) : 1500;
}

static void sealed_nodes_may_hold_anything(void **state)
{
    struct crafted crafted;
    struct nodes nodes;
    struct ns__prng prng = {.state = 106};
    uint64_t refusals = 0;
    (void)state;
    make_crafted(&crafted, 106);
    find_nodes(&crafted, &nodes);
    assert_in_range(nodes.count, 8, NODES_MAX);
    uint8_t *kept = malloc(crafted.size);
    assert_non_null(kept);
    memcpy(kept, crafted.bytes, crafted.size);
    for (uint64_t i = 0; i < mutants_wanted(); i++) {
        size_t which = (size_t)ns__prng_below(&prng, nodes.count);
        damage(&prng, crafted.bytes + nodes.pages[which] * PAGE);
        seal_upward(&crafted, &nodes, which);
        refusals += use(&crafted) > 0;
        memcpy(crafted.bytes, kept, crafted.size);
    }
    print_message("seed 106: %llu sealed changes of %zu nodes: %llu refused, all answered\n",
                  (unsigned long long)mutants_wanted(), nodes.count, (unsigned long long)refusals);
    assert_true(refusals > mutants_wanted() / 3);
    free(kept);
    small_deinit(&crafted.small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_that_lead_in_circles_are_refused),
        cmocka_unit_test(trees_of_too_many_levels_are_refused),
        cmocka_unit_test(references_that_meet_again_do_not_multiply_the_work),
        cmocka_unit_test(sizes_that_no_file_has_are_refused),
        cmocka_unit_test(every_field_of_metas_and_log_maps_may_say_anything),
        cmocka_unit_test(sealed_nodes_may_hold_anything),
    };
    return cmocka_run_group_tests_name("crafted_file", tests, NULL, NULL);
}
