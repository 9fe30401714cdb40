"""What the handles on a child share: start and end it, by ``with`` or a call, and say why it is gone."""

from __future__ import annotations

import asyncio
import os
import warnings
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar, Self

from supalab.process.child import Child, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

__all__ = ["Owner"]


class Owner(ABC):
    """A handle that starts one child process and ends it: by ``with``, by ``async with``, or by ``start``, ``stop``."""

    USE: ClassVar[str]
    """How it is to be used, for messages: ``"with Lab() as lab:"``."""
    _child: Child | None = None

    @abstractmethod
    def _job(self) -> Mapping[str, object]:
        """Return what the child is told, as JSON's values."""

    @abstractmethod
    def _program(self) -> Program:
        """Return what the child runs."""

    def start(self) -> Self:
        """Start the child and return this handle when it serves; one that runs already is left as it is.

        One that is gone is cleared away first.

        Raises LabError (a lab) or AgentError (a contest agent) when it does not start, with its reason or the end of
        its log.
        """
        if self._gone():
            self.kill()
        if self._child is None:
            child = Child(self._program(), self._job())
            child.wait_until_ready()
            self._child = child
        return self

    def stop(self) -> int | None:
        """End the child: what is in flight has some seconds to finish. Safe to call twice.

        Returns the exit code, 0 for a clean end, or None when it did not run.
        """
        child, self._child = self._child, None
        return None if child is None else child.stop()

    def kill(self) -> None:
        """End the child at once, as SIGKILL does: what is in flight is lost. Safe to call twice."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        try:
            await in_thread(self.start)
        except asyncio.CancelledError:
            self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await in_thread(self.stop)

    def __del__(self) -> None:
        child = self._child
        if child is not None and child.owner == os.getpid():
            child.kill()
            warnings.warn(f"{self!r} was never stopped: use `{self.USE}` or call stop()", ResourceWarning, stacklevel=2)

    @property
    def pid(self) -> int:
        """The number of the child's process."""
        return self._running().pid

    def _gone(self) -> bool:
        return self._child is not None and self._child.exit_code() is not None

    def _running(self) -> Child:
        child = self._child
        if child is None:
            program = self._program()
            raise program.error(f"the {program.name} is not running: use it inside `{self.USE}`, or call start()")
        code = child.exit_code()
        if code is not None:
            program = child.program
            raise program.error(
                f"the {program.name}'s process is gone (exit code {code}): start anew{child.log_tail()}"
            )
        return child


async def in_thread(action: Callable[[], object]) -> None:
    """Do ``action`` in a thread that is gone afterwards."""
    with ThreadPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, action)
