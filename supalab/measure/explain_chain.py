"""The step from the article's "before" to ours, taken apart: two limits go in, factors and experiments come out. Pure.

Each factor is a pair of arms that differ in one thing; the second arm of one is the first arm of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from supalab.clients.arms import arm
from supalab.errors import SettingsError
from supalab.measure.campaign import Experiment
from supalab.measure.race import START_S as EXPERIMENT_START_S
from supalab.measure.workload import Workload

__all__ = ["ARTICLE_FACTORS", "LINKS", "WHOLE", "Factor", "Link", "Plan", "chain", "link_name", "plan", "usual"]

#: The experiment that measures the whole way at once, beside the factors.
WHOLE = "whole"
#: So many of the factors make the article's own step; those after it lead on to ours.
ARTICLE_FACTORS = 4


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that changes between two arms: ``key`` for finding it, ``change`` in a few words."""

    key: str
    change: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Link:
    """What lies between client and lab: ``rtt`` seconds of a round trip, and perhaps TLS."""

    name: str
    rtt: float
    tls: bool


PLAIN, FAR = Link("HTTP", 0.0, False), Link("TLS, 40 ms", 0.04, True)
LINKS = (PLAIN, Link("TLS", 0.0, True), Link("TLS, 20 ms", 0.02, True), FAR, Link("TLS, 100 ms", 0.1, True))
#: Reuse depends on the link more than all others: it has them all. The others that touch connections have two.
LINKS_OF = {"reuse": LINKS, "library": (PLAIN, FAR), "async": (PLAIN, FAR), "keepalive": (PLAIN, FAR)}
#: A link's round trips come on top of the service time, whatever that is: a short one and a few waves of requests
#: show the same milliseconds per request in a fraction of the time.
LINK_WAVES, LINK_LATENCY_S = 4, 0.1

#: Seconds to start a process and let it load its client (a 2-core machine, November 2026), and milliseconds of CPU for
#: a request at a limit of 10 and of 100: good for guessing how long a trial takes, and for nothing else.
START_S = 0.4
COST_MS = {"httpx-threads": (1.0, 3.0), "article": (1.8, 30.0), "kept": (3.0, 22.0), "gated": (1.4, 8.0)}
COST_MS |= {"real-httpx": (1.0, 8.0), "real": (0.5, 0.7)}
USUAL_COST_MS = (1.2, 1.5)
CROWD = 30


@dataclass(frozen=True, slots=True)
class Plan:
    """All that ``explain`` runs in one round, how many rounds, and the seconds that they should take."""

    factors: tuple[Factor, ...]
    experiments: tuple[Experiment, ...]
    limits: tuple[int, int]
    workload: Workload
    link_workload: Workload | None
    rounds: int

    @property
    def expected_s(self) -> float:
        """Seconds on a quiet machine, by latency, round trips and costs known from earlier runs."""
        return self.rounds * sum(_expected_s(one) for one in self.experiments)


def chain(before: int = 3, after: int = 10) -> tuple[Factor, ...]:
    """Return the factors in order, from ``before`` threads to ours with a limit of ``after``.

    Raises SettingsError unless 0 < before < after.
    """
    few, many = arm(f"fake-{before}"), arm(f"fake-{after}")
    if few.limit >= many.limit:
        raise SettingsError(f"limits {before} and {after} explain no step up: let the second be larger, e.g. 3 and 10")
    keys = (
        ("limit", f"{before} at once, then {after}", few.name),
        ("reuse", "new connections, then reuse", many.name),
        ("library", f"requests, then httpx (keeps {after // 2})", f"session-{after}"),
        ("async", "threads, then async", f"httpx-threads-{after}"),
        ("keepalive", f"{after // 2} connections kept, then {after}", f"article-{after}"),
        ("gate", "queue in the pool, then a gate", f"kept-{after}"),
        ("around", "bare, then what ours adds", f"gated-{after}"),
        ("transport", "httpx's pool, then aiohttp's", f"real-httpx-{after}"),
    )
    ends = [name for _, _, name in keys[1:]] + [f"real-{after}"]
    return tuple(Factor(key, change, start, end) for (key, change, start), end in zip(keys, ends, strict=True))


def usual(limit: int) -> Workload:
    """Return a burst that suits a limit: ten requests for each slot, and short ones where many slots make many."""
    return Workload(10 * limit, 0.15 if limit <= CROWD else 0.05)


def link_name(factor: str, link: Link) -> str:
    """Return the name of the experiment that measures a factor over a link."""
    return f"{factor} over {link.name}"


def plan(workload: Workload, before: int, after: int, rounds: int, *, links: bool) -> Plan:
    """Return what to run: a pair for each factor, the whole, and pairs over links if these are asked for.

    Raises SettingsError for limits, rounds or a latency that cannot work.
    """
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise SettingsError(f"repeat {rounds!r} is not a whole number from 1: use e.g. 3")
    if workload.latency is None:
        raise SettingsError("latency None explains nothing: name the seconds that the lab takes, e.g. 0.15")
    factors = chain(before, after)
    # What is paid once for each process (an SSL context, threads, first connections) is no request's cost.
    warm = after
    ends = (factors[0].before, factors[ARTICLE_FACTORS].before, factors[-1].after)
    runs = [Experiment(one.key, (one.before, one.after), workload, bare=warm) for one in factors]
    # In the middle of a round, so that what gets worse on the way does so to factors on both sides of it.
    runs.insert(ARTICLE_FACTORS, Experiment(WHOLE, ends, workload, bare=warm))
    over = _link_workload(workload, after) if links else None
    if over is not None:
        runs += _over_links(factors, over, warm)
    return Plan(factors, tuple(runs), (before, after), workload, over, rounds)


def _link_workload(workload: Workload, limit: int) -> Workload:
    latency = min(workload.latency or 0.0, LINK_LATENCY_S)
    return replace(workload, requests=min(workload.requests, LINK_WAVES * limit), latency=latency)


def _over_links(factors: Sequence[Factor], workload: Workload, warm: int) -> list[Experiment]:
    return [
        Experiment(link_name(one.key, link), (one.before, one.after), workload, rtt=link.rtt, tls=link.tls, bare=warm)
        for one in factors
        for link in LINKS_OF.get(one.key, ())
    ]


def _expected_s(one: Experiment) -> float:
    waits = one.expected_s - len(one.arms) * EXPERIMENT_START_S
    requests = one.workload.requests + (one.bare or 0)
    chosen = [arm(name) for name in one.arms]
    costs = [COST_MS.get(each.kind, USUAL_COST_MS)[each.limit > CROWD] / 1000 for each in chosen]
    return waits + sum(START_S + cost * requests / 2 for cost in costs)
