/* judge.c: see judge.h. Of every image:
 *
 *   J1  verify finds no fault in what the next open would find (an unfinished creation aside);
 *   J2  it opens; the transaction it recovers to is not older than what was acknowledged and not
 *       newer than what was begun; all keyspaces, keys, values, versions and the state hash are the
 *       model's;
 *   J3  behind the end of its log everything that is prepared is zero (invariant 2 of log/log.c);
 *   J4  after a power cut that keeps nothing unsynced of that, it opens to the same state again (of
 *       images whose recovery is watched, its last image shows that);
 *   J5  then one more commit works and is there after a clean close, or after a power cut that
 *       keeps nothing unsynced (by turns); in one case of four verify looks at that too;
 *   J6  if both metas are valid: with the newest one damaged, the older one leads to the same
 *       transaction and the same state (INV-2), so the trees and the replayed log agree (one image
 *       of four where the recovery is not watched);
 *   J7  (one image of eight) two more commits, then one byte of the first one's envelope flipped:
 *       that is no torn tail, since the second one knows that the first was durable (INV-4, REC-3);
 *       the open must say NS_CORRUPT.
 *
 * What costs most is memory that comes fresh from the
 * system, so the judge's vfs hands the same pieces out again. */
#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rack.h"
#include "db/db.h"
#include "format/meta.h"
#include "log/log_internal.h"

#define MAP_BYTES ((size_t)16 << 20)
#define SPARES_MAX 8u

struct judge {
    struct ns__mem
        *tracking; /* empty; cloned for the first image, and for each that has no database */
    struct ns__mem *world; /* of the image before; NULL: none that can be used again */
    struct ns__mem *plain; /* without durability */
    uint8_t *flat;         /* the image that is judged */
    uint64_t flat_pages;
    uint64_t *flat_hashes; /* of its pages; UINT64_MAX: unknown */
};

static void expect_ok(ns_status status, const char *what)
{
    if (status != NS_OK) rack_fail("%s: %s", what, ns_status_name(status));
}

/* ---- memory that is used again ---- */

static struct {
    size_t size;
    void *memory;
} spares[SPARES_MAX];

static ns_status reserve_again(void *ctx, size_t size, void **memory_out)
{
    for (size_t i = 0; i < SPARES_MAX; i++) {
        if (spares[i].memory == NULL || spares[i].size != size) continue;
        *memory_out = spares[i].memory;
        spares[i].memory = NULL;
        memset(*memory_out, 0, size);
        return NS_OK;
    }
    return ns__mem_vfs(ctx)->reserve(ctx, size, memory_out);
}

static void unreserve_again(void *ctx, void *memory, size_t size)
{
    for (size_t i = 0; i < SPARES_MAX; i++) {
        if (spares[i].memory != NULL) continue;
        spares[i].memory = memory;
        spares[i].size = size;
        return;
    }
    ns__mem_vfs(ctx)->unreserve(ctx, memory, size);
}

/* Bits for each page of the map come with it. */
static ns_status map_small(void *ctx, struct ns_vfs_file *file, size_t reserve,
                           struct ns_vfs_map *map_out)
{
    return ns__mem_vfs(ctx)->map(ctx, file, reserve < MAP_BYTES ? reserve : MAP_BYTES, map_out);
}

/* The table of that world; one at a time is enough, since no two handles are open at once at the
 * same depth. */
static void options_in(const struct run *run, struct ns__mem *world, struct ns_vfs *shim,
                       ns_options *with)
{
    *shim = *ns__mem_vfs(world);
    shim->reserve = reserve_again;
    shim->unreserve = unreserve_again;
    shim->map = map_small;
    script_options(run, shim, with);
}

struct judge *judge_new(uint64_t seed)
{
    struct judge *judge = calloc(1, sizeof *judge);
    if (judge == NULL) rack_fail("out of memory");
    expect_ok(ns__mem_new(NS__MEM_DURABILITY | NS__MEM_FAKE_TIME, seed, NULL, &judge->tracking),
              "the simulator");
    judge->flat = calloc(IMAGE_PAGES_MAX, IMAGE_PAGE);
    judge->flat_hashes = calloc(IMAGE_PAGES_MAX, sizeof *judge->flat_hashes);
    if (judge->flat == NULL || judge->flat_hashes == NULL) rack_fail("out of memory");
    return judge;
}

void judge_free(struct judge *judge)
{
    if (judge == NULL) return;
    ns__mem_free(judge->tracking);
    ns__mem_free(judge->world);
    free(judge->flat);
    free(judge->flat_hashes);
    free(judge);
}

/* ---- bounds ---- */

void judge_bounds(const struct run *run, uint64_t txn_id)
{
    if (txn_id >= run->acked && txn_id <= run->started) return;
    rack_fail("the image recovers to transaction %llu, not in %llu..%llu",
              (unsigned long long)txn_id, (unsigned long long)run->acked,
              (unsigned long long)run->started);
}

