"""What measuring commands share: paths and results flow in, checks come first, records and pictures flow out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from supalab.commands import check_outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from supalab.measure.archive import Form


T = TypeVar("T")

__all__ = ["check_results", "draw", "keep", "lasting", "say"]


def check_results(record: Path | None, figure: Path | None) -> None:
    """Raise SettingsError now for a record or a picture that could not be written at the end."""
    if figure is not None:
        from supalab.figures.look import check_suffix

        check_suffix(figure)
    check_outputs(record, figure)


def lasting(seconds: float) -> str:
    """Return an expected time for people: ``about 40 s``, ``about 9 minutes``."""
    return f"about {seconds:.0f} s" if seconds < 100 else f"about {seconds / 60:.0f} minutes"


def say(line: str) -> None:
    """To stderr, where the progress bar is: stdout is for what was found."""
    sys.stderr.write(f"{line}\n")


def keep(found: T, form: Form[T], path: Path | None) -> None:
    """Write the record, if a path was given, and say so."""
    if path is not None:
        form.save(found, path)
        say(f"written: {path}")


def draw(picture: Figure, path: Path) -> None:
    """Write the picture and print its description."""
    from supalab.figures.look import description, save

    save(picture, path)
    sys.stdout.write(f"\n{description(picture)}\n")
    say(f"written: {path}")
