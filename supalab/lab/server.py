"""Serve the lab: the public port for clients and the control port for its handle.

``serve`` runs it in the foreground for ``supalab serve``; ``run`` is what the child process of ``Lab`` uses too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import sys
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from supalab.errors import LabError, SettingsError
from supalab.lab.app import LabApp
from supalab.lab.conditions import LiveConditions, ServeOptions
from supalab.lab.connections import Connections
from supalab.lab.control import ControlApp
from supalab.lab.gateway import Gate
from supalab.lab.postgrest.rest import Rest
from supalab.lab.witness import Tally, Witness
from supalab.process.child import ProgressLine, free_folder
from supalab.process.serving import HttpProtocol, ManagedServer, listen
from supalab.process.tuning import calm_collector, loop_factory, on_signals, raise_file_limit

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

__all__ = ["ServeOptions", "run", "serve"]

# Longer than any client keeps a connection, so the lab never closes one on which a request was just sent.
KEEP_ALIVE_S = 75
GRACE_S = 2


def run(
    options: ServeOptions,
    folder: Path,
    ready: Callable[[dict[str, Any]], None],
    ending: Event,
    progress: Callable[[int, int], None] | None = None,
) -> Witness:
    """Serve until ``ending`` is set, then return the last counts; ``ready`` is called once when the lab is ready.

    It receives the two ports, the key and the token, which are never written to a log, and the certificate authority's
    file, if any. ``folder`` is for files that are needed while the lab runs. Requests in flight at the end have 2
    seconds to finish. ``progress`` receives how many bytes of the seed file are read. Raises LabError and SettingsError
    when the lab cannot start.
    """
    with contextlib.ExitStack() as stack:
        public, control = stack.enter_context(listen(options.port)), stack.enter_context(listen(0))
        rest = Rest(options.seed, progress=progress)
        stack.callback(rest.close)
        raise_file_limit()
        calm_collector()
        live, tally = LiveConditions(options.conditions, options.random_seed), Tally()
        port, control_port = public.getsockname()[1], control.getsockname()[1]
        key, token = f"sb_publishable_{secrets.token_urlsafe(24)}", secrets.token_urlsafe(24)
        ca_file = folder / "ca.pem"
        words = {"port": port, "key": key, "control_port": control_port, "token": token}
        words["ca_file"] = str(ca_file) if options.conditions.tls else None
        app = LabApp(rest, live, tally, Gate(port, key), max_in_flight=options.max_in_flight)
        server = Connections(_config(app), lambda: ready(words), ending, live=live, tally=tally, ca_file=ca_file)
        server.prepare(options.conditions)
        controller = ManagedServer(_config(ControlApp(control_port, token, live, tally, server)), lambda: None, ending)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve_all({server: public, controller: control}))
        return tally.reading()


async def _serve_all(servers: Mapping[uvicorn.Server, socket.socket]) -> None:
    await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in servers.items()))


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        cast("Any", app),
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        workers=1,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


def serve(options: ServeOptions) -> int:
    """Run a lab in this process until Ctrl-C or SIGTERM and return the exit code, 0.

    When it is ready, it prints two lines to standard output, ``SUPABASE_URL=`` and ``SUPABASE_KEY=``; everything else
    goes to standard error. A signal before that, while a seed file loads, ends it at once and silently, also with 0.
    Raises LabError and SettingsError when it cannot start.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    ending, announced = Event(), Event()

    def end() -> None:
        ending.set()
        if not announced.is_set():
            raise KeyboardInterrupt  # the event is not checked yet

    def ready(words: dict[str, Any]) -> None:
        announced.set()
        _announce(words)

    try:
        folder = free_folder()
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise LabError(
            f"no temporary folder ({error.strerror or error}): make room, or set TMPDIR to another"
        ) from None
    try:
        with on_signals(end), ProgressLine("the lab loads its data") as line:
            last = run(options, folder, ready, ending, line.show)
    except (KeyboardInterrupt, SettingsError):
        # Raised inside a statement of the seed, SQLite swallows the interrupt and calls the statement interrupted.
        if not ending.is_set():
            raise
        return 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stderr.write(f"{last}\n")
    return 0


def _announce(words: dict[str, Any]) -> None:
    control = f"http://127.0.0.1:{words['control_port']}/witness"
    sys.stderr.write(f"what the lab saw: curl -H 'Authorization: Bearer {words['token']}' {control}\n")
    if words["ca_file"]:
        sys.stderr.write(f"trust this certificate authority: {words['ca_file']}\n")
    url = f"{'https' if words['ca_file'] else 'http'}://127.0.0.1:{words['port']}"
    sys.stdout.write(f"SUPABASE_URL={url}\nSUPABASE_KEY={words['key']}\n")
    sys.stdout.flush()
