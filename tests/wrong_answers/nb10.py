"""Plausible wrong answers for the exercise of notebook 10, and a piece of what each must be told."""

from __future__ import annotations

from typing import Any

WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "10a": (
        ({"limit": 3, "timeout": 0.7}, "6 in flight on average: with 3 slots the queue only grows"),
        ({"limit": 6, "timeout": 0.7}, "all 6 slots are always busy"),
        ({"limit": 3, "timeout": 30}, "s to refuse"),
        ({"limit": 10, "timeout": 5.0}, "s to refuse"),
        ({"limit": 100, "timeout": 0.1}, "about to answer"),
        ({"limit": 0.7, "timeout": 10}, "a whole number of slots"),
        ({"limit": 10, "timeout": 700}, "Did you mean milliseconds?"),
        ({"limit": 10, "timeout": "0.7"}, "a number of seconds"),
        ({"limit": 10, "timeout": 0.7, "retries": 2}, "a whole number of slots"),
        ((10, 0.7), "a whole number of slots"),
    ),
}
