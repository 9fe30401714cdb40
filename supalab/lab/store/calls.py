"""``/rpc/…``: a request and the known functions flow in, the plan of what the function returns flows out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supalab.lab.dialect.media import body_type
from supalab.lab.dialect.parse import parse_query
from supalab.lab.dialect.payload import read_payload
from supalab.lab.store.procedures import bound_arguments, find_procedure, procedure_table
from supalab.lab.store.reading import plan_read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supalab.lab.dialect.query import Query
    from supalab.lab.messages import Request
    from supalab.lab.store.procedures import Procedure
    from supalab.lab.store.reading import ReadPlan
    from supalab.lab.store.schema import Schema

__all__ = ["called_arguments", "plan_call"]


def called_arguments(request: Request) -> tuple[Query, dict[str, Any], bool]:
    """Return the query of a call, its arguments, and whether they came as JSON in a body."""
    reading = request.method in ("GET", "HEAD")
    query = parse_query(request.query, is_call=reading)
    if reading:
        return query, dict(query.arguments), False
    content_type = request.headers.get("content-type", "application/json")
    posted_json = body_type(content_type) == "json"
    if posted_json and not request.body:
        return query, {}, True
    payload = read_payload(request.body, content_type, None)
    return query, dict(payload.rows[0]) if payload.rows else {}, posted_json


def plan_call(
    schema: Schema, procedures: Mapping[str, Procedure], name: str, request: Request
) -> tuple[ReadPlan, Query, Procedure]:
    """Return the plan of a call; raises PGRST202 for an unknown function and the errors of its arguments."""
    query, arguments, posted_json = called_arguments(request)
    procedure = find_procedure(procedures, name, arguments, posted_json=posted_json)
    table = procedure_table(schema, procedure)
    return plan_read(schema, table, query, bound_arguments(procedure, arguments)), query, procedure
