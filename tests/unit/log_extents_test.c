/* log_extents_test.c: preparing and trimming, the list of extents, its continuation pages, and
 * threads beside the appender. */
#include "unit/log_world.h"

#include <pthread.h>

static void append_ok(struct world *world, uint64_t id, size_t body_bytes, bool is_sync)
{
    uint64_t end;
    CHECK_OK(world_append(world, id, body_bytes, is_sync, &end));
}

struct runs {
    uint64_t extents, single_pages;
};

static ns_status count_runs(void *ctx, uint64_t page, uint64_t pages)
{
    struct runs *runs = ctx;
    (void)page;
    runs->extents++;
    runs->single_pages += pages == 1;
    return NS_OK;
}

static struct runs runs_of(struct world *world)
{
    struct runs runs = {0};
    CHECK_OK(ns__log_visit_pages(world->log, count_runs, &runs));
    return runs;
}

/* Takes every nth page, so that extents do not adjoin. */
static void break_up_space(struct world *world, uint64_t nth)
{
    for (uint64_t page = WORLD_FIRST_PAGE + nth; page < WORLD_PAGES_MAX; page += nth) {
        world->space.taken[page] = 1;
    }
}

static void join_space(struct world *world, uint64_t nth)
{
    for (uint64_t page = WORLD_FIRST_PAGE + nth; page < WORLD_PAGES_MAX; page += nth) {
        world->space.taken[page] = 0;
    }
}

static void adjoining_extents_become_one(void **state)
{
    (void)state;
    struct world world;
    struct ns__log_tail tail;
    world_new(&world, 0, 4096, 4, false);
    for (uint64_t id = 1; id <= 100; id++) {
        append_ok(&world, id, 1000, true);
    }
    assert_int_equal(runs_of(&world).extents, 1);
    CHECK_OK(ns__log_prepare(world.log, 100 * 4096));
    assert_int_equal(runs_of(&world).extents, 1);
    assert_true(ns__log_room(world.log) >= 100 * 4096);
    CHECK_OK(ns__log_mark_clean(world.log));
    CHECK_OK(world_reopen(&world, 0, 0, &tail));
    check_read(&world, 0, 1, 100);
    world_check(&world);
    world_free(&world);
}

static void trim_drops_whole_extents_and_gives_their_pages(void **state)
{
    (void)state;
    for (uint64_t broken = 0; broken <= 5; broken += 5) {
        struct world world;
        struct ns__log_tail tail;
        uint64_t ends[101] = {0};
        world_new(&world, 0, 4096, 4, false);
        world.space.scribble = true;
        if (broken > 0) break_up_space(&world, broken);
        for (uint64_t id = 1; id <= 100; id++) {
            append_ok(&world, id, 1000, true);
            ends[id] = ns__log_end(world.log);
        }
        uint64_t pages = ns__log_pages(world.log);
        for (uint64_t id = 0; id <= 100; id++) {
            CHECK_OK(ns__log_trim(world.log, ends[id]));
            assert_true(ns__log_start(world.log) <= ends[id]);
            assert_true(ends[id] - ns__log_start(world.log) < 5 * 4096);
            check_read(&world, ends[id], id < 100 ? id + 1 : 0, id < 100 ? 100 : 0);
        }
        assert_true(ns__log_pages(world.log) <= 8 && pages >= 28);
        uint64_t first, last;
        CHECK_STATUS(world_read(&world, 0, ends[100], &first, &last), NS_GONE);
        if (broken > 0) join_space(&world, broken);
        world_check(&world);
        CHECK_OK(world_reopen(&world, ends[100], 0, &tail));
        append_ok(&world, 101, 1000, true);
        check_read(&world, ends[100], 101, 101);
        world_check(&world);
        world_free(&world);
    }
}

static void trim_never_drops_the_end(void **state)
{
    (void)state;
    struct world world;
    world_new(&world, 0, 4096, 1, false);
    CHECK_OK(ns__log_trim(world.log, UINT64_MAX));
    append_ok(&world, 1, 4096 - 32 - 80, true); /* ends where the extent ends */
    assert_int_equal(ns__log_room(world.log), 0);
    CHECK_OK(ns__log_trim(world.log, UINT64_MAX));
    assert_int_equal(ns__log_pages(world.log), 1);
    append_ok(&world, 2, 24, true);
    check_read(&world, 0, 1, 2);
    world_check(&world);
    world_free(&world);
}

/* FMT-19 */
static void long_lists_continue_in_pages_of_their_own(void **state)
{
    (void)state;
    struct world world;
    struct ns__log_tail tail;
    uint64_t ends[501] = {0};
    world_new(&world, 0, 4096, 1, false);
    break_up_space(&world, 2);
    for (uint64_t id = 1; id <= 500; id++) {
        append_ok(&world, id, 4096 - 32 - 80, true);
        ends[id] = ns__log_end(world.log);
    }
    assert_true(ns__log_pages(world.log) > 500);
    join_space(&world, 2);
    world_check(&world);
    CHECK_OK(ns__log_mark_clean(world.log));
    CHECK_OK(world_reopen(&world, 0, 0, &tail));
    check_read(&world, 0, 1, 500);
    world_check(&world);
    for (uint64_t id = 0; id <= 500; id += 7) {
        CHECK_OK(ns__log_trim(world.log, ends[id]));
        world_check(&world);
        check_read(&world, ends[id], id < 500 ? id + 1 : 0, id < 500 ? 500 : 0);
        if (id % 35 == 0) CHECK_OK(world_reopen(&world, ends[id], ends[id], &tail));
    }
    assert_true(ns__log_pages(world.log) < 10);
    world_free(&world);
}

