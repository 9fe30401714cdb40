"""Running a coroutine where one cannot await it: a loop thread that stays, the last resort, and what patches cost."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from statistics import median

import pytest

from supalab.course.loops import attempt, run_in_loop_thread, stop_loop_thread
from supalab.course.nested import CELLS, PATCHES, Queued, queue_all, slower_by
from supalab.errors import SettingsError


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    yield
    stop_loop_thread()
    assert not [thread for thread in threading.enumerate() if thread.name == "supalab-loop"]


async def whereabouts() -> tuple[asyncio.AbstractEventLoop, str]:
    await asyncio.sleep(0)
    return asyncio.get_running_loop(), threading.current_thread().name


async def test_all_calls_share_one_loop_in_one_thread_beside_the_running_one() -> None:
    """So what one call opens, the next can use; the caller's own loop is another."""
    (first, name), (second, _) = run_in_loop_thread(whereabouts()), run_in_loop_thread(whereabouts())
    assert first is second is not asyncio.get_running_loop()
    assert name == "supalab-loop"


def test_the_result_the_error_and_the_context_come_through() -> None:
    """A coroutine behaves as if it had been awaited."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    variable.set("the caller's")

    async def read() -> str:
        return variable.get()

    async def breaks() -> None:
        raise KeyError("name")

    assert run_in_loop_thread(read()) == "the caller's"
    with pytest.raises(KeyError, match="name"):
        run_in_loop_thread(breaks())


def test_first_calls_of_many_threads_make_one_loop() -> None:
    """The race that notebook 03 is about is not run here."""
    found: list[asyncio.AbstractEventLoop] = []
    threads = [threading.Thread(target=lambda: found.append(run_in_loop_thread(whereabouts())[0])) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1


def test_a_call_from_its_own_loop_is_refused_and_not_left_waiting() -> None:
    """It could never end, so it says what to write instead; the coroutine is closed, not forgotten."""

    async def inside() -> None:
        run_in_loop_thread(whereabouts())

    with pytest.raises(SettingsError, match="write await in front of the coroutine"):
        run_in_loop_thread(inside())


def test_an_interrupt_cancels_the_coroutine() -> None:
    """The stop button works within moments, and what ran there does not run on."""
    ended = threading.Event()

    async def endless() -> None:
        try:
            await asyncio.sleep(0.3)  # by now the main thread waits
            signal.raise_signal(signal.SIGINT)  # its handler runs there
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        run_in_loop_thread(endless())
    assert ended.wait(5)


def test_stopping_cancels_what_runs_and_the_next_call_starts_anew() -> None:
    """A thread that is gone, stopped or lost to a fork, is no reason to hang."""
    ended, first = threading.Event(), run_in_loop_thread(whereabouts())[0]

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def start() -> asyncio.Task[None]:
        task = asyncio.create_task(endless())
        await asyncio.sleep(0)
        return task

    task = run_in_loop_thread(start())
    stop_loop_thread()
    assert ended.is_set()
    assert task.cancelled()
    assert first.is_closed()
    assert run_in_loop_thread(whereabouts())[0] is not first
    stop_loop_thread()
    stop_loop_thread()


async def test_an_attempt_is_one_line_and_leaves_no_coroutine() -> None:
    """asyncio.run inside a loop: the error as a line; where it works, the result; an unstarted coroutine is closed."""
    assert attempt(asyncio.run, whereabouts()).startswith("RuntimeError: asyncio.run() cannot be called from a running")
    assert await asyncio.to_thread(attempt, asyncio.run, asyncio.sleep(0, "well")) == "It returned 'well'"


def in_a_program(code: str) -> str:
    """Run code in a process of its own, since a patch stays, and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_last_resort_nests_a_loop_and_makes_nest_asyncio_harmless() -> None:
    """Applied first, twice, it holds; nest_asyncio.apply() afterwards changes nothing."""
    code = """
import asyncio
from supalab.course.loops import last_resort

async def inner():
    await asyncio.sleep(0.01)
    return "inner"

async def main():
    last_resort()
    last_resort()
    ours = asyncio.run
    import nest_asyncio
    nest_asyncio.apply()
    assert asyncio.run is ours
    return asyncio.run(inner())

print(asyncio.run(main()))
"""
    assert in_a_program(code) == "inner"


def test_importing_patches_nothing_and_the_last_resort_says_when_it_comes_too_late() -> None:
    """Only a call patches. What nest_asyncio has patched before cannot be mended; better a line than a lost cell."""
    code = """
import asyncio, sys
from supalab.course import loops, nested
print(hasattr(asyncio, "_nest_patched"), "nest_asyncio" in sys.modules, "nest_asyncio2" in sys.modules)
import nest_asyncio
nest_asyncio.apply(asyncio.new_event_loop())
try:
    loops.last_resort()
except Exception as error:
    print(type(error).__name__, error)
"""
    imported, late = in_a_program(code).splitlines()
    assert imported == "False False False"
    assert late.startswith("SettingsError nest_asyncio has patched this process: restart the kernel")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::RuntimeWarning")  # jupyter_client's and pyzmq's own
async def test_queued_cells_are_answered_with_the_fork() -> None:
    """In a real kernel, all cells at once; what nest_asyncio loses depends on the kernel's version."""
    (fork,) = await queue_all(("nest_asyncio2",))
    assert fork == Queued("nest_asyncio2", (True,) * len(CELLS))
    assert str(Queued("x", (True, False, True, True))).endswith("[*] 1 + 1  [4] 2 + 2  [5] 3 + 3")
    assert "3 of 4 cells" in str(Queued("x", (True, False, True, True)))


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there the patches leave tasks written in C in place")
async def test_a_patched_loop_costs_more_and_none_costs_nothing() -> None:
    """CPU of the same tasks before and after: the control is 1, the patches are clearly above; medians of processes."""
    tried: dict[str | None, list[float]] = {patch: [] for patch in (None, *PATCHES)}
    for _ in range(5):  # taking turns, since a neighbour's work comes and goes
        for patch, ratios in tried.items():
            ratios.append(await slower_by(patch))
    control, *patched = [median(ratios) for ratios in tried.values()]
    assert 0.8 < control < 1.2
    assert all(ratio > 1.1 * control for ratio in patched)
