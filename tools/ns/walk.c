/* walk.c: see walk.h. Directories are opened relative to the root, by their path in it, one at a
 * time, so that deep trees need few descriptors. */
#include "walk.h"

#include "cli.h"
#include "text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct names { /* of directories still to be listed */
    char **paths;
    size_t count, capacity;
};

static void push(struct names *names, char *path)
{
    if (names->count == names->capacity) {
        names->capacity = names->capacity * 2 + 16;
        names->paths = cli_resize(names->paths, names->capacity * sizeof *names->paths);
    }
    names->paths[names->count++] = path;
}

static char *join(const char *directory, const char *name)
{
    size_t size = strlen(directory) + strlen(name) + 2;
    char *path = cli_alloc(size);
    snprintf(path, size, "%s%s%s", directory, directory[0] != '\0' ? "/" : "", name);
    return path;
}

static void add_file(struct walk *walk, char *path, uint64_t bytes)
{
    if (walk->file_count == walk->file_capacity) {
        walk->file_capacity = walk->file_capacity * 2 + 64;
        walk->files = cli_resize(walk->files, walk->file_capacity * sizeof *walk->files);
    }
    walk->files[walk->file_count++] = (struct walk_file){.path = path, .bytes = bytes};
    walk->bytes += bytes;
}

static void complain(struct walk *walk, const char *path)
{
    char name[TEXT_NAME_BYTES];
    int error = errno;
    cli_fail_errno(error, "%s", text_name(path[0] != '\0' ? path : ".", name));
    walk->unreadable++;
}

static void add_entry(struct walk *walk, struct names *pending, const char *directory,
                      const char *name)
{
    struct stat about;
    char *path = join(directory, name);
    if (fstatat(walk->root_fd, path, &about, AT_SYMLINK_NOFOLLOW) != 0) {
        complain(walk, path);
        cli_free(path);
    } else if (S_ISDIR(about.st_mode)) {
        push(pending, path);
    } else if (S_ISREG(about.st_mode)) {
        add_file(walk, path, (uint64_t)about.st_size);
    } else {
        walk->skipped++;
        cli_free(path);
    }
}

static void list_directory(struct walk *walk, struct names *pending, const char *path)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(walk->root_fd, path[0] != '\0' ? path : ".", flags);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (directory == NULL) {
        complain(walk, path);
        if (fd >= 0) close(fd);
        return;
    }
    struct dirent *entry;
    while ((errno = 0, entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        add_entry(walk, pending, path, entry->d_name);
    }
    if (errno != 0) complain(walk, path);
    closedir(directory);
}

static int compare(const void *left, const void *right)
{
    const struct walk_file *a = left, *b = right;
    return strcmp(a->path, b->path);
}

int walk_open(struct walk *walk, const char *directory)
{
    *walk = (struct walk){0};
    walk->root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (walk->root_fd < 0) return errno;

    struct names pending = {0};
    push(&pending, cli_copy_string(""));
    while (pending.count > 0) {
        char *path = pending.paths[--pending.count];
        list_directory(walk, &pending, path);
        cli_free(path);
    }
    cli_free(pending.paths);
    if (walk->file_count > 0) qsort(walk->files, walk->file_count, sizeof *walk->files, compare);
    return 0;
}

void walk_close(struct walk *walk)
{
    for (size_t i = 0; i < walk->file_count; i++)
        cli_free(walk->files[i].path);
    cli_free(walk->files);
    if (walk->root_fd >= 0) close(walk->root_fd);
    *walk = (struct walk){.root_fd = -1};
}

/* O_NONBLOCK: what was a file when it was listed may be a pipe by now. */
int walk_open_file(const struct walk *walk, const struct walk_file *file)
{
    struct stat about;
    int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = openat(walk->root_fd, file->path, flags);
    if (fd >= 0 && (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}
