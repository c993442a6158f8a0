"""significance.py: is a difference between two sets of measurements more than noise?

The Mann-Whitney U test, two-sided: exact for small sets (by counting orders), by the normal
approximation with tie correction for larger ones. It compares ranks, so one wild outlier, of which
shared machines have many, decides nothing."""
import functools
import math
import statistics

EXACT_MAX = 12  # of each side
ALPHA = 0.01    # how often pure noise may be called a change


@functools.lru_cache(maxsize=None)
def orders(m, n, u):
    """In how many orders of m and n values is the statistic exactly u?"""
    if u < 0 or m < 0 or n < 0:
        return 0
    if m == 0 or n == 0:
        return 1 if u == 0 else 0
    return orders(m - 1, n, u - n) + orders(m, n - 1, u)


def u_statistic(a, b):
    """How many pairs have a above b; ties count half."""
    return sum(1.0 if x > y else 0.5 if x == y else 0.0 for x in a for y in b)


def p_value(a, b):
    m, n = len(a), len(b)
    if m == 0 or n == 0:
        return 1.0
    u = u_statistic(a, b)
    low = min(u, m * n - u)
    has_ties = len(set(a) | set(b)) < m + n
    if m <= EXACT_MAX and n <= EXACT_MAX and not has_ties:
        below = sum(orders(m, n, i) for i in range(int(low) + 1))
        return min(1.0, 2 * below / math.comb(m + n, m))
    counts = [(list(a) + list(b)).count(v) for v in set(a) | set(b)]
    total = m + n
    ties = sum(c**3 - c for c in counts) / (total * (total - 1)) if total > 1 else 0
    deviation = math.sqrt(m * n / 12 * (total + 1 - ties))
    if deviation == 0:
        return 1.0
    return math.erfc(max(0.0, m * n / 2 - low - 0.5) / deviation / math.sqrt(2))


def smallest_p(m, n):
    """What m and n values can show at best."""
    return min(1.0, 2 / math.comb(m + n, m))


def change(base, new):
    """(new / base of the medians, p)."""
    middle = statistics.median(base)
    ratio = statistics.median(new) / middle if middle > 0 else 1.0
    return ratio, p_value(new, base)
