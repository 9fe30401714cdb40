"""``python -m supalab.load.worker``: a plan (JSON line on stdin) → a load from a process of its own → a JSON line.

Headers may hold a key, so the plan comes by stdin and never as an argument. The worker leaves when its parent does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from typing import Any

from supalab.lab.leash import parent_watch
from supalab.lab.tuning import calm_collector, loop_factory, raise_file_limit
from supalab.load.generator import fire
from supalab.load.plan import Plan

__all__ = ["main"]

LOOK_EVERY_S = 0.5
GONE = 3


def main() -> int:
    """Run the one load on stdin and print what came of it; 0 whatever the service did."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with, args=(job["parent"],), daemon=True).start()
    raise_file_limit()
    result = _load(Plan(**job["plan"]), job.get("start"))
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    return 0


def _leave_with(parent: int) -> None:
    alive = parent_watch(parent)
    while alive():
        time.sleep(LOOK_EVERY_S)
    os._exit(GONE)


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
