/* record.c: commit records and their bodies: the canonical form of what a transaction changed.
 *
 * Terms. A *record* is a header of 80 bytes, a note and a body. A *body* is a sequence of
 * operations. The *chain value* of a record binds it and all before it (FMT-25).
 *
 * Canonical means that equal changes have equal bytes, so that records and chains can be compared
 * as bytes:
 *   R1  every operation has one encoding: varints are minimal, sizes are those of the bytes;
 *   R2  operations have one order (FMT-27), so each body is the only one for its set of changes;
 *   R3  what is not canonical is refused, not repaired: decode(b) = x implies encode(x) = b.
 *
 * Checking a body takes one pass and no memory. Neighbours decide the order; a second cursor over
 * the ranges of the keyspace, which only moves forward, finds a delete that lies in a range.
 *
 * Left to others: whether a keyspace exists, whether the id and the chain continue the database. */
#include "format/record.h"

#include "base/assert.h"
#include "base/status.h"
#include "format/fields.h"

#define RECORD_AT(name, offset, size, text) RECORD_##name = (offset),
enum { NS__RECORD_FIELDS(RECORD_AT) };

#define MAGIC "NSR1"
#define NO_PAGE UINT64_MAX
#define OP_BYTES_MIN 4u /* kind, keyspace, key size, and a byte of key or a value size */

/* ---- chain ---- */

static void store_hash(uint8_t out[16], struct ns__hash128 hash)
{
    ns__store64(out, hash.low);
    ns__store64(out + 8, hash.high);
}

static void chain_of(const uint8_t *header, ns_slice note, ns_slice body,
                     const uint8_t previous[NS__CHAIN_BYTES], uint8_t chain_out[NS__CHAIN_BYTES])
{
    const struct ns__hash_piece pieces[3] = {
        {header, RECORD_CHAIN}, {note.data, note.size}, {body.data, body.size}};
    uint8_t link[NS__CHAIN_BYTES + 16];
    memcpy(link, previous, NS__CHAIN_BYTES);
    store_hash(link + NS__CHAIN_BYTES, ns__hash128_pieces(pieces, 3, 0));
    store_hash(chain_out, ns__hash128(link, sizeof link, 1));
    store_hash(chain_out + 16, ns__hash128(link, sizeof link, 2));
}

/* ---- records ---- */

void ns__record_encode(struct ns__record *record, const uint8_t previous[NS__CHAIN_BYTES],
                       uint8_t header_out[NS__RECORD_BYTES])
{
    NS_ASSERT(record->note.size <= NS__NOTE_BYTES_MAX);
    record->size = NS__RECORD_BYTES + (uint64_t)record->note.size + record->body.size;
    memset(header_out, 0, NS__RECORD_BYTES);
    memcpy(header_out + RECORD_MAGIC, MAGIC, sizeof MAGIC - 1);
    ns__store64(header_out + RECORD_SIZE, record->size);
    ns__store64(header_out + RECORD_TXN_ID, record->txn_id);
    ns__store64(header_out + RECORD_UNIX_US, (uint64_t)record->unix_us);
    ns__store64(header_out + RECORD_OP_COUNT, record->op_count);
    ns__store32(header_out + RECORD_NOTE_BYTES, (uint32_t)record->note.size);
    chain_of(header_out, record->note, record->body, previous, record->chain);
    memcpy(header_out + RECORD_CHAIN, record->chain, NS__CHAIN_BYTES);
}

