/* db_locate_test.c: what is this file? One table says what becomes of every kind of content, for
 * every page size; nothing is ever written to find out (CRE-1, CRE-2, REC-1). */
#include "harness/test.h"

#include <stdlib.h>
#include <string.h>
#include "base/prng.h"
#include "db/db.h"

#define PATH "file.ns"

/* ---- files to look at ---- */

struct image {
    uint32_t page_size;
    uint8_t *bytes;
    size_t size;
};

static ns_options options_for(const struct ns_vfs *vfs, uint32_t page_size)
{
    return (ns_options){.flags = NS_NO_THREADS,
                        .page_size = page_size,
                        .vfs = vfs,
                        .frame_bytes = 64 * (uint64_t)page_size,
                        .max_readers = 4};
}

static void commit_one(ns_db *db, const char *key)
{
    ns_txn *txn;
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    CHECK_OK(ns_txn_put(txn, NS_MAIN, ns_str(key), ns_str("value")));
    CHECK_OK(ns_txn_commit(txn, NULL));
}

/* A closed database with two checkpoints: sequences 3 (page 1) and 4 (page 0). */
static void image_of_database(struct image *image, uint32_t page_size, uint64_t seed)
{
    struct ns__mem *mem;
    ns_db *db;
    ns_slice content;
    CHECK_OK(ns__mem_new(NS__MEM_FAKE_TIME, seed, NULL, &mem));
    ns_options options = options_for(ns__mem_vfs(mem), page_size);
    CHECK_OK(ns_db_open(PATH, &options, &db));
    commit_one(db, "a");
    CHECK_OK(ns_db_checkpoint(db));
    commit_one(db, "b");
    CHECK_OK(ns_db_close(db));
    CHECK_OK(ns__mem_file_get(mem, PATH, &content));
    image->page_size = page_size;
    image->size = content.size;
    image->bytes = malloc(content.size + 1);
    assert_non_null(image->bytes);
    memcpy(image->bytes, content.data, content.size);
    ns__mem_free(mem);
}

static uint8_t *block(struct image *image, uint32_t page)
{
    return image->bytes + (size_t)page * image->page_size;
}

static void seal(struct image *image, uint32_t page)
{
    uint8_t *bytes = block(image, page);
    ns__store64(bytes + 4088, ns__checksum64(bytes, 4088, page));
}

/* ---- what can happen to a file ---- */

static void nothing(struct image *image)
{
    (void)image;
}

static void make_empty(struct image *image)
{
    image->size = 0;
}

static void make_zero(struct image *image)
{
    memset(image->bytes, 0, image->size);
}

static void make_zero_and_short(struct image *image)
{
    make_zero(image);
    image->size = 3;
}

static void make_text(struct image *image)
{
    for (size_t i = 0; i < image->size; i++)
        image->bytes[i] = (uint8_t) "To be or not to be, "[i % 20];
}

static void make_short_text(struct image *image)
{
    make_text(image);
    image->size = 100;
}

/* As disk images and sparse files begin. */
static void make_zeros_then_text(struct image *image)
{
    make_text(image);
    memset(image->bytes, 0, 4 * (size_t)image->page_size);
}

static void make_another_database(struct image *image)
{
    make_text(image);
    memcpy(image->bytes, "SQLite format 3", 16);
}

static void flip_meta_0(struct image *image)
{
    block(image, 0)[300] ^= 1;
}

static void flip_meta_1(struct image *image)
{
    block(image, 1)[4095] ^= 0x80;
}

static void flip_both(struct image *image)
{
    flip_meta_0(image);
    flip_meta_1(image);
}

static void zero_meta_0(struct image *image)
{
    memset(block(image, 0), 0, 4096);
}

static void zero_meta_1(struct image *image)
{
    memset(block(image, 1), 0, 4096);
}

/* In a file that has been used: its log maps say so. */
static void zero_both(struct image *image)
{
    zero_meta_0(image);
    zero_meta_1(image);
}

static void flip_one_and_zero_the_other(struct image *image)
{
    zero_meta_0(image);
    flip_meta_1(image);
}

static void newer_meta_0(struct image *image)
{
    ns__store32(block(image, 0) + 8, NS__FORMAT_VERSION + 1);
    seal(image, 0);
}

static void newer_meta_1(struct image *image)
{
    ns__store32(block(image, 1) + 8, NS__FORMAT_VERSION + 7);
    seal(image, 1);
}

static void newer_both(struct image *image)
{
    newer_meta_0(image);
    newer_meta_1(image);
}

