"""Notebook 01: a learner's formula for the makespan goes in; it is judged beside bursts at a lab."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from numbers import Real
from typing import Any

from supalab.clients.fake import FakeSupabaseAsync
from supalab.course.check import Exercise
from supalab.course.feedback import Finding
from supalab.lab.handle import Lab
from supalab.measure.burst import burst
from supalab.measure.workload import Workload

__all__ = ["EXERCISES"]

LATENCY_S = 0.1
#: (requests, limit): rounds that are all full; a last one that is not; fewer requests than slots.
CASES = ((9, 3), (7, 6), (2, 8))
#: A formula has one right value. What the lab measures lies above it, on a busy machine by a whole round: it is shown
#: beside the value, and does not decide.
NEAR_S = 0.001
#: The notebook's own burst, whose numbers may be left in a formula.
SHOWN_THREADS, SHOWN_LATENCY_S = 3, 0.15


async def makespans(formula: Callable[[int, int, float], Any]) -> list[Finding]:
    """Judge ``formula(requests, limit, latency)``, seconds, and show what the fake client takes at a lab."""
    refused = _no_number(formula)
    if refused is not None:
        return [refused]
    found = []
    async with Lab(latency=LATENCY_S) as lab:
        for requests, limit in CASES:
            told = float(formula(requests, limit, LATENCY_S))
            async with FakeSupabaseAsync(lab.url, lab.key, limit=limit) as db:
                spans = await burst(db, Workload(requests, LATENCY_S))
            found.append(_compared(requests, limit, told, max(span.done for span in spans)))
    return found


def _no_number(formula: Any) -> Finding | None:
    """Say what somebody gave who did not give a function from three numbers to one."""
    what, expected = "what it returns", "a number of seconds"
    if not callable(formula):
        words = "Give check() the function itself: makespan, without parentheses after it."
        return Finding("the answer", "a function", f"a {type(formula).__name__}", False, words)
    requests, limit = CASES[0]
    told = formula(requests, limit, LATENCY_S)
    if inspect.iscoroutine(told):
        told.close()  # one that never began would complain
        return Finding(
            what, expected, "a coroutine", False, "A plain `def` is enough, because there is nothing to await here."
        )
    if told is None:
        return Finding(what, expected, "None", False, "The function returns nothing. Is there a return?")
    if isinstance(told, bool) or not isinstance(told, Real):
        return Finding(what, expected, f"a {type(told).__name__}", False, "Return the bare number, without a unit.")
    return None


def _compared(requests: int, limit: int, told: float, took: float) -> Finding:
    right = math.ceil(requests / limit) * LATENCY_S
    fits = abs(told - right) < NEAR_S
    what = f"{requests} requests of {LATENCY_S:g} s, {limit} threads"
    expected = f"{right:.2f} s; measured: {took:.2f} s"
    return Finding(what, expected, f"{told:.2f} s", fits, "" if fits else _why(requests, limit, told))


def _why(requests: int, limit: int, told: float) -> str:
    if limit > 1 and abs(told - requests * LATENCY_S) < 0.01:
        return (
            "This is the time of one request after another. The threads work at the same time. How many waves is that?"
        )
    if told in {math.ceil(requests / limit), requests // limit}:
        return "This looks like the number of waves. How many seconds does one wave take?"
    if requests < limit and told < LATENCY_S:
        return "With fewer requests than threads, some threads stay idle. There is always at least one wave."
    if requests % limit and abs(told - requests / limit * LATENCY_S) < 0.01:
        return "The last wave is not full, but it takes as long as the others. Half a wave does not exist."
    if requests % limit and abs(told - requests // limit * LATENCY_S) < 0.01:
        return "The last wave is missing. It is not full, but it takes as long as the others."
    if requests % limit == 0 and abs(told - (requests // limit + 1) * LATENCY_S) < 0.01:
        return f"This is one wave too many: {requests} requests fill exactly {requests // limit} waves of {limit}."
    if any(abs(told - shown) < 0.01 for shown in _with_numbers_left_in(requests, limit)):
        return "Is a number of the burst above, 3 or 0.15, still in your formula? Use threads and latency."
    return "Count the waves. Each wave takes one server time, and there are as many waves as the requests need."


def _with_numbers_left_in(requests: int, limit: int) -> tuple[float, ...]:
    few, own = math.ceil(requests / SHOWN_THREADS), math.ceil(requests / limit)
    return few * SHOWN_LATENCY_S, own * SHOWN_LATENCY_S, few * LATENCY_S


EXERCISES = (
    Exercise(
        "01a",
        "predict the makespan",
        (
            "All threads start together and end together. Think in waves, with one request for each thread.",
            "The number of waves is requests / threads, rounded up with math.ceil. Each wave takes one latency.",
        ),
        makespans,
    ),
)
