"""The step from the article's "before" to ours, taken apart: two limits go in, factors and their arms come out. Pure.

Each factor is a pair of arms that differ in one thing; the second arm of one is the first arm of the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from supalab.errors import SettingsError
from supalab.settings import checked_limit

__all__ = ["ARTICLE_FACTORS", "LINKS", "LINKS_OF", "PLAIN", "Factor", "Link", "chain"]

#: So many of the factors make the article's own step; those after it lead on to ours.
ARTICLE_FACTORS = 4


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that changes between two arms: ``key`` for finding it, ``change`` in a few words."""

    key: str
    change: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Link:
    """What lies between client and lab: ``rtt`` seconds of a round trip, and perhaps TLS."""

    name: str
    rtt: float
    tls: bool


PLAIN, FAR = Link("HTTP", 0.0, False), Link("TLS, 40 ms", 0.04, True)
LINKS = (PLAIN, Link("TLS", 0.0, True), Link("TLS, 20 ms", 0.02, True), FAR, Link("TLS, 100 ms", 0.1, True))
#: Reuse depends on the link more than all others: it has them all. The others that touch connections have two.
LINKS_OF = {"reuse": LINKS, "library": (PLAIN, FAR), "async": (PLAIN, FAR), "keepalive": (PLAIN, FAR)}


def chain(before: int = 3, after: int = 10) -> tuple[Factor, ...]:
    """Return the factors in order, from ``before`` threads to ours with a limit of ``after``.

    Raises SettingsError unless 0 < before < after.
    """
    if checked_limit(before) >= checked_limit(after):
        raise SettingsError(f"limits {before} and {after} explain no step up: let the second be larger, e.g. 3 and 10")
    keys = (
        ("limit", f"{before} at once, then {after}", f"fake-{before}"),
        ("reuse", "new connections, then reuse", f"fake-{after}"),
        ("library", f"requests, then httpx (keeps {after // 2})", f"session-{after}"),
        ("async", "threads, then async", f"httpx-threads-{after}"),
        ("keepalive", f"{after // 2} connections kept, then {after}", f"article-{after}"),
        ("gate", "queue in the pool, then a gate", f"kept-{after}"),
        ("around", "bare, then what ours adds", f"gated-{after}"),
        ("transport", "httpx's pool, then a faster one", f"real-httpx-{after}"),
    )
    ends = [name for _, _, name in keys[1:]] + [f"real-{after}"]
    return tuple(Factor(key, change, start, end) for (key, change, start), end in zip(keys, ends, strict=True))
