/* pages.c: first touch of file pages.
 *
 * A page is verified once per process: checksum (bit rot, torn and misdirected writes), structure
 * (so that everything above may trust offsets), then, for each reference that leads to it, the
 * check bits (lost writes) and the level (cycles). A page that was written but not yet synced is
 * verified at every touch: the system may still lose it and show what was there before. */
#include "base/assert.h"
#include "pager/pager.h"

static bool is_unsynced(struct ns__pages *pages, uint64_t page)
{
    struct ns__space *space = &pages->pager->space;
    uint32_t epoch = ns__atomic_load32(&space->epochs[page]);
    return epoch != NS__EPOCH_DEAD && epoch > ns__atomic_load32(&space->synced_epoch);
}

static void set_verified(struct ns__pages *pages, uint64_t *bits, uint64_t page)
{
    if (!is_unsynced(pages, page)) ns__atomic_or(&bits[page >> 6], UINT64_C(1) << (page & 63));
}

static ns_status verify_page(struct ns__pages *pages, uint64_t page, const uint8_t *node)
{
    uint64_t seed = ns__page_seed(pages->pager->file.uuid, page);
    uint64_t computed = ns__page_checksum(node, pages->page_size, seed);
    if (computed != ns__node_checksum(node)) {
        return ns__corrupt(page, "checksum mismatch (stored %016llx, computed %016llx)",
                           (unsigned long long)ns__node_checksum(node),
                           (unsigned long long)computed);
    }
    const char *invalid = ns__node_invalid(node, pages->page_size, true);
    if (invalid != NULL) return ns__corrupt(page, "%s", invalid);
    set_verified(pages, pages->verified, page);
    return NS_OK;
}

ns_status ns__pages_verify(struct ns__pages *pages, uint64_t ref, uint32_t level,
                           const uint8_t **node_out)
{
    *node_out = NULL;
    uint64_t page = ns__ref_number(ref);
    NS_ASSERT(!ns__ref_is_frame(ref));
    if (page >= ns__atomic_load(&pages->readable)) {
        return ns__corrupt(page, "a reference leads beyond the end of the file");
    }
    const uint8_t *node = pages->bases[0] + (page << pages->page_shift);
    bool is_verified = (ns__atomic_load(&pages->verified[page >> 6]) >> (page & 63) & 1) != 0;
    if (!is_verified) NS_TRY(verify_page(pages, page, node));
    if (!ns__ref_matches(ref, ns__node_checksum(node))) {
        return ns__corrupt(page, "not the version that its parent names (a lost write?)");
    }
    if (level != NS__LEVEL_ANY && ns__node_level(node) != level) {
        return ns__corrupt(page, "level %u where its parent needs %u", ns__node_level(node), level);
    }
    *node_out = node;
    return NS_OK;
}

ns_status ns__pages_run(struct ns__pages *pages, const struct ns__run *run, uint64_t size,
                        ns_slice *value_out)
{
    *value_out = (ns_slice){NULL, 0};
    uint64_t count = ns__pages_of(size, pages->page_size);
    uint64_t readable = ns__atomic_load(&pages->readable);
    if (run->page == 0 || count == 0 || count > readable || run->page > readable - count) {
        return ns__corrupt(run->page, "a value of %llu bytes leads beyond the end of the file",
                           (unsigned long long)size);
    }
    const uint8_t *value = pages->bases[0] + (run->page << pages->page_shift);
    uint64_t *bits = pages->pager->runs_verified;
    if ((ns__atomic_load(&bits[run->page >> 6]) >> (run->page & 63) & 1) == 0) {
        uint64_t seed = ns__page_seed(pages->pager->file.uuid, run->page);
        if (ns__checksum64(value, size, seed) != run->checksum) {
            return ns__corrupt(run->page, "checksum mismatch in a value of %llu bytes",
                               (unsigned long long)size);
        }
        set_verified(pages, bits, run->page);
    }
    *value_out = ns_bytes(value, size);
    return NS_OK;
}
