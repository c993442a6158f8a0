/* tuple.c: the order-preserving encoding of northstar/tuple.h; its bytes are in spec/tuple_v0.md.
 *
 * A component is a tag and a payload. The tag says type, and for integers sign and size too. A
 * descending component is the ascending one with all bits inverted; tags are below 0x80, so
 * inverted ones are not.
 *
 * Invariants.
 *   T1  No component's encoding is a prefix of another's. So two tuples first differ inside the
 *   first
 *       component that differs, and inverting one component does not disturb the others.
 *   T2  Tags, plain or inverted, are neither 0x00 nor 0xff: 0xff ends the range of a prefix.
 *   T3  One value, one encoding. parse() refuses all others: integers with leading zero bytes,
 *   -0.0, other NaNs,
 *       ill-formed UTF-8, escapes that stand for nothing.
 *
 * Reading goes in two steps: parse() checks a component and says where it ends; the getters then
 * take the payload apart without further checks. */
#include <northstar/tuple.h>

#include "base/bytes.h"
#include "base/status.h"

#define TAG_NULL 0x10u
#define TAG_FALSE 0x20u
#define TAG_TRUE 0x21u
#define TAG_ZERO 0x38u /* plus n: positive, n bytes; minus n: negative, n bytes */
#define TAG_INTEGER_FIRST (TAG_ZERO - 8)
#define TAG_INTEGER_LAST (TAG_ZERO + 8)
#define TAG_DOUBLE 0x48u
#define TAG_BYTES 0x50u
#define TAG_TEXT 0x58u
#define TAG_UUID 0x60u
#define TAG_TIME 0x68u

#define ESCAPE 0x00u      /* then: */
#define ESCAPE_END 0x01u  /* the end of bytes or text */
#define ESCAPE_ZERO 0xffu /* a zero byte */
#define RANGE_END 0xffu

#define SIGN_BIT (UINT64_C(1) << 63)
#define DOUBLE_NAN UINT64_C(0x7ff8000000000000)
#define DOUBLE_INFINITY UINT64_C(0x7ff0000000000000)

/* ---- UTF-8, byte by byte ---- */

struct utf8 {
    uint8_t missing;   /* bytes of the present character */
    uint8_t low, high; /* what the next of them may be */
};

static bool utf8_begin(struct utf8 *utf8, uint8_t byte)
{
    utf8->low = 0x80;
    utf8->high = 0xbf;
    if (byte < 0x80) return true;
    if (byte < 0xc2 || byte > 0xf4) return false;
    utf8->missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    if (byte == 0xe0) utf8->low = 0xa0;  /* no longer form than needed */
    if (byte == 0xed) utf8->high = 0x9f; /* no surrogates */
    if (byte == 0xf0) utf8->low = 0x90;
    if (byte == 0xf4) utf8->high = 0x8f; /* up to U+10FFFF */
    return true;
}

static bool utf8_push(struct utf8 *utf8, uint8_t byte)
{
    if (utf8->missing == 0) return utf8_begin(utf8, byte);
    if (byte < utf8->low || byte > utf8->high) return false;
    utf8->low = 0x80;
    utf8->high = 0xbf;
    utf8->missing--;
    return true;
}

static bool utf8_is_valid(ns_slice text)
{
    const uint8_t *bytes = text.data;
    struct utf8 utf8 = {0};
    for (size_t i = 0; i < text.size; i++) {
        if (!utf8_push(&utf8, bytes[i])) return false;
    }
    return utf8.missing == 0;
}

/* ---- numbers ---- */

static void store64_be(uint8_t *out, uint64_t v)
{
    ns__store32_be(out, (uint32_t)(v >> 32));
    ns__store32_be(out + 4, (uint32_t)v);
}

/* The lowest n bytes, highest first. */
static void store_be(uint8_t *out, uint64_t v, size_t n)
{
    for (size_t i = n; i > 0; i--) {
        out[i - 1] = (uint8_t)v;
        v >>= 8;
    }
}

static uint64_t load_be(const uint8_t *bytes, size_t n, uint8_t mask)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v = v << 8 | (uint8_t)(bytes[i] ^ mask);
    }
    return v;
}

