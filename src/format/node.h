/* node.h: reading tree nodes (spec/file_format_v0.md, "Nodes"): accessors and searches for a node
 * that has been validated (or that we built), and the validation itself. Building nodes is
 * btree/pack.c and btree/splice.c. Nodes are little-endian in the file and in frames alike.
 *
 * Words: the *remainder* of a key is what follows the node's prefix; its first four bytes are the
 * *head*, the rest is the *tail* (FMT-8). Everything here stays inside the page for any node that
 * ns__node_invalid accepts, whatever the order of its keys. */
#ifndef NS_FORMAT_NODE_H
#define NS_FORMAT_NODE_H

#include "base/assert.h"
#include "base/atomic.h"
#include "format/layout.h"

#define NS__NODE_HEADER_BYTES 40u
#define NS__NODE_CHECKSUM 0u
#define NS__NODE_BIRTH 8u
#define NS__NODE_TYPE 16u
#define NS__NODE_LEVEL 17u
#define NS__NODE_COUNT 18u
#define NS__NODE_PREFIX_BYTES 20u
#define NS__NODE_HEAP 24u
#define NS__NODE_DEAD 28u
#define NS__NODE_VERSION_BASE 32u

static inline uint64_t ns__node_checksum(const uint8_t *node)
{
    return ns__load64(node + NS__NODE_CHECKSUM);
}

static inline uint64_t ns__node_birth(const uint8_t *node)
{
    return ns__load64(node + NS__NODE_BIRTH);
}

static inline uint32_t ns__node_type(const uint8_t *node)
{
    return node[NS__NODE_TYPE];
}

static inline uint32_t ns__node_level(const uint8_t *node)
{
    return node[NS__NODE_LEVEL];
}

static inline uint32_t ns__node_count(const uint8_t *node)
{
    return ns__load16(node + NS__NODE_COUNT);
}

static inline uint32_t ns__node_prefix_bytes(const uint8_t *node)
{
    return ns__load16(node + NS__NODE_PREFIX_BYTES);
}

static inline bool ns__node_has_refs(const uint8_t *node)
{
    return ns__node_type(node) != NS__TYPE_LEAF;
}

/* Offset of the references: valid for types 2 and 3. 8-byte aligned in the page. */
static inline uint32_t ns__node_refs_offset(const uint8_t *node)
{
    return (NS__NODE_HEADER_BYTES + ns__node_prefix_bytes(node) + 7u) & ~7u;
}

/* The reference of entry index. An acquire load: a checkpoint may replace a frame by its file page
 * at any time, and both mean the same content. */
static inline uint64_t ns__node_ref(const uint8_t *node, uint32_t index)
{
    const uint8_t *at = node + ns__node_refs_offset(node) + 8u * index;
    uint64_t stored = ns__atomic_load((const uint64_t *)(const void *)at);
    return ns__load64(&stored);
}

/* Replaces it (release). The only change that a finished node ever sees. */
static inline void ns__node_ref_swing(uint8_t *node, uint32_t index, uint64_t ref)
{
    uint8_t *at = node + ns__node_refs_offset(node) + 8u * index;
    uint64_t stored;
    ns__store64(&stored, ref);
    ns__atomic_store((uint64_t *)(void *)at, stored);
}

/* ---- geometry ---- */

/* Bytes of the dense arrays for one entry. */
static inline uint32_t ns__node_index_bytes(bool has_refs)
{
    return has_refs ? 14u : 6u;
}

static inline uint32_t ns__node_heads_offset(const uint8_t *node)
{
    uint32_t refs_bytes = ns__node_has_refs(node) ? 8u * ns__node_count(node) : 0;
    return ns__node_refs_offset(node) + refs_bytes;
}

static inline uint32_t ns__node_slots_offset(const uint8_t *node)
{
    return ns__node_heads_offset(node) + 4u * ns__node_count(node);
}

/* First byte behind the slots. */
static inline uint32_t ns__node_arrays_end(const uint8_t *node)
{
    return ns__node_slots_offset(node) + 2u * ns__node_count(node);
}

static inline uint32_t ns__node_heap(const uint8_t *node)
{
    return ns__load32(node + NS__NODE_HEAP);
}

static inline uint32_t ns__node_dead(const uint8_t *node)
{
    return ns__load32(node + NS__NODE_DEAD);
}

static inline uint64_t ns__node_version_base(const uint8_t *node)
{
    return ns__load64(node + NS__NODE_VERSION_BASE);
}

/* Bytes in use, header included: what a node without dead bytes would need. */
static inline uint32_t ns__node_used_bytes(const uint8_t *node, uint32_t page_size)
{
    return ns__node_arrays_end(node) + page_size - ns__node_heap(node) - ns__node_dead(node);
}

