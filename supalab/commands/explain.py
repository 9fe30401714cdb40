"""What ``supalab explain`` does: parsed options flow in, tables, record, pictures and an exit code flow out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supalab.commands.output import ProgressBar, check_outputs, say
from supalab.commands.race import ARTICLE_LATENCY
from supalab.report.format import estimate

if TYPE_CHECKING:
    from supalab.measure.explain.result import Explanation

__all__ = ["add_explain", "explain"]

#: A look in half a minute: short requests, two rounds.
QUICK_REQUESTS_PER_SLOT, QUICK_LATENCY_S, QUICK_REPEAT, REPEAT = 4, 0.05, 2, 3


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=explain)
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="requests in flight afterwards (10)")
    parser.add_argument("--before", type=int, default=3, metavar="N", help="threads before (3)")
    parser.add_argument("--requests", type=int, metavar="N", help="requests of a trial (ten for each slot: 100)")
    parser.add_argument(
        "--latency", type=float, metavar="S", help="seconds the lab takes for a request (0.15; above limit 30: 0.05)"
    )
    parser.add_argument("--as-in-article", action="store_true", help=f"the article's latency, {ARTICLE_LATENCY} s")
    parser.add_argument("--repeat", type=int, metavar="K", help="rounds, each with a trial of everything (3)")
    parser.add_argument("--quick", action="store_true", help="a look in half a minute: few short requests, no links")
    parser.add_argument(
        "--links", action=argparse.BooleanOptionalAction, help="what connections earn over TLS and distance, too (yes)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the waterfall, and FILE-links beside it")


def explain(options: argparse.Namespace) -> int:
    """Take the step apart; print tables and sentences, write record and pictures."""
    from supalab.measure.explain import ExplainInterrupted, planned
    from supalab.measure.explain import explain as run_explain

    how = _how(options)
    todo = planned(**how)
    figures = _figures(options.figure, links=bool(todo.link_workload))
    check_outputs(options.json, *figures)
    trials = todo.rounds * sum(len(one.arms) for one in todo.experiments)
    rounds = "one round" if todo.rounds == 1 else f"{todo.rounds} rounds"
    say(f"{trials} trials in {rounds}, {estimate(todo.expected_s)} on a quiet machine")
    found: Explanation | None
    code = 0
    try:
        with ProgressBar() as tell:
            found = run_explain(**how, progress=tell)
    except ExplainInterrupted as interrupted:
        found, code = interrupted.explanation, 130
    if found is None:
        say("supalab: stopped before the first round was finished")
        return code
    _report(found, options.json, figures)
    return code


def _how(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of ``explain`` that these words mean."""
    from dataclasses import replace

    from supalab.measure.explain.plan import usual
    from supalab.settings import checked_limit

    limit = checked_limit(options.limit)
    load = usual(limit)
    if options.quick:
        load = replace(load, requests=QUICK_REQUESTS_PER_SLOT * limit, latency=QUICK_LATENCY_S)
    latency = ARTICLE_LATENCY if options.as_in_article else load.latency
    return {
        "workload": replace(
            load,
            requests=load.requests if options.requests is None else options.requests,
            latency=latency if options.latency is None else options.latency,
        ),
        "before": options.before,
        "after": limit,
        "repeat": (QUICK_REPEAT if options.quick else REPEAT) if options.repeat is None else options.repeat,
        "links": not options.quick if options.links is None else options.links,
    }


def _figures(path: Path | None, *, links: bool) -> tuple[Path, ...]:
    from supalab.report.plot import check_suffix

    if path is None:
        return ()
    check_suffix(path)
    return (path, path.with_stem(f"{path.stem}-links")) if links else (path,)


def _report(found: Explanation, record: Path | None, figures: tuple[Path, ...]) -> None:
    from supalab.measure.explain.result import EXPLANATION
    from supalab.measure.explain.table import tables
    from supalab.report.table import show

    # First of all: whatever happens to the rest, minutes of measuring are not lost.
    if record is not None:
        EXPLANATION.save(found, record)
        say(f"written: {record}")
    show(tables(found))
    if figures:
        _draw(found, figures)


def _draw(found: Explanation, figures: tuple[Path, ...]) -> None:
    from supalab.figures.waterfall import waterfall
    from supalab.figures.waterfall_links import by_link
    from supalab.report.plot import description, save

    for draw, path in zip((waterfall, by_link), figures, strict=False):
        drawn = draw(found)
        save(drawn, path)
        sys.stdout.write(f"\n{description(drawn)}\n")
        say(f"written: {path}")
