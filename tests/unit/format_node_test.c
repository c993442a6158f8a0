/* format_node_test.c: validation of nodes, and the accessors behind it (FMT-7 to FMT-10, FMT-12,
 * FMT-14). Covers: each law of
 * ns__node_invalid by a node that breaks it; random damage, after which whatever is still accepted
 * can be read, searched and copied without leaving the page (proved under AddressSanitizer). */
#include "btree_world.h"

#define P 4096u

/* ---- one law at a time ---- */

/* A leaf with "ka" = "1", "kb" = run, "kc" = "3", built by hand. */
static void make_leaf(uint8_t *node)
{
    memset(node, 0, P);
    node[NS__NODE_TYPE] = NS__TYPE_LEAF;
    ns__store16(node + NS__NODE_COUNT, 3);
    ns__store16(node + NS__NODE_PREFIX_BYTES, 1);
    ns__store64(node + NS__NODE_VERSION_BASE, 7);
    node[40] = 'k';
    uint32_t heap = P - 4 - 4 - (3 + 1 + NS__RUN_BYTES);
    ns__store32(node + NS__NODE_HEAP, heap);
    for (uint32_t i = 0; i < 3; i++)
        ns__store32_be(node + 48 + 4 * i, 0);
    ns__store32(node + 48, (uint32_t)'a' << 24);
    ns__store32(node + 52, (uint32_t)'b' << 24);
    ns__store32(node + 56, (uint32_t)'c' << 24);
    ns__store16(node + 60, (uint16_t)(P - 4));
    ns__store16(node + 62, (uint16_t)heap);
    ns__store16(node + 64, (uint16_t)(P - 8));
    memcpy(node + P - 4,
           "\1\0\2"
           "1",
           4); /* remainder 1, version 7 + 0, size 1 inline */
    memcpy(node + P - 8,
           "\1\5\2"
           "3",
           4);
    uint8_t *run = node + heap;
    run[0] = 1;
    run[1] = 0;
    run += 2 + ns__varint_store(run + 2, 5000u << 1 | 1);
    ns__run_store(run, &(struct ns__run){.page = 99, .birth = 1, .checksum = 5});
}

/* A branch of level 1 with separator "m" and children in pages 5 and 6. */
static void make_branch(uint8_t *node)
{
    memset(node, 0, P);
    node[NS__NODE_TYPE] = NS__TYPE_BRANCH;
    node[NS__NODE_LEVEL] = 1;
    ns__store16(node + NS__NODE_COUNT, 2);
    ns__store32(node + NS__NODE_HEAP, P - 2);
    ns__store64(node + 40, ns__ref_file(5, 1));
    ns__store64(node + 48, ns__ref_file(6, 2));
    ns__store32(node + 60, (uint32_t)'m' << 24);
    ns__store16(node + 64, (uint16_t)(P - 1));
    ns__store16(node + 66, (uint16_t)(P - 2));
    node[P - 2] = 1;
}

struct damage {
    const char *wanted;
    uint32_t offset, bytes; /* little-endian */
    uint64_t value;
};

static const struct damage leaf_damages[] = {
    {"not a node", NS__NODE_TYPE, 1, 4},
    {"not a node", NS__NODE_TYPE, 1, 0},
    {"level does not fit the type", NS__NODE_LEVEL, 1, 1},
    {"too few entries", NS__NODE_COUNT, 2, 0},
    {"reserved bytes are not zero", 22, 2, 256},
    {"prefix over the limit", NS__NODE_PREFIX_BYTES, 2, P / 4 + 1},
    {"heap begins beyond the page", NS__NODE_HEAP, 4, P + 1},
    {"entries overlap the heap", NS__NODE_HEAP, 4, 65},
    {"entries overlap the heap", NS__NODE_COUNT, 2, 65535},
    {"more dead bytes than heap", NS__NODE_DEAD, 4, P},
    {"cells do not fill the heap", NS__NODE_DEAD, 4, 1},
    {"cells do not fill the heap", NS__NODE_HEAP, 4, P - 100},
    {"heads out of order", 48, 4, 0x70000000},
    {"head longer than its key", 48, 4, 0x61000001},
    {"cell outside the heap", 60, 2, 70},
    {"two entries share a cell", 60, 2, P - 8},
    {"bad key size in a cell", P - 4, 4, 0xffffffff},
    {"key over the limit", P - 4, 2, 0x0880},
    {"bad version in a cell", P - 3, 3, 0xffffff},
    {"version out of range", NS__NODE_VERSION_BASE, 8, UINT64_MAX - 3},
    {"bad value size in a cell", P - 2, 2, 0xffff},
    {"cell leaves the page", P - 2, 1, 4},
    {"cells overlap", P - 6, 1, 4},
    {"run without a page", P - 8 - NS__RUN_BYTES, 8, 0},
};

