"""Judge formulas: the makespan (01a), what a step saves (08a), the limit (09a), a contradiction in a table (11a)."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from numbers import Integral
from statistics import mean, median
from typing import TYPE_CHECKING, Any, NamedTuple

from supalab.clients.fake import FakeSupabaseAsync
from supalab.clients.real import SupabaseAsync
from supalab.course.check import called, described, filled, finding, is_number, stop
from supalab.course.feedback import Finding
from supalab.lab.handle import Lab
from supalab.measure.case import Workload
from supalab.measure.traffic import burst

if TYPE_CHECKING:
    import pandas as pd

# 01a: the makespan of a burst.

LATENCY_S = 0.1
#: (requests, limit): waves that are all full; a last one that is not; fewer requests than slots.
BURSTS = ((9, 3), (7, 6), (2, 8))
#: A formula has one right value. The lab measures more, on a busy machine a whole wave more: the measurement is shown
#: next to the value, and does not decide.
NEAR_S = 0.001
#: The notebook's own burst, whose numbers may be left in a formula.
SHOWN_THREADS, SHOWN_LATENCY_S = 3, 0.15


async def makespans(formula: Callable[[int, int, float], Any]) -> AsyncIterator[Finding]:
    """Judge ``formula(requests, limit, latency)``, seconds, and show what the fake client takes at a lab."""
    async with Lab(latency=LATENCY_S) as lab:
        for requests, limit in BURSTS:
            told = called(formula, requests, limit, LATENCY_S, expected="a number of seconds")
            if not is_number(told):
                stop("what it returns", "a number of seconds", described(told), "unit")
            async with FakeSupabaseAsync(lab.url, lab.key, limit=limit) as db:
                took = await _burst_s(db, Workload(requests, LATENCY_S))
            yield _makespan(requests, limit, float(told), took)


async def _burst_s(db: Any, load: Workload) -> float:
    """Seconds from the first request of a burst to the last response."""
    return max(span.done for span in await burst(db, load, watch=False))


def _makespan(requests: int, limit: int, told: float, took: float) -> Finding:
    def is_told(seconds: float) -> bool:
        return abs(told - seconds) < NEAR_S

    full, left_over = divmod(requests, limit)
    waves, shown_waves = math.ceil(requests / limit), math.ceil(requests / SHOWN_THREADS)
    shown = (shown_waves * SHOWN_LATENCY_S, waves * SHOWN_LATENCY_S, shown_waves * LATENCY_S)
    what, right = f"{requests} requests of {LATENCY_S:g} s, {limit} threads", waves * LATENCY_S
    expected, observed = f"{right:.2f} s; measured at the lab: {took:.2f} s", f"your function: {told:.2f} s"
    return finding(what, expected, observed, is_told(right)).because(
        "count",
        say={"requests": requests, "waves": waves, "limit": limit},
        one_by_one=is_told(requests * LATENCY_S),
        idle=requests < limit and told < LATENCY_S,
        waves=told in {waves, full},
        half=left_over and is_told(requests / limit * LATENCY_S),
        last=left_over and is_told(full * LATENCY_S),
        too_many=not left_over and is_told((full + 1) * LATENCY_S),
        shown=any(map(is_told, shown)),
    )


# 08a: what a step saves.

#: Values closer than this are the same: printed seconds have three decimals.
SAME_S = 0.0005


class Rounds(NamedTuple):
    """Makespans of two arms in seconds, one per round; ``reason``: for an answer whose median or verdict differs."""

    what: str
    before: Sequence[float]
    after: Sequence[float]
    reason: str

    @property
    def differences(self) -> list[float]:
        """What each round saved, in seconds."""
        return [a - b for a, b in zip(self.before, self.after, strict=True)]


KNOWN = (
    Rounds("a clear gain", (0.50, 0.52, 0.51), (0.20, 0.21, 0.22), "direction"),
    Rounds("a machine that gets slower", (0.50, 0.60, 0.70), (0.40, 0.51, 0.59), "paired"),
    Rounds("one slow round", (0.31, 0.30, 1.40, 0.32, 0.30), (0.21, 0.21, 0.20, 0.21, 0.20), "one_slow"),
    Rounds("nothing changed", (0.20, 0.21, 0.20, 0.22, 0.20), (0.19, 0.20, 0.21, 0.20, 0.21), "both_sides"),
    Rounds("a small gain, each time", (0.200, 0.210, 0.205), (0.190, 0.198, 0.196), "steady"),
    Rounds("a step that loses", (0.20, 0.21, 0.20), (0.26, 0.28, 0.25), "loses"),
)


async def savings(answer: Callable[[pd.Series[float], pd.Series[float]], Any]) -> AsyncIterator[Finding]:
    """Try the function on rounds whose true result is known."""
    for case in KNOWN:
        yield _saving(case, answer)


def _saving(case: Rounds, answer: Any) -> Finding:
    import pandas as pd  # imported here, because it takes a second and only this exercise needs it

    differences = case.differences
    right = (median(differences), min(differences), max(differences), min(differences) > 0 or max(differences) < 0)
    told = called(answer, pd.Series(case.before), pd.Series(case.after), expected="four values")
    if not _are_four(told):
        stop(case.what, _shown(right), described(told), "four")
    # Plain numbers, because numpy's own bool is not an int.
    middle, lowest, highest, above_noise = (*map(float, told[:3]), bool(told[3]))
    in_the_middle = _same(middle, right[0])
    in_range = _same(lowest, right[1]) and _same(highest, right[2])
    ok = in_the_middle and in_range and above_noise == right[3]
    return finding(case.what, _shown(right), _shown((middle, lowest, highest, above_noise)), ok).because(
        case.reason,
        direction=not in_the_middle and _same(middle, -right[0]),
        one_slow=not in_the_middle and _same(middle, mean(differences)),
        paired=not in_the_middle and _same(middle, median(case.before) - median(case.after)),
        ends=in_the_middle and not in_range and case.reason != "paired",
    )


def _are_four(told: Any) -> bool:
    """Return whether these are three numbers and a truth value; numpy's kinds count too."""
    if not isinstance(told, (tuple, list)) or len(told) != 4:
        return False
    truth = isinstance(told[3], int) or type(told[3]).__name__ in {"bool", "bool_"}
    return truth and all(map(is_number, told[:3]))


