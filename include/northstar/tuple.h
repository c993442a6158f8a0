/* northstar/tuple.h: composite keys whose byte order is the order of what they say.
 *
 * A tuple is a sequence of components; its encoding is a key for <northstar.h>. memcmp of two
 * encodings (a shorter one before its extensions, as everywhere in the library) compares the tuples
 * component by component, each ascending or descending as it was written:
 *
 *     uint8_t bytes[64];  ns_tuple_writer key;
 *     ns_tuple_writer_init(&key, bytes, sizeof bytes);
 *     if (ns_tuple_put_text(&key, ns_str("order"), NS_TUPLE_ASC) == NS_OK &&
 *         ns_tuple_put_u64(&key, customer, NS_TUPLE_ASC) == NS_OK &&
 *         ns_tuple_put_time(&key, placed_unix_us, NS_TUPLE_DESC) == NS_OK)     // newest first
 *         status = ns_txn_put(txn, NS_MAIN, ns_tuple_writer_view(&key), value);
 *
 * Order. null < false < true < integers < doubles < bytes < texts < UUIDs < times; descending: the
 * reverse. Signed and unsigned integers are one type, compared as numbers. Doubles are compared as
 * numbers with each other, after all integers; -0.0 is stored as 0.0, every NaN as one NaN, which
 * comes after infinity. Bytes and texts are compared byte by byte, a shorter one before its
 * extensions. A tuple comes before its extensions, whatever their direction. A place should have
 * one direction in all keys: where it differs, ascending components come before descending ones.
 *
 * Bytes. Frozen, and the same on every machine: spec/tuple_v0.md. Equal tuples have equal bytes,
 * and what the reader accepts is exactly what the writer writes.
 *
 * Nothing here allocates. Writers and readers are plain values of the caller, for one thread at a
 * time. A function that does not return NS_OK leaves the tuple, the position of the reader and
 * scratch bytes as they were, and zero, false or an empty slice in its outputs. NS_INVALID (a NULL
 * where none is allowed, a wrong order) is possible everywhere. */
#ifndef NORTHSTAR_TUPLE_H
#define NORTHSTAR_TUPLE_H

#include <northstar.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint32_t ns_tuple_order;
#define NS_TUPLE_ASC 0u
#define NS_TUPLE_DESC 1u

/* In their order. */
typedef uint32_t ns_tuple_type;
#define NS_TUPLE_NULL 1u
#define NS_TUPLE_BOOL 2u
#define NS_TUPLE_INTEGER 3u /* -2^63 .. 2^64 - 1 */
#define NS_TUPLE_DOUBLE 4u  /* IEEE 754, 64 bits */
#define NS_TUPLE_BYTES 5u
#define NS_TUPLE_TEXT 6u /* UTF-8 */
#define NS_TUPLE_UUID 7u /* 16 bytes */
#define NS_TUPLE_TIME 8u /* microseconds since 1970-01-01 00:00 UTC, signed */

/* ---- writing ------------------------------------------------------------------------------- */

/* Builds one tuple in the caller's bytes. The fields are for reading only. */
typedef struct ns_tuple_writer {
    uint8_t *bytes;
    size_t capacity;
    size_t size;   /* of the tuple so far */
    size_t wanted; /* after NS_TOOBIG: the capacity that the refused call needs */
} ns_tuple_writer;

/* An empty tuple. bytes is borrowed as long as the writer or a view of it is used; NULL only with
 * capacity 0. */
NS_API void ns_tuple_writer_init(ns_tuple_writer *writer, void *bytes, size_t capacity);

/* Goes on in other bytes, to which the caller has moved the first writer->size ones (realloc does).
 * NS_INVALID if capacity is smaller than that. The usual answer to NS_TOOBIG: grow to
 * writer->wanted, call this, try again. */
NS_API NS_MUST_USE ns_status ns_tuple_writer_rebase(ns_tuple_writer *writer, void *bytes,
                                                    size_t capacity);

/* Cuts the tuple back to an earlier writer->size (0: empty), to write keys that begin alike. size
 * must be 0 or what writer->size was after a component; NS_INVALID if it is larger than the present
 * one. */
NS_API NS_MUST_USE ns_status ns_tuple_writer_cut(ns_tuple_writer *writer, size_t size);

/* The tuple so far, a key. Points into the caller's bytes: valid until the writer is changed. */
NS_API ns_slice ns_tuple_writer_view(const ns_tuple_writer *writer);

/* Each appends one component. NS_TOOBIG if there is no room for it (see writer->wanted). Slices are
 * read during the call and must not overlap the writer's bytes. */
NS_API NS_MUST_USE ns_status ns_tuple_put_null(ns_tuple_writer *writer, ns_tuple_order order);
NS_API NS_MUST_USE ns_status ns_tuple_put_bool(ns_tuple_writer *writer, bool value,
                                               ns_tuple_order order);
