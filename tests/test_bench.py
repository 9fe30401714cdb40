"""The bench: its plan, what it leaves out with a remark, and how its numbers are computed; sizes are tiny here."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from commandwork import refused
from declared import NUMBERS
from figure_checks import drawn_texts, overlap
from matplotlib.text import Text
from PIL import Image
from processes import running

from supalab.errors import SettingsError
from supalab.experiments import bench as experiment
from supalab.experiments.bench import CASES, CLIENTS, GOALS, Size, bench, figure, plan, reached, seen, tables
from supalab.measure.case import Case, Trial, Workload
from supalab.measure.record import Record
from supalab.measure.run import Progress, expected_s, trials_of
from supalab.report.plot import description, save
from supalab.report.table import WIDTH
from supalab.report.table import text as text_of

TINY = (
    Size("limit-4", 4, Workload(12, 0.02)),
    Size("zero-1", 1, Workload(10, 0.0, callers=1), warm_up=3),
)
COSTS = {"real": 0.6, "real-httpx": 2.0, "httpx": 3.0, "httpx2": 1.0, "httpx-over-ours": 0.55, "aiohttp": 0.4,
         "supabase": 2.0, "to-thread": 1.5, "fake": 1.8, "session": 1.2}  # fmt: skip
#: All kinds count as installed, whatever is installed here.
HERE = "supalab.experiments.bench.missing"


def made(case: Case, times: float = 1.0) -> Trial:
    cost = COSTS[case.kind] * times * (1 + 0.1 * (case.repeat % 3 - 1))
    # Like httpx's pool, which looks at every connection for every request.
    cost *= case.limit / 10 if case.kind in {"httpx", "real-httpx", "supabase"} and case.limit > 10 else 1
    seconds = case.ideal_s * (1 + cost / 10) or 1.0
    return Trial(case, {"cpu_ms": cost, "makespan_s": seconds, "errors": 0, "connections": case.limit})


def made_bench(**times: float) -> Record:
    """Return a bench like a full one, without slow cases; ``real=2`` makes our client twice as expensive."""
    steps = list(trials_of(plan(repeat=3, quick=True), lambda case: made(case, times.get(case.kind, 1.0))))
    trials = tuple(step for step in steps if isinstance(step, Trial))
    remarks = tuple(step for step in steps if isinstance(step, str))
    return Record("bench", trials, {}, remarks, "2026-11-22T17:00:00+00:00", {"system": "Linux"}, {"python": "3.11.7"})


def failing(found: Record, arm: str, errors: int) -> Record:
    """Make the second repeat of an arm fail so often."""
    bad = {"errors": errors, "failures": f"{errors} x ReadError"}
    return replace(
        found,
        trials=tuple(
            replace(one, numbers={**one.numbers, **bad}) if (one.case.arm, one.case.repeat) == (arm, 1) else one
            for one in found.trials
        ),
    )


@pytest.fixture(autouse=True)
def _all_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HERE, lambda kind: None)


def arms(steps: list[Trial | str]) -> list[tuple[str, str]]:
    return [(step.case.tags["case"], step.case.arm) for step in steps if isinstance(step, Trial)]


def test_the_plan_is_the_one_agreed() -> None:
    """Bursts at limits 10, 100 and 1,000, a cold one, and two cases without latency (1 and 10 wide); 5 repeats."""
    sizes = [(c.workload.requests, c.limit, c.workload.latency) for c in CASES[:3]]
    assert sizes == [(100, 10, 0.15), (1000, 100, 0.05), (2000, 1000, 0.15)]
    assert [(c.limit, c.workload.callers, c.workload.latency) for c in CASES[4:]] == [(1, 1, 0.0), (10, 10, 0.0)]
    assert (CASES[3].workload, CASES[3].limit, CASES[3].warm_up) == (CASES[0].workload, 10, 0)
    steps = list(trials_of(plan(["real", "aiohttp"]), made))
    turns = (("real", "aiohttp"), ("aiohttp", "real")) * 2 + (("real", "aiohttp"),)
    assert arms(steps) == [(case.name, f"{kind}-{case.limit}") for case in CASES for turn in turns for kind in turn]
    assert len(arms(steps)) == len(steps), "nothing is left out"


@pytest.mark.parametrize("quick", [False, True])
def test_what_takes_long_is_left_out_or_run_less_often_and_said(quick: bool) -> None:
    """Every arm that is left out or runs less often has a remark with the reason."""
    steps = list(trials_of(plan(repeat=5, quick=quick), made))
    ran = arms(steps)
    every = {
        (case.name, f"{kind}-{case.limit}")
        for case in CASES
        for kind in CLIENTS
        if kind != "httpx-over-ours" or not case.workload.latency
    }
    said = {remark.split(" ")[0]: remark for remark in steps if isinstance(remark, str)}
    assert {arm for _, arm in every - set(ran)} == {arm for arm, text in said.items() if "left out" in text}
    assert {arm for case, arm in ran if ran.count((case, arm)) < 5} == {
        arm for arm, text in said.items() if "run 2 times only" in text
    }
    assert (("limit-1000", "supabase-1000") in ran) is not quick
    assert all(ran.count(key) == 5 for key in (("limit-1000", "real-1000"), ("limit-10", "httpx-10")))
    assert all(text.endswith(" s") for text in said.values())
    assert expected_s(plan(repeat=5, quick=quick)) > len(ran) / 2


def test_a_client_whose_package_is_missing_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a default client, a remark says what to install."""
    monkeypatch.setattr(HERE, lambda kind: "needs it: cure" if kind == "httpx2" else None)
    steps = list(trials_of(plan(repeat=1), made))
    assert not [arm for _, arm in arms(steps) if arm.startswith("httpx2")]
    assert "httpx2 left out: it needs it: cure" in steps


