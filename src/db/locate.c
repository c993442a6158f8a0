/* locate.c: what is this file? Finds the metas, tells an unfinished creation from a damaged database, and leaves what is not ours
 * alone (spec/commit_v0.md, "Creation"). */
#include "db/db.h"

#define LOGMAP_UUID 8 /* offset of the uuid in a log map */

struct probe {
    const struct ns_vfs *vfs;
    struct ns_vfs_file *file;
    uint64_t file_bytes;
};

/* The 4096 bytes at offset; what lies beyond the end reads as zero. */
static ns_status read_block(const struct probe *probe, uint64_t offset, uint8_t *block)
{
    memset(block, 0, NS__BLOCK_BYTES);
    if (offset >= probe->file_bytes) return NS_OK;
    uint64_t left = probe->file_bytes - offset;
    size_t size = left < NS__BLOCK_BYTES ? (size_t)left : NS__BLOCK_BYTES;
    ns_status status = probe->vfs->read(probe->vfs->ctx, probe->file, offset, block, size);
    if (status != NS_OK) {
        return ns__error(status, "read %zu bytes at %llu: %s", size, (unsigned long long)offset,
                         ns_status_text(status));
    }
    return NS_OK;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) return false;
    }
    return true;
}

/* Decodes the metas as they would lie with this page size. */
static ns_status try_page_size(const struct probe *probe, uint32_t page_size,
                               struct ns__meta meta[2], ns_status status[2])
{
    uint8_t block[NS__BLOCK_BYTES];
    for (uint32_t i = 0; i < 2; i++) {
        NS_TRY(read_block(probe, (uint64_t)i * page_size, block));
        status[i] = ns__meta_decode(block, i, probe->file_bytes, &meta[i]);
        if (status[i] == NS_OK && meta[i].page_size != page_size) status[i] = NS_CORRUPT;
    }
    return NS_OK;
}

/* ---- an unfinished creation ---- */

/* All zero, or a beginning of `magic` with anything behind it, or a torn part of a block that began so: see commit_v0.md. */
static bool may_be_torn(const uint8_t *block, const char magic[8])
{
    size_t same = 0;
    while (same < 8 && block[same] == (uint8_t)magic[same])
        same++;
    if (same == 8) return true;
    return is_zero(block + same, 8 - same);
}

/* Has anything been appended to the log that this map describes? */
static ns_status log_is_untouched(const struct probe *probe, uint32_t page_size, uint32_t page,
                                  const uint8_t *block, bool *is_so_out)
{
    struct ns__logmap map;
    uint8_t first[NS__BLOCK_BYTES];
    *is_so_out = true;
    uint64_t limit = probe->file_bytes / page_size;
    if (ns__logmap_decode(block, page, block + LOGMAP_UUID, page_size, limit, &map) != NS_OK) {
        return NS_OK; /* torn */
    }
    if (map.extent_count == 0) return NS_OK;
    NS_TRY(read_block(probe, map.extents[0].page * page_size, first));
    *is_so_out = map.sequence <= 2 && map.watermark == 0 && map.extents[0].log_start == 0 &&
                 is_zero(first, sizeof first);
    return NS_OK;
}

/* Creation writes the log maps (sequences 1 and 2), then meta 1, then meta 0, each durable before the
 * next (CRE-1). So nothing was ever committed to a file that has no valid meta, no meta at all in
 * page 0, and log maps that are absent, torn, or of a log that nothing was appended to. */
static ns_status creation_was_cut(const struct probe *probe, uint32_t page_size, bool *is_so_out)
{
    uint8_t block[NS__BLOCK_BYTES];
    *is_so_out = false;
    NS_TRY(read_block(probe, 0, block));
    if (!is_zero(block, sizeof block)) return NS_OK;
    NS_TRY(read_block(probe, page_size, block));
    if (!may_be_torn(block, "NSTARDB\n")) return NS_OK;
    for (uint32_t page = 2; page <= 3; page++) {
        bool is_untouched;
        NS_TRY(read_block(probe, (uint64_t)page * page_size, block));
        if (!may_be_torn(block, "NSTARLOG")) return NS_OK;
        NS_TRY(log_is_untouched(probe, page_size, page, block, &is_untouched));
        if (!is_untouched) return NS_OK;
    }
    *is_so_out = true;
    return NS_OK;
}

static ns_status look_for_creation(const struct probe *probe, bool *is_new_out)
{
    *is_new_out = false;
    for (uint32_t p = NS__PAGE_SIZE_MIN; p <= NS__PAGE_SIZE_MAX && !*is_new_out; p *= 2) {
        NS_TRY(creation_was_cut(probe, p, is_new_out));
    }
    return NS_OK;
}

/* ---- the verdict ---- */

static ns_status take(const struct ns__meta meta[2], const ns_status status[2], int newest,
                      struct ns__located *out)
{
    int other = 1 - newest;
    out->newest = meta[newest];
    out->has_older = status[other] == NS_OK;
    if (out->has_older)
        out->older = meta[other];
    else
        NS__MARK(meta_fallback);
    return NS_OK;
}

static ns_status refuse(const struct probe *probe, struct ns__located *out, ns_status worst)
{
    if (worst == NS_VERSION) return NS_VERSION; /* the detail is set */
    struct ns__error_saved saved;
    ns__error_save(&saved);
    NS_TRY(look_for_creation(probe, &out->is_new));
    if (out->is_new) return NS_OK;
    if (worst == NS_CORRUPT) {
        ns__error_restore(&saved);
        ns__error_prefix("neither meta page is valid");
        return NS_CORRUPT;
    }
    return ns__error(NS_NOTADB, "no NorthstarDB magic at the start of its pages");
}

ns_status ns__locate(const struct ns_vfs *vfs, struct ns_vfs_file *handle, struct ns__alloc *alloc,
                     struct ns__located *out)
{
    struct probe probe = {vfs, handle, 0};
    ns_status status = vfs->size(vfs->ctx, handle, &probe.file_bytes);
    if (status != NS_OK) return ns__error(status, "size of the file: %s", ns_status_text(status));
    memset(out, 0, sizeof *out);
    out->file_bytes = probe.file_bytes;
    if (probe.file_bytes == 0) {
        out->is_new = true;
        return NS_OK;
    }
    struct ns__meta *meta = ns__alloc(alloc, 2 * sizeof *meta);
    if (meta == NULL) return NS_NOMEM;
    ns_status worst = NS_NOTADB;
    struct ns__error_saved saved;
    ns__error_save(&saved);
    status = NS_NOTADB;
    for (uint32_t p = NS__PAGE_SIZE_MIN; p <= NS__PAGE_SIZE_MAX; p *= 2) {
        ns_status each[2];
        status = try_page_size(&probe, p, meta, each);
        if (status != NS_OK) break;
        int newest = ns__meta_choose(each, meta);
        if (newest >= 0) {
            status = take(meta, each, newest, out);
            break;
        }
        for (int i = 0; i < 2; i++) {
            bool is_worse = each[i] == NS_VERSION || (each[i] == NS_CORRUPT && worst == NS_NOTADB);
            if (is_worse && worst != NS_VERSION) {
                worst = each[i];
                ns__error_save(&saved);
            }
        }
        status = NS_NOTADB;
    }
    if (status == NS_NOTADB) {
        ns__error_restore(&saved);
        status = refuse(&probe, out, worst);
    }
    ns__alloc_release(alloc, meta, 2 * sizeof *meta);
    return status;
}