NS_API NS_MUST_USE ns_status ns_tuple_put_i64(ns_tuple_writer *writer, int64_t value,
                                              ns_tuple_order order);
NS_API NS_MUST_USE ns_status ns_tuple_put_u64(ns_tuple_writer *writer, uint64_t value,
                                              ns_tuple_order order);
NS_API NS_MUST_USE ns_status ns_tuple_put_double(ns_tuple_writer *writer, double value,
                                                 ns_tuple_order order);
NS_API NS_MUST_USE ns_status ns_tuple_put_bytes(ns_tuple_writer *writer, ns_slice value,
                                                ns_tuple_order order);
/* NS_INVALID too if value is not UTF-8. Zero bytes are allowed. No normalisation. */
NS_API NS_MUST_USE ns_status ns_tuple_put_text(ns_tuple_writer *writer, ns_slice value,
                                               ns_tuple_order order);
NS_API NS_MUST_USE ns_status ns_tuple_put_uuid(ns_tuple_writer *writer, const uint8_t value[16],
                                               ns_tuple_order order);
NS_API NS_MUST_USE ns_status ns_tuple_put_time(ns_tuple_writer *writer, int64_t unix_us,
                                               ns_tuple_order order);

/* The range of all tuples that begin with the components written so far, that tuple itself
 * included: [*from_out, *to_out), as ns_cursor_bounds and ns_txn_del_range take it. For an empty
 * tuple that is every tuple. Needs one byte of room behind the tuple (NS_TOOBIG), which it
 * overwrites; so *to_out is one byte longer than the tuple, and must fit the limit of keys too.
 * Both slices point into the caller's bytes: valid until the writer is changed. */
NS_API NS_MUST_USE ns_status ns_tuple_writer_range(ns_tuple_writer *writer, ns_slice *from_out,
                                                   ns_slice *to_out);

/* ---- reading ------------------------------------------------------------------------------- */

/* Walks over the components of one tuple. The fields are for reading only. */
typedef struct ns_tuple_reader {
    const uint8_t *bytes;
    size_t size;
    size_t pos; /* where the next component begins */
} ns_tuple_reader;

/* Starts before the first component. tuple is borrowed as long as the reader is used. */
NS_API void ns_tuple_reader_init(ns_tuple_reader *reader, ns_slice tuple);

/* Which component comes next; does not move. NS_NOTFOUND at the end of the tuple; NS_CORRUPT if no
 * component begins with that byte. order_out may be NULL. */
NS_API NS_MUST_USE ns_status ns_tuple_peek(const ns_tuple_reader *reader, ns_tuple_type *type_out,
                                           ns_tuple_order *order_out);

/* Each reads the next component, of that type and of either order, and moves behind it. NS_NOTFOUND
 * at the end of the tuple; NS_INVALID if the component is of another type; NS_CORRUPT if it is not
 * what a writer writes. NS_TOOBIG: the integer does not fit int64_t or uint64_t (use the other
 * function), or scratch is too small. */
NS_API NS_MUST_USE ns_status ns_tuple_get_null(ns_tuple_reader *reader);
NS_API NS_MUST_USE ns_status ns_tuple_get_bool(ns_tuple_reader *reader, bool *value_out);
NS_API NS_MUST_USE ns_status ns_tuple_get_i64(ns_tuple_reader *reader, int64_t *value_out);
NS_API NS_MUST_USE ns_status ns_tuple_get_u64(ns_tuple_reader *reader, uint64_t *value_out);
NS_API NS_MUST_USE ns_status ns_tuple_get_double(ns_tuple_reader *reader, double *value_out);
/* *value_out points into the tuple if the value is stored as it is (ascending, no zero bytes), else
 * into scratch, which must not overlap the tuple. A scratch of the size of the tuple is always
 * enough; NULL with 0 is allowed. */
NS_API NS_MUST_USE ns_status ns_tuple_get_bytes(ns_tuple_reader *reader, void *scratch,
                                                size_t scratch_bytes, ns_slice *value_out);
NS_API NS_MUST_USE ns_status ns_tuple_get_text(ns_tuple_reader *reader, void *scratch,
                                               size_t scratch_bytes, ns_slice *value_out);
NS_API NS_MUST_USE ns_status ns_tuple_get_uuid(ns_tuple_reader *reader, uint8_t value_out[16]);
NS_API NS_MUST_USE ns_status ns_tuple_get_time(ns_tuple_reader *reader, int64_t *unix_us_out);

/* Moves behind the next component, whatever it is. NS_NOTFOUND at the end of the tuple;
 * NS_CORRUPT. */
NS_API NS_MUST_USE ns_status ns_tuple_skip(ns_tuple_reader *reader);

/* Checks a whole tuple and counts its components. NS_CORRUPT names the byte where the bad component
 * begins. */
NS_API NS_MUST_USE ns_status ns_tuple_check(ns_slice tuple, size_t *count_out);

#ifdef __cplusplus
}
#endif

#endif /* NORTHSTAR_TUPLE_H */
