"""Send requests and time them: as a burst, from callers that wait for each response, or at arrival times.

An open loop never waits for a response before it sends the next request, so a slow service cannot make its own load
lighter. Each span keeps the intended start, because a request that is sent late makes its caller wait. If that wait is
left out (coordinated omission), a slow service looks fast.

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
from typing import Any, TypeAlias, TypeVar

from supalab.clients.base import BaseClient, slot_taken
from supalab.errors import ResponseTooLarge, SettingsError
from supalab.measure.case import Span, Value, Workload
from supalab.measure.compare import percentile
from supalab.process.tuning import calm_collector, loop_factory, raise_file_limit
from supalab.report.format import counts
from supalab.settings import checked_number

#: How a request can end, besides "ok" and "HTTP 503" and so on; a client that disconnects on purpose is not a failure.
DISCONNECTED, TIMEOUT = "disconnected", "timeout"
REFUSED, LOST, CAPPED = "no connection", "connection lost", "over the cap"
#: A generator whose requests are sent later than this (p99, seconds) has disturbed what it measures.
LATE_S = 0.02
#: A rate that no single process of this kind can send.
MOST_PER_S = 2_000
MOST_CALLERS, LEAST, LONGEST_S = 1_000, 0.001, 3_600
#: Requests in flight at once, beyond which none is sent.
CAP = 2_000
# Shorter than servers keep a connection open (uvicorn: 5 s), so they never close one on which a request was just sent.
KEEP_S = 3.0
# Without it, a closed-loop caller that is refused immediately would retry immediately, thousands of times per second.
PAUSE_S = 0.1

#: Sends one request and returns how it ended.
Send: TypeAlias = Callable[[], Awaitable[str]]
#: Seconds since the first request could be sent.
Clock: TypeAlias = Callable[[], float]
T = TypeVar("T")


async def burst(
    client: BaseClient, workload: Workload, *, rate: float | None = None, seed: int = 1, watch: bool = True
) -> list[Span]:
    """Run the workload through the client and return its spans in the order of the requests.

    ``rate``: start so many requests per second, with random gaps, instead of all at once. One ``seed`` gives the same
    times each time, stretched so that their mean rate is exact; the delay of a request that the loop starts late counts
    as waiting. ``watch``: record when each request takes its slot, which makes some clients slower. Seconds count from
    the call. A failure is an outcome, not an exception; only cancelling the burst ends it early.
    """
    send, now, spans = _selecting(client, workload), _clock(), dict[int, Span]()

    async def request(ticket: int, at: float | None = None) -> None:
        spans[ticket] = await _timed(send, now, at, watch=watch)

    every = range(workload.requests)
    if rate is not None:
        times = _stretched(poisson(rate, (2 * len(every) + 10) / rate, seed)[: len(every)], rate)
        await _at_times(times, now, lambda ticket: request(ticket, times[ticket]))
    else:
        turns = iter(every)
        await _callers([[one] for one in every] if workload.callers is None else [turns] * workload.callers, request)
    return [spans[ticket] for ticket in every]


def _stretched(times: Sequence[float], rate: float) -> list[float]:
    length = (times[-1] - times[0]) or 1.0
    return [(at - times[0]) * (len(times) - 1) / rate / length for at in times]


def poisson(rate: float, seconds: float, seed: int = 1) -> tuple[float, ...]:
    """Return random arrival times from 0 to ``seconds``, ``rate`` per second on average.

    One seed gives one pattern of arrivals, and a higher rate only makes it faster: two rates, or two services, get the
    same pattern.
    """
    dice = Random(f"arrivals {seed}")
    # More than twice as many as expected, so that they never run out.
    gaps = (dice.expovariate(1.0) / rate for _ in range(math.ceil(2 * rate * seconds) + 100))
    return tuple(takewhile(lambda at: at < seconds, accumulate(gaps)))


def _clock() -> Clock:
    origin = time.perf_counter()
    return lambda: time.perf_counter() - origin


async def _callers(turns: Iterable[Iterable[T]], request: Callable[[T], Awaitable[None]]) -> None:
    """Let each caller send its requests one after another; several callers may share one iterator."""

    async def caller(turn: Iterable[T]) -> None:
        for one in turn:
            await request(one)

    async with asyncio.TaskGroup() as group:
        for turn in turns:
            group.create_task(caller(turn))


async def _at_times(times: Iterable[float], now: Clock, request: Callable[[int], Any]) -> None:
    """Start a request at each time, whatever happened to the earlier ones, and wait for all of them at the end."""
    async with asyncio.TaskGroup() as group:
        for place, at in enumerate(times):
            if at > now():
                await asyncio.sleep(at - now())
            group.create_task(request(place))


async def _timed(send: Send, now: Clock, intended: float | None = None, *, watch: bool = False) -> Span:
    """Send one request and time it, from its intended start if it has one.

    With ``watch`` it starts when the client reports its slot, otherwise immediately.
    """
    taken: list[float] = []
    if watch:
        # May be called from the thread that sends the request; the first call of several is the one that counts.
        slot_taken.set(lambda: taken.append(now()))
    began = now() if intended is None else max(now(), intended)
    outcome = await send()
    done = max(now(), began)
    started = None if intended is None or watch else began
    return Span(began if intended is None else intended, min(taken[0], done) if taken else started, done, outcome)


def _selecting(client: BaseClient, workload: Workload) -> Send:
    """Return a function that sends one request of the workload through the client."""

    async def send() -> str:
        task = asyncio.current_task()
        try:
            await client.select(workload.table, columns=workload.columns, limit=workload.limit)
        except Exception as error:
            return _named(error)
        except asyncio.CancelledError:
            # A cancellation inside the client is a failed request. A cancellation from outside ends the burst.
            if task is None or task.cancelling():
                raise
            return "CancelledError"
        return "ok"

    return send


def _named(error: Exception) -> str:
    """Return the error's type and HTTP status, e.g. ``ApiError 503``; requests and httpx keep it in a response."""
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return f"{type(error).__name__} {status}" if status else type(error).__name__


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
                checked_number(name, getattr(self, name), LEAST, MOST_PER_S, "use e.g. 20", "requests per second")
        for name in ("duration", "timeout", "flood_timeout"):
            checked_number(name, getattr(self, name), LEAST, LONGEST_S, "use e.g. 10", "seconds")
        if self.callers is not None:
            checked_number("callers", self.callers, 1, MOST_CALLERS, "use e.g. 10")
        if self.flood and (self.rate is None or not 0 <= self.flood_from < self.flood_until <= self.duration):
            window = f"from {self.flood_from!r} to {self.flood_until!r} s"
            raise SettingsError(f"a flood {window} does not fit into an open loop of {self.duration!r} s")

    @property
    def arrivals(self) -> list[tuple[float, bool]]:
        """Return when requests of an open loop should start, and whether each client disconnects; in order of time."""
        found = [(at, False) for at in poisson(self.rate, self.duration, self.seed)] if self.rate else []
        if self.flood:
            times = poisson(self.flood, self.flood_until - self.flood_from, self.seed + 1)
            found += [(self.flood_from + at, True) for at in times]
        return sorted(found)


