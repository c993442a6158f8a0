/* log_world.h: what the tests of the log floor share: a file in a simulated world, a first-fit
 * stand-in for the space, and records whose content follows from their id. */
#ifndef NS_TESTS_UNIT_LOG_WORLD_H
#define NS_TESTS_UNIT_LOG_WORLD_H

#include "harness/test.h"

#include <stdlib.h>
#include <string.h>
#include "base/prng.h"
#include "log/log.h"
#include "vfs/mem.h"

#define WORLD_PATH "log.ns"
#define WORLD_PAGES_MAX 4096u
#define WORLD_FIRST_PAGE 31u /* behind metas, log maps and the map area of region 0 */

/* Hands out the first free run, so that pages given back are used again as soon as possible. */
struct ns__space {
    struct ns__file *file;
    uint64_t limit;   /* pages that may be taken without the reserve */
    uint64_t reserve; /* further pages */
    bool scribble;    /* pages given back are overwritten, as their next user would */
    uint64_t gives;
    uint8_t taken[WORLD_PAGES_MAX];
};

static inline bool space_is_free(const struct ns__space *space, uint64_t page, uint64_t pages)
{
    for (uint64_t i = page; i < page + pages; i++) {
        if (i >= WORLD_PAGES_MAX || i < WORLD_FIRST_PAGE || space->taken[i]) return false;
    }
    return true;
}

ns_status ns__space_take(struct ns__space *space, uint64_t pages, bool use_reserve,
                         uint64_t *page_out)
{
    *page_out = 0;
    uint64_t limit = space->limit + (use_reserve ? space->reserve : 0);
    for (uint64_t page = WORLD_FIRST_PAGE; page + pages <= limit; page++) {
        if (!space_is_free(space, page, pages)) continue;
        struct ns__file *file = space->file;
        uint64_t size, wanted = (page + pages) * file->page_size;
        NS_TRY(ns__file_size(file, &size));
        if (size < wanted &&
            file->vfs->allocate(file->vfs->ctx, file->handle, size, wanted) != NS_OK) {
            return ns__error(NS_IO, "allocate");
        }
        memset(space->taken + page, 1, (size_t)pages);
        *page_out = page;
        return NS_OK;
    }
    return ns__error(NS_FULL, "no run of %llu pages", (unsigned long long)pages);
}

void ns__space_give(struct ns__space *space, uint64_t page, uint64_t pages)
{
    space->gives++;
    for (uint64_t i = page; i < page + pages; i++) {
        assert_true(i < WORLD_PAGES_MAX && space->taken[i]);
        space->taken[i] = 0;
        if (!space->scribble) continue;
        uint8_t junk[NS__PAGE_SIZE_MAX];
        memset(junk, 0xa5, space->file->page_size);
        (void)ns__file_write(space->file, i * space->file->page_size, junk, space->file->page_size);
    }
}

ns_status ns__space_claim_log(struct ns__space *space, uint64_t page, uint64_t pages)
{
    if (!space_is_free(space, page, pages)) return ns__corrupt(page, "taken already");
    memset(space->taken + page, 1, (size_t)pages);
    return NS_OK;
}

/* ---- a file with a log ---- */

struct world {
    struct ns__mem *mem;
    struct ns__alloc alloc;
    struct ns__file file;
    struct ns__space space;
    struct ns__log_options options;
    struct ns__log *log;
};

static inline ns_status world_attach(struct world *world, struct ns__mem *mem, uint32_t page_size)
{
    memset(&world->file, 0, sizeof world->file);
    memset(&world->space, 0, sizeof world->space);
    world->mem = mem;
    world->log = NULL;
    ns__alloc_init(&world->alloc, NULL);
    world->file.vfs = ns__mem_vfs(mem);
    world->file.page_size = page_size;
    memcpy(world->file.uuid, "0123456789abcdef", NS__UUID_BYTES);
    world->space.file = &world->file;
    world->space.limit = WORLD_PAGES_MAX;
    return world->file.vfs->open(world->file.vfs->ctx, WORLD_PATH, NS_VFS_CREATE,
                                 &world->file.handle);
}

/* Closes log and file; the simulated disk stays. */
static inline void world_detach(struct world *world)
{
    ns__log_free(world->log);
    world->log = NULL;
    if (world->file.handle != NULL) {
        world->file.vfs->close(world->file.vfs->ctx, world->file.handle);
    }
    world->file.handle = NULL;
    assert_int_equal(world->alloc.bytes, 0);
}

/* A new disk with a new file and a new log, all durable. */
static inline void world_new(struct world *world, uint32_t flags, uint32_t page_size,
                             uint64_t extent_pages, bool is_padded)
{
    struct ns__mem *mem;
    memset(world, 0, sizeof *world);
    CHECK_OK(ns__mem_new(flags, 1, NULL, &mem));
    CHECK_OK(world_attach(world, mem, page_size));
    world->options.extent_bytes = extent_pages * page_size;
    world->options.is_padded = is_padded;
    const struct ns_vfs *vfs = world->file.vfs;
    CHECK_OK(vfs->allocate(vfs->ctx, world->file.handle, 0, WORLD_FIRST_PAGE * page_size));
    CHECK_OK(
        ns__log_create(&world->file, &world->space, &world->alloc, &world->options, &world->log));
    CHECK_OK(vfs->sync(vfs->ctx, world->file.handle));
    CHECK_OK(vfs->sync_parent(vfs->ctx, WORLD_PATH));
}

static inline void world_free(struct world *world)
{
    world_detach(world);
    ns__mem_free(world->mem);
    world->mem = NULL;
}