uint32_t judge_content(const struct run *run, uint64_t txn_id)
{
    if (txn_id < run->first || txn_id - run->first >= run->state_count) {
        rack_fail("transaction %llu was never begun", (unsigned long long)txn_id);
    }
    return ns__load32(script_state(run, txn_id)->hash) | 1;
}

/* ---- worlds ---- */

/* Copies only what differs from the image before. */
static ns_slice flatten(struct judge *judge, const struct image *image)
{
    for (uint64_t i = 0; i < image->page_count; i++) {
        if (judge->flat_hashes[i] == image->hashes[i]) continue;
        uint8_t *to = judge->flat + i * IMAGE_PAGE;
        if (image->hashes[i] == 0)
            memset(to, 0, IMAGE_PAGE);
        else
            memcpy(to, image->pages[i], IMAGE_PAGE);
        judge->flat_hashes[i] = image->hashes[i];
    }
    judge->flat_pages = image->page_count;
    return ns_bytes(judge->flat, image->page_count * IMAGE_PAGE);
}

static struct ns__mem *world_of(struct judge *judge, const struct image *image)
{
    struct ns__mem *world;
    bool is_database = image->exists && image->page_count > 1 && image->hashes[1] != 0;
    if (judge->world != NULL && is_database) {
        world = judge->world;
        judge->world = NULL;
    } else { /* what a creation draws by chance must be the same for each */
        expect_ok(ns__mem_clone(judge->tracking, &world), "clone");
    }
    if (image->exists) {
        expect_ok(ns__mem_file_set(world, IMAGE_PATH, flatten(judge, image)), "fill a world");
    }
    return world;
}

/* shim lives as long as the handle. */
static ns_db *open_in(const struct run *run, struct ns__mem *world, struct ns_vfs *shim,
                      const char *what)
{
    ns_options with;
    ns_db *db;
    options_in(run, world, shim, &with);
    ns_status status = ns_db_open(IMAGE_PATH, &with, &db);
    if (status != NS_OK) rack_fail("%s: %s", what, ns_status_name(status));
    return db;
}

/* The handle goes without another write. */
static void abandon(ns_db *db)
{
    ns__db_poison(db, NS_IO);
    (void)ns_db_close(db);
}

/* What the power leaves when nothing unsynced survives; the old world is freed, if it is not the
 * same. */
static struct ns__mem *cut_power(struct ns__mem *world)
{
    struct ns__mem_pending pending;
    struct ns__mem *after;
    ns__mem_pending(world, 4096, &pending);
    if (pending.atoms == 0) return world;
    expect_ok(ns__mem_crash(world, 4096, NULL, NULL, 1, &after), "cut the power");
    ns__mem_free(world);
    return after;
}

/* ---- what is in it ---- */

static void check_hash(ns_txn *txn, const uint8_t wanted[16], const char *what)
{
    uint8_t hash[16];
    expect_ok(ns_txn_state_hash(txn, hash), what);
    if (memcmp(hash, wanted, sizeof hash) != 0) rack_fail("%s: another state hash", what);
}

static uint64_t check_content(const struct run *run, ns_db *db)
{
    char text[REF_TEXT_BYTES];
    ns_txn *txn;
    expect_ok(ns_txn_begin(db, NS_READ, &txn), "begin on the image");
    uint64_t found = ns_txn_id(txn);
    judge_bounds(run, found);
    (void)judge_content(run, found);
    const struct state *state = script_state(run, found);
    if (!ref_check(txn, state->content, found % 2, text)) {
        rack_fail("the image's content: %s", text);
    }
    check_hash(txn, state->hash, "the image's content");
    ns_txn_abort(txn);
    return found;
}

/* The same transaction, and the same state. */
static void check_same(const struct run *run, ns_db *db, uint64_t found, const char *what)
{
    ns_txn *txn;
    expect_ok(ns_txn_begin(db, NS_READ, &txn), what);
    if (ns_txn_id(txn) != found) {
        rack_fail("%s: transaction %llu, before it was %llu", what,
                  (unsigned long long)ns_txn_id(txn), (unsigned long long)found);
    }
    check_hash(txn, script_state(run, found)->hash, what);
    ns_txn_abort(txn);
}

/* The map or meta that a crash in the first change after a clean open left torn: the other one
 * still says that the file was closed, so verify takes it for rot. */
static bool is_torn_first_change(const ns_finding *finding)
{
    return strstr(finding->text, "is not valid; the other one holds") != NULL;
}

static void note_finding(void *ctx, const ns_finding *finding)
{
    char *text = ctx;
    if (finding->status == NS_OK || is_torn_first_change(finding) || text[0] != '\0') return;
    snprintf(text, REF_TEXT_BYTES, "page %lld: %s", (long long)finding->page, finding->text);
}