static void sequences_apart(struct image *image)
{
    ns__store64(block(image, 0) + 32, 6);
    seal(image, 0);
}

static void other_uuid(struct image *image)
{
    block(image, 1)[16] ^= 1;
    seal(image, 1);
}

static void only_the_magic(struct image *image)
{
    image->size = 8;
}

static void cut_behind_meta_0(struct image *image)
{
    image->size = 4096;
}

static void cut_by_a_page(struct image *image)
{
    image->size -= image->page_size;
}

static void longer_by_some_bytes(struct image *image)
{
    image->bytes[image->size++] = 0x55;
}

struct row {
    const char *name;
    void (*make)(struct image *image);
    ns_status status;
    bool is_new;
    uint64_t sequence;
    bool has_older;
};

#define FOUND NS_OK, false
#define NEW NS_OK, true, 0, false
#define REFUSED(status) status, false, 0, false

static const struct row rows[] = {
    {"as it was closed", nothing, FOUND, 4, true},
    {"longer than whole pages", longer_by_some_bytes, FOUND, 4, true},
    {"empty", make_empty, NEW},
    {"three zero bytes", make_zero_and_short, NEW},
    {"only zeros", make_zero, NEW},
    {"text", make_text, REFUSED(NS_NOTADB)},
    {"a short text", make_short_text, REFUSED(NS_NOTADB)},
    {"zeros, then text", make_zeros_then_text, REFUSED(NS_NOTADB)},
    {"another database", make_another_database, REFUSED(NS_NOTADB)},
    {"meta 0 damaged", flip_meta_0, FOUND, 3, false},
    {"meta 1 damaged", flip_meta_1, FOUND, 4, false},
    {"meta 0 zero", zero_meta_0, FOUND, 3, false},
    {"meta 1 zero", zero_meta_1, FOUND, 4, false},
    {"both metas damaged", flip_both, REFUSED(NS_CORRUPT)},
    {"one damaged, one zero", flip_one_and_zero_the_other, REFUSED(NS_CORRUPT)},
    {"both zero in a used file", zero_both, REFUSED(NS_CORRUPT)},
    {"meta 0 of a newer version", newer_meta_0, REFUSED(NS_VERSION)},
    {"meta 1 of a newer version", newer_meta_1, REFUSED(NS_VERSION)},
    {"both of a newer version", newer_both, REFUSED(NS_VERSION)},
    {"sequences not neighbours", sequences_apart, REFUSED(NS_CORRUPT)},
    {"metas of two files", other_uuid, REFUSED(NS_CORRUPT)},
    {"the magic and no more", only_the_magic, REFUSED(NS_CORRUPT)},
    {"cut behind meta 0", cut_behind_meta_0, REFUSED(NS_CORRUPT)},
    {"cut by a page", cut_by_a_page, REFUSED(NS_CORRUPT)},
};

/* ---- looking ---- */

static ns_status locate(struct ns__mem *mem, struct ns__located *located)
{
    const struct ns_vfs *vfs = ns__mem_vfs(mem);
    struct ns_vfs_file *file;
    struct ns__alloc alloc;
    ns__alloc_init(&alloc, NULL);
    CHECK_OK(vfs->open(vfs->ctx, PATH, 0, &file));
    ns_status status = ns__locate(vfs, file, &alloc, located);
    vfs->close(vfs->ctx, file);
    assert_int_equal(alloc.bytes, 0);
    return status;
}

static bool row_is_right(const struct row *row, const struct image *image,
                         struct ns__located *located)
{
    struct ns__mem *mem;
    CHECK_OK(ns__mem_new(0, 1, NULL, &mem));
    CHECK_OK(ns__mem_file_set(mem, PATH, ns_bytes(image->bytes, image->size)));
    uint64_t hash = ns__mem_image_hash(mem);
    ns_status status = locate(mem, located);
    if (status != row->status || (status == NS_OK && located->is_new != row->is_new)) {
        print_error("%s, pages of %u bytes: %s, %s: %s\n", row->name, image->page_size,
                    ns_status_name(status), located->is_new ? "new" : "not new", ns_error_detail());
        ns__mem_free(mem);
        return false;
    }
    if (status != NS_OK) {
        assert_true(strlen(ns_error_detail()) > 10);
        assert_false(located->is_new);
    } else {
        assert_int_equal(located->file_bytes, image->size);
    }
    if (status == NS_OK && !row->is_new) {
        assert_int_equal(located->newest.sequence, row->sequence);
        assert_int_equal(located->newest.page_size, image->page_size);
        assert_int_equal(located->has_older, row->has_older);
        if (row->has_older) assert_int_equal(located->older.sequence, row->sequence - 1);
    }
    assert_int_equal(ns__mem_image_hash(mem), hash); /* the checker: left untouched */
    ns__mem_free(mem);
    return true;
}

