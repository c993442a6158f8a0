/* skiplist.c: the sorted points of a write set.
 *
 * A node lies in one piece of arena memory: header, links, key, and at first the value.
 * Searching compares `head` (the first eight bytes of the key, padded with zero bytes, as a
 * big-endian number) and looks at the key only when heads are equal. Heights come from a seeded
 * generator: equal calls give equal lists.
 *
 * Terms. The *links* of a place are the array of pointers that leads to what follows it:
 * list->first, or next of a node. A *position* holds, per level, the links that precede a key.
 *
 * Invariants.
 *   1. On every level keys ascend strictly; a node of height h is on levels 0 to h - 1.
 *   2. prev is the reverse of next[0]; list->last is the last node of level 0.
 *   3. tail[level][level] is NULL and belongs to the last node of that level (or to the list).
 *      So appending, the common order of loads, needs one comparison and no search.
 *   4. Memory of removed nodes is kept in memory->spare and used again when what comes next
 *      fits the newest of them; so a queue that is filled and drained within one transaction
 *      does not grow.
 *
 * A slice handed out by a list is good until the next change of any list of the same memory. */
#include "txn/skiplist.h"

#include "base/status.h"

struct position {
    struct ns__skipnode **before[NS__SKIPLIST_LEVELS];
    struct ns__skipnode *previous; /* the node before the key on level 0; NULL: none */
};

static uint64_t head_of(ns_slice key)
{
    const uint8_t *bytes = key.data;
    if (key.size >= 8) return (uint64_t)ns__load32_be(bytes) << 32 | ns__load32_be(bytes + 4);
    uint64_t head = 0;
    for (size_t i = 0; i < key.size; i++)
        head |= (uint64_t)bytes[i] << (56 - 8 * i);
    return head;
}

/* Order of two keys whose heads are equal. Where one ends within the head the other goes on with
 * zero bytes, so that the sizes decide. */
static int compare_past_head(ns_slice a, ns_slice b)
{
    if (a.size > 8 && b.size > 8) {
        size_t n = (a.size < b.size ? a.size : b.size) - 8;
        int order = memcmp((const uint8_t *)a.data + 8, (const uint8_t *)b.data + 8, n);
        if (order != 0) return order;
    }
    return (a.size > b.size) - (a.size < b.size);
}

static inline int compare(const struct ns__skipnode *node, uint64_t head, ns_slice key)
{
    if (node->head != head) return node->head < head ? -1 : 1;
    return compare_past_head(node->point.key, key);
}

void ns__skiplist_init(struct ns__skiplist *list)
{
    memset(list, 0, sizeof *list);
    for (uint32_t level = 0; level < NS__SKIPLIST_LEVELS; level++)
        list->tail[level] = list->first;
}

/* The position before the first key >= key, or > key if past_equal. Returns the node there. */
static struct ns__skipnode *search(const struct ns__skiplist *list, ns_slice key, bool past_equal,
                                   struct position *position)
{
    uint64_t head = head_of(key);
    int enough = past_equal ? 1 : 0;
    struct ns__skipnode **links = ((struct ns__skiplist *)(uintptr_t)list)->first;
    const struct ns__skipnode *stop = NULL; /* known not to lie before the key */
    struct ns__skipnode *previous = NULL;
    for (uint32_t level = list->height; level-- > 0;) {
        struct ns__skipnode *node = links[level];
        while (node != stop && compare(node, head, key) < enough) {
            previous = node;
            links = node->next;
            node = links[level];
        }
        stop = node;
        position->before[level] = links;
    }
    position->previous = previous;
    return list->height > 0 ? links[0] : NULL;
}

struct ns__skipnode *ns__skiplist_seek(const struct ns__skiplist *list, ns_slice key)
{
    struct position position;
    return search(list, key, false, &position);
}

struct ns__skipnode *ns__skiplist_find(const struct ns__skiplist *list, ns_slice key)
{
    struct ns__skipnode *node = ns__skiplist_seek(list, key);
    return node != NULL && ns__slice_equal(node->point.key, key) ? node : NULL;
}

struct ns__skipnode *ns__skiplist_floor(const struct ns__skiplist *list, ns_slice key)
{
    struct position position;
    (void)search(list, key, true, &position);
    return position.previous;
}

struct ns__skipnode *ns__skiplist_before(const struct ns__skiplist *list, ns_slice key)
{
    struct position position;
    (void)search(list, key, false, &position);
    return position.previous;
}

/* A quarter of the nodes of each level goes up to the next one. */
static uint32_t draw_height(struct ns__prng *heights)
{
    uint64_t bits = ns__prng_next(heights);
    uint32_t height = 1;
    while (height < NS__SKIPLIST_LEVELS && (bits & 3) == 0) {
        bits >>= 2;
        height++;
    }
    return height;
}

