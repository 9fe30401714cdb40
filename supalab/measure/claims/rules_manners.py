"""Rules for errors, timeouts, steps and lessons: a claim and the evidence go in, a judgement comes out. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from supalab.measure.claims.catalogue import Claim
from supalab.measure.claims.evidence import Evidence
from supalab.measure.claims.judging import ALIKE, CANNOT, HOLDS, NOT, OTHER, Judgement, Rule, seen
from supalab.report.format import duration, number

__all__ = ["MANNER_RULES"]

# A slot that stays taken costs the next caller almost a whole latency; half of that is the line between yes and no.
SLOT_KEPT = 1.45
# A blocked loop ticks a whole latency late; half of that is the line.
BLOCKED = 0.5


def exceptions_change(c: Claim, e: Evidence) -> Judgement:
    """Whether an ``except`` written for requests misses httpx's errors."""
    old, new = e.fact("status_requests"), e.fact("status_httpx")
    caught = bool(e.fact("status_caught_by_old_name"))
    said = f"A 404 raised requests.{old} and httpx.{new}; a refused connection, requests.{e.fact('refused_requests')} "
    said += f"and httpx.{e.fact('refused_httpx')}."
    return Judgement(NOT if caught else HOLDS, "same" if caught else "another", said)


def exception_twin(c: Claim, e: Evidence) -> Judgement:
    """Whether ``httpx.HTTPError`` catches what ``requests.HTTPError`` caught, and nothing else."""
    catches = bool(e.fact("status_caught_by_new_name"))
    more = bool(e.fact("refused_caught_by_new_name")) and not e.fact("refused_caught_by_old_name")
    said = f"httpx.HTTPError {'catches' if catches else 'misses'} the 404"
    if more:
        said += " and also a refused connection, which requests.HTTPError did not catch; its twin is "
        said += f"httpx.{e.fact('status_httpx')}"
    if e.fact("refused_requests_is_oserror") and not e.fact("refused_httpx_is_oserror"):
        said += ", and no error of httpx is an OSError any more"
    return Judgement(HOLDS if catches and not more else NOT, "catches more" if more else "the same", f"{said}.")


def timeouts_compatible(c: Claim, e: Evidence) -> Judgement:
    """Whether what was answered before is answered after: defaults, and a queue longer than the timeout."""
    old, new = e.count("default_timeout_requests_s"), e.count("default_timeout_httpx_s")
    asked, fake, article = (e.count(f"queue_{which}") for which in ("asked", "answered_fake", "answered_article"))
    default = f"By default requests waits {_wait(old)} and httpx {_wait(new)}"
    queue = f"with timeout={e.count('queue_timeout_s'):g} and one slot, {number(fake)} of {number(asked)} callers of "
    queue += f"{duration(e.count('left_latency_s'))} each were answered before and {number(article)} after"
    if article < asked:
        queue += f" ({e.fact('queue_error_article')})"
    outlasts = e.fact("drip_requests") == e.fact("drip_httpx") == "ok"
    drip = "an answer in drops outlasts both" if outlasts else "an answer in drops ends only one of them"
    # The defaults are constants of two libraries: said, but what callers meet decides.
    verdict = HOLDS if fake == article else NOT
    return Judgement(verdict, f"{number(fake)} / {number(article)} of {number(asked)}", f"{default}; {queue}; {drip}.")


def _wait(seconds: float) -> str:
    return "for ever" if seconds < 0 else f"{number(seconds)} s"


def running_loop(c: Claim, e: Evidence) -> Judgement:
    """Whether ``get_event_loop`` in a coroutine is the loop that runs."""
    same = bool(e.fact("loop_inside_is_running"))
    said = f"In a coroutine it {'is' if same else 'is not'} the running loop; in another thread, where none runs, "
    said += f"it ends in {e.fact('loop_outside')}: write get_running_loop()."
    return Judgement(HOLDS if same else NOT, "", said)


def lazy_client(c: Claim, e: Evidence) -> Judgement:
    """Whether the client is made at the first request, and once."""
    before, made, calls = (e.count(f"clients_{which}") for which in ("before", "made", "calls"))
    said = f"{number(before)} clients before the first request; {number(calls)} at once made {number(made)}."
    return Judgement(HOLDS if (before, made) == (0, 1) else NOT, number(made), said)


