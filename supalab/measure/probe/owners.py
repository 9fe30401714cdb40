"""Who holds the connections to the lab: the system's table flows in, a count for us and one for our children comes out.

Source: psutil, which reads it from the system; where that is not allowed, nothing is counted.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psutil

from supalab.measure.probe.sockets import LabAddress

__all__ = ["Owners", "owners"]


@dataclass(frozen=True, slots=True)
class Owners:
    """Connections to the lab held by this process and by its children, and how many children hold one."""

    own: int = 0
    children: int = 0
    processes: int = 0


def owners(lab: LabAddress) -> Owners:
    """Return who holds connections to the lab now; takes some milliseconds."""
    us = psutil.Process()
    counts: list[int] = []
    with suppress(psutil.Error):
        counts = [_held(child, lab) for child in us.children(recursive=True)]
    return Owners(_held(us, lab), sum(counts), sum(count > 0 for count in counts))


def _held(process: psutil.Process, lab: LabAddress) -> int:
    try:
        table = process.net_connections(kind="tcp")
    except (psutil.Error, OSError):  # it has gone, or may not be looked at
        return 0
    return sum(lab.is_at(tuple(one.raddr)) for one in table if one.raddr)
