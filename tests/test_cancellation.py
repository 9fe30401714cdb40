"""Cancelled callers: who was free when, who worked on for nobody, and when the process could end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supalab import Lab
from supalab.clients.arms import arm
from supalab.errors import SettingsError, TrialError
from supalab.lab.witness import Witness
from supalab.measure.costs.cancellation import CANCELLATION, Cancellations, Cancelled, cancellation, expected_s, judged
from supalab.measure.costs.cancelled import THENS, report_at_exit
from supalab.measure.race import Progress

LATENCY = 1.0
RAW: dict[str, Any] = {
    "warm_s": -0.001,
    "cancelled_s": 0.1,
    "free_s": 0.002,
    "run_s": 0.01,
    "exit_s": 0.41,
    "late_s": None,
    "late_outcome": None,
    "closed_s": None,
    "answered": 0,
    "failed": 0,
}


def seen(timeline: tuple[tuple[float, int], ...], *, served: int, abandoned: int = 0) -> Witness:
    return Witness(max(n for _, n in timeline), 0, served, 1, abandoned, 1.0, timeline)


@pytest.fixture(scope="module")
def found() -> Cancellations:
    """One run of each kind of program, of threads and of ours, beside a lab whose latency is another."""
    with Lab(latency=0.01) as lab:
        told: list[Progress] = []
        result = cancellation(
            ["fake-4", "real-4"], callers=6, latency=LATENCY, at_s=0.15, repeat=1, lab=lab, progress=told.append
        )
        assert lab.conditions.latency == 0.01
    fractions = [so_far.fraction for so_far in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)
    assert (told[-1].done, told[-1].total) == (6, 6)
    return result


def test_threads_work_on_for_nobody_and_ours_hangs_up(found: Cancellations) -> None:
    """The lab finishes every request in flight; only a client that hung up has told it that nobody waits."""
    for run in found.of("fake-4"):
        assert (run.answered, run.failed, run.for_nobody, run.hung_up, run.carried_on) == (0, 0, 4, 0, 4)
    for run in found.of("real-4"):
        assert (run.answered, run.failed, run.for_nobody, run.hung_up, run.carried_on) == (0, 0, 4, 4, 0)


def test_callers_are_free_at_once_whatever_goes_on_behind_them(found: Cancellations) -> None:
    """Even fake async gives its callers back long before the request could be done."""
    assert all(run.free_s < LATENCY / 2 for run in found.runs)
    assert all(run.cancelled_s >= 0.15 for run in found.runs)


def test_a_new_caller_waits_for_slots_that_work_for_nobody(found: Cancellations) -> None:
    """Threads are taken until their requests are done: the newcomer waits for one, and then for its answer."""
    (fake,), (real,) = found.of("fake-4", "ask"), found.of("real-4", "ask")
    assert (fake.late_outcome, real.late_outcome) == ("ok", "ok")
    assert (fake.late_s or 0) > (real.late_s or 9) + LATENCY / 4
    assert (real.late_s or 0) >= LATENCY
    assert (fake.peak, real.peak) == (4, 5)  # the slot is free while the lab still works on the old request


def test_the_process_ends_when_its_threads_do(found: Cancellations) -> None:
    """Walking away ends asyncio.run at once; a process with threads lives on until their requests are done."""
    (fake,), (real,) = found.of("fake-4", "leave"), found.of("real-4", "leave")
    assert max(fake.run_s, real.run_s) < LATENCY / 2
    assert fake.exit_s > LATENCY / 2 > real.exit_s
    (fake,), (real,) = found.of("fake-4", "close"), found.of("real-4", "close")
    assert (fake.closed_s or 0) > LATENCY / 2 > (real.closed_s or 9)
    assert (fake.late_s, fake.late_outcome) == (None, None)


def test_the_record_says_where_and_survives_a_file(found: Cancellations, tmp_path: Path) -> None:
    """What was asked, the machine and the versions are in it, and it comes back from its file."""
    assert (found.arms, {run.then for run in found.runs}) == (("fake-4", "real-4"), set(THENS))
    assert {"requests", "httptools", "python"} <= set(found.versions)
    assert found.machine["cpus"]
    assert CANCELLATION.load(CANCELLATION.save(found, tmp_path / "cancel.json")) == found
    with pytest.raises(TrialError, match="no cancellation of arm 'fake-9'"):
        found.of("fake-9")


def test_blocking_callers_cannot_be_cancelled() -> None:
    """The loop is not free to cancel anybody before all have their answers."""
    result = cancellation(["blocking-1"], callers=3, latency=0.2, at_s=0.05, repeat=1)
    assert all(run.cancelled_s > 3 * 0.2 for run in result.runs)
    assert all((run.answered, run.for_nobody, run.peak) == (3, 0, 1) for run in result.runs)


def test_the_labs_record_is_set_by_the_clients_clock() -> None:
    """The request that made the client ready is taken out; its end sets the clock; what nobody got is counted."""
    record = seen(((0.0, 1), (0.5, 0), (0.6, 1), (0.61, 2), (1.1, 1), (1.11, 0)), served=3)
    run = judged(arm("fake-10"), 2, "leave", RAW, record)
    assert run.timeline == ((0.099, 1), (0.109, 2), (0.599, 1), (0.609, 0))
    assert (run.for_nobody, run.hung_up, run.carried_on, run.peak, run.repeat) == (2, 0, 2, 2, 2)
    assert isinstance(run, Cancelled)


def test_an_answer_is_not_read_before_it_was_sent() -> None:
    """A client that was slow with its first answer would set the clock late; the newcomer's answer corrects that."""
    record = seen(((0.0, 1), (0.5, 0), (0.6, 1), (0.7, 2), (1.1, 1), (1.2, 0)), served=3)
    late = {"warm_s": -0.001, "late_s": 0.5, "late_outcome": "ok"}
    assert judged(arm("real-1"), 0, "ask", RAW | late, record).timeline[-1] == (0.602, 0)  # 0.1 + 0.002 + 0.5


