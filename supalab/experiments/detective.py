"""Detective: under which conditions are all numbers of the article's table true at once?

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
from supalab.measure.case import Case
from supalab.measure.record import Record, each
from supalab.measure.run import Plan, Progress
from supalab.measure.workload import Workload
from supalab.report.format import duration, number, stated
from supalab.report.plot import INK, MUTED, WIDTH_IN, describe_on, head, sheet
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
SEEN_BY = (
    "At once: the arm's limit, and how many of it were ever used, as the client has it, since over a distance the lab "
    "counts a request only while it serves it. Response: from slot to answer, without the wait for a slot."
)
FITS, MISSES = ("#1d4f91", "#e3ebf5"), ("#b3446c", "#f7e9ef")
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
    Hypothesis("B", "limit 3 to 10, threads kept", "burst fake-3", "burst fake-10", "async had no part in it"),
    Hypothesis(
        "C", "connections kept, the same three threads", "far fake-3", "far session-3",
        "a Session would have done it, and ten were never in flight",
    ),
    Hypothesis(
        "D", "connections kept by async, limit still 3", "far fake-3", "far real-3", "ten were never in flight",
    ),
    Hypothesis("E", "connections kept, limit 10, one burst", "far fake-3", "far real-10", "reuse and limit multiply"),
    Hypothesis("F", "150 ms at the server, plain HTTP", "near fake-3", "near real-10", "the server was never slow"),
    Hypothesis(
        "G", "a burst at 450 ms, later 20 a second at 150 ms", "burst fake-3", "open real-10",
        "the server itself became three times as fast meanwhile, and 100 callers came one by one",
    ),
    Hypothesis(
        "H", "20 callers a second, connections kept, limit 10", "open-far fake-3", "open-far real-10",
        "each request lost two round trips of three; the callers, who come one by one, set the rate, not the limit",
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
        limit, used = e(f"{arm}.limit"), e(f"{arm}.at_once")
        response, per_s, total = (e(f"{arm}.{name}") for name in ("response_s", "per_s", "total_s"))
        # The article's number is a limit: what it allows and what was used are told apart.
        at_once = f"{limit}" if used == limit else f"{limit}, {used} used"
        seen = {
            "at once": (limit == ARTICLE["at once"][at], at_once, number),
            "response": (near(response, ARTICLE["response"][at]), duration(response), stated),
            "throughput": (near(per_s, ARTICLE["throughput"][at]), f"{per_s:.1f}/s", lambda value: f"{value:g}/s"),
            "100 requests": (near(total, ARTICLE["100 requests"][at]), duration(total), stated),
        }
        for figure, (fits, text, form) in seen.items():
            said = {"letter": one.letter, "said": one.said, "means": one.means, "figure": figure, "when": when}
            yield {**said, "fits": fits, "text": text, "stated": form(ARTICLE[figure][at])}


def _sentence(cells: pd.DataFrame) -> str:
    """What one hypothesis explains and what not."""
    one, missed = cells.iloc[0], each(cells[~cells["fits"]])
    said = f"{one.letter} ({one.said}) explains {cells['fits'].sum()} of {len(cells)} numbers"
    but = "; ".join(f"{cell.figure} {cell.when}: {cell.text}, not {cell.stated}" for cell in missed)
    return f"{said}{f', but not {but}' if but else ''}."


def headline(found: Record) -> str:
    """Say under which hypotheses all of the article's numbers are true."""
    explained = cells(found).groupby("letter")["fits"].sum()
    whole = [str(letter) for letter, number in explained.items() if number == 2 * len(ARTICLE)]
    if whole:
        either = " or ".join(part for part in (", ".join(whole[:-1]), whole[-1]) if part)
        return f"All of the article's numbers at once: only in {either}"
    most = explained.max() if len(explained) else 0
    return f"No hypothesis has all of the article's numbers at once: {most} of {2 * len(ARTICLE)} at best"


def solution(found: Record) -> str:
    """Say in sentences which hypotheses explain everything, and if none does, which come nearest and what they miss."""
    every = dict(list(cells(found).groupby("letter")))
    if not every:
        return "No hypothesis could be tested: nothing was measured without errors."
    explained = {letter: int(mine["fits"].sum()) for letter, mine in every.items()}
    whole = [mine.iloc[0] for letter, mine in every.items() if explained[letter] == len(mine)]
    numbers = 2 * len(ARTICLE)
    if not whole:
        best = [_sentence(mine) for letter, mine in every.items() if explained[letter] == max(explained.values())]
        return " ".join([f"In none of {len(every)} hypotheses are all numbers true at once.", *best])
    named = "; ".join(f"{one.letter}, {one.said} ({one.means})" for one in whole)
    others = [count for count in explained.values() if count < numbers]
    rest = f" Each of the others misses at least {numbers - max(others)}." if others else ""
    how_many = "one hypothesis" if len(whole) == 1 else f"{len(whole)} hypotheses"
    return f"All {numbers} numbers are true at once in {how_many}: {named}.{rest}"


def notes(found: Record) -> list[str]:
    """Say the solution, how things were counted, and how it was measured."""
    small = f"Quick: fewer requests and shorter times; the numbers are scaled back (x {QUICK:g}), so trust ratios."
    return [solution(found), SEEN_BY, *[small] * bool(found.asked.get("quick"))]


