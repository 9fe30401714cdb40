"""A connection over a distance: bytes flow through it both ways, in order, each late by half a round trip.

A new connection's first bytes are later by one whole round trip more: that is what TCP's handshake takes.
Nothing here holds more than a window of bytes: a full line stops whoever fills it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from supalab.lab.layer import Layer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DelayLine", "Link"]

FULL, ROOM = 256 * 1024, 64 * 1024
# Event loops count in whole milliseconds; without this a timer that fires a hair too early would be set again.
EARLY = 0.0005


class DelayLine:
    """One direction: actions put in are done ``delay`` seconds later, in order.

    ``crowd`` is called with True when more than a window of bytes is on its way and with False when there is room.
    """

    def __init__(self, delay: float, crowd: Callable[[bool], None]) -> None:
        self._delay = delay
        self._crowd = crowd
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, int, Callable[[], object]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._size = 0
        self._held = self._crowded = False

    def put(self, action: Callable[[], object], size: int = 0, not_before: float = 0.0) -> None:
        """Do ``action`` (it carries ``size`` bytes) after the delay, which starts at ``not_before`` at the earliest."""
        self._queue.append((max(perf_counter(), not_before) + self._delay, size, action))
        self._size += size
        if self._size > FULL and not self._crowded:
            self._crowded = True
            self._crowd(True)
        self._arm()

    def hold(self, held: bool) -> None:
        """Stop the line's far end, or let it go on."""
        self._held = held
        self._arm()

    def clear(self) -> None:
        """Forget everything on its way."""
        self._queue.clear()
        self._size = 0
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None and (self._held or not self._queue):
            self._timer.cancel()
            self._timer = None
        elif self._timer is None and self._queue and not self._held:
            wait = max(0.0, self._queue[0][0] - perf_counter())
            self._timer = self._loop.call_later(wait, self._run)

    def _run(self) -> None:
        self._timer = None
        now = perf_counter() + EARLY
        try:
            while self._queue and not self._held and self._queue[0][0] <= now:
                _, size, action = self._queue.popleft()
                self._size -= size
                action()
        finally:
            if self._crowded and self._size < ROOM:
                self._crowded = False
                self._crowd(False)
            self._arm()


class Link(Layer):
    """A connection to a caller who is ``rtt`` seconds away and back."""

    def __init__(self, above: asyncio.Protocol, rtt: float) -> None:
        super().__init__(above)
        self._rtt = rtt
        self._closing = self._gone = self._told = False
        self._inbound = DelayLine(rtt / 2, self._inbound_crowded)
        self._outbound = DelayLine(rtt / 2, self._outbound_crowded)

    def _inbound_crowded(self, crowded: bool) -> None:
        if not self.is_closing():
            (self.below.pause_reading if crowded else self.below.resume_reading)()

    def _outbound_crowded(self, crowded: bool) -> None:
        (self.above.pause_writing if crowded else self.above.resume_writing)()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake's clock."""
        self._open_at = perf_counter() + self._rtt
        super().connection_made(transport)

    def _arrives(self, action: Callable[[], object], size: int = 0) -> None:
        if not self._closing:
            self._inbound.put(action, size, self._open_at)

    def data_received(self, data: bytes) -> None:
        """Send bytes up the line."""
        self._arrives(partial(self.above.data_received, data), len(data))

    def eof_received(self) -> bool:
        """Send the end of the caller's bytes up the line; answers may still go down."""
        self._arrives(self._caller_is_done)
        return True

    def _caller_is_done(self) -> None:
        if not self.above.eof_received():
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Send the news up the line, unless this end hung up itself."""
        self._gone = True
        self._outbound.clear()
        if self._closing:
            self._tell(exc)
        else:
            self._arrives(partial(self._tell, exc))

    def _tell(self, exc: Exception | None) -> None:
        if not self._told:
            self._told = True
            self.above.connection_lost(exc)

    def pause_writing(self) -> None:
        """Stop the far end of the outbound line: the socket is full."""
        self._outbound.hold(True)

    def resume_writing(self) -> None:
        """Let the outbound line go on."""
        self._outbound.hold(False)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send bytes down the line."""
        if not self.is_closing():
            self._outbound.put(partial(self.below.write, bytes(data)), len(data))

    def close(self) -> None:
        """Hang up once everything written has arrived."""
        if self._closing:
            return
        self._closing = True
        self._inbound.clear()
        if self._gone:
            asyncio.get_running_loop().call_soon(self._tell, None)
        else:
            self._outbound.put(self.below.close)

    def abort(self) -> None:
        """Hang up at once; what was on its way is lost."""
        self._closing = True
        self._inbound.clear()
        self._outbound.clear()
        self.below.abort()

    def is_closing(self) -> bool:
        """Return whether the connection is closed or about to be."""
        return self._closing or self._gone

    def pause_reading(self) -> None:
        """Stop the far end of the inbound line."""
        self._inbound.hold(True)

    def resume_reading(self) -> None:
        """Let the inbound line go on."""
        self._inbound.hold(False)
