"""Read JSON as text: PostgreSQL's messages for invalid JSON, and values kept exactly as they were written."""

from __future__ import annotations

import json
import re
from typing import Any

from supalab.lab.postgrest.refusal import Refusal, pg

__all__ = ["JsonText", "Number", "complaint", "dumped", "keep_texts", "load_body", "load_json", "member"]

_TOKEN = re.compile(
    r"""\s*(?:(?P<sign>[{}\[\],:])|(?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")"""
    r"|(?P<scalar>(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)(?![\w.]))|(?P<end>$))"
)
_WORD = re.compile(r"\s*(\".*|-?\w+[.\w]*|.)", re.DOTALL)
# What may come next, in PostgreSQL's words.
_VALUE, _FIRST_ITEM, _FIRST_KEY, _KEY, _COLON = "JSON value", "", 'string or "}"', "string", '":"'
_MORE_KEYS, _MORE_ITEMS, _END = '"," or "}"', '"," or "]"', "end of input"


class JsonText(str):
    """JSON as it was written, instead of the object or array that it means."""

    __slots__ = ()


class Number(float):
    """A number that remembers how it was written, so that ``1.50`` stays so in a text column."""

    written: str

    def __new__(cls, text: str) -> Number:
        """Read the number and keep its text."""
        number = super().__new__(cls, text)
        number.written = text
        return number

    def __str__(self) -> str:
        return self.written


def dumped(value: object) -> str:
    """Return JSON in its compact form."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _no_constant(name: str) -> None:
    raise ValueError(name)


def load_json(text: str) -> Any:
    """Return the value of a JSON text; raises 22P02 with PostgreSQL's details."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise broken(text) from None


def broken(text: str) -> Refusal:
    """Return PostgreSQL's error for a text that is not JSON."""
    return pg("22P02", "invalid input syntax for type json", complaint(text))


def load_body(body: bytes) -> Any:
    """Return the value in a JSON body; raises ``ValueError`` for anything that is not JSON in UTF-8."""
    text = body.decode("utf-8")
    try:
        value = json.loads(text, parse_float=Number, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if "\\ud" in text.lower():
        dumped(value).encode()  # half a surrogate pair is not a character
    return value


def complaint(text: str) -> str:
    """Return PostgreSQL's message for a text that is not JSON; empty if it is valid."""
    at, wanted, inside = 0, _VALUE, [""]
    while True:
        found = _TOKEN.match(text, at)
        if found is None:
            word = _WORD.match(text, at)
            return f'Token "{word[1] if word else ""}" is invalid.'
        if found["end"] is not None:
            return "" if wanted == _END else "The input string ended unexpectedly."
        sign, at = found[0].strip(), found.end()
        after = _next(wanted, sign, bool(found["string"]), bool(found["scalar"]), inside)
        if after is None:
            return f'Expected {wanted or _VALUE}, but found "{sign}".'
        wanted = after
        if len(inside) > 1000:
            return "The input is nested too deeply."


def _next(wanted: str, sign: str, string: bool, scalar: bool, inside: list[str]) -> str | None:
    """Return what is wanted after ``sign``, or None where it may not stand; ``inside`` holds the open brackets."""
    more = {"{": _MORE_KEYS, "[": _MORE_ITEMS, "": _END}
    if wanted in (_VALUE, _FIRST_ITEM):
        if string or scalar:
            return more[inside[-1]]
        if sign in ("{", "["):
            inside.append(sign)
            return _FIRST_KEY if sign == "{" else _FIRST_ITEM
    if string and wanted in (_FIRST_KEY, _KEY):
        return _COLON
    if sign == ":" and wanted == _COLON:
        return _VALUE
    if sign == "," and wanted in (_MORE_KEYS, _MORE_ITEMS):
        return _KEY if wanted == _MORE_KEYS else _VALUE
    closed = {"}": (_FIRST_KEY, _MORE_KEYS), "]": (_FIRST_ITEM, _MORE_ITEMS)}.get(sign, ())
    if wanted in closed:
        inside.pop()
        return more[inside[-1]]
    return None


_decode = json.JSONDecoder().raw_decode
_BETWEEN, _COLONS = re.compile(r"[ \t\n\r\[\]{},]*"), re.compile(r"\s*:\s*")


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def keep_texts(text: str, rows: list[dict[str, Any]]) -> None:
    """Put the nested values of a JSON body into ``rows`` as they were written: a text column keeps every letter."""
    number, at = -1, 0
    while True:
        start = at
        at = _end(_BETWEEN, text, at)
        number += text.count("{", start, at)
        if at >= len(text):
            return
        key, at = _decode(text, at)
        start = _end(_COLONS, text, at)
        value, at = _decode(text, start)
        if isinstance(value, dict | list):
            rows[number][key] = JsonText(text[start:at])


_OPEN, _COMMA = re.compile(r"\s*[\[{]\s*"), re.compile(r"\s*,?\s*")


def member(text: str, key: str | int) -> str | None:
    """Return the text of one member of a JSON object or array as it was written, or None where there is none."""
    at, found, items = _end(_OPEN, text, 0), None, []
    is_object = text.lstrip().startswith("{")
    while text[at : at + 1] not in ("}", "]", ""):
        name: Any = None
        if is_object:
            name, at = _decode(text, at)
            at = _end(_COLONS, text, at)
        start = at
        _, at = _decode(text, at)
        items.append(text[start:at])
        if is_object and name == key:
            found = items[-1]  # of a key that comes twice the last value counts
        at = _end(_COMMA, text, at)
    if is_object or not isinstance(key, int):
        return found
    return items[key] if -len(items) <= key < len(items) else None
