"""Plausible wrong answers for the exercise of notebook 09, and a piece of what each must be told."""

from __future__ import annotations

import math
from typing import Any


async def waiting(per_s: float, latency: float) -> int:
    """The right result, but as a coroutine."""
    return math.ceil(per_s * latency)


WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "09a": (
        (lambda per_s, latency: int(per_s * latency) or 1, "round up"),
        (lambda per_s, latency: max(1, round(per_s * latency)), "round up"),
        (lambda per_s, latency: float(math.ceil(per_s * latency)), "int(…) makes it a whole number"),
        (lambda per_s, latency: 10, "one slot fewer reaches it as well"),
        (lambda per_s, latency: round(per_s * latency), "With a limit of 0"),
        (lambda per_s, latency: math.ceil(per_s / latency), "In flight = throughput x time: multiply"),
        (lambda per_s, latency: per_s * latency, "there are no half slots"),
        (lambda per_s, latency: int(per_s * latency) + 1, "60 x 0.15 is exactly 9"),
        (lambda per_s, latency: None, "Is there a return?"),
        (waiting, "use a plain def"),
    ),
}
