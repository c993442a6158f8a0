/* mem.c: a world of files in memory: address ranges, inodes, names, countdowns.
 *
 * Terms. An *inode* is a file's content, a *name* a path that leads to one, a *range* the
 * reserved address space in which one content lies, so that a map of it is the content itself:
 * its base never moves and extending it is a comparison. Memory is used where it is touched.
 * Worlds made from one another are a *family*: they hand each other their used ranges, because
 * fresh memory is slow.
 *
 *   M1  Behind a file's size every byte of its range is zero.
 *   M2  In a world without NS__MEM_DURABILITY and without a running countdown, reads and writes
 *       within a file's size copy bytes and take no lock. All else happens under the world's
 *       lock. What orders the bytes of two such calls is the callers' business, as it is with a
 *       real file.
 *   M3  With NS__MEM_DURABILITY every change is noted (mem_crash.c) before it is made.
 *   M4  A stopped world changes nothing any more; what it last did is pending.
 *   M5  An inode lives as long as a handle, a name (current or durable) or a pending operation on
 *       a name refers to it.
 *   M6  A private handle (NS_VFS_PRIVATE) shows and locks its file. At its first change or map it
 *       gets a copy, an inode that no name leads to; the copy is not of the disk: it takes none of
 *       the capacity, and nothing about it is noted or counted as written.
 *
 * The words that M2 reads without the lock are used through base/atomic.h only, without its yield
 * points: a scheduler must not switch while the lock is held.
 *
 * Left to mem_table.c: the vfs table. To mem_crash.c: the durable image, what is pending, power
 * cuts, copies of worlds. */
#include <sys/mman.h>
#include "base/assert.h"
#include "base/atomic.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/status.h"
#include "vfs/mem_world.h"
#include "vfs/posix.h"

#define RANGE_BYTES_WANTED ((size_t)64 << 30)
#define RANGE_BYTES_MIN ((size_t)64 << 20)
#define SPARE_RANGES_MAX 8u
#define SPARE_DIRTY_MAX ((size_t)32 << 20)
#define DISCARD_FROM ((uint64_t)1 << 20)

/* ---- address ranges ---- */

static size_t bits_bytes(size_t range_bytes)
{
    return range_bytes / NS__MEM_PAGE / 8;
}

static size_t round_up_page(uint64_t size)
{
    return (size_t)(size + NS__MEM_PAGE - 1) / NS__MEM_PAGE * NS__MEM_PAGE;
}

/* Small worlds that come and go by the thousand must not pay for zeroing huge pages. */
void ns__mem_small_pages(const struct ns__mem *mem, void *memory, size_t size)
{
#if defined(MADV_NOHUGEPAGE)
    if (mem->flags != 0) (void)madvise(memory, size, MADV_NOHUGEPAGE);
#else
    (void)mem;
    (void)memory;
    (void)size;
#endif
}

static struct ns__mem_range *range_pop_spare(struct ns__mem_family *family)
{
    (void)pthread_mutex_lock(&family->lock);
    struct ns__mem_range *range = family->spare;
    if (range != NULL) {
        family->spare = range->next;
        family->spare_count--;
    }
    (void)pthread_mutex_unlock(&family->lock);
    return range;
}

struct ns__mem_range *ns__mem_range_take(struct ns__mem *mem)
{
    struct ns__mem_family *family = mem->family;
    struct ns__mem_range *range = range_pop_spare(family);
    if (range != NULL) return range;
    range = ns__alloc_zeroed(mem->alloc, sizeof *range);
    if (range == NULL) return NULL;
    (void)pthread_mutex_lock(&family->lock);
    size_t bytes = family->range_bytes != 0 ? family->range_bytes : RANGE_BYTES_WANTED;
    (void)pthread_mutex_unlock(&family->lock);
    void *memory = NULL;
    while (ns__vfs_posix.reserve(NULL, bytes + bits_bytes(bytes), &memory) != NS_OK) {
        bytes /= 2;
        if (bytes >= RANGE_BYTES_MIN) continue;
        ns__alloc_release(mem->alloc, range, sizeof *range);
        (void)ns__error(NS_NOMEM, "no address space for a file in memory");
        return NULL;
    }
    (void)pthread_mutex_lock(&family->lock);
    family->range_bytes = bytes;
    (void)pthread_mutex_unlock(&family->lock);
    ns__mem_small_pages(mem, memory, bytes);
    range->base = memory;
    range->bytes = bytes;
    return range;
}