@pytest.mark.parametrize(
    ("change", "for_nobody"),
    [({}, 4), ({"answered": 1}, 3), ({"late_s": 0.5, "late_outcome": "ok"}, 3), ({"late_outcome": "PoolTimeout"}, 4)],
)
def test_only_requests_without_a_caller_are_for_nobody(change: dict[str, Any], for_nobody: int) -> None:
    """Those that answered a caller after all, and the newcomer's, are not; a newcomer's error is nobody's request."""
    record = seen(((0.0, 1), (0.5, 0), (0.6, 1), (1.1, 0)), served=5, abandoned=1)
    run = judged(arm("article-10"), 0, "ask", RAW | change, record)
    assert (run.for_nobody, run.carried_on) == (for_nobody, for_nobody - 1)


def test_the_end_is_when_the_interpreter_says_so() -> None:
    """Nothing is said before the exit, and the exit's second is that of the clock then."""
    said: list[dict[str, Any]] = []
    waiting: list[Callable[[], None]] = []
    report_at_exit({"run_s": 0.5}, 10.0, said.append, waiting.append, lambda: 12.5)
    assert not said
    waiting[0]()
    assert said == [{"run_s": 0.5, "exit_s": 2.5}]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"arms": []}, "is not a list of different names"),
        ({"arms": "fake-3"}, "is not a list of different names"),
        ({"arms": ["fake-3", "fake-3"]}, "is not a list of different names"),
        ({"arms": ["unreal-3"]}, "no arm is called"),
        ({"repeat": 0}, "repeat 0"),
        ({"callers": 0}, "requests 0"),
        ({"at_s": 0.5}, "nothing would be left to cancel"),
        ({"latency": float("nan")}, "latency nan"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(wrong: dict[str, Any], said: str) -> None:
    """One line with the value and the cure."""
    with pytest.raises(SettingsError, match=said) as caught:
        cancellation(**wrong)
    assert "\n" not in str(caught.value)


def test_a_blocking_arm_takes_all_its_callers_time() -> None:
    """The expected seconds know that blocking callers come one after another."""
    assert expected_s(["blocking-1"], callers=20) > 3 * expected_s(["fake-10"], callers=20)
