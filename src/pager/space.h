/* space.h: which pages of the file are in use, by whom, and until when; growing the file.
 *
 * Any thread (one internal lock). Pages are handed out in contiguous runs of real, allocated space.
 * */
#ifndef NS_PAGER_SPACE_H
#define NS_PAGER_SPACE_H

#include "pager/file.h"

struct ns__space;

/* Takes `pages` contiguous free pages, growing the file if need be. use_reserve lets it dip into
 * the space kept back for deleting and recovery. NS_FULL (no space; nothing changed), NS_IO,
 * NS_CORRUPT (a bitmap), NS_NOMEM. */
ns_status ns__space_take(struct ns__space *space, uint64_t pages, bool use_reserve,
                         uint64_t *page_out);

/* Returns pages that no root and no map names: log pages that left the log map, pages of an aborted
 * change. */
void ns__space_give(struct ns__space *space, uint64_t page, uint64_t pages);

/* At open: these pages belong to the log. NS_CORRUPT if they are taken already or beyond the end;
 * NS_NOMEM, NS_IO. */
ns_status ns__space_claim_log(struct ns__space *space, uint64_t page, uint64_t pages);

#endif
