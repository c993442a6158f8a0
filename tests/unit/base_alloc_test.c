/* base_alloc_test.c: the allocator seam and its counters. */
#include "harness/test.h"

#include <stdbool.h>
#include <stdlib.h>
#include "base/alloc.h"
#include "base/status.h"

/* Counts what it holds; refuses when told to. */
struct heap {
    size_t held;
    size_t blocks;
    bool refuse;
};

static void *heap_alloc(void *ctx, size_t size)
{
    struct heap *heap = ctx;
    assert_true(size > 0);
    if (heap->refuse) return NULL;
    heap->held += size;
    heap->blocks++;
    return malloc(size);
}

static void *heap_resize(void *ctx, void *old, size_t old_size, size_t size)
{
    struct heap *heap = ctx;
    assert_non_null(old);
    assert_true(size > 0);
    if (heap->refuse) return NULL;
    heap->held += size - old_size;
    return realloc(old, size);
}

static void heap_release(void *ctx, void *old, size_t size)
{
    struct heap *heap = ctx;
    heap->held -= size;
    heap->blocks--;
    free(old);
}

static struct ns_allocator seam_of(struct heap *heap)
{
    struct ns_allocator seam = {
        .ctx = heap, .alloc = heap_alloc, .resize = heap_resize, .release = heap_release};
    return seam;
}

static void the_counters_follow_the_seam(void **state)
{
    (void)state;
    struct heap heap = {0};
    struct ns_allocator seam = seam_of(&heap);
    struct ns__alloc alloc;
    ns__alloc_init(&alloc, &seam);

    uint8_t *a = ns__alloc(&alloc, 100);
    uint8_t *b = ns__alloc_zeroed(&alloc, 50);
    assert_non_null(a);
    for (size_t i = 0; i < 50; i++)
        assert_int_equal(b[i], 0);
    a[99] = 9;
    a = ns__alloc_resize(&alloc, a, 100, 1000);
    assert_int_equal(a[99], 9);
    assert_int_equal(alloc.bytes, 1050);
    assert_int_equal(heap.held, 1050);
    assert_int_equal(alloc.calls, 3);
    ns__alloc_release(&alloc, a, 1000);
    ns__alloc_release(&alloc, b, 50);
    ns__alloc_release(&alloc, NULL, 77);
    assert_int_equal(alloc.bytes, 0);
    assert_int_equal(heap.held, 0);
    assert_int_equal(heap.blocks, 0);
}

static void size_0_is_1_everywhere(void **state)
{
    (void)state;
    struct heap heap = {0};
    struct ns_allocator seam = seam_of(&heap);
    struct ns__alloc alloc;
    ns__alloc_init(&alloc, &seam);
    void *a = ns__alloc(&alloc, 0);
    a = ns__alloc_resize(&alloc, a, 0, 10);
    a = ns__alloc_resize(&alloc, a, 10, 0);
    assert_int_equal(heap.held, 1);
    ns__alloc_release(&alloc, a, 0);
    a = ns__alloc_resize(&alloc, NULL, 0, 5);
    assert_int_equal(heap.held, 5);
    ns__alloc_release(&alloc, a, 5);
    assert_int_equal(alloc.bytes, 0);
    assert_int_equal(heap.held, 0);
}

static void want_of_memory_is_explained_and_changes_nothing(void **state)
{
    (void)state;
    struct heap heap = {0};
    struct ns_allocator seam = seam_of(&heap);
    struct ns__alloc alloc;
    ns__alloc_init(&alloc, &seam);
    void *a = ns__alloc(&alloc, 10);
    heap.refuse = true;
    ns__error_clear();
    assert_null(ns__alloc(&alloc, 123));
    assert_string_equal(ns_error_detail(), "out of memory: 123 bytes");
    assert_null(ns__alloc_zeroed(&alloc, 5));
    assert_null(ns__alloc_resize(&alloc, a, 10, 20));
    assert_string_equal(ns_error_detail(), "out of memory: 20 bytes");
    assert_int_equal(alloc.bytes, 10);
    heap.refuse = false;
    ns__alloc_release(&alloc, a, 10);
    assert_int_equal(heap.held, 0);
}

static void without_a_seam_it_is_malloc(void **state)
{
    (void)state;
    struct ns__alloc alloc;
    ns__alloc_init(&alloc, NULL);
    char *a = ns__alloc_zeroed(&alloc, 3);
    memcpy(a, "ab", 3);
    a = ns__alloc_resize(&alloc, a, 3, 5000);
    assert_string_equal(a, "ab");
    ns__alloc_release(&alloc, a, 5000);
    assert_int_equal(alloc.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counters_follow_the_seam),
        cmocka_unit_test(size_0_is_1_everywhere),
        cmocka_unit_test(want_of_memory_is_explained_and_changes_nothing),
        cmocka_unit_test(without_a_seam_it_is_malloc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
