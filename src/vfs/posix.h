/* posix.h: the vfs contract on POSIX systems. ns_vfs_default() is its table. */
#ifndef NS_VFS_POSIX_H
#define NS_VFS_POSIX_H

#include <northstar/vfs.h>

extern const struct ns_vfs ns__vfs_posix;

#endif
