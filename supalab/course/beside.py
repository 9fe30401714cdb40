"""The article's table beside a race: trials go in, a row for each of its figures comes out, with the fair control.

The article's figures are read from the claims' table, those from here are computed from the trials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

from supalab.errors import TrialError
from supalab.experiments.claims import catalogue
from supalab.measure.case import Trial
from supalab.measure.record import Record
from supalab.measure.workload import Workload
from supalab.report.format import duration, size
from supalab.report.table import Column, Table, html, text

__all__ = ["Beside", "Row", "beside_the_article", "makespan_of"]

#: What the article counts its seconds for.
BURST = 100
NONE = "-"
#: A notebook without HTML shows the columns side by side all the same.
WIDE = 140
TIMES = "\N{MULTIPLICATION SIGN}"

Number = Callable[[Trial], float]
Shown = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, before and after: the article's, ours, and ours with the fair control in place of "before"."""

    what: str
    article: str
    here: str
    control: str


@dataclass(frozen=True, slots=True)
class Beside:
    """The whole table; shows itself in a notebook. ``arms``: before, control, after."""

    rows: tuple[Row, ...]
    arms: tuple[str, str, str]

    @property
    def titles(self) -> tuple[str, str, str, str]:
        """The heads of the columns."""
        before, control, after = self.arms
        return "", "the article", f"here: {before} → {after}", f"fair control: {control} → {after}"

    def _table(self) -> Table:
        rows = [(row.what, row.article, row.here, row.control) for row in self.rows]
        return Table([Column(title) for title in self.titles], rows)

    def __str__(self) -> str:
        return text(self._table(), WIDE)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": html(self._table()), "text/plain": str(self)}


def beside_the_article(
    found: Record, *, before: str = "fake-3", control: str = "fake-10", after: str = "article-10"
) -> Beside:
    """Return the article's table with a second column from this race, and a third that has the control.

    Of repeats, figures are means. Memory is that of the whole process. Raises TrialError for an arm that did not run,
    and for a race that no lab witnessed or in which memory was not measured.
    """
    runs = {arm: found.of(arm) for arm in (before, control, after)}
    if any(trial.get("peak") is None or trial.get("added_bytes") is None for arm in runs.values() for trial in arm):
        raise TrialError("the article's table needs what a lab saw, and memory: run race(…, lab=lab) with these arms")
    rows = []
    for what, claim, number, shown in _figures():
        old, fair, new = (mean(number(trial) for trial in runs[arm]) for arm in (before, control, after))
        rows.append(Row(what, _claimed(claim, shown), _change(old, new, shown), _change(fair, new, shown)))
    return Beside(tuple(rows), (before, control, after))


def _figures() -> tuple[tuple[str, str, Number, Shown], ...]:
    """What to compare: its name, the article's claims about it, how to compute it, how to write it."""
    return (
        (
            "most in flight",
            "table-concurrent",
            lambda trial: trial["peak"],
            "{:.0f}".format,
        ),
        ("one request, being served", "table-response", lambda t: mean(s.service or 0.0 for s in t.answered), duration),
        ("one request, with its wait", "", lambda trial: mean(span.latency for span in trial.answered), duration),
        ("requests per second", "table-throughput", lambda trial: trial["per_s"], "{:.3g}".format),
        (f"{BURST} requests (computed)", "table-total", lambda trial: makespan_of(trial, BURST), duration),
        ("memory of the process", "table-memory", lambda t: t["base_bytes"] + t["added_bytes"], size),
    )


def makespan_of(trial: Trial, requests: int) -> float:
    """Return the seconds of a burst of another size, by arithmetic: its rounds, each as long as those measured."""
    per_round = trial.makespan_s / _rounds(trial.workload.requests, trial.limit)
    return per_round * _rounds(requests, trial.limit)


def _rounds(requests: int, limit: int) -> int:
    return -(-requests // Workload(requests).width(limit))


def _claimed(claim: str, shown: Shown) -> str:
    figures = {one.id: one for one in catalogue()}
    ends = [figures.get(f"{claim}-{end}") for end in ("before", "after")]
    scale = {"ms": 0.001, "MB": 1e6}
    known = [one.figure * scale.get(one.unit, 1.0) for one in ends if one is not None and one.figure is not None]
    return _change(known[0], known[1], shown) if len(known) == 2 else NONE


def _change(before: float, after: float, shown: Shown) -> str:
    if not before or not after:
        return f"{shown(before)} → {shown(after)}"
    ratio = after / before
    # 0.98 is no division: rounded, it is the same.
    times = f"{TIMES} {ratio:.1f}" if round(ratio, 1) >= 1 else f"÷ {1 / ratio:.1f}"
    return f"{shown(before)} → {shown(after)}  ({times})"
