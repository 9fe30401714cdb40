"""Try what a patched asyncio does to a kernel.

This runs in other processes, because a patch cannot be removed: kernels that receive all cells at once, as from
JupyterLab's Run All, and small programs that measure the CPU time of the same tasks before and after.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty

PATCHES = ("nest_asyncio", "nest_asyncio2")
#: What each kernel gets after the patch: a cell with asyncio.run, and three very simple cells.
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


async def try_nest_asyncio() -> str:
    """Return a few lines on the effect of the patches: the cells that a kernel runs, and the CPU time of plain tasks.

    Takes about seven seconds.
    """
    cells = await asyncio.gather(*map(answered, PATCHES))
    lines = [line(patch, found) for patch, found in zip(PATCHES, cells, strict=True)]
    lines += [
        f"{patch or 'no patch':<14}{await slower_by(patch):.1f} x the CPU time for the same tasks"
        for patch in ("", *PATCHES)
    ]
    return "\n".join(lines)


def line(patch: str, found: Sequence[bool]) -> str:
    """Say which cells a kernel with this patch answered; a star stands for a cell that never ran."""
    marks = (f"[{place if ok else '*'}] {cell}" for place, (cell, ok) in enumerate(zip(CELLS, found, strict=True), 2))
    return f"{patch:<14}{sum(found)} of {len(CELLS)} cells answered:  {'  '.join(marks)}"


async def answered(patch: str) -> tuple[bool, ...]:
    """Start a kernel, apply the patch, send all cells at once, and return which were answered; takes some seconds."""
    from jupyter_client.manager import start_new_async_kernel

    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    manager, client = await start_new_async_kernel(READY_S, "python3", **silent)
    found = set[str]()
    try:
        _, *asked = [client.execute(text) for text in (f"import asyncio, {patch}; {patch}.apply()", *CELLS)]
        with suppress(Empty):  # the kernel is silent, and will not answer the other cells
            while not found.issuperset(asked):
                message = await client.get_shell_msg(timeout=QUIET_S)
                if message["content"]["status"] == "ok":
                    found.add(message["parent_header"]["msg_id"])
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
    return tuple(one in found for one in asked)


async def slower_by(patch: str) -> float:
    """Return how many times more CPU the same tasks take after ``apply()``; ``""`` patches nothing, for comparison.

    In a fresh process that times both, the best of twenty runs each; takes half a second.
    """
    command = [sys.executable, "-c", WORK, *filter(None, [patch])]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    return float(done.stdout)
