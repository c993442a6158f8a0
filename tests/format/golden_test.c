/* Golden bytes of every stored structure but nodes, written by hand from spec/file_format_v0.md and
 * spec/tuple_v0.md (their checksums by another implementation), and the field lists of the code
 * against the tables of the specification. A change here is a change of the format. */
#include "harness/test.h"

#include <stdio.h>

#include "format/samples.h"
#include <northstar/tuple.h>

/* ---- golden text: lines "OFFSET: HEX HEX*COUNT ... # comment"; the rest is zero ---- */

/* Reads one line; returns where the next begins. */
static const char *read_line(const char *line, uint8_t *out, size_t size)
{
    char *at;
    size_t offset = (size_t)strtoul(line, &at, 10);
    assert_int_equal(*at, ':');
    for (at++;;) {
        at += strspn(at, " ");
        if (*at == '#') at += strcspn(at, "\n");
        if (*at == '\n' || *at == 0) break;
        uint8_t byte = (uint8_t)strtoul(at, &at, 16);
        unsigned long count = *at == '*' ? strtoul(at + 1, &at, 10) : 1;
        for (; count > 0; count--) {
            assert_true(offset < size);
            out[offset++] = byte;
        }
    }
    return *at == '\n' ? at + 1 : at;
}

static void read_golden(const char *text, uint8_t *out, size_t size)
{
    memset(out, 0, size);
    while (*text != 0) {
        text = read_line(text, out, size);
    }
}

static void check_bytes(const uint8_t *found, const uint8_t *golden, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (found[i] == golden[i]) continue;
        print_error("byte %zu is %02x, golden is %02x\n", i, found[i], golden[i]);
        fail();
    }
}

/* ---- structures ---- */

/* FMT-4, FMT-6, FMT-7 */
static const char golden_meta[] =
    "0: 4e 53 54 41 52 44 42 0a                           # magic NSTARDB\\n\n"
    "8: 01 00 00 00                                       # format version 1\n"
    "12: 00 10 00 00                                      # page size 4096\n"
    "16: 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f  # uuid\n"
    "32: 07 00 00 00 00 00 00 00                          # sequence 7, so page 1\n"
    "40: d2 04 00 00 00 00 00 00                          # generation 1234\n"
    "48: e8 03 00 00 00 00 00 00                          # transaction 1000\n"
    "56: fb ff ff ff ff ff ff ff                          # 5 microseconds before 1970\n"
    "64: 40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f  # chain value\n"
    "80: 50 51 52 53 54 55 56 57 58 59 5a 5b 5c 5d 5e 5f\n"
    "96: 00 80 00 00 00 00 00 00                          # replay 0x8000\n"
    "104: 23 81 00 00 00 00 00 00                         # watermark 0x8123\n"
    "112: 64 f8 03 00 00 00 00 00                         # page count 260196\n"
    "120: 88 13 00 00 80 f7 e6 55                         # main: page 5000, check abcdef\n"
    "128: 4d 00 00 00 00 00 00 00                         # 77 entries\n"
    "136: 06 00 00 00 00 00 00 00 03                      # 6 pages, 3 overflow pages\n"
    "152: 1f 00 00 00 00 2b 1a 09                         # catalogue: page 31, check 123456\n"
    "160: 04 00 00 00 00 00 00 00 01                      # 4 entries, 1 page\n"
    "184: 02                                              # 2 named keyspaces\n"
    "192: 01 00 00 00 01 00 00 00                         # log padded; history bounded\n"
    "200: 0b 00 00 00 00 00 00 00 0c 00 00 00 00 00 00 00 # by 11 transactions, 12 bytes\n"
    "216: 0d 00 00 00 00 00 00 00                         # 13 seconds\n"
    "224: 00 00 a4 07 31 af 05 00                         # created 1600000000000000\n"
    "232: 84 03 00 00 00 00 00 00                         # floor 900\n"
    "240: 80 81 82 83 84 85 86 87 88 89 8a 8b 8c 8d 8e 8f # chain value there\n"
    "256: 90 91 92 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f\n"
    "272: 08 10 00 00 00 00 00 00                         # log offset there 0x1008\n"
    "280: 02 00 00 00                                     # 2 regions\n"
    "512: 02 00 00 00 44 44 33 33 22 22 11 11             # region 0: place 2, checksum\n"
    "524: 03 00 00 00 88 88 77 77 66 66 55 55             # region 1: place 3, checksum\n"
    "4088: e8 d4 75 5f 57 a3 fb 47                        # checksum, seed 1\n";