static void range_unreserve(struct ns__mem_family *family, struct ns__mem_range *range)
{
    ns__vfs_posix.unreserve(NULL, range->base, range->bytes + bits_bytes(range->bytes));
    ns__alloc_release(&family->alloc, range, sizeof *range);
}

void ns__mem_range_give(struct ns__mem *mem, struct ns__mem_range *range, size_t dirty)
{
    struct ns__mem_family *family = mem->family;
    if (dirty > SPARE_DIRTY_MAX) {
        ns__vfs_posix.discard(NULL, range->base, dirty);
        dirty = 0;
    }
    range->dirty = dirty;
    (void)pthread_mutex_lock(&family->lock);
    bool keep = family->spare_count < SPARE_RANGES_MAX;
    if (keep) {
        range->next = family->spare;
        family->spare = range;
        family->spare_count++;
    }
    (void)pthread_mutex_unlock(&family->lock);
    if (!keep) range_unreserve(family, range);
}

/* ---- inodes and names ---- */

struct ns__mem_inode *ns__mem_inode_new(struct ns__mem *mem, uint64_t dirty)
{
    struct ns__mem_inode *inode = ns__alloc_zeroed(mem->alloc, sizeof *inode);
    if (inode == NULL) return NULL;
    inode->range = ns__mem_range_take(mem);
    if (inode->range == NULL || round_up_page(dirty) > inode->range->bytes) {
        if (inode->range != NULL) ns__mem_range_give(mem, inode->range, inode->range->dirty);
        ns__alloc_release(mem->alloc, inode, sizeof *inode);
        return NULL;
    }
    inode->base = inode->range->base;
    inode->dirty = round_up_page(dirty);
    if (inode->range->dirty > inode->dirty) {
        memset(inode->base + inode->dirty, 0, inode->range->dirty - (size_t)inode->dirty);
    }
    inode->next = mem->inodes;
    mem->inodes = inode;
    return inode;
}

struct ns__mem_inode *ns__mem_inode_copy(struct ns__mem *mem, const struct ns__mem_inode *source)
{
    struct ns__mem_inode *copy = ns__mem_inode_new(mem, source->dirty);
    if (copy == NULL) return NULL;
    if (source->dirty > 0) memcpy(copy->base, source->base, (size_t)source->dirty);
    copy->is_private = true;
    copy->size = source->size;
    return copy;
}

static void inode_free(struct ns__mem *mem, struct ns__mem_inode *inode)
{
    size_t dirty = (size_t)inode->dirty;
    ns__mem_settle_as_is(mem, inode);
    if (inode->saved != NULL) ns__mem_range_give(mem, inode->saved, dirty);
    ns__mem_range_give(mem, inode->range, dirty);
    if (!inode->is_private) mem->used -= inode->size;
    ns__alloc_release(mem->alloc, inode, sizeof *inode);
}

void ns__mem_inode_settle(struct ns__mem *mem, struct ns__mem_inode *inode)
{
    if (inode->handles > 0 || inode->names > 0) return;
    struct ns__mem_inode **link = &mem->inodes;
    while (*link != inode)
        link = &(*link)->next;
    *link = inode->next;
    inode_free(mem, inode);
}

struct ns__mem_name *ns__mem_name_find(const struct ns__mem *mem, const char *path)
{
    struct ns__mem_name *name = mem->names;
    while (name != NULL && strcmp(name->path, path) != 0)
        name = name->next;
    return name;
}

struct ns__mem_name *ns__mem_name_add(struct ns__mem *mem, const char *path)
{
    size_t path_bytes = strlen(path) + 1;
    struct ns__mem_name *name = ns__alloc_zeroed(mem->alloc, sizeof *name + path_bytes);
    if (name == NULL) return NULL;
    name->path_bytes = path_bytes;
    memcpy(name->path, path, path_bytes);
    name->next = mem->names;
    mem->names = name;
    return name;
}

