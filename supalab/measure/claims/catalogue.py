"""What the article claims: a table goes in (``data/claims.csv`` if none is named), checked claims come out."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from supalab.errors import SettingsError
from supalab.measure import textfile
from supalab.shipped import shipped

__all__ = ["COLUMNS", "Claim", "catalogue"]

COLUMNS = ("id", "section", "claim", "figure", "unit", "experiment", "rule", "note")
# Units that stand close to their number.
TIGHT = ("x", "/s")


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement: in our words, with the article's figure if it has one, and what it is bound to.

    ``experiment`` has the names of what must run for it, with spaces between them, ``rule`` the name of its rule;
    ``note`` says why no experiment here can test it, where that is so.
    """

    id: str
    section: str
    claim: str
    figure: float | None
    unit: str
    experiment: str
    rule: str
    note: str = ""

    @property
    def experiments(self) -> tuple[str, ...]:
        """The names of the experiments that it needs."""
        return tuple(self.experiment.split())

    @property
    def stated(self) -> str:
        """The article's figure with its unit, ``""`` if it has none."""
        space = "" if self.unit in TIGHT else " "
        return "" if self.figure is None else f"{self.figure:g}{space}{self.unit}".strip()


def catalogue(path: str | Path | None = None) -> tuple[Claim, ...]:
    """Read the claims in their order; raises SettingsError, in one line, for a table that is not one of claims."""
    place = shipped("data", "claims.csv") if path is None else Path(path)
    if path is None and not place.is_file():
        raise SettingsError(f"{place.name} is not there: the claims are in the project's checkout, install from it")
    rows = csv.DictReader(io.StringIO(textfile.read(place, "an editor")))
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise SettingsError(f"{place.name} has columns {rows.fieldnames}: they must be {', '.join(COLUMNS)}")
    found = tuple(_claim(row, place.name, number) for number, row in enumerate(rows, 2))
    names = [claim.id for claim in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingsError(f"{place.name} has two claims {twice!r}: give each an id of its own")
    return found


def _claim(row: dict[str, str], name: str, line: int) -> Claim:
    if None in row.values() or None in row:
        raise SettingsError(f"{name}, line {line}: not one field for each column: quote what holds a comma")
    try:
        figure = float(row["figure"]) if row["figure"] else None
    except ValueError:
        raise SettingsError(f"{name}, line {line}: figure {row['figure']!r} is not a number") from None
    rest = {column: row[column] for column in COLUMNS if column != "figure"}
    return Claim(figure=figure, **rest)