static void meta(void **state)
{
    (void)state;
    uint8_t golden[NS__BLOCK_BYTES], bytes[NS__BLOCK_BYTES];
    struct ns__meta sample = sample_meta(4096), found;
    read_golden(golden_meta, golden, sizeof golden);
    ns__meta_encode(&sample, bytes);
    check_bytes(bytes, golden, sizeof golden);
    CHECK_OK(ns__meta_decode(golden, 1, UINT64_MAX, &found));
    ns__meta_encode(&found, bytes);
    check_bytes(bytes, golden, sizeof golden);
}

/* FMT-20 */
static const char golden_logmap[] =
    "0: 4e 53 54 41 52 4c 4f 47                           # magic NSTARLOG\n"
    "8: 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f   # uuid\n"
    "24: 08 00 00 00 00 00 00 00                          # sequence 8, so page 2\n"
    "32: 00 90 00 00 00 00 00 00                          # watermark 0x9000\n"
    "40: 01 00 00 00 02 00 00 00                          # in use; 2 extents listed here\n"
    "48: a0 0f 00 00 00 00 00 00                          # continuation page 4000\n"
    "56: ef cd ab 89 67 45 23 01                          # its checksum\n"
    "64: 05 00 00 00 00 00 00 00                          # 5 extents in all\n"
    "72: 04 00 00 00                                      # newest epoch 4\n"
    "96: 00 80 00 00 00 00 00 00 08 90 00 00 00 00 00 00  # log offsets 0x8000 to 0x9008\n"
    "112: 64 00 00 00 00 00 00 00 02 00 00 00 03 00 00 00 # page 100, 2 pages, epoch 3\n"
    "128: 08 90 00 00 00 00 00 00 00 10 01 00 00 00 00 00 # 0x9008 to 0x11000\n"
    "144: c8 00 00 00 00 00 00 00 09 00 00 00 04 00 00 00 # page 200, 9 pages, epoch 4\n"
    "4088: 95 aa 74 24 d6 57 5d 73                        # checksum, seed 2\n";

static void log_map(void **state)
{
    (void)state;
    uint8_t golden[NS__BLOCK_BYTES], bytes[NS__BLOCK_BYTES];
    struct ns__logmap sample = sample_logmap(4096), found;
    read_golden(golden_logmap, golden, sizeof golden);
    ns__logmap_encode(&sample, bytes);
    check_bytes(bytes, golden, sizeof golden);
    CHECK_OK(ns__logmap_decode(golden, 2, sample_uuid, 4096, 100000, &found));
    ns__logmap_encode(&found, bytes);
    check_bytes(bytes, golden, sizeof golden);
}

/* FMT-19 */
static const char golden_continuation[] =
    "0: 32 ad 27 fe f6 a5 00 e4                           # checksum, seed of page 77\n"
    "8: 88 13 00 00 00 00 00 00                           # next continuation page 5000\n"
    "16: 06 00 00 00 02 00 00 00                          # type 6; 2 extents here\n"
    "24: 09 00 00 00 00 00 00 00                          # checksum stored in the next page\n"
    "32: 40 00 00 00 00 00 00 00 40 20 00 00 00 00 00 00  # log offsets 0x40 to 0x2040\n"
    "48: 1f 00 00 00 00 00 00 00 02 00 00 00 01 00 00 00  # page 31, 2 pages, epoch 1\n"
    "64: 40 20 00 00 00 00 00 00 38 40 00 00 00 00 00 00  # 0x2040 to 0x4038\n"
    "80: 21 00 00 00 00 00 00 00 02 00 00 00 01 00 00 00  # page 33, 2 pages, epoch 1\n";

