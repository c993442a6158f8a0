/* node.c: the validation of tree nodes, and what of reading them is not worth inlining.
 *
 * A node from a file has a good checksum, which says that these bytes were written, not that they
 * are sane: whoever can write the file can recompute it. After ns__node_invalid has passed, the
 * accessors of node.h follow every offset and size in the node without a check of their own. So it
 * proves, from the outside inwards:
 *
 *   N1  the dense arrays end at or below heap, and heap at or below the page's end;
 *   N2  every slot lies in [heap, P), and its cell, parsed with bounds, ends at or below P;
 *   N3  prefix plus remainder is a key within the limits (FMT-13), so key buffers suffice;
 *   N4  a head has no bits beyond its remainder, and heads ascend, so searches are well defined;
 *   N5  references can be followed: of branches never 0, in a file never a frame;
 *   N6  cells are disjoint, and together with the dead bytes they fill the heap, so that writing
 *       over one cell, or moving all of them together, harms no other;
 *   N7  an entry of a leaf takes at most half a node, so that items can be packed again.
 *
 * Keys with equal heads may be out of order: that is wrong data, found by ns__btree_check, but no
 * danger to memory. */
#include "format/node.h"

int ns__node_separator_compare(const uint8_t *node, uint32_t index, ns_slice key)
{
    NS_ASSERT(index > 0 && index < ns__node_count(node));
    int order = ns__node_prefix_compare(node, key);
    if (order != 0) return order;

    const uint8_t *rest = (const uint8_t *)key.data + ns__node_prefix_bytes(node);
    size_t rest_bytes = key.size - ns__node_prefix_bytes(node);
    uint32_t head = ns__node_head_of(rest, rest_bytes);
    uint32_t stored = ns__node_head(node, index);
    if (head != stored) return head < stored ? -1 : 1;

    struct ns__node_entry entry;
    ns__node_branch_cell(node + ns__node_slot(node, index), &entry);
    return ns__node_tail_compare(rest, rest_bytes, &entry);
}

/* The header alone, up to N1. */
static const char *header_invalid(const uint8_t *node, uint32_t page_size)
{
    uint32_t type = ns__node_type(node), level = ns__node_level(node);
    uint32_t count = ns__node_count(node), heap = ns__node_heap(node);
    bool is_branch = type == NS__TYPE_BRANCH;

    if (type != NS__TYPE_LEAF && !is_branch && type != NS__TYPE_CATALOGUE) return "not a node";
    if (is_branch != (level > 0)) return "level does not fit the type";
    if (level >= NS__LEVEL_MAX) return "level over the limit";
    if (count < (is_branch ? 2u : 1u)) return "too few entries";
    if (ns__load16(node + NS__NODE_PREFIX_BYTES + 2) != 0) return "reserved bytes are not zero";
    if (ns__node_prefix_bytes(node) > ns__key_bytes_max(page_size)) return "prefix over the limit";
    if (heap > page_size) return "heap begins beyond the page";
    if (ns__node_arrays_end(node) > heap) return "entries overlap the heap";
    if (ns__node_dead(node) > page_size - heap) return "more dead bytes than heap";
    if (is_branch && ns__node_version_base(node) != 0) return "version base in a branch";
    return NULL;
}

/* The rest of a leaf's cell behind the remainder's size, in [p, end). */
static const char *leaf_cell_invalid(const uint8_t *node, const uint8_t *p, const uint8_t *end,
                                     uint32_t tail_bytes)
{
    uint64_t version, word;
    size_t size = ns__varint_load(p, (size_t)(end - p), &version);
    if (size == 0) return "bad version in a cell";
    if (version > UINT64_MAX - ns__node_version_base(node)) return "version out of range";
    p += size;
    size = ns__varint_load(p, (size_t)(end - p), &word);
    if (size == 0) return "bad value size in a cell";
    p += size;

    bool is_run = (word & 1) != 0;
    uint64_t left = (uint64_t)(end - p);
    uint64_t stored_bytes = is_run ? NS__RUN_BYTES : word >> 1;
    if (tail_bytes > left || stored_bytes > left - tail_bytes) return "cell leaves the page";
    if (!is_run) return NULL;

    struct ns__run run;
    ns__run_load(p + tail_bytes, &run);
    if (ns__node_type(node) == NS__TYPE_CATALOGUE) return "run in a catalogue";
    if (word >> 1 > NS__VALUE_BYTES_MAX) return "value over the limit";
    if (run.page == 0 || run.page > NS__REF_NUMBER_MASK) return "run without a page";
    return NULL;
}