def _same(one: float, other: float) -> bool:
    return abs(one - other) < SAME_S


def _shown(told: tuple[float, float, float, bool]) -> str:
    middle, lowest, highest, above_noise = told
    return f"{middle:+.3f} s ({lowest:+.3f} to {highest:+.3f}), {'above noise' if above_noise else 'within noise'}"


# 09a: the limit that a throughput needs.

#: (requests per second, latency): each needs a part of a slot more than a whole number, so that a limit that is just
#: right has room for a slow machine, and one slot fewer cannot do it however quick the machine is. The last one needs
#: less than one slot.
RATES = ((26, 0.05), (35, 0.1), (23, 0.2), (3, 0.1))
#: A whole number of slots: a run cannot show that nothing had to be rounded, so this one is compared with arithmetic.
WHOLE = (60, 0.15)
#: This part of the wanted rate counts as reached, because a request takes a little more than its latency.
REACHED = 0.9
WAVES, TRIES = 2, 4
#: A limit of so many times the needed slots is not run: it would show nothing more.
FAR = 6


async def limits(rule: Callable[[float, float], Any]) -> AsyncIterator[Finding]:
    """Run the client with the limit from ``rule(per_s, latency)`` and with one slot fewer; one caller for each slot."""
    async with Lab() as lab:
        for per_s, latency in RATES:
            size = _size(rule, per_s, latency)
            yield size
            if size.ok:
                lab.set(latency=latency)
                yield await _reached(lab, per_s, latency, int(size.observed))
    yield _size(rule, *WHOLE, exactly=round(math.prod(WHOLE)))


def _size(rule: Any, per_s: float, latency: float, exactly: int | None = None) -> Finding:
    """Check whether the rule gives a limit at all, and one of the right size."""
    limit = called(rule, per_s, latency, expected="a whole number of slots")
    whole = isinstance(limit, Integral) and not isinstance(limit, bool)
    enough = int(FAR * (per_s * latency + 1))
    right = whole and (1 <= limit <= enough if exactly is None else limit == exactly)
    what, expected = f"{per_s:g} requests/s at {latency:g} s: the limit", "a whole number of slots"
    if whole and not right:
        expected = f"a number of slots from 1 to {enough}" if exactly is None else f"{exactly} slots"
    return finding(what, expected, str(limit) if whole else repr(limit), right).because(
        "left_over",
        say={"per_s": f"{per_s:g}", "latency": f"{latency:g}", "exactly": exactly},
        whole_float=isinstance(limit, float) and limit.is_integer(),
        half=not whole,
        zero=whole and limit < 1,
        far=whole and limit > enough,
    )


