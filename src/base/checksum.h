/* checksum.h: the checksums stored on disk. XXH3 (spec/file_format_v0.md, "Checksums"): fast enough
 * for every page and record, and good against accidents; it does not stop somebody who can
 * recompute it. */
#ifndef NS_BASE_CHECKSUM_H
#define NS_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

struct ns__hash128 {
    uint64_t low, high;
};

uint64_t ns__checksum64(const void *data, size_t size, uint64_t seed);
struct ns__hash128 ns__hash128(const void *data, size_t size, uint64_t seed);

/* Hash of several pieces as if they lay behind one another. */
struct ns__hash_piece {
    const void *data;
    size_t size;
};
uint64_t ns__checksum64_pieces(const struct ns__hash_piece *pieces, size_t count, uint64_t seed);
struct ns__hash128 ns__hash128_pieces(const struct ns__hash_piece *pieces, size_t count,
                                      uint64_t seed);

#endif
