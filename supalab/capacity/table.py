"""A capacity experiment goes in, its tables come out: the clients, the climb, the article's row beside ours, goals."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from supalab.capacity.result import ARTICLE, ArmCapacity, Capacity, Step, goals
from supalab.load.printed import NEVER, grid, milliseconds, notes
from supalab.load.shots import LATE_S

__all__ = ["article_rows", "table"]

VERDICTS = {True: "reached", False: "missed", None: "not measured"}
STYLES = {True: "green", False: "bold red", None: "dim"}


def table(found: Capacity) -> RenderableType:
    """Return all tables of the experiment."""
    if not found.arms:
        return Text("No client was measured.")
    parts = (_clients(found), notes(*_about(found)), _below(_climb(found)), _below(_article(found)))
    return Group(*parts, _below(_goals(found)), notes(*_remarks(found)))


def _below(part: RenderableType) -> Padding:
    return Padding(part, (1, 0, 0, 0))


def _clients(found: Capacity) -> Table:
    rows = grid(
        "client", "idle\nms", "capacity\n/s", "bare\nslots", "x\nfake-3", "response there, ms\np50 / p95 / p99",
        "in flight\npeak/mean", "memory MB\nidle/most", "\nerrors",
    )  # fmt: skip
    for arm in found.arms:
        ratio, slots = found.ratio(arm.arm, "fake-3"), found.slots(arm)
        at, errors = arm.at_capacity, sum(sum(step.errors.values()) for step in arm.steps)
        rows.add_row(
            arm.arm,
            f"{1000 * arm.idle_s:.0f}",
            _capacity(arm),
            "" if slots is None else f"{slots:.1f}",
            "" if ratio is None else f"{ratio:.1f}",
            "" if at is None else milliseconds((at.p50, at.p95, at.p99)),
            "" if at is None else f"{at.in_flight_peak}/{at.in_flight_mean:.1f}",
            f"{_megabytes(arm.memory_idle_bytes)}/{_megabytes(arm.memory_peak_bytes)}",
            str(errors) + "*" * bool(errors),
        )
    return rows


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
        f"GET {found.path}, one request of the backend ({1000 * found.latency:.0f} ms) for each; a client's timeout is",
        f"{found.timeout:g} s, a caller's {found.patience:g} s; a failed request counts as one never answered.",
    ]


def _climb(found: Capacity) -> Table:
    """The p95 of every rate that was climbed by more than one client."""
    rows = grid("p95 ms at", *(arm.arm for arm in found.arms))
    steps = {arm.arm: {step.rate: step for step in arm.steps} for arm in found.arms}
    for rate in found.steps:
        if any(rate in mine for mine in steps.values()):
            rows.add_row(f"{rate:g}/s", *(_p95(mine.get(rate)) for mine in steps.values()))
    return rows


def _p95(step: Step | None) -> str:
    return "" if step is None else NEVER if step.p95 is None else f"{1000 * step.p95:.0f}"


def _article(found: Capacity) -> Table:
    rows = grid("in production", "article\nbefore -> after", "here\nfake-3 -> real-10", "fair control\nfake-10")
    for row in article_rows(found):
        rows.add_row(*row)
    return rows


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
    rows = grid("goal", "asked", "measured", "")
    for goal in goals(found):
        asked = f">= {goal.low:g}" if goal.high is None else f"{goal.low:g} to {goal.high:g}"
        measured = "" if goal.value is None else f"{goal.value:.2f}"
        rows.add_row(goal.name, asked, measured, Text(VERDICTS[goal.reached], STYLES[goal.reached]))
    return rows


def _remarks(found: Capacity) -> list[str]:
    said = [
        f"* {arm.arm} at {step.rate:g}/s: {', '.join(f'{count} x {kind}' for kind, count in step.errors.items())}"
        for arm in found.arms
        for step in arm.steps
        if step.errors
    ]
    late = [f"{arm.arm} at {step.rate:g}/s" for arm in found.arms for step in arm.steps if step.late_s > LATE_S]
    if late:
        said.append(f"A busy machine: more than {1000 * LATE_S:.0f} ms late (p99) were sent {', '.join(late)}.")
    return said if found.finished else [*said, "Interrupted: steps are missing."]
