"""The description at ``/``: the schema and the functions flow in, an OpenAPI 2.0 document flows out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supalab.lab.store.procedures import Procedure
    from supalab.lab.store.schema import Schema, Table

__all__ = ["describe"]

_JSON_TYPES = {"integer": "integer", "number": "number", "boolean": "boolean"}


def _definition(table: Table) -> dict[str, Any]:
    properties = {}
    for column in table.columns.values():
        item: dict[str, Any] = {"format": column.type.name}
        kind = _JSON_TYPES.get(column.type.family, "string")
        if column.type.family not in ("json", "jsonb"):
            item["type"] = kind
        if column.default is not None:
            item["default"] = column.default.strip("'")
        if column.name in table.primary_key:
            item["description"] = "Note:\nThis is a Primary Key.<pk/>"
        properties[column.name] = item
    required = [column.name for column in table.columns.values() if not column.nullable]
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _table_paths(table: Table) -> dict[str, Any]:
    filters = [
        {"name": name, "in": "query", "required": False, "type": "string", "format": column.type.name}
        for name, column in table.columns.items()
    ]
    reading = [
        {"name": name, "in": "query", "required": False, "type": "string"}
        for name in ("select", "order", "limit", "offset")
    ]
    body = {"name": table.name, "in": "body", "required": False, "schema": {"$ref": f"#/definitions/{table.name}"}}
    rows = {"type": "array", "items": {"$ref": f"#/definitions/{table.name}"}}
    paths: dict[str, Any] = {
        "get": _operation(table.name, filters + reading, {"200": {"description": "OK", "schema": rows}})
    }
    if table.writable:
        paths["post"] = _operation(table.name, [body], {"201": {"description": "Created"}})
        paths["patch"] = _operation(table.name, [*filters, body], {"204": {"description": "No Content"}})
        paths["delete"] = _operation(table.name, filters, {"204": {"description": "No Content"}})
    return paths


def _operation(tag: str, parameters: list[dict[str, Any]], responses: dict[str, Any]) -> dict[str, Any]:
    return {"tags": [tag], "parameters": parameters, "responses": responses}


def _call_paths(procedure: Procedure) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "query", "required": default is None, "format": kind, "type": "string"}
        for name, (kind, default) in procedure.parameters.items()
    ]
    operation = _operation(f"(rpc) {procedure.name}", parameters, {"200": {"description": "OK"}})
    operation["summary"] = procedure.about
    return {"get": operation, "post": operation}


def describe(schema: Schema, procedures: Mapping[str, Procedure]) -> dict[str, Any]:
    """Return the OpenAPI document of all tables, views and functions."""
    paths: dict[str, Any] = {"/": {"get": _operation("Introspection", [], {"200": {"description": "OK"}})}}
    paths |= {f"/{name}": _table_paths(table) for name, table in schema.tables.items()}
    paths |= {f"/rpc/{name}": _call_paths(procedure) for name, procedure in procedures.items()}
    return {
        "swagger": "2.0",
        "info": {"title": "supalab", "description": "A lab that plays Supabase, over SQLite.", "version": "12"},
        "basePath": "/",
        "consumes": ["application/json", "text/csv"],
        "produces": ["application/json", "application/vnd.pgrst.object+json", "text/csv"],
        "definitions": {name: _definition(table) for name, table in schema.tables.items()},
        "paths": paths,
    }
