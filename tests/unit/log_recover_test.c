/* log_recover_test.c: damage in the log: what was known durable is reported, what was not is a torn
 * tail, and bytes of an older epoch never come back. */
#include "unit/log_world.h"

#include <stdio.h>

static uint8_t *disk_bytes(struct world *world, size_t *size_out)
{
    ns_slice content;
    CHECK_OK(ns__mem_file_get(world->mem, WORLD_PATH, &content));
    uint8_t *bytes = malloc(content.size);
    assert_non_null(bytes);
    memcpy(bytes, content.data, content.size);
    *size_out = content.size;
    return bytes;
}

/* Puts these bytes on the disk and recovers from them. */
static ns_status recover_bytes(struct world *world, const uint8_t *bytes, size_t size,
                               uint64_t from, uint64_t known_durable, struct ns__log_tail *tail_out)
{
    world_detach(world);
    CHECK_OK(ns__mem_file_set(world->mem, WORLD_PATH, ns_bytes(bytes, size)));
    CHECK_OK(world_attach(world, world->mem, world->file.page_size));
    return world_recover(world, from, known_durable, tail_out);
}

static uint64_t position_of(uint64_t log_offset, uint32_t page_size) /* in the first extent */
{
    return WORLD_FIRST_PAGE * page_size + log_offset;
}

static void append_ok(struct world *world, uint64_t id, size_t body_bytes, bool is_sync)
{
    uint64_t end;
    CHECK_OK(world_append(world, id, body_bytes, is_sync, &end));
}

static void each_flipped_bit_of_a_durable_envelope_is_corruption(void **state)
{
    (void)state;
    struct world world;
    world_new(&world, 0, 4096, 2, false);
    append_ok(&world, 1, 24, true);
    uint64_t start = ns__log_end(world.log);
    append_ok(&world, 2, 24, true);
    uint64_t end = ns__log_end(world.log);
    append_ok(&world, 3, 24, true); /* knows that 2 is durable */
    size_t size;
    uint8_t *bytes = disk_bytes(&world, &size);
    struct ns__log_tail tail;
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "log offset %llu: ", (unsigned long long)start);
    for (uint64_t bit = start * 8; bit < end * 8; bit++) {
        uint8_t *byte = bytes + position_of(bit / 8, 4096);
        *byte ^= (uint8_t)(1u << bit % 8);
        CHECK_STATUS(recover_bytes(&world, bytes, size, 0, 0, &tail), NS_CORRUPT);
        assert_non_null(strstr(ns_error_detail(), wanted));
        *byte ^= (uint8_t)(1u << bit % 8);
    }
    CHECK_OK(recover_bytes(&world, bytes, size, 0, 0, &tail));
    check_read(&world, 0, 1, 3);
    world_free(&world);
    free(bytes);
}

static void each_flipped_bit_of_the_last_envelope_is_a_torn_tail(void **state)
{
    (void)state;
    struct world world;
    world_new(&world, 0, 4096, 2, false);
    append_ok(&world, 1, 24, true);
    uint64_t start = ns__log_end(world.log);
    append_ok(&world, 2, 24, true);
    uint64_t end = ns__log_end(world.log);
    size_t size;
    uint8_t *bytes = disk_bytes(&world, &size);
    struct ns__log_tail tail;
    for (uint64_t bit = start * 8; bit < end * 8; bit++) {
        uint8_t *byte = bytes + position_of(bit / 8, 4096);
        *byte ^= (uint8_t)(1u << bit % 8);
        CHECK_OK(recover_bytes(&world, bytes, size, 0, 0, &tail));
        assert_int_equal(tail.end, start);
        check_read(&world, 0, 1, 1);
        world_check(&world);
        /* but not if a meta knows better */
        CHECK_STATUS(recover_bytes(&world, bytes, size, 0, end, &tail), NS_CORRUPT);
        *byte ^= (uint8_t)(1u << bit % 8);
    }
    world_free(&world);
    free(bytes);
}

