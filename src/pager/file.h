/* file.h: the database file: its vfs handle with page size, identity, counters and error details.
 * Once a sync (or a synchronous write) failed, sync_failed stays set and every later write or sync
 * is refused with NS_POISONED: a retry is never trusted. Reads go on. Any thread. */
#ifndef NS_PAGER_FILE_H
#define NS_PAGER_FILE_H

#include <northstar/vfs.h>
#include "base/alloc.h"
#include "base/atomic.h"
#include "base/status.h"
#include "format/layout.h"

struct ns__file {
    const struct ns_vfs *vfs;
    struct ns_vfs_file *handle;
    uint32_t page_size;
    uint8_t uuid[NS__UUID_BYTES];
    uint64_t sync_failed; /* atomic, sticky */
    /* counters, atomic */
    uint64_t syncs, sync_writes, writes, bytes_written;
};

/* Details read "read page N: ...", "write page N: ..." (from the offset), "sync: ...". */
ns_status ns__file_read(struct ns__file *file, uint64_t offset, void *out, size_t size);
ns_status ns__file_write(struct ns__file *file, uint64_t offset, const void *data, size_t size);
/* A failure sets sync_failed. */
ns_status ns__file_write_sync(struct ns__file *file, uint64_t offset, const void *data,
                              size_t size);
ns_status ns__file_sync(struct ns__file *file);
ns_status ns__file_size(struct ns__file *file, uint64_t *size_out);

#endif