static const struct damage branch_damages[] = {
    {"level does not fit the type", NS__NODE_LEVEL, 1, 0},
    {"level over the limit", NS__NODE_LEVEL, 1, NS__LEVEL_MAX},
    {"too few entries", NS__NODE_COUNT, 2, 1},
    {"version base in a branch", NS__NODE_VERSION_BASE, 8, 1},
    {"first child has a separator", 56, 4, 1},
    {"first child has a separator", P - 1, 1, 1},
    {"empty reference", 48, 8, 0},
    {"reference to page 0", 48, 8, UINT64_C(1) << 40},
    {"reference to memory in a file", 48, 8, UINT64_C(1) << 63 | 7},
    {"empty key", P - 2, 1, 0},
};

static void want_damage(void (*make)(uint8_t *), const struct damage *damage)
{
    uint8_t *node = malloc(P);
    make(node);
    assert_null(ns__node_invalid(node, P, true));
    for (uint32_t i = 0; i < damage->bytes; i++) {
        node[damage->offset + i] = (uint8_t)(damage->value >> (8 * i));
    }
    const char *got = ns__node_invalid(node, P, true);
    if (got == NULL || strcmp(got, damage->wanted) != 0) {
        fail_msg("byte %u = %llu: wanted '%s', got '%s'", damage->offset,
                 (unsigned long long)damage->value, damage->wanted, got != NULL ? got : "valid");
    }
    free(node);
}

static void each_law_is_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof leaf_damages / sizeof leaf_damages[0]; i++) {
        want_damage(make_leaf, &leaf_damages[i]);
    }
    for (size_t i = 0; i < sizeof branch_damages / sizeof branch_damages[0]; i++) {
        want_damage(make_branch, &branch_damages[i]);
    }
}

static void frames_are_allowed_in_memory_only(void **state)
{
    (void)state;
    uint8_t *node = malloc(P);
    make_branch(node);
    ns__store64(node + 40, ns__ref_frame(0));
    assert_null(ns__node_invalid(node, P, false));
    assert_string_equal(ns__node_invalid(node, P, true), "reference to memory in a file");
    free(node);
}

static void a_hand_made_leaf_reads_as_made(void **state)
{
    (void)state;
    uint8_t *node = malloc(P);
    struct ns__node_entry entry;
    bool found;
    make_leaf(node);
    assert_int_equal(ns__node_search(node, 0, ns_str("kb"), &entry, &found), 1);
    assert_true(found && entry.is_run && entry.value_bytes == 5000 && entry.version == 7);
    assert_int_equal(ns__node_search(node, 0, ns_str("kc"), &entry, &found), 2);
    assert_true(found && entry.version == 12 && entry.value[0] == '3');
    assert_int_equal(ns__node_search(node, 0, ns_str("ka!"), &entry, &found), 1);
    assert_false(found);
    assert_int_equal(ns__node_search(node, 0, ns_str("a"), &entry, &found), 0);
    assert_int_equal(ns__node_search(node, 0, ns_str("k"), &entry, &found), 0);
    assert_int_equal(ns__node_search(node, 0, ns_str("l"), &entry, &found), 3);
    assert_int_equal(ns__node_used_bytes(node, P), 66 + 8 + 4 + NS__RUN_BYTES);
    make_branch(node);
    assert_int_equal(ns__node_child(node, 0, ns_str("lz")), 0);
    assert_int_equal(ns__node_child(node, 0, ns_str("m")), 1);
    assert_int_equal(ns__node_child(node, 0, ns_str("m\1")), 1);
    assert_true(ns__node_separator_compare(node, 1, ns_str("m")) == 0);
    free(node);
}

/* ---- random damage ---- */

