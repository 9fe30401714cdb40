"""What ``supalab claims`` does: parsed options flow in; the ledger, the detective's case or a blog's table, and an exit
code flow out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from supalab.commands.output import ProgressBar, check_outputs, keep, say
from supalab.errors import SettingsError

if TYPE_CHECKING:
    from supalab.measure.claims.ledger import Ledger
    from supalab.measure.detective import Case

__all__ = ["add_claims", "claims"]


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
    """Put the claims on trial, or ask when all figures are true, or check a table; print, write record and picture."""
    if options.figure is not None:
        from supalab.report.plot import check_suffix

        check_suffix(options.figure)
    check_outputs(options.json, options.figure)
    if options.table is not None:
        return _table(options)
    return _detective(options) if options.detective else _ledger(options)


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


def _ledger(options: argparse.Namespace) -> int:
    from supalab.measure.claims.ledger import LEDGER
    from supalab.measure.claims.run import LedgerInterrupted, expected_s
    from supalab.measure.claims.run import claims as run
    from supalab.measure.claims.table import WIDEST, table
    from supalab.report.table import show

    say(f"about {expected_s(options.quick, options.claims):.0f} s on a quiet machine")
    code = 0
    try:
        with ProgressBar() as tell:
            found = run(quick=options.quick, path=options.claims, progress=tell)
    except LedgerInterrupted as interrupted:
        found, code = interrupted.ledger, 130
    # The record first: a table can end in a closed pipe, and minutes of measuring with it.
    keep(found, LEDGER, options.json)
    show(table(found), at_most=WIDEST)
    if options.figure is not None:
        _draw(found, options.figure)
    return code


def _detective(options: argparse.Namespace) -> int:
    from supalab.measure import detective
    from supalab.measure.detective.table import table
    from supalab.report.table import show

    if options.claims is not None:
        raise SettingsError("--claims goes with the ledger: the detective has the article's table alone")
    say(f"about {detective.expected_s(options.quick):.0f} s on a quiet machine")
    with ProgressBar() as tell:
        found = detective.detective(quick=options.quick, progress=tell)
    keep(found, detective.CASE, options.json)
    show(table(found))
    if options.figure is not None:
        _draw(found, options.figure)
    return 0


def _draw(found: Ledger | Case, path: Path) -> None:
    from supalab.figures import save
    from supalab.figures.detective import case_picture
    from supalab.figures.ledger import ledger_picture
    from supalab.measure.claims.ledger import Ledger
    from supalab.report.plot import description

    drawn = ledger_picture(found) if isinstance(found, Ledger) else case_picture(found)
    save(drawn, path)
    sys.stdout.write(f"\n{description(drawn)}\n")
    say(f"written: {path}")
