"""What ``supalab load``, ``capacity`` and ``faults`` do: options flow in; tables, records, pictures flow out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from supalab.commands import ProgressBar, check_outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from supalab.capacity.faults_result import Faults
    from supalab.capacity.result import Capacity
    from supalab.load.plan import Plan
    from supalab.load.run import LoadRecord

__all__ = ["add_capacity", "add_faults", "add_load", "capacity", "faults", "load"]

PATH = "/contests?size=10"
LATENCY_S = 0.15


def add_load(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=load)
    parser.add_argument("url", nargs="?", help="the service (default: our own agent over a lab, see --client)")
    parser.add_argument("--rate", default="5..40", metavar="R", help="requests a second: 20, 5,10,15 or 5..40 (5..40)")
    parser.add_argument("--step", type=float, metavar="R", help="what a range goes up by (default: it doubles)")
    parser.add_argument("--callers", type=int, metavar="N", help="so many closed callers instead of open arrivals")
    parser.add_argument("--duration", type=float, default=10.0, metavar="S", help="seconds of each rate (10)")
    parser.add_argument("--path", default=PATH, help=f"what is asked for ({PATH})")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="seconds of a caller's patience (10)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chance in the arrivals (1)")
    parser.add_argument(
        "--client", default="real", help="without url: the agent's client: fake, article, real-10 (real)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every request")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw response time against rate")


def load(options: argparse.Namespace) -> int:
    """Put the loads on a service, one rate after another; print the table, write record and picture."""
    from supalab.load.run import LoadRecord, expected_s, loads, made_on
    from supalab.load.shots import Load
    from supalab.measure.race import Progress

    _check_figure(options.figure)
    check_outputs(options.json, options.figure)
    planned = _plans(options, "http://127.0.0.1:1")  # checked before anything is started
    say(f"{len(planned)} loads, about {expected_s(planned):.0f} s")
    done: list[Load] = []
    code, when = 0, datetime.now(UTC).isoformat(timespec="seconds")
    try:
        with _service(options) as (url, about), ProgressBar("loads") as tell:
            plans = _plans(options, url)
            loads(plans, keep=done, progress=lambda share, n: tell(Progress(share, _name(plans, n), n, len(plans))))
    except KeyboardInterrupt:
        code = 130
    if code and not done:
        say("stopped before the first load was over")
        return code
    _report_loads(LoadRecord(when=when, about=about, finished=not code, loads=tuple(done), **made_on()), options)
    return code


def _plans(options: argparse.Namespace, url: str) -> list[Plan]:
    from supalab.load.plan import Plan, target
    from supalab.load.schedule import rates

    where = target(options.url or url, options.path)
    common = {"seed": options.seed, "timeout": options.timeout}
    if options.callers is not None:
        return [Plan(where, options.duration, callers=options.callers, **common)]
    return [Plan(where, options.duration, rate=rate, **common) for rate in rates(options.rate, options.step)]


def _name(plans: Sequence[Plan], number: int) -> str:
    plan = plans[min(number, len(plans) - 1)]
    return f"{plan.rate:g}/s" if plan.rate is not None else f"{plan.callers} callers"


@contextmanager
def _service(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The service's address and what it is; without one given, our own agent over a lab."""
    if options.url is not None:
        # Without the query, here and in the record: some services take a key there.
        yield options.url, f"GET {options.path.partition('?')[0]} of {options.url}"
        return
    from supalab.contest_agent.handle import Agent
    from supalab.lab.handle import Lab

    with ExitStack() as stack:
        lab = stack.enter_context(Lab(latency=LATENCY_S))
        agent = stack.enter_context(Agent(client=options.client, url=lab.url, key=lab.key))
        yield agent.url, f"GET {options.path} of contest-agent on {options.client}, backend {1000 * LATENCY_S:.0f} ms"


def _check_figure(path: Path | None) -> None:
    if path is not None:
        from supalab.figures.look import check_suffix

        check_suffix(path)


def say(line: str) -> None:
    """To stderr, where the progress bar is: stdout is for what was found."""
    sys.stderr.write(f"{line}\n")


def _report_loads(record: LoadRecord, options: argparse.Namespace) -> None:
    from supalab.load.printed import show
    from supalab.load.run import RECORD
    from supalab.load.table import table

    show(table(record))
    if options.json is not None:
        RECORD.save(record, options.json)
        say(f"written: {options.json}")
    if options.figure is not None:
        from supalab.figures.capacity import load_picture

        _draw(load_picture(record), options.figure)


