"""Little's law, in flight = throughput times time: a trial or a blog's table goes in, what agrees comes out. Pure.

The law needs no model and has no exceptions for a burst that starts and ends empty. So when a client's own
throughput and service time do not give the number in flight that the lab saw, one of the three is wrong.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, fields
from typing import Literal

from supalab.errors import SettingsError
from supalab.measure.trial import Trial
from supalab.report.format import stated

__all__ = [
    "Finding", "Reading", "Row", "blog_table", "in_flight", "law", "mean_in_flight", "row_of", "seconds_each",
    "throughput",
]  # fmt: skip


def in_flight(throughput: float, seconds: float) -> float:
    """Return the mean number in flight for so many requests per second of so many seconds each."""
    return throughput * seconds


def throughput(in_flight: float, seconds: float) -> float:
    """Return the requests per second that so many in flight give, at so many seconds each."""
    return in_flight / seconds


def seconds_each(in_flight: float, throughput: float) -> float:
    """Return the seconds each request takes, with so many in flight at so many per second."""
    return in_flight / throughput


def mean_in_flight(trial: Trial) -> float | None:
    """Return how many requests the lab saw in flight on average over the makespan; ``None`` if not witnessed."""
    if trial.witness is None or trial.makespan_s <= 0:
        return None
    return trial.witness.busy_s / trial.makespan_s


def law(trial: Trial) -> float | None:
    """Return throughput times mean service time over the mean in flight that the lab saw: 1 when they agree.

    All requests that took a slot count, failed ones too, as the lab saw them too. Above 1 by what is
    done beside the latency, by the client above all; below 1 when the lab was busy for longer than the client says
    it was served. ``None`` if nothing was witnessed or no slot is known.
    """
    seen = mean_in_flight(trial)
    services = [span.service for span in trial.spans if span.service is not None]
    if not seen or not services:
        return None
    mean_service = sum(services) / len(services)
    return in_flight(len(services) / trial.makespan_s, mean_service) / seen


@dataclass(frozen=True, slots=True)
class Row:
    """One column of a blog's table: whatever it gives; seconds, requests a second, counts. Raises SettingsError.

    ``limit``: requests in flight at most; ``response_s``: of one request, from its slot on; ``per_s``: throughput;
    ``n`` requests asked for at once took ``total_s``.
    """

    limit: float | None = None
    response_s: float | None = None
    per_s: float | None = None
    n: float | None = None
    total_s: float | None = None

    def __post_init__(self) -> None:
        for part in fields(self):
            value = getattr(self, part.name)
            good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if value is not None and (not good or value <= 0):
                raise SettingsError(f"{part.name} {value!r} is not a number above 0: leave out what the table lacks")

    @property
    def rate(self) -> float | None:
        """Requests a second: as given, else those of the burst."""
        return self.per_s or (self.n / self.total_s if self.n and self.total_s else None)


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about a column: its figures ``agree``, ``imply`` something, ``contradict`` each other, or lack."""

    kind: Literal["agree", "imply", "contradict", "lack"]
    column: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a table says by Little's law; ``str`` of it is a line for each finding."""

    findings: tuple[Finding, ...]

    @property
    def contradictions(self) -> tuple[Finding, ...]:
        """What cannot be true together."""
        return tuple(found for found in self.findings if found.kind == "contradict")

    def __str__(self) -> str:
        wide = max(len(found.column) for found in self.findings)
        heads = [f"{found.column:<{wide}}  {found.kind:<10}  " for found in self.findings]
        lines = zip(heads, (found.sentence for found in self.findings), strict=True)
        return "\n".join(
            textwrap.fill(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) for head, text in lines
        )


WIDTH = 100
WORDS = {"limit": "limit", "response": "response_s", "rate": "per_s", "n": "n", "total": "total_s"}


def row_of(words: str) -> Row:
    """Read ``limit=3,response=450ms,rate=6.7,n=100,total=15``, any part of it; seconds unless ``ms`` is said."""
    given: dict[str, float] = {}
    for part in words.split(","):
        name, _, text = (piece.strip() for piece in part.partition("="))
        if name not in WORDS or WORDS[name] in given:
            raise SettingsError(f"{part.strip()!r} in {words!r}: write each of {', '.join(WORDS)} once, e.g. limit=3")
        try:
            given[WORDS[name]] = float(text.removesuffix("ms")) / 1000 if text.endswith("ms") else float(text)
        except ValueError:
            raise SettingsError(f"{part.strip()!r} in {words!r}: it is not a number, e.g. 0.45 or 450ms") from None
    return Row(**given)


