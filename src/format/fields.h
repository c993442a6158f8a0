/* fields.h: the one list of fields of each stored structure. Offsets in code come from here, and
 * tests/format/golden_test.c compares the lists with the tables of spec/file_format_v0.md.
 *
 * Each entry is X(NAME, offset, size, text): the text is what the row of the specification begins
 * with. Reserved bytes are fields too; a list leaves no byte out. */
#ifndef NS_FORMAT_FIELDS_H
#define NS_FORMAT_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Are these reserved or unused bytes as they must be? */
static inline bool ns__is_zero(const uint8_t *bytes, size_t size)
{
    uint8_t found = 0;
    for (size_t i = 0; i < size; i++) {
        found |= bytes[i];
    }
    return found == 0;
}

/* clang-format off */

/* "Meta"; regions lie between the last two fields. */
#define NS__META_FIELDS(X)                                  \
    X(MAGIC,               0,   8, "magic")                 \
    X(VERSION,             8,   4, "format version")        \
    X(PAGE_SIZE,          12,   4, "page size")             \
    X(UUID,               16,  16, "uuid of the file")      \
    X(SEQUENCE,           32,   8, "sequence")              \
    X(GENERATION,         40,   8, "generation of the root") \
    X(TXN_ID,             48,   8, "transaction id of the root") \
    X(UNIX_US,            56,   8, "its commit time")       \
    X(CHAIN,              64,  32, "its chain value")       \
    X(REPLAY,             96,   8, "replay")                \
    X(WATERMARK,         104,   8, "watermark")             \
    X(PAGE_COUNT,        112,   8, "page count")            \
    X(MAIN,              120,  32, "tree of keyspace 0")    \
    X(CATALOGUE,         152,  32, "catalogue tree")        \
    X(KEYSPACES,         184,   8, "number of named keyspaces") \
    X(FLAGS,             192,   4, "flags")                 \
    X(HISTORY,           196,   4, "history")               \
    X(HISTORY_TXNS,      200,   8, "history bound: transactions") \
    X(HISTORY_BYTES,     208,   8, "history bound: bytes")  \
    X(HISTORY_SECONDS,   216,   8, "history bound: seconds") \
    X(CREATED_US,        224,   8, "time of creation")      \
    X(FLOOR_TXN,         232,   8, "floor")                 \
    X(FLOOR_CHAIN,       240,  32, "chain value at the floor") \
    X(FLOOR_LOG,         272,   8, "log offset right after the floor's record") \
    X(REGION_COUNT,      280,   4, "region count")          \
    X(RESERVED,          284, 228, "reserved")              \
    X(REGIONS,           512,  12, "per region")            \
    X(CHECKSUM,         4088,   8, "checksum")

/* One region of a meta, and one range of a directory page (FMT-16). */
#define NS__PLACE_FIELDS(X)                                 \
    X(PLACE,               0,   4, "place")                 \
    X(CHECKSUM,            4,   8, "checksum")
#define NS__PLACE_BYTES 12u

/* FMT-6. */
#define NS__TREE_FIELDS(X)                                  \
    X(REF,                 0,   8, "reference")             \
    X(ENTRIES,             8,   8, "entries")               \
    X(PAGES,              16,   8, "pages")                 \
    X(OVERFLOW_PAGES,     24,   8, "overflow pages")

/* "Log map". */
#define NS__LOGMAP_FIELDS(X)                                \
    X(MAGIC,               0,   8, "magic")                 \
    X(UUID,                8,  16, "uuid")                  \
    X(SEQUENCE,           24,   8, "sequence")              \
    X(WATERMARK,          32,   8, "watermark")             \
    X(FLAGS,              40,   4, "flags")                 \
    X(EXTENT_COUNT,       44,   4, "extents listed here")   \
    X(NEXT_PAGE,          48,   8, "first continuation page") \
    X(NEXT_CHECKSUM,      56,   8, "checksum stored in it") \
    X(EXTENTS_TOTAL,      64,   8, "extents in all")        \
    X(EPOCH,              72,   4, "newest epoch")          \
    X(RESERVED,           76,  20, "reserved")              \
    X(EXTENTS,            96,  32, "extents by log offset") \
    X(CHECKSUM,         4088,   8, "checksum")

/* One extent. */
#define NS__EXTENT_FIELDS(X)                                \
    X(LOG_START,           0,   8, "log start")             \
    X(LOG_END,             8,   8, "log end")               \
    X(PAGE,               16,   8, "first page")            \
    X(PAGES,              24,   4, "pages")                 \
    X(EPOCH,              28,   4, "epoch")
#define NS__EXTENT_BYTES 32u

/* FMT-19; extents follow. */
#define NS__CONTINUATION_FIELDS(X)                          \
    X(CHECKSUM,            0,   8, "checksum")              \
    X(NEXT_PAGE,           8,   8, "next continuation page") \
    X(TYPE,               16,   1, "type")                  \
    X(RESERVED,           17,   3, "reserved")              \
    X(EXTENT_COUNT,       20,   4, "extents here")          \
    X(NEXT_CHECKSUM,      24,   8, "checksum stored in the next page") \
    X(EXTENTS,            32,  32, "extents")

/* FMT-16; one place per range follows. */
#define NS__DIRECTORY_FIELDS(X)                             \
    X(CHECKSUM,            0,   8, "checksum")              \
    X(REGION,              8,   8, "region number")         \
    X(TYPE,               16,   1, "type")                  \
    X(RESERVED,           17,  15, "reserved")              \
    X(RANGES,             32,  12, "per range")

/* FMT-17; the bits follow. */
#define NS__BITMAP_FIELDS(X)                                \
    X(CHECKSUM,            0,   8, "checksum")              \
    X(RANGE,               8,   8, "range number")          \
    X(TYPE,               16,   1, "type")                  \
    X(RESERVED_1,         17,   3, "reserved")              \
    X(BIT_COUNT,          20,   4, "number of bits set")    \
    X(RESERVED_2,         24,   8, "reserved")

/* "Envelopes". */
#define NS__ENVELOPE_FIELDS(X)                              \
    X(CHECKSUM,            0,   8, "checksum")              \
    X(MAGIC,               8,   4, "magic")                 \
    X(EPOCH,              12,   4, "epoch")                 \
    X(PAYLOAD_BYTES,      16,   8, "payload size")          \
    X(WATERMARK,          24,   8, "watermark")

/* "Records". */
#define NS__RECORD_FIELDS(X)                                \
    X(MAGIC,               0,   4, "magic")                 \
    X(RESERVED_1,          4,   4, "reserved")              \
    X(SIZE,                8,   8, "size of the whole record") \
    X(TXN_ID,             16,   8, "transaction id")        \
    X(UNIX_US,            24,   8, "commit time")           \
    X(OP_COUNT,           32,   8, "number of operations")  \
    X(NOTE_BYTES,         40,   4, "note size")             \
    X(RESERVED_2,         44,   4, "reserved")              \
    X(CHAIN,              48,  32, "chain value")

/* clang-format on */

#endif
