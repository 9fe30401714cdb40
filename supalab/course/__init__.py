"""What the notebooks use besides the library: one lab for the kernel, runs with ``await``, checks, charts.

Names are imported when they are first used, so that a cell that needs no chart loads no plotting library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Both modules are called like a function here: loaded first, they do not take its name later.
from supalab.course.check import Asked, NotDone, asked
from supalab.course.predict import predict

if TYPE_CHECKING:
    from supalab.course.article_table import compare_with_article
    from supalab.course.cancelled import cancellation_chart
    from supalab.course.chunks import chunks_chart, read_chunks
    from supalab.course.faulty_servers import faulty_server
    from supalab.course.kernel import observe, ready_to_go, start_lab
    from supalab.course.knobs import at_the_lab, turn_the_knobs
    from supalab.course.live import live_view, progress_line
    from supalab.course.loop_lag import heartbeat, lag_chart
    from supalab.course.loops import attempt, run_in_loop_thread
    from supalab.course.nested import try_nest_asyncio
    from supalab.course.responses import responses_chart
    from supalab.course.savings import savings_chart
    from supalab.course.service import put_under_load
    from supalab.course.side_by_side import difference
    from supalab.course.size import sized
    from supalab.course.small import SmallClient
    from supalab.course.sockets import open_sockets, sockets_chart
    from supalab.course.source import show_source
    from supalab.course.touched import rows_found
    from supalab.experiments.race_figure import timeline
    from supalab.probe.figure import evidence

_HOME = {
    "SmallClient": "small",
    "at_the_lab": "knobs",
    "attempt": "loops",
    "cancellation_chart": "cancelled",
    "chunks_chart": "chunks",
    "compare_with_article": "article_table",
    "difference": "side_by_side",
    "evidence": "supalab.probe.figure",
    "faulty_server": "faulty_servers",
    "heartbeat": "loop_lag",
    "lag_chart": "loop_lag",
    "live_view": "live",
    "observe": "kernel",
    "open_sockets": "sockets",
    "progress_line": "live",
    "put_under_load": "service",
    "read_chunks": "chunks",
    "ready_to_go": "kernel",
    "responses_chart": "responses",
    "rows_found": "touched",
    "run_in_loop_thread": "loops",
    "savings_chart": "savings",
    "show_source": "source",
    "sized": "size",
    "sockets_chart": "sockets",
    "start_lab": "kernel",
    "timeline": "supalab.experiments.race_figure",
    "try_nest_asyncio": "nested",
    "turn_the_knobs": "knobs",
}

__all__ = [
    "NotDone", "SmallClient", "at_the_lab", "attempt", "cancellation_chart", "check", "chunks_chart",
    "compare_with_article", "difference", "evidence", "faulty_server", "heartbeat", "lag_chart", "live_view",
    "observe", "open_sockets", "predict", "progress_line", "put_under_load", "read_chunks", "ready_to_go",
    "responses_chart", "rows_found", "run_in_loop_thread", "savings_chart", "show_source", "sized", "sockets_chart",
    "start_lab", "timeline", "try_nest_asyncio", "turn_the_knobs",
]  # fmt: skip


def check(number: str, answer: Any) -> Asked:
    """Try an answer to an exercise such as ``"01a"``; awaited, it gives what the lab saw, and the next hint if need be.

    Raises SettingsError for a number that is no exercise's.
    """
    from supalab.course.exercises import EXERCISES

    return asked(EXERCISES, number, answer)


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'supalab.course' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(home if "." in home else f"{__name__}.{home}"), name)
    return found
