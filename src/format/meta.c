/* meta.c: the meta page, 4096 bytes that name a root and everything needed to read it.
 *
 * Decoding trusts nothing. It goes from the outside in, so that each failure has the status that
 * helps most:
 *
 *   1. the magic: without it the file is not ours;
 *   2. the version: a newer one is said to be newer, even if its checksum is of a kind unknown
 *      here. A version that is newer only because its own bits are damaged is told apart: with our
 *      version in its place the checksum is right;
 *   3. the checksum;
 *   4. each field in itself, then the fields against one another (FMT-5, FMT-6, FMT-7, FMT-12).
 *
 * Invariant: a meta that decodes encodes to the same bytes, so nothing can hide in bytes that are
 * not looked at. What needs other pages (does the root exist? does the directory?) is left to
 * whoever reads them. */
#include "format/meta.h"

#include "base/assert.h"
#include "base/status.h"
#include "format/fields.h"

#define META_AT(name, offset, size, text) META_##name = (offset),
#define PLACE_AT(name, offset, size, text) PLACE_##name = (offset),
#define TREE_AT(name, offset, size, text) TREE_##name = (offset),
enum { NS__META_FIELDS(META_AT) };
enum { NS__PLACE_FIELDS(PLACE_AT) };
enum { NS__TREE_FIELDS(TREE_AT) };

#define MAGIC "NSTARDB\n"
#define HISTORY_FIRST 1u /* bounded */
#define HISTORY_LAST 3u  /* none */

static uint64_t checksum_of(const uint8_t bytes[NS__BLOCK_BYTES], uint32_t page)
{
    return ns__checksum64(bytes, META_CHECKSUM, page);
}

/* ---- bytes <-> struct ---- */

static void store_tree(uint8_t *out, const struct ns__tree *tree)
{
    ns__store64(out + TREE_REF, tree->ref);
    ns__store64(out + TREE_ENTRIES, tree->entries);
    ns__store64(out + TREE_PAGES, tree->pages);
    ns__store64(out + TREE_OVERFLOW_PAGES, tree->overflow_pages);
}

static void load_tree(const uint8_t *bytes, struct ns__tree *tree_out)
{
    tree_out->ref = ns__load64(bytes + TREE_REF);
    tree_out->entries = ns__load64(bytes + TREE_ENTRIES);
    tree_out->pages = ns__load64(bytes + TREE_PAGES);
    tree_out->overflow_pages = ns__load64(bytes + TREE_OVERFLOW_PAGES);
}

void ns__meta_encode(const struct ns__meta *meta, uint8_t out[NS__BLOCK_BYTES])
{
    NS_ASSERT(meta->region_count <= NS__REGIONS_MAX);
    memset(out, 0, NS__BLOCK_BYTES);
    memcpy(out + META_MAGIC, MAGIC, sizeof MAGIC - 1);
    ns__store32(out + META_VERSION, NS__FORMAT_VERSION);
    ns__store32(out + META_PAGE_SIZE, meta->page_size);
    memcpy(out + META_UUID, meta->uuid, NS__UUID_BYTES);
    ns__store64(out + META_SEQUENCE, meta->sequence);
    ns__store64(out + META_GENERATION, meta->generation);
    ns__store64(out + META_TXN_ID, meta->txn_id);
    ns__store64(out + META_UNIX_US, (uint64_t)meta->unix_us);
    memcpy(out + META_CHAIN, meta->chain, NS__CHAIN_BYTES);
    ns__store64(out + META_REPLAY, meta->log_replay);
    ns__store64(out + META_WATERMARK, meta->log_watermark);
    ns__store64(out + META_PAGE_COUNT, meta->page_count);
    store_tree(out + META_MAIN, &meta->main);
    store_tree(out + META_CATALOGUE, &meta->catalogue);
    ns__store64(out + META_KEYSPACES, meta->keyspaces);
    ns__store32(out + META_FLAGS, meta->flags);
    ns__store32(out + META_HISTORY, meta->history);
    ns__store64(out + META_HISTORY_TXNS, meta->history_txns);
    ns__store64(out + META_HISTORY_BYTES, meta->history_bytes);
    ns__store64(out + META_HISTORY_SECONDS, meta->history_seconds);
    ns__store64(out + META_CREATED_US, (uint64_t)meta->created_us);
    ns__store64(out + META_FLOOR_TXN, meta->floor_txn);
    memcpy(out + META_FLOOR_CHAIN, meta->floor_chain, NS__CHAIN_BYTES);
    ns__store64(out + META_FLOOR_LOG, meta->floor_log);
    ns__store32(out + META_REGION_COUNT, meta->region_count);
    for (uint32_t i = 0; i < meta->region_count && i < NS__REGIONS_MAX; i++) {
        uint8_t *region = out + META_REGIONS + (size_t)i * NS__PLACE_BYTES;
        ns__store32(region + PLACE_PLACE, meta->regions[i].place);
        ns__store64(region + PLACE_CHECKSUM, meta->regions[i].checksum);
    }
    ns__store64(out + META_CHECKSUM, checksum_of(out, (uint32_t)(meta->sequence % 2)));
}

