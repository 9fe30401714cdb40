"""The functions that ``/rpc/…`` can call: a name and arguments flow in, SQL that gives the result's rows flows out.

A seed cannot bring SQL functions, because SQLite has none; these few are written here over the shipped table, and they
exist only where a table ``contests`` has the columns they need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supalab.lab.dialect.refusal import Refusal
from supalab.lab.store.names_hint import closest
from supalab.lab.store.schema import Column, Table
from supalab.lab.types.pgtypes import cast_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from supalab.lab.store.operators import Piece
    from supalab.lab.store.schema import Schema

__all__ = ["Procedure", "bound_arguments", "find_procedure", "known_procedures", "procedure_table"]


@dataclass(frozen=True, slots=True)
class Procedure:
    """One function: its parameters by name as (type, default or None), the columns it needs, its SQL and its result.

    ``returns``: the columns of the rows it returns, by name and type; empty for rows of the table itself.
    ``scalar``: it returns one value, not rows.
    """

    name: str
    about: str
    parameters: Mapping[str, tuple[str, str | None]]
    needs: tuple[str, ...]
    sql: str
    returns: Mapping[str, str]
    scalar: bool = False


_ALL = (
    Procedure(
        "top_contests",
        "The contests with the highest prizes.",
        {"how_many": ("integer", "10")},
        ("id", "prize"),
        "SELECT * FROM contests WHERE prize IS NOT NULL ORDER BY prize DESC, id LIMIT max(?, 0)",
        {},
    ),
    Procedure(
        "count_by_status",
        "How many contests there are of each status.",
        {},
        ("status",),
        "SELECT status, count(*) AS contests FROM contests GROUP BY status ORDER BY status NULLS LAST",
        {"status": "text", "contests": "bigint"},
    ),
    Procedure(
        "total_prize",
        "The sum of all prizes, or of those of one category.",
        {"of_category": ("text", "")},
        ("prize", "category"),
        "SELECT coalesce(sum(prize), 0) AS total_prize FROM contests WHERE ? IN ('', category)",
        {"total_prize": "bigint"},
        scalar=True,
    ),
)


def known_procedures(schema: Schema) -> dict[str, Procedure]:
    """Return the functions that the tables of a seed allow, by name."""
    table = schema.tables.get("contests")
    columns = table.columns if table else {}
    return {item.name: item for item in _ALL if table and all(name in columns for name in item.needs)}


def procedure_table(schema: Schema, procedure: Procedure) -> Table:
    """Return the result of a function as a table to select from."""
    contests = schema.tables["contests"]
    if not procedure.returns:
        return Table(contests.name, contests.columns, writable=False)
    columns = {name: Column(name, cast_type(kind)) for name, kind in procedure.returns.items()}
    return Table(procedure.name, columns, writable=False)


def find_procedure(
    procedures: Mapping[str, Procedure], name: str, arguments: Iterable[str], *, posted_json: bool
) -> Procedure:
    """Return the function of that name which takes these arguments; raises PGRST202 with PostgREST's hint."""
    given = sorted(set(arguments))
    procedure = procedures.get(name)
    if procedure is not None and set(given) <= set(procedure.parameters):
        return procedure
    listed = ", ".join(given)
    message_part = f"({listed})" if given else " without parameters"
    plural = "s" if len(given) > 1 else ""
    details_part = f" with parameter{plural} {listed}" if given else " without parameters"
    if posted_json:
        details_part += " or with a single unnamed json/jsonb parameter"
    raise Refusal(
        404,
        "PGRST202",
        f"Could not find the function public.{name}{message_part} in the schema cache",
        details=f"Searched for the function public.{name}{details_part},"
        " but no matches were found in the schema cache.",
        hint=_hint(procedures, procedure, name, listed),
    )


def _hint(procedures: Mapping[str, Procedure], procedure: Procedure | None, name: str, listed: str) -> str | None:
    start = "Perhaps you meant to call the function public."
    if procedure is None:
        meant = closest(name, procedures)
        return f"{start}{meant}" if meant else None
    own = f"({', '.join(sorted(procedure.parameters))})"
    return f"{start}{name}{own}" if closest(f"({listed})", [own], 0.33) else None


def bound_arguments(procedure: Procedure, arguments: Mapping[str, Any]) -> Piece:
    """Return the function's SQL as a source of rows, its arguments read by their types and bound."""
    values = []
    for name, (kind, default) in procedure.parameters.items():
        parameter = cast_type(kind)
        given = name in arguments
        values.append(parameter.from_json(arguments[name]) if given else parameter.read(default or ""))
    return f"({procedure.sql})", tuple(values)
