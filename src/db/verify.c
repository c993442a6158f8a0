/* verify.c: every law of a file that nobody has open.
 *
 * The file is opened privately (what recovery writes stays in memory), so a file that a crash left
 * is checked as the next open would find it, and nothing is changed. For each valid meta: its
 * trees, and that the space maps that it names hold exactly the pages that its root reaches, none
 * of them twice, none of them the log's. Then the log: every record from the floor to the end, its
 * chain and ids, against the metas. Then the root that recovery arrived at. */
#include <stdarg.h>
#include <stdio.h>
#include "db/db.h"
#include "format/spacemap.h"
#include "txn/catalogue.h"

struct verify {
    ns_db *db;
    ns_verify_fn report;
    void *ctx;
    ns_status worst;
    uint64_t page_count; /* bits in reached */
    uint64_t *reached;
    uint64_t pages, runs, records, entries;
};

static void say(struct verify *verify, ns_status status, uint64_t page, const char *text)
{
    if (status != NS_OK && verify->worst == NS_OK) verify->worst = status;
    if (verify->report == NULL) return;
    struct ns_finding finding = {.status = status, .page = page, .text = text};
    verify->report(verify->ctx, &finding);
}

/* Reports a failed step; goes on. The detail of the first one stays for the caller. */
static void note(struct verify *verify, ns_status status, const char *what)
{
    if (status == NS_OK) return;
    if (status != NS_CORRUPT || what != NULL) ns__error_prefix("%s", what);
    char text[NS__ERROR_DETAIL_BYTES];
    snprintf(text, sizeof text, "%s", ns_error_detail());
    say(verify, status, UINT64_MAX, text);
}

/* ---- trees ---- */

static ns_status reach(void *ctx, uint64_t ref_or_page, uint64_t pages, bool is_run)
{
    struct verify *verify = ctx;
    if (!is_run && ns__ref_is_frame(ref_or_page)) return NS_OK;
    uint64_t first = is_run ? ref_or_page : ns__ref_number(ref_or_page);
    for (uint64_t page = first; page < first + pages; page++) {
        if (page >= verify->page_count) return ns__corrupt(page, "lies beyond the end of the file");
        uint64_t bit = UINT64_C(1) << (page & 63);
        if ((verify->reached[page >> 6] & bit) != 0) {
            return ns__corrupt(page, "is reached twice");
        }
        if (ns__page_is_fixed(verify->db->pager->file.page_size, page)) {
            return ns__corrupt(page, "is a meta or map page, but a tree reaches it");
        }
        verify->reached[page >> 6] |= bit;
        verify->pages++;
    }
    verify->runs += is_run;
    return NS_OK;
}

static ns_status check_keyspaces(struct verify *verify, const struct ns__tree *catalogue,
                                 uint64_t generation, uint64_t *named_out)
{
    ns_db *db = verify->db;
    struct ns__btree_cursor cursor;
    *named_out = 0;
    NS_TRY(ns__btree_cursor_init(&cursor, &db->pager->pages, catalogue, &db->alloc));
    ns_status status = ns__btree_cursor_seek(&cursor, ns_str("i"));
    while (status == NS_OK) {
        ns_slice key = ns__btree_cursor_key(&cursor), value, name;
        if (key.size != NS__CATALOGUE_ID_KEY_BYTES || ((const uint8_t *)key.data)[0] != 'i') break;
        ns_keyspace id = ns__load32_be((const uint8_t *)key.data + 1), found = 0;
        uint64_t ref;
        struct ns__tree tree;
        status = ns__btree_cursor_entry(&cursor, &value, NULL, &ref);
        if (status == NS_OK) status = ns__catalogue_value_decode(value, ref, &tree, &name);
        if (status == NS_OK)
            status = ns__catalogue_find(&db->pager->pages, catalogue, name, &found);
        if (status == NS_NOTFOUND || (status == NS_OK && found != id)) {
            status = ns__corrupt(UINT64_MAX, "keyspace %u is not found by its name", id);
        }
        if (status == NS_OK) {
            status = ns__btree_check(&db->pager->pages, &tree, false, generation, &db->alloc, reach,
                                     verify);
            verify->entries += tree.entries;
        }
        (*named_out)++;
        if (status == NS_OK) status = ns__btree_cursor_next(&cursor);
    }
    ns__btree_cursor_deinit(&cursor);
    return status == NS_NOTFOUND ? NS_OK : status;
}

