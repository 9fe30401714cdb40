"""Who holds the connections to the lab: the system's table flows in, a count for us and one for our children comes out.

Source: psutil, which reads it from the system. Where the whole table may not be read (macOS), each process's own is;
where that is not allowed either, nothing is counted.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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
    """Return who holds connections to the lab now; takes some tens of milliseconds."""
    try:
        counts = _counted(((one.pid, one) for one in psutil.net_connections(kind="tcp")), lab)
    except (psutil.Error, OSError):
        counts = _of_each(lab)
    me = os.getpid()
    children = {pid: count for pid, count in counts.items() if pid != me and _is_ours(pid, me)}
    return Owners(counts[me], sum(children.values()), len(children))


def _counted(table: Iterable[tuple[int | None, Any]], lab: LabAddress) -> Counter[int]:
    return Counter(pid for pid, one in table if pid and one.raddr and lab.is_at(tuple(one.raddr)))


def _of_each(lab: LabAddress) -> Counter[int]:
    counts: Counter[int] = Counter()
    try:
        us = psutil.Process()
        family = [us, *us.children(recursive=True)]
    except psutil.Error:
        return counts
    for process in family:
        try:
            counts += _counted(((process.pid, one) for one in process.net_connections(kind="tcp")), lab)
        except (psutil.Error, OSError):  # it has gone, or may not be looked at
            continue
    return counts


def _is_ours(pid: int, me: int) -> bool:
    """Whether a process descends from us; one that has gone meanwhile was short-lived, as ours are."""
    try:
        return any(parent.pid == me for parent in psutil.Process(pid).parents())
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
