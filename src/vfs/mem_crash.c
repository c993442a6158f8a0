/* mem_crash.c: what a power cut may leave of a world in memory.
 *
 * Terms. An *operation* is a change that no sync has made durable: bytes written, a size, a cut,
 * a name made or removed. All operations of a world stand in one list in program order. An
 * operation splits into *atoms*, the smallest things that survive or not: bytes split at
 * multiples of the sector size, all else is one atom. The *durable image* is what survives if no
 * atom does.
 *
 *   C1  The durable image is kept as differences: a page of 4 KiB whose durable content may
 *       differ from the current one is *saved* before its first change; the durable content of
 *       any other page is the current.
 *   C2  A page that an operation writes or cuts is saved. (A saved page without operations is
 *       harmless, and is what a failed sync leaves: seen by readers, never to become durable.)
 *   C3  Any subset of atoms may survive. Those that do are applied to the durable image in
 *       program order, and what lies behind the resulting size is cut. Bytes that were never
 *       written read as zero, or, with NS__MEM_STALE, as old content of other pages.
 *   C4  A synchronous write makes its own bytes durable, and a size that covers them. Older
 *       operations lose these bytes; all others of the file stay pending, with one exception: a
 *       cut that is pending becomes durable first, as a journal would have it.
 *   C5  A sync makes all operations of its file durable, and the current size; not its name.
 *   C6  sync_parent makes the operations of one name durable, and of no other.
 *
 * The order within one call: a size comes before the bytes that needed it. An allocation is its
 * size: space behind an end that was lost is cut, and inside the file it reads as zero either
 * way.
 *
 * A crash holds the world's lock while it asks which atoms survive: the answer must not look at
 * the world.
 *
 * Torn bytes (atoms of 1): sectors are the atoms, and a seeded half of the survivors keep only a
 * prefix of their bytes. Bytes that an operation does not write are never harmed by it. */
#include <pthread.h>
#include "base/assert.h"
#include "base/bytes.h"
#include "base/status.h"
#include "vfs/mem_world.h"

#define SETTLE_ATOM_BYTES 4096u

/* ---- saved pages ---- */

bool ns__mem_is_saved(const struct ns__mem_inode *inode, size_t page)
{
    return inode->saved != NULL && (inode->saved_bits[page / 64] >> page % 64 & 1) != 0;
}

static ns_status saving_possible(struct ns__mem *mem, struct ns__mem_inode *inode)
{
    if (inode->saved != NULL) return NS_OK;
    struct ns__mem_range *range = ns__mem_range_take(mem);
    if (range == NULL) return NS_NOMEM;
    if (range->bytes < inode->range->bytes) {
        ns__mem_range_give(mem, range, range->dirty);
        return ns__error(NS_NOMEM, "no address space for the durable image of a file in memory");
    }
    inode->saved = range;
    inode->durable_base = range->base;
    inode->saved_bits = (uint64_t *)(void *)(range->base + range->bytes);
    return NS_OK;
}

static void save_pages(struct ns__mem_inode *inode, uint64_t from, uint64_t to)
{
    for (size_t page = (size_t)from / NS__MEM_PAGE; page * NS__MEM_PAGE < to; page++) {
        if (ns__mem_is_saved(inode, page)) continue;
        size_t at = page * NS__MEM_PAGE;
        memcpy(inode->durable_base + at, inode->base + at, NS__MEM_PAGE);
        inode->saved_bits[page / 64] |= (uint64_t)1 << page % 64;
    }
}

static size_t words_in_use(const struct ns__mem_inode *inode)
{
    return ((size_t)inode->dirty / NS__MEM_PAGE + 63) / 64;
}

/* Calls each for every saved page. */
static void for_saved(const struct ns__mem_inode *inode, void (*each)(void *ctx, size_t at),
                      void *ctx)
{
    if (inode->saved == NULL) return;
    for (size_t word = 0; word < words_in_use(inode); word++) {
        uint64_t bits = inode->saved_bits[word];
        for (; bits != 0; bits &= bits - 1) {
            each(ctx, (64 * word + (size_t)__builtin_ctzll(bits)) * NS__MEM_PAGE);
        }
    }
}

