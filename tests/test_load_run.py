"""The load generator as a process against the lab: counts agree with the witness, and nobody is left behind."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from supalab import Lab
from supalab.commands.load import add_load
from supalab.errors import SettingsError
from supalab.load.plan import Plan
from supalab.load.run import RECORD, load, loads
from supalab.load.schedule import poisson
from supalab.load.shots import LEFT, REFUSED, Load

PATH = "/rest/v1/contests?select=id&limit=3"


def plan_on(lab: Lab, **how: object) -> Plan:
    return Plan(lab.url + PATH, **{"duration": 1.5, "headers": {"apikey": lab.key}, **how})  # type: ignore[arg-type]


def test_the_lab_sees_what_the_generator_says(lab: Lab) -> None:
    """Every scheduled request is sent once, in time order, answered, and counted by the witness."""
    lab.reset()
    found = load(plan_on(lab, rate=40.0))
    assert [shot.intended for shot in found.shots] == pytest.approx(poisson(40.0, 1.5), abs=1e-6)
    assert found.answered == len(found.shots) == lab.witness().served
    assert found.errors == {}
    assert "?" not in found.url


def test_open_arrivals_pile_up_where_closed_callers_wait() -> None:
    """At a backend of 0.3 s, 40 requests a second are 12 in flight on average; three callers are never more than 3."""
    with Lab(latency=0.3) as lab:
        load(plan_on(lab, rate=40.0))
        opened = lab.witness().peak
        lab.reset()
        closed = load(plan_on(lab, callers=3))
        assert lab.witness().peak == 3 < 8 < opened
        assert closed.answered == len(closed.shots) == lab.witness().served


def test_callers_who_leave_are_seen_leaving() -> None:
    """Half of the callers hang up: as many as the generator says were finished by the lab for nobody."""
    with Lab(latency=0.3) as lab:
        found = load(plan_on(lab, rate=30.0, leave_share=0.5))
        assert found.left == sum(shot.outcome == LEFT for shot in found.shots) > 0
        assert found.answered + found.left == len(found.shots)
        # One who hangs up in the very moment of the answer may be counted either way.
        assert abs(lab.witness().abandoned - found.left) <= 2


def test_a_service_that_is_not_there_is_a_result() -> None:
    """Nobody listens: every request is an error with its kind."""
    found = load(Plan("http://127.0.0.1:9/", 0.5, rate=20.0))
    assert found.errors == {REFUSED: len(found.shots)}
    assert found.response(50) is None


def test_ctrl_c_keeps_what_is_finished(lab: Lab) -> None:
    """The second load is interrupted: the first one is kept, and no process of ours remains."""
    before = {child.pid for child in psutil.Process().children()}
    kept: list[Load] = []

    def progress(share: float, done: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loads([plan_on(lab, rate=20.0, duration=0.4)] * 2, keep=kept, progress=progress)
    assert len(kept) == 1
    assert {child.pid for child in psutil.Process().children()} == before


PARENT = """
import sys
from supalab.load.plan import Plan
from supalab.load.run import load
told = []
def tick(seconds):
    if seconds > 1 and not told:
        told.append(print("running", flush=True))
load(Plan(sys.argv[1], 60.0, rate=5.0), tick=tick)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_the_generator_dies_with_its_parent(lab: Lab) -> None:
    """Kill -9 the process that started it: nobody goes on shooting."""
    with subprocess.Popen([sys.executable, "-c", PARENT, lab.url], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"running\n"
        generator = psutil.Process(parent.pid).children()[0]
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    gone, _ = psutil.wait_procs([generator], timeout=10)
    assert gone


def test_without_an_address_the_load_meets_an_agent_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Lab and service are started, asked once for each request, and gone at the end."""
    before = {child.pid for child in psutil.Process().children()}
    words = options("--rate", "20", "--duration", "0.5", "--client", "fake-10")
    assert words.run(words) == 0
    assert "contest-agent on fake-10" in capsys.readouterr().out
    assert {child.pid for child in psutil.Process().children()} == before


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_load(parser)
    return parser.parse_args(words)


def test_the_command_prints_a_table_and_writes_every_request(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row for each rate; the record can be read again and holds no key, although the path did."""
    record = tmp_path / "load.json"
    words = options(
        *(lab.url, "--path", f"{PATH}&apikey={lab.key}", "--rate", "20,40", "--duration", "0.5"),
        *("--json", str(record), "--figure", str(tmp_path / "load.svg")),
    )
    assert words.run(words) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines() if line[:2] in {"20", "40"}] == ["20/s", "40/s"]
    assert [found.rate for found in RECORD.load(record).loads] == [20.0, 40.0]
    everything = printed.out + printed.err + record.read_text() + (tmp_path / "load.svg").read_text()
    assert lab.key not in everything
    assert json.loads(record.read_text())["format"] == "supalab-load"


def test_words_that_cannot_work_are_refused_before_anything_is_sent(lab: Lab) -> None:
    """A rate that is none ends in one line, and the lab was not asked."""
    lab.reset()
    for bad in (
        ["--rate", "soon"], ["--path", "contests"], ["--duration", "0"], ["--figure", "load.txt"],
        ["--client", "fake"], ["--callers", "3", "--rate", "5"],
    ):  # fmt: skip
        words = options(lab.url, *bad)
        with pytest.raises(SettingsError):
            words.run(words)
    assert lab.witness().served == 0
