"""Keep the answers of reads in memory until the next write, so that a repeated read costs no query."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supalab.lab.postgrest.http import Answer, Request

__all__ = ["KeptAnswers"]

_ROOM = 8 * 1024 * 1024  # bytes of all answers together
_LARGEST = 256 * 1024  # bytes of one answer
# What an answer depends on besides the method, the path and the query.
_HEADERS = ("accept", "accept-profile", "prefer", "range", "range-unit")
_ENTRY = 600  # bytes that one entry costs besides its texts
Key = tuple[str | None, ...]


class KeptAnswers:
    """The answers to reads of tables since the last write; the one used longest ago goes first when room is short."""

    def __init__(self, room: int = _ROOM) -> None:
        self._room, self._size, self._writes = room, 0, 0
        self._answers: OrderedDict[Key, Answer] = OrderedDict()

    def _key(self, request: Request) -> Key:
        headers = request.headers
        return (request.method, request.path, request.query, *[headers.get(name) for name in _HEADERS])

    def find(self, request: Request, writes: int) -> Answer | None:
        """Return the answer to the same read; ``writes`` is how many there were so far."""
        if writes != self._writes:
            self._answers.clear()
            self._size, self._writes = 0, writes
        if request.method not in ("GET", "HEAD"):
            return None
        key = self._key(request)
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    def keep(self, request: Request, answer: Answer, writes: int) -> None:
        """Remember an answer that depends on nothing but the tables."""
        # "now" in a filter means another moment in each request.
        if writes != self._writes or len(answer.body) > _LARGEST or "now" in request.query.lower():
            return
        key = self._key(request)
        self._answers[key] = answer
        self._size += _weight(key, answer)
        while self._size > self._room:
            self._size -= _weight(*self._answers.popitem(last=False))


def _weight(key: Key, answer: Answer) -> int:
    return len(answer.body) + sum(len(part or "") for part in key) + _ENTRY
