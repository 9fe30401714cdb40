"""Record which exercises have been done: each check writes a line into the working copy, and a table shows them.

A line holds the exercise, the state and the time. It holds no name and no code.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from supalab.course.copies import MARKER
from supalab.course.feedback import MARKS, State
from supalab.errors import SettingsError
from supalab.report.table import UNLIMITED, Table, text


@dataclass(frozen=True, slots=True)
class Attempt:
    """One check: the exercise, its state, and when (UTC)."""

    exercise: str
    state: State
    when: datetime


def note(exercise: str, state: State, folder: Path | None = None) -> None:
    """Write one line if ``folder`` (default: the current one) is a working copy. A check never fails because of it."""
    path = (folder or Path.cwd()) / MARKER
    line = {"exercise": exercise, "state": state.value, "time": datetime.now(UTC).isoformat(timespec="seconds")}
    with suppress(OSError):
        if path.is_file():
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def attempts(folder: Path) -> list[Attempt]:
    """Return the attempts of a working copy, oldest first; an incomplete line is left out."""
    found = []
    for line in (folder / MARKER).read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError, KeyError, TypeError):
            one = json.loads(line)
            found.append(Attempt(str(one["exercise"]), State(one["state"]), datetime.fromisoformat(one["time"])))
    return found


def copies_in(folders: Sequence[Path]) -> list[Path]:
    """Return the working copies among these folders and up to two levels below them, sorted by path.

    Raises SettingsError for a path that is not a folder, and if there is no working copy.
    """
    found: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise SettingsError(f"{str(folder)!r} is not a folder: give a working copy, or a folder that holds several")
        for pattern in (MARKER, f"*/{MARKER}", f"*/*/{MARKER}"):
            found.update(path.parent for path in folder.glob(pattern))
    if not found:
        places = " or ".join(repr(str(folder)) for folder in folders)
        raise SettingsError(f"there is no working copy of the course in {places} yet: supalab course FOLDER makes one")
    return sorted(found)


def short_names(copies: Sequence[Path]) -> list[str]:
    """Return short, different names for these folders: their paths without the parts that all of them share."""
    if len(copies) == 1:
        return [str(copies[0])]
    parts = [copy.absolute().parts for copy in copies]
    while len({one[0] for one in parts}) == 1 and all(len(one) > 1 for one in parts):
        parts = [one[1:] for one in parts]
    while len({one[-1] for one in parts}) == 1 and all(len(one) > 1 for one in parts):
        parts = [one[:-1] for one in parts]
    return ["/".join(one) for one in parts]


def _states(tries: Sequence[Attempt]) -> Mapping[str, State]:
    """Return the best state of each exercise: an exercise that was done once stays done."""
    best: dict[str, State] = {}
    for one in tries:
        if best.get(one.exercise) is not State.DONE:
            best[one.exercise] = one.state
    return best


def learner_text(tries: Sequence[Attempt], notebooks: Mapping[str, str]) -> str:
    """Return a learner's own progress in a few lines: how many exercises are done, each one's state, what is next.

    ``notebooks``: the file name of each exercise's notebook, in the order of the course.
    """
    states, exercises = _states(tries), list(notebooks)
    done = [number for number in exercises if states.get(number) is State.DONE]
    # The primer is optional, and a learner who began with a later notebook does not need the earlier ones.
    begun = [number for number in exercises if number in states][:1] or exercises[1:2]
    order = [number for number in exercises if not begun or number >= begun[0]]
    rest = [number for number in (*order, *exercises) if number not in done]
    marks = "  ".join(f"{MARKS[states.get(number, State.NOT_DONE)]} {number}" for number in exercises)
    then = f"Next: {rest[0]}, in {notebooks[rest[0]]}." if rest else "All of them are done."
    return f"Done: {len(done)} of {len(exercises)} exercises. {then}\n{marks}"


def host_table(copies: Mapping[str, Sequence[Attempt]], exercises: Sequence[str], now: datetime) -> str:
    """Return a table for the host: a row per working copy, a column per exercise, minutes since the last check.

    A cell has the state's mark and, after the first try, the number of tries. A folder's name is never cut.
    """
    rows = []
    for name, tries in copies.items():
        states = _states(tries)
        times = Counter(one.exercise for one in tries if one.state is not State.NOT_DONE)
        cells = [MARKS[states[number]] if number in states else "·" for number in exercises]
        counts = [str(times[number]) if times[number] > 1 else "" for number in exercises]
        done = sum(states.get(number) is State.DONE for number in exercises)
        ago = f"{max(int((now - tries[-1].when).total_seconds() // 60), 0)} min ago" if tries else "never"
        rows.append([name, *map("".join, zip(cells, counts, strict=True)), f"{done}/{len(exercises)}", ago])
    key = ", ".join(f"{mark} {state.value}" for state, mark in MARKS.items())
    notes = [f"{key}, · not tried; a number is the number of tries."]
    return text(Table(["folder", *exercises, "done", "last check"], rows, notes=notes), UNLIMITED)