async def open_loop(traffic: Traffic, schedule: Sequence[tuple[float, bool]], send: Send) -> list[Span]:
    """Send a request at each time of the schedule, whatever the responses do, and wait for all of them at the end."""
    now, spans, flying = _clock(), list[Span](), 0

    async def request(place: int) -> None:
        nonlocal flying
        at, leaves = schedule[place]
        if flying >= CAP:
            spans.append(Span(at, now(), now(), CAPPED))
            return
        flying += 1
        timeout = min(traffic.flood_timeout, traffic.timeout) if leaves else traffic.timeout
        bounded = _within(send, at + timeout - now(), DISCONNECTED if leaves else TIMEOUT)
        spans.append(await _timed(bounded, now, at))
        flying -= 1

    await _at_times((at for at, _ in schedule), now, request)
    return sorted(spans)


async def closed_loop(traffic: Traffic, send: Send) -> list[Span]:
    """Let each caller send a request, wait for the response, and repeat this until the time is up."""
    now, spans = _clock(), list[Span]()

    async def request(at: float) -> None:
        spans.append(await _timed(_within(send, traffic.timeout, TIMEOUT), now, at))
        if not spans[-1].ok:
            await asyncio.sleep(PAUSE_S)

    # Endless readings of the clock, until the time is up.
    times = takewhile(lambda at: at < traffic.duration, iter(now, None))
    await _callers([times] * (traffic.callers or 0), request)
    return sorted(spans)


def _within(send: Send, seconds: float, otherwise: str) -> Send:
    """Return a function that sends a request whose caller gives up after some seconds."""

    async def bounded() -> str:
        try:
            async with asyncio.timeout(seconds):
                return await send()
        except TimeoutError:
            return otherwise

    return bounded


def run_traffic(url: str, headers: Mapping[str, str], traffic: Traffic, start: float | None = None) -> dict[str, Any]:
    """Send the traffic from this process and return its numbers, spans and ``epoch``, when it began (``time.time``).

    ``start``: when to begin. Nothing that the service does raises an error here.
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


def traffic_numbers(spans: Sequence[Span], seconds: float) -> dict[str, Value]:
    """Return the numbers of a load's spans; ``seconds`` is the load's duration."""
    lost = failures(spans)
    lasted = max(seconds, max((span.done for span in spans), default=0.0))
    return {
        "requests": len(spans),
        "sent_per_s": len(spans) / seconds,
        "answered_per_s": sum(span.ok for span in spans) / lasted,
        "lasted_s": lasted,
        **{f"response_p{q}_s": response(spans, q) for q in (50, 95, 99)},
        "errors": sum(lost.values()),
        "failures": counts(lost),
        "disconnected": sum(span.outcome == DISCONNECTED for span in spans),
        "send_delay_p99_s": percentile((span.wait or 0.0 for span in spans), 99) or 0.0,
    }


def response(spans: Iterable[Span], q: float) -> float | None:
    """Return the q-th percentile of response times, from the intended start; ``None`` if that response never came.

    A failed request counts as never answered, so that a service that fails quickly does not look quick.
    """
    return percentile((span.latency if span.ok else math.inf for span in stayed(spans)), q)


def stayed(spans: Iterable[Span]) -> list[Span]:
    """Return the requests whose clients did not disconnect on purpose."""
    return [span for span in spans if span.outcome != DISCONNECTED]


def failures(spans: Iterable[Span]) -> dict[str, int]:
    """Return how many requests failed, by kind of failure."""
    return dict(sorted(Counter(span.outcome for span in stayed(spans) if not span.ok).items()))
