/* dump.c: a tree as text, one node a line, two spaces a level:
 *
 *     tree: 3 entries, 3 nodes, 0 overflow pages
 *     branch 1: * "c"
 *       leaf "a": "1"@7="x" "2"@7="y"
 *       leaf: "c"@8=run of 9000
 *
 * A branch shows its level, prefix and separators (* is the first child, which has none); a leaf
 * its prefix, and for each entry the key behind the prefix, version and value. Long values show
 * their size only; a catalogue entry with a reference ends in "->". */
#include <stdio.h>

#include "btree/btree.h"

#define VALUE_SHOWN_MAX 16u

struct dump {
    struct ns__pages *pages;
    void (*write)(void *ctx, const char *text);
    void *ctx;
    uint64_t nodes_left; /* bounds the walk */
};

static void put(const struct dump *dump, const char *text)
{
    dump->write(dump->ctx, text);
}

static void put_number(const struct dump *dump, const char *before, uint64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    put(dump, before);
    put(dump, text);
}

static void put_bytes(const struct dump *dump, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char text[8] = {(char)bytes[i], 0};
        bool is_plain = bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\';
        if (!is_plain) (void)snprintf(text, sizeof text, "\\x%02x", bytes[i]);
        put(dump, text);
    }
}

/* The remainder of a key: head, then tail. */
static void put_rest(const struct dump *dump, uint32_t head, const struct ns__node_entry *entry)
{
    uint8_t bytes[4];
    ns__store32_be(bytes, head);
    put(dump, " \"");
    put_bytes(dump, bytes, entry->rest_bytes < 4 ? entry->rest_bytes : 4);
    put_bytes(dump, entry->tail, ns__node_tail_bytes(entry->rest_bytes));
    put(dump, "\"");
}

static void put_entry(const struct dump *dump, const uint8_t *leaf, uint32_t index)
{
    struct ns__node_entry entry;
    ns__node_entry(leaf, index, &entry);
    put_rest(dump, ns__node_head(leaf, index), &entry);
    put_number(dump, "@", entry.version);
    put(dump, "=");
    if (entry.is_run) {
        put_number(dump, "run of ", entry.value_bytes);
    } else if (entry.value_bytes > VALUE_SHOWN_MAX) {
        put_number(dump, "", entry.value_bytes);
        put(dump, " bytes");
    } else {
        put(dump, "\"");
        put_bytes(dump, entry.value, (size_t)entry.value_bytes);
        put(dump, "\"");
    }
    if (ns__node_has_refs(leaf) && ns__node_ref(leaf, index) != 0) put(dump, "->");
}

static void put_node(const struct dump *dump, const uint8_t *node, uint32_t depth)
{
    uint32_t level = ns__node_level(node);
    for (uint32_t i = 0; i < depth; i++)
        put(dump, "  ");
    if (level > 0) {
        put_number(dump, "branch ", level);
    } else {
        put(dump, ns__node_has_refs(node) ? "catalogue" : "leaf");
    }
    if (ns__node_prefix_bytes(node) > 0) {
        put(dump, " \"");
        put_bytes(dump, ns__node_prefix(node), ns__node_prefix_bytes(node));
        put(dump, "\"");
    }
    put(dump, level > 0 ? ": *" : ":");
    for (uint32_t i = level > 0 ? 1 : 0; i < ns__node_count(node); i++) {
        if (level == 0) {
            put_entry(dump, node, i);
            continue;
        }
        struct ns__node_entry entry;
        ns__node_entry(node, i, &entry);
        put_rest(dump, ns__node_head(node, i), &entry);
    }
    put(dump, "\n");
}

static ns_status dump_node(struct dump *dump, uint64_t ref, uint32_t level, uint32_t depth)
{
    const uint8_t *node;
    NS_ASSERT(depth < NS__LEVEL_MAX);
    NS_TRY(ns__pages_node(dump->pages, ref, level, &node));
    if (dump->nodes_left == 0) {
        return ns__corrupt(UINT64_MAX, "the tree has more nodes than it counts");
    }
    dump->nodes_left--;
    put_node(dump, node, depth);
    level = ns__node_level(node);
    for (uint32_t i = 0; level > 0 && i < ns__node_count(node); i++) {
        NS_TRY(dump_node(dump, ns__node_ref(node, i), level - 1, depth + 1));
    }
    return NS_OK;
}

ns_status ns__btree_dump(struct ns__pages *pages, const struct ns__tree *tree,
                         void (*write)(void *ctx, const char *text), void *ctx)
{
    NS_ASSERT(pages != NULL && tree != NULL);
    NS_ASSERT(write != NULL);
    struct dump dump = {pages, write, ctx, tree->pages};
    put_number(&dump, "tree: ", tree->entries);
    put_number(&dump, " entries, ", tree->pages);
    put_number(&dump, " nodes, ", tree->overflow_pages);
    put(&dump, " overflow pages\n");
    if (tree->ref == NS__REF_NONE) return NS_OK;
    return dump_node(&dump, tree->ref, NS__LEVEL_ANY, 0);
}
