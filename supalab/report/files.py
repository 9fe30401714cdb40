"""Write result files safely: a new file is written next to the old one and then replaces it.

A file that cannot be used gives an error of one clear line.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from supalab.errors import SettingsError


def check_place(path: str | Path) -> Path:
    """Return the path if a result can be written there; the check leaves nothing behind.

    Only regular files are written: no folder, link, device or pipe. Raises SettingsError with the reason.
    """
    path = Path(path)
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise OSError("a link" if path.is_symlink() else "a folder" if path.is_dir() else "no regular file")
        if path.exists():
            with path.open("ab"), tempfile.TemporaryFile(dir=path.parent):
                return path
        with path.open("xb"):
            pass
        path.unlink()
    except (OSError, ValueError) as error:
        raise SettingsError(_refused(path, error)) from None
    return path


def _refused(path: Path, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return f"cannot write {str(path)!r} ({reason}): choose another file or folder"


def write(content: str | bytes, path: str | Path) -> Path:
    """Write a result and return its path; if something goes wrong, the old file stays complete.

    If it cannot be written, it is put into the folder for temporary files, and the SettingsError says where.
    """
    path = check_place(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        _replace(data, path)
    except OSError as error:
        rescued = _rescued(data, path)
        raise SettingsError(_refused(path, error) + (f"; it is in {str(rescued)!r} now" if rescued else "")) from None
    return path


def _replace(data: bytes, path: Path) -> None:
    handle, beside = tempfile.mkstemp(prefix=".supalab-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        mask = os.umask(0)
        os.umask(mask)
        Path(beside).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
        Path(beside).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(beside).unlink()
        raise


def _rescued(data: bytes, path: Path) -> Path | None:
    """Keep a result that took minutes: write it into the folder for temporary files, if there is room."""
    with contextlib.suppress(OSError):
        place = Path(tempfile.mkdtemp(prefix="supalab-")) / (path.name[-80:] or "result")
        place.write_bytes(data)
        return place
    return None


def read(path: str | Path, command: str) -> str:
    """Read a record that ``command`` wrote; raises SettingsError if it cannot be read.

    A device or a pipe is not read, which may have no end.
    """
    try:
        if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
            raise OSError("no regular file")
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"cannot read {str(path)!r} ({reason}): choose a file that {command} wrote") from None
