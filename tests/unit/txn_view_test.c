/* txn_view_test.c: look-ups through a write set against a model: single ones, many at once, and
 * their versions. */
#include "harness/test.h"

#include "txn_world.h"

#define KEYS 300u
#define KEYSPACES 3u

struct model {
    struct db db;
    struct ns__prng prng;
    ns_keyspace keyspaces[KEYSPACES];
    uint32_t values[KEYSPACES][KEYS]; /* 0: absent */
    uint64_t versions[KEYSPACES][KEYS];
};

static ns_slice key_at(uint32_t i)
{
    static char texts[KEYS][24];
    int size = snprintf(texts[i], sizeof texts[i], "%05u/%u", i * 7, i % 11);
    return ns_bytes(texts[i], (size_t)size);
}

static ns_slice value_of(uint32_t value)
{
    static char texts[8][300];
    static uint32_t turn;
    char *text = texts[turn++ % 8];
    memset(text, 'a' + (int)(value % 26), sizeof texts[0]);
    return ns_bytes(text, value % 300);
}

static void change(struct model *model)
{
    uint32_t k = (uint32_t)ns__prng_below(&model->prng, KEYSPACES);
    uint32_t i = (uint32_t)ns__prng_below(&model->prng, KEYS);
    uint64_t kind = ns__prng_below(&model->prng, 100);
    ns_keyspace keyspace = model->keyspaces[k];
    if (kind < 60) {
        uint32_t value = 1 + (uint32_t)ns__prng_below(&model->prng, 5000);
        CHECK_OK(ns__writeset_put(&model->db.set, keyspace, key_at(i), value_of(value)));
        model->values[k][i] = value;
        model->versions[k][i] = 0;
    } else if (kind < 98) {
        bool was_there = db_del(&model->db, keyspace, key_at(i));
        assert_int_equal(was_there, model->values[k][i] != 0);
        model->values[k][i] = 0;
    } else {
        uint32_t to = i + (uint32_t)ns__prng_below(&model->prng, 20);
        ns_slice end = to < KEYS ? key_at(to) : ns_bytes(NULL, 0);
        CHECK_OK(ns__writeset_del_range(&model->db.set, keyspace, key_at(i), end));
        for (; i < to && i < KEYS; i++)
            model->values[k][i] = 0;
    }
}

static void check_one(const struct model *model, uint32_t k, uint32_t i, ns_status status,
                      ns_slice value)
{
    uint32_t wanted = model->values[k][i];
    CHECK_STATUS(status, wanted != 0 ? NS_OK : NS_NOTFOUND);
    assert_true(ns__slice_equal(value, wanted != 0 ? value_of(wanted) : ns_bytes(NULL, 0)));
}

static void check_all(struct model *model)
{
    static ns_slice keys[KEYS], values[KEYS];
    static ns_status statuses[KEYS];
    struct ns__view *view = &model->db.view;
    for (uint32_t k = 0; k < KEYSPACES; k++) {
        for (uint32_t i = 0; i < KEYS; i++) {
            uint64_t version = 99, wanted = model->values[k][i] != 0 ? model->versions[k][i] : 0;
            ns_slice value;
            keys[i] = key_at(i);
            ns_status status = ns__view_get(view, model->keyspaces[k], keys[i], &value, &version);
            check_one(model, k, i, status, value);
            assert_int_equal(version, wanted);
        }
        uint32_t first = (uint32_t)ns__prng_below(&model->prng, KEYS);
        CHECK_OK(ns__view_get_many(view, model->keyspaces[k], KEYS - first, keys + first,
                                   values + first, statuses + first));
        for (uint32_t i = first; i < KEYS; i++)
            check_one(model, k, i, statuses[i], values[i]);
    }
}

static void look_ups_see_the_set_first_and_the_base_behind_it(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        static struct model model;
        print_message("seed %u\n", (unsigned)seed);
        memset(&model, 0, sizeof model);
        model.prng.state = seed;
        db_init(&model.db, seed);
        model.keyspaces[1] = db_create(&model.db, "one");
        model.keyspaces[2] = db_create(&model.db, "two");
        for (uint64_t transaction = 1; transaction <= 8; transaction++) {
            for (uint32_t step = 0; step < 120; step++) {
                change(&model);
                if (step % 40 == 39) check_all(&model);
            }
            db_commit(&model.db);
            for (uint32_t i = 0; i < KEYSPACES * KEYS; i++) {
                uint64_t *version = &model.versions[i / KEYS][i % KEYS];
                if (*version == 0) *version = transaction;
            }
            check_all(&model);
            model.db.view.set = NULL;
            check_all(&model);
            db_refresh(&model.db);
        }
        db_deinit(&model.db);
    }
}

static void an_unknown_or_dropped_keyspace_is_not_found(void **state)
{
    (void)state;
    struct db db;
    ns_slice keys[2] = {ns_str("a"), ns_str("b")}, values[2];
    ns_status statuses[2];
    uint64_t version = 5;
    db_init(&db, 1);
    ns_keyspace there = db_create(&db, "there");
    db_put(&db, there, "a", "1");
    db_commit(&db);
    CHECK_OK(ns__view_get(&db.view, there, keys[0], &values[0], &version));
    assert_int_equal(version, 1);
    db_drop(&db, "there");
    for (int round = 0; round < 4; round++) {
        ns_keyspace keyspace = round < 2 ? there : there + 1;
        CHECK_STATUS(ns__view_get(&db.view, keyspace, keys[0], &values[0], &version), NS_NOTFOUND);
        assert_null(values[0].data);
        assert_int_equal(version, 0);
        values[1] = keys[0];
        CHECK_STATUS(ns__view_get_many(&db.view, keyspace, 2, keys, values, statuses), NS_NOTFOUND);
        CHECK_STATUS(statuses[1], NS_NOTFOUND);
        assert_null(values[1].data);
        if (round == 1) db_commit(&db);
    }
    db_deinit(&db);
}

static void a_view_remembers_more_trees_than_it_has_room_for(void **state)
{
    (void)state;
    struct db db;
    ns_keyspace keyspaces[10];
    char text[8];
    ns_slice value;
    db_init(&db, 1);
    for (uint32_t i = 0; i < 10; i++) {
        (void)snprintf(text, sizeof text, "k%u", i);
        keyspaces[i] = db_create(&db, text);
        db_put(&db, keyspaces[i], "key", text);
    }
    db_commit(&db);
    db.view.set = NULL;
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t k = i * 7 % 10;
        (void)snprintf(text, sizeof text, "k%u", k);
        CHECK_OK(ns__view_get(&db.view, keyspaces[k], ns_str("key"), &value, NULL));
        assert_true(ns__slice_equal(value, ns_str(text)));
        CHECK_STATUS(ns__view_get(&db.view, 1, ns_str("key"), &value, NULL), NS_NOTFOUND);
    }
    db_deinit(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(look_ups_see_the_set_first_and_the_base_behind_it),
        cmocka_unit_test(an_unknown_or_dropped_keyspace_is_not_found),
        cmocka_unit_test(a_view_remembers_more_trees_than_it_has_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
