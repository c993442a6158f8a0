/* harness/test.h: what every test includes first: cmocka, the headers it needs, and two checks that
 * explain a status. */
#ifndef NS_TESTS_HARNESS_TEST_H
#define NS_TESTS_HARNESS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <northstar.h>

/* Fails the test, naming the status, unless expr gives the wanted one. */
#define CHECK_STATUS(expr, wanted) check_status_((expr), (wanted), #expr, __FILE__, __LINE__)

/* The usual case: expr succeeds. */
#define CHECK_OK(expr) CHECK_STATUS(expr, NS_OK)

/* The body of CHECK_STATUS; not called directly. */
static inline void check_status_(ns_status status, ns_status wanted, const char *expr,
                                 const char *file, int line)
{
    if (status == wanted) return;
    print_error("%s\n  gave %s, not %s: %s\n", expr, ns_status_name(status), ns_status_name(wanted),
                ns_error_detail());
    _fail(file, line);
}

#endif /* NS_TESTS_HARNESS_TEST_H */
