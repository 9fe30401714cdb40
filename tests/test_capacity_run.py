"""The capacity experiment in a small real run: two services over one lab, exact counts, a loose ratio."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from commandwork import refused

from supalab.errors import SettingsError
from supalab.experiments.capacity import capacity, services
from supalab.measure.record import Record
from supalab.measure.run import Interrupted, Progress


def test_three_threads_cannot_take_what_ten_at_once_can() -> None:
    """At 40/s three slots of 150 ms are overloaded and ten are not; each request causes one at the backend."""
    seen: list[float] = []
    found = capacity(
        arms=("fake-3", "real-10"), steps=(8.0, 40.0), duration=1.5, requests=1, fine=1.0, most=40.0,
        progress=lambda so_far: seen.append(so_far.fraction),
    )  # fmt: skip
    few, real = services(found).itertuples()
    assert (few.arm, real.arm, found.finished) == ("fake-3", "real-10", True)
    for one in found.trials:
        if one["rate"] is None:
            assert one["served"] == one["requests"] > 5
            if sys.platform != "darwin":  # on systems that do not show another process's memory
                assert one["memory_bytes"] > 10_000_000
        else:
            assert one["peak"] <= one.limit
            # A caller who gives up is not answered, whatever the backend did.
            assert one["requests"] - one["errors"] <= one["served"] <= one["requests"]
    late, quick = (next(one for one in found.of(arm) if one["rate"] == 40.0) for arm in ("fake-3", "real-10"))
    assert late["peak"] == 3
    assert few.capacity != 40.0
    assert late["response_p95_s"] is None or late["response_p95_s"] > 2 * (quick["response_p95_s"] or 0.0)
    assert quick["peak"] > 3
    assert quick["in_flight_mean"] == pytest.approx(0.15 * quick["answered_per_s"], rel=0.25)
    assert seen == sorted(seen)


def test_ctrl_c_keeps_the_steps_that_are_finished() -> None:
    """The experiment is interrupted in its second step: the first is in what it found."""

    def progress(so_far: Progress) -> None:
        if so_far.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as stopped:
        capacity(arms=("real-10",), steps=(20.0, 40.0), duration=0.5, requests=1, fine=1.0, progress=progress)
    found = stopped.value.found
    assert isinstance(found, Record)
    assert [trial["rate"] for trial in found.trials] == [None, 20.0]
    assert not found.finished


def test_arguments_that_cannot_work_are_one_line() -> None:
    """An unknown arm, one twice, falling steps, no latency: refused before anything is started."""
    for arms, how in (
        (("slow-3",), {}),
        (("fake-3", "fake-3"), {}),
        ((), {}),
        (("fake-3",), {"steps": (20.0, 10.0)}),
        (("fake-3",), {"latency": 0.0}),
    ):
        with pytest.raises(SettingsError) as wrong:
            capacity(arms=arms, **how)  # type: ignore[arg-type]
        assert "\n" not in str(wrong.value)


@pytest.mark.parametrize("command", ["capacity", "faults"])
@pytest.mark.parametrize(
    "words", [["--arms", "slow-3"], ["--figure", "found.txt"], ["--json", "no/such/folder/found.json"]]
)
def test_a_command_refuses_what_cannot_work_before_it_measures(
    command: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An invalid client, figure or record is refused before minutes of measuring begin."""
    monkeypatch.chdir(tmp_path)
    refused(command, *words)
    assert not list(tmp_path.iterdir())
