"""Faults: how a service on each client behaves when its backend is slow or fails, or when clients disconnect.

An open-loop load runs before, through and after each fault window. Recovered means, as for capacity, response times
below twice that of the idle service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from supalab.errors import SettingsError
from supalab.experiments import Experiment
from supalab.experiments.capacity import ARMS, TOO_SLOW
from supalab.experiments.race import control_of
from supalab.measure.case import Span, Trial
from supalab.measure.record import Record
from supalab.measure.run import Plan, Progress, checked_names
from supalab.measure.service import case_of, service_arm
from supalab.measure.traffic import LATE_S, Traffic, failures, response, stayed
from supalab.report.format import NEVER, counts, duration, listed, ms, stated
from supalab.report.plot import CLEAR, INK, MUTED, colour, not_seen, row_label, sheet
from supalab.report.table import Table

__all__ = ["FAULTS", "Window", "draw_window", "faults", "figure", "headline", "notes", "plan", "tables", "windows"]

NAME = "faults"
LATENCY_S, SLOW_S = 0.15, 2.0
#: The faults by name, and what they are.
FAULTS: Mapping[str, str] = {
    "slow": "the backend takes 2 s",
    "down": "the backend answers 503",
    "left": "a flood of clients disconnects",
}
CONDITIONS: Mapping[str, Mapping[str, float]] = {"slow": {"latency": SLOW_S}, "down": {"error_rate": 1.0}}
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


def faults(*, progress: Callable[[Progress], None] | None = None, **asked: Any) -> Record:
    """Put the service on each arm's client through each fault; ``asked`` and errors as in ``plan`` and ``run``."""
    return EXPERIMENT.run(progress=progress, **asked)


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
    unknown = next((kind for kind in kinds if kind not in FAULTS), None)
    if unknown is not None:
        raise SettingsError(f"no fault is called {unknown!r}: use {', '.join(FAULTS)}")
    ends = before + fault
    for kind in kinds:
        crowd = {"flood": flood, "flood_from": before, "flood_until": ends, "flood_timeout": flood_timeout}
        more: dict[str, Any] = crowd if kind == "left" else {}
        traffic = Traffic(ends + after, rate, seed=seed, timeout=CALLER_TIMEOUT_S, **more)
        window = {"from": before, "until": ends, "conditions": CONDITIONS.get(kind, {})}
        how: dict[str, Any] = {"client_timeout": timeout, "idle": IDLE_S, "fault": window}
        # The arms take turns: what disturbs the machine for a minute disturbs one fault of each.
        for name in names:
            yield case_of(name, LATENCY_S, traffic, tags={"fault": kind}, detail=True, **how)


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

    @property
    def recovered(self) -> str:
        """How long recovery took: ``at once``, ``1.9 s``, or that it was not seen."""
        if self.recovery_s is None:
            return "not seen"
        return "at once" if self.recovery_s == 0 else f"{self.recovery_s:.1f} s"


def windows(found: Record) -> list[Window]:
    """Return every fault on every client, in the order in which they ran."""
    return [Window(trial) for trial in found.trials]


def _kinds(found: Record) -> list[str]:
    return list(dict.fromkeys(one.fault for one in windows(found)))


def headline(found: Record) -> str:
    """Say which services do not recover at once."""
    every = windows(found)
    if not every:
        return "Faults in production, by the service's client"
    ill = [arm for arm in found.arms if any(one.recovery_s != 0 for one in every if one.arm == arm)]
    if not ill:
        return "When a fault is over, every client's service recovers at once"
    return f"When a fault is over, {listed(ill)} {'do' if ill[1:] else 'does'} not recover at once"


def notes(found: Record) -> list[str]:
    """Say for each fault and client when it recovered, how many callers were lost, and how much work was wasted."""
    said = []
    for one in windows(found):
        seen = {"at once": "at once", "not seen": "later than was watched"}.get(one.recovered, f"after {one.recovered}")
        said.append(
            f"{one.arm}, {FAULTS[one.fault]} for {one.end - one.begin:.1f} s: recovered {seen}, "
            f"{sum(one.lost.values())} of {len(one.spans)} callers who stayed were lost, "
            f"{one.wasted} responses of the backend were wasted."
        )
    return said


def tables(found: Record) -> list[Table]:
    """Return a table for each fault, and what the columns mean."""
    every = windows(found)
    if not every:
        return [Table((), (), empty="No fault was tried to its end.")]
    made = []
    for kind in _kinds(found):
        mine = [one for one in every if one.fault == kind]
        length = mine[0].end - mine[0].begin
        made.append(Table(COLUMNS, list(map(_row, mine)), headline=f"{FAULTS[kind]}, {length:.0f} s"))
    return [*made, Table((), (), notes=_below(found, every))]


def _row(one: Window) -> list[str]:
    numbers = (sum(one.lost.values()), one.lost_after, one.disconnected, one.wasted, one.noticed, one.trial["peak"])
    p95 = (ms(one.p95(0.0, one.begin), NEVER), ms(one.p95(one.begin, one.end), NEVER))
    return [one.arm, *p95, one.recovered, *map(str, numbers)]


