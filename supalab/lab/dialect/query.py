"""The typed query: what the grammar reads out of a query string, and what the store turns into SQL.

Everything here is immutable and hashable, so that a query that was parsed once can be kept in a cache.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "Embed",
    "Field",
    "Filter",
    "JsonStep",
    "Logic",
    "OrderTerm",
    "Query",
    "SelectField",
    "Span",
    "Tree",
]


@dataclass(frozen=True, slots=True)
class JsonStep:
    """One arrow of a JSON path: ``key`` is a name or an index; ``as_text`` tells ``->>`` from ``->``."""

    key: str | int
    as_text: bool


@dataclass(frozen=True, slots=True)
class Field:
    """A column, perhaps with a path into its JSON; the name ``*`` stands for all columns."""

    name: str
    path: tuple[JsonStep, ...] = ()


@dataclass(frozen=True, slots=True)
class SelectField:
    """One selected field, as in ``alias:field::cast`` or ``field.sum()::cast``."""

    field: Field
    alias: str | None = None
    cast: str | None = None
    aggregate: str | None = None
    aggregate_cast: str | None = None


@dataclass(frozen=True, slots=True)
class Embed:
    """One embedded resource, as in ``alias:name!hint!inner(items)``; ``spread`` for the form with three dots."""

    name: str
    items: tuple[SelectField | Embed, ...]
    alias: str | None = None
    hint: str | None = None
    inner: bool = False
    spread: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition, as in ``field=not.like(any).{a*,b*}``.

    ``operator`` is PostgREST's name; ``values`` holds one text, or the elements of ``in``; ``modifier`` is ``any``,
    ``all``, or the language of a full-text search.
    """

    field: Field
    operator: str
    values: tuple[str, ...]
    negated: bool = False
    modifier: str | None = None


@dataclass(frozen=True, slots=True)
class Logic:
    """``and(…)`` or ``or(…)`` over conditions, negated by ``not.``."""

    operator: str
    children: tuple[Filter | Logic, ...]
    negated: bool = False


Tree = Filter | Logic


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """One sort key; ``nulls_first`` None means PostgreSQL's default: last when ascending, first when descending."""

    field: Field
    descending: bool = False
    nulls_first: bool | None = None
    relation: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Rows ``lower`` to ``upper``, both counted from 0 and included; ``upper`` None means to the end."""

    lower: int = 0
    upper: int | None = None

    @property
    def empty(self) -> bool:
        """Whether no row can lie in it."""
        return self.upper is not None and self.upper < self.lower

    @property
    def limit(self) -> int | None:
        """How many rows fit into it."""
        return None if self.upper is None else self.upper - self.lower + 1

    def meet(self, other: Span) -> Span:
        """Return the rows that are in both; an empty meeting is always the same empty span."""
        if self.empty or other.empty:
            return EMPTY
        uppers = [span.upper for span in (self, other) if span.upper is not None]
        met = Span(max(self.lower, other.lower), min(uppers) if uppers else None)
        return EMPTY if met.empty else met


ALL = Span()
EMPTY = Span(1, 0)
NOTHING = Span(0, -1)  # what limit=0 asks for: allowed, and without any row


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query string, typed.

    Paths name the embedded resource that a part belongs to; the empty path is the table itself.
    """

    select: tuple[SelectField | Embed, ...] = (SelectField(Field("*")),)
    filters: tuple[tuple[tuple[str, ...], Filter], ...] = ()
    logic: tuple[tuple[tuple[str, ...], Logic], ...] = ()
    order: tuple[tuple[tuple[str, ...], tuple[OrderTerm, ...]], ...] = ()
    spans: tuple[tuple[tuple[str, ...], Span], ...] = ()
    columns: tuple[str, ...] | None = None
    on_conflict: tuple[str, ...] | None = None
    arguments: tuple[tuple[str, str], ...] = ()
    filter_names: frozenset[str] = field(default_factory=frozenset)
    canonical: str = ""

    @property
    def span(self) -> Span:
        """The rows that ``limit`` and ``offset`` ask of the table itself."""
        return next((span for path, span in self.spans if not path), ALL)

    @property
    def conditions(self) -> tuple[Tree, ...]:
        """The conditions on the table itself, all of which must hold."""
        own = [item for path, item in self.filters if not path]
        return (*own, *[item for path, item in self.logic if not path])

    @property
    def sort(self) -> tuple[OrderTerm, ...]:
        """The sort keys of the table itself."""
        return next((terms for path, terms in self.order if not path), ())
