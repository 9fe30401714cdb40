"""Race: run the clients side by side over one workload, against a lab that counts.

Every arm runs in a fresh process. Arms that share a limit are a fair comparison; the others show what the limit does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from supalab.clients.arms import ALIASES, DEFAULT_ARMS, arm
from supalab.errors import TrialError
from supalab.experiments import Experiment, drawn_by
from supalab.lab.handle import Lab
from supalab.measure.case import Case, Trial, Workload
from supalab.measure.record import Record, each
from supalab.measure.run import Plan, Progress, checked_names, checked_repeat, rotated
from supalab.report.format import count, counts, duration, size
from supalab.report.table import Cell, Content, Table
from supalab.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["arms", "control_of", "describe", "headline", "notes", "plan", "race", "subtitle", "table", "together"]

NAME = "race"
LATENCY_S = 0.15
LAB = {"rtt": 0.0, "tls": False, "jitter": 0.0, "error_rate": 0.0}
#: The figure shows these, if all of them ran: the fake client, its fair control, ours.
USUAL, MOST_ROWS = ("fake-3", "fake-10", "real-10"), 6
REAL_KINDS = ("real", "article")
#: Total times within this share count as equal; repeats that differ by more count as unstable.
SAME, UNSTABLE = 0.10, 0.10
MOST_IN_TITLE, WITH_PEAKS = 3, 2
LAW = "Little's law (throughput x service time / in flight as witnessed)"
LAW_WITHIN = 0.10
ABOVE_ONE = "above 1, the rest is work in addition to the latency"
BELOW_ONE = "below 1 the lab was busy for longer than the client says it was served"
#: The medians that a table can show; what was not measured is NaN.
WHOLE = ("peak", "connections", "added_bytes", "threads")
NUMBERS = (
    *("makespan_s", "per_s", "cpu_ms", "latency_p50_s", "latency_p99_s", "wait_p50_s", "wait_p99_s", "service_p50_s"),
    *("service_p99_s", "lag_p99_s", "busy_s", "service_mean_s"),
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
    latency is the workload's for the time of the race. With ``settings`` a real project is asked: then there is no
    witness, and the workload's latency counts as unknown. Arms take turns. Errors as in ``Experiment.run``.
    """
    load, conditions = workload or Workload(), dict[str, Any]()
    if settings is not None:
        load = replace(load, latency=None)
    elif lab is not None:
        conditions = asdict(lab.conditions)
        now = conditions.pop("latency")
        load = load if load.latency is not None else replace(load, latency=now)
    asked = {name: value for name, value in asdict(load).items() if name != "limit"} | conditions
    return EXPERIMENT.run(
        lab=lab, settings=settings, progress=progress, arms=arms, repeat=repeat, rows=load.limit, **asked
    )


