"""Fixtures that several test modules share."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from supalab import Lab

# A shell that runs the tests in the background has them ignore Ctrl-C, and all their children would inherit that.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


#: Tests that take long because they wait; if they began last, everything would wait for them at the end.
LONG = ("test_run_all_as_shipped", "test_plausible_wrong_answers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each process of pytest-xdist, which starts with an even share of this order, run some long tests first."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.name.startswith(LONG)]
    rest = [item for item in items if not item.name.startswith(LONG)]
    share = -(-len(rest) // processes)
    items[:] = [
        item
        for process in range(processes)
        for item in (*long[process::processes], *rest[process * share : (process + 1) * share])
    ]


def pytest_collection_finish() -> None:
    """Take the collected tests out of the garbage collector's sight: a pass over all of them stops a test for half a
    second, which a test of an instrument would see."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab without latency, one for each test module; a module that writes cleans up behind itself."""
    with Lab() as running:
        yield running
