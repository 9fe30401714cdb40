"""Put a contest agent, or your own service, under load; the backend may have a fault during the load.

Each load comes from its own process. A service keeps running from one load to the next, unless a load may have broken
it (httpx's pool can break permanently): then it is started again.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import psutil

from supalab.clients.arms import arm
from supalab.contest_agent.handle import Agent
from supalab.contest_agent.options import client_arm
from supalab.errors import LabError, SettingsError, TrialError
from supalab.lab.conditions import Conditions
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.measure.case import Case, Span, Value, Workload
from supalab.measure.child import job, run_worker
from supalab.measure.instruments import machine, uss, versions
from supalab.measure.traffic import Traffic
from supalab.settings import Settings

#: Each request to the service causes exactly one request to the backend.
PATH = "/contests?size=10"
#: Libraries of the generator, the service and the lab; these are separate processes, so none of them is loaded here.
ELSEWHERE = ("fastapi", "httptools", "httpx", "requests", "starlette", "urllib3", "uvicorn")
START_S, REACH_S, WORKER_S = 1.2, 5.0, 60.0
QUIET_S, LOOK_S, STILL_S = 60.0, 0.02, 0.3
#: A service with N slots is full at N / latency requests per second; with random arrivals it is too slow somewhat
#: earlier.
USUAL_PART = 0.8
TIMEOUT_S = 5.0

#: Called during a measurement with the seconds so far.
Tick: TypeAlias = Callable[[float], None]


class Private(str):
    """A path that is shown and saved without its query, which may contain a key; ``whole`` has the query."""

    whole: str

    def __new__(cls, path: str) -> Private:
        """Keep the whole path together with its displayed form."""
        made = super().__new__(cls, path.partition("?")[0])
        made.whole = path
        return made


@dataclass(frozen=True, slots=True)
class Context:
    """What all cases of a run share: the lab, and the address for their clients.

    ``lab`` is ``None`` for a real project, which has no witness; ``base`` are its conditions unless a case names
    others. ``stack`` ends what must stay up between two cases, such as services, which a job keeps in ``kept``.
    """

    settings: Settings
    stack: ExitStack
    lab: Lab | None = None
    base: Conditions = field(default_factory=Conditions)
    kept: dict[str, Any] = field(default_factory=dict)


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

    ``more``: ``client_timeout``, that of the service's client in seconds; ``fault``, the lab's conditions between the
    seconds ``from`` and ``until``; ``idle``, seconds with one caller before the traffic, which give the idle response
    time.
    """
    seconds = traffic.duration + (more["idle"] + START_S if "idle" in more else 0.0)
    options = {"path": path, "traffic": asdict(traffic), "seconds": seconds, **more}
    return Case(arm, Workload(len(traffic.arrivals) or 1, latency), "serve", tags=tags, options=options, detail=detail)


def service_arm(name: str) -> str:
    """Return the name of an arm, with its limit, that a service can use; raises SettingsError for others."""
    return client_arm(arm(name).name).name


def ideal(case: Case) -> dict[str, Value]:
    """Return the numbers of a case as if only the slots of the service's client mattered."""
    latency, rate = case.workload.latency or 0.0, case.options["traffic"]["rate"] or 0.0
    full = bool(case.limit) and rate > USUAL_PART * case.limit / latency
    never = None if full else latency
    return {"response_p50_s": latency, "response_p95_s": never, "errors": 0, "failures": "", "send_delay_p99_s": 0.0}


def serve(case: Case, context: Context, tick: Tick) -> dict[str, Any]:
    """Put the service of the case under its traffic; return numbers, spans, machine and versions, like a worker.

    Without a lab the settings have the service's address.
    """
    if context.lab is None:
        if not context.kept:
            context.kept["reached"] = _reach(context.settings.url)
        found = send(context.settings, case.options["path"], Traffic(**case.options["traffic"]), tick=tick)
    else:
        found = _serve_ours(case, context, context.lab, tick)
    ran_on = {"machine": machine(), "versions": {name: version(name) for name in ELSEWHERE} | versions()}
    return {"numbers": found["numbers"], "spans": found["spans"] if case.detail else (), **ran_on}


