/* format/logmap: log maps and continuation pages: round trips, damage, census of fields. */
#include "harness/test.h"

#include "format/samples.h"

#define LIMIT 100000u

static void seal_map(uint8_t *bytes, uint32_t page)
{
    ns__store64(bytes + 4088, ns__checksum64(bytes, 4088, page));
}

static ns_status decode_map(const uint8_t *bytes, uint32_t page, struct ns__logmap *map_out)
{
    static const struct ns__logmap zero;
    uint8_t *copy = exact_copy(bytes, NS__BLOCK_BYTES);
    ns_status status = ns__logmap_decode(copy, page, sample_uuid, 4096, LIMIT, map_out);
    free(copy);
    if (status != NS_OK) assert_memory_equal(map_out, &zero, sizeof zero);
    return status;
}

static void a_log_map_decodes_to_what_was_encoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAGE_SIZES; i++) {
        struct ns__logmap map = sample_logmap(page_sizes[i]), found;
        uint8_t bytes[NS__BLOCK_BYTES], again[NS__BLOCK_BYTES];
        ns__logmap_encode(&map, bytes);
        CHECK_OK(ns__logmap_decode(bytes, 2, sample_uuid, page_sizes[i], LIMIT, &found));
        ns__logmap_encode(&found, again);
        assert_memory_equal(again, bytes, sizeof bytes);
        map.sequence++;
        ns__logmap_encode(&map, bytes);
        CHECK_OK(ns__logmap_decode(bytes, 3, sample_uuid, page_sizes[i], LIMIT, &found));
        assert_memory_equal(found.extents, map.extents, sizeof map.extents);
    }
}

static void the_head_of_a_log_map_says_whether_it_is_in_use(void **state)
{
    (void)state;
    struct ns__logmap map = sample_logmap(4096);
    uint8_t bytes[NS__BLOCK_BYTES];
    map.flags = 0;
    ns__logmap_encode(&map, bytes);
    assert_true(ns__logmap_head_says_closed(bytes));
    bytes[0] ^= 1;
    assert_false(ns__logmap_head_says_closed(bytes));
    map.flags = NS__LOGMAP_FLAG_IN_USE;
    ns__logmap_encode(&map, bytes);
    assert_false(ns__logmap_head_says_closed(bytes));
}

static void a_log_map_holds_no_extents_or_up_to_124(void **state)
{
    (void)state;
    struct ns__logmap map = {.sequence = 2, .extent_count = NS__LOGMAP_EXTENTS}, found;
    memcpy(map.uuid, sample_uuid, sizeof sample_uuid);
    map.extents_total = NS__LOGMAP_EXTENTS;
    map.epoch = 100;
    sample_extents(map.extents, NS__LOGMAP_EXTENTS, 4096);
    uint8_t bytes[NS__BLOCK_BYTES];
    ns__logmap_encode(&map, bytes);
    CHECK_OK(decode_map(bytes, 2, &found));
    assert_memory_equal(found.extents, map.extents, sizeof map.extents);
    ns__store32(bytes + 44, NS__LOGMAP_EXTENTS + 1);
    ns__store64(bytes + 64, NS__LOGMAP_EXTENTS + 1);
    seal_map(bytes, 2);
    CHECK_STATUS(decode_map(bytes, 2, &found), NS_CORRUPT);
    memset(map.extents, 0, sizeof map.extents);
    map.extent_count = 0;
    map.extents_total = 0;
    ns__logmap_encode(&map, bytes);
    CHECK_OK(decode_map(bytes, 2, &found));
}