def one_request(c: Claim, e: Evidence) -> Judgement:
    """Whether all methods go through the one ``_request``."""
    asked, good = e.count("methods"), e.count("methods_good")
    said = f"Of read, insert, update and delete, {number(good)} of {number(asked)} did their work through it."
    return Judgement(HOLDS if good == asked else NOT, f"{number(good)} of {number(asked)}", said)


def closes(c: Claim, e: Evidence) -> Judgement:
    """Whether ``async with`` closes the client, also after an error."""
    left = e.count("open_after_close")
    said = f"Of two clients, one left by an exception, {number(left)} stayed open."
    return Judgement(HOLDS if left == 0 else NOT, f"{number(left)} open", said)


def resources(c: Claim, e: Evidence) -> Judgement:
    """Whether the change is what makes resources be given back: closing, and callers who leave."""
    left, threads = e.count("open_after_close"), e.count("threads_after_close")
    freed, said = _slot_freed(e)
    closing = (
        f"After closing, {number(left)} httpx clients stayed open and {number(threads)} threads of the pool were left"
    )
    better = freed or threads > 0
    verdict = NOT if left or not better else HOLDS
    return Judgement(verdict, f"{number(left)} / {number(threads)} left", f"{closing}; {said}.")


def _slot_freed(e: Evidence) -> tuple[bool, str]:
    """Say whether callers who leave free their slots in the article's client and not in threads."""
    latency = e.count("left_latency_s")
    fake, article = e.count("left_next_fake_s"), e.count("left_next_article_s")
    said = f"when callers leave, the next one waits {duration(fake)} for a thread and {duration(article)} with httpx"
    return fake > SLOT_KEPT * latency > article, f"{said} (the server takes {duration(latency)})"


def better_than_threads(c: Claim, e: Evidence) -> Judgement:
    """Whether real async earns what threads of the same limit do not: speed, or else slots freed by cancelling."""
    threads, theirs = e.of("burst", "fake-10"), e.of("burst", "article-10")
    freed, left = _slot_freed(e)
    ratio = threads.total_s / theirs.total_s
    verdict = HOLDS if ratio > ALIKE else OTHER if freed else NOT
    said = f"At the same limit, threads take {duration(threads.total_s)} and httpx {duration(theirs.total_s)}; {left}."
    return Judgement(verdict, f"{ratio:.2f}x", said)


def refactor_now(c: Claim, e: Evidence) -> Judgement:
    """Whether the refactoring is needed for the speed, or one changed number has it too."""
    before, control, change = (e.of("burst", arm) for arm in ("fake-3", "fake-10", "article-10"))
    verdict = HOLDS if control.total_s > change.total_s * ALIKE else NOT
    said = f"{duration(before.total_s)} became {duration(change.total_s)} with the refactoring"
    return Judgement(verdict, duration(control.total_s), f"{said} and {duration(control.total_s)} with max_workers=10.")


def loop_kept_free(c: Claim, e: Evidence) -> Judgement:
    """Whether threads hold the loop up, so that leaving them helps what must answer in real time."""
    found, after = e.of("burst", "fake-10"), e.of("burst", "article-10")
    lag, lag_after = seen(found.lag_s, "loop's lag"), seen(after.lag_s, "loop's lag")
    verdict = HOLDS if lag > BLOCKED * found.response_s and lag_after * ALIKE < lag else NOT
    said = f"The loop was late by {duration(lag)} (p99) with ten threads and by {duration(lag_after)} with httpx"
    free = ": the threads never blocked it" if lag <= BLOCKED * found.response_s else ""
    return Judgement(verdict, duration(lag_after), f"{said}{free}.")


def untestable(c: Claim, e: Evidence) -> Judgement:
    """What no experiment here can decide; the claim's note says why."""
    return Judgement(CANNOT, "", c.note)


MANNER_RULES: Mapping[str, Rule] = {
    "exceptions_change": exceptions_change,
    "exception_twin": exception_twin,
    "timeouts_compatible": timeouts_compatible,
    "running_loop": running_loop,
    "lazy_client": lazy_client,
    "one_request": one_request,
    "closes": closes,
    "resources": resources,
    "better_than_threads": better_than_threads,
    "refactor_now": refactor_now,
    "loop_kept_free": loop_kept_free,
    "untestable": untestable,
}