static ns_status verify(const struct run *run, struct ns__mem *world, char text[REF_TEXT_BYTES])
{
    struct ns_vfs shim;
    ns_options with;
    text[0] = '\0';
    options_in(run, world, &shim, &with);
    return ns_db_verify(IMAGE_PATH, &with, note_finding, text);
}

static void verify_database(const struct run *run, struct ns__mem *world, const char *what)
{
    char text[REF_TEXT_BYTES];
    ns_status status = verify(run, world, text);
    if (status != NS_OK) rack_fail("%s: %s: %s", what, ns_status_name(status), text);
}

/* J1. No database, or one that is not finished, is an answer while nothing was acknowledged. */
static void verify_image(const struct run *run, struct ns__mem *world)
{
    char text[REF_TEXT_BYTES];
    ns_status status = verify(run, world, text);
    bool is_absent = status == NS_NOTADB || status == NS_NOTFOUND;
    if (is_absent && run->acked == 0 && run->first == 0) return;
    if (status == NS_CORRUPT && text[0] == '\0') return;
    if (status != NS_OK) rack_fail("verify of the image: %s: %s", ns_status_name(status), text);
}

/* J3 */
static void check_zeros(ns_db *db)
{
    uint8_t block[IMAGE_PAGE];
    uint64_t end = ns__log_end(db->log), limit = ns__log_prepared_end(db->log);
    for (uint64_t at = end; at < limit;) {
        struct ns__extent extent;
        if (!ns__log_extent_at(db->log, at, &extent)) rack_fail("no extent behind the log's end");
        uint64_t left = extent.log_end - at;
        size_t size = left < sizeof block ? (size_t)left : sizeof block;
        expect_ok(ns__log_read(db->log, at, block, size), "read behind the log's end");
        if (block[0] != 0 || memcmp(block, block + 1, size - 1) != 0) {
            rack_fail("the log ends at %llu, but between %llu and %llu not all is zero",
                      (unsigned long long)end, (unsigned long long)at,
                      (unsigned long long)(at + size));
        }
        at += size;
    }
}

/* ---- going on ---- */

/* Changes the state, and what it counts. */
static void commit_one(ns_db *db, struct ref_state *state)
{
    ns_txn *txn;
    uint64_t txn_id, found = state->txn_id;
    expect_ok(ns_txn_begin(db, NS_WRITE, &txn), "a write on the image");
    script_put(txn, state, NS_MAIN, "after", 100, 5);
    expect_ok(ns_txn_commit(txn, &txn_id), "a commit on the image");
    if (txn_id != found + 1) rack_fail("a commit on the image got a wrong id");
    ref_state_commit(state, txn_id);
}

/* Where the log ends in the file; 0 if the next envelope will begin in another extent. */
static uint64_t end_position(const ns_db *db)
{
    struct ns__extent extent;
    uint64_t end = ns__log_end(db->log);
    return ns__log_extent_at(db->log, end, &extent) ? ns__log_position(db->log, &extent, end) : 0;
}

/* J7. The file is nobody's; it is left as it was. */
static void check_rot(const struct run *run, struct ns__mem *world, uint64_t position,
                      uint64_t identity)
{
    struct ns_vfs shim;
    ns_options with;
    ns_slice content;
    ns_db *db;
    expect_ok(ns__mem_file_get(world, IMAGE_PATH, &content), "look at the file");
    uint8_t *rotten = malloc(content.size);
    if (rotten == NULL) rack_fail("out of memory");
    memcpy(rotten, content.data, content.size);
    rotten[position + (identity >> 50) % NS__ENVELOPE_BYTES] ^= 0x10;
    expect_ok(ns__mem_file_set(world, IMAGE_PATH, ns_bytes(rotten, content.size)), "damage it");
    options_in(run, world, &shim, &with);
    ns_status status = ns_db_open(IMAGE_PATH, &with, &db);
    if (status != NS_CORRUPT) {
        rack_fail("a record that was durable is damaged, but the open says %s",
                  ns_status_name(status));
    }
    rotten[position + (identity >> 50) % NS__ENVELOPE_BYTES] ^= 0x10;
    expect_ok(ns__mem_file_set(world, IMAGE_PATH, ns_bytes(rotten, content.size)), "mend it");
    free(rotten);
    event_count(EVENT_rot_refused);
}

/* J4. Gives the handle back to go on with; *world is another one where the power had to be cut. */
static ns_db *recover_again(const struct run *run, struct ns__mem **world, struct ns_vfs *shim,
                            ns_db *db, uint64_t found)
{
    abandon(db);
    *world = cut_power(*world);
    db = open_in(run, *world, shim, "a second recovery");
    check_same(run, db, found, "a second recovery");
    return db;
}

