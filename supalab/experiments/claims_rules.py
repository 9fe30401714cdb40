"""The rules that judge the article's claims from the measured numbers. Pure.

A rule is data: a value, its format, a sentence, and two questions. Is the result as claimed? And is the article's
explanation the cause, or does a control (threads with the same limit, or with keep-alive) do equally well? All rules
refer to measured numbers by paths: ``before.total_s``, ``wide kept-100.cpu_ms``, ``facts.methods``.

Margins are wide on purpose, so that a busy machine gives the same verdict: a value holds if it is within a factor of
1.5, and two arms are alike unless they differ by more than 1.4. What is compared differs by a factor of three.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any, Literal, TypeAlias

from supalab.measure.case import Trial
from supalab.report.format import count, duration, number, size

__all__ = [
    "CANNOT", "FACTOR", "HOLDS", "NOT", "OTHER", "REQUESTS", "RULES", "VERDICTS", "Evidence", "Judgement", "NotSeen",
    "Verdict", "judge", "near", "numbers_of",
]  # fmt: skip

Verdict = Literal["holds", "holds, for another reason", "does not hold", "cannot be tested here"]
HOLDS: Verdict = "holds"
OTHER: Verdict = "holds, for another reason"
NOT: Verdict = "does not hold"
CANNOT: Verdict = "cannot be tested here"
VERDICTS: tuple[Verdict, ...] = (HOLDS, OTHER, NOT, CANNOT)

#: The burst of the article's table, to which other bursts are scaled, and what its service gained: 450 to 150 ms.
REQUESTS, GAIN = 100, 3.0
FACTOR, ALIKE = 1.5, 1.4
# Memory is steadier than time.
MEMORY_FACTOR, LIGHTER = 1.2, 1.1
# A pool of k threads that serves n requests has k / n threads for each: far below this for any burst.
FEW = 0.5
# A slot that stays taken costs the next caller almost a whole server time; half of that is the threshold.
SLOT_KEPT = 1.45
# A blocked loop ticks a whole server time late; half of that is the line.
BLOCKED = 0.5
#: Short names of the article's client before its change and after, and of the fair control: threads, limit as after.
SHORT = {
    "before": "burst fake-3",
    "after": "burst article-10",
    "control": "burst fake-10",
    "old service": "production fake-3",
    "new service": "production article-10",
    "control service": "production fake-10",
}


class NotSeen(Exception):
    """A number that a rule needs was not measured; the message says why."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured, as rules read it: ``evidence("before.total_s / after.total_s")``.

    ``numbers``: by experiment and arm, such as ``burst fake-3``; ``facts`` are what was tried out.
    """

    numbers: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, trials: Sequence[Trial], experiment: str = "burst", scale: float = 1.0) -> Evidence:
        """Read trials; their tags say of which experiment, and what times were divided by, or else it is given."""
        grouped: dict[str, list[Trial]] = {}
        for trial in trials:
            name = trial.case.tags.get("experiment", experiment)
            grouped.setdefault(name if name == "facts" else f"{name} {trial.case.arm}", []).append(trial)
        return cls({key: numbers_of(found, found[0].case.tags.get("scale", scale)) for key, found in grouped.items()})

    def __call__(self, path: str) -> Any:
        """Return a number or the ratio of two; raises NotSeen if it was not measured or its requests failed."""
        first, *rest = [self._one(part) for part in path.split(" / ")]
        if rest and not rest[0]:
            raise NotSeen(f"there is no ratio {path}")
        return first / rest[0] if rest else first

    def _one(self, path: str) -> Any:
        short, _, name = path.rpartition(".")
        where = SHORT.get(short, short)
        found = self.numbers.get(where)
        if found is None:
            raise NotSeen(f"{where} was not measured in this run")
        if found.get("errors"):
            raise NotSeen(f"{found['errors']} of {found['requests']} requests of {where} failed")
        if found.get(name) is None:
            raise NotSeen(f"{where} has no {name.replace('_', ' ')}")
        return found[name]


def numbers_of(trials: Sequence[Trial], scale: float = 1.0) -> dict[str, Any]:
    """Return the numbers of one arm in the article's units: those of the trial with the median makespan, times scaled.

    Of two trials it is the faster one, because a busy machine only makes trials longer. Errors are those of all.
    ``at_once``, ``in_flight``: most and mean requests between slot and response, as the client has them, which over a
    distance is more than the lab sees. ``response_s``: mean from slot to response, ``caller_s`` from asking.
    ``total_s``: for a burst of 100. ``threads``: besides the main one. ``lag_s``: of the loop, p99, not scaled.
    """
    if "makespan_s" not in trials[0].numbers:
        return dict(trials[0].numbers)
    wanted = median_low(trial["makespan_s"] for trial in trials)
    one = next(trial for trial in trials if trial["makespan_s"] == wanted)
    seen: Mapping[str, Any] = one.numbers
    requests = one.case.workload.requests
    share, service = scale * REQUESTS / requests, seen.get("service_mean_s", seen.get("latency_mean_s", 0.0))
    memory = {"process_bytes": seen["base_bytes"] + seen["added_bytes"]} if "added_bytes" in seen else {}
    # A thread passes its slot on before the loop hears of its answer, so spans may overlap where slots do not.
    held = {"at_once": min(seen["at_once"], one.case.limit)} if "at_once" in seen else {}
    return {
        **seen,
        **held,
        **memory,
        "added_bytes": max(seen.get("added_bytes", 0), 0),
        "limit": one.case.limit,
        "requests": requests,
        "errors": sum(trial["errors"] for trial in trials),
        "response_s": scale * service,
        "caller_s": share * seen.get("latency_mean_s", 0.0),
        "per_s": one["per_s"] / scale,
        "in_flight": one["per_s"] * service,
        "total_s": share * one["makespan_s"],
        "threads": None if seen.get("threads") is None else seen["threads"] - 1,
        "lag_s": seen.get("lag_p99_s"),
    }


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, the value found here, as text and, where the claim has a figure, as a number in its unit; and why."""

    verdict: Verdict
    here: str
    sentence: str
    value: float | None = None


