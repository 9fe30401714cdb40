"""Record experiments into ``data/reference`` and onto the project's pages, or measure them again and compare.

A table on a page is a code block below a comment that names its record: ``<!-- recorded: race -->``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from supalab.errors import SettingsError
from supalab.experiments import MODULES, Experiment, experiment
from supalab.measure.record import Record
from supalab.output import check_outputs, progress_bar, say
from supalab.report.files import write
from supalab.report.format import count, estimate
from supalab.report.table import Table, text
from supalab.shipped import shipped

#: Experiments with a reference record: all except the load, which tests the user's own service.
RECORDED = tuple(name for name in MODULES if name != "load")
PAGES = ("supalab/experiments/README.md", "data/reference/README.md")
BLOCK = re.compile(r"(<!-- recorded: (\S+) -->\n+```text\n)(.*?)(^```)", re.MULTILINE | re.DOTALL)
#: Numbers that differ by more than this are marked.
APART = 0.25


def chosen(names: Sequence[str] | None = None) -> list[Experiment]:
    """Return the experiments of these names, in the order of recording; raises SettingsError for an unknown name."""
    unknown = next((name for name in names or () if name not in RECORDED), None)
    if unknown is not None:
        raise SettingsError(f"no record is called {unknown!r}: choose from {', '.join(RECORDED)}")
    return [experiment(name) for name in RECORDED if names is None or name in names]


def listed(experiments: Sequence[Experiment]) -> str:
    """Return a line for each experiment: its name, how long it takes, and what it measures."""
    return "".join(f"{one.name:<10} {estimate(one.expected_s(**one.full)):<17}  {one.about}\n" for one in experiments)


def measured(experiments: Sequence[Experiment], into: Path | None = None, *, compare: bool = False) -> None:
    """Measure the experiments; write each record with its figures when it is finished, or compare it with the old one.

    ``into``: a folder instead of the checkout's. Raises SettingsError before anything is measured if it cannot work.
    """
    folder = into or shipped("data", "reference")
    if not folder.is_dir():
        raise SettingsError(f"{str(folder)!r} is not a folder: create it, or name another one with --into")
    # Read before anything is measured, so that a missing reference does not cost minutes.
    old = {one.name: Record.load(folder / f"{one.name}.json", one.name) for one in experiments} if compare else {}
    for one in () if compare else experiments:
        check_outputs(folder / f"{one.name}.json", *(folder / f"{name}.png" for name in one.figures))
    seconds = sum(one.expected_s(**one.full) for one in experiments)
    names = ", ".join(one.name for one in experiments)
    say(f"{count(len(experiments), 'recording')}, {estimate(seconds)}: {names}")
    try:
        for one in experiments:
            with progress_bar(about=f"{one.name}: {estimate(one.expected_s(**one.full))}") as tell:
                found = one.run(progress=tell, **one.full)
            if compare:
                rows = pairs(one.compared(old[one.name]), one.compared(found))
                sys.stdout.write(f"\n{text(table(one.name, rows))}")
                sys.stdout.flush()
            else:
                _write(one, found, folder)
    finally:  # the pages show whatever was finished
        if not compare and into is None:
            _refresh()


def _write(one: Experiment, found: Record, folder: Path) -> None:
    """Write the record first, because it took so long to measure, and then its figures."""
    from supalab.report.plot import save

    written = [found.save(folder / f"{one.name}.json")]
    written += [save(draw(found), folder / f"{name}.png") for name, draw in one.figures.items()]
    say(f"written: {', '.join(map(str, written))}")


def marked(page: str) -> list[str]:
    """Return the names of the records whose tables are on a page."""
    return [found[2] for found in BLOCK.finditer(page)]


def refreshed(page: str, folder: Path) -> str:
    """Return the page with each table from its record in ``folder``; raises SettingsError for an unknown record."""

    def shown(found: re.Match[str]) -> str:
        if found[2] not in MODULES:
            raise SettingsError(f"a page shows a record {found[2]!r}: choose from {', '.join(MODULES)}")
        record = Record.load(folder / f"{found[2]}.json", found[2])
        return f"{found[1]}{text(record.table()).rstrip()}\n{found[4]}"

    return BLOCK.sub(shown, page)


def _refresh() -> None:
    for page in (shipped(*name.split("/")) for name in PAGES):
        if page.is_file():
            write(refreshed(page.read_text(encoding="utf-8"), shipped("data", "reference")), page)


def pairs(reference: Mapping[str, float], today: Mapping[str, float]) -> pd.DataFrame:
    """Return the numbers that both runs have, in the reference's order, with today's divided by the reference's.

    ``apart``: whether they differ by more than a quarter of the smaller one.
    """
    both = [name for name in reference if name in today]
    numbers: dict[str, list[float]] = {
        "reference": [reference[name] for name in both],
        "today": [today[name] for name in both],
    }
    rows = pd.DataFrame(numbers, index=both, dtype=float)
    small, large = rows.abs().min(axis=1), rows.abs().max(axis=1)
    apart = (rows["reference"] * rows["today"] < 0) | (large - small > APART * small)
    return rows.assign(ratio=rows["today"] / rows["reference"].where(rows["reference"] != 0), apart=apart)


def table(name: str, rows: pd.DataFrame) -> Table:
    """Return the pairs of one experiment as a table; large differences are marked and counted below."""
    far = int(rows["apart"].sum())
    said = f"{far} of {len(rows)} numbers are more than {APART:.0%} apart."
    why = " Seconds, milliseconds and megabytes depend on the machine; counts and ratios should not." if far else ""
    columns: Mapping[str, str | Callable[[Any], str]] = {
        "number": lambda row: row.name,
        "reference": "{reference:.4g}",
        "today": "{today:.4g}",
        "today / reference": "{ratio:.2f}",
        " ": lambda row: "<- apart" if row.apart else "",
    }
    empty = "Nothing to compare: the reference has none of the numbers that were measured today."
    return Table.of(rows, columns, headline=name, notes=[said + why], empty=empty)