static inline const uint8_t *ns__node_prefix(const uint8_t *node)
{
    return node + NS__NODE_HEADER_BYTES;
}

static inline uint32_t ns__node_head(const uint8_t *node, uint32_t index)
{
    return ns__load32(node + ns__node_heads_offset(node) + 4u * index);
}

static inline uint32_t ns__node_slot(const uint8_t *node, uint32_t index)
{
    return ns__load16(node + ns__node_slots_offset(node) + 2u * index);
}

/* ---- cells ---- */

/* Reads a varint that is known to be whole; returns what follows. */
static inline const uint8_t *ns__node_varint(const uint8_t *p, uint64_t *v_out)
{
    uint64_t v = *p++;
    if (v >= 0x80) {
        uint32_t shift = 7;
        uint8_t byte;
        v &= 0x7f;
        do {
            byte = *p++;
            v |= (uint64_t)(byte & 0x7fu) << shift;
            shift += 7;
        } while (byte >= 0x80);
    }
    *v_out = v;
    return p;
}

/* An entry of a leaf or branch. In branches only tail, rest_bytes and cell_bytes are set. */
struct ns__node_entry {
    const uint8_t *tail;  /* the remainder from its fifth byte on */
    const uint8_t *value; /* the value, or the encoded run */
    uint64_t version;
    uint64_t value_bytes; /* of the value, wherever it lies */
    uint32_t rest_bytes;  /* size of the remainder */
    uint32_t cell_bytes;
    bool is_run;
};

static inline uint32_t ns__node_tail_bytes(uint32_t rest_bytes)
{
    return rest_bytes > 4 ? rest_bytes - 4 : 0;
}

/* What the cell of an entry ends with: the value, or its run. */
static inline uint32_t ns__node_stored_bytes(const struct ns__node_entry *entry)
{
    return entry->is_run ? NS__RUN_BYTES : (uint32_t)entry->value_bytes;
}

/* The entry whose cell begins at `cell`. */
static inline void ns__node_leaf_cell(const uint8_t *node, const uint8_t *cell,
                                      struct ns__node_entry *entry_out)
{
    uint64_t rest, version, word;
    const uint8_t *p = ns__node_varint(cell, &rest);
    p = ns__node_varint(p, &version);
    p = ns__node_varint(p, &word);
    entry_out->tail = p;
    entry_out->rest_bytes = (uint32_t)rest;
    entry_out->value = p + ns__node_tail_bytes((uint32_t)rest);
    entry_out->version = ns__node_version_base(node) + version;
    entry_out->value_bytes = word >> 1;
    entry_out->is_run = (word & 1) != 0;
    entry_out->cell_bytes = (uint32_t)(entry_out->value - cell) + ns__node_stored_bytes(entry_out);
}

static inline void ns__node_branch_cell(const uint8_t *cell, struct ns__node_entry *entry_out)
{
    uint64_t rest;
    entry_out->tail = ns__node_varint(cell, &rest);
    entry_out->rest_bytes = (uint32_t)rest;
    entry_out->cell_bytes =
        (uint32_t)(entry_out->tail - cell) + ns__node_tail_bytes((uint32_t)rest);
    entry_out->value = NULL;
    entry_out->value_bytes = 0;
    entry_out->version = 0;
    entry_out->is_run = false;
}

static inline void ns__node_entry(const uint8_t *node, uint32_t index,
                                  struct ns__node_entry *entry_out)
{
    const uint8_t *cell = node + ns__node_slot(node, index);
    if (ns__node_level(node) == 0) {
        ns__node_leaf_cell(node, cell, entry_out);
    } else {
        ns__node_branch_cell(cell, entry_out);
    }
}

static inline uint32_t ns__node_key_bytes(const uint8_t *node, const struct ns__node_entry *entry)
{
    return ns__node_prefix_bytes(node) + entry->rest_bytes;
}

/* Writes the remainder of an entry's key: entry->rest_bytes bytes, but at least 4 must be free. */
static inline void ns__node_rest_copy(uint32_t head, const struct ns__node_entry *entry,
                                      uint8_t *to)
{
    ns__store32_be(to, head);
    if (entry->rest_bytes > 4) memcpy(to + 4, entry->tail, entry->rest_bytes - 4);
}

/* Writes the whole key of entry index and returns its size, which is at most ns__key_bytes_max();
 * 4 bytes more must be free. Entry 0 of a branch has no key: not for it. */
