"""Read and write the text files of records; a file that cannot be used raises one clear line."""

from __future__ import annotations

from pathlib import Path

from supalab.errors import SettingsError

__all__ = ["read", "write"]


def write(text: str, path: str | Path) -> Path:
    """Write a record and return its path; raises SettingsError if it cannot be written."""
    try:
        Path(path).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise SettingsError(f"cannot write {str(path)!r}: {error.strerror or error}; choose another path") from None
    return Path(path)


def read(path: str | Path, command: str) -> str:
    """Read a record that ``command`` wrote; raises SettingsError if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {str(path)!r}: {error}; choose a file that {command} wrote") from None
