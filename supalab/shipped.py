"""Find the data files of the package: the notebooks, the records, the claims.

In a checkout they are next to the package. In a wheel they are inside the package.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["shipped"]

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent if (_HERE.parent / "notebooks" / "source").is_dir() else _HERE / "_shipped"


def shipped(*parts: str) -> Path:
    """Return the path of a shipped file or folder, such as ``shipped("data", "claims.csv")``; it may not exist."""
    return _ROOT.joinpath(*parts)