static void unsave_if_same(void *ctx, size_t at)
{
    struct ns__mem_inode *inode = ctx;
    size_t page = at / NS__MEM_PAGE;
    if (memcmp(inode->durable_base + at, inode->base + at, NS__MEM_PAGE) != 0) return;
    inode->saved_bits[page / 64] &= ~((uint64_t)1 << page % 64);
}

/* Writes into the durable image; pages that are not saved get the same bytes as current content. */
static void durable_write(struct ns__mem_inode *inode, uint64_t offset, const uint8_t *data,
                          size_t size)
{
    while (size > 0) {
        size_t at = (size_t)offset;
        size_t piece = NS__MEM_PAGE - at % NS__MEM_PAGE;
        if (piece > size) piece = size;
        if (ns__mem_is_saved(inode, at / NS__MEM_PAGE))
            memcpy(inode->durable_base + at, data, piece);
        offset += piece;
        data += piece;
        size -= piece;
    }
}

struct cut {
    struct ns__mem_inode *inode;
    uint64_t from;
};

static void zero_saved(void *ctx, size_t at)
{
    const struct cut *cut = ctx;
    if (at + NS__MEM_PAGE <= cut->from) return;
    size_t kept = cut->from > at ? (size_t)(cut->from - at) : 0;
    memset(cut->inode->durable_base + at + kept, 0, NS__MEM_PAGE - kept);
}

static void durable_cut(struct ns__mem_inode *inode, uint64_t size)
{
    struct cut cut = {.inode = inode, .from = size};
    for_saved(inode, zero_saved, &cut);
    inode->durable_size = size;
}

/* ---- the list of operations ---- */

static struct ns__mem_op *op_new(struct ns__mem *mem, enum ns__mem_op_kind kind,
                                 struct ns__mem_inode *inode, size_t capacity)
{
    struct ns__mem_op *op = ns__alloc(mem->alloc, sizeof *op + capacity);
    if (op == NULL) return NULL;
    memset(op, 0, sizeof *op);
    op->kind = kind;
    op->inode = inode;
    op->capacity = capacity;
    return op;
}

static void op_insert_after(struct ns__mem *mem, struct ns__mem_op *previous, struct ns__mem_op *op)
{
    op->previous = previous;
    op->next = previous != NULL ? previous->next : mem->oldest;
    *(op->previous != NULL ? &op->previous->next : &mem->oldest) = op;
    *(op->next != NULL ? &op->next->previous : &mem->newest) = op;
}

static void op_drop(struct ns__mem *mem, struct ns__mem_op *op)
{
    *(op->previous != NULL ? &op->previous->next : &mem->oldest) = op->next;
    *(op->next != NULL ? &op->next->previous : &mem->newest) = op->previous;
    ns__alloc_release(mem->alloc, op, sizeof *op + op->capacity);
}

void ns__mem_ops_free(struct ns__mem *mem)
{
    while (mem->oldest != NULL)
        op_drop(mem, mem->oldest);
}

static bool is_about_name(const struct ns__mem_op *op)
{
    return op->kind == NS__MEM_OP_CREATE || op->kind == NS__MEM_OP_REMOVE;
}

static bool is_content_of(const struct ns__mem_op *op, const struct ns__mem_inode *inode)
{
    return op->inode == inode && !is_about_name(op);
}

/* ---- noting ---- */

ns_status ns__mem_note_write(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t offset,
                             const void *data, size_t size)
{
    NS_TRY(saving_possible(mem, inode));
    struct ns__mem_op *op = op_new(mem, NS__MEM_OP_WRITE, inode, size);
    if (op == NULL) return NS_NOMEM;
    op->offset = offset;
    op->size = size;
    memcpy(op->data, data, size);
    save_pages(inode, offset, offset + size);
    op_insert_after(mem, mem->newest, op);
    return NS_OK;
}

