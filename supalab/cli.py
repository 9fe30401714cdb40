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

from supalab.errors import SettingsError, SupalabError
from supalab.version import __version__

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError

    from supalab.experiments import Experiment
    from supalab.measure.record import Record

__all__ = ["COSTS", "EXPERIMENTS", "command", "made", "main", "measure"]

#: Every experiment's command: what it does and an example, in the order in which a learner meets them.
EXPERIMENTS: Mapping[str, tuple[str, str]] = {
    "race": ("Run the clients side by side.", "race --arms fake-3,fake-10,real-10 --repeat 3"),
    "explain": ("Take the step from fake to real async apart: what saves how much time.", "explain --quick"),
    "claims": ("Test the article's claims on this machine.", "claims --quick --figure claims.png"),
    "detective": ("Find the conditions under which all of the article's numbers are true at once.", "detective"),
    "memory": (
        "Measure the memory of a client with many requests in flight.",
        "costs memory --in-flight 10,100",
    ),
    "lag": ("Measure how late the event loop is with each client.", "costs lag --arms fake-10,real-10"),
    "cancel": ("Cancel all callers and see which requests keep running.", "costs cancel --repeat 1"),
    "throughput": ("Find the limit from which on more slots stop helping.", "costs throughput --kinds fake,real"),
    "bench": ("Compare the CPU time of many clients over set cases.", "bench --quick --clients real,httpx"),
    "load": ("Send requests to a service and measure its response times.", "load http://127.0.0.1:8000 --rate 5..40"),
    "capacity": ("Find how much load a service can take with each client.", "capacity --quick"),
    "faults": ("See how a service on each client lives through faults of its backend.", "faults --faults slow"),
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
    "callers": "callers that ask again as soon as they are answered, instead of all requests at once",
    "latency": "seconds that the server takes for a request; the article's: 0.45",
    "repeat": "trials of each, taking turns",
    "quick": "a first look: fewer and shorter trials",
    "table": "the table that is read",
    "columns": "the columns that are read",
    "rows": "rows of a response",
    "rtt": "seconds of a network round trip to the server",
    "tls": "speak TLS with the server",
    "jitter": "seconds by which the server's time varies at random",
    "error_rate": "share of requests that the server fails",
    "before": "threads before the change; for faults: seconds before the fault",
    "limit": "concurrency limit after the change",
    "links": "measure over TLS and distance too",
    "claims": "another table of claims (data/claims.csv)",
    "at_s": "seconds after which the callers are cancelled",
    "steps": "rates that are tried, separated by commas",
    "rates": "requests per second: 20, 5,10,15 or 5..40",
    "rate": "requests per second",
    "duration": "seconds of each rate",
    "fine": "how narrow the gap around the capacity must be, as a share",
    "most": "highest rate that is tried",
    "seed": "random seed of the arrival times",
    "timeout": "seconds after which a client gives up",
    "path": "what is asked for",
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
    from cyclopts import App

    from supalab.commands import OTHERS

    about = "Fake async against real async, measured by a server that counts."
    app = App(
        name="supalab",
        help=about,
        version=f"supalab {__version__}",
        help_format="plaintext",
        result_action="return_value",
    )
    about = "Measure what each client costs: memory, loop lag, cancellation, throughput."
    costs = App(name="costs", help=f"{about}\n\nExample: supalab costs --quick", sort_key=len(EXPERIMENTS))
    for place, (name, (about, example)) in enumerate(EXPERIMENTS.items()):
        called = _experiment(name) if name in words[:2] else _not_called
        within = costs if name in COSTS else app
        within.command(called, name=name, help=f"{about}\n\nExample: supalab {example}", sort_key=place)
    costs.default(_all_costs())
    app.command(costs)
    for place, (name, (other, about, example)) in enumerate(OTHERS.items(), start=len(EXPERIMENTS) + 1):
        app.command(other, name=name, help=f"{about}\n\nExample: supalab {example}", sort_key=place)
    return app


def _not_called() -> None:
    """Stand in the list of commands for an experiment that is not loaded."""


def _experiment(name: str) -> Callable[..., int]:
    from supalab.commands import SPECIAL
    from supalab.experiments import experiment

    return command(experiment(name), *SPECIAL.get(name, ()))


def _all_costs() -> Callable[..., int]:
    """The command that measures all of the costs, one after another."""

    def run(*, quick: bool | None = None, json: Path | None = None, figure: Path | None = None) -> int:
        from supalab.experiments import experiment

        codes = []
        for name in COSTS:
            one = experiment(name)
            files = [None if path is None else _with_addition(path, name) for path in (json, figure)]
            codes.append(measure(one, one.quick if quick else one.full, *files))
            if codes[-1] == 130:
                break
        return max(codes)

    run.__annotations__ = {
        "quick": _annotated(bool, OPTIONS["quick"]),
        "json": _annotated(Path, "write the records: FILE-memory.json and so on"),
        "figure": _annotated(Path, "draw the figures: FILE-memory.png and so on"),
    }
    return run


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
    code = 0
    reason: SupalabError | None = None
    try:
        with ProgressBar(about=about) as tell:
            found = one.run(progress=tell, **how, **asked)
    except Interrupted as interrupted:
        found, code = interrupted.found, 130
    except SupalabError as error:
        found, reason = error.partial, error
    if found is None:
        if reason is not None:
            raise reason
        say("supalab: stopped before the first trial was finished")
        return code
    problems = _reported(one, found, json, figures) + ([] if reason is None else [reason])
    for problem in problems:
        say(f"supalab: {problem}")
    return 2 if problems else code


def _reported(one: Experiment, found: Record, json: Path | None, figures: Mapping[str, Path]) -> list[SupalabError]:
    """Write the record, print the tables, draw; return what could not be written."""
    from supalab.output import say
    from supalab.report.table import show

    def write(save: Callable[[], Path]) -> None:
        try:
            say(f"written: {save()}")
        except SupalabError as error:
            problems.append(error)

    problems: list[SupalabError] = []
    # The record first: a table can end in a closed pipe, and minutes of measuring with it.
    if json is not None:
        write(lambda: found.save(json))
    show(one.table(found), at_most=WIDEST)
    sys.stdout.flush()
    for name, path in figures.items():
        from supalab.report.plot import save as draw

        write(lambda name=name, path=path: draw(found.figure(name), path))  # type: ignore[misc]
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


def command(
    one: Experiment,
    more: Mapping[str, tuple[Any, str]] = types.MappingProxyType({}),
    prepare: Callable[[dict[str, Any]], dict[str, Any] | int] = lambda asked: {},
) -> Callable[..., int]:
    """Make the command of an experiment from its plan's arguments.

    ``more``: options of its own, as type and help. ``prepare`` takes them out of what was asked, changes it where that
    is needed, and returns what ``measure`` takes besides, or an exit code if all is done.
    """
    kinds = _kinds(one)

    def run(*url: str, **given: Any) -> int:
        given |= dict(zip(("url",), url, strict=False))
        json, figure, quick = (given.pop(name, None) for name in ("json", "figure", "quick"))
        asked = dict(one.quick if quick else {})
        for name, value in given.items():
            kind, listed = kinds.get(name, (str, False))
            if value is not None:
                asked[name] = _items(name, value, kind) if listed and name not in more else value
        how = prepare(asked)
        return how if isinstance(how, int) else measure(one, asked, json, figure, **how)

    options = _options(one, kinds, more)
    parameter, free = inspect.Parameter, inspect.Parameter.POSITIONAL_OR_KEYWORD
    run.__annotations__ = options
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            parameter(name, free if name == "url" else parameter.KEYWORD_ONLY, default=None, annotation=options[name])
            for name in sorted(options, key=lambda name: name != "url")
        ]
    )
    return run