def _serve_ours(case: Case, context: Context, lab: Lab, tick: Tick) -> dict[str, Any]:
    """Put a contest agent over the lab under the traffic of the case."""
    path, traffic, more = case.options["path"], Traffic(**case.options["traffic"]), dict[str, Any]()
    if case.arm not in context.kept:
        timeout = case.options.get("client_timeout", TIMEOUT_S)
        made = Agent(client=case.arm, url=lab.url, key=lab.key, timeout=timeout)
        context.kept[case.arm] = context.stack.enter_context(made)
    agent = context.kept[case.arm]
    address = Settings(agent.url, None, rest_path="")
    if "idle" in case.options:
        before = send(address, path, Traffic(case.options["idle"], callers=1))["numbers"]
        if before["errors"]:
            raise TrialError(f"the service on {case.arm} fails when idle: {before['failures']}")
        more["idle_s"] = before["response_p50_s"]
        lab.reset()
    fault = _Fault(lab, case.options.get("fault"), time.time() + START_S)

    def ticked(seconds: float) -> None:
        fault.change_if_due()
        tick(seconds)

    try:
        found = send(address, path, traffic, start=fault.start, tick=ticked)
    finally:
        fault.end()
    # The rest of this load must not count as part of the next one.
    seen, numbers = quiet(lab, 2 * lab.conditions.latency, STILL_S), found["numbers"]
    more |= {"memory_bytes": uss(psutil.Process(agent.pid)), "in_flight_mean": seen.busy_s / numbers["lasted_s"]}
    more |= {"failed_on_purpose": seen.errors, **fault.window(found["epoch"], traffic)}
    if numbers["errors"] or numbers["disconnected"]:
        agent.stop()
        agent.start()
    return {"numbers": numbers | more, "spans": found["spans"]}


def send(
    service: Settings, path: str, traffic: Traffic, *, start: float | None = None, tick: Tick = lambda _: None
) -> dict[str, Any]:
    """Send traffic from a fresh process and return numbers, spans and ``epoch``; blocks until the last one is done.

    ``service``: its address, and a key if it takes one. ``start``: when to begin, as ``time.time``; at once by default.
    """
    options = {"path": getattr(path, "whole", path), "traffic": asdict(traffic), "start": start}
    # Any arm works here: the traffic does not use its client.
    asked = job("traffic", "real-1", service, Workload(1, None), options)
    limit = traffic.duration + traffic.timeout + WORKER_S
    raw = run_worker(asked, limit_s=limit, tick=tick, who="the load generator")
    return raw | {"spans": [Span(*row) for row in raw["spans"]]}


def quiet(lab: Lab, latency: float, still_s: float = 0.0) -> Witness:
    """Wait until the lab has nothing in flight and has served nothing for ``still_s``; return what it saw."""
    still_s = max(still_s, latency) if still_s else 0.0
    since = time.monotonic()
    end, served = since + QUIET_S + 2 * latency, -1
    while True:
        seen, now = lab.witness(), time.monotonic()
        if seen.current or seen.served != served:
            since, served = now, seen.served
        if not seen.current and (now - since >= still_s or now > end):
            return seen
        if now > end:
            raise LabError(f"the lab still has {seen.current} requests in flight: does somebody else use it?")
        time.sleep(LOOK_S)


def _reach(url: str) -> bool:
    """Connect once, so that a wrong address is reported immediately, and not after minutes of failures."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), REACH_S).close()
    except OSError as error:
        raise SettingsError(f"no service answers at {url} ({error}): start it, or give its address") from None
    return True


class _Fault:
    """Changes the lab's conditions for some seconds of a load, and notes when it did so (``time.time``)."""

    def __init__(self, lab: Lab, asked: Mapping[str, Any] | None, start: float) -> None:
        self.start, self._lab = start, lab
        self._due, self._changed = list[tuple[float, dict[str, Any]]](), list[float]()
        if asked:
            usual = asdict(lab.conditions)
            back = {name: usual[name] for name in asked["conditions"]}
            self._due = [(start + asked["from"], dict(asked["conditions"])), (start + asked["until"], back)]

    def change_if_due(self) -> None:
        """Make the changes that are due; called about ten times a second."""
        if self._due and time.time() >= self._due[0][0]:
            self._lab.set(**self._due.pop(0)[1])
            self._changed.append(time.time())

    def end(self) -> None:
        """Restore the lab's usual conditions, whatever happened."""
        if self._due and self._changed:
            self._lab.set(**self._due[0][1])

    def window(self, epoch: float, traffic: Traffic) -> dict[str, float]:
        """Return when the fault began and ended, in seconds of the load."""
        if traffic.flood:  # the generator's clock
            return {"fault_from_s": traffic.flood_from, "fault_until_s": traffic.flood_until}
        if self._due:
            raise TrialError("the load was over before the fault: use a higher rate or more seconds after it")
        return dict(zip(("fault_from_s", "fault_until_s"), (at - epoch for at in self._changed), strict=False))