/* Loads, without settling. */
static inline ns_status world_load(struct world *world)
{
    uint64_t size;
    NS_TRY(ns__file_size(&world->file, &size));
    return ns__log_load(&world->file, world->options.read_only ? NULL : &world->space,
                        &world->alloc, &world->options, size / world->file.page_size, &world->log);
}

/* What an open does. */
static inline ns_status world_recover(struct world *world, uint64_t from, uint64_t known_durable,
                                      struct ns__log_tail *tail_out)
{
    memset(tail_out, 0, sizeof *tail_out);
    NS_TRY(world_load(world));
    NS_TRY(ns__log_find_end(world->log, from, known_durable, tail_out));
    return ns__log_settle(world->log, tail_out);
}

/* Closes and opens the same disk, as another process would after this one was killed. */
static inline ns_status world_reopen(struct world *world, uint64_t from, uint64_t known_durable,
                                     struct ns__log_tail *tail_out)
{
    struct ns__mem *mem = world->mem;
    uint32_t page_size = world->file.page_size;
    uint64_t limit = world->space.limit, reserve = world->space.reserve;
    bool scribble = world->space.scribble;
    world_detach(world);
    NS_TRY(world_attach(world, mem, page_size));
    world->space.limit = limit;
    world->space.reserve = reserve;
    world->space.scribble = scribble;
    return world_recover(world, from, known_durable, tail_out);
}

/* ---- records ---- */

/* A record of this id with a body of that many bytes, padded; to be freed. */
static inline uint8_t *record_new(uint64_t id, size_t body_bytes, size_t *size_out)
{
    size_t size = NS__RECORD_BYTES + body_bytes;
    size_t padded = (size_t)ns__record_padded(size);
    uint8_t *bytes = calloc(1, padded);
    assert_non_null(bytes);
    struct ns__prng prng = {.state = id};
    for (size_t i = 0; i < body_bytes; i++) {
        bytes[NS__RECORD_BYTES + i] = (uint8_t)(ns__prng_next(&prng) | 1);
    }
    struct ns__record record = {.txn_id = id, .unix_us = (int64_t)id, .op_count = body_bytes > 0};
    record.body = ns_bytes(bytes + NS__RECORD_BYTES, body_bytes);
    uint8_t previous[NS__CHAIN_BYTES] = {0};
    ns__record_encode(&record, previous, bytes);
    *size_out = padded;
    return bytes;
}

static inline ns_status world_append(struct world *world, uint64_t id, size_t body_bytes,
                                     bool is_sync, uint64_t *end_out)
{
    size_t size;
    uint8_t *bytes = record_new(id, body_bytes, &size);
    struct ns__hash_piece piece = {bytes, size};
    ns_status status = ns__log_append(world->log, &piece, 1, is_sync, end_out);
    free(bytes);
    return status;
}

/* Is this record what record_new gives for its id and size? */
static inline bool record_is_right(const struct ns__record *record, ns_slice bytes)
{
    size_t size;
    uint8_t *wanted = record_new(record->txn_id, record->body.size, &size);
    bool is_right = bytes.size <= size && memcmp(wanted, bytes.data, bytes.size) == 0;
    free(wanted);
    return is_right;
}

/* Reads all records of [from, limit), which must have consecutive ids; gives the first and last id
 * (0: none). */
static inline ns_status world_read(struct world *world, uint64_t from, uint64_t limit,
                                   uint64_t *first_out, uint64_t *last_out)
{
    struct ns__log_reader reader;
    struct ns__record record;
    ns_slice bytes;
    *first_out = *last_out = 0;
    ns__log_reader_init(&reader, world->log, from);
    ns_status status;
    while ((status = ns__log_reader_next(&reader, limit, &record, &bytes)) == NS_OK) {
        if (*first_out == 0) *first_out = record.txn_id;
        if (*last_out != 0) assert_int_equal(record.txn_id, *last_out + 1);
        assert_true(record_is_right(&record, bytes));
        *last_out = record.txn_id;
    }
    if (status == NS_NOTFOUND) assert_int_equal(reader.next, limit);
    ns__log_reader_deinit(&reader);
    return status == NS_NOTFOUND ? NS_OK : status;
}

static inline void check_read(struct world *world, uint64_t from, uint64_t first, uint64_t last)
{
    uint64_t found_first, found_last;
    CHECK_OK(world_read(world, from, ns__log_end(world->log), &found_first, &found_last));
    assert_int_equal(found_first, first);
    assert_int_equal(found_last, last);
}

/* ---- the checker: what the log says it owns is what the space says is taken ---- */

struct page_count {
    const struct ns__space *space;
    uint64_t pages;
};

static inline ns_status count_pages(void *ctx, uint64_t page, uint64_t pages)
{
    struct page_count *count = ctx;
    for (uint64_t i = page; i < page + pages; i++) {
        assert_true(i < WORLD_PAGES_MAX && count->space->taken[i]);
    }
    count->pages += pages;
    return NS_OK;
}

static inline void world_check(struct world *world)
{
    struct page_count count = {.space = &world->space};
    CHECK_OK(ns__log_visit_pages(world->log, count_pages, &count));
    uint64_t taken = 0;
    for (uint64_t i = 0; i < WORLD_PAGES_MAX; i++) {
        taken += world->space.taken[i];
    }
    assert_int_equal(count.pages, taken);
    assert_int_equal(ns__log_pages(world->log), taken);
    assert_true(ns__log_durable(world->log) <= ns__log_end(world->log));
}

#endif
