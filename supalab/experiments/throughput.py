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

NAME, ABOUT = "throughput", "throughput against the limit, 3 to 400"
KINDS = ("fake", "session", "kept", "real")
LIMITS = (3, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 400)
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
    kinds: Sequence[str] = KINDS, limits: Sequence[int] = LIMITS, *, latency: float = 0.1, repeat: int = 1
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


def lines(record: Record) -> Mapping[str, pd.Series[float]]:
    """Return requests per second by limit, for each kind of client; medians of the repeats."""
    kinds = record.rows.groupby("kind", sort=False)
    return {str(kind): mine.groupby("limit")["per_s"].median() for kind, mine in kinds}


def best(line: pd.Series[float]) -> int:
    """Return a client's best limit: the smallest whose throughput is within ``NEAR`` of the highest."""
    return int(line[line >= (1 - NEAR) * line.max()].index.min())


def still_growing(line: pd.Series[float]) -> bool:
    """Return whether the best limit is the largest that was run; then the peak may be higher."""
    return best(line) == int(line.index.max())


def ideal(record: Record, limit: int) -> float:
    """Return the requests per second if only the server time took time."""
    return limit / float(record.asked["latency"])


def headline(record: Record) -> str:
    """Say each client's best limit."""
    said = [f"{kind} {best(line)}{' or more' if still_growing(line) else ''}" for kind, line in lines(record).items()]
    return f"The best limit: {listed(said)}"


def notes(record: Record) -> list[str]:
    """Say each client's best limit and throughput there, what more slots do, and what was left out or failed."""
    cpus = record.machine.get("cpus", "?")
    shared = f"Client and lab shared {cpus} processors: with more processors, the peaks move."
    every = [_sentence(record, kind, line) for kind, line in lines(record).items()]
    return [*every, *record.remarks, *failures(record), shared]


def _sentence(record: Record, kind: str, line: pd.Series[float]) -> str:
    top, last = best(line), int(line.index.max())
    share = line[top] / ideal(record, top)
    said = f"{kind}: best at {top} in flight with {line[top]:,.0f} requests/s, {share:.0%} of the ideal there"
    if still_growing(line):
        return f"{said}; it was still growing, so the peak may be at a higher limit."
    if line[last] < (1 - NEAR) * line[top]:
        return f"{said}; at {last} it is down to {line[last]:,.0f} requests/s."
    return f"{said}; more slots, up to {last}, add nothing."


def table(record: Record) -> Table:
    """Return throughput by limit and client, with a star at each client's best limit."""
    every = lines(record)
    rows = [
        [str(limit), *(_cell(line, limit) for line in every.values()), f"{ideal(record, limit):,.0f}"]
        for limit in sorted({trial.limit for trial in record.trials})
    ]
    titles = ["limit", *(f"{kind}\nrequests/s" for kind in every), "ideal"]
    return Table(titles, rows, headline=headline(record), notes=notes(record))


def _cell(line: pd.Series[float], limit: int) -> str:
    return f"{line[limit]:,.0f}{'*' if best(line) == limit else ' '}" if limit in line else ""


def compared(record: Record) -> dict[str, float]:
    """Return each client's best limit and its highest throughput."""
    limits = {f"{kind}: best limit": float(best(line)) for kind, line in lines(record).items()}
    return limits | {f"{kind}: most requests/s": float(line.max()) for kind, line in lines(record).items()}


def figure(record: Record) -> Figure:
    """Draw throughput and CPU time against the limit, one line for each client, with a star at its best limit.

    A point is the median of the repeats; the bar through it reaches from the lowest to the highest.
    """
    every, rows = lines(record), record.rows
    low, high = rows["limit"].min(), rows["limit"].max()
    ticks = [limit for limit in sorted(set(rows["limit"])) if limit in {*TICKS, low, high}]
    stars = {kind: best(line) for kind, line in every.items()}
    names = {kind: f", best {stars[kind]}{'+' if still_growing(line) else ''}" for kind, line in every.items()}
    load = f"as many callers as the limit, each request {duration(record.asked['latency'])} at the server"
    shared = f"client and lab on {record.machine.get('cpus', '?')} processors"
    about = f"Closed loop: {load}; {runs(record.repeats)}; {shared}"
    words = [WHAT, *notes(record)]
    with sheet(
        headline(record), about, words, (1, 2), 3.5, foot=FOOT, foot_in=1.42, width_ratios=(6, 4.4), wspace=0.17
    ) as (fig, (rate, cpu)):  # fmt: skip
        panel_title(rate, "Throughput", "answered requests per second; dotted: if only server time counted")
        panel_title(cpu, "CPU time per request", "milliseconds of the client's process")
        against(rate, rows, "per_s", "concurrency limit", ticks=ticks, stars=stars, notes=names)
        against(cpu, rows, "cpu_ms", "concurrency limit", ticks=ticks)
        rate.plot([low, high], [ideal(record, low), ideal(record, high)], ":", color=MUTED, linewidth=1.6, zorder=1)
    return fig


EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, notes, table, {NAME: figure}, compared, quick=QUICK)
throughput = EXPERIMENT.run
