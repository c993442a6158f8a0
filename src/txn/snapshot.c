/* snapshot.c: publishing roots and holding them, without a lock.
 *
 * Why a root that is being copied is whole. Generation g lives in ring[g % 64]. Its words are
 * written before generation = g is stored, and next overwritten for g + 64, which begins after
 * generation = g + 63 was stored. The words are stored with release and loaded with acquire. So
 * a reader that loaded g and meets a word of g + 64 sees a generation of at least g + 63 when it
 * loads it again, and retries.
 *
 * Why a held root is never reused. Reader and publisher run, in this order,
 *
 *     reader:     R1 slot = g        R2 load generation, retry unless it is g
 *     publisher:  P1 generation = h  P2 fence   P3 load slot              (h > g)
 *
 * R1, R2, P1, P2 and P3 are sequentially consistent: there is one order of them all. If P3 comes
 * after R1, the scan sees g held (or what the slot did later). If it comes before R1, then P1
 * comes before R2, and R2 finds h: the reader retries and never looks at g. So whoever scans
 * after h was published knows every reader that will look at a root older than h. Readers of h
 * itself may be missed; h is in use as the newest root anyway.
 *
 * The scan ends at slots_used. A slot raises it (sequentially consistent) when it is taken,
 * before its first R1, so the same argument holds with "slots_used is raised" in place of R1.
 *
 * Between R1 and a failed R2 the slot names a generation that is not looked at, perhaps one long
 * gone if the thread slept. A scan may report it. That only keeps pages longer that would have
 * been reusable.
 *
 * Letting go is a release store: all reading of the root's pages comes before it, and a scan
 * that loads the new value (acquire or stronger) comes after it.
 *
 * Progress. A reader retries only when a root was published meanwhile, so some thread always
 * gets on; a publication costs a log write and lasts thousands of times longer than a try.
 * Nobody ever waits for a reader. */
#include "txn/snapshot.h"

#include <string.h>
#include "base/assert.h"

#define SLOT_FREE UINT64_C(0)
#define SLOT_PARKED UINT64_MAX
#define LINE_BYTES 64u

/* Where this thread found a slot last. The pointer is compared, never followed. */
static _Thread_local struct {
    const struct ns__snapshots *snapshots;
    uint32_t index;
} hint;

static size_t slots_bytes(uint32_t slot_count)
{
    return ((size_t)slot_count + NS__SPARE_SLOTS) * sizeof(struct ns__slot) + LINE_BYTES;
}

static void store_root(struct ns__snapshots *snapshots, const struct ns__root *root)
{
    uint64_t words[NS__ROOT_WORDS];
    uint64_t *ring = snapshots->ring[root->generation % NS__RING_ROOTS];
    memcpy(words, root, sizeof words);
    for (size_t i = 0; i < NS__ROOT_WORDS; i++)
        ns__atomic_store(&ring[i], words[i]);
}

static void load_root(const struct ns__snapshots *snapshots, uint64_t generation,
                      struct ns__root *root_out)
{
    uint64_t words[NS__ROOT_WORDS];
    const uint64_t *ring = snapshots->ring[generation % NS__RING_ROOTS];
    for (size_t i = 0; i < NS__ROOT_WORDS; i++)
        words[i] = ns__atomic_load(&ring[i]);
    memcpy(root_out, words, sizeof words);
}

ns_status ns__snapshots_init(struct ns__snapshots *snapshots, struct ns__alloc *alloc,
                             uint32_t slot_count, const struct ns__root *root)
{
    memset(snapshots, 0, sizeof *snapshots);
    if (slot_count == 0) {
        return ns__error(NS_INVALID, "max_readers: %u", (unsigned)slot_count);
    }
    NS_ASSERT(root->generation != SLOT_FREE && root->generation != SLOT_PARKED);
    void *memory = ns__alloc_zeroed(alloc, slots_bytes(slot_count));
    if (memory == NULL) return NS_NOMEM;
    size_t past = (uintptr_t)memory % LINE_BYTES;
    snapshots->slots = (void *)((uint8_t *)memory + (past > 0 ? LINE_BYTES - past : 0));
    snapshots->slots_memory = memory;
    snapshots->slot_count = slot_count;
    snapshots->alloc = alloc;
    store_root(snapshots, root);
    ns__atomic_store_seq(&snapshots->generation, root->generation);
    return NS_OK;
}

void ns__snapshots_deinit(struct ns__snapshots *snapshots)
{
    if (snapshots->slots_memory != NULL) {
        ns__alloc_release(snapshots->alloc, snapshots->slots_memory,
                          slots_bytes(snapshots->slot_count));
    }
    memset(snapshots, 0, sizeof *snapshots);
}

/* ---- slots ---- */

/* The high-water mark only rises. */
static void raise_used(struct ns__snapshots *snapshots, uint64_t used)
{
    uint64_t seen = ns__atomic_load_seq(&snapshots->slots_used);
    while (seen < used && !ns__atomic_swap_if(&snapshots->slots_used, &seen, used)) {
    }
}

