"""Put a contest agent, or a service of your own, under load; the backend may get a fault meanwhile.

Each load comes from its own process. A service keeps running from one load to the next, unless a load may have broken
it (httpx's pool can break permanently): then it is started again.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from supalab.clients.arms import arm
from supalab.contest_agent.handle import Agent
from supalab.contest_agent.options import client_arm
from supalab.errors import SettingsError, TrialError
from supalab.lab.handle import Lab
from supalab.measure.case import Case, Number, Span
from supalab.measure.child import job, run_worker
from supalab.measure.machine import machine, versions
from supalab.measure.traffic import Traffic
from supalab.measure.workload import Workload
from supalab.settings import Settings

__all__ = ["PATH", "Private", "case_of", "ideal", "send", "serve", "service_arm"]

#: Each request to the service causes exactly one request to the backend.
PATH = "/contests?size=10"
#: What the generator, the service and the lab run on; they are processes of their own, so none is loaded here.
ELSEWHERE = ("fastapi", "httptools", "httpx", "requests", "starlette", "urllib3", "uvicorn")
START_S, REACH_S, WORKER_S = 1.2, 5.0, 60.0
QUIET_S, LOOK_S, SETTLE_S = 0.3, 0.05, 20.0
#: A service of N slots is full at N / latency requests per second, and with bursts too slow somewhat earlier.
USUAL_PART = 0.8
TIMEOUT_S = 5.0

Tick = Callable[[float], None]


class Private(str):
    """A path that shows itself, and is saved, without its query, which may hold a key; ``whole`` has it."""

    whole: str

    def __new__(cls, path: str) -> Private:
        """Keep the whole path together with its displayed form."""
        made = super().__new__(cls, path.partition("?")[0])
        made.whole = path
        return made


def case_of(
    arm: str,
    latency: float | None,
    traffic: Traffic,
    *,
    tags: Mapping[str, Any],
    path: str = PATH,
    detail: bool = False,
    **more: Any,
) -> Case:
    """Return the case of a service on ``arm`` under traffic.

    ``more``: ``client_timeout``, that of the service's client in seconds; ``fault``, the lab's conditions ``from`` one
    second ``until`` another; ``idle``, seconds with one caller before the traffic, which give the idle response time.
    """
    seconds = traffic.duration + (more["idle"] + START_S if "idle" in more else 0.0)
    options = {"path": path, "traffic": asdict(traffic), "seconds": seconds, **more}
    return Case(arm, Workload(len(traffic.arrivals) or 1, latency), "serve", tags=tags, options=options, detail=detail)


def service_arm(name: str) -> str:
    """Return the name of an arm, with its limit, that a service can use; raises SettingsError for another one."""
    return client_arm(arm(name).name).name


def ideal(case: Case) -> dict[str, Number]:
    """Return the numbers of a case if the slots of the service's client were all that counts."""
    latency, rate = case.workload.latency or 0.0, case.options["traffic"]["rate"] or 0.0
    full = bool(case.limit) and rate > USUAL_PART * case.limit / latency
    never = None if full else latency
    return {"response_p50_s": latency, "response_p95_s": never, "errors": 0, "failures": "", "send_delay_p99_s": 0.0}


def serve(
    case: Case, settings: Settings, lab: Lab | None, stack: ExitStack, kept: dict[str, Any], tick: Tick
) -> dict[str, Any]:
    """Put the service of the case under its traffic; return numbers, spans, machine and versions, as a worker does.

    Without a lab ``settings`` has the service's address. ``kept`` holds the services that are up, ``stack`` ends them.
    """
    made_on = {"machine": machine(), "versions": {name: version(name) for name in ELSEWHERE} | versions()}
    options, traffic = case.options, Traffic(**case.options["traffic"])
    if lab is None:
        if not kept:
            kept["reached"] = _reach(settings.url)
        return send(settings, options["path"], traffic, tick=tick) | made_on
    if case.arm not in kept:
        how = {"timeout": options.get("client_timeout", TIMEOUT_S)}
        kept[case.arm] = stack.enter_context(Agent(client=case.arm, url=lab.url, key=lab.key, **how))
    agent, idle = kept[case.arm], {}
    address = Settings(agent.url, None, rest_path="")
    if "idle" in options:
        before = send(address, options["path"], Traffic(options["idle"], callers=1), tick=lambda _: None)["numbers"]
        if before["errors"]:
            raise TrialError(f"the service on {case.arm} fails when idle: {before['failures']}")
        idle = {"idle_s": before["response_p50_s"]}
        lab.reset()
    fault = _Fault(lab, options.get("fault"), time.time() + START_S)
    try:
        found = send(address, options["path"], traffic, start=fault.start, tick=lambda now: tick(fault.look(now)))
    finally:
        fault.end()
    _settle(lab)
    seen, numbers = lab.witness(), found["numbers"]
    seen_by = {
        "memory_bytes": agent.memory(),
        "in_flight_mean": seen.busy_s / numbers["lasted_s"],
        "failed_on_purpose": seen.errors,
    }
    if numbers["errors"] or numbers["disconnected"]:
        agent.stop()
        agent.start()
    return found | made_on | {"numbers": {**numbers, **idle, **seen_by, **fault.window(found["epoch"], traffic)}}