static void load_meta(const uint8_t *bytes, struct ns__meta *meta_out)
{
    meta_out->page_size = ns__load32(bytes + META_PAGE_SIZE);
    memcpy(meta_out->uuid, bytes + META_UUID, NS__UUID_BYTES);
    meta_out->sequence = ns__load64(bytes + META_SEQUENCE);
    meta_out->generation = ns__load64(bytes + META_GENERATION);
    meta_out->txn_id = ns__load64(bytes + META_TXN_ID);
    meta_out->unix_us = (int64_t)ns__load64(bytes + META_UNIX_US);
    memcpy(meta_out->chain, bytes + META_CHAIN, NS__CHAIN_BYTES);
    meta_out->log_replay = ns__load64(bytes + META_REPLAY);
    meta_out->log_watermark = ns__load64(bytes + META_WATERMARK);
    meta_out->page_count = ns__load64(bytes + META_PAGE_COUNT);
    load_tree(bytes + META_MAIN, &meta_out->main);
    load_tree(bytes + META_CATALOGUE, &meta_out->catalogue);
    meta_out->keyspaces = ns__load64(bytes + META_KEYSPACES);
    meta_out->flags = ns__load32(bytes + META_FLAGS);
    meta_out->history = ns__load32(bytes + META_HISTORY);
    meta_out->history_txns = ns__load64(bytes + META_HISTORY_TXNS);
    meta_out->history_bytes = ns__load64(bytes + META_HISTORY_BYTES);
    meta_out->history_seconds = ns__load64(bytes + META_HISTORY_SECONDS);
    meta_out->created_us = (int64_t)ns__load64(bytes + META_CREATED_US);
    meta_out->floor_txn = ns__load64(bytes + META_FLOOR_TXN);
    memcpy(meta_out->floor_chain, bytes + META_FLOOR_CHAIN, NS__CHAIN_BYTES);
    meta_out->floor_log = ns__load64(bytes + META_FLOOR_LOG);
    meta_out->region_count = ns__load32(bytes + META_REGION_COUNT);
    for (uint32_t i = 0; i < meta_out->region_count && i < NS__REGIONS_MAX; i++) {
        const uint8_t *region = bytes + META_REGIONS + (size_t)i * NS__PLACE_BYTES;
        meta_out->regions[i].place = ns__load32(region + PLACE_PLACE);
        meta_out->regions[i].checksum = ns__load64(region + PLACE_CHECKSUM);
    }
}

/* ---- checks, from the outside in ---- */

/* Would the checksum be right if the version were ours? */
static bool version_is_damaged(const uint8_t bytes[NS__BLOCK_BYTES], uint32_t page)
{
    uint8_t ours[4];
    ns__store32(ours, NS__FORMAT_VERSION);
    const struct ns__hash_piece pieces[3] = {
        {bytes, META_VERSION},
        {ours, sizeof ours},
        {bytes + META_PAGE_SIZE, META_CHECKSUM - META_PAGE_SIZE},
    };
    return ns__checksum64_pieces(pieces, 3, page) == ns__load64(bytes + META_CHECKSUM);
}