static ns_status check_header(const uint8_t *header, size_t available)
{
    if (available < NS__RECORD_BYTES) {
        return ns__corrupt(NO_PAGE, "record: cut off after %zu bytes", available);
    }
    if (memcmp(header + RECORD_MAGIC, MAGIC, sizeof MAGIC - 1) != 0) {
        return ns__corrupt(NO_PAGE, "record: no magic");
    }
    if (ns__load32(header + RECORD_RESERVED_1) != 0 ||
        ns__load32(header + RECORD_RESERVED_2) != 0) {
        return ns__corrupt(NO_PAGE, "record: reserved bytes are not zero");
    }
    uint64_t size = ns__load64(header + RECORD_SIZE);
    uint32_t note_bytes = ns__load32(header + RECORD_NOTE_BYTES);
    if (size < NS__RECORD_BYTES || size > available) {
        return ns__corrupt(NO_PAGE, "record: size %llu, of which %zu bytes are there",
                           (unsigned long long)size, available);
    }
    if (note_bytes > NS__NOTE_BYTES_MAX || note_bytes > size - NS__RECORD_BYTES) {
        return ns__corrupt(NO_PAGE, "record: note size %u", (unsigned)note_bytes);
    }
    if (ns__load64(header + RECORD_TXN_ID) == 0) {
        return ns__corrupt(NO_PAGE, "record: transaction id 0");
    }
    uint64_t op_count = ns__load64(header + RECORD_OP_COUNT);
    uint64_t body_bytes = size - NS__RECORD_BYTES - note_bytes;
    if (op_count > body_bytes / OP_BYTES_MIN || (op_count == 0 && body_bytes > 0)) {
        return ns__corrupt(NO_PAGE, "record: number of operations %llu in %llu bytes",
                           (unsigned long long)op_count, (unsigned long long)body_bytes);
    }
    return NS_OK;
}

bool ns__record_continues(const struct ns__record *record, const uint8_t previous[NS__CHAIN_BYTES])
{
    struct ns__record again = *record;
    uint8_t header[NS__RECORD_BYTES];
    ns__record_encode(&again, previous, header);
    return memcmp(again.chain, record->chain, sizeof again.chain) == 0;
}

ns_status ns__record_decode(ns_slice bytes, const uint8_t *previous, struct ns__record *record_out)
{
    memset(record_out, 0, sizeof *record_out);
    const uint8_t *header = bytes.data;
    NS_TRY(check_header(header, bytes.size));
    size_t size = (size_t)ns__load64(header + RECORD_SIZE);
    size_t note_bytes = ns__load32(header + RECORD_NOTE_BYTES);
    ns_slice note = ns_bytes(header + NS__RECORD_BYTES, note_bytes);
    ns_slice body =
        ns_bytes(header + NS__RECORD_BYTES + note_bytes, size - NS__RECORD_BYTES - note_bytes);
    if (previous != NULL) {
        uint8_t chain[NS__CHAIN_BYTES];
        chain_of(header, note, body, previous, chain);
        if (memcmp(chain, header + RECORD_CHAIN, NS__CHAIN_BYTES) != 0) {
            return ns__corrupt(NO_PAGE, "record of transaction %llu: chain value mismatch",
                               (unsigned long long)ns__load64(header + RECORD_TXN_ID));
        }
    }
    record_out->size = size;
    record_out->txn_id = ns__load64(header + RECORD_TXN_ID);
    record_out->unix_us = (int64_t)ns__load64(header + RECORD_UNIX_US);
    record_out->op_count = ns__load64(header + RECORD_OP_COUNT);
    memcpy(record_out->chain, header + RECORD_CHAIN, NS__CHAIN_BYTES);
    record_out->note = note;
    record_out->body = body;
    return NS_OK;
}

/* ---- operations (FMT-26) ---- */

static bool has_value(ns_op_kind kind)
{
    return kind == NS_OP_PUT || kind == NS_OP_DEL_RANGE;
}

size_t ns__op_size(const struct ns_op *op)
{
    size_t size = 1 + ns__varint_size(op->keyspace) + ns__varint_size(op->key.size) + op->key.size;
    if (has_value(op->kind)) size += ns__varint_size(op->value.size) + op->value.size;
    return size;
}

static size_t store_slice(uint8_t *out, ns_slice slice)
{
    size_t used = ns__varint_store(out, slice.size);
    if (slice.size > 0) memcpy(out + used, slice.data, slice.size);
    return used + slice.size;
}

size_t ns__op_encode(const struct ns_op *op, uint8_t *out)
{
    NS_ASSERT(op->kind >= NS_OP_PUT && op->kind <= NS_OP_KEYSPACE_DROP);
    size_t used = 0;
    out[used++] = (uint8_t)op->kind;
    used += ns__varint_store(out + used, op->keyspace);
    used += store_slice(out + used, op->key);
    if (has_value(op->kind)) used += store_slice(out + used, op->value);
    return used;
}

static bool load_varint(ns_slice body, size_t *pos, uint64_t *v_out)
{
    size_t used = ns__varint_load((const uint8_t *)body.data + *pos, body.size - *pos, v_out);
    *pos += used;
    return used > 0;
}