def near(value: float, figure: float, factor: float = FACTOR) -> bool:
    """Return whether a value is within a factor of the article's number."""
    return figure / factor <= value <= figure * factor


#: Asks of evidence and the value found; the claim's own figure is evidence too.
Question: TypeAlias = Callable[[Evidence, Any], bool]
FIGURE = "the claim.figure"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a claim is judged: ``value`` is found by its path or a function, ``here`` and ``sentence`` show numbers.

    ``holds``: it is as claimed. ``other``: it has another cause than the article's. ``cannot``: it cannot be decided
    here.
    """

    value: str | Callable[[Evidence], Any]
    here: str
    sentence: str
    holds: Question = lambda e, value: near(value, e(FIGURE))
    other: Question = lambda e, value: False
    cannot: Question = lambda e, value: False


SHOWN: Mapping[str, Callable[[Any], str]] = {
    "duration": duration,
    "size": size,
    "ms": lambda value: duration(value / 1000),
    "saving": lambda value: f"{value:.0f} % less" if value > 0 else f"{-value:.0f} % more",
    "thread": lambda value: count(value, "thread"),
    "connection": lambda value: count(value, "connection"),
    "wait": lambda seconds: "for ever" if seconds < 0 else f"{number(seconds)} s",
    "is": lambda yes: "is" if yes else "is not",
    "same": lambda yes: "same" if yes else "another",
    "more": lambda yes: "catches more" if yes else "the same",
    "catches": lambda yes: "catches" if yes else "does not catch",
}


class _Words(string.Formatter):
    """Fills ``{before.total_s:duration}`` with what was measured."""

    def __init__(self, evidence: Evidence, value: Any) -> None:
        self._evidence, self._value = evidence, value

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        return self._value if field_name == "value" else self._evidence(field_name), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        return SHOWN[format_spec](value) if format_spec in SHOWN else format(value, format_spec)


def judge(name: str, figure: float | None, evidence: Evidence) -> Judgement:
    """Judge by the rule of this name; what was not measured makes it a claim that cannot be tested, and says why."""
    rule, evidence = RULES[name], Evidence({**evidence.numbers, "the claim": {"figure": figure}})
    try:
        value = rule.value(evidence) if callable(rule.value) else evidence(rule.value)
        holds = OTHER if rule.other(evidence, value) else HOLDS
        verdict = CANNOT if rule.cannot(evidence, value) else holds if rule.holds(evidence, value) else NOT
        words = _Words(evidence, value)
        here, sentence = words.format(rule.here), words.format(rule.sentence)
    except NotSeen as why:
        return Judgement(CANNOT, "", f"Not tested: {why}.")
    return Judgement(verdict, here, sentence, None if figure is None else float(value))


def _control_as_quick(e: Evidence, _: Any = None) -> bool:
    """Ten threads are as quick as the article's client."""
    return bool(e("control.total_s / after.total_s") <= ALIKE)


