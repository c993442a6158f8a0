/* log_append_test.c: appending, reading back, closing and opening again, without crashes. */
#include "unit/log_world.h"

static void append_ok(struct world *world, uint64_t id, size_t body_bytes, bool is_sync)
{
    uint64_t before = ns__log_end(world->log), end;
    CHECK_OK(world_append(world, id, body_bytes, is_sync, &end));
    assert_true(end > before);
    assert_int_equal(end, ns__log_end(world->log));
    if (is_sync) assert_int_equal(ns__log_durable(world->log), end);
}

static void a_new_log_is_empty_and_prepared(void **state)
{
    (void)state;
    struct world world;
    world_new(&world, 0, 4096, 4, false);
    assert_int_equal(ns__log_end(world.log), 0);
    assert_int_equal(ns__log_durable(world.log), 0);
    assert_int_equal(ns__log_start(world.log), 0);
    assert_int_equal(ns__log_room(world.log), 4 * 4096);
    assert_int_equal(ns__log_pages(world.log), 4);
    check_read(&world, 0, 0, 0);
    world_check(&world);
    world_free(&world);
}

/* FMT-21, FMT-23 */
static void a_sync_append_is_one_sync_write_of_whole_blocks(void **state)
{
    (void)state;
    struct world world;
    world_new(&world, 0, 4096, 16, false);
    for (uint64_t id = 1; id <= 200; id++) {
        struct ns__mem_counters before, after;
        ns__mem_counters(world.mem, &before);
        append_ok(&world, id, 8 * (id % 40), true);
        ns__mem_counters(world.mem, &after);
        assert_int_equal(ns__log_pages(world.log), 16);
        assert_int_equal(after.sync_writes, before.sync_writes + 1);
        assert_int_equal((after.sync_write_bytes - before.sync_write_bytes) % 4096, 0);
        assert_int_equal(after.writes - before.writes, 0);
        assert_int_equal(after.syncs, before.syncs);
    }
    check_read(&world, 0, 1, 200);
    world_check(&world);
    world_free(&world);
}

/* FMT-22, FMT-23 */
static void behind_the_end_everything_is_zero(void **state)
{
    (void)state;
    for (int padded = 0; padded < 2; padded++) {
        struct world world;
        world_new(&world, 0, 4096, 16, padded != 0);
        for (uint64_t id = 1; id <= 12; id++) {
            append_ok(&world, id, 8 * id * id, id % 3 != 0);
            ns_slice content;
            CHECK_OK(ns__mem_file_get(world.mem, WORLD_PATH, &content));
            size_t at = WORLD_FIRST_PAGE * 4096 + (size_t)ns__log_end(world.log);
            size_t end = WORLD_FIRST_PAGE * 4096 + 16 * 4096;
            for (; at < end; at++) {
                assert_int_equal(((const uint8_t *)content.data)[at], 0);
            }
        }
        world_free(&world);
    }
}

static void records_survive_kill_and_clean_close(void **state)
{
    (void)state;
    static const uint32_t page_sizes[] = {4096, 8192, 65536};
    for (size_t p = 0; p < 3; p++) {
        for (int padded = 0; padded < 2; padded++) {
            struct world world;
            struct ns__log_tail tail;
            world_new(&world, 0, page_sizes[p], 3, padded != 0);
            uint64_t id = 0;
            for (int round = 0; round < 12; round++) {
                for (int i = 0; i < 9; i++, id++) {
                    append_ok(&world, id + 1, (id * 977) % 15000, id % 3 == 0);
                }
                uint64_t end = ns__log_end(world.log);
                if (round % 3 == 0) CHECK_OK(ns__log_mark_clean(world.log));
                CHECK_OK(world_reopen(&world, 0, 0, &tail));
                assert_int_equal(tail.is_clean, round % 3 == 0);
                assert_int_equal(tail.end, end);
                assert_int_equal(ns__log_durable(world.log), end);
                check_read(&world, 0, 1, id);
                world_check(&world);
            }
            world_free(&world);
        }
    }
}

static void one_envelope_carries_many_records(void **state)
{
    (void)state;
    struct world world;
    world_new(&world, 0, 4096, 4, false);
    struct ns__hash_piece pieces[50];
    for (uint64_t i = 0; i < 50; i++) {
        pieces[i].data = record_new(i + 1, (size_t)(i * 31), &pieces[i].size);
    }
    uint64_t end;
    CHECK_OK(ns__log_append(world.log, pieces, 50, true, &end));
    CHECK_OK(ns__log_append(world.log, NULL, 0, true, &end)); /* an empty one is skipped */
    for (size_t i = 0; i < 50; i++) {
        free((void *)(uintptr_t)pieces[i].data);
    }
    append_ok(&world, 51, 0, true);
    check_read(&world, 0, 1, 51);
    world_free(&world);
}

