"""What the commands share: options, one line of progress, messages on stderr, and an early check of output paths."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from supalab.errors import SettingsError, SupalabError, TrialError

if TYPE_CHECKING:
    from supalab.measure.run import Progress

Quick: TypeAlias = Annotated[bool, Parameter(help="a first look: fewer and shorter trials")]
RecordFile: TypeAlias = Annotated[Path | None, Parameter(help="write the record to this file")]
FigureFile: TypeAlias = Annotated[Path | None, Parameter(help="draw the figure to this file: .png, .svg or .pdf")]
RestPath: TypeAlias = Annotated[str, Parameter(help='the prefix of its API, "" for plain PostgREST')]
Key: TypeAlias = Annotated[
    str | None,
    Parameter(help="its key (default: the environment's SUPABASE_KEY, which unlike an option is not visible in ps)"),
]


def key_for(url: str | None, key: str | None) -> str | None:
    """Return the key of the project at ``url``, from the environment if none is given; None without an address."""
    if url is None and key is not None:
        raise SettingsError("--key goes with --url: give the project's address too, or neither for the lab")
    return key or os.environ.get("SUPABASE_KEY") or None


def check_outputs(record: Path | None, *figures: Path | None) -> None:
    """Raise SettingsError for output paths that cannot work, before minutes of measuring are lost."""
    from supalab.report.files import check_place

    drawn = [path for path in figures if path is not None]
    if drawn:
        from supalab.report.plot import check_suffix

        for path in drawn:
            check_suffix(path)
    places = set[str]()
    for path in drawn if record is None else [record, *drawn]:
        place = os.path.normcase(path.absolute())
        if place in places:
            raise SettingsError(f"{str(path)!r} would be written twice: use different names for record and figures")
        places.add(place)
        check_place(path)


def with_addition(path: Path, addition: str) -> Path:
    """Return a path with an addition to its name, before the suffix."""
    return path.parent / f"{path.stem}{addition}{path.suffix}"


def say(line: str) -> None:
    """Write a line to stderr, where the progress line is; stdout is for results."""
    sys.stderr.write(f"{line}\n")


def written(write: Callable[[Path], Path], path: Path) -> bool:
    """Write a file and say so, or say why not; return whether it worked.

    A figure without enough measurements is not a failure.
    """
    try:
        say(f"written: {write(path)}")
    except TrialError as error:
        say(f"not drawn: {path}: {error}")
    except SupalabError as error:
        say(f"supalab: {error}")
        return False
    return True


@contextmanager
def progress_bar(unit: str = "trials", about: str = "") -> Iterator[Callable[[Progress], None]]:
    """Show one line of progress on stderr during a measurement; yields the function for ``progress=``.

    ``about`` is printed when measuring has begun, so that a refused command prints only the reason.
    """
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = ("{task.description:<12}", progress.BarColumn(), "{task.fields[done]}", progress.TimeRemainingColumn())
    # In a file it would only write an empty line.
    silent = not console.is_terminal
    unsaid = [about] if about else []
    with progress.Progress(*columns, console=console, transient=True, disable=silent) as bar:
        task = bar.add_task("lab", total=1.0, done="")

        def tell(so_far: Progress) -> None:
            if unsaid:
                say(unsaid.pop())
            counted = f"{so_far.done} of {so_far.total} {unit}"
            bar.update(task, completed=so_far.fraction, description=so_far.arm, done=counted)

        yield tell
