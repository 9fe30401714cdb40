"""Sends requests to a service as its callers do: at random times (open loop), or one after another (closed loop).

An open loop never waits for a response before it sends the next request, so a slow service cannot make its own load
lighter. Each span keeps the intended start, because a request that was sent late has made its caller wait. Leaving that
wait out is called coordinated omission, and it makes a slow service look fast.

Why our own code: of the tools that pip can install, locust and molotov use closed loops; k6, artillery, vegeta, wrk2,
oha and hey need other runtimes. We need only a few dozen lines on the transport of our own client.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from random import Random
from typing import Any, TypeAlias

from supalab.errors import ResponseTooLarge, SettingsError
from supalab.measure.case import Number, Span
from supalab.measure.compare import percentile
from supalab.process.tuning import calm_collector, loop_factory, raise_file_limit

__all__ = [
    "CAPPED", "DISCONNECTED", "LATE_S", "LOST", "MOST_PER_S", "REFUSED", "TIMEOUT", "Send", "Traffic", "closed_loop",
    "failures", "open_loop", "poisson", "response", "run_traffic", "stayed", "traffic_numbers",
]  # fmt: skip

#: How a request can end, besides "ok" and "HTTP 503" and so on; a client that disconnects on purpose is not a failure.
DISCONNECTED, TIMEOUT = "disconnected", "timeout"
REFUSED, LOST, CAPPED = "no connection", "connection lost", "over the cap"
#: A generator whose requests are sent later than this (p99, seconds) has disturbed what it measures.
LATE_S = 0.02
#: More than one process of this kind can send.
MOST_PER_S = 2_000.0
MOST_CALLERS, LONGEST_S = 1_000, 3_600.0
#: Requests in flight at once, beyond which none is sent.
CAP = 2_000
# Shorter than servers keep a connection (uvicorn 5 s), so they never close one on which a request was just sent.
KEEP_S = 3.0
# A closed-loop caller that is refused at once would otherwise retry at once, thousands of times per second.
PAUSE_S = 0.1

#: Sends one request and returns how it ended.
Send: TypeAlias = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Traffic:
    """The load on a service: an open loop of ``rate`` requests per second, or a closed loop of ``callers``.

    ``duration``: seconds in which requests start. ``timeout``: seconds from the intended start after which a caller
    gives up. ``flood``: requests per second of short-lived clients, which come in addition from ``flood_from`` to
    ``flood_until`` and disconnect after ``flood_timeout`` seconds. Raises SettingsError for invalid values.
    """

    duration: float
    rate: float | None = None
    callers: int | None = None
    seed: int = 1
    timeout: float = 10.0
    flood: float | None = None
    flood_from: float = 0.0
    flood_until: float = 0.0
    flood_timeout: float = 0.05

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.callers is None):
            raise SettingsError("rate and callers: a load is an open loop or a closed loop, give one of the two")
        for name in ("rate", "flood"):
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), MOST_PER_S, "requests per second")
        for name in ("duration", "timeout", "flood_timeout"):
            _check(name, getattr(self, name), LONGEST_S, "seconds")
        callers = self.callers
        if callers is not None and (isinstance(callers, bool) or not isinstance(callers, int) or callers < 1):
            raise SettingsError(f"callers {callers!r} is not a whole number from 1 to {MOST_CALLERS}")
        if callers is not None and callers > MOST_CALLERS:
            raise SettingsError(f"callers {callers!r} is more than {MOST_CALLERS}: use a smaller number")
        if self.flood and (self.rate is None or not 0 <= self.flood_from < self.flood_until <= self.duration):
            window = f"from {self.flood_from!r} to {self.flood_until!r} s"
            raise SettingsError(f"a flood {window} does not fit into an open loop of {self.duration!r} s")

    @property
    def arrivals(self) -> list[tuple[float, bool]]:
        """When requests of an open loop are meant to start, and whether that client disconnects; in order of time."""
        found = [(at, False) for at in poisson(self.rate, self.duration, self.seed)] if self.rate else []
        if self.flood:
            times = poisson(self.flood, self.flood_until - self.flood_from, self.seed + 1)
            found += [(self.flood_from + at, True) for at in times]
        return sorted(found)


def _check(name: str, value: object, most: float, unit: str) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not 0 < value <= most:  # type: ignore[operator]
        raise SettingsError(f"{name} {value!r} is not a number of {unit} above 0 and up to {most:.0f}")


def poisson(rate: float, seconds: float, seed: int = 1) -> tuple[float, ...]:
    """Return random arrival times from 0 to ``seconds``, ``rate`` per second on average.

    One seed gives one pattern of bursts, and a higher rate only makes it faster: two rates, or two services, get the
    same bursts.
    """
    dice = Random(f"arrivals {seed}")
    # Twice as many as expected, and some more, so that they never run out.
    gaps = (dice.expovariate(1.0) / rate for _ in range(math.ceil(2 * rate * seconds) + 100))
    return tuple(takewhile(lambda at: at < seconds, accumulate(gaps)))


async def open_loop(traffic: Traffic, schedule: Sequence[tuple[float, bool]], send: Send) -> list[Span]:
    """Send at each time of the schedule, whatever the responses do, and wait for all of them at the end."""
    clock = asyncio.get_running_loop().time
    origin, spans = clock(), list[Span]()
    flying: set[asyncio.Task[None]] = set()

    async def one(intended: float, disconnects: bool) -> None:
        spans.append(await _request(traffic, send, origin, intended, disconnects))

    for intended, disconnects in schedule:
        ahead = origin + intended - clock()
        if ahead > 0:
            await asyncio.sleep(ahead)
        if len(flying) >= CAP:
            now = clock() - origin
            spans.append(Span(intended, now, now, CAPPED))
            continue
        task = asyncio.create_task(one(intended, disconnects))
        flying.add(task)
        task.add_done_callback(flying.discard)
    await asyncio.gather(*flying)
    return sorted(spans)


async def closed_loop(traffic: Traffic, send: Send) -> list[Span]:
    """Let each caller send a request, wait for the response and repeat until the time is up."""
    clock = asyncio.get_running_loop().time
    origin, spans = clock(), list[Span]()

    async def caller() -> None:
        while (now := clock() - origin) < traffic.duration:
            spans.append(await _request(traffic, send, origin, now, disconnects=False))
            if not spans[-1].ok:
                await asyncio.sleep(PAUSE_S)

    await asyncio.gather(*(caller() for _ in range(traffic.callers or 0)))
    return sorted(spans)


async def _request(traffic: Traffic, send: Send, origin: float, intended: float, disconnects: bool) -> Span:
    """Send one request; its timeout counts from the intended start, like the caller's."""
    clock = asyncio.get_running_loop().time
    started = max(clock() - origin, intended)
    timeout = min(traffic.flood_timeout, traffic.timeout) if disconnects else traffic.timeout
    try:
        async with asyncio.timeout_at(origin + intended + timeout):
            outcome = await send()
    except TimeoutError:
        outcome = DISCONNECTED if disconnects else TIMEOUT
    return Span(intended, started, max(clock() - origin, started), outcome)