static void name_set_current(struct ns__mem *mem, struct ns__mem_name *name,
                             struct ns__mem_inode *inode)
{
    struct ns__mem_inode *old = name->current;
    name->current = inode;
    if (inode != NULL) inode->names++;
    if (old == NULL) return;
    old->names--;
    ns__mem_inode_settle(mem, old);
}

bool ns__mem_tracks(const struct ns__mem *mem)
{
    return (mem->flags & NS__MEM_DURABILITY) != 0;
}

ns_status ns__mem_name_change(struct ns__mem *mem, struct ns__mem_name *name,
                              struct ns__mem_inode *inode)
{
    if (ns__mem_tracks(mem)) NS_TRY(ns__mem_note_name(mem, name, inode));
    name_set_current(mem, name, inode);
    return NS_OK;
}

ns_status ns__mem_file_create(struct ns__mem *mem, const char *path,
                              struct ns__mem_inode **inode_out)
{
    *inode_out = NULL;
    struct ns__mem_name *name = ns__mem_name_find(mem, path);
    if (name == NULL) name = ns__mem_name_add(mem, path);
    if (name == NULL) return NS_NOMEM;
    struct ns__mem_inode *inode = ns__mem_inode_new(mem, 0);
    if (inode == NULL) return NS_NOMEM;
    ns_status status = ns__mem_name_change(mem, name, inode);
    if (status == NS_OK) {
        *inode_out = inode;
    } else {
        ns__mem_inode_settle(mem, inode);
    }
    return status;
}

/* ---- sizes ---- */

void ns__mem_size_set(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t size)
{
    if (!inode->is_private) mem->used = mem->used - inode->size + size;
    if (size > inode->dirty) inode->dirty = round_up_page(size);
    ns__atomic_store_relaxed(&inode->size, size);
}

void ns__mem_zero_tail(struct ns__mem_inode *inode, uint64_t from)
{
    size_t size = (size_t)(inode->size - from);
    if (size >= DISCARD_FROM) {
        ns__vfs_posix.discard(NULL, inode->base + from, size);
    } else {
        memset(inode->base + from, 0, size);
    }
}

/* ---- worlds ---- */

static void world_init(struct ns__mem *mem, struct ns__mem_family *family, uint32_t flags,
                       uint64_t seed)
{
    (void)pthread_mutex_init(&mem->lock, NULL);
    mem->family = family;
    mem->alloc = &family->alloc;
    mem->flags = flags;
    mem->chance.state = seed;
    mem->entropy.state = ~seed;
    mem->vfs = ns__mem_table;
    mem->vfs.ctx = mem;
    (void)pthread_mutex_lock(&family->lock);
    family->worlds++;
    (void)pthread_mutex_unlock(&family->lock);
}

ns_status ns__mem_new(uint32_t flags, uint64_t seed, const struct ns_allocator *allocator,
                      struct ns__mem **mem_out)
{
    *mem_out = NULL;
    struct ns__alloc alloc;
    ns__alloc_init(&alloc, allocator);
    struct ns__mem_family *family = ns__alloc_zeroed(&alloc, sizeof *family);
    if (family == NULL) return NS_NOMEM;
    struct ns__mem *mem = ns__alloc_zeroed(&alloc, sizeof *mem);
    if (mem == NULL) {
        ns__alloc_release(&alloc, family, sizeof *family);
        return NS_NOMEM;
    }
    family->alloc = alloc;
    (void)pthread_mutex_init(&family->lock, NULL);
    world_init(mem, family, flags, seed);
    *mem_out = mem;
    return NS_OK;
}

struct ns__mem *ns__mem_world_like(const struct ns__mem *mem, uint64_t seed)
{
    struct ns__mem *world = ns__alloc_zeroed(mem->alloc, sizeof *world);
    if (world == NULL) return NULL;
    world_init(world, mem->family, mem->flags, seed);
    world->capacity = mem->capacity;
    world->ticks = ns__atomic_load_relaxed(&mem->ticks);
    return world;
}

