"""Check the numbers of a table with Little's law: requests in flight = throughput x time of each. Pure.

The law needs no model and always holds for a burst that starts and ends with no request in flight. So if two of the
three numbers do not give the third, one of them is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TypeAlias

from supalab.errors import SettingsError
from supalab.report.format import stated
from supalab.report.table import Column, Content, Table

#: Two numbers agree if they differ by no more than this part of the smaller one.
TOLERANCE = 0.15
WORDS = {"limit": "limit", "response": "response_s", "rate": "per_s", "n": "n", "total": "total_s"}
LACK = "Too few numbers: give at least two of response time, throughput (or n and total) and limit."
#: Findings: numbers ``agree``, ``imply`` something, ``contradict`` each other, or are lacking; and a sentence.
Said: TypeAlias = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Row:
    """One column of a blog's table, with any of: seconds, requests per second, counts. Raises SettingsError.

    ``limit``: requests in flight at most; ``response_s``: service time of one request; ``per_s``: throughput; ``n``
    requests at once took ``total_s``.
    """

    limit: float | None = None
    response_s: float | None = None
    per_s: float | None = None
    n: float | None = None
    total_s: float | None = None

    def __post_init__(self) -> None:
        for part in fields(self):
            value = getattr(self, part.name)
            if value is not None and not 0 < value < math.inf:
                raise SettingsError(f"{part.name} {value!r} is not a number above 0: leave out what the table lacks")

    @property
    def burst(self) -> float | None:
        """Requests per second of the burst."""
        return self.n / self.total_s if self.n and self.total_s else None

    @property
    def rate(self) -> float | None:
        """Requests per second: the given number, else that of the burst."""
        return self.per_s or self.burst


def row_of(words: str) -> Row:
    """Read any part of ``limit=3,response=450ms,rate=6.7,n=100,total=15``; times are in seconds unless in ``ms``."""
    given: dict[str, float] = {}
    for part in words.split(","):
        name, _, text = (piece.strip() for piece in part.partition("="))
        if name not in WORDS or WORDS[name] in given:
            raise SettingsError(f"{part.strip()!r} in {words!r}: write each of {', '.join(WORDS)} once, e.g. limit=3")
        try:
            given[WORDS[name]] = float(text.removesuffix("ms")) / (1000 if text.endswith("ms") else 1)
        except ValueError:
            raise SettingsError(f"{part.strip()!r} in {words!r}: it is not a number, e.g. 0.45 or 450ms") from None
    return Row(**given)


def blog_table(before: Row, after: Row | None = None) -> Table:
    """Say what a table's numbers imply and which of them contradict each other, in and between its two columns."""
    columns = {"before": before, "after": after} if after else {"table": before}
    rows: list[list[Content]] = []
    for name, row in columns.items():
        rows += [[name, kind, sentence] for kind, sentence in [*_burst(row), *_slots(row)] or [("lack", LACK)]]
    if after:
        rows += [["both", kind, sentence] for kind, sentence in _between(before, after)]
    return Table(["column", Column("numbers", width=10), Column("what follows", wide=True)], rows)


def _burst(row: Row) -> Said:
    """Compare the throughput with that of the burst."""
    if row.per_s and row.n and row.total_s and row.burst:
        said = f"{row.n:g} requests in {stated(row.total_s)} are {row.burst:.3g} per second"
        if _alike(row.burst, row.per_s):
            yield "agree", f"{said}, as stated ({row.per_s:g})."
        else:
            yield "contradict", f"{said}, but {row.per_s:g} are stated: the numbers cannot come from one run."


def _slots(row: Row) -> Said:
    """Compare the limit with the number in flight that rate and response imply; or find what two of them imply."""
    rate, response, limit = row.rate, row.response_s, row.limit
    if rate and response:
        yield from _in_slots(row, rate, response)
    elif response and limit:
        most = f"{limit:g} in flight of {stated(response)} each give {limit / response:.3g} per second at most"
        time = f", so {row.n:g} requests take {stated(_full_s(row.n, limit, response))} at least" if row.n else ""
        yield "imply", f"{most}{time}."
    elif rate and limit:
        said = f"{rate:.3g} per second through {limit:g} slots: if all slots are always busy, a request takes "
        yield "imply", f"{said}{stated(limit / rate)}; if it takes less, some slots are idle."


def _in_slots(row: Row, rate: float, response: float) -> Said:
    busy, limit = rate * response, row.limit
    said = f"{rate:.3g} per second of {stated(response)} each are {busy:.2g} in flight"
    if limit is None:
        yield "imply", f"{said}."
        return
    full_s = _full_s(row.n or 0, limit, response)
    # A burst whose last wave is not full has fewer requests in flight on average than slots; this is not a
    # contradiction.
    sound = row.burst and row.total_s and _alike(row.total_s, full_s)
    if sound or _alike(busy, limit):
        yield "agree", f"{said}: the limit of {limit:g} is the bottleneck."
    elif busy > limit:
        yield "contradict", f"{said}, more than the limit of {limit:g} allows."
    else:
        yield "imply", f"{said}: a limit of {limit:g} is not the bottleneck."
        if row.n and row.total_s and row.n > limit:
            full = f"{row.n:g} at once keep {limit:g} in flight: {limit / response:.3g} per second, done in "
            full += f"{stated(full_s)}, not {stated(row.total_s)}; or each request took {stated(limit / rate)}"
            yield "contradict", f"{full} and not what is stated."


def _between(before: Row, after: Row) -> Said:
    """Split the gain in throughput into more requests in flight and less time for each."""
    if before.rate and after.rate and before.response_s and after.response_s:
        faster, sooner = after.rate / before.rate, before.response_s / after.response_s
        wider = faster / sooner
        parts = f"{wider:.2g}x because more requests are in flight and {sooner:.2g}x because each takes less time"
        yield "imply", f"Throughput is {faster:.2g}x: {parts}."
        part = after.limit / before.limit if before.limit and after.limit else 1.0
        if not _alike(part, 1) and _alike(wider, 1):
            yield "imply", f"The limit is {part:.2g}x, but it had no effect: no more requests were in flight."


def _full_s(requests: float, limit: float, response: float) -> float:
    """Seconds of a burst that keeps all its slots taken."""
    return math.ceil(requests / limit) * response


def _alike(one: float, other: float) -> bool:
    return max(one, other) <= min(one, other) * (1 + TOLERANCE)
