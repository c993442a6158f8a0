/* posix_private.h: what posix.c (the table, and files as the system has them) and posix_private.c
 * (private handles, NS_VFS_PRIVATE) share. Private to them. */
#ifndef NS_VFS_POSIX_PRIVATE_H
#define NS_VFS_POSIX_PRIVATE_H

#include <stdbool.h>
#include <sys/mman.h>
#include <northstar/vfs.h>

/* ---- posix_private.c: these do for one handle what the table promises ---- */

struct ns__private;

/* Takes fd over, which is closed on failure too. The address is even, as all of the system are. */
ns_status ns__private_new(int fd, struct ns__private **private_out);
void ns__private_free(struct ns__private *private);
int ns__private_fd(const struct ns__private *private);
ns_status ns__private_size(struct ns__private *private, uint64_t *size_out);
ns_status ns__private_read(struct ns__private *private, uint64_t offset, void *out, size_t size);
ns_status ns__private_write(struct ns__private *private, uint64_t offset, const void *data,
                            size_t size);
ns_status ns__private_allocate(struct ns__private *private, uint64_t size);
ns_status ns__private_truncate(struct ns__private *private, uint64_t size);
/* Any number of maps of one handle are the same memory, and live until the handle is closed. */
ns_status ns__private_map(struct ns__private *private, size_t reserve, struct ns_vfs_map *map_out);
ns_status ns__private_map_extend(struct ns__private *private, struct ns_vfs_map *map, size_t size);

/* ---- posix.c ---- */

ns_status ns__posix_failed(void); /* what errno says of a call on something that exists */
void ns__posix_close(int fd);
ns_status ns__posix_size(int fd, uint64_t *size_out);
ns_status ns__posix_read(int fd, uint64_t offset, void *out, size_t size);
bool ns__posix_in_file_range(uint64_t offset, uint64_t size); /* of any file at all */

size_t ns__posix_page_bytes(void);
size_t ns__posix_round_up(size_t size); /* to whole pages; size <= SIZE_MAX / 2 */
/* Address space without access: wanted bytes, or as many as the system grants, but not fewer than
 * least. Both are whole pages. NS_NOMEM. */
ns_status ns__posix_reserve_addresses(size_t wanted, size_t least, uint8_t **base_out,
                                      size_t *reserved_out);

#if defined(MAP_NORESERVE)
#define NS__POSIX_NORESERVE MAP_NORESERVE
#else
#define NS__POSIX_NORESERVE 0
#endif

#endif
