"""The handle on a contest agent: a program starts, weighs and stops it here; an address and readings flow out."""

from __future__ import annotations

import os
from pathlib import Path

from supalab.contest_agent.options import TIMEOUT_S, AgentOptions
from supalab.errors import AgentError
from supalab.process.child import Child, Program
from supalab.process.owner import Owner

__all__ = ["Agent"]


class Agent(Owner):
    """A contest agent in a process of its own: ``with Agent(client="fake-3", url=lab.url, key=lab.key) as agent:``.

    ``client``: ``fake``, ``article``, ``real``, or an arm such as ``fake-10``. ``timeout``: the client's, in seconds;
    a caller has an answer within 1.2 times that. ``port`` 0 takes any free one of 127.0.0.1.

    Raises SettingsError, here, for a value that cannot work.
    """

    USE = "with Agent(…) as agent:"

    def __init__(
        self,
        *,
        client: str,
        url: str,
        key: str | None,
        ca_file: str | os.PathLike[str] | None = None,
        rest_path: str = "/rest/v1",
        timeout: float = TIMEOUT_S,
        port: int = 0,
    ) -> None:
        self._options = AgentOptions(
            client=client,
            url=url,
            key=key,
            ca_file=None if ca_file is None else os.fspath(ca_file),
            rest_path=rest_path,
            timeout=timeout,
            port=port,
        )

    def _job(self) -> dict[str, object]:
        # How long it may take to end is what the child must know before all else.
        return {"agent": self._options.as_json(), "hard_end": self._options.hard_end}

    def _program(self) -> Program:
        # The child should end by itself; whoever waits here waits a little longer than that.
        return Program("supalab.contest_agent", "service", AgentError, self._options.hard_end + 1.0)

    def __repr__(self) -> str:
        child = self._child
        where = "not running" if child is None else f"{self._address(child)}, process {child.pid}"
        return f"<Agent {self._options.client}, {where}>"

    @property
    def client(self) -> str:
        """The name of the arm whose client it uses, e.g. ``fake-3``."""
        return self._options.client

    @property
    def url(self) -> str:
        """The address to give to callers."""
        return self._address(self._running())

    @property
    def log(self) -> Path:
        """Its log, one JSON line a request; it lives as long as the service."""
        return self._running().log

    def memory(self) -> int | None:
        """Return its unique set size in bytes: what would be freed if it ended now; None if the system does not tell.

        Source: psutil's ``memory_full_info``.
        """
        import psutil

        from supalab.measure.memory import uss

        return uss(psutil.Process(self._running().pid))

    def _address(self, child: Child) -> str:
        return f"http://127.0.0.1:{child.ready['port']}"
