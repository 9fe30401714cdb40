"""What ``supalab agent`` does: parsed options flow in, a served contest agent and an exit code flow out."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from threading import Event
from typing import TYPE_CHECKING

from supalab.errors import SettingsError
from supalab.settings import Settings

if TYPE_CHECKING:
    from supalab.contest_agent.options import AgentOptions

__all__ = ["add_agent", "agent"]

LAB_LATENCY_S = 0.15


def add_agent(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=agent)
    parser.add_argument(
        "--client", default="real", metavar="ARM", help="fake, article, real, or an arm such as fake-10 (real)"
    )
    parser.add_argument("--lab", action="store_true", help="on a lab of its own (default without an address)")
    parser.add_argument("--latency", type=float, metavar="S", help=f"seconds that lab takes ({LAB_LATENCY_S})")
    parser.add_argument("--url", help="on a real project (default: the environment's SUPABASE_URL, else a lab)")
    parser.add_argument("--key", help="its key (default: the environment's SUPABASE_KEY, which no process list shows)")
    parser.add_argument("--rest-path", default="/rest/v1", help='its prefix; "" for plain PostgREST (/rest/v1)')
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds the client waits for the backend (5)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 in a container (127.0.0.1)")
    parser.add_argument("--port", type=int, metavar="N", help="default: the environment's PORT, else a free one")


def agent(options: argparse.Namespace) -> int:
    """Serve a contest agent in the foreground until Ctrl-C or SIGTERM, then finish what is in flight; exit code 0.

    Its address, and its lab's, go to standard output; a log line for each request goes to standard error. A second
    Ctrl-C ends it at once, with 130.
    """
    from supalab.process.tuning import on_signals

    ending, announced = Event(), Event()

    def end() -> None:
        if ending.is_set() or not announced.is_set():
            ending.set()
            raise KeyboardInterrupt
        ending.set()

    try:
        with on_signals(end):
            _serve(options, announced, ending)
    except KeyboardInterrupt:
        if announced.is_set():
            raise
    return 0


def _serve(options: argparse.Namespace, announced: Event, ending: Event) -> None:
    url = _project(options)
    with ExitStack() as stack:
        if url is None:
            from supalab.lab.handle import Lab

            # Checked before a lab is started, and thrown away: a lab's address is known only when it runs.
            _agent_options(options, "http://127.0.0.1", None)
            lab = stack.enter_context(Lab(latency=LAB_LATENCY_S if options.latency is None else options.latency))
            chosen = _agent_options(options, lab.url, lab.key)
        else:
            chosen = _agent_options(options, url, options.key or os.environ.get("SUPABASE_KEY") or None)
        from supalab.contest_agent.server import serve

        def ready(address: str) -> None:
            announced.set()
            sys.stderr.write(f"contest-agent on {chosen.client}; try: curl '{address}/contests?size=3'\n")
            sys.stdout.write(f"CONTEST_AGENT_URL={address}\nSUPABASE_URL={chosen.settings.url}\n")
            sys.stdout.flush()

        serve(chosen, ready, ending)


def _project(options: argparse.Namespace) -> str | None:
    """The backend's address, None for a lab of its own."""
    if options.lab and options.url is not None:
        raise SettingsError("--lab and --url exclude each other: choose the backend")
    url: str | None = None if options.lab else options.url or os.environ.get("SUPABASE_URL") or None
    if url is None and options.key is not None:
        raise SettingsError("--key goes with --url: give the project's address too, or neither for the lab")
    if url is not None and options.latency is not None:
        raise SettingsError("--latency: only a lab's can be chosen: leave it out, or give --lab and no --url")
    return url


def _agent_options(options: argparse.Namespace, url: str, key: str | None) -> AgentOptions:
    from supalab.contest_agent.options import TIMEOUT_S, AgentOptions

    timeout = TIMEOUT_S if options.timeout is None else options.timeout
    settings = Settings(url, key, timeout=timeout, rest_path=options.rest_path)
    return AgentOptions(options.client, settings, options.host, _port(options.port))


def _port(given: int | None) -> int:
    told = os.environ.get("PORT", "")
    if given is not None or not told:
        return given or 0
    if not (told.isascii() and told.isdecimal()):
        raise SettingsError(f"PORT is {told!r} in the environment: set it to a number from 1 to 65535, or give --port")
    return int(told)
