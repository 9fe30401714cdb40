"""Find the data files of the package: the notebooks, the records, the claims.

In a checkout they are next to the package. In a wheel they are inside the package.
"""

from __future__ import annotations

from pathlib import Path

from supalab.errors import SettingsError

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent if (_HERE.parent / "notebooks" / "source").is_dir() else _HERE / "_shipped"


def shipped(*parts: str) -> Path:
    """Return the path of a file or folder of the package, e.g. ``shipped("data", "claims.csv")``; it may not exist."""
    return _ROOT.joinpath(*parts)


def shipped_text(*parts: str) -> str:
    """Return the text of a shipped file; raises SettingsError if this installation has none."""
    try:
        return shipped(*parts).read_text(encoding="utf-8")
    except OSError:
        raise SettingsError(f"{parts[-1]} is missing in this installation: install supalab again") from None
