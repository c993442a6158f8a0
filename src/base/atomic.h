/* atomic.h: the one wrapper for atomics. Shared words are plain integers, touched only through
 * these functions. In builds with NS__YIELD_HOOK defined every call first calls ns__yield(), where
 * a test scheduler can switch. */
#ifndef NS_BASE_ATOMIC_H
#define NS_BASE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#if defined(NS__YIELD_HOOK)
void ns__yield(void);
#define NS__YIELD() ns__yield()
#else
#define NS__YIELD() ((void)0)
#endif

/* 64 bits */
static inline uint64_t ns__atomic_load(const uint64_t *p) /* acquire */
{
    NS__YIELD();
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline uint64_t ns__atomic_load_relaxed(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint64_t ns__atomic_load_seq(const uint64_t *p) /* sequentially consistent */
{
    NS__YIELD();
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static inline void ns__atomic_store(uint64_t *p, uint64_t v) /* release */
{
    NS__YIELD();
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline void ns__atomic_store_relaxed(uint64_t *p, uint64_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void ns__atomic_store_seq(uint64_t *p, uint64_t v)
{
    NS__YIELD();
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);
}

static inline uint64_t ns__atomic_add(uint64_t *p, uint64_t v) /* relaxed; returns the old value */
{
    return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}

static inline uint64_t ns__atomic_sub(uint64_t *p, uint64_t v) /* release; returns the old value */
{
    return __atomic_fetch_sub(p, v, __ATOMIC_RELEASE);
}

static inline uint64_t ns__atomic_or(uint64_t *p, uint64_t v) /* release; returns the old value */
{
    NS__YIELD();
    return __atomic_fetch_or(p, v, __ATOMIC_RELEASE);
}

static inline uint64_t ns__atomic_and(uint64_t *p, uint64_t v) /* release; returns the old value */
{
    NS__YIELD();
    return __atomic_fetch_and(p, v, __ATOMIC_RELEASE);
}

/* Sequentially consistent; *expected gets the value found on failure. */
static inline bool ns__atomic_swap_if(uint64_t *p, uint64_t *expected, uint64_t v)
{
    NS__YIELD();
    return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline void ns__atomic_fence(void)
{
    NS__YIELD();
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* 32 bits, for words that are many */
static inline uint32_t ns__atomic_load32(const uint32_t *p) /* acquire */
{
    NS__YIELD();
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void ns__atomic_store32(uint32_t *p, uint32_t v) /* release */
{
    NS__YIELD();
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/* Pointers */
static inline void *ns__atomic_load_pointer(void *const *p) /* acquire */
{
    NS__YIELD();
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void ns__atomic_store_pointer(void **p, void *v) /* release */
{
    NS__YIELD();
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

#endif
