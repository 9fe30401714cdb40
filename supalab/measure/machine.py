"""Describe the machine of a measurement and the versions of the loaded libraries, as text."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version

from supalab.version import __version__

__all__ = ["machine", "merged", "versions"]

LIBRARIES = (
    *("httpx", "httpcore", "anyio", "httptools", "aiohttp", "requests", "urllib3", "uvloop"),
    *("httpx2", "httpcore2", "supabase", "postgrest", "fastapi", "uvicorn"),
)


def versions() -> dict[str, str]:
    """Return the versions of Python, supalab and those network libraries that this process has loaded."""
    loaded = {name: version(name.replace("_", "-")) for name in LIBRARIES if name in sys.modules}
    return {"python": platform.python_version(), "supalab": __version__, **loaded}


def machine() -> dict[str, str]:
    """Return system, processor, number of CPUs and kind of Python; no name of the machine or of its user."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cpus": str(os.cpu_count() or "?"),
        "implementation": platform.python_implementation(),
    }


def merged(parts: Iterable[Mapping[str, str] | None]) -> dict[str, str]:
    """Return several records of versions as one, such as those of all workers of a measurement."""
    whole: dict[str, str] = {}
    for part in parts:
        whole |= part or {}
    return whole
