"""``supalab agent`` as people and Cloud Run run it: two lines for the shell, a clean end, one line for a mistake."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import httpx
import psutil
import pytest
from commandwork import refused
from labwork import soon

import supalab
from supalab import Lab

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
HARNESS = """
import sys
from supalab.cli import main
sys.exit(main(["agent", *sys.argv[1:]]))
"""
DOCKERFILE = Path(supalab.__file__).parent / "contest_agent" / "Dockerfile"
CLEAN = {"PORT": "", "SUPABASE_URL": "", "SUPABASE_KEY": ""}


@contextmanager
def running(*words: str, code: str = HARNESS, **env: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run the command and yield its process and its two lines."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=os.environ | CLEAN | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        assert all(lines), process.communicate()[1]
        yield process, dict(line.strip().split("=", 1) for line in lines)
    finally:
        process.kill()
        process.communicate()


@posix_only
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_it_brings_a_lab_of_its_own_and_takes_it_along(name: str) -> None:
    """Service and lab both run; Ctrl-C or SIGTERM ends both with code 0; the log has one JSON line per request."""
    with running("--client", "fake", "--latency", "0.01") as (process, said):
        assert list(said) == ["CONTEST_AGENT_URL", "SUPABASE_URL"]
        url = said["CONTEST_AGENT_URL"]
        assert httpx.get(f"{url}/health").json() == {"status": "ok", "client": "fake-3"}
        assert httpx.get(f"{url}/contests", params={"size": 3}).json()["total"] == 500
        labs = psutil.Process(process.pid).children()
        assert len(labs) == 1
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert out == ""
    assert soon(lambda: not labs[0].is_running())
    greeting, *lines = err.splitlines()
    assert url in greeting
    assert [json.loads(line)["path"] for line in lines] == ["/health", "/contests"]


@posix_only
def test_a_second_interrupt_ends_it_at_once(lab: Lab) -> None:
    """The first Ctrl-C lets a slow request finish, the second does not wait for it."""
    with (
        Lab(latency=3) as slow,
        running("--url", slow.url, "--timeout", "20", SUPABASE_KEY=slow.key) as (process, said),
    ):
        asked = psutil.Process(process.pid)
        with httpx.Client() as caller, pytest.raises(httpx.HTTPError):
            # The caller's own timeout is short; the service waits for the write that the caller abandons.
            caller.post(f"{said['CONTEST_AGENT_URL']}/contests", json={"id": 9_001, "title": "x"}, timeout=0.5)
        process.send_signal(signal.SIGINT)
        assert not soon(lambda: not asked.is_running() or asked.status() == psutil.STATUS_ZOMBIE, 0.5)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert process.returncode == 130


def test_the_environment_chooses_backend_and_port(lab: Lab) -> None:
    """As Cloud Run starts it: PORT, SUPABASE_URL and SUPABASE_KEY, and no secret in an argument."""
    with Lab() as gone:
        port = gone.url.rpartition(":")[2]
    with running(PORT=port, SUPABASE_URL=lab.url, SUPABASE_KEY=lab.key) as (process, said):
        assert said == {"CONTEST_AGENT_URL": f"http://127.0.0.1:{port}", "SUPABASE_URL": lab.url}
        assert psutil.Process(process.pid).children() == []
        assert httpx.get(f"http://127.0.0.1:{port}/ready").json()["client"] == "real-10"


def test_words_go_before_the_environment(lab: Lab) -> None:
    """--port has priority over PORT, --lab over SUPABASE_URL."""
    with running("--port", "0", "--lab", PORT="1", SUPABASE_URL=lab.url) as (_, said):
        assert not said["CONTEST_AGENT_URL"].endswith(":1")
        assert said["SUPABASE_URL"] != lab.url


@pytest.mark.parametrize(
    ("words", "env", "told"),
    [
        (["--client", "swift"], {}, "swift"),
        (["--client", "aiohttp-10"], {}, "only reads"),
        (["--client", "fake-0"], {}, "limit 0"),
        (["--lab", "--url", "http://127.0.0.1:9"], {}, "--lab and --url"),
        (["--key", "sb_secret_XYZ"], {}, "--key goes with --url"),
        (["--url", "abc.supabase.co"], {}, "abc.supabase.co"),
        (["--latency", "1"], {"SUPABASE_URL": "http://127.0.0.1:9"}, "--latency"),
        (["--latency", "-1"], {}, "latency is -1"),
        (["--timeout", "0"], {}, "timeout 0"),
        (["--port", "70000"], {}, "port is 70000"),
        (["--host", ""], {}, "host is empty"),
        ([], {"PORT": "http"}, "PORT is 'http'"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], env: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line names the option or variable before anything is started, and never shows a key."""
    for name, value in (CLEAN | env).items():
        monkeypatch.setenv(name, value)
    before = psutil.Process().children()
    line = refused("agent", *words)
    assert told in line
    assert "XYZ" not in line
    assert psutil.Process().children() == before


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_here_is_named(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine's address and an unknown name each give one line that says what to do."""
    for name, value in CLEAN.items():
        monkeypatch.setenv(name, value)
    line = refused("agent", "--url", "http://127.0.0.1:9", "--host", host)
    assert re.search(f"host '{host}' is not an address of this machine.*0.0.0.0", line)


def instructions() -> dict[str, list[str]]:
    """Return the Dockerfile's instructions by name."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text(encoding="utf-8"))
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            found.setdefault(name, []).append(rest.strip())
    return found


def test_the_dockerfile_is_fit_for_cloud_run() -> None:
    """Exec form with valid options, all addresses, a user other than root, PORT, no secret."""
    found = instructions()
    (command,) = found["CMD"]
    program, verb, *words = json.loads(command)
    assert (program, verb) == ("supalab", "agent")
    assert words == ["--client", "real", "--host", "0.0.0.0"]
    assert "ENTRYPOINT" not in found
    assert found["USER"][-1] not in {"root", "0"}
    assert any(user.endswith(f" {found['USER'][-1]}") for user in found["RUN"] if "useradd" in user)
    assert any(setting.startswith("PORT=") for setting in found["ENV"])
    assert not any("KEY" in line for name in ("ENV", "ARG", "RUN", "COPY") for line in found.get(name, []))


@posix_only
def test_the_dockerfile_installs_what_the_service_imports(lab: Lab) -> None:
    """The service starts and serves with only the packages that the Dockerfile names."""
    (line,) = [run for run in instructions()["RUN"] if "--no-deps" not in run and "pip install" in run]
    named = [word for word in line.split()[2:] if not word.startswith("-")]
    shipped = with_requirements(named) | {"supalab"}
    owned = metadata.packages_distributions()
    lacking = [module for module, owners in owned.items() if not {canonical(owner) for owner in owners} & shipped]
    assert {"jupyterlab", "matplotlib", "pandas"} <= set(lacking)
    # None instead of a module tells Python that it cannot be imported.
    code = f"import sys\nsys.modules.update(dict.fromkeys({lacking!r}))\n{HARNESS}"
    for client in ("fake", "article", "real"):
        with running("--url", lab.url, "--client", client, code=code, SUPABASE_KEY=lab.key) as (_, said):
            url = said["CONTEST_AGENT_URL"]
            assert httpx.get(f"{url}/deadlines").status_code == httpx.get(f"{url}/metrics").status_code == 200


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def with_requirements(names: list[str]) -> set[str]:
    """Return these distributions with all their requirements; extras are left out, because none is used here."""
    found: set[str] = set()
    todo = [canonical(name) for name in names]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another system or version of Python
        found.add(name)
        todo += [canonical(re.split(r"[^\w.-]", line)[0]) for line in required if "extra ==" not in line]
    return found
