/* marks.c: the counters behind base/marks.h. */
#include "base/marks.h"

uint64_t ns__marks[NS__MARK_COUNT];

const char *const ns__mark_names[NS__MARK_COUNT] = {
#define NS__MARK_NAME(name) #name,
    NS__MARKS(NS__MARK_NAME)
#undef NS__MARK_NAME
};
