"""Judge pairs of arms that differ in one thing only (07a)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from supalab.clients.arms import arm
from supalab.course.check import NotDone, finding, stop
from supalab.course.feedback import Finding
from supalab.errors import SettingsError
from supalab.lab.handle import Lab
from supalab.measure.case import Workload
from supalab.measure.traffic import burst
from supalab.settings import Settings

LOAD = Workload(30, 0.08)
LIMIT, REUSE, KIND = "limit", "reuse", "async"
ALSO = ", and in "
SAID = {LIMIT: "the limit", REUSE: "reuse of connections", KIND: "threads or async"}
#: Peaks that differ by this factor mean different limits, not a late thread.
APART = 1.5
#: The arms of the notebook's race: a check of a mistyped name lists these.
ARMS = ("fake-3", "fake-10", "session-10", "article-10", "real-10")


@dataclass(frozen=True, slots=True)
class Traits:
    """What can be seen of an arm from outside: its requests in flight and connections at the lab, and its threads."""

    in_flight: int
    connections: int
    threads: int

    @property
    def reuses(self) -> bool:
        """Return whether it used connections again regularly, and not by chance."""
        return self.connections <= LOAD.requests / 2


async def _traits(name: str, lab: Lab) -> Traits:
    """Run one arm with the judge's burst; raises SettingsError for an unknown arm."""
    chosen = arm(name)
    await asyncio.to_thread(lab.reset)
    before = set(threading.enumerate())
    async with chosen.build(Settings(lab.url, lab.key)) as client:
        await burst(client, LOAD, watch=False)
        threads = len(set(threading.enumerate()) - before)
    seen = await asyncio.to_thread(lab.witness)
    return Traits(seen.peak, seen.connections, threads)


def _difference(one: Traits, other: Traits) -> list[str]:
    """Return in which of the three things two arms differ."""
    few, many = sorted((one.in_flight, other.in_flight))
    differs = {
        LIMIT: many >= APART * few,
        REUSE: one.reuses != other.reuses,
        KIND: bool(one.threads) != bool(other.threads),
    }
    return [effect for effect, does in differs.items() if does]


async def isolated(answer: Mapping[str, Any]) -> AsyncIterator[Finding]:
    """Run the arms of each pair once, and say whether the effect, and nothing else, differs between the two."""
    if not isinstance(answer, Mapping) or set(answer) != set(SAID):
        stop("your answer", "a dict with three pairs", repr(answer), "keys", keys=", ".join(map(repr, SAID)))
    if all(pair is ... for pair in answer.values()):
        raise NotDone
    seen: dict[str, Traits] = {}
    async with Lab(latency=LOAD.latency or 0.0) as lab:
        for effect in SAID:
            yield await _tried(effect, answer[effect], lab, seen)


async def _tried(effect: str, pair: Any, lab: Lab, seen: dict[str, Traits]) -> Finding:
    said, expected = SAID[effect], f"only {SAID[effect]} differs"
    if pair is ...:
        return finding(said, expected, "nothing yet", False).because("open", say={"effect": said})
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(isinstance(name, str) for name in pair):
        return finding(said, expected, repr(pair), False).because("two_names")
    try:
        for name in pair:
            seen[name] = seen.get(name) or await _traits(name, lab)
    except SettingsError:
        say = {"name": next((name for name in pair if name not in ARMS), pair[0]), "arms": ", ".join(ARMS)}
        return finding(said, expected, repr(tuple(pair)), False).because("no_arm", say=say)
    one, other = (seen[name] for name in pair)
    found = _difference(one, other)
    observed = (
        f"in flight {one.in_flight}, {other.in_flight}; connections for {LOAD.requests} requests {one.connections}, "
        f"{other.connections}; threads {one.threads}, {other.threads}"
    )
    say = {"one": pair[0], "other": pair[1], "effect": said, "instead": ALSO.join(SAID[name] for name in found)}
    say["also"] = ALSO.join(SAID[name] for name in found if name != effect)
    reasons = {"itself": pair[0] == pair[1], "nothing_differs": not found, "another_differs": effect not in found}
    what = f"{said}: {pair[0]}, {pair[1]}"
    return finding(what, expected, observed, found == [effect]).because("also_differs", say, **reasons)
