"""How rows become an answer: rows, counts and a media type flow in, a status, headers and bytes flow out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from supalab.lab.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from supalab.lab.media import Media

__all__ = ["content_range", "json_bytes", "range_status", "rows_body"]

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def json_bytes(value: object) -> bytes:
    """Return compact JSON in UTF-8."""
    return _encode(value).encode()


def content_range(lower: int, count: int, total: int | None) -> str:
    """Return the value of ``Content-Range`` for ``count`` rows from ``lower`` on, of ``total`` (None: not counted)."""
    span = f"{lower}-{lower + count - 1}" if count and total != 0 else "*"
    return f"{span}/{'*' if total is None else total}"


def range_status(lower: int, count: int, total: int | None) -> int:
    """Return 200 for the whole, 206 for a part, 416 for a beginning behind the end; 200 when nothing was counted."""
    if total is None:
        return 200
    return 416 if lower > total else 206 if count < total else 200


def out_of_bounds(lower: int, total: int) -> bytes:
    """Return the body of a 416: the error object, which PostgREST sends without its ``Proxy-Status`` header."""
    details = f"An offset of {lower} was requested, but there are only {total} rows."
    return Refusal(416, "PGRST103", "Requested range not satisfiable", details=details).body()


def check_single(media: Media, count: int) -> None:
    """Raise PGRST116 when a single object was asked for and there is not exactly one."""
    if media.single and count != 1:
        message = "Cannot coerce the result to a single JSON object"
        raise Refusal(406, "PGRST116", message, details=f"The result contains {count} rows")


def _without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def rows_body(media: Media, rows: Sequence[dict[str, Any]]) -> bytes:
    """Return rows as JSON: an array, or the one object; ``check_single`` comes first."""
    if media.stripped:
        rows = [_without_nulls(row) for row in rows]
    return json_bytes(rows[0] if media.single else rows)


def csv_body(names: Sequence[str], shows: Sequence[Callable[[Any], str]], rows: Sequence[Sequence[Any]]) -> bytes:
    """Return rows as PostgREST writes CSV: PostgreSQL's row texts beneath the names; NULL is an empty field."""
    lines = [",".join(_csv_text(show, value) for show, value in zip(shows, row, strict=False)) for row in rows]
    header = ",".join(names) if rows else ""
    return f"{header}\n{chr(10).join(lines)}".encode()


def _csv_text(show: Callable[[Any], str], value: object) -> str:
    if value is None:
        return ""
    text = show(value)
    if text and not any(char in '",()\\' or char.isspace() for char in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '""') + '"'
