"""Trials go in, pictures come out: measures nothing, never calls ``show``, needs no pyplot.

``side_by_side`` and ``timeline`` make whole pictures; the ``draw_*`` functions put one panel on axes of yours.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from supalab.figures.evidence import draw_burst, draw_waiters, evidence
from supalab.figures.lanes import draw_lanes, draw_waiting, timeline
from supalab.figures.panels import draw_in_flight, draw_latency, draw_memory
from supalab.figures.side import side_by_side
from supalab.figures.waterfall import draw_waterfall, waterfall
from supalab.figures.waterfall_links import by_link, draw_by_link
from supalab.figures.words import describe as describe_trials
from supalab.measure.trial import TrialSet
from supalab.report.plot import Picture, description, save

__all__ = [
    "Picture",
    "by_link",
    "describe",
    "draw_burst",
    "draw_by_link",
    "draw_in_flight",
    "draw_lanes",
    "draw_latency",
    "draw_memory",
    "draw_waiters",
    "draw_waiting",
    "draw_waterfall",
    "evidence",
    "save",
    "side_by_side",
    "timeline",
    "waterfall",
]


def describe(what: TrialSet | Figure, arms: Sequence[str] | None = None) -> str:
    """Return the sentences that say what a picture shows, or would show of these trials, with its numbers."""
    return description(what) if isinstance(what, Figure) else describe_trials(what, arms)