def plan(
    arms: Sequence[str] = DEFAULT_ARMS,
    *,
    requests: int = 100,
    callers: int | None = None,
    latency: float | None = LATENCY_S,
    repeat: int = 1,
    table: str = "contests",
    columns: str = "*",
    rows: int | None = 10,
    rtt: float = 0.0,
    tls: bool = False,
    jitter: float = 0.0,
    error_rate: float = 0.0,
) -> Plan:
    """Every arm once, then all again, ``repeat`` times, each time another one first.

    Raises SettingsError for values that cannot work.
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


def together(found: Record | Iterable[Trial]) -> Record:
    """Return trials as one record, so that a notebook can draw what it has observed; a record is returned as it is.

    Raises TrialError for no trials, and for trials of unlike workloads or conditions.
    """
    record = found if isinstance(found, Record) else Record(NAME, tuple(found))
    if not record.trials:
        raise TrialError("there are no trials: run a race first")
    first = record.trials[0]
    for trial in record.trials:
        _check_alike(trial.arm, asdict(first.workload), asdict(trial.workload))
        _check_alike(trial.arm, LAB | dict(first.case.conditions), LAB | dict(trial.case.conditions))
    return record


def _check_alike(name: str, first: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    unlike = [f"{what} {value!r} and {other[what]!r}" for what, value in first.items() if value != other[what]]
    if unlike:
        said = ", ".join(unlike)
        raise TrialError(f"unlike trials cannot be compared: {said} (arm {name!r}); run them over one workload")


def arms(found: Record) -> pd.DataFrame:
    """Return a row for each arm, in the order in which they first ran: medians of its repeats.

    ``errors`` are the worst repeat's, so that no failure hides in a median. ``ideal_ratio``: total time over what the
    server time alone would take; ``law``: throughput times service time over the mean in flight that the lab saw, 1
    when they agree; ``spread``: (slowest - fastest) / median of the total times. A value that was not measured is NaN.
    """
    import pandas as pd

    rows = found.rows if found.trials else pd.DataFrame(columns=["arm", "limit", "requests", "errors", "ideal_s"])
    rows = rows.reindex(columns=list(dict.fromkeys([*rows.columns, *NUMBERS, *WHOLE])))
    rows = rows.assign(
        ideal_ratio=rows["makespan_s"] / rows["ideal_s"].where(rows["ideal_s"] > 0),
        in_flight=rows["busy_s"] / rows["makespan_s"],
        law=rows["service_mean_s"] * rows["requests"] / rows["busy_s"].where(rows["busy_s"] > 0),
    )
    groups = rows.groupby("arm", sort=False)
    times = groups["makespan_s"]
    # A count stays a number that was really counted, hence the higher of two medians.
    whole = groups[list(WHOLE)].quantile(0.5, interpolation="higher")
    seen = groups[["limit", "requests", "ideal_s", "ideal_ratio", "in_flight", "law", *NUMBERS]].median()
    spread = ((times.max() - times.min()) / times.median()).where(times.count() > 1)
    return seen.join(whole).assign(errors=groups["errors"].max(), spread=spread).reset_index()


def _shown(value: float, form: str) -> str:
    return form.format(value) if value == value else ""  # NaN is not itself


def table(found: Record) -> Table:
    """Return a row for each arm; what was not measured stays blank."""
    titles = [
        "arm", "in\nflight", "con-\nnec-\ntions", "total\ntime\ns", "x\nideal", "req.\n/s", "queue\nms p50/\np99",
        "service\nms p50/\np99", "CPU\nms per\nreq.", "MB\nadded", "errors",
    ]  # fmt: skip
    rows: list[list[Content]] = []
    for one in each(arms(found)):
        forms = {"peak": "{:.0f}", "connections": "{:.0f}", "makespan_s": "{:.2f}", "ideal_ratio": "{:.2f}"}
        cells = [_shown(getattr(one, name), form) for name, form in (forms | {"per_s": "{:.1f}"}).items()]
        cells += [_pair(one.wait_p50_s, one.wait_p99_s), _pair(one.service_p50_s, one.service_p99_s)]
        cells += [_shown(one.cpu_ms, "{:.2f}"), _shown(one.added_bytes / 1e6, "{:.1f}")]
        rows.append([one.arm, *cells, Cell(f"{one.errors:.0f}", "bad" if one.errors else "")])
    if not rows:
        return Table(titles, rows, empty="No trial was finished.")
    return Table(titles, rows, headline=headline(found), notes=notes(found))


def _pair(p50: float, p99: float) -> str:
    return f"{1000 * p50:.0f}/{1000 * p99:.0f}" if p50 == p50 else ""


def notes(found: Record) -> list[str]:
    """Return the sentences under the table: controls, Little's law, spread, errors, blanks, and what is missing."""
    rows = list(each(arms(found)))
    if not rows:
        return []
    said = [*_control(rows), *_law(found, rows), *_spread(rows), *_errors(found)]
    if any(one.peak != one.peak for one in rows):
        said.append("Blank: only a lab can witness it (in flight, connections), or the ideal is unknown.")
    return [*said, *_missing(found)]


def _control(rows: Sequence[Any]) -> list[str]:
    limits: dict[int, list[str]] = {}
    for row in rows:
        limits.setdefault(int(row.limit), []).append(row.arm)
    pairs = [f"{', '.join(names)} (limit {limit})" for limit, names in limits.items() if len(names) > 1]
    if pairs:
        return [f"Fair to compare, because they share a limit: {'; '.join(pairs)}."]
    return ["No two arms share a limit: this race cannot tell a better client from a larger limit."] if rows[1:] else []


