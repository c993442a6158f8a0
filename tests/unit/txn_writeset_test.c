/* txn_writeset_test.c: puts, deletes and deleted ranges against a model that is too simple to be
 * wrong: a flag for every key of a small world. Every body is checked (FMT-26, FMT-27). */
#include "harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/prng.h"
#include "txn/writeset.h"

#define KEYS 60u
#define KEY_MAX 1024u

/* Key i is "k" and two digits, so that order is that of the numbers. */
static ns_slice key_at(size_t index)
{
    static char texts[KEYS + 1][4];
    if (index > KEYS) return ns_bytes(NULL, 0);
    texts[index][0] = 'k';
    texts[index][1] = (char)('0' + index / 10);
    texts[index][2] = (char)('0' + index % 10);
    return ns_bytes(texts[index], 3);
}

struct world {
    struct ns__alloc alloc;
    struct ns__writeset set;
    bool in_base[KEYS];
    /* the model */
    enum ns__writeset_answer said[KEYS]; /* by points */
    bool covered[KEYS + 1];              /* by ranges; the last one: what lies behind all keys */
    uint32_t values[KEYS];
};

static void world_init(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    ns__alloc_init(&world->alloc, NULL);
    ns__writeset_init(&world->set, &world->alloc, seed);
    struct ns__prng prng = {.state = seed};
    for (size_t i = 0; i < KEYS; i++)
        world->in_base[i] = ns__prng_below(&prng, 2) == 0;
}

static void world_deinit(struct world *world)
{
    ns__writeset_deinit(&world->set);
    assert_int_equal(world->alloc.bytes, 0);
}

static ns_slice value_of(uint32_t number)
{
    static uint32_t bytes[64];
    for (size_t i = 0; i < 64; i++)
        bytes[i] = number;
    return ns_bytes(bytes, number % 150);
}

static void put(struct world *world, size_t i, uint32_t value)
{
    CHECK_OK(ns__writeset_put(&world->set, NS_MAIN, key_at(i), value_of(value)));
    world->said[i] = NS__WRITESET_PUT;
    world->values[i] = value;
}

static void del(struct world *world, size_t i)
{
    bool in_base = world->in_base[i] && !world->covered[i];
    CHECK_OK(ns__writeset_del(&world->set, NS_MAIN, key_at(i), in_base));
    world->said[i] = in_base ? NS__WRITESET_DELETED : NS__WRITESET_SILENT;
}

/* to > KEYS: an open end. */
static void del_range(struct world *world, size_t from, size_t to)
{
    ns_slice start = from == 0 && to > 0 ? ns_bytes(NULL, 0) : key_at(from);
    CHECK_OK(ns__writeset_del_range(&world->set, NS_MAIN, start, key_at(to)));
    for (size_t i = from; i < to && i <= KEYS; i++) {
        world->covered[i] = true;
        if (i < KEYS) world->said[i] = NS__WRITESET_SILENT;
    }
}

/* ---- the body that the model expects ---- */

struct bytes {
    uint8_t data[1 << 16];
    size_t size;
    uint64_t ops;
};

static void emit(struct bytes *body, ns_op_kind kind, ns_slice key, ns_slice value)
{
    struct ns_op op = {.kind = kind, .keyspace = NS_MAIN, .key = key, .value = value};
    assert_true(body->size + ns__op_size(&op) <= sizeof body->data);
    body->size += ns__op_encode(&op, body->data + body->size);
    body->ops++;
}

static void expect_body(const struct world *world, struct bytes *body)
{
    body->size = 0;
    body->ops = 0;
    for (size_t i = 0; i <= KEYS; i++) {
        if (!world->covered[i]) continue;
        size_t from = i;
        while (i <= KEYS && world->covered[i])
            i++;
        ns_slice start = from == 0 ? ns_bytes(NULL, 0) : key_at(from);
        emit(body, NS_OP_DEL_RANGE, start, key_at(i));
    }
    for (size_t i = 0; i < KEYS; i++) {
        if (world->said[i] == NS__WRITESET_PUT) {
            emit(body, NS_OP_PUT, key_at(i), value_of(world->values[i]));
        } else if (world->said[i] == NS__WRITESET_DELETED) {
            emit(body, NS_OP_DEL, key_at(i), ns_bytes(NULL, 0));
        }
    }
}

static void body_of(const struct ns__writeset *set, struct bytes *body)
{
    ns__writeset_body_size(set, &body->size, &body->ops);
    assert_true(body->size <= sizeof body->data);
    memset(body->data, 0xee, sizeof body->data);
    ns__writeset_body_encode(set, body->data);
    if (body->size < sizeof body->data) assert_int_equal(body->data[body->size], 0xee);
    uint64_t ops;
    CHECK_OK(ns__body_check(ns_bytes(body->data, body->size), KEY_MAX, &ops));
    assert_int_equal(ops, body->ops);
}

