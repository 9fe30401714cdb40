"""How fast a client is at a limit, in the notebook's own loop: a kind and a limit go in, a pace and a picture come out.

For the measured version, in fresh processes and over more limits, see ``supalab.experiments.throughput``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from matplotlib.figure import Figure

from supalab.clients.arms import arm
from supalab.errors import TrialError
from supalab.experiments.throughput import figure
from supalab.lab.handle import Lab
from supalab.measure.burst import burst
from supalab.measure.case import Case, Trial
from supalab.measure.machine import machine, versions
from supalab.measure.record import Record
from supalab.measure.workload import Workload
from supalab.report.plot import CLEAR, INK, describe_on, description
from supalab.settings import Settings

__all__ = ["Pace", "pace", "paces_picture", "record_of"]

#: How often each caller asks: enough to see a pace, few enough for a notebook.
ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Pace:
    """A client at a limit: what was measured, the lab's latency (seconds), the mean in flight that the lab saw."""

    trial: Trial
    callers: int
    latency: float
    busy: float

    @property
    def name(self) -> str:
        """The arm, such as ``real-40``."""
        return self.trial.case.arm

    @property
    def limit(self) -> int:
        """The arm's limit."""
        return self.trial.case.limit

    @property
    def per_s(self) -> float:
        """Answered requests per second."""
        return float(self.trial["per_s"])

    @property
    def ideal(self) -> float:
        """Requests per second if nothing but latency took time."""
        return self.limit / self.latency

    @property
    def took(self) -> float:
        """Seconds that a request takes on average, from the question to the answer: Little's law, read backwards."""
        return self.callers / self.per_s

    def __str__(self) -> str:
        failed = f", {self.trial['errors']} failed" if self.trial["errors"] else ""
        return (
            f"{self.name:10} {self.per_s:4.0f} of {self.ideal:.0f} requests/s, "
            f"{self.trial['cpu_ms']:4.1f} ms of CPU each{failed}"
        )


async def pace(kind: str, limit: int, lab: Lab, *, callers: int | None = None) -> Pace:
    """Let ``callers`` (as many as slots, unless said) ask twice each through a warm client and return its pace.

    ``kind``: of an arm, such as ``real``. With callers of another number each asks once. Raises SettingsError.
    """
    latency = (await asyncio.to_thread(lambda: lab.conditions)).latency
    asking = callers or limit
    work = Workload(asking if callers else ROUNDS * limit, latency, callers=asking)
    async with arm(f"{kind}-{limit}").build(Settings(lab.url, lab.key)) as db:
        await burst(db, Workload(limit, latency), watch=False)  # opens the connections
        await asyncio.to_thread(lab.reset)
        cpu = time.process_time()
        spans = await burst(db, work, watch=False)
        cpu = time.process_time() - cpu
        seen = await asyncio.to_thread(lab.witness)
    took, good = max(span.done for span in spans), sum(span.outcome == "ok" for span in spans)
    each = 1000 * cpu / len(spans)
    numbers = {"makespan_s": took, "per_s": good / took, "cpu_ms": each, "errors": len(spans) - good}
    return Pace(Trial(Case(f"{kind}-{limit}", work), numbers), asking, latency, seen.busy_s / took)


def record_of(paces: Sequence[Pace]) -> Record:
    """Return paces in the form of the recorded ones; raises TrialError for none, or for those of several latencies."""
    latencies = {one.latency for one in paces}
    if len(latencies) != 1:
        raise TrialError(f"paces at {len(latencies)} latencies: a picture needs some, all at one")
    when, asked = datetime.now(UTC).isoformat(timespec="seconds"), {"latency": latencies.pop()}
    return Record("throughput", tuple(one.trial for one in paces), asked, (), when, machine(), versions())


def paces_picture(paces: Sequence[Pace], *, guesses: Mapping[str, float | None] | None = None) -> Figure:
    """Draw throughput and CPU against the limit; ``guesses``: requests per second by arm, ``None`` for no guess."""
    fig = figure(record_of(paces))
    for name, guess in (guesses or {}).items():
        if guess:
            _draw_guess(fig, int(name.rpartition("-")[2]), guess)
            describe_on(fig, f"{description(fig)} The guess for {name} was {guess:g} requests per second.")
    return fig


def _draw_guess(fig: Figure, limit: int, guess: float) -> None:
    ax = fig.axes[0]
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, guess / 1.5), max(high, guess * 1.5))
    ax.plot(limit, guess, "_", color=INK, markersize=26, markeredgewidth=2.5, zorder=7)
    ax.annotate(
        "your guess", (limit, guess), xytext=(-16, 0), textcoords="offset points", ha="right", va="center", bbox=CLEAR,
        zorder=7,
    )  # fmt: skip
