/* locate.c: what is this file? Finds the metas, tells an unfinished creation from a damaged
 * database, and leaves what is not ours alone (spec/commit_v0.md, "Creation"). */
#include "db/db.h"

#define USED_MAX 3u                             /* pages 1 to 3 */
#define CREATION_BYTES_MAX (UINT64_C(64) << 20) /* no creation gets further before its first meta */

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
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
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

/* All zero, or a beginning of `magic` with anything behind it, or a torn part of a block that began
 * so: see commit_v0.md. */
static bool may_be_torn(const uint8_t *block, const char magic[8])
{
    size_t same = 0;
    while (same < 8 && block[same] == (uint8_t)magic[same])
        same++;
    if (same == 8) return true;
    return is_zero(block + same, 8 - same);
}

/* The 4096-byte blocks of a file that are not zero, as far as an unfinished creation can have any.
 * */
struct used_blocks {
    uint64_t index[USED_MAX];
    uint32_t count; /* USED_MAX + 1: more than that */
};

static ns_status find_used_blocks(const struct probe *probe, struct used_blocks *used)
{
    uint8_t block[NS__BLOCK_BYTES];
    used->count = 0;
    for (uint64_t at = 0; at < probe->file_bytes && used->count <= USED_MAX; at += sizeof block) {
        NS_TRY(read_block(probe, at, block));
        if (is_zero(block, sizeof block)) continue;
        if (used->count < USED_MAX) used->index[used->count] = at / sizeof block;
        used->count++;
    }
    return NS_OK;
}

/* Could this block be what a creation with this page size was writing? */
static ns_status fits_creation(const struct probe *probe, uint32_t page_size, uint64_t index,
                               bool *is_so_out)
{
    uint8_t block[NS__BLOCK_BYTES];
    uint64_t page = index * NS__BLOCK_BYTES / page_size;
    *is_so_out = false;
    if (index * NS__BLOCK_BYTES % page_size != 0 || page < 1 || page > 3) return NS_OK;
    NS_TRY(read_block(probe, index * NS__BLOCK_BYTES, block));
    *is_so_out = may_be_torn(block, page == 1 ? "NSTARDB\n" : "NSTARLOG");
    return NS_OK;
}

/* Creation zeroes the log's first extent, then writes the log maps, then meta 1, then meta 0, each
 * durable before the next (CRE-1); nothing else in the file is ever written before the first
 * commit. So a file that is zero but for (parts of) pages 1 to 3, and page 1 no valid meta, holds
 * nothing that was committed. */
static ns_status look_for_creation(const struct probe *probe, bool *is_new_out)
{
    struct used_blocks used;
    *is_new_out = false;
    if (probe->file_bytes > CREATION_BYTES_MAX) return NS_OK;
    NS_TRY(find_used_blocks(probe, &used));
    if (used.count > USED_MAX) return NS_OK;
    for (uint32_t p = NS__PAGE_SIZE_MIN; p <= NS__PAGE_SIZE_MAX && !*is_new_out; p *= 2) {
        bool is_so = true;
        for (uint32_t i = 0; i < used.count && is_so; i++) {
            NS_TRY(fits_creation(probe, p, used.index[i], &is_so));
        }
        *is_new_out = is_so;
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

static ns_status has_log_map(const struct probe *probe, bool *is_so_out)
{
    uint8_t block[NS__BLOCK_BYTES];
    *is_so_out = false;
    for (uint32_t p = NS__PAGE_SIZE_MIN; p <= NS__PAGE_SIZE_MAX && !*is_so_out; p *= 2) {
        for (uint64_t page = 2; page <= 3; page++) {
            NS_TRY(read_block(probe, page * p, block));
            *is_so_out = *is_so_out || memcmp(block, "NSTARLOG", 8) == 0;
        }
    }
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
    bool has_log;
    NS_TRY(has_log_map(probe, &has_log));
    if (has_log) return ns__error(NS_CORRUPT, "both meta pages are gone, but there is a log map");
    return ns__error(NS_NOTADB, "no NorthstarDB magic at the start of its pages");
}

ns_status ns__locate(const struct ns_vfs *vfs, struct ns_vfs_file *handle, struct ns__alloc *alloc,
                     struct ns__located *out)
{
    struct probe probe = {vfs, handle, 0};
    memset(out, 0, sizeof *out);
    ns_status status = vfs->size(vfs->ctx, handle, &probe.file_bytes);
    if (status != NS_OK) return ns__error(status, "size of the file: %s", ns_status_text(status));
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