ns_status ns__mem_note_size(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t size)
{
    bool cut = size < inode->size;
    NS_TRY(saving_possible(mem, inode));
    struct ns__mem_op *op = op_new(mem, cut ? NS__MEM_OP_CUT : NS__MEM_OP_GROW, inode, 0);
    if (op == NULL) return NS_NOMEM;
    op->offset = size;
    if (cut) save_pages(inode, size, inode->size);
    op_insert_after(mem, mem->newest, op);
    return NS_OK;
}

ns_status ns__mem_note_name(struct ns__mem *mem, struct ns__mem_name *name,
                            struct ns__mem_inode *inode)
{
    enum ns__mem_op_kind kind = inode != NULL ? NS__MEM_OP_CREATE : NS__MEM_OP_REMOVE;
    struct ns__mem_op *op = op_new(mem, kind, inode != NULL ? inode : name->current, 0);
    if (op == NULL) return NS_NOMEM;
    op->name = name;
    op->inode->names++;
    op_insert_after(mem, mem->newest, op);
    return NS_OK;
}

/* ---- becoming durable ---- */

/* Splits operations that reach over [.., at): a part that ends there and a part that begins
 * there. */
static ns_status split_writes_at(struct ns__mem *mem, const struct ns__mem_inode *inode,
                                 uint64_t at)
{
    for (struct ns__mem_op *op = mem->oldest; op != NULL; op = op->next) {
        if (!is_content_of(op, inode) || op->kind != NS__MEM_OP_WRITE) continue;
        if (at <= op->offset || at >= op->offset + op->size) continue;
        size_t left = (size_t)(at - op->offset);
        struct ns__mem_op *right = op_new(mem, NS__MEM_OP_WRITE, op->inode, op->size - left);
        if (right == NULL) return NS_NOMEM;
        right->offset = at;
        right->size = op->size - left;
        memcpy(right->data, op->data + left, right->size);
        op->size = left;
        op_insert_after(mem, op, right);
    }
    return NS_OK;
}

/* Takes [from, to) away from the writes up to and with last (NULL: all). No write may reach over
 * to. */
static void trim_writes(struct ns__mem *mem, const struct ns__mem_inode *inode, uint64_t from,
                        uint64_t to, const struct ns__mem_op *last)
{
    struct ns__mem_op *op = mem->oldest;
    bool done = false;
    while (op != NULL && !done) {
        struct ns__mem_op *next = op->next;
        done = op == last;
        if (is_content_of(op, inode) && op->kind == NS__MEM_OP_WRITE && op->offset < to &&
            op->offset + op->size > from) {
            NS_ASSERT(op->offset + op->size <= to);
            if (op->offset >= from) {
                op_drop(mem, op);
            } else {
                op->size = (size_t)(from - op->offset);
            }
        }
        op = next;
    }
}

/* Drops sizes up to and with last (NULL: all) that are at most size. */
static void drop_growth(struct ns__mem *mem, const struct ns__mem_inode *inode, uint64_t size,
                        const struct ns__mem_op *last)
{
    struct ns__mem_op *op = mem->oldest;
    bool done = false;
    while (op != NULL && !done) {
        struct ns__mem_op *next = op->next;
        done = op == last;
        if (is_content_of(op, inode) && op->kind == NS__MEM_OP_GROW && op->offset <= size) {
            op_drop(mem, op);
        }
        op = next;
    }
}

static void settle_cuts(struct ns__mem *mem, struct ns__mem_inode *inode)
{
    struct ns__mem_op *op = mem->oldest;
    while (op != NULL) {
        struct ns__mem_op *next = op->next;
        if (is_content_of(op, inode) && op->kind == NS__MEM_OP_CUT) {
            trim_writes(mem, inode, op->offset, UINT64_MAX, op);
            drop_growth(mem, inode, UINT64_MAX, op);
            durable_cut(inode, op->offset);
            op_drop(mem, op);
        }
        op = next;
    }
}