def _law(found: Record, rows: Sequence[Any]) -> list[str]:
    """Check the law only where lab and client time the same thing: no wire between them, no pause before a retry."""
    ratios = {row.arm: row.law for row in rows if row.law == row.law and not row.errors}
    first = found.trials[0]
    if not ratios or first.case.conditions.keys() & {"rtt", "tls", "error_rate"} or not first.workload.latency:
        return []
    off = [f"{name} {ratio:.2f}" for name, ratio in ratios.items() if abs(ratio - 1) > LAW_WITHIN]
    if off:
        why = [ABOVE_ONE] * any(ratio > 1 + LAW_WITHIN for ratio in ratios.values())
        why += [BELOW_ONE] * any(ratio < 1 - LAW_WITHIN for ratio in ratios.values())
        return [f"{LAW} is off by more than {LAW_WITHIN:.0%}: {', '.join(off)}; {'; '.join(why)}."]
    return [f"{LAW}: {min(ratios.values()):.2f} to {max(ratios.values()):.2f}, it holds."]


def _spread(rows: Sequence[Any]) -> list[str]:
    shaky = [f"{row.arm} {row.spread:.0%}" for row in rows if row.spread > UNSTABLE]
    if not shaky:
        return []
    return [f"May be unstable, the total times of the repeats are far apart: {', '.join(shaky)}. Is the machine busy?"]


def _errors(found: Record) -> Iterator[str]:
    for name in found.arms:
        worst = max(found.of(name), key=lambda trial: trial.errors)
        if worst.errors:
            kinds = counts({kind: times for kind, times in worst.outcomes.items() if kind != "ok"})
            asked = worst.workload.requests
            yield f"{name}: {worst.errors} of {asked} failed ({kinds}); queue and service times leave them out."


def _missing(found: Record) -> list[str]:
    """Say which arms of a race that ended early did not run."""
    lacking = [name for name in found.asked.get("arms", ()) if name not in found.arms]
    return [] if found.finished else [f"Ended early. Missing: {', '.join(lacking) or 'repeats'}."]


