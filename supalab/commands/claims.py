"""The command ``supalab claims``: judge the claims, ask when all of the article's numbers are true, check a table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from supalab.commands.output import ProgressBar, check_results, draw, keep, say
from supalab.errors import SettingsError
from supalab.report.format import estimate

__all__ = ["add_claims", "claims"]

#: In a wider terminal the numbers would stand too far from their claims.
WIDEST = 130


def add_claims(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=claims)
    parser.add_argument("--quick", action="store_true", help="the same in small, in less than a minute")
    parser.add_argument(
        "--detective", action="store_true", help="ask instead when all of the article's figures are true at once"
    )
    parser.add_argument(
        "--table",
        action="append",
        metavar="ROW",
        help="check any blog's figures by Little's law and measure nothing, e.g. "
        "limit=3,response=450ms,rate=6.7,n=100,total=15; twice for before and after",
    )
    parser.add_argument("--claims", type=Path, metavar="FILE", help="another table of claims (data/claims.csv)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw it")


def claims(options: argparse.Namespace) -> int:
    """Do what the words ask for; print, write record and figure."""
    check_results(options.json, options.figure)
    return _table(options) if options.table is not None else _measured(options)


def _table(options: argparse.Namespace) -> int:
    """Read one or two rows of a blog's table; nothing is measured."""
    from supalab.measure.littles_law import blog_table, row_of

    given = {"--detective": options.detective, "--quick": options.quick, "--claims": options.claims}
    given |= {"--json": options.json, "--figure": options.figure}
    others = ", ".join(flag for flag, there in given.items() if there)
    if others:
        raise SettingsError(f"{others}: --table only checks figures on paper: leave one of them out")
    if len(options.table) > 2:
        raise SettingsError(f"--table was given {len(options.table)} times: once, or twice for before and after")
    sys.stdout.write(f"{blog_table(*(row_of(words) for words in options.table))}\n")
    return 0


def _measured(options: argparse.Namespace) -> int:
    from supalab.experiments import experiment
    from supalab.measure.record import FORM
    from supalab.measure.run import Interrupted
    from supalab.report.table import show

    if options.detective and options.claims is not None:
        raise SettingsError("--claims goes without --detective, which has the article's table alone")
    one = experiment("detective" if options.detective else "claims")
    asked: dict[str, Any] = {"quick": options.quick}
    if options.claims is not None:
        asked["claims"] = str(options.claims)
    say(f"{estimate(one.expected_s(**asked))} on a quiet machine")
    found: Any
    code = 0
    try:
        with ProgressBar() as tell:
            found = one.run(progress=tell, **asked)
    except Interrupted as interrupted:
        if interrupted.found is None:
            say("supalab: stopped before the first trial was finished")
            return 130
        found, code = interrupted.found, 130
    keep(found, FORM, options.json)
    show(one.tables(found), at_most=WIDEST)
    if options.figure is not None:
        draw(found.figure(), options.figure)
    return code
