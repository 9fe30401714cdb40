"""What ``supalab record`` does: all reference material is measured and written anew, or compared with today's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supalab.commands.output import ProgressBar, check_outputs, say
from supalab.errors import SettingsError
from supalab.report.format import estimate
from supalab.shipped import shipped

if TYPE_CHECKING:
    from supalab.reference.recipe import AnyRecipe

__all__ = ["add_record", "record"]

PAGES = ("supalab/experiments/README.md", "data/reference/README.md")


def add_record(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=record)
    parser.add_argument(
        "--only", metavar="A,B,…", help="some of it, e.g. race,claims (default: all; --list names them)"
    )
    parser.add_argument(
        "--list", action="store_true", help="say what there is and how long each takes; measure nothing"
    )
    parser.add_argument("--compare", action="store_true", help="measure, print today's figures beside; write nothing")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="where to write (data/reference of the checkout)")


def record(options: argparse.Namespace) -> int:
    """Measure what was asked for; write each part when it is finished, or compare it."""
    from supalab.reference.recipes import RECIPES
    from supalab.reference.record import chosen, expected_s, measured

    names = None if options.only is None else [name.strip() for name in options.only.split(",")]
    recipes = chosen(RECIPES, names)
    if options.list:
        for one in recipes:
            sys.stdout.write(f"{one.name:<10} {estimate(one.expected_s()):<17}  {one.about}\n")
        return 0
    reference = shipped("data", "reference")
    folder = _folder(options.into or reference)
    if not options.compare:
        check_outputs(*(folder / one.record for one in recipes))
    deed = _compared(recipes, reference) if options.compare else _kept(folder)
    say(f"{len(recipes)} recordings, {estimate(expected_s(recipes))}: {', '.join(one.name for one in recipes)}")
    try:
        with ProgressBar("recordings") as tell:
            measured(recipes, deed, tell)
    finally:  # whatever was finished is on the pages too
        if not options.compare and options.into is None:
            _refresh(RECIPES)
    return 0


def _folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise SettingsError(f"{str(folder)!r} is no folder: make it, or name another one with --into")
    return folder


def _kept(folder: Path) -> Callable[[AnyRecipe, Any], None]:
    from supalab.reference.record import written

    def keep(recipe: AnyRecipe, result: Any) -> None:
        say(f"written: {', '.join(map(str, written(recipe, result, folder)))}")

    return keep


def _compared(recipes: Sequence[AnyRecipe], reference: Path) -> Callable[[AnyRecipe, Any], None]:
    from supalab.reference.compare import pairs, table
    from supalab.report.table import text

    # Read before anything is measured: a reference that is not there must not cost minutes.
    before = {one.name: one.figures(one.load(reference / one.record)) for one in recipes}

    def compare(recipe: AnyRecipe, result: Any) -> None:
        sys.stdout.write(f"\n{text(table(pairs(recipe.name, before[recipe.name], recipe.figures(result))))}")
        sys.stdout.flush()

    return compare


def _refresh(recipes: Sequence[AnyRecipe]) -> None:
    """Make the tables on the project's pages anew."""
    from supalab.reference.pages import refreshed

    for name in PAGES:
        page = shipped(*name.split("/"))
        if page.is_file():
            text = page.read_text(encoding="utf-8")
            page.write_text(refreshed(text, recipes, shipped("data", "reference")), encoding="utf-8", newline="\n")
