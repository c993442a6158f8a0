/* btree_dump_test.c: small trees as text: split, shared split, append, merge, collapse of the root,
 * prefixes, runs, catalogue. The pictures also pin how the sweep balances. Run with SHOW=1 to print
 * what a changed sweep gives. */
#include "btree_world.h"

static struct ns__tree tree;
static char picture[16384];

static void add_text(void *ctx, const char *text)
{
    size_t used = strlen(picture);
    (void)ctx;
    assert_true(used + strlen(text) + 1 < sizeof picture);
    memcpy(picture + used, text, strlen(text) + 1);
}

static void want_picture(const char *wanted)
{
    picture[0] = 0;
    CHECK_OK(ns__btree_dump(&stub.pages, &tree, add_text, NULL));
    if (getenv("SHOW") != NULL) print_message("%s\n", picture);
    assert_string_equal(picture, wanted);
}

static int setup(void **state)
{
    (void)state;
    stub_init(4096, 1024);
    memset(&tree, 0, sizeof tree);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stub_deinit();
    return 0;
}

static uint8_t zeros[20000];

/* One batch of one op; size of the value in bytes, all 'v'. */
static void put(const char *key, size_t size)
{
    memset(zeros, 'v', sizeof zeros);
    struct ns__tree_op op = {.key = ns_str(key), .value = ns_bytes(zeros, size), .version = 3};
    stub_apply(&tree, &(struct ns__tree_batch){.ops = &op, .op_count = 1});
}

static void del(const char *key)
{
    struct ns__tree_op op = {.key = ns_str(key), .kind = NS__TREE_DEL};
    stub_apply(&tree, &(struct ns__tree_batch){.ops = &op, .op_count = 1});
}

static void del_range(const char *from, const char *to)
{
    struct ns__tree_range range = {ns_str(from), ns_str(to)};
    stub_apply(&tree, &(struct ns__tree_batch){.ranges = &range, .range_count = 1});
}

static void keys_share_their_prefix(void **state)
{
    (void)state;
    want_picture("tree: 0 entries, 0 nodes, 0 overflow pages\n");
    put("alpha", 1);
    want_picture("tree: 1 entries, 1 nodes, 0 overflow pages\n"
                 "leaf \"alpha\": \"\"@3=\"v\"\n");
    put("alphabet", 0);
    put("alpine", 20);
    put("alp", 9000);
    want_picture("tree: 4 entries, 1 nodes, 3 overflow pages\n"
                 "leaf \"alp\": \"\"@3=run of 9000 \"ha\"@3=\"v\" \"habet\"@3=\"\" "
                 "\"ine\"@3=20 bytes\n");
    del("alp");
    put("b\"\n", 0);
    want_picture("tree: 4 entries, 1 nodes, 0 overflow pages\n"
                 "leaf: \"alpha\"@3=\"v\" \"alphabet\"@3=\"\" \"alpine\"@3=20 bytes "
                 "\"b\\x22\\x0a\"@3=\"\"\n");
}

static void two_full_leaves_become_three(void **state)
{
    (void)state;
    static const char *const keys[] = {"d", "h", "l", "p"};
    for (size_t i = 0; i < 4; i++)
        put(keys[i], 1000);
    put("f", 900);
    want_picture("tree: 5 entries, 3 nodes, 0 overflow pages\n"
                 "branch 1 \"l\": * \"\"\n"
                 "  leaf: \"d\"@3=1000 bytes \"f\"@3=900 bytes \"h\"@3=1000 bytes\n"
                 "  leaf: \"l\"@3=1000 bytes \"p\"@3=1000 bytes\n");
    put("b", 900);
    put("c", 900); /* overflows, and the neighbour takes some */
    want_picture("tree: 7 entries, 3 nodes, 0 overflow pages\n"
                 "branch 1 \"h\": * \"\"\n"
                 "  leaf: \"b\"@3=900 bytes \"c\"@3=900 bytes \"d\"@3=1000 bytes "
                 "\"f\"@3=900 bytes\n"
                 "  leaf: \"h\"@3=1000 bytes \"l\"@3=1000 bytes \"p\"@3=1000 bytes\n");
    put("e", 900); /* overflows, and the neighbour is full */
    want_picture("tree: 8 entries, 4 nodes, 0 overflow pages\n"
                 "branch 1: * \"e\" \"l\"\n"
                 "  leaf: \"b\"@3=900 bytes \"c\"@3=900 bytes \"d\"@3=1000 bytes\n"
                 "  leaf: \"e\"@3=900 bytes \"f\"@3=900 bytes \"h\"@3=1000 bytes\n"
                 "  leaf: \"l\"@3=1000 bytes \"p\"@3=1000 bytes\n");
}

