"""The figures as a table for a terminal."""
import judge
from rows import LIMITS, ROWS, SECTIONS

NAME, CELL = 46, 13


def cell(figures, row, store):
    value = figures.median(row.id, store)
    if value is None:
        return "-".rjust(CELL)
    low, high = figures.spread(row.id, store)
    spread = f" {100 * (high - low) / 2 / value:3.0f}%" if value else "     "
    return (judge.number(value, row.unit) + spread).rjust(CELL)


def verdict(figures, row):
    by = judge.ratio(figures, row)
    text = f"{by:7.2f}x" if by is not None else "       -"
    for target, met in judge.judge_targets(figures, row):
        mark = {True: "met", False: "MISSED", None: "unknown"}[met]
        text += f"   {target}: {mark}"
    return text


def show(figures, data):
    stores = list(figures.titles)
    print(f"\n{data['entries']:,} entries, {data['count_of_rounds']} rounds; medians, and half of "
          "the spread in percent; the ratio is to the best peer, above 1 is better")
    for section in SECTIONS:
        head = "".join(store.replace("northstar_", "")[:CELL - 2].rjust(CELL) for store in stores)
        print(f"\n{section[:NAME]:<{NAME}}{head}    ratio")
        for row in ROWS:
            if row.section != section or row.id not in figures.rounds:
                continue
            cells = "".join(cell(figures, row, store) for store in stores)
            print(f"{(row.title + ', ' + row.unit)[:NAME - 1]:<{NAME}}{cells}"
                  f" {verdict(figures, row)}")
    print(f"\n{'Limits of the machine':<{NAME}}")
    for name, title, unit in LIMITS:
        value = figures.median(name, judge.LIMITS)
        if value is not None:
            print(f"{title:<58}{judge.number(value, unit):>10} {unit}")
    print()
    for row, share, met in judge.judge_history(figures):
        print(f"default history, {row.title.lower()}: {100 * share:.0f}% of the figure without, "
              f"at least 85% wanted: {'met' if met else 'MISSED'}")
    behind = [row for row in ROWS if judge.standing(figures, row) == "behind"]
    print(f"\nBehind a peer in {len(behind)} rows:")
    for row in behind:
        print(f"  {row.title}: {judge.sentence(figures, row)}")
