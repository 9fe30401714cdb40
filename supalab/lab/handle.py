"""``Lab`` starts a lab, changes its conditions, reads its counters, and stops it; ``serve`` is ``supalab serve``."""

from __future__ import annotations

import http.client
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from supalab.errors import LabError, SettingsError
from supalab.lab.conditions import DEFAULT_MAX_IN_FLIGHT, Conditions, ServeOptions
from supalab.lab.witness import Witness
from supalab.process.child import Child, Owner, Program
from supalab.process.tuning import ended_by_signals

if TYPE_CHECKING:
    import os

CONTROL_TIMEOUT_S = 30.0
#: Seconds between two looks at a served lab's process.
LOOK_S = 0.2
# It stops a little after the time that requests in flight have to finish.
PROGRAM = Program("supalab.lab", "lab", LabError, hard_end=2.8)


class Lab(Owner):
    """A lab backend in a process of its own: ``with Lab(latency=0.15) as lab:`` or ``async with``.

    ``port`` 0 means any free port; times are seconds; for the conditions see ``Conditions``. ``seed`` is a ``.csv`` or
    ``.sql`` file to serve instead of the shipped contests. ``random_seed`` is the random seed for jitter and errors.
    ``max_in_flight`` is how many requests the lab accepts at once before it answers 503.

    Raises SettingsError here for an invalid value, and at the start for a seed file that cannot be served.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        latency: float = 0.0,
        jitter: float = 0.0,
        rtt: float = 0.0,
        tls: bool = False,
        error_rate: float = 0.0,
        seed: str | os.PathLike[str] | None = None,
        random_seed: int = 0,
        max_in_flight: int = DEFAULT_MAX_IN_FLIGHT,
    ) -> None:
        options = ServeOptions(
            port=port,
            conditions=Conditions(latency=latency, jitter=jitter, rtt=rtt, tls=tls, error_rate=error_rate),
            seed=None if seed is None else Path(seed),
            random_seed=random_seed,
            max_in_flight=max_in_flight,
        )
        super().__init__(PROGRAM, asdict(options), "Lab")

    @property
    def key(self) -> str:
        """The key for clients; it is new at each start."""
        return str(self._running().ready["key"])

    @property
    def ca_file(self) -> Path | None:
        """The authority to trust while TLS is on, a PEM file that lives as long as the lab; else None."""
        file = self._running().ready["ca_file"]
        return Path(file) if file else None

    @property
    def conditions(self) -> Conditions:
        """The current conditions."""
        return self._told(self._ask("GET", "/conditions"))

    def set(
        self,
        *,
        latency: float | None = None,
        jitter: float | None = None,
        rtt: float | None = None,
        tls: bool | None = None,
        error_rate: float | None = None,
    ) -> Conditions:
        """Change some conditions while the lab runs and return them all.

        Requests that arrive later meet the new ``latency``, ``jitter`` and ``error_rate``; ``rtt`` and ``tls`` are for
        connections opened later, on the same port. Raises SettingsError for an invalid value.
        """
        given = {"latency": latency, "jitter": jitter, "rtt": rtt, "tls": tls, "error_rate": error_rate}
        changes = {name: value for name, value in given.items() if value is not None}
        Conditions().changed(changes)
        return self._told(self._ask("PATCH", "/conditions", changes))

    def witness(self, after: float = -1.0) -> Witness:
        """Return what the lab saw since its start or the last reset; this request is not counted.

        Its timeline has only changes later than ``after`` seconds, so that it is cheap to ask repeatedly.
        """
        return Witness.from_json(self._ask("GET", f"/witness?{after!r}"))

    def reset(self) -> None:
        """Start the counters and the random sequences again; connections and rows stay as they are."""
        self._ask("POST", "/reset")

    def _address(self, child: Child) -> str:
        # It is https while TLS is on.
        return f"{'https' if child.ready['ca_file'] else 'http'}://127.0.0.1:{child.ready['port']}"

    def _told(self, words: dict[str, Any]) -> Conditions:
        self._running().ready["ca_file"] = words.pop("ca_file")
        return Conditions(**words)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        child = self._running()
        caller = http.client.HTTPConnection("127.0.0.1", child.ready["control_port"], timeout=CONTROL_TIMEOUT_S)
        try:
            caller.request(method, path, json.dumps(body), {"Authorization": f"Bearer {child.ready['token']}"})
            response = caller.getresponse()
            status, said = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self._running()
            raise LabError(f"the lab did not answer {method} {path}: {error or type(error).__name__}") from error
        finally:
            caller.close()
        try:
            words = dict(json.loads(said))
        except (ValueError, TypeError):
            start = said[:80].decode("utf-8", "replace")
            raise LabError(f"the lab answered {method} {path} with {status} {start!r}: start it again") from None
        if status != 200:
            raise (SettingsError if status == 400 else LabError)(f"the lab refused {method} {path}: {words['message']}")
        return words


def serve(lab: Lab) -> int:
    """Run ``lab`` in the foreground until Ctrl-C or SIGTERM and return the exit code, 0.

    When it is ready, this prints two lines to standard output, ``SUPABASE_URL=`` and ``SUPABASE_KEY=``; everything else
    goes to standard error, also what the lab prints. A signal before that, while a seed file loads, ends it immediately
    and silently, also with 0. Raises LabError and SettingsError when it cannot start, LabError when it breaks.
    """
    lab._program = replace(PROGRAM, log=False)
    ending, announced = Event(), Event()
    with ended_by_signals(ending, announced), lab:
        announced.set()
        ready = lab._running().ready
        control = f"http://127.0.0.1:{ready['control_port']}/witness"
        sys.stderr.write(f"what the lab saw: curl -H 'Authorization: Bearer {ready['token']}' {control}\n")
        if lab.ca_file is not None:
            sys.stderr.write(f"trust this certificate authority: {lab.ca_file}\n")
        sys.stdout.write(f"SUPABASE_URL={lab.url}\nSUPABASE_KEY={lab.key}\n")
        sys.stdout.flush()
        while not ending.wait(LOOK_S):
            lab._running()
        sys.stderr.write(f"{lab.witness()}\n")
    return 0
