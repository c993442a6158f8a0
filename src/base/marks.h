/* marks.h: coverage marks: named places that the tests must reach. Counted in checked builds only;
 * the model test fails when a mark stays unhit. A mark costs nothing elsewhere. */
#ifndef NS_BASE_MARKS_H
#define NS_BASE_MARKS_H

#include "base/atomic.h"

#define NS__MARKS(X)                                                                               \
    X(leaf_split)                                                                                  \
    X(leaf_merge)                                                                                  \
    X(branch_split)                                                                                \
    X(branch_merge)                                                                                \
    X(root_grow)                                                                                   \
    X(root_collapse)                                                                               \
    X(subtree_drop)                                                                                \
    X(overflow_write)                                                                              \
    X(overflow_drop)                                                                               \
    X(spill)                                                                                       \
    X(swing)                                                                                       \
    X(frame_reuse)                                                                                 \
    X(page_reuse)                                                                                  \
    X(reader_pins_page)                                                                            \
    X(extent_switch)                                                                               \
    X(extent_recycle)                                                                              \
    X(log_span)                                                                                    \
    X(log_continuation)                                                                            \
    X(meta_fallback)                                                                               \
    X(recovery_unclean)                                                                            \
    X(recovery_torn_tail)                                                                          \
    X(recovery_settle)                                                                             \
    X(checkpoint)                                                                                  \
    X(checkpoint_empty)                                                                            \
    X(file_grow)                                                                                   \
    X(bitmap_rotate)                                                                               \
    X(keyspace_create)                                                                             \
    X(keyspace_drop)                                                                               \
    X(range_hides_base)                                                                            \
    X(cursor_reposition)                                                                           \
    X(clean_open)                                                                                  \
    X(empty_commit)                                                                                \
    X(poisoned)                                                                                    \
    X(full)

enum ns__mark {
#define NS__MARK_ENUM(name) NS__MARK_##name,
    NS__MARKS(NS__MARK_ENUM)
#undef NS__MARK_ENUM
        NS__MARK_COUNT
};

extern const char *const ns__mark_names[NS__MARK_COUNT];
extern uint64_t ns__marks[NS__MARK_COUNT]; /* atomic */

#if defined(NS_CHECKED)
#define NS__MARK(name) ((void)ns__atomic_add(&ns__marks[NS__MARK_##name], 1))
#else
#define NS__MARK(name) ((void)0)
#endif

#endif
