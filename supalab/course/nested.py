"""Try what a patched asyncio does to a kernel.

This runs in other processes, because a patch cannot be removed: kernels that receive all cells at once, as from
JupyterLab's Run All, and small programs that measure the CPU time of the same tasks before and after.
"""

from __future__ import annotations

import asyncio
import queue
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["CELLS", "PATCHES", "Queued", "queue_all", "slower_by", "try_nest_asyncio"]

PATCHES = ("nest_asyncio", "nest_asyncio2")
#: What each kernel is sent after the patch: a cell with asyncio.run, and three that are as simple as can be.
CELLS = ("asyncio.run(asyncio.sleep(0.05))", "1 + 1", "2 + 2", "3 + 3")
#: A kernel that is silent for this many seconds has lost its cells: each of them takes only milliseconds.
QUIET_S = 2.0
READY_S = 60.0

WORK = """
import asyncio, importlib, sys, time

async def nothing():
    pass

async def work():
    began = time.process_time()
    for _ in range(10):
        await asyncio.gather(*(nothing() for _ in range(100)))
    return time.process_time() - began

def best():
    return min(asyncio.run(work()) for _ in range(20))

before = best()
if sys.argv[1:]:
    importlib.import_module(sys.argv[1]).apply()
print(best() / before)
"""


@dataclass(frozen=True, slots=True)
class Queued:
    """What became of the cells that were queued at once in a kernel with this patch, in their order."""

    patch: str
    answered: tuple[bool, ...]

    def __str__(self) -> str:
        marks = "  ".join(
            f"[{number if ok else '*'}] {cell}"
            for number, (cell, ok) in enumerate(zip(CELLS, self.answered, strict=True), 2)
        )
        return f"{self.patch:<14}{sum(self.answered)} of {len(CELLS)} cells answered:  {marks}"


async def try_nest_asyncio() -> str:
    """Return a few lines on what the patches do: the cells that a kernel runs, and the CPU time of plain tasks.

    Takes about seven seconds.
    """
    cells = [str(seen) for seen in await queue_all()]
    slower = [(patch or "no patch", await slower_by(patch)) for patch in (None, *PATCHES)]
    return "\n".join([*cells, *(f"{name:<14}{times:.1f} x the CPU time for the same tasks" for name, times in slower)])


async def queue_all(patches: Sequence[str] = PATCHES) -> tuple[Queued, ...]:
    """Start a kernel for each patch, apply it, send all cells at once and see which are answered; takes seconds.

    The kernels are gone when it returns.
    """
    return tuple(await asyncio.gather(*(_queued(patch) for patch in patches)))


async def _queued(patch: str) -> Queued:
    from jupyter_client.manager import AsyncKernelManager

    manager = AsyncKernelManager(kernel_name="python3")
    await manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=READY_S)
        asked = [client.execute(text) for text in (f"import asyncio, {patch}; {patch}.apply()", *CELLS)]
        answered = await _answers(client, set(asked))
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
    return Queued(patch, tuple(one in answered for one in asked[1:]))


async def _answers(client: Any, asked: set[str]) -> set[str]:
    """The requests that were answered without an error, until all are or the kernel has gone quiet."""
    found: dict[str, bool] = {}
    while not asked <= found.keys():  # greetings of the start may be answered late, too
        try:
            message = await client.get_shell_msg(timeout=QUIET_S)
        except queue.Empty:
            break
        found[message["parent_header"].get("msg_id")] = message["content"]["status"] == "ok"
    return {request for request, ok in found.items() if ok}


async def slower_by(patch: str | None = None) -> float:
    """Return how many times more CPU the same tasks take after ``apply()``; ``None`` patches nothing, for comparison.

    In a fresh process that times both, the best of twenty runs each; takes half a second.
    """
    return await asyncio.to_thread(_ratio, [] if patch is None else [patch])


def _ratio(arguments: list[str]) -> float:
    done = subprocess.run([sys.executable, "-c", WORK, *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout)
