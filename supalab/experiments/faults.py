"""Faults: how a service on each client behaves when its backend is slow or fails, or when clients disconnect.

An open-loop load runs before, through and after each fault window. Recovered means, as for capacity, response times
below twice that of the idle service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from supalab.errors import SettingsError
from supalab.experiments import Experiment
from supalab.experiments.capacity import ARMS, TOO_SLOW, late
from supalab.experiments.race import control_of
from supalab.measure.case import Span, Trial
from supalab.measure.record import Record
from supalab.measure.run import Plan, checked_names
from supalab.measure.service import case_of, service_arm
from supalab.measure.traffic import LATE_S, Traffic, failures, response, stayed
from supalab.report.format import NEVER, counts, duration, listed, ms, stated
from supalab.report.plot import INK, MUTED, colour, label, not_seen, row_label, sheet
from supalab.report.table import Table

__all__ = ["FAULTS", "Window", "draw_window", "faults", "figure", "headline", "notes", "plan", "tables", "windows"]

LATENCY_S, SLOW_S = 0.15, 2.0
#: The faults by name: what they are, and the lab's conditions meanwhile.
FAULTS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "slow": ("the backend takes 2 s", {"latency": SLOW_S}),
    "down": ("the backend answers 503", {"error_rate": 1.0}),
    "left": ("a flood of clients disconnects", {}),
}
#: Half of what three slots of 150 ms can take, and what ten can take even while each request runs into a timeout.
RATE = 5.0
#: Like users who keep reloading a page: too much for ten slots to finish, but not if cancelled requests free them.
FLOOD, FLOOD_TIMEOUT_S = 80.0, 0.05
#: One second is what a caller of an interactive service may wait; the same for every client.
TIMEOUT_S, CALLER_TIMEOUT_S = 1.0, 10.0
BEFORE_S, FAULT_S, AFTER_S, IDLE_S = 4.0, 10.0, 12.0, 1.5
#: So many quick requests in a row are a recovery. More of them would blame the fault for a hiccup seconds later.
ENOUGH = 10
#: Why a kind of client does not recover; shown only if that was measured.
REASONS = {
    ("article", "left"): "callers cancelled in the queue of httpx's pool break it for good (encode/httpcore issue 1093)"
}
COLUMNS = (
    "client", "p95 ms\nbefore", "p95 ms\nduring", "recovered\nafter", "lost", "of them\nafter", "dis-\nconnected",
    "wasted\nwork", "of that\nnoticed", "in flight\npeak",
)  # fmt: skip
ROW_IN, LOW_S, MARGIN, LOST = 1.3, 0.1, 1.9, 1.25
TICKS = (0.1, 0.3, 1.0, 3.0, 10.0)
SHADE = "#e9ecef"
FOOT = (
    "Response time in seconds from the intended start. Shaded: the fault. x: lost. Dotted: twice the idle response "
    "time. Line: recovered.\nClients of the flood are not drawn: they are the load, and wait for nothing."
)


def plan(
    arms: Sequence[str] = ARMS,
    faults: Sequence[str] = tuple(FAULTS),
    *,
    before: float = BEFORE_S,
    fault: float = FAULT_S,
    after: float = AFTER_S,
    rate: float = RATE,
    flood: float = FLOOD,
    flood_timeout: float = FLOOD_TIMEOUT_S,
    timeout: float = TIMEOUT_S,
    seed: int = 1,
) -> Plan:
    """Each fault on the service of each client: seconds ``before`` it, of the ``fault``, and ``after`` it.

    ``rate``: requests per second all the time, the same for all; ``flood``: how many per second come in addition in
    the fault ``left``, and disconnect after ``flood_timeout`` seconds; ``timeout``: of the services' clients. Raises
    SettingsError for values that cannot work.
    """
    names = [service_arm(name) for name in checked_names("arms", arms, ARMS)]
    kinds = checked_names("faults", faults, tuple(FAULTS))
    for kind in kinds:
        if kind not in FAULTS:
            raise SettingsError(f"no fault is called {kind!r}: use {', '.join(FAULTS)}")
    ends = before + fault
    for kind in kinds:
        traffic = Traffic(ends + after, rate, seed=seed, timeout=CALLER_TIMEOUT_S)
        if kind == "left":
            traffic = replace(traffic, flood=flood, flood_from=before, flood_until=ends, flood_timeout=flood_timeout)
        how = {"from": before, "until": ends, "conditions": FAULTS[kind][1]}
        # The arms take turns: what disturbs the machine for a minute disturbs one fault of each.
        for name in names:
            tags = {"fault": kind}
            yield case_of(
                name, LATENCY_S, traffic, tags=tags, detail=True, client_timeout=timeout, idle=IDLE_S, fault=how
            )


@dataclass(frozen=True)
class Window:
    """One fault on the service of one client, as a trial of the record."""

    trial: Trial

    @property
    def arm(self) -> str:
        """The client."""
        return self.trial.arm

    @property
    def fault(self) -> str:
        """The fault's name."""
        return str(self.trial["fault"])

    @property
    def begin(self) -> float:
        """Seconds from the load's start to the fault's begin, as it really was."""
        return float(self.trial["fault_from_s"])

    @property
    def end(self) -> float:
        """The same to its end."""
        return float(self.trial["fault_until_s"])

    @property
    def too_slow_s(self) -> float:
        """Twice the idle response time."""
        return TOO_SLOW * float(self.trial["idle_s"])

    @property
    def spans(self) -> list[Span]:
        """The requests whose clients did not disconnect on purpose."""
        return stayed(self.trial.spans)

    @property
    def recovery_s(self) -> float | None:
        """Seconds from the fault's end to the first of ``ENOUGH`` quick requests in a row; ``None`` if not seen.

        0 if that is the first request after the end.
        """
        after = [span for span in self.spans if span.asked >= self.end]
        quick = [span.ok and span.latency < self.too_slow_s for span in after]
        first = next((at for at in range(len(after) - ENOUGH + 1) if all(quick[at : at + ENOUGH])), None)
        if first is None:
            return None
        return after[first].asked - self.end if first else 0.0

    @property
    def recovered(self) -> str:
        """How long recovery took: ``at once``, ``1.9 s``, or that it was not seen."""
        if self.recovery_s is None:
            return "not seen"
        return "at once" if self.recovery_s == 0 else f"{self.recovery_s:.1f} s"

    @property
    def lost(self) -> Mapping[str, int]:
        """Count callers who waited but had no response, by kind of failure."""
        return failures(self.trial.spans)

    @property
    def lost_after(self) -> int:
        """How many of them came when the fault was over."""
        return sum(not span.ok for span in self.spans if span.asked >= self.end)

    @property
    def disconnected(self) -> int:
        """Clients that disconnected early, as they were meant to."""
        return len(self.trial.spans) - len(self.spans)

    @property
    def wasted(self) -> int:
        """Good responses that the backend made and that reached no caller."""
        answered = sum(span.ok for span in self.trial.spans)
        return max(int(self.trial["served"]) - int(self.trial["failed_on_purpose"]) - answered, 0)

    @property
    def noticed(self) -> int:
        """Requests whose connection the client had closed, so that the backend could have stopped."""
        return int(self.trial["abandoned"])

    def p95(self, begin: float, end: float) -> float | None:
        """Return p95 of the response time of those who came from ``begin`` to ``end`` seconds."""
        return response((span for span in self.spans if begin <= span.asked < end), 95)


