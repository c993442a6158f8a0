/* base_checksum_test.c: XXH3 with a seed; the same over pieces; values that are stored on disk
 * never move. */
#include "harness/test.h"

#include "base/checksum.h"
#include "base/prng.h"

static uint8_t bytes[9000];

static int fill_bytes(void **state)
{
    (void)state;
    struct ns__prng prng = {1};
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)ns__prng_next(&prng);
    return 0;
}

/* XXH3's own published answers for the empty input. */
static void known_answers_do_not_move(void **state)
{
    (void)state;
    assert_int_equal(ns__checksum64("", 0, 0), 0x2d06800538d394c2u);
    struct ns__hash128 hash = ns__hash128("", 0, 0);
    assert_int_equal(hash.low, 0x6001c324468d497fu);
    assert_int_equal(hash.high, 0x99aa06d3014798d8u);
    assert_int_equal(ns__checksum64(NULL, 0, 0), 0x2d06800538d394c2u);
}

static void the_seed_and_every_bit_count(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 3, 8, 16, 100, 200, 241, 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i];
        uint64_t whole = ns__checksum64(bytes, size, 5);
        struct ns__hash128 whole128 = ns__hash128(bytes, size, 5);
        assert_int_not_equal(whole, ns__checksum64(bytes, size, 6));
        assert_int_not_equal(whole128.low, ns__hash128(bytes, size, 6).low);
        for (size_t bit = 0; bit < 8 * size; bit += size / 8 + 1) {
            bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1u << bit % 8));
            assert_int_not_equal(whole, ns__checksum64(bytes, size, 5));
            assert_int_not_equal(whole128.high, ns__hash128(bytes, size, 5).high);
            bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1u << bit % 8));
        }
        assert_int_equal(whole, ns__checksum64(bytes, size, 5));
    }
}

static void check_pieces(const size_t cuts[], size_t cut_count, size_t size, uint64_t seed)
{
    struct ns__hash_piece pieces[8];
    size_t count = 0;
    size_t at = 0;
    for (size_t i = 0; i <= cut_count; i++) {
        size_t end = i < cut_count ? cuts[i] : size;
        pieces[count].data = end > at ? bytes + at : NULL;
        pieces[count].size = end - at;
        count++;
        at = end;
    }
    assert_int_equal(ns__checksum64_pieces(pieces, count, seed), ns__checksum64(bytes, size, seed));
    struct ns__hash128 whole = ns__hash128(bytes, size, seed);
    struct ns__hash128 joined = ns__hash128_pieces(pieces, count, seed);
    assert_int_equal(joined.low, whole.low);
    assert_int_equal(joined.high, whole.high);
}

static void pieces_hash_as_if_they_lay_behind_one_another(void **state)
{
    (void)state;
    struct ns__prng prng = {99};
    for (int round = 0; round < 2000; round++) {
        size_t size = (size_t)ns__prng_below(&prng, round % 2 == 0 ? 600 : sizeof bytes);
        size_t cuts[4];
        size_t cut_count = (size_t)ns__prng_below(&prng, 5);
        size_t at = 0;
        for (size_t i = 0; i < cut_count; i++) {
            at += (size_t)ns__prng_below(&prng, size - at + 1);
            cuts[i] = at;
        }
        uint64_t seed = round % 3 == 0 ? 0 : ns__prng_next(&prng);
        check_pieces(cuts, cut_count, size, seed);
    }
}

static void no_pieces_are_the_empty_input(void **state)
{
    (void)state;
    assert_int_equal(ns__checksum64_pieces(NULL, 0, 3), ns__checksum64("", 0, 3));
    assert_int_equal(ns__hash128_pieces(NULL, 0, 3).low, ns__hash128("", 0, 3).low);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers_do_not_move),
        cmocka_unit_test(the_seed_and_every_bit_count),
        cmocka_unit_test(pieces_hash_as_if_they_lay_behind_one_another),
        cmocka_unit_test(no_pieces_are_the_empty_input),
    };
    return cmocka_run_group_tests(tests, fill_bytes, NULL);
}
