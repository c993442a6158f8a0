/* format/tuple: the order of tuples, round trips, refusals, ranges (spec/tuple_v0.md). */
#include "harness/test.h"

#include <math.h>
#include <stdio.h>

#include "base/status.h"
#include "format/samples.h"
#include <northstar/tuple.h>

/* ---- values, as a test thinks of them ---- */

struct value {
    ns_tuple_type type;
    ns_tuple_order order;
    bool negative; /* integers: the magnitude is in u */
    bool b;
    uint64_t u;
    double d;
    int64_t time;
    size_t size;
    uint8_t bytes[16]; /* bytes, text, UUID */
};

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_integers(const struct value *a, const struct value *b)
{
    if (a->negative != b->negative) return a->negative ? -1 : 1;
    return a->negative ? compare_u64(b->u, a->u) : compare_u64(a->u, b->u);
}

static int compare_doubles(double a, double b)
{
    if (isnan(a) || isnan(b)) return (isnan(a) != 0) - (isnan(b) != 0);
    return (a > b) - (a < b);
}

static int compare_same_type(const struct value *a, const struct value *b)
{
    switch (a->type) {
    case NS_TUPLE_BOOL: return a->b - b->b;
    case NS_TUPLE_INTEGER: return compare_integers(a, b);
    case NS_TUPLE_DOUBLE: return compare_doubles(a->d, b->d);
    case NS_TUPLE_TIME: return (a->time > b->time) - (a->time < b->time);
    case NS_TUPLE_NULL: return 0;
    default: return ns__slice_compare(ns_bytes(a->bytes, a->size), ns_bytes(b->bytes, b->size));
    }
}

/* TUP-8, TUP-9 */
static int compare_values(const struct value *a, const struct value *b)
{
    if (a->order != b->order) return a->order == NS_TUPLE_ASC ? -1 : 1;
    int order = a->type != b->type ? (a->type > b->type ? 1 : -1) : compare_same_type(a, b);
    return a->order == NS_TUPLE_DESC ? -order : order;
}

/* TUP-10 */
static int compare_tuples(const struct value *a, size_t a_count, const struct value *b,
                          size_t b_count)
{
    for (size_t i = 0; i < a_count && i < b_count; i++) {
        int order = compare_values(&a[i], &b[i]);
        if (order != 0) return order;
    }
    return (a_count > b_count) - (a_count < b_count);
}

static ns_status put(ns_tuple_writer *writer, const struct value *value)
{
    ns_slice bytes = ns_bytes(value->bytes, value->size);
    switch (value->type) {
    case NS_TUPLE_NULL: return ns_tuple_put_null(writer, value->order);
    case NS_TUPLE_BOOL: return ns_tuple_put_bool(writer, value->b, value->order);
    case NS_TUPLE_INTEGER:
        if (!value->negative) return ns_tuple_put_u64(writer, value->u, value->order);
        return ns_tuple_put_i64(writer, (int64_t)(0 - value->u), value->order);
    case NS_TUPLE_DOUBLE: return ns_tuple_put_double(writer, value->d, value->order);
    case NS_TUPLE_BYTES: return ns_tuple_put_bytes(writer, bytes, value->order);
    case NS_TUPLE_TEXT: return ns_tuple_put_text(writer, bytes, value->order);
    case NS_TUPLE_UUID: return ns_tuple_put_uuid(writer, value->bytes, value->order);
    default: return ns_tuple_put_time(writer, value->time, value->order);
    }
}

static ns_status get_slice(ns_tuple_reader *reader, struct value *out)
{
    uint8_t scratch[64];
    ns_slice slice;
    NS_TRY(out->type == NS_TUPLE_BYTES
               ? ns_tuple_get_bytes(reader, scratch, sizeof scratch, &slice)
               : ns_tuple_get_text(reader, scratch, sizeof scratch, &slice));
    out->size = slice.size;
    if (slice.size > sizeof out->bytes) return NS_OK; /* only in garbage */
    if (slice.size > 0) memcpy(out->bytes, slice.data, slice.size);
    return NS_OK;
}

