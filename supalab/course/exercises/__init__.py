"""All exercises by number: each notebook's have a module of their own, with hints and judges."""

from __future__ import annotations

from collections.abc import Mapping

from supalab.course.check import Exercise
from supalab.course.exercises import nb01

__all__ = ["EXERCISES"]

EXERCISES: Mapping[str, Exercise] = {one.number: one for module in (nb01,) for one in module.EXERCISES}
