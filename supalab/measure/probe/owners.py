"""Who holds the connections to the lab: the system's tables flow in, a count for us and one for our children comes out.

Our own sockets are asked for their peer. Those of children are found in Linux' table of connections, of which only the
lab's lines are looked at: after many requests it has ten thousands, and reading all of them, as psutil does, would hold
up the very loop that is watched. On other systems psutil asks each child; where that is not allowed, none is counted.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from supalab.measure.probe.sockets import LabAddress

__all__ = ["Owners", "owners"]

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
# The columns of these tables (Linux, proc_net_tcp): the other end as hexadecimal address:port, and the socket's inode.
REMOTE, INODE = 2, 9
# Where a process finds its own open files, by number.
OPEN_FILES = Path("/dev/fd")


@dataclass(frozen=True, slots=True)
class Owners:
    """Connections to the lab held by this process and by its children, and how many children hold one."""

    own: int = 0
    children: int = 0
    processes: int = 0


def owners(lab: LabAddress) -> Owners:
    """Return who holds connections to the lab now."""
    children = [pid for pid in _descendants() if pid != lab.pid]
    counts = _of_linux(children, lab) if sys.platform == "linux" else [_by_psutil(one, lab) for one in children]
    return Owners(_own(lab), sum(counts), sum(count > 0 for count in counts))


def _descendants() -> list[int]:
    with suppress(psutil.Error):
        return [one.pid for one in psutil.Process().children(recursive=True)]
    return []


def _own(lab: LabAddress) -> int:
    if not OPEN_FILES.is_dir():  # Windows
        return _by_psutil(os.getpid(), lab)
    with suppress(OSError):
        numbers = [int(one.name) for one in OPEN_FILES.iterdir() if one.name.isdecimal()]
        return sum(map(lab.is_peer_of_number, numbers))
    return 0


def _of_linux(pids: list[int], lab: LabAddress) -> list[int]:
    # The files first: a child that ends meanwhile still has its line in the table for a while.
    files = [_sockets_of(pid) for pid in pids]
    there = _inodes(lab) if any(files) else set()
    return [len(inodes & there) for inodes in files]


def _sockets_of(pid: int) -> set[bytes]:
    """The inodes of a process's sockets, of which a link reads ``socket:[12345]``."""
    links: list[str] = []
    with suppress(OSError):
        for one in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                links.append(str(one.readlink()))
    return {link[8:-1].encode() for link in links if link.startswith("socket:[")}


def _inodes(lab: LabAddress) -> set[bytes]:
    port = b":%04X" % lab.port
    found = set()
    for table in TABLES:
        with suppress(OSError):
            lines = [line.split() for line in table.read_bytes().splitlines() if port in line]
            found |= {line[INODE] for line in lines if line[REMOTE].endswith(port)}
    return found


def _by_psutil(pid: int, lab: LabAddress) -> int:
    try:
        table = psutil.Process(pid).net_connections(kind="tcp")
    except (psutil.Error, OSError):  # it has gone, or may not be looked at
        return 0
    return sum(lab.is_at(tuple(one.raddr)) for one in table if one.raddr)
