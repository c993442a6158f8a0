/* catalogue.h: the entries of the catalogue tree, which names the keyspaces (FMT-12). */
#ifndef NS_TXN_CATALOGUE_H
#define NS_TXN_CATALOGUE_H

#include "btree/btree.h"

/* "i" || id leads to the tree (reference and counters) and the name; "n" || name leads to the
 * id. */
#define NS__CATALOGUE_ID_KEY_BYTES 5u
#define NS__CATALOGUE_NAME_KEY_BYTES_MAX (1u + NS__NAME_BYTES_MAX)
#define NS__CATALOGUE_VALUE_BYTES_MAX (24u + NS__NAME_BYTES_MAX)
#define NS__CATALOGUE_NAMES 'n'

/* Keys and values are built in the caller's buffer. A name has 1 to 255 bytes. */
ns_slice ns__catalogue_id_key(ns_keyspace keyspace, uint8_t buffer[NS__CATALOGUE_ID_KEY_BYTES]);
ns_slice ns__catalogue_name_key(ns_slice name, uint8_t buffer[NS__CATALOGUE_NAME_KEY_BYTES_MAX]);
ns_slice ns__catalogue_value(const struct ns__tree *tree, ns_slice name,
                             uint8_t buffer[NS__CATALOGUE_VALUE_BYTES_MAX]);

/* Reads the value of an "i" entry with its reference. name_out is a view of the value.
 * NS_CORRUPT. Outputs are zeroed unless NS_OK. */
ns_status ns__catalogue_value_decode(ns_slice value, uint64_t ref, struct ns__tree *tree_out,
                                     ns_slice *name_out);
/* Reads the value of an "n" entry. NS_CORRUPT. */
ns_status ns__catalogue_id_decode(ns_slice value, ns_keyspace *keyspace_out);

/* Look-ups. NS_NOTFOUND (no detail), NS_CORRUPT, NS_IO. name_out (may be NULL) is a view of the
 * node. */
ns_status ns__catalogue_get(struct ns__pages *pages, const struct ns__tree *catalogue,
                            ns_keyspace keyspace, struct ns__tree *tree_out, ns_slice *name_out);
ns_status ns__catalogue_find(struct ns__pages *pages, const struct ns__tree *catalogue,
                             ns_slice name, ns_keyspace *keyspace_out);

#endif