def _cheaper(e: Evidence, name: str, *arms: str) -> bool:
    """With 100 in flight, one of these arms takes less than threads do."""
    return any(e(f"wide {arm}.{name}") * ALIKE < e(f"wide fake-100.{name}") for arm in arms)


def _saved(e: Evidence, ratio: str) -> float:
    """The percentage that is saved, by the ratio of after to before."""
    return 100.0 * (1 - float(e(ratio)))


def _responses(e: Evidence) -> tuple[float, float]:
    """Response before and after: in the burst, or else over a distance, where connections are kept."""
    burst, far = e("before.response_s / after.response_s"), e("far fake-3.response_s / far session-3.response_s")
    if near(far, GAIN) and not near(burst, GAIN):
        return e("far fake-3.response_s"), e("far session-3.response_s")
    return e("before.response_s"), e("after.response_s")


def _shortened(e: Evidence, _: Any = None) -> bool:
    """The response got three times shorter, in one way or the other."""
    before, after = _responses(e)
    return near(before / after, GAIN)


def _not_by_the_client(e: Evidence, _: Any = None) -> bool:
    return not near(e("before.response_s / after.response_s"), GAIN)


def _slot_freed(e: Evidence) -> bool:
    """Cancelled callers free their slots in the article's client and not in threads."""
    slow = SLOT_KEPT * e("facts.left_latency_s")
    return bool(e("facts.left_next_fake_s") > slow > e("facts.left_next_article_s"))


def _service_faster(e: Evidence) -> float:
    """How much sooner the service answers: when idle if that is it, or else at a rate that overruns three threads."""
    idle, overrun = (float(e(f"old service.{at} / new service.{at}")) for at in ("idle_s", "response_p50_s"))
    return idle if near(idle, GAIN) or overrun < GAIN / FACTOR else overrun


FAR_AND_NEAR = (
    "With article-10 a request takes {after.response_s:duration} where it took {before.response_s:duration}; over TLS "
    "with a long round trip it falls from {far fake-3.response_s:duration} to {far session-3.response_s:duration} when "
    "the same three threads reuse their connections."
)
LEFT = (
    "when callers are cancelled, the next one waits {facts.left_next_fake_s:duration} for a thread and "
    "{facts.left_next_article_s:duration} with httpx (the server takes {facts.left_latency_s:duration})."
)


def _peak(arm: str) -> Rule:
    said = f"Of {{burst {arm}.requests}} asked for at once, the lab saw at most {{value}} of {arm} in flight."
    return Rule(f"burst {arm}.peak", "{value}", said, holds=lambda e, value: value == e(FIGURE))


def _memory(arm: str) -> Rule:
    """Megabytes of a whole process: ours holds a client and nothing else, the article's held a service."""
    held = f"{{burst {arm}.process_bytes:size}}"
    return Rule(
        lambda e: e(f"burst {arm}.process_bytes") / 1e6,
        held,
        f"The process of {arm}, a client and its libraries, holds {held}; what else the article's service held is not "
        "known.",
        holds=lambda e, value: near(value, e(FIGURE), MEMORY_FACTOR),
        cannot=lambda e, value: value * MEMORY_FACTOR < e(FIGURE),
    )


