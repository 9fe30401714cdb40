"""What ``explain`` runs: a workload and two limits go in, experiments and the seconds they take come out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from supalab.clients.arms import arm
from supalab.errors import SettingsError
from supalab.measure.campaign import Experiment
from supalab.measure.explain.chain import ARTICLE_FACTORS, LINKS_OF, PLAIN, Factor, Link, chain
from supalab.measure.workload import Workload

__all__ = ["WHOLE", "Plan", "link_name", "plan", "usual"]

#: The experiment that measures the whole way at once, beside the factors.
WHOLE = "whole"
#: A link's round trips come on top of the service time, whatever that is: a short one and a few waves of requests
#: show the same milliseconds per request in a fraction of the time.
LINK_WAVES, LINK_LATENCY_S = 4, 0.05

#: Seconds to start a process and let it load its client, and milliseconds of CPU for a request at a limit of 10 and of
#: 100 (a 2-core machine, November 2026): good for guessing how long a trial takes, and for nothing else.
START_S = 0.4
COST_MS = {"httpx-threads": (1.0, 2.0), "article": (1.8, 9.0), "kept": (3.0, 14.0), "gated": (1.4, 9.0)}
COST_MS |= {"real-httpx": (1.0, 10.0), "real": (0.5, 0.5)}
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
        waits = sum(START_S + one.waits_s(arm(name).limit) for one in self.experiments for name in one.arms)
        return self.rounds * (waits + sum(one.work_s for one in self.experiments))


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
    ends = (factors[0].before, factors[ARTICLE_FACTORS].before, factors[-1].after)
    runs = [_experiment(one.key, (one.before, one.after), workload, after) for one in factors]
    # In the middle of a round, so that what gets worse on the way does so to factors on both sides of it.
    runs.insert(ARTICLE_FACTORS, _experiment(WHOLE, ends, workload, after))
    over = _link_workload(workload, after) if links else None
    if over is not None:
        runs += [
            _experiment(link_name(one.key, link), (one.before, one.after), over, after, link)
            for one in factors
            for link in LINKS_OF.get(one.key, ())
        ]
    return Plan(factors, tuple(runs), (before, after), workload, over, rounds)


def _link_workload(workload: Workload, limit: int) -> Workload:
    latency = min(workload.latency or 0.0, LINK_LATENCY_S)
    return replace(workload, requests=min(workload.requests, LINK_WAVES * limit), latency=latency)


def _experiment(name: str, arms: tuple[str, ...], workload: Workload, warm: int, link: Link = PLAIN) -> Experiment:
    """Arms that take turns, after so many requests that do not count.

    What is paid once for each process (an SSL context, threads, first connections) is no request's cost.
    """
    work_s = _work_s(arms, workload.requests + warm)
    return Experiment(name, arms, workload, rtt=link.rtt, tls=link.tls, bare=warm, work_s=work_s)


def _work_s(arms: Sequence[str], requests: int) -> float:
    """Guess the seconds of CPU that latency does not cover: half of them, in a crowd all."""
    chosen = [arm(name) for name in arms]
    costs = [COST_MS.get(one.kind, USUAL_COST_MS)[one.limit > CROWD] for one in chosen]
    return sum(cost / 1000 * requests for cost in costs) / (1 if chosen[-1].limit > CROWD else 2)
