"""What measuring commands share: paths and results flow in, checks come first, records and pictures flow out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from supalab.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from supalab.measure.archive import Form
    from supalab.measure.race import Progress


T = TypeVar("T")

__all__ = ["ProgressBar", "check_outputs", "check_results", "draw", "keep", "say"]


def check_results(record: Path | None, figure: Path | None) -> None:
    """Raise SettingsError now for a record or a picture that could not be written at the end."""
    if figure is not None:
        from supalab.report.plot import check_suffix

        check_suffix(figure)
    check_outputs(record, figure)


def check_outputs(*paths: Path | None) -> None:
    """Raise SettingsError now for what would lose minutes of measuring later: no place to write, or one for two."""
    given = [path for path in paths if path is not None]
    places = [os.path.normcase(path.resolve()) for path in given]
    twice = next((path for path, place in zip(given, places, strict=True) if places.count(place) > 1), None)
    if twice is not None:
        raise SettingsError(f"{str(twice)!r} would be written twice: give record and pictures names of their own")
    for path in given:
        _check_writable(path)


def _check_writable(path: Path) -> None:
    existed = path.exists()
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise SettingsError(f"cannot write {str(path)!r} ({error.strerror}): choose another file or folder") from error
    if not existed:
        path.unlink()


def say(line: str) -> None:
    """To stderr, where the progress bar is: stdout is for what was found."""
    sys.stderr.write(f"{line}\n")


def keep(found: T, form: Form[T], path: Path | None) -> None:
    """Write the record, if a path was given, and say so; before any table, which may end in a closed pipe."""
    if path is not None:
        form.save(found, path)
        say(f"written: {path}")


def draw(picture: Figure, path: Path) -> None:
    """Write the picture and print its description."""
    from supalab.report.plot import description, save

    save(picture, path)
    sys.stdout.write(f"\n{description(picture)}\n")
    say(f"written: {path}")


class ProgressBar:
    """One line on stderr while something is measured, of which ``unit`` is counted; tables go to stdout.

    ``about`` is said when measuring has begun: a command that is refused has one line, the reason.
    """

    def __init__(self, unit: str = "trials", about: str = "") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description:<12}"), BarColumn(), TextColumn("{task.fields[done]}"))
        console = Console(stderr=True)
        # To a file it would write nothing but an empty line.
        silent = not console.is_terminal
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=silent)
        self._task = self._bar.add_task("lab", total=1.0, done="")
        self._unit, self._about = unit, about

    def __enter__(self) -> Callable[[Progress], None]:
        self._bar.start()
        return self._tell

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def _tell(self, so_far: Progress) -> None:
        if self._about:
            say(self._about)
            self._about = ""
        done = f"{so_far.done} of {so_far.total} {self._unit}"
        self._bar.update(self._task, completed=so_far.fraction, description=so_far.arm, done=done)
