"""Load: measure how long a service takes to respond at rising request rates.

The load is an open loop at random times, or a closed loop of some callers; the service is our own contest agent over a
lab, or any address.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from supalab.contest_agent.options import client_arm
from supalab.errors import SettingsError
from supalab.experiments import Experiment
from supalab.measure.record import Record, interrupted
from supalab.measure.run import Plan, Progress
from supalab.measure.service import PATH, Private, case_of
from supalab.measure.traffic import LATE_S, MOST_PER_S, Traffic
from supalab.report.format import NEVER, duration, ms, stated
from supalab.report.plot import INK, label, not_seen, response_axes, sheet
from supalab.report.table import Content, Table
from supalab.settings import Settings

NAME, ABOUT = "load", "response time of a service at rising request rates"
RATES, LATENCY_S = (5.0, 10.0, 20.0, 40.0), 0.15
PERCENTILES = ((50, "median", "-", "o"), (95, "p95", "--", "s"), (99, "p99", ":", "^"))
CURE = "give one rate (20), a list (5,10,20) or a range (5..40)"


def load(
    *, url: str | None = None, path: str = PATH, progress: Callable[[Progress], None] | None = None, **asked: Any
) -> Record:
    """Load a service and return the record: the one at ``url``, or a contest agent of our own over a lab.

    ``asked`` and the errors are those of ``plan`` and ``measure.run.run``; SettingsError if nothing listens at ``url``.
    """
    if url is None:
        return EXPERIMENT.run(path=path, progress=progress, **asked)
    settings, where = elsewhere(url, path)
    return EXPERIMENT.run(settings=settings, progress=progress, **where, **asked)


def elsewhere(url: str, path: str = PATH) -> tuple[Settings, dict[str, Any]]:
    """Return settings for a service at an address, and the plan's arguments, which hide the query of the path."""
    settings = Settings(url, None, rest_path="")
    return settings, {"service": settings.url, "path": Private(path)}


def plan(
    rates: Sequence[float] = RATES,
    *,
    callers: int | None = None,
    duration: float = 10.0,
    path: str = PATH,
    timeout: float = 10.0,
    seed: int = 1,
    client: str = "real",
    service: str | None = None,
) -> Plan:
    """Run one load after another: an open loop at each of the ``rates``, or a closed loop of ``callers``.

    ``service``: the address of another service than our own agent. Raises SettingsError for values that cannot work.

    Args:
        callers: instead of a rate, a number of callers; each sends its next request after a response
        duration: seconds at each rate
        path: the path that is requested
        timeout: seconds after which a caller gives up
        seed: random seed of the arrival times
        client: the client of our own service
    """
    name = client_arm(client).name if service is None else service
    latency = LATENCY_S if service is None else None
    if not path.startswith("/"):
        raise SettingsError(f"path {path!r} does not begin with a slash: write e.g. /contests?size=10")
    for rate in [None] if callers is not None else rates:
        traffic = Traffic(duration, rate, callers, seed=seed, timeout=timeout)
        said = f"{rate:g}/s" if rate is not None else f"{callers} callers"
        yield case_of(name, latency, traffic, path=path, tags={"asked": said, "rate": rate}, detail=True)


def rates(text: str, step: float | None = None) -> tuple[float, ...]:
    """Read rates per second: ``20``, ``5,10,15`` or ``5..40``, which doubles, or goes up by ``step``, to its end.

    Raises SettingsError for other text, and for a rate that is not above 0 or is more than one process can send.
    """
    low, is_range, high = text.partition("..")
    given = [_rate(part) for part in ([low, high] if is_range else text.split(","))]
    if step is not None and not (is_range and 0 < step < math.inf):
        raise SettingsError(f"step {step!r} with rate {text!r}: a step is above 0 and goes with a range such as 5..40")
    if not is_range:
        return tuple(given)
    if given[0] > given[1]:
        raise SettingsError(f"rate {text!r} goes down: write the lower rate first")
    way = given[:1]
    while way[-1] < given[1] and len(way) <= MOST_PER_S:
        way.append(min(2 * way[-1] if step is None else way[-1] + step, given[1]))
    return tuple(way)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        raise SettingsError(f"rate {text!r} is not a number: {CURE}") from None
    if not 0 < rate <= MOST_PER_S:
        raise SettingsError(f"rate {text!r} is not above 0 and up to {MOST_PER_S:,.0f} requests per second: {CURE}")
    return rate


