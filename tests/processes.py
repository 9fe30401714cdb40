"""List the processes that run a module, on a machine where processes come and go."""

from __future__ import annotations

import psutil


def running(parent: psutil.Process, module: str) -> list[psutil.Process]:
    """Return the descendants that run ``python -m module`` now; those that end meanwhile are left out."""
    found = []
    for child in parent.children(recursive=True):
        try:
            if module in child.cmdline():
                found.append(child)
        except psutil.Error:
            continue
    return found
