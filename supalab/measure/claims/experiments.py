"""The races that the claims need: a size goes in, experiments come out; their trials go in, figures come out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from supalab.measure.campaign import Experiment
from supalab.measure.claims.evidence import REQUESTS, Figures, reduced
from supalab.measure.trial import TrialSet, Workload

__all__ = [
    "BEFORE_S", "FAR_RTT_S", "NEAR_S", "Sized", "burst", "burst_again", "far", "gathered", "near", "planned", "reuse",
    "wide",
]  # fmt: skip

#: The article's two response times, and a round trip of which three make the first and one the second.
BEFORE_S, NEAR_S, FAR_RTT_S = 0.45, 0.15, 0.15
# Small enough for a minute in all; large enough that a request's work, a few milliseconds, stays far below its latency.
QUICK_REQUESTS, QUICK_BURST, QUICK_FAR = 50, 2.0, 3.0
QUICK_NEAR = 60


@dataclass(frozen=True, slots=True)
class Sized:
    """An experiment, and the factor by which its times were divided (1 at full size).

    ``part``: how much of the time a campaign expects, which assumes that every request dials, it really takes.
    ``again``: the race whose arms it runs once more.
    """

    experiment: Experiment
    scale: float = 1.0
    part: float = 1.0
    again: str = ""

    @property
    def race(self) -> str:
        """The name under which its figures stand."""
        return self.again or self.experiment.name

    @property
    def expected_s(self) -> float:
        """Seconds it should take on a quiet machine."""
        return self.part * self.experiment.expected_s


def burst(quick: bool, arms: tuple[str, ...] = ("fake-3", "fake-10", "article-10", "real-3")) -> Sized:
    """100 at once, 450 ms at the server: the article's table. ``fake-10`` and ``real-3`` are the fair controls."""
    scale = QUICK_BURST if quick else 1.0
    return Sized(Experiment("burst", arms, Workload(_n(quick, QUICK_REQUESTS), BEFORE_S / scale)), scale)


def burst_again() -> Sized:
    """The short trials of a quick burst once more: in one second of work, a stall of the machine is a large part."""
    few = burst(True, ("fake-10", "article-10"))
    return replace(few, experiment=replace(few.experiment, name="burst-again"), again="burst")


def gathered(trials: Mapping[str, TrialSet], plan: Sequence[Sized]) -> dict[str, dict[str, Figures]]:
    """Return the figures of all races that were run, by race and arm; what was run again counts with the first."""
    whole: dict[str, TrialSet] = {}
    for one in plan:
        if one.experiment.name in trials:
            whole[one.race] = whole.get(one.race, TrialSet()) + trials[one.experiment.name]
    scale = {one.race: one.scale for one in plan}
    return {race: reduced(found, scale[race]) for race, found in whole.items()}


def far(quick: bool, arms: tuple[str, ...] = ("fake-3", "session-3"), small: float = QUICK_FAR) -> Sized:
    """100 at once, TLS over a round trip of 150 ms, no time at the server: what a new connection costs.

    ``small``: what times are divided by in a quick run.
    """
    scale = small if quick else 1.0
    # All of them also in small: with fewer, the first requests, which dial, would weigh too much.
    work = Workload(REQUESTS, 0.0)
    # One arm dials for each request and makes three round trips; the others make one.
    part = (1 + (len(arms) - 1) / 3) / len(arms)
    return Sized(Experiment("far", arms, work, rtt=FAR_RTT_S / scale, tls=True), scale, part)


def wide(quick: bool) -> Sized:
    """100 in flight: threads, httpx's own pool, and ours."""
    return Sized(Experiment("wide", ("fake-100", "kept-100", "real-100"), Workload(200 if quick else 400, 0.15)))


def reuse(quick: bool) -> Sized:
    """Short requests, to count connections: a Session in threads, the article's limits, and all connections kept."""
    work = Workload(REQUESTS, 0.03 if quick else 0.05)
    return Sized(Experiment("reuse", ("fake-3", "session-3", "article-10", "kept-10"), work))


def near(quick: bool) -> Sized:
    """100 at once, 150 ms at the server, plain HTTP."""
    scale = QUICK_BURST if quick else 1.0
    work = Workload(_n(quick, QUICK_NEAR), NEAR_S / scale)
    return Sized(Experiment("near", ("fake-3", "real-10"), work), scale)


def planned(quick: bool) -> tuple[Sized, ...]:
    """Return all races of the ledger."""
    again = (burst_again(),) if quick else ()
    return (burst(quick), *again, far(quick), wide(quick), reuse(quick))


def _n(quick: bool, small: int) -> int:
    return small if quick else REQUESTS
