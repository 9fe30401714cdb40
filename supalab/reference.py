"""Record experiments into ``data/reference`` and onto the project's pages, or measure them again and compare.

A table on a page is a code block below a comment that names its record: ``<!-- recorded: race -->``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from supalab.errors import SettingsError
from supalab.experiments import MODULES, Experiment, experiment
from supalab.measure.record import Record
from supalab.output import ProgressBar, check_outputs, say
from supalab.report.files import write
from supalab.report.format import count, estimate
from supalab.report.table import Column, Table, text
from supalab.shipped import shipped

if TYPE_CHECKING:
    from supalab.measure.run import Progress

__all__ = ["PAGES", "RECORDED", "Pair", "chosen", "listed", "marked", "measured", "pairs", "refreshed", "table"]

#: Experiments with a reference record: all but the load, whose service is the user's.
RECORDED = tuple(name for name in MODULES if name != "load")
PAGES = ("supalab/experiments/README.md", "data/reference/README.md")
BLOCK = re.compile(r"(<!-- recorded: (\S+) -->\n+```text\n)(.*?)(^```)", re.MULTILINE | re.DOTALL)
#: Numbers further apart than this are marked.
APART = 0.25


def chosen(names: Sequence[str] | None = None) -> list[Experiment]:
    """Return the experiments of these names, in the order of recording; raises SettingsError for an unknown name."""
    unknown = next((name for name in names or () if name not in RECORDED), None)
    if unknown is not None:
        raise SettingsError(f"nothing recorded is called {unknown!r}: choose from {', '.join(RECORDED)}")
    return [experiment(name) for name in RECORDED if names is None or name in names]


def listed(experiments: Sequence[Experiment]) -> str:
    """Return a line for each: its name, the time it takes, what it measures."""
    return "".join(f"{one.name:<10} {estimate(one.expected_s(**one.full)):<17}  {one.about}\n" for one in experiments)


def measured(experiments: Sequence[Experiment], into: Path | None = None, *, compare: bool = False) -> None:
    """Measure the experiments; write each record and its figures when it is finished, or compare it with the old one.

    ``into``: a folder instead of the checkout's. Raises SettingsError before anything is measured if it cannot work.
    """
    folder = into or shipped("data", "reference")
    if not folder.is_dir():
        raise SettingsError(f"{str(folder)!r} is not a folder: create it, or name another one with --into")
    # Read before anything is measured: a reference that is not there must not cost minutes.
    old = {one.name: _recorded(one.name, folder) for one in experiments} if compare else {}
    for one in () if compare else experiments:
        check_outputs(folder / f"{one.name}.json", *(folder / f"{name}.png" for name in one.figures))
    seconds = [one.expected_s(**one.full) for one in experiments]
    names = ", ".join(one.name for one in experiments)
    say(f"{count(len(experiments), 'recording')}, {estimate(sum(seconds))}: {names}")
    try:
        with ProgressBar("recordings") as tell:
            for place, one in enumerate(experiments):
                found = one.run(progress=_part(tell, one.name, seconds, place), **one.full)
                if compare:
                    rows = pairs(one.name, one.compared(old[one.name]), one.compared(found))
                    sys.stdout.write(f"\n{text(table(rows))}")
                    sys.stdout.flush()
                else:
                    _write(one, found, folder)
    finally:  # whatever was finished is on the pages too
        if not compare and into is None:
            _refresh()


def _recorded(name: str, folder: Path) -> Record:
    return Record.load(folder / f"{name}.json", name)


def _part(
    tell: Callable[[Progress], None], name: str, seconds: Sequence[float], place: int
) -> Callable[[Progress], None]:
    """Return what turns one experiment's progress into that of all, by expected seconds."""
    from supalab.measure.run import Progress

    def told(so_far: Progress) -> None:
        fraction = (sum(seconds[:place]) + so_far.fraction * seconds[place]) / (sum(seconds) or 1.0)
        tell(Progress(fraction, name, place + (so_far.fraction >= 1), len(seconds)))

    return told


def _write(one: Experiment, found: Record, folder: Path) -> None:
    """Write the record, which took so long to measure, and then its figures."""
    from supalab.report.plot import save

    written = [found.save(folder / f"{one.name}.json")]
    written += [save(draw(found), folder / f"{name}.png") for name, draw in one.figures.items()]
    say(f"written: {', '.join(map(str, written))}")


def marked(page: str) -> list[str]:
    """Return the names of the records whose tables are on a page."""
    return [found[2] for found in BLOCK.finditer(page)]


def refreshed(page: str, folder: Path) -> str:
    """Return the page with each table made from the record in ``folder``; raises SettingsError for an unknown one."""

    def shown(found: re.Match[str]) -> str:
        if found[2] not in MODULES:
            raise SettingsError(f"a page shows a record {found[2]!r}: choose from {', '.join(MODULES)}")
        return f"{found[1]}{text(_recorded(found[2], folder).table()).rstrip()}\n{found[4]}"

    return BLOCK.sub(shown, page)


def _refresh() -> None:
    for page in (shipped(*name.split("/")) for name in PAGES):
        if page.is_file():
            write(refreshed(page.read_text(encoding="utf-8"), shipped("data", "reference")), page)


class Pair(NamedTuple):
    """One number of an experiment in both runs."""

    experiment: str
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


def pairs(name: str, reference: Mapping[str, float], today: Mapping[str, float]) -> list[Pair]:
    """Return the numbers that both runs have, in the reference's order."""
    return [Pair(name, number, was, today[number]) for number, was in reference.items() if number in today]


def table(rows: Sequence[Pair]) -> Table:
    """Return the rows of one experiment as a table; large differences are marked and counted below."""
    shown = []
    for place, row in enumerate(rows):
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        numbers = [f"{row.reference:.4g}", f"{row.today:.4g}", ratio]
        shown.append(["" if place else row.experiment, row.name, *numbers, "<- apart" if row.apart else ""])
    far = sum(row.apart for row in rows)
    said = f"{far} of {len(rows)} numbers are more than {APART:.0%} apart."
    why = " Seconds, milliseconds and megabytes depend on the machine; counts and ratios should not." if far else ""
    empty = "Nothing to compare: the reference has no number that was measured today."
    titles: list[str | Column] = ["", Column("number"), "reference", "today", "today / reference", Column("")]
    return Table(titles, shown, notes=[said + why], empty=empty)
