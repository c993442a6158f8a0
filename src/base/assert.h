/* assert.h: what must hold in our own code. Data from files and callers gets a status, never an
 * assertion.
 *
 * A library must not take its host down (promise 10). So a broken invariant ends the process only
 * in checked builds (NS_CHECKED). Elsewhere ns__assert_failed records the first place in a
 * process-wide latch, which every handle looks at before it writes: it then poisons itself and
 * answers NS_INTERNAL with that place. Expressions have no side effects. */
#ifndef NS_BASE_ASSERT_H
#define NS_BASE_ASSERT_H

#include <stdbool.h>
#include <stddef.h>

void ns__assert_failed(const char *expression, const char *file, int line);

/* NULL while no invariant was found broken; else "file:line: expression", static. Any thread. */
const char *ns__assert_broken(void);

#define NS_ASSERT(expression)                                                                      \
    ((expression) ? (void)0 : ns__assert_failed(#expression, __FILE__, __LINE__))

#if defined(NS_CHECKED)
#define NS_ASSERT_SLOW(expression) NS_ASSERT(expression)
#else
#define NS_ASSERT_SLOW(expression) ((void)sizeof((expression) ? 1 : 0))
#endif

#define NS_IMPLIES(a, b) (!(a) || (b))

#endif
