"""``Record`` holds the trials of one experiment with its arguments, time and machine, in one JSON form for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supalab.errors import TrialError
from supalab.measure.archive import Form
from supalab.measure.case import Trial

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORM", "SHOWN_BY", "Record", "each", "medians"]


#: How to find an experiment by name. The package of experiments, which is built on records, puts itself in here.
SHOWN_BY: list[Callable[[str], Any]] = []


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

    def median(self, *by: str) -> pd.DataFrame:
        """Return the medians of the repeats, as ``medians`` does: a row for each combination of ``by``."""
        return medians(self.rows, *by)

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
        """Read a record, of the experiment ``name`` if one is given.

        Raises SettingsError if the file cannot be read, TrialError if it holds no such record.
        """
        found = FORM.load(path)
        if name and found.name != name:
            raise TrialError(f"{str(path)!r} is a record of {found.name}, not of {name}: choose another file")
        return found


def medians(rows: pd.DataFrame, *by: str, errors: str = "max") -> pd.DataFrame:
    """Return the medians of repeated trials: a row for each combination of ``by``, in the order in which they ran.

    A number that was not measured is NaN. ``errors`` are those of the worst repeat, so that no failure hides in a
    median, or the ``sum`` of all.
    """
    if rows.empty:
        return rows
    unknown = dict.fromkeys(rows.columns[rows.isna().all()], float("nan"))  # None alone would not count as a number
    groups = rows.assign(**unknown).groupby(list(by), sort=False)
    found = groups.median(numeric_only=True)
    if "errors" in rows:
        found = found.assign(errors=groups["errors"].agg(errors))
    return found.reset_index()


def each(rows: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of a table, their columns as attributes."""
    return rows.itertuples()


FORM = Form("supalab-record", 1, Record, "supalab")
