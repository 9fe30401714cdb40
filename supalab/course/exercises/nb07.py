"""Notebook 07: pairs of arms go in, each arm runs at a lab, and what really differs between the two is said."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supalab.clients.arms import arm
from supalab.course.check import Exercise, NotDone
from supalab.course.feedback import Finding
from supalab.errors import SettingsError
from supalab.lab.handle import Lab
from supalab.measure.burst import burst
from supalab.measure.workload import Workload
from supalab.settings import Settings

__all__ = ["EXERCISES", "Traits", "difference", "traits"]

LOAD = Workload(30, 0.08)
LIMIT, REUSE, KIND = "limit", "reuse", "async"
SAID = {LIMIT: "the limit", REUSE: "reuse of connections", KIND: "threads or async"}
#: Peaks that differ by this factor come from two limits, not from a late thread.
APART = 1.5
#: The arms that the notebook has raced: a mistyped name is answered with these.
ARMS = ("fake-3", "fake-10", "session-10", "article-10", "real-10")
SHAPE = 'Give two names of arms, such as ("fake-3", "real-10"), that differ only in this property.'


@dataclass(frozen=True, slots=True)
class Traits:
    """What is seen of an arm from outside: requests in flight and connections at the lab, threads in its process."""

    in_flight: int
    connections: int
    threads: int

    @property
    def reuses(self) -> bool:
        """Whether it sent a second request over a connection, as a rule and not by chance."""
        return self.connections <= LOAD.requests / 2


async def traits(name: str, lab: Lab) -> Traits:
    """Run one arm over the judge's burst; raises SettingsError for an arm that there is not."""
    chosen = arm(name)
    settings = Settings(lab.url, lab.key)
    await asyncio.to_thread(lab.reset)
    before = set(threading.enumerate())
    async with chosen.build(settings) as client:
        await burst(client, LOAD, watch=False)
        threads = len(set(threading.enumerate()) - before)
    seen = await asyncio.to_thread(lab.witness)
    return Traits(seen.peak, seen.connections, threads)


def difference(one: Traits, other: Traits) -> list[str]:
    """Return in which of the three things two arms differ."""
    few, many = sorted((one.in_flight, other.in_flight))
    found = [LIMIT] * (many >= APART * few)
    found += [REUSE] * (one.reuses != other.reuses)
    return found + [KIND] * (bool(one.threads) != bool(other.threads))


async def isolated(answer: Mapping[str, Any]) -> list[Finding]:
    """Run the arms of each pair once, and say whether the effect, and nothing else, differs between the two."""
    if not isinstance(answer, Mapping) or set(answer) != set(SAID):
        words = f"The keys are {', '.join(map(repr, SAID))}, and each has a pair of arms."
        return [Finding("your answer", "a dict with three pairs", repr(answer), False, words)]
    if all(pair is ... for pair in answer.values()):
        raise NotDone
    async with Lab(latency=LOAD.latency or 0.0) as lab:
        seen: dict[str, Traits] = {}
        return [await _tried(effect, answer[effect], lab, seen) for effect in SAID]


async def _tried(effect: str, pair: Any, lab: Lab, seen: dict[str, Traits]) -> Finding:
    expected = f"only {SAID[effect]} differs"
    if pair is ...:
        words = f"The pair for {SAID[effect]} is still open. The check has tried what you filled in."
        return Finding(SAID[effect], expected, "nothing yet", False, words)
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(isinstance(name, str) for name in pair):
        return Finding(SAID[effect], expected, repr(pair), False, SHAPE)
    try:
        for name in pair:
            seen[name] = seen.get(name) or await traits(name, lab)
    except SettingsError:
        strange = next((name for name in pair if name not in ARMS), pair[0])
        words = f"Of the five, no arm is called {strange!r}: choose from {', '.join(ARMS)}."
        return Finding(SAID[effect], expected, repr(tuple(pair)), False, words)
    one, other = (seen[name] for name in pair)
    found = difference(one, other)
    what = f"{SAID[effect]}: {pair[0]}, {pair[1]}"
    ok = found == [effect]
    return Finding(what, expected, _observed(one, other), ok, "" if ok else _why(effect, pair, found))


def _observed(one: Traits, other: Traits) -> str:
    return (
        f"in flight {one.in_flight}, {other.in_flight}; connections for {LOAD.requests} requests {one.connections}, "
        f"{other.connections}; threads {one.threads}, {other.threads}"
    )


def _why(effect: str, pair: Sequence[str], found: Sequence[str]) -> str:
    names = " and ".join(pair)
    if pair[0] == pair[1]:
        return f"{pair[0]} compared with itself shows only the noise. Which arm differs from it in one thing?"
    if not found:
        return f"Between {names} nothing differs that the lab can count. Which two differ in {SAID[effect]}?"
    if effect not in found:
        return f"Between {names} it is not {SAID[effect]} that differs, but {' and '.join(SAID[one] for one in found)}."
    others = "; ".join(SAID[one] for one in found if one != effect)
    return (
        f"Between {names} {SAID[effect]} differs, but not alone. Also changed: {others}. If one of the two arms is "
        "faster, you cannot tell which change did it."
    )


EXERCISES = (
    Exercise(
        "07a",
        "explain each bar",
        (
            "Look at in flight and connections in the table. For each effect, find two arms that agree in all columns "
            "but one. How many connections did the article's client open?",
            "The limit: two fake arms. Reuse: ten threads with and without a Session. Threads or async: ten in "
            "flight and ten connections in both, and threads in only one of them.",
        ),
        isolated,
    ),
)