static inline uint32_t ns__node_key_copy(const uint8_t *node, uint32_t index,
                                         const struct ns__node_entry *entry, uint8_t *to)
{
    uint32_t prefix_bytes = ns__node_prefix_bytes(node);
    memcpy(to, ns__node_prefix(node), prefix_bytes);
    ns__node_rest_copy(ns__node_head(node, index), entry, to + prefix_bytes);
    return prefix_bytes + entry->rest_bytes;
}

static inline void ns__run_load(const uint8_t *stored, struct ns__run *run_out)
{
    run_out->page = ns__load64(stored);
    run_out->birth = ns__load64(stored + 8);
    run_out->checksum = ns__load64(stored + 16);
}

static inline void ns__run_store(uint8_t *to, const struct ns__run *run)
{
    ns__store64(to, run->page);
    ns__store64(to + 8, run->birth);
    ns__store64(to + 16, run->checksum);
}

/* FMT-11: does the value of this entry lie in its leaf? The 32 bytes are more than an entry ever
 * takes beside key and value (head, slot, reference, three varints), so that the answer depends on
 * neither prefix nor versions, and any two entries fit in one leaf. */
static inline bool ns__value_is_inline(uint32_t page_size, uint64_t key_bytes, uint64_t value_bytes)
{
    return key_bytes + value_bytes + 32 <= (page_size - NS__NODE_HEADER_BYTES) / 2;
}

/* ---- searching ---- */

/* The head of a remainder (FMT-8). */
static inline uint32_t ns__node_head_of(const uint8_t *rest, size_t rest_bytes)
{
    if (rest_bytes >= 4) return ns__load32_be(rest);
    uint32_t head = 0;
    for (size_t i = 0; i < rest_bytes; i++)
        head |= (uint32_t)rest[i] << (24 - 8 * i);
    return head;
}

/* Index of the first of heads [first, end) that is not below head; end if there is none. */
static inline uint32_t ns__node_heads_search(const uint8_t *heads, uint32_t first, uint32_t end,
                                             uint32_t head)
{
    if (first >= end) return first;
    const uint8_t *base = heads + 4u * (size_t)first;
    uint32_t left = end - first;
    while (left > 1) { /* the mask keeps branches, which nobody could predict, out of the loop */
        size_t half = left / 2;
        size_t is_below = ns__load32(base + 4u * (half - 1)) < head;
        base += (0 - is_below) & (4u * half);
        left -= (uint32_t)half;
    }
    return (uint32_t)(base - heads) / 4u + (ns__load32(base) < head);
}

/* Order of a remainder and an entry's, whose heads are equal. */
static inline int ns__node_tail_compare(const uint8_t *rest, size_t rest_bytes,
                                        const struct ns__node_entry *entry)
{
    if (rest_bytes > 4 && entry->rest_bytes > 4) {
        size_t n = (rest_bytes < entry->rest_bytes ? rest_bytes : entry->rest_bytes) - 4;
        int order = memcmp(rest + 4, entry->tail, n);
        if (order != 0) return order;
    }
    return (rest_bytes > entry->rest_bytes) - (rest_bytes < entry->rest_bytes);
}

/* Order of a key and the node's prefix: 0 when the key begins with it. */
static inline int ns__node_prefix_compare(const uint8_t *node, ns_slice key)
{
    uint32_t prefix_bytes = ns__node_prefix_bytes(node);
    if (key.size >= 8 && prefix_bytes <= 8) { /* the usual case; nodes are longer than this */
        if (prefix_bytes == 0) return 0;
        uint64_t mask = UINT64_MAX >> (64 - 8 * prefix_bytes);
        uint64_t difference = (ns__load64(key.data) ^ ns__load64(ns__node_prefix(node))) & mask;
        if (difference == 0) return 0;
        int byte = __builtin_ctzll(difference) / 8;
        return ((const uint8_t *)key.data)[byte] < ns__node_prefix(node)[byte] ? -1 : 1;
    }
    size_t n = key.size < prefix_bytes ? key.size : prefix_bytes;
    int order = n > 0 ? memcmp(key.data, ns__node_prefix(node), n) : 0;
    if (order != 0) return order;
    return key.size < prefix_bytes ? -1 : 0;
}

/* End of the entries in (lo, count) whose head is still `head`, that of entry lo. */
static inline uint32_t ns__node_ties_end(const uint8_t *heads, uint32_t lo, uint32_t count,
                                         uint32_t head)
{
    if (lo + 1 >= count || ns__load32(heads + 4u * (lo + 1)) != head) return lo + 1;
    return head == UINT32_MAX ? count : ns__node_heads_search(heads, lo + 1, count, head + 1);
}

/* Leaf: index in [first, count] of the first entry from `first` on whose head is not below that of
 * key; behind it the key itself may be, at once or after others with the same head. */
