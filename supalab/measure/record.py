"""``Record`` holds the trials of one experiment with its arguments, time and machine, in one JSON form for all.

``Form`` writes a frozen dataclass as JSON with a format, a version and short lines, and reads it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from supalab.errors import TrialError
from supalab.measure.case import Trial
from supalab.report import files

if TYPE_CHECKING:
    import pandas as pd

DECIMALS = 6
#: How to find an experiment by name. The package of experiments sets this, because it imports records.
SHOWN_BY: list[Callable[[str], Any]] = []

T = TypeVar("T")


@dataclass(frozen=True)
class Form(Generic[T]):
    """How one kind of result is stored: the format's name and version, its dataclass, and the command that makes it.

    The dataclass may contain others, tuples, mappings with text as keys, numbers and text. The same result gives the
    same bytes.
    """

    name: str
    version: int
    kind: type[T]
    command: str

    def dumps(self, result: T) -> str:
        """Return the result as JSON text: one line for each member, one for each item of a list of objects."""
        plain = asdict(result)  # type: ignore[call-overload]  # "any dataclass" has no name at run time
        whole = {"format": self.name, "version": self.version, **rounded(plain)}
        return "{\n" + ",\n".join(f" {json.dumps(name)}: {_lines(value)}" for name, value in whole.items()) + "\n}\n"

    def loads(self, text: str) -> T:
        """Return the result from such text; raises TrialError, in one line, for other text."""
        from pydantic import TypeAdapter, ValidationError

        try:
            whole = json.loads(text)
        except ValueError as error:
            raise TrialError(f"not a record of {self.command}: {error}") from None
        found = (whole.pop("format", None), whole.pop("version", None)) if isinstance(whole, dict) else (None, None)
        if found != (self.name, self.version):
            raise TrialError(f"not a record of {self.command}: format {found[0]!r}, version {found[1]!r}")
        try:
            return TypeAdapter(self.kind).validate_python(whole)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise TrialError(f"a broken record of {self.command}: {place}: {first['msg']}") from None

    def save(self, result: T, path: str | Path) -> Path:
        """Write the result to a file and return its path; raises SettingsError if it cannot be written."""
        return files.write(self.dumps(result), path)

    def load(self, path: str | Path) -> T:
        """Read a result; raises SettingsError if the file cannot be read, TrialError if it contains no such record."""
        return self.loads(files.read(path, self.command))


def rounded(value: Any) -> Any:
    """Return numbers, mappings and lists rounded to six decimals (microseconds, if they are seconds)."""
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, Mapping):
        return {name: rounded(part) for name, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, (list, tuple)) else value


def _lines(value: Any) -> str:
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return json.dumps(value, allow_nan=False)
    return "[\n" + ",\n".join(f"  {json.dumps(item, allow_nan=False)}" for item in value) + "\n ]"


@dataclass(frozen=True, slots=True)
class Record:
    """The results of an experiment; at the end of a notebook cell it shows its headline, tables and notes.

    ``asked``: the plan's arguments. ``remarks``: what was left out, and why. ``finished`` is False if Ctrl-C ended it
    early. ``when``: UTC, ISO 8601.
    """

    name: str
    trials: tuple[Trial, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    when: str = ""
    machine: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    finished: bool = True

    @property
    def rows(self) -> pd.DataFrame:
        """The tidy table: a row for each trial, a column for each number."""
        import pandas as pd

        return pd.DataFrame([trial.row for trial in self.trials])

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms' names, in the order in which they first ran."""
        return tuple(dict.fromkeys(trial.arm for trial in self.trials))

    def of(self, arm: str) -> tuple[Trial, ...]:
        """Return the trials of one arm, its repeats; raises TrialError for an arm that did not run."""
        found = tuple(trial for trial in self.trials if trial.arm == arm)
        if not found:
            raise TrialError(f"no trial of arm {arm!r}: there are {', '.join(self.arms) or 'none'}")
        return found

    @property
    def repeats(self) -> int:
        """How often each case was run."""
        return len({trial.case.repeat for trial in self.trials})

    def table(self) -> Any:
        """Return the experiment's tables, which show themselves in a notebook and print as text."""
        return self._experiment.table(self)

    def figure(self, name: str = "") -> Any:
        """Return the experiment's figure, or another of its figures by name; raises TrialError if there is none."""
        return self._experiment.figure(self, name)

    def __str__(self) -> str:
        return str(self.table())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return self.table()._repr_mimebundle_()

    @property
    def _experiment(self) -> Any:
        """The experiment that made this record and knows how to show it."""
        if not SHOWN_BY:
            raise TrialError(f"import supalab.experiments to show this record of {self.name}, or look at .rows")
        return SHOWN_BY[0](self.name)

    def save(self, path: str | Path) -> Path:
        """Write it as JSON, a trial a line; raises SettingsError if the file cannot be written."""
        return FORM.save(self, path)

    @staticmethod
    def load(path: str | Path, name: str = "") -> Record:
        """Read a record; if ``name`` is given, it must be of that experiment.

        Raises SettingsError if the file cannot be read, TrialError if it contains no such record.
        """
        found = FORM.load(path)
        if name and found.name != name:
            raise TrialError(f"{str(path)!r} is a record of {found.name}, not of {name}: choose another file")
        return found


def medians(rows: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Return the medians of repeated trials: a row for each combination of ``by``, in the order in which they ran.

    A number that was not measured is NaN. ``errors`` are those of the worst repeat, so that no failure hides in a
    median.
    """
    if rows.empty:
        return rows
    unknown = dict.fromkeys(rows.columns[rows.isna().all()], float("nan"))  # None alone would not count as a number
    groups = rows.assign(**unknown).groupby(list(by), sort=False)
    found = groups.median(numeric_only=True)
    if "errors" in rows:
        found = found.assign(errors=groups["errors"].max())
    return found.reset_index()


def failures(found: Record, *tags: str) -> list[str]:
    """Return a sentence about the worst trial of each arm that failed, for each value of these tags."""
    failing = sorted((trial for trial in found.trials if trial.get("errors")), key=lambda trial: trial.errors)
    worst = {", ".join([trial.arm, *(trial[tag] for tag in tags)]): trial for trial in failing}
    left_out = "response times and throughput leave them out"
    return [
        f"{name}: {trial.errors} of {trial.workload.requests} requests failed in the worst trial "
        f"({trial['failures']}); {left_out}."
        for name, trial in worst.items()
    ]


def interrupted(record: Record, what: str) -> list[str]:
    """Return the sentence that ``what`` is missing from an interrupted run; none for a finished one."""
    return [] if record.finished else [f"Interrupted: {what} are missing."]


def each(rows: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of a table; their columns are attributes."""
    return rows.itertuples()


FORM = Form("supalab-record", 1, Record, "supalab")