static const char *cell_invalid(const uint8_t *node, uint32_t page_size, uint32_t index,
                                uint32_t slot, uint32_t head)
{
    uint64_t rest_bytes;
    uint32_t prefix_bytes = ns__node_prefix_bytes(node);
    bool is_branch = ns__node_level(node) > 0;
    bool is_keyless = is_branch && index == 0;
    if (slot < ns__node_heap(node) || slot >= page_size) return "cell outside the heap";

    const uint8_t *p = node + slot, *end = node + page_size;
    size_t size = ns__varint_load(p, (size_t)(end - p), &rest_bytes);
    if (size == 0) return "bad key size in a cell";
    p += size;
    if (rest_bytes > ns__key_bytes_max(page_size) - prefix_bytes) return "key over the limit";
    if (is_keyless && (rest_bytes != 0 || head != 0)) return "first child has a separator";
    if (!is_keyless && prefix_bytes + rest_bytes == 0) return "empty key";
    if (rest_bytes < 4 && (head << (8 * rest_bytes)) != 0) return "head longer than its key";

    uint32_t tail_bytes = ns__node_tail_bytes((uint32_t)rest_bytes);
    if (!is_branch) return leaf_cell_invalid(node, p, end, tail_bytes);
    return tail_bytes > (size_t)(end - p) ? "cell leaves the page" : NULL;
}

static const char *ref_invalid(const uint8_t *node, uint32_t index, bool from_file)
{
    uint64_t ref = ns__node_ref(node, index);
    if (ref == 0) return ns__node_level(node) > 0 ? "empty reference" : NULL;
    if (from_file && ns__ref_is_frame(ref)) return "reference to memory in a file";
    if (!ns__ref_is_frame(ref) && ns__ref_number(ref) == 0) return "reference to page 0";
    return NULL;
}

/* ---- N6 ---- */

#define WORDS (NS__PAGE_SIZE_MAX / 64)

/* Is any bit of [from, to) set? */
static bool any_bit(const uint64_t words[WORDS], uint32_t from, uint32_t to)
{
    while (from < to) {
        uint64_t word = words[from / 64] >> (from % 64);
        uint32_t bits = 64 - from % 64;
        if (to - from < bits) {
            bits = to - from;
            word &= (UINT64_C(1) << bits) - 1;
        }
        if (word != 0) return true;
        from += bits;
    }
    return false;
}

/* Whether the cells, each of which is valid, are where N6 wants them. starts is zeroed. */
static const char *heap_invalid(const uint8_t *node, uint32_t page_size, uint64_t starts[WORDS])
{
    uint32_t count = ns__node_count(node);
    uint64_t bytes = ns__node_dead(node);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = ns__node_slot(node, i);
        if ((starts[slot / 64] >> (slot % 64) & 1) != 0) return "two entries share a cell";
        starts[slot / 64] |= UINT64_C(1) << (slot % 64);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct ns__node_entry entry;
        uint32_t slot = ns__node_slot(node, i);
        ns__node_entry(node, i, &entry);
        if (any_bit(starts, slot + 1, slot + entry.cell_bytes)) return "cells overlap";
        if (ns__node_level(node) == 0 &&
            entry.cell_bytes + ns__node_index_bytes(ns__node_has_refs(node)) >
                (page_size - NS__NODE_HEADER_BYTES) / 2) {
            return "entry over half a node";
        }
        bytes += entry.cell_bytes;
    }
    return bytes != page_size - ns__node_heap(node) ? "cells do not fill the heap" : NULL;
}

const char *ns__node_invalid(const uint8_t *node, uint32_t page_size, bool from_file)
{
    NS_ASSERT(ns__page_size_ok(page_size));
    const char *wrong = header_invalid(node, page_size);
    if (wrong != NULL) return wrong;

    uint32_t count = ns__node_count(node);
    bool has_refs = ns__node_has_refs(node);
    const uint8_t *heads = node + ns__node_heads_offset(node);
    const uint8_t *slots = heads + 4u * count;
    uint32_t before = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t head = ns__load32(heads + 4u * i);
        if (head < before) return "heads out of order";
        before = head;
        wrong = cell_invalid(node, page_size, i, ns__load16(slots + 2u * i), head);
        if (wrong == NULL && has_refs) wrong = ref_invalid(node, i, from_file);
        if (wrong != NULL) return wrong;
    }
    uint64_t starts[WORDS];
    memset(starts, 0, page_size / 8);
    return heap_invalid(node, page_size, starts);
}
