"""Show the code behind a name in a notebook, so that nobody needs a checkout to read it."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

from supalab.errors import SettingsError


def show_source(thing: Any) -> None:
    """Display the source of a class, function, method or module below the cell, highlighted where the editor can.

    Raises SettingsError for something without Python source, such as a client that you have made.
    """
    from IPython.display import display

    try:
        code = textwrap.dedent(inspect.getsource(thing))
    except (TypeError, OSError):
        kind = type(thing).__name__
        raise SettingsError(
            f"an object of type {kind} has no Python source: name a class, a function or a module, "
            "as in show_source(SupabaseAsync)"
        ) from None
    # As Markdown, so that the colours follow the editor's theme, light or dark.
    display({"text/markdown": f"~~~~python\n{code}~~~~", "text/plain": code}, raw=True)  # type: ignore[no-untyped-call]
