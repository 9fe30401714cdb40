"""A record: the trials of one experiment, with what was asked, when and where; one JSON form for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supalab.errors import TrialError
from supalab.measure.archive import Form
from supalab.measure.case import Trial

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORM", "Record", "each"]


@dataclass(frozen=True, slots=True)
class Record:
    """What an experiment found.

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
    def repeats(self) -> int:
        """How often each case was run."""
        return len({trial.case.repeat for trial in self.trials})

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


def each(rows: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of a table, their columns as attributes."""
    return rows.itertuples()


FORM = Form("supalab-record", 1, Record, "supalab")
