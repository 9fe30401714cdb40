"""Lag: the ticker against a clock of the test's own, how arms are grouped, and small real runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from supalab import Lab
from supalab.errors import SettingsError, TrialError
from supalab.measure.costs.idle import idle
from supalab.measure.costs.lag import LAG, LagCosts, expected_s, lag_costs, middle_lag
from supalab.measure.memory import LoopLag
from supalab.measure.race import Progress
from supalab.measure.trial import Lag


class Clockwork(asyncio.SelectorEventLoop):
    """An event loop whose clock moves only when it would wait, and when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        look: Callable[[float | None], Any] = self._selector.select  # type: ignore[attr-defined]

        def skip(timeout: float | None = None) -> Any:
            self.now += timeout or 0.0
            return look(0)

        self._selector.select = skip  # type: ignore[attr-defined]

    def time(self) -> float:
        """Seconds so far."""
        return self.now


def test_lag_is_what_the_clock_says() -> None:
    """99 quiet ticks and one 300 ms late: the median is nothing, the longest all of it."""
    loop = Clockwork()

    async def work() -> Lag | None:
        ticker = LoopLag(every=0.005)
        ticker.start()
        await asyncio.sleep(0.0025)  # half way to a tick
        loop.now += 0.3025  # the loop's thread is busy
        await asyncio.sleep(0.4975)
        ticker.stop()
        return ticker.lag

    try:
        lag = loop.run_until_complete(work())
    finally:
        loop.close()
    assert lag is not None
    assert lag.max == pytest.approx(0.3, abs=1e-6)
    assert lag.p50 == pytest.approx(0.0, abs=1e-6)


def test_an_idle_loop_has_no_lag_by_a_clock_that_has_none() -> None:
    """All its ticks come when they are due."""
    loop = Clockwork()
    try:
        raw = loop.run_until_complete(idle(0.005, 1.0))
    finally:
        loop.close()
    assert raw["loop_lag"]["max"] == pytest.approx(0.0, abs=1e-6)


def test_repeated_lags_have_a_middle() -> None:
    """Each part is a median of its own; of none there is none."""
    lags = [Lag(0.1, 0.5, 0.9), Lag(0.3, 0.4, 0.7), Lag(0.2, 0.6, 0.8)]
    assert middle_lag(lags) == Lag(0.2, 0.5, 0.8)
    with pytest.raises(TrialError, match="no lag was measured"):
        middle_lag([])


@pytest.fixture(scope="module")
def found() -> LagCosts:
    """Blocking, threads and ours beside a lab of another latency, once."""
    told: list[Progress] = []
    with Lab(latency=0.01) as lab:
        result = lag_costs(["real-3", "blocking-1", "fake-3"], latency=0.05, repeat=1, lab=lab, progress=told.append)
        assert lab.conditions.latency == 0.01
    assert told[-1].fraction == pytest.approx(1.0)
    return result


def test_blocking_holds_up_the_loop_for_all_its_requests(found: LagCosts) -> None:
    """One tick only, at the very end; threads and ours leave the loop free for most of a request."""
    blocking = found.middle("blocking-1")
    assert blocking.lag.max > 0.8 * blocking.requests * found.latency
    for arm in ("fake-3", "real-3"):
        assert found.middle(arm).lag.p50 < found.latency / 2
        assert found.middle(arm).lag.max < blocking.lag.max / 2


def test_what_a_request_costs_is_counted(found: LagCosts) -> None:
    """Threads by number, CPU above nothing, every request answered; the arms in the order that was asked for."""
    assert found.arms == ("real-3", "blocking-1", "fake-3")
    assert [found.middle(arm).threads for arm in found.arms] == [1, 1, 4]
    assert [found.middle(arm).requests for arm in found.arms] == [30, 20, 30]
    assert all(run.cpu_ms > 0 and run.errors == 0 for run in found.runs)
    assert len(found.idle) == 1
    assert {"httptools", "requests"} <= set(found.versions)
    assert LAG.loads(LAG.dumps(found)) == found


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"arms": []}, "not a list of different names"),
        ({"arms": ["unreal-1"]}, "no arm is called"),
        ({"repeat": 0}, "repeat 0"),
        ({"latency": -1}, "latency -1"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(wrong: dict[str, Any], said: str) -> None:
    """Before anything is started."""
    with pytest.raises(SettingsError, match=said):
        lag_costs(**wrong)


def test_more_repeats_take_longer() -> None:
    """The expected seconds know repeats and that blocking callers come one after another."""
    assert expected_s(["real-3"], 4) > 2 * expected_s(["real-3"], 1)
    assert expected_s(["blocking-1"], 1) > expected_s(["real-1"], 1)