def send(
    service: Settings, path: str, traffic: Traffic, *, start: float | None = None, tick: Tick = lambda _: None
) -> dict[str, Any]:
    """Send traffic from a fresh process and return numbers, spans and ``epoch``; blocks until the last one is done.

    ``service``: its address, and a key if it takes one. ``start``: when to begin, as ``time.time``; at once by default.
    """
    options = {"path": getattr(path, "whole", path), "traffic": asdict(traffic), "start": start}
    # Any client will do: the traffic does not use it.
    asked = job("traffic", "real-1", service, Workload(1, None), options)
    limit = traffic.duration + traffic.timeout + WORKER_S
    raw = run_worker(asked, limit_s=limit, tick=tick, who="the load generator")
    return raw | {"spans": [Span(*row) for row in raw["spans"]]}


def _reach(url: str) -> bool:
    """Connect once, so that a wrong address is reported at once and not after minutes of failures."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), REACH_S).close()
    except OSError as error:
        raise SettingsError(f"no service answers at {url} ({error}): start it, or give its address") from None
    return True


class _Fault:
    """Changes the lab's conditions for some seconds of a load, and notes when that really was (``time.time``)."""

    def __init__(self, lab: Lab, asked: Mapping[str, Any] | None, start: float) -> None:
        self.start = start
        self._lab, self._usual = lab, lab.conditions
        self._conditions = dict(asked["conditions"]) if asked else {}
        self._due = [start + asked["from"], start + asked["until"]] if asked else []
        self._changed: list[float] = []

    def look(self, seconds: float) -> float:
        """Make the changes that are due; called about ten times a second."""
        if self._due and time.time() >= self._due[0]:
            self._due.pop(0)
            self._change(self._conditions if self._due else self._back())
            self._changed.append(time.time())
        return seconds

    def end(self) -> None:
        """Give the lab its usual conditions back, whatever happened."""
        if self._due and self._changed:
            self._change(self._back())

    def _back(self) -> dict[str, Any]:
        return {name: getattr(self._usual, name) for name in self._conditions}

    def _change(self, conditions: Mapping[str, Any]) -> None:
        if conditions:
            self._lab.set(**conditions)

    def window(self, epoch: float, traffic: Traffic) -> dict[str, float]:
        """Return when the fault began and ended, in the load's own seconds."""
        if traffic.flood:  # it keeps the generator's time
            return {"fault_from_s": traffic.flood_from, "fault_until_s": traffic.flood_until}
        if len(self._changed) == 2:
            return {"fault_from_s": self._changed[0] - epoch, "fault_until_s": self._changed[1] - epoch}
        if self._due:
            raise TrialError("the load was over before the fault: use a higher rate or more seconds after it")
        return {}


def _settle(lab: Lab) -> None:
    """Wait until the lab has been idle for a while, so that the rest of one load does not count for the next."""
    latest = time.monotonic() + SETTLE_S
    quiet_since, served = time.monotonic(), -1
    quiet = max(QUIET_S, 2 * lab.conditions.latency)
    while time.monotonic() < latest:
        seen = lab.witness()
        if seen.current or seen.served != served:
            quiet_since, served = time.monotonic(), seen.served
        elif time.monotonic() - quiet_since >= quiet:
            return
        time.sleep(LOOK_S)
