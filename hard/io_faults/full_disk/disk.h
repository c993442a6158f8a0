/* full_disk/disk.h: small file systems made for one test, in a mount namespace of their own: when
 * the process ends, however it ends, they are gone, loop devices too. */
#ifndef NS_HARD_IO_FAULTS_DISK_H
#define NS_HARD_IO_FAULTS_DISK_H

#include <stdbool.h>

#define DISK_PATH_BYTES 512u

struct disk {
    char below[DISK_PATH_BYTES]; /* a tmpfs */
    char top[DISK_PATH_BYTES];   /* the file system under test: the same, or a loop image in it */
    char image[DISK_PATH_BYTES];
    const char *kind; /* "tmpfs", "ext4", "xfs", "btrfs" */
    bool is_mounted;
    int loop;             /* its number; -1: none */
    unsigned request_kib; /* what its largest request was */
};

/* Once in each process, before the others. False: not permitted here. */
bool disk_namespace(void);
/* Can this kind be made here? */
bool disk_is_known(const char *kind);

/* A tmpfs of below_mib, and for other kinds an image of image_mib in it (it may be larger than the
 * tmpfs: then writes fail when they are synced). False: no such thing here. */
bool disk_make(struct disk *disk, const char *directory, const char *kind, unsigned below_mib,
               unsigned image_mib);
bool disk_mount(struct disk *disk);
bool disk_unmount(struct disk *disk);
bool disk_resize_below(struct disk *disk, unsigned below_mib);
void disk_drop(struct disk *disk); /* accepts half-made ones */

/* For the end, outside of the namespaces: loop devices that a killed process left with small
 * requests get large ones again. */
void disk_give_back_loops(void);

#endif /* NS_HARD_IO_FAULTS_DISK_H */