static struct bytes expected, found;

static void check_body(const struct world *world)
{
    expect_body(world, &expected);
    body_of(&world->set, &found);
    assert_int_equal(found.ops, expected.ops);
    assert_int_equal(found.size, expected.size);
    assert_memory_equal(found.data, expected.data, expected.size);
    assert_int_equal(ns__writeset_is_empty(&world->set), expected.ops == 0);
    assert_int_equal(ns__writeset_touches(&world->set, NS_MAIN), expected.ops > 0);
}

static void check_point(const struct world *world, const struct ns__point *point, size_t index)
{
    if (index >= KEYS) {
        assert_null(point);
        return;
    }
    assert_non_null(point);
    assert_true(ns__slice_equal(point->key, key_at(index)));
    assert_int_equal(point->is_put, world->said[index] == NS__WRITESET_PUT);
}

static void check_answers(const struct world *world)
{
    for (size_t i = 0; i < KEYS; i++) {
        ns_slice value, from, to;
        enum ns__writeset_answer answer = world->said[i];
        if (answer == NS__WRITESET_SILENT && world->covered[i]) answer = NS__WRITESET_DELETED;
        assert_int_equal(ns__writeset_get(&world->set, NS_MAIN, key_at(i), &value), answer);
        ns_slice wanted = ns_bytes(NULL, 0);
        if (answer == NS__WRITESET_PUT) wanted = value_of(world->values[i]);
        assert_true(ns__slice_equal(value, wanted));
        bool covered = ns__writeset_range_at(&world->set, NS_MAIN, key_at(i), &from, &to);
        assert_int_equal(covered, world->covered[i]);
        if (covered) {
            assert_true(ns__slice_compare(from, key_at(i)) <= 0);
            assert_true(to.size == 0 || ns__slice_compare(key_at(i), to) < 0);
        }
    }
}

static void check_walks(const struct world *world)
{
    const struct ns__writeset *set = &world->set;
    size_t last = KEYS;
    for (size_t i = 0; i < KEYS; i++) {
        size_t after = i;
        while (after < KEYS && world->said[after] == NS__WRITESET_SILENT)
            after++;
        const struct ns__point *point = ns__writeset_seek(set, NS_MAIN, key_at(i));
        check_point(world, point, after);
        check_point(world, ns__writeset_seek_before(set, NS_MAIN, key_at(i), false), last);
        if (after == i) {
            check_point(world, ns__writeset_prev(point), last);
            if (last < KEYS) {
                const struct ns__point *before = ns__writeset_prev(point);
                check_point(world, ns__writeset_next(before), i);
            }
            last = i;
        }
    }
    ns_slice none = ns_bytes(NULL, 0);
    check_point(world, ns__writeset_seek_before(set, NS_MAIN, none, true), last);
    const struct ns__point *first = ns__writeset_seek(set, NS_MAIN, none);
    if (last == KEYS) assert_null(first);
    if (first != NULL) assert_null(ns__writeset_prev(first));
}

static void change_once(struct world *world, struct ns__prng *prng)
{
    uint64_t changes = world->set.changes;
    size_t i = ns__prng_below(prng, KEYS);
    uint64_t kind = ns__prng_below(prng, 40);
    if (kind < 20) {
        put(world, i, (uint32_t)ns__prng_below(prng, 1000));
    } else if (kind < 37) {
        del(world, i);
    } else {
        size_t to = i + ns__prng_below(prng, 8);
        if (ns__prng_below(prng, 12) == 0) to = KEYS + 1;
        del_range(world, i, to > KEYS ? KEYS + 1 : to);
        if (to == i) return; /* nothing happens */
    }
    assert_true(world->set.changes > changes);
}

static void a_set_does_what_the_model_does(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world world;
        struct ns__prng prng = {.state = seed * 1000};
        if (seed % 20 == 0) print_message("seeds up to %u\n", (unsigned)seed);
        world_init(&world, seed);
        for (size_t step = 0; step < 120; step++) {
            change_once(&world, &prng);
            check_body(&world);
            check_answers(&world);
            if (step % 4 == 0) check_walks(&world);
        }
        world_deinit(&world);
    }
}

/* ---- the same change by other calls ---- */

static void shuffle(uint32_t *order, uint32_t count, struct ns__prng *prng)
{
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = (uint32_t)ns__prng_below(prng, i);
        uint32_t kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
}

