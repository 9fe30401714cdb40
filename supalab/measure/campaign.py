"""Several races for one question: experiments go in, each runs in one shared lab under its own conditions, sets of
trials come out by the experiments' names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product

from supalab.clients.arms import arm
from supalab.errors import SettingsError
from supalab.lab.handle import Lab
from supalab.measure.machine import merged
from supalab.measure.race import START_S, Progress, marks, race
from supalab.measure.run import put_back
from supalab.measure.trial import Trial, TrialSet, Workload

__all__ = ["Campaign", "CampaignInterrupted", "Experiment", "expected_s", "run", "share_of"]


@dataclass(frozen=True, slots=True)
class Experiment:
    """One race of a campaign: arms that take turns over a workload, ``repeat`` times, under these conditions.

    ``rtt``: seconds of a round trip; ``tls``: speak TLS. ``bare`` and ``ticker_s`` are for ``race``. ``work_s``:
    seconds of one repeat that are known to come on top of latency and round trips, for guessing how long it takes.
    """

    name: str
    arms: tuple[str, ...]
    workload: Workload = field(default_factory=Workload)
    repeat: int = 1
    rtt: float = 0.0
    tls: bool = False
    bare: int | None = None
    ticker_s: float | None = None
    work_s: float = 0.0

    def __post_init__(self) -> None:
        for name in self.arms:
            arm(name)

    @property
    def expected_s(self) -> float:
        """Seconds it should take on a quiet machine: processes, latency, round trips, and the work that is known."""
        waits = sum(START_S + self.waits_s(arm(name).limit) for name in self.arms)
        return self.repeat * (waits + self.work_s)

    def waits_s(self, limit: int) -> float:
        """Return the seconds of one trial's latency and round trips, its warm-up included."""
        whole = [self.workload, *([replace(self.workload, requests=self.bare)] if self.bare else [])]
        # A new connection costs a round trip, TLS two more; the request itself has one. The worst case is assumed.
        trips = (2 + 2 * self.tls) * self.rtt
        return sum((load.ideal_s(limit) or 0.0) + trips * -(-load.requests // load.width(limit)) for load in whole)


@dataclass(frozen=True, slots=True)
class Campaign:
    """What came out: trials by experiment, and where and when (UTC, ISO 8601) they were run."""

    trials: Mapping[str, TrialSet]
    when: str

    def __getitem__(self, name: str) -> TrialSet:
        return self.trials[name]

    @property
    def machine(self) -> dict[str, str]:
        """The machine of the trials."""
        return merged(trial.machine for trials in self.trials.values() for trial in trials)

    @property
    def versions(self) -> dict[str, str]:
        """The versions of all that the trials loaded."""
        return merged(trial.versions for trials in self.trials.values() for trial in trials)


class CampaignInterrupted(KeyboardInterrupt):
    """Ctrl-C: nothing runs any more; ``campaign`` holds what was finished, the last experiment perhaps in part."""

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        super().__init__(f"interrupted in experiment {len(campaign.trials)}")


def expected_s(experiments: Sequence[Experiment]) -> float:
    """Return the seconds that all should take on a quiet machine."""
    return sum(one.expected_s for one in experiments)


def run(
    experiments: Sequence[Experiment],
    *,
    lab: Lab | None = None,
    progress: Callable[[Progress], None] | None = None,
    rounds: int = 1,
) -> Campaign:
    """Run the experiments one after another, in a lab of their own unless one is given, whose conditions are put back.

    ``rounds``: run all of them so many times, one round after another, each time another arm first: a machine that
    gets busier on the way does so to all alike. A trial's ``repeat`` counts through the rounds. ``progress`` counts
    trials and expected seconds of the whole campaign. Raises what ``race`` raises, and CampaignInterrupted on Ctrl-C.
    """
    names = [one.name for one in experiments]
    if not names or len(set(names)) != len(names):
        raise SettingsError(f"experiments {names!r} need one name each, and there must be one: name them apart")
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise SettingsError(f"rounds {rounds!r} is not a whole number from 1: use e.g. 3")
    found: dict[str, TrialSet] = {}
    when = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        with ExitStack() as stack:
            here = lab or stack.enter_context(Lab())
            before = here.conditions
            stack.callback(put_back, here, before)
            for turn, (place, one) in product(range(rounds), enumerate(experiments)):
                here.set(rtt=one.rtt, tls=one.tls)
                kept: list[Trial] = []
                try:
                    _race(_turned(one, turn), here, kept, share_of(experiments, place, progress, turn, rounds))
                finally:
                    if kept:
                        again = tuple(replace(trial, repeat=turn * one.repeat + trial.repeat) for trial in kept)
                        found[one.name] = found.get(one.name, TrialSet()) + TrialSet(again)
    except KeyboardInterrupt:  # in a race, or between two
        raise CampaignInterrupted(Campaign(found, when)) from None
    return Campaign(found, when)


def _turned(one: Experiment, turn: int) -> Experiment:
    first = turn % max(len(one.arms), 1)
    return replace(one, arms=one.arms[first:] + one.arms[:first])


def _race(one: Experiment, lab: Lab, kept: list[Trial], tell: Callable[[Progress], None]) -> None:
    race(
        one.arms,
        one.workload,
        repeat=one.repeat,
        lab=lab,
        progress=tell,
        keep=kept,
        bare=one.bare,
        ticker_s=one.ticker_s,
        checked=True,
    )


def share_of(
    experiments: Sequence[Experiment],
    place: int,
    progress: Callable[[Progress], None] | None,
    turn: int = 0,
    rounds: int = 1,
) -> Callable[[Progress], None]:
    """Return what turns one experiment's progress, in this turn of the rounds, into the whole campaign's.

    The fraction is of expected seconds.
    """
    seconds = [one.expected_s for one in experiments]
    begins = marks(seconds)
    trials = [one.repeat * len(one.arms) for one in experiments]

    def tell(so_far: Progress) -> None:
        if progress is not None:
            part = (begins[place] + so_far.fraction * seconds[place]) / begins[-1]
            done = turn * sum(trials) + sum(trials[:place]) + so_far.done
            progress(Progress((turn + part) / rounds, so_far.arm, done, rounds * sum(trials), so_far.trial))

    return tell