static ns_status check_frame(const uint8_t bytes[NS__BLOCK_BYTES], uint32_t page)
{
    if (memcmp(bytes + META_MAGIC, MAGIC, sizeof MAGIC - 1) != 0) {
        return ns__error(NS_NOTADB, "page %u: meta: no magic", (unsigned)page);
    }
    uint32_t version = ns__load32(bytes + META_VERSION);
    if (version > NS__FORMAT_VERSION && !version_is_damaged(bytes, page)) {
        return ns__error(NS_VERSION, "page %u: meta: format version %u; this library reads %u",
                         (unsigned)page, (unsigned)version, NS__FORMAT_VERSION);
    }
    if (checksum_of(bytes, page) != ns__load64(bytes + META_CHECKSUM)) {
        return ns__corrupt(page, "meta: checksum mismatch");
    }
    if (version != NS__FORMAT_VERSION) {
        return ns__corrupt(page, "meta: format version %u", (unsigned)version);
    }
    return NS_OK;
}

#define COUNTER_MAX (UINT64_C(1) << 62)

static ns_status check_identity(const struct ns__meta *meta, uint32_t page, uint64_t file_bytes)
{
    if (!ns__page_size_ok(meta->page_size)) {
        return ns__corrupt(page, "meta: page size %u", (unsigned)meta->page_size);
    }
    if (meta->sequence == 0 || meta->sequence % 2 != page) {
        return ns__corrupt(page, "meta: sequence %llu does not belong here",
                           (unsigned long long)meta->sequence);
    }
    if (meta->generation == 0 || meta->generation >= COUNTER_MAX || meta->sequence >= COUNTER_MAX ||
        meta->txn_id >= COUNTER_MAX) {
        return ns__corrupt(page, "meta: a counter that no database reaches");
    }
    if (meta->page_count < NS__REGION_MAP_PAGE_0 ||
        meta->page_count > file_bytes / meta->page_size ||
        meta->page_count > ns__page_count_max(meta->page_size)) {
        return ns__corrupt(page, "meta: page count %llu in a file of %llu bytes",
                           (unsigned long long)meta->page_count, (unsigned long long)file_bytes);
    }
    if ((meta->flags & ~NS__META_FLAG_LOG_PADDED) != 0) {
        return ns__corrupt(page, "meta: flags 0x%x", (unsigned)meta->flags);
    }
    if (meta->history < HISTORY_FIRST || meta->history > HISTORY_LAST) {
        return ns__corrupt(page, "meta: history %u", (unsigned)meta->history);
    }
    return NS_OK;
}

static ns_status check_regions(const uint8_t *bytes, const struct ns__meta *meta, uint32_t page)
{
    if (meta->region_count > NS__REGIONS_MAX) { /* FMT-5 */
        return ns__corrupt(page, "meta: region count %u", (unsigned)meta->region_count);
    }
    for (uint32_t i = 0; i < meta->region_count; i++) {
        uint32_t place = meta->regions[i].place;
        if (place < 1 || place > 3) {
            return ns__corrupt(page, "meta: region %u: place %u", (unsigned)i, (unsigned)place);
        }
        if (ns__directory_page(meta->page_size, i, place) >= meta->page_count) {
            return ns__corrupt(page, "meta: region %u lies above the page count", (unsigned)i);
        }
    }
    size_t used = META_REGIONS + (size_t)meta->region_count * NS__PLACE_BYTES;
    if (!ns__is_zero(bytes + used, META_CHECKSUM - used)) {
        return ns__corrupt(page, "meta: unused region entries are not zero");
    }
    if (!ns__is_zero(bytes + META_RESERVED, META_REGIONS - META_RESERVED)) {
        return ns__corrupt(page, "meta: reserved bytes are not zero");
    }
    return NS_OK;
}

static ns_status check_tree(const struct ns__meta *meta, const struct ns__tree *tree, uint32_t page,
                            const char *name)
{
    if (tree->ref == NS__REF_NONE) {
        if (tree->entries == 0 && tree->pages == 0 && tree->overflow_pages == 0) return NS_OK;
        return ns__corrupt(page, "meta: %s: an empty tree with entries or pages", name);
    }
    uint64_t number = ns__ref_number(tree->ref);
    if (ns__ref_is_frame(tree->ref) || number >= meta->page_count ||
        ns__page_is_fixed(meta->page_size, number) ||
        ns__region_of_range(meta->page_size, number / ns__range_pages(meta->page_size)) >=
            meta->region_count) {
        return ns__corrupt(page, "meta: %s: reference 0x%llx", name, (unsigned long long)tree->ref);
    }
    uint64_t pages;
    if (tree->pages == 0 || __builtin_add_overflow(tree->pages, tree->overflow_pages, &pages) ||
        pages > meta->page_count) {
        return ns__corrupt(page, "meta: %s: pages", name);
    }
    if (tree->entries / meta->page_size > tree->pages) {
        return ns__corrupt(page, "meta: %s: more entries than fit its pages", name);
    }
    return NS_OK;
}

