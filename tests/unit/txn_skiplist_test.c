/* txn_skiplist_test.c: the sorted list against an array that is searched from the start. */
#include "harness/test.h"

#include <stdlib.h>
#include "txn/skiplist.h"

#define KEYS 160u
#define STEPS 4000u

struct world {
    struct ns__alloc alloc;
    struct ns__arena arena;
    struct ns__skipmemory memory;
    struct ns__skiplist list;
};

static void world_init(struct world *world, uint64_t seed)
{
    ns__alloc_init(&world->alloc, NULL);
    ns__arena_init(&world->arena, &world->alloc);
    world->memory = (struct ns__skipmemory){.arena = &world->arena, .heights = {.state = seed}};
    ns__skiplist_init(&world->list);
}

static void world_deinit(struct world *world)
{
    ns__arena_deinit(&world->arena);
    assert_int_equal(world->alloc.bytes, 0);
}

/* Keys of all sizes around the eight bytes of a head, many with equal heads; in ascending order. */
struct key {
    uint8_t bytes[24];
    size_t size;
};
static struct key keys[KEYS];

static ns_slice key_at(size_t index)
{
    return ns_bytes(keys[index].bytes, keys[index].size);
}

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    return ns__slice_compare(ns_bytes(x->bytes, x->size), ns_bytes(y->bytes, y->size));
}

static void make_keys(void)
{
    struct ns__prng prng = {.state = 7};
    for (size_t i = 0; i < KEYS;) {
        keys[i].size = 1 + ns__prng_below(&prng, 20);
        for (size_t b = 0; b < keys[i].size; b++) {
            keys[i].bytes[b] = b < 6 ? 0 : (uint8_t)ns__prng_below(&prng, 2);
        }
        if (i % 4 == 0) keys[i].bytes[0] = (uint8_t)ns__prng_below(&prng, 256);
        bool is_new = true;
        for (size_t j = 0; j < i; j++)
            is_new = is_new && !ns__slice_equal(key_at(i), key_at(j));
        if (is_new) i++;
    }
    qsort(keys, KEYS, sizeof keys[0], compare_keys);
}

static uint32_t model[KEYS]; /* 0: absent; else the value's size plus one */

static ns_slice value_of(size_t size)
{
    static uint8_t bytes[256];
    memset(bytes, (int)size, sizeof bytes);
    return ns_bytes(bytes, size);
}

static void check_node(const struct ns__skipnode *node, size_t index)
{
    if (index >= KEYS) {
        assert_null(node);
        return;
    }
    assert_non_null(node);
    assert_true(ns__slice_equal(node->point.key, key_at(index)));
    assert_true(ns__slice_equal(node->point.value, value_of(model[index] - 1)));
}

/* The first present index at or after this one; KEYS if none. */
static size_t present_from(size_t index)
{
    while (index < KEYS && model[index] == 0)
        index++;
    return index;
}

/* The last present index before this one; KEYS if none. */
static size_t present_before(size_t index)
{
    while (index > 0 && model[index - 1] == 0)
        index--;
    return index > 0 ? index - 1 : KEYS;
}

static void check_all(const struct ns__skiplist *list)
{
    size_t expected = present_from(0);
    const struct ns__skipnode *previous = NULL;
    for (const struct ns__skipnode *node = list->first[0]; node != NULL; node = node->next[0]) {
        check_node(node, expected);
        assert_ptr_equal(node->prev, previous);
        expected = present_from(expected + 1);
        previous = node;
    }
    assert_int_equal(expected, KEYS);
    assert_ptr_equal(list->last, previous);
    for (uint32_t level = 0; level < NS__SKIPLIST_LEVELS; level++) {
        assert_null(list->tail[level][level]);
        if (level >= list->height) assert_null(list->first[level]);
    }
    for (size_t i = 0; i < KEYS; i++) {
        check_node(ns__skiplist_find(list, key_at(i)), model[i] > 0 ? i : KEYS);
        check_node(ns__skiplist_seek(list, key_at(i)), present_from(i));
        check_node(ns__skiplist_before(list, key_at(i)), present_before(i));
        check_node(ns__skiplist_floor(list, key_at(i)), present_before(i + 1));
    }
}

static void change_once(struct world *world, struct ns__prng *prng)
{
    size_t i = ns__prng_below(prng, KEYS);
    size_t j = i + ns__prng_below(prng, KEYS / 4);
    uint64_t kind = ns__prng_below(prng, 20);
    if (kind < 12) {
        size_t size = ns__prng_below(prng, 100);
        CHECK_OK(ns__skiplist_put(&world->memory, &world->list, key_at(i), value_of(size), true));
        model[i] = (uint32_t)size + 1;
    } else if (kind < 19) {
        ns__skiplist_remove(&world->memory, &world->list, key_at(i));
        model[i] = 0;
    } else {
        bool after = ns__prng_below(prng, 2) == 0;
        ns_slice to = j < KEYS ? key_at(j) : ns_bytes(NULL, 0);
        ns__skiplist_cut(&world->memory, &world->list, key_at(i), after, to);
        for (size_t k = after ? i + 1 : i; k < j && k < KEYS; k++)
            model[k] = 0;
    }
}

