"""Race: run the clients side by side over one workload, against a lab that counts requests.

Every arm runs in a fresh process. Arms that share a limit are a fair comparison; the others show the effect of the
limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from supalab.clients.arms import ALIASES, DEFAULT_ARMS, arm
from supalab.errors import TrialError
from supalab.experiments import Experiment, drawn_by
from supalab.lab.handle import Lab
from supalab.measure.case import Case, Trial, Workload
from supalab.measure.record import Record, each, failures, medians
from supalab.measure.run import Plan, Progress, checked_names, checked_repeat, rotated
from supalab.report.format import count, duration, size
from supalab.report.table import Cell, Table
from supalab.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

NAME, ABOUT = "race", "six arms, five times: the times of every request, the lab's counters, memory, CPU, loop lag"
#: The conditions of a lab that a race leaves alone unless they are asked for.
LAB = {"rtt": 0.0, "tls": False, "jitter": 0.0, "error_rate": 0.0}
#: The figure shows these if all of them ran: the fake client, its fair control, our client.
USUAL, MOST_ROWS = ("fake-3", "fake-10", "real-10"), 6
REAL_KINDS = ("real", "article")
#: Total times within this share count as equal; repeats that differ by more count as unstable.
SAME, UNSTABLE = 0.10, 0.10
MOST_IN_TITLE = 3
LAW = "Little's law (throughput x service time / in flight at the lab)"
LAW_WITHIN = 0.10
ABOVE_ONE = "above 1, requests need work in addition to the latency"
BELOW_ONE = "below 1, the lab was busy for longer than the service times of the client"
#: The median of counts is one of them: the higher of two.
WHOLE = ["peak", "connections", "added_bytes", "threads"]
#: Numbers that one trial may lack although another one has them.
LACKING = (
    *(f"{part}_{q}_s" for part in ("latency", "wait", "service") for q in ("p50", "p99")),
    *("cpu_ms", "lag_p99_s", "busy_s", "service_mean_s", *WHOLE),
)


def race(
    arms: Sequence[str] = DEFAULT_ARMS,
    workload: Workload | None = None,
    *,
    repeat: int = 1,
    lab: Lab | None = None,
    settings: Settings | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Record:
    """Run every arm over the workload, ``repeat`` times, and return the record.

    Without ``lab`` and ``settings`` a lab of its own is started. A lab that is given keeps its conditions, but its
    latency is the workload's for the time of the race. With ``settings`` the requests go to a real project: then there
    is no witness, and the workload's latency counts as unknown. Arms take turns. The errors are those of
    ``Experiment.run``.
    """
    asked = asdict(workload or Workload())
    asked["rows"] = asked.pop("limit")
    conditions = {} if lab is None else asdict(lab.conditions)
    if settings is not None:
        asked["latency"] = None
    elif asked["latency"] is None:
        asked["latency"] = conditions.get("latency")
    asked = {**conditions, **asked, "arms": arms, "repeat": repeat}
    return EXPERIMENT.run(lab=lab, settings=settings, progress=progress, **asked)


def plan(
    arms: Sequence[str] = DEFAULT_ARMS,
    *,
    requests: int = 100,
    callers: int | None = None,
    latency: float | None = 0.15,
    repeat: int = 1,
    table: str = "contests",
    columns: str = "*",
    rows: int | None = 10,
    rtt: float = 0.0,
    tls: bool = False,
    jitter: float = 0.0,
    error_rate: float = 0.0,
) -> Plan:
    """Run every arm once, then all again, ``repeat`` times, each time with another arm first.

    Raises SettingsError for values that cannot work.

    Args:
        arms: clients with their limits, separated by commas    requests: requests of each trial
        callers: number of callers; each sends its next request after a response (default: all requests at once)
        latency: seconds that the server takes for a request (0.45 in the article)
        repeat: trials of each, taking turns
        table: the table that is read
        columns: the columns that are read    rows: rows of each response
        rtt: seconds of a network round trip to the server
        tls: use TLS
        jitter: seconds by which the server's time varies at random
        error_rate: share of requests that the server fails
    """
    checked_repeat(repeat)
    names = [ALIASES.get(name, name) for name in checked_names("arms", arms, DEFAULT_ARMS[:2])]
    chosen = [arm(name) for name in checked_names("arms", names, DEFAULT_ARMS[:2])]
    load = Workload(requests, latency, callers, table, columns, rows)
    given = {"rtt": rtt, "tls": tls, "jitter": jitter, "error_rate": error_rate}
    conditions = {name: value for name, value in given.items() if value != LAB[name]}
    for turn in range(repeat):
        for one in rotated(chosen, turn):
            yield Case(one.name, load, "burst", turn, conditions, detail=True)


def together(trials: Record | Iterable[Trial]) -> Record:
    """Return trials as one record, so that a notebook can draw what it has observed; a record is returned unchanged.

    Raises TrialError for no trials, and for trials of unlike workloads or conditions.
    """
    record = trials if isinstance(trials, Record) else Record(NAME, tuple(trials))
    if not record.trials:
        raise TrialError("there are no trials: run a race first")
    first, *others = [asdict(trial.workload) | LAB | dict(trial.case.conditions) for trial in record.trials]
    for trial, other in zip(record.trials[1:], others, strict=True):
        unlike = ", ".join(
            f"{what} {first[what]!r} and {value!r}" for what, value in other.items() if value != first[what]
        )
        if unlike:
            whose = f"{unlike} (arm {trial.arm!r})"
            raise TrialError(f"unlike trials cannot be compared: {whose}; run them over one workload")
    return record


def arms(record: Record) -> pd.DataFrame:
    """Return a row for each arm with the medians of its repeats, in the order in which they first ran.

    ``errors`` are the worst repeat's, so that no failure hides in a median. ``ideal_ratio``: total time divided by what
    the server time alone would take; ``law``: throughput times service time over the mean in flight that the lab saw, 1
    when they agree; ``spread``: (slowest - fastest) / median of the total times. A value that was not measured is NaN.
    """
    rows = record.rows
    rows = rows.reindex(columns=list(dict.fromkeys([*rows, *LACKING])))
    rows = rows.assign(
        ideal_ratio=rows["makespan_s"] / rows["ideal_s"].where(rows["ideal_s"] > 0),
        in_flight=rows["busy_s"] / rows["makespan_s"],
        law=rows["service_mean_s"] * rows["requests"] / rows["busy_s"].where(rows["busy_s"] > 0),
    )
    groups = rows.groupby("arm", sort=False)
    times = groups["makespan_s"]
    spread = ((times.max() - times.min()) / times.median()).where(times.count() > 1)
    more = groups[WHOLE].quantile(0.5, interpolation="higher").assign(spread=spread)
    return medians(rows, "arm").set_index("arm").assign(**more).reset_index()


def table(record: Record) -> Table:
    """Return a row for each arm; a value that was not measured stays blank."""
    seen = arms(record)
    in_ms = {f"{part}_ms": 1000 * seen[f"{part}_s"] for part in ("wait_p50", "wait_p99", "service_p50", "service_p99")}
    return Table.of(seen.assign(**in_ms, added_mb=seen["added_bytes"] / 1e6), {
        "arm": "{arm}", "in\nflight": "{peak:.0f}", "con-\nnec-\ntions": "{connections:.0f}",
        "total\ntime\ns": "{makespan_s:.2f}", "x\nideal": "{ideal_ratio:.2f}", "req.\n/s": "{per_s:.1f}",
        "queue\nms p50/\np99": "{wait_p50_ms:.0f}/{wait_p99_ms:.0f}",
        "service\nms p50/\np99": "{service_p50_ms:.0f}/{service_p99_ms:.0f}", "CPU\nms per\nreq.": "{cpu_ms:.2f}",
        "MB\nadded": "{added_mb:.1f}", "errors": lambda one: Cell(f"{one.errors:.0f}", "bad" if one.errors else ""),
    }, headline=headline(record), notes=notes(record))  # fmt: skip


def notes(record: Record) -> list[str]:
    """Return the sentences under the table: controls, Little's law, spread, errors, blank and missing values."""
    seen = arms(record)
    said = [*_control(seen), *_law(record, seen)]
    shaky = [f"{one.arm} {one.spread:.0%}" for one in each(seen[seen["spread"] > UNSTABLE])]
    if shaky:
        said.append(
            f"May be unstable, because the repeats' total times are far apart: {', '.join(shaky)}. Is the machine busy?"
        )
    said += failures(record)
    if seen["peak"].isna().any():
        said.append("Blank: only a lab can count it (in flight, connections), or the ideal is unknown.")
    if not record.finished:
        lacking = [name for name in record.asked.get("arms", ()) if name not in record.arms]
        said.append(f"Ended early. Missing: {', '.join(lacking) or 'repeats'}.")
    return said


