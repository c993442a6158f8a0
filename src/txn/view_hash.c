/* view_hash.c: the state hash of what a view shows (FMT-28): a sum, so that neither order nor
 * history matters. */
#include "base/checksum.h"
#include "txn/view.h"

#define ENTRY_SEED 3u
#define KEYSPACE_SEED 4u

struct summing {
    struct ns__view *view;
    struct ns__alloc *alloc;
    struct ns__hash128 sum;
    ns_status status;
};

static void add(struct ns__hash128 *sum, struct ns__hash128 term)
{
    sum->low += term.low;
    sum->high += term.high + (sum->low < term.low);
}

static ns_status sum_entries(struct summing *summing, ns_slice name, struct ns__view_cursor *cursor)
{
    uint8_t name_bytes[4], key_bytes[4];
    ns__store32(name_bytes, (uint32_t)name.size);
    ns_status status;
    while ((status = ns__view_cursor_next(cursor)) == NS_OK) {
        ns_slice key, value;
        NS_TRY(ns__view_cursor_get(cursor, &key, &value));
        ns__store32(key_bytes, (uint32_t)key.size);
        const struct ns__hash_piece pieces[] = {
            {name_bytes, sizeof name_bytes}, {name.data, name.size},
            {key_bytes, sizeof key_bytes},   {key.data, key.size},
            {value.data, value.size},
        };
        add(&summing->sum, ns__hash128_pieces(pieces, 5, ENTRY_SEED));
    }
    return status == NS_NOTFOUND ? NS_OK : status;
}

static int sum_keyspace(void *ctx, ns_slice name, ns_keyspace keyspace)
{
    struct summing *summing = ctx;
    struct ns__view_cursor *cursor;
    ns_status status = ns__view_cursor_new(summing->view, keyspace, summing->alloc, &cursor);
    if (status == NS_NOTFOUND) {
        status = ns__corrupt(UINT64_MAX, "catalogue: keyspace %u has a name and no entry",
                             (unsigned)keyspace);
    }
    if (status == NS_OK) status = sum_entries(summing, name, cursor);
    ns__view_cursor_free(cursor);
    if (keyspace != NS_MAIN) {
        add(&summing->sum, ns__hash128(name.data, name.size, KEYSPACE_SEED));
    }
    summing->status = status;
    return status != NS_OK;
}

ns_status ns__view_state_hash(struct ns__view *view, struct ns__alloc *alloc, uint8_t hash_out[16])
{
    struct summing summing = {.view = view, .alloc = alloc};
    memset(hash_out, 0, 16);
    if (sum_keyspace(&summing, ns_bytes("", 0), NS_MAIN) != 0) return summing.status;
    NS_TRY(ns__view_each_keyspace(view, alloc, sum_keyspace, &summing));
    NS_TRY(summing.status);
    ns__store64(hash_out, summing.sum.low);
    ns__store64(hash_out + 8, summing.sum.high);
    return NS_OK;
}
