/* shim.c: what this rack shares with io_faults; a directory is an executable of its own sources. */
#include "io_faults/shim.c"
