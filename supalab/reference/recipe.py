"""What one piece of reference material is: how it is measured, kept, drawn, printed and compared. A value, no work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from supalab.report.table import Table, text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from supalab.measure.race import Progress

__all__ = ["Recipe", "Tell"]

R = TypeVar("R")
Tell: TypeAlias = "Callable[[Progress], None]"


@dataclass(frozen=True)
class Recipe(Generic[R]):
    """One measurement and all that is made of it; ``name`` is its record's name too: ``race`` is in ``race.json``.

    ``run`` measures, telling its progress; ``expected_s``: the seconds that takes. ``draw`` gives pictures by file
    name, ``tables`` its tables, ``figures`` the numbers worth comparing between two runs, by
    name: counts and ratios first, then those that depend on the machine.
    """

    name: str
    about: str
    run: Callable[[Tell], R]
    expected_s: Callable[[], float]
    save: Callable[[R, Path], Path]
    load: Callable[[Path], R]
    draw: Callable[[R], Mapping[str, Figure]]
    tables: Callable[[R], Table | Iterable[Table]]
    figures: Callable[[R], Mapping[str, float]]

    def text(self, result: R) -> str:
        """Return the tables as plain text of 100 columns."""
        return text(self.tables(result))

    @property
    def record(self) -> str:
        """The record's file name."""
        return f"{self.name}.json"


AnyRecipe: TypeAlias = Recipe[Any]
