"""Recipes of the service: its capacity by client, and its faults in production; the seam to ``supalab record``."""

from __future__ import annotations

from supalab.capacity import faults, faults_result, faults_table, measure, result, table
from supalab.capacity.faults_result import Faults
from supalab.capacity.result import Capacity
from supalab.figures.capacity import capacity_picture
from supalab.figures.recovery import recovery_picture
from supalab.measure.race import Progress
from supalab.reference.recipe import AnyRecipe, Recipe, Tell

__all__ = ["PRODUCTION"]


def _capacity(tell: Tell) -> Capacity:
    return measure.capacity(progress=lambda *at: tell(Progress(*at)))


def _capacity_figures(found: Capacity) -> dict[str, float]:
    ratios = {goal.name: goal.value for goal in result.goals(found)}
    rates = {f"{arm.arm}: capacity /s": arm.capacity for arm in found.arms}
    idle = {f"{arm.arm}: idle s": arm.idle_s for arm in found.arms}
    return {name: value for name, value in {**ratios, **rates, **idle}.items() if value is not None}


def _faults(tell: Tell) -> Faults:
    return faults.faults(progress=lambda *at: tell(Progress(*at)))


def _faults_figures(found: Faults) -> dict[str, float]:
    figures: dict[str, float] = {}
    for spell in found.spells:
        name = f"{spell.arm} {spell.fault}"
        figures |= {f"{name}: lost": sum(spell.lost.values()), f"{name}: noticed": spell.abandoned}
        if spell.recovery_s is not None:
            figures[f"{name}: well again, s"] = spell.recovery_s
    return figures


PRODUCTION: tuple[AnyRecipe, ...] = (
    Recipe(
        name="capacity",
        about="what a service can take by its client: response time against arrival rate, and the capacity",
        run=_capacity,
        expected_s=measure.expected_s,
        save=result.FORM.save,
        load=result.FORM.load,
        draw=lambda found: {"capacity.png": capacity_picture(found)},
        tables=table.tables,
        figures=_capacity_figures,
    ),
    Recipe(
        name="faults",
        about="a slow backend, a failing one, a crowd that hangs up: when each client's service is well again",
        run=_faults,
        expected_s=faults.expected_s,
        save=faults_result.FORM.save,
        load=faults_result.FORM.load,
        draw=lambda found: {"faults.png": recovery_picture(found)},
        tables=faults_table.tables,
        figures=_faults_figures,
    ),
)
