/* format/spacemap: bitmaps and directories: round trips, damage, census of fields. */
#include "harness/test.h"

#include "format/samples.h"

#define PAGE 10u

static uint64_t seal(uint8_t *bytes, uint32_t page_size)
{
    uint64_t checksum = ns__page_checksum(bytes, page_size, ns__page_seed(sample_uuid, PAGE));
    ns__store64(bytes, checksum);
    return checksum;
}

static uint8_t *random_bits(uint32_t page_size, uint64_t first_bit)
{
    uint8_t *bits = calloc(page_size - 32, 1);
    struct ns__prng prng = {page_size};
    assert_non_null(bits);
    for (uint64_t bit = first_bit; bit < ns__range_pages(page_size); bit++) {
        if (ns__prng_next(&prng) % 3 == 0) bits[bit / 8] |= (uint8_t)(1u << (bit % 8));
    }
    return bits;
}

static ns_status decode_bits(const uint8_t *bytes, uint32_t page_size, uint64_t range,
                             uint64_t expected, uint8_t *bits_out)
{
    uint8_t *copy = exact_copy(bytes, page_size);
    ns_status status =
        ns__bitmap_decode(copy, sample_uuid, page_size, PAGE, range, expected, bits_out);
    free(copy);
    if (status != NS_OK) assert_true(ns__is_zero(bits_out, page_size - 32));
    return status;
}

/* FMT-17 */
static void a_bitmap_decodes_to_what_was_encoded(void **state)
{
    (void)state;
    static uint8_t bytes[65536];
    for (size_t i = 0; i < PAGE_SIZES; i++) {
        uint32_t size = page_sizes[i];
        uint64_t region_1 = ns__region_first_range(size, 1);
        const uint64_t ranges[] = {0, 1, region_1, region_1 + 1, 1000000};
        const uint64_t first_bits[] = {31, 0, ns__region_map_pages(size, 1), 0, 0};
        for (size_t j = 0; j < 5; j++) {
            uint8_t *bits = random_bits(size, first_bits[j]);
            uint8_t *found = malloc(size - 32);
            assert_non_null(found);
            uint64_t checksum = ns__bitmap_encode(sample_uuid, size, PAGE, ranges[j], bits, bytes);
            CHECK_OK(decode_bits(bytes, size, ranges[j], checksum, found));
            assert_memory_equal(found, bits, size - 32);
            CHECK_STATUS(decode_bits(bytes, size, ranges[j], checksum ^ 1, found), NS_CORRUPT);
            CHECK_STATUS(decode_bits(bytes, size, ranges[j] + 1, checksum, found), NS_CORRUPT);
            free(found);
            free(bits);
        }
    }
}

static void no_bit_of_a_fixed_page_is_accepted(void **state)
{
    (void)state;
    uint8_t bytes[4096], found[4096 - 32];
    const uint64_t ranges[] = {0, 1, 8, 9};
    for (size_t i = 0; i < 4; i++) {
        uint64_t step = ranges[i] % 8 == 0 ? 1 : 61; /* the others have no fixed page */
        for (uint64_t bit = 0; bit < ns__range_pages(4096); bit += step) {
            uint8_t bits[4096 - 32] = {0};
            bits[bit / 8] = (uint8_t)(1u << (bit % 8));
            uint64_t checksum = ns__bitmap_encode(sample_uuid, 4096, PAGE, ranges[i], bits, bytes);
            bool fixed = ns__page_is_fixed(4096, ranges[i] * ns__range_pages(4096) + bit);
            ns_status status =
                ns__bitmap_decode(bytes, sample_uuid, 4096, PAGE, ranges[i], checksum, found);
            assert_int_equal(status, fixed ? NS_CORRUPT : NS_OK);
        }
    }
}

