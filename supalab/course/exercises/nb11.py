"""Notebook 11: a learner's story of a blog's table goes in; the lab plays it, and says how near it comes to the table.

The table has two ways out, and both are right: its limit is not the one that was used, or its response is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from supalab.clients.real import SupabaseAsync
from supalab.course.check import Exercise, NotDone
from supalab.course.feedback import Finding
from supalab.lab.handle import Lab
from supalab.measure.burst import burst
from supalab.measure.littles_law import Row
from supalab.measure.workload import Workload

__all__ = ["BLOG", "EXERCISES"]

#: The blog's table.
LIMIT, RESPONSE_S, REQUESTS, TOTAL_S = 25, 0.1, 50, 1.0
BLOG = Row(limit=LIMIT, response_s=RESPONSE_S, per_s=REQUESTS / TOTAL_S, n=REQUESTS, total_s=TOTAL_S)
FIGURES = ("limit", "response")
#: What is said to the one good story of the other.
OTHER_WAY = {
    "limit": "a response of 0.5 s at a limit of 25 would explain the rest too",
    "response": "a limit of 5 at 0.1 s would explain the rest too",
}
#: A client's own work makes a burst longer than its latencies, never shorter; a busy machine has a second try.
SHORTER, LONGER = 0.85, 1.3
#: A story that takes longer is told, not played.
PLAYED_S = 2.5


async def on_trial(story: Mapping[str, Any]) -> list[Finding]:
    """Play the story and hold it against the table, then look whether it gives up one figure and no more."""
    if not isinstance(story, Mapping) or set(story) != {"doubted", "limit", "response"}:
        words = "Keep the three names: story = {'doubted': …, 'limit': …, 'response': …}."
        return [Finding("your story", "doubted, limit and response", repr(story), False, words)]
    if ... in story.values():
        raise NotDone("fill in all three")
    broken = _unplayable(story["limit"], story["response"])
    if broken:
        return broken
    limit, response = int(story["limit"]), float(story["response"])
    total, how = await _played(limit, response)
    return [*_against_the_table(limit, response, total, how), _changed(limit, response, story["doubted"])]


def _unplayable(limit: object, response: object) -> list[Finding]:
    """What is no limit or no response; empty if the lab can play both."""
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or limit != int(limit) or not 1 <= limit <= 1000:
        words = "A limit is a whole number of requests in flight, from 1."
        return [Finding("limit", "a whole number", repr(limit), False, words)]
    number = isinstance(response, (int, float)) and not isinstance(response, bool)
    if not number or not 0.001 <= response <= 10:  # type: ignore[operator]  # a number, as was just asked
        words = "The response is in seconds: 100 ms are 0.1."
        return [Finding("response", "seconds", repr(response), False, words)]
    return []


async def _played(limit: int, response: float) -> tuple[float, str]:
    """Seconds of the blog's burst, and how they were found."""
    ideal = math.ceil(REQUESTS / limit) * response
    if ideal > PLAYED_S:
        return ideal, "by arithmetic, too long to run"
    async with Lab(latency=response) as lab, SupabaseAsync(lab.url, lab.key, limit=limit) as db:
        total = await _burst(db, response)
        if total > LONGER * ideal:  # the machine was busy with something else
            total = min(total, await _burst(db, response))
    return total, "in the lab"


async def _burst(db: SupabaseAsync, latency: float) -> float:
    return max(span.done for span in await burst(db, Workload(REQUESTS, latency)))


def _against_the_table(limit: int, response: float, total: float, how: str) -> list[Finding]:
    fits = SHORTER * TOTAL_S <= total <= LONGER * TOTAL_S
    words = "" if fits else _why(limit, response, total)
    rate = REQUESTS / total
    return [
        Finding("throughput", f"about {BLOG.per_s:g} requests/s", f"{rate:.0f} requests/s, {how}", fits, words),
        Finding(f"{REQUESTS} requests at once", f"about {TOTAL_S:g} s", f"{total:.2f} s, {how}", fits),
    ]


def _why(limit: int, response: float, total: float) -> str:
    if limit == LIMIT and math.isclose(response, RESPONSE_S):
        return (
            "These are the blog's own numbers: 25 in flight at 0.1 s each would be done far sooner. The throughput and "
            "the time for 50 requests agree with each other. "
            "Which of the two other numbers contradicts them?"
        )
    if limit != LIMIT and not math.isclose(response, RESPONSE_S):
        return "You changed the limit and the response. One is enough: keep the other as in the blog."
    faster = "too fast" if total < TOTAL_S else "too slow"
    return f"This is {faster}. In flight = throughput x response: take two of the blog's numbers and compute the third."


def _changed(limit: int, response: float, named: object) -> Finding:
    """Whether the figure that is doubted is the one that the story changes, and the only one."""
    doubted = str(named).strip().lower()
    changed = [
        name for name, same in (("limit", limit == LIMIT), ("response", math.isclose(response, RESPONSE_S))) if not same
    ]
    ok = changed == [doubted]
    words = ""
    if doubted not in FIGURES:
        words = f"Doubt one of these: {', '.join(FIGURES)}."
    elif not ok:
        instead = " and ".join(changed) or "neither limit nor response"
        words = f"You doubt the {doubted}, but your numbers change {instead}: make the two agree."
    observed = f"{doubted}; {OTHER_WAY[doubted]}" if ok else " and ".join(changed) or "none"
    return Finding("numbers that you change", "one, the one you doubt", observed, ok, words)


EXERCISES = (
    Exercise(
        "11a",
        "check another table",
        (
            "Throughput and the time for 50 requests agree, so keep them. Which limit, or which response, would "
            "give them?",
            "50 requests/s x 0.1 s = 5 in flight: doubt the limit. Or 25 / 50 per second = 0.5 s: doubt the response. "
            "Both are right.",
        ),
        on_trial,
    ),
)
