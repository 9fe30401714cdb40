"""Which processes run what: asked of a machine on which they come and go."""

from __future__ import annotations

import psutil


def running(parent: psutil.Process, module: str) -> list[psutil.Process]:
    """The children, and theirs, that run ``python -m module`` just now; those that end meanwhile are left out."""
    found = []
    for child in parent.children(recursive=True):
        try:
            if module in child.cmdline():
                found.append(child)
        except psutil.Error:
            continue
    return found
