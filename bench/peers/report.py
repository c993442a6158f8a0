"""The report: one HTML page that needs nothing else, no script and no network."""
from html import escape

import charts
import judge
from rows import LIMITS, ROWS, SECTIONS

STYLE = """
:root { --page: #f7f8fa; --card: #fff; --ink: #1b2430; --soft: #5c6876; --rule: #dfe3e8;
  --ours: #1d5fc4; --history: #93b7ea; --peer: #c3cad3; --best: #8a95a3; --limit: #b3541e;
  --plus: #1d5fc4; --minus: #d1622b; --good: #1c7c4a; --bad: #b3361e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #12161c; --card: #1b2129; --ink: #e4e9ef; --soft: #98a4b3; --rule: #2e3742;
    --ours: #5b9bf3; --history: #35598f; --peer: #47515e; --best: #76828f; --limit: #e08a52;
    --plus: #5b9bf3; --minus: #e0834f; --good: #58bd87; --bad: #f08a70; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 32px; line-height: 1.2; margin: 0 0 8px; }
h2 { font-size: 22px; margin: 52px 0 14px; }
h3 { font-size: 17px; margin: 0; }
p { margin: 0 0 12px; max-width: 78ch; }
.soft { color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  padding: 18px 20px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 14px;
  margin: 24px 0; }
.tiles b { display: block; font-size: 30px; line-height: 1.2; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(500px, 100%), 1fr));
  gap: 16px; }
.top { display: flex; justify-content: space-between; gap: 12px; align-items: baseline; }
.badge { font-weight: 600; white-space: nowrap; }
.ahead { color: var(--plus); } .behind { color: var(--minus); } .level { color: var(--soft); }
.met { color: var(--good); } .missed { color: var(--bad); }
.card p { font-size: 14px; margin: 6px 0; }
.card .soft { font-size: 13px; }
svg { width: 100%; height: auto; display: block; margin: 8px 0; font-size: 13px; }
svg text { fill: var(--ink); } svg .small { fill: var(--soft); font-size: 11.5px; }
svg .name { fill: var(--soft); } svg .strong { fill: var(--ink); font-weight: 600; }
svg .head { font-weight: 600; font-size: 14px; }
svg .value { paint-order: stroke; stroke: var(--card);
  stroke-width: 4px; stroke-linejoin: round; font-variant-numeric: tabular-nums; }
.ours { fill: var(--ours); } .history { fill: var(--history); } .peer { fill: var(--peer); }
.best { fill: var(--best); } .plus { fill: var(--plus); } .minus { fill: var(--minus); }
.even { fill: var(--best); }
.range { stroke: var(--ink); stroke-width: 1.2; opacity: .65; }
.limit { stroke: var(--limit); stroke-width: 1.6; stroke-dasharray: 5 4; }
.grid-line, svg .grid { stroke: var(--rule); } svg .zero { stroke: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: 7px 14px 7px 0;
  border-bottom: 1px solid var(--rule); }
th { font-weight: 600; } td.number { text-align: right; white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
ul { padding-left: 20px; max-width: 92ch; } li { margin: 5px 0; }
.key { max-width: none; }
.key span { display: inline-block; margin-right: 22px; }
.key i { display: inline-block; width: 14px; height: 11px; border-radius: 2px; margin-right: 6px; }
code { font-size: 14px; }
"""


def cells(*texts, tag="td"):
    return "<tr>" + "".join(f"<{tag}>{t}</{tag}>" for t in texts) + "</tr>"


def sheet(head, rows):
    return '<div class="card"><table>' + (cells(*head, tag="th") if head else "") + "".join(rows) \
        + "</table></div>"


# ---- the top -------------------------------------------------------------------------------------


