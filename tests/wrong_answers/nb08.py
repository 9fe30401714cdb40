"""Plausible wrong answers for the exercise of notebook 08, and a piece of what they must be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean, median
from typing import Any


def _differences(before: Sequence[Any], after: Sequence[Any]) -> list[float]:
    return [a - b for a, b in zip(before, after, strict=True)]


def _said(
    middle: Callable[[list[float]], float] = median,
    can_tell: Callable[[list[float]], bool] = lambda found: min(found) > 0 or max(found) < 0,
    sign: int = 1,
) -> Callable[[Any, Any], Any]:
    def answer(before: Sequence[Any], after: Sequence[Any]) -> tuple[float, float, float, bool]:
        found = [sign * one for one in _differences(before, after)]
        return middle(found), min(found), max(found), can_tell(found)

    return answer


def unpaired(before: Sequence[Any], after: Sequence[Any]) -> tuple[float, float, float, bool]:
    """Two separate medians, without the pairs of each round."""
    a, b = list(before), list(after)
    return median(a) - median(b), min(a) - max(b), max(a) - min(b), min(a) > max(b)


def overlapping(before: Sequence[Any], after: Sequence[Any]) -> tuple[float, float, float, bool]:
    """The right spread, and a verdict from overlapping values."""
    found = _differences(before, after)
    apart = min(before) > max(after)
    return median(found), min(found), max(found), apart


async def waiting(before: Sequence[Any], after: Sequence[Any]) -> Any:
    """The right result, but as a coroutine."""
    return _said()(before, after)


def of_seconds(before: Sequence[Any], after: Sequence[Any]) -> Any:
    """Uses a trial's attribute for its seconds, which these numbers do not have."""
    return median(a.makespan_s - b.makespan_s for a, b in zip(before, after, strict=True))


WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "08a": (
        (_said(mean), "One slow round moves a mean"),
        (_said(sign=-1), "before minus after"),
        (unpaired, "Subtract pair by pair"),
        (overlapping, "This machine got slower"),
        (_said(can_tell=lambda found: median(found) != 0), "Some rounds saved time and some lost time"),
        (_said(can_tell=lambda found: True), "0 is inside the range"),
        (_said(can_tell=lambda found: min(found) > 0), "A step can lose time"),
        (_said(can_tell=lambda found: abs(median(found)) > 0.05), "A small gain is not the same as noise"),
        (of_seconds, "Your code raised an error"),
        (lambda before, after: median(before) - median(after), "Return four values"),
        (lambda before, after: before - after, "Return four values"),
        (waiting, "use a plain def"),
        (lambda before, after: median(_differences(before, after)), "Return four values"),
    ),
}
