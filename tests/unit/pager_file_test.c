/* pager_file_test.c: statuses with a detail, counters, and no write after a failed sync. */
#include "harness/test.h"

#include <string.h>
#include "pager/file.h"
#include "vfs/mem.h"

static struct ns__mem *mem;
static struct ns__file file;

static int set_up(void **state)
{
    (void)state;
    memset(&file, 0, sizeof file);
    CHECK_OK(ns__mem_new(NS__MEM_DURABILITY, 1, NULL, &mem));
    file.vfs = ns__mem_vfs(mem);
    file.page_size = 4096;
    CHECK_OK(file.vfs->open(file.vfs->ctx, "f", NS_VFS_CREATE, &file.handle));
    CHECK_OK(file.vfs->allocate(file.vfs->ctx, file.handle, 0, 3 * 4096));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    file.vfs->close(file.vfs->ctx, file.handle);
    ns__mem_free(mem);
    return 0;
}

static void what_is_written_is_read_and_counted(void **state)
{
    (void)state;
    char text[6] = "";
    uint64_t size;
    CHECK_OK(ns__file_write(&file, 5000, "hello", 6));
    CHECK_OK(ns__file_read(&file, 5000, text, 6));
    assert_string_equal(text, "hello");
    CHECK_OK(ns__file_write_sync(&file, 9000, "again", 6));
    CHECK_OK(ns__file_sync(&file));
    CHECK_OK(ns__file_size(&file, &size));
    assert_int_equal(size, 3 * 4096);
    assert_int_equal(file.writes, 1);
    assert_int_equal(file.sync_writes, 1);
    assert_int_equal(file.syncs, 1);
    assert_int_equal(file.bytes_written, 12);
}

static void failures_name_the_page(void **state)
{
    (void)state;
    char byte = 0;
    uint64_t size;
    CHECK_STATUS(ns__file_read(&file, 3 * 4096, &byte, 1), NS_IO);
    assert_string_equal(ns_error_detail(), "read page 3: an operation on a file failed");
    ns__mem_fail(mem, 1, 0, NS_FULL, false);
    CHECK_STATUS(ns__file_write(&file, 4096, &byte, 1), NS_FULL);
    assert_non_null(strstr(ns_error_detail(), "write page 1: "));
    ns__mem_fail(mem, 1, 0, NS_IO, false);
    CHECK_STATUS(ns__file_size(&file, &size), NS_IO);
    assert_int_equal(size, 0);
    CHECK_OK(ns__file_write(&file, 4096, &byte, 1)); /* a plain write may be tried again */
    assert_int_equal(file.writes, 1);
}

static void after_a_failed_sync_only_reading_goes_on(void **state)
{
    (void)state;
    for (int is_sync = 0; is_sync < 2; is_sync++) {
        char byte = 0;
        file.sync_failed = 0;
        ns__mem_fail(mem, 1, 0, NS_IO, false);
        if (is_sync != 0) {
            CHECK_STATUS(ns__file_sync(&file), NS_IO);
            assert_string_equal(ns_error_detail(), "sync: an operation on a file failed");
        } else {
            CHECK_STATUS(ns__file_write_sync(&file, 4096, &byte, 1), NS_IO);
            assert_non_null(strstr(ns_error_detail(), "write page 1: "));
        }
        uint64_t calls = ns__mem_calls(mem);
        CHECK_STATUS(ns__file_sync(&file), NS_POISONED);
        CHECK_STATUS(ns__file_write(&file, 0, &byte, 1), NS_POISONED);
        CHECK_STATUS(ns__file_write_sync(&file, 0, &byte, 1), NS_POISONED);
        assert_int_equal(ns__mem_calls(mem), calls);
        CHECK_OK(ns__file_read(&file, 0, &byte, 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read_and_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_name_the_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(after_a_failed_sync_only_reading_goes_on, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("pager_file", tests, NULL, NULL);
}