static void flip_every_bit(uint32_t page_size, size_t step)
{
    static uint8_t bytes[65536], found[65536];
    uint8_t *bits = random_bits(page_size, 0);
    uint64_t checksum = ns__bitmap_encode(sample_uuid, page_size, PAGE, 1, bits, bytes);
    for (size_t bit = 0; bit < (size_t)page_size * 8; bit += step) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        CHECK_STATUS(ns__bitmap_decode(bytes, sample_uuid, page_size, PAGE, 1, checksum, found),
                     NS_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    CHECK_OK(ns__bitmap_decode(bytes, sample_uuid, page_size, PAGE, 1, checksum, found));
    free(bits);
}

static void every_single_bit_flip_of_a_bitmap_is_noticed(void **state)
{
    (void)state;
    flip_every_bit(4096, 1);
    flip_every_bit(65536, 997);
}

static void impossible_bitmaps_are_refused_and_named(void **state)
{
    (void)state;
    static const struct {
        unsigned offset;
        uint8_t value;
        const char *detail;
    } refusals[] = {
        {8, 2, "range number"}, {15, 1, "range number"}, {16, 5, "type"},
        {16, 0, "type"},        {17, 1, "reserved"},     {19, 1, "reserved"},
        {24, 1, "reserved"},    {31, 1, "reserved"},     {20, 0, "bits set"},
        {23, 0x80, "bits set"}, {32, 0xff, "bits set"},
    };
    uint8_t clean[4096], bytes[4096], found[4096 - 32], bits[4096 - 32] = {3};
    (void)ns__bitmap_encode(sample_uuid, 4096, PAGE, 1, bits, clean);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        memcpy(bytes, clean, sizeof bytes);
        bytes[refusals[i].offset] = refusals[i].value;
        uint64_t checksum = seal(bytes, 4096);
        CHECK_STATUS(decode_bits(bytes, 4096, 1, checksum, found), NS_CORRUPT);
        assert_non_null(strstr(ns_error_detail(), refusals[i].detail));
        assert_non_null(strstr(ns_error_detail(), "page 10: bitmap"));
    }
}

/* ---- directories ---- */

static ns_status decode_directory(const uint8_t *bytes, uint32_t page_size, uint32_t region,
                                  uint64_t expected, struct ns__region_entry *entries_out)
{
    uint8_t *copy = exact_copy(bytes, page_size);
    size_t room = ns__region_ranges(page_size, region) * sizeof *entries_out;
    struct ns__region_entry *entries = malloc(room);
    assert_non_null(entries);
    ns_status status =
        ns__directory_decode(copy, sample_uuid, page_size, PAGE, region, expected, entries);
    memcpy(entries_out, entries, room);
    if (status != NS_OK) assert_true(ns__is_zero((const uint8_t *)entries, room));
    free(entries);
    free(copy);
    return status;
}

static void sample_entries(struct ns__region_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        entries[i].place = i % 4;
        entries[i].checksum = i % 4 == 0 ? 0 : i * UINT64_C(0x0101010101010101);
    }
}

static struct ns__region_entry entries[65536 / 12], found_entries[65536 / 12];

/* FMT-16 */
static void a_directory_decodes_to_what_was_encoded(void **state)
{
    (void)state;
    static uint8_t bytes[65536], again[65536];
    for (size_t i = 0; i < PAGE_SIZES; i++) {
        for (uint32_t region = 0; region < 3; region++) {
            uint32_t size = page_sizes[i];
            sample_entries(entries, ns__region_ranges(size, region));
            uint64_t checksum =
                ns__directory_encode(sample_uuid, size, PAGE, region, entries, bytes);
            CHECK_OK(decode_directory(bytes, size, region, checksum, found_entries));
            (void)ns__directory_encode(sample_uuid, size, PAGE, region, found_entries, again);
            assert_memory_equal(again, bytes, size);
            CHECK_STATUS(decode_directory(bytes, size, region, checksum ^ 1, found_entries),
                         NS_CORRUPT);
            CHECK_STATUS(decode_directory(bytes, size, region + 1, checksum, found_entries),
                         NS_CORRUPT);
        }
    }
}

static void every_single_bit_flip_of_a_directory_is_noticed(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    for (uint32_t region = 0; region < 2; region++) {
        sample_entries(entries, ns__region_ranges(4096, region));
        uint64_t checksum = ns__directory_encode(sample_uuid, 4096, PAGE, region, entries, bytes);
        for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            CHECK_STATUS(ns__directory_decode(bytes, sample_uuid, 4096, PAGE, region, checksum,
                                              found_entries),
                         NS_CORRUPT);
            bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
    }
}

