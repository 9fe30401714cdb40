"""``python -m supalab.load.worker``: runs one load in a process of its own, undisturbed by others.

Headers may hold a key, so the plan comes from the parent and never as an argument.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from supalab.load.generator import fire
from supalab.load.plan import Plan
from supalab.process.attach import attach_to_parent
from supalab.process.tuning import calm_collector, loop_factory, raise_file_limit

__all__ = ["main"]


def main() -> int:
    """Run the parent's load and report what came of it; 0 whatever the service did."""
    with attach_to_parent() as parent:
        raise_file_limit()
        parent.report(_load(Plan(**parent.options["plan"]), parent.options.get("start")))
    return 0


def _load(plan: Plan, start: float | None) -> dict[str, Any]:
    """Fire at ``start`` (as ``time.time``), or at once if that is past; JSON-ready."""
    began: list[tuple[float, float]] = []
    calm_collector()

    async def run() -> list[Any]:
        if start is not None:
            await asyncio.sleep(max(start - time.time(), 0.0))
        return list(await fire(plan, lambda: began.append((time.time(), time.process_time()))))

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        shots = runner.run(run())
    epoch, cpu = began[0]
    return {"shots": shots, "epoch": epoch, "cpu_s": time.process_time() - cpu}


if __name__ == "__main__":
    sys.exit(main())
