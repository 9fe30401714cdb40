"""Loop lag: the ticker with a test's own clock, how arms are grouped, and small real runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from declared import NUMBERS

from supalab import Lab
from supalab.clients.arms import arm
from supalab.errors import SettingsError
from supalab.experiments.lag import IDLE, arms, lag, plan
from supalab.measure.case import Workload
from supalab.measure.instruments import LoopLag
from supalab.measure.record import Record
from supalab.measure.run import Progress, expected_s
from supalab.measure.worker import Asked, idle


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

    async def work() -> dict[str, float]:
        ticker = LoopLag(every=0.005)
        ticker.start()
        await asyncio.sleep(0.0025)  # half way to a tick
        loop.now += 0.3025  # the loop's thread is busy
        await asyncio.sleep(0.4975)
        ticker.stop()
        return ticker.numbers

    try:
        lag = loop.run_until_complete(work())
    finally:
        loop.close()
    assert lag["lag_max_s"] == pytest.approx(0.3, abs=1e-6)
    assert lag["lag_p50_s"] == pytest.approx(0.0, abs=1e-6)


def test_an_idle_loop_has_no_lag_by_a_clock_that_has_none() -> None:
    """All its ticks come when they are due."""
    loop = Clockwork()
    nobody: Any = None
    try:
        result = loop.run_until_complete(
            idle(Asked(arm("real-1"), nobody, Workload(1), {"ticker": 0.005, "seconds": 1.0}, nobody))
        )
    finally:
        loop.close()
    assert result is not None
    assert result["numbers"]["lag_max_s"] == pytest.approx(0.0, abs=1e-6)


@pytest.fixture(scope="module")
def found() -> Record:
    """Blocking, threads and our client, once each, on a lab with another latency."""
    told: list[Progress] = []
    with Lab(latency=0.01) as lab:
        result = lag(arms=["real-3", "blocking-1", "fake-3"], latency=0.05, repeat=1, lab=lab, progress=told.append)
        assert lab.conditions.latency == 0.01
    assert told[-1].fraction == pytest.approx(1.0)
    return result


def test_blocking_holds_up_the_loop_for_all_its_requests(found: Record) -> None:
    """Only one tick, at the very end; threads and our client leave the loop free for most of a request."""
    seen = arms(found).set_index("arm").to_dict("index")
    blocking = seen["blocking-1"]
    assert blocking["lag_max_s"] > 0.8 * blocking["requests"] * found.asked["latency"]
    for name in ("fake-3", "real-3"):
        assert seen[name]["lag_p50_s"] < found.asked["latency"] / 2
        assert seen[name]["lag_max_s"] < blocking["lag_max_s"] / 2


def test_what_a_request_costs_is_counted(found: Record, tmp_path: Path) -> None:
    """Threads by number, CPU above nothing, every request answered; the arms in the order that was asked for."""
    assert list(arms(found)["arm"]) == [IDLE, "real-3", "blocking-1", "fake-3"]
    trials = [found.of(name)[0] for name in ("real-3", "blocking-1", "fake-3")]
    assert [trial["threads"] for trial in trials] == [1, 1, 4]
    assert [trial.case.workload.requests for trial in trials] == [30, 20, 30]
    assert all(trial["cpu_ms"] > 0 and trial["errors"] == 0 for trial in trials)
    assert [trial.case.job for trial in found.trials].count("idle") == 1
    assert {"httptools", "requests"} <= set(found.versions)
    assert {name for trial in found.trials for name in trial.numbers} <= set(NUMBERS)
    assert Record.load(found.save(tmp_path / "lag.json")) == found


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
        lag(**wrong)


def test_more_repeats_take_longer() -> None:
    """The expected seconds know repeats and that blocking callers come one after another."""
    assert expected_s(plan(["real-3"], repeat=4)) > 2 * expected_s(plan(["real-3"], repeat=1))
    assert expected_s(plan(["blocking-1"], repeat=1)) > expected_s(plan(["real-1"], repeat=1))