def _about(record: Record) -> str:
    asked = record.asked
    if asked["service"] is not None:
        return f"GET {asked['path']} of {asked['service']}"
    agent = client_arm(asked["client"]).name
    return f"GET {asked['path']} of contest-agent on {agent}, backend {stated(LATENCY_S)}"


def headline(record: Record) -> str:
    """Say what was put under load."""
    return f"Response time against arrival rate: {_about(record)}"


def notes(record: Record) -> list[str]:
    """Say for each load how long responses took and how many requests failed."""
    said = []
    for trial in record.trials:
        times = [f"{name} {duration(trial[f'response_p{q}_s'])}" for q, name, *_ in PERCENTILES]
        said.append(f"{trial['asked']}: {', '.join(times)}, {trial['errors']} of {trial['requests']} failed.")
    return said


def table(record: Record) -> Table:
    """Return one row for each load."""
    columns: dict[str, str | Callable[[Any], Content]] = {
        "asked": "{asked}",
        "sent\n/s": "{sent_per_s:.1f}",
        "answered\n/s": "{answered_per_s:.1f}",
        "response ms\np50 / p95 / p99": percentiles,
        "requests": "{requests}",
        "errors": starred,
        "late ms\np99": lambda one: f"{1000 * one.send_delay_p99_s:.1f}",
    }
    said = [
        f"{record.asked['duration']:g} s each, {_about(record)}.",
        "Response time runs from the intended start; a failed request counts as never answered.",
    ]
    said += [f"* {trial['asked']}: {trial['failures']}" for trial in record.trials if trial["errors"]]
    said += late(trial["asked"] for trial in record.trials if trial["send_delay_p99_s"] > LATE_S)
    said += interrupted(record, "loads")
    return Table.of(record.rows, columns, notes=said)


def percentiles(load: Mapping[str, Any]) -> str:
    """Return response times as ``151 / 163 / 190`` milliseconds; ``never`` for a response that did not come."""
    return " / ".join(ms(load[f"response_p{q}_s"], NEVER) for q, *_ in PERCENTILES)


def starred(load: Mapping[str, Any]) -> str:
    """Return the number of errors; a star refers to a note below the table."""
    return f"{load['errors']}*" if load["errors"] else "0"


def late(loads: Iterable[str]) -> list[str]:
    """Say in which loads requests were sent late, if there are any."""
    said = ", ".join(loads)
    how = f"The load generator did not keep up (p99 more than {1000 * LATE_S:.0f} ms late)"
    return [f"{how}: {said}. Run it again when the machine is less busy."] if said else []


def figure(record: Record) -> Figure:
    """Draw median, p95 and p99 of the response time against the rate, with failures counted at each rate."""
    trials = [trial for trial in record.trials if trial["rate"] is not None]
    points, longest = [trial["rate"] for trial in trials], record.asked["timeout"]
    top = min(2 * max((trial["response_p99_s"] or longest for trial in trials), default=1.0), longest)
    low = min((trial["response_p50_s"] or top for trial in trials), default=0.2) / 2
    never = any(trial["response_p99_s"] is None for trial in trials)
    foot = f"At the top edge: after {top:g} s and more, or never; what fails was never answered." if never else ""
    about, words = f"{_about(record)}; seconds from the intended start", [f"{headline(record)}.", *notes(record)]
    shape: dict[str, Any] = {"head_in": 1.15, "foot_in": 0.85, "left": 0.075, "right": 0.975}
    with sheet("Response time against arrival rate", about, words, (1, 1), 3.0, foot=foot, **shape) as (fig, (ax,)):
        for q, name, dash, marker in PERCENTILES:
            times = [min(trial[f"response_p{q}_s"] or top, top) for trial in trials]
            ax.plot(points, times, dash, marker=marker, label=name, color=INK, clip_on=False)
        response_axes(ax, points, low, top)
        for trial in trials:
            if trial["errors"]:
                at = {"xycoords": ("data", "axes fraction"), "bbox": None, "color": INK}
                label(ax, f"{trial['errors']} failed", (trial["rate"], 1), (0, 7), **at)
        if trials:
            ax.legend(loc="upper left", framealpha=1.0, edgecolor="none")
        else:
            not_seen(ax, "a closed loop has no arrival rate to draw")
    return fig


EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, notes, table, {NAME: figure})