static void an_envelope_spans_extents(void **state)
{
    (void)state;
    struct world world;
    struct ns__log_tail tail;
    world_new(&world, 0, 4096, 2, false);
    for (uint64_t id = 1; id <= 6; id++) {
        /* a page between the extents keeps them apart */
        uint64_t page;
        CHECK_OK(ns__space_take(&world.space, 1, false, &page));
        append_ok(&world, id, id * 9001, id % 2 == 0);
    }
    check_read(&world, 0, 1, 6);
    for (uint64_t i = 0; i < WORLD_PAGES_MAX; i++) {
        world.space.taken[i] = 0;
    }
    CHECK_OK(world_reopen(&world, 0, 0, &tail));
    check_read(&world, 0, 1, 6);
    world_check(&world);
    world_free(&world);
}

/* FMT-24 */
static void padded_envelopes_start_at_blocks(void **state)
{
    (void)state;
    struct world world;
    world_new(&world, 0, 8192, 3, true);
    for (uint64_t id = 1; id <= 40; id++) {
        uint64_t start = ns__log_end(world.log);
        assert_int_equal(start % 4096, 0); /* extents start at blocks here */
        append_ok(&world, id, (size_t)(id * 501), id % 2 == 0);
        assert_int_equal(ns__log_end(world.log) - start,
                         (32 + ns__record_padded(80 + id * 501) + 4095) / 4096 * 4096);
    }
    check_read(&world, 0, 1, 40);
    world_free(&world);
}

static void a_sync_append_after_others_syncs_them_too(void **state)
{
    (void)state;
    struct world world;
    world_new(&world, NS__MEM_DURABILITY, 4096, 16, false);
    append_ok(&world, 1, 100, false);
    append_ok(&world, 2, 5000, false);
    assert_int_equal(ns__log_durable(world.log), 0);
    struct ns__mem_counters before, after;
    ns__mem_counters(world.mem, &before);
    append_ok(&world, 3, 100, true);
    ns__mem_counters(world.mem, &after);
    assert_int_equal(after.syncs, before.syncs + 1);
    assert_int_equal(after.sync_writes, before.sync_writes);
    struct ns__mem_pending pending;
    ns__mem_pending(world.mem, 512, &pending);
    assert_int_equal(pending.atoms, 0);
    world_free(&world);
}

static void the_first_append_after_a_clean_open_marks_both_maps(void **state)
{
    (void)state;
    struct world world;
    struct ns__log_tail tail;
    world_new(&world, 0, 4096, 4, false);
    append_ok(&world, 1, 100, true);
    CHECK_OK(ns__log_mark_clean(world.log));
    CHECK_OK(world_reopen(&world, 0, 0, &tail));
    assert_true(tail.is_clean);
    struct ns__mem_counters before, after;
    ns__mem_counters(world.mem, &before);
    append_ok(&world, 2, 100, false);
    ns__mem_counters(world.mem, &after);
    assert_int_equal(after.sync_writes, before.sync_writes + 2);
    append_ok(&world, 3, 100, false);
    ns__mem_counters(world.mem, &before);
    assert_int_equal(after.sync_writes, before.sync_writes);
    CHECK_OK(world_reopen(&world, 0, 0, &tail));
    assert_false(tail.is_clean);
    check_read(&world, 0, 1, 3);
    world_free(&world);
}

static void after_a_failed_append_the_log_refuses(void **state)
{
    (void)state;
    for (int is_sync = 0; is_sync < 2; is_sync++) {
        struct world world;
        struct ns__log_tail tail;
        uint64_t end;
        world_new(&world, NS__MEM_DURABILITY, 4096, 4, false);
        append_ok(&world, 1, 100, true);
        ns__mem_fail(world.mem, 1, 0, NS_IO, false);
        CHECK_STATUS(world_append(&world, 2, 300, is_sync != 0, &end), NS_IO);
        assert_non_null(strstr(ns_error_detail(), "append at log offset 216: write page 31: "));
        CHECK_STATUS(world_append(&world, 2, 300, true, &end), NS_POISONED);
        assert_true(strlen(ns_error_detail()) > 0);
        CHECK_STATUS(ns__log_mark_clean(world.log), NS_POISONED);
        CHECK_STATUS(ns__log_prepare(world.log, 1 << 20), NS_POISONED);
        CHECK_STATUS(ns__log_trim(world.log, 8), NS_POISONED);
        check_read(&world, 0, 1, 1); /* reading goes on */
        CHECK_OK(world_reopen(&world, 0, 0, &tail));
        uint64_t first, last;
        CHECK_OK(world_read(&world, 0, tail.end, &first, &last));
        assert_true(first == 1 && (last == 1 || last == 2));
        append_ok(&world, last + 1, 300, true);
        world_check(&world);
        world_free(&world);
    }
}

/* Memory that runs out at the nth request. */
static uint64_t memory_left;

static void *limited_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return memory_left > 0 && --memory_left > 0 ? malloc(size) : NULL;
}

static void *limited_resize(void *ctx, void *old, size_t old_size, size_t size)
{
    (void)ctx;
    (void)old_size;
    return memory_left > 0 && --memory_left > 0 ? realloc(old, size) : NULL;
}

