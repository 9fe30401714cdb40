"""What ``supalab race`` does: parsed options flow in, a table, a record, pictures and an exit code flow out."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from supalab.commands.output import ProgressBar, check_outputs
from supalab.errors import SettingsError, SupalabError

if TYPE_CHECKING:
    from supalab.lab.handle import Lab
    from supalab.measure.trial import Trial, TrialSet, Workload
    from supalab.settings import Settings

__all__ = ["ARTICLE_LATENCY", "add_race", "race"]

ARTICLE_LATENCY = 0.45


def add_race(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=race)
    parser.add_argument("--arms", metavar="A,B,…", help="e.g. fake-3,real-10 (default: fake, its controls, real)")
    parser.add_argument("--peers", action="store_true", help='others\' clients too: pip install -e ".[peers]"')
    parser.add_argument("--requests", type=int, default=100, metavar="N", help="requests of a trial (100)")
    parser.add_argument("--callers", type=int, metavar="N", help="callers at once (default: all requests at once)")
    parser.add_argument("--latency", type=float, metavar="S", help="seconds the lab takes for a request (0.15)")
    parser.add_argument("--as-in-article", action="store_true", help=f"the article's latency, {ARTICLE_LATENCY} s")
    parser.add_argument("--repeat", type=int, default=1, metavar="K", help="trials of each arm, interleaved (1)")
    parser.add_argument("--table", default="contests", help="which table is read (contests)")
    parser.add_argument("--columns", default="*", help="which columns are read (*)")
    parser.add_argument("--rows", type=int, default=10, metavar="N", help="rows of a request (10)")
    parser.add_argument("--rtt", type=float, default=0.0, metavar="S", help="seconds of a round trip to the lab (0)")
    parser.add_argument("--tls", action="store_true", help="speak TLS with the lab")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write trials and summary")
    parser.add_argument("--figure", type=Path, default=Path("race.png"), metavar="FILE", help="the picture (race.png)")
    parser.add_argument("--url", help="race on a real project instead of the lab")
    parser.add_argument("--rest-path", default="/rest/v1", help='its prefix; "" for plain PostgREST (/rest/v1)')
    parser.add_argument("--key", help="its key (default: the environment's SUPABASE_KEY, which no process list shows)")


def race(options: argparse.Namespace) -> int:
    """Run the arms side by side; print the table, write record and pictures."""
    from supalab.measure.race import RaceInterrupted
    from supalab.measure.race import race as run_race
    from supalab.report.plot import check_suffix

    check_suffix(options.figure)
    figures = (options.figure, options.figure.with_stem(options.figure.stem + "-timeline"))
    check_outputs(options.json, *figures)
    arms, workload, settings = _arms(options), _workload(options), _project(options)
    finished: list[Trial] = []
    code = 0
    try:
        with ExitStack() as stack:
            tell = stack.enter_context(ProgressBar())
            lab = stack.enter_context(_own_lab(options, workload)) if settings is None else None
            run_race(arms, workload, repeat=options.repeat, lab=lab, settings=settings, progress=tell, keep=finished)
    except RaceInterrupted:
        code = 130
    except SupalabError:
        if finished:
            _report(finished, options.json, figures)
            sys.stdout.flush()  # the reason comes after the table also where both go into one file
        raise
    _report(finished, options.json, figures)
    return code


def _arms(options: argparse.Namespace) -> Sequence[str]:
    from supalab.clients.arms import DEFAULT_ARMS, PEER_ARMS, arm

    named = [*DEFAULT_ARMS] if options.arms is None else [name.strip() for name in options.arms.split(",")]
    chosen = [arm(name).name for name in named]
    for name in PEER_ARMS if options.peers else ():
        if name not in chosen:
            chosen.append(arm(name).name)
    return chosen


def _workload(options: argparse.Namespace) -> Workload:
    from supalab.measure.trial import Workload

    latency = options.latency if options.latency is not None else ARTICLE_LATENCY if options.as_in_article else 0.15
    return Workload(options.requests, latency, options.callers, options.table, options.columns, options.rows)


def _project(options: argparse.Namespace) -> Settings | None:
    from supalab.settings import Settings

    if options.url is None:
        if options.key is not None:
            raise SettingsError("--key goes with --url: give the project's address too, or neither for the lab")
        return None
    given = {"--latency": options.latency is not None, "--as-in-article": options.as_in_article}
    given |= {"--rtt": options.rtt != 0, "--tls": options.tls}
    ours = ", ".join(flag for flag, there in given.items() if there)
    if ours:
        raise SettingsError(f"{ours}: only a lab's conditions can be chosen, not those of --url: leave one of them out")
    key = options.key or os.environ.get("SUPABASE_KEY") or None
    return Settings(options.url, key, rest_path=options.rest_path)


def _own_lab(options: argparse.Namespace, workload: Workload) -> Lab:
    from supalab.lab.handle import Lab

    return Lab(latency=workload.latency or 0.0, rtt=options.rtt, tls=options.tls)


def _report(finished: Sequence[Trial], record: Path | None, figures: tuple[Path, Path]) -> None:
    from supalab.measure import records, table
    from supalab.measure.trial import TrialSet

    trials = TrialSet(tuple(finished))
    if not len(trials):
        print("supalab: stopped before the first trial was finished", file=sys.stderr)
        return
    table.show(trials)
    written = [record] if record else []
    if record:
        records.save(trials, record)
    written += _draw(trials, figures)
    print(f"\nwritten: {', '.join(map(str, written))}")
    print(f"next: {_myself()} lab   (the course, from the first notebook on)")


def _myself() -> str:
    """How this command was called, so that the next one can be typed the same way."""
    called = Path(sys.argv[0])
    return "supalab" if shutil.which("supalab") or called.stem != "supalab" else str(called)


def _draw(trials: TrialSet, paths: tuple[Path, Path]) -> list[Path]:
    from supalab import figures

    figures.save(figures.side_by_side(trials), paths[0])
    figures.save(figures.timeline(trials), paths[1])
    print(f"\nThe pictures: {figures.describe(trials)}")
    return list(paths)