def windows(found: Record) -> list[Window]:
    """Return every fault on every client, in the order in which they ran."""
    return [Window(trial) for trial in found.trials]


def _by_fault(found: Record) -> Mapping[str, list[Window]]:
    """The windows of each fault."""
    return {kind: list(mine) for kind, mine in groupby(windows(found), key=lambda one: one.fault)}


def headline(found: Record) -> str:
    """Say which services do not recover at once."""
    ill = list(dict.fromkeys(one.arm for one in windows(found) if one.recovery_s != 0))
    if not ill:
        return "When a fault is over, every client's service recovers at once"
    ill.sort(key=found.arms.index)
    return f"When a fault is over, {listed(ill)} {'do' if ill[1:] else 'does'} not recover at once"


def notes(found: Record) -> list[str]:
    """Say for each fault and client when it recovered, how many callers were lost, and how much work was wasted."""
    said = []
    for one in windows(found):
        seen = {"at once": "at once", "not seen": "later than was watched"}.get(one.recovered, f"after {one.recovered}")
        said.append(
            f"{one.arm}, {FAULTS[one.fault][0]} for {one.end - one.begin:.1f} s: recovered {seen}, "
            f"{sum(one.lost.values())} of {len(one.spans)} callers who stayed were lost, "
            f"{one.wasted} responses of the backend were wasted."
        )
    return said