static void log_map_continuation(void **state)
{
    (void)state;
    uint8_t golden[4096], bytes[4096];
    struct ns__extent sample[2], found[127];
    uint64_t next_page, next_checksum;
    uint32_t count;
    sample_extents(sample, 2, 4096);
    read_golden(golden_continuation, golden, sizeof golden);
    uint64_t checksum = ns__continuation_encode(sample_uuid, 4096, 77, 5000, 9, sample, 2, bytes);
    check_bytes(bytes, golden, sizeof golden);
    CHECK_OK(ns__continuation_decode(golden, sample_uuid, 4096, 77, checksum, &next_page,
                                     &next_checksum, found, &count));
    assert_int_equal(next_page, 5000);
    assert_int_equal(next_checksum, 9);
    assert_int_equal(count, 2);
    assert_memory_equal(found, sample, sizeof sample);
}

/* FMT-17 */
static const char golden_bitmap[] = "0: c9 37 56 9a d2 dd 2d 84 # checksum, seed of page 10\n"
                                    "8: 01 00 00 00 00 00 00 00 # range 1\n"
                                    "16: 04 00 00 00            # type 4\n"
                                    "20: 03 00 00 00            # 3 bits set:\n"
                                    "32: 01 02                  # pages 32512 + 0 and + 9\n"
                                    "4095: 80                   # page 65023\n";

static void bitmap(void **state)
{
    (void)state;
    uint8_t golden[4096], bytes[4096], found[4096 - 32], bits[4096 - 32] = {1, 2};
    bits[sizeof bits - 1] = 0x80;
    read_golden(golden_bitmap, golden, sizeof golden);
    uint64_t checksum = ns__bitmap_encode(sample_uuid, 4096, 10, 1, bits, bytes);
    check_bytes(bytes, golden, sizeof golden);
    CHECK_OK(ns__bitmap_decode(golden, sample_uuid, 4096, 10, 1, checksum, found));
    assert_memory_equal(found, bits, sizeof bits);
}

/* FMT-16 */
static const char golden_directory[] =
    "0: c3 16 2f 46 85 89 3a 17              # checksum, seed of page 4\n"
    "8: 00 00 00 00 00 00 00 00              # region 0\n"
    "16: 05                                  # type 5\n"
    "32: 01 00 00 00 08 07 06 05 04 03 02 01 # range 0: place 1, checksum\n"
    "44: 00 00 00 00 00 00 00 00 00 00 00 00 # range 1: nothing in use\n"
    "56: 03 00 00 00 18 17 16 15 14 13 12 11 # range 2: place 3, checksum\n";

static void directory(void **state)
{
    (void)state;
    uint8_t golden[4096], bytes[4096];
    struct ns__region_entry found[8],
        entries[8] = {{1, UINT64_C(0x0102030405060708)}, {0, 0}, {3, UINT64_C(0x1112131415161718)}};
    read_golden(golden_directory, golden, sizeof golden);
    uint64_t checksum = ns__directory_encode(sample_uuid, 4096, 4, 0, entries, bytes);
    check_bytes(bytes, golden, sizeof golden);
    CHECK_OK(ns__directory_decode(golden, sample_uuid, 4096, 4, 0, checksum, found));
    for (int i = 0; i < 8; i++) {
        assert_int_equal(found[i].place, entries[i].place);
        assert_true(found[i].checksum == entries[i].checksum);
    }
}

