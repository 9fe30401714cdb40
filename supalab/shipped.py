"""Where the files that come with supalab are: names flow in, a path flows out.

An installed wheel carries them in ``supalab/_shipped``; a checkout (or an editable install) has them at its root.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["shipped"]

_PACKAGE = Path(__file__).resolve().parent


def shipped(*parts: str) -> Path:
    """Return the path of a shipped file or folder, such as ``shipped("data", "contests.csv")``; it may not exist."""
    installed = _PACKAGE.joinpath("_shipped", *parts)
    return installed if installed.exists() else _PACKAGE.parent.joinpath(*parts)
