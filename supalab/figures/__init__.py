"""Trials go in, pictures come out: measures nothing, never calls ``show``, needs no pyplot."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from supalab.figures.lanes import timeline
from supalab.figures.look import Picture, description, save
from supalab.figures.side import side_by_side
from supalab.figures.words import describe as describe_trials
from supalab.measure.trial import TrialSet

__all__ = ["Picture", "describe", "save", "side_by_side", "timeline"]


def describe(what: TrialSet | Figure, arms: Sequence[str] | None = None) -> str:
    """Return the sentences that say what a picture shows, or would show of these trials, with its numbers."""
    return description(what) if isinstance(what, Figure) else describe_trials(what, arms)
