"""What notebook 02 says about patches of asyncio is true; this package applies none."""

from __future__ import annotations

import asyncio
import queue
import subprocess
import sys
from statistics import median
from typing import Any

import pytest
from jupyter_client.manager import AsyncKernelManager

PATCHES = ("nest_asyncio", "nest_asyncio2")
#: What a kernel is sent after the patch: a cell with asyncio.run, and three that are as simple as can be.
CELLS = ("asyncio.run(asyncio.sleep(0.05))", "1 + 1", "2 + 2", "3 + 3")
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


async def answered(client: Any, asked: list[str]) -> list[bool]:
    """Which requests are answered well, until all are or the kernel has been quiet for two seconds."""
    found: dict[str, bool] = {}
    while not set(asked) <= found.keys():
        try:
            message = await client.get_shell_msg(timeout=2)
        except queue.Empty:
            break
        found[message["parent_header"].get("msg_id")] = message["content"]["status"] == "ok"
    return [found.get(one, False) for one in asked]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::RuntimeWarning")  # jupyter_client's and pyzmq's own
async def test_queued_cells_are_answered_with_the_fork() -> None:
    """In a real kernel, all cells at once; what nest_asyncio loses depends on the kernel's version."""
    manager = AsyncKernelManager(kernel_name="python3")
    await manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        asked = [client.execute(text) for text in ("import asyncio, nest_asyncio2; nest_asyncio2.apply()", *CELLS)]
        assert await answered(client, asked) == [True] * len(asked)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


def slower_by(*patch: str) -> float:
    """How many times more CPU the same tasks take after the patch, in a fresh process that times both."""
    done = subprocess.run([sys.executable, "-c", WORK, *patch], capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there the patches leave tasks written in C in place")
async def test_a_patched_loop_costs_more_and_none_costs_nothing() -> None:
    """CPU of the same tasks before and after: the control is 1, the patches are clearly above; medians of processes."""
    tried: dict[tuple[str, ...], list[float]] = {patch: [] for patch in ((), *((patch,) for patch in PATCHES))}
    for _ in range(5):  # taking turns, since a neighbour's work comes and goes
        for patch, ratios in tried.items():
            ratios.append(await asyncio.to_thread(slower_by, *patch))
    control, *patched = [median(ratios) for ratios in tried.values()]
    assert 0.8 < control < 1.2
    assert all(ratio > 1.1 * control for ratio in patched)


def test_the_course_patches_nothing() -> None:
    """Neither the package nor a notebook imports a patch."""
    code = "import sys, supalab.course; from supalab.course import charts, start_lab; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(PATCHES) & set(done.stdout.split())
