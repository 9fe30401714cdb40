"""Where Binder finds the project: an ``owner/name`` on GitHub flows in, the README's badge flows out.

The address stands in one place, the badge in the README. It is a placeholder until you put yours in, with
``python -m supalab.course.binder OWNER/NAME``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from supalab.course.timetable import filled
from supalab.errors import SettingsError
from supalab.shipped import shipped

__all__ = ["badge", "main", "repository_of"]

NOBODY = "YOUR-ORG/"
ADDRESS = re.compile(
    r"https://mybinder\.org/v2/gh/([\w.-]+/[\w.-]+)/HEAD\?urlpath=lab/tree/notebooks/00_start_here\.ipynb"
)
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def badge(repository: str) -> str:
    """Return the badge, and beside a placeholder the words that say so; raises SettingsError for no ``owner/name``."""
    if not NAME.fullmatch(repository):
        raise SettingsError(f"{repository!r} is no repository: write it as on GitHub, owner/name")
    address = f"https://mybinder.org/v2/gh/{repository}/HEAD?urlpath=lab/tree/notebooks/00_start_here.ipynb"
    link = f"[![Open notebook 00 on Binder](https://mybinder.org/badge_logo.svg)]({address})"
    if not repository.startswith(NOBODY):
        return link
    return (
        f"{link}\n\nThe badge's address is a **placeholder** until the project has a public home: "
        "`python -m supalab.course.binder OWNER/NAME`\nputs yours in, here and only here."
    )


def repository_of(readme: str) -> str:
    """Return the ``owner/name`` in the README's badge; raises SettingsError when there is no badge."""
    found = ADDRESS.search(readme)
    if found is None:
        raise SettingsError("README.md has no badge with an address at mybinder.org")
    return found[1]


def main(words: Sequence[str]) -> int:
    """Write the badge for the repository in ``words``."""
    if len(words) != 1:
        sys.stderr.write("usage: python -m supalab.course.binder OWNER/NAME\n")
        return 2
    path = shipped("README.md")
    try:
        page = filled(path.read_text(encoding="utf-8"), "binder", badge(words[0]))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    path.write_text(page, encoding="utf-8", newline="\n")
    sys.stdout.write(f"README.md: the badge opens {words[0]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
