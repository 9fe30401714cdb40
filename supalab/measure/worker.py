"""``python -m supalab.measure.worker``: does one job in a fresh process and reports its numbers.

The key comes from the parent's line and not from argv, where other users could read it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import importlib
import inspect
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from supalab.clients.arms import Arm, arm
from supalab.clients.base import BaseClient
from supalab.errors import SupalabError, TrialError
from supalab.measure.case import Workload
from supalab.measure.instruments import TICKER_S, LoopLag, Sampler, machine, uss, versions, written
from supalab.measure.traffic import Traffic, burst, run_traffic
from supalab.process.attach import Attachment, attach_to_parent
from supalab.process.tuning import raise_file_limit
from supalab.settings import Settings

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy")
# Modules that a kind of client imports only when it is created or first used. They are loaded before the baseline,
# because they are not part of its requests' memory or time. A test runs every default arm with `late_imports` and
# checks that none is missing. encodings.idna: the loop uses it for each address, even a numeric one. importlib.…:
# certifi finds its file with these, from Python 3.13 on with the second.
OURS = ("certifi", "importlib.readers", "importlib.resources._adapters", "encodings.idna")
HTTPX = ("httpcore", "httpcore._backends.anyio", "anyio._backends._asyncio", *OURS)
OVER_HTTPX = ("article", "httpx-threads", "kept", "gated", "real-httpx", "httpx", "supabase", "to-thread")
AT_FIRST_USE: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(OVER_HTTPX, HTTPX),
    **dict.fromkeys(("real", "httpx-over-ours"), OURS),
    "httpx2": ("httpcore2", "httpcore2._backends.anyio", "anyio._backends._asyncio", "truststore"),
}
#: What the program does after its callers have been cancelled: send a new request, close its client, or exit.
THENS = ("ask", "close", "leave")
LOOK_S = 0.05
# Between two checks, a process that only waits uses less CPU time than this, and one that still sends uses more.
REST_CPU_S = 0.002
RESTS = 4
#: The part of the server time after which the memory is read at the latest.
PATIENCE = 0.9


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of a job: an arm with its settings, a workload, the job's own options, ``parent`` for reports."""

    arm: Arm
    settings: Settings
    workload: Workload
    options: Mapping[str, Any]
    parent: Attachment

    def client(self) -> BaseClient:
        """Create the arm's client."""
        return self.arm.build(self.settings)

    async def request(self, client: BaseClient) -> None:
        """Send one request of the workload."""
        await client.select(self.workload.table, columns=self.workload.columns, limit=self.workload.limit)

    def report(self, found: dict[str, Any]) -> None:
        """Report the results of a job, with the machine and the versions."""
        self.parent.report(found | {"versions": versions(), "machine": machine()})


def main() -> int:
    """Do the parent's one job; return 0 if a result was reported, even that of a failed job."""
    with attach_to_parent() as parent:
        _without_proxies(os.environ)
        job = parent.options
        try:
            chosen = arm(job["arm"])
            chosen.load()
            for module in AT_FIRST_USE.get(chosen.kind, ()):
                # Another version of a library may have other modules: then they are loaded late, which does no harm.
                with contextlib.suppress(ModuleNotFoundError):
                    importlib.import_module(module)
            asked = Asked(chosen, Settings(**job["settings"]), Workload(**job["workload"]), job["options"], parent)
            found = JOBS[job["job"]](asked)
            found = asyncio.run(found) if inspect.iscoroutine(found) else found
            if found is not None:
                asked.report(found)
        except SupalabError as error:
            status = getattr(error, "status", None)
            parent.report({"error": {"type": type(error).__name__, "status": status, "text": str(error)}})
    return 0


def _without_proxies(environ: Any) -> None:
    """Keep proxies and ~/.netrc away: loopback traffic must stay on loopback, and requests would replace our key."""
    for name in list(environ):
        if name.lower() in PROXIES:
            del environ[name]
    environ["NETRC"] = os.devnull