static void family_leave(struct ns__mem_family *family)
{
    (void)pthread_mutex_lock(&family->lock);
    bool last = --family->worlds == 0;
    (void)pthread_mutex_unlock(&family->lock);
    if (!last) return;
    while (family->spare != NULL) {
        struct ns__mem_range *range = family->spare;
        family->spare = range->next;
        range_unreserve(family, range);
    }
    (void)pthread_mutex_destroy(&family->lock);
    struct ns__alloc alloc = family->alloc;
    ns__alloc_release(&alloc, family, sizeof *family);
}

void ns__mem_free(struct ns__mem *mem)
{
    if (mem == NULL) return;
    ns__mem_ops_free(mem);
    while (mem->inodes != NULL) {
        struct ns__mem_inode *inode = mem->inodes;
        NS_ASSERT(inode->handles == 0);
        mem->inodes = inode->next;
        inode_free(mem, inode);
    }
    while (mem->names != NULL) {
        struct ns__mem_name *name = mem->names;
        mem->names = name->next;
        ns__alloc_release(mem->alloc, name, sizeof *name + name->path_bytes);
    }
    struct ns__mem_family *family = mem->family;
    (void)pthread_mutex_destroy(&mem->lock);
    ns__alloc_release(&family->alloc, mem, sizeof *mem);
    family_leave(family);
}

const struct ns_vfs *ns__mem_vfs(struct ns__mem *mem)
{
    return &mem->vfs;
}

void ns__mem_lock_world(const struct ns__mem *mem)
{
    (void)pthread_mutex_lock(&((struct ns__mem *)(uintptr_t)mem)->lock);
}

void ns__mem_unlock_world(const struct ns__mem *mem)
{
    (void)pthread_mutex_unlock(&((struct ns__mem *)(uintptr_t)mem)->lock);
}

/* ---- the countdowns ---- */

static void update_armed(struct ns__mem *mem)
{
    bool armed =
        mem->stopped || mem->stop_countdown > 0 || mem->fault.countdown > 0 || mem->fault.burning;
    ns__atomic_store_relaxed(&mem->armed, armed ? 1 : 0);
}

static bool fault_strikes(struct ns__mem_fault *fault, enum ns__mem_call kind)
{
    if (fault->kinds != 0 && (fault->kinds >> kind & 1) == 0) return false;
    if (fault->burning) return true;
    if (fault->countdown == 0 || --fault->countdown > 0) return false;
    fault->burning = fault->for_ever;
    return true;
}

enum ns__mem_fate ns__mem_fate_of(struct ns__mem *mem, enum ns__mem_call kind,
                                  ns_status *status_out)
{
    *status_out = NS_OK;
    if (ns__atomic_load_relaxed(&mem->armed) == 0) return NS__MEM_FATE_GO;
    enum ns__mem_fate fate = NS__MEM_FATE_GO;
    if (mem->stopped) {
        fate = NS__MEM_FATE_DEAD;
    } else if (mem->stop_countdown > 0 && --mem->stop_countdown == 0) {
        mem->stopped = true;
        fate = NS__MEM_FATE_STOP;
    } else if (fault_strikes(&mem->fault, kind)) {
        fate = NS__MEM_FATE_FAIL;
    }
    if (fate != NS__MEM_FATE_GO)
        *status_out = fate == NS__MEM_FATE_FAIL ? mem->fault.status : NS_IO;
    update_armed(mem);
    return fate;
}

void ns__mem_count_call(struct ns__mem *mem, enum ns__mem_call kind)
{
    ns__atomic_add(&mem->calls[kind], 1);
}

ns_status ns__mem_allowed(struct ns__mem *mem, enum ns__mem_call kind)
{
    ns__mem_count_call(mem, kind);
    if (ns__atomic_load_relaxed(&mem->armed) == 0) return NS_OK;
    ns_status status;
    ns__mem_lock_world(mem);
    (void)ns__mem_fate_of(mem, kind, &status);
    ns__mem_unlock_world(mem);
    return status;
}

uint64_t ns__mem_calls_of(const struct ns__mem *mem, enum ns__mem_call kind)
{
    return ns__atomic_load_relaxed(&mem->calls[kind]);
}

uint64_t ns__mem_calls(const struct ns__mem *mem)
{
    uint64_t calls = 0;
    for (int kind = 0; kind < NS__MEM_CALL_KINDS; kind++) {
        calls += ns__atomic_load_relaxed(&mem->calls[kind]);
    }
    return calls;
}

