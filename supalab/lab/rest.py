"""The lab's PostgREST: a ``Request`` flows in, an ``Answer`` flows out, and nothing is ever raised.

The order of checks is PostgREST's, because it decides which of several errors a client sees: path, schema, method,
query string, ranges, body, then table, columns, preferences and media type.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from supalab.lab.answers import check_single, content_range, csv_body, out_of_bounds, range_status, rows_body
from supalab.lab.dialect import parse_query, requested_span
from supalab.lab.media import negotiate
from supalab.lab.messages import Answer
from supalab.lab.names_hint import missing_table
from supalab.lab.preferences import parse_preferences
from supalab.lab.reading import plan_read, shape_rows
from supalab.lab.refusal import Refusal
from supalab.lab.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from supalab.lab.messages import Request
    from supalab.lab.query import Query
    from supalab.lab.reading import ReadPlan
    from supalab.lab.schema import Table

__all__ = ["Rest"]

_log = logging.getLogger("supalab.lab")


class Rest:
    """PostgREST's answers over one seeded database.

    ``seed``: None for the shipped contests, or a ``.csv`` or ``.sql`` file; ``SettingsError`` for one that cannot be
    used. ``max_rows``: no answer has more rows.
    """

    def __init__(self, seed: Path | None = None, *, max_rows: int = 1000) -> None:
        self._store = Store(seed)
        self._max_rows = max_rows
        self._plan = lru_cache(maxsize=2048)(self._make_plan)

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
        return self._read(request)

    def _table(self, path: str) -> Table:
        name = unquote(path.strip("/"), errors="replace")
        table = self._store.schema.tables.get(name)
        if table is None:
            raise missing_table(name, self._store.schema.tables)
        return table

    def _make_plan(self, path: str, query: str) -> tuple[ReadPlan, Query, Table]:
        parsed = parse_query(query)
        table = self._table(path)
        return plan_read(self._store.schema, table, parsed), parsed, table

    def _read(self, request: Request) -> Answer:
        headers = request.headers
        plan, query, table = self._plan(request.path, request.query)
        span = requested_span(query, request.method, headers.get("range"))
        media = negotiate(headers.get("accept", "*/*"))
        preferences = parse_preferences(headers.get("prefer", ""))
        preferences.check()
        limit = self._max_rows if span.limit is None else min(span.limit, self._max_rows)
        with self._store.reading() as store:
            rows = store.rows(plan.sql, (*plan.values, limit, span.lower))
            counted = preferences.count is not None
            total = store.rows(plan.count_sql, plan.count_values)[0][0] if counted else None
        check_single(media, len(rows))
        status = range_status(span.lower, len(rows), total)
        if status == 416:
            body = out_of_bounds(span.lower, total or 0)
        elif request.method == "HEAD":
            body = b""
        elif media.csv:
            names = [output.name for output in plan.outputs]
            body = csv_body(names, [output.type.show for output in plan.outputs], rows)
        else:
            body = rows_body(media, shape_rows(plan, rows))
        place = f"/{table.name}{'?' if query.canonical else ''}{query.canonical}"
        answer_headers = [
            ("Content-Range", content_range(span.lower, len(rows), total)),
            ("Content-Location", place),
            *([] if request.method == "HEAD" else [("Content-Length", str(len(body)))]),
            ("Content-Type", media.content_type),
            *preferences.applied("resolution", "missing", "return", "max-affected"),
        ]
        return Answer(status, tuple(answer_headers), b"" if request.method == "HEAD" else body)
