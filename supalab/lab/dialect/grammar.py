"""PostgREST's grammar of ``select`` and ``order``: one value of a query string flows in, typed parts flow out.

One function reads one rule; the rules are those of https://docs.postgrest.org/en/stable/references/api/url_grammar.html.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supalab.lab.dialect.names import comma, field, field_name, identifier
from supalab.lab.dialect.query import Embed, Field, OrderTerm, SelectField

if TYPE_CHECKING:
    from supalab.lab.dialect.scanner import Scanner

__all__ = ["order_terms", "select_list"]

AGGREGATES = ("sum", "avg", "count", "max", "min")


def select_list(scan: Scanner) -> tuple[SelectField | Embed, ...]:
    """Read ``select``: fields and embedded resources; an empty text gives an empty tuple."""
    if not scan.peek() or scan.looking_at(")"):
        return ()
    items = [_select_item(scan)]
    while comma(scan):
        items.append(_select_item(scan))
    return tuple(items)


def _select_item(scan: Scanner) -> SelectField | Embed:
    for head in (_spread_head, _embed_head):
        if (start := scan.attempt(head)) is not None:
            scan.expect("(")
            items = select_list(scan)
            scan.expect(")")
            scan.skip_blanks()
            return Embed(items=items, **start)  # type: ignore[arg-type]  # the heads give just these names
    return _select_field(scan)


def _spread_head(scan: Scanner) -> dict[str, object]:
    scan.skip_blanks()
    scan.expect("...")
    return {"name": field_name(scan), "spread": True, **_embed_params(scan)}


def _embed_head(scan: Scanner) -> dict[str, object]:
    scan.skip_blanks()
    alias = scan.attempt(_alias)
    name = field_name(scan)
    if name == "count":
        scan.mismatch()
    return {"name": name, "alias": alias, **_embed_params(scan)}


def _embed_params(scan: Scanner) -> dict[str, object]:
    hint: str | None = None
    inner = False
    for _ in range(2):
        if not scan.take("!"):
            break
        if scan.take("inner"):
            inner = True
        elif not scan.take("left"):
            hint = field_name(scan)
    if not scan.looking_at("("):
        scan.mismatch('"("')
    return {"hint": hint, "inner": inner}


def _alias(scan: Scanner) -> str:
    name = field_name(scan)
    scan.expect(":")
    if scan.looking_at(":"):
        scan.mismatch()
    return name


def _select_field(scan: Scanner) -> SelectField:
    scan.skip_blanks()
    for rule in (_star, _count):
        if (found := scan.attempt(rule)) is not None:
            return found
    alias = scan.attempt(_alias)
    name = field(scan)
    cast = _cast(scan)
    aggregate = scan.attempt(_aggregate)
    aggregate_cast = _cast(scan)
    scan.skip_blanks()
    scan.expect_end(")", ",")
    return SelectField(name, alias, cast, aggregate, aggregate_cast)


def _star(scan: Scanner) -> SelectField:
    scan.expect("*")
    scan.skip_blanks()
    scan.expect_end(")", ",")
    return SelectField(Field("*"))


def _count(scan: Scanner) -> SelectField:
    alias = scan.attempt(_alias)
    scan.expect("count()")
    cast = _cast(scan)
    scan.skip_blanks()
    scan.expect_end(")", ",")
    return SelectField(Field("*"), alias, None, "count", cast)


def _cast(scan: Scanner) -> str | None:
    return identifier(scan) if scan.take("::") else None


def _aggregate(scan: Scanner) -> str:
    scan.expect(".")
    name = next((name for name in AGGREGATES if scan.take(name)), None)
    if name is None:
        scan.mismatch()
    scan.expect("()")
    return name


def order_terms(scan: Scanner) -> tuple[OrderTerm, ...]:
    """Read ``order``: keys such as ``prize.desc.nullslast``, parted by commas."""
    terms = [_order_term(scan)]
    while scan.take(","):
        terms.append(_order_term(scan))
    return tuple(terms)


def _order_term(scan: Scanner) -> OrderTerm:
    scan.skip_blanks()
    related = scan.attempt(_related_field)
    relation, target = (None, field(scan)) if related is None else related
    direction = next((way for way in ("asc", "desc") if _suffix(scan, way)), "")
    nulls = next((way for way in ("nullsfirst", "nullslast") if _suffix(scan, way)), "")
    scan.expect_end(",")
    scan.skip_blanks()
    return OrderTerm(target, direction == "desc", nulls == "nullsfirst" if nulls else None, relation)


def _suffix(scan: Scanner, word: str) -> bool:
    if scan.looking_at("." + word):
        scan.at += len(word) + 1
        return True
    scan.note(f'"{word}"', at=scan.at + 1 if scan.looking_at(".") else scan.at)
    return False


def _related_field(scan: Scanner) -> tuple[str, Field]:
    name = field_name(scan)
    scan.expect("(")
    target = field(scan)
    scan.expect(")")
    return name, target