/* An unlinked node with copies of key and value; NULL when there is no memory. */
static struct ns__skipnode *node_new(struct ns__skipmemory *memory, ns_slice key, ns_slice value)
{
    size_t need = key.size + value.size;
    struct ns__skipnode *node = memory->spare;
    if (node != NULL && node->room >= need) {
        memory->spare = node->next[0];
    } else {
        uint32_t height = draw_height(&memory->heights);
        size_t links_bytes = height * sizeof(struct ns__skipnode *);
        node = ns__arena_take(memory->arena, sizeof *node + links_bytes + need);
        if (node == NULL) return NULL;
        node->height = height;
        node->room = need < UINT32_MAX ? (uint32_t)need : UINT32_MAX;
    }
    uint8_t *bytes = (uint8_t *)(node->next + node->height);
    memmove(bytes, key.data != NULL ? key.data : "", key.size);
    node->point.key = ns_bytes(bytes, key.size);
    node->head = head_of(node->point.key);
    node->value_memory = bytes + key.size;
    node->value_room = (need > node->room ? need : node->room) - key.size;
    memmove(node->value_memory, value.data != NULL ? value.data : "", value.size);
    return node;
}

static void set_value(struct ns__skipnode *node, size_t size, bool is_put)
{
    node->point.value = is_put ? ns_bytes(node->value_memory, size) : ns_bytes(NULL, 0);
    node->point.is_put = is_put;
}

/* A value that does not fit gets memory with some to spare, so that one that keeps growing costs
 * a bounded multiple of its size. */
static ns_status replace(struct ns__skipmemory *memory, struct ns__skipnode *node, ns_slice value,
                         bool is_put)
{
    if (value.size > node->value_room) {
        size_t room = value.size + value.size / 4;
        uint8_t *bytes = ns__arena_take(memory->arena, room);
        if (bytes == NULL) return NS_NOMEM;
        memcpy(bytes, value.data, value.size);
        node->value_memory = bytes;
        node->value_room = room;
    } else if (value.size > 0) {
        memmove(node->value_memory, value.data, value.size);
    }
    set_value(node, value.size, is_put);
    return NS_OK;
}

ns_status ns__skiplist_put(struct ns__skipmemory *memory, struct ns__skiplist *list, ns_slice key,
                           ns_slice value, bool is_put)
{
    struct position found;
    struct ns__skipnode ***before = list->tail;
    struct ns__skipnode *previous = list->last;
    if (previous != NULL && compare(previous, head_of(key), key) >= 0) {
        struct ns__skipnode *node = search(list, key, false, &found);
        if (ns__slice_equal(node->point.key, key)) return replace(memory, node, value, is_put);
        before = found.before;
        previous = found.previous;
    }
    struct ns__skipnode *node = node_new(memory, key, value);
    if (node == NULL) return NS_NOMEM;
    set_value(node, value.size, is_put);
    for (uint32_t level = 0; level < node->height; level++) {
        struct ns__skipnode **links = level < list->height ? before[level] : list->first;
        node->next[level] = links[level];
        if (links[level] == NULL) list->tail[level] = node->next;
        links[level] = node;
    }
    if (node->height > list->height) list->height = node->height;
    node->prev = previous;
    if (node->next[0] != NULL) {
        node->next[0]->prev = node;
    } else {
        list->last = node;
    }
    return NS_OK;
}

/* Unlinks what lies between two positions of the list; the node behind is `end` (NULL: the list
 * ends). */
static void cut_between(struct ns__skipmemory *memory, struct ns__skiplist *list,
                        const struct position *from, const struct position *to,
                        struct ns__skipnode *end)
{
    struct ns__skipnode *start = list->height > 0 ? from->before[0][0] : NULL;
    if (start == end) return;
    struct ns__skipnode *newest = end != NULL ? end->prev : list->last;
    for (uint32_t level = 0; level < list->height; level++) {
        struct ns__skipnode **links = from->before[level];
        links[level] = end != NULL ? to->before[level][level] : NULL;
        if (links[level] == NULL) list->tail[level] = links;
    }
    if (end != NULL) {
        end->prev = from->previous;
    } else {
        list->last = from->previous;
    }
    newest->next[0] = memory->spare;
    memory->spare = start;
}

void ns__skiplist_cut(struct ns__skipmemory *memory, struct ns__skiplist *list, ns_slice from,
                      bool after_from, ns_slice to)
{
    struct position start, behind;
    struct ns__skipnode *end = NULL;
    if (to.size > 0 && ns__slice_compare(from, to) >= 0) return;
    if (search(list, from, after_from, &start) == NULL) return;
    if (to.size > 0) end = search(list, to, false, &behind);
    cut_between(memory, list, &start, &behind, end);
}

void ns__skiplist_remove(struct ns__skipmemory *memory, struct ns__skiplist *list, ns_slice key)
{
    struct position start;
    struct ns__skipnode *node = search(list, key, false, &start);
    if (node == NULL || !ns__slice_equal(node->point.key, key)) return;
    for (uint32_t level = 0; level < node->height; level++) {
        struct ns__skipnode **links = start.before[level];
        links[level] = node->next[level];
        if (links[level] == NULL) list->tail[level] = links;
    }
    if (node->next[0] != NULL) {
        node->next[0]->prev = node->prev;
    } else {
        list->last = node->prev;
    }
    node->next[0] = memory->spare;
    memory->spare = node;
}
