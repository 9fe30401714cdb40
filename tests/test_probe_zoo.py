"""The zoo once: the probe recognises every kind of client; ``probe_clients.py`` runs it many times."""

from __future__ import annotations

import asyncio

import pytest
from probe_clients import ZOO, Kind, one_verdict

from supalab import Lab
from supalab.probe import run
from supalab.probe.judge import CANNOT_TELL, KINDS


def test_the_zoo_is_large_and_has_every_kind() -> None:
    """At least 25 kinds that need nothing but what the tests need anyway; every verdict but one is somebody's."""
    assert len([one for one in ZOO if one.needs is None]) >= 25
    assert len({one.name for one in ZOO}) == len(ZOO) >= 45
    assert {one.expect for one in ZOO} == set(KINDS) - {CANNOT_TELL}


@pytest.mark.parametrize("kind", ZOO, ids=[one.name for one in ZOO])
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # of other people's clients
def test_the_probe_knows_it(kind: Kind, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdict and remark are right; on a busy machine a short look may miss one, but its verdict is never wrong."""
    if kind.lacking():
        pytest.skip(f"needs {kind.needs}")
    with monkeypatch.context() as short:  # the shortest that the probe's facts allow, as the zoo is large
        short.setattr(run, "LATENCY_S", 0.2)
        verdict = asyncio.run(one_verdict(kind, lab))
    assert verdict.kind in {kind.expect, CANNOT_TELL}, f"{verdict}\n{dict(verdict.numbers)}"
    if verdict.kind == CANNOT_TELL or not kind.remarked(verdict):  # too short on this machine: as users have it
        verdict = asyncio.run(one_verdict(kind, lab))
    assert verdict.kind == kind.expect, f"{verdict}\n{dict(verdict.numbers)}"
    assert kind.remarked(verdict), str(verdict)
    assert len(verdict.seen.bursts) <= 3, "it looked more often than it says"
