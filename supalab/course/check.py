"""Try a learner's answer to an exercise at a lab, and say what was seen, with a hint if need be.

The judges look at what an answer *does*, never at how it is written. A check never raises an error because of a
learner's code, so the rest of the notebook runs.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import re
import traceback
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from supalab.course.attempts import note
from supalab.course.feedback import Feedback, Finding, State
from supalab.errors import SettingsError
from supalab.report.format import count, listed

if TYPE_CHECKING:
    from supalab.course.build import Task  # so that `python -m supalab.course.build` loads its module only once

#: A check that takes a few seconds takes many on a busy machine; code that never completes takes all of these.
PATIENCE_S = 30.0
#: After how many tries the second hint is shown, and after how many the solution.
SECOND_HINT, SOLUTION = 2, 3
#: The file name that IPython gives a cell's code.
CELL = re.compile(r"ipykernel_\d+|ipython-input")
#: The texts for every exercise that has no own text under this name.
REASONS = {
    "no_function": "Give check() the function itself, by its name, without parentheses after it.",
    "coroutine": "The function computes and waits for nothing, so use a plain def: an async def returns a coroutine.",
    "nothing": "The function returns nothing. Is there a return?",
    "plain": "Callers await it: write `async def`.",
    "unawaited": "The result is something to await, but it was not awaited: an await is missing.",
}

#: Tries an answer and yields what it finds, one thing after another; it ends early with ``stop`` or ``required``.
Judge: TypeAlias = Callable[[Any], AsyncIterator[Finding]]

#: How often each exercise was tried since it was done.
tried: Counter[str] = Counter()


class NotDone(Exception):  # it says how far somebody is, not that something broke
    """What a stub raises: this exercise has not been done yet."""


class StopCheck(Exception):
    """Ends a check with this finding, because without it nothing else can be judged."""

    def __init__(self, last: Finding) -> None:
        super().__init__(last.what)
        self.last = last


@dataclass(frozen=True, slots=True)
class Exercise:
    """One exercise: its texts from the notebook's source, and the judge that tries an answer at a lab."""

    task: Task
    judge: Judge

    def explained(self, found: Finding) -> Finding:
        """Return a finding with the text of its reason."""
        if not found.reason:
            return found
        return replace(found, words={**REASONS, **self.task.reasons}[found.reason].format(**found.facts))


class Asked:
    """A check that must be awaited. If a cell forgets the ``await``, it shows a hint instead of a coroutine."""

    def __init__(self, number: str, looking: Callable[[], Awaitable[Feedback]]) -> None:
        self._number = number
        self._looking = looking

    def __await__(self) -> Generator[Any, None, Feedback]:
        return self._looking().__await__()

    def __repr__(self) -> str:
        return f'Nothing was checked yet: write await in front, as in  await check("{self._number}", …)'


def asked(exercises: Mapping[str, Exercise], number: str, answer: Any) -> Asked:
    """Return the check of an answer to one of these exercises; raises SettingsError for an unknown number."""
    exercise = exercises.get(number)
    if exercise is None:
        raise SettingsError(f"there is no exercise {number!r}: choose from {', '.join(exercises)}")
    return Asked(number, lambda: _feedback(exercise, answer))


async def _feedback(exercise: Exercise, answer: Any) -> Feedback:
    """Judge the answer, note the attempt, and choose how much help is given."""
    task, number, title = exercise.task, exercise.task.number, exercise.task.title
    findings = await judged(exercise, answer)
    if isinstance(findings, NotDone):
        found = Feedback(number, title, State.NOT_DONE, left=str(findings))
    elif all(one.ok for one in findings):
        tried[number] = 0
        found = Feedback(number, title, State.DONE, findings)
    else:
        tried[number] += 1
        hints = task.hints if tried[number] >= SECOND_HINT else task.hints[:1]
        solution = task.solution if tried[number] >= SOLUTION else ""
        found = Feedback(number, title, State.LOOK_AGAIN, findings, hints, solution)
    note(number, found.state)
    return found