static void every_single_bit_flip_of_a_log_map_is_noticed(void **state)
{
    (void)state;
    struct ns__logmap map = sample_logmap(4096), found;
    uint8_t bytes[NS__BLOCK_BYTES];
    ns__logmap_encode(&map, bytes);
    for (size_t bit = 0; bit < NS__BLOCK_BYTES * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        ns_status status = ns__logmap_decode(bytes, 2, sample_uuid, 4096, LIMIT, &found);
        assert_int_equal(status, NS_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    CHECK_OK(decode_map(bytes, 2, &found));
}

static void every_cut_of_a_log_map_is_noticed(void **state)
{
    (void)state;
    struct ns__logmap map = sample_logmap(4096), found;
    uint8_t bytes[NS__BLOCK_BYTES], cut[NS__BLOCK_BYTES];
    ns__logmap_encode(&map, bytes);
    for (size_t size = 0; size < NS__BLOCK_BYTES; size++) {
        memset(cut, 0, sizeof cut);
        memcpy(cut, bytes, size);
        CHECK_STATUS(decode_map(cut, 2, &found), NS_CORRUPT);
    }
}

static void a_log_map_of_another_file_or_place_is_refused(void **state)
{
    (void)state;
    struct ns__logmap map = sample_logmap(4096), found;
    uint8_t bytes[NS__BLOCK_BYTES], other[NS__UUID_BYTES];
    ns__logmap_encode(&map, bytes);
    memcpy(other, sample_uuid, sizeof other);
    other[0] ^= 1;
    CHECK_STATUS(ns__logmap_decode(bytes, 2, other, 4096, LIMIT, &found), NS_CORRUPT);
    assert_non_null(strstr(ns_error_detail(), "another file"));
    CHECK_STATUS(decode_map(bytes, 3, &found), NS_CORRUPT);
    seal_map(bytes, 3);
    CHECK_STATUS(decode_map(bytes, 3, &found), NS_CORRUPT);
}

static void no_value_of_any_field_of_a_log_map_is_taken_for_another(void **state)
{
    (void)state;
    struct ns__logmap map = sample_logmap(4096), found;
    uint8_t good[NS__BLOCK_BYTES], bytes[NS__BLOCK_BYTES], again[NS__BLOCK_BYTES];
    ns__logmap_encode(&map, good);
    for (size_t at = 0; at + 8 <= 4088; at += 4) {
        for (unsigned i = 0; i < 2 * CENSUS_VALUES; i++) {
            memcpy(bytes, good, sizeof bytes);
            uint64_t value = census_value(i / 2, ns__load64(good + at), LIMIT);
            if (i % 2 == 0) ns__store64(bytes + at, value);
            if (i % 2 == 1) ns__store32(bytes + at, (uint32_t)value);
            seal_map(bytes, 2);
            if (decode_map(bytes, 2, &found) != NS_OK) continue;
            ns__logmap_encode(&found, again);
            assert_memory_equal(again, bytes, sizeof bytes);
        }
    }
}

struct refusal {
    unsigned offset, size;
    uint64_t value;
    const char *detail;
};

/* FMT-20 */
static void impossible_fields_of_a_log_map_are_refused_and_named(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {0, 8, 0, "magic"},
        {24, 8, 0, "sequence"},
        {24, 8, 9, "sequence"},
        {40, 4, 2, "flags"},
        {44, 4, 3, "extent 2"},
        {44, 4, 1, "unused extent"},
        {44, 4, UINT32_MAX, "listed here"},
        {48, 8, 0, "continuation page"},
        {48, 8, 30, "continuation page"},
        {48, 8, LIMIT, "continuation page"},
        {64, 8, 2, "in all"},
        {64, 8, 1, "in all"},
        {72, 4, 3, "newest epoch"},
        {76, 4, 1, "reserved"},
        {92, 4, 1, "reserved"},
        {96, 8, 0x8000 + 4096 + 8, "log offsets"},  /* empty */
        {96, 8, 0x8000 + 4096 + 16, "log offsets"}, /* backwards */
        {96, 8, 0x6000, "log offsets"},             /* longer than its pages */
        {104, 8, 0x8000 + 4096, "starts at"},       /* a gap */
        {112, 8, 29, "pages at"},                   /* in a map area */
        {112, 8, LIMIT - 1, "pages at"},
        {112, 8, UINT64_MAX, "pages at"},
        {120, 4, 0, "pages at"},
        {120, 4, LIMIT, "pages at"},
        {120, 4, UINT32_MAX, "pages at"},
        {124, 4, 5, "epoch falls"},
        {160, 8, 1, "unused extent"},
        {4084, 4, 1, "unused extent"},
    };
    struct ns__logmap map = sample_logmap(4096), found;
    uint8_t good[NS__BLOCK_BYTES], bytes[NS__BLOCK_BYTES];
    ns__logmap_encode(&map, good);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *refusal = &refusals[i];
        memcpy(bytes, good, sizeof bytes);
        if (refusal->size == 8) ns__store64(bytes + refusal->offset, refusal->value);
        if (refusal->size == 4) ns__store32(bytes + refusal->offset, (uint32_t)refusal->value);
        seal_map(bytes, 2);
        CHECK_STATUS(decode_map(bytes, 2, &found), NS_CORRUPT);
        if (strstr(ns_error_detail(), refusal->detail) == NULL) {
            print_error("case %zu: \"%s\" does not name \"%s\"\n", i, ns_error_detail(),
                        refusal->detail);
            fail();
        }
    }
}

