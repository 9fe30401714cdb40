"""Memory: how many bytes a client holds while its requests are in flight.

Each kind of client is measured once in each of several fresh processes, while all its requests wait for responses. The
lab checks this: a reading with fewer requests in flight is unreliable and is marked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import mean
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from supalab.clients.arms import arm
from supalab.errors import SettingsError
from supalab.experiments import Experiment
from supalab.measure.case import Case, Trial
from supalab.measure.record import Record, each
from supalab.measure.run import Plan, checked_names, checked_repeat, rotated
from supalab.measure.workload import Workload
from supalab.report.format import listed, size
from supalab.report.lines import against, lines_of
from supalab.report.plot import describe_on, foot, head, panel_title, sheet
from supalab.report.table import Table

__all__ = ["EXPERIMENT", "cells", "compared", "figure", "headline", "memory", "notes", "plan", "table"]

NAME = "memory"
KINDS = ("fake", "article", "real")
IN_FLIGHT = (10, 100, 500, 1_000)
REPEAT, MOST = 5, 4_000
#: The responses must not come before the last request is on its way: seconds to start, and to send each.
FIRST_S, EACH_S, TRIES = 0.6, 0.003, 3
#: The coefficient of variation that memory should not exceed.
GOAL = 0.05
WHAT = "Memory held while all requests are in flight, in all and per request, one line for each client."


def plan(kinds: Sequence[str] = KINDS, in_flight: Sequence[int] = IN_FLIGHT, *, repeat: int = REPEAT) -> Plan:
    """Each kind of client with each number of requests in flight, ``repeat`` times, each time in a fresh process.

    Where the machine was too slow for all to be in flight together, it is read again with twice the server time. Raises
    SettingsError for values that cannot work.
    """
    checked_repeat(repeat)
    if not in_flight or any(isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST for n in in_flight):
        raise SettingsError(
            f"in flight {in_flight!r} is not a list of whole numbers from 1 to {MOST}: use e.g. 10, 100"
        )
    if "blocking" in checked_names("kinds", kinds, KINDS):
        raise SettingsError("a blocking client has one request in flight, never more: leave it out")
    arms = [arm(f"{kind}-{number}") for number in sorted(set(in_flight)) for kind in kinds]
    for turn in range(repeat):
        for one in rotated(arms, turn):
            for attempt in range(TRIES):
                latency = (FIRST_S + EACH_S * one.limit) * 2**attempt
                trial = yield Case(one.name, Workload(one.limit, latency), "held", turn)
                if trial is None or _sound(trial):
                    break


def _sound(trial: Trial) -> bool:
    seen = {"peak": trial.case.limit, "answered": 0, "at_rest": True, **trial.numbers}
    return bool(seen["peak"] == trial.case.limit and not seen["answered"] and seen["at_rest"])


def cells(found: Record) -> pd.DataFrame:
    """Return a row for each client and number in flight: the bytes that its processes held, ascending.

    ``variation`` is their coefficient of variation, NaN for a single process; ``uss_variation`` that of the plain
    unique set size.
    """
    rows = found.rows.assign(sound=list(map(_sound, found.trials)))
    rows = rows.drop_duplicates(["arm", "repeat"], keep="last")  # a second try replaces the first
    seen = rows.groupby(["kind", "limit"], sort=False, as_index=False).agg(
        mean=("held_bytes", "mean"), low=("held_bytes", "min"), high=("held_bytes", "max"), sd=("held_bytes", "std"),
        uss=("uss_bytes", "mean"), uss_sd=("uss_bytes", "std"), n=("repeat", "size"), peak=("peak", "min"),
        answered=("answered", "max"), sound=("sound", "all"),
    )  # fmt: skip
    seen = seen.assign(variation=seen["sd"] / seen["mean"], uss_variation=seen["uss_sd"] / seen["uss"])
    return seen.assign(kb=seen["mean"] / seen["limit"] / 1000).sort_values("limit", kind="stable")


def headline(found: Record) -> str:
    """Say what the clients hold at the largest number in flight."""
    if not found.trials:
        return "Memory was not measured"
    seen = cells(found)
    most = seen["limit"].max()
    held = [f"{cell.kind} {size(cell.mean)}" for cell in each(seen[seen["limit"] == most])]
    return f"{most:,} requests in flight: {listed(held)}"


def notes(found: Record) -> list[str]:
    """Say what one more request takes, where clients do not differ, how much repeats vary, and what is unreliable."""
    if not found.trials:
        return ["No process was read."]
    seen = cells(found)
    return [*_each_more(seen), *_differences(seen), *_spread(seen), *map(_unsound, each(seen[~seen["sound"]]))]


def _each_more(seen: pd.DataFrame) -> Iterator[str]:
    ends = seen.groupby("kind", sort=False)[["mean", "limit"]].agg(["first", "last"])
    more = ends["mean", "last"] - ends["mean", "first"], ends["limit", "last"] - ends["limit", "first"]
    said = [f"{kind} {held / 1000:.0f} KB" for kind, held in (more[0] / more[1]).dropna().items()]
    if said:
        span = f"from {seen['limit'].min():,} to {seen['limit'].max():,}"
        yield f"Each additional request in flight, {span}, takes {listed(said)}."


def _differences(seen: pd.DataFrame) -> Iterator[str]:
    """Overlapping repeats are no difference, and a single process shows none."""
    if seen["n"].max() < 2:
        yield "One process of each was read, so no difference is above noise."
        return
    numbers = {number: list(each(seen[seen["limit"] == number])) for number in seen["limit"].unique()}
    pairs = [pair for mine in numbers.values() for pair in combinations(mine, 2)]
    alike = [
        f"{a.kind} and {b.kind} at {a.limit:,} in flight"
        for a, b in pairs
        if (a.low <= b.high and b.low <= a.high) or min(a.n, b.n) < 2
    ]
    if alike:
        yield f"No difference: {'; '.join(alike)} (their repeats overlap)."
    elif pairs:
        yield "All clients differ at every number in flight: their repeats never overlap."
    orders: dict[str, list[str]] = {}
    for number, mine in numbers.items():
        order = " < ".join(cell.kind for cell in sorted(mine, key=lambda cell: float(cell.mean)))
        orders.setdefault(order, []).append(f"{number:,}")
    if len(orders) > 1:
        said = "; ".join(f"{order} at {listed(at)}" for order, at in orders.items())
        yield f"Which client holds least depends on the number in flight: {said}."


def _spread(seen: pd.DataFrame) -> Iterator[str]:
    if seen["variation"].isna().all():
        return
    worst = seen.nlargest(1, "variation").iloc[0]
    above = [f"{cell.kind} at {cell.limit:,}" for cell in each(seen[seen["variation"] > GOAL])]
    verdict = f"above the goal of {GOAL:.0%}: {listed(above)}" if above else f"the goal is {GOAL:.0%}"
    yield (
        f"Coefficient of variation over {seen['n'].max()} processes: at most {worst['variation']:.1%} "
        f"({worst['kind']} at {worst['limit']:,}; {verdict}). With the clean pages of program files, which count only "
        f"while nothing else that runs shares them, it would be {seen['uss_variation'].max():.1%}."
    )


def _unsound(cell: Any) -> str:
    together = f"at most {cell.peak:,} were in flight together"
    return (
        f"{cell.kind} at {cell.limit:,}: not reliable, {together} and {cell.answered:,} were answered when it was read."
    )


def table(found: Record) -> Table:
    """Return megabytes with their standard deviation, and kilobytes each: a row for each number in flight."""
    every = list(each(cells(found))) if found.trials else []
    kinds, numbers = ({getattr(cell, name): None for cell in every} for name in ("kind", "limit"))
    megabytes = {(cell.kind, cell.limit): _megabytes(cell) for cell in every}
    kilobytes = {(cell.kind, cell.limit): f"{cell.kb:.0f}" for cell in every}
    parts = [(texts, kind) for texts in (megabytes, kilobytes) for kind in kinds]
    rows = [[f"{number:,}", *(texts.get((kind, number), "") for texts, kind in parts)] for number in numbers]
    titles = [f"{kind}\n{unit}" for unit in ("MB ± sd", "KB each") for kind in kinds]
    return Table(["in\nflight", *titles], rows, headline=headline(found), notes=notes(found))


def _megabytes(cell: Any) -> str:
    """Mean and standard deviation; a question mark where not all were in flight."""
    sd = f" ± {cell.sd / 1e6:.2f}" if cell.n > 1 else ""
    return f"{cell.mean / 1e6:.2f}{sd}{'' if cell.sound else ' ?'}"


def figure(found: Record, *, fig: Figure | None = None) -> Figure:
    """Draw megabytes against requests in flight, and kilobytes for each; draws on ``fig`` if one is given.

    A point is the mean of the processes, the bar through it reaches from the lowest to the highest. A hollow point is a
    cell whose requests were not all in flight together.
    """
    rows, every = found.rows, list(each(cells(found))) if found.trials else []
    if every:
        rows = rows.drop_duplicates(["arm", "repeat"], keep="last").sort_values("limit", kind="stable")
        rows = rows.assign(mb=rows["held_bytes"] / 1e6, kb=rows["held_bytes"] / rows["limit"] / 1e3)
    hollow = {(cell.kind, cell.limit) for cell in every if not cell.sound}
    with sheet((1, 2), 3.45, fig=fig, foot_in=1.1, wspace=0.15) as (fig, (held, of_one)):
        panel_title(held, "Memory held", "megabytes above the process without a client")
        panel_title(of_one, "Memory per request", "kilobytes for each request in flight")
        for ax, unit in ((held, "mb"), (of_one, "kb")):
            lines = lines_of(rows, "limit", unit)
            against(ax, lines, "requests in flight at once", log=ax is held, middle=mean, hollow=hollow)
        again = f"mean of {found.repeats} fresh processes" if found.repeats > 1 else "one fresh process for each point"
        about = f"Memory that no other process shares, read once while all wait for their responses; {again}"
        head(fig, headline(found), about)
        foot(fig, "\n".join([note for note in notes(found) if note.startswith("Each additional")] + [_marks(every)]))
    clients = {cell.kind: [one for one in every if one.kind == cell.kind] for cell in every}
    said = [f"{kind}: {', '.join(map(_at, mine))}." for kind, mine in clients.items()]
    describe_on(fig, " ".join([WHAT, *said, *notes(found)]))
    return fig


def _at(cell: Any) -> str:
    return f"{size(cell.mean)} at {cell.limit:,} ({cell.kb:.0f} KB per request)"


def _marks(every: Sequence[Any]) -> str:
    """What the marks of the figure mean."""
    worst = max((cell.variation for cell in every if cell.n > 1), default=0.0)
    spread = f"Bars from the lowest to the highest process; coefficient of variation at most {worst:.1%}."
    return " ".join(
        [spread] * bool(worst) + ["Hollow: not all were in flight together."] * any(not cell.sound for cell in every)
    )


def compared(found: Record) -> dict[str, float]:
    """Return the megabytes of each client at each number in flight."""
    every = sorted(each(cells(found)), key=lambda cell: found.arms.index(f"{cell.kind}-{found.trials[0].case.limit}"))
    return {f"{cell.kind}, {cell.limit} in flight: MB": cell.mean / 1e6 for cell in every}


EXPERIMENT = Experiment(
    name=NAME,
    about="memory held with 10 to 1,000 requests in flight",
    plan=plan,
    headline=headline,
    notes=notes,
    tables=table,
    figures={NAME: figure},
    compared=compared,
    full={"repeat": REPEAT},
    quick={"repeat": 2, "in_flight": (10, 100, 500)},
)
memory = EXPERIMENT.run
