"""How rows become an answer: rows, counts and a media type flow in, a status, headers and bytes flow out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from supalab.lab.dialect.refusal import Refusal, pg_refusal
from supalab.lab.messages import Answer
from supalab.lab.store.returned import location

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from supalab.lab.dialect.media import Media
    from supalab.lab.store.mutate import Mutation, Written
    from supalab.lab.store.outputs import Output

__all__ = [
    "check_geo",
    "check_single",
    "content_range",
    "csv_body",
    "json_bytes",
    "out_of_bounds",
    "range_status",
    "rows_body",
    "texts_body",
    "write_answer",
]

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


def check_geo(media: Media) -> None:
    """Raise 42883 for GeoJSON: PostgREST asks the database for it, which has no such function without PostGIS."""
    if media.geo:
        hint = "No function matches the given name and argument types. You might need to add explicit type casts."
        raise pg_refusal("42883", "function st_asgeojson(record) does not exist", hint=hint)


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


def texts_body(media: Media, rows: Sequence[tuple[str]]) -> bytes:
    """Return rows that are texts of JSON objects as ``rows_body`` returns objects."""
    if media.single:
        return rows[0][0].encode()
    return f"[{','.join([text for (text,) in rows])}]".encode()


def csv_body(found: Sequence[Output], rows: Sequence[Sequence[Any]]) -> bytes:
    """Return rows as PostgREST writes CSV: PostgreSQL's row texts beneath the names; NULL is an empty field."""
    casts = [output.cast or _as_it_is for output in found]
    shows = [output.type.show for output in found]
    lines = [
        ",".join(map(_csv_text, shows, [cast(value) for cast, value in zip(casts, row, strict=False)])) for row in rows
    ]
    header = ",".join(output.name for output in found) if rows else ""
    return "\n".join([header, *lines] if rows else ["", ""]).encode()


def _as_it_is(value: Any) -> Any:
    return value


def _csv_text(show: Callable[[Any], str], value: object) -> str:
    if value is None:
        return ""
    text = show(value)
    if text and not any(char in '",()\\' or char.isspace() for char in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '""') + '"'


def _returned_body(mutation: Mutation, written: Written) -> bytes:
    if mutation.media.csv:
        return csv_body(mutation.outputs, written.shown or [])
    return rows_body(mutation.media, written.objects or [])


def write_answer(mutation: Mutation, written: Written, profile: tuple[tuple[str, str], ...]) -> Answer:
    """Return the answer to a write: its status and which headers it has depend on the method, as PostgREST's do."""
    preferences, method = mutation.preferences, mutation.method
    count = len(written.rows)
    counted = count if preferences.count in ("exact", "estimated") else None
    body = _returned_body(mutation, written) if mutation.full else b""
    length = (("Content-Length", str(len(body))),) if mutation.full or method == "POST" else ()
    content_type = (("Content-Type", mutation.media.content_type), *profile) if mutation.full else ()
    applied = _applied(mutation)
    if method == "POST":
        where = location(mutation.table, written.rows) if preferences.returning == "headers-only" else ()
        ranged = (("Content-Range", content_range(0, 0, counted)),)
        merged = preferences.resolution == "merge-duplicates" and not written.new
        return Answer(200 if merged else 201, (*length, *where, *ranged, *applied, *content_type), body)
    if method == "PUT":
        status = (201 if written.new else 200) if mutation.full else 204
        return Answer(status, (*length, *content_type, *applied), body)
    ranged = (("Content-Range", content_range(0, count if method == "PATCH" else 0, counted)),)
    return Answer(200 if mutation.full else 204, (*ranged, *applied, *length, *content_type), body)


def _applied(mutation: Mutation) -> tuple[tuple[str, str], ...]:
    """Return ``Preference-Applied``: each method takes note of some preferences only."""
    keyed = bool(mutation.table.primary_key) or mutation.query.on_conflict is not None
    dropped = {
        "POST": ["max-affected", *([] if keyed else ["resolution"])],
        "PUT": ["resolution", "missing", "max-affected"],
        "PATCH": ["resolution"],
        "DELETE": ["resolution", "missing"],
    }
    return mutation.preferences.applied(*dropped[mutation.method])
