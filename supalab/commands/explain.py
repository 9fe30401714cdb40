"""What ``supalab explain`` does: parsed options flow in, tables, record, pictures and an exit code flow out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from supalab.commands.output import ProgressBar, check_outputs, draw, keep, say
from supalab.commands.race import ARTICLE_LATENCY
from supalab.report.format import estimate

__all__ = ["add_explain", "explain"]

#: A look in half a minute: short requests, two rounds.
QUICK_REQUESTS_PER_SLOT, QUICK_LATENCY_S, QUICK_REPEAT = 4, 0.05, 2


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
    from supalab.experiments.explain import EXPERIMENT, plan
    from supalab.measure.record import FORM, Record
    from supalab.measure.run import Interrupted
    from supalab.report.plot import check_suffix
    from supalab.report.table import show

    how = _how(options)
    trials, seconds = sum(1 for _ in plan(**how)), EXPERIMENT.expected_s(**how)
    figures: dict[str, Path] = {}
    if options.figure is not None:
        check_suffix(options.figure)
        figures["explain"] = options.figure
        if how["links"]:
            figures["explain-links"] = options.figure.with_stem(f"{options.figure.stem}-links")
    check_outputs(options.json, *figures.values())
    rounds = "one round" if how["repeat"] == 1 else f"{how['repeat']} rounds"
    say(f"{trials} trials in {rounds}, {estimate(seconds)} on a quiet machine")
    code = 0
    try:
        with ProgressBar() as tell:
            found = EXPERIMENT.run(**how, progress=tell)
    except Interrupted as interrupted:
        if not isinstance(interrupted.found, Record):
            say("supalab: stopped before the first trial was finished")
            return 130
        found, code = interrupted.found, 130
    keep(found, FORM, options.json)
    show(found.table())
    for name, path in figures.items() if code == 0 else ():
        draw(found.figure(name), path)
    return code


def _how(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of the plan that these words mean."""
    from supalab.experiments.explain import ARTICLE_S, REPEAT
    from supalab.settings import checked_limit

    limit, quick = checked_limit(options.limit), options.quick
    requests = QUICK_REQUESTS_PER_SLOT * limit if quick else None
    latency = ARTICLE_S if options.as_in_article else QUICK_LATENCY_S if quick else None
    return {
        "requests": requests if options.requests is None else options.requests,
        "latency": latency if options.latency is None else options.latency,
        "before": options.before,
        "limit": limit,
        "repeat": (QUICK_REPEAT if quick else REPEAT) if options.repeat is None else options.repeat,
        "links": not quick if options.links is None else options.links,
    }
