/* apply.c: a canonical body becomes the next root.
 *
 * The body is read once, front to back (FMT-27 orders it for that): drops, creates, then the
 * operations of one keyspace after the other. Each keyspace's operations become one batch for
 * its tree. What this does to the catalogue is collected in a sorted list over it, the *notes*:
 * key: catalogue key; value: reference, then the catalogue value; a deleted point: the entry
 * goes. Look-ups ask the notes first, so that a keyspace dropped and created again is one entry
 * replaced. At the end the notes become one batch for the catalogue tree.
 *
 * Invariants.
 *   1. The caller's root is written at the very end; until then all work is on a copy.
 *   2. Keys and values of batches point into the body; nothing is copied but names and
 *      counters.
 *   3. Every entry written carries txn_id as its version. */
#include "txn/apply.h"

#include "base/marks.h"

#include "format/record.h"
#include "txn/catalogue.h"
#include "txn/skiplist.h"

#define NOTE_BYTES_MAX (8u + NS__CATALOGUE_VALUE_BYTES_MAX)

struct applying {
    struct ns__change *change;
    struct ns__pages *pages;
    struct ns__root root;
    ns_slice body;
    uint64_t txn_id;
    struct ns__arena *scratch;
    struct ns__skipmemory memory;
    struct ns__skiplist notes;
    size_t note_count; /* not below the number of notes */
};

static ns_status refuse(const struct applying *applying, const struct ns_op *op, const char *why)
{
    return ns__corrupt(UINT64_MAX, "transaction %llu: keyspace %u: %s",
                       (unsigned long long)applying->txn_id, (unsigned)op->keyspace, why);
}

/* ---- the catalogue with the notes over it ---- */

static ns_status note(struct applying *applying, ns_slice key, ns_slice value, bool is_put)
{
    applying->note_count++;
    return ns__skiplist_put(&applying->memory, &applying->notes, key, value, is_put);
}

static ns_status note_tree(struct applying *applying, ns_keyspace keyspace,
                           const struct ns__tree *tree, ns_slice name)
{
    uint8_t key[NS__CATALOGUE_ID_KEY_BYTES], value[NOTE_BYTES_MAX];
    ns__store64(value, tree->ref);
    size_t size = 8 + ns__catalogue_value(tree, name, value + 8).size;
    return note(applying, ns__catalogue_id_key(keyspace, key), ns_bytes(value, size), true);
}

static ns_status note_name(struct applying *applying, ns_slice name, ns_keyspace keyspace)
{
    uint8_t key[NS__CATALOGUE_NAME_KEY_BYTES_MAX], value[12];
    ns__store64(value, NS__REF_NONE);
    ns__store32(value + 8, keyspace);
    return note(applying, ns__catalogue_name_key(name, key), ns_bytes(value, sizeof value), true);
}

static ns_status find_tree(struct applying *applying, ns_keyspace keyspace,
                           struct ns__tree *tree_out, ns_slice *name_out)
{
    uint8_t key[NS__CATALOGUE_ID_KEY_BYTES];
    const struct ns__skipnode *noted =
        ns__skiplist_find(&applying->notes, ns__catalogue_id_key(keyspace, key));
    if (noted == NULL) {
        return ns__catalogue_get(applying->pages, &applying->root.catalogue, keyspace, tree_out,
                                 name_out);
    }
    if (!noted->point.is_put) return NS_NOTFOUND;
    const uint8_t *bytes = noted->point.value.data;
    return ns__catalogue_value_decode(ns_bytes(bytes + 8, noted->point.value.size - 8),
                                      ns__load64(bytes), tree_out, name_out);
}

static ns_status find_name(struct applying *applying, ns_slice name, ns_keyspace *keyspace_out)
{
    uint8_t key[NS__CATALOGUE_NAME_KEY_BYTES_MAX];
    const struct ns__skipnode *noted =
        ns__skiplist_find(&applying->notes, ns__catalogue_name_key(name, key));
    if (noted == NULL) {
        return ns__catalogue_find(applying->pages, &applying->root.catalogue, name, keyspace_out);
    }
    const uint8_t *bytes = noted->point.value.data;
    *keyspace_out = noted->point.is_put ? ns__load32(bytes + 8) : 0;
    return noted->point.is_put ? NS_OK : NS_NOTFOUND;
}

