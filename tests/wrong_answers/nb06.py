"""Plausible wrong answers for the exercise of notebook 06, and a piece of what each must be told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import requests

from supalab.errors import ClientError


def catching(*kinds: type[BaseException]) -> Callable[[httpx.AsyncClient, str], Awaitable[Any]]:
    async def contests(client: httpx.AsyncClient, url: str) -> Any:
        try:
            answer = await client.get(url)
            answer.raise_for_status()
            return answer.json()
        except kinds as error:
            raise ClientError(f"{type(error).__name__}: {error}") from error

    return contests


async def names_what_is_not_there(client: httpx.AsyncClient, url: str) -> Any:
    try:
        answer = await client.get(url)
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, json.JSONDecodeError) as error:  # type: ignore[name-defined]  # noqa: F821
        raise ClientError(str(error)) from error


async def names_it_as_requests_does(client: httpx.AsyncClient, url: str) -> Any:
    try:
        answer = await client.get(url)
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, httpx.JSONDecodeError) as error:  # type: ignore[attr-defined]
        raise ClientError(str(error)) from error


async def never_looks(client: httpx.AsyncClient, url: str) -> Any:
    try:
        return (await client.get(url)).json()
    except (httpx.HTTPError, ValueError) as error:
        raise ClientError(str(error)) from error


async def returns_none(client: httpx.AsyncClient, url: str) -> Any:
    try:
        answer = await client.get(url)
        answer.raise_for_status()
    except (httpx.HTTPError, ValueError) as error:
        raise ClientError(str(error)) from error


async def keeps_silent(client: httpx.AsyncClient, url: str) -> Any:
    try:
        answer = await client.get(url)
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, ValueError):
        return []


async def raises_it_again(client: httpx.AsyncClient, url: str) -> Any:
    try:
        answer = await client.get(url)
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise error


async def returns_the_error(client: httpx.AsyncClient, url: str) -> Any:
    try:
        answer = await client.get(url)
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, ValueError) as error:
        return ClientError(str(error))


async def no_await(client: httpx.AsyncClient, url: str) -> Any:
    return client.get(url).json()  # type: ignore[attr-defined]


async def awaits_json(client: httpx.AsyncClient, url: str) -> Any:
    answer = await client.get(url)
    answer.raise_for_status()
    return await answer.json()


async def hides_its_own_mistake(client: httpx.AsyncClient, url: str) -> Any:
    try:
        return await (await client.get(url)).json()
    except Exception as error:
        raise ClientError(str(error)) from error


WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "06a": (
        (catching(requests.RequestException), "neither requests' errors nor"),
        (catching(OSError), "neither requests' errors nor"),
        (catching(httpx.HTTPStatusError), "has another name; one base class covers both"),
        (catching(httpx.HTTPError), "response.json() then raises a ValueError"),
        (catching(Exception), "Catch what a request can raise"),
        (catching(httpx.HTTPError, ValueError, httpx.InvalidURL), "not httpx.InvalidURL"),
        (catching(httpx.HTTPError, ValueError, RuntimeError), "mistakes in the program"),
        (catching(Exception, asyncio.CancelledError), "catching it breaks every timeout"),
        (names_what_is_not_there, "is its module imported"),
        (names_it_as_requests_does, "a name that its module does not have"),
        (catching([httpx.HTTPError, ValueError]), "several in parentheses"),  # type: ignore[arg-type]
        (never_looks, "as if it were rows"),
        (returns_none, "return response.json()"),
        (keeps_silent, "the caller was not told"),
        (raises_it_again, "not the same error again"),
        (returns_the_error, "You return the error"),
        (no_await, "client.get gives a coroutine"),
        (awaits_json, "an await before response.json()"),
        (hides_its_own_mistake, "its own except has hidden which"),
    ),
}
