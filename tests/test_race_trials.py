"""The race: counts from the lab, counted failures, and ends that leave nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest
from declared import NUMBERS

from supalab.clients.arms import DEFAULT_ARMS, arm
from supalab.errors import SettingsError, TrialError
from supalab.experiments.race import arms, plan, race
from supalab.lab.handle import Lab
from supalab.measure.case import Trial, Workload
from supalab.measure.child import job, run_worker
from supalab.measure.record import Record
from supalab.measure.run import Interrupted, Progress, trials_of
from supalab.settings import Settings

SMALL = Workload(requests=30, latency=0.05)


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def all_arms():
    seen: list[Progress] = []
    # Long enough that what a busy machine adds to a request, some milliseconds, stays small beside its latency.
    return race(workload=replace(SMALL, latency=0.2), progress=seen.append), seen


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if "measure.worker" in _words(child)]


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it ended a moment ago
        return ""


def test_the_lab_witnesses_every_arms_ceiling(all_arms):
    """In flight never above the limit and reached by all; a connection each for fake, one a slot for real."""
    found, _ = all_arms
    seen = {trial.arm: trial for trial in found.trials}
    assert tuple(seen) == DEFAULT_ARMS
    assert {arm: w["peak"] for arm, w in seen.items()} == {arm: int(arm.rpartition("-")[2]) for arm in DEFAULT_ARMS}
    assert {w["served"] for w in seen.values()} == {30}
    assert (seen["fake-3"]["connections"], seen["fake-10"]["connections"]) == (30, 30)
    assert seen["real-3"]["connections"] <= 3
    assert seen["real-10"]["connections"] <= 10
    assert not any(trial.errors for trial in found.trials)


def test_every_trial_has_all_its_figures(all_arms):
    """Spans with slots, memory, CPU, threads, lag, versions and machine; Little's law ties them to the witness."""
    found = all_arms[0]
    for trial in found.trials:
        assert len(trial.spans) == 30
        assert all(span.service is not None for span in trial.spans)
        assert set(trial.numbers) <= set(NUMBERS)
        # The article's imports leave more room free in the heap than its 30 requests need.
        assert trial["added_bytes"] > 0 or trial.arm == "article-10"
        assert trial["cpu_ms"]
        assert trial["lag_p99_s"] is not None
        assert max(number for _, number in trial.timeline) == trial["peak"]
    assert {"python", "supalab"} <= set(found.versions)
    assert all(law == pytest.approx(1, abs=0.35) for law in arms(found)["law"])
    threads = {trial.arm: trial["threads"] for trial in found.trials}
    assert (threads["fake-3"], threads["fake-10"]) == (4, 11)
    assert threads["real-10"] < 4


