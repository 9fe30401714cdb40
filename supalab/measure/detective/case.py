"""The case: figures of several arms go in; which story explains which figure of the article's table comes out. Pure.

The table has four figures before and four after the change; memory is aside. A *suspect* is a story: two arms, each
under conditions of its own, that could have been what the article measured. A story explains a figure if its arm
shows it, within a factor of 1.5; the limit must be the very number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from supalab.measure.archive import Form
from supalab.measure.claims.evidence import Figures
from supalab.measure.claims.judging import near
from supalab.report.format import duration, number, stated

__all__ = ["ARTICLE", "CASE", "SUSPECTS", "Account", "Case", "Cell", "Suspect", "account", "accounts", "solution"]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A story: its letter, what would have happened, and where its two columns were measured, as (race, arm).

    ``means``: what else must then be so, for the reader to judge how likely it is.
    """

    letter: str
    story: str
    before: tuple[str, str]
    after: tuple[str, str]
    means: str


SUSPECTS = (
    Suspect(
        "A", "limit 3 to 10, 450 ms at the server", ("burst", "fake-3"), ("burst", "article-10"),
        "the limit earned it all",
    ),
    Suspect("B", "limit 3 to 10, threads kept", ("burst", "fake-3"), ("burst", "fake-10"), "async had no part in it"),
    Suspect(
        "C", "connections kept, the same three threads", ("far", "fake-3"), ("far", "session-3"),
        "a Session would have done it, and ten were never in flight",
    ),
    Suspect(
        "D", "connections kept by async, limit still 3", ("far", "fake-3"), ("far", "real-3"),
        "ten were never in flight",
    ),
    Suspect(
        "E", "connections kept, limit 10, one burst", ("far", "fake-3"), ("far", "real-10"),
        "reuse and limit multiply",
    ),
    Suspect(
        "F", "150 ms at the server, plain HTTP", ("near", "fake-3"), ("near", "real-10"),
        "the server was never slow",
    ),
    Suspect(
        "G", "a burst at 450 ms, later 20 a second at 150 ms", ("burst", "fake-3"), ("open", "real-10"),
        "the server itself became three times as fast meanwhile, and 100 callers came one by one",
    ),
    Suspect(
        "H", "20 callers a second, connections kept, limit 10", ("open-far", "fake-3"), ("open-far", "real-10"),
        "each request lost two round trips of three; the callers, who come one by one, set the pace, not the limit",
    ),
    Suspect(
        "I", "the same as H with a Session in ten threads", ("open-far", "fake-3"), ("open-far", "session-10"),
        "as H, and async had no part in it",
    ),
)  # fmt: skip
#: The article's table: before, after; seconds, requests a second.
ARTICLE: Mapping[str, tuple[float, float]] = {
    "at once": (3.0, 10.0),
    "response": (0.45, 0.15),
    "throughput": (6.7, 20.0),
    "100 requests": (15.0, 5.0),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of the table, before or after: the article's, the one here, whether it fits, and both as text."""

    figure: str
    when: str
    article: float
    here: float
    fits: bool
    text: str
    stated: str


@dataclass(frozen=True, slots=True)
class Account:
    """What one suspect explains: a cell for each figure of the table."""

    suspect: Suspect
    cells: tuple[Cell, ...]

    @property
    def explained(self) -> int:
        """How many figures fit."""
        return sum(cell.fits for cell in self.cells)

    @property
    def missed(self) -> tuple[Cell, ...]:
        """The figures that do not fit."""
        return tuple(cell for cell in self.cells if not cell.fits)

    @property
    def sentence(self) -> str:
        """What it explains and what not, with the figures."""
        said = f"{self.suspect.letter} ({self.suspect.story}) explains {self.explained} of {len(self.cells)} figures"
        missed = "; ".join(f"{cell.figure} {cell.when}: {cell.text}, not {cell.stated}" for cell in self.missed)
        return f"{said}{f', but not {missed}' if missed else ''}."


@dataclass(frozen=True, slots=True)
class Case:
    """All suspects' accounts and the figures they rest on. ``scale``: by race, what times were multiplied by.

    ``quick``: measured in small, times scaled back. ``when``: UTC, ISO 8601.
    """

    accounts: tuple[Account, ...]
    races: Mapping[str, Mapping[str, Figures]]
    scale: Mapping[str, float]
    quick: bool
    when: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def solution(self) -> str:
        """Which stories explain all figures, or which come nearest; nothing in it but what was measured."""
        return solution(self.accounts)

    def of(self, letter: str) -> Account | None:
        """Return a suspect's account by its letter."""
        return next((one for one in self.accounts if one.suspect.letter == letter), None)

    def _repr_html_(self) -> str:
        from supalab.measure.detective.table import table
        from supalab.report.table import html

        return html(table(self))


CASE = Form("supalab-detective", 1, Case, "supalab claims --detective")


def accounts(races: Mapping[str, Mapping[str, Figures]], suspects: Sequence[Suspect] = SUSPECTS) -> tuple[Account, ...]:
    """Return the account of every suspect whose two arms were measured without errors."""
    found = []
    for one in suspects:
        before, after = (races.get(race, {}).get(arm) for race, arm in (one.before, one.after))
        if before is not None and after is not None and not before.errors and not after.errors:
            found.append(account(one, before, after))
    return tuple(found)


def account(suspect: Suspect, before: Figures, after: Figures) -> Account:
    """Hold a suspect's two columns against the article's."""
    columns = zip(("before", "after"), (before, after), (0, 1), strict=True)
    cells = [_cell(figure, when, ARTICLE[figure][at], seen) for when, seen, at in columns for figure in ARTICLE]
    return Account(suspect, tuple(cells))


def _cell(figure: str, when: str, article: float, seen: Figures) -> Cell:
    if figure == "at once":
        # The article's number is a limit: what it allows and what was used are told apart.
        used = f"{seen.limit}" if seen.at_once == seen.limit else f"{seen.limit}, {seen.at_once} used"
        return Cell(figure, when, article, float(seen.limit), seen.limit == article, used, number(article))
    if figure == "throughput":
        return Cell(
            figure, when, article, seen.per_s, near(seen.per_s, article), f"{seen.per_s:.1f}/s", f"{article:g}/s"
        )
    here = seen.response_s if figure == "response" else seen.total_s
    return Cell(figure, when, article, here, near(here, article), duration(here), stated(article))


def solution(found: Sequence[Account]) -> str:
    """Say in sentences which accounts explain everything, and if none does, which come nearest and what they miss."""
    if not found:
        return "No suspect could be heard: nothing was measured without errors."
    whole = [one for one in found if not one.missed]
    if whole:
        named = "; ".join(f"{s.letter}, {s.story} ({s.means})" for s in (one.suspect for one in whole))
        others = [one for one in found if one.missed]
        most = max((one.explained for one in others), default=0)
        rest = f" Each of the others misses at least {len(found[0].cells) - most}." if others else ""
        return f"All {len(found[0].cells)} figures are true at once in {_one_story(len(whole))}: {named}.{rest}"
    most = max(one.explained for one in found)
    best = " ".join(one.sentence for one in found if one.explained == most)
    return f"In none of {len(found)} stories are all figures true at once. {best}"


def _one_story(number: int) -> str:
    return "one story" if number == 1 else f"{number} stories"
