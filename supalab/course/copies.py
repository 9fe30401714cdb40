"""Make a learner's working copy of the course: notebooks in a separate folder, which nothing overwrites.

The originals are not changed, so a checkout stays clean and a notebook can be restored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from supalab.errors import SettingsError
from supalab.shipped import shipped

DEFAULT = "supalab-course"
FIRST = "00_start_here.ipynb"
#: The file that makes a folder a working copy. It holds the learner's progress, one line for each check.
MARKER = "progress.jsonl"


def _originals() -> list[Path]:
    """The learner's notebooks, the pages that they link to, and the pictures of these pages."""
    folder = shipped("notebooks")
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise SettingsError(f"{folder} holds no notebooks: install supalab again, from a wheel or a checkout")
    return [*found, folder / "glossary.md", folder / "HANDOUT.md", *sorted(folder.glob("board-*.png"))]


def default() -> Path:
    """Return the folder of a learner who names none: this one if it is a working copy, else ``supalab-course``."""
    return Path() if Path(MARKER).is_file() else Path(DEFAULT)


def working_copy(folder: Path) -> list[Path]:
    """Make a working copy of the course in ``folder``, or complete one; return the files that were written.

    A file that is there already is never touched. Raises SettingsError if the folder holds something else, or cannot
    be written.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise SettingsError(f"{str(folder)!r} is a file: choose a folder, such as {DEFAULT}")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).is_file():
            raise SettingsError(f"{str(folder)!r} holds other files: choose an empty or a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).touch()
        return [_copied(path, folder / path.name) for path in _originals() if not (folder / path.name).exists()]
    except OSError as error:
        raise SettingsError(f"cannot write to {str(folder)!r}: {error.strerror}; choose another folder") from None


def brought_back(folder: Path, which: str) -> list[tuple[Path, Path | None]]:
    """Put the original of a notebook (``"05"``) or of all (``"all"``) into a working copy.

    Return each notebook with the file that keeps the old version, ``None`` if there was no change to keep. Raises
    SettingsError for a folder that is not a working copy and for an unknown notebook number.
    """
    if not (folder / MARKER).is_file():
        raise SettingsError(
            f"there is no working copy of the course in {str(folder)!r}: go into yours, or make one with supalab course"
        )
    books = [path for path in _originals() if path.suffix == ".ipynb"]
    numbers = list(dict.fromkeys(path.name[:2] for path in books))
    which = which.zfill(2)  # 5 is 05
    if which != "all" and which not in numbers:
        raise SettingsError(f"there is no notebook {which!r}: choose from {', '.join(numbers)}, or all")
    return [_replaced(path, folder / path.name) for path in books if which in ("all", path.name[:2])]


def _replaced(original: Path, here: Path) -> tuple[Path, Path | None]:
    if not here.exists() or here.read_text(encoding="utf-8") == _fresh(original):
        return _copied(original, here), None
    number = 1
    while _kept(here, number).exists():
        number += 1
    kept = here.rename(_kept(here, number))
    return _copied(original, here), kept


def _kept(book: Path, number: int) -> Path:
    """Return a free name for the old version of a notebook."""
    return book.with_name(f"{book.stem}.yours-{number}.ipynb")


def _copied(original: Path, here: Path) -> Path:
    if original.suffix == ".ipynb":
        here.write_text(_fresh(original), encoding="utf-8", newline="\n")
    else:
        here.write_bytes(original.read_bytes())
    return here


def _fresh(original: Path) -> str:
    """Return a notebook's text with this kernel's language; without it, JupyterLab marks the notebook as changed."""
    from ipykernel.ipkernel import IPythonKernel

    book: dict[str, Any] = json.loads(original.read_text(encoding="utf-8"))
    book["metadata"]["language_info"] = IPythonKernel.language_info
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def config_path(before: str) -> str:
    """Return Jupyter's configuration path with the course's own in front: no news, and pages open as rendered."""
    return os.pathsep.join(filter(None, (str(Path(__file__).parent / "jupyter"), before)))


def jupyter_options(folder: Path) -> Sequence[str]:
    """Return JupyterLab's options to open a working copy at its first notebook, without news from the network."""
    return (
        f"--ServerApp.root_dir={folder.resolve()}",
        f"--LabApp.default_url=/lab/tree/{FIRST}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    )