def heading(data):
    quick = " This is the quick run, with a fifth of the entries that the targets are stated for." \
        if data["quick"] else ""
    return f"""<h1>NorthstarDB beside other embedded stores</h1>
<p class="soft">{escape(data["date"])}, revision {escape(data["revision"])},
<code>{escape(data["command"])}</code></p>
<p>The same workloads, the same data and the same machine for every store:
{data["entries"]:,} entries of a 16-byte random key and a 100-byte value. The stores took turns
within each round; a warm-up round was dropped; figures are medians of {data["count_of_rounds"]}
rounds, and the thin lines run from the lowest to the highest of them.{quick}</p>"""


def tiles(figures):
    counts = judge.tally(figures)
    compared = counts["ahead"] + counts["level"] + counts["behind"]
    judged = counts["met"] + counts["missed"]
    shown = (("ahead", counts["ahead"], f"of {compared} rows ahead of every peer"),
             ("level", counts["level"], "rows level with the best peer, within 3%"),
             ("behind", counts["behind"], "rows behind at least one peer"),
             ("", f"{counts['met']} / {judged}", "rows with a target that meet it"))
    return '<div class="tiles">' + "".join(
        f'<div class="card"><b class="{style}">{value}</b>{words}</div>'
        for style, value, words in shown) + "</div>"


def warnings(data):
    words = [f"A part of this run failed: {failure}" for failure in data["failures"]]
    if "Others at work" in data["machine"]:
        words.append("Other programs were at work on this machine. The stores took turns, so the "
                     "ratios still mean something; the figures themselves are too low.")
    if " tmpfs" in " " + data["machine"]["File system"]:
        words.append("The data was on tmpfs, where a durable commit costs nothing.")
    return "".join(f'<p class="missed"><b>{escape(w)}</b></p>' for w in words)


def behind(figures):
    rows = [row for row in ROWS if judge.standing(figures, row) == "behind"]
    if not rows:
        return "<h2>Where a peer is ahead</h2><p>Nowhere in this run.</p>"
    items = "".join(f"<li><b>{escape(row.title)}</b>. {escape(judge.sentence(figures, row))}</li>"
                    for row in rows)
    return f"<h2>Where a peer is ahead</h2><ul>{items}</ul>"


# ---- the rows ------------------------------------------------------------------------------------


def badge(figures, row):
    place, by = judge.standing(figures, row), judge.ratio(figures, row)
    if place is None:
        return ""
    if place == "level" or by is None:
        return f'<span class="badge {place}">{place}</span>'
    words = judge.factor_text(by if by >= 1 else 1 / by)
    return f'<span class="badge {place}">{words} {place}</span>'


def targets(figures, row):
    parts = []
    for words, met in judge.judge_targets(figures, row):
        state = {True: ("met", "met"), False: ("missed", "missed")}.get(met, ("soft", "not known"))
        parts.append(f'{escape(words)} <b class="{state[0]}">{state[1]}</b>')
    return f"<p>Target: {'; '.join(parts)}</p>" if parts else ""


def card(figures, row):
    note = f'<p class="soft">{escape(row.note)}</p>' if row.note else ""
    direction = "more is better" if row.better == "more" else "less is better"
    unit = {"x": "times", "x data": "times the data"}.get(row.unit, row.unit)
    return f"""<div class="card"><div class="top"><h3>{escape(row.title)}</h3>
{badge(figures, row)}</div><p class="soft">{escape(unit)}, {direction}</p>
{charts.bars(figures, row)}<p>{escape(judge.sentence(figures, row))}</p>
{targets(figures, row)}{note}</div>"""


def sections(figures):
    parts = []
    for section in SECTIONS:
        rows = [r for r in ROWS if r.section == section and figures.stores(r.id)]
        if rows:
            cards = "".join(card(figures, row) for row in rows)
            parts.append(f'<h2>{escape(section)}</h2><div class="grid">{cards}</div>')
    return "".join(parts)


KEY = """<p class="key soft"><span><i style="background:var(--ours)"></i>NorthstarDB</span>
<span><i style="background:var(--history)"></i>with history: NorthstarDB with the history it keeps
by default</span>
<span><i style="background:var(--best)"></i>best peer</span>
<span><i style="background:var(--peer)"></i>other peers</span>
<span><i style="background:var(--limit);height:2px;vertical-align:middle"></i>limit of the
machine</span></p>"""


