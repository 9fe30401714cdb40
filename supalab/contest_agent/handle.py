"""The handle on a contest agent: a program starts, weighs and stops it here; an address and readings flow out."""

from __future__ import annotations

import asyncio
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from supalab.contest_agent.options import TIMEOUT_S, AgentOptions
from supalab.errors import AgentError
from supalab.lab.process import Child, Program, in_thread

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Agent"]


@dataclass(frozen=True, slots=True)
class _Job:
    """What the child is told: its options, and how long it may take to end, which it must know before all else."""

    options: AgentOptions

    def as_json(self) -> dict[str, object]:
        return {"agent": self.options.as_json(), "hard_end": self.options.hard_end}


class Agent:
    """A contest agent in a process of its own: ``with Agent(client="fake-3", url=lab.url, key=lab.key) as agent:``.

    ``client``: ``fake``, ``article``, ``real``, or an arm such as ``fake-10``. ``timeout``: the client's, in seconds;
    a caller has an answer within 1.2 times that. ``port`` 0 takes any free one of 127.0.0.1.

    Raises SettingsError, here, for a value that cannot work.
    """

    _child: Child | None = None

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

    def start(self) -> Agent:
        """Start the child and return this handle when it serves; one that runs already is left as it is.

        Raises AgentError when it does not start, with its reason or the end of its log.
        """
        if self._child is None:
            # The child should end by itself; whoever waits here waits a little longer than that.
            program = Program("supalab.contest_agent", "service", AgentError, self._options.hard_end + 1.0)
            self._child = Child(_Job(self._options), program)
        return self

    def stop(self) -> int | None:
        """End it as SIGTERM does: what is in flight is finished first. Safe to call twice.

        Returns the exit code, 0 for a clean end, or None when it did not run.
        """
        child, self._child = self._child, None
        return None if child is None else child.stop()

    def kill(self) -> None:
        """End it at once, as SIGKILL does: what is in flight is lost. Safe to call twice."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def __enter__(self) -> Agent:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    async def __aenter__(self) -> Agent:
        try:
            await in_thread(self.start)
        except asyncio.CancelledError:
            self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await in_thread(self.stop)

    def __del__(self) -> None:
        child = self._child
        if child is not None and child.owner == os.getpid():
            child.kill()
            warnings.warn(f"{self!r} was never stopped: use `with Agent(…)` or call stop()", ResourceWarning, 2)

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
    def pid(self) -> int:
        """The number of its process."""
        return self._running().pid

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

    def _running(self) -> Child:
        child = self._child
        if child is None:
            raise AgentError("the service is not running: use it inside `with Agent(…) as agent:`, or call start()")
        code = child.exit_code()
        if code is not None:
            raise AgentError(f"the service's process is gone (exit code {code}): start a new one{child.log_tail()}")
        return child
