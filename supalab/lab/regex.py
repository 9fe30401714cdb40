"""Regular expressions that cannot run away: a pattern flows in, a test that is linear in the text flows out.

``match`` and ``imatch`` let a request bring its own expression. Python's ``re`` can take exponential time over one,
so the lab walks all possibilities at once, as PostgreSQL does, and remembers each step it has worked out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from supalab.lab.regex_parser import ACCEPT, Program, parse_regex

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Regex", "compile_regex"]

_MEMORY = 20_000  # remembered steps, after which they are forgotten and worked out anew


def _is_word(char: str | None) -> bool:
    return char is not None and (char.isalnum() or char == "_")


class Regex:
    """One compiled expression; ``found_in`` says whether it matches anywhere in a text."""

    def __init__(self, program: Program) -> None:
        self._nodes = program.nodes
        self._start = frozenset({program.start})
        self._known: dict[tuple[frozenset[int], bool | None, str | None], tuple[bool, frozenset[int]]] = {}

    def found_in(self, text: str) -> bool:
        """Whether the expression matches somewhere in ``text``."""
        states = self._start
        before: str | None = None
        known = self._known
        for char in [*text, None]:
            key = (states, None if before is None else _is_word(before), char)
            step = known.get(key)
            if step is None:
                if len(known) > _MEMORY:
                    known.clear()
                step = known[key] = self._step(states, before, char)
            accepted, states = step
            if accepted:
                return True
            before = char
        return False

    def _step(self, states: frozenset[int], before: str | None, char: str | None) -> tuple[bool, frozenset[int]]:
        reached = self._spread(states, before, char)
        if ACCEPT in reached:
            return True, frozenset()
        if char is None:
            return False, frozenset()
        tests = (self._nodes[state] for state in reached)
        ahead = {node.after for node in tests if node.test is not None and node.test(char)}
        return False, frozenset(ahead) | self._start

    def _spread(self, states: Iterable[int], before: str | None, after: str | None) -> set[int]:
        """Return every state that is reached without reading a character, between these two characters."""
        reached: set[int] = set()
        waiting = list(states)
        while waiting:
            state = waiting.pop()
            if state in reached:
                continue
            reached.add(state)
            if state == ACCEPT:
                continue
            node = self._nodes[state]
            if node.test is None and (node.place is None or _at_place(node.place, before, after)):
                waiting += [node.after, *([] if node.other is None else [node.other])]
        return reached


def _at_place(place: str, before: str | None, after: str | None) -> bool:
    if place == "^":
        return before is None
    if place == "$":
        return after is None
    left, right = _is_word(before), _is_word(after)
    return {"m": not left and right, "M": left and not right, "y": left != right, "Y": left == right}[place]


@lru_cache(maxsize=256)
def compile_regex(pattern: str, *, fold: bool) -> Regex:
    """Return the compiled expression; ``fold``: small and capital letters are the same. Raises ``Refusal`` 2201B."""
    return Regex(parse_regex(pattern, fold=fold))
