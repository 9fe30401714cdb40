"""What notebooks 09 and 10 measure and draw: a client's pace at a limit, a service under a short load."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supalab.course.pace import Pace, pace, paces_picture, record_of
from supalab.course.responses import responses_picture
from supalab.course.service import Served, put_under_load
from supalab.errors import TrialError
from supalab.experiments.throughput import best, line
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.measure.case import Case, Span, Trial
from supalab.measure.traffic import Traffic, failures
from supalab.measure.workload import Workload
from supalab.report.plot import description


def paced(kind: str, limit: int, per_s: float) -> Pace:
    numbers = {"makespan_s": 1.0, "per_s": per_s, "cpu_ms": 1.5, "errors": 0}
    case = Case(f"{kind}-{limit}", Workload(2 * limit, 0.1, callers=limit))
    return Pace(Trial(case, numbers), limit, 0.1, busy=per_s * 0.1)


def test_a_pace_knows_its_ideal_and_how_long_a_request_takes() -> None:
    """Little's law both ways: slots over latency, callers over throughput."""
    one = paced("kept", 40, 80.0)
    assert (one.name, one.ideal, one.took) == ("kept-40", 400.0, 0.5)
    assert "80 of 400 requests/s" in str(one)
    assert "failed" not in str(one)
    assert "3 failed" in str(replace(one, trial=replace(one.trial, numbers={**one.trial.numbers, "errors": 3})))


def test_paces_become_a_knee_with_the_guess_in_it() -> None:
    """The picture is the recorded one's; the guess is drawn and said, and the axis reaches the last limit."""
    paces = [paced("kept", 5, 45.0), paced("kept", 20, 160.0), paced("kept", 75, 60.0)]
    assert best(line(record_of(paces), "kept")) == 20
    with_guess, without = (paces_picture(paces, guesses={"kept-75": guess}) for guess in (2_000.0, None))
    assert "The guess for kept-75 was 2000 requests per second." in description(with_guess)
    assert "guess" not in description(without)
    assert with_guess.axes[0].get_ylim()[1] > 2_000
    assert without.axes[0].get_xlim()[1] > 75
    assert [label.get_text() for label in without.axes[0].get_xticklabels()] == ["5", "20", "75"]


@pytest.mark.parametrize("latencies", [(), (0.1, 0.2)])
def test_paces_of_no_or_several_latencies_make_no_knee(latencies: tuple[float, ...]) -> None:
    """A picture of unlike paces would mean nothing."""
    with pytest.raises(TrialError, match=f"paces at {len(latencies)} latencies"):
        record_of([replace(paced("real", 5, 45.0), latency=latency) for latency in latencies])


async def test_a_pace_is_measured_at_the_lab() -> None:
    """As many callers as slots ask twice each; more callers once each; never more in flight than slots."""
    async with Lab(latency=0.03) as lab:
        few = await pace("real", 4, lab)
        assert (few.trial.case.workload.requests, few.trial["errors"], few.callers, few.latency) == (8, 0, 4, 0.03)
        assert 0 < few.per_s < few.ideal
        assert 0 < few.busy <= 4
        assert lab.witness().served == 8  # the warm-up is not counted
        crowd = await pace("gated", 4, lab, callers=10)
        assert (crowd.trial.case.workload.requests, crowd.callers) == (10, 10)
        assert lab.witness().peak <= 4


def served(arm: str, *, lost: int = 0) -> Served:
    spans = tuple(Span(i / 10, i / 10, i / 10 + 0.2, "HTTP 504" if i < lost else "ok") for i in range(20))
    return Served(arm, Traffic(2.0, 10.0), spans, Witness(2, 0, 20, 2, 0, 3.0, ((0.0, 1), (0.5, 2), (1.0, 0))))


def test_responses_are_drawn_with_the_lost_and_the_guess() -> None:
    """Lost requests are crosses, counted and said; so many lost make a p95 that never came."""
    fig = responses_picture([served("fake-10", lost=3), served("real-10")], guesses={"fake-10": 0.4, "real-10": None})
    said = description(fig)
    assert "fake-10: 20 requests, p95 never, 3 lost; at most 2 in flight at the lab." in said
    assert "real-10: 20 requests, p95 200 ms, 0 lost" in said
    assert "The guess for fake-10 was 400 ms." in said
    assert "guess for real-10" not in said
    crosses = [line for line in fig.axes[0].lines if line.get_marker() == "x"]
    assert [len(line.get_xdata()) for line in crosses] == [3]


async def test_a_service_under_load_is_witnessed_and_gone_afterwards() -> None:
    """Each request of it is one at the lab, never more in flight than the client's limit."""
    async with Lab(latency=0.05) as lab:
        found = await put_under_load("real-2", lab, rate=20, seconds=1.0)
        assert (found.arm, found.limit) == ("real-2", 2)
        assert not failures(found.spans)
        assert found.witness.served == len(found.spans) > 0
        assert 1 <= found.witness.peak <= 2
