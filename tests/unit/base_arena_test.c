/* base_arena_test.c: memory that dies at once. */
#include "harness/test.h"

#include <stdlib.h>
#include "base/arena.h"
#include "base/prng.h"

static void what_is_taken_is_aligned_and_separate(void **state)
{
    (void)state;
    struct ns__alloc alloc;
    struct ns__arena arena;
    ns__alloc_init(&alloc, NULL);
    ns__arena_init(&arena, &alloc);
    struct ns__prng prng = {7};
    uint8_t *taken[500];
    size_t sizes[500];
    for (size_t i = 0; i < 500; i++) {
        sizes[i] = (size_t)ns__prng_below(&prng, i % 50 == 49 ? 100000 : 300);
        taken[i] = ns__arena_take(&arena, sizes[i]);
        assert_non_null(taken[i]);
        assert_int_equal((uintptr_t)taken[i] % 8, 0);
        if (sizes[i] > 0) memset(taken[i], (int)(i & 0xff), sizes[i]);
    }
    for (size_t i = 0; i < 500; i++) {
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(taken[i][k], i & 0xff);
    }
    ns__arena_deinit(&arena);
    assert_int_equal(alloc.bytes, 0);
}

static void blocks_double_from_4_KiB_to_1_MiB(void **state)
{
    (void)state;
    struct ns__alloc alloc;
    struct ns__arena arena;
    ns__alloc_init(&alloc, NULL);
    ns__arena_init(&arena, &alloc);
    uint64_t before = 0;
    uint64_t block = 4096;
    for (size_t taken = 0; taken < (size_t)8 << 20; taken += 64) {
        assert_non_null(ns__arena_take(&arena, 64));
        if (alloc.bytes == before) continue;
        assert_int_equal(alloc.bytes - before, block);
        before = alloc.bytes;
        if (block < (uint64_t)1 << 20) block *= 2;
    }
    assert_int_equal(arena.bytes, (size_t)8 << 20);
    ns__arena_deinit(&arena);
}

static void a_large_request_does_not_waste_the_current_block(void **state)
{
    (void)state;
    struct ns__alloc alloc;
    struct ns__arena arena;
    ns__alloc_init(&alloc, NULL);
    ns__arena_init(&arena, &alloc);
    uint8_t *a = ns__arena_take(&arena, 16);
    uint8_t *large = ns__arena_take(&arena, (size_t)3 << 20);
    uint8_t *b = ns__arena_take(&arena, 16);
    memset(large, 1, (size_t)3 << 20);
    assert_ptr_equal(b, a + 16);
    ns__arena_reset(&arena);
    assert_int_equal(alloc.bytes, 4096);
    ns__arena_deinit(&arena);

    ns__arena_init(&arena, &alloc); /* also as the first request */
    large = ns__arena_take(&arena, (size_t)3 << 20);
    memset(large, 1, (size_t)3 << 20);
    assert_non_null(ns__arena_take(&arena, 8));
    ns__arena_deinit(&arena);
    assert_int_equal(alloc.bytes, 0);
}

static void reset_keeps_the_largest_block_up_to_1_MiB(void **state)
{
    (void)state;
    struct ns__alloc alloc;
    struct ns__arena arena;
    ns__alloc_init(&alloc, NULL);
    ns__arena_init(&arena, &alloc);
    for (int i = 0; i < 300; i++)
        assert_non_null(ns__arena_take(&arena, 1000));
    ns__arena_reset(&arena);
    assert_int_equal(arena.bytes, 0);
    uint64_t kept = alloc.bytes;
    assert_true(kept >= 128u << 10 && kept <= 1u << 20);
    uint64_t calls = alloc.calls;
    for (int round = 0; round < 10; round++) {
        assert_non_null(ns__arena_take(&arena, 100000));
        ns__arena_reset(&arena);
    }
    assert_int_equal(alloc.calls, calls);
    assert_int_equal(alloc.bytes, kept);
    ns__arena_deinit(&arena);
    assert_int_equal(alloc.bytes, 0);
}

static void copies_are_copies_and_empty_ones_are_not_null(void **state)
{
    (void)state;
    struct ns__alloc alloc;
    struct ns__arena arena;
    ns__alloc_init(&alloc, NULL);
    ns__arena_init(&arena, &alloc);
    char text[] = "hello";
    char *copy = ns__arena_copy(&arena, text, sizeof text);
    text[0] = 'J';
    assert_string_equal(copy, "hello");
    assert_non_null(ns__arena_copy(&arena, NULL, 0));
    ns__arena_deinit(&arena);
}

static void *refuse(void *ctx, size_t size)
{
    (void)ctx;
    (void)size;
    return NULL;
}

static void want_of_memory_gives_null_and_leaves_the_arena_whole(void **state)
{
    (void)state;
    struct ns__alloc alloc;
    struct ns__arena arena;
    ns__alloc_init(&alloc, NULL);
    ns__arena_init(&arena, &alloc);
    char *kept = ns__arena_copy(&arena, "kept", 5);
    void *(*working)(void *, size_t) = alloc.seam.alloc;
    alloc.seam.alloc = refuse;
    assert_null(ns__arena_take(&arena, 5000));
    assert_null(ns__arena_take(&arena, (size_t)2 << 20));
    assert_null(ns__arena_take(&arena, SIZE_MAX));
    alloc.seam.alloc = working;
    assert_string_equal(kept, "kept");
    assert_non_null(ns__arena_take(&arena, 5000));
    ns__arena_deinit(&arena);
    assert_int_equal(alloc.bytes, 0);
}

static void a_zeroed_arena_can_be_deinitialised(void **state)
{
    (void)state;
    struct ns__arena arena;
    memset(&arena, 0, sizeof arena);
    ns__arena_deinit(&arena);
    ns__arena_reset(&arena);
    assert_null(arena.newest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_aligned_and_separate),
        cmocka_unit_test(blocks_double_from_4_KiB_to_1_MiB),
        cmocka_unit_test(a_large_request_does_not_waste_the_current_block),
        cmocka_unit_test(reset_keeps_the_largest_block_up_to_1_MiB),
        cmocka_unit_test(copies_are_copies_and_empty_ones_are_not_null),
        cmocka_unit_test(want_of_memory_gives_null_and_leaves_the_arena_whole),
        cmocka_unit_test(a_zeroed_arena_can_be_deinitialised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