async def check(asked: Asked) -> dict[str, Any]:
    """Read one row, to find out whether address, key, table and columns work."""
    async with asked.client() as client:
        await client.select(asked.workload.table, columns=asked.workload.columns, limit=1)
    return {"numbers": {}}


async def idle(asked: Asked) -> dict[str, Any]:
    """Measure how late timers are on an idle event loop on this machine."""
    ticker = LoopLag(asked.options["ticker"])
    ticker.start()
    await asyncio.sleep(asked.options["seconds"])
    ticker.stop()
    return {"numbers": ticker.numbers}


async def observed(asked: Asked) -> dict[str, Any]:
    """Run one burst with all instruments on.

    CPU time and threads count from before the client is made to the last response, without closing it.
    """
    sampler, ticker = Sampler().start(), LoopLag(asked.options.get("ticker", TICKER_S))
    client = None
    try:
        await ticker.calibrate()
        gc.collect()
        known = set(sys.modules)
        sampler.mark()
        ticker.start()
        cpu, instruments = time.process_time(), sampler.cpu_s
        client = asked.client()
        spans = await burst(client, asked.workload)
        cpu = time.process_time() - cpu - (sampler.cpu_s - instruments) - ticker.cpu_s
    finally:
        ticker.stop()
        sampler.stop()
        if client is not None:
            await client.aclose()
    numbers = {"cpu_ms": 1000 * max(cpu, 0.0) / asked.workload.requests, **sampler.numbers, **ticker.numbers}
    return {"numbers": numbers, "spans": spans, "late_imports": _late_imports(known)}


async def bare(asked: Asked) -> dict[str, Any]:
    """Run one burst with the process's CPU clock as the only instrument.

    First come ``warm_up`` requests that are not counted, because costs that occur once per process, such as loading
    certificates, are not the cost of a request. Without a warm-up, the creation of the client counts too, as in a
    script. With a ``rate``, requests start at random times, so many per second, whether or not others have a response;
    only then are slots recorded, because this is slow with some pools.
    """
    warm_up, rate = asked.options.get("warm_up", 0), asked.options.get("rate")
    raise_file_limit()
    gc.collect()
    cpu = time.process_time()
    async with asked.client() as client:
        if warm_up:
            await burst(client, replace(asked.workload, requests=warm_up), watch=False)
            gc.collect()
            cpu = time.process_time()
        spans = await burst(client, asked.workload, rate=rate, watch=rate is not None)
        cpu = time.process_time() - cpu
    return {"numbers": {"cpu_ms": 1000 * cpu / asked.workload.requests}, "spans": spans}


async def held(asked: Asked) -> None:
    """Send all requests at once, wait until the process is at rest, read the memory, report it and exit at once.

    ``threads`` are those in addition to the main one. The baseline is read when everything is imported and no client
    exists yet. The memory is read once, by this loop: no sampler runs at the same time. Shortly before the first
    response is due, it is read even if the process is not at rest; ``at_rest`` says whether that happened.
    """
    raise_file_limit()
    gc.collect()
    known, threads = set(sys.modules), threading.active_count()
    base_uss, base = _memory()
    client = asked.client()
    began = time.perf_counter()
    callers = [asyncio.create_task(asked.request(client)) for _ in range(asked.workload.requests)]
    still = await at_rest(PATIENCE * (asked.workload.latency or 0.0))
    settled = time.perf_counter() - began
    whole, own = _memory()
    numbers = {
        "base_bytes": base,
        "held_bytes": own - base,
        "uss_bytes": whole - base_uss,
        "threads": threading.active_count() - threads,
        "answered": sum(caller.done() for caller in callers),
        "at_rest": still,
        "settle_s": settled,
    }
    asked.report({"numbers": numbers, "late_imports": _late_imports(known)})
    asked.parent.leave()


