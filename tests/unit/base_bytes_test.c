/* base_bytes_test.c: loads, stores, varints, slices; and the seeded generator. */
#include "harness/test.h"

#include "base/bytes.h"
#include "base/prng.h"

static void integers_are_little_endian_unless_they_say_otherwise(void **state)
{
    (void)state;
    uint8_t b[8];
    ns__store16(b, 0x0102);
    assert_memory_equal(b, "\x02\x01", 2);
    assert_int_equal(ns__load16(b), 0x0102);
    ns__store32(b, 0x81020304u);
    assert_memory_equal(b, "\x04\x03\x02\x81", 4);
    assert_int_equal(ns__load32(b), 0x81020304u);
    ns__store64(b, 0x8102030405060708u);
    assert_memory_equal(b, "\x08\x07\x06\x05\x04\x03\x02\x81", 8);
    assert_int_equal(ns__load64(b), 0x8102030405060708u);
    ns__store32_be(b, 0x81020304u);
    assert_memory_equal(b, "\x81\x02\x03\x04", 4);
    assert_int_equal(ns__load32_be(b), 0x81020304u);
}

static void varints_come_back_in_their_size(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        size_t size;
    } rows[] = {
        {0, 1},
        {127, 1},
        {128, 2},
        {16383, 2},
        {16384, 3},
        {UINT32_MAX, 5},
        {(uint64_t)1 << 63, 10},
        {((uint64_t)1 << 63) - 1, 9},
        {UINT64_MAX, 10},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t b[NS__VARINT_MAX];
        uint64_t value = 1;
        assert_int_equal(ns__varint_size(rows[i].value), rows[i].size);
        assert_int_equal(ns__varint_store(b, rows[i].value), rows[i].size);
        assert_int_equal(ns__varint_load(b, sizeof b, &value), rows[i].size);
        assert_int_equal(value, rows[i].value);
        assert_int_equal(ns__varint_load(b, rows[i].size - 1, &value), 0);
    }
}

static void varints_that_are_not_minimal_or_too_long_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } rows[] = {
        {"", 0},
        {"\x80", 1},
        {"\x80\x00", 2},
        {"\xff\x80\x00", 3},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81", 10},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t value;
        assert_int_equal(ns__varint_load((const uint8_t *)rows[i].bytes, rows[i].size, &value), 0);
    }
}

static void slices_are_ordered_by_bytes_then_length(void **state)
{
    (void)state;
    static const char *const ordered[] = {"", "a", "aa", "ab", "b", "\xff"};
    for (size_t i = 0; i < 6; i++) {
        for (size_t k = 0; k < 6; k++) {
            int order = ns__slice_compare(ns_str(ordered[i]), ns_str(ordered[k]));
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
            assert_int_equal(ns__slice_equal(ns_str(ordered[i]), ns_str(ordered[k])), i == k);
        }
    }
    assert_true(ns__slice_equal(ns_bytes(NULL, 0), ns_str("")));
    assert_int_equal(ns__slice_compare(ns_bytes(NULL, 0), ns_str(NULL)), 0);
}

static void the_generator_repeats_from_its_seed(void **state)
{
    (void)state;
    struct ns__prng a = {1234567};
    struct ns__prng b = {1234567};
    assert_int_equal(ns__prng_next(&a), 6457827717110365317u); /* splitmix64's published answer */
    (void)ns__prng_next(&b);
    for (int i = 0; i < 1000; i++) {
        uint64_t bound = 1 + (uint64_t)i;
        uint64_t value = ns__prng_below(&a, bound);
        assert_true(value < bound);
        assert_int_equal(value, ns__prng_below(&b, bound));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_little_endian_unless_they_say_otherwise),
        cmocka_unit_test(varints_come_back_in_their_size),
        cmocka_unit_test(varints_that_are_not_minimal_or_too_long_are_refused),
        cmocka_unit_test(slices_are_ordered_by_bytes_then_length),
        cmocka_unit_test(the_generator_repeats_from_its_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