/* Cuts the power at every call of preparing and trimming a list with a chain. */
static void chains_survive_every_power_cut(void **state)
{
    (void)state;
    struct world base;
    world_new(&base, NS__MEM_DURABILITY, 4096, 1, false);
    break_up_space(&base, 2);
    uint64_t id = 0, trim_to = 0;
    for (; id < 124; id++) {
        append_ok(&base, id + 1, 4096 - 32 - 80, true);
        if (id == 100) trim_to = ns__log_end(base.log);
    }
    CHECK_OK(ns__log_mark_clean(base.log));
    world_detach(&base);
    bool is_stopped = true;
    for (uint64_t nth = 1; is_stopped; nth++) {
        struct world world;
        struct ns__mem *mem, *after;
        struct ns__log_tail tail;
        CHECK_OK(ns__mem_clone(base.mem, &mem));
        memset(&world, 0, sizeof world);
        CHECK_OK(world_attach(&world, mem, 4096));
        world.options.extent_bytes = 4096;
        world.space.scribble = true;
        CHECK_OK(world_recover(&world, 0, 0, &tail));
        for (uint64_t page = WORLD_FIRST_PAGE; page < WORLD_PAGES_MAX; page += 2) {
            if (page > WORLD_FIRST_PAGE + 300) world.space.taken[page] = 1;
        }
        ns__mem_stop_at(mem, nth);
        uint64_t end, done = id, from = 0;
        for (int i = 0; i < 70; i++) { /* the chain is made, and made once more */
            if (world_append(&world, done + 1, 4096 - 32 - 80, true, &end) != NS_OK) break;
            done++;
        }
        if (!ns__mem_stopped(mem)) {
            from = trim_to;
            (void)ns__log_trim(world.log, trim_to);
        }
        is_stopped = ns__mem_stopped(mem);
        for (uint64_t seed = 0; seed < 2; seed++) {
            struct world second;
            CHECK_OK(ns__mem_crash(mem, 512, NULL, NULL, seed, &after));
            memset(&second, 0, sizeof second);
            CHECK_OK(world_attach(&second, after, 4096));
            second.options.extent_bytes = 4096;
            CHECK_OK(world_recover(&second, from, from, &tail));
            uint64_t first, last;
            CHECK_OK(world_read(&second, from, tail.end, &first, &last));
            assert_true(last == done || last == done + 1);
            assert_int_equal(first, from == 0 ? 1 : 102);
            world_check(&second);
            world_free(&second);
        }
        world_free(&world);
    }
    ns__mem_free(base.mem);
}

