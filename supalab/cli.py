"""The command line: words in, a race, a lab or JupyterLab out. Nothing heavy is imported before a command needs it.

Bad input ends in one line on stderr and exit code 2; Ctrl-C during a race keeps the finished trials and ends with 130.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from supalab import __version__
from supalab.errors import SettingsError, SupalabError

if TYPE_CHECKING:
    from supalab.lab.handle import Lab
    from supalab.measure.race import Progress
    from supalab.measure.trial import TrialSet, Workload
    from supalab.settings import Settings

__all__ = ["main"]

ARTICLE_LATENCY = 0.45
FIRST_NOTEBOOK = "00_start_here.ipynb"


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint and where to read more; exit code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options, rest = _parser().parse_known_args(argv)
    if rest and options.run is not _lab:
        _parser().error(f"unknown argument {rest[0]!r}")
    options.rest = rest
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except SupalabError as error:
        print(f"supalab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("supalab: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has left (| head): nothing to complain about, and nothing left to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parser() -> Parser:
    parser = Parser(prog="supalab", description="Fake async against real async, measured by a server that counts.")
    parser.add_argument("--version", action="version", version=f"supalab {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="race | serve | lab", required=True)
    _add_race(commands.add_parser("race", help="run the clients side by side: table, figure, JSON"))
    _add_serve(commands.add_parser("serve", help="serve a lab backend that speaks PostgREST's dialect"))
    lab = commands.add_parser("lab", help="open the course in JupyterLab; further arguments go to JupyterLab")
    lab.set_defaults(run=_lab)
    return parser


def _add_race(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_race)
    parser.add_argument("--arms", metavar="A,B,…", help="e.g. fake-3,real-10 (default: fake, its controls, real)")
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
    parser.add_argument("--key", help="its key (default: the environment's SUPABASE_KEY, which no process list shows)")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_serve)
    parser.add_argument("--port", type=int, default=0, metavar="N", help="0 takes a free one (0)")
    parser.add_argument("--latency", type=float, default=0.0, metavar="S", help="seconds for each request (0)")
    parser.add_argument("--jitter", type=float, default=0.0, metavar="S", help="seconds around it, at random (0)")
    parser.add_argument("--rtt", type=float, default=0.0, metavar="S", help="seconds of a round trip (0)")
    parser.add_argument("--tls", action="store_true", help="https with a certificate of the lab's own authority")
    parser.add_argument("--error-rate", type=float, default=0.0, metavar="P", help="share of requests that fail (0)")
    parser.add_argument("--seed", type=Path, metavar="FILE", help=".sql script or .csv table to serve (contests)")


def _race(options: argparse.Namespace) -> int:
    from supalab.measure.race import RaceInterrupted, race

    figures = (options.figure, options.figure.with_stem(options.figure.stem + "-timeline"))
    for path in (options.json, *figures):
        _check_writable(path)
    workload, settings = _workload(options), _project(options)
    code = 0
    with ExitStack() as stack:
        tell = stack.enter_context(_ProgressBar())
        try:
            trials = race(
                _arms(options.arms),
                workload,
                repeat=options.repeat,
                lab=stack.enter_context(_own_lab(options, workload)) if settings is None else None,
                settings=settings,
                progress=tell,
            )
        except RaceInterrupted as interrupted:
            trials, code = interrupted.trials, 130
    _report(trials, options.json, figures)
    return code


def _arms(names: str | None) -> Sequence[str]:
    from supalab.clients.arms import DEFAULT_ARMS

    return DEFAULT_ARMS if names is None else [name.strip() for name in names.split(",")]


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
    return Settings(options.url, options.key or os.environ.get("SUPABASE_KEY") or None)


def _own_lab(options: argparse.Namespace, workload: Workload) -> Lab:
    from supalab.lab.handle import Lab

    return Lab(latency=workload.latency or 0.0, rtt=options.rtt, tls=options.tls)


def _report(trials: TrialSet, record: Path | None, figures: tuple[Path, Path]) -> None:
    from supalab.measure import records, table

    if not len(trials):
        print("supalab: stopped before the first trial was finished", file=sys.stderr)
        return
    table.show(trials)
    written = [record] if record else []
    if record:
        records.save(trials, record)
    written += _draw(trials, figures)
    print(f"\nwritten: {', '.join(map(str, written))}")
    print("next: supalab lab   (the course, from the first notebook on)")


def _draw(trials: TrialSet, paths: tuple[Path, Path]) -> list[Path]:
    from supalab import figures

    for draw, path in zip((figures.side_by_side, figures.timeline), paths, strict=True):
        drawn = draw(trials)
        figures.save(drawn, path)
        print(f"\n{figures.describe(drawn)}")
    return list(paths)


def _check_writable(path: Path | None) -> None:
    """Raise SettingsError now if ``path`` cannot be written later, when minutes of measuring would be lost."""
    if path is None:
        return
    existed = path.exists()
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise SettingsError(f"cannot write {str(path)!r} ({error.strerror}): choose another file or folder") from error
    if not existed:
        path.unlink()


class _ProgressBar:
    """One line on stderr while a race runs; nothing but the table goes to stdout."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description:<12}"), BarColumn(), TextColumn("{task.fields[done]}"))
        self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("lab", total=1.0, done="")

    def __enter__(self) -> Callable[[Progress], None]:
        self._bar.start()
        return self._tell

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def _tell(self, so_far: Progress) -> None:
        done = f"{so_far.done} of {so_far.total} trials"
        self._bar.update(self._task, completed=so_far.fraction, description=so_far.arm, done=done)


def _serve(options: argparse.Namespace) -> int:
    from supalab.lab.conditions import Conditions
    from supalab.lab.options import ServeOptions
    from supalab.lab.server import serve

    conditions = Conditions(options.latency, options.jitter, options.rtt, options.tls, options.error_rate)
    return serve(ServeOptions(port=options.port, conditions=conditions, seed=options.seed))


def _lab(options: argparse.Namespace) -> int:
    from supalab.shipped import shipped

    notebooks = shipped("notebooks")
    if not (notebooks / FIRST_NOTEBOOK).is_file():
        raise SettingsError(
            f"{notebooks} has no {FIRST_NOTEBOOK}: the course is in the project's checkout, install from it"
        )
    from jupyterlab.labapp import LabApp  # type: ignore[import-untyped]

    # No news from the network, which a workshop may not have, and nobody asked for.
    quiet = ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    LabApp.launch_instance([str(notebooks / FIRST_NOTEBOOK), *quiet, *options.rest])
    return 0
