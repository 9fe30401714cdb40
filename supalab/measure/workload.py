"""``Workload`` says what a trial does: how many requests, by how many callers, with which query. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from supalab.errors import SettingsError

__all__ = ["Workload"]

#: More is surely a slip of the finger, or milliseconds that were given for seconds.
MOST, MOST_ROWS, LONGEST_S = 100_000, 1_000_000, 30.0


@dataclass(frozen=True, slots=True)
class Workload:
    """The requests of a trial: how many, by how many callers at once, with which query, at which latency.

    ``latency``: seconds the lab takes for each request, ``None`` for a real project, where it is unknown. ``callers``:
    number of callers that each send the next request after a response; ``None``: all requests at once. ``table``,
    ``columns``, ``limit``: the query; ``limit`` is the rows per request, ``None`` for all. Raises SettingsError with
    the value and what to do.
    """

    requests: int = 100
    latency: float | None = 0.15
    callers: int | None = None
    table: str = "contests"
    columns: str = "*"
    limit: int | None = 10

    def __post_init__(self) -> None:
        _check_count("requests", self.requests, MOST, "a trial needs at least 1 request")
        if self.callers is not None:
            _check_count("callers", self.callers, MOST, "use at least 1 caller, or None for all at once")
        if self.limit is not None:
            _check_count("limit", self.limit, MOST_ROWS, "ask for at least 1 row, or None for all")
        if self.latency is not None:
            object.__setattr__(self, "latency", _seconds(self.latency))
        for name in ("table", "columns"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise SettingsError(f"{name} {getattr(self, name)!r} is empty or not text: name what to select")

    def width(self, limit: int) -> int:
        """Return how many requests an arm of this limit can have in flight here."""
        return min(limit, self.requests, self.callers or self.requests)

    def ideal_s(self, limit: int) -> float | None:
        """Return the total time in seconds if only latency took time; ``None`` if the latency is unknown."""
        if self.latency is None:
            return None
        return math.ceil(self.requests / self.width(limit)) * self.latency


def _check_count(name: str, value: object, most: int, cure: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(f"{name} {value!r} is not a whole number from 1: {cure}")
    if value > most:
        raise SettingsError(f"{name} {value!r} is too large: use at most {most:,}")


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise SettingsError(f"latency {value!r} is not a number of seconds from 0: use e.g. 0.15")
    if value > LONGEST_S:
        raise SettingsError(f"latency {value!r} is more than {LONGEST_S:.0f}: it is in seconds, so 150 ms are 0.15")
    return float(value)
