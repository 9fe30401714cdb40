"""Fixtures that several test modules share."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from supalab import Lab

# A shell that runs the tests in the background has them ignore Ctrl-C, and all their children would inherit that.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


#: Tests that take long, mostly because they wait; if they began last, everything would wait for them.
LONG = (
    "test_run_all_as_shipped", "test_plausible_wrong_answers", "test_a_small_run", "test_three_threads_cannot",
    "test_a_flood", "test_thousands_of_requests", "test_the_last_row_is_found", "test_the_command_says_how_long",
    "test_a_few_claims", "test_every_operation", "test_ruff_and_mypy",
)  # fmt: skip
#: These share one server, so they stay in one process.
TOGETHER = "test_browser.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each process of pytest-xdist, which starts with an even share of this order, run some long tests first."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    together = [item for item in items if item.path.name == TOGETHER]
    long = [item for item in items if item.name.startswith(LONG)]
    first = [together, *([] for _ in range(processes - 1))]
    for item in long:  # to whoever has the fewest
        min(first, key=len).append(item)
    rest = iter([item for item in items if item not in {*together, *long}])
    left, items[:] = len(items), []
    for place, beginning in enumerate(first):
        share = left // (processes - place)
        items += beginning
        items += itertools.islice(rest, max(share - len(beginning), 0))
        left -= share
    items += rest


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
