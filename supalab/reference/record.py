"""Recipes go in, are measured one after another, and each one's files are written when it is finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from supalab.errors import SettingsError
from supalab.measure.race import Progress, marks
from supalab.reference.recipe import AnyRecipe, Tell

__all__ = ["chosen", "expected_s", "measured", "written"]


def chosen(recipes: Sequence[AnyRecipe], names: Sequence[str] | None) -> tuple[AnyRecipe, ...]:
    """Return the recipes of these names, in the recipes' own order; raises SettingsError for a name that is none."""
    known = [one.name for one in recipes]
    unknown = next((name for name in names or () if name not in known), None)
    if unknown is not None:
        raise SettingsError(f"nothing recorded is called {unknown!r}: choose from {', '.join(known)}")
    return tuple(one for one in recipes if names is None or one.name in names)


def expected_s(recipes: Sequence[AnyRecipe]) -> float:
    """Return the seconds that all of them should take on a quiet machine."""
    return sum(one.expected_s() for one in recipes)


def measured(
    recipes: Sequence[AnyRecipe], finished: Callable[[AnyRecipe, Any], None], tell: Tell | None = None
) -> None:
    """Measure the recipes; ``finished`` gets each result at once, so that nothing is lost if the next one breaks.

    ``tell`` is told the progress of the whole: the recipe's name for the arm, recipes done and in all.
    """
    seconds = [one.expected_s() for one in recipes]
    for place, one in enumerate(recipes):
        finished(one, one.run(_share(recipes, seconds, place, tell)))


def _share(recipes: Sequence[AnyRecipe], seconds: Sequence[float], place: int, tell: Tell | None) -> Tell:
    begins = marks(seconds)

    def told(so_far: Progress) -> None:
        if tell is not None:
            fraction = (begins[place] + so_far.fraction * seconds[place]) / (begins[-1] or 1.0)
            tell(Progress(fraction, recipes[place].name, place + (so_far.fraction >= 1), len(recipes)))

    return told


def written(recipe: AnyRecipe, result: Any, folder: Path) -> list[Path]:
    """Write the record, which took so long to measure, and then its pictures; return the paths.

    Raises SettingsError if the folder cannot be written.
    """
    from supalab.report.plot import save

    paths = [recipe.save(result, folder / recipe.record)]
    return paths + [save(picture, folder / name) for name, picture in recipe.draw(result).items()]
