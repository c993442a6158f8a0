/* pager_waiting_test.c: a dead thing comes back exactly when no holder is left between its birth
 * and its death; nothing is lost, nothing comes back twice, and waiting needs no memory. */
#include "harness/test.h"

#include <stdlib.h>
#include <string.h>
#include "base/prng.h"
#include "pager/waiting.h"

#define HOLDERS 12u
#define THINGS 6000u

struct fate {
    uint64_t pages, birth, death;
    enum { UNMADE, WAITING, GIVEN_BACK } now;
};

struct model {
    struct ns__alloc alloc;
    struct ns__thing_pool pool;
    struct ns__waiting waiting;
    struct ns__prng prng;
    struct fate fates[THINGS];
    uint64_t made, generation;
    uint64_t holders[HOLDERS];
    uint32_t holder_count;
};

static bool has_memory = true;

static void *sometimes(void *ctx, size_t size)
{
    (void)ctx;
    return has_memory ? malloc(size) : NULL;
}

static void *never(void *ctx, void *old, size_t old_size, size_t size)
{
    (void)ctx;
    (void)old_size;
    return has_memory ? realloc(old, size) : NULL;
}

static void release(void *ctx, void *old, size_t size)
{
    (void)ctx;
    (void)size;
    free(old);
}

static struct model *model_new(uint64_t seed)
{
    struct model *model = calloc(1, sizeof *model);
    assert_non_null(model);
    const struct ns_allocator seam = {NULL, sometimes, never, release};
    has_memory = true;
    ns__alloc_init(&model->alloc, &seam);
    ns__pool_init(&model->pool, &model->alloc);
    CHECK_OK(ns__waiting_init(&model->waiting, &model->alloc, HOLDERS));
    model->prng.state = seed;
    model->generation = 1;
    return model;
}

static void model_free(struct model *model)
{
    ns__waiting_deinit(&model->waiting);
    ns__waiting_deinit(&model->waiting); /* a zeroed one is fine */
    ns__pool_deinit(&model->pool);
    assert_int_equal(model->alloc.bytes, 0);
    free(model);
}

/* ---- the rule, said in another way ---- */

static bool is_held(const struct model *model, const struct fate *fate)
{
    for (uint32_t i = 0; i < model->holder_count; i++) {
        uint64_t root = model->holders[i];
        if (fate->birth <= root && root < fate->death) return true;
    }
    return false;
}

static uint64_t newest_holder_of(const struct model *model, const struct fate *fate)
{
    uint64_t newest = 0;
    for (uint32_t i = 0; i < model->holder_count; i++) {
        uint64_t root = model->holders[i];
        if (fate->birth <= root && root < fate->death && root > newest) newest = root;
    }
    return newest;
}

/* ---- the checker ---- */

static void check_buckets(const struct model *model, uint64_t *waiting_out)
{
    const struct ns__waiting *waiting = &model->waiting;
    uint64_t pages = 0, things = 0;
    assert_true(waiting->count <= model->holder_count);
    for (uint32_t i = 0; i < waiting->count; i++) {
        const struct ns__bucket *bucket = &waiting->buckets[i];
        uint64_t here = 0;
        if (i > 0) assert_true(waiting->buckets[i - 1].holder < bucket->holder);
        for (const struct ns__thing *t = bucket->things; t != NULL; t = t->next) {
            const struct fate *fate = &model->fates[t->number];
            assert_int_equal(fate->now, WAITING);
            assert_true(fate->birth == t->birth && fate->death == t->death);
            /* Things that have a newer holder may lie with an older one only if it was that when
             * they came. */
            assert_true(t->birth <= bucket->holder && bucket->holder < t->death);
            assert_int_equal(newest_holder_of(model, fate), bucket->holder);
            here += t->pages == 0 ? 1 : t->pages;
            things++;
        }
        assert_int_equal(here, bucket->pages);
        pages += here;
    }
    assert_int_equal(pages, waiting->pages);
    *waiting_out = things;
}

static void check_model(const struct model *model)
{
    uint64_t should_wait = 0, waiting;
    for (uint64_t i = 0; i < model->made; i++) {
        const struct fate *fate = &model->fates[i];
        assert_int_equal(fate->now == WAITING, is_held(model, fate));
        should_wait += fate->now == WAITING;
    }
    check_buckets(model, &waiting);
    assert_int_equal(waiting, should_wait);
}

/* ---- steps ---- */

/* Some things that the newest generation drops. */
static struct ns__thing *drop_some(struct model *model, uint64_t most)
{
    struct ns__thing *dead = NULL;
    uint64_t count = ns__prng_below(&model->prng, most + 1);
    for (uint64_t i = 0; i < count && model->made < THINGS; i++) {
        struct fate *fate = &model->fates[model->made];
        fate->death = model->generation;
        fate->birth = 1 + ns__prng_below(&model->prng, model->generation - 1);
        fate->pages = ns__prng_below(&model->prng, 4);
        fate->now = WAITING;
        struct ns__thing *thing =
            ns__pool_take(&model->pool, model->made, fate->pages, fate->birth, fate->death);
        assert_non_null(thing);
        thing->next = dead;
        dead = thing;
        model->made++;
    }
    return dead;
}

/* Holders come at the newest generation only, and go in any order. */
static void move_holders(struct model *model)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < model->holder_count; i++) {
        if (ns__prng_below(&model->prng, 4) != 0) model->holders[kept++] = model->holders[i];
    }
    model->holder_count = kept;
    if (kept < HOLDERS && ns__prng_below(&model->prng, 3) != 0) {
        model->holders[model->holder_count++] = model->generation;
    }
}

