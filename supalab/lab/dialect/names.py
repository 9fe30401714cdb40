"""The smallest rules of PostgREST's URL grammar: names and fields flow out of a scanner.

A name is bare (letters, digits, ``_``, ``$``, spaces, dashes inside) or anything in double quotes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supalab.lab.dialect.query import Field, JsonStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from supalab.lab.dialect.scanner import Scanner

__all__ = ["column_list", "comma", "field", "field_name", "identifier", "quoted", "tree_path"]

FIELD_LABEL = "field name (* or [a..z0..9_$])"


def _is_name_char(char: str) -> bool:
    return char.isalnum() or char in "_ $"


def identifier(scan: Scanner) -> str:
    """Read a bare name without dashes, blanks at its ends dropped."""
    name = scan.take_while(_is_name_char)
    if not name:
        scan.mismatch("letter", "digit")
    return name.strip()


def quoted(scan: Scanner) -> str:
    """Read a value in double quotes, in which a backslash takes the next character as it is."""
    scan.expect('"')
    chars: list[str] = []
    while (char := scan.peek()) != '"':
        if char == "\\":
            scan.at += 1
            char = scan.peek()
        if not char:
            scan.mismatch('"""')
        chars.append(char)
        scan.at += 1
    scan.at += 1
    return "".join(chars)


def _dashed(scan: Scanner, part: Callable[[Scanner], str]) -> str:
    parts = [part(scan)]
    while scan.looking_at("-") and not scan.looking_at("->"):
        scan.at += 1
        parts.append(part(scan))
    return "-".join(parts)


def field_name(scan: Scanner) -> str:
    """Read a name: letters, digits, ``_``, ``$``, spaces and dashes inside it, or anything in double quotes."""
    if scan.looking_at('"'):
        return quoted(scan)
    if not _is_name_char(scan.peek() or "."):
        scan.mismatch(FIELD_LABEL)
    return _dashed(scan, identifier)


def column_list(scan: Scanner) -> tuple[str, ...]:
    """Read the names of ``columns`` and ``on_conflict``."""
    names = [field_name(scan)]
    while comma(scan):
        names.append(field_name(scan))
    return tuple(names)


def comma(scan: Scanner) -> bool:
    """Consume a comma with the blanks around it, if there is one."""
    scan.skip_blanks()
    if not scan.take(","):
        return False
    scan.skip_blanks()
    return True


def _json_key(scan: Scanner) -> str:
    if scan.looking_at('"'):
        return quoted(scan)

    def part(inner: Scanner) -> str:
        name = inner.take_until("(-:.,>)")
        if not name:
            inner.mismatch("any non reserved character different from: .,>()")
        return name.strip()

    return _dashed(scan, part)


def _json_index(scan: Scanner) -> int:
    sign = -1 if scan.take("-") else 1
    digits = scan.take_while(lambda char: "0" <= char <= "9")
    if not digits or len(digits) > 9:
        scan.mismatch("digit")
    scan.expect_end("->", "::", ".", ",")
    return sign * int(digits)


def _json_path(scan: Scanner) -> tuple[JsonStep, ...]:
    steps: list[JsonStep] = []
    while scan.looking_at("->"):
        as_text = scan.looking_at("->>")
        scan.at += 3 if as_text else 2
        index = scan.attempt(_json_index)
        steps.append(JsonStep(_json_key(scan) if index is None else index, as_text))
    return tuple(steps)


def field(scan: Scanner) -> Field:
    """Read a column with its JSON path, blanks around it ignored."""
    scan.skip_blanks()
    found = Field(field_name(scan), _json_path(scan))
    scan.skip_blanks()
    return found


def tree_path(scan: Scanner) -> tuple[tuple[str, ...], Field]:
    """Read the left side of a filter: embedded resources parted by dots, and a field at its end."""
    names = [field_name(scan)]
    while scan.take("."):
        names.append(field_name(scan))
    return tuple(names[:-1]), Field(names[-1], _json_path(scan))
