"""Fixtures that several test modules share."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator

import pytest

from supalab import Lab

# A shell that runs the tests in the background has them ignore Ctrl-C, and all their children would inherit that.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
