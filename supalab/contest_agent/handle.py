"""``Agent`` runs a contest agent as a child process: it starts it, gives its address, and stops it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from supalab.contest_agent.options import TIMEOUT_S, AgentOptions
from supalab.errors import AgentError
from supalab.process.child import Owner, Program
from supalab.settings import Settings


class Agent(Owner):
    """A contest agent in a process of its own: ``with Agent(client="fake-3", url=lab.url, key=lab.key) as agent:``.

    ``client``: ``fake``, ``article``, ``real``, or an arm such as ``fake-10``. ``timeout``: the client's, in seconds;
    a caller gets a response within 1.2 times that. ``port`` 0 means any free port on 127.0.0.1.

    Raises SettingsError, here, for a value that cannot work.
    """

    def __init__(
        self, *, client: str, url: str, key: str | None, ca_file: str | os.PathLike[str] | None = None,
        rest_path: str = "/rest/v1", timeout: float = TIMEOUT_S, port: int = 0,
    ) -> None:  # fmt: skip
        file = None if ca_file is None else os.fspath(ca_file)
        settings = Settings(url, key, timeout=timeout, ca_file=file, rest_path=rest_path)
        self._options = AgentOptions(client, settings, port=port)
        program = Program("supalab.contest_agent", "service", AgentError, self._options.hard_end)
        super().__init__(program, asdict(self._options), f"Agent {self._options.client}")

    @property
    def client(self) -> str:
        """The name of the arm whose client it uses, e.g. ``fake-3``."""
        return self._options.client

    @property
    def log(self) -> Path:
        """The service's log, one JSON line for each request; the file exists as long as the service runs."""
        return self._running().log
