"""All exercises by number: each notebook's have a module of their own (``nb01``, ...), with hints and judges."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module

from supalab.course.check import Exercise

__all__ = ["EXERCISES"]


def _found() -> dict[str, Exercise]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {one.number: one for name in names for one in import_module(f"{__name__}.{name}").EXERCISES}


EXERCISES: Mapping[str, Exercise] = _found()
