"""Fixtures that several test modules share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from supalab import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab without latency, one for each test module; a module that writes cleans up behind itself."""
    with Lab() as running:
        yield running
