/* db_slices_test.c: how long borrowed bytes live (SEM-51). A slice of a read transaction keeps its
 * bytes until that transaction ends, whatever is committed, checkpointed and reused beside it; in a
 * write transaction until its next change. When they end, every call that could still reach them
 * is refused (tests/unit/api_arguments_test.c: an_ended_transaction_is_invalid). */
#include "format/small_world.h"

#define KEYS_MAX 400u

/* Slices that a transaction gave, and what they said then. */
struct borrowed {
    ns_slice keys[KEYS_MAX], values[KEYS_MAX];
    uint8_t *copies[KEYS_MAX];
    size_t count;
};

static void borrow_all(struct borrowed *borrowed, ns_txn *txn, const struct ref_state *state)
{
    const struct ref_tree *tree = state->trees[0];
    memset(borrowed, 0, sizeof *borrowed);
    assert_in_range(tree->count, 20, KEYS_MAX);
    for (size_t i = 0; i < tree->count; i++) {
        ns_slice *value = &borrowed->values[i];
        borrowed->keys[i] = ref_slice(tree->entries[i].key);
        CHECK_OK(ns_txn_get(txn, NS_MAIN, borrowed->keys[i], value));
        borrowed->copies[i] = malloc(value->size + 1);
        assert_non_null(borrowed->copies[i]);
        if (value->size > 0) memcpy(borrowed->copies[i], value->data, value->size);
        borrowed->count++;
    }
}

static void check_borrowed(const struct borrowed *borrowed)
{
    for (size_t i = 0; i < borrowed->count; i++) {
        ns_slice value = borrowed->values[i];
        if (value.size > 0) assert_memory_equal(value.data, borrowed->copies[i], value.size);
    }
}

static void give_back(struct borrowed *borrowed)
{
    for (size_t i = 0; i < borrowed->count; i++)
        free(borrowed->copies[i]);
}

/* With few frames and no history, so that everything that can be reused is. */
static void values_stay_while_their_read_transaction_is_open(void **state)
{
    struct small small;
    struct borrowed borrowed;
    ns_db *db;
    ns_txn *reader;
    (void)state;
    small_init(&small, 0, 81);
    small.with.history = NS_HISTORY_NONE;
    small.with.frame_bytes = 80 * 4096;
    small.with.checkpoint_bytes = 20000;
    CHECK_OK(ns_db_open(SMALL_PATH, &small.with, &db));
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 5; i++)
            small_commit(&small, db, 40);
        CHECK_OK(ns_txn_begin(db, NS_READ, &reader));
        borrow_all(&borrowed, reader, small.states[small.newest]);
        for (unsigned i = 0; i < 40; i++) {
            small_commit(&small, db, 30);
            if (i % 10 == 9) CHECK_OK(ns_db_checkpoint(db));
            check_borrowed(&borrowed);
        }
        ns_txn_abort(reader);
        give_back(&borrowed);
    }
    CHECK_OK(ns_db_close(db));
    small_deinit(&small);
}

/* Reads do not disturb each other in a write transaction either, also those of its own changes; a
 * slice may be the argument of the change that ends its life. */
static void values_of_a_write_transaction_stay_until_its_next_change(void **state)
{
    struct small small;
    struct borrowed borrowed;
    ns_db *db;
    ns_txn *txn;
    ns_slice value;
    (void)state;
    small_init(&small, 0, 82);
    CHECK_OK(ns_db_open(SMALL_PATH, &small.with, &db));
    for (unsigned i = 0; i < 20; i++)
        small_commit(&small, db, 40);
    CHECK_OK(ns_txn_begin(db, NS_WRITE, &txn));
    for (unsigned i = 0; i < 200; i++) {
        const struct ref_tree *tree = small.states[small.newest]->trees[0];
        borrow_all(&borrowed, txn, small.states[small.newest]);
        check_borrowed(&borrowed);
        size_t from = i * 7 % tree->count, to = i * 11 % tree->count;
        size_t size = borrowed.values[from].size;
        CHECK_OK(ns_txn_put(txn, NS_MAIN, borrowed.keys[to], borrowed.values[from]));
        CHECK_OK(ns_txn_get(txn, NS_MAIN, borrowed.keys[to], &value));
        assert_int_equal(value.size, size);
        if (size > 0) assert_memory_equal(value.data, borrowed.copies[from], size);
        give_back(&borrowed);
    }
    ns_txn_abort(txn);
    CHECK_OK(ns_db_close(db));
    small_deinit(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_stay_while_their_read_transaction_is_open),
        cmocka_unit_test(values_of_a_write_transaction_stay_until_its_next_change),
    };
    return cmocka_run_group_tests_name("db_slices", tests, NULL, NULL);
}
