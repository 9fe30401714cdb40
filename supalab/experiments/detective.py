"""Detective: find the conditions under which all numbers of the article's table are true at once.

The table has four numbers before and four after the change. A hypothesis is two arms, each under conditions of its own,
that the article could have measured (``data/hypotheses.csv``). It explains a number if its arm shows it within a factor
of 1.5; the limit must be equal. Over a long round trip the lab sees a request only while it serves it, so "at once"
is the client's count.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from supalab.experiments import Experiment
from supalab.experiments.claims import FAR_RTT_S, QUICK_NOTE, burst, bursts, far
from supalab.experiments.claims_rules import REQUESTS, Evidence, NotSeen, near
from supalab.measure.case import Case, Workload
from supalab.measure.record import Record, each
from supalab.measure.run import Plan
from supalab.report.format import duration, listed, number, stated
from supalab.report.plot import INK, MARGIN_IN, MUTED, WIDTH_IN, sheet
from supalab.report.table import Cell, Column, Content, Table
from supalab.shipped import shipped_text

NAME, ABOUT = "detective", "under which conditions the article's numbers are all true at once"
#: What a quick run divides times by, and the requests of its bursts at 150 ms.
QUICK_SCALE, QUICK_REQUESTS = 2.0, 60
#: The article's response time after, and its throughput.
NEAR_S, OPEN_RATE = 0.15, 20.0
SEEN_BY = (
    "At once: the arm's limit, and the most slots that were in use. The client counts them, because over a long round "
    "trip the lab counts a request only while it serves it. Response: from slot to response, without queue time."
)
#: How numbers are drawn that fit, and those that do not: edge, face and sign.
LOOKS = {True: ("#1d4f91", "#e3ebf5", "✓"), False: ("#b3446c", "#f7e9ef", "✕")}
ROW_IN, LEFT_IN = 0.56, 3.95


class Stated(NamedTuple):
    """A number of the article's table, before and after: its name in the evidence, and its form there and here."""

    name: str
    here: Callable[[float], str]
    there: Callable[[float], str]
    numbers: tuple[float, float]


#: The article's table, in seconds and requests per second.
ARTICLE: Mapping[str, Stated] = {
    "at once": Stated("limit", number, number, (3.0, 10.0)),
    "response": Stated("response_s", duration, stated, (0.45, 0.15)),
    "throughput": Stated("per_s", "{:.1f}/s".format, "{:g}/s".format, (6.7, 20.0)),
    "100 requests": Stated("total_s", duration, stated, (15.0, 5.0)),
}
NUMBERS = 2 * len(ARTICLE)


def hypotheses() -> list[Any]:
    """Return the hypotheses: ``letter``, ``said``, ``means``, and the arms ``before`` and ``after``.

    ``means``: what else must then be true, so that the reader can judge how likely it is.
    """
    return list(each(pd.read_csv(io.StringIO(shipped_text("data", "hypotheses.csv")))))


def plan(*, quick: bool = False) -> Plan:
    """Run bursts at 450 ms, over a long round trip and at 150 ms, and requests that arrive one by one, near and far.

    ``quick``: a shorter server time and round trip and fewer requests; the numbers are scaled back.
    """
    scale = QUICK_SCALE if quick else 1.0
    yield from burst(quick, ("fake-3", "fake-10", "article-10"))
    yield from far(quick, ("fake-3", "session-3", "real-3", "real-10"), QUICK_SCALE)
    load = Workload(QUICK_REQUESTS if quick else REQUESTS, NEAR_S / scale)
    yield from bursts("near", ("fake-3", "real-10"), load, scale)
    way = {"rtt": FAR_RTT_S / scale, "tls": True}
    yield from _open("open", ("real-10",), NEAR_S / scale, {}, scale)
    yield from _open("open-far", ("fake-3", "session-10", "real-10"), 0.0, way, scale)


def _open(experiment: str, arms: Sequence[str], latency: float, conditions: Mapping[str, Any], scale: float) -> Plan:
    """Yield requests that arrive 20 per second, whether or not others have a response."""
    rate, tags = OPEN_RATE * scale, {"experiment": experiment, "scale": scale}
    for name in arms:
        # Three threads that open a connection for each request fall behind: they take three times as long.
        options = {"rate": rate, "seconds": REQUESTS / rate * (3 if name == "fake-3" else 1)}
        yield Case(name, Workload(REQUESTS, latency), conditions=conditions, tags=tags, options=options)


