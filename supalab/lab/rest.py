"""The lab's PostgREST: a ``Request`` flows in, an ``Answer`` flows out, and nothing is ever raised.

The order of checks is PostgREST's, because it decides which of several errors a client sees: path, schema, method,
query string, ranges, body, then table, columns, preferences and media type.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from supalab.errors import SettingsError
from supalab.lab.dialect.media import negotiate, negotiate_root
from supalab.lab.dialect.parse import parse_query, requested_span
from supalab.lab.dialect.preferences import parse_preferences
from supalab.lab.dialect.refusal import Refusal
from supalab.lab.dialect.resource import find_resource, profile_headers
from supalab.lab.messages import Answer
from supalab.lab.store import answers
from supalab.lab.store.attach import attach_embeds
from supalab.lab.store.calls import called_arguments, plan_call
from supalab.lab.store.database import Store
from supalab.lab.store.mutate import plan_mutation, run_mutation
from supalab.lab.store.names_hint import missing_table
from supalab.lab.store.openapi import describe
from supalab.lab.store.outputs import shape_rows
from supalab.lab.store.procedures import find_procedure, known_procedures
from supalab.lab.store.reading import plan_read
from supalab.lab.store.zones import show_in_zone

if TYPE_CHECKING:
    from pathlib import Path

    from supalab.lab.dialect.media import Media
    from supalab.lab.dialect.query import Query, Span
    from supalab.lab.dialect.resource import Resource
    from supalab.lab.messages import Request
    from supalab.lab.store.reading import ReadPlan
    from supalab.lab.store.schema import Table

__all__ = ["Rest"]

_log = logging.getLogger("supalab.lab")


class Fetched(NamedTuple):
    """What a read found: the stored rows, the same for JSON, and how many there are in all if counted.

    For JSON they are objects, or else the rows are themselves the texts of objects (``texts``).
    """

    rows: list[tuple[Any, ...]]
    objects: list[dict[str, Any]]
    total: int | None
    texts: bool


class Rest:
    """PostgREST's answers over one seeded database.

    ``seed``: None for the shipped contests, or a ``.csv`` or ``.sql`` file; ``SettingsError`` for one that cannot be
    used. ``max_rows``: no read has more rows in its answer.
    """

    def __init__(self, seed: Path | None = None, *, max_rows: int = 1000) -> None:
        if max_rows < 1:
            raise SettingsError(f"max_rows {max_rows}: an answer needs room for at least 1 row")
        self._store = Store(seed)
        self._procedures = known_procedures(self._store.schema)
        self._max_rows = max_rows
        self._plan = lru_cache(maxsize=512)(self._make_plan)

    def close(self) -> None:
        """Close the database; what was written to it is gone, the seed file is as it was."""
        self._store.close()

    def answer(self, request: Request) -> Answer:
        """Return the answer to a request; an unexpected failure is logged and answered as a bare 500."""
        head = request.method == "HEAD"
        try:
            return self._answer(request)
        except Refusal as refusal:
            return refusal.answer(head=head)
        except Exception:
            _log.exception("unexpected failure in %s %s", request.method, request.path)
            return Refusal(500, "XX000", "internal error").answer(head=head)

    def _answer(self, request: Request) -> Answer:
        resource = find_resource(request.method, request.path, request.headers)
        if request.method == "OPTIONS":
            return self._options(resource, request)
        if resource.kind == "root":
            return self._describe(request)
        if resource.kind == "call":
            return self._call(resource.name, request)
        if request.method in ("GET", "HEAD"):
            return self._read(resource.name, request)
        return self._write(resource.name, request)

    # What is asked about

    def _table(self, name: str) -> Table:
        table = self._store.schema.tables.get(name)
        if table is None:
            raise missing_table(name, self._store.schema.tables)
        return table

    def _options(self, resource: Resource, request: Request) -> Answer:
        allowed = "OPTIONS,GET,HEAD"
        if resource.kind == "call":
            _, arguments, posted_json = called_arguments(request)
            find_procedure(self._procedures, resource.name, arguments, posted_json=posted_json)
            allowed += ",POST"
        elif resource.kind == "table":
            table = self._table(resource.name)
            put = ",PUT" if table.primary_key else ""
            allowed += f",POST{put},PATCH,DELETE" if table.writable else ""
        headers = (("Content-Length", "0"), ("Access-Control-Allow-Origin", "*"), ("Allow", allowed))
        return Answer(200, headers, b"")

    def _describe(self, request: Request) -> Answer:
        content_type = negotiate_root(request.headers.get("accept", "*/*"))
        body = answers.json_bytes(describe(self._store.schema, self._procedures))
        head = request.method == "HEAD"
        length = () if head else (("Content-Length", str(len(body))),)
        profile = profile_headers(request.method, request.headers)
        return Answer(200, (("Content-Type", content_type), *length, *profile), b"" if head else body)

    # Reading

    def _make_plan(self, name: str, raw_query: str) -> tuple[ReadPlan, Query]:
        query = parse_query(raw_query)
        return plan_read(self._store.schema, self._table(name), query), query

    def _fetch(self, plan: ReadPlan, span: Span, media: Media, *, counted: bool, scalar: bool) -> Fetched:
        limit = self._max_rows if span.limit is None else min(span.limit, self._max_rows)
        texts = None if media.csv or media.stripped or scalar else plan.texts
        sql, values = texts or (plan.sql, plan.values)
        with self._store.reading() as store:
            rows = store.rows(sql, (*values, limit, span.lower))
            total = store.rows(plan.count_sql, plan.count_values)[0][0] if counted else None
            objects = [] if texts or media.csv else shape_rows(plan.outputs, plan.converting, rows)
            if plan.joins:
                attach_embeds(store, plan.joins, objects, [row[len(plan.outputs) :] for row in rows])
        return Fetched(rows, objects, total, texts is not None)

    def _answer_rows(self, request: Request, plan: ReadPlan, query: Query, *, scalar: bool, place: str) -> Answer:
        head = request.method == "HEAD"
        span = requested_span(query, request.method, request.headers.get("range"))
        media = negotiate(request.headers.get("accept", "*/*"))
        preferences = parse_preferences(request.headers.get("prefer", ""))
        preferences.check()
        if not head:
            answers.check_geo(media)
        fetched = self._fetch(plan, span, media, counted=preferences.count is not None, scalar=scalar)
        if preferences.timezone is not None:
            show_in_zone(plan.outputs, fetched.objects, preferences.timezone)
        count, total = len(fetched.rows), fetched.total
        answers.check_single(media, count)
        if not place:
            preferences.check_affected(count)
        status = answers.range_status(span.lower, count, total)
        body = answers.out_of_bounds(span.lower, total or 0) if status == 416 else b""
        if not (head or body):
            body = _read_body(media, plan, fetched, scalar=scalar)
        dropped = ("max-affected",) if place else ()
        headers = (
            ("Content-Range", answers.content_range(span.lower, count, total)),
            *((("Content-Location", place),) if place else ()),
            *(() if head else (("Content-Length", str(len(body))),)),
            ("Content-Type", media.content_type),
            *profile_headers(request.method, request.headers),
            *preferences.applied("resolution", "missing", "return", *dropped),
        )
        return Answer(status, headers, b"" if head else body)

    def _read(self, name: str, request: Request) -> Answer:
        try:
            plan, query = self._plan(name, request.query)
        except Refusal as refusal:
            _check_what_comes_first(request, refusal)
            raise
        place = f"/{quote(name)}?{query.canonical}" if query.canonical else f"/{quote(name)}"
        return self._answer_rows(request, plan, query, scalar=False, place=place)

    def _call(self, name: str, request: Request) -> Answer:
        plan, query, procedure = plan_call(self._store.schema, self._procedures, name, request)
        return self._answer_rows(request, plan, query, scalar=procedure.scalar, place="")

    # Writing

    def _write(self, name: str, request: Request) -> Answer:
        mutation = plan_mutation(self._store.schema, self._table, name, request)
        with self._store.writing() as store:
            written = run_mutation(store, mutation)
        return answers.write_answer(mutation, written, profile_headers(request.method, request.headers))


def _check_what_comes_first(request: Request, refusal: Refusal) -> None:
    """Raise what PostgREST refuses before it comes to ``refusal``: ranges, then what the database need not see."""
    if refusal.code == "PGRST100":
        return
    requested_span(parse_query(request.query), request.method, request.headers.get("range"))
    if not refusal.code.startswith("PGRST"):
        negotiate(request.headers.get("accept", "*/*"))
        parse_preferences(request.headers.get("prefer", "")).check()


def _read_body(media: Media, plan: ReadPlan, fetched: Fetched, *, scalar: bool) -> bytes:
    if media.csv:
        return answers.csv_body(plan.outputs, fetched.rows)
    if scalar:
        return answers.json_bytes(fetched.rows[0][0] if fetched.rows else None)
    if fetched.texts:
        return answers.texts_body(media, fetched.rows)
    return answers.rows_body(media, fetched.objects)