# ---- the tables ----------------------------------------------------------------------------------


def limits(figures):
    rows = []
    for name, title, unit in LIMITS:
        value = figures.median(name, judge.LIMITS)
        if value is None:
            continue
        low, high = (judge.number(v, unit) for v in figures.spread(name, judge.LIMITS))
        rows.append(cells(escape(title), f"{judge.number(value, unit)} {unit}", f"{low} to {high}"))
    if not rows:
        return ""
    return "<h2>Limits of the machine</h2><p>Measured without any database, in the same rounds." \
        "</p>" + sheet(("", "median", "range"), rows)


def history(figures):
    rows = [cells(escape(row.title), f"{100 * share:.0f}%",
                  '<b class="met">met</b>' if met else '<b class="missed">missed</b>')
            for row, share, met in judge.judge_history(figures)]
    if not rows:
        return ""
    return "<h2>What the default history costs</h2><p>NorthstarDB keeps a replayable log by " \
        "default; the other figures are without it, since no peer keeps one. Target: at least " \
        "85% of the figure without history.</p>" \
        + sheet(("", "of the figure without", "target"), rows)


def settings(data):
    rows = [cells(f"<b>{escape(s['title'])}</b> {escape(s['version'])}", escape(s["settings"]),
                  escape(s["reason"])) for s in data["stores"].values()]
    return "<h2>Settings</h2><p>Everything else is as the store ships it.</p>" \
        + sheet(("store", "settings", "reason"), rows)


def machine(data):
    facts = dict(data["machine"])
    facts["Data in"] = data["directory"]
    if "minutes" in data:
        facts["Whole run"] = f"{data['minutes']} minutes"
    rows = [cells(escape(name), escape(fact)) for name, fact in facts.items()]
    return "<h2>Machine</h2>" + sheet(None, rows)


METHOD = """<h2>How it was measured, and what it cannot say</h2><ul>
<li>Each group of workloads is a process of its own. Within a round the stores run a group one
directly after another, in an order that turns from round to round; before each process the file
system is synced. No store was measured in a better hour than another.</li>
<li>All stores answered the reads with the same bytes: checksums of what was read are compared
between the stores, and a difference fails the run.</li>
<li>Everything fits in memory. A data set larger than memory would rank the stores
differently.</li>
<li>"Does not wait for the disk" means each store's fastest setting. NorthstarDB, LMDB, SQLite,
RocksDB and LevelDB lose nothing in it when only the process dies; WiredTiger may.</li>
<li>Before the reads each store could bring its files into its best order: a checkpoint, or a full
compaction for RocksDB and LevelDB. That time is not counted. It favours the log-structured
stores, as do small data sets, much of which fits in their 64 MiB write buffers.</li>
<li>NorthstarDB verifies a page when a process first touches it; RocksDB and WiredTiger verify a
block when they read it into their caches; LevelDB's check at every read is left off; LMDB and
SQLite have no checksums.</li>
<li>RocksDB and LevelDB are called through their C interfaces. For LevelDB that is one allocation
and one copy for a get, as in C++.</li>
<li>Noise: spreads of 10 to 20% are normal on a virtual machine, and the disk may be shared.
Where two ranges overlap the report says so. Ratios travel to other machines better than
figures, and neither replaces a measurement of your own workload.</li></ul>"""


def page(figures, data):
    parts = [heading(data), warnings(data), tiles(figures), "<h2>At a glance</h2><p>NorthstarDB "
             "against the best peer of each row, whichever that is.</p>"
             f'<div class="card">{charts.overview(figures)}</div>', behind(figures), KEY,
             sections(figures), limits(figures), history(figures), settings(data), machine(data),
             METHOD]
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>NorthstarDB beside other embedded stores</title><style>{STYLE}</style></head>
<body><main>{"".join(parts)}</main></body></html>
"""