void ns__mem_fail(struct ns__mem *mem, uint64_t nth, uint64_t kinds, ns_status status,
                  bool for_ever)
{
    ns__mem_lock_world(mem);
    struct ns__mem_fault fault = {
        .countdown = nth, .kinds = kinds, .status = status, .for_ever = for_ever};
    mem->fault = fault;
    update_armed(mem);
    ns__mem_unlock_world(mem);
}

void ns__mem_set_sync_failure(struct ns__mem *mem, enum ns__mem_sync_failure mode)
{
    ns__mem_lock_world(mem);
    mem->sync_failure = mode;
    ns__mem_unlock_world(mem);
}

void ns__mem_set_capacity(struct ns__mem *mem, uint64_t bytes)
{
    ns__mem_lock_world(mem);
    mem->capacity = bytes;
    ns__mem_unlock_world(mem);
}

void ns__mem_stop_at(struct ns__mem *mem, uint64_t nth)
{
    ns__mem_lock_world(mem);
    mem->stop_countdown = nth;
    update_armed(mem);
    ns__mem_unlock_world(mem);
}

bool ns__mem_stopped(const struct ns__mem *mem)
{
    ns__mem_lock_world(mem);
    bool stopped = mem->stopped;
    ns__mem_unlock_world(mem);
    return stopped;
}

/* ---- looking in from outside ---- */

ns_status ns__mem_file_get(const struct ns__mem *mem, const char *path, ns_slice *content_out)
{
    *content_out = ns_bytes(NULL, 0);
    ns__mem_lock_world(mem);
    const struct ns__mem_name *name = ns__mem_name_find(mem, path);
    bool present = name != NULL && name->current != NULL;
    if (present) *content_out = ns_bytes(name->current->base, (size_t)name->current->size);
    ns__mem_unlock_world(mem);
    return present ? NS_OK : NS_NOTFOUND;
}

static ns_status file_set_locked(struct ns__mem *mem, const char *path, ns_slice content)
{
    struct ns__mem_name *name = ns__mem_name_find(mem, path);
    struct ns__mem_inode *inode = name != NULL ? name->current : NULL;
    if (inode == NULL) NS_TRY(ns__mem_file_create(mem, path, &inode));
    if (content.size > inode->range->bytes) return NS_FULL;
    if (content.size > 0) memmove(inode->base, content.data, content.size);
    if (content.size < inode->size) ns__mem_zero_tail(inode, content.size);
    ns__mem_size_set(mem, inode, content.size);
    if (ns__mem_tracks(mem)) {
        ns__mem_settle_as_is(mem, inode);
        ns__mem_settle_name(mem, ns__mem_name_find(mem, path));
    }
    return NS_OK;
}

ns_status ns__mem_file_set(struct ns__mem *mem, const char *path, ns_slice content)
{
    ns__mem_lock_world(mem);
    ns_status status = file_set_locked(mem, path, content);
    ns__mem_unlock_world(mem);
    return status;
}

void ns__mem_counters(const struct ns__mem *mem, struct ns__mem_counters *out)
{
    const struct ns__mem_counters *counters = &mem->counters;
    out->writes = ns__atomic_load_relaxed(&counters->writes);
    out->write_bytes = ns__atomic_load_relaxed(&counters->write_bytes);
    out->sync_writes = ns__atomic_load_relaxed(&counters->sync_writes);
    out->sync_write_bytes = ns__atomic_load_relaxed(&counters->sync_write_bytes);
    out->syncs = ns__atomic_load_relaxed(&counters->syncs);
    out->allocated_bytes = ns__atomic_load_relaxed(&counters->allocated_bytes);
}

/* A sum over the files, so that the order in which they came does not matter. */
uint64_t ns__mem_image_hash(const struct ns__mem *mem)
{
    uint64_t sum = 0;
    ns__mem_lock_world(mem);
    for (const struct ns__mem_name *name = mem->names; name != NULL; name = name->next) {
        if (name->current == NULL) continue;
        uint64_t path_hash = ns__checksum64(name->path, name->path_bytes, 1);
        sum += ns__checksum64(name->current->base, (size_t)name->current->size, path_hash);
    }
    ns__mem_unlock_world(mem);
    return sum;
}
