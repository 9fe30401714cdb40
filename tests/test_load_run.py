"""The load generator as a process against the lab: counts agree with the witness, and nobody is left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from commandwork import refused, said

from supalab import Lab
from supalab.errors import SettingsError
from supalab.experiments.load import load
from supalab.measure.case import Span
from supalab.measure.record import FORM, Record
from supalab.measure.run import Interrupted, Progress
from supalab.measure.service import send
from supalab.measure.traffic import DISCONNECTED, REFUSED, Traffic, failures, poisson, response
from supalab.settings import Settings

PATH = "/contests?select=id&limit=3"


def sent(lab: Lab, **how: Any) -> list[Span]:
    spans: list[Span] = send(Settings(lab.url, lab.key), PATH, Traffic(**{"duration": 1.5, **how}))["spans"]
    return spans


def test_the_lab_sees_what_the_generator_says(lab: Lab) -> None:
    """Every scheduled request is sent once, in time order, answered, and counted by the witness."""
    lab.reset()
    spans = sent(lab, rate=40.0)
    assert [span.asked for span in spans] == pytest.approx(poisson(40.0, 1.5), abs=1e-6)
    assert sum(span.ok for span in spans) == len(spans) == lab.witness().served
    assert failures(spans) == {}


def test_an_open_loop_piles_up_where_closed_callers_wait() -> None:
    """At a backend of 0.3 s, 40 per second are 12 in flight on average; three callers are never more than 3."""
    with Lab(latency=0.3) as lab:
        sent(lab, rate=40.0)
        opened = lab.witness().peak
        lab.reset()
        closed = sent(lab, callers=3)
        assert lab.witness().peak == 3 < 8 < opened
        assert sum(span.ok for span in closed) == len(closed) == lab.witness().served


def test_clients_that_disconnect_are_seen_disconnecting() -> None:
    """A flood disconnects: as many as the generator says were finished by the lab though their client had gone."""
    with Lab(latency=0.3) as lab:
        spans = sent(lab, rate=15.0, flood=15.0, flood_until=1.5)
        left = sum(span.outcome == DISCONNECTED for span in spans)
        assert left > 0
        assert sum(span.ok for span in spans) + left == len(spans)
        # One that disconnects in the very moment of the response may be counted either way.
        assert abs(lab.witness().abandoned - left) <= 2


def test_a_service_that_is_not_there_is_a_result() -> None:
    """Nobody listens: every request is an error with its kind."""
    spans = send(Settings("http://127.0.0.1:9", None), "/", Traffic(0.5, rate=20.0))["spans"]
    assert failures(spans) == {REFUSED: len(spans)}
    assert response(spans, 50) is None


def test_a_closed_port_is_said_at_once() -> None:
    """No load is sent to an address where nothing listens: one line."""
    with pytest.raises(SettingsError, match="no service answers at http://127.0.0.1:9") as wrong:
        load(url="http://127.0.0.1:9", duration=600.0)
    assert "\n" not in str(wrong.value)


def test_ctrl_c_keeps_what_is_finished(lab: Lab) -> None:
    """The second load is interrupted: the first one is kept, and no process of ours remains."""
    before = {child.pid for child in psutil.Process().children()}

    def progress(so_far: Progress) -> None:
        if so_far.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as stopped:
        load(url=lab.url, path="/", rates=(20.0, 20.0), duration=0.4, progress=progress)
    found = stopped.value.found
    assert isinstance(found, Record)
    assert len(found.trials) == 1
    assert not found.finished
    assert {child.pid for child in psutil.Process().children()} == before


PARENT = """
import sys
from supalab.measure.service import send
from supalab.measure.traffic import Traffic
from supalab.settings import Settings
told = []
def tick(seconds):
    if seconds > 1 and not told:
        told.append(print("running", flush=True))
send(Settings(sys.argv[1], None), "/", Traffic(60.0, rate=5.0), tick=tick)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_the_generator_dies_with_its_parent(lab: Lab) -> None:
    """Kill -9 the process that started it: nobody goes on sending."""
    with subprocess.Popen([sys.executable, "-c", PARENT, lab.url], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"running\n"
        generator = psutil.Process(parent.pid).children()[0]
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    gone, _ = psutil.wait_procs([generator], timeout=10)
    assert gone


def test_without_an_address_the_load_meets_an_agent_of_its_own() -> None:
    """Lab and service are started, asked once for each request, and gone at the end."""
    before = {child.pid for child in psutil.Process().children()}
    code, out, _ = said("load", "--rate", "20", "--duration", "0.5", "--client", "fake-10")
    assert code == 0
    assert "contest-agent on fake-10" in out
    assert {child.pid for child in psutil.Process().children()} == before


def test_the_command_prints_a_table_and_writes_every_request(lab: Lab, tmp_path: Path) -> None:
    """One row for each rate; the record can be read again and holds no key, although the path did."""
    record = tmp_path / "load.json"
    code, out, err = said(
        *("load", lab.url, "--path", f"/rest/v1{PATH}&apikey={lab.key}", "--rate", "20,40", "--duration", "0.5"),
        *("--json", str(record), "--figure", str(tmp_path / "load.svg")),
    )
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines() if line[:2] in {"20", "40"}] == ["20/s", "40/s"]
    found = FORM.load(record)
    assert [trial["rate"] for trial in found.trials] == [20.0, 40.0]
    assert all(len(trial.spans) == trial["requests"] for trial in found.trials)
    everything = out + err + record.read_text() + (tmp_path / "load.svg").read_text()
    assert lab.key not in everything
    assert json.loads(record.read_text())["name"] == "load"


def test_words_that_cannot_work_are_refused_before_anything_is_sent(lab: Lab) -> None:
    """A rate that is none ends in one line, and the lab was not asked."""
    lab.reset()
    for bad in (
        ["--rate", "soon"], ["--path", "contests"], ["--duration", "0"], ["--figure", "load.txt"],
        ["--client", "fake"], ["--callers", "3", "--rate", "5"],
    ):  # fmt: skip
        refused("load", lab.url, *bad)
    for url in (f"{lab.url}/?apikey=sb_hidden", "contests", "http://me:sb_hidden@127.0.0.1/"):
        assert "sb_hidden" not in refused("load", url)
    assert lab.witness().served == 0
