/* txn_snapshot_yield_test.c: every place at which publications can fall into taking and holding
 * a slot. The yield point of base/atomic.h stands before each ordered access, so that the whole
 * publisher can run there; snapshot.c is compiled in here with that hook. */
#define NS__YIELD_HOOK 1
#include "harness/test.h"

#include "txn/snapshot.c"

#define SLOTS 4u

static struct ns__snapshots snapshots;
static struct ns__alloc alloc;

/* What happens at the yield point number `at` (and again at `again`): so many publications, then
 * a scan. */
static struct {
    uint64_t count; /* yield points passed */
    uint64_t at, again;
    uint32_t publications;
    bool is_inside;
    uint64_t scanned_at; /* newest generation when the last scan was made; 0: none */
    uint64_t held[SLOTS];
    uint32_t held_count;
} plan;

static struct ns__root root_of(uint64_t generation)
{
    struct ns__root root;
    uint64_t words[NS__ROOT_WORDS];
    for (size_t i = 0; i < NS__ROOT_WORDS; i++)
        words[i] = generation * (2 * i + 1);
    memcpy(&root, words, sizeof root);
    return root;
}

void ns__yield(void)
{
    if (plan.is_inside) return;
    uint64_t now = plan.count++;
    if (now != plan.at && now != plan.again) return;
    plan.is_inside = true;
    for (uint32_t i = 0; i < plan.publications; i++) {
        struct ns__root root = root_of(snapshots.generation + 1);
        ns__snapshots_publish(&snapshots, &root);
    }
    plan.scanned_at = snapshots.generation;
    plan.held_count = ns__snapshots_held(&snapshots, plan.held);
    plan.is_inside = false;
}

static bool was_reported(uint64_t generation)
{
    for (uint32_t i = 0; i < plan.held_count; i++) {
        if (plan.held[i] == generation) return true;
    }
    return false;
}

/* Takes a slot and holds, with the plan; checks what must be so then. False when the plan was
 * not reached. */
static bool try_plan(uint64_t at, uint64_t again, uint32_t publications, bool is_parked)
{
    struct ns__root first = root_of(1000), root, wanted;
    struct ns__slot *slot;
    memset(&plan, 0, sizeof plan);
    plan.is_inside = true; /* not yet */
    ns__alloc_init(&alloc, NULL);
    CHECK_OK(ns__snapshots_init(&snapshots, &alloc, SLOTS, &first));
    if (is_parked) {
        CHECK_OK(ns__slot_take(&snapshots, &slot));
        ns__slot_hold(&snapshots, slot, &root);
        ns__slot_park(slot);
    }
    plan.at = at;
    plan.again = again;
    plan.publications = publications;
    plan.is_inside = false;
    if (!is_parked) CHECK_OK(ns__slot_take(&snapshots, &slot));
    ns__slot_hold(&snapshots, slot, &root);
    plan.is_inside = true;

    wanted = root_of(root.generation);
    assert_memory_equal(&root, &wanted, sizeof root);
    assert_int_equal(slot->generation, root.generation);
    if (root.generation < plan.scanned_at) assert_true(was_reported(root.generation));
    bool was_reached = plan.count > at;
    if (was_reached) assert_in_range(root.generation, 1000, snapshots.generation);
    ns__snapshots_deinit(&snapshots);
    return was_reached;
}

static void a_publication_at_any_point_of_holding_is_safe(void **state)
{
    (void)state;
    static const uint32_t publications[] = {1, 2, 62, 63, 64, 65, 200};
    uint64_t plans = 0;
    for (uint32_t parked = 0; parked < 2; parked++) {
        for (size_t i = 0; i < sizeof publications / sizeof publications[0]; i++) {
            for (uint64_t at = 0; try_plan(at, UINT64_MAX, publications[i], parked == 1); at++) {
                plans++;
            }
        }
    }
    print_message("%llu plans\n", (unsigned long long)plans);
    assert_true(plans > 200);
}

static void publications_at_any_two_points_are_safe(void **state)
{
    (void)state;
    static const uint32_t publications[] = {1, 64, 65};
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t at = 0; try_plan(at, UINT64_MAX, publications[i], false); at++) {
            for (uint64_t again = at + 1; again < at + 60; again++) {
                (void)try_plan(at, again, publications[i], false);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publication_at_any_point_of_holding_is_safe),
        cmocka_unit_test(publications_at_any_two_points_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