def cells(record: Record) -> pd.DataFrame:
    """Return a row for each hypothesis and number of the table: the article's, the one here, and whether it fits.

    A hypothesis whose arms were not measured without errors is left out.
    """
    evidence, rows = Evidence.of(record.trials), list[dict[str, Any]]()
    for one in hypotheses():
        with suppress(NotSeen):
            rows += [_cell(one, evidence, when, figure) for when in ("before", "after") for figure in ARTICLE]
    return pd.DataFrame(rows, columns=["letter", "said", "means", "figure", "when", "fits", "text", "stated"])


def _cell(one: Any, e: Evidence, when: str, figure: str) -> dict[str, Any]:
    article, arm = ARTICLE[figure], getattr(one, when)
    value, claimed = e(f"{arm}.{article.name}"), article.numbers[when == "after"]
    fits, text = near(value, claimed), article.here(value)
    if article.name == "limit":
        # The article's number is a limit: the limit and the slots in use are shown separately.
        used = e(f"{arm}.at_once")
        fits, text = value == claimed, text if used == value else f"{text}, {used} used"
    said = {"letter": one.letter, "said": one.said, "means": one.means, "figure": figure, "when": when}
    return {**said, "fits": fits, "text": text, "stated": article.there(claimed)}


def _matrix(record: Record) -> list[pd.DataFrame]:
    """Return the cells of each hypothesis."""
    return [mine for _, mine in cells(record).groupby("letter")]


def _best(every: Sequence[pd.DataFrame]) -> tuple[int, list[pd.DataFrame]]:
    """Return the highest number of explained numbers, and the hypotheses that reach it."""
    best = max((int(mine["fits"].sum()) for mine in every), default=0)
    return best, [mine for mine in every if mine["fits"].sum() == best]


def _sentence(mine: pd.DataFrame) -> str:
    """Say what one hypothesis explains and what it does not."""
    one, missed = mine.iloc[0], each(mine[~mine["fits"]])
    said = f"{one.letter} ({one.said}) explains {mine['fits'].sum()} of {len(mine)} numbers"
    but = "; ".join(f"{cell.figure} {cell.when}: {cell.text}, not {cell.stated}" for cell in missed)
    return f"{said}, but not {but}." if but else f"{said}."


def headline(record: Record) -> str:
    """Say under which hypotheses all of the article's numbers are true."""
    most, best = _best(_matrix(record))
    if most == NUMBERS:
        letters = listed((mine["letter"].iloc[0] for mine in best), "or")
        return f"All of the article's numbers at once: only in {letters}"
    return f"No hypothesis has all of the article's numbers at once: {most} of {NUMBERS} at best"


def solution(record: Record) -> str:
    """Say in sentences which hypotheses explain everything; if none does, which come nearest and what they miss."""
    every = _matrix(record)
    if not every:
        return "No hypothesis could be tested: nothing was measured without errors."
    most, best = _best(every)
    if most < NUMBERS:
        return " ".join([f"In none of {len(every)} hypotheses are all numbers true at once.", *map(_sentence, best)])
    named = "; ".join(f"{one.letter}, {one.said} ({one.means})" for one in (mine.iloc[0] for mine in best))
    others = [NUMBERS - int(mine["fits"].sum()) for mine in every if not mine["fits"].all()]
    rest = f" Each of the others misses at least {min(others)}." if others else ""
    how_many = "one hypothesis" if len(best) == 1 else f"{len(best)} hypotheses"
    return f"All {NUMBERS} numbers are true at once in {how_many}: {named}.{rest}"


def notes(record: Record) -> list[str]:
    """Say the solution, how things were counted, and how it was measured."""
    return [solution(record), SEEN_BY, *([QUICK_NOTE] if record.asked.get("quick") else [])]