def _control(seen: pd.DataFrame) -> Iterator[str]:
    limits = seen.groupby("limit", sort=False)["arm"]
    pairs = [f"{', '.join(names)} (limit {limit:.0f})" for limit, names in limits if len(names) > 1]
    if pairs:
        yield f"Fair to compare, because they share a limit: {'; '.join(pairs)}."
    elif len(seen) > 1:
        yield "No two arms share a limit: this race cannot tell a better client from a larger limit."


def _law(record: Record, seen: pd.DataFrame) -> Iterator[str]:
    """Check the law only where lab and client time the same thing: no network between them, no pause before a retry."""
    law, case = seen[seen["errors"] == 0].set_index("arm")["law"].dropna(), record.trials[0].case
    if law.empty or case.conditions.keys() & {"rtt", "tls", "error_rate"} or not case.workload.latency:
        return
    off = [f"{name} {ratio:.2f}" for name, ratio in law.items() if abs(ratio - 1) > LAW_WITHIN]
    if off:
        sides = {ABOVE_ONE: law.max() > 1 + LAW_WITHIN, BELOW_ONE: law.min() < 1 - LAW_WITHIN}
        why = "; ".join(side for side, there in sides.items() if there)
        yield f"{LAW} is off by more than {LAW_WITHIN:.0%}: {', '.join(off)}; {why}."
    else:
        yield f"{LAW}: {law.min():.2f} to {law.max():.2f}, it holds."


