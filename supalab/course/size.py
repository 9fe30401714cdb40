"""Choose the size of a measurement for this machine: the usual size or a smaller one.

Workshops also run on Binder, with one processor and little memory, where a lesson must not take longer. A hub's limit
is not always visible from inside (cgroup v1; a systemd slice on one large machine), so ``CPU_LIMIT`` and ``MEM_LIMIT``,
which JupyterHub and Binder set, are read too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
MEMORY_MAX = Path("/sys/fs/cgroup/memory.max")
LITTLE_MEMORY = 2 * 1024**3


def _hub_limit(name: str, environ: Mapping[str, str]) -> float:
    """Return the limit that a hub has set, or infinity without one."""
    with suppress(ValueError):
        if (limit := float(environ.get(name, ""))) > 0:
            return limit
    return math.inf


def cpus(quota: Path = CPU_MAX, environ: Mapping[str, str] = os.environ) -> float:
    """Return the processors that this process may use: those it is bound to, or a container's or a hub's share."""
    most = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        time, period = quota.read_text(encoding="ascii").split()
        most = min(most, int(time) / int(period))
    return min(most, _hub_limit("CPU_LIMIT", environ))


def memory_bytes(limit: Path = MEMORY_MAX, environ: Mapping[str, str] = os.environ) -> int:
    """Return the memory that this process may use, in bytes: the machine's, or a container's or a hub's share."""
    most = psutil.virtual_memory().total
    with suppress(OSError, ValueError):
        most = min(most, int(limit.read_text(encoding="ascii")))
    return int(min(most, _hub_limit("MEM_LIMIT", environ)))


def small() -> bool:
    """Return whether this is a small machine: less than two processors, or less than 2 GiB of memory."""
    return cpus() < 2 or memory_bytes() < LITTLE_MEMORY


def sized(usual: int, at_least: int = 1) -> int:
    """Return the usual number of requests, or a third of it on a small machine, but no fewer than ``at_least``."""
    return max(usual // 3, at_least) if small() else usual
