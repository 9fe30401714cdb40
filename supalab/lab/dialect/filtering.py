"""PostgREST's grammar of conditions: the two sides of a filter flow in, a ``Filter`` or a ``Logic`` tree flows out.

The rules are those of https://docs.postgrest.org/en/stable/references/api/tables_views.html#horizontal-filtering.
Where the real parser stops reading without complaint (behind a closed list, say), this one stops as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from supalab.lab.dialect.names import comma, field, field_name, identifier, quoted
from supalab.lab.dialect.query import Filter, Logic

if TYPE_CHECKING:
    from collections.abc import Callable

    from supalab.lab.dialect.query import Field, Tree
    from supalab.lab.dialect.scanner import Scanner

__all__ = ["filter_value", "logic_path", "logic_tree"]

Item = TypeVar("Item")

OPERATOR_LABEL = "operator (eq, gt, ...)"
IS_LABEL = "isVal: (null, not_null, true, false, unknown)"
SIMPLE_OPERATORS = ("neq", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj")
QUANTIFIED_OPERATORS = ("eq", "gte", "gt", "lte", "lt", "like", "ilike", "match", "imatch")
SEARCH_OPERATORS = ("fts", "plfts", "phfts", "wfts")
IS_VALUES = ("null", "not_null", "true", "false", "unknown")


def filter_value(scan: Scanner, target: Field) -> Filter:
    """Read the right side of a filter such as ``id=not.in.(1,2)``; its value goes to the end of the text."""
    return _operation(scan, target, lambda inner: inner.rest())


def _operation(scan: Scanner, target: Field, value: Callable[[Scanner], str]) -> Filter:
    start = scan.at
    negated = scan.take("not") and scan.take(".")
    if not negated:
        scan.at = start
    start = scan.at
    if _word(scan, "in"):
        return Filter(target, "in", _value_list(scan), negated)
    if _word(scan, "is"):
        return Filter(target, "is", (_is_value(scan),), negated)
    if _word(scan, "isdistinct"):
        return Filter(target, "isdistinct", (value(scan),), negated)
    found = scan.attempt(_operator)
    if found is None:
        scan.relabel(OPERATOR_LABEL, start)
        scan.note(*(() if negated or scan.furthest > start else ('"not"',)), at=start)
        scan.wanted.sort(key=lambda wish: wish == OPERATOR_LABEL)
        scan.mismatch(at=start)
    operator, modifier = found
    return Filter(target, operator, (value(scan),), negated, modifier)


def _word(scan: Scanner, name: str) -> bool:
    """Consume an operator with the dot behind it, or nothing."""
    start = scan.at
    if scan.take(name) and scan.take("."):
        return True
    scan.at = start
    return False


def _operator(scan: Scanner) -> tuple[str, str | None]:
    for names, modifier in (
        (SEARCH_OPERATORS, _language),
        (SIMPLE_OPERATORS, None),
        (QUANTIFIED_OPERATORS, _quantifier),
    ):
        if (name := next((name for name in names if scan.take(name)), None)) is not None:
            extra = scan.attempt(modifier) if modifier else None
            scan.expect(".", "delimiter (.)")
            return name, extra
    return scan.mismatch(OPERATOR_LABEL)


def _language(scan: Scanner) -> str:
    scan.expect("(")
    name = identifier(scan)
    scan.expect(")")
    return name


def _quantifier(scan: Scanner) -> str:
    scan.expect("(")
    name = "any" if scan.take("any") else "all"
    if name == "all":
        scan.expect("all")
    scan.expect(")")
    return name


def _is_value(scan: Scanner) -> str:
    for name in IS_VALUES:
        if scan.text[scan.at : scan.at + len(name)].lower() == name:
            scan.at += len(name)
            return name
    return scan.mismatch(IS_LABEL)


def _value_list(scan: Scanner) -> tuple[str, ...]:
    return _bracketed(scan, _element, lambda scan: scan.take(","))


def _bracketed(scan: Scanner, one: Callable[[Scanner], Item], more: Callable[[Scanner], bool]) -> tuple[Item, ...]:
    """Read ``(one,one,…)`` with blanks around the brackets; ``more`` takes what stands between two."""
    scan.skip_blanks()
    scan.expect("(")
    scan.skip_blanks()
    items = [one(scan)]
    while more(scan):
        items.append(one(scan))
    scan.skip_blanks()
    scan.expect(")")
    scan.skip_blanks()
    return tuple(items)


def _whole_quoted(scan: Scanner) -> str:
    value = quoted(scan)
    scan.expect_end(",", ")")
    return value


def _element(scan: Scanner) -> str:
    value = scan.attempt(_whole_quoted)
    return scan.take_until(",)") if value is None else value


def logic_path(scan: Scanner) -> tuple[tuple[str, ...], str]:
    """Read the left side of ``and``/``or``: embedded resources, and ``and``, ``or``, ``not.and`` or ``not.or``."""
    names = [field_name(scan)]
    while scan.take("."):
        names.append(field_name(scan))
    path = tuple(name for name in names[:-1] if name != "not")
    return path, f"not.{names[-1]}" if "not" in names else names[-1]


def logic_tree(scan: Scanner) -> Tree:
    """Read ``or(id.eq.1,not.and(…))`` or one condition of it."""
    condition = scan.attempt(_logic_filter)
    if condition is not None:
        return condition
    start = scan.at
    negated = scan.take("not") and scan.take(".")
    if not negated:
        scan.at = start
        scan.note("negation operator (not)")
    operator = next((name for name in ("and", "or") if scan.looking_at(name)), None)
    if operator is None:
        scan.mismatch("logic operator (and, or)")
    scan.at += len(operator)
    return Logic(operator, _bracketed(scan, logic_tree, comma), negated)


def _logic_filter(scan: Scanner) -> Filter:
    target = field(scan)
    scan.expect(".", "delimiter (.)")
    return _operation(scan, target, _logic_value)


def _logic_value(scan: Scanner) -> str:
    for rule in (_whole_quoted, _braced):
        value = scan.attempt(rule)
        if value is not None:
            return value
    return scan.take_until(",)")


def _braced(scan: Scanner) -> str:
    scan.expect("{")
    inside = scan.take_until("{}")
    scan.expect("}")
    return "{" + inside + "}"