static void no_value_of_any_field_of_a_directory_is_taken_for_another(void **state)
{
    (void)state;
    uint8_t clean[4096], bytes[4096], again[4096];
    for (uint32_t region = 0; region < 2; region++) {
        sample_entries(entries, ns__region_ranges(4096, region));
        (void)ns__directory_encode(sample_uuid, 4096, PAGE, region, entries, clean);
        for (size_t at = 8; at + 4 <= sizeof bytes; at += 4) {
            for (unsigned i = 0; i < CENSUS_VALUES; i++) {
                memcpy(bytes, clean, sizeof bytes);
                uint32_t old = ns__load32(clean + at);
                ns__store32(bytes + at, (uint32_t)census_value(i, old, 4096));
                uint64_t checksum = seal(bytes, 4096);
                if (decode_directory(bytes, 4096, region, checksum, found_entries) != NS_OK) {
                    continue;
                }
                (void)ns__directory_encode(sample_uuid, 4096, PAGE, region, found_entries, again);
                assert_memory_equal(again, bytes, sizeof bytes);
            }
        }
    }
}

/* A torn write leaves zeros behind. */
static void every_cut_of_a_bitmap_or_directory_is_noticed(void **state)
{
    (void)state;
    uint8_t bytes[4096], cut[4096] = {0}, found[4096 - 32];
    uint8_t *bits = random_bits(4096, 0);
    bits[sizeof found - 1] |= 1;
    uint64_t checksum = ns__bitmap_encode(sample_uuid, 4096, PAGE, 1, bits, bytes);
    for (size_t size = 0; size < sizeof bytes; size++) {
        CHECK_STATUS(decode_bits(cut, 4096, 1, checksum, found), NS_CORRUPT);
        cut[size] = bytes[size];
    }
    free(bits);
    memset(cut, 0, sizeof cut);
    sample_entries(entries, ns__region_ranges(4096, 1));
    checksum = ns__directory_encode(sample_uuid, 4096, PAGE, 1, entries, bytes);
    for (size_t size = 0; size < sizeof bytes; size++) {
        if (memcmp(cut, bytes, sizeof bytes) == 0) break; /* the page ends in zeros */
        CHECK_STATUS(decode_directory(cut, 4096, 1, checksum, found_entries), NS_CORRUPT);
        cut[size] = bytes[size];
    }
}

static void impossible_directories_are_refused_and_named(void **state)
{
    (void)state;
    static const struct {
        unsigned offset;
        uint8_t value;
        const char *detail;
    } refusals[] = {
        {8, 1, "region number"},
        {12, 1, "region number"},
        {16, 4, "type"},
        {17, 1, "reserved"},
        {31, 1, "reserved"},
        {36, 1, "place 0"},
        {44, 4, "place 4"},
        {47, 1, "place"},
        {128, 1, "behind the last range"},
        {4095, 1, "behind the last range"},
    };
    uint8_t clean[4096], bytes[4096];
    sample_entries(entries, 8);
    (void)ns__directory_encode(sample_uuid, 4096, PAGE, 0, entries, clean);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        memcpy(bytes, clean, sizeof bytes);
        bytes[refusals[i].offset] = refusals[i].value;
        uint64_t checksum = seal(bytes, 4096);
        CHECK_STATUS(decode_directory(bytes, 4096, 0, checksum, found_entries), NS_CORRUPT);
        assert_non_null(strstr(ns_error_detail(), refusals[i].detail));
    }
}

/* FMT-2 */
static void a_page_at_another_place_or_of_another_file_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[4096], other[NS__UUID_BYTES] = {1};
    sample_entries(entries, 8);
    uint64_t checksum = ns__directory_encode(sample_uuid, 4096, PAGE, 0, entries, bytes);
    CHECK_STATUS(
        ns__directory_decode(bytes, sample_uuid, 4096, PAGE + 1, 0, checksum, found_entries),
        NS_CORRUPT);
    CHECK_STATUS(ns__directory_decode(bytes, other, 4096, PAGE, 0, checksum, found_entries),
                 NS_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bitmap_decodes_to_what_was_encoded),
        cmocka_unit_test(no_bit_of_a_fixed_page_is_accepted),
        cmocka_unit_test(every_single_bit_flip_of_a_bitmap_is_noticed),
        cmocka_unit_test(impossible_bitmaps_are_refused_and_named),
        cmocka_unit_test(a_directory_decodes_to_what_was_encoded),
        cmocka_unit_test(every_single_bit_flip_of_a_directory_is_noticed),
        cmocka_unit_test(no_value_of_any_field_of_a_directory_is_taken_for_another),
        cmocka_unit_test(every_cut_of_a_bitmap_or_directory_is_noticed),
        cmocka_unit_test(impossible_directories_are_refused_and_named),
        cmocka_unit_test(a_page_at_another_place_or_of_another_file_is_refused),
    };
    return cmocka_run_group_tests_name("format_spacemap", tests, NULL, NULL);
}