static ns_status check_trees(struct verify *verify, const struct ns__tree *main,
                             const struct ns__tree *catalogue, uint64_t keyspaces,
                             uint64_t generation)
{
    ns_db *db = verify->db;
    memset(verify->reached, 0, verify->page_count / 8 + 8);
    verify->pages = verify->runs = 0;
    verify->entries = main->entries;
    NS_TRY(ns__btree_check(&db->pager->pages, main, false, generation, &db->alloc, reach, verify));
    NS_TRY(
        ns__btree_check(&db->pager->pages, catalogue, true, generation, &db->alloc, reach, verify));
    uint64_t named;
    NS_TRY(check_keyspaces(verify, catalogue, generation, &named));
    if (named != keyspaces) {
        return ns__error(NS_CORRUPT, "%llu keyspaces where the root counts %llu",
                         (unsigned long long)named, (unsigned long long)keyspaces);
    }
    return NS_OK;
}

/* ---- space maps ---- */

static ns_status compare_bits(struct verify *verify, uint64_t range, const uint8_t *bits)
{
    uint64_t pages = ns__range_pages(verify->db->pager->file.page_size); /* a multiple of 64 */
    for (uint64_t i = 0; i < pages; i += 64) {
        uint64_t first = range * pages + i;
        uint64_t in_map = ns__load64(bits + i / 8);
        uint64_t reached = first < verify->page_count ? verify->reached[first >> 6] : 0;
        uint64_t differ = in_map ^ reached;
        if (differ == 0) continue;
        unsigned bit = (unsigned)__builtin_ctzll(differ);
        return ns__corrupt(first + bit, (in_map >> bit & 1) != 0
                                            ? "is in use in the space map, but nothing reaches it"
                                            : "is reached, but the space map says that it is free");
    }
    return NS_OK;
}

static ns_status check_range(struct verify *verify, uint64_t range,
                             const struct ns__region_entry *entry, uint8_t *page_buffer,
                             uint8_t *bits)
{
    struct ns__file *file = &verify->db->pager->file;
    memset(bits, 0, file->page_size);
    if (entry->place != 0) {
        uint64_t page = ns__bitmap_page(file->page_size, range, entry->place);
        NS_TRY(ns__file_read(file, page * file->page_size, page_buffer, file->page_size));
        NS_TRY(ns__bitmap_decode(page_buffer, file->uuid, file->page_size, page, range,
                                 entry->checksum, bits));
    }
    return compare_bits(verify, range, bits);
}

static ns_status check_region(struct verify *verify, const struct ns__meta *meta, uint32_t region,
                              struct ns__region_entry *entries, uint8_t *page_buffer, uint8_t *bits)
{
    struct ns__file *file = &verify->db->pager->file;
    uint32_t ranges = ns__region_ranges(file->page_size, region);
    memset(entries, 0, ranges * sizeof *entries);
    struct ns__region_entry place = {0};
    if (region < meta->region_count) place = meta->regions[region];
    if (place.place != 0) {
        uint64_t page = ns__directory_page(file->page_size, region, place.place);
        NS_TRY(ns__file_read(file, page * file->page_size, page_buffer, file->page_size));
        NS_TRY(ns__directory_decode(page_buffer, file->uuid, file->page_size, page, region,
                                    place.checksum, entries));
    }
    uint64_t first = ns__region_first_range(file->page_size, region);
    uint64_t pages = ns__range_pages(file->page_size);
    for (uint32_t i = 0; i < ranges; i++) {
        bool is_beyond = (first + i) * pages >= verify->page_count;
        if (is_beyond && entries[i].place == 0) continue;
        NS_TRY(check_range(verify, first + i, &entries[i], page_buffer, bits));
    }
    return NS_OK;
}

