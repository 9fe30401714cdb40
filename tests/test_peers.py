"""Third-party clients as arms: they do the same work with the same limit, and are used only on request."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from supalab import Lab, Settings
from supalab.clients import arms
from supalab.clients.arms import KINDS, PEER_ARMS, arm, missing
from supalab.errors import SettingsError
from supalab.measure.case import Workload
from supalab.measure.child import job, run_worker
from supalab.measure.record import Record

OURS_AND_THEIRS = [*PEER_ARMS, "real-httpx-10", "httpx-over-ours-10"]
SMALL = [name.replace("-10", "-4") for name in OURS_AND_THEIRS]


def kind(name: str) -> str:
    return name.rpartition("-")[0]


def needs(name: str) -> None:
    lacking = missing(kind(name))
    if lacking:
        pytest.skip(f"{kind(name)} {lacking}")


@pytest.mark.parametrize("name", SMALL)
def test_a_peer_does_the_work_within_its_limit(name: str, lab: Lab) -> None:
    """In a process of its own: 20 requests, 20 answers, never more than the limit at the witness, connections kept."""
    needs(name)
    lab.set(latency=0.02)
    lab.reset()
    result = run_worker(
        job("burst", name, Settings(lab.url, lab.key), Workload(20, 0.02)), limit_s=60, tick=lambda _: None
    )
    seen = lab.witness()
    assert [outcome for *_, outcome in result["spans"]] == ["ok"] * 20
    assert (seen.served, seen.abandoned) == (20, 0)
    assert 2 <= seen.peak <= 4
    assert seen.connections <= 4
    assert all(started is not None for _, started, *_ in result["spans"])


@pytest.mark.parametrize("name", SMALL)
def test_a_peer_reads_what_ours_reads(name: str, lab: Lab) -> None:
    """Same rows as the client of ours; both key headers are sent, since a wrong key is refused."""
    needs(name)
    code = (
        "import asyncio, json, sys\n"
        "from supalab import Settings\nfrom supalab.clients.arms import arm\n"
        "url, key, name = json.load(sys.stdin)\n"
        "async def main():\n"
        "    async with arm(name).build(Settings(url, key)) as client:\n"
        "        rows = await client.select('contests', columns='id,title', limit=3)\n"
        "    async with arm(name).build(Settings(url, key + 'x')) as client:\n"
        "        try: await client.select('contests', limit=1)\n"
        "        except Exception as error: refused = type(error).__name__\n"
        "        else: refused = None\n"
        "    return list(rows), refused\n"
        "print(json.dumps(asyncio.run(main())))\n"
    )
    read = {}
    for one in (name, "real-4"):
        asked = json.dumps([lab.url, lab.key, one])
        done = subprocess.run([sys.executable, "-c", code], input=asked, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        read[one], refused = json.loads(done.stdout)
        assert refused
    assert len(read[name]) == 3
    assert read[name] == read["real-4"]


def test_no_arm_brings_in_a_peer_that_was_not_asked_for() -> None:
    """Looking arms up, building ours and running the command line's help imports none of the other libraries."""
    code = (
        "import sys\nfrom supalab.clients.arms import arm, DEFAULT_ARMS\nfrom supalab import Settings\n"
        "[arm(name).load() for name in DEFAULT_ARMS]\narm('aiohttp-10')\n"
        "found = {'aiohttp', 'httpx2', 'supabase'} & set(sys.modules)\nsys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["httpx2-10", "supabase-10", "to-thread-10"])
def test_a_peer_that_is_not_installed_is_one_line_with_the_cure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names arm and package and how to get it, and nothing has been imported to find out."""
    monkeypatch.setitem(arms.KINDS, kind(name), replace(KINDS[kind(name)], needs="surely_not_installed"))
    with pytest.raises(SettingsError, match="surely_not_installed, which is not installed: .*pip install") as caught:
        arm(name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    find_spec("supabase") is None, reason='the official client is not installed: pip install -e ".[peers]"'
)
@pytest.mark.parametrize("name", ["supabase-2", "to-thread-2"])
def test_the_official_clients_say_what_they_cannot_do(name: str) -> None:
    """Without a key, or against a plain PostgREST, they are refused when built, in one line."""
    for settings in (Settings("http://127.0.0.1:9", None), Settings("http://127.0.0.1:9", "k", rest_path="")):
        with pytest.raises(SettingsError, match="official client"):
            arm(name).build(settings)


def test_race_peers_runs_the_default_arms_and_the_peers(tmp_path: Path) -> None:
    """One word on the command line: the usual arms, and each peer that is installed, all without an error."""
    if missing("supabase") or missing("httpx2"):
        pytest.skip('the peers are not installed: pip install -e ".[peers]"')
    words = "race --peers --arms real-10,aiohttp-10 --requests 12 --latency 0.01 --json out.json --figure f.png"
    done = subprocess.run(
        [sys.executable, "-m", "supalab", *words.split()], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    rows = Record.load(tmp_path / "out.json", "race").rows
    wanted = ["real-10", "aiohttp-10", *(name for name in PEER_ARMS if name != "aiohttp-10")]
    assert list(rows["arm"]) == wanted
    assert list(rows["errors"]) == [0] * len(wanted)
    assert rows["peak"].max() <= 10
