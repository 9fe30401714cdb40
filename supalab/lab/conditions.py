"""The options of a lab and the conditions that it simulates: delays, jitter, round trips, TLS, errors."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from supalab.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_MAX_IN_FLIGHT", "Conditions", "LiveConditions", "ServeOptions"]

# More than this is surely milliseconds given for seconds.
LONGEST = 3600.0
DEFAULT_MAX_IN_FLIGHT = 5_000


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions that the lab simulates for each request; all times in seconds.

    ``latency`` is the time that every request takes at the server, varied by up to ± ``jitter`` (uniform, never below
    0). ``rtt`` is the simulated round-trip time of *new* connections: bytes take half of it each way, and opening a
    connection takes one more round trip. ``tls`` makes new connections use TLS. ``error_rate`` is the share of
    requests, 0 to 1, that fail with a 503.

    Raises SettingsError for a value that cannot be simulated.
    """

    latency: float = 0.0
    jitter: float = 0.0
    rtt: float = 0.0
    tls: bool = False
    error_rate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("latency", "jitter", "rtt"):
            cure = f"give seconds, from 0 to {LONGEST:.0f} (150 ms is 0.15)"
            object.__setattr__(self, name, _checked(name, getattr(self, name), LONGEST, cure))
        share = _checked("error_rate", self.error_rate, 1.0, "give a share from 0 to 1 (5 % is 0.05)")
        object.__setattr__(self, "error_rate", share)
        if not isinstance(self.tls, bool):
            raise SettingsError(f"tls is {self.tls!r}: it must be True or False")

    def changed(self, changes: Mapping[str, object]) -> Conditions:
        """Return these conditions with ``changes`` made; raises SettingsError for an unknown name or a bad value."""
        known = [one.name for one in fields(self)]
        for name in changes:
            if name not in known:
                raise SettingsError(f"there is no condition {name!r}: choose from {', '.join(known)}")
        return Conditions(**{**asdict(self), **changes})

    def as_json(self) -> dict[str, object]:
        """Return the conditions as JSON's values; ``Conditions(**them)`` makes them again."""
        return asdict(self)


def _checked(name: str, value: float, high: float, cure: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= high:
        raise SettingsError(f"{name} is {value!r}: {cure}")
    return float(value)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options that a lab is started with; they are sent to the child process as JSON.

    ``port`` 0 means any free port. ``seed`` is a ``.csv`` or ``.sql`` file to serve instead of the shipped contests.
    ``random_seed`` is the random seed for jitter and error rate. ``max_in_flight`` is how many requests the lab accepts
    at once before it answers 503. Raises SettingsError with the value and what to write instead.
    """

    port: int = 0
    conditions: Conditions = field(default_factory=Conditions)
    seed: Path | None = None
    random_seed: int = 0
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT

    def __post_init__(self) -> None:
        _check_whole("port", self.port, 0, 65_535, "give 0 for any free port")
        _check_whole("max_in_flight", self.max_in_flight, 1, 1_000_000, "it is how many requests are taken at once")
        if isinstance(self.random_seed, bool) or not isinstance(self.random_seed, int):
            raise SettingsError(f"random_seed is {self.random_seed!r}: give a whole number")
        if self.seed is not None:
            object.__setattr__(self, "seed", _checked_seed(Path(self.seed)))

    def as_json(self) -> dict[str, object]:
        """Return the options as JSON's values."""
        return {**asdict(self), "seed": None if self.seed is None else str(self.seed)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ServeOptions:
        """Make the options again from what ``as_json`` gave."""
        return cls(**{**values, "conditions": Conditions(**values["conditions"])})


def _check_whole(name: str, value: object, low: int, high: int, cure: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SettingsError(f"{name} is {value!r}, not a whole number from {low} to {high}: {cure}")


def _checked_seed(seed: Path) -> Path:
    if not seed.is_file():
        wrong = f"seed {str(seed)!r} is not a file" if seed.exists() else f"seed file {str(seed)!r} is not there"
        raise SettingsError(f"{wrong}: give the path of a .csv or .sql file")
    try:
        seed.open("rb").close()
    except OSError as error:
        words = f"seed file {str(seed)!r} cannot be read ({error.strerror}): check its permissions"
        raise SettingsError(words) from None
    return seed.absolute()


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
        return max(0.0, now.latency + self._delays.uniform(-now.jitter, now.jitter)) if now.jitter else now.latency

    def fails(self) -> bool:
        """Return whether the next request is one of those that fail."""
        rate = self.conditions.error_rate
        return rate > 0 and self._failures.random() < rate
