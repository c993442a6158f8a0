/* fault.c: the allocator and the file system that refuse on demand.
 *
 * A block has a header before it and a guard behind it: a release must name the size that was asked
 * for, and nobody may have written past the end. Fresh memory is filled with one byte and released
 * memory with another; resize always moves. Whatever is taken is counted until it is given back:
 * blocks and bytes of the allocator, files, maps and reservations of the file system.
 *
 * A refusal is counted down over the calls of one kind; with OOM_HELPER_ALLOCATOR only calls of
 * other threads than the one that armed it count. */
#include "oom/oom.h"

#include <pthread.h>
#include <stdlib.h>

#define MAGIC UINT64_C(0x6f6f6d2d626c6f63)
#define GUARD_BYTES 16u
#define GUARD 0xEF
#define FRESH 0xA5
#define STALE 0xDD

struct header {
    uint64_t magic;
    uint64_t size;
    uint64_t reserved[2]; /* keeps what follows aligned for any type */
};

enum held { HELD_BLOCKS, HELD_BYTES, HELD_FILES, HELD_MAPS, HELD_RESERVATIONS, HELD_KINDS };
static const char *const held_names[HELD_KINDS] = {"blocks", "bytes", "files", "maps",
                                                   "reservations"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t held[HELD_KINDS];
static struct oom_fault armed;
static bool is_armed;
static uint64_t calls, fired;
static pthread_t armed_by;
static uint64_t releases; /* for the canaries */

enum oom_canary oom_canary;

/* ---- the countdown ---- */

void oom_arm(const struct oom_fault *fault)
{
    pthread_mutex_lock(&lock);
    armed = *fault;
    is_armed = true;
    calls = fired = 0;
    armed_by = pthread_self();
    pthread_mutex_unlock(&lock);
}

void oom_disarm(void)
{
    pthread_mutex_lock(&lock);
    is_armed = false;
    pthread_mutex_unlock(&lock);
}

uint64_t oom_fired(void)
{
    pthread_mutex_lock(&lock);
    uint64_t count = fired;
    pthread_mutex_unlock(&lock);
    return count;
}

/* Is this call refused? Lock held. */
static bool refuses(enum oom_what what)
{
    if (!is_armed) return false;
    if (armed.what == OOM_HELPER_ALLOCATOR) {
        if (what != OOM_ALLOCATOR || pthread_equal(pthread_self(), armed_by)) return false;
    } else if (armed.what != what) {
        return false;
    }
    calls++;
    bool is_hit = armed.nth != 0 && (calls == armed.nth || (armed.for_ever && calls > armed.nth));
    if (is_hit) fired++;
    return is_hit;
}

/* ---- the allocator ---- */

static bool refuses_allocation(void)
{
    pthread_mutex_lock(&lock);
    bool is_refused = refuses(OOM_ALLOCATOR);
    bool is_watched = is_armed;
    pthread_mutex_unlock(&lock);
    if (is_watched) oom_sites_note(oom_sites_here(), is_refused);
    return is_refused;
}

static void count(enum held kind, int64_t change)
{
    pthread_mutex_lock(&lock);
    held[kind] += change;
    pthread_mutex_unlock(&lock);
}

static void *take(size_t size)
{
    struct header *header = malloc(sizeof *header + size + GUARD_BYTES);
    if (header == NULL) abort();
    *header = (struct header){.magic = MAGIC, .size = size};
    uint8_t *memory = (uint8_t *)(header + 1);
    memset(memory, FRESH, size < 65536 ? size : 65536);
    memset(memory + size, GUARD, GUARD_BYTES);
    count(HELD_BLOCKS, 1);
    count(HELD_BYTES, (int64_t)size);
    return memory;
}

static void give(void *old, size_t size)
{
    struct header *header = (struct header *)old - 1;
    if (++releases == 40 && oom_canary == OOM_CANARY_SIZE) size++;
    if (header->magic != MAGIC) rack_fail("a release of what was never allocated, or twice");
    if (header->size != size) {
        rack_fail("a release names %zu bytes, %llu were asked for", size,
                  (unsigned long long)header->size);
    }
    uint8_t *memory = old;
    for (size_t i = 0; i < GUARD_BYTES; i++) {
        if (memory[size + i] != GUARD) rack_fail("bytes behind a block of %zu were written", size);
    }
    header->magic = ~MAGIC;
    memset(memory, STALE, size < 65536 ? size : 65536);
    free(header);
    if (releases == 40 && oom_canary == OOM_CANARY_LEAK) return;
    count(HELD_BLOCKS, -1);
    count(HELD_BYTES, -(int64_t)size);
}

static void *fault_alloc(void *ctx, size_t size)
{
    (void)ctx;
    if (size == 0) rack_fail("an allocation of 0 bytes");
    return refuses_allocation() ? NULL : take(size);
}

static void *fault_resize(void *ctx, void *old, size_t old_size, size_t size)
{
    (void)ctx;
    if (old == NULL || size == 0) rack_fail("a resize of nothing, or to 0 bytes");
    if (refuses_allocation()) return NULL;
    void *memory = take(size);
    memcpy(memory, old, old_size < size ? old_size : size);
    give(old, old_size);
    return memory;
}

static void fault_release(void *ctx, void *old, size_t size)
{
    (void)ctx;
    if (old != NULL) give(old, size);
}

const struct ns_allocator oom_allocator = {
    .alloc = fault_alloc, .resize = fault_resize, .release = fault_release};

/* ---- the file system ---- */

static const struct ns_vfs *inner;

static bool refuses_resource(void)
{
    pthread_mutex_lock(&lock);
    bool is_refused = refuses(OOM_FILE_SYSTEM);
    pthread_mutex_unlock(&lock);
    return is_refused;
}

static ns_status vfs_open(void *ctx, const char *path, uint32_t flags,
                          struct ns_vfs_file **file_out)
{
    *file_out = NULL;
    if (refuses_resource()) return NS_NOMEM;
    ns_status status = inner->open(ctx, path, flags, file_out);
    if (status == NS_OK) count(HELD_FILES, 1);
    return status;
}

static void vfs_close(void *ctx, struct ns_vfs_file *file)
{
    inner->close(ctx, file);
    count(HELD_FILES, -1);
}

static ns_status vfs_map(void *ctx, struct ns_vfs_file *file, size_t reserve,
                         struct ns_vfs_map *map_out)
{
    *map_out = (struct ns_vfs_map){0};
    if (refuses_resource()) return NS_NOMEM;
    ns_status status = inner->map(ctx, file, reserve, map_out);
    if (status == NS_OK) count(HELD_MAPS, 1);
    return status;
}

static ns_status vfs_map_extend(void *ctx, struct ns_vfs_file *file, struct ns_vfs_map *map,
                                size_t size)
{
    if (refuses_resource()) return NS_NOMEM;
    return inner->map_extend(ctx, file, map, size);
}

static void vfs_unmap(void *ctx, struct ns_vfs_file *file, struct ns_vfs_map *map)
{
    inner->unmap(ctx, file, map);
    count(HELD_MAPS, -1);
}

static ns_status vfs_reserve(void *ctx, size_t size, void **memory_out)
{
    *memory_out = NULL;
    if (refuses_resource()) return NS_NOMEM;
    ns_status status = inner->reserve(ctx, size, memory_out);
    if (status == NS_OK) count(HELD_RESERVATIONS, 1);
    return status;
}

static void vfs_unreserve(void *ctx, void *memory, size_t size)
{
    inner->unreserve(ctx, memory, size);
    count(HELD_RESERVATIONS, -1);
}

const struct ns_vfs *oom_vfs(struct ns__mem *mem)
{
    static struct ns_vfs table;
    inner = ns__mem_vfs(mem);
    table = *inner;
    table.open = vfs_open;
    table.close = vfs_close;
    table.map = vfs_map;
    table.map_extend = vfs_map_extend;
    table.unmap = vfs_unmap;
    table.reserve = vfs_reserve;
    table.unreserve = vfs_unreserve;
    return &table;
}

/* ---- what is held ---- */

size_t oom_held_bytes(void)
{
    pthread_mutex_lock(&lock);
    size_t bytes = (size_t)held[HELD_BYTES];
    pthread_mutex_unlock(&lock);
    return bytes;
}

void oom_expect_nothing_held(const char *when)
{
    for (size_t i = 0; i < HELD_KINDS; i++) {
        if (held[i] != 0) {
            rack_fail("%s: %lld %s are still held", when, (long long)held[i], held_names[i]);
        }
    }
}