static void sift(struct model *model, struct ns__thing *dead)
{
    struct ns__thing *loose =
        ns__waiting_sift(&model->waiting, dead, model->holders, model->holder_count);
    while (loose != NULL) {
        struct ns__thing *thing = loose;
        loose = thing->next;
        assert_int_equal(model->fates[thing->number].now, WAITING); /* not given back before */
        model->fates[thing->number].now = GIVEN_BACK;
        ns__pool_give(&model->pool, thing);
    }
}

/* ---- tests ---- */

static void a_thing_comes_back_exactly_when_no_holder_reaches_it(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct model *model = model_new(seed);
        for (int step = 0; step < 200; step++) {
            model->generation++;
            struct ns__thing *dead = drop_some(model, 25);
            sift(model, dead);
            check_model(model);
            move_holders(model);
            sift(model, NULL);
            check_model(model);
        }
        model->holder_count = 0;
        sift(model, NULL);
        check_model(model);
        assert_int_equal(model->waiting.pages, 0);
        model_free(model);
    }
}

static void the_borders_of_the_interval_are_birth_included_and_death_excluded(void **state)
{
    (void)state;
    const struct {
        uint64_t birth, death, holder;
        bool is_held;
    } cases[] = {
        {5, 8, 4, false}, {5, 8, 5, true},  {5, 8, 7, true},
        {5, 8, 8, false}, {5, 8, 9, false}, {5, 6, 5, true},
        {5, 6, 6, false}, {1, 2, 1, true},  {1, UINT64_MAX, UINT64_MAX - 1, true},
        {7, 7, 7, false},
    };
    struct model *model = model_new(0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ns__thing *thing = ns__pool_take(&model->pool, i, 1, cases[i].birth, cases[i].death);
        struct ns__thing *loose = ns__waiting_sift(&model->waiting, thing, &cases[i].holder, 1);
        assert_ptr_equal(loose, cases[i].is_held ? NULL : thing);
        assert_int_equal(model->waiting.pages, cases[i].is_held);
        if (loose == NULL) loose = ns__waiting_sift(&model->waiting, NULL, NULL, 0);
        assert_ptr_equal(loose, thing);
        assert_null(loose->next);
        ns__pool_give(&model->pool, loose);
    }
    check_model(model);
    model_free(model);
}

/* Promise 4. */
static void a_parked_reader_holds_what_it_sees_and_nothing_younger(void **state)
{
    (void)state;
    struct model *model = model_new(3);
    model->holders[0] = 100;
    model->holder_count = 1;
    for (model->generation = 101; model->generation < 400; model->generation++) {
        sift(model, drop_some(model, 10));
        check_model(model);
    }
    uint64_t seen = 0;
    for (uint64_t i = 0; i < model->made; i++) {
        seen += model->fates[i].birth <= 100;
        assert_int_equal(model->fates[i].now == WAITING, model->fates[i].birth <= 100);
    }
    assert_true(seen > 10 && seen < model->made / 2);
    model_free(model);
}

static void waiting_needs_no_memory_once_the_pool_has_room(void **state)
{
    (void)state;
    struct model *model = model_new(4);
    CHECK_OK(ns__pool_reserve(&model->pool, 3000));
    assert_true(model->pool.free_count >= 3000);
    uint64_t calls = model->alloc.calls;
    has_memory = false;
    for (int step = 0; step < 150; step++) {
        model->generation++;
        sift(model, drop_some(model, 20));
        move_holders(model);
        sift(model, NULL);
        check_model(model);
    }
    assert_int_equal(model->alloc.calls, calls);
    has_memory = true;
    model_free(model);
}

static void an_empty_pool_says_that_there_is_no_memory_and_recovers(void **state)
{
    (void)state;
    struct model *model = model_new(5);
    has_memory = false;
    CHECK_STATUS(ns__pool_reserve(&model->pool, 1), NS_NOMEM);
    assert_null(ns__pool_take(&model->pool, 1, 1, 1, 2));
    CHECK_OK(ns__pool_reserve(&model->pool, 0));
    struct ns__waiting other;
    CHECK_STATUS(ns__waiting_init(&other, &model->alloc, 4), NS_NOMEM);
    ns__waiting_deinit(&other);
    has_memory = true;
    CHECK_OK(ns__pool_reserve(&model->pool, 1));
    has_memory = false;
    uint64_t taken = 0, room = model->pool.free_count;
    struct ns__thing *list = NULL, *thing;
    while ((thing = ns__pool_take(&model->pool, taken, 0, 1, 2)) != NULL) {
        thing->next = list;
        list = thing;
        taken++;
    }
    assert_int_equal(taken, room);
    assert_int_equal(model->pool.free_count, 0);
    while (list != NULL) {
        thing = list;
        list = thing->next;
        ns__pool_give(&model->pool, thing);
    }
    assert_int_equal(model->pool.free_count, room);
    check_model(model);
    has_memory = true;
    model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thing_comes_back_exactly_when_no_holder_reaches_it),
        cmocka_unit_test(the_borders_of_the_interval_are_birth_included_and_death_excluded),
        cmocka_unit_test(a_parked_reader_holds_what_it_sees_and_nothing_younger),
        cmocka_unit_test(waiting_needs_no_memory_once_the_pool_has_room),
        cmocka_unit_test(an_empty_pool_says_that_there_is_no_memory_and_recovers),
    };
    return cmocka_run_group_tests_name("pager_waiting", tests, NULL, NULL);
}