static void a_damaged_continuation_page_is_corruption(void **state)
{
    (void)state;
    struct world world;
    world_new(&world, 0, 4096, 1, false);
    break_up_space(&world, 2);
    for (uint64_t id = 1; id <= 130; id++) {
        append_ok(&world, id, 4096 - 32 - 80, true);
    }
    ns_slice content;
    CHECK_OK(ns__mem_file_get(world.mem, WORLD_PATH, &content));
    uint8_t *bytes = malloc(content.size);
    assert_non_null(bytes);
    memcpy(bytes, content.data, content.size);
    uint64_t page = ns__load64(bytes + 2 * 4096 + 48); /* "first continuation page" */
    assert_true(page > 0);
    world_detach(&world);
    for (uint64_t bit = 0; bit < 4096 * 8; bit += 3) {
        bytes[page * 4096 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK_OK(ns__mem_file_set(world.mem, WORLD_PATH, ns_bytes(bytes, content.size)));
        CHECK_OK(world_attach(&world, world.mem, 4096));
        CHECK_STATUS(world_load(&world), NS_CORRUPT);
        world_detach(&world);
        bytes[page * 4096 + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ns__mem_free(world.mem);
    free(bytes);
}

static void without_space_smaller_extents_are_prepared(void **state)
{
    (void)state;
    struct world world;
    uint64_t end;
    world_new(&world, 0, 4096, 16, false);
    world.space.limit = WORLD_FIRST_PAGE + 16 + 5;
    world.space.reserve = 8;
    append_ok(&world, 1, 60000, true);
    append_ok(&world, 2, 9000, true);
    append_ok(&world, 3, 9000, true);
    uint64_t before = ns__log_end(world.log);
    CHECK_STATUS(world_append(&world, 4, 15000, true, &end), NS_FULL);
    assert_int_equal(ns__log_end(world.log), before);
    append_ok(&world, 4, 24, true); /* nothing was written, so the log goes on */
    CHECK_STATUS(ns__log_reserve(world.log, 15000, false), NS_FULL);
    CHECK_OK(ns__log_reserve(world.log, 15000, true));
    append_ok(&world, 5, 14000, true);
    check_read(&world, 0, 1, 5);
    CHECK_STATUS(ns__log_reserve(world.log, UINT64_MAX - 8, true), NS_FULL);
    CHECK_STATUS(ns__log_prepare(world.log, UINT64_MAX), NS_FULL);
    world_check(&world);
    world_free(&world);
}

static void failing_calls_of_prepare_and_trim_lose_nothing(void **state)
{
    (void)state;
    for (int is_trim = 0; is_trim < 2; is_trim++) {
        ns_status status = NS_IO;
        for (uint64_t nth = 1; status != NS_OK; nth++) {
            struct world world;
            struct ns__log_tail tail;
            world_new(&world, NS__MEM_DURABILITY, 4096, 1, false);
            append_ok(&world, 1, 9000, true);
            append_ok(&world, 2, 9000, true);
            ns__mem_fail(world.mem, nth, 0, NS_IO, false);
            status =
                is_trim != 0 ? ns__log_trim(world.log, 9112) : ns__log_prepare(world.log, 5 * 4096);
            if (status != NS_OK) assert_true(strlen(ns_error_detail()) > 0);
            ns__mem_fail(world.mem, 0, 0, NS_OK, false);
            check_read(&world, 9112, 2, 2);
            CHECK_OK(world_reopen(&world, 9112, 0, &tail));
            check_read(&world, 9112, 2, 2);
            world_check(&world);
            world_free(&world);
        }
    }
}

/* ---- threads ---- */

struct race {
    struct world world;
    uint64_t stop; /* atomic */
    uint64_t trimmed;
    uint64_t ends[3001];
    uint64_t appended; /* atomic: ids */
};

static void *race_prepare(void *ctx)
{
    struct race *race = ctx;
    while (ns__atomic_load(&race->stop) == 0) {
        if (ns__log_prepare(race->world.log, 5 * 4096) != NS_OK) return race;
    }
    return NULL;
}

static void *race_trim(void *ctx)
{
    struct race *race = ctx;
    struct ns__prng prng = {.state = 5};
    while (ns__atomic_load(&race->stop) == 0) {
        uint64_t id = ns__atomic_load(&race->appended);
        if (id > 400 && ns__prng_below(&prng, 8) == 0) {
            if (ns__log_trim(race->world.log, race->ends[id - 300]) != NS_OK) return race;
        }
    }
    return NULL;
}

static void *race_read(void *ctx)
{
    struct race *race = ctx;
    struct ns__log_reader reader;
    uint64_t wanted = 1;
    ns__log_reader_init(&reader, race->world.log, 0);
    while (ns__atomic_load(&race->stop) == 0 && wanted <= 3000) {
        struct ns__record record;
        ns_slice bytes;
        ns_status status =
            ns__log_reader_next(&reader, ns__log_durable(race->world.log), &record, &bytes);
        if (status == NS_GONE) {
            uint64_t id = ns__atomic_load(&race->appended);
            ns__log_reader_deinit(&reader);
            ns__log_reader_init(&reader, race->world.log, race->ends[id - 1]);
            wanted = id;
        } else if (status == NS_OK) {
            if (record.txn_id != wanted || !record_is_right(&record, bytes)) return race;
            wanted++;
        } else if (status != NS_NOTFOUND) {
            return race;
        }
    }
    ns__log_reader_deinit(&reader);
    return NULL;
}

static void readers_prepare_and_trim_run_beside_the_appender(void **state)
{
    (void)state;
    struct race *race = calloc(1, sizeof *race);
    assert_non_null(race);
    world_new(&race->world, 0, 4096, 2, false);
    race->world.space.scribble = true;
    pthread_t threads[4];
    assert_int_equal(pthread_create(&threads[0], NULL, race_prepare, race), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, race_trim, race), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, race_read, race), 0);
    assert_int_equal(pthread_create(&threads[3], NULL, race_read, race), 0);
    for (uint64_t id = 1; id <= 3000; id++) {
        append_ok(&race->world, id, 24 + id % 500, id % 3 != 0);
        race->ends[id] = ns__log_end(race->world.log);
        ns__atomic_store(&race->appended, id);
    }
    ns__atomic_store(&race->stop, 1);
    for (size_t i = 0; i < 4; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    world_check(&race->world);
    world_free(&race->world);
    free(race);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adjoining_extents_become_one),
        cmocka_unit_test(trim_drops_whole_extents_and_gives_their_pages),
        cmocka_unit_test(trim_never_drops_the_end),
        cmocka_unit_test(long_lists_continue_in_pages_of_their_own),
        cmocka_unit_test(chains_survive_every_power_cut),
        cmocka_unit_test(a_damaged_continuation_page_is_corruption),
        cmocka_unit_test(without_space_smaller_extents_are_prepared),
        cmocka_unit_test(failing_calls_of_prepare_and_trim_lose_nothing),
        cmocka_unit_test(readers_prepare_and_trim_run_beside_the_appender),
    };
    return cmocka_run_group_tests_name("log_extents", tests, NULL, NULL);
}
