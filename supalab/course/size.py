"""Choose the size of a measurement for this machine: the usual size, or a smaller one for less than two processors.

Workshops also run on Binder, with one processor, where a lesson must not take longer. A hub's limit is not always
visible from inside (cgroup v1; a systemd slice on one large machine), so ``CPU_LIMIT``, which JupyterHub and Binder
set, is read too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

__all__ = ["cpus", "sized"]

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def cpus(quota: Path = CPU_MAX, environ: Mapping[str, str] = os.environ) -> float:
    """Return the processors that this process may use: those it is bound to, or a container's or a hub's share."""
    shares = [float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)]
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        time, period = quota.read_text(encoding="ascii").split()
        shares.append(int(time) / int(period))
    with suppress(ValueError):
        told = float(environ.get("CPU_LIMIT", ""))
        shares.append(told if told > 0 else math.inf)  # not a number, too, is not above 0
    return min(shares)


def sized(usual: int, at_least: int = 1) -> int:
    """Return the usual number of requests, or a third of it on a small machine, but no fewer than ``at_least``."""
    return max(usual // 3, at_least) if cpus() < 2 else usual
