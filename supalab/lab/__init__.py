"""The lab is a child process that behaves like a Supabase project; ``Lab`` is its handle, ``Witness`` what it counts.

Names are imported when first used, so that the child process, which starts in here too, loads only its own half.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supalab.lab.conditions import Conditions
    from supalab.lab.handle import Lab
    from supalab.lab.witness import Witness

_HOME = {
    "Conditions": "supalab.lab.conditions",
    "Lab": "supalab.lab.handle",
    "Witness": "supalab.lab.witness",
}

__all__ = ["Conditions", "Lab", "Witness"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'supalab.lab' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value
