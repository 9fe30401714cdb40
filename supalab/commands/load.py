"""What ``supalab load`` does: parsed options flow in; table, record, picture and an exit code flow out."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from supalab.commands.capacity import add_capacity, add_faults
from supalab.commands.output import ProgressBar, check_results, draw, keep, say
from supalab.errors import SettingsError
from supalab.report.format import estimate

if TYPE_CHECKING:
    from supalab.load.plan import Plan
    from supalab.load.run import LoadRecord

__all__ = ["add_capacity", "add_faults", "add_load", "load"]

PATH, RATES = "/contests?size=10", "5..40"
LATENCY_S = 0.15


def add_load(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=load)
    parser.add_argument("url", nargs="?", help="the service (default: our own agent over a lab, see --client)")
    parser.add_argument("--rate", metavar="R", help="requests a second: 20, 5,10,15 or 5..40 (5..40)")
    parser.add_argument("--step", type=float, metavar="R", help="what a range goes up by (default: it doubles)")
    parser.add_argument("--callers", type=int, metavar="N", help="so many closed callers instead of open arrivals")
    parser.add_argument("--duration", type=float, default=10.0, metavar="S", help="seconds of each rate (10)")
    parser.add_argument("--path", default=PATH, help=f"what is asked for ({PATH})")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="seconds of a caller's patience (10)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chance in the arrivals (1)")
    parser.add_argument("--client", metavar="ARM", help="without url: the agent's client, e.g. fake (real)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every request")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw response time against rate")


def load(options: argparse.Namespace) -> int:
    """Put the loads on a service, one rate after another; print the table, write record and picture."""
    from supalab.load.run import LoadRecord, expected_s, loads, made_on
    from supalab.load.shots import Load
    from supalab.measure.race import Progress

    check_results(options.json, options.figure)
    planned = _plans(options, "http://127.0.0.1:1")  # checked before anything is started
    about_all = f"{len(planned)} loads, {estimate(expected_s(planned))}"
    done: list[Load] = []
    code, when = 0, datetime.now(UTC).isoformat(timespec="seconds")
    try:
        with _service(options) as (url, about), ProgressBar("loads", about_all) as tell:
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

    if options.url is not None and options.client is not None:
        raise SettingsError("--client is for our own agent: leave it out, or the url")
    if options.callers is not None and (options.rate is not None or options.step is not None):
        raise SettingsError("--callers and --rate: closed callers ask when they are answered, give one of the two")
    where = target(options.url or url, options.path)
    common = {"seed": options.seed, "timeout": options.timeout}
    if options.callers is not None:
        return [Plan(where, options.duration, callers=options.callers, **common)]
    return [Plan(where, options.duration, rate=rate, **common) for rate in rates(options.rate or RATES, options.step)]


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
        agent = stack.enter_context(Agent(client=options.client or "real", url=lab.url, key=lab.key))
        yield agent.url, f"GET {options.path} of contest-agent on {agent.client}, backend {1000 * LATENCY_S:.0f} ms"


def _report_loads(record: LoadRecord, options: argparse.Namespace) -> None:
    from supalab.load.run import RECORD
    from supalab.load.table import table
    from supalab.report.table import show

    keep(record, RECORD, options.json)
    show(table(record))
    if options.figure is not None:
        from supalab.figures.capacity import load_picture

        draw(load_picture(record), options.figure)
