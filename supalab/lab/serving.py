"""uvicorn's server as a child or a command runs it: the event that ends it flows in, a call when ready flows out."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from threading import Event

__all__ = ["HeldServer", "on_signals"]


class HeldServer(uvicorn.Server):
    """uvicorn's server, with a call when it is ready and an event that ends it, in place of its signals."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], ending: Event) -> None:
        super().__init__(config)
        self._ready = ready
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then say so."""
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether the end was asked for."""
        self.should_exit = self.should_exit or self._ending.is_set()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn would raise them again at the end, and a clean end must be exit code 0."""
        yield


@contextlib.contextmanager
def on_signals(action: Callable[[], None]) -> Iterator[None]:
    """Call ``action`` on Ctrl-C and SIGTERM while the context lasts."""
    names = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        names.append(signal.SIGBREAK)
    before = {name: signal.signal(name, lambda *_: action()) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
