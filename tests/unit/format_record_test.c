/* format/record: records, chains, operations, canonical bodies, and the record functions of
 * northstar/log.h. */
#include "harness/test.h"

#include <stdio.h>

#include "format/samples.h"

#define KEY_MAX 1024u

static const uint8_t no_chain[NS__CHAIN_BYTES];

static struct ns_op op(ns_op_kind kind, ns_keyspace keyspace, const char *key, const char *value)
{
    return (struct ns_op){kind, keyspace, ns_str(key), ns_str(value)};
}

/* ---- bodies as text: one operation per line, "kind keyspace key [value]", "-" is empty ---- */

static size_t write_body(const char *text, uint8_t *out, uint64_t *count_out)
{
    size_t used = 0;
    *count_out = 0;
    for (const char *line = text; *line != 0; (*count_out)++) {
        unsigned kind, keyspace;
        char key[32] = "", value[32] = "";
        int end = 0;
        (void)sscanf(line, "%u %u %31s%n%*[ ]%31[^ \n]%n", &kind, &keyspace, key, &end, value,
                     &end);
        if (strcmp(key, "-") == 0) key[0] = 0;
        if (strcmp(value, "-") == 0) value[0] = 0;
        struct ns_op one = op(kind, keyspace, key, value);
        size_t size = ns__op_encode(&one, out + used);
        assert_int_equal(size, ns__op_size(&one));
        used += size;
        line += end;
        if (*line == '\n') line++;
    }
    return used;
}

static ns_status check_body(const uint8_t *bytes, size_t size, uint64_t *count_out)
{
    uint8_t *copy = exact_copy(bytes, size);
    ns_status status = ns__body_check(ns_bytes(copy, size), KEY_MAX, count_out);
    free(copy);
    return status;
}

static const char canonical[] = "5 3 old\n"
                                "5 9 older\n"
                                "4 3 again\n"
                                "4 7 new\n"
                                "3 0 - b\n"
                                "3 0 c d\n"
                                "3 0 x -\n"
                                "1 0 a 1\n"
                                "2 0 b\n"
                                "1 0 c -\n"
                                "2 0 w\n"
                                "1 0 y 2\n"
                                "2 3 a\n"
                                "1 3 b v\n"
                                "3 7 b c\n"
                                "2 7 a\n"
                                "2 7 c\n"
                                "1 4000000000 k v\n";

static void a_canonical_body_is_accepted_and_counted(void **state)
{
    (void)state;
    uint8_t body[512];
    uint64_t wanted, count;
    size_t size = write_body(canonical, body, &wanted);
    CHECK_OK(check_body(body, size, &count));
    assert_int_equal(count, 18);
    assert_int_equal(count, wanted);
    CHECK_OK(check_body(body, 0, &count));
    assert_int_equal(count, 0);
    CHECK_OK(ns__body_check(ns_bytes(NULL, 0), KEY_MAX, &count));
}

/* FMT-27 */
static void bodies_that_break_a_rule_are_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "4 1 a\n5 2 b\n",                     /* a drop after a create */
        "1 0 a v\n5 2 b\n",                   /* a drop after a change */
        "1 0 a v\n4 2 b\n",                   /* a create after a change */
        "5 2 a\n5 1 b\n",                     /* drops out of order */
        "5 2 a\n5 2 b\n",                     /* a keyspace dropped twice */
        "4 2 a\n4 1 b\n",                     /* creates out of order */
        "4 2 a\n4 2 b\n",                     /* an id created twice */
        "1 1 a v\n1 0 b v\n",                 /* keyspaces out of order */
        "1 0 b v\n1 0 a v\n",                 /* keys out of order */
        "1 0 a v\n1 0 a v\n",                 /* a key twice */
        "2 0 a\n1 0 a v\n",                   /* a key twice, in two ways */
        "1 0 a v\n3 0 b c\n",                 /* a range after a point */
        "3 0 c d\n3 0 a b\n",                 /* ranges out of order */
        "3 0 a c\n3 0 b d\n",                 /* ranges overlap */
        "3 0 a b\n3 0 b c\n",                 /* ranges touch */
        "3 0 a -\n3 0 b c\n",                 /* a range after an open end */
        "3 0 a -\n3 0 b -\n",                 /* two open ends */
        "3 0 - b\n3 0 - c\n",                 /* two open starts */
        "3 0 b b\n",                          /* an empty range */
        "3 0 c b\n",                          /* a range backwards */
        "3 0 b d\n2 0 b\n",                   /* a delete at the start of a range */
        "3 0 b d\n2 0 c\n",                   /* a delete in a range */
        "3 0 - d\n2 0 a\n",                   /* the same, open start */
        "3 0 b -\n2 0 zz\n",                  /* the same, open end */
        "3 0 a b\n3 0 c e\n1 0 a v\n2 0 d\n", /* in the second range */
        "3 0 a b\n3 0 c e\n3 0 x -\n2 0 b\n2 0 y\n",
        "1 0 x v\n3 1 a b\n2 1 a\n", /* in another keyspace's range */
        "1 0 - v\n",                 /* an empty key */
        "2 0 -\n",
        "4 0 main\n", /* keyspace 0 is always there */
        "5 0 main\n",
        "4 1 -\n", /* a name of no bytes */
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        uint8_t body[512];
        uint64_t count;
        size_t size = write_body(bodies[i], body, &count);
        if (check_body(body, size, &count) != NS_CORRUPT || count != 0) {
            print_error("case %zu: %s\n", i, bodies[i]);
            fail();
        }
    }
}

