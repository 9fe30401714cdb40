"""The lab's own figures, run by hand: ``python tests/bench_lab.py [--quick]`` prints one line for each promise.

The load comes from bare sockets with a minimal parser, so that what is measured is the lab. Connections are opened
and used once before the clock starts.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from urllib.parse import urlsplit

import psutil

from supalab.lab.handle import Lab

try:
    from uvloop import run
except ImportError:
    from asyncio import run

PATH = "/rest/v1/contests?select=*&limit=10"


class Caller(asyncio.Protocol):
    """One kept connection: sends a request, notes how long the whole answer took, and sends the next."""

    def __init__(self, request: bytes, notes: list[float], done: asyncio.Semaphore) -> None:
        self.request, self.notes, self.done = request, notes, done
        self.buffer = b""
        self.left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def begin(self, count: int) -> None:
        self.left = count
        self.send()

    def send(self) -> None:
        self.left -= 1
        self.asked = time.perf_counter()
        self.transport.write(self.request)  # type: ignore[attr-defined]

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


async def burst(lab: Lab, wide: int, each: int, latency: float = 0.0) -> tuple[list[float], float]:
    """Send ``each`` requests on each of ``wide`` connections; return the latencies and the makespan, in seconds."""
    address = urlsplit(lab.url)
    request = f"GET {PATH} HTTP/1.1\r\nHost: {address.netloc}\r\napikey: {lab.key}\r\n\r\n".encode()
    notes: list[float] = []
    done = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    callers = []
    for _ in range(wide):
        made = await loop.create_connection(lambda: Caller(request, notes, done), "127.0.0.1", address.port)
        callers.append(made[1])
        callers[-1].begin(1)
        await done.acquire()
    notes.clear()
    lab.set(latency=latency)
    lab.reset()
    start = time.perf_counter()
    for caller in callers:
        caller.begin(each)
    for _ in callers:
        await done.acquire()
    makespan = time.perf_counter() - start
    for caller in callers:
        caller.transport.close()  # type: ignore[attr-defined]
    return notes, makespan


def precision(latency: float, wide: int, each: int) -> None:
    """Print p50 and p99 as multiples of the latency that was asked for."""
    with Lab() as lab:
        notes, makespan = run(burst(lab, wide, each, latency))
        seen = lab.witness()
    cuts = statistics.quantiles(notes, n=100)
    print(
        f"{wide} in flight x {latency * 1000:g} ms, {len(notes)} requests: p50 {cuts[49] / latency:.3f}, "
        f"p99 {cuts[98] / latency:.3f}, max {max(notes) / latency:.3f} of the latency; "
        f"witness: peak {seen.peak}, mean {seen.busy_s / makespan:.0f} in flight; makespan {makespan:.2f} s"
    )


def throughput(wide: int, each: int) -> None:
    """Print how many requests a second the lab takes without latency."""
    with Lab() as lab:
        run(burst(lab, 10, 50))
        notes, makespan = run(burst(lab, wide, each))
    print(f"no latency, {wide} in flight: {len(notes) / makespan:.0f} requests a second")


def readiness(times: int) -> None:
    """Print how long a lab takes from start to ready, and from stop to gone."""
    starts, stops = [], []
    for _ in range(times):
        begin = time.perf_counter()
        lab = Lab().start()
        starts.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        lab.stop()
        stops.append(time.perf_counter() - begin)
    print(f"ready after {statistics.median(starts):.2f} s (worst {max(starts):.2f}); ", end="")
    print(f"stopped after {statistics.median(stops):.2f} s (worst {max(stops):.2f})")


def memory(requests: int) -> None:
    """Print the lab's memory before and after many requests."""
    with Lab() as lab:
        process = psutil.Process(lab.pid)
        run(burst(lab, 100, 50))
        before = process.memory_full_info().uss
        readings = []
        for _ in range(3):
            run(burst(lab, 100, requests // 300))
            readings.append(process.memory_full_info().uss - before)
    print(
        f"memory {before / 2**20:.1f} MB; after each of 3 x {requests // 3} requests: "
        + ", ".join(f"{grown / 2**10:+.0f} KB" for grown in readings)
    )


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests")
    share = 10 if parser.parse_args().quick else 1
    readiness(5)
    precision(0.15, 100, max(1, 20 // share))
    for _ in range(3):
        precision(0.15, 1_000, max(1, 10 // share))
        precision(0.15, 1_000, 1)
    throughput(50, 200 // share)
    memory(30_000 // share)


if __name__ == "__main__":
    main()
