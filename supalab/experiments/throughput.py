"""Throughput against the limit: find up to which limit more slots help.

As many closed-loop callers as the limit send the next request after each response; connections are opened before the
measurement. A client that gets slower gets fewer requests, so that a trial stays short, or is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import pandas as pd
from matplotlib.figure import Figure

from supalab.clients.arms import arm
from supalab.errors import SettingsError
from supalab.experiments import Experiment
from supalab.measure.case import Case, Workload
from supalab.measure.record import Record, failures
from supalab.measure.run import Plan, checked_names, checked_repeat, rotated
from supalab.report.format import duration, listed, runs
from supalab.report.plot import MUTED, against, panel_title, sheet
from supalab.report.table import Table

__all__ = ["EXPERIMENT", "at_its_end", "best", "ideal", "lines", "plan", "requests_for", "throughput"]

NAME, ABOUT = "throughput", "throughput against the limit, 3 to 400"
KINDS = ("fake", "session", "kept", "real")
LIMITS = (3, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 400)
LATENCY_S = 0.1
#: A limit is as good as the best if its throughput is within this part of the highest.
NEAR = 0.05
# A trial takes about so long, but uses each slot several times, because the first and the last wave are not full; a
# slow client uses each slot fewer times, and if even that takes too long, it is left out.
TRIAL_S, LONG_S, MOST_S = 2.0, 4.0, 8.0
ROUNDS, FEWEST_ROUNDS = 5, 2
QUICK = {"repeat": 1, "limits": (3, 10, 30, 100, 300)}
TICKS = (3, 5, 10, 20, 30, 50, 100, 200, 400)
WHAT = "Requests per second against the concurrency limit, with each client's best limit, and CPU time per request."

FOOT = (
    f"Star: the smallest limit whose throughput is within {NEAR:.0%} of the client's highest; +: it still grew at the "
    "largest limit.\nfake, session: requests in threads; kept: httpx over its own pool, keep-alive for all "
    "connections; real: SupabaseAsync.\nA line that ends early: the client had become too slow for the next limit."
)


def plan(
    kinds: Sequence[str] = KINDS, limits: Sequence[int] = LIMITS, *, latency: float = LATENCY_S, repeat: int = 1
) -> Plan:
    """Run each kind of client at each limit, ascending, ``repeat`` times; the rate at one limit sizes the next trial.

    Raises SettingsError for values that cannot work.

    Args:
        kinds: kinds of client, separated by commas
        limits: limits, separated by commas
        latency: seconds that the server takes for a request (0.45 in the article)
        repeat: trials of each, taking turns
    """
    checked_repeat(repeat)
    if not Workload(1, latency).latency:
        raise SettingsError("latency 0: there is no ideal to compare with, use e.g. 0.1")
    numbers = sorted(set(limits))
    if not numbers:
        raise SettingsError(f"limits {limits!r} is empty: use e.g. 3, 10, 30")
    for kind, limit in product(checked_names("kinds", kinds, KINDS), numbers):
        arm(f"{kind}-{limit}")
    out: dict[str, int] = {}
    for turn in range(repeat):
        pace: dict[str, tuple[int, float]] = {}
        for place, limit in enumerate(numbers):
            for kind in rotated(kinds, place):
                requests, seconds = requests_for(limit, latency, pace.get(kind))
                if limit >= out.get(kind, limit + 1):
                    continue
                if seconds > MOST_S:
                    out[kind] = limit
                    slow = f"it had become too slow (two rounds: {seconds:.0f} s)."
                    yield f"{kind} was left out at {listed(numbers[place:])}: {slow}"
                    continue
                load = Workload(requests, latency, callers=limit)
                trial = yield Case(f"{kind}-{limit}", load, repeat=turn, options={"warm_up": limit})
                pace[kind] = (limit, max(trial["per_s"] if trial else 0.0, 0.1))


def requests_for(limit: int, latency: float, pace: tuple[int, float] | None) -> tuple[int, float]:
    """Return how many requests make a trial of about ``TRIAL_S`` seconds, and how long they should take.

    ``pace``: the previous limit and the requests per second there. The estimate assumes that throughput grows no more
    than the limit and by no more than half; it may fall.
    """
    per_s = limit / latency
    if pace is not None:
        per_s = min(per_s, pace[1] * min(limit / pace[0], 1.5))
    rounds = ROUNDS if ROUNDS * limit / per_s < LONG_S else FEWEST_ROUNDS
    requests = max(rounds * limit, round(TRIAL_S * per_s))
    return requests, requests / per_s


def lines(found: Record) -> Mapping[str, pd.Series[float]]:
    """Return requests per second by limit, for each kind of client; medians of the repeats."""
    kinds = found.rows.groupby("kind", sort=False)
    return {str(kind): mine.groupby("limit")["per_s"].median() for kind, mine in kinds}


def best(one: pd.Series[float]) -> int:
    """Return a client's best limit: the smallest whose throughput is within ``NEAR`` of the highest."""
    return int(one[one >= (1 - NEAR) * one.max()].index.min())


