"""Timetables out of the notebooks: their sources flow in, the course's table and two workshops' timetables flow out.

A notebook says in its first lines what it is called, how many minutes it takes and what happens in it. Nobody writes
these down a second time: the table in the README and the timetables in ``notebooks/INSTRUCTOR.md`` stand in marked
blocks, which ``python -m supalab.course.timetable`` makes anew and a test compares.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from supalab.course.build import cells, sources
from supalab.errors import SettingsError
from supalab.shipped import shipped

__all__ = [
    "WORKSHOPS",
    "Item",
    "Lesson",
    "Workshop",
    "course_table",
    "filled",
    "lesson",
    "lessons",
    "pages",
    "timetable",
]

OPENING = re.compile(
    r"\A# (?P<title>(?P<number>\d\d) · [^\n]+)\n+\*\*(?P<minutes>\d+) minutes\.\*\* (?P<idea>.+?)\n\n", re.S
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """One notebook as its own first lines announce it; ``minutes`` are a learner's, who reads, runs and solves."""

    stem: str
    number: str
    title: str
    minutes: int
    idea: str
    exercises: tuple[str, ...]

    def link(self, folder: str = "") -> str:
        """Return a link to the notebook, which lies in ``folder`` as seen from the page."""
        return f"[{self.title}]({folder}{self.stem}.ipynb)"


@dataclass(frozen=True, slots=True)
class Item:
    """A part of a workshop that is no notebook, such as a pause."""

    what: str
    minutes: int


@dataclass(frozen=True, slots=True)
class Workshop:
    """A plan: notebooks by their numbers and what lies between, in ``minutes``, and why the others are left out.

    ``talk`` is added to each notebook's minutes: what you say before it, and what people ask after it.
    """

    name: str
    minutes: int
    talk: int
    steps: tuple[str | Item, ...]
    left_out: Mapping[str, str]


WORKSHOPS = (
    Workshop(
        "timetable-90",
        minutes=90,
        talk=2,
        steps=(
            Item("Opening: everybody has notebook 00 open; say the one question of the day, *who waits?*", 5),
            "00",
            "01",
            "02",
            Item("Pause", 5),
            "05",
            "07",
            "12",
            Item("Closing: each says one number that they will look up at work", 5),
        ),
        left_out={
            "03": "how a lazy client breaks; show its picture of twenty callers if somebody asks",
            "04": "writing methods; it needs hands and quiet, not a room",
            "06": "the first to read at home, by whoever migrates on Monday",
            "08": "07 has the fair control already; this is its proof, factor by factor",
            "09": "only for limits far above ten",
            "10": "its pictures are in the README and in `data/reference`, if the talk comes to services",
            "11": "the detective story; give it as the reward for coming",
        },
    ),
    Workshop(
        "timetable-180",
        minutes=180,
        talk=3,
        steps=(
            Item("Opening: everybody has notebook 00 open; say the one question of the day, *who waits?*", 5),
            "00",
            "01",
            "02",
            "03",
            Item("Pause", 10),
            "05",
            "07",
            "08",
            Item("Pause", 10),
            "10",
            "11",
            "12",
            Item("Closing: each says one number that they will look up at work", 10),
        ),
        left_out={
            "04": "the one notebook without waiting in it; its exercises suit an evening",
            "06": "the first to read at home, by whoever migrates on Monday",
            "09": "only for limits far above ten; 10 uses one sentence of it, the gate, which you can say",
        },
    ),
)


def lesson(source: str, stem: str) -> Lesson:
    """Read a notebook's source; raises SettingsError when its first cell lacks the title or the minutes."""
    parts = cells(source)
    found = OPENING.match(parts[0].text(solved=False) + "\n\n") if parts and parts[0].prose else None
    if found is None or not stem.startswith(found["number"]):
        raise SettingsError(f"{stem} must begin with '# {stem[:2]} · title' and '**8 minutes.** What happens in it.'")
    exercises = tuple(cell.exercise for cell in parts if cell.exercise)
    return Lesson(
        stem, found["number"], found["title"], int(found["minutes"]), " ".join(found["idea"].split()), exercises
    )


def lessons() -> list[Lesson]:
    """Return all notebooks, in the order of the course."""
    return [lesson(path.read_text(encoding="utf-8"), path.stem) for path in sources()]


def course_table(course: Sequence[Lesson]) -> str:
    """Return the README's table: each notebook linked, its minutes, its idea, and the sum."""
    rows = [f"| {one.link('notebooks/')} | {one.minutes} | {one.idea} |" for one in course]
    total = sum(one.minutes for one in course)
    return "\n".join(["| notebook | minutes | what happens |", "|---|---|---|", *rows, f"| all | {total} | |"])


def timetable(workshop: Workshop, course: Sequence[Lesson]) -> str:
    """Return a workshop's table with the clock, what is left out and why.

    Raises SettingsError when the parts take longer than the workshop, or a notebook is neither in it nor left out.
    """
    known = {one.number: one for one in course}
    taken = [step for step in workshop.steps if isinstance(step, str)]
    if sorted([*taken, *workshop.left_out]) != sorted(known):
        raise SettingsError(f"{workshop.name} must name each of {', '.join(known)} once, as a step or as left out")
    rows, clock = [], 0
    for step in workshop.steps:
        what, minutes = _row(step, known, workshop.talk)
        rows.append(f"| {clock // 60}:{clock % 60:02} | {what} | {minutes} |")
        clock += minutes
    if clock > workshop.minutes:
        raise SettingsError(f"{workshop.name} takes {clock} minutes, not {workshop.minutes}: leave something out")
    spare = f"| {clock // 60}:{clock % 60:02} | In reserve | {workshop.minutes - clock} |"
    skipped = [f"- {known[number].link()}: {why}." for number, why in workshop.left_out.items()]
    head = ["| clock | what | minutes |", "|---|---|---|"]
    return "\n".join([*head, *rows, spare, "", "Left out, and where to go with it:", "", *skipped])


def _row(step: str | Item, known: Mapping[str, Lesson], talk: int) -> tuple[str, int]:
    if isinstance(step, Item):
        return step.what, step.minutes
    one = known[step]
    exercises = f", with {' and '.join(one.exercises)}" if one.exercises else ""
    return f"{one.link()}{exercises}: {one.minutes}, and {talk} to talk", one.minutes + talk


def filled(page: str, name: str, text: str) -> str:
    """Return the page with ``text`` in its block of that name; raises SettingsError when there is no such block."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SettingsError(f"the page has no block between {begin} and {end}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def pages() -> Mapping[Path, str]:
    """Return each page that has marked blocks, with the blocks made anew."""
    course = lessons()
    readme, notes = shipped("README.md"), shipped("notebooks", "INSTRUCTOR.md")
    made = {readme: [("course", course_table(course))]}
    made[notes] = [(workshop.name, timetable(workshop, course)) for workshop in WORKSHOPS]
    return {path: _all_filled(path.read_text(encoding="utf-8"), blocks) for path, blocks in made.items()}


def _all_filled(page: str, blocks: Iterable[tuple[str, str]]) -> str:
    for name, text in blocks:
        page = filled(page, name, text)
    return page


def main() -> int:
    """Write the pages."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8", newline="\n")
        sys.stdout.write(f"{path.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