/* ---- operations ---- */

static ns_status drop_keyspace(struct applying *applying, const struct ns_op *op)
{
    uint8_t id_key[NS__CATALOGUE_ID_KEY_BYTES], name_key[NS__CATALOGUE_NAME_KEY_BYTES_MAX];
    struct ns__tree tree;
    ns_slice name, none = ns_bytes(NULL, 0);
    ns_status status = find_tree(applying, op->keyspace, &tree, &name);
    if (status == NS_NOTFOUND) return refuse(applying, op, "dropped, but it does not exist");
    NS_TRY(status);
    if (!ns__slice_equal(name, op->key)) return refuse(applying, op, "dropped by another name");
    if (applying->root.keyspaces == 0) return refuse(applying, op, "more of them than counted");
    NS_TRY(ns__btree_drop(applying->change, &tree));
    NS_TRY(note(applying, ns__catalogue_id_key(op->keyspace, id_key), none, false));
    NS_TRY(note(applying, ns__catalogue_name_key(op->key, name_key), none, false));
    applying->root.keyspaces--;
    NS__MARK(keyspace_drop);
    return NS_OK;
}

static ns_status create_keyspace(struct applying *applying, const struct ns_op *op)
{
    struct ns__tree tree;
    ns_slice name;
    ns_keyspace other;
    ns_status status = find_tree(applying, op->keyspace, &tree, &name);
    if (status == NS_OK) return refuse(applying, op, "created, but it exists");
    if (status != NS_NOTFOUND) return status;
    status = find_name(applying, op->key, &other);
    if (status == NS_OK) return refuse(applying, op, "created, but its name exists");
    if (status != NS_NOTFOUND) return status;
    memset(&tree, 0, sizeof tree);
    NS_TRY(note_tree(applying, op->keyspace, &tree, op->key));
    NS_TRY(note_name(applying, op->key, op->keyspace));
    applying->root.keyspaces++;
    NS__MARK(keyspace_create);
    return NS_OK;
}

static bool is_change(const struct ns_op *op, ns_keyspace keyspace)
{
    return op->keyspace == keyspace && op->kind != NS_OP_KEYSPACE_DROP &&
           op->kind != NS_OP_KEYSPACE_CREATE;
}

/* How many ranges and points of the keyspace follow from pos on. */
static ns_status count_changes(const struct applying *applying, ns_keyspace keyspace, size_t pos,
                               struct ns__tree_batch *batch)
{
    struct ns_op op;
    ns_status status;
    memset(batch, 0, sizeof *batch);
    while ((status = ns__op_decode(applying->body, &pos, &op)) == NS_OK) {
        if (!is_change(&op, keyspace)) return NS_OK;
        if (op.kind == NS_OP_DEL_RANGE) {
            batch->range_count++;
        } else {
            batch->op_count++;
        }
    }
    return status == NS_NOTFOUND ? NS_OK : status;
}

/* Reads the operations of one keyspace from *pos on into a batch, and moves *pos behind them. */
static ns_status read_batch(struct applying *applying, ns_keyspace keyspace, size_t *pos,
                            struct ns__tree_batch *batch)
{
    NS_TRY(count_changes(applying, keyspace, *pos, batch));
    if (batch->op_count > SIZE_MAX / 2 / sizeof(struct ns__tree_op)) {
        return ns__error(NS_NOMEM, "out of memory: %zu operations", batch->op_count);
    }
    struct ns__tree_range *ranges =
        ns__arena_take(applying->scratch, batch->range_count * sizeof *ranges);
    if (ranges == NULL) return NS_NOMEM;
    struct ns__tree_op *ops = ns__arena_take(applying->scratch, batch->op_count * sizeof *ops);
    if (ops == NULL) return NS_NOMEM;
    size_t range_count = 0, op_count = 0;
    while (range_count + op_count < batch->range_count + batch->op_count) {
        struct ns_op op;
        NS_TRY(ns__op_decode(applying->body, pos, &op));
        if (op.kind == NS_OP_DEL_RANGE) {
            ranges[range_count++] = (struct ns__tree_range){.from = op.key, .to = op.value};
        } else {
            ops[op_count++] = (struct ns__tree_op){
                .key = op.key,
                .value = op.value,
                .version = applying->txn_id,
                .kind = op.kind == NS_OP_PUT ? NS__TREE_PUT : NS__TREE_DEL,
            };
        }
    }
    batch->ranges = ranges;
    batch->ops = ops;
    return NS_OK;
}