RULES: Mapping[str, Rule] = {
    "three_at_most": Rule("before.peak", "{value}",
        "Three threads had {value} in flight, ten had {control.peak}: the three is a number in the listing.",
        holds=lambda e, value: value == e(FIGURE),
        other=lambda e, value: e("control.peak") > value),
    "threads_per_request": Rule("before.threads / before.requests", "{value:.2f}",
        "{before.requests} requests at once through fake-3 used {before.threads:thread}; a thread that is done "
        "takes the next request.",
        holds=lambda e, value: value >= FEW),
    "memory_of_threads": Rule("before.process_bytes", "{value:size}",
        "The process with three threads holds {value:size}, the one with httpx {after.process_bytes:size}.",
        holds=lambda e, value: value > e("after.process_bytes") * LIGHTER),
    "minimal_memory": Rule("wide kept-100.added_bytes", "{value:size}",
        "100 in flight added {wide fake-100.added_bytes:size} in threads, {value:size} with httpx, "
        "{wide real-100.added_bytes:size} with httpx over a faster pool.",
        holds=lambda e, value: _cheaper(e, "added_bytes", "kept-100", "real-100"),
        other=lambda e, value: not _cheaper(e, "added_bytes", "kept-100")),
    "no_pooling": Rule("reuse fake-3.connections / reuse fake-3.requests", "{value:.2f}",
        "{reuse fake-3.requests} requests opened {reuse fake-3.connections} connections; a Session in the same "
        "threads, {reuse session-3.connections}.",
        holds=lambda e, value: value >= FEW,
        other=lambda e, value: e("reuse session-3.connections / reuse session-3.requests") < FEW),
    "pooling_by_hand": Rule("facts.in_turn_requests", "{value} / {facts.in_turn_session}",
        "{facts.in_turn} calls in turn: requests.get opened {value} connections, one Session {facts.in_turn_session}.",
        holds=lambda e, value: value == e("facts.in_turn") and e("facts.in_turn_session") == 1),
    "pooling_by_itself": Rule("facts.in_turn_httpx", "{value}",
        "{facts.in_turn} calls in turn through one httpx client opened {value:connection}.",
        holds=lambda e, value: value == 1),
    "pooling_unmanaged": Rule("reuse article-10.connections", "{value}",
        "The article's limits (keep 5 of 10) opened {value} connections for {reuse article-10.requests} requests; "
        "with all ten kept alive it was {reuse kept-10.connections}.",
        holds=lambda e, value: value < 2 * e("reuse kept-10.connections")),
    "is_threads": Rule("control.threads", "{value}",
        "{control.peak} in flight with {value} threads besides the main one.",
        holds=lambda e, value: value >= e("control.limit")),
    "is_async": Rule("after.threads", "{value}", "{after.peak} in flight with {value} threads besides the main one.",
        holds=lambda e, value: e("after.peak") > 1 and value < e("after.peak") / 2),
    "limited_by_threads": Rule("control.peak", "{before.peak}, {value}",
        "With 3 threads {before.peak} were in flight, with 10 it was {value}.",
        holds=lambda e, value: (e("before.peak"), value) == (3, 10)),
    "limited_by_system": Rule("facts.crowd_peak", "{value}",
        "Asked for {facts.crowd} at once, httpx as it comes had {value} in flight (its default is "
        "{facts.default_connections}); at 100 its own pool takes {wide kept-100.cpu_ms:.0f} ms of CPU time per "
        "request, 100 threads {wide fake-100.cpu_ms:.1f}.",
        holds=lambda e, value: not value <= e("facts.default_connections") < e("facts.crowd")),
    "unlimited": Rule("after.peak", "{value}",
        "Of {after.requests} asked for at once, {value} were in flight: the limit that its listing sets.",
        holds=lambda e, value: value > e("after.limit")),
    "at_high_concurrency": Rule("wide fake-100.cpu_ms / wide kept-100.cpu_ms", "{value:.2g}x",
        "CPU time per request with 100 in flight: {wide fake-100.cpu_ms:.1f} ms in threads, {wide kept-100.cpu_ms:.1f} "
        "with httpx's own pool, {wide real-100.cpu_ms:.1f} with httpx over a faster pool.",
        holds=lambda e, value: _cheaper(e, "cpu_ms", "kept-100", "real-100"),
        other=lambda e, value: not _cheaper(e, "cpu_ms", "kept-100")),
    "with_few_resources": Rule("after.process_bytes", "{value:size}",
        "At 10 in flight, threads and httpx as printed hold {control.process_bytes:size} and {value:size} and use "
        "{control.cpu_ms:.1f} and {after.cpu_ms:.1f} ms of CPU time per request.",
        holds=lambda e, value: (
            value * LIGHTER < e("control.process_bytes") or e("after.cpu_ms") * ALIKE < e("control.cpu_ms")
        )),
    "peak_before": _peak("fake-3"),
    "peak_after": _peak("article-10"),
    "response_before": Rule(lambda e: 1000 * e("before.response_s"), "{before.response_s:duration}",
        "From its slot to its response a request of fake-3 took {before.response_s:duration}, about the server time; "
        "its caller, who also waits for the slot, waited {before.caller_s:duration} on average."),
    "response_after": Rule(lambda e: 1000 * _responses(e)[1], "{value:ms}", FAR_AND_NEAR,
        holds=_shortened, other=_not_by_the_client),
    "responses_faster": Rule(lambda e: _responses(e)[0] / _responses(e)[1], "{value:.1f}x", FAR_AND_NEAR,
        holds=_shortened, other=_not_by_the_client),
    "throughput_before": Rule("before.per_s", "{value:.1f}/s",
        "fake-3 gave {value:.1f} per second: {before.in_flight:.1f} in flight of {before.response_s:duration} each."),
    "throughput_after": Rule("after.per_s", "{value:.1f}/s",
        "article-10 gave {value:.1f} per second, ten threads (fake-10) {control.per_s:.1f}.", other=_control_as_quick),
    "total_before": Rule("before.total_s", "{value:duration}",
        "fake-3 took {value:duration}; async with the same limit (real-3) took {burst real-3.total_s:duration}."),
    "total_after": Rule("after.total_s", "{value:duration}",
        "article-10 took {value:duration}, ten threads (fake-10) {control.total_s:duration}.", other=_control_as_quick),
    "faster": Rule("before.total_s / after.total_s", "{value:.1f}x",
        "{value:.1f}x from fake-3 to article-10; with fake-10, one number changed, it is "
        "{before.total_s / control.total_s:.1f}x ({control.total_s:duration}).",
        other=_control_as_quick),
    "memory_before": _memory("fake-3"),
    "memory_after": _memory("article-10"),
    "memory_saved": Rule(lambda e: _saved(e, "after.process_bytes / before.process_bytes"), "{value:saving}",
        "The process holds {before.process_bytes:size} with fake-3, {after.process_bytes:size} with article-10, "
        "{control.process_bytes:size} with fake-10.",
        holds=lambda e, value: value >= e(FIGURE) / 2,
        other=lambda e, value: _saved(e, "control.process_bytes / before.process_bytes") >= e(FIGURE) / 2),
    "exceptions_change": Rule("facts.status_caught_by_old_name", "{value:same}",
        "A 404 raised requests.{facts.status_requests} and httpx.{facts.status_httpx}; a refused connection, "
        "requests.{facts.refused_requests} and httpx.{facts.refused_httpx}.",
        holds=lambda e, value: not value),
    "exception_twin": Rule(
        lambda e: e("facts.refused_caught_by_new_name") and not e("facts.refused_caught_by_old_name"), "{value:more}",
        "httpx.HTTPError {facts.status_caught_by_new_name:catches} the 404 and "
        "{facts.refused_caught_by_new_name:catches} a refused connection, which requests.HTTPError "
        "{facts.refused_caught_by_old_name:catches}; the exact counterpart is "
        "httpx.{facts.status_httpx}. The refused connection {facts.refused_requests_is_oserror:is} an OSError with "
        "requests and {facts.refused_httpx_is_oserror:is} with httpx.",
        holds=lambda e, value: e("facts.status_caught_by_new_name") and not value),
    "timeouts_compatible": Rule("facts.queue_answered_article",
        "{facts.queue_answered_fake} / {value} of {facts.queue_asked}",
        "By default requests waits {facts.default_timeout_requests_s:wait} and httpx "
        "{facts.default_timeout_httpx_s:wait}; with timeout={facts.queue_timeout_s:g} and one slot, "
        "{facts.queue_answered_fake} of {facts.queue_asked} callers of {facts.left_latency_s:duration} each were "
        "answered before and {value} after (others: {facts.queue_error_article}); a slow response in small "
        "chunks: {facts.drip_requests} with requests, {facts.drip_httpx} with httpx.",
        # The defaults are constants of two libraries: said, but what callers meet decides.
        holds=lambda e, value: value == e("facts.queue_answered_fake")),
    "running_loop": Rule("facts.loop_inside_is_running", "",
        "In a coroutine it {value:is} the running loop; in another thread, where none runs, it ends in "
        "{facts.loop_outside}: write get_running_loop().",
        holds=lambda e, value: value),
    "lazy_client": Rule("facts.clients_made", "{value}",
        "{facts.clients_before} clients before the first request; {facts.clients_calls} at once made {value}.",
        holds=lambda e, value: (e("facts.clients_before"), value) == (0, 1)),
    "one_request": Rule("facts.methods_good", "{value} of {facts.methods}",
        "Of read, insert, update and delete, {value} of {facts.methods} did their work through it.",
        holds=lambda e, value: value == e("facts.methods")),
    "closes": Rule("facts.open_after_close", "{value} open",
        "Of two clients, one left by an exception, {value} stayed open.",
        holds=lambda e, value: value == 0),
    "resources": Rule("facts.open_after_close", "{value} / {facts.threads_after_close} left",
        "After closing, {value} httpx clients stayed open and {facts.threads_after_close} threads of the pool were "
        f"left; {LEFT}",
        holds=lambda e, value: value == 0 and (_slot_freed(e) or e("facts.threads_after_close") > 0)),
    "better_than_threads": Rule("control.total_s / after.total_s", "{value:.2f}x",
        f"At the same limit, threads take {{control.total_s:duration}} and httpx {{after.total_s:duration}}; {LEFT}",
        holds=lambda e, value: value > ALIKE or _slot_freed(e),
        other=_control_as_quick),
    "refactor_now": Rule("control.total_s", "{value:duration}",
        "{before.total_s:duration} became {after.total_s:duration} with the refactoring and {value:duration} with "
        "max_workers=10.",
        holds=lambda e, value: not _control_as_quick(e)),
    "loop_kept_free": Rule("after.lag_s", "{value:duration}",
        "The loop was late by {control.lag_s:duration} (p99) with ten threads and by {value:duration} with httpx; a "
        "request with threads takes {control.response_s:duration}.",
        holds=lambda e, value: (
            e("control.lag_s / control.response_s") > BLOCKED and value * ALIKE < e("control.lag_s")
        )),
    "service_response": Rule(_service_faster,
        "{old service.idle_s / new service.idle_s:.1f}x to "
        "{old service.response_p50_s / new service.response_p50_s:.0f}x",
        "When idle, it answers in {old service.idle_s:duration} before and {new service.idle_s:duration} "
        "after; overloaded, in {old service.response_p50_s:duration} and {new service.response_p50_s:duration}, and "
        "with ten threads in {control service.response_p50_s:duration}.",
        holds=lambda e, value: value >= e(FIGURE) / FACTOR,
        other=lambda e, value: (
            e("old service.response_p50_s / control service.response_p50_s") >= e(FIGURE) / FACTOR
            and not near(e("old service.idle_s / new service.idle_s"), e(FIGURE))
        )),
    # A count of the backend's, as the rate that a service keeps depends on how busy the machine is.
    "service_capacity": Rule("new service.peak / old service.peak", "{value:.1f}x",
        "At its backend the service has {old service.peak} requests at once before, "
        "{new service.peak} after, and {control service.peak} with ten threads.",
        other=lambda e, value: e("control service.peak / old service.peak") * ALIKE >= value),
    "service_memory": Rule(
        lambda e: _saved(e, "new service.memory_bytes / old service.memory_bytes"), "{value:saving}",
        "Under load the service holds {old service.memory_bytes:size} before, "
        "{new service.memory_bytes:size} after, {control service.memory_bytes:size} with ten threads.",
        holds=lambda e, value: value >= e(FIGURE) / FACTOR,
        other=lambda e, value: (
            _saved(e, "control service.memory_bytes / old service.memory_bytes") >= e(FIGURE) / FACTOR
        )),
}  # fmt: skip