static bool load_slice(ns_slice body, size_t *pos, uint64_t size_max, ns_slice *slice_out)
{
    uint64_t size;
    if (!load_varint(body, pos, &size) || size > size_max || size > body.size - *pos) return false;
    *slice_out = ns_bytes((const uint8_t *)body.data + *pos, (size_t)size);
    *pos += (size_t)size;
    return true;
}

/* Is this operation possible, whatever stands around it (FMT-13, FMT-26, FMT-27)? */
static const char *find_fault(const struct ns_op *op)
{
    switch (op->kind) {
    case NS_OP_PUT:
    case NS_OP_DEL: return op->key.size == 0 ? "empty key" : NULL;
    case NS_OP_DEL_RANGE:
        if (op->value.size == 0) return NULL;
        return ns__slice_compare(op->key, op->value) >= 0 ? "empty range" : NULL;
    default:
        if (op->keyspace == NS_MAIN) return "keyspace 0 is neither created nor dropped";
        if (op->key.size == 0 || op->key.size > NS__NAME_BYTES_MAX) return "name size";
        return memchr(op->key.data, 0, op->key.size) != NULL ? "zero byte in a name" : NULL;
    }
}

static ns_status bad_op(size_t pos, const char *fault)
{
    return ns__corrupt(NO_PAGE, "record body: operation at byte %zu: %s", pos, fault);
}

ns_status ns__op_decode(ns_slice body, size_t *pos, struct ns_op *op_out)
{
    memset(op_out, 0, sizeof *op_out);
    if (*pos == body.size) return NS_NOTFOUND;
    if (*pos > body.size) return bad_op(*pos, "behind the end");
    struct ns_op op = {0};
    size_t at = *pos;
    op.kind = ((const uint8_t *)body.data)[at++];
    if (op.kind < NS_OP_PUT || op.kind > NS_OP_KEYSPACE_DROP) return bad_op(*pos, "kind");
    uint64_t keyspace;
    if (!load_varint(body, &at, &keyspace) || keyspace > UINT32_MAX)
        return bad_op(*pos, "keyspace");
    op.keyspace = (ns_keyspace)keyspace;
    if (!load_slice(body, &at, SIZE_MAX, &op.key)) return bad_op(*pos, "key size");
    if (has_value(op.kind) && !load_slice(body, &at, NS__VALUE_BYTES_MAX, &op.value)) {
        return bad_op(*pos, "value size");
    }
    const char *fault = find_fault(&op);
    if (fault != NULL) return bad_op(*pos, fault);
    *op_out = op;
    *pos = at;
    return NS_OK;
}

/* ---- bodies (FMT-27) ---- */

/* Drops, then creates, then changes. */
static int phase_of(const struct ns_op *op)
{
    if (op->kind == NS_OP_KEYSPACE_DROP) return 0;
    return op->kind == NS_OP_KEYSPACE_CREATE ? 1 : 2;
}

/* May b directly follow a? */
static bool ops_are_ordered(const struct ns_op *a, const struct ns_op *b)
{
    if (phase_of(a) != phase_of(b)) return phase_of(a) < phase_of(b);
    if (a->keyspace != b->keyspace) return a->keyspace < b->keyspace;
    if (phase_of(a) != 2) return false;
    bool a_is_range = a->kind == NS_OP_DEL_RANGE;
    bool b_is_range = b->kind == NS_OP_DEL_RANGE;
    if (a_is_range && b_is_range) {
        return a->value.size > 0 && ns__slice_compare(a->value, b->key) < 0;
    }
    if (a_is_range || b_is_range) return a_is_range;
    return ns__slice_compare(a->key, b->key) < 0;
}

/* The range that ends behind the last key asked for, and where the following ones begin. */
struct range_cursor {
    bool valid;
    struct ns_op range;
    size_t next_pos;
};

static void advance_range(struct range_cursor *ranges, ns_slice body)
{
    struct ns_op op;
    ns_keyspace keyspace = ranges->range.keyspace;
    ranges->valid = ns__op_decode(body, &ranges->next_pos, &op) == NS_OK &&
                    op.kind == NS_OP_DEL_RANGE && op.keyspace == keyspace;
    if (ranges->valid) ranges->range = op;
}

