"""What notebook 02 says about patches of asyncio is true; this package applies none."""

from __future__ import annotations

import subprocess
import sys
from statistics import median

import pytest

from supalab.course.nested import CELLS, PATCHES, answered, line, slower_by


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::RuntimeWarning")  # jupyter_client's and pyzmq's own
async def test_queued_cells_are_answered_with_the_fork() -> None:
    """In a real kernel, all cells at once; what nest_asyncio loses depends on the kernel's version."""
    assert await answered("nest_asyncio2") == (True,) * len(CELLS)
    said = line("x", (True, False, True, True))
    assert said.endswith("[*] 1 + 1  [4] 2 + 2  [5] 3 + 3")
    assert "3 of 4 cells" in said


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there the patches leave tasks written in C in place")
async def test_a_patched_loop_costs_more_and_none_costs_nothing() -> None:
    """CPU of the same tasks before and after: the control is 1, the patches are clearly above; medians of processes."""
    tried: dict[str, list[float]] = {patch: [] for patch in ("", *PATCHES)}
    for _ in range(5):  # taking turns, since a neighbour's work comes and goes
        for patch, ratios in tried.items():
            ratios.append(await slower_by(patch))
    control, *patched = [median(ratios) for ratios in tried.values()]
    assert 0.8 < control < 1.2
    assert all(ratio > 1.1 * control for ratio in patched)


def test_the_course_patches_nothing() -> None:
    """Importing what the notebooks import applies no patch."""
    code = "import sys; from supalab.course import charts, start_lab, try_nest_asyncio; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(PATCHES) & set(done.stdout.split())
