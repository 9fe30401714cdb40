"""Trials go in, pictures come out: measures nothing, never calls ``show``, needs no pyplot."""

from __future__ import annotations

from supalab.figures.lanes import timeline
from supalab.figures.look import Picture, description, save
from supalab.figures.side import side_by_side
from supalab.figures.words import describe

__all__ = ["Picture", "describe", "description", "save", "side_by_side", "timeline"]
