"""What memory costs, as a record: processes that were read go in, cells with mean and spread come out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from supalab.errors import TrialError
from supalab.measure.archive import Form

__all__ = ["MEMORY", "Cell", "Held", "MemoryCosts"]


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


def _variation(values: Sequence[float]) -> float | None:
    middle = mean(values)
    return stdev(values) / middle if len(values) > 1 and middle else None
