/* tree.c: the files that are imported. */
#include "quickstart.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY_BYTES_MAX 1024u

static int compare(const void *left, const void *right)
{
    const struct qs_file *a = left, *b = right;
    return strcmp(a->path, b->path);
}

static void add_file(struct qs *qs, const char *path, uint64_t bytes)
{
    if (qs->file_count == qs->file_capacity) {
        qs->file_capacity = qs->file_capacity * 2 + 1024;
        qs->files = qs_grow(qs->files, qs->file_capacity * sizeof *qs->files);
    }
    size_t size = strlen(path) + 1;
    char *copy = qs_grow(NULL, size);
    memcpy(copy, path, size);
    qs->files[qs->file_count++] = (struct qs_file){.path = copy, .bytes = bytes};
}

/* Cuts the sorted list at the limits. */
static void limit(struct qs *qs)
{
    size_t count = 0;
    qs->listed_files = qs->file_count;
    while (count < qs->file_count && count < qs->file_limit &&
           qs->bytes + qs->files[count].bytes <= qs->byte_limit) {
        qs->bytes += qs->files[count++].bytes;
    }
    for (size_t i = count; i < qs->file_count; i++)
        free(qs->files[i].path);
    if (count < qs->file_count && qs->limited_by == NULL) {
        qs->limited_by = qs->is_quick ? "--quick" : "the limit on files and bytes";
    }
    if (count == qs->file_count) qs->limited_by = NULL;
    qs->file_count = count;
}

bool qs_list(struct qs *qs)
{
    char *roots[] = {(char *)(uintptr_t)qs->tree, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (walk == NULL) return qs_fail(NS_OK, "%s: %s", qs->tree, strerror(errno));
    FTSENT *entry;
    size_t root_bytes = strlen(qs->tree);
    while ((entry = fts_read(walk)) != NULL) {
        if (entry->fts_info != FTS_F || access(entry->fts_accpath, R_OK) != 0) continue;
        const char *path = entry->fts_path + root_bytes;
        while (*path == '/')
            path++;
        if (*path == '\0' || strlen(path) > KEY_BYTES_MAX) continue;
        add_file(qs, path, (uint64_t)entry->fts_statp->st_size);
    }
    fts_close(walk);
    if (qs->file_count > 0) qsort(qs->files, qs->file_count, sizeof *qs->files, compare);
    limit(qs);
    if (qs->file_count < 50) {
        return qs_fail(NS_OK, "%s: %zu files are too few; name a larger directory", qs->tree,
                       qs->file_count);
    }
    return true;
}

/* Reads to the end of the file, whatever size it had when it was listed. */
static int read_all(int fd, uint8_t **data, size_t *capacity, size_t *size)
{
    *size = 0;
    for (;;) {
        if (*capacity - *size < 65536) {
            *capacity = *capacity * 2 + 262144;
            *data = qs_grow(*data, *capacity);
        }
        ssize_t got = read(fd, *data + *size, *capacity - *size);
        if (got == 0) return 0;
        if (got < 0 && errno != EINTR) return errno;
        if (got > 0) *size += (size_t)got;
    }
}

bool qs_read(const struct qs *qs, size_t index, uint8_t **data_out, size_t *capacity,
             size_t *size_out)
{
    char path[QS_PATH_BYTES * 2];
    snprintf(path, sizeof path, "%s/%s", qs->tree, qs->files[index].path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? errno : read_all(fd, data_out, capacity, size_out);
    if (fd >= 0) close(fd);
    return error == 0 || qs_fail(NS_OK, "%s: %s", path, strerror(error));
}
