"""A reference record as a picture: its name and form go in, the drawing comes out, or a line on how to make it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from matplotlib.figure import Figure

from supalab.measure.archive import Form
from supalab.shipped import shipped

__all__ = ["NotRecorded", "recorded"]

T = TypeVar("T")


class NotRecorded:
    """What stands where a picture would: this checkout has no such record."""

    def __init__(self, name: str, command: str) -> None:
        self.name, self.command = name, command

    def __repr__(self) -> str:
        cure = f"To measure and draw it: {self.command} --figure here.png"
        return f"{self.name} is not in data/reference of this checkout.\n{cure}"


def recorded(name: str, form: Form[T], draw: Callable[[T], Figure]) -> Figure | NotRecorded:
    """Draw the record ``data/reference/<name>``; raises TrialError for a file that is no such record."""
    path = shipped("data", "reference", name)
    return draw(form.load(path)) if path.is_file() else NotRecorded(name, form.command)
