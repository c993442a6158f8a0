/* arena.h: bump memory that dies at once. Blocks grow from 4 KiB by doubling up to 1 MiB; larger
 * requests get a block of their own. Not for concurrent use. */
#ifndef NS_BASE_ARENA_H
#define NS_BASE_ARENA_H

#include "base/alloc.h"

struct ns__arena_block;
struct ns__arena {
    struct ns__alloc *alloc;
    struct ns__arena_block *newest;
    uint8_t *next, *end;
    size_t bytes; /* handed out */
};

void ns__arena_init(struct ns__arena *arena, struct ns__alloc *alloc);
void ns__arena_deinit(struct ns__arena *arena); /* a zeroed arena is fine */
/* Frees everything handed out but keeps one block (the largest up to 1 MiB) for reuse. */
void ns__arena_reset(struct ns__arena *arena);
/* 8-byte aligned, uninitialised; NULL when there is no memory (detail set). */
void *ns__arena_take(struct ns__arena *arena, size_t size);
/* Copies bytes; a size of 0 gives a non-NULL pointer. */
void *ns__arena_copy(struct ns__arena *arena, const void *data, size_t size);

#endif
