/* mixed_copy_test.c: copies of a file made by another program while it was being written, so that
 * their blocks come from different moments. That is no way to make a backup, and the library does
 * not say so of such a copy; what it does promise is:
 *
 *   - every page that reading reaches is checked against what names it, so a copy that mixes two
 *     trees is NS_CORRUPT where it matters, at open or when it is read, never a wrong value;
 *   - what a copy shows otherwise is exactly the content after some transaction, one that was
 *     committed when the copying ended, and not before the older meta of when it began;
 *   - a copy that ns_db_verify finds whole can be read from end to end.
 *
 * The history is written once; every version of every page is kept with its moment, the number of
 * the write that made it. A copy takes each block at a moment of its own within a window: rising,
 * as a copying program would, or at random. */
#include "format/small_world.h"

#include "format/meta.h"

#define PAGE 4096u
#define PAGES_MAX 4096u
#define MOMENTS_MAX 20000u
#define COMMITS 150u

/* ---- the history ---- */

struct version {
    uint32_t moment;
    uint8_t *bytes; /* PAGE of them */
};

struct page {
    struct version *versions;
    size_t count, capacity;
};

static struct {
    struct small small;
    const struct ns_vfs *below;
    struct page pages[PAGES_MAX];
    uint32_t moment;               /* now */
    uint64_t sizes[MOMENTS_MAX];   /* of the file, after that moment */
    uint64_t settled[MOMENTS_MAX]; /* transaction of the older meta then */
    uint64_t begun[MOMENTS_MAX];   /* newest transaction that may have been written by then */
} history;

static void keep_page(uint64_t index, const uint8_t *file, size_t size)
{
    assert_true(index < PAGES_MAX);
    struct page *page = &history.pages[index];
    if (page->count == page->capacity) {
        page->capacity = page->capacity > 0 ? 2 * page->capacity : 4;
        page->versions = realloc(page->versions, page->capacity * sizeof *page->versions);
        assert_non_null(page->versions);
    }
    struct version *version = &page->versions[page->count++];
    size_t at = (size_t)index * PAGE, left = at < size ? size - at : 0;
    version->moment = history.moment;
    version->bytes = calloc(1, PAGE);
    assert_non_null(version->bytes);
    memcpy(version->bytes, file + at, left < PAGE ? left : PAGE);
}

static uint64_t older_meta_txn(const uint8_t *file, size_t size)
{
    uint64_t txn_id = UINT64_MAX;
    for (uint32_t i = 0; i < 2; i++) {
        struct ns__meta meta;
        bool is_valid =
            size >= 2 * PAGE && ns__meta_decode(file + (size_t)i * PAGE, i, size, &meta) == NS_OK;
        if (!is_valid) return 0;
        if (meta.txn_id < txn_id) txn_id = meta.txn_id;
    }
    return txn_id;
}

static void keep_moment(uint64_t offset, size_t bytes)
{
    size_t size;
    const uint8_t *file = small_bytes(&history.small, &size);
    history.moment++;
    assert_true(history.moment < MOMENTS_MAX);
    history.sizes[history.moment] = size;
    history.settled[history.moment] = older_meta_txn(file, size);
    history.begun[history.moment] = history.small.newest + 1;
    for (uint64_t page = offset / PAGE; page * PAGE < offset + bytes; page++)
        keep_page(page, file, size);
}

static ns_status write_kept(void *ctx, struct ns_vfs_file *file, uint64_t offset, const void *data,
                            size_t size)
{
    ns_status status = history.below->write(ctx, file, offset, data, size);
    keep_moment(offset, size);
    return status;
}

static ns_status write_sync_kept(void *ctx, struct ns_vfs_file *file, uint64_t offset,
                                 const void *data, size_t size)
{
    ns_status status = history.below->write_sync(ctx, file, offset, data, size);
    keep_moment(offset, size);
    return status;
}

static void make_history(uint64_t seed, ns_history kind, ns_sync sync)
{
    struct ns_vfs keeping;
    struct small *small = &history.small;
    ns_db *db;
    memset(&history, 0, sizeof history);
    small_init(small, 0, seed);
    history.below = small->with.vfs;
    keeping = *small->with.vfs;
    keeping.write = write_kept;
    keeping.write_sync = write_sync_kept;
    small->with.vfs = &keeping;
    small->with.history = kind;
    small->with.sync = sync;
    small->with.frame_bytes = 80 * PAGE;
    CHECK_OK(ns_db_open(SMALL_PATH, &small->with, &db));
    for (unsigned i = 0; i < COMMITS; i++) {
        small_commit(small, db, 1 + i * 11 % 50);
        if (i % 9 == 8) CHECK_OK(ns_db_checkpoint(db));
    }
    CHECK_OK(ns_db_close(db));
    small->with.vfs = history.below;
}

static void forget_history(void)
{
    for (size_t i = 0; i < PAGES_MAX; i++) {
        for (size_t v = 0; v < history.pages[i].count; v++)
            free(history.pages[i].versions[v].bytes);
        free(history.pages[i].versions);
    }
    small_deinit(&history.small);
}

/* ---- a copy ---- */

struct copying {
    struct ns__prng prng;
    uint32_t from, to; /* moments */
    size_t block;      /* bytes taken at one moment */
    bool is_rising;
    size_t size;
};

