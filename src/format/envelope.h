/* envelope.h: the framing of the log (spec/file_format_v0.md, "Envelopes"). Pure. */
#ifndef NS_FORMAT_ENVELOPE_H
#define NS_FORMAT_ENVELOPE_H

#include "format/layout.h"

#define NS__ENVELOPE_BYTES 32u
#define NS__ENVELOPE_PIECES_MAX 1000u /* of a payload; what one vectored write can take */

struct ns__envelope {
    uint32_t epoch;
    uint64_t payload_bytes;
    uint64_t watermark;
};

/* Fills the 32 header bytes for an envelope at log_offset whose payload is the pieces, in order: at
 * most NS__ENVELOPE_PIECES_MAX of them, envelope->payload_bytes together. */
void ns__envelope_encode(const uint8_t uuid[NS__UUID_BYTES], uint64_t log_offset,
                         const struct ns__envelope *envelope, const struct ns__hash_piece *payload,
                         size_t piece_count, uint8_t header_out[NS__ENVELOPE_BYTES]);

/* Looks at a header alone, not at its checksum: false if it cannot be one (magic, sizes). */
bool ns__envelope_peek(const uint8_t header[NS__ENVELOPE_BYTES], struct ns__envelope *envelope_out);

/* Is the checksum right? pieces cover the payload. */
bool ns__envelope_check(const uint8_t uuid[NS__UUID_BYTES], uint64_t log_offset,
                        const uint8_t header[NS__ENVELOPE_BYTES],
                        const struct ns__hash_piece *payload, size_t piece_count);

#endif
