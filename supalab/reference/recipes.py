"""All recipes, in the order in which they are measured: the seam between the instruments and ``supalab record``."""

from __future__ import annotations

from supalab.reference.recipe import AnyRecipe
from supalab.reference.recipes_instruments import INSTRUMENTS, recipe

__all__ = ["RECIPES"]

RECIPES: tuple[AnyRecipe, ...] = (
    recipe("race"), recipe("bench"), *INSTRUMENTS, recipe("capacity"), recipe("faults"),
)  # fmt: skip
