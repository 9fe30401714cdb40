"""``python -m supalab.measure.claims.tries``: a job (JSON line on stdin) → what was tried out → a JSON line of facts.

What is no race: which exceptions are raised, what times out, how many threads and connections are used, what
cancelling does. All in a fresh process with a lab of its own, so that it can be asked from a notebook too.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Mapping

from supalab.lab.handle import Lab
from supalab.measure.child import run_worker
from supalab.measure.claims.evidence import Fact
from supalab.process.attach import attach_to_parent

__all__ = ["EXPECTED_S", "facts", "main"]

EXPECTED_S = 11.0
LIMIT_S = 120.0
#: Seconds the lab takes for a request while callers leave and queue: long against all that a busy machine adds.
SLOW_S = 1.0


def facts(tick: Callable[[float], None] = lambda _: None) -> dict[str, Fact]:
    """Try everything out in a fresh process; ``tick`` is called with the seconds so far. Raises TrialError."""
    found = run_worker(
        {},
        limit_s=LIMIT_S,
        tick=tick,
        module="supalab.measure.claims.tries",
        who="what tries the claims out",
    )
    return dict(found)


def main() -> int:
    """Try everything out and report the facts."""
    with attach_to_parent() as parent:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            del os.environ[name]  # loopback traffic stays on loopback, as the plain library would not keep it
        os.environ["no_proxy"] = "127.0.0.1"  # nor may a proxy of the system's own settings take it
        os.environ["NETRC"] = os.devnull
        parent.report(_all())
    return 0


def _all() -> Mapping[str, Fact]:
    from supalab.measure.claims import tries_errors, tries_manners, tries_waiting

    with Lab() as lab:
        found = {**tries_errors.errors(lab), **tries_manners.manners(lab)}
        lab.set(latency=SLOW_S)
        dripped: dict[str, Fact] = {}
        # It only sleeps, and on a server of its own: beside the rest it costs no time.
        beside = threading.Thread(target=lambda: dripped.update(tries_errors.dripping()))
        beside.start()
        found |= asyncio.run(tries_waiting.waiting(lab, SLOW_S))
        beside.join()
        lab.reset()
        found |= asyncio.run(tries_waiting.crowd(lab))
    return found | dripped


if __name__ == "__main__":
    sys.exit(main())
