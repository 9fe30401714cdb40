"""Three plausible wrong answers for each exercise of notebook 01, and a piece of what they must be told."""

from __future__ import annotations

from typing import Any

WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "01a": (
        (lambda requests, threads, latency: requests * latency, "one request after another"),
        (lambda requests, threads, latency: requests / threads * latency, "half a round does not exist"),
        (lambda requests, threads, latency: latency, "Count the rounds"),
    ),
}