def tables(found: Record) -> list[Table]:
    """Return a table for each fault, and what the columns mean."""
    made = [
        Table(COLUMNS, list(map(_row, mine)), headline=f"{FAULTS[kind][0]}, {mine[0].end - mine[0].begin:.0f} s")
        for kind, mine in _by_fault(found).items()
    ]
    return [*made, Table((), (), notes=_below(found))]


def _row(one: Window) -> list[str]:
    numbers = (sum(one.lost.values()), one.lost_after, one.disconnected, one.wasted, one.noticed, one.trial["peak"])
    p95 = (ms(one.p95(0.0, one.begin), NEVER), ms(one.p95(one.begin, one.end), NEVER))
    return [one.arm, *p95, one.recovered, *map(str, numbers)]


def _below(found: Record) -> list[str]:
    asked, every = found.asked, windows(found)
    said = [
        f"{asked['rate']:g} requests per second at random, the same for all; clients time out after "
        f"{asked['timeout']:g} s.",
        f"Recovered: the first of {ENOUGH} requests in a row below twice the idle response time.",
        "Lost: callers who stayed and had no response. Wasted work: good responses of the backend that reached no "
        "caller; noticed: those whose connection the client had closed, so that the backend could have stopped.",
        f"Disconnected: a flood of {asked['flood']:g} clients per second in addition, which disconnect after "
        f"{stated(asked['flood_timeout'])}.",
    ]
    for kind, mine in _by_fault(found).items():
        lost = "; ".join(f"{one.arm} {counts(one.lost)}" for one in mine if one.lost)
        said += [f"{kind}, lost: {lost}"] * bool(lost)
    for one in every:
        reason = REASONS.get((one.trial.case.kind, one.fault)) if one.recovery_s is None else None
        said += [f"{one.arm} did not recover: {reason}."] * bool(reason)
    said += late(f"{one.arm} {one.fault}" for one in every if one.trial["send_delay_p99_s"] > LATE_S)
    return said if found.finished else [*said, "Interrupted: faults are missing."]


