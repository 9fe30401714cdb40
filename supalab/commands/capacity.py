"""What ``supalab capacity`` and ``supalab faults`` do: options flow in; tables, records, pictures, a code flow out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from supalab.commands.output import ProgressBar, check_results, draw, keep
from supalab.report.format import estimate

if TYPE_CHECKING:
    from supalab.capacity.faults_result import Faults
    from supalab.capacity.result import Capacity

__all__ = ["add_capacity", "add_faults", "capacity", "faults"]


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

    check_results(options.json, options.figure)
    clients, how = _clients(options), QUICK if options.quick else {}
    about = f"{', '.join(clients)}: {estimate(expected_s(clients, **how))} on a quiet machine"
    code = 0
    try:
        with ProgressBar("steps", about) as tell:
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
    from supalab.capacity.table import tables
    from supalab.report.table import show

    if found.arms:
        keep(found, FORM, options.json)
    show(tables(found))
    if not found.arms:
        return
    if options.figure is not None:
        from supalab.figures.capacity import capacity_picture

        draw(capacity_picture(found), options.figure)


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

    check_results(options.json, options.figure)
    clients, how = _clients(options), QUICK if options.quick else {}
    kinds = tuple(FAULTS) if options.faults is None else tuple(name.strip() for name in options.faults.split(","))
    timeout = TIMEOUT_S if options.timeout is None else options.timeout
    about = f"{', '.join(clients)}, each {', '.join(kinds)}: {estimate(expected_s(clients, kinds, **how))}"
    code = 0
    try:
        with ProgressBar("spells", about) as tell:
            found = measure(
                clients, kinds, timeout=timeout, seed=options.seed, progress=lambda *at: tell(Progress(*at)), **how
            )
    except FaultsInterrupted as interrupted:
        found, code = interrupted.found, 130
    _report_faults(found, options)
    return code


def _report_faults(found: Faults, options: argparse.Namespace) -> None:
    from supalab.capacity.faults_result import FORM
    from supalab.capacity.faults_table import tables
    from supalab.report.table import show

    if found.spells:
        keep(found, FORM, options.json)
    show(tables(found))
    if not found.spells:
        return
    if options.figure is not None:
        from supalab.figures.recovery import recovery_picture

        draw(recovery_picture(found), options.figure)
