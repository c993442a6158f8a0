/* txn_writeset_keyspaces_test.c: creating and dropping keyspaces within one transaction, as
 * tables of steps and the body (FMT-26, FMT-27) that they leave. */
#include "harness/test.h"

#include <stdio.h>
#include "txn/writeset.h"

#define ID 7u
#define NAME "ks"

static void body_text(const struct ns__writeset *set, char *text, size_t room)
{
    uint8_t body[1000];
    size_t size, pos = 0, used = 0;
    uint64_t ops, checked;
    struct ns_op op;
    ns__writeset_body_size(set, &size, &ops);
    assert_true(size <= sizeof body);
    ns__writeset_body_encode(set, body);
    CHECK_OK(ns__body_check(ns_bytes(body, size), 1024, &checked));
    assert_int_equal(ops, checked);
    assert_int_equal(ns__writeset_is_empty(set), ops == 0);
    text[0] = 0;
    while (ns__op_decode(ns_bytes(body, size), &pos, &op) == NS_OK) {
        static const char kinds[] = "?+-#CD";
        used +=
            (size_t)snprintf(text + used, room - used, "%c%u:%.*s ", kinds[op.kind],
                             (unsigned)op.keyspace, (int)op.key.size, (const char *)op.key.data);
    }
    if (used > 0) text[used - 1] = 0;
}

/* c create, d drop, p put "k", x delete of "k" (in the base if it shows through), r delete
 * everything. */
static void take_step(struct ns__writeset *set, char step, bool in_base)
{
    ns_slice name = ns_str(NAME), key = ns_str("k"), all = ns_bytes(NULL, 0);
    bool shows = in_base && ns__writeset_get(set, ID, key, NULL) == NS__WRITESET_SILENT;
    switch (step) {
    case 'c': CHECK_OK(ns__writeset_create(set, name, ID)); break;
    case 'd': CHECK_OK(ns__writeset_drop(set, name, ID, in_base)); break;
    case 'p': CHECK_OK(ns__writeset_put(set, ID, key, ns_str("v"))); break;
    case 'x': CHECK_OK(ns__writeset_del(set, ID, key, shows)); break;
    default: CHECK_OK(ns__writeset_del_range(set, ID, all, all)); break;
    }
}

static const struct {
    const char *steps;
    bool in_base;
    const char *body;
    ns_status said; /* of the name and the id */
    enum ns__writeset_answer key;
} rows[] = {
    {"c", false, "C7:ks", NS_OK, NS__WRITESET_DELETED},
    {"cd", false, "", NS_NOTFOUND, NS__WRITESET_SILENT},
    {"cpd", false, "", NS_NOTFOUND, NS__WRITESET_SILENT},
    {"crd", false, "", NS_NOTFOUND, NS__WRITESET_SILENT},
    {"cpdc", false, "C7:ks", NS_OK, NS__WRITESET_DELETED},
    {"cpdcp", false, "C7:ks +7:k", NS_OK, NS__WRITESET_PUT},
    {"cp", false, "C7:ks +7:k", NS_OK, NS__WRITESET_PUT},
    {"cpx", false, "C7:ks", NS_OK, NS__WRITESET_DELETED},
    {"cpr", false, "C7:ks", NS_OK, NS__WRITESET_DELETED},
    {"cr", false, "C7:ks", NS_OK, NS__WRITESET_DELETED},
    {"cc", false, "C7:ks", NS_OK, NS__WRITESET_DELETED},
    {"p", true, "+7:k", NS_NOTFOUND, NS__WRITESET_PUT},
    {"d", true, "D7:ks", NS_GONE, NS__WRITESET_DELETED},
    {"pd", true, "D7:ks", NS_GONE, NS__WRITESET_DELETED},
    {"rpd", true, "D7:ks", NS_GONE, NS__WRITESET_DELETED},
    {"dc", true, "D7:ks C7:ks", NS_OK, NS__WRITESET_DELETED},
    {"dcp", true, "D7:ks C7:ks +7:k", NS_OK, NS__WRITESET_PUT},
    {"pdcr", true, "D7:ks C7:ks", NS_OK, NS__WRITESET_DELETED},
    {"dcpx", true, "D7:ks C7:ks", NS_OK, NS__WRITESET_DELETED},
    {"dcpd", true, "D7:ks", NS_GONE, NS__WRITESET_DELETED},
    {"dcpdc", true, "D7:ks C7:ks", NS_OK, NS__WRITESET_DELETED},
    {"xrd", true, "D7:ks", NS_GONE, NS__WRITESET_DELETED},
    {"x", true, "-7:k", NS_NOTFOUND, NS__WRITESET_DELETED},
    {"r", true, "#7:", NS_NOTFOUND, NS__WRITESET_DELETED},
};

