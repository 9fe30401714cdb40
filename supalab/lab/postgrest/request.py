"""One request as far as it was understood: typed query, range, preferences, media type and rows to write.

The order of checks is PostgREST's, because it decides which of several errors a client sees.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from supalab.lab.postgrest.http import (
    Media,
    Preferences,
    find_resource,
    media_parameters,
    negotiate,
    profile_header,
    row_range,
)
from supalab.lab.postgrest.json_text import broken, keep_texts, load_body
from supalab.lab.postgrest.query import Query, parse_query
from supalab.lab.postgrest.refusal import Refusal, pg

__all__ = ["Asked"]

Row = dict[str, Any]


class Asked:
    """One request; raises ``Refusal`` for what PostgREST refuses before it looks at its tables."""

    query: Query
    media: Media

    def __init__(self, method: str, path: str, raw: str, headers: Mapping[str, str], body: bytes) -> None:
        self.kind, self.name = find_resource(method, path, headers)
        self.method, self.raw, self.headers, self.body = method, raw, headers, body
        self.head, self.reading = method == "HEAD", method in ("GET", "HEAD")
        self.profile = [("Content-Profile", "public")] if profile_header(method) in headers else []
        self.rows: list[Row] = []
        self.columns: Sequence[str] = ()
        if self.kind == "root" or method == "OPTIONS":
            return
        self.query = parse_query(raw, is_call=self.kind == "call" and self.reading)
        self.offset, self.limit = row_range(self.query.limit, method, headers.get("range"))
        self.prefer = Preferences(headers.get("prefer", ""))
        if not (self.reading or method == "DELETE") and (body or self.kind == "table"):
            self._read_body()

    @property
    def arguments(self) -> Row:
        """What a function is called with."""
        if self.reading:
            return dict(self.query.arguments)
        given = (self.rows or [{}])[0]
        known = self.query.columns
        return given if known is None else {name: value for name, value in given.items() if name in known}

    def _read_body(self) -> None:
        content_type = self.headers.get("content-type", "application/json")
        database_reads = self.method in ("POST", "PATCH") and self.kind == "table" and self.query.columns is not None
        if not (database_reads and _is_json(content_type)):
            self.rows, self.columns = _read_rows(self.body, content_type)
        else:
            self.rows, self.columns = self._records(), tuple(sorted(set(self.query.columns or ())))
        if _is_json(content_type) and any(isinstance(v, dict | list) for row in self.rows for v in row.values()):
            keep_texts(self.body.decode(), self.rows)

    def _records(self) -> list[Row]:
        """Read a body as PostgreSQL does: as json, or as jsonb to fill in defaults."""
        kind = "jsonb" if self.prefer.get("missing") == "default" else "json"
        try:
            value = load_body(self.body)
        except ValueError:
            raise broken(self.body.decode("utf-8", "replace")) from None
        rows = [value] if isinstance(value, dict) else value
        if not isinstance(rows, list):
            scalar = "cannot extract elements from a scalar"
            raise pg("22023", scalar if kind == "jsonb" else "cannot call json_to_recordset on a scalar")
        if any(not isinstance(row, dict) for row in rows):
            raise pg("22023", f"argument of {kind}_to_recordset must be an array of objects")
        return rows

    def check(self) -> None:
        """Raise what PostgREST refuses after the schema and before the database: preferences, then the media type."""
        self.prefer.check()
        self.media = negotiate(self.headers.get("accept", "*/*"))
        if self.media.geo and (self.reading or self.prefer.get("return") == "representation"):
            hint = "No function matches the given name and argument types. You might need to add explicit type casts."
            raise pg("42883", "function st_asgeojson(record) does not exist", hint=hint)


def _is_json(content_type: str) -> bool:
    kind, parameters = media_parameters(content_type)
    array = kind.startswith("application/vnd.pgrst.array") and parameters.get("nulls") != "stripped"
    return kind == "application/json" or array


def _read_rows(body: bytes, content_type: str) -> tuple[list[Row], Sequence[str]]:
    """Return the rows of a body and the columns that they set; raises PGRST102."""
    kind, _ = media_parameters(content_type)
    if kind == "text/csv":
        return _uniform(_csv(body), "All lines must have same number of fields")
    if kind == "application/x-www-form-urlencoded":
        pairs = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        return [pairs], tuple(sorted(pairs))
    if not _is_json(content_type):
        known = kind if kind in ("text/plain", "text/xml", "application/octet-stream") else content_type
        raise Refusal(400, "PGRST102", f"Content-Type not acceptable: {known}")
    try:
        return _uniform(load_body(body), "All object keys must match")
    except ValueError:
        raise Refusal(400, "PGRST102", "Empty or invalid json") from None


def _uniform(value: Any, complaint: str) -> tuple[list[Row], Sequence[str]]:
    if isinstance(value, dict):
        return [value], tuple(sorted(value))
    if not isinstance(value, list) or not value:
        return [], ()
    if any(not isinstance(row, dict) or row.keys() != value[0].keys() for row in value):
        raise Refusal(400, "PGRST102", complaint)
    return value, tuple(sorted(value[0]))


def _csv(body: bytes) -> list[Row]:
    try:
        lines = [line for line in csv.reader(io.StringIO(body.decode("utf-8"), newline=""), strict=True) if line]
    except (UnicodeDecodeError, csv.Error):
        raise Refusal(400, "PGRST102", "parse error (not a CSV text in UTF-8)") from None
    if not lines or (len(lines) == 1 and not body.endswith((b"\n", b"\r"))):
        raise Refusal(400, "PGRST102", 'parse error (not enough input) at ""')
    return [
        {name: None if value == "NULL" else value for name, value in zip(lines[0], line, strict=False)}
        for line in lines[1:]
    ]
