/* reader.c: records in order, beside the appender and trim.
 *
 * What a reader reads may be trimmed, and its pages reused, at any moment. So nothing that fails is
 * believed before it is clear that the offset is still in the log: trimming changes the list before
 * it gives pages back, hence a reader that read something else finds the list changed. */
#include "log/log_internal.h"

void ns__log_reader_init(struct ns__log_reader *reader, struct ns__log *log, uint64_t offset)
{
    memset(reader, 0, sizeof *reader);
    reader->log = log;
    reader->next = offset;
    reader->envelope = offset;
    ns__log_window_init(&reader->window, log);
}

void ns__log_reader_deinit(struct ns__log_reader *reader)
{
    ns__log_window_deinit(&reader->window);
    memset(reader, 0, sizeof *reader);
}

/* Why there is no envelope at reader->next, although the limit says so; status: of the attempt. */
static ns_status explain(struct ns__log_reader *reader, ns_status status)
{
    unsigned long long offset = (unsigned long long)reader->next;
    uint64_t start = ns__log_start(reader->log);
    if (reader->next < start) {
        return ns__error(NS_GONE, "log offset %llu: no longer retained, the oldest is %llu", offset,
                         (unsigned long long)start);
    }
    if (status == NS_OK) {
        return ns__corrupt(UINT64_MAX, "log offset %llu: damaged envelope", offset);
    }
    if (status == NS_GONE) {
        return ns__corrupt(UINT64_MAX, "log offset %llu: not in the log", offset);
    }
    return status;
}

/* Moves on to the next envelope. NS_NOTFOUND: it does not end at or below limit. */
static ns_status read_envelope(struct ns__log_reader *reader, uint64_t limit)
{
    if (reader->next >= limit) return NS_NOTFOUND;
    struct ns__log_found found;
    reader->payload = NULL;
    reader->payload_bytes = 0;
    reader->consumed = 0;
    ns_status status = ns__log_window_find(&reader->window, reader->next, limit, &found);
    if (status != NS_OK) return explain(reader, status);
    if (found.kind == NS__LOG_FOUND_BEYOND && limit < ns__log_end(reader->log) &&
        reader->next >= ns__log_start(reader->log)) {
        return NS_NOTFOUND;
    }
    if (found.kind != NS__LOG_FOUND_VALID) return explain(reader, NS_OK);
    reader->envelope = reader->next;
    reader->next = found.next;
    reader->payload = found.payload;
    reader->payload_bytes = found.envelope.payload_bytes;
    return NS_OK;
}

ns_status ns__log_reader_next(struct ns__log_reader *reader, uint64_t limit,
                              struct ns__record *record_out, ns_slice *bytes_out)
{
    memset(record_out, 0, sizeof *record_out);
    *bytes_out = ns_bytes(NULL, 0);
    while (reader->consumed >= reader->payload_bytes) { /* empty envelopes are skipped */
        NS_TRY(read_envelope(reader, limit));
    }
    const uint8_t *bytes = reader->payload + reader->consumed;
    uint64_t left = reader->payload_bytes - reader->consumed;
    struct ns__record record;
    ns_status status = ns__record_decode(ns_bytes(bytes, (size_t)left), NULL, &record);
    if (status != NS_OK) {
        ns__error_prefix("log offset %llu", (unsigned long long)reader->envelope);
        return status;
    }
    *record_out = record;
    *bytes_out = ns_bytes(bytes, (size_t)record.size);
    reader->consumed += ns__record_padded(record.size); /* payloads are whole multiples of 8 */
    return NS_OK;
}