/* The operations of the keyspace of *first, which starts at *pos. */
static ns_status change_keyspace(struct applying *applying, const struct ns_op *first, size_t *pos)
{
    struct ns__tree_batch batch;
    NS_TRY(read_batch(applying, first->keyspace, pos, &batch));
    if (first->keyspace == NS_MAIN) {
        return ns__btree_apply(applying->change, &applying->root.main, &batch, applying->scratch);
    }
    struct ns__tree tree;
    ns_slice name;
    ns_status status = find_tree(applying, first->keyspace, &tree, &name);
    if (status == NS_NOTFOUND) return refuse(applying, first, "changed, but it does not exist");
    NS_TRY(status);
    struct ns__tree before = tree;
    NS_TRY(ns__btree_apply(applying->change, &tree, &batch, applying->scratch));
    if (memcmp(&before, &tree, sizeof tree) == 0) return NS_OK;
    return note_tree(applying, first->keyspace, &tree, name);
}

static ns_status apply_ops(struct applying *applying)
{
    size_t pos = 0;
    for (;;) {
        struct ns_op op;
        size_t behind = pos;
        ns_status status = ns__op_decode(applying->body, &behind, &op);
        if (status == NS_NOTFOUND) return NS_OK;
        NS_TRY(status);
        if (is_change(&op, op.keyspace)) {
            NS_TRY(change_keyspace(applying, &op, &pos));
            continue;
        }
        NS_TRY(op.kind == NS_OP_KEYSPACE_DROP ? drop_keyspace(applying, &op)
                                              : create_keyspace(applying, &op));
        pos = behind;
    }
}

/* The notes become one batch for the catalogue. */
static ns_status apply_notes(struct applying *applying)
{
    if (applying->note_count == 0) return NS_OK;
    struct ns__tree_op *ops = ns__arena_take(applying->scratch, applying->note_count * sizeof *ops);
    if (ops == NULL) return NS_NOMEM;
    struct ns__tree_batch batch = {.ops = ops, .is_catalogue = true};
    const struct ns__skipnode *noted = applying->notes.first[0];
    for (; noted != NULL; noted = noted->next[0]) {
        struct ns__tree_op *op = &ops[batch.op_count++];
        const uint8_t *bytes = noted->point.value.data;
        memset(op, 0, sizeof *op);
        op->key = noted->point.key;
        op->version = applying->txn_id;
        op->kind = noted->point.is_put ? NS__TREE_PUT : NS__TREE_DEL;
        if (!noted->point.is_put) continue;
        op->ref = ns__load64(bytes);
        op->value = ns_bytes(bytes + 8, noted->point.value.size - 8);
    }
    return ns__btree_apply(applying->change, &applying->root.catalogue, &batch, applying->scratch);
}

ns_status ns__body_apply(struct ns__change *change, struct ns__root *root, ns_slice body,
                         uint64_t txn_id, struct ns__arena *scratch)
{
    struct applying applying = {
        .change = change,
        .pages = ns__change_pages(change),
        .root = *root,
        .body = body,
        .txn_id = txn_id,
        .scratch = scratch,
        .memory = {.arena = scratch, .heights = {.state = txn_id}},
    };
    ns__skiplist_init(&applying.notes);
    NS_TRY(apply_ops(&applying));
    NS_TRY(apply_notes(&applying));
    root->main = applying.root.main;
    root->catalogue = applying.root.catalogue;
    root->keyspaces = applying.root.keyspaces;
    return NS_OK;
}
