"""The bench: what it plans, what it leaves out and says so, what its numbers are made of; sizes are tiny here."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from made_trials import made_trial
from matplotlib.text import Text
from processes import running
from test_figures import _drawn, _meet

from supalab import figures
from supalab.errors import SettingsError, TrialError
from supalab.measure.bench import bench, planned
from supalab.measure.bench import table as bench_table
from supalab.measure.bench.cases import CASES, CLIENTS, Case, plan
from supalab.measure.bench.goals import goals
from supalab.measure.bench.result import Bench, Row, dumps, load, loads, row, save
from supalab.measure.workload import Workload
from supalab.report.table import WIDTH
from supalab.report.table import text as text_of

TINY = (
    Case("limit-4", 4, Workload(12, 0.02)),
    Case("zero-1", 1, Workload(10, 0.0, callers=1), warm_up=3),
)
COSTS = {"real": 0.6, "real-httpx": 2.0, "httpx": 3.0, "httpx2": 1.0, "httpx-over-ours": 0.55, "aiohttp": 0.4,
         "supabase": 2.0, "to-thread": 1.5, "fake": 1.8, "session": 1.2}  # fmt: skip


def made_row(case: Case, kind: str, *, errors: int = 0, times: float = 1.0) -> Row:
    cost = COSTS[kind] * times
    # As httpx's pool does: a look at every connection for every request.
    cost *= case.limit / 10 if kind in {"httpx", "real-httpx", "supabase"} and case.limit > 10 else 1
    ratio = (1 + cost / 11, 1 + cost / 10, 1 + cost / 9) if case.workload.latency else ()
    outcomes = {"ok": case.workload.requests - errors} | ({"ConnectionLost": errors} if errors else {})
    return Row(
        case.name, f"{kind}-{case.limit}", case.limit, (cost, cost * 1.1, cost * 0.9), (1.0, 1.1, 1.2), ratio,
        errors, outcomes, case.limit, case.limit,
    )  # fmt: skip


def made_bench(**changes: float) -> Bench:
    """A bench like a full one, without what takes minutes; ``real=2`` makes ours twice as dear."""
    # The costs that the plan guesses from say what is in; whatever is installed here, all kinds are.
    todo = plan(CLIENTS, CASES, 3, quick=True)
    arms = dict.fromkeys((run.case, name.rpartition("-")[0]) for run in todo.runs for name in run.arms)
    rows = tuple(made_row(case, kind, times=changes.get(kind, 1.0)) for case, kind in arms)
    machine, versions = {"system": "Linux"}, {"python": "3.11.7"}
    return Bench(CASES, rows, todo.remarks, 3, "2026-11-22T17:00:00+00:00", machine, versions)


def test_the_plan_is_the_one_agreed() -> None:
    """Three bursts at limits 10, 100 and 1,000, a cold one, no latency one after another and 10 wide; 5 repeats."""
    sizes = [(c.workload.requests, c.limit, c.workload.latency) for c in CASES[:3]]
    assert sizes == [(100, 10, 0.15), (1000, 100, 0.05), (2000, 1000, 0.15)]
    assert [(c.limit, c.workload.callers, c.workload.latency) for c in CASES[4:]] == [(1, 1, 0.0), (10, 10, 0.0)]
    assert (CASES[3].workload, CASES[3].limit, CASES[3].warm_up) == (CASES[0].workload, 10, 0)
    todo = planned(["real", "aiohttp"])
    assert [(run.case.name, run.arms, run.repeat) for run in todo.runs] == [
        (case.name, (f"real-{case.limit}", f"aiohttp-{case.limit}"), 5) for case in CASES
    ]
    assert todo.remarks == ()


@pytest.mark.parametrize("quick", [False, True])
def test_what_takes_long_is_left_out_or_run_less_often_and_said(quick: bool) -> None:
    """Every arm that is not in the plan, or not as often as asked, has a remark with its reason."""
    todo = plan(CLIENTS, CASES, 5, quick=quick)
    ran = {(run.case.name, name): 0 for run in todo.runs for name in run.arms}
    for run in todo.runs:
        for name in run.arms:
            ran[run.case.name, name] += run.repeat
    all_arms = {(c.name, f"{kind}-{c.limit}") for c in CASES for kind in CLIENTS if c.only is None or kind in c.only}
    said = {(remark.case, remark.arm): remark.text for remark in todo.remarks}
    assert all_arms - set(ran) == {key for key, text in said.items() if "left out" in text}
    assert {key for key, times in ran.items() if times < 5} == {key for key in said if key in ran}
    assert (("limit-1000", "supabase-1000") in all_arms - set(ran)) is quick
    assert {key for key, times in ran.items() if times == 5} >= {("limit-1000", "real-1000"), ("limit-10", "httpx-10")}
    assert all(" s" in text for text in said.values())
    assert ("limit-10", "to-thread-10") in ran
    assert todo.expected_s > sum(run.repeat * len(run.arms) for run in todo.runs)


def test_a_client_whose_package_is_missing_is_left_out_and_said() -> None:
    """Of the usual ones: a remark with the cure. One that was named: refused."""
    todo = plan(("real", "httpx2"), TINY, 1, lacking=lambda kind: "needs it: cure" if kind == "httpx2" else None)
    assert {name for run in todo.runs for name in run.arms} == {"real-4", "real-1"}
    assert [(remark.arm, remark.text) for remark in todo.remarks] == [("httpx2", "left out: it needs it: cure")]


@pytest.mark.parametrize("how", [{"repeat": 0}, {"repeat": True}, {"clients": ["swift"]}, {"clients": []}])
def test_what_cannot_work_is_refused_before_anything_runs(how: dict) -> None:
    """Wrong repeats, an unknown client, no client: one line."""
    with pytest.raises(SettingsError):
        bench(**how, cases=TINY)


def test_a_bench_measures_every_arm_in_every_case(tmp_path: Path) -> None:
    """A number for each repeat, no errors, the limit kept; the record survives its file; progress ends at the end."""
    told = []
    found = bench(["real", "httpx-over-ours", "session"], TINY, repeat=2, progress=told.append)
    assert [(one.case, one.arm) for one in found.rows] == [
        (case.name, f"{kind}-{case.limit}") for case in TINY for kind in ("real", "httpx-over-ours", "session")
    ]
    for one in found.rows:
        burst = one.case == "limit-4"
        assert (len(one.cpu_ms), len(one.makespan_s), len(one.ideal_ratio)) == (2, 2, 2 if burst else 0)
        assert min(one.cpu_ms) > 0
        assert (one.errors, one.outcomes) == (0, {"ok": 12 if burst else 10})
        assert 1 <= one.peak_in_flight <= one.limit
        assert one.connections <= one.limit
        assert one.ratio is None or one.ratio >= 0.95
    assert found.machine["cpus"] == str(os.cpu_count())
    assert {"python", "supalab", "httptools", "requests"} <= set(found.versions)
    assert found.finished
    assert (told[-1].fraction, told[-1].done, told[-1].total) == (pytest.approx(1.0), 12, 12)
    assert [one.fraction for one in told] == sorted(one.fraction for one in told)
    assert load(save(found, tmp_path / "bench.json")) == found


def test_a_record_is_the_same_twice_and_others_are_refused() -> None:
    """Format and version are in the file, medians and goals beside the numbers; anything else is one line."""
    found = made_bench()
    whole = json.loads(dumps(found))
    assert (whole["format"], whole["version"]) == ("supalab-bench", 1)
    assert len(whole["goals"]) == 7
    assert all("cpu_ms_median" in one for one in whole["rows"])
    assert loads(dumps(found)) == found
    assert dumps(loads(dumps(found))) == dumps(found)
    for text in ("[]", "{}", "no", json.dumps(whole | {"version": 2}), json.dumps(whole | {"rows": [{}]})):
        with pytest.raises(TrialError, match="bench"):
            loads(text)


def test_goals_are_ratios_within_the_run() -> None:
    """Seven goals; twice the cost of ours doubles its ratios, and a goal that is missed says so."""
    cheap, dear = (goals(made_bench(real=times)) for times in (1.0, 2.0))
    assert [goal.reached for goal in cheap] == [True] * 7
    for a, b in zip(cheap, dear, strict=True):
        assert b.value == pytest.approx(2 * a.value) or "CPU" not in a.name
    assert [goal.reached for goal in dear] == [False, True, False, True, False, False, True]
    assert "real-httpx-100" in cheap[3].beside
    assert "one by one" in cheap[4].beside


def test_a_goal_that_was_not_measured_is_not_reached() -> None:
    """Without the other client there is no ratio, and the goal says which arm is lacking; errors stand beside."""
    whole = made_bench()
    lacking = replace(whole, rows=tuple(one for one in whole.rows if one.kind != "supabase"))
    first = goals(lacking)[0]
    assert (first.value, first.reached) == (None, None)
    assert "supabase-10" in first.beside
    failed = replace(
        whole, rows=(*(r for r in whole.rows if r.arm != "real-1000"), made_row(CASES[2], "real", errors=3))
    )
    last = goals(failed)[-1]
    assert (last.value, last.reached) == (3, False)
    assert "3 errors" in last.beside


def test_a_row_keeps_the_worst_repeat() -> None:
    """Errors of one repeat are not hidden by the other."""
    trials = [made_trial("real-10", repeat=0), made_trial("real-10", repeat=1, fail=4)]
    made = row(CASES[0], trials)
    assert (made.errors, made.outcomes["ApiError 503"], len(made.cpu_ms)) == (4, 4, 2)


def test_tables_hold_every_client_and_no_line_is_too_long() -> None:
    """All kinds, all goals with their verdict, all remarks; what did not run is a dash."""
    whole = made_bench()
    rows = (*whole.rows[1:], replace(whole.rows[0], errors=2, outcomes={"ok": 98, "ReadError": 2}))
    text = text_of(bench_table.tables(replace(whole, rows=rows, finished=False)))
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert all(any(line.startswith(kind) for line in lines) for kind in CLIENTS)
    assert sum("reached" in line for line in lines) == 7
    assert "2 x ReadError" in text
    assert "Interrupted" in text
    assert all(remark.arm in text for remark in whole.remarks)
    assert "No trial" in text_of(bench_table.tables(replace(whole, rows=())))


def test_the_knee_says_its_numbers_and_is_the_same_twice(tmp_path: Path) -> None:
    """Both panels in words, with the numbers; a PNG of the project's width; same bench, same bytes."""
    said = figures.describe(figures.knee(made_bench()))
    assert all(part in said for part in ("The knee", "with bare httpx", "real: 0.60 ms", "httpx: 3.00 ms"))
    data = [figures.save(figures.knee(made_bench()), tmp_path / f"{i}.png").read_bytes() for i in (1, 2)]
    assert data[0] == data[1]
    assert struct.unpack(">I", data[0][16:20]) == (2200,)


