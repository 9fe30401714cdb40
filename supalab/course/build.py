"""Notebook sources in, notebooks out: ``notebooks/source/*.py`` (percent format) → ``notebooks/*.ipynb``.

A source is plain Python that a reviewer can read: ``# %% [markdown]`` starts prose, ``# %%`` starts code.
The notebooks have no outputs, no counts and no random ids. To rebuild: ``python -m supalab.course.build``.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from supalab.shipped import shipped

__all__ = ["main", "notebook", "sources"]

MARKER = re.compile(r"^# %%(?P<prose> \[markdown\])?\s*$")
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebook(source: str, name: str) -> str:
    """Turn one source into the text of a notebook; ``name`` starts its cells' ids."""
    cells = [_cell(prose, lines, f"{name[:2]}-{number:02}") for number, (prose, lines) in enumerate(_split(source), 1)]
    whole = {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def sources() -> list[Path]:
    """The sources, in the order of the course."""
    return sorted(shipped("notebooks", "source").glob("*.py"))


def main() -> int:
    """Write every notebook beside its folder of sources."""
    for path in sources():
        target = path.parent.parent / f"{path.stem}.ipynb"
        target.write_text(notebook(path.read_text(encoding="utf-8"), path.stem), encoding="utf-8", newline="\n")
        sys.stdout.write(f"{target.name}\n")
    return 0


def _split(source: str) -> list[tuple[bool, list[str]]]:
    """Cut at the markers into (is prose, lines); what stands before the first marker is for editors only."""
    cells: list[tuple[bool, list[str]]] = []
    for line in source.splitlines():
        marker = MARKER.match(line)
        if marker:
            cells.append((marker["prose"] is not None, []))
        elif cells:
            cells[-1][1].append(line)
    return cells


def _cell(prose: bool, lines: list[str], cell_id: str) -> dict[str, Any]:
    text = "\n".join(re.sub(r"^# ?", "", line) if prose else line for line in lines).strip("\n")
    common = {"id": cell_id, "metadata": {}, "source": text.splitlines(keepends=True)}
    if prose:
        return {"cell_type": "markdown"} | common
    return {"cell_type": "code", "execution_count": None, "outputs": []} | common


if __name__ == "__main__":
    sys.exit(main())