ns_status ns__mem_settle_range(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t offset,
                               const void *data, size_t size)
{
    uint64_t end = offset + size;
    NS_TRY(split_writes_at(mem, inode, end));
    settle_cuts(mem, inode);
    trim_writes(mem, inode, offset, end, NULL);
    durable_write(inode, offset, data, size);
    if (end > inode->durable_size) inode->durable_size = end;
    drop_growth(mem, inode, inode->durable_size, NULL);
    return NS_OK;
}

/* Did the failed sync lose this piece? */
static bool is_lost(struct ns__mem *mem)
{
    bool by_chance = (ns__prng_next(&mem->chance) & 1) != 0;
    return by_chance || mem->sync_failure == NS__MEM_SYNC_NOTHING;
}

void ns__mem_settle_range_half(struct ns__mem *mem, struct ns__mem_inode *inode, uint64_t offset,
                               const uint8_t *data, size_t size)
{
    uint64_t end = offset + size;
    if (split_writes_at(mem, inode, end) != NS_OK) return; /* then all of it stays pending */
    trim_writes(mem, inode, offset, end, NULL);
    while (size > 0) {
        size_t piece = NS__MEM_SECTOR - (size_t)(offset % NS__MEM_SECTOR);
        if (piece > size) piece = size;
        if (!is_lost(mem)) {
            durable_write(inode, offset, data, piece);
        } else if (mem->sync_failure == NS__MEM_SYNC_OLD) {
            memcpy(inode->base + offset, inode->durable_base + offset, piece);
        }
        offset += piece;
        data += piece;
        size -= piece;
    }
}

/* half: each block of the bytes becomes durable by chance. */
static void settle_write(struct ns__mem *mem, const struct ns__mem_op *op, bool half)
{
    size_t done = 0;
    while (done < op->size) {
        uint64_t offset = op->offset + done;
        size_t piece = SETTLE_ATOM_BYTES - (size_t)(offset % SETTLE_ATOM_BYTES);
        if (piece > op->size - done) piece = op->size - done;
        bool lost = half && is_lost(mem);
        if (!lost) durable_write(op->inode, offset, op->data + done, piece);
        done += piece;
    }
}

static void settle_growth(struct ns__mem *mem, const struct ns__mem_op *op, bool half)
{
    bool lost = half && is_lost(mem);
    if (!lost && op->offset > op->inode->durable_size) op->inode->durable_size = op->offset;
}

void ns__mem_settle_file(struct ns__mem *mem, struct ns__mem_inode *inode, bool half)
{
    struct ns__mem_op *op = mem->oldest;
    while (op != NULL) {
        struct ns__mem_op *next = op->next;
        if (is_content_of(op, inode)) {
            if (op->kind == NS__MEM_OP_WRITE) settle_write(mem, op, half);
            if (op->kind == NS__MEM_OP_GROW) settle_growth(mem, op, half);
            if (op->kind == NS__MEM_OP_CUT) durable_cut(inode, op->offset);
            op_drop(mem, op);
        }
        op = next;
    }
    if (!half) inode->durable_size = inode->size;
    for_saved(inode, unsave_if_same, inode);
}

static void show_saved(void *ctx, size_t at)
{
    struct ns__mem_inode *inode = ctx;
    size_t page = at / NS__MEM_PAGE;
    memcpy(inode->base + at, inode->durable_base + at, NS__MEM_PAGE);
    inode->saved_bits[page / 64] &= ~((uint64_t)1 << page % 64);
}

void ns__mem_show_durable(struct ns__mem_inode *inode)
{
    for_saved(inode, show_saved, inode);
}

void ns__mem_settle_as_is(struct ns__mem *mem, struct ns__mem_inode *inode)
{
    struct ns__mem_op *op = mem->oldest;
    while (op != NULL) {
        struct ns__mem_op *next = op->next;
        if (is_content_of(op, inode)) op_drop(mem, op);
        op = next;
    }
    inode->durable_size = inode->size;
    if (inode->saved != NULL) memset(inode->saved_bits, 0, words_in_use(inode) * sizeof(uint64_t));
}