static void after_a_clean_close_every_flipped_bit_is_corruption(void **state)
{
    (void)state;
    struct world world;
    world_new(&world, 0, 4096, 2, false);
    append_ok(&world, 1, 24, false);
    append_ok(&world, 2, 24, false);
    uint64_t end = ns__log_end(world.log);
    CHECK_OK(ns__log_mark_clean(world.log));
    size_t size;
    uint8_t *bytes = disk_bytes(&world, &size);
    struct ns__log_tail tail;
    for (uint64_t bit = 0; bit < end * 8; bit++) {
        uint8_t *byte = bytes + position_of(bit / 8, 4096);
        *byte ^= (uint8_t)(1u << bit % 8);
        CHECK_STATUS(recover_bytes(&world, bytes, size, 0, 0, &tail), NS_CORRUPT);
        *byte ^= (uint8_t)(1u << bit % 8);
    }
    world_free(&world);
    free(bytes);
}

/* One extent for all, so that no log map is written on the way. */
static void a_witness_far_behind_the_damage_is_found(void **state)
{
    (void)state;
    for (int padded = 0; padded < 2; padded++) {
        struct world world;
        struct ns__log_tail tail;
        world_new(&world, 0, 4096, 400, padded != 0);
        append_ok(&world, 1, 24, true);
        uint64_t start = ns__log_end(world.log), last = 0;
        append_ok(&world, 2, 24, true);
        uint64_t durable = ns__log_end(world.log);
        for (uint64_t id = 3; id < 100; id++) { /* these know of what is before 3 */
            last = ns__log_end(world.log);
            append_ok(&world, id, 9000, false);
        }
        size_t size;
        uint8_t *bytes = disk_bytes(&world, &size);
        memset(bytes + position_of(start, 4096), 0, (size_t)(last - start));
        CHECK_STATUS(recover_bytes(&world, bytes, size, 0, 0, &tail), NS_CORRUPT);
        assert_non_null(strstr(ns_error_detail(), "the envelope at log offset"));
        /* without the last one it is a torn tail, unless a meta knows better */
        bytes[position_of(last + 40, 4096)] ^= 1;
        CHECK_STATUS(recover_bytes(&world, bytes, size, 0, durable, &tail), NS_CORRUPT);
        CHECK_OK(recover_bytes(&world, bytes, size, 0, 0, &tail));
        assert_int_equal(tail.end, start);
        world_free(&world);
        free(bytes);
    }
}

static void a_hole_in_what_was_never_synced_is_a_torn_tail(void **state)
{
    (void)state;
    struct world world;
    struct ns__log_tail tail;
    world_new(&world, 0, 4096, 4, false);
    append_ok(&world, 1, 24, true);
    append_ok(&world, 2, 24, false);
    uint64_t start = ns__log_end(world.log);
    append_ok(&world, 3, 24, false);
    append_ok(&world, 4, 24, false);
    size_t size;
    uint8_t *bytes = disk_bytes(&world, &size);
    bytes[position_of(start + 40, 4096)] ^= 1;
    CHECK_OK(recover_bytes(&world, bytes, size, 0, 0, &tail));
    assert_int_equal(tail.end, start);
    check_read(&world, 0, 1, 2);
    append_ok(&world, 3, 24, false);
    CHECK_OK(world_reopen(&world, 0, 0, &tail));
    check_read(&world, 0, 1, 3); /* not 4: that tail does not revive */
    world_free(&world);
    free(bytes);
}

/* What a recovery showed was made durable first, and the log map knows it. */
static void damage_in_what_a_recovery_settled_is_corruption(void **state)
{
    (void)state;
    struct world world;
    struct ns__log_tail tail;
    world_new(&world, 0, 4096, 2, false);
    append_ok(&world, 1, 24, false);
    CHECK_OK(world_reopen(&world, 0, 0, &tail));
    uint64_t fresh = WORLD_FIRST_PAGE + 2; /* behind the first extent */
    size_t size;
    uint8_t *bytes = disk_bytes(&world, &size);
    for (uint64_t bit = 0; bit < 136 * 8; bit++) {
        uint8_t *byte = bytes + fresh * 4096 + bit / 8;
        *byte ^= (uint8_t)(1u << bit % 8);
        CHECK_STATUS(recover_bytes(&world, bytes, size, 0, 0, &tail), NS_CORRUPT);
        *byte ^= (uint8_t)(1u << bit % 8);
    }
    world_free(&world);
    free(bytes);
}