def table(found: Record) -> Table:
    """Return the matrix of hypotheses and numbers, before and after."""
    columns = [Column("hypothesis", wide=True), Column("", width=6), *(Column(name, width=13) for name in ARTICLE)]
    every = cells(found)
    times = [Cell("before"), Cell("after")]
    article = every.drop_duplicates(["figure", "when"]).groupby("figure", sort=False)
    rows: list[list[Content]] = [
        ["the article", times, *([Cell(f"  {said}") for said in one["stated"]] for _, one in article)]
    ]
    for letter, mine in every.groupby("letter"):
        fits = int(mine["fits"].sum())
        words = [
            Cell(f"\n{letter}  {mine['said'].iloc[0]}"),
            Cell(f"{fits}/{len(mine)}", "good" if fits == len(mine) else "dim"),
        ]
        pairs = [_pair(list(each(one))) for _, one in mine.groupby("figure", sort=False)]
        rows.append([words, [Cell("\nbefore"), Cell("after")], *pairs])
    return Table(columns, rows, headline=headline(found), notes=notes(found))


def _pair(found: Sequence[Any]) -> list[Cell]:
    marks = [f"{'✓' if cell.fits else '✕'} {cell.text}" for cell in found]
    styles = ["good" if cell.fits else "bad" for cell in found]
    return [Cell(f"\n{marks[0]}", styles[0]), Cell(marks[1], styles[1])]


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
    every = cells(found)
    letters = list(dict.fromkeys(every["letter"]))
    with sheet((1, 1), ROW_IN * (len(letters) + 2), fig=fig, head_in=0.95, foot_in=0.12, left=0.0, right=1.0) as (
        fig,
        [ax],
    ):
        # In inches from its top left, so that words keep their size.
        ax.set(xlim=(0, WIDTH_IN), ylim=((len(letters) + 2) * ROW_IN, 0))
        ax.axis("off")
        _draw_numbers(ax, every, letters)
        _words(ax, 16 / 72, 1.5, "the article", fontsize=11, fontweight="bold")
        for row, letter in enumerate(letters, 2):
            mine = every[every["letter"] == letter]
            all_fit = bool(mine["fits"].all())
            _words(ax, 16 / 72, row + 0.5, letter, fontsize=13, fontweight="bold")
            _words(ax, 0.5, row + 0.32, mine["said"].iloc[0], fontsize=9.6)
            _words(
                ax, 0.5, row + 0.73, f"{mine['fits'].sum()} of {len(mine)} numbers", fontsize=9.2,
                color=FITS[0] if all_fit else MUTED, fontweight="bold" if all_fit else "normal",
            )  # fmt: skip
        size = "measured in small, times scaled back" if found.asked.get("quick") else "measured at full size"
        about = f"{len(letters)} hypotheses against the article's table, {size}; a tick: within a factor of 1.5"
        head(fig, headline(found), about)
    said = [_sentence(mine) for _, mine in every.groupby("letter")]
    describe_on(fig, " ".join(["The matrix of hypotheses.", solution(found), *said]))
    return fig


def _words(ax: Axes, x: float, row: float, said: str, **how: Any) -> None:
    ax.text(x, row * ROW_IN, said, **{"color": INK, "va": "center", **how})


def _draw_numbers(ax: Axes, every: pd.DataFrame, letters: Sequence[str]) -> None:
    width = (WIDTH_IN - LEFT_IN - 0.3) / (2 * len(ARTICLE))
    columns = [(when, figure) for when in ("before", "after") for figure in ARTICLE]
    for column, (when, figure) in enumerate(columns):
        x = LEFT_IN + column * width + 0.12 * (when == "after")
        if figure == columns[0][1]:
            _words(ax, x + 0.06, 0.25, when, fontsize=11.5, fontweight="bold")
        _words(ax, x + 0.06, 0.75, figure, fontsize=8.6, color=MUTED)
        mine = every[(every["when"] == when) & (every["figure"] == figure)]
        for cell in each(mine):
            row = letters.index(cell.letter) + 2
            if row == 2:
                _words(ax, x + 0.06, 1.5, cell.stated, fontsize=10.5, fontweight="bold")
            _draw_cell(ax, cell, x, row * ROW_IN, width)


def _draw_cell(ax: Axes, cell: Any, x: float, y: float, width: float) -> None:
    edge, pale = FITS if cell.fits else MISSES
    ax.add_patch(Rectangle((x + 0.02, y + 0.04), width - 0.04, ROW_IN - 0.08, facecolor=pale, edgecolor="none"))
    # A tick or a cross as a line of its own: fonts differ in whether they have the signs.
    cx, cy = x + 0.13, y + ROW_IN / 2
    if cell.fits:
        ax.plot([cx - 0.045, cx - 0.01, cx + 0.055], [cy, cy + 0.05, cy - 0.06], color=edge, linewidth=2)
    else:
        for slope in (-1, 1):
            ax.plot([cx - 0.045, cx + 0.045], [cy - 0.05 * slope, cy + 0.05 * slope], color=edge, linewidth=2)
    _words(ax, x + 0.24, cy / ROW_IN, cell.text.replace(", ", "\n"), fontsize=9.2, linespacing=1.05)


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
