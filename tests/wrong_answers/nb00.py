"""Plausible wrong answers for the primer's exercise, and a piece of what they must be told."""

from __future__ import annotations

import asyncio
from typing import Any


async def in_turn(fetch: Any, numbers: list[int]) -> list[int]:
    return [await fetch(number) for number in numbers]


async def all_at_once(fetch: Any, numbers: list[int]) -> list[int]:
    return await asyncio.gather(*(fetch(number) for number in numbers))


async def a_gate_each(fetch: Any, numbers: list[int]) -> list[int]:
    async def one(number: int) -> int:
        async with asyncio.Semaphore(3):
            return await fetch(number)  # type: ignore[no-any-return]

    return await asyncio.gather(*(one(number) for number in numbers))


async def two_at_a_time(fetch: Any, numbers: list[int]) -> list[int]:
    gate = asyncio.Semaphore(2)

    async def one(number: int) -> int:
        async with gate:
            return await fetch(number)  # type: ignore[no-any-return]

    return await asyncio.gather(*(one(number) for number in numbers))


async def five_at_a_time(fetch: Any, numbers: list[int]) -> list[int]:
    found: list[int] = []
    for start in range(0, len(numbers), 5):
        found += await asyncio.gather(*(fetch(number) for number in numbers[start : start + 5]))
    return found


async def returns_the_gather(fetch: Any, numbers: list[int]) -> Any:
    return asyncio.gather(*(fetch(number) for number in numbers))


async def returns_coroutines(fetch: Any, numbers: list[int]) -> Any:
    return [fetch(number) for number in numbers]


async def returns_nothing(fetch: Any, numbers: list[int]) -> None:
    await asyncio.gather(*(fetch(number) for number in numbers))


def plain(fetch: Any, numbers: list[int]) -> list[int]:
    return [0 for _ in numbers]


async def a_plain_with(fetch: Any, numbers: list[int]) -> list[int]:
    gate = asyncio.Semaphore(3)

    async def one(number: int) -> int:
        with gate:  # type: ignore[attr-defined]
            return await fetch(number)  # type: ignore[no-any-return]

    return await asyncio.gather(*(one(number) for number in numbers))


async def one_generator(fetch: Any, numbers: list[int]) -> Any:
    return await asyncio.gather(fetch(number) for number in numbers)  # type: ignore[arg-type]


async def one_list(fetch: Any, numbers: list[int]) -> Any:
    return await asyncio.gather([fetch(number) for number in numbers])  # type: ignore[call-overload]


WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "00a": (
        (in_turn, "one after another"),
        (all_at_once, "All calls run at the same time"),
        (a_gate_each, "one asyncio.Semaphore(3) for all calls"),
        (a_plain_with, "Write `async with`"),
        (one_generator, "put a * in front"),
        (one_list, "put a * in front"),
        (two_at_a_time, "room for 3 calls"),
        (five_at_a_time, "More than 3 calls"),
        (returns_the_gather, "Put an await in front of asyncio.gather"),
        (returns_coroutines, "coroutines that never ran"),
        (returns_nothing, "Return the list of results"),
        (plain, "write `async def`"),
    ),
}
