"""Plausible wrong answers for the exercise of notebook 02, and a piece of what they must be told."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import requests

TURN = threading.Lock()


async def only_async_in_name(url: str, headers: dict[str, str]) -> Any:
    return requests.get(url, headers=headers, timeout=10).json()


async def called_too_early(url: str, headers: dict[str, str]) -> Any:
    return await asyncio.to_thread(requests.get(url, headers=headers, timeout=10).json)


async def an_await_in_front(url: str, headers: dict[str, str]) -> Any:
    return await requests.get(url, headers=headers, timeout=10).json()


async def a_response_called(url: str, headers: dict[str, str]) -> Any:
    return await asyncio.to_thread(requests.get(url, headers=headers, timeout=10))  # type: ignore[arg-type]


async def never_awaited(url: str, headers: dict[str, str]) -> Any:
    return asyncio.to_thread(requests.get, url, headers=headers, timeout=10)


async def a_response(url: str, headers: dict[str, str]) -> Any:
    return await asyncio.to_thread(requests.get, url, headers=headers, timeout=10)


async def nothing_back(url: str, headers: dict[str, str]) -> Any:
    (await asyncio.to_thread(requests.get, url, headers=headers, timeout=10)).json()


async def without_the_key(url: str, headers: dict[str, str]) -> Any:
    return (await asyncio.to_thread(requests.get, url, timeout=10)).json()


async def headers_as_parameters(url: str, headers: dict[str, str]) -> Any:
    return (await asyncio.to_thread(requests.get, url, headers, timeout=10)).json()


async def json_of_a_promise(url: str, headers: dict[str, str]) -> Any:
    return await asyncio.to_thread(requests.get, url, headers=headers, timeout=10).json()  # type: ignore[attr-defined]


async def a_task_of_a_response(url: str, headers: dict[str, str]) -> Any:
    return (await asyncio.create_task(requests.get(url, headers=headers, timeout=10))).json()  # type: ignore[arg-type]


async def other_rows(url: str, headers: dict[str, str]) -> Any:
    return [{"id": 1}]


def not_async_any_more(url: str, headers: dict[str, str]) -> Any:
    return requests.get(url, headers=headers, timeout=10).json()


async def one_after_another(url: str, headers: dict[str, str]) -> Any:
    def in_turn() -> Any:
        with TURN:
            return requests.get(url, headers=headers, timeout=10).json()

    return await asyncio.to_thread(in_turn)


async def a_client_for_each_call(url: str, headers: dict[str, str]) -> Any:
    # Slower than on most machines, so that the test does not depend on one.
    clients = [httpx.AsyncClient(trust_env=False) for _ in range(2)]
    async with clients[0] as client:
        return (await client.get(url, headers=headers)).json()


WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "02a": (
        (only_async_in_name, "still runs on the loop's own thread"),
        (called_too_early, "only its result passed on"),
        (an_await_in_front, "does not move it to another thread"),
        (a_task_of_a_response, "does not move it to another thread"),
        (other_rows, "Use the url and headers that your function receives"),
        (a_response_called, "and its arguments after it"),
        (one_after_another, "each call waits for the one before it"),
        (a_client_for_each_call, "loads certificates each time"),
        (not_async_any_more, "must stay `async def`"),
        (a_response, ".json() turns it into a list"),
        (never_awaited, "something to await, not the rows"),
        (nothing_back, "Is there a return?"),
        (without_the_key, "headers=headers"),
        (headers_as_parameters, "by name: headers=headers"),
        (json_of_a_promise, "Await it first, in parentheses"),
    ),
}
