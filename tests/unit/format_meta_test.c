/* format/meta: round trips, damage, census of fields, choice. */
#include "harness/test.h"

#include "format/samples.h"

static void seal(uint8_t *bytes, uint32_t page)
{
    ns__store64(bytes + 4088, ns__checksum64(bytes, 4088, page));
}

/* Decodes a copy that ends where the bytes end. Failure must leave zeros. */
static ns_status decode(const uint8_t *bytes, uint32_t page, uint64_t file_bytes,
                        struct ns__meta *meta_out)
{
    static const struct ns__meta zero;
    uint8_t *copy = exact_copy(bytes, NS__BLOCK_BYTES);
    ns_status status = ns__meta_decode(copy, page, file_bytes, meta_out);
    free(copy);
    if (status != NS_OK) assert_memory_equal(meta_out, &zero, sizeof zero);
    return status;
}

static void a_meta_decodes_to_what_was_encoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAGE_SIZES; i++) {
        struct ns__meta meta = sample_meta(page_sizes[i]), found;
        uint8_t bytes[NS__BLOCK_BYTES], again[NS__BLOCK_BYTES];
        ns__meta_encode(&meta, bytes);
        CHECK_OK(decode(bytes, 1, sample_meta_file_bytes(&meta), &found));
        assert_int_equal(found.page_size, meta.page_size);
        assert_true(found.unix_us == meta.unix_us && found.created_us == meta.created_us);
        assert_int_equal(found.regions[1].place, 3);
        assert_true(found.regions[1].checksum == meta.regions[1].checksum);
        ns__meta_encode(&found, again);
        assert_memory_equal(again, bytes, sizeof bytes);
    }
}

static void the_meta_of_an_empty_file_is_good(void **state)
{
    (void)state;
    struct ns__meta meta = {
        .page_size = 4096, .sequence = 1, .generation = 1, .page_count = 31, .history = 3};
    struct ns__meta found;
    uint8_t bytes[NS__BLOCK_BYTES];
    ns__meta_encode(&meta, bytes);
    CHECK_OK(decode(bytes, 1, 31 * 4096, &found));
    CHECK_STATUS(decode(bytes, 1, 31 * 4096 - 1, &found), NS_CORRUPT);
}

/* FMT-5 */
static void a_meta_holds_298_regions(void **state)
{
    (void)state;
    struct ns__meta meta = sample_meta(4096), found;
    meta.region_count = NS__REGIONS_MAX;
    meta.page_count = ns__page_count_max(4096);
    for (uint32_t i = 0; i < NS__REGIONS_MAX; i++) {
        meta.regions[i] = (struct ns__region_entry){1 + i % 3, i};
    }
    uint8_t bytes[NS__BLOCK_BYTES];
    ns__meta_encode(&meta, bytes);
    CHECK_OK(decode(bytes, 1, UINT64_MAX, &found));
    assert_int_equal(found.regions[NS__REGIONS_MAX - 1].checksum, NS__REGIONS_MAX - 1);
    ns__store32(bytes + 280, NS__REGIONS_MAX + 1);
    seal(bytes, 1);
    CHECK_STATUS(decode(bytes, 1, UINT64_MAX, &found), NS_CORRUPT);
}