@pytest.mark.parametrize("how", [{"repeat": 0}, {"repeat": True}, {"clients": ["swift"]}, {"clients": []}])
def test_what_cannot_work_is_refused_before_anything_runs(how: dict[str, Any]) -> None:
    """Wrong repeats, an unknown client, or no client give one line."""
    with pytest.raises(SettingsError):
        bench(**how)


def test_a_bench_measures_every_arm_in_every_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial for each repeat, no errors, the limit kept; the record survives its file; progress ends at 1."""
    monkeypatch.setattr(experiment, "CASES", TINY)
    told: list[Progress] = []
    found = bench(clients=["real", "httpx-over-ours", "session"], repeat=2, progress=told.append)
    every = seen(found)
    assert list(every) == [
        *(("limit-4", "real"), ("limit-4", "session")),
        *(("zero-1", "real"), ("zero-1", "httpx-over-ours"), ("zero-1", "session")),
    ]
    for (case, _), one in every.items():
        assert one.cpu_ms > 0
        assert one.errors == 0
        assert one.connections <= one.limit
        assert one.ratio >= 0.95 if case == "limit-4" else str(one.ratio) == "nan"
    assert all(1 <= trial["peak"] <= trial.case.limit for trial in found.trials)
    assert {name for trial in found.trials for name in trial.numbers} <= set(NUMBERS)
    assert found.machine["cpus"] == str(os.cpu_count())
    assert {"python", "supalab", "httptools", "requests"} <= set(found.versions)
    assert (told[-1].fraction, told[-1].done, told[-1].total) == (pytest.approx(1.0), 10, 10)
    assert [one.fraction for one in told] == sorted(one.fraction for one in told)
    assert Record.load(found.save(tmp_path / "bench.json"), "bench") == found


def values(found: Record) -> Mapping[str, float | None]:
    return {goal.name: reached(goal, seen(found)) for goal in GOALS}


def test_goals_are_ratios_within_the_run() -> None:
    """Seven goals; if our client costs twice as much, its ratios double; a missed goal is marked."""
    cheap, dear = (values(made_bench(real=times)) for times in (1.0, 2.0))
    assert all((value or 0) <= goal.at_most for goal, value in zip(GOALS, cheap.values(), strict=True))
    for name, value in cheap.items():
        assert dear[name] == pytest.approx(2 * (value or 0)) or "CPU" not in name
    missed = [(dear[goal.name] or 0) > goal.at_most for goal in GOALS]
    assert missed == [True, False, True, False, True, True, False]
    assert text_of(tables(made_bench(real=2.0))).count("missed") == 4


def test_a_goal_that_was_not_measured_is_not_reached() -> None:
    """Without the other client there is no ratio; errors of a repeat miss their goal."""
    whole = made_bench()
    lacking = replace(whole, trials=tuple(one for one in whole.trials if one.case.kind != "supabase"))
    assert list(values(lacking).values())[:2] == [None, None]
    assert text_of(tables(lacking)).count("not measured") == 2
    assert values(failing(whole, "real-1000", 3))["errors, 2,000 at once, limit 1,000: SupabaseAsync"] == 3


def test_tables_hold_every_client_and_no_line_is_too_long() -> None:
    """All kinds, all goals with their verdict, all remarks; a dash for a case that did not run."""
    whole = failing(made_bench(), "real-10", 2)
    text = text_of(tables(replace(whole, finished=False)))
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert all(any(line.startswith(kind) for line in lines) for kind in CLIENTS)
    assert sum("reached" in line for line in lines) == 7
    assert "2 x ReadError" in text
    assert "Interrupted" in text
    assert whole.remarks
    assert all(remark in text for remark in whole.remarks)
    assert "No trial" in str(replace(whole, trials=()))


def test_the_figure_says_its_numbers_and_is_the_same_twice(tmp_path: Path) -> None:
    """The description has both panels with numbers; a PNG of the project's width; same bench, same bytes."""
    said = description(figure(made_bench()))
    assert all(part in said for part in ("CPU time per request", "plain httpx x", "real: 0.60 ms", "httpx: 3.00 ms"))
    data = [save(figure(made_bench()), tmp_path / f"{i}.png").read_bytes() for i in (1, 2)]
    assert data[0] == data[1]
    assert struct.unpack(">I", data[0][16:20]) == (2200,)


