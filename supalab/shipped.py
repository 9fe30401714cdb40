"""Where the files are that come with a checkout, beside the package: names flow in, a path flows out.

An installed wheel is without them: the lab then makes its contests anew, and the course asks for a checkout.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["shipped"]

_ROOT = Path(__file__).resolve().parents[1]


def shipped(*parts: str) -> Path:
    """Return the path of a shipped file or folder, such as ``shipped("data", "contests.csv")``; it may not exist."""
    return _ROOT.joinpath(*parts)