/* FMT-25, FMT-26, FMT-27 */
static const char golden_record[] =
    "0: 4e 53 52 31 00 00 00 00                           # magic NSR1\n"
    "8: fe 00 00 00 00 00 00 00                           # 254 bytes\n"
    "16: 2a 00 00 00 00 00 00 00                          # transaction 42\n"
    "24: 00 40 1e 18 24 0a 06 00                          # time 1700000000000000\n"
    "32: 07 00 00 00 00 00 00 00                          # 7 operations\n"
    "40: 04 00 00 00 00 00 00 00                          # note of 4 bytes\n"
    "48: 2d 63 3b 72 d8 86 f1 c1 77 94 b3 a0 12 23 0d 61  # chain value after 00 01 .. 1f\n"
    "64: 22 a6 62 9b bb 67 5b 38 68 50 e2 47 d0 36 33 df\n"
    "80: 6e 6f 74 65                                      # note\n"
    "84: 05 03 03 6f 6c 64                                # drop keyspace 3, \"old\"\n"
    "90: 04 ac 02 03 6e 65 77                             # create keyspace 300, \"new\"\n"
    "97: 03 00 00 01 62                                   # delete range from the start to \"b\"\n"
    "102: 03 00 01 78 00                                  # delete range \"x\" to the end\n"
    "107: 01 00 01 61 01 31                               # put \"a\" = \"1\"\n"
    "113: 02 00 01 63                                     # delete \"c\"\n"
    "117: 01 ac 02 01 6b 82 01 76*130                     # keyspace 300: put \"k\"\n";

#define RECORD_BYTES 254u

static const struct ns_op golden_ops[] = {
    {NS_OP_KEYSPACE_DROP, 3, {"old", 3}, {NULL, 0}},
    {NS_OP_KEYSPACE_CREATE, 300, {"new", 3}, {NULL, 0}},
    {NS_OP_DEL_RANGE, 0, {"", 0}, {"b", 1}},
    {NS_OP_DEL_RANGE, 0, {"x", 1}, {"", 0}},
    {NS_OP_PUT, 0, {"a", 1}, {"1", 1}},
    {NS_OP_DEL, 0, {"c", 1}, {NULL, 0}},
    {NS_OP_PUT, 300, {"k", 1}, {NULL, 130}},
};
#define GOLDEN_OPS (sizeof golden_ops / sizeof golden_ops[0])

static size_t write_body(uint8_t *out)
{
    uint8_t value[130];
    size_t used = 0;
    memset(value, 'v', sizeof value);
    for (size_t i = 0; i < GOLDEN_OPS; i++) {
        struct ns_op op = golden_ops[i];
        if (op.value.size == sizeof value) op.value.data = value;
        used += ns__op_encode(&op, out + used);
    }
    return used;
}

static void record_and_body(void **state)
{
    (void)state;
    uint8_t golden[RECORD_BYTES], bytes[RECORD_BYTES], body[256], previous[NS__CHAIN_BYTES];
    struct ns__record found, record = {.txn_id = 42, .unix_us = 1700000000000000};
    uint64_t op_count;
    read_golden(golden_record, golden, sizeof golden);
    sample_fill(previous, sizeof previous, 0);
    record.op_count = GOLDEN_OPS;
    record.note = ns_str("note");
    record.body = ns_bytes(body, write_body(body));
    ns__record_encode(&record, previous, bytes);
    assert_int_equal(record.size, RECORD_BYTES);
    memcpy(bytes + 80, "note", 4);
    memcpy(bytes + 84, body, record.body.size);
    check_bytes(bytes, golden, sizeof golden);
    CHECK_OK(ns__record_decode(ns_bytes(golden, sizeof golden), previous, &found));
    CHECK_OK(ns__body_check(found.body, 1024, &op_count));
    assert_int_equal(op_count, GOLDEN_OPS);
    size_t pos = 0;
    for (size_t i = 0; i < GOLDEN_OPS; i++) {
        struct ns_op op;
        CHECK_OK(ns__op_decode(found.body, &pos, &op));
        assert_int_equal(op.kind, golden_ops[i].kind);
        assert_int_equal(op.keyspace, golden_ops[i].keyspace);
        assert_true(ns__slice_equal(op.key, golden_ops[i].key));
        assert_int_equal(op.value.size, golden_ops[i].value.size);
    }
}