def table(record: Record) -> Table:
    """Return the matrix of hypotheses and numbers, before and after."""
    columns = [Column("hypothesis", wide=True), Column("", width=6), *(Column(name, width=13) for name in ARTICLE)]
    article = [[Cell(f"  {one.there(claimed)}") for claimed in one.numbers] for one in ARTICLE.values()]
    rows: list[list[Content]] = [["the article", [Cell("before"), Cell("after")], *article]]
    for mine in _matrix(record):
        fits = Cell(f"{mine['fits'].sum()}/{len(mine)}", "good" if mine["fits"].all() else "dim")
        words = [Cell(f"\n{mine['letter'].iloc[0]}  {mine['said'].iloc[0]}"), fits]
        marked = [Cell(f"{LOOKS[one.fits][2]} {one.text}", "good" if one.fits else "bad") for one in each(mine)]
        pairs = zip(marked[: len(ARTICLE)], marked[len(ARTICLE) :], strict=True)
        numbers = [[Cell(f"\n{before.text}", before.style), after] for before, after in pairs]
        rows.append([words, [Cell("\nbefore"), Cell("after")], *numbers])
    return Table(columns, rows, headline=headline(record), notes=notes(record))


def compared(record: Record) -> dict[str, float]:
    """Return response and throughput of each arm in each experiment."""
    return {
        f"{where}: {name}": float(numbers[number])
        for where, numbers in Evidence.of(record.trials).numbers.items()
        for name, number in (("response, s", "response_s"), ("rate, /s", "per_s"))
    }


def figure(record: Record) -> Figure:
    """Draw a row for each hypothesis and a column for each number, before and after; the article's own are on top."""
    every = _matrix(record)
    size = "fewer requests, times scaled back" if record.asked.get("quick") else "measured at full size"
    about = f"{len(every)} hypotheses against the article's table, {size}; a tick: within a factor of 1.5"
    words = ["The matrix of hypotheses.", solution(record), *map(_sentence, every)]
    with sheet(
        headline(record), about, words, (1, 1), ROW_IN * (len(every) + 2), head_in=0.95, foot_in=0.12, left=0.0,
        right=1.0,
    ) as (fig, [ax]):  # fmt: skip
        # In inches from its top left, so that words keep their size; a row of the grid is a row of the matrix.
        ax.set(xlim=(0, WIDTH_IN), ylim=(len(every) + 2, 0))
        ax.axis("off")
        _words(ax, MARGIN_IN, 1.5, "the article", fontsize=11, fontweight="bold")
        for row, mine in enumerate(every, 2):
            _draw_row(ax, row, mine)
    return fig


def _words(ax: Axes, x: float, row: float, said: str, **how: Any) -> None:
    ax.text(x, row, said, **{"color": INK, "va": "center", **how})


def _draw_row(ax: Axes, row: int, mine: pd.DataFrame) -> None:
    """Draw one hypothesis and its numbers; above the first one, what the columns are."""
    whole = {"color": LOOKS[True][0], "fontweight": "bold"} if mine["fits"].all() else {"color": MUTED}
    _words(ax, MARGIN_IN, row + 0.5, mine["letter"].iloc[0], fontsize=13, fontweight="bold")
    _words(ax, 0.5, row + 0.32, mine["said"].iloc[0], fontsize=9.6)
    _words(ax, 0.5, row + 0.73, f"{mine['fits'].sum()} of {len(mine)} numbers", fontsize=9.2, **whole)
    width = (WIDTH_IN - LEFT_IN - 0.3) / len(mine)
    for column, cell in enumerate(each(mine)):
        x = LEFT_IN + column * width + 0.12 * (cell.when == "after")
        if row == 2:
            _words(ax, x + 0.06, 0.25, cell.when * (column % len(ARTICLE) == 0), fontsize=11.5, fontweight="bold")
            _words(ax, x + 0.06, 0.75, cell.figure, fontsize=8.6, color=MUTED)
            _words(ax, x + 0.06, 1.5, cell.stated, fontsize=10.5, fontweight="bold")
        edge, face, sign = LOOKS[cell.fits]
        ax.add_patch(Rectangle((x + 0.02, row + 0.07), width - 0.04, 0.86, facecolor=face, edgecolor="none"))
        _words(ax, x + 0.07, row + 0.5, sign, fontsize=12, fontweight="bold", color=edge, family="DejaVu Sans")
        _words(ax, x + 0.24, row + 0.5, cell.text.replace(", ", "\n"), fontsize=9.2, linespacing=1.05)


EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, notes, table, {NAME: figure}, compared, quick={"quick": True})
detective = EXPERIMENT.run
