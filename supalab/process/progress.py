"""One line in the terminal that says how far a long start has come; nothing where standard error is no terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["ProgressLine"]

#: A start that is over sooner needs no line.
SHOW_AFTER_S = 1.0


class ProgressLine:
    """A line such as ``the lab loads its data: 40 of 250 MB``, shown after a second and wiped away at the end."""

    def __init__(self, what: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._clock = what, clock
        self._stream: TextIO | None = sys.stderr if stream is None else stream
        self._from = clock() + SHOW_AFTER_S
        self._width = 0

    def show(self, done: int, total: int) -> None:
        """Say how many bytes are done, and of how many."""
        if self._clock() < self._from or self._stream is None or not self._stream.isatty():
            return
        text = f"{self._what}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"
        self._write(text.ljust(self._width))
        self._width = len(text)

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(f"\r{text}")
            self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._width:
            self._write(" " * self._width)
            self._write("")
