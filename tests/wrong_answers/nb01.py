"""Plausible wrong answers for each exercise of notebook 01, and a piece of what they must be told."""

from __future__ import annotations

import math
from typing import Any


def nothing_back(requests: int, threads: int, latency: float) -> None:
    math.ceil(requests / threads) * latency


def with_a_unit(requests: int, threads: int, latency: float) -> str:
    return f"{math.ceil(requests / threads) * latency} s"


async def a_coroutine(requests: int, threads: int, latency: float) -> float:
    return math.ceil(requests / threads) * latency


WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "01a": (
        (lambda requests, threads, latency: requests * latency, "one request after another"),
        (lambda requests, threads, latency: requests / threads * latency, "Half a wave does not exist"),
        (lambda requests, threads, latency: latency, "Count the waves"),
        (lambda requests, threads, latency: requests // threads * latency, "The last wave is missing"),
        (lambda requests, threads, latency: (requests // threads + 1) * latency, "one wave too many"),
        (lambda requests, threads, latency: math.ceil(requests / threads), "seconds does one wave take"),
        (lambda requests, threads, latency: math.ceil(requests / 3) * 0.15, "Is a number of the burst above"),
        (nothing_back, "Is there a return?"),
        (with_a_unit, "Return only the number"),
        (a_coroutine, "use a plain def"),
        (lambda requests, threads, latency: round(requests / threads) * latency, "at least one wave"),
        (lambda requests, threads, latency: requests // threads, "How many seconds does one wave take"),
        (0.3, "the function itself"),
    ),
}
