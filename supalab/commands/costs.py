"""What ``supalab costs`` does: parsed options flow in, tables, records, pictures and an exit code flow out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from supalab.commands.output import ProgressBar, check_outputs, keep, say
from supalab.report.format import estimate

if TYPE_CHECKING:
    from supalab.measure.record import Record

__all__ = ["add_costs", "costs"]

PARTS = "memory, lag, cancel, knee"


def add_costs(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=costs)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure: {PARTS} (default: all)")
    parser.add_argument("--quick", action="store_true", help="a first look: fewer sizes, fewer repeats")
    parser.add_argument("--repeat", type=int, metavar="K", help="runs of each (memory 5, lag and cancel 3, knee 1)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write what was found; of several parts FILE-memory.json, …"
    )
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw it; of several parts FILE-memory.png, …")


def costs(options: argparse.Namespace) -> int:
    """Measure the parts; print a table of each, write records and pictures."""
    from supalab.experiments.costs import PARTS as ALL
    from supalab.experiments.costs import costs as measure
    from supalab.experiments.costs import planned_s
    from supalab.measure.run import Interrupted, checked_repeat

    parts = list(dict.fromkeys(options.parts)) or list(ALL)
    if options.repeat is not None:
        checked_repeat(options.repeat)
    seconds = planned_s(parts, quick=options.quick, repeat=options.repeat)
    records, pictures = _paths(options.json, parts), _paths(options.figure, parts)
    if options.figure is not None:
        from supalab.report.plot import check_suffix

        check_suffix(options.figure)
    check_outputs(*records.values(), *pictures.values())
    say(f"{', '.join(ALL[part].about for part in parts)}: {estimate(seconds)} on a quiet machine")
    found: dict[str, Record] = {}
    code = 0
    try:
        with ProgressBar() as tell:
            measure(parts, quick=options.quick, repeat=options.repeat, progress=tell, keep=found)
    except Interrupted:
        code = 130
    finally:
        _report(found, records, pictures)
    return code


def _paths(path: Path | None, parts: list[str]) -> dict[str, Path]:
    """Return each part's file: the given one for a single part, else one for each, named after it."""
    if path is None:
        return {}
    return {part: path if len(parts) == 1 else path.with_stem(f"{path.stem}-{part}") for part in parts}


def _report(found: Mapping[str, Record], records: Mapping[str, Path], pictures: Mapping[str, Path]) -> None:
    from supalab.measure.record import FORM
    from supalab.report.plot import save
    from supalab.report.table import show

    for place, (part, record) in enumerate(found.items()):
        keep(record, FORM, records.get(part))
        sys.stdout.write("\n" * (place > 0))
        show(record.table())
        if part in pictures:  # the words that the figure carries are those under the table: they are not said again
            say(f"written: {save(record.figure(), pictures[part])}")
    sys.stdout.flush()  # a reason to stop comes after the tables also where both go into one file
