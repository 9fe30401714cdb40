"""Bodies of writes: bytes and a content type flow in, rows of JSON values by column name flow out.

Which bodies are taken, and with which words the others are refused, is PostgREST's: JSON objects or arrays of objects
with the same keys, CSV with a header, or one URL-encoded form.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from supalab.lab.dialect.media import body_type
from supalab.lab.dialect.refusal import Refusal, pg_refusal
from supalab.lab.types.pgjson import keep_texts, syntax_details

__all__ = ["Payload", "load_json", "read_payload"]


@dataclass(frozen=True, slots=True)
class Payload:
    """The rows of a body, and the columns that they set: those of the rows, or those that ``columns`` names."""

    rows: tuple[dict[str, Any], ...]
    columns: tuple[str, ...]


class _Number(float):
    """A number with a fraction or exponent that remembers how it was written: ``1.50`` into a text column stays so."""

    __slots__ = ("written",)
    written: str

    def __str__(self) -> str:
        return self.written


def _number(text: str) -> _Number:
    number = _Number(text)
    number.written = text
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def load_json(body: bytes) -> Any:
    """Return the value in a JSON body; raises ``ValueError`` for anything that is not JSON in UTF-8."""
    text = body.decode("utf-8")
    try:
        value = json.loads(text, parse_float=_number, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if "\\ud" in text.lower():
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text: UnicodeEncodeError
    return value


def _invalid(message: str) -> Refusal:
    return Refusal(400, "PGRST102", message)


def read_payload(
    body: bytes, content_type: str, columns: tuple[str, ...] | None, *, use_defaults: bool = False
) -> Payload:
    """Return the rows of a body; ``columns`` is what the query string names, if it does.

    Raises ``Refusal`` PGRST102 for what cannot be used, and PostgreSQL's own errors when ``columns`` is given,
    because PostgREST then hands the body on unread.
    """
    kind = body_type(content_type)
    if kind == "csv":
        return _uniform(_csv_rows(body), "All lines must have same number of fields")
    if kind == "form":
        pairs = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        return Payload((pairs,), tuple(sorted(pairs)))
    payload = _json_payload(body) if columns is None else _raw_payload(body, columns, use_defaults=use_defaults)
    if any(isinstance(value, dict | list) for row in payload.rows for value in row.values()):
        keep_texts(body.decode(), payload.rows)
    return payload


def _json_payload(body: bytes) -> Payload:
    try:
        value = load_json(body)
    except ValueError:
        raise _invalid("Empty or invalid json") from None
    return _uniform(value, "All object keys must match")


def _uniform(value: Any, complaint: str) -> Payload:
    if isinstance(value, dict):
        return Payload((value,), tuple(sorted(value)))
    if not isinstance(value, list) or not value:
        return Payload((), ())
    keys = value[0].keys() if isinstance(value[0], dict) else None
    if keys is None or any(not isinstance(row, dict) or row.keys() != keys for row in value):
        raise _invalid(complaint)
    return Payload(tuple(value), tuple(sorted(keys)))


def _raw_payload(body: bytes, columns: tuple[str, ...], *, use_defaults: bool) -> Payload:
    """Return the rows of a body that PostgreSQL reads itself: as json, or as jsonb to fill in defaults."""
    try:
        value = load_json(body)
    except ValueError:
        details = syntax_details(body.decode("utf-8", "replace")) or None
        raise pg_refusal("22P02", "invalid input syntax for type json", details=details) from None
    rows = [value] if isinstance(value, dict) else value
    kind = "jsonb" if use_defaults else "json"
    if not isinstance(rows, list):
        scalar = "cannot extract elements from a scalar"
        raise pg_refusal("22023", scalar if use_defaults else "cannot call json_to_recordset on a scalar")
    if any(not isinstance(row, dict) for row in rows):
        raise pg_refusal("22023", f"argument of {kind}_to_recordset must be an array of objects")
    return Payload(tuple(rows), tuple(sorted(set(columns))))


def _csv_rows(body: bytes) -> list[dict[str, str | None]]:
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise _invalid("parse error (not a CSV text in UTF-8)") from None
    header, *rows = [line for line in lines if line] or [[]]
    if not header or (not rows and not body.endswith((b"\n", b"\r"))):
        raise _invalid('parse error (not enough input) at ""')
    # A field too many is dropped; rows of different lengths are refused by whoever compares their names.
    named = [zip(header, row, strict=False) for row in rows]
    return [{name: None if value == "NULL" else value for name, value in pairs} for pairs in named]
