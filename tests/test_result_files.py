"""Result files: written next to the old file and then moved to its place; never to a device, a pipe or a link."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from commandwork import refused, said
from made_race import made_race
from test_probe_judge import CASES, made_verdict

import supalab.probe
from supalab.errors import SettingsError
from supalab.experiments import Experiment
from supalab.measure.record import Record
from supalab.probe import Verdict
from supalab.report import files
from supalab.report.files import check_place, write

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing can be put on a disk, but for the folder of temporary files."""

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_leaves_the_old_file_whole_and_says_where_the_new_one_is(tmp_path: Path) -> None:
    """No other file is left beside it."""
    path = tmp_path / "r.json"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(SettingsError, match="No space left on device") as caught:
        write("new", path)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
    rescued = Path(str(caught.value).rpartition("it is in ")[2].split("'")[1])
    assert rescued.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_kill_in_the_middle_leaves_the_old_file_whole(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while it is written: what was there before is still there, and nothing else."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "r.json"
    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os if at == "fsync" else Path, at, stop)
    with pytest.raises(KeyboardInterrupt):
        write("new", path)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_usual_rights_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    """As if it had been opened and written."""
    usual = tmp_path / "usual"
    usual.touch()
    path = write("new", tmp_path / "r.json")
    assert path.stat().st_mode == usual.stat().st_mode
    path.chmod(0o640)
    mode = path.stat().st_mode
    assert write("newer", path).stat().st_mode == mode
    assert path.read_text(encoding="utf-8") == "newer"


@posix_only
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder", "device", "long"])
def test_only_a_regular_file_is_written(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is refused at once, in one line, before anything is measured; what it points to stays as it was."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out.json"
    (tmp_path / "other.json").write_text("mine", encoding="utf-8")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind in {"link", "dangling"}:
        path.symlink_to("other.json" if kind == "link" else "nowhere.json")
    elif kind == "device":
        path = Path(os.devnull)
    else:
        path = tmp_path / f"{300 * 'x'}.json"
    monkeypatch.setattr(Experiment, "run", lambda *_, **__: pytest.fail("it ran"))
    line = refused("race", "--json", path)
    assert line.count("cannot write") == 1
    assert (tmp_path / "other.json").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "nowhere.json").exists()


@posix_only
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_only_a_regular_file_is_read(kind: str, tmp_path: Path) -> None:
    """What may never end is refused at once: a pipe that nobody writes to, a device."""
    path = tmp_path / "claims.csv"
    if kind == "pipe":
        os.mkfifo(path)
    assert "(no regular file)" in refused("claims", "--claims", path if kind == "pipe" else "/dev/zero")


def test_a_place_is_checked_without_leaving_anything(tmp_path: Path) -> None:
    """Neither a new file nor a change of an old one."""
    old = tmp_path / "old.json"
    old.write_text("old", encoding="utf-8")
    assert check_place(old) == old
    assert check_place(tmp_path / "new.json") == tmp_path / "new.json"
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert old.read_text(encoding="utf-8") == "old"


def test_the_probes_table_is_printed_whatever_happens_to_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record and its figure cannot be written: table, two reasons, exit code 2."""

    def broken(data: bytes, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def probed(*_: object, **__: object) -> Verdict:
        return made_verdict(CASES["threads"][0])

    monkeypatch.setattr(supalab.probe, "probe", probed)
    monkeypatch.setattr(files, "_replace", broken)
    for name in ("SUPABASE_URL", "SUPABASE_KEY"):
        monkeypatch.setenv(name, "")  # the command sets them
    monkeypatch.setattr(sys, "path", [*sys.path])
    code, out, err = said(
        "probe", "supalab:SupabaseAsync", "--json", tmp_path / "v.json", "--figure", tmp_path / "v.png"
    )
    assert code == 2
    assert "fake async (threads)" in out
    assert err.count("No space left on device") == 2
    assert not list(tmp_path.iterdir())


def test_the_table_is_printed_whatever_happens_to_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the record nor a figure could be written: table, two reasons, exit code 2."""

    def broken(data: bytes, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    found: Record = made_race()
    monkeypatch.setattr(Experiment, "run", lambda *_, **__: found)
    monkeypatch.setattr(files, "_replace", broken)
    code, out, err = said("race", "--json", tmp_path / "r.json", "--figure", tmp_path / "r.png")
    assert code == 2
    assert "real-10" in out
    assert err.count("No space left on device") == 3
    assert err.count("it is in") == 3
    assert not list(tmp_path.iterdir())
