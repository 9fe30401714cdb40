"""What ``supalab bench`` does: parsed options flow in, tables, record, picture and an exit code flow out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from supalab.commands.output import ProgressBar, check_outputs, say
from supalab.errors import SettingsError
from supalab.report.format import estimate

if TYPE_CHECKING:
    from supalab.measure.bench.result import Bench

__all__ = ["add_bench", "bench"]


def add_bench(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=bench)
    parser.add_argument(
        "--clients", metavar="A,B,…", help="kinds of client, e.g. real,aiohttp (default: all there are)"
    )
    parser.add_argument("--repeat", type=int, metavar="K", help="trials of each, taking turns (5; with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="a look in two or three minutes: one trial of each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw CPU and pace against the limit")


def bench(options: argparse.Namespace) -> int:
    """Run the clients over the cases; print tables and goals, write record and picture."""
    from supalab.measure.bench import BenchInterrupted, planned
    from supalab.measure.bench import bench as run_bench
    from supalab.measure.bench.table import remark_text

    if options.figure is not None:
        from supalab.report.plot import check_suffix

        check_suffix(options.figure)
    check_outputs(options.json, options.figure)
    how = {"clients": _kinds(options.clients), "repeat": options.repeat, "quick": options.quick}
    todo = planned(**how)
    trials = sum(run.repeat * len(run.arms) for run in todo.runs)
    say(f"{trials} trials, {estimate(todo.expected_s)} on a quiet machine")
    for remark in todo.remarks:
        say(remark_text(remark))
    code = 0
    try:
        with ProgressBar() as tell:
            found = run_bench(**how, progress=tell)
    except BenchInterrupted as interrupted:
        found, code = interrupted.bench, 130
    _report(found, options.json, options.figure)
    return code


def _kinds(names: str | None) -> tuple[str, ...] | None:
    from supalab.clients.arms import KINDS

    if names is None:
        return None
    kinds = tuple(name.strip() for name in names.split(","))
    unknown = next((kind for kind in kinds if kind not in KINDS), None)
    if unknown is not None:
        raise SettingsError(f"no client is called {unknown!r}: use {', '.join(KINDS)}, without a limit")
    return kinds


def _report(found: Bench, record: Path | None, figure: Path | None) -> None:
    from supalab.measure.bench import result as bench_result
    from supalab.measure.bench.table import tables
    from supalab.report.table import show

    if record is not None and found.rows:
        bench_result.save(found, record)
        say(f"written: {record}")
    show(tables(found))
    if figure is not None and found.rows:
        from supalab import figures

        drawn = figures.knee(found)
        figures.save(drawn, figure)
        sys.stdout.write(f"\n{figures.describe(drawn)}\n")
        say(f"written: {figure}")
