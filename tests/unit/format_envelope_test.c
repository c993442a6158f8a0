/* format/envelope: round trips, damage, pieces. */
#include "harness/test.h"

#include "format/samples.h"

static const struct ns__envelope sample = {.epoch = 3, .payload_bytes = 96, .watermark = 0x1000};

static void encode_sample(uint8_t *bytes)
{
    sample_fill(bytes + NS__ENVELOPE_BYTES, 96, 1);
    struct ns__hash_piece payload = {bytes + NS__ENVELOPE_BYTES, 96};
    ns__envelope_encode(sample_uuid, 0x2000, &sample, &payload, 1, bytes);
}

static bool check_whole(const uint8_t *bytes, uint64_t log_offset)
{
    struct ns__hash_piece payload = {bytes + NS__ENVELOPE_BYTES, 96};
    return ns__envelope_check(sample_uuid, log_offset, bytes, &payload, 1);
}

static void an_envelope_decodes_to_what_was_encoded(void **state)
{
    (void)state;
    uint8_t bytes[NS__ENVELOPE_BYTES + 96];
    struct ns__envelope found;
    encode_sample(bytes);
    assert_true(ns__envelope_peek(bytes, &found));
    assert_int_equal(found.epoch, 3);
    assert_int_equal(found.payload_bytes, 96);
    assert_int_equal(found.watermark, 0x1000);
    assert_true(check_whole(bytes, 0x2000));
}

static void every_single_bit_flip_is_noticed(void **state)
{
    (void)state;
    uint8_t bytes[NS__ENVELOPE_BYTES + 96];
    encode_sample(bytes);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_false(check_whole(bytes, 0x2000));
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static void every_cut_is_noticed(void **state)
{
    (void)state;
    uint8_t bytes[NS__ENVELOPE_BYTES + 96], cut[sizeof bytes];
    encode_sample(bytes);
    for (size_t size = 0; size < sizeof bytes; size++) {
        memset(cut, 0, sizeof cut); /* FMT-22: what was not reached is zero */
        memcpy(cut, bytes, size);
        assert_false(check_whole(cut, 0x2000));
        if (size < NS__ENVELOPE_BYTES) continue;
        uint8_t *copy = exact_copy(bytes, size);
        struct ns__hash_piece payload = {copy + NS__ENVELOPE_BYTES, size - NS__ENVELOPE_BYTES};
        assert_false(ns__envelope_check(sample_uuid, 0x2000, copy, &payload, 1));
        free(copy);
    }
}

/* FMT-3 */
static void an_envelope_at_another_log_offset_or_of_another_file_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[NS__ENVELOPE_BYTES + 96], other[NS__UUID_BYTES] = {9};
    encode_sample(bytes);
    assert_false(check_whole(bytes, 0x2008));
    struct ns__hash_piece payload = {bytes + NS__ENVELOPE_BYTES, 96};
    assert_false(ns__envelope_check(other, 0x2000, bytes, &payload, 1));
}

static void a_payload_may_lie_in_any_number_of_pieces(void **state)
{
    (void)state;
    static uint8_t bytes[NS__ENVELOPE_BYTES + 8000];
    static struct ns__hash_piece pieces[NS__ENVELOPE_PIECES_MAX];
    const struct ns__envelope envelope = {.epoch = 1, .payload_bytes = 8000};
    uint8_t header[NS__ENVELOPE_BYTES];
    sample_fill(bytes + NS__ENVELOPE_BYTES, 8000, 7);
    struct ns__hash_piece whole = {bytes + NS__ENVELOPE_BYTES, 8000};
    ns__envelope_encode(sample_uuid, 64, &envelope, &whole, 1, bytes);
    for (size_t count = 1; count <= NS__ENVELOPE_PIECES_MAX; count += 37) {
        size_t at = 0;
        for (size_t i = 0; i < count; i++) {
            size_t size = i + 1 == count ? 8000 - at : 8000 / count;
            pieces[i].data = bytes + NS__ENVELOPE_BYTES + at;
            pieces[i].size = size;
            at += size;
        }
        ns__envelope_encode(sample_uuid, 64, &envelope, pieces, count, header);
        assert_memory_equal(header, bytes, sizeof header);
        assert_true(ns__envelope_check(sample_uuid, 64, header, pieces, count));
    }
    const struct ns__envelope empty = {.epoch = 1};
    ns__envelope_encode(sample_uuid, 64, &empty, NULL, 0, header);
    assert_true(ns__envelope_check(sample_uuid, 64, header, NULL, 0));
}

static void headers_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct ns__envelope zero;
    uint8_t bytes[NS__ENVELOPE_BYTES + 96];
    struct ns__envelope found;
    const uint64_t sizes[] = {1, 95, 97, UINT64_MAX, UINT64_MAX - 7, (uint64_t)INT64_MAX - 7};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        encode_sample(bytes);
        ns__store64(bytes + 16, sizes[i]);
        assert_false(ns__envelope_peek(bytes, &found));
        assert_memory_equal(&found, &zero, sizeof zero);
        assert_false(check_whole(bytes, 0x2000));
    }
    memset(bytes, 0, sizeof bytes);
    assert_false(ns__envelope_peek(bytes, &found));
    encode_sample(bytes);
    ns__store64(bytes + 16, 104); /* possible, but not what is there */
    assert_true(ns__envelope_peek(bytes, &found));
    assert_false(check_whole(bytes, 0x2000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_envelope_decodes_to_what_was_encoded),
        cmocka_unit_test(every_single_bit_flip_is_noticed),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(an_envelope_at_another_log_offset_or_of_another_file_is_refused),
        cmocka_unit_test(a_payload_may_lie_in_any_number_of_pieces),
        cmocka_unit_test(headers_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests_name("format_envelope", tests, NULL, NULL);
}
