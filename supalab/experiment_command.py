"""The command of an experiment: its options are the arguments of the plan, whose docstring is their help."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token

from supalab import output
from supalab.errors import SettingsError, SupalabError
from supalab.experiments import Experiment, experiment
from supalab.measure.record import Record
from supalab.measure.run import Interrupted
from supalab.report.format import estimate
from supalab.report.table import show
from supalab.settings import Settings

#: In a wider table, the numbers would be too far from their names.
WIDEST = 130
#: Arguments of plans that are made from ``--rate`` and the url.
INNER = {"rates", "service"}
LAB_ONLY = ("latency", "rtt", "tls", "jitter", "error_rate")


def command(name: str) -> Callable[..., int]:
    """Make the command of an experiment, with its own options first."""
    one = experiment(name)
    prepare: Callable[..., dict[str, Any] | int] = SPECIAL.get(name, _nothing)
    special = _parameters(prepare, "asked")
    usual = _parameters(_usual, *([] if one.quick else ["quick"]))
    planned = _parameters(one.plan, *INNER, *special, "quick")
    options = special | {name: _option(given) for name, given in planned.items()} | usual

    def run(*url: str, **given: Any) -> int:
        given |= {"url": url[0]} if url else {}
        chosen = {name: given.pop(name) for name in special if name in given}
        asked = {**(one.quick if given.pop("quick", False) else {}), **given}
        how = prepare(asked, **chosen)
        json, figure = (asked.pop(name, None) for name in ("json", "figure"))
        return how if isinstance(how, int) else measure(one, asked, json, figure, **how)

    run.__doc__ = one.plan.__doc__
    run.__annotations__ = {name: given.annotation for name, given in options.items()}
    run.__signature__ = inspect.Signature(list(options.values()))  # type: ignore[attr-defined]
    return run


def _parameters(function: Callable[..., Any], *but: str) -> dict[str, inspect.Parameter]:
    found = inspect.signature(function, eval_str=True).parameters
    return {name: given for name, given in found.items() if name not in but}


def _option(given: inspect.Parameter) -> inspect.Parameter:
    """Return a plan's argument as an option: a sequence is written with commas; what is on can be switched off."""
    kind, how = given.annotation, dict[str, Any]()
    if given.default is True:
        how = {"negative": f"--no-{given.name}"}
    for part in (kind, *typing.get_args(kind)):
        if part in {int, float}:
            how = {"converter": partial(_number, part)}
        if typing.get_origin(part) is Sequence:
            (item,) = typing.get_args(part)
            how = {"converter": partial(_items, item), "n_tokens": 1, "metavar": f"{item.__name__.upper()},..."}
            break
    return given.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, Parameter(**how)])


def _number(number: Callable[[str], Any], kind: Any, tokens: Sequence[Token]) -> Any:
    """Read a number as Python does: cyclopts would round 2.5 where a whole number is asked for."""
    text = tokens[0].value
    try:
        return number(text)
    except ValueError:
        what = "a whole number: write e.g. 10" if number is int else "a number: write e.g. 0.15"
        raise SettingsError(f"{text!r} is not {what}") from None


def _items(item: Callable[[str], Any], kind: Any, tokens: Sequence[Token]) -> tuple[Any, ...]:
    text = ",".join(token.value for token in tokens)
    try:
        return tuple(item(part.strip()) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"{text!r} is not a list of numbers: write e.g. 3,10") from None


def measure(one: Experiment, asked: Mapping[str, Any], json: Path | None, figure: Path | None, **how: Any) -> int:
    """Run an experiment, print its tables, write record and figures; return the exit code.

    ``asked``: the plan's arguments; ``how``: other arguments of ``Experiment.run``. The tables are printed even if a
    file cannot be written.
    """
    # Each figure after the first one has an addition to its name: FILE-timeline.png.
    first = next(iter(one.figures), "")
    paths = {name: figure and output.with_addition(figure, name.removeprefix(first)) for name in one.figures}
    figures = {name: path for name, path in paths.items() if path}
    output.check_outputs(json, *figures.values())
    about = f"{one.name}: {estimate(one.expected_s(**asked))} on a quiet machine; Ctrl-C keeps what is finished"
    found: Any = None
    code, why = 0, ""
    try:
        with output.progress_bar(about=about) as tell:
            found = one.run(progress=tell, **how, **asked)
    except Interrupted as stopped:
        found, code = stopped.found, 130
        why = "stopped before the first trial was finished" if found is None else ""
    except SupalabError as error:
        found, code, why = error.partial, 2, str(error)
    if found is not None and not _reported(one, found, json, figures):
        code = 2
    if why:
        output.say(f"supalab: {why}")
    return code


