/* base_assert_test.c: a broken invariant ends a checked build and is latched in all others. Each
 * case runs in a child process, because the latch is never emptied. */
#include "harness/test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/assert.h"

/* Runs body in a child; returns what waitpid says. */
static int in_child(int (*body)(void))
{
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGABRT, SIG_DFL);
        (void)fclose(stderr);
        _exit(body());
    }
    int outcome = 0;
    assert_int_equal(waitpid(child, &outcome, 0), child);
    return outcome;
}

static bool exited_with(int outcome, int code)
{
    return WIFEXITED(outcome) && WEXITSTATUS(outcome) == code;
}

static int hold(void)
{
    int calls = 0;
    NS_ASSERT(++calls == 1);
    return calls == 1 && ns__assert_broken() == NULL ? 0 : 1;
}

static void what_holds_costs_nothing_and_latches_nothing(void **state)
{
    (void)state;
    assert_true(exited_with(in_child(hold), 0));
}

static int break_two(void)
{
    NS_ASSERT(1 + 1 == 3);
    NS_ASSERT(1 + 1 == 4);
    const char *place = ns__assert_broken();
    if (place == NULL) return 1;
    if (strstr(place, "1 + 1 == 3") == NULL || strstr(place, "base_assert_test.c:") == NULL) {
        return 2;
    }
    return ns__assert_broken() == place ? 0 : 3;
}

static void
a_broken_invariant_ends_checked_builds_and_latches_the_first_place_elsewhere(void **state)
{
    (void)state;
    int outcome = in_child(break_two);
#if defined(NS_CHECKED)
    assert_true(WIFSIGNALED(outcome));
    assert_int_equal(WTERMSIG(outcome), SIGABRT);
#else
    assert_true(exited_with(outcome, 0));
#endif
}

static int count_slow(void)
{
    int calls = 0;
    NS_ASSERT_SLOW(++calls > 0);
    return calls;
}

static void slow_assertions_exist_in_checked_builds_only(void **state)
{
    (void)state;
#if defined(NS_CHECKED)
    assert_true(exited_with(in_child(count_slow), 1));
#else
    assert_true(exited_with(in_child(count_slow), 0));
#endif
}

static void implies_is_false_only_for_true_then_false(void **state)
{
    (void)state;
    assert_true(NS_IMPLIES(false, false));
    assert_true(NS_IMPLIES(false, true));
    assert_true(NS_IMPLIES(true, true));
    assert_false(NS_IMPLIES(true, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_holds_costs_nothing_and_latches_nothing),
        cmocka_unit_test(
            a_broken_invariant_ends_checked_builds_and_latches_the_first_place_elsewhere),
        cmocka_unit_test(slow_assertions_exist_in_checked_builds_only),
        cmocka_unit_test(implies_is_false_only_for_true_then_false),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