def shown_arms(found: Record, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the arms to draw: those asked for, else the usual three if all ran, else the first that ran."""
    if names is not None:
        return tuple(dict.fromkeys(found.of(name)[0].arm for name in names))
    return USUAL if set(USUAL) <= set(found.arms) else found.arms[:MOST_ROWS]


def control_of(name: str, names: Sequence[str]) -> str | None:
    """Return the async arm that ``name``, threads of the same limit, is the fair control for; else ``None``."""
    kind, _, limit = name.rpartition("-")
    rivals = [other for other in names if other.rpartition("-")[0] in REAL_KINDS and other.endswith(f"-{limit}")]
    return rivals[-1] if kind == "fake" and rivals else None


def _took(found: Record, name: str) -> float:
    ordered = sorted(trial.makespan_s for trial in found.of(name))
    return ordered[(len(ordered) - 1) // 2]


def _apart(found: Record, one: str, other: str) -> float:
    """The difference of two arms' total times over the smaller: 0.03 is three per cent."""
    a, b = _took(found, one), _took(found, other)
    return abs(a - b) / min(a, b)


def _peaks(found: Record, names: Sequence[str]) -> list[int | None]:
    """The most in flight that the lab saw of each arm; ``None`` where no lab counted, or where it saw little of it.

    Over a long way a request is on the way for most of its time, and not yet, or no longer, at the lab.
    """
    far = found.trials[0].case.conditions.get("rtt", 0.0) > (found.trials[0].workload.latency or 0.0)
    seen = {name: [trial.get("peak") for trial in found.of(name)] for name in names}
    return [None if far or None in peaks else max(peaks) for peaks in seen.values()]


def headline(found: Record, names: Sequence[str] | None = None) -> str:
    """Say the total times; "threads or async" is said only if the control was as fast."""
    if not found.trials:
        return "No trial was finished"
    names = shown_arms(found, names)
    took = {name: _took(found, name) for name in names}
    failed = {name: max(trial.errors for trial in found.of(name)) for name in names}
    if len(names) > MOST_IN_TITLE:
        failures = f", {sum(failed.values())} failures" if any(failed.values()) else ""
        return f"{len(names)} arms: {duration(min(took.values()))} to {duration(max(took.values()))}{failures}"
    pair = next(((name, real) for name in names if (real := control_of(name, names))), None)
    slow = [name for name in names if pair and name not in pair]
    if pair and len(slow) == 1 and not any(failed.values()) and _apart(found, *pair) <= SAME:
        few, many = (found.of(name)[0].limit for name in (slow[0], pair[1]))
        way = "with threads or with async."
        return f"{few} at a time: {duration(took[slow[0]])}.  {many} at a time: {duration(took[pair[1]])}, {way}"
    peaks = dict(zip(names, _peaks(found, names), strict=True))
    if len(names) <= WITH_PEAKS and not any(failed.values()) and None not in peaks.values():
        return ".  ".join(f"{name}: at most {peaks[name]} at once, {duration(took[name])}" for name in names)
    said = {name: f" ({failed[name]} failed)" if failed[name] else "" for name in names}
    return ", ".join(f"{name} {duration(took[name])}{said[name]}" for name in names)


def subtitle(load: Workload, repeats: int = 1, dots: str = ", a dot for each") -> str:
    """Return what was asked of every arm, and of how many runs a median is shown."""
    asked, n = count(load.requests, "request"), load.callers
    if load.requests > 1:
        asked += " all at once" if n is None or n >= load.requests else f" from {count(n, 'caller')}"
    server = f", each {duration(load.latency)} at the server" if load.latency else ""
    again = f", median of {repeats} runs{dots}" if repeats > 1 else ""
    return f"{asked}{server}{again}"


def describe(found: Record, names: Sequence[str] | None = None) -> str:
    """Return the sentences that say what the figures of a race show, for those who cannot see them."""
    if not found.trials:
        return "No trial was finished, so there is nothing to show."
    names, rows = shown_arms(found, names), {one.arm: one for one in each(arms(found))}
    said = [subtitle(found.trials[0].workload, len(found.of(names[0])), dots="") + "."]
    said += [_row_in_words(rows[name]) for name in names]
    said += [_pair_in_words(found, name, real) for name in names if (real := control_of(name, names))]
    return " ".join(said)


def _row_in_words(row: Any) -> str:
    said = ["not witnessed by a lab"]
    if row.peak == row.peak:
        said = [f"at most {row.peak:.0f} in flight over {count(int(row.connections), 'connection')}"]
    said.append(f"done after {duration(row.makespan_s)}")
    if row.wait_p50_s == row.wait_p50_s:
        said.append(f"median wait {duration(row.wait_p50_s)}, median service {duration(row.service_p50_s)}")
    if row.added_bytes == row.added_bytes:
        said.append(f"{size(row.added_bytes)} of memory added")
    if row.errors:
        said.append(f"{row.errors:.0f} of {row.requests:.0f} requests failed")
    return f"{row.arm}: {', '.join(said)}."


def _pair_in_words(found: Record, control: str, real: str) -> str:
    apart = _apart(found, control, real)
    said = f"{control} is the fair control of {real}: with the same limit"
    if apart <= SAME:
        return f"{said} they finish within {'less than 1%' if apart < 0.005 else f'{apart:.0%}'} of each other."
    first, last = sorted((control, real), key=lambda name: _took(found, name))
    return f"{said} {last} finishes {duration(_took(found, last) - _took(found, first))} ({apart:.0%}) after {first}."


def compared(found: Record) -> dict[str, float]:
    """Return counts and ratios of each arm, then CPU and memory."""
    named = {
        "in flight": "peak", "connections": "connections", "makespan / ideal": "ideal_ratio",
        "CPU ms/request": "cpu_ms", "memory added, bytes": "added_bytes",
    }  # fmt: skip
    every = {f"{one.arm}: {name}": float(getattr(one, key)) for name, key in named.items() for one in each(arms(found))}
    return {name: value for name, value in every.items() if value == value}


EXPERIMENT = Experiment(
    name=NAME,
    about="six arms, five times: a span for every request, what the lab witnessed, memory, CPU, loop lag",
    plan=plan,
    headline=headline,
    notes=notes,
    tables=table,
    figures={"race": drawn_by("race_figure", "side_by_side"), "race-timeline": drawn_by("race_figure", "timeline")},
    compared=compared,
    full={"repeat": 5},
    checked=True,
)