async def _reached(lab: Lab, per_s: float, latency: float, limit: int) -> Finding:
    here, wanted = await _per_s(lab, limit, latency, per_s), REACHED * per_s
    observed, fewer = f"{here:.1f} requests/s", 0.0
    if here >= wanted and limit > 1:
        fewer = await _per_s(lab, limit - 1, latency, per_s)
        observed += f"; with {limit - 1}: {fewer:.1f}"
    what = f"{per_s:g} requests/s at {latency:g} s: a client with a limit of {limit}"
    expected = f"{per_s:g} requests/s, or nearly; less with one slot fewer"
    return finding(what, expected, observed, here >= wanted > fewer).because(
        "spare",
        say={"limit": limit, "latency": f"{latency:g}"},
        busy=here < wanted and limit / latency >= per_s,
        full=here < wanted,
    )


async def _per_s(lab: Lab, limit: int, latency: float, wanted: float) -> float:
    """Return the requests per second of as many callers as slots; a busy machine gets some more chances."""
    best = 0.0
    async with SupabaseAsync(lab.url, lab.key, limit=limit) as db:
        await burst(db, Workload(limit, latency), watch=False)  # opens the connections
        for _ in range(TRIES):
            spans = await burst(db, Workload(WAVES * limit, latency, callers=limit), watch=False)
            best = max(best, sum(span.outcome == "ok" for span in spans) / max(span.done for span in spans))
            if best >= REACHED * wanted or limit / latency < REACHED * wanted:
                break
    return best


# 11a: which number of a blog's table cannot be true.

#: The table, and what is said when the other right answer is given: both are right.
BLOG_LIMIT, BLOG_RESPONSE_S, BLOG_REQUESTS, BLOG_TOTAL_S = 25, 0.1, 50, 1.0
OTHER_WAY = {
    "limit": "a response of 0.5 s at a limit of 25 would explain the rest too",
    "response": "a limit of 5 at 0.1 s would explain the rest too",
}
#: A client's own work makes a burst longer than its latencies, never shorter; a busy machine has a second try.
SHORTER, LONGER = 0.85, 1.3
#: A burst that takes longer is computed, not run.
PLAYED_S = 2.5


async def contradiction(story: Mapping[str, Any]) -> AsyncIterator[Finding]:
    """Run the blog's burst with the numbers given; judge the total time, and whether one number alone was changed."""
    doubted, limit, response = filled(story, ("doubted", "limit", "response"), "names")
    if not is_number(limit) or not 1 <= limit <= 1000 or limit != int(limit):
        stop("limit", "a whole number", repr(limit), "limit")
    if not is_number(response) or not 0.001 <= response <= 10:
        stop("response", "seconds", repr(response), "response")
    differs = {"limit": limit != BLOG_LIMIT, "response": not _same(response, BLOG_RESPONSE_S)}
    changed = [name for name, does in differs.items() if does]
    total, how = await _played(int(limit), float(response))
    fits = SHORTER * BLOG_TOTAL_S <= total <= LONGER * BLOG_TOTAL_S
    expected, observed = f"about {BLOG_REQUESTS / BLOG_TOTAL_S:g} requests/s", f"{BLOG_REQUESTS / total:.0f} requests/s"
    yield finding("throughput", expected, f"{observed}, {how}", fits).because(
        "third",
        say={"faster": "too fast" if total < BLOG_TOTAL_S else "too slow"},
        as_in_the_blog=not changed,
        one_is_enough=len(changed) == 2,
    )
    what = f"{BLOG_REQUESTS} requests at once"
    yield finding(what, f"about {BLOG_TOTAL_S:g} s", f"{total:.2f} s, {how}", fits)
    yield _one_changed(changed, str(doubted).strip().lower())


async def _played(limit: int, response: float) -> tuple[float, str]:
    """Return the seconds of the blog's burst, and how they were found."""
    ideal = math.ceil(BLOG_REQUESTS / limit) * response
    if ideal > PLAYED_S:
        return ideal, "by arithmetic, too long to run"
    load = Workload(BLOG_REQUESTS, response)
    async with Lab(latency=response) as lab, SupabaseAsync(lab.url, lab.key, limit=limit) as db:
        total = await _burst_s(db, load)
        if total > LONGER * ideal:  # the machine was busy with something else
            total = min(total, await _burst_s(db, load))
    return total, "in the lab"


def _one_changed(changed: Sequence[str], doubted: str) -> Finding:
    ok, names = list(changed) == [doubted], " and ".join(changed)
    observed = f"{doubted}; {OTHER_WAY[doubted]}" if ok else names or "none"
    return finding("numbers that you change", "one: the number that you doubt", observed, ok).because(
        "disagree",
        say={"doubted": doubted, "changed": names or "neither limit nor response"},
        unknown=doubted not in OTHER_WAY,
    )
