"""What the commands share: one line of progress, messages on stderr, and an early check of output paths."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from supalab.errors import SettingsError

if TYPE_CHECKING:
    from supalab.measure.run import Progress

__all__ = ["ProgressBar", "check_outputs", "say"]


def check_outputs(*paths: Path | None) -> None:
    """Raise SettingsError now for what would lose minutes of measuring later: no place to write, or one for two.

    The first path is the record's, the others are figures'.
    """
    from supalab.report.files import check_place

    record, *figures = paths
    drawn = [path for path in figures if path is not None]
    if drawn:
        from supalab.report.plot import check_suffix

        for path in drawn:
            check_suffix(path)
    given = [path for path in (record, *drawn) if path is not None]
    places = [os.path.normcase(path.absolute()) for path in given]
    for path, place in zip(given, places, strict=True):
        if places.count(place) > 1:
            raise SettingsError(f"{str(path)!r} would be written twice: use different names for record and figures")
        check_place(path)


def say(line: str) -> None:
    """To stderr, where the progress bar is: stdout is for what was found."""
    sys.stderr.write(f"{line}\n")


class ProgressBar:
    """One line on stderr while something is measured, of which ``unit`` is counted; tables go to stdout.

    ``about`` is printed when measuring has begun, so that a refused command prints only the reason.
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
