"""The commands ``supalab load``, ``capacity`` and ``faults``: services under load."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supalab.commands.output import ProgressBar, check_results, draw, keep, say
from supalab.errors import SettingsError
from supalab.report.format import estimate

if TYPE_CHECKING:
    from supalab.experiments import Experiment
    from supalab.measure.record import Record

__all__ = ["add_capacity", "add_faults", "add_load"]

PATH, RATES = "/contests?size=10", "5..40"
ARMS = "fake-3,fake-10,article-10,real-10 or others (these four)"


def add_load(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=_load)
    parser.add_argument("url", nargs="?", help="the service (default: our own agent over a lab, see --client)")
    parser.add_argument("--rate", metavar="R", help="requests per second: 20, 5,10,15 or 5..40 (5..40)")
    parser.add_argument("--step", type=float, metavar="R", help="what a range goes up by (default: it doubles)")
    parser.add_argument("--callers", type=int, metavar="N", help="a closed loop of so many callers, no open loop")
    parser.add_argument("--duration", type=float, default=10.0, metavar="S", help="seconds of each rate (10)")
    parser.add_argument("--path", default=PATH, help=f"what is asked for ({PATH})")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="seconds of a caller's timeout (10)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="random seed for arrival times (1)")
    parser.add_argument("--client", metavar="ARM", help="without url: the agent's client, e.g. fake (real)")
    _outputs(parser, "write every request", "draw response time against rate")


def _outputs(parser: argparse.ArgumentParser, record: str, figure: str) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help=record)
    parser.add_argument("--figure", type=Path, metavar="FILE", help=figure)


def _load(options: argparse.Namespace) -> int:
    from supalab.experiments.load import EXPERIMENT, load, rates

    if options.url is not None and options.client is not None:
        raise SettingsError("--client is for our own agent: leave it out, or the url")
    if options.url is not None and ("?" in options.url or "#" in options.url):
        # Not named: a query may hold a key.
        raise SettingsError("the url holds a query: give the service's address alone, and the query with --path")
    if options.callers is not None and (options.rate is not None or options.step is not None):
        raise SettingsError("--callers and --rate: a closed loop asks when it is answered, give one of the two")
    asked = {name: getattr(options, name) for name in ("callers", "duration", "path", "timeout", "seed")}
    asked |= {"rates": rates(options.rate or RATES, options.step)}
    asked |= {"client": options.client} if options.client else {}
    return _measured(EXPERIMENT, options, "loads", "", asked, lambda **how: load(url=options.url, **how))


def add_capacity(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=_capacity)
    parser.add_argument("--clients", metavar="A,B,…", help=ARMS)
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="random seed for arrival times (1)")
    parser.add_argument("--quick", action="store_true", help="a look in under three minutes: short steps, coarse end")
    _outputs(parser, "write what was found", "draw response time against arrival rate")


def _capacity(options: argparse.Namespace) -> int:
    from supalab.experiments.capacity import ARMS, EXPERIMENT, capacity

    clients = _listed(options.clients, ARMS)
    how = {"arms": clients, "seed": options.seed, **(EXPERIMENT.quick if options.quick else {})}
    return _measured(EXPERIMENT, options, "steps", f"{', '.join(clients)}: ", how, capacity)


def add_faults(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=_faults)
    parser.add_argument("--clients", metavar="A,B,…", help=ARMS)
    parser.add_argument("--faults", metavar="A,B,…", help="slow, down, left (all three)")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds the services' clients wait (1)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="random seed for arrival times (1)")
    parser.add_argument("--quick", action="store_true", help="faults of 3 s instead of 10")
    _outputs(parser, "write every request", "draw response time over time")


def _faults(options: argparse.Namespace) -> int:
    from supalab.experiments.capacity import ARMS
    from supalab.experiments.faults import EXPERIMENT, FAULTS, TIMEOUT_S, faults

    clients, kinds = _listed(options.clients, ARMS), _listed(options.faults, tuple(FAULTS))
    timeout = TIMEOUT_S if options.timeout is None else options.timeout
    how = {"arms": clients, "faults": kinds, "timeout": timeout, "seed": options.seed}
    how |= EXPERIMENT.quick if options.quick else {}
    return _measured(EXPERIMENT, options, "faults", f"{', '.join(clients)}, each {', '.join(kinds)}: ", how, faults)


def _listed(given: str | None, usual: tuple[str, ...]) -> tuple[str, ...]:
    return usual if given is None else tuple(name.strip() for name in given.split(","))


def _measured(
    experiment: Experiment,
    options: argparse.Namespace,
    unit: str,
    who: str,
    asked: Mapping[str, Any],
    run: Callable[..., Record],
) -> int:
    """Run the experiment, print its tables, write record and figure; 130 after Ctrl-C, with what was finished."""
    from supalab.measure.record import FORM, Record
    from supalab.measure.run import Interrupted
    from supalab.report.table import show

    check_results(options.json, options.figure)
    about, code = f"{who}{estimate(experiment.expected_s(**asked))} on a quiet machine", 0
    try:
        with ProgressBar(unit, about) as tell:
            found = run(progress=tell, **asked)
    except Interrupted as interrupted:
        if not isinstance(interrupted.found, Record):
            say(f"stopped before the first of the {unit} was finished")
            return 130
        found, code = interrupted.found, 130
    keep(found, FORM, options.json)
    show(experiment.table(found))
    if options.figure is not None:
        draw(next(iter(experiment.figures.values()))(found), options.figure)
    return code
