/* txn_snapshot_test.c: roots are copied whole, and nothing that a slot holds goes unseen. The
 * stress is meant to run under the thread sanitizer too. */
#include "harness/test.h"

#include <pthread.h>
#include "base/prng.h"
#include "txn/snapshot.h"

/* A root in which every word follows from the generation. */
static struct ns__root root_of(uint64_t generation)
{
    struct ns__root root;
    uint64_t words[NS__ROOT_WORDS];
    for (size_t i = 0; i < NS__ROOT_WORDS; i++)
        words[i] = generation * (2 * i + 1);
    memcpy(&root, words, sizeof root);
    return root;
}

static void check_root(const struct ns__root *root)
{
    struct ns__root wanted = root_of(root->generation);
    assert_memory_equal(root, &wanted, sizeof wanted);
}

static void init(struct ns__snapshots *snapshots, struct ns__alloc *alloc, uint32_t slot_count)
{
    struct ns__root first = root_of(1);
    ns__alloc_init(alloc, NULL);
    CHECK_OK(ns__snapshots_init(snapshots, alloc, slot_count, &first));
}

static void deinit(struct ns__snapshots *snapshots, struct ns__alloc *alloc)
{
    ns__snapshots_deinit(snapshots);
    ns__snapshots_deinit(snapshots);
    assert_int_equal(alloc->bytes, 0);
}

static void slots_hold_what_was_newest_and_are_reported_once_each(void **state)
{
    (void)state;
    struct ns__snapshots snapshots;
    struct ns__alloc alloc;
    struct ns__slot *slots[5];
    struct ns__root root;
    uint64_t held[8];
    init(&snapshots, &alloc, 8);
    assert_int_equal((uintptr_t)snapshots.slots % 64, 0);
    assert_int_equal(ns__snapshots_held(&snapshots, held), 0);
    for (uint64_t i = 0; i < 5; i++) {
        CHECK_OK(ns__slot_take(&snapshots, &slots[i]));
        assert_int_equal(ns__snapshots_open(&snapshots), i + 1);
        ns__slot_hold(&snapshots, slots[i], &root);
        check_root(&root);
        assert_int_equal(root.generation, 1 + i / 2);
        if (i % 2 == 0) continue;
        root = root_of(2 + i / 2);
        ns__snapshots_publish(&snapshots, &root);
    }
    assert_int_equal(ns__snapshots_held(&snapshots, held), 3);
    assert_int_equal(held[0], 1);
    assert_int_equal(held[1], 2);
    assert_int_equal(held[2], 3);
    ns__slot_park(slots[0]);
    ns__slot_free(slots[2]);
    ns__slot_hold(&snapshots, slots[3], &root);
    assert_int_equal(root.generation, 3);
    assert_int_equal(ns__snapshots_held(&snapshots, held), 2);
    assert_int_equal(held[0], 1);
    assert_int_equal(held[1], 3);
    assert_int_equal(ns__snapshots_open(&snapshots), 4);
    ns__snapshots_newest(&snapshots, &root);
    check_root(&root);
    assert_int_equal(root.generation, 3);
    deinit(&snapshots, &alloc);
}

static void a_thread_gets_the_slot_that_it_used_last(void **state)
{
    (void)state;
    struct ns__snapshots snapshots;
    struct ns__alloc alloc;
    struct ns__slot *first, *second, *again;
    init(&snapshots, &alloc, 4);
    CHECK_OK(ns__slot_take(&snapshots, &first));
    CHECK_OK(ns__slot_take(&snapshots, &second));
    second->owner = &alloc;
    ns__slot_free(second);
    ns__slot_free(first);
    CHECK_OK(ns__slot_take(&snapshots, &again));
    assert_ptr_equal(again, second);
    assert_ptr_equal(again->owner, &alloc);
    deinit(&snapshots, &alloc);
}

static void when_all_slots_are_taken_the_answer_is_busy(void **state)
{
    (void)state;
    struct ns__snapshots snapshots;
    struct ns__alloc alloc;
    struct ns__slot *slots[3], *more;
    init(&snapshots, &alloc, 3);
    for (size_t i = 0; i < 3; i++)
        CHECK_OK(ns__slot_take(&snapshots, &slots[i]));
    CHECK_STATUS(ns__slot_take(&snapshots, &more), NS_BUSY);
    assert_null(more);
    assert_non_null(strstr(ns_error_detail(), "max_readers"));
    assert_non_null(strstr(ns_error_detail(), "3 "));
    ns__slot_park(slots[1]);
    CHECK_STATUS(ns__slot_take(&snapshots, &more), NS_BUSY);
    ns__slot_free(slots[1]);
    CHECK_OK(ns__slot_take(&snapshots, &more));
    assert_ptr_equal(more, slots[1]);
    struct ns__root root = root_of(1);
    struct ns__snapshots none;
    CHECK_STATUS(ns__snapshots_init(&none, &alloc, 0, &root), NS_INVALID);
    deinit(&snapshots, &alloc);
}

