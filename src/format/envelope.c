/* envelope.c: the framing of the log (FMT-21). */
#include "format/envelope.h"

#include "base/assert.h"
#include "format/fields.h"

#define ENVELOPE_AT(name, offset, size, text) ENVELOPE_##name = (offset),
enum { NS__ENVELOPE_FIELDS(ENVELOPE_AT) };

#define MAGIC "NSE1"
#define PAYLOAD_BYTES_MAX ((uint64_t)INT64_MAX - NS__ENVELOPE_BYTES)

/* The header without its checksum, then the payload. False if there are too many pieces. */
static bool checksum_of(const uint8_t uuid[NS__UUID_BYTES], uint64_t log_offset,
                        const uint8_t header[NS__ENVELOPE_BYTES],
                        const struct ns__hash_piece *payload, size_t piece_count,
                        uint64_t *checksum_out)
{
    *checksum_out = 0;
    NS_ASSERT(piece_count <= NS__ENVELOPE_PIECES_MAX);
    if (piece_count > NS__ENVELOPE_PIECES_MAX) return false;
    struct ns__hash_piece pieces[1 + NS__ENVELOPE_PIECES_MAX];
    pieces[0].data = header + ENVELOPE_MAGIC;
    pieces[0].size = NS__ENVELOPE_BYTES - ENVELOPE_MAGIC;
    if (piece_count > 0) memcpy(&pieces[1], payload, piece_count * sizeof *payload);
    uint64_t seed = ns__log_seed(uuid, log_offset);
    *checksum_out = ns__checksum64_pieces(pieces, 1 + piece_count, seed);
    return true;
}

static bool payload_fits(const struct ns__hash_piece *payload, size_t piece_count,
                         uint64_t payload_bytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < piece_count; i++) {
        if (__builtin_add_overflow(sum, payload[i].size, &sum)) return false;
    }
    return sum == payload_bytes;
}

void ns__envelope_encode(const uint8_t uuid[NS__UUID_BYTES], uint64_t log_offset,
                         const struct ns__envelope *envelope, const struct ns__hash_piece *payload,
                         size_t piece_count, uint8_t header_out[NS__ENVELOPE_BYTES])
{
    NS_ASSERT(payload_fits(payload, piece_count, envelope->payload_bytes));
    NS_ASSERT(log_offset % 8 == 0 && envelope->payload_bytes % 8 == 0);
    memcpy(header_out + ENVELOPE_MAGIC, MAGIC, sizeof MAGIC - 1);
    ns__store32(header_out + ENVELOPE_EPOCH, envelope->epoch);
    ns__store64(header_out + ENVELOPE_PAYLOAD_BYTES, envelope->payload_bytes);
    ns__store64(header_out + ENVELOPE_WATERMARK, envelope->watermark);
    uint64_t checksum;
    (void)checksum_of(uuid, log_offset, header_out, payload, piece_count, &checksum);
    ns__store64(header_out + ENVELOPE_CHECKSUM, checksum);
}

bool ns__envelope_peek(const uint8_t header[NS__ENVELOPE_BYTES], struct ns__envelope *envelope_out)
{
    memset(envelope_out, 0, sizeof *envelope_out);
    uint64_t payload_bytes = ns__load64(header + ENVELOPE_PAYLOAD_BYTES);
    if (memcmp(header + ENVELOPE_MAGIC, MAGIC, sizeof MAGIC - 1) != 0) return false;
    if (payload_bytes % 8 != 0 || payload_bytes > PAYLOAD_BYTES_MAX) return false;
    envelope_out->epoch = ns__load32(header + ENVELOPE_EPOCH);
    envelope_out->payload_bytes = payload_bytes;
    envelope_out->watermark = ns__load64(header + ENVELOPE_WATERMARK);
    return true;
}

bool ns__envelope_check(const uint8_t uuid[NS__UUID_BYTES], uint64_t log_offset,
                        const uint8_t header[NS__ENVELOPE_BYTES],
                        const struct ns__hash_piece *payload, size_t piece_count)
{
    struct ns__envelope envelope;
    if (!ns__envelope_peek(header, &envelope)) return false;
    if (!payload_fits(payload, piece_count, envelope.payload_bytes)) return false;
    uint64_t checksum;
    return checksum_of(uuid, log_offset, header, payload, piece_count, &checksum) &&
           checksum == ns__load64(header + ENVELOPE_CHECKSUM);
}