/* An old tail, byte for byte at its old place, behind a log that was settled before it. */
static void an_old_tail_never_revives(void **state)
{
    (void)state;
    struct world world;
    struct ns__log_tail tail;
    world_new(&world, 0, 4096, 4, false);
    append_ok(&world, 1, 24, true);
    uint64_t start = ns__log_end(world.log);
    append_ok(&world, 2, 24, false);
    append_ok(&world, 3, 24, false);
    size_t size;
    uint8_t *bytes = disk_bytes(&world, &size);
    bytes[position_of(start + 8, 4096)] ^= 1; /* 2 is torn, 3 remains */
    CHECK_OK(recover_bytes(&world, bytes, size, 0, 0, &tail));
    append_ok(&world, 2, 24, true);
    uint64_t end = ns__log_end(world.log);
    free(bytes);

    /* what would follow now in the fresh extent: the old record 3 */
    bytes = disk_bytes(&world, &size);
    uint64_t old = position_of(end, 4096), found = 0;
    for (uint64_t at = 0; at + 136 <= size; at += 8) { /* the new record 2, by its content */
        if (at != position_of(start, 4096) && memcmp(bytes + at + 8, "NSE1", 4) == 0) found = at;
    }
    assert_true(found > 0);
    memcpy(bytes + found + 136, bytes + old, 136);
    CHECK_OK(recover_bytes(&world, bytes, size, 0, 0, &tail));
    assert_int_equal(tail.end, end);
    check_read(&world, 0, 1, 2);
    world_free(&world);
    free(bytes);
}

static void hostile_sizes_allocate_nothing_and_are_not_followed(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {UINT64_MAX,
                                     UINT64_MAX - 7,
                                     UINT64_C(1) << 63,
                                     INT64_MAX - 31,
                                     UINT64_C(1) << 62,
                                     1 << 20,
                                     2 * 4096 - 136 - 24,
                                     4096,
                                     8,
                                     7};
    struct world world;
    struct ns__log_tail tail;
    world_new(&world, 0, 4096, 2, false);
    append_ok(&world, 1, 24, true);
    append_ok(&world, 2, 24, false);
    size_t size;
    uint8_t *bytes = disk_bytes(&world, &size);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ns__store64(bytes + position_of(136 + 16, 4096), sizes[i]);
        CHECK_OK(recover_bytes(&world, bytes, size, 0, 0, &tail));
        assert_int_equal(tail.end, 136);
    }
    world_free(&world);
    free(bytes);
}

/* Each bit of both maps: one alone is made good from the other; both are corruption. */
static void one_damaged_log_map_is_made_good_from_the_other(void **state)
{
    (void)state;
    struct world world;
    struct ns__log_tail tail;
    world_new(&world, 0, 4096, 2, false);
    append_ok(&world, 1, 24, true);
    CHECK_OK(ns__log_mark_clean(world.log));
    size_t size;
    uint8_t *bytes = disk_bytes(&world, &size);
    for (uint64_t bit = 0; bit < 2 * 4096 * 8; bit += 5) {
        uint8_t *byte = bytes + 2 * 4096 + bit / 8;
        *byte ^= (uint8_t)(1u << bit % 8);
        CHECK_OK(recover_bytes(&world, bytes, size, 0, 0, &tail));
        assert_true(tail.is_clean);
        check_read(&world, 0, 1, 1);
        size_t repaired_size;
        uint8_t *repaired = disk_bytes(&world, &repaired_size);
        uint64_t other = bit < 4096 * 8 ? 3 : 2;
        memset(repaired + other * 4096, 0, 4096); /* now the other one goes */
        CHECK_OK(recover_bytes(&world, repaired, repaired_size, 0, 0, &tail));
        check_read(&world, 0, 1, 1);
        free(repaired);
        bytes[(2 + (bit < 4096 * 8)) * 4096 + 100] ^= 1;
        CHECK_STATUS(recover_bytes(&world, bytes, size, 0, 0, &tail), NS_CORRUPT);
        bytes[(2 + (bit < 4096 * 8)) * 4096 + 100] ^= 1;
        *byte ^= (uint8_t)(1u << bit % 8);
    }
    world_free(&world);
    free(bytes);
}

