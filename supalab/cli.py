"""The command line: each experiment's plan becomes a command with the plan's arguments.

Bad input ends in one line on stderr and exit code 2; Ctrl-C keeps the finished trials and ends with 130. Large
libraries are imported only when a command needs them.
"""

from __future__ import annotations

import inspect
import io
import os
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from supalab.errors import SettingsError, SupalabError, TrialError
from supalab.version import __version__

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError, Token

    from supalab.experiments import Experiment
    from supalab.measure.record import Record

__all__ = ["COSTS", "EXPERIMENTS", "command", "made", "main", "measure"]

#: Every experiment's command: what it does and an example, in the order in which a learner meets them.
EXPERIMENTS: Mapping[str, tuple[str, str]] = {
    "race": ("Run the clients side by side.", "race --arms fake-3,fake-10,real-10 --repeat 3"),
    "explain": ("Measure how much time each change from fake to real async saves.", "explain --quick"),
    "claims": ("Test the article's claims on this machine.", "claims --quick --figure claims.png"),
    "detective": ("Find the conditions under which all of the article's numbers are true at once.", "detective"),
    "memory": ("Measure the memory of a client with many requests in flight.", "costs memory --in-flight 10,100"),
    "lag": ("Measure how late the event loop is with each client.", "costs lag --arms fake-10,real-10"),
    "cancel": ("Cancel all callers and see which requests keep running.", "costs cancel --repeat 1"),
    "throughput": ("Find the limit from which on more slots stop helping.", "costs throughput --kinds fake,real"),
    "bench": ("Compare the CPU time of many clients in fixed cases.", "bench --quick --clients real,httpx"),
    "load": ("Send requests to a service and measure its response times.", "load http://127.0.0.1:8000 --rate 5..40"),
    "capacity": ("Find how much load a service can take with each client.", "capacity --quick"),
    "faults": ("Measure how a service on each client recovers from faults of its backend.", "faults --faults slow"),
}
#: Those that are commands of ``supalab costs``.
COSTS = ("memory", "lag", "cancel", "throughput")
#: Every option of every experiment, by the name of the plan's argument.
OPTIONS: Mapping[str, str] = {
    "arms": "clients with their limits, separated by commas",
    "kinds": "kinds of client, separated by commas",
    "clients": "kinds of client, separated by commas",
    "client": "the client of our own service",
    "limits": "limits, separated by commas",
    "in_flight": "numbers of requests in flight, separated by commas",
    "requests": "requests of a trial",
    "callers": "callers; in a race or a load, each sends its next request after a response (closed loop)",
    "latency": "seconds that the server takes for a request; the article's: 0.45",
    "repeat": "trials of each, taking turns",
    "quick": "a first look: fewer and shorter trials",
    "table": "the table that is read",
    "columns": "the columns that are read",
    "rows": "rows of a response",
    "rtt": "seconds of a network round trip to the server",
    "tls": "use TLS",
    "jitter": "seconds by which the server's time varies at random",
    "error_rate": "share of requests that the server fails",
    "before": "threads before the change; for faults: seconds before the fault",
    "limit": "concurrency limit after the change",
    "links": "measure over TLS and distance too",
    "claims": "another table of claims (data/claims.csv)",
    "at_s": "seconds after which the callers are cancelled",
    "steps": "rates that are tried, separated by commas",
    "rate": "requests per second",
    "duration": "seconds of each rate",
    "fine": "precision of the capacity, as a share",
    "most": "highest rate that is tried",
    "seed": "random seed of the arrival times",
    "timeout": "seconds after which a client gives up",
    "path": "the path that is requested",
    "faults": "faults, separated by commas",
    "fault": "seconds of the fault",
    "after": "seconds after the fault",
    "flood": "requests per second that come in addition and disconnect",
    "flood_timeout": "seconds after which those disconnect",
}
#: In a wider terminal the numbers would stand too far from their names.
WIDEST = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file on Windows may lack our symbols: a ? is better than a crash
            stream.reconfigure(errors="replace")
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        from cyclopts import CycloptsError

        try:
            return int(made(words)(words, exit_on_error=False, print_error=False) or 0)
        except SupalabError as error:
            sys.stderr.write(f"supalab: {error}\n")
        except CycloptsError as error:
            sys.stderr.write(f"supalab: {_complaint(error, words)}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("supalab: stopped\n")
        return 130
    except BrokenPipeError:
        # The reader of our output has ended (| head): this is no error, and nothing is left to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _complaint(error: CycloptsError, words: Sequence[str]) -> str:
    """Return in one line what is wrong with the arguments, and where to read more."""
    from cyclopts.exceptions import UnknownCommandError, UnusedCliTokensError

    said = " ".join(str(error).split()).removesuffix(".")
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        said = f"{error.unused_tokens[0]!r} is not understood here"
    command = [] if isinstance(error, UnknownCommandError) else words[:1]
    return f"{said} (see {' '.join(['supalab', *command, '--help'])})"


def made(words: Sequence[str]) -> App:
    """Return the command line for these words; of the experiments only the one that is called is loaded."""
    from cyclopts import App, Parameter

    from supalab.commands import OTHERS

    # The defaults stand in the help texts. No --no-tls, which is off unless it is asked for.
    usual = Parameter(show_default=False, negative=())
    about = "Fake async against real async, measured by a server that counts."
    how: dict[str, Any] = {"help_format": "plaintext", "result_action": "return_value", "default_parameter": usual}
    app = App(name="supalab", help=about, version=f"supalab {__version__}", **how)
    about = "Measure what each client costs: memory, loop lag, cancellation, throughput."
    costs = App(name="costs", help=f"{about}\n\nExample: supalab costs --quick", sort_key=len(EXPERIMENTS))
    for place, (name, (about, example)) in enumerate(EXPERIMENTS.items()):
        called = _experiment(name) if name in words[:2] else _not_called
        within = costs if name in COSTS else app
        within.command(called, name=name, help=f"{about}\n\nExample: supalab {example}", sort_key=place)
    costs.default(_all_costs)
    app.command(costs)
    for place, other in enumerate(OTHERS, start=len(EXPERIMENTS) + 1):
        app.command(other, sort_key=place)
    return app


def _not_called() -> None:
    """Stand in the list of commands for an experiment that is not loaded."""


def _experiment(name: str) -> Callable[..., int]:
    from supalab.commands import SPECIAL
    from supalab.experiments import experiment

    return command(experiment(name), SPECIAL.get(name))


def _all_costs(*, quick: bool = False, json: Path | None = None, figure: Path | None = None) -> int:
    """Measure all of the costs, one after another.

    Args:
        quick: a first look: fewer and shorter trials
        json: write the records: FILE-memory.json and so on
        figure: draw the figures: FILE-memory.png and so on
    """
    from supalab.experiments import experiment

    codes = []
    for one in map(experiment, COSTS):
        files = [None if path is None else _with_addition(path, one.name) for path in (json, figure)]
        codes.append(measure(one, one.quick if quick else one.full, *files))
        if codes[-1] == 130:
            break
    return max(codes)


def measure(one: Experiment, asked: Mapping[str, Any], json: Path | None, figure: Path | None, **how: Any) -> int:
    """Run an experiment, print its tables, write record and figures: the body of every experiment's command.

    ``asked``: the plan's arguments; ``how``: what ``Experiment.run`` takes besides. Whatever happens to the files, the
    tables are printed.
    """
    from supalab.measure.run import Interrupted
    from supalab.output import ProgressBar, check_outputs, say
    from supalab.report.format import estimate

    figures = _figure_paths(one, figure)
    check_outputs(json, *figures.values())
    about = f"{one.name}: {estimate(one.expected_s(**asked))} on a quiet machine; Ctrl-C keeps what is finished"
    found: Any = None
    code, problems = 0, list[SupalabError]()
    try:
        with ProgressBar(about=about) as tell:
            found = one.run(progress=tell, **how, **asked)
    except Interrupted as interrupted:
        found, code = interrupted.found, 130
        if found is None:
            say("supalab: stopped before the first trial was finished")
    except SupalabError as error:
        found = error.partial
        if found is None:
            raise
        problems.append(error)
    if found is not None:
        problems = [*_reported(one, found, json, figures), *problems]
    for problem in problems:
        say(f"supalab: {problem}")
    return 2 if problems else code


def _reported(one: Experiment, found: Record, json: Path | None, figures: Mapping[str, Path]) -> list[SupalabError]:
    """Write the record, print the tables, draw; return what could not be written.

    A figure for which too little was measured is no problem: its reason is printed.
    """
    from supalab.output import say
    from supalab.report.plot import save as draw
    from supalab.report.table import show

    problems: list[SupalabError] = []

    def write(save: Callable[[], Path], path: Path) -> None:
        try:
            say(f"written: {save()}")
        except TrialError as error:
            say(f"not drawn: {path}: {error}")
        except SupalabError as error:
            problems.append(error)

    # The record first: a table can end in a closed pipe, and minutes of measuring with it.
    if json is not None:
        write(lambda: found.save(json), json)
    show(one.table(found), at_most=WIDEST)
    sys.stdout.flush()
    for name, path in figures.items():
        write(lambda name=name, path=path: draw(found.figure(name), path), path)  # type: ignore[misc]
    return problems


def _with_addition(path: Path, addition: str) -> Path:
    """Return a path with an addition to its name; raises SettingsError for a path without a name, such as ``.``."""
    if not path.name:
        raise SettingsError(f"cannot write {str(path)!r}: give the name of a file")
    return path.with_stem(f"{path.stem}-{addition}")


def _figure_paths(one: Experiment, figure: Path | None) -> dict[str, Path]:
    """The first figure has the name that was given, another one its own addition: FILE-timeline.png."""
    if figure is None or not one.figures:
        return {}
    first, *others = one.figures
    more = {name: _with_addition(figure, name.removeprefix(f"{first}-")) for name in others}
    return {first: figure, **more}


def command(one: Experiment, prepare: Callable[..., dict[str, Any] | int] | None = None) -> Callable[..., int]:
    """Make the command of an experiment from its plan's arguments.

    ``prepare`` has options of its own, whose types are annotated with their help. It is called with what was asked for
    the plan, which it may change, and returns what ``measure`` takes besides, or an exit code if all is done.
    """
    own = {} if prepare is None else typing.get_type_hints(prepare, include_extras=True)
    options = {name: _option(*typing.get_args(hint)) for name, hint in own.items() if name not in {"asked", "return"}}
    special = set(options)
    hints = typing.get_type_hints(one.plan)
    for name, parameter in inspect.signature(one.plan).parameters.items():
        if name in OPTIONS and name not in special | {"quick"}:
            options[name] = _option(hints[name], OPTIONS[name], parameter.default)
    if one.quick:
        options["quick"] = _option(bool, OPTIONS["quick"])
    options["json"] = _option(Path, "write the record to this file")
    options["figure"] = _option(Path, "draw the figure to this file: .png, .svg or .pdf")

    def run(*url: str, **given: Any) -> int:
        asked = {name: value for name, value in given.items() if value is not None}
        asked |= {"url": url[0]} if url else {}
        json, figure, quick = (asked.pop(name, None) for name in ("json", "figure", "quick"))
        chosen = {name: asked.pop(name) for name in special & set(asked)}
        asked = {**(one.quick if quick else {}), **asked}
        how = {} if prepare is None else prepare(asked, **chosen)
        return how if isinstance(how, int) else measure(one, asked, json, figure, **how)

    run.__annotations__, kinds = options, inspect.Parameter
    places = {"url": kinds.POSITIONAL_OR_KEYWORD}
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [kinds(name, places.get(name, kinds.KEYWORD_ONLY), default=None, annotation=options[name]) for name in options]
    )
    return run


def _option(hint: Any, text: str, default: Any = None) -> Any:
    """Return the annotation of an option: its type, and its help with the default."""
    from cyclopts import Parameter

    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = next(part for part in parts if part is not types.NoneType)
    how: dict[str, Any] = {"negative": None} if default is True else {}
    if typing.get_origin(kind) is Sequence:
        (item,) = typing.get_args(kind)
        kind = tuple[item, ...]  # type: ignore[valid-type]
        how = {"converter": _items, "n_tokens": 1, "metavar": f"{item.__name__.upper()},..."}
    if default is not None and not isinstance(default, bool):
        text += f" ({','.join(map(str, default)) if isinstance(default, (list, tuple)) else default})"
    return Annotated[kind | None, Parameter(help=text, **how)]


def _items(kind: Any, tokens: Sequence[Token]) -> tuple[Any, ...]:
    text = ",".join(token.value for token in tokens)
    try:
        return tuple(typing.get_args(kind)[0](part.strip()) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"{text!r} is not a list of numbers: write e.g. 3,10") from None