static ns_status check_trees(const struct ns__meta *meta, uint32_t page)
{
    NS_TRY(check_tree(meta, &meta->main, page, "tree of keyspace 0"));
    NS_TRY(check_tree(meta, &meta->catalogue, page, "catalogue tree"));
    /* FMT-12: an entry by id and one by name, no values in runs. */
    if (meta->catalogue.entries / 2 != meta->keyspaces || meta->catalogue.entries % 2 != 0 ||
        meta->catalogue.overflow_pages != 0) {
        return ns__corrupt(page, "meta: number of named keyspaces differs from the catalogue");
    }
    if (meta->txn_id == 0 &&
        (meta->main.ref != NS__REF_NONE || meta->catalogue.ref != NS__REF_NONE ||
         !ns__is_zero(meta->chain, NS__CHAIN_BYTES))) {
        return ns__corrupt(page, "meta: content without a transaction");
    }
    return NS_OK;
}

static ns_status check_log(const struct ns__meta *meta, uint32_t page)
{
    if (meta->log_replay % 8 != 0) { /* FMT-21 */
        return ns__corrupt(page, "meta: replay %llu", (unsigned long long)meta->log_replay);
    }
    if (meta->log_watermark < meta->log_replay) {
        return ns__corrupt(page, "meta: watermark %llu below replay %llu",
                           (unsigned long long)meta->log_watermark,
                           (unsigned long long)meta->log_replay);
    }
    if (meta->floor_txn > meta->txn_id || meta->floor_log > meta->log_replay) {
        return ns__corrupt(page, "meta: floor %llu lies after the root",
                           (unsigned long long)meta->floor_txn);
    }
    if (meta->floor_txn == 0 &&
        (meta->floor_log != 0 || !ns__is_zero(meta->floor_chain, NS__CHAIN_BYTES))) {
        return ns__corrupt(page, "meta: floor 0 with a chain value or log offset");
    }
    return NS_OK;
}

static ns_status check_meta(const uint8_t *bytes, const struct ns__meta *meta, uint32_t page,
                            uint64_t file_bytes)
{
    NS_TRY(check_identity(meta, page, file_bytes));
    NS_TRY(check_regions(bytes, meta, page));
    NS_TRY(check_trees(meta, page));
    return check_log(meta, page);
}

ns_status ns__meta_decode(const uint8_t bytes[NS__BLOCK_BYTES], uint32_t page, uint64_t file_bytes,
                          struct ns__meta *meta_out)
{
    memset(meta_out, 0, sizeof *meta_out);
    NS_TRY(check_frame(bytes, page));
    load_meta(bytes, meta_out);
    ns_status status = check_meta(bytes, meta_out, page, file_bytes);
    if (status != NS_OK) memset(meta_out, 0, sizeof *meta_out);
    return status;
}

/* ---- which one rules ---- */

int ns__meta_choose(const ns_status status[2], const struct ns__meta meta[2])
{
    /* A newer library has written the other meta: the one that we could read is not in force. */
    if (status[0] == NS_VERSION || status[1] == NS_VERSION) return -1;
    if (status[0] != NS_OK && status[1] != NS_OK) return -1;
    if (status[1] != NS_OK) return 0;
    if (status[0] != NS_OK) return 1;
    if (memcmp(meta[0].uuid, meta[1].uuid, NS__UUID_BYTES) != 0) return -1;
    if (meta[0].page_size != meta[1].page_size) return -1;
    int newest = meta[0].sequence > meta[1].sequence ? 0 : 1;
    const struct ns__meta *older = &meta[1 - newest];
    bool are_neighbours = meta[newest].sequence == older->sequence + 1 &&
                          meta[newest].generation >= older->generation &&
                          meta[newest].txn_id >= older->txn_id;
    return are_neighbours ? newest : -1;
}