def blog_table(before: Row, after: Row | None = None, *, tolerance: float = 0.15) -> Reading:
    """Say what a table's figures imply and which contradict each other, column by column and between the two.

    ``tolerance``: how far apart two figures may be, as a part of the smaller, and still agree.
    """
    if not 0 <= tolerance < 1:
        raise SettingsError(f"tolerance {tolerance!r} is not a share from 0 to 1: use e.g. 0.15")
    found = _column("before" if after else "table", before, tolerance)
    if after:
        found += _column("after", after, tolerance) + _between(before, after, tolerance)
    return Reading(tuple(found))


def _column(name: str, row: Row, tolerance: float) -> list[Finding]:
    said = [*_burst(name, row, tolerance), *_slots(name, row, tolerance)]
    lack = "Too little is given: it takes two of response time, throughput (or n and total) and limit."
    return said or [Finding("lack", name, lack)]


def _burst(name: str, row: Row, tolerance: float) -> list[Finding]:
    """Compare the throughput with that of the burst."""
    if not (row.per_s and row.n and row.total_s):
        return []
    burst = row.n / row.total_s
    said = f"{row.n:g} requests in {stated(row.total_s)} are {burst:.3g} a second"
    if _alike(burst, row.per_s, tolerance):
        return [Finding("agree", name, f"{said}, as stated ({row.per_s:g}).")]
    return [Finding("contradict", name, f"{said}, but {row.per_s:g} are stated: they are not of one run.")]


def _slots(name: str, row: Row, tolerance: float) -> list[Finding]:
    """Compare the number in flight that rate and response imply with the limit; or say what two of them imply."""
    rate = row.rate
    if row.response_s and rate:
        return _in_slots(name, row, rate, in_flight(rate, row.response_s), tolerance)
    if row.limit and row.response_s:
        most = throughput(row.limit, row.response_s)
        said = f"{row.limit:g} in flight of {stated(row.response_s)} each give {most:.3g} a second at most"
        time = f", so {row.n:g} requests take {stated(_time(row))} at least" if row.n else ""
        return [Finding("imply", name, f"{said}{time}.")]
    if row.limit and rate:
        each = seconds_each(row.limit, rate)
        said = (
            f"{rate:.3g} a second through {row.limit:g} slots: if all are always taken, a request takes {stated(each)}"
        )
        return [Finding("imply", name, f"{said}; if it takes less, they are not.")]
    return []


def _in_slots(name: str, row: Row, rate: float, busy: float, tolerance: float) -> list[Finding]:
    said = f"{rate:.3g} a second of {stated(row.response_s or 0.0)} each are {busy:.2g} in flight"
    if row.limit is None:
        return [Finding("imply", name, f"{said}.")]
    # A burst that does not fill its last round has less in flight on average than its slots, and is sound all the same.
    sound = row.n and row.total_s and _alike(row.total_s, _time(row), tolerance)
    if sound or _alike(busy, row.limit, tolerance):
        return [Finding("agree", name, f"{said}: the limit of {row.limit:g} is what held it back.")]
    if busy > row.limit:
        return [Finding("contradict", name, f"{said}, more than the limit of {row.limit:g} allows.")]
    found = [Finding("imply", name, f"{said}: a limit of {row.limit:g} is not what held it back.")]
    if row.n and row.total_s and row.n > row.limit:
        full = throughput(row.limit, row.response_s or 1.0)
        would = f"{row.n:g} at once keep {row.limit:g} in flight: {full:.3g} a second, done in {stated(_time(row))}"
        each = stated(seconds_each(row.limit, rate))
        found.append(
            Finding(
                "contradict", name, f"{would}, not {stated(row.total_s)}; or each took {each} and not what is stated."
            )
        )
    return found


def _between(before: Row, after: Row, tolerance: float) -> list[Finding]:
    """Take the gain in throughput apart: more in flight, times less time each."""
    old, new = before.rate, after.rate
    if not (old and new and before.response_s and after.response_s):
        return []
    faster, sooner = new / old, before.response_s / after.response_s
    wider = faster / sooner
    parts = f"{wider:.2g}x by more in flight and {sooner:.2g}x by less time for each"
    found = [Finding("imply", "both", f"Throughput is {faster:.2g}x: {parts}.")]
    if before.limit and after.limit and not _alike(after.limit / before.limit, 1, tolerance):
        part = after.limit / before.limit
        if _alike(wider, 1, tolerance):
            idle = f"The limit, {part:.2g}x, had no part in it: nothing more was in flight."
            found.append(Finding("imply", "both", idle))
    return found


def _time(row: Row) -> float:
    """Seconds of a burst that keeps all its slots taken."""
    return math.ceil((row.n or 0) / (row.limit or 1)) * (row.response_s or 0.0)


def _alike(one: float, other: float, tolerance: float) -> bool:
    return max(one, other) <= min(one, other) * (1 + tolerance)
