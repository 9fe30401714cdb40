"""The options of a lab and the conditions that it simulates: delays, jitter, round trips, TLS, errors."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from supalab.errors import LabError, SettingsError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

DEFAULT_MAX_IN_FLIGHT = 5_000
# A value above an hour is surely in milliseconds instead of seconds.
SECONDS = 3600.0, "give seconds, from 0 to 3600 (150 ms is 0.15)"
#: The largest value of each condition that is a number from 0, and what to write instead of an invalid value.
BOUNDS = {
    "latency": SECONDS,
    "jitter": SECONDS,
    "rtt": SECONDS,
    "error_rate": (1.0, "give a share from 0 to 1 (5 % is 0.05)"),
}


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
        for name, (most, cure) in BOUNDS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
                raise SettingsError(f"{name} is {value!r}: {cure}")
            object.__setattr__(self, name, float(value))
        if not isinstance(self.tls, bool):
            raise SettingsError(f"tls is {self.tls!r}: it must be True or False")

    def changed(self, changes: Mapping[str, Any]) -> Conditions:
        """Return these conditions with ``changes``; raises SettingsError for an unknown name or an invalid value."""
        known = [one.name for one in fields(self)]
        for name in changes:
            if name not in known:
                raise SettingsError(f"there is no condition {name!r}: choose from {', '.join(known)}")
        return replace(self, **changes)


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
        _check_whole("max_in_flight", self.max_in_flight, 1, 1_000_000, "the lab accepts so many requests at once")
        if isinstance(self.random_seed, bool) or not isinstance(self.random_seed, int):
            raise SettingsError(f"random_seed is {self.random_seed!r}: give a whole number")
        if self.seed is not None:
            object.__setattr__(self, "seed", _checked_seed(Path(self.seed)))


def _check_whole(name: str, value: object, low: int, high: int, cure: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SettingsError(f"{name} is {value!r}, not a whole number from {low} to {high}: {cure}")


def _checked_seed(seed: Path) -> Path:
    if not seed.is_file():
        raise SettingsError(f"seed {str(seed)!r} is not a file: give the path of a .csv or .sql file")
    try:
        seed.open("rb").close()
    except OSError as error:
        words = f"seed file {str(seed)!r} cannot be read ({error.strerror}): check its permissions"
        raise SettingsError(words) from None
    return seed.absolute()


class LiveConditions:
    """The current conditions with their random numbers, and the certificate once TLS has been switched on.

    Delays and failures are drawn from two generators, so that a change of one of them never shifts the other's
    sequence. With TLS, the certificate's authority is written to the file ``authority``.
    """

    tls: ssl.SSLContext | None = None

    def __init__(self, conditions: Conditions, random_seed: int = 0, authority: Path = Path("ca.pem")) -> None:
        self._random_seed, self._authority = random_seed, authority
        self.change(conditions)
        self.reseed()

    def change(self, conditions: Conditions) -> None:
        """Use ``conditions`` from now on; raises LabError, and changes nothing, if TLS has no certificate."""
        if conditions.tls and self.tls is None:
            self.tls = make_certificate(self._authority)
        self.conditions = conditions

    @property
    def ca_file(self) -> str | None:
        """The authority to trust while TLS is on."""
        return str(self._authority) if self.conditions.tls else None

    def reseed(self) -> None:
        """Start the random sequences again, so that the next trial gets the same delays and failures."""
        self._delays = Random(f"delays {self._random_seed}")
        self._failures = Random(f"failures {self._random_seed}")

    def delay(self) -> float:
        """Return how long the next request takes, in seconds."""
        now = self.conditions
        return max(0.0, now.latency + self._delays.uniform(-now.jitter, now.jitter)) if now.jitter else now.latency

    def fails(self) -> bool:
        """Return whether the next request fails because of the error rate."""
        rate = self.conditions.error_rate
        return rate > 0 and self._failures.random() < rate


def make_certificate(ca_file: Path) -> ssl.SSLContext:
    """Return a server's context with a fresh certificate for this machine; its authority is written to ``ca_file``.

    Raises LabError if the file cannot be written.
    """
    # Loaded here because most labs do not use TLS and should start fast.
    import ssl

    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    try:
        authority = trustme.CA(organization_name="supalab")
        # This writes a file for a moment too, because Python can read a key only from files.
        authority.issue_cert("127.0.0.1", "localhost", organization_name="supalab").configure_cert(context)
        authority.cert_pem.write_to_path(str(ca_file))
    except OSError as error:
        raise LabError(
            f"the certificate's authority cannot be written to {str(ca_file)!r} ({error.strerror or error}): "
            "make room there, or set TMPDIR to another folder before the lab is started"
        ) from None
    return context
