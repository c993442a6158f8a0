/* file.c: the database file: what the vfs says, turned into statuses with a detail, counted, and
 * refused after a failed sync.
 *
 * The latch is looked at before every write and sync, and once more after a sync that succeeded:
 * two syncs of one handle may overlap, and the system reports a lost page to only one of them. */
#include "pager/file.h"

/* Before the page size is known, offsets stand for pages. */
static unsigned long long page_of(const struct ns__file *file, uint64_t offset)
{
    return (unsigned long long)(file->page_size > 0 ? offset / file->page_size : offset);
}

static ns_status refuse_if_failed(struct ns__file *file, const char *verb)
{
    if (ns__atomic_load(&file->sync_failed) == 0) return NS_OK;
    return ns__error(NS_POISONED, "%s refused: an earlier sync of the file failed", verb);
}

static ns_status explain(struct ns__file *file, ns_status status, const char *verb, uint64_t offset)
{
    if (status == NS_NOTFOUND) status = NS_IO;
    return ns__error(status, "%s page %llu: %s", verb, page_of(file, offset),
                     ns_status_text(status));
}

ns_status ns__file_read(struct ns__file *file, uint64_t offset, void *out, size_t size)
{
    ns_status status = file->vfs->read(file->vfs->ctx, file->handle, offset, out, size);
    return status == NS_OK ? NS_OK : explain(file, status, "read", offset);
}

ns_status ns__file_write(struct ns__file *file, uint64_t offset, const void *data, size_t size)
{
    NS_TRY(refuse_if_failed(file, "write"));
    ns_status status = file->vfs->write(file->vfs->ctx, file->handle, offset, data, size);
    if (status != NS_OK) return explain(file, status, "write", offset);
    ns__atomic_add(&file->writes, 1);
    ns__atomic_add(&file->bytes_written, size);
    return NS_OK;
}

ns_status ns__file_write_sync(struct ns__file *file, uint64_t offset, const void *data, size_t size)
{
    NS_TRY(refuse_if_failed(file, "write"));
    ns_status status = file->vfs->write_sync(file->vfs->ctx, file->handle, offset, data, size);
    if (status != NS_OK) {
        ns__atomic_store(&file->sync_failed, 1);
        return explain(file, status, "write", offset);
    }
    ns__atomic_add(&file->sync_writes, 1);
    ns__atomic_add(&file->bytes_written, size);
    return refuse_if_failed(file, "write");
}

ns_status ns__file_sync(struct ns__file *file)
{
    NS_TRY(refuse_if_failed(file, "sync"));
    ns_status status = file->vfs->sync(file->vfs->ctx, file->handle);
    if (status != NS_OK) {
        ns__atomic_store(&file->sync_failed, 1);
        if (status == NS_NOTFOUND) status = NS_IO;
        return ns__error(status, "sync: %s", ns_status_text(status));
    }
    ns__atomic_add(&file->syncs, 1);
    return refuse_if_failed(file, "sync");
}

ns_status ns__file_size(struct ns__file *file, uint64_t *size_out)
{
    *size_out = 0;
    ns_status status = file->vfs->size(file->vfs->ctx, file->handle, size_out);
    if (status == NS_OK) return NS_OK;
    *size_out = 0;
    if (status == NS_NOTFOUND) status = NS_IO;
    return ns__error(status, "size of the file: %s", ns_status_text(status));
}
