"""All recipes, in the order in which they are measured: the seam between the instruments and ``supalab record``."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from supalab import figures
from supalab.clients.arms import DEFAULT_ARMS
from supalab.measure import records
from supalab.measure.campaign import Experiment
from supalab.measure.race import race
from supalab.measure.summary import summary
from supalab.measure.table import table
from supalab.measure.trial import TrialSet
from supalab.reference.recipe import AnyRecipe, Recipe, Tell
from supalab.reference.recipes_instruments import INSTRUMENTS, recipe
from supalab.reference.recipes_production import PRODUCTION

__all__ = ["RECIPES"]

RACE_REPEAT = 5
RACE_FIGURES = {
    "in flight": "peak_in_flight",
    "connections": "connections",
    "makespan / ideal": "ideal_ratio",
    "CPU ms/request": "cpu_ms_per_request",
    "memory added, bytes": "memory_added_bytes",
}


def _race(tell: Tell) -> TrialSet:
    return race(repeat=RACE_REPEAT, progress=tell)


def _draw_race(trials: TrialSet) -> Mapping[str, Figure]:
    return {"race.png": figures.side_by_side(trials), "race-timeline.png": figures.timeline(trials)}


def _race_figures(trials: TrialSet) -> dict[str, float]:
    rows = summary(trials)
    found = {f"{row['arm']}: {name}": row[key] for name, key in RACE_FIGURES.items() for row in rows}
    return {name: float(number) for name, number in found.items() if number is not None}


RECIPES: tuple[AnyRecipe, ...] = (
    Recipe(
        name="race",
        about="six arms, five times: a span for every request, what the lab witnessed, memory, CPU, loop lag",
        run=_race,
        expected_s=lambda: Experiment("race", DEFAULT_ARMS, repeat=RACE_REPEAT).expected_s,
        save=records.save,
        load=records.load,
        draw=_draw_race,
        tables=table,
        figures=_race_figures,
    ),
    recipe("bench"),
    *INSTRUMENTS,
    *PRODUCTION,
)
