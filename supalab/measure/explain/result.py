"""What earned the speed-up, as data: trials of pairs go in, earned seconds and milliseconds of CPU come out. Pure.

Differences are taken within a round, between trials that ran next to each other; figures are medians over rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import TypeAlias

from supalab.measure.archive import Form
from supalab.measure.compare import percentile
from supalab.measure.explain.chain import ARTICLE_FACTORS
from supalab.measure.trial import Trial
from supalab.measure.workload import Workload

__all__ = ["EXPLANATION", "Earned", "Explanation", "LinkStep", "Side", "Step", "Whole", "earned", "side"]

#: An arm compared with itself differs by less than this in so many of a hundred comparisons.
NOISE_PERCENTILE = 90
ENOUGH = 6


@dataclass(frozen=True, slots=True)
class Side:
    """One arm's trials, a figure for each round: makespan (s), CPU of a request (ms), connections the lab counted.

    ``connections`` are those of ``requests``, which count the warm-up too. ``errors``: the worst round's.
    """

    arm: str
    makespan_s: tuple[float, ...]
    cpu_ms: tuple[float, ...]
    connections: tuple[int, ...]
    requests: int
    errors: int = 0

    @property
    def seconds(self) -> float:
        """The median makespan."""
        return median(self.makespan_s)

    @property
    def cpu(self) -> float:
        """The median CPU of a request, milliseconds."""
        return median(self.cpu_ms)


#: Which figure of a side is compared, one for each round.
Figure: TypeAlias = Callable[[Side], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Earned:
    """What a change earned: the median over rounds, the lowest and the highest; ``noise`` is what nothing earns.

    Positive is faster or cheaper. ``noise``: what an arm seems to earn when it is compared with itself, once.
    """

    middle: float
    lowest: float
    highest: float
    noise: float = 0.0
    rounds: int = 1

    @property
    def told(self) -> bool:
        """Whether it can be told from noise: the spread leaves 0 out, and it is larger than the noise.

        A single round has no spread: it must be twice as large.
        """
        least = self.noise * (1 if self.rounds > 1 else 2)
        return not self.lowest <= 0 <= self.highest and abs(self.middle) > least


@dataclass(frozen=True, slots=True)
class Step:
    """One factor, measured as a pair of arms: ``factor`` is its key, ``change`` says it in a few words."""

    factor: str
    change: str
    before: Side
    after: Side


@dataclass(frozen=True, slots=True)
class LinkStep:
    """A factor's pair over one link: ``rtt`` seconds of a round trip, ``tls`` or not."""

    factor: str
    change: str
    link: str
    rtt: float
    tls: bool
    before: Side
    after: Side


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole way in an experiment of its own: the article's "before", its "after", and ours."""

    before: Side
    article: Side
    ours: Side


@dataclass(frozen=True, slots=True)
class Explanation:
    """What each factor of the step earned, the whole beside it, and what their sum leaves unexplained.

    ``links`` are measured over ``link_workload``, ``None`` if they were left out. ``when``: UTC, ISO 8601.
    ``finished``: False if it was interrupted, so that rounds are missing.
    """

    workload: Workload
    limits: tuple[int, int]
    rounds: int
    steps: tuple[Step, ...]
    whole: Whole
    links: tuple[LinkStep, ...]
    link_workload: Workload | None
    when: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    finished: bool = True

    @property
    def earned_s(self) -> float:
        """Seconds from the article's "before" to ours, measured at once."""
        return earned(self.whole.before, self.whole.ours).middle

    @property
    def article_s(self) -> float:
        """Seconds from the article's "before" to its "after", measured at once."""
        return earned(self.whole.before, self.whole.article).middle

    @property
    def remainder_s(self) -> float:
        """Seconds of the whole that the sum of all factors leaves unexplained; negative if the sum is larger."""
        return self.earned_s - sum(self.seconds(step).middle for step in self.steps)

    @property
    def article_remainder_s(self) -> float:
        """The same for the article's own step and its factors."""
        return self.article_s - sum(self.seconds(step).middle for step in self.steps[:ARTICLE_FACTORS])

    def seconds(self, step: Step) -> Earned:
        """Return the seconds that a factor earned."""
        return earned(step.before, step.after, self._sides(), lambda side: side.makespan_s)

    def cpu_ms(self, step: Step) -> Earned:
        """Return the milliseconds of CPU for a request that a factor saved."""
        return earned(step.before, step.after, self._sides(), lambda side: side.cpu_ms)

    def share(self, step: Step) -> float | None:
        """Return a factor's part of the whole, 0 to 1 or beyond; ``None`` if the whole earned nothing."""
        return self.seconds(step).middle / self.earned_s if self.earned_s > 0 else None

    def slot_ms(self, step: LinkStep) -> Earned:
        """Return the milliseconds for which a request holds its slot less than before, over this link."""
        here = [one for one in self.links if one.link == step.link]
        return earned(step.before, step.after, [s for one in here for s in (one.before, one.after)], self.slots_ms)

    def slots_ms(self, side: Side) -> tuple[float, ...]:
        """Return for how many milliseconds a request held its slot over a link, for each round."""
        load = self.link_workload or self.workload
        waves = -(-load.requests // load.width(self.limits[1]))
        return tuple(1000 * seconds / waves for seconds in side.makespan_s)

    def _sides(self) -> list[Side]:
        pairs = [side for step in self.steps for side in (step.before, step.after)]
        return [*pairs, self.whole.before, self.whole.article, self.whole.ours]


EXPLANATION = Form("supalab-explain", 1, Explanation, "supalab explain")


def side(trials: Sequence[Trial]) -> Side:
    """Return the figures of one arm's trials, one trial a round."""
    seen = [trial.witness for trial in trials if trial.witness is not None]
    return Side(
        arm=trials[0].arm,
        makespan_s=tuple(round(trial.makespan_s, 6) for trial in trials),
        cpu_ms=tuple(round(1000 * (trial.cpu_s or 0.0) / trial.workload.requests, 6) for trial in trials),
        connections=tuple(one.connections for one in seen),
        requests=seen[0].served if seen else trials[0].workload.requests,
        errors=max(trial.errors for trial in trials),
    )


def earned(
    before: Side, after: Side, beside: Sequence[Side] = (), figure: Figure = lambda side: side.makespan_s
) -> Earned:
    """Return what the change from one side to the other earned: differences within rounds, their median and ends.

    ``beside``: all sides that ran in these rounds under the same conditions, which tell how large noise is.
    """
    a, b = figure(before), figure(after)
    found = [one - other for one, other in zip(a, b, strict=True)]
    noise = _noise(beside, {before.arm, after.arm}, figure) * max(median(a), median(b))
    return Earned(median(found), min(found), max(found), noise, len(found))


def _noise(sides: Sequence[Side], arms: Collection[str], figure: Figure) -> float:
    """Compare arms with themselves: trials of one round, from different pairs, which nothing but noise tells apart.

    Returned as a part of the figure itself, so that long trials do not make short ones look uncertain. The two arms
    of a pair speak for it, and all others as well if those were not compared often enough.
    """
    apart = [
        (one.arm, 2 * abs(a - b) / (a + b))
        for one, other in combinations(sides, 2)
        if one.arm == other.arm
        for a, b in zip(figure(one), figure(other), strict=True)
        if a + b
    ]
    own = [part for arm, part in apart if arm in arms]
    return percentile(own if len(own) >= ENOUGH else [part for _, part in apart], NOISE_PERCENTILE) or 0.0
