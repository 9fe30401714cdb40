"""What a lab is started with: one checked value that travels to the child process as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supalab.errors import SettingsError
from supalab.lab.conditions import Conditions

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_MAX_IN_FLIGHT", "ServeOptions"]

DEFAULT_MAX_IN_FLIGHT = 5_000


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What a lab is started with.

    ``port`` 0 takes any free one. ``seed`` is a ``.csv`` or ``.sql`` file to serve in place of the shipped contests.
    ``random_seed`` starts the chance in jitter and error rate. ``max_in_flight`` is how many requests the lab takes
    at once before it answers 503. Raises SettingsError naming the value and the cure.
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
        seed = values["seed"]
        conditions = Conditions(**values["conditions"])
        return cls(**{**values, "conditions": conditions, "seed": None if seed is None else Path(seed)})


def _check_whole(name: str, value: object, low: int, high: int, cure: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SettingsError(f"{name} is {value!r}, not a whole number from {low} to {high}: {cure}")


def _checked_seed(seed: Path) -> Path:
    if not seed.exists():
        raise SettingsError(f"seed file {str(seed)!r} is not there: give the path of a .csv or .sql file")
    if not seed.is_file():
        raise SettingsError(f"seed {str(seed)!r} is not a file: give the path of a .csv or .sql file")
    try:
        seed.open("rb").close()
    except OSError as error:
        raise SettingsError(
            f"seed file {str(seed)!r} cannot be read ({error.strerror}): check its permissions"
        ) from None
    return seed.absolute()