static inline uint32_t ns__node_search_heads(const uint8_t *node, uint32_t first, ns_slice key)
{
    uint32_t count = ns__node_count(node);
    int order = ns__node_prefix_compare(node, key);
    if (order != 0) return order < 0 ? first : count;
    const uint8_t *rest = (const uint8_t *)key.data + ns__node_prefix_bytes(node);
    uint32_t head = ns__node_head_of(rest, key.size - ns__node_prefix_bytes(node));
    return ns__node_heads_search(node + ns__node_heads_offset(node), first, count, head);
}

/* Leaf: goes on from lo, the result of ns__node_search_heads, as ns__node_search. */
static inline uint32_t ns__node_search_cells(const uint8_t *node, uint32_t lo, ns_slice key,
                                             struct ns__node_entry *entry_out, bool *found_out)
{
    uint32_t count = ns__node_count(node), prefix_bytes = ns__node_prefix_bytes(node);
    *found_out = false;
    if (lo >= count || key.size < prefix_bytes) return lo;

    const uint8_t *rest = (const uint8_t *)key.data + prefix_bytes;
    size_t rest_bytes = key.size - prefix_bytes;
    uint32_t head = ns__node_head_of(rest, rest_bytes);
    const uint8_t *heads = node + ns__node_heads_offset(node);
    const uint8_t *slots = heads + 4u * count;
    if (ns__load32(heads + 4u * lo) != head) return lo;
    if (ns__node_prefix_compare(node, key) != 0) return lo;

    uint32_t hi = ns__node_ties_end(heads, lo, count, head);
    while (lo < hi) {
        uint32_t middle = lo + (hi - lo) / 2;
        ns__node_leaf_cell(node, node + ns__load16(slots + 2u * middle), entry_out);
        int order = ns__node_tail_compare(rest, rest_bytes, entry_out);
        if (order == 0) {
            *found_out = true;
            return middle;
        }
        if (order > 0) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    return lo;
}

/* Leaf: index in [first, count] of the first entry from `first` on whose key is not below key.
 * *found_out: it is key itself, and *entry_out is filled. */
static inline uint32_t ns__node_search(const uint8_t *node, uint32_t first, ns_slice key,
                                       struct ns__node_entry *entry_out, bool *found_out)
{
    uint32_t lo = ns__node_search_heads(node, first, key);
    return ns__node_search_cells(node, lo, key, entry_out, found_out);
}

/* Branch: the last child from `first` on whose separator is not above key; `first` if none is. */
static inline uint32_t ns__node_child(const uint8_t *node, uint32_t first, ns_slice key)
{
    uint32_t count = ns__node_count(node);
    int order = ns__node_prefix_compare(node, key);
    if (order != 0) return order < 0 ? first : count - 1;

    const uint8_t *rest = (const uint8_t *)key.data + ns__node_prefix_bytes(node);
    size_t rest_bytes = key.size - ns__node_prefix_bytes(node);
    uint32_t head = ns__node_head_of(rest, rest_bytes);
    const uint8_t *heads = node + ns__node_heads_offset(node);
    const uint8_t *slots = heads + 4u * count;
    uint32_t lo = ns__node_heads_search(heads, first + 1, count, head);
    if (lo >= count || ns__load32(heads + 4u * lo) != head) return lo - 1;

    uint32_t hi = ns__node_ties_end(heads, lo, count, head);
    while (lo < hi) {
        uint32_t middle = lo + (hi - lo) / 2;
        struct ns__node_entry entry;
        ns__node_branch_cell(node + ns__load16(slots + 2u * middle), &entry);
        if (ns__node_tail_compare(rest, rest_bytes, &entry) >= 0) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    return lo - 1;
}

/* Order of a key and separator index (not 0) of a branch. */
int ns__node_separator_compare(const uint8_t *node, uint32_t index, ns_slice key);

/* ---- validation ---- */

/* Frames carry what their last use left between the arrays and the cells; a file does not. */
static inline void ns__node_zero_gap(uint8_t *node)
{
    uint32_t end = ns__node_arrays_end(node), heap = ns__load32(node + NS__NODE_HEAP);
    NS_ASSERT(end <= heap);
    memset(node + end, 0, heap - end);
}

/* Is this page, found at any place, a node of page_size that the accessors (and btree's) can read
 * without leaving it? Checks type, level, counts, all offsets, cells and sizes; that references
 * name a file page when from_file; that separators and keys respect the limits; that heads are in
 * order; that cells are disjoint and account for the heap. Not: full key order, birth, checksum.
 * NULL if it is, else a static text that says what is wrong. */
const char *ns__node_invalid(const uint8_t *node, uint32_t page_size, bool from_file);

#endif
