"""Compare the article's table with a race: each number as stated, as measured here, and with the fair control."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from statistics import mean
from typing import NamedTuple

from supalab.errors import TrialError
from supalab.experiments.claims import catalogue
from supalab.measure.case import Trial
from supalab.measure.record import Record
from supalab.report.format import duration, size
from supalab.report.table import Table

__all__ = ["compare_with_article", "total_time_of"]

#: The article's total time is that of so many requests.
BURST = 100


class Number(NamedTuple):
    """One row: its name, the article's claims about it, how to compute it from a trial, how to write it."""

    what: str
    claim: str
    of: Callable[[Trial], float]
    shown: Callable[[float], str]


def total_time_of(trial: Trial, requests: int) -> float:
    """Return the seconds of a burst of another size by arithmetic: each of its waves is as long as those measured."""
    waves, more = (ceil(n / min(trial.limit, n)) for n in (trial.workload.requests, requests))
    return trial.makespan_s / waves * more


NUMBERS = (
    Number("most in flight", "table-concurrent", lambda trial: trial["peak"], "{:.0f}".format),
    Number("service time", "table-response", lambda trial: mean(s.service or 0.0 for s in trial.answered), duration),
    Number("queue + service time", "", lambda trial: trial["latency_mean_s"], duration),
    Number("requests per second", "table-throughput", lambda trial: trial["per_s"], "{:.3g}".format),
    Number(f"{BURST} requests *", "table-total", lambda trial: total_time_of(trial, BURST), duration),
    Number("process memory", "table-memory", lambda trial: trial["base_bytes"] + trial["added_bytes"], size),
)


def compare_with_article(
    found: Record, *, before: str = "fake-3", control: str = "fake-10", after: str = "article-10"
) -> Table:
    """Return the article's table with two more columns: measured here, and with the fair control instead of "before".

    Of repeats, numbers are means. Memory is that of the whole process. Raises TrialError for an arm that did not run,
    and for a race that no lab witnessed or in which memory was not measured.
    """
    runs = [found.of(arm) for arm in (before, control, after)]
    if any(trial.get("peak") is None or trial.get("added_bytes") is None for arm in runs for trial in arm):
        raise TrialError("the article's table needs what a lab saw, and memory: run race(…, lab=lab) with these arms")
    rows = []
    for one in NUMBERS:
        old, fair, new = (mean(one.of(trial) for trial in arm) for arm in runs)
        rows.append([one.what, _claimed(one), _change(old, new, one.shown), _change(fair, new, one.shown)])
    titles = ["", "the article", f"here\n{before} → {after}", f"fair control\n{control} → {after}"]
    return Table(titles, rows, notes=["* Computed here from the waves of the burst that was measured."])


def _claimed(one: Number) -> str:
    scale = {"ms": 0.001, "MB": 1e6}
    claims = {claim.id: claim for claim in catalogue()}
    ends = [claims[name] for end in ("before", "after") if (name := f"{one.claim}-{end}") in claims]
    values = [claim.figure * scale.get(claim.unit, 1.0) for claim in ends if claim.figure is not None]
    return _change(values[0], values[1], one.shown) if len(values) == 2 else "-"


def _change(before: float, after: float, shown: Callable[[float], str]) -> str:
    if not before or not after:
        return f"{shown(before)} → {shown(after)}"
    ratio = after / before
    # 0.98 is no division: rounded, it is the same.
    times = f"\N{MULTIPLICATION SIGN}{ratio:.1f}" if round(ratio, 1) >= 1 else f"÷{1 / ratio:.1f}"
    return f"{shown(before)} → {shown(after)} ({times})"