/* Makes the model of `from` in `to` by other calls: ranges in pieces and in any order, values
 * put wrongly and deleted before. */
static void make_again(const struct world *from, struct world *to, struct ns__prng *prng)
{
    uint32_t order[KEYS + 1];
    shuffle(order, KEYS, prng);
    for (size_t n = 0; n < KEYS; n++) {
        if (ns__prng_below(prng, 3) == 0) put(to, order[n], 1);
        if (!from->in_base[order[n]] && ns__prng_below(prng, 3) == 0) del(to, order[n]);
    }
    shuffle(order, KEYS + 1, prng);
    for (size_t n = 0; n <= KEYS; n++) {
        if (from->covered[order[n]]) del_range(to, order[n], order[n] + 1);
    }
    shuffle(order, KEYS, prng);
    for (size_t n = 0; n < KEYS; n++) {
        size_t i = order[n];
        if (from->said[i] == NS__WRITESET_PUT) {
            put(to, i, from->values[i]);
        } else if (from->said[i] == NS__WRITESET_DELETED) {
            del(to, i);
        } else if (to->said[i] == NS__WRITESET_PUT) {
            del(to, i); /* it is absent from the base, or covered: every key was changed */
        }
    }
}

static void equal_changes_give_equal_bodies_in_any_order_of_calls(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct world one, two;
        struct ns__prng prng = {.state = seed};
        world_init(&one, seed);
        world_init(&two, seed + 1000);
        memcpy(two.in_base, one.in_base, sizeof one.in_base);
        for (size_t step = 0; step < 100; step++)
            change_once(&one, &prng);
        for (size_t i = 0; i < KEYS; i++)
            put(&one, i, 5); /* every key of the base is changed */
        for (size_t i = 0; i < KEYS; i += 2)
            del(&one, i);
        make_again(&one, &two, &prng);
        body_of(&one.set, &expected);
        body_of(&two.set, &found);
        assert_int_equal(found.size, expected.size);
        assert_memory_equal(found.data, expected.data, expected.size);
        world_deinit(&one);
        world_deinit(&two);
    }
}

/* ---- tables ---- */

/* The body as text: "[a,c) +k=v -d". An open end is "*". */
static void body_text(const struct ns__writeset *set, char *text, size_t room)
{
    size_t pos = 0, used = 0;
    struct ns_op op;
    body_of(set, &found);
    text[0] = 0;
    while (ns__op_decode(ns_bytes(found.data, found.size), &pos, &op) == NS_OK) {
        int k = (int)op.key.size, v = (int)op.value.size;
        const char *key = op.key.data, *value = op.value.data;
        int size = 0;
        if (op.kind == NS_OP_DEL_RANGE) {
            size = snprintf(text + used, room - used, "[%.*s,%.*s)", k, key, v > 0 ? v : 1,
                            v > 0 ? value : "*");
        } else if (op.kind == NS_OP_PUT) {
            size = snprintf(text + used, room - used, "+%.*s", k, key);
        } else {
            size = snprintf(text + used, room - used, "-%.*s", k, key);
        }
        used += (size_t)size;
    }
}

static void ranges_that_overlap_or_touch_become_one(void **state)
{
    (void)state;
    static const struct {
        const char *ranges[8]; /* "from to"; "*" is open */
        const char *body;
    } rows[] = {
        {{"b d", "f h"}, "[b,d)[f,h)"},
        {{"b d", "d f"}, "[b,f)"},
        {{"d f", "b d"}, "[b,f)"},
        {{"b e", "d f"}, "[b,f)"},
        {{"b h", "d f"}, "[b,h)"},
        {{"d f", "b h"}, "[b,h)"},
        {{"b c", "d e", "f g", "a h"}, "[a,h)"},
        {{"b c", "d e", "f g", "c f"}, "[b,g)"},
        {{"b c", "d e", "f g", "c d"}, "[b,e)[f,g)"},
        {{"b c", "d e", "b e"}, "[b,e)"},
        {{"* c", "d *"}, "[,c)[d,*)"},
        {{"* c", "c *"}, "[,*)"},
        {{"c *", "a b", "b d"}, "[a,*)"},
        {{"c *", "d e", "x *"}, "[c,*)"},
        {{"* *", "b c"}, "[,*)"},
        {{"b c", "* *"}, "[,*)"},
        {{"c b", "c c"}, ""},
        {{"b bb", "bb c", "bbb bbc"}, "[b,c)"},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct world world;
        world_init(&world, 1);
        for (size_t i = 0; i < 8 && rows[row].ranges[i] != NULL; i++) {
            const char *range = rows[row].ranges[i];
            const char *space = strchr(range, ' ');
            ns_slice from = ns_bytes(range, (size_t)(space - range)), to = ns_str(space + 1);
            if (range[0] == '*') from.size = 0;
            if (space[1] == '*') to.size = 0;
            CHECK_OK(ns__writeset_del_range(&world.set, NS_MAIN, from, to));
        }
        char text[200];
        body_text(&world.set, text, sizeof text);
        assert_string_equal(text, rows[row].body);
        world_deinit(&world);
    }
}