/* J5. Keeps the world for the next image. */
static void go_on(struct judge *judge, const struct run *run, struct ns__mem *world, ns_db *db,
                  uint64_t found, uint64_t identity)
{
    char text[REF_TEXT_BYTES];
    struct ns_vfs shim;
    ns_txn *txn;
    struct ref_state *state = ref_state_copy(script_state(run, found)->content);
    uint64_t position = end_position(db), checkpoints = db->checkpoints;
    bool is_rotten = position != 0 && (identity >> 44 & 7) == 0;
    commit_one(db, state);
    if (is_rotten) commit_one(db, state);
    if (is_rotten || (identity >> 40 & 1) != 0) {
        is_rotten = is_rotten && db->checkpoints == checkpoints;
        abandon(db);
        world = cut_power(world);
        if (is_rotten) check_rot(run, world, position, identity);
    } else {
        expect_ok(ns_db_close(db), "close of the image");
    }
    if ((identity >> 41 & 3) == 0) verify_database(run, world, "verify after one more commit");
    db = open_in(run, world, &shim, "open after one more commit");
    expect_ok(ns_txn_begin(db, NS_READ, &txn), "begin after one more commit");
    if (!ref_check(txn, state, false, text)) rack_fail("after one more commit: %s", text);
    ns_txn_abort(txn);
    abandon(db);
    ref_state_release(state);
    ns__mem_free(judge->world);
    judge->world = world;
}

/* ---- the older meta ---- */

/* Which of the two metas is the newest; -1 unless both are valid. */
static int newest_of_both(const struct judge *judge)
{
    static struct ns__meta metas[2];
    ns_status status[2];
    if (judge->flat_pages < 2) return -1;
    for (uint32_t i = 0; i < 2; i++) {
        status[i] = ns__meta_decode(judge->flat + i * IMAGE_PAGE, i, judge->flat_pages * IMAGE_PAGE,
                                    &metas[i]);
    }
    if (status[0] != NS_OK || status[1] != NS_OK) {
        if (status[0] == NS_OK || status[1] == NS_OK) event_count(EVENT_recovered_one_meta);
        return -1;
    }
    return ns__meta_choose(status, metas);
}

/* J6 */
static void judge_older_meta(struct judge *judge, const struct run *run, const struct image *image,
                             uint64_t identity, uint64_t found)
{
    struct ns_vfs shim;
    if (!image->exists) return;
    int newest = newest_of_both(judge);
    if (newest < 0) return;
    struct ns__mem *world = judge->world;
    uint8_t *byte = judge->flat + (size_t)newest * IMAGE_PAGE + 16 + identity % 400;
    *byte ^= 0x40;
    ns_slice content = ns_bytes(judge->flat, judge->flat_pages * IMAGE_PAGE);
    expect_ok(ns__mem_file_set(world, IMAGE_PATH, content), "fill a world");
    *byte ^= 0x40;
    ns_db *db = open_in(run, world, &shim, "open from the older meta");
    check_same(run, db, found, "recovery from the older meta");
    event_count(EVENT_recovered_from_older_meta);
    abandon(db);
}

/* ---- all of it ---- */

static void note_recovery(const ns_db *db, const struct run *run, bool is_new)
{
    if (is_new && run->first == 0) event_count(EVENT_recovered_creation);
    if (db->is_opened_clean) return;
    event_count(EVENT_recovered_unclean);
    struct ns__extent last;
    uint64_t end = ns__log_end(db->log);
    bool is_there = end > 0 && ns__log_extent_at(db->log, end - 1, &last);
    if (is_there && last.epoch == ns__atomic_load(&db->log->epoch)) {
        event_count(EVENT_recovered_unsynced_tail);
    }
}

static void show_world(void *ctx)
{
    const void *const *pair = ctx;
    const struct judge_watch *watch = pair[0];
    watch->seen(watch->ctx, pair[1], false);
}

uint64_t judge_image(struct judge *judge, const struct run *run, const struct image *image,
                     uint64_t identity, const struct judge_watch *watch)
{
    struct ns__mem *world = world_of(judge, image);
    const void *pair[2] = {watch, world};
    struct ns_vfs shim;
    verify_image(run, world);
    if (watch != NULL) ns__mem_watch(world, show_world, pair);
    ns_db *db = open_in(run, world, &shim, "open of the image");
    if (watch != NULL) {
        watch->seen(watch->ctx, world, true);
        ns__mem_watch(world, NULL, NULL);
    }
    note_recovery(db, run, !image->exists);
    uint64_t found = check_content(run, db);
    check_zeros(db);
    if (watch == NULL) db = recover_again(run, &world, &shim, db, found);
    go_on(judge, run, world, db, found, identity);
    if (watch != NULL || (identity >> 43 & 3) == 0) {
        judge_older_meta(judge, run, image, identity, found);
    }
    return found;
}