static void recovery_starts_only_inside_the_log(void **state)
{
    (void)state;
    static const uint64_t starts[] = {4, 8200, UINT64_MAX - 7, UINT64_C(1) << 62};
    struct world world;
    struct ns__log_tail tail;
    world_new(&world, 0, 4096, 2, false);
    append_ok(&world, 1, 24, true);
    size_t size;
    uint8_t *bytes = disk_bytes(&world, &size);
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        CHECK_STATUS(recover_bytes(&world, bytes, size, starts[i], 0, &tail), NS_CORRUPT);
    }
    CHECK_STATUS(recover_bytes(&world, bytes, size, 0, 140, &tail), NS_CORRUPT);
    CHECK_STATUS(recover_bytes(&world, bytes, size, 0, 4, &tail), NS_CORRUPT);
    world_free(&world);
    free(bytes);
}

static void a_forged_tail_costs_bounded_time(void **state)
{
    (void)state;
    struct world world;
    struct ns__log_tail tail;
    world_new(&world, 0, 4096, 256, false);
    append_ok(&world, 1, 24, true);
    size_t size;
    uint8_t *bytes = disk_bytes(&world, &size);
    uint64_t log_bytes = 256 * 4096;
    for (uint64_t at = 1024; at + 64 < log_bytes; at += 32) { /* headers that matter, all wrong */
        uint8_t *header = bytes + position_of(at, 4096);
        memcpy(header + 8, "NSE1", 4);
        ns__store32(header + 12, 1);
        ns__store64(header + 16, (log_bytes - at - 32) / 8 * 8);
        ns__store64(header + 24, at);
    }
    CHECK_STATUS(recover_bytes(&world, bytes, size, 0, 0, &tail), NS_CORRUPT);
    assert_non_null(strstr(ns_error_detail(), "forged"));
    world_free(&world);
    free(bytes);
}

static void a_settle_without_space_leaves_everything_as_it_was(void **state)
{
    (void)state;
    struct world world;
    struct ns__log_tail tail;
    world_new(&world, 0, 4096, 4, false);
    append_ok(&world, 1, 24, true);
    append_ok(&world, 2, 5000, false);
    world.space.limit = WORLD_FIRST_PAGE + 4;
    uint64_t hash = ns__mem_image_hash(world.mem);
    CHECK_STATUS(world_reopen(&world, 0, 0, &tail), NS_FULL);
    assert_int_equal(ns__mem_image_hash(world.mem), hash);
    world.space.reserve = 3; /* what [w, x) needs, and one page */
    CHECK_OK(world_reopen(&world, 0, 0, &tail));
    check_read(&world, 0, 1, 2);
    world_check(&world);
    world_free(&world);
}

static void recovering_again_and_again_keeps_the_size(void **state)
{
    (void)state;
    struct world world;
    struct ns__log_tail tail;
    world_new(&world, 0, 4096, 4, false);
    append_ok(&world, 1, 24, true);
    for (int i = 0; i < 300; i++) {
        CHECK_OK(world_reopen(&world, 0, 0, &tail));
        check_read(&world, 0, 1, 1);
        world_check(&world);
    }
    assert_true(ns__log_pages(world.log) <= 7);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_flipped_bit_of_a_durable_envelope_is_corruption),
        cmocka_unit_test(each_flipped_bit_of_the_last_envelope_is_a_torn_tail),
        cmocka_unit_test(after_a_clean_close_every_flipped_bit_is_corruption),
        cmocka_unit_test(a_witness_far_behind_the_damage_is_found),
        cmocka_unit_test(a_hole_in_what_was_never_synced_is_a_torn_tail),
        cmocka_unit_test(damage_in_what_a_recovery_settled_is_corruption),
        cmocka_unit_test(an_old_tail_never_revives),
        cmocka_unit_test(hostile_sizes_allocate_nothing_and_are_not_followed),
        cmocka_unit_test(one_damaged_log_map_is_made_good_from_the_other),
        cmocka_unit_test(recovery_starts_only_inside_the_log),
        cmocka_unit_test(a_forged_tail_costs_bounded_time),
        cmocka_unit_test(a_settle_without_space_leaves_everything_as_it_was),
        cmocka_unit_test(recovering_again_and_again_keeps_the_size),
    };
    return cmocka_run_group_tests_name("log_recover", tests, NULL, NULL);
}
