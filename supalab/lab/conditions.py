"""The conditions a lab plays: checked numbers, and from them a delay and a fate for each request."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from random import Random
from typing import TYPE_CHECKING

from supalab.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Conditions", "LiveConditions"]

# More than this is surely milliseconds given for seconds.
LONGEST = 3600.0


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a request meets in the lab; all times in seconds.

    ``latency`` is how long every request takes, give or take up to ``jitter`` (uniform, never below 0).
    ``rtt`` is the simulated round trip of *new* connections: bytes travel half of it each way, and a connection
    costs one more before its first bytes arrive. ``tls`` makes new connections speak TLS.
    ``error_rate`` is the share of requests, 0 to 1, that fail with a 503.

    Raises SettingsError for a value that cannot be played.
    """

    latency: float = 0.0
    jitter: float = 0.0
    rtt: float = 0.0
    tls: bool = False
    error_rate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("latency", "jitter", "rtt"):
            object.__setattr__(self, name, _checked_seconds(name, getattr(self, name)))
        object.__setattr__(self, "error_rate", _checked_share("error_rate", self.error_rate))
        if not isinstance(self.tls, bool):
            raise SettingsError(f"tls is {self.tls!r}: it must be True or False")

    def changed(self, changes: Mapping[str, object]) -> Conditions:
        """Return these conditions with ``changes`` made; raises SettingsError for an unknown name or a bad value."""
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                raise SettingsError(f"there is no condition {name!r}: choose from {', '.join(known)}")
        return Conditions(**{**asdict(self), **changes})

    def as_json(self) -> dict[str, object]:
        """Return the conditions as JSON's values; ``Conditions(**them)`` makes them again."""
        return asdict(self)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _checked_seconds(name: str, value: float) -> float:
    if not _is_number(value) or not 0 <= value <= LONGEST:
        raise SettingsError(f"{name} is {value!r}: give seconds, from 0 to {LONGEST:.0f} (150 ms is 0.15)")
    return float(value)


def _checked_share(name: str, value: float) -> float:
    if not _is_number(value) or not 0 <= value <= 1:
        raise SettingsError(f"{name} is {value!r}: give a share from 0 to 1 (5 % is 0.05)")
    return float(value)


class LiveConditions:
    """The conditions of the moment and the seeded chance in them; ``conditions`` may be replaced at any time.

    Delays and failures are drawn from two generators, so that changing the one law never shifts the other's sequence.
    """

    def __init__(self, conditions: Conditions, random_seed: int = 0) -> None:
        self.conditions = conditions
        self._random_seed = random_seed
        self.reseed()

    def reseed(self) -> None:
        """Start the sequences of chance again, so that the next trial meets what the last one met."""
        self._delays = Random(f"delays {self._random_seed}")
        self._failures = Random(f"failures {self._random_seed}")

    def delay(self) -> float:
        """Return how long the next request takes, in seconds."""
        now = self.conditions
        if not now.jitter:
            return now.latency
        return max(0.0, now.latency + self._delays.uniform(-now.jitter, now.jitter))

    def fails(self) -> bool:
        """Return whether the next request is one of those that fail."""
        rate = self.conditions.error_rate
        return rate > 0 and self._failures.random() < rate