static void every_single_bit_flip_is_noticed(void **state)
{
    (void)state;
    struct ns__meta meta = sample_meta(4096), found;
    uint64_t file_bytes = sample_meta_file_bytes(&meta);
    uint8_t *bytes = malloc(NS__BLOCK_BYTES);
    assert_non_null(bytes);
    ns__meta_encode(&meta, bytes);
    for (size_t bit = 0; bit < NS__BLOCK_BYTES * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        ns_status status = ns__meta_decode(bytes, 1, file_bytes, &found);
        assert_int_equal(status, bit < 64 ? NS_NOTADB : NS_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    CHECK_OK(ns__meta_decode(bytes, 1, file_bytes, &found));
    free(bytes);
}

/* A torn write leaves zeros, or older bytes, behind. */
static void every_cut_is_noticed(void **state)
{
    (void)state;
    struct ns__meta meta = sample_meta(4096), found;
    uint8_t bytes[NS__BLOCK_BYTES], cut[NS__BLOCK_BYTES], older[NS__BLOCK_BYTES];
    ns__meta_encode(&meta, bytes);
    meta.sequence -= 2;
    meta.log_watermark--;
    ns__meta_encode(&meta, older);
    for (size_t size = 0; size < NS__BLOCK_BYTES; size++) {
        memset(cut, 0, sizeof cut);
        memcpy(cut, bytes, size);
        ns_status status = decode(cut, 1, sample_meta_file_bytes(&meta), &found);
        assert_int_equal(status, size < 8 ? NS_NOTADB : NS_CORRUPT);
        memcpy(cut, older, sizeof cut);
        memcpy(cut, bytes, size);
        status = decode(cut, 1, sample_meta_file_bytes(&meta), &found);
        assert_true(status == NS_CORRUPT || memcmp(cut, older, sizeof cut) == 0);
    }
}

static void a_meta_in_the_place_of_the_other_is_refused(void **state)
{
    (void)state;
    struct ns__meta meta = sample_meta(4096), found;
    uint8_t bytes[NS__BLOCK_BYTES];
    ns__meta_encode(&meta, bytes);
    CHECK_STATUS(decode(bytes, 0, UINT64_MAX, &found), NS_CORRUPT);
    seal(bytes, 0);
    CHECK_STATUS(decode(bytes, 0, UINT64_MAX, &found), NS_CORRUPT);
}

static void a_newer_version_is_told_apart_from_a_damaged_one(void **state)
{
    (void)state;
    struct ns__meta meta = sample_meta(4096), found;
    uint8_t bytes[NS__BLOCK_BYTES];
    ns__meta_encode(&meta, bytes);
    ns__store32(bytes + 8, 2);
    CHECK_STATUS(decode(bytes, 1, UINT64_MAX, &found), NS_CORRUPT); /* the rest is ours */
    seal(bytes, 1);
    CHECK_STATUS(decode(bytes, 1, UINT64_MAX, &found), NS_VERSION);
    assert_non_null(strstr(ns_error_detail(), "version 2"));
    assert_non_null(strstr(ns_error_detail(), "reads 1"));
    bytes[2000] ^= 1; /* a checksum that we cannot check */
    CHECK_STATUS(decode(bytes, 1, UINT64_MAX, &found), NS_VERSION);
    ns__store32(bytes + 8, 0);
    seal(bytes, 1);
    CHECK_STATUS(decode(bytes, 1, UINT64_MAX, &found), NS_CORRUPT);
}

/* Every word of the page takes every interesting value, with the checksum right. */
static void no_value_of_any_field_is_taken_for_another(void **state)
{
    (void)state;
    struct ns__meta meta = sample_meta(4096), found;
    uint64_t file_bytes = sample_meta_file_bytes(&meta);
    uint8_t good[NS__BLOCK_BYTES], bytes[NS__BLOCK_BYTES], again[NS__BLOCK_BYTES];
    ns__meta_encode(&meta, good);
    for (size_t at = 8; at + 8 <= 4088; at += 4) {
        for (unsigned i = 0; i < 2 * CENSUS_VALUES; i++) {
            memcpy(bytes, good, sizeof bytes);
            uint64_t value = census_value(i / 2, ns__load64(good + at), meta.page_count);
            if (i % 2 == 0) ns__store64(bytes + at, value);
            if (i % 2 == 1) ns__store32(bytes + at, (uint32_t)value);
            seal(bytes, 1);
            if (decode(bytes, 1, file_bytes, &found) != NS_OK) continue;
            ns__meta_encode(&found, again);
            assert_memory_equal(again, bytes, sizeof bytes);
        }
    }
}

struct refusal {
    unsigned offset, size;
    uint64_t value;
    const char *detail;
};

static void impossible_fields_are_refused_and_named(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {12, 4, 2048, "page size"},
        {12, 4, 4097, "page size"},
        {12, 4, 131072, "page size"},
        {12, 4, 65536, "page count"},
        {32, 8, 0, "sequence"},
        {32, 8, 8, "sequence"},
        {48, 8, 0, "without a transaction"},
        {96, 8, 0x7ffc, "replay"},
        {104, 8, 0x7fff, "watermark"},
        {112, 8, 3, "page count"},
        {112, 8, UINT64_MAX, "page count"},
        {112, 8, 260197, "page count"},
        {112, 8, 260097, "region 1 lies above"},
        {120, 8, 0, "tree of keyspace 0"},
        {120, 8, 30, "tree of keyspace 0"},
        {120, 8, UINT64_C(1) << 63 | 5000, "tree of keyspace 0"},
        {120, 8, 260196, "tree of keyspace 0"},
        {128, 8, 4096 * 7, "more entries"},
        {136, 8, 0, "pages"},
        {136, 8, UINT64_MAX, "pages"},
        {136, 8, 260194, "pages"},
        {152, 8, 0, "catalogue tree"},
        {160, 8, 5, "named keyspaces"},
        {176, 8, 1, "named keyspaces"},
        {184, 8, 3, "named keyspaces"},
        {192, 4, 2, "flags"},
        {192, 4, 0x80000001u, "flags"},
        {196, 4, 0, "history"},
        {196, 4, 4, "history"},
        {232, 8, 1001, "floor"},
        {232, 8, 0, "floor"},
        {272, 8, 0x8001, "floor"},
        {280, 4, 1, "unused region entries"},
        {280, 4, 3, "region 2: place 0"},
        {280, 4, 299, "region count"},
        {280, 4, UINT32_MAX, "region count"},
        {284, 4, 1, "reserved"},
        {508, 4, 0x80000000u, "reserved"},
        {512, 4, 0, "place 0"},
        {512, 4, 4, "place 4"},
        {536, 4, 1, "unused region entries"},
        {4084, 4, 1, "unused region entries"},
    };
    struct ns__meta meta = sample_meta(4096), found;
    uint8_t good[NS__BLOCK_BYTES], bytes[NS__BLOCK_BYTES];
    ns__meta_encode(&meta, good);
    assert_int_equal(meta.page_count, 260196);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *refusal = &refusals[i];
        memcpy(bytes, good, sizeof bytes);
        if (refusal->size == 8) ns__store64(bytes + refusal->offset, refusal->value);
        if (refusal->size == 4) ns__store32(bytes + refusal->offset, (uint32_t)refusal->value);
        seal(bytes, 1);
        CHECK_STATUS(decode(bytes, 1, sample_meta_file_bytes(&meta), &found), NS_CORRUPT);
        if (strstr(ns_error_detail(), refusal->detail) == NULL) {
            print_error("case %zu: \"%s\" does not name \"%s\"\n", i, ns_error_detail(),
                        refusal->detail);
            fail();
        }
        assert_non_null(strstr(ns_error_detail(), "page 1: meta: "));
    }
}