def test_no_two_names_meet_in_the_figure() -> None:
    """Labels at the ends of lines do not overlap, and none leaves the page."""
    fig = figure(made_bench())
    fig.draw_without_rendering()
    # The words alone, without the lines that lead to them.
    boxes = [Text.get_window_extent(text) for text in drawn_texts(fig)]
    assert len(boxes) > 20
    assert all(fig.bbox.x0 <= box.x0 and box.x1 <= fig.bbox.x1 for box in boxes)
    assert not [1 for place, a in enumerate(boxes) for b in boxes[place + 1 :] if overlap(a, b)]


@pytest.mark.parametrize("cases", [1, 0, 2])
def test_a_small_bench_makes_a_figure_too(cases: int, tmp_path: Path) -> None:
    """With one limit, with two, or without latency there is a figure; an empty one says why."""
    whole = made_bench()
    names = {case.name for case in (CASES[3 - cases : 3] if cases else CASES[3:])}
    small = replace(whole, trials=tuple(one for one in whole.trials if one.case.tags["case"] in names))
    fig = figure(small)
    save(fig, tmp_path / "small.png")
    words = [text.get_text() for text in drawn_texts(fig)]
    assert any("not measured" in word for word in words) == (cases == 0)


def supalab(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supalab", "bench", *map(str, words)],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--clients", "swift"], "swift"),
        (["--repeat", "0"], "repeat 0"),
        (["--json", "no/such/out.json"], "no/such"),
        (["--figure", "picture.jpg"], "picture.jpg"),
        (["--figure", "b.png", "--json", "b.png"], "'b.png' would be written twice"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_clear_line(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, one line that names the value, nothing on stdout, no file."""
    monkeypatch.chdir(tmp_path)
    assert told in refused("bench", *words)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_how_long_first_and_writes_what_was_found(tmp_path: Path) -> None:
    """Expected time on stderr first; tables on stdout; two files, and the figure contains its description."""
    done = supalab("--clients", "real", "--quick", "--json", "b.json", "--figure", "knee.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0].startswith("bench: about ")
    assert "errors, 2,000 at once" in done.stdout
    with Image.open(tmp_path / "knee.png") as drawn:
        assert "against the concurrency limit" in drawn.info["Description"]
    found = Record.load(tmp_path / "b.json", "bench")
    assert [trial["errors"] for trial in found.trials] == [0] * 6
    assert all(trial["peak"] <= trial.case.limit for trial in found.trials)
    assert (tmp_path / "knee.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT as a terminal does")
def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    """Exit code 130; the record has the finished arms and says that it is incomplete; no process is left."""
    benching = subprocess.Popen(
        [sys.executable, "-m", "supalab", "bench", "--clients", "real", "--repeat", "9", "--json", "b.json"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    me, seen, end = psutil.Process(benching.pid), set(), time.monotonic() + 60
    while len(seen) < 4 and time.monotonic() < end:
        seen |= {child.pid for child in running(me, "supalab.measure.worker")}
        time.sleep(0.05)
    children = me.children(recursive=True)
    os.killpg(benching.pid, signal.SIGINT)
    out, err = benching.communicate(timeout=30)
    assert benching.returncode == 130, err
    assert "Traceback" not in err
    assert "Interrupted" in out
    found = Record.load(tmp_path / "b.json", "bench")
    assert not found.finished
    assert 1 <= len([trial for trial in found.trials if trial.case.arm == "real-10"]) < 9
    assert psutil.wait_procs(children, timeout=10)[1] == []