static void a_put_may_lie_in_a_range_and_a_delete_beside_it(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "3 0 b d\n1 0 c v\n",
        "3 0 b d\n2 0 a\n2 0 d\n",
        "3 0 b d\n3 0 e f\n2 0 d\n1 0 e v\n2 0 f\n",
        "3 0 a -\n2 1 b\n",
        "3 0 a b\n3 1 a b\n2 1 b\n",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        uint8_t body[512];
        uint64_t count;
        size_t size = write_body(bodies[i], body, &count);
        CHECK_OK(check_body(body, size, &count));
    }
}

/* FMT-13 */
static void sizes_at_and_over_their_limits(void **state)
{
    (void)state;
    static uint8_t key[KEY_MAX + 1], body[4 * KEY_MAX];
    static const ns_op_kind kinds[] = {NS_OP_PUT, NS_OP_DEL, NS_OP_DEL_RANGE};
    uint64_t count;
    memset(key, 'k', sizeof key);
    for (size_t i = 0; i < 3; i++) {
        struct ns_op one = {kinds[i], 0, ns_bytes(key, KEY_MAX), ns_bytes(NULL, 0)};
        CHECK_OK(check_body(body, ns__op_encode(&one, body), &count));
        one.key.size++;
        CHECK_STATUS(check_body(body, ns__op_encode(&one, body), &count), NS_TOOBIG);
        assert_int_equal(count, 0);
    }
    struct ns_op range = {NS_OP_DEL_RANGE, 0, ns_str("a"), ns_bytes(key, KEY_MAX)};
    CHECK_OK(check_body(body, ns__op_encode(&range, body), &count));
    range.value.size++;
    CHECK_STATUS(check_body(body, ns__op_encode(&range, body), &count), NS_TOOBIG);
    struct ns_op create = {NS_OP_KEYSPACE_CREATE, 1, ns_bytes(key, 255), ns_bytes(NULL, 0)};
    CHECK_OK(check_body(body, ns__op_encode(&create, body), &count));
    create.key.size++;
    CHECK_STATUS(check_body(body, ns__op_encode(&create, body), &count), NS_CORRUPT);
    create.key = ns_bytes("a\0b", 3);
    CHECK_STATUS(check_body(body, ns__op_encode(&create, body), &count), NS_CORRUPT);
}

/* ---- operations ---- */

static void operations_that_are_not_canonical_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t size, bytes[16];
    } bad[] = {
        {1, {1}},            /* cut off */
        {4, {0, 0, 1, 'a'}}, /* kinds */
        {4, {6, 0, 1, 'a'}},
        {4, {0xff, 0, 1, 'a'}},
        {5, {2, 0x80, 0, 1, 'a'}},                         /* keyspace in two bytes */
        {5, {2, 0, 0x81, 0, 'a'}},                         /* key size in two bytes */
        {6, {1, 0, 1, 'a', 0x80, 0}},                      /* value size in two bytes */
        {8, {2, 0xff, 0xff, 0xff, 0xff, 0x1f, 1, 'a'}},    /* keyspace over 32 bits */
        {4, {2, 0, 2, 'a'}},                               /* key cut off */
        {6, {1, 0, 1, 'a', 2, 'v'}},                       /* value cut off */
        {4, {1, 0, 1, 'a'}},                               /* value missing */
        {9, {1, 0, 1, 'a', 0x80, 0x80, 0x80, 0x80, 0x10}}, /* value of 4 GiB */
        {13, {2, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'a'}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t *copy = exact_copy(bad[i].bytes, bad[i].size);
        struct ns_op found;
        size_t pos = 0;
        CHECK_STATUS(ns__op_decode(ns_bytes(copy, bad[i].size), &pos, &found), NS_CORRUPT);
        assert_int_equal(pos, 0);
        assert_int_equal(found.kind, 0);
        free(copy);
    }
    struct ns_op found;
    size_t pos = 5;
    CHECK_STATUS(ns__op_decode(ns_bytes("abcd", 4), &pos, &found), NS_CORRUPT);
    pos = 4;
    CHECK_STATUS(ns__op_decode(ns_bytes("abcd", 4), &pos, &found), NS_NOTFOUND);
}