static ns_status get_integer(ns_tuple_reader *reader, struct value *out)
{
    int64_t signed_value;
    ns_status status = ns_tuple_get_u64(reader, &out->u);
    if (status != NS_TOOBIG) return status;
    NS_TRY(ns_tuple_get_i64(reader, &signed_value));
    out->negative = true;
    out->u = 0 - (uint64_t)signed_value;
    return NS_OK;
}

static ns_status get(ns_tuple_reader *reader, struct value *out)
{
    memset(out, 0, sizeof *out);
    NS_TRY(ns_tuple_peek(reader, &out->type, &out->order));
    switch (out->type) {
    case NS_TUPLE_NULL: return ns_tuple_get_null(reader);
    case NS_TUPLE_BOOL: return ns_tuple_get_bool(reader, &out->b);
    case NS_TUPLE_INTEGER: return get_integer(reader, out);
    case NS_TUPLE_DOUBLE: return ns_tuple_get_double(reader, &out->d);
    case NS_TUPLE_BYTES:
    case NS_TUPLE_TEXT: return get_slice(reader, out);
    case NS_TUPLE_UUID: out->size = 16; return ns_tuple_get_uuid(reader, out->bytes);
    default: return ns_tuple_get_time(reader, &out->time);
    }
}

/* ---- random values, close to one another and to the edges ---- */

static uint64_t random_number(struct ns__prng *prng)
{
    unsigned shift = (unsigned)ns__prng_below(prng, 64);
    switch (ns__prng_below(prng, 4)) {
    case 0: return ns__prng_below(prng, 4);
    case 1: return (UINT64_C(1) << shift) - 1 + ns__prng_below(prng, 3);
    case 2: return UINT64_MAX - ns__prng_below(prng, 3);
    default: return ns__prng_next(prng) >> shift;
    }
}

