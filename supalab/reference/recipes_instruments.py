"""Recipes of the instruments: what earned the speed-up, what it costs, whose claims hold; for ``supalab record``."""

from __future__ import annotations

from supalab.experiments import experiment
from supalab.measure.record import FORM
from supalab.reference.recipe import AnyRecipe, Recipe

__all__ = ["INSTRUMENTS", "recipe"]


def recipe(name: str) -> AnyRecipe:
    """Return how an experiment of the engine is recorded."""
    one = experiment(name)
    return Recipe(
        name=name,
        about=one.about,
        run=lambda tell: one.run(progress=tell, **one.full),
        expected_s=lambda: one.expected_s(**one.full),
        save=FORM.save,
        load=FORM.load,
        draw=lambda found: {f"{figure}.png": draw(found) for figure, draw in one.figures.items()},
        tables=one.tables,
        figures=one.compared,
    )


INSTRUMENTS: tuple[AnyRecipe, ...] = (
    recipe("explain"),
    recipe("memory"),
    recipe("lag"),
    recipe("cancel"),
    recipe("throughput"),
    recipe("claims"),
    recipe("detective"),
)
