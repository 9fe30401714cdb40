"""What a load is to be: words and numbers go in, checked once; a frozen plan comes out. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from supalab.errors import SettingsError
from supalab.load.schedule import MOST_PER_S, leavers, poisson

__all__ = ["Plan", "target"]

MOST_CALLERS = 1_000
LONGEST_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One load on one address: open arrivals (``rate`` a second) or closed ``callers``, one of the two.

    ``url``: the whole address with path and query; answers are GET's. ``duration``: seconds in which requests start.
    ``timeout``: seconds, from the intended start, after which a caller gives up: an outcome like another.
    ``leave_share`` of the callers (0 to 1) leave already after ``leave_after`` seconds; a crowd that comes besides, at
    ``crowd_rate`` from ``crowd_from`` to ``crowd_until`` seconds, leaves then to the last one. ``cap``: requests in
    flight at once, beyond which none is sent; those are outcomes too. ``headers`` go with each request; they and the
    url, whose query may hold a key, are never printed.

    Raises SettingsError for what cannot work.
    """

    url: str = field(repr=False)
    duration: float
    rate: float | None = None
    callers: int | None = None
    seed: int = 1
    timeout: float = 10.0
    leave_share: float = 0.0
    leave_after: float = 0.1
    crowd_rate: float | None = None
    crowd_from: float = 0.0
    crowd_until: float = 0.0
    cap: int = 2_000
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        _check_url(self.url)
        if (self.rate is None) == (self.callers is None):
            raise SettingsError("rate and callers: a load has open arrivals or closed callers, give one of them")
        if self.rate is not None:
            _check("rate", self.rate, MOST_PER_S, "requests a second")
        if self.callers is not None and not _whole(self.callers, MOST_CALLERS):
            raise SettingsError(f"callers {self.callers!r} is not a whole number from 1 to {MOST_CALLERS}")
        if self.crowd_rate is not None:
            _check("crowd_rate", self.crowd_rate, MOST_PER_S, "requests a second")
            if self.rate is None or not 0 <= self.crowd_from < self.crowd_until <= self.duration:
                raise SettingsError(
                    f"a crowd from {self.crowd_from!r} to {self.crowd_until!r} s does not fit into open arrivals of "
                    f"{self.duration!r} s"
                )
        for name in ("duration", "timeout", "leave_after"):
            _check(name, getattr(self, name), LONGEST_S, "seconds")
        if not 0 <= self.leave_share <= 1:
            raise SettingsError(f"leave_share {self.leave_share!r} is not a share from 0 to 1")
        if not _whole(self.cap, 100_000):
            raise SettingsError(f"cap {self.cap!r} is not a number of requests in flight from 1 to 100000")

    @property
    def arrivals(self) -> list[tuple[float, bool]]:
        """When open arrivals are meant to start, and whether that caller leaves early; in order of time."""
        times = poisson(self.rate or 0.0, self.duration, self.seed) if self.rate else ()
        found = list(zip(times, leavers(len(times), self.leave_share, self.seed), strict=True))
        if self.crowd_rate is not None:
            crowd = poisson(self.crowd_rate, self.crowd_until - self.crowd_from, self.seed + 1)
            found += [(self.crowd_from + at, True) for at in crowd]
        return sorted(found)

    @property
    def most_s(self) -> float:
        """The seconds after which the last request is over, answered or not."""
        return self.duration + self.timeout


def target(url: str, path: str) -> str:
    """Return where requests go: ``path``, which may have a query, below the service's address."""
    if "?" in url or "#" in url:
        # Not named: a query may hold a key.
        raise SettingsError("the url holds a query: give the service's address alone, and the query with --path")
    if not path.startswith("/"):
        raise SettingsError(f"path {path!r} does not begin with a slash: write e.g. /contests?size=10")
    return url.rstrip("/") + path


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        parts, good = urlsplit(""), False
    # Before anything may print the address: it may hold a password.
    if parts.username is not None or parts.password is not None:
        raise SettingsError("url holds a user name or password: leave it out of the address")
    if not good or not url.isprintable() or " " in url:
        raise SettingsError(
            f"url {url.partition('?')[0]!r} is not an http:// or https:// address, e.g. http://127.0.0.1:8000"
        )


def _check(name: str, value: float, most: float, unit: str) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not 0 < value <= most:
        raise SettingsError(f"{name} {value!r} is not a number of {unit} above 0 and up to {most:.0f}")


def _whole(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
