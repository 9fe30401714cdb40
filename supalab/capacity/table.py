"""The tables of a capacity experiment: the clients, the climb, the article's row next to ours, the goals."""

from __future__ import annotations

from supalab.capacity.result import ARTICLE, ArmCapacity, Capacity, Step, goals
from supalab.load.shots import LATE_S
from supalab.load.table import percentiles
from supalab.report.format import NEVER, counts, ms, stated
from supalab.report.table import Cell, Column, Content, Table

__all__ = ["article_rows", "tables"]

VERDICTS = {True: "reached", False: "missed", None: "not measured"}
STYLES = {True: "good", False: "bad", None: "dim"}
NONE = Table((), (), empty="No client was measured.")


def tables(found: Capacity) -> list[Table]:
    """Return all tables of the experiment."""
    if not found.arms:
        return [NONE]
    return [_clients(found), _climb(found), _article(found), _goals(found)]


def _clients(found: Capacity) -> Table:
    titles = (
        "client", "idle\nms", "capacity\n/s", "bare\nslots", "x\nfake-3", "response there, ms\np50 / p95 / p99",
        "in flight\npeak/mean", "memory MB\nidle/most", "errors",
    )  # fmt: skip
    return Table(titles, [_client(found, arm) for arm in found.arms], notes=_about(found))


def _client(found: Capacity, arm: ArmCapacity) -> list[str]:
    ratio, slots, at = found.ratio(arm.arm, "fake-3"), found.slots(arm), arm.at_capacity
    errors = sum(sum(step.errors.values()) for step in arm.steps)
    return [
        arm.arm,
        ms(arm.idle_s),
        _capacity(arm),
        "" if slots is None else f"{slots:.1f}",
        "" if ratio is None else f"{ratio:.1f}",
        "" if at is None else percentiles(at.p50, at.p95, at.p99),
        "" if at is None else f"{at.in_flight_peak}/{at.in_flight_mean:.1f}",
        f"{_megabytes(arm.memory_idle_bytes)}/{_megabytes(arm.memory_peak_bytes)}",
        str(errors) + "*" * bool(errors),
    ]


def _capacity(arm: ArmCapacity) -> str:
    good, bad = arm.bracket
    if good is None:
        return "none" if arm.steps else "?"
    return f"{good:.1f}" if bad is not None else f">= {good:.1f}"


def _megabytes(size: int | None) -> str:
    return "?" if size is None else f"{size / 1e6:.0f}"


def _about(found: Capacity) -> list[str]:
    return [
        "Capacity: the highest rate of open arrivals with p95 below twice the idle response time (of one",
        f"caller); {found.fine:.0%} more, or less than that, was too much. Bare slots: the capacity of as many slots",
        "as the client has for the same arrivals, computed: no client, no thread, no event loop.",
        f"GET {found.path}, one request of the backend ({stated(found.latency)}) for each; a client's timeout is",
        f"{found.timeout:g} s, a caller's {found.patience:g} s; a failed request counts as one never answered.",
    ]


def _climb(found: Capacity) -> Table:
    """The p95 of every rate that was climbed by more than one client."""
    steps = {arm.arm: {step.rate: step for step in arm.steps} for arm in found.arms}
    rows = [
        [f"{rate:g}/s", *(_p95(mine.get(rate)) for mine in steps.values())]
        for rate in found.steps
        if any(rate in mine for mine in steps.values())
    ]
    return Table(["p95 ms at", *(arm.arm for arm in found.arms)], rows)


def _p95(step: Step | None) -> str:
    return "" if step is None else ms(step.p95, NEVER)


def _article(found: Capacity) -> Table:
    titles = ("in production", "article\nbefore -> after", "here\nfake-3 -> real-10", "fair control\nfake-10")
    return Table(titles, article_rows(found))


def article_rows(found: Capacity) -> list[tuple[str, str, str, str]]:
    """Return the article's production row beside ours: what, the article's, ours, and the fair control's."""
    before, control, after = (found.of(name) for name in ("fake-3", "fake-10", "real-10"))
    idle = [None if arm is None else 1000 * arm.idle_s for arm in (before, control, after)]
    memory = [None if arm is None else _mega(arm.memory_peak_bytes) for arm in (before, control, after)]
    capacity = [None if arm is None else arm.capacity for arm in (before, control, after)]
    response = tuple(1000 * value for value in ARTICLE["response_s"])
    return [
        ("response time, ms (ours: idle)", _change(*response), _change(idle[0], idle[2]), _one(idle[1])),
        ("memory, MB (ours: most)", _change(*ARTICLE["memory_mb"]), _change(memory[0], memory[2]), _one(memory[1])),
        (
            "capacity (article: concurrent; ours: /s)",
            _change(*ARTICLE["capacity"]),
            _change(capacity[0], capacity[2]),
            _one(capacity[1]),
        ),
    ]


def _mega(size: int | None) -> float | None:
    return None if size is None else size / 1e6


def _change(before: float | None, after: float | None) -> str:
    factor = "" if not before or not after else f"  (x {after / before:.2f})"
    return f"{_one(before)} -> {_one(after)}{factor}"


def _one(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"


def _goals(found: Capacity) -> Table:
    rows: list[list[Content]] = [
        [
            goal.name,
            f">= {goal.low:g}" if goal.high is None else f"{goal.low:g} to {goal.high:g}",
            "" if goal.value is None else f"{goal.value:.2f}",
            Cell(VERDICTS[goal.reached], STYLES[goal.reached]),
        ]
        for goal in goals(found)
    ]
    return Table(["goal", "asked", "measured", Column("")], rows, notes=_remarks(found))


def _remarks(found: Capacity) -> list[str]:
    said = [
        f"* {arm.arm} at {step.rate:g}/s: {counts(step.errors)}"
        for arm in found.arms
        for step in arm.steps
        if step.errors
    ]
    late = [f"{arm.arm} at {step.rate:g}/s" for arm in found.arms for step in arm.steps if step.late_s > LATE_S]
    if late:
        said.append(f"A busy machine: more than {1000 * LATE_S:.0f} ms late (p99) were sent {', '.join(late)}.")
    return said if found.finished else [*said, "Interrupted: steps are missing."]