def _kinds(one: Experiment) -> dict[str, tuple[Any, bool]]:
    """The options of a plan: the type of each one's values, and whether it takes several."""
    hints = typing.get_type_hints(one.plan)
    return {name: _kind(hints[name]) for name in inspect.signature(one.plan).parameters if name in OPTIONS}


def _options(
    one: Experiment, kinds: Mapping[str, tuple[Any, bool]], more: Mapping[str, tuple[Any, str]]
) -> dict[str, Any]:
    """All options of an experiment's command, each with its help."""
    options = {name: _annotated(kind, text) for name, (kind, text) in more.items()}
    for name, (kind, listed) in kinds.items():
        if name not in {*options, "quick"} and not (name == "rates" and "rate" in more):
            usual = inspect.signature(one.plan).parameters[name].default
            options[name] = _annotated(str if listed else kind, _explained(name, usual), usual)
    if one.quick:
        options["quick"] = _annotated(bool, OPTIONS["quick"])
    options["json"] = _annotated(Path, "write the record to this file")
    options["figure"] = _annotated(Path, "draw the figure to this file: .png, .svg or .pdf")
    return options


def _kind(hint: Any) -> tuple[Any, bool]:
    """The type of an argument's values, and whether it takes several."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    listed = typing.get_origin(hint) is not None
    return (typing.get_args(hint)[0] if listed else hint), listed


def _annotated(kind: Any, text: str, default: Any = None) -> Any:
    from cyclopts import Parameter

    # No --no-tls, which is off unless it is asked for.
    negative = None if default is True else ()
    return Annotated[kind | None, Parameter(help=text, show_default=False, negative_bool=negative)]


def _explained(name: str, default: Any) -> str:
    """The help of an option, with its default."""
    usual = ",".join(map(str, default)) if isinstance(default, (list, tuple)) else default
    return OPTIONS[name] if usual is None or isinstance(usual, bool) else f"{OPTIONS[name]} ({usual})"


def _items(name: str, text: str, kind: Any) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.split(",")]
    try:
        return tuple(kind(part) for part in parts)
    except ValueError:
        option = name.replace("_", "-")
        raise SettingsError(f"--{option} {text!r} is not a list of numbers: write e.g. 3,10") from None