/* The page as it was then; NULL: not yet written. */
static const uint8_t *page_at(uint64_t index, uint32_t moment)
{
    const struct page *page = &history.pages[index];
    const uint8_t *bytes = NULL;
    for (size_t v = 0; v < page->count && page->versions[v].moment <= moment; v++)
        bytes = page->versions[v].bytes;
    return bytes;
}

static uint32_t choose_moment(struct copying *copying, size_t at)
{
    uint64_t width = copying->to - copying->from;
    if (!copying->is_rising)
        return copying->from + (uint32_t)ns__prng_below(&copying->prng, width + 1);
    return copying->from + (uint32_t)(width * at / copying->size);
}

static void copy_block(struct copying *copying, uint8_t *out, size_t at)
{
    uint32_t moment = choose_moment(copying, at);
    size_t end = at + copying->block < copying->size ? at + copying->block : copying->size;
    while (at < end) {
        const uint8_t *page = page_at(at / PAGE, moment);
        size_t piece = PAGE - at % PAGE;
        if (piece > end - at) piece = end - at;
        if (page != NULL) memcpy(out + at, page + at % PAGE, piece);
        at += piece;
    }
}

static struct copying choose_copying(uint64_t seed)
{
    static const size_t blocks[] = {512, 4096, 4096, 32768, 131072};
    struct copying copying = {.prng = {.state = seed}};
    struct ns__prng *prng = &copying.prng;
    uint32_t widths[] = {2, 8, 30, 200, history.moment};
    uint32_t width = widths[ns__prng_below(prng, 5)];
    uint32_t first = 20; /* the file has been created by then */
    copying.from = first + (uint32_t)ns__prng_below(prng, history.moment - first);
    copying.to = history.moment - copying.from < width ? history.moment : copying.from + width;
    copying.block = blocks[ns__prng_below(prng, 5)];
    copying.is_rising = ns__prng_below(prng, 2) == 0;
    bool is_long = ns__prng_below(prng, 4) != 0;
    copying.size = (size_t)history.sizes[is_long ? copying.to : copying.from];
    return copying;
}

struct counts {
    uint64_t whole, refused_at_open, refused_later, verified;
};

/* Makes copy `seed` and looks at it; false: what it shows was never the content of the database. */
static bool try_copy(uint64_t seed, struct counts *counts)
{
    struct copying copying = choose_copying(seed);
    struct small copy = history.small;
    uint8_t *bytes = calloc(1, copying.size);
    uint64_t id;
    assert_non_null(bytes);
    for (size_t at = 0; at < copying.size; at += copying.block)
        copy_block(&copying, bytes, at);
    CHECK_OK(ns__mem_new(NS__MEM_FAKE_TIME, seed, NULL, &copy.mem));
    CHECK_OK(ns__mem_file_set(copy.mem, SMALL_PATH, ns_bytes(bytes, copying.size)));
    copy.with.vfs = ns__mem_vfs(copy.mem);
    ns_status verdict = ns_db_verify(SMALL_PATH, &copy.with, NULL, NULL);
    enum small_outcome outcome = small_look(&copy, &copy.with, &id);
    bool is_in_range = id >= history.settled[copying.from] && id <= history.begun[copying.to];
    bool is_right = outcome != SMALL_WRONG && (outcome == SMALL_REFUSED || is_in_range) &&
                    (verdict == NS_OK || small_is_refusal(verdict)) &&
                    (verdict != NS_OK || outcome == SMALL_WHOLE);
    counts->whole += outcome == SMALL_WHOLE;
    counts->verified += verdict == NS_OK;
    counts->refused_at_open += outcome == SMALL_REFUSED && id == UINT64_MAX;
    counts->refused_later += outcome == SMALL_REFUSED && id != UINT64_MAX;
    ns__mem_free(copy.mem);
    free(bytes);
    return is_right;
}

static uint64_t copies_wanted(void)
{
    const char *text = getenv("NS_MIXED_COPIES");
    return text != NULL ? strtoull(text, NULL, 10) : 600;
}

static void run_copies(ns_history kind, ns_sync sync, uint64_t first_seed)
{
    struct counts counts = {0, 0, 0, 0};
    make_history(first_seed, kind, sync);
    for (uint64_t i = 0; i < copies_wanted(); i++) {
        if (!try_copy(first_seed + i, &counts)) fail_msg("copy %llu", (unsigned long long)i);
    }
    print_message("seed %llu, %u moments: %llu copies whole (%llu to verify too), %llu refused at "
                  "open, %llu while reading\n",
                  (unsigned long long)first_seed, history.moment, (unsigned long long)counts.whole,
                  (unsigned long long)counts.verified, (unsigned long long)counts.refused_at_open,
                  (unsigned long long)counts.refused_later);
    assert_true(counts.whole > 0 && counts.refused_at_open > 0 && counts.refused_later > 0);
    forget_history();
}

static void a_copy_of_a_file_in_use_is_some_version_or_refused(void **state)
{
    (void)state;
    run_copies(NS_HISTORY_ALL, NS_SYNC_FULL, 1000000);
    run_copies(NS_HISTORY_NONE, NS_SYNC_FULL, 2000000);
    run_copies(NS_HISTORY_ALL, NS_SYNC_OFF, 3000000);
    run_copies(NS_HISTORY_NONE, NS_SYNC_OFF, 4000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_of_a_file_in_use_is_some_version_or_refused),
    };
    return cmocka_run_group_tests_name("mixed_copy", tests, NULL, NULL);
}
