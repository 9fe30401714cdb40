"""LIKE and ILIKE as PostgreSQL has them: a pattern and a value flow in, a truth value flows out.

``%`` stands for any run, ``_`` for any one character, a backslash takes the next character as it is. The pieces
between the ``%`` are looked for one after the other, so the work is never more than length times length.
"""

from __future__ import annotations

import re
from functools import lru_cache

from supalab.lab.dialect.refusal import pg_refusal

__all__ = ["ilike", "like"]


@lru_cache(maxsize=512)
def _pieces(pattern: str) -> tuple[tuple[re.Pattern[str], int], ...]:
    """Return each piece between the ``%`` as an expression, and how many characters it matches."""
    pieces: list[list[str]] = [[]]
    chars = iter(pattern)
    for char in chars:
        if char == "%":
            pieces.append([])
        elif char == "_":
            pieces[-1].append(".")
        else:
            pieces[-1].append(re.escape(next(chars, "") if char == "\\" else char))
    return tuple((re.compile("".join(piece), re.DOTALL), len(piece)) for piece in pieces)


def like(value: object, pattern: str) -> bool | None:
    """Whether ``value LIKE pattern``; None for NULL. Small and capital letters differ."""
    return None if value is None else _matches(str(value), pattern)


def ilike(value: object, pattern: str) -> bool | None:
    """Whether ``value ILIKE pattern``; None for NULL. Small and capital letters of every script are the same."""
    return None if value is None else _matches(str(value).lower(), pattern.lower())


def _matches(value: str, pattern: str) -> bool:
    if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        return _unfinished(value, pattern[:-1])
    (first, size), *others = _pieces(pattern)
    if not others:
        return first.fullmatch(value) is not None
    if first.match(value) is None:
        return False
    at = size
    *middle, (last, last_size) = others
    for piece, _ in middle:
        found = piece.search(value, at)
        if found is None:
            return False
        at = found.end()
    start = len(value) - last_size
    return start >= at and last.fullmatch(value, start) is not None


def _unfinished(value: str, begun: str) -> bool:
    """A last backslash takes nothing: PostgreSQL complains (22025), but only once a value has text left for it."""
    if _matches(value, begun + "_%"):
        raise pg_refusal("22025", "LIKE pattern must not end with escape character")
    return False
