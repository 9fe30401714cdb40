"""A cursor over one text that the grammar reads: characters flow in, tokens or a described ``Mismatch`` flow out.

It remembers the furthest place where something else was wanted, so that an error can name that place, as PostgREST's
parser does: ``"failed to parse order (id.down)" (line 1, column 4)``, ``unexpected "o" expecting …``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeVar

from supalab.lab.dialect.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Mismatch", "Scanner"]

T = TypeVar("T")


class Mismatch(Exception):
    """The text does not go on as the rule at hand wants; the scanner knows where and what was wanted."""


class Scanner:
    """A position in ``text``, with the furthest mismatch so far."""

    __slots__ = ("at", "furthest", "text", "wanted")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.furthest = 0
        self.wanted: list[str] = []

    def mismatch(self, *wanted: str, at: int | None = None) -> NoReturn:
        """Note what was wanted at ``at`` (here, unless given) and raise ``Mismatch``."""
        self.note(*wanted, at=at)
        raise Mismatch

    def note(self, *wanted: str, at: int | None = None) -> None:
        """Remember what was wanted here: the furthest place counts, and there each wish once."""
        place = self.at if at is None else at
        if place > self.furthest:
            self.furthest, self.wanted = place, []
        if place == self.furthest:
            self.wanted += [wish for wish in wanted if wish and wish not in self.wanted]

    def relabel(self, label: str, since: int) -> None:
        """Replace what was wanted at the furthest place by ``label``, if that place is not before ``since``."""
        if self.furthest >= since:
            self.wanted = [label]

    def peek(self) -> str:
        """Return the next character, or the empty string at the end."""
        return self.text[self.at : self.at + 1]

    def looking_at(self, *literals: str) -> bool:
        """Whether one of the literals comes next; nothing is consumed."""
        return self.text.startswith(literals, self.at)

    def take(self, literal: str) -> bool:
        """Consume ``literal`` if it comes next; otherwise note that it was wanted."""
        if self.text.startswith(literal, self.at):
            self.at += len(literal)
            return True
        self.note(f'"{literal}"')
        return False

    def expect(self, literal: str, label: str | None = None) -> None:
        """Consume ``literal`` or raise ``Mismatch``."""
        if not self.text.startswith(literal, self.at):
            self.mismatch(label or f'"{literal}"')
        self.at += len(literal)

    def take_while(self, accepts: Callable[[str], bool]) -> str:
        """Consume and return the longest run of accepted characters, which may be empty."""
        start = end = self.at
        text, size = self.text, len(self.text)
        while end < size and accepts(text[end]):
            end += 1
        self.at = end
        return text[start:end]

    def take_until(self, stops: str) -> str:
        """Consume and return everything before the first of ``stops``, or before the end."""
        return self.take_while(lambda char: char not in stops)

    def rest(self) -> str:
        """Consume and return everything that is left."""
        rest, self.at = self.text[self.at :], len(self.text)
        return rest

    def skip_blanks(self) -> None:
        """Consume spaces and tabs."""
        text, at, size = self.text, self.at, len(self.text)
        while at < size and text[at] in " \t":
            at += 1
        self.at = at

    def attempt(self, rule: Callable[[Scanner], T]) -> T | None:
        """Return what ``rule`` reads, or None and an unmoved cursor when it does not fit."""
        start = self.at
        try:
            return rule(self)
        except Mismatch:
            self.at = start
            return None

    def expect_end(self, *stops: str) -> None:
        """Raise ``Mismatch`` unless the text ends here or one of ``stops`` comes next."""
        if self.at < len(self.text) and not self.looking_at(*stops):
            self.mismatch(*[f'"{stop}"' for stop in stops], "end of input")

    def refusal(self, what: str) -> Refusal:
        """Return the error for the furthest mismatch; ``what`` says what was being read."""
        char = self.text[self.furthest : self.furthest + 1]
        *firsts, last = self.wanted or ["something else"]
        wanted = f"{', '.join(firsts)} or {last}" if firsts else last
        found = f'"{char}"' if char else "end of input"
        line = self.text.count("\n", 0, self.furthest) + 1
        column = self.furthest - (self.text.rfind("\n", 0, self.furthest) + 1) + 1
        message = f'"failed to parse {what}" (line {line}, column {column})'
        return Refusal(400, "PGRST100", message, details=f"unexpected {found} expecting {wanted}")


def parse(text: str, rule: Callable[[Scanner], T], what: str) -> T:
    """Return what ``rule`` reads from the start of ``text``; raise PGRST100 when it does not fit."""
    scanner = Scanner(text)
    try:
        return rule(scanner)
    except Mismatch:
        raise scanner.refusal(what) from None
    except RecursionError:
        raise Refusal(400, "PGRST100", f'"failed to parse {what[:60]}"', details="nested too deeply") from None
