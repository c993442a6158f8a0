"""The report's charts, as SVG text. Colours are CSS variables of the page."""
import math
from html import escape

import judge
from rows import ROWS, SECTIONS

WIDTH = 540
LABEL = 128         # for the names of the stores
VALUE = 84          # for the figures
LINE = 24
LOG_FROM = 60       # highest over lowest, from which on the axis is logarithmic
RANGE_REACH = 1.4   # so far beyond the longest bar a range is drawn
LIMIT_REACH = 2.5   # a limit farther away than this would squeeze the bars


def text(x, y, words, style="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">' \
           f"{escape(words)}</text>"


def line(x1, y1, x2, y2, style):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def box(x, y, width, height, style):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" ' \
           f'rx="2" class="{style}"/>'


def svg(height, parts, label, width=WIDTH):
    return f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(label)}">' \
           f'{"".join(parts)}</svg>'


class Axis:
    """Values to x, linear from zero, or logarithmic where they differ too much."""

    def __init__(self, values, left, right):
        self.left, self.right = left, right
        positive = [v for v in values if v > 0] or [1]
        self.high = max(positive)
        self.is_log = self.high / min(positive) > LOG_FROM
        self.low = min(positive) / 2 if self.is_log else 0

    def x(self, value):
        if self.is_log:
            value = max(value, self.low)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = value / self.high
        return self.left + min(share, 1.0) * (self.right - self.left)


def style_of(figures, row, store):
    if store == judge.OURS:
        return "ours"
    if store == judge.HISTORY:
        return "history"
    return "best" if store == figures.best_peer(row) else "peer"


def bars(figures, row):
    """One bar for each store, with its range, and the limit as a dashed line."""
    stores = figures.stores(row.id)
    spreads = {s: figures.spread(row.id, s) for s in stores}
    values = [figures.median(row.id, s) for s in stores]
    limit = figures.limit(row)
    shows_limit = limit is not None and limit <= LIMIT_REACH * max(values)
    end = min(max(high for _, high in spreads.values()), RANGE_REACH * max(values))
    is_cut = any(high > end for _, high in spreads.values())
    axis = Axis(values + [end] + ([limit] if shows_limit else []), LABEL, WIDTH - VALUE)
    parts = []
    for index, store in enumerate(stores):
        parts += one_bar(figures, row, store, spreads[store], axis, 4 + index * LINE)
    bottom = 4 + len(stores) * LINE
    if shows_limit:
        parts.append(line(axis.x(limit), 0, axis.x(limit), bottom, "limit"))
    notes = [f"Limit: {row.limit.text}, {judge.with_unit(limit, row.unit)}"] if limit else []
    notes += ["The limit is beyond the chart."] if limit and not shows_limit else []
    notes += ["A range ends beyond the chart."] if is_cut else []
    notes += ["Logarithmic axis."] if axis.is_log else []
    for note in notes:
        parts.append(text(LABEL, bottom + 13, note, "small"))
        bottom += 16
    return svg(bottom + 2, parts, f"{row.title}: {judge.sentence(figures, row)}")


def one_bar(figures, row, store, spread, axis, top):
    value = figures.median(row.id, store)
    middle = top + LINE / 2 - 2
    style = style_of(figures, row, store)
    strong = " strong" if store == judge.OURS else ""
    low, high = axis.x(spread[0]), axis.x(spread[1])
    parts = [text(LABEL - 8, middle + 4, figures.titles[store], "name" + strong, "end"),
             box(LABEL, top + 2, axis.x(value) - LABEL, LINE - 8, style)]
    if high - low >= 1.5:
        parts += [line(low, middle, high, middle, "range"),
                  line(low, middle - 4, low, middle + 4, "range"),
                  line(high, middle - 4, high, middle + 4, "range")]
    parts.append(text(max(high, axis.x(value)) + 6, middle + 4, judge.number(value, row.unit),
                      "value" + strong))
    return parts


# ---- all rows at once ----------------------------------------------------------------------------


OVERVIEW = 1000
OVERVIEW_LABEL = 330
OVERVIEW_LINE = 21
REACH = 20.0    # the axis ends here, both ways


def overview(figures):
    """For each row the ratio to the best peer: to the right ahead, to the left behind."""
    left, right = OVERVIEW_LABEL + 60, OVERVIEW - 60
    middle = (left + right) / 2

    def x(by):
        by = min(max(by, 1 / REACH), REACH)
        return middle + math.log(by) / math.log(REACH) * (right - left) / 2

    parts, top = [], 22
    for section in SECTIONS:
        rows = [r for r in ROWS if r.section == section and judge.standing(figures, r)]
        if not rows:
            continue
        parts.append(text(0, top + 15, section, "head"))
        top += 24
        for row in rows:
            parts += overview_line(figures, row, x, middle, top)
            top += OVERVIEW_LINE
        top += 8
    ticks = []
    for by, name in ((1 / 16, "16x behind"), (1 / 4, "4x"), (1 / 2, "2x"), (1, "level"), (2, "2x"),
                     (4, "4x"), (16, "16x ahead")):
        ticks.append(line(x(by), 18, x(by), top - 4, "zero" if by == 1 else "grid"))
        ticks.append(text(x(by), 12, name, "small", "middle"))
    return svg(top, ticks + parts, "The ratio to the best peer in every row", OVERVIEW)


def overview_line(figures, row, x, middle, top):
    parts = [text(OVERVIEW_LABEL, top + 13, row.title, "name", "end")]
    place, by = judge.standing(figures, row), judge.ratio(figures, row)
    if by is None:
        words = {"ahead": "ahead", "behind": "behind", "level": "level (zero for both)"}[place]
        return parts + [text(middle + 6, top + 13, words, "value")]
    end, style = x(by), {"ahead": "plus", "behind": "minus", "level": "even"}[place]
    start, width = min(middle, end), max(abs(end - middle), 2)
    parts.append(box(start, top + 4, width, OVERVIEW_LINE - 8, style))
    words = judge.factor_text(by if by >= 1 else 1 / by)
    if by >= 1:
        parts.append(text(end + 5, top + 13, words, "value"))
    else:
        parts.append(text(end - 5, top + 13, words, "value", "end"))
    return parts
