"""What it costs, all parts of it: names of parts go in, one frozen result for each comes out.

Each part is a measurement of its own, with a record of its own; this is the list of them, and how long each takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supalab.errors import SettingsError
from supalab.experiments import cancellation, lag, memory, throughput
from supalab.lab.handle import Lab
from supalab.measure.archive import Form
from supalab.measure.race import Progress, marks
from supalab.measure.record import FORM
from supalab.measure.run import Interrupted, expected_s
from supalab.report.table import Table

__all__ = ["PARTS", "Part", "costs", "planned_s"]


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is measured: ``run`` with ``full`` options, or ``quick`` ones for a first look.

    ``expected``: the seconds that takes, called with the same options.
    """

    about: str
    form: Form[Any]
    table: Callable[[Any], Table]
    run: Callable[..., Any]
    expected: Callable[..., float]
    full: Mapping[str, Any]
    quick: Mapping[str, Any]

    def options(self, *, quick: bool, repeat: int | None) -> dict[str, Any]:
        """Return what ``run`` and ``expected`` are called with."""
        return dict(self.quick if quick else self.full) | ({} if repeat is None else {"repeat": repeat})


PARTS: Mapping[str, Part] = {
    "memory": Part(
        "memory held with 10 to 1,000 requests in flight",
        FORM,
        memory.table,
        memory.memory,
        lambda **how: expected_s(memory.plan(**how)),
        full={"repeat": memory.REPEAT},
        quick={"repeat": 2, "in_flight": (10, 100, 500)},
    ),
    "lag": Part(
        "event-loop lag, CPU and threads",
        FORM,
        lag.table,
        lag.lag,
        lambda **how: expected_s(lag.plan(**how)),
        full={"repeat": lag.REPEAT},
        quick={"repeat": 1},
    ),
    "cancel": Part(
        "who works on when the callers are cancelled",
        FORM,
        cancellation.table,
        cancellation.cancellation,
        lambda **how: expected_s(cancellation.plan(**how)),
        full={"repeat": cancellation.REPEAT},
        quick={"repeat": 1},
    ),
    "knee": Part(
        "throughput against the limit, 3 to 400",
        FORM,
        throughput.table,
        throughput.throughput,
        lambda **how: expected_s(throughput.plan(**how)),
        full={"repeat": 1},
        quick={"repeat": 1, "limits": (3, 10, 30, 100, 300)},
    ),
}


def planned_s(parts: Sequence[str] = tuple(PARTS), *, quick: bool = False, repeat: int | None = None) -> float:
    """Return the seconds that these parts should take on a quiet machine."""
    return sum(_seconds(parts, quick, repeat))


def _seconds(parts: Sequence[str], quick: bool, repeat: int | None) -> list[float]:
    return [PARTS[name].expected(**PARTS[name].options(quick=quick, repeat=repeat)) for name in _checked(parts)]


def _checked(parts: Sequence[str]) -> list[str]:
    unknown = next((name for name in parts if name not in PARTS), None)
    if unknown is not None or not parts:
        raise SettingsError(f"no cost is called {unknown!r}: choose from {', '.join(PARTS)}")
    return list(dict.fromkeys(parts))


def costs(
    parts: Sequence[str] = tuple(PARTS),
    *,
    quick: bool = False,
    repeat: int | None = None,
    lab: Lab | None = None,
    progress: Callable[[Progress], None] | None = None,
    keep: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure the parts one after another and return their results by name.

    ``repeat``: of each part, in place of its own number. ``keep``: a mapping to which each result is added when there
    is one. Raises what the parts raise; Interrupted on Ctrl-C, when what was finished is in ``keep``.
    """
    names, found = _checked(parts), {} if keep is None else keep
    seconds = _seconds(names, quick, repeat)
    begins = marks(seconds)
    for place, name in enumerate(names):
        part = PARTS[name]
        tell = _part_of(progress, begins[place], seconds[place], begins[-1])
        try:
            found[name] = part.run(**part.options(quick=quick, repeat=repeat), lab=lab, progress=tell)
        except Interrupted as interrupted:
            if interrupted.found is not None:
                found[name] = interrupted.found
            raise
    return found


def _part_of(
    progress: Callable[[Progress], None] | None, before: float, own: float, whole: float
) -> Callable[[Progress], None]:
    def tell(so_far: Progress) -> None:
        if progress is not None:
            fraction = (before + so_far.fraction * own) / whole
            progress(Progress(fraction, so_far.arm, so_far.done, so_far.total, so_far.trial))

    return tell
