"""Benchmarks of the client, run by hand: ``python tests/bench_client.py [--quick] [ROW …]`` prints ratios and goals.

Both sides of a ratio take turns, each time in a fresh process against one lab; the median of five repeats is printed,
with the lowest and the highest. CPU time is that of the client's process, after a warm-up. Rows against the official
client need ``pip install -e ".[peers]"`` and are left out without it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from supalab.lab.handle import Lab

REPEAT = 5
ROWS, PAGE = 200_000, 1_000
WIDE = {"requests": 2_000, "limit": 1_000, "latency": 0.15}
IDEAL_S = WIDE["requests"] / WIDE["limit"] * WIDE["latency"]


class Row(NamedTuple):
    """One goal: ``work`` by ``ours`` and by ``theirs``; the ratio of a number (or ``ours`` alone) and its goal."""

    about: str
    work: str
    options: dict[str, Any]
    theirs: str
    number: str
    goal: float
    at_least: bool = False


NO_LATENCY = {"requests": 3_000, "limit": 10, "latency": 0.0}
TABLE = {
    "plain": Row("CPU, no latency, 10 wide: ours / aiohttp", "burst", NO_LATENCY, "aiohttp", "cpu_s", 1.0),
    "filters": Row(
        "the same, another filter in each request", "burst", NO_LATENCY | {"filters": True}, "aiohttp", "cpu_s", 1.0
    ),
    "wide": Row("CPU, 2,000 requests, limit 1,000, 150 ms: ours / aiohttp", "burst", WIDE, "aiohttp", "cpu_s", 0.8),
    "makespan": Row("makespan of that burst / ideal", "burst", WIDE, "ideal", "wall_s", 2.6),
    "official": Row("CPU, no latency, 10 wide: ours / official", "burst", NO_LATENCY, "supabase", "cpu_s", 0.12),
    "official-10": Row(
        "CPU, limit 10, 150 ms: ours / official",
        "burst",
        {"requests": 100, "limit": 10, "latency": 0.15},
        "supabase",
        "cpu_s",
        0.28,
    ),
    "official-100": Row(
        "CPU, limit 100, 50 ms: ours / official",
        "burst",
        {"requests": 1_000, "limit": 100, "latency": 0.05},
        "supabase",
        "cpu_s",
        0.03,
    ),
    "pages": Row(f"rows a second over {ROWS:,} rows: ours / aiohttp", "pages", {}, "aiohttp", "rows_per_s", 1.0, True),
    "import": Row("import and make a client: ours / import httpx", "imported", {}, "httpx", "cpu_s", 1.4),
}


class Asked(NamedTuple):
    """The task of a fresh process."""

    work: str
    who: str
    url: str
    key: str
    options: dict[str, Any]


# What the fresh processes do; libraries are imported only there.


async def burst(asked: Asked) -> dict[str, float]:
    """Read ten rows many times, at most ``limit`` at once."""
    options = asked.options
    one, close = OPENED[asked.who](asked)
    try:
        await asyncio.gather(*(one(number) for number in range(min(10, options["limit"]))))
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(one(number) for number in range(options["requests"])))
        return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    finally:
        await close()


Read = Callable[[int], Awaitable[Any]]
Close = Callable[[], Awaitable[None]]


def open_ours(asked: Asked) -> tuple[Read, Close]:
    from supalab import SupabaseAsync

    client = SupabaseAsync(asked.url, asked.key, limit=asked.options["limit"])
    if asked.options.get("filters"):
        return lambda number: client.select("contests", filters={"id": number}, limit=10), client.aclose
    return lambda number: client.select("contests", limit=10), client.aclose


def open_aiohttp(asked: Asked) -> tuple[Read, Close]:
    import aiohttp

    gate = asyncio.Semaphore(asked.options["limit"])
    session = aiohttp.ClientSession(
        headers={"apikey": asked.key, "Authorization": f"Bearer {asked.key}"},
        connector=aiohttp.TCPConnector(limit=asked.options["limit"]),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    address, filters = f"{asked.url}/rest/v1/contests", asked.options.get("filters")

    async def one(number: int) -> Any:
        query = {"select": "*", "limit": "10"} | ({"id": f"eq.{number}"} if filters else {})
        async with gate, session.get(address, params=query) as response:
            response.raise_for_status()
            return await response.json()

    return one, session.close


def open_supabase(asked: Asked) -> tuple[Read, Close]:
    import httpx
    import supabase

    limit = asked.options["limit"]
    http = httpx.AsyncClient(
        limits=httpx.Limits(max_connections=limit, max_keepalive_connections=limit),
        timeout=httpx.Timeout(60, pool=None),
        trust_env=False,
    )
    client = supabase.AsyncClient(asked.url, asked.key, supabase.AsyncClientOptions(httpx_client=http))
    gate = asyncio.Semaphore(limit)  # with its queue inside httpx's pool it would be even slower

    async def one(number: int) -> Any:
        async with gate:
            return (await client.table("contests").select("*").limit(10).execute()).data

    return one, http.aclose


OPENED = {"ours": open_ours, "aiohttp": open_aiohttp, "supabase": open_supabase}


async def pages(asked: Asked) -> dict[str, float]:
    """Read the whole table in pages; the imports are made before the clock starts."""
    import_module("supalab.clients.real" if asked.who == "ours" else "aiohttp")
    read = ours_in_pages if asked.who == "ours" else aiohttp_in_pages
    cpu, begin = time.process_time(), time.perf_counter()
    found = await read(asked)
    seconds = time.perf_counter() - begin
    assert found == ROWS, found
    return {"rows_per_s": found / seconds, "cpu_s": time.process_time() - cpu}


async def ours_in_pages(asked: Asked) -> int:
    from supalab import SupabaseAsync

    async with SupabaseAsync(asked.url, asked.key) as client:
        return sum([len(page) async for page in client.pages("things", size=PAGE)])


async def aiohttp_in_pages(asked: Asked) -> int:
    import aiohttp

    found = last = 0
    headers = {"apikey": asked.key, "Authorization": f"Bearer {asked.key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            query = {"select": "*", "order": "id", "limit": str(PAGE), "id": f"gt.{last}"}
            async with session.get(f"{asked.url}/rest/v1/things", params=query) as response:
                response.raise_for_status()
                rows = await response.json()
            if not rows:
                return found
            found, last = found + len(rows), rows[-1]["id"]


async def imported(asked: Asked) -> dict[str, float]:
    """Import in another new process, where nothing is imported yet."""
    code = {"httpx": "import httpx", "ours": "import supalab; supalab.SupabaseAsync('http://127.0.0.1:9', None)"}
    timed = f"import time; begin = time.process_time(); {code[asked.who]}; print(time.process_time() - begin)"
    command = [sys.executable, "-c", timed]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"cpu_s": float(done.stdout)}


WORK = {"burst": burst, "pages": pages, "imported": imported}

# What the first process does.


def in_fresh_process(asked: Asked) -> dict[str, float]:
    """Do the work in a fresh process and return its numbers."""
    command = [sys.executable, __file__, "--work", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    numbers: dict[str, float] = json.loads(done.stdout)
    return numbers


def measured(row: Row, lab: Lab, repeat: int) -> list[float]:
    """Return the ratio of each repeat; the two sides take turns."""
    lab.set(latency=row.options.get("latency", 0.0))
    found = []
    for _ in range(repeat):
        sides = ["ours"] if row.theirs == "ideal" else ["ours", row.theirs]
        values = [
            in_fresh_process(Asked(row.work, who, lab.url, lab.key or "", row.options))[row.number] for who in sides
        ]
        found.append(values[0] / (IDEAL_S if row.theirs == "ideal" else values[1]))
    return found


def with_many_rows(folder: str) -> Lab:
    """A lab with the contests and a long table."""
    seed = Path(folder) / "long.sql"
    seed.write_text(
        "CREATE TABLE contests (id INTEGER PRIMARY KEY, title TEXT, host TEXT, prize INTEGER, deadline TEXT);\n"
        "CREATE TABLE things (id INTEGER PRIMARY KEY, title TEXT, host TEXT, prize REAL, deadline TEXT);\n"
        + "\n".join(
            f"INSERT INTO {table} SELECT value, 'A contest called ' || value, 'host ' || value % 7, value * {factor}, "
            f"'2026-01-01T00:00:00+00:00' FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 "
            f"FROM n WHERE value < {count}) SELECT value FROM n);"
            for table, count, factor in (("contests", 100, 1), ("things", ROWS, 1.5))
        )
    )
    return Lab(seed=seed)


def main() -> int:
    """Measure the given rows, all by default; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of {', '.join(TABLE)}; all by default")
    parser.add_argument("--quick", action="store_true", help="two repeats")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        asked = Asked(*json.loads(options.work))
        print(json.dumps(asyncio.run(WORK[asked.work](asked))))
        return 0
    missed = 0
    with TemporaryDirectory() as folder, with_many_rows(folder) as lab:
        for name in options.rows or TABLE:
            row = TABLE[name]
            if row.theirs == "supabase" and find_spec("supabase") is None:
                print(f'{row.about}: left out, the official client is not installed: pip install -e ".[peers]"')
                continue
            found = measured(row, lab, 2 if options.quick else REPEAT)
            ratio = statistics.median(found)
            reached = ratio >= row.goal if row.at_least else ratio <= row.goal
            missed += not reached
            goal = f"goal {'>=' if row.at_least else '<='} {row.goal:g}: {'reached' if reached else 'missed'}"
            print(f"{row.about}: {ratio:.3f} ({min(found):.3f} to {max(found):.3f}), {goal}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