def test_progress_rises_to_one_and_names_each_finished_trial(all_arms):
    """The fraction never falls, ends at 1, and each arm's trial is handed over once."""
    found, seen = all_arms
    trials = list(found.trials)
    fractions = [step.fraction for step in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert [step.trial for step in seen if step.trial] == trials
    assert len(seen) > 2 * len(trials)


def test_a_race_survives_being_a_file(all_arms, tmp_path):
    """What a race returns equals what its record gives back."""
    assert Record.load(all_arms[0].save(tmp_path / "race.json"), "race") == all_arms[0]


def test_arms_take_turns_and_none_is_always_first():
    """All arms once, then all again, each turn another first."""
    names = ("fake-3", "fake-10", "real-10")
    cases = [one.case for one in trials_of(plan(names, repeat=3), lambda case: Trial(case, {}))]
    assert [case.arm for case in cases[::3]] == list(names)
    assert all({case.arm for case in cases if case.repeat == turn} == set(names) for turn in range(3))


def test_nothing_is_imported_in_the_middle_of_a_measurement(lab):
    """Each default arm's imports are done before the base line: none is counted as a request's memory."""
    lab.set(latency=0.01)
    settings = Settings(lab.url, lab.key)
    for name in DEFAULT_ARMS:
        result = run_worker(job("burst", name, settings, replace(SMALL, requests=4)), limit_s=60, tick=lambda _: None)
        foreign = [name for name in result["late_imports"] if name.partition(".")[0] not in sys.stdlib_module_names]
        assert foreign == []
        assert len(result["late_imports"]) < 10


def test_errors_of_the_server_are_counted_not_dropped():
    """A lab that fails every other request: as many spans as requests, the failures among them by name."""
    with Lab(error_rate=0.5) as failing:
        found = race(["fake-3"], SMALL, lab=failing)
        (trial,) = found.of("fake-3")
        assert len(trial.spans) == 30
        assert {span.outcome for span in trial.spans} == {"ok", "HTTPError 503"}
        assert trial["failures"] == f"{30 - len(trial.answered)} x HTTPError 503"
        assert 0 < len(trial.answered) < 30
        assert found.trials[0].case.conditions == {"error_rate": 0.5}
        assert found.asked["error_rate"] == 0.5


def test_a_lab_where_everything_fails_still_makes_trials():
    """All requests failed: a trial with thirty errors, not an exception."""
    with Lab(error_rate=1.0) as failing:
        assert race(["fake-3"], SMALL, lab=failing).of("fake-3")[0].errors == 30


def test_a_given_lab_gets_its_latency_back(lab):
    """The workload's latency holds for the race only."""
    lab.set(latency=0.123)
    race(["fake-3"], replace(SMALL, requests=3), lab=lab)
    assert lab.conditions.latency == 0.123


def test_a_real_project_has_no_witness_and_no_ideal(lab):
    """Asked by address and key, only what the client can know is filled in."""
    lab.set(latency=0.02)
    trial = race(["real-3"], SMALL, settings=Settings(lab.url, lab.key)).trials[0]
    assert (trial.get("peak"), trial.workload.latency, trial.case.ideal_s) == (None, None, 0.0)
    assert trial.errors == 0


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"arms": ["nope-3"]}, "nope-3"),
        ({"arms": ["fake-0"]}, "0"),
        ({"arms": []}, "not a list of different names"),
        ({"arms": "fake-3"}, "not a list"),
        ({"arms": ["fake-3", "fake-3"]}, "not a list of different names"),
        ({"arms": ["to-thread", "to-thread-10"]}, "not a list of different names"),
        ({"repeat": 0}, "repeat 0"),
        ({"settings": Settings("http://127.0.0.1:9", "key")}, "'http://127.0.0.1:9' cannot be reached"),
    ],
)
def test_a_race_that_cannot_work_is_refused_in_one_line(arguments, said):
    """Unknown arm, limit 0, no arms, no repeats, nobody at the address: one line before any trial."""
    with pytest.raises(SettingsError, match=said) as refused:
        race(**arguments)
    assert "\n" not in str(refused.value)


def test_a_wrong_key_a_missing_table_and_a_missing_column_are_named(lab):
    """One checking request finds them, and the key is never in the message."""
    with pytest.raises(SettingsError, match="key was refused") as refused:
        race(settings=Settings(lab.url, "not-the-key"))
    assert "not-the-key" not in str(refused.value)
    with pytest.raises(SettingsError, match="table 'nothing_here'"):
        race(workload=replace(SMALL, table="nothing_here"), lab=lab)
    with pytest.raises(SettingsError, match="columns 'no_such'"):
        race(workload=replace(SMALL, columns="no_such"), lab=lab)


def test_ctrl_c_keeps_finished_trials_and_leaves_no_process(lab):
    """Interrupted in the second trial: the first is kept, the table says what is missing, no worker lives."""

    def interrupt(step: Progress) -> None:
        if step.done == 1 and step.trial is None:
            assert len(workers()) == 1
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as stopped:
        race(["fake-3", "real-3"], SMALL, lab=lab, progress=interrupt)
    found = stopped.value.found
    assert [trial.arm for trial in found.trials] == ["fake-3"]
    assert "Ended early. Missing: real-3." in str(found)
    assert workers() == []


def test_a_race_that_breaks_keeps_finished_trials(lab):
    """The error carries the record of what was finished before."""

    def stop(step: Progress) -> None:
        if step.done == 1:
            for worker in workers():
                worker.kill()

    with pytest.raises(TrialError, match="broke") as broken:
        race(["fake-3", "real-3"], replace(SMALL, latency=0.5), lab=lab, progress=stop)
    assert [trial.arm for trial in broken.value.partial.trials] == ["fake-3"]


