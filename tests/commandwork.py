"""Run a command in this process, as a person types it."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout

from supalab.cli import main

__all__ = ["refused", "said"]


def said(*words: object) -> tuple[int, str, str]:
    """Run a command; return its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(word) for word in words])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return code, out.getvalue(), err.getvalue()


def refused(*words: object) -> str:
    """Run a command that must be refused with exit code 2, no stdout and one line on stderr; return that line."""
    code, out, err = said(*words)
    assert (code, out, err.count("\n")) == (2, "", 1), (code, out, err)
    return err
