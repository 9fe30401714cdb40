"""Two runs of one recipe go in, the reference and today's; a row for each figure that both have comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from supalab.measure.printed import plain

__all__ = ["APART", "Pair", "pairs", "text"]

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


def text(rows: Sequence[Pair]) -> str:
    """Return the rows as a table of plain text; what is far apart has a mark and is counted below."""
    if not rows:
        return "Nothing to compare: the reference has no figure that was measured today.\n"
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("", "figure", "reference", "today", "today / reference", ""):
        grid.add_column(title, justify="left" if title in {"", "figure"} else "right", no_wrap=True)
    last = ""
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        first = row.recipe if row.recipe != last else ""
        mark = "<- apart" if row.apart else ""
        grid.add_row(first, row.name, f"{row.reference:.4g}", f"{row.today:.4g}", ratio, mark)
        last = row.recipe
    far = sum(row.apart for row in rows)
    said = f"{far} of {len(rows)} figures are more than {APART:.0%} apart."
    why = " Seconds, milliseconds and megabytes depend on the machine; counts and ratios should not." if far else ""
    return f"{plain(grid)}\n{said}{why}\n"
