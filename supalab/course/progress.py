"""A place below a notebook's cell that can be written again and again: how far a race is goes in, one line shows it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supalab.measure.run import Progress

__all__ = ["displayed", "progress_line"]

BAR = 30


def displayed() -> Callable[[dict[str, Any]], None] | None:
    """Return a function that shows what it is given in place of what it showed before, ``None`` outside a notebook.

    It takes the parts of a display by their MIME type. What is saved with the notebook is what was shown last.
    """
    try:
        from IPython import get_ipython
        from IPython.display import DisplayHandle
    except ImportError:  # pragma: no cover
        return None
    if getattr(get_ipython(), "kernel", None) is None:
        return None
    handle = DisplayHandle()  # type: ignore[no-untyped-call]
    fresh = [True]

    def show(parts: dict[str, Any]) -> None:
        (handle.display if fresh[0] else handle.update)(parts, raw=True)  # type: ignore[no-untyped-call]
        fresh[0] = False

    return show


def progress_line() -> Callable[[Progress], None]:
    """Return something for ``race(progress=…)`` that fills one line below the cell; it needs no widgets.

    In a terminal the line is the terminal's; where output goes into a file it is silent.
    """
    show = displayed()
    if show is not None:
        show({"text/plain": line(0.0, "starting")})

    def tell(so_far: Progress) -> None:
        words = line(so_far.fraction, f"{so_far.arm}, {so_far.done} of {so_far.total} trials")
        if show is not None:
            show({"text/plain": words})
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{words}" + "\n" * (so_far.done == so_far.total))

    return tell


def line(fraction: float, words: str) -> str:
    """Return a bar of text that is full at 1, and the words behind it."""
    full = round(BAR * min(fraction, 1.0))
    return f"{'█' * full}{'░' * (BAR - full)} {fraction:4.0%}  {words}"
