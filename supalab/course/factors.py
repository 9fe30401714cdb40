"""Measure what each step of a chain of arms saves, in the kernel's own loop.

A round takes seconds. ``supalab explain`` does the same in fresh processes,
with CPU, more factors and more links.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from supalab.clients.arms import Arm, arm
from supalab.course.predict import Guess
from supalab.course.progress import displayed, line
from supalab.errors import SettingsError
from supalab.experiments.explain import chain
from supalab.lab.handle import Lab
from supalab.measure.burst import burst
from supalab.measure.case import Case, Trial
from supalab.measure.compare import Difference, compare, noise_of
from supalab.measure.run import Outcome, put_back, trial_of
from supalab.measure.workload import Workload
from supalab.settings import Settings

__all__ = ["NOTHING", "Rounds", "Taken", "in_rounds", "in_seconds", "signed"]

#: The key of a step from an arm to itself.
NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Taken:
    """One step of a chain: its key, what it changes in a few words, both arms' trials, and the seconds saved."""

    key: str
    change: str
    before: tuple[Trial, ...]
    after: tuple[Trial, ...]
    saved: Difference

    @property
    def each(self) -> tuple[float, ...]:
        """The seconds that it saved in each round."""
        pairs = zip(_seconds(self.before), _seconds(self.after), strict=True)
        return tuple(one - other for one, other in pairs)

    def __str__(self) -> str:
        got = self.saved
        verdict = ("saved" if got.median > 0 else "lost") if got.above_noise else "within noise"
        return f"{self.change}: {signed(got.median)} s ({signed(got.lowest)} to {signed(got.highest)}), {verdict}"


@dataclass(frozen=True, slots=True)
class Rounds:
    """Trials of a chain of arms: for each place in the chain one trial a round. An arm may stand there twice."""

    arms: tuple[str, ...]
    trials: tuple[tuple[Trial, ...], ...]

    @property
    def workload(self) -> Workload:
        """What every trial was asked to do."""
        return self.trials[0][0].workload

    @property
    def steps(self) -> tuple[Taken, ...]:
        """What lies between neighbours in the chain."""
        sides = list(zip(self.arms, map(_seconds, self.trials), strict=True))
        taken = []
        for (before, a), (after, b) in itertools.pairwise(zip(self.arms, self.trials, strict=True)):
            saved = compare(_seconds(a), _seconds(b), noise_of(sides, {before, after}))
            taken.append(Taken(*_named(before, after), a, b, saved))
        return tuple(taken)

    @property
    def whole(self) -> Difference:
        """What the way from the first arm to the last saved, seconds."""
        return compare(_seconds(self.trials[0]), _seconds(self.trials[-1]))

    def of(self, name: str) -> tuple[Trial, ...]:
        """Return an arm's trials, one a round; of an arm that stands there twice, the first ones."""
        if name not in self.arms:
            raise SettingsError(f"no arm {name!r} ran in these rounds: there are {', '.join(dict.fromkeys(self.arms))}")
        return self.trials[self.arms.index(name)]

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))


def _seconds(trials: Sequence[Trial]) -> list[float]:
    return [trial.makespan_s for trial in trials]


def signed(seconds: float) -> str:
    """Return seconds with a sign and three decimals; what rounds to nothing is ``+0.000``."""
    return f"{round(seconds, 3) + 0.0:+.3f}"


def _named(before: str, after: str) -> tuple[str, str]:
    """Return the key of the factor between two arms and its words; without a factor, the arms' names."""
    if before == after:
        return NOTHING, f"nothing: {after} again"
    limits = sorted(arm(name).limit for name in (before, after))
    factors = chain(*limits) if limits[0] < limits[1] else chain(1, limits[1]) if limits[1] > 1 else ()
    for one in factors:
        if (one.before, one.after) == (before, after):
            return one.key, one.change.replace(", then ", " → ")
    return f"{before} → {after}", f"{before} → {after}"


async def in_rounds(
    lab: Lab,
    arms: Sequence[str],
    *,
    requests: int = 20,
    rounds: int = 5,
    rtt: float | None = None,
    tls: bool | None = None,
    watch: bool = True,
) -> Rounds:
    """Run every arm once, then all again, each time another one first, and return the trials.

    A trial is a burst of ``requests`` at the lab's latency, after one wave that does not count. ``arms`` may name
    one twice: the step between the two shows what chance earns. ``rtt`` (seconds) and ``tls`` set the link for these
    rounds alone: afterwards it is as it was, even if somebody interrupts. ``watch``: show a line of progress
    below the cell. Raises SettingsError for an arm that there is not.
    """
    chosen = [arm(name) for name in arms]
    if len(chosen) < 2 or rounds < 1:
        raise SettingsError("a step needs two arms and a round: name at least two arms, and use rounds=5")
    for one in chosen:
        one.load()
    before = lab.conditions
    try:
        lab.set(rtt=rtt, tls=tls)
        return await _taken_in_turns(lab, chosen, requests, rounds, watch)
    finally:
        put_back(lab, before)


async def _taken_in_turns(lab: Lab, chosen: Sequence[Arm], requests: int, rounds: int, watch: bool) -> Rounds:
    show, done = displayed() if watch else None, 0
    kept: list[list[Trial]] = [[] for _ in chosen]
    for turn in range(rounds):
        for place in range(len(chosen)):
            at = (place + turn) % len(chosen)
            if show is not None:
                words = f"{chosen[at].name}, round {turn + 1} of {rounds}"
                show({"text/plain": line(done / (rounds * len(chosen)), words)})
            kept[at].append(await _trial(lab, chosen[at], requests, turn))
            done += 1
    if show is not None:
        show({"text/plain": line(1.0, f"{rounds} rounds of {len(chosen)} arms")})
    return Rounds(tuple(one.name for one in chosen), tuple(map(tuple, kept)))


async def _trial(lab: Lab, one: Arm, requests: int, turn: int) -> Trial:
    conditions = await asyncio.to_thread(lambda: lab.conditions)
    others = {name: value for name, value in asdict(conditions).items() if name != "latency" and value}
    case = Case(one.name, Workload(requests, conditions.latency), repeat=turn, conditions=others)
    await asyncio.to_thread(lab.reset)
    ca_file = None if lab.ca_file is None else str(lab.ca_file)
    async with one.build(Settings(lab.url, lab.key, ca_file=ca_file)) as client:
        await burst(client, replace(case.workload, requests=one.limit), watch=False)
        spans = await burst(client, case.workload, watch=False)
    return trial_of(case, Outcome({}, spans), await asyncio.to_thread(lab.witness))


def in_seconds(found: Rounds, guesses: Mapping[str, Guess]) -> dict[str, float]:
    """Return what somebody expected of steps, by their keys: seconds, or per cent of the whole turned into seconds.

    Who skipped is left out, and so are shares of a whole that saved nothing.
    """
    whole = found.whole.median
    made = {key: (guess.value, guess.unit) for key, guess in guesses.items() if guess.value is not None}
    seconds = {key: value for key, (value, unit) in made.items() if not unit.startswith("%")}
    parts = {key: value / 100 * whole for key, (value, unit) in made.items() if unit.startswith("%") and whole > 0}
    return seconds | parts