static bool try_take(struct ns__snapshots *snapshots, uint32_t index)
{
    struct ns__slot *slot = &snapshots->slots[index];
    uint64_t expected = SLOT_FREE;
    if (ns__atomic_load_relaxed(&slot->generation) != SLOT_FREE) return false;
    if (!ns__atomic_swap_if(&slot->generation, &expected, SLOT_PARKED)) return false;
    raise_used(snapshots, (uint64_t)index + 1);
    return true;
}

ns_status ns__slot_take(struct ns__snapshots *snapshots, struct ns__slot **slot_out)
{
    *slot_out = NULL;
    uint32_t end = snapshots->slot_count + NS__SPARE_SLOTS;
    uint32_t start = hint.snapshots == snapshots ? hint.index : end;
    if (start < end && try_take(snapshots, start)) {
        *slot_out = &snapshots->slots[start];
        return NS_OK;
    }
    for (uint32_t i = NS__SPARE_SLOTS; i < end; i++) {
        if (!try_take(snapshots, i)) continue;
        hint.snapshots = snapshots;
        hint.index = i;
        *slot_out = &snapshots->slots[i];
        return NS_OK;
    }
    return ns__error(NS_BUSY, "%u transactions are open, the most that max_readers allows",
                     (unsigned)snapshots->slot_count);
}

ns_status ns__slot_take_spare(struct ns__snapshots *snapshots, struct ns__slot **slot_out)
{
    *slot_out = NULL;
    for (uint32_t i = 0; i < NS__SPARE_SLOTS; i++) {
        if (!try_take(snapshots, i)) continue;
        *slot_out = &snapshots->slots[i];
        return NS_OK;
    }
    return ns__error(NS_BUSY, "the library's own %u slots are taken", NS__SPARE_SLOTS);
}

void ns__slot_free(struct ns__slot *slot)
{
    NS_ASSERT_SLOW(ns__atomic_load_relaxed(&slot->generation) != SLOT_FREE);
    ns__atomic_store(&slot->generation, SLOT_FREE);
}

void ns__slot_park(struct ns__slot *slot)
{
    NS_ASSERT_SLOW(ns__atomic_load_relaxed(&slot->generation) != SLOT_FREE);
    ns__atomic_store(&slot->generation, SLOT_PARKED);
}

void ns__slot_hold(struct ns__snapshots *snapshots, struct ns__slot *slot,
                   struct ns__root *root_out)
{
    uint64_t generation = ns__atomic_load(&snapshots->generation);
    for (;;) {
        ns__atomic_store_seq(&slot->generation, generation);
        load_root(snapshots, generation, root_out);
        uint64_t newest = ns__atomic_load_seq(&snapshots->generation);
        if (newest == generation) return;
        generation = newest;
    }
}

/* ---- roots ---- */

void ns__snapshots_publish(struct ns__snapshots *snapshots, const struct ns__root *root)
{
    NS_ASSERT(root->generation == ns__atomic_load(&snapshots->generation) + 1);
    store_root(snapshots, root);
    ns__atomic_store_seq(&snapshots->generation, root->generation);
}

void ns__snapshots_newest(struct ns__snapshots *snapshots, struct ns__root *root_out)
{
    uint64_t generation = ns__atomic_load(&snapshots->generation);
    for (;;) {
        load_root(snapshots, generation, root_out);
        uint64_t newest = ns__atomic_load(&snapshots->generation);
        if (newest == generation) return;
        generation = newest;
    }
}

/* Puts value into the ascending distinct values of out. Returns how many there are then. */
static uint32_t insert_distinct(uint64_t *out, uint32_t count, uint64_t value)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (out[middle] < value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < count && out[low] == value) return count;
    memmove(out + low + 1, out + low, (count - low) * sizeof *out);
    out[low] = value;
    return count + 1;
}

uint32_t ns__snapshots_held(struct ns__snapshots *snapshots, uint64_t *out)
{
    ns__atomic_fence();
    uint64_t used = ns__atomic_load_seq(&snapshots->slots_used);
    uint32_t count = 0;
    for (uint64_t i = 0; i < used; i++) {
        uint64_t generation = ns__atomic_load_seq(&snapshots->slots[i].generation);
        if (generation == SLOT_FREE || generation == SLOT_PARKED) continue;
        count = insert_distinct(out, count, generation);
    }
    return count;
}

uint32_t ns__snapshots_open(struct ns__snapshots *snapshots)
{
    uint64_t used = ns__atomic_load_seq(&snapshots->slots_used);
    uint32_t count = 0;
    for (uint64_t i = NS__SPARE_SLOTS; i < used; i++) {
        count += ns__atomic_load(&snapshots->slots[i].generation) != SLOT_FREE;
    }
    return count;
}
