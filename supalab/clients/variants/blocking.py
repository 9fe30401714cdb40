"""``requests`` straight in ``async def``, no threads at all: a ``Call`` blocks the event loop until its ``Reply``."""

from __future__ import annotations

from supalab.clients.fake import FakeSupabaseAsync
from supalab.replies import Reply
from supalab.wire import Call

__all__ = ["BlockingSupabaseAsync"]


class BlockingSupabaseAsync(FakeSupabaseAsync):
    """What fake async was invented against: one request at a time, and nothing else on the loop meanwhile.

    It differs from ``fake.py`` in one line: the loop's own thread does the work. ``limit`` changes nothing.
    """

    async def _request(self, call: Call) -> Reply:
        return self._send(call)
