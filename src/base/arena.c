/* arena.c: bump memory in doubling blocks. Under AddressSanitizer what is not handed out is
 * poisoned, so that a view that outlives its arena is caught. */
#include "base/arena.h"

#include <stdbool.h>
#include "base/assert.h"
#include "base/status.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(memory, size) ASAN_POISON_MEMORY_REGION(memory, size)
#define UNPOISON(memory, size) ASAN_UNPOISON_MEMORY_REGION(memory, size)
#else
#define POISON(memory, size) ((void)(memory), (void)(size))
#define UNPOISON(memory, size) ((void)(memory), (void)(size))
#endif

#define BLOCK_BYTES_MIN ((size_t)4096)
#define BLOCK_BYTES_MAX ((size_t)1 << 20)

/* The usable bytes follow. arena->newest is the block that next and end point into; blocks of a
 * single large request are put behind it. */
struct ns__arena_block {
    struct ns__arena_block *older;
    size_t bytes; /* with this header */
};

#define HEADER_BYTES (sizeof(struct ns__arena_block))

static uint8_t *block_start(struct ns__arena_block *block)
{
    return (uint8_t *)block + HEADER_BYTES;
}

static void block_release(struct ns__arena *arena, struct ns__arena_block *block)
{
    size_t bytes = block->bytes;
    UNPOISON(block, bytes);
    ns__alloc_release(arena->alloc, block, bytes);
}

static struct ns__arena_block *block_new(struct ns__arena *arena, size_t bytes)
{
    struct ns__arena_block *block = ns__alloc(arena->alloc, bytes);
    if (block == NULL) return NULL;
    block->older = NULL;
    block->bytes = bytes;
    POISON(block_start(block), bytes - HEADER_BYTES);
    return block;
}

static void use_block(struct ns__arena *arena, struct ns__arena_block *block)
{
    arena->newest = block;
    arena->next = block != NULL ? block_start(block) : NULL;
    arena->end = block != NULL ? (uint8_t *)block + block->bytes : NULL;
}

void ns__arena_init(struct ns__arena *arena, struct ns__alloc *alloc)
{
    memset(arena, 0, sizeof *arena);
    arena->alloc = alloc;
}

void ns__arena_deinit(struct ns__arena *arena)
{
    while (arena->newest != NULL) {
        struct ns__arena_block *block = arena->newest;
        arena->newest = block->older;
        block_release(arena, block);
    }
    memset(arena, 0, sizeof *arena);
}

void ns__arena_reset(struct ns__arena *arena)
{
    struct ns__arena_block *kept = NULL;
    struct ns__arena_block *block = arena->newest;
    while (block != NULL) {
        struct ns__arena_block *older = block->older;
        bool keep = block->bytes <= BLOCK_BYTES_MAX && (kept == NULL || block->bytes > kept->bytes);
        struct ns__arena_block *dropped = keep ? kept : block;
        if (keep) kept = block;
        if (dropped != NULL) block_release(arena, dropped);
        block = older;
    }
    if (kept != NULL) {
        kept->older = NULL;
        POISON(block_start(kept), kept->bytes - HEADER_BYTES);
    }
    use_block(arena, kept);
    arena->bytes = 0;
}

/* The block after one of last bytes, large enough for need bytes with its header. */
static size_t next_block_bytes(size_t last, size_t need)
{
    size_t bytes = last < BLOCK_BYTES_MIN ? BLOCK_BYTES_MIN : 2 * last;
    if (bytes > BLOCK_BYTES_MAX) bytes = BLOCK_BYTES_MAX;
    while (bytes < need)
        bytes *= 2;
    return bytes;
}

/* Memory for size bytes (a multiple of 8) that the newest block has no room for. */
static void *take_from_new_block(struct ns__arena *arena, size_t size)
{
    size_t need = size + HEADER_BYTES;
    if (need > BLOCK_BYTES_MAX) {
        struct ns__arena_block *own = block_new(arena, need);
        if (own == NULL) return NULL;
        if (arena->newest == NULL) {
            use_block(arena, own);
            arena->next = arena->end;
        } else {
            own->older = arena->newest->older;
            arena->newest->older = own;
        }
        return block_start(own);
    }
    size_t last = arena->newest != NULL ? arena->newest->bytes : 0;
    if (last > BLOCK_BYTES_MAX) last = 0;
    struct ns__arena_block *block = block_new(arena, next_block_bytes(last, need));
    if (block == NULL) return NULL;
    block->older = arena->newest;
    use_block(arena, block);
    arena->next += size;
    return block_start(block);
}

void *ns__arena_take(struct ns__arena *arena, size_t size)
{
    NS_ASSERT(arena->alloc != NULL);
    if (size > SIZE_MAX / 2) {
        (void)ns__error(NS_NOMEM, "out of memory: %zu bytes", size);
        return NULL;
    }
    size_t asked = size;
    size = size > 0 ? (size + 7) & ~(size_t)7 : 8;
    void *memory;
    if (size <= (size_t)(arena->end - arena->next)) {
        memory = arena->next;
        arena->next += size;
    } else {
        memory = take_from_new_block(arena, size);
        if (memory == NULL) return NULL;
    }
    UNPOISON(memory, asked);
    arena->bytes += size;
    return memory;
}

void *ns__arena_copy(struct ns__arena *arena, const void *data, size_t size)
{
    void *copy = ns__arena_take(arena, size);
    if (copy != NULL && size > 0) memcpy(copy, data, size);
    return copy;
}
