"""PostgreSQL's array literals: text such as ``{a,"b c",NULL}`` flows in, its elements flow out."""

from __future__ import annotations

from typing import NoReturn

from supalab.lab.dialect.refusal import pg_refusal

__all__ = ["read_array"]


def _malformed(text: str, details: str) -> NoReturn:
    raise pg_refusal("22P02", f'malformed array literal: "{text}"', details=details)


def read_array(text: str) -> list[str | None]:
    """Return the elements of a one-dimensional array literal; raises ``Refusal`` 22P02 for a broken one."""
    inside = text.strip()
    if not inside.startswith("{"):
        _malformed(text, 'Array value must start with "{" or dimension information.')
    elements: list[str | None] = []
    at = 1
    while True:
        element, at = _element(text, inside, at)
        after = inside[at : at + 1]
        empty = element == ""
        if empty and after == "}" and not elements:
            break
        if empty:
            _malformed(text, f'Unexpected "{after}" character.')
        elements.append(None if element is None else element[1:])
        at += 1
        if after == "}":
            break
    if inside[at:].strip() not in ("", "}"):
        _malformed(text, "Junk after closing right brace.")
    return elements


def _element(text: str, inside: str, at: int) -> tuple[str | None, int]:
    """Read one element; it comes marked (``=`` before it) to tell an empty string from nothing; None is NULL."""
    chars: list[str] = []
    bare = True
    while at < len(inside) and inside[at] not in ",}":
        char = inside[at]
        if char == '"':
            bare = False
            at = _quoted(text, inside, at + 1, chars)
            continue
        if char == "{":
            _malformed(text, 'Unexpected "{" character.')
        if char == "\\":
            at += 1
            char = inside[at : at + 1]
        chars.append(char)
        at += 1
    if at >= len(inside):
        _malformed(text, "Unexpected end of input.")
    value = "".join(chars).strip() if bare else "".join(chars)
    if bare and value.lower() == "null":
        return None, at
    return ("=" + value if value or not bare else ""), at


def _quoted(text: str, inside: str, at: int, chars: list[str]) -> int:
    while at < len(inside) and inside[at] != '"':
        if inside[at] == "\\":
            at += 1
        chars.append(inside[at : at + 1])
        at += 1
    if at >= len(inside):
        _malformed(text, "Unexpected end of input.")
    return at + 1