static double random_double(struct ns__prng *prng)
{
    static const double edges[] = {0.0, -0.0, 1.0, -1.0, 1.5, -1.5, 1e-320, -1e-320, 1e308, -1e308};
    uint64_t roll = ns__prng_below(prng, 16);
    if (roll < sizeof edges / sizeof edges[0]) return edges[roll];
    if (roll == 10) return (double)NAN;
    if (roll == 11) return (double)INFINITY;
    if (roll == 12) return -(double)INFINITY;
    uint64_t bits = ns__prng_next(prng);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void random_bytes(struct ns__prng *prng, struct value *value)
{
    static const char *const characters[] = {"",
                                             "a",
                                             "b",
                                             "\x7f",
                                             "\xc2\x80",
                                             "\xdf\xbf",
                                             "\xe0\xa0\x80",
                                             "\xed\x9f\xbf",
                                             "\xef\xbf\xbf",
                                             "\xf0\x90\x80\x80",
                                             "\xf4\x8f\xbf\xbf"};
    static const uint8_t values[] = {0x00, 0x00, 0x01, 0x02, 0x7f, 0x80, 0xfe, 0xff};
    if (value->type == NS_TUPLE_TEXT) {
        for (uint64_t n = ns__prng_below(prng, 4); n > 0; n--) {
            const char *character = characters[ns__prng_below(prng, 11)];
            size_t size = character[0] == 0 ? 1 : strlen(character);
            memcpy(value->bytes + value->size, character, size);
            value->size += size;
        }
        return;
    }
    value->size = value->type == NS_TUPLE_UUID ? 16 : (size_t)ns__prng_below(prng, 5);
    for (size_t i = 0; i < value->size; i++) {
        value->bytes[i] = values[ns__prng_below(prng, sizeof values)];
    }
}

static void random_value(struct ns__prng *prng, ns_tuple_type type, ns_tuple_order order,
                         struct value *out)
{
    memset(out, 0, sizeof *out);
    out->type = type;
    out->order = order;
    switch (type) {
    case NS_TUPLE_NULL: break;
    case NS_TUPLE_BOOL: out->b = ns__prng_below(prng, 2) != 0; break;
    case NS_TUPLE_INTEGER:
        out->u = random_number(prng);
        out->negative = out->u > 0 && out->u <= UINT64_C(1) << 63 && ns__prng_below(prng, 2) != 0;
        break;
    case NS_TUPLE_DOUBLE: out->d = random_double(prng); break;
    case NS_TUPLE_TIME: out->time = (int64_t)random_number(prng); break;
    default: random_bytes(prng, out); break;
    }
}

#define COMPONENTS 4

struct tuple {
    size_t count;
    struct value values[COMPONENTS];
    uint8_t bytes[256];
    ns_slice key;
};

static void encode(struct tuple *tuple)
{
    ns_tuple_writer writer;
    ns_tuple_writer_init(&writer, tuple->bytes, sizeof tuple->bytes);
    for (size_t i = 0; i < tuple->count; i++) {
        CHECK_OK(put(&writer, &tuple->values[i]));
    }
    tuple->key = ns_tuple_writer_view(&writer);
}

/* Copies a random number of components of like, so that differences come late too. */
static void random_tuple(struct ns__prng *prng, const struct tuple *like, struct tuple *out)
{
    memset(out, 0, sizeof *out);
    out->count = (size_t)ns__prng_below(prng, COMPONENTS + 1);
    size_t same = like != NULL ? (size_t)ns__prng_below(prng, like->count + 1) : 0;
    for (size_t i = 0; i < out->count; i++) {
        if (i < same) {
            out->values[i] = like->values[i];
            continue;
        }
        ns_tuple_type type = 1 + (ns_tuple_type)ns__prng_below(prng, 8);
        ns_tuple_order order = (ns_tuple_order)ns__prng_below(prng, 2);
        if (like != NULL && i < like->count && ns__prng_below(prng, 4) != 0) {
            type = like->values[i].type;
            order = like->values[i].order;
        }
        random_value(prng, type, order, &out->values[i]);
    }
    encode(out);
}

static void print_key(const char *name, ns_slice key)
{
    print_error("%s:", name);
    for (size_t i = 0; i < key.size; i++) {
        print_error(" %02x", ((const uint8_t *)key.data)[i]);
    }
    print_error("\n");
}

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

/* ---- properties ---- */

/* TUP-8, TUP-9, TUP-10 */
static void memcmp_order_is_the_order_of_tuples(void **state)
{
    (void)state;
    struct ns__prng prng = {7};
    print_message("seed %llu\n", (unsigned long long)prng.state);
    for (int i = 0; i < 300000; i++) {
        struct tuple a, b;
        random_tuple(&prng, NULL, &a);
        random_tuple(&prng, &a, &b);
        int wanted = compare_tuples(a.values, a.count, b.values, b.count);
        if (sign(ns__slice_compare(a.key, b.key)) != sign(wanted)) {
            print_error("pair %d: %d wanted\n", i, wanted);
            print_key("a", a.key);
            print_key("b", b.key);
            fail();
        }
    }
}

/* TUP-7 */
static void tuples_decode_to_what_was_encoded(void **state)
{
    (void)state;
    struct ns__prng prng = {8};
    for (int i = 0; i < 100000; i++) {
        struct tuple a;
        random_tuple(&prng, NULL, &a);
        ns_tuple_reader reader;
        ns_tuple_reader_init(&reader, a.key);
        size_t count = 0;
        struct value found;
        ns_status status;
        while ((status = get(&reader, &found)) == NS_OK) {
            assert_true(count < a.count);
            assert_int_equal(found.type, a.values[count].type);
            assert_int_equal(compare_values(&found, &a.values[count]), 0);
            assert_false(found.type == NS_TUPLE_DOUBLE && found.d == 0 && signbit(found.d));
            count++;
        }
        assert_int_equal(status, NS_NOTFOUND);
        assert_int_equal(count, a.count);
        CHECK_OK(ns_tuple_check(a.key, &count));
        assert_int_equal(count, a.count);
    }
}

/* TUP-11 */
static void a_range_holds_exactly_the_tuples_that_begin_with_its_components(void **state)
{
    (void)state;
    struct ns__prng prng = {9};
    for (int i = 0; i < 100000; i++) {
        struct tuple a, b;
        random_tuple(&prng, NULL, &a);
        random_tuple(&prng, &a, &b);
        ns_tuple_writer writer;
        uint8_t bytes[256];
        ns_slice from, to;
        ns_tuple_writer_init(&writer, bytes, sizeof bytes);
        for (size_t j = 0; j < a.count; j++) {
            CHECK_OK(put(&writer, &a.values[j]));
        }
        CHECK_OK(ns_tuple_writer_range(&writer, &from, &to));
        bool inside = ns__slice_compare(from, b.key) <= 0 && ns__slice_compare(b.key, to) < 0;
        bool begins =
            b.count >= a.count && compare_tuples(a.values, a.count, b.values, a.count) == 0;
        assert_int_equal(inside, begins);
        assert_true(ns__slice_equal(ns_tuple_writer_view(&writer), a.key));
    }
}

/* What decodes encodes to the same bytes: no second form of anything is accepted. */
static void check_canonical(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = exact_copy(bytes, size), again[256];
    ns_tuple_reader reader;
    ns_tuple_writer writer;
    struct value value;
    size_t count;
    ns_tuple_reader_init(&reader, ns_bytes(copy, size));
    ns_tuple_writer_init(&writer, again, sizeof again);
    ns_status status;
    while ((status = get(&reader, &value)) == NS_OK) {
        if (value.size > sizeof value.bytes) break;
        CHECK_OK(put(&writer, &value));
        assert_int_equal(writer.size, reader.pos);
        assert_memory_equal(again, copy, reader.pos);
    }
    if (status != NS_OK) {
        assert_true(status == NS_NOTFOUND || status == NS_CORRUPT);
        CHECK_STATUS(ns_tuple_check(ns_bytes(copy, size), &count),
                     status == NS_NOTFOUND ? NS_OK : NS_CORRUPT);
    }
    free(copy);
}

static void garbage_is_refused_or_canonical(void **state)
{
    (void)state;
    static const uint8_t tags[] = {0x10, 0x20, 0x21, 0x30, 0x37, 0x38, 0x39, 0x40,
                                   0x48, 0x50, 0x58, 0x60, 0x68, 0x00, 0x01, 0xff,
                                   0xfe, 0x7f, 0x80, 0xc0, 0xf8, 0xf0};
    struct ns__prng prng = {10};
    print_message("seed %llu\n", (unsigned long long)prng.state);
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[40];
        size_t size = (size_t)ns__prng_below(&prng, sizeof bytes + 1);
        for (size_t j = 0; j < size; j++) {
            uint64_t roll = ns__prng_next(&prng);
            uint8_t tag = tags[(roll >> 8) % sizeof tags];
            bytes[j] = roll % 3 == 0 ? (uint8_t)(roll >> 16) : tag;
            if (roll % 7 == 0) bytes[j] = (uint8_t)~bytes[j];
        }
        check_canonical(bytes, size);
    }
}

