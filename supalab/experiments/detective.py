"""Detective: find the conditions under which all numbers of the article's table are true at once.

The table has four numbers before and four after the change. A hypothesis is two arms, each under conditions of its own,
that the article could have measured. It explains a number if its arm shows it within a factor of 1.5; the limit must be
the very number. Over a distance the lab sees a request only while it serves it, so "at once" is the client's count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from supalab.experiments import Experiment
from supalab.experiments.claims import FAR_RTT_S, burst, bursts, far
from supalab.experiments.claims_rules import REQUESTS, Evidence, NotSeen, near
from supalab.lab.handle import Lab
from supalab.measure.case import Case, Workload
from supalab.measure.record import Record, each
from supalab.measure.run import Plan, Progress
from supalab.report.format import duration, number, stated
from supalab.report.plot import INK, MUTED, WIDTH_IN, sheet
from supalab.report.table import Cell, Column, Content, Table

__all__ = [
    "ARTICLE", "EXPERIMENT", "HYPOTHESES", "Hypothesis", "cells", "detective", "figure", "headline", "notes", "plan",
    "solution", "table",
]  # fmt: skip

NAME = "detective"
QUICK, QUICK_NEAR = 2.0, 60
NEAR_S, OPEN_RATE = 0.15, 20.0
#: The article's table: before and after; seconds and requests per second.
ARTICLE: Mapping[str, tuple[float, float]] = {
    "at once": (3.0, 10.0),
    "response": (0.45, 0.15),
    "throughput": (6.7, 20.0),
    "100 requests": (15.0, 5.0),
}
#: Of each: its name in the evidence, how it is written here, and how in the article.
READ: Mapping[str, tuple[str, Callable[[float], str], Callable[[float], str]]] = {
    "at once": ("limit", number, number),
    "response": ("response_s", duration, stated),
    "throughput": ("per_s", "{:.1f}/s".format, "{:g}/s".format),
    "100 requests": ("total_s", duration, stated),
}
SEEN_BY = (
    "At once: the arm's limit, and how many slots were used at most, as the client counts them, because over a "
    "distance the lab counts a request only while it serves it. Response: from slot to response, without queue time."
)
#: How a number that fits is drawn, and one that does not: edge, face and sign.
LOOKS = {True: ("#1d4f91", "#e3ebf5", "✓"), False: ("#b3446c", "#f7e9ef", "✕")}
ROW_IN, LEFT_IN = 0.56, 3.95


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What could have happened: its letter, and the experiment and arm of its two columns.

    ``means``: what else must then be so, for the reader to judge how likely it is.
    """

    letter: str
    said: str
    before: str
    after: str
    means: str


HYPOTHESES = (
    Hypothesis("A", "limit 3 to 10, 450 ms at the server", "burst fake-3", "burst article-10", "the limit did it all"),
    Hypothesis("B", "limit 3 to 10, still threads", "burst fake-3", "burst fake-10", "async had no part in it"),
    Hypothesis(
        "C", "connections reused, the same three threads", "far fake-3", "far session-3",
        "a Session would have done it, and ten were never in flight",
    ),
    Hypothesis(
        "D", "connections reused by async, limit still 3", "far fake-3", "far real-3", "ten were never in flight",
    ),
    Hypothesis("E", "connections reused, limit 10, one burst", "far fake-3", "far real-10", "reuse and limit multiply"),
    Hypothesis("F", "150 ms at the server, plain HTTP", "near fake-3", "near real-10", "the server was never slow"),
    Hypothesis(
        "G", "a burst at 450 ms, later 20 per second at 150 ms", "burst fake-3", "open real-10",
        "the server itself became three times as fast, and the 100 requests arrived one by one",
    ),
    Hypothesis(
        "H", "20 per second, connections reused, limit 10", "open-far fake-3", "open-far real-10",
        "each request saves two round trips of three; the arrival rate decides, not the limit",
    ),
    Hypothesis(
        "I", "the same as H with a Session in ten threads", "open-far fake-3", "open-far session-10",
        "as H, and async had no part in it",
    ),
)  # fmt: skip


def detective(*, lab: Lab | None = None, progress: Callable[[Progress], None] | None = None, **asked: Any) -> Record:
    """Measure what every hypothesis needs and return the record; ``asked`` and errors as in ``plan`` and ``run``."""
    return EXPERIMENT.run(lab=lab, progress=progress, **asked)