static void appending_leaves_full_leaves_and_short_separators(void **state)
{
    (void)state;
    static const char *const keys[] = {"key-10", "key-20", "key-30", "key-40",
                                       "key-50", "key-60", "key-70"};
    for (size_t i = 0; i < 7; i++)
        put(keys[i], 1200);
    want_picture("tree: 7 entries, 4 nodes, 0 overflow pages\n"
                 "branch 1 \"key-\": * \"4\" \"7\"\n"
                 "  leaf \"key-\": \"10\"@3=1200 bytes \"20\"@3=1200 bytes \"30\"@3=1200 bytes\n"
                 "  leaf \"key-\": \"40\"@3=1200 bytes \"50\"@3=1200 bytes \"60\"@3=1200 bytes\n"
                 "  leaf \"key-70\": \"\"@3=1200 bytes\n");
}

static void leaves_merge_and_the_root_collapses(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g"};
    for (size_t i = 0; i < 7; i++)
        put(keys[i], 1200);
    del("b");
    del("e");
    want_picture("tree: 5 entries, 4 nodes, 0 overflow pages\n"
                 "branch 1: * \"d\" \"g\"\n"
                 "  leaf: \"a\"@3=1200 bytes \"c\"@3=1200 bytes\n"
                 "  leaf: \"d\"@3=1200 bytes \"f\"@3=1200 bytes\n"
                 "  leaf \"g\": \"\"@3=1200 bytes\n");
    del("f");
    want_picture("tree: 4 entries, 3 nodes, 0 overflow pages\n"
                 "branch 1: * \"d\"\n"
                 "  leaf: \"a\"@3=1200 bytes \"c\"@3=1200 bytes\n"
                 "  leaf: \"d\"@3=1200 bytes \"g\"@3=1200 bytes\n");
    del("a");
    want_picture("tree: 3 entries, 1 nodes, 0 overflow pages\n"
                 "leaf: \"c\"@3=1200 bytes \"d\"@3=1200 bytes \"g\"@3=1200 bytes\n");
    del_range("", "");
    want_picture("tree: 0 entries, 0 nodes, 0 overflow pages\n");
}

static void covered_children_vanish_whole(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    for (size_t i = 0; i < 10; i++)
        put(keys[i], 1200);
    uint64_t made = stub.nodes_made;
    del_range("d", "j");
    assert_int_equal(stub.nodes_made, made + 1); /* the root alone */
    want_picture("tree: 4 entries, 3 nodes, 0 overflow pages\n"
                 "branch 1: * \"j\"\n"
                 "  leaf: \"a\"@3=1200 bytes \"b\"@3=1200 bytes \"c\"@3=1200 bytes\n"
                 "  leaf \"j\": \"\"@3=1200 bytes\n");
}

static void a_catalogue_shows_its_references(void **state)
{
    (void)state;
    struct ns__tree_op ops[] = {
        {.key = ns_str("i1"), .value = ns_str("x"), .version = 9, .ref = ns__ref_file(7, 1)},
        {.key = ns_str("nx"), .value = ns_str("1"), .version = 9},
    };
    struct ns__tree_batch batch = {.ops = ops, .op_count = 2, .is_catalogue = true};
    stub_apply(&tree, &batch);
    want_picture("tree: 2 entries, 1 nodes, 0 overflow pages\n"
                 "catalogue: \"i1\"@9=\"x\"-> \"nx\"@9=\"1\"\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_share_their_prefix, setup, teardown),
        cmocka_unit_test_setup_teardown(two_full_leaves_become_three, setup, teardown),
        cmocka_unit_test_setup_teardown(appending_leaves_full_leaves_and_short_separators, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(leaves_merge_and_the_root_collapses, setup, teardown),
        cmocka_unit_test_setup_teardown(covered_children_vanish_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_catalogue_shows_its_references, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
