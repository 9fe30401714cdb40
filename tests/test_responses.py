"""What notebook 10 measures and draws: a service under a short load."""

from __future__ import annotations

from supalab.course.charts import responses
from supalab.course.service import put_under_load
from supalab.lab.handle import Lab
from supalab.measure.case import Span, Trial
from supalab.measure.service import case_of
from supalab.measure.traffic import Traffic, traffic_numbers
from supalab.report.plot import description


def served(arm: str, *, lost: int = 0) -> Trial:
    spans = tuple(Span(i / 10, i / 10, i / 10 + 0.2, "HTTP 504" if i < lost else "ok") for i in range(20))
    case = case_of(arm, None, Traffic(2.0, 10.0), tags={}, detail=True)
    return Trial(case, traffic_numbers(spans, 2.0) | {"peak": 2}, spans, ((0.0, 1), (0.5, 2), (1.0, 0)))


def test_responses_are_drawn_with_the_lost_and_the_guess() -> None:
    """Lost requests are crosses, counted and said; so many lost make a p95 that never came."""
    fig = responses([served("fake-10", lost=3), served("real-10")], guesses={"fake-10": 0.4, "real-10": None})
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
        assert (found.arm, found.limit, found.errors) == ("real-2", 2, 0)
        assert found["served"] == len(found.spans) > 0
        assert max(number for _, number in found.timeline) == found["peak"] in (1, 2)
