"""What a bench found: trials go in, one frozen row for each arm in each case comes out, as JSON and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, median_high
from typing import Any

from supalab.errors import TrialError
from supalab.measure import textfile
from supalab.measure.bench.cases import Case, Remark
from supalab.measure.trial import Trial, Workload

__all__ = ["FORMAT", "VERSION", "Bench", "Row", "dumps", "load", "loads", "row", "save"]

FORMAT = "supalab-bench"
VERSION = 1
DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Row:
    """One arm in one case: a number for each repeat, in the order in which they ran.

    ``cpu_ms``: CPU of the client's process for each request, in milliseconds. ``ideal_ratio``: makespan over what
    latency alone would take; empty without latency. ``errors``: those of the worst repeat.
    """

    case: str
    arm: str
    limit: int
    cpu_ms: tuple[float, ...]
    makespan_s: tuple[float, ...]
    ideal_ratio: tuple[float, ...]
    errors: int
    outcomes: Mapping[str, int]
    peak_in_flight: int | None
    connections: int | None

    @property
    def kind(self) -> str:
        """The kind of client: the arm's name without its limit."""
        return self.arm.rpartition("-")[0]

    @property
    def cpu(self) -> float:
        """Median CPU of a request in milliseconds."""
        return median(self.cpu_ms)

    @property
    def ratio(self) -> float | None:
        """Median makespan over the ideal, ``None`` without latency."""
        return median(self.ideal_ratio) if self.ideal_ratio else None


@dataclass(frozen=True, slots=True)
class Bench:
    """One whole bench: rows of one machine in one run, so that their ratios mean something.

    ``repeat``: how often each arm was to run; the remarks name those that ran less often. ``finished``: False if it
    was interrupted. ``when``: UTC, ISO 8601.
    """

    cases: tuple[Case, ...]
    rows: tuple[Row, ...]
    remarks: tuple[Remark, ...]
    repeat: int
    when: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    finished: bool = True

    def find(self, case: str, arm: str) -> Row | None:
        """Return the row of an arm in a case, ``None`` if it was not run."""
        return next((one for one in self.rows if (one.case, one.arm) == (case, arm)), None)

    def of(self, case: str) -> tuple[Row, ...]:
        """Return the rows of one case."""
        return tuple(one for one in self.rows if one.case == case)


def row(case: Case, trials: Sequence[Trial]) -> Row:
    """Return the row of one arm's trials over a case."""
    worst = max(trials, key=lambda trial: trial.errors)
    seen = [trial.witness for trial in trials if trial.witness is not None]
    return Row(
        case=case.name,
        arm=worst.arm,
        limit=case.limit,
        cpu_ms=tuple(_rounded(1000 * (trial.cpu_s or 0.0) / trial.workload.requests) for trial in trials),
        makespan_s=tuple(_rounded(trial.makespan_s) for trial in trials),
        ideal_ratio=tuple(_rounded(trial.makespan_s / trial.ideal_s) for trial in trials if trial.ideal_s),
        errors=worst.errors,
        outcomes=worst.outcomes,
        peak_in_flight=max((one.peak for one in seen), default=None),
        connections=median_high(one.connections for one in seen) if seen else None,
    )


def _rounded(value: float) -> float:
    return round(value, DECIMALS)


def dumps(bench: Bench) -> str:
    """Return the bench as JSON text, a line for each row, with medians and goals beside the numbers they come from."""
    from supalab.measure.bench.goals import goals  # which reads results: importing it above would go round in a circle

    medians = [{"cpu_ms_median": one.cpu, "ideal_ratio_median": one.ratio} for one in bench.rows]
    whole = asdict(bench) | {
        "rows": [asdict(one) | more for one, more in zip(bench.rows, medians, strict=True)],
        "goals": [asdict(goal) | {"reached": goal.reached} for goal in goals(bench)],
    }
    parts = {"format": FORMAT, "version": VERSION} | whole
    return "{\n" + ",\n".join(f" {json.dumps(name)}: {_lines(value)}" for name, value in parts.items()) + "\n}\n"


def _lines(value: Any) -> str:
    if not isinstance(value, (list, tuple)) or not value:
        return json.dumps(value, allow_nan=False)
    return "[\n" + ",\n".join(f"  {json.dumps(item, allow_nan=False)}" for item in value) + "\n ]"


def loads(text: str) -> Bench:
    """Return the bench of JSON text; raises TrialError, in one line, for text that is no such record."""
    try:
        whole = json.loads(text)
        if (whole["format"], whole["version"]) != (FORMAT, VERSION):
            raise TrialError(f"not a record of this bench: {whole['format']!r}, version {whole['version']!r}")
        return Bench(
            cases=tuple(map(_case, whole["cases"])),
            rows=tuple(map(_row, whole["rows"])),
            remarks=tuple(Remark(**one) for one in whole["remarks"]),
            **{name: whole[name] for name in ("repeat", "when", "machine", "versions", "finished")},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise TrialError(f"not a record of a bench: {type(error).__name__}: {error}") from None


def _case(plain: dict[str, Any]) -> Case:
    only = None if plain["only"] is None else tuple(plain["only"])
    return Case(**{**plain, "workload": Workload(**plain["workload"]), "only": only})


def _row(plain: dict[str, Any]) -> Row:
    lists = {name: tuple(plain[name]) for name in ("cpu_ms", "makespan_s", "ideal_ratio")}
    return Row(**{name: lists.get(name, plain[name]) for name in Row.__dataclass_fields__})


def save(bench: Bench, path: str | Path) -> Path:
    """Write the bench to a file and return its path; raises SettingsError if it cannot be written."""
    return textfile.write(dumps(bench), path)


def load(path: str | Path) -> Bench:
    """Read a bench from a file; raises SettingsError if it cannot be read, TrialError if it is no such record."""
    return loads(textfile.read(path, "supalab bench"))