/* What decodes encodes to the same bytes. Returns where decoding stopped. */
static size_t decode_all(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = exact_copy(bytes, size), again[600];
    struct ns_op found;
    size_t pos = 0, before = 0;
    while (ns__op_decode(ns_bytes(copy, size), &pos, &found) == NS_OK) {
        assert_true(pos > before && pos <= size);
        assert_int_equal(ns__op_encode(&found, again), pos - before);
        assert_memory_equal(again, bytes + before, pos - before);
        before = pos;
    }
    assert_int_equal(pos, before);
    free(copy);
    return pos;
}

static void every_cut_of_a_body_ends_at_an_operation_or_is_refused(void **state)
{
    (void)state;
    uint8_t body[512];
    uint64_t wanted, count;
    size_t whole = write_body(canonical, body, &wanted);
    for (size_t size = 0; size <= whole; size++) {
        size_t end = decode_all(body, size);
        CHECK_STATUS(check_body(body, size, &count), end == size ? NS_OK : NS_CORRUPT);
    }
}

static void damaged_bodies_are_refused_or_are_canonical_themselves(void **state)
{
    (void)state;
    uint8_t body[512];
    uint64_t wanted, count;
    size_t size = write_body(canonical, body, &wanted);
    for (size_t bit = 0; bit < size * 8; bit++) {
        body[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        size_t end = decode_all(body, size);
        if (check_body(body, size, &count) == NS_OK) assert_int_equal(end, size);
        body[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t at = 0; at < size; at++) {
        uint8_t old = body[at];
        for (unsigned value = 0; value < 256; value++) {
            body[at] = (uint8_t)value;
            (void)decode_all(body, size);
            (void)check_body(body, size, &count);
        }
        body[at] = old;
    }
}

static void random_bytes_are_refused_or_canonical(void **state)
{
    (void)state;
    struct ns__prng prng = {20240607};
    print_message("seed %llu\n", (unsigned long long)prng.state);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[64];
        size_t size = (size_t)ns__prng_below(&prng, sizeof bytes + 1);
        for (size_t j = 0; j < size; j++) {
            uint64_t roll = ns__prng_next(&prng);
            bytes[j] = (uint8_t)(roll % 4 == 0 ? roll >> 8 : (roll >> 8) % 6);
        }
        uint64_t count;
        size_t end = decode_all(bytes, size);
        if (check_body(bytes, size, &count) == NS_OK) assert_int_equal(end, size);
    }
}

/* ---- records ---- */

static size_t write_record(uint8_t *out, const uint8_t previous[NS__CHAIN_BYTES], uint64_t txn_id)
{
    uint8_t body[512];
    struct ns__record record = {.txn_id = txn_id, .unix_us = -77, .note = ns_str("who and why")};
    size_t size = write_body(canonical, body, &record.op_count);
    record.body = ns_bytes(body, size);
    ns__record_encode(&record, previous, out);
    memcpy(out + NS__RECORD_BYTES, record.note.data, record.note.size);
    memcpy(out + NS__RECORD_BYTES + record.note.size, body, size);
    return (size_t)record.size;
}

static ns_status decode_record(const uint8_t *bytes, size_t size, const uint8_t *previous)
{
    static const struct ns__record zero;
    uint8_t *copy = exact_copy(bytes, size);
    struct ns__record record;
    ns_status status = ns__record_decode(ns_bytes(copy, size), previous, &record);
    if (status != NS_OK) assert_memory_equal(&record, &zero, sizeof zero);
    if (status == NS_OK) {
        assert_ptr_equal(record.note.data, copy + NS__RECORD_BYTES);
        assert_int_equal(NS__RECORD_BYTES + record.note.size + record.body.size, record.size);
        assert_true(record.size <= size);
    }
    free(copy);
    return status;
}

static void a_record_decodes_to_what_was_encoded(void **state)
{
    (void)state;
    uint8_t bytes[1024] = {0};
    size_t size = write_record(bytes, no_chain, 5);
    struct ns__record found;
    CHECK_OK(ns__record_decode(ns_bytes(bytes, sizeof bytes), no_chain, &found));
    assert_int_equal(found.size, size);
    assert_int_equal(found.txn_id, 5);
    assert_true(found.unix_us == -77);
    assert_int_equal(found.op_count, 18);
    assert_true(ns__slice_equal(found.note, ns_str("who and why")));
    assert_int_equal(found.body.size, size - 80 - 11);
    assert_memory_equal(found.chain, bytes + 48, NS__CHAIN_BYTES);
    assert_int_equal(ns__record_padded(size), (size + 7) / 8 * 8);
}

static void every_single_bit_flip_of_a_record_breaks_its_chain(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    size_t size = write_record(bytes, no_chain, 5);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        CHECK_STATUS(decode_record(bytes, size, no_chain), NS_CORRUPT);
        (void)decode_record(bytes, size, NULL);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    CHECK_OK(decode_record(bytes, size, no_chain));
}

static void every_cut_of_a_record_is_noticed(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    size_t whole = write_record(bytes, no_chain, 5);
    for (size_t size = 0; size < whole; size++) {
        CHECK_STATUS(decode_record(bytes, size, NULL), NS_CORRUPT);
    }
    CHECK_OK(decode_record(bytes, whole, NULL));
}

/* FMT-25 */
static void the_chain_binds_a_record_to_all_before_it(void **state)
{
    (void)state;
    uint8_t first[1024], second[1024], other[1024];
    size_t size_1 = write_record(first, no_chain, 1);
    size_t size_2 = write_record(second, first + 48, 2);
    CHECK_OK(decode_record(first, size_1, no_chain));
    CHECK_OK(decode_record(second, size_2, first + 48));
    CHECK_STATUS(decode_record(second, size_2, no_chain), NS_CORRUPT);
    uint8_t chain[NS__CHAIN_BYTES];
    for (size_t bit = 0; bit < NS__CHAIN_BYTES * 8; bit++) {
        memcpy(chain, first + 48, sizeof chain);
        chain[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        CHECK_STATUS(decode_record(second, size_2, chain), NS_CORRUPT);
    }
    (void)write_record(other, no_chain, 2);
    assert_memory_not_equal(other + 48, second + 48, NS__CHAIN_BYTES);
}

static void no_value_of_any_field_of_a_record_is_read_out_of_bounds(void **state)
{
    (void)state;
    uint8_t good[1024], bytes[1024];
    size_t size = write_record(good, no_chain, 5);
    for (size_t at = 0; at + 8 <= NS__RECORD_BYTES; at += 4) {
        for (unsigned i = 0; i < 2 * CENSUS_VALUES; i++) {
            memcpy(bytes, good, size);
            uint64_t value = census_value(i / 2, ns__load64(good + at), size);
            if (i % 2 == 0) ns__store64(bytes + at, value);
            if (i % 2 == 1) ns__store32(bytes + at, (uint32_t)value);
            (void)decode_record(bytes, size, NULL);
            (void)decode_record(bytes, size, no_chain);
        }
    }
    static const struct {
        unsigned offset;
        uint64_t value;
        const char *detail;
    } refusals[] = {
        {0, 0, "magic"},          {8, 79, "size"},
        {8, UINT64_MAX, "size"},  {16, 0, "id 0"},
        {32, 0, "number of"},     {32, UINT64_MAX, "number of"},
        {40, 65536, "note"},      {40, 4000, "note"},
        {40, UINT32_MAX, "note"}, {44, UINT64_C(1), "reserved"},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        memcpy(bytes, good, size);
        ns__store64(bytes + refusals[i].offset, refusals[i].value);
        CHECK_STATUS(decode_record(bytes, size, NULL), NS_CORRUPT);
        assert_non_null(strstr(ns_error_detail(), refusals[i].detail));
    }
    memcpy(bytes, good, size);
    bytes[4] = 1;
    CHECK_STATUS(decode_record(bytes, size, NULL), NS_CORRUPT);
    assert_non_null(strstr(ns_error_detail(), "reserved"));
}

/* ---- northstar/log.h ---- */

static void a_parsed_commit_gives_its_operations(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    size_t size = write_record(bytes, no_chain, 5);
    struct ns_commit commit;
    CHECK_OK(ns_commit_parse(ns_bytes(bytes, size), &commit));
    assert_int_equal(commit.txn_id, 5);
    assert_true(commit.unix_us == -77);
    assert_int_equal(commit.op_count, 18);
    assert_memory_equal(commit.chain, bytes + 48, NS__CHAIN_BYTES);
    assert_true(ns__slice_equal(commit.note, ns_str("who and why")));
    assert_ptr_equal(commit.bytes.data, bytes);
    size_t pos = 0;
    struct ns_op found;
    CHECK_OK(ns_commit_next_op(&commit, &pos, &found));
    assert_int_equal(found.kind, NS_OP_KEYSPACE_DROP);
    assert_int_equal(found.keyspace, 3);
    assert_true(ns__slice_equal(found.key, ns_str("old")));
    uint64_t count = 1;
    while (ns_commit_next_op(&commit, &pos, &found) == NS_OK) {
        count++;
    }
    assert_int_equal(count, 18);
    CHECK_STATUS(ns_commit_next_op(&commit, &pos, &found), NS_NOTFOUND);
    assert_int_equal(found.kind, 0);
}

static void parsing_refuses_what_is_not_one_whole_canonical_record(void **state)
{
    (void)state;
    uint8_t bytes[1024] = {0};
    size_t size = write_record(bytes, no_chain, 5);
    struct ns_commit commit;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = exact_copy(bytes, cut);
        CHECK_STATUS(ns_commit_parse(ns_bytes(copy, cut), &commit), NS_CORRUPT);
        assert_null(commit.bytes.data);
        free(copy);
    }
    CHECK_STATUS(ns_commit_parse(ns_bytes(bytes, size + 1), &commit), NS_CORRUPT);
    CHECK_STATUS(ns_commit_parse(ns_bytes(bytes, size), NULL), NS_INVALID);
    CHECK_STATUS(ns_commit_parse(ns_bytes(NULL, 9), &commit), NS_INVALID);
    CHECK_STATUS(ns_commit_parse(ns_bytes(NULL, 0), &commit), NS_CORRUPT);
    ns__store64(bytes + 32, 17);
    CHECK_STATUS(ns_commit_parse(ns_bytes(bytes, size), &commit), NS_CORRUPT);
    ns__store64(bytes + 32, 18);
    CHECK_OK(ns_commit_parse(ns_bytes(bytes, size), &commit));
    bytes[3] = '2';
    CHECK_STATUS(ns_commit_parse(ns_bytes(bytes, size), &commit), NS_VERSION);
    bytes[3] = 'x';
    CHECK_STATUS(ns_commit_parse(ns_bytes(bytes, size), &commit), NS_CORRUPT);
}

static void next_op_refuses_wrong_arguments_and_garbage(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    size_t size = write_record(bytes, no_chain, 5);
    struct ns_commit commit = {0};
    struct ns_op found;
    size_t pos = 0;
    CHECK_STATUS(ns_commit_next_op(NULL, &pos, &found), NS_INVALID);
    CHECK_STATUS(ns_commit_next_op(&commit, NULL, &found), NS_INVALID);
    CHECK_STATUS(ns_commit_next_op(&commit, &pos, NULL), NS_INVALID);
    CHECK_STATUS(ns_commit_next_op(&commit, &pos, &found), NS_CORRUPT);
    CHECK_OK(ns_commit_parse(ns_bytes(bytes, size), &commit));
    pos = SIZE_MAX;
    CHECK_STATUS(ns_commit_next_op(&commit, &pos, &found), NS_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_canonical_body_is_accepted_and_counted),
        cmocka_unit_test(bodies_that_break_a_rule_are_refused),
        cmocka_unit_test(a_put_may_lie_in_a_range_and_a_delete_beside_it),
        cmocka_unit_test(sizes_at_and_over_their_limits),
        cmocka_unit_test(operations_that_are_not_canonical_are_refused),
        cmocka_unit_test(every_cut_of_a_body_ends_at_an_operation_or_is_refused),
        cmocka_unit_test(damaged_bodies_are_refused_or_are_canonical_themselves),
        cmocka_unit_test(random_bytes_are_refused_or_canonical),
        cmocka_unit_test(a_record_decodes_to_what_was_encoded),
        cmocka_unit_test(every_single_bit_flip_of_a_record_breaks_its_chain),
        cmocka_unit_test(every_cut_of_a_record_is_noticed),
        cmocka_unit_test(the_chain_binds_a_record_to_all_before_it),
        cmocka_unit_test(no_value_of_any_field_of_a_record_is_read_out_of_bounds),
        cmocka_unit_test(a_parsed_commit_gives_its_operations),
        cmocka_unit_test(parsing_refuses_what_is_not_one_whole_canonical_record),
        cmocka_unit_test(next_op_refuses_wrong_arguments_and_garbage),
    };
    return cmocka_run_group_tests_name("format_record", tests, NULL, NULL);
}
