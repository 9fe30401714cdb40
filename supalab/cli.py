"""The command line of supalab. Large libraries are imported only when a command needs them.

Bad input ends in one line on stderr and exit code 2; Ctrl-C during a race keeps the finished trials and ends with 130.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from supalab import __version__
from supalab.commands import agent, bench, claims, costs, course, explain, load, probe, race, record, serve
from supalab.errors import SupalabError

__all__ = ["main"]


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint and where to read more; exit code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file on Windows may lack our symbols: a ? is better than a crash
            stream.reconfigure(errors="replace")
    options, rest = _parser().parse_known_args(argv)
    if rest and options.run is not course.lab:
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
        # The reader of our output has ended (| head): this is no error, and nothing is left to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parser() -> Parser:
    parser = Parser(prog="supalab", description="Fake async against real async, measured by a server that counts.")
    parser.add_argument("--version", action="version", version=f"supalab {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (words, add) in COMMANDS.items():
        add(verbs.add_parser(name, help=words))
    return parser


#: The commands in the order in which a learner meets them: the text for ``--help``, and the function that adds options.
COMMANDS: Mapping[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "race": ("run the clients side by side: table, figure, JSON", race.add_race),
    "explain": ("take the step from fake to real apart: what earned the speed-up", explain.add_explain),
    "claims": ("put the article's claims on trial, on this machine", claims.add_claims),
    "costs": ("measure what each client costs: memory, loop lag, cancellation, the knee", costs.add_costs),
    "probe": ("find out what a client of yours really is", probe.add_probe),
    "bench": ("run many clients over set cases: CPU, pace, goals", bench.add_bench),
    "agent": ("serve contest-agent, a service that runs on any of the clients", agent.add_agent),
    "load": ("send open or closed load to a service, and see its response times", load.add_load),
    "capacity": ("find how much load a service bears by its client", load.add_capacity),
    "faults": ("let a service on each client live through faults in production", load.add_faults),
    "serve": ("serve a lab backend that speaks PostgREST's dialect", serve.add_serve),
    "record": ("measure all reference material anew, or compare", record.add_record),
    "lab": ("open the course in JupyterLab; further arguments go to JupyterLab", course.add_lab),
}
