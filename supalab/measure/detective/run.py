"""The detective: a size goes in; suspects are put under their conditions and measured, the case comes out.

When are all of the article's figures true at once? Over a distance the lab sees a request only while it serves
it, so "at once" is the client's count here, from slot to answer, and Little's law ties it to the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from supalab.clients.arms import arm
from supalab.lab.handle import Lab
from supalab.measure import campaign
from supalab.measure.claims.evidence import REQUESTS, Figures, from_spans
from supalab.measure.claims.experiments import FAR_RTT_S, NEAR_S, Sized, burst, burst_again, far, gathered, near
from supalab.measure.detective.arrivals import Arrived, arrivals, times_of
from supalab.measure.detective.case import CASE, Case, accounts
from supalab.measure.machine import merged
from supalab.measure.race import START_S, Progress
from supalab.measure.run import put_back
from supalab.measure.workload import Workload

__all__ = ["CASE", "Case", "detective", "expected_s"]

OPEN_RATE = 20.0
QUICK_OPEN = 2.0


@dataclass(frozen=True, slots=True)
class _Open:
    """Arms under open arrivals: so many, so many a second, at this latency, over TLS with this round trip (seconds)."""

    name: str
    arms: tuple[str, ...]
    latency: float
    rtt: float
    scale: float
    count: int

    @property
    def rate(self) -> float:
        return OPEN_RATE * self.scale

    @property
    def expected_s(self) -> float:
        return sum(self.seconds(name) for name in self.arms)

    def seconds(self, name: str) -> float:
        # Three threads that dial anew for each request fall behind the arrivals: they take three times as long.
        return START_S + self.count / self.rate * (3 if name == "fake-3" else 1)


def detective(
    *, quick: bool = False, lab: Lab | None = None, progress: Callable[[Progress], None] | None = None
) -> Case:
    """Measure what every suspect needs and hold it against the article's table.

    In a lab of its own unless one is given, whose conditions are put back. ``quick``: latency, round trip and number of
    requests in small, times scaled back. Raises LabError, TrialError and KeyboardInterrupt on Ctrl-C.
    """
    plan, opens = _plan(quick)
    tell = _Teller(progress or (lambda _: None), plan, opens)
    with ExitStack() as stack:
        here = lab or stack.enter_context(Lab())
        before = here.conditions
        stack.callback(put_back, here, before)
        found = campaign.run([one.experiment for one in plan], lab=here, progress=tell.race)
        arrived = [(one, name, _arrived(one, name, here, tell)) for one in opens for name in one.arms]
    scale = {one.race: one.scale for one in plan} | {one.name: one.scale for one in opens}
    races = gathered(found.trials, plan)
    for one, name, (figures, _) in arrived:
        races.setdefault(one.name, {})[name] = figures
    return Case(
        accounts(races),
        races,
        scale,
        quick,
        found.when,
        merged([found.machine, *(raw["machine"] for _, _, (_, raw) in arrived)]),
        merged([found.versions, *(raw["versions"] for _, _, (_, raw) in arrived)]),
    )


def _arrived(one: _Open, name: str, lab: Lab, tell: _Teller) -> tuple[Figures, Arrived]:
    lab.set(latency=one.latency, rtt=one.rtt, tls=one.rtt > 0)
    raw = arrivals(name, lab, times_of(one.count, one.rate), Workload(one.count, one.latency), tell.arriving(name))
    seen = lab.witness()
    limit = arm(name).limit
    tell.arrived(one.seconds(name))
    return from_spans(name, limit, raw["spans"], one.scale, peak=seen.peak, connections=seen.connections), raw


class _Teller:
    """One progress over races and arrivals, by expected seconds."""

    def __init__(self, say: Callable[[Progress], None], plan: Sequence[Sized], opens: Sequence[_Open]) -> None:
        self._say = say
        self._races_s = sum(one.expected_s for one in plan)
        self._whole_s = self._races_s + sum(one.expected_s for one in opens)
        self._spent_s = self._races_s
        self._done = sum(len(one.experiment.arms) for one in plan)
        self._total = self._done + sum(len(one.arms) for one in opens)

    def race(self, now: Progress) -> None:
        self._tell(now.fraction * self._races_s, now.arm, now.done)

    def arriving(self, name: str) -> Callable[[float], None]:
        return lambda seconds: self._tell(self._spent_s + seconds, name, self._done)

    def arrived(self, seconds: float) -> None:
        self._spent_s += seconds
        self._done += 1
        self._tell(self._spent_s, "", self._done)

    def _tell(self, seconds: float, what: str, done: int) -> None:
        self._say(Progress(min(seconds / self._whole_s, 1.0), what, done, self._total))


def expected_s(quick: bool = False) -> float:
    """Return the seconds that the case should take on a quiet machine."""
    plan, opens = _plan(quick)
    return sum(one.expected_s for one in plan) + sum(one.expected_s for one in opens)


def _plan(quick: bool) -> tuple[tuple[Sized, ...], tuple[_Open, ...]]:
    races = (
        burst(quick, ("fake-3", "fake-10", "article-10")),
        *((burst_again(),) if quick else ()),
        far(quick, ("fake-3", "session-3", "real-3", "real-10"), QUICK_OPEN),
        near(quick),
    )
    scale = QUICK_OPEN if quick else 1.0
    opens = (
        _Open("open", ("real-10",), NEAR_S / scale, 0.0, scale, REQUESTS),
        _Open("open-far", ("fake-3", "session-10", "real-10"), 0.0, FAR_RTT_S / scale, scale, REQUESTS),
    )
    return races, opens
