"""How to start a contest agent: arguments flow in, a frozen, checked value flows out and travels to the child as JSON.

All the times of a request follow from one, the client's ``timeout``, so that each bound is a little wider than the one
inside it, and a clean end stays within the 10 seconds that Cloud Run grants after SIGTERM.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from supalab.clients.arms import KINDS, Arm, arm
from supalab.errors import SettingsError
from supalab.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AgentOptions", "client_arm"]

#: What a bare kind stands for: the article's limits.
USUAL_LIMIT = {"fake": 3}
DEFAULT_LIMIT = 10
TIMEOUT_S = 5.0
#: How long a connection that rests is kept open; longer than the 60 s of common load balancers, so that they hang up.
KEEP_ALIVE_S = 75


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """What a contest agent is started with; checked when built.

    ``client``: an arm such as ``fake-10``, or a bare kind. ``url``, ``key``, ``ca_file``, ``rest_path``: the backend,
    as in ``Settings``. ``timeout``: the client's, in seconds. ``host`` and ``port``: where to listen, 0 for any free
    port. Raises SettingsError naming the value and the cure.
    """

    client: str
    url: str
    key: str | None = field(repr=False)
    ca_file: str | None = None
    rest_path: str = "/rest/v1"
    timeout: float = TIMEOUT_S
    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        chosen = client_arm(self.client)
        checked = Settings(self.url, self.key, chosen.limit, self.timeout, self.ca_file, self.rest_path)
        object.__setattr__(self, "client", chosen.name)
        object.__setattr__(self, "timeout", checked.timeout)
        object.__setattr__(self, "ca_file", checked.ca_file)
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 <= self.port <= 65_535:
            raise SettingsError(f"port is {self.port!r}, not a whole number from 0 to 65535: give 0 for any free port")
        if not self.host:
            raise SettingsError("host is empty: give an address such as 127.0.0.1, or 0.0.0.0 for every one")

    @property
    def settings(self) -> Settings:
        """What the client is made with."""
        return Settings(self.url, self.key, timeout=self.timeout, ca_file=self.ca_file, rest_path=self.rest_path)

    @property
    def deadline(self) -> float:
        """Seconds in which a caller of the service has an answer: the client's own error should come first."""
        return self.timeout * 1.2

    @property
    def grace(self) -> float:
        """Seconds that requests in flight have at the end; every one has its answer by then."""
        return self.deadline + 1.0

    @property
    def hard_end(self) -> float:
        """Seconds after which the process is gone once told to end: threads of departed callers may hold it up."""
        return self.grace + self.timeout + 1.0

    def as_json(self) -> dict[str, object]:
        """Return the options as JSON's values; the key is among them, so never print it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AgentOptions:
        """Make the options again from what ``as_json`` gave."""
        return cls(**values)


def client_arm(name: str) -> Arm:
    """Look up an arm for the service; a bare kind has its usual limit. Imports the client's class to look at it.

    Raises SettingsError for what is no arm, or an arm whose client cannot filter and write.
    """
    chosen = arm(f"{name}-{USUAL_LIMIT.get(name, DEFAULT_LIMIT)}" if name in KINDS else name)
    from supalab.clients.base import Client

    kind = KINDS[chosen.kind].load()
    if not (isinstance(kind, type) and issubclass(kind, Client)):
        raise SettingsError(
            f"client {name!r} only reads, and the service filters and writes: use fake, session, article or real"
        )
    return chosen