/* FMT-3, FMT-21 */
static const char golden_envelope[] =
    "0: e3 00 46 a3 d0 e7 d7 ed  # checksum, seed of log offset 0x1000\n"
    "8: 4e 53 45 31              # magic NSE1\n"
    "12: 02 00 00 00             # epoch 2\n"
    "16: 00 01 00 00 00 00 00 00 # payload of 256 bytes: the golden record, padded\n"
    "24: f8 07 00 00 00 00 00 00 # watermark 0x7f8\n";

static void envelope(void **state)
{
    (void)state;
    uint8_t golden[NS__ENVELOPE_BYTES], bytes[NS__ENVELOPE_BYTES], payload[256];
    const struct ns__envelope sample = {.epoch = 2, .payload_bytes = 256, .watermark = 0x7f8};
    struct ns__envelope found;
    read_golden(golden_envelope, golden, sizeof golden);
    read_golden(golden_record, payload, sizeof payload);
    struct ns__hash_piece piece = {payload, sizeof payload};
    ns__envelope_encode(sample_uuid, 0x1000, &sample, &piece, 1, bytes);
    check_bytes(bytes, golden, sizeof golden);
    assert_true(ns__envelope_check(sample_uuid, 0x1000, golden, &piece, 1));
    assert_true(ns__envelope_peek(golden, &found));
    assert_int_equal(found.epoch, sample.epoch);
    assert_int_equal(found.payload_bytes, sample.payload_bytes);
    assert_int_equal(found.watermark, sample.watermark);
}

/* ---- tuples: the examples of spec/tuple_v0.md, one component each unless said otherwise ---- */

enum example {
    NUL,
    FALSE_TRUE,
    ZERO,
    ONE,
    MINUS_1,
    I256,
    MINUS_256,
    U64_MAX,
    I64_MIN,
    ONE_DESC,
    DOUBLE_1,
    DOUBLE_MINUS_1,
    BYTES,
    TEXT,
    TEXT_DESC_ONE,
    TIME_0,
    UUID,
    EXAMPLES
};

static const struct {
    enum example example;
    const char *golden;
    size_t size;
} golden_tuples[EXAMPLES] = {
    {NUL, "0: 10", 1},
    {FALSE_TRUE, "0: 20 21", 2},
    {ZERO, "0: 38", 1},
    {ONE, "0: 39 01", 2},
    {MINUS_1, "0: 37 fe", 2},
    {I256, "0: 3a 01 00", 3},
    {MINUS_256, "0: 36 fe ff", 3},
    {U64_MAX, "0: 40 ff*8", 9},
    {I64_MIN, "0: 30 7f ff*7", 9},
    {ONE_DESC, "0: c6 fe", 2},
    {DOUBLE_1, "0: 48 bf f0 00*6", 9},
    {DOUBLE_MINUS_1, "0: 48 40 0f ff*6", 9},
    {BYTES, "0: 50 61 00 ff 62 00 01", 7},
    {TEXT, "0: 58 61 00 01", 4},
    {TEXT_DESC_ONE, "0: a7 9e ff fe 39 01", 6},
    {TIME_0, "0: 68 80 00*7", 9},
    {UUID, "0: 60 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f", 17},
};