/* ---- many threads ---- */

#define READERS 4u
#define ROOTS 6000u

/* A generation is `reusable` once a scan after its successor's publication did not report it. A
 * reader that holds it must never see that. */
struct stress {
    struct ns__snapshots snapshots;
    struct ns__alloc alloc;
    uint64_t reusable[ROOTS + 2]; /* atomic flags */
    uint64_t holding[READERS];    /* atomic: generation that this reader surely holds; 0: none */
    uint64_t stop, wrong, holds;  /* atomic */
};

struct reader {
    struct stress *stress;
    uint32_t index;
    pthread_t thread;
};

static void hold_once(struct reader *reader, struct ns__slot *slot, uint64_t *newest_seen)
{
    struct stress *stress = reader->stress;
    struct ns__root root, wanted;
    ns__slot_hold(&stress->snapshots, slot, &root);
    ns__atomic_store_seq(&stress->holding[reader->index], root.generation);
    wanted = root_of(root.generation);
    bool is_wrong = memcmp(&root, &wanted, sizeof root) != 0 || root.generation < *newest_seen;
    *newest_seen = root.generation;
    for (int i = 0; i < 20; i++) {
        is_wrong = is_wrong || ns__atomic_load_seq(&stress->reusable[root.generation]) != 0;
    }
    if (is_wrong) (void)ns__atomic_add(&stress->wrong, 1);
    (void)ns__atomic_add(&stress->holds, 1);
    ns__atomic_store_seq(&stress->holding[reader->index], 0);
}

static void *read_roots(void *argument)
{
    struct reader *reader = argument;
    struct stress *stress = reader->stress;
    struct ns__prng prng = {.state = reader->index};
    uint64_t newest_seen = 0;
    while (ns__atomic_load(&stress->stop) == 0) {
        struct ns__slot *slot;
        if (ns__slot_take(&stress->snapshots, &slot) != NS_OK) {
            (void)ns__atomic_add(&stress->wrong, 1);
            break;
        }
        uint64_t times = 1 + ns__prng_below(&prng, 4);
        for (uint64_t i = 0; i < times; i++) {
            hold_once(reader, slot, &newest_seen);
            if (ns__prng_below(&prng, 2) == 0) ns__slot_park(slot);
        }
        ns__slot_free(slot);
        struct ns__root root, wanted;
        ns__snapshots_newest(&stress->snapshots, &root);
        wanted = root_of(root.generation);
        if (memcmp(&root, &wanted, sizeof root) != 0) (void)ns__atomic_add(&stress->wrong, 1);
    }
    return NULL;
}

static bool is_in(const uint64_t *held, uint32_t count, uint64_t generation)
{
    for (uint32_t i = 0; i < count; i++) {
        if (held[i] == generation) return true;
    }
    return false;
}

static void publish_and_scan(struct stress *stress, uint64_t generation)
{
    uint64_t before[READERS], held[READERS];
    struct ns__root root = root_of(generation);
    ns__snapshots_publish(&stress->snapshots, &root);
    for (uint32_t i = 0; i < READERS; i++)
        before[i] = ns__atomic_load_seq(&stress->holding[i]);
    uint32_t count = ns__snapshots_held(&stress->snapshots, held);
    for (uint32_t i = 1; i < count; i++)
        assert_true(held[i - 1] < held[i]);
    for (uint32_t i = 0; i < READERS; i++) {
        uint64_t after = ns__atomic_load_seq(&stress->holding[i]);
        if (before[i] == 0 || before[i] != after || after == generation) continue;
        assert_true(is_in(held, count, after));
    }
    uint64_t oldest = generation > 100 ? generation - 100 : 1;
    for (uint64_t old = oldest; old < generation; old++) {
        if (!is_in(held, count, old)) ns__atomic_store_seq(&stress->reusable[old], 1);
    }
}

static void a_held_root_is_whole_and_never_reusable(void **state)
{
    (void)state;
    static struct stress stress;
    struct reader readers[READERS];
    init(&stress.snapshots, &stress.alloc, READERS);
    for (uint32_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.stress = &stress, .index = i};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_roots, &readers[i]), 0);
    }
    for (uint64_t generation = 2; generation <= ROOTS; generation++) {
        publish_and_scan(&stress, generation);
    }
    ns__atomic_store(&stress.stop, 1);
    for (uint32_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
    assert_int_equal(stress.wrong, 0);
    assert_int_equal(ns__snapshots_open(&stress.snapshots), 0);
    print_message("%llu holds while %u roots were published\n", (unsigned long long)stress.holds,
                  ROOTS);
    deinit(&stress.snapshots, &stress.alloc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_hold_what_was_newest_and_are_reported_once_each),
        cmocka_unit_test(a_thread_gets_the_slot_that_it_used_last),
        cmocka_unit_test(when_all_slots_are_taken_the_answer_is_busy),
        cmocka_unit_test(a_held_root_is_whole_and_never_reusable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
