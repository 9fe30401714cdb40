"""Make the conditions on rows that every method takes as ``filters=``: ``{"prize": gte(1000)}``. Pure.

A plain value means *equal*, ``None`` means *is null*, a list of filters on one column means *all of them*::

    {"host": "kaggle", "prize": [gte(1000), lt(5000)]}      both columns must fit
    any_of({"host": "kaggle"}, {"prize": gte(10_000)})      one of the two is enough
    {"status": ~in_(["closed", "cancelled"])}               ~ negates
    {"title": any_value(ilike, ["*cup*", "*prize*"])}       one of several patterns
    {"data->owner->>name": "Ann"}                           a path into a JSON column
    {"owners.name": "Ann"}                                  a column of an embedded resource

A name may contain any characters. If it contains a dot or an arrow, put it in double quotes: ``{quoted("v1.2"): 3}``.
``query_values.py`` writes the conditions into a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from supalab.errors import SettingsError, shown
from supalab.query_values import Condition, On, Scalar, json_bytes, listed, members_of, text_of
from supalab.query_values import Filter as Filter
from supalab.query_values import Filters as Filters
from supalab.query_values import Group as Group
from supalab.query_values import quoted as quoted

#: The operators that PostgREST takes with (any) and (all).
QUANTIFIED = {"eq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch"}


def _group(joined_by: Literal["or", "and"], groups: tuple[Mapping[str, Condition] | Group, ...]) -> Group:
    members: list[On | Group] = []
    for part in groups:
        inner = members_of(part)
        if not inner and joined_by == "or":
            raise SettingsError(f"any_of(…, {shown(part)}): without a condition this part fits every row; leave it out")
        # Several columns in one mapping form one group: inside an "or" the group needs its own parentheses.
        members += [Group("and", tuple(inner))] if joined_by == "or" and len(inner) > 1 else inner
    if not members:
        raise SettingsError("any_of() and all_of() need at least one condition")
    return Group(joined_by, tuple(members))


def any_of(*groups: Mapping[str, Condition] | Group) -> Group:
    """At least one of the groups must fit."""
    return _group("or", groups)


def all_of(*groups: Mapping[str, Condition] | Group) -> Group:
    """All groups must fit; an empty group fits every row. Useful inside ``any_of`` and with ``~``."""
    return _group("and", groups)


def eq(value: Scalar) -> Filter:
    """Equal."""
    return Filter("eq", text_of(value))


def neq(value: Scalar) -> Filter:
    """Not equal; rows with NULL do not fit (with ``distinct_from`` they do)."""
    return Filter("neq", text_of(value))


def gt(value: Scalar) -> Filter:
    """Greater than."""
    return Filter("gt", text_of(value))


def gte(value: Scalar) -> Filter:
    """Greater than or equal."""
    return Filter("gte", text_of(value))


def lt(value: Scalar) -> Filter:
    """Less than."""
    return Filter("lt", text_of(value))


def lte(value: Scalar) -> Filter:
    """Less than or equal."""
    return Filter("lte", text_of(value))


def like(pattern: str) -> Filter:
    """Fits a pattern: ``*`` or ``%`` any text, ``_`` one character, a backslash takes the next one literally.

    Pass text that is not a pattern through ``literally``: ``like(literally(typed) + "*")`` begins with it.
    """
    return Filter("like", text_of(pattern))


def ilike(pattern: str) -> Filter:
    """As ``like``, ignoring upper and lower case."""
    return Filter("ilike", text_of(pattern))


def literally(text: str) -> str:
    """Return ``text`` as a part of a ``like`` pattern, in which no character is a wildcard.

    PostgREST turns every ``*`` into ``%``, escaped or not, so a star becomes ``_``, which fits any one character; if
    that is not exact enough, use ``match``.
    """
    return re.sub(r"[\\%_]", r"\\\g<0>", text_of(text)).replace("*", "_")


def match(pattern: str) -> Filter:
    """Fits a regular expression (PostgreSQL's ``~``)."""
    return Filter("match", text_of(pattern))


def imatch(pattern: str) -> Filter:
    """As ``match``, ignoring upper and lower case."""
    return Filter("imatch", text_of(pattern))


def is_(value: bool | Literal["unknown", "not_null"] | None) -> Filter:
    """Is null, true, false, unknown or not null."""
    word = "null" if value is None else str(value).lower() if isinstance(value, (str, bool)) else ""
    if word not in {"null", "true", "false", "unknown", "not_null"}:
        raise SettingsError(f"is_({shown(value)}): use None, True, False, 'unknown' or 'not_null'")
    return Filter("is", word, "word")


def distinct_from(value: Scalar) -> Filter:
    """Not equal, where NULL counts as a value."""
    return Filter("isdistinct", text_of(value))


def in_(values: Iterable[Scalar]) -> Filter:
    """One of these values."""
    texts = [text_of(value) if type(value) is int else quoted(text_of(value)) for value in listed("in_", values)]
    if texts == ['""']:
        texts *= 2  # PostgREST takes in.("") for the empty list, which fits nothing
    return Filter("in", f"({','.join(texts)})", "list")


def any_value(condition: Callable[[Any], Filter], values: Iterable[Scalar]) -> Filter:
    """The condition holds for at least one of the values: ``any_value(ilike, ["*cup*", "*prize*"])``."""
    return _quantified("any", condition, values)


def every_value(condition: Callable[[Any], Filter], values: Iterable[Scalar]) -> Filter:
    """The condition holds for each of the values: ``every_value(like, ["A*", "*z"])``."""
    return _quantified("all", condition, values)


def _quantified(word: str, condition: Callable[[Any], Filter], values: Iterable[Scalar]) -> Filter:
    each = [condition(value) for value in listed(word, values)] if callable(condition) else []
    operators = {one.operator for one in each if isinstance(one, Filter) and not one.negated} & QUANTIFIED
    if len(operators) != 1 or not all(one.operator in operators for one in each):
        raise SettingsError(f"{word} of {shown(values)}: give one of eq, gt, gte, lt, like, … and a list of values")
    return Filter(f"{operators.pop()}({word})", _array(one.operand for one in each))


def contains(value: object) -> Filter:
    """An array or JSON column contains all of these (``@>``): a list for an array, a mapping for JSON.

    Text is sent unchanged: a JSON list is written ``'["a"]'``, a range ``[1,5)``.
    """
    return Filter("cs", _container(value))


def contained_by(value: object) -> Filter:
    """An array or JSON column contains no other values than these (``<@``); values as for ``contains``."""
    return Filter("cd", _container(value))


def overlaps(values: Iterable[Scalar]) -> Filter:
    """An array column shares at least one of these (``&&``); for a range column pass a text such as ``[1,5)``."""
    return Filter("ov", _container(values))


def strictly_left(range_: str) -> Filter:
    """A range column ends before this range begins (``<<``); a range is written ``[1,5)``."""
    return Filter("sl", text_of(range_))


def strictly_right(range_: str) -> Filter:
    """A range column begins after this range ends (``>>``)."""
    return Filter("sr", text_of(range_))


def not_right_of(range_: str) -> Filter:
    """A range column does not reach beyond this range's end (``&<``)."""
    return Filter("nxr", text_of(range_))


def not_left_of(range_: str) -> Filter:
    """A range column does not reach before this range's beginning (``&>``)."""
    return Filter("nxl", text_of(range_))


def adjacent(range_: str) -> Filter:
    """A range column touches this range, with nothing between or in common (``-|-``)."""
    return Filter("adj", text_of(range_))


def text_search(query: str, *, config: str | None = None, kind: Literal["", "pl", "ph", "w"] = "") -> Filter:
    """Full-text search; ``kind`` as PostgREST has it: ``pl`` plain, ``ph`` phrase, ``w`` as in a web search."""
    if config is not None and not (isinstance(config, str) and config.isidentifier()):
        raise SettingsError(f"config {shown(config)} is not a text search configuration such as 'english'")
    if not isinstance(kind, str) or kind not in ("", "pl", "ph", "w"):
        raise SettingsError(f"kind {shown(kind)} is not a kind of text search: use '', 'pl', 'ph' or 'w'")
    return Filter(f"{kind}fts" + (f"({config})" if config else ""), text_of(query))


def _container(value: object) -> str:
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, Mapping):
        return text_of(json_bytes(value, "a filter's value").decode())
    return _array(text_of(one) for one in listed("a container", value))


def _array(texts: Iterable[str]) -> str:
    return "{" + ",".join(map(quoted, texts)) + "}"
