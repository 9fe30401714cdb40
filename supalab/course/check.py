"""A learner's answer goes in, is tried at a lab, and kind feedback comes out: findings, a hint, another, the solution.

Judged is what an answer *does*, never how it is written. A check never raises for what a learner wrote, so the rest of
the notebook runs.
"""

from __future__ import annotations

import asyncio
import re
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from supalab.course.attempts import note
from supalab.course.feedback import Feedback, Finding, State
from supalab.errors import SettingsError

__all__ = ["Asked", "Exercise", "Judge", "NotDone", "check", "forget", "judged"]

PATIENCE_S = 20.0
#: After so many tries the second hint comes, after so many the solution.
SECOND_HINT, SOLUTION = 2, 3
#: The file name that IPython gives a cell's code.
CELL = re.compile(r"ipykernel_\d+|ipython-input")

Judge: TypeAlias = Callable[[Any], Awaitable[Sequence[Finding]]]

_tries: Counter[str] = Counter()


class NotDone(Exception):  # it says where somebody is, not that something broke
    """What a stub raises: this exercise has not been done yet."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """One exercise: its number and title, two hints, and the judge that tries an answer at a lab."""

    number: str
    title: str
    hints: tuple[str, str]
    judge: Judge


class Asked:
    """A check that was asked for: ``await`` it. A cell that forgets to says so, in place of a bare coroutine."""

    def __init__(self, number: str, looking: Callable[[], Awaitable[Feedback]]) -> None:
        self._number = number
        self._looking = looking

    def __await__(self) -> Generator[Any, None, Feedback]:
        return self._looking().__await__()

    def __repr__(self) -> str:
        return f'Nothing was checked yet: write await in front, as in  await check("{self._number}", …)'


def check(number: str, answer: Any) -> Asked:
    """Try an answer to an exercise such as ``"01a"``; awaited, it gives what the lab saw, and the next hint if need be.

    Raises SettingsError for a number that is no exercise's.
    """
    from supalab.course.exercises import EXERCISES

    exercise = EXERCISES.get(number)
    if exercise is None:
        raise SettingsError(f"there is no exercise {number!r}: choose from {', '.join(EXERCISES)}")
    return Asked(number, lambda: _looked_at(exercise, answer))


async def _looked_at(exercise: Exercise, answer: Any) -> Feedback:
    found = await _feedback(exercise, answer)
    note(exercise.number, found.state)
    return found


async def _feedback(exercise: Exercise, answer: Any) -> Feedback:
    from supalab.course.build import solution_of

    number = exercise.number
    findings = await judged(exercise, answer)
    if isinstance(findings, NotDone):
        return Feedback(number, exercise.title, State.NOT_DONE, left=str(findings))
    if all(finding.ok for finding in findings):
        _tries[number] = 0
        return Feedback(number, exercise.title, State.DONE, findings)
    _tries[number] += 1
    hints = exercise.hints if _tries[number] >= SECOND_HINT else exercise.hints[:1]
    solution = solution_of(number) if _tries[number] >= SOLUTION else ""
    return Feedback(number, exercise.title, State.LOOK_AGAIN, findings, hints, solution)


def forget(number: str) -> None:
    """Start an exercise's hints again."""
    _tries[number] = 0


async def judged(exercise: Exercise, answer: Any) -> tuple[Finding, ...] | NotDone:
    """Return what the judge found, or what a stub says is left to do; what breaks in there is a finding."""
    if answer is ...:
        return NotDone("replace the three dots by your answer")
    try:
        async with asyncio.timeout(PATIENCE_S) as patience:
            return tuple(await exercise.judge(answer))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # somebody stops the cell
        return (_broke(error),)  # the answer has cancelled something and awaited it
    except TimeoutError as error:
        if not patience.expired():  # the answer's own
            return unfinished(error) or (_broke(error),)
        words = f"Still running after {PATIENCE_S:.0f} s. Do you await something that never completes?"
        return (Finding("your code", "to finish", f"still running after {PATIENCE_S:.0f} s", False, words),)
    except Exception as error:
        # A judge is ours and tested; what breaks in it is the answer.
        return unfinished(error) or (_broke(error),)


def unfinished(error: BaseException) -> NotDone | None:
    """Return the stub among the causes of an error, None if there is none."""
    if isinstance(error, NotDone):
        return error
    below = [*(error.exceptions if isinstance(error, BaseExceptionGroup) else ()), error.__cause__, error.__context__]
    return next((stub for one in below if one is not None and (stub := unfinished(one))), None)


def _broke(error: BaseException) -> Finding:
    text = " ".join(str(error).split()) or "no message"
    return Finding("your code", "to run", f"{type(error).__name__}: {text}", False, " ".join(_why(error, text)))


def _where(error: BaseException) -> str:
    """The line of the learner's own cell in which the error was raised, if it was raised in a cell."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if CELL.search(frame.filename) and frame.lineno:
            return f" in line {frame.lineno} of your cell, `{(frame.line or frame.name).strip()}`"
    return ""


def _why(error: BaseException, text: str) -> list[str]:
    """What is said of an error: for the two that come of a missing word, which word."""
    words = [f"Your code raised an error{_where(error)}."]
    if "used in 'await' expression" in text or "object can't be awaited" in text:  # up to Python 3.13, and later
        words.append("You await something that is not a coroutine: is there a plain def where an async def is meant?")
    elif "'coroutine'" in text:
        words.append("There is a coroutine instead of its result: an await is missing.")
    return words
