"""All recipes, in the order in which they are measured: the seam between the instruments and ``supalab record``."""

from __future__ import annotations

from supalab.reference.recipe import AnyRecipe
from supalab.reference.recipes_instruments import INSTRUMENTS, recipe
from supalab.reference.recipes_production import PRODUCTION

__all__ = ["RECIPES"]

RECIPES: tuple[AnyRecipe, ...] = (recipe("race"), recipe("bench"), *INSTRUMENTS, *PRODUCTION)