static void limited_release(void *ctx, void *old, size_t size)
{
    (void)ctx;
    (void)size;
    free(old);
}

static void without_memory_an_append_changes_nothing(void **state)
{
    (void)state;
    static const struct ns_allocator limited = {
        .alloc = limited_alloc, .resize = limited_resize, .release = limited_release};
    struct world world;
    uint64_t end;
    world_new(&world, 0, 4096, 4, false);
    ns__alloc_init(&world.alloc, &limited);
    bool is_done = false;
    for (uint64_t nth = 1; !is_done; nth++) {
        memory_left = nth;
        ns_status status = world_append(&world, 1, 40000, true, &end);
        is_done = status == NS_OK;
        if (!is_done) {
            CHECK_STATUS(status, NS_NOMEM);
            assert_int_equal(ns__log_end(world.log), 0);
            world_check(&world);
        }
        assert_true(nth < 100);
    }
    memory_left = UINT64_MAX;
    check_read(&world, 0, 1, 1);
    ns__log_free(world.log);
    world.log = NULL;
    world.alloc.bytes = 0; /* what world_new took was counted before the exchange */
    world_free(&world);
}

static void without_memory_a_load_or_a_settle_fails_cleanly(void **state)
{
    (void)state;
    static const struct ns_allocator limited = {
        .alloc = limited_alloc, .resize = limited_resize, .release = limited_release};
    struct world world;
    struct ns__log_tail tail;
    world_new(&world, 0, 4096, 4, false);
    append_ok(&world, 1, 300, true);
    append_ok(&world, 2, 300, false);
    world_detach(&world);
    ns_status status = NS_NOMEM;
    for (uint64_t nth = 1; status != NS_OK; nth++) {
        CHECK_OK(world_attach(&world, world.mem, 4096));
        ns__alloc_init(&world.alloc, &limited);
        memory_left = nth;
        status = world_recover(&world, 0, 0, &tail);
        memory_left = UINT64_MAX;
        if (status == NS_OK) {
            check_read(&world, 0, 1, 2);
            world_check(&world);
        } else {
            CHECK_STATUS(status, NS_NOMEM);
        }
        world_detach(&world);
        assert_true(nth < 100);
    }
    ns__mem_free(world.mem);
}

static void an_unsettled_or_read_only_log_refuses_writes(void **state)
{
    (void)state;
    struct world world;
    struct ns__log_tail tail;
    uint64_t end;
    world_new(&world, 0, 4096, 4, false);
    append_ok(&world, 1, 100, false);
    ns__log_free(world.log);
    memset(world.space.taken, 0, sizeof world.space.taken);
    world.options.read_only = true;
    CHECK_OK(world_load(&world));
    CHECK_OK(ns__log_find_end(world.log, 0, 0, &tail));
    check_read(&world, 0, 1, 1);
    CHECK_STATUS(world_append(&world, 2, 100, true, &end), NS_READONLY);
    CHECK_STATUS(ns__log_settle(world.log, &tail), NS_READONLY);
    CHECK_STATUS(ns__log_mark_clean(world.log), NS_READONLY);
    ns__log_free(world.log);
    world.options.read_only = false;
    CHECK_OK(world_load(&world));
    CHECK_STATUS(world_append(&world, 2, 100, true, &end), NS_INTERNAL);
    CHECK_STATUS(ns__log_mark_clean(world.log), NS_INTERNAL);
    world_free(&world);
}

static void a_large_envelope_is_read_back(void **state)
{
    (void)state;
    struct world world;
    world_new(&world, 0, 4096, 4, false);
    append_ok(&world, 1, 100, true);
    append_ok(&world, 2, 9 << 20, true);
    append_ok(&world, 3, 100, true);
    check_read(&world, 0, 1, 3);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_log_is_empty_and_prepared),
        cmocka_unit_test(a_sync_append_is_one_sync_write_of_whole_blocks),
        cmocka_unit_test(behind_the_end_everything_is_zero),
        cmocka_unit_test(records_survive_kill_and_clean_close),
        cmocka_unit_test(one_envelope_carries_many_records),
        cmocka_unit_test(an_envelope_spans_extents),
        cmocka_unit_test(padded_envelopes_start_at_blocks),
        cmocka_unit_test(a_sync_append_after_others_syncs_them_too),
        cmocka_unit_test(the_first_append_after_a_clean_open_marks_both_maps),
        cmocka_unit_test(after_a_failed_append_the_log_refuses),
        cmocka_unit_test(without_memory_an_append_changes_nothing),
        cmocka_unit_test(without_memory_a_load_or_a_settle_fails_cleanly),
        cmocka_unit_test(an_unsettled_or_read_only_log_refuses_writes),
        cmocka_unit_test(a_large_envelope_is_read_back),
    };
    return cmocka_run_group_tests_name("log_append", tests, NULL, NULL);
}
