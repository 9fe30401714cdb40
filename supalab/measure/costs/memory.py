"""Kinds of client and numbers in flight go in; fresh processes hold them; megabytes and their spread come out.

A cell is one kind at one number, read once in each of several processes while all its requests are in flight. The
lab's record says whether they were: a cell whose peak is another number is not sound, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from supalab.clients.arms import Arm, arm
from supalab.errors import SettingsError
from supalab.lab.handle import Lab
from supalab.measure.archive import rounded
from supalab.measure.costs.lab import FINISHED, ask_worker, kept_conditions, now, teller
from supalab.measure.costs.memory_result import MEMORY, Cell, Held, MemoryCosts
from supalab.measure.machine import merged
from supalab.measure.race import START_S, Progress
from supalab.measure.run import Interrupted, checked_names, checked_repeat, rotated
from supalab.measure.workload import Workload

__all__ = ["IN_FLIGHT", "KINDS", "MEMORY", "Cell", "Held", "MemoryCosts", "expected_s", "memory_costs"]

KINDS = ("fake", "article", "real")
IN_FLIGHT = (10, 100, 500, 1_000)
REPEAT = 5
MOST = 4_000
# The answers must not come before the last request is on its way: a start, and time to send each.
FIRST_S, EACH_S = 0.6, 0.003
TRIES = 3
WORKER_S = 120.0


def expected_s(kinds: Sequence[str] = KINDS, in_flight: Sequence[int] = IN_FLIGHT, repeat: int = REPEAT) -> float:
    """Return the seconds that ``memory_costs`` should take on a quiet machine."""
    return 1.0 + repeat * len(kinds) * sum(map(_cell_s, in_flight))


def _latency(number: int) -> float:
    return FIRST_S + EACH_S * number


def _cell_s(number: int) -> float:
    return START_S + _latency(number)


def memory_costs(
    kinds: Sequence[str] = KINDS,
    in_flight: Sequence[int] = IN_FLIGHT,
    *,
    repeat: int = REPEAT,
    lab: Lab | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> MemoryCosts:
    """Read the memory of each kind of client at each number in flight, each time in a fresh process.

    In a lab of its own unless one is given, which gets its latency back. Raises SettingsError for values that cannot
    work, LabError, TrialError when a worker breaks or this system does not tell, Interrupted on Ctrl-C.
    """
    plan = _plan(kinds, in_flight, repeat)
    weights = [_cell_s(one.limit) for _, one in plan]
    when, raws = now(), list[dict[str, Any]]()
    runs: list[Held] = []

    def found() -> MemoryCosts:
        machine, versions = (merged(raw[what] for raw in raws) for what in ("machine", "versions"))
        return MemoryCosts(tuple(runs), when, machine, versions)

    try:
        with kept_conditions(lab) as here:
            for done, (turn, one) in enumerate(plan):
                tell = teller(progress, weights, done, one.name)
                raw, run = _held(one, turn, here, tell)
                raws.append(raw)
                runs.append(run)
                tell(FINISHED)
    except KeyboardInterrupt:
        raise Interrupted(found() if runs else None) from None
    return found()


def _plan(kinds: Sequence[str], in_flight: Sequence[int], repeat: int) -> list[tuple[int, Arm]]:
    checked_repeat(repeat)
    if not in_flight or any(isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST for n in in_flight):
        raise SettingsError(
            f"in flight {in_flight!r} is not a list of whole numbers from 1 to {MOST}: use e.g. 10, 100"
        )
    numbers = sorted(set(in_flight))
    arms = [arm(f"{kind}-{n}") for n in numbers for kind in checked_names("kinds", kinds, KINDS)]
    blocking = next((one for one in arms if one.kind == "blocking"), None)
    if blocking is not None:
        raise SettingsError("a blocking client has one request in flight, never more: leave it out")
    return [(turn, one) for turn in range(repeat) for one in rotated(arms, turn)]


def _held(one: Arm, turn: int, lab: Lab, tick: Callable[[float], None]) -> tuple[dict[str, Any], Held]:
    """One process; where the machine was too slow for all to be in flight together, again with twice the latency."""
    for attempt in range(TRIES):
        latency = _latency(one.limit) * 2**attempt
        raw, seen = ask_worker(
            "memory",
            one,
            Workload(one.limit, latency),
            lab,
            tick,
            timeout=WORKER_S,
            limit_s=WORKER_S,
            more={"patience": 0.9 * latency},
        )
        run = Held(
            kind=one.kind,
            asked=one.limit,
            repeat=turn,
            base_bytes=raw["base"][1],
            held_bytes=raw["seen"][1] - raw["base"][1],
            uss_bytes=raw["seen"][0] - raw["base"][0],
            threads=raw["threads"],
            peak=seen.peak,
            answered=raw["done"],
            at_rest=raw["at_rest"],
            latency=latency,
            settle_s=rounded(raw["settle_s"]),
        )
        if run.sound:
            break
    return raw, run
