/* txn_view_hash_test.c: the state hash (FMT-28) depends on the content alone. */
#include "harness/test.h"

#include "txn_world.h"

static void hash_of(struct db *db, uint8_t hash[16])
{
    CHECK_OK(ns__view_state_hash(&db->view, &stub.alloc, hash));
}

static void an_empty_database_has_a_zero_hash(void **state)
{
    (void)state;
    struct db db;
    uint8_t hash[16];
    static const uint8_t zero[16];
    db_init(&db, 1);
    hash_of(&db, hash);
    assert_memory_equal(hash, zero, 16);
    db_deinit(&db);
}

/* The definition, written out for a content of three entries. */
static void the_hash_is_the_sum_that_the_format_says(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        uint64_t seed;
    } terms[] = {
        {"\0\0\0\0\1\0\0\0aone", 12, 3},
        {"\0\0\0\0\2\0\0\0bb", 10, 3},
        {"\2\0\0\0ks\1\0\0\0kvalue", 16, 3},
        {"ks", 2, 4},
    };
    struct db db;
    uint8_t hash[16], wanted[16];
    uint64_t low = 0, high = 0;
    for (size_t i = 0; i < 4; i++) {
        struct ns__hash128 term = ns__hash128(terms[i].bytes, terms[i].size, terms[i].seed);
        uint64_t before = low;
        low += term.low;
        high += term.high + (low < before ? 1 : 0);
    }
    ns__store64(wanted, low);
    ns__store64(wanted + 8, high);
    db_init(&db, 1);
    ns_keyspace keyspace = db_create(&db, "ks");
    db_put(&db, NS_MAIN, "a", "one");
    db_put(&db, NS_MAIN, "bb", "");
    db_put(&db, keyspace, "k", "value");
    hash_of(&db, hash);
    assert_memory_equal(hash, wanted, 16);
    db_commit(&db);
    hash_of(&db, hash);
    assert_memory_equal(hash, wanted, 16);
    db_deinit(&db);
}

#define KEYS 400u

static ns_slice key_at(uint32_t i)
{
    static char text[16];
    return ns_bytes(text, (size_t)snprintf(text, sizeof text, "key%u", i));
}

static ns_slice value_of(uint32_t i)
{
    static uint8_t bytes[9000];
    memset(bytes, (int)(i % 256), sizeof bytes);
    return ns_bytes(bytes, i % 40 == 0 ? 9000 : i % 200);
}

/* Reaches the same content by a way that depends on the seed, in up to ten transactions. */
static void make_content(struct db *db, uint64_t seed)
{
    struct ns__prng prng = {.state = seed};
    if (seed % 2 == 0) {
        ns_keyspace detour = db_create(db, "detour");
        db_put(db, detour, "x", "y");
        db_commit(db);
        db_drop(db, "detour");
    }
    ns_keyspace keyspace = db_create(db, "named");
    (void)db_create(db, "empty");
    for (uint32_t n = 0; n < KEYS; n++) {
        uint32_t i = n * 171 % KEYS;
        if (ns__prng_below(&prng, 3) == 0) {
            CHECK_OK(ns__writeset_put(&db->set, NS_MAIN, key_at(i), value_of(i + 1)));
            if (ns__prng_below(&prng, 2) == 0) assert_true(db_del(db, NS_MAIN, key_at(i)));
        }
        if (ns__prng_below(&prng, 40) == 0) db_commit(db);
    }
    CHECK_OK(ns__writeset_del_range(&db->set, NS_MAIN, ns_bytes(NULL, 0), key_at(100)));
    for (uint32_t n = 0; n < KEYS; n++) {
        uint32_t i = (n * 171 + (uint32_t)seed) % KEYS;
        CHECK_OK(ns__writeset_put(&db->set, NS_MAIN, key_at(i), value_of(i)));
        if (i % 3 == 0) CHECK_OK(ns__writeset_put(&db->set, keyspace, key_at(i), value_of(i * 2)));
        if (ns__prng_below(&prng, 80) == 0) db_commit(db);
    }
}

static void equal_content_has_an_equal_hash_however_it_came_about(void **state)
{
    (void)state;
    uint8_t first[16], hash[16], committed[16];
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct db db;
        db_init(&db, seed);
        make_content(&db, seed);
        hash_of(&db, hash);
        db_commit(&db);
        db.view.set = NULL;
        hash_of(&db, committed);
        assert_memory_equal(hash, committed, 16);
        if (seed == 1) memcpy(first, hash, 16);
        assert_memory_equal(hash, first, 16);
        db_refresh(&db);
        CHECK_OK(ns__writeset_put(&db.set, NS_MAIN, ns_str("key7"), ns_str("other")));
        hash_of(&db, hash);
        assert_memory_not_equal(hash, first, 16);
        db_drop(&db, "empty");
        hash_of(&db, committed);
        assert_memory_not_equal(hash, committed, 16);
        db_deinit(&db);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_database_has_a_zero_hash),
        cmocka_unit_test(the_hash_is_the_sum_that_the_format_says),
        cmocka_unit_test(equal_content_has_an_equal_hash_however_it_came_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
