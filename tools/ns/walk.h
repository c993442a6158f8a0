/* walk.h: the regular files under a directory, in the order of their paths' bytes. */
#ifndef NS_TOOLS_WALK_H
#define NS_TOOLS_WALK_H

#include <stddef.h>
#include <stdint.h>

struct walk_file {
    char *path; /* relative to the directory, without "./" */
    uint64_t bytes;
};

struct walk {
    int root_fd;
    struct walk_file *files;
    size_t file_count, file_capacity;
    uint64_t bytes;
    uint64_t skipped;    /* links, sockets, pipes and devices */
    uint64_t unreadable; /* directories and files; reported to standard error */
};

/* Lists the files under directory. Symbolic links are not followed, other file systems are.
 * Returns 0, or the errno of opening the directory itself. */
int walk_open(struct walk *walk, const char *directory);
void walk_close(struct walk *walk);

/* Opens a listed file for reading: a descriptor, or -1 with errno. */
int walk_open_file(const struct walk *walk, const struct walk_file *file);

#endif
