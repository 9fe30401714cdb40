"""What ``supalab bench`` does: parsed options flow in, tables, record, picture and an exit code flow out."""

from __future__ import annotations

import argparse
from pathlib import Path

from supalab.commands.output import ProgressBar, check_results, draw, keep, say
from supalab.errors import SettingsError
from supalab.report.format import estimate

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
    from supalab.experiments.bench import bench as measured
    from supalab.experiments.bench import figure, plan, tables
    from supalab.measure.case import Trial
    from supalab.measure.record import FORM, Record
    from supalab.measure.run import Interrupted, expected_s, trials_of
    from supalab.report.table import show

    check_results(options.json, options.figure)
    how = {"clients": _kinds(options.clients), "repeat": options.repeat, "quick": options.quick}
    steps = list(trials_of(plan(**how), lambda case: Trial(case, {})))
    remarks = [step for step in steps if isinstance(step, str)]
    say(f"{len(steps) - len(remarks)} trials, {estimate(expected_s(plan(**how)))} on a quiet machine")
    for remark in remarks:
        say(remark)
    code = 0
    try:
        with ProgressBar() as tell:
            found = measured(**how, progress=tell)
    except Interrupted as interrupted:
        if not isinstance(interrupted.found, Record):
            return 130
        found, code = interrupted.found, 130
    keep(found, FORM, options.json)
    show(tables(found))
    if options.figure is not None:
        draw(figure(found), options.figure)
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
