"""Rows 10, 39 and 41 of the fault table: many clients, one failure among many calls, a loop that is never blocked."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
import requests
from blockbuster import BlockingError, blockbuster_ctx
from faultserver import Exchange, FaultServer, reply, slow

from supalab import SupabaseAsync
from supalab.clients.base import Client
from supalab.errors import ApiError
from supalab.replies import Reply
from supalab.settings import Settings
from supalab.wire import Call

KEY = "sb_publishable_of_these_tests"
ONE = [{"id": 1}]


async def one_is_bad(exchange: Exchange) -> None:
    await slow(0.05)(exchange) if "n7?" not in exchange.target else await reply("400 Bad", b"{}")(exchange)


async def test_row_39_one_failure_among_fifty_is_one_failure() -> None:
    """gather with return_exceptions: forty-nine answers and one error, and no task is left."""
    with FaultServer(one_is_bad) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            results = await asyncio.gather(*(client.select(f"n{i}") for i in range(50)), return_exceptions=True)
            left = asyncio.all_tasks() - {asyncio.current_task()}
    assert [result for result in results if result != ONE] == [results[7]]
    assert isinstance(results[7], ApiError)
    assert not left


async def test_row_39_a_task_group_stops_the_others_and_the_client_lives_on() -> None:
    """In a TaskGroup the first failure cancels the rest; afterwards the client serves at its full limit."""
    with FaultServer(one_is_bad) as server:
        async with SupabaseAsync(server.url, KEY, limit=5) as client:
            with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
                async with asyncio.TaskGroup() as group:
                    for i in range(50):
                        group.create_task(client.select(f"n{i}"))
            assert [type(error) for error in caught.value.exceptions] == [ApiError]
            assert not asyncio.all_tasks() - {asyncio.current_task()}
            assert len(server.requests) < 50
            await server.calm(slow(0.2))
            assert await asyncio.gather(*(client.select("t") for _ in range(5))) == [ONE] * 5
            assert server.peak == 5


class NaiveClient(Client):
    """A typical first attempt: ``async def`` with a blocking call inside."""

    def __init__(self, url: str) -> None:
        self._settings = Settings(url, KEY)

    async def _request(self, call: Call) -> Reply:
        answer = requests.get(self._settings.base + call.target, timeout=5)
        return Reply(answer.status_code, answer.headers, answer.content)

    async def aclose(self) -> None:
        return


async def everything(db: Client) -> None:
    """Every kind of call once."""
    await db.select("t")
    await db.insert("t", {"id": 1})
    await db.upsert("t", [{"id": 1}, {"id": 2, "a": 3}])
    await db.update("t", {"a": 1}, filters={"id": 1})
    await db.delete("t", filters={"id": 1})
    await db.rpc("f")
    await asyncio.gather(*(db.select("t") for _ in range(20)))


async def test_row_41_no_call_of_ours_blocks_the_loop() -> None:
    """blockbuster turns any blocking call on the loop into an error: a naive client makes one, ours does not."""
    with FaultServer(reply()) as server:
        naive = NaiveClient(server.url)
        client = SupabaseAsync(server.url, KEY)
        with blockbuster_ctx():
            with pytest.raises(BlockingError):
                await naive.select("t")
            await everything(client)
            server.fault = reply("503 Busy", b"{}")
            with pytest.raises(ApiError):
                await client.select("t")
            await client.aclose()


async def test_row_41_the_first_request_imports_nothing() -> None:
    """An import on a running loop blocks it for a fifth of a second, so the constructor imports everything."""
    code = """
import asyncio, sys
from supalab import SupabaseAsync
client = SupabaseAsync(sys.argv[1], None)
before = set(sys.modules)
async def main():
    async with client:
        await client.select("t")
asyncio.run(main())
late = [name for name in set(sys.modules) - before if name.split(".")[0] in ("aiohttp", "httpx", "httpx_aiohttp")]
print(sorted(late))
"""
    with FaultServer(reply()) as server:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, server.url, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await child.communicate()
    assert (printed.strip(), child.returncode) == (b"[]", 0)


def test_row_10_fifty_programs_in_one_process_leave_nothing() -> None:
    """Fifty event loops, each with a client of its own that is never closed: the loops' ends close the connections."""
    import psutil

    def program(url: str) -> Any:
        client = SupabaseAsync(url, KEY)
        result = asyncio.run(client.select("t"))
        asyncio.run(client.aclose())
        return result

    me: Any = psutil.Process()
    with FaultServer(reply()) as server:
        assert program(server.url) == ONE
        before = me.num_fds() if hasattr(me, "num_fds") else me.num_handles()
        for _ in range(50):
            program(server.url)
        after = me.num_fds() if hasattr(me, "num_fds") else me.num_handles()
    assert after <= before + 4  # the server's side, in this process too, ends a moment later
