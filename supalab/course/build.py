"""Build ``notebooks/*.ipynb`` and ``notebooks/solutions/`` from the sources in ``notebooks/source/*.py``.

A source is plain Python (percent format) that a reviewer can read and run: ``# %% [markdown]`` starts prose, ``# %%``
starts code, ``# %% exercise 03a`` starts a cell that the learner fills. Such a cell holds the solution, and the stub
in comments::

    async def _get_client(self):
        # <solution>
        return self._client
        # </solution>
        #: raise NotDone("make the client at the first call")

The learner's notebook has the lines after ``#:`` instead of the solution; the solution notebook has the solution. What
the check says stands above the cell's code, and in neither notebook: two lines ``# hint: ...``, and a line for each
reason by its name, such as ``# still_open: ...``, in which ``{limit}`` is a value that the judge gives. The exercise's
title is that of its heading, ``## Exercise 03a · Create a client ...``.

Notebooks have no outputs, no counts and no random ids. To rebuild: ``python -m supalab.course.build``.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from supalab.shipped import shipped

MARKER = re.compile(r"^# %%( \[markdown\])?(?: exercise (\d\d[a-z]))?[ ]*\n", re.MULTILINE)
SOLUTION = re.compile(r"^ *# <solution>\n.*?^ *# </solution>(?:\n|\Z)", re.MULTILINE | re.DOTALL)
STUB = re.compile(r"^( *)#: ?(.*)$", re.MULTILINE)
FOR_STUBS = re.compile(r"^ *(?:# </?solution>|#: ?.*)(?:\n|\Z)", re.MULTILINE)
SAID = re.compile(r"# (\w+): (.+)")
HEADING = re.compile(r"^## Exercise (\d\d[a-z]) · (.+)$", re.MULTILINE)
#: How a notebook's minutes are computed; the instructor's notes state the same rule.
WORDS_A_MINUTE, LINES_A_MINUTE, EXERCISE_MIN, CELL_S = 150, 12, 5, 2
FENCED = re.compile(r"^```.*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a source: prose, or code, which may be an exercise's; its lines without the marker."""

    prose: bool
    exercise: str | None
    lines: tuple[str, ...]

    @property
    def said(self) -> list[tuple[str, str]]:
        """Return what the check says, by name: the comments above an exercise's code."""
        matches = map(SAID.fullmatch, self.lines if self.exercise else ())
        return [(found[1], found[2]) for found in takewhile(bool, matches) if found]

    def text(self, *, solved: bool) -> str:
        """Return what the cell holds in a notebook: prose without its comment marks, an exercise solved or not."""
        text = "\n".join(self.lines[len(self.said) :])
        if self.prose:
            text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
        elif self.exercise:
            text = FOR_STUBS.sub("", text) if solved else STUB.sub(r"\1\2", SOLUTION.sub("", text))
        return text.strip("\n")


def cells(source: str) -> list[Cell]:
    """Split a source at its markers; the text before the first one is for editors only."""
    _, *parts = MARKER.split(source)
    three = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return [Cell(prose is not None, exercise, tuple(text.splitlines())) for prose, exercise, text in three]


def minutes(parts: Iterable[Cell]) -> int:
    """Return the minutes that one person needs to read, run and solve these cells, rounded up.

    They are the sum of the words of the prose, the lines of code (also of code in the prose), a fixed time for each
    exercise and for each code cell, and the seconds that the prose announces as ``(About 5 seconds.)``.
    """
    found = list(parts)
    prose = "\n".join(cell.text(solved=False) for cell in found if cell.prose)
    code = [cell.text(solved=False) for cell in found if not cell.prose]
    lines = "\n".join([*code, *FENCED.findall(prose)]).splitlines()
    words = re.sub(r"\]\([^)]*\)", "]", FENCED.sub("", prose)).split()
    waited = sum(map(int, re.findall(r"\(About (\d+) seconds?\b", prose))) + CELL_S * len(code)
    return math.ceil(
        sum(any(map(str.isalnum, word)) for word in words) / WORDS_A_MINUTE
        + sum(bool(line.strip()) for line in lines) / LINES_A_MINUTE
        + EXERCISE_MIN * sum(cell.exercise is not None for cell in found)
        + waited / 60
    )


def notebook(source: str, name: str, *, solved: bool = False) -> str:
    """Turn one source into the text of a notebook; the ids of its cells begin with ``name``."""
    parts = [_part(cell, f"{name[:2]}-{number:02}", solved) for number, cell in enumerate(cells(source), 1)]
    whole = {"cells": parts, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _part(cell: Cell, cell_id: str, solved: bool) -> dict[str, Any]:
    text = cell.text(solved=solved)
    if cell.prose and solved:  # it is one folder below the pages that have no solved version
        text = re.sub(r"\]\((glossary\.md|HANDOUT\.md|00_start_here\.ipynb)", r"](../\1", text)
    about = {} if cell.exercise is None else {"tags": [f"exercise-{cell.exercise}"]}
    common = {"id": cell_id, "metadata": about, "source": text.splitlines(keepends=True)}
    if cell.prose:
        return {"cell_type": "markdown"} | common
    return {"cell_type": "code", "execution_count": None, "outputs": []} | common


def sources() -> list[Path]:
    """The sources, in the order of the course."""
    return sorted(shipped("notebooks", "source").glob("*.py"))


class Task(NamedTuple):
    """An exercise from its notebook's source: ``hints``, the vaguer one first, and ``reasons`` by name."""

    number: str
    title: str
    hints: tuple[str, ...]
    reasons: Mapping[str, str]
    solution: str
    notebook: str


def tasks() -> Iterator[Task]:
    """Yield every exercise, in the order of the course."""
    titles = dict[str, str]()
    for path in sources():
        for cell in cells(path.read_text(encoding="utf-8")):
            if cell.prose:
                titles |= dict(HEADING.findall(cell.text(solved=False).replace("*", "")))
            if cell.exercise:
                hints = tuple(text for name, text in cell.said if name == "hint")
                reasons = {name: text for name, text in cell.said if name != "hint"}
                title, solution = titles[cell.exercise], cell.text(solved=True)
                yield Task(cell.exercise, title, hints, reasons, solution, f"{path.stem}.ipynb")


def built() -> Mapping[Path, str]:
    """Return every notebook's text by its path: the learner's, and a solved one for those that have exercises."""
    made: dict[Path, str] = {}
    for path in sources():
        source, folder = path.read_text(encoding="utf-8"), path.parent.parent
        made[folder / f"{path.stem}.ipynb"] = notebook(source, path.stem)
        if any(cell.exercise for cell in cells(source)):
            made[folder / "solutions" / f"{path.stem}.ipynb"] = notebook(source, path.stem, solved=True)
    return made


def main() -> int:
    """Write every notebook and print its minutes, which its first cell and the README must declare."""
    for path, text in built().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    for path in sources():
        sys.stdout.write(f"{path.stem}: {minutes(cells(path.read_text(encoding='utf-8')))} minutes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
