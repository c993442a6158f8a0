/* waiting.c: see waiting.h. */
#include "pager/waiting.h"
#include "base/assert.h"
#include "base/marks.h"

#define SLAB_THINGS 510u

struct ns__thing_slab {
    struct ns__thing_slab *next;
    struct ns__thing things[SLAB_THINGS];
};

void ns__pool_init(struct ns__thing_pool *pool, struct ns__alloc *alloc)
{
    *pool = (struct ns__thing_pool){.alloc = alloc};
}

void ns__pool_deinit(struct ns__thing_pool *pool)
{
    while (pool->slabs != NULL) {
        struct ns__thing_slab *slab = pool->slabs;
        pool->slabs = slab->next;
        ns__alloc_release(pool->alloc, slab, sizeof *slab);
    }
    pool->free = NULL;
    pool->free_count = 0;
}

static bool pool_grow(struct ns__thing_pool *pool)
{
    struct ns__thing_slab *slab = ns__alloc(pool->alloc, sizeof *slab);
    if (slab == NULL) return false;
    slab->next = pool->slabs;
    pool->slabs = slab;
    for (uint32_t i = 0; i < SLAB_THINGS; i++) {
        slab->things[i].next = pool->free;
        pool->free = &slab->things[i];
    }
    pool->free_count += SLAB_THINGS;
    return true;
}

ns_status ns__pool_reserve(struct ns__thing_pool *pool, uint64_t count)
{
    while (pool->free_count < count) {
        if (!pool_grow(pool)) return NS_NOMEM;
    }
    return NS_OK;
}

struct ns__thing *ns__pool_take(struct ns__thing_pool *pool, uint64_t number, uint64_t pages,
                                uint64_t birth, uint64_t death)
{
    if (pool->free == NULL && !pool_grow(pool)) return NULL;
    struct ns__thing *thing = pool->free;
    pool->free = thing->next;
    pool->free_count--;
    *thing = (struct ns__thing){NULL, number, pages, birth, death, 0};
    return thing;
}

void ns__pool_give(struct ns__thing_pool *pool, struct ns__thing *thing)
{
    thing->next = pool->free;
    pool->free = thing;
    pool->free_count++;
}

ns_status ns__waiting_init(struct ns__waiting *waiting, struct ns__alloc *alloc, uint32_t capacity)
{
    *waiting = (struct ns__waiting){.alloc = alloc, .capacity = capacity};
    waiting->buckets = ns__alloc_zeroed(alloc, capacity * sizeof *waiting->buckets);
    return waiting->buckets == NULL ? NS_NOMEM : NS_OK;
}

void ns__waiting_deinit(struct ns__waiting *waiting)
{
    if (waiting->alloc == NULL) return;
    ns__alloc_release(waiting->alloc, waiting->buckets,
                      waiting->capacity * sizeof *waiting->buckets);
    *waiting = (struct ns__waiting){0};
}

static uint64_t weight(const struct ns__thing *thing)
{
    return thing->pages == 0 ? 1 : thing->pages;
}

/* The newest holder that reaches the thing, or 0 (generations start at 1). */
static uint64_t newest_holder(const struct ns__thing *thing, const uint64_t *holders,
                              uint32_t count)
{
    uint32_t low = 0, high = count; /* first holder >= death */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (holders[middle] < thing->death)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && holders[low - 1] >= thing->birth ? holders[low - 1] : 0;
}

static struct ns__bucket *bucket_of(struct ns__waiting *waiting, uint64_t holder)
{
    uint32_t at = waiting->count;
    while (at > 0 && waiting->buckets[at - 1].holder > holder)
        at--;
    if (at > 0 && waiting->buckets[at - 1].holder == holder) return &waiting->buckets[at - 1];
    NS_ASSERT(waiting->count < waiting->capacity);
    for (uint32_t i = waiting->count; i > at; i--)
        waiting->buckets[i] = waiting->buckets[i - 1];
    waiting->count++;
    waiting->buckets[at] = (struct ns__bucket){.holder = holder};
    return &waiting->buckets[at];
}

static bool holds(const uint64_t *holders, uint32_t count, uint64_t generation)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (holders[middle] < generation)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && holders[low] == generation;
}

/* Takes out every bucket whose holder is gone; returns their things. First, so that buckets <=
 * holders afterwards. */
static struct ns__thing *orphans(struct ns__waiting *waiting, const uint64_t *holders,
                                 uint32_t count)
{
    struct ns__thing *list = NULL;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < waiting->count; i++) {
        struct ns__bucket *bucket = &waiting->buckets[i];
        if (bucket->things != NULL && holds(holders, count, bucket->holder)) {
            waiting->buckets[kept++] = *bucket;
            continue;
        }
        waiting->pages -= bucket->pages;
        while (bucket->things != NULL) {
            struct ns__thing *thing = bucket->things;
            bucket->things = thing->next;
            thing->next = list;
            list = thing;
        }
    }
    waiting->count = kept;
    return list;
}

static struct ns__thing *sort_out(struct ns__waiting *waiting, struct ns__thing *list,
                                  struct ns__thing *loose, const uint64_t *holders, uint32_t count)
{
    while (list != NULL) {
        struct ns__thing *thing = list;
        list = thing->next;
        uint64_t holder = newest_holder(thing, holders, count);
        if (holder == 0) {
            thing->next = loose;
            loose = thing;
            continue;
        }
        struct ns__bucket *bucket = bucket_of(waiting, holder);
        thing->next = bucket->things;
        bucket->things = thing;
        bucket->pages += weight(thing);
        waiting->pages += weight(thing);
        NS__MARK(reader_pins_page);
    }
    return loose;
}

struct ns__thing *ns__waiting_sift(struct ns__waiting *waiting, struct ns__thing *dead,
                                   const uint64_t *holders, uint32_t holder_count)
{
    NS_ASSERT(holder_count <= waiting->capacity);
    struct ns__thing *again = orphans(waiting, holders, holder_count);
    struct ns__thing *loose = sort_out(waiting, again, NULL, holders, holder_count);
    return sort_out(waiting, dead, loose, holders, holder_count);
}
