"""Plausible wrong answers for the exercise of notebook 07, and a piece of what they must be told."""

from __future__ import annotations

from typing import Any

RIGHT = {"limit": ("fake-3", "fake-10"), "reuse": ("fake-10", "session-10"), "async": ("session-10", "real-10")}

WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "07a": (
        # The article's own comparison: three changes at once.
        (RIGHT | {"limit": ("fake-3", "real-10")}, "but also in reuse of connections, and in threads or async"),
        (RIGHT | {"async": ("session-10", "article-10")}, "but also in reuse of connections"),
        (RIGHT | {"reuse": ("fake-10", "article-10")}, "do not differ in reuse of connections. They differ in threads"),
        (RIGHT | {"async": ("article-10", "article-10")}, "compared with itself shows only the noise"),
        (RIGHT | {"reuse": ("fake-10", "Session")}, "no arm is called 'Session'"),
        (RIGHT | {"limit": "fake-3"}, "Give two names of arms"),
        ({"limit": ("fake-3", "fake-10")}, "The keys are"),
        # One pair of three: it is tried all the same.
        ({"limit": ("fake-3", "real-10"), "reuse": ..., "async": ...}, "but also in reuse of connections"),
        (RIGHT | {"async": ...}, "The pair for threads or async is still missing"),
        (RIGHT | {"async": ("session-10", "real")}, "choose from fake-3, fake-10"),
    ),
}
