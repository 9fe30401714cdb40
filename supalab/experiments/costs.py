"""What each client costs: memory, loop lag, cancellation and throughput, one part after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from supalab.errors import SettingsError
from supalab.experiments import Experiment, experiment
from supalab.lab.handle import Lab
from supalab.measure.race import marks
from supalab.measure.record import Record
from supalab.measure.run import Interrupted, Progress

__all__ = ["PARTS", "costs", "planned_s"]

PARTS: Mapping[str, Experiment] = {
    "memory": experiment("memory"),
    "lag": experiment("lag"),
    "cancel": experiment("cancel"),
    "knee": experiment("throughput"),
}


def _asked(part: str, quick: bool, repeat: int | None) -> dict[str, Any]:
    """The arguments of a part's plan."""
    one = PARTS[part]
    return dict(one.quick if quick else one.full) | ({} if repeat is None else {"repeat": repeat})


def planned_s(parts: Sequence[str] = tuple(PARTS), *, quick: bool = False, repeat: int | None = None) -> float:
    """Return the seconds that these parts should take on a quiet machine."""
    return sum(_seconds(parts, quick, repeat))


def _seconds(parts: Sequence[str], quick: bool, repeat: int | None) -> list[float]:
    return [PARTS[name].expected_s(**_asked(name, quick, repeat)) for name in _checked(parts)]


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
    keep: dict[str, Record] | None = None,
) -> dict[str, Record]:
    """Measure the parts one after another and return their records by name.

    ``repeat``: of each part, instead of its own number. ``keep``: a mapping to which each result is added when there
    is one. Raises what the parts raise; Interrupted on Ctrl-C, when what was finished is in ``keep``.
    """
    names, found = _checked(parts), {} if keep is None else keep
    seconds = _seconds(names, quick, repeat)
    begins = marks(seconds)
    for place, name in enumerate(names):
        tell = _part_of(progress, begins[place], seconds[place], begins[-1])
        try:
            found[name] = PARTS[name].run(**_asked(name, quick, repeat), lab=lab, progress=tell)
        except Interrupted as interrupted:
            if isinstance(interrupted.found, Record):
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