/* Keys are asked for in order. */
static bool range_covers(struct range_cursor *ranges, ns_slice body, ns_slice key)
{
    while (ranges->valid && ranges->range.value.size > 0 &&
           ns__slice_compare(ranges->range.value, key) <= 0) {
        advance_range(ranges, body);
    }
    return ranges->valid && ns__slice_compare(ranges->range.key, key) <= 0;
}

static bool keys_fit(const struct ns_op *op, uint32_t key_max)
{
    if (phase_of(op) != 2) return true;
    return op->key.size <= key_max && (op->kind == NS_OP_PUT || op->value.size <= key_max);
}

ns_status ns__body_check(ns_slice body, uint32_t key_max, uint64_t *op_count_out)
{
    *op_count_out = 0;
    struct ns_op last = {0}, op;
    struct range_cursor ranges = {0};
    uint64_t count = 0;
    for (size_t pos = 0; pos < body.size; last = op, count++) {
        size_t at = pos;
        NS_TRY(ns__op_decode(body, &pos, &op));
        if (count > 0 && !ops_are_ordered(&last, &op)) return bad_op(at, "out of order");
        if (!keys_fit(&op, key_max)) {
            return ns__error(NS_TOOBIG, "record body: operation at byte %zu: key of over %u bytes",
                             at, (unsigned)key_max);
        }
        if (count == 0 || op.keyspace != last.keyspace || phase_of(&last) != 2) {
            ranges.valid = op.kind == NS_OP_DEL_RANGE;
            ranges.range = op;
            ranges.next_pos = pos;
        }
        if (op.kind == NS_OP_DEL && range_covers(&ranges, body, op.key)) {
            return bad_op(at, "a delete in a deleted range");
        }
    }
    *op_count_out = count;
    return NS_OK;
}

/* ---- northstar/log.h ---- */

ns_status ns_commit_next_op(const struct ns_commit *commit, size_t *pos, struct ns_op *op_out)
{
    if (op_out != NULL) memset(op_out, 0, sizeof *op_out);
    if (commit == NULL || pos == NULL || op_out == NULL) {
        return ns__error(NS_INVALID, "ns_commit_next_op: an argument is NULL");
    }
    struct ns__record record;
    NS_TRY(ns__record_decode(commit->bytes, NULL, &record));
    return ns__op_decode(record.body, pos, op_out);
}

/* Another digit in the magic is another version of the format. */
static bool is_newer(ns_slice bytes)
{
    const uint8_t *magic = bytes.data;
    return bytes.size >= NS__RECORD_BYTES && memcmp(magic, MAGIC, 3) == 0 && magic[3] > '1' &&
           magic[3] <= '9';
}

ns_status ns_commit_parse(ns_slice record_bytes, struct ns_commit *commit_out)
{
    if (commit_out == NULL || (record_bytes.data == NULL && record_bytes.size > 0)) {
        return ns__error(NS_INVALID, "ns_commit_parse: an argument is NULL");
    }
    memset(commit_out, 0, sizeof *commit_out);
    if (is_newer(record_bytes)) {
        return ns__error(NS_VERSION, "record: written by a newer format version");
    }
    struct ns__record record;
    NS_TRY(ns__record_decode(record_bytes, NULL, &record));
    if (record.size != record_bytes.size) {
        return ns__corrupt(NO_PAGE, "record: %zu bytes follow it",
                           record_bytes.size - (size_t)record.size);
    }
    uint64_t op_count;
    ns_status status = ns__body_check(record.body, ns__key_bytes_max(NS__PAGE_SIZE_MAX), &op_count);
    if (status == NS_TOOBIG) return ns__corrupt(NO_PAGE, "record: a key that fits no page size");
    if (status != NS_OK) return status;
    if (op_count != record.op_count) {
        return ns__corrupt(NO_PAGE, "record: number of operations: %llu stated, %llu found",
                           (unsigned long long)record.op_count, (unsigned long long)op_count);
    }
    commit_out->txn_id = record.txn_id;
    commit_out->unix_us = record.unix_us;
    commit_out->op_count = record.op_count;
    memcpy(commit_out->chain, record.chain, NS__CHAIN_BYTES);
    commit_out->note = record.note;
    commit_out->bytes = record_bytes;
    return NS_OK;
}
