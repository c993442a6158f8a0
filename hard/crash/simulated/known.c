/* known.c: see known.h. A table of 128-bit slots with linear probing: the identity, then the
 * verdict in one word (0: not yet). */
#include "known.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define TXN_BITS 32

struct slot {
    _Atomic uint64_t identity;
    _Atomic uint64_t verdict;
};

struct known {
    size_t capacity;
    _Atomic uint64_t count;
    struct slot slots[];
};

void *known_shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("crash/simulated: no shared memory");
        exit(2);
    }
    return memory;
}

struct known *known_new(size_t capacity)
{
    struct known *known = known_shared(sizeof *known + capacity * sizeof known->slots[0]);
    known->capacity = capacity;
    return known;
}

void known_free(struct known *known)
{
    munmap(known, sizeof *known + known->capacity * sizeof known->slots[0]);
}

/* The slot of that identity, or the free one where it would be. */
static struct slot *find(struct known *known, uint64_t identity)
{
    size_t at = (size_t)(identity >> 20) & (known->capacity - 1);
    for (;;) { /* known_is_full keeps some free */
        uint64_t found = atomic_load_explicit(&known->slots[at].identity, memory_order_relaxed);
        if (found == identity || found == 0) return &known->slots[at];
        at = (at + 1) & (known->capacity - 1);
    }
}

enum known_state known_look(struct known *known, uint64_t identity,
                            struct known_verdict *verdict_out)
{
    uint64_t free_slot = 0;
    struct slot *slot = find(known, identity);
    while (!atomic_compare_exchange_strong(&slot->identity, &free_slot, identity)) {
        if (free_slot == identity) {
            uint64_t word = atomic_load(&slot->verdict);
            verdict_out->txn_id = word >> (64 - TXN_BITS);
            verdict_out->content = (uint32_t)word;
            return word != 0 ? KNOWN_JUDGED : KNOWN_TAKEN;
        }
        free_slot = 0;
        slot = find(known, identity);
    }
    atomic_fetch_add_explicit(&known->count, 1, memory_order_relaxed);
    return KNOWN_NEW;
}

void known_tell(struct known *known, uint64_t identity, const struct known_verdict *verdict)
{
    uint64_t word = verdict->txn_id << (64 - TXN_BITS) | verdict->content;
    atomic_store(&find(known, identity)->verdict, word);
}

bool known_is_full(const struct known *known)
{
    uint64_t count = atomic_load_explicit(&known->count, memory_order_relaxed);
    return count >= known->capacity / 8 * 7;
}
