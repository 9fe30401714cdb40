"""Run a coroutine where ``await`` is not possible, on an event loop of its own.

Use the first of these that works: ``await`` at the top level of a cell; ``asyncio.run`` in a script;
``run_in_loop_thread`` from a plain function inside a running program; ``last_resort`` for code that is not yours.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from supalab.errors import SettingsError

__all__ = ["attempt", "last_resort", "run_in_loop_thread", "stop_loop_thread"]

T = TypeVar("T")

#: A wait in pieces this long: between them an interrupt (the notebook's stop button, Ctrl-C) gets through.
LOOK_EVERY_S = 0.1
PATIENCE_S = 5.0


class _LoopThread:
    """An event loop that runs in a daemon thread until it is stopped."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="supalab-loop", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def stop(self) -> None:
        """Cancel what runs there and end the thread; it has a few seconds."""
        if self.thread.is_alive():
            wait([asyncio.run_coroutine_threadsafe(_cancel_the_rest(), self.loop)], timeout=PATIENCE_S)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(PATIENCE_S)


async def _cancel_the_rest() -> None:
    loop, here = asyncio.get_running_loop(), asyncio.current_task()
    rest = [task for task in asyncio.all_tasks() if task is not here]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


_home: _LoopThread | None = None
_making = threading.Lock()


def run_in_loop_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on one loop thread that stays, wait for it, return its result or raise its error.

    For plain functions in a process whose own loop is busy: a notebook, a GUI, a callback. The caller's thread is
    blocked meanwhile, and so is a loop that runs in it. All calls share one loop, so a client made in one call can be
    used in the next; one that belongs to the notebook's loop cannot. An interrupt cancels the coroutine. Raises
    SettingsError when called from that loop itself, because it would wait for itself forever.
    """
    home = _the_loop_thread()
    if threading.current_thread() is home.thread:
        coroutine.close()
        raise SettingsError("run_in_loop_thread was called on its own loop: write await in front of the coroutine")
    running: Future[T] | None = None
    try:
        running = asyncio.run_coroutine_threadsafe(coroutine, home.loop)
        while not running.done():
            wait([running], timeout=LOOK_EVERY_S)
        return running.result()
    except BaseException:
        if running is not None:
            running.cancel()
        raise


def stop_loop_thread() -> None:
    """End the loop thread, if there is one; the next call starts another. Optional: it ends with the process."""
    global _home
    with _making:
        home, _home = _home, None
    if home is not None:
        home.stop()


def _the_loop_thread() -> _LoopThread:
    global _home
    with _making:  # two first callers must not make two loops
        if _home is None or not _home.thread.is_alive():  # a forked child has the object, not the thread
            _home = _LoopThread()
        return _home


def last_resort() -> None:
    """Patch asyncio permanently, so that a running loop can be run again from inside.

    Use it only for code that you cannot change and that calls ``asyncio.run`` or ``run_until_complete`` inside a
    running loop, and never for measurements: every task is slower afterwards. It applies ``nest_asyncio2``;
    ``nest_asyncio`` must not have been applied before, and its ``apply()`` does nothing afterwards. Safe to call again.
    Raises SettingsError when ``nest_asyncio`` was applied first: its patches stay until the process ends.
    """
    if hasattr(asyncio, "_nest_patched") and not hasattr(asyncio, "_nest_asyncio2"):
        raise SettingsError("nest_asyncio has patched this process: restart the kernel, and call last_resort() first")
    import nest_asyncio2  # type: ignore[import-untyped]

    nest_asyncio2.apply()


def attempt(run: Callable[[Coroutine[Any, Any, Any]], Any], coroutine: Coroutine[Any, Any, Any]) -> str:
    """Call ``run(coroutine)`` and return one line with its result or the error that it raised."""
    try:
        return f"It returned {run(coroutine)!r}"
    except Exception as error:  # whatever it is, is what one wants to see
        return f"{type(error).__name__}: {error}"
    finally:
        coroutine.close()  # one that never began would complain