def _below(found: Record, every: Sequence[Window]) -> list[str]:
    asked = found.asked
    said = [
        f"{asked['rate']:g} requests per second at random, the same for all; clients time out after "
        f"{asked['timeout']:g} s.",
        f"Recovered: the first of {ENOUGH} requests in a row below twice the idle response time.",
        "Lost: callers who stayed and had no response. Wasted work: good responses of the backend that reached no "
        "caller; noticed: those whose connection the client had closed, so that the backend could have stopped.",
        f"Disconnected: a flood of {asked['flood']:g} clients per second in addition, which disconnect after "
        f"{stated(asked['flood_timeout'])}.",
    ]
    for kind in _kinds(found):
        lost = [f"{one.arm} {counts(one.lost)}" for one in every if one.fault == kind and one.lost]
        said += [f"{kind}, lost: {'; '.join(lost)}"] if lost else []
    said += [
        f"{one.arm} did not recover: {reason}."
        for one in every
        if one.recovery_s is None and (reason := REASONS.get((one.trial.case.kind, one.fault)))
    ]
    late = [f"{one.arm} {one.fault}" for one in every if one.trial["send_delay_p99_s"] > LATE_S]
    if late:
        said.append(f"A busy machine: more than {1000 * LATE_S:.0f} ms late (p99) were sent {', '.join(late)}.")
    return said if found.finished else [*said, "Interrupted: faults are missing."]


def figure(found: Record, *, fig: Figure | None = None) -> Figure:
    """Draw every request of every fault: a row for each client, a column for each fault, on shared scales.

    Draws on ``fig`` if one is given. For a fault that did not run, its panel says so.
    """
    every = {(one.arm, one.fault): one for one in windows(found)}
    arms, kinds = found.arms, _kinds(found)
    shape = (max(len(arms), 1), max(len(kinds), 1))
    answered = [span.latency for one in every.values() for span in one.spans if span.ok]
    top = MARGIN * max([2 * found.asked["timeout"], *answered])
    service = f"contest-agent over a backend of {duration(LATENCY_S)}, {found.asked['rate']:g} requests per second"
    about = f"{service} at random; a client's timeout is {found.asked['timeout']:g} s"
    what = f"Response time over time, a row for each client, a column for each fault. {headline(found)}."
    words = [what, *notes(found)]
    with sheet(
        headline(found), about, words, shape, ROW_IN * shape[0], foot=FOOT, fig=fig, head_in=1.5, foot_in=0.95,
        left=0.16, right=0.975, hspace=0.3, wspace=0.1,
    ) as (fig, panels):  # fmt: skip
        for place, ax in enumerate(panels):
            row, column = divmod(place, shape[1])
            one = every.get((arms[row], kinds[column])) if every else None
            if one is None:
                not_seen(ax, "not run")
                continue
            control = control_of(one.arm, arms)
            draw_window(ax, one, top, hollow=control is not None)
            ax.tick_params(labelbottom=row == shape[0] - 1, labelleft=column == 0)
            ax.set_title(FAULTS[one.fault] if row == 0 else "", pad=8)
            ax.set_xlabel("seconds" if row == shape[0] - 1 else "", loc="left")
            if column == 0:
                row_label(ax, one.arm, [f"control of {control}"] if control else [])
    return fig


def draw_window(ax: Axes, one: Window, top: float, *, hollow: bool = False) -> None:
    """Draw the requests of one fault; those that were lost are put just below ``top`` seconds."""
    ax.axvspan(one.begin, one.end, color=SHADE, zorder=0)
    ax.axhline(one.too_slow_s, color=MUTED, linewidth=1.0, linestyle=(0, (2, 2)), zorder=1)
    good, bad = [span for span in one.spans if span.ok], [span for span in one.spans if not span.ok]
    shade = colour(one.arm)
    ax.plot(
        [span.asked for span in good], [span.latency for span in good], "o", markersize=3.6, color=shade,
        markerfacecolor="white" if hollow else shade, markeredgewidth=0.9, zorder=3,
    )  # fmt: skip
    crosses: dict[str, Any] = {"markersize": 4.5, "markeredgewidth": 0.9, "zorder": 3}
    ax.plot([span.asked for span in bad], [top / LOST] * len(bad), "x", color=INK, **crosses)
    ax.set(yscale="log", ylim=(LOW_S, top), xlim=(0, max((span.asked for span in one.spans), default=1.0)))
    ticks = [tick for tick in TICKS if tick < top / 2]
    ax.set_yticks([*ticks, top / LOST], [*(f"{tick:g}" for tick in ticks), "lost"])
    ax.yaxis.set_minor_locator(NullLocator())
    if one.recovery_s:
        ax.axvline(one.end + one.recovery_s, color=INK, linewidth=1.2, zorder=2)
    ax.annotate(
        _verdict(one), (1, 0.62), xycoords="axes fraction", xytext=(-5, 0), textcoords="offset points", ha="right",
        va="center", fontsize=9.5, bbox=CLEAR, zorder=6,
    )  # fmt: skip


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
    name=NAME,
    about="a slow backend, a failing one, a flood of clients that disconnect: when each client's service recovers",
    plan=plan,
    headline=headline,
    notes=notes,
    tables=tables,
    figures={NAME: figure},
    compared=compared,
    quick={"before": 2.0, "fault": 3.0, "after": 6.0},
)