async def at_rest(
    patience: float,
    *,
    cpu: Callable[[], float] = time.process_time,
    clock: Callable[[], float] = time.perf_counter,
    pause: Callable[[float], Any] = asyncio.sleep,
) -> bool:
    """Wait until this process is idle for several checks in a row; return False after ``patience`` seconds."""
    end, rests, before = clock() + patience, 0, cpu()
    while rests < RESTS:
        if clock() > end:
            return False
        await pause(LOOK_S)
        used = cpu()
        rests = rests + 1 if used - before < REST_CPU_S else 0
        before = used
    return True


def _memory() -> tuple[int, int]:
    """Return the unique set size, and the part of it that was written to."""
    whole, own = uss(), written()
    if whole is None or own is None:
        raise TrialError("this system does not tell a process's unique set size: memory cannot be measured here")
    return whole, own


def cancelled(asked: Asked) -> None:
    """Cancel all callers, and report when each part ended, after the process's threads have ended too.

    ``at_s``: seconds from the burst's start to the cancellation; ``then``: one of ``THENS``. Seconds count from the
    burst's start until the cancellation, and from the cancellation after that.
    """
    numbers, warm_s, began = asyncio.run(_cancelled(asked, **asked.options))
    numbers["run_s"] = time.perf_counter() - began

    def report() -> None:
        asked.report({"numbers": numbers | {"exit_s": time.perf_counter() - began}, "warm_s": warm_s})

    # Such functions run after the interpreter has joined all non-daemon threads, also an executor's: the process's work
    # is finished then.
    atexit.register(report)


async def _cancelled(asked: Asked, *, at_s: float, then: str, **_: Any) -> tuple[dict[str, Any], float, float]:
    """Start a caller for each request, cancel them all after ``at_s`` seconds, and do one of ``THENS``.

    Returns the numbers, when the first request had ended, and the clock's reading at the cancellation. That request is
    a warm-up, so that the cancellation does not hit the loading of certificates or first imports.
    """
    clock = time.perf_counter
    client = asked.client()
    await asked.request(client)
    warm = clock()
    callers = [asyncio.create_task(asked.request(client)) for _ in range(asked.workload.requests)]
    begun = clock()
    await asyncio.sleep(at_s)
    now = clock()
    for caller in callers:
        caller.cancel()
    ends = await asyncio.gather(*callers, return_exceptions=True)
    free = clock()
    found: dict[str, Any] = {
        "cancelled_s": now - begun,
        "free_s": free - now,
        "answered": sum(end is None for end in ends),
        "failed": sum(isinstance(end, Exception) for end in ends),
        "late_s": None,
        "late_outcome": None,
        "closed_s": None,
    }
    if then == "ask":
        # If the cancellation broke the pool, that is a result: this caller then has an error instead of a response.
        (late,) = await asyncio.gather(asked.request(client), return_exceptions=True)
        found |= {"late_s": clock() - free, "late_outcome": "ok" if late is None else type(late).__name__}
    if then != "leave":
        closing = clock()
        await client.aclose()
        found["closed_s"] = clock() - closing
    return found, warm - begun, now


def facts(asked: Asked) -> dict[str, Any]:
    """Run the checks of an experiment that no burst covers; imported by name, as experiments import this module."""
    return {"numbers": importlib.import_module("supalab.experiments.claims_facts").facts()}


def traffic(asked: Asked) -> dict[str, Any]:
    """Send traffic to the service at the address in the settings."""
    url, load = asked.settings.base + asked.options["path"], Traffic(**asked.options["traffic"])
    return run_traffic(url, asked.settings.headers, load, asked.options["start"])


#: All jobs that a case may name. To add a job, write a function or a coroutine function and add it here.
JOBS: Mapping[str, Callable[[Asked], Any]] = {
    "check": check,
    "burst": observed,
    "bare": bare,
    "idle": idle,
    "held": held,
    "cancel": cancelled,
    "facts": facts,
    "traffic": traffic,
}


def _late_imports(known: set[str]) -> list[str]:
    """Return the modules imported since ``known`` was taken; their memory would count as the requests' memory."""
    return sorted(set(sys.modules) - known)


if __name__ == "__main__":
    sys.exit(main())
