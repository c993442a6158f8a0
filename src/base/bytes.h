/* bytes.h: little-endian loads and stores, varints, and bounds-checked cursors over bytes. Inline.
 * */
#ifndef NS_BASE_BYTES_H
#define NS_BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <northstar.h>

static inline uint16_t ns__load16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] | (unsigned)b[1] << 8);
}

static inline uint32_t ns__load32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t ns__load64(const void *p)
{
    const uint8_t *b = p;
    return (uint64_t)ns__load32(b) | (uint64_t)ns__load32(b + 4) << 32;
}

static inline void ns__store16(void *p, uint16_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)v;
    b[1] = (uint8_t)(v >> 8);
}

static inline void ns__store32(void *p, uint32_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)v;
    b[1] = (uint8_t)(v >> 8);
    b[2] = (uint8_t)(v >> 16);
    b[3] = (uint8_t)(v >> 24);
}

static inline void ns__store64(void *p, uint64_t v)
{
    uint8_t *b = p;
    ns__store32(b, (uint32_t)v);
    ns__store32(b + 4, (uint32_t)(v >> 32));
}

/* Big-endian, for keys whose byte order must be their numeric order. */
static inline uint32_t ns__load32_be(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | (uint32_t)b[3];
}

static inline void ns__store32_be(void *p, uint32_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)(v >> 24);
    b[1] = (uint8_t)(v >> 16);
    b[2] = (uint8_t)(v >> 8);
    b[3] = (uint8_t)v;
}

/* ---- varints: little-endian base 128, 1 to 10 bytes, minimal (FMT: the last byte is not 0 unless
 * alone) ---- */

#define NS__VARINT_MAX 10

static inline size_t ns__varint_size(uint64_t v)
{
    size_t size = 1;
    while (v >= 0x80) {
        v >>= 7;
        size++;
    }
    return size;
}

static inline size_t ns__varint_store(uint8_t *p, uint64_t v)
{
    size_t size = 0;
    while (v >= 0x80) {
        p[size++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[size++] = (uint8_t)v;
    return size;
}

/* Bytes read, 0 if there is no minimal varint of at most 64 bits in [p, p + size). */
static inline size_t ns__varint_load(const uint8_t *p, size_t size, uint64_t *v_out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < size && i < NS__VARINT_MAX; i++) {
        uint64_t bits = p[i] & 0x7fu;
        if (i == 9 && p[i] > 1) return 0;
        v |= bits << (7 * i);
        if ((p[i] & 0x80u) == 0) {
            if (p[i] == 0 && i > 0) return 0;
            *v_out = v;
            return i + 1;
        }
    }
    return 0;
}

/* memcmp order, a shorter key before its extensions. */
static inline int ns__slice_compare(ns_slice a, ns_slice b)
{
    size_t n = a.size < b.size ? a.size : b.size;
    int order = n > 0 ? memcmp(a.data, b.data, n) : 0;
    if (order != 0) return order;
    return (a.size > b.size) - (a.size < b.size);
}

static inline bool ns__slice_equal(ns_slice a, ns_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

#endif
