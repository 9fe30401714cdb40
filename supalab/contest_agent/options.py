"""The options of a contest agent: a frozen, checked value that is sent to the child process as JSON.

All time limits of a request are computed from the client's ``timeout``, so that each limit is a little wider than the
one inside it, and a clean end stays within the 10 seconds that Cloud Run grants after SIGTERM.
"""

from __future__ import annotations

from dataclasses import dataclass

from supalab.clients.arms import KINDS, Arm, arm
from supalab.errors import SettingsError
from supalab.settings import Settings

#: The arms for names without a limit: those with the article's limits.
USUAL_LIMIT = {"fake": 3}
DEFAULT_LIMIT = 10
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """The options that a contest agent is started with; checked when they are made.

    ``client``: an arm such as ``fake-10``, or ``fake`` alone. ``settings``: the backend, and the seconds that the
    client waits for it. ``host`` and ``port``: where to listen, 0 for any free port. Raises SettingsError with the
    value and what to do.
    """

    client: str
    settings: Settings
    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "client", client_arm(self.client).name)
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 <= self.port <= 65_535:
            raise SettingsError(f"port is {self.port!r}, not a whole number from 0 to 65535: give 0 for any free port")
        if not self.host:
            raise SettingsError("host is empty: give an address such as 127.0.0.1, or 0.0.0.0 for all")

    @property
    def deadline(self) -> float:
        """Seconds within which a caller of the service gets a response, so that the client's own error comes first."""
        return self.settings.timeout * 1.2

    @property
    def grace(self) -> float:
        """Seconds that requests in flight have when the service stops; every one gets its response by then."""
        return self.deadline + 1.0

    @property
    def hard_end(self) -> float:
        """Seconds from the stop request to a forced exit: threads of cancelled requests can keep the process alive."""
        return self.grace + self.settings.timeout + 1.0


def client_arm(name: str) -> Arm:
    """Look up an arm for the service, with its usual limit if none is given. Imports the client's class.

    Raises SettingsError for an unknown arm, or an arm whose client cannot filter and write.
    """
    chosen = arm(f"{name}-{USUAL_LIMIT.get(name, DEFAULT_LIMIT)}" if name in KINDS else name)
    from supalab.clients.base import Client

    kind = chosen.load()
    if not (isinstance(kind, type) and issubclass(kind, Client)):
        raise SettingsError(
            f"client {name!r} only reads, and the service filters and writes: use fake, session, article or real"
        )
    return chosen