def test_a_worker_without_its_job_says_why_it_broke():
    """An unknown job ends in one line that quotes the worker's last output."""
    with pytest.raises(TrialError, match="broke: KeyError"):
        run_worker({"arm": "fake-3"}, limit_s=60, tick=lambda _: None)


def test_a_trial_that_does_not_end_is_ended():
    """Past its time limit the worker is killed and the race says so."""
    with Lab(latency=30) as lab, pytest.raises(TrialError, match="no result after 2 s"):
        run_worker(job("burst", "real-3", Settings(lab.url, lab.key), SMALL), limit_s=2, tick=lambda _: None)
    assert workers() == []


PARENT = """
import sys
from supalab.measure.child import job, run_worker
from supalab.measure.case import Workload
from supalab.settings import Settings
told = []
def tick(seconds):
    if seconds > 1 and not told:
        told.append(print("running", flush=True))
run_worker(job("burst", "fake-3", Settings(sys.argv[1], sys.argv[2]), Workload(requests=9)), limit_s=60, tick=tick)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_worker_dies_with_its_parent():
    """Kill -9 the process that started it: the worker has gone soon after."""
    with Lab(latency=30) as lab:
        command = [sys.executable, "-c", PARENT, lab.url, lab.key]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"running\n"
            worker = psutil.Process(parent.pid).children()[0]
            parent.send_signal(signal.SIGKILL)
            parent.wait()
        until = time.monotonic() + 10
        while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
            time.sleep(0.05)
        assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


def test_loopback_traffic_is_not_hijacked(lab, monkeypatch, tmp_path):
    """Proxies and a netrc file in the environment change nothing for a worker."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password wrong\n")
    monkeypatch.setenv("NETRC", str(netrc))
    found = race(["fake-3", "article-3", "real-3"], replace(SMALL, requests=3), lab=lab)
    assert not any(trial.errors for trial in found.trials)


def test_the_key_is_nowhere_to_be_read(lab, tmp_path):
    """Not in a worker's arguments, not in the record."""
    seen: list[str] = []

    def look(step: Progress) -> None:
        seen.extend(map(_words, workers()))

    found = race(["fake-3"], SMALL, lab=lab, progress=look)
    assert seen
    assert not any(lab.key in line for line in seen)
    assert lab.key not in found.save(tmp_path / "race.json").read_text(encoding="utf-8")


RACE = """
import sys
from supalab import Workload, race
from supalab.measure.run import Interrupted
try:
    race(["fake-3", "fake-1"], Workload(30, 0.05), progress=lambda step: print(step.done, flush=True))
except Interrupted as stopped:
    print("kept", *(trial.arm for trial in stopped.found.trials), flush=True)
    sys.exit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_real_ctrl_c_ends_workers_and_lab():
    """SIGINT to the racing process: exit code and finished trials as promised, no child of it left."""
    with subprocess.Popen([sys.executable, "-c", RACE], stdout=subprocess.PIPE, text=True) as racing:
        assert racing.stdout is not None
        while racing.stdout.readline() != "1\n":
            assert racing.poll() is None
        racing.stdout.readline()
        children = psutil.Process(racing.pid).children(recursive=True)
        racing.send_signal(signal.SIGINT)
        said = racing.stdout.read()
    assert racing.returncode == 130
    assert said.endswith("kept fake-3\n")
    assert len(children) >= 2
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_a_learners_own_modules_do_not_break_the_worker(lab, monkeypatch, tmp_path):
    """Files named like modules of Python's, or like a client's library, are not imported by a trial."""
    for name in ("httpx.py", "random.py", "json.py", "supalab.py", "requests.py"):
        (tmp_path / name).write_text("raise SystemExit('imported by mistake')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = race(["fake-2", "real-2"], Workload(4, 0.0), lab=lab)
    assert [(trial.arm, trial.errors) for trial in found.trials] == [("fake-2", 0), ("real-2", 0)]


def test_an_arm_has_one_name():
    """Leading zeros would make a second name for the same arm; ``to-thread`` alone is the one with 10 threads."""
    pytest.importorskip("supabase")
    assert arm("to-thread") == arm("to-thread-10")
    for name in ("real-0010", "real-00", "real-\u0663"):
        with pytest.raises(SettingsError, match="no arm is called"):
            arm(name)
