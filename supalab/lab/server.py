"""Serve the lab: the public port for clients and the control port for its handle.

``serve`` runs it in the foreground for ``supalab serve``; ``run`` is what the child process of ``Lab`` uses too.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import sys
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from supalab.errors import LabError
from supalab.lab.app import LabApp
from supalab.lab.conditions import LiveConditions, ServeOptions
from supalab.lab.connections import Connections
from supalab.lab.control import ControlApp
from supalab.lab.gateway import Gate
from supalab.lab.postgrest.rest import Rest
from supalab.lab.witness import Tally, Witness
from supalab.process import serving
from supalab.process.child import free_folder, progress_line
from supalab.process.tuning import calm_collector, ended_by_signals

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ServeOptions", "run", "serve"]


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
    listen = serving.listen
    with listen(options.port) as public, listen(0) as control, closing(Rest(options.seed, progress=progress)) as rest:
        calm_collector()
        live, tally = LiveConditions(options.conditions, options.random_seed, folder / "ca.pem"), Tally()
        port, control_port = public.getsockname()[1], control.getsockname()[1]
        key, token = f"sb_publishable_{secrets.token_urlsafe(24)}", secrets.token_urlsafe(24)
        words = {"port": port, "key": key, "control_port": control_port, "token": token, "ca_file": live.ca_file}
        app = LabApp(rest, live, tally, Gate(port, key), max_in_flight=options.max_in_flight)
        server = Connections(app, public, ending, lambda: ready(words), live, tally)
        controller = serving.ManagedServer(ControlApp(control_port, token, live, tally), control, ending)
        serving.serve(server, controller)
        return tally.reading()


def serve(options: ServeOptions) -> int:
    """Run a lab in this process until Ctrl-C or SIGTERM and return the exit code, 0.

    When it is ready, it prints two lines to standard output, ``SUPABASE_URL=`` and ``SUPABASE_KEY=``; everything else
    goes to standard error. A signal before that, while a seed file loads, ends it at once and silently, also with 0.
    Raises LabError and SettingsError when it cannot start.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    ending, announced = Event(), Event()

    def ready(words: dict[str, Any]) -> None:
        announced.set()
        _announce(words)

    try:
        folder = free_folder()
        folder.mkdir(mode=0o700)
    except OSError as error:
        cure = "make room, or set TMPDIR to another"
        raise LabError(f"no temporary folder ({error.strerror or error}): {cure}") from None
    try:
        with ended_by_signals(ending, announced), progress_line("the lab loads its data") as show:
            last = run(options, folder, ready, ending, show)
            sys.stderr.write(f"{last}\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _announce(words: dict[str, Any]) -> None:
    control = f"http://127.0.0.1:{words['control_port']}/witness"
    sys.stderr.write(f"what the lab saw: curl -H 'Authorization: Bearer {words['token']}' {control}\n")
    if words["ca_file"]:
        sys.stderr.write(f"trust this certificate authority: {words['ca_file']}\n")
    url = f"{'https' if words['ca_file'] else 'http'}://127.0.0.1:{words['port']}"
    sys.stdout.write(f"SUPABASE_URL={url}\nSUPABASE_KEY={words['key']}\n")
    sys.stdout.flush()