static void name_set_durable(struct ns__mem *mem, struct ns__mem_name *name,
                             struct ns__mem_inode *inode)
{
    struct ns__mem_inode *old = name->durable;
    name->durable = inode;
    if (inode != NULL) inode->names++;
    if (old == NULL) return;
    old->names--;
    ns__mem_inode_settle(mem, old);
}

void ns__mem_settle_name(struct ns__mem *mem, struct ns__mem_name *name)
{
    struct ns__mem_op *op = mem->oldest;
    while (op != NULL) {
        struct ns__mem_op *next = op->next;
        if (op->name == name) {
            struct ns__mem_inode *inode = op->inode;
            name_set_durable(mem, name, op->kind == NS__MEM_OP_CREATE ? inode : NULL);
            op_drop(mem, op);
            inode->names--;
            /* Its freeing drops operations on its content only; next may be one of them. */
            if (inode->names == 0 && inode->handles == 0) {
                ns__mem_inode_settle(mem, inode);
                next = mem->oldest;
            }
        }
        op = next;
    }
}

/* ---- atoms ---- */

static uint64_t sector_bytes(uint32_t atom_bytes)
{
    return atom_bytes > 1 ? atom_bytes : NS__MEM_SECTOR;
}

uint64_t ns__mem_atoms_of(const struct ns__mem_op *op, uint32_t atom_bytes)
{
    if (op->inode->names == 0) return 0;
    if (op->kind != NS__MEM_OP_WRITE) return 1;
    uint64_t sector = sector_bytes(atom_bytes);
    return (op->offset + op->size - 1) / sector - op->offset / sector + 1;
}

static bool has_atoms(const struct ns__mem *mem, const struct ns__mem_inode *inode)
{
    const struct ns__mem_op *op = mem->oldest;
    while (op != NULL && (op->inode != inode || ns__mem_atoms_of(op, 1) == 0))
        op = op->next;
    return op != NULL;
}

void ns__mem_pending(const struct ns__mem *mem, uint32_t atom_bytes, struct ns__mem_pending *out)
{
    memset(out, 0, sizeof *out);
    ns__mem_lock_world(mem);
    for (const struct ns__mem_op *op = mem->oldest; op != NULL; op = op->next) {
        out->atoms += ns__mem_atoms_of(op, atom_bytes);
    }
    for (const struct ns__mem_inode *inode = mem->inodes; inode != NULL; inode = inode->next) {
        if (has_atoms(mem, inode)) out->files++;
    }
    ns__mem_unlock_world(mem);
}

/* ---- making worlds ---- */

static ns_status twin_new(struct ns__mem *after, const struct ns__mem_inode *source,
                          struct ns__mem_inode **twin_out)
{
    struct ns__mem_inode *twin = ns__mem_inode_new(after, source->dirty);
    *twin_out = twin;
    if (twin == NULL) return NS_NOMEM;
    twin->source = source;
    twin->handles = 1; /* held until the world is complete */
    return NS_OK;
}

static struct ns__mem_inode *twin_of(const struct ns__mem *after,
                                     const struct ns__mem_inode *source)
{
    struct ns__mem_inode *twin = after->inodes;
    while (twin != NULL && twin->source != source)
        twin = twin->next;
    return twin;
}

static void copy_saved(void *ctx, size_t at)
{
    struct ns__mem_inode *twin = ctx;
    memcpy(twin->base + at, twin->source->durable_base + at, NS__MEM_PAGE);
}

/* The twin's content becomes the source's durable image. */
static void copy_durable(struct ns__mem_inode *twin)
{
    const struct ns__mem_inode *source = twin->source;
    size_t size = (size_t)source->size; /* what lies behind it is zero, or saved */
    if (size > 0) memcpy(twin->base, source->base, size);
    memset(twin->base + size, 0, (size_t)twin->dirty - size);
    for_saved(source, copy_saved, twin);
    twin->size = source->durable_size;
}

static void cut_content(struct ns__mem_inode *twin, uint64_t size)
{
    memset(twin->base + size, 0, (size_t)(twin->dirty - size));
}

