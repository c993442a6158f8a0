/* format/layout: geometry of regions, references, seeds. */
#include "harness/test.h"

#include "format/samples.h"

static void page_sizes_are_the_powers_of_two_from_4096_to_65536(void **state)
{
    (void)state;
    unsigned count = 0;
    for (uint32_t size = 0; size <= 70000; size++) {
        count += ns__page_size_ok(size);
    }
    assert_int_equal(count, PAGE_SIZES);
    for (size_t i = 0; i < PAGE_SIZES; i++) {
        assert_true(ns__page_size_ok(page_sizes[i]));
    }
    assert_false(ns__page_size_ok(UINT32_C(1) << 31));
}

static void references_hold_a_page_number_and_24_bits_of_its_checksum(void **state)
{
    (void)state;
    struct ns__prng prng = {1};
    for (int i = 0; i < 1000; i++) {
        uint64_t page = ns__prng_next(&prng) & NS__REF_NUMBER_MASK;
        uint64_t checksum = ns__prng_next(&prng);
        uint64_t ref = ns__ref_file(page, checksum);
        assert_int_equal(ns__ref_number(ref), page);
        assert_false(ns__ref_is_frame(ref));
        assert_true(ns__ref_matches(ref, checksum));
        assert_true(ns__ref_matches(ref, checksum ^ UINT64_C(0xffffffffff000000)));
        assert_false(ns__ref_matches(ref, checksum ^ 1));
        assert_false(ns__ref_matches(ref, checksum ^ 0x800000));
        assert_true(ns__ref_is_frame(ns__ref_frame(page)));
        assert_int_equal(ns__ref_number(ns__ref_frame(page)), page);
    }
}

static void sizes_in_pages_are_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(ns__pages_of(0, 4096), 0);
    assert_int_equal(ns__pages_of(1, 4096), 1);
    assert_int_equal(ns__pages_of(4096, 4096), 1);
    assert_int_equal(ns__pages_of(4097, 4096), 2);
    assert_int_equal(ns__pages_of(UINT64_MAX, 4096), UINT64_C(1) << 52);
}

/* FMT-15 */
static void the_first_map_area_is_pages_4_to_30(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAGE_SIZES; i++) {
        assert_int_equal(ns__region_map_page(page_sizes[i], 0), 4);
        assert_int_equal(ns__region_map_pages(page_sizes[i], 0), 27);
        for (uint64_t page = 0; page <= 30; page++) {
            assert_true(ns__page_is_fixed(page_sizes[i], page));
        }
        assert_false(ns__page_is_fixed(page_sizes[i], 31));
    }
}

/* FMT-15 */
static void regions_adjoin_and_begin_with_their_map_area(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAGE_SIZES; i++) {
        uint32_t size = page_sizes[i];
        uint64_t range_pages = ns__range_pages(size);
        assert_int_equal(range_pages, (size - 32) * UINT64_C(8));
        uint64_t next_range = 0;
        for (uint32_t region = 0; region < NS__REGIONS_MAX; region++) {
            uint64_t first = ns__region_first_range(size, region);
            uint32_t ranges = ns__region_ranges(size, region);
            assert_int_equal(first, next_range);
            assert_int_equal(ranges, region == 0 ? 8 : (size - 32) / 12);
            next_range = first + ranges;
            assert_int_equal(ns__region_of_range(size, first), region);
            assert_int_equal(ns__region_of_range(size, next_range - 1), region);
            assert_int_equal(ns__region_of_range(size, next_range), region + 1);
            uint64_t map = ns__region_map_page(size, region);
            assert_int_equal(map, region == 0 ? 4 : first * range_pages);
            /* Map areas end inside the first range of their region. */
            assert_true(map + ns__region_map_pages(size, region) < (first + 1) * range_pages);
        }
        uint64_t described = next_range * range_pages;
        uint64_t nameable = UINT64_C(1) << 39;
        assert_int_equal(ns__page_count_max(size), described < nameable ? described : nameable);
    }
    assert_int_equal(ns__region_of_range(4096, UINT64_MAX), UINT32_MAX);
}

static void mark_once(uint8_t *seen, uint64_t first, uint64_t page, uint64_t count)
{
    assert_true(page >= first && page - first < count);
    assert_int_equal(seen[page - first], 0);
    seen[page - first] = 1;
}

