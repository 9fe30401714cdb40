"""What each command does: parsed options flow in, output and an exit code flow out. ``cli.py`` has the words.

Heavy imports stand inside the functions, so that one command does not pay for another.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from supalab.errors import SettingsError, SupalabError

if TYPE_CHECKING:
    from supalab.lab.handle import Lab
    from supalab.measure.race import Progress
    from supalab.measure.trial import Trial, TrialSet, Workload
    from supalab.settings import Settings

__all__ = ["ARTICLE_LATENCY", "ProgressBar", "check_outputs", "lab", "race", "serve"]

ARTICLE_LATENCY = 0.45
FIRST_NOTEBOOK = "00_start_here.ipynb"


def race(options: argparse.Namespace) -> int:
    """Run the arms side by side; print the table, write record and pictures."""
    from supalab.figures.look import check_suffix
    from supalab.measure.race import RaceInterrupted
    from supalab.measure.race import race as run_race

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
    from supalab.clients.arms import DEFAULT_ARMS, PEER_ARMS, arm, missing

    named = [*DEFAULT_ARMS] if options.arms is None else [name.strip() for name in options.arms.split(",")]
    chosen = [arm(name).name for name in named]
    for name in PEER_ARMS if options.peers else ():
        lacking = missing(name.rpartition("-")[0])
        if lacking and name == "niquests-10":  # not in the extra, so not having it is no mistake
            print(f"niquests-10 is left out: it {lacking}", file=sys.stderr)
        elif name not in chosen:
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


def check_outputs(*paths: Path | None) -> None:
    """Raise SettingsError now for what would lose minutes of measuring later: no place to write, or one for two."""
    given = [path for path in paths if path is not None]
    places = [os.path.normcase(path.resolve()) for path in given]
    twice = next((path for path, place in zip(given, places, strict=True) if places.count(place) > 1), None)
    if twice is not None:
        raise SettingsError(f"{str(twice)!r} would be written twice: give record and pictures names of their own")
    for path in given:
        _check_writable(path)


def _check_writable(path: Path) -> None:
    existed = path.exists()
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise SettingsError(f"cannot write {str(path)!r} ({error.strerror}): choose another file or folder") from error
    if not existed:
        path.unlink()


class ProgressBar:
    """One line on stderr while something is measured, of which ``unit`` is counted; tables go to stdout."""

    def __init__(self, unit: str = "trials") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description:<12}"), BarColumn(), TextColumn("{task.fields[done]}"))
        self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("lab", total=1.0, done="")
        self._unit = unit

    def __enter__(self) -> Callable[[Progress], None]:
        self._bar.start()
        return self._tell

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def _tell(self, so_far: Progress) -> None:
        done = f"{so_far.done} of {so_far.total} {self._unit}"
        self._bar.update(self._task, completed=so_far.fraction, description=so_far.arm, done=done)


def serve(options: argparse.Namespace) -> int:
    """Serve a lab in the foreground until Ctrl-C or SIGTERM."""
    from supalab.lab.conditions import Conditions
    from supalab.lab.options import ServeOptions
    from supalab.lab.server import serve as run

    conditions = Conditions(options.latency, options.jitter, options.rtt, options.tls, options.error_rate)
    return run(ServeOptions(port=options.port, conditions=conditions, seed=options.seed))


def lab(options: argparse.Namespace) -> int:
    """Open the course in JupyterLab, without news from the network."""
    from supalab.shipped import shipped

    notebooks = shipped("notebooks")
    if not (notebooks / FIRST_NOTEBOOK).is_file():
        raise SettingsError(
            f"{notebooks} has no {FIRST_NOTEBOOK}: the course is in the project's checkout, install from it"
        )
    from jupyterlab.labapp import LabApp  # type: ignore[import-untyped]

    chosen = [
        f"--ServerApp.root_dir={notebooks}",
        f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}",
        # No news from the network, which a workshop may not have, and nobody asked for.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    LabApp.launch_instance([*chosen, *options.rest])
    return 0