/* Steps: "+k" put, "-k" delete of a key of the base, "~k" delete of one that is not, "#kl"
 * delete range [k, l). */
static void changes_that_say_nothing_are_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *steps;
        const char *body;
    } rows[] = {
        {"+a", "+a"},           {"+a~a", ""},
        {"+a-a", "-a"},         {"-a+a", "+a"},
        {"-a", "-a"},           {"~a", ""},
        {"-a+a-a", "-a"},       {"+b#ac", "[a,c)"},
        {"-b#ac", "[a,c)"},     {"#ac+b", "[a,c)+b"},
        {"#ac+b~b", "[a,c)"},   {"#ac-b", "[a,c)"},
        {"#ac+b-b", "[a,c)"},   {"-c#ac", "[a,c)-c"},
        {"+a+b#ab", "[a,b)+b"}, {"+a-b#cd", "[c,d)+a-b"},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct world world;
        world_init(&world, 1);
        for (const char *step = rows[row].steps; *step != 0; step += step[0] == '#' ? 3 : 2) {
            ns_slice key = ns_bytes(step + 1, 1);
            ns_status status = NS_OK;
            if (*step == '+') status = ns__writeset_put(&world.set, NS_MAIN, key, ns_str("v"));
            if (*step == '-') status = ns__writeset_del(&world.set, NS_MAIN, key, true);
            if (*step == '~') status = ns__writeset_del(&world.set, NS_MAIN, key, false);
            if (*step == '#') {
                ns_slice to = ns_bytes(step + 2, 1);
                status = ns__writeset_del_range(&world.set, NS_MAIN, key, to);
            }
            CHECK_OK(status);
        }
        char text[200];
        body_text(&world.set, text, sizeof text);
        assert_string_equal(text, rows[row].body);
        world_deinit(&world);
    }
}

static void thousands_of_ranges_are_kept_apart_and_merged(void **state)
{
    (void)state;
    struct ns__alloc alloc;
    struct ns__writeset set;
    uint8_t from[4], to[4];
    size_t bytes;
    uint64_t ops;
    ns__alloc_init(&alloc, NULL);
    ns__writeset_init(&set, &alloc, 5);
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t start = i * 7919 % 20000 * 10; /* every one once, in a scattered order */
        ns__store32_be(from, start);
        ns__store32_be(to, start + 5);
        CHECK_OK(ns__writeset_del_range(&set, NS_MAIN, ns_bytes(from, 4), ns_bytes(to, 4)));
    }
    ns__writeset_body_size(&set, &bytes, &ops);
    assert_int_equal(ops, 20000);
    ns_slice all = ns_bytes(NULL, 0);
    CHECK_OK(ns__writeset_del_range(&set, NS_MAIN, all, all));
    ns__writeset_body_size(&set, &bytes, &ops);
    assert_int_equal(ops, 1);
    ns__writeset_deinit(&set);
    assert_int_equal(alloc.bytes, 0);
}

/* ---- memory ---- */

struct meagre {
    uint32_t allowed;
};

static void *meagre_alloc(void *ctx, size_t size)
{
    struct meagre *meagre = ctx;
    if (meagre->allowed == 0) return NULL;
    meagre->allowed--;
    return malloc(size);
}

static void *meagre_resize(void *ctx, void *old, size_t old_size, size_t size)
{
    (void)old_size;
    struct meagre *meagre = ctx;
    if (meagre->allowed == 0) return NULL;
    meagre->allowed--;
    return realloc(old, size);
}

static void meagre_release(void *ctx, void *old, size_t size)
{
    (void)ctx;
    (void)size;
    free(old);
}