static void an_extent_may_not_cover_the_map_area_of_any_region(void **state)
{
    (void)state;
    struct ns__logmap map = {.sequence = 2, .extent_count = 1, .extents_total = 1}, found;
    memcpy(map.uuid, sample_uuid, sizeof sample_uuid);
    uint8_t bytes[NS__BLOCK_BYTES];
    uint64_t area = ns__region_map_page(4096, 2);
    uint64_t after = area + ns__region_map_pages(4096, 2);
    const struct {
        uint64_t page;
        uint32_t pages;
        bool good;
    } cases[] = {
        {area - 5, 5, true},      {area - 5, 6, false}, {area, 1, false},
        {after - 1, 1, false},    {after, 1, true},     {area - 5, 100000, false},
        {40, 1000000000u, false}, {31, 1000, true},     {0, 40, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        map.extents[0] = (struct ns__extent){0, 8, cases[i].page, cases[i].pages, 0};
        ns__logmap_encode(&map, bytes);
        CHECK_STATUS(ns__logmap_decode(bytes, 2, sample_uuid, 4096, UINT64_MAX, &found),
                     cases[i].good ? NS_OK : NS_CORRUPT);
    }
}

/* ---- continuation pages ---- */

struct continuation {
    uint64_t next_page, next_checksum;
    uint32_t count;
    struct ns__extent extents[65536 / 32];
};

/* Decodes exact copies: the page, and room for as many extents as may come. */
static ns_status decode_continuation(const uint8_t *bytes, uint32_t page_size, uint64_t expected,
                                     struct continuation *out)
{
    uint8_t *copy = exact_copy(bytes, page_size);
    size_t room = ns__continuation_extents_max(page_size) * sizeof(struct ns__extent);
    struct ns__extent *extents = malloc(room);
    assert_non_null(extents);
    ns_status status =
        ns__continuation_decode(copy, sample_uuid, page_size, 77, expected, &out->next_page,
                                &out->next_checksum, extents, &out->count);
    memcpy(out->extents, extents, out->count * sizeof *extents);
    if (status != NS_OK) {
        assert_true(out->next_page == 0 && out->next_checksum == 0 && out->count == 0);
    }
    free(extents);
    free(copy);
    return status;
}

static uint64_t seal_page(uint8_t *bytes, uint32_t page_size)
{
    uint64_t checksum = ns__page_checksum(bytes, page_size, ns__page_seed(sample_uuid, 77));
    ns__store64(bytes, checksum);
    return checksum;
}

/* FMT-19 */
static void a_continuation_page_decodes_to_what_was_encoded(void **state)
{
    (void)state;
    static struct continuation good, found;
    static uint8_t bytes[65536];
    for (size_t i = 0; i < PAGE_SIZES; i++) {
        uint32_t size = page_sizes[i];
        uint32_t most = ns__continuation_extents_max(size);
        const uint32_t counts[] = {1, 2, most - 1, most};
        for (size_t j = 0; j < 4; j++) {
            sample_extents(good.extents, counts[j], size);
            uint64_t checksum =
                ns__continuation_encode(sample_uuid, size, 77, j % 2 ? 5000 : 0, j % 2 ? 9 : 0,
                                        good.extents, counts[j], bytes);
            CHECK_OK(decode_continuation(bytes, size, checksum, &found));
            assert_int_equal(found.count, counts[j]);
            assert_int_equal(found.next_page, j % 2 ? 5000 : 0);
            assert_int_equal(found.next_checksum, j % 2 ? 9 : 0);
            assert_memory_equal(found.extents, good.extents, counts[j] * sizeof good.extents[0]);
            CHECK_STATUS(decode_continuation(bytes, size, checksum + 1, &found), NS_CORRUPT);
        }
    }
}

static void every_single_bit_flip_of_a_continuation_page_is_noticed(void **state)
{
    (void)state;
    static struct continuation good, found;
    uint8_t bytes[4096];
    sample_extents(good.extents, 60, 4096);
    uint64_t checksum =
        ns__continuation_encode(sample_uuid, 4096, 77, 5000, 9, good.extents, 60, bytes);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        CHECK_STATUS(decode_continuation(bytes, 4096, checksum, &found), NS_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    CHECK_OK(decode_continuation(bytes, 4096, checksum, &found));
}

static void every_cut_of_a_continuation_page_is_noticed(void **state)
{
    (void)state;
    static struct continuation good, found;
    uint8_t bytes[4096], cut[4096] = {0};
    sample_extents(good.extents, 127, 4096);
    uint64_t checksum =
        ns__continuation_encode(sample_uuid, 4096, 77, 5000, 9, good.extents, 127, bytes);
    for (size_t size = 0; size < sizeof bytes; size++) {
        if (memcmp(cut, bytes, sizeof bytes) == 0) break; /* the page ends in zeros */
        CHECK_STATUS(decode_continuation(cut, 4096, checksum, &found), NS_CORRUPT);
        cut[size] = bytes[size];
    }
}

static void no_value_of_any_field_of_a_continuation_page_is_taken_for_another(void **state)
{
    (void)state;
    static struct continuation good, found;
    uint8_t bytes[4096], clean[4096], again[4096];
    sample_extents(good.extents, 60, 4096);
    (void)ns__continuation_encode(sample_uuid, 4096, 77, 5000, 9, good.extents, 60, clean);
    for (size_t at = 8; at + 8 <= sizeof bytes; at += 4) {
        for (unsigned i = 0; i < 2 * CENSUS_VALUES; i++) {
            memcpy(bytes, clean, sizeof bytes);
            uint64_t value = census_value(i / 2, ns__load64(clean + at), 77);
            if (i % 2 == 0) ns__store64(bytes + at, value);
            if (i % 2 == 1) ns__store32(bytes + at, (uint32_t)value);
            uint64_t checksum = seal_page(bytes, 4096);
            if (decode_continuation(bytes, 4096, checksum, &found) != NS_OK) continue;
            (void)ns__continuation_encode(sample_uuid, 4096, 77, found.next_page,
                                          found.next_checksum, found.extents, found.count, again);
            assert_memory_equal(again, bytes, sizeof bytes);
        }
    }
}

static void impossible_fields_of_a_continuation_page_are_refused_and_named(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {8, 8, 0, "next continuation"},
        {8, 8, 77, "next continuation"},
        {8, 8, 3, "next continuation"},
        {8, 8, UINT64_MAX, "next continuation"},
        {16, 4, 5, "type"},
        {16, 4, 0x100 | 6, "reserved"},
        {20, 4, 0, "extents here"},
        {20, 4, 128, "extents here"},
        {20, 4, UINT32_MAX, "extents here"},
        {20, 4, 59, "unused entries"},
        {20, 4, 61, "extent 60"},
        {4092, 4, 1, "unused entries"},
        {48, 8, 4, "extent 0"},
        {48, 8, UINT64_MAX - 1, "extent 0"},
        {40, 8, 63, "extent 0"},
        {60, 4, 2, "epoch falls"},
    };
    static struct continuation good, found;
    uint8_t bytes[4096], clean[4096];
    sample_extents(good.extents, 60, 4096);
    (void)ns__continuation_encode(sample_uuid, 4096, 77, 5000, 9, good.extents, 60, clean);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *refusal = &refusals[i];
        memcpy(bytes, clean, sizeof bytes);
        if (refusal->size == 8) ns__store64(bytes + refusal->offset, refusal->value);
        if (refusal->size == 4) ns__store32(bytes + refusal->offset, (uint32_t)refusal->value);
        uint64_t checksum = seal_page(bytes, 4096);
        CHECK_STATUS(decode_continuation(bytes, 4096, checksum, &found), NS_CORRUPT);
        if (strstr(ns_error_detail(), refusal->detail) == NULL) {
            print_error("case %zu: \"%s\" does not name \"%s\"\n", i, ns_error_detail(),
                        refusal->detail);
            fail();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_map_decodes_to_what_was_encoded),
        cmocka_unit_test(the_head_of_a_log_map_says_whether_it_is_in_use),
        cmocka_unit_test(a_log_map_holds_no_extents_or_up_to_124),
        cmocka_unit_test(every_single_bit_flip_of_a_log_map_is_noticed),
        cmocka_unit_test(every_cut_of_a_log_map_is_noticed),
        cmocka_unit_test(a_log_map_of_another_file_or_place_is_refused),
        cmocka_unit_test(no_value_of_any_field_of_a_log_map_is_taken_for_another),
        cmocka_unit_test(impossible_fields_of_a_log_map_are_refused_and_named),
        cmocka_unit_test(an_extent_may_not_cover_the_map_area_of_any_region),
        cmocka_unit_test(a_continuation_page_decodes_to_what_was_encoded),
        cmocka_unit_test(every_single_bit_flip_of_a_continuation_page_is_noticed),
        cmocka_unit_test(every_cut_of_a_continuation_page_is_noticed),
        cmocka_unit_test(no_value_of_any_field_of_a_continuation_page_is_taken_for_another),
        cmocka_unit_test(impossible_fields_of_a_continuation_page_are_refused_and_named),
    };
    return cmocka_run_group_tests_name("format_logmap", tests, NULL, NULL);
}