static void each_kind_of_file_has_its_answer(void **state)
{
    (void)state;
    struct ns__located *located = malloc(sizeof *located);
    assert_non_null(located);
    uint32_t wrong = 0;
    for (uint32_t page_size = 4096; page_size <= 65536; page_size *= 2) {
        struct image image, changed;
        image_of_database(&image, page_size, 1);
        changed = image;
        changed.bytes = malloc(image.size + 1);
        assert_non_null(changed.bytes);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            memcpy(changed.bytes, image.bytes, image.size);
            changed.size = image.size;
            rows[i].make(&changed);
            wrong += !row_is_right(&rows[i], &changed, located);
        }
        free(changed.bytes);
        free(image.bytes);
    }
    free(located);
    assert_int_equal(wrong, 0);
}

static bool keep_by_seed(void *ctx, uint64_t atom)
{
    struct ns__prng prng = {.state = *(uint64_t *)ctx * 1000003 + atom};
    return ns__prng_below(&prng, 2) == 0;
}

/* Creates until the nth call, where the power goes. false: there is no nth call. */
static bool cut_creation_at(uint32_t page_size, uint64_t nth, struct ns__located *located)
{
    struct ns__mem *mem;
    ns_db *db;
    CHECK_OK(ns__mem_new(NS__MEM_DURABILITY, nth, NULL, &mem));
    ns_options options = options_for(ns__mem_vfs(mem), page_size);
    ns__mem_stop_at(mem, nth);
    ns_status status = ns_db_open(PATH, &options, &db);
    bool was_cut = ns__mem_stopped(mem);
    if (status == NS_OK) (void)ns_db_close(db);
    for (uint64_t seed = 0; was_cut && seed < 4; seed++) {
        struct ns__mem *after;
        CHECK_OK(ns__mem_crash(mem, seed % 2 == 0 ? 512 : 4096, keep_by_seed, &seed, seed, &after));
        const struct ns_vfs *vfs = ns__mem_vfs(after);
        if (vfs->exists(vfs->ctx, PATH) == NS_OK) {
            CHECK_OK(locate(after, located)); /* new, or created: never damaged or foreign */
            options.vfs = vfs;
            CHECK_OK(ns_db_open(PATH, &options, &db));
            commit_one(db, "after");
            CHECK_OK(ns_db_close(db));
            CHECK_OK(ns_db_verify(PATH, &options, NULL, NULL));
        }
        ns__mem_free(after);
    }
    ns__mem_free(mem);
    return was_cut;
}

/* CRE-1, CRE-2 */
static void a_creation_cut_anywhere_is_begun_again_or_complete(void **state)
{
    (void)state;
    struct ns__located *located = malloc(sizeof *located);
    assert_non_null(located);
    const uint32_t page_sizes[] = {4096, 16384};
    for (size_t i = 0; i < 2; i++) {
        uint64_t nth = 1;
        while (cut_creation_at(page_sizes[i], nth, located))
            nth++;
        assert_true(nth > 10);
    }
    free(located);
}

static void a_failure_to_read_is_not_taken_for_an_answer(void **state)
{
    (void)state;
    struct ns__located *located = malloc(sizeof *located);
    struct image image;
    assert_non_null(located);
    image_of_database(&image, 4096, 1);
    make_zero(&image); /* most reads: all of it is looked at for a cut creation */
    struct ns__mem *mem;
    CHECK_OK(ns__mem_new(0, 1, NULL, &mem));
    CHECK_OK(ns__mem_file_set(mem, PATH, ns_bytes(image.bytes, image.size)));
    uint64_t nth = 2; /* 1 is the open */
    for (;; nth += 1 + nth / 8) {
        ns__mem_fail(mem, nth, 0, NS_IO, false);
        ns_status status = locate(mem, located);
        ns__mem_fail(mem, 0, 0, NS_OK, false);
        if (status == NS_OK) break;
        CHECK_STATUS(status, NS_IO);
    }
    assert_true(nth > 12);
    assert_true(located->is_new);
    ns__mem_free(mem);
    free(image.bytes);
    free(located);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_file_has_its_answer),
        cmocka_unit_test(a_creation_cut_anywhere_is_begun_again_or_complete),
        cmocka_unit_test(a_failure_to_read_is_not_taken_for_an_answer),
    };
    return cmocka_run_group_tests_name("db_locate", tests, NULL, NULL);
}