async def judged(exercise: Exercise, answer: Any) -> tuple[Finding, ...] | NotDone:
    """Return the judge's findings, or what a stub says is still to do; an error in the answer is a finding too."""
    if answer is ...:
        return NotDone("replace the three dots with your answer")
    found: list[Finding] = []
    with _in_plain_words():
        left = await _tried(exercise, answer, found)
        gc.collect()
    return left or tuple(found)


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """Keep what Python says of forgotten awaits and tasks from standing red below a cell; the findings say it."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        loop.set_exception_handler(lambda _loop, _context: None)
        try:
            yield
        finally:
            loop.set_exception_handler(before)


async def _tried(exercise: Exercise, answer: Any, found: list[Finding]) -> NotDone | None:
    """Let the judge try the answer, and collect what it finds; returns the stub if one is left."""
    try:
        async with asyncio.timeout(PATIENCE_S) as patience:
            async for one in exercise.judge(answer):
                found.append(exercise.explained(one))  # noqa: PERF401  # what was found before an error counts
    except StopCheck as stopped:
        found.append(exercise.explained(stopped.last))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # somebody stops the cell
        found.append(_broke(error))  # the answer has cancelled something and awaited it
    except Exception as error:
        # Our judges are tested, so an error in one comes from the answer.
        left = unfinished(error)
        if left is None and isinstance(error, TimeoutError) and patience.expired():
            words = "Does your code wait for something that never happens? If not, the machine is busy: check again."
            found.append(Finding("your code", "to finish", f"still running after {PATIENCE_S:.0f} s", False, words))
        elif left is None:
            found.append(_broke(error))
        return left
    return None


def unfinished(error: BaseException) -> NotDone | None:
    """Return the stub that caused an error, None if there is none."""
    if isinstance(error, NotDone):
        return error
    below = [*(error.exceptions if isinstance(error, BaseExceptionGroup) else ()), error.__cause__, error.__context__]
    return next((stub for one in below if one is not None and (stub := unfinished(one))), None)


def _broke(error: BaseException) -> Finding:
    text = " ".join(str(error).split()) or "no message"
    return Finding("your code", "to run", f"{type(error).__name__}: {text}", False, " ".join(_why(error, text)))


def _where(error: BaseException) -> str:
    """Return the line of the learner's cell that raised the error, if a cell raised it."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if CELL.search(frame.filename) and frame.lineno:
            return f" in line {frame.lineno} of your cell, `{(frame.line or frame.name).strip()}`"
    return ""


def _why(error: BaseException, text: str) -> list[str]:
    """Return what is said about an error; for an error that comes from a missing word or sign, which one is missing."""
    words = [f"Your code raised an error{_where(error)}."]
    if "used in 'await' expression" in text or "object can't be awaited" in text:  # up to Python 3.13, and later
        words.append("You await something that is not a coroutine: is there a plain def where an async def is meant?")
    elif "'coroutine'" in text:
        words.append("There is a coroutine instead of its result: an await is missing.")
    elif "support the context manager protocol" in text:
        words.append("Write `async with` instead of `with`.")
    elif re.search("bad yield|an awaitable is required|unhashable type: 'list'", text):  # by the version of Python
        words.append("Does asyncio.gather get one list? It takes each coroutine as an argument: put a * in front.")
    return words


# What judges are made of.


def finding(what: str, expected: object, observed: object, ok: bool) -> Finding:
    """Compare what was observed with what was expected; ``because`` says why they differ."""
    return Finding(what, str(expected), str(observed), bool(ok))


def equal(what: str, expected: object, observed: object, otherwise: str = "", **reasons: Any) -> Finding:
    """Compare what was observed with what must be the same; the reasons are those of ``Finding.because``."""
    return finding(what, expected, observed, observed == expected).because(otherwise, **reasons)


def required(found: Finding) -> Finding:
    """Return a finding; a difference ends the check."""
    if not found.ok:
        raise StopCheck(found)
    return found


def stop(what: str, expected: str, observed: str, reason: str, **say: object) -> NoReturn:
    """End the check with a difference and its reason."""
    raise StopCheck(finding(what, expected, observed, False).because(reason, say=say))


def a_function(answer: Any) -> Any:
    """Return a function; anything else ends the check."""
    return answer if callable(answer) else stop("the answer", "a function", described(answer), "no_function")


def filled(answer: Any, names: Sequence[str], reason: str) -> list[Any]:
    """Return the values of a dict with these names; another answer ends the check, and dots mean "not done yet"."""
    if not isinstance(answer, Mapping) or set(answer) != set(names):
        stop("your answer", f"a dict with {listed(names)}", repr(answer), reason)
    if ... in answer.values():
        raise NotDone("replace all dots")
    return [answer[name] for name in names]


def called(function: Any, *arguments: Any, expected: str) -> Any:
    """Call a function that only computes; the check ends if it is no function, a coroutine, or returns nothing."""
    value = a_function(function)(*arguments)
    if inspect.isawaitable(value) or value is None:
        stop("what it returns", expected, described(value), "nothing" if value is None else "coroutine")
    return value


async def awaited(asked: Any, what: str, expected: str) -> Any:
    """Await the result of a function; the check ends for a plain value or a result that was not awaited."""
    if not inspect.isawaitable(asked):
        stop(what, "something to await", described(asked), "plain")
    value = await asked
    if inspect.isawaitable(value):
        stop(what, expected, "something that was never awaited", "unawaited")
    return value


async def outcome(asked: Awaitable[Any]) -> tuple[Any, Exception | None]:
    """Return the result, or the error that was raised; a stub's error and the end of a check are passed on."""
    try:
        return await asked, None
    except (NotDone, StopCheck):
        raise
    except Exception as error:
        return None, error


def named(error: BaseException) -> str:
    """Return an error as one line: its class and its message."""
    return f"{type(error).__name__}: {error}".rstrip(": ")


def described(value: object) -> str:
    """Describe an answer in two words: rows by their number, anything else by its type."""
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return count(len(value), "row")
    return "None" if value is None else f"a {type(value).__name__}"


def is_number(value: object) -> bool:
    """Return whether a value is a real number; True and False are not numbers here."""
    return isinstance(value, Real) and not isinstance(value, bool)