/* Gives a name of a world in the making its file. */
static void name_point(struct ns__mem_name *name, struct ns__mem_inode *inode)
{
    if (name->durable != NULL) name->durable->names--;
    name->durable = inode;
    if (inode != NULL) inode->names++;
}

/* Copies all files that have a name, and all names with a file behind them. */
static ns_status copy_world(const struct ns__mem *mem, struct ns__mem *after)
{
    struct ns__mem_inode *twin = NULL;
    for (const struct ns__mem_inode *inode = mem->inodes; inode != NULL; inode = inode->next) {
        if (inode->names == 0) continue;
        NS_TRY(twin_new(after, inode, &twin));
        copy_durable(twin);
    }
    for (const struct ns__mem_name *name = mem->names; name != NULL; name = name->next) {
        struct ns__mem_name *copy = ns__mem_name_add(after, name->path);
        if (copy == NULL) return NS_NOMEM;
        if (name->durable != NULL) name_point(copy, twin_of(after, name->durable));
    }
    return NS_OK;
}

/* What the survivors are chosen by. */
struct survival {
    uint32_t atom_bytes;
    bool (*keep)(void *ctx, uint64_t atom);
    void *ctx;
    uint64_t seed;
    uint64_t atom; /* the next one's number */
    bool is_stale; /* NS__MEM_STALE */
};

static bool survives(struct survival *survival)
{
    uint64_t atom = survival->atom++;
    return survival->keep != NULL && survival->keep(survival->ctx, atom);
}

/* How many of size bytes of the atom just kept are written. */
static size_t untorn(const struct survival *survival, size_t size)
{
    if (survival->atom_bytes > 1) return size;
    struct ns__prng prng = {survival->seed + survival->atom * 0xd1342543de82ef95u};
    bool whole = (ns__prng_next(&prng) & 1) != 0;
    return whole ? size : (size_t)ns__prng_below(&prng, size);
}

static void replay_write(const struct ns__mem_op *op, struct ns__mem_inode *twin,
                         struct survival *survival)
{
    uint64_t sector = sector_bytes(survival->atom_bytes);
    size_t done = 0;
    while (done < op->size) {
        uint64_t offset = op->offset + done;
        size_t piece = (size_t)(sector - offset % sector);
        if (piece > op->size - done) piece = op->size - done;
        if (survives(survival)) {
            memcpy(twin->base + offset, op->data + done, untorn(survival, piece));
        }
        done += piece;
    }
}

static void replay(const struct ns__mem_op *op, struct ns__mem *after, struct survival *survival)
{
    if (op->inode->names == 0) return;
    struct ns__mem_inode *twin = twin_of(after, op->inode);
    NS_ASSERT(twin != NULL);
    if (op->kind == NS__MEM_OP_WRITE) {
        replay_write(op, twin, survival);
        return;
    }
    if (!survives(survival)) return;
    switch (op->kind) {
    case NS__MEM_OP_GROW:
        if (op->offset > twin->size) twin->size = op->offset;
        break;
    case NS__MEM_OP_CUT:
        cut_content(twin, op->offset);
        twin->size = op->offset;
        break;
    case NS__MEM_OP_CREATE: name_point(ns__mem_name_find(after, op->name->path), twin); break;
    case NS__MEM_OP_REMOVE: name_point(ns__mem_name_find(after, op->name->path), NULL); break;
    case NS__MEM_OP_WRITE: break;
    }
}

/* What is durable is all there is: names get their files, nameless files go. */
static void complete_world(struct ns__mem *after)
{
    for (struct ns__mem_name *name = after->names; name != NULL; name = name->next) {
        name->current = name->durable;
        if (!ns__mem_tracks(after)) {
            name->durable = NULL;
        } else if (name->current != NULL) {
            name->current->names++;
        }
    }
    struct ns__mem_inode *next;
    for (struct ns__mem_inode *inode = after->inodes; inode != NULL; inode = next) {
        next = inode->next;
        cut_content(inode, inode->size);
        inode->durable_size = inode->size;
        inode->source = NULL;
        inode->handles = 0;
        after->used += inode->size;
        ns__mem_inode_settle(after, inode);
    }
}

