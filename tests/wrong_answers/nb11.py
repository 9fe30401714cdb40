"""Plausible wrong answers for the exercise of notebook 11, and a piece of what each must be told."""

from __future__ import annotations

from typing import Any

WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "11a": (
        ({"doubted": "throughput", "limit": 25, "response": 0.1}, "agree with each other"),
        ({"doubted": "limit", "limit": 5, "response": 0.5}, "One is enough"),
        ({"doubted": "limit", "limit": 5, "response": 100}, "write 0.1 for 100 ms"),
        ({"doubted": "limit", "limit": 10, "response": 0.1}, "too fast. In flight = throughput x response"),
        ({"doubted": "limit", "limit": 2.5, "response": 0.1}, "a whole number of requests in flight"),
        ({"doubted": "memory", "limit": 5, "response": 0.1}, "Doubt one of these"),
        (
            {"doubted": "Response ", "limit": 5, "response": 0.1},
            "You doubt the response, but you changed limit",
        ),
        ({"doubted": "limit", "limit": 10, "response": 0.2}, "you changed limit and response"),
        ({"doubted": "limit", "limit": 5, "response": "100 ms"}, "write 0.1 for 100 ms"),
        ("limit", "Keep the three names"),
        ({"limit": 5}, "Keep the three names"),
        ({"doubted": "response", "limit": 5, "response": 0.1}, "Change only the number that you doubt"),
    ),
}
