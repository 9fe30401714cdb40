"""Notebook 08: a function that says what a step earned goes in, trials of known truth and real ones try it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from supalab.course.check import Exercise
from supalab.course.factors import in_rounds
from supalab.course.feedback import Finding
from supalab.lab.handle import Lab
from supalab.measure.case import Case as Asked
from supalab.measure.case import Trial
from supalab.measure.workload import Workload

__all__ = ["CASES", "EXERCISES", "Case"]

LATENCY_S, REQUESTS, ROUNDS = 0.03, 12, 3
#: Nearer than this is the same: what is printed of a second has three decimals.
NEAR_S = 0.0005

PAIRED = (
    "This machine got slower from round to round, for both arms. Subtract pair by pair, before[i] - after[i], and "
    "this change is gone."
)
FOUR = "Return four values: the median, the lowest and the highest of the differences, and True or False."
DIRECTION = "Saved seconds are positive: subtract before minus after."
LOSES = "A step can lose time, and this can be above noise too: then all rounds are on the other side of 0."
ONE_SLOW = "One slow round moves a mean a lot. It hardly moves a median."
BOTH_SIDES = "Some rounds saved time and some lost time, so 0 is inside the range: this is within noise."
STEADY = "Ten milliseconds are little, but every round has them. A small gain is not the same as noise."
TRIALS = (
    "before and after are lists with one trial per round; the seconds of a trial are its makespan_s. "
    "zip(before, after) gives you the pairs."
)
PLAIN = "The function computes and waits for nothing, so use a plain def: an async def returns a coroutine."
ENDS = "The range goes from the lowest to the highest difference within a round."


@dataclass(frozen=True, slots=True)
class Case:
    """Makespans of two arms, seconds, one a round; ``words`` for an answer whose middle or verdict differs here."""

    what: str
    before: tuple[float, ...]
    after: tuple[float, ...]
    words: str

    @property
    def truth(self) -> tuple[float, float, float, bool]:
        """What the step earned: median, lowest, highest, and whether it can be told from noise."""
        return _truth([a - b for a, b in zip(self.before, self.after, strict=True)])


CASES = (
    Case("a clear gain", (0.50, 0.52, 0.51), (0.20, 0.21, 0.22), DIRECTION),
    Case("a machine that gets slower", (0.50, 0.60, 0.70), (0.40, 0.51, 0.59), PAIRED),
    Case("one slow round", (0.31, 0.30, 1.40, 0.32, 0.30), (0.21, 0.21, 0.20, 0.21, 0.20), ONE_SLOW),
    Case("nothing changed", (0.20, 0.21, 0.20, 0.22, 0.20), (0.19, 0.20, 0.21, 0.20, 0.21), BOTH_SIDES),
    Case("a small gain, each time", (0.200, 0.210, 0.205), (0.190, 0.198, 0.196), STEADY),
    Case("a step that loses", (0.20, 0.21, 0.20), (0.26, 0.28, 0.25), LOSES),
)


def _truth(found: Sequence[float]) -> tuple[float, float, float, bool]:
    return median(found), min(found), max(found), not min(found) <= 0 <= max(found)


async def told(answer: Callable[[Sequence[Trial], Sequence[Trial]], Any]) -> list[Finding]:
    """Try the function on trials of known truth, and on a step that a lab has just seen."""
    try:
        found = [_tried(case, answer(_made("before", case.before), _made("after", case.after))) for case in CASES]
    except (TypeError, AttributeError) as error:
        if "'Trial'" not in str(error) and "'list'" not in str(error):
            raise
        return [Finding("your code", "to run", f"{type(error).__name__}: {error}", False, TRIALS)]
    if not all(one.ok for one in found):
        return found
    async with Lab(latency=LATENCY_S) as lab:
        real = await in_rounds(lab, ("fake-3", "fake-10"), requests=REQUESTS, rounds=ROUNDS, watch=False)
    a, b = (tuple(trial.makespan_s for trial in trials) for trials in real.trials)
    case = Case("3 threads, then 10, just now at the lab", a, b, DIRECTION)
    return [*found, _tried(case, answer(*map(list, real.trials)))]


def _made(arm: str, makespans: Sequence[float]) -> list[Trial]:
    """One request a trial: its end is the total time."""
    load = Workload(1, None)
    return [
        Trial(Asked(f"{arm}-1", load, repeat=turn), {"makespan_s": seconds}) for turn, seconds in enumerate(makespans)
    ]


def _tried(case: Case, said: Any) -> Finding:
    expected = _shown(case.truth)
    if inspect.iscoroutine(said):
        said.close()
        return Finding(case.what, expected, "a coroutine", False, PLAIN)
    if not _four(said):
        return Finding(case.what, expected, repr(said), False, FOUR)
    words = _why(case, said)
    return Finding(case.what, expected, _shown(said), not words, words)


def _four(said: Any) -> bool:
    """Three numbers and a truth, numpy's among them: its own kind of bool is no int."""
    if not isinstance(said, (tuple, list)) or len(said) != 4:
        return False
    *numbers, can_tell = said
    true_or_false = isinstance(can_tell, int) or type(can_tell).__name__ in {"bool", "bool_"}
    return true_or_false and all(isinstance(one, (int, float)) for one in numbers)


def _shown(said: Sequence[Any]) -> str:
    middle, lowest, highest, can_tell = said
    return f"{middle:+.3f} s ({lowest:+.3f} to {highest:+.3f}), {'above noise' if can_tell else 'within noise'}"


def _why(case: Case, said: Sequence[Any]) -> str:
    middle, lowest, highest, can_tell = case.truth
    if _near(said[0], -middle) and not _near(middle, 0):
        return DIRECTION
    if not _near(said[0], middle):
        differences = [a - b for a, b in zip(case.before, case.after, strict=True)]
        unpaired = median(case.before) - median(case.after)
        return ONE_SLOW if _near(said[0], mean(differences)) else PAIRED if _near(said[0], unpaired) else case.words
    if not (_near(said[1], lowest) and _near(said[2], highest)):
        return PAIRED if case.words == PAIRED else ENDS
    return "" if bool(said[3]) == can_tell else case.words


def _near(one: float, other: float) -> bool:
    return abs(one - other) < NEAR_S


EXERCISES = (
    Exercise(
        "08a",
        "compute what a step saves",
        (
            "before[i] and after[i] ran in the same round. First make a list of their differences.",
            "found = [a.makespan_s - b.makespan_s for a, b in zip(before, after)]. Its median, min and max are three "
            "of the four values; above_noise means that 0 is not between min and max.",
        ),
        told,
    ),
)
