"""Benchmarks of the lab, run by hand: ``python tests/bench_lab.py [--against CHECKOUT] [--quick]``.

With ``--against`` each number is measured for both checkouts in turns, within one run, so that their ratio is reliable
on a busy machine. The load comes from bare sockets with a minimal parser, so that the lab is measured and not a client.
Connections are opened and used once before the clock starts. "Kept" means the same request repeatedly, which the lab
answers from memory; "not kept" means a different request each time.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import psutil

try:
    from uvloop import run
except ImportError:
    from asyncio import run

PATH = "/rest/v1/contests?select=*&limit=10"
LATENCY = 0.15
WIDE = 1_000

# Runs one lab of a checkout: prints how to reach it, then changes its conditions, one line of JSON each.
HOLDER = """
import json, sys, time
from supalab.lab.handle import Lab
begin = time.perf_counter()
with Lab() as lab:
    ready = time.perf_counter() - begin
    print(json.dumps({"ready": ready, "url": lab.url, "key": lab.key, "pid": lab.pid}), flush=True)
    for line in sys.stdin:
        lab.set(**json.loads(line))
        print("{}", flush=True)
"""


class HeldLab:
    """A lab of a checkout, in a process of its own that imports that checkout."""

    def __init__(self, checkout: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        command = [sys.executable, "-P", "-c", HOLDER]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        said = self._heard()
        self.ready_s, self.key, self.process = said["ready"], said["key"], psutil.Process(said["pid"])
        self.address = urlsplit(said["url"])

    def _heard(self) -> dict[str, Any]:
        assert self._holder.stdout is not None
        return dict(json.loads(self._holder.stdout.readline()))

    def set(self, **conditions: float) -> None:
        """Change the lab's conditions."""
        assert self._holder.stdin is not None
        self._holder.stdin.write(json.dumps(conditions).encode() + b"\n")
        self._holder.stdin.flush()
        self._heard()

    def cpu_s(self) -> float:
        """Return the processor time that the lab has used."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> int:
        """Return the bytes that only the lab uses."""
        return int(self.process.memory_full_info().uss)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.communicate()


class Caller(asyncio.Protocol):
    """One kept connection: sends a request, notes how long the whole answer took, and sends the next."""

    def __init__(self, requests: Iterator[bytes], notes: list[float], done: asyncio.Semaphore) -> None:
        self.requests, self.notes, self.done = requests, notes, done
        self.buffer = b""
        self.left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def begin(self, count: int) -> None:
        self.left = count
        self.send()

    def send(self) -> None:
        self.left -= 1
        request = next(self.requests)
        self.asked = time.perf_counter()
        self.transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        assert head.startswith(b"HTTP/1.1 200"), head
        self.buffer = b""
        self.notes.append(time.perf_counter() - self.asked)
        if self.left:
            self.send()
        else:
            self.done.release()


async def burst(lab: HeldLab, wide: int, each: int, latency: float = 0.0, *, kept: bool = True) -> list[float]:
    """Send ``each`` requests on each of ``wide`` connections; return the latencies in seconds."""
    request = f"GET {PATH}{{}} HTTP/1.1\r\nHost: {lab.address.netloc}\r\napikey: {lab.key}\r\n\r\n"
    more = itertools.repeat("") if kept else (f"&id=gt.-{number}" for number in NUMBERS)
    requests = (request.format(text).encode() for text in more)
    notes: list[float] = []
    done = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    callers = []
    lab.set(latency=0)
    for _ in range(wide):
        made = await loop.create_connection(lambda: Caller(requests, notes, done), "127.0.0.1", lab.address.port)
        callers.append(made[1])
        callers[-1].begin(1)
        await done.acquire()
    notes.clear()
    lab.set(latency=latency)
    for caller in callers:
        caller.begin(each)
    for _ in callers:
        await done.acquire()
    for caller in callers:
        caller.transport.close()  # type: ignore[attr-defined]
    return notes


#: No two "not kept" requests are the same.
NUMBERS = itertools.count(1)


def cpu(lab: HeldLab, each: int, *, kept: bool) -> float:
    """Return the milliseconds of processor time for one request, 50 at once, no latency."""
    run(burst(lab, 50, 10, kept=kept))
    before = lab.cpu_s()
    notes = run(burst(lab, 50, each, kept=kept))
    return 1000 * (lab.cpu_s() - before) / (len(notes) + 50)  # each connection was used once before


def p99(lab: HeldLab, each: int, *, kept: bool) -> float:
    """Return p99 as a multiple of the chosen latency, with 1,000 in flight."""
    notes = run(burst(lab, WIDE, each, LATENCY, kept=kept))
    return statistics.quantiles(notes, n=100)[98] / LATENCY


def grown(lab: HeldLab, requests: int) -> float:
    """Return by how many KB the lab has grown after so many requests, from a warm start."""
    run(burst(lab, 100, 50))
    run(burst(lab, 100, 50, kept=False))
    before = lab.memory()
    run(burst(lab, 100, requests // 200))
    run(burst(lab, 100, requests // 200, kept=False))
    return (lab.memory() - before) / 2**10


Measure = Callable[[HeldLab], float]


def measures(share: int) -> list[tuple[str, Measure, Callable[[list[float]], float], int]]:
    """Return (name, measure, which of its values counts, how often it is measured)."""
    each, many = max(1, 200 // share), max(1, 5 // share)
    return [
        ("start to ready, s (median)", lambda lab: lab.ready_s, statistics.median, 5),
        ("CPU for a request, kept, ms (median)", lambda lab: cpu(lab, each, kept=True), statistics.median, 3),
        ("CPU for a request, not kept, ms (median)", lambda lab: cpu(lab, each, kept=False), statistics.median, 3),
        ("p99 / latency, kept, once (best)", lambda lab: p99(lab, 1, kept=True), min, 3),
        ("p99 / latency, not kept, once (best)", lambda lab: p99(lab, 1, kept=False), min, 3),
        ("p99 / latency, kept, again and again (best)", lambda lab: p99(lab, many, kept=True), min, 3),
        ("p99 / latency, not kept, again and again (best)", lambda lab: p99(lab, many, kept=False), min, 3),
        ("memory when ready, MB (median)", lambda lab: lab.memory() / 2**20, statistics.median, 3),
        ("growth in 30,000 requests, KB", lambda lab: grown(lab, 30_000 // share), statistics.median, 1),
    ]


def main() -> None:
    """Measure everything, and print one line for each number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout, measured in turns with this one")
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests")
    parser.add_argument("--only", default="", help="only figures whose words contain this")
    arguments = parser.parse_args()
    checkouts = [Path(__file__).resolve().parents[1], *([arguments.against.resolve()] if arguments.against else [])]
    print(f"{'':50}{'this':>10}" + f"{'other':>10}{'this/other':>12}" * (len(checkouts) - 1))
    for words, measure, best, times in measures(10 if arguments.quick else 1):
        if arguments.only not in words:
            continue
        taken: list[list[float]] = [[] for _ in checkouts]
        for _ in range(times):
            for values, checkout in zip(taken, checkouts, strict=True):
                with HeldLab(checkout) as lab:
                    values.append(measure(lab))
        figures = [best(values) for values in taken]
        line = f"{words:50}" + "".join(f"{figure:10.3f}" for figure in figures)
        print(line + (f"{figures[0] / figures[1]:12.2f}" if len(figures) > 1 else ""), flush=True)


if __name__ == "__main__":
    main()
