"""Live through the migration from fake async to real async: clients, a lab that counts, a race, pictures.

Names are imported when first used, so ``import supalab`` costs next to nothing and loads no plotting library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supalab.clients.article import ArticleSupabaseAsync
    from supalab.clients.fake import FakeSupabaseAsync
    from supalab.clients.real import SupabaseAsync
    from supalab.clients.session import SessionSupabaseAsync
    from supalab.experiments.race import race
    from supalab.lab.handle import Lab
    from supalab.measure.workload import Workload
    from supalab.probe import probe
    from supalab.settings import Settings

__version__ = "0.1.0"

_HOME = {
    "ArticleSupabaseAsync": "supalab.clients.article",
    "FakeSupabaseAsync": "supalab.clients.fake",
    "Lab": "supalab.lab.handle",
    "SessionSupabaseAsync": "supalab.clients.session",
    "Settings": "supalab.settings",
    "SupabaseAsync": "supalab.clients.real",
    "Workload": "supalab.measure.workload",
    "probe": "supalab.probe",
    "race": "supalab.experiments.race",
}

__all__ = [
    "ArticleSupabaseAsync",
    "FakeSupabaseAsync",
    "Lab",
    "SessionSupabaseAsync",
    "Settings",
    "SupabaseAsync",
    "Workload",
    "__version__",
    "probe",
    "race",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'supalab' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
