"""``serve`` in the foreground: two lines for the shell, everything else on standard error, a clean end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from supalab.errors import LabError, SettingsError
from supalab.lab.conditions import Conditions, ServeOptions
from supalab.lab.handle import Lab, serve

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

START = "from supalab.lab.handle import Lab, serve; raise SystemExit(serve({}))"


def _serving(lab: str = "Lab()", **environ: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", START.format(lab)]
    environment = os.environ | environ
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def _two_lines(server: subprocess.Popen[str]) -> tuple[str, str]:
    assert server.stdout is not None
    first, second = server.stdout.readline(), server.stdout.readline()
    assert re.fullmatch(r"SUPABASE_URL=https?://127\.0\.0\.1:\d+\n", first)
    # Nothing in it that a shell would take for its own.
    assert re.fullmatch(r"SUPABASE_KEY=[A-Za-z0-9_-]+\n", second)
    return first.strip().partition("=")[2], second.strip().partition("=")[2]


def _get(url: str, context: ssl.SSLContext | None = None, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20, context=context) as answer:
        body: bytes = answer.read()
    return body


@posix_only
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_two_lines_then_a_clean_end(name: str) -> None:
    """Exactly two lines go to standard output; Ctrl-C and SIGTERM end it with code 0 and a summary."""
    with _serving() as server:
        url, key = _two_lines(server)
        assert _get(f"{url}/rest/v1/contests?select=id&id=eq.1", apikey=key) == b'[{"id":1}]'
        server.send_signal(getattr(signal, name))
        out, err = server.communicate(timeout=60)
    assert server.returncode == 0
    assert out == ""
    assert "1 request served, at most 1 in flight, 1 connection" in err
    assert key not in err
    assert "Traceback" not in err


@posix_only
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_seed_that_takes_long_can_be_stopped(name: str, tmp_path: Path) -> None:
    """A signal while a statement of the seed runs ends it at once: code 0, no line, no traceback, no folder left."""
    seed = tmp_path / "endless.sql"
    seed.write_text(
        "create table t(id int); with recursive c(x) as (select 1 union all select x+1 from c) select count(*) from c;"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with _serving(f"Lab(seed={str(seed)!r})", TMPDIR=str(temporary)) as server:
        end = time.monotonic() + 30
        while not list(temporary.iterdir()) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)  # from here on it counts
        began = time.monotonic()
        server.send_signal(getattr(signal, name))
        out, err = server.communicate(timeout=60)
    assert (server.returncode, out, err) == (0, "", "")
    assert time.monotonic() - began < 10  # the seed's own limit is 20
    assert not list(temporary.iterdir())


@posix_only
def test_what_the_lab_says_of_a_seed_and_its_end_are_seen(tmp_path: Path) -> None:
    """Words that were skipped are named on standard error; a lab that breaks is one line and code 2."""
    seed = tmp_path / "cups.sql"
    seed.write_text("create table cups(id int primary key); create extension pgcrypto;")
    command = [sys.executable, "-m", "supalab", "serve", "--data", str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        _two_lines(server)
        (lab,) = psutil.Process(server.pid).children()
        lab.kill()
        _, err = server.communicate(timeout=60)
    assert server.returncode == 2
    skipped, *_, last = err.splitlines()
    assert "cups.sql: skipped, because the lab does not need it" in skipped
    assert "the lab process is gone" in last
    assert "Traceback" not in err


@posix_only
def test_it_says_how_to_read_the_witness() -> None:
    """The line on standard error holds an address and a token that work."""
    with _serving() as server:
        _two_lines(server)
        assert server.stderr is not None
        hint = re.search(r"curl -H 'Authorization: (Bearer \S+)' (http://\S+)", server.stderr.readline())
        assert hint is not None
        assert b'"served": 0' in _get(hint[2], authorization=hint[1])
        server.terminate()
        server.communicate(timeout=60)


@posix_only
def test_with_tls_it_says_whom_to_trust() -> None:
    """The named file makes a client trust the lab."""
    with _serving("Lab(tls=True)") as server:
        url, key = _two_lines(server)
        assert server.stderr is not None
        server.stderr.readline()
        ca_file = server.stderr.readline().partition(": ")[2].strip()
        context = ssl.create_default_context(cafile=ca_file)
        assert url.startswith("https:")
        assert _get(f"{url}/rest/v1/contests?select=id&id=eq.1", context, apikey=key) == b'[{"id":1}]'
        server.terminate()
        server.communicate(timeout=60)
    assert server.returncode == 0


def test_a_port_in_use_is_one_clear_line() -> None:
    """It is raised, not printed: the command line decides how to say it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LabError, match=f"port {port} is in use"):
            serve(Lab(port=port))


@pytest.mark.parametrize("values", [{"port": 70_000}, {"seed": "nowhere.sql"}, {"max_in_flight": -1}])
def test_bad_options_are_refused_when_built(values: dict[str, Any]) -> None:
    """No server starts on options that cannot work."""
    with pytest.raises(SettingsError, match=next(iter(values))):
        ServeOptions(**values)


def test_options_survive_the_way_to_the_child() -> None:
    """What the child makes of the JSON equals what the parent had."""
    options = ServeOptions(port=1, conditions=Conditions(latency=0.1, tls=True), random_seed=3, max_in_flight=9)
    values = json.loads(json.dumps(asdict(options)))
    assert ServeOptions(**values | {"conditions": Conditions(**values["conditions"])}) == options
