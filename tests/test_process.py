"""Child processes: how long a start may take, what is reported, and that nothing remains."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from labwork import soon

from supalab.errors import LabError, SettingsError
from supalab.lab.handle import Lab
from supalab.process.child import Child, Program, progress_line

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

HEAD = "from supalab.process.attach import attach_to_parent\nimport sys, time\n"


def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> Child:
    """A child that runs ``code``."""
    (tmp_path / "a_child_of_a_test.py").write_text(HEAD + code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Child(Program("a_child_of_a_test", "thing", LabError, hard_end=2.8), {"rows": 3})


def test_a_child_that_makes_progress_may_take_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The limit is one of silence: a start of many such limits is fine while lines keep coming."""
    code = (
        "with attach_to_parent() as parent:\n"
        "    for done in range(15): parent.progress(done, 15); time.sleep(0.2)\n"
        "    parent.report({'rows': parent.options['rows']}, last=True)\n"
        "    parent.ending.wait()\n"
    )
    child = started(monkeypatch, tmp_path, code)
    child.wait_until_ready(2.0)
    assert child.ready == {"rows": 3}
    assert child.folder.exists()
    child.stop()
    assert not child.folder.exists()


def test_a_child_that_stops_making_progress_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Silence after progress is an error all the same, and nothing stays."""
    code = "with attach_to_parent() as parent:\n    parent.progress(1, 2)\n    time.sleep(60)\n"
    child = started(monkeypatch, tmp_path, code)
    with pytest.raises(LabError, match=r"the thing said nothing for 1.5 s before it was ready"):
        child.wait_until_ready(1.5)
    assert child.exit_code() is not None
    assert not child.folder.exists()


def test_a_child_keeps_what_it_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Otherwise each child compiles all modules, and the memory which that leaves free hides what a client needs."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    code = (
        "with attach_to_parent() as parent:\n"
        "    parent.report({'compiles again': sys.dont_write_bytecode}, last=True)\n"
        "    parent.ending.wait()\n"
    )
    child = started(monkeypatch, tmp_path, code)
    child.wait_until_ready()
    assert child.ready == {"compiles again": False}
    child.stop()


def test_what_a_child_prints_is_no_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Output before and after it is attached is kept for messages, and never mistaken for its report."""
    code = (
        "print('before')\n"
        "with attach_to_parent() as parent:\n"
        "    print('{\"after\": 1}', flush=True)\n"
        "    parent.report({'ok': True}, last=True)\n"
        "    parent.ending.wait()\n"
    )
    child = started(monkeypatch, tmp_path, code)
    child.wait_until_ready()
    assert child.ready == {"ok": True}
    assert child.log.read_text(encoding="utf-8") == '{"after": 1}\n'
    assert child.log_text().startswith("before")
    child.stop()


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("raise SettingsError('no such seed')", SettingsError, "no such seed"),
        ("raise LabError('no port')", LabError, "no port"),
        ("1 / 0", LabError, "ended before it was ready .exit code 1.*(?s:.*)ZeroDivisionError"),
    ],
)
def test_a_start_that_fails_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, kind: type[Exception], words: str
) -> None:
    """An error of ours comes over as itself, a crash as the end of the log; neither leaves a folder."""
    code = f"from supalab.errors import *\nwith attach_to_parent() as parent:\n    {code}\n"
    child = started(monkeypatch, tmp_path, code)
    with pytest.raises(kind, match=words):
        child.wait_until_ready()
    assert not child.folder.exists()


@posix_only
@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users of POSIX")
def test_without_a_temporary_folder_the_start_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A temporary folder that is gone is one line with the cure."""
    gone = tmp_path / "gone"
    monkeypatch.setattr(tempfile, "tempdir", str(gone))
    with pytest.raises(LabError, match="set TMPDIR") as caught:
        Lab().start()
    assert "\n" not in str(caught.value)
    assert str(gone.parent) in str(caught.value)

    def none() -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(LabError, match="set TMPDIR to a folder with room"):
        Lab().start()


@posix_only
def test_a_parent_killed_at_any_moment_of_the_start_leaves_nothing(tmp_path: Path) -> None:
    """SIGKILL at random moments from before the start until well after it: no folder and no process stays."""
    code = "from supalab.lab.handle import Lab\nprint(1, flush=True)\nlab = Lab(tls=True).start()\n"
    chance = random.Random(11)
    for _ in range(12):
        owner = subprocess.Popen(
            [sys.executable, "-c", code + "import time; time.sleep(60)"],
            stdout=subprocess.PIPE,
            env=os.environ | {"TMPDIR": str(tmp_path)},
        )
        with owner:
            assert owner.stdout is not None
            owner.stdout.readline()
            time.sleep(chance.uniform(0, 0.9))
            owner.send_signal(signal.SIGKILL)
    assert soon(lambda: not list(tmp_path.iterdir()))


@posix_only
def test_the_next_start_removes_what_killed_processes_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Parent and child killed together leave a folder; the next start takes it away, and no living owner's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code = "from supalab.lab.handle import Lab\nlab = Lab().start()\nprint(lab.pid, flush=True)\n"
    code += "import time; time.sleep(60)"
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        os.kill(pid, signal.SIGSTOP)  # so that it cannot clear up when it notices
        owner.kill()
        os.kill(pid, signal.SIGKILL)
    (left,) = tmp_path.iterdir()
    assert (left / "log").exists()
    (tmp_path / "supalab-notes-1").mkdir()
    with Lab() as lab, Lab() as other:
        assert lab._child is not None
        assert other._child is not None
        folders = {lab._child.folder, other._child.folder, tmp_path / "supalab-notes-1"}
        assert set(tmp_path.iterdir()) == folders


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_progress_line_comes_after_a_second_and_goes_at_the_end() -> None:
    """In a terminal one line says how far it is; a short start shows nothing, nor does a stream that is no terminal."""
    for stream, seconds, shown in ((Terminal(), 2.0, True), (Terminal(), 0.5, False), (io.StringIO(), 2.0, False)):
        moments = iter([0.0, seconds, seconds])
        with progress_line("the lab loads its data", stream, lambda moments=moments: next(moments)) as show:
            show(100_000_000, 250_000_000)
            show(200_000_000, 250_000_000)
        said = stream.getvalue()
        assert ("\rthe lab loads its data: 100 of 250 MB\r" in said) is shown
        assert said.rpartition("\r")[2] == ""
