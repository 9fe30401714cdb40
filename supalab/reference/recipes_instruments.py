"""Recipes of the instruments: what earned the speed-up, what it costs, whose claims hold; for ``supalab record``."""

from __future__ import annotations

from supalab.commands.race import ARTICLE_LATENCY
from supalab.experiments import experiment
from supalab.figures.waterfall import waterfall
from supalab.figures.waterfall_links import by_link
from supalab.measure.explain import EXPLANATION, Explanation, explain, planned
from supalab.measure.explain.table import tables as explain_tables
from supalab.measure.record import FORM
from supalab.measure.workload import Workload
from supalab.reference.recipe import AnyRecipe, Recipe, Tell

__all__ = ["INSTRUMENTS", "recipe"]

AS_IN_ARTICLE = Workload(100, ARTICLE_LATENCY)


def _explain(tell: Tell) -> Explanation:
    return explain(AS_IN_ARTICLE, progress=tell)


def _explain_figures(found: Explanation) -> dict[str, float]:
    shares = {f"{step.factor}: share of the whole": found.share(step) for step in found.steps}
    cpu = {f"{step.after.arm}: CPU ms/request": step.after.cpu for step in found.steps}
    known = {name: share for name, share in shares.items() if share is not None}
    rest = {"remainder / whole": found.remainder_s / found.earned_s} if found.earned_s else {}
    return rest | known | cpu


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
    Recipe(
        name="explain",
        about="the step from the article's client to ours, a factor at a time, over several links",
        run=_explain,
        expected_s=lambda: planned(AS_IN_ARTICLE).expected_s,
        save=EXPLANATION.save,
        load=EXPLANATION.load,
        draw=lambda found: {"explain.png": waterfall(found), "explain-links.png": by_link(found)},
        tables=explain_tables,
        figures=_explain_figures,
    ),
    recipe("memory"),
    recipe("lag"),
    recipe("cancel"),
    recipe("throughput"),
    recipe("claims"),
    recipe("detective"),
)
