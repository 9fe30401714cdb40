"""Serve the lab: the public port for clients and the control port for its handle."""

from __future__ import annotations

import secrets
from contextlib import closing
from typing import TYPE_CHECKING

from supalab.lab.app import LabApp
from supalab.lab.conditions import LiveConditions, ServeOptions
from supalab.lab.connections import Connections
from supalab.lab.control import ControlApp
from supalab.lab.gateway import Gate
from supalab.lab.postgrest.rest import Rest
from supalab.lab.witness import Tally
from supalab.process.serving import ManagedServer, listen, serve
from supalab.process.tuning import calm_collector

if TYPE_CHECKING:
    from supalab.process.attach import Attachment


def run(options: ServeOptions, parent: Attachment) -> None:
    """Serve until the parent ends the lab; requests in flight then have some seconds to finish.

    The parent receives how many bytes of the seed file are read, and when the lab is ready the two ports, the key and
    the token, which are never written to a log, and the certificate authority's file, if any. Raises LabError and
    SettingsError when the lab cannot start.
    """
    with (
        listen(options.port) as public,
        listen(0) as control,
        closing(Rest(options.seed, progress=parent.progress)) as rest,
    ):
        calm_collector()
        live = LiveConditions(options.conditions, options.random_seed, parent.folder / "ca.pem")
        tally = Tally()
        port, control_port = public.getsockname()[1], control.getsockname()[1]
        key, token = f"sb_publishable_{secrets.token_urlsafe(24)}", secrets.token_urlsafe(24)
        words = {"port": port, "key": key, "control_port": control_port, "token": token, "ca_file": live.ca_file}
        app = LabApp(rest, live, tally, Gate(port, key), max_in_flight=options.max_in_flight)
        controller = ControlApp(control_port, token, live, tally)
        serve(
            Connections(app, public, parent.ending, lambda: parent.report(words, last=True), live, tally),
            ManagedServer(controller, control, parent.ending),
        )