static void steps_leave_this_body(void **state)
{
    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct ns__alloc alloc;
        struct ns__writeset set;
        char text[200];
        ns_keyspace id;
        ns__alloc_init(&alloc, NULL);
        ns__writeset_init(&set, &alloc, row);
        for (const char *step = rows[row].steps; *step != 0; step++) {
            take_step(&set, *step, rows[row].in_base);
        }
        body_text(&set, text, sizeof text);
        if (strcmp(text, rows[row].body) != 0) print_error("steps %s\n", rows[row].steps);
        assert_string_equal(text, rows[row].body);
        CHECK_STATUS(ns__writeset_find_name(&set, ns_str(NAME), &id), rows[row].said);
        assert_int_equal(id, rows[row].said == NS_NOTFOUND ? 0 : ID);
        CHECK_STATUS(ns__writeset_find_id(&set, ID), rows[row].said);
        assert_int_equal(ns__writeset_get(&set, ID, ns_str("k"), NULL), rows[row].key);
        ns__writeset_deinit(&set);
        assert_int_equal(alloc.bytes, 0);
    }
}

static void operations_are_ordered_by_id_whatever_the_order_of_calls(void **state)
{
    (void)state;
    static const ns_keyspace orders[][4] = {{3, 5, 8, 9}, {9, 8, 5, 3}, {5, 9, 3, 8}};
    for (size_t row = 0; row < 3; row++) {
        struct ns__alloc alloc;
        struct ns__writeset set;
        char text[300];
        ns__alloc_init(&alloc, NULL);
        ns__writeset_init(&set, &alloc, row);
        for (size_t i = 0; i < 4; i++) {
            ns_keyspace id = orders[row][i];
            char name[2] = {(char)('z' - (char)id), 0};
            if (id != 9) CHECK_OK(ns__writeset_drop(&set, ns_str(name), id, true));
            if (id != 5) CHECK_OK(ns__writeset_create(&set, ns_str(name), id));
            if (id != 5) CHECK_OK(ns__writeset_put(&set, id, ns_str("k"), ns_str("v")));
            CHECK_OK(ns__writeset_put(&set, NS_MAIN, ns_str("m"), ns_str("v")));
        }
        body_text(&set, text, sizeof text);
        assert_string_equal(text, "D3:w D5:u D8:r C3:w C8:r C9:q +0:m +3:k +8:k +9:k");
        ns__writeset_deinit(&set);
    }
}

static void created_names_come_in_byte_order(void **state)
{
    (void)state;
    struct ns__alloc alloc;
    struct ns__writeset set;
    ns__alloc_init(&alloc, NULL);
    ns__writeset_init(&set, &alloc, 1);
    for (uint32_t i = 0; i < 1000; i++) {
        char name[8];
        uint32_t scattered = i * 383 % 1000;
        (void)snprintf(name, sizeof name, "n%03u", scattered);
        CHECK_OK(ns__writeset_create(&set, ns_str(name), 5000 - scattered));
        if (scattered % 5 == 0)
            CHECK_OK(ns__writeset_drop(&set, ns_str(name), 5000 - scattered, false));
    }
    size_t index = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        char wanted[8];
        ns_slice name;
        ns_keyspace id;
        (void)snprintf(wanted, sizeof wanted, "n%03u", i);
        ns_status status = ns__writeset_find_name(&set, ns_str(wanted), &id);
        CHECK_STATUS(status, i % 5 == 0 ? NS_NOTFOUND : NS_OK);
        if (i % 5 == 0) continue;
        assert_int_equal(id, 5000 - i);
        assert_true(ns__writeset_created(&set, index++, &name, &id));
        assert_int_equal(name.size, 4);
        assert_memory_equal(name.data, wanted, 4);
        assert_int_equal(id, 5000 - i);
    }
    ns_slice name;
    ns_keyspace id;
    assert_false(ns__writeset_created(&set, index, &name, &id));
    assert_null(name.data);
    ns__writeset_deinit(&set);
    assert_int_equal(alloc.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_leave_this_body),
        cmocka_unit_test(operations_are_ordered_by_id_whatever_the_order_of_calls),
        cmocka_unit_test(created_names_come_in_byte_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