def _draw(picture: Figure, path: Path) -> None:
    from supalab.figures.look import description, save

    save(picture, path)
    sys.stdout.write(f"\n{description(picture)}\n")
    say(f"written: {path}")


def add_capacity(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=capacity)
    parser.add_argument("--clients", metavar="A,B,…", help="fake-3,fake-10,article-10,real-10 or others (these four)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chance in the arrivals (1)")
    parser.add_argument("--quick", action="store_true", help="a look in under three minutes: short steps, coarse end")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw response time against arrival rate")


def capacity(options: argparse.Namespace) -> int:
    """Find what a service on each client can take; print the tables, write record and picture."""
    from supalab.capacity.measure import QUICK, CapacityInterrupted, expected_s
    from supalab.capacity.measure import capacity as measure
    from supalab.measure.race import Progress

    _check_figure(options.figure)
    check_outputs(options.json, options.figure)
    clients, how = _clients(options), QUICK if options.quick else {}
    say(f"{len(clients)} clients, about {expected_s(clients, **how) / 60:.0f} minutes on a quiet machine")
    code = 0
    try:
        with ProgressBar("steps") as tell:
            found = measure(clients, seed=options.seed, progress=lambda *at: tell(Progress(*at)), **how)
    except CapacityInterrupted as interrupted:
        found, code = interrupted.found, 130
    _report_capacity(found, options)
    return code


def _clients(options: argparse.Namespace) -> tuple[str, ...]:
    from supalab.capacity.scene import ARMS
    from supalab.clients.arms import arm

    return ARMS if options.clients is None else tuple(arm(name.strip()).name for name in options.clients.split(","))


def _report_capacity(found: Capacity, options: argparse.Namespace) -> None:
    from supalab.capacity.result import FORM
    from supalab.capacity.table import table
    from supalab.load.printed import show

    show(table(found))
    if not found.arms:
        return
    if options.json is not None:
        FORM.save(found, options.json)
        say(f"written: {options.json}")
    if options.figure is not None:
        from supalab.figures.capacity import capacity_picture

        _draw(capacity_picture(found), options.figure)


def add_faults(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=faults)
    parser.add_argument("--clients", metavar="A,B,…", help="fake-3,fake-10,article-10,real-10 or others (these four)")
    parser.add_argument("--faults", metavar="A,B,…", help="slow, down, left (all three)")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds the services' clients wait (1)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chance in the arrivals (1)")
    parser.add_argument("--quick", action="store_true", help="spells of 3 s instead of 10")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every request")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw response time over time")


def faults(options: argparse.Namespace) -> int:
    """Let a service on each client live through faults; print the tables, write record and picture."""
    from supalab.capacity.faults import QUICK, TIMEOUT_S, FaultsInterrupted, expected_s
    from supalab.capacity.faults import faults as measure
    from supalab.capacity.faults_result import FAULTS
    from supalab.measure.race import Progress

    _check_figure(options.figure)
    check_outputs(options.json, options.figure)
    clients, how = _clients(options), QUICK if options.quick else {}
    kinds = tuple(FAULTS) if options.faults is None else tuple(name.strip() for name in options.faults.split(","))
    timeout = TIMEOUT_S if options.timeout is None else options.timeout
    say(f"{len(clients) * len(kinds)} spells, about {expected_s(clients, kinds, **how) / 60:.0f} minutes")
    code = 0
    try:
        with ProgressBar("spells") as tell:
            found = measure(
                clients, kinds, timeout=timeout, seed=options.seed, progress=lambda *at: tell(Progress(*at)), **how
            )
    except FaultsInterrupted as interrupted:
        found, code = interrupted.found, 130
    _report_faults(found, options)
    return code


def _report_faults(found: Faults, options: argparse.Namespace) -> None:
    from supalab.capacity.faults_result import FORM
    from supalab.capacity.faults_table import table
    from supalab.load.printed import show

    show(table(found))
    if not found.spells:
        return
    if options.json is not None:
        FORM.save(found, options.json)
        say(f"written: {options.json}")
    if options.figure is not None:
        from supalab.figures.recovery import recovery_picture

        _draw(recovery_picture(found), options.figure)