def at_its_end(one: pd.Series[float]) -> bool:
    """Return whether the best limit is the largest that was run; then the peak may be higher."""
    return best(one) == int(one.index.max())


def ideal(found: Record, limit: int) -> float:
    """Return the requests per second if only the server time took time."""
    return limit / float(found.asked["latency"])


def headline(found: Record) -> str:
    """Say each client's best limit."""
    said = [f"{kind} {best(one)}{' or more' * at_its_end(one)}" for kind, one in lines(found).items()]
    return f"The best limit: {listed(said)}"


def notes(found: Record) -> list[str]:
    """Say each client's best limit and throughput there, what more slots do, and what was left out or failed."""
    shared = f"Client and lab shared {found.machine.get('cpus', '?')} processors: with more processors, the peaks move."
    return [*(_said(found, kind, one) for kind, one in lines(found).items()), *found.remarks, *failures(found), shared]


def _said(found: Record, kind: str, one: pd.Series[float]) -> str:
    top, last = best(one), int(one.index.max())
    share = one[top] / ideal(found, top)
    said = f"{kind}: best at {top} in flight with {one[top]:,.0f} requests/s, {share:.0%} of the ideal there"
    if at_its_end(one):
        return f"{said}; it was still growing, so the peak may be at a higher limit."
    if one[last] < (1 - NEAR) * one[top]:
        return f"{said}; at {last} it is down to {one[last]:,.0f} requests/s."
    return f"{said}; more slots, up to {last}, add nothing."


def table(found: Record) -> Table:
    """Return throughput by limit and client, with a star at each client's best limit."""
    every = lines(found)
    rows = [
        [str(limit), *(_cell(one, limit) for one in every.values()), f"{ideal(found, limit):,.0f}"]
        for limit in sorted({trial.limit for trial in found.trials})
    ]
    titles = ["limit", *(f"{kind}\nrequests/s" for kind in every), "ideal"]
    return Table(titles, rows, headline=headline(found), notes=notes(found))


def _cell(one: pd.Series[float], limit: int) -> str:
    return f"{one[limit]:,.0f}{'*' if best(one) == limit else ' '}" if limit in one else ""


def compared(found: Record) -> dict[str, float]:
    """Return each client's best limit and its highest throughput."""
    limits = {f"{kind}: best limit": float(best(one)) for kind, one in lines(found).items()}
    return limits | {f"{kind}: most requests/s": float(one.max()) for kind, one in lines(found).items()}


def figure(found: Record) -> Figure:
    """Draw throughput and CPU time against the limit, one line for each client, with a star at its best limit.

    A point is the median of the repeats; the bar through it reaches from the lowest to the highest.
    """
    every, rows = lines(found), found.rows
    low, high = rows["limit"].min(), rows["limit"].max()
    ticks = [limit for limit in sorted(set(rows["limit"])) if limit in {*TICKS, low, high}]
    names = {kind: f", best {best(one)}{'+' * at_its_end(one)}" for kind, one in every.items()}
    stars = {kind: best(one) for kind, one in every.items()}
    closed = f"Closed loop: as many callers as the limit, each request {duration(found.asked['latency'])} at the server"
    shared = f"client and lab on {found.machine.get('cpus', '?')} processors"
    about = f"{closed}; {runs(found.repeats)}; {shared}"
    words = [WHAT, *notes(found)]
    with sheet(
        headline(found), about, words, (1, 2), 3.5, foot=FOOT, foot_in=1.42, width_ratios=(6, 4.4), wspace=0.17
    ) as (fig, (rate, cpu)):  # fmt: skip
        panel_title(rate, "Throughput", "answered requests per second; dotted: if only server time counted")
        panel_title(cpu, "CPU time per request", "milliseconds of the client's process")
        against(rate, rows, "per_s", "concurrency limit", ticks=ticks, stars=stars, notes=names)
        against(cpu, rows, "cpu_ms", "concurrency limit", ticks=ticks)
        rate.plot([low, high], [ideal(found, low), ideal(found, high)], ":", color=MUTED, linewidth=1.6, zorder=1)
    return fig


EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, notes, table, {NAME: figure}, compared, quick=QUICK)
throughput = EXPERIMENT.run