static ns_status check_maps(struct verify *verify, const struct ns__meta *meta)
{
    ns_db *db = verify->db;
    uint32_t page_size = db->pager->file.page_size;
    size_t entries_bytes = page_size * sizeof(struct ns__region_entry) / 12;
    struct ns__region_entry *entries = ns__alloc(&db->alloc, entries_bytes);
    uint8_t *buffers = ns__alloc(&db->alloc, 2 * (size_t)page_size);
    ns_status status = entries == NULL || buffers == NULL ? NS_NOMEM : NS_OK;
    uint64_t ranges = verify->page_count / ns__range_pages(page_size);
    uint32_t last = ns__region_of_range(page_size, ranges);
    for (uint32_t r = 0; r <= last && r < NS__REGIONS_MAX && status == NS_OK; r++) {
        status = check_region(verify, meta, r, entries, buffers, buffers + page_size);
    }
    ns__alloc_release(&db->alloc, entries, entries_bytes);
    ns__alloc_release(&db->alloc, buffers, 2 * (size_t)page_size);
    return status;
}

static ns_status not_log(void *ctx, uint64_t page, uint64_t pages)
{
    struct verify *verify = ctx;
    for (uint64_t p = page; p < page + pages && p < verify->page_count; p++) {
        if ((verify->reached[p >> 6] >> (p & 63) & 1) == 0) continue;
        return ns__corrupt(p, "belongs to the log and to a tree");
    }
    return NS_OK;
}

static void check_meta(struct verify *verify, const struct ns__meta *meta, const char *which)
{
    ns_status status =
        check_trees(verify, &meta->main, &meta->catalogue, meta->keyspaces, meta->generation);
    if (status == NS_OK) status = check_maps(verify, meta);
    if (status == NS_OK) status = ns__log_visit_pages(verify->db->log, not_log, verify);
    note(verify, status, which);
}

/* ---- the log ---- */

static ns_status at_meta(const struct ns__meta *meta, const struct ns__record *record)
{
    if (meta->txn_id != record->txn_id) return NS_OK;
    if (memcmp(meta->chain, record->chain, NS__CHAIN_BYTES) != 0) {
        return ns__error(NS_CORRUPT, "meta %llu: its chain value is not that of record %llu",
                         (unsigned long long)meta->sequence, (unsigned long long)record->txn_id);
    }
    return NS_OK;
}

static ns_status check_log(struct verify *verify, const struct ns__located *located)
{
    ns_db *db = verify->db;
    struct ns__log_reader reader;
    uint8_t chain[NS__CHAIN_BYTES];
    memcpy(chain, db->fields->floor_chain, sizeof chain);
    uint64_t txn = db->fields->floor_txn, end = ns__log_end(db->log);
    ns__log_reader_init(&reader, db->log, db->fields->floor_log);
    ns_status status = NS_OK;
    while (status == NS_OK) {
        struct ns__record record;
        ns_slice bytes;
        uint64_t ops;
        status = ns__log_reader_next(&reader, end, &record, &bytes);
        if (status == NS_OK) status = ns__record_decode(bytes, chain, &record);
        if (status == NS_OK && record.txn_id != txn + 1) {
            status = ns__error(NS_CORRUPT, "record %llu follows %llu",
                               (unsigned long long)record.txn_id, (unsigned long long)txn);
        }
        if (status == NS_OK) {
            status =
                ns__body_check(record.body, ns__key_bytes_max(db->pager->file.page_size), &ops);
        }
        if (status == NS_OK) status = at_meta(&located->newest, &record);
        if (status == NS_OK && located->has_older) status = at_meta(&located->older, &record);
        if (status != NS_OK) break;
        memcpy(chain, record.chain, sizeof chain);
        txn = record.txn_id;
        verify->records++;
    }
    ns__log_reader_deinit(&reader);
    struct ns__root newest;
    ns__snapshots_newest(&db->snapshots, &newest);
    if (status == NS_NOTFOUND && txn != newest.txn_id) {
        return ns__error(NS_CORRUPT,
                         "the log ends with record %llu, the tree with transaction %llu",
                         (unsigned long long)txn, (unsigned long long)newest.txn_id);
    }
    return status == NS_NOTFOUND ? NS_OK : status;
}

