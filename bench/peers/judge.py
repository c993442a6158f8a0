"""What the figures mean: medians, spreads, ratios, targets, and the sentences about them."""
from statistics import median

from rows import BY_ID, ROWS, HISTORY_ROWS, HISTORY_SHARE

OURS, HISTORY, LIMITS = "northstar", "northstar_history", "limits"
LEVEL = 0.03    # closer than this is called level


class Figures:
    """The rounds of one run: rounds[row][store] = [value, ...]."""

    def __init__(self, rounds, titles):
        self.rounds = rounds
        self.titles = titles

    def median(self, row, store):
        values = self.rounds.get(row, {}).get(store)
        return median(values) if values else None

    def spread(self, row, store):
        values = self.rounds[row][store]
        return min(values), max(values)

    def stores(self, row):
        """Those that have a figure, the main ones before the variant."""
        have = self.rounds.get(row, {})
        return [s for s in self.titles if s in have and s != LIMITS]

    def peers(self, row):
        return [s for s in self.stores(row) if s not in (OURS, HISTORY)]

    def best_peer(self, row):
        peers = self.peers(row.id)
        if not peers:
            return None
        pick = max if row.better == "more" else min
        return pick(peers, key=lambda s: self.median(row.id, s))

    def limit(self, row):
        if row.limit is None:
            return None
        if row.limit.row is None:
            return row.limit.factor
        value = self.median(row.limit.row, LIMITS)
        return None if value is None else value * row.limit.factor


def times_better(better, ours, other):
    """How many times as good ours is; None where a zero makes it meaningless."""
    if not ours or not other:
        return None
    return ours / other if better == "more" else other / ours


def ratio(figures, row):
    best = figures.best_peer(row)
    ours = figures.median(row.id, OURS)
    if best is None or ours is None:
        return None
    return times_better(row.better, ours, figures.median(row.id, best))


def overlaps(figures, row, store):
    low, high = figures.spread(row.id, OURS)
    other_low, other_high = figures.spread(row.id, store)
    return low <= other_high and other_low <= high


def standing(figures, row):
    """'ahead', 'level', 'behind', or None where nothing can be compared."""
    best = figures.best_peer(row)
    ours = figures.median(row.id, OURS)
    if best is None or ours is None:
        return None
    other = figures.median(row.id, best)
    by = times_better(row.better, ours, other)
    if by is None:
        if ours == other:
            return "level"
        return "ahead" if (ours > other) == (row.better == "more") else "behind"
    if abs(by - 1) < LEVEL:
        return "level"
    return "ahead" if by > 1 else "behind"


# ---- numbers as text -----------------------------------------------------------------------------


def significant(value, digits=3):
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" in text:
        text = f"{value:.0f}"
    return text


def number(value, unit):
    if unit.endswith("/s") and unit != "GB/s":
        for size, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= size:
                return significant(value / size) + mark
        return significant(value)
    if unit in ("bytes", "entries"):
        return f"{value:,.0f}"
    return significant(value)


def with_unit(value, unit):
    mark = {"x data": "x the data", "x": "x"}.get(unit, " " + unit)
    space = "" if mark.startswith(("x", " ")) else " "
    return number(value, unit) + space + mark


# ---- targets -------------------------------------------------------------------------------------


def bar_of(figures, row, target):
    """The figure that a target asks for, and its text; None where there is nothing to ask."""
    kind, factor = target[0], target[1]
    if kind in ("min", "max"):
        sign = ">=" if kind == "min" else "<="
        return factor, f"{sign} {with_unit(factor, row.unit)}"
    sign = ">=" if row.better == "more" else "<="
    if kind == "limit":
        base = figures.limit(row)
        return (None if base is None else base * factor), f"{sign} {factor:g}x {row.limit.text}"
    if kind == "row":
        store, other = target[2]
        what = f"{figures.titles.get(store, store)}'s {BY_ID[other].title[0].lower()}" \
               f"{BY_ID[other].title[1:]}"
    else:
        store, other = (target[2] if kind == "store" else figures.best_peer(row)), row.id
        what = figures.titles.get(store, store) if kind == "store" else "the best peer"
    base = figures.median(other, store) if store else None
    if base is None:
        return None, f"{sign} {factor:g}x {what}"
    return (base * factor if row.better == "more" else base / factor), f">= {factor:g}x {what}"


def judge_targets(figures, row):
    """[(text, met or None)] of a row."""
    ours = figures.median(row.id, OURS)
    judged = []
    for target in row.targets:
        bar, text = bar_of(figures, row, target)
        if bar is None or ours is None:
            judged.append((text, None))
        else:
            judged.append((text, ours >= bar if row.better == "more" else ours <= bar))
    return judged


def is_met(figures, row):
    """True, False, or None where the row has no target that can be judged."""
    known = [met for _, met in judge_targets(figures, row) if met is not None]
    return all(known) if known else None


def judge_history(figures):
    """[(row, share of the figure without history, met)]."""
    judged = []
    for row in ROWS:
        if row.id not in HISTORY_ROWS:
            continue
        ours, kept = figures.median(row.id, OURS), figures.median(row.id, HISTORY)
        share = times_better(row.better, kept, ours)
        if share is not None:
            judged.append((row, share, share >= HISTORY_SHARE))
    return judged


# ---- sentences -----------------------------------------------------------------------------------


def factor_text(by):
    return f"{by:.2f}x" if by < 10 else f"{by:.0f}x"


def sentence(figures, row):
    """Who is ahead, in words."""
    place = standing(figures, row)
    if place is None:
        return "There is nothing to compare it with."
    best = figures.best_peer(row)
    title = figures.titles[best]
    ours, other = figures.median(row.id, OURS), figures.median(row.id, best)
    ours_text, other_text = with_unit(ours, row.unit), with_unit(other, row.unit)
    both = f"{ours_text} against {other_text}"
    if place == "level":
        return f"Level with {title}, the best peer: {both}."
    by = times_better(row.better, ours, other)
    if place == "ahead":
        lead = "NorthstarDB is ahead" if by is None else f"NorthstarDB is {factor_text(by)} ahead"
        text = f"{lead} of {title}, the best peer: {both}."
    else:
        lead = "is ahead" if by is None else f"is ahead by {factor_text(1 / by)}"
        text = f"{title} {lead}: {other_text} against NorthstarDB's {ours_text}."
    if place == "behind":
        text += others_ahead(figures, row, best)
    if overlaps(figures, row, best):
        text += f" The ranges of {title} and NorthstarDB overlap: another run may say otherwise."
    return text


def others_ahead(figures, row, best):
    """A sentence about the peers that are ahead too."""
    names = [figures.titles[s] for s in figures.peers(row.id)
             if s != best and not is_better(figures, row, OURS, s)]
    if not names:
        return ""
    joined = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
    return f" {joined} {'is' if len(names) == 1 else 'are'} ahead too."


def is_better(figures, row, store, other):
    mine, theirs = figures.median(row.id, store), figures.median(row.id, other)
    return mine >= theirs if row.better == "more" else mine <= theirs


def tally(figures):
    """Counts of ahead, level, behind, met, missed."""
    counts = dict.fromkeys(("ahead", "level", "behind", "met", "missed"), 0)
    for row in ROWS:
        place = standing(figures, row)
        if place:
            counts[place] += 1
        met = is_met(figures, row)
        if met is not None:
            counts["met" if met else "missed"] += 1
    return counts