/* Bytes that v needs; none for 0. */
static size_t significant_bytes(uint64_t v)
{
    size_t n = 0;
    for (; v != 0; v >>= 8) {
        n++;
    }
    return n;
}

/* Doubles as numbers that are ordered as the doubles are. */
static uint64_t ordered_from_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & ~SIGN_BIT) > DOUBLE_INFINITY) bits = DOUBLE_NAN;
    if (bits == SIGN_BIT) bits = 0;
    return (bits & SIGN_BIT) != 0 ? ~bits : bits | SIGN_BIT;
}

static double double_from_ordered(uint64_t ordered)
{
    uint64_t bits = (ordered & SIGN_BIT) != 0 ? ordered & ~SIGN_BIT : ~ordered;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- writing ---- */

void ns_tuple_writer_init(ns_tuple_writer *writer, void *bytes, size_t capacity)
{
    if (writer == NULL) return;
    writer->bytes = bytes;
    writer->capacity = bytes != NULL ? capacity : 0;
    writer->size = 0;
    writer->wanted = 0;
}

ns_status ns_tuple_writer_rebase(ns_tuple_writer *writer, void *bytes, size_t capacity)
{
    if (writer == NULL || capacity < writer->size || (bytes == NULL && capacity > 0)) {
        return ns__error(NS_INVALID, "tuple: the new bytes do not hold the old ones");
    }
    writer->bytes = bytes;
    writer->capacity = capacity;
    return NS_OK;
}

ns_status ns_tuple_writer_cut(ns_tuple_writer *writer, size_t size)
{
    if (writer == NULL || size > writer->size) {
        return ns__error(NS_INVALID, "tuple: cannot be cut to a larger size");
    }
    writer->size = size;
    return NS_OK;
}

ns_slice ns_tuple_writer_view(const ns_tuple_writer *writer)
{
    if (writer == NULL) return ns_bytes(NULL, 0);
    return ns_bytes(writer->bytes, writer->size);
}

static ns_status check_room(ns_tuple_writer *writer, size_t size)
{
    if (size <= writer->capacity - writer->size) return NS_OK;
    if (__builtin_add_overflow(writer->size, size, &writer->wanted)) writer->wanted = SIZE_MAX;
    return ns__error(NS_TOOBIG, "tuple: needs %zu bytes, has room for %zu", writer->wanted,
                     writer->capacity);
}

static ns_status check_put(const ns_tuple_writer *writer, ns_tuple_order order)
{
    if (writer == NULL) return ns__error(NS_INVALID, "tuple: writer is NULL");
    if (order > NS_TUPLE_DESC) return ns__error(NS_INVALID, "tuple: order %u", (unsigned)order);
    return NS_OK;
}

static uint8_t mask_of(ns_tuple_order order)
{
    return order == NS_TUPLE_DESC ? 0xff : 0;
}

/* A component whose payload is these bytes, at most 16. */
static ns_status put_fixed(ns_tuple_writer *writer, unsigned tag, const uint8_t *payload,
                           size_t size, ns_tuple_order order)
{
    NS_TRY(check_put(writer, order));
    NS_TRY(check_room(writer, 1 + size));
    uint8_t mask = mask_of(order);
    uint8_t *out = writer->bytes + writer->size;
    *out++ = (uint8_t)(tag ^ mask);
    for (size_t i = 0; i < size; i++) {
        *out++ = payload[i] ^ mask;
    }
    writer->size += 1 + size;
    return NS_OK;
}

/* Tag, escaped bytes, end. */
static ns_status put_escaped(ns_tuple_writer *writer, unsigned tag, ns_slice value,
                             ns_tuple_order order)
{
    const uint8_t *bytes = value.data;
    size_t size = 3;
    for (size_t i = 0; i < value.size; i++) {
        size_t used = bytes[i] == 0 ? 2 : 1;
        if (__builtin_add_overflow(size, used, &size)) size = SIZE_MAX;
    }
    NS_TRY(check_room(writer, size));
    uint8_t mask = mask_of(order);
    uint8_t *out = writer->bytes + writer->size;
    *out++ = (uint8_t)(tag ^ mask);
    for (size_t i = 0; i < value.size; i++) {
        *out++ = bytes[i] ^ mask;
        if (bytes[i] == 0) *out++ = (uint8_t)(ESCAPE_ZERO ^ mask);
    }
    *out++ = (uint8_t)(ESCAPE ^ mask);
    *out++ = (uint8_t)(ESCAPE_END ^ mask);
    writer->size += size;
    return NS_OK;
}

static ns_status check_slice(ns_slice value)
{
    if (value.data != NULL || value.size == 0) return NS_OK;
    return ns__error(NS_INVALID, "tuple: a value of %zu bytes at NULL", value.size);
}

ns_status ns_tuple_put_null(ns_tuple_writer *writer, ns_tuple_order order)
{
    return put_fixed(writer, TAG_NULL, NULL, 0, order);
}

ns_status ns_tuple_put_bool(ns_tuple_writer *writer, bool value, ns_tuple_order order)
{
    return put_fixed(writer, value ? TAG_TRUE : TAG_FALSE, NULL, 0, order);
}

ns_status ns_tuple_put_i64(ns_tuple_writer *writer, int64_t value, ns_tuple_order order)
{
    if (value >= 0) return ns_tuple_put_u64(writer, (uint64_t)value, order);
    uint64_t magnitude = 0 - (uint64_t)value;
    size_t n = significant_bytes(magnitude);
    uint8_t payload[8];
    store_be(payload, ~magnitude, n);
    return put_fixed(writer, TAG_ZERO - (unsigned)n, payload, n, order);
}

ns_status ns_tuple_put_u64(ns_tuple_writer *writer, uint64_t value, ns_tuple_order order)
{
    size_t n = significant_bytes(value);
    uint8_t payload[8];
    store_be(payload, value, n);
    return put_fixed(writer, TAG_ZERO + (unsigned)n, payload, n, order);
}

ns_status ns_tuple_put_double(ns_tuple_writer *writer, double value, ns_tuple_order order)
{
    uint8_t payload[8];
    store64_be(payload, ordered_from_double(value));
    return put_fixed(writer, TAG_DOUBLE, payload, sizeof payload, order);
}

ns_status ns_tuple_put_bytes(ns_tuple_writer *writer, ns_slice value, ns_tuple_order order)
{
    NS_TRY(check_put(writer, order));
    NS_TRY(check_slice(value));
    return put_escaped(writer, TAG_BYTES, value, order);
}

ns_status ns_tuple_put_text(ns_tuple_writer *writer, ns_slice value, ns_tuple_order order)
{
    NS_TRY(check_put(writer, order));
    NS_TRY(check_slice(value));
    if (!utf8_is_valid(value)) return ns__error(NS_INVALID, "tuple: a text that is not UTF-8");
    return put_escaped(writer, TAG_TEXT, value, order);
}

ns_status ns_tuple_put_uuid(ns_tuple_writer *writer, const uint8_t value[16], ns_tuple_order order)
{
    if (value == NULL) return ns__error(NS_INVALID, "tuple: uuid is NULL");
    return put_fixed(writer, TAG_UUID, value, 16, order);
}

ns_status ns_tuple_put_time(ns_tuple_writer *writer, int64_t unix_us, ns_tuple_order order)
{
    uint8_t payload[8];
    store64_be(payload, (uint64_t)unix_us ^ SIGN_BIT);
    return put_fixed(writer, TAG_TIME, payload, sizeof payload, order);
}

ns_status ns_tuple_writer_range(ns_tuple_writer *writer, ns_slice *from_out, ns_slice *to_out)
{
    if (from_out != NULL) *from_out = ns_bytes(NULL, 0);
    if (to_out != NULL) *to_out = ns_bytes(NULL, 0);
    if (writer == NULL || from_out == NULL || to_out == NULL) {
        return ns__error(NS_INVALID, "ns_tuple_writer_range: an argument is NULL");
    }
    NS_TRY(check_room(writer, 1));
    writer->bytes[writer->size] = RANGE_END; /* T2 */
    *from_out = ns_bytes(writer->bytes, writer->size);
    *to_out = ns_bytes(writer->bytes, writer->size + 1);
    return NS_OK;
}

/* ---- reading ---- */

/* One component, found good. */
struct component {
    ns_tuple_type type;
    uint8_t tag; /* not inverted */
    uint8_t mask;
    const uint8_t *payload; /* as stored */
    size_t payload_bytes;   /* without the end mark */
    size_t plain_bytes;     /* without escapes */
    size_t end;             /* where the next component begins */
};

void ns_tuple_reader_init(ns_tuple_reader *reader, ns_slice tuple)
{
    if (reader == NULL) return;
    reader->bytes = tuple.data;
    reader->size = tuple.data != NULL ? tuple.size : 0;
    reader->pos = 0;
}

static ns_status bad_component(const ns_tuple_reader *reader, const char *what)
{
    return ns__corrupt(UINT64_MAX, "tuple: component at byte %zu: %s", reader->pos, what);
}

/* 0: no such tag. */
static ns_tuple_type type_of(uint8_t tag)
{
    if (tag >= TAG_INTEGER_FIRST && tag <= TAG_INTEGER_LAST) return NS_TUPLE_INTEGER;
    switch (tag) {
    case TAG_NULL: return NS_TUPLE_NULL;
    case TAG_FALSE:
    case TAG_TRUE: return NS_TUPLE_BOOL;
    case TAG_DOUBLE: return NS_TUPLE_DOUBLE;
    case TAG_BYTES: return NS_TUPLE_BYTES;
    case TAG_TEXT: return NS_TUPLE_TEXT;
    case TAG_UUID: return NS_TUPLE_UUID;
    case TAG_TIME: return NS_TUPLE_TIME;
    default: return 0;
    }
}

/* Type, tag and mask of the next component. */
static ns_status parse_tag(const ns_tuple_reader *reader, struct component *out)
{
    memset(out, 0, sizeof *out);
    if (reader->pos > reader->size) return bad_component(reader, "behind the end");
    if (reader->pos == reader->size) return NS_NOTFOUND;
    uint8_t stored = reader->bytes[reader->pos];
    uint8_t mask = (stored & 0x80) != 0 ? 0xff : 0;
    uint8_t tag = stored ^ mask;
    ns_tuple_type type = type_of(tag);
    if (type == 0) return bad_component(reader, "no such type");
    out->type = type;
    out->tag = tag;
    out->mask = mask;
    return NS_OK;
}

static size_t fixed_bytes(const struct component *component)
{
    switch (component->type) {
    case NS_TUPLE_INTEGER:
        return component->tag >= TAG_ZERO ? component->tag - TAG_ZERO : TAG_ZERO - component->tag;
    case NS_TUPLE_DOUBLE:
    case NS_TUPLE_TIME: return 8;
    case NS_TUPLE_UUID: return 16;
    default: return 0;
    }
}

/* T3 for payloads of a fixed size; NULL: good. */
static const char *find_fault(const struct component *component)
{
    size_t n = component->payload_bytes;
    uint64_t v = load_be(component->payload, n < 8 ? n : 8, component->mask);
    if (component->type == NS_TUPLE_DOUBLE) {
        return ordered_from_double(double_from_ordered(v)) == v ? NULL
                                                                : "a second form of a double";
    }
    if (component->type != NS_TUPLE_INTEGER || n == 0) return NULL;
    uint64_t magnitude = v;
    if (component->tag < TAG_ZERO) magnitude = ~v & (UINT64_MAX >> (64 - 8 * n));
    if (significant_bytes(magnitude) != n) return "a second form of an integer";
    if (component->tag < TAG_ZERO && magnitude > SIGN_BIT) return "an integer below -2^63";
    return NULL;
}

/* Finds the end of bytes or text and checks what lies before. */
static ns_status parse_escaped(const ns_tuple_reader *reader, struct component *component)
{
    struct utf8 utf8 = {0};
    size_t room = reader->size - reader->pos - 1;
    for (size_t i = 0; i < room; i++) {
        uint8_t byte = component->payload[i] ^ component->mask;
        if (byte == ESCAPE) {
            if (i + 1 == room) break;
            uint8_t next = component->payload[i + 1] ^ component->mask;
            if (next == ESCAPE_END) {
                if (utf8.missing > 0) return bad_component(reader, "a text that is not UTF-8");
                component->payload_bytes = i;
                component->end = reader->pos + 1 + i + 2;
                return NS_OK;
            }
            if (next != ESCAPE_ZERO) return bad_component(reader, "no such escape");
            i++;
        }
        if (component->type == NS_TUPLE_TEXT && !utf8_push(&utf8, byte)) {
            return bad_component(reader, "a text that is not UTF-8");
        }
        component->plain_bytes++;
    }
    return bad_component(reader, "cut off");
}

static ns_status parse(const ns_tuple_reader *reader, struct component *out)
{
    NS_TRY(parse_tag(reader, out));
    out->payload = reader->bytes + reader->pos + 1;
    if (out->type == NS_TUPLE_BYTES || out->type == NS_TUPLE_TEXT)
        return parse_escaped(reader, out);
    out->payload_bytes = fixed_bytes(out);
    if (out->payload_bytes > reader->size - reader->pos - 1)
        return bad_component(reader, "cut off");
    out->end = reader->pos + 1 + out->payload_bytes;
    const char *fault = find_fault(out);
    return fault == NULL ? NS_OK : bad_component(reader, fault);
}

static ns_status parse_typed(const ns_tuple_reader *reader, ns_tuple_type type, const void *result,
                             struct component *out)
{
    if (reader == NULL || result == NULL) {
        return ns__error(NS_INVALID, "tuple: an argument is NULL");
    }
    NS_TRY(parse_tag(reader, out));
    if (out->type != type) {
        return ns__error(NS_INVALID, "tuple: component at byte %zu is of type %u, not %u",
                         reader->pos, (unsigned)out->type, (unsigned)type);
    }
    return parse(reader, out);
}

ns_status ns_tuple_peek(const ns_tuple_reader *reader, ns_tuple_type *type_out,
                        ns_tuple_order *order_out)
{
    if (type_out != NULL) *type_out = 0;
    if (order_out != NULL) *order_out = NS_TUPLE_ASC;
    if (reader == NULL || type_out == NULL) {
        return ns__error(NS_INVALID, "tuple: an argument is NULL");
    }
    struct component component;
    NS_TRY(parse_tag(reader, &component));
    *type_out = component.type;
    if (order_out != NULL) *order_out = component.mask != 0 ? NS_TUPLE_DESC : NS_TUPLE_ASC;
    return NS_OK;
}

ns_status ns_tuple_get_null(ns_tuple_reader *reader)
{
    struct component component;
    NS_TRY(parse_typed(reader, NS_TUPLE_NULL, reader, &component));
    reader->pos = component.end;
    return NS_OK;
}

ns_status ns_tuple_get_bool(ns_tuple_reader *reader, bool *value_out)
{
    struct component component;
    if (value_out != NULL) *value_out = false;
    NS_TRY(parse_typed(reader, NS_TUPLE_BOOL, value_out, &component));
    *value_out = component.tag == TAG_TRUE;
    reader->pos = component.end;
    return NS_OK;
}

ns_status ns_tuple_get_i64(ns_tuple_reader *reader, int64_t *value_out)
{
    struct component component;
    if (value_out != NULL) *value_out = 0;
    NS_TRY(parse_typed(reader, NS_TUPLE_INTEGER, value_out, &component));
    uint64_t v = load_be(component.payload, component.payload_bytes, component.mask);
    bool negative = component.tag < TAG_ZERO;
    if (!negative && v > INT64_MAX) {
        return ns__error(NS_TOOBIG, "tuple: %llu does not fit int64_t", (unsigned long long)v);
    }
    if (negative) {
        uint64_t magnitude = ~v & (UINT64_MAX >> (64 - 8 * component.payload_bytes));
        v = 0 - magnitude;
    }
    *value_out = (int64_t)v;
    reader->pos = component.end;
    return NS_OK;
}

ns_status ns_tuple_get_u64(ns_tuple_reader *reader, uint64_t *value_out)
{
    struct component component;
    if (value_out != NULL) *value_out = 0;
    NS_TRY(parse_typed(reader, NS_TUPLE_INTEGER, value_out, &component));
    if (component.tag < TAG_ZERO) {
        return ns__error(NS_TOOBIG, "tuple: a negative integer does not fit uint64_t");
    }
    *value_out = load_be(component.payload, component.payload_bytes, component.mask);
    reader->pos = component.end;
    return NS_OK;
}

ns_status ns_tuple_get_double(ns_tuple_reader *reader, double *value_out)
{
    struct component component;
    if (value_out != NULL) *value_out = 0;
    NS_TRY(parse_typed(reader, NS_TUPLE_DOUBLE, value_out, &component));
    *value_out = double_from_ordered(load_be(component.payload, 8, component.mask));
    reader->pos = component.end;
    return NS_OK;
}

static void unescape(const struct component *component, uint8_t *out)
{
    for (size_t i = 0; i < component->payload_bytes; i++) {
        uint8_t byte = component->payload[i] ^ component->mask;
        *out++ = byte;
        if (byte == ESCAPE) i++;
    }
}

static ns_status get_escaped(ns_tuple_reader *reader, ns_tuple_type type, void *scratch,
                             size_t scratch_bytes, ns_slice *value_out)
{
    struct component component;
    if (value_out != NULL) *value_out = ns_bytes(NULL, 0);
    NS_TRY(parse_typed(reader, type, value_out, &component));
    const void *value = component.payload;
    if (component.mask != 0 || component.plain_bytes != component.payload_bytes) {
        if (component.plain_bytes > (scratch != NULL ? scratch_bytes : 0)) {
            return ns__error(NS_TOOBIG, "tuple: a value of %zu bytes; scratch has %zu",
                             component.plain_bytes, scratch_bytes);
        }
        unescape(&component, scratch);
        value = scratch;
    }
    *value_out = ns_bytes(value, component.plain_bytes);
    reader->pos = component.end;
    return NS_OK;
}

ns_status ns_tuple_get_bytes(ns_tuple_reader *reader, void *scratch, size_t scratch_bytes,
                             ns_slice *value_out)
{
    return get_escaped(reader, NS_TUPLE_BYTES, scratch, scratch_bytes, value_out);
}

ns_status ns_tuple_get_text(ns_tuple_reader *reader, void *scratch, size_t scratch_bytes,
                            ns_slice *value_out)
{
    return get_escaped(reader, NS_TUPLE_TEXT, scratch, scratch_bytes, value_out);
}

ns_status ns_tuple_get_uuid(ns_tuple_reader *reader, uint8_t value_out[16])
{
    struct component component;
    if (value_out != NULL) memset(value_out, 0, 16);
    NS_TRY(parse_typed(reader, NS_TUPLE_UUID, value_out, &component));
    for (size_t i = 0; i < 16; i++) {
        value_out[i] = component.payload[i] ^ component.mask;
    }
    reader->pos = component.end;
    return NS_OK;
}

ns_status ns_tuple_get_time(ns_tuple_reader *reader, int64_t *unix_us_out)
{
    struct component component;
    if (unix_us_out != NULL) *unix_us_out = 0;
    NS_TRY(parse_typed(reader, NS_TUPLE_TIME, unix_us_out, &component));
    *unix_us_out = (int64_t)(load_be(component.payload, 8, component.mask) ^ SIGN_BIT);
    reader->pos = component.end;
    return NS_OK;
}

ns_status ns_tuple_skip(ns_tuple_reader *reader)
{
    struct component component;
    if (reader == NULL) return ns__error(NS_INVALID, "tuple: reader is NULL");
    NS_TRY(parse(reader, &component));
    reader->pos = component.end;
    return NS_OK;
}

ns_status ns_tuple_check(ns_slice tuple, size_t *count_out)
{
    if (count_out == NULL || (tuple.data == NULL && tuple.size > 0)) {
        if (count_out != NULL) *count_out = 0;
        return ns__error(NS_INVALID, "ns_tuple_check: an argument is NULL");
    }
    ns_tuple_reader reader;
    ns_tuple_reader_init(&reader, tuple);
    size_t count = 0;
    ns_status status;
    *count_out = 0;
    while ((status = ns_tuple_skip(&reader)) == NS_OK) {
        count++;
    }
    if (status != NS_NOTFOUND) return status;
    *count_out = count;
    return NS_OK;
}