def _reported(one: Experiment, found: Record, json: Path | None, figures: Mapping[str, Path]) -> bool:
    """Write the record, print the tables, draw; return whether all could be written."""
    # The record first: printing the table may fail at a closed pipe, and minutes of measuring would be lost.
    written = [output.written(found.save, json)] if json is not None else []
    show(one.table(found), at_most=WIDEST)
    sys.stdout.flush()
    return all([*written, *(output.written(partial(_draw, found, name), path) for name, path in figures.items())])


def _draw(found: Record, name: str, path: Path) -> Path:
    from supalab.report.plot import save

    return save(found.figure(name), path)


def _usual(*, quick: output.Quick = False, json: output.RecordFile = None, figure: output.FigureFile = None) -> None:
    """Add the options that every experiment has."""


def _nothing(asked: dict[str, Any]) -> dict[str, Any]:
    """Add no options: most experiments have only those of their plan."""
    return {}


def _race(
    asked: dict[str, Any],
    url: Annotated[str | None, Parameter(help="race on a real project instead of the lab")] = None,
    *,
    key: output.Key = None,
    rest_path: output.RestPath = "/rest/v1",
    peers: Annotated[bool, Parameter(help='third-party clients too: pip install -e ".[peers]"')] = False,
) -> dict[str, Any]:
    """Add the options for a real project instead of the lab, and for third-party clients."""
    if peers:
        from supalab.clients.arms import DEFAULT_ARMS, PEER_ARMS

        asked["arms"] = tuple(dict.fromkeys([*asked.get("arms", DEFAULT_ARMS), *PEER_ARMS]))
    key = output.key_for(url, key)
    if url is None:
        if rest_path != "/rest/v1":
            raise SettingsError("--rest-path goes with --url: give the project's address too, or neither for the lab")
        return {}
    ours = ", ".join(f"--{name.replace('_', '-')}" for name in LAB_ONLY if name in asked)
    if ours:
        raise SettingsError(f"{ours}: only a lab's conditions can be chosen, not those of --url: leave one of them out")
    asked["latency"] = None
    return {"settings": Settings(url, key, rest_path=rest_path)}


def _load(
    asked: dict[str, Any],
    url: Annotated[str | None, Parameter(help="the service (default: our own over a lab, see --client)")] = None,
    *,
    rate: Annotated[str | None, Parameter(help="requests per second: 20, 5,10,15 or 5..40 (5..40)")] = None,
    step: Annotated[float | None, Parameter(help="by how much a range goes up (default: it doubles)")] = None,
) -> dict[str, Any]:
    """Add the options for any service instead of our own, and for rates."""
    from supalab.experiments.load import RATES, elsewhere, rates
    from supalab.measure.service import PATH

    if "callers" in asked and (rate is not None or step is not None):
        raise SettingsError("--callers and --rate: a closed loop sends after each response, give one of the two")
    asked["rates"] = RATES if rate is None and step is None else rates(rate or "5..40", step)
    if url is None:
        return {}
    if "client" in asked:
        raise SettingsError("--client is for our own service: leave it out, or the url")
    if "?" in url or "#" in url:  # The query is not shown, because it may contain a key.
        raise SettingsError("the url holds a query: give the service's address alone, and the query with --path")
    settings, where = elsewhere(url, asked.get("path", PATH))
    asked |= where
    return {"settings": settings}


def _claims(
    asked: dict[str, Any],
    *,
    table: Annotated[
        list[str] | None,
        Parameter(
            help="check a table's numbers by Little's law and measure nothing, e.g. "
            "limit=3,response=450ms,rate=6.7,n=100,total=15; twice for before and after"
        ),
    ] = None,
) -> dict[str, Any] | int:
    """Add the option for a table that is checked with Little's law, without a measurement."""
    if table is None:
        return {}
    from supalab.measure.littles_law import blog_table, row_of

    if asked:
        raise SettingsError(f"--{', --'.join(asked)}: --table measures nothing: leave one of them out")
    if len(table) > 2:
        raise SettingsError(f"--table was given {len(table)} times: once, or twice for before and after")
    sys.stdout.write(str(blog_table(*map(row_of, table))))
    return 0


#: Experiments with their own options. The function changes the plan's arguments, and returns other arguments of
#: ``measure``, or an exit code if all is done.
SPECIAL: Mapping[str, Callable[..., dict[str, Any] | int]] = {"race": _race, "load": _load, "claims": _claims}