def run_traffic(url: str, headers: Mapping[str, str], traffic: Traffic, start: float | None = None) -> dict[str, Any]:
    """Send the traffic from this process and return its numbers, spans and ``epoch``, when it began (``time.time``).

    ``start``: when to begin. Nothing that the service does is raised.
    """
    import httpx

    from supalab.clients.transports import PooledTransport

    raise_file_limit()
    calm_collector()

    async def drive() -> tuple[float, list[Span]]:
        async with PooledTransport(url, keep_alive=KEEP_S) as transport:
            request = httpx.Request("GET", url, headers=dict(headers))

            async def send() -> str:
                try:
                    response = await transport.handle_async_request(request)
                except httpx.ConnectError:
                    return REFUSED
                except (httpx.TransportError, ResponseTooLarge):
                    return LOST
                return "ok" if 200 <= response.status_code < 300 else f"HTTP {response.status_code}"

            await asyncio.sleep(max((start or 0.0) - time.time(), 0.0))
            epoch = time.time()
            if traffic.callers is not None:
                return epoch, await closed_loop(traffic, send)
            return epoch, await open_loop(traffic, traffic.arrivals, send)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        epoch, spans = runner.run(drive())
    return {"numbers": traffic_numbers(spans, traffic.duration), "spans": spans, "epoch": epoch}


def traffic_numbers(spans: Sequence[Span], seconds: float) -> dict[str, Number]:
    """Return the numbers of a load's spans; ``seconds`` is the load's duration."""
    lost = failures(spans)
    lasted = max(seconds, max((span.done for span in spans), default=0.0))
    delay = percentile((span.wait or 0.0 for span in spans), 99)
    return {
        "requests": len(spans),
        "sent_per_s": len(spans) / seconds,
        "answered_per_s": sum(span.ok for span in spans) / lasted,
        "lasted_s": lasted,
        **{f"response_p{q}_s": response(spans, q) for q in (50, 95, 99)},
        "errors": sum(lost.values()),
        "failures": ", ".join(f"{times} x {kind}" for kind, times in lost.items()),
        "disconnected": sum(span.outcome == DISCONNECTED for span in spans),
        "send_delay_p99_s": delay or 0.0,
    }


def response(spans: Iterable[Span], q: float) -> float | None:
    """Return the response time at percentile q, from the intended start; ``None`` if so many were never answered.

    A failed request counts as never answered, so that failing quickly does not look quick.
    """
    return percentile((span.latency if span.ok else math.inf for span in stayed(spans)), q)


def stayed(spans: Iterable[Span]) -> list[Span]:
    """Return the requests whose clients did not disconnect on purpose."""
    return [span for span in spans if span.outcome != DISCONNECTED]


def failures(spans: Iterable[Span]) -> dict[str, int]:
    """Return how many requests failed, by kind of failure."""
    return dict(sorted(Counter(span.outcome for span in stayed(spans) if not span.ok).items()))
