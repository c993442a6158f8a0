/* mem_watch.c: showing, piece by piece, what a power cut may leave of a world in memory, to a test
 * that builds the images itself, and the call in the middle of each change. */
#include "base/bytes.h"
#include "vfs/mem_world.h"

void ns__mem_watch(struct ns__mem *mem, void (*seen)(void *ctx), void *ctx)
{
    ns__mem_lock_world(mem);
    mem->seen = seen;
    mem->seen_ctx = ctx;
    ns__mem_unlock_world(mem);
}

void ns__mem_show(struct ns__mem *mem)
{
    if (mem->seen == NULL || mem->stopped) return;
    ns__mem_unlock_world(mem);
    mem->seen(mem->seen_ctx);
    ns__mem_lock_world(mem);
}

/* ---- atoms ---- */

static const struct ns__mem_inode *file_at(const struct ns__mem *mem, const char *path)
{
    const struct ns__mem_name *name = ns__mem_name_find(mem, path);
    return name != NULL ? name->current : NULL;
}

static enum ns__mem_atom_kind kind_of(const struct ns__mem_op *op)
{
    switch (op->kind) {
    case NS__MEM_OP_WRITE: break;
    case NS__MEM_OP_GROW: return NS__MEM_ATOM_GROW;
    case NS__MEM_OP_CUT: return NS__MEM_ATOM_CUT;
    case NS__MEM_OP_CREATE: return NS__MEM_ATOM_NAME;
    case NS__MEM_OP_REMOVE: return NS__MEM_ATOM_UNNAME;
    }
    return NS__MEM_ATOM_BYTES;
}

static void show_atoms(const struct ns__mem_op *op, uint32_t atom_bytes, bool is_of_path,
                       void (*each)(void *ctx, const struct ns__mem_atom *atom), void *ctx)
{
    struct ns__mem_atom atom = {kind_of(op), is_of_path, op->offset, 0, NULL};
    if (op->kind != NS__MEM_OP_WRITE) {
        each(ctx, &atom);
        return;
    }
    uint64_t sector = atom_bytes > 1 ? atom_bytes : NS__MEM_SECTOR;
    for (size_t done = 0; done < op->size; done += atom.size) {
        atom.offset = op->offset + done;
        atom.data = op->data + done;
        atom.size = (size_t)(sector - atom.offset % sector);
        if (atom.size > op->size - done) atom.size = op->size - done;
        each(ctx, &atom);
    }
}

void ns__mem_atoms(const struct ns__mem *mem, uint32_t atom_bytes, const char *path,
                   void (*each)(void *ctx, const struct ns__mem_atom *atom), void *ctx)
{
    ns__mem_lock_world(mem);
    const struct ns__mem_inode *file = file_at(mem, path);
    for (const struct ns__mem_op *op = mem->oldest; op != NULL; op = op->next) {
        if (ns__mem_atoms_of(op, atom_bytes) == 0) continue;
        show_atoms(op, atom_bytes, op->inode == file, each, ctx);
    }
    ns__mem_unlock_world(mem);
}

/* ---- the durable image ---- */

bool ns__mem_durable(const struct ns__mem *mem, const char *path, struct ns__mem_durable *out)
{
    memset(out, 0, sizeof *out);
    ns__mem_lock_world(mem);
    const struct ns__mem_inode *file = file_at(mem, path);
    if (file != NULL) {
        out->is_named = ns__mem_name_find(mem, path)->durable == file;
        out->size = file->durable_size;
    }
    ns__mem_unlock_world(mem);
    return file != NULL;
}

const uint8_t *ns__mem_durable_page(const struct ns__mem *mem, const char *path, uint64_t page)
{
    const uint8_t *bytes = NULL;
    ns__mem_lock_world(mem);
    const struct ns__mem_inode *file = file_at(mem, path);
    if (file != NULL && page < file->dirty / NS__MEM_PAGE) {
        bool is_saved = ns__mem_is_saved(file, (size_t)page);
        bytes = (is_saved ? file->durable_base : file->base) + page * NS__MEM_PAGE;
    }
    ns__mem_unlock_world(mem);
    return bytes;
}
