"""Put on a kernel's PYTHONPATH to simulate a machine whose network is off, except for loopback, for all its children.

An attempt to reach the network is refused, and written to the file that OUTSIDE names.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import sys
from typing import Any

NAMES = {"", "localhost", "None"}


def _local(host: object) -> bool:
    """Return whether it is loopback, a socket in the file system, or a name that no network knows (RFC 6761)."""
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name in NAMES or name.endswith((".invalid", ".localhost")):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


LOOKED_UP = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
SENT = {"socket.connect", "socket.sendto", "socket.sendmsg"}


def _host(event: str, given: tuple[Any, ...]) -> object:
    if event in LOOKED_UP:
        return given[0]
    address = given[1]
    return address[0] if isinstance(address, tuple) else "localhost"


def _refuse(event: str, given: tuple[Any, ...]) -> None:
    if event not in LOOKED_UP | SENT or _local(_host(event, given)):
        return
    with open(os.environ["OUTSIDE"], "a", encoding="utf-8") as log:  # noqa: PTH123  (early: pathlib may not be there)
        log.write(f"{sys.argv[:3]} {event} {_host(event, given)}\n")
    raise OSError(errno.ENETUNREACH, "the network is off")


sys.addaudithook(_refuse)
