/* catalogue.c: entries of the catalogue tree as bytes, and looking them up (FMT-12). */
#include "txn/catalogue.h"

#define COUNTERS_BYTES 24u /* u64 entries, u64 pages, u64 overflow pages */

ns_slice ns__catalogue_id_key(ns_keyspace keyspace, uint8_t buffer[NS__CATALOGUE_ID_KEY_BYTES])
{
    buffer[0] = 'i';
    ns__store32_be(buffer + 1, keyspace);
    return ns_bytes(buffer, NS__CATALOGUE_ID_KEY_BYTES);
}

ns_slice ns__catalogue_name_key(ns_slice name, uint8_t buffer[NS__CATALOGUE_NAME_KEY_BYTES_MAX])
{
    NS_ASSERT(name.size > 0 && name.size <= NS__NAME_BYTES_MAX);
    size_t size = name.size < NS__NAME_BYTES_MAX ? name.size : NS__NAME_BYTES_MAX;
    buffer[0] = NS__CATALOGUE_NAMES;
    if (size > 0) memcpy(buffer + 1, name.data, size);
    return ns_bytes(buffer, 1 + size);
}

ns_slice ns__catalogue_value(const struct ns__tree *tree, ns_slice name,
                             uint8_t buffer[NS__CATALOGUE_VALUE_BYTES_MAX])
{
    NS_ASSERT(name.size > 0 && name.size <= NS__NAME_BYTES_MAX);
    size_t size = name.size < NS__NAME_BYTES_MAX ? name.size : NS__NAME_BYTES_MAX;
    ns__store64(buffer, tree->entries);
    ns__store64(buffer + 8, tree->pages);
    ns__store64(buffer + 16, tree->overflow_pages);
    if (size > 0) memcpy(buffer + COUNTERS_BYTES, name.data, size);
    return ns_bytes(buffer, COUNTERS_BYTES + size);
}

ns_status ns__catalogue_value_decode(ns_slice value, uint64_t ref, struct ns__tree *tree_out,
                                     ns_slice *name_out)
{
    const uint8_t *bytes = value.data;
    memset(tree_out, 0, sizeof *tree_out);
    *name_out = ns_bytes(NULL, 0);
    if (value.size <= COUNTERS_BYTES || value.size > NS__CATALOGUE_VALUE_BYTES_MAX) {
        return ns__corrupt(UINT64_MAX, "catalogue: an entry of %zu bytes", value.size);
    }
    struct ns__tree tree = {
        .ref = ref,
        .entries = ns__load64(bytes),
        .pages = ns__load64(bytes + 8),
        .overflow_pages = ns__load64(bytes + 16),
    };
    if ((ref == NS__REF_NONE) != (tree.entries == 0)) {
        return ns__corrupt(UINT64_MAX, "catalogue: a keyspace of %llu entries %s a root",
                           (unsigned long long)tree.entries,
                           ref == NS__REF_NONE ? "without" : "with");
    }
    *tree_out = tree;
    *name_out = ns_bytes(bytes + COUNTERS_BYTES, value.size - COUNTERS_BYTES);
    return NS_OK;
}

ns_status ns__catalogue_id_decode(ns_slice value, ns_keyspace *keyspace_out)
{
    *keyspace_out = value.size == 4 ? ns__load32(value.data) : 0;
    if (*keyspace_out == NS_MAIN) return ns__corrupt(UINT64_MAX, "catalogue: a name without an id");
    return NS_OK;
}

ns_status ns__catalogue_get(struct ns__pages *pages, const struct ns__tree *catalogue,
                            ns_keyspace keyspace, struct ns__tree *tree_out, ns_slice *name_out)
{
    uint8_t buffer[NS__CATALOGUE_ID_KEY_BYTES];
    ns_slice value, name;
    uint64_t ref;
    memset(tree_out, 0, sizeof *tree_out);
    if (name_out != NULL) *name_out = ns_bytes(NULL, 0);
    ns_slice key = ns__catalogue_id_key(keyspace, buffer);
    NS_TRY(ns__btree_get(pages, catalogue, key, &value, NULL, &ref));
    NS_TRY(ns__catalogue_value_decode(value, ref, tree_out, &name));
    if (name_out != NULL) *name_out = name;
    return NS_OK;
}

ns_status ns__catalogue_find(struct ns__pages *pages, const struct ns__tree *catalogue,
                             ns_slice name, ns_keyspace *keyspace_out)
{
    uint8_t buffer[NS__CATALOGUE_NAME_KEY_BYTES_MAX];
    ns_slice value;
    *keyspace_out = 0;
    ns_slice key = ns__catalogue_name_key(name, buffer);
    NS_TRY(ns__btree_get(pages, catalogue, key, &value, NULL, NULL));
    return ns__catalogue_id_decode(value, keyspace_out);
}
