"""What the notebooks use besides the library: one lab for the kernel, runs with ``await``, checks, charts.

Names are imported when they are first used: ``supalab course`` opens JupyterLab without a plotting library.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# These modules have the name of a function here: if they are loaded first, they cannot replace it later.
from supalab.course.check import Asked, NotDone, asked
from supalab.course.heartbeat import heartbeat
from supalab.course.predict import predict

HOME = {
    "SmallClient": "small",
    "faulty_server": "faulty_servers",
    "live_view": "live",
    "observe": "kernel",
    "put_under_load": "service",
    "show_source": "source",
    "sized": "size",
    "start_lab": "kernel",
    "try_nest_asyncio": "nested",
    "turn_the_knobs": "knobs",
}

__all__ = ["NotDone", "charts", "check", "heartbeat", "predict", *HOME]


def check(number: str, answer: Any) -> Asked:
    """Try an answer to an exercise such as ``"01a"``; when awaited, it shows what it saw, and a hint if needed.

    Raises SettingsError for a number that no exercise has.
    """
    from supalab.course.exercises import EXERCISES

    return asked(EXERCISES, number, answer)


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module 'supalab.course' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{HOME[name]}"), name)
    return found