def figure(found: Record, *, fig: Figure | None = None) -> Figure:
    """Draw every request of every fault: a row for each client, a column for each fault, on shared scales.

    Draws on ``fig`` if one is given. For a fault that did not run, its panel says so.
    """
    every, arms = windows(found), found.arms
    kinds = list(_by_fault(found))
    panels = {(one.arm, one.fault): one for one in every}
    top = MARGIN * max([2 * found.asked["timeout"], *(span.latency for one in every for span in one.spans if span.ok)])
    service = f"contest-agent over a backend of {duration(LATENCY_S)}, {found.asked['rate']:g} requests per second"
    what = f"Response time over time, a row for each client, a column for each fault. {headline(found)}."
    with sheet(
        headline(found), f"{service} at random; a client's timeout is {found.asked['timeout']:g} s",
        [what, *notes(found)], (len(arms), len(kinds)), ROW_IN * len(arms), foot=FOOT, fig=fig, head_in=1.5,
        foot_in=0.95, left=0.16, right=0.975, hspace=0.3, wspace=0.1,
    ) as (fig, axes):  # fmt: skip
        for ax, (arm, kind) in zip(axes, product(arms, kinds), strict=True):
            if (arm, kind) not in panels:
                not_seen(ax, "not run")
                continue
            control, lowest = control_of(arm, arms), arm == arms[-1]
            draw_window(ax, panels[arm, kind], top, hollow=control is not None)
            ax.tick_params(labelbottom=lowest, labelleft=kind == kinds[0])
            ax.set_title(FAULTS[kind][0] if arm == arms[0] else "", pad=8)
            ax.set_xlabel("seconds" if lowest else "", loc="left")
            if kind == kinds[0]:
                row_label(ax, arm, [f"control of {control}"] if control else [])
    return fig


def draw_window(ax: Axes, one: Window, top: float, *, hollow: bool = False) -> None:
    """Draw the requests of one fault; those that were lost are put just below ``top`` seconds."""
    ax.axvspan(one.begin, one.end, color=SHADE, zorder=0)
    ax.axhline(one.too_slow_s, color=MUTED, linewidth=1.0, linestyle=(0, (2, 2)), zorder=1)
    good, shade = [span for span in one.spans if span.ok], colour(one.arm)
    marks: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0.9, "zorder": 3}
    face = "white" if hollow else shade
    at, latency = [span.asked for span in good], [span.latency for span in good]
    ax.plot(at, latency, marker="o", markersize=3.6, color=shade, markerfacecolor=face, **marks)
    lost = [span.asked for span in one.spans if not span.ok]
    ax.plot(lost, [top / LOST] * len(lost), marker="x", markersize=4.5, color=INK, **marks)
    ax.set(yscale="log", ylim=(LOW_S, top), xlim=(0, max((span.asked for span in one.spans), default=1.0)))
    ticks = [tick for tick in TICKS if tick < top / 2]
    ax.set_yticks([*ticks, top / LOST], [*(f"{tick:g}" for tick in ticks), "lost"])
    ax.yaxis.set_minor_locator(NullLocator())
    if one.recovery_s:
        ax.axvline(one.end + one.recovery_s, color=INK, linewidth=1.2, zorder=2)
    label(ax, _verdict(one), (1, 0.62), (-5, 0), xycoords="axes fraction", fontsize=9.5, zorder=6)


def _verdict(one: Window) -> str:
    if one.recovery_s is None:
        watched = max((span.asked for span in one.trial.spans), default=one.end) - one.end
        return f"not recovered in {watched:.0f} s"
    during = one.p95(one.begin, one.end)
    untouched = during is not None and during < one.too_slow_s and one.recovery_s == 0
    return "quick all the time" if untouched else f"recovered: {one.recovered}"


def compared(found: Record) -> dict[str, float]:
    """Return lost callers, noticed disconnects and the recovery of each fault on each client."""
    numbers: dict[str, float] = {}
    for one in windows(found):
        name = f"{one.arm} {one.fault}"
        numbers |= {f"{name}: lost": sum(one.lost.values()), f"{name}: noticed": one.noticed}
        if one.recovery_s is not None:
            numbers[f"{name}: recovered, s"] = one.recovery_s
    return numbers


EXPERIMENT = Experiment(
    name="faults",
    about="a slow backend, a failing one, a flood of clients that disconnect: when each client's service recovers",
    plan=plan,
    headline=headline,
    notes=notes,
    tables=tables,
    figures={"faults": figure},
    compared=compared,
    quick={"before": 2.0, "fault": 3.0, "after": 6.0},
)
faults = EXPERIMENT.run