struct choice {
    ns_status status[2];
    uint64_t sequence[2];
    bool same_uuid, same_page_size;
    int chosen;
};

static void the_choice_between_metas_follows_its_table(void **state)
{
    (void)state;
    static const struct choice choices[] = {
        {{NS_OK, NS_OK}, {8, 7}, true, true, 0},
        {{NS_OK, NS_OK}, {8, 9}, true, true, 1},
        {{NS_OK, NS_OK}, {2, 1}, true, true, 0},
        {{NS_OK, NS_OK}, {UINT64_MAX - 1, UINT64_MAX}, true, true, 1},
        {{NS_OK, NS_OK}, {8, 11}, true, true, -1},
        {{NS_OK, NS_OK}, {10, 7}, true, true, -1},
        {{NS_OK, NS_OK}, {8, 8}, true, true, -1},
        {{NS_OK, NS_OK}, {8, 9}, false, true, -1},
        {{NS_OK, NS_OK}, {8, 9}, true, false, -1},
        {{NS_OK, NS_CORRUPT}, {8, 0}, false, false, 0},
        {{NS_CORRUPT, NS_OK}, {0, 7}, false, false, 1},
        {{NS_OK, NS_NOTADB}, {8, 0}, false, false, 0},
        {{NS_NOTADB, NS_OK}, {0, 7}, false, false, 1},
        {{NS_CORRUPT, NS_CORRUPT}, {0, 0}, true, true, -1},
        {{NS_NOTADB, NS_NOTADB}, {0, 0}, true, true, -1},
        {{NS_CORRUPT, NS_NOTADB}, {0, 0}, true, true, -1},
        {{NS_OK, NS_VERSION}, {8, 0}, false, false, -1},
        {{NS_VERSION, NS_OK}, {0, 7}, false, false, -1},
        {{NS_VERSION, NS_VERSION}, {0, 0}, true, true, -1},
        {{NS_CORRUPT, NS_VERSION}, {0, 0}, true, true, -1},
    };
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        const struct choice *choice = &choices[i];
        struct ns__meta *meta = calloc(2, sizeof *meta);
        assert_non_null(meta);
        meta[0].sequence = choice->sequence[0];
        meta[1].sequence = choice->sequence[1];
        meta[0].page_size = 4096;
        meta[1].page_size = choice->same_page_size ? 4096 : 8192;
        meta[1].uuid[3] = choice->same_uuid ? 0 : 1;
        if (ns__meta_choose(choice->status, meta) != choice->chosen) {
            print_error("case %zu\n", i);
            fail();
        }
        free(meta);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_meta_decodes_to_what_was_encoded),
        cmocka_unit_test(the_meta_of_an_empty_file_is_good),
        cmocka_unit_test(a_meta_holds_298_regions),
        cmocka_unit_test(every_single_bit_flip_is_noticed),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(a_meta_in_the_place_of_the_other_is_refused),
        cmocka_unit_test(a_newer_version_is_told_apart_from_a_damaged_one),
        cmocka_unit_test(no_value_of_any_field_is_taken_for_another),
        cmocka_unit_test(impossible_fields_are_refused_and_named),
        cmocka_unit_test(the_choice_between_metas_follows_its_table),
    };
    return cmocka_run_group_tests_name("format_meta", tests, NULL, NULL);
}