def test_no_two_names_meet_in_the_knee() -> None:
    """Labels at the ends of lines make way for each other, and none leaves the page."""
    fig = figures.knee(made_bench())
    fig.draw_without_rendering()
    # The words alone, without the lines that lead to them.
    boxes = [Text.get_window_extent(text) for text in _drawn(fig)]
    assert len(boxes) > 20
    assert all(fig.bbox.x0 <= box.x0 and box.x1 <= fig.bbox.x1 for box in boxes)
    assert not [1 for place, a in enumerate(boxes) for b in boxes[place + 1 :] if _meet(a, b)]


@pytest.mark.parametrize("cases", [1, 0, 2])
def test_a_small_bench_makes_a_picture_too(cases: int, tmp_path: Path) -> None:
    """One limit, none with a latency, or two: a picture comes out, and an empty one says why."""
    whole = made_bench()
    kept = CASES[3 - cases : 3] if cases else CASES[3:]
    names = {case.name for case in kept}
    small = replace(whole, cases=kept, rows=tuple(one for one in whole.rows if one.case in names))
    fig = figures.knee(small)
    figures.save(fig, tmp_path / "small.png")
    words = [text.get_text() for text in _drawn(fig)]
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
def test_bad_input_is_one_clear_line(words: list[str], told: str, tmp_path: Path) -> None:
    """Exit code 2, one line that names the value, nothing on stdout, no file."""
    done = supalab(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_how_long_first_and_writes_what_was_found(tmp_path: Path) -> None:
    """Expected time and remarks on stderr before it starts; tables and the picture's words on stdout; two files."""
    done = supalab("--clients", "real", "--quick", "--json", "b.json", "--figure", "knee.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0].startswith("6 trials, about ")
    assert "errors, 2,000 at once" in done.stdout
    assert "The knee" in done.stdout
    found = load(tmp_path / "b.json")
    assert [one.errors for one in found.rows] == [0] * 6
    assert found.find("limit-1000", "real-1000").peak_in_flight <= 1000
    assert (tmp_path / "knee.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT as a terminal does")
def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    """Exit code 130, the finished arms are in the record, which says that it is not whole; no process lives on."""
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
    found = load(tmp_path / "b.json")
    assert not found.finished
    assert 1 <= len(found.find("limit-10", "real-10").cpu_ms) < 9
    assert psutil.wait_procs(children, timeout=10)[1] == []