static void a_list_does_what_a_sorted_array_does(void **state)
{
    (void)state;
    make_keys();
    for (uint64_t seed = 1; seed <= 4; seed++) {
        print_message("seed %u\n", (unsigned)seed);
        struct world world;
        struct ns__prng prng = {.state = seed};
        world_init(&world, seed);
        memset(model, 0, sizeof model);
        for (size_t step = 0; step < STEPS; step++) {
            change_once(&world, &prng);
            if (step % 16 == 0) check_all(&world.list);
        }
        check_all(&world.list);
        world_deinit(&world);
    }
}

static void keys_that_differ_in_trailing_zeros_keep_their_order(void **state)
{
    (void)state;
    struct world world;
    uint8_t zeros[20] = {0};
    world_init(&world, 3);
    for (size_t size = 20; size > 0; size--) {
        ns_slice key = ns_bytes(zeros, size);
        CHECK_OK(ns__skiplist_put(&world.memory, &world.list, key, key, true));
    }
    CHECK_OK(ns__skiplist_put(&world.memory, &world.list, ns_bytes(NULL, 0), ns_str("x"), true));
    size_t size = 0;
    for (struct ns__skipnode *node = world.list.first[0]; node != NULL; node = node->next[0]) {
        assert_int_equal(node->point.key.size, size++);
    }
    assert_int_equal(size, 21);
    world_deinit(&world);
}

static void a_value_replaced_many_times_does_not_grow_the_arena(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 3);
    ns_slice key = ns_str("counter");
    CHECK_OK(ns__skiplist_put(&world.memory, &world.list, key, value_of(100), true));
    size_t bytes = world.arena.bytes;
    for (size_t i = 0; i < 1000; i++) {
        CHECK_OK(ns__skiplist_put(&world.memory, &world.list, key, value_of(i % 101), true));
    }
    assert_int_equal(world.arena.bytes, bytes);
    world_deinit(&world);
}

static void a_growing_value_costs_a_bounded_multiple_of_its_size(void **state)
{
    (void)state;
    struct world world;
    static uint8_t bytes[20000];
    world_init(&world, 3);
    for (size_t size = 0; size < sizeof bytes; size += 10) {
        ns_slice value = ns_bytes(bytes, size);
        CHECK_OK(ns__skiplist_put(&world.memory, &world.list, ns_str("k"), value, true));
    }
    assert_true(world.arena.bytes < 10 * sizeof bytes);
    world_deinit(&world);
}

static void a_queue_filled_and_drained_does_not_grow_the_arena(void **state)
{
    (void)state;
    struct world world;
    uint8_t key[8];
    size_t bytes = 0;
    world_init(&world, 3);
    for (uint64_t i = 0; i < 2000; i++) {
        ns__store64(key, i);
        ns_slice item = ns_bytes(key, sizeof key);
        CHECK_OK(ns__skiplist_put(&world.memory, &world.list, item, value_of(50), true));
        ns__skiplist_remove(&world.memory, &world.list, item);
        if (i == 0) bytes = world.arena.bytes;
    }
    assert_int_equal(world.arena.bytes, bytes);
    assert_true(ns__skiplist_is_empty(&world.list));
    world_deinit(&world);
}

static void a_value_may_be_a_view_of_itself_or_its_neighbour(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 3);
    ns_slice a = ns_str("a"), b = ns_str("b");
    CHECK_OK(ns__skiplist_put(&world.memory, &world.list, a, ns_str("0123456789"), true));
    ns_slice view = ns__skiplist_find(&world.list, a)->point.value;
    ns_slice part = ns_bytes((const char *)view.data + 3, 5);
    CHECK_OK(ns__skiplist_put(&world.memory, &world.list, b, view, true));
    CHECK_OK(ns__skiplist_put(&world.memory, &world.list, a, part, true));
    view = ns__skiplist_find(&world.list, a)->point.value;
    assert_true(ns__slice_equal(view, ns_str("34567")));
    view = ns__skiplist_find(&world.list, b)->point.value;
    assert_true(ns__slice_equal(view, ns_str("0123456789")));
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_does_what_a_sorted_array_does),
        cmocka_unit_test(keys_that_differ_in_trailing_zeros_keep_their_order),
        cmocka_unit_test(a_value_replaced_many_times_does_not_grow_the_arena),
        cmocka_unit_test(a_growing_value_costs_a_bounded_multiple_of_its_size),
        cmocka_unit_test(a_queue_filled_and_drained_does_not_grow_the_arena),
        cmocka_unit_test(a_value_may_be_a_view_of_itself_or_its_neighbour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