static ns_status put_example(ns_tuple_writer *w, enum example example)
{
    ns_status status;
    switch (example) {
    case NUL: return ns_tuple_put_null(w, NS_TUPLE_ASC);
    case FALSE_TRUE:
        status = ns_tuple_put_bool(w, false, NS_TUPLE_ASC);
        return status == NS_OK ? ns_tuple_put_bool(w, true, NS_TUPLE_ASC) : status;
    case ZERO: return ns_tuple_put_i64(w, 0, NS_TUPLE_ASC);
    case ONE: return ns_tuple_put_i64(w, 1, NS_TUPLE_ASC);
    case MINUS_1: return ns_tuple_put_i64(w, -1, NS_TUPLE_ASC);
    case I256: return ns_tuple_put_u64(w, 256, NS_TUPLE_ASC);
    case MINUS_256: return ns_tuple_put_i64(w, -256, NS_TUPLE_ASC);
    case U64_MAX: return ns_tuple_put_u64(w, UINT64_MAX, NS_TUPLE_ASC);
    case I64_MIN: return ns_tuple_put_i64(w, INT64_MIN, NS_TUPLE_ASC);
    case ONE_DESC: return ns_tuple_put_u64(w, 1, NS_TUPLE_DESC);
    case DOUBLE_1: return ns_tuple_put_double(w, 1.0, NS_TUPLE_ASC);
    case DOUBLE_MINUS_1: return ns_tuple_put_double(w, -1.0, NS_TUPLE_ASC);
    case BYTES: return ns_tuple_put_bytes(w, ns_bytes("a\0b", 3), NS_TUPLE_ASC);
    case TEXT: return ns_tuple_put_text(w, ns_str("a"), NS_TUPLE_ASC);
    case TEXT_DESC_ONE:
        status = ns_tuple_put_text(w, ns_str("a"), NS_TUPLE_DESC);
        return status == NS_OK ? ns_tuple_put_i64(w, 1, NS_TUPLE_ASC) : status;
    case TIME_0: return ns_tuple_put_time(w, 0, NS_TUPLE_ASC);
    case UUID: return ns_tuple_put_uuid(w, sample_uuid, NS_TUPLE_ASC);
    case EXAMPLES: break;
    }
    return NS_INVALID;
}

static void tuples(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        uint8_t golden[32], bytes[32] = {0};
        ns_tuple_writer writer;
        read_golden(golden_tuples[i].golden, golden, sizeof golden);
        ns_tuple_writer_init(&writer, bytes, sizeof bytes);
        CHECK_OK(put_example(&writer, golden_tuples[i].example));
        assert_int_equal(writer.size, golden_tuples[i].size);
        check_bytes(bytes, golden, sizeof golden);
    }
}

/* ---- field lists against the tables of the specification ---- */

struct field {
    unsigned offset, size;
    const char *text;
};

#define FIELD(name, offset, size, text) {offset, size, text},
#define END                                                                                        \
    {                                                                                              \
        0, 0, NULL                                                                                 \
    }

static const struct field meta_fields[] = {NS__META_FIELDS(FIELD) END};
static const struct field logmap_fields[] = {NS__LOGMAP_FIELDS(FIELD) END};
static const struct field envelope_fields[] = {NS__ENVELOPE_FIELDS(FIELD) END};
static const struct field record_fields[] = {NS__RECORD_FIELDS(FIELD) END};
static const struct field place_fields[] = {NS__PLACE_FIELDS(FIELD) END};
static const struct field tree_fields[] = {NS__TREE_FIELDS(FIELD) END};
static const struct field extent_fields[] = {NS__EXTENT_FIELDS(FIELD) END};
static const struct field continuation_fields[] = {NS__CONTINUATION_FIELDS(FIELD) END};
static const struct field directory_fields[] = {NS__DIRECTORY_FIELDS(FIELD) END};
static const struct field bitmap_fields[] = {NS__BITMAP_FIELDS(FIELD) END};

