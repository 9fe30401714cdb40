"""Rules for what a client costs and keeps: threads, memory, connections, CPU; a judgement comes out. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from supalab.measure.claims.catalogue import Claim
from supalab.measure.claims.evidence import Evidence
from supalab.measure.claims.judging import ALIKE, HOLDS, NOT, OTHER, Judgement, Rule, seen, stated
from supalab.report.format import count, number, size

__all__ = ["COST_RULES"]

# A pool of k threads that serves n requests has k / n threads for each: far below this for any burst.
FEW_PER_REQUEST = 0.5
LIGHTER = 1.1


def threads_per_request(c: Claim, e: Evidence) -> Judgement:
    """How many threads the client starts for each request: those of its process in a burst, beside the main one."""
    found = e.of("burst", "fake-3")
    used = seen(found.threads, "threads")
    value = used / found.requests
    said = f"{number(found.requests)} requests at once through fake-3 used {count(used, 'thread')}"
    said += "." if value >= FEW_PER_REQUEST else ": a thread that is done takes the next request."
    return Judgement(HOLDS if value >= FEW_PER_REQUEST else NOT, f"{value:.2f}", said, value)


def memory_of_threads(c: Claim, e: Evidence) -> Judgement:
    """Whether a process with a thread pool holds more than one with httpx."""
    old, new = (seen(e.of("burst", arm).process_bytes, "memory") for arm in ("fake-3", "article-10"))
    said = f"The process with three threads holds {size(old)}, the one with httpx {size(new)}."
    return Judgement(HOLDS if old > new * LIGHTER else NOT, size(old), said)


def minimal_memory(c: Claim, e: Evidence) -> Judgement:
    """Whether a hundred requests in flight add less memory with httpx than with threads."""
    threads, theirs, ours = (
        max(seen(e.of("wide", arm).added_bytes, "memory"), 0) for arm in ("fake-100", "kept-100", "real-100")
    )
    said = f"100 in flight added {size(threads)} in threads, {size(theirs)} with httpx, {size(ours)} with "
    verdict = HOLDS if theirs * ALIKE < threads else OTHER if ours * ALIKE < threads else NOT
    return Judgement(verdict, size(theirs), f"{said}httpx over a faster pool.")


def no_pooling(c: Claim, e: Evidence) -> Judgement:
    """Connections of threads: one for each request with ``requests.get``, fewer with a Session in the same threads."""
    plain, session = e.of("reuse", "fake-3"), e.of("reuse", "session-3")
    value = seen(plain.connections, "connections") / plain.requests
    kept = seen(session.connections, "connections")
    said = f"{plain.requests} requests opened {plain.connections} connections; a Session in the same threads, {kept}."
    if value < FEW_PER_REQUEST:
        return Judgement(NOT, f"{value:.2f}", said, value)
    return Judgement(OTHER if kept < FEW_PER_REQUEST * session.requests else HOLDS, f"{value:.2f}", said, value)


def pooling_by_hand(c: Claim, e: Evidence) -> Judgement:
    """Whether ``requests`` pools only when told to: plain calls against a Session."""
    asked, plain, session = e.count("in_turn"), e.count("in_turn_requests"), e.count("in_turn_session")
    said = f"{number(asked)} calls in turn: requests.get opened {number(plain)} connections, "
    verdict = HOLDS if plain == asked and session == 1 else NOT
    return Judgement(verdict, f"{number(plain)} / {number(session)}", f"{said}one Session {number(session)}.")


def pooling_by_itself(c: Claim, e: Evidence) -> Judgement:
    """Whether one httpx client uses its connection again without being told."""
    asked, opened = e.count("in_turn"), e.count("in_turn_httpx")
    said = f"{number(asked)} calls in turn through one httpx client opened {count(opened, 'connection')}."
    return Judgement(HOLDS if opened == 1 else NOT, number(opened), said)


def pooling_unmanaged(c: Claim, e: Evidence) -> Judgement:
    """Whether nothing is left to manage: the article's limits against the same client with all connections kept."""
    article, kept = e.of("reuse", "article-10"), e.of("reuse", "kept-10")
    opened, few = seen(article.connections, "connections"), seen(kept.connections, "connections")
    said = f"The article's limits (keep 5 of 10) opened {opened} connections for {article.requests} requests; "
    verdict = NOT if opened >= 2 * few else HOLDS
    return Judgement(verdict, number(opened), f"{said}with all ten kept it was {few}.")


def is_threads(c: Claim, e: Evidence) -> Judgement:
    """Whether the client's concurrency is its threads."""
    found = e.of("burst", "fake-10")
    threads = seen(found.threads, "threads")
    said = f"{found.peak} in flight with {threads} threads beside the loop's."
    return Judgement(HOLDS if threads >= found.limit else NOT, number(threads), said)


