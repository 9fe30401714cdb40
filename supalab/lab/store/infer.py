"""The types of a CSV file's columns: names and rows of text flow in, SQL declarations flow out.

A column is what all of its values are: integers, numbers, booleans, or else text. A column named ``id`` whose values
are all there, whole and different becomes the primary key.
"""

from __future__ import annotations

import re

__all__ = ["column_types"]

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]")


def column_types(names: list[str], rows: list[list[str | None]]) -> dict[str, str]:
    """Return the declaration of each column; ``rows`` are as long as ``names``, None stands for an empty field."""
    found = {}
    for place, name in enumerate(names):
        values = [row[place] for row in rows]
        given = [value for value in values if value is not None]
        declared = _type(given)
        if name == "id" and declared in ("integer", "bigint") and len(set(map(int, given))) == len(values) > 0:
            declared += " primary key"
        found[name] = declared
    return found


def _type(values: list[str]) -> str:
    if not values or any(_LEADING_ZERO.match(value) for value in values):
        return "text"  # 007 is a name, not a number
    if all(_INTEGER.fullmatch(value) for value in values):
        return "integer" if all(-(2**31) <= int(value) < 2**31 for value in values) else "bigint"
    if all(_NUMBER.fullmatch(value) for value in values):
        return "double precision"
    return "boolean" if all(value.lower() in ("true", "false") for value in values) else "text"
