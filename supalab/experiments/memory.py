"""Memory: measure how many bytes a client holds while its requests are in flight.

Each kind of client is measured once in each of several fresh processes, while all its requests wait for responses. The
lab checks this: a reading with fewer requests in flight is unreliable and is marked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from supalab.clients.arms import arm
from supalab.errors import SettingsError
from supalab.experiments import Experiment
from supalab.measure.case import Case, Trial, Workload
from supalab.measure.record import Record, each
from supalab.measure.run import Plan, checked_names, checked_repeat, rotated
from supalab.report.format import listed, runs, size
from supalab.report.plot import against, panel_title, sheet
from supalab.report.table import Table

NAME, ABOUT = "memory", "memory held with 10 to 1,000 requests in flight"
KINDS = ("fake", "article", "real")
IN_FLIGHT = (10, 100, 500, 1_000)
MOST = 4_000
QUICK = {"repeat": 2, "in_flight": (10, 100, 500)}
#: No response may come before the last request is sent: seconds to start, and to send each request.
FIRST_S, EACH_S, TRIES = 0.6, 0.003, 3
#: The coefficient of variation that memory should not exceed.
GOAL = 0.05
WHAT = "Memory held while all requests are in flight, in all and per request, one line for each client."
MARKS = "Bars from the lowest to the highest process. Hollow: not all were in flight together."


def plan(kinds: Sequence[str] = KINDS, in_flight: Sequence[int] = IN_FLIGHT, *, repeat: int = 5) -> Plan:
    """Run each kind of client with each number of requests in flight, ``repeat`` times, each time in a fresh process.

    If the machine was too slow for all requests to be in flight together, the reading is repeated with twice the server
    time. Raises SettingsError for values that cannot work.

    Args:
        kinds: kinds of client, separated by commas
        in_flight: numbers of requests in flight, separated by commas
        repeat: trials of each, taking turns
    """
    checked_repeat(repeat)
    if not in_flight or any(isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST for n in in_flight):
        raise SettingsError(
            f"in flight {in_flight!r} is not a list of whole numbers from 1 to {MOST:,}: use e.g. 10, 100"
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


def _readings(record: Record) -> pd.DataFrame:
    """Return every reading, ``sound`` or not, with MB, and KB per request; a second try replaces the first."""
    rows = record.rows.assign(sound=list(map(_sound, record.trials)))
    rows = rows.assign(mb=rows["held_bytes"] / 1e6, kb=rows["held_bytes"] / rows["limit"] / 1e3)
    return rows.drop_duplicates(["arm", "repeat"], keep="last")


def cells(record: Record) -> pd.DataFrame:
    """Return a row for each client and number in flight: the megabytes that its processes held, ascending.

    ``variation`` is their coefficient of variation, NaN for a single process.
    """
    seen = _readings(record).groupby(["kind", "limit"], sort=False, as_index=False).agg(
        mb=("mb", "mean"), low=("mb", "min"), high=("mb", "max"), sd=("mb", "std"), kb=("kb", "mean"),
        n=("repeat", "size"), peak=("peak", "min"), answered=("answered", "max"), sound=("sound", "all"),
    )  # fmt: skip
    return seen.assign(variation=seen["sd"] / seen["mb"]).sort_values("limit", kind="stable")


def headline(record: Record) -> str:
    """Say what the clients hold at the largest number in flight."""
    seen = cells(record)
    most = seen["limit"].max()
    held = [f"{cell.kind} {size(1e6 * cell.mb)}" for cell in each(seen[seen["limit"] == most])]
    return f"{most:,} requests in flight: {listed(held)}"


def notes(record: Record) -> list[str]:
    """Say what one more request takes, where clients do not differ, how much repeats vary, what is unreliable."""
    seen = cells(record)
    unsound = [
        f"{cell.kind} at {cell.limit:,}: not reliable, at most {cell.peak:,} were in flight together and "
        f"{cell.answered:,} were answered when it was read."
        for cell in each(seen[~seen["sound"]])
    ]
    return [*_each_more(seen), *_differences(seen), *_spread(seen), *unsound]


def _each_more(seen: pd.DataFrame) -> Iterator[str]:
    ends = seen.groupby("kind", sort=False)[["mb", "limit"]]
    more = ends.last() - ends.first()
    said = [f"{kind} {1000 * held:.0f} KB" for kind, held in (more["mb"] / more["limit"]).dropna().items()]
    if said:
        span = f"from {seen['limit'].min():,} to {seen['limit'].max():,}"
        yield f"Memory for each additional request in flight, {span}: {listed(said)}."


def _differences(seen: pd.DataFrame) -> Iterator[str]:
    """Say where clients differ: overlapping repeats show no difference, and neither does a single process."""
    if seen["n"].max() < 2:
        yield "One process of each was read, so no difference is above noise."
        return
    pairs = [(one, other) for one, other in combinations(each(seen), 2) if one.limit == other.limit]
    alike = [
        f"{one.kind} and {other.kind} at {one.limit:,} in flight"
        for one, other in pairs
        if (one.low <= other.high and other.low <= one.high) or min(one.n, other.n) < 2
    ]
    if alike:
        yield f"No difference: {'; '.join(alike)} (their repeats overlap)."
    elif pairs:
        yield "All clients differ at every number in flight: their repeats never overlap."
    orders = seen.sort_values("mb").groupby("limit")["kind"].agg(" < ".join)
    where = [f"{order} at {listed(f'{n:,}' for n in orders.index[orders == order])}" for order in orders.unique()]
    if len(where) > 1:
        yield f"Which client holds the least memory depends on the number in flight: {'; '.join(where)}."


def _spread(seen: pd.DataFrame) -> Iterator[str]:
    if seen["variation"].isna().all():
        return
    worst = seen.nlargest(1, "variation").iloc[0]
    above = [f"{cell.kind} at {cell.limit:,}" for cell in each(seen[seen["variation"] > GOAL])]
    verdict = f"above the goal of {GOAL:.0%}: {listed(above)}" if above else f"the goal is {GOAL:.0%}"
    most = f"{worst['variation']:.1%} ({worst['kind']} at {worst['limit']:,}; {verdict})"
    yield f"Coefficient of variation over {seen['n'].max()} processes: at most {most}."


def table(record: Record) -> Table:
    """Return megabytes with their standard deviation, and kilobytes per request; a row for each number in flight."""
    seen = cells(record)
    texts = {"MB ± sd": list(map(_megabytes, each(seen))), "KB each": [f"{kb:.0f}" for kb in seen["kb"]]}
    wide = seen.assign(**texts).pivot(index="limit", columns="kind", values=list(texts)).fillna("")
    columns = {f"{kind}\n{unit}": wide[unit, kind] for unit in texts for kind in map(str, seen["kind"].unique())}
    rows = [[f"{number:,}", *written] for number, *written in pd.DataFrame(columns).itertuples()]
    return Table(["in\nflight", *columns], rows, headline=headline(record), notes=notes(record))


def _megabytes(cell: Any) -> str:
    """Return mean and standard deviation, with a question mark if not all requests were in flight."""
    sd = f" ± {cell.sd:.2f}" if cell.n > 1 else ""
    return f"{cell.mb:.2f}{sd}{'' if cell.sound else ' ?'}"


def figure(record: Record) -> Figure:
    """Draw megabytes against requests in flight, and kilobytes per request.

    A point is the mean of the processes; the bar through it reaches from the lowest to the highest. At a hollow point,
    the requests were not all in flight together.
    """
    seen, rows, said = cells(record), _readings(record), notes(record)
    hollow = {(cell.kind, cell.limit) for cell in each(seen[~seen["sound"]])}
    held = "Memory that no other process shares, read once while all wait for their responses"
    clients = [f"{kind}: {', '.join(map(_at, each(mine)))}." for kind, mine in seen.groupby("kind", sort=False)]
    about, words = f"{held}; {runs(record.repeats, 'mean')}", [WHAT, *clients, *said]
    foot = "\n".join([*_each_more(seen), *_spread(seen), MARKS])
    with sheet(
        headline(record), about, words, (1, 2), 3.45, foot=foot, foot_in=1.25, wspace=0.15
    ) as (fig, (total, of_one)):  # fmt: skip
        panel_title(total, "Memory held", "megabytes above the process without a client")
        panel_title(of_one, "Memory per request", "kilobytes for each request in flight")
        for ax, unit in ((total, "mb"), (of_one, "kb")):
            against(ax, rows, unit, "requests in flight at once", log=ax is total, middle="mean", hollow=hollow)
    return fig


def _at(cell: Any) -> str:
    return f"{size(1e6 * cell.mb)} at {cell.limit:,} ({cell.kb:.0f} KB per request)"


def compared(record: Record) -> dict[str, float]:
    """Return the megabytes of each client at each number in flight."""
    return {f"{cell.kind}, {cell.limit} in flight: MB": cell.mb for cell in each(cells(record))}


EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, notes, table, {NAME: figure}, compared, quick=QUICK)
memory = EXPERIMENT.run
