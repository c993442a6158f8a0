/* scratch.c: see scratch.h. */
#include "harness/scratch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void scratch_init(struct scratch *scratch)
{
    snprintf(scratch->directory, sizeof scratch->directory, "scratch.XXXXXX");
    if (mkdtemp(scratch->directory) == NULL) {
        perror("scratch directory");
        abort();
    }
}

void scratch_path(const struct scratch *scratch, const char *name,
                  char path_out[SCRATCH_PATH_BYTES])
{
    snprintf(path_out, SCRATCH_PATH_BYTES, "%s/%s", scratch->directory, name);
}

void scratch_deinit(struct scratch *scratch)
{
    char path[SCRATCH_PATH_BYTES];
    DIR *directory = opendir(scratch->directory);
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        scratch_path(scratch, entry->d_name, path);
        (void)unlink(path);
    }
    if (directory != NULL) closedir(directory);
    (void)rmdir(scratch->directory);
}
