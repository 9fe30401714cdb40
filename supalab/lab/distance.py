"""Puts a caller far away: what is sent over the returned socket arrives half a round trip later, in both directions.

Two protocols on a socket pair stand between the caller and the server, and each hands on what it hears. So TLS and
HTTP run on the far side as on any socket, and a TLS handshake costs its real number of round trips.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WINDOW", "End", "at_a_distance"]

WINDOW = 256 * 1024
"""So many bytes may be on their way in one direction; then whoever sends more has to wait."""


async def at_a_distance(caller: socket.socket, rtt: float, ends: set[End]) -> socket.socket:
    """Return a socket to serve in place of ``caller``, who is ``rtt`` seconds away and back.

    The caller's first bytes are late by one whole round trip more: that is what TCP's handshake takes. ``ends`` holds
    both ends while they are open, so that a server can wait until everything has arrived.
    """
    loop = asyncio.get_running_loop()
    here, served = socket.socketpair()
    near, far = End(rtt / 2, loop.time() + rtt, ends), End(rtt / 2, 0.0, ends)
    near.other, far.other = far, near
    try:
        transport, _ = await loop.connect_accepted_socket(lambda: far, here)
        try:
            await loop.connect_accepted_socket(lambda: near, caller)
        except BaseException:
            transport.abort()
            raise
    except BaseException:
        here.close()
        served.close()
        raise
    return served


class End(asyncio.Protocol):
    """One end of the distance: what it hears, the other end says ``delay`` seconds later, in the same order.

    ``not_before``: the loop's time at which the delay of the first bytes starts at the earliest.
    """

    other: End
    transport: asyncio.Transport

    def __init__(self, delay: float, not_before: float, ends: set[End]) -> None:
        self._delay, self._not_before = delay, not_before
        self._ends = ends
        self._loop = asyncio.get_running_loop()
        self._under_way: deque[tuple[int, Callable[[], object]]] = deque()
        self._size = 0
        self._crowded = self._blocked = self._paused = self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        self.transport = cast("asyncio.Transport", transport)
        self._ends.add(self)

    def data_received(self, data: bytes) -> None:
        """Send bytes over."""
        self._send(len(data), lambda: self.other.transport.write(data))

    def eof_received(self) -> bool:
        """Send the end of one direction over; the other direction stays open."""
        self.ended = True
        self._send(0, self._end_other)
        return True

    def _end_other(self) -> None:
        if self.other.ended:
            self.other.transport.close()  # both directions have ended; this end learns it from the other's news
        elif self.other.transport.can_write_eof():
            self.other.transport.write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        """Send the end of both directions over, after all that was said before."""
        self._ends.discard(self)
        self._send(0, self.other.transport.close)

    def pause_writing(self) -> None:
        """The socket is full: nothing more may come from the other end for now."""
        self.other.hold(blocked=True)

    def resume_writing(self) -> None:
        """There is room again."""
        self.other.hold(blocked=False)

    def hold(self, *, blocked: bool) -> None:
        """Note whether what is heard here has somewhere to go."""
        self._blocked = blocked
        self._listen_or_not()

    def _listen_or_not(self) -> None:
        pause = self._crowded or self._blocked
        if pause != self._paused and not self.transport.is_closing():
            self._paused = pause
            (self.transport.pause_reading if pause else self.transport.resume_reading)()

    def _send(self, size: int, action: Callable[[], object]) -> None:
        self._under_way.append((size, action))
        self._size += size
        self._crowded = self._size > WINDOW
        self._loop.call_at(max(self._loop.time(), self._not_before) + self._delay, self._arrive)
        self._listen_or_not()

    def _arrive(self) -> None:
        # There is a timer for each action; whichever fires first does the oldest action, so the order stays.
        size, action = self._under_way.popleft()
        self._size -= size
        if not self.other.transport.is_closing():
            action()
        if self._size <= WINDOW // 4:
            self._crowded = False
        self._listen_or_not()