static void damaged_and_cut_tuples_are_refused_or_canonical(void **state)
{
    (void)state;
    struct ns__prng prng = {11};
    for (int i = 0; i < 500; i++) {
        struct tuple a;
        random_tuple(&prng, NULL, &a);
        for (size_t size = 0; size <= a.key.size; size++) {
            check_canonical(a.bytes, size);
        }
        for (size_t bit = 0; bit < a.key.size * 8; bit++) {
            a.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            check_canonical(a.bytes, a.key.size);
            a.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
    }
}

/* ---- cases ---- */

static void second_forms_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t size, bytes[12];
    } bad[] = {
        {1, {0x00}},
        {1, {0xff}},
        {1, {0x11}},
        {1, {0x22}},
        {1, {0x2f}},
        {1, {0x41}},
        {1, {0x39}},                                                 /* cut off */
        {2, {0x39, 0x00}},                                           /* 0 in one byte */
        {3, {0x3a, 0x00, 0x01}},                                     /* 1 in two */
        {2, {0x37, 0xff}},                                           /* -0 in one byte */
        {3, {0x36, 0xff, 0xfe}},                                     /* -1 in two */
        {9, {0x30, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe}}, /* -2^63 - 1 */
        {9, {0x48, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, /* -0.0 */
        {9, {0x48, 0xff, 0xf8, 0, 0, 0, 0, 0, 1}},                   /* other NaNs */
        {9, {0x48, 0xff, 0xf0, 0, 0, 0, 0, 0, 1}},
        {9, {0x48, 0x00, 0x07, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
        {2, {0x50, 0x61}}, /* no end */
        {2, {0x50, 0x00}},
        {3, {0x50, 0x00, 0x02}}, /* no such escape */
        {3, {0x50, 0x00, 0x00}},
        {4, {0x58, 0x80, 0x00, 0x01}}, /* ill-formed UTF-8 */
        {5, {0x58, 0xc0, 0xaf, 0x00, 0x01}},
        {4, {0x58, 0xc3, 0x00, 0x01}},
        {6, {0x58, 0xed, 0xa0, 0x80, 0x00, 0x01}},
        {7, {0x58, 0xf4, 0x90, 0x80, 0x80, 0x00, 0x01}},
        {3, {0x58, 0xf5, 0x00}},
        {2, {0xaf, 0xff}}, /* descending bytes, cut off */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t *copy = exact_copy(bad[i].bytes, bad[i].size);
        size_t count = 1;
        CHECK_STATUS(ns_tuple_check(ns_bytes(copy, bad[i].size), &count), NS_CORRUPT);
        assert_int_equal(count, 0);
        free(copy);
    }
}

static void a_writer_without_room_says_how_much_it_wants_and_can_go_on(void **state)
{
    (void)state;
    struct tuple a = {.count = COMPONENTS};
    struct ns__prng prng = {12};
    const ns_tuple_type types[COMPONENTS] = {NS_TUPLE_BYTES, NS_TUPLE_INTEGER, NS_TUPLE_UUID,
                                             NS_TUPLE_TEXT};
    for (size_t i = 0; i < COMPONENTS; i++) {
        random_value(&prng, types[i], (ns_tuple_order)(i % 2), &a.values[i]);
    }
    encode(&a);
    ns_tuple_writer writer;
    uint8_t *bytes = NULL;
    ns_tuple_writer_init(&writer, NULL, 0);
    for (size_t i = 0; i < COMPONENTS; i++) {
        size_t before = writer.size;
        CHECK_STATUS(put(&writer, &a.values[i]), NS_TOOBIG);
        assert_int_equal(writer.size, before);
        if (writer.wanted > before + 1) { /* one byte less is not enough */
            bytes = realloc(bytes, writer.wanted - 1);
            CHECK_OK(ns_tuple_writer_rebase(&writer, bytes, writer.wanted - 1));
            CHECK_STATUS(put(&writer, &a.values[i]), NS_TOOBIG);
        }
        bytes = realloc(bytes, writer.wanted);
        assert_non_null(bytes);
        CHECK_OK(ns_tuple_writer_rebase(&writer, bytes, writer.wanted));
        CHECK_OK(put(&writer, &a.values[i]));
        assert_int_equal(writer.size, writer.wanted);
    }
    assert_true(ns__slice_equal(ns_tuple_writer_view(&writer), a.key));
    ns_slice from, to;
    CHECK_STATUS(ns_tuple_writer_range(&writer, &from, &to), NS_TOOBIG);
    assert_int_equal(writer.wanted, writer.size + 1);
    CHECK_STATUS(ns_tuple_writer_rebase(&writer, bytes, writer.size - 1), NS_INVALID);
    free(bytes);
}

static void a_writer_can_be_cut_back_to_a_prefix(void **state)
{
    (void)state;
    uint8_t bytes[32];
    ns_tuple_writer writer;
    ns_tuple_writer_init(&writer, bytes, sizeof bytes);
    CHECK_OK(ns_tuple_put_text(&writer, ns_str("a"), NS_TUPLE_ASC));
    size_t prefix = writer.size;
    CHECK_OK(ns_tuple_put_i64(&writer, -5, NS_TUPLE_ASC));
    CHECK_OK(ns_tuple_writer_cut(&writer, prefix));
    CHECK_OK(ns_tuple_put_i64(&writer, 7, NS_TUPLE_ASC));
    assert_true(ns__slice_equal(ns_tuple_writer_view(&writer), ns_bytes("\x58"
                                                                        "a\0\1\x39\7",
                                                                        6)));
    CHECK_STATUS(ns_tuple_writer_cut(&writer, writer.size + 1), NS_INVALID);
    CHECK_OK(ns_tuple_writer_cut(&writer, 0));
    assert_int_equal(ns_tuple_writer_view(&writer).size, 0);
}

static void the_range_of_an_empty_tuple_is_everything(void **state)
{
    (void)state;
    uint8_t bytes[1];
    ns_tuple_writer writer;
    ns_slice from, to;
    ns_tuple_writer_init(&writer, bytes, sizeof bytes);
    CHECK_OK(ns_tuple_writer_range(&writer, &from, &to));
    assert_int_equal(from.size, 0);
    assert_true(ns__slice_equal(to, ns_bytes("\xff", 1)));
}

/* A getter of another type, or at the end, does not move. */
static void getters_refuse_other_types_and_stay(void **state)
{
    (void)state;
    ns_tuple_reader reader;
    ns_slice slice;
    int64_t i64;
    uint64_t u64;
    double d;
    bool b;
    uint8_t uuid[16], scratch[4];
    ns_tuple_reader_init(&reader, ns_bytes("\x10\x39\x05", 3));
    CHECK_STATUS(ns_tuple_get_bool(&reader, &b), NS_INVALID);
    CHECK_STATUS(ns_tuple_get_i64(&reader, &i64), NS_INVALID);
    CHECK_STATUS(ns_tuple_get_u64(&reader, &u64), NS_INVALID);
    CHECK_STATUS(ns_tuple_get_double(&reader, &d), NS_INVALID);
    CHECK_STATUS(ns_tuple_get_bytes(&reader, scratch, 4, &slice), NS_INVALID);
    CHECK_STATUS(ns_tuple_get_text(&reader, scratch, 4, &slice), NS_INVALID);
    CHECK_STATUS(ns_tuple_get_uuid(&reader, uuid), NS_INVALID);
    CHECK_STATUS(ns_tuple_get_time(&reader, &i64), NS_INVALID);
    assert_int_equal(reader.pos, 0);
    CHECK_OK(ns_tuple_get_null(&reader));
    CHECK_STATUS(ns_tuple_get_null(&reader), NS_INVALID);
    CHECK_OK(ns_tuple_get_i64(&reader, &i64));
    assert_int_equal(i64, 5);
    CHECK_STATUS(ns_tuple_get_i64(&reader, &i64), NS_NOTFOUND);
    assert_int_equal(i64, 0);
    CHECK_STATUS(ns_tuple_skip(&reader), NS_NOTFOUND);
    ns_tuple_type type;
    CHECK_STATUS(ns_tuple_peek(&reader, &type, NULL), NS_NOTFOUND);
    assert_int_equal(type, 0);
}

static void integers_that_do_not_fit_the_result_are_too_big(void **state)
{
    (void)state;
    uint8_t bytes[32];
    ns_tuple_writer writer;
    ns_tuple_reader reader;
    int64_t i64;
    uint64_t u64;
    ns_tuple_writer_init(&writer, bytes, sizeof bytes);
    CHECK_OK(ns_tuple_put_u64(&writer, (uint64_t)INT64_MAX + 1, NS_TUPLE_DESC));
    CHECK_OK(ns_tuple_put_i64(&writer, INT64_MIN, NS_TUPLE_DESC));
    ns_tuple_reader_init(&reader, ns_tuple_writer_view(&writer));
    CHECK_STATUS(ns_tuple_get_i64(&reader, &i64), NS_TOOBIG);
    CHECK_OK(ns_tuple_get_u64(&reader, &u64));
    assert_true(u64 == (uint64_t)INT64_MAX + 1);
    CHECK_STATUS(ns_tuple_get_u64(&reader, &u64), NS_TOOBIG);
    CHECK_OK(ns_tuple_get_i64(&reader, &i64));
    assert_true(i64 == INT64_MIN);
}

static void bytes_are_borrowed_when_stored_plainly_else_copied(void **state)
{
    (void)state;
    uint8_t bytes[64], scratch[4];
    ns_tuple_writer writer;
    ns_tuple_reader reader;
    ns_slice found;
    ns_tuple_writer_init(&writer, bytes, sizeof bytes);
    CHECK_OK(ns_tuple_put_bytes(&writer, ns_str("plain"), NS_TUPLE_ASC));
    CHECK_OK(ns_tuple_put_bytes(&writer, ns_bytes("a\0b", 3), NS_TUPLE_ASC));
    CHECK_OK(ns_tuple_put_text(&writer, ns_str("down"), NS_TUPLE_DESC));
    CHECK_OK(ns_tuple_put_text(&writer, ns_str(""), NS_TUPLE_DESC));
    ns_tuple_reader_init(&reader, ns_tuple_writer_view(&writer));
    CHECK_OK(ns_tuple_get_bytes(&reader, NULL, 0, &found));
    assert_ptr_equal(found.data, bytes + 1);
    assert_int_equal(found.size, 5);
    CHECK_STATUS(ns_tuple_get_bytes(&reader, NULL, 0, &found), NS_TOOBIG);
    CHECK_STATUS(ns_tuple_get_bytes(&reader, scratch, 2, &found), NS_TOOBIG);
    CHECK_OK(ns_tuple_get_bytes(&reader, scratch, 3, &found));
    assert_true(ns__slice_equal(found, ns_bytes("a\0b", 3)));
    CHECK_OK(ns_tuple_get_text(&reader, scratch, 4, &found));
    assert_true(ns__slice_equal(found, ns_str("down")));
    CHECK_OK(ns_tuple_get_text(&reader, NULL, 0, &found));
    assert_int_equal(found.size, 0);
}

static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[32];
    ns_tuple_writer writer;
    ns_tuple_type type;
    size_t count;
    ns_slice slice;
    ns_tuple_writer_init(&writer, bytes, sizeof bytes);
    CHECK_STATUS(ns_tuple_put_null(NULL, NS_TUPLE_ASC), NS_INVALID);
    CHECK_STATUS(ns_tuple_put_null(&writer, 2), NS_INVALID);
    CHECK_STATUS(ns_tuple_put_bytes(&writer, ns_bytes(NULL, 1), NS_TUPLE_ASC), NS_INVALID);
    CHECK_STATUS(ns_tuple_put_text(&writer, ns_str("\xff"), NS_TUPLE_ASC), NS_INVALID);
    CHECK_STATUS(ns_tuple_put_text(&writer, ns_str("\xc3"), NS_TUPLE_ASC), NS_INVALID);
    CHECK_STATUS(ns_tuple_put_uuid(&writer, NULL, NS_TUPLE_ASC), NS_INVALID);
    CHECK_STATUS(ns_tuple_writer_range(&writer, NULL, &slice), NS_INVALID);
    CHECK_STATUS(ns_tuple_writer_cut(NULL, 0), NS_INVALID);
    CHECK_STATUS(ns_tuple_peek(NULL, &type, NULL), NS_INVALID);
    CHECK_STATUS(ns_tuple_get_null(NULL), NS_INVALID);
    CHECK_STATUS(ns_tuple_skip(NULL), NS_INVALID);
    CHECK_STATUS(ns_tuple_check(ns_bytes(NULL, 1), &count), NS_INVALID);
    CHECK_STATUS(ns_tuple_check(ns_bytes(NULL, 0), NULL), NS_INVALID);
    CHECK_OK(ns_tuple_check(ns_bytes(NULL, 0), &count));
    assert_int_equal(writer.size, 0);
    ns_tuple_writer_init(NULL, bytes, 1);
    ns_tuple_reader_init(NULL, ns_str("x"));
    assert_null(ns_tuple_writer_view(NULL).data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memcmp_order_is_the_order_of_tuples),
        cmocka_unit_test(tuples_decode_to_what_was_encoded),
        cmocka_unit_test(a_range_holds_exactly_the_tuples_that_begin_with_its_components),
        cmocka_unit_test(garbage_is_refused_or_canonical),
        cmocka_unit_test(damaged_and_cut_tuples_are_refused_or_canonical),
        cmocka_unit_test(second_forms_are_refused),
        cmocka_unit_test(a_writer_without_room_says_how_much_it_wants_and_can_go_on),
        cmocka_unit_test(a_writer_can_be_cut_back_to_a_prefix),
        cmocka_unit_test(the_range_of_an_empty_tuple_is_everything),
        cmocka_unit_test(getters_refuse_other_types_and_stay),
        cmocka_unit_test(integers_that_do_not_fit_the_result_are_too_big),
        cmocka_unit_test(bytes_are_borrowed_when_stored_plainly_else_copied),
        cmocka_unit_test(wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests_name("format_tuple", tests, NULL, NULL);
}
