"""Faults: measure how a service on each client behaves when its backend is slow or fails, or clients disconnect.

An open-loop load runs before, through and after each fault window. Recovered means, as for capacity, response times
below twice that of the idle service.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from supalab.errors import SettingsError
from supalab.experiments import Experiment
from supalab.experiments.capacity import ARMS, TOO_SLOW
from supalab.experiments.load import late
from supalab.experiments.race import control_of
from supalab.measure.case import Span, Trial
from supalab.measure.record import Record, each, interrupted
from supalab.measure.run import Plan, checked_names
from supalab.measure.service import case_of, service_arm
from supalab.measure.traffic import LATE_S, Traffic, failures, response, stayed
from supalab.report.format import NEVER, counts, duration, listed, ms
from supalab.report.plot import INK, MUTED, colour, label, not_seen, row_label, sheet
from supalab.report.table import Content, Table

NAME = "faults"
ABOUT = "a slow backend, a failing backend, a flood of clients that disconnect: when each client's service recovers"
QUICK = {"before": 2.0, "fault": 3.0, "after": 6.0}
LATENCY_S, SLOW_S = 0.15, 2.0
#: The faults by name: what they are, and the lab's conditions during them.
FAULTS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "slow": ("the backend takes 2 s", {"latency": SLOW_S}),
    "down": ("the backend answers 503", {"error_rate": 1.0}),
    "left": ("a flood of clients disconnects", {}),
}
#: Half of what three slots of 150 ms can handle, and what ten can handle even if each request runs into its timeout.
RATE = 5.0
#: Like users who keep reloading a page: twelve of them wait at any time, more than ten slots. So some are cancelled
#: while they wait in a pool's queue.
FLOOD, FLOOD_TIMEOUT_S = 240.0, 0.05
#: A caller of an interactive service may wait one second; the same for every client.
TIMEOUT_S, CALLER_TIMEOUT_S = 1.0, 10.0
IDLE_S = 1.5
#: So many quick requests in a row are a recovery. A larger number would blame the fault for a hiccup seconds later.
ENOUGH = 10
#: Why a kind of client does not recover; shown only if this was measured.
REASONS = {
    ("article", "left"): "callers cancelled in httpx's queue break its pool permanently (encode/httpcore issue 1093)"
}
COLUMNS: Mapping[str, str | Callable[[Any], Content]] = {
    "client": "{arm}",
    "p95 ms\nbefore": lambda one: ms(one.before_s, NEVER),
    "p95 ms\nduring": lambda one: ms(one.during_s, NEVER),
    "recovered": "{recovered}",
    "lost\nin all": "{lost}",
    "lost after\nthe fault": "{lost_after}",
    "dis-\nconnected": "{disconnected}",
    "wasted\nwork": "{wasted}",
    "client\ngone": "{noticed}",
    "in flight\npeak": "{peak}",
}
NOTES = (
    "{rate:g} requests per second at random, the same for all; clients time out after {timeout:g} s.",
    f"Recovered: the first of {ENOUGH} requests in a row below twice the idle response time.",
    "Lost: callers who stayed and had no response. Wasted work: good responses of the backend that reached no caller. "
    "Client gone: requests, failed ones too, whose client closed the connection before the backend had finished "
    "them; the backend could have stopped.",
    "Disconnected: a flood of {flood:g} clients per second in addition, which disconnect after {flood_ms:.0f} ms.",
)
#: Of the figure: a row's height in inches, the lowest time; the room above the slowest, and where in it the lost are.
ROW_IN, LOW_S, MARGIN, LOST = 1.3, 0.1, 1.9, 1.25
TICKS = (0.1, 0.3, 1.0, 3.0, 10.0)
SHADE = "#e9ecef"
WHAT = "Response time over time, a row for each client, a column for each fault."
FOOT = (
    "Response time in seconds from the intended start. Shaded: the fault. x: lost. Dotted: twice the idle response "
    "time. Line: recovered.\nClients of the flood are not drawn: they are load and wait for no response."
)


def plan(
    arms: Sequence[str] = ARMS,
    faults: Sequence[str] = tuple(FAULTS),
    *,
    before: float = 4.0,
    fault: float = 10.0,
    after: float = 12.0,
    rate: float = RATE,
    flood: float = FLOOD,
    flood_timeout: float = FLOOD_TIMEOUT_S,
    timeout: float = TIMEOUT_S,
    seed: int = 1,
) -> Plan:
    """Run each fault on the service of each client: seconds ``before`` it, of the ``fault``, and ``after`` it.

    The flood comes in the fault ``left``. Raises SettingsError for values that cannot work.

    Args:
        arms: clients with their limits, separated by commas
        faults: faults, separated by commas
        before: seconds before the fault
        fault: seconds of the fault
        after: seconds after the fault
        rate: requests per second during the whole load, the same for all
        flood: requests per second that come in addition and disconnect
        flood_timeout: seconds after which these clients disconnect
        timeout: seconds after which a client gives up
        seed: random seed of the arrival times
    """
    names = [service_arm(name) for name in checked_names("arms", arms, ARMS)]
    kinds = checked_names("faults", faults, tuple(FAULTS))
    if unknown := set(kinds) - set(FAULTS):
        raise SettingsError(f"no fault is called {min(unknown)!r}: use {', '.join(FAULTS)}")
    ends = before + fault
    for kind in kinds:
        traffic = Traffic(ends + after, rate, seed=seed, timeout=CALLER_TIMEOUT_S)
        if kind == "left":
            traffic = replace(traffic, flood=flood, flood_from=before, flood_until=ends, flood_timeout=flood_timeout)
        change = {"from": before, "until": ends, "conditions": FAULTS[kind][1]}
        how: dict[str, Any] = {"client_timeout": timeout, "idle": IDLE_S, "fault": change}
        # The arms take turns: what disturbs the machine for a minute disturbs one fault of each.
        for name in names:
            yield case_of(name, LATENCY_S, traffic, tags={"fault": kind}, detail=True, **how)


def windows(record: Record) -> pd.DataFrame:
    """Return a row for each fault on each client, in the order in which they ran.

    ``begin`` and ``end``: of the fault as it really was, in seconds from the load's start. ``before_s``, ``during_s``:
    p95 of the response time. ``recovery_s``: as in ``recovery``; ``recovered`` is its text. ``spans``: the requests
    whose clients did not disconnect on purpose; ``lost``: how many of them had no response, ``failures`` by kind,
    ``lost_after``: those of them after the end of the fault. ``wasted``: good responses of the backend that reached no
    caller; ``noticed``: requests whose connection the client had closed, so that the backend could have stopped. A
    value that was not found is NaN.
    """
    rows = pd.DataFrame(map(_window, record.trials))
    return rows.astype({"before_s": float, "during_s": float, "recovery_s": float})


def _window(trial: Trial) -> dict[str, Any]:
    begin, end, too_slow = trial["fault_from_s"], trial["fault_until_s"], TOO_SLOW * trial["idle_s"]
    stay, failed = stayed(trial.spans), failures(trial.spans)
    seconds, answered = recovery(stay, end, too_slow), sum(span.ok for span in trial.spans)
    return {
        "arm": trial.arm, "kind": trial.case.kind, "fault": trial["fault"], "begin": begin, "end": end,
        "too_slow_s": too_slow, "spans": stay,
        "before_s": response((span for span in stay if span.asked < begin), 95),
        "during_s": response((span for span in stay if begin <= span.asked < end), 95),
        "recovery_s": seconds,
        "recovered": "not seen" if seconds is None else "immediately" if seconds == 0 else f"{seconds:.1f} s",
        "watched_s": max((span.asked for span in trial.spans), default=end) - end,
        "lost": sum(failed.values()), "failures": counts(failed),
        "lost_after": sum(not span.ok for span in stay if span.asked >= end),
        "disconnected": len(trial.spans) - len(stay),
        "wasted": max(trial["served"] - trial["failed_on_purpose"] - answered, 0),
        "noticed": trial["abandoned"], "peak": trial["peak"], "late": trial["send_delay_p99_s"] > LATE_S,
    }  # fmt: skip


def recovery(spans: Sequence[Span], end: float, too_slow_s: float) -> float | None:
    """Return the seconds from a fault's end to the first of ``ENOUGH`` quick requests in a row; ``None`` if not seen.

    It is 0 if the first request after the end is quick.
    """
    after = [span for span in spans if span.asked >= end]
    quick = [span.ok and span.latency < too_slow_s for span in after]
    first = next((at for at in range(len(after) - ENOUGH + 1) if all(quick[at : at + ENOUGH])), None)
    return None if first is None else after[first].asked - end if first else 0.0


def headline(record: Record) -> str:
    """Say which services do not recover immediately."""
    every = windows(record)
    ill = [arm for arm in record.arms if (every[every["arm"] == arm]["recovery_s"] != 0).any()]
    if not ill:
        return "When a fault is over, every client's service recovers immediately"
    return f"When a fault is over, {listed(ill)} {'do' if ill[1:] else 'does'} not recover immediately"


def notes(record: Record) -> list[str]:
    """Say for each fault and client when it recovered, how many callers were lost, and how much work was wasted."""
    words = {"immediately": "recovered immediately", "not seen": "did not recover while we watched"}
    return [
        f"{one.arm}, {FAULTS[one.fault][0]} for {one.end - one.begin:.1f} s: "
        f"{words.get(one.recovered, f'recovered after {one.recovered}')}, {one.lost} of {len(one.spans)} callers who "
        f"stayed were lost, {one.wasted} responses of the backend were wasted."
        for one in each(windows(record))
    ]


def tables(record: Record) -> list[Table]:
    """Return a table for each fault, with notes on its columns."""
    every = windows(record)
    by_fault = list(every.groupby("fault", sort=False))
    made = [
        Table.of(mine, COLUMNS, headline=f"{FAULTS[str(kind)][0]}, {(mine['end'] - mine['begin']).iloc[0]:.0f} s")
        for kind, mine in by_fault
    ]
    said = [note.format(**record.asked, flood_ms=1000 * record.asked["flood_timeout"]) for note in NOTES]
    for kind, mine in by_fault:
        if lost := "; ".join(f"{one.arm} {one.failures}" for one in each(mine) if one.lost):
            said.append(f"{kind}, lost: {lost}")
    said += [
        f"{one.arm} did not recover: {REASONS[one.kind, one.fault]}."
        for one in each(every[every["recovery_s"].isna()])
        if (one.kind, one.fault) in REASONS
    ]
    said += late(f"{one.arm} {one.fault}" for one in each(every[every["late"]]))
    said += interrupted(record, "faults")
    return [*made, Table((), (), notes=said)]


def figure(record: Record) -> Figure:
    """Draw every request of every fault: a row for each client, a column for each fault, on shared scales.

    The panel of a fault that did not run says so.
    """
    every = {(one.arm, one.fault): one for one in each(windows(record))}
    arms, kinds = record.arms, list(dict.fromkeys(kind for _, kind in every))
    answered = [span.latency for one in every.values() for span in one.spans if span.ok]
    top = MARGIN * max([2 * record.asked["timeout"], *answered])
    service = f"contest-agent over a backend of {duration(LATENCY_S)}, {record.asked['rate']:g} requests per second"
    about = f"{service} at random; a client's timeout is {record.asked['timeout']:g} s"
    words = [f"{WHAT} {headline(record)}.", *notes(record)]
    with sheet(
        headline(record), about, words, (len(arms), len(kinds)), ROW_IN * len(arms), foot=FOOT, head_in=1.5,
        foot_in=0.95, left=0.16, right=0.975, hspace=0.3, wspace=0.1,
    ) as (fig, axes):  # fmt: skip
        for ax, (arm, kind) in zip(axes, product(arms, kinds), strict=True):
            if (arm, kind) not in every:
                not_seen(ax, "not run")
                continue
            control, lowest = control_of(arm, arms), arm == arms[-1]
            _draw_window(ax, every[arm, kind], top, hollow=control is not None)
            ax.tick_params(labelbottom=lowest, labelleft=kind == kinds[0])
            ax.set_title(FAULTS[kind][0] if arm == arms[0] else "", pad=8)
            ax.set_xlabel("seconds" if lowest else "", loc="left")
            if kind == kinds[0]:
                row_label(ax, arm, [f"control of {control}"] if control else [])
    return fig


def _draw_window(ax: Axes, one: Any, top: float, *, hollow: bool) -> None:
    """Draw the requests of one fault; those that were lost are put just below ``top`` seconds."""
    ax.axvspan(one.begin, one.end, color=SHADE, zorder=0)
    ax.axhline(one.too_slow_s, color=MUTED, linewidth=1.0, linestyle=(0, (2, 2)), zorder=1)
    if one.recovery_s > 0:
        ax.axvline(one.end + one.recovery_s, color=INK, linewidth=1.2, zorder=2)
    good, lost = ([span for span in one.spans if span.ok is answered] for answered in (True, False))
    shade, marks = colour(one.arm), {"linestyle": "none", "markeredgewidth": 0.9, "zorder": 3}
    dots: dict[str, Any] = {"marker": "o", "markersize": 3.6, "markerfacecolor": "white" if hollow else shade, **marks}
    ax.plot([span.asked for span in good], [span.latency for span in good], color=shade, **dots)
    crosses: dict[str, Any] = {"marker": "x", "markersize": 4.5, **marks}
    ax.plot([span.asked for span in lost], [top / LOST] * len(lost), color=INK, **crosses)
    ax.set(yscale="log", ylim=(LOW_S, top), xlim=(0, max((span.asked for span in one.spans), default=1.0)))
    ticks = [tick for tick in TICKS if tick < top / 2]
    ax.set_yticks([*ticks, top / LOST], [*(f"{tick:g}" for tick in ticks), "lost"])
    ax.yaxis.set_minor_locator(NullLocator())
    if one.recovered == "not seen":
        said = f"not recovered in {one.watched_s:.0f} s"
    elif one.during_s < one.too_slow_s and one.recovery_s == 0:
        said = "quick all the time"
    else:
        said = f"recovered: {one.recovered}"
    label(ax, said, (1, 0.62), (-5, 0), xycoords="axes fraction", fontsize=9.5, zorder=6)


def compared(record: Record) -> dict[str, float]:
    """Return lost callers, noticed disconnects and the recovery of each fault on each client."""
    numbers = {
        f"{one.arm} {one.fault}: {name}": float(value)
        for one in each(windows(record))
        for name, value in (("lost", one.lost), ("noticed", one.noticed), ("recovered, s", one.recovery_s))
    }
    return {name: value for name, value in numbers.items() if not math.isnan(value)}


EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, notes, tables, {NAME: figure}, compared, quick=QUICK)
faults = EXPERIMENT.run