def is_async(c: Claim, e: Evidence) -> Judgement:
    """Whether the client has its requests in flight without a thread for each."""
    found = e.of("burst", "article-10")
    peak, threads = seen(found.peak, "requests in flight"), seen(found.threads, "threads")
    said = f"{peak} in flight with {threads} threads beside the loop's."
    return Judgement(HOLDS if peak > 1 and threads < peak / 2 else NOT, number(threads), said)


def limited_by_threads(c: Claim, e: Evidence) -> Judgement:
    """Whether the number in flight follows the number of threads."""
    few, many = e.of("burst", "fake-3"), e.of("burst", "fake-10")
    said = f"With 3 threads {few.peak} were in flight, with 10 it was {many.peak}."
    return Judgement(HOLDS if (few.peak, many.peak) == (3, 10) else NOT, f"{few.peak}, {many.peak}", said)


def limited_by_system(c: Claim, e: Evidence) -> Judgement:
    """Whether httpx takes on what it is asked for, or has a limit of its own."""
    asked, most, default = e.count("crowd"), e.count("crowd_peak"), e.count("default_connections")
    wide, threads = e.of("wide", "kept-100"), e.of("wide", "fake-100")
    cap = f"Asked for {number(asked)} at once, httpx as it comes had {number(most)} in flight "
    slow = f"at 100 its own pool costs {seen(wide.cpu_ms, 'CPU'):.0f} ms of CPU a request, 100 threads "
    said = f"{cap}(its default is {number(default)}); {slow}{seen(threads.cpu_ms, 'CPU'):.1f}."
    return Judgement(NOT if most <= default < asked else HOLDS, number(most), said)


def unlimited(c: Claim, e: Evidence) -> Judgement:
    """Whether the article's client has more in flight than the number written into it."""
    found = e.of("burst", "article-10")
    most = seen(found.peak, "requests in flight")
    said = f"Of {found.requests} asked for at once, {most} were in flight: the limit that its listing sets."
    return Judgement(NOT if most <= found.limit else HOLDS, number(most), said)


def at_high_concurrency(c: Claim, e: Evidence) -> Judgement:
    """What a request costs in CPU with 100 in flight: threads, httpx, and httpx over another transport."""
    threads, theirs, ours = (seen(e.of("wide", arm).cpu_ms, "CPU") for arm in ("fake-100", "kept-100", "real-100"))
    verdict = HOLDS if theirs * ALIKE < threads else OTHER if ours * ALIKE < threads else NOT
    said = f"CPU of a request with 100 in flight: {threads:.1f} ms in threads, {theirs:.1f} with httpx's own pool, "
    return Judgement(verdict, f"{threads / theirs:.2g}x", f"{said}{ours:.1f} with httpx over a faster pool.")


def with_few_resources(c: Claim, e: Evidence) -> Judgement:
    """Whether httpx needs less memory or CPU than threads of the same limit."""
    threads, theirs = e.of("burst", "fake-10"), e.of("burst", "article-10")
    old, new = seen(threads.process_bytes, "memory"), seen(theirs.process_bytes, "memory")
    old_cpu, new_cpu = seen(threads.cpu_ms, "CPU"), seen(theirs.cpu_ms, "CPU")
    cpu = f"{old_cpu:.1f} and {new_cpu:.1f} ms of CPU a request"
    said = f"At 10 in flight, threads and httpx as printed hold {size(old)} and {size(new)} and use {cpu}."
    return Judgement(HOLDS if new * LIGHTER < old or new_cpu * ALIKE < old_cpu else NOT, size(new), said)


def three_at_most(c: Claim, e: Evidence) -> Judgement:
    """The most requests that threads have in flight: the claim's figure."""
    found = e.of("burst", "fake-3")
    most = seen(found.peak, "requests in flight")
    control = seen(e.of("burst", "fake-10").peak, "requests in flight")
    verdict = NOT if most != stated(c) else OTHER if control > most else HOLDS
    said = f"Three threads had {most} in flight, ten had {control}: the three is a number in the listing."
    return Judgement(verdict, number(most), said, float(most))


COST_RULES: Mapping[str, Rule] = {
    "threads_per_request": threads_per_request,
    "memory_of_threads": memory_of_threads,
    "minimal_memory": minimal_memory,
    "no_pooling": no_pooling,
    "pooling_by_hand": pooling_by_hand,
    "pooling_by_itself": pooling_by_itself,
    "pooling_unmanaged": pooling_unmanaged,
    "is_threads": is_threads,
    "is_async": is_async,
    "limited_by_threads": limited_by_threads,
    "limited_by_system": limited_by_system,
    "unlimited": unlimited,
    "at_high_concurrency": at_high_concurrency,
    "with_few_resources": with_few_resources,
    "three_at_most": three_at_most,
}
