"""Memory held in flight: statistics on made figures, what counts as at rest, and small real cells."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
from costs_made import held

from supalab import Lab
from supalab.errors import SettingsError, TrialError
from supalab.measure import memory
from supalab.measure.child import job, run_worker
from supalab.measure.costs.held import RESTS, at_rest
from supalab.measure.costs.memory import MEMORY, Cell, MemoryCosts, expected_s, memory_costs
from supalab.measure.memory import uss, written
from supalab.measure.race import Progress
from supalab.measure.workload import Workload
from supalab.settings import Settings


def test_a_cells_spread_is_that_of_its_repeats() -> None:
    """Mean, bytes for each request and coefficient of variation, by hand; one repeat has no spread."""
    cell = Cell("fake", 10, held("fake", 10, 900_000, 1_000_000, 1_100_000))
    assert (cell.mean, cell.each) == (1_000_000, 100_000)
    assert cell.variation == pytest.approx(0.1)
    assert cell.uss_variation == pytest.approx(100_000 / 1_004_096)
    assert Cell("fake", 10, held("fake", 10, 900_000)).variation is None


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ((10, 12, 14), (15, 16, 17), False),
        ((10, 12, 15), (15, 16, 17), True),
        ((15, 16, 17), (10, 12, 14), False),
        ((10, 30), (15, 16), True),
        ((10,), (99, 100), True),
    ],
)
def test_cells_differ_only_if_no_repeat_of_one_lies_among_the_others(
    one: tuple[int, ...], other: tuple[int, ...], alike: bool
) -> None:
    """Overlapping ranges are no difference, and a single process shows none."""
    assert Cell("a", 10, held("a", 10, *one)).like(Cell("b", 10, held("b", 10, *other))) is alike


def test_a_cell_whose_requests_were_not_all_in_flight_is_not_sound() -> None:
    """The lab's peak and the callers who were answered already decide, for every repeat."""
    assert Cell("fake", 10, held("fake", 10, 1, 2)).sound
    assert not Cell("fake", 10, held("fake", 10, 1) + held("fake", 10, 2, peak=9)).sound
    assert not Cell("fake", 10, held("fake", 10, 1, answered=1)).sound


async def rested(seconds_of_cpu: list[float], patience: float) -> tuple[bool, int]:
    """Look at a process whose CPU clock reads these seconds, one after another, 50 ms apart."""
    looks, clock = iter(seconds_of_cpu), [0.0]

    async def pause(seconds: float) -> None:
        clock[0] += seconds

    still = await at_rest(patience, cpu=lambda: next(looks), clock=lambda: clock[0], pause=pause)
    return still, round(clock[0] / 0.05)


async def test_at_rest_means_some_looks_in_a_row_without_work() -> None:
    """A look that finds work begins the count again; a process that never rests is given up."""
    assert await rested([0.0] * 9, 10.0) == (True, RESTS)
    assert await rested([0.0, 0.0, 0.04, 0.04, 0.04, 0.0401, 0.0402], 10.0) == (True, 2 + RESTS)
    assert (await rested([0.01 * look for look in range(99)], 1.0))[0] is False


def test_what_was_written_is_a_part_of_the_unique_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Never more than all of it, growing with what is written, and all of it where the system does not tell."""
    before = written() or 0
    assert 1_000_000 < before <= (uss() or 0)
    # Pages of its own: what the interpreter has been given before, and freed, would be written again and not grow.
    with mmap.mmap(-1, 30_000_000) as block:
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
        assert 25e6 < (written() or 0) - before < 45e6
        monkeypatch.setattr(memory, "ROLLUP", tmp_path / "nothing")
        assert abs((written() or 0) - (uss() or 0)) < 10e6


def test_small_cells_hold_what_they_should() -> None:
    """10 and 50 were in flight together at the lab, each with a thread or with none; many hold more than few."""
    told: list[Progress] = []
    with Lab(latency=0.02) as lab:
        found = memory_costs(["fake", "real"], [50, 10], repeat=1, lab=lab, progress=told.append)
        assert lab.conditions.latency == 0.02
    assert (found.kinds, found.in_flight) == (("fake", "real"), (10, 50))
    assert [(cell.kind, cell.in_flight) for cell in found.cells] == [
        *(("fake", 10), ("fake", 50)),
        *(("real", 10), ("real", 50)),
    ]
    for cell in found.cells:
        assert cell.sound
        assert [run.peak for run in cell.runs] == [cell.in_flight]
        assert [run.threads for run in cell.runs] == [cell.in_flight if cell.kind == "fake" else 0]
    for kind in found.kinds:
        assert found.cell(kind, 50).mean > 2 * found.cell(kind, 10).mean > 0
    assert found.cell("fake", 50).mean > found.cell("real", 50).mean
    assert told[-1].fraction == pytest.approx(1.0)
    assert (told[-1].done, told[-1].total) == (4, 4)
    assert MEMORY.loads(MEMORY.dumps(found)) == found
    with pytest.raises(TrialError, match="was not measured"):
        found.cell("article", 10)


def test_nothing_is_imported_between_the_base_line_and_the_reading() -> None:
    """What a client loads at its first request is loaded before, else it would count as the requests' memory."""
    with Lab(latency=0.7) as lab:
        for kind in ("fake", "article", "real"):
            asked = job("memory", f"{kind}-3", Settings(lab.url, lab.key), Workload(3, 0.7)) | {"patience": 0.6}
            raw = run_worker(asked, limit_s=60, tick=lambda _: None)
            assert raw["late_imports"] == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kinds": []}, "not a list of different names"),
        ({"kinds": ["unreal"]}, "no arm is called"),
        ({"kinds": ["blocking"]}, "one request in flight"),
        ({"in_flight": []}, "not a list of whole numbers"),
        ({"in_flight": [0]}, "not a list of whole numbers"),
        ({"in_flight": [100_000]}, "not a list of whole numbers"),
        ({"repeat": True}, "repeat True"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(wrong: dict[str, object], said: str) -> None:
    """Before anything is started."""
    with pytest.raises(SettingsError, match=said):
        memory_costs(**wrong)  # type: ignore[arg-type]


def test_costs_of_nothing_have_no_cells() -> None:
    """An empty record is a record."""
    nothing = MemoryCosts((), "", {}, {})
    assert (nothing.cells, nothing.kinds, nothing.in_flight) == ((), (), ())
    assert expected_s(["fake"], [1_000], 5) > expected_s(["fake"], [10], 5) > 0