/* A list leaves no byte out; repeated is the offset of a field that fills what follows it. */
static void check_adjoin(const struct field *fields, unsigned repeated, unsigned end)
{
    unsigned next = 0;
    for (; fields->text != NULL; fields++) {
        assert_int_equal(fields->offset, next);
        next = fields->offset + fields->size;
        if (repeated != 0 && fields->offset == repeated) next = 4088;
    }
    assert_int_equal(next, end);
}

static void field_lists_leave_no_byte_out(void **state)
{
    (void)state;
    check_adjoin(meta_fields, 512, NS__BLOCK_BYTES);
    check_adjoin(logmap_fields, 96, NS__BLOCK_BYTES);
    check_adjoin(envelope_fields, 0, NS__ENVELOPE_BYTES);
    check_adjoin(record_fields, 0, NS__RECORD_BYTES);
    check_adjoin(place_fields, 0, NS__PLACE_BYTES);
    check_adjoin(tree_fields, 0, 32);
    check_adjoin(extent_fields, 0, NS__EXTENT_BYTES);
    check_adjoin(continuation_fields, 0, 32 + NS__EXTENT_BYTES);
    check_adjoin(directory_fields, 0, NS__MAP_HEADER_BYTES + NS__PLACE_BYTES);
    check_adjoin(bitmap_fields, 0, NS__MAP_HEADER_BYTES);
}

#if defined(NS_SPEC_DIR)
#define SPEC_DIR NS_SPEC_DIR
#elif defined(NS_SOURCE_DIR)
#define SPEC_DIR NS_SOURCE_DIR "/spec"
#endif

#if defined(SPEC_DIR)

/* Does the row's text begin with the field's, as whole words? */
static bool text_agrees(const char *row, const char *field)
{
    size_t size = strlen(field);
    if (strncmp(row, field, size) != 0) return false;
    return strchr(" :,;(\n", row[size]) != NULL;
}

/* Compares the rows "| offset | size | text |" that follow the heading with the fields; rows
 * without a fixed offset and size belong to what follows the structure. */
static void check_table(const char *heading, const struct field *fields)
{
    FILE *spec = fopen(SPEC_DIR "/file_format_v0.md", "r");
    char line[512], text[512];
    bool inside = false;
    assert_non_null(spec);
    print_message("%s\n", heading);
    while (fgets(line, sizeof line, spec) != NULL) {
        unsigned offset, size;
        if (strncmp(line, "## ", 3) == 0) {
            inside = strncmp(line + 3, heading, strlen(heading)) == 0;
        }
        if (!inside || sscanf(line, "| %u | %u%*[^|]| %511[^\n]", &offset, &size, text) != 3) {
            continue;
        }
        if (fields->text == NULL || fields->offset != offset || fields->size != size ||
            !text_agrees(text, fields->text)) {
            print_error("specification: %scode: | %u | %u | %s |\n", line, fields->offset,
                        fields->size, fields->text != NULL ? fields->text : "(no field)");
            fail();
        }
        print_message("| %4u | %4u | %s |\n", offset, size, fields->text);
        fields++;
    }
    assert_null(fields->text);
    (void)fclose(spec);
}

static void field_lists_agree_with_the_specification(void **state)
{
    (void)state;
    check_table("Meta", meta_fields);
    check_table("Log map", logmap_fields);
    check_table("Envelopes", envelope_fields);
    check_table("Records", record_fields);
}

#else

static void field_lists_agree_with_the_specification(void **state)
{
    (void)state;
    print_message("neither NS_SPEC_DIR nor NS_SOURCE_DIR is defined\n");
    skip();
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meta),
        cmocka_unit_test(log_map),
        cmocka_unit_test(log_map_continuation),
        cmocka_unit_test(bitmap),
        cmocka_unit_test(directory),
        cmocka_unit_test(record_and_body),
        cmocka_unit_test(envelope),
        cmocka_unit_test(tuples),
        cmocka_unit_test(field_lists_leave_no_byte_out),
        cmocka_unit_test(field_lists_agree_with_the_specification),
    };
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