static void out_of_memory_leaves_the_set_as_it_was(void **state)
{
    (void)state;
    static uint8_t big[600];
    struct meagre meagre = {.allowed = 0};
    struct ns_allocator seam = {&meagre, meagre_alloc, meagre_resize, meagre_release};
    struct ns__alloc alloc;
    struct ns__writeset set;
    char before[500], after[500];
    ns__alloc_init(&alloc, &seam);
    ns__writeset_init(&set, &alloc, 5);
    uint32_t failures = 0;
    for (uint32_t step = 0; step < 60; step++) {
        char key[8];
        (void)snprintf(key, sizeof key, "%02u", step % 17);
        ns_slice value = ns_bytes(big, step % 3 == 0 ? sizeof big : 10 * (step % 5));
        body_text(&set, before, sizeof before);
        uint64_t changes = set.changes;
        meagre.allowed = step % 2;
        size_t left = (size_t)(set.arena.end - set.arena.next);
        if (left > 0) assert_non_null(ns__arena_take(&set.arena, left));
        ns_status status;
        if (step % 7 == 6) {
            status = ns__writeset_del_range(&set, NS_MAIN, ns_str(key), ns_str("05"));
        } else if (step % 7 == 3) {
            status = ns__writeset_del(&set, NS_MAIN, ns_str(key), true);
        } else {
            status = ns__writeset_put(&set, NS_MAIN, ns_str(key), value);
        }
        if (status == NS_OK) continue;
        failures++;
        CHECK_STATUS(status, NS_NOMEM);
        body_text(&set, after, sizeof after);
        assert_string_equal(before, after);
        assert_int_equal(set.changes, changes);
    }
    assert_true(failures > 5);
    ns__writeset_deinit(&set);
    assert_int_equal(alloc.bytes, 0);
}

static void a_reset_set_is_empty_and_good_for_more(void **state)
{
    (void)state;
    struct world world;
    char text[100];
    world_init(&world, 1);
    for (size_t round = 0; round < 3; round++) {
        assert_true(ns__writeset_is_empty(&world.set));
        CHECK_OK(ns__writeset_put(&world.set, NS_MAIN, ns_str("a"), ns_str("v")));
        CHECK_OK(ns__writeset_del(&world.set, 7, ns_str("b"), true));
        CHECK_OK(ns__writeset_create(&world.set, ns_str("n"), 9));
        assert_false(ns__writeset_is_empty(&world.set));
        uint64_t changes = world.set.changes;
        ns__writeset_reset(&world.set);
        assert_true(world.set.changes > changes);
        body_text(&world.set, text, sizeof text);
        assert_string_equal(text, "");
        CHECK_STATUS(ns__writeset_find_id(&world.set, 9), NS_NOTFOUND);
    }
    world_deinit(&world);
}

static void a_change_may_be_given_views_of_the_set(void **state)
{
    (void)state;
    struct world world;
    char text[100];
    world_init(&world, 1);
    CHECK_OK(ns__writeset_put(&world.set, NS_MAIN, ns_str("b"), ns_str("cde")));
    CHECK_OK(ns__writeset_put(&world.set, NS_MAIN, ns_str("c"), ns_str("v")));
    ns_slice view;
    assert_int_equal(ns__writeset_get(&world.set, NS_MAIN, ns_str("b"), &view), NS__WRITESET_PUT);
    CHECK_OK(ns__writeset_put(&world.set, NS_MAIN, view, view));
    const struct ns__point *point = ns__writeset_seek(&world.set, NS_MAIN, ns_str("b"));
    ns_slice from = point->key, to = ns__writeset_next(point)->key;
    CHECK_OK(ns__writeset_del_range(&world.set, NS_MAIN, from, to));
    body_text(&world.set, text, sizeof text);
    assert_string_equal(text, "[b,c)+c+cde");
    point = ns__writeset_seek(&world.set, NS_MAIN, ns_str("c"));
    CHECK_OK(ns__writeset_del(&world.set, NS_MAIN, point->key, false));
    ns_slice start, end;
    assert_true(ns__writeset_range_at(&world.set, NS_MAIN, ns_str("bx"), &start, &end));
    CHECK_OK(ns__writeset_del_range(&world.set, NS_MAIN, end, ns_str("f")));
    assert_true(ns__writeset_range_at(&world.set, NS_MAIN, ns_str("bx"), &start, &end));
    CHECK_OK(ns__writeset_del_range(&world.set, NS_MAIN, start, end));
    body_text(&world.set, text, sizeof text);
    assert_string_equal(text, "[b,f)");
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_does_what_the_model_does),
        cmocka_unit_test(equal_changes_give_equal_bodies_in_any_order_of_calls),
        cmocka_unit_test(ranges_that_overlap_or_touch_become_one),
        cmocka_unit_test(changes_that_say_nothing_are_left_out),
        cmocka_unit_test(thousands_of_ranges_are_kept_apart_and_merged),
        cmocka_unit_test(out_of_memory_leaves_the_set_as_it_was),
        cmocka_unit_test(a_reset_set_is_empty_and_good_for_more),
        cmocka_unit_test(a_change_may_be_given_views_of_the_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