static void abandon_world(struct ns__mem *after)
{
    for (struct ns__mem_inode *inode = after->inodes; inode != NULL; inode = inode->next) {
        inode->handles = 0;
    }
    ns__mem_free(after);
}

/* Gives what lies behind the durable size the content of other pages, drawn by chance. Whatever is
 * written, cut, or not of the file in the end goes over it. */
static void spoil(struct ns__mem_inode *twin, uint64_t seed)
{
    struct ns__prng prng = {seed};
    uint64_t pages = twin->size / NS__MEM_PAGE;
    for (uint64_t at = twin->size; at < twin->dirty;) {
        size_t piece = NS__MEM_PAGE - (size_t)(at % NS__MEM_PAGE);
        if (pages > 0) {
            uint64_t from = ns__prng_below(&prng, pages);
            memcpy(twin->base + at, twin->base + from * NS__MEM_PAGE, piece);
        } else {
            memset(twin->base + at, 0xa5, piece);
        }
        at += piece;
    }
}

static ns_status crash_locked(const struct ns__mem *mem, struct ns__mem *after,
                              struct survival *survival)
{
    NS_TRY(copy_world(mem, after));
    if (survival->is_stale) {
        for (struct ns__mem_inode *twin = after->inodes; twin != NULL; twin = twin->next) {
            spoil(twin, survival->seed);
        }
    }
    for (const struct ns__mem_op *op = mem->oldest; op != NULL; op = op->next) {
        replay(op, after, survival);
    }
    complete_world(after);
    return NS_OK;
}

ns_status ns__mem_crash(const struct ns__mem *mem, uint32_t atom_bytes,
                        bool (*keep)(void *ctx, uint64_t atom), void *ctx, uint64_t seed,
                        struct ns__mem **after_out)
{
    *after_out = NULL;
    if ((mem->flags & NS__MEM_DURABILITY) == 0) {
        return ns__error(NS_UNSUPPORTED, "this world does not track what is durable");
    }
    struct ns__mem *after = ns__mem_world_like(mem, seed);
    if (after == NULL) return NS_NOMEM;
    struct survival survival = {.atom_bytes = atom_bytes & ~NS__MEM_STALE,
                                .keep = keep,
                                .ctx = ctx,
                                .seed = seed,
                                .is_stale = (atom_bytes & NS__MEM_STALE) != 0};
    ns__mem_lock_world(mem);
    ns_status status = crash_locked(mem, after, &survival);
    ns__mem_unlock_world(mem);
    if (status != NS_OK) {
        abandon_world(after);
        return status;
    }
    *after_out = after;
    return NS_OK;
}

/* A clone is what is current, and forgets what was durable. */
static ns_status clone_locked(const struct ns__mem *mem, struct ns__mem *clone)
{
    for (const struct ns__mem_name *name = mem->names; name != NULL; name = name->next) {
        const struct ns__mem_inode *source = name->current;
        if (source == NULL) continue;
        struct ns__mem_name *copy = ns__mem_name_add(clone, name->path);
        struct ns__mem_inode *twin = NULL;
        if (copy == NULL || twin_new(clone, source, &twin) != NS_OK) return NS_NOMEM;
        memcpy(twin->base, source->base, (size_t)twin->dirty);
        twin->size = source->size;
        name_point(copy, twin);
    }
    clone->chance = mem->chance;
    clone->entropy = mem->entropy;
    complete_world(clone);
    return NS_OK;
}

ns_status ns__mem_clone(const struct ns__mem *mem, struct ns__mem **clone_out)
{
    *clone_out = NULL;
    struct ns__mem *clone = ns__mem_world_like(mem, 0);
    if (clone == NULL) return NS_NOMEM;
    ns__mem_lock_world(mem);
    ns_status status = clone_locked(mem, clone);
    ns__mem_unlock_world(mem);
    if (status != NS_OK) {
        abandon_world(clone);
        return status;
    }
    *clone_out = clone;
    return NS_OK;
}