/* Everything that an accepted node allows. The result only keeps the reads alive. */
static uint64_t use_node(const uint8_t *node, uint32_t page_size, struct ns__prng *prng)
{
    uint32_t key_room = ns__key_bytes_max(page_size) + 4;
    uint8_t *key = malloc(key_room), *other = malloc(key_room);
    uint64_t sum = ns__node_used_bytes(node, page_size);
    bool is_branch = ns__node_level(node) > 0, found;
    for (uint32_t i = 0; i < ns__node_count(node); i++) {
        struct ns__node_entry entry, match;
        ns__node_entry(node, i, &entry);
        if (ns__node_has_refs(node)) sum += ns__node_ref(node, i);
        if (is_branch && i == 0) continue;
        uint32_t size = ns__node_key_copy(node, i, &entry, key);
        assert_in_range(size, 1, ns__key_bytes_max(page_size));
        memcpy(other, key, size);
        if (ns__prng_below(prng, 2) == 0) other[ns__prng_below(prng, size)] ^= 1;
        if (ns__prng_below(prng, 4) == 0) size = 1 + (uint32_t)ns__prng_below(prng, size);
        ns_slice wanted = ns_bytes(other, size);
        if (is_branch) {
            sum += ns__node_child(node, 0, wanted);
            sum += (uint64_t)ns__node_separator_compare(node, i, wanted);
            continue;
        }
        sum += ns__node_search(node, 0, wanted, &match, &found) + (found ? match.version : 0);
        for (uint32_t k = 0; k < ns__node_stored_bytes(&entry); k++)
            sum += entry.value[k];
    }
    free(key);
    free(other);
    return sum;
}

static void damage_somewhere(uint8_t *node, uint32_t page_size, struct ns__prng *prng)
{
    uint32_t end = ns__node_arrays_end(node) < page_size ? ns__node_arrays_end(node) : page_size;
    uint64_t where = ns__prng_below(prng, 5);
    uint32_t at = (uint32_t)ns__prng_below(prng, page_size - 8);
    if (where == 0) at = 16 + (uint32_t)ns__prng_below(prng, 24);
    if (where == 1) at = 40 + (uint32_t)ns__prng_below(prng, end > 48 ? end - 48 : 1);
    if (where == 2) { /* the beginning of a cell */
        uint32_t slots = ns__node_slots_offset(node);
        uint32_t count = ns__node_count(node);
        if (slots + 2 * count <= page_size && count > 0) {
            at = ns__node_slot(node, (uint32_t)ns__prng_below(prng, count)) +
                 (uint32_t)ns__prng_below(prng, 5);
        }
    }
    at = at < page_size - 1 ? at : page_size - 1;
    node[at] = ns__prng_below(prng, 2) == 0 ? (uint8_t)(node[at] + 1 - 2 * ns__prng_below(prng, 2))
                                            : (uint8_t)ns__prng_next(prng);
}

static void damaged_nodes_are_refused_or_harmless(void **state)
{
    (void)state;
    static const struct world_case cases[] = {
        {"", 4096, KEYS_MIXED, VALUES_MIXED, 0, 0, 20, 0, 2000, false},
        {"", 4096, KEYS_SHORT, VALUES_EMPTY, 0, 0, 40, 0, 2000, false},
        {"", 4096, KEYS_LONG, VALUES_EMPTY, 0, 0, 20, 0, 2000, false},
        {"", 4096, KEYS_RANDOM16, VALUES_100, 0, 0, 20, 0, 2000, true},
        {"", 65536, KEYS_MIXED, VALUES_MIXED, 0, 0, 20, 0, 2000, false},
    };
    uint64_t accepted = 0, refused = 0, sum = 0;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct world world;
        world_init(&world, &cases[c], 31 + c);
        for (int step = 0; step < 8; step++)
            world_step(&world, 150);
        uint8_t *node = malloc(cases[c].page_size); /* exactly: the end is guarded */
        for (uint32_t round = 0; round < 40000; round++) {
            uint32_t number = 1 + (uint32_t)below(&world, 2000);
            if (stub.state[1][number] != STUB_LIVE) continue;
            memcpy(node, stub_node(ns__ref_frame(number)), cases[c].page_size);
            for (uint64_t n = 1 + below(&world, 3); n > 0; n--) {
                damage_somewhere(node, cases[c].page_size, &world.prng);
            }
            if (ns__node_invalid(node, cases[c].page_size, below(&world, 2) == 0) != NULL) {
                refused++;
                continue;
            }
            accepted++;
            sum += use_node(node, cases[c].page_size, &world.prng);
        }
        free(node);
        world_deinit(&world);
    }
    print_message("  %llu refused, %llu accepted (%llx)\n", (unsigned long long)refused,
                  (unsigned long long)accepted, (unsigned long long)sum);
    assert_true(accepted > 1000 && refused > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_law_is_checked),
        cmocka_unit_test(frames_are_allowed_in_memory_only),
        cmocka_unit_test(a_hand_made_leaf_reads_as_made),
        cmocka_unit_test(damaged_nodes_are_refused_or_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
