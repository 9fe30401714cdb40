"""Memory held in flight: statistics on made-up numbers, when a process is at rest, and small real cells."""

from __future__ import annotations

import math
import mmap
from pathlib import Path
from typing import Any

import pytest
from costs_made import held
from declared import NUMBERS

from supalab import Lab
from supalab.errors import SettingsError
from supalab.experiments.memory import EACH_S, FIRST_S, cells, memory, notes, plan
from supalab.measure import instruments as instruments
from supalab.measure.case import Case, Trial, Workload
from supalab.measure.child import job, run_worker
from supalab.measure.instruments import uss, written
from supalab.measure.record import Record, each
from supalab.measure.run import Progress, expected_s, trials_of
from supalab.measure.worker import RESTS, at_rest
from supalab.settings import Settings


def record(*cells: list[Trial]) -> Record:
    return Record("memory", tuple(trial for cell in cells for trial in cell))


def cell(*trials: Trial) -> Any:
    (found,) = each(cells(record(list(trials))))
    return found


def test_a_cells_spread_is_that_of_its_repeats() -> None:
    """Mean, kilobytes for each request and coefficient of variation, by hand; one repeat has no spread."""
    found = cell(*held("fake", 10, 900_000, 1_000_000, 1_100_000))
    assert (found.mb, found.kb) == (1.0, 100)
    assert found.variation == pytest.approx(0.1)
    assert math.isnan(cell(*held("fake", 10, 900_000)).variation)


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
    said = " ".join(notes(record(held("a", 10, *one), held("b", 10, *other))))
    assert ("No difference: a and b at 10" in said) is alike
    assert ("never overlap" in said) is not alike


def test_a_cell_whose_requests_were_not_all_in_flight_is_not_sound() -> None:
    """The lab's peak and the callers who were answered already decide, for every repeat."""
    assert cell(*held("fake", 10, 1, 2)).sound
    assert not cell(*held("fake", 10, 1), *held("fake", 10, 2, 2, peak=9)[1:]).sound
    assert not cell(*held("fake", 10, 1, answered=1)).sound


def test_a_slow_machine_is_given_twice_the_time_and_the_last_try_counts() -> None:
    """At most three tries; the first reliable one ends them."""
    peaks = iter((1, 2, 1, 1, 1))

    def measure(case: Case) -> Trial:
        peak = next(peaks)
        return Trial(case, {"peak": peak, "answered": 0, "at_rest": True, "held_bytes": 10 * peak, "uss_bytes": 10})

    trials = [step for step in trials_of(plan(["real"], [2], repeat=2), measure) if isinstance(step, Trial)]
    first = FIRST_S + 2 * EACH_S
    assert [trial.case.workload.latency for trial in trials] == [first, 2 * first, first, 2 * first, 4 * first]
    (found,) = each(cells(record(trials)))
    assert (found.n, found.mb, found.sound) == (2, pytest.approx(15e-6), False)


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
    """Never more than all of it; it grows with writes; all of it on systems that do not tell."""
    before = written() or 0
    assert 1_000_000 < before <= (uss() or 0)
    # Pages of its own: what the interpreter has been given before, and freed, would be written again and not grow.
    with mmap.mmap(-1, 30_000_000) as block:
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
        assert 25e6 < (written() or 0) - before < 45e6
        monkeypatch.setattr(instruments, "ROLLUP", tmp_path / "nothing")
        assert abs((written() or 0) - (uss() or 0)) < 10e6


def test_small_cells_hold_what_they_should(tmp_path: Path) -> None:
    """10 and 50 were in flight together at the lab, each with a thread or with none; many hold more than few."""
    told: list[Progress] = []
    with Lab(latency=0.02) as lab:
        found = memory(kinds=["fake", "real"], in_flight=[50, 10], repeat=1, lab=lab, progress=told.append)
        assert lab.conditions.latency == 0.02
    mean = {(one.kind, one.limit): one.mb for one in each(cells(found))}
    assert list(mean) == [("fake", 10), ("real", 10), ("fake", 50), ("real", 50)]
    assert cells(found)["sound"].all()
    for trial in found.trials:
        assert trial["peak"] == trial.case.limit
        assert trial["threads"] == (trial.case.limit if trial.case.kind == "fake" else 0)
    for kind in ("fake", "real"):
        assert mean[kind, 50] > 2 * mean[kind, 10] > 0
    assert mean["fake", 50] > mean["real", 50]
    assert told[-1].fraction == pytest.approx(1.0)
    assert (told[-1].done, told[-1].total) == (4, 4)
    assert {name for trial in found.trials for name in trial.numbers} <= set(NUMBERS)
    assert Record.load(found.save(tmp_path / "m.json"), "memory") == found


def test_nothing_is_imported_between_the_base_line_and_the_reading() -> None:
    """A client's late imports are loaded before; otherwise they would count as memory of the requests."""
    with Lab(latency=0.7) as lab:
        for kind in ("fake", "article", "real"):
            asked = job("held", f"{kind}-3", Settings(lab.url, lab.key), Workload(3, 0.7))
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
def test_what_cannot_be_measured_is_refused_in_one_line(wrong: dict[str, Any], said: str) -> None:
    """Before anything is started."""
    with pytest.raises(SettingsError, match=said):
        memory(**wrong)


def test_more_requests_take_longer() -> None:
    """The expected seconds know that the server time grows with the requests in flight."""
    assert expected_s(plan(["fake"], [1_000], repeat=5)) > expected_s(plan(["fake"], [10], repeat=5)) > 0
