"""``python -m supalab.measure.worker``: does one job in a fresh process and reports its numbers.

The key comes from the parent's line and not from argv, where other users could read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from supalab.clients.arms import Arm, arm
from supalab.clients.base import BaseClient
from supalab.errors import SupalabError
from supalab.measure.burst import arrivals, burst
from supalab.measure.cancelled import cancelled
from supalab.measure.held import held
from supalab.measure.machine import machine, versions
from supalab.measure.memory import TICKER_S, LoopLag, Sampler
from supalab.measure.workload import Workload
from supalab.process.attach import Attachment, attach_to_parent
from supalab.process.tuning import raise_file_limit
from supalab.settings import Settings

__all__ = ["JOBS", "Asked", "late_imports", "main"]

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy")
# What a kind of client imports only when it is built or first used: not its requests' memory or time, so it is loaded
# before the baseline. Found by `late_imports`; a test runs every default arm and checks that none is missing.
# encodings.idna: the loop looks up each address by it, were it a number. importlib.…: how certifi finds its file, the
# second from Python 3.13 on.
CERTIFI = ("certifi", "importlib.readers", "importlib.resources._adapters")
HTTPX = ("httpcore", "httpcore._backends.anyio", "anyio._backends._asyncio", *CERTIFI, "encodings.idna")
OURS = (*CERTIFI, "encodings.idna")
AT_FIRST_USE: Mapping[str, tuple[str, ...]] = {
    "article": HTTPX,
    "httpx-threads": HTTPX,
    "kept": HTTPX,
    "gated": HTTPX,
    "real": OURS,
    "real-httpx": HTTPX,
    "httpx": HTTPX,
    "httpx-over-ours": OURS,
    "httpx2": ("httpcore2", "httpcore2._backends.anyio", "anyio._backends._asyncio", "truststore"),
    "supabase": HTTPX,
    "to-thread": HTTPX,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job is asked: an arm with its settings, a workload, the job's own options; ``parent`` to report to."""

    arm: Arm
    settings: Settings
    workload: Workload
    options: Mapping[str, Any]
    parent: Attachment

    def client(self) -> BaseClient:
        """Make the arm's client."""
        return self.arm.build(self.settings)


#: What a job reports: ``numbers`` by name and, where requests were made, ``spans`` as rows. A job that ends in a way of
#: its own reports itself and returns ``None``.
Result: TypeAlias = "dict[str, Any] | None"


def main() -> int:
    """Do the parent's one job; 0 when a result was reported, failures of the job included."""
    with attach_to_parent() as parent:
        _without_proxies(os.environ)
        try:
            result = _do(parent.options, parent)
        except SupalabError as error:
            status = getattr(error, "status", None)
            result = {"error": {"type": type(error).__name__, "status": status, "text": str(error)}}
        if result is not None:
            parent.report(result)
    return 0


def _do(job: Mapping[str, Any], parent: Attachment) -> Result:
    chosen = arm(job["arm"])
    asked = Asked(chosen, Settings(**job["settings"]), Workload(**job["workload"]), job["options"], parent)
    chosen.load()
    for module in AT_FIRST_USE.get(chosen.kind, ()):
        # Another version of a library may keep its parts elsewhere: then they are loaded late, and that is all.
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(module)
    result = JOBS[job["job"]](asked)
    return None if result is None else result | {"versions": versions(), "machine": machine()}


def _without_proxies(environ: Any) -> None:
    """Keep loopback traffic on loopback; with no NETRC set, requests would read ~/.netrc and replace our key."""
    for name in list(environ):
        if name.lower() in PROXIES:
            del environ[name]
    environ["NETRC"] = os.devnull


async def check(asked: Asked) -> Result:
    """Read one row, to find out whether address, key, table and columns work."""
    load = asked.workload
    async with asked.client() as client:
        rows = await client.select(load.table, columns=load.columns, limit=1)
    return {"numbers": {"rows": len(rows)}}


