"""Two runs of one recipe go in, the reference and today's; a row for each figure that both have comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from supalab.report.table import Column, Table

__all__ = ["APART", "Pair", "pairs", "table"]

#: Figures further apart than this are marked.
APART = 0.25


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure of a recipe in both runs."""

    recipe: str
    name: str
    reference: float
    today: float

    @property
    def ratio(self) -> float | None:
        """Today's over the reference's; ``None`` where the reference is 0."""
        return self.today / self.reference if self.reference else None

    @property
    def apart(self) -> bool:
        """Whether they differ by more than a quarter of the smaller one."""
        small, large = sorted((abs(self.reference), abs(self.today)))
        return self.reference * self.today < 0 or large - small > APART * small


def pairs(recipe: str, reference: Mapping[str, float], today: Mapping[str, float]) -> list[Pair]:
    """Return the figures that both runs have, in the reference's order."""
    return [Pair(recipe, name, was, today[name]) for name, was in reference.items() if name in today]


def table(rows: Sequence[Pair]) -> Table:
    """Return the rows as a table; what is far apart has a mark and is counted below."""
    shown = [
        [
            row.recipe if not place or row.recipe != rows[place - 1].recipe else "",
            row.name,
            f"{row.reference:.4g}",
            f"{row.today:.4g}",
            "" if row.ratio is None else f"{row.ratio:.2f}",
            "<- apart" if row.apart else "",
        ]
        for place, row in enumerate(rows)
    ]
    far = sum(row.apart for row in rows)
    said = f"{far} of {len(rows)} figures are more than {APART:.0%} apart."
    why = " Seconds, milliseconds and megabytes depend on the machine; counts and ratios should not." if far else ""
    empty = "Nothing to compare: the reference has no figure that was measured today."
    titles: list[str | Column] = ["", Column("figure"), "reference", "today", "today / reference", Column("")]
    return Table(titles, shown, notes=[said + why], empty=empty)
