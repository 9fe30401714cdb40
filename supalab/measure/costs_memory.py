"""Kinds of client and numbers in flight go in; fresh processes hold them; megabytes and their spread come out.

A cell is one kind at one number, read once in each of several processes while all its requests are in flight. The
lab's record says whether they were: a cell whose peak is another number is not sound, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from supalab.clients.arms import Arm, arm
from supalab.errors import SettingsError, TrialError
from supalab.lab.handle import Lab
from supalab.measure.archive import Form, rounded
from supalab.measure.costs_lab import (
    CostsInterrupted,
    ask_worker,
    checked_names,
    checked_repeat,
    kept_conditions,
    now,
    rotated,
    teller,
)
from supalab.measure.machine import merged
from supalab.measure.race import START_S, Progress
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


@dataclass(frozen=True, slots=True)
class Held:
    """One process: its memory before the client was made, and above that with ``asked`` callers waiting; bytes.

    ``held_bytes``: the unique set size without clean pages of program files, which are counted only while nothing else
    that runs shares them; ``uss_bytes``: with them. Systems other than Linux tell only the latter. ``peak``: most
    in flight at the lab; ``answered``: callers who had been answered when it was read; ``threads``: those beside the
    main one. ``latency``: seconds at the lab, raised until all were in flight together; ``settle_s``: until nothing
    moved any more.
    """

    kind: str
    asked: int
    repeat: int
    base_bytes: int
    held_bytes: int
    uss_bytes: int
    threads: int
    peak: int
    answered: int
    at_rest: bool
    latency: float
    settle_s: float

    @property
    def sound(self) -> bool:
        """Whether all were in flight, and none was done, when it was read."""
        return self.peak == self.asked and self.answered == 0 and self.at_rest


@dataclass(frozen=True, slots=True)
class Cell:
    """All processes of one kind at one number: mean, lowest and highest of what they held, bytes.

    ``variation``: the standard deviation of the repeats over their mean, ``None`` for one.
    """

    kind: str
    in_flight: int
    runs: tuple[Held, ...]

    @property
    def values(self) -> tuple[int, ...]:
        """What each process held."""
        return tuple(run.held_bytes for run in self.runs)

    @property
    def mean(self) -> float:
        """Bytes on average."""
        return mean(self.values)

    @property
    def each(self) -> float:
        """Bytes for each request in flight, the client's own included."""
        return self.mean / self.in_flight

    @property
    def variation(self) -> float | None:
        """The coefficient of variation of what is reported."""
        return _variation(self.values)

    @property
    def uss_variation(self) -> float | None:
        """The same of the plain unique set size, for comparison."""
        return _variation([run.uss_bytes for run in self.runs])

    @property
    def sound(self) -> bool:
        """Whether every process was."""
        return all(run.sound for run in self.runs)

    def like(self, other: Cell) -> bool:
        """Whether the repeats do not tell them apart: their ranges overlap, or either has but one."""
        if min(len(self.runs), len(other.runs)) < 2:
            return True
        return min(self.values) <= max(other.values) and min(other.values) <= max(self.values)


@dataclass(frozen=True, slots=True)
class MemoryCosts:
    """All processes that were read, and where and when (UTC, ISO 8601)."""

    runs: tuple[Held, ...]
    when: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of client, in the order in which they first ran."""
        return tuple(dict.fromkeys(run.kind for run in self.runs))

    @property
    def in_flight(self) -> tuple[int, ...]:
        """The numbers in flight, ascending."""
        return tuple(sorted({run.asked for run in self.runs}))

    def cell(self, kind: str, in_flight: int) -> Cell:
        """Return one cell; raises TrialError if it was not measured."""
        runs = tuple(run for run in self.runs if (run.kind, run.asked) == (kind, in_flight))
        if not runs:
            raise TrialError(f"memory of {kind!r} with {in_flight} in flight was not measured")
        return Cell(kind, in_flight, runs)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, kind by kind, ascending."""
        measured = {(run.kind, run.asked) for run in self.runs}
        return tuple(self.cell(k, n) for k in self.kinds for n in self.in_flight if (k, n) in measured)


MEMORY = Form("supalab-costs-memory", 1, MemoryCosts, "supalab costs memory")


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
    work, LabError, TrialError when a worker breaks or this system does not tell, CostsInterrupted on Ctrl-C.
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
                tell(weights[done])
    except KeyboardInterrupt:
        raise CostsInterrupted(found() if runs else None) from None
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


def _variation(values: Sequence[float]) -> float | None:
    middle = mean(values)
    return stdev(values) / middle if len(values) > 1 and middle else None