async def idle(asked: Asked) -> Result:
    """Measure how late timers are on an idle event loop on this machine."""
    ticker = LoopLag(asked.options["ticker"])
    ticker.start()
    await asyncio.sleep(asked.options["seconds"])
    ticker.stop()
    return {"numbers": _lag(ticker)}


async def observed(asked: Asked) -> Result:
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
    memory = sampler.memory
    numbers = {
        "cpu_ms": 1000 * max(cpu, 0.0) / asked.workload.requests,
        "threads": sampler.threads_peak,
        **({"base_bytes": memory.base_bytes, "added_bytes": memory.added_bytes} if memory else {}),
        **_lag(ticker),
    }
    return {"numbers": numbers, "spans": spans, "late_imports": late_imports(known)}


async def bare(asked: Asked) -> Result:
    """Run one burst with the process's CPU clock as the only instrument.

    First come ``warm_up`` requests that are not counted, because costs that occur once per process, such as loading
    certificates, are not a request's cost. Without a warm-up, making the client is counted, as in a script. Slots are
    not recorded, because with some pools that is slow.
    """
    warm_up = asked.options.get("warm_up", 0)
    raise_file_limit()
    gc.collect()
    cpu = time.process_time()
    client = asked.client()
    try:
        if warm_up:
            await burst(client, replace(asked.workload, requests=warm_up), watch=False)
            gc.collect()
            cpu = time.process_time()
        spans = await burst(client, asked.workload, watch=False)
        cpu = time.process_time() - cpu
    finally:
        await client.aclose()
    return {"numbers": {"cpu_ms": 1000 * cpu / asked.workload.requests}, "spans": spans}


def memory_held(asked: Asked) -> Result:
    """Report the memory with all requests in flight, then exit without waiting for threads and callers."""

    def leave(found: dict[str, Any]) -> None:
        asked.parent.report(found)
        asked.parent.leave()

    asyncio.run(held(asked.client, asked.workload, leave))
    return None


def cancellation(asked: Asked) -> Result:
    """Cancel all callers and report when each part ended, including the process itself."""
    cancelled(asked.client, asked.workload, asked.options, asked.parent.report)
    return None


async def arrive(asked: Asked) -> Result:
    """Start requests at ``rate`` per second, at random times, whether others are answered or not."""
    async with asked.client() as client:
        return {"numbers": {}, "spans": await arrivals(client, asked.workload, asked.options["rate"])}


def facts(asked: Asked) -> Result:
    """Run an experiment's own checks that no burst covers; imported by name, as experiments import this module."""
    return {"numbers": importlib.import_module("supalab.experiments.claims_facts").facts()}


def traffic(asked: Asked) -> Result:
    """Send traffic to the service at the address in the settings."""
    from supalab.measure.traffic import Traffic, run_traffic

    url = asked.settings.base + asked.options["path"]
    load = Traffic(**asked.options["traffic"])
    return run_traffic(url, asked.settings.headers, load, asked.options["start"])


def _lag(ticker: LoopLag) -> dict[str, float]:
    lag = ticker.lag
    return {f"lag_{part}_s": value for part, value in asdict(lag).items()} if lag else {}


def _in_loop(job: Callable[[Asked], Coroutine[Any, Any, Result]]) -> Callable[[Asked], Result]:
    return lambda asked: asyncio.run(job(asked))


#: All jobs that a case may name. To add a job, write a function and add it here.
JOBS: Mapping[str, Callable[[Asked], Result]] = {
    "check": _in_loop(check),
    "burst": _in_loop(observed),
    "bare": _in_loop(bare),
    "idle": _in_loop(idle),
    "held": memory_held,
    "cancel": cancellation,
    "arrive": _in_loop(arrive),
    "facts": facts,
    "traffic": traffic,
}


def late_imports(known: set[str]) -> list[str]:
    """Return the modules imported since ``known`` was taken; their memory would wrongly count as the requests'."""
    return sorted(set(sys.modules) - known)


if __name__ == "__main__":
    sys.exit(main())
