"""A record of ``explain`` made by hand: each arm of the chain at a level of its own; no lab, no process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from supalab.experiments.explain import WHOLE, chain, plan
from supalab.measure.case import Case, Trial
from supalab.measure.record import Record
from supalab.measure.run import trials_of

__all__ = ["LEVELS", "made_explanation"]

# Seconds and milliseconds of CPU of an arm of the chain, in order: the article's size.
LEVELS = (15.42, 4.62, 4.60, 4.61, 4.72, 4.70, 4.65, 4.65, 4.58)
CPU = (1.5, 1.5, 1.0, 1.1, 1.8, 3.0, 1.3, 1.1, 0.45)
SHIFTS = (0.0, 0.02, -0.01)
CONNECTIONS = {"fake": 110, "httpx-threads": 105, "article": 105}
#: Milliseconds for which a request holds its slot, by link: three round trips for a new connection over TLS, one for a
#: connection that is kept.
SLOTS = {
    "HTTP": {"fake": 110, "session": 105, "httpx-threads": 105, "article": 105, "kept": 105},
    "TLS, 40 ms": {"fake": 235, "session": 146, "httpx-threads": 233, "article": 233, "kept": 146},
}


def made_explanation(
    *,
    links: bool = True,
    jitter: float = 0.0,
    errors: int = 0,
    off: float = 0.0,
    levels: Sequence[float] = LEVELS,
    limit: int = 10,
    repeat: int = 3,
) -> Record:
    """The article's size; ``jitter``: what an arm differs by between its pairs, ``off``: seconds on no factor.

    ``errors``: how many requests of the second arm of each factor fail.
    """
    factors = {one.key: one for one in chain(3, limit)}
    arms = [one.before for one in factors.values()] + [f"real-{limit}"]

    def measure(case: Case) -> Trial:
        key, link, shift = case.tags["factor"], case.tags["link"], SHIFTS[case.repeat]
        after = key != WHOLE and case.arm == factors[key].after
        place = arms.index(case.arm)
        seconds = levels[place] + jitter * after + off * (key == WHOLE and place > 0)
        if link:
            waves = -(-case.workload.requests // limit)
            seconds = waves * SLOTS.get(link, {}).get(case.kind, 100) / 1000
        numbers = {
            "makespan_s": round(seconds + shift, 6),
            "cpu_ms": round((1.0 if link else CPU[place]) * (1 + shift), 6),
            "errors": errors * after * (not link),
            "failures": f"{errors} x ReadError",
            "connections": CONNECTIONS.get(case.kind, 10),
            "served": case.workload.requests + limit,
        }
        return Trial(case, numbers)

    asked: dict[str, Any] = {
        "requests": 100,
        "latency": 0.45,
        "before": 3,
        "limit": limit,
        "repeat": repeat,
        "links": links,
    }
    trials = tuple(step for step in trials_of(plan(**asked), measure) if isinstance(step, Trial))
    where = {"system": "Linux", "cpus": "2"}
    return Record("explain", trials, asked, (), "2026-11-22T17:00:00+00:00", where, {"python": "3.11.7"})
