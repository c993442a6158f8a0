/* record.h: the canonical commit record and its body (spec/file_format_v0.md, "Records"). Pure. */
#ifndef NS_FORMAT_RECORD_H
#define NS_FORMAT_RECORD_H

#include <northstar/log.h>
#include "format/layout.h"

#define NS__RECORD_BYTES 80u

struct ns__record {
    uint64_t size; /* whole record */
    uint64_t txn_id;
    int64_t unix_us;
    uint64_t op_count;
    uint8_t chain[NS__CHAIN_BYTES];
    ns_slice note, body; /* views */
};

static inline uint64_t ns__record_padded(uint64_t size)
{
    return (size + 7) & ~UINT64_C(7);
}

/* Writes the 80 header bytes of a record with this id, time, op_count, note and body, computes the
 * chain value from previous, stores it in the header and in record->chain, sets record->size. */
void ns__record_encode(struct ns__record *record, const uint8_t previous[NS__CHAIN_BYTES],
                       uint8_t header_out[NS__RECORD_BYTES]);

/* Is the chain value that the record carries the one that follows from previous? */
bool ns__record_continues(const struct ns__record *record, const uint8_t previous[NS__CHAIN_BYTES]);

/* Parses the record at the start of bytes (which may go on behind it). Views point into bytes.
 * previous NULL: the chain is not checked. Checks sizes and magic, not the body. NS_OK or
 * NS_CORRUPT (detail set). */
ns_status ns__record_decode(ns_slice bytes, const uint8_t *previous, struct ns__record *record_out);

/* ---- bodies ---- */

/* Bytes of one operation. */
size_t ns__op_size(const struct ns_op *op);
/* Writes it; returns the bytes written. */
size_t ns__op_encode(const struct ns_op *op, uint8_t *out);
/* Reads the operation at *pos and advances. NS_NOTFOUND at the end, NS_CORRUPT. Checks each
 * operation in itself. */
ns_status ns__op_decode(ns_slice body, size_t *pos, struct ns_op *op_out);
/* Checks the whole of FMT-26 and FMT-27 and counts. key_max: ns__key_bytes_max() of the target; it
 * holds for keys and for both ends of ranges. NS_OK, NS_CORRUPT, NS_TOOBIG. */
ns_status ns__body_check(ns_slice body, uint32_t key_max, uint64_t *op_count_out);

#endif
