"""The command line. Bad input ends in one line on stderr and exit code 2; Ctrl-C keeps finished trials, exit code 130.

Large libraries are imported only when a command needs them.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from errno import ENOSPC, EPIPE
from typing import TYPE_CHECKING, Any

from supalab import __version__
from supalab.errors import SupalabError

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError

#: Every experiment's command: what it does and an example, in the order in which a learner meets them.
EXPERIMENTS: Mapping[str, tuple[str, str]] = {
    "race": ("Run the clients side by side.", "race --arms fake-3,fake-10,real-10 --repeat 3"),
    "explain": ("Measure how much time each change from fake to real async saves.", "explain --quick"),
    "claims": ("Test the article's claims on this machine.", "claims --quick --figure claims.png"),
    "detective": ("Find the conditions under which all of the article's numbers are true at once.", "detective"),
    "memory": ("Measure the memory of a client with many requests in flight.", "costs memory --in-flight 10,100"),
    "lag": ("Measure how late the event loop is with each client.", "costs lag --arms fake-10,real-10"),
    "cancel": ("Cancel all callers and see which requests keep running.", "costs cancel --repeat 1"),
    "throughput": ("Find the limit above which more slots do not help.", "costs throughput --kinds fake,real"),
    "bench": ("Compare the CPU time of many clients in fixed cases.", "bench --quick --clients real,httpx"),
    "load": ("Send requests to a service and measure its response times.", "load http://127.0.0.1:8000 --rate 5..40"),
    "capacity": ("Find how much load a service can take with each client.", "capacity --quick"),
    "faults": ("Measure how a service on each client recovers from faults of its backend.", "faults --faults slow"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file on Windows may lack our symbols: a ? is better than a crash
            stream.reconfigure(errors="replace")
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        from cyclopts import CycloptsError

        try:
            code = int(made(words)(words, exit_on_error=False, print_error=False) or 0)
            sys.stdout.flush()
            return code
        except SupalabError as error:
            sys.stderr.write(f"supalab: {error}\n")
        except CycloptsError as error:
            sys.stderr.write(f"supalab: {_complaint(error, words)}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("supalab: stopped\n")
        return 130
    except OSError as error:
        if error.errno not in {EPIPE, ENOSPC}:
            raise
        # Nothing more can be printed, not even what waits to be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == EPIPE:  # the reader of our output has ended (| head), which is no error
            return 141
        sys.stderr.write(f"supalab: cannot print ({error.strerror}): free some space, or print to another file\n")
        return 2


def _complaint(error: CycloptsError, words: Sequence[str]) -> str:
    """Return in one line what is wrong with the arguments and which help text to read."""
    from cyclopts.exceptions import UnknownCommandError, UnusedCliTokensError

    said = " ".join(str(error).split()).removesuffix(".")
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        said = f"{error.unused_tokens[0]!r} was not expected here"
    depth = 2 if words[0] == "costs" and words[1:] and words[1] in EXPERIMENTS else 1
    command = [] if isinstance(error, UnknownCommandError) else words[:depth]
    return f"{said} (see {' '.join(['supalab', *command, '--help'])})"


def made(words: Sequence[str]) -> App:
    """Return the app for these words; of the experiments, only the one that is called is loaded."""
    from cyclopts import App, Parameter

    from supalab.commands import COSTS, OTHERS, all_costs

    # No --no-tls: an option that is off by default can only be switched on.
    usual = Parameter(show_default=_default, negative=())
    how: dict[str, Any] = {"help_format": "plaintext", "result_action": "return_value", "default_parameter": usual}
    about = "Compare fake async with real async, measured by a server that counts requests."
    app = App(name="supalab", help=about, version=f"supalab {__version__}", **how)
    costs = App(name="costs", sort_key=len(EXPERIMENTS))
    for place, (name, (about, example)) in enumerate(EXPERIMENTS.items()):
        called = _experiment(name) if name in words[:2] else _not_called
        within = costs if name in COSTS else app
        within.command(called, name=name, help=f"{about}\n\nExample: supalab {example}", sort_key=place)
    costs.default(all_costs)
    app.command(costs)
    for place, other in enumerate(OTHERS, start=len(EXPERIMENTS) + 1):
        app.command(other, sort_key=place)
    return app


def _default(value: Any) -> str | None:
    """Return what a help text shows as a default."""
    if value is None or isinstance(value, bool):
        return None
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _not_called() -> None:
    """Stand for an experiment that is not loaded, so that it appears in the list of commands."""


def _experiment(name: str) -> Callable[..., int]:
    from supalab.experiment_command import command

    return command(name)
