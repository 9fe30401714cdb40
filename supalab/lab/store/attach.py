"""What belongs to rows: rows with their keys flow in, the same rows with their embedded resources in them flow out."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from supalab.lab.store.outputs import shape_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from supalab.lab.store.database import Store
    from supalab.lab.store.embedding import Joined
    from supalab.lab.store.outputs import Row

__all__ = ["attach_embeds", "key_columns"]

_AT_ONCE = 300  # keys in one statement

Key = tuple[Any, ...]


def key_columns(joins: Sequence[Joined]) -> list[str]:
    """Return the owner's columns that its embedded resources are found by, in the order ``attach_embeds`` wants."""
    return [name for join in joins for name in join.relation.own_columns]


def attach_embeds(store: Store, joins: Sequence[Joined], rows: Sequence[Row], keys: Sequence[Key]) -> None:
    """Put what is embedded into each row; ``keys`` has, for each row, its values of ``key_columns``."""
    start = 0
    for join in joins:
        end = start + len(join.relation.own_columns)
        own = [tuple(key[start:end]) for key in keys]
        found = _fetch(store, join, {key for key in own if None not in key})
        for row, key in zip(rows, own, strict=True):
            _put(row, join, found.get(key, []))
        start = end


def _fetch(store: Store, join: Joined, keys: Iterable[Key]) -> dict[Key, list[Row]]:
    waiting = sorted(keys)
    found: dict[Key, list[Row]] = defaultdict(list)
    shown, size = len(join.outputs), len(join.relation.its_columns)
    mark = f"({', '.join('?' * size)})"
    for start in range(0, len(waiting), _AT_ONCE):
        some = waiting[start : start + _AT_ONCE]
        sql = f"{join.fetch[0]}(VALUES {', '.join([mark] * len(some))}){join.order[0]}"
        bound = (*join.fetch[1], *[value for key in some for value in key], *join.order[1])
        stored = store.rows(sql, bound)
        shaped = shape_rows(join.outputs, join.converting, stored)
        attach_embeds(store, join.joins, shaped, [row[shown : len(row) - size] for row in stored])
        for row, kept in zip(stored, shaped, strict=True):
            found[row[-size:]].append(kept)
    span = join.span
    if span.lower <= 0 and span.upper is None:
        return found
    end = None if span.upper is None else max(span.upper + 1, 0)
    return {key: group[max(span.lower, 0) : end] for key, group in found.items()}


def _put(row: Row, join: Joined, group: list[Row]) -> None:
    if not join.embed.items:
        return  # "other()" only filters
    if join.embed.spread:
        names = list(group[0]) if group else [output.name for output in join.outputs]
        one = group[0] if group else {}
        row.update({name: one.get(name) if join.relation.to_one else [item[name] for item in group] for name in names})
    elif join.relation.to_one:
        row[join.name] = group[0] if group else None
    else:
        row[join.name] = group
