"""A course about fake async and real async: clients, a test server that counts, experiments, charts.

Names are imported when first used, so ``import supalab`` is quick and loads no plotting library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from supalab.clients.article import ArticleSupabaseAsync as ArticleSupabaseAsync
    from supalab.clients.fake import FakeSupabaseAsync as FakeSupabaseAsync
    from supalab.clients.real import SupabaseAsync as SupabaseAsync
    from supalab.clients.session import SessionSupabaseAsync as SessionSupabaseAsync
    from supalab.errors import ApiError as ApiError
    from supalab.errors import ClientError as ClientError
    from supalab.errors import SupalabError as SupalabError
    from supalab.experiments import recorded as recorded
    from supalab.experiments.claims import verdicts as verdicts
    from supalab.experiments.race import race as race
    from supalab.experiments.race_figure import side_by_side as side_by_side
    from supalab.filters import any_of as any_of
    from supalab.filters import gte as gte
    from supalab.lab.handle import Lab as Lab
    from supalab.measure.case import Case as Case
    from supalab.measure.case import Workload as Workload
    from supalab.measure.run import here as here
    from supalab.probe import probe as probe
    from supalab.settings import Settings as Settings

#: Where each public name lives.
_HOME = {
    "ApiError": "supalab.errors",
    "ArticleSupabaseAsync": "supalab.clients.article",
    "Case": "supalab.measure.case",
    "ClientError": "supalab.errors",
    "FakeSupabaseAsync": "supalab.clients.fake",
    "Lab": "supalab.lab.handle",
    "SessionSupabaseAsync": "supalab.clients.session",
    "Settings": "supalab.settings",
    "SupabaseAsync": "supalab.clients.real",
    "SupalabError": "supalab.errors",
    "Workload": "supalab.measure.case",
    "any_of": "supalab.filters",
    "gte": "supalab.filters",
    "here": "supalab.measure.run",
    "probe": "supalab.probe",
    "race": "supalab.experiments.race",
    "recorded": "supalab.experiments",
    "side_by_side": "supalab.experiments.race_figure",
    "verdicts": "supalab.experiments.claims",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'supalab' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
