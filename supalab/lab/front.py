"""The lab's front door: each new connection flows in, is counted, and gets the storeys that the conditions ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supalab.lab.link import Link
from supalab.lab.tls import TlsLayer, make_certificate

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from supalab.lab.conditions import Conditions, Weather
    from supalab.lab.witness import Tally

__all__ = ["FrontDoor"]


class FrontDoor:
    """What uvicorn calls for each new connection, in place of its HTTP protocol; returns the protocol to use.

    ``http`` is the HTTP protocol's class. ``ca_file`` is where the certificate's authority will be, once TLS was on.
    """

    def __init__(self, http: Callable[..., asyncio.Protocol], weather: Weather, tally: Tally, ca_file: Path) -> None:
        self._http = http
        self._weather = weather
        self._tally = tally
        self._context: ssl.SSLContext | None = None
        self.ca_file = ca_file

    def prepare(self, conditions: Conditions) -> None:
        """Make what the next connections will need; to be called before ``conditions`` become the weather."""
        if conditions.tls and self._context is None:
            self._context = make_certificate("127.0.0.1", self.ca_file)

    def __call__(self, **keywords: Any) -> asyncio.Protocol:
        """Count a connection and return its protocol; ``keywords`` are uvicorn's, for the HTTP protocol."""
        self._tally.connections += 1
        conditions = self._weather.conditions
        protocol = self._http(**keywords)
        if conditions.tls and self._context is not None:
            protocol = TlsLayer(protocol, self._context)
        if conditions.rtt:
            protocol = Link(protocol, conditions.rtt)
        return protocol