def shown_arms(record: Record, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the arms to draw: the given ones, else the usual three if all ran, else the first that ran."""
    if names is not None:
        return tuple(dict.fromkeys(record.of(name)[0].arm for name in names))
    return USUAL if set(USUAL) <= set(record.arms) else record.arms[:MOST_ROWS]


def control_of(name: str, names: Sequence[str]) -> str | None:
    """Return the async arm whose fair control ``name`` is (threads with the same limit), else ``None``."""
    kind, _, limit = name.rpartition("-")
    rivals = [other for other in names if other.rpartition("-")[0] in REAL_KINDS and other.endswith(f"-{limit}")]
    return rivals[-1] if kind == "fake" and rivals else None


def _controlled(names: Sequence[str]) -> list[tuple[str, str]]:
    """Yield every fair control, with the arm that it is the control of."""
    return [(name, real) for name in names if (real := control_of(name, names)) is not None]


def _shown(record: Record, names: Sequence[str] | None) -> pd.DataFrame:
    return arms(record).set_index("arm").loc[list(shown_arms(record, names))]


def _apart(times: pd.Series[float]) -> float:
    """Return the difference of two total times divided by the smaller one: 0.03 is three per cent."""
    return float(times.max() / times.min() - 1)


def headline(record: Record, names: Sequence[str] | None = None) -> str:
    """Say the total times; "threads or async" is said only if the control was as fast."""
    rows = _shown(record, names)
    took, failed = rows["makespan_s"], int(rows["errors"].sum())
    if len(rows) > MOST_IN_TITLE:
        failures = f", {failed} failures" if failed else ""
        return f"{len(rows)} arms: {duration(took.min())} to {duration(took.max())}{failures}"
    pair = next(iter(_controlled(list(rows.index))), None)
    slow = [name for name in rows.index if pair and name not in pair]
    if pair and len(slow) == 1 and not failed and _apart(took[list(pair)]) <= SAME:
        few, many = (f"{rows['limit'][name]:.0f} at a time: {duration(took[name])}" for name in (slow[0], pair[1]))
        return f"{few}.  {many}, with threads or with async."
    ends = {one.Index: f" ({one.errors:.0f} failed)" if one.errors else "" for one in each(rows)}
    return ", ".join(f"{name} {duration(took[name])}{end}" for name, end in ends.items())


def subtitle(load: Workload, repeats: int = 1, dots: str = ", a dot for each") -> str:
    """Say what was asked of every arm, and of how many runs a median is shown."""
    asked, n = count(load.requests, "request"), load.callers
    if load.requests > 1:
        asked += " all at once" if n is None or n >= load.requests else f" from {count(n, 'caller')}"
    server = f", each {duration(load.latency)} at the server" if load.latency else ""
    again = f", median of {repeats} runs{dots}" if repeats > 1 else ""
    return f"{asked}{server}{again}"


def describe(record: Record, names: Sequence[str] | None = None) -> str:
    """Return the sentences that say what the figures of a race show, for those who cannot see them."""
    rows = _shown(record, names)
    asked = subtitle(record.trials[0].workload, len(record.of(rows.index[0])), dots="")
    pairs = [_pair_in_words(rows["makespan_s"], *pair) for pair in _controlled(list(rows.index))]
    return " ".join([f"{asked}.", *map(_row_in_words, each(rows)), *pairs])


def _row_in_words(row: Any) -> str:
    said = ["not witnessed by a lab"]
    if not math.isnan(row.peak):
        said = [f"at most {row.peak:.0f} in flight over {count(int(row.connections), 'connection')}"]
    said.append(f"done after {duration(row.makespan_s)}")
    if not math.isnan(row.wait_p50_s):
        said.append(f"median queue time {duration(row.wait_p50_s)}, median service time {duration(row.service_p50_s)}")
    if not math.isnan(row.added_bytes):
        said.append(f"{size(row.added_bytes)} of memory added")
    if row.errors:
        said.append(f"{row.errors:.0f} of {row.requests:.0f} requests failed")
    return f"{row.Index}: {', '.join(said)}."


def _pair_in_words(took: pd.Series[float], control: str, real: str) -> str:
    pair = took[[control, real]]
    said, apart = f"{control} is the fair control of {real}: with the same limit", _apart(pair)
    if apart <= SAME:
        return f"{said} they finish within {'less than 1%' if apart < 0.005 else f'{apart:.0%}'} of each other."
    later = f"{duration(pair.max() - pair.min())} ({apart:.0%}) after {pair.idxmin()}"
    return f"{said} {pair.idxmax()} finishes {later}."


def compared(record: Record) -> dict[str, float]:
    """Return counts and ratios of each arm, then CPU time and memory."""
    named = {
        "in flight": "peak", "connections": "connections", "makespan / ideal": "ideal_ratio",
        "CPU ms/request": "cpu_ms", "memory added, bytes": "added_bytes",
    }  # fmt: skip
    seen = arms(record).set_index("arm")[list(named.values())]
    return {f"{arm}: {name}": float(n) for name, key in named.items() for arm, n in seen[key].dropna().items()}


FIGURES = {"race": drawn_by("race_figure", "side_by_side"), "race-timeline": drawn_by("race_figure", "timeline")}
EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, notes, table, FIGURES, compared, full={"repeat": 5}, checked=True)
