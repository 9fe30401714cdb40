"""What ``supalab race`` does: parsed options flow in, a table, a record, pictures and an exit code flow out."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supalab.commands.output import ProgressBar, check_outputs
from supalab.errors import SettingsError, SupalabError

if TYPE_CHECKING:
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
    from supalab.experiments.race import EXPERIMENT
    from supalab.measure.run import Interrupted
    from supalab.report.plot import check_suffix

    check_suffix(options.figure)
    figures = (options.figure, options.figure.with_stem(options.figure.stem + "-timeline"))
    check_outputs(options.json, *figures)
    settings, asked = _project(options), _asked(options)
    found: Any = None
    code = 0
    try:
        with ProgressBar() as tell:
            found = EXPERIMENT.run(settings=settings, progress=tell, **asked)
    except Interrupted as interrupted:
        found, code = interrupted.found, 130
    except SupalabError as error:
        if error.partial is not None:
            _report(error.partial, options.json, figures)
            sys.stdout.flush()  # the reason comes after the table also where both go into one file
        raise
    _report(found, options.json, figures)
    return code


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    latency = options.latency if options.latency is not None else ARTICLE_LATENCY if options.as_in_article else 0.15
    names = ("requests", "callers", "repeat", "table", "columns", "rows", "rtt", "tls")
    asked = {name: getattr(options, name) for name in names}
    return asked | {"arms": _arms(options), "latency": None if options.url else latency}


def _arms(options: argparse.Namespace) -> Sequence[str]:
    from supalab.clients.arms import DEFAULT_ARMS, PEER_ARMS, arm

    named = [*DEFAULT_ARMS] if options.arms is None else [name.strip() for name in options.arms.split(",")]
    chosen = [arm(name).name for name in named]
    for name in PEER_ARMS if options.peers else ():
        if name not in chosen:
            chosen.append(arm(name).name)
    return chosen


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


def _report(found: Any, record: Path | None, figures: tuple[Path, Path]) -> None:
    if found is None:
        print("supalab: stopped before the first trial was finished", file=sys.stderr)
        return
    from supalab.report.plot import save
    from supalab.report.table import show

    show(found.table())
    written = [found.save(record)] if record else []
    written += [save(found.figure(name), path) for name, path in zip(("race", "race-timeline"), figures, strict=True)]
    print(f"\nwritten: {', '.join(map(str, written))}")
    print(f"next: {_myself()} lab   (the course, from the first notebook on)")


def _myself() -> str:
    """How this command was called, so that the next one can be typed the same way."""
    called = Path(sys.argv[0])
    return "supalab" if shutil.which("supalab") or called.stem != "supalab" else str(called)
