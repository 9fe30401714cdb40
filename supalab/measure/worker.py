"""``python -m supalab.measure.worker``: runs one trial in a fresh process and reports its numbers.

The key comes from the parent, never by argv, where other users could read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from supalab.clients.arms import Arm, arm
from supalab.errors import SupalabError
from supalab.measure.burst import burst
from supalab.measure.cancelled import cancelled
from supalab.measure.costs.idle import idle
from supalab.measure.held import held
from supalab.measure.machine import machine, versions
from supalab.measure.memory import TICKER_S, LoopLag, Sampler
from supalab.measure.trial import Workload
from supalab.process.attach import Attachment, attach_to_parent
from supalab.process.tuning import raise_file_limit
from supalab.settings import Settings

__all__ = ["late_imports", "main", "measured", "unobserved"]

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy")
# What a kind of client imports only when it is built or first used: not its requests' memory or time, so it is loaded
# before the base line. Found by `late_imports`; a test runs every default arm and looks that none is left.
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


def main() -> int:
    """Do the parent's one job; 0 when a result was reported, failures of the job included."""
    with attach_to_parent() as parent:
        _without_proxies(os.environ)
        try:
            _do(parent.options, parent)
        except SupalabError as error:
            status = getattr(error, "status", None)
            parent.report({"error": {"type": type(error).__name__, "status": status, "text": str(error)}})
    return 0


def _do(job: Mapping[str, Any], parent: Attachment) -> None:
    chosen, settings = arm(job["arm"]), Settings(**job["settings"])
    workload = Workload(**job["workload"])
    if job["kind"] == "cancel":
        _load(chosen)
        cancelled(lambda: chosen.build(settings), workload, job, parent.report)
    elif job["kind"] == "held":
        _load(chosen)
        asyncio.run(held(lambda: chosen.build(settings), workload, _report_and_leave(parent)))
    else:
        parent.report(asyncio.run(_job(job, chosen, settings, workload)))


def _report_and_leave(parent: Attachment) -> Callable[[dict[str, Any]], None]:
    """End with requests in flight, whose threads and callers nobody waits for."""

    def leave(result: dict[str, Any]) -> None:
        parent.report(result)
        parent.leave()

    return leave


def _without_proxies(environ: Any) -> None:
    """Keep loopback traffic on loopback; with no NETRC set, requests would read ~/.netrc and replace our key."""
    for name in list(environ):
        if name.lower() in PROXIES:
            del environ[name]
    environ["NETRC"] = os.devnull


async def _job(job: Mapping[str, Any], chosen: Arm, settings: Settings, workload: Workload) -> dict[str, Any]:
    if job["kind"] == "check":
        async with chosen.build(settings) as client:
            rows = await client.select(workload.table, columns=workload.columns, limit=1)
        return {"rows": len(rows)}
    if job["kind"] == "idle":
        _load(chosen)
        return await idle(job["ticker"])
    if job["kind"] == "bench":
        return await unobserved(chosen, settings, workload, job["warm_up"])
    return await measured(chosen, settings, workload, job.get("ticker"))


async def measured(
    chosen: Arm, settings: Settings, workload: Workload, ticker_s: float | None = None
) -> dict[str, Any]:
    """Run one burst with all instruments on; JSON-ready, in the terms of ``Trial``.

    ``ticker_s``: seconds between the ticks that find the loop's lag. CPU and threads count from before the client is
    made to the last answer; closing it is left out.
    """
    _load(chosen)
    sampler, ticker = Sampler().start(), LoopLag(ticker_s or TICKER_S)
    client = None
    try:
        await ticker.calibrate()
        gc.collect()
        known = set(sys.modules)
        sampler.mark()
        ticker.start()
        cpu, instruments = time.process_time(), sampler.cpu_s
        client = chosen.build(settings)
        spans = await burst(client, workload)
        cpu = time.process_time() - cpu - (sampler.cpu_s - instruments) - ticker.cpu_s
    finally:
        ticker.stop()
        sampler.stop()
        if client is not None:
            await client.aclose()
    return {
        "spans": [(span.asked, span.started, span.done, span.outcome) for span in spans],
        "memory": asdict(sampler.memory) if sampler.memory else None,
        "cpu_s": max(cpu, 0.0),
        "threads_peak": sampler.threads_peak,
        "loop_lag": asdict(ticker.lag) if ticker.lag else None,
        "late_imports": late_imports(known),
        "versions": versions(),
        "machine": machine(),
    }


async def unobserved(chosen: Arm, settings: Settings, workload: Workload, warm_up: int) -> dict[str, Any]:
    """Run one burst with no instrument but the process's own clock of CPU; JSON-ready, in the terms of ``Trial``.

    Before that come ``warm_up`` requests that count for nothing: what is paid once for each process, such as
    loading certificates, is not a request's cost. With none, the making of the client is counted, as a script pays it.
    Nobody asks when a slot is taken either, as some pools answer dearly.
    """
    _load(chosen)
    raise_file_limit()
    gc.collect()
    cpu = time.process_time()
    client = chosen.build(settings)
    try:
        if warm_up:
            await burst(client, replace(workload, requests=warm_up), watch=False)
            gc.collect()
            cpu = time.process_time()
        spans = await burst(client, workload, watch=False)
        cpu = time.process_time() - cpu
    finally:
        await client.aclose()
    return {
        "spans": [(span.asked, span.started, span.done, span.outcome) for span in spans],
        "memory": None,
        "threads_peak": None,
        "loop_lag": None,
        "cpu_s": cpu,
        "versions": versions(),
        "machine": machine(),
    }


def _load(chosen: Arm) -> None:
    chosen.load()
    for module in AT_FIRST_USE.get(chosen.kind, ()):
        # Another version of a library may keep its parts elsewhere: then they are loaded late, and that is all.
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(module)


def late_imports(known: set[str]) -> list[str]:
    """Return the modules imported since ``known`` was taken: they count as memory of the requests, wrongly."""
    return sorted(set(sys.modules) - known)


if __name__ == "__main__":
    sys.exit(main())
