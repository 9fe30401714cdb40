"""Read JSON as text: PostgreSQL's messages for invalid JSON, and values exactly as they were written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from supalab.lab.postgrest.refusal import Refusal


class JsonText(str):
    """JSON as it was written, instead of its value."""

    __slots__ = ()


def dumped(value: object) -> str:
    """Return JSON in its compact form."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# Python would accept NaN and Infinity, which are not JSON: ``int`` raises ValueError for them.
_loads = partial(json.loads, parse_constant=int)


def load_json(text: str) -> Any:
    """Return the value of JSON text; raises 22P02 with PostgreSQL's details."""
    try:
        return _loads(text)
    except (ValueError, RecursionError):
        raise broken(text) from None


def load_body(body: bytes) -> Any:
    """Return the value in a JSON body; values in its objects stay as they were written, so text keeps every character.

    Raises ``ValueError`` for anything that is not JSON in UTF-8.
    """
    text = body.decode("utf-8")
    try:
        value = _loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if "\\ud" in text.lower():
        dumped(value).encode()  # half of a surrogate pair is not a character
    if isinstance(value, list):
        return [_written(item) if item.startswith("{") else item for _, item in members(text)]
    return _written(text) if isinstance(value, dict) else value


def _written(text: str) -> dict[str | int, JsonText]:
    return {key: JsonText(value) for key, value in members(text)}


# PostgreSQL's messages for text that is not JSON

_TOKEN = re.compile(
    r"""\s*(?:(?P<sign>[{}\[\],:])|(?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")"""
    r"|(?P<scalar>(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)(?![\w.]))|(?P<end>$))"
)
_WORD = re.compile(r"\s*(\".*|-?\w+[.\w]*|.)", re.DOTALL)
_VALUE, _FIRST_ITEM, _MORE_ITEMS, _END = "JSON value", "", '"," or "]"', "end of input"
_FIRST_KEY, _KEY, _COLON, _MORE_KEYS = 'string or "}"', "string", '":"', '"," or "}"'
# The grammar of JSON: what is expected, in PostgreSQL's words; what may come; what is expected after it, in reverse
# order.
_VALUES: dict[str | None, tuple[str, ...]] = {"string": (), "scalar": (), "{": (_FIRST_KEY,), "[": (_FIRST_ITEM,)}
_GRAMMAR: dict[str, dict[str | None, tuple[str, ...]]] = {
    _VALUE: _VALUES,
    _FIRST_ITEM: {"]": (), **{sign: (_MORE_ITEMS, *then) for sign, then in _VALUES.items()}},
    _MORE_ITEMS: {"]": (), ",": (_MORE_ITEMS, _VALUE)},
    _FIRST_KEY: {"}": (), "string": (_MORE_KEYS, _VALUE, _COLON)},
    _KEY: {"string": (_MORE_KEYS, _VALUE, _COLON)},
    _COLON: {":": ()},
    _MORE_KEYS: {"}": (), ",": (_KEY,)},
    _END: {"end": ()},
}
_DEEPEST = 1000


def broken(text: str) -> Refusal:
    """Return PostgreSQL's error for text that is not JSON."""
    return Refusal("22P02", "invalid input syntax for type json", _complaint(text))


def _complaint(text: str) -> str:
    at, wanted = 0, [_END, _VALUE]
    while 0 < len(wanted) <= _DEEPEST:
        found = _TOKEN.match(text, at)
        if found is None:
            word = _WORD.match(text, at)
            return f'Token "{word[1] if word else ""}" is invalid.'
        sign, now = found[0].strip(), wanted.pop()
        after = _GRAMMAR[now].get(sign if found["sign"] else found.lastgroup)
        if after is None and found.lastgroup == "end":
            return "The input string ended unexpectedly."
        if after is None:
            return f'Expected {now or _VALUE}, but found "{sign}".'
        wanted += after
        at = found.end()
    return "The input is nested too deeply." if wanted else ""


# Values as they were written

_decode = json.JSONDecoder().raw_decode
_OPENING, _SIGN = re.compile(r"\s*[\[{]?\s*"), re.compile(r"\s*[:,]?\s*")


def _past(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def members(text: str) -> Iterator[tuple[str | int, str]]:
    """Yield the keys of a JSON object, or the indexes of an array, each with its value as it was written.

    A single number, string or word is read as an array with one element, as in PostgreSQL.
    """
    at, index, is_object = _past(_OPENING, text, 0), 0, text.lstrip().startswith("{")
    while text[at : at + 1] not in ("}", "]", ""):
        key: str | int = index
        if is_object:
            key, at = _decode(text, at)
            at = _past(_SIGN, text, at)
        _, end = _decode(text, at)
        yield key, text[at:end]
        at, index = _past(_SIGN, text, end), index + 1


def member(text: str, key: str | int) -> str | None:
    """Return one member of a JSON object or array as it was written, or None; among equal keys, the last one counts."""
    found = dict(members(text))
    return found.get(key + len(found) if isinstance(key, int) and key < 0 else key)