/* ---- the whole ---- */

/* In a file that was not closed this is what a crash during a checkpoint leaves; in one that was, a
 * meta has rotted. */
static void one_meta(struct verify *verify, uint64_t page)
{
    if (!verify->db->was_closed) {
        say(verify, NS_OK, page, "this meta was not finished; the other one holds the database");
        return;
    }
    ns_status status =
        ns__corrupt(page, "this meta is not valid; the other one holds the database");
    say(verify, status, page, ns_error_detail());
}

/* A crash between the two writes of a change may leave one map torn. While the other one says "not
 * in use" (the first change after a clean close, or the close itself, was cut off) that cannot be
 * told from rot (SEM-84). */
static void check_log_maps(struct verify *verify)
{
    for (uint32_t page = 2; page <= 3; page++) {
        if (ns__log_map_found(verify->db->log, page) == NS_OK) continue;
        if (verify->db->was_closed) {
            ns_status status = ns__corrupt(page, "this log map is not valid; the other one "
                                                 "holds, and the next change mends this one");
            say(verify, status, page, ns_error_detail());
        } else {
            say(verify, NS_OK, page, "this log map was not finished; the other one holds");
        }
    }
}

static void check_all(struct verify *verify, const struct ns__located *located)
{
    ns_db *db = verify->db;
    uint64_t pages = ns__space_file_pages(&db->pager->space);
    uint64_t bytes = pages / 8 + 16;
    verify->page_count = pages;
    verify->reached = ns__alloc(&db->alloc, bytes);
    if (verify->reached == NULL) {
        note(verify, NS_NOMEM, "verify");
        return;
    }
    if (!located->has_older) one_meta(verify, located->newest.sequence % 2 == 0 ? 1 : 0);
    check_log_maps(verify);
    if (located->has_older) check_meta(verify, &located->older, "older meta");
    check_meta(verify, &located->newest, "newest meta");
    note(verify, check_log(verify, located), "log");
    struct ns__root root;
    ns__snapshots_newest(&db->snapshots, &root);
    note(verify, check_trees(verify, &root.main, &root.catalogue, root.keyspaces, root.generation),
         "newest root");
    ns__alloc_release(&db->alloc, verify->reached, bytes);
}

static void summarize(struct verify *verify)
{
    char text[200];
    ns_db *db = verify->db;
    struct ns__root root;
    ns__snapshots_newest(&db->snapshots, &root);
    snprintf(
        text, sizeof text,
        "transaction %llu: %llu entries, %llu keyspaces, %llu log records checked, %llu replayed",
        (unsigned long long)root.txn_id, (unsigned long long)verify->entries,
        (unsigned long long)root.keyspaces, (unsigned long long)verify->records,
        (unsigned long long)db->recovered_txns);
    say(verify, NS_OK, UINT64_MAX, text);
}

ns_status ns_db_verify(const char *path, const ns_options *options, ns_verify_fn report, void *ctx)
{
    ns_options chosen = {0};
    if (options != NULL) chosen = *options;
    chosen.flags = (chosen.flags | NS_RDONLY) & ~(NS_MUST_CREATE | NS_MUST_EXIST);
    struct ns__alloc alloc;
    ns__alloc_init(&alloc, chosen.allocator);
    struct ns__located *located = ns__alloc_zeroed(&alloc, sizeof *located);
    if (located == NULL) return NS_NOMEM;
    struct verify verify = {.report = report, .ctx = ctx, .worst = NS_OK};
    ns_status status = ns__db_open(path, &chosen, located, &verify.db);
    if (status != NS_OK) {
        if (status == NS_CORRUPT) say(&verify, status, UINT64_MAX, ns_error_detail());
    } else {
        check_all(&verify, located);
        summarize(&verify);
        status = verify.worst;
        struct ns__error_saved saved;
        ns__error_save(&saved);
        ns_status closed = ns_db_close(verify.db);
        if (status == NS_OK)
            status = closed;
        else
            ns__error_restore(&saved);
        if (status != NS_OK) ns__error_prefix("verify %s", path);
    }
    ns__alloc_release(&alloc, located, sizeof *located);
    return status;
}