def plan(*, quick: bool = False) -> Plan:
    """Bursts at 450 ms, over a distance and at 150 ms, and requests that arrive one by one, near and far.

    ``quick``: server time, round trip and number of requests in small; the numbers are scaled back.
    """
    scale = QUICK if quick else 1.0
    yield from burst(quick, ("fake-3", "fake-10", "article-10"))
    yield from far(quick, ("fake-3", "session-3", "real-3", "real-10"), QUICK)
    load = Workload(QUICK_NEAR if quick else REQUESTS, NEAR_S / scale)
    yield from bursts("near", ("fake-3", "real-10"), load, scale)
    yield from _open("open", ("real-10",), NEAR_S / scale, {}, scale)
    yield from _open(
        "open-far", ("fake-3", "session-10", "real-10"), 0.0, {"rtt": FAR_RTT_S / scale, "tls": True}, scale
    )


def _open(experiment: str, arms: Sequence[str], latency: float, conditions: Mapping[str, Any], scale: float) -> Plan:
    """Requests that arrive 20 per second, whether others are answered or not."""
    rate, tags = OPEN_RATE * scale, {"experiment": experiment, "scale": scale}
    for name in arms:
        # Three threads that open a connection for each request fall behind: they take three times as long.
        options = {"rate": rate, "seconds": REQUESTS / rate * (3 if name == "fake-3" else 1)}
        yield Case(name, Workload(REQUESTS, latency), "arrive", 0, conditions, tags, options)


def cells(found: Record) -> pd.DataFrame:
    """Return a row for each hypothesis and number of the table: the article's, the one here, whether it fits.

    A hypothesis whose arms were not measured without errors is left out.
    """
    evidence = Evidence.of(found.trials)
    rows: list[dict[str, Any]] = []
    for one in HYPOTHESES:
        try:
            rows += list(_cells(one, evidence))
        except NotSeen:
            continue
    return pd.DataFrame(rows, columns=["letter", "said", "means", "figure", "when", "fits", "text", "stated"])


def _cells(one: Hypothesis, e: Evidence) -> Iterator[dict[str, Any]]:
    for at, (when, arm) in enumerate((("before", one.before), ("after", one.after))):
        for figure, (name, here, article) in READ.items():
            value, claimed = e(f"{arm}.{name}"), ARTICLE[figure][at]
            fits, text = near(value, claimed), here(value)
            if name == "limit":
                # The article's number is a limit: what it allows and what was used are told apart.
                used = e(f"{arm}.at_once")
                fits, text = value == claimed, text if used == value else f"{text}, {used} used"
            said = {"letter": one.letter, "said": one.said, "means": one.means, "figure": figure, "when": when}
            yield {**said, "fits": fits, "text": text, "stated": article(claimed)}


def _sentence(mine: pd.DataFrame) -> str:
    """What one hypothesis explains and what not."""
    one, missed = mine.iloc[0], each(mine[~mine["fits"]])
    said = f"{one.letter} ({one.said}) explains {mine['fits'].sum()} of {len(mine)} numbers"
    but = "; ".join(f"{cell.figure} {cell.when}: {cell.text}, not {cell.stated}" for cell in missed)
    return f"{said}, but not {but}." if but else f"{said}."


def headline(found: Record) -> str:
    """Say under which hypotheses all of the article's numbers are true."""
    explained = cells(found).groupby("letter")["fits"].sum()
    *most, last = ["", *explained.index[explained == 2 * len(ARTICLE)]]
    if last:
        return f"All of the article's numbers at once: only in {', '.join(most[1:])}{' or ' * bool(most[1:])}{last}"
    best = explained.max() if len(explained) else 0
    return f"No hypothesis has all of the article's numbers at once: {best} of {2 * len(ARTICLE)} at best"


def solution(found: Record) -> str:
    """Say in sentences which hypotheses explain everything, and if none does, which come nearest and what they miss."""
    every, numbers = cells(found), 2 * len(ARTICLE)
    explained = every.groupby("letter")["fits"].sum()
    if not len(explained):
        return "No hypothesis could be tested: nothing was measured without errors."
    best = [every[every["letter"] == letter] for letter in explained.index[explained == explained.max()]]
    if explained.max() < numbers:
        return " ".join(
            [f"In none of {len(explained)} hypotheses are all numbers true at once.", *map(_sentence, best)]
        )
    named = "; ".join(f"{one.letter}, {one.said} ({one.means})" for one in (mine.iloc[0] for mine in best))
    others = explained[explained < numbers]
    rest = f" Each of the others misses at least {numbers - others.max()}." if len(others) else ""
    how_many = "one hypothesis" if len(best) == 1 else f"{len(best)} hypotheses"
    return f"All {numbers} numbers are true at once in {how_many}: {named}.{rest}"