static void every_page_of_a_map_area_is_one_place_of_one_directory_or_bitmap(void **state)
{
    (void)state;
    const uint32_t regions[] = {0, 1, 2, NS__REGIONS_MAX - 1};
    for (size_t i = 0; i < PAGE_SIZES; i++) {
        for (size_t j = 0; j < sizeof regions / sizeof regions[0]; j++) {
            uint32_t size = page_sizes[i], region = regions[j];
            uint64_t first = ns__region_map_page(size, region);
            uint64_t count = ns__region_map_pages(size, region);
            uint8_t *seen = calloc((size_t)count, 1);
            assert_non_null(seen);
            for (uint32_t place = 1; place <= 3; place++) {
                mark_once(seen, first, ns__directory_page(size, region, place), count);
                for (uint32_t k = 0; k < ns__region_ranges(size, region); k++) {
                    uint64_t range = ns__region_first_range(size, region) + k;
                    mark_once(seen, first, ns__bitmap_page(size, range, place), count);
                }
            }
            for (uint64_t k = 0; k < count; k++) {
                assert_int_equal(seen[k], 1);
                assert_true(ns__page_is_fixed(size, first + k));
            }
            free(seen);
        }
    }
}

static void the_places_of_a_directory_come_first_then_bitmaps_range_by_range(void **state)
{
    (void)state;
    assert_int_equal(ns__directory_page(4096, 0, 1), 4);
    assert_int_equal(ns__directory_page(4096, 0, 3), 6);
    assert_int_equal(ns__bitmap_page(4096, 0, 1), 7);
    assert_int_equal(ns__bitmap_page(4096, 0, 3), 9);
    assert_int_equal(ns__bitmap_page(4096, 1, 1), 10);
    assert_int_equal(ns__bitmap_page(4096, 7, 3), 30);
    uint64_t first = 8 * UINT64_C(32512);
    assert_int_equal(ns__directory_page(4096, 1, 1), first);
    assert_int_equal(ns__bitmap_page(4096, 8, 1), first + 3);
}

static void pages_are_fixed_exactly_in_map_areas_metas_and_log_maps(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAGE_SIZES; i++) {
        uint32_t size = page_sizes[i];
        uint64_t map = ns__region_map_page(size, 1);
        uint64_t map_end = map + ns__region_map_pages(size, 1);
        uint64_t step = size == 4096 ? 1 : 31;
        for (uint64_t page = 31; page < map; page += step) {
            assert_false(ns__page_is_fixed(size, page));
        }
        assert_false(ns__page_is_fixed(size, map - 1));
        assert_true(ns__page_is_fixed(size, map));
        assert_true(ns__page_is_fixed(size, map_end - 1));
        assert_false(ns__page_is_fixed(size, map_end));
        assert_false(ns__page_is_fixed(size, ns__region_map_page(size, 2) - 1));
        assert_true(ns__page_is_fixed(size, ns__region_map_page(size, 2)));
    }
}

/* FMT-2, FMT-3 */
static void seeds_depend_on_file_position_and_kind(void **state)
{
    (void)state;
    uint8_t other[NS__UUID_BYTES];
    memcpy(other, sample_uuid, sizeof other);
    other[15] ^= 1;
    uint64_t seed = ns__page_seed(sample_uuid, 9);
    assert_true(seed == ns__page_seed(sample_uuid, 9));
    assert_true(seed != ns__page_seed(sample_uuid, 10));
    assert_true(seed != ns__page_seed(other, 9));
    assert_true(seed != ns__log_seed(sample_uuid, 9));
    uint8_t bytes[24];
    memcpy(bytes, sample_uuid, 16);
    ns__store64(bytes + 16, 9);
    assert_true(seed == ns__checksum64(bytes, sizeof bytes, 0));
    assert_true(ns__log_seed(sample_uuid, 9) == ns__checksum64(bytes, sizeof bytes, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_sizes_are_the_powers_of_two_from_4096_to_65536),
        cmocka_unit_test(references_hold_a_page_number_and_24_bits_of_its_checksum),
        cmocka_unit_test(sizes_in_pages_are_rounded_up),
        cmocka_unit_test(the_first_map_area_is_pages_4_to_30),
        cmocka_unit_test(regions_adjoin_and_begin_with_their_map_area),
        cmocka_unit_test(every_page_of_a_map_area_is_one_place_of_one_directory_or_bitmap),
        cmocka_unit_test(the_places_of_a_directory_come_first_then_bitmaps_range_by_range),
        cmocka_unit_test(pages_are_fixed_exactly_in_map_areas_metas_and_log_maps),
        cmocka_unit_test(seeds_depend_on_file_position_and_kind),
    };
    return cmocka_run_group_tests_name("format_layout", tests, NULL, NULL);
}
