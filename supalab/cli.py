"""The command line: words in, a race, a lab or JupyterLab out. Nothing heavy is imported before a command needs it.

Bad input ends in one line on stderr and exit code 2; Ctrl-C during a race keeps the finished trials and ends with 130.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from supalab import (
    __version__,
    commands,
    commands_agent,
    commands_bench,
    commands_claims,
    commands_costs,
    commands_explain,
    commands_load,
    commands_probe,
    commands_record,
)
from supalab.errors import SupalabError

__all__ = ["main"]


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint and where to read more; exit code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options, rest = _parser().parse_known_args(argv)
    if rest and options.run is not commands.lab:
        _parser().error(f"unknown argument {rest[0]!r}")
    options.rest = rest
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except SupalabError as error:
        print(f"supalab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("supalab: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has left (| head): nothing to complain about, and nothing left to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parser() -> Parser:
    parser = Parser(prog="supalab", description="Fake async against real async, measured by a server that counts.")
    parser.add_argument("--version", action="version", version=f"supalab {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (words, add) in COMMANDS.items():
        add(verbs.add_parser(name, help=words))
    return parser


def _add_race(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=commands.race)
    parser.add_argument("--arms", metavar="A,B,…", help="e.g. fake-3,real-10 (default: fake, its controls, real)")
    parser.add_argument("--peers", action="store_true", help='others\' clients too: pip install -e ".[peers]"')
    parser.add_argument("--requests", type=int, default=100, metavar="N", help="requests of a trial (100)")
    parser.add_argument("--callers", type=int, metavar="N", help="callers at once (default: all requests at once)")
    parser.add_argument("--latency", type=float, metavar="S", help="seconds the lab takes for a request (0.15)")
    parser.add_argument(
        "--as-in-article", action="store_true", help=f"the article's latency, {commands.ARTICLE_LATENCY} s"
    )
    parser.add_argument("--repeat", type=int, default=1, metavar="K", help="trials of each arm, interleaved (1)")
    parser.add_argument("--table", default="contests", help="which table is read (contests)")
    parser.add_argument("--columns", default="*", help="which columns are read (*)")
    parser.add_argument("--rows", type=int, default=10, metavar="N", help="rows of a request (10)")
    parser.add_argument("--rtt", type=float, default=0.0, metavar="S", help="seconds of a round trip to the lab (0)")
    parser.add_argument("--tls", action="store_true", help="speak TLS with the lab")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write trials and summary")
    parser.add_argument("--figure", type=Path, default=Path("race.png"), metavar="FILE", help="the picture (race.png)")
    parser.add_argument("--url", help="race on a real project instead of the lab")
    parser.add_argument("--rest-path", default="/rest/v1", help='its prefix; "" for plain PostgREST (/rest/v1)')
    parser.add_argument("--key", help="its key (default: the environment's SUPABASE_KEY, which no process list shows)")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=commands.serve)
    parser.add_argument("--port", type=int, default=0, metavar="N", help="0 takes a free one (0)")
    parser.add_argument("--latency", type=float, default=0.0, metavar="S", help="seconds for each request (0)")
    parser.add_argument("--jitter", type=float, default=0.0, metavar="S", help="seconds around it, at random (0)")
    parser.add_argument("--rtt", type=float, default=0.0, metavar="S", help="seconds of a round trip (0)")
    parser.add_argument("--tls", action="store_true", help="https with a certificate of the lab's own authority")
    parser.add_argument("--error-rate", type=float, default=0.0, metavar="P", help="share of requests that fail (0)")
    parser.add_argument("--seed", type=Path, metavar="FILE", help=".sql script or .csv table to serve (contests)")


def _add_lab(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=commands.lab)


#: The commands in the order in which a learner meets them: what ``--help`` says of each, and its own words.
COMMANDS: Mapping[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "race": ("run the clients side by side: table, figure, JSON", _add_race),
    "explain": ("take the step from fake to real apart: what earned the speed-up", commands_explain.add_explain),
    "claims": ("put the article's claims on trial, on this machine", commands_claims.add_claims),
    "costs": ("measure what each client costs: memory, loop lag, cancellation, the knee", commands_costs.add_costs),
    "probe": ("find out what a client of yours really is", commands_probe.add_probe),
    "bench": ("run many clients over set cases: CPU, pace, goals", commands_bench.add_bench),
    "agent": ("serve contest-agent, a service that runs on any of the clients", commands_agent.add_agent),
    "load": ("send open or closed load to a service, and see its response times", commands_load.add_load),
    "capacity": ("find how much load a service bears by its client", commands_load.add_capacity),
    "faults": ("let a service on each client live through faults in production", commands_load.add_faults),
    "serve": ("serve a lab backend that speaks PostgREST's dialect", _add_serve),
    "record": ("measure all reference material anew, or compare", commands_record.add_record),
    "lab": ("open the course in JupyterLab; further arguments go to JupyterLab", _add_lab),
}