def notes(found: Record) -> list[str]:
    """Say the solution, how things were counted, and how it was measured."""
    small = f"Quick: fewer requests and shorter times; the numbers are scaled back (x {QUICK:g}), so trust ratios."
    return [solution(found), SEEN_BY, *[small] * bool(found.asked.get("quick"))]


def table(found: Record) -> Table:
    """Return the matrix of hypotheses and numbers, before and after."""
    columns = [Column("hypothesis", wide=True), Column("", width=6), *(Column(name, width=13) for name in ARTICLE)]
    article = [[Cell(f"  {form(claimed)}") for claimed in ARTICLE[figure]] for figure, (_, _, form) in READ.items()]
    rows: list[list[Content]] = [["the article", [Cell("before"), Cell("after")], *article]]
    for letter, mine in cells(found).groupby("letter"):
        fits = f"{mine['fits'].sum()}/{len(mine)}"
        words = [Cell(f"\n{letter}  {mine['said'].iloc[0]}"), Cell(fits, "good" if mine["fits"].all() else "dim")]
        marked = [Cell(f"{LOOKS[one.fits][2]} {one.text}", "good" if one.fits else "bad") for one in each(mine)]
        pairs = zip(marked[: len(ARTICLE)], marked[len(ARTICLE) :], strict=True)
        numbers = [[Cell(f"\n{before.text}", before.style), after] for before, after in pairs]
        rows.append([words, [Cell("\nbefore"), Cell("after")], *numbers])
    return Table(columns, rows, headline=headline(found), notes=notes(found))


def compared(found: Record) -> dict[str, float]:
    """Return response and throughput of each arm in each experiment."""
    return {
        f"{where}: {name}": float(numbers[number])
        for where, numbers in Evidence.of(found.trials).numbers.items()
        for name, number in (("response, s", "response_s"), ("rate, /s", "per_s"))
    }


def figure(found: Record, *, fig: Figure | None = None) -> Figure:
    """Draw a row for each hypothesis and a column for each number, before and after; the article's own stand on top.

    Draws on ``fig`` if one is given.
    """
    every = [mine for _, mine in cells(found).groupby("letter")]
    size = "measured in small, times scaled back" if found.asked.get("quick") else "measured at full size"
    about = f"{len(every)} hypotheses against the article's table, {size}; a tick: within a factor of 1.5"
    words = ["The matrix of hypotheses.", solution(found), *map(_sentence, every)]
    with sheet(
        headline(found), about, words, (1, 1), ROW_IN * (len(every) + 2), fig=fig, head_in=0.95, foot_in=0.12,
        left=0.0, right=1.0,
    ) as (fig, [ax]):  # fmt: skip
        # In inches from its top left, so that words keep their size; a row of the grid is a row of the matrix.
        ax.set(xlim=(0, WIDTH_IN), ylim=(len(every) + 2, 0))
        ax.axis("off")
        _words(ax, 16 / 72, 1.5, "the article", fontsize=11, fontweight="bold")
        for row, mine in enumerate(every, 2):
            _draw_row(ax, row, mine)
    return fig


def _words(ax: Axes, x: float, row: float, said: str, **how: Any) -> None:
    ax.text(x, row, said, **{"color": INK, "va": "center", **how})


def _draw_row(ax: Axes, row: int, mine: pd.DataFrame) -> None:
    """Draw one hypothesis and its numbers; above the first one, what the columns are."""
    whole = {"color": LOOKS[True][0], "fontweight": "bold"} if mine["fits"].all() else {"color": MUTED}
    _words(ax, 16 / 72, row + 0.5, mine["letter"].iloc[0], fontsize=13, fontweight="bold")
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


EXPERIMENT = Experiment(
    name=NAME,
    about="under which conditions the article's numbers are all true at once",
    plan=plan,
    headline=headline,
    notes=notes,
    tables=table,
    figures={"detective": figure},
    compared=compared,
    quick={"quick": True},
)
